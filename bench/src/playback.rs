//! How soon footage is seen: the first picture of an address, and the first one after a seek.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use camera::{Camera, CardConfig, Config, VideoConfig};
use tokio::runtime::Runtime;

use crate::clip::Clip;
use crate::control::{PASSWORD, USER};
use crate::publisher::Publisher;
use crate::server::{Fluorite, Setting, Storage};
use crate::viewer::Player;

/// What is recorded before anybody looks: a few segments.
const RECORDED: Duration = Duration::from_secs(45);
/// Nobody begins in the last moments of what there is.
const MARGIN_MS: i64 = 4_000;

/// How soon footage of one kind of storage is seen.
pub struct Playback {
    /// Where it is kept.
    pub storage: Storage,
    /// From opening a connection to having the whole first key frame, over RTMP and HTTP-FLV in turn.
    pub first: Vec<Duration>,
    /// The same from a seek on, over RTMP.
    pub seek: Vec<Duration>,
}

/// Opens `count` addresses each of what the server has recorded and of a camera's own card.
///
/// # Errors
/// When a server or a camera cannot be run, or something does not play.
pub fn measure(binary: &Path, clip: &Arc<Clip>, count: usize) -> Result<[Playback; 2]> {
    let fluorite = Fluorite::start(binary, Setting::Default, false)?;
    let attached = fluorite.attach_publisher()?;
    let _publisher = Publisher::start(&attached.publish, clip)?;
    fluorite.record(&attached)?;
    thread::sleep(RECORDED);
    let cloud = watch(&fluorite, &attached.serial, Storage::Cloud, count)?;

    let (runtime, folder) = (Runtime::new()?, tempfile::tempdir()?);
    let card = CardConfig { record: false, samples: true, ..CardConfig::new(folder.path()) };
    let config = Config { password: PASSWORD.into(), main: VideoConfig::MAIN, card: Some(card), ..Config::default() };
    let camera = runtime.block_on(Camera::start(config))?;
    runtime.block_on(camera.card().context("a card")?.ready());
    let serial = fluorite.attach_camera(&camera.onvif_url(), USER, PASSWORD)?;
    let card = watch(&fluorite, &serial, Storage::Card, count)?;
    Ok([cloud, card])
}

fn watch(fluorite: &Fluorite, serial: &str, storage: Storage, count: usize) -> Result<Playback> {
    let found = fluorite.recordings(serial, storage)?;
    let mut seen = Playback { storage, first: Vec::new(), seek: Vec::new() };
    for n in 0..2 * count {
        let (from, to) = found[n % found.len()];
        let length = to - from - MARGIN_MS;
        ensure!(length > 0, "{serial} has only {from}–{to}");
        // Steps of the golden ratio come near every moment, and no two alike.
        let moment = |n: usize| (n as f64 * 0.618_034).fract();
        let begin = from + (moment(n) * length as f64) as i64;
        let rtmp = n % 2 == 0;
        let address = fluorite.footage_address(serial, storage, (begin, to), if rtmp { 3 } else { 4 })?;
        let at = Instant::now();
        let mut player = Player::open(&address)?;
        seen.first.push(player.key_frame().with_context(|| format!("{storage:?} from {begin}"))? - at);
        if rtmp {
            let elsewhere = (moment(n + 1) * (to - begin - MARGIN_MS).max(1_000) as f64) as u32;
            let at = Instant::now();
            player.seek(elsewhere)?;
            seen.seek.push(player.key_frame().with_context(|| format!("{storage:?}, sought {elsewhere} ms"))? - at);
        }
    }
    Ok(seen)
}
