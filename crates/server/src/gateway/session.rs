//! Who is watching or publishing: the list an operator sees, ends, and that revocation acts on.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use cloud::{Cloud, PlayGrant, PlaybackGrant};
use media::StreamId;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// What a session speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// RTMP play.
    Rtmp,
    /// FLV over HTTP.
    HttpFlv,
    /// FLV over WebSocket.
    WsFlv,
    /// HTTP Live Streaming.
    Hls,
    /// A file of footage.
    Download,
    /// RTMP publish.
    RtmpPublish,
}

impl Protocol {
    /// Its name in lists and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Rtmp => "rtmp",
            Protocol::HttpFlv => "http-flv",
            Protocol::WsFlv => "ws-flv",
            Protocol::Hls => "hls",
            Protocol::Download => "download",
            Protocol::RtmpPublish => "rtmp-publish",
        }
    }
}

/// Why a session ended; each is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Why {
    /// The peer closed, or its connection broke.
    PeerLeft = 1,
    /// Its socket accepted nothing for too long.
    Stalled,
    /// The stream is over.
    StreamEnded,
    /// Its address was revoked.
    Revoked,
    /// An operator ended it.
    Killed,
    /// It sent what cannot be understood.
    Malformed,
    /// The server is stopping.
    Shutdown,
}

impl Why {
    /// All reasons, for counters.
    pub const ALL: [Why; 7] =
        [Why::PeerLeft, Why::Stalled, Why::StreamEnded, Why::Revoked, Why::Killed, Why::Malformed, Why::Shutdown];

    /// Its name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Why::PeerLeft => "peer left",
            Why::Stalled => "stalled",
            Why::StreamEnded => "stream ended",
            Why::Revoked => "revoked",
            Why::Killed => "killed",
            Why::Malformed => "malformed",
            Why::Shutdown => "shutdown",
        }
    }
}

/// What lets a viewer watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// What happens now.
    Live(PlayGrant),
    /// What was recorded.
    Footage(PlaybackGrant),
}

impl Grant {
    /// Whether its address was taken back.
    pub fn is_revoked(&self, cloud: &Cloud) -> bool {
        match self {
            Grant::Live(grant) => cloud.is_revoked(grant),
            Grant::Footage(grant) => cloud.is_revoked(grant),
        }
    }

    /// The stream's name in lists, where it has no other.
    pub(super) fn stream(&self) -> StreamId {
        match self {
            Grant::Live(grant) => device::stream_id(&grant.serial, grant.channel, grant.quality),
            Grant::Footage(grant) => {
                StreamId::new(format!("{}_{}_1:{}", grant.serial, grant.channel, grant.storage.name()))
            }
        }
    }
}

/// One viewer or publisher.
pub struct Session {
    /// Its number on this node.
    pub id: u64,
    /// The other end.
    pub peer: SocketAddr,
    /// What it speaks.
    pub protocol: Protocol,
    /// The stream.
    pub stream: StreamId,
    /// What lets it watch; a publisher has none.
    pub grant: Option<Grant>,
    /// Since when.
    pub since: SystemTime,
    bytes: AtomicU64,
    skipped: AtomicU64,
    why: AtomicU8,
    over: CancellationToken,
    sessions: Arc<Shared>,
}

impl Session {
    /// Bytes sent to it, or received from it.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Blocks it lost to its slowness.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    pub(super) fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn add_skipped(&self, blocks: u64) {
        if blocks > 0 {
            self.skipped.fetch_add(blocks, Ordering::Relaxed);
            self.sessions.skipped.fetch_add(blocks, Ordering::Relaxed);
        }
    }

    /// Ends the session; the first reason counts, and everybody who serves it hears of it.
    pub fn finish(&self, why: Why) {
        if self.why.compare_exchange(0, why as u8, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.sessions.ended[why as usize - 1].fetch_add(1, Ordering::Relaxed);
            self.sessions.table().remove(&self.id);
            tracing::debug!(id = self.id, peer = %self.peer, protocol = self.protocol.name(), why = why.name(), bytes = self.bytes(), "session ended");
            self.over.cancel();
        }
    }

    /// What the peer says while somebody else writes to its socket; `None` once the session is over,
    /// as it is when the peer leaves.
    pub(super) async fn next_words(&self, socket: &TcpStream) -> Option<Vec<u8>> {
        loop {
            let readable = tokio::select! {
                biased;
                () = self.over() => return None,
                readable = socket.readable() => readable,
            };
            match readable.and_then(|()| read_words(socket)) {
                Ok(words) if !words.is_empty() => return Some(words),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Ok(_) | Err(_) => {
                    self.finish(Why::PeerLeft);
                    return None;
                }
            }
        }
    }

    /// Whether the session is over.
    pub fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    /// Resolves once the session is over.
    pub async fn over(&self) {
        self.over.cancelled().await;
    }
}

/// Finishes the session when it is dropped, as the HTTP server does with a body nobody reads any more.
pub struct Leaves(pub Arc<Session>);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.finish(Why::PeerLeft);
    }
}

/// Reads at most 512 bytes, as little as viewers say. Not part of the async function, so that no
/// viewer's task keeps the buffer.
fn read_words(socket: &TcpStream) -> io::Result<Vec<u8>> {
    let mut scratch = [0; 512];
    socket.try_read(&mut scratch).map(|n| scratch[..n].to_vec())
}

#[derive(Default)]
struct Shared {
    table: Mutex<BTreeMap<u64, Arc<Session>>>,
    next: AtomicU64,
    ended: [AtomicU64; Why::ALL.len()],
    skipped: AtomicU64,
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Session>>> {
        self.table.lock().expect("no panic while the table is locked")
    }
}

/// Every session of this node. Cheap to clone.
#[derive(Clone, Default)]
pub struct Sessions {
    shared: Arc<Shared>,
}

impl Sessions {
    /// Enters a session; it leaves the table when it is finished.
    pub fn begin(&self, peer: SocketAddr, protocol: Protocol, stream: StreamId, grant: Option<Grant>) -> Arc<Session> {
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed) + 1;
        let session = Arc::new(Session {
            id,
            peer,
            protocol,
            stream,
            grant,
            since: SystemTime::now(),
            bytes: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            why: AtomicU8::new(0),
            over: CancellationToken::new(),
            sessions: self.shared.clone(),
        });
        self.shared.table().insert(id, session.clone());
        session
    }

    /// Those running now.
    pub fn list(&self) -> Vec<Arc<Session>> {
        self.shared.table().values().cloned().collect()
    }

    /// Sessions for which `which` holds.
    pub fn count(&self, which: impl Fn(&Session) -> bool) -> usize {
        self.shared.table().values().filter(|session| which(session)).count()
    }

    /// Ends every session for which `which` holds; gives their number.
    pub fn finish_where(&self, why: Why, which: impl Fn(&Session) -> bool) -> usize {
        let found: Vec<Arc<Session>> = self.list().into_iter().filter(|session| which(session)).collect();
        for session in &found {
            session.finish(why);
        }
        found.len()
    }

    /// Counts a peer that could not be understood before it had a session, or a request that could not.
    pub fn count_malformed(&self) {
        self.shared.ended[Why::Malformed as usize - 1].fetch_add(1, Ordering::Relaxed);
    }

    /// How many sessions ended for each reason.
    pub fn ended(&self) -> impl Iterator<Item = (Why, u64)> {
        Why::ALL.into_iter().map(|why| (why, self.shared.ended[why as usize - 1].load(Ordering::Relaxed)))
    }

    /// Blocks that slow viewers lost.
    pub fn skipped(&self) -> u64 {
        self.shared.skipped.load(Ordering::Relaxed)
    }
}
