//! Live HLS, and footage in every form, against ffmpeg.

use std::process::Stdio;
use std::time::Duration;

use av::UnixMicros;
use cloud::{PlaybackAsk, Storage, UnixMillis};
use proto::rtmp::Output;
use proto::rtmp::client::{ClientSession, Event, Purpose, Target, Trick};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

use crate::http::{DEADLINE, send};
use crate::reel::{FPS, GOP, Reel, Sound};
use crate::world::{MINE, World, native};

/// Runs a tool to its good end; gives what it printed. It may warn of nothing.
async fn run(tool: &str, args: &[&str]) -> String {
    let mut command = Command::new(tool);
    command.args(["-v", "warning"]).args(args).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(DEADLINE * 2, command.output()).await.expect("ffmpeg in time").expect("ffmpeg is installed");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    // No box of MP4 that ffmpeg 5 knows says where one channel of G.711 sounds, and it reads the
    // initialisation file of a live playlist anew with each reload, only to find that it had it.
    let known = ["Guessed Channel Layout", "Found duplicated MOOV Atom"];
    let quiet = |line: &&str| !line.is_empty() && !known.iter().any(|known| line.contains(known));
    let warnings: Vec<String> = text(&output.stderr).lines().filter(quiet).map(str::to_owned).collect();
    assert!(output.status.success() && warnings.is_empty(), "{tool} {args:?}: {} {warnings:#?}", output.status);
    text(&output.stdout)
}

/// Presentation times of all decoded pictures, in ms, and seconds of decoded sound.
async fn decoded(input: &str, more: &[&str]) -> (Vec<i64>, f64) {
    let args = [more, &["-i", input, "-map", "0:v", "-f", "framehash", "-fps_mode", "passthrough", "-"]].concat();
    let hashes = run("ffmpeg", &args).await;
    let base = hashes.lines().find_map(|line| line.strip_prefix("#tb 0: ")).unwrap();
    let (num, den) = base.split_once('/').unwrap();
    let (num, den): (i64, i64) = (num.parse().unwrap(), den.parse().unwrap());
    let pictures = hashes.lines().filter(|line| !line.starts_with('#'));
    let at = |line: &str| line.split(',').nth(2).unwrap().trim().parse::<i64>().unwrap() * 1000 * num / den;
    let pictures = pictures.map(at).collect();
    let args =
        [more, &["-i", input, "-map", "0:a", "-f", "framecrc", "-c:a", "pcm_s16le", "-ac", "1", "-ar", "16000", "-"]];
    let sound = run("ffmpeg", &args.concat()).await;
    let samples = sound.lines().filter(|line| !line.starts_with('#'));
    let samples: i64 = samples.map(|line| line.split(',').nth(3).unwrap().trim().parse::<i64>().unwrap()).sum();
    (pictures, samples as f64 / 16_000.0)
}

/// No picture is missing between the first and the last.
#[track_caller]
fn assert_whole(pictures: &[i64]) {
    let steps: Vec<i64> = pictures.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(steps.iter().all(|step| (38..=42).contains(step)), "{steps:?}");
}

/// A moment on a second, after the camera will have been bound: what was recorded before is nobody's any
/// more. Footage does not mind that it is not past yet.
fn soon() -> UnixMillis {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    UnixMillis((now.as_secs() as i64 + 30) * 1000)
}

const SECONDS: i64 = 40;

/// A world whose camera was recorded to the cloud.
async fn recorded(sound: Sound) -> (World, UnixMillis) {
    let at = soon();
    let world = World::with(|config| {
        Reel::new(sound).record(&config.store.data, "cloud", MINE, UnixMicros(at.0 * 1000), SECONDS);
    })
    .await;
    world
        .until(|| async {
            let channel = device::ChannelNo(1);
            let kept = world.cloud().segments(MINE, channel, Storage::Cloud, at, UnixMillis(at.0 + 100_000)).await;
            let kept = kept.unwrap();
            kept.len() == 4 && kept.iter().all(|segment| !segment.growing)
        })
        .await;
    (world, at)
}

impl World {
    /// Path and query of an address of footage, so many seconds after a moment.
    async fn footage(&self, at: UnixMillis, seconds: std::ops::Range<i64>, file: bool) -> (String, String) {
        self.footage_of(Storage::Cloud, at, seconds, file).await
    }

    async fn footage_of(
        &self,
        storage: Storage,
        at: UnixMillis,
        seconds: std::ops::Range<i64>,
        file: bool,
    ) -> (String, String) {
        let cloud = self.cloud();
        let caller = cloud.caller(&self.me.token).await.unwrap();
        let channel = cloud.channel(&caller, MINE, 1).await.unwrap();
        let moment = |seconds: i64| UnixMillis(at.0 + seconds * 1000);
        let (from, to) = (moment(seconds.start), moment(seconds.end));
        let ask = PlaybackAsk { storage, from, to, expire_s: None, code: None };
        let made = match file {
            true => cloud.download_address(&caller, &channel, ask).await,
            false => cloud.playback_address(&caller, &channel, ask).await,
        };
        let made = made.unwrap();
        (made.path, made.query)
    }

    fn url(&self, path: &str, query: &str) -> String {
        format!("http://{}{path}?{query}", self.http)
    }

    async fn sessions(&self) -> Vec<serde_json::Value> {
        let listed = native(self.http, &self.operator, "GET", "sessions", &serde_json::Value::Null).await.json();
        listed["sessions"].as_array().unwrap().clone()
    }

    async fn live(&self, protocol: &str) -> (String, String) {
        let made = self.call("v2/live/address/get", &[("deviceSerial", MINE), ("protocol", protocol)]).await;
        let url = made["data"]["url"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
        let query = url.split_once('?').unwrap().1.to_owned();
        (made["data"]["id"].as_str().unwrap().to_owned(), query)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn footage_as_hls_is_whole_in_both_containers() {
    for sound in [Sound::Aac, Sound::G711] {
        let (world, at) = recorded(sound).await;
        let (path, query) = world.footage(at, 0..SECONDS, false).await;
        for more in ["", "&containerFormat=1"] {
            let url = world.url(&format!("{path}.m3u8"), &(query.clone() + more));
            let text = reqwest::get(&url).await.unwrap().text().await.unwrap();
            assert!(text.contains("#EXT-X-PLAYLIST-TYPE:EVENT") && text.ends_with("#EXT-X-ENDLIST\n"), "{text}");
            assert!(!text.contains("DISCONTINUITY"), "{text}");
            let durations = text.lines().filter_map(|line| line.strip_prefix("#EXTINF:")?.strip_suffix(','));
            let seconds: f64 = durations.map(|seconds| seconds.parse::<f64>().unwrap()).sum();
            assert!((seconds - SECONDS as f64).abs() < 0.1, "{seconds} s: {text}");
            let (pictures, heard) = decoded(&url, &[]).await;
            assert_eq!(pictures.len() as i64, SECONDS * FPS, "{sound:?} {more}");
            assert_whole(&pictures);
            assert!((heard - SECONDS as f64).abs() < 0.2, "{sound:?} {more}: {heard} s of sound");
        }
        let listed = world.sessions().await;
        assert!(listed.iter().any(|session| session["protocol"] == "hls" && session["bytes"].as_u64() > Some(10_000)));
        world.stop().await;
    }
}

/// A sine that is coded in pieces has no seam: each sample follows from the two before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_made_for_hls_has_no_seams() {
    let (world, at) = recorded(Sound::G711).await;
    let (path, query) = world.footage(at, 0..SECONDS, false).await;
    let wav = world.data.path().join("heard.wav");
    let url = world.url(&format!("{path}.m3u8"), &query);
    run("ffmpeg", &["-i", &url, "-map", "0:a", "-c:a", "pcm_s16le", wav.to_str().unwrap()]).await;
    let bytes = std::fs::read(&wav).unwrap();
    let samples: Vec<f64> =
        bytes[44..].chunks_exact(2).map(|pair| f64::from(i16::from_le_bytes([pair[0], pair[1]]))).collect();
    // x[n+1] = 2 cos(w) x[n] - x[n-1]; what G.711 and AAC add is noise of some per cent.
    let turn = 2.0 * (440.0 / 16_000.0 * std::f64::consts::TAU).cos();
    let inner = &samples[8_000..samples.len() - 8_000];
    let worst = inner.windows(3).map(|s| (s[2] - turn * s[1] + s[0]).abs()).fold(0.0, f64::max);
    assert!(worst < 2_500.0, "a step of {worst}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_of_footage_begins_and_ends_where_it_was_asked() {
    let (world, at) = recorded(Sound::Aac).await;
    let (path, query) = world.footage(at, 14..21, false).await;
    let text = reqwest::get(world.url(&format!("{path}.m3u8"), &query)).await.unwrap().text().await.unwrap();
    let value = |tag: &str| text.lines().find_map(|line| line.strip_prefix(tag)).unwrap().to_owned();
    let offset: f64 = value("#EXT-X-START:TIME-OFFSET=").split(',').next().unwrap().parse().unwrap();
    assert!((0.0..4.5).contains(&offset), "{text}");
    let total: f64 =
        text.lines().filter_map(|line| line.strip_prefix("#EXTINF:")?.strip_suffix(',')?.parse::<f64>().ok()).sum();
    assert!(total - offset >= 7.0 && total < 17.0, "{text}");
    // Its files open nothing with another query, and none but its own.
    let file = text.lines().find(|line| !line.starts_with('#')).unwrap();
    let (name, signed) = file.split_once('?').unwrap();
    let folder = path.rsplit_once('/').unwrap().0;
    assert_eq!(reqwest::get(world.url(&format!("{folder}/{name}"), signed)).await.unwrap().status(), 200);
    let forged = signed.replacen("begin=2", "begin=1", 1);
    assert_eq!(reqwest::get(world.url(&format!("{folder}/{name}"), &forged)).await.unwrap().status(), 404);
    let other = name.replacen(&format!("-{}-", name.split('-').nth(1).unwrap()), &format!("-{}-", at.0), 1);
    assert_eq!(reqwest::get(world.url(&format!("{folder}/{other}"), signed)).await.unwrap().status(), 404);
    // Nothing was recorded an hour later.
    let (path, query) = world.footage(at, 3600..3700, false).await;
    for name in [".m3u8", ".flv"] {
        let answer = reqwest::get(world.url(&format!("{path}{name}"), &query)).await.unwrap();
        assert_eq!(answer.status(), 404);
        assert!(answer.text().await.unwrap().starts_with("5402 "));
    }
    world.stop().await;
}

/// From the request to the first picture of footage in our own archive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_picture_of_footage_comes_at_once() {
    let (world, at) = recorded(Sound::G711).await;
    let mut waits = Vec::new();
    for second in 0..20 {
        let (path, query) = world.footage(at, second..SECONDS, false).await;
        let begun = std::time::Instant::now();
        let mut answer = reqwest::get(world.url(&format!("{path}.flv"), &query)).await.unwrap();
        let mut bytes = Vec::new();
        // A tag of video that is no sequence header.
        let picture =
            |bytes: &[u8]| bytes.windows(13).any(|w| w[0] == 9 && w[8..11] == [0; 3] && w[11..13] == [0x17, 1]);
        while !picture(&bytes) {
            bytes.extend(answer.chunk().await.unwrap().expect("a picture"));
        }
        waits.push(begun.elapsed());
    }
    waits.sort();
    println!("first picture: median {:?}, p95 {:?}", waits[10], waits[18]);
    assert!(waits[18] < Duration::from_millis(500), "{waits:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn footage_as_flv_at_its_speeds() {
    let (world, at) = recorded(Sound::G711).await;
    let (path, query) = world.footage(at, 0..SECONDS, false).await;
    // As fast as it is taken, over segments, all of it.
    let url = world.url(&format!("{path}.flv"), &format!("{query}&playbackSpeed=-1"));
    let (pictures, heard) = decoded(&url, &[]).await;
    assert_eq!(pictures.len() as i64, SECONDS * FPS);
    assert_whole(&pictures);
    assert!((heard - SECONDS as f64).abs() < 0.3, "{heard} s of sound");
    // Sixteen times as fast: key frames alone, in a sixteenth of the time, without sound.
    let begun = std::time::Instant::now();
    let url = world.url(&format!("{path}.flv"), &format!("{query}&playbackSpeed=16"));
    let streams = run("ffprobe", &["-show_entries", "stream=codec_name", "-of", "csv=p=0", &url]).await;
    assert_eq!(streams.trim(), "h264");
    let frames = run("ffprobe", &["-show_entries", "packet=pts_time,flags", "-of", "csv=p=0", &url]).await;
    assert_eq!(frames.lines().count() as i64, SECONDS * FPS / GOP);
    assert!(frames.lines().all(|line| line.contains('K')), "{frames}");
    assert!(begun.elapsed() >= Duration::from_millis(1_500), "it is paced");
    // From the middle on.
    let (path, query) = world.footage(at, 30..SECONDS, false).await;
    let url = world.url(&format!("{path}.flv"), &format!("{query}&playbackSpeed=4&mute=1"));
    let frames = run("ffprobe", &["-show_entries", "packet=pts_time", "-of", "csv=p=0", &url]).await;
    let count = frames.lines().count() as i64;
    assert!((10 * FPS..=10 * FPS + GOP).contains(&count), "{count} pictures");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_is_one_whole_file_of_the_length_it_says() {
    for sound in [Sound::Aac, Sound::G711] {
        let (world, at) = recorded(sound).await;
        let (path, query) = world.footage(at, 5..35, true).await;
        let answer = reqwest::get(world.url(&path, &query)).await.unwrap();
        assert_eq!(answer.status(), 200);
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!((header("content-type"), header("accept-ranges")), ("video/mp4".into(), "none".into()));
        assert!(header("content-disposition").starts_with(&format!("attachment; filename=\"{MINE}_1_20")));
        let length: usize = header("content-length").parse().unwrap();
        let bytes = answer.bytes().await.unwrap();
        assert_eq!(bytes.len(), length);
        let file = world.data.path().join("clip.mp4");
        std::fs::write(&file, &bytes).unwrap();
        let (pictures, heard) = decoded(file.to_str().unwrap(), &[]).await;
        // From the key frame at or before the beginning to the one at or after the end, of those that begin
        // a part.
        assert!((30 * FPS..=30 * FPS + 6 * GOP).contains(&(pictures.len() as i64)), "{} pictures", pictures.len());
        assert_whole(&pictures);
        assert!((heard - pictures.len() as f64 / FPS as f64).abs() < 0.3, "{heard} s of sound");
        // An address to play does not download, and none after its end.
        let (play, signed) = world.footage(at, 5..35, false).await;
        let other = format!("/v3/download/{MINE}_1_1.mp4");
        assert_eq!(reqwest::get(world.url(&other, &signed)).await.unwrap().status(), 404);
        assert_eq!(reqwest::get(world.url(&format!("{play}.flv"), &query)).await.unwrap().status(), 404);
        world.stop().await;
    }
}

/// A player of footage over RTMP.
struct Player {
    socket: TcpStream,
    rtmp: ClientSession,
    /// Timestamps of pictures since the last word.
    pictures: Vec<u32>,
}

impl Player {
    async fn connect(world: &World, path: &str, query: &str) -> Player {
        let port = world.rtmp_port();
        let target = Target::parse(&format!("rtmp://127.0.0.1:{port}{path}?{query}")).unwrap();
        let socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        Player { socket, rtmp: ClientSession::new(Purpose::Play, target), pictures: Vec::new() }
    }

    /// Talks until something but media is heard, or so many pictures are there.
    async fn until(&mut self, pictures: usize) -> Option<Event> {
        timeout(DEADLINE, async {
            let mut buffer = vec![0; 64 << 10];
            loop {
                while let Some(output) = self.rtmp.poll_output() {
                    match output {
                        Output::Transmit(bytes) => self.socket.write_all(&bytes).await.unwrap(),
                        // Pictures, but for sequence headers.
                        Output::Event(Event::Media(media)) if media.body[0] & 0xF == 7 => {
                            if media.body[1] == 1 {
                                self.pictures.push(media.timestamp);
                            }
                        }
                        Output::Event(Event::Media(_) | Event::Metadata(_)) => {}
                        Output::Event(event) => return Some(event),
                    }
                }
                if self.pictures.len() >= pictures {
                    return None;
                }
                match self.socket.read(&mut buffer).await.unwrap() {
                    0 => panic!("the server left"),
                    n => self.rtmp.handle_input(&buffer[..n]).unwrap(),
                }
            }
        })
        .await
        .expect("an answer in time")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_rtmp_player_seeks_pauses_and_sees_the_end() {
    let (world, at) = recorded(Sound::Aac).await;
    let (path, query) = world.footage(at, 0..SECONDS, false).await;
    let mut player = Player::connect(&world, &path, &query).await;
    assert_eq!(player.until(usize::MAX).await, Some(Event::Started));
    player.until(10).await;
    assert_eq!(player.pictures[0], 0);
    // Of two seeks the last one wins; timestamps tell where.
    player.rtmp.seek(5_000);
    player.rtmp.seek(20_000);
    assert_eq!(player.until(usize::MAX).await, Some(Event::Done(Trick::Seek)));
    player.pictures.clear();
    player.until(20).await;
    assert!((20_000..20_200).contains(&player.pictures[0]), "{:?}", player.pictures);
    // It stands still.
    player.rtmp.pause(true, 0);
    assert_eq!(player.until(usize::MAX).await, Some(Event::Done(Trick::Pause)));
    player.pictures.clear();
    let still = timeout(Duration::from_millis(700), player.until(usize::MAX)).await;
    assert!(still.is_err() && player.pictures.len() < 50, "{} pictures in spite of the pause", player.pictures.len());
    player.rtmp.pause(false, 0);
    assert_eq!(player.until(usize::MAX).await, Some(Event::Done(Trick::Resume)));
    // The last second, and the end.
    player.rtmp.seek(SECONDS as u32 * 1000 - 1_000);
    assert_eq!(player.until(usize::MAX).await, Some(Event::Done(Trick::Seek)));
    player.pictures.clear();
    assert_eq!(player.until(usize::MAX).await, Some(Event::Ended));
    // From the key frame before it that begins a part.
    assert!((25..=25 + 3 * GOP as usize).contains(&player.pictures.len()), "{} pictures", player.pictures.len());
    world.until(|| async { world.sessions().await.is_empty() }).await;

    // What is not there has a number.
    let (path, query) = world.footage(at, 3600..3700, false).await;
    let mut player = Player::connect(&world, &path, &query).await;
    let Some(Event::Refused { code, description }) = player.until(usize::MAX).await else { panic!("refused") };
    assert_eq!(code, "NetStream.Play.StreamNotFound");
    assert!(description.starts_with("5402 "), "{description}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ffmpeg_plays_and_seeks_in_footage_over_rtmp() {
    let (world, at) = recorded(Sound::G711).await;
    let (path, query) = world.footage(at, 0..SECONDS, false).await;
    let url = format!("rtmp://127.0.0.1:{}{path}?{query}", world.rtmp_port());
    let fast = format!("{url}&playbackSpeed=4");
    let frames = run("ffprobe", &["-show_entries", "packet=pts_time", "-of", "csv=p=0", &fast]).await;
    assert_eq!(frames.lines().count() as i64, SECONDS * FPS);
    // ffmpeg seeks by command and waits for the answer; what comes then has the time that was sought.
    let args = ["-ss", "35", "-i", &url, "-map", "0:v", "-t", "3", "-f", "framehash", "-fps_mode", "passthrough", "-"];
    let pictures = run("ffmpeg", &args).await.lines().filter(|line| !line.starts_with('#')).count() as i64;
    assert!((2 * FPS..=3 * FPS + 1).contains(&pictures), "{pictures} pictures");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_of_footage_are_listed_counted_and_ended() {
    let (world, at) = recorded(Sound::Aac).await;
    let (path, query) = world.footage(at, 0..SECONDS, false).await;
    let url = world.url(&format!("{path}.flv"), &query);
    let mut viewers = Vec::new();
    for _ in 0..16 {
        let answer = reqwest::get(&url).await.unwrap();
        assert_eq!(answer.status(), 200);
        viewers.push(answer);
    }
    let crowded = reqwest::get(&url).await.unwrap();
    assert_eq!(crowded.status(), 409);
    assert!(crowded.text().await.unwrap().starts_with("5410 "));
    assert_eq!(world.sessions().await.len(), 16);
    // One leaves: its place is free.
    drop(viewers.pop());
    world.until(|| async { world.sessions().await.len() == 15 }).await;
    // The address is taken back: all are ended, and nobody comes in.
    let answer = world.call("live/address/disable", &[("deviceSerial", MINE), ("channelNo", "1")]).await;
    assert_eq!(answer["code"], "200", "{answer}");
    world.until(|| async { world.sessions().await.is_empty() }).await;
    for mut viewer in viewers {
        let rest = timeout(DEADLINE, async { while let Ok(Some(_)) = viewer.chunk().await {} }).await;
        assert!(rest.is_ok(), "the stream ends");
    }
    assert_eq!(reqwest::get(&url).await.unwrap().status(), 404);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_hls_in_both_containers_and_with_low_latency() {
    let mut world = World::start().await;
    let mut publishing = world.publishing.take().unwrap();
    let reel = Reel::new(Sound::G711);
    // Four times as fast as it is watched, so that the test is short; nobody looks at the clock.
    let camera = tokio::spawn(async move {
        publishing.set_tracks(reel.tracks.to_vec());
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        for second in 0.. {
            ticks.tick().await;
            for frame in reel.frames(second * 2..second * 2 + 2, UnixMicros(now.as_micros() as i64)) {
                publishing.write(frame).unwrap();
            }
        }
    });
    let (id, query) = world.live("4").await;
    for (path, more, codecs) in [
        (format!("/v3/openlive/{MINE}_1_1.m3u8"), "", "h264\naac\n"),
        (format!("/v3/openlive/{MINE}_1_1.m3u8"), "&containerFormat=1", "h264\naac\n"),
        (format!("/v3/openlive/llhls/{MINE}_1_1.m3u8"), "", "h264\naac\n"),
        (format!("/v3/openlive/{MINE}_1_1.m3u8"), "&mute=1", "h264\n"),
    ] {
        let url = world.url(&path, &(query.clone() + more));
        let streams = run("ffprobe", &["-show_entries", "stream=codec_name", "-of", "csv=p=0", &url]).await;
        assert_eq!(dedup(&streams), codecs, "{path}{more}");
        let args = ["-i", &url, "-t", "5", "-map", "0:v", "-f", "framehash", "-fps_mode", "passthrough", "-"];
        let pictures = run("ffmpeg", &args).await.lines().filter(|line| !line.starts_with('#')).count();
        assert!((120..=130).contains(&pictures), "{pictures} pictures from {path}{more}");
    }
    // Parts are waited for.
    let url = world.url(&format!("/v3/openlive/llhls/{MINE}_1_1.m3u8"), &query);
    let text = reqwest::get(&url).await.unwrap().text().await.unwrap();
    let hint = text.lines().find_map(|line| line.strip_prefix("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"../")).unwrap();
    let hint = hint.strip_suffix('"').unwrap();
    let part = reqwest::get(format!("http://{}/v3/openlive/{hint}", world.http)).await.unwrap();
    assert_eq!((part.status().as_u16(), part.headers()["content-type"].to_str().unwrap()), (200, "video/mp4"));
    assert!(!part.bytes().await.unwrap().is_empty());
    let (segment, _) = hint.rsplit_once('/').unwrap().1.split_once('.').unwrap();
    let next = reqwest::get(format!("{url}&_HLS_msn={segment}&_HLS_part=0")).await.unwrap();
    assert!(next.text().await.unwrap().contains(&format!("{segment}.0.m4s")));
    let far = reqwest::get(format!("{url}&_HLS_msn=99999999999")).await.unwrap();
    assert_eq!(far.status(), 400);

    // One session for one host, address and container, however often it asks. It ends with the address, and
    // so do the files.
    let listed = async || world.sessions().await.iter().filter(|session| session["protocol"] == "hls").count();
    let before = listed().await;
    assert!((1..=3).contains(&before), "{before} sessions");
    let again =
        reqwest::get(world.url(&format!("/v3/openlive/{MINE}_1_1.m3u8"), &format!("{query}&containerFormat=1")));
    assert_eq!(again.await.unwrap().status(), 200);
    assert!(listed().await <= before);
    let file = text.lines().rfind(|line| !line.starts_with('#')).unwrap().trim_start_matches("../").to_owned();
    let answer = world.call("v2/live/address/disable", &[("deviceSerial", MINE), ("urlId", &id)]).await;
    assert_eq!(answer["code"], "200", "{answer}");
    world.until(|| async { world.sessions().await.is_empty() }).await;
    assert_eq!(reqwest::get(&url).await.unwrap().status(), 404);
    let file = send(world.http, &format!("GET /v3/openlive/{file} HTTP/1.1"), b"").await;
    assert_eq!(file.status, 404);
    camera.abort();
    world.stop().await;
}

/// ffprobe names the streams of a programme twice.
fn dedup(streams: &str) -> String {
    let mut lines: Vec<&str> = streams.lines().filter(|line| !line.is_empty()).collect();
    let mut seen = Vec::new();
    lines.retain(|line| {
        !seen.contains(line) && {
            seen.push(*line);
            true
        }
    });
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stops_asking_for_hls_is_gone() {
    let mut world = World::start().await;
    let mut publishing = world.publishing.take().unwrap();
    let reel = Reel::new(Sound::Aac);
    publishing.set_tracks(reel.tracks.to_vec());
    let (_, query) = world.live("4").await;
    reel.frames(0..1, UnixMicros(0)).into_iter().for_each(|frame| publishing.write(frame).unwrap());
    let url = world.url(&format!("/v3/openlive/{MINE}_1_1.m3u8"), &query);
    let asked = tokio::spawn(reqwest::get(url));
    // The packager reads from the newest key frame on, so it must be there before more comes.
    world.until(|| async { publishing.stream().viewers() > 0 }).await;
    for n in 1..=2 * FPS + GOP {
        reel.frames(n..n + 1, UnixMicros(0)).into_iter().for_each(|frame| publishing.write(frame).unwrap());
        tokio::task::yield_now().await;
    }
    assert_eq!(asked.await.unwrap().unwrap().status(), 200);
    assert_eq!(world.sessions().await.len(), 1);
    world.until(|| async { world.sessions().await.is_empty() && publishing.stream().viewers() == 0 }).await;
    world.stop().await;
}
