//! Local time, as people and addresses write it.

use std::fmt;
use std::time::Duration;

use crate::UnixMillis;

const DAY_S: i64 = 86_400;

/// A date and time of day of the Gregorian calendar, in a zone that its maker knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocalTime {
    /// Year; 0 to 9999 when it was read.
    pub year: i64,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day of the month, 1 to 31.
    pub day: u8,
    /// Hour, 0 to 23.
    pub hour: u8,
    /// Minute, 0 to 59.
    pub minute: u8,
    /// Second, 0 to 59.
    pub second: u8,
}

impl LocalTime {
    /// The local time of a moment, without fractions, so many minutes east of UTC.
    pub fn of(at: UnixMillis, utc_offset_minutes: i32) -> LocalTime {
        let seconds = at.as_secs() + i64::from(utc_offset_minutes) * 60;
        let (year, month, day) = date(seconds.div_euclid(DAY_S));
        let of_day = seconds.rem_euclid(DAY_S);
        let [hour, minute, second] = [of_day / 3600, of_day / 60 % 60, of_day % 60].map(|n| n as u8);
        LocalTime { year, month, day, hour, minute, second }
    }

    /// The moment that this is, so many minutes east of UTC.
    pub fn at(self, utc_offset_minutes: i32) -> UnixMillis {
        let of_day = i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second);
        let days = days(self.year, self.month.into(), self.day.into());
        UnixMillis((days * DAY_S + of_day - i64::from(utc_offset_minutes) * 60) * 1000)
    }

    /// Midnight of a day; `None` if the calendar has no such day.
    pub fn midnight(year: u16, month: u8, day: u8) -> Option<LocalTime> {
        LocalTime { year: year.into(), month, day, hour: 0, minute: 0, second: 0 }.checked()
    }

    /// Reads `yyyy-MM-dd HH:mm:ss`.
    pub fn read(text: &str) -> Option<LocalTime> {
        LocalTime::read_as(text, b"0000-00-00 00:00:00")
    }

    /// Reads `yyyyMMddHHmmss`, as addresses have it.
    pub fn read_compact(text: &str) -> Option<LocalTime> {
        LocalTime::read_as(text, b"00000000000000")
    }

    /// `yyyyMMddHHmmss`, as addresses have it.
    pub fn compact(self) -> String {
        let LocalTime { year, month, day, hour, minute, second } = self;
        format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}")
    }

    /// Midnight before it, or itself.
    pub fn day_start(self) -> LocalTime {
        LocalTime { hour: 0, minute: 0, second: 0, ..self }
    }

    /// Reads 14 digits that stand where the form has a zero.
    fn read_as(text: &str, form: &[u8]) -> Option<LocalTime> {
        let text = text.as_bytes();
        let alike = |(a, b): (&u8, &u8)| if *b == b'0' { a.is_ascii_digit() } else { a == b };
        if text.len() != form.len() || !text.iter().zip(form).all(alike) {
            return None;
        }
        let mut digits = text.iter().filter(|b| b.is_ascii_digit()).map(|b| b - b'0');
        let mut pair = || Some(digits.next()? * 10 + digits.next()?);
        let year = i64::from(pair()?) * 100 + i64::from(pair()?);
        LocalTime { year, month: pair()?, day: pair()?, hour: pair()?, minute: pair()?, second: pair()? }.checked()
    }

    /// Itself, if the calendar has it.
    fn checked(self) -> Option<LocalTime> {
        let clock = self.hour < 24 && self.minute < 60 && self.second < 60;
        // A day too many, or month 13, comes back as another date.
        let known = clock && self.month > 0 && LocalTime::of(self.at(0), 0) == self;
        known.then_some(self)
    }
}

impl fmt::Display for LocalTime {
    /// `yyyy-MM-dd HH:mm:ss`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LocalTime { year, month, day, hour, minute, second } = self;
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }
}

/// The days of a month, as local midnights; `None` if the calendar has no such month.
pub fn days_of_month(year: u16, month: u8) -> Option<Vec<LocalTime>> {
    let first = LocalTime::midnight(year, month, 1)?;
    let day = |n: u32| LocalTime::of(first.at(0) + n * Duration::from_secs(DAY_S as u64), 0);
    Some((0..31).map(day).take_while(|day| day.month == month).collect())
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar.
///
/// Counts in eras of 400 years that begin on 1 March, so that the leap day is the last of its year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    // Months from March on have 31, 30, 31, 30, 31 days, again and again: 153 in five.
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month and day of a number of days since 1970-01-01; the inverse of [`days`].
fn date(days: i64) -> (i64, u8, u8) {
    let days = days + 719_468; // 0000-03-01 to 1970-01-01
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let year = year + era * 400 + i64::from(month >= 10);
    (year, (if month < 10 { month + 3 } else { month - 9 }) as u8, day_of_month as u8)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    /// Expected values are those of `date` of GNU coreutils.
    #[test]
    fn local_time_is_what_date_says() {
        let check = |seconds: i64, minutes: i32, expected: &str| {
            let at = UnixMillis(seconds * 1000 + 999);
            assert_eq!(LocalTime::of(at, minutes).to_string(), expected);
            if expected.len() == 19 {
                assert_eq!(LocalTime::read(expected).unwrap().at(minutes), UnixMillis(seconds * 1000));
            }
        };
        check(0, 480, "1970-01-01 08:00:00");
        check(951_782_400, 480, "2000-02-29 08:00:00");
        check(951_868_800, 0, "2000-03-01 00:00:00");
        check(1_583_020_799, 480, "2020-03-01 07:59:59");
        check(4_107_513_599, 480, "2100-02-28 23:59:59");
        check(4_107_513_600, 480, "2100-03-01 00:00:00");
        check(1_606_999_273, 480, "2020-12-03 20:41:13");
        check(1_606_999_273, -210, "2020-12-03 09:11:13");
        check(253_402_300_799, 480, "10000-01-01 07:59:59");
    }

    #[test]
    fn only_what_the_calendar_has_is_read() {
        let odd = [
            "",
            "2026-02-29 00:00:00",
            "2026-00-01 00:00:00",
            "2026-13-01 00:00:00",
            "2026-01-00 00:00:00",
            "2026-04-31 00:00:00",
            "2026-01-01 24:00:00",
            "2026-01-01 23:60:00",
            "2026-01-01 23:59:60",
            "2026-01-01T00:00:00",
            "2026-01-01 00:00:0é",
            "+026-01-01 00:00:00",
            "20260101000000",
        ];
        for text in odd {
            assert_eq!(LocalTime::read(text), None, "{text}");
        }
        assert_eq!(LocalTime::read_compact("2026010100000"), None);
        assert_eq!(LocalTime::read_compact("2026-01-01 00:00:00"), None);
        assert_eq!(LocalTime::midnight(2026, 0, 1), None);
    }

    #[test]
    fn months_have_their_days() {
        let length = |year, month| days_of_month(year, month).map(|days| days.len());
        assert_eq!([length(2026, 1), length(2026, 2), length(2028, 2), length(2026, 4)], [31, 28, 29, 30].map(Some));
        assert_eq!([length(2026, 0), length(2026, 13)], [None, None]);
        assert_eq!(days_of_month(2026, 12).unwrap()[30].to_string(), "2026-12-31 00:00:00");
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(seconds in -62_000_000_000..253_000_000_000_i64, minutes in -900..=900_i32) {
            let local = LocalTime::of(UnixMillis(seconds * 1000), minutes);
            prop_assert_eq!(local.at(minutes), UnixMillis(seconds * 1000));
            prop_assert_eq!(LocalTime::read(&local.to_string()), Some(local));
            prop_assert_eq!(LocalTime::read_compact(&local.compact()), Some(local));
        }

        #[test]
        fn any_text_is_survived(text in ".{0,24}") {
            let _ = LocalTime::read(&text);
            let _ = LocalTime::read_compact(&text);
        }
    }
}
