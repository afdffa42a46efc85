//! Everything through real sockets, real players and real cameras.
#![allow(clippy::unwrap_used)]

mod bad_input;
mod browser;
mod cameras;
mod clients;
mod harness;
mod live;
mod media;
mod ptz;
mod rtmp;
mod security;
mod site;
mod tidy;
