//! AAC payloads, RFC 3640 §3.3.6 (AAC-hbr): 13 bits of size and 3 of index before each frame.

use bytes::{Bytes, BytesMut};

use super::nal::PayloadError;
use super::packet::Packet;

/// Frames in one packet; a packet of 64 KiB cannot hold more honest ones.
const FRAMES_MAX: usize = 64;
/// The largest size 13 bits can say.
const FRAME_MAX: usize = 0x1fff;

/// Collects frames from packets in order.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    /// A frame in pieces: timestamp, whole size, what is there.
    fragment: Option<(u32, usize, BytesMut)>,
}

impl Assembler {
    /// Takes the next packet; `gap` says that packets before it are missing. `each` gets the index
    /// of the frame in the packet and its bytes. Answers how many frames were dropped.
    pub(super) fn push(
        &mut self,
        packet: &Packet,
        gap: bool,
        each: &mut impl FnMut(u32, Bytes),
    ) -> Result<u64, PayloadError> {
        let pending = self.fragment.take();
        let payload = &packet.payload;
        let &[hi, lo] = payload.first_chunk().ok_or(PayloadError::Truncated)?;
        // AU-headers-length counts bits.
        let count = usize::from(u16::from_be_bytes([hi, lo])) / 16;
        if count == 0 || count > FRAMES_MAX {
            return Err(PayloadError::TooLarge);
        }
        let headers = payload.get(2..2 + 2 * count).ok_or(PayloadError::Truncated)?;
        let mut data = payload.slice(2 + 2 * count..);
        let sizes = headers.chunks_exact(2).map(|h| usize::from(u16::from_be_bytes([h[0], h[1]]) >> 3));
        if count == 1 {
            let size = sizes.sum();
            return Ok(self.single(pending.filter(|_| !gap), packet, size, data, each) + u64::from(gap));
        }
        for (index, size) in sizes.enumerate() {
            if size > data.len() {
                return Err(PayloadError::Truncated);
            }
            each(index as u32, data.split_to(size));
        }
        Ok(u64::from(pending.is_some()))
    }

    /// A packet of one frame, or of a piece of one: each piece repeats the size of the whole.
    fn single(
        &mut self,
        pending: Option<(u32, usize, BytesMut)>,
        packet: &Packet,
        size: usize,
        mut data: Bytes,
        each: &mut impl FnMut(u32, Bytes),
    ) -> u64 {
        let continues = pending.as_ref().is_some_and(|(t, whole, _)| *t == packet.timestamp && *whole == size);
        let (dropped, mut frame) = match pending {
            Some((_, _, begun)) if continues => (0, begun),
            Some(_) => (1, BytesMut::new()),
            None => (0, BytesMut::new()),
        };
        if frame.is_empty() && data.len() >= size {
            data.truncate(size);
            each(0, data);
            return dropped;
        }
        frame.extend_from_slice(&data);
        if frame.len() >= size {
            frame.truncate(size);
            each(0, frame.freeze());
        } else if packet.marker {
            // The marker ends a frame (§3.1): its beginning was lost.
            return dropped + 1;
        } else {
            self.fragment = Some((packet.timestamp, size, frame));
        }
        dropped
    }
}

/// Cuts a frame into payloads of at most `max` bytes. `emit` gets the parts of a payload and whether
/// it is the last.
pub(super) fn packetize(frame: &[u8], max: usize, emit: &mut impl FnMut(&[&[u8]], bool)) {
    let size = frame.len().min(FRAME_MAX) as u16;
    let [hi, lo] = (size << 3).to_be_bytes();
    let header = [0, 16, hi, lo];
    let mut pieces = frame[..usize::from(size)].chunks(max - header.len()).peekable();
    while let Some(piece) = pieces.next() {
        emit(&[&header, piece], pieces.peek().is_none());
    }
}
