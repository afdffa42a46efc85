//! The pages in a real Chromium; the judging is in `e2e/browser`.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::harness::{Server, root};

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_work_in_a_real_browser() {
    // Fifty tests of a browser, one after the other, on a machine that runs others beside it.
    browse(&Server::start(&["--trial"]).await, "test", Duration::from_secs(900)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hls_plays_in_a_real_browser() {
    browse(&Server::start(&["--trial"]).await, "test:hls", Duration::from_secs(200)).await;
}

/// Runs a script of `e2e/browser` against a server.
async fn browse(server: &Server, script: &str, patience: Duration) {
    let folder = server.folder.path();
    // Into a file: what was said until then is told even if it does not end.
    let log = folder.join(script.replace(':', "-"));
    let out = std::fs::File::create(&log).expect("a log");
    let mut tests = Command::new("npm")
        .args(["run", script, "--silent"])
        .current_dir(root().join("e2e/browser"))
        .env("FLUORITE_READY", folder.join("ready.json"))
        .env("FLUORITE_SHOTS", folder.join("shots"))
        .stdin(Stdio::null())
        .stdout(out.try_clone().expect("the same log"))
        .stderr(out)
        .kill_on_drop(true)
        .spawn()
        .expect("npm runs");
    let ended = timeout(patience, tests.wait()).await;
    let said = std::fs::read_to_string(&log).expect("what it said");
    let status = ended.unwrap_or_else(|_| panic!("not over after {patience:?}: {said}")).expect("npm ends");
    assert!(status.success(), "{said}");
}
