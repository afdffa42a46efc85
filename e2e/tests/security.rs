//! Nobody gets in who does not belong: tokens, addresses, revocation, restarts (T18, T20).

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{Instant, timeout};

use crate::harness::{PATIENCE, Server, eventually, run, succeed};

/// `text` with one byte changed, in as many ways as wanted; every position is hit before any twice.
fn one_byte_changed(text: &str, ways: usize) -> Vec<String> {
    let mut changed = BTreeSet::new();
    for round in 1u8.. {
        for at in 0..text.len() {
            let mut bytes = text.as_bytes().to_vec();
            let range: (u8, u8) = if bytes[at].is_ascii_digit() { (b'0', 10) } else { (b'a', 26) };
            bytes[at] = match bytes[at] {
                c if c.is_ascii_digit() || c.is_ascii_lowercase() => range.0 + (c - range.0 + round) % range.1,
                c if c.is_ascii_uppercase() => b'A' + (c - b'A' + round) % 26,
                _ => b'x',
            };
            if bytes != text.as_bytes() {
                changed.insert(String::from_utf8(bytes).unwrap());
            }
            if changed.len() == ways {
                return changed.into_iter().collect();
            }
        }
    }
    unreachable!("rounds do not end")
}

#[tokio::test(flavor = "multi_thread")]
async fn t18_200_tokens_with_one_byte_changed_are_refused() {
    let server = Server::trial().await;
    for token in one_byte_changed(server.token(), 200) {
        let answer = server.lapp("device/list", &[("accessToken", &token)]).await;
        assert_eq!(answer["code"], "10002", "{token}");
    }
    for token in ["constructor", "__proto__", "at.", "", "null"] {
        let answer = server.lapp("device/list", &[("accessToken", token)]).await;
        assert!(answer["code"] == "10002" || answer["code"] == "10001", "{token}: {answer}");
    }
    server.lapp_ok("device/list", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t20_200_addresses_with_one_byte_changed_are_refused() {
    let server = Server::trial().await;
    let address = server.address(server.serial(0), 4, 1).await;
    let (host, signed) = address.split_once("/v3").unwrap();
    let (path, query) = signed.split_once('?').unwrap();
    let mut forged = one_byte_changed(&format!("v3{path}"), 60);
    forged.iter_mut().for_each(|p| *p = format!("/{p}?{query}"));
    forged.extend(one_byte_changed(query, 200).into_iter().map(|q| format!("/v3{path}?{q}")));
    assert!(forged.len() >= 200);
    for target in forged {
        let answer = server.client().get(format!("{host}{target}")).send().await.unwrap();
        assert!(answer.status().is_client_error(), "{target}: {}", answer.status());
    }
    // Players add parameters of their own, and the order is theirs.
    for target in [format!("{address}&vc=1&timeZone=8&r=0.1"), format!("{host}/v3{path}?r=1&{query}")] {
        assert_eq!(server.client().get(&target).send().await.unwrap().status(), 200, "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn t20_forged_rtmp_addresses_are_refused_by_name() {
    let server = Server::trial().await;
    let address = server.address(server.serial(0), 3, 1).await;
    let signature = address.find("&t=").unwrap() + 3;
    let mut forged = address.clone().into_bytes();
    forged[signature] = if forged[signature] == b'0' { b'1' } else { b'0' };
    let forged = String::from_utf8(forged).unwrap();
    let output = run(Command::new("ffprobe").args(["-v", "error", "-rw_timeout", "10000000", &forged])).await;
    assert!(!output.status.success());
    succeed(Command::new("ffprobe").args(["-v", "error", &address])).await;
}

/// Opens an HTTP-FLV address on a socket of its own and reads the first media.
async fn open_flv(address: &str) -> TcpStream {
    use tokio::io::AsyncWriteExt;
    let rest = address.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let mut socket = TcpStream::connect(host).await.unwrap();
    socket.write_all(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await.unwrap();
    let mut head = [0; 12];
    timeout(PATIENCE, socket.read_exact(&mut head)).await.expect("an answer in time").unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn t20_a_revoked_address_closes_its_viewers_within_5_s() {
    let server = Server::trial().await;
    let serial = server.serial(0).to_owned();
    let form = [("deviceSerial", serial.as_str()), ("protocol", "4"), ("expireTime", "3600")];
    let grant = server.lapp_ok("v2/live/address/get", &form).await;
    let other = server.address(&serial, 4, 1).await;
    let (id, url) = (grant["id"].as_str().unwrap(), grant["url"].as_str().unwrap());
    let mut revoked = open_flv(url).await;
    let mut kept = open_flv(&other).await;
    server.lapp_ok("v2/live/address/disable", &[("deviceSerial", &serial), ("urlId", id)]).await;
    let at = Instant::now();
    let mut scratch = vec![0; 1 << 16];
    timeout(Duration::from_secs(5), async { while revoked.read(&mut scratch).await.is_ok_and(|n| n > 0) {} })
        .await
        .expect("closed within 5 s of the revocation");
    assert!(at.elapsed() < Duration::from_secs(5));
    assert!(timeout(PATIENCE, kept.read(&mut scratch)).await.unwrap().unwrap() > 0, "the other address goes on");
    let again = server.client().get(url).send().await.unwrap();
    assert_eq!(again.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_tokens_and_revocations_survive_a_crash() {
    let mut server = Server::trial().await;
    let serial = server.serial(0).to_owned();
    let (token, before) = (server.token().to_owned(), server.address(&serial, 4, 1).await);
    let revoked = server.lapp_ok("v2/live/address/get", &[("deviceSerial", &serial), ("protocol", "4")]).await;
    let id = revoked["id"].as_str().unwrap();
    server.lapp_ok("v2/live/address/disable", &[("deviceSerial", &serial), ("urlId", id)]).await;
    server.crash_and_restart().await;
    let answer = server.lapp("device/list", &[("accessToken", &token)]).await;
    assert_eq!(answer["code"], "200");
    assert_eq!(server.serial(0), serial, "the same devices are attached");
    // Ports are free ones, so only the path and query of an address outlive the process here.
    let moved = |url: &str| format!("{}/v3{}", server.http(), url.split_once("/v3").unwrap().1);
    let status = |url: String| async { server.client().get(url).send().await.unwrap().status().as_u16() };
    assert_eq!(status(moved(revoked["url"].as_str().unwrap())).await, 404);
    eventually("the camera is on line again and its address plays", || {
        let ask = status(moved(&before));
        async { (ask.await == 200).then_some(()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t28_no_secret_lies_in_clear_in_the_data_folder_or_the_log() {
    let server = Server::trial().await;
    server.address(server.serial(0), 4, 1).await;
    let secrets: Vec<String> = ["/trial/access_token", "/trial/app_secret", "/admin_token"]
        .iter()
        .map(|pointer| server.ready.pointer(pointer).unwrap().as_str().unwrap().to_owned())
        .collect();
    let mut folders = vec![server.folder.path().join("data")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
                continue;
            }
            files += 1;
            let bytes = std::fs::read(entry.path()).unwrap();
            for secret in &secrets {
                let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!found, "a secret lies in {}", entry.path().display());
            }
        }
    }
    assert!(files >= 2, "a database and a key file");
}
