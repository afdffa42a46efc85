//! Room on the disk: how much there is, and that recording waits before there is none.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::store::Condemn;
use media::ArchiveError;
use tracing::{info, warn};

use super::Archives;
use crate::UnixMillis;

/// How often is looked.
const LOOK: Duration = Duration::from_secs(2);

/// Tells how many bytes are free where a folder is; tests have their own. Cheap to clone.
#[derive(Clone)]
pub struct Space(Arc<Free>);

type Free = dyn Fn(&Path) -> std::io::Result<u64> + Send + Sync;

impl Space {
    /// What the system says.
    pub fn system() -> Space {
        Space::of(|folder| {
            let found = nix::sys::statvfs::statvfs(folder)?;
            // The types differ by system.
            #[allow(clippy::useless_conversion)]
            let (blocks, size) = (u64::from(found.blocks_available()), u64::from(found.fragment_size()));
            Ok(blocks.saturating_mul(size))
        })
    }

    /// What `free` says.
    pub fn of(free: impl Fn(&Path) -> std::io::Result<u64> + Send + Sync + 'static) -> Space {
        Space(Arc::new(free))
    }
}

#[derive(Default)]
pub(super) struct SpaceKeeper {
    state: Mutex<State>,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// Bytes free when it was last looked.
    free: u64,
    /// There is too little, since then.
    full_since: Option<UnixMillis>,
    /// A write found no room since it was last looked.
    ran_out: bool,
}

impl SpaceKeeper {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no panic while the state is locked")
    }

    pub fn ran_out(&self) {
        self.state().ran_out = true;
    }
}

impl Archives {
    /// # Errors
    /// `Full` while there is too little room to record.
    pub(super) fn check_space(&self) -> Result<(), ArchiveError> {
        if self.space.state().full_since.is_some() { Err(ArchiveError::Full) } else { Ok(()) }
    }

    /// Since when there has been too little room, and how much is free.
    pub(crate) fn space(&self) -> (Option<UnixMillis>, u64) {
        let state = self.space.state();
        (state.full_since, state.free)
    }

    /// Looks how much is free; gives that, and whether a write found no room.
    pub(super) async fn look_at_space(&self) -> (u64, bool) {
        let (space, folders) = (self.settings.space.clone(), [self.spool.clone(), self.blobs.folder().to_owned()]);
        let free = tokio::task::spawn_blocking(move || folders.iter().map(|folder| (space.0)(folder).ok()).min());
        // What cannot be looked at is tried by writing.
        let free = free.await.ok().flatten().flatten().unwrap_or(u64::MAX);
        let mut state = self.space.state();
        let before = state.full_since;
        let ran_out = std::mem::take(&mut state.ran_out);
        state.free = free;
        state.full_since = match free < self.settings.free_min {
            true => before.or(Some(self.clock.now())),
            false => None,
        };
        match (before, state.full_since) {
            (None, Some(_)) => warn!(free, "disk is full: recording waits, live goes on"),
            (Some(_), None) => info!(free, "there is room again: recording goes on"),
            _ => {}
        }
        (free, ran_out)
    }

    pub(super) async fn keep_space(self: Arc<Self>) {
        loop {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let (free, ran_out) = self.look_at_space().await;
            // Room is made before it is needed, or the oldest would go only while nothing is recorded.
            let low = self.settings.free_min.saturating_add(self.settings.free_min / 4);
            if free < low || ran_out {
                let wanted = self.settings.free_min.saturating_add(self.settings.free_min / 2);
                let bytes = wanted.saturating_sub(free).max(1);
                let ended_by = self.clock.now() - self.settings.keep_min;
                if let Err(failure) = self.remove(Condemn { of: None, ended_by, bytes }, "disk is full").await {
                    warn!(error = %failure, "no room can be made");
                }
                self.look_at_space().await;
            }
        }
    }
}
