//! Init and fragments, written.

use std::sync::Arc;

use bytes::BufMut;

use super::boxes::{HEADER, put, put_full};
use crate::codec::{h264, h265};
use crate::{AacParameters, CodecParameters, Frame, G711Law, MediaKind, Ticks, Track, UnixMicros};

/// `sample_depends_on` 2: depends on no other.
pub(super) const SYNC: u32 = 0x0200_0000;
/// `sample_depends_on` 1 and `sample_is_non_sync_sample`.
pub(super) const NON_SYNC: u32 = 0x0101_0000;

/// Bits of `trun` (§8.8.8.1).
pub(super) mod trun {
    pub const DATA_OFFSET: u32 = 0x1;
    pub const FIRST_FLAGS: u32 = 0x4;
    pub const DURATION: u32 = 0x100;
    pub const SIZE: u32 = 0x200;
    pub const FLAGS: u32 = 0x400;
    pub const CTS: u32 = 0x800;
}

/// Bits of `tfhd` (§8.8.7.1).
pub(super) mod tfhd {
    pub const BASE_DATA_OFFSET: u32 = 0x1;
    pub const DESCRIPTION: u32 = 0x2;
    pub const DURATION: u32 = 0x8;
    pub const SIZE: u32 = 0x10;
    pub const FLAGS: u32 = 0x20;
    pub const BASE_IS_MOOF: u32 = 0x2_0000;
}

/// Flags of `prft` (§8.16.5): the wall clock is that of capture.
const CAPTURED: u32 = 24;

/// Seconds from 1900, where NTP begins, to 1970.
pub(super) const NTP_UNIX_SECONDS: i64 = 2_208_988_800;

/// 1 in the 16.16 and 2.30 fixed points of a matrix that changes nothing.
const IDENTITY: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

/// `und` in three times five bits.
const LANGUAGE_UNDETERMINED: u16 = 0x55C4;

/// The `track_ID` of a track.
pub(super) fn track_id(track: &Track) -> u32 {
    u32::from(track.id.0) + 1
}

/// Writes `ftyp` and `moov` of these tracks: what a decoder needs before any [`fragment`] of them.
///
/// # Panics
/// If parameters were not made by [`codec`](crate::codec).
pub fn init(tracks: &[Track]) -> Vec<u8> {
    let mut out = Vec::with_capacity(512 + 768 * tracks.len());
    put(&mut out, b"ftyp", |out| {
        out.extend_from_slice(b"iso6\0\0\0\0iso6mp41");
        // CMAF has one track a file.
        if tracks.len() == 1 {
            out.extend_from_slice(b"cmfc");
        }
    });
    put(&mut out, b"moov", |out| {
        put_full(out, b"mvhd", 0, 0, |out| {
            out.put_bytes(0, 8); // creation and modification time
            out.put_u32(1000);
            out.put_u32(0); // duration: told by the fragments
            out.put_u32(0x1_0000); // rate
            out.put_u16(0x100); // volume
            out.put_bytes(0, 10);
            IDENTITY.iter().for_each(|&cell| out.put_u32(cell));
            out.put_bytes(0, 24);
            out.put_u32(tracks.iter().map(track_id).max().unwrap_or(0) + 1);
        });
        tracks.iter().for_each(|track| put(out, b"trak", |out| trak(out, track)));
        put(out, b"mvex", |out| {
            for track in tracks {
                put_full(out, b"trex", 0, 0, |out| {
                    let flags = if track.kind() == MediaKind::Video { NON_SYNC } else { SYNC };
                    [track_id(track), 1, 0, 0, flags].into_iter().for_each(|field| out.put_u32(field));
                });
            }
        });
    });
    out
}

fn trak(out: &mut Vec<u8>, track: &Track) {
    let (width, height) = match &track.codec {
        CodecParameters::H264(parameters) => (parameters.width, parameters.height),
        CodecParameters::H265(parameters) => (parameters.width, parameters.height),
        CodecParameters::Aac(_) | CodecParameters::G711(_) => (0, 0),
    };
    let is_video = track.kind() == MediaKind::Video;
    put_full(out, b"tkhd", 0, 3, |out| {
        out.put_bytes(0, 8);
        out.put_u32(track_id(track));
        out.put_bytes(0, 4 + 4 + 8 + 2 + 2); // reserved, duration, reserved, layer, alternate group
        out.put_u16(if is_video { 0 } else { 0x100 }); // volume
        out.put_u16(0);
        IDENTITY.iter().for_each(|&cell| out.put_u32(cell));
        out.put_u32(width << 16);
        out.put_u32(height << 16);
    });
    put(out, b"mdia", |out| {
        put_full(out, b"mdhd", 0, 0, |out| {
            out.put_bytes(0, 8);
            out.put_u32(track.clock_rate);
            out.put_u32(0);
            out.put_u16(LANGUAGE_UNDETERMINED);
            out.put_u16(0);
        });
        put_full(out, b"hdlr", 0, 0, |out| {
            out.put_u32(0);
            out.extend_from_slice(if is_video { b"vide" } else { b"soun" });
            out.put_bytes(0, 12);
            out.extend_from_slice(if is_video { b"Video\0" } else { b"Sound\0" });
        });
        put(out, b"minf", |out| {
            if is_video {
                put_full(out, b"vmhd", 0, 1, |out| out.put_bytes(0, 8));
            } else {
                put_full(out, b"smhd", 0, 0, |out| out.put_bytes(0, 4));
            }
            put(out, b"dinf", |out| {
                put_full(out, b"dref", 0, 0, |out| {
                    out.put_u32(1);
                    put_full(out, b"url ", 0, 1, |_| {}); // flag 1: in this file
                });
            });
            put(out, b"stbl", |out| {
                put_full(out, b"stsd", 0, 0, |out| {
                    out.put_u32(1);
                    sample_entry(out, &track.codec);
                });
                put_full(out, b"stts", 0, 0, |out| out.put_u32(0));
                put_full(out, b"stsc", 0, 0, |out| out.put_u32(0));
                put_full(out, b"stsz", 0, 0, |out| out.put_u64(0));
                put_full(out, b"stco", 0, 0, |out| out.put_u32(0));
            });
        });
    });
}

fn sample_entry(out: &mut Vec<u8>, codec: &CodecParameters) {
    match codec {
        CodecParameters::H264(parameters) => put(out, b"avc1", |out| {
            visual(out, parameters.width, parameters.height);
            put(out, b"avcC", |out| out.extend_from_slice(&h264::avcc(parameters)));
        }),
        CodecParameters::H265(parameters) => put(out, b"hvc1", |out| {
            visual(out, parameters.width, parameters.height);
            put(out, b"hvcC", |out| out.extend_from_slice(&h265::hvcc(parameters)));
        }),
        CodecParameters::Aac(parameters) => put(out, b"mp4a", |out| {
            audio(out, parameters.sample_rate, parameters.channels);
            put_full(out, b"esds", 0, 0, |out| esds(out, parameters));
        }),
        CodecParameters::G711(parameters) => {
            let kind = if parameters.law == G711Law::A { b"alaw" } else { b"ulaw" };
            put(out, kind, |out| audio(out, parameters.sample_rate, parameters.channels));
        }
    }
}

/// §12.1.3
fn visual(out: &mut Vec<u8>, width: u32, height: u32) {
    out.put_bytes(0, 6);
    out.put_u16(1); // data_reference_index
    out.put_bytes(0, 16);
    // A checked picture side has 15 bits.
    out.put_u16(width as u16);
    out.put_u16(height as u16);
    out.put_u32(0x48_0000); // 72 dpi
    out.put_u32(0x48_0000);
    out.put_u32(0);
    out.put_u16(1); // frames a sample
    out.put_bytes(0, 32); // compressorname
    out.put_u16(0x18); // depth
    out.put_i16(-1);
}

/// §12.2.3
fn audio(out: &mut Vec<u8>, sample_rate: u32, channels: u8) {
    out.put_bytes(0, 6);
    out.put_u16(1); // data_reference_index
    out.put_bytes(0, 8);
    out.put_u16(channels.into());
    out.put_u16(16); // bits of a sample, once decoded
    out.put_u32(0);
    // Rates that 16 bits do not hold are told by the decoder configuration alone.
    out.put_u16(u16::try_from(sample_rate).unwrap_or(0));
    out.put_u16(0);
}

/// ISO/IEC 14496-1 §7.2.6.5
fn esds(out: &mut Vec<u8>, parameters: &AacParameters) {
    /// Tag and length of a descriptor; the length always in the four bytes it may have at most.
    const TAG: usize = 5;
    const DECODER_CONFIG: usize = 13;
    const SL_CONFIG: usize = 1;
    let descriptor = |out: &mut Vec<u8>, tag: u8, len: usize| {
        out.put_u8(tag);
        // An AudioSpecificConfig has at most 512 bytes.
        out.extend_from_slice(&[0x80, 0x80, 0x80 | (len >> 7) as u8, len as u8 & 0x7F]);
    };
    let specific = parameters.config.len();
    let config = DECODER_CONFIG + TAG + specific;
    descriptor(out, 3, 3 + TAG + config + TAG + SL_CONFIG);
    out.put_bytes(0, 3); // ES_ID, flags
    descriptor(out, 4, config);
    out.put_u8(0x40); // MPEG-4 audio
    out.put_u8(5 << 2 | 1); // audio stream
    out.put_bytes(0, 3 + 4 + 4); // buffer size, maximum and average bit rate: unknown
    descriptor(out, 5, specific);
    out.extend_from_slice(&parameters.config);
    descriptor(out, 6, SL_CONFIG);
    out.put_u8(2); // as MP4 files have it
}

/// Consecutive frames of one track.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// Their track.
    pub track: &'a Track,
    /// All of this track, none with a `dts` below that before it, none below 0.
    pub frames: &'a [Arc<Frame>],
    /// Where the last of them ends: the `dts` of the one that follows.
    pub end: Ticks,
}

impl Run<'_> {
    fn durations(&self) -> impl Iterator<Item = u32> {
        let ends = self.frames.iter().skip(1).map(|frame| frame.dts.0).chain([self.end.0]);
        self.frames.iter().zip(ends).map(|(frame, end)| (end - frame.dts.0).clamp(0, u32::MAX.into()) as u32)
    }
}

/// Appends a fragment: `prft` with the wall clock of the first frame of the first run, `moof` with all
/// runs, `mdat` with their payloads in the same order. Nothing, if there is no frame. `sequence` counts
/// the fragments of a file.
///
/// # Panics
/// If the payloads have 4 GiB or more.
pub fn fragment(out: &mut Vec<u8>, sequence: u32, runs: &[Run<'_>]) {
    let samples: usize = runs.iter().map(|run| run.frames.len()).sum();
    let payload: usize = runs.iter().flat_map(|run| run.frames).map(|frame| frame.data.len()).sum();
    let runs = || runs.iter().filter(|run| !run.frames.is_empty());
    let Some((first, frame)) = runs().next().map(|run| (run, &run.frames[0])) else { return };
    out.reserve(payload + 16 * samples + 100 * runs().count() + 64);

    put_full(out, b"prft", 1, CAPTURED, |out| {
        out.put_u32(track_id(first.track));
        out.put_u64(ntp(frame.wall));
        out.put_u64(time(frame.dts));
    });
    let moof = out.len();
    // Where each run's data offset stands, and where its payload begins behind the header of `mdat`.
    let mut offsets = Vec::with_capacity(runs().count());
    put(out, b"moof", |out| {
        put_full(out, b"mfhd", 0, 0, |out| out.put_u32(sequence));
        let mut payload = 0;
        for run in runs() {
            put(out, b"traf", |out| offsets.push((traf(out, run), payload)));
            payload += run.frames.iter().map(|frame| frame.data.len()).sum::<usize>();
        }
    });
    let data = out.len() - moof + HEADER;
    for (at, payload) in offsets {
        let offset = u32::try_from(data + payload).expect("a fragment is below 4 GiB");
        out[at..at + 4].copy_from_slice(&offset.to_be_bytes());
    }
    put(out, b"mdat", |out| {
        runs().flat_map(|run| run.frames).for_each(|frame| out.extend_from_slice(&frame.data));
    });
}

/// Gives where the data offset stands.
fn traf(out: &mut Vec<u8>, run: &Run<'_>) -> usize {
    let is_video = run.track.kind() == MediaKind::Video;
    let flags_of = |frame: &Frame| if frame.key { SYNC } else { NON_SYNC };
    let first = &run.frames[0];
    let usual = if is_video { NON_SYNC } else { SYNC };
    let mut durations = run.durations();
    let duration = durations.next().filter(|first| durations.all(|duration| duration == *first));
    let rest_usual = run.frames[1..].iter().all(|frame| flags_of(frame) == usual);
    let first_usual = flags_of(first) == usual;

    // What all samples have in common stands in `tfhd`, what only the first has otherwise in front of them.
    let mut head = tfhd::BASE_IS_MOOF | tfhd::FLAGS;
    let mut each = trun::DATA_OFFSET | trun::SIZE;
    head |= if duration.is_some() { tfhd::DURATION } else { 0 };
    each |= if duration.is_none() { trun::DURATION } else { 0 };
    each |= match (first_usual, rest_usual) {
        (true, true) => 0,
        (false, true) => trun::FIRST_FLAGS,
        (_, false) => trun::FLAGS,
    };
    each |= if run.frames.iter().any(|frame| frame.cts != 0) { trun::CTS } else { 0 };

    put_full(out, b"tfhd", 0, head, |out| {
        out.put_u32(track_id(run.track));
        duration.into_iter().for_each(|duration| out.put_u32(duration));
        out.put_u32(usual);
    });
    put_full(out, b"tfdt", 1, 0, |out| out.put_u64(time(first.dts)));
    let mut at = 0;
    put_full(out, b"trun", 1, each, |out| {
        out.put_u32(run.frames.len() as u32);
        at = out.len();
        out.put_u32(0);
        if each & trun::FIRST_FLAGS != 0 {
            out.put_u32(flags_of(first));
        }
        for (frame, duration) in run.frames.iter().zip(run.durations()) {
            if each & trun::DURATION != 0 {
                out.put_u32(duration);
            }
            out.put_u32(frame.data.len() as u32);
            if each & trun::FLAGS != 0 {
                out.put_u32(flags_of(frame));
            }
            if each & trun::CTS != 0 {
                out.put_i32(frame.cts);
            }
        }
    });
    at
}

/// A decoding time as boxes have it. Streams begin at 0, so none is below.
fn time(dts: Ticks) -> u64 {
    dts.0.max(0) as u64
}

/// NTP's 64 bits (RFC 5905 §6): seconds, and their 2³²ths. It wraps in 2036; see the reader.
pub(super) fn ntp(wall: UnixMicros) -> u64 {
    let seconds = wall.0.div_euclid(1_000_000) + NTP_UNIX_SECONDS;
    let micros = wall.0.rem_euclid(1_000_000) as u64;
    let fraction = ((micros << 32) + 500_000) / 1_000_000;
    (seconds as u64) << 32 | fraction
}
