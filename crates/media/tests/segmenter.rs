//! What goes into a segmenter comes out of its segments.
#![allow(clippy::unwrap_used)]

mod sim;

use std::sync::Arc;
use std::time::Duration;

use av::{Frame, TrackId, UnixMicros};
use bytes::Bytes;
use media::{Cut, Item, SegmentSettings, Segmenter};
use sim::{Camera, HOUR, Kept, PICTURE, Random, SECOND, START, aac, frames_of, g711, of_track, other_video, video};

const SETTINGS: SegmentSettings =
    SegmentSettings { part: Duration::from_secs(1), segment: Duration::from_secs(10), offset: Duration::ZERO };

/// Collects segments and checks what holds of all of them.
#[derive(Default)]
struct Segments {
    kept: Vec<Kept>,
    open: bool,
}

impl Segments {
    fn add(&mut self, cut: Cut) {
        match cut {
            Cut::Begin(start) => {
                assert!(!self.open, "one segment at a time");
                self.open = true;
                self.kept.push(Kept { start, parts: Vec::new(), committed: false });
            }
            Cut::Part(part) => {
                assert!(self.open && part.from < part.to, "{:?}", part.from..part.to);
                let segment = self.kept.last_mut().unwrap();
                let follows = segment.parts.last().map_or(segment.start.at, |before| before.to);
                assert_eq!(part.from, follows, "parts follow one another");
                assert!(!segment.parts.is_empty() || part.key, "a segment begins with a key frame");
                segment.parts.push(part);
            }
            Cut::End => {
                assert!(self.open && !self.kept.last().unwrap().parts.is_empty());
                self.open = false;
                self.kept.last_mut().unwrap().committed = true;
            }
        }
    }

    fn frames(&self) -> Vec<Frame> {
        self.kept.iter().flat_map(|segment| segment.read().1).collect()
    }
}

fn cut_by(segmenter: &mut Segmenter, items: Vec<Item>) -> Segments {
    let mut segments = Segments::default();
    items.into_iter().for_each(|item| segmenter.push(item).for_each(|cut| segments.add(cut)));
    segmenter.finish().for_each(|cut| segments.add(cut));
    assert!(!segments.open);
    segments
}

fn cut(settings: SegmentSettings, items: Vec<Item>) -> Segments {
    cut_by(&mut Segmenter::new(settings), items)
}

/// Equal but for the wall clock, track by track.
fn assert_same(recorded: &[Frame], sent: &[Frame]) {
    for track in [TrackId::VIDEO, TrackId::AUDIO] {
        let stamp = |frame: Frame| Frame { wall: UnixMicros(0), ..frame };
        let recorded: Vec<Frame> = of_track(recorded, track).into_iter().map(stamp).collect();
        let sent: Vec<Frame> = of_track(sent, track).into_iter().map(stamp).collect();
        assert_eq!(recorded.len(), sent.len());
        for (recorded, sent) in recorded.iter().zip(&sent) {
            assert_eq!(recorded, sent);
        }
    }
}

/// What there is of `sent` from its first key frame of video on.
fn from_first_key(sent: &[Item]) -> Vec<Frame> {
    let frames = frames_of(sent);
    let first = frames.iter().position(|frame| frame.key && frame.track == TrackId::VIDEO).unwrap();
    frames[first..].to_vec()
}

#[test]
fn segments_read_back_as_exactly_the_frames_that_were_sent() {
    let mut random = Random(0x5EED);
    for round in 0..40 {
        let sound = [vec![], vec![aac()], vec![g711()]][round % 3].clone();
        let camera = Camera {
            tracks: [vec![video()], sound].concat(),
            gop: 1 + random.below(120) as i64,
            jitter_us: random.below(300_000) as i64,
            seed: 1 + random.below(u64::MAX - 1),
            ..Camera::default()
        };
        let from = random.below(100) as i64;
        let items = camera.items(from, from + 900);
        let sent = from_first_key(&items);
        let segments = cut(SETTINGS, items);
        assert_same(&segments.frames(), &sent);
        let mut to = 0;
        for segment in &segments.kept {
            assert_eq!(segment.read().0, camera.tracks);
            assert!(to == 0 || segment.from() == to, "segments follow one another");
            to = segment.to();
            assert!(segment.read().1.windows(2).all(|w| w[0].wall.0 <= w[1].wall.0 + 20_000));
            let first = &of_track(&segment.read().1, TrackId::VIDEO)[0];
            assert!((first.wall.0 - segment.from()).abs() <= 1, "a fragment tells when it begins");
        }
        assert_eq!(segments.kept.len(), segments.kept.iter().filter(|segment| segment.committed).count());
    }
}

#[test]
fn parts_last_a_second_and_begin_with_key_frames_where_they_can() {
    let segments = cut(SETTINGS, Camera { gop: 40, ..Camera::default() }.items(0, 1000));
    let parts: Vec<_> = segments.kept.iter().flat_map(|segment| &segment.parts).collect();
    // A GOP of 1.6 s: a part of a second and one of 0.6.
    let lengths: Vec<i64> = parts.iter().map(|part| (part.to.0 - part.from.0 + 5000) / 10_000 * 10).collect();
    assert!(lengths.chunks(2).all(|pair| pair == [1000, 600]), "{lengths:?}");
    assert!(parts.iter().step_by(2).all(|part| part.key) && parts.iter().skip(1).step_by(2).all(|part| !part.key));
}

#[test]
fn segments_end_at_the_first_key_frame_after_their_length_the_first_one_later() {
    let offset = Duration::from_secs(3);
    let segments = cut(SegmentSettings { offset, ..SETTINGS }, Camera { gop: 100, ..Camera::default() }.items(0, 1500));
    let lengths: Vec<i64> = segments.kept.iter().map(|segment| (segment.to() - segment.from()) / SECOND).collect();
    assert_eq!(lengths, [16, 12, 12, 12, 8]);
}

#[test]
fn sound_alone_is_recorded_too() {
    for track in [aac(), g711()] {
        let items = Camera { tracks: vec![track], ..Camera::default() }.items(0, 600);
        let sent = frames_of(&items);
        let segments = cut(SETTINGS, items);
        assert_same(&segments.frames(), &sent);
        assert_eq!(segments.kept.len(), 3);
        assert!(segments.kept.iter().all(|segment| segment.parts.iter().all(|part| part.key)));
    }
}

#[test]
fn sound_is_recorded_when_the_pictures_stop() {
    let camera = Camera::default();
    let mut items = camera.items(0, 100);
    items.extend(camera.items(100, 1000).into_iter().skip(1).filter(|item| {
        let Item::Frame(frame) = item else { unreachable!() };
        frame.track == TrackId::AUDIO
    }));
    let sent = frames_of(&items);
    let segments = cut(SETTINGS, items);
    assert_same(&segments.frames(), &sent);
    assert!(segments.kept[0].parts.iter().all(|part| part.to.0 - part.from.0 <= 2 * SECOND + 100_000));
}

#[test]
fn lost_frames_and_new_parameters_end_a_segment() {
    let camera = Camera::default();
    let mut items = camera.items(0, 130);
    items.push(Item::Gap { skipped: 70 });
    items.extend(camera.items(200, 300).into_iter().skip(1));
    items.extend(Camera { tracks: vec![other_video(), aac()], ..camera.clone() }.items(300, 400));
    items.extend(Camera { tracks: vec![other_video()], ..camera.clone() }.items(400, 500));
    let sent = frames_of(&items);
    let mut segmenter = Segmenter::new(SETTINGS);
    let segments = cut_by(&mut segmenter, items);
    assert_same(&segments.frames(), &sent);
    let spans: Vec<(i64, i64)> = segments
        .kept
        .iter()
        .map(|segment| ((segment.from() - START) / PICTURE, (segment.to() - START) / PICTURE))
        .collect();
    assert_eq!(spans, [(0, 130), (200, 300), (300, 400), (400, 500)]);
    assert_eq!(segments.kept[2].read().0[0], other_video());
    assert_eq!(segments.kept[3].read().0, [other_video()]);
    assert_eq!(segmenter.lost(), Duration::from_millis(70 * 40));
}

#[test]
fn a_stream_without_further_key_frames_ends_its_segment_at_a_limit() {
    const PICTURE_BYTES: usize = 8 << 20;
    let payload = Bytes::from(vec![0; PICTURE_BYTES]);
    let camera = Camera { tracks: vec![video()], gop: 80, ..Camera::default() };
    let mut segments = Segments::default();
    let mut segmenter = Segmenter::new(SETTINGS);
    let mut bytes = [0, 0];
    for item in camera.items(0, 85) {
        let item = match item {
            Item::Frame(frame) => Item::Frame(Arc::new(Frame { data: payload.clone(), ..(*frame).clone() })),
            item => item,
        };
        for cut in segmenter.push(item) {
            if let Cut::Part(part) = &cut {
                bytes[segments.kept.len() - 1] += part.data.len();
            }
            segments.add(match cut {
                // Half a gigabyte need not stay.
                Cut::Part(part) => Cut::Part(media::Part { data: Bytes::new(), ..part }),
                cut => cut,
            });
        }
    }
    assert!((512 << 20..=544 << 20).contains(&bytes[0]), "{bytes:?}");
    assert_eq!(segments.kept.len(), 2);
    let lost = 80 - bytes[0] / PICTURE_BYTES;
    assert_eq!(segmenter.lost(), Duration::from_millis(lost as u64 * 40));
}

fn spans(segments: &Segments) -> Vec<(i64, i64)> {
    segments.kept.iter().map(|segment| (segment.from() - START, segment.to() - START)).collect()
}

#[test]
fn jitter_and_stalls_of_the_network_do_not_move_the_clock() {
    // For five seconds nothing arrives, then all of it at once.
    let wall = |at| if (20 * SECOND..25 * SECOND).contains(&at) { START + 25 * SECOND } else { START + at };
    let segments = cut(SETTINGS, Camera { jitter_us: 200_000, wall, ..Camera::default() }.items(0, 1500));
    let spans = spans(&segments);
    assert!(spans.windows(2).all(|pair| pair[0].1 == pair[1].0), "one run: {spans:?}");
    assert!((spans.last().unwrap().1 - 60 * SECOND).abs() < 250_000, "{spans:?}");
}

#[test]
fn t12_a_camera_clock_that_drifts_stays_within_a_second_of_the_wall() {
    for wall in [|at| START + at + at / 100, |at| START + at - at / 100] {
        let segments = cut(SETTINGS, Camera { jitter_us: 50_000, wall, ..Camera::default() }.items(0, 25 * 600));
        let spans = spans(&segments);
        assert!(spans.windows(2).all(|pair| pair[0].1 == pair[1].0), "one run: {spans:?}");
        for frame in of_track(&segments.frames(), TrackId::VIDEO) {
            let truth = wall(frame.dts.to_millis(90_000) * 1000);
            assert!((frame.wall.0 - truth).abs() < 300_000, "{}", frame.wall.0 - truth);
        }
    }
}

#[test]
fn t12_a_wall_clock_that_jumps_begins_a_new_run_at_the_next_key_frame() {
    for wall in [
        |at| if at < 25 * SECOND { START + at } else { START + at + HOUR },
        |at| if at < 25 * SECOND { START + at } else { START + at - HOUR },
        |at| if at < 25 * SECOND { START + at } else { START + at + 5 * SECOND },
    ] {
        let jump = wall(25 * SECOND) - START - 25 * SECOND;
        let items = Camera { gop: 25, jitter_us: 20_000, wall, ..Camera::default() }.items(0, 1250);
        let sent = frames_of(&items);
        let segments = cut(SETTINGS, items);
        assert_same(&segments.frames(), &sent);
        let spans = spans(&segments);
        let breaks: Vec<_> = spans.windows(2).filter(|pair| pair[0].1 != pair[1].0).collect();
        assert_eq!(breaks.len(), 1, "{spans:?}");
        let (before, after) = (breaks[0][0].1, breaks[0][1].0);
        assert!((after - before - jump).abs() < 100_000, "{spans:?}");
        assert!((spans.last().unwrap().1 - 50 * SECOND - jump).abs() < 100_000, "{spans:?}");
        // A small step might be a slow network, which the next seconds tell.
        let known = if jump == 5 * SECOND { 35 * SECOND } else { 26 * SECOND };
        assert!(after - jump < known, "{spans:?}");
    }
}

#[test]
fn a_wall_clock_set_back_a_little_overlaps_nothing() {
    let wall = |at| if at < 25 * SECOND { START + at } else { START + at - 4 * SECOND };
    let spans = spans(&cut(SETTINGS, Camera { wall, ..Camera::default() }.items(0, 25 * 300)));
    assert!(spans.windows(2).all(|pair| pair[0].1 == pair[1].0), "{spans:?}");
    assert!((spans.last().unwrap().1 - 296 * SECOND).abs() < 100_000, "{spans:?}");
}

#[test]
fn what_is_skipped_is_lost_and_counted() {
    let camera = Camera::default();
    let mut segmenter = Segmenter::new(SETTINGS);
    let mut segments = Segments::default();
    for item in camera.items(0, 110) {
        segmenter.push(item).for_each(|cut| segments.add(cut));
    }
    // Four seconds are in parts, 400 ms are not yet.
    assert_eq!(segmenter.lost(), Duration::ZERO);
    segmenter.abandon();
    assert_eq!(segments.kept[0].read().1.iter().filter(|frame| frame.track == TrackId::VIDEO).count(), 100);
    for item in camera.items(110, 160) {
        segmenter.skip(&item);
    }
    assert!(segmenter.lost() > Duration::from_millis(2300));
    let mut segments = Segments::default();
    for item in camera.items(160, 300) {
        segmenter.push(item).for_each(|cut| segments.add(cut));
    }
    segmenter.finish().for_each(|cut| segments.add(cut));
    assert_eq!(segments.kept[0].from(), START + 8 * SECOND);
    assert_eq!(segmenter.lost(), Duration::from_secs(4));
}
