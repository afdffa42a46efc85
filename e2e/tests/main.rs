//! Everything through real sockets, real players and real cameras.
#![allow(clippy::unwrap_used)]

mod abilities;
mod bad_input;
mod browser;
mod cameras;
mod card;
mod clients;
mod faults;
mod guide;
mod harness;
mod live;
mod media;
mod mini;
mod playback;
mod recording;
mod rtmp;
mod security;
mod site;
mod sound;
mod tidy;
mod watch;
