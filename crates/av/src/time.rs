//! Time as media carries it.

/// A point on a track's own clock, in ticks of [`Track::clock_rate`](crate::Track::clock_rate)
/// (90 kHz for video, the sample rate for audio), unwrapped: it never jumps at 32 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticks(pub i64);

impl Ticks {
    /// Converts between clocks, rounding to the nearest tick of the target.
    ///
    /// # Panics
    /// If either rate is zero; rates come from a checked [`Track`](crate::Track).
    pub fn rescale(self, from_rate: u32, to_rate: u32) -> Ticks {
        assert!(from_rate > 0 && to_rate > 0, "clock rates are positive");
        let (from, to) = (i128::from(from_rate), i128::from(to_rate));
        let scaled = (i128::from(self.0) * to * 2 + from).div_euclid(from * 2);
        Ticks(scaled as i64)
    }

    /// Milliseconds of this point on a clock of `rate` ticks a second.
    pub fn to_millis(self, rate: u32) -> i64 {
        self.rescale(rate, 1000).0
    }
}

/// Wall-clock time, microseconds since 1970-01-01 UTC. It rides beside a frame and never orders it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMicros(pub i64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rescale_rounds_to_nearest_both_sides_of_zero() {
        assert_eq!(Ticks(90_000).rescale(90_000, 1000), Ticks(1000));
        assert_eq!(Ticks(45).rescale(90_000, 1000), Ticks(1));
        assert_eq!(Ticks(44).rescale(90_000, 1000), Ticks(0));
        assert_eq!(Ticks(-90_000).rescale(90_000, 8000), Ticks(-8000));
        assert_eq!(Ticks(i64::MAX / 2).rescale(1000, 1000), Ticks(i64::MAX / 2));
    }
}
