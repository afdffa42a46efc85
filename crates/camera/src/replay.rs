//! A file sent again and again: a camera that costs next to nothing.
//!
//! For load and crash tests. The file is read once; its time goes on from one round to the next.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use av::codec::access_unit::AccessUnitBuilder;
use av::codec::{h264, nal};
use av::container::flv::{Demuxer, FrameReader};
use av::{CodecKind, CodecParameters, Frame, MediaKind, Ticks, Track, TrackId, UnixMicros};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use crate::clock::{self, Clock};
use crate::feed::Stream;
use crate::{Config, Error};

/// Largest file taken: it is held in memory.
const FILE_MAX: u64 = 256 << 20;
/// Pictures a second of a bare H.264 stream that does not say.
const FRAME_RATE_DEFAULT: f64 = 25.0;
const VIDEO_CLOCK: u32 = 90_000;

/// A file's frames in order of time.
pub struct Clip {
    /// Its tracks: one of video, perhaps one of audio.
    pub tracks: Vec<Track>,
    /// Frames with their time since the beginning.
    frames: Vec<(Duration, Frame)>,
    /// Time after which it begins again.
    length: Duration,
}

impl Clip {
    /// Reads an FLV file, or H.264 in Annex B.
    ///
    /// # Errors
    /// If it cannot be read, is neither, or has no key frame to begin with.
    pub fn load(path: &Path) -> Result<Clip, Error> {
        let refuse = |reason: String| Error::Replay { path: path.display().to_string(), reason };
        let size = std::fs::metadata(path).map_err(|error| refuse(error.to_string()))?.len();
        if size > FILE_MAX {
            return Err(refuse(format!("larger than {FILE_MAX} bytes")));
        }
        let bytes = std::fs::read(path).map_err(|error| refuse(error.to_string()))?;
        Clip::parse(&bytes).map_err(refuse)
    }

    /// As [`Clip::load`], from memory; answers what is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Clip, String> {
        let (tracks, frames) =
            if bytes.starts_with(b"FLV") { flv(bytes)? } else { annex_b(bytes).map_err(|error| error.to_string())? };
        Clip::new(tracks, frames)
    }

    fn new(tracks: Vec<Track>, frames: Vec<Frame>) -> Result<Clip, String> {
        let rate = |frame: &Frame| tracks.iter().find(|t| t.id == frame.track).map(|t| t.clock_rate);
        let time = |frame: &Frame| {
            let ticks = u128::try_from(frame.dts.0).ok()?;
            Some(Duration::from_nanos((ticks * 1_000_000_000 / u128::from(rate(frame)?)) as u64))
        };
        let is_video = |frame: &Frame| frame.track == TrackId::VIDEO;
        let start = frames.iter().find(|frame| is_video(frame) && frame.key).and_then(time).ok_or("no key frame")?;
        // Sound from before the first key frame has no picture; what is out of range has no time.
        let timed = frames.into_iter().filter_map(|frame| Some((time(&frame)?.checked_sub(start)?, frame)));
        let mut frames: Vec<(Duration, Frame)> = timed.collect();
        frames.sort_by_key(|(time, _)| *time);
        let pictures: Vec<Duration> = frames.iter().filter(|(_, f)| is_video(f)).map(|(time, _)| *time).collect();
        let (Some(&last), true) = (pictures.last(), pictures.len() > 1) else {
            return Err("fewer than two pictures".into());
        };
        let length = last + last / (pictures.len() as u32 - 1);
        if length.is_zero() {
            return Err("all pictures have the same time".into());
        }
        frames.retain(|(time, _)| *time < length);
        Ok(Clip { tracks, frames, length })
    }

    /// Its first picture, a key frame, and what a decoder must know.
    pub fn first_picture(&self) -> (&CodecParameters, &[u8]) {
        let picture = self.frames.iter().find(|(_, frame)| frame.track == TrackId::VIDEO);
        (&self.tracks[0].codec, picture.map_or(&[], |(_, frame)| &frame.data))
    }
}

/// Tracks and frames as the file has them.
type Contents = (Vec<Track>, Vec<Frame>);

fn flv(bytes: &[u8]) -> Result<Contents, String> {
    let (mut demuxer, mut reader) = (Demuxer::new(), FrameReader::new());
    demuxer.push(bytes);
    let mut frames = Vec::new();
    while let Some(tag) = demuxer.pull().map_err(|error| error.to_string())? {
        let output = reader.push(tag.kind, tag.timestamp_ms, tag.body, UnixMicros(0));
        frames.extend(output.map_err(|error| error.to_string())?.frame);
    }
    let tracks = reader.tracks().to_vec();
    match tracks.first() {
        Some(track) if track.kind() == MediaKind::Video => Ok((tracks, frames)),
        _ => Err("no pictures".into()),
    }
}

fn annex_b(bytes: &[u8]) -> Result<Contents, av::codec::Error> {
    let mut units = AccessUnitBuilder::new(CodecKind::H264);
    let mut pictures = Vec::new();
    for unit in nal::annex_b(bytes) {
        if units.is_complete_before(unit) {
            pictures.extend(units.finish()?);
        }
        units.push(unit)?;
    }
    pictures.extend(units.finish()?);
    let Some(CodecParameters::H264(parameters)) = units.parameters().cloned() else {
        return Err(av::codec::Error::Invalid("a stream without parameter sets"));
    };
    let stated = h264::Sps::parse(&parameters.sps)?.frame_rate;
    let rate = stated.map_or(FRAME_RATE_DEFAULT, |rate| rate.per_second()).clamp(1.0, 240.0);
    let frame = |(n, unit): (usize, av::codec::access_unit::AccessUnit)| {
        let dts = Ticks((n as f64 * f64::from(VIDEO_CLOCK) / rate).round() as i64);
        Frame { track: TrackId::VIDEO, dts, cts: 0, wall: UnixMicros(0), key: unit.key, data: unit.data }
    };
    let track = Track { id: TrackId::VIDEO, codec: CodecParameters::H264(parameters), clock_rate: VIDEO_CLOCK };
    Ok((vec![track], pictures.into_iter().enumerate().map(frame).collect()))
}

/// Sends the clip into a stream's feeds whenever somebody watches, from its beginning, until cancelled.
pub async fn run(clip: Arc<Clip>, stream: Stream, clock: Clock, cancel: CancellationToken) {
    let play = async {
        loop {
            stream.video.watched().await;
            play(&clip, &stream, clock).await;
        }
    };
    tokio::select! { biased;
        () = cancel.cancelled() => {}
        never = play => never,
    }
}

/// From the first viewer to the last.
async fn play(clip: &Clip, stream: &Stream, clock: Clock) {
    let mut round = clock.elapsed();
    loop {
        for (time, frame) in &clip.frames {
            sleep_until(clock.instant(round + *time)).await;
            if !stream.video.is_watched() {
                return;
            }
            let feed = match (&stream.sound, frame.track) {
                (_, TrackId::VIDEO) => &stream.video,
                (Some(sound), _) => sound,
                (None, _) => continue,
            };
            let dts = clock::ticks(round + *time, feed.track.clock_rate);
            feed.publish(Frame { dts, wall: clock.wall_at(round + *time), ..frame.clone() });
        }
        round += clip.length;
    }
}

/// The clip of a configuration, if it has one.
///
/// # Errors
/// As [`Clip::load`].
pub fn load(config: &Config) -> Result<Option<Arc<Clip>>, Error> {
    config.replay.as_deref().map(|path| Clip::load(path).map(Arc::new)).transpose()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::encoder::VideoEncoder;
    use crate::scene::Picture;
    use crate::{VideoConfig, marker};

    fn recording(pictures: u32) -> Vec<u8> {
        let video = VideoConfig::SUB;
        let mut encoder = VideoEncoder::new(&video).unwrap();
        let sets = VideoEncoder::parameters(&video).unwrap();
        let mut stream = Vec::new();
        for n in 0..pictures {
            let mut picture = Picture::new(640, 360);
            marker::draw_counter(&mut picture, n);
            let unit = encoder.encode(&picture, false).unwrap();
            for set in [&sets.sps, &sets.pps].into_iter().filter(|_| unit.key) {
                stream.extend([0, 0, 0, 1]);
                stream.extend(set.iter());
            }
            stream.extend(nal::length_prefixed_to_annex_b(&unit.data).unwrap());
        }
        stream
    }

    #[test]
    fn a_bare_stream_has_its_pictures_evenly_spaced() {
        let clip = Clip::parse(&recording(50)).unwrap();
        assert_eq!(clip.frames.len(), 50);
        assert_eq!(clip.frames.iter().filter(|(_, f)| f.key).count(), 2);
        assert_eq!(clip.length.as_micros() % 50, 0);
    }

    #[test]
    fn what_cannot_be_played_is_named() {
        assert!(Clip::parse(b"").is_err());
        assert!(Clip::parse(b"FLV\x01 and nothing more").is_err());
        assert!(Clip::parse(&[0x47; 4000]).is_err());
        assert_eq!(Clip::parse(&recording(1)).err().unwrap(), "fewer than two pictures");
        let error = Clip::load(Path::new("/nonexistent/clip.flv")).err().unwrap();
        assert!(error.to_string().starts_with("/nonexistent/clip.flv: "), "{error}");
    }
}
