//! What a QR code opens.

use serde::Serialize;

use crate::api::reply::{Answer, Reply};
use crate::api::{App, Ask};

/// The answer of `/device/getWxaInfo`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entered<'a> {
    access_token: &'a str,
    device_serial: &'a str,
    channel_no: u16,
}

/// `POST /device/getWxaInfo`: `null` for a code that opens nothing, or nothing now.
pub async fn enter(app: &App, ask: &Ask) -> Reply {
    let entered = app.cloud.enter(ask.text("uuid")?.trim()).await?;
    let data = entered.as_ref().map(|entered| Entered {
        access_token: &entered.token.access_token,
        device_serial: &entered.serial,
        channel_no: entered.channel.0,
    });
    Ok(Answer::data(&data))
}
