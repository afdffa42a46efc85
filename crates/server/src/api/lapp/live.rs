//! Play addresses: made, listed the old way, and revoked.

use std::time::Duration;

use cloud::{Caller, Device, LiveAsk, SignedAddress};
use device::Quality;
use serde::Serialize;

use crate::api::code::{self, Family};
use crate::api::reply::{Answer, Failure, Reply};
use crate::api::time::local_text;
use crate::api::{App, Ask};

/// A row's `status`: its addresses can be used. Without addresses it is 0.
const IN_USE: u8 = 1;
/// A row's `exception`: all is well.
const NO_EXCEPTION: u8 = 0;
/// A row's `exception`: the device is off line.
const EXCEPTION_OFFLINE: u8 = 1;
/// A row's `exception`: the device is encrypted, and its code was not given.
const EXCEPTION_ENCRYPTED: u8 = 2;
/// A row's `exception`: the device was removed.
const EXCEPTION_REMOVED: u8 = 3;
/// A row's `exception`: there is no such channel.
const EXCEPTION_INVALID: u8 = 4;
/// A row's `exception`: the device is not bound to the caller.
const EXCEPTION_NOT_BOUND: u8 = 5;

/// Pairs in a `source` list; documented.
const SOURCES_MAX: usize = 50;

/// `POST v2/live/address/get`
pub async fn address(app: &App, ask: &Ask) -> Reply {
    let asked = Asked::read(ask)?;
    let caller = app.caller(ask).await?;
    let protocol = asked.protocol?;
    let channel = app.cloud.channel(&caller, asked.serial, asked.channel).await?;
    let address = app.cloud.live_address(&caller, &channel, asked.live).await?;
    let mut url = url(app, ask, protocol, &address);
    if asked.h265 {
        // Beside what is signed: it is the player's word about itself and opens nothing.
        url += "&supportH265=1";
    }
    if asked.mute {
        url += "&mute=1";
    }
    let expire_time = local_text(address.expires_at, app.config.node.utc_offset);
    Ok(Answer::data(&Address { id: &address.id, url, expire_time }))
}

/// `POST live/address/get`: with `source` a list of channels, else as the newer one.
pub async fn address_v1(app: &App, ask: &Ask) -> Reply {
    let Some(source) = ask.optional("source") else { return address(app, ask).await };
    let pairs = pairs(source)?;
    let expire_s = ask.number("expireTime")?;
    let caller = app.caller(ask).await?;
    let mut rows = Vec::with_capacity(pairs.len());
    for (serial, no) in pairs {
        rows.push(source_row(app, ask, &caller, serial, no, expire_s).await);
    }
    Ok(Answer::data(&rows))
}

/// `POST v2/live/address/disable`: one address, by its id.
pub async fn disable(app: &App, ask: &Ask) -> Reply {
    let id = ask.text("urlId")?.trim().parse().map_err(|_| Failure::Parameter("urlId"))?;
    revoke(app, ask, Some(id)).await
}

/// `POST live/address/disable`: one address, or without `urlId` all of the channel.
pub async fn disable_all(app: &App, ask: &Ask) -> Reply {
    let id = ask.number("urlId")?;
    revoke(app, ask, id).await
}

async fn revoke(app: &App, ask: &Ask, id: Option<u64>) -> Reply {
    let serial = ask.text("deviceSerial")?;
    let no = ask.number("channelNo")?.unwrap_or(1);
    let caller = app.caller(ask).await?;
    let channel = app.cloud.channel(&caller, serial, no).await?;
    app.cloud.revoke(&caller, &channel, id).await?;
    Ok(Answer::done())
}

/// What is asked for, well formed.
struct Asked<'a> {
    serial: &'a str,
    channel: u16,
    /// A protocol that is documented and not built is told after the token was looked at.
    protocol: Result<Protocol, Failure>,
    live: LiveAsk<'a>,
    /// The player takes H.265; without it the gateway looks for H.264.
    h265: bool,
    /// The player wants no sound.
    mute: bool,
}

impl Asked<'_> {
    fn read(ask: &Ask) -> Result<Asked<'_>, Failure> {
        let serial = ask.text("deviceSerial")?;
        let channel = ask.number("channelNo")?.unwrap_or(1);
        let kind = ask.number("type")?.unwrap_or(1);
        let protocol = Protocol::read(ask.number("protocol")?.unwrap_or(1), kind)?;
        let quality = ask.number("quality")?.unwrap_or(1);
        let quality = Quality::from_number(quality).ok_or(Failure::Parameter("quality"))?;
        let expire_s = ask.number("expireTime")?;
        let h265 = ask.flag("supportH265")?.unwrap_or(false);
        let mute = ask.flag("mute")?.unwrap_or(false);
        let code = ask.optional("code");
        Ok(Asked { serial, channel, protocol, live: LiveAsk { quality, expire_s, code }, h265, mute })
    }
}

/// A way of playing that is built.
#[derive(Clone, Copy)]
enum Protocol {
    Rtmp,
    Flv,
}

impl Protocol {
    /// By the number in the request: 1 ezopen, 2 HLS, 3 RTMP, 4 HTTP-FLV, 5 LL-HLS; type 1 is live,
    /// 2 and 3 are playback.
    fn read(number: u8, kind: u8) -> Result<Result<Protocol, Failure>, Failure> {
        if !(1..=3).contains(&kind) {
            return Err(Failure::Parameter("type"));
        }
        match (number, kind) {
            (3, 1) => Ok(Ok(Protocol::Rtmp)),
            (4, 1) => Ok(Ok(Protocol::Flv)),
            (1..=5, _) => Ok(Err(Failure::Unsupported)),
            _ => Err(Failure::Parameter("protocol")),
        }
    }
}

/// The answer of `v2/live/address/get`; all text.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Address<'a> {
    id: &'a str,
    url: String,
    expire_time: String,
}

fn url(app: &App, ask: &Ask, protocol: Protocol, address: &SignedAddress) -> String {
    let SignedAddress { path, query, .. } = address;
    match protocol {
        Protocol::Rtmp => format!("{}{path}?{query}", app.addresses.rtmp(&ask.reached)),
        Protocol::Flv => format!("{}{path}.flv?{query}", app.addresses.http(&ask.reached)),
    }
}

/// A row of the old list; texts of its codes are in it.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct SourceRow {
    device_serial: String,
    channel_no: u16,
    device_name: Option<String>,
    hls: Option<String>,
    hls_hd: Option<String>,
    rtmp: Option<String>,
    rtmp_hd: Option<String>,
    flv_address: Option<String>,
    hd_flv_address: Option<String>,
    status: u8,
    exception: u8,
    ret: String,
    desc: String,
    begin_time: Option<i64>,
    end_time: Option<i64>,
}

async fn source_row(app: &App, ask: &Ask, caller: &Caller, serial: &str, no: u16, expire_s: Option<u64>) -> SourceRow {
    let made = source_addresses(app, ask, caller, serial, no, expire_s).await;
    let mut row = SourceRow { device_serial: serial.trim().to_uppercase(), channel_no: no, ..SourceRow::default() };
    let code = match made {
        Ok((device, main, sub)) => {
            row.device_name = Some(device.name);
            row.rtmp_hd = Some(url(app, ask, Protocol::Rtmp, &main));
            row.hd_flv_address = Some(url(app, ask, Protocol::Flv, &main));
            row.rtmp = Some(url(app, ask, Protocol::Rtmp, &sub));
            row.flv_address = Some(url(app, ask, Protocol::Flv, &sub));
            row.status = IN_USE;
            row.exception = if device.online { NO_EXCEPTION } else { EXCEPTION_OFFLINE };
            if let Some(seconds) = expire_s {
                row.end_time = Some(main.expires_at.0);
                row.begin_time = Some((main.expires_at - Duration::from_secs(seconds)).0);
            }
            code::OK
        }
        Err(error) => {
            row.exception = match error {
                cloud::Error::Encrypted => EXCEPTION_ENCRYPTED,
                cloud::Error::DeviceRemoved => EXCEPTION_REMOVED,
                cloud::Error::NotOwner => EXCEPTION_NOT_BOUND,
                _ => EXCEPTION_INVALID,
            };
            Failure::from(error).code(Family::Address)
        }
    };
    row.ret = code.to_string();
    row.desc = code::text(code, ask.language).to_owned();
    row
}

/// The addresses of a row, which are filled for a device that is off line too: such lists are kept.
async fn source_addresses(
    app: &App,
    ask: &Ask,
    caller: &Caller,
    serial: &str,
    no: u16,
    expire_s: Option<u64>,
) -> Result<(Device, SignedAddress, SignedAddress), cloud::Error> {
    let device = app.cloud.device(caller, serial).await?;
    let channel = app.cloud.channel(caller, serial, no).await?;
    let code = ask.optional("code");
    let main = LiveAsk { quality: Quality::Main, expire_s, code };
    let sub = LiveAsk { quality: Quality::Sub, ..main };
    let main = app.cloud.standing_address(caller, &channel, main).await?;
    let sub = app.cloud.standing_address(caller, &channel, sub).await?;
    Ok((device, main, sub))
}

/// Splits `SERIAL:CH,SERIAL:CH`; serials may hold colons, the last one counts.
fn pairs(source: &str) -> Result<Vec<(&str, u16)>, Failure> {
    let malformed = || Failure::Parameter("source");
    let pairs: Vec<_> = source
        .split(',')
        .map(|pair| {
            let (serial, no) = pair.trim().rsplit_once(':').ok_or_else(malformed)?;
            Ok((serial, no.parse().map_err(|_| malformed())?))
        })
        .collect::<Result<_, Failure>>()?;
    if pairs.len() > SOURCES_MAX { Err(malformed()) } else { Ok(pairs) }
}
