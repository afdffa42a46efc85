//! What was recorded, read back in order.

use async_trait::async_trait;
use av::UnixMicros;

use crate::Item;

/// Why recorded media cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FootageError {
    /// Nothing was recorded in the range asked for.
    #[error("nothing was recorded then")]
    Empty,
    /// Whoever holds it serves no further reader for now.
    #[error("no further playback session at the source")]
    Busy,
    /// It could not be read on.
    #[error("source failed at {step}: {cause}")]
    Failed {
        /// The hop: `dial`, `search`, `read`, …
        step: &'static str,
        /// What happened there.
        cause: String,
    },
}

/// Recorded media of one channel between two moments, read by one reader at the speed it likes: what is
/// not read is not fetched. Lies in our archive or on a device's card; who reads does not see which.
#[async_trait]
pub trait Footage: Send {
    /// Goes to a moment. What is read next begins with tracks and the last key frame at or before it; with
    /// the first key frame after it where nothing was recorded then. A new footage stands at its beginning.
    /// Cancelled, it is asked again, or for another moment, before the next read.
    ///
    /// # Errors
    /// [`FootageError`]; `Empty` when nothing is left from there on.
    async fn seek(&mut self, at: UnixMicros) -> Result<(), FootageError>;

    /// Tells how many times faster than it happened this will be read, and whether key frames suffice, so
    /// that a source that paces itself can keep up. Sources that do not care do nothing.
    ///
    /// # Errors
    /// [`FootageError`].
    async fn expect(&mut self, _speed: f32, _key_frames_only: bool) -> Result<(), FootageError> {
        Ok(())
    }

    /// Waits for more and appends it: tracks before their first frame and whenever they change, then
    /// frames in the order they were recorded. `Frame::wall` is when it was recorded and tells gaps;
    /// `Frame::dts` counts within a run and may begin anew with the next. False at the end. Cancel safe.
    ///
    /// # Errors
    /// [`FootageError`]; what was read before stays good.
    async fn read(&mut self, out: &mut Vec<Item>) -> Result<bool, FootageError>;
}
