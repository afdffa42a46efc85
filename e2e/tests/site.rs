//! A server as an operator runs it: no trial, cameras attached by the native API, an account that binds
//! and watches them.

use std::time::Duration;

use av::UnixMicros;
use proto::calendar;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::harness::{Server, eventually};

/// The server and one account.
pub struct Site {
    /// The server.
    pub server: Server,
    token: String,
    _configuration: TempDir,
}

impl Site {
    /// A server that may dial cameras on this machine, which it otherwise refuses.
    pub async fn start() -> Site {
        Site::configured("").await
    }

    /// The same with more in its configuration.
    pub async fn configured(more: &str) -> Site {
        Site::with(more, None).await
    }

    /// The same with its data on a disk of its own of so many MB.
    pub async fn on_disk(megabytes: u32, more: &str) -> Site {
        Site::with(more, Some(megabytes)).await
    }

    async fn with(more: &str, megabytes: Option<u32>) -> Site {
        let configuration = TempDir::new().unwrap();
        let file = configuration.path().join("fluorite.toml");
        std::fs::write(&file, format!("[device]\nallow = [\"127.0.0.1\"]\n{more}")).unwrap();
        let server = Server::on_disk(megabytes, &["--config", file.to_str().unwrap()]).await;
        let token = token(&server).await;
        Site { server, token, _configuration: configuration }
    }

    /// An access token of another, new account.
    pub async fn other_account(&self) -> String {
        token(&self.server).await
    }

    /// The native API.
    pub async fn native(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.server.native(method, path, Some(body)).await
    }

    /// Calls `/api/lapp/PATH` as this account, or as another if `form` has its token.
    pub async fn call(&self, path: &str, form: &[(&str, &str)]) -> Value {
        let mut form = form.to_vec();
        if !form.iter().any(|(name, _)| *name == "accessToken") {
            form.push(("accessToken", &self.token));
        }
        self.server.lapp(path, &form).await
    }

    /// The same, where the answer must be success; gives its data.
    pub async fn data(&self, path: &str, form: &[(&str, &str)]) -> Value {
        let answer = self.call(path, form).await;
        assert_eq!(answer["code"], "200", "{path}: {answer}");
        answer["data"].clone()
    }

    /// Calls `/api/lapp/PATH` as this account with a file, named `voiceFile`, in a multipart form whose
    /// boundary is `xXx`; `content_type` is what it is said to be.
    pub async fn upload(
        &self,
        path: &str,
        content_type: &str,
        form: &[(&str, &str)],
        (file_name, file): (&str, &[u8]),
    ) -> Value {
        let mut body = Vec::new();
        for (name, value) in form.iter().chain(&[("accessToken", self.token.as_str())]) {
            body.extend(format!("--xXx\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").bytes());
        }
        let name = format!("Content-Disposition: form-data; name=\"voiceFile\"; filename=\"{file_name}\"");
        body.extend(format!("--xXx\r\n{name}\r\nContent-Type: application/octet-stream\r\n\r\n").bytes());
        body.extend(file);
        body.extend(b"\r\n--xXx--\r\n");
        let url = format!("{}/api/lapp/{path}", self.server.http());
        let ask = self.server.client().post(url).header("Content-Type", content_type).body(body);
        let answer = ask.send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "lapp answers are always HTTP 200");
        answer.json().await.expect("JSON")
    }

    /// Attaches a device as `body` says and binds it to this account; gives its description.
    pub async fn attach(&self, body: Value) -> Value {
        let (status, device) = self.native("POST", "devices", body).await;
        assert_eq!(status, 201, "{device}");
        let code = device["validate_code"].as_str().unwrap();
        self.data("device/add", &[("deviceSerial", text(&device, "serial")), ("validateCode", code)]).await;
        device
    }

    /// A play address: protocol 3 RTMP, 4 FLV; of the main stream.
    pub async fn address(&self, serial: &str, protocol: u8, more: &[(&str, &str)]) -> String {
        let protocol = protocol.to_string();
        let mut form = vec![("deviceSerial", serial), ("protocol", &protocol), ("expireTime", "3600")];
        form.extend(more);
        text(&self.data("v2/live/address/get", &form).await, "url").to_owned()
    }

    /// Waits until `device/info` says `status` (1 on line, 0 or 2 off line), which must be so `within`.
    pub async fn status_becomes(&self, serial: &str, online: bool, within: Duration) {
        let since = Instant::now();
        eventually(if online { "device on line" } else { "device off line" }, || async {
            let info = self.data("device/info", &[("deviceSerial", serial)]).await;
            ((info["status"] == 1) == online).then_some(())
        })
        .await;
        assert!(since.elapsed() < within, "{serial} took {:?}", since.elapsed());
    }

    /// How many peers were turned away because what they sent cannot be understood.
    pub async fn malformed(&self) -> u64 {
        let (_, sessions) = self.server.native("GET", "sessions", None).await;
        sessions["ended"]["malformed"].as_u64().unwrap_or_else(|| panic!("{sessions}"))
    }

    /// The server still answers, holds less than this many MiB of memory, has not panicked, and stops in
    /// order when asked to.
    pub async fn ends_well(self, resident_max_mib: u64) {
        let (status, health) = self.server.native("GET", "health", None).await;
        assert_eq!((status, text(&health, "status")), (200, "ok"));
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.server.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        let resident_kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert!(resident_kib < resident_max_mib << 10, "{line}");
        let log = self.server.log();
        assert!(!log.contains("panicked"), "{log}");
        assert!(self.server.stop().await.success());
    }
}

/// A moment as the API writes it: `yyyy-MM-dd HH:mm:ss` in the node's zone, +08:00, the second that has begun.
pub fn local(at: UnixMicros) -> String {
    let seconds = at.0.div_euclid(1_000_000) + 8 * 3600;
    calendar::write(UnixMicros(seconds * 1_000_000)).replace('T', " ").trim_end_matches('Z').to_owned()
}

/// A text in an answer.
#[track_caller]
pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

/// A token of a new account.
async fn token(server: &Server) -> String {
    let (status, app) = server.native("POST", "apps", None).await;
    assert_eq!(status, 201, "{app}");
    let form = [("appKey", text(&app, "app_key")), ("appSecret", text(&app, "app_secret"))];
    text(&server.lapp_ok("token/get", &form).await, "accessToken").to_owned()
}
