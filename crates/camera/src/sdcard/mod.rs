//! The SD card: what the camera's channels saw, in files that any player opens, and room for so much.
//!
//! One folder a channel, `ch1` …, holds fragmented MP4 files of up to five minutes: `FROM-TO.mp4`, both in
//! microseconds since 1970 by the camera's clock. The one being written is `FROM.mp4`; a camera that was
//! switched off in the middle leaves it so, and it is cut after its last whole fragment and closed at the
//! next start. What is listed comes from names; a file is opened when somebody plays it. Samples are named
//! `FROM-TO-sample.mp4`, and are the last to make room.
//!
//! | Module | Holds |
//! |---|---|
//! | [`tape`] | frames in: parts, files, the end of files |
//! | [`recorder`] | when and what is recorded |
//! | [`samples`] | what a new card holds already |
//! | [`reader`] | frames out, of a range |
//!
//! Invariants: a clip that is listed can be played up to its end; the sizes of all clips together stay below
//! the card's once there was anything to delete; whoever reads holds up nobody who writes.

mod reader;
mod recorder;
mod samples;
mod tape;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use av::UnixMicros;
use tokio::sync::watch;
use tracing::{info, warn};

pub use self::reader::{Chunk, Reader};
pub use self::recorder::record;
pub use self::samples::make as make_samples;
use crate::Error;

/// Smallest card, bytes: it must hold a few seconds.
pub const BYTES_MIN: u64 = 1 << 20;
/// Clips closer than this are one stretch: their files were changed without losing a frame.
const GAP_MIN_US: i64 = 20_000;

/// What a card is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardConfig {
    /// Its folder, made if absent. No other camera may have it.
    pub folder: PathBuf,
    /// Bytes it holds, at least 1 MiB; when it is full the oldest clips make room.
    pub bytes_max: u64,
    /// Whether it records from the start, all the time.
    pub record: bool,
    /// Whether a new card holds some clips of yesterday and today already.
    pub samples: bool,
}

impl CardConfig {
    /// A blank card of 512 MiB that records.
    pub fn new(folder: impl Into<PathBuf>) -> CardConfig {
        CardConfig { folder: folder.into(), bytes_max: 512 << 20, record: true, samples: false }
    }
}

/// A stretch of footage in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clip {
    /// When its first picture was taken, by the camera's clock.
    pub from: UnixMicros,
    /// When its last picture ends; of one that grows, what can be played of it now.
    pub to: UnixMicros,
    /// Its size.
    pub bytes: u64,
    /// Whether it is being written.
    pub growing: bool,
}

impl Clip {
    /// Whether another begins where it ends.
    pub fn is_followed_by(&self, next: &Clip) -> bool {
        follows(self.to, next.from)
    }
}

/// Where a fragment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    /// Offset in the file.
    at: u64,
    /// When its first picture was taken.
    from: UnixMicros,
    /// Whether that is a key frame.
    key: bool,
}

/// A clip as it is kept.
struct Kept {
    clip: Clip,
    path: PathBuf,
    /// Whether the card held it when it was new.
    sample: bool,
    /// Its fragments; none until somebody has looked.
    index: Option<Arc<Vec<Entry>>>,
}

/// Channel, and when a clip begins.
type Key = (u16, UnixMicros);

/// A card in its slot.
pub struct Card {
    config: CardConfig,
    clips: Mutex<BTreeMap<Key, Kept>>,
    recording: watch::Sender<bool>,
    /// Whether the samples are all there, or none are wanted.
    ready: watch::Sender<bool>,
}

impl Card {
    /// Puts a card in: finds its clips and closes those that were cut short.
    ///
    /// # Errors
    /// If the folder cannot be made or read.
    pub(crate) fn insert(config: CardConfig, channels: u16) -> Result<Card, Error> {
        let failed = |source| Error::Card { path: config.folder.display().to_string(), source };
        let mut clips = BTreeMap::new();
        for channel in 1..=channels {
            let folder = folder_of(&config.folder, channel);
            fs::create_dir_all(&folder).map_err(failed)?;
            for entry in fs::read_dir(&folder).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                if let Some(kept) = found(&path).map_err(failed)? {
                    clips.insert((channel, kept.clip.from), kept);
                }
            }
        }
        let ready = !config.samples || fs::exists(samples::marker(&config.folder)).map_err(failed)?;
        info!(folder = %config.folder.display(), clips = clips.len(), "card inserted");
        let recording = watch::Sender::new(config.record);
        Ok(Card { config, clips: Mutex::new(clips), recording, ready: watch::Sender::new(ready) })
    }

    /// What it is.
    pub fn config(&self) -> &CardConfig {
        &self.config
    }

    /// Switches recording on or off, for all channels. What is being written is closed soon after.
    pub fn set_recording(&self, on: bool) {
        self.recording.send_replace(on);
    }

    /// Whether it records.
    pub fn is_recording(&self) -> bool {
        *self.recording.borrow()
    }

    /// Whether a new card holds its samples; one that is not new does already.
    pub(crate) fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Waits until a new card holds its samples; one that is not new does already.
    pub async fn ready(&self) {
        // Waiting can only fail without the card, which we hold.
        let _ = self.ready.subscribe().wait_for(|ready| *ready).await;
    }

    /// The clips of a channel that have anything of `from` to `to`, ascending, not clipped.
    pub fn clips(&self, channel: u16, from: UnixMicros, to: UnixMicros) -> Vec<Clip> {
        let clips = self.lock();
        let begun = clips.range((channel, UnixMicros(i64::MIN))..(channel, to)).map(|(_, kept)| &kept.clip);
        begun.filter(|clip| clip.to > from).cloned().collect()
    }

    /// All clips of a channel, those without a gap between them made one.
    pub fn stretches(&self, channel: u16) -> Vec<Clip> {
        let mut stretches: Vec<Clip> = Vec::new();
        for clip in self.clips(channel, UnixMicros(i64::MIN), UnixMicros(i64::MAX)) {
            match stretches.last_mut() {
                Some(last) if last.is_followed_by(&clip) => {
                    *last = Clip { from: last.from, bytes: last.bytes + clip.bytes, ..clip };
                }
                _ => stretches.push(clip),
            }
        }
        stretches
    }

    /// Bytes of all clips.
    pub fn bytes_used(&self) -> u64 {
        self.lock().values().map(|kept| kept.clip.bytes).sum()
    }

    /// The error of this card.
    fn failed(&self, source: io::Error) -> Error {
        Error::Card { path: self.config.folder.display().to_string(), source }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Kept>> {
        self.clips.lock().expect("no holder panics")
    }

    /// Deletes the oldest clips until there is room for `bytes` more.
    fn make_room(&self, bytes: u64) {
        let mut clips = self.lock();
        let mut used: u64 = clips.values().map(|kept| kept.clip.bytes).sum();
        while used + bytes > self.config.bytes_max {
            let closed = clips.iter().filter(|(_, kept)| !kept.clip.growing);
            let oldest = closed.min_by_key(|((_, from), kept)| (kept.sample, *from));
            let Some(key) = oldest.map(|(key, _)| *key) else { return };
            let Some(kept) = clips.remove(&key) else { return };
            used -= kept.clip.bytes;
            // Who reads it reads on: the file has lost its name only.
            if let Err(error) = fs::remove_file(&kept.path) {
                warn!(path = %kept.path.display(), %error, "clip not deleted");
            }
        }
    }
}

/// Whether what begins at `from` goes on where something ended.
fn follows(to: UnixMicros, from: UnixMicros) -> bool {
    (from.0 - to.0).abs() <= GAP_MIN_US
}

fn folder_of(card: &Path, channel: u16) -> PathBuf {
    card.join(format!("ch{channel}"))
}

/// The clip in a file of a card, closed if it was not; files that are none of ours are left alone.
fn found(path: &Path) -> io::Result<Option<Kept>> {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let (stem, sample) = stem.strip_suffix(samples::SUFFIX).map_or((stem, false), |stem| (stem, true));
    let number = |text: &str| text.parse::<i64>().ok().filter(|micros| *micros >= 0).map(UnixMicros);
    match path.extension().and_then(|extension| extension.to_str()) {
        // A sample that was not finished is made again.
        Some(samples::UNFINISHED) => fs::remove_file(path).map(|()| None),
        Some("mp4") => match stem.split_once('-') {
            Some((from, to)) => {
                let (Some(from), Some(to)) = (number(from), number(to)) else { return Ok(None) };
                let bytes = fs::metadata(path)?.len();
                let clip = Clip { from, to, bytes, growing: false };
                Ok(Some(Kept { clip, path: path.to_owned(), sample, index: None }))
            }
            None => number(stem).map_or(Ok(None), |from| tape::rescue(path, from)),
        },
        _ => Ok(None),
    }
}
