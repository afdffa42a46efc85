//! RTMP: players and devices that publish to us.
//!
//! A conversation begins in a task of its own. Once a plain player is let in, its socket goes to the
//! fan-out and the task keeps reading commands; a player over TLS is fed by its task. A publisher's
//! messages become frames of the stream that its key names.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use av::container::flv::{FrameReader, TagType};
use av::{MediaKind, UnixMicros};
use bytes::{Buf, Bytes};
use proto::rtmp::server::{Event, Media, ServerSession};
use proto::rtmp::{Output, StreamPath};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{Instrument, debug, debug_span, info};

use super::block::Format;
use super::fanout::{STALL, Viewer};
use super::playback::Showing;
use super::session::{Protocol, Session, Why};
use super::{Gateway, Kind, Refused, says};
use crate::listener::Listener;

/// From the connection to its wish: a peer that is slower than this is not a player.
const WISH_WITHIN: Duration = Duration::from_secs(10);
/// A publisher that sends nothing for this long is gone: half-open peers are freed within 15 s (T9).
const SILENCE: Duration = Duration::from_secs(12);
/// A player of footage that stands still may take nothing for this long.
const SILENCE_OF_PAUSED: Duration = Duration::from_secs(3600);
/// Read at once from a peer that has not been let in.
const READ: usize = 4 << 10;
/// While nobody waits for each picture, so much of a publisher gathers in its socket, for so long at most: being
/// woken by every packet costs more than taking what it brings.
const GATHERED: usize = 48 << 10;
const GATHER_MAX: Duration = Duration::from_millis(250);
/// Read at once from a publisher: a key frame in a few.
const SCRATCH_BYTES: usize = 64 << 10;

/// Accepts until the gateway is cancelled.
pub async fn accept(gateway: Arc<Gateway>, listener: Listener, tls: Option<TlsAcceptor>) {
    loop {
        let (socket, peer, permit) = tokio::select! {
            biased;
            () = gateway.cancel.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        // A socket that refuses the option still works, only later.
        socket.set_nodelay(true).ok();
        let (gateway, tls) = (gateway.clone(), tls.clone());
        let tasks = gateway.tasks.clone();
        let connection = async move {
            match tls {
                None => serve_plain(&gateway, socket, peer).await,
                Some(tls) => {
                    let greeted = Box::pin(timeout(WISH_WITHIN, tls.accept(socket))).await;
                    if let Ok(Ok(socket)) = greeted {
                        Box::pin(serve_tls(&gateway, socket, peer)).await;
                    }
                }
            }
            drop(permit);
        };
        tasks.spawn(connection.instrument(debug_span!("rtmp", %peer)));
    }
}

/// What a peer came for.
enum Wish {
    Play(StreamPath),
    Publish(StreamPath),
}

/// What a viewer's task holds while it watches is what it costs, so whatever is over by then (or never
/// comes) is boxed and not part of it.
async fn serve_plain(gateway: &Arc<Gateway>, mut socket: TcpStream, peer: SocketAddr) {
    let mut rtmp = Box::new(ServerSession::new());
    match Box::pin(wish(gateway, &mut socket, &mut rtmp)).await {
        None => {}
        Some(Wish::Publish(path)) => Box::pin(publish(gateway, &mut socket, rtmp, &path, peer)).await,
        Some(Wish::Play(path)) if path.path.starts_with(Kind::Footage.folder()) => {
            Box::pin(show(gateway, socket, rtmp, &path, peer)).await;
        }
        Some(Wish::Play(path)) => {
            let admitted = Box::pin(admit(gateway, &mut socket, &mut rtmp, &path, peer)).await;
            drop(path);
            let Some((viewing, session)) = admitted else { return };
            let (socket, stream) = (Arc::new(socket), viewing.stream().id().clone());
            let viewer = Viewer { greeting: transmit(&mut rtmp), socket: socket.clone(), session: session.clone() };
            Box::pin(gateway.fanouts.join(viewing, Format::Rtmp, viewer)).await;
            obey(gateway, &socket, rtmp, &session).await;
            Box::pin(gateway.fanouts.leave(&stream, Format::Rtmp, session)).await;
        }
    }
}

async fn serve_tls(gateway: &Arc<Gateway>, mut socket: TlsStream<TcpStream>, peer: SocketAddr) {
    let mut rtmp = Box::new(ServerSession::new());
    match wish(gateway, &mut socket, &mut rtmp).await {
        None => {}
        Some(Wish::Publish(path)) => publish(gateway, &mut socket, rtmp, &path, peer).await,
        Some(Wish::Play(path)) if path.path.starts_with(Kind::Footage.folder()) => {
            show(gateway, socket, rtmp, &path, peer).await;
        }
        Some(Wish::Play(path)) => {
            let Some((viewing, session)) = admit(gateway, &mut socket, &mut rtmp, &path, peer).await else { return };
            let mut reader = gateway.fanouts.reader(viewing, Format::Rtmp);
            let mut buffer = vec![0; 512];
            let mut blocks = Vec::new();
            blocks.extend(Some(transmit(&mut rtmp)));
            let why = loop {
                for block in blocks.drain(..) {
                    session.add_bytes(block.len() as u64);
                    match timeout(STALL, socket.write_all(&block)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(_)) => session.finish(Why::PeerLeft),
                        Err(_) => session.finish(Why::Stalled),
                    }
                }
                if !matches!(timeout(STALL, socket.flush()).await, Ok(Ok(()))) {
                    break Why::PeerLeft;
                }
                tokio::select! {
                    biased;
                    () = session.over() => break Why::PeerLeft,
                    read = socket.read(&mut buffer) => match read {
                        Ok(n @ 1..) => match heard(&mut rtmp, &buffer[..n]) {
                            Ok(answer) => blocks.push(answer),
                            Err(why) => break why,
                        },
                        Ok(0) | Err(_) => break Why::PeerLeft,
                    },
                    read = reader.read(&mut blocks) => match read {
                        Some(lost) => session.add_skipped(lost),
                        None => break Why::StreamEnded,
                    },
                }
            };
            session.finish(why);
        }
    }
}

/// Talks until the peer says what it wants; `None` when it left, took too long or spoke something else.
async fn wish<S: AsyncRead + AsyncWrite + Unpin>(
    gateway: &Gateway,
    socket: &mut S,
    rtmp: &mut ServerSession,
) -> Option<Wish> {
    let deadline = Instant::now() + WISH_WITHIN;
    let mut buffer = vec![0; READ];
    loop {
        let n = tokio::select! {
            biased;
            () = gateway.cancel.cancelled() => return None,
            read = timeout_at(deadline, socket.read(&mut buffer)) => read.ok()?.ok()?,
        };
        if n == 0 {
            return None;
        }
        let understood = rtmp.handle_input(&buffer[..n]);
        let mut wish = None;
        while let Some(output) = rtmp.poll_output() {
            match output {
                Output::Transmit(bytes) => timeout_at(deadline, socket.write_all(&bytes)).await.ok()?.ok()?,
                Output::Event(Event::Play(path)) => wish = Some(Wish::Play(path)),
                Output::Event(Event::Publish(path)) => wish = Some(Wish::Publish(path)),
                Output::Event(Event::Closed) => return None,
                Output::Event(_) => {}
            }
        }
        timeout_at(deadline, socket.flush()).await.ok()?.ok()?;
        if let Err(error) = understood {
            gateway.sessions.count_malformed();
            debug!(error = %error, fault = %error.fault, "malformed RTMP");
            return None;
        }
        if wish.is_some() {
            return wish;
        }
    }
}

/// Lets a player in, or tells it why not.
async fn admit<S: AsyncWrite + Unpin>(
    gateway: &Arc<Gateway>,
    socket: &mut S,
    rtmp: &mut ServerSession,
    path: &StreamPath,
    peer: SocketAddr,
) -> Option<(media::Viewing, Arc<Session>)> {
    let takes_h265 = takes_h265(rtmp, path);
    match gateway.admit(&path.path, &path.query, takes_h265, peer, Protocol::Rtmp).await {
        Ok(admitted) => {
            if rtmp.accept_play().is_err() {
                admitted.session.finish(Why::Malformed);
                return None;
            }
            Some((admitted.viewing, admitted.session))
        }
        Err(refused) => {
            turn_away(socket, rtmp, &refused).await;
            None
        }
    }
}

fn takes_h265(rtmp: &ServerSession, path: &StreamPath) -> bool {
    ["hvc1", "hev1"].iter().any(|four_cc| rtmp.connect().can_take(four_cc)) || says(&path.query, "supportH265")
}

/// Tells a player why it is not let in.
async fn turn_away<S: AsyncWrite + Unpin>(socket: &mut S, rtmp: &mut ServerSession, refused: &Refused) {
    let code = match refused {
        Refused::Cloud(cloud::Error::GrantInvalid) | Refused::Footage(media::FootageError::Empty) => {
            "NetStream.Play.StreamNotFound"
        }
        _ => "NetStream.Play.Failed",
    };
    debug!(%refused, "player refused");
    refuse(socket, rtmp, code, refused.text().trim_end()).await;
}

/// Plays footage to one player, who may seek and pause: one task, which writes no faster than the socket
/// takes and hears commands meanwhile.
async fn show<S: AsyncRead + AsyncWrite + Unpin>(
    gateway: &Arc<Gateway>,
    mut socket: S,
    mut rtmp: Box<ServerSession>,
    path: &StreamPath,
    peer: SocketAddr,
) {
    let takes_h265 = takes_h265(&rtmp, path);
    let watched = match gateway.watch(&path.path, &path.query, takes_h265, peer, Protocol::Rtmp).await {
        Ok(watched) => watched,
        Err(refused) => return turn_away(&mut socket, &mut rtmp, &refused).await,
    };
    let mut showing = Showing::new(watched, Format::Rtmp);
    if rtmp.accept_footage().is_err() {
        return showing.finish(Why::Malformed);
    }
    let why = Conversation::new(socket, rtmp).show(&mut showing).await;
    showing.finish(why);
}

/// A player of footage and what is on its way to it.
struct Conversation<S> {
    socket: S,
    rtmp: Box<ServerSession>,
    /// Whole messages in each piece, but for the first, whose beginning may be sent already.
    waiting: VecDeque<Bytes>,
    begun: bool,
    flushed: bool,
    /// When the socket last took something.
    moved: Instant,
    paused: bool,
    /// The last seek, which is not answered yet.
    seeking: bool,
    /// All that was recorded is on its way.
    ended: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conversation<S> {
    fn new(socket: S, rtmp: Box<ServerSession>) -> Conversation<S> {
        Conversation {
            socket,
            rtmp,
            waiting: VecDeque::new(),
            begun: false,
            flushed: true,
            moved: Instant::now(),
            paused: false,
            seeking: false,
            ended: false,
        }
    }

    async fn show(&mut self, showing: &mut Showing) -> Why {
        let session = showing.session().clone();
        let mut buffer = vec![0; 512];
        let mut next = Vec::new();
        self.say();
        loop {
            if self.ended && self.waiting.is_empty() && self.flushed {
                return Why::StreamEnded;
            }
            let (reading, writing) = (self.waiting.is_empty() && !self.ended, !self.waiting.is_empty());
            // Who stands still may stop reading too.
            let patience = if self.paused { SILENCE_OF_PAUSED } else { STALL };
            let (mut from, mut to) = tokio::io::split(&mut self.socket);
            tokio::select! {
                biased;
                () = session.over() => return Why::PeerLeft,
                read = from.read(&mut buffer) => match read {
                    Ok(n @ 1..) => match self.heard(&buffer[..n], showing) {
                        Ok(()) => {}
                        Err(why) => return why,
                    },
                    Ok(0) | Err(_) => return Why::PeerLeft,
                },
                written = timeout_at(self.moved + patience, write_some(&mut to, &self.waiting)),
                    if writing || !self.flushed => match written {
                    Err(_) => return Why::Stalled,
                    Ok(Err(_)) => return Why::PeerLeft,
                    Ok(Ok(written)) => {
                        session.add_bytes(written as u64);
                        self.sent(written);
                    }
                },
                more = showing.read(&mut next), if reading => {
                    let more = more.unwrap_or_else(|error| {
                        debug!(%error, "footage breaks off");
                        false
                    });
                    if std::mem::take(&mut self.seeking) {
                        self.rtmp.accept_seek();
                        self.say();
                    }
                    self.moved = Instant::now();
                    self.waiting.extend(next.drain(..));
                    if !more {
                        self.ended = true;
                        self.rtmp.end();
                        self.say();
                    }
                }
            }
        }
    }

    /// Queues what the session has to say.
    fn say(&mut self) {
        let words = transmit(&mut self.rtmp);
        if !words.is_empty() {
            if self.waiting.is_empty() {
                self.moved = Instant::now();
            }
            self.waiting.push_back(words);
        }
    }

    /// The socket took so many bytes of the first piece; none when it sent what it had kept.
    fn sent(&mut self, written: usize) {
        self.moved = Instant::now();
        self.flushed = written == 0;
        let Some(first) = self.waiting.front_mut() else { return };
        first.advance(written);
        self.begun = !first.is_empty();
        if !self.begun {
            self.waiting.pop_front();
        }
    }

    fn heard(&mut self, input: &[u8], showing: &mut Showing) -> Result<(), Why> {
        self.rtmp.handle_input(input).map_err(|_| Why::Malformed)?;
        let mut answer = Vec::new();
        let mut sought = None;
        while let Some(output) = self.rtmp.poll_output() {
            match output {
                Output::Transmit(bytes) => answer.extend_from_slice(&bytes),
                Output::Event(Event::Closed) => return Err(Why::PeerLeft),
                Output::Event(Event::Seek(at_ms)) => sought = Some(at_ms),
                Output::Event(Event::Pause(pause)) => {
                    self.paused = pause;
                    showing.pause(pause);
                }
                Output::Event(_) => {}
            }
        }
        if let Some(at_ms) = sought.filter(|_| !self.ended) {
            showing.seek(at_ms);
            self.seeking = true;
            // What lay in wait is not wanted any more, but a message that has begun must end.
            self.waiting.truncate(usize::from(self.begun));
        }
        if !answer.is_empty() {
            self.moved = if self.waiting.is_empty() { Instant::now() } else { self.moved };
            self.waiting.push_back(answer.into());
        }
        Ok(())
    }
}

/// Writes some of the first piece, or sends what the socket has kept when there is none. Cancel safe.
async fn write_some<W: AsyncWrite + Unpin>(socket: &mut W, waiting: &VecDeque<Bytes>) -> io::Result<usize> {
    match waiting.front() {
        Some(first) => match socket.write(first).await? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            written => Ok(written),
        },
        None => socket.flush().await.map(|()| 0),
    }
}

async fn refuse<S: AsyncWrite + Unpin>(socket: &mut S, rtmp: &mut ServerSession, code: &str, text: &str) {
    rtmp.reject(code, text);
    let farewell = transmit(rtmp);
    // A refused peer that does not even read its answer has lost nothing.
    timeout(STALL, async {
        socket.write_all(&farewell).await?;
        socket.shutdown().await
    })
    .await
    .ok();
}

/// What the session wants sent now.
fn transmit(rtmp: &mut ServerSession) -> Bytes {
    let mut bytes = Vec::new();
    while let Some(output) = rtmp.poll_output() {
        if let Output::Transmit(more) = output {
            bytes.extend_from_slice(&more);
        }
    }
    bytes.into()
}

/// Takes a player's words; gives the answer, or why it is over.
fn heard(rtmp: &mut ServerSession, input: &[u8]) -> Result<Bytes, Why> {
    rtmp.handle_input(input).map_err(|_| Why::Malformed)?;
    let mut answer = Vec::new();
    while let Some(output) = rtmp.poll_output() {
        match output {
            Output::Transmit(bytes) => answer.extend_from_slice(&bytes),
            Output::Event(Event::Closed) => return Err(Why::PeerLeft),
            Output::Event(_) => {}
        }
    }
    Ok(answer.into())
}

/// Reads a player's commands while the fan-out feeds it, until either is over.
async fn obey(gateway: &Gateway, socket: &TcpStream, mut rtmp: Box<ServerSession>, session: &Arc<Session>) {
    while let Some(words) = session.next_words(socket).await {
        match heard(&mut rtmp, &words) {
            Ok(answer) if answer.is_empty() => {}
            Ok(answer) => gateway.fanouts.say(&session.stream, Format::Rtmp, session.clone(), answer).await,
            Err(why) => return session.finish(why),
        }
    }
}

/// A socket that can let bytes gather before it wakes who reads it.
trait Gather: AsyncRead + AsyncWrite + Unpin {
    fn tcp(&self) -> &TcpStream;

    /// From now on the socket is readable when so many bytes are there (`SO_RCVLOWAT`, socket(7)); at once when
    /// they are already.
    #[allow(unsafe_code)]
    fn gather(&self, bytes: usize) {
        let bytes = bytes as libc::c_int;
        // A socket that refuses the option is readable as ever.
        // SAFETY: the descriptor is open as long as `self` lives; pointer and length are those of `bytes`.
        unsafe {
            libc::setsockopt(
                self.tcp().as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_RCVLOWAT,
                (&raw const bytes).cast(),
                size_of_val(&bytes) as libc::socklen_t,
            );
        }
    }
}

impl Gather for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Gather for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// Takes a publisher's stream until it ends.
async fn publish<S: Gather>(
    gateway: &Arc<Gateway>,
    socket: &mut S,
    mut rtmp: Box<ServerSession>,
    path: &StreamPath,
    peer: SocketAddr,
) {
    let stream = match gateway.cloud.verify_publish(&path.path, &path.query) {
        Ok(grant) => grant.stream,
        Err(refused) => {
            debug!(%refused, "publisher refused");
            return refuse(socket, &mut rtmp, "NetStream.Publish.BadName", &refused.to_string()).await;
        }
    };
    let Ok(mut writer) = gateway.cloud.hub().publish(stream.clone()) else {
        return refuse(socket, &mut rtmp, "NetStream.Publish.BadName", "somebody publishes this already").await;
    };
    if rtmp.accept_publish().is_err() {
        return gateway.sessions.count_malformed();
    }
    let session = gateway.sessions.begin(peer, Protocol::RtmpPublish, stream.clone(), None);
    info!(%stream, "publishing");
    let mut frames = FrameReader::new();
    let mut fault = String::new();
    let mut gathers = false;
    let why = 'publish: loop {
        while let Some(output) = rtmp.poll_output() {
            match output {
                Output::Transmit(bytes) => {
                    if !matches!(timeout(STALL, socket.write_all(&bytes)).await, Ok(Ok(()))) {
                        break 'publish Why::PeerLeft;
                    }
                }
                Output::Event(Event::Media(message)) => {
                    if let Err(error) = write(&mut writer, &mut frames, message) {
                        debug!(%error, "malformed media");
                        fault = error.to_string();
                        break 'publish Why::Malformed;
                    }
                }
                Output::Event(Event::Closed) => break 'publish Why::PeerLeft,
                Output::Event(_) => {}
            }
        }
        let patience = if gathers { GATHER_MAX } else { SILENCE };
        let read = tokio::select! {
            biased;
            () = session.over() => break Why::Killed,
            read = timeout(patience, read_with(socket, |bytes| (bytes.len(), rtmp.handle_input(bytes)))) => read,
        };
        let gather = match read {
            // Whatever is there.
            Err(_) if gathers => false,
            Err(_) => break Why::Stalled,
            Ok(Ok((0, _)) | Err(_)) => break Why::PeerLeft,
            Ok(Ok((n, understood))) => {
                session.add_bytes(n as u64);
                if let Err(error) = understood {
                    debug!(error = %error, fault = %error.fault, "malformed RTMP");
                    break Why::Malformed;
                }
                // A viewer who comes meanwhile begins with what the ring has.
                !writer.stream().is_awaited()
            }
        };
        if std::mem::replace(&mut gathers, gather) != gather {
            socket.gather(if gather { GATHERED } else { 1 });
        }
    };
    info!(%stream, why = why.name(), "publishing ended");
    writer.fail("publish", why.name());
    session.finish(why);
    if why == Why::Malformed {
        // A fault in RTMP itself has been put into words by the session, which then says no more.
        refuse(socket, &mut rtmp, "NetStream.Publish.Failed", &fault).await;
    }
}

thread_local! {
    /// Where publishers' bytes are read to, on their way into messages.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH_BYTES]);
}

/// Gives `take` what can be read at once, nothing at the end. The memory is shared by all that a thread
/// reads, since a connection that waits needs none. Cancel safe.
async fn read_with<T>(socket: &mut (impl AsyncRead + Unpin), mut take: impl FnMut(&[u8]) -> T) -> io::Result<T> {
    poll_fn(|cx| {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(&mut *socket).poll_read(cx, &mut buffer))?;
            Poll::Ready(Ok(take(buffer.filled())))
        })
    })
    .await
}

fn write(
    writer: &mut media::StreamWriter,
    frames: &mut FrameReader,
    message: Media,
) -> Result<(), av::container::flv::Error> {
    let tag = match message.kind {
        MediaKind::Video => TagType::Video,
        MediaKind::Audio => TagType::Audio,
    };
    let output = frames.push(tag, message.timestamp, message.body, wall_clock())?;
    if let Some(tracks) = output.tracks {
        writer.set_tracks(tracks.to_vec());
    }
    if let Some(frame) = output.frame {
        // A frame whose track was never announced cannot be decoded by anybody.
        writer.write(frame).ok();
    }
    Ok(())
}

pub(super) fn wall_clock() -> UnixMicros {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    UnixMicros(since.as_micros() as i64)
}
