//! The media core under a paused clock: frames in, frames out.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use av::{CodecParameters, Frame, G711Law, G711Parameters, H264Parameters, Ticks, Track, TrackId, UnixMicros};
use bytes::Bytes;
use media::{Hub, HubSettings, Item, OpenError, RingLimits, StartRequest, StreamId, StreamWriter, Subscription};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

const GOP: i64 = 25;

fn video(width: u32) -> Track {
    let parameters =
        H264Parameters { sps: Bytes::from_static(&[0x67]), pps: Bytes::from_static(&[0x68]), width, height: 720 };
    Track { id: TrackId::VIDEO, codec: CodecParameters::H264(parameters), clock_rate: 90_000 }
}

fn audio() -> Track {
    let parameters = G711Parameters { law: G711Law::A, sample_rate: 8000, channels: 1 };
    Track { id: TrackId::AUDIO, codec: CodecParameters::G711(parameters), clock_rate: 8000 }
}

/// Picture `n` of a 25 fps stream; its number is its payload.
fn picture(n: i64) -> Frame {
    Frame {
        track: TrackId::VIDEO,
        dts: Ticks(n * 3600),
        cts: 0,
        wall: UnixMicros(0),
        key: n % GOP == 0,
        data: Bytes::copy_from_slice(&n.to_be_bytes()),
    }
}

fn number(frame: &Frame) -> i64 {
    i64::from_be_bytes(frame.data[..].try_into().unwrap())
}

fn hub() -> Hub {
    Hub::new(HubSettings {
        linger: Duration::from_secs(5),
        start_timeout: Duration::from_secs(10),
        ring: RingLimits { bytes_max: 1 << 20, duration_ms: 3000 },
    })
}

fn id() -> StreamId {
    StreamId::new("ABCDEFGH1_1_1")
}

fn write(writer: &mut StreamWriter, numbers: std::ops::Range<i64>) {
    for n in numbers {
        writer.write(picture(n)).unwrap();
    }
}

/// Everything there is now, as picture numbers; gaps and track changes are checked by who asks.
fn drain(subscription: &mut Subscription) -> (Vec<i64>, u64, usize) {
    let mut items = Vec::new();
    subscription.read_now(&mut items);
    let (mut numbers, mut lost, mut announced) = (Vec::new(), 0, 0);
    for item in items {
        match item {
            Item::Tracks(_) => announced += 1,
            Item::Frame(frame) => numbers.push(number(&frame)),
            Item::Gap { skipped } => lost += skipped,
        }
    }
    (numbers, lost, announced)
}

#[tokio::test(start_paused = true)]
async fn a_late_viewer_starts_with_the_newest_key_frame() {
    let hub = hub();
    let mut writer = hub.publish(id()).unwrap();
    writer.set_tracks(vec![video(1280), audio()]);
    write(&mut writer, 0..60);
    let mut viewer = hub.open(&id()).await.unwrap().subscribe();
    assert_eq!(drain(&mut viewer), ((50..60).collect(), 0, 1));
    write(&mut writer, 60..63);
    assert_eq!(drain(&mut viewer), ((60..63).collect(), 0, 0));
}

#[tokio::test(start_paused = true)]
async fn frames_before_the_first_key_frame_are_nobodys() {
    let hub = hub();
    let mut writer = hub.publish(id()).unwrap();
    writer.set_tracks(vec![video(1280)]);
    write(&mut writer, 7..30);
    let mut viewer = hub.open(&id()).await.unwrap().subscribe();
    assert_eq!(drain(&mut viewer).0, (25..30).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn t10_a_slow_viewer_skips_to_a_key_frame_and_costs_nobody_anything() {
    let hub = hub();
    let mut writer = hub.publish(id()).unwrap();
    writer.set_tracks(vec![video(1280)]);
    write(&mut writer, 0..1);
    let mut slow = hub.open(&id()).await.unwrap().subscribe();
    let mut fast = hub.open(&id()).await.unwrap().subscribe();
    assert_eq!(drain(&mut slow).0, [0]);
    let mut seen = drain(&mut fast).0;
    for n in 1..500 {
        write(&mut writer, n..n + 1);
        seen.extend(drain(&mut fast).0);
    }
    assert_eq!(seen, (0..500).collect::<Vec<_>>());
    let (numbers, lost, _) = drain(&mut slow);
    assert_eq!(numbers, (475..500).collect::<Vec<_>>());
    assert_eq!(lost, 474);
    assert_eq!(fast.stream().gaps(), 474);
}

#[tokio::test(start_paused = true)]
async fn changed_tracks_are_told_before_the_key_frame_that_needs_them() {
    let hub = hub();
    let mut writer = hub.publish(id()).unwrap();
    writer.set_tracks(vec![video(1280)]);
    write(&mut writer, 0..25);
    let mut viewer = hub.open(&id()).await.unwrap().subscribe();
    drain(&mut viewer);
    writer.set_tracks(vec![video(1280)]);
    write(&mut writer, 25..50);
    assert_eq!(drain(&mut viewer).2, 0, "equal tracks are no news");
    writer.set_tracks(vec![video(640)]);
    write(&mut writer, 50..52);
    let mut items = Vec::new();
    viewer.read_now(&mut items);
    assert!(matches!(&items[0], Item::Tracks(tracks) if tracks[0] == video(640)));
    assert!(matches!(&items[1], Item::Frame(frame) if number(frame) == 50));
}

#[tokio::test(start_paused = true)]
async fn t12_a_camera_clock_that_jumps_back_does_not_run_the_stream_back() {
    let hub = hub();
    let mut writer = hub.publish(id()).unwrap();
    writer.set_tracks(vec![video(1280)]);
    for n in (1000..1050).chain(0..50) {
        writer.write(picture(n)).unwrap();
    }
    let mut viewer = hub.open(&id()).await.unwrap().subscribe();
    let mut items = Vec::new();
    viewer.read_now(&mut items);
    let times: Vec<i64> =
        items.iter().filter_map(|i| if let Item::Frame(f) = i { Some(f.dts.0) } else { None }).collect();
    assert!(times.windows(2).all(|w| w[0] < w[1]), "{times:?}");
    assert!(*times.last().unwrap() < 100 * 3600 + 90_000);
}

/// A source that writes `fps` pictures a second while it is watched.
fn on_demand(hub: &Hub) -> (media::Registration, mpsc::UnboundedReceiver<&'static str>) {
    let (starts, mut requests) = mpsc::channel::<StartRequest>(1);
    let (log, events) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(StartRequest { mut writer }) = requests.recv().await {
            log.send("start").unwrap();
            let unwatched = writer.unwatched();
            tokio::pin!(unwatched);
            writer.set_tracks(vec![video(1280)]);
            for n in 0.. {
                tokio::select! {
                    biased;
                    () = &mut unwatched => break,
                    () = sleep(Duration::from_millis(40)) => writer.write(picture(n)).unwrap(),
                }
            }
            log.send("stop").unwrap();
        }
    });
    (hub.register(id(), starts), events)
}

#[tokio::test(start_paused = true)]
async fn a_source_runs_while_somebody_watches_and_lingers_after() {
    let hub = hub();
    let (_registration, mut events) = on_demand(&hub);
    assert!(!hub.is_live(&id()));
    let first = hub.open(&id()).await.unwrap();
    assert_eq!(events.recv().await, Some("start"));
    let left = Instant::now();
    drop(first);
    sleep(Duration::from_secs(4)).await;
    let second = hub.open(&id()).await.unwrap();
    assert!(events.try_recv().is_err(), "a viewer within the linger time finds it running");
    drop(second);
    assert_eq!(events.recv().await, Some("stop"));
    assert!(left.elapsed() >= Duration::from_secs(9) && left.elapsed() < Duration::from_secs(10));
    let _third = hub.open(&id()).await.unwrap();
    assert_eq!(events.recv().await, Some("start"));
}

#[tokio::test(start_paused = true)]
async fn a_failed_start_names_its_step_and_does_not_poison_the_next() {
    let hub = hub();
    let (starts, mut requests) = mpsc::channel::<StartRequest>(1);
    let _registration = hub.register(id(), starts);
    let opening = tokio::spawn({
        let hub = hub.clone();
        async move { hub.open(&id()).await.map(|_| ()) }
    });
    requests.recv().await.unwrap().writer.fail("auth", "password wrong");
    match opening.await.unwrap() {
        Err(OpenError::Failed(end)) => assert_eq!((end.step, end.cause.as_str()), ("auth", "password wrong")),
        other => panic!("{other:?}"),
    }
    let opening = tokio::spawn({
        let hub = hub.clone();
        async move { hub.open(&id()).await.map(|_| ()) }
    });
    let mut writer = requests.recv().await.unwrap().writer;
    writer.set_tracks(vec![video(1280)]);
    write(&mut writer, 0..1);
    assert_eq!(opening.await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_source_without_a_key_frame_is_given_up_in_time() {
    let hub = hub();
    let (starts, mut requests) = mpsc::channel::<StartRequest>(1);
    let _registration = hub.register(id(), starts);
    let began = Instant::now();
    assert_eq!(hub.open(&id()).await.map(|_| ()), Err(OpenError::Timeout));
    assert_eq!(began.elapsed(), Duration::from_secs(10));
    drop(requests.recv().await.unwrap());
    assert_eq!(hub.open(&StreamId::new("unknown")).await.map(|_| ()), Err(OpenError::NotFound));
}

#[tokio::test(start_paused = true)]
async fn a_viewer_reads_to_the_end_and_then_hears_why() {
    let hub = hub();
    let mut writer = hub.publish(id()).unwrap();
    writer.set_tracks(vec![video(1280)]);
    write(&mut writer, 0..3);
    let mut viewer = hub.open(&id()).await.unwrap().subscribe();
    writer.fail("media", "the camera went away");
    let mut items = Vec::new();
    viewer.read(&mut items).await.unwrap();
    assert_eq!(items.len(), 4);
    assert_eq!(viewer.read(&mut items).await.unwrap_err().0.step, "media");
    assert!(!hub.is_live(&id()));
}

#[tokio::test(start_paused = true)]
async fn one_publisher_a_stream_and_the_next_after_it() {
    let hub = hub();
    let writer = hub.publish(id()).unwrap();
    assert!(hub.publish(id()).is_err());
    drop(writer);
    assert!(hub.publish(id()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn sound_alone_can_be_started_anywhere() {
    let hub = hub();
    let mut writer = hub.publish(id()).unwrap();
    writer.set_tracks(vec![audio()]);
    for n in 0..10 {
        writer.write(Frame { track: TrackId::AUDIO, dts: Ticks(n * 160), key: true, ..picture(n) }).unwrap();
    }
    let mut viewer = hub.open(&id()).await.unwrap().subscribe();
    assert_eq!(drain(&mut viewer).0, [9]);
}

#[tokio::test]
async fn a_stream_is_awaited_by_those_who_want_each_frame_at_once() {
    let hub = Hub::new(HubSettings::default());
    let mut writer = hub.publish(StreamId::new("cam")).unwrap();
    writer.set_tracks(vec![video(640)]);
    writer.write(picture(0)).unwrap();
    let stream = writer.stream().clone();
    assert!(!stream.is_awaited());
    let recorder = hub.open(stream.id()).await.unwrap().patient();
    assert!(!stream.is_awaited() && stream.viewers() == 1);
    let (viewer, other_recorder) = (hub.open(stream.id()).await.unwrap(), recorder.clone());
    assert!(stream.is_awaited() && stream.viewers() == 3);
    drop(recorder);
    assert!(stream.is_awaited());
    drop(viewer);
    assert!(!stream.is_awaited() && stream.viewers() == 1);
    drop(other_recorder.patient());
    assert!(!stream.is_awaited() && stream.viewers() == 0);
}
