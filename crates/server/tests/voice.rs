//! Voice through the Open API: phrases kept and spoken, files as real clients send them.

use av::voice::{Limits, decode};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::http::send;
use crate::world::{MINE, World, upload, wav};

impl World {
    async fn upload(&self, path: &str, parameters: &[(&str, &str)], file: &[u8]) -> Value {
        let own = [("accessToken", self.me.token.as_str()), ("deviceSerial", MINE)];
        upload(self.http, path, &[&own, parameters].concat(), file).await
    }

    async fn spoken(&self, sounds: usize) {
        self.until(|| async { self.camera.spoken().len() == sounds }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phrase_from_upload_to_speaker() {
    let world = World::start().await;
    let answer = world.upload("voice/upload", &[("voiceName", "门口有人")], &wav(2)).await;
    assert_eq!(answer["data"][0]["name"], "门口有人", "{answer}");
    let url = answer["data"][0]["url"].as_str().unwrap();

    let own = world.call("voice/query", &[("default", "false")]).await;
    assert_eq!(own["page"], serde_json::json!({ "total": 1, "page": 0, "size": 10 }));
    assert_eq!((&own["data"][0]["voiceName"], &own["data"][0]["duration"]), (&"门口有人".into(), &2.into()));
    let queried = own["data"][0]["fileUrl"].as_str().unwrap();
    for url in [url, queried] {
        let file = reqwest::get(url).await.unwrap();
        assert_eq!(file.headers()["content-type"], "audio/wav");
        assert_eq!(file.headers()["access-control-allow-origin"], "*");
        assert_eq!(file.bytes().await.unwrap(), wav(2));
        let sent = world.call("voice/send", &[("deviceSerial", MINE), ("fileUrl", url)]).await;
        assert_eq!(sent["code"], "200", "{sent}");
    }
    world.spoken(2).await;
    let sound = decode(&wav(2), Limits::default()).unwrap();
    assert_eq!(world.camera.spoken(), [sound.clone(), sound]);

    // Somebody else's address of it, and one that was changed.
    let their = [("accessToken", world.other.token.as_str()), ("deviceSerial", crate::world::THEIRS), ("fileUrl", url)];
    assert_eq!(crate::world::lapp(world.http, "voice/send", &their).await["code"], "10001");
    let changed = url.replace("&t=", "&t=0");
    assert_eq!(reqwest::get(&changed).await.unwrap().status(), 404);
    assert_eq!(world.call("voice/send", &[("deviceSerial", MINE), ("fileUrl", &changed)]).await["code"], "10001");

    assert_eq!(world.call("voice/delete", &[("voiceName", "门口有人")]).await["code"], "200");
    assert_eq!(world.call("voice/delete", &[("voiceName", "门口有人")]).await["code"], "111001");
    assert_eq!(reqwest::get(url).await.unwrap().status(), 404);
    assert_eq!(world.call("voice/send", &[("deviceSerial", MINE), ("fileUrl", url)]).await["code"], "10001");
    world.stop().await;
}

/// The demo pages by five until a page is empty, which must be an empty list.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn phrases_come_in_pages_that_end() {
    let world = World::start().await;
    let mut names = Vec::new();
    for page in 0..10 {
        let answer = world.call("voice/query", &[("pageStart", &page.to_string()), ("pageSize", "5")]).await;
        assert_eq!(answer["page"], serde_json::json!({ "total": 7, "page": page, "size": 5 }));
        let rows = answer["data"].as_array().unwrap();
        if rows.is_empty() {
            break;
        }
        names.extend(rows.iter().map(|row| row["voiceName"].as_str().unwrap().to_owned()));
        for row in rows {
            assert!(row["duration"].as_u64().is_some_and(|seconds| (1..=6).contains(&seconds)), "{row}");
            let file = reqwest::get(row["fileUrl"].as_str().unwrap()).await.unwrap();
            assert_eq!(
                (file.status().as_u16(), &file.headers()["content-type"]),
                (200, &"audio/mpeg".parse().unwrap())
            );
            decode(&file.bytes().await.unwrap(), Limits::default()).unwrap();
        }
    }
    assert_eq!(names.len(), 7);
    assert_eq!(names[0], "欢迎光临");
    let found = world.call("voice/query", &[("voiceName", "请勿")]).await;
    assert_eq!(found["data"][0]["voiceName"], "危险区域，请勿靠近");
    let none = world.call("voice/query", &[("default", "false")]).await;
    assert!(none["data"].as_array().is_some_and(Vec::is_empty), "{none}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_come_as_real_phones_send_them() {
    let world = World::start().await;
    let sound = decode(&wav(1), Limits::default()).unwrap();
    // The mini-program's media type, whose boundary may be lost; no file name; parameters in the query.
    let phone = "Content-Disposition: form-data; name=\"voiceFile\"; filename=\"tmp_1a2b.durationTime=1.mp3\"\r\n\
                 Content-Type: audio/mpeg";
    let nameless = "Content-Disposition: form-data; name=\"voiceFile\"\r\nContent-Type: application/octet-stream";
    let star = "Content-Disposition: form-data; name=voiceFile; filename*=UTF-8''%E9%97%A8.wav";
    let mut sent = 0;
    for (content_type, part) in [
        ("amultipart/form-data", phone),
        ("amultipart/form-data; boundary=----Wx1", phone),
        ("multipart/form-data; boundary=----Wx1", nameless),
        ("multipart/form-data; boundary=----Wx1", star),
    ] {
        let head = format!(
            "POST /api/lapp/voice/sendonce?accessToken={}&deviceSerial={MINE} HTTP/1.1\nContent-Type: {content_type}",
            world.me.token
        );
        let channel = "------Wx1\r\nContent-Disposition: form-data; name=\"channelNo\"\r\n\r\n1\r\n";
        let before = format!("{channel}------Wx1\r\n{part}\r\n\r\n");
        let body = [before.as_bytes(), &wav(1), b"\r\n------Wx1--\r\n"].concat();
        let answer = send(world.http, &head, &body).await.json();
        assert_eq!(answer, serde_json::json!({ "code": "200", "msg": "操作成功" }), "{content_type}");
        sent += 1;
        world.spoken(sent).await;
        assert_eq!(world.camera.spoken()[sent - 1], sound);
    }
    // Nothing is kept.
    assert_eq!(world.call("voice/query", &[("default", "false")]).await["page"]["total"], 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_files_are_refused_with_the_reason() {
    let world = World::start().await;
    let mut random = vec![0; 100_000];
    rand::Rng::fill_bytes(&mut rand::rng(), &mut random);
    random[..4].copy_from_slice(b"junk");
    for (file, why) in [
        (b"<html>not sound</html>".to_vec(), "MP3"),
        (random, "MP3"),
        (wav(61), "longer"),
        (vec![0; 5_000_001], "larger"),
        // Beyond what a request may be.
        (vec![0; 6 << 20], "larger"),
        (wav(0), ""),
    ] {
        for path in ["voice/sendonce", "voice/upload"] {
            let answer = world.upload(path, &[], &file).await;
            assert_eq!(answer["code"], "111001", "{path} of {} bytes: {answer}", file.len());
            assert!(answer["msg"].as_str().unwrap().contains(why), "{path}: {answer}");
        }
    }
    assert!(world.camera.spoken().is_empty());
    // An empty file is no file.
    assert_eq!(world.upload("voice/upload", &[], b"").await["code"], "10001");
    // The larger limit is of these two alone.
    let answer = world.upload("voice/query", &[], &vec![0; 2 << 20]).await;
    assert_eq!(answer["code"], "10001", "{answer}");
    assert_eq!(world.upload("voice/upload", &[("voiceName", &"很".repeat(51))], &wav(1)).await["code"], "10001");
    world.stop().await;
}

/// Half-sent files take no more than their share, and give it back when their sender is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_on_their_way_are_limited() {
    let world = World::start().await;
    let mut senders = Vec::new();
    // Our own question takes a place for a moment, for which a sender may be turned away: then another comes.
    while senders.len() < 64 || world.upload("voice/sendonce", &[], &wav(0)).await["code"] != "10029" {
        let mut sender = TcpStream::connect(world.http).await.unwrap();
        let head = "POST /api/lapp/voice/sendonce HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nx";
        sender.write_all(head.as_bytes()).await.unwrap();
        senders.push(sender);
        assert!(senders.len() < 400, "there is no limit");
    }
    // Everything else is served.
    assert_eq!(world.call("voice/query", &[]).await["code"], "200");
    drop(senders);
    world.until(|| async { world.upload("voice/sendonce", &[], &wav(1)).await["code"] == "200" }).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_one_of_a_kind_and_phrases_are_limited() {
    let world = World::start().await;
    assert_eq!(world.upload("voice/upload", &[], &wav(1)).await["data"][0]["name"], "phrase", "its file's name");
    let taken = world.upload("voice/upload", &[], &wav(1)).await;
    assert_eq!(taken["code"], "111001");
    assert!(taken["msg"].as_str().unwrap().contains("exists"), "{taken}");
    assert_eq!(world.upload("voice/upload", &[("force", "true")], &wav(2)).await["code"], "200");
    let own = world.call("voice/query", &[("default", "false")]).await;
    assert_eq!((&own["page"]["total"], &own["data"][0]["duration"]), (&1.into(), &2.into()));

    for n in 1..100 {
        let answer = world.upload("voice/upload", &[("voiceName", &n.to_string())], &wav(1)).await;
        assert_eq!(answer["code"], "200", "{answer}");
    }
    assert_eq!(world.upload("voice/upload", &[("voiceName", "one more")], &wav(1)).await["code"], "111000");
    let rename = [("voiceName", "1"), ("newVoiceName", "2")];
    assert_eq!(world.call("voice/rename", &rename).await["code"], "111001");
    world.stop().await;
}
