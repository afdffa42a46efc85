//! Plans of a channel: how long it is recorded, and how long that is kept. Times are milliseconds since 1970.

use std::sync::Arc;

use axum::extract::{Path, State};
use cloud::{Plan, PlanAsk, PlanState};
use device::ChannelNo;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Done, Json, NativeFailure, Operator};
use crate::api::App;

/// What the plan is to be. Without `days` it has no end.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanBody {
    retention_days: u32,
    days: Option<u32>,
}

/// `GET devices/{serial}/channels/{no}/plan`: past ones and those that wait, too.
pub async fn show(
    State(app): State<Arc<App>>,
    operator: Operator,
    Path((serial, no)): Path<(String, u16)>,
) -> Result<Done<Value>, NativeFailure> {
    let plans = app.cloud.channel_plans(&operator.0, &serial, ChannelNo(no)).await?;
    Ok(shown(&plans))
}

/// `PUT devices/{serial}/channels/{no}/plan`: this one from now on, in the place of every other.
pub async fn set(
    State(app): State<Arc<App>>,
    operator: Operator,
    Path((serial, no)): Path<(String, u16)>,
    Json(PlanBody { retention_days, days }): Json<PlanBody>,
) -> Result<Done<Value>, NativeFailure> {
    let ask = PlanAsk { retention_days, days };
    let plans = app.cloud.set_plan(&operator.0, &serial, ChannelNo(no), ask).await?;
    Ok(shown(&plans))
}

/// `DELETE devices/{serial}/channels/{no}/plan`: recording ends; what was recorded stays for its days.
pub async fn end(
    State(app): State<Arc<App>>,
    operator: Operator,
    Path((serial, no)): Path<(String, u16)>,
) -> Result<StatusCode, NativeFailure> {
    app.cloud.end_plans(&operator.0, &serial, ChannelNo(no)).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn shown(plans: &[Plan]) -> Done<Value> {
    let plan = |plan: &Plan| {
        json!({
            "id": plan.id,
            "retention_days": plan.retention_days,
            "starts_at": plan.starts_at.0,
            "expires_at": plan.expires_at.map(|at| at.0),
            "state": match plan.state {
                PlanState::Waiting => "waiting",
                PlanState::Active => "active",
                PlanState::Paused => "paused",
                PlanState::Expired => "expired",
            },
        })
    };
    Done(StatusCode::OK, json!({ "plans": plans.iter().map(plan).collect::<Vec<_>>() }))
}
