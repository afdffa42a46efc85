//! Watching through an address: what the newest decoded picture shows, and whether it moves.

use bytes::Bytes;
use camera::marker::{SeenLandmark, estimate_view, read_counter, read_landmarks};
use camera::scene::View;
use openh264::formats::YUVSource;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use av::TrackId;

use crate::harness::PATIENCE;
use crate::media::{FlvViewer, Pictures};

/// Decoded places are this exact, in units of pan (−1 to 1); tilt, which is a third of the way, thrice that.
pub const EXACT: f32 = 0.02;
/// Pictures in which nothing moves are a camera at rest.
const AT_REST: usize = 6;

/// What one picture shows.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Landmarks, by index.
    pub landmarks: Vec<SeenLandmark>,
    /// Mean luma.
    pub luma: f32,
    /// The frame counter, where it is readable.
    pub counter: Option<u32>,
}

impl Seen {
    /// Where the camera looks, at zoom 1.
    #[track_caller]
    pub fn view(&self) -> View {
        estimate_view(&self.landmarks).unwrap_or_else(|| panic!("no landmark in {self:?}"))
    }

    /// Whether the same landmarks are where `place` puts those of `before`.
    pub fn is_moved(&self, before: &Seen, place: impl Fn(&SeenLandmark) -> (f32, f32)) -> bool {
        let there = |(a, b): (&SeenLandmark, &SeenLandmark)| {
            let (x, y) = place(a);
            a.index == b.index && (x - b.x).abs() < EXACT / 2.0 && (y - b.y).abs() < EXACT / 2.0
        };
        let landmarks = before.landmarks.iter().zip(&self.landmarks);
        before.landmarks.len() == self.landmarks.len() && landmarks.into_iter().all(there)
    }

    /// Whether nothing moves between two pictures.
    fn rests(&self, other: &Seen) -> bool {
        let still = |(a, b): (&SeenLandmark, &SeenLandmark)| {
            a.index == b.index && (a.x - b.x).abs() < 0.003 && (a.y - b.y).abs() < 0.003
        };
        let landmarks = self.landmarks.iter().zip(&other.landmarks);
        self.landmarks.len() == other.landmarks.len() && landmarks.into_iter().all(still)
    }

    /// What a JPEG shows: size and contents.
    pub fn in_jpeg(jpeg: &Bytes) -> ((usize, usize), Seen) {
        let mut decoder = jpeg_decoder::Decoder::new(&jpeg[..]);
        let rgb = decoder.decode().expect("a JPEG");
        let info = decoder.info().expect("a JPEG");
        let (width, height) = (usize::from(info.width), usize::from(info.height));
        // Every second pixel of every second row. Back to BT.709, where landmarks have their colours.
        let (mut u, mut v, mut sum) = (Vec::new(), Vec::new(), 0.0);
        for (x, y) in (0..height / 2).flat_map(|y| (0..width / 2).map(move |x| (2 * x, 2 * y))) {
            let at = 3 * (y * width + x);
            let [r, g, b] = [rgb[at], rgb[at + 1], rgb[at + 2]].map(f32::from);
            let luma = 0.2126 * r + 0.7152 * g + 0.0722 * b;
            let scaled = |difference: f32, range: f32| (128.0 + difference / range * 224.0 / 255.0).round() as u8;
            u.push(scaled(b - luma, 1.8556));
            v.push(scaled(r - luma, 1.5748));
            sum += luma;
        }
        let landmarks = read_landmarks(&u, &v, width / 2, height / 2, width / 2);
        ((width, height), Seen { landmarks, luma: sum / u.len() as f32, counter: None })
    }
}

/// Watches an FLV address all the time, so that what it tells is of now.
pub struct Watcher {
    seen: watch::Receiver<Seen>,
    watching: JoinHandle<()>,
}

impl Watcher {
    /// Opens the address, which must be accepted.
    pub async fn open(client: &reqwest::Client, address: &str) -> Watcher {
        let viewer = FlvViewer::open(client, address).await;
        let (sender, seen) = watch::channel(Seen::default());
        Watcher { seen, watching: tokio::spawn(look(viewer, sender)) }
    }

    /// The next picture.
    pub async fn next(&mut self) -> Seen {
        let changed = timeout_at(Instant::now() + PATIENCE, self.seen.changed()).await;
        changed.expect("a picture in time").expect("the stream goes on");
        self.seen.borrow_and_update().clone()
    }

    /// Watches until a picture is as wanted.
    pub async fn until(&mut self, what: &str, wanted: impl Fn(&Seen) -> bool) -> Seen {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = self.next().await;
            if wanted(&seen) {
                return seen;
            }
            assert!(Instant::now() < deadline, "not seen: {what}, but {seen:?}");
        }
    }

    /// Watches until the picture rests; gives it.
    pub async fn at_rest(&mut self) -> Seen {
        let deadline = Instant::now() + PATIENCE;
        let (mut last, mut still) = (self.next().await, 1);
        while still < AT_REST {
            assert!(Instant::now() < deadline, "it never rests: {last:?}");
            let seen = self.next().await;
            still = if seen.rests(&last) && !seen.landmarks.is_empty() { still + 1 } else { 1 };
            last = seen;
        }
        last
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

/// Decodes every picture and tells what it shows.
async fn look(mut viewer: FlvViewer, sender: watch::Sender<Seen>) {
    let mut pictures = Pictures::new();
    while let Some(output) = viewer.next(Instant::now() + PATIENCE).await {
        output.tracks.iter().for_each(|tracks| pictures.set_tracks(tracks));
        let Some(frame) = output.frame.filter(|frame| frame.track == TrackId::VIDEO) else { continue };
        let seen = pictures.decode_with(&frame, |picture| {
            let ((width, height), (luma_stride, stride, _)) = (picture.dimensions(), picture.strides());
            // Every eighth row tells how bright it is.
            let rows = picture.y().chunks(luma_stride).take(height).step_by(8);
            let sum: u64 = rows.clone().map(|row| row[..width].iter().map(|&y| u64::from(y)).sum::<u64>()).sum();
            Seen {
                landmarks: read_landmarks(picture.u(), picture.v(), width / 2, height / 2, stride),
                luma: sum as f32 / (rows.len() * width) as f32,
                counter: read_counter(picture.y(), width, height, luma_stride),
            }
        });
        sender.send_replace(seen.expect("a picture for each frame"));
    }
}
