//! Plays one RTSP address into a stream.

use std::time::{Duration, SystemTime};

use av::{MediaKind, TrackId, UnixMicros};
use bytes::Bytes;
use media::StreamWriter;
use proto::rtp::{Format, Output, Receiver};
use proto::rtsp::Transport;
use proto::rtsp::client::Event;
use proto::sdp::{Description, Direction};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::{debug, warn};

use super::connection::{Connection, Source};
use super::udp::UdpTracks;
use crate::dial::Dialer;
use crate::driver::{DriverError, Login};

/// A live camera sends several frames a second; after this long without one something is broken.
const NO_MEDIA: Duration = Duration::from_secs(10);
/// How often we report reception (RFC 3550 §6.2), and log what was lost.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);
/// How often packets that wait for a missing one are looked at, over UDP.
const REORDER_TICK: Duration = Duration::from_millis(20);

/// Plays `url` into `writer` until the camera ends it or fails: connects, logs in, takes the first
/// picture and the first sound it can receive, interleaved on the connection (over UDP for `rtspu://`).
/// Dropping the future stops it and tells the camera.
///
/// # Errors
/// Each names its step: `resolve`, `dial`, `describe`, `auth`, `setup`, `play`, `rtsp`, `no media`.
pub(crate) async fn pull(
    dialer: &Dialer,
    url: &str,
    login: Option<&Login>,
    writer: &mut StreamWriter,
) -> Result<(), DriverError> {
    let source = Source::parse(url)?;
    let (mut connection, description) = Connection::described(dialer, &source, login, &[]).await?;
    let (wanted, formats) = choose(&description)?;
    let udp = if source.udp { Some(bind(&connection, wanted.len()).await?) } else { None };
    let transports = (0..wanted.len()).map(|track| match &udp {
        Some(udp) => {
            udp.transport(track).map_err(|error| DriverError::Protocol { step: "setup", cause: error.to_string() })
        }
        None => Ok(Transport::Interleaved { rtp: 2 * track as u8, rtcp: 2 * track as u8 + 1 }),
    });
    let wanted: Vec<_> = wanted.into_iter().zip(transports.collect::<Result<Vec<_>, _>>()?).collect();
    let now = Instant::now();
    connection.session.setup(now.into_std(), &wanted);
    let receiver = Receiver::new(now.into_std(), &formats, !source.udp);
    Pull { connection, udp, receiver, writer, heard: now, lost: 0, unusable: 0 }.run().await
}

/// The media to set up, by index, and their formats: the first picture and the first sound.
///
/// # Errors
/// `Protocol` at `describe` when there is neither.
pub(super) fn choose(description: &Description) -> Result<(Vec<usize>, Vec<Format>), DriverError> {
    let receivable = |kind| {
        let media = description.media.iter().enumerate();
        // A medium we would have to send is the camera's speaker.
        let media = media.filter(|(_, media)| !matches!(media.direction, Direction::SendOnly | Direction::Inactive));
        let mut formats = media.filter_map(|(index, media)| Some((index, media.format()?)));
        formats.find(move |(_, format)| format.codec.media() == kind)
    };
    let chosen: Vec<_> = [MediaKind::Video, MediaKind::Audio].into_iter().filter_map(receivable).collect();
    if chosen.is_empty() {
        let offered: Vec<_> = description.media.iter().map(|m| format!("{} {}", m.kind, m.encoding())).collect();
        let cause = format!("nothing to receive among {offered:?}");
        return Err(DriverError::Protocol { step: "describe", cause });
    }
    Ok(chosen.into_iter().unzip())
}

async fn bind(connection: &Connection, tracks: usize) -> Result<UdpTracks, DriverError> {
    let (local, peer) = connection.addresses()?;
    let bound = UdpTracks::bind(local.ip(), peer.ip(), tracks).await;
    bound.map_err(|error| DriverError::Protocol { step: "setup", cause: error.to_string() })
}

struct Pull<'a> {
    connection: Connection,
    udp: Option<UdpTracks>,
    receiver: Receiver,
    writer: &'a mut StreamWriter,
    /// When the last frame came.
    heard: Instant,
    /// Frames lost since the last report.
    lost: u64,
    /// Packets that could not be read since the last report.
    unusable: u64,
}

impl Pull<'_> {
    async fn run(mut self) -> Result<(), DriverError> {
        let mut reports = interval(REPORT_INTERVAL);
        let mut reorder = interval(REORDER_TICK);
        for ticks in [&mut reports, &mut reorder] {
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        loop {
            tokio::select! {
                biased;
                () = sleep_until(self.heard + NO_MEDIA) => return Err(DriverError::Timeout { step: "no media" }),
                _ = reports.tick() => self.report(),
                _ = reorder.tick(), if self.udp.is_some() => {
                    self.unusable += u64::from(self.receiver.handle_timeout(Instant::now().into_std(), wall()).is_err());
                }
                event = self.connection.event() => match event? {
                    Event::Packet { track, rtcp, data } => self.packet(track, rtcp, &data),
                    Event::SetUp { track, transport: Transport::Udp { server, .. } } => {
                        self.udp.iter_mut().for_each(|udp| udp.set_up(track, server));
                    }
                    Event::Playing { begin, .. } => {
                        let known = begin.into_iter().enumerate().filter_map(|(track, begin)| Some((track, begin?)));
                        known.for_each(|(track, begin)| self.receiver.begin(track, begin));
                    }
                    Event::SetUp { .. } | Event::Described(_) | Event::Paused => {}
                },
                (track, rtcp, data) = receive(&mut self.udp) => self.packet(track, rtcp, &data),
            }
            if self.write()? {
                return Ok(());
            }
        }
    }

    fn packet(&mut self, track: usize, rtcp: bool, data: &Bytes) {
        let now = Instant::now().into_std();
        let result = match rtcp {
            true => self.receiver.handle_rtcp(now, track, data),
            false => self.receiver.handle_rtp(now, wall(), track, data),
        };
        if let Err(error) = result {
            self.unusable += 1;
            debug!(%error, cause = std::error::Error::source(&error).map(tracing::field::display), "unusable packet");
        }
    }

    /// Moves what was received into the stream; true when the camera ended it.
    fn write(&mut self) -> Result<bool, DriverError> {
        while let Some(output) = self.receiver.poll_output() {
            match output {
                Output::Tracks(tracks) => self.writer.set_tracks(tracks),
                Output::Frame(frame) => {
                    self.heard = Instant::now();
                    let written = self.writer.write(frame);
                    written.map_err(|error| DriverError::Protocol { step: "rtp", cause: error.to_string() })?;
                }
                Output::Lost(_) => self.lost += 1,
                // Sound may end alone; the session is over with the picture.
                Output::Bye(track) if track == TrackId::VIDEO || !self.writer.has_video() => return Ok(true),
                Output::Bye(_) | Output::StretchEnd(_) => {}
            }
        }
        Ok(false)
    }

    fn report(&mut self) {
        for (track, report) in self.receiver.reports(Instant::now().into_std()) {
            match &self.udp {
                Some(udp) => udp.send_rtcp(track, &report),
                None => self.connection.session.send_rtcp(track, &report),
            }
        }
        let (lost, unusable) = (std::mem::take(&mut self.lost), std::mem::take(&mut self.unusable));
        if lost + unusable > 0 {
            warn!(
                frames_lost = lost,
                packets_unusable = unusable,
                packets_lost = self.receiver.packets_lost(),
                "loss from camera"
            );
        }
    }
}

/// Never resolves without UDP.
async fn receive(udp: &mut Option<UdpTracks>) -> (usize, bool, Bytes) {
    match udp {
        Some(udp) => udp.receive().await,
        None => std::future::pending().await,
    }
}

pub(crate) fn wall() -> UnixMicros {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMicros(since.as_micros() as i64)
}
