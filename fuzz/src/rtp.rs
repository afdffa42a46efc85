//! Packets for the depacketisers out of fuzz bytes.

use bytes::Bytes;
use proto::rtp::{Depacketizer, Packet, Unit};

/// Feeds packets cut from `data`: of three bytes before each, the first has marker, gap and a new
/// timestamp, the others the length. Answers what came out.
pub fn units(depacketizer: &mut Depacketizer, mut data: &[u8]) -> Vec<Unit> {
    let (mut sequence, mut timestamp, mut units) = (0u16, 0u32, Vec::new());
    while let [flags, hi, lo, rest @ ..] = data {
        let length = usize::from(u16::from_be_bytes([*hi, *lo])).min(rest.len());
        let (payload, rest) = rest.split_at(length);
        data = rest;
        let gap = flags & 2 != 0;
        sequence = sequence.wrapping_add(1 + u16::from(gap));
        timestamp = timestamp.wrapping_add(if flags & 4 != 0 { 3600 } else { 0 });
        let payload = Bytes::copy_from_slice(payload);
        let marker = flags & 1 != 0;
        let packet = Packet { marker, payload_type: 96, sequence, timestamp, ssrc: 1, extension: None, payload };
        // What is wrong with a packet is said and forgotten.
        let _ = depacketizer.push(&packet, gap);
        units.extend(std::iter::from_fn(|| depacketizer.pull()));
    }
    units
}
