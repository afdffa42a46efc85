#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;
use crate::codec::access_unit::AccessUnitBuilder;
use crate::codec::{aac, nal};
use crate::{CodecKind, G711Parameters, TrackId, UnixMicros};

const WALL: UnixMicros = UnixMicros(1);

fn tags(stream: &[u8]) -> Vec<Tag> {
    let mut demuxer = Demuxer::new();
    demuxer.push(stream);
    std::iter::from_fn(|| demuxer.pull().unwrap()).collect()
}

/// The frames of an FLV stream, and the tracks at its end.
fn frames(stream: &[u8]) -> (Vec<Frame>, Vec<Track>) {
    let mut reader = FrameReader::new();
    let frames = tags(stream)
        .into_iter()
        .filter_map(|tag| reader.push(tag.kind, tag.timestamp_ms, tag.body, WALL).unwrap().frame)
        .collect();
    (frames, reader.tracks().to_vec())
}

/// An FLV stream of these frames, as the fan-out writes it.
fn write(tracks: &[Track], frames: &[Frame]) -> Vec<u8> {
    let mut out = file_header(tracks).to_vec();
    write_tag(&mut out, TagType::Script, 0, &[&metadata(tracks)]);
    for (tag, body) in tracks.iter().filter_map(sequence_header) {
        write_tag(&mut out, tag, 0, &[&body]);
    }
    for frame in frames {
        let track = tracks.iter().find(|track| track.id == frame.track).unwrap();
        let tag = if track.kind() == MediaKind::Video { TagType::Video } else { TagType::Audio };
        let mut prefix = Vec::new();
        frame_prefix(track, frame, &mut prefix);
        write_tag(&mut out, tag, frame.dts.to_millis(track.clock_rate) as u32, &[&prefix, &frame.data]);
    }
    out
}

/// Reads what ffmpeg wrote, compares with the packets that ffprobe saw in it (stream, pts, dts, size,
/// key), writes the frames again and compares each body with that of ffmpeg.
fn check(golden: &[u8], packets: &str, codecs: &[CodecKind]) {
    let (frames, tracks) = frames(golden);
    assert_eq!(tracks.iter().map(|track| track.codec.kind()).collect::<Vec<_>>(), codecs);
    let mut seen = String::new();
    for frame in &frames {
        let stream = tracks.iter().position(|track| track.id == frame.track).unwrap();
        let ms = |ticks| Ticks(ticks).to_millis(tracks[stream].clock_rate);
        let (pts, dts) = (ms(frame.dts.0 + i64::from(frame.cts)), ms(frame.dts.0));
        let key = if frame.key { 'K' } else { '_' };
        seen += &format!("{stream},{pts},{dts},{},{key}_\n", frame.data.len());
    }
    assert_eq!(seen, packets);

    let bodies = |stream: &[u8]| -> Vec<(TagType, Bytes)> {
        let end_of_sequence = |tag: &Tag| tag.kind == TagType::Video && tag.body.get(1) == Some(&2);
        let all = tags(stream).into_iter().filter(|tag| tag.kind != TagType::Script && !end_of_sequence(tag));
        all.map(|tag| (tag.kind, tag.body)).collect()
    };
    assert_eq!(bodies(&write(&tracks, &frames)), bodies(golden));
}

#[test]
fn x264_high_with_b_frames_and_aac() {
    check(
        include_bytes!("../../testdata/x264_high_bframes_aac.flv"),
        include_str!("../../testdata/x264_high_bframes_aac.flv.packets"),
        &[CodecKind::H264, CodecKind::Aac],
    );
}

#[test]
fn baseline_with_g711_a_law() {
    check(
        include_bytes!("../../testdata/ffmpeg_baseline_g711a.flv"),
        include_str!("../../testdata/ffmpeg_baseline_g711a.flv.packets"),
        &[CodecKind::H264, CodecKind::G711],
    );
}

#[test]
fn sound_alone_in_g711_mu_law() {
    check(
        include_bytes!("../../testdata/ffmpeg_g711mu.flv"),
        include_str!("../../testdata/ffmpeg_g711mu.flv.packets"),
        &[CodecKind::G711],
    );
}

/// The frames of an x265 stream at 15 a second, with these composition offsets in turn.
fn h265(cts: &[i32]) -> (Track, Vec<Frame>) {
    let mut builder = AccessUnitBuilder::new(CodecKind::H265);
    let mut units = Vec::new();
    for unit in nal::annex_b(include_bytes!("../../testdata/x265_main_aud.h265")) {
        if builder.is_complete_before(unit) {
            units.extend(builder.finish().unwrap());
        }
        builder.push(unit).unwrap();
    }
    units.extend(builder.finish().unwrap());
    let track = Track { id: TrackId::VIDEO, codec: builder.parameters().unwrap().clone(), clock_rate: 90_000 };
    let frame = |(at, unit): (usize, crate::codec::access_unit::AccessUnit)| Frame {
        track: TrackId::VIDEO,
        dts: Ticks(at as i64 * 6030), // whole milliseconds, so that FLV keeps it
        cts: cts[at % cts.len()],
        wall: WALL,
        key: unit.key,
        data: unit.data,
    };
    let frames = units.into_iter().enumerate().map(frame).collect();
    (track, frames)
}

#[test]
fn h265_goes_through_the_enhanced_form() {
    for cts in [&[0][..], &[180, -90, 0]] {
        let (track, before) = h265(cts);
        assert_eq!(before.len(), 6);
        let stream = write(std::slice::from_ref(&track), &before);
        let video = tags(&stream).into_iter().find(|tag| tag.kind == TagType::Video).unwrap();
        assert_eq!(video.body[..5], *b"\x90hvc1");
        assert_eq!(frames(&stream), (before, vec![track]));
    }
}

#[test]
fn h265_as_codec_id_12_of_chinese_encoders() {
    let (track, sent) = h265(&[90]);
    let CodecParameters::H265(parameters) = &track.codec else { unreachable!("h265() makes H.265") };
    let mut reader = FrameReader::new();
    let start = [&[0x1C, 0, 0, 0, 0][..], &h265::hvcc(parameters)].concat();
    let output = reader.push(TagType::Video, 0, start.into(), WALL).unwrap();
    assert_eq!(output.tracks.as_deref(), Some(&[track][..]));
    let body = [&[0x1C, 1, 0, 0, 1][..], &sent[0].data].concat();
    assert_eq!(reader.push(TagType::Video, 0, body.into(), WALL).unwrap().frame.as_ref(), Some(&sent[0]));
}

#[test]
fn h264_in_the_enhanced_form_with_modifiers() {
    let golden = include_bytes!("../../testdata/ffmpeg_baseline_g711a.flv");
    let mut legacy = tags(golden).into_iter().filter(|tag| tag.kind == TagType::Video);
    let record = legacy.next().unwrap().body.slice(5..);
    let picture = legacy.next().unwrap().body.slice(5..);
    let mut reader = FrameReader::new();
    reader.push(TagType::Video, 0, [b"\x90avc1", &record[..]].concat().into(), WALL).unwrap();
    // ModEx: one block of 3 bytes (a nanosecond offset), then CodedFrames.
    let body = [&[0x97, 2, 0, 0, 9, 0x01][..], b"avc1\0\0\x05", &picture].concat();
    let frame = reader.push(TagType::Video, 40, body.into(), WALL).unwrap().frame.unwrap();
    assert_eq!((frame.dts, frame.cts, frame.key, frame.data), (Ticks(3600), 450, true, picture));
}

#[test]
fn codecs_that_are_not_carried_are_named() {
    let message = |tag, body: &'static [u8]| parse_body(tag, Bytes::from_static(body)).unwrap_err().to_string();
    assert_eq!(message(TagType::Video, &[0x12, 0, 0]), "video codec 2 (Sorenson H.263) is not supported");
    assert_eq!(message(TagType::Video, b"\x90av01"), "codec av01 is not supported");
    assert_eq!(message(TagType::Audio, &[0x2F, 0]), "audio codec 2 (MP3) is not supported");
    assert_eq!(message(TagType::Audio, b"\x90Opus"), "codec Opus is not supported");
    assert_eq!(message(TagType::Video, &[0x17, 3, 0, 0, 0]), "AVCPacketType 3 is not supported");
    assert_eq!(message(TagType::Video, b"\x96hvc1"), "VideoPacketType 6 is not supported");
    assert_eq!(message(TagType::Video, &[0x17, 1, 0]), "body ends within CompositionTime");
    assert_eq!(message(TagType::Video, b"\x97\xff\xff"), "body ends within ModEx");
}

#[test]
fn bodies_without_use_are_nothing() {
    let nothing = |tag, body: &'static [u8]| assert_eq!(parse_body(tag, Bytes::from_static(body)), Ok(Body::Nothing));
    nothing(TagType::Video, &[]);
    nothing(TagType::Video, &[0x17, 2, 0, 0, 0]); // end of sequence
    nothing(TagType::Video, &[0x57, 0]); // a seek command
    nothing(TagType::Video, b"\x94hvc1\x02"); // colour information
    nothing(TagType::Video, b"\x92hvc1");
    nothing(TagType::Audio, &[0xAF]);
}

#[test]
fn frames_before_their_parameters_are_left_out() {
    let mut reader = FrameReader::new();
    let mut push = |tag, body: &[u8]| reader.push(tag, 0, Bytes::copy_from_slice(body), WALL).unwrap();
    assert_eq!(push(TagType::Audio, &[0xAF, 1, 0x21, 0x10]), Output::default());
    assert_eq!(push(TagType::Video, &[0x17, 1, 0, 0, 0, 0, 0, 0, 3, 0x65, 0x88, 1]), Output::default());
    assert!(push(TagType::Audio, &[0xAF, 0, 0x14, 0x08]).tracks.is_some());
    assert!(push(TagType::Audio, &[0xAF, 1, 0x21, 0x10]).frame.is_some());
}

#[test]
fn a_damaged_frame_leaves_nothing_for_the_next() {
    let golden = include_bytes!("../../testdata/ffmpeg_baseline_g711a.flv");
    let mut reader = FrameReader::new();
    let mut video = tags(golden).into_iter().filter(|tag| tag.kind == TagType::Video);
    reader.push(TagType::Video, 0, video.next().unwrap().body, WALL).unwrap();
    let whole = video.next().unwrap().body;
    let cut = whole.slice(..whole.len() - 1);
    let error = Err(Error::Codec(codec::Error::Truncated("NAL unit")));
    assert_eq!(reader.push(TagType::Video, 0, cut, WALL), error);
    let frame = reader.push(TagType::Video, 0, whole.clone(), WALL).unwrap().frame.unwrap();
    assert_eq!(frame.data, whole.slice(5..));
}

#[test]
fn adts_inside_an_aac_body_is_stripped() {
    let parameters = aac::parameters(aac::config(aac::OBJECT_TYPE_LC, 16_000, 1).unwrap()).unwrap();
    let mut reader = FrameReader::new();
    let start = [&[0xAF, 0][..], &parameters.config].concat();
    reader.push(TagType::Audio, 0, start.into(), WALL).unwrap();
    let body = [&[0xAF, 1][..], &aac::adts_header(&parameters, 3).unwrap(), &[1, 2, 3]].concat();
    let frame = reader.push(TagType::Audio, 0, body.into(), WALL).unwrap().frame.unwrap();
    assert_eq!(frame.data[..], [1, 2, 3]);
}

/// Decoding times in ticks of a 44.1 kHz AAC track whose bodies come at these milliseconds.
fn aac_times(stamps: impl IntoIterator<Item = u32>) -> Vec<i64> {
    let mut reader = FrameReader::new();
    reader.push(TagType::Audio, 0, Bytes::from_static(&[0xAF, 0, 0x12, 0x10]), WALL).unwrap();
    let body = Bytes::from_static(&[0xAF, 1, 0x21]);
    stamps
        .into_iter()
        .map(|ms| reader.push(TagType::Audio, ms, body.clone(), WALL).unwrap().frame.unwrap().dts.0)
        .collect()
}

#[test]
fn audio_stamps_of_milliseconds_return_to_whole_frames() {
    let times = aac_times((0..2000u32).map(|frame| frame * 1024 * 10 / 441));
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 1024));
    // A real gap stays one.
    assert_eq!(aac_times([0, 23, 500]), [0, 1024, 22_050]);
}

#[test]
fn timestamps_go_on_past_32_bits_and_back() {
    let wrap = 1i64 << 32;
    let ms = |ticks: &i64| Ticks(*ticks).to_millis(44_100);
    let times = aac_times([u32::MAX - 99, 100, 4_000_000, u32::MAX - 999, 100]);
    let expected = [wrap - 100, wrap + 100, wrap + 4_000_000, wrap - 1000, wrap + 100];
    assert_eq!(times.iter().map(ms).collect::<Vec<_>>(), expected);
}

#[test]
fn metadata_says_what_the_tracks_are() {
    let (track, _) = h265(&[0]);
    let law = G711Law::A;
    let audio = Track {
        id: TrackId::AUDIO,
        codec: CodecParameters::G711(G711Parameters { law, sample_rate: 8000, channels: 1 }),
        clock_rate: 8000,
    };
    let Ok(Body::Script(name, value)) = parse_body(TagType::Script, metadata(&[track, audio])) else {
        panic!("not a script")
    };
    assert_eq!(name, "onMetaData");
    let number = |key: &str| value.get(key).and_then(Value::as_number);
    assert_eq!((number("width"), number("height"), number("framerate")), (Some(130.0), Some(98.0), Some(15.0)));
    assert_eq!(number("videocodecid"), Some(f64::from(u32::from_be_bytes(*b"hvc1"))));
    assert_eq!((number("audiocodecid"), number("audiosamplerate")), (Some(7.0), Some(8000.0)));
}

#[test]
fn demuxer_refuses_what_is_no_flv() {
    let error = |bytes: &[u8]| {
        let mut demuxer = Demuxer::new();
        demuxer.push(bytes);
        demuxer.pull().unwrap_err()
    };
    assert_eq!(error(b"G"), Error::NotFlv);
    assert_eq!(error(b"FLV\x02"), Error::NotFlv);
    assert_eq!(error(b"FLV\x01\x05\x00\x01\x00\x00"), Error::HeaderLength(65_536));
    let encrypted = [&file_header(&[])[..], &[0x29; TAG_HEADER]].concat();
    assert_eq!(error(&encrypted), Error::Encrypted { offset: 13 });
}

fn any_tag() -> impl Strategy<Value = Tag> {
    let kind = prop::sample::select(&[TagType::Audio, TagType::Video, TagType::Script][..]);
    (kind, any::<u32>(), prop::collection::vec(any::<u8>(), 0..300)).prop_map(|(kind, timestamp_ms, body)| Tag {
        kind,
        timestamp_ms,
        body: body.into(),
    })
}

proptest! {
    #[test]
    fn tags_round_trip_in_any_pieces(sent in prop::collection::vec(any_tag(), 0..8), piece in 1usize..40, at in 0usize..8) {
        let mut stream = file_header(&[]).to_vec();
        for (index, tag) in sent.iter().enumerate() {
            if index == at {
                // A tag of a kind nobody knows.
                stream.extend([15, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 13]);
            }
            let (head, tail) = tag.body.split_at(tag.body.len() / 2);
            write_tag(&mut stream, tag.kind, tag.timestamp_ms, &[head, tail]);
        }
        let mut demuxer = Demuxer::new();
        let mut seen = Vec::new();
        for bytes in stream.chunks(piece) {
            demuxer.push(bytes);
            while let Some(tag) = demuxer.pull().unwrap() {
                seen.push(tag);
            }
        }
        prop_assert_eq!(seen, sent);
    }

    #[test]
    fn any_body_is_parsed_or_refused(bodies in prop::collection::vec(any_tag(), 0..20)) {
        let mut reader = FrameReader::new();
        for tag in bodies {
            if let Ok(Output { frame: Some(frame), .. }) = reader.push(tag.kind, tag.timestamp_ms, tag.body, WALL) {
                prop_assert!(reader.tracks().iter().any(|track| track.id == frame.track));
            }
        }
    }
}
