//! Names of what a channel has, in ONVIF and RTSP: those of the first are plain, those of further
//! channels have the number behind them, as in `main`, `main2`, `main3`.

use crate::config::Quality;

/// The name of a channel's `stem`.
pub fn of(stem: &str, channel: u16) -> String {
    match channel {
        1 => stem.to_owned(),
        number => format!("{stem}{number}"),
    }
}

/// The channel whose `stem` has this name. Whether there is such a channel is another question.
pub fn channel(name: &str, stem: &str) -> Option<u16> {
    let rest = name.strip_prefix(stem)?;
    let number = if rest.is_empty() { 1 } else { rest.parse().ok()? };
    // One channel has one name: neither `main1` nor `main02`.
    (of(stem, number) == name).then_some(number)
}

/// Channel and quality of a profile's name.
pub fn profile(name: &str) -> Option<(u16, Quality)> {
    Quality::ALL.into_iter().find_map(|quality| Some((channel(name, quality.name())?, quality)))
}

/// Channel and quality of an RTSP path: a profile's name, or `Streaming/Channels/201`, whose last two
/// digits are 01 for main and 02 for sub.
pub fn path(path: &str) -> Option<(u16, Quality)> {
    const PREFIX: &str = "Streaming/Channels/";
    let Some((_, number)) = path.split_at_checked(PREFIX.len()).filter(|(p, _)| p.eq_ignore_ascii_case(PREFIX)) else {
        return profile(path);
    };
    let number: u16 = number.parse().ok()?;
    let quality = match number % 100 {
        1 => Quality::Main,
        2 => Quality::Sub,
        _ => return None,
    };
    Some((number / 100, quality))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_channels_and_back() {
        for (name, expected) in [
            ("main", Some((1, Quality::Main))),
            ("sub", Some((1, Quality::Sub))),
            ("sub16", Some((16, Quality::Sub))),
            ("main1", None),
            ("main02", None),
            ("main+2", None),
            ("third", None),
            ("", None),
        ] {
            assert_eq!(profile(name), expected, "{name}");
        }
        assert_eq!(path("Streaming/Channels/101"), Some((1, Quality::Main)));
        assert_eq!(path("streaming/channels/1602"), Some((16, Quality::Sub)));
        assert_eq!(path("main3"), Some((3, Quality::Main)));
        for wrong in ["Streaming/Channels/103", "Streaming/Channels/", "Streaming/Channels/x01", "Streaming/tracks/101"]
        {
            assert_eq!(path(wrong), None, "{wrong}");
        }
    }
}
