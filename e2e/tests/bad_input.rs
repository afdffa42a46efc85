//! Bad input, sentence by sentence: a clear error to the peer, the connection closed, counted; never a
//! panic, never unbounded memory.
//!
//! Here it comes over real sockets into a real process. Each parser has its own tests and fuzz target
//! besides, and the codes of every route stand in the matrix of the server's tests.

use std::time::Duration;

use av::MediaKind;
use av::container::amf0::Value;
use proto::rtmp::chunk;
use proto::rtmp::client::{Event, Purpose};
use proto::rtmp::message::{Command, kind};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, timeout};

use crate::harness::{PATIENCE, Server, program, run};
use crate::rtmp::RtmpClient;
use crate::site::{Site, text};

/// Whoever says nothing, or too little, is gone by then.
const FREED_WITHIN: Duration = Duration::from_secs(15);
/// What the server may hold after any of this. It begins with some 40 MiB.
const RESIDENT_MAX_MIB: u64 = 200;
/// A handshake of RTMP is 1 + 1536 + 1536 bytes from either side (§5.2).
const HELLO: usize = 1537;
const ECHO: usize = 1536;

fn http(server: &Server) -> &str {
    server.http().strip_prefix("http://").unwrap()
}

fn rtmp(server: &Server) -> &str {
    server.ready["rtmp"].as_str().unwrap().strip_prefix("rtmp://").unwrap()
}

/// Sends bytes and gives all that comes back until the server closes, which it must.
async fn exchange(address: &str, sent: &[u8]) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    // Who is refused early may not get rid of everything.
    socket.write_all(sent).await.ok();
    String::from_utf8_lossy(&rest(socket).await).into_owned()
}

async fn rest(mut socket: TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    // A reset after the answer is an end too.
    timeout(PATIENCE, socket.read_to_end(&mut answer)).await.expect("the server closes").ok();
    answer
}

/// A connection whose RTMP handshake is done.
async fn shaken_hands(address: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let mut hello = vec![0; HELLO];
    hello[0] = 3;
    socket.write_all(&hello).await.unwrap();
    let mut answer = vec![0; HELLO + ECHO];
    timeout(PATIENCE, socket.read_exact(&mut answer)).await.expect("a handshake in time").unwrap();
    socket.write_all(&answer[1..=ECHO]).await.unwrap();
    socket
}

/// A message in one chunk: format 0 on chunk stream 3, message stream 0.
fn message(kind: u8, claimed: u32, body: &[u8]) -> Vec<u8> {
    let length = claimed.to_be_bytes();
    [&[3, 0, 0, 0, length[1], length[2], length[3], kind, 0, 0, 0, 0], body].concat()
}

/// Code and description of the `onStatus` in what the server said after the handshake.
fn last_word(mut said: &[u8]) -> (String, String) {
    let mut reader = chunk::Reader::new();
    while let Some(message) = reader.read(&mut said).unwrap() {
        if message.kind == kind::COMMAND {
            let command = Command::parse(&message).unwrap();
            assert_eq!(command.name, "onStatus");
            let text = |key| command.argument(1).get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            return (text("code"), text("description"));
        }
    }
    panic!("no last word")
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_rtmp_is_told_closed_and_counted() {
    let site = Site::start().await;
    let address = rtmp(&site.server);
    let other_protocols: [&[u8]; 3] = [b"\x06 RTMPE", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\x02\0\x01"];
    for sent in other_protocols {
        assert_eq!(exchange(address, sent).await, "", "{sent:?}");
    }
    // An AMF0 string and a number: a command that may not come before `connect`.
    let play = b"\x02\0\x04play\0\0\0\0\0\0\0\0\0\x05";
    let faults = [
        (vec![0xC3], "chunk stream 3 begins without a message header"),
        ([&message(20, 300, &[2; 128]), &message(20, 3, b"")[..]].concat(), "is interrupted by another"),
        (message(1, 4, &[0; 4]), "chunk size 0 is out of range"),
        (message(1, 4, &[0x7F, 0xFF, 0xFF, 0xFF]), "chunk size 2147483647 is out of range"),
        (message(20, 0xFF_FFFF, b""), "message of 16777215 bytes"),
        (message(20, 4, &[0xFF; 4]), "command cannot be read"),
        (message(20, 0, b""), "malformed message of type 20"),
        (message(20, play.len() as u32, play), "anything before connect"),
    ];
    for (sent, fault) in &faults {
        let mut socket = shaken_hands(address).await;
        socket.write_all(sent).await.unwrap();
        let (code, description) = last_word(&rest(socket).await);
        assert_eq!(code, "NetConnection.Call.Failed", "{fault}");
        assert!(description.contains(fault), "{fault}: {description}");
    }
    assert_eq!(site.malformed().await, (other_protocols.len() + faults.len()) as u64);
    site.ends_well(RESIDENT_MAX_MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_flv_of_a_publisher_is_told_closed_and_counted() {
    let site = Site::start().await;
    let device = site.attach(json!({ "driver": "push" })).await;
    let address = device["push_urls"][0].as_str().unwrap();
    let bodies: [(MediaKind, &[u8]); 5] = [
        (MediaKind::Video, b"\x17"),
        (MediaKind::Video, b"\x17\0\0\0\0\x01\x42\xC0\x1E\xFF\xE1\xFF\xFF no parameter sets"),
        (MediaKind::Video, b"\x22 Sorenson, which nobody carries"),
        (MediaKind::Video, b"\x90hvc1 no parameter sets"),
        (MediaKind::Audio, b"\xAF\0\xFF"),
    ];
    for (n, (kind, body)) in bodies.into_iter().enumerate() {
        let mut publisher = RtmpClient::open(Purpose::Publish, address).await;
        assert_eq!(publisher.event().await, Some(Event::Started), "{body:?}");
        publisher.write(kind, 0, body).await;
        let told = publisher.event().await;
        let Some(Event::Refused { code, description }) = &told else { panic!("{body:?}: {told:?}") };
        assert!(code == "NetStream.Publish.Failed" && !description.is_empty(), "{body:?}: {told:?}");
        assert_eq!(publisher.event().await, None, "closed");
        assert_eq!(site.malformed().await, n as u64 + 1);
    }
    site.ends_well(RESIDENT_MAX_MIB).await;
}

/// So long a camera of these tests waits for another word.
const QUIET: Duration = Duration::from_secs(1);

/// What a camera of these tests says to every request.
enum Says {
    /// This.
    This(String),
    /// This, and then the same byte as long as anybody listens.
    Endlessly(String),
}

/// A camera at loopback; its task gives the bytes that were taken from it in all.
async fn camera(says: Says) -> (u16, JoinHandle<u64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let mut taken = 0;
        // Nobody comes or asks any more once the server has given up.
        while let Ok(Ok((mut socket, _))) = timeout(QUIET, listener.accept()).await {
            let mut request = vec![0; 1 << 14];
            while let Ok(Ok(n @ 1..)) = timeout(QUIET, socket.read(&mut request)).await {
                let request = String::from_utf8_lossy(&request[..n]).into_owned();
                let sequence = request.lines().find(|line| line.starts_with("CSeq")).unwrap_or("CSeq: 0");
                let (Says::This(answer) | Says::Endlessly(answer)) = &says;
                let answer = answer.replace("CSeq", sequence);
                taken += answer.len() as u64;
                let mut alive = socket.write_all(answer.as_bytes()).await.is_ok();
                while alive && matches!(says, Says::Endlessly(_)) {
                    alive = socket.write_all(&[b'a'; 1 << 14]).await.is_ok();
                    taken += 1 << 14;
                }
            }
        }
        taken
    });
    (port, task)
}

/// Attaching a camera that says such a thing fails with a reason, soon, and without reading on for ever.
async fn assert_named(site: &Site, driver: &str, says: Says, reason: &str) {
    let shown = match &says {
        Says::This(answer) | Says::Endlessly(answer) => answer.chars().take(60).collect::<String>(),
    };
    let (port, task) = camera(says).await;
    let address = match driver {
        "rtsp" => format!("rtsp://127.0.0.1:{port}/main"),
        _ => format!("http://127.0.0.1:{port}/onvif/device_service"),
    };
    let login = json!({ "user": "admin", "password": "secret" });
    let body = json!({ "driver": driver, "address": address, "login": login });
    let (status, answer) = site.native("POST", "devices", body).await;
    assert_eq!((status, text(&answer, "error")), (502, "DeviceUnreachable"), "{shown}: {answer}");
    assert!(text(&answer, "message").contains(reason), "{shown}: {answer}");
    let taken = timeout(PATIENCE, task).await.expect("the server hangs up").unwrap();
    assert!(taken < 16 << 20, "{shown}: {taken} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_rtsp_of_a_camera_is_named_and_read_no_further() {
    let site = Site::start().await;
    let this = |answer: &str| Says::This(answer.into());
    let body = |body: &str| {
        this(&format!(
            "RTSP/1.0 200 OK\r\nCSeq\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    for says in [
        this("\0\u{1}\u{2}nonsense\r\n\r\n"),
        this("RTSP/1.0 OK\r\n\r\n"),
        this("RTSP/1.0 200 OK\r\nCSeq\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n"),
        this("RTSP/1.0 200 OK\r\nCSeq\r\nContent-Length: 4294967296\r\n\r\n"),
        body("v=1\r\nnot a session"),
        Says::Endlessly("RTSP/1.0 200 OK\r\nCSeq\r\nX: ".into()),
    ] {
        assert_named(&site, "rtsp", says, "unusable answer").await;
    }
    site.ends_well(RESIDENT_MAX_MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_onvif_of_a_camera_is_named_and_read_no_further() {
    let site = Site::start().await;
    let xml = |body: &str| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/soap+xml\r\nConnection: close\r\n";
        Says::This(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()))
    };
    let entities = "<!DOCTYPE a [<!ENTITY b \"bbbbbbbbbb\"><!ENTITY c \"&b;&b;&b;&b;&b;\">]><a>&c;</a>";
    for says in [
        xml("this is no XML"),
        xml("<Envelope xmlns=\"http://www.w3.org/2003/05/soap-envelope\"><Body>"),
        xml(entities),
        xml(&"<a>".repeat(100_000)),
        Says::Endlessly("HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nConnection: close\r\n\r\n<a>".into()),
    ] {
        assert_named(&site, "onvif", says, "unusable answer").await;
    }
    site.ends_well(RESIDENT_MAX_MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_http_is_refused_closed_and_counted() {
    let site = Site::start().await;
    let address = http(&site.server);
    let head = "POST /api/lapp/token/get HTTP/1.1\r\nHost: a\r\n";
    let heads = [
        ("\u{1}\u{2}\u{3} nonsense\r\n\r\n".to_owned(), "HTTP/1.1 400"),
        (format!("{head}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"), "HTTP/1.1 400"),
        (format!("{head}Content-Length: -1\r\n\r\n"), "HTTP/1.1 400"),
        (format!("{head}X-Long: {}\r\n\r\n", "a".repeat(1 << 20)), "HTTP/1.1 431"),
    ];
    for (sent, status) in &heads {
        let answer = exchange(address, sent.as_bytes()).await;
        // Who still sends when he is refused may meet the reset before the answer.
        let cut_off = answer.is_empty() && sent.len() > 1 << 16;
        assert!(answer.starts_with(status) || cut_off, "{:?}: {answer:?}", &sent[..60.min(sent.len())]);
    }
    assert_eq!(site.malformed().await, heads.len() as u64);
    site.ends_well(RESIDENT_MAX_MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_forms_are_10001_and_counted() {
    let site = Site::start().await;
    let send = async |content_type: &str, body: Vec<u8>| -> serde_json::Value {
        let request = site.server.client().post(format!("{}/api/lapp/token/get", site.server.http()));
        request.header("content-type", content_type).body(body).send().await.unwrap().json().await.unwrap()
    };
    let part = b"--XyZ\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n";
    let many_parts = [&part.repeat(10_000)[..], b"--XyZ--\r\n"].concat();
    let multipart = "multipart/form-data; boundary=XyZ";
    let bodies = [
        (multipart, many_parts, "too many parameters"),
        (multipart, part.to_vec(), "multipart body broken"),
        ("multipart/form-data", b"no dashes".to_vec(), "multipart boundary missing"),
        ("application/json", b"{\"a\":".to_vec(), "body is not a JSON object"),
        ("application/json", b"[".repeat(100_000), "body is not a JSON object"),
        ("application/x-www-form-urlencoded", b"a=1&".repeat(10_000), "too many parameters"),
        ("application/x-www-form-urlencoded", [b"n".repeat(4096), b"=1".to_vec()].concat(), "parameter name too long"),
    ];
    for (n, (content_type, body, reason)) in bodies.into_iter().enumerate() {
        let answer = send(content_type, body).await;
        assert_eq!(answer["code"], "10001", "{reason}: {answer}");
        assert!(text(&answer, "msg").ends_with(reason), "{reason}: {answer}");
        assert_eq!(site.malformed().await, n as u64 + 1);
    }
    site.ends_well(RESIDENT_MAX_MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_bodies_are_refused_without_being_kept() {
    let site = Site::start().await;
    let address = http(&site.server);
    // Claimed and sent, claimed only, and sent in chunks without a claim.
    let head = "POST /api/lapp/token/get HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
    let body = "a".repeat(64 << 20);
    for sent in [
        format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()),
        format!("{head}Transfer-Encoding: chunked\r\n\r\n4000000\r\n{body}\r\n0\r\n\r\n"),
    ] {
        let answer = exchange(address, sent.as_bytes()).await;
        assert!(answer.is_empty() || answer.contains("\"code\":\"10001\""), "{answer}");
    }
    site.ends_well(RESIDENT_MAX_MIB).await;
}

/// Says `first` and then a byte of `rest` every while; gives how long it was listened to.
async fn trickle(address: &str, first: &[u8], rest: u8) -> Duration {
    let since = Instant::now();
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(first).await.unwrap();
    let (mut reader, mut writer) = socket.split();
    let mut pace = interval(Duration::from_millis(300));
    let mut scratch = vec![0; 1 << 12];
    let closed = async {
        loop {
            tokio::select! {
                read = reader.read(&mut scratch) => if !matches!(read, Ok(1..)) { return },
                _ = pace.tick() => if writer.write_all(&[rest]).await.is_err() { return },
            }
        }
    };
    timeout(PATIENCE, closed).await.expect("the server closes");
    since.elapsed()
}

/// Says this and no more; gives how long it was listened to.
async fn silence(address: &str, first: &[u8]) -> Duration {
    let since = Instant::now();
    exchange(address, first).await;
    since.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_and_slow_connections_are_freed_within_15_s() {
    let site = Site::start().await;
    let (http, rtmp) = (http(&site.server), rtmp(&site.server));
    let head = b"POST /api/lapp/token/get HTTP/1.1\r\nHost: a\r\n";
    let body = b"POST /api/lapp/token/get HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\na=";
    let flv = b"GET /v3/openlive/D12345678_1_1.flv?expire=";
    let idle = b"GET /api/v1/health HTTP/1.1\r\nHost: a\r\n\r\n";
    let after_handshake = async {
        let since = Instant::now();
        let socket = shaken_hands(rtmp).await;
        rest(socket).await;
        since.elapsed()
    };
    let device = site.attach(json!({ "driver": "push" })).await;
    let after_publish = async {
        let mut publisher = RtmpClient::open(Purpose::Publish, device["push_urls"][0].as_str().unwrap()).await;
        assert_eq!(publisher.event().await, Some(Event::Started));
        let since = Instant::now();
        assert_eq!(publisher.event().await, None);
        since.elapsed()
    };
    let silent = async {
        let of_http = async {
            tokio::join!(
                silence(http, b""),
                silence(http, head),
                silence(http, body),
                silence(http, flv),
                silence(http, idle)
            )
        };
        let of_rtmp =
            async { tokio::join!(silence(rtmp, b""), silence(rtmp, &[3; 100]), after_handshake, after_publish) };
        tokio::join!(of_http, of_rtmp)
    };
    let slow = async {
        tokio::join!(
            trickle(http, head, b'x'),
            trickle(http, body, b'x'),
            trickle(http, flv, b'0'),
            trickle(rtmp, b"\x03", 0)
        )
    };
    let (((a, b, c, d, e), (f, g, h, i)), (j, k, l, m)) = tokio::join!(silent, slow);
    let listened = [a, b, c, d, e, f, g, h, i, j, k, l, m];
    assert!(listened.iter().all(|kept| *kept < FREED_WITHIN), "{listened:?}");
    site.ends_well(RESIDENT_MAX_MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_parameter_is_10001_with_its_name() {
    let site = Site::start().await;
    let wrong = [
        ("device/list", "pageSize", "51"),
        ("device/list", "pageStart", "minus one"),
        ("device/info", "deviceSerial", ""),
        ("v2/live/address/get", "protocol", "9"),
        ("v2/live/address/get", "quality", "HD"),
        ("v2/live/address/get", "expireTime", "soon"),
        ("v2/live/address/get", "channelNo", "-1"),
        ("device/list", "accessToken", ""),
    ];
    for (path, name, value) in wrong {
        let mut form = vec![("deviceSerial", "D12345678"), ("protocol", "4")];
        form.retain(|(have, _)| *have != name);
        form.push((name, value));
        let answer = site.call(path, &form).await;
        assert_eq!(answer["code"], "10001", "{path} {name}={value}: {answer}");
        assert!(text(&answer, "msg").ends_with(name), "{path} {name}={value}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_token_is_10002() {
    let site = Site::start().await;
    let token = format!("at.{}", "a".repeat(61));
    for token in [token.as_str(), "constructor", "' OR 1=1 --", &"a".repeat(10_000)] {
        let answer = site.call("device/list", &[("accessToken", token)]).await;
        assert_eq!(answer["code"], "10002", "{token}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_serial_that_is_not_the_callers_is_20018_known_or_not() {
    let site = Site::start().await;
    site.attach(json!({ "driver": "push", "serial": "MINE00001" })).await;
    let (status, free) = site.native("POST", "devices", json!({ "driver": "push", "serial": "FREE00001" })).await;
    assert_eq!(status, 201, "{free}");
    let other = site.other_account().await;
    let paths = [
        "device/info",
        "device/capacity",
        "device/status/get",
        "device/camera/list",
        "v2/live/address/get",
        "device/delete",
    ];
    for path in paths {
        let mut answers = Vec::new();
        for serial in ["MINE00001", "FREE00001", "NONE00001"] {
            let form = [("accessToken", other.as_str()), ("deviceSerial", serial), ("protocol", "4")];
            answers.push(site.call(path, &form).await);
        }
        assert_eq!(answers[0]["code"], "20018", "{path}: {answers:?}");
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{path} tells what exists: {answers:?}");
    }
    site.data("device/info", &[("deviceSerial", "MINE00001")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn device_add_tells_an_unknown_serial_and_a_wrong_code_alike_and_an_owner_only_after_the_right_code() {
    let site = Site::start().await;
    let device = site.attach(json!({ "driver": "push", "serial": "MINE00001", "validate_code": "ABCDEF" })).await;
    let other = site.other_account().await;
    let add = async |serial: &str, code: &str| {
        let form = [("accessToken", other.as_str()), ("deviceSerial", serial), ("validateCode", code)];
        site.call("device/add", &form).await
    };
    let (unknown, wrong) = (add("NONE00001", "ABCDEF").await, add("MINE00001", "ABCDEG").await);
    assert_eq!(unknown["code"], "20010");
    assert_eq!(unknown, wrong);
    assert_eq!(add("MINE00001", text(&device, "validate_code")).await["code"], "20013");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_configuration_key_refuses_to_start_naming_line_and_nearest() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("fluorite.toml");
    std::fs::write(&file, "[http]\nlisten = \"127.0.0.1:0\"\n\n[rtmp]\nlisen = \"127.0.0.1:0\"\n").unwrap();
    let mut serve = process::Command::new(program("fluorite"));
    serve.args(["serve", "--config"]).arg(&file).env("FLUORITE_DATA", folder.path().join("data"));
    let output = run(&mut serve).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("fluorite.toml:5: unknown key \"lisen\" in [rtmp]; the nearest is \"listen\""), "{said}");
    assert!(!folder.path().join("data").exists(), "nothing was begun");
}
