//! The fan-out: one task for each watched stream and format owns its viewers' sockets.
//!
//! What a viewer costs is writes, not bytes, so frames are serialised once into shared blocks and a
//! viewer is a cursor (block, offset) with no queue and no task on the hot path. The task writes to
//! each socket with vectored writes what it has not had, and waits for writability only after the
//! socket said that it is full. A viewer that falls out of the ring finishes its message and goes on
//! at the newest key frame; one that accepts nothing for [`STALL`] is closed.
//!
//! Viewers whose socket is not ours (TLS, WebSocket, a reused HTTP connection) read the same blocks
//! through [`BlockReader`], each in a task of its own.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use media::{Item, Ring, RingLimits, StreamId, Subscription, Viewing};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, info_span};

use super::block::{Block, Format, Packer, Preamble};
use super::pace::Pace;
use super::session::{Session, Why};

/// A socket that accepts nothing for this long is dead or hopeless.
pub const STALL: Duration = Duration::from_secs(10);
/// Joins and leaves under way; more wait their turn.
const COMMANDS: usize = 256;
/// Slices of one write. Blocks waiting beyond that go with the next.
const SLICES: usize = 64;
/// Sound without picture is sent at least this often, prompt or not.
const SOUND_WAITS: Duration = Duration::from_millis(60);

/// A socket handed over to be fed.
pub struct Viewer {
    /// Bytes to be sent before any block (an answer's head).
    pub greeting: Bytes,
    /// The socket; whoever reads commands from it holds another reference.
    pub socket: Arc<TcpStream>,
    /// Who it is.
    pub session: Arc<Session>,
}

enum Command {
    Join(Viewer),
    Leave(Arc<Session>),
    Say(Arc<Session>, Bytes),
}

type Key = (StreamId, Format);

/// Every fan-out of this node.
pub struct Fanouts {
    running: Arc<Mutex<BTreeMap<Key, Fanout>>>,
    pace: Arc<Pace>,
    tasks: TaskTracker,
}

/// One running fan-out.
#[derive(Clone)]
struct Fanout {
    commands: mpsc::Sender<Command>,
    blocks: Arc<Blocks>,
}

/// The blocks of one stream in one format, for readers outside the fan-out's own task.
struct Blocks {
    ring: Mutex<Ring<Block>>,
    /// Moves with every block.
    head: watch::Sender<Head>,
}

#[derive(Clone, Copy, Default)]
struct Head {
    next: u64,
    over: bool,
}

impl Blocks {
    fn ring(&self) -> MutexGuard<'_, Ring<Block>> {
        self.ring.lock().expect("no panic while the blocks are locked")
    }
}

impl Fanouts {
    /// No fan-outs yet. `pace` says how long bytes may wait so that writes merge.
    pub fn new(pace: Arc<Pace>) -> Fanouts {
        Fanouts { running: Arc::default(), pace, tasks: TaskTracker::new() }
    }

    /// Hands a socket over. It is fed until it leaves, stalls, or the stream ends; then its session is ended.
    pub async fn join(&self, viewing: Viewing, format: Format, viewer: Viewer) {
        let mut command = Command::Join(viewer);
        loop {
            let fanout = self.fanout(&mut self.running(), &viewing, format);
            match fanout.commands.send(command).await {
                Ok(()) => return,
                // It ended between our look and our word: the next one is new.
                Err(mpsc::error::SendError(back)) => command = back,
            }
        }
    }

    /// Tells that a viewer's peer is gone.
    pub async fn leave(&self, stream: &StreamId, format: Format, session: Arc<Session>) {
        self.tell(stream, format, Command::Leave(session)).await;
    }

    /// Sends a viewer something of its own, between two messages.
    pub async fn say(&self, stream: &StreamId, format: Format, session: Arc<Session>, bytes: Bytes) {
        self.tell(stream, format, Command::Say(session, bytes)).await;
    }

    async fn tell(&self, stream: &StreamId, format: Format, command: Command) {
        let fanout = self.running().get(&(stream.clone(), format)).cloned();
        if let Some(fanout) = fanout {
            // A fan-out that just ended has dropped its viewers already.
            fanout.commands.send(command).await.ok();
        }
    }

    /// The same bytes for a viewer whose socket cannot be handed over.
    pub fn reader(&self, viewing: Viewing, format: Format) -> BlockReader {
        let mut running = self.running();
        let fanout = self.fanout(&mut running, &viewing, format);
        // Under the lock, so that a fan-out about to end counts this reader.
        let mut head = fanout.blocks.head.subscribe();
        head.mark_changed();
        BlockReader { blocks: fanout.blocks, head, cursor: Cursor::default(), _viewing: viewing }
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<Key, Fanout>> {
        lock(&self.running)
    }

    fn fanout(&self, running: &mut BTreeMap<Key, Fanout>, viewing: &Viewing, format: Format) -> Fanout {
        let key = (viewing.stream().id().clone(), format);
        if let Some(fanout) = running.get(&key)
            && !fanout.commands.is_closed()
        {
            return fanout.clone();
        }
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let blocks =
            Arc::new(Blocks { ring: Mutex::new(Ring::new(RingLimits::default())), head: watch::Sender::default() });
        let fanout = Fanout { commands, blocks: blocks.clone() };
        let span = info_span!("fanout", stream = %key.0, ?format);
        let task = Task {
            key: key.clone(),
            table: self.running.clone(),
            commands: receiver,
            viewers: Vec::new(),
            packer: Packer::new(format),
            ring: Ring::new(RingLimits::default()),
            blocks,
            pace: self.pace.clone(),
            opened_at: Instant::now(),
        };
        self.tasks.spawn(task.run(viewing.clone().subscribe()).instrument(span));
        running.insert(key, fanout.clone());
        fanout
    }
}

fn lock(table: &Mutex<BTreeMap<Key, Fanout>>) -> MutexGuard<'_, BTreeMap<Key, Fanout>> {
    table.lock().expect("no panic while the table is locked")
}

/// A position in the blocks, and what the decoder behind it has been told.
#[derive(Default)]
struct Cursor {
    /// Number of the next block; `None` until there is a key frame to start at.
    next: Option<u64>,
    told: Option<Arc<Preamble>>,
}

impl Cursor {
    /// The next bytes to send and the number of blocks lost before them; `None` if there are none yet.
    fn advance(&mut self, ring: &Ring<Block>) -> Option<(Bytes, u64)> {
        let (position, skipped) = ring.resume(self.next)?;
        let block = ring.from(position).next()?;
        if let Some(start) = &block.start
            && (skipped > 0 || self.told.is_none())
            && !self.told.as_ref().is_some_and(|told| Arc::ptr_eq(told, start))
        {
            let first = self.told.replace(start.clone()).is_none();
            self.next = Some(position);
            return Some((if first { start.opening.clone() } else { start.headers.clone() }, skipped));
        }
        self.next = Some(position + 1);
        Some((block.data.clone(), skipped))
    }

    /// The blocks that follow without a gap.
    fn ahead<'a>(&self, ring: &'a Ring<Block>) -> impl Iterator<Item = &'a Block> {
        let next = self.next.filter(|_| matches!(ring.resume(self.next), Some((_, 0))));
        next.map(|next| ring.from(next)).into_iter().flatten()
    }
}

/// A viewer inside the task.
struct Fed {
    socket: Arc<TcpStream>,
    session: Arc<Session>,
    /// What is being sent. Holding it lets a viewer finish its message after the ring has moved on.
    partial: Bytes,
    cursor: Cursor,
    /// Since when the socket has been full and accepted nothing.
    full_since: Option<Instant>,
}

struct Task {
    key: Key,
    table: Arc<Mutex<BTreeMap<Key, Fanout>>>,
    commands: mpsc::Receiver<Command>,
    viewers: Vec<Fed>,
    packer: Packer,
    ring: Ring<Block>,
    blocks: Arc<Blocks>,
    pace: Arc<Pace>,
    /// When the open block got its first frame.
    opened_at: Instant,
}

impl Task {
    async fn run(mut self, mut subscription: Subscription) {
        let mut items = Vec::new();
        let mut stall_check = Instant::now() + STALL;
        loop {
            let close_at = self.opened_at + self.pace.merge().max(SOUND_WAITS);
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(Command::Join(viewer)) => self.join(viewer),
                    Some(Command::Leave(session)) => {
                        self.drop_where(Why::PeerLeft, |fed| Arc::ptr_eq(&fed.session, &session));
                    }
                    Some(Command::Say(session, bytes)) => {
                        // What is being sent ends where a message ends.
                        if let Some(fed) = self.viewers.iter_mut().find(|fed| Arc::ptr_eq(&fed.session, &session)) {
                            fed.partial = [std::mem::take(&mut fed.partial), bytes].concat().into();
                        }
                    }
                    None => break,
                },
                read = subscription.read(&mut items) => {
                    self.take(&mut items);
                    if read.is_err() {
                        self.close_block();
                        break;
                    }
                }
                () = poll_fn(|cx| poll_writable(&mut self.viewers, &self.ring, cx)) => {}
                () = sleep_until(close_at), if !self.packer.is_empty() => self.close_block(),
                () = sleep_until(stall_check) => {
                    stall_check = Instant::now() + Duration::from_secs(1);
                    self.drop_where(Why::Stalled, |fed| fed.full_since.is_some_and(|since| since.elapsed() >= STALL));
                }
            }
            if self.viewers.is_empty() && self.unwanted() {
                return;
            }
        }
        lock(&self.table).remove(&self.key);
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            if let Command::Join(viewer) = command {
                viewer.session.finish(Why::StreamEnded);
            }
        }
        self.drop_where(Why::StreamEnded, |_| true);
        self.blocks.head.send_modify(|head| head.over = true);
    }

    /// Takes this fan-out off the table if nobody can have joined meanwhile.
    fn unwanted(&mut self) -> bool {
        let mut table = lock(&self.table);
        let unwanted = self.commands.is_empty() && self.blocks.head.receiver_count() == 0;
        if unwanted {
            // From here on joins fail to send, look again and find no fan-out.
            self.commands.close();
            table.remove(&self.key);
        }
        unwanted
    }

    fn take(&mut self, items: &mut Vec<Item>) {
        for item in items.drain(..) {
            match item {
                Item::Tracks(tracks) => {
                    self.close_block();
                    self.packer.set_tracks(tracks);
                }
                Item::Frame(frame) => {
                    if self.packer.starts_gop(&frame) {
                        self.close_block();
                    }
                    if self.packer.is_empty() {
                        self.opened_at = Instant::now();
                    }
                    self.packer.push(&frame);
                    if self.packer.is_video(frame.track) && self.opened_at.elapsed() >= self.pace.merge() {
                        self.close_block();
                    }
                }
                // The next frame is a key frame, and players take the step in time as it is.
                Item::Gap { skipped } => debug!(skipped, "fan-out lagged"),
            }
        }
    }

    /// Closes the open block and sends it to everybody who is not behind a full socket.
    fn close_block(&mut self) {
        let Some(block) = self.packer.close() else { return };
        let (size, key, at_ms) = (block.data.len(), block.start.is_some(), self.packer.latest_ms());
        // Twice, so that readers outside never hold a lock that the writes wait for. The bytes are shared.
        self.blocks.ring().push(block.clone(), size, key, at_ms);
        self.ring.push(block, size, key, at_ms);
        self.blocks.head.send_modify(|head| head.next = self.ring.head());
        let mut index = 0;
        while let Some(fed) = self.viewers.get_mut(index) {
            match if fed.full_since.is_none() { fed.feed(&self.ring) } else { Ok(()) } {
                Ok(()) => index += 1,
                Err(why) => self.viewers.swap_remove(index).session.finish(why),
            }
        }
    }

    fn join(&mut self, viewer: Viewer) {
        let Viewer { greeting, socket, session } = viewer;
        let mut fed = Fed { socket, session, partial: greeting, cursor: Cursor::default(), full_since: None };
        // Greeting and preamble in one piece, and the GOP goes with them in one write.
        if let Some((opening, _)) = fed.cursor.advance(&self.ring) {
            fed.partial = [fed.partial, opening].concat().into();
        }
        match fed.feed(&self.ring) {
            Ok(()) => self.viewers.push(fed),
            Err(why) => fed.session.finish(why),
        }
    }

    fn drop_where(&mut self, why: Why, which: impl Fn(&Fed) -> bool) {
        self.viewers.retain(|fed| {
            let leaves = which(fed);
            if leaves {
                fed.session.finish(why);
            }
            !leaves
        });
    }
}

/// Feeds viewers whose full socket has room again; ready when one of them left.
fn poll_writable(viewers: &mut Vec<Fed>, ring: &Ring<Block>, cx: &mut Context<'_>) -> Poll<()> {
    for index in 0..viewers.len() {
        let fed = &mut viewers[index];
        // Feeding clears the readiness when the socket is full again; polling once more puts the waker in place.
        while fed.full_since.is_some()
            && let Poll::Ready(ready) = fed.socket.poll_write_ready(cx)
        {
            if let Err(why) = ready.map_err(|_| Why::PeerLeft).and_then(|()| fed.feed(ring)) {
                viewers.swap_remove(index).session.finish(why);
                return Poll::Ready(());
            }
        }
    }
    Poll::Pending
}

impl Fed {
    /// Writes until there is nothing left or the socket is full.
    fn feed(&mut self, ring: &Ring<Block>) -> Result<(), Why> {
        while !self.partial.is_empty() || self.advance(ring) {
            let mut slices = [IoSlice::new(&[]); SLICES];
            slices[0] = IoSlice::new(&self.partial);
            let mut used = 1;
            for (slice, block) in slices[1..].iter_mut().zip(self.cursor.ahead(ring)) {
                *slice = IoSlice::new(&block.data);
                used += 1;
            }
            match self.socket.try_write_vectored(&slices[..used]) {
                Ok(0) => return Err(Why::PeerLeft),
                Ok(written) => {
                    self.session.add_bytes(written as u64);
                    self.full_since = None;
                    self.consume(written, ring);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.full_since.get_or_insert_with(Instant::now);
                    return Ok(());
                }
                Err(_) => return Err(Why::PeerLeft),
            }
        }
        self.full_since = None;
        Ok(())
    }

    /// Makes the next block the one being sent; false if there is none.
    fn advance(&mut self, ring: &Ring<Block>) -> bool {
        let Some((bytes, skipped)) = self.cursor.advance(ring) else { return false };
        self.session.add_skipped(skipped);
        self.partial = bytes;
        true
    }

    fn consume(&mut self, mut written: usize, ring: &Ring<Block>) {
        loop {
            let now = written.min(self.partial.len());
            self.partial.advance(now);
            written -= now;
            // What was written beyond the partial came from the blocks ahead, in this order.
            if written == 0 || !self.advance(ring) {
                return;
            }
        }
    }
}

/// Reads a stream's blocks for a viewer that is fed by a task of its own.
pub struct BlockReader {
    blocks: Arc<Blocks>,
    head: watch::Receiver<Head>,
    cursor: Cursor,
    _viewing: Viewing,
}

impl BlockReader {
    /// Waits for blocks and appends all there are to `out`, the preamble first of all; gives the
    /// number of blocks lost to slowness. `None` once the stream is over. Cancel safe.
    pub async fn read(&mut self, out: &mut Vec<Bytes>) -> Option<u64> {
        loop {
            self.head.changed().await.ok()?;
            let over = self.head.borrow_and_update().over;
            let mut lost = 0;
            let ring = self.blocks.ring();
            while let Some((bytes, skipped)) = self.cursor.advance(&ring) {
                out.push(bytes);
                lost += skipped;
            }
            drop(ring);
            if over {
                // Come back once more for the end itself.
                self.head.mark_changed();
            }
            if !out.is_empty() {
                return Some(lost);
            }
            if over {
                return None;
            }
        }
    }
}
