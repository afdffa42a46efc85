//! The HTTP API: the Open API of the platform imitated, and our own under `/api/v1`.
//!
//! One entry for everything of the Open API: it collects the parameters, finds the route in a table,
//! runs its handler, and wraps the answer in the family's envelope. Handlers know neither HTTP nor
//! envelopes nor numbers.

pub mod code;
pub mod form;
pub mod lapp;
pub mod native;
pub mod reply;

use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use cloud::{Caller, Cloud, SignedAddress, VOICE_BYTES_MAX};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ALLOW, CONTENT_TYPE, HOST,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{debug, error};

use crate::address::{Addresses, Reached};
use crate::config::{Config, Language};
use crate::gateway::Gateway;
use crate::http::Peer;
use code::Family;
use form::{Form, Source};
use reply::{Envelope, Failure, Page, Reply};

/// A request's body must have arrived after this.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A voice file must have arrived after this: 5 MB at 1.3 Mbit/s.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Requests with a voice file that are read and answered at the same time: some 320 MB of memory at the
/// worst. One more is told to come again.
const UPLOADS_MAX: usize = 64;

/// What a form may have beside its file.
const UPLOAD_FORM_BYTES: usize = 64 << 10;

/// Pages of `device/list`; documented.
const PAGES_MAX: u32 = 400;

/// Rows of one page; documented.
const PAGE_ROWS_MAX: u32 = 50;

/// What handlers work with.
pub struct App {
    /// The product.
    pub cloud: Arc<Cloud>,
    /// The media gateway, for the sessions it has.
    pub gateway: Arc<Gateway>,
    /// The configuration in force.
    pub config: Arc<Config>,
    /// How we are reached.
    pub addresses: Addresses,
    uploads: Arc<Semaphore>,
}

impl App {
    /// What handlers work with, from its parts.
    pub fn new(cloud: Arc<Cloud>, gateway: Arc<Gateway>, config: Arc<Config>, addresses: Addresses) -> App {
        App { cloud, gateway, config, addresses, uploads: Arc::new(Semaphore::new(UPLOADS_MAX)) }
    }
}

/// Routes of both APIs.
pub fn routes(app: Arc<App>) -> Router {
    Router::new()
        .route("/api", any(open))
        .route("/api/{*path}", any(open))
        .route("/device/{*path}", any(open))
        .with_state(app.clone())
        .merge(native::routes(app))
}

/// Who may call a route, and so what a wrong caller is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody; the handler checks what it is given.
    Anyone,
    /// Whoever has an access token.
    Account,
    /// Whoever has an access token of the account that the device named in the request is bound to.
    Device,
}

/// A handler's future.
pub type Running<'a> = Pin<Box<dyn Future<Output = Reply> + Send + 'a>>;

/// One route of the Open API.
pub struct Route {
    /// Path below `/api/lapp/`, or a whole path.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// Whether it only reads, so that GET may be allowed.
    pub reads: bool,
    /// Whether a voice file comes with it, `voiceFile`, so that its body may be large.
    pub uploads: bool,
    /// Whether guests may call it: it watches or controls, and changes nothing that outlasts the visit.
    pub guests: bool,
    /// How some errors are told.
    pub family: Family,
    /// Parameters of a call that works, besides the token and the serial.
    pub example: &'static [(&'static str, &'static str)],
    /// The handler.
    pub run: for<'a> fn(&'a App, &'a Ask) -> Running<'a>,
}

/// One request, read.
pub struct Ask {
    form: Form,
    body: Bytes,
    /// Whether the route is one for guests too.
    guests: bool,
    /// Of [`UPLOADS_MAX`]; held until the request is answered.
    _place: Option<OwnedSemaphorePermit>,
    /// How the client reached us, for the addresses it is given.
    pub reached: Reached,
    /// For texts that are part of the data.
    pub language: Language,
}

impl Ask {
    /// A required parameter.
    ///
    /// # Errors
    /// [`Failure::Parameter`] when it is absent or empty.
    pub fn text(&self, name: &'static str) -> Result<&str, Failure> {
        self.optional(name).ok_or(Failure::Parameter(name))
    }

    /// An optional parameter.
    pub fn optional(&self, name: &str) -> Option<&str> {
        self.form.get(name)
    }

    /// A required file: its bytes and the name its sender gives it, which may be empty.
    ///
    /// # Errors
    /// [`Failure::Parameter`] when it did not come.
    pub fn file(&self, name: &'static str) -> Result<(Bytes, &str), Failure> {
        let file = self.form.file(name).ok_or(Failure::Parameter(name))?;
        Ok((self.body.slice(file.range.clone()), &file.file_name))
    }

    /// An optional whole number; clients write it with spaces around it and as `1.0` too.
    ///
    /// # Errors
    /// [`Failure::Parameter`] when it is not a number or does not fit.
    pub fn number<T: FromStr>(&self, name: &'static str) -> Result<Option<T>, Failure> {
        let Some(text) = self.optional(name) else { return Ok(None) };
        let text = text.trim();
        let whole =
            text.split_once('.').map_or(Some(text), |(whole, rest)| rest.bytes().all(|b| b == b'0').then_some(whole));
        whole.and_then(|text| text.parse().ok()).map(Some).ok_or(Failure::Parameter(name))
    }

    /// A required whole number.
    ///
    /// # Errors
    /// [`Failure::Parameter`] when it is absent, not a number or does not fit.
    pub fn required_number<T: FromStr>(&self, name: &'static str) -> Result<T, Failure> {
        self.number(name)?.ok_or(Failure::Parameter(name))
    }

    /// An optional truth value: `true`, `false` in any case, or `1`, `0`.
    ///
    /// # Errors
    /// [`Failure::Parameter`] when it is neither.
    pub fn flag(&self, name: &'static str) -> Result<Option<bool>, Failure> {
        let Some(text) = self.optional(name) else { return Ok(None) };
        match text.trim().to_ascii_lowercase().as_str() {
            "1" | "true" => Ok(Some(true)),
            "0" | "false" => Ok(Some(false)),
            _ => Err(Failure::Parameter(name)),
        }
    }

    /// Which page is asked for: `pageStart` from 0 and `pageSize`, 10 by default and 50 at most.
    ///
    /// # Errors
    /// [`Failure::Parameter`] when either is out of range.
    pub fn page(&self, app: &App) -> Result<Page, Failure> {
        let page = self.number("pageStart")?.unwrap_or(0);
        let mut size = self.number("pageSize")?.unwrap_or(10);
        if app.config.http.page_size_clamp {
            size = size.min(PAGE_ROWS_MAX);
        }
        if page >= PAGES_MAX {
            return Err(Failure::Parameter("pageStart"));
        }
        if !(1..=PAGE_ROWS_MAX).contains(&size) {
            return Err(Failure::Parameter("pageSize"));
        }
        Ok(Page { total: 0, page, size })
    }
}

impl App {
    /// Who is calling, by `accessToken`.
    ///
    /// # Errors
    /// [`Failure::Parameter`] without a token; the product's refusal of one that is unknown or expired, and
    /// of a guest's where guests have no business.
    pub async fn caller(&self, ask: &Ask) -> Result<Caller, Failure> {
        let caller = self.cloud.caller(ask.text("accessToken")?.trim()).await?;
        if caller.is_guest() && !ask.guests { Err(cloud::Error::PermissionDenied.into()) } else { Ok(caller) }
    }

    /// Where whoever asks fetches a file.
    pub fn file_url(&self, ask: &Ask, file: &SignedAddress) -> String {
        format!("{}{}?{}", self.addresses.http(&ask.reached), file.path, file.query)
    }
}

/// The way into the Open API.
async fn open(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let (method, headers) = (request.method().clone(), request.headers().clone());
    let mut response =
        if method == Method::OPTIONS { StatusCode::NO_CONTENT.into_response() } else { answer(&app, request).await };
    cross_origin(&method, &headers, response.headers_mut());
    response
}

async fn answer(app: &App, request: Request<Body>) -> Response {
    let language = reply::language(request.headers(), app.config.http.language);
    let path = request.uri().path();
    let (path, envelope) = match lapp_path(path) {
        Some(below) => (below, Envelope::Lapp),
        None => (path, Envelope::of(path)),
    };
    let Some(route) = lapp::ROUTES.iter().find(|route| route.path == path) else {
        return envelope.wrap(&Err(Failure::Unsupported), Family::Control, language);
    };
    let get_allowed = envelope != Envelope::Lapp || app.config.http.lapp_get;
    let reading = route.reads && get_allowed && request.method() == Method::GET;
    if request.method() != Method::POST && !reading {
        let allow = [(ALLOW, HeaderValue::from_static("POST, OPTIONS"))];
        return (StatusCode::METHOD_NOT_ALLOWED, allow, "use POST\n").into_response();
    }
    let reply = match read(app, route, request, language).await {
        Ok(ask) => (route.run)(app, &ask).await,
        Err(failure) => Err(failure),
    };
    if let Err(failure) = &reply {
        if matches!(failure, Failure::Form(_)) {
            app.gateway.sessions.count_malformed();
        }
        note(route.path, failure, failure.code(route.family));
    }
    envelope.wrap(&reply, route.family, language)
}

/// The path below `/api/lapp/`. Older clients say `/api/v3/console/weChat` instead, before the whole
/// path or before its end.
fn lapp_path(path: &str) -> Option<&str> {
    // The one call outside of `/api` that clients make; answered as those below are.
    if path == lapp::ENTRY {
        return Some(path);
    }
    if let Some(aliased) = path.strip_prefix("/api/v3/console/weChat/") {
        return aliased.strip_prefix("api/lapp/").or_else(|| aliased.strip_prefix("lapp/")).or(Some(aliased));
    }
    path.strip_prefix("/api/lapp/")
}

/// Reads a request whole.
async fn read(app: &App, route: &Route, request: Request<Body>, language: Language) -> Result<Ask, Failure> {
    let (parts, body) = request.into_parts();
    let content_type = parts.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let place = match route.uploads {
        true => Some(app.uploads.clone().try_acquire_owned().map_err(|_| cloud::Error::RateLimited)?),
        false => None,
    };
    let (wait, bytes_max) = match route.uploads {
        true => (UPLOAD_TIMEOUT, VOICE_BYTES_MAX + UPLOAD_FORM_BYTES),
        false => (BODY_TIMEOUT, app.config.http.body_bytes_max),
    };
    let whole = tokio::time::timeout(wait, to_bytes(body, bytes_max)).await.map_err(|_| Failure::Parameter("body"))?;
    let body = whole.map_err(|_| match route.uploads {
        // Said as of a file that just fits into a request, whose size is looked at later.
        true => cloud::Error::VoiceRefused(av::voice::Error::TooLarge(VOICE_BYTES_MAX).to_string()).into(),
        false => Failure::Parameter("body"),
    })?;
    // The newer families may say these in headers.
    let said = |name: &'static str| parts.headers.get(name).and_then(|v| v.to_str().ok()).map(|value| (name, value));
    let headers: Vec<(&str, &str)> = match route.path.starts_with("/api/") {
        true => ["accessToken", "deviceSerial", "localIndex"].into_iter().filter_map(said).collect(),
        false => Vec::new(),
    };
    let form = Form::collect(Source {
        query: parts.uri.query().unwrap_or_default(),
        content_type,
        body: &body,
        headers: &headers,
    })?;
    Ok(Ask { form, body, guests: route.guests, _place: place, reached: reached(&parts), language })
}

/// How a request reached us: by HTTP/2 its authority tells, else the `Host` header.
fn reached(parts: &Parts) -> Reached {
    let peer = parts.extensions.get::<Peer>().expect("the listener adds it to every request");
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    let host = authority.or_else(|| parts.headers.get(HOST).and_then(|value| value.to_str().ok()));
    Reached::by(host, peer.secure)
}

/// The one place where failures are logged, with all that is not for the caller.
fn note(route: &str, failure: &(dyn std::error::Error + 'static), code: u32) {
    let chain: Vec<String> = std::iter::successors(failure.source(), |e| e.source()).map(|e| e.to_string()).collect();
    let cause = chain.join(": ");
    match code {
        code::DATA | code::INTERNAL => error!(route, code, error = %failure, cause, "request failed"),
        _ => debug!(route, code, error = %failure, cause, "request refused"),
    }
}

/// Lets pages of other origins read the answer: players run in them (Fetch standard, CORS protocol).
/// No cookie is ever looked at, so any origin may.
pub(crate) fn cross_origin(method: &Method, request: &HeaderMap, response: &mut HeaderMap) {
    response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    if method != Method::OPTIONS {
        return;
    }
    let asked = request.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let usual = HeaderValue::from_static("accessToken,deviceSerial,localIndex,clientType,sdkVersion,content-type");
    response.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.unwrap_or(usual));
    response.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET,POST,PUT,DELETE,OPTIONS"));
    response.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
}
