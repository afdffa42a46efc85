//! A server of one's own for each test, with accounts and devices in every state that matters.

use std::net::SocketAddr;
use std::sync::Arc;

use media::StreamWriter;
use serde_json::{Value, json};
use server::config::Config;
use server::run::{Options, Server};
use tempfile::TempDir;

use crate::http::{Answer, DEADLINE, send};
use crate::scripted::Scripted;

/// A device on line, bound to the first account; what it does, the test says.
pub const MINE: &str = "D12345678";
/// A device off line, bound to the first account.
pub const OFFLINE: &str = "D00000002";
/// A device bound to the second account.
pub const THEIRS: &str = "E00000001";
/// A device bound to nobody.
pub const FREE: &str = "F00000001";
/// A device that was the first account's when the operator detached it.
pub const REMOVED: &str = "G00000001";
/// A serial the platform has never seen.
pub const UNKNOWN: &str = "Z99999999";
/// The verification code of all of them.
pub const CODE: &str = "ABCDEF";

/// An application and a token of it.
pub struct AppOf {
    pub key: String,
    pub secret: String,
    pub token: String,
}

/// A server with data.
pub struct World {
    pub http: SocketAddr,
    pub operator: String,
    pub me: AppOf,
    pub other: AppOf,
    /// What drives [`MINE`].
    pub camera: Scripted,
    /// The main stream of [`MINE`], without a frame so far.
    pub publishing: Option<StreamWriter>,
    /// Where a phrase of the platform can be heard, plain and for a form.
    voice_url: (String, String),
    /// The key of an unused card of 30 days, of which 7 are kept.
    pub card: String,
    server: Server,
    /// What it keeps.
    pub data: TempDir,
}

/// A configuration for tests: loopback, free ports, a folder of its own.
pub fn config(data: &TempDir) -> Config {
    let mut config = Config::default();
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    (config.http.listen, config.http.tls_listen) = (Some(free), free);
    (config.rtmp.listen, config.rtmp.tls_listen) = (Some(free), free);
    config.store.data = data.path().into();
    config
}

impl World {
    /// Starts it.
    pub async fn start() -> World {
        World::with(|_| {}).await
    }

    /// Starts it with another configuration.
    pub async fn with(change: impl FnOnce(&mut Config)) -> World {
        let data = tempfile::tempdir().unwrap();
        let mut config = config(&data);
        change(&mut config);
        let server = Server::start(config, Options::default()).await.unwrap();
        let http = SocketAddr::from(([127, 0, 0, 1], server.app.addresses.http.unwrap()));
        let operator = server.ready.admin_token.clone().unwrap();

        for serial in [MINE, OFFLINE, THEIRS, FREE, REMOVED] {
            let device = json!({ "driver": "push", "serial": serial, "validate_code": CODE, "name": "Gate" });
            let answer = native(http, &operator, "POST", "devices", &device).await;
            assert_eq!(answer.status, 201, "{answer:?}");
        }
        let me = app(http, &operator).await;
        let other = app(http, &operator).await;
        for (app, serial) in [(&me, MINE), (&me, OFFLINE), (&me, REMOVED), (&other, THEIRS)] {
            let answer = lapp(
                http,
                "device/add",
                &[("accessToken", &app.token), ("deviceSerial", serial), ("validateCode", CODE)],
            )
            .await;
            assert_eq!(answer["code"], "200", "{answer}");
        }
        let answer = native(http, &operator, "DELETE", &format!("devices/{REMOVED}"), &Value::Null).await;
        assert_eq!(answer.status, 204, "{answer:?}");

        let stream = device::stream_id(MINE, device::ChannelNo(1), device::Quality::Main);
        let publishing = Some(server.app.cloud.hub().publish(stream).unwrap());
        let camera = Scripted::able();
        let voice_url = Default::default();
        let cards = json!({ "count": 1, "days": 30, "retention_days": 7 });
        let made = native(http, &operator, "POST", "cards", &cards).await.json();
        let card = made["keys"][0].as_str().unwrap().to_owned();
        let mut world = World { http, operator, me, other, camera, publishing, voice_url, card, server, data };
        world.drive(world.camera.clone()).await;
        let phrases = world.call("voice/query", &[("default", "true")]).await;
        let url = phrases["data"][0]["fileUrl"].as_str().unwrap().to_owned();
        let encoded = url::form_urlencoded::byte_serialize(url.as_bytes()).collect();
        world.voice_url = (url, encoded);
        world
    }

    /// Lets [`MINE`] be driven by this from now on.
    pub async fn drive(&self, camera: Scripted) {
        let cloud = &self.server.app.cloud;
        let said = camera.capabilities();
        cloud.drive(&cloud.console(), MINE, Arc::new(camera)).await.unwrap();
        self.until(|| async {
            let info = self.call("device/info", &[("deviceSerial", MINE)]).await;
            let capacity = self.call("device/capacity", &[("deviceSerial", MINE)]).await;
            // Five are the platform's.
            let known = capacity["data"].as_object().unwrap().len() == said + 5;
            info["data"]["status"] == 1 && info["data"]["model"] == "Scripted" && known
        })
        .await;
    }

    /// Lets the first account's application in, or keeps it out.
    pub async fn let_in(&self, enabled: bool) {
        let cloud = &self.server.app.cloud;
        cloud.enable_app(&cloud.console(), &self.me.key, enabled).await.unwrap();
    }

    /// The product inside.
    pub fn cloud(&self) -> &cloud::Cloud {
        &self.server.app.cloud
    }

    /// Where it speaks RTMP.
    pub fn rtmp_port(&self) -> u16 {
        self.server.app.addresses.rtmp.unwrap()
    }

    /// Stops it.
    pub async fn stop(self) {
        self.server.stop().await;
    }

    /// Calls the Open API as the first account.
    pub async fn call(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let parameters = [&[("accessToken", self.me.token.as_str())], parameters].concat();
        lapp(self.http, path, &parameters).await
    }

    /// Waits for a condition.
    pub async fn until<F: Future<Output = bool>>(&self, condition: impl Fn() -> F) {
        let holds = async {
            while !condition().await {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(DEADLINE, holds).await.expect("the condition in time");
    }

    /// Puts this world's values where a text names them.
    pub fn fill(&self, text: &str) -> String {
        self.names().iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }

    /// Puts names where this world's ports stand.
    pub fn unfill(&self, text: &str) -> String {
        let ports = [("{http_port}", self.server.app.addresses.http), ("{rtmp_port}", self.server.app.addresses.rtmp)];
        ports.iter().fold(text.to_owned(), |text, (name, port)| {
            port.map_or(text.clone(), |port| text.replace(&format!(":{port}/"), &format!(":{name}/")))
        })
    }

    fn names(&self) -> [(&'static str, &str); 14] {
        [
            ("token", &self.me.token),
            ("app_key", &self.me.key),
            ("app_secret", &self.me.secret),
            ("other_token", &self.other.token),
            ("other_secret", &self.other.secret),
            ("operator", &self.operator),
            ("serial", MINE),
            ("free_serial", FREE),
            ("free_code", CODE),
            ("code", CODE),
            ("voice_url", &self.voice_url.0),
            ("voice_url_encoded", &self.voice_url.1),
            ("their_serial", THEIRS),
            ("card", &self.card),
        ]
    }
}

async fn app(http: SocketAddr, operator: &str) -> AppOf {
    let made = native(http, operator, "POST", "apps", &json!({})).await.json();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    let (key, secret) = (text("app_key"), text("app_secret"));
    let answer = lapp(http, "token/get", &[("appKey", &key), ("appSecret", &secret)]).await;
    let token = answer["data"]["accessToken"].as_str().unwrap().to_owned();
    AppOf { key, secret, token }
}

/// Calls the Open API with an urlencoded body.
pub async fn lapp(http: SocketAddr, path: &str, parameters: &[(&str, &str)]) -> Value {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/api/lapp/{path}") };
    let head = format!("POST {path} HTTP/1.1\nContent-Type: application/x-www-form-urlencoded");
    let answer = send(http, &head, body.as_bytes()).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json()
}

/// Calls the Open API as a page's upload does, with a file `phrase.wav` as `voiceFile`.
pub async fn upload(http: SocketAddr, path: &str, parameters: &[(&str, &str)], file: &[u8]) -> Value {
    let mut body = Vec::new();
    for (name, value) in parameters {
        body.extend(format!("--XyZ\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").bytes());
    }
    let file_name = "Content-Disposition: form-data; name=\"voiceFile\"; filename=\"phrase.wav\"";
    body.extend(format!("--XyZ\r\n{file_name}\r\nContent-Type: audio/wav\r\n\r\n").bytes());
    body.extend(file);
    body.extend(b"\r\n--XyZ--\r\n");
    let head = format!("POST /api/lapp/{path} HTTP/1.1\nContent-Type: multipart/form-data; boundary=XyZ");
    let answer = send(http, &head, &body).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json()
}

/// A voice file: so many seconds of 440 Hz as WAV, 16 kHz, one channel.
pub fn wav(seconds: u32) -> Vec<u8> {
    let samples = (0..16_000 * seconds).map(|n| ((f64::from(n) * 0.1728).sin() * 16_000.0) as i16);
    let data: Vec<u8> = samples.flat_map(i16::to_le_bytes).collect();
    let length = |more: usize| ((data.len() + more) as u32).to_le_bytes();
    let head = [&b"RIFF"[..], &length(36), b"WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data"];
    [head.concat(), length(0).to_vec(), data].concat()
}

/// Calls the native API; an empty token sends none.
pub async fn native(http: SocketAddr, token: &str, method: &str, path: &str, body: &Value) -> Answer {
    let authorization = if token.is_empty() { String::new() } else { format!("\nAuthorization: Bearer {token}") };
    let body = if body.is_null() { String::new() } else { body.to_string() };
    send(
        http,
        &format!("{method} /api/v1/{path} HTTP/1.1\nContent-Type: application/json{authorization}"),
        body.as_bytes(),
    )
    .await
}
