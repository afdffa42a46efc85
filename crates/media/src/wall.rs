//! When frames happened: the wall clock of a recording, from receipt times that jitter.

use std::collections::VecDeque;

/// Receipt times of this many parts are remembered: a network that stalls for less delays frames, but
/// does not move the clock.
const WINDOW_PARTS: usize = 8;

/// No network holds frames back for longer and delivers them: a later receipt is another clock setting.
const DELAY_US_MAX: i64 = 10_000_000;

/// A recording that is wrong by more than this begins anew; by less, it is bent.
const ERROR_US_MAX: i64 = 1_000_000;

/// How much a part may be bent: a fiftieth of its length follows a camera whose clock is wrong by 14
/// minutes a day, and stays below the distance of two pictures.
const BEND: i64 = 50;

/// Maps a stream's time to wall time: runs straight on with the stream, follows slowly what receipt times
/// say, and never runs back but where the wall clock itself was set back.
///
/// A frame is received when it happened or later, never earlier, so the earliest of recent ones is right.
#[derive(Default)]
pub(crate) struct WallClock {
    /// The least `wall - stream` of the open part.
    open: Option<i64>,
    /// The same of each recent part.
    closed: VecDeque<i64>,
    /// A point of stream time whose wall time was given out.
    mark: Option<(i64, i64)>,
}

impl WallClock {
    /// Takes note of a frame's receipt.
    pub(crate) fn observe(&mut self, stream_us: i64, wall_us: i64) {
        let skew = wall_us.saturating_sub(stream_us);
        if self.skew().is_some_and(|known| skew.saturating_sub(known) > DELAY_US_MAX) {
            self.closed.clear();
            self.open = None;
        }
        self.open = Some(self.open.map_or(skew, |open| open.min(skew)));
    }

    fn skew(&self) -> Option<i64> {
        self.closed.iter().chain(&self.open).min().copied()
    }

    fn truth(&self, stream_us: i64) -> i64 {
        stream_us.saturating_add(self.skew().unwrap_or_default())
    }

    /// The wall time of a point, straight on from the last one given out.
    pub(crate) fn at(&self, stream_us: i64) -> i64 {
        match self.mark {
            Some((stream, wall)) => wall.saturating_add(stream_us.saturating_sub(stream)),
            None => self.truth(stream_us),
        }
    }

    /// Whether a recording that goes straight on here would be wrong. One that is ahead by a little is
    /// not: it can only be bent, beginning anew would lay it over what there is.
    pub(crate) fn is_wrong(&self, stream_us: i64) -> bool {
        let error = self.truth(stream_us).saturating_sub(self.at(stream_us));
        !(-DELAY_US_MAX..=ERROR_US_MAX).contains(&error)
    }

    /// The wall time at which a part ends and another begins.
    pub(crate) fn advance(&mut self, stream_us: i64) -> i64 {
        let straight = self.at(stream_us);
        let bend = self.mark.map_or(0, |(stream, _)| stream_us.saturating_sub(stream).max(0) / BEND);
        let wall = straight.saturating_add(self.truth(stream_us).saturating_sub(straight).clamp(-bend, bend));
        self.mark = Some((stream_us, wall));
        self.closed.extend(self.open.take());
        if self.closed.len() > WINDOW_PARTS {
            self.closed.pop_front();
        }
        wall
    }

    /// The wall time at which a segment begins: where the one before ended if it follows that without a
    /// gap and is right, else by the receipt times.
    pub(crate) fn begin(&mut self, stream_us: i64) -> i64 {
        let truth = self.truth(stream_us);
        let wall = match self.mark {
            Some((stream, wall)) if stream == stream_us && !self.is_wrong(stream_us) => wall,
            Some((_, wall)) if truth > wall.saturating_sub(DELAY_US_MAX) => truth.max(wall),
            _ => truth,
        };
        self.mark = Some((stream_us, wall));
        wall
    }
}
