//! What a camera keeps on its card, found and played in both dialects, through its driver and through a server's
//! API: the camera is ours, and judged by the pictures that come out; the same drivers meet recorders of others
//! in their own tests.

use std::net::SocketAddr;
use std::time::Duration;

use av::{MediaKind, TrackId, UnixMicros};
use camera::marker::read_counter;
use camera::{Camera, CardConfig, Clip, Config, VideoConfig};
use device::{
    AllowedHost, ChannelNo, DeviceEvent, DeviceHandle, DeviceSpec, Dialer, DriverKind, Login, PTZ_WATCHDOG, Supervisor,
    SupervisorSettings,
};
use media::{Footage, FootageError, Hub, HubSettings, Item};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::harness::{PATIENCE, eventually, listening, root, run};
use crate::media::{FlvViewer, Pictures, counters};
use crate::site::{Site, local, text};

const ONE: ChannelNo = ChannelNo(1);
pub const PASSWORD: &str = "camera secret";
const SECOND: i64 = 1_000_000;
/// Pictures a second on the clips that a new card holds.
const RATE: i64 = 4;

/// A camera with a card that holds clips of yesterday and today.
pub async fn with_card(clock_ahead_s: i64, replays_max: usize) -> (Camera, TempDir) {
    let folder = TempDir::new().unwrap();
    let config = Config {
        password: PASSWORD.into(),
        main: VideoConfig { width: 640, height: 360, frame_rate: 10, ..VideoConfig::SUB },
        card: Some(CardConfig { record: false, samples: true, ..CardConfig::new(folder.path()) }),
        clock_ahead_s,
        replays_max,
        utc_offset_minutes: 480,
        ..Config::default()
    };
    let camera = Camera::start(config).await.unwrap();
    timeout(PATIENCE, camera.card().unwrap().ready()).await.expect("the card's clips are made");
    (camera, folder)
}

fn address_of(camera: &Camera, kind: DriverKind) -> String {
    match kind {
        DriverKind::Onvif => camera.onvif_url(),
        _ => format!("http://{}", camera.http_address()),
    }
}

/// A camera with a card, and its driver at work.
struct Attached {
    camera: Camera,
    device: DeviceHandle,
    /// The camera's clock less ours, µs.
    ahead: i64,
    _supervisor: Supervisor,
    _events: mpsc::Receiver<DeviceEvent>,
    _folder: TempDir,
}

async fn attached(kind: DriverKind, clock_ahead_s: i64, replays_max: usize) -> Attached {
    let (camera, folder) = with_card(clock_ahead_s, replays_max).await;
    let (supervisor, events) = Supervisor::new(SupervisorSettings {
        hub: Hub::new(HubSettings::default()),
        dialer: Dialer::new([AllowedHost { ip: camera.http_address().ip(), port: None }]),
        ptz_watchdog: PTZ_WATCHDOG,
    });
    let address = address_of(&camera, kind);
    let login = Some(Login { user: "admin".into(), password: PASSWORD.into() });
    let spec = DeviceSpec { serial: "CARD00001".into(), kind, address, login, channels: vec![ONE], keep_live: false };
    supervisor.start(spec).unwrap();
    let device = supervisor.device("CARD00001").unwrap();
    assert!(device.online_by(Instant::now() + PATIENCE).await);
    let ahead = clock_ahead_s * SECOND;
    Attached { camera, device, ahead, _supervisor: supervisor, _events: events, _folder: folder }
}

impl Attached {
    /// The clips on the card, by our clock.
    fn clips(&self) -> Vec<(i64, i64)> {
        let stretches = self.camera.card().unwrap().stretches(1);
        stretches.iter().map(|clip| (clip.from.0 - self.ahead, clip.to.0 - self.ahead)).collect()
    }

    fn footage(&self, (from, to): (i64, i64)) -> Box<dyn Footage> {
        self.device.footage(ONE, UnixMicros(from), UnixMicros(to))
    }
}

/// The counters in the pictures up to the end, with when these were recorded.
async fn watched(footage: &mut dyn Footage) -> Vec<(u32, i64)> {
    let (mut pictures, mut items, mut seen, mut video) = (Pictures::new(), Vec::new(), Vec::new(), None);
    let watch = async {
        while footage.read(&mut items).await.unwrap() {
            for item in items.drain(..) {
                match item {
                    Item::Tracks(tracks) => {
                        pictures.set_tracks(&tracks);
                        video = tracks.iter().find(|track| track.kind() == MediaKind::Video).map(|track| track.id);
                    }
                    Item::Frame(frame) if Some(frame.track) == video => {
                        let picture = pictures.decode(&frame).expect("a picture for each frame");
                        let counter = read_counter(&picture.samples, picture.size.0, picture.size.1, picture.stride);
                        seen.push((counter.expect("a readable counter"), frame.wall.0));
                    }
                    Item::Frame(_) => {}
                    Item::Gap { .. } => panic!("footage has no loss"),
                }
            }
        }
        seen
    };
    timeout(PATIENCE, watch).await.expect("footage has an end")
}

/// Reads until the first picture.
async fn first(footage: &mut dyn Footage) -> Result<i64, FootageError> {
    let mut items = Vec::new();
    loop {
        let more = timeout(PATIENCE, footage.read(&mut items)).await.expect("an answer in time")?;
        if let Some(at) = items.drain(..).find_map(|item| match item {
            Item::Frame(frame) => Some(frame.wall.0),
            _ => None,
        }) {
            return Ok(at);
        }
        assert!(more, "it ends without a picture");
    }
}

async fn found_and_played(kind: DriverKind, clock_ahead_s: i64) {
    let attached = attached(kind, clock_ahead_s, 8).await;
    let clips = attached.clips();
    assert!(clips.len() >= 3, "{clips:?}");
    // Clocks are told by the second.
    let near = |a: i64, b: i64| (a - b).abs() <= 2 * SECOND;
    let (begin, end) = (clips[0].0 - 3600 * SECOND, clips[clips.len() - 1].1 + 3600 * SECOND);
    let found = attached.device.recordings(ONE, UnixMicros(begin), UnixMicros(end)).await.unwrap();
    let found: Vec<_> = found.iter().map(|recording| (recording.from.0, recording.to.0)).collect();
    assert_eq!(found.len(), clips.len(), "{found:?} {clips:?}");
    assert!(found.iter().zip(&clips).all(|(a, b)| near(a.0, b.0) && near(a.1, b.1)), "{found:?} {clips:?}");
    // Only what touches the range.
    let (from, to) = clips[1];
    let one = attached.device.recordings(ONE, UnixMicros(from + 3 * SECOND), UnixMicros(to - 3 * SECOND)).await;
    assert_eq!(one.unwrap().len(), 1);

    // All clips as one, every picture of each, when it was taken.
    let mut footage = attached.footage((begin, end));
    footage.expect(16.0, false).await.unwrap();
    let seen = watched(&mut *footage).await;
    let count = |clip: &(i64, i64)| ((clip.1 - clip.0) * RATE / SECOND) as usize;
    assert_eq!(seen.len(), clips.iter().map(count).sum::<usize>());
    let mut seen = &seen[..];
    for clip in &clips {
        let (these, rest) = seen.split_at(count(clip));
        for (n, (counter, at)) in (0..).zip(these) {
            assert_eq!(*counter, n as u32, "no picture is missing and none is twice");
            assert!(near(*at, clip.0 + n * SECOND / RATE), "{n}: {at} of {clip:?}");
        }
        assert!(these.windows(2).all(|w| (w[1].1 - w[0].1 - SECOND / RATE).abs() < 5000), "{these:?}");
        seen = rest;
    }

    // A seek goes to the key frame before, and the last one wins.
    for to in [clips[2].0 + 10 * SECOND, clips[0].0 + 5 * SECOND, clips[1].0 + 12 * SECOND] {
        footage.seek(UnixMicros(to)).await.unwrap();
        let at = first(&mut *footage).await.unwrap();
        assert!((to - 6 * SECOND..=to + 2 * SECOND).contains(&at), "{to} {at}");
    }
    // Into a gap: what comes after it.
    footage.seek(UnixMicros(clips[0].1 + 60 * SECOND)).await.unwrap();
    assert!(near(first(&mut *footage).await.unwrap(), clips[1].0));
    assert_eq!(footage.seek(UnixMicros(end - SECOND)).await, Err(FootageError::Empty));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_is_found_and_played_by_onvif() {
    found_and_played(DriverKind::Onvif, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_is_found_and_played_by_isapi() {
    found_and_played(DriverKind::Isapi, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_whose_clock_is_an_hour_wrong_keeps_its_footage_where_it_belongs() {
    found_and_played(DriverKind::Onvif, 3600).await;
    found_and_played(DriverKind::Isapi, -3600).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_of_a_card_have_sessions_of_their_own() {
    for kind in [DriverKind::Onvif, DriverKind::Isapi] {
        let attached = attached(kind, 0, 2).await;
        let clips = attached.clips();
        let whole = (clips[0].0, clips[clips.len() - 1].1);
        let (mut one, mut two) = (attached.footage(whole), attached.footage(whole));
        one.seek(UnixMicros(clips[0].0)).await.unwrap();
        two.seek(UnixMicros(clips[1].0)).await.unwrap();
        let mut three = attached.footage(whole);
        assert_eq!(three.seek(UnixMicros(whole.0)).await, Err(FootageError::Busy));
        drop(one);
        let left = Instant::now();
        eventually("the place is free", || async { (attached.camera.stats().replays == 1).then_some(()) }).await;
        assert!(left.elapsed() < Duration::from_secs(2), "{:?}", left.elapsed());
        three.seek(UnixMicros(whole.0)).await.unwrap();
        assert!((first(&mut *three).await.unwrap() - clips[0].0).abs() <= 2 * SECOND);
        assert!((first(&mut *two).await.unwrap() - clips[1].0).abs() <= 2 * SECOND, "nobody ended it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_with_nothing_of_its_own_finds_and_plays_yesterday() {
    let (camera, _folder) = with_card(0, 8).await;
    let clips = camera.card().unwrap().stretches(1);
    for (kind, driver) in [(DriverKind::Onvif, "onvif"), (DriverKind::Isapi, "isapi")] {
        let login = json!({ "user": "admin", "password": PASSWORD });
        let body = json!({ "driver": driver, "address": address_of(&camera, kind), "login": login });
        let (first, second) = (Site::start().await, Site::start().await);
        let mut found = Vec::new();
        for site in [&first, &second] {
            let device = site.attach(body.clone()).await;
            let serial = text(&device, "serial").to_owned();
            site.status_becomes(&serial, true, PATIENCE).await;
            let (from, to) = (clips[0].from.0 / 1000 - 3_600_000, clips[clips.len() - 1].to.0 / 1000 + 3_600_000);
            let (from, to) = (from.to_string(), to.to_string());
            let form = [("deviceSerial", serial.as_str()), ("startTime", &from), ("endTime", &to), ("recType", "2")];
            let rows = site.data("video/by/time", &form).await;
            let row = |row: &Value| (row["startTime"].as_i64().unwrap(), row["endTime"].as_i64().unwrap());
            found.push(rows.as_array().expect("rows").iter().map(row).collect::<Vec<_>>());
            let near = |row: &(i64, i64), clip: &Clip| {
                (row.0 - clip.from.0 / 1000).abs() <= 2000 && (row.1 - clip.to.0 / 1000).abs() <= 2000
            };
            let rows = found.last().unwrap();
            assert!(rows.len() == clips.len() && rows.iter().zip(&clips).all(|(a, b)| near(a, b)), "{driver} {rows:?}");
            let capacity = site.data("device/capacity", &[("deviceSerial", &serial)]).await;
            assert_eq!((text(&capacity, "support_disk"), text(&capacity, "support_seek_playback")), ("1", "1"));
        }
        assert_eq!(found[0], found[1]);

        // The oldest is of yesterday.
        let serial = &text(&second.data("device/list", &[]).await[0], "deviceSerial").to_owned();
        let (from, to) = (local(clips[0].from), local(UnixMicros(clips[0].to.0 + 2 * SECOND)));
        let count = ((clips[0].to.0 - clips[0].from.0) * RATE / SECOND) as u32;
        let at_speed = async |speed: &str| {
            let more = [("type", "2"), ("startTime", from.as_str()), ("stopTime", &to), ("playbackSpeed", speed)];
            let address = second.address(serial, 4, &more).await;
            assert_eq!(
                counters(second.server.client(), &address, PATIENCE * 2).await,
                (0..count).collect::<Vec<_>>(),
                "{driver}"
            );
        };
        tokio::join!(at_speed("1"), at_speed("4"));
        // Nobody watches any more.
        eventually("the session at the camera is over", || async { (camera.stats().replays == 0).then_some(()) }).await;
    }
}

/// A camera that replays for one viewer at a time: whoever comes second is told so in each protocol, and the
/// first sees every picture.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_too_many_is_told_and_disturbs_nobody() {
    let (camera, _folder) = with_card(0, 1).await;
    let clip = camera.card().unwrap().stretches(1)[0].clone();
    let site = Site::start().await;
    let login = json!({ "user": "admin", "password": PASSWORD });
    let device = site.attach(json!({ "driver": "onvif", "address": camera.onvif_url(), "login": login })).await;
    let serial = text(&device, "serial");
    site.status_becomes(serial, true, PATIENCE).await;
    let (from, to) = (local(clip.from), local(UnixMicros(clip.to.0 + 2 * SECOND)));
    let address = async |protocol, speed| {
        let more = [("type", "2"), ("startTime", from.as_str()), ("stopTime", &to), ("playbackSpeed", speed)];
        site.address(serial, protocol, &more).await
    };
    let client = site.server.client();
    let mut first = FlvViewer::open(client, &address(4, "4").await).await;
    let (mut pictures, mut seen) = (Pictures::new(), Vec::new());
    let deadline = Instant::now() + PATIENCE;
    while seen.is_empty() {
        seen.extend(first.counter(&mut pictures, deadline).await.expect("a picture"));
    }

    for protocol in [4, 2] {
        let refused = client.get(address(protocol, "1").await).send().await.unwrap();
        assert_eq!(refused.status(), 409, "protocol {protocol}");
        let said = refused.text().await.unwrap();
        assert!(said.starts_with("9048 "), "protocol {protocol}: {said}");
    }
    let rtmp = run(Command::new("ffprobe").args(["-v", "error"]).arg(address(3, "1").await)).await;
    let said = String::from_utf8_lossy(&rtmp.stderr);
    assert!(!rtmp.status.success() && said.contains("9048 "), "{said}");

    while let Some(counter) = first.counter(&mut pictures, deadline).await {
        seen.extend(counter);
    }
    let count = ((clip.to.0 - clip.from.0) * RATE / SECOND) as u32;
    assert_eq!(seen, (0..count).collect::<Vec<_>>(), "nobody took anything from the first");
    eventually("the session at the camera is over", || async { (camera.stats().replays == 0).then_some(()) }).await;
    let second = counters(client, &address(4, "4").await, PATIENCE).await;
    assert_eq!(second, seen);
}

/// The clips of our camera, replayed by GStreamer instead: `relay` stands before the camera and tells where.
#[tokio::test(flavor = "multi_thread")]
async fn what_gstreamer_replays_is_found_and_played() {
    let (camera, _folder) = with_card(0, 8).await;
    let clip = camera.card().unwrap().stretches(1)[0].clone();
    let (begin, seconds) = (clip.from.0 / SECOND, (clip.to.0 - clip.from.0) / SECOND);
    let mut gstreamer = Command::new("/usr/bin/python3");
    gstreamer.arg(root().join("e2e/counterparts/gst_onvif_replay.py")).args([
        "--fps",
        "10",
        "--begin",
        &begin.to_string(),
        "--seconds",
        &seconds.to_string(),
    ]);
    let (_gstreamer, port) = listening(&mut gstreamer).await;
    let address = relay(camera.http_address(), format!("rtsp://127.0.0.1:{port}/replay/rec")).await;

    let site = Site::start().await;
    let login = json!({ "user": "admin", "password": PASSWORD });
    let address = format!("http://{address}/onvif/device_service");
    let device = site.attach(json!({ "driver": "onvif", "address": address, "login": login })).await;
    let serial = text(&device, "serial");
    site.status_becomes(serial, true, PATIENCE).await;
    let (from, to) = (local(clip.from), local(UnixMicros(clip.to.0 + 2 * SECOND)));
    let (first, last) = ((clip.from.0 / 1000 - 60_000).to_string(), (clip.to.0 / 1000 + 60_000).to_string());
    let form = [("deviceSerial", serial), ("startTime", &first), ("endTime", &last), ("recType", "2")];
    let rows = site.data("video/by/time", &form).await;
    assert_eq!(rows.as_array().map(Vec::len), Some(1), "{rows}");
    let more = [("type", "2"), ("startTime", from.as_str()), ("stopTime", &to), ("playbackSpeed", "4")];
    let address = site.address(serial, 4, &more).await;
    let mut viewer = FlvViewer::open(site.server.client(), &address).await;
    let (mut pictures, mut seen) = (Pictures::new(), 0);
    let deadline = Instant::now() + PATIENCE;
    while let Some(output) = viewer.next(deadline).await {
        output.tracks.iter().for_each(|tracks| pictures.set_tracks(tracks));
        let Some(frame) = output.frame.filter(|frame| frame.track == TrackId::VIDEO) else { continue };
        let picture = pictures.decode(&frame).expect("a picture for each frame");
        assert_eq!(picture.size, (320, 240), "GStreamer's, not the camera's");
        seen += 1;
    }
    assert_eq!(seen, 10 * seconds, "every picture of the clip");
}

/// Hands HTTP on to a camera, whose answers then name the relay, and `replay` as where recordings are replayed.
async fn relay(camera: SocketAddr, replay: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let replay = replay.clone();
            tokio::spawn(async move {
                let (head, body) = message(&mut client).await?;
                let mut socket = TcpStream::connect(camera).await.ok()?;
                let head = head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
                socket.write_all(format!("{head}{body}").as_bytes()).await.ok()?;
                let (head, body) = message(&mut socket).await?;
                let mut body = body.replace(&camera.to_string(), &own.to_string());
                if body.contains("GetReplayUriResponse") {
                    let at = body.find("rtsp://")?;
                    let end = at + body[at..].find('<')?;
                    body.replace_range(at..end, &replay);
                }
                let kept = |line: &&str| !line.to_ascii_lowercase().starts_with("content-length");
                let mut head: Vec<&str> = head.trim_end().lines().filter(kept).collect();
                let length = format!("Content-Length: {}\r\n\r\n", body.len());
                head.push(&length);
                client.write_all(format!("{}{body}", head.join("\r\n")).as_bytes()).await.ok()
            });
        }
    });
    own
}

/// A whole HTTP message: its head with the empty line, and its body.
async fn message(socket: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = |line: &str| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok();
            if body.len() >= head.lines().find_map(length).unwrap_or(0) {
                return Some((format!("{head}\r\n\r\n"), body.to_owned()));
            }
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
