//! What PLAY asks for beside the session, and what its answer says of it: RFC 2326 §12.29 (`Range`), §12.34
//! (`Scale`), §12.35 (`Speed`), ONVIF Streaming §6 (`Rate-Control`, `Immediate`, `Frames`).

use std::fmt;
use std::time::Duration;

use av::UnixMicros;

use super::message::Headers;
use crate::calendar;

/// From when to when. A server answers with what it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// From now on (`npt=now-`).
    Now,
    /// Since the beginning of the presentation (`npt`, RFC 2326 §3.6).
    Npt {
        /// From here …
        from: Duration,
        /// … to here, else to its end.
        to: Option<Duration>,
    },
    /// As the clock showed (`clock`, RFC 2326 §3.7). Backwards where the end is before the start.
    Clock {
        /// From here …
        from: UnixMicros,
        /// … to here, else to the end of what was recorded.
        to: Option<UnixMicros>,
    },
}

impl Range {
    /// Reads a `Range` header; `None` for one that is unknown (`smpte`) or has no start. When it shall begin
    /// (`;time=`) is not looked at.
    pub fn parse(header: &str) -> Option<Range> {
        let (unit, range) = header.split(';').next()?.trim().split_once('=')?;
        let at = |text: &str| Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned);
        // Dates are of the basic form, without dashes.
        let (from, to) = range.split_once('-')?;
        let (from, to) = (at(from)?, at(to));
        match unit.trim().to_ascii_lowercase().as_str() {
            "npt" if from == "now" => Some(Range::Now),
            "npt" => Some(Range::Npt { from: npt(&from)?, to: optional(to, npt)? }),
            "clock" => Some(Range::Clock { from: calendar::parse(&from)?, to: optional(to, calendar::parse)? }),
            _ => None,
        }
    }
}

/// `None` within is nothing there; `None` without, nothing readable.
fn optional<T>(text: Option<String>, read: impl Fn(&str) -> Option<T>) -> Option<Option<T>> {
    match text {
        Some(text) => read(&text).map(Some),
        None => Some(None),
    }
}

/// Seconds, or `hours:minutes:seconds`.
fn npt(text: &str) -> Option<Duration> {
    let mut parts = text.rsplitn(3, ':');
    let seconds: f64 = parts.next()?.parse().ok()?;
    let mut whole = || parts.next().map_or(Some(0), |part| part.parse::<u32>().ok());
    let (minutes, hours) = (whole()?, whole()?);
    Duration::try_from_secs_f64(seconds + 60.0 * f64::from(minutes) + 3600.0 * f64::from(hours)).ok()
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Range::Now => write!(f, "npt=now-"),
            Range::Npt { from, to } => {
                write!(f, "npt={:.3}-", from.as_secs_f64())?;
                to.iter().try_for_each(|to| write!(f, "{:.3}", to.as_secs_f64()))
            }
            Range::Clock { from, to } => {
                write!(f, "clock={}-", calendar::write_basic(*from))?;
                to.iter().try_for_each(|to| write!(f, "{}", calendar::write_basic(*to)))
            }
        }
    }
}

/// Which frames are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frames {
    /// All of them.
    All,
    /// Key frames, at least this far apart in recorded time.
    Intra(Option<Duration>),
    /// Key frames and those that others are predicted from.
    Predicted,
}

impl Frames {
    fn parse(header: &str) -> Option<Frames> {
        let (word, interval) = header.split_once('/').map_or((header, None), |(word, rest)| (word, Some(rest)));
        match word.trim().to_ascii_lowercase().as_str() {
            "all" => Some(Frames::All),
            "intra" => {
                let interval = interval.and_then(|millis| millis.trim().parse().ok());
                Some(Frames::Intra(interval.map(Duration::from_millis)))
            }
            "predicted" => Some(Frames::Predicted),
            _ => None,
        }
    }
}

impl fmt::Display for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Frames::All => f.write_str("all"),
            Frames::Intra(None) => f.write_str("intra"),
            Frames::Intra(Some(interval)) => write!(f, "intra/{}", interval.as_millis()),
            Frames::Predicted => f.write_str("predicted"),
        }
    }
}

/// What to play, and how; in an answer, what is played. What is absent is not asked, or not told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Play {
    /// From when to when.
    pub range: Option<Range>,
    /// How many times faster than it happened the presentation runs; negative: backwards.
    pub scale: Option<f32>,
    /// How many times faster than it is presented it is sent.
    pub speed: Option<f32>,
    /// Whether the server sends at the speed of presentation (the default), or as fast as it is read.
    pub rate_control: Option<bool>,
    /// Whether to leave out what of an earlier PLAY is not sent yet.
    pub immediate: bool,
    /// Which frames.
    pub frames: Option<Frames>,
}

impl Play {
    /// What players ask of a live source.
    pub fn live() -> Play {
        Play { range: Some(Range::Npt { from: Duration::ZERO, to: None }), ..Play::default() }
    }

    /// What the headers of a PLAY, or of its answer, say; values that cannot be are left out.
    pub fn of(headers: &Headers) -> Play {
        let number = |name| {
            let value: f32 = headers.get(name)?.trim().parse().ok()?;
            (value.is_finite() && value != 0.0).then_some(value)
        };
        let word = |name| {
            let word = headers.get(name)?.trim();
            let words = [("yes", true), ("no", false)];
            words.iter().find(|(it, _)| word.eq_ignore_ascii_case(it)).map(|(_, value)| *value)
        };
        Play {
            range: headers.get("Range").and_then(Range::parse),
            scale: number("Scale"),
            speed: number("Speed"),
            rate_control: word("Rate-Control"),
            immediate: word("Immediate") == Some(true),
            frames: headers.get("Frames").and_then(Frames::parse),
        }
    }

    /// The headers.
    pub fn headers(&self) -> Headers {
        let mut headers = Headers::default();
        self.range.iter().for_each(|range| headers.push("Range", range.to_string()));
        self.scale.iter().for_each(|scale| headers.push("Scale", format!("{scale:?}")));
        self.speed.iter().for_each(|speed| headers.push("Speed", format!("{speed:?}")));
        self.rate_control.iter().for_each(|control| headers.push("Rate-Control", if *control { "yes" } else { "no" }));
        if self.immediate {
            headers.push("Immediate", "yes");
        }
        self.frames.iter().for_each(|frames| headers.push("Frames", frames.to_string()));
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_they_come() {
        let clock = |from, to: Option<i64>| Some(Range::Clock { from: UnixMicros(from), to: to.map(UnixMicros) });
        let npt = |from, to: Option<u64>| {
            Some(Range::Npt { from: Duration::from_millis(from), to: to.map(Duration::from_millis) })
        };
        for (header, expected) in [
            ("npt=now-", Some(Range::Now)),
            ("npt=0.000-", npt(0, None)),
            ("npt=1.5-01:00:02.25", npt(1500, Some(3_602_250))),
            ("clock=19700101T000001Z-", clock(1_000_000, None)),
            ("clock=19700101T000001.500Z-19700101T000002Z", clock(1_500_000, Some(2_000_000))),
            ("clock=19700101T000002Z-19700101T000001Z;time=19970123T143720Z", clock(2_000_000, Some(1_000_000))),
            ("Clock = 19700101T000001Z - ", clock(1_000_000, None)),
            ("clock=-19700101T000001Z", None),
            ("clock=19700101T000001Z-x", None),
            ("npt=-1-", None),
            ("npt=nan-", None),
            ("npt=1e400-", None),
            ("npt=1:1:1:1-", None),
            ("smpte=10:12:33:20-", None),
            ("", None),
        ] {
            assert_eq!(Range::parse(header), expected, "{header}");
            if let Some(range) = expected {
                assert_eq!(Range::parse(&range.to_string()), Some(range), "{range}");
            }
        }
    }

    #[test]
    fn a_replay_is_asked_and_understood() {
        let from = UnixMicros(1_700_000_000_500_000);
        let play = Play {
            range: Some(Range::Clock { from, to: None }),
            scale: Some(4.0),
            speed: None,
            rate_control: Some(false),
            immediate: true,
            frames: Some(Frames::Intra(Some(Duration::from_secs(4)))),
        };
        let headers = play.headers();
        assert_eq!(headers.get("Range"), Some("clock=20231114T221320.500Z-"));
        assert_eq!((headers.get("Scale"), headers.get("Frames")), (Some("4.0"), Some("intra/4000")));
        assert_eq!(Play::of(&headers), play);
        assert_eq!(Play::of(&Headers::default()), Play::default());
        let nonsense =
            Headers::default().with("Scale", "0").with("Speed", "inf").with("Frames", "x").with("Range", "y");
        assert_eq!(Play::of(&nonsense), Play::default());
    }
}
