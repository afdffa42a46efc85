//! Wall-clock time as rows carry it.

use std::ops::{Add, Sub};
use std::time::Duration;

/// Milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// Whole seconds since 1970-01-01 UTC, rounded down.
    pub fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }
}

impl Add<Duration> for UnixMillis {
    type Output = UnixMillis;

    /// Saturates at the ends of the range.
    fn add(self, span: Duration) -> UnixMillis {
        UnixMillis(self.0.saturating_add(millis(span)))
    }
}

impl Sub<Duration> for UnixMillis {
    type Output = UnixMillis;

    /// Saturates at the ends of the range.
    fn sub(self, span: Duration) -> UnixMillis {
        UnixMillis(self.0.saturating_sub(millis(span)))
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}
