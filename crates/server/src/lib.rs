//! The server: configuration, the HTTP API, the media gateway and their wiring.

pub mod address;
pub mod cli;
pub mod client;
pub mod config;
pub mod logging;
pub mod tls;
/// The HTTP API.
pub mod api {
    pub mod form;
}
