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
    _folder: TempDir,
}

impl Fluorite {
    /// Starts the server at `binary` with an empty data folder and free ports, and makes an account.
    /// With `trial` it has virtual cameras, which are pulled no longer than somebody watches.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn start(binary: &Path, setting: Setting, trial: bool) -> Result<Fluorite> {
        let folder = tempfile::tempdir()?;
        let (ready, log) = (folder.path().join("ready.json"), folder.path().join("log"));
        let mut command = Command::new(binary);
        command.arg("serve").arg("--ready-file").arg(&ready).current_dir(folder.path());
        for (key, value) in [
            ("FLUORITE_DATA", folder.path().join("data").to_string_lossy().into_owned()),
            ("FLUORITE_HTTP__LISTEN", "127.0.0.1:0".to_owned()),
            ("FLUORITE_RTMP__LISTEN", "127.0.0.1:0".to_owned()),
            ("FLUORITE_LOG__LEVEL", "warn".to_owned()),
            // Where the benchmark's own cameras are.
            ("FLUORITE_DEVICE__ALLOW", "127.0.0.1".to_owned()),
        ] {
            command.env(key, value);
        }
        if let Some(merge_ms) = setting.merge_ms() {
            command.env("FLUORITE_MEDIA__MERGE_MS", merge_ms.to_string());
        }
        if trial {
            command.arg("--trial").env("FLUORITE_MEDIA__LINGER_S", "0");
        }
        let mut process = Process::start(&mut command, &log)?;
        wait_until(|| ready.exists() || !process.is_running(), "Fluorite does not get ready")?;
        if !process.is_running() {
            bail!("Fluorite ended: {}", std::fs::read_to_string(&log)?);
        }
        let told: Value = serde_json::from_slice(&std::fs::read(&ready)?)?;
        let http = text(&told, "/http")?.trim_start_matches("http://").to_owned();
        let admin_token = text(&told, "/admin_token")?;
        let mut fluorite = Fluorite {
            process,
            http,
            admin_token,
            access_token: String::new(),
            trial_serial: None,
            attached: AtomicU32::new(0),
            _folder: folder,
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

    /// Asks until the device is on line, which the server notices a little after it is.
    fn live_address(&self, serial: &str, protocol: u32) -> Result<Address> {
        let form = format!("deviceSerial={serial}&channelNo=1&protocol={protocol}&quality=1&expireTime=3600");
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
        let head = format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\n", self.admin_token);
        post(&self.http, &format!("/api/v1/{path}"), &head, &body.to_string())
    }

    /// Calls the Open API.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn lapp(&self, path: &str, form: &str) -> Result<Value> {
        let form = format!("accessToken={}&{form}", self.access_token);
        post(&self.http, &format!("/api/lapp/{path}"), "Content-Type: application/x-www-form-urlencoded\r\n", &form)
    }
}

/// A device that publishes.
pub struct Attached {
    serial: String,
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
    /// Starts it on a free port with the module's defaults.
    ///
    /// # Errors
    /// When it is not installed or does not get ready.
    pub fn start() -> Result<Nginx> {
        let folder = tempfile::tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let config = folder.path().join("nginx.conf");
        let pid = folder.path().join("pid");
        std::fs::write(
            &config,
            format!(
                "load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;\n\
                 daemon off; master_process off; worker_rlimit_nofile 20000; pid {};\n\
                 events {{ worker_connections 8192; }}\n\
                 rtmp {{ access_log off; server {{ listen 127.0.0.1:{port}; ping 30m;\n\
                 application live {{ live on; }} }} }}\n",
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

/// A POST with a JSON answer. Our own server answers in one piece, so this need not know HTTP well.
fn post(authority: &str, path: &str, head: &str, body: &str) -> Result<Value> {
    let mut socket = TcpStream::connect(authority)?;
    socket.set_read_timeout(Some(READY_WITHIN))?;
    write!(
        socket,
        "POST {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n{head}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    let (head, json) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    let status = head.lines().next().unwrap_or_default();
    ensure!(status.contains(" 20"), "{path}: {status}: {json}");
    serde_json::from_str(json).with_context(|| format!("{path} answered {json}"))
}
