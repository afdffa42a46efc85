//! Plain RTSP: media of any camera that has an RTSP address, and nothing else.
//!
//! [`pull`] and [`speaker`] are also what drivers use that learn the address in another way (ONVIF).

mod connection;
mod pull;
#[cfg(test)]
pub(crate) mod recorder;
mod replay;
pub(crate) mod speaker;
#[cfg(test)]
pub(crate) mod tests;
mod udp;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use av::{CodecParameters, MediaKind};
use media::StreamWriter;
use proto::sdp::Description;
use tokio::sync::Mutex;
use tokio::time::Instant;

pub(crate) use pull::{pull, wall};
pub(crate) use replay::{Presentation, replay};

use self::connection::{Connection, Source};
use crate::dial::Dialer;
use crate::driver::{ChannelFacts, ChannelNo, DeviceFacts, Driver, DriverError, Login, Quality, Speaker, StreamFacts};

/// A connection kept for pings is not trusted longer than this: cameras close idle ones after 30 s or a minute.
const IDLE_MAX: Duration = Duration::from_secs(20);

/// A camera known by the RTSP addresses of its main stream and, maybe, its sub stream.
pub(crate) struct RtspDriver {
    dialer: Dialer,
    main: String,
    sub: Option<String>,
    login: Option<Login>,
    /// A connection between two pings, so that looking at a camera every few seconds costs it nothing.
    idle: Mutex<Option<(Connection, Instant)>>,
}

impl RtspDriver {
    /// `address`: one or two URLs, apart by blanks: `rtsp://host:port/path`, or `rtspu://…` for RTP over UDP.
    ///
    /// # Errors
    /// `AddressRefused` if it is anything else.
    pub(crate) fn new(dialer: Dialer, address: &str, login: Option<Login>) -> Result<RtspDriver, DriverError> {
        let mut addresses = address.split_whitespace();
        let main = addresses.next().unwrap_or_default().to_owned();
        let sub = addresses.next().map(str::to_owned);
        if addresses.next().is_some() {
            return Err(DriverError::AddressRefused("more than a main and a sub stream".into()));
        }
        [Some(&main), sub.as_ref()].into_iter().flatten().try_for_each(|address| Source::parse(address).map(drop))?;
        Ok(RtspDriver { dialer, main, sub, login, idle: Mutex::new(None) })
    }

    async fn describe(&self, address: &str) -> Result<(Connection, Description), DriverError> {
        Connection::described(&self.dialer, &Source::parse(address)?, self.login.as_ref(), &[]).await
    }

    async fn keep(&self, connection: Connection) {
        *self.idle.lock().await = Some((connection, Instant::now()));
    }
}

/// What a description says of its stream.
fn stream_facts(description: &Description) -> StreamFacts {
    let received = || description.media.iter().filter_map(|media| Some((media, media.format()?)));
    let video = received().find(|(_, format)| format.codec.media() == MediaKind::Video);
    let size = video.as_ref().and_then(|(media, format)| match &format.parameters {
        Some(CodecParameters::H264(p)) => Some((p.width, p.height)),
        Some(CodecParameters::H265(p)) => Some((p.width, p.height)),
        _ => media.size,
    });
    StreamFacts {
        video_codec: video.map(|(media, _)| media.encoding().to_owned()),
        size,
        audio: Some(received().any(|(_, format)| format.codec.media() == MediaKind::Audio)),
    }
}

#[async_trait]
impl Driver for RtspDriver {
    async fn probe(&self) -> Result<DeviceFacts, DriverError> {
        let (connection, description) = self.describe(&self.main).await?;
        // Better told now than by a picture that never comes.
        pull::choose(&description)?;
        self.keep(connection).await;
        let sub = match &self.sub {
            Some(address) => Some(stream_facts(&self.describe(address).await?.1)),
            None => None,
        };
        let main = stream_facts(&description);
        let channel = ChannelFacts { no: ChannelNo(1), name: description.name, main, sub };
        // RTSP tells neither maker nor model, and moves no motor; but some cameras listen.
        let capabilities = match speaker::is_there(&self.dialer, &self.main, self.login.as_ref()).await {
            true => BTreeMap::from([("support_talk".to_owned(), "1".to_owned())]),
            false => BTreeMap::new(),
        };
        Ok(DeviceFacts { channels: vec![channel], capabilities, ..DeviceFacts::default() })
    }

    async fn ping(&self) -> Result<(), DriverError> {
        // Taken out while in use: a ping that is dropped half-way leaves no connection in an unknown state.
        let kept = self.idle.lock().await.take().filter(|(_, since)| since.elapsed() < IDLE_MAX);
        if let Some((mut connection, _)) = kept {
            // Cameras may close what is idle as they like: only a fresh connection tells that they are gone.
            if connection.describe_again().await.is_ok() {
                self.keep(connection).await;
                return Ok(());
            }
        }
        let (connection, _) = self.describe(&self.main).await?;
        self.keep(connection).await;
        Ok(())
    }

    async fn live(&self, channel: ChannelNo, quality: Quality, writer: &mut StreamWriter) -> Result<(), DriverError> {
        let address = match (channel, quality) {
            (ChannelNo(1), Quality::Main) => Some(self.main.as_str()),
            (ChannelNo(1), Quality::Sub) => self.sub.as_deref(),
            _ => None,
        };
        pull(&self.dialer, address.ok_or(DriverError::Unsupported)?, self.login.as_ref(), writer).await
    }

    async fn open_speaker(&self, channel: ChannelNo) -> Result<Box<dyn Speaker>, DriverError> {
        if channel != ChannelNo(1) {
            return Err(DriverError::Unsupported);
        }
        speaker::open(&self.dialer, &self.main, self.login.as_ref()).await
    }
}
