//! When to try again.

use std::time::Duration;

use rand::RngExt;

/// First wait after a failure: no camera is dialled more than once in 2 s (T8).
const FIRST: Duration = Duration::from_secs(2);
/// Longest wait: with jitter 10 s, so that a camera that returns is on line within 15 s.
const LONGEST: Duration = Duration::from_secs(8);
/// Up to this share is added at random, so that a thousand cameras do not return in step.
const JITTER: f64 = 0.25;
/// A success shorter than this does not count: a camera that accepts and drops is still failing.
const STEADY: Duration = Duration::from_secs(10);

/// Doubling waits with jitter.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after one more failure.
    pub fn failed(&mut self) -> Duration {
        let wait = FIRST.saturating_mul(1 << self.failures.min(8)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        wait.mul_f64(1.0 + rand::rng().random_range(0.0..JITTER))
    }

    /// Tells how long the last success held.
    pub fn worked_for(&mut self, held: Duration) {
        if held >= STEADY {
            self.failures = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t8_waits_grow_to_a_ceiling_and_a_short_success_does_not_reset() {
        let mut backoff = Backoff::default();
        let waits: Vec<f64> = (0..6).map(|_| backoff.failed().as_secs_f64()).collect();
        for (wait, floor) in waits.iter().zip([2.0, 4.0, 8.0, 8.0, 8.0, 8.0]) {
            assert!((floor..floor * 1.25).contains(wait), "{waits:?}");
        }
        backoff.worked_for(Duration::from_secs(1));
        assert!(backoff.failed() >= LONGEST);
        backoff.worked_for(Duration::from_secs(11));
        assert!(backoff.failed() < Duration::from_secs(3));
    }
}
