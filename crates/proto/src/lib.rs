//! Protocols of cameras and players: messages and sans-IO sessions.
//!
//! Bytes go in, events and bytes come out; the crate knows no socket, no task and no clock (`now` is
//! an argument where time matters). Everything it parses may come from an enemy.

pub mod calendar;
pub mod digest;
pub mod isapi;
pub mod onvif;
pub mod rtmp;
pub mod rtp;
pub mod rtsp;
pub mod sdp;
pub mod xml;
