//! What both ends of a connection do alike: handshake, chunks, acknowledgements, pings.

use super::chunk::{self, Message};
use super::handshake::Handshake;
use super::message::{Control, chunk_stream, kind, write_amf};
use super::{CHUNK_SIZE, Error, Fault, WINDOW};
use av::MediaKind;
use av::container::amf0::Value;
use bytes::Bytes;

pub(super) struct Link {
    handshake: Handshake,
    reader: chunk::Reader,
    /// Bytes for the peer.
    pub out: Vec<u8>,
    /// Chunk size the peer was told last.
    chunk_size: usize,
    /// Bytes taken from the peer.
    received: u64,
    /// How many of them the peer knows we have.
    acknowledged: u64,
    /// Each so many it wants to know; 0 is never.
    window: u64,
}

impl Link {
    pub fn server() -> Link {
        Link::new(Handshake::server(), Vec::new())
    }

    pub fn client() -> Link {
        let mut out = Vec::new();
        Link::new(Handshake::client(&mut out), out)
    }

    fn new(handshake: Handshake, out: Vec<u8>) -> Link {
        let reader = chunk::Reader::new();
        Link { handshake, reader, out, chunk_size: chunk::CHUNK_SIZE_DEFAULT, received: 0, acknowledged: 0, window: 0 }
    }

    /// Whether messages may be written.
    pub fn is_open(&self) -> bool {
        self.handshake.is_done()
    }

    pub fn set_message_max(&mut self, bytes: usize) {
        self.reader.set_message_max(bytes);
    }

    pub fn shrink_to_fit(&mut self) {
        self.reader.shrink_to_fit();
    }

    /// Takes bytes from the front of `input` up to the next message that concerns the session.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Message>, Error> {
        let before = input.len();
        let message = self.read_message(input);
        self.received += (before - input.len()) as u64;
        if self.window > 0 && self.received - self.acknowledged >= self.window {
            self.acknowledged = self.received;
            // §5.4.3: the number wraps.
            Control::Acknowledgement(self.received as u32).write(&mut self.out);
        }
        message.map_err(|fault| self.error(fault))
    }

    fn read_message(&mut self, input: &mut &[u8]) -> Result<Option<Message>, Fault> {
        self.handshake.read(input, &mut self.out)?;
        if !self.is_open() {
            return Ok(None);
        }
        while let Some(message) = self.reader.read(input)? {
            match Control::parse(&message)? {
                Some(Control::WindowSize(bytes)) => self.window = u64::from(bytes),
                Some(Control::PingRequest(at)) => Control::PingResponse(at).write(&mut self.out),
                _ => return Ok(Some(message)),
            }
        }
        Ok(None)
    }

    /// A fault at the present place.
    pub fn error(&self, fault: Fault) -> Error {
        Error { at: self.received, fault }
    }

    /// Tells the peer our window and chunk size, which hold from here on.
    pub fn write_settings(&mut self) {
        Control::WindowSize(WINDOW).write(&mut self.out);
        let size = (CHUNK_SIZE as u32).to_be_bytes();
        let kind = kind::SET_CHUNK_SIZE;
        chunk::write_message(&mut self.out, chunk_stream::CONTROL, kind, 0, 0, &[&size], self.chunk_size);
        self.chunk_size = CHUNK_SIZE;
    }

    pub fn write_command(&mut self, stream_id: u32, name: &str, transaction: f64, arguments: &[Value]) {
        let values = [&[name.into(), transaction.into()], arguments].concat();
        write_amf(&mut self.out, kind::COMMAND, stream_id, &values, self.chunk_size);
    }

    pub fn write_data(&mut self, stream_id: u32, values: &[Value]) {
        write_amf(&mut self.out, kind::DATA, stream_id, values, self.chunk_size);
    }

    pub fn write_media(&mut self, stream_id: u32, kind: MediaKind, timestamp: u32, parts: &[&[u8]]) {
        let (chunk_stream, kind) = match kind {
            MediaKind::Audio => (chunk_stream::AUDIO, kind::AUDIO),
            MediaKind::Video => (chunk_stream::VIDEO, kind::VIDEO),
        };
        chunk::write_message(&mut self.out, chunk_stream, kind, timestamp, stream_id, parts, self.chunk_size);
    }

    /// What was written since the last call.
    pub fn take_out(&mut self) -> Option<Bytes> {
        (!self.out.is_empty()).then(|| std::mem::take(&mut self.out).into())
    }
}

/// The information object of `onStatus` and of the answer to `connect`, §7.2.1.1 and §7.2.2.
pub(super) fn status(level: &str, code: &str, description: &str) -> Value {
    Value::Object(vec![
        ("level".into(), level.into()),
        ("code".into(), code.into()),
        ("description".into(), description.into()),
    ])
}
