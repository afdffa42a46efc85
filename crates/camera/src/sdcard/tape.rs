//! Frames into files: a fragment about each second, in one write; a file a few minutes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use av::container::fmp4;
use av::{CodecParameters, Frame, Ticks, Track, TrackId, UnixMicros};
use tracing::info;

use super::{Card, Clip, Entry, Kept, folder_of, samples};
use crate::Error;

/// Longest fragment: what a camera that is switched off loses, unless key frames are further apart.
const PART_US: i64 = 1_000_000;
/// A file ends at the first key frame after this.
const CLIP_US: i64 = 300_000_000;
/// … or when it has this share of the card: what is deleted at once shall be little.
const CLIP_SHARE: u64 = 8;
/// A wall clock that has moved by more than this against the pictures was set: what follows is another run.
const SLIP_US: i64 = 2_000_000;

/// Frames of sound in a fragment: should pictures stay away, no more is kept.
const SOUNDS_MAX: usize = 512;

/// A fragment to be.
#[derive(Default)]
struct Part {
    pictures: Vec<Arc<Frame>>,
    sounds: Vec<Arc<Frame>>,
}

/// One channel's recording while it runs. Times of frames are those of their pictures: the wall clock of the
/// first one and what has passed on the track's clock since.
pub struct Tape {
    card: Arc<Card>,
    channel: u16,
    /// Pictures, and sound if there is any.
    tracks: Vec<Track>,
    /// Whether it is a sample: such are listed when they are done, others as they grow.
    sample: bool,
    /// What the wall clock showed when the camera's time was 0, microseconds; none before the first key frame.
    origin_us: Option<i64>,
    part: Part,
    file: Option<Growing>,
}

/// The file being written.
struct Growing {
    file: File,
    path: PathBuf,
    sample: bool,
    tracks: Vec<Track>,
    clip: Clip,
    /// What the tracks' clocks show at its first picture, microseconds.
    start_us: i64,
    index: Vec<Entry>,
}

impl Tape {
    /// Records a channel's tracks, pictures first. Nothing is written before the first key frame.
    pub fn new(card: Arc<Card>, channel: u16, tracks: Vec<Track>) -> Tape {
        Tape { card, channel, tracks, sample: false, origin_us: None, part: Part::default(), file: None }
    }

    /// Records a sample.
    pub fn of_sample(mut self) -> Tape {
        self.sample = true;
        self
    }

    /// Whether the next frame, `frame`, completes a fragment: [`push`](Tape::push) will write.
    pub fn is_due(&self, frame: &Frame) -> bool {
        let Some(first) = self.part.pictures.first() else { return false };
        frame.track == TrackId::VIDEO && (frame.key || self.micros(frame) - self.micros(first) >= PART_US)
    }

    /// Takes the next frame of any track. Blocks when a fragment is [due](Tape::is_due).
    ///
    /// # Errors
    /// If it cannot be written; the tape is of no further use.
    pub fn push(&mut self, frame: Arc<Frame>) -> Result<(), Error> {
        if frame.track != TrackId::VIDEO {
            // Sound from before the camera's time, as a coder's delay makes it, has no place on the clock.
            if self.origin_us.is_some() && frame.dts.0 >= 0 && self.part.sounds.len() < SOUNDS_MAX {
                self.part.sounds.push(frame);
            }
            return Ok(());
        }
        if self.is_due(&frame) {
            self.write_part(frame.dts).map_err(|error| self.card.failed(error))?;
        }
        let passed = self.micros(&frame);
        if self.origin_us.is_some_and(|origin| (frame.wall.0 - origin - passed).abs() > SLIP_US) {
            self.finish()?;
        }
        if self.origin_us.is_none() {
            if !frame.key {
                return Ok(());
            }
            self.origin_us = Some(frame.wall.0 - passed);
        }
        self.part.pictures.push(frame);
        Ok(())
    }

    /// Writes what is left and ends the clip. What comes next is another run.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(&mut self) -> Result<(), Error> {
        self.end().map_err(|error| self.card.failed(error))
    }

    fn end(&mut self) -> io::Result<()> {
        let pictures = &self.part.pictures;
        if let Some(last) = pictures.last() {
            // The last picture lasts as long as the one before, or a 25th of a second.
            let before = pictures.len().checked_sub(2).map(|at| pictures[at].dts.0);
            let length = before.map_or(i64::from(self.tracks[0].clock_rate) / 25, |before| last.dts.0 - before);
            self.write_part(Ticks(last.dts.0 + length))?;
        }
        self.part = Part::default();
        self.origin_us = None;
        self.close()
    }

    /// Time of a frame on the camera's clock.
    fn micros(&self, frame: &Frame) -> i64 {
        let track = &self.tracks[usize::from(frame.track.0)];
        frame.dts.rescale(track.clock_rate, 1_000_000).0
    }

    /// Writes the fragment that ends where the next picture begins.
    fn write_part(&mut self, end: Ticks) -> io::Result<()> {
        let Part { pictures, sounds } = std::mem::take(&mut self.part);
        let (Some(first), Some(origin)) = (pictures.first(), self.origin_us) else { return Ok(()) };
        let (key, from) = (first.key, UnixMicros(origin + self.micros(first)));
        let to = UnixMicros(origin + end.rescale(self.tracks[0].clock_rate, 1_000_000).0);
        let share = self.card.config.bytes_max / CLIP_SHARE;
        let is_over = |clip: &Clip| key && (from.0 - clip.from.0 >= CLIP_US || clip.bytes >= share);
        if self.file.as_ref().is_some_and(|growing| is_over(&growing.clip)) {
            self.close()?;
        }
        let timed = |frames: Vec<Arc<Frame>>| -> Vec<Arc<Frame>> {
            let timed =
                |frame: Arc<Frame>| Frame { wall: UnixMicros(origin + self.micros(&frame)), ..(*frame).clone() };
            frames.into_iter().map(|frame| Arc::new(timed(frame))).collect()
        };
        let (pictures, sounds) = (timed(pictures), timed(sounds));
        let mut runs = vec![fmp4::Run { track: &self.tracks[0], frames: &pictures, end }];
        if let (Some(track), Some(last)) = (self.tracks.get(1), sounds.last()) {
            let end = Ticks(last.dts.0 + samples_of(track, last));
            runs.push(fmp4::Run { track, frames: &sounds, end });
        }
        let growing = match &mut self.file {
            Some(growing) => growing,
            None => {
                let mut begun = begin(&self.card, self.channel, &self.tracks, from, self.sample)?;
                begun.start_us = from.0 - origin;
                self.file.insert(begun)
            }
        };
        let mut out = Vec::new();
        fmp4::fragment(&mut out, growing.index.len() as u32 + 1, &runs);
        self.card.make_room(out.len() as u64);
        growing.file.write_all(&out)?;
        growing.index.push(Entry { at: growing.clip.bytes, from, key });
        growing.clip.bytes += out.len() as u64;
        growing.clip.to = to;
        if !self.sample {
            self.card.list(self.channel, growing);
        }
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        let Some(mut growing) = self.file.take() else { return Ok(()) };
        let closed = growing.close();
        // One that could not be closed can be played all the same.
        self.card.list(self.channel, &growing);
        closed
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        // Only of use after an error: what is there stays listed, and the next start closes it.
        if let Some(growing) = self.file.as_mut().filter(|_| !self.sample) {
            growing.clip.growing = false;
            self.card.list(self.channel, growing);
        }
    }
}

impl Card {
    /// Shows a clip as it is now.
    fn list(&self, channel: u16, growing: &Growing) {
        let Growing { path, sample, clip, index, .. } = growing;
        let mut clips = self.lock();
        match clips.get_mut(&(channel, clip.from)) {
            Some(kept) => {
                kept.clip.clone_from(clip);
                kept.path.clone_from(path);
                // A reader may hold it: then it is copied, once a second at most.
                let known = Arc::make_mut(kept.index.get_or_insert_default());
                known.extend_from_slice(&index[known.len()..]);
            }
            None => {
                let kept = Kept {
                    clip: clip.clone(),
                    path: path.clone(),
                    sample: *sample,
                    index: Some(Arc::new(index.clone())),
                };
                clips.insert((channel, clip.from), kept);
            }
        }
    }
}

/// Begins a file, with its head.
fn begin(card: &Card, channel: u16, tracks: &[Track], from: UnixMicros, sample: bool) -> io::Result<Growing> {
    let head = fmp4::init(tracks);
    let extension = if sample { samples::UNFINISHED } else { "mp4" };
    let path = folder_of(&card.config.folder, channel).join(format!("{}.{extension}", from.0));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
    file.write_all(&head)?;
    let clip = Clip { from, to: from, bytes: head.len() as u64, growing: true };
    Ok(Growing { file, path, sample, tracks: tracks.to_vec(), clip, start_us: 0, index: Vec::new() })
}

impl Growing {
    /// Ends the file with its index and gives it its name.
    fn close(&mut self) -> io::Result<()> {
        self.clip.growing = false;
        let Growing { clip, index, .. } = self;
        let entry = |entry: &Entry| fmp4::IndexEntry { at: entry.at, time: entry.from.0 - clip.from.0, key: entry.key };
        let entries: Vec<_> = index.iter().map(entry).collect();
        let mut out = Vec::new();
        fmp4::write_index(&mut out, &self.tracks, self.start_us, &entries);
        self.file.write_all(&out)?;
        self.clip.bytes += out.len() as u64;
        let suffix = if self.sample { samples::SUFFIX } else { "" };
        let name = self.path.with_file_name(format!("{}-{}{suffix}.mp4", self.clip.from.0, self.clip.to.0));
        fs::rename(&self.path, &name)?;
        self.path = name;
        Ok(())
    }
}

/// Samples a frame of sound lasts.
fn samples_of(track: &Track, frame: &Frame) -> i64 {
    match &track.codec {
        CodecParameters::G711(parameters) => frame.data.len() as i64 / i64::from(parameters.channels.max(1)),
        _ => i64::from(av::codec::aac::SAMPLES_PER_FRAME),
    }
}

/// Closes a file that begins at `from` and was cut short: what is after its last whole fragment goes. None if
/// nothing is left.
pub(super) fn rescue(path: &Path, from: UnixMicros) -> io::Result<Option<Kept>> {
    let bytes = fs::read(path)?;
    // Cut within its head, it holds nothing.
    let (tracks, head) = fmp4::read_init(&bytes).unwrap_or_default();
    let fragments: Vec<_> = fmp4::scan(&tracks, &bytes[head..]).collect();
    let (Some(first), Some(last)) = (fragments.first(), fragments.last()) else {
        fs::remove_file(path)?;
        return Ok(None);
    };
    let length = (head + last.offset + last.len) as u64;
    let file = OpenOptions::new().append(true).open(path)?;
    file.set_len(length)?;
    let entry = |fragment: &fmp4::Fragment| Entry {
        at: (head + fragment.offset) as u64,
        from: UnixMicros(from.0 + fragment.time - first.time),
        key: fragment.key,
    };
    let index = fragments.iter().map(entry).collect();
    let clip = Clip { from, to: last.to, bytes: length, growing: true };
    let mut growing = Growing { file, path: path.to_owned(), sample: false, tracks, clip, start_us: first.time, index };
    growing.close()?;
    info!(path = %growing.path.display(), "clip closed that was cut short");
    let Growing { path, clip, index, .. } = growing;
    Ok(Some(Kept { clip, path, sample: false, index: Some(Arc::new(index)) }))
}
