//! What is kept: metadata now, blobs and the bus when recording and clusters need them.
//!
//! [`MetaStore`] is a concrete type over `sqlx::Any`: one SQL text for every engine, one folder of
//! migrations for each. Columns are integers, text and blobs; times are [`UnixMillis`]; structured
//! values are JSON text that only this crate reads. No type of the database library appears outside.
//!
//! It deliberately knows no rule: it does not know what a token is worth, when a lock ends or who may
//! see a device. Values that must not be read from a stolen file arrive here encrypted or hashed.

mod error;
mod facts;
mod meta;
mod time;

pub use error::Error;
pub use facts::{ChannelFacts, DeviceFacts, StreamFacts};
pub use meta::{
    AccountRow, AppRow, AttemptRow, ChannelRow, DeviceRow, GrantKeyRow, MetaStore, NewDevice, PushKeyRow,
    RevocationRow, TokenRow, VoiceRow,
};
pub use time::UnixMillis;
