//! The HTTP listener against peers that stall, flood or talk nonsense.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::http::send;
use crate::world::World;

/// Half-open peers are gone by then (T9).
const FREED_WITHIN: Duration = Duration::from_secs(15);

/// Sends these bytes and then nothing; gives what came back until the server closed.
async fn stall(to: SocketAddr, sent: &[u8]) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(sent).await.unwrap();
    let mut answer = Vec::new();
    timeout(FREED_WITHIN, stream.read_to_end(&mut answer)).await.expect("the server closes in time").unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_open_peers_are_closed_in_time() {
    let world = World::start().await;
    let body_stalls =
        b"POST /api/lapp/device/info HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 100\r\n\r\naccess";
    let idle = b"GET /api/v1/health HTTP/1.1\r\nHost: a\r\n\r\n";
    let (silent, head_stalls, body_stalls, idle) = tokio::join!(
        stall(world.http, b""),
        stall(world.http, b"POST /api/lapp/token/get HTTP/1.1\r\nHost: a\r\n"),
        stall(world.http, body_stalls),
        stall(world.http, idle),
    );
    assert_eq!(silent, "");
    assert!(!head_stalls.contains(" 200 "), "{head_stalls}");
    assert!(body_stalls.ends_with("{\"code\":\"10001\",\"msg\":\"参数错误: body\"}"), "{body_stalls}");
    assert!(idle.starts_with("HTTP/1.1 200"), "{idle}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_heads_are_refused() {
    let world = World::start().await;
    let long = format!("POST /api/lapp/token/get HTTP/1.1\nX-Long: {}", "a".repeat(64 << 10));
    assert_eq!(send(world.http, &long, b"").await.status, 431);
    let target = format!("POST /api/lapp/token/get?a={} HTTP/1.1", "a".repeat(64 << 10));
    assert!([414, 431].contains(&send(world.http, &target, b"").await.status));
    let many: String = (0..1000).map(|n| format!("\nX-{n}: 1")).collect();
    assert_eq!(send(world.http, &format!("POST /api/lapp/token/get HTTP/1.1{many}"), b"").await.status, 431);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_are_refused() {
    let world = World::with(|config| config.http.body_bytes_max = 4096).await;
    let answer = send(world.http, "POST /api/lapp/token/get HTTP/1.1", &vec![b'a'; 4097]).await;
    assert_eq!(answer.json()["code"], "10001");
    assert_eq!(answer.json()["msg"], "参数错误: body");
    let head = format!("POST /api/v1/devices HTTP/1.1\nAuthorization: Bearer {}", world.operator);
    assert_eq!(send(world.http, &head, &vec![b'a'; 128 << 10]).await.status, 400);
    world.stop().await;
}

/// Two lengths, or a length and chunks, are how requests are smuggled past a proxy (T17).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ambiguous_lengths_and_nonsense_are_refused() {
    let world = World::start().await;
    let smuggled = [
        "POST /api/lapp/token/get HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "POST /api/lapp/token/get HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        "POST /api/lapp/token/get HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "\u{1}\u{2}\u{3} not http\r\n\r\n",
    ];
    for request in smuggled {
        let answer = stall(world.http, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{request:?}: {answer}");
    }
    // A lone huge token is not a parameter either.
    assert_eq!(world.call("device/info", &[("deviceSerial", &"D".repeat(100_000))]).await["code"], "20014");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn get_on_reading_paths_can_be_allowed() {
    let world = World::with(|config| config.http.lapp_get = true).await;
    let get = |path: &str| format!("GET /api/lapp/{path}?accessToken={} HTTP/1.1", world.me.token);
    assert_eq!(send(world.http, &get("device/list"), b"").await.json()["code"], "200");
    assert_eq!(send(world.http, &get("device/delete"), b"").await.status, 405);
    world.stop().await;
}
