//! Simulated cameras, an archive in memory, and what lies in it read back.
#![allow(clippy::unwrap_used, dead_code, reason = "each test program uses its part of it")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use av::codec::h264;
use av::container::fmp4;
use av::{
    AacParameters, CodecParameters, Frame, G711Law, G711Parameters, MediaKind, Ticks, Track, TrackId, UnixMicros,
};
use bytes::{BufMut, Bytes};
use media::{Archive, ArchiveError, Cut, Footage, FootageError, Item, OpenSegment, Part, SegmentStart};

/// When simulated cameras start.
pub const START: i64 = 1_790_000_000_000_000;
pub const SECOND: i64 = 1_000_000;
pub const HOUR: i64 = 3600 * SECOND;
/// Distance of two pictures.
pub const PICTURE: i64 = 40_000;

pub fn video() -> Track {
    let sps = &[0x67, 0x42, 0xC0, 0x28, 0xDA, 0x01, 0xE0, 0x08, 0x9F, 0x97, 0x01, 0x10, 0x00, 0x80];
    let parameters = h264::parameters(Bytes::from_static(sps), Bytes::from_static(&[0x68, 0xCE])).unwrap();
    Track { id: TrackId::VIDEO, codec: CodecParameters::H264(parameters), clock_rate: 90_000 }
}

/// The same pictures with another parameter set.
pub fn other_video() -> Track {
    let CodecParameters::H264(mut parameters) = video().codec else { unreachable!() };
    parameters.pps = Bytes::from_static(&[0x68, 0xC8]);
    Track { codec: CodecParameters::H264(parameters), ..video() }
}

pub fn aac() -> Track {
    let parameters = AacParameters { config: Bytes::from_static(&[0x14, 0x08]), sample_rate: 16_000, channels: 1 };
    Track { id: TrackId::AUDIO, codec: CodecParameters::Aac(parameters), clock_rate: 16_000 }
}

pub fn g711() -> Track {
    let parameters = G711Parameters { law: G711Law::A, sample_rate: 8000, channels: 1 };
    Track { id: TrackId::AUDIO, codec: CodecParameters::G711(parameters), clock_rate: 8000 }
}

/// A camera of 25 pictures a second and maybe sound.
#[derive(Clone)]
pub struct Camera {
    pub tracks: Vec<Track>,
    /// Pictures from one key frame to the next.
    pub gop: i64,
    /// Frames are received up to this much late, by chance.
    pub jitter_us: i64,
    pub seed: u64,
    /// When what happens at a time of the stream is received, at the earliest.
    pub wall: fn(i64) -> i64,
}

impl Default for Camera {
    fn default() -> Camera {
        Camera { tracks: vec![video(), aac()], gop: 50, jitter_us: 0, seed: 1, wall: |at| START + at }
    }
}

impl Camera {
    /// What it sends from picture `from` to before picture `to`, in order, with its time in the stream.
    pub fn frames(&self, from: i64, to: i64) -> Vec<(i64, Frame)> {
        let mut random = Random(self.seed);
        let mut frames = Vec::new();
        for track in &self.tracks {
            let step = match &track.codec {
                CodecParameters::Aac(_) => 1024,
                CodecParameters::G711(_) => 160,
                _ => 3600,
            };
            let rate = i64::from(track.clock_rate);
            let first = (from * PICTURE * rate + SECOND * step - 1) / (SECOND * step);
            for n in first.. {
                let at = n * step * SECOND / rate;
                if at >= to * PICTURE {
                    break;
                }
                let is_video = track.kind() == MediaKind::Video;
                let mut data = Vec::new();
                data.put_i64(n);
                data.resize(8 + random.below(if is_video { 2000 } else { 100 }) as usize, track.id.0);
                frames.push((
                    at,
                    Frame {
                        track: track.id,
                        dts: Ticks(n * step),
                        cts: if is_video { (n % 3) as i32 * 3600 } else { 0 },
                        wall: UnixMicros((self.wall)(at) + random.below(self.jitter_us.max(1) as u64) as i64),
                        key: !is_video || n % self.gop == 0,
                        data: data.into(),
                    },
                ));
            }
        }
        frames.sort_by_key(|(at, frame)| (*at, frame.track));
        frames
    }

    pub fn items(&self, from: i64, to: i64) -> Vec<Item> {
        let frames = self.frames(from, to).into_iter().map(|(_, frame)| Item::Frame(Arc::new(frame)));
        [Item::Tracks(self.tracks.clone().into())].into_iter().chain(frames).collect()
    }
}

/// xorshift64
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

pub fn frames_of(items: &[Item]) -> Vec<Frame> {
    items.iter().filter_map(|item| if let Item::Frame(frame) = item { Some((**frame).clone()) } else { None }).collect()
}

pub fn of_track(frames: &[Frame], track: TrackId) -> Vec<Frame> {
    frames.iter().filter(|frame| frame.track == track).cloned().collect()
}

/// Numbers of the pictures.
pub fn pictures(frames: &[Frame]) -> Vec<i64> {
    of_track(frames, TrackId::VIDEO).iter().map(number).collect()
}

pub fn number(frame: &Frame) -> i64 {
    i64::from_be_bytes(frame.data[..8].try_into().unwrap())
}

/// A segment as an archive got it.
#[derive(Clone)]
pub struct Kept {
    pub start: SegmentStart,
    pub parts: Vec<Part>,
    pub committed: bool,
}

impl Kept {
    /// Its tracks and frames, as a reader of its bytes finds them.
    pub fn read(&self) -> (Vec<Track>, Vec<Frame>) {
        let (tracks, length) = fmp4::read_init(&self.start.init).unwrap();
        assert_eq!(length, self.start.init.len());
        let mut frames = Vec::new();
        for part in &self.parts {
            let (read, length) = fmp4::read_fragment(&tracks, &part.data).unwrap();
            assert_eq!(length, part.data.len(), "a part is one fragment");
            frames.extend(read);
        }
        (tracks, frames)
    }

    pub fn from(&self) -> i64 {
        self.start.at.0
    }

    pub fn to(&self) -> i64 {
        self.parts.last().unwrap().to.0
    }
}

/// What is wrong with the archive.
#[derive(Clone, Copy, PartialEq)]
pub enum Trouble {
    None,
    /// There is no room.
    Full,
    /// Nothing can be written.
    Gone,
    /// Each write takes this long.
    Slow(Duration),
    /// Each commit takes this long.
    SlowCommit(Duration),
}

struct State {
    kept: Vec<Kept>,
    trouble: Trouble,
}

#[derive(Clone)]
pub struct MemoryArchive(Arc<Mutex<State>>);

impl MemoryArchive {
    pub fn new() -> MemoryArchive {
        MemoryArchive(Arc::new(Mutex::new(State { kept: Vec::new(), trouble: Trouble::None })))
    }

    pub fn set(&self, trouble: Trouble) {
        self.0.lock().unwrap().trouble = trouble;
    }

    pub fn kept(&self) -> Vec<Kept> {
        self.0.lock().unwrap().kept.clone()
    }

    /// Takes what a segmenter cuts.
    pub fn keep(&self, cut: Cut) {
        let kept = &mut self.0.lock().unwrap().kept;
        match cut {
            Cut::Begin(start) => kept.push(Kept { start, parts: Vec::new(), committed: false }),
            Cut::Part(part) => kept.last_mut().unwrap().parts.push(part),
            Cut::End => kept.last_mut().unwrap().committed = true,
        }
    }

    fn check(&self) -> Result<Trouble, ArchiveError> {
        match self.0.lock().unwrap().trouble {
            Trouble::Full => Err(ArchiveError::Full),
            Trouble::Gone => Err(ArchiveError::Unavailable("unplugged".into())),
            trouble => Ok(trouble),
        }
    }
}

struct MemorySegment {
    archive: MemoryArchive,
    place: usize,
}

#[async_trait]
impl Archive for MemoryArchive {
    async fn begin(&self, start: SegmentStart) -> Result<Box<dyn OpenSegment>, ArchiveError> {
        self.check()?;
        let mut state = self.0.lock().unwrap();
        state.kept.push(Kept { start, parts: Vec::new(), committed: false });
        Ok(Box::new(MemorySegment { archive: self.clone(), place: state.kept.len() - 1 }))
    }
}

#[async_trait]
impl OpenSegment for MemorySegment {
    async fn append(&mut self, part: &Part) -> Result<(), ArchiveError> {
        if let Trouble::Slow(time) = self.archive.check()? {
            tokio::time::sleep(time).await;
        }
        self.archive.0.lock().unwrap().kept[self.place].parts.push(part.clone());
        Ok(())
    }

    async fn commit(self: Box<Self>) -> Result<(), ArchiveError> {
        let trouble = self.archive.0.lock().unwrap().trouble;
        if let Trouble::SlowCommit(time) = trouble {
            tokio::time::sleep(time).await;
        }
        self.archive.0.lock().unwrap().kept[self.place].committed = true;
        Ok(())
    }
}

/// Footage made of items; `read` gives a few at a time.
pub struct Clip {
    items: Vec<Item>,
    rest: VecDeque<Item>,
    /// What it was told, for who asks.
    pub told: Arc<Mutex<Vec<(f32, bool)>>>,
    delay: Duration,
}

impl Clip {
    pub fn new(items: Vec<Item>) -> Clip {
        Clip { rest: items.clone().into(), items, told: Arc::default(), delay: Duration::ZERO }
    }

    /// Each read takes this long.
    pub fn delayed(self, delay: Duration) -> Clip {
        Clip { delay, ..self }
    }

    /// What lies in an archive.
    pub fn of(archive: &MemoryArchive) -> Clip {
        let mut items = Vec::new();
        for segment in archive.kept() {
            let (tracks, frames) = segment.read();
            items.push(Item::Tracks(tracks.into()));
            items.extend(frames.into_iter().map(|frame| Item::Frame(Arc::new(frame))));
        }
        Clip::new(items)
    }
}

#[async_trait]
impl Footage for Clip {
    async fn seek(&mut self, at: UnixMicros) -> Result<(), FootageError> {
        if !frames_of(&self.items).iter().any(|frame| frame.wall >= at) {
            return Err(FootageError::Empty);
        }
        let (mut tracks, mut start) = (None, None);
        for (place, item) in self.items.iter().enumerate() {
            match item {
                Item::Tracks(_) => tracks = Some(place),
                Item::Frame(frame) if frame.key && frame.track == TrackId::VIDEO => {
                    if frame.wall > at && start.is_some() {
                        break;
                    }
                    start = Some((tracks.unwrap(), place));
                }
                _ => {}
            }
        }
        let (tracks, place) = start.unwrap();
        self.rest = [self.items[tracks].clone()].into_iter().chain(self.items[place..].iter().cloned()).collect();
        Ok(())
    }

    async fn expect(&mut self, speed: f32, key_frames_only: bool) -> Result<(), FootageError> {
        self.told.lock().unwrap().push((speed, key_frames_only));
        Ok(())
    }

    async fn read(&mut self, out: &mut Vec<Item>) -> Result<bool, FootageError> {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        let count = self.rest.len().min(20);
        out.extend(self.rest.drain(..count));
        Ok(count > 0)
    }
}
