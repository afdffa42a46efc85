//! Frames cut into parts and segments.

use std::sync::Arc;
use std::time::Duration;

use av::container::fmp4;
use av::{CodecParameters, Frame, MediaKind, Ticks, Track, UnixMicros};
use bytes::Bytes;

use crate::wall::WallClock;
use crate::{Item, Part, SegmentStart};

/// A part of this many bytes ends with the next frame, however short it is: four seconds at 32 Mbit/s.
const PART_BYTES_MAX: usize = 16 << 20;

/// What a frame weighs beside its payload, so that a flood of empty ones ends a part too.
const FRAME_BYTES: usize = 1 << 10;

/// A segment of this many bytes ends without waiting for the key frame that would begin the next: some
/// two minutes at 32 Mbit/s, half an hour at 2. Recording goes on at that key frame.
const SEGMENT_BYTES_MAX: usize = 512 << 20;

/// How long the last picture of a stream lasts when nothing tells.
const PICTURE_US: i64 = 40_000;

/// How long parts and segments are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentSettings {
    /// A part ends before the first picture (in a stream without pictures, sound) after so much media;
    /// before a key frame already after half of it, so that key frames begin parts.
    pub part: Duration,
    /// A segment ends before the first key frame after so much media.
    pub segment: Duration,
    /// By this much the first segment is longer, so that streams which begin together do not end their
    /// segments together; below `segment`.
    pub offset: Duration,
}

impl Default for SegmentSettings {
    /// A second, a minute, nothing.
    fn default() -> Self {
        SegmentSettings { part: Duration::from_secs(1), segment: Duration::from_secs(60), offset: Duration::ZERO }
    }
}

/// What a [`Segmenter`] cuts a stream into: each segment is a `Begin`, one or more `Part`s and an `End`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// A segment begins.
    Begin(SegmentStart),
    /// The next part of the open segment.
    Part(Part),
    /// The open segment is whole.
    End,
}

/// Cuts what a stream's reader gets into segments of parts: fMP4 fragments that follow the init of their
/// segment (`av::container::fmp4`).
///
/// - A segment begins with a key frame (in a stream without pictures, with any frame); what comes before
///   the first is left out. It ends at the first key frame after its length, and earlier where tracks
///   change, where the reader lost frames, where recorded and wall time have parted by more than a second,
///   and at 512 MiB.
/// - Frames keep their stream's timestamps. Parts follow one another in wall time without a gap and never
///   overlap, also from segment to segment, but where frames were lost or the wall clock was set: receipt
///   times jitter, so their time runs on with the stream's and only bends after the receipt times, by 2 %
///   at most.
/// - Only the open part is held, as the frames that its stream's ring shares.
pub struct Segmenter {
    settings: SegmentSettings,
    /// Of the frames to come.
    tracks: Arc<[Track]>,
    segment: Option<Segment>,
    /// The next segment is the first.
    first: bool,
    clock: WallClock,
    cuts: Vec<Cut>,
    /// Up to where the stream is in parts; `None` before the first segment.
    covered_us: Option<i64>,
    latest_us: i64,
    lost_us: i64,
}

struct Segment {
    /// Its place in `tracks` of the track that parts are cut by: pictures if there are any.
    leading: usize,
    until_us: i64,
    bytes: usize,
    parts: u32,
    part: OpenPart,
}

struct OpenPart {
    from_us: i64,
    from: i64,
    /// Of each track.
    frames: Vec<Vec<Arc<Frame>>>,
    bytes: usize,
}

impl OpenPart {
    fn new(from_us: i64, from: i64, tracks: usize) -> OpenPart {
        OpenPart { from_us, from, frames: vec![Vec::new(); tracks], bytes: 0 }
    }
}

fn micros(duration: Duration) -> i64 {
    duration.as_micros().try_into().unwrap_or(i64::MAX)
}

fn stream_us(dts: Ticks, track: &Track) -> i64 {
    dts.rescale(track.clock_rate, 1_000_000).0
}

/// The place of the track that leads: the first with pictures, else the first.
fn leading(tracks: &[Track]) -> usize {
    tracks.iter().position(|track| track.kind() == MediaKind::Video).unwrap_or(0)
}

impl Segmenter {
    /// Before the first frame.
    pub fn new(settings: SegmentSettings) -> Segmenter {
        Segmenter {
            settings,
            tracks: Arc::new([]),
            segment: None,
            first: true,
            clock: WallClock::default(),
            cuts: Vec::new(),
            covered_us: None,
            latest_us: 0,
            lost_us: 0,
        }
    }

    /// Takes what the stream's reader got next and gives what is complete by it.
    pub fn push(&mut self, item: Item) -> impl Iterator<Item = Cut> {
        match item {
            Item::Tracks(tracks) if tracks != self.tracks => {
                self.end(None);
                self.tracks = tracks;
            }
            Item::Tracks(_) => {}
            Item::Gap { .. } => self.end(None),
            Item::Frame(frame) => self.push_frame(frame),
        }
        self.cuts.drain(..)
    }

    /// Gives up the open segment: what is in no part of it yet is lost, and no `End` comes. The next key
    /// frame begins another.
    pub fn abandon(&mut self) {
        self.segment = None;
    }

    /// Takes note of what comes while nothing is recorded, after [`abandon`](Self::abandon).
    pub fn skip(&mut self, item: &Item) {
        self.abandon();
        match item {
            Item::Tracks(tracks) => self.tracks = tracks.clone(),
            Item::Gap { .. } => {}
            Item::Frame(frame) => {
                let track = self.tracks.iter().find(|track| track.id == frame.track);
                self.latest_us = self.latest_us.max(track.map_or(0, |track| stream_us(frame.dts, track)));
            }
        }
    }

    /// Ends with what there is.
    pub fn finish(&mut self) -> impl Iterator<Item = Cut> {
        self.end(None);
        self.cuts.drain(..)
    }

    /// How much of the stream since the first segment began is in no part and will not be.
    pub fn lost(&self) -> Duration {
        let now_us = match (&self.segment, self.covered_us) {
            (None, Some(covered)) => (self.latest_us - covered).max(0),
            _ => 0,
        };
        Duration::from_micros((self.lost_us + now_us) as u64)
    }

    fn push_frame(&mut self, frame: Arc<Frame>) {
        let Some(place) = self.tracks.iter().position(|track| track.id == frame.track) else { return };
        let at_us = stream_us(frame.dts, &self.tracks[place]);
        let leads = place == leading(&self.tracks);
        let is_video = self.tracks[place].kind() == MediaKind::Video;
        self.latest_us = self.latest_us.max(at_us);
        if leads {
            self.clock.observe(at_us, frame.wall.0);
        }
        if let Some(segment) = &self.segment {
            let part_us = micros(self.settings.part);
            let long_us = at_us.saturating_sub(segment.part.from_us);
            let full = segment.part.bytes >= PART_BYTES_MAX;
            let begins = leads && frame.key;
            if begins && (at_us >= segment.until_us || self.clock.is_wrong(at_us)) {
                self.end(Some(at_us));
            } else if segment.bytes >= SEGMENT_BYTES_MAX {
                self.end(None);
            } else if leads && (long_us >= part_us || full || begins && is_video && long_us >= part_us / 2)
                // A camera whose pictures stop has its sound recorded all the same.
                || !leads && (long_us >= part_us.saturating_mul(2) || full)
            {
                self.cut(Some(at_us));
            }
        }
        if self.segment.is_none() {
            if !(leads && frame.key) {
                return;
            }
            self.begin(at_us);
        }
        if let Some(Segment { part, .. }) = &mut self.segment {
            part.bytes += frame.data.len() + FRAME_BYTES;
            part.frames[place].push(frame);
        }
    }

    fn begin(&mut self, at_us: i64) {
        let wall = self.clock.begin(at_us);
        self.lost_us += self.covered_us.map_or(0, |covered| at_us.saturating_sub(covered).max(0));
        self.covered_us = Some(at_us);
        let offset = if self.first { self.settings.offset } else { Duration::ZERO };
        self.first = false;
        self.segment = Some(Segment {
            leading: leading(&self.tracks),
            until_us: at_us.saturating_add(micros(self.settings.segment + offset)),
            bytes: 0,
            parts: 0,
            part: OpenPart::new(at_us, wall, self.tracks.len()),
        });
        let init = Bytes::from(fmp4::init(&self.tracks));
        self.cuts.push(Cut::Begin(SegmentStart { at: UnixMicros(wall), init }));
    }

    fn end(&mut self, next_us: Option<i64>) {
        self.cut(next_us);
        if self.segment.take().is_some() {
            self.cuts.push(Cut::End);
        }
    }

    /// Closes the open part. The frame at `next_us` follows it; without one, its last frames end as those
    /// before them did.
    fn cut(&mut self, next_us: Option<i64>) {
        let Some(segment) = &mut self.segment else { return };
        let OpenPart { from_us, from, mut frames, .. } =
            std::mem::replace(&mut segment.part, OpenPart::new(0, 0, self.tracks.len()));
        let leading = segment.leading;
        let key = frames[leading].first().is_some_and(|frame| frame.key);
        let Some(first) = order(leading, frames.len()).find(|&place| !frames[place].is_empty()) else { return };

        // The wall clock of a fragment is that of its first frame.
        let clock = &mut self.clock;
        let head = Frame::clone(&frames[first][0]);
        let wall = UnixMicros(clock.at(stream_us(head.dts, &self.tracks[first])));
        frames[first][0] = Arc::new(Frame { wall, ..head });
        let runs: Vec<fmp4::Run<'_>> = order(leading, frames.len())
            .filter(|&place| !frames[place].is_empty())
            .map(|place| {
                let track = &self.tracks[place];
                let end = match next_us {
                    Some(next) if place == leading => Ticks(next).rescale(1_000_000, track.clock_rate),
                    _ => end_of(&frames[place], track),
                };
                fmp4::Run { track, frames: &frames[place], end }
            })
            .collect();
        let to_us = next_us.unwrap_or_else(|| stream_us(runs[0].end, runs[0].track)).max(from_us);
        let mut data = Vec::new();
        segment.parts += 1;
        fmp4::fragment(&mut data, segment.parts, &runs);
        let to = clock.advance(to_us);
        segment.bytes += data.len();
        segment.part = OpenPart::new(to_us, to, self.tracks.len());
        self.covered_us = Some(to_us);
        self.cuts.push(Cut::Part(Part { data: data.into(), from: UnixMicros(from), to: UnixMicros(to), key }));
    }
}

/// The leading track first: its first frame tells the fragment's wall clock.
fn order(leading: usize, tracks: usize) -> impl Iterator<Item = usize> {
    [leading].into_iter().chain((0..tracks).filter(move |&place| place != leading))
}

/// Where the last of these frames ends, when nothing tells what follows it: it lasts as long as the one
/// before it, or as its codec says. There is at least one.
fn end_of(frames: &[Arc<Frame>], track: &Track) -> Ticks {
    let last = &frames[frames.len() - 1];
    let lasts = match (frames, &track.codec) {
        ([.., before, _], _) => last.dts.0 - before.dts.0,
        (_, CodecParameters::Aac(_)) => 1024,
        (_, CodecParameters::G711(parameters)) => last.data.len() as i64 / i64::from(parameters.channels.max(1)),
        _ => Ticks(PICTURE_US).rescale(1_000_000, track.clock_rate).0,
    };
    Ticks(last.dts.0 + lasts.max(1))
}
