//! Makes whatever clock a source has into one timeline that starts at zero and never runs back.

use std::collections::BTreeMap;

use av::{Ticks, TrackId};

/// A step forward larger than this is a new clock, not a pause.
const JUMP_US_MAX: i64 = 10_000_000;
/// A step back up to this is disorder of one track and is pressed flat; a larger one is a new clock.
const DISORDER_US_MAX: i64 = 1_000_000;
/// What lies between the last frame of an old clock and the first of a new one.
const SEAM_US: i64 = 40_000;

/// Maps source timestamps to the stream's own. All tracks share one offset, so that picture and
/// sound stay together across a change of clock.
#[derive(Default)]
pub struct Timeline {
    offset_us: Option<i64>,
    /// Latest time given out, over all tracks.
    latest_us: i64,
    last: BTreeMap<TrackId, Ticks>,
    /// Changes of clock met.
    pub discontinuities: u64,
}

impl Timeline {
    /// The stream's decoding time for a frame of `track` stamped `dts` on a clock of `rate` ticks a second.
    pub fn map(&mut self, track: TrackId, dts: Ticks, rate: u32) -> Ticks {
        let source_us = dts.rescale(rate, 1_000_000).0;
        let offset = *self.offset_us.get_or_insert(-source_us);
        let mut at_us = source_us.saturating_add(offset);
        let behind = self.last.get(&track).map_or(0, |last| last.rescale(rate, 1_000_000).0 - at_us);
        if behind > DISORDER_US_MAX || at_us > self.latest_us + JUMP_US_MAX {
            at_us = self.latest_us + SEAM_US;
            self.offset_us = Some(at_us - source_us);
            self.discontinuities += 1;
        }
        // Sound that began just before the first picture would be negative; zero is close enough.
        let mut mapped = Ticks(at_us.max(0)).rescale(1_000_000, rate);
        if let Some(last) = self.last.get(&track)
            && mapped <= *last
        {
            mapped = Ticks(last.0 + 1);
        }
        self.last.insert(track, mapped);
        self.latest_us = self.latest_us.max(at_us);
        mapped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(timeline: &mut Timeline, track: u8, rate: u32, dts: &[i64]) -> Vec<i64> {
        dts.iter().map(|&d| timeline.map(TrackId(track), Ticks(d), rate).to_millis(rate)).collect()
    }

    #[test]
    fn starts_at_zero_and_keeps_distances() {
        let mut timeline = Timeline::default();
        assert_eq!(millis(&mut timeline, 0, 90_000, &[900_000, 903_600, 907_200]), [0, 40, 80]);
        assert_eq!(millis(&mut timeline, 1, 8_000, &[80_000, 80_160]), [0, 20]);
    }

    #[test]
    fn a_clock_that_jumps_back_or_far_ahead_continues_after_the_last_frame() {
        let mut timeline = Timeline::default();
        assert_eq!(millis(&mut timeline, 0, 1000, &[50_000, 50_040, 0, 40]), [0, 40, 80, 120]);
        assert_eq!(millis(&mut timeline, 0, 1000, &[9_000_000, 9_000_040]), [160, 200]);
        assert_eq!(timeline.discontinuities, 2);
    }

    #[test]
    fn small_disorder_is_pressed_flat() {
        let mut timeline = Timeline::default();
        let mapped: Vec<i64> = [0, 40, 30, 80].iter().map(|&d| timeline.map(TrackId(0), Ticks(d), 1000).0).collect();
        assert_eq!(mapped, [0, 40, 41, 80]);
        assert_eq!(timeline.discontinuities, 0);
    }

    #[test]
    fn hostile_timestamps_do_not_overflow() {
        let mut timeline = Timeline::default();
        for dts in [i64::MAX / 2_000_000, i64::MIN / 2_000_000, 0, i64::MAX / 2_000_000] {
            timeline.map(TrackId(0), Ticks(dts), 1);
        }
    }
}
