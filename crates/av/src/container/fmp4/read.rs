//! Init and fragments, read.

use std::ops::Range;

use bytes::Bytes;

use super::boxes::{self, Header, child, children, skip, version_flags, versioned};
use super::write::{NON_SYNC, NTP_UNIX_SECONDS, SYNC, tfhd, trun};
use super::{Error, MOOF_MAX, MOOV_MAX, SAMPLES_MAX, TICKS_MAX, TRACKS_MAX};
use crate::codec::access_unit::AccessUnitBuilder;
use crate::codec::{aac, h264, h265, nal};
use crate::{CodecKind, CodecParameters, Frame, G711Law, G711Parameters, MediaKind, Ticks, Track, TrackId, UnixMicros};

/// Microseconds a second, the clock on which tracks meet.
pub(super) const MICROS: u32 = 1_000_000;

/// Reads up to the end of `moov`: the tracks, and how many bytes that took.
///
/// Accepts what other writers put around and into it. Tracks of other kinds and codecs are left out; the
/// clock of a track is its timescale, whatever that is. Samples in the `moov` itself are not read.
///
/// # Errors
/// [`Error::Incomplete`] when `moov` is not all there; otherwise when there is none, it is no fragmented
/// file's, or no track is of a codec we carry in a form we carry (NAL unit lengths of 4 bytes).
pub fn read_init(file: &[u8]) -> Result<(Vec<Track>, usize), Error> {
    let mut at = 0;
    loop {
        let rest = &file[at..];
        let header = Header::read(rest)?;
        match &header.kind {
            b"moov" if header.size > MOOV_MAX as u64 => return Err(Error::TooLarge { what: "moov", max: MOOV_MAX }),
            b"moov" => {
                let end = header.end(rest, "moov")?;
                return Ok((moov(&rest[header.header..end])?, at + end));
            }
            b"moof" | b"mdat" => return Err(Error::Invalid("file without moov in front")),
            _ => at += header.end(rest, "box before moov")?,
        }
    }
}

fn moov(body: &[u8]) -> Result<Vec<Track>, Error> {
    if child(body, b"mvex")?.is_none() {
        return Err(Error::Unsupported("file without fragments"));
    }
    let mut tracks = Vec::new();
    let mut reason = Error::Unsupported("file without tracks");
    for found in children(body) {
        let (kind, body) = found?;
        if kind != *b"trak" {
            continue;
        }
        match trak(body) {
            Ok(track) if tracks.iter().any(|known: &Track| known.id == track.id) => {
                return Err(Error::Invalid("track_ID"));
            }
            Ok(_) if tracks.len() == TRACKS_MAX => {
                return Err(Error::TooLarge { what: "number of tracks", max: TRACKS_MAX });
            }
            Ok(track) => tracks.push(track),
            // The others may do without it.
            Err(error @ Error::Unsupported(_)) => reason = error,
            Err(error) => return Err(error),
        }
    }
    if tracks.is_empty() { Err(reason) } else { Ok(tracks) }
}

/// The child of this name, which must be there.
fn need<'a>(body: &'a [u8], kind: &[u8; 4], what: &'static str) -> Result<&'a [u8], Error> {
    child(body, kind)?.ok_or(Error::Invalid(what))
}

fn trak(body: &[u8]) -> Result<Track, Error> {
    let mut tkhd = need(body, b"tkhd", "trak without tkhd")?;
    let (version, _) = version_flags(&mut tkhd, "tkhd")?;
    skip(&mut tkhd, if version == 0 { 8 } else { 16 }, "tkhd")?;
    let number = boxes::u32(&mut tkhd, "tkhd")?;
    let id = number.checked_sub(1).ok_or(Error::Invalid("track_ID"))?;
    let id = TrackId(u8::try_from(id).map_err(|_| Error::Unsupported("track_ID above 256"))?);

    let mdia = need(body, b"mdia", "trak without mdia")?;
    let mut mdhd = need(mdia, b"mdhd", "mdia without mdhd")?;
    let (version, _) = version_flags(&mut mdhd, "mdhd")?;
    skip(&mut mdhd, if version == 0 { 8 } else { 16 }, "mdhd")?;
    let clock_rate = boxes::u32(&mut mdhd, "mdhd")?;
    if clock_rate == 0 {
        return Err(Error::Invalid("timescale"));
    }
    let minf = need(mdia, b"minf", "mdia without minf")?;
    let stbl = need(minf, b"stbl", "minf without stbl")?;
    let mut stsd = need(stbl, b"stsd", "stbl without stsd")?;
    version_flags(&mut stsd, "stsd")?;
    let entries = boxes::u32(&mut stsd, "stsd")?;
    if entries != 1 {
        return Err(Error::Unsupported("number of sample entries"));
    }
    let (kind, entry) = children(stsd).next().ok_or(Error::Truncated("stsd"))??;
    Ok(Track { id, codec: sample_entry(kind, entry)?, clock_rate })
}

fn sample_entry(kind: [u8; 4], mut entry: &[u8]) -> Result<CodecParameters, Error> {
    /// Bytes of a VisualSampleEntry before its boxes (§12.1.3).
    const VISUAL: usize = 78;
    match &kind {
        b"avc1" | b"avc3" => {
            skip(&mut entry, VISUAL, "avc1")?;
            video(CodecKind::H264, h264::parse_avcc(need(entry, b"avcC", "avc1 without avcC")?)?)
        }
        b"hvc1" | b"hev1" => {
            skip(&mut entry, VISUAL, "hvc1")?;
            video(CodecKind::H265, h265::parse_hvcc(need(entry, b"hvcC", "hvc1 without hvcC")?)?)
        }
        b"mp4a" => {
            audio(&mut entry)?;
            Ok(CodecParameters::Aac(esds(need(entry, b"esds", "mp4a without esds")?)?))
        }
        b"alaw" | b"ulaw" => {
            let law = if kind == *b"alaw" { G711Law::A } else { G711Law::Mu };
            let (sample_rate, channels) = audio(&mut entry)?;
            if sample_rate == 0 || channels == 0 {
                return Err(Error::Invalid("sample rate and channels of G.711"));
            }
            Ok(CodecParameters::G711(G711Parameters { law, sample_rate, channels }))
        }
        _ => Err(Error::Unsupported("sample entry")),
    }
}

fn video(codec: CodecKind, record: h264::ConfigurationRecord) -> Result<CodecParameters, Error> {
    if record.length_size != nal::LENGTH_SIZE {
        return Err(Error::Unsupported("NAL unit length of other than 4 bytes"));
    }
    let mut builder = AccessUnitBuilder::new(codec);
    record.units.iter().try_for_each(|unit| builder.push(unit))?;
    builder.take_changed()?.ok_or(Error::Unsupported("decoder configuration without parameter sets"))
}

/// Sample rate and channels of an AudioSampleEntry (§12.2.3), which is consumed down to its boxes.
fn audio(entry: &mut &[u8]) -> Result<(u32, u8), Error> {
    let what = "audio sample entry";
    skip(entry, 8, what)?;
    if boxes::u16(entry, what)? != 0 {
        return Err(Error::Unsupported("QuickTime's sound description"));
    }
    skip(entry, 6, what)?;
    let channels = boxes::u16(entry, what)?;
    skip(entry, 6, what)?;
    let sample_rate = boxes::u16(entry, what)?;
    skip(entry, 2, what)?;
    Ok((sample_rate.into(), u8::try_from(channels).map_err(|_| Error::Invalid("channelcount"))?))
}

/// The AudioSpecificConfig in an `esds` (ISO/IEC 14496-1 §7.2.6).
fn esds(mut body: &[u8]) -> Result<crate::AacParameters, Error> {
    let what = "esds";
    version_flags(&mut body, what)?;
    let mut es = descriptor(&mut body, 3)?;
    skip(&mut es, 2, what)?;
    let flags = boxes::u8(&mut es, what)?;
    if flags & 0x80 != 0 {
        skip(&mut es, 2, what)?; // dependsOn_ES_ID
    }
    if flags & 0x40 != 0 {
        let length = boxes::u8(&mut es, what)?;
        skip(&mut es, length.into(), what)?; // URL
    }
    if flags & 0x20 != 0 {
        skip(&mut es, 2, what)?; // OCR_ES_ID
    }
    let mut config = descriptor(&mut es, 4)?;
    if boxes::u8(&mut config, what)? != 0x40 {
        return Err(Error::Unsupported("objectTypeIndication"));
    }
    skip(&mut config, 12, what)?;
    match aac::parameters(Bytes::copy_from_slice(descriptor(&mut config, 5)?)) {
        Err(crate::codec::Error::Unsupported(what)) => Err(Error::Unsupported(what)),
        parameters => Ok(parameters?),
    }
}

/// The body of the next descriptor, which must have this tag.
fn descriptor<'a>(data: &mut &'a [u8], tag: u8) -> Result<&'a [u8], Error> {
    let what = "descriptor";
    if boxes::u8(data, what)? != tag {
        return Err(Error::Invalid("descriptor tag"));
    }
    let mut length = 0;
    for last in [false, false, false, true] {
        let byte = boxes::u8(data, what)?;
        length = length << 7 | usize::from(byte & 0x7F);
        match (byte & 0x80 != 0, last) {
            (false, _) => break,
            (true, false) => {}
            (true, true) => return Err(Error::Invalid("descriptor length")),
        }
    }
    let (body, rest) = data.split_at_checked(length).ok_or(Error::Truncated(what))?;
    *data = rest;
    Ok(body)
}

/// Where the boxes of a fragment lie in the bytes it was found in.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    /// The first box of it: `prft`, `styp` and the like where they stand in front.
    pub start: usize,
    /// Body of `prft`.
    pub prft: Option<Range<usize>>,
    /// The whole of `moof`.
    pub moof: Range<usize>,
    /// Bytes of its header.
    moof_header: usize,
    /// Body of `mdat`, the end of which is the end of the fragment.
    pub mdat: Range<usize>,
}

/// Finds the next fragment at or behind `at`; `None` when only other boxes are left.
pub(super) fn find(bytes: &[u8], mut at: usize) -> Result<Option<Layout>, Error> {
    let mut layout = Layout { start: at, ..Layout::default() };
    while at < bytes.len() {
        let rest = &bytes[at..];
        let header = Header::read(rest)?;
        let has_moof = !layout.moof.is_empty();
        let what = match &header.kind {
            b"moof" if has_moof => return Err(Error::Invalid("moof without mdat")),
            b"moof" if header.size > MOOF_MAX as u64 => return Err(Error::TooLarge { what: "moof", max: MOOF_MAX }),
            b"moof" => "moof",
            b"mdat" => "mdat",
            _ => "box between fragments",
        };
        let end = at + header.end(rest, what)?;
        let body = at + header.header..end;
        at = end;
        match &header.kind {
            b"moof" => (layout.moof, layout.moof_header) = (body.start - header.header..end, header.header),
            b"mdat" if has_moof => return Ok(Some(Layout { mdat: body, ..layout })),
            b"prft" if !has_moof => layout.prft = Some(body),
            b"styp" | b"sidx" | b"emsg" | b"free" | b"skip" => {}
            _ if has_moof => {}
            // Nothing of the fragment that follows.
            _ => layout = Layout { start: at, ..Layout::default() },
        }
    }
    // A wall clock is of the fragment behind it, and would be lost with what was consumed.
    if layout.moof.is_empty() && layout.prft.is_none() {
        Ok(None)
    } else {
        Err(Error::Incomplete { what: "fragment", missing: boxes::HEADER as u64 })
    }
}

impl Layout {
    pub fn moof_body(&self) -> Range<usize> {
        self.moof.start + self.moof_header..self.moof.end
    }

    /// The wall clock at the beginning of the tracks' clocks, from `prft`; 0 without one.
    pub fn zero(&self, tracks: &[Track], bytes: &[u8]) -> Result<i64, Error> {
        let Some(mut prft) = self.prft.clone().map(|body| &bytes[body]) else { return Ok(0) };
        let (version, _) = version_flags(&mut prft, "prft")?;
        let number = boxes::u32(&mut prft, "prft")?;
        let wall = from_ntp(boxes::u64(&mut prft, "prft")?);
        let time = versioned(&mut prft, version, "prft")?;
        let Some(track) = by_number(tracks, number) else { return Ok(0) };
        Ok(wall.0.saturating_sub(micros(ticks(time)?, track.clock_rate)))
    }
}

/// The track of this `track_ID`.
pub(super) fn by_number(tracks: &[Track], number: u32) -> Option<&Track> {
    tracks.iter().find(|track| super::write::track_id(track) == number)
}

/// A time within [`TICKS_MAX`].
fn ticks(time: u64) -> Result<i64, Error> {
    if time > TICKS_MAX {
        Err(Error::TooLarge { what: "decode time", max: TICKS_MAX as usize })
    } else {
        Ok(time as i64)
    }
}

/// Ticks of a clock in microseconds, as far as these reach.
pub(super) fn micros(ticks: i64, rate: u32) -> i64 {
    let far = i128::from(ticks) * i128::from(MICROS) / i128::from(rate);
    match i64::try_from(far) {
        Ok(_) => Ticks(ticks).rescale(rate, MICROS).0,
        Err(_) => far.signum() as i64 * i64::MAX,
    }
}

/// NTP's 64 bits in the era that RFC 4330 §3 tells by the highest bit: 1968 to 2036, or 2036 to 2104.
fn from_ntp(ntp: u64) -> UnixMicros {
    let era = if ntp >> 63 == 0 { 1_i64 << 32 } else { 0 };
    let seconds = (ntp >> 32) as i64 + era - NTP_UNIX_SECONDS;
    let fraction = (ntp & 0xFFFF_FFFF) * u64::from(MICROS);
    UnixMicros(seconds * i64::from(MICROS) + ((fraction + (1 << 31)) >> 32) as i64)
}

/// One sample of a fragment.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// Its payload in the bytes that the fragment was found in.
    pub data: Range<usize>,
    pub dts: i64,
    pub cts: i32,
    pub duration: u32,
    pub key: bool,
}

/// Calls `each` with all samples of known tracks, in file order.
pub(super) fn samples<'a>(
    tracks: &'a [Track],
    bytes: &[u8],
    layout: &Layout,
    mut each: impl FnMut(&'a Track, Sample),
) -> Result<(), Error> {
    let mut left = SAMPLES_MAX;
    let mut after = layout.moof.start as u64;
    for found in children(&bytes[layout.moof_body()]) {
        let (kind, body) = found?;
        if kind == *b"traf" {
            after = traf(tracks, body, layout, after, &mut left, &mut each)?;
        }
    }
    Ok(())
}

/// Takes where the payload of the `traf` before ended and gives where that of this one ends.
fn traf<'a>(
    tracks: &'a [Track],
    body: &[u8],
    layout: &Layout,
    after: u64,
    left: &mut usize,
    each: &mut impl FnMut(&'a Track, Sample),
) -> Result<u64, Error> {
    let mut head = need(body, b"tfhd", "traf without tfhd")?;
    let (_, flags) = version_flags(&mut head, "tfhd")?;
    let track = by_number(tracks, boxes::u32(&mut head, "tfhd")?);
    // The position of this very `moof` in the file it was made for, as every writer has it.
    let base_told = flags & tfhd::BASE_DATA_OFFSET != 0;
    skip(&mut head, if base_told { 8 } else { 0 }, "tfhd")?;
    skip(&mut head, if flags & tfhd::DESCRIPTION != 0 { 4 } else { 0 }, "tfhd")?;
    let mut default = |bit| if flags & bit != 0 { boxes::u32(&mut head, "tfhd").map(Some) } else { Ok(None) };
    let (duration, size, sample_flags) = (default(tfhd::DURATION)?, default(tfhd::SIZE)?, default(tfhd::FLAGS)?);
    let sample_flags = sample_flags.unwrap_or(match track.map(Track::kind) {
        // What `trex` says is not told here; ours says this.
        Some(MediaKind::Video) => NON_SYNC,
        _ => SYNC,
    });
    let base = if base_told || flags & tfhd::BASE_IS_MOOF != 0 { layout.moof.start as u64 } else { after };

    let mut dts = match child(body, b"tfdt")? {
        Some(mut tfdt) => {
            let (version, _) = version_flags(&mut tfdt, "tfdt")?;
            ticks(versioned(&mut tfdt, version, "tfdt")?)?
        }
        None => return Err(Error::Unsupported("traf without tfdt")),
    };
    let mut at = base;
    for found in children(body) {
        let (kind, mut run) = found?;
        if kind != *b"trun" {
            continue;
        }
        let (_, flags) = version_flags(&mut run, "trun")?;
        let count = boxes::u32(&mut run, "trun")? as usize;
        *left = left.checked_sub(count).ok_or(Error::TooLarge { what: "number of samples", max: SAMPLES_MAX })?;
        if flags & trun::DATA_OFFSET != 0 {
            let offset = boxes::u32(&mut run, "trun")? as i32;
            at = base.checked_add_signed(offset.into()).ok_or(Error::Invalid("data offset"))?;
        }
        let mut first_flags = None;
        if flags & trun::FIRST_FLAGS != 0 {
            first_flags = Some(boxes::u32(&mut run, "trun")?);
        }
        for _ in 0..count {
            let mut field = |bit, default: Option<u32>, what| match default {
                _ if flags & bit != 0 => boxes::u32(&mut run, "trun"),
                Some(default) => Ok(default),
                None => Err(Error::Unsupported(what)),
            };
            let duration = field(trun::DURATION, duration, "sample duration of trex")?;
            let size = field(trun::SIZE, size, "sample size of trex")?;
            let own_flags = field(trun::FLAGS, Some(sample_flags), "sample flags")?;
            // Unsigned in version 0, but none is as long as 2³¹ ticks.
            let cts = field(trun::CTS, Some(0), "composition offset")? as i32;
            let end = at.checked_add(size.into()).ok_or(Error::Invalid("sample size"))?;
            if at < layout.mdat.start as u64 || end > layout.mdat.end as u64 {
                return Err(Error::Invalid("position of a sample"));
            }
            let sample_flags = first_flags.take().unwrap_or(own_flags);
            let key = sample_flags & (NON_SYNC & 0xFF_FFFF) == 0;
            if let Some(track) = track {
                each(track, Sample { data: at as usize..end as usize, dts, cts, duration, key });
            }
            at = end;
            dts = dts.checked_add(duration.into()).ok_or(Error::Invalid("decode time"))?;
        }
    }
    Ok(at)
}

/// Reads the fragment at the front of `bytes`: its frames, and how many bytes it took. Boxes in front of
/// it are skipped. No frames and all bytes, when no fragment is left: at the end of the file or in front
/// of its index.
///
/// Frames come in decoding order over all tracks and share the memory of `bytes`. Their payload is as the
/// file has it: of another writer's file it may hold parameter sets and delimiters. `Frame::wall` is that
/// of `prft` plus the distance in decoding time; where there is no `prft`, decoding time since 1970.
///
/// Accepts, because others write it: data offsets that count from the file's beginning (when that is
/// where this `moof` was), several `trun`s, `tfdt` of 32 bits. Rejects durations and sizes that stand in
/// the `moov` alone.
///
/// # Errors
/// [`Error::Incomplete`] when the fragment is not all there, otherwise when it is malformed.
pub fn read_fragment(tracks: &[Track], bytes: &Bytes) -> Result<(Vec<Frame>, usize), Error> {
    let Some(layout) = find(bytes, 0)? else { return Ok((Vec::new(), bytes.len())) };
    let zero = layout.zero(tracks, bytes)?;
    let mut frames = Vec::new();
    samples(tracks, bytes, &layout, |track, sample| {
        let Sample { data, dts, cts, key, .. } = sample;
        let wall = UnixMicros(zero.saturating_add(micros(dts, track.clock_rate)));
        frames.push(Frame { track: track.id, dts: Ticks(dts), cts, wall, key, data: bytes.slice(data) });
    })?;
    // Stable, so that frames of one track stay in their order.
    frames.sort_by_key(|frame| frame.wall);
    Ok((frames, layout.mdat.end))
}
