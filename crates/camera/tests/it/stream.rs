//! Pictures and sound over RTSP.

use std::process::Stdio;
use std::time::Duration;

use av::TrackId;
use camera::marker::estimate_view;
use camera::{Config, Quality, SoundConfig, VideoConfig};
use proto::onvif::media::SetSynchronizationPoint;
use proto::rtsp::client::Error;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{Instant, timeout};

use crate::player::{Over, Player};
use crate::{PATIENCE, config, small, soap, start, until, with_login};

/// What ffprobe finds at an address; its complaint if it finds nothing.
async fn ffprobe(url: &str, transport: &str) -> Result<String, String> {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-rtsp_transport", transport, "-of", "compact=nk=1:p=0"]);
    command.args(["-show_entries", "stream=codec_name,profile,width,height,sample_rate,channels", url]);
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(PATIENCE, output).await.expect("ffprobe ends").expect("ffprobe is installed");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[tokio::test(flavor = "multi_thread")]
async fn ffprobe_reads_both_streams_over_tcp_and_udp() {
    let camera = start(Config { sub: VideoConfig::SUB, ..config() }).await;
    for (quality, size) in [(Quality::Main, "1280|720"), (Quality::Sub, "640|360")] {
        for transport in ["tcp", "udp"] {
            let found = ffprobe(&with_login(&camera.rtsp_url(quality), crate::PASSWORD), transport).await.unwrap();
            let lines: Vec<&str> = found.lines().filter(|line| !line.is_empty()).collect();
            assert_eq!(lines, [format!("h264|Constrained Baseline|{size}").as_str(), "aac|LC|16000|1"], "{transport}");
        }
    }
    let refused = ffprobe(&with_login(&camera.rtsp_url(Quality::Main), "wrong"), "tcp").await.unwrap_err();
    assert!(refused.contains("401"), "{refused}");
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_with_a_law_sound_is_read_by_ffprobe_too() {
    let camera = start(Config { sound: SoundConfig::Alaw, ..small() }).await;
    let found = ffprobe(&with_login(&camera.rtsp_url(Quality::Sub), crate::PASSWORD), "tcp").await.unwrap();
    assert!(found.contains("pcm_alaw"), "{found}");
    assert!(found.contains("8000|1"), "{found}");
    camera.stop().await;
}

/// Watches for six seconds of camera time and checks that no picture is missing or repeated.
async fn watch_the_counter(url: String, over: Over) {
    let mut player = Player::open(&url, over).await.unwrap();
    let first = player.picture().await;
    assert!(first.frame.key, "a player begins with a key frame");
    let mut last = first.clone();
    while last.frame.dts.0 - first.frame.dts.0 < 6 * 90_000 {
        let next = player.picture().await;
        let counters = (last.counter.expect("readable"), next.counter.expect("readable"));
        assert_eq!(counters.1, counters.0 + 1, "{over:?} {url}");
        assert!(next.frame.dts > last.frame.dts);
        assert!(estimate_view(&next.landmarks).is_some());
        last = next;
    }
    assert_eq!(player.lost, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_counter_runs_without_gaps_over_tcp_and_udp() {
    let camera = start(config()).await;
    tokio::join!(
        watch_the_counter(camera.rtsp_url(Quality::Main), Over::Tcp),
        watch_the_counter(camera.rtsp_url(Quality::Sub), Over::Udp),
    );
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_and_picture_lie_on_one_timeline() {
    for sound in [SoundConfig::Aac, SoundConfig::Alaw] {
        let camera = start(Config { sound, ..small() }).await;
        let mut player = Player::open(&camera.rtsp_url(Quality::Main), Over::Tcp).await.unwrap();
        let (mut sounds, mut pictures, mut samples) = (vec![], 0, 0);
        while sounds.len() < 60 || pictures < 20 || player.reports.len() < 2 {
            let frame = player.frame().await;
            if frame.track == TrackId::AUDIO {
                samples = samples.max(frame.data.len());
                sounds.push(frame.dts.0);
            } else {
                pictures += 1;
            }
        }
        // At one moment, PLAY and the reports each tell where the tracks are: they must agree.
        let since_play = |track: usize| {
            let (ntp, timestamp) = player.reports[&track];
            let ticks = timestamp.wrapping_sub(player.begin[track]);
            (ntp, f64::from(ticks) / f64::from(player.tracks[track].clock_rate))
        };
        let ((video_ntp, video), (sound_ntp, sound_s)) = (since_play(0), since_play(1));
        let apart = sound_ntp.micros_since(video_ntp) as f64 / 1e6;
        assert!((sound_s - video - apart).abs() < 0.002, "{sound:?}: {sound_s} - {video}, reported {apart} s apart");
        let steps: Vec<i64> = sounds.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let frame = if sound == SoundConfig::Aac { 1024 } else { 320 };
        assert!(steps.iter().all(|step| *step == frame), "{sound:?}: {steps:?}");
        assert!(samples > 20);
        camera.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn encoders_run_only_while_somebody_watches_and_once_for_all() {
    let camera = start(small()).await;
    let url = camera.rtsp_url(Quality::Main);
    assert_eq!((camera.stats().encoders_running, camera.stats().pictures_encoded), (0, 0));
    let mut first = Player::open(&url, Over::Tcp).await.unwrap();
    let mut second = Player::open(&url, Over::Udp).await.unwrap();
    let (a, b) = (first.picture().await, second.picture().await);
    assert!(a.counter.is_some() && b.counter.is_some());
    assert_eq!(camera.stats().encoders_running, 1, "two viewers of one quality share its encoder");
    assert_eq!(camera.stats().sessions_playing, 2);
    let sub = Player::open(&camera.rtsp_url(Quality::Sub), Over::Tcp).await.unwrap();
    until("the second encoder", || camera.stats().encoders_running == 2).await;
    // One leaves politely, one hangs up, one is told.
    first.close().await;
    drop(second);
    drop(sub);
    // Over UDP the hung-up connection is the sign.
    until("no session", || camera.stats().sessions_playing == 0 && camera.stats().connections == 0).await;
    until("no encoder", || camera.stats().encoders_running == 0).await;
    let encoded = camera.stats().pictures_encoded;
    let mut again = Player::open(&url, Over::Tcp).await.unwrap();
    let picture = again.picture().await;
    assert!(picture.frame.key);
    let total = u64::from(picture.counter.unwrap()) + 1;
    assert!(total <= encoded, "the counter goes on where it stopped: {total} of {encoded} in both streams");
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_frame_comes_when_asked_for() {
    let main = VideoConfig { gop: Duration::from_secs(60), ..small().main };
    let camera = start(Config { main, ..small() }).await;
    let mut player = Player::open(&camera.rtsp_url(Quality::Main), Over::Tcp).await.unwrap();
    assert!(player.video_frame().await.key);
    for _ in 0..12 {
        assert!(!player.video_frame().await.key, "by itself it comes once a minute");
    }
    soap::ask(&camera, &SetSynchronizationPoint { profile_token: "main".into() }).await.unwrap();
    let asked = Instant::now();
    while !player.video_frame().await.key {}
    assert!(asked.elapsed() < Duration::from_secs(5));
    // A newcomer does not wait for the minute either.
    let mut newcomer = Player::open(&camera.rtsp_url(Quality::Main), Over::Udp).await.unwrap();
    assert!(newcomer.video_frame().await.key);
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_or_path_is_refused() {
    let camera = start(small()).await;
    let url = camera.rtsp_url(Quality::Main);
    let refused = Player::open_as(&url, Over::Tcp, "wrong").await.err();
    assert_eq!(refused, Some(Error::LoginRefused));
    let missing = Player::open(&url.replace("main", "third"), Over::Tcp).await.err();
    assert!(matches!(missing, Some(Error::Status { status: 404, .. })), "{missing:?}");
    assert_eq!(camera.stats().encoders_running, 0);
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_have_a_limit_and_stopping_ends_them() {
    let camera = start(Config { connections_max: 2, ..small() }).await;
    let url = camera.rtsp_url(Quality::Sub);
    let mut player = Player::open(&url, Over::Tcp).await.unwrap();
    let silent = TcpStream::connect(camera.rtsp_address()).await.unwrap();
    until("two connections", || camera.stats().connections == 2).await;
    let third = TcpStream::connect(camera.rtsp_address()).await.unwrap();
    let closed = timeout(PATIENCE, third.readable()).await;
    closed.expect("the third is closed at once").unwrap();
    assert_eq!(camera.stats().connections_refused, 1);
    player.video_frame().await;
    let address = camera.rtsp_address();
    timeout(PATIENCE, camera.stop()).await.expect("stopping waits for nobody");
    silent.readable().await.unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "the port is free again");
}
