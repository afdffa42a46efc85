//! Cloud storage: opened by a card, described, paused.

use cloud::{Plan, PlanState, UnixMillis};
use serde::Serialize;

use super::Target;
use crate::api::reply::{Answer, Failure, Reply};
use crate::api::{App, Ask};
use crate::config::Language;

const DAY_MS: i64 = 24 * 3_600_000;
/// The unit of spans that are told in days.
const UNIT_DAY: u8 = 1;
/// Recording all the time.
const CONTINUOUS: u8 = 1;

/// `POST cloud/storage/open`
pub async fn open(app: &App, ask: &Ask) -> Reply {
    let target = Target::read(ask)?;
    let key = ask.text("cardPassword")?;
    let immediately = ask.flag("isImmediately")?.unwrap_or(false);
    let (caller, channel) = target.find(app, ask).await?;
    app.cloud.open_card(&caller, &channel, key, immediately).await?;
    Ok(Answer::done())
}

/// `POST cloud/storage/enable`: pauses it for the whole device, or lets it record again.
pub async fn enable(app: &App, ask: &Ask) -> Reply {
    let serial = ask.text("deviceSerial")?;
    let enabled = ask.flag("enable")?.ok_or(Failure::Parameter("enable"))?;
    let caller = app.caller(ask).await?;
    app.cloud.enable_plans(&caller, serial, enabled).await?;
    Ok(Answer::done())
}

/// `POST cloud/storage/device/info`
pub async fn info(app: &App, ask: &Ask) -> Reply {
    let (caller, channel) = Target::read(ask)?.find(app, ask).await?;
    let plans = app.cloud.plans(&caller, &channel).await?;
    let plan = present(&plans);
    let days = plan.map_or(0, |plan| plan.retention_days);
    Ok(Answer::data(&Info {
        user_name: ask.optional("phone").unwrap_or_default(),
        device_serial: &channel.serial,
        channel_no: channel.no.0,
        total_days: days,
        status: status(&plans),
        valid_days: plan.map_or(0, |plan| length_days(plan).unwrap_or(0)),
        start_time: plan.map_or(0, |plan| plan.starts_at.0),
        expire_time: plan.map_or(0, ends),
        service_detail: match ask.language {
            Language::Zh => format!("{days}天"),
            Language::En => format!("{days} days"),
        },
    }))
}

/// `POST cloud/v2/storage/device/info`: one row, or none if nothing was ever opened.
pub async fn info_v2(app: &App, ask: &Ask) -> Reply {
    let (caller, channel) = Target::read(ask)?.find(app, ask).await?;
    let plans = app.cloud.plans(&caller, &channel).await?;
    let Some(plan) = present(&plans) else { return Ok(Answer::data(&[(); 0])) };
    let name = |plan: &Plan| match ask.language {
        Language::Zh => format!("{}天循环", plan.retention_days),
        Language::En => format!("{}-day loop", plan.retention_days),
    };
    let service = |plan: &Plan| Service {
        business_order_id: plan.id.to_string(),
        service_time: length_days(plan).unwrap_or(0),
        service_time_unit: UNIT_DAY,
        product_pay_type: 1,
        effect_time: plan.starts_at.0,
        expire_time: ends(plan),
        status: match plan.state {
            PlanState::Waiting => 1,
            PlanState::Active | PlanState::Paused => 2,
            PlanState::Expired => 3,
        },
        user_active_status: u8::from(plan.state != PlanState::Paused),
        effect_immediately: 0,
        cloud_product_type: CONTINUOUS,
        cloud_product_name: name(plan),
        is_continue_cloud: 0,
        ai_capacity: [],
    };
    let last = plans.iter().max_by_key(|plan| ends(plan)).unwrap_or(plan);
    Ok(Answer::data(&[InfoV2 {
        device_serial: &channel.serial,
        total_days: plan.retention_days,
        user_enable: u8::from(plan.state != PlanState::Paused),
        service_type: "3",
        expire_time: ends(last),
        service_time: length_days(plan).unwrap_or(0),
        service_time_unit: UNIT_DAY,
        storage_time: plan.retention_days,
        storage_time_unit: UNIT_DAY,
        is_continue_cloud: 0,
        cloud_product_name: name(plan),
        intelligent_name: None,
        intelligent_id: None,
        upgrade_intelligent: 0,
        current_ai_capacity: [],
        storage_mode: CONTINUOUS,
        support_service_codes: [],
        cloud_storage_service_resp_list: plans.iter().map(service).collect(),
    }]))
}

/// The plan that tells how things stand: the one that runs, else the first that waits, else the last that ran.
fn present(plans: &[Plan]) -> Option<&Plan> {
    let over = |plan: &&Plan| plan.state == PlanState::Expired;
    plans.iter().find(|plan| !over(plan)).or(plans.last())
}

/// How things stand by a channel's plans: -1 not opened, 0 inactive, 1 active, 2 expired.
pub(super) fn status(plans: &[Plan]) -> i32 {
    match present(plans).map(|plan| plan.state) {
        None => -1,
        Some(PlanState::Waiting | PlanState::Paused) => 0,
        Some(PlanState::Active) => 1,
        Some(PlanState::Expired) => 2,
    }
}

/// When it ends; the last second of the year 9999 if never.
fn ends(plan: &Plan) -> i64 {
    plan.expires_at.unwrap_or(UnixMillis(253_402_300_799_000)).0
}

/// Days that it runs in all; none if it has no end.
fn length_days(plan: &Plan) -> Option<i64> {
    plan.expires_at.map(|end| (end.0 - plan.starts_at.0) / DAY_MS)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info<'a> {
    user_name: &'a str,
    device_serial: &'a str,
    channel_no: u16,
    total_days: u32,
    status: i32,
    valid_days: i64,
    start_time: i64,
    expire_time: i64,
    service_detail: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InfoV2<'a> {
    device_serial: &'a str,
    total_days: u32,
    user_enable: u8,
    service_type: &'static str,
    expire_time: i64,
    service_time: i64,
    service_time_unit: u8,
    storage_time: u32,
    storage_time_unit: u8,
    is_continue_cloud: u8,
    cloud_product_name: String,
    intelligent_name: Option<&'a str>,
    intelligent_id: Option<&'a str>,
    upgrade_intelligent: u8,
    current_ai_capacity: [u8; 0],
    storage_mode: u8,
    support_service_codes: [u8; 0],
    cloud_storage_service_resp_list: Vec<Service>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Service {
    business_order_id: String,
    service_time: i64,
    service_time_unit: u8,
    product_pay_type: u8,
    effect_time: i64,
    expire_time: i64,
    status: u8,
    user_active_status: u8,
    effect_immediately: u8,
    cloud_product_type: u8,
    cloud_product_name: String,
    is_continue_cloud: u8,
    ai_capacity: [u8; 0],
}
