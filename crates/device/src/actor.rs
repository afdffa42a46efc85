//! A device is an actor: one task owns its driver, observes it on line and off line, serialises what
//! it is asked, and pulls its media while somebody watches.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use av::{Pcm, UnixMicros};
use bytes::Bytes;
use media::{Footage, Hub, Registration, StartRequest, StreamWriter};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::{Instrument, info, info_span, warn};

use crate::backoff::Backoff;
use crate::control::{Control, bounded};
use crate::dial::Dialer;
use crate::driver::{
    ChannelNo, DeviceFacts, Driver, DriverError, Login, Mirror, PresetNo, Quality, Recording, Velocity, stream_id,
};
use crate::isapi::IsapiDriver;
use crate::onvif::OnvifDriver;
use crate::push::PushDriver;
use crate::replay::DeviceFootage;
use crate::rtsp::RtspDriver;

#[cfg(test)]
mod tests;

/// How often a device on line is looked at. With the 4.5 s it has to answer and [`MISSES`] a dead camera
/// is off line within 3 + 2 × 4.5 s.
const PING_INTERVAL: Duration = Duration::from_secs(3);
/// A push device costs nothing to look at.
const PUSH_INTERVAL: Duration = Duration::from_millis(500);
/// A look at a whole device is a dozen questions, one after the other.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// A search of a month on a device that gives 40 files at a time.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(10);
/// One lost answer is weather, two are a dead camera.
const MISSES: u32 = 2;
/// A stream survives its camera's hiccup for this long; then its viewers are told.
const RESUME_WITHIN: Duration = Duration::from_secs(8);
/// Events waiting to be stored; a burst of a thousand cameras fits, and then devices wait, not memory.
const EVENTS: usize = 1024;

/// The way a device is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DriverKind {
    /// ONVIF for control, RTSP for media; the address is the device service (`http://host:port/onvif/device_service`).
    Onvif,
    /// Hikvision ISAPI for control, RTSP for media; the address is the web server (`http://host:port`).
    Isapi,
    /// RTSP alone; the address is `rtsp://host:port/path` of the main stream, optionally a second one
    /// of the sub stream after a space.
    Rtsp,
    /// The device publishes RTMP to us; no address.
    RtmpPush,
}

/// A device as its keeper describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceSpec {
    /// Serial: 9 characters `[A-Z0-9]`.
    pub serial: String,
    /// The way it is attached.
    pub kind: DriverKind,
    /// Where it is; see [`DriverKind`]. Empty for a device that publishes to us.
    pub address: String,
    /// Name and password, where it wants them.
    pub login: Option<Login>,
    /// Channels known from an earlier probe; what can be watched before the first probe is done.
    pub channels: Vec<ChannelNo>,
    /// Pull the main streams all the time, not only while somebody watches.
    pub keep_live: bool,
}

/// Whether a device is there, as observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Not looked at yet since start.
    Unknown,
    /// It answers and lets us in.
    Online,
    /// It does not, and why.
    Offline(DriverError),
}

/// What happened to a device.
#[derive(Clone, Debug)]
pub enum DeviceEvent {
    /// It answered, and this is what it is.
    Online {
        /// Which.
        serial: String,
        /// What it says of itself.
        facts: DeviceFacts,
    },
    /// It stopped answering, or never did.
    Offline {
        /// Which.
        serial: String,
        /// Why.
        why: DriverError,
    },
}

/// What all devices share.
#[derive(Clone)]
pub struct SupervisorSettings {
    /// Where streams live.
    pub hub: Hub,
    /// What may be dialled.
    pub dialer: Dialer,
    /// A motor that nobody has stopped is stopped after this; [`PTZ_WATCHDOG`](crate::PTZ_WATCHDOG)
    /// unless the operator wants another.
    pub ptz_watchdog: Duration,
}

/// Runs an actor for each device it was given.
pub struct Supervisor {
    settings: SupervisorSettings,
    events: mpsc::Sender<DeviceEvent>,
    devices: Mutex<BTreeMap<String, Running>>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

struct Running {
    spec: DeviceSpec,
    handle: DeviceHandle,
    cancel: CancellationToken,
}

/// A running device. What it is asked to do is asked one after the other and answered within 4.5 s, the
/// wait for one's turn included; one that hangs keeps nobody from another. Beside the errors each method
/// names, all have those of not reaching a device: `Unreachable`, `Timeout`, `LoginRefused`,
/// `AddressRefused`, `Protocol`, and `Refused` for a device that would not.
#[derive(Clone)]
pub struct DeviceHandle {
    presence: watch::Receiver<Presence>,
    driver: Arc<dyn Driver>,
    control: Arc<Control>,
}

impl DeviceHandle {
    /// Whether it is there.
    pub fn presence(&self) -> Presence {
        self.presence.borrow().clone()
    }

    /// Waits until it is on line, or `deadline`; true if it is.
    pub async fn online_by(&self, deadline: Instant) -> bool {
        let mut presence = self.presence.clone();
        let online = presence.wait_for(|p| *p == Presence::Online);
        matches!(tokio::time::timeout_at(deadline, online).await, Ok(Ok(_)))
    }

    /// Asks for a key frame now.
    ///
    /// # Errors
    /// `Unsupported`, or why the device did not.
    pub async fn request_key_frame(&self, channel: ChannelNo, quality: Quality) -> Result<(), DriverError> {
        bounded(self.driver.request_key_frame(channel, quality)).await
    }

    /// Starts moving the motor, until [`ptz_stop`](Self::ptz_stop), the watchdog of
    /// [`SupervisorSettings::ptz_watchdog`], which each start winds up, or the end of the device here.
    ///
    /// # Errors
    /// `Unsupported`; `AtLimit` where the device tells that every axis asked for is at its end; `Masked`.
    pub async fn ptz_start(&self, channel: ChannelNo, velocity: Velocity) -> Result<(), DriverError> {
        self.control.ptz_start(channel, velocity).await
    }

    /// Stops all axes of the motor.
    ///
    /// # Errors
    /// `Unsupported`. The watchdog goes on unless it stopped.
    pub async fn ptz_stop(&self, channel: ChannelNo) -> Result<(), DriverError> {
        self.control.ptz_stop(channel).await
    }

    /// Stores where the motor stands, and tells the number it gave.
    ///
    /// # Errors
    /// `Unsupported`, `PresetsFull`.
    pub async fn preset_add(&self, channel: ChannelNo) -> Result<PresetNo, DriverError> {
        self.control.ask(self.driver.preset_add(channel)).await
    }

    /// Goes to a stored position.
    ///
    /// # Errors
    /// `Unsupported`, `PresetUnknown`, `PresetReached`.
    pub async fn preset_move(&self, channel: ChannelNo, preset: PresetNo) -> Result<(), DriverError> {
        self.control.preset_move(channel, preset).await
    }

    /// Forgets a stored position.
    ///
    /// # Errors
    /// `Unsupported`, `PresetUnknown`.
    pub async fn preset_clear(&self, channel: ChannelNo, preset: PresetNo) -> Result<(), DriverError> {
        self.control.ask(self.driver.preset_clear(channel, preset)).await
    }

    /// Mirrors the picture, relative to how it is now.
    ///
    /// # Errors
    /// `Unsupported`, also for an axis the device does not have.
    pub async fn mirror(&self, channel: ChannelNo, mirror: Mirror) -> Result<(), DriverError> {
        self.control.ask(self.driver.mirror(channel, mirror)).await
    }

    /// Whether the lens is covered, as the device says now.
    ///
    /// # Errors
    /// `Unsupported`.
    pub async fn mask(&self, channel: ChannelNo) -> Result<bool, DriverError> {
        self.control.mask(channel).await
    }

    /// Whether the lens is covered, as the device last said since it came on line; without asking it.
    pub fn known_mask(&self, channel: ChannelNo) -> Option<bool> {
        self.control.known_mask(channel)
    }

    /// Covers the lens or uncovers it; as it is already, that is success.
    ///
    /// # Errors
    /// `Unsupported`.
    pub async fn set_mask(&self, channel: ChannelNo, covered: bool) -> Result<(), DriverError> {
        self.control.set_mask(channel, covered).await
    }

    /// A picture of now as the device makes it: one JPEG, at most
    /// [`SNAPSHOT_BYTES_MAX`](crate::SNAPSHOT_BYTES_MAX).
    ///
    /// # Errors
    /// `Unsupported`.
    pub async fn snapshot(&self, channel: ChannelNo) -> Result<Bytes, DriverError> {
        self.control.ask(self.driver.snapshot(channel)).await
    }

    /// The device's own footage that overlaps a range, ascending and not clipped; empty when there is none.
    /// Takes up to 10 s where much was recorded, and keeps nobody from asking for other things meanwhile.
    ///
    /// # Errors
    /// `Unsupported` without storage.
    pub async fn recordings(
        &self,
        channel: ChannelNo,
        from: UnixMicros,
        to: UnixMicros,
    ) -> Result<Vec<Recording>, DriverError> {
        let search = timeout(SEARCH_TIMEOUT, self.driver.recordings(channel, from, to));
        search.await.map_err(|_| DriverError::Timeout { step: "search" })?
    }

    /// The device's own footage between two moments, for one viewer. Nothing is asked of the device before
    /// it is read; each seek and each other speed ends the session there and begins another, and dropping it
    /// ends it for good. A device that serves no further session is `Busy`.
    pub fn footage(&self, channel: ChannelNo, from: UnixMicros, to: UnixMicros) -> Box<dyn Footage> {
        let source = self.control.replay_source();
        Box::new(DeviceFootage::new(source, channel, from, to))
    }

    /// Opens the speaker and lets the sound be heard: the answer comes when it begins. It is cut when
    /// the device is stopped here.
    ///
    /// # Errors
    /// `Unsupported`; `SpeakerBusy` while another sound is heard, ours or anybody's.
    pub async fn speak(&self, channel: ChannelNo, sound: Pcm) -> Result<(), DriverError> {
        self.control.speak(channel, sound).await
    }
}

impl Supervisor {
    /// A supervisor without devices, and the events of those it will have.
    pub fn new(settings: SupervisorSettings) -> (Supervisor, mpsc::Receiver<DeviceEvent>) {
        let (events, receiver) = mpsc::channel(EVENTS);
        let supervisor = Supervisor {
            settings,
            events,
            devices: Mutex::new(BTreeMap::new()),
            cancel: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        (supervisor, receiver)
    }

    fn devices(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.devices.lock().expect("no panic while the table is locked")
    }

    /// Runs a device; one that runs with another spec is stopped first, one with the same is left alone.
    ///
    /// # Errors
    /// `AddressRefused` when the address cannot be read.
    pub fn start(&self, spec: DeviceSpec) -> Result<(), DriverError> {
        let mut devices = self.devices();
        if devices.get(&spec.serial).is_some_and(|running| running.spec == spec) {
            return Ok(());
        }
        if let Some(running) = devices.remove(&spec.serial) {
            running.cancel.cancel();
        }
        let driver = driver(&spec, &self.settings)?;
        devices.insert(spec.serial.clone(), self.run(spec, driver));
        Ok(())
    }

    /// Runs a device with a driver of the caller's own, whatever the spec says; what ran under its serial
    /// is stopped first.
    pub fn start_with(&self, spec: DeviceSpec, driver: Arc<dyn Driver>) {
        let mut devices = self.devices();
        if let Some(running) = devices.remove(&spec.serial) {
            running.cancel.cancel();
        }
        devices.insert(spec.serial.clone(), self.run(spec, driver));
    }

    fn run(&self, spec: DeviceSpec, driver: Arc<dyn Driver>) -> Running {
        let (presence, receiver) = watch::channel(Presence::Unknown);
        let cancel = self.cancel.child_token();
        let control = Arc::new(Control::new(driver.clone(), self.settings.ptz_watchdog, cancel.clone()));
        let handle = DeviceHandle { presence: receiver, driver: driver.clone(), control: control.clone() };
        let actor = Actor {
            spec: spec.clone(),
            driver,
            control,
            hub: self.settings.hub.clone(),
            presence,
            events: self.events.clone(),
            cancel: cancel.clone(),
        };
        let span = info_span!("device", serial = %spec.serial);
        self.tasks.spawn(actor.run().instrument(span));
        Running { spec, handle, cancel }
    }

    /// Stops a device and its streams; unknown ones are ignored.
    pub fn stop(&self, serial: &str) {
        if let Some(running) = self.devices().remove(serial) {
            running.cancel.cancel();
        }
    }

    /// A running device.
    pub fn device(&self, serial: &str) -> Option<DeviceHandle> {
        self.devices().get(serial).map(|running| running.handle.clone())
    }

    /// Stops every device and waits until all are gone.
    pub async fn shutdown(&self) {
        self.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Looks at a device that is not attached yet.
///
/// # Errors
/// Why it cannot be attached.
pub async fn probe(spec: &DeviceSpec, settings: &SupervisorSettings) -> Result<DeviceFacts, DriverError> {
    let driver = driver(spec, settings)?;
    look(&*driver).await
}

async fn look(driver: &dyn Driver) -> Result<DeviceFacts, DriverError> {
    timeout(PROBE_TIMEOUT, driver.probe()).await.map_err(|_| DriverError::Timeout { step: "probe" })?
}

fn driver(spec: &DeviceSpec, settings: &SupervisorSettings) -> Result<Arc<dyn Driver>, DriverError> {
    match spec.kind {
        DriverKind::RtmpPush => Ok(Arc::new(PushDriver::new(settings.hub.clone(), &spec.serial))),
        DriverKind::Rtsp => Ok(Arc::new(RtspDriver::new(settings.dialer.clone(), &spec.address, spec.login.clone())?)),
        DriverKind::Isapi => {
            Ok(Arc::new(IsapiDriver::new(settings.dialer.clone(), &spec.address, spec.login.clone())?))
        }
        DriverKind::Onvif => {
            Ok(Arc::new(OnvifDriver::new(settings.dialer.clone(), &spec.address, spec.login.clone())?))
        }
    }
}

struct Actor {
    spec: DeviceSpec,
    driver: Arc<dyn Driver>,
    control: Arc<Control>,
    hub: Hub,
    presence: watch::Sender<Presence>,
    events: mpsc::Sender<DeviceEvent>,
    cancel: CancellationToken,
}

/// The streams of a device that can be started: each has a task that waits for a viewer and then pulls.
#[derive(Default)]
struct Streams {
    registered: BTreeMap<(ChannelNo, Quality), Registration>,
    tasks: JoinSet<()>,
}

impl Actor {
    async fn run(self) {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => {}
            () = self.observe() => {}
            never = self.control.watch_motors() => match never {},
        }
        self.control.close().await;
    }

    /// Looks at the device again and again, and keeps its streams startable.
    async fn observe(&self) {
        let mut streams = Streams::default();
        self.register(&self.spec.channels, &mut streams);
        let mut kept = Vec::new();
        let mut backoff = Backoff::default();
        let mut misses = 0;
        let mut online_since = Instant::now();
        let mut look_at = Instant::now();
        loop {
            sleep_until(look_at).await;
            let was_online = *self.presence.borrow() == Presence::Online;
            match self.look(was_online).await {
                Ok(facts) => {
                    misses = 0;
                    if let Some(facts) = facts {
                        online_since = Instant::now();
                        self.control.connected(&facts);
                        let channels: Vec<ChannelNo> = facts.channels.iter().map(|c| c.no).collect();
                        self.register(&channels, &mut streams);
                        let serial = self.spec.serial.clone();
                        self.tell(Presence::Online, DeviceEvent::Online { serial, facts }).await;
                    }
                    self.keep_live(&streams, &mut kept);
                    look_at = Instant::now() + self.interval();
                }
                Err(why) => {
                    misses += 1;
                    if was_online && misses < MISSES {
                        look_at = Instant::now() + Duration::from_millis(500);
                        continue;
                    }
                    if was_online {
                        backoff.worked_for(online_since.elapsed());
                    }
                    if !matches!(&*self.presence.borrow(), Presence::Offline(before) if *before == why) {
                        let event = DeviceEvent::Offline { serial: self.spec.serial.clone(), why: why.clone() };
                        self.tell(Presence::Offline(why.clone()), event).await;
                    }
                    look_at = Instant::now()
                        + match (self.spec.kind, &why) {
                            (DriverKind::RtmpPush, _) => PUSH_INTERVAL,
                            // Another login comes with another spec, and that with another actor.
                            (_, DriverError::LoginRefused) => backoff.refused(),
                            _ => backoff.failed(),
                        };
                }
            }
        }
    }

    fn interval(&self) -> Duration {
        if self.spec.kind == DriverKind::RtmpPush { PUSH_INTERVAL } else { PING_INTERVAL }
    }

    /// A device that was on line is pinged; another is probed, and its facts are the answer.
    async fn look(&self, was_online: bool) -> Result<Option<DeviceFacts>, DriverError> {
        if was_online {
            return bounded(self.driver.ping()).await.map(|()| None);
        }
        look(&*self.driver).await.map(Some)
    }

    async fn tell(&self, presence: Presence, event: DeviceEvent) {
        match &presence {
            Presence::Offline(why) => warn!(%why, "device off line"),
            _ => info!("device on line"),
        }
        self.presence.send_replace(presence);
        if self.events.send(event).await.is_err() {
            // The keeper is gone: the process is shutting down.
            self.cancel.cancel();
        }
    }

    /// Makes the streams of these channels startable. Push devices start by themselves.
    fn register(&self, channels: &[ChannelNo], streams: &mut Streams) {
        if self.spec.kind == DriverKind::RtmpPush {
            return;
        }
        for &channel in channels {
            for quality in [Quality::Main, Quality::Sub] {
                let Streams { registered, tasks } = &mut *streams;
                registered.entry((channel, quality)).or_insert_with(|| {
                    let (sender, mut requests) = mpsc::channel::<StartRequest>(1);
                    let driver = self.driver.clone();
                    let id = stream_id(&self.spec.serial, channel, quality);
                    let span = info_span!("stream", %id);
                    let serve = async move {
                        while let Some(request) = requests.recv().await {
                            pull(&*driver, channel, quality, request.writer).await;
                        }
                    };
                    tasks.spawn(serve.instrument(span));
                    self.hub.register(id, sender)
                });
            }
        }
    }

    /// Watches the main streams ourselves, if the keeper wants them running.
    fn keep_live(&self, streams: &Streams, kept: &mut Vec<(ChannelNo, AbortOnDropHandle<()>)>) {
        kept.retain(|(_, task)| !task.is_finished());
        if !self.spec.keep_live {
            return;
        }
        for (channel, quality) in streams.registered.keys() {
            if *quality == Quality::Main && !kept.iter().any(|(c, _)| c == channel) {
                let (hub, id) = (self.hub.clone(), stream_id(&self.spec.serial, *channel, *quality));
                let task = tokio::spawn(async move {
                    if let Ok(viewing) = hub.open(&id).await {
                        let mut items = Vec::new();
                        let mut subscription = viewing.subscribe();
                        while subscription.read(&mut items).await.is_ok() {
                            items.clear();
                        }
                    }
                });
                kept.push((*channel, AbortOnDropHandle::new(task)));
            }
        }
    }
}

/// Keeps one stream running while it is watched, over short failures of the camera.
async fn pull(driver: &dyn Driver, channel: ChannelNo, quality: Quality, mut writer: StreamWriter) {
    let stream = writer.stream().clone();
    let unwatched = writer.unwatched();
    tokio::pin!(unwatched);
    let mut backoff = Backoff::default();
    let mut last_frame = Instant::now();
    let mut frames = 0;
    loop {
        let began = Instant::now();
        let failure = tokio::select! {
            biased;
            () = &mut unwatched => return,
            ended = driver.live(channel, quality, &mut writer) => ended.err(),
        };
        if stream.frames() > frames {
            frames = stream.frames();
            last_frame = Instant::now();
            backoff.worked_for(began.elapsed());
        }
        let failure =
            failure.unwrap_or(DriverError::Unreachable { step: "media", cause: "the device ended the stream".into() });
        let never_worked = frames == 0;
        let hopeless =
            matches!(failure, DriverError::LoginRefused | DriverError::AddressRefused(_) | DriverError::Unsupported);
        let wait = backoff.failed();
        if never_worked || hopeless || last_frame.elapsed() + wait > RESUME_WITHIN {
            info!(step = failure.step(), cause = %failure, "live stream failed");
            writer.fail(failure.step(), failure.to_string());
            return;
        }
        tokio::select! {
            biased;
            () = &mut unwatched => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}
