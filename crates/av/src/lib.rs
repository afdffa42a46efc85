//! Formats of audio and video: frames, tracks, parameter sets and containers.
//!
//! Everything here is pure: bytes in, values out. The crate knows no clock, no socket and no task,
//! and everything it parses may come from an enemy: each parser has a limit, answers bad input with
//! an error, and has a fuzz target.
//!
//! | Module | Follows |
//! |---|---|
//! | [`codec::access_unit`], [`codec::nal`] | Annex B of both; ISO/IEC 14496-15 §5.3.3 |
//! | [`codec::h264`] | ITU-T H.264 (08/2021) §7.3; ISO/IEC 14496-15 §5.3 (`avcC`) |
//! | [`codec::h265`] | ITU-T H.265 (08/2021) §7.3; ISO/IEC 14496-15 §8.3 (`hvcC`) |
//! | [`codec::aac`] | ISO/IEC 14496-3 §1.6 (AudioSpecificConfig) |
//! | [`codec::g711`] | ITU-T G.711 |
//! | [`container::flv`] | Adobe FLV 10.1, Enhanced RTMP v2 |
//! | [`container::fmp4`] | ISO/IEC 14496-12, -14, -15 |
//! | [`container::ts`] | ISO/IEC 13818-1 |
//! | [`container::amf0`] | Adobe AMF0 |
//! | [`Resampler`] | Smith, "Digital Audio Resampling" (polyphase windowed sinc) |
//! | [`voice`] | files to sound: decoders of others, their limits and errors |
//! | [`still`] | a key frame to JFIF 1.02: decoders of others |

pub mod codec;
pub mod container;
mod frame;
pub mod pcm;
mod resample;
pub mod still;
mod time;
mod track;
pub mod transcode;
pub mod voice;

pub use frame::Frame;
pub use pcm::Pcm;
pub use resample::Resampler;
pub use time::{Ticks, UnixMicros};
pub use track::{
    AacParameters, CodecKind, CodecParameters, G711Law, G711Parameters, H264Parameters, H265Parameters, MediaKind,
    Track, TrackId,
};
