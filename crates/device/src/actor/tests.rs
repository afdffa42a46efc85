//! What the actor adds to a driver, on a scripted one, in virtual time.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use async_trait::async_trait;
use media::HubSettings;
use tokio::time::{advance, sleep, timeout};

use super::*;
use crate::driver::{ChannelFacts, Limit, Position, Speaker, StreamFacts};

const ONE: ChannelNo = ChannelNo(1);
const TWO: ChannelNo = ChannelNo(2);
const RIGHT: Velocity = Velocity { pan: 1.0, tilt: 0.0, zoom: 0.0 };
const WATCHDOG: Duration = Duration::from_secs(30);

/// How the device behaves; all may change while it runs.
struct Script {
    gone: bool,
    /// Lets nobody in.
    refuses: bool,
    /// What it never answers.
    hangs: BTreeSet<&'static str>,
    position: Result<Position, DriverError>,
    mask: Result<bool, DriverError>,
    start: Result<(), DriverError>,
    stop: Result<(), DriverError>,
    speaker: Result<(), DriverError>,
    covers: bool,
}

struct Scripted {
    script: Mutex<Script>,
    began: Instant,
    /// What it was asked, and when, in seconds.
    heard: Mutex<Vec<(String, f64)>>,
}

impl Scripted {
    fn new() -> Arc<Scripted> {
        let script = Script {
            gone: false,
            refuses: false,
            hangs: BTreeSet::new(),
            position: Err(DriverError::Unsupported),
            mask: Err(DriverError::Unsupported),
            start: Ok(()),
            stop: Ok(()),
            speaker: Ok(()),
            covers: false,
        };
        Arc::new(Scripted { script: Mutex::new(script), began: Instant::now(), heard: Mutex::default() })
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    async fn hear(&self, what: &'static str, channel: ChannelNo) {
        let at = self.began.elapsed().as_secs_f64();
        self.heard.lock().unwrap().push((format!("{what} {channel}"), at));
        if self.script().hangs.contains(what) {
            std::future::pending::<()>().await;
        }
    }

    /// What it was asked since the last time this was called.
    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().drain(..).map(|(what, _)| what).collect()
    }

    /// The same with the second it was asked.
    fn heard_at(&self) -> Vec<(String, u64)> {
        self.heard.lock().unwrap().drain(..).map(|(what, at)| (what, at.round() as u64)).collect()
    }
}

struct Plays(Arc<Scripted>);

#[async_trait]
impl Speaker for Plays {
    async fn play(self: Box<Self>, sound: Pcm) -> Result<(), DriverError> {
        self.0.hear("play", ONE).await;
        sleep(sound.duration()).await;
        Ok(())
    }
}

impl Drop for Plays {
    fn drop(&mut self) {
        self.0.heard.lock().unwrap().push(("closed 1".into(), self.0.began.elapsed().as_secs_f64()));
    }
}

/// The device as its actor has it: what it hears goes into the script's record.
struct Device(Arc<Scripted>);

#[async_trait]
impl Driver for Device {
    async fn probe(&self) -> Result<DeviceFacts, DriverError> {
        self.ping().await?;
        let channel = |no| ChannelFacts { no, name: String::new(), main: StreamFacts::default(), sub: None };
        let covers = self.0.script().covers.then(|| ("support_privacy".to_owned(), "1".to_owned()));
        Ok(DeviceFacts {
            channels: [ONE, TWO].map(channel).into(),
            capabilities: covers.into_iter().collect(),
            ..DeviceFacts::default()
        })
    }

    async fn ping(&self) -> Result<(), DriverError> {
        if self.0.script().refuses {
            self.0.hear("login", ONE).await;
            return Err(DriverError::LoginRefused);
        }
        match self.0.script().gone {
            true => Err(DriverError::Unreachable { step: "dial", cause: "gone".into() }),
            false => Ok(()),
        }
    }

    async fn live(&self, _: ChannelNo, _: Quality, _: &mut StreamWriter) -> Result<(), DriverError> {
        Err(DriverError::Unsupported)
    }

    async fn ptz_start(&self, channel: ChannelNo, _: Velocity) -> Result<(), DriverError> {
        self.0.hear("start", channel).await;
        self.0.script().start.clone()
    }

    async fn ptz_stop(&self, channel: ChannelNo) -> Result<(), DriverError> {
        self.0.hear("stop", channel).await;
        self.0.script().stop.clone()
    }

    async fn position(&self, channel: ChannelNo) -> Result<Position, DriverError> {
        self.0.hear("position", channel).await;
        self.0.script().position.clone()
    }

    async fn preset_move(&self, channel: ChannelNo, _: PresetNo) -> Result<(), DriverError> {
        self.0.hear("preset", channel).await;
        Ok(())
    }

    async fn mask(&self, channel: ChannelNo) -> Result<bool, DriverError> {
        self.0.hear("mask", channel).await;
        self.0.script().mask.clone()
    }

    async fn set_mask(&self, channel: ChannelNo, _: bool) -> Result<(), DriverError> {
        self.0.hear("set_mask", channel).await;
        Ok(())
    }

    async fn open_speaker(&self, channel: ChannelNo) -> Result<Box<dyn Speaker>, DriverError> {
        self.0.hear("open", channel).await;
        self.0.script().speaker.clone()?;
        Ok(Box::new(Plays(self.0.clone())))
    }
}

struct World {
    supervisor: Supervisor,
    /// Kept, or actors would take the process to be ending.
    events: mpsc::Receiver<DeviceEvent>,
}

impl World {
    fn new() -> World {
        let hub = Hub::new(HubSettings::default());
        let settings = SupervisorSettings { hub, dialer: Dialer::default(), ptz_watchdog: WATCHDOG };
        let (supervisor, events) = Supervisor::new(settings);
        World { supervisor, events }
    }

    /// A device that is on line.
    async fn device(&mut self, serial: &str) -> (Arc<Scripted>, DeviceHandle) {
        self.device_with(serial, Scripted::new()).await
    }

    async fn device_with(&mut self, serial: &str, scripted: Arc<Scripted>) -> (Arc<Scripted>, DeviceHandle) {
        let spec = DeviceSpec {
            serial: serial.into(),
            kind: DriverKind::Onvif,
            address: String::new(),
            login: None,
            channels: vec![],
            keep_live: false,
        };
        self.supervisor.start_with(spec, Arc::new(Device(scripted.clone())));
        let handle = self.supervisor.device(serial).unwrap();
        assert!(matches!(self.events.recv().await, Some(DeviceEvent::Online { .. })));
        (scripted, handle)
    }

    /// Lets the device vanish and come back.
    async fn reconnect(&mut self, scripted: &Scripted) {
        scripted.script().gone = true;
        assert!(matches!(self.events.recv().await, Some(DeviceEvent::Offline { .. })));
        scripted.script().gone = false;
        assert!(matches!(self.events.recv().await, Some(DeviceEvent::Online { .. })));
    }
}

fn silence(seconds: usize) -> Pcm {
    Pcm { sample_rate: 8000, samples: vec![0; 8000 * seconds] }
}

fn took(began: Instant) -> f64 {
    (began.elapsed().as_secs_f64() * 10.0).round() / 10.0
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_served_in_order_and_within_his_own_time() {
    let mut world = World::new();
    let (hanging, handle) = world.device("A").await;
    let (_, other) = world.device("B").await;
    hanging.script().hangs.insert("start");
    let began = Instant::now();
    let first = async { (handle.ptz_start(ONE, RIGHT).await, took(began)) };
    let second = async {
        sleep(Duration::from_secs(1)).await;
        (handle.ptz_stop(ONE).await, took(began))
    };
    let third = async {
        sleep(Duration::from_secs(2)).await;
        hanging.script().hangs.insert("stop");
        (handle.ptz_stop(TWO).await, took(began))
    };
    let elsewhere = async { (other.ptz_start(ONE, RIGHT).await, took(began)) };
    let answers = tokio::join!(first, second, third, elsewhere);
    let late = Err(DriverError::Timeout { step: "answer" });
    assert_eq!(answers, ((late.clone(), 4.5), (late.clone(), 5.5), (late, 6.5), (Ok(()), 0.0)));
    assert_eq!(hanging.heard(), ["position 1", "start 1", "stop 1", "stop 2"]);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_of_every_asked_axis_is_at_the_limit() {
    let mut world = World::new();
    let (scripted, handle) = world.device("A").await;
    let at = |pan, tilt| Position { pan, tilt, zoom: Some(1.0) };
    let (left_top, right_bottom, middle) =
        (at(Some(-1.0), Some(0.995)), at(Some(0.99), Some(-1.2)), at(Some(0.0), None));
    let limit = |limit| Err(DriverError::AtLimit(limit));
    for (position, (pan, tilt, zoom), expected) in [
        (left_top, (-0.2, 0.0, 0.0), limit(Limit::Left)),
        (left_top, (0.0, 1.0, 0.0), limit(Limit::Up)),
        (left_top, (-1.0, 1.0, 0.0), limit(Limit::Left)),
        // Along the edge it still moves, and back.
        (left_top, (-1.0, -1.0, 0.0), Ok(())),
        (left_top, (1.0, 1.0, 0.0), Ok(())),
        (left_top, (1.0, 0.0, 0.0), Ok(())),
        (right_bottom, (1.0, 0.0, 0.0), limit(Limit::Right)),
        (right_bottom, (0.0, -1.0, 0.0), limit(Limit::Down)),
        (middle, (1.0, 0.0, 0.0), Ok(())),
        // An axis that is not told has no end, and zoom has none.
        (middle, (0.0, 1.0, 0.0), Ok(())),
        (right_bottom, (0.0, 0.0, 1.0), Ok(())),
        (right_bottom, (1.0, 0.0, 1.0), Ok(())),
        (at(Some(f32::NAN), Some(0.0)), (1.0, 0.0, 0.0), Ok(())),
    ] {
        scripted.script().position = Ok(position);
        let answer = handle.ptz_start(ONE, Velocity { pan, tilt, zoom }).await;
        assert_eq!(answer, expected, "{position:?} {pan} {tilt} {zoom}");
        let moved = scripted.heard().contains(&"start 1".to_owned());
        assert_eq!(moved, expected.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_motor_that_tells_no_position_is_asked_once_a_connection_and_moves() {
    let mut world = World::new();
    let (scripted, handle) = world.device("A").await;
    for (asked, channel) in [(true, ONE), (false, ONE), (true, TWO), (false, TWO)] {
        handle.ptz_start(channel, RIGHT).await.unwrap();
        assert_eq!(scripted.heard().len(), 1 + usize::from(asked));
    }
    world.reconnect(&scripted).await;
    scripted.script().position = Ok(Position { pan: Some(1.0), ..Position::default() });
    scripted.heard();
    assert_eq!(handle.ptz_start(ONE, RIGHT).await, Err(DriverError::AtLimit(Limit::Right)));
    // A failure is not a property of the device.
    scripted.script().position = Err(DriverError::Protocol { step: "GetStatus", cause: "nonsense".into() });
    handle.ptz_start(ONE, RIGHT).await.unwrap();
    scripted.script().position = Ok(Position { pan: Some(1.0), ..Position::default() });
    assert_eq!(handle.ptz_start(ONE, RIGHT).await, Err(DriverError::AtLimit(Limit::Right)));
    // Nor does slowness there keep it from moving.
    scripted.script().hangs.insert("position");
    let began = Instant::now();
    handle.ptz_start(ONE, RIGHT).await.unwrap();
    assert_eq!(took(began), 1.5);
}

#[tokio::test(start_paused = true)]
async fn a_motor_that_nobody_stops_is_stopped() {
    let mut world = World::new();
    let (scripted, handle) = world.device("A").await;
    scripted.script().position = Ok(Position::default());
    let moving = |heard: Vec<(String, u64)>| -> Vec<(String, u64)> {
        heard.into_iter().filter(|(what, _)| !what.starts_with("position")).collect()
    };
    let at = |what: &str, second| (what.to_owned(), second);
    handle.ptz_start(ONE, RIGHT).await.unwrap();
    sleep(Duration::from_secs(20)).await;
    handle.ptz_start(ONE, RIGHT).await.unwrap();
    handle.ptz_start(TWO, RIGHT).await.unwrap();
    sleep(Duration::from_secs(10)).await;
    handle.ptz_stop(TWO).await.unwrap();
    sleep(Duration::from_secs(100)).await;
    // Wound up by the second start; a stop of one channel is none of the other.
    let expected = [at("start 1", 0), at("start 1", 20), at("start 2", 20), at("stop 2", 30), at("stop 1", 50)];
    assert_eq!(moving(scripted.heard_at()), expected);

    // At 130 s. A stop that fails is tried again, but not for ever.
    scripted.script().stop = Err(DriverError::Timeout { step: "http" });
    handle.ptz_start(ONE, RIGHT).await.unwrap();
    assert!(handle.ptz_stop(ONE).await.is_err());
    sleep(Duration::from_secs(100)).await;
    let expected: Vec<_> = [at("start 1", 130), at("stop 1", 130)]
        .into_iter()
        .chain((0..6).map(|attempt| at("stop 1", 160 + 5 * attempt)))
        .collect();
    assert_eq!(moving(scripted.heard_at()), expected);

    // At 230 s. A preset takes the motor over, and it stops by itself.
    scripted.script().stop = Ok(());
    handle.ptz_start(ONE, RIGHT).await.unwrap();
    handle.preset_move(ONE, PresetNo(1)).await.unwrap();
    sleep(Duration::from_secs(100)).await;
    assert_eq!(moving(scripted.heard_at()), [at("start 1", 230), at("preset 1", 230)]);
}

#[tokio::test(start_paused = true)]
async fn a_motor_is_watched_if_it_may_be_moving_and_only_then() {
    let mut world = World::new();
    let (scripted, handle) = world.device("A").await;
    let started = async |result: Result<(), DriverError>| {
        scripted.script().start = result;
        handle.ptz_start(ONE, RIGHT).await.is_ok()
    };
    assert!(!started(Err(DriverError::Unsupported)).await);
    assert!(!started(Err(DriverError::Refused { step: "ContinuousMove", cause: "no".into() })).await);
    assert!(!started(Err(DriverError::Timeout { step: "dial" })).await);
    sleep(WATCHDOG * 2).await;
    assert!(!scripted.heard().contains(&"stop 1".to_owned()));
    // The answer was lost, not the question.
    assert!(!started(Err(DriverError::Timeout { step: "http" })).await);
    sleep(WATCHDOG * 2).await;
    assert_eq!(scripted.heard(), ["start 1", "stop 1"]);
    // A start that is refused leaves one that was not as it is.
    assert!(started(Ok(())).await);
    sleep(WATCHDOG / 2).await;
    assert!(!started(Err(DriverError::Unsupported)).await);
    sleep(WATCHDOG / 2 + Duration::from_secs(1)).await;
    assert_eq!(scripted.heard(), ["start 1", "start 1", "stop 1"]);
    // Who asked went away.
    scripted.script().hangs.insert("start");
    assert!(timeout(Duration::from_secs(1), handle.ptz_start(ONE, RIGHT)).await.is_err());
    sleep(WATCHDOG).await;
    assert_eq!(scripted.heard(), ["start 1", "stop 1"]);
}

#[tokio::test(start_paused = true)]
async fn behind_a_mask_nothing_moves() {
    let mut world = World::new();
    let scripted = Scripted::new();
    scripted.script().covers = true;
    scripted.script().mask = Ok(true);
    let (scripted, handle) = world.device_with("A", scripted).await;
    assert_eq!(handle.ptz_start(ONE, RIGHT).await, Err(DriverError::Masked));
    assert_eq!(scripted.heard(), ["mask 1"]);
    handle.set_mask(ONE, false).await.unwrap();
    handle.ptz_start(ONE, RIGHT).await.unwrap();
    assert_eq!(scripted.heard(), ["set_mask 1", "position 1", "start 1"], "not asked while it is known to be off");
    handle.set_mask(ONE, true).await.unwrap();
    assert_eq!(handle.ptz_start(ONE, RIGHT).await, Err(DriverError::Masked));
    // Somebody else uncovers it.
    scripted.script().mask = Ok(false);
    handle.ptz_start(ONE, RIGHT).await.unwrap();
    assert_eq!(handle.mask(ONE).await, Ok(false));
    scripted.heard();
    // What it was before it went is not known to be so now.
    scripted.script().mask = Ok(true);
    world.reconnect(&scripted).await;
    assert_eq!(handle.ptz_start(ONE, RIGHT).await, Err(DriverError::Masked));
    // One that fails to tell is moved, and one that has none is not asked.
    world.reconnect(&scripted).await;
    scripted.script().hangs.insert("mask");
    scripted.heard();
    handle.ptz_start(ONE, RIGHT).await.unwrap();
    handle.ptz_start(ONE, RIGHT).await.unwrap();
    assert_eq!(scripted.heard(), ["mask 1", "position 1", "start 1", "start 1"]);
    let (plain, handle) = world.device("B").await;
    handle.ptz_start(ONE, RIGHT).await.unwrap();
    assert_eq!(plain.heard(), ["position 1", "start 1"]);
}

#[tokio::test(start_paused = true)]
async fn one_sound_at_a_time_from_each_speaker() {
    let mut world = World::new();
    let (scripted, handle) = world.device("A").await;
    let began = Instant::now();
    handle.speak(ONE, silence(10)).await.unwrap();
    assert_eq!(took(began), 0.0, "it is answered when it begins");
    assert_eq!(handle.speak(ONE, silence(1)).await, Err(DriverError::SpeakerBusy));
    // Neither the motor nor another channel waits for it.
    handle.preset_move(ONE, PresetNo(1)).await.unwrap();
    handle.speak(TWO, silence(1)).await.unwrap();
    assert_eq!(took(began), 0.0);
    sleep(Duration::from_secs(11)).await;
    handle.speak(ONE, silence(1)).await.unwrap();
    sleep(Duration::from_secs(2)).await;
    scripted.heard();

    // What fails to open is free again.
    for failure in [DriverError::SpeakerBusy, DriverError::Unsupported] {
        scripted.script().speaker = Err(failure.clone());
        assert_eq!(handle.speak(ONE, silence(1)).await, Err(failure));
    }
    scripted.script().speaker = Ok(());
    scripted.script().hangs.insert("open");
    assert_eq!(handle.speak(ONE, silence(1)).await, Err(DriverError::Timeout { step: "answer" }));
    scripted.script().hangs.clear();
    assert_eq!(scripted.heard(), ["open 1"; 3]);

    // A device that takes its sound too slowly is cut short.
    scripted.script().hangs.insert("play");
    handle.speak(ONE, silence(10)).await.unwrap();
    sleep(Duration::from_secs(14)).await;
    assert_eq!(handle.speak(ONE, silence(1)).await, Err(DriverError::SpeakerBusy));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(scripted.heard(), ["open 1", "play 1", "closed 1"]);
    handle.speak(ONE, silence(1)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_device_that_is_detached_stands_still_and_is_silent() {
    let mut world = World::new();
    let (scripted, handle) = world.device("A").await;
    handle.ptz_start(ONE, RIGHT).await.unwrap();
    handle.ptz_start(TWO, RIGHT).await.unwrap();
    handle.speak(ONE, silence(60)).await.unwrap();
    advance(Duration::from_secs(1)).await;
    scripted.script().hangs.insert("preset");
    let underway = handle.preset_move(TWO, PresetNo(1));
    let detach = async {
        sleep(Duration::from_secs(1)).await;
        scripted.heard();
        world.supervisor.stop("A");
        world.supervisor.shutdown().await;
    };
    let (underway, ()) = tokio::join!(underway, detach);
    assert!(matches!(underway, Err(DriverError::Unreachable { step: "device", .. })), "{underway:?}");
    assert_eq!(scripted.heard(), ["closed 1", "stop 1", "stop 2"]);
    // Who still holds a handle moves nothing.
    assert!(handle.ptz_start(ONE, RIGHT).await.is_err());
    assert!(handle.speak(ONE, silence(1)).await.is_err());
    assert_eq!(scripted.heard(), [""; 0]);
    // Nothing of it is left.
    drop(handle);
    assert_eq!(Arc::strong_count(&scripted), 1);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_a_device_that_hangs() {
    let mut world = World::new();
    let (scripted, handle) = world.device("A").await;
    handle.ptz_start(ONE, RIGHT).await.unwrap();
    scripted.script().hangs.insert("stop");
    let began = Instant::now();
    world.supervisor.shutdown().await;
    assert_eq!(took(began), 4.5);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_not_tried_until_the_device_locks_us_out() {
    let mut world = World::new();
    let (scripted, handle) = world.device("A").await;
    scripted.script().refuses = true;
    assert!(matches!(world.events.recv().await, Some(DeviceEvent::Offline { why: DriverError::LoginRefused, .. })));
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(handle.presence(), Presence::Offline(DriverError::LoginRefused));
    let tried = scripted.heard().len();
    assert!((8..20).contains(&tried), "{tried} times in an hour");
    // The right one comes with another spec, and is tried at once.
    let world_now = Instant::now();
    scripted.script().refuses = false;
    let (_, handle) = world.device_with("A", scripted.clone()).await;
    assert!(handle.online_by(world_now + Duration::from_secs(1)).await);
}
