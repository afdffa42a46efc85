//! Who is recorded: channels with an active plan, and those of devices whose recorder on our disk is on.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ::device::{ChannelNo, Quality, stream_id};
use ::store::{RecorderRow, Shelf};
use media::{Recorder, RecorderStatus, SegmentSettings};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info};

use super::spool::{ChannelArchive, millis};
use super::{RecordSettings, Removed, Written, shelf};
use crate::device::check_serial;
use crate::{Cloud, Error, Operator, Recording, Storage, UnixMillis};

pub use media::RecorderState;

/// Plans begin and end by themselves; it is looked this often.
const LOOK: Duration = Duration::from_secs(5);
/// A camera that gives no picture is asked again after this long, growing.
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// A recorder on our disk in the place of a device's card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecorderSetting {
    /// Whether it records.
    pub enabled: bool,
    /// Bytes it keeps of the device; 0 for any number.
    pub bytes_max: u64,
    /// Days it keeps; 0 for any number.
    pub days_max: u32,
}

/// How the recording of a channel goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingChannel {
    /// Device.
    pub serial: String,
    /// Channel.
    pub channel: ChannelNo,
    /// Where to.
    pub storage: Storage,
    /// What it does.
    pub state: RecorderState,
    /// Since when; `None` before the first frame.
    pub since: Option<UnixMillis>,
    /// Milliseconds of media that came and could not be kept, since the start.
    pub lost_ms: u64,
    /// Bytes kept, since the start.
    pub bytes: u64,
}

/// How recording goes on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingState {
    /// Each channel that shall be recorded.
    pub channels: Vec<RecordingChannel>,
    /// Since when there has been too little room.
    pub full_since: Option<UnixMillis>,
    /// Bytes free.
    pub free: u64,
    /// Segments that wait to be listed.
    pub unlisted: usize,
    /// Since when the database has refused to list them.
    pub unlisted_since: Option<UnixMillis>,
    /// What was written since the start.
    pub written: Written,
    /// What was removed since the start.
    pub removed: Removed,
}

/// Everything that records.
#[derive(Default)]
pub(crate) struct Recorders {
    running: Mutex<BTreeMap<Shelf, Running>>,
    changed: Notify,
    tasks: TaskTracker,
}

struct Running {
    status: watch::Receiver<RecorderStatus>,
    stop: CancellationToken,
}

impl Recorders {
    fn running(&self) -> MutexGuard<'_, BTreeMap<Shelf, Running>> {
        self.running.lock().expect("no panic while the table is locked")
    }

    /// Ends every recording; what there is of each is committed then.
    pub async fn stop(&self) {
        self.running().values().for_each(|running| running.stop.cancel());
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// When a channel's first segment ends later, so that a thousand do not end theirs together; the same
/// after a restart.
fn offset(shelf: &Shelf, segment: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    shelf.hash(&mut hasher);
    segment * (hasher.finish() % 1024) as u32 / 1024
}

impl Cloud {
    /// Has it looked at once who shall be recorded.
    pub fn recorder_changed(&self) {
        self.recorders.changed.notify_one();
    }

    /// Records who shall be, until the end.
    pub(crate) async fn keep_recording(self: Arc<Self>) {
        loop {
            match self.to_be_recorded().await {
                Ok(wanted) => self.record_these(wanted),
                // Who is being recorded goes on (T6).
                Err(failure) => error!(error = %failure, "who shall be recorded is not known"),
            }
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return,
                () = self.recorders.changed.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    async fn to_be_recorded(&self) -> Result<BTreeSet<Shelf>, ::store::Error> {
        let plans = self.store.active_plans(self.clock.now()).await?;
        let planned = plans.iter().map(|plan| shelf(&plan.serial, ChannelNo(plan.channel_no), Storage::Cloud));
        let mut wanted: BTreeSet<Shelf> = planned.collect();
        for recorder in self.store.recorders().await?.iter().filter(|recorder| recorder.enabled) {
            for channel in self.store.channels(&recorder.serial).await? {
                wanted.insert(shelf(&recorder.serial, ChannelNo(channel.no), Storage::Local));
            }
        }
        Ok(wanted)
    }

    fn record_these(self: &Arc<Self>, wanted: BTreeSet<Shelf>) {
        let mut running = self.recorders.running();
        running.retain(|shelf, recorder| {
            let goes_on = wanted.contains(shelf);
            if !goes_on {
                info!(serial = shelf.serial, channel = shelf.channel_no, "recording ends");
                recorder.stop.cancel();
            }
            goes_on
        });
        for shelf in wanted {
            if running.contains_key(&shelf) || self.cancel.is_cancelled() {
                continue;
            }
            info!(serial = shelf.serial, channel = shelf.channel_no, "recording begins");
            let (status, told) = watch::channel(RecorderStatus::default());
            let stop = CancellationToken::new();
            running.insert(shelf.clone(), Running { status: told, stop: stop.clone() });
            self.recorders.tasks.spawn(self.clone().record(shelf, status, stop));
        }
    }

    async fn record(self: Arc<Self>, shelf: Shelf, status: watch::Sender<RecorderStatus>, stop: CancellationToken) {
        let stream = stream_id(&shelf.serial, ChannelNo(shelf.channel_no), Quality::Main);
        let RecordSettings { part, segment, .. } = self.archives.settings;
        let settings = SegmentSettings { part, segment, offset: offset(&shelf, segment) };
        let archive = Arc::new(ChannelArchive { archives: self.archives.clone(), shelf });
        let mut retry = RETRY_MIN;
        loop {
            let opened = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                opened = self.hub().open(&stream) => opened,
            };
            if let Ok(viewing) = opened {
                let subscription = viewing.patient().subscribe();
                Recorder::run(subscription, archive.clone(), settings, status.clone(), stop.clone()).await;
                retry = RETRY_MIN;
                status.send_modify(|status| status.state = RecorderState::Waiting);
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(retry) => retry = (retry * 2).min(RETRY_MAX),
            }
        }
    }

    /// How recording goes.
    pub fn recording_state(&self, _: &Operator) -> RecordingState {
        let channel = |(shelf, running): (&Shelf, &Running)| {
            let status = running.status.borrow();
            Some(RecordingChannel {
                serial: shelf.serial.clone(),
                channel: ChannelNo(shelf.channel_no),
                storage: Storage::numbered(shelf.storage)?,
                state: status.state.clone(),
                since: (status.since.0 > 0).then(|| millis(status.since)),
                lost_ms: status.lost_ms,
                bytes: status.bytes,
            })
        };
        let channels = self.recorders.running().iter().filter_map(channel).collect();
        let (full_since, free) = self.archives.space();
        RecordingState {
            channels,
            full_since,
            free,
            unlisted: self.archives.unlisted(),
            unlisted_since: self.archives.away_since(),
            written: self.archives.written(),
            removed: self.archives.removed(),
        }
    }

    /// Sets the recorder on our disk of a device.
    ///
    /// # Errors
    /// `SerialMalformed`; `NotOwner` when nothing of this serial is attached.
    pub async fn set_recorder(&self, _: &Operator, serial: &str, set: RecorderSetting) -> Result<(), Error> {
        let RecorderSetting { enabled, bytes_max, days_max } = set;
        let row = RecorderRow { serial: check_serial(serial)?, enabled, bytes_max, days_max };
        match self.store.set_recorder(&row).await {
            Err(::store::Error::Conflict) => return Err(Error::NotOwner),
            other => other?,
        }
        self.recorder_changed();
        Ok(())
    }

    /// The recorder on our disk of a device; off where none was ever set.
    ///
    /// # Errors
    /// `Internal`.
    pub async fn recorder(&self, serial: &str) -> Result<RecorderSetting, Error> {
        let rows = self.store.recorders().await?;
        let row = rows.into_iter().find(|row| row.serial == serial);
        Ok(row.map_or_else(RecorderSetting::default, |row| RecorderSetting {
            enabled: row.enabled,
            bytes_max: row.bytes_max,
            days_max: row.days_max,
        }))
    }

    /// What is kept of a channel, in every storage, ascending.
    ///
    /// # Errors
    /// `SerialMalformed`, `Internal`.
    pub async fn recordings(
        &self,
        _: &Operator,
        serial: &str,
        channel: ChannelNo,
        from: UnixMillis,
        to: UnixMillis,
    ) -> Result<Vec<Recording>, Error> {
        let serial = check_serial(serial)?;
        let mut found = Vec::new();
        for storage in [Storage::Local, Storage::Cloud] {
            found.extend(self.kept_recordings(&serial, channel, storage, from, to).await?);
        }
        found.sort_by_key(|recording| recording.from);
        Ok(found)
    }

    /// Locks a recording, which then nothing deletes, or lets it go; false if there is none of that number.
    ///
    /// # Errors
    /// `Internal`.
    pub async fn lock_recording(&self, _: &Operator, id: u64, locked: bool) -> Result<bool, Error> {
        match self.store.set_recording_locked(id, locked).await {
            Err(::store::Error::NotFound) => Ok(false),
            other => Ok(other.map(|()| true)?),
        }
    }
}
