//! The chunk stream, §5.3: messages in pieces, those of several chunk streams interleaved.
//!
//! [`Reader`] keeps no input, only the messages it is putting together. It knows two of the control
//! messages itself, Set Chunk Size and Abort, because the bytes after them mean nothing otherwise.
//! [`write_message`] uses full headers with absolute timestamps only: the bytes then do not depend on
//! what was sent before, so that they can be made once for many receivers.

use bytes::{Bytes, BytesMut};

use super::Fault;
use super::message::kind;

/// Most chunk streams a peer may use; real ones use five.
pub const STREAMS_MAX: usize = 64;
/// Longest message, in bytes: the field has 24 bits.
pub const MESSAGE_MAX: usize = (16 << 20) - 1;
/// Most bytes held in messages not yet complete.
pub const UNFINISHED_MAX: usize = 32 << 20;
/// Largest chunk size a peer may choose, in bytes; no message is longer.
const CHUNK_SIZE_MAX: u32 = 16 << 20;
/// Chunk size until told otherwise, §5.4.1.
pub const CHUNK_SIZE_DEFAULT: usize = 128;
/// Timestamp field that says that 32 bits follow the header.
const EXTENDED: u32 = 0xFF_FFFF;
/// Basic header, message header, extended timestamp.
const HEADER_MAX: usize = 3 + 11 + 4;
/// Memory reserved at once for a message whose header claims to be long, in bytes: key frames are below,
/// so that what is kept of them is no larger than they are.
const RESERVE: usize = 1 << 20;

/// One message as sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Message type id, see [`kind`].
    pub kind: u8,
    /// Milliseconds, wrapping at 32 bits.
    pub timestamp: u32,
    /// Message stream; 0 is the connection itself.
    pub stream_id: u32,
    /// Payload.
    pub body: Bytes,
}

/// What the last header of a chunk stream said, and the message under way.
#[derive(Debug, Default)]
struct Stream {
    timestamp: u32,
    /// Added to the timestamp by a message without one of its own.
    delta: u32,
    length: usize,
    kind: u8,
    stream_id: u32,
    /// The last header had an extended timestamp, this one.
    extended: Option<u32>,
    body: BytesMut,
    /// A message has begun and is not complete.
    open: bool,
}

impl Stream {
    /// Payload bytes of the next chunk.
    fn left(&self, chunk_size: usize) -> usize {
        (self.length - self.body.len()).min(chunk_size)
    }

    /// Whether `sent`, which follows a basic header of format 3, is the (beginning of the) extended
    /// timestamp again, as §5.3.1.3 wants it. Some encoders leave it out of chunks that continue a
    /// message: as soon as a byte differs it is payload, where there is room for it.
    fn repeats_timestamp(&self, sent: &[u8], chunk_size: usize) -> bool {
        self.extended.is_some_and(|timestamp| {
            !self.open || self.left(chunk_size) < 4 || timestamp.to_be_bytes().starts_with(sent)
        })
    }
}

/// Puts messages together.
#[derive(Debug)]
pub struct Reader {
    /// By chunk stream id, in the order of appearance; a short list is small and searched at once.
    streams: Vec<(u32, Stream)>,
    chunk_size: usize,
    message_max: usize,
    unfinished: usize,
    /// A header that is not complete.
    header: [u8; HEADER_MAX],
    header_len: usize,
    /// Index of the stream whose payload comes next, and how much of it is left in this chunk.
    payload: Option<(usize, usize)>,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader::new()
    }
}

impl Reader {
    /// A reader at the beginning of a connection.
    pub fn new() -> Reader {
        Reader {
            streams: Vec::new(),
            chunk_size: CHUNK_SIZE_DEFAULT,
            message_max: MESSAGE_MAX,
            unfinished: 0,
            header: [0; HEADER_MAX],
            header_len: 0,
            payload: None,
        }
    }

    /// Limits messages whose header is still to come to `bytes`; at most [`MESSAGE_MAX`].
    pub fn set_message_max(&mut self, bytes: usize) {
        self.message_max = bytes.min(MESSAGE_MAX);
    }

    /// Gives back memory kept for chunk streams yet to come.
    pub fn shrink_to_fit(&mut self) {
        self.streams.shrink_to_fit();
    }

    /// Takes bytes from the front of `input` until a message is complete or nothing is left.
    ///
    /// # Errors
    /// What breaks the rules of §5.3 or a limit of this module. The reader is of no use afterwards.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Message>, Fault> {
        loop {
            let (index, left) = match self.payload.take() {
                Some(payload) => payload,
                None => match self.read_header(input)? {
                    Some(payload) => payload,
                    None => return Ok(None),
                },
            };
            let stream = &mut self.streams[index].1;
            let (piece, rest) = input.split_at(left.min(input.len()));
            *input = rest;
            stream.body.extend_from_slice(piece);
            self.unfinished += piece.len();
            if self.unfinished > UNFINISHED_MAX {
                return Err(Fault::Unfinished);
            }
            if piece.len() < left {
                self.payload = Some((index, left - piece.len()));
                return Ok(None);
            }
            if stream.body.len() == stream.length {
                stream.open = false;
                self.unfinished -= stream.length;
                let body = std::mem::take(&mut stream.body).freeze();
                let message =
                    Message { kind: stream.kind, timestamp: stream.timestamp, stream_id: stream.stream_id, body };
                self.obey(&message)?;
                return Ok(Some(message));
            }
        }
    }

    /// Collects header bytes until they are a header, then says whose payload follows and how much.
    fn read_header(&mut self, input: &mut &[u8]) -> Result<Option<(usize, usize)>, Fault> {
        loop {
            let missing = self.header_missing();
            if missing == 0 {
                return self.begin_chunk().map(Some);
            }
            if input.is_empty() {
                return Ok(None);
            }
            let (bytes, rest) = input.split_at(missing.min(input.len()));
            self.header[self.header_len..][..bytes.len()].copy_from_slice(bytes);
            self.header_len += bytes.len();
            *input = rest;
        }
    }

    /// Chunk stream id, once it is there, and length of the basic header, §5.3.1.1.
    fn basic_header(&self) -> (Option<u32>, usize) {
        match self.header[..self.header_len] {
            [] => (None, 1),
            [first, ref more @ ..] => match (first & 0x3F, more) {
                (0, [id, ..]) => (Some(u32::from(*id) + 64), 2),
                (0, _) => (None, 2),
                (1, [low, high, ..]) => (Some(u32::from(*high) * 256 + u32::from(*low) + 64), 3),
                (1, _) => (None, 3),
                (id, _) => (Some(u32::from(id)), 1),
            },
        }
    }

    fn find(&self, id: u32) -> Option<usize> {
        self.streams.iter().position(|(known, _)| *known == id)
    }

    /// Bytes still wanted before the header is complete, or before more is known about its length.
    fn header_missing(&self) -> usize {
        let (id, basic) = self.basic_header();
        let Some(id) = id else { return basic - self.header_len };
        let format = self.header[0] >> 6;
        let fixed = basic + [11, 7, 3, 0][usize::from(format)];
        if self.header_len < fixed {
            return fixed - self.header_len;
        }
        let extended = match (format, self.find(id)) {
            (3, Some(index)) => {
                self.streams[index].1.repeats_timestamp(&self.header[fixed..self.header_len], self.chunk_size)
            }
            (3, None) => false,
            _ => self.header[basic..][..3] == [0xFF; 3],
        };
        (fixed + if extended { 4 } else { 0 }).saturating_sub(self.header_len)
    }

    /// Acts on a complete header: opens or continues a message.
    fn begin_chunk(&mut self) -> Result<(usize, usize), Fault> {
        let (id, basic) = self.basic_header();
        let id = id.unwrap_or_default();
        let header = self.header;
        let len = std::mem::take(&mut self.header_len);
        let format = header[0] >> 6;
        let fields = &header[basic..];
        let u24 = |at: usize| u32::from_be_bytes([0, fields[at], fields[at + 1], fields[at + 2]]);
        let index = match self.find(id) {
            Some(index) => index,
            None if self.streams.len() == STREAMS_MAX => return Err(Fault::ChunkStreams),
            // librtmp begins a chunk stream with format 1; shorter headers lack the length.
            None if format > 1 => return Err(Fault::Headerless(id)),
            None => {
                self.streams.push((id, Stream::default()));
                self.streams.len() - 1
            }
        };
        let stream = &mut self.streams[index].1;
        if stream.open && format != 3 {
            return Err(Fault::Interrupted(id));
        }
        let mut early_payload: &[u8] = &[];
        if format == 3 {
            let sent = &fields[..len - basic];
            if !stream.repeats_timestamp(sent, self.chunk_size) {
                early_payload = sent;
            }
        } else {
            if format < 2 {
                stream.length = u24(3) as usize;
                stream.kind = fields[6];
            }
            if format == 0 {
                stream.stream_id = u32::from_le_bytes([fields[7], fields[8], fields[9], fields[10]]);
            }
            let time = u24(0);
            let after = &fields[[11, 7, 3][usize::from(format)]..];
            stream.extended = (time == EXTENDED).then(|| u32::from_be_bytes([after[0], after[1], after[2], after[3]]));
            stream.delta = stream.extended.unwrap_or(time);
        }
        if !stream.open {
            if stream.length > self.message_max {
                return Err(Fault::MessageSize { length: stream.length, max: self.message_max });
            }
            // A message without any header repeats the last step, which after an absolute timestamp
            // is that timestamp, §5.3.1.2.4.
            stream.timestamp = if format == 0 { stream.delta } else { stream.timestamp.wrapping_add(stream.delta) };
            stream.open = true;
            stream.body = BytesMut::with_capacity(stream.length.min(RESERVE));
        }
        let left = stream.left(self.chunk_size);
        stream.body.extend_from_slice(early_payload);
        self.unfinished += early_payload.len();
        Ok((index, left - early_payload.len()))
    }

    fn obey(&mut self, message: &Message) -> Result<(), Fault> {
        let value = || {
            let bytes = message.body.first_chunk().ok_or(Fault::Malformed(message.kind));
            bytes.map(|bytes| u32::from_be_bytes(*bytes))
        };
        match message.kind {
            kind::SET_CHUNK_SIZE => match value()? {
                size @ 1..=CHUNK_SIZE_MAX => self.chunk_size = size as usize,
                size => return Err(Fault::ChunkSize(size)),
            },
            kind::ABORT => {
                if let Some(index) = self.find(value()?) {
                    let stream = &mut self.streams[index].1;
                    self.unfinished -= stream.body.len();
                    stream.body = BytesMut::new();
                    stream.open = false;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Appends one message: a full header (format 0) with the absolute `timestamp` in milliseconds, and
/// headers of format 3 every `chunk_size` bytes.
///
/// `chunk_stream` is 2 to 65,599 (§5.3.1.1; 2 is for control messages), `kind` the message type, and
/// `parts` make up the body, [`MESSAGE_MAX`] bytes at most together. `chunk_size` must be what the
/// peer was told last, or [`CHUNK_SIZE_DEFAULT`].
pub fn write_message(
    out: &mut Vec<u8>,
    chunk_stream: u32,
    kind: u8,
    timestamp: u32,
    stream_id: u32,
    parts: &[&[u8]],
    chunk_size: usize,
) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    debug_assert!(length <= MESSAGE_MAX && chunk_size > 0 && (2..=65_599).contains(&chunk_stream));
    out.reserve(length + (length / chunk_size + 1) * 7 + HEADER_MAX);
    let extended = (timestamp >= EXTENDED).then(|| timestamp.to_be_bytes());
    write_basic_header(out, 0, chunk_stream);
    out.extend_from_slice(&timestamp.min(EXTENDED).to_be_bytes()[1..]);
    out.extend_from_slice(&(length as u32).to_be_bytes()[1..]);
    out.push(kind);
    out.extend_from_slice(&stream_id.to_le_bytes());
    out.extend_from_slice(extended.as_ref().map_or(&[], |bytes| bytes));
    let mut room = chunk_size;
    for mut part in parts.iter().copied() {
        while !part.is_empty() {
            if room == 0 {
                write_basic_header(out, 3, chunk_stream);
                out.extend_from_slice(extended.as_ref().map_or(&[], |bytes| bytes));
                room = chunk_size;
            }
            let (piece, rest) = part.split_at(part.len().min(room));
            out.extend_from_slice(piece);
            room -= piece.len();
            part = rest;
        }
    }
}

fn write_basic_header(out: &mut Vec<u8>, format: u8, chunk_stream: u32) {
    let format = format << 6;
    match chunk_stream {
        0..64 => out.push(format | chunk_stream as u8),
        64..320 => out.extend_from_slice(&[format, (chunk_stream - 64) as u8]),
        _ => {
            let id = chunk_stream - 64;
            out.extend_from_slice(&[format | 1, id as u8, (id >> 8) as u8]);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn message(kind: u8, timestamp: u32, body: &[u8]) -> Message {
        Message { kind, timestamp, stream_id: 1, body: Bytes::copy_from_slice(body) }
    }

    /// Reads `bytes` at once and byte by byte, which must give the same.
    fn read(bytes: &[u8]) -> Result<Vec<Message>, Fault> {
        let all = |pieces: Vec<&[u8]>| {
            let mut reader = Reader::new();
            let mut messages = Vec::new();
            for mut piece in pieces {
                while let Some(message) = reader.read(&mut piece)? {
                    messages.push(message);
                }
                assert!(piece.is_empty());
            }
            Ok(messages)
        };
        let at_once = all(vec![bytes]);
        assert_eq!(all(bytes.chunks(1).collect()), at_once);
        at_once
    }

    #[test]
    fn messages_survive_any_chunk_size() {
        let body: Vec<u8> = (0..1000u32).map(|i| i as u8).collect();
        for chunk_size in [1, 2, 127, 128, 999, 1000, 1001, 65_536] {
            for chunk_stream in [2, 63, 64, 319, 320, 65_599] {
                for timestamp in [0, 0xFF_FFFE, 0xFF_FFFF, 0x0100_0000, u32::MAX] {
                    let mut bytes = Vec::new();
                    write_message(
                        &mut bytes,
                        2,
                        kind::SET_CHUNK_SIZE,
                        0,
                        0,
                        &[&(chunk_size as u32).to_be_bytes()],
                        128,
                    );
                    let (a, b) = body.split_at(300);
                    write_message(&mut bytes, chunk_stream, 9, timestamp, 1, &[a, &[], b], chunk_size);
                    write_message(&mut bytes, chunk_stream, 8, timestamp, 1, &[], chunk_size);
                    let messages = read(&bytes).unwrap();
                    assert_eq!(messages[1..], [message(9, timestamp, &body), message(8, timestamp, &[])]);
                }
            }
        }
    }

    #[test]
    fn headers_of_all_formats() {
        // Absolute 1000; +40 with a new length; +20 with the same; the same step; then again.
        let mut bytes = b"\x04\0\x03\xe8\0\0\x02\x08\x01\0\0\0ab".to_vec();
        bytes.extend_from_slice(b"\x44\0\0\x28\0\0\x01\x09c");
        bytes.extend_from_slice(b"\x84\0\0\x14d\xc4e\xc4f");
        let expected = [(8, 1000, "ab"), (9, 1040, "c"), (9, 1060, "d"), (9, 1080, "e"), (9, 1100, "f")];
        assert_eq!(read(&bytes).unwrap(), expected.map(|(kind, at, body)| message(kind, at, body.as_bytes())));
    }

    #[test]
    fn no_header_after_an_absolute_timestamp_repeats_it() {
        // §5.3.1.2.4, and what ffmpeg and librtmp do.
        let messages = read(b"\x04\0\0\x05\0\0\x01\x08\x01\0\0\0a\xc4b").unwrap();
        assert_eq!(messages, [message(8, 5, b"a"), message(8, 10, b"b")]);
    }

    #[test]
    fn chunk_streams_interleave() {
        let mut video = Vec::new();
        write_message(&mut video, 6, 9, 7, 1, &[&[0xAA; 200]], 128);
        let mut audio = Vec::new();
        write_message(&mut audio, 4, 8, 9, 1, &[&[0xBB; 3]], 128);
        let (first, second) = video.split_at(12 + 128);
        let messages = read(&[first, &audio, second].concat()).unwrap();
        assert_eq!(messages, [message(8, 9, &[0xBB; 3]), message(9, 7, &[0xAA; 200])]);
    }

    #[test]
    fn abort_drops_the_unfinished_message() {
        let mut video = Vec::new();
        write_message(&mut video, 6, 9, 7, 1, &[&[0xAA; 200]], 128);
        video.truncate(12 + 128);
        write_message(&mut video, 2, kind::ABORT, 0, 0, &[&6u32.to_be_bytes()], 128);
        write_message(&mut video, 6, 9, 8, 1, &[b"new"], 128);
        assert_eq!(read(&video).unwrap().last(), Some(&message(9, 8, b"new")));
    }

    #[test]
    fn extended_timestamp_may_be_left_out_of_continuing_chunks() {
        let body: Vec<u8> = (0..=255).collect();
        let mut bytes = Vec::new();
        write_message(&mut bytes, 6, 9, 0x0123_4567, 1, &[&body], 128);
        assert_eq!(bytes.drain(12 + 4 + 128 + 1..12 + 4 + 128 + 5).as_slice(), 0x0123_4567u32.to_be_bytes());
        assert_eq!(read(&bytes).unwrap(), [message(9, 0x0123_4567, &body)]);
    }

    #[test]
    fn librtmp_begins_with_format_1() {
        let messages = read(b"\x42\0\0\0\0\0\x02\x04ab").unwrap();
        assert_eq!(messages[0].stream_id, 0);
        assert_eq!(messages[0].body, "ab");
    }

    #[test]
    fn bad_chunks_are_named() {
        assert_eq!(read(&[0xC4]), Err(Fault::Headerless(4)));
        assert_eq!(read(&[0x84, 0, 0, 0]), Err(Fault::Headerless(4)));
        let begun = [b"\x04\0\0\0\0\x01\0\x08\x01\0\0\0".as_slice(), &[0; 128]].concat();
        assert_eq!(read(&[begun.as_slice(), &[0x04; 12]].concat()), Err(Fault::Interrupted(4)));
        assert_eq!(read(b"\x02\0\0\0\0\0\x04\x01\0\0\0\0\0\0\0\0"), Err(Fault::ChunkSize(0)));
        assert_eq!(read(b"\x02\0\0\0\0\0\x03\x01\0\0\0\0\0\0\0"), Err(Fault::Malformed(1)));
        let many: Vec<u8> = (0..=STREAMS_MAX as u8).flat_map(|id| [0, id, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0]).collect();
        assert_eq!(read(&many), Err(Fault::ChunkStreams));
        let mut reader = Reader::new();
        reader.set_message_max(10);
        let mut long = b"\x04\0\0\0\0\0\x0b\x08\0\0\0\0".as_slice();
        assert_eq!(reader.read(&mut long), Err(Fault::MessageSize { length: 11, max: 10 }));
    }

    #[test]
    fn unfinished_messages_are_bounded_together() {
        let mut bytes = Vec::new();
        write_message(&mut bytes, 2, kind::SET_CHUNK_SIZE, 0, 0, &[&(12u32 << 20).to_be_bytes()], 128);
        let mut reader = Reader::new();
        assert!(reader.read(&mut bytes.as_slice()).unwrap().is_some());
        let mut fault = None;
        for id in 3..6 {
            let mut chunk = vec![id, 0, 0, 0, 0xFF, 0xFF, 0xFF, 9, 0, 0, 0, 0];
            chunk.resize(chunk.len() + (12 << 20), 0);
            fault = reader.read(&mut chunk.as_slice()).err();
        }
        assert_eq!(fault, Some(Fault::Unfinished));
    }
}
