//! The trial: virtual cameras that are attached and bound like any others, and an application for them.
//!
//! The cameras listen on loopback only and answer no discovery; exactly their sockets are allow-listed.
//! What makes them the same cameras after a restart (port and password, a real camera's flash memory)
//! is kept in `trial.json` in the data folder.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use camera::{Camera, CardConfig, Config};
use cloud::{Attach, Attached, Caller, Error, LiveAsk, SignedAddress};
use device::{AllowedHost, DriverKind, Login, Quality};
use rand::Rng;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::address::Reached;
use crate::api::App;
use crate::config::UtcOffset;
use crate::ready::{Ready, Trial, TrialDevice};
use crate::tls::write_private;

/// Name of the account that a trial makes.
const ACCOUNT: &str = "trial";

/// Serial, name and what each camera's street looks like.
const CAMERAS: [(&str, &str, u64); 2] = [("TRIAL0001", "Street", 1), ("TRIAL0002", "Square", 2)];

/// Size of a trial camera's card: about half an hour of its main stream, and what it held when it was new.
const CARD_BYTES: u64 = 256 << 20;

/// The one user of a trial camera.
const USER: &str = "admin";

/// A camera on loopback is on line in less than a second; a loaded machine gets this long.
const ONLINE_WITHIN: Duration = Duration::from_secs(10);

/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(20);

/// What a camera remembers.
#[derive(Default, Deserialize, Serialize)]
struct Memory {
    http_port: u16,
    password: String,
}

/// Starts the cameras, on the ports they had before where those are free. Their cards, if they have any, are
/// theirs again too.
///
/// # Errors
/// When a camera cannot start or the data folder cannot be written.
pub async fn start_cameras(data: &Path, zone: UtcOffset, cards: bool) -> anyhow::Result<Vec<Camera>> {
    let file = data.join("trial.json");
    let before = std::fs::read(&file)
        .ok()
        .and_then(|json| serde_json::from_slice::<Vec<Memory>>(&json).ok())
        .unwrap_or_default();
    let mut before = before.into_iter();
    let mut cameras = Vec::new();
    let mut memories = Vec::new();
    for (serial, name, scene_seed) in CAMERAS {
        let memory = before.next().unwrap_or_else(|| Memory { http_port: 0, password: password() });
        let config = Config {
            serial: serial.into(),
            name: name.into(),
            user: USER.into(),
            password: memory.password.clone(),
            http_port: memory.http_port,
            scene_seed,
            card: cards.then(|| CardConfig {
                bytes_max: CARD_BYTES,
                samples: true,
                ..CardConfig::new(data.join(format!("trial-{serial}")))
            }),
            utc_offset_minutes: i16::try_from(zone.0).expect("an offset is at most 15 hours"),
            ..Config::default()
        };
        let camera = match Camera::start(config.clone()).await {
            // Somebody else has its port now: take another.
            Err(camera::Error::Listen { .. }) => Camera::start(Config { http_port: 0, ..config }).await,
            other => other,
        };
        let camera = camera.with_context(|| format!("virtual camera {serial}"))?;
        memories.push(Memory { http_port: camera.http_address().port(), password: memory.password });
        cameras.push(camera);
    }
    write_private(&file, &serde_json::to_vec(&memories)?)?;
    Ok(cameras)
}

/// 128 random bits.
fn password() -> String {
    let mut bytes = [0; 16];
    rand::rng().fill_bytes(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The sockets of a camera, which may be dialled although they are on loopback.
pub fn sockets(camera: &Camera) -> [AllowedHost; 2] {
    [camera.http_address(), camera.rtsp_address()].map(|at| AllowedHost { ip: at.ip(), port: Some(at.port()) })
}

/// Attaches and binds the cameras, and adds to `ready` what a visitor needs.
///
/// # Errors
/// When the product refuses a step or a camera does not come on line.
pub async fn set_up(app: &App, cameras: &[Camera], reached: &Reached, ready: &mut Ready) -> anyhow::Result<()> {
    let operator = app.cloud.console();
    let account = match app.cloud.account_named(&operator, ACCOUNT).await? {
        Some(account) => account,
        None => app.cloud.create_account_named(&operator, ACCOUNT).await?,
    };
    let made = match app.cloud.apps(&operator, &account).await?.pop() {
        Some(made) => made,
        None => app.cloud.create_app(&operator, &account).await?,
    };
    app.cloud.open_trial(&operator, &account);
    let access_token = app.cloud.token_get(&made.app_key, &made.app_secret).await?.access_token;
    let caller = app.cloud.caller(&access_token).await?;

    let mut devices = Vec::new();
    for camera in cameras {
        let attached = attach(app, camera).await?;
        online(app, &caller, &attached).await?;
        devices.push(TrialDevice {
            channels: attached.device.channels.iter().map(|channel| channel.no.0).collect(),
            serial: attached.device.serial,
            validate_code: attached.validate_code,
            name: attached.device.name,
            driver: "onvif",
        });
    }
    let first = devices.first().context("a trial has cameras")?;
    let channel = app.cloud.channel(&caller, &first.serial, 1).await?;
    let ask = LiveAsk { quality: Quality::Main, expire_s: None, code: None };
    let live = match app.cloud.live_address(&caller, &channel, ask).await {
        Ok(SignedAddress { path, query, .. }) => vec![
            format!("{}{path}?{query}", app.addresses.rtmp(reached)),
            format!("{}{path}.flv?{query}", app.addresses.http(reached)),
        ],
        // A visitor of an earlier run tried that.
        Err(Error::Encrypted) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    ready.page =
        format!("{}#/pages/live/live?accessToken={access_token}&deviceSerial={}&channelNo=1", ready.page, first.serial);
    ready.trial = Some(Trial { app_key: made.app_key, app_secret: made.app_secret, access_token, devices, live });
    Ok(())
}

/// The camera as a device; attached anew, with the code it had, when it is not where it was.
async fn attach(app: &App, camera: &Camera) -> anyhow::Result<Attached> {
    let operator = app.cloud.console();
    let config = camera.config();
    let before =
        app.cloud.attached(&operator).await?.into_iter().find(|attached| attached.device.serial == config.serial);
    let code = match before {
        Some(before) if before.device.address == camera.onvif_url() => return Ok(before),
        Some(before) => {
            app.cloud.detach(&operator, &config.serial).await?;
            Some(before.validate_code)
        }
        None => None,
    };
    let attach = Attach {
        kind: DriverKind::Onvif,
        address: camera.onvif_url(),
        login: Some(Login { user: config.user.clone(), password: config.password.clone() }),
        serial: Some(config.serial.clone()),
        validate_code: code,
        name: Some(config.name.clone()),
        keep_live: false,
    };
    app.cloud.attach(&operator, attach).await.with_context(|| format!("cannot attach {}", config.serial))
}

/// Waits until the device is on line, and binds it if it is not bound yet.
async fn online(app: &App, caller: &Caller, attached: &Attached) -> anyhow::Result<()> {
    let serial = &attached.device.serial;
    let deadline = Instant::now() + ONLINE_WITHIN;
    while !app.cloud.is_online(serial) {
        anyhow::ensure!(Instant::now() < deadline, "virtual camera {serial} does not come on line");
        sleep(LOOK).await;
    }
    match app.cloud.device_add(caller, serial, &attached.validate_code).await {
        Ok(()) | Err(Error::AlreadyYours) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot bind {serial}")),
    }
}
