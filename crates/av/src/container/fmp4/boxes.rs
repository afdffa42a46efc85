//! Boxes (ISO/IEC 14496-12 §4.2) and the fields in them.

use super::Error;

/// Bytes of a box header with a 32-bit size.
pub(super) const HEADER: usize = 8;

/// Appends a box whose body `body` appends.
pub(super) fn put(out: &mut Vec<u8>, kind: &[u8; 4], body: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(kind);
    body(out);
    let size = u32::try_from(out.len() - at).expect("boxes we write are below 4 GiB");
    out[at..at + 4].copy_from_slice(&size.to_be_bytes());
}

/// Appends a box with version and flags (§4.2, `FullBox`).
pub(super) fn put_full(out: &mut Vec<u8>, kind: &[u8; 4], version: u8, flags: u32, body: impl FnOnce(&mut Vec<u8>)) {
    put(out, kind, |out| {
        out.extend_from_slice(&(u32::from(version) << 24 | flags).to_be_bytes());
        body(out);
    });
}

/// A box of the file, or as much of it as is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub kind: [u8; 4],
    /// Bytes of the header.
    pub header: usize,
    /// Bytes of the whole box; not below `header`.
    pub size: u64,
}

impl Header {
    /// Reads the header at the start of `data`.
    pub fn read(data: &[u8]) -> Result<Header, Error> {
        let missing = |needed: usize| Error::Incomplete { what: "box header", missing: (needed - data.len()) as u64 };
        let (&size, rest) = data.split_first_chunk::<4>().ok_or_else(|| missing(HEADER))?;
        let (&kind, rest) = rest.split_first_chunk::<4>().ok_or_else(|| missing(HEADER))?;
        let (header, size) = match u32::from_be_bytes(size) {
            1 => {
                let large = rest.first_chunk::<8>().ok_or_else(|| missing(HEADER + 8))?;
                (HEADER + 8, u64::from_be_bytes(*large))
            }
            // 0 is a box to the end of the file, which nobody writes before a fragment; what a power cut
            // leaves behind are zeros too.
            size => (HEADER, u64::from(size)),
        };
        if size < header as u64 {
            return Err(Error::Invalid("box size"));
        }
        Ok(Header { kind, header, size })
    }

    /// Where the box ends in `data`, whose start it is.
    ///
    /// # Errors
    /// [`Error::Incomplete`] when it ends behind `data`.
    pub fn end(&self, data: &[u8], what: &'static str) -> Result<usize, Error> {
        let missing = self.size.saturating_sub(data.len() as u64);
        if missing > 0 { Err(Error::Incomplete { what, missing }) } else { Ok(self.size as usize) }
    }
}

/// Iterates the boxes of a body. An error is the last item.
pub(super) fn children(body: &[u8]) -> Children<'_> {
    Children { rest: body }
}

/// Iterator of [`children`].
pub(super) struct Children<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Children<'a> {
    type Item = Result<([u8; 4], &'a [u8]), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let data = std::mem::take(&mut self.rest);
        let found = Header::read(data).and_then(|header| Ok((header, header.end(data, "box")?)));
        Some(match found {
            Ok((header, end)) => {
                self.rest = &data[end..];
                Ok((header.kind, &data[header.header..end]))
            }
            // Here more bytes would not help: the box around it is whole.
            Err(Error::Incomplete { what, .. }) => Err(Error::Truncated(what)),
            Err(error) => Err(error),
        })
    }
}

/// Calls `each` with the boxes of a body, to change what is in them.
pub(super) fn for_each_child_mut(
    mut rest: &mut [u8],
    mut each: impl FnMut([u8; 4], &mut [u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    while !rest.is_empty() {
        let header = Header::read(rest)?;
        let (found, after) = rest.split_at_mut(header.end(rest, "box")?);
        each(header.kind, &mut found[header.header..])?;
        rest = after;
    }
    Ok(())
}

/// The first box of a kind among the children of `body`.
pub(super) fn child<'a>(body: &'a [u8], kind: &[u8; 4]) -> Result<Option<&'a [u8]>, Error> {
    for found in children(body) {
        let (found, body) = found?;
        if found == *kind {
            return Ok(Some(body));
        }
    }
    Ok(None)
}

/// Takes `N` bytes off the front.
pub(super) fn take<const N: usize>(data: &mut &[u8], what: &'static str) -> Result<[u8; N], Error> {
    let (head, rest) = data.split_first_chunk::<N>().ok_or(Error::Truncated(what))?;
    *data = rest;
    Ok(*head)
}

/// Skips `count` bytes.
pub(super) fn skip(data: &mut &[u8], count: usize, what: &'static str) -> Result<(), Error> {
    *data = data.get(count..).ok_or(Error::Truncated(what))?;
    Ok(())
}

pub(super) fn u8(data: &mut &[u8], what: &'static str) -> Result<u8, Error> {
    take(data, what).map(u8::from_be_bytes)
}

pub(super) fn u16(data: &mut &[u8], what: &'static str) -> Result<u16, Error> {
    take(data, what).map(u16::from_be_bytes)
}

pub(super) fn u32(data: &mut &[u8], what: &'static str) -> Result<u32, Error> {
    take(data, what).map(u32::from_be_bytes)
}

pub(super) fn u64(data: &mut &[u8], what: &'static str) -> Result<u64, Error> {
    take(data, what).map(u64::from_be_bytes)
}

/// Version and flags of a full box.
pub(super) fn version_flags(data: &mut &[u8], what: &'static str) -> Result<(u8, u32), Error> {
    let word = u32(data, what)?;
    Ok(((word >> 24) as u8, word & 0xFF_FFFF))
}

/// A number of 64 bits in version 1 and of 32 in version 0, as times are.
pub(super) fn versioned(data: &mut &[u8], version: u8, what: &'static str) -> Result<u64, Error> {
    if version == 0 { u32(data, what).map(u64::from) } else { u64(data, what) }
}
