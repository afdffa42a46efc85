//! Footage of the archive: segments in a row, each read part by part.

use std::collections::VecDeque;
use std::sync::Arc;

use ::store::Shelf;
use async_trait::async_trait;
use av::container::fmp4;
use av::{Track, UnixMicros};
use bytes::{Bytes, BytesMut};
use media::{Footage, FootageError, Item};
use tracing::warn;

use super::Archives;
use super::read::{Segment, SegmentIndex};
use super::spool::millis;
use crate::UnixMillis;

/// Segments found at once.
const AHEAD: u32 = 16;
/// Most bytes read at once; a part is a quarter of that at 2 Mbit/s.
const CHUNK: u64 = 1 << 20;
/// Most bytes of a part that is taken for one.
const PART_MAX: u64 = 64 << 20;

/// Footage of one shelf between two moments.
pub(super) struct ArchiveFootage {
    archives: Arc<Archives>,
    shelf: Shelf,
    from: UnixMillis,
    to: UnixMillis,
    /// What was found and comes next, ascending.
    ahead: VecDeque<Segment>,
    /// What ended before is not looked for.
    position: UnixMillis,
    /// Start of the last segment that was opened since the last seek.
    last: Option<UnixMillis>,
    open: Option<Reading>,
    /// As they were last told.
    tracks: Option<Arc<[Track]>>,
    key_frames_only: bool,
    started: bool,
}

/// A segment being read.
struct Reading {
    segment: Segment,
    index: SegmentIndex,
    /// The next part begins here.
    at: u64,
    /// What was read from there on.
    buffer: Bytes,
}

impl Reading {
    /// Where the next part begins, behind `at`, that decoding can start at; else the end of what there is.
    fn next_key(&self) -> u64 {
        let next = self.index.entries.iter().find(|entry| entry.at > self.at);
        next.map_or(self.index.media_end, |entry| entry.at)
    }

    fn go_to(&mut self, at: u64) {
        self.buffer = Bytes::new();
        self.at = at;
    }
}

fn failed(error: ::store::Error) -> FootageError {
    FootageError::Failed { step: "read", cause: error.to_string() }
}

impl ArchiveFootage {
    pub fn new(archives: Arc<Archives>, shelf: Shelf, from: UnixMillis, to: UnixMillis) -> ArchiveFootage {
        ArchiveFootage {
            archives,
            shelf,
            from,
            to,
            ahead: VecDeque::new(),
            position: from,
            last: None,
            open: None,
            tracks: None,
            key_frames_only: false,
            started: false,
        }
    }

    /// Opens the next segment that can be read; false when there is none.
    async fn open_next(&mut self) -> Result<bool, FootageError> {
        loop {
            if self.ahead.is_empty() {
                let from = self.last.unwrap_or(self.position);
                let found = self.archives.segments(&self.shelf, from, self.to, AHEAD).await.map_err(failed)?;
                self.ahead.extend(found.into_iter().filter(|s| self.last.is_none_or(|last| s.from > last)));
            }
            let Some(segment) = self.ahead.front().cloned() else { return Ok(false) };
            let index = self.archives.index(&segment).await;
            self.ahead.pop_front();
            self.last = Some(segment.from);
            match index {
                Ok(index) => {
                    let at = index.entries.first().map_or(index.media_end, |entry| entry.at);
                    self.open = Some(Reading { segment, index, at, buffer: Bytes::new() });
                    return Ok(true);
                }
                Err(why) => self.skipped(&segment, &why),
            }
        }
    }

    /// The rest is served: one damaged minute is not the end of a day.
    fn skipped(&self, segment: &Segment, why: &dyn std::fmt::Display) {
        let Shelf { serial, channel_no, .. } = &self.shelf;
        warn!(serial, channel = channel_no, from = segment.from.0, error = %why, "segment cannot be read");
    }

    /// Frames of the next part; `None` at the end of the open segment.
    async fn next_part(&mut self) -> Result<Option<Vec<av::Frame>>, ::store::Error> {
        let Some(open) = &mut self.open else { return Ok(None) };
        if open.at >= open.index.media_end {
            if !open.segment.growing {
                return Ok(None);
            }
            // It may have grown, or be finished now.
            open.index = self.archives.index(&open.segment).await?;
            if open.at >= open.index.media_end {
                return Ok(None);
            }
        }
        loop {
            let have = open.buffer.len() as u64;
            let missing = match have {
                0 => (open.next_key() - open.at).min(CHUNK),
                _ => match fmp4::read_fragment(&open.index.tracks, &open.buffer) {
                    Ok((frames, taken)) => {
                        open.buffer = open.buffer.slice(taken.min(open.buffer.len())..);
                        open.at += taken as u64;
                        if self.key_frames_only {
                            // The first frame was the key frame; what else there is before the next is not asked for.
                            let next = open.index.entries.iter().find(|entry| entry.at >= open.at);
                            let next = next.map_or(open.index.media_end, |entry| entry.at);
                            if next > open.at {
                                open.go_to(next);
                            }
                        }
                        return Ok(Some(frames));
                    }
                    Err(fmp4::Error::Incomplete { missing, .. })
                        if open.at + have < open.index.media_end && have + missing <= PART_MAX =>
                    {
                        missing.max(GROW)
                    }
                    Err(why) => return Err(::store::Error::Corrupt { what: format!("part: {why}") }),
                },
            };
            let from = open.at + have;
            let more = self.archives.read(&open.segment, from..(from + missing).min(open.index.media_end)).await?;
            if more.is_empty() {
                return Err(::store::Error::Corrupt { what: "segment ends before its index says".into() });
            }
            open.buffer = match have {
                0 => more,
                _ => {
                    let mut joined = BytesMut::with_capacity(open.buffer.len() + more.len());
                    joined.extend_from_slice(&open.buffer);
                    joined.extend_from_slice(&more);
                    joined.freeze()
                }
            };
        }
    }
}

/// What is read at least when a part turns out to be longer than what was read.
const GROW: u64 = 64 << 10;

#[async_trait]
impl Footage for ArchiveFootage {
    async fn seek(&mut self, at: UnixMicros) -> Result<(), FootageError> {
        self.position = millis(at).clamp(self.from, self.to);
        self.ahead.clear();
        (self.last, self.open, self.tracks) = (None, None, None);
        if !self.open_next().await? {
            return Err(FootageError::Empty);
        }
        let Some(open) = &mut self.open else { return Err(FootageError::Empty) };
        let since = at.0.saturating_sub(open.segment.from.0.saturating_mul(1000));
        let key = open.index.entries.iter().rposition(|entry| entry.time <= since).unwrap_or(0);
        // The index counts by the stream's clock, which the recorded times follow within a second or so.
        for at_entry in (0..=key).rev() {
            let Some(open) = &mut self.open else { break };
            open.go_to(open.index.entries[at_entry].at);
            if at_entry == 0 {
                break;
            }
            let before = (open.at, open.buffer.clone());
            let key_frames_only = std::mem::replace(&mut self.key_frames_only, false);
            let frames = self.next_part().await;
            self.key_frames_only = key_frames_only;
            let Some(open) = &mut self.open else { break };
            open.go_to(before.0);
            match frames {
                Ok(Some(frames)) if frames.first().is_some_and(|frame| frame.wall > at) => {}
                _ => break,
            }
        }
        self.started = true;
        Ok(())
    }

    async fn expect(&mut self, _speed: f32, key_frames_only: bool) -> Result<(), FootageError> {
        self.key_frames_only = key_frames_only;
        Ok(())
    }

    async fn read(&mut self, out: &mut Vec<Item>) -> Result<bool, FootageError> {
        if !self.started {
            self.seek(UnixMicros(self.from.0.saturating_mul(1000))).await?;
        }
        loop {
            let frames = match self.next_part().await {
                Ok(frames) => frames,
                Err(why) => {
                    if let Some(open) = &self.open {
                        self.skipped(&open.segment, &why);
                    }
                    None
                }
            };
            let Some(frames) = frames else {
                self.open = None;
                if self.open_next().await? {
                    continue;
                }
                return Ok(false);
            };
            let end = UnixMicros(self.to.0.saturating_mul(1000));
            let mut frames = frames.into_iter().filter(|frame| frame.wall < end).peekable();
            if frames.peek().is_none() {
                self.open = None;
                self.ahead.clear();
                return Ok(false);
            }
            if let Some(open) = &self.open
                && self.tracks.as_ref() != Some(&open.index.tracks)
            {
                self.tracks = Some(open.index.tracks.clone());
                out.push(Item::Tracks(open.index.tracks.clone()));
            }
            out.extend(frames.map(|frame| Item::Frame(Arc::new(frame))));
            return Ok(true);
        }
    }
}
