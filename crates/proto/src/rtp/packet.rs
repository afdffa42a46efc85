//! The RTP packet, RFC 3550 §5.1 and §5.3.1.

use bytes::{BufMut, Bytes};

/// Fixed header without contributing sources and extension, bytes.
pub const HEADER_LEN: usize = 12;

/// Not an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Shorter than its own header, extension or padding says.
    #[error("RTP packet of {length} bytes is shorter than it says")]
    Truncated {
        /// Length of the packet.
        length: usize,
    },
    /// Another version than 2.
    #[error("RTP version {0}")]
    Version(u8),
}

/// Header extension (§5.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Which extension: "defined by profile".
    pub profile: u16,
    /// Its content, a multiple of 4 bytes.
    pub data: Bytes,
}

/// One RTP packet. Contributing sources are skipped: cameras mix nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Last packet of an access unit (video).
    pub marker: bool,
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Sequence number; wraps.
    pub sequence: u16,
    /// Presentation time on the track's clock; wraps.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Header extension, if any.
    pub extension: Option<Extension>,
    /// Payload without padding.
    pub payload: Bytes,
}

impl Packet {
    /// Reads one packet.
    ///
    /// # Errors
    /// [`Error`] when it is none.
    pub fn parse(bytes: &Bytes) -> Result<Packet, Error> {
        let truncated = Error::Truncated { length: bytes.len() };
        let fixed: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or(truncated)?;
        let [v_p_x_cc, m_pt, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = *fixed;
        if v_p_x_cc >> 6 != 2 {
            return Err(Error::Version(v_p_x_cc >> 6));
        }
        let mut at = HEADER_LEN + 4 * usize::from(v_p_x_cc & 0x0f);
        let mut extension = None;
        if v_p_x_cc & 0x10 != 0 {
            let &[p0, p1, l0, l1] = bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or(truncated)?;
            let end = at + 4 + 4 * usize::from(u16::from_be_bytes([l0, l1]));
            if end > bytes.len() {
                return Err(truncated);
            }
            extension = Some(Extension { profile: u16::from_be_bytes([p0, p1]), data: bytes.slice(at + 4..end) });
            at = end;
        }
        let mut end = bytes.len();
        if v_p_x_cc & 0x20 != 0 {
            // The last byte counts itself. A count of 0 is illegal and harmless: some firmware sets the bit alone.
            end = end.checked_sub(usize::from(bytes[end - 1])).ok_or(truncated)?;
        }
        if at > end {
            return Err(truncated);
        }
        Ok(Packet {
            marker: m_pt & 0x80 != 0,
            payload_type: m_pt & 0x7f,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
            extension,
            payload: bytes.slice(at..end),
        })
    }

    /// Appends the bytes of the packet.
    ///
    /// # Panics
    /// If the extension is no multiple of 4 bytes or longer than 65,535 × 4.
    pub fn write(&self, out: &mut impl BufMut) {
        out.put_u8(0x80 | if self.extension.is_some() { 0x10 } else { 0 });
        out.put_u8(self.payload_type & 0x7f | if self.marker { 0x80 } else { 0 });
        out.put_u16(self.sequence);
        out.put_u32(self.timestamp);
        out.put_u32(self.ssrc);
        if let Some(extension) = &self.extension {
            assert!(extension.data.len() % 4 == 0, "an extension is made of 32-bit words");
            out.put_u16(extension.profile);
            out.put_u16(u16::try_from(extension.data.len() / 4).expect("an extension has at most 65,535 words"));
            out.put_slice(&extension.data);
        }
        out.put_slice(&self.payload);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn written_and_read_again() {
        let packet = Packet {
            marker: true,
            payload_type: 96,
            sequence: 65535,
            timestamp: 0xdead_beef,
            ssrc: 7,
            extension: Some(Extension { profile: 0xabac, data: Bytes::from_static(&[1; 12]) }),
            payload: Bytes::from_static(b"payload"),
        };
        let mut wire = Vec::new();
        packet.write(&mut wire);
        assert_eq!(Packet::parse(&wire.into()), Ok(packet));
    }

    #[test]
    fn padding_and_contributing_sources_are_skipped() {
        let wire = [[0xa2, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3].as_slice(), &[9; 8], b"abc", &[0, 0, 3]].concat();
        assert_eq!(Packet::parse(&wire.into()).unwrap().payload, "abc");
    }

    #[test]
    fn short_packets_are_errors() {
        let whole = [0xb1, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 9, 9, 9, 9, 0, 1, 0, 1, 8, 8, 8, 8, 1];
        assert!(Packet::parse(&Bytes::copy_from_slice(&whole)).unwrap().payload.is_empty());
        for length in 0..whole.len() - 1 {
            assert!(Packet::parse(&Bytes::copy_from_slice(&whole[..length])).is_err(), "{length}");
        }
        assert_eq!(Packet::parse(&Bytes::from_static(&[0x40; 12])), Err(Error::Version(1)));
    }
}
