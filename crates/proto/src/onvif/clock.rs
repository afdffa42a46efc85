//! The clock of a camera, which tells the date in parts.

use super::schema::{Date, DateTime, Time};
use crate::calendar::{date, days};

/// A date that no calendar has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no calendar date")]
pub struct DateTimeError;

impl DateTime {
    /// From seconds since 1970-01-01 UTC; years outside of 0 to 9999 become the nearest inside.
    pub fn from_unix(seconds: i64) -> Self {
        let seconds = seconds.clamp(days(0, 1, 1) * 86_400, days(9999, 12, 31) * 86_400 + 86_399);
        let (year, month, day) = date(seconds.div_euclid(86_400));
        let of_day = seconds.rem_euclid(86_400) as i32;
        Self {
            time: Time { hour: of_day / 3600, minute: of_day / 60 % 60, second: of_day % 60 },
            date: Date { year: year as i32, month: month as i32, day: day as i32 },
        }
    }

    /// Seconds since 1970-01-01, taking the date as UTC.
    ///
    /// # Errors
    /// If a field is out of its range. Day 31 of a short month runs into the next one.
    pub fn to_unix(&self) -> Result<i64, DateTimeError> {
        let Self { date: Date { year, month, day }, time: Time { hour, minute, second } } = self;
        let fits = (0..=9999).contains(year)
            && (1..=12).contains(month)
            && (1..=31).contains(day)
            && (0..=23).contains(hour)
            && (0..=59).contains(minute)
            && (0..=60).contains(second);
        if !fits {
            return Err(DateTimeError);
        }
        let days = days(i64::from(*year), i64::from(*month), i64::from(*day));
        Ok(days * 86_400 + i64::from(hour * 3600 + minute * 60 + second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for day in (-719_528i64..2_932_897).step_by(13) {
            assert_eq!(DateTime::from_unix(day * 86_400 + 1).to_unix(), Ok(day * 86_400 + 1));
        }
    }

    #[test]
    fn extremes_do_not_overflow() {
        assert_eq!(DateTime::from_unix(i64::MAX).date.year, 9999);
        assert_eq!(DateTime::from_unix(i64::MIN).date.year, 0);
        let wild = DateTime {
            time: Time { hour: i32::MAX, minute: 0, second: 0 },
            date: Date { year: i32::MIN, month: 1, day: 1 },
        };
        assert_eq!(wild.to_unix(), Err(DateTimeError));
    }
}
