//! Elementary streams: parameter sets and what a frame's bytes say.

pub mod aac;
pub mod access_unit;
pub mod bits;
pub mod g711;
pub mod h264;
pub mod h265;
pub mod nal;

/// Why bytes of an elementary stream were not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The structure needs more bits than there are.
    #[error("ends within {0}")]
    Truncated(&'static str),
    /// A field has a value the standard forbids.
    #[error("{0} is out of the range of the standard")]
    Invalid(&'static str),
    /// A field has a legal value that no camera uses and we do not carry.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
    /// The structure is larger than any honest sender's.
    #[error("{what} is larger than {max}")]
    TooLarge {
        /// Which structure.
        what: &'static str,
        /// Our limit, in bytes unless the name says otherwise.
        max: usize,
    },
}

/// Largest parameter set taken: honest ones have some 100 bytes, with scaling lists about 1 KiB.
pub(crate) const PARAMETER_SET_MAX: usize = 4096;

/// Largest width and height of a picture, in pixels: the highest level of H.265 allows 16,888.
pub(crate) const PICTURE_SIDE_MAX: u32 = 16_888;

/// Pictures a second as a fraction in lowest terms; neither part is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRate {
    /// Pictures …
    pub numerator: u32,
    /// … in so many seconds.
    pub denominator: u32,
}

impl FrameRate {
    /// Reduces a fraction; `None` when a part is 0 or needs more than 32 bits.
    pub(crate) fn new(numerator: u64, denominator: u64) -> Option<FrameRate> {
        let (mut a, mut b) = (numerator, denominator);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        let part = |value: u64| u32::try_from(value.checked_div(a)?).ok().filter(|&part| part > 0);
        Some(FrameRate { numerator: part(numerator)?, denominator: part(denominator)? })
    }

    /// As a decimal number.
    pub fn per_second(self) -> f64 {
        f64::from(self.numerator) / f64::from(self.denominator)
    }
}

/// Bytes written in hexadecimal, for tests.
#[cfg(test)]
pub(crate) fn from_hex(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hexadecimal"))
        .collect()
}

/// Bits with spaces between, padded with zeros to bytes, in hexadecimal.
#[cfg(test)]
pub(crate) fn hex_of_bits(bits: &str) -> String {
    let bits: Vec<u8> = bits.bytes().filter(|byte| *byte != b' ').map(|byte| byte - b'0').collect();
    bits.chunks(8)
        .map(|byte| format!("{:02x}", (0..8).fold(0, |value, at| value << 1 | byte.get(at).unwrap_or(&0))))
        .collect()
}
