//! Results as a page: tables, ratios, and how they stand to what was promised.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::clip::{Clip, GOP_S};
use crate::control::{self, Control};
use crate::floor::Floor;
use crate::index;
use crate::load::Seen;
use crate::measure::{Fanout, Plan, Results, Subject, Thorough};
use crate::playback::Playback;
use crate::record::{Recording, SEGMENT};
use crate::server::{Setting, Storage};

/// Milliseconds of media that Fluorite keeps of each stream by default, `media.ring_ms`.
const RING_MS: u32 = 2000;

/// Seconds from one sync of the segments that are being written to the next.
const SYNC_S: f64 = 4.0;

/// The page in Markdown.
///
/// # Errors
/// Never, unless memory ends.
pub fn page(results: &Results, plan: &Plan, binary: &Path, clip: &Clip) -> Result<String> {
    let mut out = String::new();
    writeln!(out, "# Benchmarks\n")?;
    writeln!(out, "Made by `make bench`; do not edit.\n")?;
    writeln!(
        out,
        "One publisher sends 1080p25 H.264 with AAC, {:.2} Mbit/s together. Viewers, publisher and server share the \
         machine and its loopback interface, so what counts is CPU time of the server process for each GB (10⁹ bytes) \
         its viewers received. The floor is a program that only writes the same bytes to the same number of sockets \
         with vectored writes. Lag is the mean time from the publisher's write of a picture to its arrival at a \
         viewer, by a stamp in the picture. Each figure is the median of {} rounds of {} s.\n",
        clip.bytes_per_s * 8e-6,
        plan.rounds,
        plan.window.as_secs()
    )?;
    writeln!(out, "| | |\n|---|---|")?;
    for (name, value) in facts(binary, plan) {
        writeln!(out, "| {name} | {value} |")?;
    }
    if !results.fanout.is_empty() {
        viewers(&mut out, results, plan)?;
    }
    if !results.joins.is_empty() {
        first_pictures(&mut out, results)?;
    }
    if !results.memory.is_empty() {
        memory(&mut out, results, plan)?;
    }
    if let Some(thorough) = &plan.thorough
        && !results.taking_in.is_empty()
    {
        publishers(&mut out, results, thorough, clip)?;
    }
    if let Some(thorough) = &plan.thorough
        && !results.recording.is_empty()
    {
        recording(&mut out, results, thorough)?;
    }
    if !results.playback.is_empty() {
        footage(&mut out, &results.playback)?;
    }
    if let (Some(thorough), Some(seen)) = (&plan.thorough, &results.control) {
        commands(&mut out, thorough, seen)?;
    }
    if let Some(thorough) = &plan.thorough
        && !results.index.is_empty()
    {
        recordings(&mut out, thorough, &results.index)?;
    }
    aims(&mut out, results, plan, clip)?;
    Ok(out)
}

fn viewers(out: &mut String, results: &Results, plan: &Plan) -> Result<()> {
    writeln!(out, "\n## What viewers cost\n")?;
    writeln!(
        out,
        "| viewers | server | CPU s/GB | × its floor | × nginx | mean lag ms | stalled | lost | missing pictures |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|")?;
    for &n in &plan.viewers {
        for subject in Subject::ALL {
            let Some(row) = find(results, n, subject) else { continue };
            let cost = cpu(row);
            let over =
                |other| find(results, n, other).map_or("–".into(), |other| format!("{:.2}", cost / cpu(other)));
            let is_floor = matches!(subject, Subject::Floor(_));
            let sees = !is_floor;
            writeln!(
                out,
                "| {n} | {} | {cost:.3} | {} | {} | {} | {} | {} | {} |",
                subject.name(),
                if is_floor { "1".into() } else { over(floor_of(subject)) },
                if is_floor { "–".into() } else { over(Subject::Nginx) },
                if sees { format!("{:.1}", lag(row)) } else { "–".into() },
                sum(row, |seen| seen.stalled as u64),
                sum(row, |seen| seen.lost as u64),
                if sees { sum(row, |seen| seen.missing).to_string() } else { "–".into() },
            )?;
        }
    }
    writeln!(
        out,
        "\nThe floor of prompt settings and of nginx writes once a video frame, that of thrifty ones 64 KiB at a time.\n\
         Thrifty is `media.merge_ms = {}`, prompt is 0.",
        Setting::Thrifty.merge_ms().unwrap_or_default()
    )?;
    Ok(())
}

fn memory(out: &mut String, results: &Results, plan: &Plan) -> Result<()> {
    writeln!(out, "\n## Memory\n")?;
    let most = plan.viewers.iter().copied().max().unwrap_or_default();
    writeln!(out, "What the server grows by from {} to {most} viewers, for each of them.\n", most / 10)?;
    writeln!(out, "| server | KiB a viewer |\n|---|---|")?;
    for (subject, kib) in &results.memory {
        writeln!(out, "| {} | {kib:.1} |", subject.name())?;
    }
    Ok(())
}

fn first_pictures(out: &mut String, results: &Results) -> Result<()> {
    writeln!(out, "\n## First picture\n")?;
    writeln!(out, "From opening the connection to having the whole first key frame.\n")?;
    writeln!(out, "| server | viewers timed | median ms | p95 ms | worst ms |\n|---|---|---|---|---|")?;
    for (name, times) in &results.joins {
        let ms = |share| format!("{:.1}", quantile(times, share).as_secs_f64() * 1e3);
        writeln!(out, "| {name} | {} | {} | {} | {} |", times.len(), ms(0.5), ms(0.95), ms(1.0))?;
    }
    writeln!(out, "\nnginx-rtmp keeps no GOP, so its viewers wait for the next key frame.")?;
    Ok(())
}

fn publishers(out: &mut String, results: &Results, thorough: &Thorough, clip: &Clip) -> Result<()> {
    writeln!(out, "\n## {} publishers, nobody watching\n", thorough.publishers)?;
    writeln!(out, "| server | KiB a publisher | CPU ms for each second of a stream |\n|---|---|---|")?;
    for (name, taking_in) in &results.taking_in {
        writeln!(out, "| {name} | {:.0} | {:.2} |", taking_in.rss_kib, taking_in.cpu_ms)?;
    }
    writeln!(
        out,
        "\nFluorite keeps {} s of each stream, at most {:.0} KiB of frames on the average; nginx-rtmp keeps nothing.",
        RING_MS / 1000,
        ring_kib(clip)
    )?;
    Ok(())
}

fn recording(out: &mut String, results: &Results, thorough: &Thorough) -> Result<()> {
    writeln!(out, "\n## {} publishers, recorded\n", thorough.publishers)?;
    writeln!(
        out,
        "Each is recorded to cloud storage on the disk, in parts of a second and segments of {} s (60 s by default); \
         nginx-rtmp records each to an FLV file. CPU time includes receiving.\n",
        SEGMENT.as_secs()
    )?;
    writeln!(
        out,
        "| server | KiB a publisher | CPU ms for each second of a stream | writes | syncs |\n|---|---|---|---|---|"
    )?;
    for Recording { name, cost, disk } in &results.recording {
        let (writes, syncs) = disk
            .map_or(("–".into(), "–".into()), |(writes, syncs)| (format!("{writes:.2}"), format!("{syncs:.2}")));
        writeln!(out, "| {name} | {:.0} | {:.2} | {writes} | {syncs} |", cost.rss_kib, cost.cpu_ms)?;
    }
    writeln!(out, "\nWrites to files and syncs of files are of each second of a stream.")?;
    Ok(())
}

/// What it is to open an address or to seek, in tables and aims.
fn waits(playback: &Playback) -> [(String, &[Duration]); 2] {
    let whose = match playback.storage {
        Storage::Cloud => "cloud storage",
        Storage::Card => "a camera's card",
    };
    [(format!("{whose}, first picture"), &playback.first), (format!("{whose}, a seek"), &playback.seek)]
}

fn footage(out: &mut String, playbacks: &[Playback]) -> Result<()> {
    writeln!(out, "\n## Footage\n")?;
    writeln!(
        out,
        "From opening the connection, or from the command to seek, to having the whole first key frame of that moment; \
         moments spread over all there is, over RTMP and HTTP-FLV in turn, seeks over RTMP. Cloud storage has the \
         publisher's 1080p, which goes on; the camera is a virtual one that speaks ONVIF.\n"
    )?;
    writeln!(out, "| footage of | timed | median ms | p95 ms | worst ms |\n|---|---|---|---|---|")?;
    for (name, times) in playbacks.iter().flat_map(waits) {
        let ms = |share| format!("{:.1}", quantile(times, share).as_secs_f64() * 1e3);
        writeln!(out, "| {name} | {} | {} | {} | {} |", times.len(), ms(0.5), ms(0.95), ms(1.0))?;
    }
    Ok(())
}

fn commands(out: &mut String, thorough: &Thorough, seen: &Control) -> Result<()> {
    let (devices, pairs) = thorough.turned;
    writeln!(out, "\n## Commands to devices\n")?;
    writeln!(
        out,
        "{pairs} times `ptz/start` and `ptz/stop` over {devices} ONVIF cameras, at most {} commands a second. The cameras' own time is taken \
         before each of them, from a question's last byte to its answer; the rest of the answer time is the \
         server's, its database and the loopback interface included.\n",
        control::CLIENTS * 1000 / control::PACE.as_millis() as usize
    )?;
    writeln!(out, "| time | median ms | p99 ms | worst ms |\n|---|---|---|---|")?;
    for (name, times) in [("the server's", &seen.own), ("the camera's", &seen.device)] {
        let ms = |share| format!("{:.2}", quantile(times, share).as_secs_f64() * 1e3);
        writeln!(out, "| {name} | {} | {} | {} |", ms(0.5), ms(0.99), ms(1.0))?;
    }
    writeln!(out, "\nThe server's memory grew by {:.0} KiB meanwhile.", seen.grown_kib)?;
    Ok(())
}

fn recordings(out: &mut String, thorough: &Thorough, times: &[Duration]) -> Result<()> {
    let (channels, asked) = thorough.index;
    writeln!(out, "\n## The index of recordings\n")?;
    writeln!(
        out,
        "`video/by/time` for one day of one channel, {asked} times, each time another day of another channel, of {channels} \
         channels with {} days of 1,440 segments each: {:.1} million rows in SQLite.\n",
        index::DAYS,
        channels as f64 * index::DAYS as f64 * 1440e-6
    )?;
    writeln!(out, "| median ms | p99 ms | worst ms |\n|---|---|---|")?;
    let ms = |share| format!("{:.2}", quantile(times, share).as_secs_f64() * 1e3);
    writeln!(out, "| {} | {} | {} |", ms(0.5), ms(0.99), ms(1.0))?;
    Ok(())
}

/// What was promised, and what came out.
fn aims(out: &mut String, results: &Results, plan: &Plan, clip: &Clip) -> Result<()> {
    writeln!(out, "\n## Aims\n\n| aim | measured | |\n|---|---|---|")?;
    let mut line = |aim: String, measured: f64, at_most: f64| {
        writeln!(
            out,
            "| {aim} ≤ {at_most} | {measured:.2} | {} |",
            if measured <= at_most { "met" } else { "**missed**" }
        )
    };
    for &n in &plan.viewers {
        let ratio = |a, b| Some(cpu(find(results, n, a)?) / cpu(find(results, n, b)?));
        for (setting, word, lag_max, floor_max) in
            [(Setting::Prompt, "prompt", 25.0, 1.3), (Setting::Thrifty, "thrifty", 150.0, 1.5)]
        {
            for (subject, over) in [(Subject::Rtmp(setting), "RTMP"), (Subject::Flv(setting), "HTTP-FLV")] {
                let Some(row) = find(results, n, subject) else { continue };
                line(format!("{n} viewers, {word}, {over}: mean lag in ms"), lag(row), lag_max)?;
                if let Some(ratio) = ratio(subject, floor_of(subject)) {
                    line(format!("{n} viewers, {word}, {over}: CPU over the floor"), ratio, floor_max)?;
                }
                if setting == Setting::Prompt
                    && let Some(ratio) = ratio(subject, Subject::Nginx)
                {
                    line(format!("{n} viewers, {word}, {over}: CPU over nginx"), ratio, 0.75)?;
                }
                let trouble = sum(row, |seen| seen.stalled as u64 + seen.lost as u64 + seen.missing);
                line(format!("{n} viewers, {word}, {over}: stalled, lost, missing pictures"), trouble as f64, 0.0)?;
            }
            if let Some(ratio) = ratio(Subject::Flv(setting), Subject::Rtmp(setting)) {
                line(format!("{n} viewers, {word}: CPU of HTTP-FLV over RTMP"), ratio, 1.1)?;
            }
        }
    }
    for (subject, kib) in results.memory.iter().filter(|(subject, _)| *subject != Subject::Nginx) {
        line(format!("{}: KiB a viewer", subject.name()), *kib, 6.0)?;
    }
    for (name, times) in results.joins.iter().filter(|(name, _)| name.starts_with("Fluorite")) {
        if name.contains("not yet pulled") {
            line(
                format!("{name}: p95 to the first key frame in ms"),
                quantile(times, 0.95).as_secs_f64() * 1e3,
                1500.0,
            )?;
        } else {
            line(
                format!("{name}: median to the first key frame in ms"),
                quantile(times, 0.5).as_secs_f64() * 1e3,
                2.0,
            )?;
            line(
                format!("{name}: p95 to the first key frame in ms"),
                quantile(times, 0.95).as_secs_f64() * 1e3,
                300.0,
            )?;
        }
    }
    for (name, taking_in) in results.taking_in.iter().filter(|(name, _)| *name == "Fluorite") {
        line(format!("{name}: KiB a publisher beside its ring"), taking_in.rss_kib - ring_kib(clip), 100.0)?;
    }
    if let [ours, peer] = &results.recording[..] {
        line("recording: CPU over nginx-rtmp".into(), ours.cost.cpu_ms / peer.cost.cpu_ms, 1.0)?;
        line("recording: MiB a stream beside its ring".into(), (ours.cost.rss_kib - ring_kib(clip)) / 1024.0, 2.0)?;
        if let Some((writes, syncs)) = ours.disk {
            // One a part, and one each for a segment's beginning and its end. A stream may begin a segment in
            // the moment by which the counting takes longer than it should.
            let hundredths = |most: f64| (most * 101.0).ceil() / 100.0;
            let segments = 1.0 / SEGMENT.as_secs_f64();
            line("recording: writes each second of a stream".into(), writes, hundredths(1.0 + 2.0 * segments))?;
            line("recording: syncs each second of a stream".into(), syncs, hundredths(1.0 / SYNC_S + segments))?;
        }
    }
    for playback in &results.playback {
        let most_ms = match playback.storage {
            Storage::Cloud => 500.0,
            Storage::Card => 2000.0,
        };
        for (name, times) in waits(playback) {
            line(format!("{name}: p95 in ms"), quantile(times, 0.95).as_secs_f64() * 1e3, most_ms)?;
        }
    }
    if let Some(percent) = results.sound {
        line("sound made into AAC: percent of a core for each stream".into(), percent, 1.0)?;
    }
    if !results.index.is_empty() {
        line("index: p99 of a day's recordings in ms".into(), quantile(&results.index, 0.99).as_secs_f64() * 1e3, 5.0)?;
    }
    if let Some(seen) = &results.control {
        line(
            "commands: p99 of the server's own time in ms".into(),
            quantile(&seen.own, 0.99).as_secs_f64() * 1e3,
            5.0,
        )?;
        line("commands: KiB that memory grew by".into(), seen.grown_kib, 1024.0)?;
    }
    Ok(())
}

/// KiB of frames in a ring, payload and [`av::Frame`], when all rings together are fullest: a process keeps
/// the memory it once needed. The publishers play the clip at most a GOP apart.
fn ring_kib(clip: &Clip) -> f64 {
    const STEP_MS: u32 = 40;
    let steps = (clip.length_ms / STEP_MS) as usize;
    let mut written = vec![0; steps];
    for tag in &clip.frames {
        written[(tag.timestamp_ms / STEP_MS) as usize % steps] += tag.body.len() + size_of::<av::Frame>();
    }
    let held =
        |at: usize| (0..RING_MS / STEP_MS).map(|ago| written[(at + steps - ago as usize) % steps]).sum::<usize>();
    let apart = (GOP_S * 1000 / STEP_MS) as usize;
    let together = |at: usize| (0..apart).map(|ago| held((at + steps - ago) % steps)).sum::<usize>() / apart;
    (0..steps).map(together).max().unwrap_or_default() as f64 / 1024.0
}

fn find(results: &Results, viewers: usize, subject: Subject) -> Option<&Fanout> {
    results.fanout.iter().find(|row| row.viewers == viewers && row.subject == subject)
}

fn floor_of(subject: Subject) -> Subject {
    match subject {
        Subject::Rtmp(Setting::Thrifty) | Subject::Flv(Setting::Thrifty) => Subject::Floor(Floor::Block),
        Subject::Floor(floor) => Subject::Floor(floor),
        _ => Subject::Floor(Floor::Frame),
    }
}

fn cpu(row: &Fanout) -> f64 {
    median(row.rounds.iter().map(|cost| cost.cpu_s_per_gb).collect())
}

fn lag(row: &Fanout) -> f64 {
    median(row.rounds.iter().map(|cost| cost.seen.mean_lag_ms()).collect())
}

fn sum(row: &Fanout, count: impl Fn(&Seen) -> u64) -> u64 {
    row.rounds.iter().map(|cost| count(&cost.seen)).sum()
}

/// The middle one, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        even if even.is_multiple_of(2) => (values[middle - 1] + values[middle]) / 2.0,
        _ => values[middle],
    }
}

fn quantile(times: &[Duration], share: f64) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    let at = (share * times.len() as f64).ceil() as usize;
    times.get(at.saturating_sub(1)).copied().unwrap_or_default()
}

/// Machine, versions, command.
fn facts(binary: &Path, plan: &Plan) -> Vec<(&'static str, String)> {
    let command = if plan.is_full() { "`make bench`" } else { "a part of `make bench`" };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu = proc_value("/proc/cpuinfo", "model name");
    let memory_kib: f64 = proc_value("/proc/meminfo", "MemTotal").trim_end_matches("kB").trim().parse().unwrap_or(0.0);
    let fluorite = first_line(Command::new(binary).arg("--version"));
    let commit = first_line(Command::new("git").args(["describe", "--always", "--dirty", "--exclude", "*"]));
    vec![
        ("date", first_line(Command::new("date").args(["-u", "+%Y-%m-%d"]))),
        ("machine", format!("{cores} × {cpu}, {:.0} GiB", memory_kib / 1024.0 / 1024.0)),
        ("system", first_line(Command::new("uname").arg("-sr"))),
        ("Fluorite", format!("{fluorite}, commit {commit}, release build")),
        (
            "peer",
            format!("{}, libnginx-mod-rtmp with its defaults", first_line(Command::new("/usr/sbin/nginx").arg("-v"))),
        ),
        ("clip", first_line(Command::new("ffmpeg").arg("-version"))),
        ("command", command.into()),
    ]
}

fn proc_value(path: &str, key: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("unknown");
    line.trim_start_matches([' ', '\t', ':']).trim().to_owned()
}

fn first_line(command: &mut Command) -> String {
    let Ok(output) = command.output() else { return "unknown".into() };
    // nginx tells its version on standard error.
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    String::from_utf8_lossy(&text).lines().next().unwrap_or("unknown").to_owned()
}
