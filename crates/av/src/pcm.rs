//! Sound as numbers.

use std::time::Duration;

use crate::Resampler;

/// One channel of sound in signed 16-bit samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pcm {
    /// Samples a second, 8,000 to 48,000.
    pub sample_rate: u32,
    /// The samples in order.
    pub samples: Vec<i16>,
}

impl Pcm {
    /// How long it sounds.
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.samples.len() as f64 / f64::from(self.sample_rate))
    }

    /// The same sound at another rate, as long as before to within a sample.
    ///
    /// # Panics
    /// As [`Resampler::new`].
    pub fn resampled(&self, sample_rate: u32) -> Pcm {
        if sample_rate == self.sample_rate {
            return self.clone();
        }
        let mut resampler = Resampler::new(self.sample_rate, sample_rate);
        let mut samples = Vec::new();
        resampler.push(self.samples.iter().copied().map(from_i16), &mut samples);
        resampler.finish(&mut samples);
        Pcm { sample_rate, samples: samples.into_iter().map(to_i16).collect() }
    }
}

/// A sample as a fraction of full scale, -1 to 1.
pub fn from_i16(sample: i16) -> f32 {
    f32::from(sample) / 32_768.0
}

/// The nearest 16-bit sample; what is louder than full scale is clipped.
pub fn to_i16(sample: f32) -> i16 {
    // `as` saturates, and makes 0 of what is no number.
    (sample * 32_768.0).round() as i16
}
