//! Keys that play addresses are signed with.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use serde_json::{Value, json};

use super::{Done, NativeFailure, Operator};
use crate::api::App;

/// `POST keys/rotate`: signs with a new key from now on; older addresses stay valid until they expire.
pub async fn rotate(State(app): State<Arc<App>>, operator: Operator) -> Result<Done<Value>, NativeFailure> {
    let version = app.cloud.rotate_key(&operator.0).await?;
    Ok(Done(StatusCode::OK, json!({ "version": version })))
}
