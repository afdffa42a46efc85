//! The HTTP listener: accepts, limits, looks at the first request, and hands over.
//!
//! A plain connection is first offered to the media gateway, which keeps the socket when its first request
//! is for a stream: what a viewer costs is writes, and an HTTP server in between doubles them. Everything
//! else, and everything over TLS, goes to hyper (HTTP/1.1 and HTTP/2, RFC 9112 and RFC 9113).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use tracing::{Instrument, debug, debug_span};

use crate::gateway::{Gateway, flv};
use crate::listener::Listener;

/// A connection that says nothing is closed after this; with [`HEAD_TIMEOUT`] after it, half-open
/// peers are gone within 15 s.
const FIRST_BYTES_TIMEOUT: Duration = Duration::from_secs(5);

/// A TLS handshake, and the head of each request, take at most this long.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a request head. hyper refuses what is longer with 431.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// A peer that stopped acknowledging is given up after this long (TCP_USER_TIMEOUT).
const SILENT_PEER: Duration = Duration::from_secs(15);

/// Who is at the other end of a request's connection; in the extensions of every request.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Remote address.
    pub address: SocketAddr,
    /// Whether the connection is encrypted.
    pub secure: bool,
}

/// What serves connections; shared by the plain and the TLS listener.
pub struct Http {
    /// Routes of everything that is HTTP.
    pub router: Router,
    /// Who may take a plain connection away.
    pub gateway: Arc<Gateway>,
    /// Ends accepting, and connections after their current request.
    pub shutdown: CancellationToken,
}

impl Http {
    /// Accepts until shutdown, then returns; the connections go on in `tasks`.
    pub async fn accept(self: Arc<Http>, listener: Listener, tls: Option<TlsAcceptor>, tasks: TaskTracker) {
        loop {
            let (stream, address, permit) = tokio::select! { biased;
                () = self.shutdown.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let (http, tls) = (self.clone(), tls.clone());
            let connection = async move {
                if let Err(error) = http.connection(stream, address, tls).await {
                    debug!(error = %error, "connection ended");
                }
                drop(permit);
            };
            tasks.spawn(connection.instrument(debug_span!("http", peer = %address)));
        }
    }

    async fn connection(&self, stream: TcpStream, address: SocketAddr, tls: Option<TlsAcceptor>) -> anyhow::Result<()> {
        tune(&stream)?;
        match tls {
            Some(acceptor) => {
                let stream = timeout(HEAD_TIMEOUT, acceptor.accept(stream)).await??;
                self.serve(stream, Peer { address, secure: true }).await
            }
            None => {
                let taken = timeout(FIRST_BYTES_TIMEOUT, flv::take(&self.gateway, stream, address));
                let Some(stream) = taken.await? else { return Ok(()) };
                self.serve(stream, Peer { address, secure: false }).await
            }
        }
    }

    async fn serve(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: Peer,
    ) -> anyhow::Result<()> {
        let service = service_fn(|request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(ConnectInfo(peer.address));
            self.router.clone().oneshot(request)
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES_MAX);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_header_list_size(HEAD_BYTES_MAX as u32)
            .max_concurrent_streams(64)
            .keep_alive_interval(HEAD_TIMEOUT)
            .keep_alive_timeout(Duration::from_secs(5));
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let served = tokio::select! { biased;
            served = connection.as_mut() => served,
            () = self.shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        served.map_err(|error| {
            if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
                self.gateway.sessions.count_malformed();
            }
            anyhow::anyhow!(error)
        })
    }
}

/// Small writes leave at once, and peers that vanished are noticed.
///
/// # Errors
/// When the socket is gone already.
pub fn tune(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(
        &TcpKeepalive::new().with_time(SILENT_PEER / 3).with_interval(SILENT_PEER / 3).with_retries(2),
    )?;
    socket.set_tcp_user_timeout(Some(SILENT_PEER))
}
