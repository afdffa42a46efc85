//! The scenarios.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::clip::{Clip, GOP_S};
use crate::control::{self, Control};
use crate::floor::Floor;
use crate::index;
use crate::load::{Load, Seen};
use crate::playback::{self, Playback};
use crate::process::Process;
use crate::publisher::Publisher;
use crate::record::{self, Recording};
use crate::server::{Fluorite, Nginx, Setting};
use crate::sound;
use crate::viewer::{Address, first_key_frame};

/// From one key frame of the clip to the next.
pub const GOP: Duration = Duration::from_secs(GOP_S as u64);

/// How much is measured.
pub struct Plan {
    /// Numbers of viewers.
    pub viewers: Vec<usize>,
    /// Times each scenario is run; they alternate, so that all see the same weather.
    pub rounds: usize,
    /// How long bytes are counted.
    pub window: Duration,
    /// Late viewers timed.
    pub joins: usize,
    /// Late viewers timed at the peer, which lets them wait for a key frame.
    pub peer_joins: usize,
    /// What takes its time: memory, publishers, and cold starts.
    pub thorough: Option<Thorough>,
    /// Only measurements with this word in their name: what a viewer costs at a server, `first picture`,
    /// `memory`, `publishers`, `record`, `playback`, `control`, `sound`, `index`.
    pub only: Option<String>,
}

/// What a quick look leaves out.
pub struct Thorough {
    /// Publishers at once.
    pub publishers: usize,
    /// Cameras that are turned, and how often in all.
    pub turned: (usize, usize),
    /// Streams whose sound is made into AAC.
    pub derived: usize,
    /// Cold starts timed.
    pub cold_starts: usize,
    /// Addresses of footage opened over each protocol, of each storage.
    pub playbacks: usize,
    /// Channels in an index of a month, and how often it is asked for a day.
    pub index: (usize, usize),
}

impl Plan {
    /// Everything, in about 20 minutes.
    pub fn full() -> Plan {
        Plan {
            viewers: vec![500, 1000],
            rounds: 2,
            window: Duration::from_secs(7),
            joins: 100,
            peer_joins: 10,
            thorough: Some(Thorough {
                publishers: 50,
                turned: (100, 10_000),
                derived: 20,
                cold_starts: 15,
                playbacks: 50,
                index: (1_000, 2_000),
            }),
            only: None,
        }
    }

    /// A look, in about a minute.
    pub fn quick() -> Plan {
        Plan {
            viewers: vec![200],
            rounds: 1,
            window: Duration::from_secs(2),
            joins: 30,
            peer_joins: 3,
            thorough: None,
            only: None,
        }
    }
}

impl Plan {
    /// Whether the results are worth keeping.
    pub fn is_full(&self) -> bool {
        self.only.is_none() && self.thorough.is_some()
    }

    fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|word| name.contains(word.as_str()))
    }
}

/// Who serves the viewers, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Writes and nothing else.
    Floor(Floor),
    /// nginx-rtmp.
    Nginx,
    /// Fluorite over RTMP.
    Rtmp(Setting),
    /// Fluorite over HTTP-FLV.
    Flv(Setting),
}

impl Subject {
    /// All of them, each floor beside those it is the floor of.
    pub const ALL: [Subject; 7] = [
        Subject::Floor(Floor::Frame),
        Subject::Nginx,
        Subject::Rtmp(Setting::Prompt),
        Subject::Flv(Setting::Prompt),
        Subject::Floor(Floor::Block),
        Subject::Rtmp(Setting::Thrifty),
        Subject::Flv(Setting::Thrifty),
    ];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Subject::Floor(Floor::Frame) => "floor, a write a video frame",
            Subject::Floor(Floor::Block) => "floor, a write each 64 KiB",
            Subject::Nginx => "nginx-rtmp, RTMP",
            Subject::Rtmp(Setting::Prompt) => "Fluorite prompt, RTMP",
            Subject::Rtmp(Setting::Thrifty) => "Fluorite thrifty, RTMP",
            Subject::Rtmp(Setting::Default) => "Fluorite, RTMP",
            Subject::Flv(Setting::Prompt) => "Fluorite prompt, HTTP-FLV",
            Subject::Flv(Setting::Thrifty) => "Fluorite thrifty, HTTP-FLV",
            Subject::Flv(Setting::Default) => "Fluorite, HTTP-FLV",
        }
    }
}

/// What viewers cost once.
#[derive(Clone, Debug)]
pub struct Cost {
    /// CPU seconds of the server for each 10⁹ bytes its viewers received.
    pub cpu_s_per_gb: f64,
    /// What the viewers saw.
    pub seen: Seen,
}

/// One subject with one number of viewers, all rounds.
pub struct Fanout {
    /// Viewers.
    pub viewers: usize,
    /// Who served them.
    pub subject: Subject,
    /// One for each round.
    pub rounds: Vec<Cost>,
}

/// What publishers cost.
pub struct TakingIn {
    /// Memory for each publisher, in KiB.
    pub rss_kib: f64,
    /// CPU milliseconds for each second of each stream.
    pub cpu_ms: f64,
}

/// Everything measured.
#[derive(Default)]
pub struct Results {
    /// Viewers.
    pub fanout: Vec<Fanout>,
    /// Who served, and memory of the server for each viewer, in KiB.
    pub memory: Vec<(Subject, f64)>,
    /// Name, and times to the first key frame.
    pub joins: Vec<(&'static str, Vec<Duration>)>,
    /// Name, and what publishers cost.
    pub taking_in: Vec<(&'static str, TakingIn)>,
    /// What it costs to record publishers.
    pub recording: Vec<Recording>,
    /// How soon footage is seen.
    pub playback: Vec<Playback>,
    /// What commands to devices cost.
    pub control: Option<Control>,
    /// CPU of one derived AAC track, percent of a core.
    pub sound: Option<f64>,
    /// Answer times of the index of recordings.
    pub index: Vec<Duration>,
}

/// A server with one stream that is being published.
struct Running {
    // Ends before the server does.
    _publisher: Option<Publisher>,
    server: Server,
    address: Address,
}

enum Server {
    Floor(Process),
    Nginx(Nginx),
    Fluorite(Box<Fluorite>),
}

impl Running {
    fn start(subject: Subject, binary: &Path, clip: &Arc<Clip>) -> Result<Running> {
        Ok(match subject {
            Subject::Floor(floor) => {
                let mut command = Command::new(std::env::current_exe()?);
                let (process, line) = Process::start_with_line(command.arg("floor").arg(floor.name()))?;
                let port = line.trim().parse().context("the floor has no port")?;
                Running { _publisher: None, server: Server::Floor(process), address: Address::Raw(port) }
            }
            Subject::Nginx => {
                let nginx = Nginx::start(None)?;
                let stream = nginx.stream("clip")?;
                let publisher = Publisher::start(&stream.publish, clip)?;
                Running { _publisher: Some(publisher), server: Server::Nginx(nginx), address: stream.rtmp }
            }
            Subject::Rtmp(setting) | Subject::Flv(setting) => {
                let fluorite = Fluorite::start(binary, setting, false)?;
                let attached = fluorite.attach_publisher()?;
                let publisher = Publisher::start(&attached.publish, clip)?;
                let stream = fluorite.stream(&attached)?;
                let flv = matches!(subject, Subject::Flv(_));
                let address = if flv { stream.flv.context("no FLV address")? } else { stream.rtmp };
                Running { _publisher: Some(publisher), server: Server::Fluorite(Box::new(fluorite)), address }
            }
        })
    }

    fn process(&self) -> &Process {
        match &self.server {
            Server::Floor(process) => process,
            Server::Nginx(nginx) => &nginx.process,
            Server::Fluorite(fluorite) => &fluorite.process,
        }
    }
}

/// Runs the whole plan.
///
/// # Errors
/// When a server cannot be run or a viewer cannot get in.
pub fn run(plan: &Plan, binary: &Path, clip: &Arc<Clip>) -> Result<Results> {
    let mut results = Results::default();
    for round in 0..plan.rounds {
        for &viewers in &plan.viewers {
            for subject in Subject::ALL.into_iter().filter(|subject| plan.wants(subject.name())) {
                let cost = fan_out(plan, subject, viewers, binary, clip)
                    .with_context(|| format!("{subject:?} with {viewers} viewers"))?;
                eprintln!(
                    "round {} {viewers:>5} {subject:?}: {:.3} s/GB, lag {:.1} ms, {:?}",
                    round + 1,
                    cost.cpu_s_per_gb,
                    cost.seen.mean_lag_ms(),
                    cost.seen
                );
                match results.fanout.iter_mut().find(|row| row.viewers == viewers && row.subject == subject) {
                    Some(row) => row.rounds.push(cost),
                    None => results.fanout.push(Fanout { viewers, subject, rounds: vec![cost] }),
                }
            }
        }
    }
    if plan.wants("first picture") {
        for (name, subject, count) in [
            ("Fluorite, RTMP", Subject::Rtmp(Setting::Default), plan.joins),
            ("Fluorite, HTTP-FLV", Subject::Flv(Setting::Default), plan.joins),
            ("nginx-rtmp, RTMP", Subject::Nginx, plan.peer_joins),
        ] {
            results.joins.push((name, warm_joins(subject, count, binary, clip).context(name)?));
        }
    }
    let Some(thorough) = &plan.thorough else { return Ok(results) };
    if plan.wants("first picture") {
        let cold = cold_joins(thorough.cold_starts, binary)?;
        results.joins.push(("Fluorite, RTMP, camera not yet pulled", cold));
    }
    if plan.wants("memory") {
        let most = plan.viewers.iter().copied().max().unwrap_or_default();
        for subject in [Subject::Nginx, Subject::Rtmp(Setting::Prompt), Subject::Flv(Setting::Prompt)] {
            results.memory.push((subject, memory(subject, most, binary, clip)?));
        }
    }
    if plan.wants("publishers") {
        results.taking_in.push(("Fluorite", fluorite_takes_in(thorough.publishers, binary, clip)?));
        results.taking_in.push(("nginx-rtmp", nginx_takes_in(thorough.publishers, clip)?));
    }
    if plan.wants("record") {
        results.recording = record::measure(thorough.publishers, binary, clip)?;
    }
    if plan.wants("playback") {
        results.playback = playback::measure(binary, clip, thorough.playbacks)?.into();
    }
    if plan.wants("control") {
        let (devices, pairs) = thorough.turned;
        let fluorite = Fluorite::start(binary, Setting::Default, false)?;
        results.control = Some(control::measure(&fluorite, devices, pairs)?);
    }
    if plan.wants("sound") {
        results.sound = Some(sound::measure(thorough.derived, binary, clip)?);
    }
    if plan.wants("index") {
        let (channels, asked) = thorough.index;
        results.index = index::measure(binary, channels, asked)?;
    }
    Ok(results)
}

fn fan_out(plan: &Plan, subject: Subject, viewers: usize, binary: &Path, clip: &Arc<Clip>) -> Result<Cost> {
    let server = Running::start(subject, binary, clip)?;
    let mut load = Load::new(&server.address)?;
    load.grow_to(viewers)?;
    // Past the burst of the beginning, in which everybody gets a GOP at once.
    load.run_for(GOP)?;
    let cpu = server.process().cpu_s()?;
    let seen = load.watch(plan.window)?;
    let cpu = server.process().cpu_s()? - cpu;
    anyhow::ensure!(seen.bytes > 0, "nobody received anything");
    Ok(Cost { cpu_s_per_gb: cpu * 1e9 / seen.bytes as f64, seen })
}

/// Memory of the server for each viewer, in KiB.
fn memory(subject: Subject, viewers: usize, binary: &Path, clip: &Arc<Clip>) -> Result<f64> {
    let server = Running::start(subject, binary, clip)?;
    let mut load = Load::new(&server.address)?;
    // The first tenth makes what all share, and waits until rings are as full as they get; only what the
    // others add is theirs.
    let few = viewers / 10;
    load.grow_to(few)?;
    load.run_for(3 * GOP)?;
    let before = mean_rss(&server, &mut load)?;
    load.grow_to(viewers)?;
    load.run_for(GOP)?;
    let after = mean_rss(&server, &mut load)?;
    Ok((after - before) / (viewers - few) as f64)
}

/// Memory over one GOP, since what a server keeps grows and shrinks with it.
fn mean_rss(server: &Running, load: &mut Load) -> Result<f64> {
    const LOOKS: u32 = 10;
    let mut sum = 0.0;
    for _ in 0..LOOKS {
        load.run_for(GOP / LOOKS)?;
        sum += server.process().rss_kib()?;
    }
    Ok(sum / f64::from(LOOKS))
}

/// Late viewers of a stream that somebody watches already.
fn warm_joins(subject: Subject, count: usize, binary: &Path, clip: &Arc<Clip>) -> Result<Vec<Duration>> {
    let server = Running::start(subject, binary, clip)?;
    let mut load = Load::new(&server.address)?;
    load.grow_to(1)?;
    load.run_for(GOP)?;
    let mut times = Vec::new();
    for _ in 0..count {
        times.push(first_key_frame(&server.address)?);
        // Another place in the GOP each time.
        load.run_for(Duration::from_millis(73))?;
    }
    Ok(times)
}

/// Viewers of a virtual camera that nobody watches: the server dials it, asks for a key frame, and
/// hangs up when the viewer has left.
fn cold_joins(count: usize, binary: &Path) -> Result<Vec<Duration>> {
    let fluorite = Fluorite::start(binary, Setting::Default, true)?;
    let address = fluorite.trial_address()?;
    let mut times = Vec::new();
    for _ in 0..count {
        times.push(first_key_frame(&address).context("no first picture of the trial camera")?);
        // Longer than the server keeps pulling after its last viewer.
        std::thread::sleep(Duration::from_millis(1500));
    }
    Ok(times)
}

fn fluorite_takes_in(count: usize, binary: &Path, clip: &Arc<Clip>) -> Result<TakingIn> {
    let fluorite = Fluorite::start(binary, Setting::Default, false)?;
    let publish = |_| Publisher::start(&fluorite.attach_publisher()?.publish, clip);
    Ok(take_in(&fluorite.process, count, publish, 3 * GOP, TAKE_IN_WINDOW, || Ok(()))?.0)
}

fn nginx_takes_in(count: usize, clip: &Arc<Clip>) -> Result<TakingIn> {
    let nginx = Nginx::start(None)?;
    let publish = |i| Publisher::start(&nginx.stream(&format!("clip{i}"))?.publish, clip);
    Ok(take_in(&nginx.process, count, publish, 3 * GOP, TAKE_IN_WINDOW, || Ok(()))?.0)
}

const TAKE_IN_WINDOW: Duration = Duration::from_secs(6);

/// Starts `count` publishers, lets them settle, and counts over `window`. Gives too what `look` saw when
/// that began and when it ended.
pub fn take_in<T>(
    process: &Process,
    count: usize,
    publish: impl Fn(usize) -> Result<Publisher>,
    settle: Duration,
    window: Duration,
    mut look: impl FnMut() -> Result<T>,
) -> Result<(TakingIn, [T; 2])> {
    // The first few make what all share; only what the others add is theirs.
    let few = count / 10;
    let mut publishers = (0..few).map(&publish).collect::<Result<Vec<_>>>()?;
    // Until rings are as full as they get.
    std::thread::sleep(3 * GOP);
    let before = process.rss_kib()?;
    for i in few..count {
        publishers.push(publish(i)?);
        // Spread over GOPs, as cameras are.
        std::thread::sleep(GOP / (count - few) as u32);
    }
    std::thread::sleep(settle);
    let (cpu, first) = (process.cpu_s()?, look()?);
    std::thread::sleep(window);
    let (cpu, last) = (process.cpu_s()? - cpu, look()?);
    let rss_kib = (process.rss_kib()? - before) / (count - few) as f64;
    Ok((TakingIn { rss_kib, cpu_ms: cpu * 1000.0 / window.as_secs_f64() / count as f64 }, [first, last]))
}
