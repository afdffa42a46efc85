//! What kind of camera it is.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use crate::Error;
use crate::sdcard::{self, CardConfig};

/// One of the two streams of a camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Quality {
    /// Full size.
    Main,
    /// Small, for lists and slow links.
    Sub,
}

impl Quality {
    /// Both.
    pub const ALL: [Quality; 2] = [Quality::Main, Quality::Sub];

    /// `main` or `sub`: RTSP path and ONVIF profile token.
    pub fn name(self) -> &'static str {
        match self {
            Quality::Main => "main",
            Quality::Sub => "sub",
        }
    }

    /// The quality of that name.
    pub fn named(name: &str) -> Option<Quality> {
        Quality::ALL.into_iter().find(|quality| quality.name() == name)
    }
}

/// How pictures of one stream are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoConfig {
    /// Luma pixels a row: even, 160 to 3840.
    pub width: u32,
    /// Luma rows: even, 90 to 2160.
    pub height: u32,
    /// Pictures a second, 1 to 60.
    pub frame_rate: u32,
    /// Target, bits a second.
    pub bitrate_bps: u32,
    /// Time from key frame to key frame.
    pub gop: Duration,
}

impl VideoConfig {
    /// 1280 × 720 at 20 pictures a second and 2 Mbit/s, a key frame every 2 s.
    pub const MAIN: VideoConfig =
        VideoConfig { width: 1280, height: 720, frame_rate: 20, bitrate_bps: 2_000_000, gop: Duration::from_secs(2) };
    /// 640 × 360 at 20 pictures a second and 400 kbit/s, a key frame every 2 s.
    pub const SUB: VideoConfig =
        VideoConfig { width: 640, height: 360, frame_rate: 20, bitrate_bps: 400_000, gop: Duration::from_secs(2) };

    /// Pictures from key frame to key frame, at least 1.
    pub fn gop_frames(&self) -> u32 {
        ((self.gop.as_secs_f64() * f64::from(self.frame_rate)).round() as u32).max(1)
    }

    fn check(&self) -> Result<(), Error> {
        let even = self.width.is_multiple_of(2) && self.height.is_multiple_of(2);
        if !even || !(160..=3840).contains(&self.width) || !(90..=2160).contains(&self.height) {
            return Err(Error::Config("a picture is 160x90 to 3840x2160 with even sides"));
        }
        if !(1..=60).contains(&self.frame_rate) {
            return Err(Error::Config("a frame rate is 1 to 60"));
        }
        if !(32_000..=50_000_000).contains(&self.bitrate_bps) {
            return Err(Error::Config("a bit rate is 32 kbit/s to 50 Mbit/s"));
        }
        if self.gop.is_zero() || self.gop > Duration::from_secs(60) {
            return Err(Error::Config("a group of pictures lasts up to 60 s"));
        }
        Ok(())
    }
}

/// Sound of a camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SoundConfig {
    /// AAC-LC, 16 kHz mono, 32 kbit/s.
    Aac,
    /// G.711 A-law, 8 kHz mono.
    Alaw,
    /// No microphone.
    None,
}

/// Everything about a camera. [`Default`] gives one on loopback with ports of the system's choice.
#[derive(Clone)]
pub struct Config {
    /// Nine characters `[A-Z0-9]`, shown in the picture and told by ONVIF.
    pub serial: String,
    /// Name of the camera, shown in the picture.
    pub name: String,
    /// The one user that may log in.
    pub user: String,
    /// The user's password, not empty.
    pub password: String,
    /// Address to listen on, for HTTP, RTSP and RTP.
    pub listen: IpAddr,
    /// TCP port of ONVIF; 0 takes any.
    pub http_port: u16,
    /// TCP port of RTSP; 0 takes any.
    pub rtsp_port: u16,
    /// Whether to answer WS-Discovery on UDP port 3702.
    pub discovery: bool,
    /// Video sources, 1 to 16: with more than one it is a recorder with a camera at each.
    pub channels: u16,
    /// Sound in both streams.
    pub sound: SoundConfig,
    /// The main stream.
    pub main: VideoConfig,
    /// The sub stream.
    pub sub: VideoConfig,
    /// Sends this file (FLV, or H.264 in Annex B) again and again instead of encoding: both streams.
    pub replay: Option<PathBuf>,
    /// Writes what the speaker hears into this WAV file, begun anew; the speakers of further channels
    /// add their number to its name: `heard.wav`, `heard-2.wav`.
    pub speaker: Option<PathBuf>,
    /// The SD card in its slot, if there is one.
    pub card: Option<CardConfig>,
    /// Most sessions at a time that play what is on the card; more are refused.
    pub replays_max: usize,
    /// What the street looks like; every channel sees another.
    pub scene_seed: u64,
    /// Local time minus UTC, for the date in the picture.
    pub utc_offset_minutes: i16,
    /// How far its wall clock is ahead of the machine's, seconds: 0 if it is right, negative if it is slow.
    pub clock_ahead_s: i64,
    /// Most RTSP connections at a time; more are closed at once.
    pub connections_max: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            serial: "CAM000001".into(),
            name: "Street".into(),
            user: "admin".into(),
            password: String::new(),
            listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
            http_port: 0,
            rtsp_port: 0,
            discovery: false,
            channels: 1,
            sound: SoundConfig::Aac,
            main: VideoConfig::MAIN,
            sub: VideoConfig::SUB,
            replay: None,
            speaker: None,
            card: None,
            replays_max: 8,
            scene_seed: 0,
            utc_offset_minutes: 0,
            clock_ahead_s: 0,
            connections_max: 64,
        }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("serial", &self.serial).field("password", &"***").finish_non_exhaustive()
    }
}

impl Config {
    /// Largest number of channels.
    pub const CHANNELS_MAX: u16 = 16;

    /// The stream's pictures.
    pub fn video(&self, quality: Quality) -> VideoConfig {
        match quality {
            Quality::Main => self.main,
            Quality::Sub => self.sub,
        }
    }

    /// Refuses what cannot work.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.serial.len() != 9 || !self.serial.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()) {
            return Err(Error::Config("a serial is nine characters A-Z 0-9"));
        }
        if self.user.is_empty() || self.password.is_empty() {
            return Err(Error::Config("a camera needs a user and a password"));
        }
        if self.user.chars().chain(self.password.chars()).any(|c| c.is_control() || c == ':') {
            return Err(Error::Config("user and password have no colons and no control characters"));
        }
        if !(1..=Self::CHANNELS_MAX).contains(&self.channels) {
            return Err(Error::Config("a camera has 1 to 16 channels"));
        }
        if !(-24 * 60..=24 * 60).contains(&self.utc_offset_minutes) {
            return Err(Error::Config("an offset from UTC is at most 24 h"));
        }
        if self.clock_ahead_s.unsigned_abs() > 10 * 365 * 86_400 {
            return Err(Error::Config("a clock is at most ten years wrong"));
        }
        if self.card.as_ref().is_some_and(|card| card.bytes_max < sdcard::BYTES_MIN) {
            return Err(Error::Config("a card holds 1 MiB at least"));
        }
        self.main.check()?;
        self.sub.check()
    }
}
