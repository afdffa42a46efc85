//! Decoding times out of presentation times.
//!
//! RTP carries frames in decoding order stamped with presentation time. Without B-frames both are
//! the same. With them, decoding time must rise while presentation time goes to and fro.

/// Frames that may overtake one in presentation; the decoded picture buffer holds no more (H.264 A.3.1).
const DEPTH_MAX: usize = 16;
/// A step back further than this, in seconds, is a new clock.
const STEP_BACK_MAX: i64 = 2;

/// Derives decoding times without delay: with a depth of d frames, the decoding time of a frame is
/// the (d + 1)-th largest presentation time so far. That never runs back, never exceeds the frame's own
/// presentation time, and is exact. The depth is learnt: only while it grows (in the first seconds) may
/// a frame be decoded "after" it is shown.
#[derive(Clone, Debug)]
pub struct DecodeOrder {
    /// The largest presentation times, ascending; at most [`DEPTH_MAX`] + 1.
    largest: Vec<i64>,
    depth: usize,
    depth_max: usize,
    last: Option<i64>,
    step_back_max: i64,
}

impl DecodeOrder {
    /// For pictures on a clock of `rate` ticks a second.
    pub fn video(rate: u32) -> DecodeOrder {
        let step_back_max = STEP_BACK_MAX * i64::from(rate);
        DecodeOrder { largest: Vec::new(), depth: 0, depth_max: DEPTH_MAX, last: None, step_back_max }
    }

    /// For sound, which is never reordered: a step back is pressed flat.
    pub fn audio(rate: u32) -> DecodeOrder {
        DecodeOrder { depth_max: 0, ..DecodeOrder::video(rate) }
    }

    pub(super) fn is_audio(&self) -> bool {
        self.depth_max == 0
    }

    /// Forgets the times so far: another clock begins. The depth is the encoder's and stays.
    pub fn restart(&mut self) {
        self.largest.clear();
        self.last = None;
    }

    /// The decoding time of the next frame, given its presentation time.
    pub fn push(&mut self, pts: i64) -> i64 {
        if self.largest.last().is_some_and(|newest| newest.saturating_sub(pts) > self.step_back_max) {
            self.restart();
        }
        let at = self.largest.partition_point(|p| *p <= pts);
        self.depth = self.depth.max((self.largest.len() - at).min(self.depth_max));
        self.largest.insert(at, pts);
        if self.largest.len() > DEPTH_MAX + 1 {
            self.largest.remove(0);
        }
        let exact = self.largest[self.largest.len().saturating_sub(self.depth + 1)];
        let dts = self.last.map_or(exact, |last| exact.max(last + 1));
        self.last = Some(dts);
        dts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(pts: &[i64]) -> Vec<i64> {
        let mut order = DecodeOrder::video(90_000);
        pts.iter().map(|p| order.push(*p)).collect()
    }

    #[test]
    fn without_b_frames_both_times_are_one() {
        assert_eq!(run(&[0, 3600, 7200, 10_800]), [0, 3600, 7200, 10_800]);
    }

    #[test]
    fn b_frames_are_learnt_and_then_exact() {
        // I P B B P B B P B B, shown 40 ms apart.
        let pts = [0, 120, 40, 80, 240, 160, 200, 360, 280, 320];
        let dts = run(&pts);
        assert_eq!(dts[4..], [123, 160, 200, 240, 280, 320]);
        assert!(dts.windows(2).all(|w| w[0] < w[1]), "{dts:?}");
        // After the first group no frame is late.
        assert!(dts[4..].iter().zip(&pts[4..]).all(|(d, p)| d <= p), "{dts:?}");
    }

    #[test]
    fn a_pyramid_is_deeper() {
        // I P B b b P B b b: depth 2.
        let pts = [0, 160, 80, 40, 120, 320, 240, 200, 280, 480, 400, 360, 440];
        let dts = run(&pts);
        assert!(dts.windows(2).all(|w| w[0] < w[1]), "{dts:?}");
        assert!(dts[5..].iter().zip(&pts[5..]).all(|(d, p)| d <= p), "{dts:?}");
    }

    #[test]
    fn a_clock_set_back_begins_anew() {
        assert_eq!(run(&[900_000, 903_600, 0, 3600]), [900_000, 903_600, 0, 3600]);
    }

    #[test]
    fn sound_is_pressed_flat() {
        let mut order = DecodeOrder::audio(8000);
        let dts: Vec<i64> = [0, 1024, 500, 1524, 2548].iter().map(|p| order.push(*p)).collect();
        assert_eq!(dts, [0, 1024, 1025, 1524, 2548]);
    }

    #[test]
    fn equal_times_still_rise() {
        assert_eq!(run(&[5, 5, 5]), [5, 6, 7]);
    }
}
