//! Channels over all devices of an account.

use cloud::{Channel, Device};
use serde::Serialize;

use crate::api::reply::{Answer, Page, Reply};
use crate::api::{App, Ask};

/// `POST camera/list`
pub async fn list(app: &App, ask: &Ask) -> Reply {
    let page = ask.page(app)?;
    let caller = app.caller(ask).await?;
    let found = app.cloud.camera_list(&caller, page.page, page.size).await?;
    let rows: Vec<Row<'_>> = found.rows.iter().map(|(device, channel)| Row::of(device, channel)).collect();
    Ok(Answer::rows(&rows, Page { total: found.total, ..page }))
}

/// `POST camera/name/update`
pub async fn rename(app: &App, ask: &Ask) -> Reply {
    let (serial, name) = (ask.text("deviceSerial")?, ask.text("name")?);
    let channel = ask.number("channelNo")?.unwrap_or(1);
    let caller = app.caller(ask).await?;
    app.cloud.channel_rename(&caller, serial, channel, name).await?;
    Ok(Answer::done())
}

/// A row of `camera/list`. `isShared` is text, `permission` -1 for one's own.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    device_serial: &'a str,
    channel_no: u16,
    channel_name: &'a str,
    status: u8,
    is_shared: &'static str,
    pic_url: &'static str,
    is_encrypt: u8,
    video_level: u8,
    permission: i32,
    is_add: u8,
}

impl Row<'_> {
    fn of<'a>(device: &'a Device, channel: &'a Channel) -> Row<'a> {
        Row {
            device_serial: &device.serial,
            channel_no: channel.no.0,
            channel_name: &channel.name,
            status: u8::from(device.online),
            is_shared: "0",
            pic_url: "",
            is_encrypt: u8::from(device.encrypted),
            video_level: 2,
            permission: -1,
            is_add: 1,
        }
    }
}
