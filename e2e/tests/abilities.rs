//! Everything the live page does to a camera, by one script for all drivers: told over HTTP, seen in the
//! decoded picture, heard at the speaker.

use std::collections::BTreeMap;

use camera::marker::SeenLandmark;
use camera::{Camera, Config, Quality, VideoConfig};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::eventually;
use crate::site::{Site, text};
use crate::sound::{self, CHIRP, FALLING, likeness};
use crate::watch::{EXACT, Seen, Watcher};

const PASSWORD: &str = "a long secret";
/// Most presets that any camera keeps; ours keeps fewer.
const PRESETS_MAX: usize = 300;
/// What the platform does for every device.
const OF_PLATFORM: [&str; 5] =
    ["support_capture", "support_cloud", "support_defence", "support_encrypt", "support_modify_pwd"];

/// A way of attaching a camera, and what can be done then.
struct Kind {
    driver: &'static str,
    address: fn(&Camera) -> String,
    /// The camera's channels, and which of them is told everything.
    channels: u16,
    channel: u16,
    /// What `device/capacity` says beside what it says of every device.
    can: &'static [&'static [&'static str]],
}

const MOTOR: [&str; 6] = ["support_ptz", "ptz_left_right", "ptz_top_bottom", "ptz_45", "ptz_zoom", "ptz_preset"];

const ONVIF: Kind = Kind {
    driver: "onvif",
    address: Camera::onvif_url,
    channels: 1,
    channel: 1,
    can: &[&MOTOR, &["ptz_center_mirror", "support_image_param", "support_privacy", "support_talk"]],
};

/// ISAPI has every mirror.
const OF_ISAPI: &[&[&str]] = &[
    &MOTOR,
    &["ptz_left_right_mirror", "ptz_top_bottom_mirror", "ptz_center_mirror"],
    &["support_privacy", "support_talk"],
];

const ISAPI: Kind = Kind {
    driver: "isapi",
    address: |camera| format!("http://{}", camera.http_address()),
    channels: 1,
    channel: 1,
    can: OF_ISAPI,
};

/// One camera of several behind a recorder.
const RECORDER: Kind = Kind { channels: 4, channel: 3, ..ISAPI };

const RTSP: Kind = Kind {
    driver: "rtsp",
    address: |camera| camera.rtsp_url(Quality::Main),
    channels: 1,
    channel: 1,
    can: &[&["support_talk"]],
};

/// One channel of an attached device, as its owner's application sees it.
struct Device {
    site: Site,
    camera: Camera,
    kind: &'static Kind,
    serial: String,
    validate_code: String,
    capacity: BTreeMap<String, String>,
    folder: TempDir,
}

impl Device {
    async fn attach(kind: &'static Kind) -> Device {
        let site = Site::start().await;
        let folder = TempDir::new().unwrap();
        let video = VideoConfig { width: 640, height: 360, frame_rate: 10, ..VideoConfig::SUB };
        let config = Config {
            serial: "ALL000001".into(),
            password: PASSWORD.into(),
            channels: kind.channels,
            main: video,
            speaker: Some(folder.path().join("heard.wav")),
            ..Config::default()
        };
        let camera = Camera::start(config).await.unwrap();
        let login = json!({ "user": "admin", "password": PASSWORD });
        let body = json!({ "driver": kind.driver, "address": (kind.address)(&camera), "login": login });
        let attached = site.attach(body).await;
        let (serial, validate_code) = (text(&attached, "serial").into(), text(&attached, "validate_code").into());
        let mut device = Device { site, camera, kind, serial, validate_code, capacity: BTreeMap::new(), folder };
        let capacity = device.ok("device/capacity", &[]).await;
        device.capacity = serde_json::from_value(capacity).expect("an object of strings");
        device
    }

    /// Calls `path` for this channel with more parameters.
    async fn call(&self, path: &str, more: &[(&str, &str)]) -> Value {
        let channel = self.kind.channel.to_string();
        let mut form = vec![("deviceSerial", self.serial.as_str()), ("channelNo", &channel)];
        form.extend(more);
        self.site.call(path, &form).await
    }

    #[track_caller]
    fn ok<'a>(&'a self, path: &'a str, more: &'a [(&'a str, &'a str)]) -> impl Future<Output = Value> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let mut answer = self.call(path, more).await;
            assert_eq!(answer["code"], "200", "{path} {more:?} at {caller}: {answer}");
            answer["data"].take()
        }
    }

    #[track_caller]
    fn refused<'a>(
        &'a self,
        code: &'a str,
        path: &'a str,
        more: &'a [(&'a str, &'a str)],
    ) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let answer = self.call(path, more).await;
            assert_eq!(answer["code"], code, "{path} {more:?} at {caller}: {answer}");
            assert!(answer.get("data").is_none_or(Value::is_null), "{answer}");
        }
    }

    fn can(&self, capability: &str) -> bool {
        self.capacity.get(capability).is_some_and(|value| value != "0")
    }

    async fn watch(&self) -> Watcher {
        let channel = self.kind.channel.to_string();
        let address = self.site.address(&self.serial, 4, &[("channelNo", &channel)]).await;
        Watcher::open(self.site.server.client(), &address).await
    }

    async fn start(&self, direction: &str, speed: &str) {
        self.ok("device/ptz/start", &[("direction", direction), ("speed", speed)]).await;
    }

    async fn stop(&self) {
        self.ok("device/ptz/stop", &[]).await;
    }

    /// How many samples its speaker has heard.
    fn heard(&self) -> usize {
        self.camera.heard(self.kind.channel).samples.len()
    }

    /// What its speaker has heard since, once nobody speaks any more.
    async fn heard_since(&self, since: usize) -> Vec<i16> {
        let speaker = self.camera.channel(self.kind.channel).unwrap().speaker();
        eventually("the speaker falls silent", || async { (self.heard() > since && !speaker.is_open()).then_some(()) })
            .await;
        self.camera.heard(self.kind.channel).samples.split_off(since)
    }

    /// Sends a file in a form of this media type.
    async fn send_file(&self, path: &str, content_type: &str, more: &[(&str, &str)], file: (&str, &[u8])) -> Value {
        let channel = self.kind.channel.to_string();
        let mut form = vec![("deviceSerial", self.serial.as_str()), ("channelNo", &channel)];
        form.extend(more);
        self.site.upload(path, content_type, &form, file).await
    }

    /// Sends a file once the speaker is free: what was heard last may still be closing.
    async fn speak(&self, content_type: &str, file: (&str, &[u8])) {
        eventually("the speaker is free", || async {
            let answer = self.send_file("voice/sendonce", content_type, &[], file).await;
            assert!(answer["code"] == "200" || answer["code"] == "111012", "{answer}");
            (answer["code"] == "200").then_some(())
        })
        .await;
    }
}

async fn script(kind: &'static Kind) {
    let device = Device::attach(kind).await;
    let expected: BTreeMap<String, String> = kind
        .can
        .iter()
        .copied()
        .flatten()
        .chain(&OF_PLATFORM)
        .map(|name| ((*name).to_owned(), "1".to_owned()))
        .collect();
    assert_eq!(device.capacity, expected);
    let mut eyes = device.watch().await;
    describe(&device).await;
    turn(&device, &mut eyes).await;
    zoom(&device, &mut eyes).await;
    reach_the_ends(&device, &mut eyes).await;
    presets(&device, &mut eyes).await;
    mirror(&device, &mut eyes).await;
    mask(&device, &mut eyes).await;
    capture(&device, &mut eyes).await;
    speak(&device).await;
    phrases(&device).await;
    encrypt(&device).await;
    for other in (1..=kind.channels).filter(|other| *other != kind.channel) {
        let (channel, fresh) = (device.camera.channel(other).unwrap(), camera::ptz::Ptz::new());
        assert_eq!(channel.ptz_status(), fresh.status(std::time::Duration::ZERO), "channel {other} was told nothing");
        assert!(channel.presets().is_empty() && channel.privacy_mask().is_none());
        assert!(device.camera.heard(other).samples.is_empty());
    }
    device.camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_by_onvif() {
    script(&ONVIF).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_by_isapi() {
    script(&ISAPI).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_through_a_recorder() {
    script(&RECORDER).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_by_rtsp_alone() {
    script(&RTSP).await;
}

/// What is said of a device, and set on it, that no driver has to do with.
async fn describe(device: &Device) {
    let version = device.ok("device/version/info", &[]).await;
    assert_eq!((&version["isNeedUpgrade"], &version["isUpgrading"]), (&json!(0), &json!(0)));
    assert_eq!(version["latestVersion"], version["currentVersion"]);
    assert_eq!(text(&version, "currentVersion").is_empty(), device.kind.driver == "rtsp", "which tells nothing");
    device.ok("device/defence/set", &[("isDefence", "1")]).await;
    assert_eq!(device.ok("device/info", &[]).await["defence"], 1);
    device.refused("60021", "device/defence/set", &[("isDefence", "1")]).await;
    // No protocol so far has this switch.
    device.refused("60020", "device/sound/switch/set", &[("enable", "1")]).await;
}

/// Each direction is seen in the picture and ends with a stop.
async fn turn(device: &Device, eyes: &mut Watcher) {
    let ask = [("direction", "0"), ("speed", "1")];
    if !device.can("support_ptz") {
        device.refused("60000", "device/ptz/start", &ask).await;
        return device.refused("60000", "device/ptz/stop", &[]).await;
    }
    // There and back, so that no end is met.
    let directions =
        [("0", 0, 1), ("1", 0, -1), ("2", -1, 0), ("3", 1, 0), ("4", -1, 1), ("7", 1, -1), ("6", 1, 1), ("5", -1, -1)];
    let mut before = eyes.at_rest().await.view();
    for (direction, pan, tilt) in directions {
        let way = |seen: &Seen| {
            let view = seen.view();
            [(pan, view.pan - before.pan, EXACT), (tilt, view.tilt - before.tilt, 3.0 * EXACT)]
        };
        device.start(direction, "1").await;
        let moved = |seen: &Seen| way(seen).iter().all(|(sign, way, _)| *sign == 0 || way * *sign as f32 > 0.1);
        eyes.until(&format!("direction {direction}"), moved).await;
        device.stop().await;
        let rests = eyes.at_rest().await;
        assert!(moved(&rests), "direction {direction}: {before:?}, {rests:?}");
        assert!(way(&rests).iter().all(|(sign, way, exact)| *sign != 0 || way.abs() < *exact), "direction {direction}");
        before = rests.view();
        assert!(before.pan.abs() < 0.95 && before.tilt.abs() < 0.95, "it was stopped before any end: {before:?}");
    }
    for other in ["10", "11", "16"] {
        device.refused("60020", "device/ptz/start", &[("direction", other), ("speed", "1")]).await;
    }
}

/// Each end of travel has its code, and the way back is free.
async fn reach_the_ends(device: &Device, eyes: &mut Watcher) {
    if !device.can("support_ptz") {
        return;
    }
    for (direction, pan, tilt, code) in
        [("2", -1.0, 0.0, "60004"), ("3", 1.0, 0.0, "60005"), ("0", 0.0, 1.0, "60002"), ("1", 0.0, -1.0, "60003")]
    {
        device.start(direction, "2").await;
        let at_end = |seen: &Seen| {
            let view = seen.view();
            view.pan * pan + view.tilt * tilt > 1.0 - 3.0 * EXACT
        };
        eyes.until(&format!("the end of direction {direction}"), at_end).await;
        assert!(at_end(&eyes.at_rest().await));
        device.refused(code, "device/ptz/start", &[("direction", direction), ("speed", "2")]).await;
    }
    // Along the end it goes on.
    device.start("4", "0").await;
    device.stop().await;
}

/// Nearer, then back: the distance between two landmarks tells.
async fn zoom(device: &Device, eyes: &mut Watcher) {
    if !device.can("ptz_zoom") {
        return;
    }
    let distance = |before: &Seen, now: &Seen| {
        let between = |seen: &Seen, a: usize, b: usize| {
            let at = |index| seen.landmarks.iter().find(|landmark: &&SeenLandmark| landmark.index == index);
            Some((at(a)?.x - at(b)?.x).abs())
        };
        // Those in the middle stay in the picture longest.
        let mut landmarks = before.landmarks.clone();
        landmarks.sort_by(|a, b| (a.x - 0.5).abs().total_cmp(&(b.x - 0.5).abs()));
        let [a, b, ..] = &landmarks[..] else { panic!("two landmarks in {before:?}") };
        Some(between(now, a.index, b.index)? / between(before, a.index, b.index)?)
    };
    let wide = eyes.at_rest().await;
    device.start("8", "0").await;
    eyes.until("larger", |seen| distance(&wide, seen).is_some_and(|times| times > 1.05)).await;
    device.stop().await;
    let near = eyes.at_rest().await;
    let times = distance(&wide, &near);
    assert!(times.is_none_or(|times| times > 1.05), "{wide:?}, {near:?}");
    device.start("9", "2").await;
    eyes.until("as before", |seen| seen.is_moved(&wide, |s| (s.x, s.y))).await;
    device.stop().await;
}

/// Stored, left, recalled, cleared; full, unknown and reached have their codes.
async fn presets(device: &Device, eyes: &mut Watcher) {
    if !device.can("ptz_preset") {
        let code = if device.can("support_ptz") { "60020" } else { "60000" };
        device.refused(code, "device/preset/add", &[]).await;
        device.refused(code, "device/preset/move", &[("index", "1")]).await;
        return device.refused(code, "device/preset/clear", &[("index", "1")]).await;
    }
    let place = eyes.at_rest().await;
    let add = async || device.ok("device/preset/add", &[]).await["index"].as_u64().expect("a number").to_string();
    let index = add().await;
    let ask = [("index", index.as_str())];
    device.start("2", "2").await;
    let is_away = |seen: &Seen| (seen.view().pan - place.view().pan).abs() > 0.3;
    eyes.until("away", is_away).await;
    device.stop().await;
    assert!(is_away(&eyes.at_rest().await));
    device.ok("device/preset/move", &ask).await;
    eyes.until("the preset", |seen| seen.is_moved(&place, |s| (s.x, s.y))).await;
    eyes.at_rest().await;
    device.refused("60010", "device/preset/move", &ask).await;
    device.ok("device/preset/clear", &ask).await;
    for path in ["device/preset/move", "device/preset/clear"] {
        device.refused("60011", path, &ask).await;
        device.refused("10001", path, &[("index", "0")]).await;
    }
    let mut kept = Vec::new();
    while kept.len() <= PRESETS_MAX {
        let answer = device.call("device/preset/add", &[]).await;
        match answer["data"]["index"].as_u64() {
            Some(index) => kept.push(index.to_string()),
            None => {
                assert_eq!(answer["code"], "60007", "{answer}");
                break;
            }
        }
    }
    assert!((1..=PRESETS_MAX).contains(&kept.len()), "{kept:?}");
    for index in &kept {
        // As one client calls it.
        device.ok("device/preset/clear", &[("presetIndex", index)]).await;
    }
}

/// About each axis the dialect has, and back; the others are no command of it.
async fn mirror(device: &Device, eyes: &mut Watcher) {
    type Place = fn(&SeenLandmark) -> (f32, f32);
    let axes: [(&str, &str, Place); 3] = [
        ("0", "ptz_top_bottom_mirror", |s| (s.x, 1.0 - s.y)),
        ("1", "ptz_left_right_mirror", |s| (1.0 - s.x, s.y)),
        ("2", "ptz_center_mirror", |s| (1.0 - s.x, 1.0 - s.y)),
    ];
    for (command, capability, place) in axes {
        let ask = [("command", command)];
        if !device.can(capability) {
            device.refused("60020", "device/ptz/mirror", &ask).await;
            continue;
        }
        let before = eyes.at_rest().await;
        device.ok("device/ptz/mirror", &ask).await;
        eyes.until(capability, |seen| seen.is_moved(&before, place)).await;
        device.ok("device/ptz/mirror", &ask).await;
        eyes.until("as before", |seen| seen.is_moved(&before, |s| (s.x, s.y))).await;
    }
}

/// Dark while frames go on, then light.
async fn mask(device: &Device, eyes: &mut Watcher) {
    let (status, set) = ("device/scene/switch/status", "device/scene/switch/set");
    if !device.can("support_privacy") {
        device.refused("60020", status, &[]).await;
        return device.refused("60020", set, &[("enable", "1")]).await;
    }
    let enable = async || device.ok(status, &[]).await["enable"].as_u64().expect("a number");
    let light = eyes.at_rest().await;
    assert!(light.luma > 60.0 && enable().await == 0, "{light:?}");
    device.refused("60022", set, &[("enable", "0")]).await;
    device.ok(set, &[("enable", "1")]).await;
    let dark = eyes.until("darkness", |seen| seen.luma < 25.0).await;
    assert!(dark.landmarks.is_empty());
    let on = dark.counter.expect("the counter is no part of the scene") + 5;
    assert!(eyes.until("frames", |seen| seen.counter >= Some(on)).await.luma < 25.0);
    assert_eq!(enable().await, 1);
    device.refused("60022", set, &[("enable", "1")]).await;
    if device.can("support_ptz") {
        device.refused("60026", "device/ptz/start", &[("direction", "0"), ("speed", "1")]).await;
    }
    let (_, picture) = Seen::in_jpeg(&open(device, &captured(device).await).await);
    assert!(picture.landmarks.is_empty() && picture.luma < 25.0, "{picture:?}");
    device.ok(set, &[("enable", "0")]).await;
    eyes.until("light", |seen| seen.is_moved(&light, |s| (s.x, s.y))).await;
    assert_eq!(enable().await, 0);
    if device.can("support_ptz") {
        device.start("0", "0").await;
        device.stop().await;
    }
}

async fn captured(device: &Device) -> String {
    text(&device.ok("device/capture", &[]).await, "picUrl").to_owned()
}

/// Opens an address without any token, as a page does.
async fn open(device: &Device, url: &str) -> bytes::Bytes {
    let answer = device.site.server.client().get(url).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["access-control-allow-origin"]),
        (200, &"*".parse().unwrap())
    );
    answer.bytes().await.unwrap()
}

/// The picture's address opens without a token and shows what is seen now; changed by one byte it is dead.
async fn capture(device: &Device, eyes: &mut Watcher) {
    let now = eyes.at_rest().await;
    let url = captured(device).await;
    let (size, picture) = Seen::in_jpeg(&open(device, &url).await);
    assert_eq!(size, (640, 360));
    assert!(picture.is_moved(&now, |s| (s.x, s.y)), "{now:?}, {picture:?}");
    let signed = url.rfind('/').unwrap() + 1;
    for at in signed..url.len() {
        let mut changed = url.clone().into_bytes();
        changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
        let changed = String::from_utf8(changed).unwrap();
        let answer = device.site.server.client().get(&changed).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{changed}");
    }
}

/// Files of every kind that phones and browsers send are heard; another while one is heard is not.
async fn speak(device: &Device) {
    let path = |name: &str| device.folder.path().join(name);
    sound::write(CHIRP, &[], &path("sent.wav")).await;
    let sent = sound::read(&path("sent.wav")).await;
    let files: [(&str, &str, &[&str]); 4] = [
        ("tmp_1a2b.durationTime=1000.mp3", "amultipart/form-data", &["-c:a", "libmp3lame"]),
        ("sent.wav", "multipart/form-data; boundary=xXx", &[]),
        ("sent.aac", "multipart/form-data; boundary=xXx", &["-c:a", "aac"]),
        // What a browser records.
        ("blob.webm", "multipart/form-data; boundary=xXx", &["-c:a", "libopus"]),
    ];
    let other = sound::write(FALLING, &[], &path("other.wav")).await;
    if !device.can("support_talk") {
        let answer = device.send_file("voice/sendonce", files[1].1, &[], ("sent.wav", &other)).await;
        return assert_eq!(answer["code"], "20015", "{answer}");
    }
    for (name, content_type, coder) in files {
        let bytes = sound::write(CHIRP, coder, &path(name)).await;
        let since = device.heard();
        device.speak(content_type, (name, &bytes)).await;
        let busy = device.send_file("voice/sendonce", content_type, &[], ("other.wav", &other)).await;
        assert_eq!(busy["code"], "111012", "{busy}");
        let heard = device.heard_since(since).await;
        let alike = likeness(&sent, &heard);
        assert!(alike > 0.8, "{name}: {alike:.3} of {} samples", heard.len());
    }
    let refused = device.send_file("voice/sendonce", files[1].1, &[], ("sent.mp3", b"no sound at all")).await;
    assert_eq!(refused["code"], "111001", "{refused}");
    // What the camera wrote is what it heard.
    let wav = match device.kind.channel {
        1 => path("heard.wav"),
        channel => path(&format!("heard-{channel}.wav")),
    };
    assert_eq!(sound::read(&wav).await, device.camera.heard(device.kind.channel).samples);
}

/// A phrase of one's own and one of the platform's are found, spoken and heard.
async fn phrases(device: &Device) {
    if !device.can("support_talk") {
        return;
    }
    let path = |name: &str| device.folder.path().join(name);
    let sent = sound::read(&path("sent.wav")).await;
    let file = std::fs::read(path("sent.aac")).unwrap();
    let form = "multipart/form-data; boundary=xXx";
    let uploaded = device.send_file("voice/upload", form, &[("voiceName", "门铃")], ("sent.aac", &file)).await;
    assert_eq!((&uploaded["code"], &uploaded["data"][0]["name"]), (&json!("200"), &json!("门铃")), "{uploaded}");
    let own = device.ok("voice/query", &[("default", "false")]).await;
    assert_eq!((own.as_array().map(Vec::len), &own[0]["duration"]), (Some(1), &json!(1)), "{own}");
    let platform = device.ok("voice/query", &[("default", "true"), ("pageSize", "50")]).await;
    let platform = platform.as_array().unwrap();
    assert_eq!(platform.len(), 7);
    let shortest = platform.iter().min_by_key(|row| row["duration"].as_u64()).unwrap();
    let url = text(shortest, "fileUrl");
    std::fs::write(path("phrase.mp3"), open(device, url).await).unwrap();
    let phrase = sound::read(&path("phrase.mp3")).await;
    for (url, expected) in [(text(&own[0], "fileUrl"), &sent), (url, &phrase)] {
        let since = device.heard();
        eventually("the speaker is free", || async {
            let answer = device.call("voice/send", &[("fileUrl", url)]).await;
            assert!(answer["code"] == "200" || answer["code"] == "111012", "{answer}");
            (answer["code"] == "200").then_some(())
        })
        .await;
        let heard = device.heard_since(since).await;
        let alike = likeness(expected, &heard);
        assert!(alike > 0.8, "{url}: {alike:.3} of {} samples", heard.len());
    }
    device.ok("voice/delete", &[("voiceName", "门铃")]).await;
    device.refused("10001", "voice/send", &[("fileUrl", text(&own[0], "fileUrl"))]).await;
}

/// While encrypted, media open with the code alone.
async fn encrypt(device: &Device) {
    let address = "v2/live/address/get";
    device.refused("60016", "device/encrypt/off", &[]).await;
    device.ok("device/encrypt/on", &[]).await;
    device.refused("60019", "device/encrypt/on", &[]).await;
    assert_eq!(device.ok("device/info", &[]).await["isEncrypt"], 1);
    device.refused("60019", address, &[("protocol", "4")]).await;
    device.refused("60019", address, &[("protocol", "4"), ("code", "WRONGX")]).await;
    let opens = async |code: &str| {
        let data = device.ok(address, &[("protocol", "4"), ("code", code)]).await;
        Watcher::open(device.site.server.client(), text(&data, "url")).await.next().await
    };
    opens(&device.validate_code).await;
    let change = "device/password/update";
    device.refused("20010", change, &[("oldPassword", "WRONGX"), ("newPassword", "new secret")]).await;
    device.ok(change, &[("oldPassword", &device.validate_code), ("newPassword", "new secret")]).await;
    device.refused("60019", address, &[("protocol", "4"), ("code", &device.validate_code)]).await;
    opens("new secret").await;
    device.refused("20010", "device/encrypt/off", &[("validateCode", "WRONGX")]).await;
    device.ok("device/encrypt/off", &[("validateCode", &device.validate_code)]).await;
    device.ok(address, &[("protocol", "4")]).await;
}
