//! Serialises frames once for all viewers of one format.
//!
//! Absolute timestamps and fixed chunk and message stream ids make the bytes the same for every
//! viewer, so a block is made once and shared by reference count.

use std::sync::Arc;

use av::container::flv::{self, TagType};
use av::{Frame, MediaKind, Track, TrackId};
use bytes::Bytes;
use proto::rtmp::{CHUNK_SIZE, chunk, server};

/// What a viewer is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// RTMP chunks, fmt 0, message stream 1.
    Rtmp,
    /// FLV tags, as in a file.
    Flv,
}

/// Bytes that go to every viewer of a format alike: whole messages or tags.
#[derive(Clone, Debug)]
pub struct Block {
    /// The bytes.
    pub data: Bytes,
    /// Set when the block begins with a key frame, where a viewer can start.
    pub start: Option<Arc<Preamble>>,
}

/// What a decoder must be told before a key frame.
#[derive(Debug, Default)]
pub struct Preamble {
    /// For a viewer that comes: file header, metadata, sequence headers.
    pub opening: Bytes,
    /// For one that is there already and lost frames: the sequence headers alone.
    pub headers: Bytes,
}

/// Turns the frames of one stream into blocks of one format.
pub struct Packer {
    format: Format,
    tracks: Arc<[Track]>,
    preamble: Arc<Preamble>,
    open: Vec<u8>,
    /// The first frame of the open block is a key frame; whoever packs closes the block before one.
    key: bool,
    prefix: Vec<u8>,
    latest_ms: i64,
    /// Size of the last block, to allocate the next one in one piece.
    usual: usize,
}

impl Packer {
    /// A packer for a stream whose tracks are not known yet.
    pub fn new(format: Format) -> Packer {
        Packer {
            format,
            tracks: Arc::from([]),
            preamble: Arc::default(),
            open: Vec::new(),
            key: false,
            prefix: Vec::new(),
            latest_ms: 0,
            usual: 4096,
        }
    }

    /// Whether the open block holds anything.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// What a decoder must be told before the frames to come.
    pub fn preamble(&self) -> &Arc<Preamble> {
        &self.preamble
    }

    /// Stream time of the newest frame packed, in milliseconds.
    pub fn latest_ms(&self) -> i64 {
        self.latest_ms
    }

    /// Tells the tracks of the frames to come. Viewers in mid-stream get the new sequence headers in
    /// the open block, which the next key frame follows.
    pub fn set_tracks(&mut self, tracks: Arc<[Track]>) {
        let mut headers = Vec::new();
        for (tag, body) in tracks.iter().filter_map(flv::sequence_header) {
            write(self.format, &mut headers, tag, self.latest_ms, &[&body]);
        }
        if !self.tracks.is_empty() {
            self.open.extend_from_slice(&headers);
        }
        let mut opening = Vec::new();
        if self.format == Format::Flv {
            opening.extend_from_slice(&flv::file_header(&tracks));
        }
        write(self.format, &mut opening, TagType::Script, 0, &[&flv::metadata(&tracks)]);
        opening.extend_from_slice(&headers);
        self.preamble = Arc::new(Preamble { opening: opening.into(), headers: headers.into() });
        self.tracks = tracks;
    }

    /// Whether this frame begins a GOP, so that the open block must be closed before it.
    pub fn starts_gop(&self, frame: &Frame) -> bool {
        frame.key && (self.is_video(frame.track) || !self.tracks.iter().any(|t| t.kind() == MediaKind::Video))
    }

    /// Whether the frame is a picture.
    pub fn is_video(&self, track: TrackId) -> bool {
        self.tracks.iter().any(|t| t.id == track && t.kind() == MediaKind::Video)
    }

    /// Appends a frame to the open block. Frames of tracks that the format cannot carry are left out.
    pub fn push(&mut self, frame: &Frame) {
        let Some(track) = self.tracks.iter().find(|t| t.id == frame.track) else { return };
        if self.open.is_empty() {
            self.open.reserve(self.usual.max(frame.data.len() + 64));
        }
        self.key |= self.starts_gop(frame);
        self.prefix.clear();
        flv::frame_prefix(track, frame, &mut self.prefix);
        let tag = match track.kind() {
            MediaKind::Video => TagType::Video,
            MediaKind::Audio => TagType::Audio,
        };
        let at_ms = frame.dts.to_millis(track.clock_rate);
        self.latest_ms = self.latest_ms.max(at_ms);
        write(self.format, &mut self.open, tag, at_ms, &[&self.prefix, &frame.data]);
    }

    /// Closes the open block, if it holds anything.
    pub fn close(&mut self) -> Option<Block> {
        if self.open.is_empty() {
            return None;
        }
        self.usual = (self.usual + self.open.len()) / 2;
        let mut data = std::mem::take(&mut self.open);
        data.shrink_to_fit();
        let start = std::mem::take(&mut self.key).then(|| self.preamble.clone());
        Some(Block { data: data.into(), start })
    }
}

fn write(format: Format, out: &mut Vec<u8>, tag: TagType, at_ms: i64, body: &[&[u8]]) {
    // Both formats count milliseconds in 32 bits and wrap after 49 days; players expect that.
    let timestamp = at_ms as u32;
    match format {
        Format::Rtmp => {
            let chunk_stream = match tag {
                TagType::Audio => 4,
                TagType::Video => 6,
                TagType::Script => 5,
            };
            chunk::write_message(out, chunk_stream, tag as u8, timestamp, server::STREAM_ID, body, CHUNK_SIZE);
        }
        Format::Flv => flv::write_tag(out, tag, timestamp, body),
    }
}
