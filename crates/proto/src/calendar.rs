//! Moments as messages write them: calendar dates in UTC and the microseconds everything else counts in.
//!
//! One reader takes both forms of ISO 8601 that cameras use: `2026-01-31T08:00:00.5Z` (XML Schema's
//! `dateTime`) and `20260131T080000.5Z` (RFC 2326 §3.7, Hikvision's play-back addresses).

use av::UnixMicros;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400;

/// Days since 1970-01-01 of a date of the Gregorian calendar.
pub(crate) fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March here, so that the leap day is the last one.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date that many days after 1970-01-01: year, month, day.
pub(crate) fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

/// `2026-01-31T08:00:00Z`, with milliseconds where there are any. Years outside of 0 to 9999 become the
/// nearest inside.
pub fn write(at: UnixMicros) -> String {
    form(at, "-", ":")
}

/// `20260131T080000Z`, otherwise as [`write`].
pub fn write_basic(at: UnixMicros) -> String {
    form(at, "", "")
}

fn form(at: UnixMicros, dash: &str, colon: &str) -> String {
    let seconds = at.0.div_euclid(SECOND).clamp(days(0, 1, 1) * DAY, days(9999, 12, 31) * DAY + DAY - 1);
    let (year, month, day) = date(seconds.div_euclid(DAY));
    let of_day = seconds.rem_euclid(DAY);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let fraction = match at.0.rem_euclid(SECOND) / 1000 {
        0 => String::new(),
        millis => format!(".{millis:03}"),
    };
    format!("{year:04}{dash}{month:02}{dash}{day:02}T{hour:02}{colon}{minute:02}{colon}{second:02}{fraction}Z")
}

/// Reads a moment with `Z` or an offset, or without either (then UTC). Day 31 of a short month runs into
/// the next one. `None` for anything that is none.
pub fn parse(text: &str) -> Option<UnixMicros> {
    let (date, time) = text.trim().split_once('T')?;
    let at = time.find(['Z', '+', '-']).unwrap_or(time.len());
    let (time, zone) = time.split_at(at);
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [year, month, day] = parts(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = parts(time, ':', [2, 2, 2])?;
    let fits = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..=23).contains(&hour)
        && (0..=59).contains(&minute)
        && (0..=60).contains(&second);
    // Digits behind the microsecond count for nothing.
    let micros: i64 = number(fraction).and_then(|_| format!("{fraction:0<6}").get(..6)?.parse().ok())?;
    let seconds = days(year, month, day) * DAY + hour * 3600 + minute * 60 + second - offset(zone)?;
    fits.then_some(UnixMicros(seconds * SECOND + micros))
}

/// Three numbers of these lengths, apart by `by` or by nothing.
fn parts(text: &str, by: char, lengths: [usize; 3]) -> Option<[i64; 3]> {
    let mut rest = text;
    let mut found = [0; 3];
    for (index, (place, length)) in found.iter_mut().zip(lengths).enumerate() {
        if index > 0 {
            rest = rest.strip_prefix(by).unwrap_or(rest);
        }
        let (digits, after) = rest.split_at_checked(length)?;
        (*place, rest) = (number(digits)?, after);
    }
    rest.is_empty().then_some(found)
}

fn number(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

/// Seconds east of UTC.
fn offset(zone: &str) -> Option<i64> {
    let (sign, rest) = match zone.split_at_checked(1) {
        None | Some(("Z", "")) => return Some(0),
        Some(("+", rest)) => (1, rest),
        Some(("-", rest)) => (-1, rest),
        Some(_) => return None,
    };
    let (hours, minutes) = rest.split_once(':').or_else(|| rest.split_at_checked(2))?;
    let [hours, minutes] = [hours, minutes].map(|part| number(part).filter(|_| part.len() == 2));
    let (hours, minutes) = (hours.filter(|h| *h <= 14)?, minutes.filter(|m| *m <= 59)?);
    Some(sign * (hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: i64) -> UnixMicros {
        UnixMicros(seconds * SECOND)
    }

    #[test]
    fn known_dates_and_back() {
        for (at, text, basic) in [
            (0, "1970-01-01T00:00:00Z", "19700101T000000Z"),
            (951_782_400, "2000-02-29T00:00:00Z", "20000229T000000Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z", "20240229T000000Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z", "21000228T235959Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z", "21000301T000000Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z", "99991231T235959Z"),
        ] {
            assert_eq!((write(seconds(at)), write_basic(seconds(at))), (text.to_owned(), basic.to_owned()));
            assert_eq!((parse(text), parse(basic)), (Some(seconds(at)), Some(seconds(at))));
        }
        for millis in (-62_167_219_200_000i64..253_402_300_800_000).step_by(1_123_456_789_007) {
            let at = UnixMicros(millis * 1000);
            assert_eq!((parse(&write(at)), parse(&write_basic(at))), (Some(at), Some(at)), "{millis}");
        }
    }

    #[test]
    fn offsets_and_fractions_are_read() {
        for (text, micros) in [
            ("1970-01-01T08:00:00+08:00", 0),
            ("19700101T080000+0800", 0),
            ("1969-12-31T19:30:00.123456789-04:30", 123_456),
            (" 1970-01-01T00:00:01 ", 1_000_000),
            ("1970-01-01T00:00:00.5Z", 500_000),
            ("19700101T000000.04Z", 40_000),
        ] {
            assert_eq!(parse(text), Some(UnixMicros(micros)), "{text}");
        }
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
            "1970-01-01T00:00:00.1234567890123456789Z",
            "1970-01-01T00:00:00+8",
            "99999-01-01T00:00:00Z",
            "1970-01-01T00:00:00é",
            "1970--01-01T00:00:00Z",
            "1970010T000000Z",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn extremes_do_not_overflow() {
        assert!(write(UnixMicros(i64::MAX)).starts_with("9999-12-31"));
        assert!(write_basic(UnixMicros(i64::MIN)).starts_with("00000101"));
    }
}
