//! A network camera in software: a drawn scene, encoded live, behind real ONVIF and RTSP.
//!
//! It speaks to anybody who speaks to cameras, and knows nothing of the platform beside it: the trial
//! device of a first run, and the counterpart of tests.
//!
//! ```no_run
//! # async fn run() -> Result<(), camera::Error> {
//! use camera::{Camera, Config, Quality};
//!
//! let config = Config { password: "a long secret".into(), ..Config::default() };
//! let camera = Camera::start(config).await?;
//! println!("{} {}", camera.onvif_url(), camera.rtsp_url(Quality::Main));
//! camera.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! | Module | Holds |
//! |---|---|
//! | [`scene`] | the world and what moves in it |
//! | [`marker`] | what tests read from decoded pictures |
//! | [`ptz`] | where the camera looks, as a function of time |
//! | [`sound`] | the melody |
//!
//! Invariants: encoders run only while somebody watches, one per quality however many watch; whoever
//! makes frames never waits for whoever watches.

mod camera;
mod channel;
mod clock;
mod config;
mod discovery;
mod encoder;
mod faults;
mod feed;
mod http;
mod isapi;
mod lens;
mod live;
mod login;
pub mod marker;
mod onvif;
pub mod ptz;
mod replay;
mod rtsp;
pub mod scene;
mod sdcard;
pub mod sound;
mod speaker;
mod stats;
mod token;
mod viewfinder;

pub use camera::Camera;
pub use channel::{Channel, Mask, Preset, PresetError};
pub use config::{Config, Quality, SoundConfig, VideoConfig};
pub use faults::{Fault, Faults};
pub use lens::Lens;
pub use sdcard::{Card, CardConfig, Clip};
pub use speaker::{Speaker, Talk};
pub use stats::Stats;
pub use viewfinder::{Area, Flip};

/// Why a camera cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value of the configuration is impossible.
    #[error("{0}")]
    Config(&'static str),
    /// An encoder failed.
    #[error("encoder: {0}")]
    Encoder(String),
    /// An elementary stream is not what it should be.
    #[error("elementary stream")]
    Stream(#[from] av::codec::Error),
    /// There is no still picture.
    #[error("still picture")]
    Still(#[from] av::still::Error),
    /// A socket could not be opened.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The card cannot be read or written.
    #[error("card {path}")]
    Card {
        /// Its folder.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file to replay cannot be used.
    #[error("{path}: {reason}")]
    Replay {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl From<openh264::Error> for Error {
    fn from(error: openh264::Error) -> Error {
        Error::Encoder(error.to_string())
    }
}
