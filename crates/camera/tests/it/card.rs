//! The SD card: what it holds, how it is found in both dialects, and how it is played.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use av::UnixMicros;
use camera::{Camera, CardConfig, Clip, Config, Quality};
use proto::isapi::{CmSearchDescription, CmSearchResult, DeviceStatus, Document, Storage, TimeSpan, TrackList, path};
use proto::onvif::schema::*;
use proto::onvif::search::*;
use proto::onvif::{device, recording, replay};
use proto::rtsp::client::Error;
use proto::rtsp::{Frames, Play, Range};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::{Instant, timeout};

use crate::isapi::request;
use crate::player::Player;
use crate::{PASSWORD, PATIENCE, small, soap, start, until, with_login};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
const EVER: (UnixMicros, UnixMicros) = (UnixMicros(0), UnixMicros(i64::MAX));

/// A camera whose card holds samples and nothing else.
fn with_samples(folder: &Path) -> Config {
    Config { card: Some(CardConfig { record: false, samples: true, ..CardConfig::new(folder) }), ..small() }
}

/// A camera that records on a blank card.
fn recording(folder: &Path) -> Config {
    Config { card: Some(CardConfig::new(folder)), ..small() }
}

fn clips(camera: &Camera) -> Vec<Clip> {
    camera.card().unwrap().clips(1, EVER.0, EVER.1)
}

fn range(from: UnixMicros, to: UnixMicros) -> Option<Range> {
    Some(Range::Clock { from, to: Some(to) })
}

/// As fast as it is read.
fn unpaced(from: UnixMicros, to: UnixMicros) -> Play {
    Play { range: range(from, to), rate_control: Some(false), ..Play::default() }
}

fn replay_url(camera: &Camera) -> String {
    format!("rtsp://{}/replay/recording", camera.rtsp_address())
}

fn track_url(camera: &Camera, from: UnixMicros, to: UnixMicros) -> String {
    format!("rtsp://{}{}", camera.rtsp_address(), path::rtsp_track(1, false, from, to))
}

/// Counters of all pictures of a range, with when they were taken.
async fn counters(player: &mut Player) -> Vec<(u32, UnixMicros)> {
    let frames = player.rest().await;
    frames.into_iter().map(|frame| player.decode(frame)).map(|seen| (seen.counter.unwrap(), seen.frame.wall)).collect()
}

fn are_in_a_row(counters: &[(u32, UnixMicros)]) -> bool {
    counters.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1 && pair[1].1 > pair[0].1)
}

/// Waits until it has recorded for so long.
async fn recorded(camera: &Camera, seconds: i64) -> Clip {
    until("a recording", || clips(camera).last().is_some_and(|clip| clip.to.0 - clip.from.0 >= seconds * SECOND)).await;
    clips(camera).pop().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_card_holds_clips_of_yesterday_one_across_midnight() {
    let folder = TempDir::new().unwrap();
    let config = Config { utc_offset_minutes: 480, ..with_samples(folder.path()) };
    let camera = start(config.clone()).await;
    timeout(PATIENCE, camera.card().unwrap().ready()).await.expect("samples are made");
    let made = clips(&camera);
    assert!(made.len() >= 3 && made.iter().all(|clip| !clip.growing), "{made:?}");
    let local_day = |at: UnixMicros| (at.0 + 480 * 60 * SECOND).div_euclid(DAY);
    let across = made.iter().find(|clip| local_day(clip.from) + 1 == local_day(clip.to)).expect("across midnight");
    let midnight = UnixMicros(local_day(across.to) * DAY - 480 * 60 * SECOND);
    for clip in &made {
        let mut player = Player::replay(&replay_url(&camera), unpaced(clip.from, clip.to)).await.unwrap();
        let seen = counters(&mut player).await;
        let (first, last) = (seen[0], seen[seen.len() - 1]);
        assert!(first == (0, clip.from) && are_in_a_row(&seen), "from 0 on in each: {seen:?}");
        assert!(clip.to.0 - last.1.0 <= SECOND / 2 && seen.len() >= 20 * 4, "{last:?} {clip:?}");
        let extensions = &player.extensions;
        assert_eq!(extensions.len(), seen.len(), "each picture tells when it was taken");
        assert!(extensions[0].discontinuity && extensions[0].clean_point);
        assert!(!extensions[1].discontinuity && !extensions[1].clean_point && !extensions[1].end);
        let end = extensions.last().unwrap();
        assert!(end.end && end.terminal, "{end:?}");
        // Over midnight as if there were none.
        let over_midnight = seen.iter().filter(|(_, at)| *at >= midnight).count();
        assert_eq!((1..seen.len()).contains(&over_midnight), clip == across);
    }
    // Without an end it goes on from one clip to the next, and tells where they end.
    let mut player = Player::replay(&replay_url(&camera), unpaced(EVER.0, EVER.1)).await.unwrap();
    let all = player.rest().await;
    let starts = player.extensions.iter().filter(|extension| extension.discontinuity).count();
    let ends = player.extensions.iter().filter(|extension| extension.end).count();
    assert_eq!((starts, ends), (made.len(), made.len()));
    assert!(all.windows(2).all(|pair| pair[0].wall < pair[1].wall));
    camera.stop().await;

    let again = start(config).await;
    again.card().unwrap().ready().await;
    assert_eq!(clips(&again), made, "it is not new any more");
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_records_is_found_and_played_while_it_grows() {
    let folder = TempDir::new().unwrap();
    let camera = start(recording(folder.path())).await;
    let mut live = Player::open(&camera.rtsp_url(Quality::Main), crate::player::Over::Tcp).await.unwrap();
    let seen = live.picture().await.counter.unwrap();
    let growing = recorded(&camera, 5).await;
    assert!(growing.growing);
    let mut player = Player::replay(&replay_url(&camera), unpaced(growing.from, growing.to)).await.unwrap();
    let replayed = counters(&mut player).await;
    assert!(are_in_a_row(&replayed), "{replayed:?}");
    assert!(replayed.iter().any(|(counter, _)| *counter == seen), "the same pictures: {seen} in {replayed:?}");
    let (first, last) = (replayed[0].1, replayed[replayed.len() - 1].1);
    assert!((first.0 - growing.from.0).abs() < 1000 && growing.to.0 - last.0 < SECOND, "{growing:?}: {replayed:?}");
    // By the other dialect the same pictures at the same times, to the second.
    let url = track_url(&camera, growing.from, UnixMicros(growing.to.0 + SECOND));
    let mut player = Player::replay(&url, Play { scale: Some(4.0), ..Play::live() }).await.unwrap();
    assert_eq!(player.played.scale, Some(4.0));
    let tracked = counters(&mut player).await;
    assert!(player.extensions.is_empty());
    assert!(are_in_a_row(&tracked) && tracked[0].0 == replayed[0].0, "{tracked:?}");
    camera.card().unwrap().set_recording(false);
    until("a closed clip", || clips(&camera).iter().all(|clip| !clip.growing)).await;
    let [closed] = &clips(&camera)[..] else { panic!("one clip") };
    assert!(closed.from == growing.from && closed.to > growing.to);
    drop(live);
    until("no encoder", || camera.stats().encoders_running == 0).await;
    camera.card().unwrap().set_recording(true);
    until("another clip", || clips(&camera).len() == 2).await;
    camera.stop().await;
    // Switched off while it recorded, it has closed what it recorded.
    let files = std::fs::read_dir(folder.path().join("ch1")).unwrap();
    assert!(files.map(|file| file.unwrap().file_name().into_string().unwrap()).all(|name| name.contains('-')));
}

/// Stretches of footage as ONVIF's search for events tells them, asked for in pages of `page`.
async fn history(camera: &Camera, find: FindEvents, page: i32) -> Vec<(UnixMicros, bool)> {
    let search_token = soap::ask(camera, &find).await.unwrap().search_token;
    let mut found = Vec::new();
    loop {
        let ask = GetEventSearchResults {
            search_token: search_token.clone(),
            min_results: None,
            max_results: Some(page),
            wait_time: Some(Duration::from_secs(1)),
        };
        let list = soap::ask(camera, &ask).await.unwrap().result_list;
        assert!(list.results.len() <= page as usize);
        found.extend(list.results);
        if list.search_state == SearchState::Completed {
            break;
        }
    }
    soap::ask(camera, &EndSearch { search_token: search_token.clone() }).await.unwrap();
    assert!(soap::ask(camera, &EndSearch { search_token }).await.is_err(), "it is over");
    let of_pictures = |event: &FindEventResult| {
        let is_state = event.event.topic.path() == TRACK_STATE;
        (is_state && event.track_token == "VIDEO001").then(|| {
            let data = event.event.message.message.data.as_ref().unwrap();
            (event.time, data.get(IS_DATA_PRESENT) == Some("true"))
        })
    };
    found.iter().filter_map(of_pictures).collect()
}

fn find(from: UnixMicros, to: Option<UnixMicros>) -> FindEvents {
    FindEvents {
        start_point: from,
        end_point: to,
        scope: SearchScope::default(),
        search_filter: EventFilter::default(),
        include_start_state: false,
        max_matches: None,
        keep_alive_time: Duration::from_secs(10),
    }
}

/// Messages tell milliseconds.
fn millis(at: UnixMicros) -> UnixMicros {
    UnixMicros(at.0.div_euclid(1000) * 1000)
}

#[tokio::test(flavor = "multi_thread")]
async fn onvif_finds_what_there_is_page_by_page() {
    let folder = TempDir::new().unwrap();
    let camera = start(Config { channels: 2, ..with_samples(folder.path()) }).await;
    timeout(PATIENCE, camera.card().unwrap().ready()).await.unwrap();
    let services = soap::ask(&camera, &device::GetServices { include_capability: false }).await.unwrap().services;
    for namespace in ["recording", "search", "replay"] {
        let namespace = format!("http://www.onvif.org/ver10/{namespace}/wsdl");
        assert!(services.iter().any(|service| service.namespace == namespace), "{namespace}");
    }
    let recordings = soap::ask(&camera, &recording::GetRecordings {}).await.unwrap().recordings;
    let tokens: Vec<_> = recordings.iter().map(|item| item.recording_token.as_str()).collect();
    assert_eq!(tokens, ["recording", "recording2"]);
    let made = clips(&camera);
    let begin =
        FindRecordings { scope: SearchScope::default(), max_matches: None, keep_alive_time: Duration::from_secs(10) };
    let search_token = soap::ask(&camera, &begin).await.unwrap().search_token;
    let mut told = Vec::new();
    for state in [SearchState::Searching, SearchState::Completed] {
        let ask = GetRecordingSearchResults {
            search_token: search_token.clone(),
            min_results: None,
            max_results: Some(1),
            wait_time: None,
        };
        let list = soap::ask(&camera, &ask).await.unwrap().result_list;
        assert_eq!((list.search_state, list.recording_information.len()), (state, 1));
        told.extend(list.recording_information);
    }
    assert_eq!(told[0].source.source_id, "main");
    assert_eq!(told[0].earliest_recording, Some(millis(made[0].from)));
    assert_eq!(told[0].latest_recording, Some(millis(made[made.len() - 1].to)));
    assert_eq!(told[0].recording_status, RecordingStatus::Stopped);

    let only = SearchScope { included_recordings: vec!["recording2".into()], ..SearchScope::default() };
    let other = camera.card().unwrap().clips(2, EVER.0, EVER.1);
    let expected = |clips: &[Clip]| -> Vec<_> {
        clips.iter().flat_map(|clip| [(millis(clip.from), true), (millis(clip.to), false)]).collect()
    };
    for page in [1, 4, 100] {
        let find = FindEvents { scope: only.clone(), ..find(UnixMicros(0), None) };
        assert_eq!(history(&camera, find, page).await, expected(&other), "{page} at a time");
    }
    // Backwards, of a part, with how things stood in the middle of a clip.
    let scope = SearchScope { included_recordings: vec!["recording".into()], ..SearchScope::default() };
    let mut backwards = expected(&made);
    backwards.reverse();
    let find_back = FindEvents { scope: scope.clone(), ..find(made[made.len() - 1].to, Some(UnixMicros(0))) };
    assert_eq!(history(&camera, find_back, 100).await, backwards);
    let middle = millis(UnixMicros(made[1].from.0 + SECOND));
    let part = FindEvents { scope, include_start_state: true, ..find(middle, Some(made[1].to)) };
    assert_eq!(history(&camera, part, 100).await, [(middle, true), (millis(made[1].to), false)]);
    let tracks = EventFilter { topic_expressions: vec![Topic::new(RECORDING_STATE)] };
    let filtered = FindEvents { search_filter: tracks, ..find(UnixMicros(0), None) };
    assert_eq!(history(&camera, filtered, 100).await, []);

    let at = GetMediaAttributes { recording_tokens: vec![], time: middle };
    let attributes = soap::ask(&camera, &at).await.unwrap().media_attributes;
    assert_eq!(attributes[0].track_attributes[0].video.as_ref().unwrap().width, 320);
    let summary = soap::ask(&camera, &GetRecordingSummary {}).await.unwrap().summary;
    assert_eq!((summary.number_recordings, summary.data_from), (2, millis(made[0].from)));
    let setup =
        StreamSetup { stream: StreamType::RtpUnicast, transport: Transport { protocol: TransportProtocol::Rtsp } };
    let ask = |token: &str| replay::GetReplayUri { stream_setup: setup.clone(), recording_token: token.into() };
    assert_eq!(soap::ask(&camera, &ask("recording")).await.unwrap().uri, replay_url(&camera));
    assert!(soap::ask(&camera, &ask("recording3")).await.is_err());
    camera.stop().await;

    let without = start(small()).await;
    assert!(soap::ask(&without, &GetRecordingSummary {}).await.is_err(), "no card, no service");
    without.stop().await;
}

fn asking(spans: Vec<TimeSpan>, position: i32, max: i32) -> CmSearchDescription {
    CmSearchDescription {
        search_id: "C5FD6F7E-0001".into(),
        tracks: vec![101],
        spans,
        content_types: vec!["video".into()],
        max_results: Some(max),
        position: Some(position),
        metadata: vec!["//recordType.meta.std-cgi.com".into()],
    }
}

async fn found(camera: &Camera, ask: &CmSearchDescription) -> CmSearchResult {
    let answer = request(camera, "POST", "ContentMgmt/search", &ask.to_document()).await;
    assert_eq!(answer.status, 200);
    CmSearchResult::parse(&answer.body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn isapi_finds_what_there_is_page_by_page() {
    let folder = TempDir::new().unwrap();
    let camera = start(with_samples(folder.path())).await;
    timeout(PATIENCE, camera.card().unwrap().ready()).await.unwrap();
    let made = clips(&camera);
    let storage = Storage::parse(&request(&camera, "GET", "ContentMgmt/Storage", "").await.body).unwrap();
    assert!(storage.is_there() && storage.hdds[0].capacity == Some(512), "{storage:?}");
    let tracks = TrackList::parse(&request(&camera, "GET", "ContentMgmt/record/tracks", "").await.body).unwrap();
    assert_eq!(tracks.tracks.iter().map(|track| track.id).collect::<Vec<_>>(), [101]);
    let ask = |from: i64, to: i64, position: i32, max: i32| {
        asking(vec![TimeSpan { start: UnixMicros(from), end: UnixMicros(to) }], position, max)
    };
    let end = made[made.len() - 1].to.0 + DAY;
    let (mut spans, mut position) = (Vec::new(), 0);
    loop {
        let page = found(&camera, &ask(0, end, position, 2)).await;
        assert!(page.matches.len() <= 2);
        assert_eq!(page.matches_number, Some(page.matches.len() as i32));
        position += page.matches.len() as i32;
        let is_more = page.is_more();
        assert_eq!(page.response_status_string, if is_more { "MORE" } else { "OK" });
        spans.extend(page.matches);
        if !is_more {
            break;
        }
    }
    assert_eq!(spans.len(), made.len());
    for (item, clip) in spans.iter().zip(&made) {
        assert!(item.span.start.0 % SECOND == 0 && item.span.end.0 % SECOND == 0);
        assert!(item.span.start <= clip.from && item.span.end >= clip.to);
        let media = item.media.as_ref().unwrap();
        assert_eq!(media.bytes(), Some(clip.bytes));
        // Its address leads to it.
        let fast = Play { scale: Some(64.0), ..Play::live() };
        let mut player = Player::replay(media.playback_uri.as_deref().unwrap(), fast).await.unwrap();
        let seen = counters(&mut player).await;
        assert!(seen[0].0 == 0 && are_in_a_row(&seen), "{seen:?}");
    }
    let nothing = found(&camera, &ask(made[0].to.0 + 2 * SECOND, made[1].from.0 - 2 * SECOND, 0, 40)).await;
    assert_eq!((nothing.response_status_string.as_str(), nothing.matches.len()), ("NO MATCHES", 0));
    let beyond = found(&camera, &ask(0, end, 1000, 40)).await;
    assert_eq!(beyond.matches.len(), 0);
    for (wrong, status) in [(ask(5 * SECOND, 0, 0, 40).to_document(), 400), ("<CMSearchDescription>".into(), 400)] {
        assert_eq!(request(&camera, "POST", "ContentMgmt/search", &wrong).await.status, status);
    }
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_whose_clock_is_wrong_is_wrong_in_all_it_says() {
    let folder = TempDir::new().unwrap();
    let config = Config { clock_ahead_s: 3600, utc_offset_minutes: -60, ..recording(folder.path()) };
    let camera = start(config).await;
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros() as i64;
    let clip = recorded(&camera, 2).await;
    let an_hour = 3600 * SECOND;
    assert!((clip.to.0 - now() - an_hour).abs() < 60 * SECOND, "{clip:?}");
    let told = soap::ask(&camera, &device::GetSystemDateAndTime {}).await.unwrap().system_date_and_time;
    let utc = told.utc.unwrap().to_unix().unwrap() * SECOND;
    assert!((utc - now() - an_hour).abs() < 60 * SECOND);
    let status = DeviceStatus::parse(&request(&camera, "GET", "System/status", "").await.body).unwrap();
    let status = status.current_device_time.unwrap();
    assert!(status.ends_with("-01:00"), "{status}");
    assert!((proto::calendar::parse(&status).unwrap().0 - now() - an_hour).abs() < 60 * SECOND, "{status}");
    let span = TimeSpan { start: clip.from, end: clip.to };
    let found = found(&camera, &asking(vec![span], 0, 40)).await;
    assert_eq!(found.matches[0].span.start.0, clip.from.0 / SECOND * SECOND);
    let mut player = Player::replay(&replay_url(&camera), unpaced(clip.from, clip.to)).await.unwrap();
    assert!((player.rest().await[0].wall.0 - clip.from.0).abs() < 1000);
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_plays_to_so_many_and_tells_the_others_that_it_is_busy() {
    let folder = TempDir::new().unwrap();
    let camera = start(Config { replays_max: 1, ..with_samples(folder.path()) }).await;
    timeout(PATIENCE, camera.card().unwrap().ready()).await.unwrap();
    let clip = clips(&camera)[0].clone();
    let (replay, track) = (replay_url(&camera), track_url(&camera, clip.from, clip.to));
    let play = Play { range: range(clip.from, clip.to), ..Play::default() };
    let first = Player::replay(&replay, play).await.unwrap();
    assert_eq!(camera.stats().replays, 1);
    for (url, expected) in [(&replay, 453), (&track, 503)] {
        match Player::replay(url, play).await.err() {
            Some(Error::Status { status, .. }) => assert_eq!(status, expected),
            other => panic!("{other:?}"),
        }
    }
    // Live is another thing.
    let mut live = Player::open(&camera.rtsp_url(Quality::Main), crate::player::Over::Tcp).await.unwrap();
    live.video_frame().await;
    // One leaves politely, one hangs up: the place is free at once.
    first.close().await;
    until("a free place", || camera.stats().replays == 0).await;
    let second = Player::replay(&track, Play::live()).await.unwrap();
    drop(second);
    until("a free place", || camera.stats().replays == 0).await;
    Player::replay(&replay, play).await.unwrap();
    for (from, to) in [(0, SECOND), (clip.to.0 + DAY * 3, clip.to.0 + DAY * 4)] {
        let url = track_url(&camera, UnixMicros(from), UnixMicros(to));
        assert!(matches!(Player::replay(&url, Play::live()).await, Err(Error::Status { status: 404, .. })));
    }
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scale_paces_intra_leaves_out_and_a_seek_wins() {
    let folder = TempDir::new().unwrap();
    let camera = start(with_samples(folder.path())).await;
    timeout(PATIENCE, camera.card().unwrap().ready()).await.unwrap();
    let clip = clips(&camera).pop().unwrap();
    let length = clip.to.0 - clip.from.0;
    let begun = Instant::now();
    let play = Play { range: range(clip.from, clip.to), scale: Some(16.0), ..Play::default() };
    let mut player = Player::replay(&replay_url(&camera), play).await.unwrap();
    assert_eq!((player.played.rate_control, player.played.scale), (Some(true), Some(16.0)));
    let frames = player.rest().await;
    let took = begun.elapsed();
    assert!(took.as_micros() as i64 >= (length - SECOND) / 16, "{took:?} for {length} µs at 16 times the speed");
    assert!(player.tracks.len() == 2, "sound is described");
    let key_frames = Play { frames: Some(Frames::Intra(None)), ..unpaced(clip.from, clip.to) };
    let mut player = Player::replay(&replay_url(&camera), key_frames).await.unwrap();
    let keys = player.rest().await;
    assert!(keys.iter().all(|frame| frame.key));
    let expected: Vec<_> = frames.iter().filter(|frame| frame.key).map(|frame| frame.wall).collect();
    assert_eq!(keys.iter().map(|frame| frame.wall).collect::<Vec<_>>(), expected);
    // While it plays slowly, somewhere else at once: what comes answers the new PLAY.
    let slow = Play { range: range(clip.from, clip.to), scale: Some(0.5), ..Play::default() };
    let mut player = Player::replay(&replay_url(&camera), slow).await.unwrap();
    player.video_frame().await;
    let before = player.extensions[0].cseq;
    let late = UnixMicros(clip.to.0 - 5 * SECOND);
    player.play_instead(Play { immediate: true, ..unpaced(late, clip.to) });
    let rest = player.rest().await;
    assert!(rest.iter().filter(|frame| frame.wall >= late).count() >= 4 * 4, "{}", rest.len());
    let last = player.extensions.last().unwrap();
    assert!(last.cseq != before && last.terminal);
    let jump = player.extensions.iter().find(|extension| extension.cseq == last.cseq).unwrap();
    assert!(jump.discontinuity && jump.clean_point);
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_holds_up_the_reading_and_may_still_speak() {
    let folder = TempDir::new().unwrap();
    // More than the kernel's buffers hold.
    let config = recording(folder.path());
    let main = camera::VideoConfig { bitrate_bps: 8_000_000, width: 1280, height: 720, frame_rate: 20, ..config.main };
    let camera = start(Config { main, ..config }).await;
    let clip = recorded(&camera, 12).await;
    camera.card().unwrap().set_recording(false);
    until("no encoder", || camera.stats().encoders_running == 0).await;
    let url = replay_url(&camera);
    let sent = || camera.stats().bytes_sent;
    let mut asleep = Player::replay(&url, unpaced(clip.from, clip.to)).await.unwrap();
    asleep.video_frame().await;
    // Another plays all of it meanwhile.
    let mut awake = Player::replay(&url, unpaced(clip.from, clip.to)).await.unwrap();
    let all = awake.rest().await;
    let counted: Vec<_> = all
        .iter()
        .cloned()
        .map(|frame| awake.decode(frame))
        .map(|seen| (seen.counter.unwrap(), seen.frame.wall))
        .collect();
    assert!(are_in_a_row(&counted), "nothing is left out: {counted:?}");
    let whole: u64 = all.iter().map(|frame| frame.data.len() as u64).sum();
    assert!(sent() > whole, "{} of {whole}", sent());
    // The one asleep says where it wants to be, and reads on.
    let late = UnixMicros(clip.to.0 - 2 * SECOND);
    asleep.play_instead(Play { immediate: true, ..unpaced(late, clip.to) });
    let rest = asleep.rest().await;
    assert_eq!(rest.last().map(|frame| frame.wall), all.last().map(|frame| frame.wall));
    camera.stop().await;
}

/// Runs a player of others; answers what it says.
async fn run(command: &mut Command) -> String {
    let output = timeout(PATIENCE, command.stdin(Stdio::null()).kill_on_drop(true).output()).await;
    let output = output.expect("it ends").expect("it is installed");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_plays_a_track_to_its_end() {
    let folder = TempDir::new().unwrap();
    let camera = start(with_samples(folder.path())).await;
    timeout(PATIENCE, camera.card().unwrap().ready()).await.unwrap();
    let clip = clips(&camera)[0].clone();
    let url = with_login(&track_url(&camera, clip.from, UnixMicros(clip.from.0 + 5 * SECOND)), PASSWORD);
    let said = run(Command::new("ffmpeg")
        .args(["-v", "warning", "-nostats", "-rtsp_transport", "tcp", "-i", &url])
        .args(["-f", "framemd5", "-c:v", "rawvideo", "-"]))
    .await;
    let pictures = said.lines().filter(|line| line.starts_with("0,")).count();
    let sounds = said.lines().filter(|line| line.starts_with("1,")).count();
    assert!(pictures == 20 && sounds > 60, "{said}");
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gstreamer_replays_by_onvif() {
    let folder = TempDir::new().unwrap();
    let camera = start(with_samples(folder.path())).await;
    timeout(PATIENCE, camera.card().unwrap().ready()).await.unwrap();
    for rate_control in ["false", "true"] {
        let said = run(Command::new("gst-launch-1.0").args([
            "-v",
            "rtspsrc",
            &format!("location={}", replay_url(&camera)),
            "user-id=admin",
            &format!("user-pw={PASSWORD}"),
            "protocols=tcp",
            "onvif-mode=true",
            &format!("onvif-rate-control={rate_control}"),
            "!",
            "rtponvifparse",
            "!",
            "rtph264depay",
            "!",
            "h264parse",
            "!",
            "identity",
            "eos-after=30",
            "silent=false",
            "!",
            "avdec_h264",
            "!",
            "fakesink",
            "sync=false",
        ]))
        .await;
        assert!(said.contains("width=(int)320"), "{rate_control}: {said}");
        // When it was recorded is the time of each picture.
        let pictures = said.lines().filter(|line| line.contains("last-message = chain"));
        let time = |line: &str| Some(line.split_once("pts: ")?.1.split_once(',')?.0.to_owned());
        let times: Vec<_> = pictures.filter_map(time).collect();
        assert!(times.len() >= 25 && times.windows(2).all(|pair| pair[0] < pair[1]), "{rate_control}: {times:?}");
    }
    until("all have left", || camera.stats().replays == 0).await;
    camera.stop().await;
}
