//! H.264 payloads, RFC 6184: single NAL unit and non-interleaved mode (§5.6, §5.7.1 STAP-A, §5.8 FU-A).

use bytes::Bytes;

use super::nal::{NalFormat, PayloadError, Piece};

const STAP_A: u8 = 24;
const FU_A: u8 = 28;

pub(super) struct H264;

impl NalFormat for H264 {
    const HEADER_LEN: usize = 1;

    fn parse(payload: &Bytes, each: &mut impl FnMut(Piece)) -> Result<(), PayloadError> {
        let first = *payload.first().ok_or(PayloadError::Truncated)?;
        match first & 0x1f {
            // Type 0 is not assigned; it is where payloads with start codes land.
            0..=23 => each(Piece::Whole(payload.clone())),
            STAP_A => return aggregated(payload.slice(1..), each),
            FU_A => {
                let fu = *payload.get(1).ok_or(PayloadError::Truncated)?;
                let data = payload.slice(2..);
                let header = [first & 0xe0 | fu & 0x1f, 0];
                match (fu & 0x80 != 0, fu & 0x40 != 0) {
                    (false, false) => each(Piece::Middle(data)),
                    (false, true) => each(Piece::Last(data)),
                    (true, false) => each(Piece::First { header, data }),
                    // Forbidden (§5.8) and sent all the same.
                    (true, true) => each(Piece::Whole([&header[..1], &data].concat().into())),
                }
            }
            other => return Err(PayloadError::Unsupported(other)),
        }
        Ok(())
    }

    fn aggregation_header(nals: &[&[u8]]) -> [u8; 2] {
        let headers = nals.iter().filter_map(|nal| nal.first());
        let (f, nri) = headers.fold((0, 0), |(f, nri), h| (f | h & 0x80, nri.max(h & 0x60)));
        [f | nri | STAP_A, 0]
    }

    fn fragment_header(nal: &[u8], first: bool, last: bool) -> ([u8; 3], usize) {
        let flags = (u8::from(first) << 7) | (u8::from(last) << 6);
        ([nal[0] & 0xe0 | FU_A, flags | nal[0] & 0x1f, 0], 2)
    }

    fn is_packet_type(nal: &[u8]) -> bool {
        nal.first().is_none_or(|h| h & 0x1f >= STAP_A)
    }

    fn is_slice(nal: &[u8]) -> bool {
        matches!(nal.first().map(|h| h & 0x1f), Some(1..=5))
    }

    fn begins_picture(nal: &[u8]) -> bool {
        // first_mb_in_slice is ue(v): zero is a single 1 bit. Data partitions B and C (3, 4) begin nothing.
        matches!(nal, [header, slice, ..] if matches!(header & 0x1f, 1 | 2 | 5) && slice & 0x80 != 0)
    }
}

/// NAL units, each behind its 16-bit length. Shared with H.265.
pub(super) fn aggregated(mut rest: Bytes, each: &mut impl FnMut(Piece)) -> Result<(), PayloadError> {
    while !rest.is_empty() {
        let Some(&[hi, lo]) = rest.first_chunk() else { return Err(PayloadError::Truncated) };
        let length = usize::from(u16::from_be_bytes([hi, lo]));
        if rest.len() < 2 + length {
            return Err(PayloadError::Truncated);
        }
        let nal = rest.split_to(2 + length).slice(2..);
        if !nal.is_empty() {
            each(Piece::Whole(nal));
        }
    }
    Ok(())
}
