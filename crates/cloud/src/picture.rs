//! Pictures: taken by the device, or from its newest key frame; kept for two hours as files.
//!
//! A file is named by the id of the address that opens it and by its account, so no row is needed, and
//! what is kept is known again after a restart. Pictures end with the device's binding and with whatever
//! else takes its addresses back.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use av::{CodecParameters, MediaKind, still};
use bytes::Bytes;
use device::{ChannelNo, DriverError, Quality, stream_id};
use media::{Item, OpenError, StreamId};
use store::UnixMillis;
use tokio::time::{Instant, timeout, timeout_at};

use crate::file::{make_folder, remove_file, write_file};
use crate::grant::{AddressId, SignedAddress, id_time};
use crate::live::no_picture;
use crate::{Caller, Channel, Cloud, Error};

/// How long a picture can be opened; documented.
const LIVES: Duration = Duration::from_secs(2 * 3600);
/// Pictures of one account. One more, and its oldest goes.
const PICTURES_MAX: usize = 1_000;
/// Bytes of one account's pictures; likewise.
const BYTES_MAX: u64 = 256 << 20;
/// The whole of it must be answered within the 5 s that the API promises.
const TAKEN_WITHIN: Duration = Duration::from_millis(4_500);
/// After this the device's own picture is given up for that of its stream.
const SNAPSHOT_WITHIN: Duration = Duration::from_millis(2_500);
/// Paths of pictures.
const PATH: &str = "/v3/picture/";

/// The pictures that are kept.
pub(crate) struct Pictures {
    folder: PathBuf,
    kept: Mutex<BTreeMap<u64, Kept>>,
}

struct Kept {
    account: String,
    bytes: u64,
}

impl Pictures {
    /// Opens the folder, made if it is not there, and looks at what is in it.
    pub(crate) async fn open(folder: PathBuf) -> Result<Pictures, Error> {
        make_folder(&folder).await?;
        let mut kept = BTreeMap::new();
        let mut entries = tokio::fs::read_dir(&folder).await?;
        while let Some(entry) = entries.next_entry().await? {
            match entry.file_name().to_str().and_then(parse_name) {
                Some((id, account)) => {
                    kept.insert(id, Kept { account, bytes: entry.metadata().await?.len() });
                }
                // Half written when the process ended.
                None => remove_file(&entry.path()).await?,
            }
        }
        Ok(Pictures { folder, kept: Mutex::new(kept) })
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<u64, Kept>> {
        self.kept.lock().expect("no panic while pictures are locked")
    }

    /// Keeps a picture; the oldest of the account make room.
    async fn keep(&self, id: u64, account: &str, jpeg: &[u8]) -> Result<(), Error> {
        let path = self.folder.join(file_name(id, account));
        write_file(&path, jpeg).await?;
        let mut over = Vec::new();
        {
            let mut kept = self.kept();
            kept.insert(id, Kept { account: account.to_owned(), bytes: jpeg.len() as u64 });
            let of_account = |kept: &BTreeMap<u64, Kept>| {
                let (mut count, mut bytes, mut oldest) = (0, 0, None);
                for (id, picture) in kept.iter().filter(|(_, picture)| picture.account == account) {
                    (count, bytes, oldest) = (count + 1, bytes + picture.bytes, oldest.or(Some(*id)));
                }
                oldest.filter(|_| count > PICTURES_MAX || bytes > BYTES_MAX)
            };
            while let Some(oldest) = of_account(&kept) {
                over.extend(kept.remove_entry(&oldest));
            }
        }
        self.remove(over).await
    }

    /// Removes what can be opened no more.
    pub(crate) async fn sweep(&self, now: UnixMillis) -> Result<(), Error> {
        let mut dead = Vec::new();
        {
            let mut kept = self.kept();
            while let Some(oldest) = kept.first_entry().filter(|oldest| id_time(*oldest.key()) + LIVES < now) {
                dead.push(oldest.remove_entry());
            }
        }
        self.remove(dead).await
    }

    async fn remove(&self, pictures: Vec<(u64, Kept)>) -> Result<(), Error> {
        for (id, picture) in pictures {
            remove_file(&self.folder.join(file_name(id, &picture.account))).await?;
        }
        Ok(())
    }

    pub(crate) async fn read(&self, id: u64) -> Option<Vec<u8>> {
        let name = file_name(id, &self.kept().get(&id)?.account);
        tokio::fs::read(self.folder.join(name)).await.ok()
    }
}

fn file_name(id: u64, account: &str) -> String {
    format!("{id}_{account}.jpg")
}

fn parse_name(name: &str) -> Option<(u64, String)> {
    let (id, account) = name.strip_suffix(".jpg")?.split_once('_')?;
    Some((id.parse().ok()?, account.to_owned()))
}

impl Cloud {
    /// Takes a picture of now and gives the address that opens it for two hours.
    ///
    /// # Errors
    /// `DeviceOffline`, `DeviceTimeout`, `Device`, `Refused`, `NoPicture`; `Unsupported` where there is neither
    /// snapshot nor stream; `NotOwner` if it is the caller's no more.
    pub async fn capture(&self, caller: &Caller, channel: &Channel) -> Result<SignedAddress, Error> {
        let jpeg = self.take(channel).await?;
        let now = self.clock.now();
        let id = self.grants.next_id(now);
        // After the id, as for play addresses.
        self.owned(caller, &channel.serial).await?;
        self.pictures.keep(id, &caller.account.0, &jpeg).await?;
        let path = format!("{PATH}{}_{}.jpg", channel.serial, channel.no);
        Ok(self.signed_address(path, id, (now + LIVES).as_secs()))
    }

    /// The device's own picture, else that of its stream.
    async fn take(&self, channel: &Channel) -> Result<Bytes, Error> {
        let device = self.handle(&channel.serial)?;
        let deadline = Instant::now() + TAKEN_WITHIN;
        let why = match timeout(SNAPSHOT_WITHIN, device.snapshot(channel.no)).await {
            Ok(Ok(jpeg)) => return Ok(jpeg),
            Ok(Err(why)) => why,
            Err(_) => DriverError::Timeout { step: "snapshot" },
        };
        let key_frame = timeout_at(deadline, self.key_frame(channel)).await;
        match (why, key_frame.unwrap_or(Err(Error::DeviceTimeout))) {
            (_, Ok(jpeg)) => Ok(jpeg),
            (DriverError::Unsupported, Err(error)) => Err(error),
            (why, Err(_)) => Err(Error::of_device(why)),
        }
    }

    /// The newest key frame of the main stream, else of the sub stream, as a picture.
    async fn key_frame(&self, channel: &Channel) -> Result<Bytes, Error> {
        let stream = |quality| stream_id(&channel.serial, channel.no, quality);
        match self.still(&stream(Quality::Main)).await {
            Ok(jpeg) => Ok(jpeg),
            Err(error) => self.still(&stream(Quality::Sub)).await.map_err(|_| error),
        }
    }

    async fn still(&self, stream: &StreamId) -> Result<Bytes, Error> {
        let mut subscription = match self.hub().open(stream).await {
            // Neither snapshot nor stream: it takes no pictures.
            Err(OpenError::NotFound) => return Err(Error::Unsupported),
            opened => opened.map_err(no_picture)?.subscribe(),
        };
        let (mut items, mut video, mut newest) = (Vec::new(), None, None);
        while newest.is_none() {
            let over = |closed: media::Closed| Error::NoPicture { step: closed.0.step, cause: closed.0.cause };
            subscription.read(&mut items).await.map_err(over)?;
            for item in items.drain(..) {
                match item {
                    Item::Tracks(tracks) => {
                        let track = tracks.iter().find(|track| track.codec.kind().media() == MediaKind::Video);
                        let none = || Error::NoPicture { step: "video", cause: "the stream has sound only".into() };
                        video = Some(track.ok_or_else(none)?.clone());
                    }
                    Item::Frame(frame) => {
                        if let Some(video) = video.as_ref().filter(|video| frame.key && frame.track == video.id) {
                            newest = Some((video.codec.clone(), frame.data.clone()));
                        }
                    }
                    Item::Gap { .. } => {}
                }
            }
        }
        let (parameters, data) = newest.expect("the loop ends with one");
        self.decoded(parameters, data).await
    }

    async fn decoded(&self, parameters: CodecParameters, key_frame: Bytes) -> Result<Bytes, Error> {
        let jpeg = self.compute(move || still::jpeg(&parameters, &key_frame)).await?;
        jpeg.map_err(|error| Error::NoPicture { step: "decode", cause: error.to_string() })
    }

    /// Whether a signed path with this id opens a picture.
    pub(crate) fn is_picture(&self, path: &str, id: u64) -> bool {
        let name = path.strip_prefix(PATH).and_then(|name| name.strip_suffix(".jpg")?.split_once('_'));
        name.is_some_and(|(serial, channel)| {
            channel.parse().is_ok_and(|no| !self.is_revoked(AddressId { serial, channel: ChannelNo(no), id }))
        })
    }
}
