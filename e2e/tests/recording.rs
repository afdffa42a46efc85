//! Footage is not lost: the server killed, its disk full, its database away, its files damaged (T1, T3,
//! T4, T6), and what is played is what the camera sent.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use av::UnixMicros;
use camera::{Camera, Config, SoundConfig, VideoConfig};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::card::{self, with_card};
use crate::harness::{PATIENCE, eventually, listening, program, python, run, succeed};
use crate::media::{FlvViewer, counters};
use crate::site::{Site, local, text};

const PASSWORD: &str = "recorded well";
/// A key frame each second, and parts of a second: what a kill may cost, with what a loaded machine adds
/// between the moment a frame is received and the moment it is written.
const GOP: Duration = Duration::from_secs(1);
const RATE: u32 = 10;
/// Pictures in a minute of footage: nearly all, since a camera on a loaded machine makes fewer.
const OF_A_MINUTE: usize = 400;
const PART: Duration = Duration::from_secs(1);
const ADDED: Duration = Duration::from_millis(700);
/// Short segments, so that they rotate in a test.
const SHORT: &str = "[record]\nsegment_s = 5\nfree_min_mb = 1\n";

/// A stretch of footage as `video/by/time` lists it, milliseconds.
type Stretch = (i64, i64);

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// A camera whose counter can be read from its picture.
async fn camera() -> Camera {
    camera_of(0, VideoConfig { frame_rate: RATE, gop: GOP, ..VideoConfig::SUB }).await
}

/// One of many: as small as cameras get.
async fn small_camera(n: usize) -> Camera {
    camera_of(n, VideoConfig { width: 320, height: 180, frame_rate: RATE, bitrate_bps: 200_000, gop: GOP }).await
}

async fn camera_of(n: usize, video: VideoConfig) -> Camera {
    let config = Config {
        serial: format!("RECORD{n:03}"),
        password: PASSWORD.into(),
        main: video,
        sub: video,
        sound: SoundConfig::None,
        scene_seed: n as u64,
        ..Config::default()
    };
    Camera::start(config).await.unwrap()
}

impl Site {
    /// Attaches a camera whose footage is kept in cloud storage from now on; gives its serial.
    async fn record(&self, camera: &Camera) -> String {
        let address = format!("rtsp://{}/main", camera.rtsp_address());
        let login = json!({ "user": "admin", "password": PASSWORD });
        let device = self.attach(json!({ "driver": "rtsp", "address": address, "login": login })).await;
        let serial = text(&device, "serial").to_owned();
        self.keep(&serial).await;
        serial
    }

    /// Keeps what a channel sends from now on.
    async fn keep(&self, serial: &str) {
        let plan = json!({ "days": 30, "retention_days": 7 });
        let (status, answer) = self.native("PUT", &format!("devices/{serial}/channels/1/plan"), plan).await;
        assert_eq!(status, 200, "{answer}");
    }

    /// What cloud storage has of a channel, an hour back.
    async fn footage(&self, serial: &str) -> Vec<Stretch> {
        let (from, to) = ((now_ms() - 3_600_000).to_string(), (now_ms() + 3_600_000).to_string());
        let form =
            [("deviceSerial", serial), ("startTime", &from), ("endTime", &to), ("recType", "1"), ("channelNo", "1")];
        let rows = self.data("video/by/time", &form).await;
        let moment = |row: &Value, name: &str| row[name].as_i64().unwrap_or_else(|| panic!("no {name} in {row}"));
        let rows = rows.as_array().cloned().unwrap_or_default();
        let found: Vec<Stretch> = rows.iter().map(|row| (moment(row, "startTime"), moment(row, "endTime"))).collect();
        assert!(found.iter().all(|(from, to)| from < to), "{found:?}");
        assert!(found.windows(2).all(|pair| pair[0].1 <= pair[1].0), "no moment twice: {found:?}");
        found
    }

    /// Waits until what is kept of a channel reaches past a moment.
    async fn recorded_past(&self, serial: &str, moment: i64) -> Vec<Stretch> {
        eventually("footage", || async {
            let found = self.footage(serial).await;
            found.last().is_some_and(|(_, to)| *to > moment).then_some(found)
        })
        .await
    }

    async fn recorder(&self, serial: &str) -> Value {
        let (status, said) = self.server.native("GET", "recorders", None).await;
        assert_eq!(status, 200, "{said}");
        let rows = said["recorders"].as_array().unwrap_or_else(|| panic!("{said}"));
        rows.iter().find(|row| row["serial"] == serial).cloned().unwrap_or_default()
    }

    /// Locks the first recording of a channel; gives its id.
    async fn lock_first(&self, serial: &str) -> Value {
        // What grows has no number before its first segment is committed.
        let id = eventually("a listed segment", || async {
            let (_, listed) = self.server.native("GET", &format!("recordings?serial={serial}&channel=1"), None).await;
            Some(listed["recordings"][0]["id"].clone()).filter(|id| !id.is_null())
        })
        .await;
        let path = format!("recordings/{id}/lock");
        let (status, answer) = self.native("PUT", &path, json!({ "locked": true })).await;
        assert_eq!(status, 204, "{answer}");
        id
    }

    /// Stops the server; then its footage must be as listed, and nothing else.
    async fn stop_and_check(mut self) {
        self.server.terminate().await;
        let (clean, said) = self.check(&[]).await;
        assert!(clean, "{said}");
    }

    /// Whether what the index promises is on the disk and nothing else is, and what was said.
    async fn check(&self, more: &[&str]) -> (bool, String) {
        let data = self.server.folder.path().join("data");
        let output = run(Command::new(program("fluorite")).arg("check").args(more).env("FLUORITE_DATA", data)).await;
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// A playback address of cloud storage: protocol 4 FLV, 3 RTMP, 2 HLS.
    async fn playback(&self, serial: &str, (from, to): Stretch, protocol: &str, more: &[(&str, &str)]) -> String {
        let (from, to) = (local(UnixMicros(from * 1000)), local(UnixMicros((to + 999) * 1000)));
        let mut form = vec![
            ("deviceSerial", serial),
            ("protocol", protocol),
            ("type", "3"),
            ("startTime", &from),
            ("stopTime", &to),
            ("expireTime", "3600"),
        ];
        form.extend(more);
        text(&self.data("v2/live/address/get", &form).await, "url").to_owned()
    }
}

#[track_caller]
fn assert_without_gap(counters: &[u32], at_least: usize) {
    assert!(counters.len() >= at_least, "{} of {at_least} pictures", counters.len());
    let gap = counters.windows(2).find(|pair| pair[1] != pair[0] + 1);
    assert_eq!(gap, None, "in {counters:?}");
}

fn number(variable: &str, usual: usize) -> usize {
    std::env::var(variable).map_or(usual, |text| text.parse().expect("a number"))
}

/// 20 rounds with 10 cameras; by hand 200 with 50: `FLUORITE_KILLS=200 FLUORITE_CAMERAS=50`.
#[tokio::test(flavor = "multi_thread")]
async fn t1_a_killed_server_loses_a_part_and_a_gop_at_most() {
    let (kills, cameras) = (number("FLUORITE_KILLS", 20), number("FLUORITE_CAMERAS", 10));
    let mut site = Site::configured(SHORT).await;
    let mut recorded = Vec::new();
    for n in 0..cameras {
        let camera = small_camera(n).await;
        recorded.push((site.record(&camera).await, camera));
    }
    let mut random = now_ms() as u64;
    let mut worst = 0;
    for round in 0..kills {
        let started = now_ms();
        for (serial, _) in &recorded {
            site.recorded_past(serial, started).await;
        }
        // Xorshift: another moment within parts and segments each time.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        sleep(Duration::from_millis(random % 2_000)).await;
        let killed = now_ms();
        site.server.crash_and_restart().await;
        let restarted = Instant::now();
        for (serial, _) in &recorded {
            let lost = eventually("the index after a restart", || async {
                let before: Vec<Stretch> =
                    site.footage(serial).await.into_iter().filter(|(from, _)| *from < killed).collect();
                let lost = killed - before.last()?.1;
                (lost < (PART + GOP + ADDED).as_millis() as i64).then_some(lost)
            })
            .await;
            worst = worst.max(lost);
        }
        assert!(restarted.elapsed() < Duration::from_secs(5), "round {round}: index took {:?}", restarted.elapsed());
    }
    println!("{kills} kills, {cameras} cameras: at most {worst} ms lost");
    // Everything listed plays, to the end and without a word of the decoder.
    for (serial, _) in &recorded {
        let footage = site.footage(serial).await;
        let whole = (footage[0].0, footage.last().unwrap().1);
        let address = site.playback(serial, whole, "4", &[("playbackSpeed", "-1")]).await;
        let probe = ["-v", "error", "-count_frames", "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0"];
        let output = run(Command::new("ffprobe").args(probe).arg(&address)).await;
        let (said, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(complaints.trim(), "", "{serial}");
        let frames: i64 = said.trim().trim_end_matches(',').parse().unwrap_or_else(|_| panic!("{said:?}"));
        let seconds: i64 = footage.iter().map(|(from, to)| to - from).sum::<i64>() / 1000;
        assert!(frames > 2 * seconds, "{frames} frames in {seconds} s");
    }
    site.stop_and_check().await;
}

/// A minute in twelve segments, played at two speeds, is every picture the camera made; by hand more:
/// `FLUORITE_MINUTES=10`.
#[tokio::test(flavor = "multi_thread")]
async fn footage_is_what_the_camera_sent() {
    let site = Site::configured(SHORT).await;
    let camera = camera().await;
    let serial = site.record(&camera).await;
    let began = site.recorded_past(&serial, 0).await[0].0;
    let minutes = number("FLUORITE_MINUTES", 1);
    sleep(Duration::from_secs(60 * minutes as u64)).await;
    let span = (began, began + 60_000 * minutes as i64);
    let footage = site.recorded_past(&serial, span.1).await;
    assert!(footage.windows(2).all(|pair| pair[0].1 == pair[1].0), "without a gap, if cut at the hour: {footage:?}");
    let (normal, fast) = (
        site.playback(&serial, span, "4", &[]).await,
        site.playback(&serial, span, "4", &[("playbackSpeed", "4")]).await,
    );
    let (client, patience) = (site.server.client(), PATIENCE * 4 * minutes as u32);
    let (normal, fast) = tokio::join!(counters(client, &normal, patience), counters(client, &fast, patience));
    assert_without_gap(&normal, minutes * OF_A_MINUTE);
    assert_without_gap(&fast, minutes * OF_A_MINUTE);
    assert_eq!(normal[0], fast[0], "both begin with the same picture");
    site.stop_and_check().await;
}

/// Of the files of 40 s one has a bit flipped, one is gone and one is cut, while the server runs.
#[tokio::test(flavor = "multi_thread")]
async fn t3_damaged_files_are_found_and_put_aside_and_the_rest_is_played() {
    let site = Site::configured(SHORT).await;
    let camera = camera().await;
    let serial = site.record(&camera).await;
    let began = site.recorded_past(&serial, 0).await[0].0;
    for ms in [20_000, 40_000] {
        site.recorded_past(&serial, began + ms).await;
    }
    let (clean, said) = site.check(&[]).await;
    assert!(clean, "before any damage: {said}");
    let blobs = site.server.folder.path().join("data/blobs");
    let files = files_below(&blobs.join("cloud").join(&serial));
    assert!(files.len() >= 6, "{files:?}");
    let (flipped, gone, cut) = (&files[1], &files[2], &files[4]);
    let mut bytes = std::fs::read(flipped).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(flipped, bytes).unwrap();
    std::fs::remove_file(gone).unwrap();
    std::fs::File::options().write(true).open(cut).unwrap().set_len(1000).unwrap();
    let damaged = [(flipped, "changed"), (gone, "missing"), (cut, "size")];

    for (arguments, done, ends_well) in [(&[][..], "left", false), (&["--repair"][..], "quarantined", true)] {
        let (well, said) = site.check(arguments).await;
        assert_eq!(well, ends_well, "{said}");
        for (file, kind) in damaged {
            let key = file.strip_prefix(&blobs).unwrap().to_str().unwrap();
            let line = said.lines().find(|line| line.ends_with(key)).unwrap_or_else(|| panic!("{key} in {said}"));
            assert!(line.starts_with(&serial) && line.contains(kind) && line.contains(done), "{line}");
        }
        assert!(said.contains(" 3 faults"), "{said}");
    }
    let (clean, said) = site.check(&[]).await;
    assert!(clean, "{said}");
    let aside: Vec<String> =
        files_below(&blobs.join("quarantine")).iter().map(|file| file.to_string_lossy().into_owned()).collect();
    assert_eq!(aside.len(), 2, "{aside:?}");

    // The rest is listed around the holes, and plays over them.
    let starts = |file: &PathBuf| file.file_stem().unwrap().to_str().unwrap().parse::<i64>().unwrap();
    let rest = site.footage(&serial).await;
    let edges: Vec<Stretch> = rest[..2].to_vec();
    assert_eq!(edges, [(starts(&files[0]), starts(flipped)), (starts(&files[3]), starts(cut))]);
    assert_eq!(rest[2].0, starts(&files[5]));
    let to = rest[2].0 + 3_000;
    let address = site.playback(&serial, (began, to), "4", &[]).await;
    let seen = counters(site.server.client(), &address, PATIENCE * 2).await;
    let jumps: Vec<usize> = (1..seen.len()).filter(|&n| seen[n] != seen[n - 1] + 1).collect();
    assert_eq!(jumps.len(), 2, "one for each hole: {seen:?}");
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{seen:?}");
    let lost = |at: usize| (seen[at] - seen[at - 1]) as usize;
    let of_a_segment = 4 * RATE as usize..8 * RATE as usize;
    assert!(of_a_segment.contains(&(lost(jumps[0]) / 2)) && of_a_segment.contains(&lost(jumps[1])), "{seen:?}");
    site.stop_and_check().await;
}

/// Files of a folder and those below it, by name.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => files.extend(files_below(&entry.path())),
            false => files.push(entry.path()),
        }
    }
    files.sort();
    files
}

/// What ffmpeg remarks of our outputs that is not about them.
const REMARKS: [&str; 1] = [
    // Of HLS in fragmented MP4: it reads EXT-X-MAP again with the second segment.
    "Found duplicated MOOV Atom. Skipped it",
];

/// Live, from cloud storage and from the camera's card, in each protocol: ffmpeg decodes it without a warning.
#[tokio::test(flavor = "multi_thread")]
async fn every_output_is_read_without_a_warning() {
    let (camera, _folder) = with_card(0, 8).await;
    let clip = camera.card().unwrap().stretches(1)[0].clone();
    let site = Site::configured(SHORT).await;
    let login = json!({ "user": "admin", "password": card::PASSWORD });
    let device = site.attach(json!({ "driver": "onvif", "address": camera.onvif_url(), "login": login })).await;
    let serial = text(&device, "serial").to_owned();
    site.keep(&serial).await;
    let began = site.recorded_past(&serial, 0).await[0].0;
    let to = site.recorded_past(&serial, began + 12_000).await.last().unwrap().1;
    let cloud = (local(UnixMicros(began * 1000)), local(UnixMicros(to * 1000)));
    let card = (local(clip.from), local(clip.to));

    let mut outputs = Vec::new();
    for protocol in [&[("protocol", "3")][..], &[("protocol", "4")], &HLS, &HLS_MP4] {
        for (kind, (from, to)) in [("1", &cloud), ("3", &cloud), ("2", &card)] {
            let mut form = vec![("deviceSerial", serial.as_str()), ("expireTime", "3600"), ("type", kind)];
            if kind != "1" {
                form.extend([("startTime", from.as_str()), ("stopTime", to)]);
            }
            form.extend(protocol);
            outputs.push(text(&site.data("v2/live/address/get", &form).await, "url").to_owned());
        }
    }
    let form = [("deviceSerial", serial.as_str()), ("startTime", &cloud.0), ("stopTime", &cloud.1), ("recType", "1")];
    outputs.push(text(&site.data("video/download/address", &form).await, "url").to_owned());
    let mut looks: JoinSet<()> = outputs.into_iter().map(look).collect();
    while let Some(look) = looks.join_next().await {
        look.expect("nothing to complain of");
    }
}

/// Some seconds of an output, decoded; its pictures and sound are counted.
async fn look(address: String) {
    let decode = ["-t", "6", "-f", "null", "-"];
    let output = run(Command::new("ffmpeg").args(["-v", "repeat+warning", "-i", &address]).args(decode)).await;
    let said = String::from_utf8_lossy(&output.stderr);
    let heard: Vec<&str> = said.lines().filter(|line| !REMARKS.iter().any(|remark| line.contains(remark))).collect();
    assert!(output.status.success() && heard.is_empty(), "{address}: {heard:#?}");
    let counted = ["-v", "error", "-read_intervals", "%+5", "-count_frames", "-show_entries"];
    let entries = ["stream=codec_name,nb_read_frames", "-of", "csv=p=0"];
    let found = succeed(Command::new("ffprobe").args(counted).args(entries).arg(&address)).await;
    for codec in ["h264", "aac"] {
        let frames = found.lines().find_map(|line| line.trim_end_matches(',').strip_prefix(codec)?.strip_prefix(','));
        let frames: u32 = frames.and_then(|n| n.parse().ok()).unwrap_or(0);
        assert!(frames > 10, "{address}: {found}");
    }
}

const HLS: [(&str, &str); 1] = [("protocol", "2")];
const HLS_MP4: [(&str, &str); 2] = [("protocol", "2"), ("containerFormat", "1")];

/// Somebody else's transaction holds the database for a minute.
#[tokio::test(flavor = "multi_thread")]
async fn t6_a_locked_database_costs_no_footage() {
    let site = Site::configured(SHORT).await;
    let camera = camera().await;
    let serial = site.record(&camera).await;
    let began = site.recorded_past(&serial, 0).await[0].0;
    let database = site.server.folder.path().join("data/meta.db");
    let script = "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)\n\
                  c.execute('BEGIN EXCLUSIVE')\nprint('port 1', flush=True)\nsys.stdin.read()\n";
    let (mut holder, _) = listening(Command::new(python()).args(["-c", script]).arg(&database)).await;
    let locked = now_ms();
    while now_ms() < locked + 60_000 {
        // What needs no row is answered; live goes on.
        let health = site.server.client().get(format!("{}/api/v1/health", site.server.http())).send().await.unwrap();
        assert_eq!(health.status(), 200);
        sleep(Duration::from_secs(1)).await;
    }
    holder.kill().await.unwrap();
    let freed = now_ms();
    let footage = site.recorded_past(&serial, freed + 2_000).await;
    let whole: i64 = footage.iter().map(|(from, to)| to - from).sum();
    let span = footage.last().unwrap().1 - began;
    assert!(span - whole < 100, "nothing is missing in {footage:?}");
    let address = site.playback(&serial, (locked, freed), "4", &[("playbackSpeed", "4")]).await;
    assert_without_gap(&counters(site.server.client(), &address, PATIENCE * 2).await, OF_A_MINUTE);
    site.stop_and_check().await;
}

/// A server whose data lies on a disk of 48 MB of its own.
#[tokio::test(flavor = "multi_thread")]
async fn t4_a_full_disk_pauses_recording_and_nothing_else() {
    let site = Site::on_disk(48, SHORT).await;
    let camera = camera().await;
    let serial = site.record(&camera).await;
    let footage = site.recorded_past(&serial, now_ms() + 7_000).await;
    let id = site.lock_first(&serial).await;
    let filler = site.server.data().join("filler");
    fill(&filler);
    let paused = eventually("recording paused", || async {
        let state = site.recorder(&serial).await;
        (state["state"] == "paused").then_some(state)
    })
    .await;
    assert!(paused["why"].as_str().is_some_and(|why| !why.is_empty()), "{paused}");
    // Live goes on.
    let live = site.address(&serial, 4, &[]).await;
    let mut viewer = FlvViewer::open(site.server.client(), &live).await;
    let deadline = Instant::now() + PATIENCE;
    for _ in 0..50 {
        viewer.next(deadline).await.expect("live pictures");
    }
    std::fs::remove_file(&filler).unwrap();
    let freed = Instant::now();
    eventually("recording again", || async { (site.recorder(&serial).await["state"] == "recording").then_some(()) })
        .await;
    assert!(freed.elapsed() < Duration::from_secs(10), "took {:?}", freed.elapsed());
    let after = site.recorded_past(&serial, now_ms() + 1_000).await;
    assert_eq!(after[0].0, footage[0].0, "what was locked is there");
    let (_, listed) = site.server.native("GET", &format!("recordings?serial={serial}&channel=1"), None).await;
    let locked = listed["recordings"].as_array().unwrap().iter().find(|row| row["id"] == id).unwrap().clone();
    assert_eq!(locked["locked"], true);
}

/// Writes until the disk is full.
fn fill(path: &Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).unwrap();
    let block = vec![0x5A; 64 << 10];
    while file.write_all(&block).is_ok() {}
    while file.write_all(&block[..512]).is_ok() {}
}
