//! Frames through packets and back, with the damage that networks and cameras do.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use av::codec::access_unit::AccessUnitBuilder;
use av::codec::{aac, nal};
use av::{CodecKind, CodecParameters, Frame, G711Law, G711Parameters, Ticks, Track, TrackId, UnixMicros};
use bytes::Bytes;

use super::rtcp::{NtpTime, Rtcp};
use super::*;

const H264: &[u8] = include_bytes!("../../../av/src/testdata/x264_slices_aud.h264");
const H265: &[u8] = include_bytes!("../../../av/src/testdata/x265_main_aud.h265");

/// The stream's track and its frames, 40 ms apart, as an encoder would hand them over.
fn video(codec: CodecKind) -> (Track, Vec<Frame>) {
    let mut builder = AccessUnitBuilder::new(codec);
    let mut units = Vec::new();
    for unit in nal::annex_b(if codec == CodecKind::H264 { H264 } else { H265 }) {
        if builder.is_complete_before(unit) {
            units.extend(builder.finish().unwrap());
        }
        builder.push(unit).unwrap();
    }
    units.extend(builder.finish().unwrap());
    let frames = units.iter().enumerate().map(|(n, unit)| Frame {
        track: TrackId::VIDEO,
        dts: Ticks(n as i64 * 3600),
        cts: 0,
        wall: UnixMicros::default(),
        key: unit.key,
        data: unit.data.clone(),
    });
    let codec = builder.parameters().unwrap().clone();
    (Track { id: TrackId::VIDEO, codec, clock_rate: 90_000 }, frames.collect())
}

fn aac_track() -> Track {
    let parameters = aac::parameters(aac::config(aac::OBJECT_TYPE_LC, 16_000, 1).unwrap()).unwrap();
    Track { id: TrackId::AUDIO, codec: CodecParameters::Aac(parameters), clock_rate: 16_000 }
}

fn g711_track() -> Track {
    let parameters = G711Parameters { law: G711Law::A, sample_rate: 8000, channels: 1 };
    Track { id: TrackId::AUDIO, codec: CodecParameters::G711(parameters), clock_rate: 8000 }
}

fn audio_frame(dts: i64, data: Vec<u8>) -> Frame {
    Frame { track: TrackId::AUDIO, dts: Ticks(dts), cts: 0, wall: UnixMicros::default(), key: true, data: data.into() }
}

fn format(track: &Track, in_band: bool) -> Format {
    let parameters = (!in_band).then(|| track.codec.clone());
    Format { payload_type: 96, codec: track.codec.kind(), clock_rate: track.clock_rate, parameters }
}

fn packets(track: &Track, frames: &[Frame], payload_max: usize) -> Vec<Packet> {
    let mut packetizer = Packetizer::new(96).payload_max(payload_max);
    let mut out = Vec::new();
    frames.iter().for_each(|frame| packetizer.push(track, frame, &mut out));
    out.iter().inspect(|p| assert!(p.len() <= payload_max + 12)).map(|p| Packet::parse(p).unwrap()).collect()
}

/// What a depacketiser makes of packets; gaps are seen by sequence number.
fn units(format: &Format, packets: &[Packet]) -> Vec<Unit> {
    let mut depacketizer = Depacketizer::new(format);
    let mut last: Option<u16> = None;
    let mut out = Vec::new();
    for packet in packets {
        let gap = last.replace(packet.sequence).is_some_and(|last| last.wrapping_add(1) != packet.sequence);
        depacketizer.push(packet, gap).unwrap();
        out.extend(std::iter::from_fn(|| depacketizer.pull()));
    }
    out
}

fn data(units: &[Unit]) -> Vec<Bytes> {
    let frames = units.iter().filter_map(|unit| match unit {
        Unit::Frame { data, .. } => Some(data.clone()),
        _ => None,
    });
    frames.collect()
}

fn payloads(frames: &[Frame]) -> Vec<Bytes> {
    frames.iter().map(|frame| frame.data.clone()).collect()
}

#[test]
fn frames_survive_any_packet_size() {
    for codec in [CodecKind::H264, CodecKind::H265] {
        let (track, frames) = video(codec);
        assert!(frames.len() > 2 && frames[0].key);
        for payload_max in [100, 101, 333, 1400, 65_000] {
            let packets = packets(&track, &frames, payload_max);
            for in_band in [true, false] {
                let units = units(&format(&track, in_band), &packets);
                assert_eq!(units[0], Unit::Parameters(track.codec.clone()), "{codec:?} {payload_max} {in_band}");
                assert_eq!(data(&units), payloads(&frames), "{codec:?} {payload_max} {in_band}");
                assert_eq!(units.len(), frames.len() + 1, "parameters are announced once, nothing is lost");
                let keys = |unit: &Unit| matches!(unit, Unit::Frame { key: true, .. });
                assert_eq!(units.iter().filter(|u| keys(u)).count(), frames.iter().filter(|f| f.key).count());
            }
        }
    }
}

#[test]
fn a_lost_packet_costs_its_frame_and_no_other() {
    for codec in [CodecKind::H264, CodecKind::H265] {
        let (track, frames) = video(codec);
        let packets = packets(&track, &frames, 200);
        // The first packet of all is not missed, the last is not known to be missing.
        for lost in 1..packets.len() - 1 {
            let hurt = packets[lost].timestamp;
            let kept: Vec<_> = packets.iter().enumerate().filter(|(n, _)| *n != lost).map(|(_, p)| p.clone()).collect();
            let units = units(&format(&track, false), &kept);
            let first = packets[0].timestamp;
            let expected = frames.iter().filter(|f| first.wrapping_add(f.dts.0 as u32) != hurt);
            let expected: Vec<_> = expected.map(|f| f.data.clone()).collect();
            let got = data(&units);
            let whole = payloads(&frames);
            // Parameter sets alone may be missing: then nothing is lost but their repetition.
            assert!(got == expected || got == whole, "{codec:?} packet {lost}: {} of {}", got.len(), frames.len());
            assert_eq!(units.iter().filter(|u| **u == Unit::Lost).count(), 1, "{codec:?} packet {lost}");
        }
    }
}

#[test]
fn markers_of_bad_cameras() {
    let (track, frames) = video(CodecKind::H264);
    let good = packets(&track, &frames, 200);
    let with = |marker: fn(&Packet) -> bool| -> Vec<Bytes> {
        let packets = good.iter().map(|p| Packet { marker: marker(p), ..p.clone() });
        data(&units(&format(&track, true), &packets.collect::<Vec<_>>()))
    };
    let whole = payloads(&frames);
    // Without any, the next timestamp ends a frame; the last one stays open.
    assert_eq!(with(|_| false), whole[..whole.len() - 1]);
    // On every packet: the first picture of several slices is torn, then the marker is no longer trusted.
    let torn = with(|_| true);
    assert!(torn.ends_with(&whole[1..whole.len() - 1]), "{} of {}", torn.len(), whole.len());
}

#[test]
fn joining_in_the_middle_of_a_picture() {
    let (track, frames) = video(CodecKind::H264);
    let packets = packets(&track, &frames, 200);
    let second = packets.iter().position(|p| p.timestamp != packets[0].timestamp).unwrap();
    for start in 1..second {
        let got = data(&units(&format(&track, false), &packets[start..]));
        let (torn, whole) = got.split_at(got.len() - (frames.len() - 1));
        assert_eq!(whole, payloads(&frames[1..]), "{start}");
        // What stands before the first slice may be missing, nothing of the picture itself.
        assert!(torn.iter().all(|unit| frames[0].data.ends_with(unit)), "{start}");
    }
}

fn packet(sequence: u16, timestamp: u32, marker: bool, payload: &[u8]) -> Packet {
    let payload = Bytes::copy_from_slice(payload);
    Packet { marker, payload_type: 96, sequence, timestamp, ssrc: 1, extension: None, payload }
}

fn h264_format() -> Format {
    Format { payload_type: 96, codec: CodecKind::H264, clock_rate: 90_000, parameters: None }
}

#[test]
fn payloads_of_cameras() {
    let nal = [0x65, 0x88, 1, 2, 3];
    let prefixed = [0, 0, 0, 5, 0x65, 0x88, 1, 2, 3];
    for (what, payload) in [
        ("single", nal.to_vec()),
        ("start code", [&[0, 0, 0, 1], &nal[..]].concat()),
        ("two start codes", [&[0, 0, 0, 1, 0x09, 0xf0, 0, 0, 1], &nal[..]].concat()),
        ("aggregated with an empty one", [&[0x78, 0, 0, 0, 5], &nal[..]].concat()),
        ("whole fragment", [&[0x7c, 0xc5], &nal[1..]].concat()),
    ] {
        let units = units(&h264_format(), &[packet(0, 0, true, &payload)]);
        assert_eq!(data(&units), [&prefixed[..]], "{what}");
    }
}

#[test]
fn broken_payloads_are_named_and_forgiven() {
    for (payload, expected) in [
        (&[0x78, 0, 9, 1][..], PayloadError::Truncated),
        (&[0x78, 0], PayloadError::Truncated),
        (&[0x7c], PayloadError::Truncated),
        (&[0x79, 1, 2, 3], PayloadError::Unsupported(25)),
    ] {
        let mut depacketizer = Depacketizer::new(&h264_format());
        let result = depacketizer.push(&packet(7, 0, true, payload), false);
        assert_eq!(result, Err(Error::Payload { sequence: 7, source: expected }));
        depacketizer.push(&packet(8, 3600, true, &[0x65, 0x88, 1]), false).unwrap();
        let units: Vec<_> = std::iter::from_fn(|| depacketizer.pull()).collect();
        assert_eq!(data(&units).len(), 1, "{payload:?}");
    }
}

#[test]
fn a_picture_without_end_is_dropped_at_the_limit() {
    let mut depacketizer = Depacketizer::new(&h264_format());
    let piece = [[0x7c, 0x05].as_slice(), &[0x55; 60_000]].concat();
    depacketizer.push(&packet(0, 0, false, &[0x7c, 0x85, 0x88]), false).unwrap();
    let results = (1..200).map(|n| depacketizer.push(&packet(n, 0, false, &piece), false));
    let refused: Vec<_> = results.filter_map(Result::err).collect();
    assert!(matches!(refused[..], [Error::Payload { source: PayloadError::TooLarge, sequence: 140 }]), "{refused:?}");
    depacketizer.push(&packet(200, 3600, true, &[0x65, 0x88, 1]), false).unwrap();
    let units: Vec<_> = std::iter::from_fn(|| depacketizer.pull()).collect();
    assert!(matches!(units[..], [Unit::Lost, Unit::Frame { .. }]), "{units:?}");
}

#[test]
fn aac_whole_in_pieces_and_together() {
    let track = aac_track();
    let frames: Vec<_> =
        (0..4u8).map(|n| audio_frame(i64::from(n) * 1024, vec![n; 100 + usize::from(n) * 90])).collect();
    for payload_max in [100, 150, 1400] {
        let packets = packets(&track, &frames, payload_max);
        assert_eq!(data(&units(&format(&track, false), &packets)), payloads(&frames), "{payload_max}");
    }
    // Two frames in a packet: the second is 1,024 samples later.
    let together = [&[0, 32, 0, 16, 0, 24][..], b"ab", b"cde"].concat();
    let units = units(&format(&track, false), &[packet(0, 5000, true, &together)]);
    let expected = [(5000, "ab"), (6024, "cde")].map(|(timestamp, text)| Unit::Frame {
        timestamp,
        key: true,
        data: Bytes::from(text),
    });
    assert_eq!(units[1..], expected);
}

#[test]
fn aac_loses_only_what_is_missing() {
    let track = aac_track();
    let frames: Vec<_> = (0..3u8).map(|n| audio_frame(i64::from(n) * 1024, vec![n; 250])).collect();
    let all = packets(&track, &frames, 104);
    assert_eq!(all.len(), 9);
    for lost in 3..6 {
        let kept: Vec<_> = all.iter().enumerate().filter(|(n, _)| *n != lost).map(|(_, p)| p.clone()).collect();
        let units = units(&format(&track, false), &kept);
        assert_eq!(data(&units), [frames[0].data.clone(), frames[2].data.clone()], "{lost}");
        assert!(units.contains(&Unit::Lost));
    }
    for broken in [&[0][..], &[0, 0], &[0, 16], &[0, 32, 0, 16, 0, 24, 1], &[0xff, 0xff, 0, 0]] {
        let result = Depacketizer::new(&format(&track, false)).push(&packet(0, 0, true, broken), false);
        assert!(matches!(result, Err(Error::Payload { .. })), "{broken:?}");
    }
}

#[test]
fn g711_is_cut_with_rising_timestamps() {
    let track = g711_track();
    let packets = packets(&track, &[audio_frame(0, vec![7; 2500])], 1000);
    let at: Vec<_> = packets.iter().map(|p| p.timestamp.wrapping_sub(packets[0].timestamp)).collect();
    assert_eq!(at, [0, 1000, 2000]);
    assert!(packets.iter().all(|p| !p.marker));
    assert_eq!(data(&units(&format(&track, false), &packets)).concat(), vec![7; 2500]);
}

/// A sender and a receiver of picture and sound with a network in between.
struct Session {
    start: Instant,
    tracks: [Track; 2],
    senders: [Packetizer; 2],
    receiver: Receiver,
}

impl Session {
    fn new(ordered: bool) -> Session {
        let start = Instant::now();
        let tracks = [video(CodecKind::H264).0, g711_track()];
        let formats = [format(&tracks[0], true), format(&tracks[1], false)];
        let receiver = Receiver::new(start, &formats, ordered);
        Session { start, tracks, senders: [Packetizer::new(96), Packetizer::new(96)], receiver }
    }

    fn send(&mut self, at_ms: u64, track: usize, frame: &Frame) {
        let mut wire = Vec::new();
        self.senders[track].push(&self.tracks[track], frame, &mut wire);
        let now = self.start + Duration::from_millis(at_ms);
        wire.iter().for_each(|p| self.receiver.handle_rtp(now, UnixMicros(5), track, p).unwrap());
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.receiver.poll_output()).collect()
    }

    /// Track and milliseconds of the frames received.
    fn times(&mut self) -> Vec<(u8, i64)> {
        let rates = self.tracks.clone().map(|t| t.clock_rate);
        let frames = self.outputs().into_iter().filter_map(|output| match output {
            Output::Frame(frame) => Some((frame.track.0, frame.dts.to_millis(rates[usize::from(frame.track.0)]))),
            _ => None,
        });
        frames.collect()
    }
}

#[test]
fn tracks_are_announced_when_all_are_known() {
    let mut session = Session::new(true);
    let (_, frames) = video(CodecKind::H264);
    session.send(0, 1, &audio_frame(0, vec![1; 160]));
    assert_eq!(session.outputs(), [], "sound alone is not yet the stream");
    session.send(10, 0, &frames[0]);
    let tracks = session.tracks.to_vec();
    let outputs = session.outputs();
    assert_eq!(outputs[0], Output::Tracks(tracks));
    assert!(
        matches!(&outputs[1..], [Output::Frame(f)] if f.key && f.wall == UnixMicros(5) && f.data == frames[0].data)
    );
}

#[test]
fn sender_reports_bring_sound_to_its_picture() {
    let mut session = Session::new(true);
    let (_, frames) = video(CodecKind::H264);
    // Sound was captured with the picture and came 300 ms late.
    session.send(0, 0, &frames[0]);
    session.send(300, 1, &audio_frame(0, vec![1; 160]));
    assert_eq!(session.times(), [(0, 0), (1, 300)]);
    for (track, at) in [(0, 90), (1, 8)] {
        let report = session.senders[track].report(NtpTime::from_unix_micros(1_000_000), 1000 * at, "camera");
        session.receiver.handle_rtcp(session.start, track, &report).unwrap();
    }
    session.send(400, 1, &audio_frame(800 * 4, vec![1; 160]));
    session.send(400, 0, &Frame { dts: Ticks(36_000), ..frames[1].clone() });
    assert_eq!(session.times(), [(1, 400), (0, 400)]);
    session.send(420, 1, &audio_frame(800 * 4 + 160, vec![1; 160]));
    assert_eq!(session.times(), [(1, 420)]);
}

#[test]
fn rtp_info_ties_the_tracks_unless_it_is_invented() {
    let (_, frames) = video(CodecKind::H264);
    for (offset, expected) in [(0, 100), (1_000_000_000u32, 500)] {
        let mut session = Session::new(true);
        let begin = [0, 1].map(|track| session.senders[track].timestamp(0));
        session.receiver.begin(0, begin[0]);
        session.receiver.begin(1, begin[1].wrapping_add(offset));
        session.send(0, 0, &frames[0]);
        session.send(500, 1, &audio_frame(800, vec![1; 160]));
        assert_eq!(session.times(), [(0, 0), (1, expected)], "{offset}");
    }
}

#[test]
fn timestamps_do_not_wrap() {
    let mut session = Session::new(true);
    let (_, frames) = video(CodecKind::H264);
    let hour = 90_000 * 3600;
    let mut last = None;
    // 32 bits at 90 kHz are 13 hours.
    for n in 0..200 {
        let dts = Ticks(i64::from(n) * hour / 6);
        session.send(n as u64 * 600_000, 0, &Frame { dts, key: true, ..frames[0].clone() });
        if n == 0 {
            session.send(0, 1, &audio_frame(0, vec![1; 160]));
        }
        for output in session.outputs() {
            if let Output::Frame(Frame { track: TrackId::VIDEO, dts, .. }) = output {
                assert!(last.is_none_or(|last| dts.0 - last == hour / 6), "{n}");
                last = Some(dts.0);
            }
        }
    }
    assert_eq!(last, Some(199 * hour / 6));
}

#[test]
fn a_restarted_encoder_continues_by_the_clock_on_the_wall() {
    let mut session = Session::new(true);
    let (_, frames) = video(CodecKind::H264);
    session.send(0, 0, &frames[0]);
    session.send(0, 1, &audio_frame(0, vec![1; 160]));
    session.senders[0] = Packetizer::new(96);
    session.send(5000, 0, &Frame { dts: Ticks(77), ..frames[0].clone() });
    assert_eq!(session.times(), [(0, 0), (1, 0), (0, 5000)]);
}

#[test]
fn disorder_of_udp_is_undone_and_loss_reported() {
    let (_, frames) = video(CodecKind::H264);
    let mut session = Session::new(false);
    session.senders[0] = Packetizer::new(96).payload_max(200);
    session.send(0, 1, &audio_frame(0, vec![1; 160]));
    let mut wire = Vec::new();
    frames.iter().for_each(|frame| session.senders[0].push(&session.tracks[0], frame, &mut wire));
    for pair in wire.chunks_mut(7) {
        pair[1..].reverse();
    }
    let now = session.start;
    wire.iter().for_each(|p| session.receiver.handle_rtp(now, UnixMicros(0), 0, p).unwrap());
    let video_frames = session.times().iter().filter(|(track, _)| *track == 0).count();
    assert_eq!(video_frames, frames.len());
    let reports = session.receiver.reports(now);
    let [(0, video), (1, _)] = &reports[..] else { panic!("{reports:?}") };
    let [Rtcp::ReceiverReport { blocks, .. }, Rtcp::SourceDescription { .. }] = &rtcp::parse(video).unwrap()[..] else {
        panic!("a report and a name")
    };
    assert_eq!((blocks[0].ssrc, blocks[0].lost), (session.senders[0].ssrc(), 0));

    // One is lost: the rest waits no longer than a moment, then the frame is given up.
    let mut wire = Vec::new();
    session.senders[0].push(&session.tracks[0], &frames[0], &mut wire);
    wire.remove(wire.len() / 2);
    wire.iter().for_each(|p| session.receiver.handle_rtp(now, UnixMicros(0), 0, p).unwrap());
    let later = now + Duration::from_millis(100);
    session.receiver.handle_timeout(later, UnixMicros(0)).unwrap();
    assert_eq!(session.outputs(), [Output::Lost(TrackId::VIDEO)]);
    assert_eq!(session.receiver.packets_lost(), 1);
}

#[test]
fn farewells_and_nonsense() {
    let mut session = Session::new(true);
    let bye = session.senders[1].bye();
    session.receiver.handle_rtcp(session.start, 1, &bye).unwrap();
    assert_eq!(session.outputs(), [], "a source never heard of");
    session.send(0, 1, &audio_frame(0, vec![1; 160]));
    session.receiver.handle_rtcp(session.start, 1, &bye).unwrap();
    assert_eq!(session.outputs(), [Output::Bye(TrackId::AUDIO)]);
    let nonsense = session.receiver.handle_rtp(session.start, UnixMicros(0), 0, &Bytes::from_static(b"nonsense"));
    assert!(matches!(nonsense, Err(receiver::Error::Packet { track: 0, .. })));
    assert!(matches!(session.receiver.handle_rtcp(session.start, 0, &[0x80, 200]), Err(receiver::Error::Rtcp { .. })));
    session.receiver.handle_rtp(session.start, UnixMicros(0), 9, &Bytes::new()).unwrap();
}

/// Frames of a recording, with what is said of each, as a receiver of it gives them: when they were recorded,
/// their decoding times in milliseconds, and what else it tells.
fn replayed(
    frames: &[(i64, i64, ReplayExtension)],
    extended: bool,
    prepare: impl Fn(&mut Receiver, u32),
) -> (Vec<(i64, i64)>, Vec<Output>) {
    let (track, encoded) = video(CodecKind::H264);
    let now = Instant::now();
    let mut receiver = Receiver::recorded(now, &[format(&track, false)]);
    let mut packetizer = Packetizer::new(96).payload_max(500);
    prepare(&mut receiver, packetizer.timestamp(0));
    let (mut seen, mut told) = (Vec::new(), Vec::new());
    for (n, &(at, ms, replay)) in frames.iter().enumerate() {
        let frame = Frame { dts: Ticks(ms * 90), ..encoded[n % encoded.len()].clone() };
        let mut wire = Vec::new();
        match extended {
            true => {
                let recorded = NtpTime::from_unix_micros(at);
                packetizer.push_replayed(&track, &frame, ReplayExtension { recorded, ..replay }, &mut wire);
            }
            false => packetizer.push(&track, &frame, &mut wire),
        }
        for packet in wire {
            receiver.handle_rtp(now, UnixMicros(7), 0, &packet).unwrap();
        }
        while let Some(output) = receiver.poll_output() {
            match output {
                Output::Frame(frame) => seen.push((frame.wall.0, frame.dts.to_millis(90_000))),
                Output::Tracks(_) => {}
                output => told.push(output),
            }
        }
    }
    (seen, told)
}

const RECORDED: i64 = 1_790_000_000_000_000;

#[test]
fn recordings_are_timed_by_their_packets() {
    let none = ReplayExtension::default();
    let end = ReplayExtension { end: true, ..none };
    let last = ReplayExtension { end: true, terminal: true, ..none };
    let at = |ms: i64| RECORDED + ms * 1000;
    // A gap of an hour, over which timestamps run on; then one that they show.
    let hour = 3_600_000;
    let frames = [
        (at(0), 1000, none),
        (at(40), 1040, end),
        (at(hour), 1080, ReplayExtension { discontinuity: true, ..none }),
        (at(hour + 40), 1120, end),
        (at(hour + 5000), 6080, none),
        (at(hour + 5040), 6120, last),
    ];
    let (seen, told) = replayed(&frames, true, |_, _| ());
    let wanted: Vec<_> = frames.iter().map(|(at, ..)| (*at, (at - RECORDED) / 1000)).collect();
    assert!(seen.iter().zip(&wanted).all(|(a, b)| (a.0 - b.0).abs() <= 1 && a.1 == b.1), "{seen:?}");
    assert_eq!(seen.len(), 6);
    let video = TrackId::VIDEO;
    assert_eq!(told, [Output::StretchEnd(video), Output::StretchEnd(video), Output::Bye(video)]);
}

#[test]
fn recordings_that_tell_nothing_are_timed_by_their_start_and_scale() {
    let frames: Vec<_> = (0..10).map(|n| (0, n * 40, ReplayExtension::default())).collect();
    for scale in [1.0f32, 4.0, 0.5] {
        let step = (40.0 * scale) as i64;
        let wanted: Vec<_> = (0..10).map(|n| (RECORDED + n * step * 1000, n * step)).collect();
        for known in [true, false] {
            let (seen, _) = replayed(&frames, false, |receiver, begin| {
                receiver.recorded_at(0, known.then_some(begin), UnixMicros(RECORDED));
                receiver.set_scale(scale);
            });
            assert_eq!(seen, wanted, "{scale} {known}");
        }
    }
    // Nobody told anything: the time of arrival.
    let (seen, _) = replayed(&frames, false, |_, _| ());
    assert!(seen.iter().all(|(wall, _)| *wall == 7));
}
