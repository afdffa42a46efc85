//! What is on the card, for one session: ONVIF's replay (Streaming §6) and ISAPI's tracks.
//!
//! A task reads the card and hands on what is due; it waits while nobody takes it, so that a client which reads
//! slowly, or not at all, holds up the reading and nothing else.
//!
//! | | ONVIF | ISAPI |
//! |---|---|---|
//! | Address | `replay/recording`, `replay/recording2` … | `Streaming/tracks/101?starttime=…&endtime=…` |
//! | Pace | of [`Scale`](Play::scale), or `Rate-Control: no` | of `Scale` |
//! | Gaps | left out | not waited for, but in the timestamps |
//! | When that was | in every frame's [`ReplayExtension`] | the answer's `Range`, and the timestamps |
//!
//! Timestamps are of presentation (RFC 2326 §12.34): with a scale of 2 they run half as far as what was
//! recorded; where nothing is paced they run as far.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use av::{Frame, Ticks, Track, TrackId, UnixMicros};
use proto::isapi::path::parse_rtsp_track;
use proto::rtp::ReplayExtension;
use proto::rtp::rtcp::NtpTime;
use proto::rtsp::{Frames, Play, Range};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use crate::live::blocking;
use crate::sdcard::{Card, Chunk, Reader};
use crate::stats::Level;
use crate::{Error, token};

/// Stem of the names of recordings, in ONVIF and RTSP.
pub const RECORDING: &str = "recording";
/// Folder of ONVIF's replay.
const REPLAY: &str = "replay/";
/// Frames read ahead of the socket.
const AHEAD: usize = 32;
/// PLAY requests that wait for the one before to end (RFC 2326 §10.5).
const QUEUE_MAX: usize = 8;
/// Between what was sent and what is sent after a gap or a jump, as timestamps have it.
const STEP_US: i64 = 40_000;
/// Slowest and fastest.
const SCALES: std::ops::RangeInclusive<f32> = 0.125..=64.0;

/// Who asks, and so how it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Onvif,
    Isapi,
}

/// What an address names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    pub dialect: Dialect,
    pub channel: u16,
    pub from: UnixMicros,
    pub to: UnixMicros,
}

impl Address {
    /// Reads an address of footage; none if it is another.
    pub fn parse(path: &str, query: &str) -> Option<Address> {
        if let Some(name) = path.strip_prefix(REPLAY) {
            let (from, to) = (UnixMicros(i64::MIN), UnixMicros(i64::MAX));
            return Some(Address { dialect: Dialect::Onvif, channel: token::channel(name, RECORDING)?, from, to });
        }
        // Of the sub stream nothing is recorded.
        let (channel, sub, from, to) = parse_rtsp_track(path, query)?;
        let to = to.unwrap_or(UnixMicros(i64::MAX));
        (!sub).then_some(Address { dialect: Dialect::Isapi, channel, from, to })
    }

    /// The path of a channel's recording in ONVIF's replay.
    pub fn of_recording(channel: u16) -> String {
        format!("{REPLAY}{}", token::of(RECORDING, channel))
    }

    /// What there is of it: its tracks, and from when to when; none if there is nothing.
    pub async fn look(self, card: &Arc<Card>) -> Result<Option<(Arc<[Track]>, Range)>, Error> {
        let clips = card.clips(self.channel, self.from, self.to);
        let (Some(first), Some(last)) = (clips.first(), clips.last()) else { return Ok(None) };
        let (from, to) = (first.from.max(self.from), last.to.min(self.to));
        let mut reader = Reader::new(card.clone(), self.channel, self.from, self.to);
        let tracks = blocking(move || reader.tracks()).await?;
        Ok(tracks.map(|tracks| (tracks, Range::Clock { from, to: Some(to) })))
    }
}

/// A frame to send.
pub struct Piece {
    /// With its time on the track's clock as the packets have it.
    pub frame: Frame,
    /// Its track, with current parameters.
    pub track: Track,
    /// What goes with it in ONVIF's replay.
    pub extension: Option<ReplayExtension>,
}

/// A session's footage.
pub struct Footage {
    pub address: Address,
    /// As described.
    pub tracks: Arc<[Track]>,
    card: Arc<Card>,
    playing: Option<Playing>,
    queue: VecDeque<Ask>,
    /// Where it goes on after a pause.
    position: Option<UnixMicros>,
    /// Where timestamps go on, microseconds.
    next_us: i64,
    _place: OwnedSemaphorePermit,
    _level: Level,
}

/// What is to be played.
struct Ask {
    from: UnixMicros,
    to: UnixMicros,
    scale: f32,
    paced: bool,
    frames: Frames,
    cseq: u8,
}

/// The task that reads for the PLAY under way. Dropping it ends the task.
struct Playing {
    pieces: mpsc::Receiver<Piece>,
    task: JoinHandle<()>,
}

impl Playing {
    /// Begins with what was read already, if anything.
    fn begin(reader: Reader, read: Option<Chunk>, ask: Ask, dialect: Dialect, next_us: i64) -> Playing {
        let (out, pieces) = mpsc::channel(AHEAD);
        let task = tokio::spawn(async move {
            if let Err(error) = run(reader, read, ask, dialect, next_us, out).await {
                debug!(%error, "card cannot be read on");
            }
        });
        Playing { pieces, task }
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is answered to PLAY.
pub struct Answer {
    pub play: Play,
    /// Time of the first frame as timestamps have it, microseconds; unknown of what waits in the queue.
    pub begin_us: Option<i64>,
}

impl Footage {
    pub fn new(
        address: Address,
        tracks: Arc<[Track]>,
        card: Arc<Card>,
        place: OwnedSemaphorePermit,
        level: Level,
    ) -> Footage {
        let (playing, queue, position) = (None, VecDeque::new(), None);
        Footage { address, tracks, card, playing, queue, position, next_us: 0, _place: place, _level: level }
    }

    /// Does what PLAY asks; what it asks not, is as usual. Over UDP it is always paced.
    ///
    /// # Errors
    /// The status to refuse it with.
    pub async fn play(&mut self, play: &Play, cseq: u32, over_udp: bool) -> Result<Answer, u16> {
        let ask = self.understand(play, cseq, over_udp)?;
        let onvif = self.address.dialect == Dialect::Onvif;
        let answer = Play {
            range: Some(Range::Clock { from: ask.from, to: Some(ask.to).filter(|to| to.0 < i64::MAX) }),
            scale: Some(ask.scale),
            rate_control: onvif.then_some(ask.paced),
            frames: play.frames,
            ..Play::default()
        };
        if onvif && !play.immediate && self.playing.is_some() {
            if self.queue.len() == QUEUE_MAX {
                return Err(455);
            }
            self.queue.push_back(ask);
            return Ok(Answer { play: answer, begin_us: None });
        }
        self.stop();
        let to = ask.to;
        let from = self.start(ask).await.map_err(|_| 500u16)?.ok_or(457u16)?;
        let range = Range::Clock { from, to: Some(to).filter(|to| to.0 < i64::MAX) };
        Ok(Answer { play: Play { range: Some(range), ..answer }, begin_us: Some(self.next_us) })
    }

    fn understand(&self, play: &Play, cseq: u32, over_udp: bool) -> Result<Ask, u16> {
        let scale = play.scale.unwrap_or(1.0);
        if scale < 0.0 {
            // It does not play backwards, and says so in its capabilities.
            return Err(501);
        }
        let Address { dialect, channel, from: earliest, to: latest } = self.address;
        let (from, to) = match play.range {
            Some(Range::Clock { from, to }) => (from, to.unwrap_or(latest)),
            Some(Range::Npt { from, to }) => {
                let begin = match dialect {
                    Dialect::Isapi => earliest,
                    Dialect::Onvif => {
                        let clips = self.card.clips(channel, earliest, latest);
                        clips.first().map_or(earliest, |clip| clip.from)
                    }
                };
                let after = |by: Duration| UnixMicros(begin.0.saturating_add(by.as_micros() as i64));
                match self.position {
                    // Players resume so what they have paused.
                    Some(position) if from.is_zero() && to.is_none() => (position, latest),
                    _ => (after(from), to.map_or(latest, after)),
                }
            }
            Some(Range::Now) | None => (self.position.unwrap_or(earliest), latest),
        };
        let (from, to) = (from.max(earliest), to.min(latest));
        if to <= from {
            return Err(457);
        }
        let unpaced = dialect == Dialect::Onvif && play.rate_control == Some(false) && !over_udp;
        let frames = play.frames.unwrap_or(Frames::All);
        let scale = scale.clamp(*SCALES.start(), *SCALES.end());
        Ok(Ask { from, to, scale, paced: !unpaced, frames, cseq: cseq as u8 })
    }

    /// Begins to read. Answers when the first picture was taken; none if there is nothing.
    async fn start(&mut self, ask: Ask) -> Result<Option<UnixMicros>, Error> {
        let mut reader = Reader::new(self.card.clone(), self.address.channel, ask.from, ask.to);
        let (reader, first) = blocking(move || {
            let first = reader.read()?;
            Ok((reader, first))
        })
        .await?;
        let begin = first.as_ref().and_then(Chunk::picture);
        if first.is_some() {
            self.playing = Some(Playing::begin(reader, first, ask, self.address.dialect, self.next_us));
        }
        Ok(begin)
    }

    /// Whether something is being played.
    pub fn is_playing(&self) -> bool {
        self.playing.is_some()
    }

    /// Stops for now.
    pub fn stop(&mut self) {
        self.playing = None;
        self.queue.clear();
    }

    /// Waits for the next frame; none once at the end of what was asked. Cancel safe.
    pub async fn next(&mut self) -> Option<Piece> {
        loop {
            let Some(playing) = &mut self.playing else { return std::future::pending().await };
            if let Some(piece) = playing.pieces.recv().await {
                self.position = Some(piece.frame.wall);
                self.next_us = piece.frame.dts.rescale(piece.track.clock_rate, 1_000_000).0 + STEP_US;
                return Some(piece);
            }
            self.playing = None;
            let ask = self.queue.pop_front()?;
            let reader = Reader::new(self.card.clone(), self.address.channel, ask.from, ask.to);
            self.playing = Some(Playing::begin(reader, None, ask, self.address.dialect, self.next_us));
        }
    }
}

/// How recorded time becomes that of packets, and when they are due.
struct Timeline {
    /// Recorded time at the beginning of the stretch.
    from: UnixMicros,
    /// What timestamps are there.
    stamp_us: i64,
    /// When it is due.
    due: Instant,
    /// The last frame.
    last: UnixMicros,
}

/// Reads, paces and hands on, up to the end of what is asked or until nobody takes it any more.
async fn run(
    mut reader: Reader,
    mut read: Option<Chunk>,
    ask: Ask,
    dialect: Dialect,
    next_us: i64,
    out: mpsc::Sender<Piece>,
) -> Result<(), Error> {
    let mut timeline: Option<Timeline> = None;
    let mut kept = None;
    let mut discontinuity = BTreeMap::new();
    let with_sound = !ask.paced || ask.scale == 1.0;
    let scale = if ask.paced { f64::from(ask.scale) } else { 1.0 };
    let presented = |recorded_us: i64| (recorded_us as f64 / scale) as i64;
    loop {
        let chunk = match read.take() {
            Some(chunk) => chunk,
            None => {
                let (back, chunk) = blocking(move || {
                    let chunk = reader.read()?;
                    Ok((reader, chunk))
                })
                .await?;
                reader = back;
                let Some(chunk) = chunk else { return Ok(()) };
                chunk
            }
        };
        let picture = chunk.picture();
        let Chunk { tracks, frames, begins, ends, last } = chunk;
        if let (true, Some(from)) = (begins, picture) {
            discontinuity = tracks.iter().map(|track| (track.id, true)).collect();
            timeline = Some(match timeline {
                None => Timeline { from, stamp_us: next_us, due: Instant::now(), last: from },
                Some(before) => {
                    let played = before.last.0 - before.from.0;
                    let gap = match dialect {
                        Dialect::Onvif => STEP_US,
                        Dialect::Isapi => (from.0 - before.last.0).max(STEP_US),
                    };
                    let due = before.due + micros(presented(played + STEP_US));
                    Timeline { from, stamp_us: before.stamp_us + presented(played + gap), due, last: from }
                }
            });
        }
        let wanted = |frame: &Frame| match (frame.track, ask.frames) {
            (TrackId::VIDEO, Frames::Intra(_)) => frame.key,
            (TrackId::VIDEO, _) => true,
            (_, frames) => with_sound && frames == Frames::All,
        };
        let mut frames: Vec<Frame> = frames.into_iter().filter(wanted).collect();
        if let Frames::Intra(Some(interval)) = ask.frames {
            frames.retain(|frame| {
                let far = kept.is_none_or(|kept: UnixMicros| frame.wall.0 - kept.0 >= interval.as_micros() as i64);
                if begins || far {
                    kept = Some(frame.wall);
                }
                begins || far
            });
        }
        let ends_of: Vec<usize> = match ends {
            true => tracks.iter().filter_map(|track| frames.iter().rposition(|f| f.track == track.id)).collect(),
            false => Vec::new(),
        };
        for (index, frame) in frames.into_iter().enumerate() {
            let Some(timeline) = &mut timeline else { break };
            let Some(track) = tracks.iter().find(|track| track.id == frame.track) else { continue };
            let after_us = frame.wall.0 - timeline.from.0;
            // Sound that was recorded ahead of the first picture.
            if after_us < 0 {
                continue;
            }
            if ask.paced {
                sleep_until(timeline.due + micros(presented(after_us))).await;
            }
            timeline.last = timeline.last.max(frame.wall);
            let end = ends_of.contains(&index);
            let extension = (dialect == Dialect::Onvif).then(|| ReplayExtension {
                recorded: NtpTime::from_unix_micros(frame.wall.0),
                clean_point: frame.key,
                end,
                discontinuity: discontinuity.remove(&frame.track).is_some(),
                terminal: end && last,
                cseq: ask.cseq,
            });
            let dts = Ticks(timeline.stamp_us + presented(after_us)).rescale(1_000_000, track.clock_rate);
            let piece = Piece { frame: Frame { dts, ..frame }, track: track.clone(), extension };
            if out.send(piece).await.is_err() {
                return Ok(());
            }
        }
    }
}

fn micros(micros: i64) -> Duration {
    Duration::from_micros(micros.max(0) as u64)
}
