//! Sound of one codec made into another, frame by frame.

use bytes::Bytes;

pub use crate::codec::aac::EncodeError;
use crate::codec::aac::{AacEncoder, ENCODER_DELAY, SAMPLES_PER_FRAME};
use crate::codec::g711;
use crate::pcm::from_i16;
use crate::{CodecParameters, Frame, G711Parameters, Resampler, Ticks, Track};

/// Samples a second of what is made: twice what telephones have, which every player takes.
const RATE: u32 = 16_000;
/// Bits a second of what is made: no worse than G.711 in, at half its bits.
const BITRATE_BPS: u32 = 32_000;
/// Where timestamps and samples disagree by more than this, in ticks of [`RATE`], sound is missing and
/// the count begins anew: 200 ms.
const GAP: u64 = RATE as u64 / 5;
/// Smaller disagreement is a clock that runs a little wrong: this part of it is made good with each
/// frame, so that sound stays in step with the picture and players see hardly a step.
const SLEW: i64 = 64;

/// Makes G.711 into AAC-LC, one channel at 16 kHz, on the clock of what comes in.
///
/// Frames are stamped by counting samples, corrected by the timestamps of the source, so that they are
/// evenly spaced and never drift from the picture.
pub struct ToAac {
    from: Track,
    law: G711Parameters,
    track: Track,
    resampler: Resampler,
    encoder: AacEncoder,
    count: Option<Count>,
    samples: Vec<f32>,
    encoded: Vec<Bytes>,
}

/// Samples since the last gap.
struct Count {
    /// When the first one sounds, in ticks of [`RATE`].
    start: i64,
    taken: u64,
    /// Frames made of them.
    made: i64,
}

impl ToAac {
    /// For a track of G.711; `None` for any other codec.
    ///
    /// # Errors
    /// If the coder cannot be made, which no track is the cause of.
    pub fn new(from: &Track) -> Result<Option<ToAac>, EncodeError> {
        let CodecParameters::G711(law) = from.codec else { return Ok(None) };
        if !(4_000..=48_000).contains(&law.sample_rate) || law.channels == 0 {
            return Ok(None);
        }
        let encoder = AacEncoder::new(RATE, BITRATE_BPS)?;
        let track = Track { id: from.id, codec: CodecParameters::Aac(encoder.parameters().clone()), clock_rate: RATE };
        Ok(Some(ToAac {
            from: from.clone(),
            law,
            track,
            resampler: Resampler::new(law.sample_rate, RATE),
            encoder,
            count: None,
            samples: Vec::new(),
            encoded: Vec::new(),
        }))
    }

    /// The track that goes in.
    pub fn from(&self) -> &Track {
        &self.from
    }

    /// The track that comes out, with the number of the one that goes in.
    pub fn track(&self) -> &Track {
        &self.track
    }

    /// Takes a frame and appends those that it completes. A frame comes out up to 100 ms of sound later
    /// than its first sample went in; at a gap the rest of the sound before it comes out, filled with
    /// silence.
    ///
    /// # Errors
    /// If the coder fails; this is of no more use then.
    pub fn push(&mut self, frame: &Frame, out: &mut Vec<Frame>) -> Result<(), EncodeError> {
        let at = frame.dts.rescale(self.from.clock_rate, RATE).0;
        let early = |count: &Count| {
            let expected = (count.taken * u64::from(RATE) / u64::from(self.law.sample_rate)) as i64;
            at.saturating_sub(count.start).saturating_sub(expected)
        };
        match self.count.as_mut().map(|count| (early(count), count)) {
            Some((early, count)) if early.unsigned_abs() <= GAP => {
                count.start = count.start.saturating_add(early / SLEW)
            }
            Some(_) => {
                self.samples.clear();
                self.resampler.finish(&mut self.samples);
                self.encoder.push(&self.samples, &mut self.encoded)?;
                self.encoder.finish(&mut self.encoded)?;
                self.stamp(frame, out);
                self.count = None;
            }
            None => {}
        }
        let count = self.count.get_or_insert(Count { start: at, taken: 0, made: 0 });
        let channels = usize::from(self.law.channels);
        let codes = g711::decode(self.law.law, &frame.data);
        let mix = |samples: &[i16]| samples.iter().copied().map(from_i16).sum::<f32>() / samples.len() as f32;
        count.taken += (codes.len() / channels) as u64;
        self.samples.clear();
        self.resampler.push(codes.chunks_exact(channels).map(mix), &mut self.samples);
        self.encoder.push(&self.samples, &mut self.encoded)?;
        self.stamp(frame, out);
        Ok(())
    }

    /// Moves what is encoded to `out`, with its times.
    fn stamp(&mut self, source: &Frame, out: &mut Vec<Frame>) {
        let Some(count) = &mut self.count else { return };
        for data in self.encoded.drain(..) {
            let since = count.made * i64::from(SAMPLES_PER_FRAME) - i64::from(ENCODER_DELAY);
            let dts = count.start.saturating_add(since);
            count.made += 1;
            out.push(Frame { track: self.track.id, dts: Ticks(dts), cts: 0, wall: source.wall, key: true, data });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::codec::aac::adts_header;
    use crate::{G711Law, TrackId, UnixMicros};

    fn track(sample_rate: u32, channels: u8) -> Track {
        let codec = CodecParameters::G711(G711Parameters { law: G711Law::Mu, sample_rate, channels });
        Track { id: TrackId::AUDIO, codec, clock_rate: sample_rate }
    }

    fn frame(dts: i64, samples: &[i16]) -> Frame {
        let data = g711::encode(G711Law::Mu, samples);
        Frame { track: TrackId::AUDIO, dts: Ticks(dts), cts: 0, wall: UnixMicros(7), key: true, data }
    }

    /// 20 ms frames of a 440 Hz tone at 8 kHz, from sample `from` on, stamped by `stamp(frame number)`.
    fn run(to_aac: &mut ToAac, from: usize, frames: usize, stamp: impl Fn(i64) -> i64) -> Vec<Frame> {
        let mut out = Vec::new();
        for n in 0..frames {
            let tone = |i: usize| (8_000.0 * (std::f64::consts::TAU * 440.0 * i as f64 / 8_000.0).sin()) as i16;
            let samples: Vec<i16> = (0..160).map(|i| tone(from + n * 160 + i)).collect();
            to_aac.push(&frame(stamp(n as i64), &samples), &mut out).unwrap();
        }
        out
    }

    fn stamps(frames: &[Frame]) -> Vec<i64> {
        frames.iter().map(|frame| frame.dts.0).collect()
    }

    #[test]
    fn a_tone_sounds_when_it_did() {
        let mut to_aac = ToAac::new(&track(8_000, 1)).unwrap().unwrap();
        let frames = run(&mut to_aac, 0, 100, |n| 80_000 + n * 160);
        // 2 s are 31 frames and a rest; the first is the coder's run-up.
        let expected: Vec<i64> = (0..31).map(|n| 160_000 - 1_024 + n * 1_024).collect();
        assert_eq!(stamps(&frames), expected);
        let CodecParameters::Aac(parameters) = &to_aac.track().codec else { panic!("AAC comes out") };
        let mut adts = Vec::new();
        for frame in &frames {
            adts.extend(adts_header(parameters, frame.data.len()).unwrap());
            adts.extend_from_slice(&frame.data);
        }
        let heard = syom::decode_with(&adts, &syom::DecodeOptions::audio()).unwrap();
        assert_eq!((heard.sample_rate, heard.channels.len()), (16_000, 1));
        // The sample at index i was stamped i − 1024 after the start: it is the tone at that time.
        let (mut error, mut power) = (0.0, 0.0);
        for (i, is) in heard.channels[0].iter().enumerate().skip(3_000) {
            let time = (i as f64 - 1_024.0) / 16_000.0;
            let should = 8_000.0 / 32_768.0 * (std::f64::consts::TAU * 440.0 * time).sin();
            error += (f64::from(*is) - should).powi(2);
            power += should * should;
        }
        assert!(error < 0.02 * power, "off by {:.3} of its power", error / power);
    }

    #[test]
    fn a_clock_that_runs_wrong_is_followed_for_an_hour_without_a_step() {
        // An hour in which the source's clock gains 0.1 %, 3.6 s, stamped in whole milliseconds.
        let mut to_aac = ToAac::new(&track(8_000, 1)).unwrap().unwrap();
        let silence = vec![0i16; 800];
        let (mut frames, mut last) = (Vec::new(), None);
        for n in 0..36_000i64 {
            let at = (n * 100 + n / 10) * 8;
            to_aac.push(&frame(at, &silence), &mut frames).unwrap();
            for made in frames.drain(..) {
                let step = made.dts.0 - last.unwrap_or(made.dts.0 - 1_024);
                assert!((1_000..=1_050).contains(&step), "after {n} frames a step of {step}");
                // It holds sound of the frame just pushed or up to 164 ms before.
                assert!((at * 2 - made.dts.0).abs() < 2 * 1_600 + 1_024, "after {n} frames: {at} and {:?}", made.dts);
                last = Some(made.dts.0);
            }
        }
    }

    #[test]
    fn at_a_gap_what_was_heard_comes_out_and_the_count_begins_anew() {
        let mut to_aac = ToAac::new(&track(8_000, 1)).unwrap().unwrap();
        let before = run(&mut to_aac, 0, 10, |n| n * 160);
        // A second later: the 3,200 samples of before are whole frames and a rest, and the overlap.
        let after = run(&mut to_aac, 0, 10, |n| 8_000 + n * 160);
        let made = stamps(&[before, after].concat());
        assert_eq!(made[..6], [-1_024, 0, 1_024, 2_048, 3_072, 16_000 - 1_024]);
        assert!(made.windows(2).all(|pair| pair[0] < pair[1]), "{made:?}");
        // 100 ms missing is no gap.
        let slightly = run(&mut to_aac, 0, 10, |n| 8_000 + 1_600 + 800 + n * 160);
        let made = stamps(&slightly);
        assert!(made.windows(2).all(|pair| (1_024..1_300).contains(&(pair[1] - pair[0]))), "{made:?}");
    }

    #[test]
    fn hostile_timestamps_do_no_harm() {
        let mut to_aac = ToAac::new(&track(8_000, 1)).unwrap().unwrap();
        let mut out = Vec::new();
        for at in [i64::MAX, i64::MIN, 0, i64::MAX / 2, i64::MAX / 2 + 1, i64::MIN, i64::MIN] {
            to_aac.push(&frame(at, &[0; 2_000]), &mut out).unwrap();
            to_aac.push(&frame(at, &[]), &mut out).unwrap();
        }
    }

    #[test]
    fn two_channels_are_mixed_and_other_codecs_left_alone() {
        let mut to_aac = ToAac::new(&track(16_000, 2)).unwrap().unwrap();
        let mut out = Vec::new();
        to_aac.push(&frame(0, &vec![500; 2 * 2_048 + 1]), &mut out).unwrap();
        assert_eq!(out.len(), 1, "2,048 samples of two channels, less what waits for more");
        assert!(ToAac::new(to_aac.track()).unwrap().is_none());
        assert!(ToAac::new(&track(0, 1)).unwrap().is_none());
        assert!(ToAac::new(&track(8_000, 0)).unwrap().is_none());
    }
}
