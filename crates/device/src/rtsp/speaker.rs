//! The speaker of a camera that takes sound over RTSP: the audio back channel of ONVIF Streaming §5.3.
//!
//! The camera is asked for it by a `Require` header and then describes a medium that we are to send.
//! Sound travels on the RTSP connection, as G.711, which nearly every such camera takes, else as AAC.

use std::time::Duration;

use async_trait::async_trait;
use av::codec::aac::{AacEncoder, EncodeError, SAMPLES_PER_FRAME};
use av::codec::g711;
use av::pcm::from_i16;
use av::{CodecKind, CodecParameters, Frame, Pcm, Ticks, Track, TrackId};
use bytes::Bytes;
use proto::rtp::rtcp::NtpTime;
use proto::rtp::{Format, Packetizer};
use proto::rtsp::Transport;
use proto::rtsp::client::Event;
use proto::sdp::{Description, Direction};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, interval, sleep, timeout};

use super::connection::{Connection, Refusal, Source};
use super::pull::wall;
use crate::dial::Dialer;
use crate::driver::{DriverError, Login, Speaker};

/// The feature to be required (§5.3.1).
pub(super) const BACK_CHANNEL: &str = "www.onvif.org/ver20/backchannel";
/// Packets a second of G.711: 20 ms each, as RFC 3551 §4.2 has by default and cameras' buffers are made for.
const PACKETS: u32 = 50;
/// Bits a second of AAC for each sample a second: 32 kbit/s at 16 kHz.
const AAC_BITS: u32 = 2;
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
    codec: CodecParameters,
    clock_rate: u32,
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
/// `Unsupported` if it has none that takes a codec of ours; `SpeakerBusy` if it has no room for us now; else as
/// [`pull`](super::pull()).
pub(crate) async fn open(dialer: &Dialer, url: &str, login: Option<&Login>) -> Result<Box<dyn Speaker>, DriverError> {
    let source = Source::parse(url)?;
    let (mut connection, description) = Connection::described(dialer, &source, login, &[BACK_CHANNEL]).await?;
    let (medium, payload_type, codec, clock_rate) = choose(&description).ok_or(DriverError::Unsupported)?;
    // No other medium: a second receiver of the picture is what many cameras have no room for.
    let transport = Transport::Interleaved { rtp: 0, rtcp: 1 };
    connection.session.setup(Instant::now().into_std(), &[(medium, transport)]);
    loop {
        match connection.event().await {
            Ok(Event::Playing { .. }) => {
                return Ok(Box::new(BackChannel { connection, payload_type, codec, clock_rate }));
            }
            Ok(_) => {}
            Err(_) if connection.refused() == Some(Refusal::Busy) => return Err(DriverError::SpeakerBusy),
            Err(error) => return Err(error),
        }
    }
}

/// The medium to send, by index, its payload type, codec and clock: the first G.711 the camera names, or
/// else the first AAC. One channel: a loudspeaker is one.
fn choose(description: &Description) -> Option<(usize, u8, CodecParameters, u32)> {
    let media = description.media.iter().enumerate();
    let sent = media.filter(|(_, medium)| medium.kind == "audio" && medium.direction == Direction::SendOnly);
    let formats = sent.flat_map(|(index, medium)| medium.formats.iter().map(move |format| (index, format)));
    let usable = formats.filter_map(|(index, format)| {
        let Format { payload_type, clock_rate, parameters, .. } = format.format()?;
        let codec = parameters?;
        let (rate, channels) = match &codec {
            CodecParameters::G711(p) => (p.sample_rate, p.channels),
            CodecParameters::Aac(p) => (p.sample_rate, p.channels),
            _ => return None,
        };
        let ours = channels == 1 && rate == clock_rate && RATES.contains(&rate);
        ours.then_some((index, payload_type, codec, clock_rate))
    });
    usable.min_by_key(|(_, _, codec, _)| codec.kind() != CodecKind::G711)
}

/// The payloads of a sound, and how many samples each holds.
fn encoded(sound: &Pcm, codec: &CodecParameters, rate: u32) -> Result<(Vec<Bytes>, u32), EncodeError> {
    let samples = sound.resampled(rate).samples;
    if let CodecParameters::G711(p) = codec {
        let length = rate / PACKETS;
        return Ok((samples.chunks(length as usize).map(|samples| g711::encode(p.law, samples)).collect(), length));
    }
    let mut encoder = AacEncoder::new(rate, rate * AAC_BITS)?;
    let mut frames = Vec::new();
    let samples: Vec<f32> = samples.into_iter().map(from_i16).collect();
    encoder.push(&samples, &mut frames)?;
    encoder.finish(&mut frames)?;
    Ok((frames, SAMPLES_PER_FRAME))
}

#[async_trait]
impl Speaker for BackChannel {
    async fn play(self: Box<Self>, sound: Pcm) -> Result<(), DriverError> {
        let BackChannel { mut connection, payload_type, codec, clock_rate } = *self;
        let unusable = |cause: String| DriverError::Protocol { step: "speak", cause };
        let track = Track { id: TrackId::AUDIO, codec, clock_rate };
        let codec = track.codec.clone();
        // A minute of sound is too much to be converted between two packets.
        let encoded = spawn_blocking(move || encoded(&sound, &codec, clock_rate)).await;
        let encoded = encoded.map_err(|error| unusable(error.to_string()))?;
        let (payloads, length) = encoded.map_err(|error| unusable(error.to_string()))?;

        let mut packetizer = Packetizer::new(payload_type);
        // The camera's clock starts with the first packet.
        connection.session.send_rtcp(0, &packetizer.report(NtpTime::from_unix_micros(wall().0), 0, "fluorite"));
        // Ticks that come late come all the more often then: on the whole it is as fast as it is heard.
        let pace = Duration::from_secs_f64(f64::from(length) / f64::from(clock_rate));
        let mut ticks = interval(pace);
        let mut payloads = payloads.into_iter().zip(0..);
        let mut packets = Vec::new();
        loop {
            tokio::select! {
                biased;
                _ = ticks.tick() => {
                    let Some((data, n)) = payloads.next() else { break };
                    if connection.backlog() > BACKLOG_MAX {
                        return Err(DriverError::Timeout { step: "speak" });
                    }
                    let dts = Ticks(n * i64::from(length));
                    let frame = Frame { track: TrackId::AUDIO, dts, cts: 0, wall: wall(), key: true, data };
                    packetizer.push(&track, &frame, &mut packets);
                    packets.drain(..).for_each(|packet| connection.session.send_rtp(0, &packet));
                }
                event = connection.event() => drop(event?),
            }
        }
        let drained = sleep(DRAIN);
        tokio::pin!(drained);
        loop {
            tokio::select! {
                biased;
                () = &mut drained => return Ok(()),
                // Once all is sent, a camera may close as it likes.
                event = connection.event() => if event.is_err() { return Ok(()) },
            }
        }
    }
}
