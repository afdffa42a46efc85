//! Turning a camera, seen by whoever watches it through the server.

use camera::marker::{estimate_view, read_landmarks};
use camera::scene::View;
use camera::{Camera, Config, VideoConfig};
use device::{AllowedHost, ChannelNo, Dialer, Driver, Login, OnvifDriver, Velocity};
use openh264::formats::YUVSource;
use serde_json::json;
use tokio::time::{Duration, Instant};

use av::TrackId;

use crate::harness::PATIENCE;
use crate::media::{FlvViewer, Pictures};
use crate::site::{Site, text};

const PASSWORD: &str = "a long secret";
/// Decoded places are this exact, in units of pan (−1 to 1).
const EXACT: f32 = 0.02;
/// Pictures in which nothing moves are a camera at rest.
const AT_REST: usize = 10;

/// Watches where the camera looks, by the landmarks in decoded pictures.
struct Watcher {
    viewer: FlvViewer,
    pictures: Pictures,
}

impl Watcher {
    /// Where the next picture says that the camera looks.
    async fn next(&mut self) -> View {
        let deadline = Instant::now() + PATIENCE;
        while let Some(output) = self.viewer.next(deadline).await {
            output.tracks.iter().for_each(|tracks| self.pictures.set_tracks(tracks));
            let Some(frame) = output.frame.filter(|frame| frame.track == TrackId::VIDEO) else { continue };
            let view = self.pictures.decode_with(&frame, |picture| {
                let (width, height) = picture.dimensions();
                let (u, v, stride) = (picture.u(), picture.v(), picture.strides().1);
                estimate_view(&read_landmarks(u, v, width / 2, height / 2, stride))
            });
            return view.expect("a picture for each frame").expect("landmarks in each picture");
        }
        panic!("the stream ended");
    }

    /// Watches until `wanted`; gives all it saw.
    async fn until(&mut self, wanted: impl Fn(&[View]) -> bool) -> Vec<View> {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        while !wanted(&seen) {
            assert!(Instant::now() < deadline, "not seen: {:?}", seen.last());
            seen.push(self.next().await);
        }
        seen
    }

    /// Watches until the picture rests; gives where.
    async fn at_rest(&mut self) -> View {
        let resting = |seen: &[View]| {
            let last = &seen[seen.len().saturating_sub(AT_REST)..];
            last.len() == AT_REST && last.iter().all(|view| (view.pan - last[0].pan).abs() < EXACT / 4.0)
        };
        *self.until(resting).await.last().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn turning_the_camera_moves_the_decoded_picture_until_stopped_or_at_the_edge() {
    let site = Site::start().await;
    let small = VideoConfig { frame_rate: 10, ..VideoConfig::SUB };
    let config = Config { serial: "PTZ000001".into(), password: PASSWORD.into(), main: small, ..Config::default() };
    let camera = Camera::start(config).await.unwrap();
    let login = json!({ "user": "admin", "password": PASSWORD });
    let device = site.attach(json!({ "driver": "onvif", "address": camera.onvif_url(), "login": login })).await;
    assert_eq!(text(&device, "serial"), "PTZ000001", "the camera's own serial");
    let address = site.address("PTZ000001", 4, &[]).await;
    let viewer = FlvViewer::open(site.server.client(), &address).await;
    let mut watcher = Watcher { viewer, pictures: Pictures::new() };
    let home = watcher.at_rest().await;
    assert!(home.pan.abs() < EXACT && (home.tilt + 0.5).abs() < 3.0 * EXACT, "{home:?}");

    // Raw ONVIF, as any control of the camera's maker would send it.
    let dialer = Dialer::new([AllowedHost { ip: camera.http_address().ip(), port: None }]);
    let login = Login { user: "admin".into(), password: PASSWORD.into() };
    let control = OnvifDriver::new(dialer, &camera.onvif_url(), Some(login)).unwrap();
    let right = Velocity { pan: 0.5, ..Velocity::default() };
    control.ptz_start(ChannelNo(1), right).await.unwrap();
    let seen = watcher.until(|seen| seen.last().is_some_and(|view| view.pan > 0.3)).await;
    let steady = seen.windows(2).all(|pair| pair[1].pan > pair[0].pan - EXACT / 2.0);
    assert!(steady && seen.iter().all(|view| (view.tilt - home.tilt).abs() < 3.0 * EXACT), "{seen:?}");

    control.ptz_stop(ChannelNo(1)).await.unwrap();
    let stopped = camera.ptz_status();
    assert!(!stopped.pan_tilt_moving && stopped.pan < 0.9, "{stopped:?}");
    let rests = watcher.at_rest().await;
    assert!((rests.pan - stopped.pan).abs() < EXACT, "{rests:?}, the camera says {stopped:?}");

    // Nobody stops it now: the edge does, long before the time limit of a move.
    let (since, full) = (Instant::now(), Velocity { pan: 1.0, ..Velocity::default() });
    control.ptz_start(ChannelNo(1), full).await.unwrap();
    watcher.until(|seen| seen.last().is_some_and(|view| view.pan > 1.0 - EXACT)).await;
    let edge = watcher.at_rest().await;
    assert!(since.elapsed() < Duration::from_secs(9), "{:?}", since.elapsed());
    assert!((edge.pan - 1.0).abs() < EXACT, "{edge:?}");
    let status = camera.ptz_status();
    assert_eq!((status.pan, status.pan_tilt_moving), (1.0, false));
    camera.stop().await;
}
