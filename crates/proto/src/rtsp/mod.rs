//! RTSP 1.0, both ends, without sockets.
//!
//! | Part | Follows |
//! |---|---|
//! | [`message`] | RFC 2326 §4–6, §10.12 |
//! | [`client`] | RFC 2326 §10, as a player of cameras |
//! | [`server`] | RFC 2326 §10, as a camera |
//!
//! Not here: multicast, RTSP 2.0 (RFC 7826, which no camera speaks), RECORD and ANNOUNCE, redirects
//! (refused: a camera must not send us elsewhere).

pub mod client;
pub mod message;
pub mod server;
#[cfg(test)]
mod tests;
mod transport;

pub use message::{Message, Method, Request, Response};
pub use transport::{RtpInfo, Transport, TransportAnswer};
