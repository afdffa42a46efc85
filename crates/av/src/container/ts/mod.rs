//! MPEG-TS, written (ISO/IEC 13818-1): one program of at most one video and one audio stream.
//!
//! | What | Follows |
//! |---|---|
//! | Packets, PES, clock references, PAT and PMT | ISO/IEC 13818-1 §2.4 |
//! | H.264, H.265 | ISO/IEC 13818-1 §2.14, §2.17: Annex B, each access unit behind a delimiter |
//! | AAC | ISO/IEC 13818-7 §1.A.2: ADTS, one frame a PES packet |
//! | Segments | RFC 8216 §3.2: each begins with PAT and PMT |

#[cfg(test)]
mod tests;

use crate::codec::{aac, h264, h265, nal};
use crate::{AacParameters, CodecParameters, Frame, Ticks, Track, TrackId};

/// Bytes of a packet.
pub const PACKET: usize = 188;

/// Bytes of a packet behind its header.
const ROOM: usize = PACKET - 4;

/// Ticks a second of all timestamps here.
const CLOCK: u32 = 90_000;

/// How much later than its clock reference a frame is decoded: room for a large key frame to arrive in.
const DELAY_TICKS: i64 = 63_000;

/// Longest distance between clock references (§2.7.2), in ticks: 100 ms.
const PCR_TICKS_MAX: i64 = 9_000;

/// Most clock references put between two frames; behind a longer pause the clock goes on by itself.
const PCR_FILL_MAX: i64 = 20;

const PID_PAT: u16 = 0;
const PID_PMT: u16 = 0x1000;
const PID_VIDEO: u16 = 0x100;
const PID_AUDIO: u16 = 0x101;

/// `program_number` and `transport_stream_id`.
const PROGRAM: u16 = 1;

/// `stream_id` of the first video and the first audio stream, table 2-22.
const STREAM_ID_VIDEO: u8 = 0xE0;
const STREAM_ID_AUDIO: u8 = 0xC0;

/// `stream_type`, table 2-34.
const STREAM_TYPE_AAC: u8 = 0x0F;
const STREAM_TYPE_H264: u8 = 0x1B;
const STREAM_TYPE_H265: u8 = 0x24;

/// Access unit delimiters that allow any slice in the picture (H.264 §7.3.2.4, H.265 §7.3.2.5), behind their
/// start code.
const DELIMITER_H264: &[u8] = &[0, 0, 0, 1, h264::nal_type::AUD, 0xF0];
const DELIMITER_H265: &[u8] = &[0, 0, 0, 1, h265::nal_type::AUD << 1, 1, 0x50];

const START_CODE: &[u8] = &[0, 0, 0, 1];

/// Packs frames into transport packets.
///
/// Tracks of other codecs, G.711 among them, and a second one of a kind are left out. What one muxer wrote
/// is one transport stream, however it is cut in front of its tables; what several wrote of one timeline,
/// one behind the other, is read as one too, as each marks where its counters begin.
#[derive(Clone, Debug)]
pub struct Muxer {
    video: Option<Video>,
    audio: Option<Audio>,
    tables: [Table; 2],
    /// PAT and PMT stand before the next frame.
    tables_due: bool,
    /// The clock reference written last.
    pcr: Option<i64>,
}

#[derive(Clone, Debug)]
struct Video {
    id: TrackId,
    clock_rate: u32,
    stream_type: u8,
    delimiter: &'static [u8],
    /// With start codes.
    parameter_sets: Vec<u8>,
    counter: Counter,
}

#[derive(Clone, Debug)]
struct Audio {
    id: TrackId,
    clock_rate: u32,
    parameters: AacParameters,
    counter: Counter,
}

/// A section that fits one packet.
#[derive(Clone, Debug)]
struct Table {
    pid: u16,
    section: Vec<u8>,
    counter: Counter,
}

impl Muxer {
    /// Starts a transport stream of these tracks.
    pub fn new(tracks: &[Track]) -> Muxer {
        let video = tracks.iter().find_map(|track| {
            let (stream_type, delimiter, sets) = match &track.codec {
                CodecParameters::H264(p) => (STREAM_TYPE_H264, DELIMITER_H264, vec![&p.sps, &p.pps]),
                CodecParameters::H265(p) => (STREAM_TYPE_H265, DELIMITER_H265, vec![&p.vps, &p.sps, &p.pps]),
                CodecParameters::Aac(_) | CodecParameters::G711(_) => return None,
            };
            let parameter_sets = sets.into_iter().flat_map(|set| [START_CODE, set].concat()).collect();
            let (id, clock_rate) = (track.id, track.clock_rate);
            Some(Video { id, clock_rate, stream_type, delimiter, parameter_sets, counter: Counter::default() })
        });
        let audio = tracks.iter().find_map(|track| {
            let CodecParameters::Aac(parameters) = &track.codec else { return None };
            // Not every configuration can be said in ADTS.
            aac::adts_header(parameters, 0).ok()?;
            let (id, clock_rate, parameters) = (track.id, track.clock_rate, parameters.clone());
            Some(Audio { id, clock_rate, parameters, counter: Counter::default() })
        });
        let streams = video.iter().map(|video| (video.stream_type, PID_VIDEO));
        let streams: Vec<_> = streams.chain(audio.iter().map(|_| (STREAM_TYPE_AAC, PID_AUDIO))).collect();
        Muxer { video, audio, tables: tables(&streams), tables_due: true, pcr: None }
    }

    /// Makes a segment begin with the next frame: PAT and PMT stand before it. They do anyway before the
    /// first frame and before each key picture.
    pub fn begin_segment(&mut self) {
        self.tables_due = true;
    }

    /// Appends the packets of a frame. Frames of tracks that were left out add nothing, nor do those without
    /// a NAL unit and those too long for ADTS (8 KiB).
    ///
    /// Frames come in decoding order over all tracks, on clocks that begin at 0 together.
    pub fn push(&mut self, frame: &Frame, out: &mut Vec<u8>) {
        if self.video.as_ref().is_some_and(|video| video.id == frame.track) {
            self.push_video(frame, out);
        } else if self.audio.as_ref().is_some_and(|audio| audio.id == frame.track) {
            self.push_audio(frame, out);
        }
    }

    fn push_video(&mut self, frame: &Frame, out: &mut Vec<u8>) {
        let units = nal::length_prefixed(&frame.data).map_while(Result::ok);
        if units.clone().next().is_none() {
            return;
        }
        self.tables_due |= frame.key;
        self.push_tables(out);
        let Some(video) = &mut self.video else { return };
        let dts = frame.dts.rescale(video.clock_rate, CLOCK).0;
        let pts = Ticks(frame.dts.0.saturating_add(frame.cts.into())).rescale(video.clock_rate, CLOCK).0;
        fill_pcr(&mut self.pcr, dts, PID_VIDEO, &video.counter, out);
        let sets: &[u8] = if frame.key { &video.parameter_sets } else { &[] };
        let payload = [video.delimiter, sets].into_iter().chain(units.flat_map(|unit| [START_CODE, unit]));
        let pes = Pes {
            pid: PID_VIDEO,
            stream_id: STREAM_ID_VIDEO,
            pts,
            // Nothing is shown before it is decoded, whatever some encoders say.
            dts: Some(dts.min(pts)),
            random_access: frame.key,
            pcr: Some(dts),
        };
        pes.write(&mut video.counter, payload, out);
        self.pcr = Some(dts);
    }

    fn push_audio(&mut self, frame: &Frame, out: &mut Vec<u8>) {
        let Some(audio) = &self.audio else { return };
        let Ok(header) = aac::adts_header(&audio.parameters, frame.data.len()) else { return };
        self.push_tables(out);
        let Some(audio) = &mut self.audio else { return };
        let dts = frame.dts.rescale(audio.clock_rate, CLOCK).0;
        let (pid, counter) = match &self.video {
            Some(video) => (PID_VIDEO, &video.counter),
            None => (PID_AUDIO, &audio.counter),
        };
        fill_pcr(&mut self.pcr, dts, pid, counter, out);
        let carries_pcr = self.video.is_none();
        let pes = Pes {
            pid: PID_AUDIO,
            stream_id: STREAM_ID_AUDIO,
            pts: dts,
            dts: None,
            random_access: carries_pcr,
            pcr: carries_pcr.then_some(dts),
        };
        pes.write(&mut audio.counter, [&header, &frame.data[..]].into_iter(), out);
        if carries_pcr {
            self.pcr = Some(dts);
        }
    }

    fn push_tables(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.tables_due) {
            self.tables.iter_mut().for_each(|table| table.write(out));
        }
    }
}

/// Appends clock references alone, so that none is further from the one before than is allowed.
fn fill_pcr(last: &mut Option<i64>, now: i64, pid: u16, counter: &Counter, out: &mut Vec<u8>) {
    let Some(last) = last else { return };
    if now.saturating_sub(*last) > PCR_FILL_MAX * PCR_TICKS_MAX {
        return;
    }
    while now - *last > PCR_TICKS_MAX {
        *last += PCR_TICKS_MAX;
        let adaptation = Adaptation { pcr: Some(*last), ..Adaptation::default() };
        Head { pid, starts: false, counter: counter.last(), adaptation }.write(0, out);
    }
}

/// `continuity_counter` of a PID (§2.4.3.3). It counts packets with payload.
#[derive(Clone, Copy, Debug, Default)]
struct Counter {
    next: u8,
    begun: bool,
}

impl Counter {
    /// Of the packet that comes next, and whether it is the first of all.
    fn advance(&mut self) -> (u8, bool) {
        let (value, begun) = (self.next, std::mem::replace(&mut self.begun, true));
        self.next = (self.next + 1) & 0xF;
        (value, !begun)
    }

    /// Of the packet that came last.
    fn last(&self) -> u8 {
        self.next.wrapping_sub(1) & 0xF
    }
}

/// What an adaptation field says (§2.4.3.4).
#[derive(Clone, Copy, Debug, Default)]
struct Adaptation {
    /// The counter, and with it the clock, begins here.
    discontinuity: bool,
    random_access: bool,
    /// `program_clock_reference`, in ticks.
    pcr: Option<i64>,
}

/// A packet before its payload.
struct Head {
    pid: u16,
    /// `payload_unit_start_indicator`.
    starts: bool,
    counter: u8,
    adaptation: Adaptation,
}

impl Head {
    /// Appends it, stuffed so that up to `left` bytes of payload complete the packet; gives how many these are.
    fn write(&self, left: usize, out: &mut Vec<u8>) -> usize {
        let Adaptation { discontinuity, random_access, pcr } = self.adaptation;
        let flags = u8::from(discontinuity) << 7 | u8::from(random_access) << 6 | u8::from(pcr.is_some()) << 4;
        let said = if flags == 0 { 0 } else { 2 + if pcr.is_some() { 6 } else { 0 } };
        let payload = left.min(ROOM - said);
        let field = ROOM - payload;
        let [p1, p0] = (self.pid | u16::from(self.starts) << 14).to_be_bytes();
        let control = u8::from(field > 0) << 5 | u8::from(payload > 0) << 4;
        out.extend_from_slice(&[0x47, p1, p0, control | self.counter]);
        let end = out.len() + field;
        if field > 0 {
            out.push(field as u8 - 1);
        }
        if field > 1 {
            out.push(flags);
        }
        if let Some(ticks) = pcr {
            // 33 bits of base, 6 reserved, 9 of extension.
            let pcr = (ticks as u64 & TIME_MASK) << 15 | 0x3F << 9;
            out.extend_from_slice(&pcr.to_be_bytes()[2..]);
        }
        out.resize(end, 0xFF);
        payload
    }
}

/// Times have 33 bits and wrap.
const TIME_MASK: u64 = (1 << 33) - 1;

/// A PES packet (§2.4.3.6), times in ticks before [`DELAY_TICKS`].
struct Pes {
    pid: u16,
    stream_id: u8,
    pts: i64,
    /// Where it may differ from `pts`.
    dts: Option<i64>,
    random_access: bool,
    pcr: Option<i64>,
}

impl Pes {
    /// Appends its packets, with the payload in pieces.
    fn write<'a>(&self, counter: &mut Counter, payload: impl Iterator<Item = &'a [u8]> + Clone, out: &mut Vec<u8>) {
        let payload_len = payload.clone().map(<[u8]>::len).sum();
        let mut header = [0; 19];
        let header = self.header(payload_len, &mut header);
        let mut left = header.len() + payload_len;
        out.reserve((left.div_ceil(ROOM) + 1) * PACKET);
        let (mut room, mut starts) = (0, true);
        let mut put = |mut piece: &[u8]| {
            while !piece.is_empty() {
                if room == 0 {
                    let (counter, discontinuity) = counter.advance();
                    let adaptation = match starts {
                        true => Adaptation { discontinuity, random_access: self.random_access, pcr: self.pcr },
                        false => Adaptation::default(),
                    };
                    room = Head { pid: self.pid, starts, counter, adaptation }.write(left, out);
                    starts = false;
                }
                let (now, rest) = piece.split_at(room.min(piece.len()));
                out.extend_from_slice(now);
                (room, left, piece) = (room - now.len(), left - now.len(), rest);
            }
        };
        put(header);
        payload.for_each(put);
    }

    fn header<'a>(&self, payload: usize, header: &'a mut [u8; 19]) -> &'a [u8] {
        let time = |mark: u8, ticks: i64| {
            let ticks = (ticks.saturating_add(DELAY_TICKS)) as u64 & TIME_MASK;
            // 3, 15 and 15 bits, each with a marker bit behind it.
            let bits = u64::from(mark) << 36 | (ticks >> 30) << 33 | 1 << 32;
            let bits = bits | (ticks >> 15 & 0x7FFF) << 17 | 1 << 16 | (ticks & 0x7FFF) << 1 | 1;
            let [_, _, _, bytes @ ..] = bits.to_be_bytes();
            bytes
        };
        let dts = self.dts.filter(|&dts| dts != self.pts);
        let times = if dts.is_some() { 10 } else { 5 };
        // Video alone may leave its length open, which larger access units need.
        let [l1, l0] = u16::try_from(3 + times + payload).unwrap_or(0).to_be_bytes();
        let flags = if dts.is_some() { 0xC0 } else { 0x80 };
        // Mark bits and data_alignment_indicator: an access unit begins right behind.
        header[..9].copy_from_slice(&[0, 0, 1, self.stream_id, l1, l0, 0x84, flags, times as u8]);
        header[9..14].copy_from_slice(&time(if dts.is_some() { 3 } else { 2 }, self.pts));
        if let Some(dts) = dts {
            header[14..].copy_from_slice(&time(1, dts));
        }
        &header[..9 + times]
    }
}

/// PAT and PMT of these streams, by type and PID; the first one has the clock (§2.4.4.3, §2.4.4.8).
fn tables(streams: &[(u8, u16)]) -> [Table; 2] {
    // Reserved bits are ones.
    let pid = |pid: u16| (0xE000 | pid).to_be_bytes();
    let pat = [PROGRAM.to_be_bytes(), pid(PID_PMT)].concat();
    let mut pmt = [pid(streams.first().map_or(0x1FFF, |stream| stream.1)), 0xF000_u16.to_be_bytes()].concat();
    for &(stream_type, stream) in streams {
        pmt.push(stream_type);
        pmt.extend_from_slice(&pid(stream));
        pmt.extend_from_slice(&0xF000_u16.to_be_bytes()); // no descriptors
    }
    let table = |pid, id, body: &[u8]| Table { pid, section: section(id, body), counter: Counter::default() };
    [table(PID_PAT, 0, &pat), table(PID_PMT, 2, &pmt)]
}

/// A section in the long form (§2.4.4.11), the only one of its table and of version 0.
fn section(table_id: u8, body: &[u8]) -> Vec<u8> {
    let [l1, l0] = (0xB000 | (5 + body.len() + 4) as u16).to_be_bytes();
    let [p1, p0] = PROGRAM.to_be_bytes();
    let mut section = vec![table_id, l1, l0, p1, p0, 0xC1, 0, 0];
    section.extend_from_slice(body);
    let crc = section.iter().fold(u32::MAX, |crc, &byte| {
        // Annex A: polynomial 0x04C11DB7, highest bit first.
        (0..8).fold(crc ^ u32::from(byte) << 24, |crc, _| crc << 1 ^ if crc >> 31 == 1 { 0x04C1_1DB7 } else { 0 })
    });
    section.extend_from_slice(&crc.to_be_bytes());
    section
}

impl Table {
    fn write(&mut self, out: &mut Vec<u8>) {
        let (counter, discontinuity) = self.counter.advance();
        let adaptation = Adaptation { discontinuity, ..Adaptation::default() };
        let room = Head { pid: self.pid, starts: true, counter, adaptation }.write(ROOM, out);
        let end = out.len() + room;
        out.push(0); // pointer_field
        out.extend_from_slice(&self.section);
        out.resize(end, 0xFF);
    }
}
