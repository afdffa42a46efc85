//! All tracks of one session, from packets to frames on a common timeline.

use std::collections::VecDeque;
use std::time::Instant;

use av::{CodecParameters, Frame, MediaKind, Ticks, Track, TrackId, UnixMicros};
use bytes::{Bytes, BytesMut};

use super::Format;
use super::depacketizer::{self, Depacketizer, Unit};
use super::order::DecodeOrder;
use super::packet::{self, Packet};
use super::rtcp::{self, NtpTime, Rtcp};
use super::sequence::{Reception, Reorder};

/// Sender reports move sound against picture only if they disagree by at least this, microseconds:
/// half of what a viewer notices, and more than the jitter of a camera's reports.
const SHIFT_US_MIN: i64 = 40_000;
/// … and by less than this: cameras whose tracks report from different clocks exist.
const SHIFT_US_MAX: i64 = 10_000_000;
/// An `RTP-Info` further from the first packet than this, seconds, is not about this stream.
const BEGIN_MAX_S: i64 = 10;

/// A packet that cannot be used; the session goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not RTP.
    #[error("track {track}")]
    Packet {
        /// Which track it came for.
        track: usize,
        /// What is wrong.
        #[source]
        source: packet::Error,
    },
    /// Not RTCP.
    #[error("track {track}")]
    Rtcp {
        /// Which track it came for.
        track: usize,
        /// What is wrong.
        #[source]
        source: rtcp::Error,
    },
    /// Not the format of the description.
    #[error("track {track}")]
    Depacketizer {
        /// Which track it came for.
        track: usize,
        /// What is wrong.
        #[source]
        source: depacketizer::Error,
    },
}

/// What a session yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The tracks of the frames to come. The first output, and again when parameters change.
    Tracks(Vec<Track>),
    /// A frame.
    Frame(Frame),
    /// A frame of this track was dropped: packets of it are missing or broken.
    Lost(TrackId),
    /// The sender says this track ends.
    Bye(TrackId),
}

/// Receives the tracks of one session, numbered from 0 as they were set up.
///
/// Decoding times of all tracks count from about zero at the start of the session. The tracks
/// are laid side by side by `RTP-Info` where the server gave it, else by arrival, and moved once
/// sender reports say better; the picture is never moved, sound follows.
pub struct Receiver {
    start: Instant,
    ssrc: u32,
    tracks: Vec<Incoming>,
    outputs: VecDeque<Output>,
    announced: bool,
}

struct Incoming {
    id: TrackId,
    parameters: Option<CodecParameters>,
    reorder: Option<Reorder>,
    reception: Option<Reception>,
    depacketizer: Depacketizer,
    clock: Clock,
    begin: Option<u32>,
    order: DecodeOrder,
    /// Wall time at the sender, and the unwrapped timestamp of the same moment.
    report: Option<(NtpTime, i64)>,
}

/// Unwraps 32-bit timestamps and shifts them to the session's timeline.
struct Clock {
    rate: u32,
    /// The last timestamp, and what it was unwrapped to.
    last: Option<(u32, i64)>,
    offset: i64,
}

impl Clock {
    /// `timestamp` unwrapped near the last one.
    fn near(&self, timestamp: u32) -> i64 {
        self.last.map_or(i64::from(timestamp), |(last, at)| at + i64::from(timestamp.wrapping_sub(last) as i32))
    }

    fn unwrap(&mut self, timestamp: u32) -> i64 {
        let at = self.near(timestamp);
        self.last = Some((timestamp, at));
        at
    }

    fn micros(&self, unwrapped: i64) -> i64 {
        Ticks(unwrapped + self.offset).rescale(self.rate, 1_000_000).0
    }
}

impl Receiver {
    /// For the tracks set up, beginning now. `ordered` where the transport keeps packets in order (TCP).
    /// The first picture becomes [`TrackId::VIDEO`], the first sound [`TrackId::AUDIO`], others follow.
    pub fn new(now: Instant, formats: &[Format], ordered: bool) -> Receiver {
        let mut next_other = TrackId::AUDIO.0 + 1;
        let mut taken = [false; 2];
        let tracks = formats.iter().map(|format| {
            let usual = match format.codec.media() {
                MediaKind::Video => TrackId::VIDEO,
                MediaKind::Audio => TrackId::AUDIO,
            };
            let id = if std::mem::replace(&mut taken[usize::from(usual.0)], true) {
                next_other = next_other.saturating_add(1);
                TrackId(next_other - 1)
            } else {
                usual
            };
            let mut depacketizer = Depacketizer::new(format);
            let parameters = depacketizer.pull().and_then(|unit| match unit {
                Unit::Parameters(parameters) => Some(parameters),
                Unit::Frame { .. } | Unit::Lost => None,
            });
            let rate = format.clock_rate.max(1);
            let video = format.codec.media() == MediaKind::Video;
            Incoming {
                id,
                parameters,
                reorder: (!ordered).then(Reorder::default),
                reception: None,
                depacketizer,
                clock: Clock { rate, last: None, offset: 0 },
                begin: None,
                order: if video { DecodeOrder::video(rate) } else { DecodeOrder::audio(rate) },
                report: None,
            }
        });
        let tracks = tracks.collect();
        Receiver { start: now, ssrc: rand::random(), tracks, outputs: VecDeque::new(), announced: false }
    }

    /// The timestamp of a track's start, from `RTP-Info`. Cameras that make it up are found out by
    /// its distance from the first packet.
    pub fn begin(&mut self, track: usize, timestamp: u32) {
        if let Some(track) = self.tracks.get_mut(track) {
            track.begin = Some(timestamp);
        }
    }

    /// Takes an RTP packet of a track; numbers without a track are ignored. `wall` goes into the frames.
    ///
    /// # Errors
    /// [`Error`]: the packet is dropped, the session goes on.
    pub fn handle_rtp(&mut self, now: Instant, wall: UnixMicros, track: usize, data: &Bytes) -> Result<(), Error> {
        let Some(incoming) = self.tracks.get_mut(track) else { return Ok(()) };
        let packet = Packet::parse(data).map_err(|source| Error::Packet { track, source })?;
        match &mut incoming.reorder {
            None => self.handle_ordered(now, wall, track, packet),
            Some(reorder) => {
                reorder.push(now, packet);
                self.release(now, wall, track)
            }
        }
    }

    /// Gives up on packets waited for too long. Call it every few ten milliseconds where the
    /// transport does not keep order.
    ///
    /// # Errors
    /// As [`Receiver::handle_rtp`].
    pub fn handle_timeout(&mut self, now: Instant, wall: UnixMicros) -> Result<(), Error> {
        (0..self.tracks.len()).map(|track| self.release(now, wall, track)).fold(Ok(()), Result::and)
    }

    fn release(&mut self, now: Instant, wall: UnixMicros, track: usize) -> Result<(), Error> {
        let mut result = Ok(());
        while let Some(packet) = self.tracks[track].reorder.as_mut().and_then(|reorder| reorder.pull(now)) {
            result = result.and(self.handle_ordered(now, wall, track, packet));
        }
        result
    }

    fn handle_ordered(&mut self, now: Instant, wall: UnixMicros, track: usize, packet: Packet) -> Result<(), Error> {
        let incoming = &mut self.tracks[track];
        let rate = incoming.clock.rate;
        let gap = match &mut incoming.reception {
            Some(reception) if reception.ssrc() == packet.ssrc => match reception.push(now, &packet) {
                Some(missing) => missing > 0,
                None => return Ok(()),
            },
            other => {
                // The first packet, or the sender restarted its encoder: another clock begins.
                let gap = other.is_some();
                *other = Some(Reception::new(now, rate, &packet));
                incoming.start_clock(self.start, now, packet.timestamp);
                gap
            }
        };
        let pushed = incoming.depacketizer.push(&packet, gap);
        while let Some(unit) = self.tracks[track].depacketizer.pull() {
            self.handle_unit(wall, track, unit);
        }
        pushed.map_err(|source| Error::Depacketizer { track, source })
    }

    fn handle_unit(&mut self, wall: UnixMicros, track: usize, unit: Unit) {
        let incoming = &mut self.tracks[track];
        match unit {
            Unit::Parameters(parameters) => {
                incoming.parameters = Some(parameters);
                self.announced = false;
            }
            Unit::Lost => self.outputs.push_back(Output::Lost(incoming.id)),
            Unit::Frame { timestamp, key, data } => {
                let pts = incoming.clock.unwrap(timestamp) + incoming.clock.offset;
                let dts = incoming.order.push(pts);
                // Sound that a report moved back is pressed together, not played at an earlier time.
                let cts = if incoming.order.is_audio() { 0 } else { pts.saturating_sub(dts) };
                let cts = cts.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
                let frame = Frame { track: incoming.id, dts: Ticks(dts), cts, wall, key, data };
                if self.announce() {
                    self.outputs.push_back(Output::Frame(frame));
                }
            }
        }
    }

    /// Announces the tracks once all are known. Frames before that can be decoded by nobody.
    fn announce(&mut self) -> bool {
        if !self.announced {
            let tracks = self.tracks.iter().map(|incoming| {
                let codec = incoming.parameters.clone()?;
                Some(Track { id: incoming.id, codec, clock_rate: incoming.clock.rate })
            });
            if let Some(tracks) = tracks.collect() {
                self.outputs.push_back(Output::Tracks(tracks));
                self.announced = true;
            }
        }
        self.announced
    }

    /// Takes an RTCP packet of a track; numbers without a track are ignored.
    ///
    /// # Errors
    /// [`Error::Rtcp`]: the packet is dropped, the session goes on.
    pub fn handle_rtcp(&mut self, now: Instant, track: usize, data: &[u8]) -> Result<(), Error> {
        let Some(incoming) = self.tracks.get_mut(track) else { return Ok(()) };
        for packet in rtcp::parse(data).map_err(|source| Error::Rtcp { track, source })? {
            let Some(reception) = &mut incoming.reception else { continue };
            match packet {
                Rtcp::SenderReport { ssrc, ntp, timestamp, .. } if ssrc == reception.ssrc() => {
                    reception.sender_report(now, ntp);
                    // Cameras whose clock is not set send zeros.
                    incoming.report = (ntp != NtpTime(0)).then(|| (ntp, incoming.clock.near(timestamp)));
                }
                Rtcp::Bye { ssrcs } if ssrcs.contains(&reception.ssrc()) => {
                    self.outputs.push_back(Output::Bye(incoming.id));
                }
                _ => {}
            }
        }
        self.align();
        Ok(())
    }

    /// Moves sound to where the sender reports say it belongs beside the picture.
    fn align(&mut self) {
        let reference = self.tracks.iter().find(|t| t.id == TrackId::VIDEO).and_then(|video| {
            let (ntp, at) = video.report?;
            Some((ntp, video.clock.micros(at)))
        });
        let Some((reference_ntp, reference_us)) = reference else { return };
        for incoming in self.tracks.iter_mut().filter(|t| t.id != TrackId::VIDEO) {
            let Some((ntp, at)) = incoming.report else { continue };
            let wanted = reference_us.saturating_add(ntp.micros_since(reference_ntp));
            let shift = wanted.saturating_sub(incoming.clock.micros(at));
            if (SHIFT_US_MIN..SHIFT_US_MAX).contains(&shift.abs()) {
                incoming.clock.offset += Ticks(shift).rescale(1_000_000, incoming.clock.rate).0;
            }
        }
    }

    /// What came out so far.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// A receiver report for each track that has had a packet, with its number. Due about every 5 s.
    pub fn reports(&mut self, now: Instant) -> Vec<(usize, Bytes)> {
        let ssrc = self.ssrc;
        let reporting = self.tracks.iter_mut().enumerate().filter_map(|(index, incoming)| {
            let blocks = vec![incoming.reception.as_mut()?.report(now)];
            let mut out = BytesMut::with_capacity(64);
            Rtcp::ReceiverReport { ssrc, blocks }.write(&mut out);
            Rtcp::SourceDescription { ssrc, cname: format!("{ssrc:08x}") }.write(&mut out);
            Some((index, out.freeze()))
        });
        reporting.collect()
    }

    /// Packets lost on all tracks so far.
    pub fn packets_lost(&self) -> u64 {
        self.tracks.iter().filter_map(|t| t.reception.as_ref()).map(|r| r.lost().max(0) as u64).sum()
    }
}

impl Incoming {
    fn start_clock(&mut self, start: Instant, now: Instant, timestamp: u32) {
        let rate = i64::from(self.clock.rate);
        self.clock.last = None;
        self.report = None;
        let first = self.clock.unwrap(timestamp);
        let since_begin = self.begin.take().map(|begin| i64::from(timestamp.wrapping_sub(begin) as i32));
        let elapsed = now.saturating_duration_since(start).as_micros() as i64;
        let elapsed = Ticks(elapsed).rescale(1_000_000, self.clock.rate).0;
        let begins_at = since_begin.filter(|ticks| ticks.abs() < BEGIN_MAX_S * rate).unwrap_or(elapsed);
        self.clock.offset = begins_at - first;
        self.order.restart();
    }
}
