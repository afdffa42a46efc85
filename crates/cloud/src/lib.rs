//! The product: accounts, applications, tokens, devices, grants.
//!
//! Every rule has one home here. The crate knows no HTTP, no JSON, no public code and no wire
//! protocol; whoever faces the public turns [`Error`] into numbers. Nothing of an account can be
//! reached without a [`Caller`], nothing of the node without an [`Operator`], and no media without a
//! [`PlayGrant`], [`PlaybackGrant`], [`PublishGrant`] or [`FileGrant`]: forgetting a check does not compile.

mod account;
mod archive;
mod attempt;
mod calendar;
mod card;
mod clock;
mod control;
mod device;
mod error;
mod file;
mod grant;
mod guest;
mod keys;
mod live;
mod picture;
mod plan;
mod playback;
mod setting;
mod voice;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ::device::{AllowedHost, DeviceEvent, Dialer, Supervisor, SupervisorSettings};
use media::{Hub, HubSettings};
use store::MetaStore;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

pub use account::{AccountId, App, Caller, Operator, Token};
pub use archive::{
    Check, Checked, Fault, FaultKind, RecordSettings, RecorderSetting, RecorderState, RecordingChannel, RecordingState,
    Removed, Segment, SegmentIndex, Space, Written, check,
};
pub use calendar::{LocalTime, days_of_month};
pub use card::{Card, CardAsk, CardState, Cards};
pub use clock::Clock;
pub use device::{Attach, Attached, Channel, Device, Listing};
pub use error::Error;
pub use file::FileGrant;
pub use grant::{AddressId, LiveAsk, PlayGrant, SignedAddress};
pub use guest::{Entered, Entry};
pub use live::PublishGrant;
pub use plan::{Plan, PlanAsk, PlanState};
pub use playback::{PlaybackAsk, PlaybackGrant, Recording, Storage};
pub use store::{CardUse, UnixMillis};
pub use voice::{Phrase, Phrases, VOICE_BYTES_MAX};

use account::Callers;
use archive::{Archives, Recorders};
use grant::Grants;
use guest::Guests;
use keys::MasterKey;
use picture::Pictures;
use voice::Voices;

/// How often rows that ended are swept out.
const SWEEP: Duration = Duration::from_secs(3600);
/// Pictures and voice files decoded at the same time; more wait. Each keeps a processor busy for a
/// tenth of a second or so, and live media comes first.
const COMPUTING_MAX: usize = 2;

/// What a cloud is made from.
pub struct Settings {
    /// Folder of the database and the key file; exists.
    pub data: PathBuf,
    /// How streams start and stop.
    pub hub: HubSettings,
    /// Addresses that may be dialled although they are special.
    pub allow: Vec<AllowedHost>,
    /// A motor that nobody has stopped is stopped after this.
    pub ptz_watchdog: Duration,
    /// The time of day.
    pub clock: Clock,
    /// Zone of the times in addresses and of calendar days, minutes east of UTC.
    pub utc_offset_minutes: i32,
    /// How footage is kept.
    pub record: RecordSettings,
}

/// The product on this node.
pub struct Cloud {
    store: MetaStore,
    keys: MasterKey,
    clock: Clock,
    utc_offset_minutes: i32,
    callers: Callers,
    guests: Guests,
    grants: Grants,
    online: device::Online,
    found: playback::Found,
    /// Opened where there is no device, so that an unknown serial takes as long as a known one (T23).
    decoy_code: Vec<u8>,
    push_keys: live::PushKeys,
    pictures: Pictures,
    voices: Voices,
    archives: Arc<Archives>,
    recorders: Recorders,
    computing: Arc<Semaphore>,
    supervisor: Supervisor,
    devices: SupervisorSettings,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

/// What grants need to load and to make keys.
pub(crate) struct Parts<'a> {
    store: &'a MetaStore,
    keys: &'a MasterKey,
    clock: &'a Clock,
}

impl Cloud {
    /// Opens the data folder and starts every attached device. Gives the operator's token if it was
    /// made just now; it is kept nowhere.
    ///
    /// # Errors
    /// `Internal` when the database or the key file cannot be used.
    pub async fn open(settings: Settings) -> Result<(Arc<Cloud>, Option<String>), Error> {
        let Settings { data, hub, allow, ptz_watchdog, clock, utc_offset_minutes, record } = settings;
        let (database, key_file) = (data.join("meta.db"), data.join("master.key"));
        if database.exists() && !key_file.exists() {
            // A new key would open nothing, and would look as if it did until a camera is dialled.
            let missing =
                format!("{} is missing; without it {} cannot be read", key_file.display(), database.display());
            return Err(Error::Internal(missing.into()));
        }
        let keys = MasterKey::open(&key_file).map_err(|e| Error::Internal(e.into()))?;
        let decoy_code = device::decoy_code(&keys);
        let store = MetaStore::sqlite(&database).await?;
        let grants = Grants::load(&Parts { store: &store, keys: &keys, clock: &clock }).await?;
        let pictures = Pictures::open(data.join("pictures")).await?;
        let voices = Voices::open(data.join("voices"), &store).await?;
        let archives = Archives::open(&data, store.clone(), clock.clone(), record).await?;
        let devices = SupervisorSettings { hub: Hub::new(hub), dialer: Dialer::new(allow), ptz_watchdog };
        let (supervisor, events) = Supervisor::new(devices.clone());
        let cloud = Arc::new(Cloud {
            store,
            keys,
            clock,
            utc_offset_minutes,
            callers: Callers::default(),
            guests: Guests::default(),
            grants,
            online: device::Online::default(),
            found: playback::Found::default(),
            decoy_code,
            push_keys: live::PushKeys::default(),
            pictures,
            voices,
            archives,
            recorders: Recorders::default(),
            computing: Arc::new(Semaphore::new(COMPUTING_MAX)),
            supervisor,
            devices,
            cancel: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        let operator_token = cloud.first_operator_token().await?;
        cloud.load_push_keys().await?;
        cloud.start_devices().await?;
        cloud.tasks.spawn(cloud.clone().listen(events));
        cloud.tasks.spawn(cloud.clone().sweep());
        cloud.tasks.spawn(cloud.clone().keep_recording());
        Ok((cloud, operator_token))
    }

    /// The time of day that everything here goes by.
    pub fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    fn parts(&self) -> Parts<'_> {
        Parts { store: &self.store, keys: &self.keys, clock: &self.clock }
    }

    /// How devices are reached, for whoever searches for them.
    pub fn device_settings(&self) -> &SupervisorSettings {
        &self.devices
    }

    /// Stops every device and closes the database.
    pub async fn shutdown(&self) {
        self.cancel.cancel();
        self.recorders.stop().await;
        self.supervisor.shutdown().await;
        self.archives.close().await;
        self.tasks.close();
        self.tasks.wait().await;
        self.store.close().await;
    }

    async fn listen(self: Arc<Self>, mut events: mpsc::Receiver<DeviceEvent>) {
        loop {
            let event = tokio::select! {
                biased;
                () = self.cancel.cancelled() => return,
                event = events.recv() => event,
            };
            let Some(event) = event else { return };
            if let Err(failure) = self.on_event(event).await {
                error!(error = %failure, source = ?std::error::Error::source(&failure), "device news not stored");
            }
        }
    }

    /// Does what keeps a processor busy, out of the way of everything else. Once begun it goes on, and
    /// holds its place, whether or not anybody still waits for it.
    async fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        let place = self.computing.clone().acquire_owned().await.expect("the semaphore is never closed");
        let work = move || {
            let _place = place;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|panic| Error::Internal(panic.into()))
    }

    async fn sweep_once(&self) -> Result<(), Error> {
        let now = self.clock.now();
        self.store.purge_expired(now, now - attempt::FORGOTTEN).await?;
        self.pictures.sweep(now).await?;
        self.forget_dead_grants(now).await
    }

    async fn sweep(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(SWEEP);
        loop {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if let Err(failure) = self.sweep_once().await {
                warn!(error = %failure, "expired rows stay for now");
            }
        }
    }
}
