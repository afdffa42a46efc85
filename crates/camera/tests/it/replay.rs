//! Cameras that replay a file: no encoder, time without end, and slow viewers.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use av::container::flv;
use av::{CodecParameters, Frame, Ticks, Track, TrackId, UnixMicros};
use bytes::Bytes;
use camera::{Camera, Config, Quality};
use tempfile::NamedTempFile;
use tokio::process::Command;

use crate::player::{Over, Player};
use crate::{small, start, until};

/// Writes an FLV file of pictures that nobody will decode: `count` at 25 a second, each of `size` bytes.
fn clip(track: &Track, count: u32, size: usize) -> NamedTempFile {
    let tracks = std::slice::from_ref(track);
    let mut out = flv::file_header(tracks).to_vec();
    let (kind, header) = flv::sequence_header(track).unwrap();
    flv::write_tag(&mut out, kind, 0, &[&header]);
    for n in 0..count {
        let key = n == 0;
        let mut data = (size as u32).to_be_bytes().to_vec();
        data.push(if key { 0x65 } else { 0x41 });
        // first_mb_in_slice 0, and nothing that looks like a start code.
        data.resize(4 + size, 0xAB);
        let (dts, data) = (Ticks(i64::from(n) * 3600), Bytes::from(data));
        let frame = Frame { track: TrackId::VIDEO, dts, cts: 0, wall: UnixMicros(0), key, data };
        let mut prefix = Vec::new();
        flv::frame_prefix(track, &frame, &mut prefix);
        flv::write_tag(&mut out, kind, n * 40, &[&prefix, &frame.data]);
    }
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(&out).unwrap();
    file
}

/// A video track with real parameter sets.
async fn track() -> Track {
    let camera = start(small()).await;
    let mut player = Player::open(&camera.rtsp_url(Quality::Main), Over::Tcp).await.unwrap();
    player.video_frame().await;
    let track = player.tracks[0].clone();
    assert!(matches!(track.codec, CodecParameters::H264(_)));
    camera.stop().await;
    track
}

fn replaying(path: &Path) -> Config {
    Config { replay: Some(path.to_owned()), ..small() }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_time_goes_on_from_round_to_round_and_nothing_is_encoded() {
    let file = clip(&track().await, 10, 3000);
    let configs = ["CAM000001", "CAM000002"].map(|serial| Config { serial: serial.into(), ..replaying(file.path()) });
    let cameras = Camera::start_all(configs.into()).await.unwrap();
    for camera in &cameras {
        let mut player = Player::open(&camera.rtsp_url(Quality::Main), Over::Tcp).await.unwrap();
        let mut last = player.video_frame().await;
        assert!(last.key);
        for n in 1..35 {
            let next = player.video_frame().await;
            let step = next.dts.0 - last.dts.0;
            assert!((step - 3600).abs() <= 1, "picture {n} comes {step} ticks after the one before");
            assert_eq!(next.key, n % 10 == 0);
            assert_eq!(next.data.len(), 3004);
            last = next;
        }
        assert_eq!(camera.stats().pictures_encoded, 0);
    }
    for camera in cameras {
        camera.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_made_by_ffmpeg_plays_with_sound() {
    let file = tempfile::Builder::new().suffix(".flv").tempfile().unwrap();
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25", "-f", "lavfi", "-i", "sine=440"])
        .args(["-t", "2", "-c:v", "libx264", "-g", "25", "-bf", "0", "-c:a", "aac"])
        .arg(file.path())
        .stdin(Stdio::null())
        .status();
    assert!(made.await.expect("ffmpeg is installed").success());
    let camera = start(replaying(file.path())).await;
    let mut player = Player::open(&camera.rtsp_url(Quality::Sub), Over::Tcp).await.unwrap();
    let (mut pictures, mut sounds) = (0, 0);
    while pictures < 70 || sounds < 120 {
        match player.frame().await.track {
            TrackId::VIDEO => pictures += 1,
            _ => sounds += 1,
        }
    }
    assert_eq!(player.lost, 0);
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_does_not_read_holds_up_nobody() {
    // 60 Mbit/s: the kernel's buffers of a viewer that does not read are full within a second or two.
    let file = clip(&track().await, 25, 300_000);
    let camera = start(replaying(file.path())).await;
    let url = camera.rtsp_url(Quality::Main);
    let mut asleep = Player::open(&url, Over::Tcp).await.unwrap();
    let mut awake = Player::open(&url, Over::Tcp).await.unwrap();
    let first = awake.video_frame().await;
    let mut last = first.clone();
    // The one asleep falls out of the backlog; the other misses nothing and is not late.
    while last.dts.0 - first.dts.0 < 6 * 90_000 {
        let next = awake.video_frame().await;
        assert!((next.dts.0 - last.dts.0 - 3600).abs() <= 1, "the one awake missed a picture");
        last = next;
    }
    // Within the write timeout it may wake up, and goes on at a key frame.
    let mut before = asleep.video_frame().await;
    let gap = async {
        loop {
            let next = asleep.video_frame().await;
            if next.dts.0 - before.dts.0 > 3601 {
                return next;
            }
            before = next;
        }
    };
    let resumed = tokio::time::timeout(Duration::from_secs(30), gap).await.expect("it had fallen behind");
    assert!(resumed.key, "it goes on with a key frame");
    until("it is counted", || camera.stats().frames_skipped > 0).await;
    assert_eq!(asleep.lost, 0, "whole pictures are left out, never parts of one");
    camera.stop().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_replayed_is_named() {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(b"FLV\x01\x05\0\0\0\x09\0\0\0\0 and so on").unwrap();
    let error = Camera::start(replaying(file.path())).await.err().unwrap().to_string();
    assert!(error.contains(file.path().to_str().unwrap()), "{error}");
    assert!(Camera::start(replaying(Path::new("/nonexistent"))).await.is_err());
}

#[tokio::test]
async fn an_impossible_configuration_is_refused() {
    let refused = async |config: Config| Camera::start(config).await.err().map(|error| error.to_string());
    assert!(refused(Config { password: String::new(), ..small() }).await.unwrap().contains("password"));
    assert!(refused(Config { serial: "abc".into(), ..small() }).await.unwrap().contains("serial"));
    let mut odd = small();
    odd.main.width = 321;
    assert!(refused(odd).await.unwrap().contains("even"));
    let camera = start(small()).await;
    let taken = Config { rtsp_port: camera.rtsp_address().port(), ..small() };
    assert!(refused(taken).await.unwrap().contains("cannot listen"));
    camera.stop().await;
}
