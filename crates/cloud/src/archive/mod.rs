//! Footage kept: how it is written, found again, read, and let go.
//!
//! A segment goes through three places: a *spool* file that grows by parts, a *blob* that never changes,
//! a *row* that lists it. The spool file stays until the row is there, so whatever a crash leaves half
//! done is seen in the spool folder alone, and start-up finishes it by the steps that were missing:
//!
//! | Step | Where | A crash behind it leaves |
//! |---|---|---|
//! | parts are appended, each in one write; synced every few seconds | `spool.rs` | a file that is cut at its last whole part |
//! | the index is appended, the file synced | `spool.rs` | a finished file |
//! | the blob store adopts the file | `spool.rs` | a blob and its spool file |
//! | the row is inserted | `list.rs` | a listed segment and its spool file |
//! | the spool file is removed | `list.rs` | nothing |
//!
//! Going is the other way: the row becomes garbage, the blob is removed, the garbage row is
//! (`retain.rs`). The invariant of all this is that *a listed segment exists with its size and hash*, and
//! `check.rs` looks whether that is so.

mod check;
mod footage;
mod list;
mod read;
mod record;
mod recover;
mod retain;
mod space;
mod spool;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ::device::ChannelNo;
use ::store::{BlobStore, MetaStore, Shelf};
use media::ArchiveError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::device::check_serial;
use crate::{Clock, Error, Storage, UnixMillis};

pub use check::{Check, Checked, Fault, FaultKind, check};
pub use read::{Segment, SegmentIndex};
pub use record::{RecorderSetting, RecorderState, RecordingChannel, RecordingState};
pub use retain::Removed;
pub use space::Space;

pub(crate) use record::Recorders;

use list::Lister;
use space::SpaceKeeper;
use spool::Growing;

/// How footage is kept.
#[derive(Clone)]
pub struct RecordSettings {
    /// Folder of the blobs, below the data folder unless it is absolute.
    pub blobs: PathBuf,
    /// A part has about this much media: what a killed server loses.
    pub part: Duration,
    /// A segment has about this much.
    pub segment: Duration,
    /// Open segments are synced this often: what a power cut takes.
    pub sync: Duration,
    /// Nothing is recorded while less than this is free, bytes.
    pub free_min: u64,
    /// When room runs out, footage older than this gives way, the oldest first; younger is kept and recording
    /// waits.
    pub keep_min: Duration,
    /// Days that footage is kept for channels that have had no plan.
    pub days: u32,
    /// Tells how much is free.
    pub space: Space,
}

impl Default for RecordSettings {
    fn default() -> RecordSettings {
        RecordSettings {
            blobs: PathBuf::from("blobs"),
            part: Duration::from_secs(1),
            segment: Duration::from_secs(60),
            sync: Duration::from_secs(4),
            free_min: 1 << 30,
            keep_min: Duration::from_secs(24 * 3600),
            days: 30,
            space: Space::system(),
        }
    }
}

/// The footage of this node.
pub(crate) struct Archives {
    store: MetaStore,
    blobs: BlobStore,
    spool: PathBuf,
    clock: Clock,
    settings: RecordSettings,
    /// Segments that are open or not listed yet, by their start.
    growing: Mutex<BTreeMap<Shelf, BTreeMap<UnixMillis, Arc<Growing>>>>,
    /// Files were made in the spool folder since it was last synced.
    spool_changed: AtomicBool,
    lister: Lister,
    space: SpaceKeeper,
    removed: Mutex<Removed>,
    writes: AtomicU64,
    syncs: AtomicU64,
    cancel: CancellationToken,
    tasks: TaskTracker,
    /// Where a test breaks off.
    #[cfg(test)]
    stop_behind: Mutex<Option<spool::Step>>,
}

/// What was written to the disk since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Writes: one a part, one a segment for its beginning and one for its end.
    pub writes: u64,
    /// Files synced, folders left out.
    pub syncs: u64,
}

impl Archives {
    /// Opens the folders and starts what works beside recording: finishing what was left half done,
    /// syncing, listing, retention.
    pub async fn open(
        data: &std::path::Path,
        store: MetaStore,
        clock: Clock,
        settings: RecordSettings,
    ) -> Result<Arc<Archives>, Error> {
        let spool = data.join("spool");
        crate::file::make_folder(&spool).await?;
        let blobs = BlobStore::disk(&data.join(&settings.blobs))?;
        // Before anything is recorded: what is there now was left behind.
        let left = spool::left_behind(&spool)?;
        let archives = Arc::new(Archives {
            store,
            blobs,
            spool,
            clock,
            settings,
            growing: Mutex::default(),
            spool_changed: AtomicBool::new(false),
            lister: Lister::default(),
            space: SpaceKeeper::default(),
            removed: Mutex::default(),
            writes: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            cancel: CancellationToken::new(),
            tasks: TaskTracker::new(),
            #[cfg(test)]
            stop_behind: Mutex::default(),
        });
        archives.look_at_space().await;
        archives.tasks.spawn(archives.clone().recover_all(left));
        archives.tasks.spawn(archives.clone().list_segments());
        archives.tasks.spawn(archives.clone().sync_open_files());
        archives.tasks.spawn(archives.clone().keep_space());
        archives.tasks.spawn(archives.clone().retain());
        Ok(archives)
    }

    /// Ends everything that works beside recording, which ends before; what is not listed then is by the
    /// next start.
    pub async fn close(&self) {
        self.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// What was written since the start.
    pub fn written(&self) -> Written {
        Written { writes: self.writes.load(Ordering::Relaxed), syncs: self.syncs.load(Ordering::Relaxed) }
    }

    fn growing(&self) -> MutexGuard<'_, BTreeMap<Shelf, BTreeMap<UnixMillis, Arc<Growing>>>> {
        self.growing.lock().expect("no panic while the table is locked")
    }
}

impl Storage {
    /// Its number in rows.
    pub(crate) fn number(self) -> u8 {
        match self {
            Storage::Local => 1,
            Storage::Cloud => 2,
        }
    }

    /// The inverse of [`Storage::number`].
    pub(crate) fn numbered(number: u8) -> Option<Storage> {
        [Storage::Local, Storage::Cloud].into_iter().find(|storage| storage.number() == number)
    }
}

pub(crate) fn shelf(serial: &str, channel: ChannelNo, storage: Storage) -> Shelf {
    Shelf { serial: serial.to_owned(), channel_no: channel.0, storage: storage.number() }
}

const DAY_MS: i64 = 86_400_000;
/// The last millisecond of the year 9999.
const LATEST_MS: i64 = 253_402_300_799_999;

/// The key of a segment's blob: `STORAGE/SERIAL/CHANNEL/DAY/START.mp4`; start in milliseconds and day in
/// days since 1970.
fn blob_key(shelf: &Shelf, starts_at: UnixMillis) -> String {
    let Shelf { serial, channel_no, storage } = shelf;
    let storage = Storage::numbered(*storage).map_or("other", Storage::name);
    format!("{storage}/{serial}/{channel_no}/{}/{}.mp4", starts_at.0.div_euclid(DAY_MS), starts_at.0)
}

/// A segment by the parts of its name, which may come from anybody who can write into a folder.
fn named(storage: &str, serial: &str, channel: &str, start: &str) -> Option<(Shelf, UnixMillis)> {
    let formed = check_serial(serial).is_ok_and(|checked| checked == serial);
    let starts_at = UnixMillis(start.parse().ok().filter(|start| (0..=LATEST_MS).contains(start))?);
    formed.then_some((shelf(serial, ChannelNo(channel.parse().ok()?), Storage::named(storage)?), starts_at))
}

/// The inverse of [`blob_key`].
fn of_blob_key(key: &str) -> Option<(Shelf, UnixMillis)> {
    let mut parts = key.split('/');
    let [storage, serial, channel, day, start] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    let (shelf, starts_at) = named(storage, serial, channel, start.strip_suffix(".mp4")?)?;
    (parts.next().is_none() && !day.is_empty() && blob_key(&shelf, starts_at) == key).then_some((shelf, starts_at))
}

/// Why something could not be kept, for the recorder.
fn archive_error(error: ::store::Error) -> ArchiveError {
    match error {
        ::store::Error::Full => ArchiveError::Full,
        error => ArchiveError::Unavailable(error.into()),
    }
}
