//! RTSP 1.0, both ends, without sockets.
//!
//! | Part | Follows |
//! |---|---|
//! | [`message`] | RFC 2326 §4–6, §10.12 |
//! | [`client`] | RFC 2326 §10, as a player of cameras |
//! | [`server`] | RFC 2326 §10, as a camera |
//! | [`Play`] | RFC 2326 §12.29, §12.34, §12.35; ONVIF Streaming §6 |
//!
//! Not here: multicast, RTSP 2.0 (RFC 7826, which no camera speaks), RECORD and ANNOUNCE, redirects
//! (refused: a camera must not send us elsewhere).

pub mod client;
pub mod message;
mod play;
pub mod server;
#[cfg(test)]
mod tests;
mod transport;

pub use message::{Message, Method, Request, Response};
pub use play::{Frames, Play, Range};
pub use transport::{RtpInfo, Transport, TransportAnswer};
