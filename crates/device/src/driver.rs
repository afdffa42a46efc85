//! What a device can be asked, whatever it speaks.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use av::{Pcm, UnixMicros};
use bytes::Bytes;
use media::StreamWriter;
use tokio::sync::mpsc;

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

/// How fast a motor shall move, each in −1 to 1 of what it can. Right, up and in are positive.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Velocity {
    /// Pan.
    pub pan: f32,
    /// Tilt.
    pub tilt: f32,
    /// Zoom.
    pub zoom: f32,
}

/// Where a motor stands: each axis in −1 to 1 of its travel, right, up and in positive. An axis that
/// the device does not report is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Position {
    /// Pan.
    pub pan: Option<f32>,
    /// Tilt.
    pub tilt: Option<f32>,
    /// Zoom.
    pub zoom: Option<f32>,
}

/// Largest picture taken from a device's snapshot, bytes.
pub const SNAPSHOT_BYTES_MAX: usize = 8 << 20;

/// Whether bytes begin as a JPEG does (ISO 10918-1 B.1.1.3: SOI and the next marker).
pub(crate) fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xFF, 0xD8, 0xFF])
}

/// An end of a motor's travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// It looks up no further.
    Up,
    /// It looks down no further.
    Down,
    /// It turns left no further.
    Left,
    /// It turns right no further.
    Right,
}

/// Number of a stored position of a motor, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PresetNo(pub u16);

/// About what a picture is mirrored, seen from how it is now: the same twice is as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mirror {
    /// Top and bottom change places.
    UpDown,
    /// Left and right change places.
    LeftRight,
    /// Both: a turn by 180°.
    Centre,
}

/// Why footage on a device was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordingKind {
    /// By the clock, or all the time.
    Timed,
    /// Because something happened.
    Event,
}

/// A stretch of footage that a device keeps itself. Moments are ours: the driver has corrected a device
/// whose clock is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// When it begins.
    pub from: UnixMicros,
    /// When it ends; of one that grows, now.
    pub to: UnixMicros,
    /// Why it was recorded.
    pub kind: RecordingKind,
    /// Its size, where the device tells.
    pub bytes: Option<u64>,
}

/// What to play of a device's own footage. Moments are ours, as in [`Recording`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReplayAsk {
    /// From the last key frame at or before this moment on; gaps are skipped.
    pub from: UnixMicros,
    /// Up to here.
    pub to: UnixMicros,
    /// How many times faster than it happened it will be read, 0.5 to 16. A device that can send as fast
    /// as it is read (ONVIF `Rate-Control: no`) is asked to; another is asked for this speed.
    pub speed: f32,
    /// Key frames alone suffice.
    pub key_frames_only: bool,
}

/// Why a device did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DriverError {
    /// This way of attaching cannot do that.
    #[error("not supported by the device")]
    Unsupported,
    /// The motor is at the end of its travel.
    #[error("at the end of its travel: {0:?}")]
    AtLimit(Limit),
    /// There is no preset of that number.
    #[error("no such preset")]
    PresetUnknown,
    /// The device keeps no more presets.
    #[error("no room for another preset")]
    PresetsFull,
    /// It stands at that preset already.
    #[error("already at the preset")]
    PresetReached,
    /// The lens is covered.
    #[error("the lens is covered")]
    Masked,
    /// Somebody is speaking through it.
    #[error("the speaker is in use")]
    SpeakerBusy,
    /// It plays its footage to no further viewer.
    #[error("the device serves no further playback session")]
    ReplayBusy,
    /// It understood and would not.
    #[error("refused by the device at {step}: {cause}")]
    Refused {
        /// The hop.
        step: &'static str,
        /// What it said.
        cause: String,
    },
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
            DriverError::AtLimit(_) => "limit",
            DriverError::PresetUnknown | DriverError::PresetsFull | DriverError::PresetReached => "preset",
            DriverError::Masked => "mask",
            DriverError::SpeakerBusy => "speaker",
            DriverError::ReplayBusy => "replay",
            DriverError::Unreachable { step, .. }
            | DriverError::Timeout { step }
            | DriverError::Refused { step, .. }
            | DriverError::Protocol { step, .. } => step,
        }
    }
}

/// A speaker that was opened for us; dropping it closes it.
#[async_trait]
pub trait Speaker: Send {
    /// Sends the sound at the speed it is heard, in the codec the device asked for, and closes.
    async fn play(self: Box<Self>, sound: Pcm) -> Result<(), DriverError>;
}

/// Our code speaking one device's protocol, one method an ability. Owned by the device's actor
/// ([`crate::Supervisor`]), which bounds every call in time and serialises commands; `live` and an
/// opened speaker run beside them. What a driver does not override, its devices cannot do.
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

    /// Starts moving a motor until [`ptz_stop`](Self::ptz_stop). An axis whose speed is 0 stands still.
    /// Whether it is at its limit is the actor's to ask, by [`position`](Self::position).
    async fn ptz_start(&self, _channel: ChannelNo, _velocity: Velocity) -> Result<(), DriverError> {
        Err(DriverError::Unsupported)
    }

    /// Stops all axes of a motor.
    async fn ptz_stop(&self, _channel: ChannelNo) -> Result<(), DriverError> {
        Err(DriverError::Unsupported)
    }

    /// Where the motor stands. `Unsupported` when the device does not tell.
    async fn position(&self, _channel: ChannelNo) -> Result<Position, DriverError> {
        Err(DriverError::Unsupported)
    }

    /// Stores where the motor stands, under the lowest free number. `PresetsFull` when there is none.
    async fn preset_add(&self, _channel: ChannelNo) -> Result<PresetNo, DriverError> {
        Err(DriverError::Unsupported)
    }

    /// Goes to a stored position. `PresetUnknown`; `PresetReached` where that can be known.
    async fn preset_move(&self, _channel: ChannelNo, _preset: PresetNo) -> Result<(), DriverError> {
        Err(DriverError::Unsupported)
    }

    /// Forgets a stored position. `PresetUnknown`.
    async fn preset_clear(&self, _channel: ChannelNo, _preset: PresetNo) -> Result<(), DriverError> {
        Err(DriverError::Unsupported)
    }

    /// Mirrors the picture, relative to how it is now.
    async fn mirror(&self, _channel: ChannelNo, _mirror: Mirror) -> Result<(), DriverError> {
        Err(DriverError::Unsupported)
    }

    /// Whether the lens is covered.
    async fn mask(&self, _channel: ChannelNo) -> Result<bool, DriverError> {
        Err(DriverError::Unsupported)
    }

    /// Covers the lens or uncovers it. As it is already: nothing happens, and that is success.
    async fn set_mask(&self, _channel: ChannelNo, _covered: bool) -> Result<(), DriverError> {
        Err(DriverError::Unsupported)
    }

    /// A picture of now as the device makes it: one JPEG, at most [`SNAPSHOT_BYTES_MAX`].
    async fn snapshot(&self, _channel: ChannelNo) -> Result<Bytes, DriverError> {
        Err(DriverError::Unsupported)
    }

    /// Opens the speaker. `SpeakerBusy` when the device says that somebody else has it.
    async fn open_speaker(&self, _channel: ChannelNo) -> Result<Box<dyn Speaker>, DriverError> {
        Err(DriverError::Unsupported)
    }

    /// The device's own footage that overlaps a range, ascending and not clipped, paged searches followed
    /// to their end. Empty when there is none; `Unsupported` without storage.
    async fn recordings(
        &self,
        _channel: ChannelNo,
        _from: UnixMicros,
        _to: UnixMicros,
    ) -> Result<Vec<Recording>, DriverError> {
        Err(DriverError::Unsupported)
    }

    /// Plays the device's own footage into `out` as [`media::Footage::read`] gives it, no faster than it is
    /// taken from there, until the range is played or fails. Dropping the future ends the device's session.
    /// `ReplayBusy` when the device serves no further one.
    async fn replay(
        &self,
        _channel: ChannelNo,
        _ask: ReplayAsk,
        _out: mpsc::Sender<media::Item>,
    ) -> Result<(), DriverError> {
        Err(DriverError::Unsupported)
    }
}
