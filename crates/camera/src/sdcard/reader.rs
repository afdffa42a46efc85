//! Frames of a range, from one clip to the next.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use av::container::fmp4;
use av::{Frame, MediaKind, Track, TrackId, UnixMicros};
use bytes::Bytes;

use super::{Card, Entry, Key, follows};
use crate::Error;

/// Longest head of a clip, bytes: ours have about one thousand.
const HEAD_MAX: u64 = 64 << 10;
/// Most bytes between two entries of the index: a minute between key frames at 50 Mbit/s.
const CHUNK_MAX: u64 = 384 << 20;
/// Last bytes of a file that are read first: the index of five minutes has some.
const TAIL: u64 = 16 << 10;

/// Frames that were recorded in a row, in decoding order over all tracks.
pub struct Chunk {
    /// Their tracks.
    pub tracks: Arc<[Track]>,
    /// Their times of recording are their `wall`; their `dts` counts within a clip.
    pub frames: Vec<Frame>,
    /// They do not follow those of the chunk before, or there was none.
    pub begins: bool,
    /// What follows does not follow them without a gap, or nothing does.
    pub ends: bool,
    /// Nothing follows.
    pub last: bool,
}

impl Chunk {
    /// When its first picture was taken.
    pub fn picture(&self) -> Option<UnixMicros> {
        self.frames.iter().find(|frame| frame.track == TrackId::VIDEO).map(|frame| frame.wall)
    }
}

/// Reads a channel's footage of a range. Blocks.
pub struct Reader {
    card: Arc<Card>,
    channel: u16,
    /// Where it shall begin; then, where it is.
    at: UnixMicros,
    to: UnixMicros,
    clip: Option<Opened>,
    begins: bool,
    done: bool,
}

/// The clip that is being read.
struct Opened {
    key: Key,
    file: File,
    tracks: Arc<[Track]>,
    /// Which entry of the index comes next.
    next: usize,
}

/// A fragment to read, or several.
struct Span {
    at: u64,
    length: u64,
    then: Then,
}

/// What is in the range behind it.
#[derive(PartialEq, Eq)]
enum Then {
    GoesOn,
    Gap,
    Nothing,
}

impl Reader {
    /// From the last key frame at or before `from` to what was recorded before `to`; gaps are passed over. What
    /// is recorded later than the end is reached is not waited for.
    pub fn new(card: Arc<Card>, channel: u16, from: UnixMicros, to: UnixMicros) -> Reader {
        Reader { card, channel, at: from, to, clip: None, begins: true, done: false }
    }

    /// The tracks of what will be read first; none if there is nothing.
    ///
    /// # Errors
    /// If a clip cannot be read.
    pub fn tracks(&mut self) -> Result<Option<Arc<[Track]>>, Error> {
        let failed = self.card.clone();
        self.enter().map_err(|error| failed.failed(error))?;
        Ok(self.clip.as_ref().map(|clip| clip.tracks.clone()))
    }

    /// What comes next, a second or so; none at the end.
    ///
    /// # Errors
    /// If a clip cannot be read. The next call goes on after it.
    pub fn read(&mut self) -> Result<Option<Chunk>, Error> {
        let card = self.card.clone();
        self.next().map_err(|error| card.failed(error))
    }

    fn next(&mut self) -> io::Result<Option<Chunk>> {
        loop {
            self.enter()?;
            let Some(clip) = self.clip.as_mut().filter(|_| !self.done) else { return Ok(None) };
            let Some(span) = span(&self.card, clip, self.to) else {
                // It was deleted, or has no more.
                let key = clip.key;
                self.begins |= !self.card.lock().contains_key(&key);
                self.leave(key);
                continue;
            };
            clip.next += 1;
            let (tracks, key) = (clip.tracks.clone(), clip.key);
            let mut frames = match clip.read(&span) {
                Ok(frames) => frames,
                Err(error) => {
                    self.leave(key);
                    self.begins = true;
                    return Err(error);
                }
            };
            frames.retain(|frame| frame.wall < self.to);
            self.done = span.then == Then::Nothing;
            let ends = span.then != Then::GoesOn;
            let begins = std::mem::replace(&mut self.begins, ends);
            return Ok(Some(Chunk { tracks, frames, begins, ends, last: self.done }));
        }
    }

    /// Opens the clip to read on in, if none is open.
    fn enter(&mut self) -> io::Result<()> {
        if self.clip.is_some() || self.done {
            return Ok(());
        }
        let found = {
            let clips = self.card.lock();
            let mut begun = clips.range((self.channel, UnixMicros(i64::MIN))..(self.channel, self.to));
            let found = begun.find(|(_, kept)| kept.clip.to > self.at);
            // Opened before anybody can delete or rename it.
            found
                .map(|(key, kept)| Ok::<_, io::Error>((*key, File::open(&kept.path)?, kept.index.clone())))
                .transpose()?
        };
        let Some((key, file, index)) = found else {
            self.done = true;
            return Ok(());
        };
        match self.open(key, file, index) {
            Ok(clip) => self.clip = Some(clip),
            Err(error) => {
                self.leave(key);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Reads what must be known of a clip to read on in it.
    fn open(&self, key: Key, mut file: File, index: Option<Arc<Vec<Entry>>>) -> io::Result<Opened> {
        let tracks = head(&mut file)?;
        let index = match index {
            Some(index) => index,
            None => {
                let index = Arc::new(load(&mut file, &tracks, key.1)?);
                if let Some(kept) = self.card.lock().get_mut(&key) {
                    kept.index.get_or_insert_with(|| index.clone());
                }
                index
            }
        };
        let keys = || index.iter().enumerate().filter(|(_, entry)| entry.key);
        let before = keys().take_while(|(_, entry)| entry.from <= self.at).last().or(keys().next());
        let next = before.map_or(index.len(), |(next, _)| next);
        Ok(Opened { key, file, tracks: tracks.into(), next })
    }

    /// What is read next begins when the clip ends, or later.
    fn leave(&mut self, key: Key) {
        let clips = self.card.lock();
        // One that was deleted meanwhile is behind its own beginning at least.
        self.at = clips.get(&key).map_or(UnixMicros(key.1.0 + 1), |kept| kept.clip.to);
        drop(clips);
        self.clip = None;
    }
}

/// Where the next entry of a clip is; none at its end, or behind the range.
fn span(card: &Card, clip: &Opened, to: UnixMicros) -> Option<Span> {
    let clips = card.lock();
    let kept = clips.get(&clip.key)?;
    let index = kept.index.as_ref()?;
    let entry = index.get(clip.next).filter(|entry| entry.from < to)?;
    let (end, then) =
        match index.get(clip.next + 1) {
            Some(next) if next.from < to => (next.at, Then::GoesOn),
            Some(next) => (next.at, Then::Nothing),
            None => {
                let (channel, from) = clip.key;
                let mut later = clips.range((channel, UnixMicros(from.0 + 1))..(channel, to));
                let then = later.next().map_or(Then::Nothing, |((_, from), _)| {
                    if follows(kept.clip.to, *from) { Then::GoesOn } else { Then::Gap }
                });
                (kept.clip.bytes, then)
            }
        };
    Some(Span { at: entry.at, length: end.saturating_sub(entry.at), then })
}

impl Opened {
    fn read(&mut self, span: &Span) -> io::Result<Vec<Frame>> {
        if span.length > CHUNK_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "fragments larger than any of ours"));
        }
        self.file.seek(SeekFrom::Start(span.at))?;
        let mut bytes = vec![0; span.length as usize];
        self.file.read_exact(&mut bytes)?;
        let mut bytes = Bytes::from(bytes);
        let mut frames = Vec::new();
        // What is behind the last fragment is the file's index.
        while !bytes.is_empty() {
            let (read, length) = fmp4::read_fragment(&self.tracks, &bytes).map_err(invalid)?;
            frames.extend(read);
            bytes = bytes.slice(length..);
        }
        Ok(frames)
    }
}

fn invalid(error: fmp4::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// The tracks of a file.
fn head(file: &mut File) -> io::Result<Vec<Track>> {
    let mut head = Vec::new();
    file.take(HEAD_MAX).read_to_end(&mut head)?;
    let (tracks, _) = fmp4::read_init(&head).map_err(invalid)?;
    match tracks.first() {
        Some(track) if track.kind() == MediaKind::Video => Ok(tracks),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "a clip without pictures")),
    }
}

/// The index of a closed file that begins at `from`: from its end, or by looking through it.
fn load(file: &mut File, tracks: &[Track], from: UnixMicros) -> io::Result<Vec<Entry>> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut tail = |length_max: u64| {
        file.seek(SeekFrom::Start(length - length.min(length_max)))?;
        let mut tail = Vec::new();
        file.read_to_end(&mut tail)?;
        Ok::<_, io::Error>(tail)
    };
    let mut end = tail(TAIL)?;
    if let Some(size) = fmp4::index_len(&end).filter(|size| *size > end.len()) {
        end = tail(size as u64)?;
    }
    let entries = match fmp4::read_index(tracks, &end) {
        Ok(entries) => entries,
        Err(_) => {
            let whole = tail(u64::MAX)?;
            let head = fmp4::read_init(&whole).map_err(invalid)?.1;
            let fragments: Vec<_> = fmp4::scan(tracks, &whole[head..]).collect();
            let start = fragments.first().map_or(0, |fragment| fragment.time);
            let entry = |fragment: fmp4::Fragment| fmp4::IndexEntry {
                at: (head + fragment.offset) as u64,
                time: fragment.time - start,
                key: fragment.key,
            };
            fragments.into_iter().map(entry).collect()
        }
    };
    let entry = |entry: fmp4::IndexEntry| Entry { at: entry.at, from: UnixMicros(from.0 + entry.time), key: entry.key };
    Ok(entries.into_iter().map(entry).collect())
}
