#![allow(clippy::unwrap_used)]
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::read::{find, micros, samples};
use super::*;
use crate::codec::access_unit::AccessUnitBuilder;
use crate::codec::{aac, nal};
use crate::{CodecKind, CodecParameters, Frame, G711Law, G711Parameters, MediaKind, Ticks, Track, TrackId, UnixMicros};

/// When the recordings of these tests begin: 2023-11-14 22:13:20.123457.
const BEGIN: i64 = 1_700_000_000_123_457;

fn video(codec: CodecKind, stream: &[u8]) -> Track {
    let mut builder = AccessUnitBuilder::new(codec);
    nal::annex_b(stream).for_each(|unit| builder.push(unit).unwrap());
    Track { id: TrackId::VIDEO, codec: builder.take_changed().unwrap().unwrap(), clock_rate: 90_000 }
}

fn h264() -> Track {
    video(CodecKind::H264, include_bytes!("../../testdata/x264_slices_aud.h264"))
}

fn h265() -> Track {
    video(CodecKind::H265, include_bytes!("../../testdata/x265_main_aud.h265"))
}

fn aac(sample_rate: u32) -> Track {
    let parameters = aac::parameters(aac::config(aac::OBJECT_TYPE_LC, sample_rate, 2).unwrap()).unwrap();
    Track { id: TrackId::AUDIO, codec: CodecParameters::Aac(parameters), clock_rate: sample_rate }
}

fn g711(law: G711Law) -> Track {
    let parameters = G711Parameters { law, sample_rate: 8000, channels: 1 };
    Track { id: TrackId::AUDIO, codec: CodecParameters::G711(parameters), clock_rate: 8000 }
}

fn frame(track: &Track, dts: i64, cts: i32, key: bool, data: &[u8]) -> Arc<Frame> {
    let wall = UnixMicros(BEGIN + micros(dts, track.clock_rate));
    Arc::new(Frame { track: track.id, dts: Ticks(dts), cts, wall, key, data: Bytes::copy_from_slice(data) })
}

/// Frames of one track and where the last ends.
type Frames<'a> = (&'a Track, Vec<Arc<Frame>>, i64);

fn written(sequence: u32, runs: &[Frames<'_>]) -> Vec<u8> {
    let runs: Vec<_> = runs.iter().map(|(track, frames, end)| Run { track, frames, end: Ticks(*end) }).collect();
    let mut out = Vec::new();
    fragment(&mut out, sequence, &runs);
    out
}

/// A fragment of a second: a key picture or none, then others, and sound.
fn second(tracks: &[Track], at: i64, key: bool) -> Vec<u8> {
    let run = |track: &'_ Track| {
        let rate = i64::from(track.clock_rate);
        let is_video = track.kind() == MediaKind::Video;
        let frames = (0..5)
            .map(|n| frame(track, (at * 5 + n) * rate / 5, 0, !is_video || key && n == 0, &[at as u8, n as u8, 7]));
        (frames.collect(), (at + 1) * rate)
    };
    let runs: Vec<_> =
        tracks.iter().map(|track| (track, run(track))).map(|(track, (f, end))| (track, f, end)).collect();
    written(at as u32 + 1, &runs)
}

#[test]
fn a_fragment_byte_for_byte() {
    let (video, sound) = (h264(), aac(16_000));
    let pictures = [(9000, 0, true), (12_600, -90, false), (16_200, 0, false)];
    let pictures = pictures.map(|(dts, cts, key)| frame(&video, dts, cts, key, &[0, 0, 0, 1, 0x65])).to_vec();
    let sounds = [1600, 2624].map(|dts| frame(&sound, dts, 0, true, &[0x21])).to_vec();
    let expected = [
        b"\0\0\0\x20prft\x01\0\0\x18\0\0\0\x01".as_slice(),
        // 2023-11-14 22:13:20.223457, 3,908,988,800 s after 1900
        b"\xE8\xFE\x6F\x80\x39\x34\x7A\x5B\0\0\0\0\0\0\x23\x28",
        b"\0\0\0\xD0moof\0\0\0\x10mfhd\0\0\0\0\0\0\0\x07",
        b"\0\0\0\x64traf",
        // default duration and flags, offsets from the moof
        b"\0\0\0\x18tfhd\0\x02\0\x28\0\0\0\x01\0\0\x0E\x10\x01\x01\0\0",
        b"\0\0\0\x14tfdt\x01\0\0\0\0\0\0\0\0\0\x23\x28",
        // sizes and composition offsets, flags of the first
        b"\0\0\0\x30trun\x01\0\x0A\x05\0\0\0\x03\0\0\0\xD8\x02\0\0\0",
        b"\0\0\0\x05\0\0\0\0\0\0\0\x05\xFF\xFF\xFF\xA6\0\0\0\x05\0\0\0\0",
        b"\0\0\0\x54traf",
        // the last one is shorter, so no default duration
        b"\0\0\0\x14tfhd\0\x02\0\x20\0\0\0\x02\x02\0\0\0",
        b"\0\0\0\x14tfdt\x01\0\0\0\0\0\0\0\0\0\x06\x40",
        b"\0\0\0\x24trun\x01\0\x03\x01\0\0\0\x02\0\0\0\xE7\0\0\x04\0\0\0\0\x01\0\0\x03\xE8\0\0\0\x01",
        b"\0\0\0\x19mdat\0\0\0\x01\x65\0\0\0\x01\x65\0\0\0\x01\x65\x21\x21",
    ];
    assert_eq!(written(7, &[(&video, pictures, 19_800), (&sound, sounds, 3624)]), expected.concat());
    assert!(written(8, &[(&video, vec![], 0)]).is_empty());
}

#[test]
fn an_index_byte_for_byte() {
    let (tracks, mut out) = ([h264(), aac(16_000)], Vec::new());
    let entry = |at, time, key| IndexEntry { at, time, key };
    let entries = [entry(1000, 0, true), entry(2000, 1_000_000, false), entry(3000, 2_000_000, true)];
    write_index(&mut out, &tracks, 500_000, &entries);
    let expected = [
        b"\0\0\0\x56mfra\0\0\0\x3Etfra\x01\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02".as_slice(),
        b"\0\0\0\0\0\0\xAF\xC8\0\0\0\0\0\0\x03\xE8\x01\x01\x01",
        b"\0\0\0\0\0\x03\x6E\xE8\0\0\0\0\0\0\x0B\xB8\x01\x01\x01",
        b"\0\0\0\x10mfro\0\0\0\0\0\0\0\x56",
    ];
    assert_eq!(out, expected.concat());
    assert_eq!(index_len(&out), Some(0x56));
    assert_eq!(read_index(&tracks, &out), Ok(vec![entries[0], entries[2]]));
    let behind_media = [&[9; 100], &out[..]].concat();
    assert_eq!(read_index(&tracks, &behind_media), Ok(vec![entries[0], entries[2]]));
    assert_eq!(read_index(&tracks, &out[6..]), Err(Error::Incomplete { what: "mfra", missing: 6 }));
    assert_eq!(read_index(&tracks, &out[..80]), Err(Error::Invalid("mfro")));
    // Sound alone is indexed by its own clock.
    let (tracks, mut out) = ([aac(16_000)], Vec::new());
    write_index(&mut out, &tracks, 64_000, &entries);
    assert_eq!(read_index(&tracks, &out), Ok(vec![entries[0], entries[2]]));
}

#[test]
fn tracks_are_read_back() {
    let rare = Track { clock_rate: 96_000, ..aac(96_000) };
    for tracks in [
        vec![h264(), aac(16_000)],
        vec![h265(), g711(G711Law::A)],
        vec![g711(G711Law::Mu)],
        vec![h264()],
        vec![rare],
        vec![Track { id: TrackId(255), ..h265() }],
    ] {
        let init = init(&tracks);
        assert_eq!(read_init(&init), Ok((tracks.clone(), init.len())));
        let followed = [&init[..], &second(&tracks, 0, true)].concat();
        assert_eq!(read_init(&followed), Ok((tracks, init.len())));
        for cut in 0..init.len() {
            assert!(matches!(read_init(&init[..cut]), Err(Error::Incomplete { .. })), "cut at {cut}");
        }
    }
}

#[test]
fn what_is_no_init_is_named() {
    let boxed = |kind: &[u8; 4], body: &[u8]| {
        let mut out = Vec::new();
        boxes::put(&mut out, kind, |out| out.extend_from_slice(body));
        out
    };
    assert_eq!(read_init(&boxed(b"mdat", &[1])), Err(Error::Invalid("file without moov in front")));
    assert_eq!(read_init(&[0; 64]), Err(Error::Invalid("box size")));
    assert_eq!(read_init(&boxed(b"moov", &[])), Err(Error::Unsupported("file without fragments")));
    let mvex = boxed(b"mvex", &[]);
    assert_eq!(read_init(&boxed(b"moov", &mvex)), Err(Error::Unsupported("file without tracks")));
    let huge = [&(MOOV_MAX as u32 + 1).to_be_bytes(), &b"moov"[..]].concat();
    assert!(matches!(read_init(&huge), Err(Error::TooLarge { what: "moov", .. })));
    // A size of 64 bits that is smaller than its own header.
    assert_eq!(read_init(b"\0\0\0\x01moov\0\0\0\0\0\0\0\x0F"), Err(Error::Invalid("box size")));
    // Of two tracks the one we do not know is left out.
    let tracks = [h264(), aac(16_000)];
    let mut other = init(&tracks);
    let at = other.windows(4).position(|bytes| bytes == b"mp4a").unwrap();
    other[at..at + 4].copy_from_slice(b"Opus");
    assert_eq!(read_init(&other).unwrap().0, tracks[..1]);
}

#[test]
fn the_wall_clock_goes_on_in_the_next_era_of_ntp() {
    let track = g711(G711Law::A);
    // 1970, the last microsecond before 2036-02-07 06:28:16 and the next one, 2100.
    for wall in [0, 2_085_978_495_999_999, 2_085_978_496_000_000, 4_102_444_800_000_001].map(UnixMicros) {
        let frames = vec![Arc::new(Frame { wall, ..Frame::clone(&frame(&track, 160, 0, true, &[1])) })];
        let (read, _) =
            read_fragment(std::slice::from_ref(&track), &written(1, &[(&track, frames, 320)]).into()).unwrap();
        assert_eq!(read[0].wall, wall);
    }
}

#[test]
fn a_file_cut_anywhere_keeps_its_whole_fragments() {
    let tracks = [h264(), aac(16_000)];
    let mut file = init(&tracks);
    let mut whole = Vec::new();
    for at in 0..3 {
        let offset = file.len();
        file.extend_from_slice(&second(&tracks, at, at != 1));
        let wall = |second| UnixMicros(BEGIN + second * 1_000_000);
        let len = file.len() - offset;
        let fragment = Fragment { offset, len, from: wall(at), to: wall(at + 1), key: at != 1, time: at * 1_000_000 };
        whole.push(fragment);
    }
    let index: Vec<_> =
        whole.iter().map(|found| IndexEntry { at: found.offset as u64, time: found.time, key: found.key }).collect();
    write_index(&mut file, &tracks, 0, &index);
    let all = Bytes::from(file);
    for cut in 0..=all.len() {
        let found: Vec<_> = scan(&tracks, &all[..cut]).collect();
        let expected: Vec<_> = whole.iter().filter(|found| found.offset + found.len <= cut).copied().collect();
        assert_eq!(found, expected, "cut at {cut}");
        let rest = all.slice(whole[0].offset.min(cut)..cut);
        match read_fragment(&tracks, &rest) {
            Ok((frames, len)) => assert!(rest.is_empty() && len == 0 || frames.len() == 10 && len == whole[0].len),
            Err(error) => assert!(matches!(error, Error::Incomplete { .. }) && cut < whole[1].offset, "{cut}: {error}"),
        }
        assert_eq!(read_index(&tracks, &all[..cut]).is_ok(), cut == all.len());
    }
    // What a power cut leaves behind the last write.
    let zeros = [&all[..whole[2].offset], &[0; 4096]].concat();
    assert_eq!(scan(&tracks, &zeros).collect::<Vec<_>>(), whole[..2]);
}

#[test]
fn a_flipped_bit_never_gives_more_than_there_is() {
    let tracks = [h264(), aac(16_000)];
    let file = [init(&tracks), second(&tracks, 0, true), second(&tracks, 1, false)].concat();
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut damaged = file.clone();
            damaged[at] ^= 1 << bit;
            let _ = read_init(&damaged); // must only return
            assert!(scan(&tracks, &damaged).all(|found| found.offset + found.len <= damaged.len()));
            let bytes = Bytes::from(damaged).slice(init(&tracks).len()..);
            if let Ok((frames, len)) = read_fragment(&tracks, &bytes) {
                assert!(frames.iter().map(|frame| frame.data.len()).sum::<usize>() <= len);
            }
            let _ = Joiner::new(&tracks).push(&bytes);
        }
    }
}

#[test]
fn a_count_of_samples_is_not_believed() {
    // No field of its own for each sample, so that it claims 2³² of them with 8 bytes.
    let moof = |count: u32| {
        let mut out = Vec::new();
        boxes::put(&mut out, b"moof", |out| {
            boxes::put(out, b"traf", |out| {
                boxes::put_full(out, b"tfhd", 0, 0x2_0018, |out| {
                    [1_u32, 0, 0].iter().for_each(|field| out.extend_from_slice(&field.to_be_bytes()));
                });
                boxes::put_full(out, b"tfdt", 0, 0, |out| out.extend_from_slice(&[0; 4]));
                boxes::put_full(out, b"trun", 0, 1, |out| {
                    out.extend_from_slice(&count.to_be_bytes());
                    out.extend_from_slice(&[0, 0, 0, 84]);
                });
            });
        });
        boxes::put(&mut out, b"mdat", |_| {});
        Bytes::from(out)
    };
    let tracks = [h264()];
    assert_eq!(read_fragment(&tracks, &moof(3)).unwrap().0.len(), 3);
    let error = read_fragment(&tracks, &moof(u32::MAX)).unwrap_err();
    assert_eq!(error, Error::TooLarge { what: "number of samples", max: SAMPLES_MAX });
}

#[test]
fn joined_recordings_count_on_through_gaps_and_new_clocks() {
    let tracks = [h264(), aac(16_000)];
    let mut joiner = Joiner::new(&tracks);
    let mut begins = Vec::new();
    // In a row, with a lost half second, after a gap, by a clock that began anew.
    for (n, at) in [100, 101, 102, 500, 501, 0, 1].into_iter().enumerate() {
        let part = Bytes::from(second(&tracks, at, true));
        let (joined, len) = joiner.push(&part).unwrap();
        assert_eq!(len, part.len());
        let Joined { moof, mdat } = joined.unwrap();
        let sequence = u32::from_be_bytes(*moof[20..].first_chunk().unwrap());
        assert_eq!(sequence, n as u32 + 1);
        let whole = Bytes::from([moof, mdat].concat());
        let (frames, len) = read_fragment(&tracks, &whole).unwrap();
        assert_eq!((frames.len(), len), (10, whole.len()));
        let first = |id| frames.iter().find(|frame| frame.track == id).unwrap();
        assert_eq!(first(TrackId::VIDEO).data[..], [at as u8, 0, 7]);
        begins.push((first(TrackId::VIDEO).dts.0, first(TrackId::AUDIO).dts.0));
    }
    // A seam has a millisecond.
    let ms = [0, 1000, 2000, 3001, 4001, 5002, 6002];
    assert_eq!(begins, ms.map(|ms| (ms * 90, ms * 16)));
    assert_eq!(joiner.push(&Bytes::new()), Ok((None, 0)));
    let mut index = Vec::new();
    write_index(&mut index, &tracks, 0, &[]);
    assert_eq!(joiner.push(&Bytes::from(index.clone())), Ok((None, index.len())));
}

#[test]
fn a_last_sample_said_to_last_too_long_does_not_make_a_gap() {
    let track = g711(G711Law::A);
    let mut joiner = Joiner::new(std::slice::from_ref(&track));
    for n in 0..3 {
        // Two sounds of 20 ms, the second of which claims 25 ms.
        let sounds = [320 * n, 320 * n + 160].map(|dts| frame(&track, dts, 0, true, &[1])).to_vec();
        let part = written(1, &[(&track, sounds, 320 * n + 360)]);
        let Joined { moof, mdat } = joiner.push(&part.into()).unwrap().0.unwrap();
        let (frames, _) = read_fragment(std::slice::from_ref(&track), &[moof, mdat].concat().into()).unwrap();
        assert_eq!(frames.iter().map(|frame| frame.dts.0).collect::<Vec<_>>(), [320 * n, 320 * n + 160]);
    }
}

#[test]
fn sound_that_stops_for_a_while_does_not_make_a_gap() {
    let tracks = [h264(), aac(16_000)];
    let mut joiner = Joiner::new(&tracks);
    let mut begins = Vec::new();
    for at in 0..5 {
        let present = if at == 0 || at == 4 { &tracks[..] } else { &tracks[..1] };
        let (joined, _) = joiner.push(&second(present, at, true).into()).unwrap();
        let Joined { moof, mdat } = joined.unwrap();
        let (frames, _) = read_fragment(&tracks, &[moof, mdat].concat().into()).unwrap();
        begins.extend(frames.iter().filter(|frame| frame.data[1] == 0).map(|frame| (frame.track.0, frame.dts.0)));
    }
    let expected = [(0, 0), (1, 0), (0, 90_000), (0, 180_000), (0, 270_000), (0, 360_000), (1, 64_000)];
    assert_eq!(begins, expected);
}

/// Frames of a track: first dts, then of each the distance to the next, composition offset, key, size.
fn arbitrary_run(track: Track) -> impl Strategy<Value = (Track, Vec<Arc<Frame>>, i64)> {
    let is_video = track.kind() == MediaKind::Video;
    let uniform = prop_oneof![Just(true), Just(false)];
    let one = (0_u32..100_000, prop_oneof![Just(0), any::<i32>()], any::<bool>(), 0_usize..40);
    (0_i64..1 << 40, uniform, proptest::collection::vec(one, 0..12)).prop_map(move |(first, uniform, all)| {
        let mut dts = first;
        let mut frames = Vec::new();
        for (n, (step, cts, key, size)) in all.into_iter().enumerate() {
            let cts = if is_video { cts } else { 0 };
            frames.push(frame(&track, dts, cts, !is_video || key, &vec![n as u8; size]));
            dts += if uniform { 3600 } else { i64::from(step) };
        }
        (track.clone(), frames, dts)
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        pictures in prop_oneof![Just(h264()), Just(h265())].prop_flat_map(arbitrary_run),
        sound in prop_oneof![Just(aac(48_000)), Just(g711(G711Law::A))].prop_flat_map(arbitrary_run),
        sequence in any::<u32>(),
    ) {
        let tracks = [pictures.0.clone(), sound.0.clone()];
        let runs = [&pictures, &sound].map(|(track, frames, end)| (track, frames.clone(), *end));
        let bytes = Bytes::from(written(sequence, &runs));
        let (read, len) = read_fragment(&tracks, &bytes).unwrap();
        prop_assert_eq!(len, bytes.len());
        prop_assert!(read.windows(2).all(|pair| pair[0].wall <= pair[1].wall));
        for (track, frames, end) in &runs {
            let own: Vec<_> = read.iter().filter(|frame| frame.track == track.id).cloned().collect();
            prop_assert_eq!(own, frames.iter().map(|frame| Frame::clone(frame)).collect::<Vec<_>>());
            let mut durations = Vec::new();
            if let Some(layout) = find(&bytes, 0).unwrap() {
                samples(&tracks, &bytes, &layout, |of, sample| {
                    durations.extend((of.id == track.id).then_some(i64::from(sample.duration)));
                }).unwrap();
            }
            let ends = frames.iter().skip(1).map(|frame| frame.dts.0).chain([*end]);
            prop_assert_eq!(durations, frames.iter().zip(ends).map(|(frame, end)| end - frame.dts.0).collect::<Vec<_>>());
        }
    }
}
