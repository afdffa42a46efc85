//! What the microphone hears: a quiet melody on a plucked string.
//!
//! The melody is a function of time alone, so that two recordings of the same second are alike, and
//! sound and picture can be compared: every [`NOTE_MS`] one note of a pentatonic scale begins, or none.

use std::f32::consts::TAU;

use av::codec::aac::{AacEncoder, ENCODER_DELAY, SAMPLES_PER_FRAME};
use av::codec::g711;
use av::{CodecParameters, G711Law, G711Parameters};
use bytes::Bytes;

use crate::Error;
use crate::config::SoundConfig;

/// Length of a note: half a second.
pub const NOTE_MS: u64 = 500;
/// C major pentatonic from C5, Hz.
const SCALE: [f32; 6] = [523.25, 587.33, 659.26, 783.99, 880.0, 1046.5];
/// Loudest sample, of 1.
const LEVEL: f32 = 0.16;
/// Time constant of a string's decay, s.
const DECAY: f32 = 0.28;

/// Frequency of the note that begins at `slot * NOTE_MS`, in Hz; `None` is a rest.
pub fn note(slot: u64) -> Option<f32> {
    // Two bars of eight that repeat, with the second half of each tune varied by its number.
    const TUNE: [usize; 16] = [0, 2, 3, 9, 4, 3, 2, 9, 1, 2, 4, 9, 3, 1, 0, 9];
    let variation = if slot % 16 >= 12 { (slot / 16 % 3) as usize } else { 0 };
    SCALE.get(TUNE[(slot % 16) as usize] + variation).copied()
}

/// The sample at `index` of a clock with `rate` samples a second, -1 to 1.
fn sample(index: u64, rate: u32) -> f32 {
    let per_note = u64::from(rate) * NOTE_MS / 1000;
    let slot = index / per_note;
    // A note sounds on into the two that follow.
    (0..3.min(slot + 1))
        .filter_map(|back| {
            let frequency = note(slot - back)?;
            let t = (index - (slot - back) * per_note) as f32 / rate as f32;
            let attack = (t / 0.004).min(1.0);
            let phase = frequency * t;
            let wave = (TAU * phase.fract()).sin() + 0.3 * (TAU * (2.0 * phase).fract()).sin();
            Some(LEVEL / 1.6 * attack * (-t / DECAY).exp() * wave)
        })
        .sum()
}

/// Encodes the melody, one frame after another.
pub enum SoundEncoder {
    /// AAC-LC.
    Aac {
        /// The coder.
        encoder: Box<AacEncoder>,
        /// Scratch.
        made: Vec<Bytes>,
    },
    /// G.711 A-law.
    Alaw,
}

/// Samples in a frame of A-law: 40 ms.
const ALAW_FRAME: u32 = 320;

impl SoundEncoder {
    /// An encoder for the codec; `None` if the camera has no microphone.
    ///
    /// # Errors
    /// If the coder refuses its parameters.
    pub fn new(config: SoundConfig) -> Result<Option<SoundEncoder>, Error> {
        Ok(match config {
            SoundConfig::None => None,
            SoundConfig::Alaw => Some(SoundEncoder::Alaw),
            SoundConfig::Aac => {
                let encoder = AacEncoder::new(16_000, 32_000).map_err(|e| Error::Encoder(e.to_string()))?;
                Some(SoundEncoder::Aac { encoder: Box::new(encoder), made: Vec::new() })
            }
        })
    }

    /// What a decoder must know.
    pub fn parameters(&self) -> CodecParameters {
        match self {
            SoundEncoder::Aac { encoder, .. } => CodecParameters::Aac(encoder.parameters().clone()),
            SoundEncoder::Alaw => {
                CodecParameters::G711(G711Parameters { law: G711Law::A, sample_rate: self.sample_rate(), channels: 1 })
            }
        }
    }

    /// Samples a second.
    pub fn sample_rate(&self) -> u32 {
        match self {
            SoundEncoder::Aac { .. } => 16_000,
            SoundEncoder::Alaw => 8_000,
        }
    }

    /// Samples in a frame.
    pub fn frame_samples(&self) -> u32 {
        match self {
            SoundEncoder::Aac { .. } => SAMPLES_PER_FRAME,
            SoundEncoder::Alaw => ALAW_FRAME,
        }
    }

    /// Encodes the samples from `start`, which follow the last call's. Answers time and data of each
    /// finished frame; AAC lags behind by one frame.
    ///
    /// # Errors
    /// If the coder fails.
    pub fn encode(&mut self, start: u64) -> Result<Option<(i64, Bytes)>, Error> {
        let (rate, count) = (self.sample_rate(), self.frame_samples());
        let samples = (0..u64::from(count)).map(|i| sample(start + i, rate));
        match self {
            SoundEncoder::Alaw => {
                let pcm: Vec<i16> = samples.map(|s| (s * 32_767.0) as i16).collect();
                Ok(Some((start as i64, g711::encode(G711Law::A, &pcm))))
            }
            SoundEncoder::Aac { encoder, made } => {
                let pcm: Vec<f32> = samples.collect();
                encoder.push(&pcm, made).map_err(|e| Error::Encoder(e.to_string()))?;
                Ok(made.pop().map(|data| (start as i64 - i64::from(ENCODER_DELAY), data)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Strength of one frequency in a signal (Goertzel).
    fn strength(signal: &[f32], frequency: f32, rate: u32) -> f32 {
        let step = TAU * frequency / rate as f32;
        let (re, im) = signal.iter().enumerate().fold((0.0, 0.0), |(re, im), (i, s)| {
            let angle = step * i as f32;
            (re + s * angle.cos(), im + s * angle.sin())
        });
        re.hypot(im) / signal.len() as f32
    }

    #[test]
    fn each_note_is_the_loudest_of_the_scale_while_it_is_struck() {
        for slot in (0..48).filter(|&slot| note(slot).is_some()) {
            let signal: Vec<f32> = (0..3000).map(|i| sample(slot * 4000 + i, 8000)).collect();
            let loudest =
                SCALE.into_iter().max_by(|a, b| strength(&signal, *a, 8000).total_cmp(&strength(&signal, *b, 8000)));
            assert_eq!(loudest, note(slot), "slot {slot}");
            assert!(signal.iter().all(|s| s.abs() < 0.5));
        }
    }

    #[test]
    fn aac_decodes_to_the_melody_again() {
        let mut encoder = SoundEncoder::new(SoundConfig::Aac).unwrap().unwrap();
        let mut adts = Vec::new();
        for frame in 0..40u64 {
            if let Some((time, data)) = encoder.encode(frame * 1024).unwrap() {
                assert_eq!(time, (frame as i64 - 1) * 1024);
                adts.extend(syom::wrap_adts_au(&data, 16_000, 1).unwrap());
            }
        }
        let decoded = syom::decode_with(&adts, &syom::DecodeOptions::audio()).unwrap();
        assert_eq!(decoded.sample_rate, 16_000);
        // Second note, after the coder's frame of delay.
        let signal = &decoded.channels[0][8000 + 1024..][..4000];
        let strongest =
            SCALE.into_iter().max_by(|a, b| strength(signal, *a, 16_000).total_cmp(&strength(signal, *b, 16_000)));
        assert_eq!(strongest, note(1));
    }
}
