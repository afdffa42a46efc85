//! What it costs to make AAC of G.711: streams of both kinds, each with one viewer, side by side.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::clip::{Clip, GOP_S};
use crate::load::Load;
use crate::publisher::Publisher;
use crate::server::{Fluorite, Setting};

const GOP: Duration = Duration::from_secs(GOP_S as u64);
/// How long CPU time is counted.
const WINDOW: Duration = Duration::from_secs(10);

/// CPU of one derived AAC track in percent of a core: what a stream with G.711 and a viewer costs beyond
/// one whose AAC is passed on.
///
/// # Errors
/// When a server cannot be run or a viewer cannot get in.
pub fn measure(streams: usize, binary: &Path, clip: &Arc<Clip>) -> Result<f64> {
    let passed_on = cpu_s(streams, binary, clip)?;
    let derived = cpu_s(streams, binary, &Arc::new(clip.with_alaw()))?;
    eprintln!("{streams} streams: {passed_on:.2} s with AAC, {derived:.2} s with G.711 in {WINDOW:?}");
    Ok((derived - passed_on) / WINDOW.as_secs_f64() / streams as f64 * 100.0)
}

fn cpu_s(streams: usize, binary: &Path, clip: &Arc<Clip>) -> Result<f64> {
    let fluorite = Fluorite::start(binary, Setting::Default, false)?;
    let attached = (0..streams).map(|_| fluorite.attach_publisher()).collect::<Result<Vec<_>>>()?;
    let mut publishers = Vec::new();
    for attached in &attached {
        publishers.push(Publisher::start(&attached.publish, clip)?);
        // Spread over a GOP, as cameras are.
        thread::sleep(GOP / streams as u32);
    }
    thread::sleep(GOP);
    let mut loads = Vec::new();
    for attached in &attached {
        let mut load = Load::new(&fluorite.stream(attached)?.flv.context("no FLV address")?)?;
        load.grow_to(1)?;
        loads.push(load);
    }
    let watch = |loads: &mut [Load], period| {
        thread::scope(|scope| {
            let watching: Vec<_> = loads.iter_mut().map(|load| scope.spawn(move || load.run_for(period))).collect();
            watching.into_iter().try_for_each(|viewer| viewer.join().expect("a viewer does not panic"))
        })
    };
    // Past the burst of the beginning.
    watch(&mut loads, GOP)?;
    let before = fluorite.process.cpu_s()?;
    watch(&mut loads, WINDOW)?;
    Ok(fluorite.process.cpu_s()? - before)
}
