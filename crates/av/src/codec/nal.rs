//! NAL units in their two packings: Annex B start codes, as encoders and program streams write them,
//! and 4-byte lengths, as [`Frame`](crate::Frame), FLV and MP4 carry them (ISO/IEC 14496-15 §5.3.3).

use bytes::{BufMut, Bytes, BytesMut};

use super::Error;

/// Bytes of the length before each unit in a [`Frame`](crate::Frame).
pub const LENGTH_SIZE: usize = 4;

/// Iterates the NAL units of an Annex B byte stream (H.264 and H.265 Annex B), start codes and the
/// zero bytes around them removed. Bytes before the first start code are skipped; empty units too.
pub fn annex_b(stream: &[u8]) -> AnnexB<'_> {
    let rest = start_code(stream).map_or(&[][..], |at| &stream[at + 3..]);
    AnnexB { rest }
}

/// Iterator of [`annex_b`].
#[derive(Clone, Debug)]
pub struct AnnexB<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for AnnexB<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let (unit, rest) = match start_code(self.rest) {
                Some(at) => (&self.rest[..at], &self.rest[at + 3..]),
                None => (self.rest, &[][..]),
            };
            self.rest = rest;
            // A unit never ends with a zero byte: these are trailing_zero_8bits or the fourth byte
            // of the next start code.
            let len = unit.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            if len > 0 {
                return Some(&unit[..len]);
            }
        }
        None
    }
}

/// Offset of the first `00 00 01`.
fn start_code(data: &[u8]) -> Option<usize> {
    let mut at = 2;
    while let Some(&byte) = data.get(at) {
        match byte {
            // Anything above 1 cannot be part of a start code that has not begun yet.
            2.. => at += 3,
            1 if data[at - 2..at] == [0, 0] => return Some(at - 2),
            1 => at += 3,
            0 => at += 1,
        }
    }
    None
}

/// Iterates units each preceded by a 4-byte big-endian length. Empty units are skipped. An error is
/// the last item.
pub fn length_prefixed(data: &[u8]) -> LengthPrefixed<'_> {
    with_length_size(data, LENGTH_SIZE)
}

/// As [`length_prefixed`] with lengths of `length_size` bytes: 1, 2 or 4, as `lengthSizeMinusOne` of
/// an `avcC` or `hvcC` record says.
pub fn with_length_size(data: &[u8], length_size: usize) -> LengthPrefixed<'_> {
    assert!((1..=4).contains(&length_size), "a NAL unit length has 1 to 4 bytes");
    LengthPrefixed { rest: data, length_size }
}

/// Iterator of [`length_prefixed`].
#[derive(Clone, Debug)]
pub struct LengthPrefixed<'a> {
    rest: &'a [u8],
    length_size: usize,
}

impl<'a> Iterator for LengthPrefixed<'a> {
    type Item = Result<&'a [u8], Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let Some((length, rest)) = self.rest.split_at_checked(self.length_size) else {
                self.rest = &[];
                return Some(Err(Error::Truncated("NAL unit length")));
            };
            let length = length.iter().fold(0usize, |value, &byte| value << 8 | usize::from(byte));
            let Some((unit, rest)) = rest.split_at_checked(length) else {
                self.rest = &[];
                return Some(Err(Error::Truncated("NAL unit")));
            };
            self.rest = rest;
            if !unit.is_empty() {
                return Some(Ok(unit));
            }
        }
        None
    }
}

/// Packs an Annex B byte stream as length-prefixed units.
pub fn annex_b_to_length_prefixed(stream: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(stream.len() + 16);
    for unit in annex_b(stream) {
        put_length_prefixed(&mut out, unit);
    }
    out.freeze()
}

/// Packs length-prefixed units as an Annex B byte stream with 4-byte start codes.
///
/// # Errors
/// [`Error::Truncated`] if a length runs past the end.
pub fn length_prefixed_to_annex_b(data: &[u8]) -> Result<Bytes, Error> {
    let mut out = Vec::with_capacity(data.len());
    write_annex_b(data, &mut out)?;
    Ok(out.into())
}

/// Appends length-prefixed units to an Annex B byte stream, each behind a 4-byte start code.
///
/// # Errors
/// [`Error::Truncated`] if a length runs past the end; the units before it are written.
pub fn write_annex_b(data: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    for unit in length_prefixed(data) {
        out.extend_from_slice(&[0, 0, 0, 1]);
        out.extend_from_slice(unit?);
    }
    Ok(())
}

/// Appends one unit with its 4-byte length.
pub fn put_length_prefixed(out: &mut impl BufMut, unit: &[u8]) {
    // A unit longer than 4 GiB is our own bug: every input has a limit far below.
    out.put_u32(u32::try_from(unit.len()).expect("a NAL unit is below 4 GiB"));
    out.put_slice(unit);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn units(stream: &[u8]) -> Vec<&[u8]> {
        annex_b(stream).collect()
    }

    #[test]
    fn annex_b_takes_both_start_codes_and_trailing_zeros() {
        let stream = [9, 9, 0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 2, 0, 0, 0, 0, 0, 0, 1, 0x65, 0, 3, 0, 0];
        assert_eq!(units(&stream), [&[0x67u8, 1][..], &[0x68, 2], &[0x65, 0, 3]]);
    }

    #[test]
    fn annex_b_without_start_code_has_no_units() {
        assert!(units(&[0, 0, 2, 1, 5]).is_empty());
        assert!(units(&[]).is_empty());
        assert!(units(&[0, 0, 1]).is_empty());
        assert!(units(&[0, 0, 1, 0, 0, 1, 0]).is_empty());
    }

    #[test]
    fn length_past_the_end_is_an_error_once() {
        let mut iterator = length_prefixed(&[0, 0, 0, 1, 7, 0, 0, 0, 9, 1]);
        assert_eq!(iterator.next(), Some(Ok(&[7u8][..])));
        assert_eq!(iterator.next(), Some(Err(Error::Truncated("NAL unit"))));
        assert_eq!(iterator.next(), None);
        assert_eq!(length_prefixed(&[0, 0, 1]).next(), Some(Err(Error::Truncated("NAL unit length"))));
    }

    #[test]
    fn short_lengths_of_other_muxers() {
        let units: Vec<_> = with_length_size(&[0, 2, 5, 6, 0, 1, 7], 2).map(Result::unwrap).collect();
        assert_eq!(units, [&[5u8, 6][..], &[7]]);
    }

    proptest! {
        #[test]
        fn packings_convert_both_ways(bodies in proptest::collection::vec(proptest::collection::vec(0u8..6, 0..40), 0..6)) {
            let units: Vec<Vec<u8>> = bodies.iter().map(|body| {
                let mut unit = vec![0x65];
                unit.extend(super::super::bits::escape(body));
                unit
            }).collect();
            let mut packed = Vec::new();
            for unit in &units {
                put_length_prefixed(&mut packed, unit);
            }
            let stream = length_prefixed_to_annex_b(&packed).unwrap();
            prop_assert_eq!(annex_b(&stream).map(<[u8]>::to_vec).collect::<Vec<_>>(), units);
            prop_assert_eq!(annex_b_to_length_prefixed(&stream), packed);
        }
    }
}
