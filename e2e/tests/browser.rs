//! The pages in a real Chromium; the judging is in `e2e/browser`.

use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::harness::{Server, root};

#[tokio::test(flavor = "multi_thread")]
async fn the_live_page_plays_in_a_real_browser() {
    let server = Server::trial().await;
    let folder = server.folder.path();
    let tests = Command::new("npm")
        .args(["test", "--silent"])
        .current_dir(root().join("e2e/browser"))
        .env("FLUORITE_READY", folder.join("ready.json"))
        .env("FLUORITE_SHOTS", folder.join("shots"))
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output();
    // Twenty tests of a browser, one after the other, on a machine that runs others beside it.
    let output = timeout(Duration::from_secs(400), tests).await.expect("ends in time").expect("npm runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}
