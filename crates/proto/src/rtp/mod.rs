//! RTP and RTCP, both ends, without sockets.
//!
//! | Part | Follows |
//! |---|---|
//! | [`packet`], [`rtcp`] | RFC 3550 |
//! | H.264 | RFC 6184, packetisation modes 0 and 1 |
//! | H.265 | RFC 7798 without decoding order numbers |
//! | AAC | RFC 3640, AAC-hbr |
//! | G.711 | RFC 3551 §4.5.14 |
//! | [`replay`] | ONVIF Streaming §6 |
//!
//! A sender needs a [`Packetizer`] a track. A receiver needs one [`Receiver`] for all tracks of a
//! session: it puts packets in order, assembles frames and lays the tracks' clocks on one timeline.

mod aac;
mod depacketizer;
mod h264;
mod h265;
mod nal;
mod order;
pub mod packet;
mod packetizer;
mod receiver;
pub mod replay;
pub mod rtcp;
mod sequence;
#[cfg(test)]
mod tests;

use av::{CodecKind, CodecParameters};

pub use depacketizer::{Depacketizer, Error, Unit};
pub use nal::PayloadError;
pub use order::DecodeOrder;
pub use packet::Packet;
pub use packetizer::{PAYLOAD_MAX, Packetizer};
pub use receiver::{Output, Receiver};
pub use replay::ReplayExtension;
pub use sequence::{Reception, Reorder};

/// What one medium's packets hold, as a session description says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Codec.
    pub codec: CodecKind,
    /// Ticks a second of the timestamps; never 0.
    pub clock_rate: u32,
    /// Parameters, where the description has them; always for AAC and G.711. Video may bring its own in-band.
    pub parameters: Option<CodecParameters>,
}
