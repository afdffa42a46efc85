//! Segments found and read, whether they are listed yet or not.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use ::device::{ChannelNo, RecordingKind};
use ::store::{RecordingRow, Shelf};
use av::Track;
use av::container::fmp4::{self, IndexEntry};
use bytes::Bytes;
use media::Footage;

use super::footage::ArchiveFootage;
use super::list::KIND_TIMED;
use super::{Archives, shelf};
use crate::{Cloud, Error, Recording, Storage, UnixMillis};

/// What is read of a file's beginning and end at first; both are a kilobyte or two.
const GUESS: u64 = 4 << 10;
/// Most bytes of an init or index.
const EDGE_MAX: u64 = 2 << 20;
/// Segments found at once.
const SEGMENTS_MAX: u32 = 50_000;

/// A minute or so of footage: one file of fragmented MP4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its number, one of a kind in its channel and storage; the same while it grows and after.
    pub id: u64,
    /// When its first frame was recorded.
    pub from: UnixMillis,
    /// When its last frame ends; of one that grows, of its last part.
    pub to: UnixMillis,
    /// Bytes; of one that grows, up to the end of its last part.
    pub bytes: u64,
    /// More may come.
    pub growing: bool,
    shelf: Shelf,
}

/// What is where in a segment.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentIndex {
    /// Its tracks.
    pub tracks: Arc<[Track]>,
    /// Bytes before the first part: `ftyp` and `moov`.
    pub init_len: u64,
    /// Where parts begin that decoding can start at, ascending. The first begins the segment's media.
    pub entries: Vec<IndexEntry>,
    /// Where the last part ends.
    pub media_end: u64,
}

impl Archives {
    /// The segments of a shelf that touch `from` to `to`, ascending, the first `limit` of them.
    pub(super) async fn segments(
        &self,
        shelf: &Shelf,
        from: UnixMillis,
        to: UnixMillis,
        limit: u32,
    ) -> Result<Vec<Segment>, ::store::Error> {
        // These first: one that is listed meanwhile is then seen twice rather than never.
        let mut found: BTreeMap<UnixMillis, Segment> = self.growing_segments(shelf, from, to);
        for row in self.store.segments(shelf, from, to, limit).await? {
            let segment = Segment {
                id: row.starts_at.0 as u64,
                from: row.starts_at,
                to: row.ends_at,
                bytes: row.bytes,
                growing: false,
                shelf: row.shelf,
            };
            found.insert(segment.from, segment);
        }
        Ok(found.into_values().take(limit as usize).collect())
    }

    fn growing_segments(&self, shelf: &Shelf, from: UnixMillis, to: UnixMillis) -> BTreeMap<UnixMillis, Segment> {
        let growing = self.growing();
        let segment = |found: &Arc<super::spool::Growing>| {
            let progress = found.progress();
            Segment {
                id: found.starts_at.0 as u64,
                from: found.starts_at,
                to: progress.ends_at,
                bytes: progress.bytes,
                growing: true,
                shelf: shelf.clone(),
            }
        };
        let of_shelf = growing.get(shelf).into_iter().flat_map(|shelf| shelf.values());
        of_shelf.map(segment).filter(|s| s.from < to && s.to > from && s.to > s.from).map(|s| (s.from, s)).collect()
    }

    fn growing_one(&self, segment: &Segment) -> Option<Arc<super::spool::Growing>> {
        self.growing().get(&segment.shelf)?.get(&segment.from).cloned()
    }

    /// Bytes of a segment; what lies beyond its end is left out.
    pub(super) async fn read(&self, segment: &Segment, range: Range<u64>) -> Result<Bytes, ::store::Error> {
        match self.growing_one(segment) {
            Some(growing) => growing.read(range).await,
            None => self.blobs.range(&super::blob_key(&segment.shelf, segment.from), range).await,
        }
    }

    /// Where the parts of a segment are, as it is now.
    pub(super) async fn index(&self, segment: &Segment) -> Result<SegmentIndex, ::store::Error> {
        if let Some(growing) = self.growing_one(segment) {
            let progress = growing.progress();
            return Ok(SegmentIndex {
                tracks: growing.tracks.as_slice().into(),
                init_len: progress.init_len,
                entries: progress.entries.iter().filter(|entry| entry.key).copied().collect(),
                media_end: progress.bytes,
            });
        }
        let size = match segment.growing {
            false => segment.bytes,
            // It has got its end since it was found.
            true => self.blobs.size(&super::blob_key(&segment.shelf, segment.from)).await?,
        };
        let mut head = self.read(segment, 0..GUESS).await?;
        let (tracks, init_len) = loop {
            match fmp4::read_init(&head) {
                Err(fmp4::Error::Incomplete { missing, .. })
                    if (head.len() as u64) < size && head.len() as u64 + missing <= EDGE_MAX =>
                {
                    head = self.read(segment, 0..head.len() as u64 + missing).await?;
                }
                other => break other.map_err(|e| damaged(&e))?,
            }
        };
        let mut tail = self.read(segment, size.saturating_sub(GUESS)..size).await?;
        if let Some(len) = fmp4::index_len(&tail)
            && len > tail.len()
        {
            tail = self.read(segment, size.saturating_sub(len as u64)..size).await?;
        }
        let (entries, media_end) = match fmp4::read_index(&tracks, &tail) {
            Ok(entries) => (entries, size - fmp4::index_len(&tail).unwrap_or(0) as u64),
            Err(_) => {
                let whole = self.read(segment, 0..size).await?;
                scanned(&tracks, &whole, init_len)
            }
        };
        if entries.is_empty() {
            return Err(damaged(&"no part in it"));
        }
        Ok(SegmentIndex { tracks: tracks.into(), init_len: init_len as u64, entries, media_end })
    }

    /// The recordings of a shelf that touch `from` to `to`, ascending, with what is not listed yet.
    pub(super) async fn recordings(
        &self,
        of: &Shelf,
        from: UnixMillis,
        to: UnixMillis,
    ) -> Result<Vec<RecordingRow>, ::store::Error> {
        // A recording goes on into what is looked for by segments that are not.
        let growing = self.growing_segments(of, UnixMillis(i64::MIN), to);
        let mut rows = self.store.recordings(of, from - ::store::RECORDING_JOIN, to).await?;
        for segment in growing.into_values() {
            if let Some(row) = rows.iter_mut().rev().find(|row| row.starts_at <= segment.from) {
                if segment.to <= row.ends_at {
                    continue; // Listed just now.
                }
                if row.goes_on_with(segment.from) {
                    row.ends_at = segment.to;
                    row.bytes += segment.bytes;
                    continue;
                }
            }
            let (starts_at, ends_at, bytes) = (segment.from, segment.to, segment.bytes);
            let shelf = of.clone();
            rows.push(RecordingRow { id: 0, shelf, kind: KIND_TIMED, starts_at, ends_at, bytes, locked: false });
            rows.sort_by_key(|row| row.starts_at);
        }
        rows.retain(|row| row.starts_at < to && row.ends_at > from);
        Ok(rows)
    }
}

/// The index of a file that has none.
fn scanned(tracks: &[Track], bytes: &[u8], init_len: usize) -> (Vec<IndexEntry>, u64) {
    let (mut entries, mut first, mut end) = (Vec::new(), None, init_len as u64);
    for found in fmp4::scan(tracks, &bytes[init_len..]) {
        let first = *first.get_or_insert(found.time);
        if found.key {
            let at = (init_len + found.offset) as u64;
            entries.push(IndexEntry { at, time: found.time.saturating_sub(first), key: true });
        }
        end = (init_len + found.offset + found.len) as u64;
    }
    (entries, end)
}

fn damaged(why: &dyn std::fmt::Display) -> ::store::Error {
    ::store::Error::Corrupt { what: format!("segment: {why}") }
}

impl Cloud {
    /// The segments of a channel that touch `from` to `to`, ascending, the growing one included; at most
    /// the first 50,000, which is more than a month.
    ///
    /// # Errors
    /// `Internal`.
    pub async fn segments(
        &self,
        serial: &str,
        channel: ChannelNo,
        storage: Storage,
        from: UnixMillis,
        to: UnixMillis,
    ) -> Result<Vec<Segment>, Error> {
        Ok(self.archives.segments(&shelf(serial, channel, storage), from, to, SEGMENTS_MAX).await?)
    }

    /// Bytes of a segment; what lies beyond its end is left out.
    ///
    /// # Errors
    /// `Internal`, also when it was removed since it was found.
    pub async fn read_segment(&self, segment: &Segment, range: Range<u64>) -> Result<Bytes, Error> {
        Ok(self.archives.read(segment, range).await?)
    }

    /// Where the parts of a segment are; of one that grows, by now.
    ///
    /// # Errors
    /// As [`Cloud::read_segment`], and when it is damaged.
    pub async fn segment_index(&self, segment: &Segment) -> Result<SegmentIndex, Error> {
        Ok(self.archives.index(segment).await?)
    }

    /// Reads what was recorded of a channel between two moments.
    pub fn archive_footage(
        &self,
        serial: &str,
        channel: ChannelNo,
        storage: Storage,
        from: UnixMillis,
        to: UnixMillis,
    ) -> Box<dyn Footage> {
        Box::new(ArchiveFootage::new(self.archives.clone(), shelf(serial, channel, storage), from, to))
    }

    /// The recordings of a channel that touch `from` to `to`, ascending, not clipped, one that grows
    /// included. One that has no listed segment yet has no number.
    ///
    /// # Errors
    /// `Internal`.
    pub async fn kept_recordings(
        &self,
        serial: &str,
        channel: ChannelNo,
        storage: Storage,
        from: UnixMillis,
        to: UnixMillis,
    ) -> Result<Vec<Recording>, Error> {
        let rows = self.archives.recordings(&shelf(serial, channel, storage), from, to).await?;
        let recording = |row: RecordingRow| Recording {
            id: (row.id > 0).then_some(row.id),
            storage,
            from: row.starts_at,
            to: row.ends_at,
            kind: if row.kind == KIND_TIMED { RecordingKind::Timed } else { RecordingKind::Event },
            bytes: Some(row.bytes),
            locked: row.locked,
        };
        Ok(rows.into_iter().map(recording).collect())
    }
}
