//! Control of devices through the Open API: what the driver is asked, and every code that its answers
//! become.

use std::time::{Duration, Instant};

use av::codec::access_unit::AccessUnitBuilder;
use av::codec::nal;
use av::{CodecKind, Frame, Ticks, Track, TrackId, UnixMicros};
use device::{DriverError, Limit};
use serde_json::Value;

use crate::http::{DEADLINE, send};
use crate::scripted::{PICTURE, Scripted};
use crate::world::{CODE, MINE, OFFLINE, World, upload, wav};

/// A call: path, parameters, and which ability of the driver it is about.
type Call = (&'static str, &'static [(&'static str, &'static str)], &'static str);

/// A call of each endpoint that asks the device something.
const CALLS: [Call; 12] = [
    ("device/ptz/start", &[("direction", "0"), ("speed", "1")], "ptz_start"),
    ("device/ptz/stop", &[], "ptz_stop"),
    ("device/ptz/mirror", &[("command", "0")], "mirror"),
    ("device/preset/add", &[], "preset_add"),
    ("device/preset/move", &[("index", "1")], "preset_move"),
    ("device/preset/clear", &[("index", "1")], "preset_clear"),
    ("device/scene/switch/status", &[], "mask"),
    ("device/scene/switch/set", &[("enable", "1")], "mask"),
    ("device/scene/switch/set", &[("enable", "1")], "set_mask"),
    ("device/capture", &[], "snapshot"),
    ("voice/send", &[("fileUrl", "{voice_url}")], "open_speaker"),
    ("voice/sendonce", &[], "open_speaker"),
];

async fn call(world: &World, serial: &str, path: &str, parameters: &[(&str, &str)]) -> Value {
    let filled: Vec<(&str, String)> = parameters.iter().map(|(name, value)| (*name, world.fill(value))).collect();
    let mut all = vec![("accessToken", world.me.token.as_str()), ("deviceSerial", serial)];
    all.extend(filled.iter().map(|(name, value)| (*name, value.as_str())));
    match path {
        "voice/sendonce" => upload(world.http, path, &all, &wav(1)).await,
        _ => crate::world::lapp(world.http, path, &all).await,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn directions_and_speeds_reach_the_driver() {
    let world = World::start().await;
    let moves = [
        ("0", "0", "0 0.25 0"),
        ("0", "1", "0 0.5 0"),
        ("0", "2", "0 1 0"),
        ("1", "2", "0 -1 0"),
        ("2", "2", "-1 0 0"),
        ("3", "2", "1 0 0"),
        ("4", "2", "-1 1 0"),
        ("5", "2", "-1 -1 0"),
        ("6", "2", "1 1 0"),
        ("7", "2", "1 -1 0"),
        ("8", "2", "0 0 1"),
        ("9", "2", "0 0 -1"),
        (" 3 ", "1.0", "0.5 0 0"),
    ];
    world.camera.asked();
    for (direction, speed, expected) in moves {
        let asked = [("direction", direction), ("speed", speed)];
        assert_eq!(call(&world, MINE, "device/ptz/start", &asked).await["code"], "200");
        // Negative zero is zero.
        let asked: Vec<String> = world.camera.asked().iter().map(|asked| asked.replace("-0 ", "0 ")).collect();
        let told = asked.iter().find(|asked| asked.starts_with("ptz_start")).unwrap();
        let told = told.strip_suffix("-0").map_or(told.clone(), |told| format!("{told}0"));
        assert_eq!(told, format!("ptz_start {expected}"), "direction {direction} at speed {speed}");
    }
    for other in ["10", "11", "16"] {
        let asked = [("direction", other), ("speed", "1")];
        assert_eq!(call(&world, MINE, "device/ptz/start", &asked).await["code"], "60020", "direction {other}");
        assert_eq!(call(&world, MINE, "device/ptz/stop", &[("direction", other)]).await["code"], "200");
    }
    world.camera.asked();
    for (command, expected) in [("0", "UpDown"), ("1", "LeftRight"), ("2", "Centre")] {
        assert_eq!(call(&world, MINE, "device/ptz/mirror", &[("command", command)]).await["code"], "200");
        assert_eq!(world.camera.asked(), [format!("mirror {expected}")]);
    }
    for (name, index) in [("index", "12"), ("presetIndex", "7")] {
        assert_eq!(call(&world, MINE, "device/preset/move", &[(name, index)]).await["code"], "200");
        assert!(world.camera.asked().contains(&format!("preset_move {index}")));
        assert_eq!(call(&world, MINE, "device/preset/clear", &[(name, index)]).await["code"], "200");
        assert_eq!(world.camera.asked(), [format!("preset_clear {index}")]);
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refusal_of_a_device_has_its_code() {
    let mut world = World::start().await;
    // Nor has it a stream that could stand in for a picture.
    world.publishing = None;
    let refused = || DriverError::Refused { step: "x", cause: "busy".into() };
    let nonsense = || DriverError::Protocol { step: "x", cause: "no XML".into() };
    let gone = || DriverError::Unreachable { step: "dial", cause: "connection refused".into() };
    let late = || DriverError::Timeout { step: "x" };
    // What any of them may say: of turning, of mirroring and masking, of pictures, of voice.
    let common: [(DriverError, [&str; 4]); 6] = [
        (refused(), ["60006", "60012", "60017", "111012"]),
        (nonsense(), ["60006", "60012", "60017", "111012"]),
        (gone(), ["20006", "20006", "20006", "111012"]),
        (DriverError::LoginRefused, ["20006", "20006", "20006", "111012"]),
        (late(), ["20008", "20008", "20008", "20008"]),
        (DriverError::Unsupported, ["60020", "60020", "60020", "20015"]),
    ];
    for (path, parameters, ability) in CALLS {
        let column = match path {
            _ if path.starts_with("voice/") => 3,
            "device/capture" => 2,
            _ if path.contains("scene") || path.ends_with("mirror") => 1,
            _ => 0,
        };
        for (error, codes) in common.clone() {
            world.camera.fails(ability, error.clone());
            let answer = call(&world, MINE, path, parameters).await;
            assert_eq!(answer["code"], codes[column], "{path} when {ability} is {error:?}: {answer}");
        }
        world.camera.works(ability);
    }
    let special: [(&str, &'static str, DriverError, &str); 11] = [
        ("device/ptz/start", "ptz_start", DriverError::AtLimit(Limit::Up), "60002"),
        ("device/ptz/start", "ptz_start", DriverError::AtLimit(Limit::Down), "60003"),
        ("device/ptz/start", "ptz_start", DriverError::AtLimit(Limit::Left), "60004"),
        ("device/ptz/start", "ptz_start", DriverError::AtLimit(Limit::Right), "60005"),
        ("device/ptz/start", "ptz_start", DriverError::Masked, "60026"),
        ("device/ptz/start", "ptz_start", DriverError::SpeakerBusy, "60029"),
        ("device/preset/add", "preset_add", DriverError::PresetsFull, "60007"),
        ("device/preset/move", "preset_move", DriverError::PresetUnknown, "60011"),
        ("device/preset/move", "preset_move", DriverError::PresetReached, "60010"),
        ("device/preset/clear", "preset_clear", DriverError::PresetUnknown, "60011"),
        ("voice/sendonce", "open_speaker", DriverError::SpeakerBusy, "111012"),
    ];
    for (path, ability, error, expected) in special {
        let (_, parameters, _) = CALLS.iter().find(|(known, ..)| *known == path).unwrap();
        world.camera.fails(ability, error.clone());
        let answer = call(&world, MINE, path, parameters).await;
        assert_eq!(answer["code"], expected, "{path} when {ability} is {error:?}: {answer}");
        world.camera.works(ability);
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_device_cannot_do_and_one_that_is_off_line() {
    let world = World::start().await;
    for (path, parameters, _) in CALLS {
        assert_eq!(call(&world, OFFLINE, path, parameters).await["code"], "20007", "{path}");
    }
    let status = world.call("device/status/get", &[("deviceSerial", MINE)]).await;
    assert_eq!(status["data"]["privacyStatus"], -1, "nobody has asked yet");
    world.drive(Scripted::unable()).await;
    for (path, parameters, _) in CALLS {
        let expected = match path {
            _ if path.starts_with("voice/") => "20015",
            "device/capture" => continue,
            _ if path.contains("scene") || path.ends_with("mirror") => "60020",
            _ => "60000",
        };
        let answer = call(&world, MINE, path, parameters).await;
        assert_eq!(answer["code"], expected, "{path}: {answer}");
    }
    let status = world.call("device/status/get", &[("deviceSerial", MINE)]).await;
    assert_eq!(status["data"]["privacyStatus"], -2);
    // What the platform does itself it does for every device.
    let capacity = world.call("device/capacity", &[("deviceSerial", MINE)]).await;
    let expected = serde_json::json!({
        "support_capture": "1", "support_cloud": "1", "support_defence": "1", "support_encrypt": "1",
        "support_modify_pwd": "1",
    });
    assert_eq!(capacity["data"], expected);
    world.stop().await;
}

/// A silent device is answered for within 5 s, and while it is, another one is served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_never_answers_is_answered_for() {
    let world = World::start().await;
    for (_, _, ability) in CALLS {
        world.camera.hangs(ability);
    }
    let began = Instant::now();
    let mut calls = Vec::new();
    // A second sound would be told that the first one is being begun.
    for (path, parameters, _) in CALLS.into_iter().filter(|(path, ..)| *path != "voice/send") {
        let world = &world;
        calls.push(async move {
            let answer = call(world, MINE, path, parameters).await;
            assert_eq!(answer["code"], "20008", "{path}: {answer}");
        });
    }
    let all = futures_util::future::join_all(calls);
    tokio::time::timeout(DEADLINE, all).await.unwrap();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_motor_nobody_stops_is_stopped_after_the_configured_time() {
    let world = World::with(|config| config.device.ptz_watchdog_s = 1).await;
    let turn = [("deviceSerial", MINE), ("direction", "0"), ("speed", "1")];
    assert_eq!(world.call("device/ptz/start", &turn).await["code"], "200");
    let began = Instant::now();
    world.until(|| async { world.camera.asked().contains(&"ptz_stop 1".into()) }).await;
    assert!(began.elapsed() > Duration::from_millis(500), "{:?}", began.elapsed());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lens_mask_tells_what_it_was_already() {
    let world = World::start().await;
    let enable =
        async || world.call("device/scene/switch/status", &[("deviceSerial", MINE)]).await["data"]["enable"].clone();
    let set = async |enable| world.call("device/scene/switch/set", &[("deviceSerial", MINE), ("enable", enable)]).await;
    assert_eq!(enable().await, 0);
    assert_eq!(set("0").await["code"], "60022");
    assert_eq!(set("true").await["code"], "200");
    assert_eq!(enable().await, 1);
    assert_eq!(set("1").await["code"], "60022");
    let status = world.call("device/status/get", &[("deviceSerial", MINE)]).await;
    assert_eq!(status["data"]["privacyStatus"], 1);
    // The motor stands still behind a covered lens.
    let turn = [("deviceSerial", MINE), ("direction", "0"), ("speed", "1")];
    assert_eq!(world.call("device/ptz/start", &turn).await["code"], "60026");
    assert_eq!(set("0").await["code"], "200");
    assert_eq!(world.call("device/ptz/start", &turn).await["code"], "200");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn encryption_through_the_api() {
    let world = World::start().await;
    let call = async |path, more: &[(&str, &str)]| world.call(path, &[&[("deviceSerial", MINE)], more].concat()).await;
    let code = async |path, more: &[(&str, &str)]| call(path, more).await["code"].clone();
    let live = async |more: &[(&str, &str)]| call("v2/live/address/get", &[&[("protocol", "4")], more].concat()).await;
    let is_encrypt = async || {
        let rows = call("device/camera/list", &[]).await["data"][0]["isEncrypt"].clone();
        let cameras = world.call("camera/list", &[]).await["data"].clone();
        let mine = cameras.as_array().unwrap().iter().find(|row| row["deviceSerial"] == MINE).unwrap().clone();
        assert_eq!(rows, mine["isEncrypt"]);
        assert_eq!(rows, call("device/info", &[]).await["data"]["isEncrypt"]);
        rows
    };
    assert_eq!(is_encrypt().await, 0);
    assert_eq!(code("device/encrypt/off", &[]).await, "60016");
    assert_eq!(code("device/encrypt/on", &[]).await, "200");
    assert_eq!(code("device/encrypt/on", &[]).await, "60019");
    assert_eq!(is_encrypt().await, 1);
    let refused = live(&[]).await;
    assert_eq!(refused["code"], "60019");
    assert!(refused["msg"].as_str().unwrap().contains("parameter code is empty"), "a client looks for it: {refused}");
    assert_eq!(live(&[("code", "WRONGX")]).await["code"], "60019");
    assert_eq!(live(&[("code", CODE)]).await["code"], "200");
    let sources = format!("{MINE}:1,{OFFLINE}:1");
    let rows = world.call("live/address/get", &[("source", &sources)]).await;
    assert_eq!((&rows["data"][0]["exception"], &rows["data"][0]["ret"]), (&2.into(), &"60019".into()));
    assert!(rows["data"][0]["rtmp"].is_null());
    assert_eq!(rows["data"][1]["ret"], "200");
    let rows =
        world.call("live/address/get", &[("source", MINE), ("source", &format!("{MINE}:1")), ("code", CODE)]).await;
    assert!(rows["data"][0]["rtmp"].is_string(), "{rows}");

    let change = [("oldPassword", "WRONGX"), ("newPassword", "secret")];
    assert_eq!(code("device/password/update", &change).await, "20010");
    assert_eq!(code("device/password/update", &[("oldPassword", CODE), ("newPassword", "secret")]).await, "200");
    assert_eq!(live(&[("code", "secret")]).await["code"], "200");
    assert_eq!(code("device/encrypt/off", &[("validateCode", "WRONGX")]).await, "20010");
    assert_eq!(code("device/encrypt/off", &[("validateCode", CODE)]).await, "200");
    assert_eq!(live(&[]).await["code"], "200");

    // Guessing is throttled.
    assert_eq!(code("device/encrypt/on", &[]).await, "200");
    for _ in 0..5 {
        assert_eq!(live(&[("code", "WRONGX")]).await["code"], "60019");
    }
    assert_eq!(live(&[("code", "secret")]).await["code"], "10029");

    assert_eq!(code("device/defence/set", &[("isDefence", "0")]).await, "60021");
    assert_eq!(code("device/defence/set", &[("isDefence", "16")]).await, "200");
    assert_eq!(call("device/info", &[]).await["data"]["defence"], 16);
    assert_eq!(world.call("device/list", &[]).await["data"][0]["defence"], 16);
    world.stop().await;

    let world = World::with(|config| config.device.decrypt_needs_code = true).await;
    assert_eq!(world.call("device/encrypt/on", &[("deviceSerial", MINE)]).await["code"], "200");
    assert_eq!(world.call("device/encrypt/off", &[("deviceSerial", MINE)]).await["code"], "10001");
    world.stop().await;
}

/// Path and query of an address.
fn target(url: &Value) -> String {
    let url = url.as_str().unwrap();
    url[url.find("/v3/").unwrap()..].to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_opens_by_its_address_alone() {
    let world = World::start().await;
    let answer = world.call("device/capture", &[("deviceSerial", MINE), ("channelNo", "1")]).await;
    let url = answer["data"]["picUrl"].as_str().unwrap();
    assert!(url.starts_with(&format!("http://127.0.0.1:{}/v3/picture/{MINE}_1.jpg?", world.http.port())), "{url}");
    let target = target(&answer["data"]["picUrl"]);
    let bytes = reqwest::get(url).await.unwrap().bytes().await.unwrap();
    assert_eq!(bytes, PICTURE);
    let get = async |target: &str, more: &str| {
        let client = reqwest::Client::new().get(format!("http://{}{target}", world.http));
        let client = if more.is_empty() { client } else { client.header("Range", more) };
        client.send().await.unwrap()
    };
    let whole = get(&target, "").await;
    assert_eq!(whole.status(), 200);
    for (name, value) in [
        ("content-type", "image/jpeg"),
        ("access-control-allow-origin", "*"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
    ] {
        assert_eq!(whole.headers()[name], value);
    }
    let part = get(&target, "bytes=3-5").await;
    assert_eq!(part.status(), 206);
    assert_eq!(part.headers()["content-range"], format!("bytes 3-5/{}", PICTURE.len()));
    assert_eq!(part.bytes().await.unwrap(), PICTURE[3..=5]);
    assert_eq!(get(&target, "bytes=999-").await.status(), 416);

    let preflight = send(world.http, &format!("OPTIONS {target} HTTP/1.1\nOrigin: https://app.example"), b"").await;
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (204, "*"));

    // One byte changed, another kind of address, another picture: 404, whatever is wrong.
    for at in "/v3/picture/".len()..target.len() {
        let byte = if target.as_bytes()[at] == b'1' { "2" } else { "1" };
        let changed = format!("{}{byte}{}", &target[..at], &target[at + 1..]);
        assert_eq!(get(&changed, "").await.status(), 404, "{changed}");
    }
    let live = world.call("v2/live/address/get", &[("deviceSerial", MINE), ("protocol", "4")]).await;
    let live = self::target(&live["data"]["url"]);
    let (_, live_query) = live.split_once('?').unwrap();
    let (path, query) = target.split_once('?').unwrap();
    for other in [
        format!("{path}?{live_query}"),
        format!("/v3/openlive/{MINE}_1_1.flv?{query}"),
        format!("/v3/voice/welcome.mp3?{query}"),
        format!("{path}/../../../meta.db?{query}"),
        format!("{path}%2f..%2f..%2fmeta.db?{query}"),
        path.to_owned(),
    ] {
        assert_eq!(get(&other, "").await.status(), 404, "{other}");
    }
    world.stop().await;
}

/// A device without snapshots has the newest key frame of its stream instead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_of_the_stream_where_the_device_takes_none() {
    let mut world = World::start().await;
    let mut publishing = world.publishing.take().unwrap();
    world.camera.fails("snapshot", DriverError::Unsupported);
    let mut builder = AccessUnitBuilder::new(CodecKind::H264);
    for unit in nal::annex_b(include_bytes!("../../av/src/testdata/quadrants_bt709.h264")) {
        if builder.is_complete_before(unit) {
            break;
        }
        builder.push(unit).unwrap();
    }
    let unit = builder.finish().unwrap().unwrap();
    let track = Track { id: TrackId::VIDEO, codec: unit.parameters.unwrap(), clock_rate: 90_000 };
    publishing.set_tracks(vec![track]);
    let frame = Frame { track: TrackId::VIDEO, dts: Ticks(0), cts: 0, wall: UnixMicros(0), key: true, data: unit.data };
    publishing.write(frame).unwrap();

    let answer = world.call("device/capture", &[("deviceSerial", MINE)]).await;
    assert_eq!(answer["code"], "200", "{answer}");
    let picture = reqwest::get(answer["data"]["picUrl"].as_str().unwrap()).await.unwrap().bytes().await.unwrap();
    // SOI, and the size in the baseline frame header (ITU-T T.81 §B.2.2): 76 × 44.
    assert!(picture.starts_with(&[0xFF, 0xD8]) && picture.ends_with(&[0xFF, 0xD9]));
    let size = [0x08, 0, 44, 0, 76];
    assert!(picture.windows(5).any(|window| window == size), "a JPEG of 76 × 44");
    world.stop().await;
}
