//! HTTP Live Streaming: a stream cut into segments and parts that are kept for a while, and the
//! playlists that name them.
//!
//! | Part | Follows |
//! |---|---|
//! | playlists | RFC 8216 and its successor draft-pantos-hls-rfc8216bis §4 |
//! | low latency: parts, blocking reload, preload hints | RFC 8216bis §4.4.4.9, §6.2.5 |
//!
//! One [`Packager`] writes, any number of [`Rendition`] handles read; media is made once, whoever asks.
//! A segment begins with a key frame, unless the camera sends none for longer than the target duration.
//! The number of a segment rises also over a restart, since it begins at the seconds of the clock.

mod playlist;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use av::container::{fmp4, ts};
use av::{CodecParameters, Frame, MediaKind, Ticks, Track, TrackId, UnixMicros};
use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::Item;
use playlist::seconds;

pub use playlist::Playlist;

/// A segment ends at the first key frame after this, µs.
const SEGMENT_US: i64 = 1_900_000;
/// The first segment, which sets the target duration, ends after this even without a key frame, µs.
const SEGMENT_US_MAX: i64 = 10_000_000;
/// How far a segment may exceed the target duration, which holds for durations rounded to seconds, µs.
const ROUNDING_US: i64 = 400_000;
/// Longest part unless a single picture lasts longer, µs: a player stays three of them behind.
const PART_US: i64 = 500_000;
/// Segments a playlist names.
const LISTED: usize = 5;
/// Whole segments kept: those that left the playlist stay for players which are still at them.
const KEPT: usize = 8;
/// Bytes kept in whole segments, but for the newest two: 24 s at 16 Mbit/s. The oldest leave early.
const KEPT_BYTES_MAX: usize = 48 << 20;
/// Bytes of a segment being made. What grows beyond is dropped up to the next key frame.
const OPEN_BYTES_MAX: usize = 32 << 20;
/// Segments whose parts a low-latency playlist still names.
const LISTED_WITH_PARTS: usize = 2;
/// The first playlist waits this long for the first segment.
const START_WITHIN: Duration = Duration::from_secs(15);

/// What segments are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Container {
    /// MPEG-2 transport stream: H.264 and AAC.
    Ts,
    /// Fragmented MP4, with an initialisation file: H.264, H.265 and AAC.
    Fmp4,
}

/// One thing to fetch of a rendition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum File {
    /// What is read before the segments that refer to it.
    Init(u32),
    /// A segment, by its media sequence number.
    Segment(u64),
    /// A part of a segment, from 0.
    Part(u64, u32),
}

impl File {
    /// The inverse of its name in a playlist.
    pub fn parse(name: &str) -> Option<File> {
        let (stem, extension) = name.rsplit_once('.')?;
        match (stem.strip_prefix("init"), stem.split_once('.'), extension) {
            (Some(number), _, "mp4") => Some(File::Init(digits(number)?)),
            (None, Some((segment, part)), "m4s") => Some(File::Part(digits(segment)?, digits(part)?)),
            (None, None, "ts" | "m4s") => Some(File::Segment(digits(stem)?)),
            _ => None,
        }
    }

    fn named(self, container: Container) -> Named {
        Named(self, container)
    }
}

fn digits<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

struct Named(File, Container);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1) {
            (File::Init(number), _) => write!(f, "init{number}.mp4"),
            (File::Segment(number), Container::Ts) => write!(f, "{number}.ts"),
            (File::Segment(number), Container::Fmp4) => write!(f, "{number}.m4s"),
            (File::Part(segment, part), _) => write!(f, "{segment}.{part}.m4s"),
        }
    }
}

/// What a playlist is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ask<'a> {
    /// With parts and hints; fragmented MP4 only.
    pub low_latency: bool,
    /// Not before this segment, or this part of it, is there (`_HLS_msn`, `_HLS_part`).
    pub after: Option<(u64, Option<u32>)>,
    /// What goes before the name of each file, relative to the playlist.
    pub folder: &'a str,
    /// What goes after it: empty, or `?` and a query. Nothing that ends a line.
    pub query: &'a str,
}

/// Why there is no such playlist or file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HlsError {
    /// It was asked for what lies too far in the future (RFC 8216bis §6.2.5.2: 400).
    #[error("no such segment soon")]
    TooEarly,
    /// It did not come in time (503).
    #[error("nothing in time")]
    Timeout,
    /// It is no more, or never was (404).
    #[error("no such file")]
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// All there is was packaged.
    Complete,
    /// The source broke off.
    Broken,
}

/// Moves with every part.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    /// Number of the segment being made.
    segment: u64,
    /// Its parts so far.
    parts: u32,
    /// A playlist can be given.
    ready: bool,
    over: Option<Over>,
}

impl Head {
    fn has(&self, segment: u64, part: Option<u32>) -> bool {
        self.segment > segment || (self.segment == segment && part.is_some_and(|part| self.parts > part))
    }
}

struct Part {
    data: Bytes,
    duration_us: i64,
    independent: bool,
}

struct Segment {
    number: u64,
    init: u32,
    wall: UnixMicros,
    discontinuity: bool,
    parts: Vec<Part>,
}

impl Segment {
    fn duration_us(&self) -> i64 {
        self.parts.iter().map(|part| part.duration_us).sum()
    }

    fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.data.len()).sum()
    }
}

/// What is kept. Invariant: `segments` are numbered without gap, and `open`, where there is one, follows.
struct Window {
    segments: VecDeque<Segment>,
    open: Option<Segment>,
    inits: BTreeMap<u32, Bytes>,
    /// Discontinuities among the segments that left.
    discontinuities_gone: u64,
    /// `EXT-X-TARGETDURATION`, which must not change; set by the first segment.
    target_s: i64,
    part_target_us: i64,
}

struct Shared {
    container: Container,
    window: Mutex<Window>,
}

impl Shared {
    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().expect("no panic while the window is locked")
    }
}

/// Makes segments of a stream. Its rendition is over when this is dropped.
pub struct Packager {
    shared: Arc<Shared>,
    head: watch::Sender<Head>,
    tracks: Arc<[Track]>,
    /// The track whose frames cut, and its clock: pictures, or sound where there are none.
    leader: Option<(TrackId, u32)>,
    init: u32,
    muxer: Option<ts::Muxer>,
    /// What the open segment or part consists of so far: transport stream packets …
    packets: Vec<u8>,
    /// … or frames.
    frames: Vec<Arc<Frame>>,
    frame_bytes: usize,
    fragments: u32,
    /// When the open segment and part begin and what came last, on the clock of the track that cuts.
    cut: Option<Cut>,
    discontinuity: bool,
}

#[derive(Clone, Copy)]
struct Cut {
    segment_from: Ticks,
    part_from: Ticks,
    independent: bool,
    latest: Ticks,
    /// Between the two last pictures.
    interval: i64,
}

impl Packager {
    /// A packager and who reads it; the first segment has this number.
    pub fn new(container: Container, first: u64) -> (Packager, Rendition) {
        let window = Window {
            segments: VecDeque::new(),
            open: None,
            inits: BTreeMap::new(),
            discontinuities_gone: 0,
            target_s: 0,
            part_target_us: PART_US,
        };
        let shared = Arc::new(Shared { container, window: Mutex::new(window) });
        let head = watch::Sender::new(Head { segment: first, ..Head::default() });
        let rendition = Rendition { shared: shared.clone(), head: head.subscribe() };
        let packager = Packager {
            shared,
            head,
            tracks: Arc::from([]),
            leader: None,
            init: 0,
            muxer: None,
            packets: Vec::new(),
            frames: Vec::new(),
            frame_bytes: 0,
            fragments: 0,
            cut: None,
            discontinuity: false,
        };
        (packager, rendition)
    }

    /// Resolves once nobody holds the rendition any more. Cancel safe.
    pub async fn unwanted(&self) {
        self.head.closed().await;
    }

    /// Takes what a stream or footage gives, in order.
    pub fn push(&mut self, item: Item) {
        match item {
            Item::Tracks(tracks) => self.set_tracks(tracks),
            Item::Frame(frame) => self.push_frame(frame),
            Item::Gap { .. } => self.break_off(),
        }
    }

    /// Ends the rendition: nothing more comes. What there is can be fetched while this lives or not.
    pub fn finish(&mut self) {
        self.end_segment(None);
        self.head.send_modify(|head| head.over = Some(Over::Complete));
    }

    fn set_tracks(&mut self, tracks: Arc<[Track]>) {
        if *self.tracks == *tracks {
            return;
        }
        if !self.tracks.is_empty() {
            self.break_off();
            self.init += 1;
        }
        match self.shared.container {
            Container::Ts => self.muxer = Some(ts::Muxer::new(&tracks)),
            Container::Fmp4 => {
                self.shared.window().inits.insert(self.init, fmp4::init(&tracks).into());
            }
        }
        let video = tracks.iter().find(|track| track.kind() == MediaKind::Video);
        self.leader = video.or(tracks.first()).map(|track| (track.id, track.clock_rate));
        self.tracks = tracks;
    }

    /// What comes next does not follow on what came.
    fn break_off(&mut self) {
        self.end_segment(None);
        self.discontinuity = true;
    }

    fn push_frame(&mut self, frame: Arc<Frame>) {
        let Some((id, rate)) = self.leader else { return };
        if frame.track == id {
            self.lead(&frame, rate);
        }
        let Some(cut) = &mut self.cut else { return };
        if frame.track == id {
            cut.latest = frame.dts;
        }
        match &mut self.muxer {
            Some(muxer) => muxer.push(&frame, &mut self.packets),
            None => {
                self.frame_bytes += frame.data.len();
                self.frames.push(frame);
            }
        }
        if self.open_bytes() > OPEN_BYTES_MAX {
            self.abandon();
        }
    }

    /// Cuts before a frame of the leading track where that is due, and begins a segment.
    fn lead(&mut self, frame: &Frame, rate: u32) {
        let us = |ticks: i64| Ticks(ticks).rescale(rate, 1_000_000).0;
        if let Some(cut) = &mut self.cut {
            cut.interval = frame.dts.0.saturating_sub(cut.latest.0);
            let segment_us = us(frame.dts.0.saturating_sub(cut.segment_from.0));
            // A part ends before the picture that would make it too long.
            let part_us = us(frame.dts.0.saturating_sub(cut.part_from.0).saturating_add(cut.interval));
            let longest_us = match self.shared.window().target_s {
                0 => SEGMENT_US_MAX,
                target_s => target_s * 1_000_000 + ROUNDING_US,
            };
            // The next picture would come too late to end it then.
            let full = segment_us + us(cut.interval) > longest_us;
            if (frame.key && segment_us >= SEGMENT_US) || full {
                self.end_segment(Some(frame.dts));
            } else if self.shared.container == Container::Fmp4 && part_us > PART_US {
                self.end_part(Some(frame.dts), frame.key);
            }
        }
        // Between segments a key frame is waited for, unless one follows on another without a break.
        let follows = !self.discontinuity && self.head.borrow().ready;
        if self.cut.is_none() && (frame.key || follows) {
            self.begin_segment(frame.wall);
            if let Some(muxer) = &mut self.muxer {
                muxer.begin_segment();
            }
            let at = frame.dts;
            self.cut = Some(Cut { segment_from: at, part_from: at, independent: frame.key, latest: at, interval: 0 });
        }
    }

    fn begin_segment(&mut self, wall: UnixMicros) {
        let number = self.head.borrow().segment;
        let discontinuity = std::mem::take(&mut self.discontinuity);
        let open = Segment { number, init: self.init, wall, discontinuity, parts: Vec::new() };
        self.shared.window().open = Some(open);
    }

    fn open_bytes(&self) -> usize {
        let made = self.shared.window().open.as_ref().map_or(0, Segment::bytes);
        made + self.packets.len() + self.frame_bytes
    }

    /// Forgets the open segment; the next begins with a key frame and the same number.
    fn abandon(&mut self) {
        self.cut = None;
        self.packets.clear();
        self.take_frames();
        self.discontinuity = true;
        self.shared.window().open = None;
        self.head.send_modify(|head| head.parts = 0);
    }

    fn take_frames(&mut self) -> Vec<Arc<Frame>> {
        self.frame_bytes = 0;
        std::mem::take(&mut self.frames)
    }

    /// Ends the open part where the next begins, or after its last frame.
    fn end_part(&mut self, next: Option<Ticks>, next_independent: bool) {
        let (Some(cut), Some((leader, rate))) = (&mut self.cut, self.leader) else { return };
        let end = next.unwrap_or(Ticks(cut.latest.0.saturating_add(cut.interval.max(1))));
        let duration_us = Ticks(end.0.saturating_sub(cut.part_from.0)).rescale(rate, 1_000_000).0.max(1);
        let independent = std::mem::replace(&mut cut.independent, next_independent);
        cut.part_from = end;
        let data = match self.muxer {
            Some(_) => std::mem::take(&mut self.packets),
            None => {
                self.fragments += 1;
                let frames = self.take_frames();
                fragment(&self.tracks, &frames, Some((leader, end)), self.fragments)
            }
        };
        let mut window = self.shared.window();
        let Some(open) = &mut window.open else { return };
        open.parts.push(Part { data: data.into(), duration_us, independent });
        drop(window);
        self.head.send_modify(|head| head.parts += 1);
    }

    fn end_segment(&mut self, next: Option<Ticks>) {
        if self.cut.is_none() {
            return;
        }
        self.end_part(next, false);
        self.cut = None;
        let mut window = self.shared.window();
        let Some(segment) = window.open.take() else { return };
        if window.target_s == 0 {
            window.target_s = ((segment.duration_us() + 500_000) / 1_000_000).max(2);
            let longest = segment.parts.iter().map(|part| part.duration_us).max().unwrap_or(0);
            window.part_target_us = longest.max(PART_US);
        }
        window.segments.push_back(segment);
        window.trim();
        drop(window);
        self.head.send_modify(|head| {
            head.segment += 1;
            head.parts = 0;
            head.ready = true;
        });
    }
}

impl Drop for Packager {
    fn drop(&mut self) {
        self.head.send_modify(|head| {
            head.over.get_or_insert(Over::Broken);
        });
    }
}

/// Frames of a stream as one fragment of MP4, whose number is `sequence`. The last of each track lasts as
/// its codec says or as long as the others, but for a track whose end is known.
pub fn fragment(
    tracks: &[Track],
    frames: &[Arc<Frame>],
    known_end: Option<(TrackId, Ticks)>,
    sequence: u32,
) -> Vec<u8> {
    let by_track: Vec<(&Track, Vec<Arc<Frame>>)> = tracks
        .iter()
        .map(|track| (track, frames.iter().filter(|frame| frame.track == track.id).cloned().collect::<Vec<_>>()))
        .filter(|(_, frames)| !frames.is_empty())
        .collect();
    let runs: Vec<fmp4::Run<'_>> = by_track
        .iter()
        .map(|(track, frames)| {
            let known_end = known_end.filter(|(id, _)| *id == track.id).map(|(_, end)| end);
            fmp4::Run { track, frames, end: known_end.unwrap_or_else(|| end_of(track, frames)) }
        })
        .collect();
    let mut data = Vec::with_capacity(frames.iter().map(|frame| frame.data.len()).sum::<usize>() + 1024);
    fmp4::fragment(&mut data, sequence, &runs);
    data
}

/// When the last of these frames ends: what a frame of AAC lasts, else as long as the others.
fn end_of(track: &Track, frames: &[Arc<Frame>]) -> Ticks {
    let (Some(first), Some(last)) = (frames.first(), frames.last()) else { return Ticks(0) };
    let lasts = match &track.codec {
        CodecParameters::Aac(aac) => {
            Ticks(i64::from(av::codec::aac::SAMPLES_PER_FRAME)).rescale(aac.sample_rate, track.clock_rate).0
        }
        _ if frames.len() > 1 => last.dts.0.saturating_sub(first.dts.0) / (frames.len() as i64 - 1),
        _ => i64::from(track.clock_rate) / 25,
    };
    Ticks(last.dts.0.saturating_add(lasts.max(1)))
}

impl Window {
    fn trim(&mut self) {
        let mut bytes: usize = self.segments.iter().map(Segment::bytes).sum();
        while self.segments.len() > KEPT || (self.segments.len() > 2 && bytes > KEPT_BYTES_MAX) {
            let Some(gone) = self.segments.pop_front() else { return };
            bytes -= gone.bytes();
            self.discontinuities_gone += u64::from(gone.discontinuity);
        }
        let oldest = self.segments.front().map_or(0, |segment| segment.init);
        self.inits.retain(|number, _| *number >= oldest);
    }

    fn playlist(&self, container: Container, ask: &Ask<'_>, head: &Head) -> String {
        let low_latency = ask.low_latency && container == Container::Fmp4;
        let unlisted = self.segments.len().saturating_sub(LISTED);
        let listed = self.segments.range(unlisted..);
        let first = listed.clone().next().map_or(head.segment, |segment| segment.number);
        let gone = self.discontinuities_gone
            + self.segments.range(..unlisted).map(|segment| u64::from(segment.discontinuity)).sum::<u64>();
        let mut text = Playlist::new(match (container, low_latency) {
            (Container::Ts, _) => 3,
            (Container::Fmp4, false) => 6,
            (Container::Fmp4, true) => 9,
        });
        text.line(format_args!("#EXT-X-TARGETDURATION:{}", self.target_s));
        text.line(format_args!("#EXT-X-MEDIA-SEQUENCE:{first}"));
        if gone > 0 {
            text.line(format_args!("#EXT-X-DISCONTINUITY-SEQUENCE:{gone}"));
        }
        if low_latency {
            let part_target = seconds(self.part_target_us);
            let hold_back = seconds(self.part_target_us * 3);
            text.line(format_args!("#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={hold_back}"));
            text.line(format_args!("#EXT-X-PART-INF:PART-TARGET={part_target}"));
        }
        let name = |file: File| format!("{}{}{}", ask.folder, file.named(container), ask.query);
        let mut init = None;
        let with_parts = self.segments.len().saturating_sub(LISTED_WITH_PARTS);
        let open = self.open.iter().filter(|_| low_latency).map(|segment| (segment, false));
        for (index, (segment, whole)) in listed.map(|segment| (segment, true)).chain(open).enumerate() {
            if segment.discontinuity && (whole || !segment.parts.is_empty()) {
                text.line(format_args!("#EXT-X-DISCONTINUITY"));
            }
            if container == Container::Fmp4 && init.replace(segment.init) != Some(segment.init) {
                text.line(format_args!("#EXT-X-MAP:URI=\"{}\"", name(File::Init(segment.init))));
            }
            if whole || !segment.parts.is_empty() {
                text.date_time(segment.wall);
            }
            if low_latency && unlisted + index >= with_parts {
                for (part, number) in segment.parts.iter().zip(0..) {
                    let uri = name(File::Part(segment.number, number));
                    let independent = if part.independent { ",INDEPENDENT=YES" } else { "" };
                    let duration = seconds(part.duration_us);
                    text.line(format_args!("#EXT-X-PART:DURATION={duration},URI=\"{uri}\"{independent}"));
                }
            }
            if whole {
                text.segment(segment.duration_us(), &name(File::Segment(segment.number)));
            }
        }
        match head.over {
            Some(_) => text.end(),
            None if low_latency => {
                let uri = name(File::Part(head.segment, head.parts));
                text.line(format_args!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{uri}\""));
            }
            None => {}
        }
        text.into_text()
    }
}

/// Reads what a packager makes. Cheap to clone; the packager stops when the last is gone.
#[derive(Clone)]
pub struct Rendition {
    shared: Arc<Shared>,
    head: watch::Receiver<Head>,
}

impl Rendition {
    /// What its segments are made of.
    pub fn container(&self) -> Container {
        self.shared.container
    }

    /// Its target duration; nothing before the first segment.
    pub fn target(&self) -> Duration {
        Duration::from_secs(self.shared.window().target_s as u64)
    }

    /// Whether its source broke off: what is there can be fetched, and nothing more comes.
    pub fn is_broken(&self) -> bool {
        // A packager that is gone without a word broke off too.
        self.head.borrow().over == Some(Over::Broken)
    }

    /// The playlist as it is now, or once what is asked for is there. The first waits for a segment.
    ///
    /// # Errors
    /// [`HlsError`]; `Gone` when the source broke off first.
    pub async fn playlist(&self, ask: Ask<'_>) -> Result<String, HlsError> {
        let mut head = self.head.clone();
        let is_over = |head: &Head| head.over.is_some();
        let waited = timeout(START_WITHIN, head.wait_for(|head| head.ready || is_over(head))).await;
        let seen = *waited.map_err(|_| HlsError::Timeout)?.map_err(|_| HlsError::Gone)?;
        if !seen.ready {
            return Err(HlsError::Gone);
        }
        if let Some((segment, part)) = ask.after {
            if segment > seen.segment.saturating_add(1) {
                return Err(HlsError::TooEarly);
            }
            let there = head.wait_for(|head| head.has(segment, part) || is_over(head));
            // Whoever packaged it is gone: what is there stays good.
            timeout(self.target() * 3, there).await.map_err(|_| HlsError::Timeout)?.ok();
        }
        let window = self.shared.window();
        let head = *self.head.borrow();
        Ok(window.playlist(self.shared.container, &ask, &head))
    }

    /// One file, in the pieces it is made of; waits for the part that comes next.
    ///
    /// # Errors
    /// [`HlsError`].
    pub async fn file(&self, file: File) -> Result<Vec<Bytes>, HlsError> {
        if let File::Part(segment, part) = file {
            let mut head = self.head.clone();
            let seen = *head.borrow();
            if seen.segment == segment && seen.parts == part {
                let there = head.wait_for(|head| head.has(segment, Some(part)) || head.over.is_some());
                timeout(self.target() * 3, there).await.map_err(|_| HlsError::Timeout)?.ok();
            }
        }
        self.shared.window().file(file).ok_or(HlsError::Gone)
    }
}

impl Window {
    fn file(&self, file: File) -> Option<Vec<Bytes>> {
        let segment = |number: u64| self.segments.iter().find(|segment| segment.number == number);
        Some(match file {
            File::Init(number) => vec![self.inits.get(&number)?.clone()],
            File::Segment(number) => segment(number)?.parts.iter().map(|part| part.data.clone()).collect(),
            File::Part(number, part) => {
                let open = self.open.as_ref().filter(|open| open.number == number);
                vec![segment(number).or(open)?.parts.get(part as usize)?.data.clone()]
            }
        })
    }
}
