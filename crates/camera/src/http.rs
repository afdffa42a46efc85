//! The HTTP server under ONVIF.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, WWW_AUTHENTICATE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use proto::onvif::soap;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::onvif::{self, Answer, Call, Services};

/// Connections at a time; more are closed at once.
const CONNECTIONS_MAX: usize = 64;
/// A request's head, and time without one on a kept connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// A request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest body: the SOAP parser's own limit.
const BODY_MAX: usize = 256 << 10;

/// Accepts until cancelled.
pub async fn serve(listener: TcpListener, services: Arc<Services>, cancel: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! { biased;
            () = cancel.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(_) if connections.len() >= CONNECTIONS_MAX => {
                services.counters.connections_refused.fetch_add(1, Relaxed);
            }
            Ok((socket, peer)) => {
                connections.spawn(connection(socket, peer, services.clone(), cancel.clone()));
            }
            Err(error) => {
                // Out of descriptors, most likely: others may close theirs.
                warn!(%error, "cannot accept");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    while connections.join_next().await.is_some() {}
}

async fn connection(socket: TcpStream, peer: SocketAddr, services: Arc<Services>, cancel: CancellationToken) {
    let Ok(local) = socket.local_addr() else { return };
    let shared = services.clone();
    let answer = service_fn(move |request| {
        let services = shared.clone();
        async move { Ok::<_, Infallible>(respond(request, local, &services).await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let served = tokio::select! { biased;
        () = cancel.cancelled() => return,
        served = builder.serve_connection(TokioIo::new(socket), answer) => served,
    };
    if let Err(error) = served {
        if error.is_parse() {
            services.counters.malformed.fetch_add(1, Relaxed);
        }
        debug!(%peer, %error, "HTTP connection ended");
    }
}

async fn respond(request: Request<Incoming>, local: SocketAddr, services: &Services) -> Response<Full<Bytes>> {
    if !request.uri().path().starts_with("/onvif/") {
        return plain(StatusCode::NOT_FOUND);
    }
    if request.method() != Method::POST {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    let (head, body) = request.into_parts();
    let body = match timeout(BODY_TIMEOUT, Limited::new(body, BODY_MAX).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => {
            services.counters.malformed.fetch_add(1, Relaxed);
            return soap_answer(onvif::too_large());
        }
        Err(_) => return plain(StatusCode::REQUEST_TIMEOUT),
    };
    let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    let local_host = match local.ip() {
        IpAddr::V4(ip) => format!("{ip}:{}", local.port()),
        IpAddr::V6(ip) => format!("[{ip}]:{}", local.port()),
    };
    let host = text(HOST).filter(|host| is_host(host)).unwrap_or(&local_host);
    let hostname = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let call = Call { target, authorization: text(AUTHORIZATION), host, hostname, body: &body };
    soap_answer(services.answer(&call))
}

/// What may stand in an address we hand out: a name or an IP address, and a port.
fn is_host(host: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-:[]".contains(&b);
    (1..=255).contains(&host.len()) && host.bytes().all(allowed)
}

fn soap_answer(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).expect("SOAP has HTTP's statuses");
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(soap::CONTENT_TYPE));
    for challenge in answer.challenges.iter().filter_map(|challenge| HeaderValue::from_str(challenge).ok()) {
        headers.append(WWW_AUTHENTICATE, challenge);
    }
    response
}

fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
