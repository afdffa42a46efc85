//! Who is watching and publishing.

use std::sync::Arc;

use axum::extract::{Path, State};
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{Done, NativeFailure, Operator};
use crate::api::App;
use crate::gateway::session::{Session, Why};

/// `GET sessions`: those running now, and since the start how many ended for which reason; peers that
/// were never understood count as `malformed`.
pub async fn list(State(app): State<Arc<App>>, _: Operator) -> Done<Value> {
    let all = &app.gateway.sessions;
    let sessions: Vec<Value> = all.list().iter().map(|session| shown(session)).collect();
    let ended: Map<String, Value> =
        all.ended().map(|(why, count)| (why.name().replace(' ', "_"), count.into())).collect();
    Done(StatusCode::OK, json!({ "sessions": sessions, "ended": ended, "skipped_blocks": all.skipped() }))
}

/// `DELETE sessions/{id}`: its connection is closed.
pub async fn end(State(app): State<Arc<App>>, _: Operator, Path(id): Path<u64>) -> Result<StatusCode, NativeFailure> {
    match app.gateway.sessions.finish_where(Why::Killed, |session| session.id == id) {
        0 => Err(NativeFailure::NotFound),
        _ => Ok(StatusCode::NO_CONTENT),
    }
}

fn shown(session: &Session) -> Value {
    json!({
        "id": session.id,
        "protocol": session.protocol.name(),
        "stream": session.stream.as_str(),
        "peer": session.peer.to_string(),
        "seconds": session.since.elapsed().unwrap_or_default().as_secs(),
        "bytes": session.bytes(),
        "skipped_blocks": session.skipped(),
    })
}
