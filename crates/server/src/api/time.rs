//! Times as the API writes them: `yyyy-MM-dd HH:mm:ss` in the platform's zone.

use store::UnixMillis;

use crate::config::UtcOffset;

/// A point in time as local text, without fractions.
pub fn local_text(at: UnixMillis, zone: UtcOffset) -> String {
    let seconds = at.as_secs() + i64::from(zone.0) * 60;
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

/// Year, month and day of a number of days since 1970-01-01 in the proleptic Gregorian calendar.
///
/// Counts in eras of 400 years that begin on 1 March, so that the leap day is the last of its year.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468; // 0000-03-01 to 1970-01-01
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Months from March on have 31, 30, 31, 30, 31 days, again and again: 153 in five.
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let year = year + era * 400 + i64::from(month >= 10);
    (year, if month < 10 { month + 3 } else { month - 9 }, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values are those of `date` of GNU coreutils.
    #[test]
    fn local_text_is_what_date_says() {
        let check = |seconds: i64, minutes: i32, expected: &str| {
            assert_eq!(local_text(UnixMillis(seconds * 1000 + 999), UtcOffset(minutes)), expected);
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
}
