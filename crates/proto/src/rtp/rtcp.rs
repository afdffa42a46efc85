//! RTCP: reports about RTP, RFC 3550 §6.

use bytes::BufMut;

/// Blocks of one report; the header counts them with 5 bits.
const BLOCKS_MAX: usize = 31;
const SR: u8 = 200;
const RR: u8 = 201;
const SDES: u8 = 202;
const BYE: u8 = 203;

/// Not RTCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Shorter than it says.
    #[error("RTCP packet shorter than it says, at byte {at}")]
    Truncated {
        /// Offset in the compound packet.
        at: usize,
    },
    /// Another version than 2.
    #[error("RTCP version {0}")]
    Version(u8),
}

/// Time as RTCP carries it: 32.32 fixed point seconds since 1900 (§4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// Seconds from 1900 to 1970.
    const UNIX: u64 = 2_208_988_800;

    /// From microseconds since 1970; wraps in 2036 as the format does.
    pub fn from_unix_micros(micros: i64) -> NtpTime {
        let seconds = (micros.div_euclid(1_000_000) as u64).wrapping_add(Self::UNIX) & 0xffff_ffff;
        let fraction = ((micros.rem_euclid(1_000_000) as u64) << 32) / 1_000_000;
        NtpTime(seconds << 32 | fraction)
    }

    /// Microseconds since 1970, of a time between 1968 and 2104: without its first bit set it is in the era
    /// that begins in 2036 (RFC 4330 §3).
    pub fn to_unix_micros(self) -> i64 {
        let seconds = (self.0 >> 32) as i64 + if self.0 >> 63 == 0 { 1 << 32 } else { 0 };
        // Rounded: a microsecond is cut to 2⁻³² s on its way here.
        let micros = ((self.0 & 0xffff_ffff) * 1_000_000 + (1 << 31)) >> 32;
        (seconds - Self::UNIX as i64) * 1_000_000 + micros as i64
    }

    /// Microseconds from `earlier` to here; the nearer way round, should the clock have wrapped.
    pub fn micros_since(self, earlier: NtpTime) -> i64 {
        let difference = i128::from(self.0.wrapping_sub(earlier.0) as i64);
        ((difference * 1_000_000) >> 32) as i64
    }

    /// The middle 32 bits, as reports quote it.
    pub fn compact(self) -> u32 {
        (self.0 >> 16) as u32
    }
}

/// What a receiver says about one source (§6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// The source.
    pub ssrc: u32,
    /// Share of packets lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost in all, signed 24 bits.
    pub lost: i32,
    /// Highest sequence number, extended by its cycles.
    pub highest_sequence: u32,
    /// Interarrival jitter, ticks.
    pub jitter: u32,
    /// [`NtpTime::compact`] of the last sender report; 0 if none.
    pub last_sr: u32,
    /// Since that report, in 1/65,536 s.
    pub delay_since_last_sr: u32,
}

/// One packet of a compound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rtcp {
    /// Sender report: ties the RTP clock to wall time (§6.4.1).
    SenderReport {
        /// The sender.
        ssrc: u32,
        /// Wall time …
        ntp: NtpTime,
        /// … and the RTP timestamp of the same moment.
        timestamp: u32,
        /// Packets sent.
        packets: u32,
        /// Payload bytes sent.
        octets: u32,
        /// What the sender receives; at most 31.
        blocks: Vec<ReportBlock>,
    },
    /// Receiver report (§6.4.2).
    ReceiverReport {
        /// The receiver.
        ssrc: u32,
        /// What it receives; at most 31.
        blocks: Vec<ReportBlock>,
    },
    /// The canonical name of a source (§6.5.1); other items are skipped.
    SourceDescription {
        /// The source.
        ssrc: u32,
        /// Its name, at most 255 bytes.
        cname: String,
    },
    /// The sources leave (§6.6).
    Bye {
        /// Which.
        ssrcs: Vec<u32>,
    },
}

/// Reads a compound packet; kinds not named in [`Rtcp`] are skipped. The rule that a compound begins
/// with a report is not enforced: some cameras send BYE alone.
///
/// # Errors
/// [`Error`] when a packet's length does not fit.
pub fn parse(bytes: &[u8]) -> Result<Vec<Rtcp>, Error> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let truncated = Error::Truncated { at };
        let &[first, kind, l0, l1] = bytes[at..].first_chunk().ok_or(truncated)?;
        if first >> 6 != 2 {
            return Err(Error::Version(first >> 6));
        }
        let end = at + 4 + 4 * usize::from(u16::from_be_bytes([l0, l1]));
        let body = bytes.get(at + 4..end).ok_or(truncated)?;
        if let Some(packet) = parse_one(kind, usize::from(first & 0x1f), body).ok_or(truncated)? {
            found.push(packet);
        }
        at = end;
    }
    Ok(found)
}

/// Outer `None`: too short. Inner: not of our kinds.
fn parse_one(kind: u8, count: usize, body: &[u8]) -> Option<Option<Rtcp>> {
    let word = |index: usize| Some(u32::from_be_bytes(*body.get(4 * index..)?.first_chunk()?));
    Some(Some(match kind {
        SR => Rtcp::SenderReport {
            ssrc: word(0)?,
            ntp: NtpTime(u64::from(word(1)?) << 32 | u64::from(word(2)?)),
            timestamp: word(3)?,
            packets: word(4)?,
            octets: word(5)?,
            blocks: blocks(body.get(24..)?, count)?,
        },
        RR => Rtcp::ReceiverReport { ssrc: word(0)?, blocks: blocks(body.get(4..)?, count)? },
        SDES if count > 0 => match *body.get(4..)? {
            [1, length, ref rest @ ..] => {
                let cname = String::from_utf8_lossy(rest.get(..usize::from(length))?).into_owned();
                Rtcp::SourceDescription { ssrc: word(0)?, cname }
            }
            _ => return Some(None),
        },
        BYE => Rtcp::Bye { ssrcs: (0..count).map(word).collect::<Option<_>>()? },
        _ => return Some(None),
    }))
}

fn blocks(bytes: &[u8], count: usize) -> Option<Vec<ReportBlock>> {
    let bytes = bytes.get(..24 * count)?;
    Some(bytes.chunks_exact(24).map(block).collect())
}

fn block(b: &[u8]) -> ReportBlock {
    let word = |at: usize| u32::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]);
    ReportBlock {
        ssrc: word(0),
        fraction_lost: b[4],
        // Sign-extends the lower 24 bits.
        lost: (word(4) << 8) as i32 >> 8,
        highest_sequence: word(8),
        jitter: word(12),
        last_sr: word(16),
        delay_since_last_sr: word(20),
    }
}

impl Rtcp {
    /// Appends the packet; several in a row are a compound.
    ///
    /// # Panics
    /// With more than 31 blocks or sources, or a name over 255 bytes.
    pub fn write(&self, out: &mut impl BufMut) {
        match self {
            Rtcp::SenderReport { ssrc, ntp, timestamp, packets, octets, blocks } => {
                header(out, SR, blocks.len(), 6 + 6 * blocks.len());
                out.put_u32(*ssrc);
                out.put_u64(ntp.0);
                out.put_u32(*timestamp);
                out.put_u32(*packets);
                out.put_u32(*octets);
                blocks.iter().for_each(|block| block.write(out));
            }
            Rtcp::ReceiverReport { ssrc, blocks } => {
                header(out, RR, blocks.len(), 1 + 6 * blocks.len());
                out.put_u32(*ssrc);
                blocks.iter().for_each(|block| block.write(out));
            }
            Rtcp::SourceDescription { ssrc, cname } => {
                let length = u8::try_from(cname.len()).expect("a canonical name has at most 255 bytes");
                // The list of items ends with a zero, and zeros fill the last word.
                let words = (4 + 2 + cname.len() + 1).div_ceil(4);
                header(out, SDES, 1, words);
                out.put_u32(*ssrc);
                out.put_slice(&[1, length]);
                out.put_slice(cname.as_bytes());
                out.put_bytes(0, 4 * words - 6 - cname.len());
            }
            Rtcp::Bye { ssrcs } => {
                header(out, BYE, ssrcs.len(), ssrcs.len());
                ssrcs.iter().for_each(|ssrc| out.put_u32(*ssrc));
            }
        }
    }
}

fn header(out: &mut impl BufMut, kind: u8, count: usize, words: usize) {
    assert!(count <= BLOCKS_MAX, "at most 31 entries in one RTCP packet");
    out.put_slice(&[0x80 | count as u8, kind]);
    out.put_u16(words as u16);
}

impl ReportBlock {
    fn write(&self, out: &mut impl BufMut) {
        out.put_u32(self.ssrc);
        out.put_u32(u32::from(self.fraction_lost) << 24 | self.lost as u32 & 0x00ff_ffff);
        out.put_u32(self.highest_sequence);
        out.put_u32(self.jitter);
        out.put_u32(self.last_sr);
        out.put_u32(self.delay_since_last_sr);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn compound() -> Vec<Rtcp> {
        let block = ReportBlock {
            ssrc: 1,
            fraction_lost: 64,
            lost: -2,
            highest_sequence: 0x1_0005,
            jitter: 9,
            last_sr: 3,
            delay_since_last_sr: 65_536,
        };
        vec![
            Rtcp::SenderReport {
                ssrc: 7,
                ntp: NtpTime(0xe123_4567_89ab_cdef),
                timestamp: 90_000,
                packets: 10,
                octets: 1000,
                blocks: vec![],
            },
            Rtcp::ReceiverReport { ssrc: 8, blocks: vec![block, ReportBlock::default()] },
            Rtcp::SourceDescription { ssrc: 7, cname: "camera".into() },
            Rtcp::SourceDescription { ssrc: 7, cname: String::new() },
            Rtcp::Bye { ssrcs: vec![7, 8] },
        ]
    }

    #[test]
    fn written_and_read_again() {
        let mut wire = Vec::new();
        compound().iter().for_each(|packet| packet.write(&mut wire));
        assert_eq!(wire.len() % 4, 0);
        assert_eq!(parse(&wire), Ok(compound()));
    }

    #[test]
    fn cut_anywhere_it_errs_or_ends_at_a_packet() {
        let mut wire = Vec::new();
        let mut borders = vec![0];
        for packet in compound() {
            packet.write(&mut wire);
            borders.push(wire.len());
        }
        for length in 0..wire.len() {
            assert_eq!(parse(&wire[..length]).is_ok(), borders.contains(&length), "{length}");
        }
    }

    #[test]
    fn unknown_kinds_are_skipped() {
        let wire = [0x80, 204, 0, 1, 1, 2, 3, 4, 0x81, 203, 0, 1, 0, 0, 0, 5];
        assert_eq!(parse(&wire), Ok(vec![Rtcp::Bye { ssrcs: vec![5] }]));
    }

    #[test]
    fn ntp_differences() {
        let a = NtpTime::from_unix_micros(1_700_000_000_250_000);
        let b = NtpTime::from_unix_micros(1_700_000_001_000_000);
        assert!((b.micros_since(a) - 750_000).abs() <= 1);
        assert!((a.micros_since(b) + 750_000).abs() <= 1);
        assert_eq!(NtpTime::from_unix_micros(0).0 >> 32, 2_208_988_800);
        // In both eras, to the microsecond.
        for micros in
            [0, 1, 999_999, 1_790_000_000_123_457, 2_085_978_495_999_999, 2_085_978_496_000_000, 4_000_000_000_000_001]
        {
            assert_eq!(NtpTime::from_unix_micros(micros).to_unix_micros(), micros);
        }
        assert_eq!(NtpTime(1 << 32).micros_since(NtpTime(u64::MAX << 32)), 2_000_000);
    }
}
