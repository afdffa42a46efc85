//! Devices: bind, name, list, describe.

use std::collections::BTreeMap;

use cloud::{Channel, Device};
use serde::Serialize;
use serde_json::json;

use super::Target;
use super::storage;
use crate::api::reply::{Answer, Page, Reply};
use crate::api::{App, Ask};

/// Not supported, in the words of `status/get`.
const NOT_SUPPORTED: i32 = -2;
/// Not known, likewise.
const UNKNOWN: i32 = -1;

/// `POST device/add`
pub async fn add(app: &App, ask: &Ask) -> Reply {
    let (serial, code) = (ask.text("deviceSerial")?, ask.text("validateCode")?);
    let caller = app.caller(ask).await?;
    app.cloud.device_add(&caller, serial, code.trim()).await?;
    Ok(Answer::done())
}

/// `POST device/delete`
pub async fn delete(app: &App, ask: &Ask) -> Reply {
    let serial = ask.text("deviceSerial")?;
    let caller = app.caller(ask).await?;
    app.cloud.device_delete(&caller, serial).await?;
    Ok(Answer::done())
}

/// `POST device/name/update`
pub async fn rename(app: &App, ask: &Ask) -> Reply {
    let (serial, name) = (ask.text("deviceSerial")?, ask.text("deviceName")?);
    let caller = app.caller(ask).await?;
    app.cloud.device_rename(&caller, serial, name).await?;
    Ok(Answer::done())
}

/// `POST device/list`: by page, or with `id` those after it.
pub async fn list(app: &App, ask: &Ask) -> Reply {
    let page = ask.page(app)?;
    let caller = app.caller(ask).await?;
    let found = match ask.optional("id") {
        Some(id) => app.cloud.device_list_after(&caller, id, page.size).await?,
        None => app.cloud.device_list(&caller, page.page, page.size).await?,
    };
    let rows: Vec<ListRow<'_>> = found.rows.iter().map(ListRow::of).collect();
    Ok(Answer::rows(&rows, Page { total: found.total, ..page }))
}

/// `POST device/info`
pub async fn info(app: &App, ask: &Ask) -> Reply {
    let serial = ask.text("deviceSerial")?;
    let caller = app.caller(ask).await?;
    let device = app.cloud.device(&caller, serial).await?;
    Ok(Answer::data(&Info::of(&device)))
}

/// `POST device/status/get`
pub async fn status(app: &App, ask: &Ask) -> Reply {
    let serial = ask.text("deviceSerial")?;
    let channel = ask.number("channel")?.or(ask.number("channelNo")?).unwrap_or(1);
    let caller = app.caller(ask).await?;
    let device = app.cloud.device(&caller, serial).await?;
    let channel = app.cloud.channel(&caller, serial, channel).await?;
    let mask = match app.cloud.known_mask(&caller, &channel).await {
        Err(cloud::Error::Unsupported) => NOT_SUPPORTED,
        other => other?.map_or(UNKNOWN, i32::from),
    };
    let plans = app.cloud.plans(&caller, &channel).await?;
    Ok(Answer::data(&Status::of(&device, mask, storage::status(&plans))))
}

/// `POST device/version/info`: no protocol we speak tells of newer firmware.
pub async fn version(app: &App, ask: &Ask) -> Reply {
    let serial = ask.text("deviceSerial")?;
    let caller = app.caller(ask).await?;
    let version = app.cloud.device(&caller, serial).await?.firmware;
    Ok(Answer::data(&Version {
        latest_version: &version,
        current_version: &version,
        is_need_upgrade: 0,
        is_upgrading: 0,
    }))
}

/// `POST device/capture`: `quality` changes nothing, as documented.
pub async fn capture(app: &App, ask: &Ask) -> Reply {
    let (caller, channel) = Target::read(ask)?.find(app, ask).await?;
    let picture = app.cloud.capture(&caller, &channel).await?;
    Ok(Answer::data(&json!({ "picUrl": app.file_url(ask, &picture) })))
}

/// `POST device/capacity`: what is absent is not supported.
pub async fn capacity(app: &App, ask: &Ask) -> Reply {
    let serial = ask.text("deviceSerial")?;
    let caller = app.caller(ask).await?;
    let device = app.cloud.device(&caller, serial).await?;
    let capabilities: &BTreeMap<String, String> = &device.capabilities;
    Ok(Answer::data(capabilities))
}

/// `POST device/camera/list`
pub async fn cameras(app: &App, ask: &Ask) -> Reply {
    let serial = ask.text("deviceSerial")?;
    let caller = app.caller(ask).await?;
    let device = app.cloud.device(&caller, serial).await?;
    let rows: Vec<CameraOfDevice<'_>> =
        device.channels.iter().map(|channel| CameraOfDevice::of(&device, channel)).collect();
    Ok(Answer::data(&rows))
}

/// A row of `device/list`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListRow<'a> {
    id: &'a str,
    device_serial: &'a str,
    device_name: &'a str,
    device_type: &'a str,
    status: u8,
    defence: u8,
    device_version: &'a str,
    add_time: i64,
    update_time: i64,
    parent_category: &'static str,
    risk_level: u8,
    net_address: Option<&'a str>,
}

impl ListRow<'_> {
    fn of(device: &Device) -> ListRow<'_> {
        ListRow {
            id: &device.id,
            device_serial: &device.serial,
            device_name: &device.name,
            device_type: &device.model,
            status: u8::from(device.online),
            defence: device.defence,
            device_version: &device.firmware,
            add_time: device.added_at.0,
            update_time: device.changed_at.0,
            parent_category: CATEGORY,
            risk_level: 0,
            // The address it has towards the internet, which a camera in our own network does not tell.
            net_address: None,
        }
    }
}

/// Everything attached so far is a network camera.
const CATEGORY: &str = "IPC";

/// The answer of `device/info`. `status`, `isEncrypt` and `updateTime` must be numbers: clients compare
/// them strictly and show the camera as off line otherwise.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info<'a> {
    device_serial: &'a str,
    device_name: &'a str,
    local_name: &'a str,
    model: &'a str,
    status: u8,
    defence: u8,
    is_encrypt: u8,
    alarm_sound_mode: u8,
    offline_notify: u8,
    category: &'a str,
    parent_category: &'static str,
    update_time: i64,
    net_type: &'static str,
    signal: &'static str,
    risk_level: u8,
    net_address: Option<&'a str>,
    local_address: String,
    net_name: &'static str,
    ssid: &'static str,
}

impl Info<'_> {
    fn of(device: &Device) -> Info<'_> {
        Info {
            device_serial: &device.serial,
            device_name: &device.name,
            local_name: &device.name,
            model: &device.model,
            status: u8::from(device.online),
            defence: device.defence,
            is_encrypt: u8::from(device.encrypted),
            alarm_sound_mode: 2,
            offline_notify: 0,
            category: CATEGORY,
            parent_category: CATEGORY,
            update_time: device.changed_at.0,
            // No protocol we speak tells how a camera is connected; "wire" makes clients show no signal.
            net_type: "wire",
            signal: "",
            risk_level: 0,
            net_address: None,
            local_address: host(&device.address),
            net_name: "",
            ssid: "",
        }
    }
}

/// The host in a device's address; empty for one that publishes to us.
fn host(address: &str) -> String {
    let first = address.split_whitespace().next().unwrap_or_default();
    url::Url::parse(first).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
}

/// The answer of `device/status/get`. What a camera of ours does not have is told in the documented
/// words: -2 not supported, -1 unknown or not related.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    privacy_status: i32,
    pir_status: i32,
    alarm_sound_mode: i32,
    /// The platform's own spelling.
    battry_status: i32,
    lock_signal: i32,
    disk_num: i32,
    disk_state: &'static str,
    cloud_type: i32,
    cloud_status: i32,
    nvr_disk_num: i32,
    nvr_disk_state: &'static str,
    net_address: Option<String>,
    signal: i32,
    wake_up_status: i32,
    cloud_channel_list: [(); 0],
}

impl Status {
    fn of(device: &Device, mask: i32, cloud_status: i32) -> Status {
        Status {
            privacy_status: mask,
            pir_status: NOT_SUPPORTED,
            alarm_sound_mode: 2,
            battry_status: -1,
            lock_signal: -1,
            disk_num: -1,
            disk_state: "-1",
            cloud_type: 1,
            cloud_status,
            nvr_disk_num: -1,
            nvr_disk_state: "",
            net_address: None,
            signal: -1,
            wake_up_status: i32::from(device.online),
            cloud_channel_list: [],
        }
    }
}

/// The answer of `device/version/info`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Version<'a> {
    latest_version: &'a str,
    current_version: &'a str,
    is_need_upgrade: u8,
    is_upgrading: u8,
}

/// A row of `device/camera/list`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CameraOfDevice<'a> {
    device_serial: &'a str,
    ipc_serial: &'a str,
    channel_no: u16,
    device_name: &'a str,
    channel_name: &'a str,
    status: i8,
    is_shared: &'static str,
    pic_url: &'static str,
    is_encrypt: u8,
    video_level: u8,
    related_ipc: bool,
    permission: i32,
    is_add: u8,
}

impl CameraOfDevice<'_> {
    fn of<'a>(device: &'a Device, channel: &'a Channel) -> CameraOfDevice<'a> {
        CameraOfDevice {
            device_serial: &device.serial,
            ipc_serial: &device.serial,
            channel_no: channel.no.0,
            device_name: &device.name,
            channel_name: &channel.name,
            status: i8::from(device.online),
            is_shared: "0",
            pic_url: "",
            is_encrypt: u8::from(device.encrypted),
            video_level: 2,
            related_ipc: false,
            permission: -1,
            is_add: 1,
        }
    }
}
