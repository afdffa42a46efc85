//! The text of a media playlist.

use std::fmt::{self, Write};

use av::UnixMicros;

/// One line after the other of a media playlist.
pub struct Playlist {
    text: String,
}

impl Playlist {
    pub(super) fn new(version: u8) -> Playlist {
        Playlist { text: format!("#EXTM3U\n#EXT-X-VERSION:{version}\n") }
    }

    /// A playlist of what was recorded, whose segments all begin with key frames: `target_us` is the longest
    /// of them, and playing begins `start_us` after the beginning of the first. Call [`Playlist::end`] where
    /// it is all there. Its type is `EVENT`, which may be added to until then; a type must not change.
    pub fn recorded(target_us: i64, start_us: i64) -> Playlist {
        let mut playlist = Playlist::new(6);
        let target = (target_us + 500_000) / 1_000_000;
        playlist.line(format_args!("#EXT-X-TARGETDURATION:{}", target.max(1)));
        playlist.line(format_args!("#EXT-X-MEDIA-SEQUENCE:0"));
        playlist.line(format_args!("#EXT-X-PLAYLIST-TYPE:EVENT"));
        playlist.line(format_args!("#EXT-X-INDEPENDENT-SEGMENTS"));
        playlist.line(format_args!("#EXT-X-START:TIME-OFFSET={},PRECISE=YES", seconds(start_us)));
        playlist
    }

    pub(super) fn line(&mut self, line: fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        self.text.write_fmt(line).and_then(|()| self.text.write_char('\n')).ok();
    }

    /// What the segments from here on are read after.
    pub fn map(&mut self, uri: &str) {
        self.line(format_args!("#EXT-X-MAP:URI=\"{uri}\""));
    }

    /// The next segment does not follow on the one before.
    pub fn discontinuity(&mut self) {
        self.line(format_args!("#EXT-X-DISCONTINUITY"));
    }

    /// When the next segment was recorded.
    pub fn date_time(&mut self, at: UnixMicros) {
        let at = DateTime(at);
        self.line(format_args!("#EXT-X-PROGRAM-DATE-TIME:{at}"));
    }

    /// A segment of this many µs.
    pub fn segment(&mut self, duration_us: i64, uri: &str) {
        let duration = seconds(duration_us);
        self.line(format_args!("#EXTINF:{duration},"));
        self.line(format_args!("{uri}"));
    }

    /// Nothing more comes.
    pub fn end(&mut self) {
        self.line(format_args!("#EXT-X-ENDLIST"));
    }

    /// The whole text.
    pub fn into_text(self) -> String {
        self.text
    }
}

/// Seconds with five digits behind the point.
pub(super) fn seconds(us: i64) -> impl fmt::Display {
    struct Seconds(i64);
    impl fmt::Display for Seconds {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{}.{:05}", self.0 / 1_000_000, self.0 % 1_000_000 / 10)
        }
    }
    Seconds(us.max(0))
}

/// ISO 8601 in UTC with milliseconds.
pub(super) struct DateTime(pub(super) UnixMicros);

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.0.div_euclid(1000);
        let (days, ms) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
        // Days to civil date: years of 365.2425 days that begin in March.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1000)
    }
}
