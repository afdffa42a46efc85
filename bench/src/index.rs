//! How long the index of recordings takes to answer when it is as large as it gets on one machine.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::server::{Fluorite, Setting};

/// Days of footage that each channel has, up to an hour ago.
pub const DAYS: i64 = 30;
const HOUR_MS: i64 = 3_600_000;
/// Recordings are cut at the hour, segments are a minute.
const SEGMENTS_AN_HOUR: i64 = 60;

/// Fills the index of a server at rest, as if every channel had been recorded without a break. By SQL of
/// its own: through the server it would take a month.
fn fill(database: &Path, first_ms: i64) -> Result<()> {
    let hours = DAYS * 24;
    let script = format!(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -500000;
         UPDATE device SET owner_since = 0;
         WITH RECURSIVE hour (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM hour WHERE n + 1 < {hours})
         INSERT INTO recording (serial, channel_no, storage, kind, starts_at, ends_at, bytes, locked)
         SELECT d.serial, 1, 2, 1, {first_ms} + n * {HOUR_MS}, {first_ms} + (n + 1) * {HOUR_MS}, 900000000, 0
         FROM hour CROSS JOIN device d;
         WITH RECURSIVE minute (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM minute WHERE n + 1 < {SEGMENTS_AN_HOUR})
         INSERT INTO segment (recording_id, starts_at, ends_at, bytes, sha256)
         SELECT r.id, r.starts_at + n * 60000, r.starts_at + (n + 1) * 60000, 15000000, randomblob(32)
         FROM recording r CROSS JOIN minute;
         PRAGMA journal_mode = WAL;"
    );
    let mut filling = Command::new("sqlite3").arg(database).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    std::io::Write::write_all(&mut filling.stdin.take().context("piped")?, script.as_bytes())?;
    ensure!(filling.wait()?.success(), "sqlite3 could not fill the index");
    // A month was on the disk long ago: gigabytes on their way there would be in the way of answers.
    std::fs::File::open(database)?.sync_all()?;
    Ok(())
}

/// Answer times of `video/by/time` for one day of one channel, other ones each time.
///
/// # Errors
/// When a server or its database cannot be used.
pub fn measure(binary: &Path, channels: usize, asked: usize) -> Result<Vec<Duration>> {
    // Nothing of what is listed is on the disk, and nobody looks for it meanwhile.
    let mut fluorite = Fluorite::start(binary, Setting::Default, false)?;
    let serials: Vec<String> = (0..channels).map(|_| Ok(fluorite.attach_publisher()?.serial)).collect::<Result<_>>()?;
    let now_ms = std::time::UNIX_EPOCH.elapsed()?.as_millis() as i64;
    let first_ms = (now_ms / HOUR_MS - DAYS * 24) * HOUR_MS;
    fluorite.restart(|data| fill(&data.join("meta.db"), first_ms))?;
    let mut times = Vec::with_capacity(asked);
    for n in 0..asked {
        // Steps that share no factor with the number of channels or days: each is asked as often.
        let (serial, day) = (&serials[n * 617 % channels], (n as i64 * 7) % (DAYS - 1));
        let from = first_ms + day * 24 * HOUR_MS;
        let form =
            format!("deviceSerial={serial}&channelNo=1&recType=1&startTime={from}&endTime={}", from + 24 * HOUR_MS - 1);
        let at = Instant::now();
        let answer = fluorite.lapp("video/by/time", &form)?;
        times.push(at.elapsed());
        let rows = answer["data"].as_array().map_or(0, Vec::len);
        ensure!(rows == 24, "{serial} on day {day}: {rows} recordings instead of 24: {answer}");
    }
    Ok(times)
}
