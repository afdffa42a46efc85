//! The benchmark: what a viewer costs Fluorite, beside a floor and a peer in the same run.
//!
//! What counts is CPU time of the server process for each GB delivered, since server, publisher and
//! viewers share the machine. `fluorite-bench [--quick] [--only WORD] [--server PATH] [--out FILE]`.
//! The full run is written to `docs/benchmarks.md` if run where that is.

mod clip;
mod control;
mod floor;
mod index;
mod load;
mod measure;
mod playback;
mod process;
mod publisher;
mod record;
mod report;
mod server;
mod sound;
mod viewer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::clip::Clip;
use crate::floor::Floor;
use crate::measure::Plan;

/// Both ends of a thousand connections, and then some.
const FILES: u64 = 16_384;

fn main() -> Result<()> {
    now_us();
    let (mut plan, mut server, mut out) = (Plan::full(), None, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--quick" => plan = Plan { only: plan.only, ..Plan::quick() },
            "--server" => server = Some(PathBuf::from(value()?)),
            "--only" => plan.only = Some(value()?),
            "--out" => out = Some(PathBuf::from(value()?)),
            // How this program runs itself as the floor.
            "floor" => {
                let floor = Floor::parse(&value()?).context("no such floor")?;
                raise_file_limit()?;
                return floor::run(floor, &Clip::load(&clip_path()?)?);
            }
            _ => bail!("usage: fluorite-bench [--quick] [--only WORD] [--server PATH] [--out FILE]"),
        }
    }
    raise_file_limit()?;
    let binary = server::fluorite_binary(server)?;
    if out.is_none() && plan.is_full() && Path::new("docs").is_dir() {
        out = Some(PathBuf::from("docs/benchmarks.md"));
    }
    let clip = Arc::new(Clip::load(&clip_path()?)?);
    let results = measure::run(&plan, &binary, &clip)?;
    let page = report::page(&results, &plan, &binary, &clip)?;
    println!("{page}");
    if let Some(out) = out {
        std::fs::write(&out, &page).with_context(|| out.display().to_string())?;
        eprintln!("written to {}", out.display());
    }
    Ok(())
}

/// Microseconds since this program began.
fn now_us() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_micros() as u64
}

/// The clip lies beside the program, where a build's other products do.
fn clip_path() -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("bench-clip-1.flv"))
}

fn raise_file_limit() -> Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = FILES.max(soft);
    // Root may go beyond the hard limit; others take what there is.
    if setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted)).is_err() {
        setrlimit(Resource::RLIMIT_NOFILE, hard.min(wanted), hard)?;
    }
    Ok(())
}
