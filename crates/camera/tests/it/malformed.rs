//! Bad input: a clear error, the connection closed, counted; everybody else goes on.

use camera::{Camera, Quality};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::player::{Over, Player};
use crate::soap::post;
use crate::{PATIENCE, small, start, until};

/// Sends bytes to RTSP and reads until the camera closes.
async fn rtsp(camera: &Camera, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(camera.rtsp_address()).await.unwrap();
    // The camera may close before it has read all of it.
    let _ = socket.write_all(bytes).await;
    let mut answer = Vec::new();
    // Closing with unread input resets the connection: an end like any other.
    let _ = timeout(PATIENCE, socket.read_to_end(&mut answer)).await.expect("the camera closes the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_rtsp_is_answered_counted_and_ends_its_connection_alone() {
    let camera = start(small()).await;
    let mut player = Player::open(&camera.rtsp_url(Quality::Main), Over::Tcp).await.unwrap();
    let mut long = b"OPTIONS rtsp://h/main RTSP/1.0\r\nX: ".to_vec();
    long.resize(40_000, b'a');
    let inputs: [&[u8]; 4] =
        [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", b"HELLO\r\n\r\n", b"\xff\xff\xff\xff", &long];
    for (count, input) in (1..).zip(inputs) {
        let answer = rtsp(&camera, input).await;
        assert!(answer.is_empty() || answer.starts_with("RTSP/1.0 400"), "{answer}");
        until("it is counted", || camera.stats().malformed == count).await;
    }
    player.video_frame().await;
    until("the connections are gone", || camera.stats().connections == 1).await;
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_passwords_on_one_connection_ends_it() {
    let camera = start(small()).await;
    let request = "DESCRIBE rtsp://127.0.0.1/main RTSP/1.0\r\nCSeq: 1\r\nAuthorization: Digest username=\"admin\", \
        realm=\"camera\", nonce=\"00\", uri=\"rtsp://127.0.0.1/main\", response=\"00000000000000000000000000000000\"\r\n\r\n";
    let answers = rtsp(&camera, request.repeat(50).as_bytes()).await;
    assert!(answers.matches("RTSP/1.0 401").count() <= 10, "{answers}");
    until("it is counted", || camera.stats().logins_refused == 1).await;
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_soap_is_a_fault_and_counted() {
    let camera = start(small()).await;
    let laughs = "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;\">]><x>&b;</x>".to_owned();
    let deep = "<a>".repeat(100_000);
    let soap11 = "<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\"><e:Body/></e:Envelope>".to_owned();
    let huge = "x".repeat(300 << 10);
    for (count, body) in (1..).zip(["".to_owned(), "<".into(), "hello".into(), laughs, deep, soap11, huge]) {
        let (status, _, answer) = post(&camera, "/onvif/device_service", &[], body.as_bytes()).await;
        assert!((400..=500).contains(&status), "{status}: {answer}");
        assert!(answer.contains("Fault"), "{answer}");
        assert_eq!(camera.stats().malformed, count);
    }
    assert_eq!(post(&camera, "/", &[], b"").await.0, 404);
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_http_is_counted() {
    let camera = start(small()).await;
    let mut socket = TcpStream::connect(camera.http_address()).await.unwrap();
    socket.write_all(b"\x16\x03\x01 nothing of HTTP\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, socket.read_to_end(&mut answer)).await.expect("the camera closes the connection");
    until("it is counted", || camera.stats().malformed == 1).await;
    camera.stop().await;
}
