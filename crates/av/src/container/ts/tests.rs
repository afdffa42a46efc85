#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;

use bytes::Bytes;

use super::*;
use crate::codec::access_unit::AccessUnitBuilder;
use crate::{CodecKind, G711Law, G711Parameters, UnixMicros};

const KEY: &[u8] = &[0, 0, 0, 2, 0x65, 0x88];
const OTHER: &[u8] = &[0, 0, 0, 2, 0x41, 0x9A];

fn h264() -> Track {
    let mut builder = AccessUnitBuilder::new(CodecKind::H264);
    nal::annex_b(include_bytes!("../../testdata/x264_slices_aud.h264")).for_each(|unit| builder.push(unit).unwrap());
    Track { id: TrackId::VIDEO, codec: builder.take_changed().unwrap().unwrap(), clock_rate: CLOCK }
}

fn aac(config: Bytes) -> Track {
    let parameters = aac::parameters(config).unwrap();
    Track { id: TrackId::AUDIO, clock_rate: parameters.sample_rate, codec: CodecParameters::Aac(parameters) }
}

fn lc(sample_rate: u32) -> Track {
    aac(aac::config(aac::OBJECT_TYPE_LC, sample_rate, 1).unwrap())
}

fn frame(track: &Track, dts: i64, key: bool, data: &[u8]) -> Frame {
    let data = Bytes::copy_from_slice(data);
    Frame { track: track.id, dts: Ticks(dts), cts: 0, wall: UnixMicros(0), key, data }
}

fn write(tracks: &[Track], frames: &[Frame]) -> Vec<u8> {
    let (mut muxer, mut out) = (Muxer::new(tracks), Vec::new());
    frames.iter().for_each(|frame| muxer.push(frame, &mut out));
    out
}

/// A packet taken apart as §2.4.3.2 says, apart from the writer's own code.
#[derive(Debug, PartialEq)]
struct Packet {
    pid: u16,
    starts: bool,
    counter: u8,
    flags: u8,
    pcr: Option<u64>,
    payload: Vec<u8>,
}

fn packets(stream: &[u8]) -> Vec<Packet> {
    assert_eq!(stream.len() % PACKET, 0);
    let one = |packet: &[u8]| {
        assert_eq!((packet[0], packet[1] & 0xA0), (0x47, 0), "no errors, no priority");
        let (mut at, mut flags, mut pcr) = (4, 0, None);
        if packet[3] & 0x20 != 0 {
            let len = usize::from(packet[4]);
            let field = &packet[5..5 + len];
            flags = field.first().copied().unwrap_or(0);
            if flags & 0x10 != 0 {
                let bytes: Vec<u64> = field[1..7].iter().map(|&byte| byte.into()).collect();
                assert_eq!(bytes[4] & 0x7E, 0x7E, "reserved bits");
                pcr = Some(bytes[0] << 25 | bytes[1] << 17 | bytes[2] << 9 | bytes[3] << 1 | bytes[4] >> 7);
            }
            let stuffing = if pcr.is_some() { 7 } else { 1 };
            assert!(field.iter().skip(stuffing).all(|&byte| byte == 0xFF));
            at += 1 + len;
        }
        assert_eq!(packet[3] & 0x10 != 0, at < PACKET);
        Packet {
            pid: u16::from_be_bytes([packet[1] & 0x1F, packet[2]]),
            starts: packet[1] & 0x40 != 0,
            counter: packet[3] & 0xF,
            flags,
            pcr,
            payload: packet[at..].to_vec(),
        }
    };
    stream.chunks(PACKET).map(one).collect()
}

/// The PES packets of a PID.
fn pes(packets: &[Packet], pid: u16) -> Vec<Vec<u8>> {
    let mut found: Vec<Vec<u8>> = Vec::new();
    for packet in packets.iter().filter(|packet| packet.pid == pid) {
        if packet.starts {
            found.push(Vec::new());
        }
        found.last_mut().unwrap().extend_from_slice(&packet.payload);
    }
    found
}

fn counters_count(packets: &[Packet]) {
    let mut counters: BTreeMap<u16, u8> = BTreeMap::new();
    for packet in packets {
        let last = counters.get(&packet.pid).copied();
        // One without payload repeats the number; the first of a PID marks the beginning.
        let next = if packet.payload.is_empty() { last } else { last.map(|last| (last + 1) % 16) };
        assert_eq!(packet.counter, next.unwrap_or(0));
        assert_eq!(packet.flags & 0x80 != 0, last.is_none());
        counters.insert(packet.pid, packet.counter);
    }
}

#[test]
fn a_key_picture_byte_for_byte() {
    let track = h264();
    let CodecParameters::H264(parameters) = &track.codec else { unreachable!() };
    let out = write(std::slice::from_ref(&track), &[frame(&track, 90_000, true, KEY)]);
    let pat = b"\x47\x40\x00\x30\x01\x80\x00\x00\xB0\x0D\x00\x01\xC1\x00\x00\x00\x01\xF0\x00\x2A\xB1\x04\xB2";
    let pmt = b"\x47\x50\x00\x30\x01\x80\x00\x02\xB0\x12\x00\x01\xC1\x00\x00\xE1\x00\xF0\x00\x1B\xE1\x00\xF0\x00";
    assert_eq!(&out[..pat.len()], pat);
    assert!(out[pat.len()..PACKET].iter().all(|&byte| byte == 0xFF));
    assert_eq!(&out[PACKET..][..pmt.len()], pmt);
    assert_eq!(&out[PACKET + pmt.len()..][..4], b"\x15\xBD\x4D\x56");
    let units: [&[u8]; 4] = [&[9, 0xF0], &parameters.sps, &parameters.pps, &KEY[4..]];
    let payload: Vec<u8> = units.iter().flat_map(|unit| [&[0, 0, 0, 1], *unit].concat()).collect();
    // 90,000 + 63,000 ticks: 0x255A8.
    let header = b"\0\0\x01\xE0\0\0\x84\x80\x05\x21\0\x09\xAB\x51";
    let mut expected = header.to_vec();
    expected[5] = (8 + payload.len()) as u8;
    expected.extend_from_slice(&payload);
    let packets = packets(&out);
    assert_eq!(packets.len(), 3);
    let picture =
        Packet { pid: PID_VIDEO, starts: true, counter: 0, flags: 0xD0, pcr: Some(90_000), payload: expected };
    assert_eq!(packets[2], picture);
}

#[test]
fn payloads_of_every_length_fill_packets() {
    let (video, audio) = (h264(), lc(16_000));
    let tracks = [video.clone(), audio.clone()];
    let mut frames = vec![frame(&video, 0, true, KEY)];
    for n in 1..600 {
        let unit = [&(n as u32).to_be_bytes()[..], &vec![0x41; n]].concat();
        frames.push(frame(&video, n as i64 * 3600, false, &unit));
        frames.push(frame(&audio, n as i64 * 640, true, &vec![0x21; n]));
    }
    let packets = packets(&write(&tracks, &frames));
    counters_count(&packets);
    assert_eq!(packets.iter().filter(|packet| packet.pid == PID_PAT).count(), 1);
    let (pictures, sounds) = (pes(&packets, PID_VIDEO), pes(&packets, PID_AUDIO));
    for n in 1..600 {
        let (picture, sound) = (&pictures[n], &sounds[n - 1]);
        assert_eq!(picture[14..24], [0, 0, 0, 1, 9, 0xF0, 0, 0, 0, 1]);
        assert_eq!(picture[24..], vec![0x41; n]);
        assert_eq!(u16::from_be_bytes([picture[4], picture[5]]) as usize, picture.len() - 6);
        let (header, frame) = aac::split_adts(&mut Bytes::copy_from_slice(&sound[14..])).unwrap();
        assert_eq!((header.sample_rate, header.channels, &frame[..]), (16_000, 1, &vec![0x21; n][..]));
        assert_eq!(u16::from_be_bytes([sound[4], sound[5]]) as usize, sound.len() - 6);
    }
}

#[test]
fn an_access_unit_above_64_kib_leaves_its_length_open() {
    let track = h264();
    let unit = [&100_000_u32.to_be_bytes()[..], &vec![0x41; 100_000]].concat();
    let packets = packets(&write(std::slice::from_ref(&track), &[frame(&track, 0, false, &unit)]));
    let pictures = pes(&packets, PID_VIDEO);
    assert_eq!((pictures[0].len(), &pictures[0][4..6]), (14 + 10 + 100_000, &[0, 0][..]));
}

#[test]
fn the_clock_is_told_every_100_ms() {
    let (video, audio) = (h264(), lc(8000));
    // A picture a second and sound each 128 ms; then sound alone.
    let pictures = (0..3).map(|n| frame(&video, n * 90_000, n == 0, if n == 0 { KEY } else { OTHER }));
    let sounds = || (0..24).map(|n| frame(&audio, n * 1024, true, &[0x21]));
    let mut both: Vec<_> = pictures.chain(sounds()).collect();
    let at = |frame: &Frame| frame.dts.rescale(if frame.track == TrackId::VIDEO { CLOCK } else { 8000 }, CLOCK);
    both.sort_by_key(at);
    for (tracks, frames, pid) in
        [(vec![video.clone(), audio.clone()], both, PID_VIDEO), (vec![audio.clone()], sounds().collect(), PID_AUDIO)]
    {
        let packets = packets(&write(&tracks, &frames));
        counters_count(&packets);
        let clock: Vec<u64> = packets.iter().filter_map(|packet| packet.pcr).collect();
        assert!(packets.iter().all(|packet| packet.pcr.is_none() || packet.pid == pid));
        assert!(clock.windows(2).all(|pair| pair[0] < pair[1] && pair[1] - pair[0] <= 9000), "{clock:?}");
        assert!((2.9..3.0).contains(&(*clock.last().unwrap() as f64 / 90_000.0)));
    }
    // A camera that slept for an hour does not fill it with packets.
    let slept = [frame(&video, 0, true, KEY), frame(&video, 3600 * 90_000, false, OTHER)];
    assert_eq!(packets(&write(std::slice::from_ref(&video), &slept)).len(), 4);
}

#[test]
fn times_wrap_at_33_bits() {
    let track = h264();
    let late = (1 << 33) - DELAY_TICKS;
    let mut picture = frame(&track, late, true, KEY);
    picture.cts = 3600;
    let packets = packets(&write(std::slice::from_ref(&track), &[picture]));
    assert_eq!(packets[2].pcr, Some(late as u64));
    // Both times: 3600 past the wrap, and the wrap itself.
    assert_eq!(packets[2].payload[7..19], [0xC0, 10, 0x31, 0, 1, 0x1C, 0x21, 0x11, 0, 1, 0, 1]);
}

#[test]
fn segments_begin_with_tables() {
    let (video, audio) = (h264(), lc(16_000));
    let (mut muxer, mut out) = (Muxer::new(&[video.clone(), audio.clone()]), Vec::new());
    muxer.push(&frame(&video, 0, true, KEY), &mut out);
    muxer.push(&frame(&video, 3600, false, OTHER), &mut out);
    let before = out.len();
    muxer.push(&frame(&video, 7200, true, KEY), &mut out);
    let pids = |out: &[u8]| packets(out).iter().map(|packet| packet.pid).collect::<Vec<_>>();
    assert_eq!(pids(&out[before..]), [PID_PAT, PID_PMT, PID_VIDEO]);
    let before = out.len();
    muxer.begin_segment();
    muxer.push(&frame(&audio, 1024, true, &[0x21]), &mut out);
    muxer.push(&frame(&audio, 2048, true, &[0x21]), &mut out);
    assert_eq!(pids(&out[before..]), [PID_PAT, PID_PMT, PID_AUDIO, PID_AUDIO]);
    counters_count(&packets(&out));
}

#[test]
fn what_ts_does_not_carry_is_left_out() {
    let g711 = G711Parameters { law: G711Law::A, sample_rate: 8000, channels: 1 };
    let g711 = Track { id: TrackId::AUDIO, codec: CodecParameters::G711(g711), clock_rate: 8000 };
    // A rate that ADTS has no index for.
    let odd = aac(aac::config(aac::OBJECT_TYPE_LC, 12_345, 1).unwrap());
    for track in [g711, odd] {
        assert!(write(std::slice::from_ref(&track), &[frame(&track, 0, true, &[1, 2])]).is_empty());
    }
    let (video, audio) = (h264(), lc(16_000));
    let nothing = [
        frame(&video, 0, true, &[]),
        frame(&video, 0, true, &[0, 0, 0, 9, 1]),
        frame(&audio, 0, true, &[0; 9000]),
        Frame { track: TrackId(7), ..frame(&video, 0, true, KEY) },
    ];
    assert!(write(&[video, audio], &nothing).is_empty());
}
