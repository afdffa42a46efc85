//! What is set on a device: lens mask, encryption, defence.

use serde::Serialize;

use super::Target;
use crate::api::reply::{Answer, Failure, Reply};
use crate::api::{App, Ask};

/// `POST device/scene/switch/status`
pub async fn mask(app: &App, ask: &Ask) -> Reply {
    let (caller, channel) = Target::read(ask)?.find(app, ask).await?;
    let covered = app.cloud.mask(&caller, &channel).await?;
    Ok(Answer::data(&Switch { device_serial: &channel.serial, channel_no: channel.no.0, enable: u8::from(covered) }))
}

/// `POST device/scene/switch/set`
pub async fn set_mask(app: &App, ask: &Ask) -> Reply {
    let target = Target::read(ask)?;
    let covered = ask.flag("enable")?.ok_or(Failure::Parameter("enable"))?;
    let (caller, channel) = target.find(app, ask).await?;
    app.cloud.set_mask(&caller, &channel, covered).await?;
    Ok(Answer::done())
}

/// `POST device/encrypt/on`
pub async fn encrypt(app: &App, ask: &Ask) -> Reply {
    let serial = ask.text("deviceSerial")?;
    let caller = app.caller(ask).await?;
    app.cloud.encrypt(&caller, serial).await?;
    Ok(Answer::done())
}

/// `POST device/encrypt/off`: documented with a code, which one client does not send.
pub async fn decrypt(app: &App, ask: &Ask) -> Reply {
    let serial = ask.text("deviceSerial")?;
    let code = match app.config.device.decrypt_needs_code {
        true => Some(ask.text("validateCode")?),
        false => ask.optional("validateCode"),
    };
    let caller = app.caller(ask).await?;
    app.cloud.decrypt(&caller, serial, code.map(str::trim)).await?;
    Ok(Answer::done())
}

/// `POST device/password/update`
pub async fn change_password(app: &App, ask: &Ask) -> Reply {
    let serial = ask.text("deviceSerial")?;
    let (old, new) = (ask.text("oldPassword")?, ask.text("newPassword")?);
    let caller = app.caller(ask).await?;
    app.cloud.change_password(&caller, serial, old, new).await?;
    Ok(Answer::done())
}

/// `POST device/defence/set`
pub async fn set_defence(app: &App, ask: &Ask) -> Reply {
    let (serial, defence) = (ask.text("deviceSerial")?, ask.required_number("isDefence")?);
    let caller = app.caller(ask).await?;
    app.cloud.set_defence(&caller, serial, defence).await?;
    Ok(Answer::done())
}

/// The answer of every switch's `status`; numbers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Switch<'a> {
    device_serial: &'a str,
    channel_no: u16,
    enable: u8,
}
