//! What is recorded, and how recording goes. Times are milliseconds since 1970.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use cloud::{RecorderSetting, RecorderState, Recording, RecordingChannel, Storage, UnixMillis};
use device::{ChannelNo, RecordingKind};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Done, Json, NativeFailure, Operator};
use crate::api::App;

/// Which recordings.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    serial: String,
    #[serde(default = "first")]
    channel: u16,
    from: Option<i64>,
    to: Option<i64>,
}

fn first() -> u16 {
    1
}

/// Whether to lock.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockBody {
    locked: bool,
}

/// A recorder on our disk; what is absent is 0.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecorderBody {
    enabled: bool,
    #[serde(default)]
    bytes_max: u64,
    #[serde(default)]
    days_max: u32,
}

/// `GET recordings?serial=…&channel=…&from=…&to=…`: what is kept of a channel, ascending.
pub async fn list(
    State(app): State<Arc<App>>,
    operator: Operator,
    ask: Result<Query<Ask>, axum::extract::rejection::QueryRejection>,
) -> Result<Done<Value>, NativeFailure> {
    let Query(ask) = ask.map_err(|e| NativeFailure::Malformed(e.body_text()))?;
    let (from, to) = (UnixMillis(ask.from.unwrap_or(0)), UnixMillis(ask.to.unwrap_or(i64::MAX)));
    let found = app.cloud.recordings(&operator.0, &ask.serial, ChannelNo(ask.channel), from, to).await?;
    let recordings: Vec<Value> = found.iter().map(recording).collect();
    Ok(Done(StatusCode::OK, json!({ "recordings": recordings })))
}

/// `PUT recordings/{id}/lock`: nothing deletes a locked recording.
pub async fn lock(
    State(app): State<Arc<App>>,
    operator: Operator,
    Path(id): Path<u64>,
    Json(body): Json<LockBody>,
) -> Result<StatusCode, NativeFailure> {
    match app.cloud.lock_recording(&operator.0, id, body.locked).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(NativeFailure::NotFound),
    }
}

/// `PUT devices/{serial}/recorder`: a recorder on our disk in the place of the device's card.
pub async fn set_recorder(
    State(app): State<Arc<App>>,
    operator: Operator,
    Path(serial): Path<String>,
    Json(body): Json<RecorderBody>,
) -> Result<StatusCode, NativeFailure> {
    let RecorderBody { enabled, bytes_max, days_max } = body;
    app.cloud.set_recorder(&operator.0, &serial, RecorderSetting { enabled, bytes_max, days_max }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET recorders`: how recording goes, channel by channel, and whether there is room.
pub async fn recorders(State(app): State<Arc<App>>, operator: Operator) -> Done<Value> {
    let state = app.cloud.recording_state(&operator.0);
    let removed: Map<String, Value> = state
        .removed
        .by_cause
        .iter()
        .map(|(cause, (segments, bytes))| (cause.replace(' ', "_"), json!({ "segments": segments, "bytes": bytes })))
        .collect();
    Done(
        StatusCode::OK,
        json!({
            "recorders": state.channels.iter().map(recorder).collect::<Vec<_>>(),
            "full_since": state.full_since.map(|at| at.0),
            "free_bytes": state.free,
            "unlisted_segments": state.unlisted,
            "unlisted_since": state.unlisted_since.map(|at| at.0),
            "writes": state.written.writes,
            "syncs": state.written.syncs,
            "removed": removed,
        }),
    )
}

fn recording(found: &Recording) -> Value {
    json!({
        "id": found.id,
        "storage": found.storage.name(),
        "from": found.from.0,
        "to": found.to.0,
        "kind": match found.kind { RecordingKind::Timed => "timed", RecordingKind::Event => "event" },
        "bytes": found.bytes,
        "locked": found.locked,
    })
}

fn recorder(channel: &RecordingChannel) -> Value {
    let (state, why) = match &channel.state {
        RecorderState::Waiting => ("waiting", None),
        RecorderState::Recording => ("recording", None),
        RecorderState::Paused { why } => ("paused", Some(why)),
    };
    json!({
        "serial": channel.serial,
        "channel": channel.channel.0,
        "storage": Storage::name(channel.storage),
        "state": state,
        "why": why,
        "since": channel.since.map(|at| at.0),
        "lost_seconds": channel.lost_ms as f64 / 1000.0,
        "bytes": channel.bytes,
    })
}
