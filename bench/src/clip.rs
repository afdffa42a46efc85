//! What is published: 1080p25 H.264 at 2 Mbit/s with AAC, encoded once and kept.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use av::G711Law;
use av::codec::g711;
use av::container::flv::{Demuxer, Tag, TagType};
use bytes::Bytes;

/// Seconds between key frames.
pub const GOP_S: u32 = 2;
/// Length of the clip in seconds, whole GOPs; it is played in a loop.
const LENGTH_S: u32 = 20;
const FRAME_MS: u32 = 40;

/// The clip, cut into messages.
pub struct Clip {
    /// Sequence headers, to be sent first.
    pub headers: Vec<Tag>,
    /// Frames in order of sending, timestamps from 0.
    pub frames: Vec<Tag>,
    /// Milliseconds until it starts again.
    pub length_ms: u32,
    /// FLV bytes a second, stamps included.
    pub bytes_per_s: f64,
}

impl Clip {
    /// Reads the clip at `path`, encoding it there first if it does not exist.
    ///
    /// # Errors
    /// When ffmpeg is missing or fails, or the file is not what it should be.
    pub fn load(path: &Path) -> Result<Clip> {
        if !path.exists() {
            encode(path)?;
        }
        let mut demuxer = Demuxer::new();
        demuxer.push(&std::fs::read(path)?);
        let (mut headers, mut frames) = (Vec::new(), Vec::new());
        while let Some(tag) = demuxer.pull()? {
            match tag.kind {
                TagType::Script => {}
                _ if is_header(&tag) => headers.push(tag),
                // ffmpeg ends H.264 with an end-of-sequence message, which would end it each time around.
                TagType::Video if tag.body.get(1) != Some(&1) => {}
                _ => frames.push(tag),
            }
        }
        let first = frames.iter().map(|tag| tag.timestamp_ms).min().context("the clip is empty")?;
        frames.iter_mut().for_each(|tag| tag.timestamp_ms -= first);
        let length_ms = frames.iter().filter(|tag| tag.kind == TagType::Video).count() as u32 * FRAME_MS;
        frames.retain(|tag| tag.timestamp_ms < length_ms);
        ensure!(headers.len() == 2 && is_key(&frames[0].body) || frames[0].kind == TagType::Audio, "odd clip");
        let bytes: usize = frames.iter().map(|tag| flv_tag(tag, 0, None).len()).sum();
        Ok(Clip { headers, frames, length_ms, bytes_per_s: bytes as f64 * 1000.0 / f64::from(length_ms) })
    }

    /// The same pictures with sound in A-law at 8 kHz, as cameras send it.
    pub fn with_alaw(&self) -> Clip {
        const PIECE_MS: u32 = 40;
        let video = |tags: &[Tag]| tags.iter().filter(|tag| tag.kind == TagType::Video).cloned().collect();
        let (headers, mut frames): (_, Vec<Tag>) = (video(&self.headers), video(&self.frames));
        for timestamp_ms in (0..self.length_ms).step_by(PIECE_MS as usize) {
            let at = timestamp_ms * 8;
            // A tone that swells each second, so that the coder has work.
            let wave = |i: u32| f64::from(at + i) / 8_000.0;
            let sample = |t: f64| 12_000.0 * (t.fract() + 0.1) * (std::f64::consts::TAU * 440.0 * t).sin();
            let samples: Vec<i16> = (0..8 * PIECE_MS).map(|i| sample(wave(i)) as i16).collect();
            // Sound format 7 (FLV 10.1 §E.4.2.1), 16 bits, one channel.
            let body = [&[0x72][..], &g711::encode(G711Law::A, &samples)].concat();
            frames.push(Tag { kind: TagType::Audio, timestamp_ms, body: body.into() });
        }
        frames.sort_by_key(|tag| tag.timestamp_ms);
        Clip { headers, frames, ..*self }
    }
}

fn encode(path: &Path) -> Result<()> {
    eprintln!("encoding the clip once, to {}", path.display());
    let part = path.with_extension("part");
    let picture = format!("testsrc2=size=1920x1080:rate=25:duration={LENGTH_S},noise=alls=8:allf=t");
    let sound = format!("sine=frequency=440:sample_rate=44100:duration={LENGTH_S}");
    let gop = (GOP_S * 1000 / FRAME_MS).to_string();
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &sound])
        .args(["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-bf", "0", "-sc_threshold", "0"])
        .args(["-g", &gop, "-keyint_min", &gop, "-b:v", "2M", "-maxrate", "2M", "-bufsize", "2M"])
        .args(["-c:a", "aac", "-b:a", "128k", "-f", "flv"])
        .arg(&part)
        .status()
        .context("ffmpeg cannot be started")?;
    ensure!(status.success(), "ffmpeg failed");
    Ok(std::fs::rename(part, path)?)
}

fn is_header(tag: &Tag) -> bool {
    tag.body.get(1) == Some(&0) && (tag.kind == TagType::Video || tag.body[0] >> 4 == 10)
}

/// Whether the body of a video tag is a key frame.
pub fn is_key(body: &[u8]) -> bool {
    body.len() > 5 && body[0] == 0x17 && body[1] == 1
}

/// Names the stamp inside a frame.
const STAMP: &[u8; 16] = b"fluorite-bench-1";
/// Bytes of a frame's body before its first NAL unit.
const PREFIX: usize = 5;

/// When a frame was sent, and which it was: an SEI of unregistered user data (H.264 §D.1.7) put before
/// the picture, in text so that it needs no escaping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Number of the picture since the publisher began.
    pub number: u32,
    /// Microseconds on this process's clock.
    pub at_us: u64,
}

impl Stamp {
    /// The NAL unit with its length before it.
    pub fn nal(self) -> Vec<u8> {
        let mut payload = STAMP.to_vec();
        payload.extend_from_slice(format!("{:08x}{:016x}", self.number, self.at_us).as_bytes());
        let mut nal = vec![0, 0, 0, payload.len() as u8 + 4, 0x06, 0x05, payload.len() as u8];
        nal.extend_from_slice(&payload);
        nal.push(0x80);
        nal
    }

    /// Finds it in a video body; servers may have put other NAL units before it.
    pub fn find(body: &[u8]) -> Option<Stamp> {
        let near = &body[..body.len().min(256)];
        let at = near.windows(STAMP.len()).position(|window| window == STAMP)? + STAMP.len();
        let text = std::str::from_utf8(near.get(at..at + 24)?).ok()?;
        let number = u32::from_str_radix(&text[..8], 16).ok()?;
        Some(Stamp { number, at_us: u64::from_str_radix(&text[8..], 16).ok()? })
    }
}

/// The body of a video tag in three parts with the stamp in the middle.
pub fn stamped<'a>(body: &'a [u8], nal: &'a [u8]) -> [&'a [u8]; 3] {
    let (prefix, rest) = body.split_at(PREFIX);
    [prefix, nal, rest]
}

/// One FLV tag as bytes; a video tag as long as if it were stamped.
pub fn flv_tag(tag: &Tag, timestamp_ms: u32, stamp: Option<Stamp>) -> Bytes {
    let stamp = stamp.unwrap_or(Stamp { number: 0, at_us: 0 }).nal();
    let parts = match tag.kind {
        TagType::Video if !is_header(tag) => stamped(&tag.body, &stamp),
        _ => [&tag.body[..], &[], &[]],
    };
    let mut out = Vec::new();
    av::container::flv::write_tag(&mut out, tag.kind, timestamp_ms, &parts);
    out.into()
}
