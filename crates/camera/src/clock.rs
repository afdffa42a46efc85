//! The camera's time: one origin for pictures, sound and motion, and a wall clock that may be wrong.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use av::{Ticks, UnixMicros};
use proto::onvif::schema::{Date, DateTime, Time};
use tokio::time::Instant;

/// Time since the camera was started, and what its wall clock shows.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    /// How far the wall clock is ahead of the machine's, microseconds.
    ahead_us: i64,
}

impl Clock {
    /// Starts at zero, with a wall clock that is `ahead_s` seconds ahead.
    pub fn start(ahead_s: i64) -> Clock {
        Clock { origin: Instant::now(), ahead_us: ahead_s.saturating_mul(1_000_000) }
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }

    /// When a point of the camera's time is reached.
    pub fn instant(&self, elapsed: Duration) -> Instant {
        self.origin + elapsed
    }

    /// The wall clock now.
    pub fn wall(&self) -> UnixMicros {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // A clock before 1970 is as good as one at 1970.
        UnixMicros((since.as_micros() as i64).saturating_add(self.ahead_us).max(0))
    }

    /// What the wall clock showed, or will show, at a point of the camera's time.
    pub fn wall_at(&self, elapsed: Duration) -> UnixMicros {
        UnixMicros(self.wall().0 + elapsed.as_micros() as i64 - self.elapsed().as_micros() as i64)
    }
}

/// A point of the camera's time on a clock of `rate` ticks a second, rounded down.
pub fn ticks(elapsed: Duration, rate: u32) -> Ticks {
    Ticks((elapsed.as_nanos() * u128::from(rate) / 1_000_000_000) as i64)
}

/// Date and time as cameras show it: `2026-11-23 20:41:07.123 +08:00`, or `Z` for UTC.
pub fn date_line(wall: UnixMicros, utc_offset_minutes: i16) -> String {
    let millis = wall.0.div_euclid(1000) + i64::from(utc_offset_minutes) * 60_000;
    let DateTime { date: Date { year, month, day }, time: Time { hour, minute, second } } =
        DateTime::from_unix(millis.div_euclid(1000));
    let zone = match utc_offset_minutes {
        0 => "Z".to_owned(),
        offset => {
            let sign = if offset < 0 { '-' } else { '+' };
            format!(" {sign}{:02}:{:02}", offset.abs() / 60, offset.abs() % 60)
        }
    };
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{:03}{zone}", millis.rem_euclid(1000))
}

/// Whole seconds as ISO 8601 has them, with the zone: `2026-11-23T20:41:07+08:00`.
pub fn iso_local(wall: UnixMicros, utc_offset_minutes: i16) -> String {
    let seconds = wall.0.div_euclid(1_000_000) + i64::from(utc_offset_minutes) * 60;
    let DateTime { date: Date { year, month, day }, time: Time { hour, minute, second } } =
        DateTime::from_unix(seconds);
    let (sign, offset) = (if utc_offset_minutes < 0 { '-' } else { '+' }, utc_offset_minutes.abs());
    let zone = format!("{sign}{:02}:{:02}", offset / 60, offset % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{zone}")
}

/// Local time of day.
pub fn time_of_day(wall: UnixMicros, utc_offset_minutes: i16) -> Duration {
    let micros = wall.0 + i64::from(utc_offset_minutes) * 60_000_000;
    Duration::from_micros(micros.rem_euclid(86_400_000_000) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_any_zone() {
        for (seconds, offset, expected) in [
            (0, 0, "1970-01-01 00:00:00.000Z"),
            (951_782_400, 0, "2000-02-29 00:00:00.000Z"),
            (1_795_466_467, 480, "2026-11-24 04:41:07.000 +08:00"),
            (1_795_466_467, -210, "2026-11-23 17:11:07.000 -03:30"),
            (4_107_542_399, 0, "2100-02-28 23:59:59.000Z"),
            (4_107_542_400, 0, "2100-03-01 00:00:00.000Z"),
        ] {
            assert_eq!(date_line(UnixMicros(seconds * 1_000_000), offset), expected);
        }
        assert_eq!(iso_local(UnixMicros(1_795_466_467_900_000), -210), "2026-11-23T17:11:07-03:30");
        assert_eq!(iso_local(UnixMicros(0), 0), "1970-01-01T00:00:00+00:00");
    }

    #[test]
    fn ticks_do_not_drift() {
        assert_eq!(ticks(Duration::from_secs(1_000_000), 90_000), Ticks(90_000_000_000));
        assert_eq!(ticks(Duration::from_millis(50), 90_000), Ticks(4500));
    }
}
