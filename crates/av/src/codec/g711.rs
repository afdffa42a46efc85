//! G.711: one byte a sample, A-law or µ-law (ITU-T G.711 tables 1 and 2).
//!
//! Linear samples are 16-bit signed, full scale: the 13 bits of A-law and 14 of µ-law sit at the top.

use bytes::Bytes;

use crate::G711Law;

/// Expands codes to linear samples.
pub fn decode(law: G711Law, codes: &[u8]) -> Vec<i16> {
    codes.iter().map(|&code| expand(law, code)).collect()
}

/// Compresses linear samples to codes.
pub fn encode(law: G711Law, samples: &[i16]) -> Bytes {
    samples.iter().map(|&sample| compress(law, sample)).collect()
}

fn expand(law: G711Law, code: u8) -> i16 {
    match law {
        G711Law::A => {
            // Every second bit is inverted on the line (table 1, note 2).
            let code = code ^ 0x55;
            let (exponent, mantissa) = (code >> 4 & 7, i16::from(code & 0xF));
            let magnitude = match exponent {
                0 => (mantissa << 4) + 8,
                _ => ((mantissa << 4) + 0x108) << (exponent - 1),
            };
            if code & 0x80 != 0 { magnitude } else { -magnitude }
        }
        G711Law::Mu => {
            let code = !code;
            let (exponent, mantissa) = (code >> 4 & 7, i16::from(code & 0xF));
            let magnitude = (((mantissa << 3) + MU_BIAS) << exponent) - MU_BIAS;
            if code & 0x80 == 0 { magnitude } else { -magnitude }
        }
    }
}

/// What µ-law adds before it takes the logarithm: 33 of 14 bits, here at 16.
const MU_BIAS: i16 = 0x84;

fn compress(law: G711Law, sample: i16) -> u8 {
    match law {
        G711Law::A => {
            // Negative samples are mirrored at -1/2, so that the intervals of both signs match.
            let (sign, magnitude) = if sample >= 0 { (0x80, sample) } else { (0, !sample) };
            let exponent = (15 - magnitude.leading_zeros() as i16 - 7).max(0);
            let mantissa = magnitude >> (exponent.max(1) + 3) & 0xF;
            (sign | (exponent as u8) << 4 | mantissa as u8) ^ 0x55
        }
        G711Law::Mu => {
            let sign = if sample >= 0 { 0 } else { 0x80 };
            let magnitude = sample.saturating_abs().min(i16::MAX - MU_BIAS) + MU_BIAS;
            let exponent = 15 - magnitude.leading_zeros() as i16 - 7;
            let mantissa = magnitude >> (exponent + 3) & 0xF;
            !(sign | (exponent as u8) << 4 | mantissa as u8)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAWS: [G711Law; 2] = [G711Law::A, G711Law::Mu];

    #[test]
    fn values_of_the_tables() {
        // Table 1: the character signal of the last and the first positive interval, shifted to 16 bits.
        assert_eq!(expand(G711Law::A, 0xAA), 4032 << 3);
        assert_eq!(expand(G711Law::A, 0x2A), -(4032 << 3));
        assert_eq!(expand(G711Law::A, 0xD5), 1 << 3);
        // Table 2.
        assert_eq!(expand(G711Law::Mu, 0x80), 8031 << 2);
        assert_eq!(expand(G711Law::Mu, 0x00), -(8031 << 2));
        assert_eq!(expand(G711Law::Mu, 0xFF), 0);
        assert_eq!(compress(G711Law::Mu, 0), 0xFF);
        assert_eq!(compress(G711Law::A, 0), 0xD5);
        assert_eq!(compress(G711Law::A, i16::MIN), 0x2A);
        assert_eq!(compress(G711Law::Mu, i16::MIN), 0x00);
    }

    #[test]
    fn every_code_survives_linear() {
        for law in LAWS {
            for code in 0..=255 {
                let again = compress(law, expand(law, code));
                // µ-law has two zeros.
                let expected = if law == G711Law::Mu && code == 0x7F { 0xFF } else { code };
                assert_eq!(again, expected, "{law:?} {code:#04x}");
            }
        }
    }

    #[test]
    fn every_sample_is_off_by_half_a_step_at_most() {
        for law in LAWS {
            let mut before = i16::MIN;
            for sample in i16::MIN..=i16::MAX {
                let value = expand(law, compress(law, sample));
                assert!(value >= before, "{law:?} {sample}: not monotone");
                before = value;
                // A step is a sixteenth of the lower end of its segment, which begins at a power of two
                // (µ-law: less the bias); below the first segment it is constant.
                let half_step = match law {
                    G711Law::A => (i32::from(sample).abs() / 32).max(8),
                    G711Law::Mu => (i32::from(sample).abs() + i32::from(MU_BIAS)) / 32,
                };
                assert!((i32::from(sample) - i32::from(value)).abs() <= half_step + 1, "{law:?} {sample} -> {value}");
            }
        }
    }
}
