//! `/api/v1`: our own API, for operators. `Authorization: Bearer` and the operator token (RFC 6750);
//! JSON both ways; errors are an HTTP status and `{"error": NAME, "message": TEXT}`.

mod apps;
mod cards;
mod devices;
mod entries;
mod health;
mod keys;
mod plans;
mod recordings;
mod sessions;

use std::sync::Arc;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post, put};
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::code;
use super::{App, BODY_TIMEOUT};
use crate::address::Reached;
use crate::config::Language;

/// Bytes of a request body; the largest is a device to attach.
const BODY_BYTES_MAX: usize = 64 << 10;

/// One route of the native API.
pub struct NativeRoute {
    /// Method, in capitals.
    pub method: &'static str,
    /// Path below `/api/v1/`, with `{parameters}`.
    pub path: &'static str,
    /// Whether it answers without the operator token.
    pub open: bool,
    run: fn() -> MethodRouter<Arc<App>>,
}

/// Every route of the native API.
#[rustfmt::skip]
pub static ROUTES: &[NativeRoute] = &[
    NativeRoute { method: "GET", path: "health", open: true, run: || get(health::health) },
    NativeRoute { method: "GET", path: "devices", open: false, run: || get(devices::list) },
    NativeRoute { method: "POST", path: "devices", open: false, run: || post(devices::attach) },
    NativeRoute { method: "GET", path: "devices/{serial}", open: false, run: || get(devices::show) },
    NativeRoute { method: "DELETE", path: "devices/{serial}", open: false, run: || delete(devices::detach) },
    NativeRoute { method: "GET", path: "devices/{serial}/channels/{no}/qr", open: false, run: || get(entries::qr) },
    NativeRoute { method: "DELETE", path: "devices/{serial}/channels/{no}/qr", open: false, run: || delete(entries::revoke) },
    NativeRoute { method: "GET", path: "devices/{serial}/channels/{no}/plan", open: false, run: || get(plans::show) },
    NativeRoute { method: "PUT", path: "devices/{serial}/channels/{no}/plan", open: false, run: || put(plans::set) },
    NativeRoute { method: "DELETE", path: "devices/{serial}/channels/{no}/plan", open: false, run: || delete(plans::end) },
    NativeRoute { method: "POST", path: "cards", open: false, run: || post(cards::make) },
    NativeRoute { method: "GET", path: "cards", open: false, run: || get(cards::list) },
    NativeRoute { method: "PUT", path: "cards/{batch}", open: false, run: || put(cards::enable) },
    NativeRoute { method: "GET", path: "trial", open: true, run: || get(entries::trial) },
    NativeRoute { method: "PUT", path: "devices/{serial}/recorder", open: false, run: || put(recordings::set_recorder) },
    NativeRoute { method: "GET", path: "recorders", open: false, run: || get(recordings::recorders) },
    NativeRoute { method: "GET", path: "recordings", open: false, run: || get(recordings::list) },
    NativeRoute { method: "PUT", path: "recordings/{id}/lock", open: false, run: || put(recordings::lock) },
    NativeRoute { method: "POST", path: "discover", open: false, run: || post(devices::discover) },
    NativeRoute { method: "POST", path: "apps", open: false, run: || post(apps::create) },
    NativeRoute { method: "GET", path: "sessions", open: false, run: || get(sessions::list) },
    NativeRoute { method: "DELETE", path: "sessions/{id}", open: false, run: || delete(sessions::end) },
    NativeRoute { method: "POST", path: "keys/rotate", open: false, run: || post(keys::rotate) },
];

/// The routes as a router.
pub fn routes(app: Arc<App>) -> Router {
    let routes = ROUTES
        .iter()
        .fold(Router::new(), |router, route| router.route(&format!("/api/v1/{}", route.path), (route.run)()));
    routes.route("/api/v1/{*unknown}", axum::routing::any(unknown)).with_state(app)
}

async fn unknown() -> NativeFailure {
    NativeFailure::NoRoute
}

/// The operator that a request's token names. A handler that takes one cannot be called without.
pub struct Operator(pub cloud::Operator);

impl FromRequestParts<Arc<App>> for Operator {
    type Rejection = NativeFailure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Operator, NativeFailure> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let (scheme, token) = header.and_then(|text| text.split_once(' ')).ok_or(NativeFailure::NoToken)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(NativeFailure::NoToken);
        }
        Ok(Operator(app.cloud.operator(token.trim()).await?))
    }
}

impl FromRequestParts<Arc<App>> for Reached {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Reached, Self::Rejection> {
        Ok(super::reached(parts))
    }
}

/// A JSON body; an empty one reads as an empty object.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Json<T> {
    type Rejection = NativeFailure;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Json<T>, NativeFailure> {
        let malformed = |e: &dyn std::fmt::Display| NativeFailure::Malformed(e.to_string());
        let body = tokio::time::timeout(BODY_TIMEOUT, to_bytes(request.into_body(), BODY_BYTES_MAX)).await;
        let body = body.map_err(|e| malformed(&e))?.map_err(|e| malformed(&e))?;
        let text = if body.is_empty() { b"{}" } else { &body[..] };
        serde_json::from_slice(text).map(Json).map_err(|e| malformed(&e))
    }
}

/// An answer of the native API: a status and JSON.
pub struct Done<T>(pub StatusCode, pub T);

impl<T: Serialize> IntoResponse for Done<T> {
    fn into_response(self) -> Response {
        let json = serde_json::to_vec(&self.1).expect("answers are structs of plain values");
        (self.0, [(CONTENT_TYPE, "application/json")], json).into_response()
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum NativeFailure {
    /// No route of that name.
    NoRoute,
    /// No bearer token.
    NoToken,
    /// The body or a path parameter cannot be read.
    Malformed(String),
    /// The network could not be searched.
    Discovery(String),
    /// What the request names is not there.
    NotFound,
    /// The product says no.
    Product(cloud::Error),
}

impl From<cloud::Error> for NativeFailure {
    fn from(error: cloud::Error) -> NativeFailure {
        NativeFailure::Product(error)
    }
}

impl IntoResponse for NativeFailure {
    fn into_response(self) -> Response {
        let (status, name, message) = match &self {
            NativeFailure::NoRoute => (404, "NoRoute", "no such route".to_owned()),
            NativeFailure::NoToken => {
                (401, "NoToken", "operator token missing: Authorization: Bearer TOKEN".to_owned())
            }
            NativeFailure::Malformed(why) => (400, "Malformed", why.clone()),
            NativeFailure::Discovery(why) => (502, "Discovery", why.clone()),
            NativeFailure::NotFound => (404, "NotFound", "not found".to_owned()),
            NativeFailure::Product(error) => {
                let known = code::of(error);
                super::note("native", error, known.code);
                // An operator may read our own words, except where they are about our inside.
                let ours = known.code == code::INTERNAL;
                let text = if ours { code::text(known.code, Language::En).to_owned() } else { error.to_string() };
                (known.status, known.name, text)
            }
        };
        let status = StatusCode::from_u16(status).expect("the table has only real ones");
        let mut response = Done(status, json!({ "error": name, "message": message })).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
