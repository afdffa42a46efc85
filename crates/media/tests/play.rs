//! Footage played under a paused clock.
#![allow(clippy::unwrap_used)]

mod sim;

use std::sync::Arc;
use std::time::Duration;

use av::{Frame, Ticks, TrackId, UnixMicros};
use media::{FootageError, Item, Player, SegmentSettings, Segmenter, Speed};
use sim::{
    Camera, Clip, HOUR, MemoryArchive, PICTURE, Random, SECOND, START, aac, frames_of, number, of_track, pictures,
    video,
};
use tokio::time::{Instant, sleep, timeout};

/// How far playback may run ahead of the clock.
const LEAD: i64 = SECOND;

/// What was delivered, and when: microseconds since the viewer came.
struct Viewer {
    player: Player,
    came: Instant,
    items: Vec<Item>,
    /// Of each frame delivered.
    times: Vec<i64>,
    over: bool,
}

impl Viewer {
    fn new(clip: Clip, speed: Speed) -> Viewer {
        let player = Player::new(Box::new(clip), speed);
        Viewer { player, came: Instant::now(), items: Vec::new(), times: Vec::new(), over: false }
    }

    fn now(&self) -> i64 {
        self.came.elapsed().as_micros() as i64
    }

    async fn read(&mut self) {
        let before = self.items.len();
        self.over = !self.player.read(&mut self.items).await.unwrap();
        let frames = self.items[before..].iter().filter(|item| matches!(item, Item::Frame(_))).count();
        self.times.resize(self.times.len() + frames, self.now());
    }

    /// Watches for a while.
    async fn watch(&mut self, time: Duration) {
        // An error is the end of that while.
        let _ = timeout(time, async {
            while !self.over {
                self.read().await;
            }
            std::future::pending::<()>().await;
        })
        .await;
    }

    async fn watch_all(&mut self) {
        timeout(Duration::from_secs(24 * 3600), async {
            while !self.over {
                self.read().await;
            }
        })
        .await
        .unwrap();
    }

    fn frames(&self) -> Vec<Frame> {
        frames_of(&self.items)
    }

    fn take(&mut self) -> (Vec<Frame>, Vec<i64>) {
        (frames_of(&std::mem::take(&mut self.items)), std::mem::take(&mut self.times))
    }
}

fn micros(frame: &Frame) -> i64 {
    let rate = if frame.track == TrackId::VIDEO { 90_000 } else { 16_000 };
    frame.dts.rescale(rate, 1_000_000).0
}

/// Timestamps rise within each track and begin at 0.
fn assert_one_timeline(frames: &[Frame]) {
    assert_eq!(frames.iter().map(|frame| frame.dts.0).min(), Some(0));
    for track in [TrackId::VIDEO, TrackId::AUDIO] {
        let frames = of_track(frames, track);
        for pair in frames.windows(2) {
            assert!(pair[0].dts < pair[1].dts, "{:?} after {:?}", pair[1].dts, pair[0].dts);
        }
    }
}

/// Nothing is delivered long before or after it is due, when playback began at 0.
fn assert_paced(frames: &[Frame], times: &[i64]) {
    for (frame, time) in frames.iter().zip(times) {
        let early = micros(frame) - time;
        assert!((-SECOND..=LEAD + 1000).contains(&early), "{early} µs early");
    }
}

fn clip(camera: &Camera, seconds: i64) -> Clip {
    Clip::new(camera.items(0, seconds * 25))
}

#[tokio::test(start_paused = true)]
async fn at_its_own_speed_footage_plays_as_it_was_recorded() {
    let camera = Camera { jitter_us: 100_000, ..Camera::default() };
    let sent = frames_of(&camera.items(0, 500));
    let mut viewer = Viewer::new(clip(&camera, 20), Speed::Times(1.0));
    viewer.watch_all().await;
    assert!((viewer.now() - 20 * SECOND).abs() <= 50_000, "{}", viewer.now());
    let (frames, times) = viewer.take();
    assert_one_timeline(&frames);
    assert_paced(&frames, &times);
    assert_eq!(frames, sent);
    assert_eq!(viewer.player.position(), frames.last().unwrap().wall);
}

#[tokio::test(start_paused = true)]
async fn the_first_second_comes_at_once() {
    let mut viewer = Viewer::new(clip(&Camera::default(), 20), Speed::Times(1.0));
    viewer.watch(Duration::from_millis(1)).await;
    assert_eq!(pictures(&viewer.frames()), (0..=25).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn faster_and_slower_have_all_pictures_and_no_sound() {
    for speed in [0.5, 2.0, 4.0] {
        let mut viewer = Viewer::new(clip(&Camera::default(), 20), Speed::Times(speed));
        viewer.watch_all().await;
        let length = (20.0 / f64::from(speed) * 1e6) as i64;
        assert!((viewer.now() - length).abs() <= 100_000, "{}", viewer.now());
        assert!(matches!(&viewer.items[0], Item::Tracks(tracks) if **tracks == [video()]), "{:?}", viewer.items[0]);
        let (frames, times) = viewer.take();
        assert_one_timeline(&frames);
        assert_paced(&frames, &times);
        assert_eq!(pictures(&frames), (0..500).collect::<Vec<_>>());
        assert!(frames.iter().all(|frame| frame.track == TrackId::VIDEO));
        let picture = (PICTURE as f32 / speed) as i64;
        assert_eq!(micros(&frames[100]), 100 * picture);
        assert_eq!(i64::from(frames[100].cts) * 100 / 9, picture, "{}", frames[100].cts);
    }
}

#[tokio::test(start_paused = true)]
async fn at_8_and_16_times_key_frames_are_all() {
    for speed in [8.0, 16.0] {
        let clip = clip(&Camera::default(), 400);
        let told = clip.told.clone();
        let mut viewer = Viewer::new(clip, Speed::Times(speed));
        viewer.watch_all().await;
        assert_eq!(*told.lock().unwrap(), [(speed, true)]);
        let (frames, times) = viewer.take();
        assert_paced(&frames, &times);
        assert_eq!(pictures(&frames), (0..10_000).step_by(50).collect::<Vec<_>>());
        assert_eq!(micros(&frames[10]), (20.0 / speed * 1e6) as i64);
    }
}

#[tokio::test(start_paused = true)]
async fn as_fast_as_it_is_taken_it_is_untouched() {
    let items = Camera::default().items(700, 2000);
    let sent = frames_of(&items);
    let mut viewer = Viewer::new(Clip::new(items), Speed::Fastest);
    viewer.watch_all().await;
    assert_eq!(viewer.now(), 0);
    assert_eq!(viewer.frames(), sent);
}

#[tokio::test(start_paused = true)]
async fn sound_alone_plays_at_its_own_speed() {
    let camera = Camera { tracks: vec![aac()], ..Camera::default() };
    for speed in [1.0, 4.0] {
        let mut viewer = Viewer::new(clip(&camera, 10), Speed::Times(speed));
        viewer.watch_all().await;
        assert!((viewer.now() - 10 * SECOND).abs() < 100_000);
        assert_eq!(viewer.frames(), frames_of(&camera.items(0, 250)));
    }
}

#[tokio::test(start_paused = true)]
async fn gaps_are_skipped_and_timestamps_go_on() {
    let camera = Camera::default();
    // Recorded an hour later, by a stream that began anew; after a pause within it; after the wall clock
    // was set back.
    let later = Camera { wall: |at| START + HOUR + at, ..camera.clone() };
    let back = Camera { wall: |at| START - HOUR + at, ..camera.clone() };
    let items = [
        camera.items(0, 100),
        later.items(0, 100),
        later.items(1000, 1100),
        back.items(1100, 1200),
        // The clock alone jumps, the picture goes on.
        back.items(50, 100),
    ]
    .concat();
    for speed in [1.0, 4.0] {
        let mut viewer = Viewer::new(Clip::new(items.clone()), Speed::Times(speed));
        viewer.watch_all().await;
        assert_eq!(viewer.items.iter().filter(|item| matches!(item, Item::Tracks(_))).count(), 1);
        let (frames, times) = viewer.take();
        assert_one_timeline(&frames);
        assert_paced(&frames, &times);
        let seen = of_track(&frames, TrackId::VIDEO);
        let sent = of_track(&frames_of(&items), TrackId::VIDEO);
        assert!(seen.iter().map(|frame| (number(frame), frame.wall)).eq(sent.iter().map(|f| (number(f), f.wall))));
        let longest = seen.windows(2).map(|pair| micros(&pair[1]) - micros(&pair[0])).max();
        assert!(longest <= Some(100_000), "{longest:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn new_parameters_are_told_before_their_frames() {
    let camera = Camera::default();
    let other = Camera { tracks: vec![sim::other_video(), aac()], ..camera.clone() };
    let items = [camera.items(0, 100), other.items(100, 200), other.items(200, 250)].concat();
    let mut viewer = Viewer::new(Clip::new(items), Speed::Times(1.0));
    viewer.watch_all().await;
    assert_eq!(pictures(&viewer.frames()), (0..250).collect::<Vec<_>>());
    let told: Vec<usize> = (0..viewer.items.len()).filter(|&at| matches!(viewer.items[at], Item::Tracks(_))).collect();
    assert_eq!(told.len(), 2);
    assert_eq!(frames_of(&viewer.items[told[1]..])[0].dts, camera.frames(100, 101)[0].1.dts);
}

/// The moment of a picture.
fn moment(picture: i64) -> UnixMicros {
    UnixMicros(START + picture * PICTURE)
}

#[tokio::test(start_paused = true)]
async fn a_seek_shows_the_picture_asked_for_at_once() {
    let mut viewer = Viewer::new(clip(&Camera::default(), 400), Speed::Times(1.0));
    viewer.watch(Duration::from_secs(10)).await;
    let (before, _) = viewer.take();
    // The last one counts.
    viewer.player.seek(moment(1234));
    viewer.player.seek(moment(8040));
    let asked = viewer.now();
    viewer.watch(Duration::from_millis(1)).await;
    let (frames, _) = viewer.take();
    assert_eq!(pictures(&frames), (8000..=8065).collect::<Vec<_>>());
    let shown = of_track(&frames, TrackId::VIDEO);
    let end = micros(before.last().unwrap());
    assert!(micros(&shown[0]) - end <= 80_000);
    assert_eq!(micros(&shown[40]) - micros(&shown[0]), 40 * PICTURE / 16, "the way there is short");
    assert!(shown[..=40].windows(2).all(|pair| micros(&pair[1]) - micros(&pair[0]) >= 1000), "also in milliseconds");
    assert_eq!(micros(&shown[65]) - micros(&shown[40]), 25 * PICTURE);
    let sound = of_track(&frames, TrackId::AUDIO);
    assert!(sound[0].wall >= moment(8040) && sound[0].wall < moment(8043));
    assert!((micros(&sound[0]) - micros(&shown[40]) - (sound[0].wall.0 - moment(8040).0)).abs() < 100);

    viewer.watch_all().await;
    assert!((viewer.now() - asked - (10_000 - 8040) * PICTURE).abs() < 100_000);
    let rest = viewer.frames();
    let all = [before, frames, rest].concat();
    assert_one_timeline(&all);
    // And back, from the end.
    viewer.take();
    viewer.over = false;
    viewer.player.seek(moment(0));
    viewer.watch_all().await;
    assert_eq!(pictures(&viewer.frames()), (0..10_000).collect::<Vec<_>>());
    assert_one_timeline(&[all, viewer.frames()].concat());
}

#[tokio::test(start_paused = true)]
async fn seeks_into_and_beyond_gaps() {
    let camera = Camera::default();
    let later = Camera { wall: |at| START + HOUR + at, ..camera.clone() };
    let mut viewer = Viewer::new(Clip::new([camera.items(0, 100), later.items(0, 100)].concat()), Speed::Times(1.0));
    viewer.player.seek(UnixMicros(START + HOUR / 2));
    viewer.watch(Duration::from_millis(1)).await;
    // On the way there is the end of what was before.
    let shown = pictures(&viewer.frames());
    assert_eq!(shown[50..], (0..=25).collect::<Vec<_>>());
    viewer.take();
    viewer.player.seek(UnixMicros(START + 2 * HOUR));
    assert_eq!(viewer.player.read(&mut viewer.items).await, Err(FootageError::Empty));
    assert_eq!(viewer.player.read(&mut viewer.items).await, Err(FootageError::Empty));
    viewer.player.seek(UnixMicros(START + HOUR));
    viewer.watch_all().await;
    assert_eq!(pictures(&viewer.frames()), (0..100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_pause_stops_the_clock() {
    let mut viewer = Viewer::new(clip(&Camera::default(), 20), Speed::Times(1.0));
    viewer.watch(Duration::from_secs(5)).await;
    viewer.player.pause();
    let seen = viewer.frames().len();
    viewer.watch(Duration::from_secs(3600)).await;
    assert_eq!(viewer.frames().len(), seen);
    viewer.player.resume();
    viewer.watch_all().await;
    assert!((viewer.now() - 3620 * SECOND).abs() < 100_000, "{}", viewer.now());
    let (frames, mut times) = viewer.take();
    assert_eq!(frames, frames_of(&Camera::default().items(0, 500)));
    times[seen..].iter_mut().for_each(|time| *time -= 3600 * SECOND);
    assert_paced(&frames, &times);
}

#[tokio::test(start_paused = true)]
async fn who_paused_sees_what_is_sought() {
    let mut viewer = Viewer::new(clip(&Camera::default(), 20), Speed::Times(1.0));
    viewer.watch(Duration::from_secs(2)).await;
    viewer.player.pause();
    viewer.take();
    viewer.player.seek(moment(320));
    viewer.watch(Duration::from_secs(60)).await;
    assert_eq!(pictures(&viewer.take().0), (300..=320).collect::<Vec<_>>());
    viewer.player.resume();
    let resumed = viewer.now();
    viewer.watch_all().await;
    assert_eq!(pictures(&viewer.frames()), (321..500).collect::<Vec<_>>());
    assert!((viewer.now() - resumed - 180 * PICTURE).abs() < 100_000);
}

#[tokio::test(start_paused = true)]
async fn speed_can_change_at_any_time() {
    let clip = clip(&Camera::default(), 400);
    let told = clip.told.clone();
    let mut viewer = Viewer::new(clip, Speed::Times(1.0));
    let mut all = Vec::new();
    let mut last = 0;
    for (speed, has_sound) in [(16.0, false), (1.0, true), (4.0, false), (0.5, false), (1.0, true)] {
        viewer.player.set_speed(Speed::Times(speed));
        viewer.watch(Duration::from_secs(5)).await;
        let (frames, _) = viewer.take();
        let seen = pictures(&frames);
        assert!((last - 50..=last + 50).contains(&seen[0]), "{} after {last}", seen[0]);
        assert_eq!(frames.iter().any(|frame| frame.track == TrackId::AUDIO), has_sound);
        assert!(speed > 4.0 || (seen[0]..=*seen.last().unwrap()).eq(seen.iter().copied()));
        last = *seen.last().unwrap();
        all.extend(frames);
    }
    assert_one_timeline(&all);
    assert_eq!(told.lock().unwrap().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn who_was_away_is_not_flooded() {
    let mut viewer = Viewer::new(clip(&Camera::default(), 60), Speed::Times(1.0));
    viewer.watch(Duration::from_secs(5)).await;
    let seen = pictures(&viewer.take().0).len();
    sleep(Duration::from_secs(30)).await;
    viewer.watch(Duration::from_millis(100)).await;
    let (frames, _) = viewer.take();
    assert!(pictures(&frames).len() <= 30, "{}", pictures(&frames).len());
    viewer.watch_all().await;
    assert_eq!(seen + pictures(&frames).len() + pictures(&viewer.frames()).len(), 1500);
    assert!(viewer.now() > 88 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn slow_footage_is_played_as_it_comes() {
    // Each read takes half a second and gives a third of one.
    let clip = clip(&Camera::default(), 10).delayed(Duration::from_millis(500));
    let mut viewer = Viewer::new(clip, Speed::Times(1.0));
    viewer.watch_all().await;
    assert_eq!(viewer.frames(), frames_of(&Camera::default().items(0, 250)));
}

#[tokio::test(start_paused = true)]
async fn reads_can_be_cancelled_anywhere() {
    let clip = clip(&Camera::default(), 10).delayed(Duration::from_millis(3));
    let mut viewer = Viewer::new(clip, Speed::Times(1.0));
    while !viewer.over {
        viewer.watch(Duration::from_millis(7)).await;
    }
    assert_eq!(viewer.frames(), frames_of(&Camera::default().items(0, 250)));
}

#[tokio::test(start_paused = true)]
async fn what_was_recorded_is_what_is_played() {
    let settings = SegmentSettings { segment: Duration::from_secs(10), ..SegmentSettings::default() };
    let mut segmenter = Segmenter::new(settings);
    let archive = MemoryArchive::new();
    let camera = Camera { jitter_us: 200_000, ..Camera::default() };
    let mut items = camera.items(0, 1000);
    items.push(Item::Gap { skipped: 500 });
    items.extend(camera.items(1500, 2000));
    for item in items {
        segmenter.push(item).for_each(|cut| archive.keep(cut));
    }
    segmenter.finish().for_each(|cut| archive.keep(cut));
    for speed in [1.0, 4.0] {
        let mut viewer = Viewer::new(Clip::of(&archive), Speed::Times(speed));
        viewer.watch_all().await;
        let (frames, times) = viewer.take();
        assert_one_timeline(&frames);
        assert_paced(&frames, &times);
        assert_eq!(pictures(&frames), (0..1000).chain(1500..2000).collect::<Vec<_>>());
        assert!((micros(frames.last().unwrap()) as f64 - 1500.0 * PICTURE as f64 / f64::from(speed)).abs() < 1e5);
    }
}

#[tokio::test(start_paused = true)]
async fn tracks_that_count_from_different_zeros_do_not_stall() {
    let mut items = Camera::default().items(0, 250);
    for item in &mut items {
        if let Item::Frame(frame) = item
            && frame.track == TrackId::AUDIO
        {
            *frame = Arc::new(Frame { dts: Ticks(frame.dts.0 + (1 << 40)), ..(**frame).clone() });
        }
    }
    let mut viewer = Viewer::new(Clip::new(items.clone()), Speed::Times(1.0));
    viewer.watch_all().await;
    assert_eq!(viewer.frames().len(), frames_of(&items).len());
    assert_one_timeline(&viewer.frames());
    assert!(viewer.now() < 60 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn any_timestamps_play_to_the_end() {
    let mut random = Random(7);
    for round in 0..200 {
        let mut items = Camera::default().items(0, 50);
        for item in &mut items {
            if let Item::Frame(frame) = item
                && random.below(4) == 0
            {
                let mut any = || random.below(u64::MAX) as i64 >> random.below(64);
                *frame = Arc::new(Frame { dts: Ticks(any()), wall: UnixMicros(any()), ..(**frame).clone() });
            }
        }
        let speed = [Speed::Times(1.0), Speed::Times(16.0), Speed::Times(f32::NAN), Speed::Fastest][round % 4];
        let mut viewer = Viewer::new(Clip::new(items), speed);
        viewer.player.seek(moment(30));
        viewer.watch_all().await;
        if speed != Speed::Fastest {
            assert_one_timeline(&viewer.frames());
        }
    }
}
