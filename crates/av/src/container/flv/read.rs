//! From bytes to tags, and from bodies to tracks and frames.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};

use super::*;
use crate::codec::access_unit::AccessUnitBuilder;
use crate::codec::{aac, nal};
use crate::{CodecKind, G711Parameters, TrackId, UnixMicros};

/// One tag of an FLV stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Kind of the body.
    pub kind: TagType,
    /// Milliseconds, wrapping at 32 bits.
    pub timestamp_ms: u32,
    /// See [`parse_body`].
    pub body: Bytes,
}

/// Cuts an FLV byte stream into tags. Tags of unknown kind are skipped.
///
/// It holds what was pushed and not pulled: with a pull after each push, no more than one tag
/// (16 MiB by the 24 bits of its length) and the bytes of one push.
#[derive(Clone, Debug, Default)]
pub struct Demuxer {
    buffer: BytesMut,
    header_seen: bool,
    /// Bytes consumed, for messages.
    offset: u64,
}

/// Longest FLV header taken; version 1 has 9 bytes.
const HEADER_MAX: u32 = 1024;

impl Demuxer {
    /// Starts before the FLV header.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole tag; `None` until more bytes are pushed.
    ///
    /// # Errors
    /// When the stream is no FLV or encrypted. There is no way on after an error.
    pub fn pull(&mut self) -> Result<Option<Tag>, Error> {
        if !self.header_seen && !self.header()? {
            return Ok(None);
        }
        while let Some((header, _)) = self.buffer.split_first_chunk::<TAG_HEADER>() {
            let [kind, l2, l1, l0, t2, t1, t0, t3, ..] = *header;
            let length = u32::from_be_bytes([0, l2, l1, l0]) as usize;
            if kind & 0x20 != 0 {
                return Err(Error::Encrypted { offset: self.offset });
            }
            let whole = TAG_HEADER + length + 4;
            if self.buffer.len() < whole {
                // No room is made for a length that a sender only claims.
                break;
            }
            let tag = self.buffer.split_to(whole).freeze();
            self.offset += whole as u64;
            if let Some(kind) = TagType::from_number(kind & 0x1F) {
                let timestamp_ms = u32::from_be_bytes([t3, t2, t1, t0]);
                return Ok(Some(Tag { kind, timestamp_ms, body: tag.slice(TAG_HEADER..TAG_HEADER + length) }));
            }
        }
        Ok(None)
    }

    /// Consumes the FLV header and PreviousTagSize0; false while they are incomplete.
    fn header(&mut self) -> Result<bool, Error> {
        let signature = b"FLV\x01";
        let known = self.buffer.len().min(signature.len());
        if self.buffer[..known] != signature[..known] {
            return Err(Error::NotFlv);
        }
        let Some(length) = self.buffer.get(5..9).and_then(|bytes| bytes.first_chunk()) else { return Ok(false) };
        let length = u32::from_be_bytes(*length);
        if !(9..=HEADER_MAX).contains(&length) {
            return Err(Error::HeaderLength(length));
        }
        let whole = length as usize + 4;
        if self.buffer.len() < whole {
            return Ok(false);
        }
        self.buffer.advance(whole);
        self.offset += whole as u64;
        self.header_seen = true;
        Ok(true)
    }
}

/// What a body brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// All tracks, when one is new or changed; they hold from the frame beside them on.
    pub tracks: Option<Arc<[Track]>>,
    /// One access unit or audio frame.
    pub frame: Option<Frame>,
    /// The script, when it was one.
    pub script: Option<(String, Value)>,
}

/// Makes tracks and frames of bodies, from an RTMP publisher or an FLV stream.
///
/// Video is track [`TrackId::VIDEO`] at 90 kHz, audio [`TrackId::AUDIO`] at its sample rate.
/// Timestamps are extended past 32 bits and begin at the first one. Audio timestamps, which FLV
/// rounds to milliseconds, are put back on the grid of whole frames.
///
/// Accepts, because encoders send it: parameter sets repeated in frames, delimiters, ADTS headers
/// inside AAC bodies. Frames before the parameters of their codec are left out.
#[derive(Clone, Debug, Default)]
pub struct FrameReader {
    video: Option<Video>,
    video_track: Option<Track>,
    audio_track: Option<Track>,
    /// Latest timestamp, extended.
    time_ms: Option<i64>,
    /// Where the next audio frame is due on the audio clock.
    audio_due: Option<Ticks>,
}

#[derive(Clone, Debug)]
struct Video {
    codec: CodecKind,
    length_size: usize,
    builder: AccessUnitBuilder,
}

impl Video {
    fn new(codec: CodecKind) -> Self {
        Video { codec, length_size: nal::LENGTH_SIZE, builder: AccessUnitBuilder::new(codec) }
    }
}

const VIDEO_CLOCK: u32 = 90_000;

/// G.711 in FLV has no rate field: it is 8 kHz (§E.4.2.1).
const G711_CLOCK: u32 = 8_000;

impl FrameReader {
    /// Starts without tracks.
    pub fn new() -> Self {
        Self::default()
    }

    /// The tracks known so far.
    pub fn tracks(&self) -> Arc<[Track]> {
        self.video_track.iter().chain(&self.audio_track).cloned().collect()
    }

    /// Takes one body with its timestamp in milliseconds; `wall` is when it came.
    ///
    /// # Errors
    /// As [`parse_body`], and when the codec's data is malformed. The reader may be used on.
    pub fn push(&mut self, tag: TagType, timestamp_ms: u32, body: Bytes, wall: UnixMicros) -> Result<Output, Error> {
        let mut output = Output::default();
        match parse_body(tag, body)? {
            Body::VideoConfiguration { codec, record } => self.video_configuration(codec, &record, &mut output)?,
            Body::Video { codec, composition_ms, data, .. } => {
                let dts = Ticks(self.extend(timestamp_ms)).rescale(1000, VIDEO_CLOCK);
                let cts = composition_ms.saturating_mul(VIDEO_CLOCK as i32 / 1000);
                self.video(codec, dts, cts, &data, wall, &mut output)?;
            }
            Body::AacConfiguration(config) => {
                let parameters = aac::parameters(config)?;
                let clock_rate = parameters.sample_rate;
                self.set_audio(CodecParameters::Aac(parameters), clock_rate, &mut output);
            }
            Body::Aac(mut data) => {
                if aac::looks_like_adts(&data) {
                    data = aac::split_adts(&mut data)?.1;
                }
                let is_aac = self.audio_track.as_ref().is_some_and(|track| track.codec.kind() == CodecKind::Aac);
                if is_aac && !data.is_empty() {
                    self.audio(timestamp_ms, aac::SAMPLES_PER_FRAME, data, wall, &mut output);
                }
            }
            Body::G711 { law, channels, data } => {
                let parameters = G711Parameters { law, sample_rate: G711_CLOCK, channels };
                self.set_audio(CodecParameters::G711(parameters), G711_CLOCK, &mut output);
                if !data.is_empty() {
                    let samples = data.len() / usize::from(channels);
                    // A body has at most 2²⁴ bytes.
                    self.audio(timestamp_ms, samples as u32, data, wall, &mut output);
                }
            }
            Body::Script(name, value) => output.script = Some((name, value)),
            Body::Nothing => {}
        }
        Ok(output)
    }

    fn video_configuration(&mut self, codec: CodecKind, record: &[u8], output: &mut Output) -> Result<(), Error> {
        let record = match codec {
            CodecKind::H265 => h265::parse_hvcc(record)?,
            _ => h264::parse_avcc(record)?,
        };
        // A new record replaces everything, also sets that it leaves out.
        let mut video = Video { length_size: record.length_size, ..Video::new(codec) };
        for unit in &record.units {
            video.builder.push(unit)?;
        }
        let made = video.builder.take_changed()?;
        self.video = Some(video);
        if let Some(parameters) = made {
            self.set_video(parameters, output);
        }
        Ok(())
    }

    fn video(
        &mut self,
        codec: CodecKind,
        dts: Ticks,
        cts: i32,
        data: &Bytes,
        wall: UnixMicros,
        output: &mut Output,
    ) -> Result<(), Error> {
        let video = match &mut self.video {
            Some(video) if video.codec == codec => video,
            other => other.insert(Video::new(codec)),
        };
        let Some(unit) = video.builder.whole(data, video.length_size)? else { return Ok(()) };
        if let Some(parameters) = unit.parameters {
            self.set_video(parameters, output);
        }
        if self.video_track.as_ref().is_some_and(|track| track.codec.kind() == codec) {
            output.frame = Some(Frame { track: TrackId::VIDEO, dts, cts, wall, key: unit.key, data: unit.data });
        }
        Ok(())
    }

    fn set_video(&mut self, codec: CodecParameters, output: &mut Output) {
        let track = Track { id: TrackId::VIDEO, codec, clock_rate: VIDEO_CLOCK };
        if self.video_track.as_ref() != Some(&track) {
            self.video_track = Some(track);
            output.tracks = Some(self.tracks());
        }
    }

    fn set_audio(&mut self, codec: CodecParameters, clock_rate: u32, output: &mut Output) {
        let track = Track { id: TrackId::AUDIO, codec, clock_rate };
        if self.audio_track.as_ref() != Some(&track) {
            self.audio_track = Some(track);
            self.audio_due = None;
            output.tracks = Some(self.tracks());
        }
    }

    fn audio(&mut self, timestamp_ms: u32, samples: u32, data: Bytes, wall: UnixMicros, output: &mut Output) {
        let Some(clock_rate) = self.audio_track.as_ref().map(|track| track.clock_rate) else { return };
        let stamped = Ticks(self.extend(timestamp_ms)).rescale(1000, clock_rate);
        // Both neighbours may be rounded by up to a millisecond, down or to the nearest.
        let tolerance = i64::from(clock_rate) * 2 / 1000;
        let dts = self.audio_due.filter(|due| (due.0 - stamped.0).abs() <= tolerance).unwrap_or(stamped);
        self.audio_due = Some(Ticks(dts.0 + i64::from(samples)));
        output.frame = Some(Frame { track: TrackId::AUDIO, dts, cts: 0, wall, key: true, data });
    }

    /// Follows the 32-bit counter across its wrap, in either direction.
    fn extend(&mut self, timestamp_ms: u32) -> i64 {
        let time = match self.time_ms {
            None => i64::from(timestamp_ms),
            Some(last) => last + i64::from(timestamp_ms.wrapping_sub(last as u32) as i32),
        };
        self.time_ms = Some(time);
        time
    }
}
