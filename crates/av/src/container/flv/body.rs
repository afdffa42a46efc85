//! What the body of one tag or RTMP message is.

use bytes::{Buf, Bytes};

use super::*;
use crate::CodecKind;

/// A parsed body. Buffers are slices of the body.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Parameter sets of the video: an `avcC` or `hvcC` record, not looked into yet.
    VideoConfiguration {
        /// H.264 or H.265.
        codec: CodecKind,
        /// The decoder configuration record.
        record: Bytes,
    },
    /// One access unit.
    Video {
        /// H.264 or H.265.
        codec: CodecKind,
        /// What the publisher's frame type says; the NAL units know better.
        key: bool,
        /// Composition offset in milliseconds.
        composition_ms: i32,
        /// NAL units with lengths of the size the record says.
        data: Bytes,
    },
    /// AudioSpecificConfig, not looked into yet.
    AacConfiguration(Bytes),
    /// One raw data block.
    Aac(Bytes),
    /// G.711 samples.
    G711 {
        /// Companding law.
        law: G711Law,
        /// 1 or 2.
        channels: u8,
        /// One byte a sample.
        data: Bytes,
    },
    /// A script: its name, such as `onMetaData`, and the value behind it.
    Script(String, Value),
    /// Legal and without use here: end of sequence, colour information, seek commands, an empty body.
    Nothing,
}

const PACKET_SEQUENCE_END: u8 = 2;
const PACKET_METADATA: u8 = 4;
const PACKET_MOD_EX: u8 = 7;

const FRAME_COMMAND: u8 = 5;
const FORMAT_EX_HEADER: u8 = 9;

/// Parses the body of a tag or of an RTMP message of the same type.
///
/// # Errors
/// When it is cut, or of a codec or packet type that is not carried; the error names it.
pub fn parse_body(tag: TagType, mut body: Bytes) -> Result<Body, Error> {
    if body.is_empty() {
        return Ok(Body::Nothing);
    }
    match tag {
        TagType::Video => video(&mut body),
        TagType::Audio => audio(&mut body),
        TagType::Script => script(&body),
    }
}

fn byte(body: &mut Bytes, what: &'static str) -> Result<u8, Error> {
    body.try_get_u8().map_err(|_| Error::Truncated(what))
}

/// SI24 milliseconds.
fn composition(body: &mut Bytes) -> Result<i32, Error> {
    if body.remaining() < 3 {
        return Err(Error::Truncated("CompositionTime"));
    }
    Ok(body.get_int(3) as i32)
}

fn video(body: &mut Bytes) -> Result<Body, Error> {
    let first = byte(body, "video header")?;
    let key = first >> 4 & 7 == FRAME_KEY;
    let command = first >> 4 & 7 == FRAME_COMMAND;
    if first & EX_HEADER != 0 {
        return ex_video(first & 0xF, key, command, body);
    }
    let codec = match first & 0xF {
        CODEC_AVC => CodecKind::H264,
        CODEC_HEVC => CodecKind::H265,
        other => return Err(Error::VideoCodec(other)),
    };
    if command {
        return Ok(Body::Nothing);
    }
    let packet_type = byte(body, "AVCPacketType")?;
    let composition_ms = composition(body)?;
    match packet_type {
        0 => Ok(Body::VideoConfiguration { codec, record: body.clone() }),
        1 => Ok(Body::Video { codec, key, composition_ms, data: body.clone() }),
        2 => Ok(Body::Nothing),
        number => Err(Error::PacketType { what: "AVCPacketType", number }),
    }
}

/// Enhanced RTMP v2, "ExVideoTagHeader".
fn ex_video(packet_type: u8, key: bool, command: bool, body: &mut Bytes) -> Result<Body, Error> {
    let packet_type = skip_modifiers(packet_type, body)?;
    if command && packet_type != PACKET_METADATA {
        return Ok(Body::Nothing);
    }
    let codec = match fourcc(body)? {
        FOURCC_AVC => CodecKind::H264,
        FOURCC_HEVC => CodecKind::H265,
        other => return Err(Error::FourCc(other)),
    };
    match packet_type {
        PACKET_SEQUENCE_START => Ok(Body::VideoConfiguration { codec, record: body.clone() }),
        PACKET_CODED_FRAMES => {
            let composition_ms = composition(body)?;
            Ok(Body::Video { codec, key, composition_ms, data: body.clone() })
        }
        PACKET_CODED_FRAMES_X => Ok(Body::Video { codec, key, composition_ms: 0, data: body.clone() }),
        PACKET_SEQUENCE_END | PACKET_METADATA => Ok(Body::Nothing),
        number => Err(Error::PacketType { what: "VideoPacketType", number }),
    }
}

fn fourcc(body: &mut Bytes) -> Result<[u8; 4], Error> {
    let mut code = [0; 4];
    body.try_copy_to_slice(&mut code).map_err(|_| Error::Truncated("FourCC"))?;
    Ok(code)
}

/// Skips ModEx blocks (nanosecond offsets), each of which ends with the packet type to follow.
fn skip_modifiers(mut packet_type: u8, body: &mut Bytes) -> Result<u8, Error> {
    let what = "ModEx";
    while packet_type == PACKET_MOD_EX {
        let mut size = usize::from(byte(body, what)?) + 1;
        if size == 256 {
            size = usize::from(body.try_get_u16().map_err(|_| Error::Truncated(what))?) + 1;
        }
        if body.remaining() < size {
            return Err(Error::Truncated(what));
        }
        body.advance(size);
        packet_type = byte(body, what)? & 0xF;
    }
    Ok(packet_type)
}

fn audio(body: &mut Bytes) -> Result<Body, Error> {
    let first = byte(body, "audio header")?;
    let channels = 1 + (first & 1);
    match first >> 4 {
        FORMAT_AAC => match body.try_get_u8() {
            // Encoders announce silence by the header alone.
            Err(_) => Ok(Body::Nothing),
            Ok(0) => Ok(Body::AacConfiguration(body.clone())),
            Ok(1) => Ok(Body::Aac(body.clone())),
            Ok(number) => Err(Error::PacketType { what: "AACPacketType", number }),
        },
        FORMAT_G711_A => Ok(Body::G711 { law: G711Law::A, channels, data: body.clone() }),
        FORMAT_G711_MU => Ok(Body::G711 { law: G711Law::Mu, channels, data: body.clone() }),
        FORMAT_EX_HEADER => {
            let packet_type = skip_modifiers(first & 0xF, body)?;
            let code = fourcc(body)?;
            match (code, packet_type) {
                (FOURCC_AAC, PACKET_SEQUENCE_START) => Ok(Body::AacConfiguration(body.clone())),
                (FOURCC_AAC, PACKET_CODED_FRAMES) => Ok(Body::Aac(body.clone())),
                // End of sequence, channel order.
                (FOURCC_AAC, 2 | 4) => Ok(Body::Nothing),
                (FOURCC_AAC, number) => Err(Error::PacketType { what: "AudioPacketType", number }),
                (other, _) => Err(Error::FourCc(other)),
            }
        }
        other => Err(Error::AudioCodec(other)),
    }
}

fn script(body: &[u8]) -> Result<Body, Error> {
    let mut reader = amf0::Reader::new(body);
    let name = match reader.read()? {
        Value::String(name) => name,
        // Not a script by the specification, and of no use to us.
        _ => return Ok(Body::Nothing),
    };
    let value = if reader.is_empty() { Value::Undefined } else { reader.read()? };
    Ok(Body::Script(name, value))
}

pub(super) fn video_codec_name(id: u8) -> &'static str {
    match id {
        1 => "JPEG",
        2 => "Sorenson H.263",
        3 => "Screen video",
        4 | 5 => "On2 VP6",
        6 => "Screen video 2",
        13 => "AV1 in a private form",
        _ => "unknown",
    }
}

pub(super) fn audio_codec_name(format: u8) -> &'static str {
    match format {
        0 | 3 => "linear PCM",
        1 => "ADPCM",
        2 | 14 => "MP3",
        4..=6 => "Nellymoser",
        11 => "Speex",
        13 => "Opus in a private form",
        _ => "unknown",
    }
}
