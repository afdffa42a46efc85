//! A reader's position in a stream.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use av::{Frame, Track};
use tokio::sync::watch;

use crate::stream::{End, Head, Stream, Viewing};

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

/// The stream is over and everything of it was read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stream ended at {}: {}", .0.step, .0.cause)]
pub struct Closed(pub End);

/// Reads one stream. Holds a position, not frames: what it has not read lies in the stream's ring
/// and nowhere else.
pub struct Subscription {
    viewing: Viewing,
    head: watch::Receiver<Head>,
    /// Number of the next frame to read; `None` until the first key frame is there.
    next: Option<u64>,
    tracks: Option<Arc<[Track]>>,
}

impl Subscription {
    pub(crate) fn new(viewing: Viewing) -> Subscription {
        let mut head = viewing.stream().head.subscribe();
        head.mark_changed();
        Subscription { viewing, head, next: None, tracks: None }
    }

    /// The stream being read.
    pub fn stream(&self) -> &Arc<Stream> {
        self.viewing.stream()
    }

    /// Waits until something is there and appends all of it to `out`: tracks first, then frames from
    /// the newest key frame on. Cancel safe: nothing is taken before it is returned.
    ///
    /// # Errors
    /// [`Closed`] once the stream is over and read to its end.
    pub async fn read(&mut self, out: &mut Vec<Item>) -> Result<(), Closed> {
        loop {
            if self.head.changed().await.is_err() {
                return Err(Closed(End { step: "end", cause: "the stream is gone".into() }));
            }
            if self.read_now(out) {
                return Ok(());
            }
            if let Some(end) = self.stream().end() {
                return Err(Closed(end));
            }
        }
    }

    /// Appends what is there without waiting; true if anything was.
    pub fn read_now(&mut self, out: &mut Vec<Item>) -> bool {
        let before = out.len();
        let over = self.head.borrow_and_update().end.is_some();
        let stream = self.viewing.stream().clone();
        stream.with_ring(|ring| {
            let Some((next, skipped)) = ring.resume(self.next) else { return };
            if skipped > 0 {
                out.push(Item::Gap { skipped });
                stream.gaps.fetch_add(skipped, Ordering::Relaxed);
            }
            for entry in ring.from(next) {
                if let Some(tracks) = &entry.tracks
                    && !self.tracks.as_ref().is_some_and(|known| Arc::ptr_eq(known, tracks))
                {
                    self.tracks = Some(tracks.clone());
                    out.push(Item::Tracks(tracks.clone()));
                }
                out.push(Item::Frame(entry.frame.clone()));
            }
            self.next = Some(ring.head());
        });
        if over {
            // Come back once more for the end itself.
            self.head.mark_changed();
        }
        out.len() > before
    }
}
