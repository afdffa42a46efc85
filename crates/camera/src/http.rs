//! The HTTP server under both dialects and still pictures: which is meant, the path decides.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use proto::digest::Denied;
use proto::onvif::soap;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::channel::Channel;
use crate::clock::Clock;
use crate::config::{Config, Quality};
use crate::faults::{Fault, Faults};
use crate::login::Login;
use crate::onvif::{self, Call};
use crate::sdcard::Card;
use crate::stats::Counters;
use crate::{isapi, token};

/// Connections at a time; more are closed at once.
const CONNECTIONS_MAX: usize = 64;
/// A request's head, and time without one on a kept connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// A request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest body that is read whole: the XML parser's own limit.
const BODY_MAX: usize = 256 << 10;
/// Where still pictures are, before the token of a profile.
const STILLS: &str = "/onvif/snapshot/";

/// What everything behind HTTP shares.
pub struct Site {
    /// What the camera is.
    pub config: Arc<Config>,
    /// Its video sources, by number from 1.
    pub channels: Vec<Arc<Channel>>,
    /// Who may come in.
    pub login: Login,
    /// What time it is.
    pub clock: Clock,
    /// How it fails.
    pub faults: Faults,
    /// Port of HTTP.
    pub http_port: u16,
    /// Port of RTSP.
    pub rtsp_port: u16,
    /// What it recorded.
    pub card: Option<Arc<Card>>,
    /// Searches by ONVIF.
    pub searches: onvif::Searches,
    /// Speakers opened by ISAPI.
    pub talks: isapi::Sessions,
    /// Numbers.
    pub counters: Arc<Counters>,
}

impl Site {
    /// The channel of a number.
    pub fn channel(&self, number: u16) -> Option<&Arc<Channel>> {
        self.channels.get(usize::from(number).checked_sub(1)?)
    }

    /// Judges HTTP digest; answers the user, or what to refuse with.
    fn digest(&self, head: &Head) -> Result<String, Box<Response<Content>>> {
        let authorization = text(&head.headers, AUTHORIZATION);
        self.login.digest(authorization, head.method.as_str(), &head.target).map_err(|denied| {
            self.count_denied(denied);
            let mut response = empty(StatusCode::UNAUTHORIZED);
            challenge(&mut response, &self.login.challenges(denied));
            Box::new(response)
        })
    }

    /// Counts a wrong login.
    pub fn count_denied(&self, denied: Denied) {
        if denied == Denied::Bad {
            self.counters.logins_refused.fetch_add(1, Relaxed);
        }
    }
}

/// A request without its body.
pub struct Head {
    /// Method.
    pub method: Method,
    /// Path and query, as sent.
    pub target: String,
    /// All headers.
    pub headers: HeaderMap,
    /// Host and port by which the client reached us, for the addresses in answers.
    pub host: String,
}

impl Head {
    /// The path, as sent.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The query, empty if none.
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// Host without port.
    pub fn hostname(&self) -> &str {
        match self.host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => &self.host,
        }
    }
}

/// A request whose login has passed.
pub struct Ask {
    /// All but the body.
    pub head: Head,
    /// The body, not read yet: [`read`] reads it whole, two-way audio takes it as it comes.
    pub body: Incoming,
}

/// Accepts until cancelled.
pub async fn serve(listener: TcpListener, site: Arc<Site>, cancel: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! { biased;
            () = cancel.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(_) if connections.len() >= CONNECTIONS_MAX => {
                site.counters.connections_refused.fetch_add(1, Relaxed);
            }
            Ok((socket, peer)) => {
                connections.spawn(connection(socket, peer, site.clone(), cancel.clone()));
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

async fn connection(socket: TcpStream, peer: SocketAddr, site: Arc<Site>, cancel: CancellationToken) {
    let Ok(local) = socket.local_addr() else { return };
    let shared = site.clone();
    let answer = service_fn(move |request| {
        let site = shared.clone();
        async move { Ok::<_, Infallible>(respond(request, local, &site).await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let served = tokio::select! { biased;
        () = cancel.cancelled() => return,
        served = builder.serve_connection(TokioIo::new(socket), answer) => served,
    };
    if let Err(error) = served {
        if error.is_parse() {
            site.counters.malformed.fetch_add(1, Relaxed);
        }
        debug!(%peer, %error, "HTTP connection ended");
    }
}

async fn respond(request: Request<Incoming>, local: SocketAddr, site: &Site) -> Response<Content> {
    site.faults.hold_up().await;
    let (parts, body) = request.into_parts();
    let local_host = match local.ip() {
        IpAddr::V4(ip) => format!("{ip}:{}", local.port()),
        IpAddr::V6(ip) => format!("[{ip}]:{}", local.port()),
    };
    let host = text(&parts.headers, HOST).filter(|host| is_host(host)).map_or(local_host, str::to_owned);
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let head = Head { method: parts.method, target, headers: parts.headers, host };
    let response = if head.path().starts_with("/ISAPI/") {
        match site.digest(&head) {
            Ok(_) => isapi::answer(site, Ask { head, body }).await,
            Err(refused) => *refused,
        }
    } else if let Some(profile) = head.path().strip_prefix(STILLS) {
        still(site, &head, profile).await
    } else if head.path().starts_with("/onvif/") {
        soap(site, &head, body).await
    } else {
        empty(StatusCode::NOT_FOUND)
    };
    match site.faults.get() {
        Fault::Malformed if response.status() == StatusCode::OK => malformed(response),
        _ => response,
    }
}

async fn soap(site: &Site, head: &Head, body: Incoming) -> Response<Content> {
    if head.method != Method::POST {
        return not_allowed("POST");
    }
    let answer = match read(site, body).await {
        Ok(body) => {
            let authorization = text(&head.headers, AUTHORIZATION);
            let (target, host, hostname) = (&head.target, &head.host, head.hostname());
            site.soap(&Call { target, authorization, host, hostname, body: &body })
        }
        Err(StatusCode::PAYLOAD_TOO_LARGE) => onvif::too_large(),
        Err(status) => return empty(status),
    };
    if answer.cut {
        return cut(soap::CONTENT_TYPE);
    }
    let status = StatusCode::from_u16(answer.status).expect("SOAP has HTTP's statuses");
    let mut response = whole(status, soap::CONTENT_TYPE, answer.body);
    challenge(&mut response, &answer.challenges);
    response
}

async fn still(site: &Site, head: &Head, profile: &str) -> Response<Content> {
    if head.method != Method::GET {
        return not_allowed("GET");
    }
    if let Err(refused) = site.digest(head) {
        return *refused;
    }
    match token::profile(profile).and_then(|(number, _)| site.channel(number)) {
        Some(channel) => picture(site, channel).await,
        None => empty(StatusCode::NOT_FOUND),
    }
}

/// A channel's still picture, for either dialect.
pub async fn picture(site: &Site, channel: &Channel) -> Response<Content> {
    const TYPE: &str = "image/jpeg";
    match site.faults.get() {
        Fault::Refuse => return empty(StatusCode::BAD_REQUEST),
        Fault::Drop => return cut(TYPE),
        _ => {}
    }
    match channel.snapshot().await {
        Ok(jpeg) => whole(StatusCode::OK, TYPE, jpeg),
        Err(error) => {
            warn!(channel = channel.number(), %error, "no still picture");
            empty(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// Where the still picture of a profile is.
pub fn still_url(host: &str, channel: &Channel, quality: Quality) -> String {
    format!("http://{host}{STILLS}{}", token::of(quality.name(), channel.number()))
}

/// Reads a body whole.
///
/// # Errors
/// The status to refuse it with: too large or damaged, or too slow.
pub async fn read(site: &Site, body: Incoming) -> Result<Bytes, StatusCode> {
    match timeout(BODY_TIMEOUT, Limited::new(body, BODY_MAX).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(_)) => {
            site.counters.malformed.fetch_add(1, Relaxed);
            Err(StatusCode::PAYLOAD_TOO_LARGE)
        }
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

/// What may stand in an address we hand out: a name or an IP address, and a port.
fn is_host(host: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-:[]".contains(&b);
    (1..=255).contains(&host.len()) && host.bytes().all(allowed)
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn challenge(response: &mut Response<Content>, challenges: &[String]) {
    for challenge in challenges.iter().filter_map(|challenge| HeaderValue::from_str(challenge).ok()) {
        response.headers_mut().append(WWW_AUTHENTICATE, challenge);
    }
}

fn not_allowed(allowed: &'static str) -> Response<Content> {
    let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// An answer without a body.
pub fn empty(status: StatusCode) -> Response<Content> {
    let mut response = Response::new(Content::Whole(None));
    *response.status_mut() = status;
    response
}

/// An answer.
pub fn whole(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Content> {
    let mut response = Response::new(Content::Whole(Some(body.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// An answer in whose middle the connection ends.
pub fn cut(content_type: &'static str) -> Response<Content> {
    let mut response = whole(StatusCode::OK, content_type, "");
    *response.body_mut() = Content::Cut(Some(Bytes::from_static(b"<?xml version=\"1.0\"")));
    response
}

/// The same answer, as XML that ends too early.
fn malformed(response: Response<Content>) -> Response<Content> {
    response.map(|_| Content::Whole(Some(Bytes::from_static(b"<?xml version=\"1.0\"?><Answer><Status>"))))
}

/// A body.
pub enum Content {
    /// All of it, or nothing more.
    Whole(Option<Bytes>),
    /// A beginning, and then the connection breaks.
    Cut(Option<Bytes>),
}

/// Bytes that a cut answer promises.
const CUT_LENGTH: u64 = 1000;

impl Body for Content {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        Poll::Ready(match &mut *self {
            Content::Whole(data) => data.take().map(|data| Ok(Frame::data(data))),
            Content::Cut(data) => {
                let broken = || std::io::Error::from(std::io::ErrorKind::ConnectionAborted);
                Some(data.take().map(Frame::data).ok_or_else(broken))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Content::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Content::Whole(data) => data.as_ref().map_or(0, Bytes::len) as u64,
            Content::Cut(_) => CUT_LENGTH,
        })
    }
}
