//! NAL units in RTP payloads: what RFC 6184 (H.264) and RFC 7798 (H.265) have in common.
//!
//! A payload holds one NAL unit, several (aggregation), or a piece of one (fragmentation). A codec
//! only says how its headers look ([`NalFormat`]); assembling and cutting is here.

use std::marker::PhantomData;

use av::codec::nal::annex_b;
use bytes::{Bytes, BytesMut};

use super::packet::Packet;

/// Longest access unit assembled, bytes: an 8K key frame at its worst. A longer one is dropped.
pub const UNIT_MAX: usize = 8 << 20;
/// NAL units in one access unit; 4K pictures cut into rows of macroblocks have about 140. More are dropped.
const NALS_MAX: usize = 1024;

/// What a payload was found to hold.
pub(super) enum Piece {
    /// One NAL unit, header included.
    Whole(Bytes),
    /// The first piece of one, its header restored.
    First { header: [u8; 2], data: Bytes },
    /// A piece from the middle.
    Middle(Bytes),
    /// The last piece.
    Last(Bytes),
}

/// A payload that breaks the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Too short for what its first bytes announce.
    #[error("payload shorter than it says")]
    Truncated,
    /// A packet type of a mode that was not agreed on (interleaved H.264, PACI).
    #[error("payload type {0} is not supported")]
    Unsupported(u8),
    /// An access unit over [`UNIT_MAX`] or of too many NAL units.
    #[error("access unit over its limit")]
    TooLarge,
}

/// A codec's NAL unit header and payload structures.
pub(super) trait NalFormat {
    /// Bytes of a NAL unit header, 1 or 2.
    const HEADER_LEN: usize;
    /// Takes a payload apart.
    fn parse(payload: &Bytes, each: &mut impl FnMut(Piece)) -> Result<(), PayloadError>;
    /// Header of a packet that aggregates these NAL units; only the first `HEADER_LEN` bytes count.
    fn aggregation_header(nals: &[&[u8]]) -> [u8; 2];
    /// Header and fragmentation header of a piece of a NAL unit; the length is that of both.
    fn fragment_header(nal: &[u8], first: bool, last: bool) -> ([u8; 3], usize);
    /// Whether its type is one of the payload structures rather than a NAL unit.
    fn is_packet_type(nal: &[u8]) -> bool;
    /// Whether it codes a part of the picture.
    fn is_slice(nal: &[u8]) -> bool;
    /// Whether it is a slice and its picture begins with it.
    fn begins_picture(nal: &[u8]) -> bool;
}

/// The NAL units of one access unit, in decoding order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AccessUnit {
    pub(super) timestamp: u32,
    pub(super) nals: Vec<Bytes>,
}

/// What became of a packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Assembled {
    Unit(AccessUnit),
    /// A unit could not be completed and was dropped.
    Dropped,
}

/// Assembles access units from packets in order.
///
/// Accepts, because cameras send it: parameter sets in packets of their own with the marker set;
/// start codes inside a single NAL unit packet; no marker at all (the next timestamp ends the unit);
/// a marker on every slice of a picture (found out at the second slice, ignored from then on).
pub(super) struct Assembler<F> {
    nals: Vec<Bytes>,
    bytes: usize,
    /// A slice is among `nals`.
    slices: bool,
    timestamp: Option<u32>,
    /// Begun fragments of one NAL unit.
    fragment: Option<BytesMut>,
    /// Something of the unit at `timestamp` is missing.
    damaged: bool,
    /// Packets were lost before the unit: its beginning must be seen to be believed.
    after_gap: bool,
    /// Packets were lost and nobody was told yet: a whole unit may have been in them.
    untold_gap: bool,
    /// Timestamp of the unit given out last.
    finished: Option<u32>,
    trust_marker: bool,
    format: PhantomData<F>,
}

impl<F: NalFormat> Assembler<F> {
    pub(super) fn new() -> Assembler<F> {
        Assembler {
            nals: Vec::new(),
            bytes: 0,
            slices: false,
            timestamp: None,
            fragment: None,
            damaged: false,
            after_gap: false,
            untold_gap: false,
            finished: None,
            trust_marker: true,
            format: PhantomData,
        }
    }

    /// Takes the next packet; `gap` says that packets before it are missing.
    pub(super) fn push(
        &mut self,
        packet: &Packet,
        gap: bool,
        each: &mut impl FnMut(Assembled),
    ) -> Result<(), PayloadError> {
        if gap {
            self.damaged |= self.timestamp.is_some() && (self.fragment.is_some() || self.slices);
            self.after_gap = true;
            self.untold_gap = true;
        }
        if self.timestamp.is_some_and(|t| t != packet.timestamp) && (self.slices || self.damaged) {
            self.finish(each);
        }
        self.timestamp = Some(packet.timestamp);
        let mut pieces = Vec::new();
        let mut result = F::parse(&packet.payload, &mut |piece| pieces.push(piece));
        for piece in pieces {
            if result.is_ok() {
                result = self.piece(piece);
            }
        }
        self.damaged |= result.is_err();
        if packet.marker && self.trust_marker && self.fragment.is_none() && (self.slices || self.damaged) {
            self.finish(each);
        }
        result
    }

    fn piece(&mut self, piece: Piece) -> Result<(), PayloadError> {
        match piece {
            Piece::Whole(nal) => {
                self.damaged |= self.fragment.take().is_some();
                return self.nal(nal);
            }
            Piece::First { header, data } => {
                self.damaged |= self.fragment.is_some();
                let mut fragment = BytesMut::with_capacity(F::HEADER_LEN + 4 * data.len());
                fragment.extend_from_slice(&header[..F::HEADER_LEN]);
                fragment.extend_from_slice(&data);
                self.fragment = Some(fragment);
            }
            Piece::Middle(data) | Piece::Last(data) if self.fragment.is_none() => {
                // Its beginning was lost; the rest of it is not worth an error a packet.
                self.damaged |= !data.is_empty();
            }
            Piece::Middle(data) => self.extend(&data)?,
            Piece::Last(data) => {
                self.extend(&data)?;
                if let Some(fragment) = self.fragment.take() {
                    return self.nal(fragment.freeze());
                }
            }
        }
        Ok(())
    }

    fn extend(&mut self, data: &[u8]) -> Result<(), PayloadError> {
        let Some(fragment) = &mut self.fragment else { return Ok(()) };
        if self.bytes + fragment.len() + data.len() > UNIT_MAX {
            self.fragment = None;
            return Err(PayloadError::TooLarge);
        }
        fragment.extend_from_slice(data);
        Ok(())
    }

    fn nal(&mut self, nal: Bytes) -> Result<(), PayloadError> {
        if matches!(nal.as_ref(), [0, 0, 1, ..] | [0, 0, 0, 1, ..]) {
            // Start codes: never a NAL unit, its header would be of the forbidden type 0.
            return annex_b(&nal).try_for_each(|unit| self.nal_unit(nal.slice_ref(unit)));
        }
        self.nal_unit(nal)
    }

    fn nal_unit(&mut self, nal: Bytes) -> Result<(), PayloadError> {
        // Packet types are no NAL units: inside another they would be taken for packets by the next reader.
        if nal.len() < F::HEADER_LEN || F::is_packet_type(&nal) {
            return Ok(());
        }
        if self.nals.len() == NALS_MAX || self.bytes + nal.len() > UNIT_MAX {
            return Err(PayloadError::TooLarge);
        }
        if F::is_slice(&nal) && !std::mem::replace(&mut self.slices, true) {
            if !F::begins_picture(&nal) {
                // The picture's beginning was given out by a false marker, or lost.
                if self.finished == self.timestamp && !self.after_gap {
                    self.trust_marker = false;
                }
                self.damaged = true;
            }
            self.after_gap = false;
        }
        self.bytes += nal.len();
        self.nals.push(nal);
        Ok(())
    }

    fn finish(&mut self, each: &mut impl FnMut(Assembled)) {
        let nals = std::mem::take(&mut self.nals);
        self.bytes = 0;
        self.slices = false;
        self.damaged |= self.fragment.take().is_some();
        self.finished = self.timestamp;
        let damaged = std::mem::take(&mut self.damaged);
        if std::mem::take(&mut self.untold_gap) || damaged {
            each(Assembled::Dropped);
        }
        if let Some(timestamp) = self.timestamp.filter(|_| !damaged) {
            each(Assembled::Unit(AccessUnit { timestamp, nals }));
        }
    }
}

/// Cuts an access unit into payloads of at most `max` bytes: small neighbours aggregated, large
/// units fragmented. `emit` gets the parts of a payload and whether it is the last.
pub(super) fn packetize<F: NalFormat>(nals: &[&[u8]], max: usize, emit: &mut impl FnMut(&[&[u8]], bool)) {
    let mut rest = nals;
    while let Some(&nal) = rest.first() {
        let mut size = F::HEADER_LEN;
        let fitting = rest.iter().take_while(|nal| {
            size += 2 + nal.len();
            size <= max
        });
        match fitting.count() {
            // One alone needs no aggregation header, so it may be a few bytes longer.
            0 | 1 if nal.len() <= max => {
                rest = &rest[1..];
                emit(&[nal], rest.is_empty());
            }
            0 | 1 => {
                rest = &rest[1..];
                fragment::<F>(nal, max, rest.is_empty(), emit);
            }
            count => {
                let (together, later) = rest.split_at(count);
                rest = later;
                let header = F::aggregation_header(together);
                let lengths: Vec<[u8; 2]> = together.iter().map(|nal| (nal.len() as u16).to_be_bytes()).collect();
                let mut parts = vec![&header[..F::HEADER_LEN]];
                parts.extend(lengths.iter().zip(together).flat_map(|(length, nal)| [length.as_slice(), *nal]));
                emit(&parts, rest.is_empty());
            }
        }
    }
}

fn fragment<F: NalFormat>(nal: &[u8], max: usize, is_last: bool, emit: &mut impl FnMut(&[&[u8]], bool)) {
    let (_, header_len) = F::fragment_header(nal, true, false);
    let mut pieces = nal[F::HEADER_LEN..].chunks(max - header_len).peekable();
    let mut first = true;
    while let Some(piece) = pieces.next() {
        let last = pieces.peek().is_none();
        let (header, length) = F::fragment_header(nal, first, last);
        emit(&[&header[..length], piece], last && is_last);
        first = false;
    }
}
