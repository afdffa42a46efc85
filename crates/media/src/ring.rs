//! The pure ring of GOPs: recent frames of one stream, bounded, readable from any position.

use std::collections::VecDeque;
use std::sync::Arc;

use av::{Frame, MediaKind, Track};

/// How much of a stream is kept.
#[derive(Clone, Copy, Debug)]
pub struct RingLimits {
    /// Payload bytes kept at most. When more is written the oldest GOP leaves, and a GOP that alone is
    /// larger loses its head: its readers continue at the next key frame.
    pub bytes_max: usize,
    /// The oldest GOP leaves once what follows it covers this many milliseconds.
    pub duration_ms: i64,
}

impl Default for RingLimits {
    /// 16 MiB: two 4 s GOPs at 8 Mbit/s, doubled; 3 s so that a reader may lag by that much and more.
    fn default() -> Self {
        RingLimits { bytes_max: 16 << 20, duration_ms: 3_000 }
    }
}

/// What a reader gets, in order.
#[derive(Clone, Debug)]
pub enum Item {
    /// The tracks that the frames after this belong to. First of all, and again when they change.
    Tracks(Arc<[Track]>),
    /// One frame.
    Frame(Arc<Frame>),
    /// The reader was too slow: this many frames were lost to it; a key frame follows.
    Gap {
        /// Frames not delivered.
        skipped: u64,
    },
}

struct Entry {
    frame: Arc<Frame>,
    /// Set on the first frame of a GOP: the tracks in force from here on.
    gop_tracks: Option<Arc<[Track]>>,
    at_ms: i64,
}

/// Recent frames of one stream, numbered without gap from 0.
///
/// Invariants: the first entry is the start of a GOP, unless the ring is empty or one GOP outgrew
/// [`RingLimits::bytes_max`]; `bytes` is the sum of the payloads held and never above the limit by more than one frame.
pub struct Ring {
    limits: RingLimits,
    entries: VecDeque<Entry>,
    /// Number of `entries[0]`.
    base: u64,
    /// Numbers of the GOP starts held, ascending.
    gops: VecDeque<u64>,
    bytes: usize,
}

impl Ring {
    /// An empty ring.
    pub fn new(limits: RingLimits) -> Ring {
        Ring { limits, entries: VecDeque::new(), base: 0, gops: VecDeque::new(), bytes: 0 }
    }

    /// Appends a frame. `tracks` are those in force; `starts_gop` says that a decoder can start here.
    pub fn push(&mut self, frame: Arc<Frame>, tracks: &Arc<[Track]>, starts_gop: bool, at_ms: i64) {
        let number = self.head();
        self.bytes += frame.data.len();
        if starts_gop {
            self.gops.push_back(number);
        }
        self.entries.push_back(Entry { frame, gop_tracks: starts_gop.then(|| tracks.clone()), at_ms });
        while self.gops.len() > 1 && (self.bytes > self.limits.bytes_max || self.next_gop_covers_enough(at_ms)) {
            let keep_from = self.gops[1];
            self.drop_to(keep_from);
        }
        while self.bytes > self.limits.bytes_max && self.entries.len() > 1 {
            self.drop_to(self.base + 1);
        }
    }

    fn next_gop_covers_enough(&self, now_ms: i64) -> bool {
        let second = (self.gops[1] - self.base) as usize;
        now_ms - self.entries[second].at_ms >= self.limits.duration_ms
    }

    fn drop_to(&mut self, number: u64) {
        while self.base < number {
            let entry = self.entries.pop_front().expect("numbers below head are held");
            self.bytes -= entry.frame.data.len();
            self.base += 1;
        }
        while self.gops.front().is_some_and(|&gop| gop < number) {
            self.gops.pop_front();
        }
    }

    /// Number of the next frame to be written.
    pub fn head(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    /// Payload bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where a new reader starts: the newest key frame, or `None` when there is none yet.
    pub fn newest_gop(&self) -> Option<u64> {
        self.gops.back().copied()
    }

    /// Appends to `out` everything from `next` to the head and moves `next` there.
    ///
    /// A reader that fell out of the ring gets [`Item::Gap`] and continues at the newest key frame.
    /// `known` are the tracks the reader was told last; changes are told before the GOP they hold for.
    pub fn read(&self, next: &mut u64, known: &mut Option<Arc<[Track]>>, out: &mut Vec<Item>) {
        if *next < self.base {
            let Some(restart) = self.newest_gop() else { return };
            out.push(Item::Gap { skipped: restart - *next });
            *next = restart;
        }
        for entry in self.entries.range((*next - self.base) as usize..) {
            if let Some(tracks) = &entry.gop_tracks
                && !known.as_ref().is_some_and(|k| Arc::ptr_eq(k, tracks))
            {
                *known = Some(tracks.clone());
                out.push(Item::Tracks(tracks.clone()));
            }
            out.push(Item::Frame(entry.frame.clone()));
        }
        *next = self.head();
    }
}

/// Whether `frame` begins a GOP in a stream of these tracks: a video key frame, or in a stream
/// without video any frame.
pub(crate) fn starts_gop(frame: &Frame, tracks: &[Track]) -> bool {
    let has_video = tracks.iter().any(|t| t.kind() == MediaKind::Video);
    let is_video = tracks.iter().any(|t| t.id == frame.track && t.kind() == MediaKind::Video);
    frame.key && (is_video || !has_video)
}
