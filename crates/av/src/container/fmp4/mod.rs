//! Fragmented MP4: an init of `ftyp` and `moov`, then fragments that each decode after it.
//!
//! | What | Follows |
//! |---|---|
//! | Boxes | ISO/IEC 14496-12 (ISO-BMFF) |
//! | `avc1`, `hvc1` | ISO/IEC 14496-15 §5.4, §8.4 |
//! | `mp4a`, `esds` | ISO/IEC 14496-14 §5.6; ISO/IEC 14496-1 §7.2.6 |
//! | Shape of the fragments | ISO/IEC 23000-19 (CMAF) §7.3.2.4, but all tracks in one file |
//! | `alaw`, `ulaw` | QuickTime File Format, as other writers put G.711 into MP4 |
//!
//! [`init`] and [`fragment`] write; a fragment is `prft`, `moof` and `mdat`, its offsets count from its
//! `moof`, so that fragments of one init can be cut out, dropped and put in a row. [`read_init`] and
//! [`read_fragment`] read that back, and what other writers of fragments make of the same boxes.
//! [`scan`] finds the whole fragments of a file that ends anywhere, [`write_index`] and [`read_index`]
//! keep where they are, and [`Joiner`] makes those of many files into one file.
//!
//! A track's `track_ID` is its [`TrackId`](crate::TrackId) plus one, its timescale its clock rate.

mod boxes;
mod index;
mod join;
mod read;
mod write;

#[cfg(test)]
mod tests;

pub use index::{Fragment, IndexEntry, Scan, index_len, read_index, scan, write_index};
pub use join::{Joined, Joiner};
pub use read::{read_fragment, read_init};
pub use write::{Run, fragment, init};

use crate::codec;

/// Why bytes are no fragmented MP4 that can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// What was given ends before the box or fragment does; with more bytes it may be read.
    #[error("{what} ends {missing} bytes after what is there")]
    Incomplete {
        /// Which box.
        what: &'static str,
        /// At least so many bytes are missing.
        missing: u64,
    },
    /// A box ends before its fields do.
    #[error("box ends within {0}")]
    Truncated(&'static str),
    /// A field has a value that the standard forbids or that contradicts another.
    #[error("{0} is wrong")]
    Invalid(&'static str),
    /// It is legal and we do not carry it.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
    /// It is larger than any honest writer's.
    #[error("{what} is larger than {max}")]
    TooLarge {
        /// What.
        what: &'static str,
        /// Our limit.
        max: usize,
    },
    /// A codec's own record is wrong.
    #[error("decoder configuration is malformed")]
    Codec(#[from] codec::Error),
}

/// Most bytes of a `moov`: ours have about 1.2 KB.
const MOOV_MAX: usize = 1 << 20;

/// Most bytes of a `moof`: a second of 60 pictures and 50 sounds has 2 KB, ten minutes have 1 MB.
const MOOF_MAX: usize = 2 << 20;

/// Most samples of a fragment.
const SAMPLES_MAX: usize = 1 << 16;

/// Most tracks of a file.
const TRACKS_MAX: usize = 16;

/// Latest time on any clock, in ticks: 2⁵⁶, which is more than 20,000 years at 90 kHz.
const TICKS_MAX: u64 = 1 << 56;
