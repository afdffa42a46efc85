//! Whether the server is alive.

use http::StatusCode;
use serde_json::{Value, json};

use super::Done;

/// `GET health`: needs no token and tells no secret.
pub async fn health() -> Done<Value> {
    Done(StatusCode::OK, json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
}
