//! Segments as they are written: a file in the spool folder until they are listed.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use ::store::{SegmentRow, Shelf};
use async_trait::async_trait;
use av::container::fmp4::{self, IndexEntry};
use av::{Track, UnixMicros};
use bytes::Bytes;
use media::{ArchiveError, OpenSegment, Part, SegmentStart};
use sha2::{Digest, Sha256};
use tracing::{debug, error};

use super::{Archives, LATEST_MS, archive_error, blob_key, named};
use crate::{Storage, UnixMillis};

/// A segment that is not listed yet: open, or on its way.
pub(super) struct Growing {
    pub shelf: Shelf,
    pub starts_at: UnixMillis,
    pub path: PathBuf,
    pub tracks: Vec<Track>,
    file: Arc<File>,
    /// Held while something is written, also when nobody waits for that any more.
    pub writing: Arc<tokio::sync::Mutex<()>>,
    /// Written since it was last synced.
    dirty: AtomicBool,
    progress: Mutex<Progress>,
}

/// How far a segment has grown.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    /// Bytes before the first part.
    pub init_len: u64,
    /// Bytes up to the end of the last whole part.
    pub bytes: u64,
    /// When that part ends.
    pub ends_at: UnixMillis,
    /// Presentation time of the first picture, on the tracks' common clock, µs.
    pub first: Option<i64>,
    /// Where parts begin.
    pub entries: Vec<IndexEntry>,
}

impl Progress {
    /// Counts a part that begins where the last one ended.
    pub fn take(&mut self, found: &fmp4::Fragment, len: u64, to: UnixMicros) {
        let first = *self.first.get_or_insert(found.time);
        self.entries.push(IndexEntry { at: self.bytes, time: found.time.saturating_sub(first), key: found.key });
        self.bytes += len;
        self.ends_at = self.ends_at.max(millis(to));
    }

    /// The index that ends the file.
    pub fn index(&self, tracks: &[Track]) -> Vec<u8> {
        let mut out = Vec::new();
        fmp4::write_index(&mut out, tracks, self.first.unwrap_or(0), &self.entries);
        out
    }
}

impl Growing {
    pub fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().expect("no panic while the progress is locked")
    }

    /// Bytes from `at` on, of whole parts alone.
    pub async fn read(self: Arc<Self>, range: Range<u64>) -> Result<Bytes, ::store::Error> {
        let end = range.end.min(self.progress().bytes);
        let mut bytes = vec![0; end.saturating_sub(range.start) as usize];
        blocking(move || {
            self.file.read_exact_at(&mut bytes, range.start)?;
            Ok(bytes.into())
        })
        .await
    }

    pub fn key(&self) -> String {
        blob_key(&self.shelf, self.starts_at)
    }
}

/// To the millisecond before.
pub(super) fn millis(at: UnixMicros) -> UnixMillis {
    UnixMillis(at.0.div_euclid(1000))
}

/// Name of a spool file: `STORAGE_SERIAL_CHANNEL_START.mp4`.
pub(super) fn file_name(shelf: &Shelf, starts_at: UnixMillis) -> String {
    let storage = Storage::numbered(shelf.storage).map_or("other", Storage::name);
    format!("{storage}_{}_{}_{}.mp4", shelf.serial, shelf.channel_no, starts_at.0)
}

pub(super) fn of_file_name(name: &str) -> Option<(Shelf, UnixMillis)> {
    let mut parts = name.strip_suffix(".mp4")?.split('_');
    let (shelf, starts_at) = named(parts.next()?, parts.next()?, parts.next()?, parts.next()?)?;
    (file_name(&shelf, starts_at) == name).then_some((shelf, starts_at))
}

/// A spool file of an earlier life.
#[derive(Clone, Debug)]
pub(super) struct Left {
    pub path: PathBuf,
    pub shelf: Shelf,
    pub starts_at: UnixMillis,
}

/// The spool files that are there, oldest first. Files of other names are nobody's business.
pub(super) fn left_behind(spool: &Path) -> std::io::Result<Vec<Left>> {
    let mut left = Vec::new();
    for entry in std::fs::read_dir(spool)? {
        let path = entry?.path();
        if let Some((shelf, starts_at)) = path.file_name().and_then(|name| of_file_name(name.to_str()?)) {
            left.push(Left { path, shelf, starts_at });
        }
    }
    left.sort_by_key(|file| file.starts_at);
    Ok(left)
}

/// Runs what waits for the disk.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ::store::Error> + Send + 'static,
) -> Result<T, ::store::Error> {
    tokio::task::spawn_blocking(work).await.map_err(|panic| ::store::Error::Unavailable(panic.into()))?
}

/// One channel's [`media::Archive`].
pub(super) struct ChannelArchive {
    pub archives: Arc<Archives>,
    pub shelf: Shelf,
}

#[async_trait]
impl media::Archive for ChannelArchive {
    async fn begin(&self, start: SegmentStart) -> Result<Box<dyn OpenSegment>, ArchiveError> {
        let archives = &self.archives;
        archives.check_space()?;
        let (tracks, _) = fmp4::read_init(&start.init).map_err(|e| ArchiveError::Unavailable(e.into()))?;
        // One of a kind, also when the clock was set back.
        let mut starts_at = UnixMillis(millis(start.at).0.clamp(0, LATEST_MS));
        while archives.blobs.size(&blob_key(&self.shelf, starts_at)).await.is_ok() {
            starts_at.0 += 1;
        }
        let (spool, shelf, init) = (archives.spool.clone(), self.shelf.clone(), start.init.clone());
        let (file, path, starts_at, hash) =
            blocking(move || create(&spool, &shelf, starts_at, &init)).await.map_err(|e| archives.failed(e))?;
        archives.writes.fetch_add(1, Ordering::Relaxed);
        archives.spool_changed.store(true, Ordering::Relaxed);
        let init_len = start.init.len() as u64;
        let progress = Progress { init_len, bytes: init_len, ends_at: starts_at, first: None, entries: Vec::new() };
        let growing = Arc::new(Growing {
            shelf: self.shelf.clone(),
            starts_at,
            path,
            tracks,
            file: Arc::new(file),
            writing: Arc::default(),
            dirty: AtomicBool::new(true),
            progress: Mutex::new(progress),
        });
        archives.growing().entry(self.shelf.clone()).or_default().insert(starts_at, growing.clone());
        Ok(Box::new(Open { archives: archives.clone(), growing, hash: Some(hash), over: false }))
    }
}

fn create(
    spool: &Path,
    shelf: &Shelf,
    mut starts_at: UnixMillis,
    init: &[u8],
) -> Result<(File, PathBuf, UnixMillis, Sha256), ::store::Error> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let (mut file, path) = loop {
        let path = spool.join(file_name(shelf, starts_at));
        match options.open(&path) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => starts_at.0 += 1,
            opened => break (opened?, path),
        }
    };
    if let Err(e) = file.write_all(init) {
        // Nothing of worth is in it; if it stays, start-up says so too.
        let _ = std::fs::remove_file(&path);
        return Err(e.into());
    }
    Ok((file, path, starts_at, Sha256::new_with_prefix(init)))
}

/// A segment being written.
struct Open {
    archives: Arc<Archives>,
    growing: Arc<Growing>,
    /// Of all that was written. Absent after a failure, or while a write goes on that nobody waits for.
    hash: Option<Sha256>,
    /// Committed, or given to be finished otherwise.
    over: bool,
}

impl Open {
    /// Writes at the end and hashes that.
    async fn write(&mut self, data: Bytes) -> Result<(), ::store::Error> {
        let Some(mut hash) = self.hash.take() else {
            return Err(::store::Error::Unavailable("a write failed before".into()));
        };
        let (file, writing) = (self.growing.file.clone(), self.growing.writing.clone().lock_owned().await);
        let hash = blocking(move || {
            let _writing = writing;
            (&*file).write_all(&data)?;
            hash.update(&data);
            Ok(hash)
        });
        self.hash = Some(hash.await?);
        self.archives.writes.fetch_add(1, Ordering::Relaxed);
        self.growing.dirty.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Index, sync, blob.
    async fn finish(&mut self) -> Result<SegmentRow, ::store::Error> {
        let growing = self.growing.clone();
        let index = growing.progress().index(&growing.tracks);
        let bytes = growing.progress().bytes + index.len() as u64;
        self.write(index.into()).await?;
        let hash = self.hash.take().expect("writing left it there");
        self.archives.finish_step(Step::Index)?;
        let file = growing.file.clone();
        blocking(move || Ok(file.sync_data()?)).await?;
        growing.dirty.store(false, Ordering::Relaxed);
        self.archives.syncs.fetch_add(1, Ordering::Relaxed);
        self.archives.finish_step(Step::Sync)?;
        self.archives.blobs.adopt(&growing.path, &growing.key()).await?;
        self.archives.finish_step(Step::Adopt)?;
        let ends_at = growing.progress().ends_at.max(UnixMillis(growing.starts_at.0 + 1));
        let sha256 = hash.finalize().into();
        Ok(SegmentRow { id: 0, shelf: growing.shelf.clone(), starts_at: growing.starts_at, ends_at, bytes, sha256 })
    }
}

#[async_trait]
impl OpenSegment for Open {
    async fn append(&mut self, part: &Part) -> Result<(), ArchiveError> {
        self.archives.check_space()?;
        let found = fmp4::scan(&self.growing.tracks, &part.data).next();
        let found = found.ok_or_else(|| ArchiveError::Unavailable("a part that is no fragment".into()))?;
        self.write(part.data.clone()).await.map_err(|e| self.archives.failed(e))?;
        self.growing.progress().take(&found, part.data.len() as u64, part.to);
        Ok(())
    }

    async fn commit(mut self: Box<Self>) -> Result<(), ArchiveError> {
        if self.growing.progress().entries.is_empty() {
            return Ok(()); // Dropping it removes what is there.
        }
        let row = self.finish().await.map_err(|e| self.archives.failed(e))?;
        self.over = true;
        self.archives.list(row);
        Ok(())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        // By the way that start-up finishes what a crash left: it reads what is really there.
        self.archives.recover_later(self.growing.clone());
    }
}

/// What a commit does, for tests that end it behind any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Index,
    Sync,
    Adopt,
    List,
}

impl Archives {
    /// What cannot be written is said to the recorder, and whoever else asks for room.
    fn failed(&self, error: ::store::Error) -> ArchiveError {
        if matches!(error, ::store::Error::Full) {
            self.space.ran_out();
        }
        archive_error(error)
    }

    /// Where tests break off.
    pub(super) fn finish_step(&self, _step: Step) -> Result<(), ::store::Error> {
        #[cfg(test)]
        if *self.stop_behind.lock().expect("no panic while it is locked") == Some(_step) {
            return Err(::store::Error::Unavailable("stopped by the test".into()));
        }
        Ok(())
    }

    /// Syncs what was written, again and again, so that a power cut takes little.
    pub(super) async fn sync_open_files(self: Arc<Self>) {
        loop {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return,
                () = tokio::time::sleep(self.settings.sync) => {}
            }
            if let Err(failure) = self.sync_once().await {
                error!(error = %failure, "open segments cannot be synced");
            }
        }
    }

    async fn sync_once(&self) -> Result<(), ::store::Error> {
        let of = |growing: &Arc<Growing>| growing.dirty.swap(false, Ordering::Relaxed).then(|| growing.file.clone());
        let files: Vec<Arc<File>> = self.growing().values().flat_map(|shelf| shelf.values()).filter_map(of).collect();
        let folder = self.spool_changed.swap(false, Ordering::Relaxed).then(|| self.spool.clone());
        debug!(files = files.len(), "sync");
        self.syncs.fetch_add(files.len() as u64, Ordering::Relaxed);
        blocking(move || {
            for file in files {
                file.sync_data()?;
            }
            folder.map_or(Ok(()), |folder| Ok(File::open(folder)?.sync_all()?))
        })
        .await
    }
}
