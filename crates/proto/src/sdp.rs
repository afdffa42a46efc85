//! Session descriptions, RFC 8866, as cameras write them.
//!
//! Reads what RTSP needs: media, payload formats with their `fmtp` (RFC 6184 §8.1, RFC 7798 §7.1,
//! RFC 3640 §4.1), control URLs, direction, range and picture size. Accepts, because cameras send it:
//! any line ends, lines in any order, missing `v=`/`o=`/`t=`, missing `rtpmap` of static types, missing
//! or broken parameter sets (they come in the stream too), base64 without padding, text that is not UTF-8.

use std::fmt::Write as _;

use av::codec::aac;
use av::codec::access_unit::AccessUnitBuilder;
use av::{CodecKind, CodecParameters, G711Law, G711Parameters, MediaKind, Track};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD};

use crate::rtp::Format;

/// Longest description, bytes; a camera's has about 700.
pub const DESCRIPTION_MAX: usize = 64 << 10;
/// Media of one description; an NVR with a back channel and metadata has four.
const MEDIA_MAX: usize = 32;
/// Payload formats of one medium.
const FORMATS_MAX: usize = 32;
/// First payload type that is not assigned for good (RFC 3551 §6).
const DYNAMIC_TYPE: u8 = 96;

/// Base64 whose padding is optional.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Not a description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Longer than [`DESCRIPTION_MAX`], or with more media or formats than any camera has.
    #[error("session description over its limit")]
    TooLong,
    /// No line of it is a description's.
    #[error("not a session description")]
    Syntax,
}

/// A session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// `s=`; empty if there is none.
    pub name: String,
    /// `a=control` of the whole session; `*` means the base URL.
    pub control: Option<String>,
    /// `a=range`, as sent: `npt=now-`, `npt=0-30.5`, `clock=…`.
    pub range: Option<String>,
    /// `m=` in order.
    pub media: Vec<Media>,
}

/// Who sends, seen from the receiver of the description (RFC 8866 §6.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Both; the default.
    #[default]
    SendReceive,
    /// In RTSP answers of ONVIF cameras: we send (back channel).
    SendOnly,
    /// In RTSP answers of ONVIF cameras: we receive.
    ReceiveOnly,
    /// Nobody.
    Inactive,
}

/// One medium.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Media {
    /// `video`, `audio`, `application`, …
    pub kind: String,
    /// `a=control`, where SETUP goes.
    pub control: Option<String>,
    /// Who sends.
    pub direction: Direction,
    /// Width and height from `a=framesize` or `a=x-dimensions`, pixels.
    pub size: Option<(u32, u32)>,
    /// Payload formats offered, in order of preference.
    pub formats: Vec<PayloadFormat>,
}

/// One payload format of a medium.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PayloadFormat {
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Encoding name in upper case: `H264`, `MPEG4-GENERIC`; empty if not said.
    pub encoding: String,
    /// Ticks a second; 0 if not said.
    pub clock_rate: u32,
    /// Channels, 1 if not said.
    pub channels: u8,
    /// `a=fmtp`: names in lower case, values as sent.
    pub parameters: Vec<(String, String)>,
}

impl Description {
    /// Reads a description.
    ///
    /// # Errors
    /// [`Error`]; oddities that do not hinder are passed over.
    pub fn parse(bytes: &[u8]) -> Result<Description, Error> {
        if bytes.len() > DESCRIPTION_MAX {
            return Err(Error::TooLong);
        }
        let text = String::from_utf8_lossy(bytes);
        let mut description = Description::default();
        let mut direction = Direction::default();
        let mut described = false;
        for line in text.split(['\r', '\n']) {
            // A tab is a blank to us, and nothing that a camera tells has other controls in it.
            let line = line.replace(char::is_control, " ");
            let Some((kind, value)) = line.trim().split_once('=') else { continue };
            match kind {
                "v" => described = true,
                // A name may not be empty; `-` says that there is none (RFC 8866 §5.3).
                "s" => description.name = Some(value.trim()).filter(|name| *name != "-").unwrap_or_default().to_owned(),
                "m" => {
                    described = true;
                    if description.media.len() == MEDIA_MAX {
                        return Err(Error::TooLong);
                    }
                    description.media.push(Media { direction, ..parse_media(value)? });
                }
                "a" => {
                    let (name, value) = value.split_once(':').unwrap_or((value, ""));
                    let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
                    match description.media.last_mut() {
                        Some(media) => media.attribute(&name, value),
                        None => match name.as_str() {
                            "control" => description.control = Some(value.to_owned()),
                            "range" => description.range = Some(value.to_owned()),
                            _ => direction = parse_direction(&name).unwrap_or(direction),
                        },
                    }
                }
                _ => {}
            }
        }
        if described { Ok(description) } else { Err(Error::Syntax) }
    }

    /// The description of a live stream: medium n has the n-th track and is set up at `control(n)`.
    pub fn live(name: &str, tracks: &[Track], control: impl Fn(usize) -> String) -> Description {
        let media = tracks
            .iter()
            .enumerate()
            .map(|(n, track)| Media { control: Some(control(n)), ..Media::of(track, DYNAMIC_TYPE + n as u8) });
        let (control, range) = (Some("*".to_owned()), Some("npt=now-".to_owned()));
        Description { name: name.to_owned(), control, range, media: media.collect() }
    }

    /// The bytes of the description; `session` makes it unique (`o=`).
    pub fn write(&self, session: u64) -> String {
        let name = if self.name.is_empty() { "-" } else { &self.name };
        let mut out = String::new();
        let mut line = |text: &str| {
            // A line break in a name would begin a line of its own.
            out.extend(text.chars().filter(|c| !c.is_control()));
            out.push_str("\r\n");
        };
        line("v=0");
        line(&format!("o=- {session} 1 IN IP4 0.0.0.0"));
        line(&format!("s={name}"));
        line("c=IN IP4 0.0.0.0");
        line("t=0 0");
        self.control.iter().for_each(|control| line(&format!("a=control:{control}")));
        self.range.iter().for_each(|range| line(&format!("a=range:{range}")));
        self.media.iter().for_each(|media| media.write(&mut line));
        out
    }
}

fn parse_media(value: &str) -> Result<Media, Error> {
    let mut words = value.split_whitespace();
    let kind = words.next().unwrap_or_default().to_ascii_lowercase();
    // Port and protocol: RTSP agrees on them in SETUP.
    let types = words.skip(2).filter_map(|word| word.parse::<u8>().ok()).filter(|t| *t < 128);
    let formats: Vec<_> = types.map(PayloadFormat::of_type).take(FORMATS_MAX + 1).collect();
    if formats.len() > FORMATS_MAX {
        return Err(Error::TooLong);
    }
    Ok(Media { kind, formats, ..Media::default() })
}

fn parse_direction(name: &str) -> Option<Direction> {
    match name {
        "sendrecv" => Some(Direction::SendReceive),
        "sendonly" => Some(Direction::SendOnly),
        "recvonly" => Some(Direction::ReceiveOnly),
        "inactive" => Some(Direction::Inactive),
        _ => None,
    }
}

impl Media {
    /// What we can receive of it: the first format we know. `None` for the others, with
    /// [`Media::encoding`] to name them.
    pub fn format(&self) -> Option<Format> {
        self.formats.iter().find_map(PayloadFormat::format).filter(|format| match format.codec.media() {
            MediaKind::Video => self.kind == "video",
            MediaKind::Audio => self.kind == "audio",
        })
    }

    /// Name of the preferred encoding, for messages.
    pub fn encoding(&self) -> &str {
        self.formats.first().map_or("", |format| &format.encoding)
    }

    fn attribute(&mut self, name: &str, value: &str) {
        match name {
            "control" => self.control = Some(value.to_owned()),
            "rtpmap" => {
                if let Some((format, rest)) = self.format_of(value) {
                    format.rtpmap(rest);
                }
            }
            "fmtp" => {
                if let Some((format, rest)) = self.format_of(value) {
                    format.parameters.extend(fmtp(rest));
                }
            }
            // `a=framesize:96 1280-720` (3GPP TS 26.234) and `a=x-dimensions:1280,720`.
            "framesize" => self.size = value.split_whitespace().nth(1).and_then(|size| pair(size, '-')).or(self.size),
            "x-dimensions" => self.size = pair(value, ',').or(self.size),
            _ => self.direction = parse_direction(name).unwrap_or(self.direction),
        }
    }

    /// The format an attribute is about. Attributes of types that `m=` did not offer are dropped.
    fn format_of<'a, 'v>(&'a mut self, value: &'v str) -> Option<(&'a mut PayloadFormat, &'v str)> {
        let (number, rest) = value.split_once(char::is_whitespace).unwrap_or((value, ""));
        let number: u8 = number.parse().ok()?;
        Some((self.formats.iter_mut().find(|format| format.payload_type == number)?, rest.trim()))
    }

    /// The medium of a track, with `payload_type` unless its codec has an assigned one.
    fn of(track: &Track, payload_type: u8) -> Media {
        let b64 = |set: &[u8]| STANDARD.encode(set);
        let (encoding, channels, parameters) = match &track.codec {
            CodecParameters::H264(p) => {
                let level = p.sps.get(1..4).map(hex::encode_upper).unwrap_or_default();
                let sets = format!("{},{}", b64(&p.sps), b64(&p.pps));
                (
                    "H264",
                    1,
                    vec![
                        ("packetization-mode", "1".into()),
                        ("profile-level-id", level),
                        ("sprop-parameter-sets", sets),
                    ],
                )
            }
            CodecParameters::H265(p) => {
                let sets = [("sprop-vps", &p.vps), ("sprop-sps", &p.sps), ("sprop-pps", &p.pps)];
                ("H265", 1, sets.map(|(name, set)| (name, b64(set))).to_vec())
            }
            CodecParameters::Aac(p) => {
                let fixed = [("streamtype", "5"), ("profile-level-id", "1"), ("mode", "AAC-hbr"), ("sizelength", "13")];
                let sizes = [("indexlength", "3"), ("indexdeltalength", "3")];
                let fixed = fixed.iter().chain(&sizes).map(|(name, value)| (*name, (*value).to_owned()));
                ("MPEG4-GENERIC", p.channels, fixed.chain([("config", hex::encode_upper(&p.config))]).collect())
            }
            CodecParameters::G711(p) => (if p.law == G711Law::A { "PCMA" } else { "PCMU" }, p.channels, Vec::new()),
        };
        let payload_type = match &track.codec {
            // The assigned types mean 8 kHz mono (RFC 3551 §6).
            CodecParameters::G711(G711Parameters { law, sample_rate: 8000, channels: 1 }) => {
                if *law == G711Law::A {
                    8
                } else {
                    0
                }
            }
            _ => payload_type,
        };
        let format = PayloadFormat {
            payload_type,
            encoding: encoding.to_owned(),
            clock_rate: track.clock_rate,
            channels,
            parameters: parameters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        };
        let (kind, size) = match &track.codec {
            CodecParameters::H264(p) => ("video", Some((p.width, p.height))),
            CodecParameters::H265(p) => ("video", Some((p.width, p.height))),
            CodecParameters::Aac(_) | CodecParameters::G711(_) => ("audio", None),
        };
        Media { kind: kind.to_owned(), size, formats: vec![format], ..Media::default() }
    }

    fn write(&self, line: &mut impl FnMut(&str)) {
        let types = self.formats.iter().fold(String::new(), |mut types, format| {
            // Writing to a string cannot fail.
            let _ = write!(types, " {}", format.payload_type);
            types
        });
        line(&format!("m={} 0 RTP/AVP{types}", self.kind));
        for format in &self.formats {
            let PayloadFormat { payload_type, encoding, clock_rate, channels, parameters } = format;
            let channels = if self.kind == "audio" { format!("/{channels}") } else { String::new() };
            line(&format!("a=rtpmap:{payload_type} {encoding}/{clock_rate}{channels}"));
            if !parameters.is_empty() {
                let all: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
                line(&format!("a=fmtp:{payload_type} {}", all.join(";")));
            }
        }
        if let Some((width, height)) = self.size {
            match self.formats.first() {
                Some(format) => line(&format!("a=framesize:{} {width}-{height}", format.payload_type)),
                None => line(&format!("a=x-dimensions:{width},{height}")),
            }
        }
        self.control.iter().for_each(|control| line(&format!("a=control:{control}")));
        match self.direction {
            Direction::SendReceive => {}
            Direction::SendOnly => line("a=sendonly"),
            Direction::ReceiveOnly => line("a=recvonly"),
            Direction::Inactive => line("a=inactive"),
        }
    }
}

fn pair(text: &str, between: char) -> Option<(u32, u32)> {
    let (width, height) = text.split_once(between)?;
    Some((width.trim().parse().ok()?, height.trim().parse().ok()?))
}

/// `name=value; name=value`. Values may hold `=`: base64 does.
fn fmtp(text: &str) -> impl Iterator<Item = (String, String)> {
    text.split(';').filter_map(|part| {
        let (name, value) = part.trim().split_once('=')?;
        Some((name.trim().to_ascii_lowercase(), value.trim_matches(|c: char| c == '"' || c.is_whitespace()).to_owned()))
    })
}

impl PayloadFormat {
    /// With what RFC 3551 §6 says of the type.
    fn of_type(payload_type: u8) -> PayloadFormat {
        let (encoding, clock_rate) = match payload_type {
            0 => ("PCMU", 8000),
            8 => ("PCMA", 8000),
            _ => ("", 0),
        };
        PayloadFormat { payload_type, encoding: encoding.to_owned(), clock_rate, channels: 1, parameters: Vec::new() }
    }

    /// `H264/90000`, `MPEG4-GENERIC/16000/2`.
    fn rtpmap(&mut self, text: &str) {
        let mut parts = text.split('/').map(str::trim);
        self.encoding = parts.next().unwrap_or_default().to_ascii_uppercase();
        self.clock_rate = parts.next().and_then(|rate| rate.parse().ok()).unwrap_or(self.clock_rate);
        self.channels = parts.next().and_then(|n| n.parse().ok()).filter(|n| *n > 0).unwrap_or(1);
    }

    /// An `a=fmtp` parameter, by its name in lower case.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The format as a receiver needs it, if we can receive it.
    pub fn format(&self) -> Option<Format> {
        let (codec, clock_rate, parameters) = match self.encoding.as_str() {
            // Interleaved mode is for senders that reorder.
            "H264" if self.parameter("packetization-mode") != Some("2") => {
                (CodecKind::H264, 90_000, self.parameter_sets(CodecKind::H264, &["sprop-parameter-sets"]))
            }
            "H265" | "HEVC" if self.parameter("sprop-max-don-diff").is_none_or(|n| n == "0") => {
                let names = ["sprop-vps", "sprop-sps", "sprop-pps"];
                (CodecKind::H265, 90_000, self.parameter_sets(CodecKind::H265, &names))
            }
            "MPEG4-GENERIC" => {
                let parameters = self.aac()?;
                (CodecKind::Aac, parameters.sample_rate, Some(CodecParameters::Aac(parameters)))
            }
            "PCMA" | "PCMU" => {
                let law = if self.encoding == "PCMA" { G711Law::A } else { G711Law::Mu };
                let sample_rate = if self.clock_rate == 0 { 8000 } else { self.clock_rate };
                let parameters = G711Parameters { law, sample_rate, channels: self.channels };
                (CodecKind::G711, sample_rate, Some(CodecParameters::G711(parameters)))
            }
            _ => return None,
        };
        let clock_rate = if self.clock_rate == 0 { clock_rate } else { self.clock_rate };
        Some(Format { payload_type: self.payload_type, codec, clock_rate, parameters })
    }

    /// Parameter sets, if they are all there and sound.
    fn parameter_sets(&self, codec: CodecKind, names: &[&str]) -> Option<CodecParameters> {
        let mut builder = AccessUnitBuilder::new(codec);
        let values = names.iter().filter_map(|name| self.parameter(name)).flat_map(|list| list.split(','));
        for set in values.filter_map(|set| BASE64.decode(set.trim()).ok()) {
            // Some write the start code too. A broken set is left out; the stream has another.
            let unit = set.strip_prefix(&[0, 0, 0, 1]).unwrap_or(&set);
            if builder.push(unit).is_err() {
                return None;
            }
        }
        builder.take_changed().ok().flatten()
    }

    /// AAC-hbr only: the one mode cameras use. Without `config`, low complexity as `rtpmap` says.
    fn aac(&self) -> Option<av::AacParameters> {
        let hbr = |name: &str, value: &str| self.parameter(name).is_none_or(|v| v.eq_ignore_ascii_case(value));
        if !hbr("mode", "AAC-hbr") || !hbr("sizelength", "13") || !hbr("indexlength", "3") {
            return None;
        }
        let config = match self.parameter("config") {
            Some(text) => hex::decode(text).ok()?.into(),
            None => aac::config(aac::OBJECT_TYPE_LC, self.clock_rate, self.channels).ok()?,
        };
        aac::parameters(config).ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use av::{AacParameters, H264Parameters, TrackId};
    use bytes::Bytes;

    /// As a Hikvision camera answers DESCRIBE, addresses changed.
    const HIKVISION: &str = "v=0\r\no=- 1109162014219182 1109162014219192 IN IP4 0.0.0.0\r\ns=Media Presentation\r\n\
        e=NONE\r\nb=AS:5100\r\nt=0 0\r\na=control:rtsp://10.0.0.5:554/Streaming/Channels/101/\r\n\
        m=video 0 RTP/AVP 96\r\nc=IN IP4 0.0.0.0\r\nb=AS:5000\r\na=recvonly\r\na=x-dimensions:1280,720\r\n\
        a=control:rtsp://10.0.0.5:554/Streaming/Channels/101/trackID=1\r\na=rtpmap:96 H264/90000\r\n\
        a=fmtp:96 profile-level-id=420029; packetization-mode=1; sprop-parameter-sets=Z00AH5WoFAFuQA==,aO48gA==\r\n\
        m=audio 0 RTP/AVP 8\r\na=recvonly\r\na=control:trackID=2\r\n\
        m=audio 0 RTP/AVP 0\r\na=control:trackID=3\r\na=rtpmap:0 PCMU/8000\r\na=sendonly\r\n\
        m=application 0 RTP/AVP 107\r\na=rtpmap:107 vnd.onvif.metadata/90000\r\n";

    #[test]
    fn hikvision_with_back_channel_and_metadata() {
        let description = Description::parse(HIKVISION.as_bytes()).unwrap();
        assert_eq!(description.control.as_deref(), Some("rtsp://10.0.0.5:554/Streaming/Channels/101/"));
        let [video, audio, back, metadata] = &description.media[..] else { panic!("{description:?}") };
        assert_eq!((video.size, video.direction), (Some((1280, 720)), Direction::ReceiveOnly));
        let format = video.format().unwrap();
        let Some(CodecParameters::H264(p)) = format.parameters else { panic!("{format:?}") };
        assert_eq!((p.width, p.height, format.payload_type), (1280, 720, 96));
        assert_eq!(audio.format().unwrap().codec, CodecKind::G711);
        assert_eq!(back.direction, Direction::SendOnly);
        assert_eq!((metadata.format(), metadata.encoding()), (None, "VND.ONVIF.METADATA"));
    }

    #[test]
    fn any_line_ends_and_missing_lines() {
        for ends in ["\n", "\r", "\r\n", "\r\n\r\n"] {
            let text = HIKVISION.replace("\r\n", ends);
            let whole = Description::parse(HIKVISION.as_bytes()).unwrap();
            assert_eq!(Description::parse(text.as_bytes()), Ok(whole), "{ends:?}");
        }
        let bare = Description::parse(b"m=audio 0 RTP/AVP 0\xff 8").unwrap();
        assert_eq!(bare.media[0].formats.len(), 1);
        assert_eq!(Description::parse(b"<html>"), Err(Error::Syntax));
        assert_eq!(Description::parse(b""), Err(Error::Syntax));
    }

    fn format(media: &str, attributes: &str) -> Option<Format> {
        Description::parse(format!("v=0\r\nm={media}\r\n{attributes}\r\n").as_bytes()).unwrap().media[0].format()
    }

    #[test]
    fn formats_we_receive_and_those_we_do_not() {
        let video = "video 0 RTP/AVP 96";
        let audio = "audio 0 RTP/AVP 97";
        let map = |name: &str| format!("a=rtpmap:96 {name}/90000");
        for (attributes, codec, parameters) in [
            (map("H264"), Some(CodecKind::H264), false),
            (map("h265"), Some(CodecKind::H265), false),
            // Broken sets do not hinder: the stream has its own.
            (map("H264") + "\na=fmtp:96 sprop-parameter-sets=!!,Zw==", Some(CodecKind::H264), false),
            // Without padding, with start code, with a comma too many.
            (map("H264") + "\na=fmtp:96 sprop-parameter-sets=AAAAAWdNAB+VqBQBbkA,aO48gA,", Some(CodecKind::H264), true),
            (map("H264") + "\na=fmtp:96 packetization-mode=2", None, false),
            (map("H265") + "\na=fmtp:96 sprop-max-don-diff=1", None, false),
            (map("JPEG"), None, false),
            (map("PCMA"), None, false),
            (String::new(), None, false),
        ] {
            let found = format(video, &attributes);
            assert_eq!(found.as_ref().map(|f| f.codec), codec, "{attributes}");
            assert_eq!(found.is_some_and(|f| f.parameters.is_some()), parameters, "{attributes}");
        }
        let hbr = "a=rtpmap:97 mpeg4-generic/16000/1\na=fmtp:97 mode=AAC-hbr; SizeLength=13; config=1408";
        let Some(CodecParameters::Aac(p)) = format(audio, hbr).unwrap().parameters else { panic!("AAC") };
        assert_eq!((p.sample_rate, p.channels), (16_000, 1));
        let without_config = "a=rtpmap:97 MPEG4-GENERIC/16000";
        assert_eq!(format(audio, without_config).unwrap().parameters, Some(CodecParameters::Aac(p)));
        assert_eq!(format(audio, "a=rtpmap:97 MPEG4-GENERIC/16000\na=fmtp:97 mode=AAC-lbr"), None);
        assert_eq!(format(audio, "a=rtpmap:97 MP4A-LATM/16000"), None);
        assert_eq!(format("audio 0 RTP/AVP 8", "").unwrap().clock_rate, 8000);
        let wide = format(audio, "a=rtpmap:97 PCMU/16000/2").unwrap();
        let expected = G711Parameters { law: G711Law::Mu, sample_rate: 16_000, channels: 2 };
        assert_eq!(wide.parameters, Some(CodecParameters::G711(expected)));
    }

    #[test]
    fn controls_and_quotes_around_values_are_gone_at_once() {
        let media = b"m=video 0 RTP/AVP 98\r\na=rtpmap:98\tH265/90000\r\na=fmtp:98 sprop-vps=\" \x0b\"AA \r\n";
        let read = Description::parse(media).unwrap();
        assert_eq!(read.media[0].formats[0].encoding, "H265");
        assert_eq!(read.media[0].formats[0].parameter("sprop-vps"), Some("AA"));
        assert_eq!(Description::parse(read.write(1).as_bytes()).unwrap().media, read.media);
    }

    #[test]
    fn a_size_without_formats_is_kept() {
        let read = Description::parse(b"m=video 0 RTP/AVP\r\na=x-dimensions:640,360\r\n").unwrap();
        assert_eq!(Description::parse(read.write(1).as_bytes()).unwrap().media[0].size, Some((640, 360)));
    }

    #[test]
    fn no_name_stays_none_when_it_is_written() {
        for name in ["-", "", "\u{1}\0"] {
            let read = Description::parse(format!("v=0\r\ns={name}\r\n").as_bytes()).unwrap();
            let again = Description::parse(read.write(1).as_bytes()).unwrap();
            assert_eq!(again.name, "");
        }
    }

    #[test]
    fn limits_hold() {
        assert_eq!(Description::parse(&vec![b'a'; DESCRIPTION_MAX + 1]), Err(Error::TooLong));
        assert_eq!(Description::parse("m=video 0 x 96\n".repeat(33).as_bytes()), Err(Error::TooLong));
        assert_eq!(Description::parse(format!("m=video 0 x{}\n", " 96".repeat(33)).as_bytes()), Err(Error::TooLong));
    }

    #[test]
    fn our_own_description_is_read_again() {
        let sps = Bytes::from_static(&[0x67, 0x4d, 0, 0x1f, 0x95, 0xa8, 0x14, 1, 0x6e, 0x40]);
        let pps = Bytes::from_static(&[0x68, 0xee, 0x3c, 0x80]);
        let video = CodecParameters::H264(H264Parameters { sps, pps, width: 1280, height: 720 });
        let aac = AacParameters { config: Bytes::from_static(&[0x14, 0x08]), sample_rate: 16_000, channels: 1 };
        let g711 = |law, sample_rate, channels| CodecParameters::G711(G711Parameters { law, sample_rate, channels });
        for (audio, clock_rate) in [
            (CodecParameters::Aac(aac), 16_000),
            (g711(G711Law::A, 8000, 1), 8000),
            (g711(G711Law::Mu, 16_000, 2), 16_000),
        ] {
            let tracks = [
                Track { id: TrackId::VIDEO, codec: video.clone(), clock_rate: 90_000 },
                Track { id: TrackId::AUDIO, codec: audio, clock_rate },
            ];
            let written = Description::live("yard\r\nm=video 1 x 1", &tracks, |n| format!("trackID={n}"));
            let read = Description::parse(written.write(7).as_bytes()).unwrap();
            assert_eq!(read.media, written.media);
            assert_eq!(read.name, "yardm=video 1 x 1");
            for (track, media) in tracks.iter().zip(&read.media) {
                let format = media.format().unwrap();
                assert_eq!(format.parameters.as_ref().map(|p| p.kind()), Some(track.codec.kind()));
                assert_eq!(format.parameters, Some(track.codec.clone()));
            }
        }
    }
}
