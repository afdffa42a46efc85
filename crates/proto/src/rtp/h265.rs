//! H.265 payloads, RFC 7798: single NAL units, aggregation (§4.4.2) and fragmentation (§4.4.3),
//! without decoding order numbers (`sprop-max-don-diff` = 0, as every camera has it).

use bytes::Bytes;

use super::h264::aggregated;
use super::nal::{NalFormat, PayloadError, Piece};

const AGGREGATION: u8 = 48;
const FRAGMENTATION: u8 = 49;

pub(super) struct H265;

fn nal_type(header: u8) -> u8 {
    header >> 1 & 0x3f
}

impl NalFormat for H265 {
    const HEADER_LEN: usize = 2;

    fn parse(payload: &Bytes, each: &mut impl FnMut(Piece)) -> Result<(), PayloadError> {
        let &[first, second] = payload.first_chunk().ok_or(PayloadError::Truncated)?;
        match nal_type(first) {
            0..=47 => each(Piece::Whole(payload.clone())),
            AGGREGATION => return aggregated(payload.slice(2..), each),
            FRAGMENTATION => {
                let fu = *payload.get(2).ok_or(PayloadError::Truncated)?;
                let data = payload.slice(3..);
                let header = [first & 0x81 | (fu & 0x3f) << 1, second];
                match (fu & 0x80 != 0, fu & 0x40 != 0) {
                    (false, false) => each(Piece::Middle(data)),
                    (false, true) => each(Piece::Last(data)),
                    (true, false) => each(Piece::First { header, data }),
                    // Forbidden (§4.4.3) and sent all the same.
                    (true, true) => each(Piece::Whole([&header[..], &data].concat().into())),
                }
            }
            other => return Err(PayloadError::Unsupported(other)),
        }
        Ok(())
    }

    fn aggregation_header(nals: &[&[u8]]) -> [u8; 2] {
        // The lowest layer and temporal id of those inside (§4.4.2).
        let ids = nals.iter().filter_map(|nal| nal.first_chunk().map(|&[a, b]| (u16::from_be_bytes([a, b])) & 0x01ff));
        let layer = ids.clone().map(|id| id >> 3).min().unwrap_or(0);
        let temporal = ids.map(|id| id & 7).min().unwrap_or(1);
        (u16::from(AGGREGATION) << 9 | layer << 3 | temporal).to_be_bytes()
    }

    fn fragment_header(nal: &[u8], first: bool, last: bool) -> ([u8; 3], usize) {
        let flags = (u8::from(first) << 7) | (u8::from(last) << 6);
        ([nal[0] & 0x81 | FRAGMENTATION << 1, nal[1], flags | nal_type(nal[0])], 3)
    }

    fn is_packet_type(nal: &[u8]) -> bool {
        nal.first().is_none_or(|h| nal_type(*h) >= AGGREGATION)
    }

    fn is_slice(nal: &[u8]) -> bool {
        nal.first().is_some_and(|h| nal_type(*h) < 32)
    }

    fn begins_picture(nal: &[u8]) -> bool {
        // first_slice_segment_in_pic_flag is the first bit after the header.
        Self::is_slice(nal) && nal.get(2).is_some_and(|b| b & 0x80 != 0)
    }
}
