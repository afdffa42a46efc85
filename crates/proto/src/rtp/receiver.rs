//! All tracks of one session, from packets to frames on a common timeline.

use std::collections::VecDeque;
use std::time::Instant;

use av::{CodecParameters, Frame, MediaKind, Ticks, Track, TrackId, UnixMicros};
use bytes::{Bytes, BytesMut};

use super::Format;
use super::depacketizer::{self, Depacketizer, Unit};
use super::order::DecodeOrder;
use super::packet::{self, Packet};
use super::replay::ReplayExtension;
use super::rtcp::{self, NtpTime, Rtcp};
use super::sequence::{Reception, Reorder};

/// Sender reports move sound against picture only if they disagree by at least this, microseconds:
/// half of what a viewer notices, and more than the jitter of a camera's reports.
const SHIFT_US_MIN: i64 = 40_000;
/// … and by less than this: cameras whose tracks report from different clocks exist.
const SHIFT_US_MAX: i64 = 10_000_000;
/// Recorded moments that are this far, microseconds, from where the timestamp puts them begin a new
/// stretch: half of the shortest gap worth telling.
const JUMP_US_MIN: u64 = 500_000;
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
    /// A stretch of this recorded track ends here; what follows, if anything does, is behind a gap.
    StretchEnd(TrackId),
}

/// Receives the tracks of one session, numbered from 0 as they were set up.
///
/// Decoding times of all tracks count from about zero at the start of the session. The tracks
/// are laid side by side by `RTP-Info` where the server gave it, else by arrival, and moved once
/// sender reports say better; the picture is never moved, sound follows.
///
/// Of a recording, times are those of recording, however fast it comes: see [`Receiver::recorded`].
pub struct Receiver {
    start: Instant,
    /// Of a recording: when it was recorded at the start of the timeline, once that is known.
    recorded: Option<Option<UnixMicros>>,
    /// Of a recording: recorded time in a second of the tracks' clocks.
    scale: f64,
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
    /// Timestamps with the moments that they were recorded at, the newest last: frames come out of the
    /// depacketiser up to one later than their first packet, which has it.
    moments: VecDeque<(u32, UnixMicros)>,
    /// When that was recorded which comes first.
    first: Option<UnixMicros>,
    /// What is to be said after the frame that is being assembled.
    then: Option<Output>,
}

/// Moments kept of a track.
const MOMENTS: usize = 4;

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
                moments: VecDeque::new(),
                first: None,
                then: None,
            }
        });
        let tracks = tracks.collect();
        let (ssrc, outputs) = (rand::random(), VecDeque::new());
        Receiver { start: now, recorded: None, scale: 1.0, ssrc, tracks, outputs, announced: false }
    }

    /// As [`Receiver::new`], of recorded tracks on an ordered transport. The wall time of frames is when they
    /// were recorded: by the extension of their packets, else by their distance from what
    /// [`Receiver::recorded_at`] told. The tracks are laid side by side by that alone.
    pub fn recorded(now: Instant, formats: &[Format]) -> Receiver {
        Receiver { recorded: Some(None), ..Receiver::new(now, formats, true) }
    }

    /// What is recorded is played at this `Scale` (RFC 2326 §12.34), which timestamps do not show: from here
    /// on they count so much more, or less, of recorded time.
    pub fn set_scale(&mut self, scale: f32) {
        self.scale = f64::from(scale);
    }

    /// What has this timestamp on a recorded track was recorded then; without a timestamp, what comes first.
    /// Packets that tell it themselves know better.
    pub fn recorded_at(&mut self, track: usize, timestamp: Option<u32>, at: UnixMicros) {
        if let Some(track) = self.tracks.get_mut(track) {
            track.moments.clear();
            match timestamp {
                Some(timestamp) => track.moments.push_back((timestamp, at)),
                None => track.first = Some(at),
            }
        }
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
        let mut jumped = false;
        if self.recorded.is_some() {
            let expected = incoming.moment(packet.timestamp, self.scale);
            let replay = packet.extension.as_ref().and_then(ReplayExtension::parse);
            incoming.remember(packet.timestamp, replay);
            let told = incoming.moment(packet.timestamp, self.scale);
            let apart = expected.zip(told).map(|(expected, told)| told.0.abs_diff(expected.0));
            jumped = apart.is_some_and(|apart| apart > JUMP_US_MIN);
        }
        let gap = match &mut incoming.reception {
            Some(reception) if reception.ssrc() == packet.ssrc => match reception.push(now, &packet) {
                Some(missing) => missing > 0,
                None => return Ok(()),
            },
            other => {
                // The first packet, or the sender restarted its encoder: another clock begins.
                let gap = other.is_some();
                *other = Some(Reception::new(now, rate, &packet));
                incoming.clock.last = None;
                gap
            }
        };
        if incoming.clock.last.is_none() || jumped {
            let elapsed = now.saturating_duration_since(self.start).as_micros() as i64;
            let begins_at = match (&mut self.recorded, incoming.moment(packet.timestamp, self.scale)) {
                (Some(start), Some(at)) => at.0 - start.get_or_insert(at).0,
                _ => elapsed,
            };
            incoming.start_clock(begins_at, packet.timestamp);
        }
        let pushed = incoming.depacketizer.push(&packet, gap);
        while let Some(unit) = self.tracks[track].depacketizer.pull() {
            self.handle_unit(wall, track, unit);
        }
        pushed.map_err(|source| Error::Depacketizer { track, source })
    }

    fn handle_unit(&mut self, wall: UnixMicros, track: usize, unit: Unit) {
        let (start, scale) = (self.recorded.flatten(), self.scale);
        let incoming = &mut self.tracks[track];
        match unit {
            Unit::Parameters(parameters) => {
                incoming.parameters = Some(parameters);
                self.announced = false;
            }
            Unit::Lost => self.outputs.push_back(Output::Lost(incoming.id)),
            Unit::Frame { timestamp, key, data } => {
                let moment = incoming.moment(timestamp, scale);
                let mut pts = incoming.clock.unwrap(timestamp) + incoming.clock.offset;
                if let (Some(start), Some(at)) = (start, moment)
                    && scale != 1.0
                {
                    pts = Ticks(at.0 - start.0).rescale(1_000_000, incoming.clock.rate).0;
                }
                let dts = incoming.order.push(pts);
                // Sound that a report moved back is pressed together, not played at an earlier time.
                let cts = if incoming.order.is_audio() { 0 } else { pts.saturating_sub(dts) };
                let cts = cts.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
                let wall = moment.unwrap_or(wall);
                let then = incoming.then.take();
                let frame = Frame { track: incoming.id, dts: Ticks(dts), cts, wall, key, data };
                if self.announce() {
                    self.outputs.push_back(Output::Frame(frame));
                }
                self.outputs.extend(then);
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
        // A recorder reports by the clock of now.
        if self.recorded.is_none() {
            self.align();
        }
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
    /// `timestamp` is of this many microseconds on the session's timeline, unless `RTP-Info` knows better.
    fn start_clock(&mut self, begins_at: i64, timestamp: u32) {
        let rate = i64::from(self.clock.rate);
        self.clock.last = None;
        self.report = None;
        let first = self.clock.unwrap(timestamp);
        let since_begin = self.begin.take().map(|begin| i64::from(timestamp.wrapping_sub(begin) as i32));
        let told = since_begin.filter(|ticks| self.moments.is_empty() && ticks.abs() < BEGIN_MAX_S * rate);
        let begins_at = told.unwrap_or_else(|| Ticks(begins_at).rescale(1_000_000, self.clock.rate).0);
        self.clock.offset = begins_at - first;
        self.order.restart();
    }

    /// When that was recorded, by the nearest moment known.
    fn moment(&self, timestamp: u32, scale: f64) -> Option<UnixMicros> {
        let ticks = |moment: &(u32, UnixMicros)| timestamp.wrapping_sub(moment.0) as i32;
        let nearest = self.moments.iter().rev().min_by_key(|moment| ticks(moment).unsigned_abs())?;
        let after = Ticks(i64::from(ticks(nearest))).rescale(self.clock.rate, 1_000_000).0;
        let after = if scale == 1.0 { after } else { (after as f64 * scale) as i64 };
        Some(UnixMicros(nearest.1.0.saturating_add(after)))
    }

    /// A packet of a recording comes.
    fn remember(&mut self, timestamp: u32, replay: Option<ReplayExtension>) {
        if let Some(replay) = replay {
            // Some say it in every packet, and that a frame is the last of a stretch in its last one alone.
            if self.moments.back().is_none_or(|(last, _)| *last != timestamp) {
                if self.moments.len() == MOMENTS {
                    self.moments.pop_front();
                }
                self.then = None;
            } else {
                self.moments.pop_back();
            }
            self.moments.push_back((timestamp, UnixMicros(replay.recorded.to_unix_micros())));
            match replay {
                ReplayExtension { terminal: true, .. } => self.then = Some(Output::Bye(self.id)),
                ReplayExtension { end: true, .. } => self.then = Some(Output::StretchEnd(self.id)),
                _ => {}
            }
            self.first = None;
        }
        self.moments.extend(self.first.take().map(|at| (timestamp, at)));
    }
}
