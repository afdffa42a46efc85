//! Where recorded media goes.

use async_trait::async_trait;
use av::UnixMicros;
use bytes::Bytes;

/// Why recorded media cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// There is no room. Nothing is kept until there is.
    #[error("no room for recordings")]
    Full,
    /// It could not be written.
    #[error("recording cannot be written")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// How a segment begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentStart {
    /// When its first frame was recorded.
    pub at: UnixMicros,
    /// `ftyp` and `moov` of its tracks (`av::container::fmp4`); the first bytes of the segment.
    pub init: Bytes,
}

/// About a second of media: one fMP4 fragment that is decoded after the segment's init and, unless it is
/// `key`, after the parts before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The fragment, whole.
    pub data: Bytes,
    /// When its first frame was recorded.
    pub from: UnixMicros,
    /// When its last frame ends.
    pub to: UnixMicros,
    /// Its first picture is a key frame (its first frame, in a stream without pictures).
    pub key: bool,
}

/// Where one channel's recording goes. What `append` took survives the process being killed; what
/// `commit` took survives a power cut.
#[async_trait]
pub trait Archive: Send + Sync + 'static {
    /// Begins a segment. One is open at a time; one that is dropped without a commit is finished as if it
    /// were committed after its last whole part.
    ///
    /// # Errors
    /// [`ArchiveError`].
    async fn begin(&self, start: SegmentStart) -> Result<Box<dyn OpenSegment>, ArchiveError>;
}

/// A segment being written.
#[async_trait]
pub trait OpenSegment: Send {
    /// Appends a part, in one write.
    ///
    /// # Errors
    /// [`ArchiveError`]; the part may be half there and is cut off when the segment is finished.
    async fn append(&mut self, part: &Part) -> Result<(), ArchiveError>;

    /// Ends the segment. From now on it is listed, with its size and hash.
    ///
    /// # Errors
    /// [`ArchiveError`]; what was appended is kept and committed when that is possible again.
    async fn commit(self: Box<Self>) -> Result<(), ArchiveError>;
}
