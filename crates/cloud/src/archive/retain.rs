//! Letting footage go: by its plan's days, by a recorder's caps, for want of room. Never what is locked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::store::Condemn;
use tokio::time::Instant;
use tracing::{info, warn};

use super::Archives;
use crate::{Storage, UnixMillis};

/// How often it is looked what may go.
const LOOK: Duration = Duration::from_secs(60);
/// Blobs removed between two looks at the garbage.
const SWEEP: u32 = 256;
/// A clock of which nothing speaks is trusted after this.
const TRUST: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// What was removed since the start, by why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Why, in a word or two; segments and bytes.
    pub by_cause: BTreeMap<&'static str, (u64, u64)>,
}

impl Archives {
    /// What was removed since the start.
    pub(crate) fn removed(&self) -> Removed {
        self.removed.lock().expect("no panic while the counters are locked").clone()
    }

    pub(super) async fn retain(self: Arc<Self>) {
        let started = (Instant::now(), self.clock.now());
        loop {
            let done = match self.is_clock_right(started).await {
                Ok(true) => self.retain_once().await,
                // What is older by a wrong clock would be gone when somebody sets it right.
                Ok(false) => self.sweep_garbage().await,
                Err(failure) => Err(failure),
            };
            if let Err(failure) = done {
                warn!(error = %failure, "footage whose time is over stays for now");
            }
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Whether the clock can be trusted with what cannot be got back. Not if it has moved otherwise than time
    /// did; and where nothing was recorded of late, as after a start with a clock that was lost, not for an hour.
    pub(super) async fn is_clock_right(&self, (started, was): (Instant, UnixMillis)) -> Result<bool, ::store::Error> {
        let (now, ran) = (self.clock.now(), started.elapsed());
        if now > was + ran + DAY {
            warn!(now = now.0, "the clock was set forward by more than a day; footage is kept until a restart");
            return Ok(false);
        }
        let newest = self.store.newest_recording().await?;
        Ok(ran > TRUST || newest.is_none_or(|newest| newest + DAY > now))
    }

    /// Removes what is over, and what was to be removed before.
    pub(crate) async fn retain_once(&self) -> Result<(), ::store::Error> {
        self.sweep_garbage().await?;
        let now = self.clock.now();
        let recorders = self.store.recorders().await?;
        let (local, cloud) = (Storage::Local.number(), Storage::Cloud.number());
        for shelf in self.store.shelves().await? {
            let days = if shelf.storage == cloud {
                let planned = self.store.retention_days(&shelf.serial, shelf.channel_no, now).await?;
                planned.unwrap_or(self.settings.days)
            } else {
                // Of a device that is gone, or whose recorder has no cap of days.
                let recorder = recorders.iter().find(|recorder| recorder.serial == shelf.serial);
                match recorder.map(|recorder| recorder.days_max) {
                    Some(0) => continue,
                    days => days.unwrap_or(self.settings.days),
                }
            };
            let of = Some((shelf.serial.as_str(), shelf.channel_no, shelf.storage));
            self.remove(Condemn { of, ended_by: now - DAY * days, bytes: u64::MAX }, "days are over").await?;
        }
        for recorder in recorders.iter().filter(|recorder| recorder.bytes_max > 0) {
            let kept = self.store.recorded_bytes(&recorder.serial, local).await?;
            if let Some(bytes @ 1..) = kept.checked_sub(recorder.bytes_max) {
                let of = Some((recorder.serial.as_str(), 0, local));
                self.remove(Condemn { of, ended_by: UnixMillis(i64::MAX), bytes }, "recorder is full").await?;
            }
        }
        Ok(())
    }

    /// Removes segments, some after some.
    pub(super) async fn remove(&self, mut what: Condemn<'_>, cause: &'static str) -> Result<(), ::store::Error> {
        while what.bytes > 0 && !self.cancel.is_cancelled() {
            let taken = self.store.condemn(what).await?;
            let (Some(first), Some(last)) = (taken.first(), taken.last()) else { break };
            let bytes: u64 = taken.iter().map(|segment| segment.bytes).sum();
            info!(
                cause,
                segments = taken.len(),
                bytes,
                from = first.starts_at.0,
                to = last.ends_at.0,
                first = first.shelf.serial,
                "footage removed"
            );
            self.count(cause, taken.len() as u64, bytes);
            what.bytes = what.bytes.saturating_sub(bytes);
            self.sweep_garbage().await?;
        }
        Ok(())
    }

    fn count(&self, cause: &'static str, segments: u64, bytes: u64) {
        let mut removed = self.removed.lock().expect("no panic while the counters are locked");
        let counted = removed.by_cause.entry(cause).or_default();
        *counted = (counted.0 + segments, counted.1 + bytes);
    }

    /// Removes the blobs of garbage, then the garbage.
    async fn sweep_garbage(&self) -> Result<(), ::store::Error> {
        loop {
            let garbage = self.store.garbage(SWEEP).await?;
            if garbage.is_empty() {
                return Ok(());
            }
            for (shelf, starts_at) in &garbage {
                self.blobs.delete(&super::blob_key(shelf, *starts_at)).await?;
            }
            self.store.delete_garbage(&garbage).await?;
        }
    }
}
