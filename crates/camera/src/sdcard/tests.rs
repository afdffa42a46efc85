//! What goes in comes out, whatever happens to the files in between.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::sync::Arc;

use av::codec::g711;
use av::{CodecParameters, Frame, G711Law, G711Parameters, Ticks, Track, TrackId, UnixMicros};
use bytes::Bytes;
use tempfile::TempDir;

use super::tape::Tape;
use super::*;
use crate::VideoConfig;
use crate::encoder::VideoEncoder;

const SECOND: i64 = 1_000_000;
/// When recordings of these tests begin.
const START: UnixMicros = UnixMicros(1_795_466_467_000_000);
const ALL: (UnixMicros, UnixMicros) = (UnixMicros(i64::MIN), UnixMicros(i64::MAX));
/// Pictures a second.
const RATE: i64 = 10;

fn tracks() -> Vec<Track> {
    let small = VideoConfig { width: 320, height: 180, ..VideoConfig::SUB };
    let codec = CodecParameters::H264(VideoEncoder::parameters(&small).unwrap());
    let sound = CodecParameters::G711(G711Parameters { law: G711Law::A, sample_rate: 8000, channels: 1 });
    vec![
        Track { id: TrackId::VIDEO, codec, clock_rate: 90_000 },
        Track { id: TrackId::AUDIO, codec: sound, clock_rate: 8000 },
    ]
}

/// Frame `n` of a recording: the payload tells which; a key frame every two seconds.
fn picture(n: i64, size: usize) -> Arc<Frame> {
    let mut data = ((size + 9) as u32).to_be_bytes().to_vec();
    data.push(if n % (2 * RATE) == 0 { 0x65 } else { 0x41 });
    data.extend(n.to_be_bytes());
    data.resize(data.len() + size, 0xAB);
    let (dts, wall) = (Ticks(500_000 + n * 90_000 / RATE), UnixMicros(START.0 + n * SECOND / RATE));
    Arc::new(Frame { track: TrackId::VIDEO, dts, cts: 0, wall, key: n % (2 * RATE) == 0, data: data.into() })
}

fn number(frame: &Frame) -> i64 {
    i64::from_be_bytes(frame.data[5..13].try_into().unwrap())
}

/// Sound beside picture `n`: as long as it, of a little later wall time, as the microphone gives it.
fn sound(n: i64) -> Arc<Frame> {
    let data = g711::encode(G711Law::A, &vec![n as i16; (8000 / RATE) as usize]);
    let (dts, wall) = (Ticks(500_000 * 8 / 90 + n * 8000 / RATE), UnixMicros(START.0 + n * SECOND / RATE + 90_000));
    Arc::new(Frame { track: TrackId::AUDIO, dts, cts: 0, wall, key: true, data })
}

fn card(folder: &TempDir, bytes_max: u64) -> Arc<Card> {
    let config = CardConfig { bytes_max, record: false, ..CardConfig::new(folder.path()) };
    Arc::new(Card::insert(config, 2).unwrap())
}

fn record(tape: &mut Tape, pictures: std::ops::Range<i64>, size: usize) {
    for n in pictures {
        tape.push(picture(n, size)).unwrap();
        tape.push(sound(n)).unwrap();
    }
}

/// The runs of picture numbers that are read from a range, and how many sounds came with them.
fn read(card: &Arc<Card>, from: UnixMicros, to: UnixMicros) -> (Vec<Vec<i64>>, usize) {
    let mut reader = Reader::new(card.clone(), 1, from, to);
    let (mut runs, mut sounds, mut open) = (Vec::<Vec<i64>>::new(), 0, false);
    while let Some(chunk) = reader.read().unwrap() {
        assert_eq!(chunk.begins, !open, "what does not end does not begin");
        open = !chunk.ends;
        if chunk.begins {
            assert!(chunk.frames.iter().find(|frame| frame.track == TrackId::VIDEO).unwrap().key);
            runs.push(vec![]);
        }
        for frame in &chunk.frames {
            if frame.track == TrackId::VIDEO {
                let n = number(frame);
                assert!((frame.wall.0 - picture(n, 0).wall.0).abs() <= 20, "{n}: {:?}", frame.wall);
                assert_eq!(frame.key, n % (2 * RATE) == 0);
                runs.last_mut().unwrap().push(n);
            } else {
                sounds += 1;
            }
        }
    }
    assert!(!open, "the last ends");
    (runs, sounds)
}

fn wall(n: i64) -> UnixMicros {
    picture(n, 0).wall
}

#[test]
fn what_was_recorded_is_read_from_any_moment_on() {
    let folder = TempDir::new().unwrap();
    let card = card(&folder, 16 << 20);
    let mut tape = Tape::new(card.clone(), 1, tracks());
    record(&mut tape, 5..125, 100);
    // Up to the last second, of what grows.
    let [clip] = &card.clips(1, ALL.0, ALL.1)[..] else { panic!() };
    assert!(clip.growing && clip.from == wall(20) && clip.to >= wall(110) && clip.to <= wall(125), "{clip:?}");
    let (runs, _) = read(&card, ALL.0, ALL.1);
    assert_eq!(runs, [(20..110 + (clip.to.0 - wall(110).0) * RATE / SECOND).collect::<Vec<_>>()]);
    tape.finish().unwrap();
    record(&mut tape, 200..300, 100);
    tape.finish().unwrap();
    for again in [false, true] {
        // The same after the camera was switched off and on.
        let card = if again { self::card(&folder, 16 << 20) } else { card.clone() };
        let clips = card.clips(1, ALL.0, ALL.1);
        assert!(clips.iter().all(|clip| !clip.growing));
        let spans: Vec<_> = clips.iter().map(|clip| (clip.from, clip.to)).collect();
        assert_eq!(spans, [(wall(20), wall(125)), (wall(200), wall(300))]);
        assert_eq!(card.clips(1, wall(125), wall(200)), [], "between them is nothing");
        assert_eq!(card.clips(2, ALL.0, ALL.1), [], "of the other channel neither");
        let all = vec![(20..125).collect::<Vec<_>>(), (200..300).collect()];
        let (runs, sounds) = read(&card, ALL.0, ALL.1);
        assert_eq!((runs, sounds), (all, 205));
        assert_eq!(read(&card, wall(47), wall(70)).0, [(40..70).collect::<Vec<_>>()], "from the key frame before");
        assert_eq!(read(&card, wall(119), wall(205)).0, [(100..125).collect::<Vec<_>>(), (200..205).collect()]);
        assert_eq!(read(&card, wall(130), wall(500)).0, [(200..300).collect::<Vec<_>>()], "from the next there is");
        assert_eq!(read(&card, wall(130), wall(190)).0, Vec::<Vec<i64>>::new());
    }
}

#[test]
fn files_change_without_a_gap_and_the_oldest_make_room() {
    let folder = TempDir::new().unwrap();
    let card = card(&folder, BYTES_MIN);
    let mut tape = Tape::new(card.clone(), 1, tracks());
    // 15 KB a second: a file every nine seconds, of eight that there is room for.
    record(&mut tape, 0..600, 1500);
    tape.finish().unwrap();
    let clips = card.clips(1, ALL.0, ALL.1);
    assert!(clips.len() >= 5, "{clips:?}");
    assert!(clips.windows(2).all(|pair| pair[0].to == pair[1].from), "{clips:?}");
    assert_eq!(clips.last().unwrap().to, wall(600));
    let (first, _) = (clips[0].from, card.bytes_used() <= BYTES_MIN);
    assert!(first > wall(0) && first < wall(200), "{clips:?}");
    let on_disk: u64 =
        fs::read_dir(folder.path().join("ch1")).unwrap().map(|f| f.unwrap().metadata().unwrap().len()).sum();
    assert_eq!(card.bytes_used(), on_disk);
    assert!(on_disk <= BYTES_MIN + 4096, "{on_disk}: an index may be too many, for a second");
    let (runs, _) = read(&card, ALL.0, ALL.1);
    let begin = (first.0 - START.0) * RATE / SECOND;
    assert_eq!(runs, [(begin..600).collect::<Vec<_>>()], "one run over all files");
    assert_eq!(card.stretches(1).len(), 1);
}

#[test]
fn samples_are_the_last_to_make_room() {
    let folder = TempDir::new().unwrap();
    let card = card(&folder, BYTES_MIN);
    let mut sample = Tape::new(card.clone(), 1, tracks()).of_sample();
    record(&mut sample, 0..40, 1500);
    assert_eq!(card.clips(1, ALL.0, ALL.1), [], "not before it is done");
    sample.finish().unwrap();
    let mut tape = Tape::new(card.clone(), 1, tracks());
    record(&mut tape, 100..900, 1500);
    tape.finish().unwrap();
    for card in [card, self::card(&folder, BYTES_MIN)] {
        let clips = card.clips(1, ALL.0, ALL.1);
        assert_eq!((clips[0].from, clips[0].to), (wall(0), wall(40)));
        assert!(clips[1].from > wall(200), "what was recorded since made room: {clips:?}");
    }
}

#[test]
fn who_reads_a_clip_that_is_deleted_reads_on() {
    let folder = TempDir::new().unwrap();
    let card = card(&folder, BYTES_MIN);
    let mut tape = Tape::new(card.clone(), 1, tracks());
    record(&mut tape, 0..300, 1500);
    let mut reader = Reader::new(card.clone(), 1, ALL.0, ALL.1);
    let first = reader.read().unwrap().unwrap();
    let picture = |chunk: &Chunk| chunk.frames.iter().find(|frame| frame.track == TrackId::VIDEO).unwrap().clone();
    assert_eq!(number(&picture(&first)), 0);
    record(&mut tape, 300..900, 1500);
    let next = reader.read().unwrap().unwrap();
    assert!(next.begins && picture(&next).key, "there is a gap");
    assert_eq!(card.clips(1, ALL.0, ALL.1)[0].from, picture(&next).wall);
}

#[test]
fn a_file_cut_anywhere_keeps_its_whole_fragments() {
    let folder = TempDir::new().unwrap();
    {
        let card = card(&folder, 16 << 20);
        let mut tape = Tape::new(card, 1, tracks());
        record(&mut tape, 0..65, 20);
        // Switched off without a word.
        std::mem::forget(tape);
    }
    let path = folder.path().join("ch1").join(format!("{}.mp4", START.0));
    let whole = fs::read(&path).unwrap();
    let mut last = 0;
    // Every place within the head and the first boxes, and some of all others.
    for length in (0..2000).chain((2000..whole.len()).step_by(97)).chain([whole.len()]) {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("ch1")).unwrap();
        let path = folder.path().join("ch1").join(format!("{}.mp4", START.0));
        fs::write(&path, &whole[..length]).unwrap();
        let card = card(&folder, 16 << 20);
        assert!(!path.exists(), "closed, or of no use");
        let (runs, _) = read(&card, ALL.0, ALL.1);
        let count = runs.iter().map(Vec::len).sum::<usize>();
        assert!(runs.len() <= 1 && count >= last && count <= 65, "{length}: {runs:?}");
        assert!(runs.iter().all(|run| run.iter().copied().eq(0..count as i64)));
        if let [clip] = &card.clips(1, ALL.0, ALL.1)[..] {
            assert!((clip.to.0 - wall(count as i64).0).abs() <= 100_000, "{length}: {clip:?}");
        }
        last = count;
    }
    assert_eq!(last, 60, "a second at most is lost");
}

#[test]
fn a_clock_that_is_set_begins_another_clip() {
    let folder = TempDir::new().unwrap();
    let card = card(&folder, 16 << 20);
    let mut tape = Tape::new(card.clone(), 1, tracks());
    record(&mut tape, 0..40, 20);
    for n in 40..80 {
        let frame = Frame { wall: UnixMicros(wall(n).0 + 3600 * SECOND), ..(*picture(n, 20)).clone() };
        tape.push(Arc::new(frame)).unwrap();
    }
    tape.finish().unwrap();
    let later = |n: i64| UnixMicros(wall(n).0 + 3600 * SECOND);
    let spans: Vec<_> = card.clips(1, ALL.0, ALL.1).iter().map(|clip| (clip.from, clip.to)).collect();
    assert_eq!(spans, [(wall(0), wall(40)), (later(40), later(80))]);
}

#[test]
fn other_files_on_a_card_are_left_alone() {
    let folder = TempDir::new().unwrap();
    let inside = folder.path().join("ch1");
    fs::create_dir(&inside).unwrap();
    for name in ["holiday.mp4", "12-.mp4", "-5.mp4", "notes.txt", "99999999999999999999-1.mp4"] {
        fs::write(inside.join(name), Bytes::from_static(b"\0\0\0\x08mdat")).unwrap();
    }
    // A clip that is none: listed by its name, and passed over by who reads.
    fs::write(inside.join("1000-2000.mp4"), b"nonsense").unwrap();
    let card = card(&folder, 16 << 20);
    assert_eq!(card.clips(1, ALL.0, ALL.1).len(), 1);
    let mut reader = Reader::new(card, 1, ALL.0, ALL.1);
    assert!(reader.read().is_err());
    assert!(reader.read().unwrap().is_none(), "it goes on after it");
    assert_eq!(fs::read_dir(&inside).unwrap().count(), 6);
}
