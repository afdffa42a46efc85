//! Plays recorded media from one RTSP address, no faster than it is taken.
//!
//! What is not taken stays on the connection: nothing is read from it meanwhile, so that the camera stops
//! sending, and the session is kept alive.

use std::sync::Arc;
use std::time::Duration;

use av::{Frame, MediaKind, Track, TrackId, UnixMicros};
use bytes::Bytes;
use media::Item;
use proto::rtp::{Format, Output, Receiver};
use proto::rtsp::client::Event;
use proto::rtsp::{Play, Range, Transport};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::connection::{Connection, Refusal, Source};
use super::pull::{choose, wall};
use crate::dial::Dialer;
use crate::driver::{DriverError, Login};

/// How long a camera may take to find the first frame, on a card that sleeps.
const NO_MEDIA: Duration = Duration::from_secs(10);
/// Silence after which a camera that has sent something has sent all.
const SILENCE: Duration = Duration::from_secs(5);
/// The same, where it said that a stretch ends, or the range is nearly over.
const SILENCE_AT_END: Duration = Duration::from_secs(1);
/// How near the end of the range that is.
const NEAR_END_US: i64 = 2_000_000;
/// Packets that may come before PLAY is answered: a key frame's.
const EARLY_MAX: usize = 1024;
/// How often we report reception (RFC 3550 §6.2).
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// What to play. Moments are the camera's.
pub(crate) struct Presentation<'a> {
    /// `rtsp://host[:port]/path`
    pub(crate) url: &'a str,
    /// Features the camera must have.
    pub(crate) require: &'a [&'a str],
    /// What to ask for.
    pub(crate) play: Play,
    /// Where it begins, if the camera does not tell.
    pub(crate) from: UnixMicros,
    /// What was recorded from here on is not wanted.
    pub(crate) to: UnixMicros,
    /// What to ask a camera for that does not do without `Rate-Control`.
    pub(crate) paced: Option<Play>,
    /// Key frames alone are wanted.
    pub(crate) key_frames_only: bool,
    /// The camera's clock less ours, microseconds.
    pub(crate) clock: i64,
}

/// Plays into `out`, from a key frame on, until the range is over or the camera has sent all. False if
/// there was nothing. Dropping the future stops it and tells the camera.
///
/// # Errors
/// `ReplayBusy`, `Unsupported` if the camera lacks what is required; else as [`pull`](super::pull()).
pub(crate) async fn replay(
    dialer: &Dialer,
    login: Option<&Login>,
    presentation: &Presentation<'_>,
    out: &mpsc::Sender<Item>,
) -> Result<bool, DriverError> {
    let Presentation { url, require, play, .. } = presentation;
    let source = Source::parse(url)?;
    let (mut connection, description) = match Connection::described_as(dialer, &source, login, require, *play).await {
        Ok(described) => described,
        Err((_, Some(Refusal::Busy))) => return Err(DriverError::ReplayBusy),
        Err((_, Some(Refusal::Missing))) => return Ok(false),
        Err((error, None)) => return Err(error),
    };
    let (wanted, formats) = choose(&description)?;
    let interleaved = |track: u8| Transport::Interleaved { rtp: 2 * track, rtcp: 2 * track + 1 };
    let wanted: Vec<_> = wanted.into_iter().zip((0..).map(interleaved)).collect();
    let now = Instant::now();
    connection.session.setup(now.into_std(), &wanted);
    let has_video = formats.iter().any(|format| format.codec.media() == MediaKind::Video);
    let replay = Replay {
        presentation,
        receiver: Receiver::recorded(now.into_std(), &formats),
        formats,
        early: Some(Vec::new()),
        has_video,
        out,
        heard: now,
        last: None,
        stretch_ended: false,
        over: false,
    };
    replay.run(connection).await
}

struct Replay<'a> {
    presentation: &'a Presentation<'a>,
    receiver: Receiver,
    formats: Vec<Format>,
    /// Packets that came before PLAY was answered, which tells when they were recorded; none once it was.
    early: Option<Vec<(usize, bool, Bytes)>>,
    has_video: bool,
    out: &'a mpsc::Sender<Item>,
    /// When the last packet came.
    heard: Instant,
    /// The last frame that counts for the end: of pictures, if there are any. By the camera's clock.
    last: Option<UnixMicros>,
    /// A gap or the end follows.
    stretch_ended: bool,
    /// The range is played.
    over: bool,
}

impl Replay<'_> {
    async fn run(mut self, mut connection: Connection) -> Result<bool, DriverError> {
        let mut report_at = Instant::now() + REPORT_INTERVAL;
        loop {
            let patience = match self.last {
                None => NO_MEDIA,
                Some(_) if self.is_near_end() => SILENCE_AT_END,
                Some(_) => SILENCE,
            };
            tokio::select! {
                biased;
                () = sleep_until(self.heard + patience) => {
                    return if self.last.is_some() { Ok(true) } else { Err(DriverError::Timeout { step: "no media" }) };
                }
                () = sleep_until(report_at) => {
                    let now = Instant::now();
                    report_at = now + REPORT_INTERVAL;
                    for (track, report) in self.receiver.reports(now.into_std()) {
                        connection.session.send_rtcp(track, &report);
                    }
                }
                event = connection.event() => match event {
                    Ok(Event::Packet { track, rtcp, data }) => self.packet(track, rtcp, &data),
                    Ok(Event::Playing { begin, play }) => self.playing(&mut connection, &begin, play),
                    Ok(Event::Described(_) | Event::SetUp { .. } | Event::Paused) => {}
                    Err(_) if connection.refused() == Some(Refusal::Busy) => return Err(DriverError::ReplayBusy),
                    Err(_) if connection.refused() == Some(Refusal::Missing) => return Ok(self.last.is_some()),
                    // Some close when all is sent.
                    Err(_) if self.last.is_some() && self.is_near_end() => return Ok(true),
                    Err(error) => return Err(error),
                },
            }
            if !self.deliver(&mut connection).await? {
                return Ok(self.last.is_some());
            }
        }
    }

    fn is_near_end(&self) -> bool {
        self.stretch_ended || self.last.is_some_and(|last| last.0 >= self.presentation.to.0 - NEAR_END_US)
    }

    /// PLAY was answered.
    fn playing(&mut self, connection: &mut Connection, begin: &[Option<u32>], play: Play) {
        let asked = *connection.session.playing();
        if let Some(paced) = self.presentation.paced
            && asked.rate_control == Some(false)
            && play.rate_control != Some(false)
            && asked != paced
        {
            debug!("the camera sends at its own pace; it is asked for the viewer's");
            let now = Instant::now().into_std();
            self.receiver = Receiver::recorded(now, &self.formats);
            self.early = Some(Vec::new());
            return connection.session.play_with(now, paced);
        }
        let from = match play.range {
            Some(Range::Clock { from, .. }) => from,
            // Within the presentation, which begins where it was asked to.
            Some(Range::Npt { from, .. }) => UnixMicros(self.presentation.from.0 + from.as_micros() as i64),
            Some(Range::Now) | None => self.presentation.from,
        };
        for track in 0..self.formats.len() {
            self.receiver.recorded_at(track, begin.get(track).copied().flatten(), from);
        }
        if asked.rate_control != Some(false) {
            self.receiver.set_scale(play.scale.or(asked.scale).unwrap_or(1.0));
        }
        for (track, rtcp, data) in self.early.take().into_iter().flatten() {
            self.packet(track, rtcp, &data);
        }
    }

    fn packet(&mut self, track: usize, rtcp: bool, data: &Bytes) {
        let now = Instant::now();
        self.heard = now;
        if let Some(early) = &mut self.early {
            if early.len() < EARLY_MAX {
                early.push((track, rtcp, data.clone()));
            }
            return;
        }
        let result = match rtcp {
            true => self.receiver.handle_rtcp(now.into_std(), track, data),
            false => self.receiver.handle_rtp(now.into_std(), wall(), track, data),
        };
        if let Err(error) = result {
            debug!(%error, cause = std::error::Error::source(&error).map(tracing::field::display), "unusable packet");
        }
    }

    /// Hands on what was received, waiting for room; false when all is played.
    async fn deliver(&mut self, connection: &mut Connection) -> Result<bool, DriverError> {
        while !self.over
            && let Some(output) = self.receiver.poll_output()
        {
            let Some(item) = self.item(output) else { continue };
            let sent = tokio::select! {
                biased;
                sent = self.out.send(item) => sent,
                error = connection.stall() => return Err(error),
            };
            // Nobody takes it any more.
            if sent.is_err() {
                return Ok(false);
            }
            // The time that was waited is not the camera's.
            self.heard = Instant::now();
        }
        Ok(!self.over)
    }

    /// What of it is wanted.
    fn item(&mut self, output: Output) -> Option<Item> {
        match output {
            Output::Tracks(tracks) => Some(Item::Tracks(Arc::from(tracks as Vec<Track>))),
            Output::Frame(frame) => self.frame(frame),
            Output::Bye(track) if self.counts(track) => {
                self.over = true;
                None
            }
            Output::StretchEnd(track) => {
                self.stretch_ended |= self.counts(track);
                None
            }
            Output::Lost(_) | Output::Bye(_) => None,
        }
    }

    /// Whether the end of this track is the end: sound may end alone.
    fn counts(&self, track: TrackId) -> bool {
        track == TrackId::VIDEO || !self.has_video
    }

    fn frame(&mut self, mut frame: Frame) -> Option<Item> {
        let counts = self.counts(frame.track);
        if frame.wall >= self.presentation.to {
            self.over |= counts;
            return None;
        }
        // A decoder begins at a key frame.
        let starts = counts && frame.key;
        if self.last.is_none() && !starts {
            return None;
        }
        if counts {
            self.last = Some(frame.wall);
            self.stretch_ended = false;
        }
        if self.presentation.key_frames_only && self.has_video && !starts {
            return None;
        }
        frame.wall.0 -= self.presentation.clock;
        Some(Item::Frame(Arc::new(frame)))
    }
}
