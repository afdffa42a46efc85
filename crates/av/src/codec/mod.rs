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

/// How the numbers of a picture stand for colours, as the VUI tells (H.264 and H.265 §E.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoSignal {
    /// `video_full_range_flag`: luma takes 0 to 255, not 16 to 235.
    pub full_range: bool,
    /// `matrix_coefficients`: 1 is BT.709, 5 and 6 BT.601, 2 not told.
    pub matrix: u8,
}

impl VideoSignal {
    /// What holds when nothing is told.
    pub(crate) const UNTOLD: VideoSignal = VideoSignal { full_range: false, matrix: 2 };

    /// From `video_format` on.
    pub(crate) fn read(r: &mut bits::BitReader<'_>) -> Result<VideoSignal, Error> {
        r.skip(3, "video_format")?;
        let mut signal = VideoSignal { full_range: r.flag("video_full_range_flag")?, ..Self::UNTOLD };
        if r.flag("colour_description_present_flag")? {
            r.skip(16, "colour_primaries, transfer_characteristics")?;
            signal.matrix = r.bits(8, "matrix_coefficients")? as u8;
        }
        Ok(signal)
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
