//! One access unit or audio frame.

use bytes::Bytes;

use crate::{Ticks, TrackId, UnixMicros};

/// One access unit (video) or one audio frame. Immutable once made; shared as `Arc<Frame>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The track it belongs to.
    pub track: TrackId,
    /// Decoding time on the track's clock.
    pub dts: Ticks,
    /// Composition offset in the track's ticks: presentation time is `dts + cts`.
    pub cts: i32,
    /// When it was captured or received.
    pub wall: UnixMicros,
    /// A decoder can start here: an IDR or IRAP picture; always true for audio.
    pub key: bool,
    /// H.264/H.265: NAL units each preceded by a 4-byte big-endian length, without parameter sets and
    /// access unit delimiters. AAC: one raw data block without ADTS. G.711: bytes of samples.
    pub data: Bytes,
}
