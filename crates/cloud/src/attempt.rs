//! Guessing: how often one may be wrong before one has to wait (T24). Counts survive a restart.

use std::time::Duration;

use store::{AttemptRow, UnixMillis};

use crate::{Cloud, Error};

const fn minutes(n: u64) -> Duration {
    Duration::from_secs(60 * n)
}

/// How many wrong guesses lead to how long a wait.
pub(crate) struct Limit {
    /// Wrong guesses within [`Limit::window`] that lock.
    wrong_max: u32,
    window: Duration,
    /// The first lock; each one after it is twice as long, up to [`Limit::lock_max`].
    lock_first: Duration,
    lock_max: Duration,
    /// A right guess wipes the slate.
    forgiving: bool,
}

/// Codes guessed for one device, by whomever. Who knows the code is no guesser. At the longest lock
/// 26⁶ codes take more than a hundred thousand years.
pub(crate) const OF_DEVICE: Limit =
    Limit { wrong_max: 5, window: minutes(10), lock_first: minutes(10), lock_max: minutes(24 * 60), forgiving: true };

/// Codes guessed by one account, for whatever device: bounds trying many serials, and the rows that
/// unknown serials leave. Not forgiving, or an own device's code would buy more guesses; not growing,
/// or one user of a large application would shut out all the others for long.
pub(crate) const OF_ACCOUNT: Limit =
    Limit { wrong_max: 100, window: minutes(10), lock_first: minutes(10), lock_max: minutes(10), forgiving: false };

/// Card keys guessed by one account for one device; documented. Keys are long enough not to be guessed:
/// the lock tells people that they have the wrong card.
pub(crate) const OF_CARDS: Limit = Limit {
    wrong_max: 5,
    window: minutes(24 * 60),
    lock_first: minutes(24 * 60),
    lock_max: minutes(24 * 60),
    forgiving: false,
};

/// A subject left alone for this long begins with a short lock again, and its row may go.
pub(crate) const FORGOTTEN: Duration = minutes(7 * 24 * 60);

impl Limit {
    /// The row after one more guess; `None` while it is locked, when nothing counts.
    fn count(&self, before: AttemptRow, right: bool, now: UnixMillis) -> Option<AttemptRow> {
        if before.locked_until > now {
            return None;
        }
        if right {
            return Some(if self.forgiving { AttemptRow::default() } else { before });
        }
        let level = if now > before.locked_until + FORGOTTEN { 0 } else { before.level };
        let fresh = before.wrong == 0 || now > before.window_start + self.window;
        let (wrong, window_start) = if fresh { (1, now) } else { (before.wrong + 1, before.window_start) };
        if wrong < self.wrong_max {
            return Some(AttemptRow { wrong, window_start, level, ..before });
        }
        let lock = self.lock_first.saturating_mul(1 << level.min(16)).min(self.lock_max);
        Some(AttemptRow { wrong: 0, window_start: now, level: level.saturating_add(1), locked_until: now + lock })
    }
}

impl Cloud {
    /// Counts a guess about `subject`, one after the other however many come at once.
    ///
    /// # Errors
    /// `RateLimited` while the subject is locked, whether the guess is right or not.
    pub(crate) async fn guess(&self, subject: &str, limit: &Limit, right: bool) -> Result<(), Error> {
        let now = self.clock.now();
        let counted = self.store.update_attempts(subject, |before| limit.count(before, right, now)).await?;
        if counted { Ok(()) } else { Err(Error::RateLimited) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Guesses wrong until locked; gives the number of guesses and the length of the lock in minutes.
    fn until_locked(limit: &Limit, row: &mut AttemptRow, now: UnixMillis) -> (u32, i64) {
        for n in 1.. {
            *row = limit.count(*row, false, now).unwrap();
            if row.locked_until > now {
                return (n, (row.locked_until.0 - now.0) / 60_000);
            }
        }
        unreachable!()
    }

    #[test]
    fn t24_locks_double_up_to_a_day_and_shrink_when_left_alone() {
        let mut row = AttemptRow::default();
        let mut now = UnixMillis(1_790_000_000_000);
        for minutes in [10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440] {
            assert_eq!(until_locked(&OF_DEVICE, &mut row, now), (5, minutes));
            assert_eq!(OF_DEVICE.count(row, true, row.locked_until - Duration::from_millis(1)), None);
            now = row.locked_until;
        }
        now = now + FORGOTTEN + Duration::from_millis(1);
        assert_eq!(until_locked(&OF_DEVICE, &mut row, now), (5, 10));
    }

    #[test]
    fn t24_slow_guesses_never_lock_and_a_right_one_wipes_the_slate() {
        let (mut row, mut now) = (AttemptRow::default(), UnixMillis(1_790_000_000_000));
        for _ in 0..100 {
            row = OF_DEVICE.count(row, false, now).unwrap();
            assert_eq!(row.wrong, 1);
            now = now + minutes(10) + Duration::from_millis(1);
        }
        for _ in 0..4 {
            row = OF_DEVICE.count(row, false, now).unwrap();
        }
        assert_eq!(OF_DEVICE.count(row, true, now), Some(AttemptRow::default()));
        assert_eq!(OF_ACCOUNT.count(row, true, now), Some(row));
    }
}
