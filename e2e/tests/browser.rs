//! The pages in a real Chromium; the judging is in `e2e/browser`.

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
    let tests = Command::new("npm")
        .args(["run", script, "--silent"])
        .current_dir(root().join("e2e/browser"))
        .env("FLUORITE_READY", folder.join("ready.json"))
        .env("FLUORITE_SHOTS", folder.join("shots"))
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(patience, tests).await.expect("ends in time").expect("npm runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}
