//! The media core: one path from whoever has frames to whoever wants them.
//!
//! A [`Hub`] knows every [`Stream`]; a stream is a shared [`Ring`] of recent frames with one
//! [`StreamWriter`] and any number of [`Subscription`]s. The writer never waits: a reader is only a
//! position in the ring, and one that falls behind continues at the newest key frame.
//!
//! It knows no wire protocol, no database and no account. Time is tokio's, so that tests can pause it.

mod hub;
mod ring;
mod stream;
mod subscription;
mod timeline;

pub use hub::{Hub, HubSettings, OpenError, PublishError, Registration, StartRequest, StreamStatus};
pub use ring::{Ring, RingLimits};
pub use stream::{End, Stream, StreamId, StreamWriter, Viewing, WriteError};
pub use subscription::{Closed, Item, Subscription};
