//! Cards that open cloud storage. Times are milliseconds since 1970.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use cloud::{Card, CardAsk, CardState, UnixMillis};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Done, Json, NativeFailure, Operator};
use crate::api::App;

/// What cards to make. Without `expires` they can be used for a year.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MakeBody {
    count: u32,
    days: u32,
    retention_days: u32,
    batch: Option<String>,
    expires: Option<i64>,
    serial: Option<String>,
}

/// Whether the cards of a batch may be used.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnableBody {
    enabled: bool,
}

/// Which cards; without a batch all.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    batch: Option<String>,
}

const YEAR: std::time::Duration = std::time::Duration::from_secs(365 * 24 * 3600);

/// `POST cards`: makes a batch. The keys are shown only in this answer.
pub async fn make(
    State(app): State<Arc<App>>,
    operator: Operator,
    Json(body): Json<MakeBody>,
) -> Result<Done<Value>, NativeFailure> {
    let MakeBody { count, days, retention_days, batch, expires, serial } = body;
    let expires_at = expires.map_or(app.cloud.now() + YEAR, UnixMillis);
    let ask = CardAsk { count, days, retention_days, batch, expires_at, bundled_with: serial };
    let made = app.cloud.make_cards(&operator.0, ask).await?;
    Ok(Done(StatusCode::CREATED, json!({ "batch": made.batch, "expires_at": expires_at.0, "keys": made.keys })))
}

/// `GET cards?batch=…`: what became of them.
pub async fn list(
    State(app): State<Arc<App>>,
    operator: Operator,
    wanted: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
) -> Result<Done<Value>, NativeFailure> {
    let Query(Wanted { batch }) = wanted.map_err(|e| NativeFailure::Malformed(e.body_text()))?;
    let cards = app.cloud.cards(&operator.0, batch.as_deref()).await?;
    Ok(Done(StatusCode::OK, json!({ "cards": cards.iter().map(shown).collect::<Vec<_>>() })))
}

/// `PUT cards/{batch}`: keeps the unused cards of a batch from being used, or lets them.
pub async fn enable(
    State(app): State<Arc<App>>,
    operator: Operator,
    Path(batch): Path<String>,
    Json(body): Json<EnableBody>,
) -> Result<StatusCode, NativeFailure> {
    app.cloud.enable_cards(&operator.0, &batch, body.enabled).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn shown(card: &Card) -> Value {
    json!({
        "id": card.id,
        "batch": card.batch,
        "days": card.days,
        "retention_days": card.retention_days,
        "serial": card.bundled_with,
        "expires_at": card.expires_at.0,
        "state": match card.state {
            CardState::Unused => "unused",
            CardState::Used => "used",
            CardState::Expired => "expired",
            CardState::Disabled => "disabled",
        },
        "used": card.used.as_ref().map(|used| json!({
            "at": used.at.0,
            "account": used.account_id,
            "serial": used.serial,
            "channel": used.channel_no,
        })),
    })
}
