//! A driver whose answers the test chooses, and which remembers what it was asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use av::{Pcm, UnixMicros};
use bytes::Bytes;
use device::{
    ChannelFacts, ChannelNo, DeviceFacts, Driver, DriverError, Mirror, Position, PresetNo, Quality, Recording,
    RecordingKind, Speaker, StreamFacts, Velocity,
};
use media::StreamWriter;

/// What it takes a picture of.
pub const PICTURE: &[u8] = b"\xff\xd8\xff\xe0 gate \xff\xd9";

/// What it does when it is asked for one ability.
#[derive(Clone)]
enum Fault {
    /// Says no.
    Fails(DriverError),
    /// Never answers.
    Hangs,
}

#[derive(Default)]
struct State {
    capabilities: BTreeMap<String, String>,
    faults: BTreeMap<&'static str, Fault>,
    asked: Vec<String>,
    covered: bool,
    spoken: Vec<Pcm>,
    recordings: Vec<Recording>,
}

/// What is on the card of one that can do everything: a clip by the clock from ten to midnight on
/// 17 November 2024 in China to ten past, and one of an event at eight the next morning.
pub fn card() -> Vec<Recording> {
    let clip = |from, to, kind, bytes| Recording { from: UnixMicros(from), to: UnixMicros(to), kind, bytes };
    vec![
        clip(1_731_858_600_000_000, 1_731_859_800_000_000, RecordingKind::Timed, None),
        clip(1_731_888_000_250_000, 1_731_888_060_500_999, RecordingKind::Event, Some(1234)),
    ]
}

/// The driver; clones are the same one.
#[derive(Clone)]
pub struct Scripted(Arc<Mutex<State>>);

impl Scripted {
    /// One that can do everything.
    pub fn able() -> Scripted {
        let capabilities = [
            ("support_ptz", "1"),
            ("ptz_top_bottom", "1"),
            ("ptz_left_right", "1"),
            ("ptz_preset", "1"),
            ("ptz_center_mirror", "1"),
            ("support_privacy", "1"),
            ("support_talk", "3"),
        ];
        let capabilities = capabilities.map(|(name, value)| (name.into(), value.into())).into();
        Scripted(Arc::new(Mutex::new(State { capabilities, recordings: card(), ..State::default() })))
    }

    /// One that can do nothing, and says so.
    pub fn unable() -> Scripted {
        let scripted = Scripted::able();
        scripted.state().capabilities.clear();
        for ability in [
            "ptz_start",
            "ptz_stop",
            "preset_add",
            "preset_move",
            "preset_clear",
            "mirror",
            "mask",
            "set_mask",
            "snapshot",
            "open_speaker",
            "recordings",
        ] {
            scripted.fails(ability, DriverError::Unsupported);
        }
        scripted
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// How many capabilities it tells of.
    pub fn capabilities(&self) -> usize {
        self.state().capabilities.len()
    }

    /// Answers so from now on when it is asked for `ability`.
    pub fn fails(&self, ability: &'static str, error: DriverError) {
        self.state().faults.insert(ability, Fault::Fails(error));
    }

    /// Answers nothing from now on.
    pub fn hangs(&self, ability: &'static str) {
        self.state().faults.insert(ability, Fault::Hangs);
    }

    /// Does `ability` again.
    pub fn works(&self, ability: &'static str) {
        self.state().faults.remove(ability);
    }

    /// What it was asked since this was last called.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state().asked)
    }

    /// Has this on its card from now on.
    pub fn keeps(&self, recordings: Vec<Recording>) {
        self.state().recordings = recordings;
    }

    /// What was spoken through it.
    pub fn spoken(&self) -> Vec<Pcm> {
        self.state().spoken.clone()
    }

    async fn ask(&self, ability: &'static str, what: String) -> Result<(), DriverError> {
        let fault = {
            let mut state = self.state();
            state.asked.push(format!("{ability} {what}"));
            state.faults.get(ability).cloned()
        };
        match fault {
            None => Ok(()),
            Some(Fault::Fails(error)) => Err(error),
            Some(Fault::Hangs) => std::future::pending().await,
        }
    }
}

struct Mouth(Scripted);

#[async_trait]
impl Speaker for Mouth {
    async fn play(self: Box<Self>, sound: Pcm) -> Result<(), DriverError> {
        self.0.state().spoken.push(sound);
        Ok(())
    }
}

#[async_trait]
impl Driver for Scripted {
    async fn probe(&self) -> Result<DeviceFacts, DriverError> {
        self.ping().await?;
        let main = StreamFacts::default();
        Ok(DeviceFacts {
            model: Some("Scripted".into()),
            firmware: Some("V1.2.3 build 260101".into()),
            channels: vec![ChannelFacts { no: ChannelNo(1), name: "1".into(), main, sub: None }],
            capabilities: self.state().capabilities.clone(),
            ..DeviceFacts::default()
        })
    }

    async fn ping(&self) -> Result<(), DriverError> {
        match self.state().faults.get("ping") {
            Some(Fault::Fails(error)) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    async fn live(&self, _: ChannelNo, _: Quality, _: &mut StreamWriter) -> Result<(), DriverError> {
        Err(DriverError::Unsupported)
    }

    async fn ptz_start(&self, _: ChannelNo, velocity: Velocity) -> Result<(), DriverError> {
        self.ask("ptz_start", format!("{} {} {}", velocity.pan, velocity.tilt, velocity.zoom)).await
    }

    async fn ptz_stop(&self, channel: ChannelNo) -> Result<(), DriverError> {
        self.ask("ptz_stop", channel.to_string()).await
    }

    async fn position(&self, _: ChannelNo) -> Result<Position, DriverError> {
        Err(DriverError::Unsupported)
    }

    async fn preset_add(&self, channel: ChannelNo) -> Result<PresetNo, DriverError> {
        self.ask("preset_add", channel.to_string()).await.map(|()| PresetNo(3))
    }

    async fn preset_move(&self, _: ChannelNo, preset: PresetNo) -> Result<(), DriverError> {
        self.ask("preset_move", preset.0.to_string()).await
    }

    async fn preset_clear(&self, _: ChannelNo, preset: PresetNo) -> Result<(), DriverError> {
        self.ask("preset_clear", preset.0.to_string()).await
    }

    async fn mirror(&self, _: ChannelNo, mirror: Mirror) -> Result<(), DriverError> {
        self.ask("mirror", format!("{mirror:?}")).await
    }

    async fn mask(&self, channel: ChannelNo) -> Result<bool, DriverError> {
        self.ask("mask", channel.to_string()).await?;
        Ok(self.state().covered)
    }

    async fn set_mask(&self, _: ChannelNo, covered: bool) -> Result<(), DriverError> {
        self.ask("set_mask", covered.to_string()).await?;
        self.state().covered = covered;
        Ok(())
    }

    async fn snapshot(&self, channel: ChannelNo) -> Result<Bytes, DriverError> {
        self.ask("snapshot", channel.to_string()).await.map(|()| Bytes::from_static(PICTURE))
    }

    async fn recordings(
        &self,
        channel: ChannelNo,
        from: UnixMicros,
        to: UnixMicros,
    ) -> Result<Vec<Recording>, DriverError> {
        self.ask("recordings", format!("{channel} {} {}", from.0 / 1_000_000, to.0 / 1_000_000)).await?;
        Ok(self.state().recordings.iter().filter(|r| r.from < to && r.to > from).cloned().collect())
    }

    async fn open_speaker(&self, channel: ChannelNo) -> Result<Box<dyn Speaker>, DriverError> {
        self.ask("open_speaker", channel.to_string()).await?;
        Ok(Box::new(Mouth(self.clone())))
    }
}
