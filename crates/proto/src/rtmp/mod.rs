//! RTMP, both ends: handshake, chunks, messages and sans-IO sessions.
//!
//! | Part | Follows |
//! |---|---|
//! | [`handshake`], [`chunk`], control messages | Adobe's Real Time Messaging Protocol 1.0 (2012) §5 |
//! | commands of [`server`] and [`client`] | the same, §7 |
//! | what a client says it can take ([`server::Connect`]) | Enhanced RTMP v2 (Veovera, 2024), "Enhancing NetConnection connect" |
//!
//! Deliberately not here: RTMPE and RTMPT, AMF3, shared objects. The handshake
//! with digests is not made either: clients that begin it are content with the simple one.
//!
//! A session takes bytes by `handle_input` and gives bytes and events by `poll_output`. It has no
//! timers: whoever owns the socket limits how long a handshake or a silence may last.
//! Every `Debug` in here hides query strings, since they carry signatures and stream keys.

pub mod chunk;
pub mod client;
pub mod handshake;
mod link;
pub mod message;
mod path;
pub mod server;
#[cfg(test)]
mod tests;

use av::container::amf0;
use bytes::Bytes;

pub use path::StreamPath;

/// Chunk size our sessions announce, in bytes: a video frame is one chunk. Not beyond 65,536, where
/// readers made after older drafts of the specification end.
pub const CHUNK_SIZE: usize = 65_536;

/// Acknowledgement window we ask of the peer, in bytes: 20 s of a 2 Mbit/s stream.
const WINDOW: u32 = 5_000_000;

/// What a session wants done.
#[derive(Clone, PartialEq)]
pub enum Output<E> {
    /// Bytes for the peer.
    Transmit(Bytes),
    /// News for the owner.
    Event(E),
}

impl<E: std::fmt::Debug> std::fmt::Debug for Output<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            // The bytes may hold a key; their number says enough.
            Output::Transmit(bytes) => write!(f, "Transmit({} bytes)", bytes.len()),
            Output::Event(event) => f.debug_tuple("Event").field(event).finish(),
        }
    }
}

/// Why a conversation cannot go on. The connection is to be closed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("RTMP ends after {at} bytes")]
pub struct Error {
    /// Bytes received before the fault was seen, handshake included.
    pub at: u64,
    /// What is wrong.
    #[source]
    pub fault: Fault,
}

/// What a peer did wrong.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Fault {
    /// The first byte is not 3. 6 is RTMPE; `G` or `P` is HTTP; 22 is TLS.
    #[error("RTMP version {0} is not supported")]
    Version(u8),
    /// A chunk without message header on a chunk stream that had none before.
    #[error("chunk stream {0} begins without a message header")]
    Headerless(u32),
    /// A message header before the message on this chunk stream was complete.
    #[error("message on chunk stream {0} is interrupted by another")]
    Interrupted(u32),
    /// More than [`chunk::STREAMS_MAX`] chunk streams.
    #[error("more than {} chunk streams", chunk::STREAMS_MAX)]
    ChunkStreams,
    /// A message longer than allowed at this point.
    #[error("message of {length} bytes where {max} are allowed")]
    MessageSize {
        /// Length the header claims, in bytes.
        length: usize,
        /// What is allowed, in bytes.
        max: usize,
    },
    /// Messages begun and not finished hold more than [`chunk::UNFINISHED_MAX`] bytes.
    #[error("unfinished messages hold too many bytes")]
    Unfinished,
    /// A chunk size of 0 or beyond 16 MiB.
    #[error("chunk size {0} is out of range")]
    ChunkSize(u32),
    /// A protocol control message of the wrong length or content.
    #[error("malformed message of type {0}")]
    Malformed(u8),
    /// The arguments of a command are not AMF0.
    #[error("command cannot be read")]
    Amf(#[from] amf0::Error),
    /// A command where it has no place.
    #[error("command {0} is out of place")]
    OutOfPlace(&'static str),
}
