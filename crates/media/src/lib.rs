//! The media core: one path from whoever has frames to whoever wants them.
//!
//! A [`Hub`] knows every [`Stream`]; a stream is a shared [`Ring`] of recent frames with one
//! [`StreamWriter`] and any number of [`Subscription`]s. The writer never waits: a reader is only a
//! position in the ring, and one that falls behind continues at the newest key frame.
//!
//! It knows no wire protocol, no database and no account. Time is tokio's, so that tests can pause it.

mod archive;
mod footage;
pub mod hls;
mod hub;
mod play;
mod record;
mod ring;
mod segmenter;
mod stream;
mod subscription;
mod timeline;
mod wall;

pub use archive::{Archive, ArchiveError, OpenSegment, Part, SegmentStart};
pub use footage::{Footage, FootageError};
pub use hub::{Hub, HubSettings, OpenError, PublishError, Registration, StartRequest, StreamStatus};
pub use play::{Player, Speed};
pub use record::{Recorder, RecorderState, RecorderStatus};
pub use ring::{Ring, RingLimits};
pub use segmenter::{Cut, SegmentSettings, Segmenter};
pub use stream::{End, Stream, StreamId, StreamWriter, Viewing, WriteError};
pub use subscription::{Closed, Item, Subscription};
pub use timeline::Timeline;
