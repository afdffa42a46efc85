//! The camera seen from outside: real sockets, decoded pictures, and programs made by others.
#![allow(clippy::unwrap_used)]

mod player;
mod soap;

mod card;
mod control;
mod faults;
mod isapi;
mod malformed;
mod onvif;
mod recorder;
mod replay;
mod speak;
mod stream;

use std::time::Duration;

use camera::{Camera, Config, VideoConfig};
use tokio::time::{Instant, sleep};

/// Longest that anything may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);
const USER: &str = "admin";
const PASSWORD: &str = "open sesame";

fn config() -> Config {
    Config { user: USER.into(), password: PASSWORD.into(), ..Config::default() }
}

/// Small pictures at few a second: for tests of everything but the picture.
fn small() -> Config {
    let video = VideoConfig { width: 320, height: 180, frame_rate: 10, bitrate_bps: 100_000, ..VideoConfig::SUB };
    Config { main: video, sub: video, ..config() }
}

async fn start(config: Config) -> Camera {
    Camera::start(config).await.unwrap()
}

/// Waits until a condition holds.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// A URL with the login in it, as players want it.
fn with_login(url: &str, password: &str) -> String {
    url.replacen("://", &format!("://{USER}:{}@", password.replace(' ', "%20")), 1)
}
