//! What a stream consists of.

use bytes::Bytes;

use crate::codec::{aac, h264, h265};

/// Number of a track within its stream; by convention 0 is video and 1 is audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackId(pub u8);

impl TrackId {
    /// The video track of a camera's stream.
    pub const VIDEO: TrackId = TrackId(0);
    /// The audio track of a camera's stream.
    pub const AUDIO: TrackId = TrackId(1);
}

/// One elementary stream: what it is coded with and how its time counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// Its number in the stream.
    pub id: TrackId,
    /// Codec and parameter sets.
    pub codec: CodecParameters,
    /// Ticks a second of the track's timestamps: 90,000 for video, the sample rate for audio. Never 0.
    pub clock_rate: u32,
}

impl Track {
    /// Whether this is picture or sound.
    pub fn kind(&self) -> MediaKind {
        self.codec.kind().media()
    }
}

/// Picture or sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// A codec without its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CodecKind {
    /// ITU-T H.264 / AVC.
    H264,
    /// ITU-T H.265 / HEVC.
    H265,
    /// MPEG-4 AAC.
    Aac,
    /// ITU-T G.711.
    G711,
}

impl CodecKind {
    /// Whether it codes picture or sound.
    pub fn media(self) -> MediaKind {
        match self {
            CodecKind::H264 | CodecKind::H265 => MediaKind::Video,
            CodecKind::Aac | CodecKind::G711 => MediaKind::Audio,
        }
    }
}

/// A codec with everything a decoder must know before the first frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodecParameters {
    /// H.264.
    H264(H264Parameters),
    /// H.265.
    H265(H265Parameters),
    /// AAC.
    Aac(AacParameters),
    /// G.711.
    G711(G711Parameters),
}

impl CodecParameters {
    /// The codec alone.
    pub fn kind(&self) -> CodecKind {
        match self {
            CodecParameters::H264(_) => CodecKind::H264,
            CodecParameters::H265(_) => CodecKind::H265,
            CodecParameters::Aac(_) => CodecKind::Aac,
            CodecParameters::G711(_) => CodecKind::G711,
        }
    }

    /// The `codecs` value of RFC 6381, such as `avc1.42E01F`, `hvc1.1.6.L93.B0` or `mp4a.40.2`; G.711
    /// by its ISO-BMFF sample entry, `alaw` or `ulaw`. `None` if the parameters do not parse, which
    /// those made by [`codec`](crate::codec) do.
    pub fn codec_string(&self) -> Option<String> {
        Some(match self {
            CodecParameters::H264(parameters) => h264::Sps::parse(&parameters.sps).ok()?.codec_string(),
            CodecParameters::H265(parameters) => h265::Sps::parse(&parameters.sps).ok()?.codec_string(),
            CodecParameters::Aac(parameters) => {
                aac::AudioSpecificConfig::parse(&parameters.config).ok()?.codec_string()
            }
            CodecParameters::G711(G711Parameters { law: G711Law::A, .. }) => "alaw".to_owned(),
            CodecParameters::G711(G711Parameters { law: G711Law::Mu, .. }) => "ulaw".to_owned(),
        })
    }
}

/// H.264 parameter sets as NAL units without start code, and what they say.
/// Made by [`codec::h264::parameters`](crate::codec::h264), which checks them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct H264Parameters {
    /// Sequence parameter set, NAL header included.
    pub sps: Bytes,
    /// Picture parameter set, NAL header included.
    pub pps: Bytes,
    /// Cropped luma width in pixels.
    pub width: u32,
    /// Cropped luma height in pixels.
    pub height: u32,
}

/// H.265 parameter sets as NAL units without start code, and what they say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct H265Parameters {
    /// Video parameter set, NAL header included.
    pub vps: Bytes,
    /// Sequence parameter set, NAL header included.
    pub sps: Bytes,
    /// Picture parameter set, NAL header included.
    pub pps: Bytes,
    /// Cropped luma width in pixels.
    pub width: u32,
    /// Cropped luma height in pixels.
    pub height: u32,
}

/// AAC configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AacParameters {
    /// AudioSpecificConfig, ISO/IEC 14496-3 §1.6.2.1.
    pub config: Bytes,
    /// Samples a second.
    pub sample_rate: u32,
    /// Channels, 1 to 8.
    pub channels: u8,
}

/// Companding law of G.711.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum G711Law {
    /// A-law (PCMA), Europe and most cameras in China.
    A,
    /// µ-law (PCMU).
    Mu,
}

/// G.711 configuration; one byte a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct G711Parameters {
    /// Companding law.
    pub law: G711Law,
    /// Samples a second, 8000 unless a vendor bends it.
    pub sample_rate: u32,
    /// Channels, usually 1.
    pub channels: u8,
}
