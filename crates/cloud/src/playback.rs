//! Footage: what there is of a channel, and who may watch it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use av::UnixMicros;
use device::{ChannelNo, RecordingKind};
use media::Footage;
use store::DeviceRow;
use tokio::time::Instant;

use crate::calendar::LocalTime;
use crate::grant::{AddressId, SignedAddress, Span};
use crate::{Caller, Channel, Cloud, Error, UnixMillis};

const PLAY_PATH: &str = "/v3/openpb/";
const DOWNLOAD_PATH: &str = "/v3/download/";
/// What a device said it has is not asked again for this long: pages ask for one day several times over.
const FOUND_FRESH: Duration = Duration::from_secs(5);
/// Searches remembered.
const FOUND_MAX: usize = 64;
/// What follows the channel in a path: footage has one quality.
const QUALITY: &str = "1";

/// Where footage lies, as a viewer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Storage {
    /// The device's own card, or a recorder on our disk in its place (`rec=local`, type 2).
    Local,
    /// Our cloud storage, which a plan opens (`rec=cloud`, type 3).
    Cloud,
}

impl Storage {
    /// Its name in addresses.
    pub fn name(self) -> &'static str {
        match self {
            Storage::Local => "local",
            Storage::Cloud => "cloud",
        }
    }

    /// The inverse of [`Storage::name`].
    pub fn named(name: &str) -> Option<Storage> {
        [Storage::Local, Storage::Cloud].into_iter().find(|storage| storage.name() == name)
    }
}

/// One file of the index: consecutive segments of at most an hour, or what the device calls a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Number of a file that we keep; a device's own has none.
    pub id: Option<u64>,
    /// Where it lies.
    pub storage: Storage,
    /// When it begins.
    pub from: UnixMillis,
    /// When it ends; of one that grows, the end of its last part.
    pub to: UnixMillis,
    /// Why it was recorded.
    pub kind: RecordingKind,
    /// Its size in bytes, where known.
    pub bytes: Option<u64>,
    /// Kept whatever the plan says.
    pub locked: bool,
}

/// A verified permission to watch footage of one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaybackGrant {
    /// The address's id.
    pub id: u64,
    /// Device.
    pub serial: String,
    /// Channel.
    pub channel: ChannelNo,
    /// Where it lies.
    pub storage: Storage,
    /// From here.
    pub from: UnixMillis,
    /// Up to here.
    pub to: UnixMillis,
}

/// What devices said they have, lately.
#[derive(Default)]
pub(crate) struct Found(Mutex<VecDeque<Search>>);

/// One search and what came of it.
struct Search {
    serial: String,
    channel: ChannelNo,
    from: UnixMillis,
    to: UnixMillis,
    at: Instant,
    recordings: Vec<Recording>,
}

impl Found {
    fn searches(&self) -> std::sync::MutexGuard<'_, VecDeque<Search>> {
        self.0.lock().expect("no panic while the searches are locked")
    }

    /// What a search for this would find, if a wider one was made just now.
    fn get(&self, serial: &str, channel: ChannelNo, from: UnixMillis, to: UnixMillis) -> Option<Vec<Recording>> {
        let mut searches = self.searches();
        searches.retain(|search| search.at.elapsed() < FOUND_FRESH);
        let covers = |s: &&Search| s.serial == serial && s.channel == channel && s.from <= from && s.to >= to;
        let found = searches.iter().find(covers)?;
        Some(found.recordings.iter().filter(|recording| recording.overlaps(from, to)).cloned().collect())
    }

    fn put(&self, search: Search) {
        let mut searches = self.searches();
        if searches.len() >= FOUND_MAX {
            searches.pop_front();
        }
        searches.push_back(search);
    }
}

impl Recording {
    /// Whether some of it lies between two moments.
    pub fn overlaps(&self, from: UnixMillis, to: UnixMillis) -> bool {
        self.from < to && self.to > from
    }
}

/// Who came by a channel's code sees what is now, and not what was.
///
/// # Errors
/// `PermissionDenied`.
fn not_by_a_code(caller: &Caller) -> Result<(), Error> {
    let by_a_code = caller.guest.as_ref().is_some_and(|guest| guest.channel.is_some());
    if by_a_code { Err(Error::PermissionDenied) } else { Ok(()) }
}

/// The end of the second that a moment lies in, or itself.
fn whole_second(at: UnixMillis) -> UnixMillis {
    UnixMillis(at.0.saturating_add(999).div_euclid(1000).saturating_mul(1000))
}

fn millis(at: UnixMicros) -> UnixMillis {
    UnixMillis(at.0.div_euclid(1000))
}

fn micros(at: UnixMillis) -> UnixMicros {
    UnixMicros(at.0.saturating_mul(1000))
}

impl<'a> From<&'a PlaybackGrant> for AddressId<'a> {
    fn from(grant: &'a PlaybackGrant) -> AddressId<'a> {
        AddressId { serial: &grant.serial, channel: grant.channel, id: grant.id }
    }
}

/// What to make an address of footage for. `Debug` hides the code.
#[derive(Clone, Copy)]
pub struct PlaybackAsk<'a> {
    /// Where it lies.
    pub storage: Storage,
    /// From here; addresses have whole seconds, so from the one that this is in.
    pub from: UnixMillis,
    /// Up to here, which may lie in the future; up to the end of this second.
    pub to: UnixMillis,
    /// Seconds the address is valid, 30 to 62,208,000; 7 days when absent.
    pub expire_s: Option<u64>,
    /// Stream password, for a device that is encrypted.
    pub code: Option<&'a str>,
}

impl fmt::Debug for PlaybackAsk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlaybackAsk")
            .field("storage", &self.storage)
            .field("from", &self.from)
            .field("to", &self.to)
            .field("expire_s", &self.expire_s)
            .field("code", &self.code.map(|_| "***"))
            .finish()
    }
}

impl Cloud {
    /// What there is of a channel between two moments, ascending and not clipped, one that grows included:
    /// of one storage, or of both. Of both, what cannot be asked of the device hides nothing of ours. Of
    /// what we keep nobody sees what was recorded while somebody else had the device.
    ///
    /// # Errors
    /// `NotOwner` and its kin; `PermissionDenied` to who came by a channel's code; for what the device keeps `Unsupported` if it keeps nothing, `DeviceOffline`,
    /// `DeviceTimeout`, `Device`, `Refused`.
    pub async fn find_recordings(
        &self,
        caller: &Caller,
        channel: &Channel,
        storage: Option<Storage>,
        from: UnixMillis,
        to: UnixMillis,
    ) -> Result<Vec<Recording>, Error> {
        not_by_a_code(caller)?;
        let row = self.owned(caller, &channel.serial).await?;
        let mut recordings = match storage {
            Some(Storage::Local) => Vec::new(),
            Some(Storage::Cloud) | None => self.kept(&row, channel.no, Storage::Cloud, from, to).await?,
        };
        if storage != Some(Storage::Cloud) {
            match self.local_recordings(&row, channel.no, from, to).await {
                Ok(local) => recordings.extend(local),
                Err(Error::Unsupported) if storage.is_none() => {}
                Err(_) if !recordings.is_empty() => {}
                Err(error) => return Err(error),
            }
            recordings.sort_by_key(|recording| (recording.from, recording.storage, recording.to));
        }
        Ok(recordings)
    }

    /// One recording of a channel in cloud storage, by its number.
    ///
    /// # Errors
    /// As [`Cloud::find_recordings`]; `RecordingUnknown`.
    pub async fn find_recording(&self, caller: &Caller, channel: &Channel, id: u64) -> Result<Recording, Error> {
        let row = self.store.recording(id).await?.ok_or(Error::RecordingUnknown)?;
        let found = self.find_recordings(caller, channel, Some(Storage::Cloud), row.starts_at, row.ends_at).await?;
        found.into_iter().find(|recording| recording.id == Some(id)).ok_or(Error::RecordingUnknown)
    }

    /// What we keep of a channel, as its present account may see it.
    async fn kept(
        &self,
        row: &DeviceRow,
        channel: ChannelNo,
        storage: Storage,
        from: UnixMillis,
        to: UnixMillis,
    ) -> Result<Vec<Recording>, Error> {
        let from = from.max(row.owner_since);
        if from >= to {
            return Ok(Vec::new());
        }
        let mut recordings = self.kept_recordings(&row.serial, channel, storage, from, to).await?;
        recordings.retain(|recording| recording.overlaps(from, to));
        for recording in &mut recordings {
            recording.from = recording.from.max(row.owner_since);
        }
        Ok(recordings)
    }

    /// What the device keeps, or a recorder on our disk in its place.
    async fn local_recordings(
        &self,
        row: &DeviceRow,
        channel: ChannelNo,
        from: UnixMillis,
        to: UnixMillis,
    ) -> Result<Vec<Recording>, Error> {
        let serial = row.serial.as_str();
        if self.recorder(serial).await?.enabled {
            return self.kept(row, channel, Storage::Local, from, to).await;
        }
        let handle = self.handle(serial)?;
        if let Some(found) = self.found.get(serial, channel, from, to) {
            return Ok(found);
        }
        let found = handle.recordings(channel, micros(from), micros(to)).await.map_err(Error::of_device)?;
        let recording = |found: device::Recording| Recording {
            id: None,
            storage: Storage::Local,
            from: millis(found.from),
            to: millis(found.to),
            kind: found.kind,
            bytes: found.bytes,
            locked: false,
        };
        let mut recordings: Vec<Recording> = found.into_iter().map(recording).collect();
        recordings.retain(|recording| recording.overlaps(from, to));
        let search =
            Search { serial: serial.to_owned(), channel, from, to, at: Instant::now(), recordings: recordings.clone() };
        self.found.put(search);
        Ok(recordings)
    }

    /// Whether we keep the footage that an address opens; otherwise the device does.
    ///
    /// # Errors
    /// `Internal`.
    pub async fn is_kept(&self, grant: &PlaybackGrant) -> Result<bool, Error> {
        Ok(grant.storage == Storage::Cloud || self.recorder(&grant.serial).await?.enabled)
    }

    /// The footage that an address opens.
    ///
    /// # Errors
    /// `DeviceOffline` for what only the device has.
    pub async fn open_footage(&self, grant: &PlaybackGrant) -> Result<Box<dyn Footage>, Error> {
        let PlaybackGrant { serial, channel, storage, from, to, .. } = grant;
        if self.is_kept(grant).await? {
            return Ok(self.archive_footage(serial, *channel, *storage, *from, *to));
        }
        Ok(self.handle(serial)?.footage(*channel, micros(*from), micros(*to)))
    }

    /// Makes an address that plays footage.
    ///
    /// # Errors
    /// `InvalidArgument` for the expiry or a span that ends before it begins, `DeviceOffline` for footage
    /// that only the device has, `NotOwner` if it is the caller's no more; `Encrypted` without the right
    /// code where one is needed, `RateLimited` after too many wrong ones; `PermissionDenied` to who came by a
    /// channel's code.
    pub async fn playback_address(
        &self,
        caller: &Caller,
        channel: &Channel,
        ask: PlaybackAsk<'_>,
    ) -> Result<SignedAddress, Error> {
        let path = format!("{PLAY_PATH}{}_{}_{QUALITY}", channel.serial, channel.no);
        self.footage_address(caller, channel, path, ask).await
    }

    /// Makes an address that gives footage as one MP4 file.
    ///
    /// # Errors
    /// As [`Cloud::playback_address`]; `Unsupported` for what only the device has, which can be played.
    pub async fn download_address(
        &self,
        caller: &Caller,
        channel: &Channel,
        ask: PlaybackAsk<'_>,
    ) -> Result<SignedAddress, Error> {
        if ask.storage == Storage::Local && !self.recorder(&channel.serial).await?.enabled {
            return Err(Error::Unsupported);
        }
        let path = format!("{DOWNLOAD_PATH}{}_{}_{QUALITY}.mp4", channel.serial, channel.no);
        self.footage_address(caller, channel, path, ask).await
    }

    async fn footage_address(
        &self,
        caller: &Caller,
        channel: &Channel,
        path: String,
        ask: PlaybackAsk<'_>,
    ) -> Result<SignedAddress, Error> {
        not_by_a_code(caller)?;
        if ask.from >= ask.to {
            return Err(Error::InvalidArgument { field: "stopTime" });
        }
        let row = self.owned(caller, &channel.serial).await?;
        let ours = ask.storage == Storage::Cloud || self.recorder(&row.serial).await?.enabled;
        let begin = if ours { ask.from.max(whole_second(row.owner_since)) } else { ask.from };
        // Of what lies before there is nothing: an address of an empty span, which is none.
        let end = whole_second(ask.to).max(begin);
        let [begin, end] = [begin, end].map(|at| LocalTime::of(at, self.utc_offset_minutes).compact());
        // Only years of four digits can be read again.
        for (text, field) in [(&begin, "startTime"), (&end, "stopTime")] {
            LocalTime::read_compact(text).ok_or(Error::InvalidArgument { field })?;
        }
        let (id, expire) = self.permit(caller, channel, ask.expire_s, ask.code).await?;
        if !ours && !self.is_online(&channel.serial) {
            return Err(Error::DeviceOffline);
        }
        Ok(self.signed_span(path, Span { begin: &begin, end: &end, rec: ask.storage.name() }, id, expire))
    }

    /// Verifies an address that plays footage: its path, without what a protocol adds to it, and its
    /// query as the player sent them. Parameters that are not signed are ignored; one that is may stand
    /// there once.
    ///
    /// # Errors
    /// `GrantInvalid`, whatever is wrong with it.
    pub fn verify_playback(&self, path: &str, query: &str) -> Result<PlaybackGrant, Error> {
        self.playback_grant(path, query, PLAY_PATH, QUALITY).ok_or(Error::GrantInvalid)
    }

    /// Verifies an address of footage as a file, as [`Cloud::verify_playback`] does.
    ///
    /// # Errors
    /// `GrantInvalid`, whatever is wrong with it.
    pub fn verify_download(&self, path: &str, query: &str) -> Result<PlaybackGrant, Error> {
        self.playback_grant(path, query, DOWNLOAD_PATH, "1.mp4").ok_or(Error::GrantInvalid)
    }

    fn playback_grant(&self, path: &str, query: &str, prefix: &str, suffix: &str) -> Option<PlaybackGrant> {
        let (id, (storage, from, to)) = self.signed_span_id(path, query, |span| {
            let at = |text| Some(LocalTime::read_compact(text)?.at(self.utc_offset_minutes));
            Some((Storage::named(span.rec)?, at(span.begin)?, at(span.end)?))
        })?;
        let mut parts = path.strip_prefix(prefix)?.split('_');
        let (serial, channel, quality) = (parts.next()?, parts.next()?, parts.next()?);
        let channel = ChannelNo(channel.parse().ok()?);
        let grant = PlaybackGrant { id, serial: serial.to_owned(), channel, storage, from, to };
        (quality == suffix && !self.is_revoked(&grant)).then_some(grant)
    }
}
