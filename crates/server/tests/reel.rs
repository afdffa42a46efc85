//! A film of real pictures and sound, as long as a test wants it: a GOP that x264 made, over and over, and
//! sound beside it. Its wall clock is the test's, so that yesterday takes no day.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use av::codec::g711;
use av::container::flv::{Demuxer, FrameReader};
use av::{CodecParameters, Frame, G711Law, G711Parameters, Ticks, Track, TrackId, UnixMicros};
use bytes::Bytes;
use media::{Cut, Item, SegmentSettings, Segmenter};

/// Pictures a second.
pub const FPS: i64 = 25;
/// Pictures from one key frame to the next.
pub const GOP: i64 = 10;

/// What the film sounds like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sound {
    /// As the file has it: AAC, 16 kHz.
    Aac,
    /// 440 Hz as G.711 A-law in pieces of 20 ms.
    G711,
}

/// The film.
pub struct Reel {
    /// Video, then audio.
    pub tracks: Arc<[Track]>,
    pictures: Vec<Frame>,
    sounds: Vec<Bytes>,
    /// Ticks of a piece of sound.
    piece: i64,
}

impl Reel {
    /// Loads it.
    pub fn new(sound: Sound) -> Reel {
        let mut demuxer = Demuxer::new();
        demuxer.push(include_bytes!("../../av/src/testdata/x264_high_bframes_aac.flv"));
        let (mut reader, mut pictures, mut sounds) = (FrameReader::new(), Vec::new(), Vec::new());
        while let Some(tag) = demuxer.pull().unwrap() {
            let Ok(output) = reader.push(tag.kind, tag.timestamp_ms, tag.body, UnixMicros(0)) else { continue };
            match output.frame {
                Some(frame) if frame.track == TrackId::VIDEO => pictures.push(frame),
                Some(frame) => sounds.push(frame.data),
                None => {}
            }
        }
        pictures.truncate(GOP as usize);
        let mut tracks = reader.tracks().to_vec();
        let mut piece = 1024;
        if sound == Sound::G711 {
            let codec = G711Parameters { law: G711Law::A, sample_rate: 8_000, channels: 1 };
            tracks[1] = Track { id: TrackId::AUDIO, codec: CodecParameters::G711(codec), clock_rate: 8_000 };
            piece = 160;
            // 440 Hz fit 11 times into 25 ms, so 200 samples go round; eight of them are ten pieces.
            let wave = |n: i64| ((n as f64 * 440.0 / 8_000.0 * std::f64::consts::TAU).sin() * 12_000.0) as i16;
            sounds = (0..10)
                .map(|piece| g711::encode(G711Law::A, &(0..160).map(|n| wave(piece * 160 + n)).collect::<Vec<_>>()))
                .collect();
        }
        Reel { tracks: tracks.into(), pictures, sounds, piece }
    }

    /// So much of it from a picture on, in decoding order, recorded from `wall` on if that is picture 0.
    pub fn frames(&self, pictures: std::ops::Range<i64>, wall: UnixMicros) -> Vec<Frame> {
        let mut frames = Vec::new();
        for n in pictures.clone() {
            let picture = &self.pictures[(n % GOP) as usize];
            let (dts, wall) = (Ticks(n * 90_000 / FPS), UnixMicros(wall.0 + n * 1_000_000 / FPS));
            frames.push((n * 1_000_000 / FPS, Frame { dts, wall, ..picture.clone() }));
        }
        let rate = i64::from(self.tracks[1].clock_rate);
        let first = |n: i64| (n * rate / FPS + self.piece - 1) / self.piece;
        for n in first(pictures.start)..first(pictures.end) {
            let at_us = n * self.piece * 1_000_000 / rate;
            let frame = Frame {
                track: TrackId::AUDIO,
                dts: Ticks(n * self.piece),
                cts: 0,
                wall: UnixMicros(wall.0 + at_us),
                key: true,
                data: self.sounds[n as usize % self.sounds.len()].clone(),
            };
            frames.push((at_us, frame));
        }
        frames.sort_by_key(|(at_us, _)| *at_us);
        frames.into_iter().map(|(_, frame)| frame).collect()
    }

    /// Records seconds of it from `wall` on, in segments of 12 s, as files that a server left behind when it
    /// was killed.
    pub fn record(&self, data: &Path, storage: &str, serial: &str, wall: UnixMicros, seconds: i64) {
        let spool = data.join("spool");
        std::fs::create_dir_all(&spool).unwrap();
        let settings = SegmentSettings { segment: Duration::from_secs(12), ..SegmentSettings::default() };
        let mut segmenter = Segmenter::new(settings);
        let mut cuts: Vec<Cut> = segmenter.push(Item::Tracks(self.tracks.clone())).collect();
        for frame in self.frames(0..seconds * FPS, wall) {
            cuts.extend(segmenter.push(Item::Frame(Arc::new(frame))));
        }
        cuts.extend(segmenter.finish());
        let mut open: Option<(std::path::PathBuf, Vec<u8>)> = None;
        for cut in cuts {
            match cut {
                Cut::Begin(start) => {
                    let name = format!("{storage}_{serial}_1_{}.mp4", start.at.0 / 1000);
                    open = Some((spool.join(name), start.init.to_vec()));
                }
                Cut::Part(part) => open.as_mut().unwrap().1.extend(part.data),
                Cut::End => {
                    let (path, bytes) = open.take().unwrap();
                    std::fs::write(path, bytes).unwrap();
                }
            }
        }
    }
}
