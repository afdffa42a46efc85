//! From the NAL units of one picture to a [`Frame`](crate::Frame)'s payload, for both video codecs.

use bytes::{Bytes, BytesMut};

use super::{Error, h264, h265, nal};
use crate::{CodecKind, CodecParameters};

/// Largest access unit: an 8K intra picture at a lavish rate has about 8 MB. A larger one is refused.
pub const ACCESS_UNIT_MAX: usize = 16 << 20;

/// Most picture parameter sets besides the first; a further one replaces the oldest.
const MORE_PPS_MAX: usize = 16;

/// What a NAL unit is to an access unit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A slice; of a picture where decoding can start, or not.
    Slice { key: bool },
    /// Parameter sets travel beside the frames.
    Vps,
    /// See [`Role::Vps`].
    Sps,
    /// See [`Role::Vps`].
    Pps,
    /// Delimiters, fillers and ends of sequence say nothing that a container does not.
    Dropped,
    /// Kept in place: SEI and what is reserved.
    Kept,
}

pub(crate) fn role(codec: CodecKind, unit: &[u8]) -> Role {
    match codec {
        CodecKind::H265 => match h265::unit_type(unit) {
            // A base decoder ignores further layers (§F), and their parameter sets reuse identifiers.
            _ if h265::layer_id(unit) > 0 => Role::Dropped,
            kind @ 0..=31 => Role::Slice { key: h265::nal_type::is_irap(kind) },
            h265::nal_type::VPS => Role::Vps,
            h265::nal_type::SPS => Role::Sps,
            h265::nal_type::PPS => Role::Pps,
            h265::nal_type::AUD..=h265::nal_type::FILLER => Role::Dropped,
            _ => Role::Kept,
        },
        _ => match h264::unit_type(unit) {
            h264::nal_type::IDR => Role::Slice { key: true },
            1..=4 => Role::Slice { key: false },
            h264::nal_type::SPS => Role::Sps,
            h264::nal_type::PPS => Role::Pps,
            h264::nal_type::AUD..=h264::nal_type::SPS_EXTENSION => Role::Dropped,
            _ => Role::Kept,
        },
    }
}

/// One access unit in the form of [`Frame::data`](crate::Frame::data).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessUnit {
    /// Length-prefixed NAL units without parameter sets and delimiters; at least one slice.
    pub data: Bytes,
    /// An IDR or IRAP picture.
    pub key: bool,
    /// New parameters, to be announced before this unit, when they differ from those before.
    pub parameters: Option<CodecParameters>,
}

/// Collects the NAL units of access units: parameter sets go aside, the rest is length-prefixed.
///
/// It keeps the parameter sets from one access unit to the next. A stream may use several picture
/// parameter sets where [`CodecParameters`] hold one; the others are repeated in front of each key
/// picture, which is the in-band form of ISO/IEC 14496-15 (`avc3`, `hev1`) and known to every decoder.
///
/// ```
/// use av::{CodecKind, codec::access_unit::AccessUnitBuilder};
/// let mut builder = AccessUnitBuilder::new(CodecKind::H264);
/// builder.push(&[0x09, 0xF0])?; // a delimiter is left out
/// builder.push(&[0x41, 0x9A, 0x01])?;
/// let unit = builder.finish()?.expect("it has a slice");
/// assert_eq!(&unit.data[..], [0, 0, 0, 3, 0x41, 0x9A, 0x01]);
/// assert!(!unit.key);
/// # Ok::<(), av::codec::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct AccessUnitBuilder {
    codec: CodecKind,
    vps: Option<Bytes>,
    sps: Option<Bytes>,
    pps: Option<Bytes>,
    /// The other picture parameter sets, by identifier.
    more_pps: Vec<(u8, Bytes)>,
    more_changed: bool,
    /// The sets changed since `current` was made of them.
    changed: bool,
    current: Option<CodecParameters>,
    data: BytesMut,
    slices: bool,
    key: bool,
}

impl AccessUnitBuilder {
    /// Starts without parameters.
    ///
    /// # Panics
    /// If the codec is not a video codec.
    pub fn new(codec: CodecKind) -> Self {
        assert!(matches!(codec, CodecKind::H264 | CodecKind::H265), "{codec:?} has no NAL units");
        AccessUnitBuilder {
            codec,
            vps: None,
            sps: None,
            pps: None,
            more_pps: Vec::new(),
            more_changed: false,
            changed: false,
            current: None,
            data: BytesMut::new(),
            slices: false,
            key: false,
        }
    }

    /// The parameters announced last.
    pub fn parameters(&self) -> Option<&CodecParameters> {
        self.current.as_ref()
    }

    /// Whether a slice of the open access unit was pushed.
    pub fn has_slice(&self) -> bool {
        self.slices
    }

    /// Whether `unit` belongs to the access unit after the open one, so that
    /// [`finish`](AccessUnitBuilder::finish) is due before it is pushed. Streams with a marker
    /// (RTP) or a container need not ask.
    pub fn is_complete_before(&self, unit: &[u8]) -> bool {
        self.slices
            && match self.codec {
                CodecKind::H265 => h265::starts_access_unit(unit),
                _ => h264::starts_access_unit(unit),
            }
    }

    /// Adds one NAL unit, without start code or length. Empty units are ignored.
    ///
    /// # Errors
    /// When the access unit exceeds [`ACCESS_UNIT_MAX`] or a parameter set is malformed; the unit
    /// pushed is left out and the builder stays usable.
    pub fn push(&mut self, unit: &[u8]) -> Result<(), Error> {
        if unit.is_empty() {
            return Ok(());
        }
        match role(self.codec, unit) {
            Role::Vps => Self::replace(&mut self.vps, unit, &mut self.changed),
            Role::Sps => {
                match self.codec {
                    CodecKind::H265 => h265::Sps::parse(unit).map(drop)?,
                    _ => h264::Sps::parse(unit).map(drop)?,
                }
                Self::replace(&mut self.sps, unit, &mut self.changed);
            }
            Role::Pps => self.push_pps(unit)?,
            Role::Dropped => {}
            role @ (Role::Slice { .. } | Role::Kept) => {
                if self.data.len() + nal::LENGTH_SIZE + unit.len() > ACCESS_UNIT_MAX {
                    return Err(Error::TooLarge { what: "access unit", max: ACCESS_UNIT_MAX });
                }
                nal::put_length_prefixed(&mut self.data, unit);
                if let Role::Slice { key } = role {
                    self.slices = true;
                    self.key |= key;
                }
            }
        }
        Ok(())
    }

    fn replace(slot: &mut Option<Bytes>, unit: &[u8], changed: &mut bool) {
        // Most cameras repeat the same sets before each key frame: no allocation for those.
        if slot.as_deref() != Some(unit) {
            *slot = Some(Bytes::copy_from_slice(unit));
            *changed = true;
        }
    }

    fn pps_ids(&self, unit: &[u8]) -> Result<(u8, u8), Error> {
        match self.codec {
            CodecKind::H265 => h265::pps_ids(unit),
            _ => h264::pps_ids(unit),
        }
    }

    fn push_pps(&mut self, unit: &[u8]) -> Result<(), Error> {
        let (id, sps_id) = self.pps_ids(unit)?;
        let held = self.pps.as_deref().and_then(|pps| self.pps_ids(pps).ok());
        match held {
            // Another set of the same sequence stands beside the first; everything else takes its place.
            Some((held, held_sps)) if held != id && held_sps == sps_id => {
                let known = self.more_pps.iter().position(|(known, _)| *known == id);
                if known.is_some_and(|at| self.more_pps[at].1 == unit) {
                    return Ok(());
                }
                if let Some(at) = known.or((self.more_pps.len() == MORE_PPS_MAX).then_some(0)) {
                    self.more_pps.remove(at);
                }
                self.more_pps.push((id, Bytes::copy_from_slice(unit)));
                self.more_changed = true;
            }
            Some((_, held_sps)) if held_sps != sps_id => {
                self.more_pps.clear();
                Self::replace(&mut self.pps, unit, &mut self.changed);
            }
            _ => Self::replace(&mut self.pps, unit, &mut self.changed),
        }
        Ok(())
    }

    /// Takes a whole access unit from a container that has lengths of `length_size` bytes before its NAL
    /// units; `None` as by [`finish`](AccessUnitBuilder::finish). What was pushed before is dropped.
    ///
    /// Where nothing has to be left out, as in most, the payload is the one given and nothing is copied.
    ///
    /// # Errors
    /// Those of [`push`](AccessUnitBuilder::push) and [`finish`](AccessUnitBuilder::finish), and lengths
    /// that do not fit; the access unit is lost and the next begins.
    pub fn whole(&mut self, data: &Bytes, length_size: usize) -> Result<Option<AccessUnit>, Error> {
        self.clear();
        if length_size == nal::LENGTH_SIZE
            && let Some((slices, key)) = self.fits(data)
        {
            return if slices { self.complete(data.clone(), key).map(Some) } else { Ok(None) };
        }
        let pushed = nal::with_length_size(data, length_size).try_for_each(|unit| self.push(unit?));
        // Also after an error: nothing of this unit may get into the next.
        let unit = self.finish();
        pushed?;
        unit
    }

    /// Whether a payload can stay as it is; then, whether it has a slice and whether that is of a key picture.
    fn fits(&self, data: &[u8]) -> Option<(bool, bool)> {
        let (mut slices, mut key, mut bytes) = (false, false, 0);
        for unit in nal::length_prefixed(data) {
            let unit = unit.ok()?;
            match role(self.codec, unit) {
                Role::Slice { key: of_key } => (slices, key) = (true, key | of_key),
                Role::Kept => {}
                Role::Vps | Role::Sps | Role::Pps | Role::Dropped => return None,
            }
            bytes += nal::LENGTH_SIZE + unit.len();
        }
        // Fewer where units are empty, which are left out.
        (bytes == data.len() && bytes <= ACCESS_UNIT_MAX).then_some((slices, key))
    }

    /// Takes what was pushed so far as an access unit; `None` when no slice was (parameter sets are
    /// kept for the next, anything else is dropped).
    ///
    /// # Errors
    /// When the parameter sets do not fit each other; the access unit is lost and the next begins.
    pub fn finish(&mut self) -> Result<Option<AccessUnit>, Error> {
        let (data, slices, key) = self.clear();
        if !slices {
            return Ok(None);
        }
        // Frames live in a ring for seconds: they do not keep the slack of a grown buffer.
        let data = if data.capacity() > data.len() { Bytes::copy_from_slice(&data) } else { data.freeze() };
        self.complete(data, key).map(Some)
    }

    /// Forgets the open access unit; gives its payload, whether it has a slice, and whether it is key.
    fn clear(&mut self) -> (BytesMut, bool, bool) {
        (std::mem::take(&mut self.data), std::mem::take(&mut self.slices), std::mem::take(&mut self.key))
    }

    fn complete(&mut self, mut data: Bytes, key: bool) -> Result<AccessUnit, Error> {
        let parameters = self.take_changed()?;
        if (key || self.more_changed) && !self.more_pps.is_empty() {
            let sets: usize = self.more_pps.iter().map(|(_, pps)| nal::LENGTH_SIZE + pps.len()).sum();
            let mut with_sets = BytesMut::with_capacity(sets + data.len());
            for (_, pps) in &self.more_pps {
                nal::put_length_prefixed(&mut with_sets, pps);
            }
            with_sets.extend_from_slice(&data);
            data = with_sets.freeze();
            self.more_changed = false;
        }
        Ok(AccessUnit { data, key, parameters })
    }

    /// New parameters, if the sets pushed since the last call made some. [`finish`] does this;
    /// by itself it serves sets that come apart from frames (SDP, `avcC`).
    ///
    /// # Errors
    /// When the parameter sets do not fit each other.
    ///
    /// [`finish`]: AccessUnitBuilder::finish
    pub fn take_changed(&mut self) -> Result<Option<CodecParameters>, Error> {
        let (Some(sps), Some(pps), true) = (&self.sps, &self.pps, self.changed) else { return Ok(None) };
        let made = match (self.codec, &self.vps) {
            (CodecKind::H265, Some(vps)) => {
                CodecParameters::H265(h265::parameters(vps.clone(), sps.clone(), pps.clone())?)
            }
            (CodecKind::H265, None) => return Ok(None),
            _ => CodecParameters::H264(h264::parameters(sps.clone(), pps.clone())?),
        };
        self.changed = false;
        if self.current.as_ref() == Some(&made) {
            return Ok(None);
        }
        self.current = Some(made.clone());
        Ok(Some(made))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SPS: &[u8] = &[0x67, 0x42, 0xC0, 0x28, 0xDA, 0x01, 0xE0, 0x08, 0x9F, 0x97, 0x01, 0x10, 0x00, 0x80];
    /// Picture parameter sets 0, 1 and 0 again with other contents, all of SPS 0.
    const PPS: [&[u8]; 3] = [&[0x68, 0xC8], &[0x68, 0x54], &[0x68, 0xCE]];
    const IDR: &[u8] = &[0x65, 0x88, 1];
    const SLICE: &[u8] = &[0x41, 0x9A, 1];

    fn unit(builder: &mut AccessUnitBuilder, units: &[&[u8]]) -> AccessUnit {
        units.iter().for_each(|unit| builder.push(unit).unwrap());
        builder.finish().unwrap().unwrap()
    }

    fn units(data: &[u8]) -> Vec<&[u8]> {
        nal::length_prefixed(data).map(Result::unwrap).collect()
    }

    /// Access units of an Annex B stream: whether key, with new parameters, and the units' types.
    fn split(codec: CodecKind, stream: &[u8]) -> Vec<(bool, bool, Vec<u8>)> {
        let mut builder = AccessUnitBuilder::new(codec);
        let mut out = Vec::new();
        let mut take = |builder: &mut AccessUnitBuilder| {
            let unit = builder.finish().unwrap().unwrap();
            let kind = |unit: &&[u8]| match codec {
                CodecKind::H265 => h265::unit_type(unit),
                _ => h264::unit_type(unit),
            };
            out.push((unit.key, unit.parameters.is_some(), units(&unit.data).iter().map(kind).collect()));
        };
        for unit in nal::annex_b(stream) {
            if builder.is_complete_before(unit) {
                take(&mut builder);
            }
            builder.push(unit).unwrap();
        }
        take(&mut builder);
        out
    }

    #[test]
    fn x264_stream_with_slices_and_delimiters() {
        // Two slices a picture, a key picture every second; the parameter sets are repeated and
        // announced once.
        let pictures = split(CodecKind::H264, include_bytes!("../testdata/x264_slices_aud.h264"));
        assert_eq!(
            pictures,
            [
                (true, true, vec![6, 5, 5]), // with the SEI of x264
                (false, false, vec![1, 1]),
                (true, false, vec![5, 5]),
                (false, false, vec![1, 1]),
                (true, false, vec![5, 5]),
            ]
        );
    }

    #[test]
    fn x265_stream_with_delimiters() {
        let pictures = split(CodecKind::H265, include_bytes!("../testdata/x265_main_aud.h265"));
        assert_eq!(pictures.iter().map(|(key, ..)| *key).collect::<Vec<_>>(), [true, false, false, true, false, false]);
        assert_eq!(
            pictures.iter().map(|(_, new, _)| *new).collect::<Vec<_>>(),
            [true, false, false, false, false, false]
        );
        assert!(pictures.iter().flat_map(|(.., kinds)| kinds).all(|kind| *kind < 32 || *kind == 39));
    }

    #[test]
    fn changed_parameters_are_announced_once_with_their_key_frame() {
        let mut builder = AccessUnitBuilder::new(CodecKind::H264);
        let first = unit(&mut builder, &[SPS, PPS[0], IDR]);
        assert_eq!(first.parameters.as_ref(), builder.parameters());
        assert_eq!(unit(&mut builder, &[SPS, PPS[0], IDR]).parameters, None);
        let changed = unit(&mut builder, &[PPS[2], IDR]).parameters.unwrap();
        assert!(matches!(changed, CodecParameters::H264(parameters) if parameters.pps == PPS[2]));
    }

    #[test]
    fn further_picture_parameter_sets_ride_in_key_frames() {
        let mut builder = AccessUnitBuilder::new(CodecKind::H264);
        let first = unit(&mut builder, &[SPS, PPS[0], PPS[1], IDR]);
        assert_eq!(units(&first.data), [PPS[1], IDR]);
        assert_eq!(units(&unit(&mut builder, &[SLICE]).data), [SLICE]);
        // The next key frame has it although the sender did not repeat it, for who begins there.
        assert_eq!(units(&unit(&mut builder, &[IDR]).data), [PPS[1], IDR]);
    }

    #[test]
    fn a_unit_without_slices_is_none_and_leaves_its_parameter_sets() {
        let mut builder = AccessUnitBuilder::new(CodecKind::H264);
        builder.push(SPS).unwrap();
        builder.push(PPS[0]).unwrap();
        builder.push(&[0x06, 5, 0, 0x80]).unwrap();
        assert_eq!(builder.finish(), Ok(None));
        let next = unit(&mut builder, &[IDR]);
        assert!(next.parameters.is_some());
        assert_eq!(units(&next.data), [IDR]);
    }

    #[test]
    fn a_whole_access_unit_is_copied_only_to_leave_something_out() {
        let packed = |units: &[&[u8]]| {
            let mut out = BytesMut::new();
            units.iter().for_each(|unit| nal::put_length_prefixed(&mut out, unit));
            out.freeze()
        };
        let mut builder = AccessUnitBuilder::new(CodecKind::H264);
        let first = builder.whole(&packed(&[SPS, PPS[0], IDR]), nal::LENGTH_SIZE).unwrap().unwrap();
        assert!(first.key && first.parameters.is_some() && units(&first.data) == [IDR]);
        let sei: &[u8] = &[0x06, 5, 0, 0x80];
        let plain = packed(&[sei, SLICE, SLICE]);
        let second = builder.whole(&plain, nal::LENGTH_SIZE).unwrap().unwrap();
        assert!(!second.key && second.data.as_ptr() == plain.as_ptr() && second.data.len() == plain.len());
        let delimited = builder.whole(&packed(&[&[0x09, 0xF0], SLICE, &[]]), nal::LENGTH_SIZE).unwrap().unwrap();
        assert_eq!(delimited.data, packed(&[SLICE]));
        assert_eq!(builder.whole(&packed(&[sei]), nal::LENGTH_SIZE), Ok(None));
        let cut = plain.slice(..plain.len() - 1);
        assert!(builder.whole(&cut, nal::LENGTH_SIZE).is_err());
        assert!(builder.whole(&Bytes::from_static(&[0, 3, 0x65, 0x88, 1]), 2).unwrap().unwrap().key);
    }

    #[test]
    fn an_access_unit_beyond_the_limit_is_refused_and_the_next_is_not() {
        let mut builder = AccessUnitBuilder::new(CodecKind::H264);
        let slice = vec![0x41; ACCESS_UNIT_MAX / 2];
        builder.push(&slice).unwrap();
        assert_eq!(builder.push(&slice), Err(Error::TooLarge { what: "access unit", max: ACCESS_UNIT_MAX }));
        builder.finish().unwrap().unwrap();
        assert_eq!(units(&unit(&mut builder, &[SLICE]).data), [SLICE]);
    }
}
