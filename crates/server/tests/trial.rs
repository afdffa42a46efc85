//! A first run: virtual cameras through everything to a player, and the same again after a restart.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use server::run::{Options, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::http::{DEADLINE, send};
use crate::world::{config, lapp, native};

/// A revoked address and a killed session end their viewers by then.
const CUT_WITHIN: Duration = Duration::from_secs(5);

struct Running {
    server: Server,
    http: SocketAddr,
    token: String,
    serial: String,
}

async fn start(data: &tempfile::TempDir) -> Running {
    let server = Server::start(config(data), Options { trial: true, ..Options::default() }).await.unwrap();
    let http = SocketAddr::from(([127, 0, 0, 1], server.app.addresses.http.unwrap()));
    let trial = server.ready.trial.as_ref().unwrap();
    let (token, serial) = (trial.access_token.clone(), trial.devices[0].serial.clone());
    Running { server, http, token, serial }
}

impl Running {
    async fn call(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let own = [("accessToken", self.token.as_str()), ("deviceSerial", self.serial.as_str())];
        lapp(self.http, path, &[&own, parameters].concat()).await
    }

    /// A new address: its id, and path with query.
    async fn address(&self) -> (String, String) {
        let answer = self.call("v2/live/address/get", &[("protocol", "4"), ("quality", "2")]).await;
        let text = |name: &str| answer["data"][name].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        let url = text("url");
        (text("id"), url[url.find("/v3/").unwrap()..].to_owned())
    }

    /// A player that has seen the first kilobytes.
    async fn watch(&self, target: &str) -> TcpStream {
        let mut player = TcpStream::connect(self.http).await.unwrap();
        player.write_all(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
        let mut seen = Vec::new();
        let enough = async {
            while seen.len() < 8 << 10 {
                assert_ne!(player.read_buf(&mut seen).await.unwrap(), 0, "{}", String::from_utf8_lossy(&seen));
            }
        };
        timeout(DEADLINE, enough).await.expect("a picture in time");
        assert!(seen.windows(3).any(|w| w == b"FLV"), "an FLV file");
        player
    }
}

/// Reads what comes until the server closes.
async fn closed(mut player: TcpStream) {
    let mut scratch = vec![0; 64 << 10];
    let end = async { while player.read(&mut scratch).await.is_ok_and(|n| n > 0) {} };
    timeout(CUT_WITHIN, end).await.expect("the viewer is cut in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_run_plays_and_survives_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let first = start(&data).await;
    let ready = &first.server.ready;
    let trial = ready.trial.clone().unwrap();
    assert_eq!(trial.devices.len(), 2);
    assert_eq!(
        ready.page,
        format!(
            "{}/m/#/pages/live/live?accessToken={}&deviceSerial={}&channelNo=1",
            ready.http, first.token, first.serial
        )
    );
    let operator = ready.admin_token.clone().unwrap();
    let info = first.call("device/info", &[]).await;
    assert_eq!(info["data"]["status"], 1, "{info}");

    // Watch, be listed, be ended by the operator.
    let (id, target) = first.address().await;
    let (_, other_target) = first.address().await;
    let (player, other) = (first.watch(&target).await, first.watch(&other_target).await);
    let sessions = native(first.http, &operator, "GET", "sessions", &Value::Null).await.json();
    let sessions = sessions["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 2, "{sessions:?}");
    assert_eq!(sessions[1]["protocol"], "http-flv");
    let kill = format!("sessions/{}", sessions[1]["id"]);
    assert_eq!(native(first.http, &operator, "DELETE", &kill, &Value::Null).await.status, 204);
    assert_eq!(native(first.http, &operator, "DELETE", &kill, &Value::Null).await.status, 404);
    closed(other).await;

    // Revoke the first address: its viewer is cut, nobody else comes in by it, the other one still works.
    assert_eq!(first.call("v2/live/address/disable", &[("urlId", &id)]).await["code"], "200");
    closed(player).await;
    assert_eq!(send(first.http, &format!("GET {target} HTTP/1.1"), b"").await.status, 404);
    let watching = first.watch(&other_target).await;

    // A restart closes viewers and keeps everything else: serials, codes, tokens, addresses.
    timeout(Duration::from_secs(10), first.server.stop()).await.expect("the server stops in 10 s");
    closed(watching).await;
    let second = start(&data).await;
    let again = second.server.ready.trial.clone().unwrap();
    assert_eq!(second.server.ready.admin_token, None, "nobody knows it any more");
    assert_eq!(again.app_secret, trial.app_secret);
    let codes =
        |trial: &server::ready::Trial| trial.devices.iter().map(|d| d.validate_code.clone()).collect::<Vec<_>>();
    assert_eq!(codes(&again), codes(&trial));
    let parameters = [("accessToken", trial.access_token.as_str()), ("deviceSerial", second.serial.as_str())];
    assert_eq!(lapp(second.http, "device/info", &parameters).await["data"]["status"], 1, "an older token");
    assert_eq!(native(second.http, &operator, "GET", "devices", &Value::Null).await.status, 200);
    second.watch(&other_target).await;
    assert_eq!(send(second.http, &format!("GET {target} HTTP/1.1"), b"").await.status, 404, "revoked stays revoked");
    second.server.stop().await;
}

/// One byte changed, anywhere in a token, a path or a query: refused (T18, T20).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_forged_tokens_and_addresses_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let running = start(&data).await;
    let changed = |text: &str, n: usize| {
        let at = n % text.len();
        let byte = text.as_bytes()[at];
        let other = (b'0'..=b'9').chain(b'a'..=b'z').cycle().skip(n / text.len()).find(|b| *b != byte).unwrap();
        format!("{}{}{}", &text[..at], other as char, &text[at + 1..])
    };
    for n in 0..200 {
        let token = changed(&running.token, n);
        let answer = lapp(running.http, "device/list", &[("accessToken", &token)]).await;
        assert_eq!(answer["code"], "10002", "{token}");
    }
    let (_, target) = running.address().await;
    for n in 0..200 {
        // From the serial on: a changed prefix is no play address at all.
        let start = "/v3/openlive/".len();
        let forged = format!("{}{}", &target[..start], changed(&target[start..], n));
        let answer = send(running.http, &format!("GET {forged} HTTP/1.1"), b"").await;
        assert_eq!(answer.status, 404, "{forged}: {answer:?}");
    }
    // What players add changes nothing, nor does the order.
    let (path, query) = target.split_once('?').unwrap();
    let shuffled: Vec<&str> = query.split('&').rev().collect();
    running.watch(&format!("{path}?vc=7&{}&timeZone=8", shuffled.join("&"))).await;
    running.server.stop().await;
}

/// With TLS of our own making the page is served by it, under the names it will be opened by.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trial_with_tls_makes_a_certificate() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(config(&data), Options { trial: true, tls: true, ..Options::default() }).await.unwrap();
    assert!(server.ready.page.starts_with("https://127.0.0.1:"), "{}", server.ready.page);
    let pem = std::fs::read(data.path().join("self-signed.crt")).unwrap();
    let client = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(&pem).unwrap()])
        .no_proxy()
        .timeout(DEADLINE)
        .build()
        .unwrap();
    let answer = client.get(format!("{}/api/v1/health", server.ready.http)).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let token = &server.ready.trial.as_ref().unwrap().access_token;
    let body = format!("accessToken={token}&deviceSerial=TRIAL0001&protocol=4");
    let url = format!("{}/api/lapp/v2/live/address/get", server.ready.http);
    let answer =
        client.post(url).header("content-type", "application/x-www-form-urlencoded").body(body).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    let flv = answer["data"]["url"].as_str().unwrap();
    assert!(flv.starts_with(&server.ready.http), "a page that came by TLS gets its stream by TLS: {flv}");
    let mut stream = client.get(flv).send().await.unwrap();
    assert!(stream.chunk().await.unwrap().unwrap().starts_with(b"FLV"));
    drop(stream);
    server.stop().await;
}
