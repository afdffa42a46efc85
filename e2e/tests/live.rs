//! A camera's live picture, through the Open API, in players and decoders made by others.

use std::time::Duration;

use av::{MediaKind, TrackId};
use camera::marker;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::Instant;

use crate::harness::{PATIENCE, Server, run, succeed};
use crate::media::{FlvViewer, Pictures};

/// Codec names by ffprobe, sorted.
pub async fn probe(address: &str) -> Vec<String> {
    let shown = succeed(Command::new("ffprobe").args([
        "-v",
        "error",
        "-rw_timeout",
        "20000000",
        "-show_entries",
        "stream=codec_name",
        "-of",
        "json",
        address,
    ]))
    .await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let mut codecs: Vec<String> =
        shown["streams"].as_array().unwrap().iter().map(|s| s["codec_name"].as_str().unwrap().to_owned()).collect();
    codecs.sort();
    codecs
}

#[tokio::test(flavor = "multi_thread")]
async fn ffprobe_finds_h264_and_aac_behind_every_address() {
    let server = Server::trial().await;
    for serial in [server.serial(0), server.serial(1)] {
        for protocol in [3, 4] {
            for quality in [1, 2] {
                let address = server.address(serial, protocol, quality).await;
                assert_eq!(probe(&address).await, ["aac", "h264"], "{address}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rtmpdump_plays_it_too() {
    let server = Server::trial().await;
    let address = server.address(server.serial(0), 3, 2).await;
    let file = server.folder.path().join("dump.flv");
    let path = file.to_str().unwrap();
    // It does not stop a live stream by itself.
    run(Command::new("timeout").args(["-s", "INT", "5", "rtmpdump", "-q", "--live", "-r", &address, "-o", path])).await;
    let codecs = probe(path).await;
    assert_eq!(codecs, ["aac", "h264"]);
}

/// The frame counters decoded from `seconds` of an address.
async fn counters(server: &Server, address: &str, seconds: u64) -> Vec<u32> {
    let mut viewer = FlvViewer::open(server.client(), address).await;
    let mut pictures = Pictures::new();
    let mut seen = Vec::new();
    let mut last_dts = None;
    let mut until = Instant::now() + PATIENCE;
    while let Some(output) = viewer.next(until).await {
        if let Some(tracks) = output.tracks {
            pictures.set_tracks(&tracks);
        }
        let Some(frame) = output.frame.filter(|frame| frame.track == TrackId::VIDEO) else { continue };
        if seen.is_empty() {
            until = Instant::now() + Duration::from_secs(seconds);
        }
        assert!(last_dts < Some(frame.dts), "decoding times rise");
        last_dts = Some(frame.dts);
        let luma = pictures.decode(&frame).expect("a picture for each frame");
        let counter = marker::read_counter(&luma.samples, luma.size.0, luma.size.1, luma.stride);
        seen.push(counter.expect("a readable counter in each picture"));
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn the_frame_counter_runs_without_gap_or_repeat_for_60_s() {
    let server = Server::trial().await;
    let address = server.address(server.serial(0), 4, 1).await;
    let seen = counters(&server, &address, 60).await;
    // Twenty a second; a loaded machine draws fewer, and still leaves none out.
    assert!(seen.len() >= 600, "{} pictures", seen.len());
    let broken: Vec<_> = seen.windows(2).filter(|pair| pair[1] != pair[0].wrapping_add(1)).collect();
    assert!(broken.is_empty(), "{broken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_and_picture_keep_step() {
    let server = Server::trial().await;
    let address = server.address(server.serial(0), 4, 2).await;
    let mut viewer = FlvViewer::open(server.client(), &address).await;
    let mut newest = [None, None];
    let until = Instant::now() + Duration::from_secs(6);
    while let Some(output) = viewer.next(until).await {
        let Some(frame) = output.frame else { continue };
        let tracks = viewer.tracks();
        let track = tracks.iter().find(|t| t.id == frame.track).unwrap();
        let slot = usize::from(track.kind() == MediaKind::Audio);
        newest[slot] = Some(frame.dts.to_millis(track.clock_rate));
    }
    let [Some(video), Some(audio)] = newest else { panic!("both picture and sound: {newest:?}") };
    assert!((video - audio).abs() < 500, "picture at {video} ms, sound at {audio} ms");
}
