//! Footage as it is watched: a camera's card by RTMP, and a playlist of what is still being recorded.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use av::container::flv::{self, TagType};
use av::{MediaKind, TrackId, UnixMicros};
use camera::marker::read_counter;
use camera::{Camera, Clip};
use openh264::formats::YUVSource;
use proto::rtmp::client::{Event, Purpose, Trick};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::card::{PASSWORD, with_card};
use crate::harness::{PATIENCE, eventually, run};
use crate::media::{Pictures, counters};
use crate::rtmp::RtmpClient;
use crate::site::{Site, text};

/// Pictures a second on the clips that a new card holds.
const RATE: i64 = 4;

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// Attaches a camera by a dialect of it; gives its serial.
async fn attach(site: &Site, camera: &Camera, driver: &str) -> String {
    let address = match driver {
        "onvif" => camera.onvif_url(),
        _ => format!("http://{}", camera.http_address()),
    };
    let login = json!({ "user": "admin", "password": PASSWORD });
    let device = site.attach(json!({ "driver": driver, "address": address, "login": login })).await;
    let serial = text(&device, "serial").to_owned();
    site.status_becomes(&serial, true, PATIENCE).await;
    serial
}

/// When the cloud's footage of a channel begins, ms.
async fn recorded_from(site: &Site, serial: &str) -> Option<i64> {
    let (from, to) = ((now_ms() - 3_600_000).to_string(), (now_ms() + 3_600_000).to_string());
    let form = [("deviceSerial", serial), ("startTime", &from), ("endTime", &to), ("recType", "1")];
    site.data("video/by/time", &form).await.as_array()?.first()?["startTime"].as_i64()
}

/// An address of footage: type 2 of the card, 3 of the cloud; the span in milliseconds.
async fn address(
    site: &Site,
    serial: &str,
    kind: &str,
    span: (i64, i64),
    protocol: u8,
    more: &[(&str, &str)],
) -> String {
    let (from, to) = (span.0.to_string(), span.1.to_string());
    let form = [&[("type", kind), ("startTime", &*from), ("stopTime", &*to)], more].concat();
    site.address(serial, protocol, &form).await
}

/// Decodes what is in the bodies of FLV tags, and reads the counters of its pictures.
struct Counters {
    reader: flv::FrameReader,
    pictures: Pictures,
}

impl Counters {
    fn new() -> Counters {
        Counters { reader: flv::FrameReader::new(), pictures: Pictures::new() }
    }

    /// The counter of the picture in a tag, if there is a picture in it.
    fn read(&mut self, kind: TagType, timestamp: u32, body: bytes::Bytes) -> Option<u32> {
        let output = self.reader.push(kind, timestamp, body, UnixMicros(0)).expect("valid tag body");
        output.tracks.iter().for_each(|tracks| self.pictures.set_tracks(tracks));
        let frame = output.frame.filter(|frame| frame.track == TrackId::VIDEO)?;
        let counter = self.pictures.decode_with(&frame, |picture| {
            let (width, height) = picture.dimensions();
            read_counter(picture.y(), width, height, picture.strides().0)
        });
        Some(counter.flatten().expect("a picture with a readable counter"))
    }

    /// Those of an FLV file.
    fn of_file(file: &Path) -> Vec<u32> {
        let (mut demuxer, mut counters, mut found) = (flv::Demuxer::new(), Counters::new(), Vec::new());
        demuxer.push(&std::fs::read(file).unwrap());
        while let Some(tag) = demuxer.pull().unwrap() {
            found.extend(counters.read(tag.kind, tag.timestamp_ms, tag.body));
        }
        found
    }
}

/// A player of footage by RTMP.
struct Player {
    rtmp: RtmpClient,
    counters: Counters,
}

impl Player {
    async fn open(address: &str) -> Player {
        let mut rtmp = RtmpClient::open(Purpose::Play, address).await;
        assert_eq!(rtmp.event().await, Some(Event::Started));
        Player { rtmp, counters: Counters::new() }
    }

    /// When the next picture is shown and its counter, or what else is heard; `None` at the end.
    async fn next(&mut self) -> Option<Result<(u32, u32), Trick>> {
        loop {
            match self.rtmp.event().await? {
                Event::Media(media) => {
                    let kind = if media.kind == MediaKind::Video { TagType::Video } else { TagType::Audio };
                    if let Some(counter) = self.counters.read(kind, media.timestamp, media.body) {
                        return Some(Ok((media.timestamp, counter)));
                    }
                }
                Event::Metadata(_) => {}
                Event::Done(trick) => return Some(Err(trick)),
                Event::Ended => return None,
                other => panic!("{other:?}"),
            }
        }
    }
}

/// The milliseconds of a clip and of the second after it.
fn around(clip: &Clip) -> (i64, i64) {
    (clip.from.0 / 1000, clip.to.0 / 1000 + 1000)
}

/// Every picture of a clip, by both dialects of a camera whose clock is an hour wrong, at two speeds at a time.
#[tokio::test(flavor = "multi_thread")]
async fn a_card_is_played_whole_by_rtmp() {
    let (camera, _card) = with_card(3600, 4).await;
    let clip = &camera.card().unwrap().stretches(1)[0];
    let (onvif, isapi) = (Site::start().await, Site::start().await);
    // By our clock, and clocks are told by the second.
    let (from, to) = (clip.from.0 / 1000 - 3_600_000, clip.to.0 / 1000 - 3_600_000);
    let span = (from - 3_000, to + 3_000);
    let wanted: Vec<u32> = (0..((clip.to.0 - clip.from.0) * RATE / 1_000_000) as u32).collect();
    let (onvif, isapi) =
        ((&onvif, attach(&onvif, &camera, "onvif").await), (&isapi, attach(&isapi, &camera, "isapi").await));
    for (site, serial) in [&onvif, &isapi] {
        let (begin, end) = (span.0.to_string(), span.1.to_string());
        let form = [("deviceSerial", serial.as_str()), ("startTime", &*begin), ("endTime", &*end), ("recType", "2")];
        let rows = site.data("video/by/time", &form).await;
        let told = |name: &str| rows[0][name].as_i64().unwrap_or_else(|| panic!("{rows}"));
        assert!((told("startTime") - from).abs() < 2_000 && (told("endTime") - to).abs() < 2_000, "{from} {to} {rows}");
    }
    let play = async |(site, serial): &(&Site, String), speed: &str| {
        let address = address(site, serial, "2", span, 3, &[("playbackSpeed", speed)]).await;
        let (mut player, mut seen, mut last) = (Player::open(&address).await, Vec::new(), 0);
        while let Some(next) = player.next().await {
            let (at, counter) = next.expect("nothing was asked of it");
            assert!(at >= last, "time never runs back");
            last = at;
            seen.push(counter);
        }
        assert_eq!(seen, wanted, "{address}");
    };
    tokio::join!(play(&onvif, "1"), play(&onvif, "4"), play(&isapi, "1"), play(&isapi, "4"));
    eventually("the sessions at the camera are over", || async { (camera.stats().replays == 0).then_some(()) }).await;
}

/// A camera that replays for one viewer at a time is asked to go elsewhere five times in a row: it is not the
/// viewer that it finds in its own way, and the last word counts. Others are told that it is busy until it left.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_seek_wins_where_there_is_one_session() {
    let (camera, _card) = with_card(0, 1).await;
    let clip = &camera.card().unwrap().stretches(1)[0];
    for driver in ["onvif", "isapi"] {
        let site = Site::start().await;
        let serial = attach(&site, &camera, driver).await;
        let mut player = Player::open(&address(&site, &serial, "2", around(clip), 3, &[]).await).await;
        assert_eq!(player.next().await, Some(Ok((0, 0))), "{driver}");
        for seconds in [3, 15, 6, 18, 9] {
            player.rtmp.seek(seconds * 1000).await;
        }
        let mut since = None;
        while since.as_ref().is_none_or(|since: &Vec<_>| since.len() < 12) {
            match (player.next().await.expect("it goes on"), &mut since) {
                (Err(trick), since) => {
                    assert_eq!(trick, Trick::Seek);
                    *since = Some(Vec::new());
                }
                (Ok(picture), Some(since)) => since.push(picture),
                // On its way before it was asked.
                (Ok(_), None) => {}
            }
        }
        let since = since.unwrap();
        let (at, counter) = since[0];
        assert!((9_000..9_500).contains(&at), "{driver}: {since:?}");
        // From a key frame before it, at once.
        assert!((7 * RATE..=9 * RATE).contains(&i64::from(counter)), "{driver}: {since:?}");
        assert!(since.windows(2).all(|pair| pair[1].1 == pair[0].1 + 1), "{driver}: {since:?}");

        let flv = address(&site, &serial, "2", around(clip), 4, &[]).await;
        let client = site.server.client();
        let busy = client.get(&flv).send().await.unwrap();
        assert_eq!(busy.status(), 409, "{driver}");
        assert!(busy.text().await.unwrap().starts_with("9048 "), "{driver}");
        let next = player.next().await.expect("it goes on").expect("nothing was asked of it");
        assert_eq!(next.1, since.last().unwrap().1 + 1, "{driver}: nobody was disturbed");

        drop(player);
        let left = Instant::now();
        eventually("the session is over", || async { (camera.stats().replays == 0).then_some(()) }).await;
        assert!(left.elapsed() < Duration::from_secs(2), "{driver}: {:?}", left.elapsed());
        assert_eq!(client.get(&flv).send().await.unwrap().status(), 200, "{driver}: now it is another's turn");
        eventually("that is over too", || async { (camera.stats().replays == 0).then_some(()) }).await;
    }
}

/// Asks for a playlist again and again until it has an end: nothing that was said is taken back.
async fn watch_it_grow(site: &Site, address: &str) -> String {
    let deadline = Instant::now() + PATIENCE * 2;
    let (mut before, mut grown) = (String::new(), 0);
    loop {
        let answer = site.server.client().get(address).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{address}");
        let text = answer.text().await.unwrap();
        assert!(text.contains("#EXTINF"), "a player that finds nothing in it gives up: {text}");
        assert!(text.starts_with(&before), "{before}\nbecame\n{text}");
        // The newest file it names is there.
        let newest = text.lines().rfind(|line| !line.starts_with('#')).unwrap();
        let file = format!("{}/{newest}", address.split_once('?').unwrap().0.rsplit_once('/').unwrap().0);
        assert_eq!(site.server.client().get(&file).send().await.unwrap().status(), 200, "{file}");
        if text.ends_with("#EXT-X-ENDLIST\n") {
            assert!(grown > 1, "it never grew: {text}");
            return text;
        }
        grown += usize::from(text.len() > before.len());
        before = text;
        assert!(Instant::now() < deadline, "it has no end: {before}");
        sleep(Duration::from_millis(200)).await;
    }
}

/// Half a minute that has only begun, over the ends of segments.
#[tokio::test(flavor = "multi_thread")]
async fn a_playlist_grows_with_what_is_recorded() {
    let site = Site::configured("[record]\nsegment_s = 5\n").await;
    let (camera, _card) = with_card(0, 1).await;
    let serial = attach(&site, &camera, "onvif").await;
    let plan = json!({ "days": 30, "retention_days": 7 });
    let (status, answer) = site.native("PUT", &format!("devices/{serial}/channels/1/plan"), plan).await;
    assert_eq!(status, 200, "{answer}");
    let began = eventually("footage", || recorded_from(&site, &serial)).await;
    // The first of it begins where less is recorded than a file holds.
    let span = (began, began + 22_000);
    let folder = TempDir::new().unwrap();
    let mut players = Vec::new();
    for (name, more) in [("ts", &[][..]), ("fmp4", &[("containerFormat", "1")])] {
        let playlist = address(&site, &serial, "3", span, 2, more).await;
        let file = folder.path().join(format!("{name}.flv"));
        let mut player = Command::new("ffmpeg");
        player.args(["-nostdin", "-v", "warning", "-live_start_index", "0", "-i", &playlist, "-map", "0:v"]);
        player.args(["-c", "copy", "-f", "flv"]).arg(&file);
        players.push((player, playlist, file));
    }
    let [(ts, ts_address, ts_file), (fmp4, fmp4_address, fmp4_file)] = &mut players[..] else { unreachable!() };
    let (ts, fmp4, ts_text, fmp4_text) =
        tokio::join!(run(ts), run(fmp4), watch_it_grow(&site, ts_address), watch_it_grow(&site, fmp4_address));
    for (output, text) in [(ts, ts_text), (fmp4, fmp4_text)] {
        // It reads the initialisation file anew with each reload, only to find that it had it.
        let known = ["Found duplicated MOOV Atom", "Last message repeated"];
        let said = String::from_utf8_lossy(&output.stderr);
        let remark =
            said.lines().find(|line| !line.trim().is_empty() && !known.iter().any(|known| line.contains(known)));
        assert!(output.status.success() && remark.is_none(), "{said}");
        assert!(!text.contains("DISCONTINUITY"), "{text}");
    }
    // What came that way is what a stream of the same footage brings, to the end of the last file.
    let stream = address(&site, &serial, "3", span, 4, &[("playbackSpeed", "-1")]).await;
    let stream = counters(site.server.client(), &stream, PATIENCE).await;
    assert!(stream.len() >= 150, "{} pictures", stream.len());
    for file in [ts_file, fmp4_file] {
        let seen = Counters::of_file(file);
        assert!(seen.starts_with(&stream), "{}: {seen:?}\n{stream:?}", file.display());
        assert!(seen.windows(2).all(|pair| pair[1] == pair[0] + 1), "{seen:?}");
        // The last file is at most four seconds and a group of pictures long.
        assert!(seen.len() <= stream.len() + 80, "{} of {}", seen.len(), stream.len());
    }
    let (_, sessions) = site.server.native("GET", "sessions", None).await;
    let hls = |session: &&Value| session["protocol"] == "hls";
    assert_eq!(sessions["sessions"].as_array().unwrap().iter().filter(hls).count(), 2, "one for each address");
}
