//! The registry of streams: who can be started, what is live, who waits.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::ring::RingLimits;
use crate::stream::{End, Stream, StreamId, StreamWriter, Viewing};

/// How streams start and stop.
#[derive(Clone, Copy, Debug)]
pub struct HubSettings {
    /// A source stops when nobody has watched for this long.
    pub linger: Duration,
    /// A viewer waits at most this long for the first key frame.
    pub start_timeout: Duration,
    /// How much each stream keeps.
    pub ring: RingLimits,
}

impl Default for HubSettings {
    fn default() -> Self {
        HubSettings {
            linger: Duration::from_secs(10),
            start_timeout: Duration::from_secs(10),
            ring: RingLimits::default(),
        }
    }
}

/// Why a stream cannot be watched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Nobody publishes it and nobody could be asked for it.
    #[error("no source for this stream")]
    NotFound,
    /// The source was asked and failed.
    #[error("source failed at {}: {}", .0.step, .0.cause)]
    Failed(End),
    /// The source was asked, and no key frame came in time.
    #[error("no key frame in time")]
    Timeout,
    /// The source has more requests than it can take.
    #[error("source is busy")]
    Busy,
}

/// Why a stream cannot be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Somebody publishes it already.
    #[error("stream is being published already")]
    Taken,
}

/// A viewer wants a stream that is not running: whoever registered it writes it now, until
/// [`StreamWriter::unwatched`] resolves or the source fails.
pub struct StartRequest {
    /// The stream, ready to be written.
    pub writer: StreamWriter,
}

/// One line of [`Hub::streams`].
#[derive(Clone, Debug)]
pub struct StreamStatus {
    /// Name.
    pub id: StreamId,
    /// Viewers now, of every kind.
    pub viewers: usize,
    /// Frames written since it began.
    pub frames: u64,
    /// Payload bytes written since it began.
    pub bytes: u64,
    /// Frames lost to slow readers.
    pub gaps: u64,
    /// Payload bytes in the ring.
    pub ring_bytes: usize,
}

#[derive(Default)]
struct Streams {
    live: BTreeMap<StreamId, Arc<Stream>>,
    sources: BTreeMap<StreamId, (u64, mpsc::Sender<StartRequest>)>,
}

pub(crate) struct HubInner {
    settings: HubSettings,
    streams: Mutex<Streams>,
    registrations: AtomicU64,
}

impl HubInner {
    fn streams(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().expect("no panic while the registry is locked")
    }

    pub(crate) fn forget(&self, stream: &Arc<Stream>) {
        let mut streams = self.streams();
        if streams.live.get(stream.id()).is_some_and(|live| Arc::ptr_eq(live, stream)) {
            streams.live.remove(stream.id());
        }
    }
}

/// Every stream of this node. Cheap to clone.
#[derive(Clone)]
pub struct Hub {
    inner: Arc<HubInner>,
}

impl Hub {
    /// An empty hub.
    pub fn new(settings: HubSettings) -> Hub {
        Hub {
            inner: Arc::new(HubInner {
                settings,
                streams: Mutex::new(Streams::default()),
                registrations: AtomicU64::new(0),
            }),
        }
    }

    /// Says who can be asked for a stream; replaces an older source of the same name.
    /// The source is forgotten when the registration is dropped.
    pub fn register(&self, id: StreamId, starts: mpsc::Sender<StartRequest>) -> Registration {
        let number = self.inner.registrations.fetch_add(1, Ordering::Relaxed);
        self.inner.streams().sources.insert(id.clone(), (number, starts));
        Registration { hub: self.inner.clone(), id, number }
    }

    /// Starts writing a stream of one's own accord (a device that publishes to us).
    ///
    /// # Errors
    /// [`PublishError::Taken`].
    pub fn publish(&self, id: StreamId) -> Result<StreamWriter, PublishError> {
        let mut streams = self.inner.streams();
        if streams.live.contains_key(&id) {
            return Err(PublishError::Taken);
        }
        Ok(self.begin(&mut streams, id))
    }

    fn begin(&self, streams: &mut Streams, id: StreamId) -> StreamWriter {
        let stream = Stream::new(id.clone(), self.inner.settings.ring);
        streams.live.insert(id, stream.clone());
        StreamWriter::new(stream, self.inner.clone(), self.inner.settings.linger)
    }

    /// Whether the stream is being written now.
    pub fn is_live(&self, id: &StreamId) -> bool {
        self.inner.streams().live.contains_key(id)
    }

    /// The stream as a viewer wants it: running, with a key frame to start from. Asks the source if needed.
    ///
    /// # Errors
    /// [`OpenError`]; an earlier failure is never remembered, each call asks anew.
    pub async fn open(&self, id: &StreamId) -> Result<Viewing, OpenError> {
        let viewing = self.watch(id)?;
        let mut head = viewing.stream().head.subscribe();
        let ready = head.wait_for(|head| head.ready || head.end.is_some());
        match timeout(self.inner.settings.start_timeout, ready).await {
            Err(_) => Err(OpenError::Timeout),
            // The sender lives in the stream that `viewing` holds.
            Ok(Err(_)) => Err(OpenError::NotFound),
            Ok(Ok(head)) => match &head.end {
                Some(end) if !head.ready => Err(OpenError::Failed(end.clone())),
                _ => {
                    drop(head);
                    Ok(viewing)
                }
            },
        }
    }

    fn watch(&self, id: &StreamId) -> Result<Viewing, OpenError> {
        let mut streams = self.inner.streams();
        if let Some(stream) = streams.live.get(id) {
            return Ok(Viewing::new(stream.clone()));
        }
        let (_, starts) = streams.sources.get(id).ok_or(OpenError::NotFound)?;
        let permit = starts.clone().try_reserve_owned().map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => OpenError::Busy,
            mpsc::error::TrySendError::Closed(_) => OpenError::NotFound,
        })?;
        let writer = self.begin(&mut streams, id.clone());
        let viewing = Viewing::new(writer.stream().clone());
        drop(streams);
        permit.send(StartRequest { writer });
        Ok(viewing)
    }

    /// Every live stream, by name.
    pub fn streams(&self) -> Vec<StreamStatus> {
        let live: Vec<Arc<Stream>> = self.inner.streams().live.values().cloned().collect();
        live.iter()
            .map(|stream| StreamStatus {
                id: stream.id().clone(),
                viewers: stream.viewers(),
                frames: stream.frames.load(Ordering::Relaxed),
                bytes: stream.bytes.load(Ordering::Relaxed),
                gaps: stream.gaps(),
                ring_bytes: stream.ring_bytes(),
            })
            .collect()
    }
}

/// Keeps a source known to the hub.
#[must_use = "the source is forgotten when this is dropped"]
pub struct Registration {
    hub: Arc<HubInner>,
    id: StreamId,
    number: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut streams = self.hub.streams();
        if streams.sources.get(&self.id).is_some_and(|(number, _)| *number == self.number) {
            streams.sources.remove(&self.id);
        }
    }
}
