//! HTTP-FLV and WebSocket-FLV under the signed path with `.flv`.
//!
//! A plain connection whose first request asks for FLV never reaches the HTTP server: its socket goes
//! to the fan-out ([`take`]). Everything else (TLS, a connection used before, WebSocket) is an
//! ordinary route ([`routes`]) with the same answers.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, Path, RawQuery, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::block::Format;
use super::fanout::{BlockReader, STALL, Viewer};
use super::session::{Protocol, Session, Why};
use super::{Admitted, Gateway, Refused};

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
    match gateway.admit(path.trim_end_matches(".flv"), query, false, peer, Protocol::HttpFlv).await {
        Err(refused) => {
            let (status, text) = answer(&refused);
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

/// What a refused player is told: the status line and a sentence for whoever debugs it.
fn answer(refused: &Refused) -> (&'static str, String) {
    use cloud::Error;
    let status = match refused {
        // Expired, revoked and forged addresses look alike.
        Refused::Cloud(Error::GrantInvalid) => "404 Not Found",
        Refused::Cloud(Error::DeviceTimeout) => "504 Gateway Timeout",
        Refused::Cloud(_) => "503 Service Unavailable",
        Refused::NoH265 => "415 Unsupported Media Type",
    };
    (status, format!("{refused}\n"))
}

/// The same as ordinary HTTP routes.
pub fn routes(gateway: Arc<Gateway>) -> Router {
    Router::new().route("/v3/openlive/{name}", get(play)).with_state(gateway)
}

async fn play(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    // Whatever is no upgrade is an ordinary request.
    let upgrade = upgrade.ok();
    let Some(name) = name.strip_suffix(".flv") else { return StatusCode::NOT_FOUND.into_response() };
    let protocol = if upgrade.is_some() { Protocol::WsFlv } else { Protocol::HttpFlv };
    let path = format!("/v3/openlive/{name}");
    match gateway.admit(&path, &query.unwrap_or_default(), false, peer, protocol).await {
        Err(refused) => {
            let (status, text) = answer(&refused);
            let code = status.split(' ').next().and_then(|code| code.parse::<u16>().ok());
            let status = code.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(StatusCode::NOT_FOUND);
            (status, [(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")], text).into_response()
        }
        Ok(Admitted { viewing, session }) => {
            let reader = gateway.fanouts.reader(viewing, Format::Flv);
            match upgrade {
                Some(upgrade) => upgrade.on_upgrade(move |socket| feed_websocket(socket, reader, session)),
                None => {
                    let headers = [
                        (header::CONTENT_TYPE, HeaderValue::from_static("video/x-flv")),
                        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
                        (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
                    ];
                    (headers, Body::from_stream(body(reader, Leaves(session)))).into_response()
                }
            }
        }
    }
}

/// Finishes the session when the HTTP server drops the body.
struct Leaves(Arc<Session>);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.finish(Why::PeerLeft);
    }
}

fn body(reader: BlockReader, leaves: Leaves) -> impl futures_util::Stream<Item = Result<Bytes, Infallible>> {
    futures_util::stream::unfold(
        (reader, leaves, Vec::new().into_iter()),
        |(mut reader, leaves, mut ready)| async move {
            loop {
                if let Some(bytes) = Iterator::next(&mut ready) {
                    leaves.0.add_bytes(Bytes::len(&bytes) as u64);
                    return Some((Ok(bytes), (reader, leaves, ready)));
                }
                let mut blocks = Vec::new();
                let read = tokio::select! {
                    biased;
                    () = leaves.0.over() => None,
                    read = reader.read(&mut blocks) => read,
                };
                let Some(lost) = read else {
                    leaves.0.finish(Why::StreamEnded);
                    return None;
                };
                leaves.0.add_skipped(lost);
                ready = blocks.into_iter();
            }
        },
    )
}

async fn feed_websocket(mut socket: WebSocket, mut reader: BlockReader, session: Arc<Session>) {
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
            read = reader.read(&mut blocks) => match read {
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
