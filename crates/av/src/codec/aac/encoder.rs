//! Sound to AAC-LC, by `syom`.

use bytes::Bytes;

use super::{OBJECT_TYPE_LC, config};
use crate::AacParameters;

/// Samples by which a frame sounds earlier than what was pushed for it: the overlap of the transform.
/// Frame `n` of an encoder covers its input from `n · 1024 − DELAY` on.
pub const ENCODER_DELAY: u32 = 1024;

/// Why sound was not encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the AAC coder: {0}")]
pub struct EncodeError(String);

impl From<syom::AacError> for EncodeError {
    fn from(error: syom::AacError) -> EncodeError {
        EncodeError(error.to_string())
    }
}

/// Makes one channel of sound into raw data blocks of AAC-LC.
pub struct AacEncoder {
    coder: syom::Encoder,
    parameters: AacParameters,
    clipped: Vec<f32>,
}

impl AacEncoder {
    /// An encoder for a rate that AAC lists (8,000 to 96,000 samples a second) and bits a second.
    ///
    /// # Errors
    /// If AAC-LC knows no such rate, or not that many bits at it (6 a sample).
    pub fn new(sample_rate: u32, bitrate_bps: u32) -> Result<AacEncoder, EncodeError> {
        let options = syom::EncodeOptions::raw().with_bitrate_bps(bitrate_bps);
        let coder = syom::Encoder::new(sample_rate, 1, &options)?;
        let config = config(OBJECT_TYPE_LC, sample_rate, 1).map_err(|error| EncodeError(error.to_string()))?;
        Ok(AacEncoder { coder, parameters: AacParameters { config, sample_rate, channels: 1 }, clipped: Vec::new() })
    }

    /// What a decoder must know.
    pub fn parameters(&self) -> &AacParameters {
        &self.parameters
    }

    /// Takes samples of -1 to 1, as many as there are, and appends the frames they complete. What is
    /// louder is clipped, what is no number is silence.
    ///
    /// # Errors
    /// If the coder fails; the encoder is of no more use then.
    pub fn push(&mut self, samples: &[f32], frames: &mut Vec<Bytes>) -> Result<(), EncodeError> {
        self.clipped.clear();
        self.clipped.extend(samples.iter().map(|sample| if sample.is_nan() { 0.0 } else { sample.clamp(-1.0, 1.0) }));
        self.coder.feed(&[&self.clipped], |frame| {
            frames.push(Bytes::copy_from_slice(frame.payload));
            Ok(())
        })?;
        Ok(())
    }

    /// Appends the frames that hold the rest of the sound, filled with silence, and begins anew.
    ///
    /// # Errors
    /// If the coder fails.
    pub fn finish(&mut self, frames: &mut Vec<Bytes>) -> Result<(), EncodeError> {
        let made = self.coder.finish(|frame| {
            frames.push(Bytes::copy_from_slice(frame.payload));
            Ok(())
        });
        match made {
            // Nothing was pushed.
            Err(syom::AacError::InvalidPcm(syom::PcmReject::Empty)) => {}
            made => drop(made?),
        }
        Ok(self.coder.reset()?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::codec::aac::adts_header;

    #[test]
    fn what_was_pushed_is_heard_a_frame_later() {
        let tone: Vec<f32> = (0..20_000).map(|i| 0.5 * (i as f32 * 0.2).sin()).collect();
        let mut encoder = AacEncoder::new(16_000, 32_000).unwrap();
        let parameters = encoder.parameters().clone();
        let mut frames = Vec::new();
        for piece in tone.chunks(333) {
            encoder.push(piece, &mut frames).unwrap();
        }
        assert_eq!(frames.len(), tone.len() / 1024);
        encoder.finish(&mut frames).unwrap();
        let mut adts = Vec::new();
        for frame in &frames {
            adts.extend(adts_header(&parameters, frame.len()).unwrap());
            adts.extend_from_slice(frame);
        }
        let decoded = syom::decode_with(&adts, &syom::DecodeOptions::audio()).unwrap();
        let heard = &decoded.channels[0][ENCODER_DELAY as usize..];
        assert!(heard.len() >= tone.len(), "{} of {}", heard.len(), tone.len());
        let (mut error, mut power) = (0.0, 0.0);
        for (is, should) in heard[1_024..].iter().zip(&tone[1_024..18_000]) {
            error += (is - should).powi(2);
            power += should.powi(2);
        }
        assert!(error < 0.01 * power, "noise is {:.4} of the signal", error / power);
    }

    #[test]
    fn noise_too_loud_and_no_numbers_are_taken() {
        let mut encoder = AacEncoder::new(8_000, 24_000).unwrap();
        let mut frames = Vec::new();
        let loud: Vec<f32> = (0..8_000).map(|i| [3.0, f32::NAN, -7.0, f32::INFINITY][i % 4]).collect();
        encoder.push(&loud, &mut frames).unwrap();
        assert_eq!(frames.len(), 7);
        assert!(AacEncoder::new(7_999, 24_000).is_err());
    }
}
