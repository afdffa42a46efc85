//! One stream: its ring, its writer, and who watches.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use av::{Frame, MediaKind, Track};
use tokio::sync::watch;

use crate::hub::HubInner;
use crate::ring::{Ring, RingLimits};
use crate::subscription::Subscription;
use crate::timeline::Timeline;

/// Name of a stream; opaque here. Whoever registers a source chooses it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(Arc<str>);

impl StreamId {
    /// Wraps a name.
    pub fn new(name: impl Into<Arc<str>>) -> StreamId {
        StreamId(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a stream is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The hop that failed, in a word: `dial`, `auth`, `describe`, `no media`, …; `end` when all was well.
    pub step: &'static str,
    /// What happened, for the log and the operator.
    pub cause: String,
}

/// What a new head means to those who wait.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    /// Number of the next frame.
    pub(crate) next: u64,
    /// A key frame is in the ring: a viewer can start.
    pub(crate) ready: bool,
    pub(crate) end: Option<End>,
}

/// What the ring holds: a frame, and with the first of a GOP the tracks in force from there on.
pub(crate) struct Entry {
    pub(crate) frame: Arc<Frame>,
    pub(crate) tracks: Option<Arc<[Track]>>,
}

struct State {
    ring: Ring<Entry>,
    /// Tracks of the frames to come; `None` until the source has said.
    tracks: Option<Arc<[Track]>>,
}

/// One stream, live as long as its [`StreamWriter`].
pub struct Stream {
    id: StreamId,
    state: Mutex<State>,
    pub(crate) head: watch::Sender<Head>,
    viewers: watch::Sender<usize>,
    /// Viewers who want each frame when it comes.
    prompt: AtomicUsize,
    pub(crate) frames: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) gaps: AtomicU64,
}

impl Stream {
    pub(crate) fn new(id: StreamId, limits: RingLimits) -> Arc<Stream> {
        Arc::new(Stream {
            id,
            state: Mutex::new(State { ring: Ring::new(limits), tracks: None }),
            head: watch::Sender::new(Head::default()),
            viewers: watch::Sender::new(0),
            prompt: AtomicUsize::new(0),
            frames: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            gaps: AtomicU64::new(0),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held leaves a ring nobody can trust: let it end this stream's tasks too.
        self.state.lock().expect("no panic while the ring is locked")
    }

    /// Its name.
    pub fn id(&self) -> &StreamId {
        &self.id
    }

    /// The tracks, once the source has told them.
    pub fn tracks(&self) -> Option<Arc<[Track]>> {
        self.state().tracks.clone()
    }

    /// Why it is over, if it is.
    pub fn end(&self) -> Option<End> {
        self.head.borrow().end.clone()
    }

    /// Viewers now.
    pub fn viewers(&self) -> usize {
        *self.viewers.borrow()
    }

    /// Whether anybody wants each frame when it comes. Where nobody does, whoever writes the stream may let
    /// some gather.
    pub fn is_awaited(&self) -> bool {
        self.prompt.load(Ordering::Relaxed) > 0
    }

    /// Frames written since the stream began.
    pub fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// Frames that slow readers lost since the stream began.
    pub fn gaps(&self) -> u64 {
        self.gaps.load(Ordering::Relaxed)
    }

    /// Payload bytes in the ring.
    pub fn ring_bytes(&self) -> usize {
        self.state().ring.bytes()
    }

    pub(crate) fn with_ring<R>(&self, read: impl FnOnce(&Ring<Entry>) -> R) -> R {
        read(&self.state().ring)
    }
}

/// Somebody watches: the source is kept running while one of these lives.
pub struct Viewing {
    stream: Arc<Stream>,
    patient: bool,
}

impl Viewing {
    pub(crate) fn new(stream: Arc<Stream>) -> Viewing {
        stream.viewers.send_modify(|n| *n += 1);
        stream.prompt.fetch_add(1, Ordering::Relaxed);
        Viewing { stream, patient: false }
    }

    /// The same by somebody who is content with frames that come a little late, some at a time: a recorder.
    pub fn patient(mut self) -> Viewing {
        if !std::mem::replace(&mut self.patient, true) {
            self.stream.prompt.fetch_sub(1, Ordering::Relaxed);
        }
        self
    }

    /// The stream being watched.
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// Reads the stream from its newest key frame on.
    pub fn subscribe(self) -> Subscription {
        Subscription::new(self)
    }
}

impl Clone for Viewing {
    fn clone(&self) -> Viewing {
        let viewing = Viewing::new(self.stream.clone());
        if self.patient { viewing.patient() } else { viewing }
    }
}

impl Drop for Viewing {
    fn drop(&mut self) {
        if !self.patient {
            self.stream.prompt.fetch_sub(1, Ordering::Relaxed);
        }
        self.stream.viewers.send_modify(|n| *n -= 1);
    }
}

/// What cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The frame's track was not announced by [`StreamWriter::set_tracks`].
    #[error("frame of an unknown track")]
    UnknownTrack,
}

/// The one hand that writes a stream. Dropping it ends the stream.
pub struct StreamWriter {
    stream: Arc<Stream>,
    hub: Arc<HubInner>,
    timeline: Timeline,
    /// Frames before the first key frame are of no use to anybody.
    started: bool,
    linger: Duration,
}

impl StreamWriter {
    pub(crate) fn new(stream: Arc<Stream>, hub: Arc<HubInner>, linger: Duration) -> StreamWriter {
        StreamWriter { stream, hub, timeline: Timeline::default(), started: false, linger }
    }

    /// The stream being written.
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// Announces the tracks. They hold from the next key frame on; announcing equal ones changes nothing.
    pub fn set_tracks(&mut self, tracks: Vec<Track>) {
        let mut state = self.stream.state();
        if state.tracks.as_deref() != Some(tracks.as_slice()) {
            state.tracks = Some(tracks.into());
        }
    }

    /// Appends a frame; never waits, whoever watches. Timestamps are moved to the stream's own
    /// timeline, which starts at 0 and never runs back, whatever the source's clock does.
    ///
    /// # Errors
    /// [`WriteError::UnknownTrack`]; the stream goes on.
    pub fn write(&mut self, mut frame: Frame) -> Result<(), WriteError> {
        let mut state = self.stream.state();
        let Some(tracks) = state.tracks.clone() else { return Err(WriteError::UnknownTrack) };
        let track = tracks.iter().find(|t| t.id == frame.track).ok_or(WriteError::UnknownTrack)?;
        let gop = starts_gop(&frame, &tracks);
        if !self.started && !gop {
            return Ok(());
        }
        self.started = true;
        frame.dts = self.timeline.map(frame.track, frame.dts, track.clock_rate);
        let at_ms = frame.dts.to_millis(track.clock_rate);
        let size = frame.data.len();
        state.ring.push(Entry { frame: Arc::new(frame), tracks: gop.then_some(tracks) }, size, gop, at_ms);
        let next = state.ring.head();
        drop(state);
        self.stream.frames.fetch_add(1, Ordering::Relaxed);
        self.stream.bytes.fetch_add(size as u64, Ordering::Relaxed);
        self.stream.head.send_modify(|head| {
            head.next = next;
            head.ready = true;
        });
        Ok(())
    }

    /// Whether the tracks announced include a picture.
    pub fn has_video(&self) -> bool {
        self.stream.tracks().is_some_and(|t| t.iter().any(|t| t.kind() == MediaKind::Video))
    }

    /// Resolves once nobody has watched for the hub's linger time. Cancel safe.
    pub fn unwatched(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut viewers = self.stream.viewers.subscribe();
        let linger = self.linger;
        async move {
            // An error means that the stream itself is gone, which nobody watches either.
            while viewers.wait_for(|n| *n == 0).await.is_ok() {
                // Any change begins the wait anew: a viewer who came and left again counts too.
                if tokio::time::timeout(linger, viewers.changed()).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Ends the stream and says why. Viewers that wait for the first picture get this as their answer.
    pub fn fail(self, step: &'static str, cause: impl Into<String>) {
        self.finish(End { step, cause: cause.into() });
        // Drop finds the stream ended and leaves the reason alone.
    }

    fn finish(&self, end: End) {
        self.hub.forget(&self.stream);
        self.stream.head.send_if_modified(|head| {
            let first = head.end.is_none();
            if first {
                head.end = Some(end);
            }
            first
        });
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        self.finish(End { step: "end", cause: "the source stopped".into() });
    }
}

/// Whether `frame` begins a GOP in a stream of these tracks: a video key frame, or in a stream
/// without video any frame.
fn starts_gop(frame: &Frame, tracks: &[Track]) -> bool {
    let has_video = tracks.iter().any(|t| t.kind() == MediaKind::Video);
    let is_video = tracks.iter().any(|t| t.id == frame.track && t.kind() == MediaKind::Video);
    frame.key && (is_video || !has_video)
}
