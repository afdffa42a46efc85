//! One video source of a camera, and everything it can be told: whatever the dialect, each ability
//! has its one home here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use av::still;
use bytes::Bytes;

use crate::Error;
use crate::clock::Clock;
use crate::config::{Config, Quality, SoundConfig, VideoConfig};
use crate::feed::Stream;
use crate::lens::Lens;
use crate::live::blocking;
use crate::ptz::{Axes, Ptz, Status};
use crate::replay::Clip;
use crate::scene::{Picture, Scene};
use crate::speaker::Speaker;
use crate::stats::Counters;
use crate::viewfinder::{Area, Caption, Flip, LazyScene, Sight, Viewfinder};

/// Presets a channel keeps.
pub const PRESETS_MAX: u16 = 16;

/// A stored position of the motor.
#[derive(Clone, Debug, PartialEq)]
pub struct Preset {
    /// From 1 to [`PRESETS_MAX`].
    pub number: u16,
    /// For people.
    pub name: String,
    /// Pan and tilt -1 to 1, zoom 0 to 1.
    pub position: [f32; 3],
}

/// Why a preset cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PresetError {
    /// [`PRESETS_MAX`] are kept already.
    #[error("no room for another preset")]
    Full,
    /// There is none of that number.
    #[error("no such preset")]
    Unknown,
}

/// A privacy mask.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mask {
    /// What it hides.
    pub area: Area,
    /// Whether it hides now.
    pub enabled: bool,
}

/// What can be adjusted.
#[derive(Default)]
struct Settings {
    ptz: Ptz,
    lens: Lens,
    flip: Flip,
    mask: Option<Mask>,
    presets: BTreeMap<u16, Preset>,
}

/// One video source.
pub struct Channel {
    number: u16,
    name: String,
    config: Arc<Config>,
    clock: Clock,
    counters: Arc<Counters>,
    /// What is sent again and again instead of drawing.
    clip: Option<Arc<Clip>>,
    scene: LazyScene,
    streams: [Stream; 2],
    settings: Mutex<Settings>,
    speaker: Speaker,
    /// Held while a still picture is made: a flood of requests shall not fill the machine.
    still: tokio::sync::Mutex<()>,
}

impl Channel {
    /// Channel `number`, from 1, of a camera. `streams` are its main and its sub stream.
    pub(crate) fn new(
        number: u16,
        config: Arc<Config>,
        clock: Clock,
        counters: Arc<Counters>,
        clip: Option<Arc<Clip>>,
        streams: [Stream; 2],
    ) -> Channel {
        let name = match config.channels {
            1 => config.name.clone(),
            _ => format!("{} {number}", config.name),
        };
        // Neighbouring seeds belong to neighbouring cameras.
        let seed = config.scene_seed.wrapping_add(u64::from(number - 1) << 32);
        Channel {
            number,
            name,
            clock,
            counters,
            clip,
            scene: LazyScene { seed, drawn: Arc::default() },
            streams,
            settings: Mutex::default(),
            speaker: Speaker::new(config.speaker.as_deref().map(|path| file_of(path, number))),
            still: tokio::sync::Mutex::default(),
            config,
        }
    }

    /// From 1.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Its name: the camera's own, with the number where there are several.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How pictures of a stream are made.
    pub fn video(&self, quality: Quality) -> VideoConfig {
        self.config.video(quality)
    }

    /// Codec of the sound.
    pub(crate) fn sound(&self) -> SoundConfig {
        self.config.sound
    }

    /// Local time minus UTC.
    pub(crate) fn utc_offset_minutes(&self) -> i16 {
        self.config.utc_offset_minutes
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().expect("no holder panics")
    }

    /// Orders the motor about: `order` gets it with the time that its methods want.
    pub fn ptz<T>(&self, order: impl FnOnce(&mut Ptz, Duration) -> T) -> T {
        // The lock before the time: orders carry times that never fall.
        let mut settings = self.settings();
        let now = self.clock.elapsed();
        order(&mut settings.ptz, now)
    }

    /// Where it looks now, and whether it moves.
    pub fn ptz_status(&self) -> Status {
        self.ptz(|ptz, now| ptz.status(now))
    }

    /// Its presets by number.
    pub fn presets(&self) -> Vec<Preset> {
        self.settings().presets.values().cloned().collect()
    }

    /// Stores where it stands under the lowest free number, which it answers; without a name the
    /// number becomes the name.
    ///
    /// # Errors
    /// [`PresetError::Full`].
    pub fn preset_add(&self, name: Option<String>) -> Result<u16, PresetError> {
        let mut settings = self.settings();
        let free = (1..=PRESETS_MAX).find(|number| !settings.presets.contains_key(number));
        let number = free.ok_or(PresetError::Full)?;
        settings.keep(self.clock.elapsed(), number, name);
        Ok(number)
    }

    /// Stores where it stands under a number, whether that is free or not; without a name the preset
    /// keeps the one it has.
    ///
    /// # Errors
    /// [`PresetError::Unknown`] if the number is out of range.
    pub fn preset_set(&self, number: u16, name: Option<String>) -> Result<(), PresetError> {
        if !(1..=PRESETS_MAX).contains(&number) {
            return Err(PresetError::Unknown);
        }
        self.settings().keep(self.clock.elapsed(), number, name);
        Ok(())
    }

    /// Moves to a preset, each axis at the given share of its full speed.
    ///
    /// # Errors
    /// [`PresetError::Unknown`].
    pub fn preset_goto(&self, number: u16, speed: Axes) -> Result<(), PresetError> {
        let mut settings = self.settings();
        let [pan, tilt, zoom] = settings.presets.get(&number).ok_or(PresetError::Unknown)?.position.map(Some);
        settings.ptz.move_to(self.clock.elapsed(), Axes { pan, tilt, zoom }, speed);
        Ok(())
    }

    /// Forgets a preset.
    ///
    /// # Errors
    /// [`PresetError::Unknown`].
    pub fn preset_remove(&self, number: u16) -> Result<(), PresetError> {
        self.settings().presets.remove(&number).map(drop).ok_or(PresetError::Unknown)
    }

    /// About which axes the picture is mirrored.
    pub fn flip(&self) -> Flip {
        self.settings().flip
    }

    /// Mirrors the picture.
    pub fn set_flip(&self, flip: Flip) {
        self.settings().flip = flip;
    }

    /// Whether something is hidden by the mask.
    pub fn mask(&self) -> bool {
        self.privacy_mask().is_some_and(|mask| mask.enabled)
    }

    /// Switches the mask on or off; where there is none yet, it covers the whole picture.
    pub fn set_mask(&self, enabled: bool) {
        let mut settings = self.settings();
        let area = settings.mask.map_or(Area::ALL, |mask| mask.area);
        settings.mask = Some(Mask { area, enabled });
    }

    /// Its one privacy mask.
    pub fn privacy_mask(&self) -> Option<Mask> {
        self.settings().mask
    }

    /// Sets the privacy mask, or takes it away.
    pub fn set_privacy_mask(&self, mask: Option<Mask>) {
        self.settings().mask = mask;
    }

    /// Brightness and its kin.
    pub fn lens(&self) -> Lens {
        self.settings().lens
    }

    /// Adjusts brightness and its kin.
    pub fn adjust_lens(&self, adjust: impl FnOnce(&mut Lens)) {
        adjust(&mut self.settings().lens);
    }

    /// Asks for a key frame as soon as one can be made.
    pub fn request_key_frame(&self, quality: Quality) {
        self.stream(quality).video.request_key_frame();
    }

    /// What it sees now, in the main stream's size, as JPEG; of a file that is replayed, the picture it
    /// begins with.
    ///
    /// # Errors
    /// If the file's picture cannot be decoded.
    pub async fn snapshot(&self) -> Result<Bytes, Error> {
        let _turn = self.still.lock().await;
        if let Some(clip) = self.clip.clone() {
            return blocking(move || {
                let (codec, key_frame) = clip.first_picture();
                Ok(still::jpeg(codec, key_frame)?)
            })
            .await;
        }
        let mut viewfinder = self.viewfinder(Quality::Main);
        let (elapsed, wall) = (self.clock.elapsed(), self.clock.wall());
        let sight = self.sight(elapsed);
        blocking(move || {
            let Picture { width, height, y, u, v } = viewfinder.draw(elapsed, wall, &sight);
            Ok(still::jpeg_of_i420(*width, *height, [y, u, v])?)
        })
        .await
    }

    /// Its loudspeaker.
    pub fn speaker(&self) -> &Speaker {
        &self.speaker
    }

    /// What it shows to one who looks at `elapsed` of the camera's time.
    pub(crate) fn sight(&self, elapsed: Duration) -> Sight {
        let Settings { ptz, lens, flip, mask, .. } = &*self.settings();
        let mask = mask.filter(|mask| mask.enabled).map(|mask| mask.area);
        Sight { status: ptz.status(elapsed), lens: *lens, flip: *flip, mask }
    }

    /// Draws its pictures.
    pub(crate) fn viewfinder(&self, quality: Quality) -> Viewfinder {
        let video = self.video(quality);
        let Config { serial, utc_offset_minutes, .. } = &*self.config;
        let caption =
            Caption { serial: serial.clone(), name: self.name.clone(), utc_offset_minutes: *utc_offset_minutes };
        Viewfinder::new(self.scene.clone(), caption, video.width, video.height)
    }

    /// Draws the scene ahead of the first who looks.
    pub(crate) fn prepare(&self) -> impl FnOnce() + Send + 'static {
        let scene = self.scene.clone();
        move || {
            let _: &Scene = scene.get();
        }
    }

    pub(crate) fn stream(&self, quality: Quality) -> &Stream {
        match quality {
            Quality::Main => &self.streams[0],
            Quality::Sub => &self.streams[1],
        }
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }
}

impl Settings {
    fn keep(&mut self, now: Duration, number: u16, name: Option<String>) {
        let Status { pan, tilt, zoom, .. } = self.ptz.status(now);
        let known = self.presets.get(&number).map(|preset| preset.name.clone());
        let name = name.filter(|name| !name.is_empty()).or(known).unwrap_or_else(|| number.to_string());
        self.presets.insert(number, Preset { number, name, position: [pan, tilt, zoom] });
    }
}

/// The file of a channel's speaker: `heard.wav`, `heard-2.wav`.
fn file_of(path: &Path, number: u16) -> PathBuf {
    let Some(stem) = path.file_stem().filter(|_| number > 1) else { return path.to_owned() };
    let mut name = stem.to_owned();
    name.push(format!("-{number}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}
