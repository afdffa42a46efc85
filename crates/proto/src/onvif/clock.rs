//! Calendar dates of messages, and the seconds since 1970 everything else uses.

use std::time::Duration;

use super::schema::{Date, DateTime, Time};

/// A date that no calendar has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no calendar date")]
pub struct DateTimeError;

/// Days since 1970-01-01 of a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March here, so that the leap day is the last one.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date that many days after 1970-01-01: year, month, day.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

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

/// Writes a time as `xs:dateTime` in UTC with milliseconds; `now` counts from 1970-01-01 UTC.
pub fn write_utc(now: Duration) -> String {
    let DateTime { date, time } = DateTime::from_unix(now.as_secs() as i64);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        date.year,
        date.month,
        date.day,
        time.hour,
        time.minute,
        time.second,
        now.subsec_millis()
    )
}

/// Reads an `xs:dateTime` with `Z` or an offset, or without either (then UTC), to whole seconds since
/// 1970-01-01 UTC.
pub fn parse_utc(text: &str) -> Result<i64, DateTimeError> {
    let number = |text: &str| match text.bytes().all(|b| b.is_ascii_digit()) {
        true => text.parse::<i32>().map_err(|_| DateTimeError),
        false => Err(DateTimeError),
    };
    let parts = |text: &str, by| -> Result<[i32; 3], DateTimeError> {
        let parts = text.splitn(3, by).map(number).collect::<Result<Vec<_>, _>>()?;
        parts.try_into().map_err(|_| DateTimeError)
    };
    let (date, time) = text.trim().split_once('T').ok_or(DateTimeError)?;
    let at = time.find(['Z', '+', '-']).unwrap_or(time.len());
    let (time, zone) = time.split_at(at);
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    number(fraction.get(..1).ok_or(DateTimeError)?)?;
    let ([year, month, day], [hour, minute, second]) = (parts(date, '-')?, parts(time, ':')?);
    let offset = match zone.split_at_checked(1) {
        None | Some(("Z", "")) => 0,
        Some((sign @ ("+" | "-"), offset)) => {
            let (hours, minutes) = offset.split_once(':').ok_or(DateTimeError)?;
            let (hours, minutes) = (number(hours)?, number(minutes)?);
            if hours > 14 || minutes > 59 {
                return Err(DateTimeError);
            }
            i64::from(hours * 60 + minutes) * if sign == "+" { 60 } else { -60 }
        }
        Some(_) => return Err(DateTimeError),
    };
    let local = DateTime { date: Date { year, month, day }, time: Time { hour, minute, second } };
    Ok(local.to_unix()? - offset)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn known_dates_and_back() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_164_800, "2024-02-29T00:00:00.000Z"),
            (4_107_542_399, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799, "9999-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(write_utc(Duration::from_secs(seconds)), text);
            assert_eq!(parse_utc(text), Ok(seconds as i64));
        }
        for day in (-719_528i64..2_932_897).step_by(13) {
            assert_eq!(DateTime::from_unix(day * 86_400 + 1).to_unix(), Ok(day * 86_400 + 1));
        }
    }

    #[test]
    fn offsets_and_fractions_are_read() {
        assert_eq!(parse_utc("1970-01-01T08:00:00+08:00"), Ok(0));
        assert_eq!(parse_utc("1969-12-31T19:30:00.123456-04:30"), Ok(0));
        assert_eq!(parse_utc("1970-01-01T00:00:01"), Ok(1));
        for bad in [
            "",
            "T",
            "1970-01-01",
            "1970-13-01T00:00:00Z",
            "1970-01-01T24:00:00Z",
            "1970-01-01T00:00Z",
            "1970-01-01T00:00:00+15:00",
            "1970-01-01T00:00:00Zx",
            "+970-01-01T00:00:00Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00+8",
            "99999-01-01T00:00:00Z",
            "1970-01-01T00:00:00é",
        ] {
            assert_eq!(parse_utc(bad), Err(DateTimeError), "{bad}");
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
