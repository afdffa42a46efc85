//! Against a camera nobody here wrote (GStreamer's RTSP server, with digest login), and against a
//! scripted one for what GStreamer does not do.

#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use av::codec::{aac, h264, h265, nal};
use av::{CodecKind, CodecParameters, Frame, G711Law, G711Parameters, Ticks, Track, TrackId, UnixMicros};
use media::{Hub, HubSettings, Item, StreamId};
use proto::rtp::Packetizer;
use proto::rtsp::message::interleaved_header;
use proto::rtsp::server::{self, Event, ServerSession, ServerSettings, control};
use proto::sdp::Description;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::*;
use crate::dial::AllowedHost;

/// Long enough for a loaded machine to start x265 and make the first seconds of picture.
const PATIENCE: Duration = Duration::from_secs(60);

/// A GStreamer camera; ends with the test.
struct GStreamer {
    process: Child,
    port: u16,
}

impl GStreamer {
    fn start(args: &[&str]) -> GStreamer {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../e2e/counterparts/gst_rtsp_server.py");
        let mut process = Command::new("/usr/bin/python3")
            .arg(script)
            .args(["--user", "admin", "--password", "secret"])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3 with GStreamer's RTSP server (make test installs it)");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().strip_prefix("port ").and_then(|port| port.parse().ok());
        GStreamer { process, port: port.expect("the server prints its port") }
    }
}

impl Drop for GStreamer {
    fn drop(&mut self) {
        // It ends by itself when its input closes; this is only sooner.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn dialer() -> Dialer {
    Dialer::new([AllowedHost { ip: [127, 0, 0, 1].into(), port: None }])
}

fn login(password: &str) -> Option<Login> {
    Some(Login { user: "admin".into(), password: password.into() })
}

/// What one pull wrote: tracks and frames, until `enough` or an error.
async fn pulled(
    url: &str,
    login: Option<Login>,
    enough: impl Fn(&[Frame]) -> bool,
) -> Result<(Vec<Track>, Vec<Frame>), DriverError> {
    let hub = Hub::new(HubSettings { start_timeout: PATIENCE, ..HubSettings::default() });
    let id = StreamId::new("test");
    let mut writer = hub.publish(id.clone()).unwrap();
    let dialer = dialer();
    let read = async {
        let mut subscription = hub.open(&id).await.unwrap().subscribe();
        let (mut tracks, mut frames, mut items) = (Vec::new(), Vec::new(), Vec::new());
        while !enough(&frames) {
            subscription.read(&mut items).await.unwrap();
            for item in items.drain(..) {
                match item {
                    Item::Tracks(new) => tracks = new.to_vec(),
                    Item::Frame(frame) => frames.push(Frame::clone(&frame)),
                    Item::Gap { .. } => panic!("a test reads everything"),
                }
            }
        }
        (tracks, frames)
    };
    tokio::select! {
        result = pull(&dialer, url, login.as_ref(), &mut writer) => Err(result.expect_err("a live camera does not end")),
        read = timeout(PATIENCE, read) => Ok(read.expect("frames in time")),
    }
}

fn of(frames: &[Frame], track: TrackId) -> Vec<&Frame> {
    frames.iter().filter(|frame| frame.track == track).collect()
}

/// A picture is what its header says, in order, 40 ms apart.
fn check_video(track: &Track, frames: &[&Frame]) {
    assert!(frames[0].key, "a stream begins with a key frame");
    assert!(frames.windows(2).all(|w| w[0].dts < w[1].dts), "decoding times rise");
    for frame in frames {
        let units: Vec<_> = nal::length_prefixed(&frame.data).collect::<Result<_, _>>().unwrap();
        let slices = |test: fn(&[u8]) -> bool| units.iter().filter(|unit| test(unit)).count();
        let (first, key) = match track.codec.kind() {
            CodecKind::H264 => (slices(h264::is_first_slice), h264::is_idr(&frame.data)),
            _ => (slices(h265::is_first_slice), h265::is_irap(&frame.data)),
        };
        assert_eq!((first, key), (1, frame.key), "one picture an access unit");
    }
    let mut shown: Vec<_> = frames.iter().map(|frame| frame.dts.0 + i64::from(frame.cts)).collect();
    shown.sort_unstable();
    // The last pictures in decoding order may still lack neighbours that are shown before them.
    let settled = &shown[..shown.len() - 4];
    assert!(settled.windows(2).all(|w| (w[1] - w[0] - 3600).abs() <= 90), "40 ms a picture: {settled:?}");
}

fn check_audio(frames: &[&Frame], samples: i64) {
    let steps: Vec<_> = frames.windows(2).map(|w| w[1].dts.0 - w[0].dts.0).collect();
    let even = steps.iter().filter(|step| (**step - samples).abs() <= 16).count();
    // A sender report may move sound against picture, once.
    assert!(even + 1 >= steps.len(), "{samples} samples a frame: {steps:?}");
}

#[tokio::test]
async fn gstreamer_h264_and_aac_over_tcp() {
    let camera = GStreamer::start(&["--codec", "h264", "--audio", "aac"]);
    let url = format!("rtsp://127.0.0.1:{}/main", camera.port);
    let enough = |frames: &[Frame]| of(frames, TrackId::VIDEO).len() > 75 && of(frames, TrackId::AUDIO).len() > 40;
    let (tracks, frames) = pulled(&url, login("secret"), enough).await.unwrap();
    let CodecParameters::H264(p) = &tracks[0].codec else { panic!("{tracks:?}") };
    assert_eq!((p.width, p.height, tracks[0].clock_rate), (1280, 720, 90_000));
    let CodecParameters::Aac(p) = &tracks[1].codec else { panic!("{tracks:?}") };
    assert_eq!((p.sample_rate, p.channels, tracks[1].clock_rate), (16_000, 1, 16_000));
    let (video, audio) = (of(&frames, TrackId::VIDEO), of(&frames, TrackId::AUDIO));
    check_video(&tracks[0], &video);
    check_audio(&audio, 1024);
    assert!(audio.iter().all(|frame| !aac::looks_like_adts(&frame.data)));
    assert!(video.iter().filter(|frame| frame.key).count() >= 2, "a key frame each 2 s");
    let ends = [(&video, 90_000), (&audio, 16_000)].map(|(frames, rate)| frames[frames.len() - 1].dts.to_millis(rate));
    assert!((ends[0] - ends[1]).abs() < 500, "sound beside its picture: {ends:?}");
    let age = super::pull::wall().0 - frames[frames.len() - 1].wall.0;
    assert!((0..10_000_000).contains(&age), "stamped with the time of arrival: {age}");
}

#[tokio::test]
async fn gstreamer_b_frames_and_g711_over_udp() {
    let camera = GStreamer::start(&["--codec", "h264", "--audio", "pcma", "--bframes", "2", "--in-band"]);
    let url = format!("rtspu://127.0.0.1:{}/sub", camera.port);
    let enough = |frames: &[Frame]| of(frames, TrackId::VIDEO).len() > 75 && of(frames, TrackId::AUDIO).len() > 40;
    let (tracks, frames) = pulled(&url, login("secret"), enough).await.unwrap();
    let CodecParameters::H264(p) = &tracks[0].codec else { panic!("{tracks:?}") };
    assert_eq!((p.width, p.height), (640, 360));
    let expected = G711Parameters { law: G711Law::A, sample_rate: 8000, channels: 1 };
    assert_eq!(tracks[1].codec, CodecParameters::G711(expected));
    let video = of(&frames, TrackId::VIDEO);
    check_video(&tracks[0], &video);
    assert!(video.iter().any(|frame| frame.cts > 0), "B-frames are shown in another order");
    assert!(video[8..].iter().all(|frame| frame.cts >= 0), "and none after the first is late");
}

#[tokio::test]
async fn gstreamer_h265_over_tcp() {
    let camera = GStreamer::start(&["--codec", "h265", "--audio", "none", "--in-band"]);
    let url = format!("rtsp://127.0.0.1:{}/sub", camera.port);
    let (tracks, frames) = pulled(&url, login("secret"), |frames| frames.len() > 60).await.unwrap();
    let [Track { codec: CodecParameters::H265(p), .. }] = &tracks[..] else { panic!("{tracks:?}") };
    assert_eq!((p.width, p.height), (640, 360));
    check_video(&tracks[0], &of(&frames, TrackId::VIDEO));
}

#[tokio::test]
async fn gstreamer_as_a_device() {
    let camera = GStreamer::start(&["--codec", "h264", "--audio", "pcma"]);
    let address = format!("rtsp://127.0.0.1:{0}/main rtsp://127.0.0.1:{0}/sub", camera.port);
    let driver = RtspDriver::new(dialer(), &address, login("secret")).unwrap();
    let facts = driver.probe().await.unwrap();
    let [channel] = &facts.channels[..] else { panic!("{facts:?}") };
    let expected = |size| StreamFacts { video_codec: Some("H264".into()), size: Some(size), audio: Some(true) };
    assert_eq!((channel.no, &channel.main), (ChannelNo(1), &expected((1280, 720))));
    assert_eq!(channel.sub, Some(expected((640, 360))));
    driver.ping().await.unwrap();
    let kept = driver.idle.lock().await.as_ref().map(|(connection, _)| connection.addresses().unwrap().0);
    driver.ping().await.unwrap();
    let again = driver.idle.lock().await.as_ref().map(|(connection, _)| connection.addresses().unwrap().0);
    assert_eq!((kept.is_some(), kept), (true, again), "pings share a connection");
    drop(camera);
    assert!(matches!(driver.ping().await, Err(DriverError::Unreachable { step: "dial", .. })));
}

#[tokio::test]
async fn failures_name_their_step() {
    let camera = GStreamer::start(&["--audio", "none"]);
    let url = |path: &str| format!("rtsp://127.0.0.1:{}/{path}", camera.port);
    let never = |_: &[Frame]| false;
    let error = async |url: &str, login| pulled(url, login, never).await.unwrap_err();
    assert_eq!(error(&url("main"), login("wrong")).await, DriverError::LoginRefused);
    assert_eq!(error(&url("main"), None).await, DriverError::LoginRefused);
    let missing = error(&url("nowhere"), login("secret")).await;
    assert!(
        matches!(&missing, DriverError::Protocol { step: "describe", cause } if cause.contains("404")),
        "{missing}"
    );
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let closed = error(&format!("rtsp://127.0.0.1:{free}/"), None).await;
    assert!(matches!(closed, DriverError::Unreachable { step: "dial", .. }), "{closed}");
    let forbidden = error("rtsp://127.0.0.2/", None).await;
    assert!(matches!(forbidden, DriverError::AddressRefused(_)), "{forbidden}");
}

/// A camera by our own server session that sends so many frames of G.711; tells what it was asked.
/// `busy` connections are told to come again later.
async fn scripted(sdp: &'static str, media: i64, mut busy: u32) -> (String, mpsc::UnboundedReceiver<Event>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("rtsp://{}/live", listener.local_addr().unwrap());
    let (told, events) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        // Each ends with the client's connection; the test's end ends the last.
        while let Ok((stream, _)) = listener.accept().await {
            serve(stream, if busy > 0 { Err(503) } else { Ok(sdp) }, media, &told).await;
            busy = busy.saturating_sub(1);
        }
    });
    (url, events)
}

async fn serve(
    mut stream: TcpStream,
    sdp: Result<&str, u16>,
    media: i64,
    told: &mpsc::UnboundedSender<Event>,
) -> Option<()> {
    let settings = ServerSettings {
        name: "scripted".into(),
        auth: None,
        session_timeout: Duration::from_secs(60),
        features: Vec::new(),
    };
    let mut session = ServerSession::new(Arc::new(settings), Instant::now().into_std());
    let track = g711();
    let mut packetizer = Packetizer::new(8);
    let mut input = [0; 2048];
    let mut sent = 0;
    loop {
        let now = Instant::now().into_std();
        match session.poll_output() {
            server::Output::Transmit(bytes) => stream.write_all(&bytes).await.ok()?,
            server::Output::Event(event) => {
                match &event {
                    Event::Describe { .. } => match sdp {
                        Ok(sdp) => session.describe(now, sdp),
                        Err(status) => session.refuse(now, status),
                    },
                    Event::Setup { .. } => session.accept_setup(now, packetizer.ssrc(), None),
                    Event::Play { .. } => session.accept_play(now, &[]),
                    _ => {}
                }
                told.send(event).ok()?;
            }
            server::Output::Timeout(_) => {
                let mut wire = Vec::new();
                let more = session.is_playing() && sent < media;
                if more {
                    let data = vec![0xd5; 160].into();
                    let dts = Ticks(sent * 160);
                    let frame = Frame { track: TrackId::AUDIO, dts, cts: 0, wall: UnixMicros(0), key: true, data };
                    packetizer.push(&track, &frame, &mut wire);
                    sent += 1;
                }
                for packet in wire {
                    stream.write_all(&interleaved_header(0, packet.len())).await.ok()?;
                    stream.write_all(&packet).await.ok()?;
                }
                let pace = Duration::from_millis(if more { 20 } else { 60_000 });
                match timeout(pace, stream.read(&mut input)).await {
                    Err(_) => {}
                    Ok(Ok(read)) if read > 0 => session.handle_input(Instant::now().into_std(), &input[..read]),
                    Ok(_) => return None,
                }
            }
        }
    }
}

fn g711() -> Track {
    let codec = CodecParameters::G711(G711Parameters { law: G711Law::A, sample_rate: 8000, channels: 1 });
    Track { id: TrackId::AUDIO, codec, clock_rate: 8000 }
}

fn g711_sdp() -> &'static str {
    Description::live("scripted", &[g711()], control).write(1).leak()
}

#[tokio::test]
async fn who_stops_says_good_bye() {
    let (url, mut events) = scripted(g711_sdp(), i64::MAX, 0).await;
    let (tracks, frames) = pulled(&url, None, |frames| frames.len() > 5).await.unwrap();
    assert_eq!(tracks, [g711()]);
    check_audio(&frames.iter().collect::<Vec<_>>(), 160);
    let torn_down = async { while events.recv().await.expect("TEARDOWN") != Event::Teardown {} };
    timeout(PATIENCE, torn_down).await.unwrap();
}

#[tokio::test]
async fn a_busy_camera_is_asked_again_a_few_times() {
    let (url, _events) = scripted(g711_sdp(), i64::MAX, 3).await;
    assert!(pulled(&url, None, |frames| frames.len() > 5).await.is_ok());
    let (url, _events) = scripted(g711_sdp(), i64::MAX, 4).await;
    let error = pulled(&url, None, |_| false).await.unwrap_err();
    assert!(matches!(&error, DriverError::Protocol { step: "describe", cause } if cause.contains("503")), "{error}");
}

#[tokio::test]
async fn a_camera_that_falls_silent_is_given_up_after_ten_seconds() {
    let (url, _events) = scripted(g711_sdp(), 5, 0).await;
    let silent_since = Cell::new(None);
    // Once the answers are in, time may run by itself.
    let error = pulled(&url, None, |frames| {
        if !frames.is_empty() && silent_since.get().is_none() {
            tokio::time::pause();
            silent_since.set(Some(Instant::now()));
        }
        false
    });
    assert_eq!(error.await.unwrap_err(), DriverError::Timeout { step: "no media" });
    let waited = silent_since.get().unwrap().elapsed();
    assert!((9_800..10_200).contains(&waited.as_millis()), "{waited:?}");
}

#[tokio::test]
async fn a_camera_without_usable_media_is_named() {
    let camera = async || scripted("v=0\r\nm=video 0 RTP/AVP 26\r\na=rtpmap:26 JPEG/90000\r\n", 0, 0).await;
    let named = |error: &DriverError| {
        let told = matches!(error, DriverError::Protocol { step: "describe", cause } if cause.contains("JPEG"));
        assert!(told, "{error}");
    };
    let (url, _events) = camera().await;
    named(&pulled(&url, None, |_| false).await.unwrap_err());
    // When it is attached, not only when somebody wants to watch.
    let (url, _events) = camera().await;
    named(&RtspDriver::new(dialer(), &url, None).unwrap().probe().await.unwrap_err());
}

#[tokio::test]
async fn nonsense_instead_of_rtsp_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("rtsp://{}/", listener.local_addr().unwrap());
    let camera = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n").await.unwrap();
        stream
    };
    let (error, _stream) = tokio::join!(pulled(&url, None, |_| false), camera);
    assert!(matches!(&error, Err(DriverError::Protocol { step: "rtsp", .. })), "{error:?}");
}
