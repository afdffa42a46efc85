//! Rows of segments whose blobs are there. While the database is away they wait, in memory and, as their
//! spool files stay, on disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use ::store::SegmentRow;
use tokio::sync::Notify;
use tracing::{info, warn};

use super::Archives;
use super::spool::{Step, blocking, left_behind};
use crate::UnixMillis;

/// Rows that wait at most: ten minutes of a thousand channels, some kilobytes each. Further ones are left to their
/// spool files, which are looked for when the database is back.
const WAITING_MAX: usize = 10_000;
/// Rows inserted in one transaction.
const BATCH: usize = 256;
/// The database is tried again after this long.
const RETRY: Duration = Duration::from_secs(1);
/// Every recording is by the clock until alarms record too.
pub(super) const KIND_TIMED: u8 = 1;

#[derive(Default)]
pub(super) struct Lister {
    waiting: Mutex<Waiting>,
    changed: Notify,
    /// Since when the database has refused rows.
    away_since: Mutex<Option<UnixMillis>>,
}

#[derive(Default)]
struct Waiting {
    rows: VecDeque<SegmentRow>,
    /// There were too many.
    overflowed: bool,
}

impl Lister {
    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().expect("no panic while the queue is locked")
    }
}

impl Archives {
    /// Has a segment listed whose blob is there and whose spool file still is.
    pub(super) fn list(&self, row: SegmentRow) {
        let mut waiting = self.lister.waiting();
        if waiting.rows.len() < WAITING_MAX {
            waiting.rows.push_back(row);
        } else {
            waiting.overflowed = true;
            drop(waiting);
            self.forget_growing(&row);
        }
        self.lister.changed.notify_one();
    }

    /// Segments that wait to be listed.
    pub(super) fn unlisted(&self) -> usize {
        self.lister.waiting().rows.len()
    }

    pub(super) async fn list_segments(self: Arc<Self>) {
        loop {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => break,
                () = self.lister.changed.notified() => {}
            }
            loop {
                match self.list_once().await {
                    Ok(0) => break,
                    Ok(_) => {
                        if self.set_away(None).is_some() {
                            info!("database is back; segments are being listed");
                        }
                    }
                    Err(failure) => {
                        if self.set_away(Some(self.clock.now())).is_none() {
                            warn!(error = %failure, "segments cannot be listed; they wait");
                        }
                        tokio::select! {
                            biased;
                            () = self.cancel.cancelled() => return,
                            () = tokio::time::sleep(RETRY) => {}
                        }
                    }
                }
            }
            if std::mem::take(&mut self.lister.waiting().overflowed) {
                self.recover_unlisted().await;
            }
        }
        // Those that were committed just now.
        while matches!(self.list_once().await, Ok(1..)) {}
    }

    /// Since when the database has refused to list segments.
    pub(super) fn away_since(&self) -> Option<UnixMillis> {
        *self.lister.away_since.lock().expect("no panic while it is locked")
    }

    /// Notes that the database is away or back; gives since when it was away.
    fn set_away(&self, now: Option<UnixMillis>) -> Option<UnixMillis> {
        let mut since = self.lister.away_since.lock().expect("no panic while it is locked");
        let before = *since;
        *since = now.map(|now| before.unwrap_or(now));
        before
    }

    /// Lists some; how many.
    async fn list_once(&self) -> Result<usize, ::store::Error> {
        let batch: Vec<SegmentRow> = self.lister.waiting().rows.iter().take(BATCH).cloned().collect();
        if batch.is_empty() {
            return Ok(0);
        }
        self.store.insert_segments(&batch, KIND_TIMED).await?;
        self.lister.waiting().rows.drain(..batch.len());
        if self.finish_step(Step::List).is_ok() {
            let paths: Vec<_> = batch.iter().map(|row| self.spool_path(row)).collect();
            // One that stays is listed again by the next start, which changes nothing.
            let remove = move || {
                for path in paths {
                    if let Err(failure) = std::fs::remove_file(&path) {
                        warn!(file = %path.display(), error = %failure, "spool file stays");
                    }
                }
                Ok(())
            };
            blocking(remove).await?;
        }
        for row in &batch {
            self.forget_growing(row);
        }
        Ok(batch.len())
    }

    fn forget_growing(&self, row: &SegmentRow) {
        let mut growing = self.growing();
        if let Some(shelf) = growing.get_mut(&row.shelf) {
            shelf.remove(&row.starts_at);
            if shelf.is_empty() {
                growing.remove(&row.shelf);
            }
        }
    }

    /// Takes up the spool files that nobody has in hand.
    async fn recover_unlisted(self: &Arc<Self>) {
        match left_behind(&self.spool) {
            Err(failure) => warn!(error = %failure, "spool folder cannot be read"),
            Ok(mut left) => {
                let growing = self.growing();
                left.retain(|file| !growing.get(&file.shelf).is_some_and(|s| s.contains_key(&file.starts_at)));
                drop(growing);
                self.tasks.spawn(self.clone().recover_all(left));
            }
        }
    }
}
