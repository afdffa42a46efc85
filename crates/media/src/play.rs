//! Footage at the pace of who watches it.

use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use av::{Frame, MediaKind, Ticks, Track, TrackId, UnixMicros};
use tokio::time::{Instant, sleep_until};

use crate::{Footage, FootageError, Item};

/// How far delivery runs ahead of the clock, in the viewer's time: what fills a player's buffer at once
/// when it starts, and carries it over a slow read of ours.
const LEAD: Duration = Duration::from_secs(1);

/// Who is later than this has run dry: the clock begins anew with a full [`LEAD`] instead of chasing.
const LATE_MAX: Duration = Duration::from_secs(1);

/// Source time and wall clock may part by this much from one frame of a track to the next; more is a gap.
const SKEW_US_MAX: i64 = 500_000;

/// A track may stand still this long; more is a gap too. Key frames alone may be far apart.
const PAUSE_US_MAX: i64 = 5_000_000;
const PAUSE_KEY_FRAMES_US_MAX: i64 = 60_000_000;

/// A step back of one track up to this is disorder and is pressed flat; more is a new clock.
const DISORDER_US_MAX: i64 = 1_000_000;

/// What lies between the last frame before a gap and the first after it, in the viewer's time.
const SEAM_US: i64 = 40_000;

/// How fast the pictures before the moment that was sought go by.
const PREROLL_SPEED: f64 = 16.0;

/// How fast footage is watched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// So many times faster than it happened, 0.5 to 16; the nearest of these for what lies outside.
    /// Sound comes at 1 only, above 4 key frames alone. Footage without pictures always plays at 1.
    Times(f32),
    /// As fast as it is taken, all frames and tracks as they were recorded, timestamps included.
    Fastest,
}

impl Speed {
    /// Whether a viewer at this speed sees key frames alone.
    pub fn key_frames_only(self) -> bool {
        matches!(self, Speed::Times(times) if times > 4.0)
    }

    /// Whether a viewer at this speed hears sound.
    pub fn has_sound(self) -> bool {
        matches!(self, Speed::Times(1.0) | Speed::Fastest)
    }

    fn times(self) -> f32 {
        match self {
            Speed::Times(times) => times.clamp(0.5, 16.0),
            Speed::Fastest => 16.0,
        }
    }
}

/// Footage played for one viewer: paced by tokio's clock, at a speed, from any moment.
///
/// What it delivers has one timeline whatever the footage jumps: `Frame::dts` begins at 0, counts the
/// viewer's time (a second of footage at 4 times is a quarter), rises within each track, and goes on a
/// frame's worth after the last one across gaps, seeks and changes of speed. `Frame::wall` stays when it
/// was recorded. Tracks are told before their first frame and when they change; where a speed has no sound
/// they lack it, so that no player waits for it.
///
/// A decoder can start at key frames only, so what is delivered after a seek begins before the moment
/// sought. Those pictures are delivered at once and with timestamps 16 times as dense, which a player runs
/// through in a fraction of a second and ends on the picture asked for; sound begins with that picture.
///
/// Between two reads, [`seek`](Self::seek), [`pause`](Self::pause), [`resume`](Self::resume) and
/// [`set_speed`](Self::set_speed) take effect at once and cost nothing: the next read does what the last
/// seek asked for and forgets those before it.
pub struct Player {
    footage: Box<dyn Footage>,
    speed: Speed,
    /// The footage was not told of `speed` yet.
    expects: bool,
    /// The footage was not sent there yet.
    seek: Option<UnixMicros>,
    /// Read from the footage, not placed yet: only while a read was cancelled.
    incoming: Vec<Item>,
    /// Placed, not due yet.
    queue: VecDeque<Placed>,
    timescale: Timescale,
    clock: Option<Clock>,
    paused: Option<Instant>,
    ended: bool,
    /// Last delivered.
    tracks: Option<Arc<[Track]>>,
    delivered_us: i64,
    position: UnixMicros,
}

/// An item and its time on the viewer's timeline.
struct Placed {
    at_us: i64,
    /// Before the moment sought: due whatever the clock says.
    preroll: bool,
    item: Item,
}

/// When a point of the viewer's timeline is shown.
struct Clock {
    at: Instant,
    at_us: i64,
}

impl Clock {
    fn due(&self, at_us: i64) -> Instant {
        self.at + Duration::from_micros(at_us.saturating_sub(self.at_us).max(0) as u64)
    }
}

impl Player {
    /// Plays from the footage's beginning, which may lie up to a GOP before what its range asks for: who
    /// wants the moment exactly seeks to it.
    pub fn new(footage: Box<dyn Footage>, speed: Speed) -> Player {
        Player {
            footage,
            speed,
            expects: true,
            seek: None,
            incoming: Vec::new(),
            queue: VecDeque::new(),
            timescale: Timescale::new(speed),
            clock: None,
            paused: None,
            ended: false,
            tracks: None,
            delivered_us: -SEAM_US,
            position: UnixMicros(0),
        }
    }

    /// Waits until something is due and appends it. False once everything was delivered and would have
    /// been seen to its end; a seek goes on from there. Cancel safe: nothing is taken before it is appended.
    ///
    /// # Errors
    /// [`FootageError`]; each further read tries what failed again, unless a seek asks for something else.
    pub async fn read(&mut self, out: &mut Vec<Item>) -> Result<bool, FootageError> {
        loop {
            if self.expects {
                self.footage.expect(self.speed.times(), self.speed.key_frames_only()).await?;
                self.expects = false;
            }
            if let Some(at) = self.seek {
                self.footage.seek(at).await?;
                self.seek = None;
            }
            let next = match self.deliver(out) {
                Delivery::Some => return Ok(true),
                Delivery::Paused => pending().await,
                Delivery::At(next) => next,
                Delivery::Empty if !self.ended => {
                    let read = self.footage.read(&mut self.incoming).await;
                    for item in self.incoming.drain(..) {
                        self.queue.extend(self.timescale.place(item));
                    }
                    self.ended = !read?;
                    continue;
                }
                Delivery::Empty => {
                    if let Some(clock) = &self.clock
                        && self.speed != Speed::Fastest
                    {
                        sleep_until(clock.due(self.delivered_us + SEAM_US)).await;
                    }
                    return Ok(false);
                }
            };
            sleep_until(next).await;
        }
    }

    /// Appends what is due now.
    fn deliver(&mut self, out: &mut Vec<Item>) -> Delivery {
        let before = out.len();
        let now = Instant::now();
        let mut rest = Delivery::Empty;
        while let Some(next) = self.queue.front() {
            match &mut self.clock {
                _ if next.preroll => {}
                // The first picture is shown even to who paused: it is what was sought.
                None => self.clock = Some(Clock { at: now, at_us: next.at_us }),
                Some(_) if self.paused.is_some() => break,
                Some(_) if self.speed == Speed::Fastest => {}
                Some(clock) => {
                    let due = clock.due(next.at_us);
                    if due > now + LEAD {
                        rest = Delivery::At(due - LEAD);
                        break;
                    }
                    if due + LATE_MAX < now {
                        *clock = Clock { at: now, at_us: next.at_us };
                    }
                }
            }
            let Placed { at_us, item, .. } = self.queue.pop_front().expect("it is in front");
            match &item {
                Item::Frame(frame) => {
                    self.delivered_us = self.delivered_us.max(at_us);
                    self.position = frame.wall;
                }
                Item::Tracks(tracks) if self.tracks.as_ref() == Some(tracks) => continue,
                Item::Tracks(tracks) => self.tracks = Some(tracks.clone()),
                Item::Gap { .. } => {}
            }
            out.push(item);
        }
        match rest {
            _ if out.len() > before => Delivery::Some,
            _ if self.paused.is_some() && self.clock.is_some() => Delivery::Paused,
            rest => rest,
        }
    }

    /// Goes to a moment; see [`Player`] for what is delivered then, also to who paused.
    pub fn seek(&mut self, at: UnixMicros) {
        self.seek = Some(at);
        self.incoming.clear();
        self.queue.clear();
        self.clock = None;
        self.ended = false;
        self.timescale = Timescale { latest_us: self.delivered_us, sought: Some(at), ..Timescale::new(self.speed) };
    }

    /// Stops the clock: nothing is delivered until [`resume`](Self::resume).
    pub fn pause(&mut self) {
        self.paused.get_or_insert_with(Instant::now);
    }

    /// Lets the clock go on where it stopped.
    pub fn resume(&mut self) {
        if let Some(paused) = self.paused.take()
            && let Some(clock) = &mut self.clock
        {
            clock.at += paused.max(clock.at).elapsed();
        }
    }

    /// Goes on at another speed after what was delivered last.
    pub fn set_speed(&mut self, speed: Speed) {
        if self.speed == speed {
            return;
        }
        self.speed = speed;
        self.expects = true;
        self.timescale.speed = speed;
        match self.seek {
            Some(at) => self.seek(at),
            None if self.tracks.is_some() => self.seek(UnixMicros(self.position.0.saturating_add(1))),
            None => {}
        }
    }

    /// When the frame delivered last was recorded; 0 before the first.
    pub fn position(&self) -> UnixMicros {
        self.position
    }
}

/// What there was to deliver.
enum Delivery {
    Some,
    /// The next is due to be delivered then.
    At(Instant),
    Paused,
    Empty,
}

/// Places footage on the viewer's timeline and leaves out what a speed does not show.
struct Timescale {
    speed: Speed,
    tracks: Option<Arc<[Track]>>,
    /// How source time becomes the viewer's, since the last gap.
    run: Option<Run>,
    last: BTreeMap<TrackId, Last>,
    /// Latest time given out, over all tracks.
    latest_us: i64,
    /// The picture of this moment was asked for and has not come yet.
    sought: Option<UnixMicros>,
}

#[derive(Clone, Copy)]
struct Run {
    source_us: i64,
    at_us: i64,
    speed: f64,
}

impl Run {
    fn place(&self, source_us: i64) -> i64 {
        // Nothing comes before the run does: late sound would fall among frames that were delivered.
        let since = (source_us.saturating_sub(self.source_us).max(0) as f64 / self.speed).round();
        self.at_us.saturating_add(since as i64)
    }
}

struct Last {
    source_us: i64,
    skew_us: i64,
    dts: Ticks,
}

impl Timescale {
    fn new(speed: Speed) -> Timescale {
        Timescale { speed, tracks: None, run: None, last: BTreeMap::new(), latest_us: -SEAM_US, sought: None }
    }

    fn has_video(&self) -> bool {
        self.tracks.as_ref().is_some_and(|tracks| tracks.iter().any(|track| track.kind() == MediaKind::Video))
    }

    fn place(&mut self, item: Item) -> Option<Placed> {
        match item {
            Item::Tracks(tracks) => {
                self.tracks = Some(tracks.clone());
                let shown = if self.speed.has_sound() || !self.has_video() {
                    tracks
                } else {
                    tracks.iter().filter(|track| track.kind() == MediaKind::Video).cloned().collect()
                };
                Some(Placed { at_us: self.latest_us, preroll: true, item: Item::Tracks(shown) })
            }
            Item::Frame(frame) if self.speed == Speed::Fastest => {
                Some(Placed { at_us: 0, preroll: false, item: Item::Frame(frame) })
            }
            Item::Frame(frame) => self.place_frame(&frame),
            // What was lost shows as a gap in the frames that follow.
            Item::Gap { .. } => None,
        }
    }

    fn place_frame(&mut self, frame: &Frame) -> Option<Placed> {
        let track = self.tracks.as_ref()?.iter().find(|track| track.id == frame.track)?;
        let rate = track.clock_rate;
        let is_video = track.kind() == MediaKind::Video;
        let has_video = self.has_video();
        let shown = match is_video {
            true => frame.key || !self.speed.key_frames_only(),
            false => self.speed.has_sound() || !has_video,
        };
        if !shown {
            return None;
        }
        let source_us = frame.dts.rescale(rate, 1_000_000).0;
        let skew_us = frame.wall.0.saturating_sub(source_us);
        let pause = if self.speed.key_frames_only() { PAUSE_KEY_FRAMES_US_MAX } else { PAUSE_US_MAX };
        let gap = match self.last.get(&frame.track) {
            Some(last) => {
                let step = source_us.saturating_sub(last.source_us);
                let skew = skew_us.saturating_sub(last.skew_us);
                !(-DISORDER_US_MAX..=pause).contains(&step) || !(-SKEW_US_MAX..=SKEW_US_MAX).contains(&skew)
            }
            // Tracks of one run count from one zero.
            None => {
                let mut others = self.last.values();
                others.any(|last| !(-pause..=pause).contains(&source_us.saturating_sub(last.source_us)))
            }
        };
        if gap {
            self.run = None;
            self.last.clear();
            // What follows a gap is not on the way to the moment sought, or the gap is at it.
            self.sought = None;
        }
        let preroll = self.sought.is_some_and(|sought| frame.wall < sought);
        if preroll && !is_video && has_video {
            return None;
        }
        let speed = if has_video { f64::from(self.speed.times()) } else { 1.0 };
        if !preroll && self.sought.take().is_some() {
            let at_us = self.run.map(|run| run.place(source_us));
            self.run = at_us.map(|at_us| Run { source_us, at_us, speed });
        }
        let run = *self.run.get_or_insert(Run {
            source_us,
            at_us: self.latest_us + SEAM_US,
            speed: if preroll { PREROLL_SPEED } else { speed },
        });
        let at_us = run.place(source_us);
        let mut dts = Ticks(at_us).rescale(1_000_000, rate);
        if let Some(last) = self.last.get(&frame.track) {
            dts = dts.max(Ticks(last.dts.0 + 1));
        }
        self.last.insert(frame.track, Last { source_us, skew_us, dts });
        self.latest_us = self.latest_us.max(at_us);
        let cts = (f64::from(frame.cts) / run.speed).round() as i32;
        let frame = Frame { dts, cts, ..frame.clone() };
        Some(Placed { at_us, preroll, item: Item::Frame(Arc::new(frame)) })
    }
}
