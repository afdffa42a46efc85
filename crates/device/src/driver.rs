//! What a device can be asked, whatever it speaks.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use media::StreamWriter;

/// Number of a video source within a device, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelNo(pub u16);

impl fmt::Display for ChannelNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which of a channel's encoded presentations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quality {
    /// The main stream: full size ("HD", 1).
    Main,
    /// The sub stream: small ("SD", 2).
    Sub,
}

impl Quality {
    /// 1 main, 2 sub, as in play addresses.
    pub fn number(self) -> u8 {
        match self {
            Quality::Main => 1,
            Quality::Sub => 2,
        }
    }

    /// The inverse of [`Quality::number`].
    pub fn from_number(number: u8) -> Option<Quality> {
        match number {
            1 => Some(Quality::Main),
            2 => Some(Quality::Sub),
            _ => None,
        }
    }
}

/// Name of the stream of one channel in one quality: `SERIAL_CH_Q`, as play addresses have it.
pub fn stream_id(serial: &str, channel: ChannelNo, quality: Quality) -> media::StreamId {
    media::StreamId::new(format!("{serial}_{channel}_{}", quality.number()))
}

/// Name and password at the device. `Debug` hides the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// User name.
    pub user: String,
    /// Password in clear; lives in memory only.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).field("password", &"***").finish()
    }
}

/// One encoded stream of a channel, as the device describes it; everything may be unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamFacts {
    /// Codec name as the device says: `H264`, `H265`, …
    pub video_codec: Option<String>,
    /// Width and height in pixels.
    pub size: Option<(u32, u32)>,
    /// Whether sound comes with it.
    pub audio: Option<bool>,
}

/// One channel, as the device describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelFacts {
    /// Its number.
    pub no: ChannelNo,
    /// Name given on the device.
    pub name: String,
    /// Main stream.
    pub main: StreamFacts,
    /// Sub stream, where there is one.
    pub sub: Option<StreamFacts>,
}

/// What a device says of itself. Filled from its own answers, never from a table of models.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceFacts {
    /// Maker.
    pub manufacturer: Option<String>,
    /// Model.
    pub model: Option<String>,
    /// Firmware version.
    pub firmware: Option<String>,
    /// The device's own serial number, in the maker's form.
    pub serial: Option<String>,
    /// Channels, by number. Never empty after a successful probe.
    pub channels: Vec<ChannelFacts>,
    /// Capabilities by their name in the platform's capability set (`support_ptz`, `ptz_left_right`, …)
    /// with the platform's values (`"0"`, `"1"`, …). Absent means not supported.
    pub capabilities: BTreeMap<String, String>,
}

/// Why a device did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DriverError {
    /// This way of attaching cannot do that.
    #[error("not supported by the device")]
    Unsupported,
    /// The address is not one we may dial, or names no host.
    #[error("address refused: {0}")]
    AddressRefused(String),
    /// No connection: refused, unreachable, name unknown, or broken off.
    #[error("unreachable at {step}: {cause}")]
    Unreachable {
        /// The hop: `dial`, `describe`, …
        step: &'static str,
        /// What the system said.
        cause: String,
    },
    /// Name or password is wrong.
    #[error("login refused")]
    LoginRefused,
    /// It did not answer in time.
    #[error("no answer in time at {step}")]
    Timeout {
        /// The hop.
        step: &'static str,
    },
    /// It answered, but not in a way that can be used.
    #[error("unusable answer at {step}: {cause}")]
    Protocol {
        /// The hop.
        step: &'static str,
        /// What was wrong.
        cause: String,
    },
}

impl DriverError {
    /// The hop that failed, in a word, for [`media::End::step`].
    pub fn step(&self) -> &'static str {
        match self {
            DriverError::Unsupported => "unsupported",
            DriverError::AddressRefused(_) => "address",
            DriverError::LoginRefused => "auth",
            DriverError::Unreachable { step, .. }
            | DriverError::Timeout { step }
            | DriverError::Protocol { step, .. } => step,
        }
    }
}

/// Our code speaking one device's protocol. Owned by the device's actor ([`crate::Supervisor`]), which
/// bounds every call in time and serialises commands; only `live` runs beside them.
#[async_trait]
pub trait Driver: Send + Sync + 'static {
    /// Reaches the device, logs in and learns what it is. Called when it comes on line.
    async fn probe(&self) -> Result<DeviceFacts, DriverError>;

    /// The cheapest proof that the device is there and lets us in.
    async fn ping(&self) -> Result<(), DriverError>;

    /// Writes one stream until the device ends it or fails. Dropping the future stops it.
    async fn live(&self, channel: ChannelNo, quality: Quality, writer: &mut StreamWriter) -> Result<(), DriverError>;

    /// Asks for a key frame now.
    async fn request_key_frame(&self, _channel: ChannelNo, _quality: Quality) -> Result<(), DriverError> {
        Err(DriverError::Unsupported)
    }
}
