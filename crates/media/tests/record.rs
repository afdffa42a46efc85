//! Recorders on simulated cameras and archives, under a paused clock.
#![allow(clippy::unwrap_used)]

mod sim;

use std::sync::Arc;
use std::time::Duration;

use av::Frame;
use media::{End, Hub, HubSettings, Recorder, RecorderState, RecorderStatus, SegmentSettings, StreamId, StreamWriter};
use sim::{Camera, Kept, MemoryArchive, PICTURE, START, Trouble, pictures};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

const SETTINGS: SegmentSettings =
    SegmentSettings { part: Duration::from_secs(1), segment: Duration::from_secs(10), offset: Duration::ZERO };

/// A camera, its recorder, and their archive.
struct World {
    archive: MemoryArchive,
    status: watch::Receiver<RecorderStatus>,
    stop: CancellationToken,
    began: Instant,
    camera: JoinHandle<StreamWriter>,
    recorder: JoinHandle<Option<End>>,
}

impl World {
    /// The camera sends so many pictures in their time, and then keeps still.
    async fn new(camera: Camera, count: i64) -> World {
        let hub = Hub::new(HubSettings::default());
        let id = StreamId::new("ABCDEFGH1_1_1");
        let mut writer = hub.publish(id.clone()).unwrap();
        let began = Instant::now();
        let sending = tokio::spawn(async move {
            writer.set_tracks(camera.tracks.clone());
            for (at, frame) in camera.frames(0, count) {
                sleep_until(began + Duration::from_micros(at as u64)).await;
                writer.write(frame).unwrap();
            }
            writer
        });
        let archive = MemoryArchive::new();
        let (sender, status) = watch::channel(RecorderStatus::default());
        let stop = CancellationToken::new();
        let subscription = hub.open(&id).await.unwrap().subscribe();
        let run = Recorder::run(subscription, Arc::new(archive.clone()), SETTINGS, sender, stop.clone());
        World { archive, status, stop, began, camera: sending, recorder: tokio::spawn(run) }
    }

    /// Waits for a moment of the stream.
    async fn at(&self, second: u64) {
        sleep_until(self.began + Duration::from_secs(second)).await;
    }

    async fn until(&mut self, what: impl FnMut(&RecorderStatus) -> bool) -> RecorderStatus {
        timeout(Duration::from_secs(60), self.status.wait_for(what)).await.unwrap().unwrap().clone()
    }

    /// Lets the camera send the rest and the recorder finish.
    async fn finish(self) -> (Vec<Kept>, RecorderStatus) {
        drop(self.camera.await.unwrap());
        assert_eq!(self.recorder.await.unwrap().unwrap().step, "end");
        (self.archive.kept(), self.status.borrow().clone())
    }
}

fn frames(kept: &[Kept]) -> Vec<Frame> {
    kept.iter().flat_map(|segment| segment.read().1).collect()
}

/// Pictures that were sent and are not kept; each kept once, in order.
fn missing(kept: &[Kept], count: i64) -> Vec<i64> {
    let kept = pictures(&frames(kept));
    assert!(kept.is_sorted() && kept.windows(2).all(|pair| pair[0] != pair[1]), "{kept:?}");
    (0..count).filter(|number| kept.binary_search(number).is_err()).collect()
}

#[tokio::test(start_paused = true)]
async fn every_frame_is_kept_over_rotations_and_to_the_end() {
    let world = World::new(Camera { jitter_us: 30_000, ..Camera::default() }, 25 * 35 + 10).await;
    let (kept, status) = world.finish().await;
    assert_eq!(missing(&kept, 25 * 35 + 10), []);
    assert_eq!(kept.len(), 4);
    assert!(kept.iter().all(|segment| segment.committed));
    assert_eq!(status.state, RecorderState::Waiting, "for another stream");
    assert_eq!((status.lost_ms, status.parts), (0, kept.iter().map(|segment| segment.parts.len() as u64).sum()));
    assert_eq!(status.bytes, kept.iter().flat_map(|s| &s.parts).map(|part| part.data.len() as u64).sum());
}

#[tokio::test(start_paused = true)]
async fn who_is_stopped_commits_what_there_is() {
    let world = World::new(Camera::default(), 1000).await;
    world.at(13).await;
    world.stop.cancel();
    assert_eq!(world.recorder.await.unwrap(), None);
    let kept = world.archive.kept();
    assert!(kept.len() == 2 && kept.iter().all(|segment| segment.committed));
    assert!(missing(&kept, 13 * 25).is_empty());
}

#[tokio::test(start_paused = true)]
async fn waiting_tells_from_recording() {
    let mut world = World::new(Camera { gop: 1000, ..Camera::default() }, 100).await;
    let status = world.until(|status| status.state == RecorderState::Recording).await;
    assert_eq!(status.since.0, START);
}

#[tokio::test(start_paused = true)]
async fn a_slow_archive_costs_the_stream_nothing_while_the_ring_lasts() {
    let world = World::new(Camera::default(), 25 * 60).await;
    world.archive.set(Trouble::Slow(Duration::from_millis(900)));
    let (kept, status) = world.finish().await;
    assert_eq!(missing(&kept, 25 * 60), []);
    assert_eq!(status.lost_ms, 0);
}

#[tokio::test(start_paused = true)]
async fn what_leaves_the_ring_meanwhile_is_lost_counted_and_ends_the_segment() {
    let world = World::new(Camera::default(), 25 * 60).await;
    world.at(5).await;
    world.archive.set(Trouble::Slow(Duration::from_secs(12)));
    world.at(6).await;
    world.archive.set(Trouble::None);
    let (kept, status) = world.finish().await;
    let missing = missing(&kept, 25 * 60);
    assert!(missing.len() > 25 * 5 && missing.len() < 25 * 15, "{}", missing.len());
    assert_eq!(status.lost_ms, missing.len() as u64 * 40);
    assert_eq!(missing.len() as i64 - 1, missing[missing.len() - 1] - missing[0], "one hole");
    let hole = kept.windows(2).find(|pair| pair[0].to() != pair[1].from()).unwrap();
    assert_eq!(hole[1].from() - hole[0].to(), missing.len() as i64 * PICTURE);
}

#[tokio::test(start_paused = true)]
async fn t4_a_full_archive_pauses_and_resumes_within_ten_seconds() {
    for trouble in [Trouble::Full, Trouble::Gone] {
        let mut world = World::new(Camera { gop: 100, ..Camera::default() }, 25 * 90).await;
        world.at(15).await;
        world.archive.set(trouble);
        let paused = world.until(|status| matches!(status.state, RecorderState::Paused { .. })).await;
        assert!((paused.since.0 - START) / 1_000_000 <= 17);
        world.at(50).await;
        assert!((33_000..36_000).contains(&world.status.borrow().lost_ms), "{:?}", world.status.borrow());
        world.archive.set(Trouble::None);
        world.until(|status| status.state == RecorderState::Recording).await;
        assert!(world.began.elapsed() <= Duration::from_secs(60));
        let (kept, status) = world.finish().await;
        let missing = missing(&kept, 25 * 90);
        assert_eq!(missing.len() as i64 - 1, missing[missing.len() - 1] - missing[0], "one hole");
        assert_eq!(status.lost_ms, missing.len() as u64 * 40);
        assert!(kept.iter().all(|segment| segment.committed), "what was written before is committed too");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_commit_does_not_hold_up_the_next_segment() {
    let world = World::new(Camera::default(), 25 * 45).await;
    world.archive.set(Trouble::SlowCommit(Duration::from_secs(9)));
    let (kept, status) = world.finish().await;
    assert_eq!(missing(&kept, 25 * 45), []);
    assert!(kept.iter().all(|segment| segment.committed));
    assert_eq!(status.lost_ms, 0);
}
