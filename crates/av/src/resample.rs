//! From one sample rate to another.
//!
//! A polyphase filter of Kaiser-windowed sinc functions: for each position that an output sample can
//! have between two input samples there is a row of taps, computed once. Output sample `k` lies at
//! input time `k · from / to` exactly, counted in integers, so nothing drifts however long it runs.

use std::f64::consts::PI;

/// Zero crossings of the sinc on each side, at the lower of both rates: 4 ms of delay at 8 kHz.
const CROSSINGS: usize = 32;
/// Shape of the window: 70 dB down in the stop band.
const KAISER_BETA: f64 = 6.76;
/// Middle of the slope as a fraction of the lower rate. With this length and shape the pass band ends
/// at 0.43 of it (3.4 kHz at 8 kHz) and the stop band begins at half of it.
const CUTOFF: f64 = 0.466;
/// Rows at most. Rates without a common divisor would need as many as the output rate; they take the
/// nearest row, which at 1/1024 of a sample is as exact as 16 bits are at voice frequencies.
const ROWS_MAX: u32 = 1024;
/// Sums run in this many lanes, so that they can be vectorised; rows are a multiple of it.
const LANES: usize = 8;
/// Rates taken, samples a second.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=384_000;

/// Converts one channel of sound between sample rates, in pieces of any size.
pub struct Resampler {
    from: u32,
    to: u32,
    /// Taps of each row in one piece, by position of the output sample.
    taps: Vec<f32>,
    rows: u32,
    /// Taps in a row.
    width: usize,
    /// What the next output sample needs of the input, and what has come since.
    input: Vec<f32>,
    /// First input sample under the taps of the next output sample, as an index into `input`.
    at: usize,
    /// How far the next output sample lies behind its input sample, in 1/`to`.
    behind: u32,
    /// Samples in.
    taken: u64,
    /// Samples out.
    given: u64,
}

impl Resampler {
    /// A converter from one rate to another, both in samples a second.
    ///
    /// # Panics
    /// If a rate is not within 1,000 to 384,000.
    pub fn new(from: u32, to: u32) -> Resampler {
        assert!(RATES.contains(&from) && RATES.contains(&to), "{from} to {to} Hz is not a sample rate");
        let rows = (to / common_divisor(from, to)).min(ROWS_MAX);
        let scale = f64::from(to.min(from)) / f64::from(from);
        let half = ((CROSSINGS as f64 / scale).ceil() as usize).next_multiple_of(LANES / 2);
        let width = 2 * half;
        let mut taps = Vec::with_capacity(rows as usize * width);
        for row in 0..rows {
            let start = taps.len();
            let position = half as f64 - 1.0 + f64::from(row) / f64::from(rows);
            taps.extend((0..width).map(|tap| {
                let time = tap as f64 - position;
                (sinc(2.0 * CUTOFF * scale * time) * kaiser(time / half as f64)) as f32
            }));
            // Each row passes a constant as it is.
            let sum: f32 = taps[start..].iter().sum();
            taps[start..].iter_mut().for_each(|tap| *tap /= sum);
        }
        // Before the first sample was silence.
        let input = vec![0.0; half - 1];
        Resampler { from, to, taps, rows, width, input, at: 0, behind: 0, taken: 0, given: 0 }
    }

    /// Takes samples and appends those of the new rate that are certain; about 32 samples of the lower
    /// rate wait for what comes.
    pub fn push(&mut self, samples: impl IntoIterator<Item = f32>, out: &mut Vec<f32>) {
        let held = self.input.len();
        self.input.extend(samples);
        self.taken += (self.input.len() - held) as u64;
        self.run(out);
    }

    /// Appends what is still to come, as if silence followed, and begins anew.
    pub fn finish(&mut self, out: &mut Vec<f32>) {
        let total = (self.taken * u64::from(self.to)).div_ceil(u64::from(self.from));
        let missing = total - self.given.min(total);
        let start = out.len();
        self.input.resize(self.input.len() + self.width, 0.0);
        self.run(out);
        out.truncate(start + missing as usize);
        self.input.clear();
        self.input.resize(self.width / 2 - 1, 0.0);
        (self.at, self.behind, self.taken, self.given) = (0, 0, 0, 0);
    }

    fn run(&mut self, out: &mut Vec<f32>) {
        let start = out.len();
        while let Some(under) = self.input.get(self.at..self.at + self.width) {
            // The nearest row may be the first one of the next sample; the last one is as good.
            let (rows, to) = (u64::from(self.rows), u64::from(self.to));
            let row = ((u64::from(self.behind) * rows + to / 2) / to).min(rows - 1) as usize;
            out.push(dot(under, &self.taps[row * self.width..][..self.width]));
            let behind = self.behind + self.from;
            self.at += (behind / self.to) as usize;
            self.behind = behind % self.to;
        }
        self.given += (out.len() - start) as u64;
        let done = self.at.min(self.input.len());
        self.input.drain(..done);
        self.at -= done;
    }
}

fn dot(samples: &[f32], taps: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    for (samples, taps) in samples.chunks_exact(LANES).zip(taps.chunks_exact(LANES)) {
        for lane in 0..LANES {
            lanes[lane] += samples[lane] * taps[lane];
        }
    }
    lanes.iter().sum()
}

fn common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) }
}

/// The window at `x` of its half width.
fn kaiser(x: f64) -> f64 {
    bessel_i0(KAISER_BETA * (1.0 - x * x).max(0.0).sqrt()) / bessel_i0(KAISER_BETA)
}

/// Modified Bessel function of the first kind and order 0, by its series.
fn bessel_i0(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for k in 1..40 {
        term *= (x / (2.0 * f64::from(k))).powi(2);
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE_PAIRS: [(u32, u32); 8] = [
        (8_000, 16_000),
        (16_000, 8_000),
        (44_100, 8_000),
        (44_100, 16_000),
        (48_000, 8_000),
        (48_000, 16_000),
        (11_025, 16_000),
        (7_999, 16_000),
    ];

    fn tone(hz: f64, rate: u32, count: usize) -> Vec<f32> {
        (0..count).map(|i| (0.5 * (2.0 * PI * hz * i as f64 / f64::from(rate)).sin()) as f32).collect()
    }

    fn converted(from: u32, to: u32, input: &[f32]) -> Vec<f32> {
        let (mut resampler, mut out) = (Resampler::new(from, to), Vec::new());
        resampler.push(input.iter().copied(), &mut out);
        resampler.finish(&mut out);
        out
    }

    /// Strength against full scale, in decibels.
    fn decibels(signal: impl Iterator<Item = f64> + Clone) -> f64 {
        10.0 * (signal.clone().map(|s| s * s).sum::<f64>() / signal.count() as f64).max(1e-20).log10()
    }

    #[test]
    fn voice_stays_what_it_is_at_the_time_it_is() {
        for (from, to) in RATE_PAIRS {
            for hz in [200.0, 1_000.0, 3_000.0, 3_400.0] {
                let out = converted(from, to, &tone(hz, from, from as usize / 2));
                let expected = tone(hz, to, to as usize / 2);
                assert!(out.len().abs_diff(expected.len()) <= 1, "{from} to {to}: {} samples", out.len());
                // Both ends ring against the silence outside.
                let middle = to as usize / 10..to as usize * 4 / 10;
                let error = out[middle.clone()].iter().zip(&expected[middle]).map(|(a, b)| f64::from(a - b));
                let error = decibels(error);
                assert!(error < -58.0, "{from} to {to}, {hz} Hz: off by {error:.1} dB");
            }
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_not_folded_into_it() {
        for (from, to) in RATE_PAIRS.into_iter().filter(|(from, to)| from > to) {
            for hz in [0.51, 0.6, 0.9, 1.3]
                .map(|part| part * f64::from(to))
                .into_iter()
                .filter(|&hz| hz < f64::from(from) / 2.0)
            {
                let out = converted(from, to, &tone(hz, from, from as usize / 2));
                let middle = &out[to as usize / 10..to as usize * 4 / 10];
                let left = decibels(middle.iter().map(|&s| f64::from(s)));
                assert!(left < -70.0, "{from} to {to}, {hz} Hz: {left:.1} dB");
            }
        }
    }

    #[test]
    fn pieces_of_any_size_give_the_same() {
        for (from, to) in RATE_PAIRS {
            let input = tone(440.0, from, 5_000);
            let (mut resampler, mut out) = (Resampler::new(from, to), Vec::new());
            let (mut rest, mut size) = (&input[..], 0);
            while !rest.is_empty() {
                size = (size * 7 + 3) % 331;
                let (piece, behind) = rest.split_at(size.min(rest.len()));
                resampler.push(piece.iter().copied(), &mut out);
                rest = behind;
            }
            resampler.finish(&mut out);
            assert_eq!(out, converted(from, to, &input), "{from} to {to}");
            // And once more with the same converter.
            let mut again = Vec::new();
            resampler.push(input.iter().copied(), &mut again);
            resampler.finish(&mut again);
            assert_eq!(again, out);
        }
    }

    #[test]
    fn an_hour_is_an_hour() {
        let (mut resampler, mut out, mut count) = (Resampler::new(8_000, 16_000), Vec::new(), 0);
        for _ in 0..3_600 {
            resampler.push(std::iter::repeat_n(0.25, 8_000), &mut out);
            count += out.len();
            out.clear();
        }
        resampler.finish(&mut out);
        assert_eq!(count + out.len(), 3_600 * 16_000);
        assert!(resampler.input.capacity() < 20_000, "it holds on to what it has used");
    }
}
