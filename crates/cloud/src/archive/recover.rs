//! Spool files that nobody is writing: of an earlier life, or of a write that failed.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::store::SegmentRow;
use av::container::fmp4;
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::spool::{Growing, Left, Progress, Step, blocking, file_name};
use super::{Archives, blob_key};
use crate::UnixMillis;

/// Files finished at the same time: enough to keep a disk busy, and live media comes first.
const AT_ONCE: usize = 2;
/// One that could not be finished is tried again after this long.
const RETRY: Duration = Duration::from_secs(3);

/// What a spool file turned out to be.
enum Found {
    /// There is no whole part in it.
    Nothing,
    /// It does not even begin like a segment.
    Damaged,
    /// It is finished.
    Segment { ends_at: UnixMillis, bytes: u64, sha256: [u8; 32] },
}

impl Archives {
    /// Finishes files, oldest first.
    pub(super) async fn recover_all(self: Arc<Self>, left: Vec<Left>) {
        if left.is_empty() {
            return;
        }
        let count = left.len();
        let mut running = JoinSet::new();
        for file in left {
            if running.len() >= AT_ONCE {
                running.join_next().await;
            }
            running.spawn(self.clone().recover_until_done(file));
        }
        while running.join_next().await.is_some() {}
        if !self.cancel.is_cancelled() {
            info!(files = count, "unfinished segments are finished");
        }
    }

    /// Finishes a file whose writer gave up.
    pub(super) fn recover_later(self: &Arc<Self>, growing: Arc<Growing>) {
        let archives = self.clone();
        self.tasks.spawn(async move {
            let _idle = growing.writing.lock().await;
            let Growing { path, shelf, starts_at, .. } = &*growing;
            let left = Left { path: path.clone(), shelf: shelf.clone(), starts_at: *starts_at };
            archives.recover_until_done(left).await;
        });
    }

    async fn recover_until_done(self: Arc<Self>, mut file: Left) {
        let mut told = false;
        loop {
            // Once even while ending: a stream's last segment is given here then.
            match self.recover(&mut file).await {
                Ok(()) => return,
                Err(failure) if !told => {
                    told = true;
                    warn!(file = %file.path.display(), error = %failure, "segment cannot be finished yet");
                }
                Err(_) => {}
            }
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return,
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }

    async fn recover(&self, file: &mut Left) -> Result<(), ::store::Error> {
        self.finish_step(Step::Index)?;
        let path = file.path.clone();
        let starts_at = file.starts_at;
        let (serial, channel) = (&file.shelf.serial, file.shelf.channel_no);
        let (ends_at, bytes, sha256) = match blocking(move || finish(&path, starts_at)).await {
            Ok(Found::Segment { ends_at, bytes, sha256 }) => (ends_at, bytes, sha256),
            Ok(Found::Nothing) => {
                info!(serial, channel, "segment that has no whole part is dropped");
                tokio::fs::remove_file(&file.path).await?;
                self.forget_left(file);
                return Ok(());
            }
            Ok(Found::Damaged) => {
                let aside = file.path.with_extension("damaged");
                warn!(serial, channel, file = %aside.display(), "segment cannot be read and is put aside");
                tokio::fs::rename(&file.path, &aside).await?;
                self.forget_left(file);
                return Ok(());
            }
            // Somebody finished it meanwhile.
            Err(::store::Error::NotFound) => return Ok(()),
            Err(failure) => return Err(failure),
        };
        self.finish_step(Step::Sync)?;
        while let Err(refused) = self.blobs.adopt(&file.path, &blob_key(&file.shelf, file.starts_at)).await {
            let ::store::Error::Conflict = refused else { return Err(refused) };
            // Another of the same millisecond: the clock was set back.
            self.forget_left(file);
            file.starts_at.0 += 1;
            let path = self.spool.join(file_name(&file.shelf, file.starts_at));
            rename(&file.path, &path)?;
            file.path = path;
        }
        self.finish_step(Step::Adopt)?;
        let shelf = file.shelf.clone();
        self.list(SegmentRow { id: 0, shelf, starts_at: file.starts_at, ends_at, bytes, sha256 });
        Ok(())
    }

    fn forget_left(&self, file: &Left) {
        let mut growing = self.growing();
        if let Some(shelf) = growing.get_mut(&file.shelf) {
            shelf.remove(&file.starts_at);
        }
    }

    pub(super) fn spool_path(&self, row: &SegmentRow) -> PathBuf {
        self.spool.join(file_name(&row.shelf, row.starts_at))
    }
}

/// Gives a spool file another name, unless that is taken.
fn rename(from: &Path, to: &Path) -> Result<(), ::store::Error> {
    std::fs::hard_link(from, to)?;
    Ok(std::fs::remove_file(from)?)
}

/// Cuts a file behind its last whole part and ends it with its index, unless that was done.
fn finish(path: &Path, starts_at: UnixMillis) -> Result<Found, ::store::Error> {
    let bytes = std::fs::read(path)?;
    let (tracks, init_len) = match fmp4::read_init(&bytes) {
        Ok(init) => init,
        // Cut within its init, or never written to the disk at all.
        Err(fmp4::Error::Incomplete { .. }) if bytes.get(4..8).is_none_or(|kind| kind == b"ftyp") => {
            return Ok(Found::Nothing);
        }
        Err(_) if bytes.iter().all(|byte| *byte == 0) => return Ok(Found::Nothing),
        Err(_) => return Ok(Found::Damaged),
    };
    let init_len = init_len as u64;
    let mut progress = Progress { init_len, bytes: init_len, ends_at: starts_at, first: None, entries: Vec::new() };
    for found in fmp4::scan(&tracks, &bytes[init_len as usize..]) {
        let end = init_len + (found.offset + found.len) as u64;
        progress.take(&found, end - progress.bytes, found.to);
    }
    if progress.entries.is_empty() {
        return Ok(Found::Nothing);
    }
    let ends_at = progress.ends_at.max(UnixMillis(starts_at.0 + 1));
    if fmp4::read_index(&tracks, &bytes).is_ok() {
        // Finished, perhaps a blob already: not to be touched. That it reached the disk is not known.
        OpenOptions::new().read(true).open(path)?.sync_all()?;
        return Ok(Found::Segment { ends_at, bytes: bytes.len() as u64, sha256: Sha256::digest(&bytes).into() });
    }
    let index = progress.index(&tracks);
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.set_len(progress.bytes)?;
    file.seek(SeekFrom::End(0))?;
    file.write_all(&index)?;
    file.sync_all()?;
    let hash = Sha256::new_with_prefix(&bytes[..progress.bytes as usize]).chain_update(&index);
    let size = progress.bytes + index.len() as u64;
    Ok(Found::Segment { ends_at, bytes: size, sha256: hash.finalize().into() })
}
