//! Footage in and footage out, with a disk that fills, a database that is locked, and a crash behind every
//! step.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use ::device::ChannelNo;
use ::store::{MetaStore, RecorderRow, RecordingRow, Shelf};
use av::codec::h264;
use av::{CodecParameters, Frame, Ticks, Track, TrackId, UnixMicros};
use bytes::Bytes;
use media::{Archive, ArchiveError, Cut, Footage, FootageError, Item, OpenSegment, SegmentSettings, Segmenter};
use proptest::prelude::*;
use tempfile::TempDir;

use super::check::{Check, Checked, Fault, FaultKind, check};
use super::footage::ArchiveFootage;
use super::spool::{ChannelArchive, Step};
use super::{Archives, RecordSettings, Space};
use crate::{Clock, Storage, UnixMillis};

/// An hour begins.
const START: i64 = 1_795_478_400_000;
const FPS: i64 = 25;
const ALL: (UnixMillis, UnixMillis) = (UnixMillis(0), UnixMillis(i64::MAX / 1000));

/// Waits until something holds, which it does soon or never.
async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let waited = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(30), waited).await.is_ok(), "never: {what}");
}

fn shelf(serial: &str) -> Shelf {
    super::shelf(serial, ChannelNo(1), Storage::Cloud)
}

/// A second after [`START`].
fn at(seconds: i64) -> UnixMillis {
    UnixMillis(START + seconds * 1000)
}

fn micros(seconds: f64) -> UnixMicros {
    UnixMicros(START * 1000 + (seconds * 1e6) as i64)
}

fn video() -> Vec<Track> {
    let sps = hex::decode("6742c028da01e0089f97011000").unwrap();
    let parameters = h264::parameters(sps.into(), Bytes::from_static(&[0x68, 0b1110_0000])).unwrap();
    vec![Track { id: TrackId::VIDEO, codec: CodecParameters::H264(parameters), clock_rate: 90_000 }]
}

/// Picture `n` of a camera with a key frame a second; its number is what it shows.
fn picture(n: i64) -> Frame {
    let data = [&12u32.to_be_bytes()[..], &[if n % FPS == 0 { 0x65 } else { 0x41 }; 4], &n.to_be_bytes()].concat();
    Frame {
        track: TrackId::VIDEO,
        dts: Ticks(n * 3600),
        cts: 0,
        wall: UnixMicros(START * 1000 + n * 40_000),
        key: n % FPS == 0,
        data: data.into(),
    }
}

fn number(frame: &Frame) -> i64 {
    i64::from_be_bytes(*frame.data.last_chunk().unwrap())
}

struct World {
    folder: TempDir,
    now: Arc<AtomicI64>,
    free: Arc<AtomicU64>,
    store: MetaStore,
    archives: Arc<Archives>,
}

fn settings(free: &Arc<AtomicU64>) -> RecordSettings {
    let free = free.clone();
    RecordSettings {
        segment: Duration::from_secs(4),
        sync: Duration::from_millis(20),
        free_min: 1000,
        keep_min: Duration::from_secs(60),
        space: Space::of(move |_| Ok(free.load(Ordering::SeqCst))),
        ..RecordSettings::default()
    }
}

impl World {
    async fn new() -> World {
        World::open(TempDir::new().unwrap()).await
    }

    async fn open(folder: TempDir) -> World {
        let free = Arc::new(AtomicU64::new(u64::MAX));
        let settings = settings(&free);
        World::open_with(folder, free, settings).await
    }

    async fn open_with(folder: TempDir, free: Arc<AtomicU64>, settings: RecordSettings) -> World {
        let now = Arc::new(AtomicI64::new(START));
        let store = MetaStore::sqlite(&folder.path().join("meta.db")).await.unwrap();
        let time = now.clone();
        let clock = Clock::of(move || UnixMillis(time.load(Ordering::SeqCst)));
        let archives = Archives::open(folder.path(), store.clone(), clock, settings).await.unwrap();
        World { folder, now, free, store, archives }
    }

    /// Ends as a crash does: nothing that is under way is waited for, but this process goes on.
    async fn crash(self) -> TempDir {
        self.archives.close().await;
        self.store.close().await;
        self.folder
    }

    fn archive(&self, serial: &str) -> ChannelArchive {
        ChannelArchive { archives: self.archives.clone(), shelf: shelf(serial) }
    }

    /// Records pictures of a camera, in segments of four seconds and parts of one.
    async fn record(&self, serial: &str, pictures: std::ops::Range<i64>) {
        let mut recording = Recording::new(self.archive(serial));
        recording.write(pictures).await.unwrap();
        recording.finish().await.unwrap();
        self.listed().await;
    }

    async fn listed(&self) {
        until("segments are listed", async || {
            let growing = self.archives.growing().len();
            growing == 0 && self.archives.unlisted() == 0 && self.spool().is_empty()
        })
        .await;
    }

    fn spool(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> =
            fs::read_dir(self.folder.path().join("spool")).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    fn footage(&self, serial: &str, from: UnixMillis, to: UnixMillis) -> ArchiveFootage {
        ArchiveFootage::new(self.archives.clone(), shelf(serial), from, to)
    }

    /// What footage shows from its beginning.
    async fn seen(&self, serial: &str) -> Vec<i64> {
        pictures(&mut self.footage(serial, ALL.0, ALL.1)).await
    }

    async fn check(&self, how: Check) -> (Checked, Vec<Fault>) {
        let mut faults = Vec::new();
        let folder = self.folder.path();
        let clock = Clock::of(|| at(0));
        let checked = check(folder, Path::new("blobs"), how, &clock, |fault| faults.push(fault)).await.unwrap();
        (checked, faults)
    }

    async fn recordings(&self, serial: &str) -> Vec<RecordingRow> {
        self.archives.recordings(&shelf(serial), ALL.0, ALL.1).await.unwrap()
    }

    fn blob(&self, serial: &str, seconds: i64) -> PathBuf {
        self.folder.path().join("blobs").join(super::blob_key(&shelf(serial), at(seconds)))
    }
}

/// A recorder that can be stopped anywhere.
struct Recording {
    archive: ChannelArchive,
    segmenter: Segmenter,
    open: Option<Box<dyn OpenSegment>>,
}

impl Recording {
    fn new(archive: ChannelArchive) -> Recording {
        let settings = SegmentSettings { segment: Duration::from_secs(4), ..SegmentSettings::default() };
        let mut segmenter = Segmenter::new(settings);
        assert_eq!(segmenter.push(Item::Tracks(video().into())).count(), 0);
        Recording { archive, segmenter, open: None }
    }

    async fn write(&mut self, numbers: std::ops::Range<i64>) -> Result<(), ArchiveError> {
        for n in numbers {
            let cuts: Vec<Cut> = self.segmenter.push(Item::Frame(Arc::new(picture(n)))).collect();
            self.take(cuts).await?;
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<(), ArchiveError> {
        let cuts: Vec<Cut> = self.segmenter.finish().collect();
        self.take(cuts).await
    }

    async fn take(&mut self, cuts: Vec<Cut>) -> Result<(), ArchiveError> {
        for cut in cuts {
            match cut {
                Cut::Begin(start) => self.open = Some(self.archive.begin(start).await?),
                Cut::Part(part) => self.open.as_mut().unwrap().append(&part).await?,
                Cut::End => self.open.take().unwrap().commit().await?,
            }
        }
        Ok(())
    }
}

/// Everything from where footage stands to its end.
async fn pictures(footage: &mut ArchiveFootage) -> Vec<i64> {
    let mut items = Vec::new();
    loop {
        match footage.read(&mut items).await {
            Ok(true) => {}
            Ok(false) | Err(FootageError::Empty) => break,
            Err(other) => panic!("{other}"),
        }
    }
    items.iter().filter_map(|item| if let Item::Frame(frame) = item { Some(number(frame)) } else { None }).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_recorded_is_read_back() {
    let world = World::new().await;
    world.record("CAMERA001", 0..350).await;
    assert_eq!(world.seen("CAMERA001").await, (0..350).collect::<Vec<_>>());

    let segments = world.archives.segments(&shelf("CAMERA001"), ALL.0, ALL.1, 100).await.unwrap();
    let spans: Vec<(i64, i64)> = segments.iter().map(|s| ((s.from.0 - START), (s.to.0 - START))).collect();
    assert_eq!(spans, [(0, 4000), (4000, 8000), (8000, 12_000), (12_000, 14_000)]);
    assert!(segments.iter().all(|segment| !segment.growing));
    let recordings = world.recordings("CAMERA001").await;
    assert_eq!(recordings.len(), 1);
    assert_eq!((recordings[0].starts_at, recordings[0].ends_at), (at(0), at(14)));
    assert_eq!(recordings[0].bytes, segments.iter().map(|segment| segment.bytes).sum::<u64>());

    let (checked, faults) = world.check(Check::default()).await;
    assert_eq!((checked.segments, checked.bytes, faults), (4, recordings[0].bytes, vec![]));
    // One write a part, and one for each segment's beginning and end; one sync a segment beside the timer's.
    assert_eq!(world.archives.written().writes, 14 + 2 * 4);
    assert_eq!(world.seen("CAMERA002").await.len(), 0);
}

/// What can be seen grows with the recording, across the end of a segment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_growing_segment_is_read_as_far_as_it_is() {
    let world = World::new().await;
    let mut recording = Recording::new(world.archive("CAMERA001"));
    recording.write(0..61).await.unwrap();
    let mut footage = world.footage("CAMERA001", ALL.0, ALL.1);
    assert_eq!(pictures(&mut footage).await, (0..50).collect::<Vec<_>>(), "two whole parts");
    let segments = world.archives.segments(&shelf("CAMERA001"), ALL.0, ALL.1, 9).await.unwrap();
    assert_eq!((segments.len(), segments[0].growing, segments[0].to), (1, true, at(2)));
    let growing = world.recordings("CAMERA001").await;
    assert_eq!((growing.len(), growing[0].id, growing[0].ends_at), (1, 0, at(2)));

    // A reader goes on where it stood, also when its segment was finished and listed meanwhile.
    let mut footage = world.footage("CAMERA001", ALL.0, ALL.1);
    let mut items = Vec::new();
    assert!(footage.read(&mut items).await.unwrap());
    assert!(matches!(&items[0], Item::Tracks(tracks) if **tracks == *video()), "tracks come first");
    recording.write(61..161).await.unwrap();
    until("the first segment is listed", async || world.recordings("CAMERA001").await[0].id > 0).await;
    let rows = world.recordings("CAMERA001").await;
    assert_eq!((rows.len(), rows[0].starts_at, rows[0].ends_at), (1, at(0), at(6)), "listed and growing are one");
    assert_eq!(pictures(&mut footage).await, (25..150).collect::<Vec<_>>());
    let index = world.archives.index(&segments[0]).await.unwrap();
    assert_eq!(index.entries.len(), 4, "found as it grew, indexed as it is");

    // One that is given up is finished as far as it came.
    drop(recording);
    world.listed().await;
    assert_eq!(world.seen("CAMERA001").await, (0..150).collect::<Vec<_>>());
    assert_eq!(world.check(Check::default()).await.1, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seeking_goes_to_the_key_frame_before() {
    let world = World::new().await;
    let mut recording = Recording::new(world.archive("CAMERA001"));
    recording.write(0..200).await.unwrap();
    recording.finish().await.unwrap();
    // A minute is missing.
    let mut recording = Recording::new(world.archive("CAMERA001"));
    recording.write(1700..1811).await.unwrap();

    let mut footage = world.footage("CAMERA001", at(0), at(100));
    for (to, first) in
        [(0.0, 0), (0.99, 0), (1.0, 25), (3.999, 75), (4.0, 100), (7.99, 175), (8.5, 1700), (69.5, 1725), (-5.0, 0)]
    {
        footage.seek(micros(to)).await.unwrap();
        assert_eq!(pictures(&mut footage).await.first(), Some(&first), "{to}");
    }
    assert_eq!(footage.seek(micros(72.5)).await, Err(FootageError::Empty));
    footage.seek(micros(70.0)).await.unwrap();
    footage.expect(16.0, true).await.unwrap();
    assert_eq!(pictures(&mut footage).await, (1750..1800).collect::<Vec<_>>());
    footage.seek(micros(2.0)).await.unwrap();
    assert_eq!(pictures(&mut footage).await.len(), 150 + 100, "parts without a key frame would be left out");

    // What is asked for ends within a part, and begins at the key frame before.
    let mut footage = world.footage("CAMERA001", UnixMillis(at(2).0 + 500), UnixMillis(at(5).0 + 500));
    assert_eq!(pictures(&mut footage).await, (50..138).collect::<Vec<_>>());
    for (from, to) in [(10, 60), (200, 300)] {
        let mut footage = world.footage("CAMERA001", at(from), at(to));
        let mut items = Vec::new();
        assert_eq!(footage.read(&mut items).await, Err(FootageError::Empty));
    }
}

/// T1: whatever step of a commit a crash comes behind, the next start finishes it, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t1_a_crash_behind_any_step_loses_nothing() {
    for step in [None, Some(Step::Index), Some(Step::Sync), Some(Step::Adopt), Some(Step::List)] {
        let world = World::new().await;
        world.record("CAMERA001", 0..100).await;
        *world.archives.stop_behind.lock().unwrap() = step;
        let mut recording = Recording::new(world.archive("CAMERA001"));
        let kept = match step {
            // In the middle of a segment.
            None => recording.write(100..186).await.map(|()| 175),
            // The segment that a crash interrupts, and the one after it, or not.
            Some(Step::List) => recording.write(100..226).await.map(|()| 225),
            Some(_) => {
                recording.write(100..226).await.unwrap_err();
                Ok(200)
            }
        };
        if step == Some(Step::List) {
            until("rows are there", async || world.archives.unlisted() == 0).await;
            assert_eq!(world.spool().len(), 2, "the listed one's file is still there");
        }
        std::mem::forget(recording); // Killed: nothing is dropped.
        let world = World::open(world.crash().await).await;
        world.listed().await;
        assert_eq!(world.seen("CAMERA001").await, (0..kept.unwrap()).collect::<Vec<_>>(), "{step:?}");
        let (checked, faults) = world.check(Check::default()).await;
        assert_eq!((checked.segments, faults), (if step == Some(Step::List) { 3 } else { 2 }, vec![]), "{step:?}");
        assert_eq!(world.recordings("CAMERA001").await.len(), 1, "{step:?}");

        // It goes on.
        world.record("CAMERA001", 300..325).await;
        assert_eq!(world.seen("CAMERA001").await.last(), Some(&324));
    }
}

/// T1, T2: a spool file is good up to its last whole part, wherever it ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t1_a_spool_file_that_ends_anywhere_is_cut_at_its_last_whole_part() {
    let world = World::new().await;
    let mut recording = Recording::new(world.archive("CAMERA001"));
    let mut ends = vec![0];
    for second in 1..4 {
        // The key frame of the next second ends the part.
        recording.write((second - 1) * FPS + i64::from(second > 1)..second * FPS + 1).await.unwrap();
        ends.push(world.archives.growing().values().next().unwrap().values().next().unwrap().progress().bytes);
    }
    let spool = world.spool().pop().unwrap();
    let (name, bytes) = (spool.file_name().unwrap().to_owned(), fs::read(&spool).unwrap());
    std::mem::forget(recording);
    assert_eq!(*ends.last().unwrap(), bytes.len() as u64);

    let around = ends.iter().flat_map(|end| [end.saturating_sub(1), *end, end + 1]);
    let cuts: Vec<u64> =
        around.chain((0..bytes.len() as u64).step_by(311)).filter(|cut| *cut <= bytes.len() as u64).collect();
    for cut in cuts {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("spool")).unwrap();
        fs::write(folder.path().join("spool").join(&name), &bytes[..cut as usize]).unwrap();
        let world = World::open(folder).await;
        world.listed().await;
        let whole = ends[1..].iter().filter(|end| **end <= cut).count();
        assert_eq!(world.seen("CAMERA001").await.len(), whole * FPS as usize, "cut at {cut}");
        let (checked, faults) = world.check(Check::default()).await;
        assert_eq!((checked.segments, faults), (u64::from(whole > 0), vec![]), "cut at {cut}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_segment_is_put_aside() {
    let folder = TempDir::new().unwrap();
    let spool = folder.path().join("spool");
    fs::create_dir(&spool).unwrap();
    let name = "cloud_CAMERA001_1_1795478400000";
    fs::write(spool.join(format!("{name}.mp4")), vec![7; 5000]).unwrap();
    fs::write(spool.join("a letter.txt"), "dear").unwrap();
    let world = World::open(folder).await;
    let aside = spool.join(format!("{name}.damaged"));
    until("it is put aside", async || aside.exists()).await;
    assert_eq!(world.spool(), [spool.join("a letter.txt"), aside]);
    assert_eq!(world.recordings("CAMERA001").await, []);
}

/// Two segments of the same millisecond, as a clock that is set back makes them, are two segments.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t12_a_clock_that_is_set_back_overwrites_nothing() {
    let world = World::new().await;
    world.record("CAMERA001", 0..150).await;
    world.record("CAMERA001", 0..150).await;
    let (checked, faults) = world.check(Check::default()).await;
    assert_eq!((checked.segments, faults), (4, vec![]));
    assert_eq!(world.seen("CAMERA001").await.len(), 300);
}

/// T3: what was damaged is found, told, taken out of the index and kept; the rest is served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t3_damage_is_found_and_the_rest_is_served() {
    let world = World::new().await;
    world.record("CAMERA001", 0..500).await;
    world.record("CAMERA002", 0..100).await;
    // Nothing lists this: the database is from yesterday.
    let elsewhere = World::new().await;
    elsewhere.record("CAMERA003", 0..100).await;
    let lost = world.blob("CAMERA003", 0);
    fs::create_dir_all(lost.parent().unwrap()).unwrap();
    fs::copy(elsewhere.blob("CAMERA003", 0), &lost).unwrap();
    let strange = world.folder.path().join("blobs/cloud/strange.txt");
    fs::write(&strange, "what is this").unwrap();

    let flipped = world.blob("CAMERA001", 4);
    let mut bytes = fs::read(&flipped).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&flipped, &bytes).unwrap();
    fs::remove_file(world.blob("CAMERA001", 8)).unwrap();
    let cut = world.blob("CAMERA001", 12);
    fs::OpenOptions::new().write(true).open(&cut).unwrap().set_len(3000).unwrap();

    let expected = |repaired: bool| {
        let fault = |serial: &str, from: i64, kind| Fault {
            serial: serial.into(),
            channel: ChannelNo(1),
            from: at(from),
            to: Some(at(from + 4)),
            key: super::blob_key(&shelf(serial), at(from)),
            kind,
            repaired,
        };
        vec![
            fault("CAMERA001", 4, FaultKind::Changed),
            fault("CAMERA001", 8, FaultKind::Missing),
            fault("CAMERA001", 12, FaultKind::Size { bytes: 3000 }),
            fault("CAMERA003", 0, FaultKind::Unlisted),
        ]
    };
    let unknown = |faults: &mut Vec<Fault>| {
        let at = faults.iter().position(|fault| fault.kind == FaultKind::Unknown).unwrap();
        assert_eq!(faults.remove(at).key, "cloud/strange.txt");
    };
    let (checked, mut faults) = world.check(Check { quick: true, repair: false }).await;
    assert_eq!((checked.segments, checked.faults), (6, 4), "a flipped bit is not seen from outside");
    unknown(&mut faults);
    assert_eq!(faults, expected(false)[1..]);
    for repair in [false, true] {
        let (checked, mut faults) = world.check(Check { quick: false, repair }).await;
        assert_eq!((checked.segments, checked.faults), (6, 5));
        unknown(&mut faults);
        assert_eq!(faults, expected(repair));
        // Before it is repaired too, no damage keeps anybody from the rest.
        let seen = world.seen("CAMERA001").await;
        assert!((0..100).chain(400..500).all(|n| seen.contains(&n)), "{seen:?}");
    }
    assert_eq!(world.seen("CAMERA001").await, (0..100).chain(400..500).collect::<Vec<_>>());
    assert_eq!(world.seen("CAMERA003").await, (0..100).collect::<Vec<_>>());
    let left: Vec<_> = world.recordings("CAMERA001").await.iter().map(|row| (row.starts_at, row.ends_at)).collect();
    assert_eq!(left, [(at(0), at(4)), (at(16), at(20))], "the hole is not listed");
    let aside = world.folder.path().join("blobs/quarantine");
    assert_eq!(fs::read(aside.join(super::blob_key(&shelf("CAMERA001"), at(4)))).unwrap(), bytes);
    let causes: Vec<String> = world.store.quarantined().await.unwrap().into_iter().map(|row| row.cause).collect();
    assert_eq!(causes, ["changed", "missing", "size"]);
    let (checked, faults) = world.check(Check::default()).await;
    assert_eq!((checked.segments, faults.len()), (4, 1), "only the strange file is left");
}

/// T4: without room recording waits, live goes on; with room it goes on by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t4_recording_waits_while_the_disk_is_full() {
    let world = World::new().await;
    world.record("CAMERA001", 0..100).await;
    let mut recording = Recording::new(world.archive("CAMERA001"));
    recording.write(100..150).await.unwrap();
    world.free.store(999, Ordering::SeqCst);
    until("it is noticed", async || world.archives.space() == (Some(at(0)), 999)).await;
    assert!(matches!(recording.write(150..200).await, Err(ArchiveError::Full)));
    drop(recording);
    let archive = world.archive("CAMERA001");
    assert!(matches!(Recording::new(archive).write(200..250).await, Err(ArchiveError::Full)));
    assert_eq!(world.archives.removed().by_cause.len(), 0, "what is younger than a day is not given for it");
    world.listed().await;
    assert_eq!(world.seen("CAMERA001").await, (0..125).collect::<Vec<_>>());

    world.free.store(u64::MAX, Ordering::SeqCst);
    until("there is room", async || world.archives.space().0.is_none()).await;
    world.record("CAMERA001", 300..400).await;
    assert_eq!(world.seen("CAMERA001").await, (0..125).chain(300..400).collect::<Vec<_>>());
}

/// T4: what is old gives way, never what is locked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t4_old_footage_gives_way_and_locked_does_not() {
    let world = World::new().await;
    world.record("CAMERA001", 0..100).await;
    let locked = world.recordings("CAMERA001").await[0].id;
    world.store.set_recording_locked(locked, true).await.unwrap();
    world.record("CAMERA002", 100..300).await;
    world.record("CAMERA003", 1500..1600).await;
    // Younger than a minute is what the third recorded.
    world.now.store(at(75).0, Ordering::SeqCst);
    let oldest = world.archives.segments(&shelf("CAMERA002"), ALL.0, ALL.1, 9).await.unwrap()[0].bytes;
    // Just so much is wanted that the oldest of those who may go is enough.
    world.free.store(1200, Ordering::SeqCst);
    until("the oldest goes", async || world.seen("CAMERA002").await == (200..300).collect::<Vec<_>>()).await;
    assert_eq!(world.archives.removed().by_cause["disk is full"], (1, oldest));
    world.free.store(10, Ordering::SeqCst);
    until("the other goes", async || world.recordings("CAMERA002").await.is_empty()).await;
    assert_eq!(world.seen("CAMERA001").await.len(), 100);
    assert_eq!(world.seen("CAMERA003").await.len(), 100);
    assert_eq!(world.archives.removed().by_cause["disk is full"].0, 2);
    assert_eq!(world.check(Check::default()).await.1, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn footage_goes_when_its_days_are_over_and_never_when_locked() {
    let world = World::new().await;
    world.record("CAMERA001", 0..100).await;
    world.record("CAMERA002", 0..100).await;
    let locked = world.recordings("CAMERA002").await[0].id;
    world.store.set_recording_locked(locked, true).await.unwrap();
    let left = async |days: i64| {
        world.now.store(at(4 + days * 86_400).0, Ordering::SeqCst);
        world.archives.retain_once().await.unwrap();
        (world.seen("CAMERA001").await.len(), world.seen("CAMERA002").await.len())
    };
    assert_eq!(left(29).await, (100, 100));
    assert_eq!(left(30).await, (0, 100));
    assert!(!world.blob("CAMERA001", 0).exists());
    assert_eq!(world.store.garbage(9).await.unwrap(), []);
    assert_eq!(world.archives.removed().by_cause["days are over"].0, 1);
    assert_eq!(left(3000).await, (0, 100));
    world.store.set_recording_locked(locked, false).await.unwrap();
    assert_eq!(left(3000).await, (0, 0));
    assert_eq!(world.check(Check::default()).await, (Checked::default(), vec![]));
}

/// A crash between the row that became garbage and its blob leaves the blob to the next sweep.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_of_an_earlier_life_is_removed() {
    let world = World::new().await;
    world.record("CAMERA001", 0..200).await;
    let what = ::store::Condemn { of: None, ended_by: at(4), bytes: u64::MAX };
    assert_eq!(world.store.condemn(what).await.unwrap().len(), 1);
    assert!(world.blob("CAMERA001", 0).exists());
    let world = World::open(world.crash().await).await;
    until("it is swept", async || !world.blob("CAMERA001", 0).exists()).await;
    assert_eq!(world.seen("CAMERA001").await, (100..200).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorder_on_our_disk_keeps_to_its_caps() {
    let world = World::new().await;
    let device = ::store::NewDevice {
        serial: "CAMERA001".into(),
        code_sealed: vec![],
        driver: "rtsp".into(),
        address: String::new(),
        login_sealed: None,
        name: "gate".into(),
        facts: ::store::DeviceFacts::default(),
        keep_live: false,
        attached_at: at(0),
        channels: vec![],
    };
    world.store.insert_device(&device).await.unwrap();
    let local = super::shelf("CAMERA001", ChannelNo(1), Storage::Local);
    let archive = ChannelArchive { archives: world.archives.clone(), shelf: local.clone() };
    let mut recording = Recording::new(archive);
    recording.write(0..300).await.unwrap();
    recording.finish().await.unwrap();
    world.listed().await;
    world.record("CAMERA001", 0..100).await;
    let sizes: Vec<u64> = {
        let segments = world.archives.segments(&local, ALL.0, ALL.1, 9).await.unwrap();
        segments.iter().map(|segment| segment.bytes).collect()
    };
    let left = async |bytes_max: u64, days_max: u32| {
        let row = RecorderRow { serial: "CAMERA001".into(), enabled: false, bytes_max, days_max };
        world.store.set_recorder(&row).await.unwrap();
        world.archives.retain_once().await.unwrap();
        let left = world.archives.segments(&local, ALL.0, ALL.1, 9).await.unwrap();
        left.iter().map(|segment| (segment.from.0 - START) / 1000).collect::<Vec<_>>()
    };
    assert_eq!(left(0, 0).await, [0, 4, 8], "no caps");
    assert_eq!(left(sizes.iter().sum(), 0).await, [0, 4, 8]);
    assert_eq!(left(sizes[1] + sizes[2] + 1, 0).await, [4, 8]);
    world.now.store(at(8 + 86_400).0, Ordering::SeqCst);
    assert_eq!(left(0, 1).await, [8]);
    assert_eq!(world.seen("CAMERA001").await.len(), 100, "cloud storage is not the recorder's");
}

/// T6: while the database is locked, recording goes on; then rows catch up, each once.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn t6_recording_goes_on_while_the_database_is_locked() {
    let world = World::new().await;
    world.record("CAMERA001", 0..100).await;
    let (locked, is_locked) = tokio::sync::oneshot::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let path = world.folder.path().join("meta.db");
    let locker = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let other = MetaStore::sqlite(&path).await.unwrap();
            let hold = |_| {
                locked.send(()).unwrap();
                released.recv().unwrap();
                None
            };
            other.update_attempts("somebody", hold).await.unwrap();
            other.close().await;
        });
    });
    is_locked.await.unwrap();
    let mut recording = Recording::new(world.archive("CAMERA001"));
    recording.write(100..500).await.unwrap();
    until("the database is found to be away", async || world.archives.away_since().is_some()).await;
    recording.write(500..600).await.unwrap();
    recording.finish().await.unwrap();
    assert_eq!(world.archives.unlisted(), 5);
    assert_eq!(world.seen("CAMERA001").await, (0..600).collect::<Vec<_>>(), "also what is not listed is seen");
    release.send(()).unwrap();
    locker.join().unwrap();
    world.listed().await;
    assert_eq!(world.archives.away_since(), None);
    let (checked, faults) = world.check(Check::default()).await;
    assert_eq!((checked.segments, faults), (6, vec![]));
    assert_eq!(world.seen("CAMERA001").await, (0..600).collect::<Vec<_>>());
    assert_eq!(world.recordings("CAMERA001").await.len(), 1);
}

/// T6: a database that does not come back loses nothing either: the next start lists what is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t6_a_database_that_is_gone_is_caught_up_with_by_the_next_start() {
    let world = World::new().await;
    world.record("CAMERA001", 0..100).await;
    world.store.close().await;
    let mut recording = Recording::new(world.archive("CAMERA001"));
    recording.write(100..500).await.unwrap();
    recording.finish().await.unwrap();
    let world = World::open(world.crash().await).await;
    world.listed().await;
    assert_eq!(world.seen("CAMERA001").await, (0..500).collect::<Vec<_>>());
    let (checked, faults) = world.check(Check::default()).await;
    assert_eq!((checked.segments, faults), (5, vec![]));
}

/// T4 with a file system of a few megabytes, where this process may make one.
#[test]
fn t4_a_disk_that_is_really_full() {
    const FOLDER: &str = "FLUORITE_TEST_SMALL_DISK";
    if let Some(folder) = std::env::var_os(FOLDER) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        return runtime.block_on(on_a_small_disk(Path::new(&folder)));
    }
    let may = std::process::Command::new("unshare").args(["--map-root-user", "--mount", "true"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        eprintln!("not permitted to mount; not tested");
        return;
    }
    let folder = TempDir::new().unwrap();
    let inside = "mount -t tmpfs -o size=8m none \"$0\" && exec \"$@\"";
    let output = std::process::Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", inside])
        .arg(folder.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "archive::tests::t4_a_disk_that_is_really_full", "--nocapture"])
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

async fn on_a_small_disk(disk: &Path) {
    let free = Arc::new(AtomicU64::new(0));
    let settings = RecordSettings { free_min: 0, space: Space::system(), ..settings(&free) };
    let filler = disk.join("filler");
    fs::write(&filler, vec![0; 3 << 20]).unwrap();
    let world = World::open_with(TempDir::new_in(disk).unwrap(), free, settings).await;
    world.record("CAMERA001", 0..100).await;
    let locked = world.recordings("CAMERA001").await[0].id;
    world.store.set_recording_locked(locked, true).await.unwrap();

    // Until nothing goes any more: whatever write it is that finds no room.
    let mut recording = Recording::new(world.archive("CAMERA001"));
    let mut n = 100;
    let refused = loop {
        let mut fat = picture(n);
        fat.data = [&fat.data[..], &vec![0; 20_000], &n.to_be_bytes()].concat().into();
        let cuts: Vec<Cut> = recording.segmenter.push(Item::Frame(Arc::new(fat))).collect();
        if let Err(refused) = recording.take(cuts).await {
            break refused;
        }
        n += 1;
        assert!(n < 10_000, "the disk is never full");
    };
    assert!(matches!(refused, ArchiveError::Full), "{refused:?}");
    drop(recording);
    let before = world.seen("CAMERA001").await;
    assert!(before.len() > 100 && before == (0..before.len() as i64).collect::<Vec<_>>(), "{before:?}");

    fs::remove_file(&filler).unwrap();
    world.listed().await;
    assert_eq!(world.seen("CAMERA001").await, before, "every whole part");
    world.record("CAMERA001", 5000..5100).await;
    assert_eq!(world.seen("CAMERA001").await[before.len()..], (5000..5100).collect::<Vec<_>>());
    assert_eq!(world.check(Check::default()).await.1, []);
    assert!(world.recordings("CAMERA001").await.iter().any(|recording| recording.id == locked && recording.locked));
}

/// A clock that is wrong deletes nothing: neither one that jumps, nor one that is wrong from the start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_nobody_vouches_for_deletes_nothing() {
    let world = World::new().await;
    world.record("CAMERA001", 0..100).await;
    let started = |at| (tokio::time::Instant::now(), at);
    let later = at(40 * 86_400);
    world.now.store(later.0, Ordering::SeqCst);
    assert!(!world.archives.is_clock_right(started(at(0))).await.unwrap(), "it jumped");
    assert!(!world.archives.is_clock_right(started(later)).await.unwrap(), "nothing speaks for it");
    world.now.store(at(86_000).0, Ordering::SeqCst);
    assert!(world.archives.is_clock_right(started(at(86_000))).await.unwrap(), "something was recorded today");
}

proptest! {
    /// Names come from a folder that anybody may have written into.
    #[test]
    fn names_are_read_as_they_are_written_or_not_at_all(
        storage in "local|cloud|other|", serial in "[A-Z0-9]{9}|[A-Za-z0-9./_]{0,12}", channel in any::<u16>(),
        start in prop_oneof![any::<i64>(), 0..super::LATEST_MS], noise in any::<String>(),
    ) {
        let (key, name) = (
            format!("{storage}/{serial}/{channel}/{}/{start}.mp4", start.div_euclid(super::DAY_MS)),
            format!("{storage}_{serial}_{channel}_{start}.mp4"),
        );
        for key in [&key, &noise] {
            if let Some((shelf, starts_at)) = super::of_blob_key(key) {
                prop_assert_eq!(&super::blob_key(&shelf, starts_at), key);
                prop_assert!(!key.contains(".."));
            }
        }
        for name in [&name, &noise] {
            if let Some((shelf, starts_at)) = super::spool::of_file_name(name) {
                prop_assert_eq!(&super::spool::file_name(&shelf, starts_at), name);
            }
        }
        let good = storage.len() == 5 && storage != "other" && serial.len() == 9 && !serial.contains(['.', '/', '_'])
            && serial.chars().all(|c| !c.is_ascii_lowercase()) && (0..=super::LATEST_MS).contains(&start);
        prop_assert_eq!(super::of_blob_key(&key).is_some(), good);
        prop_assert_eq!(super::spool::of_file_name(&name).is_some(), good);
    }
}
