//! How long bytes may wait so that writes merge.
//!
//! A write costs the same whatever its size, so a full node sends fewer and larger ones. Prompt is a
//! write for each picture; thrifty one for each [`THRIFTY`] of media, a mean lag of half that.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

/// The most that bytes wait: with pictures 40 ms apart a block closes each 240 ms, a mean lag of 120 ms.
pub const THRIFTY: Duration = Duration::from_millis(220);
/// Below this share of the node's CPU streams are prompt.
const CALM: f64 = 0.5;
/// At this share and above they are thrifty.
const FULL: f64 = 0.85;

/// The wait in force, shared by all streams.
pub struct Pace {
    merge_ms: AtomicU32,
}

impl Pace {
    /// A wait that starts at `merge`.
    pub fn new(merge: Duration) -> Pace {
        Pace { merge_ms: AtomicU32::new(merge.as_millis() as u32) }
    }

    /// How long the open block may wait for more.
    pub fn merge(&self) -> Duration {
        Duration::from_millis(u64::from(self.merge_ms.load(Ordering::Relaxed)))
    }

    /// Slides between prompt and thrifty as the node's CPU fills, until cancelled.
    pub async fn follow_load(&self, cancel: CancellationToken) {
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let mut ticks = interval(Duration::from_secs(1));
        let (mut cpu_before, mut at) = (process_cpu(), Instant::now());
        let mut smooth = 0.0;
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let (cpu, now) = (process_cpu(), Instant::now());
            let wall = now.duration_since(at).as_secs_f64().max(1e-3);
            smooth = 0.7 * smooth + 0.3 * ((cpu - cpu_before).as_secs_f64() / wall / cores);
            (cpu_before, at) = (cpu, now);
            self.merge_ms.store(merge_for(smooth).as_millis() as u32, Ordering::Relaxed);
        }
    }
}

fn merge_for(share: f64) -> Duration {
    THRIFTY.mul_f64(((share - CALM) / (FULL - CALM)).clamp(0.0, 1.0))
}

/// CPU time this process has used, user and system.
fn process_cpu() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return Duration::ZERO };
    let time = |t: nix::sys::time::TimeVal| Duration::new(t.tv_sec() as u64, t.tv_usec() as u32 * 1000);
    time(usage.user_time()) + time(usage.system_time())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slides_from_prompt_to_thrifty() {
        assert_eq!(merge_for(0.1), Duration::ZERO);
        assert_eq!(merge_for(1.0), THRIFTY);
        let half = merge_for((CALM + FULL) / 2.0);
        assert!(half > THRIFTY / 3 && half < THRIFTY * 2 / 3, "{half:?}");
    }
}
