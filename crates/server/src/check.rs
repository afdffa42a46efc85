//! `fluorite check`: footage against its index.

use std::path::Path;

use anyhow::{Context, bail};
use cloud::{Clock, Fault, FaultKind, LocalTime};

use crate::cli::Check;
use crate::config::Loaded;

/// Looks at the data folder and prints what is wrong in it, as it is found.
///
/// # Errors
/// When something is wrong that was not repaired, or it cannot be looked.
pub async fn run(check: Check) -> anyhow::Result<()> {
    let usual = Path::new("fluorite.toml");
    let file = check.config.as_deref().or_else(|| usual.exists().then_some(usual));
    let config = Loaded::read(file, std::env::vars())?.config;
    let how = cloud::Check { quick: check.quick, repair: check.repair };
    let (data, blobs) = (&config.store.data, &config.store.blob.0);
    let clock = Clock::system();
    let mut left = 0;
    let checked = cloud::check(data, blobs, how, &clock, |fault| {
        left += u64::from(!fault.repaired);
        println!("{}", line(&fault, config.node.utc_offset.0));
    });
    let checked = checked.await.with_context(|| format!("cannot check {}", data.display()))?;
    println!("{} segments, {} bytes, {} faults", checked.segments, checked.bytes, checked.faults);
    if left > 0 {
        bail!("{left} faults are left; --repair takes them out of the index");
    }
    Ok(())
}

/// A line of the table: serial, channel, from, to, what is wrong, what was done, key.
fn line(fault: &Fault, utc_offset_minutes: i32) -> String {
    let kind = match fault.kind {
        FaultKind::Missing => "missing",
        FaultKind::Size { .. } => "size",
        FaultKind::Changed => "changed",
        FaultKind::Unlisted => "unlisted",
        FaultKind::Unknown => "unknown",
    };
    let done = match (fault.repaired, fault.kind) {
        (false, _) => "left",
        (true, FaultKind::Unlisted) => "listed",
        (true, _) => "quarantined",
    };
    let time = |at| LocalTime::of(at, utc_offset_minutes).compact();
    let to = fault.to.map_or_else(|| "-".into(), time);
    format!(
        "{:9}  {:3}  {}  {to:15}  {kind:8}  {done:11}  {}",
        fault.serial,
        fault.channel.0,
        time(fault.from),
        fault.key
    )
}
