//! What is kept: metadata and blobs now, the bus when clusters need it.
//!
//! [`MetaStore`] is a concrete type over `sqlx::Any`: one SQL text for every engine, one folder of
//! migrations for each. Columns are integers, text and blobs; times are [`UnixMillis`]; structured
//! values are JSON text that only this crate reads. No type of the database library appears outside.
//! [`BlobStore`] keeps what is too large for rows, as immutable objects.
//!
//! It deliberately knows no rule: it does not know what a token is worth, when a lock ends or who may
//! see a device. Values that must not be read from a stolen file arrive here encrypted or hashed.

mod blob;
mod error;
mod facts;
mod meta;
mod time;

pub use blob::{Blob, BlobStore};
pub use error::Error;
pub use facts::{ChannelFacts, DeviceFacts, StreamFacts};
pub use meta::{
    AccountRow, AppRow, AttemptRow, CardRow, CardUse, ChannelRow, Condemn, DeviceRow, EntryRow, GrantKeyRow, MetaStore,
    NewDevice, NewEntry, PlanRow, PushKeyRow, QuarantineRow, RECORDING_JOIN, RecorderRow, RecordingRow, RevocationRow,
    SegmentRow, Shelf, Spending, TokenRow, VoiceRow,
};
pub use time::UnixMillis;
