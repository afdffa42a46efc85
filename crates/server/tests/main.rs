//! Tests of the server at its boundary: configuration in, HTTP in, JSON out.
#![allow(clippy::unwrap_used)]

mod binary;
mod code;
mod config;
mod control;
mod form;
mod golden;
mod guest;
mod http;
mod listener;
mod matrix;
mod native;
mod pages;
mod playback;
mod recordings;
mod reel;
mod scripted;
mod tls;
mod trial;
mod voice;
mod world;

/// Compares with a committed file, or rewrites it when `UPDATE_GOLDEN` is set.
#[track_caller]
fn expect_file(path: &str, actual: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, actual).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == actual,
        "{} differs; run with UPDATE_GOLDEN=1 and look at the difference\n{actual}",
        path.display()
    );
}
