//! `/api/lapp`: the classic family. One file a resource; a handler says what is asked, who asks, calls
//! the product and shapes the answer.

mod camera;
mod device;
mod entry;
mod live;
mod ptz;
mod setting;
mod storage;
mod token;
mod video;
mod voice;

use cloud::{Caller, Channel};

use super::code::Family;
use super::reply::Failure;
use super::{Access, App, Ask, Route};

/// The channel that a request is about: `deviceSerial` and `channelNo`, 1 when absent.
struct Target<'a> {
    serial: &'a str,
    channel: u16,
}

impl<'a> Target<'a> {
    fn read(ask: &'a Ask) -> Result<Target<'a>, Failure> {
        Ok(Target { serial: ask.text("deviceSerial")?, channel: ask.number("channelNo")?.unwrap_or(1) })
    }

    /// Who asks, and the channel, which is the caller's.
    async fn find(&self, app: &App, ask: &Ask) -> Result<(Caller, Channel), Failure> {
        let caller = app.caller(ask).await?;
        let channel = app.cloud.channel(&caller, self.serial, self.channel).await?;
        Ok((caller, channel))
    }
}

/// Where a mini-program that was opened by a QR code asks what it opens.
pub const ENTRY: &str = "/device/getWxaInfo";

/// What most routes have; the rows of [`ROUTES`] say what is different.
const USUAL: Route = Route {
    path: "",
    access: Access::Device,
    reads: false,
    uploads: false,
    guests: false,
    family: Family::Control,
    example: &[],
    run: |_, _| Box::pin(async { Err(Failure::Unsupported) }),
};

/// Every route of the family. A path that is not here answers that the command is not supported.
#[rustfmt::skip]
pub static ROUTES: &[Route] = &[
    Route { path: "token/get", access: Access::Anyone,
        example: &[("appKey", "{app_key}"), ("appSecret", "{app_secret}")],
        run: |app, ask| Box::pin(token::get(app, ask)), ..USUAL },

    Route { path: ENTRY, access: Access::Anyone,
        example: &[("uuid", "{entry}")],
        run: |app, ask| Box::pin(entry::enter(app, ask)), ..USUAL },

    Route { path: "device/add", access: Access::Account,
        example: &[("deviceSerial", "{free_serial}"), ("validateCode", "{free_code}")],
        run: |app, ask| Box::pin(device::add(app, ask)), ..USUAL },
    Route { path: "device/delete",
        run: |app, ask| Box::pin(device::delete(app, ask)), ..USUAL },
    Route { path: "device/name/update",
        example: &[("deviceName", "Gate")],
        run: |app, ask| Box::pin(device::rename(app, ask)), ..USUAL },
    Route { path: "device/list", access: Access::Account, reads: true,
        run: |app, ask| Box::pin(device::list(app, ask)), ..USUAL },
    Route { path: "device/info", guests: true, reads: true,
        run: |app, ask| Box::pin(device::info(app, ask)), ..USUAL },
    Route { path: "device/status/get", guests: true, reads: true,
        run: |app, ask| Box::pin(device::status(app, ask)), ..USUAL },
    Route { path: "device/capacity", guests: true, reads: true,
        run: |app, ask| Box::pin(device::capacity(app, ask)), ..USUAL },
    Route { path: "device/camera/list", guests: true, reads: true,
        run: |app, ask| Box::pin(device::cameras(app, ask)), ..USUAL },
    Route { path: "device/version/info", guests: true, reads: true,
        run: |app, ask| Box::pin(device::version(app, ask)), ..USUAL },
    Route { path: "device/capture", guests: true, family: Family::Capture,
        run: |app, ask| Box::pin(device::capture(app, ask)), ..USUAL },

    Route { path: "device/ptz/start", guests: true, family: Family::Ptz,
        example: &[("direction", "0"), ("speed", "1")],
        run: |app, ask| Box::pin(ptz::start(app, ask)), ..USUAL },
    Route { path: "device/ptz/stop", guests: true, family: Family::Ptz,
        run: |app, ask| Box::pin(ptz::stop(app, ask)), ..USUAL },
    Route { path: "device/ptz/mirror", guests: true,
        example: &[("command", "2")],
        run: |app, ask| Box::pin(ptz::mirror(app, ask)), ..USUAL },
    Route { path: "device/preset/add", family: Family::Ptz,
        run: |app, ask| Box::pin(ptz::preset_add(app, ask)), ..USUAL },
    Route { path: "device/preset/move", guests: true, family: Family::Ptz,
        example: &[("index", "1")],
        run: |app, ask| Box::pin(ptz::preset_move(app, ask)), ..USUAL },
    Route { path: "device/preset/clear", family: Family::Ptz,
        example: &[("index", "1")],
        run: |app, ask| Box::pin(ptz::preset_clear(app, ask)), ..USUAL },

    Route { path: "device/scene/switch/status", guests: true, reads: true,
        run: |app, ask| Box::pin(setting::mask(app, ask)), ..USUAL },
    Route { path: "device/scene/switch/set", guests: true,
        example: &[("enable", "1")],
        run: |app, ask| Box::pin(setting::set_mask(app, ask)), ..USUAL },
    Route { path: "device/encrypt/on",
        run: |app, ask| Box::pin(setting::encrypt(app, ask)), ..USUAL },
    Route { path: "device/encrypt/off",
        run: |app, ask| Box::pin(setting::decrypt(app, ask)), ..USUAL },
    Route { path: "device/password/update",
        example: &[("oldPassword", "{code}"), ("newPassword", "secret")],
        run: |app, ask| Box::pin(setting::change_password(app, ask)), ..USUAL },
    Route { path: "device/defence/set",
        example: &[("isDefence", "1")],
        run: |app, ask| Box::pin(setting::set_defence(app, ask)), ..USUAL },

    Route { path: "camera/list", access: Access::Account, reads: true,
        run: |app, ask| Box::pin(camera::list(app, ask)), ..USUAL },
    Route { path: "camera/name/update",
        example: &[("name", "Gate")],
        run: |app, ask| Box::pin(camera::rename(app, ask)), ..USUAL },

    Route { path: "v2/live/address/get", guests: true, reads: true, family: Family::Address,
        example: &[("protocol", "3")],
        run: |app, ask| Box::pin(live::address(app, ask)), ..USUAL },
    Route { path: "v2/live/address/disable", family: Family::Address,
        example: &[("urlId", "254708522214232064")],
        run: |app, ask| Box::pin(live::disable(app, ask)), ..USUAL },
    Route { path: "live/address/get", reads: true, family: Family::Address,
        example: &[("protocol", "3")],
        run: |app, ask| Box::pin(live::address_v1(app, ask)), ..USUAL },
    Route { path: "live/address/disable", family: Family::Address,
        run: |app, ask| Box::pin(live::disable_all(app, ask)), ..USUAL },

    Route { path: "video/by/time", guests: true, reads: true, family: Family::Storage,
        run: |app, ask| Box::pin(video::by_time(app, ask)), ..USUAL },
    Route { path: "video/by/id", reads: true, family: Family::Storage,
        example: &[("alarmId", "1")],
        run: |app, ask| Box::pin(video::by_id(app, ask)), ..USUAL },
    // Our own; on the platform imitated, downloads are an affair of its SDKs.
    Route { path: "video/download/address", guests: true, family: Family::Address,
        run: |app, ask| Box::pin(video::download(app, ask)), ..USUAL },
    Route { path: "/api/v3/device/local/video/unify/query", guests: true, reads: true, family: Family::Storage,
        example: &[("startTime", "1731859200"), ("endTime", "1731945600")],
        run: |app, ask| Box::pin(video::unify(app, ask)), ..USUAL },
    Route { path: "/api/v3/das/device/local/video/query", guests: true, reads: true, family: Family::Storage,
        example: &[("startTime", "1731859200"), ("endTime", "1731945600")],
        run: |app, ask| Box::pin(video::unify(app, ask)), ..USUAL },
    Route { path: "/api/v3/open/cloud/video/exist/query/month", guests: true, reads: true, family: Family::Storage,
        example: &[("queryMonth", "202411")],
        run: |app, ask| Box::pin(video::month(app, ask)), ..USUAL },

    Route { path: "cloud/storage/open",
        example: &[("cardPassword", "{card}")],
        run: |app, ask| Box::pin(storage::open(app, ask)), ..USUAL },
    Route { path: "cloud/storage/enable",
        example: &[("enable", "1")],
        run: |app, ask| Box::pin(storage::enable(app, ask)), ..USUAL },
    Route { path: "cloud/storage/device/info", guests: true, reads: true,
        run: |app, ask| Box::pin(storage::info(app, ask)), ..USUAL },
    Route { path: "cloud/v2/storage/device/info", guests: true, reads: true,
        run: |app, ask| Box::pin(storage::info_v2(app, ask)), ..USUAL },

    Route { path: "voice/query", guests: true, access: Access::Account, reads: true, family: Family::Voice,
        run: |app, ask| Box::pin(voice::query(app, ask)), ..USUAL },
    Route { path: "voice/send", guests: true, family: Family::Voice,
        example: &[("fileUrl", "{voice_url}")],
        run: |app, ask| Box::pin(voice::send(app, ask)), ..USUAL },
    Route { path: "voice/sendonce", guests: true, uploads: true, family: Family::Voice,
        run: |app, ask| Box::pin(voice::send_once(app, ask)), ..USUAL },
    Route { path: "voice/upload", access: Access::Account, uploads: true, family: Family::Voice,
        run: |app, ask| Box::pin(voice::upload(app, ask)), ..USUAL },
    // Our own; nobody has published what the platform calls it.
    Route { path: "voice/rename", access: Access::Account, family: Family::Voice,
        example: &[("voiceName", "phrase"), ("newVoiceName", "greeting")],
        run: |app, ask| Box::pin(voice::rename(app, ask)), ..USUAL },
    Route { path: "voice/delete", access: Access::Account, family: Family::Voice,
        example: &[("voiceName", "greeting")],
        run: |app, ask| Box::pin(voice::delete(app, ask)), ..USUAL },
];
