//! Applications: whom `token/get` gives tokens to.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use serde_json::{Value, json};

use super::{Done, NativeFailure, Operator};
use crate::api::App;

/// `POST apps`: an account with one application. The secret is shown only in this answer.
pub async fn create(State(app): State<Arc<App>>, operator: Operator) -> Result<Done<Value>, NativeFailure> {
    let account = app.cloud.create_account(&operator.0).await?;
    let made = app.cloud.create_app(&operator.0, &account).await?;
    Ok(Done(StatusCode::CREATED, json!({ "app_key": made.app_key, "app_secret": made.app_secret })))
}
