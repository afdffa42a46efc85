//! Cameras and encoders nobody here wrote: GStreamer's RTSP server and ffmpeg, attached as their owner
//! would attach them, and watched by players nobody here wrote.

use std::process::Stdio;
use std::time::Duration;

use av::container::flv::{Demuxer, FrameReader, Tag, TagType};
use av::{CodecKind, MediaKind, TrackId, UnixMicros};
use proto::rtmp::client::{Event, Purpose};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

use crate::harness::{PATIENCE, eventually, listening, python, root, run, succeed};
use crate::live::probe;
use crate::media::{FlvViewer, Luma, Pictures};
use crate::rtmp::RtmpClient;
use crate::site::{Site, text};
use crate::sound::{self, CHIRP, likeness};

const PASSWORD: &str = "camera secret";
/// On line and off line are noticed within this.
const NOTICED: Duration = Duration::from_secs(15);
/// What GStreamer's camera sends as sound.
const TONE_HZ: f64 = 440.0;

/// A camera behind GStreamer's RTSP server, with a login; ends with the value.
struct GstCamera {
    process: Child,
    port: u16,
}

impl GstCamera {
    async fn start(arguments: &[&str]) -> GstCamera {
        let mut command = Command::new("/usr/bin/python3");
        command
            .arg(root().join("e2e/counterparts/gst_rtsp_server.py"))
            .args(["--user", "admin", "--password", PASSWORD, "--fps", "10"])
            .args(arguments);
        let (process, port) = listening(&mut command).await;
        GstCamera { process, port }
    }

    /// Its small stream, which two busy cores can encode many of.
    fn address(&self) -> String {
        format!("rtsp://127.0.0.1:{}/sub", self.port)
    }

    async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }

    /// Sends it a signal by name.
    async fn signal(&self, name: &str) {
        let pid = self.process.id().unwrap().to_string();
        succeed(Command::new("kill").args(["-s", name, &pid])).await;
    }
}

/// What attaches a camera at these addresses.
fn rtsp(addresses: &str) -> Value {
    json!({ "driver": "rtsp", "address": addresses, "login": { "user": "admin", "password": PASSWORD } })
}

/// The first decoded picture of an FLV address.
async fn first_picture(site: &Site, address: &str) -> Luma {
    let mut viewer = FlvViewer::open(site.server.client(), address).await;
    let mut pictures = Pictures::new();
    let deadline = Instant::now() + PATIENCE;
    while let Some(output) = viewer.next(deadline).await {
        output.tracks.iter().for_each(|tracks| pictures.set_tracks(tracks));
        let video = output.frame.filter(|frame| frame.track == TrackId::VIDEO);
        if let Some(picture) = video.and_then(|frame| pictures.decode(&frame)) {
            return picture;
        }
    }
    panic!("no picture from {address}");
}

/// The seven bars of the test picture are there: each is darker than the one to its left.
#[track_caller]
fn assert_bars(bars: &[u64]) {
    assert!(bars.len() == 7 && bars.windows(2).all(|pair| pair[0] > pair[1] + 5), "{bars:?}");
}

fn bars(picture: &Luma) -> Vec<u64> {
    let row = picture.size.1 / 4 * picture.stride;
    (0..7).map(|n| u64::from(picture.samples[row + picture.size.0 * (2 * n + 1) / 14])).collect()
}

/// The first tag of an FLV address for which `wanted` holds.
async fn first_tag(site: &Site, address: &str, wanted: impl Fn(&Tag) -> bool) -> Tag {
    let mut response = site.server.client().get(address).send().await.unwrap();
    assert_eq!(response.status(), 200, "{address}");
    let mut demuxer = Demuxer::new();
    loop {
        while let Some(tag) = demuxer.pull().unwrap() {
            if wanted(&tag) {
                return tag;
            }
        }
        let chunk = timeout(PATIENCE, response.chunk()).await.expect("media in time").unwrap();
        demuxer.push(&chunk.expect("the stream goes on"));
    }
}

/// What a player with a recent FFmpeg shows after this many pictures.
async fn pyav(address: &str, pictures: u32) -> Value {
    let script = root().join("e2e/counterparts/pyav_player.py");
    let shown = succeed(Command::new(python()).arg(script).arg(address).arg(pictures.to_string())).await;
    serde_json::from_str(&shown).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gstreamer_camera_plays_dies_and_returns() {
    let site = Site::start().await;
    let camera = GstCamera::start(&["--codec", "h264", "--audio", "aac"]).await;
    let device = site.attach(rtsp(&camera.address())).await;
    let serial = text(&device, "serial");
    for protocol in [3, 4] {
        let address = site.address(serial, protocol, &[]).await;
        assert_eq!(probe(&address).await, ["aac", "h264"], "{address}");
    }
    let address = site.address(serial, 4, &[]).await;
    let picture = first_picture(&site, &address).await;
    assert_eq!(picture.size, (640, 360));
    assert_bars(&bars(&picture));

    let port = camera.port.to_string();
    camera.kill().await;
    site.status_becomes(serial, false, NOTICED).await;
    let refused = site.call("v2/live/address/get", &[("deviceSerial", serial), ("protocol", "4")]).await;
    assert_eq!(refused["code"], "20007");
    let _camera = GstCamera::start(&["--codec", "h264", "--audio", "aac", "--port", &port]).await;
    site.status_becomes(serial, true, NOTICED).await;
    assert_bars(&bars(&first_picture(&site, &address).await));
}

/// A camera that crashed without its network: connections are taken by its system and answered by nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_freezes_is_off_line_and_on_line_again_when_it_thaws() {
    let site = Site::start().await;
    let camera = GstCamera::start(&["--codec", "h264", "--audio", "none"]).await;
    let device = site.attach(rtsp(&camera.address())).await;
    let serial = text(&device, "serial");
    let address = site.address(serial, 4, &[]).await;
    first_picture(&site, &address).await;
    camera.signal("STOP").await;
    site.status_becomes(serial, false, NOTICED).await;
    camera.signal("CONT").await;
    site.status_becomes(serial, true, NOTICED).await;
    assert_bars(&bars(&first_picture(&site, &address).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_of_a_gstreamer_camera_is_named() {
    let site = Site::start().await;
    let camera = GstCamera::start(&[]).await;
    let mut wrong = rtsp(&camera.address());
    wrong["login"]["password"] = "camera secreT".into();
    let (status, answer) = site.native("POST", "devices", wrong).await;
    assert_eq!((status, text(&answer, "error")), (502, "DeviceUnreachable"));
    assert!(text(&answer, "message").ends_with("login refused"), "{answer}");
    let (_, listed) = site.server.native("GET", "devices", None).await;
    assert_eq!(listed, json!({ "devices": [] }), "nothing is attached");
}

#[tokio::test(flavor = "multi_thread")]
async fn h265_reaches_players_that_take_it_and_others_are_told() {
    let site = Site::start().await;
    let camera = GstCamera::start(&["--codec", "h265", "--audio", "aac"]).await;
    let device = site.attach(rtsp(&camera.address())).await;
    let serial = text(&device, "serial");

    // A player that takes it, judged by a decoder made by others: over FLV its address says so, over
    // RTMP the player itself.
    let (flv, rtmp) = (site.address(serial, 4, &[("supportH265", "1")]).await, site.address(serial, 3, &[]).await);
    for address in [&flv, &rtmp] {
        let shown = pyav(address, 12).await;
        assert_eq!(shown["codecs"], json!(["aac", "hevc"]), "{address}");
        assert_eq!((&shown["decoded"], &shown["size"]), (&json!(12), &json!([640, 360])), "{address}");
        let bars: Vec<u64> = serde_json::from_value(shown["bars"].clone()).unwrap();
        assert_bars(&bars);
    }
    // And by our own reader, to the byte: the enhanced form (Enhanced RTMP v2, "ExVideoTagHeader").
    let tag = first_tag(&site, &flv, |tag| tag.kind == TagType::Video).await;
    assert_eq!((tag.body[0] & 0x8F, &tag.body[1..5]), (0x80, &b"hvc1"[..]), "a sequence header of H.265");
    assert_h265(&rtmp).await;

    // A player that does not: never a black picture, always a reason.
    let plain = site.address(serial, 4, &[]).await;
    let refused = site.server.client().get(&plain).send().await.unwrap();
    assert_eq!(refused.status(), 415);
    assert!(refused.text().await.unwrap().contains("H.265"));
    let refused = run(Command::new("rtmpdump").args(["--live", "-r", &rtmp, "-o", "/dev/null"])).await;
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("NetStream.Play.Failed"), "{said}");
    let refused = run(Command::new("ffprobe").args(["-v", "error", &rtmp])).await;
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("H.265"), "{said}");
}

/// An RTMP player that says `hvc1` gets H.265 in the enhanced form, beginning with a key frame.
async fn assert_h265(address: &str) {
    let mut client = RtmpClient::open(Purpose::Play, address).await;
    let mut frames = FrameReader::new();
    loop {
        let Event::Media(media) = client.event().await.expect("the stream goes on") else { continue };
        if media.kind != MediaKind::Video {
            continue;
        }
        assert_eq!((media.body[0] & 0x80, &media.body[1..5]), (0x80, &b"hvc1"[..]));
        let output = frames.push(TagType::Video, media.timestamp, media.body, UnixMicros(0)).unwrap();
        let Some(frame) = output.frame else { continue };
        assert!(frame.key);
        assert!(frames.tracks().iter().any(|track| track.codec.kind() == CodecKind::H265));
        return;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_player_that_takes_no_h265_gets_the_h264_sub_stream() {
    let site = Site::start().await;
    let (main, sub) = tokio::join!(
        GstCamera::start(&["--codec", "h265", "--audio", "none"]),
        GstCamera::start(&["--codec", "h264", "--audio", "aac"]),
    );
    let device = site.attach(rtsp(&format!("{} {}", main.address(), sub.address()))).await;
    let serial = text(&device, "serial");
    for protocol in [3, 4] {
        let address = site.address(serial, protocol, &[]).await;
        assert_eq!(probe(&address).await, ["aac", "h264"], "{address}");
    }
    assert_bars(&bars(&first_picture(&site, &site.address(serial, 4, &[]).await).await));
    let h265 = site.address(serial, 4, &[("supportH265", "1")]).await;
    assert_eq!(pyav(&h265, 1).await["codecs"], json!(["hevc"]));
}

/// Two seconds of what a player hears at an address, as samples at their own rate.
async fn hear(address: &str) -> (u32, Vec<i16>) {
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-v", "error", "-select_streams", "a", "-show_entries", "stream=codec_name,sample_rate,channels"]);
    let shown = succeed(ffprobe.args(["-of", "csv=p=0", address])).await;
    let [codec, rate, channels] = shown.trim().split(',').collect::<Vec<_>>()[..] else { panic!("{shown:?}") };
    assert_eq!((codec, channels), ("aac", "1"), "{address}");
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-i", address, "-vn", "-t", "2", "-f", "s16le", "-"]).stdin(Stdio::null());
    let output = run(&mut ffmpeg).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let samples = output.stdout.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    (rate.parse().unwrap(), samples)
}

/// How much of a sound's power lies at one frequency, 0 to 1.
fn share(samples: &[i16], hz: f64, rate: u32) -> f64 {
    let (mut re, mut im, mut power) = (0.0, 0.0, 0.0);
    for (i, &sample) in samples.iter().enumerate() {
        let (sin, cos) = (std::f64::consts::TAU * hz * i as f64 / f64::from(rate)).sin_cos();
        let sample = f64::from(sample);
        (re, im, power) = (re + sample * cos, im + sample * sin, power + sample * sample);
    }
    2.0 * (re * re + im * im) / (power * samples.len() as f64)
}

#[tokio::test(flavor = "multi_thread")]
async fn g711_sound_is_aac_to_players_and_none_to_those_who_want_none() {
    let site = Site::start().await;
    for (audio, protocol) in [("pcma", 3), ("pcmu", 4)] {
        let camera = GstCamera::start(&["--codec", "h264", "--audio", audio]).await;
        let device = site.attach(rtsp(&camera.address())).await;
        let serial = text(&device, "serial");
        let address = site.address(serial, protocol, &[]).await;
        let (rate, samples) = hear(&address).await;
        assert_eq!(rate, 16_000, "{address}");
        assert!(samples.len() >= 30_000, "{} samples of {address}", samples.len());
        // Half a second of the tone, past the coder's run-up.
        let share = share(&samples[8_000..16_000], TONE_HZ, rate);
        assert!(share > 0.95, "{share:.3} of the sound of {address} is the tone that the camera sends");

        let mute = site.address(serial, protocol, &[("mute", "1")]).await;
        assert_eq!(probe(&mute).await, ["h264"], "{mute}");
        let mute = site.address(serial, 4, &[("mute", "1")]).await;
        assert_bars(&bars(&first_picture(&site, &mute).await));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_is_heard_at_the_speaker_of_a_gstreamer_camera() {
    let (site, folder) = (Site::start().await, TempDir::new().unwrap());
    let mp3 = folder.path().join("sent.mp3");
    let sent = sound::write(CHIRP, &["-c:a", "libmp3lame"], &mp3).await;
    let expected = sound::read(&mp3).await;
    for codec in ["pcma", "pcmu", "aac"] {
        let file = folder.path().join(format!("{codec}.wav"));
        let heard = file.to_str().unwrap();
        let camera = GstCamera::start(&["--audio", "none", "--speaker", heard, "--speaker-codec", codec]).await;
        let device = site.attach(rtsp(&format!("rtsp://127.0.0.1:{}/main", camera.port))).await;
        let form = [("deviceSerial", text(&device, "serial"))];
        assert_eq!(site.data("device/capacity", &form).await["support_talk"], "1", "{codec}");
        let send = async || {
            let answer =
                site.upload("voice/sendonce", "multipart/form-data; boundary=xXx", &form, ("sent.mp3", &sent)).await;
            answer["code"].as_str().map(str::to_owned)
        };
        assert_eq!(send().await.as_deref(), Some("200"), "{codec}");
        // After the header of the file, which has no length in it as long as it grows.
        eventually("it is heard", || async {
            // It begins to listen some time after it said so; what came before is lost, and is said again.
            let again = send().await;
            assert!(matches!(again.as_deref(), Some("200" | "111012")), "{codec}: {again:?}");
            let bytes = std::fs::read(&file).ok()?;
            let samples = bytes.get(44..)?.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
            let samples: Vec<i16> = samples.collect();
            (samples.len() >= sound::RATE as usize * 9 / 10 && likeness(&expected, &samples) > 0.8).then_some(())
        })
        .await;
    }
}

/// A motor nobody here wrote: it moves as it is told, and what it says of itself is understood.
#[tokio::test(flavor = "multi_thread")]
async fn the_motor_of_ipycam_turns_stops_meets_its_ends_and_goes_to_presets() {
    let site = Site::start().await;
    let mut command = Command::new(python());
    let (_process, port) = listening(command.arg(root().join("e2e/counterparts/ipycam_device.py")).arg(PASSWORD)).await;
    let (address, login) = (format!("http://127.0.0.1:{port}"), json!({ "user": "admin", "password": PASSWORD }));
    let device = site.attach(json!({ "driver": "onvif", "address": address, "login": login })).await;
    assert_eq!(text(&device, "model"), "VirtualCam-1");
    let serial = text(&device, "serial");
    let call =
        async |path: &str, more: &[(&str, &str)]| site.call(path, &[&[("deviceSerial", serial)], more].concat()).await;
    let code = async |path: &str, more: &[(&str, &str)]| text(&call(path, more).await, "code").to_owned();
    let start = async |direction, speed| code("device/ptz/start", &[("direction", direction), ("speed", speed)]).await;
    let capacity = call("device/capacity", &[]).await["data"].take();
    for ability in ["support_ptz", "ptz_left_right", "ptz_top_bottom", "ptz_45", "ptz_zoom", "ptz_preset"] {
        assert_eq!(capacity[ability], "1", "{capacity}");
    }
    // Pan, tilt and zoom as its own page shows them.
    let client = site.server.client();
    let stands = async || -> [f64; 3] {
        let asked = client.get(format!("{address}/api/ptz")).basic_auth("admin", Some(PASSWORD)).send().await.unwrap();
        let told: Value = asked.json().await.unwrap();
        ["pan", "tilt", "zoom"].map(|axis| told[axis].as_f64().unwrap())
    };
    let becomes = async |what: &str, wanted: &dyn Fn([f64; 3]) -> bool| {
        eventually(what, || async { Some(stands().await).filter(|at| wanted(*at)) }).await
    };

    let directions = [
        ("0", [0.0, 1.0, 0.0]),
        ("1", [0.0, -1.0, 0.0]),
        ("2", [-1.0, 0.0, 0.0]),
        ("3", [1.0, 0.0, 0.0]),
        ("4", [-1.0, 1.0, 0.0]),
        ("7", [1.0, -1.0, 0.0]),
        ("6", [1.0, 1.0, 0.0]),
        ("5", [-1.0, -1.0, 0.0]),
        ("8", [0.0, 0.0, 1.0]),
        ("9", [0.0, 0.0, -1.0]),
    ];
    for (direction, signs) in directions {
        let before = stands().await;
        assert_eq!(start(direction, "0").await, "200");
        let moved =
            |now: [f64; 3]| (0..3).all(|axis| signs[axis] == 0.0 || (now[axis] - before[axis]) * signs[axis] > 0.05);
        becomes(&format!("direction {direction}"), &moved).await;
        assert_eq!(code("device/ptz/stop", &[]).await, "200");
        let stopped = stands().await;
        assert!((0..3).all(|axis| signs[axis] != 0.0 || stopped[axis] == before[axis]), "{before:?}, {stopped:?}");
        // Nothing else is to be seen of a motor that was stopped.
        assert_eq!(code("device/ptz/stop", &[]).await, "200");
        assert_eq!(stands().await, stopped, "direction {direction}");
    }
    for (direction, axis, end, at_end) in
        [("2", 0, -1.0, "60004"), ("3", 0, 1.0, "60005"), ("0", 1, 1.0, "60002"), ("1", 1, -1.0, "60003")]
    {
        assert_eq!(start(direction, "2").await, "200");
        becomes("an end", &|at| at[axis] == end).await;
        assert_eq!(start(direction, "2").await, at_end);
    }
    assert_eq!(code("device/ptz/stop", &[]).await, "200");
    let place = stands().await;
    let preset = call("device/preset/add", &[]).await["data"]["index"].as_u64().expect("a number").to_string();
    assert_eq!(start("2", "2").await, "200");
    becomes("away", &|at| at[0] < 0.0).await;
    assert_eq!(code("device/ptz/stop", &[]).await, "200");
    assert_eq!(code("device/preset/move", &[("index", &preset)]).await, "200");
    becomes("the preset", &|at| at == place).await;
    assert_eq!(code("device/preset/move", &[("index", &preset)]).await, "60010");
    assert_eq!(code("device/preset/move", &[("index", "300")]).await, "60011");
    // It keeps what it has: a fault of its own.
    assert_eq!(code("device/preset/clear", &[("index", &preset)]).await, "60006");
}

/// ffmpeg that publishes the test picture and a tone to an address, with the value.
fn publisher(address: &str) -> Command {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-v", "error", "-re", "-f", "lavfi", "-i", "smptebars=size=320x240:rate=15"])
        .args(["-re", "-f", "lavfi", "-i", "sine=sample_rate=44100", "-pix_fmt", "yuv420p"])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "15", "-c:a", "aac"])
        .args(["-f", "flv", address])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_publishes_and_nobody_else_can() {
    let site = Site::start().await;
    let device = site.attach(json!({ "driver": "push", "serial": "ENC000001", "name": "Encoder" })).await;
    let serial = text(&device, "serial");
    site.status_becomes(serial, false, NOTICED).await;
    let address = device["push_urls"][0].as_str().unwrap().to_owned();

    // Somebody without the key, while nobody publishes and again while its owner does.
    let mut wrong = address.clone();
    let last = if wrong.pop() == Some('a') { 'b' } else { 'a' };
    wrong.push(last);
    let refused = async |address: &str| {
        let output = run(publisher(address).stderr(Stdio::piped())).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{address}: {said}");
        said
    };
    assert!(refused(&wrong).await.contains("address is invalid"));

    let mut owner = publisher(&address).spawn().unwrap();
    site.status_becomes(serial, true, NOTICED).await;
    assert!(refused(&wrong).await.contains("address is invalid"));
    assert!(refused(&address).await.contains("somebody publishes this already"));
    for protocol in [3, 4] {
        let address = site.address(serial, protocol, &[]).await;
        assert_eq!(probe(&address).await, ["aac", "h264"], "{address}");
    }
    let picture = first_picture(&site, &site.address(serial, 4, &[]).await).await;
    assert_eq!(picture.size, (320, 240));
    assert_bars(&bars(&picture));
    assert!(owner.try_wait().unwrap().is_none(), "the owner goes on");

    owner.kill().await.unwrap();
    site.status_becomes(serial, false, NOTICED).await;
}
