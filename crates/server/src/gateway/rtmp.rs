//! RTMP: players and devices that publish to us.
//!
//! A conversation begins in a task of its own. Once a plain player is let in, its socket goes to the
//! fan-out and the task keeps reading commands; a player over TLS is fed by its task. A publisher's
//! messages become frames of the stream that its key names.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use av::container::flv::{FrameReader, TagType};
use av::{MediaKind, UnixMicros};
use bytes::Bytes;
use proto::rtmp::server::{Event, Media, ServerSession};
use proto::rtmp::{Output, StreamPath};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tracing::{Instrument, debug, debug_span, info};

use super::block::Format;
use super::fanout::{STALL, Viewer};
use super::session::{Protocol, Session, Why};
use super::{Gateway, Refused};
use crate::listener::Listener;

/// From the connection to its wish: a peer that is slower than this is not a player.
const WISH_WITHIN: Duration = Duration::from_secs(10);
/// A publisher that sends nothing for this long is gone: half-open peers are freed within 15 s (T9).
const SILENCE: Duration = Duration::from_secs(12);
/// Read at once from a peer that has not been let in.
const READ: usize = 4 << 10;
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

async fn serve_tls<S: AsyncRead + AsyncWrite + Unpin>(gateway: &Arc<Gateway>, mut socket: S, peer: SocketAddr) {
    let mut rtmp = Box::new(ServerSession::new());
    match wish(gateway, &mut socket, &mut rtmp).await {
        None => {}
        Some(Wish::Publish(path)) => publish(gateway, &mut socket, rtmp, &path, peer).await,
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
    let takes_h265 = ["hvc1", "hev1"].iter().any(|four_cc| rtmp.connect().can_take(four_cc));
    match gateway.admit(&path.path, &path.query, takes_h265, peer, Protocol::Rtmp).await {
        Ok(admitted) => {
            if rtmp.accept_play().is_err() {
                admitted.session.finish(Why::Malformed);
                return None;
            }
            Some((admitted.viewing, admitted.session))
        }
        Err(refused) => {
            let code = match &refused {
                Refused::Cloud(cloud::Error::GrantInvalid) => "NetStream.Play.StreamNotFound",
                _ => "NetStream.Play.Failed",
            };
            debug!(%refused, "player refused");
            refuse(socket, rtmp, code, &refused.to_string()).await;
            None
        }
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

/// Takes a publisher's stream until it ends.
async fn publish<S: AsyncRead + AsyncWrite + Unpin>(
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
        let read = tokio::select! {
            biased;
            () = session.over() => break Why::Killed,
            read = timeout(SILENCE, read_with(socket, |bytes| (bytes.len(), rtmp.handle_input(bytes)))) => read,
        };
        match read {
            Err(_) => break Why::Stalled,
            Ok(Ok((0, _)) | Err(_)) => break Why::PeerLeft,
            Ok(Ok((n, understood))) => {
                session.add_bytes(n as u64);
                if let Err(error) = understood {
                    debug!(error = %error, fault = %error.fault, "malformed RTMP");
                    break Why::Malformed;
                }
            }
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

fn wall_clock() -> UnixMicros {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    UnixMicros(since.as_micros() as i64)
}
