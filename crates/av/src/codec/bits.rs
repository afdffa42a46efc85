//! Bits, most significant first, and Exp-Golomb codes (ITU-T H.264 §7.2 and §9.1, H.265 §9.2).

use std::borrow::Cow;

use super::Error;

/// Reads bits of a raw byte sequence payload, most significant bit first.
#[derive(Clone, Debug)]
pub struct BitReader<'a> {
    data: &'a [u8],
    position: usize,
}

impl<'a> BitReader<'a> {
    /// Starts at the first bit of `data`, which holds no emulation prevention bytes any more
    /// (see [`unescape`]).
    pub fn new(data: &'a [u8]) -> Self {
        BitReader { data, position: 0 }
    }

    /// Bits not read yet.
    pub fn remaining(&self) -> usize {
        self.data.len() * 8 - self.position
    }

    /// Reads one bit; `what` names the field in the error.
    ///
    /// # Errors
    /// [`Error::Truncated`] at the end.
    pub fn flag(&mut self, what: &'static str) -> Result<bool, Error> {
        let byte = *self.data.get(self.position / 8).ok_or(Error::Truncated(what))?;
        let bit = byte >> (7 - self.position % 8) & 1;
        self.position += 1;
        Ok(bit == 1)
    }

    /// Reads `count` bits as an unsigned number, `u(n)`; `count` is at most 32.
    ///
    /// # Errors
    /// [`Error::Truncated`] at the end; nothing is consumed then.
    pub fn bits(&mut self, count: u32, what: &'static str) -> Result<u32, Error> {
        assert!(count <= 32, "u(n) of at most 32 bits");
        if self.remaining() < count as usize {
            return Err(Error::Truncated(what));
        }
        let mut value = 0u64;
        let mut left = count as usize;
        while left > 0 {
            let available = 8 - self.position % 8;
            let take = available.min(left);
            let chunk = (self.data[self.position / 8] >> (available - take)) & (0xFFu16 >> (8 - take)) as u8;
            value = value << take | u64::from(chunk);
            self.position += take;
            left -= take;
        }
        Ok(value as u32)
    }

    /// Skips `count` bits.
    ///
    /// # Errors
    /// [`Error::Truncated`] when there are fewer.
    pub fn skip(&mut self, count: usize, what: &'static str) -> Result<(), Error> {
        if self.remaining() < count {
            return Err(Error::Truncated(what));
        }
        self.position += count;
        Ok(())
    }

    /// Reads an unsigned Exp-Golomb code, `ue(v)`.
    ///
    /// # Errors
    /// [`Error::Truncated`] at the end, [`Error::Invalid`] past 2³²−2.
    pub fn ue(&mut self, what: &'static str) -> Result<u32, Error> {
        let mut zeros = 0;
        while !self.flag(what)? {
            zeros += 1;
            if zeros > 31 {
                return Err(Error::Invalid(what));
            }
        }
        let suffix = self.bits(zeros, what)?;
        Ok(((1u64 << zeros) - 1 + u64::from(suffix)) as u32)
    }

    /// Reads an unsigned Exp-Golomb code that the standard limits to `max`.
    ///
    /// # Errors
    /// As [`BitReader::ue`], and [`Error::Invalid`] above `max`.
    pub fn ue_max(&mut self, max: u32, what: &'static str) -> Result<u32, Error> {
        let value = self.ue(what)?;
        if value > max { Err(Error::Invalid(what)) } else { Ok(value) }
    }

    /// Reads a signed Exp-Golomb code, `se(v)`: 0, 1, −1, 2, −2, …
    ///
    /// # Errors
    /// As [`BitReader::ue`].
    pub fn se(&mut self, what: &'static str) -> Result<i32, Error> {
        let code = i64::from(self.ue(what)?);
        let magnitude = (code + 1) / 2;
        Ok(if code % 2 == 1 { magnitude } else { -magnitude } as i32)
    }
}

/// Removes emulation prevention bytes: every `03` after two zero bytes (H.264 §7.4.1, H.265 §7.4.2).
/// Borrows when there is none, as in most parameter sets.
pub fn unescape(nal: &[u8]) -> Cow<'_, [u8]> {
    if !nal.windows(3).any(|bytes| bytes == [0, 0, 3]) {
        return Cow::Borrowed(nal);
    }
    let mut out = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for &byte in nal {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    Cow::Owned(out)
}

/// Inserts emulation prevention bytes, so that no start code appears within the NAL unit.
pub fn escape(rbsp: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(rbsp.len() + rbsp.len() / 64);
    let mut zeros = 0;
    for &byte in rbsp {
        if zeros >= 2 && byte <= 3 {
            out.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    // §7.4.1: a NAL unit does not end with a zero byte.
    if zeros > 0 {
        out.push(3);
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn exp_golomb_codes_of_table_9_2() {
        // 1 010 011 00100 00101 00110 00111 0001000, then padding
        let bytes = [0b1010_0110, 0b0100_0010, 0b1001_1000, 0b1110_0010, 0b0000_0000];
        let mut reader = BitReader::new(&bytes);
        for expected in 0..8 {
            assert_eq!(reader.ue("code"), Ok(expected));
        }
        let mut reader = BitReader::new(&bytes);
        for expected in [0, 1, -1, 2, -2, 3, -3, 4] {
            assert_eq!(reader.se("code"), Ok(expected));
        }
    }

    #[test]
    fn exp_golomb_without_a_stop_bit_is_an_error() {
        assert_eq!(BitReader::new(&[0; 3]).ue("x"), Err(Error::Truncated("x")));
        assert_eq!(BitReader::new(&[0; 9]).ue("x"), Err(Error::Invalid("x")));
        // The largest code: 31 zeros, a one and 31 ones.
        let mut largest = vec![0, 0, 0, 1];
        largest.extend([0xFF; 4]);
        assert_eq!(BitReader::new(&largest).ue("x"), Ok(u32::MAX - 1));
    }

    proptest! {
        #[test]
        fn bits_agree_with_a_bit_by_bit_reader(data in proptest::collection::vec(any::<u8>(), 1..24), counts in proptest::collection::vec(0u32..=32, 1..12)) {
            let (mut fast, mut slow) = (BitReader::new(&data), BitReader::new(&data));
            for count in counts {
                if slow.remaining() < count as usize {
                    prop_assert!(fast.bits(count, "n").is_err());
                    break;
                }
                let expected = (0..count).fold(0u64, |value, _| value << 1 | u64::from(slow.flag("bit").unwrap()));
                prop_assert_eq!(u64::from(fast.bits(count, "n").unwrap()), expected);
            }
        }

        #[test]
        fn escape_round_trips_and_hides_start_codes(mut rbsp in proptest::collection::vec(0u8..5, 0..200)) {
            rbsp.push(0x80); // rbsp_trailing_bits
            let escaped = escape(&rbsp);
            prop_assert!(!escaped.windows(3).any(|bytes| bytes[..2] == [0, 0] && bytes[2] < 3));
            let unescaped = unescape(&escaped);
            prop_assert_eq!(unescaped.as_ref(), rbsp.as_slice());
        }
    }
}
