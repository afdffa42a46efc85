//! When to try again.

use std::time::Duration;

use rand::RngExt;

/// First wait after a failure: no camera is dialled more than once in 2 s (T8).
const FIRST: Duration = Duration::from_secs(2);
/// Longest wait: with jitter 10 s, so that a camera that returns is on line within 15 s.
const LONGEST: Duration = Duration::from_secs(8);
/// Refused logins in a row that may be a camera's hiccup while it starts.
const REFUSALS_SHORT: u32 = 2;
/// First wait after more of them, and the longest: some cameras lock an address out for half an hour after
/// five or seven wrong logins, and each further one begins that anew.
const FIRST_REFUSED: Duration = Duration::from_secs(60);
const LONGEST_REFUSED: Duration = Duration::from_secs(300);
/// Up to this share is added at random, so that a thousand cameras do not return in step.
const JITTER: f64 = 0.25;
/// A success shorter than this does not count: a camera that accepts and drops is still failing.
const STEADY: Duration = Duration::from_secs(10);

/// Doubling waits with jitter.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
    /// Refused logins since anything else.
    refusals: u32,
}

fn doubled(first: Duration, times: u32) -> Duration {
    first.saturating_mul(1 << times.min(8))
}

fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(1.0 + rand::rng().random_range(0.0..JITTER))
}

impl Backoff {
    /// The wait after one more failure.
    pub fn failed(&mut self) -> Duration {
        let wait = doubled(FIRST, self.failures).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        self.refusals = 0;
        jittered(wait)
    }

    /// The wait after one more failure that was a refused login, which trying again does not mend.
    pub fn refused(&mut self) -> Duration {
        let refusals = self.refusals.saturating_add(1);
        let short = self.failed();
        self.refusals = refusals;
        match refusals.checked_sub(REFUSALS_SHORT + 1) {
            None => short,
            Some(more) => jittered(doubled(FIRST_REFUSED, more).min(LONGEST_REFUSED)),
        }
    }

    /// Tells how long the last success held.
    pub fn worked_for(&mut self, held: Duration) {
        self.refusals = 0;
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

    #[test]
    fn refused_logins_are_not_repeated_until_an_address_is_locked_out() {
        let mut backoff = Backoff::default();
        let waits: Vec<f64> = (0..7).map(|_| backoff.refused().as_secs_f64()).collect();
        for (wait, floor) in waits.iter().zip([2.0, 4.0, 60.0, 120.0, 240.0, 300.0, 300.0]) {
            assert!((floor..floor * 1.25).contains(wait), "{waits:?}");
        }
        // Another failure between them: it is not the login alone.
        assert!(backoff.failed() < LONGEST * 2);
        assert!(backoff.refused() < LONGEST * 2);
    }
}
