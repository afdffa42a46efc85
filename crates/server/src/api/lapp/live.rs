//! Play addresses: made, listed the old way, and revoked.

use std::time::Duration;

use cloud::{Caller, Device, LiveAsk, LocalTime, PlaybackAsk, SignedAddress, Storage};
use device::Quality;
use serde::Serialize;

use super::video::playback_span;
use crate::api::code::{self, Family};
use crate::api::reply::{Answer, Failure, Reply};
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
    let asked = Asked::read(app, ask)?;
    let caller = app.caller(ask).await?;
    let channel = app.cloud.channel(&caller, asked.serial, asked.channel).await?;
    let (address, url) = match asked.what {
        What::Live(live) => {
            let address = app.cloud.live_address(&caller, &channel, live).await?;
            let url = url(app, ask, asked.protocol, &address, || {
                let hd = if live.quality == Quality::Main { ".hd" } else { "" };
                format!("{}/{}{hd}.live", channel.serial, channel.no)
            });
            (address, url)
        }
        What::Playback(playback) => {
            let address = app.cloud.playback_address(&caller, &channel, playback).await?;
            let url = url(app, ask, asked.protocol, &address, || {
                let rec = if playback.storage == Storage::Cloud { ".cloud.rec" } else { ".rec" };
                // As signed; what follows the span is of no use there.
                let span = address.query.split("&expire=").next().unwrap_or_default();
                format!("{}/{}{rec}?{span}", channel.serial, channel.no)
            });
            (address, url)
        }
    };
    let expire_time = LocalTime::of(address.expires_at, app.config.node.utc_offset.0).to_string();
    Ok(Answer::data(&Address { id: &address.id, url: url + &asked.wishes, expire_time }))
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
    protocol: Protocol,
    what: What<'a>,
    /// What follows the signed parameters: the player's word about itself, which opens nothing.
    wishes: String,
}

/// What is to be seen.
#[derive(Clone, Copy)]
enum What<'a> {
    Live(LiveAsk<'a>),
    Playback(PlaybackAsk<'a>),
}

impl Asked<'_> {
    fn read<'a>(app: &App, ask: &'a Ask) -> Result<Asked<'a>, Failure> {
        let serial = ask.text("deviceSerial")?;
        let channel = ask.number("channelNo")?.unwrap_or(1);
        let kind: u8 = ask.number("type")?.unwrap_or(1);
        let protocol = Protocol::read(ask.number("protocol")?.unwrap_or(1))?;
        let (expire_s, code) = (ask.number("expireTime")?, ask.optional("code"));
        let what = match kind {
            1 => {
                let quality = ask.number("quality")?.unwrap_or(1);
                let quality = Quality::from_number(quality).ok_or(Failure::Parameter("quality"))?;
                What::Live(LiveAsk { quality, expire_s, code })
            }
            2 | 3 => {
                let storage = if kind == 2 { Storage::Local } else { Storage::Cloud };
                let (from, to) = playback_span(app, ask)?;
                What::Playback(PlaybackAsk { storage, from, to, expire_s, code })
            }
            _ => return Err(Failure::Parameter("type")),
        };
        Ok(Asked { serial, channel, protocol, what, wishes: wishes(ask, protocol, kind)? })
    }
}

/// Speeds of playback that can be asked for; -1 is as fast as it is taken.
const SPEEDS: [&str; 7] = ["-1", "0.5", "1", "2", "4", "8", "16"];

/// What a player wishes of the stream, as an address carries it.
fn wishes(ask: &Ask, protocol: Protocol, kind: u8) -> Result<String, Failure> {
    let (h265, mute, fmp4) = (ask.flag("supportH265")?, ask.flag("mute")?, ask.flag("containerFormat")?);
    let speed = ask.optional("playbackSpeed").map(str::trim).unwrap_or("1");
    let speed = SPEEDS.into_iter().find(|known| *known == speed).ok_or(Failure::Parameter("playbackSpeed"))?;
    let mut wishes = String::new();
    if protocol == Protocol::Ezopen {
        return Ok(wishes);
    }
    if h265 == Some(true) {
        // Without it the gateway looks for H.264.
        wishes += "&supportH265=1";
    }
    if mute == Some(true) {
        wishes += "&mute=1";
    }
    if fmp4 == Some(true) && matches!(protocol, Protocol::Hls | Protocol::LowLatencyHls) {
        wishes += "&containerFormat=1";
    }
    if kind != 1 && speed != "1" {
        wishes += "&playbackSpeed=";
        wishes += speed;
    }
    Ok(wishes)
}

/// A way of playing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Ezopen,
    Hls,
    Rtmp,
    Flv,
    LowLatencyHls,
}

impl Protocol {
    /// By the number in the request.
    fn read(number: u8) -> Result<Protocol, Failure> {
        Ok(match number {
            1 => Protocol::Ezopen,
            2 => Protocol::Hls,
            3 => Protocol::Rtmp,
            4 => Protocol::Flv,
            5 => Protocol::LowLatencyHls,
            _ => return Err(Failure::Parameter("protocol")),
        })
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

/// The address as a player of this protocol takes it; `ezopen` says what it names there.
fn url(app: &App, ask: &Ask, protocol: Protocol, address: &SignedAddress, ezopen: impl FnOnce() -> String) -> String {
    let SignedAddress { path, query, .. } = address;
    let http = || app.addresses.http(&ask.reached);
    match protocol {
        // Players expect this host whatever the API's is.
        Protocol::Ezopen => format!("ezopen://open.ys7.com/{}", ezopen()),
        Protocol::Rtmp => format!("{}{path}?{query}", app.addresses.rtmp(&ask.reached)),
        Protocol::Flv => format!("{}{path}.flv?{query}", http()),
        Protocol::Hls => format!("{}{path}.m3u8?{query}", http()),
        Protocol::LowLatencyHls => {
            // What is signed is the path without this folder.
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            format!("{}{folder}/llhls/{name}.m3u8?{query}", http())
        }
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
            let url = |protocol, address| Some(url(app, ask, protocol, address, String::new));
            (row.hls_hd, row.hls) = (url(Protocol::Hls, &main), url(Protocol::Hls, &sub));
            (row.rtmp_hd, row.rtmp) = (url(Protocol::Rtmp, &main), url(Protocol::Rtmp, &sub));
            (row.hd_flv_address, row.flv_address) = (url(Protocol::Flv, &main), url(Protocol::Flv, &sub));
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
