//! HTTP to cameras: one request, one answer, bounded in time and size, to where the outbound policy lets us.
//!
//! No redirect and no proxy is followed, and a name is resolved once and then connected to. Connections
//! are not kept: a camera's web server has few of them, and many break the ones they promised to keep.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use proto::digest::{Authorizer, Challenge};
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Method, StatusCode, Url};
use tokio::time::timeout;

use crate::dial::Dialer;
use crate::driver::{DriverError, Login};

/// The whole of a request with its login round, from name to last byte: the actor's own patience.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(4500);
/// A camera in reach answers a SYN in milliseconds; this leaves room for one retransmission.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Largest answer to a control request, bytes: what an XML document may have. A longer one is refused.
pub(crate) const DOCUMENT_BYTES_MAX: usize = proto::xml::DOCUMENT_BYTES_MAX;

/// What a camera answered; any status but a redirect.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
}

/// The body of a request, which a login may have to send twice.
enum Payload<'a> {
    Empty,
    Document { content_type: String, text: String },
    Stream { content_type: &'static str, length: u64, open: &'a (dyn Fn() -> reqwest::Body + Send + Sync) },
}

/// HTTP to one camera under one login.
pub(crate) struct CameraHttp {
    dialer: Dialer,
    login: Option<Login>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The client for this host name pinned to this address.
    client: Option<(String, SocketAddr, reqwest::Client)>,
    /// The last challenge, answered in advance from then on.
    auth: Option<(Challenge, Authorizer)>,
}

impl CameraHttp {
    /// A client; without login a challenge is answered by nothing and the 401 is the answer.
    pub(crate) fn new(dialer: Dialer, login: Option<Login>) -> CameraHttp {
        CameraHttp { dialer, login, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while the state is locked")
    }

    /// Sends a document and reads at most [`DOCUMENT_BYTES_MAX`] back.
    ///
    /// # Errors
    /// `AddressRefused`, `Unreachable`, `Timeout`; `Protocol` for a redirect or too long an answer.
    pub(crate) async fn post(&self, url: &Url, content_type: String, body: String) -> Result<Answer, DriverError> {
        self.request(Method::POST, url, Some((content_type, body)), DOCUMENT_BYTES_MAX).await
    }

    /// Sends a request, with content type and body if it has one, and reads at most `limit` bytes back.
    ///
    /// # Errors
    /// As [`CameraHttp::post`].
    pub(crate) async fn request(
        &self,
        method: Method,
        url: &Url,
        body: Option<(String, String)>,
        limit: usize,
    ) -> Result<Answer, DriverError> {
        let payload = body.map_or(Payload::Empty, |(content_type, text)| Payload::Document { content_type, text });
        let exchange = self.exchange(method, url, payload, limit);
        timeout(REQUEST_TIMEOUT, exchange).await.map_err(|_| DriverError::Timeout { step: "http" })?
    }

    /// Sends `length` bytes as they come out of the streams that `open` makes, one each time the login
    /// needs another round. Only connecting is bounded in time here.
    ///
    /// # Errors
    /// As [`CameraHttp::post`].
    pub(crate) async fn put_stream(
        &self,
        url: &Url,
        content_type: &'static str,
        length: u64,
        open: &(dyn Fn() -> reqwest::Body + Send + Sync),
    ) -> Result<Answer, DriverError> {
        let payload = Payload::Stream { content_type, length, open };
        self.exchange(Method::PUT, url, payload, DOCUMENT_BYTES_MAX).await
    }

    /// The request, and once more if the answer is a challenge that we have not met yet.
    async fn exchange(
        &self,
        method: Method,
        url: &Url,
        payload: Payload<'_>,
        limit: usize,
    ) -> Result<Answer, DriverError> {
        let client = self.client(url).await?;
        let target = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let mut retried = false;
        loop {
            let mut request = client.request(method.clone(), url.clone());
            request = match &payload {
                Payload::Empty => request,
                Payload::Document { content_type, text } => {
                    request.header(CONTENT_TYPE, content_type).body(text.clone())
                }
                // With a length: few web servers of cameras know chunks.
                Payload::Stream { content_type, length, open } => {
                    request.header(CONTENT_TYPE, *content_type).header(CONTENT_LENGTH, *length).body(open())
                }
            };
            let authorization = self
                .state()
                .auth
                .as_mut()
                .map(|(challenge, authorizer)| authorizer.authorize(challenge, method.as_str(), &target));
            if let Some(value) = authorization {
                // A user name from which no header can be made is no login at this camera.
                let mut value = HeaderValue::try_from(value).map_err(|_| DriverError::LoginRefused)?;
                value.set_sensitive(true);
                request = request.header(AUTHORIZATION, value);
            }
            let mut response = request.send().await.map_err(|error| unreachable(&error))?;
            if response.status().is_redirection() {
                return Err(DriverError::Protocol { step: "http", cause: "it redirects, which is refused".into() });
            }
            if response.status() == StatusCode::UNAUTHORIZED {
                let met = !retried && self.meet_challenge(&response)?;
                retried = true;
                if met {
                    continue;
                }
                // What was refused is not tried again: the next request starts from a new challenge.
                self.state().auth = None;
            }
            let status = response.status();
            let mut read = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(&error))? {
                if read.len() + chunk.len() > limit {
                    let cause = format!("its answer is longer than {limit} bytes");
                    return Err(DriverError::Protocol { step: "http", cause });
                }
                read.extend_from_slice(&chunk);
            }
            return Ok(Answer { status, body: read });
        }
    }

    /// Takes the challenge of a 401; whether there is one that can be answered. It may follow an answer
    /// to an older one, whose nonce the camera has forgotten; few of them say `stale`.
    fn meet_challenge(&self, response: &reqwest::Response) -> Result<bool, DriverError> {
        let offered = response.headers().get_all(WWW_AUTHENTICATE);
        let offered = offered.iter().filter_map(|value| value.to_str().ok());
        let (Some(login), Ok(challenge)) = (&self.login, Challenge::parse(offered)) else {
            return Ok(false);
        };
        if challenge.is_basic() {
            // Anybody in between could ask for it and would be told the password.
            let cause = "it wants HTTP Basic, which shows the password; switch it to Digest";
            return Err(DriverError::Protocol { step: "auth", cause: cause.into() });
        }
        self.state().auth = Some((challenge, Authorizer::new(&login.user, &login.password)));
        Ok(true)
    }

    /// A client that connects nowhere but to the address the policy has just permitted for this URL.
    async fn client(&self, url: &Url) -> Result<reqwest::Client, DriverError> {
        let refused = |why: &str| DriverError::AddressRefused(format!("{url}: {why}"));
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refused("neither http nor https"));
        }
        let host = url.host_str().ok_or_else(|| refused("no host"))?;
        let port = url.port_or_known_default().ok_or_else(|| refused("no port"))?;
        let address = self.dialer.resolve(host, port).await?;
        let mut state = self.state();
        if let Some((name, pinned, client)) = &state.client
            && (name.as_str(), *pinned) == (host, address)
        {
            return Ok(client.clone());
        }
        let client = reqwest::Client::builder()
            .resolve(host, address)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .http1_only()
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(0)
            // Cameras have certificates they made themselves. TLS then keeps listeners out, not
            // impostors; the password is never sent, only digests of it.
            .tls_danger_accept_invalid_certs(true)
            .build()
            .map_err(|error| DriverError::Protocol { step: "http", cause: error.to_string() })?;
        state.client = Some((host.to_owned(), address, client.clone()));
        Ok(client)
    }
}

/// The address of a camera as people write it: a URL, or a host with or without port. `path` completes
/// the example that a refusal gives.
///
/// # Errors
/// `AddressRefused` if it is no HTTP address, or holds a login, which has its own place.
pub(crate) fn address(text: &str, path: &str) -> Result<Url, DriverError> {
    let refused = |why: &str| DriverError::AddressRefused(format!("{why}; an example: http://192.168.1.64{path}"));
    let text = text.trim();
    let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let mut url = Url::parse(&full).map_err(|error| refused(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(refused("not an address of HTTP"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("user name and password do not belong into the address"));
    }
    url.set_fragment(None);
    Ok(url)
}

fn unreachable(error: &reqwest::Error) -> DriverError {
    let step = if error.is_connect() { "dial" } else { "http" };
    if error.is_timeout() {
        return DriverError::Timeout { step };
    }
    // The innermost cause is what the system said.
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    DriverError::Unreachable { step, cause: cause.to_string() }
}
