//! Sound as numbers.

use std::time::Duration;

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
}
