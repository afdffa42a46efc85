//! Packets to frames.

use std::collections::VecDeque;

use av::codec::aac::SAMPLES_PER_FRAME;
use av::codec::access_unit::AccessUnitBuilder;
use av::{CodecKind, CodecParameters};
use bytes::Bytes;

use super::h264::H264;
use super::h265::H265;
use super::nal::{self, Assembled, PayloadError};
use super::packet::Packet;
use super::{Format, aac};

/// What cannot be read; the depacketiser goes on with the next packet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The payload breaks its format.
    #[error("RTP sequence {sequence}")]
    Payload {
        /// Sequence number of the packet.
        sequence: u16,
        /// What is wrong.
        #[source]
        source: PayloadError,
    },
    /// The parameter sets or the access unit break the codec.
    #[error("access unit at RTP timestamp {timestamp}")]
    Codec {
        /// RTP timestamp of the unit.
        timestamp: u32,
        /// What is wrong.
        #[source]
        source: av::codec::Error,
    },
}

/// What comes out of packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Parameters, new or changed: they hold from the next frame on.
    Parameters(CodecParameters),
    /// An access unit or audio frame, in the form of [`av::Frame::data`].
    Frame {
        /// RTP timestamp: presentation time, wrapping.
        timestamp: u32,
        /// A decoder can start here.
        key: bool,
        /// Payload.
        data: Bytes,
    },
    /// A frame was dropped because packets of it are missing or broken.
    Lost,
}

enum Assembler {
    H264(nal::Assembler<H264>, AccessUnitBuilder),
    H265(nal::Assembler<H265>, AccessUnitBuilder),
    Aac(aac::Assembler),
    G711,
}

/// Reassembles the frames of one track from its packets in order (see [`Reorder`](super::Reorder)).
///
/// Accepts, because cameras send it: parameter sets before every key frame or in the description
/// alone; start codes inside a packet; markers missing or on every slice.
pub struct Depacketizer {
    payload_type: u8,
    assembler: Assembler,
    units: VecDeque<Unit>,
}

impl Depacketizer {
    /// For one medium of a description. Parameters known from it come out first.
    pub fn new(format: &Format) -> Depacketizer {
        let mut units = VecDeque::new();
        let builder = |units: &mut VecDeque<Unit>| {
            let mut builder = AccessUnitBuilder::new(format.codec);
            let sets: Vec<&Bytes> = match &format.parameters {
                Some(CodecParameters::H264(p)) => vec![&p.sps, &p.pps],
                Some(CodecParameters::H265(p)) => vec![&p.vps, &p.sps, &p.pps],
                _ => Vec::new(),
            };
            // A broken set in a description is repaired by those in the stream.
            if sets.iter().all(|set| builder.push(set).is_ok())
                && let Ok(Some(parameters)) = builder.take_changed()
            {
                units.push_back(Unit::Parameters(parameters));
            }
            builder
        };
        let assembler = match format.codec {
            CodecKind::H264 => Assembler::H264(nal::Assembler::new(), builder(&mut units)),
            CodecKind::H265 => Assembler::H265(nal::Assembler::new(), builder(&mut units)),
            CodecKind::Aac => Assembler::Aac(aac::Assembler::default()),
            CodecKind::G711 => Assembler::G711,
        };
        if matches!(format.codec, CodecKind::Aac | CodecKind::G711) {
            units.extend(format.parameters.clone().map(Unit::Parameters));
        }
        Depacketizer { payload_type: format.payload_type, assembler, units }
    }

    /// Takes the next packet; `gap` says that packets before it are missing. Packets of another
    /// payload type (comfort noise, key events) are passed over.
    ///
    /// # Errors
    /// [`Error`] when it cannot be read; what it belonged to is dropped, and the next can be pushed.
    pub fn push(&mut self, packet: &Packet, gap: bool) -> Result<(), Error> {
        if packet.payload_type != self.payload_type || packet.payload.is_empty() {
            return Ok(());
        }
        let sequence = packet.sequence;
        let payload_error = |source| Error::Payload { sequence, source };
        let units = &mut self.units;
        match &mut self.assembler {
            Assembler::H264(assembler, builder) => video(assembler, builder, packet, gap, units),
            Assembler::H265(assembler, builder) => video(assembler, builder, packet, gap, units),
            Assembler::Aac(assembler) => {
                let dropped = assembler.push(packet, gap, &mut |index, data| {
                    let timestamp = packet.timestamp.wrapping_add(index * SAMPLES_PER_FRAME);
                    let data = own(&data);
                    units.push_back(Unit::Frame { timestamp, key: true, data });
                });
                let dropped = dropped.map_err(payload_error)?;
                units.extend((0..dropped).map(|_| Unit::Lost));
                Ok(())
            }
            Assembler::G711 => {
                units.extend(gap.then_some(Unit::Lost));
                let data = own(&packet.payload);
                units.push_back(Unit::Frame { timestamp: packet.timestamp, key: true, data });
                Ok(())
            }
        }
    }

    /// The next unit, in order.
    pub fn pull(&mut self) -> Option<Unit> {
        self.units.pop_front()
    }
}

/// Frames live in a ring for seconds: a few hundred bytes must not keep the socket's whole buffer.
fn own(data: &Bytes) -> Bytes {
    Bytes::copy_from_slice(data)
}

fn video<F: nal::NalFormat>(
    assembler: &mut nal::Assembler<F>,
    builder: &mut AccessUnitBuilder,
    packet: &Packet,
    gap: bool,
    units: &mut VecDeque<Unit>,
) -> Result<(), Error> {
    let mut broken = None;
    let result = assembler.push(packet, gap, &mut |assembled| {
        let Assembled::Unit(unit) = assembled else { return units.push_back(Unit::Lost) };
        // A broken parameter set must not cost a picture that may not need it.
        let pushed = unit.nals.iter().map(|nal| builder.push(nal)).find(Result::is_err);
        let mut error = pushed.and_then(Result::err);
        match builder.finish() {
            Ok(Some(made)) => {
                units.extend(made.parameters.map(Unit::Parameters));
                units.push_back(Unit::Frame { timestamp: unit.timestamp, key: made.key, data: made.data });
            }
            Ok(None) => {}
            Err(source) => {
                units.push_back(Unit::Lost);
                error = error.or(Some(source));
            }
        }
        broken = error.map(|source| Error::Codec { timestamp: unit.timestamp, source });
    });
    result.map_err(|source| Error::Payload { sequence: packet.sequence, source })?;
    broken.map_or(Ok(()), Err)
}
