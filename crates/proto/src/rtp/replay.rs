//! The header extension of replayed recordings: when a frame was recorded, and what follows it.
//!
//! Source: ONVIF Streaming §6, RTP header extension. It is on the first packet of each frame at least.

use bytes::{BufMut, BytesMut};

use super::packet::Extension;
use super::rtcp::NtpTime;

/// [`Extension::profile`] of it.
pub const PROFILE: u16 = 0xABAC;
/// Bytes of its content.
const LENGTH: usize = 12;
/// Bytes of it in a packet.
pub(super) const WIRE_LEN: usize = 4 + LENGTH;

/// What the extension says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayExtension {
    /// When the frame was recorded, by the recorder's clock, UTC.
    pub recorded: NtpTime,
    /// C: it can be decoded without those before it.
    pub clean_point: bool,
    /// E: the last of its track before a gap, or before the end of what was recorded.
    pub end: bool,
    /// D: the first after a gap or a jump.
    pub discontinuity: bool,
    /// T: the last of its track; the session has nothing more.
    pub terminal: bool,
    /// Low byte of the `CSeq` of the PLAY it answers.
    pub cseq: u8,
}

impl ReplayExtension {
    const CLEAN_POINT: u8 = 0x80;
    const END: u8 = 0x40;
    const DISCONTINUITY: u8 = 0x20;
    const TERMINAL: u8 = 0x10;

    /// Reads it; `None` if it is another extension, or too short. Longer ones hold more that is skipped.
    pub fn parse(extension: &Extension) -> Option<ReplayExtension> {
        let &[n0, n1, n2, n3, n4, n5, n6, n7, flags, cseq, ..] =
            extension.data.first_chunk::<LENGTH>().filter(|_| extension.profile == PROFILE)?;
        Some(ReplayExtension {
            recorded: NtpTime(u64::from_be_bytes([n0, n1, n2, n3, n4, n5, n6, n7])),
            clean_point: flags & Self::CLEAN_POINT != 0,
            end: flags & Self::END != 0,
            discontinuity: flags & Self::DISCONTINUITY != 0,
            terminal: flags & Self::TERMINAL != 0,
            cseq,
        })
    }

    /// As it stands in a packet.
    pub fn to_extension(self) -> Extension {
        let flags = [
            (self.clean_point, Self::CLEAN_POINT),
            (self.end, Self::END),
            (self.discontinuity, Self::DISCONTINUITY),
            (self.terminal, Self::TERMINAL),
        ];
        let mut data = BytesMut::with_capacity(LENGTH);
        data.put_u64(self.recorded.0);
        data.put_u8(flags.iter().filter(|(set, _)| *set).fold(0, |all, (_, flag)| all | flag));
        data.put_u8(self.cseq);
        data.put_u16(0);
        Extension { profile: PROFILE, data: data.freeze() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn written_and_read_again() {
        for bits in 0..16u8 {
            let set = |bit: u8| bits & bit != 0;
            let extension = ReplayExtension {
                recorded: NtpTime(0xe3d4_5678_8000_0000 + u64::from(bits)),
                clean_point: set(8),
                end: set(4),
                discontinuity: set(2),
                terminal: set(1),
                cseq: 5 + bits,
            };
            let wire = extension.to_extension();
            assert_eq!((wire.profile, wire.data.len(), wire.data[8]), (0xabac, 12, bits << 4));
            assert_eq!(ReplayExtension::parse(&wire), Some(extension));
            let longer = Extension { data: [&wire.data[..], &[9; 8]].concat().into(), ..wire.clone() };
            assert_eq!(ReplayExtension::parse(&longer), Some(extension));
            let shorter = Extension { data: wire.data.slice(..8), ..wire.clone() };
            assert_eq!(ReplayExtension::parse(&shorter), None);
            assert_eq!(ReplayExtension::parse(&Extension { profile: 0xbede, ..wire }), None);
        }
    }
}
