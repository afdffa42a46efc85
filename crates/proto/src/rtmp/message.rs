//! Messages: protocol control (§5.4), user control (§7.1.7) and commands (§7.1.1).

use av::container::amf0::{self, Value};
use bytes::{Buf, Bytes};

use super::Fault;
use super::chunk::{self, Message};

/// Message type ids.
pub mod kind {
    /// §5.4.1.
    pub const SET_CHUNK_SIZE: u8 = 1;
    /// §5.4.2.
    pub const ABORT: u8 = 2;
    /// §5.4.3.
    pub const ACKNOWLEDGEMENT: u8 = 3;
    /// §7.1.7.
    pub const USER_CONTROL: u8 = 4;
    /// §5.4.4.
    pub const WINDOW_SIZE: u8 = 5;
    /// §5.4.5.
    pub const PEER_BANDWIDTH: u8 = 6;
    /// An FLV audio tag body.
    pub const AUDIO: u8 = 8;
    /// An FLV video tag body.
    pub const VIDEO: u8 = 9;
    /// Data in AMF3, which begins with a zero byte and then, always, AMF0.
    pub const DATA_AMF3: u8 = 15;
    /// A command in AMF3, likewise.
    pub const COMMAND_AMF3: u8 = 17;
    /// Data: metadata, text.
    pub const DATA: u8 = 18;
    /// A command.
    pub const COMMAND: u8 = 20;
    /// Several messages as FLV tags in one, §7.1.6.
    pub const AGGREGATE: u8 = 22;
}

/// Chunk streams we send on.
pub(super) mod chunk_stream {
    pub const CONTROL: u32 = 2;
    pub const COMMAND: u32 = 3;
    pub const AUDIO: u32 = 4;
    pub const DATA: u32 = 5;
    pub const VIDEO: u32 = 6;
}

/// Event types of a user control message, §7.1.7.
mod event {
    pub const STREAM_BEGIN: u16 = 0;
    pub const STREAM_EOF: u16 = 1;
    pub const SET_BUFFER_LENGTH: u16 = 3;
    pub const PING_REQUEST: u16 = 6;
    pub const PING_RESPONSE: u16 = 7;
}

/// A control message that a session acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// The peer received this many bytes, wrapping at 32 bits.
    Acknowledgement(u32),
    /// The sender wants an acknowledgement each so many bytes.
    WindowSize(u32),
    /// The sender limits what we may have unacknowledged, in bytes.
    PeerBandwidth(u32),
    /// A stream begins to play.
    StreamBegin(u32),
    /// A stream is over.
    StreamEof(u32),
    /// A player buffers this many milliseconds of a stream.
    SetBufferLength(u32, u32),
    /// To be answered with the same value.
    PingRequest(u32),
    /// The answer.
    PingResponse(u32),
}

impl Control {
    /// Reads a control message; `None` for what the chunk reader handles, other kinds of message and
    /// events nobody needs.
    ///
    /// # Errors
    /// [`Fault::Malformed`] if it is too short.
    pub fn parse(message: &Message) -> Result<Option<Control>, Fault> {
        let mut body = &message.body[..];
        let mut parse = || {
            Ok(Some(match message.kind {
                kind::ACKNOWLEDGEMENT => Control::Acknowledgement(body.try_get_u32()?),
                kind::WINDOW_SIZE => Control::WindowSize(body.try_get_u32()?),
                kind::PEER_BANDWIDTH => Control::PeerBandwidth(body.try_get_u32()?),
                kind::USER_CONTROL => match body.try_get_u16()? {
                    event::STREAM_BEGIN => Control::StreamBegin(body.try_get_u32()?),
                    event::STREAM_EOF => Control::StreamEof(body.try_get_u32()?),
                    event::SET_BUFFER_LENGTH => Control::SetBufferLength(body.try_get_u32()?, body.try_get_u32()?),
                    event::PING_REQUEST => Control::PingRequest(body.try_get_u32()?),
                    event::PING_RESPONSE => Control::PingResponse(body.try_get_u32()?),
                    _ => return Ok(None),
                },
                _ => return Ok(None),
            }))
        };
        parse().map_err(|_: bytes::TryGetError| Fault::Malformed(message.kind))
    }

    /// Appends the message as chunks. Fits the default chunk size, so that it can be sent at any time.
    pub fn write(self, out: &mut Vec<u8>) {
        let user = |event: u16, values: &[u32]| {
            let mut body = event.to_be_bytes().to_vec();
            values.iter().for_each(|value| body.extend_from_slice(&value.to_be_bytes()));
            (kind::USER_CONTROL, body)
        };
        let (kind, body) = match self {
            Control::Acknowledgement(bytes) => (kind::ACKNOWLEDGEMENT, bytes.to_be_bytes().to_vec()),
            Control::WindowSize(bytes) => (kind::WINDOW_SIZE, bytes.to_be_bytes().to_vec()),
            // Limit type 2, dynamic: binding only if the peer has had a hard limit.
            Control::PeerBandwidth(bytes) => (kind::PEER_BANDWIDTH, [&bytes.to_be_bytes()[..], &[2]].concat()),
            Control::StreamBegin(id) => user(event::STREAM_BEGIN, &[id]),
            Control::StreamEof(id) => user(event::STREAM_EOF, &[id]),
            Control::SetBufferLength(id, ms) => user(event::SET_BUFFER_LENGTH, &[id, ms]),
            Control::PingRequest(at) => user(event::PING_REQUEST, &[at]),
            Control::PingResponse(at) => user(event::PING_RESPONSE, &[at]),
        };
        chunk::write_message(out, chunk_stream::CONTROL, kind, 0, 0, &[&body], chunk::CHUNK_SIZE_DEFAULT);
    }
}

/// A command or its answer: a name, a transaction to answer with, and arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// `connect`, `play`, `_result`, `onStatus`, …
    pub name: String,
    /// 0 where no answer is wanted.
    pub transaction: f64,
    /// The command object, often null, then what the command is about.
    pub arguments: Vec<Value>,
}

impl Command {
    /// Reads a message of kind [`kind::COMMAND`] or [`kind::COMMAND_AMF3`].
    ///
    /// # Errors
    /// [`Fault::Amf`] for what is not AMF0, [`Fault::Malformed`] without a name.
    pub fn parse(message: &Message) -> Result<Command, Fault> {
        let mut values = amf_values(message)?.into_iter();
        let (Some(Value::String(name)), transaction) = (values.next(), values.next()) else {
            return Err(Fault::Malformed(message.kind));
        };
        let transaction = transaction.as_ref().and_then(Value::as_number).unwrap_or(0.0);
        Ok(Command { name, transaction, arguments: values.collect() })
    }

    /// The argument at `index`; the command object is 0.
    pub fn argument(&self, index: usize) -> &Value {
        self.arguments.get(index).unwrap_or(&Value::Undefined)
    }
}

/// All values of a command or data message.
pub(super) fn amf_values(message: &Message) -> Result<Vec<Value>, Fault> {
    let body = match message.kind {
        kind::COMMAND_AMF3 | kind::DATA_AMF3 => message.body.get(1..).unwrap_or_default(),
        _ => &message.body,
    };
    Ok(amf0::Reader::new(body).read_all()?)
}

/// The `onMetaData` of a data message, with or without `@setDataFrame` before it. Data that cannot be
/// read is passed over: cameras put odd things there, and nothing depends on it.
pub(super) fn metadata(message: &Message) -> Option<Value> {
    let mut values = amf_values(message).ok()?.into_iter().peekable();
    values.next_if(|value| value.as_str() == Some("@setDataFrame"));
    values.next_if(|value| value.as_str() == Some("onMetaData"))?;
    values.next()
}

/// Appends AMF0 `values` as one message of `kind`.
pub(super) fn write_amf(out: &mut Vec<u8>, kind: u8, stream_id: u32, values: &[Value], chunk_size: usize) {
    let mut body = Vec::with_capacity(256);
    values.iter().for_each(|value| amf0::write(value, &mut body));
    let chunk_stream = if kind == kind::DATA { chunk_stream::DATA } else { chunk_stream::COMMAND };
    chunk::write_message(out, chunk_stream, kind, 0, stream_id, &[&body], chunk_size);
}

/// The messages of an aggregate, §7.1.6: FLV tags whose first timestamp stands for the aggregate's.
/// What is left when a tag does not fit is dropped.
pub(super) fn disaggregate(message: &Message) -> impl Iterator<Item = Message> {
    let (at, stream_id) = (message.timestamp, message.stream_id);
    let mut rest: Bytes = message.body.clone();
    let mut first = None;
    std::iter::from_fn(move || {
        let header: [u8; 11] = *rest.first_chunk()?;
        let length = u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize;
        let timestamp = u32::from_be_bytes([header[7], header[4], header[5], header[6]]);
        if rest.len() < 11 + length {
            return None;
        }
        let body = rest.slice(11..11 + length);
        rest.advance((11 + length + 4).min(rest.len()));
        let since = timestamp.wrapping_sub(*first.get_or_insert(timestamp));
        Some(Message { kind: header[0], timestamp: at.wrapping_add(since), stream_id, body })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn control_messages_survive() {
        for control in [
            Control::Acknowledgement(1),
            Control::WindowSize(2),
            Control::PeerBandwidth(3),
            Control::StreamBegin(4),
            Control::StreamEof(5),
            Control::SetBufferLength(6, 3000),
            Control::PingRequest(7),
            Control::PingResponse(u32::MAX),
        ] {
            let mut bytes = Vec::new();
            control.write(&mut bytes);
            let message = chunk::Reader::new().read(&mut bytes.as_slice()).unwrap().unwrap();
            assert_eq!(Control::parse(&message), Ok(Some(control)));
            let cut = Message { body: message.body.slice(..message.body.len().min(3)), ..message.clone() };
            assert_eq!(Control::parse(&cut), Err(Fault::Malformed(message.kind)));
        }
    }

    #[test]
    fn aggregate_counts_from_its_own_timestamp() {
        let body = b"\x08\0\0\x01\0\0\x64\0\0\0\0A\0\0\0\x0c\x09\0\0\x02\0\0\x78\0\0\0\0VW\0\0\0\x0d\x09\0\0\x09\0\0\0\0\0\0\0cut";
        let message = Message { kind: kind::AGGREGATE, timestamp: 5000, stream_id: 1, body: Bytes::from_static(body) };
        let parts: Vec<_> = disaggregate(&message).map(|part| (part.kind, part.timestamp, part.body)).collect();
        assert_eq!(parts, [(8, 5000, "A".into()), (9, 5020, "VW".into())]);
    }
}
