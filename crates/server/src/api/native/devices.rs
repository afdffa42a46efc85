//! Devices as the operator sees them: attached or not, bound or not.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use cloud::{Attach, Attached};
use device::{DriverKind, Login};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Done, Json, NativeFailure, Operator};
use crate::address::Reached;
use crate::api::App;

/// Longest search for cameras.
const DISCOVERY_MAX: Duration = Duration::from_secs(10);

/// What to attach.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttachBody {
    driver: String,
    #[serde(default)]
    address: String,
    login: Option<LoginBody>,
    serial: Option<String>,
    validate_code: Option<String>,
    name: Option<String>,
    #[serde(default)]
    keep_live: bool,
}

/// A login at a camera.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LoginBody {
    user: String,
    password: String,
}

/// How to search.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiscoverBody {
    timeout_ms: u64,
}

impl Default for DiscoverBody {
    fn default() -> DiscoverBody {
        DiscoverBody { timeout_ms: 3_000 }
    }
}

/// `POST devices`: tries the camera and attaches it. The answer has the code that binds it.
pub async fn attach(
    State(app): State<Arc<App>>,
    operator: Operator,
    reached: Reached,
    Json(body): Json<AttachBody>,
) -> Result<Done<Value>, NativeFailure> {
    let kind = driver_kind(&body.driver)
        .ok_or_else(|| NativeFailure::Malformed("driver is onvif, isapi, rtsp or push".into()))?;
    let login = body.login.map(|login| Login { user: login.user, password: login.password });
    let attach = Attach {
        kind,
        address: body.address,
        login,
        serial: body.serial,
        validate_code: body.validate_code,
        name: body.name,
        keep_live: body.keep_live,
    };
    let attached = app.cloud.attach(&operator.0, attach).await?;
    Ok(Done(StatusCode::CREATED, shown(&app, &operator, &reached, &attached)))
}

/// `GET devices`
pub async fn list(
    State(app): State<Arc<App>>,
    operator: Operator,
    reached: Reached,
) -> Result<Done<Value>, NativeFailure> {
    let attached = app.cloud.attached(&operator.0).await?;
    let devices: Vec<Value> = attached.iter().map(|a| shown(&app, &operator, &reached, a)).collect();
    Ok(Done(StatusCode::OK, json!({ "devices": devices })))
}

/// `GET devices/{serial}`
pub async fn show(
    State(app): State<Arc<App>>,
    operator: Operator,
    reached: Reached,
    Path(serial): Path<String>,
) -> Result<Done<Value>, NativeFailure> {
    let attached = app.cloud.attached(&operator.0).await?;
    let found =
        attached.iter().find(|a| a.device.serial.eq_ignore_ascii_case(&serial)).ok_or(NativeFailure::NotFound)?;
    Ok(Done(StatusCode::OK, shown(&app, &operator, &reached, found)))
}

/// `DELETE devices/{serial}`
pub async fn detach(
    State(app): State<Arc<App>>,
    operator: Operator,
    Path(serial): Path<String>,
) -> Result<StatusCode, NativeFailure> {
    app.cloud.detach(&operator.0, &serial).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST discover`: cameras that answer WS-Discovery in the server's network.
pub async fn discover(
    State(app): State<Arc<App>>,
    _: Operator,
    Json(body): Json<DiscoverBody>,
) -> Result<Done<Value>, NativeFailure> {
    let wait = Duration::from_millis(body.timeout_ms).min(DISCOVERY_MAX);
    let interface = app.config.device.discovery_interface.fixed().copied();
    let found = device::discover(interface, wait).await.map_err(|e| NativeFailure::Discovery(e.to_string()))?;
    let cameras: Vec<Value> = found
        .iter()
        .map(|camera| json!({ "address": camera.address, "name": camera.name, "hardware": camera.hardware, "scopes": camera.scopes }))
        .collect();
    Ok(Done(StatusCode::OK, json!({ "cameras": cameras })))
}

/// The driver of that name.
pub fn driver_kind(name: &str) -> Option<DriverKind> {
    match name {
        "onvif" => Some(DriverKind::Onvif),
        "isapi" => Some(DriverKind::Isapi),
        "rtsp" => Some(DriverKind::Rtsp),
        "push" => Some(DriverKind::RtmpPush),
        _ => None,
    }
}

/// The name of a driver.
pub fn driver_name(kind: DriverKind) -> &'static str {
    match kind {
        DriverKind::Onvif => "onvif",
        DriverKind::Isapi => "isapi",
        DriverKind::Rtsp => "rtsp",
        DriverKind::RtmpPush => "push",
    }
}

fn shown(app: &App, operator: &Operator, reached: &Reached, attached: &Attached) -> Value {
    let Attached { device, validate_code } = attached;
    let channels: Vec<Value> = device.channels.iter().map(|c| json!({ "no": c.no.0, "name": c.name })).collect();
    let push_urls: Vec<String> = device
        .channels
        .iter()
        .filter_map(|channel| app.cloud.push_address(&operator.0, &device.serial, channel.no))
        .map(|address| format!("{}{address}", app.addresses.rtmp(reached)))
        .collect();
    json!({
        "serial": device.serial,
        "validate_code": validate_code,
        "name": device.name,
        "driver": driver_name(device.driver),
        "address": device.address,
        "state": if device.online { "online" } else { "offline" },
        "bound": device.bound,
        "keep_live": device.keep_live,
        "model": device.model,
        "firmware": device.firmware,
        "channels": channels,
        "push_urls": push_urls,
    })
}
