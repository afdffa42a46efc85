//! Against a camera nobody here wrote (GStreamer's RTSP server, with digest login), and against a
//! scripted one for what GStreamer does not do.

#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use av::codec::{aac, h264, h265, nal};
use av::{CodecKind, CodecParameters, Frame, G711Law, G711Parameters, Pcm, Ticks, Track, TrackId, UnixMicros};
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
pub(crate) struct GStreamer {
    process: Child,
    pub(crate) port: u16,
}

impl GStreamer {
    fn start(args: &[&str]) -> GStreamer {
        let login = ["--user", "admin", "--password", "secret"];
        GStreamer::run("gst_rtsp_server.py", &[&login, args].concat())
    }

    /// Runs one of the counterparts.
    pub(crate) fn run(script: &str, args: &[&str]) -> GStreamer {
        let script = format!("{}/../../e2e/counterparts/{script}", env!("CARGO_MANIFEST_DIR"));
        let mut process = Command::new("/usr/bin/python3")
            .arg(script)
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

/// A camera by our own server session.
#[derive(Clone, Copy)]
pub(crate) struct Script {
    pub(crate) sdp: &'static str,
    /// So many frames of G.711 are sent.
    pub(crate) media: i64,
    /// So many connections are told to come again later.
    pub(crate) busy: u32,
    /// Whether it knows what a back channel is.
    pub(crate) back_channel: bool,
    /// Status that SETUP is refused with.
    pub(crate) full: Option<u16>,
}

impl Default for Script {
    fn default() -> Self {
        Script { sdp: g711_sdp(), media: 0, busy: 0, back_channel: false, full: None }
    }
}

/// A camera that does as scripted, and tells what it was asked.
pub(crate) async fn camera(mut script: Script) -> (String, mpsc::UnboundedReceiver<Event>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("rtsp://{}/live", listener.local_addr().unwrap());
    let (told, events) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        // Each ends with the client's connection; the test's end ends the last.
        while let Ok((stream, _)) = listener.accept().await {
            let (script_now, told) = (script, told.clone());
            script.busy = script.busy.saturating_sub(1);
            tokio::spawn(async move { serve(stream, script_now, &told).await });
        }
    });
    (url, events)
}

async fn scripted(sdp: &'static str, media: i64, busy: u32) -> (String, mpsc::UnboundedReceiver<Event>) {
    camera(Script { sdp, media, busy, ..Script::default() }).await
}

async fn serve(mut stream: TcpStream, script: Script, told: &mpsc::UnboundedSender<Event>) -> Option<()> {
    let settings = ServerSettings {
        name: "scripted".into(),
        auth: None,
        session_timeout: Duration::from_secs(60),
        features: script.back_channel.then(|| speaker::BACK_CHANNEL.to_owned()).into_iter().collect(),
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
                match (&event, script.full) {
                    (Event::Describe { .. }, _) if script.busy > 0 => session.refuse(now, 503),
                    (Event::Describe { .. }, _) => session.describe(now, script.sdp),
                    (Event::Setup { .. }, Some(status)) => session.refuse(now, status),
                    (Event::Setup { .. }, None) => session.accept_setup(now, packetizer.ssrc(), None),
                    (Event::Play { .. }, _) => session.accept_play(now, &[]),
                    _ => {}
                }
                told.send(event).ok()?;
            }
            server::Output::Timeout(_) => {
                let mut wire = Vec::new();
                let more = session.is_playing() && sent < script.media;
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

/// The sound of a sweep from 300 to 2,500 Hz: like nothing but itself at any shift.
fn sweep(sample_rate: u32, seconds: f64) -> Pcm {
    let phase = |t: f64| std::f64::consts::TAU * (300.0 * t + 1100.0 * t * t / seconds);
    let samples = (0..(f64::from(sample_rate) * seconds) as u32)
        .map(|n| (phase(f64::from(n) / f64::from(sample_rate)).sin() * 12_000.0) as i16);
    Pcm { sample_rate, samples: samples.collect() }
}

/// How like `sent` the likest part of `heard` is: 1 is the same. Both at one rate.
fn likeness(sent: &[i16], heard: &[i16]) -> f64 {
    let dot = |a: &[i16], b: &[i16]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let like = |part: &[i16]| dot(sent, part) / (dot(sent, sent) * dot(part, part)).sqrt().max(1.0);
    heard.windows(sent.len()).map(like).fold(0.0, f64::max)
}

/// A description with picture, sound, and a speaker that takes `formats`.
pub(crate) fn speaker_sdp(formats: &str, rtpmaps: &[&str]) -> &'static str {
    let rtpmaps: String = rtpmaps.iter().map(|rtpmap| format!("a=rtpmap:{rtpmap}\r\n")).collect();
    let live = g711_sdp();
    format!("{live}m=audio 0 RTP/AVP {formats}\r\n{rtpmaps}a=control:trackID=1\r\na=sendonly\r\n").leak()
}

async fn speaker_of(url: &str) -> Result<Box<dyn Speaker>, DriverError> {
    RtspDriver::new(dialer(), url, None).unwrap().open_speaker(ChannelNo(1)).await
}

#[tokio::test]
async fn what_is_spoken_arrives_at_the_speed_of_sound() {
    // First a codec that nobody here speaks, and one that costs more.
    let sdp = speaker_sdp("98 97 0 8", &["98 G726-32/8000", "97 MPEG4-GENERIC/16000", "0 PCMU/8000", "8 PCMA/8000"]);
    let (url, mut events) = camera(Script { sdp, back_channel: true, ..Script::default() }).await;
    let sound = sweep(16_000, 1.0);
    let began = Instant::now();
    speaker_of(&url).await.unwrap().play(sound).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(980 + 500), "{:?}", began.elapsed());
    let (mut set_up, mut codes, mut next, mut reports) = (Vec::new(), Vec::new(), None, 0);
    loop {
        match timeout(PATIENCE, events.recv()).await.unwrap().unwrap() {
            Event::Setup { track, .. } => set_up.push(track),
            Event::Packet { rtcp: true, .. } => reports += 1,
            Event::Packet { rtcp: false, track: 1, data } => {
                let packet = proto::rtp::Packet::parse(&data).unwrap();
                let now = (packet.sequence, packet.timestamp);
                assert_eq!((packet.payload_type, packet.payload.len()), (0, 160));
                assert!(next.is_none_or(|next| next == now));
                next = Some((now.0.wrapping_add(1), now.1.wrapping_add(160)));
                codes.extend_from_slice(&packet.payload);
            }
            Event::Describe { require, .. } => assert_eq!(require, [speaker::BACK_CHANNEL]),
            Event::Teardown => break,
            Event::Play { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((set_up, reports), (vec![1], 1), "neither picture nor sound is asked for");
    let heard = av::codec::g711::decode(G711Law::Mu, &codes);
    assert_eq!(heard.len(), 8000);
    let likeness = likeness(&sweep(8000, 1.0).samples[200..7800], &heard);
    assert!(likeness > 0.99, "{likeness}");
}

#[tokio::test]
async fn a_camera_says_whether_it_has_a_speaker() {
    let both = speaker_sdp("8", &[]);
    for (name, script, expected) in [
        ("one", Script { sdp: both, back_channel: true, ..Script::default() }, Ok(())),
        ("one for a moment busy", Script { sdp: both, back_channel: true, busy: 1, ..Script::default() }, Ok(())),
        ("it knows no such feature", Script { sdp: both, ..Script::default() }, Err(DriverError::Unsupported)),
        ("none", Script { back_channel: true, ..Script::default() }, Err(DriverError::Unsupported)),
        (
            "none that we can speak through",
            Script { sdp: speaker_sdp("97", &["97 G726-32/8000"]), back_channel: true, ..Script::default() },
            Err(DriverError::Unsupported),
        ),
        (
            "of two channels",
            Script { sdp: speaker_sdp("97", &["97 MPEG4-GENERIC/16000/2"]), back_channel: true, ..Script::default() },
            Err(DriverError::Unsupported),
        ),
        (
            "of AAC",
            Script { sdp: speaker_sdp("97", &["97 MPEG4-GENERIC/16000/1"]), back_channel: true, ..Script::default() },
            Ok(()),
        ),
        (
            "of an impossible rate",
            Script { sdp: speaker_sdp("97", &["97 PCMA/1"]), back_channel: true, ..Script::default() },
            Err(DriverError::Unsupported),
        ),
        (
            "taken",
            Script { sdp: both, back_channel: true, full: Some(453), ..Script::default() },
            Err(DriverError::SpeakerBusy),
        ),
    ] {
        let (url, _events) = camera(script).await;
        let driver = RtspDriver::new(dialer(), &url, None).unwrap();
        let told = driver.probe().await.unwrap().capabilities.contains_key("support_talk");
        // Whether it is taken shows when it is.
        assert_eq!(told, expected.is_ok() || expected == Err(DriverError::SpeakerBusy), "{name}");
        assert_eq!(speaker_of(&url).await.map(drop), expected, "{name}");
        assert_eq!(driver.open_speaker(ChannelNo(2)).await.map(drop), Err(DriverError::Unsupported));
    }
}

#[tokio::test]
async fn who_stops_speaking_says_good_bye() {
    let script = Script { sdp: speaker_sdp("8", &[]), back_channel: true, ..Script::default() };
    let (url, mut events) = camera(script).await;
    let speaking = speaker_of(&url).await.unwrap().play(sweep(8000, 60.0));
    let until = async |mut events: mpsc::UnboundedReceiver<Event>, wanted: fn(&Event) -> bool| {
        while !wanted(&events.recv().await.unwrap()) {}
        events
    };
    events = tokio::select! {
        ended = speaking => panic!("{ended:?}"),
        events = until(events, |event| matches!(event, Event::Packet { rtcp: false, .. })) => events,
    };
    timeout(PATIENCE, until(events, |event| *event == Event::Teardown)).await.unwrap();
}

#[tokio::test]
async fn a_camera_that_leaves_ends_the_sound() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("rtsp://{}/live", listener.local_addr().unwrap());
    let script = Script { sdp: speaker_sdp("8", &[]), back_channel: true, ..Script::default() };
    let (told, mut events) = mpsc::unbounded_channel();
    let camera = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream, script, &told).await;
    });
    let speaking = speaker_of(&url).await.unwrap().play(sweep(8000, 60.0));
    let leave = async {
        while !matches!(events.recv().await.unwrap(), Event::Packet { rtcp: false, .. }) {}
        camera.abort();
    };
    let (spoken, ()) = tokio::join!(timeout(PATIENCE, speaking), leave);
    assert!(matches!(spoken.unwrap(), Err(DriverError::Unreachable { step: "rtsp", .. })));
}

#[tokio::test]
async fn a_camera_that_takes_no_sound_is_given_up() {
    // It answers what it must and then reads no more.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    socket2::SockRef::from(&listener).set_recv_buffer_size(4096).unwrap();
    let url = format!("rtsp://{}/live", listener.local_addr().unwrap());
    let script = Script { sdp: speaker_sdp("8", &[]), back_channel: true, ..Script::default() };
    let (told, mut events) = mpsc::unbounded_channel();
    let camera = async move {
        let (stream, _) = listener.accept().await.unwrap();
        let until = async {
            // The report that comes before the first sound.
            while !matches!(events.recv().await.unwrap(), Event::Packet { rtcp: true, .. }) {}
        };
        let frozen = stream.into_std().unwrap();
        let served = frozen.try_clone().unwrap();
        tokio::select! {
            _ = serve(TcpStream::from_std(served).unwrap(), script, &told) => panic!("it is to stay"),
            () = until => {}
        }
        // From here on nothing but the sound takes time, and it may run by itself.
        tokio::time::pause();
        std::future::pending::<()>().await;
        drop(frozen);
    };
    // More than the sockets of both sides hold.
    let sound = Pcm { sample_rate: 8000, samples: vec![0; 8000 * 1500] };
    let speaking = async { speaker_of(&url).await.unwrap().play(sound).await };
    tokio::select! {
        () = camera => {}
        spoken = speaking => assert!(matches!(spoken, Err(DriverError::Timeout { .. })), "{spoken:?}"),
    }
}
