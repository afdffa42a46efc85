//! HTTP-FLV and WebSocket-FLV under the signed path with `.flv`.
//!
//! A plain connection whose first request asks for FLV never reaches the HTTP server: its socket goes
//! to the fan-out ([`take`]). Everything else (TLS, a connection used before, WebSocket, footage) is an
//! ordinary route with the same answers.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::block::Format;
use super::fanout::{BlockReader, STALL, Viewer};
use super::playback::Showing;
use super::session::{Leaves, Protocol, Session, Why};
use super::{Admitted, Gateway, Kind, says};

/// A request head larger than this is not one of ours to take; the HTTP server has its own limit.
const HEAD_MAX: usize = 8 << 10;

/// Takes the connection if its first request is one for FLV, complete in the first bytes; else gives
/// it back untouched. Waits for the first bytes; the caller bounds that in time.
pub async fn take(gateway: &Arc<Gateway>, socket: TcpStream, peer: SocketAddr) -> Option<TcpStream> {
    let mut head = vec![0; HEAD_MAX];
    let seen = socket.peek(&mut head).await.ok()?;
    let Some((length, target)) = flv_request(&head[..seen]) else { return Some(socket) };
    // The bytes are there already: this takes out what was peeked at.
    let mut taken = 0;
    while taken < length {
        socket.readable().await.ok()?;
        match socket.try_read(&mut head[taken..length]) {
            Ok(0) => return None,
            Ok(n) => taken += n,
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
    }
    drop(head);
    gateway.tasks.spawn(serve_taken(gateway.clone(), socket, peer, target));
    None
}

/// Length of the head and the target, if this is a whole GET of a play path without upgrade.
fn flv_request(bytes: &[u8]) -> Option<(usize, String)> {
    if !bytes.starts_with(b"GET /v3/openlive/") {
        return None;
    }
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(length) = request.parse(bytes).ok()? else { return None };
    let target = request.path?;
    let upgrade = request.headers.iter().any(|h| h.name.eq_ignore_ascii_case("upgrade"));
    let path = target.split('?').next()?;
    (path.ends_with(".flv") && !upgrade).then(|| (length, target.to_owned()))
}

async fn serve_taken(gateway: Arc<Gateway>, socket: TcpStream, peer: SocketAddr, target: String) {
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let socket = Arc::new(socket);
    let takes_h265 = says(query, "supportH265");
    match gateway.admit(path.trim_end_matches(".flv"), query, takes_h265, peer, Protocol::HttpFlv).await {
        Err(refused) => {
            let (status, text) = (refused.status(), refused.text());
            let reply = format!(
                "HTTP/1.1 {status}\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Length: {}\r\n\
                 Access-Control-Allow-Origin: *\r\nConnection: close\r\n\r\n{text}",
                text.len()
            );
            // A refused peer that does not even read its answer has lost nothing.
            write_small(&socket, reply.as_bytes()).await.ok();
        }
        Ok(admitted) => {
            let session = admitted.session.clone();
            let viewer = Viewer {
                greeting: Bytes::from_static(
                    b"HTTP/1.1 200 OK\r\nContent-Type: video/x-flv\r\nCache-Control: no-store\r\n\
                      Access-Control-Allow-Origin: *\r\nConnection: close\r\n\r\n",
                ),
                socket: socket.clone(),
                session: session.clone(),
            };
            let stream = admitted.viewing.stream().id().clone();
            gateway.feed(&admitted, Format::Flv, viewer).await;
            // The fan-out keeps the source running; a reader that only waits for the end must not.
            drop(admitted);
            // What the peer still says is thrown away.
            while session.next_words(&socket).await.is_some() {}
            gateway.fanouts.leave(&stream, Format::Flv, session).await;
        }
    }
}

async fn write_small(socket: &TcpStream, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        timeout(STALL, socket.writable()).await.map_err(std::io::Error::other)??;
        match socket.try_write(bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// The same as ordinary HTTP answers, and footage.
pub(super) async fn play(
    gateway: &Arc<Gateway>,
    kind: Kind,
    name: &str,
    query: &str,
    peer: SocketAddr,
    upgrade: Option<WebSocketUpgrade>,
) -> Response {
    let protocol = if upgrade.is_some() { Protocol::WsFlv } else { Protocol::HttpFlv };
    let path = format!("{}{name}", kind.folder());
    let takes_h265 = says(query, "supportH265");
    let opened = match kind {
        Kind::Live => gateway
            .admit(&path, query, takes_h265, peer, protocol)
            .await
            .map(|Admitted { viewing, session }| (Feed::Live(gateway.fanouts.reader(viewing, Format::Flv)), session)),
        Kind::Footage => gateway.watch(&path, query, takes_h265, peer, protocol).await.map(|watched| {
            let showing = Showing::new(watched, Format::Flv);
            let session = showing.session().clone();
            (Feed::Footage(Box::new(showing)), session)
        }),
    };
    match (opened, upgrade) {
        (Err(refused), _) => refused.into_response(),
        (Ok((feed, session)), Some(upgrade)) => upgrade.on_upgrade(move |socket| feed_websocket(socket, feed, session)),
        (Ok((feed, session)), None) => {
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static("video/x-flv")),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
                (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
            ];
            (headers, Body::from_stream(body(feed, Leaves(session)))).into_response()
        }
    }
}

/// What a viewer is fed by a task of its own.
enum Feed {
    Live(BlockReader),
    Footage(Box<Showing>),
}

impl Feed {
    /// As [`BlockReader::read`].
    async fn read(&mut self, out: &mut Vec<Bytes>) -> Option<u64> {
        match self {
            Feed::Live(reader) => reader.read(out).await,
            // The last bytes come with the word that there are no more.
            Feed::Footage(showing) => (showing.read_or_end(out).await || !out.is_empty()).then_some(0),
        }
    }
}

fn body(feed: Feed, leaves: Leaves) -> impl futures_util::Stream<Item = Result<Bytes, Infallible>> {
    futures_util::stream::unfold((feed, leaves, Vec::new().into_iter()), |(mut feed, leaves, mut ready)| async move {
        loop {
            if let Some(bytes) = Iterator::next(&mut ready) {
                leaves.0.add_bytes(Bytes::len(&bytes) as u64);
                return Some((Ok(bytes), (feed, leaves, ready)));
            }
            let mut blocks = Vec::new();
            let read = tokio::select! {
                biased;
                () = leaves.0.over() => None,
                read = feed.read(&mut blocks) => read,
            };
            let Some(lost) = read else {
                leaves.0.finish(Why::StreamEnded);
                return None;
            };
            leaves.0.add_skipped(lost);
            ready = blocks.into_iter();
        }
    })
}

async fn feed_websocket(mut socket: WebSocket, mut feed: Feed, session: Arc<Session>) {
    let mut blocks = Vec::new();
    let why = 'feed: loop {
        let lost = tokio::select! {
            biased;
            () = session.over() => break Why::PeerLeft,
            // Players say nothing that matters; pings are answered by the library, an end is an end.
            said = socket.recv() => match said {
                Some(Ok(_)) => continue,
                _ => break Why::PeerLeft,
            },
            read = feed.read(&mut blocks) => match read {
                Some(lost) => lost,
                None => break Why::StreamEnded,
            },
        };
        session.add_skipped(lost);
        for block in blocks.drain(..) {
            session.add_bytes(block.len() as u64);
            match timeout(STALL, socket.send(Message::Binary(block))).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => break 'feed Why::PeerLeft,
                Err(_) => break 'feed Why::Stalled,
            }
        }
    };
    session.finish(why);
    // 1001: going away. The peer may be gone already.
    let farewell = CloseFrame { code: 1001, reason: why.name().into() };
    timeout(STALL, socket.send(Message::Close(Some(farewell)))).await.ok();
}
