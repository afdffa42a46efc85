//! The speaker of a camera that takes sound over RTSP: the audio back channel of ONVIF Streaming §5.3.
//!
//! The camera is asked for it by a `Require` header and then describes a medium that we are to send.
//! Sound travels on the RTSP connection, as G.711, which every such camera takes.

use std::time::Duration;

use async_trait::async_trait;
use av::codec::g711;
use av::{CodecParameters, Frame, G711Parameters, Pcm, Ticks, Track, TrackId};
use bytes::Bytes;
use proto::rtp::rtcp::NtpTime;
use proto::rtp::{Format, Packetizer};
use proto::rtsp::Transport;
use proto::rtsp::client::Event;
use proto::sdp::{Description, Direction};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, interval, sleep, timeout};

use super::connection::{Connection, Source};
use super::pull::wall;
use crate::dial::Dialer;
use crate::driver::{DriverError, Login, Speaker};

/// The feature to be required (§5.3.1).
pub(super) const BACK_CHANNEL: &str = "www.onvif.org/ver20/backchannel";
/// Sound of one packet: what RFC 3551 §4.2 has by default, and what cameras' buffers are made for.
const PACKET: Duration = Duration::from_millis(20);
/// Cameras buffer some sound before they play it, and drop the rest when the session ends.
const DRAIN: Duration = Duration::from_millis(500);
/// Sound that the camera has not taken yet, bytes: two seconds of G.711. More, and it takes none.
const BACKLOG_MAX: usize = 20_000;
/// Sample rates offered to us that we believe, Hz.
const RATES: std::ops::RangeInclusive<u32> = 8_000..=48_000;
/// A camera that is slow to tell whether it has a back channel is taken to have none.
const LOOK_TIMEOUT: Duration = Duration::from_millis(2000);

/// An open back channel.
struct BackChannel {
    connection: Connection,
    payload_type: u8,
    codec: G711Parameters,
}

/// Whether the source at `url` takes sound that we can send. Any failure is a no: a look does not fail
/// for want of a speaker.
pub(crate) async fn is_there(dialer: &Dialer, url: &str, login: Option<&Login>) -> bool {
    let look = async {
        let source = Source::parse(url).ok()?;
        let (_, description) = Connection::described(dialer, &source, login, &[BACK_CHANNEL]).await.ok()?;
        choose(&description)
    };
    timeout(LOOK_TIMEOUT, look).await.is_ok_and(|chosen| chosen.is_some())
}

/// Opens the back channel of the source at `url`.
///
/// # Errors
/// `Unsupported` if it has none that takes G.711; `SpeakerBusy` if it has no room for us now; else as
/// [`pull`](super::pull()).
pub(crate) async fn open(dialer: &Dialer, url: &str, login: Option<&Login>) -> Result<Box<dyn Speaker>, DriverError> {
    let source = Source::parse(url)?;
    let (mut connection, description) = Connection::described(dialer, &source, login, &[BACK_CHANNEL]).await?;
    let (medium, payload_type, codec) = choose(&description).ok_or(DriverError::Unsupported)?;
    // No other medium: a second receiver of the picture is what many cameras have no room for.
    let transport = Transport::Interleaved { rtp: 0, rtcp: 1 };
    connection.session.setup(Instant::now().into_std(), &[(medium, transport)]);
    loop {
        match connection.event().await {
            Ok(Event::Playing { .. }) => return Ok(Box::new(BackChannel { connection, payload_type, codec })),
            Ok(_) => {}
            Err(_) if connection.is_busy() => return Err(DriverError::SpeakerBusy),
            Err(error) => return Err(error),
        }
    }
}

/// The medium to send, by index, its payload type and codec: the first G.711 the camera names.
fn choose(description: &Description) -> Option<(usize, u8, G711Parameters)> {
    let media = description.media.iter().enumerate();
    let sent = media.filter(|(_, medium)| medium.kind == "audio" && medium.direction == Direction::SendOnly);
    let formats = sent.flat_map(|(index, medium)| medium.formats.iter().map(move |format| (index, format)));
    formats.filter_map(|(index, format)| Some((index, format.format()?))).find_map(|(index, format)| match format {
        Format { payload_type, parameters: Some(CodecParameters::G711(codec)), .. }
            if codec.channels == 1 && RATES.contains(&codec.sample_rate) =>
        {
            Some((index, payload_type, codec))
        }
        _ => None,
    })
}

#[async_trait]
impl Speaker for BackChannel {
    async fn play(mut self: Box<Self>, sound: Pcm) -> Result<(), DriverError> {
        let BackChannel { connection, payload_type, codec } = &mut *self;
        let (law, rate) = (codec.law, codec.sample_rate);
        // A minute of sound is too much to be converted between two packets.
        let codes = spawn_blocking(move || g711::encode(law, &sound.resampled(rate).samples)).await;
        let codes = codes.map_err(|error| DriverError::Protocol { step: "speak", cause: error.to_string() })?;

        let track = Track { id: TrackId::AUDIO, codec: CodecParameters::G711(*codec), clock_rate: rate };
        let mut packetizer = Packetizer::new(*payload_type);
        // The camera's clock starts with the first packet.
        connection.session.send_rtcp(0, &packetizer.report(NtpTime::from_unix_micros(wall().0), 0, "fluorite"));
        let mut pieces = Pieces { codes, length: (rate as usize * PACKET.as_millis() as usize) / 1000, at: 0 };
        // Ticks that come late come all the more often then: on the whole it is as fast as it is heard.
        let mut ticks = interval(PACKET);
        let mut packets = Vec::new();
        while !pieces.codes.is_empty() {
            tokio::select! {
                biased;
                _ = ticks.tick() => {
                    if connection.backlog() > BACKLOG_MAX {
                        return Err(DriverError::Timeout { step: "speak" });
                    }
                    packetizer.push(&track, &pieces.take(), &mut packets);
                    packets.drain(..).for_each(|packet| connection.session.send_rtp(0, &packet));
                }
                event = connection.event() => drop(event?),
            }
        }
        let drained = sleep(PACKET + DRAIN);
        tokio::pin!(drained);
        loop {
            tokio::select! {
                biased;
                () = &mut drained => break,
                // Once all is sent, a camera may close as it likes.
                event = connection.event() => if event.is_err() { break },
            }
        }
        Ok(())
    }
}

/// Sound cut into packets.
struct Pieces {
    codes: Bytes,
    /// Samples of a packet.
    length: usize,
    /// Samples taken.
    at: i64,
}

impl Pieces {
    fn take(&mut self) -> Frame {
        let data = self.codes.split_to(self.length.min(self.codes.len()));
        let dts = Ticks(self.at);
        self.at += data.len() as i64;
        Frame { track: TrackId::AUDIO, dts, cts: 0, wall: wall(), key: true, data }
    }
}
