//! What it costs to record: the same publishers written to disk, by Fluorite and by the peer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::clip::Clip;
use crate::measure::{TakingIn, take_in};
use crate::publisher::Publisher;
use crate::server::{Fluorite, Nginx, Setting};

/// Length of a segment: about a quarter of the default, so that each stream ends one while CPU time is
/// counted, and a multiple of the time between two syncs.
pub const SEGMENT: Duration = Duration::from_secs(16);
/// What was recorded is at least this share of what was sent, or it is not what was to be measured.
const SHARE_MIN: f64 = 0.9;

/// What recording costs a server.
pub struct Recording {
    /// Its name.
    pub name: &'static str,
    /// Receiving included.
    pub cost: TakingIn,
    /// Writes to files and syncs of files for each second of a stream, of who tells.
    pub disk: Option<(f64, f64)>,
}

/// Records `count` publishers, at Fluorite and then at nginx-rtmp.
///
/// # Errors
/// When a server cannot be run, or what was published is not on its disk.
pub fn measure(count: usize, binary: &Path, clip: &Arc<Clip>) -> Result<Vec<Recording>> {
    // The first segment of a stream is longer, by chance up to twice as long.
    let (settle, window) = (2 * SEGMENT, SEGMENT);
    let streams_s = count as f64 * window.as_secs_f64();
    let check = |before: u64, after: u64| {
        let share = (after - before) as f64 / streams_s / clip.bytes_per_s;
        ensure!(share > SHARE_MIN, "only {share:.2} of what was published is on the disk");
        Ok(())
    };

    let fluorite = Fluorite::start(binary, Setting::Default, false)?;
    let publish = |_| {
        let attached = fluorite.attach_publisher()?;
        let publisher = Publisher::start(&attached.publish, clip)?;
        fluorite.record(&attached)?;
        Ok(publisher)
    };
    let look = || Ok((fluorite.recorders()?, bytes_below(&fluorite.data())?));
    let (cost, [(before, bytes_before), (after, bytes)]) =
        take_in(&fluorite.process, count, publish, settle, window, look)?;
    check(bytes_before, bytes)?;
    let lost: f64 =
        after["recorders"].as_array().into_iter().flatten().filter_map(|r| r["lost_seconds"].as_f64()).sum();
    ensure!(lost == 0.0, "{lost} s were lost");
    let each = |pointer: &str| {
        let value = |told: &Value| told.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN);
        (value(&after) - value(&before)) / streams_s
    };
    let disk = Some((each("/writes"), each("/syncs")));
    let ours = Recording { name: "Fluorite", cost, disk };
    drop(fluorite);

    let folder = tempfile::tempdir()?;
    let nginx = Nginx::start(Some(folder.path()))?;
    let publish = |i| Publisher::start(&nginx.stream(&format!("clip{i}"))?.publish, clip);
    let look = || bytes_below(folder.path());
    let (cost, [before, after]) = take_in(&nginx.process, count, publish, settle, window, look)?;
    check(before, after)?;
    Ok(vec![ours, Recording { name: "nginx-rtmp", cost, disk: None }])
}

/// Bytes of the files in a folder and those below it.
fn bytes_below(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        // A file may be moved away meanwhile.
        bytes += match entry.metadata() {
            Ok(of) if of.is_dir() => bytes_below(&entry.path())?,
            Ok(of) => of.len(),
            Err(_) => 0,
        };
    }
    Ok(bytes)
}
