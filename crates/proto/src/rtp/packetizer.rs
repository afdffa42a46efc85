//! Frames to packets.

use av::codec::nal::length_prefixed;
use av::{CodecParameters, Frame, Track};
use bytes::{BufMut, Bytes, BytesMut};

use super::h264::H264;
use super::h265::H265;
use super::packet::{Extension, HEADER_LEN, Packet};
use super::rtcp::{NtpTime, Rtcp};
use super::{ReplayExtension, aac, nal, replay};

/// Payload of a packet, bytes: below the 1,500 of Ethernet with room for IPv6, UDP, RTP and a tunnel.
pub const PAYLOAD_MAX: usize = 1400;

/// Makes the packets of one track: one synchronisation source, one row of sequence numbers.
///
/// Parameter sets are sent before each key frame, so that a player may join at any of them.
#[derive(Clone, Debug)]
pub struct Packetizer {
    payload_type: u8,
    payload_max: usize,
    ssrc: u32,
    sequence: u16,
    timestamp_offset: u32,
    packets: u32,
    octets: u32,
}

impl Packetizer {
    /// A source with random identifier, first sequence number and timestamp offset (RFC 3550 §5.1).
    /// `payload_type` is the one of the description, 0 to 127.
    pub fn new(payload_type: u8) -> Packetizer {
        Packetizer {
            payload_type: payload_type & 0x7f,
            payload_max: PAYLOAD_MAX,
            ssrc: rand::random(),
            sequence: rand::random(),
            timestamp_offset: rand::random(),
            packets: 0,
            octets: 0,
        }
    }

    /// Makes payloads of at most `bytes`, 100 to 65,000.
    pub fn payload_max(mut self, bytes: usize) -> Packetizer {
        self.payload_max = bytes.clamp(100, 65_000);
        self
    }

    /// The synchronisation source.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Sequence number of the next packet, for `RTP-Info`.
    pub fn next_sequence(&self) -> u16 {
        self.sequence
    }

    /// RTP timestamp of a time on the track's clock.
    pub fn timestamp(&self, ticks: i64) -> u32 {
        (ticks as u32).wrapping_add(self.timestamp_offset)
    }

    /// Appends the packets of one frame to `out`. `track` is the frame's, with current parameters.
    pub fn push(&mut self, track: &Track, frame: &Frame, out: &mut Vec<Bytes>) {
        self.push_extended(track, frame, None, out);
    }

    /// As [`Packetizer::push`], of a recorded frame: its packets tell when that was. The first would suffice, but
    /// GStreamer takes the time of a frame from its last, and the parameter sets have packets of their own.
    pub fn push_replayed(&mut self, track: &Track, frame: &Frame, replay: ReplayExtension, out: &mut Vec<Bytes>) {
        self.push_extended(track, frame, Some(replay.to_extension()), out);
    }

    fn push_extended(&mut self, track: &Track, frame: &Frame, extension: Option<Extension>, out: &mut Vec<Bytes>) {
        let max = self.payload_max;
        let mut buffer = BytesMut::with_capacity(frame.data.len() + frame.data.len() / max * 20 + 256);
        let timestamp = self.timestamp(frame.dts.0.wrapping_add(i64::from(frame.cts)));
        let mut emit = |after: u32, parts: &[&[u8]], marker: bool| {
            let length: usize = parts.iter().map(|part| part.len()).sum();
            let header = Packet {
                marker,
                payload_type: self.payload_type,
                sequence: self.sequence,
                timestamp: timestamp.wrapping_add(after),
                ssrc: self.ssrc,
                extension: extension.clone(),
                payload: Bytes::new(),
            };
            buffer.reserve(HEADER_LEN + length + replay::WIRE_LEN);
            header.write(&mut buffer);
            parts.iter().for_each(|part| buffer.put_slice(part));
            out.push(buffer.split().freeze());
            self.sequence = self.sequence.wrapping_add(1);
            self.packets = self.packets.wrapping_add(1);
            self.octets = self.octets.wrapping_add(length as u32);
        };
        let mut whole = |parts: &[&[u8]], last: bool| emit(0, parts, last);
        match &track.codec {
            CodecParameters::H264(p) => nal::packetize::<H264>(&units(frame, &[&p.sps, &p.pps]), max, &mut whole),
            CodecParameters::H265(p) => {
                nal::packetize::<H265>(&units(frame, &[&p.vps, &p.sps, &p.pps]), max, &mut whole);
            }
            CodecParameters::Aac(_) => aac::packetize(&frame.data, max, &mut whole),
            CodecParameters::G711(p) => {
                let channels = usize::from(p.channels.max(1));
                let piece = max / channels * channels;
                for (index, samples) in frame.data.chunks(piece).enumerate() {
                    // The marker is for the first packet after silence, and a camera is never silent.
                    emit((index * piece / channels) as u32, &[samples], false);
                }
            }
        }
    }

    /// The sender's report and name: at `ntp`, the track's clock shows `ticks`.
    pub fn report(&self, ntp: NtpTime, ticks: i64, cname: &str) -> Bytes {
        let mut out = BytesMut::with_capacity(64 + cname.len());
        let (packets, octets) = (self.packets, self.octets);
        let timestamp = self.timestamp(ticks);
        Rtcp::SenderReport { ssrc: self.ssrc, ntp, timestamp, packets, octets, blocks: Vec::new() }.write(&mut out);
        Rtcp::SourceDescription { ssrc: self.ssrc, cname: cname.to_owned() }.write(&mut out);
        out.freeze()
    }

    /// The source leaves.
    pub fn bye(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(16);
        // A report comes first in whatever is sent (RFC 3550 §6.1); players pass over what is shorter.
        Rtcp::ReceiverReport { ssrc: self.ssrc, blocks: Vec::new() }.write(&mut out);
        Rtcp::Bye { ssrcs: vec![self.ssrc] }.write(&mut out);
        out.freeze()
    }
}

/// NAL units to send: the parameter sets before a key frame, then the frame's own.
fn units<'a>(frame: &'a Frame, sets: &[&'a Bytes]) -> Vec<&'a [u8]> {
    let sets = if frame.key { sets } else { &[] };
    let sets = sets.iter().copied().map(|set| set.as_ref());
    // What cannot be split was not made by our own parsers; the units before it are sent.
    sets.chain(length_prefixed(&frame.data).map_while(Result::ok)).filter(|unit| !unit.is_empty()).collect()
}
