//! The servers: Fluorite, and nginx-rtmp as a peer.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::Process;
use crate::record;
use crate::viewer::Address;

const READY_WITHIN: Duration = Duration::from_secs(30);

/// One stream of a server.
pub struct Stream {
    /// Where to publish it.
    pub publish: String,
    /// Where to watch it over RTMP.
    pub rtmp: Address,
    /// Where to watch it over HTTP-FLV, if the server has that.
    pub flv: Option<Address>,
}

/// How Fluorite is to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Every picture at once.
    Prompt,
    /// Bytes wait so that writes merge, as they do by default on a full node.
    Thrifty,
    /// As it comes.
    Default,
}

impl Setting {
    /// Milliseconds that bytes may wait, if that is fixed.
    pub fn merge_ms(self) -> Option<u32> {
        match self {
            Setting::Prompt => Some(0),
            Setting::Thrifty => Some(220),
            Setting::Default => None,
        }
    }
}

/// Fluorite, running.
pub struct Fluorite {
    /// The process.
    pub process: Process,
    http: String,
    admin_token: String,
    access_token: String,
    /// First trial camera, if it was started with cameras.
    trial_serial: Option<String>,
    /// Cameras attached so far.
    attached: AtomicU32,
    /// How it is started.
    command: Command,
    folder: TempDir,
}

impl Fluorite {
    /// Starts the server at `binary` with an empty data folder and free ports, and makes an account.
    /// With `trial` it has virtual cameras, which are pulled no longer than somebody watches.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn start(binary: &Path, setting: Setting, trial: bool) -> Result<Fluorite> {
        let folder = tempfile::tempdir()?;
        let ready = folder.path().join("ready.json");
        let mut command = Command::new(binary);
        command.arg("serve").arg("--ready-file").arg(&ready).current_dir(folder.path());
        for (key, value) in [
            ("FLUORITE_DATA", folder.path().join("data").to_string_lossy().into_owned()),
            ("FLUORITE_HTTP__LISTEN", "127.0.0.1:0".to_owned()),
            ("FLUORITE_RTMP__LISTEN", "127.0.0.1:0".to_owned()),
            ("FLUORITE_LOG__LEVEL", "warn".to_owned()),
            ("FLUORITE_RECORD__SEGMENT_S", record::SEGMENT.as_secs().to_string()),
            // Where the benchmark's own cameras are.
            ("FLUORITE_DEVICE__ALLOW", "127.0.0.1".to_owned()),
        ] {
            command.env(key, value);
        }
        if let Some(merge_ms) = setting.merge_ms() {
            command.env("FLUORITE_MEDIA__MERGE_MS", merge_ms.to_string());
        }
        if trial {
            command.args(["--trial", "--no-cards"]).env("FLUORITE_MEDIA__LINGER_S", "0");
        }
        let (process, told) = launch(&mut command, folder.path())?;
        let http = text(&told, "/http")?.trim_start_matches("http://").to_owned();
        let admin_token = text(&told, "/admin_token")?;
        let mut fluorite = Fluorite {
            process,
            http,
            admin_token,
            access_token: String::new(),
            trial_serial: None,
            attached: AtomicU32::new(0),
            command,
            folder,
        };
        if trial {
            fluorite.access_token = text(&told, "/trial/access_token")?;
            fluorite.trial_serial = Some(text(&told, "/trial/devices/0/serial")?);
        } else {
            let app = fluorite.native("apps", &json!({}))?;
            let keys = format!("appKey={}&appSecret={}", text(&app, "/app_key")?, text(&app, "/app_secret")?);
            fluorite.access_token = text(&fluorite.lapp("token/get", &keys)?, "/data/accessToken")?;
        }
        Ok(fluorite)
    }

    /// The folder of what it keeps.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Stops the server, does something to its data folder, and starts it again.
    ///
    /// # Errors
    /// When it does not end or does not get ready.
    pub fn restart(&mut self, meanwhile: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        self.process.end();
        meanwhile(&self.data())?;
        let (process, told) = launch(&mut self.command, self.folder.path())?;
        self.http = text(&told, "/http")?.trim_start_matches("http://").to_owned();
        self.process = process;
        Ok(())
    }

    /// Records the first channel of a device to cloud storage from now on.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn record(&self, attached: &Attached) -> Result<()> {
        let plan = json!({ "retention_days": 30 }).to_string();
        self.operator("PUT", &format!("devices/{}/channels/1/plan", attached.serial), &plan).map(drop)
    }

    /// How recording goes.
    ///
    /// # Errors
    /// When the server does not tell.
    pub fn recorders(&self) -> Result<Value> {
        self.operator("GET", "recorders", "")
    }

    /// Attaches a device that publishes, and adds it to the account.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn attach_publisher(&self) -> Result<Attached> {
        let (attached, serial) = self.attach(&json!({ "driver": "push", "name": "bench" }))?;
        let publish = text(&attached, "/push_urls/0")?;
        Ok(Attached { serial, publish })
    }

    /// Attaches an ONVIF camera and adds it to the account; gives its serial.
    ///
    /// # Errors
    /// When the server or the camera refuses.
    pub fn attach_camera(&self, address: &str, user: &str, password: &str) -> Result<String> {
        let login = json!({ "user": user, "password": password });
        // Their own serials are all the same.
        let serial = format!("BENCH{:04}", self.attached.fetch_add(1, Ordering::Relaxed));
        let body = json!({ "driver": "onvif", "address": address, "login": login, "serial": serial });
        Ok(self.attach(&body)?.1)
    }

    fn attach(&self, device: &Value) -> Result<(Value, String)> {
        let attached = self.native("devices", device)?;
        let (serial, code) = (text(&attached, "/serial")?, text(&attached, "/validate_code")?);
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let added = self.lapp("device/add", &format!("deviceSerial={serial}&validateCode={code}"))?;
            match added["code"].as_str() {
                Some("200") => return Ok((attached, serial)),
                // Not seen on line yet.
                Some("20007") if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
                _ => bail!("device/add: {added}"),
            }
        }
    }

    /// Play addresses of a device's first channel. A publisher must be there already.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn stream(&self, attached: &Attached) -> Result<Stream> {
        let address = |protocol| self.live_address(&attached.serial, protocol);
        Ok(Stream { publish: attached.publish.clone(), rtmp: address(3)?, flv: Some(address(4)?) })
    }

    /// RTMP address of the first trial camera.
    ///
    /// # Errors
    /// When there is none.
    pub fn trial_address(&self) -> Result<Address> {
        self.live_address(self.trial_serial.as_deref().context("no trial camera")?, 3)
    }

    /// What there is of a device's first channel: from when to when, in Unix milliseconds.
    ///
    /// # Errors
    /// When there is nothing.
    pub fn recordings(&self, serial: &str, storage: Storage) -> Result<Vec<(i64, i64)>> {
        let now_ms = std::time::UNIX_EPOCH.elapsed()?.as_millis() as i64;
        let form = format!(
            "deviceSerial={serial}&channelNo=1&recType={}&startTime={}&endTime={now_ms}",
            match storage {
                Storage::Cloud => 1,
                Storage::Card => 2,
            },
            now_ms - 48 * 3_600_000
        );
        let answer = self.lapp("video/by/time", &form)?;
        let rows = answer["data"].as_array().with_context(|| format!("no footage: {answer}"))?;
        let moment = |row: &Value, name: &str| row[name].as_i64().with_context(|| format!("no {name} in {row}"));
        rows.iter().map(|row| Ok((moment(row, "startTime")?, moment(row, "endTime")?))).collect()
    }

    /// Where footage of a device's first channel is played, from and to a Unix millisecond.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn footage_address(
        &self,
        serial: &str,
        storage: Storage,
        (from, to): (i64, i64),
        protocol: u32,
    ) -> Result<Address> {
        self.address(serial, protocol, &format!("&type={}&startTime={from}&stopTime={to}", storage as u8))
    }

    /// Asks until the device is on line, which the server notices a little after it is.
    fn live_address(&self, serial: &str, protocol: u32) -> Result<Address> {
        self.address(serial, protocol, "")
    }

    fn address(&self, serial: &str, protocol: u32, more: &str) -> Result<Address> {
        let form = format!("deviceSerial={serial}&channelNo=1&protocol={protocol}&quality=1&expireTime=3600{more}");
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let answer = self.lapp("v2/live/address/get", &form)?;
            match text(&answer, "/data/url") {
                Ok(url) => return Address::parse(&url),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    fn native(&self, path: &str, body: &Value) -> Result<Value> {
        self.operator("POST", path, &body.to_string())
    }

    fn operator(&self, method: &str, path: &str, body: &str) -> Result<Value> {
        let head = format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\n", self.admin_token);
        ask(&self.http, method, &format!("/api/v1/{path}"), &head, body)
    }

    /// Calls the Open API.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn lapp(&self, path: &str, form: &str) -> Result<Value> {
        let form = format!("accessToken={}&{form}", self.access_token);
        ask(
            &self.http,
            "POST",
            &format!("/api/lapp/{path}"),
            "Content-Type: application/x-www-form-urlencoded\r\n",
            &form,
        )
    }
}

/// Starts a server that tells in `ready.json` of this folder when it is ready; gives what it tells.
fn launch(command: &mut Command, folder: &Path) -> Result<(Process, Value)> {
    let (ready, log) = (folder.join("ready.json"), folder.join("log"));
    // That of an earlier start must not be taken for this one's.
    std::fs::remove_file(&ready).ok();
    let mut process = Process::start(command, &log)?;
    wait_until(|| ready.exists() || !process.is_running(), "Fluorite does not get ready")?;
    if !process.is_running() {
        bail!("Fluorite ended: {}", std::fs::read_to_string(&log)?);
    }
    Ok((process, serde_json::from_slice(&std::fs::read(&ready)?)?))
}

/// Where footage is kept; the `type` of playback addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// On the device.
    Card = 2,
    /// With the server.
    Cloud = 3,
}

/// A device that publishes.
pub struct Attached {
    /// Its serial.
    pub serial: String,
    /// Where it publishes.
    pub publish: String,
}

/// nginx with its RTMP module, in one process.
pub struct Nginx {
    /// The process.
    pub process: Process,
    port: u16,
    _folder: TempDir,
}

impl Nginx {
    /// Starts it on a free port with the module's defaults; with a folder it records there all that is
    /// published.
    ///
    /// # Errors
    /// When it is not installed or does not get ready.
    pub fn start(recordings: Option<&Path>) -> Result<Nginx> {
        let folder = tempfile::tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let config = folder.path().join("nginx.conf");
        let pid = folder.path().join("pid");
        let record =
            recordings.map_or(String::new(), |folder| format!("record all; record_path {};", folder.display()));
        std::fs::write(
            &config,
            format!(
                "load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;\n\
                 daemon off; master_process off; worker_rlimit_nofile 20000; pid {};\n\
                 events {{ worker_connections 8192; }}\n\
                 rtmp {{ access_log off; server {{ listen 127.0.0.1:{port}; ping 30m;\n\
                 application live {{ live on; {record} }} }} }}\n",
                pid.display()
            ),
        )?;
        let log = folder.path().join("log");
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-e").arg(folder.path().join("error")).arg("-c").arg(&config).arg("-p").arg(folder.path());
        let mut process = Process::start(&mut command, &log)?;
        let open = || TcpStream::connect(("127.0.0.1", port)).is_ok() || !process.is_running();
        wait_until(open, "nginx does not get ready")?;
        if !process.is_running() {
            bail!("nginx ended: {}", std::fs::read_to_string(&log)?);
        }
        Ok(Nginx { process, port, _folder: folder })
    }

    /// The stream of this name.
    ///
    /// # Errors
    /// Never, in fact.
    pub fn stream(&self, name: &str) -> Result<Stream> {
        let address = format!("rtmp://127.0.0.1:{}/live/{name}", self.port);
        Ok(Stream { rtmp: Address::parse(&address)?, publish: address, flv: None })
    }
}

/// The server's binary: the one given, or the one built beside this program.
///
/// # Errors
/// When there is none.
pub fn fluorite_binary(given: Option<PathBuf>) -> Result<PathBuf> {
    let beside = std::env::current_exe()?.with_file_name("fluorite");
    let path = given.unwrap_or(beside);
    ensure!(path.exists(), "{} is missing: cargo build --release --bin fluorite", path.display());
    Ok(std::fs::canonicalize(path)?)
}

fn wait_until(mut done: impl FnMut() -> bool, otherwise: &'static str) -> Result<()> {
    let deadline = Instant::now() + READY_WITHIN;
    while !done() {
        ensure!(Instant::now() < deadline, otherwise);
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn text(value: &Value, pointer: &str) -> Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    Ok(found.with_context(|| format!("no {pointer} in {value}"))?.to_owned())
}

/// A request with a JSON answer. Our own server answers in one piece, so this need not know HTTP well.
fn ask(authority: &str, method: &str, path: &str, head: &str, body: &str) -> Result<Value> {
    let mut socket = TcpStream::connect(authority)?;
    socket.set_read_timeout(Some(READY_WITHIN))?;
    write!(
        socket,
        "{method} {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n{head}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    let (head, json) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    let status = head.lines().next().unwrap_or_default();
    ensure!(status.contains(" 20"), "{path}: {status}: {json}");
    serde_json::from_str(json).with_context(|| format!("{path} answered {json}"))
}
