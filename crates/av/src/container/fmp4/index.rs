//! Where the fragments of a file are: found by looking, or kept at its end.

use super::boxes::{self, HEADER, Header, children, put, put_full, version_flags, versioned};
use super::read::{self, MICROS, Sample, micros, samples};
use super::write::track_id;
use super::{Error, TICKS_MAX};
use crate::{MediaKind, Ticks, Track, UnixMicros};

/// A whole fragment of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Its first byte in what was scanned.
    pub offset: usize,
    /// Bytes of it.
    pub len: usize,
    /// When its first frame was recorded.
    pub from: UnixMicros,
    /// When its last frame ends.
    pub to: UnixMicros,
    /// Its first picture is a key frame; its first frame, in a file without pictures.
    pub key: bool,
    /// Presentation time on the tracks' common clock, in microseconds, of its first picture, or of its
    /// first frame where it has none. Differences of it are [`IndexEntry::time`].
    pub time: i64,
}

/// Iterates the whole fragments of a file or of a piece of one that begins between boxes. It ends before
/// the first that is cut or damaged: a recording goes on being good up to there.
pub fn scan<'a>(tracks: &'a [Track], bytes: &'a [u8]) -> Scan<'a> {
    Scan { tracks, bytes, at: 0 }
}

/// Iterator of [`scan`].
#[derive(Clone, Debug)]
pub struct Scan<'a> {
    tracks: &'a [Track],
    bytes: &'a [u8],
    at: usize,
}

impl Iterator for Scan<'_> {
    type Item = Fragment;

    fn next(&mut self) -> Option<Fragment> {
        let found = loop {
            let found = one(self.tracks, self.bytes, self.at);
            match found {
                // No frame of ours in it.
                Ok(Some((None, end))) => self.at = end,
                found => break found,
            }
        };
        self.at = match found {
            Ok(Some((_, end))) => end,
            _ => self.bytes.len(),
        };
        found.ok().flatten().and_then(|(fragment, _)| fragment)
    }
}

/// The fragment at or behind `at` and where it ends.
fn one(tracks: &[Track], bytes: &[u8], at: usize) -> Result<Option<(Option<Fragment>, usize)>, Error> {
    let Some(layout) = read::find(bytes, at)? else { return Ok(None) };
    let zero = layout.zero(tracks, bytes)?;
    let has_pictures = tracks.iter().any(|track| track.kind() == MediaKind::Video);
    let (mut from, mut to) = (i64::MAX, i64::MIN);
    let (mut first, mut picture) = (None, None);
    samples(tracks, bytes, &layout, |track, Sample { dts, cts, duration, key, .. }| {
        let time = |ticks| micros(ticks, track.clock_rate);
        from = from.min(time(dts));
        to = to.max(time(dts.saturating_add(duration.into())));
        let shown = (time(dts.saturating_add(cts.into())), key);
        first.get_or_insert(shown);
        if track.kind() == MediaKind::Video {
            picture.get_or_insert(shown);
        }
    })?;
    let fragment = first.map(|first: (i64, bool)| Fragment {
        offset: layout.start,
        len: layout.mdat.end - layout.start,
        from: UnixMicros(zero.saturating_add(from)),
        to: UnixMicros(zero.saturating_add(to)),
        key: if has_pictures { picture.is_some_and(|(_, key)| key) } else { first.1 },
        time: picture.unwrap_or(first).0,
    });
    Ok(Some((fragment, layout.mdat.end)))
}

/// Where decoding can go on in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// First byte of the fragment, from the beginning of the file.
    pub at: u64,
    /// Microseconds since the file's first frame.
    pub time: i64,
    /// Decoding can start there.
    pub key: bool,
}

/// Bytes of `mfro`.
const MFRO: usize = 16;

/// Most bytes of an index: a fragment a second for twelve hours has 860 KB.
const INDEX_MAX: usize = 1 << 20;

/// The track that an index is about: pictures, or the first one where there are none.
fn indexed(tracks: &[Track]) -> Option<&Track> {
    tracks.iter().find(|track| track.kind() == MediaKind::Video).or(tracks.first())
}

/// Appends the index that ends a file, `mfra` with `tfra` and `mfro` (§8.8.9 to §8.8.11): those of
/// `entries` that are `key`, ascending. `start` is what the tracks' clocks show at the first frame, in
/// microseconds ([`Fragment::time`] of the first fragment). Players of others seek by it too.
///
/// # Panics
/// If there are so many entries that they take 4 GiB.
pub fn write_index(out: &mut Vec<u8>, tracks: &[Track], start: i64, entries: &[IndexEntry]) {
    let Some(track) = indexed(tracks) else { return };
    let at = out.len();
    put(out, b"mfra", |out| {
        put_full(out, b"tfra", 1, 0, |out| {
            let keys = || entries.iter().filter(|entry| entry.key);
            // The three numbers behind each offset have a byte each.
            for field in [track_id(track), 0, keys().count() as u32] {
                out.extend_from_slice(&field.to_be_bytes());
            }
            for entry in keys() {
                let time = Ticks(start.saturating_add(entry.time)).rescale(MICROS, track.clock_rate);
                out.extend_from_slice(&(time.0.max(0) as u64).to_be_bytes());
                out.extend_from_slice(&entry.at.to_be_bytes());
                out.extend_from_slice(&[1, 1, 1]); // traf, trun and sample, counted from 1
            }
        });
        put_full(out, b"mfro", 0, 0, |out| out.extend_from_slice(&[0; 4]));
    });
    let size = (out.len() - at) as u32;
    let end = out.len();
    out[end - 4..].copy_from_slice(&size.to_be_bytes());
}

/// How many bytes at the end of a file its index takes, if it has one, from its last 16 bytes or more.
pub fn index_len(tail: &[u8]) -> Option<usize> {
    let mfro = &tail[tail.len().checked_sub(MFRO)?..];
    let size = u32::from_be_bytes(*mfro[12..].first_chunk()?) as usize;
    (mfro[..HEADER] == *b"\0\0\0\x10mfro" && (MFRO + HEADER..=INDEX_MAX).contains(&size)).then_some(size)
}

/// Reads the index of a file with these tracks from its last bytes, of which there may be more than
/// [`index_len`] says. All entries are `key`; the first counts as the file's beginning.
///
/// # Errors
/// [`Error::Incomplete`] when the index begins before `tail`; [`Error::Invalid`] when there is none or it is
/// malformed, and then [`scan`] makes one.
pub fn read_index(tracks: &[Track], tail: &[u8]) -> Result<Vec<IndexEntry>, Error> {
    let size = index_len(tail).ok_or(Error::Invalid("mfro"))?;
    let at = tail.len().checked_sub(size);
    let missing = || Error::Incomplete { what: "mfra", missing: (size - tail.len()) as u64 };
    let mfra = &tail[at.ok_or_else(missing)?..];
    let header = Header::read(mfra)?;
    if header.kind != *b"mfra" || header.size != size as u64 {
        return Err(Error::Invalid("mfra"));
    }
    let track = indexed(tracks).ok_or(Error::Invalid("file without tracks"))?;
    for found in children(&mfra[header.header..]) {
        let (kind, mut tfra) = found?;
        if kind != *b"tfra" {
            continue;
        }
        let (version, _) = version_flags(&mut tfra, "tfra")?;
        if boxes::u32(&mut tfra, "tfra")? == track_id(track) {
            return entries(track, version, tfra);
        }
    }
    Err(Error::Invalid("mfra without tfra of the track"))
}

fn entries(track: &Track, version: u8, mut tfra: &[u8]) -> Result<Vec<IndexEntry>, Error> {
    let sizes = boxes::u32(&mut tfra, "tfra")?;
    let numbers: u32 = [4, 2, 0].iter().map(|shift| (sizes >> shift & 3) + 1).sum();
    let count = boxes::u32(&mut tfra, "tfra")? as usize;
    let each = if version == 0 { 8 } else { 16 } + numbers as usize;
    // No room is made for entries that are only claimed.
    let mut entries = Vec::with_capacity(count.min(tfra.len() / each));
    let mut start = None;
    for _ in 0..count {
        let ticks = versioned(&mut tfra, version, "tfra")?;
        let at = versioned(&mut tfra, version, "tfra")?;
        boxes::skip(&mut tfra, numbers as usize, "tfra")?;
        if ticks > TICKS_MAX {
            return Err(Error::Invalid("time in tfra"));
        }
        let time = micros(ticks as i64, track.clock_rate);
        let start = *start.get_or_insert(time);
        entries.push(IndexEntry { at, time: time.saturating_sub(start), key: true });
    }
    Ok(entries)
}
