//! Devices: the [`Driver`] trait, one folder for each way of attaching a camera, and the actor around it.
//!
//! Vendor mess stays here. The crate knows no account, no HTTP API of ours and no database: whoever
//! keeps devices gives the [`Supervisor`] a [`DeviceSpec`] each and hears [`DeviceEvent`]s.

mod actor;
mod backoff;
mod control;
mod dial;
mod discovery;
mod driver;
mod http;
mod isapi;
mod onvif;
mod push;
mod replay;
mod rtsp;

pub use actor::{DeviceEvent, DeviceHandle, DeviceSpec, DriverKind, Presence, Supervisor, SupervisorSettings, probe};
pub use backoff::Backoff;
pub use control::PTZ_WATCHDOG;
pub use dial::{AllowedHost, Dialer};
pub use discovery::{FoundCamera, discover};
pub use driver::{
    ChannelFacts, ChannelNo, DeviceFacts, Driver, DriverError, Limit, Login, Mirror, Position, PresetNo, Quality,
    Recording, RecordingKind, ReplayAsk, SNAPSHOT_BYTES_MAX, Speaker, StreamFacts, Velocity, stream_id,
};
pub use isapi::IsapiDriver;
pub use onvif::OnvifDriver;
