//! The native API: attaching, listing and detaching.

use serde_json::{Value, json};

use crate::world::{CODE, FREE, MINE, World, lapp, native};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attach_show_and_detach() {
    let world = World::start().await;
    let call =
        async |method: &str, path: &str, body: &Value| native(world.http, &world.operator, method, path, body).await;

    let made = call("POST", "devices", &json!({ "driver": "push" })).await;
    assert_eq!(made.status, 201, "{made:?}");
    let device = made.json();
    let serial = device["serial"].as_str().unwrap();
    assert!(serial.len() == 9 && serial.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()), "{device}");
    let code = device["validate_code"].as_str().unwrap();
    assert!(code.len() == 6 && code.bytes().all(|b| b.is_ascii_uppercase()), "{device}");
    let push = device["push_urls"][0].as_str().unwrap();
    assert!(push.starts_with("rtmp://127.0.0.1:") && push.contains(&format!("/push/{serial}_1?key=")), "{push}");
    assert_eq!(
        (&device["bound"], &device["state"], &device["driver"]),
        (&json!(false), &json!("offline"), &json!("push"))
    );

    assert_eq!(call("GET", &format!("devices/{serial}"), &Value::Null).await.json(), device);
    let listed = call("GET", "devices", &Value::Null).await.json();
    assert!(listed["devices"].as_array().unwrap().contains(&device), "{listed}");
    let add = [("accessToken", world.me.token.as_str()), ("deviceSerial", serial), ("validateCode", code)];
    assert_eq!(lapp(world.http, "device/add", &add).await["code"], "200");
    assert_eq!(call("GET", &format!("devices/{serial}"), &Value::Null).await.json()["bound"], true);

    assert_eq!(call("DELETE", &format!("devices/{serial}"), &Value::Null).await.status, 204);
    for (method, status) in [("GET", 404), ("DELETE", 404)] {
        assert_eq!(call(method, &format!("devices/{serial}"), &Value::Null).await.status, status);
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_attachments_are_named() {
    let world = World::start().await;
    let refused = [
        (json!({ "driver": "push", "serial": MINE }), 409, "SerialTaken"),
        (json!({ "driver": "push", "serial": "short" }), 400, "SerialMalformed"),
        (json!({ "driver": "push", "validate_code": "abc" }), 400, "InvalidArgument"),
        (json!({ "driver": "gb28181" }), 400, "Malformed"),
        (json!({ "driver": "push", "adress": "x" }), 400, "Malformed"),
        (json!(["push"]), 400, "Malformed"),
        // Loopback is ours and not to be dialled on somebody's word (T26).
        (json!({ "driver": "onvif", "address": "http://127.0.0.1:1/onvif/device_service" }), 502, "DeviceUnreachable"),
        (json!({ "driver": "onvif", "address": "http://169.254.169.254/latest" }), 502, "DeviceUnreachable"),
        (json!({ "driver": "rtsp", "address": "rtsp://[::ffff:127.0.0.1]/main" }), 502, "DeviceUnreachable"),
    ];
    for (body, status, name) in refused {
        let answer = native(world.http, &world.operator, "POST", "devices", &body).await;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (status, Some(name)), "{body}: {answer:?}");
    }
    world.stop().await;
}

/// Wrong codes lock a serial, for everybody and also for the right code (T24).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessing_a_code_locks_the_serial() {
    let world = World::start().await;
    let mut codes = Vec::new();
    for _ in 0..6 {
        let answer = world.call("device/add", &[("deviceSerial", FREE), ("validateCode", "ZZZZZZ")]).await;
        codes.push(answer["code"].as_str().unwrap().to_owned());
    }
    assert_eq!(codes.last().unwrap(), "10029", "{codes:?}");
    assert!(codes[..4].iter().all(|code| code == "20010"), "{codes:?}");
    let other = [("accessToken", world.other.token.as_str()), ("deviceSerial", FREE), ("validateCode", CODE)];
    assert_eq!(lapp(world.http, "device/add", &other).await["code"], "10029");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotated_key_leaves_older_addresses_valid() {
    let world = World::start().await;
    let version = async || {
        let answer = world.call("v2/live/address/get", &[("deviceSerial", MINE), ("protocol", "3")]).await;
        let url = answer["data"]["url"].as_str().unwrap();
        url[url.find("&ev=").unwrap() + 4..].parse::<u32>().unwrap()
    };
    let before = version().await;
    let answer = native(world.http, &world.operator, "POST", "keys/rotate", &json!({})).await;
    assert_eq!(answer.json()["version"], before + 1);
    assert_eq!(version().await, before + 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recordings_are_asked_for_locked_and_switched_on() {
    let world = World::start().await;
    let call =
        async |method: &str, path: &str, body: &Value| native(world.http, &world.operator, method, path, body).await;

    let recorder = format!("devices/{MINE}/recorder");
    assert_eq!(call("PUT", &recorder, &json!({ "enabled": true, "days_max": 7 })).await.status, 204);
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    let shown = loop {
        let state = call("GET", "recorders", &Value::Null).await.json();
        if let Some(shown) = state["recorders"].as_array().unwrap().iter().find(|r| r["serial"] == MINE) {
            assert_eq!((&state["full_since"], &state["unlisted_segments"]), (&Value::Null, &json!(0)), "{state}");
            break shown.clone();
        }
        assert!(tokio::time::Instant::now() < deadline, "{state}");
    };
    assert_eq!((&shown["channel"], &shown["storage"]), (&json!(1), &json!("local")), "{shown}");
    assert_eq!(call("PUT", &recorder, &json!({ "enabled": false })).await.status, 204);

    let empty = call("GET", &format!("recordings?serial={MINE}&channel=2&from=0&to=1"), &Value::Null).await;
    assert_eq!((empty.status, empty.json()), (200, json!({ "recordings": [] })));
    for (method, path, body, status) in [
        ("PUT", "devices/NOTHERE01/recorder", json!({ "enabled": true }), 404),
        ("PUT", "devices/short/recorder", json!({ "enabled": true }), 400),
        ("PUT", recorder.as_str(), json!({}), 400),
        ("PUT", recorder.as_str(), json!({ "enabled": true, "days": 1 }), 400),
        ("GET", "recordings", Value::Null, 400),
        ("GET", "recordings?serial=short", Value::Null, 400),
        ("GET", "recordings?serial=CAMERA001&page=1", Value::Null, 400),
        ("PUT", "recordings/77/lock", json!({ "locked": true }), 404),
        ("PUT", "recordings/18446744073709551615/lock", json!({ "locked": true }), 404),
        ("PUT", "recordings/x/lock", json!({ "locked": true }), 400),
        ("PUT", "recordings/77/lock", json!({}), 400),
    ] {
        let answer = call(method, path, &body).await;
        assert_eq!(answer.status, status, "{method} {path} {body}: {answer:?}");
    }
    world.stop().await;
}
