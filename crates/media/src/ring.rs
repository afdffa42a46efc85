//! The pure ring: what is recent of one stream, bounded, readable from any position.

use std::collections::VecDeque;

/// How much of a stream is kept.
#[derive(Clone, Copy, Debug)]
pub struct RingLimits {
    /// Payload bytes kept at most, unless a single item is larger. A newest GOP that outgrows this loses
    /// its head: who comes then waits for the next key frame.
    pub bytes_max: usize,
    /// What is older than this many milliseconds leaves, except the newest GOP: readers may lag by this
    /// much, and new ones can start at once.
    pub duration_ms: i64,
}

impl Default for RingLimits {
    /// 16 MiB: 4 s at 32 Mbit/s; 3 s so that a reader may lag by that much.
    fn default() -> Self {
        RingLimits { bytes_max: 16 << 20, duration_ms: 3_000 }
    }
}

struct Entry<T> {
    item: T,
    size: usize,
    at_ms: i64,
}

/// Recent items of one stream (frames, or blocks made of them), numbered without gap from 0.
///
/// Items leave one by one, not a GOP at a time: a reader that goes on does not care where it stands in
/// a GOP, and one that starts wants the newest.
///
/// Invariants: `gops` are the GOP starts among the items held; `bytes` is the sum of the sizes held and
/// above the limit only while there is a single item.
pub struct Ring<T> {
    limits: RingLimits,
    entries: VecDeque<Entry<T>>,
    /// Number of `entries[0]`.
    base: u64,
    /// Numbers of the GOP starts held, ascending.
    gops: VecDeque<u64>,
    bytes: usize,
}

impl<T> Ring<T> {
    /// An empty ring.
    pub fn new(limits: RingLimits) -> Ring<T> {
        Ring { limits, entries: VecDeque::new(), base: 0, gops: VecDeque::new(), bytes: 0 }
    }

    /// Appends an item of `size` payload bytes that holds for stream time `at_ms`; `starts_gop` says
    /// that a reader can start here.
    pub fn push(&mut self, item: T, size: usize, starts_gop: bool, at_ms: i64) {
        if starts_gop {
            self.gops.push_back(self.head());
        }
        self.bytes += size;
        self.entries.push_back(Entry { item, size, at_ms });
        while self.entries.len() > 1 && (self.bytes > self.limits.bytes_max || self.is_stale(at_ms)) {
            self.drop_oldest();
        }
    }

    /// Whether the oldest item is of no use any more at stream time `now_ms`.
    fn is_stale(&self, now_ms: i64) -> bool {
        let in_newest_gop = self.newest_gop().is_none_or(|gop| self.base >= gop);
        !in_newest_gop && now_ms - self.entries[0].at_ms > self.limits.duration_ms
    }

    fn drop_oldest(&mut self) {
        let Some(entry) = self.entries.pop_front() else { return };
        self.bytes -= entry.size;
        self.base += 1;
        while self.gops.front().is_some_and(|&gop| gop < self.base) {
            self.gops.pop_front();
        }
    }

    /// Number of the next item to be pushed.
    pub fn head(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    /// Payload bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where a new reader starts, or `None` when no start is held.
    pub fn newest_gop(&self) -> Option<u64> {
        self.gops.back().copied()
    }

    /// Where a reader goes on, and how many items it lost: at `next` while that is inside, else at the
    /// newest GOP start; `None` while there is nowhere to start. A new reader has no position yet.
    pub fn resume(&self, next: Option<u64>) -> Option<(u64, u64)> {
        match next {
            Some(next) if next >= self.base => Some((next, 0)),
            Some(lost) => self.newest_gop().map(|start| (start, start - lost)),
            None => self.newest_gop().map(|start| (start, 0)),
        }
    }

    /// The items from a position inside the ring to its head.
    ///
    /// # Panics
    /// If the position is not inside; [`Ring::resume`] first.
    pub fn from(&self, next: u64) -> impl Iterator<Item = &T> {
        let first = next.checked_sub(self.base).expect("position is inside the ring");
        self.entries.range(first as usize..).map(|entry| &entry.item)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn limits(bytes_max: usize, duration_ms: i64) -> RingLimits {
        RingLimits { bytes_max, duration_ms }
    }

    /// Items are their own numbers; a GOP every `gop` items, 40 ms apart, 10 bytes each.
    fn filled(limits: RingLimits, items: u64, gop: u64) -> Ring<u64> {
        let mut ring = Ring::new(limits);
        for n in 0..items {
            ring.push(n, 10, n % gop == 0, n as i64 * 40);
            assert!(ring.bytes() <= limits.bytes_max || ring.head() == ring.base + 1);
            assert_eq!(ring.from(ring.base).copied().collect::<Vec<_>>(), (ring.base..ring.head()).collect::<Vec<_>>());
        }
        ring
    }

    #[test]
    fn keeps_the_time_asked_and_always_the_newest_gop() {
        let ring = filled(limits(1 << 20, 1000), 200, 25);
        assert_eq!((ring.base, ring.newest_gop(), ring.bytes()), (174, Some(175), 260));
        let ring = filled(limits(1 << 20, 1000), 190, 100);
        assert_eq!((ring.base, ring.newest_gop(), ring.bytes()), (100, Some(100), 900));
        let ring = filled(limits(1 << 20, 1000), 102, 100);
        assert_eq!((ring.base, ring.newest_gop()), (76, Some(100)), "the GOP before leaves when the newest begins");
    }

    #[test]
    fn a_lagging_reader_restarts_at_the_newest_key_frame() {
        let ring = filled(limits(1 << 20, 1000), 190, 25);
        assert_eq!(ring.resume(Some(3)), Some((175, 172)));
        assert_eq!(ring.resume(Some(170)), Some((170, 0)));
        assert_eq!(ring.resume(None), Some((175, 0)));
    }

    #[test]
    fn one_endless_gop_stays_within_the_byte_limit() {
        let ring = filled(limits(100, 1000), 500, 1000);
        assert_eq!(ring.bytes(), 100);
        assert_eq!(ring.newest_gop(), None);
        assert_eq!(ring.resume(Some(0)), None);
        assert_eq!(ring.resume(None), None);
        assert_eq!(ring.resume(Some(499)), Some((499, 0)));
    }

    #[test]
    fn an_item_larger_than_the_limit_is_kept_alone() {
        let mut ring = Ring::new(limits(100, 1000));
        ring.push(0, 50, true, 0);
        ring.push(1, 5000, true, 40);
        assert_eq!((ring.bytes(), ring.from(1).count()), (5000, 1));
    }
}
