//! Whether every listed segment is there, with its size and hash, and whether every blob is listed.

use std::path::Path;

use ::device::ChannelNo;
use ::store::{BlobStore, MetaStore, QuarantineRow, SegmentRow, Shelf};
use av::container::fmp4;
use futures_util::TryStreamExt;
use sha2::{Digest, Sha256};

use super::list::KIND_TIMED;
use super::spool::{blocking, millis};
use super::{blob_key, of_blob_key};
use crate::{Clock, Error, Storage, UnixMillis};

/// Rows looked at between two questions to the database.
const PAGE: u32 = 500;
/// Folder of keys that blobs are put aside to.
const ASIDE: &str = "quarantine";

/// How thoroughly to look, and what to do about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// Look at sizes alone, not into the blobs.
    pub quick: bool,
    /// Take out of the list what is not what it should be, and list what is not listed.
    pub repair: bool,
}

/// What is wrong with a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Its blob is gone.
    Missing,
    /// Its blob has another size.
    Size {
        /// The size it has.
        bytes: u64,
    },
    /// Its blob has other bytes.
    Changed,
    /// There is a blob, and nothing lists it.
    Unlisted,
    /// There is a blob, nothing lists it, and it is no segment.
    Unknown,
}

/// A segment that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Device; empty when that is not known.
    pub serial: String,
    /// Channel.
    pub channel: ChannelNo,
    /// When it begins.
    pub from: UnixMillis,
    /// When it ends, where that is known.
    pub to: Option<UnixMillis>,
    /// Key of its blob.
    pub key: String,
    /// What is wrong.
    pub kind: FaultKind,
    /// It was dealt with.
    pub repaired: bool,
}

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Listed segments.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those that were not what they should be, and blobs that were not listed.
    pub faults: u64,
}

/// Looks at everything in a data folder, and tells each fault as it is found. A server may be running on
/// it meanwhile.
///
/// # Errors
/// `Internal` when the database or the folder cannot be used.
pub async fn check(
    data: &Path,
    blobs: &Path,
    how: Check,
    clock: &Clock,
    mut tell: impl FnMut(Fault),
) -> Result<Checked, Error> {
    let database = data.join("meta.db");
    if !database.exists() {
        return Err(Error::Internal(format!("there is no {}", database.display()).into()));
    }
    let store = MetaStore::sqlite(&database).await?;
    let blobs = BlobStore::disk(&data.join(blobs))?;
    let checker = Checker { store, blobs, how, now: clock.now() };
    let mut checked = Checked::default();
    let mut tell = |fault| {
        checked.faults += 1;
        tell(fault);
    };
    let (segments, bytes) = checker.listed(&mut tell).await?;
    checker.unlisted(&data.join("spool"), &mut tell).await?;
    checker.store.close().await;
    Ok(Checked { segments, bytes, ..checked })
}

struct Checker {
    store: MetaStore,
    blobs: BlobStore,
    how: Check,
    now: UnixMillis,
}

impl Checker {
    async fn listed(&self, tell: &mut impl FnMut(Fault)) -> Result<(u64, u64), Error> {
        let (mut segments, mut bytes, mut last) = (0, 0, 0);
        loop {
            let page = self.store.segments_after(last, PAGE).await?;
            let Some(end) = page.last() else { return Ok((segments, bytes)) };
            last = end.id;
            for row in page {
                segments += 1;
                bytes += row.bytes;
                if let Some(kind) = self.fault(&row).await?
                    && self.is_listed(&row).await?
                {
                    let repaired = self.how.repair && self.put_aside(&row, kind).await?;
                    let Shelf { serial, channel_no, .. } = row.shelf.clone();
                    tell(Fault {
                        serial,
                        channel: ChannelNo(channel_no),
                        from: row.starts_at,
                        to: Some(row.ends_at),
                        key: blob_key(&row.shelf, row.starts_at),
                        kind,
                        repaired,
                    });
                }
            }
        }
    }

    async fn fault(&self, row: &SegmentRow) -> Result<Option<FaultKind>, Error> {
        let key = blob_key(&row.shelf, row.starts_at);
        let bytes = match self.blobs.size(&key).await {
            Err(::store::Error::NotFound) => return Ok(Some(FaultKind::Missing)),
            other => other?,
        };
        if bytes != row.bytes {
            return Ok(Some(FaultKind::Size { bytes }));
        }
        if self.how.quick {
            return Ok(None);
        }
        let found = match self.blobs.range(&key, 0..bytes).await {
            Err(::store::Error::NotFound) => return Ok(Some(FaultKind::Missing)),
            // A disk that cannot read its own bytes.
            Err(::store::Error::Unavailable(_)) => return Ok(Some(FaultKind::Changed)),
            other => other?,
        };
        let hash = blocking(move || Ok(<[u8; 32]>::from(Sha256::digest(&found)))).await?;
        Ok((hash != row.sha256).then_some(FaultKind::Changed))
    }

    /// A running server may have removed it meanwhile.
    async fn is_listed(&self, row: &SegmentRow) -> Result<bool, Error> {
        let found = self.store.segments_after(row.id - 1, 1).await?;
        Ok(found.first().is_some_and(|found| found.id == row.id))
    }

    /// Row first: what is listed is there.
    async fn put_aside(&self, row: &SegmentRow, kind: FaultKind) -> Result<bool, Error> {
        let cause = match kind {
            FaultKind::Missing => "missing",
            FaultKind::Size { .. } => "size",
            FaultKind::Changed | FaultKind::Unlisted | FaultKind::Unknown => "changed",
        };
        let row = QuarantineRow { segment: row.clone(), cause: cause.into(), found_at: self.now };
        if !self.store.quarantine(&row).await? {
            return Ok(false);
        }
        let key = blob_key(&row.segment.shelf, row.segment.starts_at);
        match self.blobs.rename(&key, &format!("{ASIDE}/{key}")).await {
            Err(::store::Error::NotFound) => Ok(true),
            other => Ok(other.map(|()| true)?),
        }
    }

    async fn unlisted(&self, spool: &Path, tell: &mut impl FnMut(Fault)) -> Result<(), Error> {
        for storage in [Storage::Local, Storage::Cloud] {
            let mut blobs = self.blobs.list(storage.name());
            while let Some(blob) = blobs.try_next().await? {
                let Some((shelf, starts_at)) = of_blob_key(&blob.key) else {
                    let (serial, channel, from) = (String::new(), ChannelNo(0), UnixMillis(0));
                    let kind = FaultKind::Unknown;
                    tell(Fault { serial, channel, from, to: None, key: blob.key, kind, repaired: false });
                    continue;
                };
                // One with a spool file is on its way into the list; asked before the list, which it enters first.
                let on_its_way = spool.join(super::spool::file_name(&shelf, starts_at)).exists();
                if on_its_way || self.store.knows_segment(&shelf, starts_at).await? {
                    continue;
                }
                let row = self.read(&shelf, starts_at, &blob.key, blob.bytes).await?;
                let kind = if row.is_some() { FaultKind::Unlisted } else { FaultKind::Unknown };
                let to = row.as_ref().map(|row| row.ends_at);
                let repaired = match row {
                    Some(row) if self.how.repair => self.store.insert_segments(&[row], KIND_TIMED).await? == [true],
                    _ => false,
                };
                let (serial, channel) = (shelf.serial, ChannelNo(shelf.channel_no));
                tell(Fault { serial, channel, from: starts_at, to, key: blob.key, kind, repaired });
            }
        }
        Ok(())
    }

    /// What a blob says of itself, if it is a whole segment.
    async fn read(
        &self,
        shelf: &Shelf,
        starts_at: UnixMillis,
        key: &str,
        size: u64,
    ) -> Result<Option<SegmentRow>, Error> {
        let bytes = match self.blobs.range(key, 0..size).await {
            Err(::store::Error::NotFound) => return Ok(None),
            other => other?,
        };
        let shelf = shelf.clone();
        let row = blocking(move || {
            let Ok((tracks, init_len)) = fmp4::read_init(&bytes) else { return Ok(None) };
            let Some(last) = fmp4::scan(&tracks, &bytes[init_len..]).last() else { return Ok(None) };
            let ends_at = millis(last.to).max(UnixMillis(starts_at.0 + 1));
            let sha256 = Sha256::digest(&bytes).into();
            Ok(Some(SegmentRow { id: 0, shelf, starts_at, ends_at, bytes: bytes.len() as u64, sha256 }))
        });
        Ok(row.await?)
    }
}
