//! The fragments of many files in a row, as one file.

use bytes::Bytes;

use super::boxes::{child, for_each_child_mut};
use super::read::{self, Layout, MICROS, micros, samples};
use super::write::{tfhd, track_id};
use super::{Error, TICKS_MAX};
use crate::{Ticks, Track, TrackId};

/// A fragment as it goes into the joined file: the first part, then the second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// `moof`, made anew.
    pub moof: Bytes,
    /// `mdat`, header included; shares the memory of the fragment.
    pub mdat: Bytes,
}

/// Largest step of the clock between fragments, in microseconds, that is the stream's own: pictures that
/// were lost. Larger ones, and all steps back, are gaps and are closed.
const STEP_US_MAX: i64 = 1_000_000;

/// What lies between the two sides of a closed gap, so that no rounding of a clock lets them overlap: eight
/// ticks of 8 kHz.
const SEAM_US: i64 = 1_000;

/// Puts the fragments of recordings in a row, so that behind one [`init`](super::init) they are one file
/// with continuous timestamps and sequence numbers, beginning at 0. Payloads are not touched: only times
/// and numbers in `moof` are patched, and the wall clock (`prft`), which no longer fits, is left out.
#[derive(Clone, Debug)]
pub struct Joiner {
    tracks: Vec<Track>,
    sequence: u32,
    /// From a fragment's time to the file's, in microseconds.
    shift: Option<i64>,
    /// What the file has of each track so far.
    tails: Vec<Tail>,
}

/// The last sample of a track in the file, on the track's clock.
#[derive(Clone, Copy, Debug)]
struct Tail {
    track: TrackId,
    clock_rate: u32,
    dts: i64,
    end: i64,
}

/// What a fragment has of one track, on its clock.
struct Span<'a> {
    track: &'a Track,
    /// `dts` of the first sample.
    start: i64,
    /// `dts` of the last one.
    last: i64,
    /// Where that ends.
    end: i64,
}

impl Span<'_> {
    /// A time in microseconds on the clock of the track.
    fn ticks(&self, us: i64) -> i64 {
        Ticks(us).rescale(MICROS, self.track.clock_rate).0
    }
}

impl Joiner {
    /// Starts a file of these tracks. Fragments must be of the same: where tracks change, a file ends.
    pub fn new(tracks: &[Track]) -> Joiner {
        Joiner { tracks: tracks.to_vec(), sequence: 0, shift: None, tails: Vec::new() }
    }

    /// Takes the fragment at the front of `bytes`: gives it as it goes into the file, and how many bytes it
    /// took. `None`, when it has no frame; `None` and all bytes, when no fragment is left.
    ///
    /// # Errors
    /// As [`read_fragment`](super::read_fragment), and for fragments unlike those of
    /// [`fragment`](super::fragment): with times of 32 bits, offsets from the file's beginning, or
    /// other tracks. The joiner may be used on.
    pub fn push(&mut self, bytes: &Bytes) -> Result<(Option<Joined>, usize), Error> {
        let Some(layout) = read::find(bytes, 0)? else { return Ok((None, bytes.len())) };
        let end = layout.mdat.end;
        let spans = spans(&self.tracks, bytes, &layout)?;
        if spans.is_empty() {
            return Ok((None, end));
        }
        let shift = self.shift_of(&spans);
        let sequence = self.sequence.wrapping_add(1);
        let moof = patched(bytes, &layout, &spans, shift, sequence)?;
        for span in &spans {
            let by = span.ticks(shift);
            let Track { id: track, clock_rate, .. } = *span.track;
            self.tails.retain(|tail| tail.track != track);
            self.tails.push(Tail {
                track,
                clock_rate,
                dts: span.last.saturating_add(by),
                end: span.end.saturating_add(by),
            });
        }
        (self.shift, self.sequence) = (Some(shift), sequence);
        // Data offsets count across what may stand between `moof` and `mdat`.
        Ok((Some(Joined { moof, mdat: bytes.slice(layout.moof.end..end) }), end))
    }

    /// The shift as it was where the fragment goes on from those before it, otherwise a new one.
    fn shift_of(&self, spans: &[Span<'_>]) -> i64 {
        let start = spans.iter().map(|span| micros(span.start, span.track.clock_rate)).min().unwrap_or(0);
        let Some(shift) = self.shift else { return start.saturating_neg() };
        let end = self.tails.iter().map(|tail| micros(tail.end, tail.clock_rate)).max().unwrap_or(0);
        // How long the last sample of a fragment lasts is often a guess: only where it begins counts.
        let is_back = spans.iter().any(|span| {
            let tail = self.tails.iter().find(|tail| tail.track == span.track.id);
            tail.is_some_and(|tail| span.start.saturating_add(span.ticks(shift)) <= tail.dts)
        });
        let is_far = start.saturating_add(shift) > end.saturating_add(STEP_US_MAX);
        if is_back || is_far { end.saturating_add(SEAM_US).saturating_sub(start) } else { shift }
    }
}

fn spans<'a>(tracks: &'a [Track], bytes: &[u8], layout: &Layout) -> Result<Vec<Span<'a>>, Error> {
    let mut spans: Vec<Span<'a>> = Vec::new();
    samples(tracks, bytes, layout, |track, sample| {
        let end = sample.dts.saturating_add(sample.duration.into());
        match spans.iter_mut().find(|span| span.track.id == track.id) {
            Some(span) => (span.last, span.end) = (sample.dts, end),
            None => spans.push(Span { track, start: sample.dts, last: sample.dts, end }),
        }
    })?;
    Ok(spans)
}

/// The `moof` with this sequence number, its times shifted.
fn patched(bytes: &[u8], layout: &Layout, spans: &[Span<'_>], shift: i64, sequence: u32) -> Result<Bytes, Error> {
    let mut moof = bytes[layout.moof.clone()].to_vec();
    let header = layout.moof_body().start - layout.moof.start;
    for_each_child_mut(&mut moof[header..], |kind, body| match &kind {
        b"mfhd" => {
            let field = body.get_mut(4..8).ok_or(Error::Truncated("mfhd"))?;
            field.copy_from_slice(&sequence.to_be_bytes());
            Ok(())
        }
        b"traf" => traf(body, spans, shift),
        _ => Ok(()),
    })?;
    Ok(moof.into())
}

fn traf(body: &mut [u8], spans: &[Span<'_>], shift: i64) -> Result<(), Error> {
    let head = child(body, b"tfhd")?.and_then(|head| head.first_chunk::<8>()).ok_or(Error::Truncated("tfhd"))?;
    let [_, flags @ .., n3, n2, n1, n0] = *head;
    if u32::from_be_bytes([0, flags[0], flags[1], flags[2]]) & tfhd::BASE_DATA_OFFSET != 0 {
        return Err(Error::Unsupported("data offset from the file's beginning"));
    }
    let number = u32::from_be_bytes([n3, n2, n1, n0]);
    let span = spans.iter().find(|span| track_id(span.track) == number);
    let span = span.ok_or(Error::Unsupported("track of another file, or without samples"))?;
    for_each_child_mut(body, |kind, body| match &kind {
        b"tfdt" => {
            let time = match body {
                [1, _, _, _, time @ ..] => time.first_chunk_mut::<8>().ok_or(Error::Truncated("tfdt"))?,
                _ => return Err(Error::Unsupported("tfdt of 32 bits")),
            };
            // Times that were read are far below 2⁶³. Sound that begins a little before all else begins with it.
            let shifted = (u64::from_be_bytes(*time) as i64).saturating_add(span.ticks(shift)).max(0) as u64;
            if shifted > TICKS_MAX {
                return Err(Error::TooLarge { what: "decode time", max: TICKS_MAX as usize });
            }
            *time = shifted.to_be_bytes();
            Ok(())
        }
        _ => Ok(()),
    })
}
