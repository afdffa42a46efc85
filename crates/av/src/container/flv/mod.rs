//! FLV: the bodies that RTMP messages and FLV files share, and the tags around them in files.
//!
//! | What | Follows |
//! |---|---|
//! | Tags, AVC and AAC bodies, `onMetaData` | Adobe Flash Video File Format Specification 10.1, Annex E |
//! | H.265, FourCC bodies | Enhanced RTMP v2 (Veovera) |
//! | H.265 as codec id 12 | what Chinese encoders send; read, never written |
//!
//! Writing never fails. Reading takes what publishers send: [`Demuxer`] cuts a byte stream into tags
//! (RTMP has its own chunks instead), [`parse_body`] says what one body is, and [`FrameReader`] makes
//! tracks and frames of them.

mod body;
mod read;
#[cfg(test)]
mod tests;

use bytes::{BufMut, Bytes};

pub use body::{Body, parse_body};
pub use read::{Demuxer, FrameReader, Output, Tag};

use super::amf0::{self, Value};
use crate::codec::{self, h264, h265};
use crate::{CodecParameters, Frame, G711Law, MediaKind, Ticks, Track};

/// Kind of a tag; also the RTMP message type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TagType {
    /// Sound.
    Audio = 8,
    /// Pictures.
    Video = 9,
    /// Script data: AMF0 values such as `onMetaData`.
    Script = 18,
}

impl TagType {
    /// The kind of this number, if it is one of the three.
    pub fn from_number(number: u8) -> Option<TagType> {
        [TagType::Audio, TagType::Video, TagType::Script].into_iter().find(|tag| *tag as u8 == number)
    }
}

/// Why an FLV stream or body was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The stream does not begin with `FLV` and version 1.
    #[error("no FLV header")]
    NotFlv,
    /// The header claims to be longer than any.
    #[error("FLV header of {0} bytes")]
    HeaderLength(u32),
    /// The tag is encrypted (Filter bit).
    #[error("encrypted tag at byte {offset}")]
    Encrypted {
        /// Where the tag begins in the stream.
        offset: u64,
    },
    /// The body ends early.
    #[error("body ends within {0}")]
    Truncated(&'static str),
    /// A video codec id other than AVC and HEVC.
    #[error("video codec {0} ({name}) is not supported", name = body::video_codec_name(*.0))]
    VideoCodec(u8),
    /// A sound format other than AAC and G.711.
    #[error("audio codec {0} ({name}) is not supported", name = body::audio_codec_name(*.0))]
    AudioCodec(u8),
    /// An enhanced codec other than `avc1`, `hvc1` and `mp4a`.
    #[error("codec {} is not supported", .0.escape_ascii())]
    FourCc([u8; 4]),
    /// A packet type of the codec that is unknown or not supported.
    #[error("{what} {number} is not supported")]
    PacketType {
        /// Name of the field.
        what: &'static str,
        /// Its value.
        number: u8,
    },
    /// The codec's own data is wrong.
    #[error("elementary stream is malformed")]
    Codec(#[from] codec::Error),
    /// The script data is wrong.
    #[error("script data is malformed")]
    Script(#[from] amf0::Error),
}

/// Bytes of a tag header.
pub const TAG_HEADER: usize = 11;

/// Most bytes of a tag's body; its length has 24 bits.
pub const BODY_MAX: usize = (1 << 24) - 1;

const CODEC_AVC: u8 = 7;
const CODEC_HEVC: u8 = 12;
const FORMAT_G711_A: u8 = 7;
const FORMAT_G711_MU: u8 = 8;
const FORMAT_AAC: u8 = 10;
const FOURCC_AVC: [u8; 4] = *b"avc1";
const FOURCC_HEVC: [u8; 4] = *b"hvc1";
const FOURCC_AAC: [u8; 4] = *b"mp4a";

const FRAME_KEY: u8 = 1;
const FRAME_INTER: u8 = 2;

/// `IsExHeader`, then frame type and packet type in what were frame type and codec id.
const EX_HEADER: u8 = 0x80;
const PACKET_SEQUENCE_START: u8 = 0;
const PACKET_CODED_FRAMES: u8 = 1;
const PACKET_CODED_FRAMES_X: u8 = 3;

/// First byte of every AAC body: the format, then 44 kHz, 16 bits, stereo whatever it is (§E.4.2.1).
const AAC_HEADER: u8 = FORMAT_AAC << 4 | 0xF;

/// The FLV header and the zero `PreviousTagSize0` behind it; flags say which kinds the tracks have.
pub fn file_header(tracks: &[Track]) -> [u8; 13] {
    let has = |kind| u8::from(tracks.iter().any(|track| track.kind() == kind));
    let flags = has(MediaKind::Audio) << 2 | has(MediaKind::Video);
    [b'F', b'L', b'V', 1, flags, 0, 0, 0, 9, 0, 0, 0, 0]
}

/// Appends a tag header for a body of `body_len` bytes at `timestamp_ms`, which wraps at 32 bits.
///
/// # Panics
/// If the body is longer than [`BODY_MAX`].
pub fn write_tag_header(out: &mut Vec<u8>, tag: TagType, timestamp_ms: u32, body_len: usize) {
    assert!(body_len <= BODY_MAX, "FLV tag of {body_len} bytes");
    let [_, length @ ..] = (body_len as u32).to_be_bytes();
    let [extended, timestamp @ ..] = timestamp_ms.to_be_bytes();
    out.push(tag as u8);
    out.extend_from_slice(&length);
    out.extend_from_slice(&timestamp);
    out.extend_from_slice(&[extended, 0, 0, 0]);
}

/// Appends what follows a body of `body_len` bytes: the size of its tag.
pub fn write_tag_trailer(out: &mut Vec<u8>, body_len: usize) {
    out.put_u32((body_len + TAG_HEADER) as u32);
}

/// Appends a whole tag whose body is in parts.
///
/// # Panics
/// If the body is longer than [`BODY_MAX`].
pub fn write_tag(out: &mut Vec<u8>, tag: TagType, timestamp_ms: u32, body: &[&[u8]]) {
    let body_len = body.iter().map(|part| part.len()).sum();
    write_tag_header(out, tag, timestamp_ms, body_len);
    body.iter().for_each(|part| out.extend_from_slice(part));
    write_tag_trailer(out, body_len);
}

/// The body that tells a decoder a track's parameters; `None` for G.711, which needs none.
///
/// H.264 goes in the legacy form every player knows, H.265 in the enhanced form.
pub fn sequence_header(track: &Track) -> Option<(TagType, Bytes)> {
    let (tag, head, record) = match &track.codec {
        CodecParameters::H264(parameters) => {
            (TagType::Video, &[FRAME_KEY << 4 | CODEC_AVC, 0, 0, 0, 0][..], h264::avcc(parameters))
        }
        CodecParameters::H265(parameters) => {
            let [a, b, c, d] = FOURCC_HEVC;
            let first = EX_HEADER | FRAME_KEY << 4 | PACKET_SEQUENCE_START;
            (TagType::Video, &[first, a, b, c, d][..], h265::hvcc(parameters))
        }
        CodecParameters::Aac(parameters) => (TagType::Audio, &[AAC_HEADER, 0][..], parameters.config.clone()),
        CodecParameters::G711(_) => return None,
    };
    Some((tag, [head, &record].concat().into()))
}

/// Appends the start of a frame's body, which [`Frame::data`] completes.
pub fn frame_prefix(track: &Track, frame: &Frame, out: &mut Vec<u8>) {
    let frame_type = if frame.key { FRAME_KEY } else { FRAME_INTER } << 4;
    match &track.codec {
        CodecParameters::H264(_) => {
            out.extend_from_slice(&[frame_type | CODEC_AVC, 1]);
            out.extend_from_slice(&composition_ms(track, frame));
        }
        CodecParameters::H265(_) if frame.cts == 0 => {
            out.push(EX_HEADER | frame_type | PACKET_CODED_FRAMES_X);
            out.extend_from_slice(&FOURCC_HEVC);
        }
        CodecParameters::H265(_) => {
            out.push(EX_HEADER | frame_type | PACKET_CODED_FRAMES);
            out.extend_from_slice(&FOURCC_HEVC);
            out.extend_from_slice(&composition_ms(track, frame));
        }
        CodecParameters::Aac(_) => out.extend_from_slice(&[AAC_HEADER, 1]),
        CodecParameters::G711(parameters) => {
            let format = match parameters.law {
                G711Law::A => FORMAT_G711_A,
                G711Law::Mu => FORMAT_G711_MU,
            };
            // Rate 0 stands for the 8 kHz of the format; 16 bits as decoded.
            out.push(format << 4 | 1 << 1 | u8::from(parameters.channels > 1));
        }
    }
}

/// `CompositionTime`, a signed 24-bit number of milliseconds.
fn composition_ms(track: &Track, frame: &Frame) -> [u8; 3] {
    // The difference of the rounded times, so that a player finds the rounded presentation time.
    let presentation = Ticks(frame.dts.0.saturating_add(i64::from(frame.cts)));
    let ms = presentation.to_millis(track.clock_rate) - frame.dts.to_millis(track.clock_rate);
    let [_, bytes @ ..] = (ms.clamp(-(1 << 23), (1 << 23) - 1) as i32).to_be_bytes();
    bytes
}

/// The body of an `onMetaData` script tag; what the parameter sets do not say is left out.
pub fn metadata(tracks: &[Track]) -> Bytes {
    let mut pairs = Vec::new();
    let mut put = |name: &str, value: Value| pairs.push((name.to_owned(), value));
    let fourcc = |code| f64::from(u32::from_be_bytes(code));
    for track in tracks {
        let frame_rate = match &track.codec {
            CodecParameters::H264(p) => {
                put("width", Value::Number(p.width.into()));
                put("height", Value::Number(p.height.into()));
                put("videocodecid", Value::Number(CODEC_AVC.into()));
                h264::Sps::parse(&p.sps).ok().and_then(|sps| sps.frame_rate)
            }
            CodecParameters::H265(p) => {
                put("width", Value::Number(p.width.into()));
                put("height", Value::Number(p.height.into()));
                put("videocodecid", Value::Number(fourcc(FOURCC_HEVC)));
                h265::Sps::parse(&p.sps).ok().and_then(|sps| sps.frame_rate)
            }
            CodecParameters::Aac(p) => {
                put_audio(&mut put, FORMAT_AAC, p.sample_rate, p.channels);
                None
            }
            CodecParameters::G711(p) => {
                let format = if p.law == G711Law::A { FORMAT_G711_A } else { FORMAT_G711_MU };
                put_audio(&mut put, format, p.sample_rate, p.channels);
                None
            }
        };
        if let Some(rate) = frame_rate {
            put("framerate", Value::Number(rate.per_second()));
        }
    }
    let mut out = Vec::with_capacity(256);
    amf0::write(&Value::String("onMetaData".to_owned()), &mut out);
    amf0::write(&Value::EcmaArray(pairs), &mut out);
    out.into()
}

fn put_audio(put: &mut impl FnMut(&str, Value), format: u8, sample_rate: u32, channels: u8) {
    put("audiocodecid", Value::Number(format.into()));
    put("audiosamplerate", Value::Number(sample_rate.into()));
    put("audiosamplesize", Value::Number(16.0));
    put("audiochannels", Value::Number(channels.into()));
    put("stereo", Value::Boolean(channels > 1));
}
