//! H.264: NAL unit types, parameter sets, `avcC` records.
//!
//! Follows ITU-T H.264 (08/2021) §7.3–7.4 and Annex E, ISO/IEC 14496-15 §5.3.3.1 (`avcC`), RFC 6381
//! §3.3 (codec string). It reads what describes a stream and never decodes a picture.

use bytes::{BufMut, Bytes, BytesMut};

use super::bits::{BitReader, unescape};
use super::{Error, FrameRate, PARAMETER_SET_MAX, PICTURE_SIDE_MAX, VideoSignal, nal};
use crate::H264Parameters;

/// Values of `nal_unit_type`, table 7-1.
pub mod nal_type {
    /// Coded slice of a picture that is not an IDR picture.
    pub const SLICE: u8 = 1;
    /// Coded slice data partition A; B and C follow as 3 and 4.
    pub const PARTITION_A: u8 = 2;
    /// Coded slice of an IDR picture.
    pub const IDR: u8 = 5;
    /// Supplemental enhancement information.
    pub const SEI: u8 = 6;
    /// Sequence parameter set.
    pub const SPS: u8 = 7;
    /// Picture parameter set.
    pub const PPS: u8 = 8;
    /// Access unit delimiter.
    pub const AUD: u8 = 9;
    /// End of sequence.
    pub const END_OF_SEQUENCE: u8 = 10;
    /// End of stream.
    pub const END_OF_STREAM: u8 = 11;
    /// Filler data.
    pub const FILLER: u8 = 12;
    /// Sequence parameter set extension: an alpha picture, which nobody here has.
    pub const SPS_EXTENSION: u8 = 13;
}

/// `nal_unit_type` of a NAL unit; 0 (unspecified) of an empty one.
pub fn unit_type(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |header| header & 0x1F)
}

/// Whether the unit is the first slice of its picture: `first_mb_in_slice` is 0 (§7.4.3).
pub fn is_first_slice(unit: &[u8]) -> bool {
    // ue(v) of 0 is the single bit 1, the first after the one-byte header.
    matches!(unit_type(unit), nal_type::SLICE | nal_type::PARTITION_A | nal_type::IDR)
        && unit.get(1).is_some_and(|byte| byte & 0x80 != 0)
}

/// Whether the unit begins a new access unit when it follows a slice (§7.4.1.2.3).
pub fn starts_access_unit(unit: &[u8]) -> bool {
    matches!(unit_type(unit), nal_type::SEI..=nal_type::AUD | 14..=18) || is_first_slice(unit)
}

/// Whether an access unit of length-prefixed NAL units has an IDR picture.
pub fn is_idr(access_unit: &[u8]) -> bool {
    nal::length_prefixed(access_unit).any(|unit| unit.is_ok_and(|unit| unit_type(unit) == nal_type::IDR))
}

/// What a sequence parameter set says of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sps {
    /// `profile_idc`: 66 Baseline, 77 Main, 100 High, …
    pub profile_idc: u8,
    /// The byte of `constraint_set` flags after it.
    pub constraints: u8,
    /// `level_idc`: ten times the level.
    pub level_idc: u8,
    /// `seq_parameter_set_id`, 0 to 31.
    pub id: u8,
    /// `chroma_format_idc`: 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub chroma_format: u8,
    /// Bits of a luma sample, 8 to 14.
    pub bit_depth_luma: u8,
    /// Bits of a chroma sample, 8 to 14.
    pub bit_depth_chroma: u8,
    /// Cropped luma width in pixels.
    pub width: u32,
    /// Cropped luma height in pixels.
    pub height: u32,
    /// From the timing of the VUI, where it is present and sound.
    pub frame_rate: Option<FrameRate>,
    /// From the VUI, where it is present.
    pub signal: VideoSignal,
}

impl Sps {
    /// Parses a sequence parameter set NAL unit, header included (§7.3.2.1.1).
    ///
    /// A damaged VUI, which cameras do send, costs the frame rate, and at worst the signal.
    ///
    /// # Errors
    /// When it is not an SPS, too short, or a field is out of range.
    pub fn parse(unit: &[u8]) -> Result<Sps, Error> {
        let rbsp = payload(unit, nal_type::SPS, "SPS")?;
        let mut r = BitReader::new(&rbsp);
        let profile_idc = r.bits(8, "profile_idc")? as u8;
        let constraints = r.bits(8, "constraint_set flags")? as u8;
        let level_idc = r.bits(8, "level_idc")? as u8;
        let id = r.ue_max(31, "seq_parameter_set_id")? as u8;
        let (mut chroma_format, mut separate_planes) = (1, false);
        let (mut bit_depth_luma, mut bit_depth_chroma) = (8, 8);
        if has_chroma_info(profile_idc) {
            chroma_format = r.ue_max(3, "chroma_format_idc")? as u8;
            if chroma_format == 3 {
                separate_planes = r.flag("separate_colour_plane_flag")?;
            }
            bit_depth_luma += r.ue_max(6, "bit_depth_luma_minus8")? as u8;
            bit_depth_chroma += r.ue_max(6, "bit_depth_chroma_minus8")? as u8;
            r.skip(1, "qpprime_y_zero_transform_bypass_flag")?;
            if r.flag("seq_scaling_matrix_present_flag")? {
                for list in 0..if chroma_format == 3 { 12 } else { 8 } {
                    if r.flag("seq_scaling_list_present_flag")? {
                        skip_scaling_list(&mut r, if list < 6 { 16 } else { 64 })?;
                    }
                }
            }
        }
        r.ue_max(12, "log2_max_frame_num_minus4")?;
        match r.ue_max(2, "pic_order_cnt_type")? {
            0 => {
                r.ue_max(12, "log2_max_pic_order_cnt_lsb_minus4")?;
            }
            1 => {
                r.skip(1, "delta_pic_order_always_zero_flag")?;
                r.se("offset_for_non_ref_pic")?;
                r.se("offset_for_top_to_bottom_field")?;
                for _ in 0..r.ue_max(255, "num_ref_frames_in_pic_order_cnt_cycle")? {
                    r.se("offset_for_ref_frame")?;
                }
            }
            _ => {}
        }
        r.ue_max(16, "max_num_ref_frames")?;
        r.skip(1, "gaps_in_frame_num_value_allowed_flag")?;
        let columns = r.ue_max(PICTURE_SIDE_MAX / 16, "pic_width_in_mbs_minus1")? + 1;
        let rows = r.ue_max(PICTURE_SIDE_MAX / 16, "pic_height_in_map_units_minus1")? + 1;
        let fields = u32::from(!r.flag("frame_mbs_only_flag")?);
        if fields == 1 {
            r.skip(1, "mb_adaptive_frame_field_flag")?;
        }
        r.skip(1, "direct_8x8_inference_flag")?;
        let mut crop = [0u32; 4];
        if r.flag("frame_cropping_flag")? {
            for side in &mut crop {
                *side = r.ue_max(PICTURE_SIDE_MAX, "frame_crop_offset")?;
            }
        }
        // Table 6-1 and equations 7-19 to 7-22: offsets count chroma samples, and field lines.
        let (unit_x, unit_y) = match (chroma_format, separate_planes) {
            (1, _) => (2, 2),
            (2, _) => (2, 1),
            _ => (1, 1),
        };
        let [left, right, top, bottom] = crop;
        let width = cropped(columns * 16, (left + right) * unit_x)?;
        let height = cropped(rows * 16 * (1 + fields), (top + bottom) * unit_y * (1 + fields))?;
        let mut signal = VideoSignal::UNTOLD;
        let frame_rate = match r.flag("vui_parameters_present_flag") {
            Ok(true) => vui(&mut r, &mut signal).unwrap_or(None),
            _ => None,
        };
        Ok(Sps {
            profile_idc,
            constraints,
            level_idc,
            id,
            chroma_format,
            bit_depth_luma,
            bit_depth_chroma,
            width,
            height,
            frame_rate,
            signal,
        })
    }

    /// The codec string of RFC 6381 §3.3, such as `avc1.42E01F`.
    pub fn codec_string(&self) -> String {
        format!("avc1.{:02X}{:02X}{:02X}", self.profile_idc, self.constraints, self.level_idc)
    }
}

/// Profiles whose SPS tells the chroma format (§7.3.2.1.1).
fn has_chroma_info(profile_idc: u8) -> bool {
    matches!(profile_idc, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135)
}

pub(super) fn cropped(size: u32, crop: u32) -> Result<u32, Error> {
    size.checked_sub(crop).filter(|&size| (1..=PICTURE_SIDE_MAX).contains(&size)).ok_or(Error::Invalid("picture size"))
}

/// §7.3.2.1.1.1
fn skip_scaling_list(r: &mut BitReader<'_>, size: usize) -> Result<(), Error> {
    let (mut last, mut next) = (8i32, 8i32);
    for _ in 0..size {
        if next != 0 {
            let delta = r.se("delta_scale")?;
            if !(-128..=127).contains(&delta) {
                return Err(Error::Invalid("delta_scale"));
            }
            next = (last + delta).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Ok(())
}

/// §E.1.1, up to the timing.
fn vui(r: &mut BitReader<'_>, signal: &mut VideoSignal) -> Result<Option<FrameRate>, Error> {
    if r.flag("aspect_ratio_info_present_flag")? && r.bits(8, "aspect_ratio_idc")? == 255 {
        r.skip(32, "sar_width, sar_height")?;
    }
    if r.flag("overscan_info_present_flag")? {
        r.skip(1, "overscan_appropriate_flag")?;
    }
    if r.flag("video_signal_type_present_flag")? {
        *signal = VideoSignal::read(r)?;
    }
    if r.flag("chroma_loc_info_present_flag")? {
        r.ue_max(5, "chroma_sample_loc_type_top_field")?;
        r.ue_max(5, "chroma_sample_loc_type_bottom_field")?;
    }
    if !r.flag("timing_info_present_flag")? {
        return Ok(None);
    }
    let units_in_tick = r.bits(32, "num_units_in_tick")?;
    let time_scale = r.bits(32, "time_scale")?;
    // A tick is a field, so a frame is two of them (§E.2.1).
    Ok(FrameRate::new(u64::from(time_scale), 2 * u64::from(units_in_tick)))
}

/// Identifiers of a picture parameter set: its own (0 to 255) and its SPS's (0 to 31), §7.3.2.2.
///
/// # Errors
/// When it is not a PPS, too short, or an identifier is out of range.
pub fn pps_ids(unit: &[u8]) -> Result<(u8, u8), Error> {
    let rbsp = payload(unit, nal_type::PPS, "PPS")?;
    let mut r = BitReader::new(&rbsp);
    Ok((r.ue_max(255, "pic_parameter_set_id")? as u8, r.ue_max(31, "seq_parameter_set_id")? as u8))
}

/// The payload of a parameter set of this type, unescaped.
fn payload<'a>(unit: &'a [u8], kind: u8, what: &'static str) -> Result<std::borrow::Cow<'a, [u8]>, Error> {
    if unit.len() > PARAMETER_SET_MAX {
        return Err(Error::TooLarge { what, max: PARAMETER_SET_MAX });
    }
    match unit.split_first() {
        Some((header, payload)) if header & 0x9F == kind => Ok(unescape(payload)),
        Some(_) => Err(Error::Invalid(what)),
        None => Err(Error::Truncated(what)),
    }
}

/// Checks a pair of parameter sets, NAL headers included, and reads the picture size from them.
///
/// # Errors
/// When either does not parse or the PPS belongs to another SPS.
pub fn parameters(sps: Bytes, pps: Bytes) -> Result<H264Parameters, Error> {
    let Sps { id, width, height, .. } = Sps::parse(&sps)?;
    if pps_ids(&pps)?.1 != id {
        return Err(Error::Invalid("seq_parameter_set_id of the PPS"));
    }
    Ok(H264Parameters { sps, pps, width, height })
}

/// Writes an AVCDecoderConfigurationRecord (`avcC`) for 4-byte NAL unit lengths.
///
/// # Panics
/// If the parameters were not made by [`parameters`].
pub fn avcc(parameters: &H264Parameters) -> Bytes {
    let sps = Sps::parse(&parameters.sps).expect("parameters hold a checked SPS");
    let mut out = BytesMut::with_capacity(15 + parameters.sps.len() + parameters.pps.len());
    out.put_slice(&[1, sps.profile_idc, sps.constraints, sps.level_idc, 0xFC | (nal::LENGTH_SIZE as u8 - 1), 0xE0 | 1]);
    // Checked parameter sets are below PARAMETER_SET_MAX and fit 16 bits.
    out.put_u16(parameters.sps.len() as u16);
    out.put_slice(&parameters.sps);
    out.put_u8(1);
    out.put_u16(parameters.pps.len() as u16);
    out.put_slice(&parameters.pps);
    if matches!(sps.profile_idc, 100 | 110 | 122 | 144 | 244) {
        let depth = |bits: u8| 0xF8 | (bits - 8);
        out.put_slice(&[0xFC | sps.chroma_format, depth(sps.bit_depth_luma), depth(sps.bit_depth_chroma), 0]);
    }
    out.freeze()
}

/// What a decoder configuration record (`avcC` or `hvcC`) holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigurationRecord {
    /// Bytes of each NAL unit length in the samples: 1, 2 or 4.
    pub length_size: usize,
    /// Parameter sets in the record's order; at most 64.
    pub units: Vec<Bytes>,
}

/// Most parameter sets in one record: 31 SPS and some PPS are legal, one of each is usual.
pub(super) const RECORD_UNITS_MAX: usize = 64;

/// Parses an `avcC` record: the parameter sets, unchecked, and the size of lengths.
///
/// The bytes after the PPS array, which many encoders leave out, are ignored.
///
/// # Errors
/// When it is cut, of another version, or lengths have 3 bytes.
pub fn parse_avcc(record: &[u8]) -> Result<ConfigurationRecord, Error> {
    let (header, mut rest) = record.split_at_checked(5).ok_or(Error::Truncated("avcC"))?;
    if header[0] != 1 {
        return Err(Error::Unsupported("configurationVersion of the avcC"));
    }
    let length_size = length_size(header[4])?;
    let mut units = Vec::new();
    for mask in [0x1F, 0xFF] {
        let (&count, after) = rest.split_first().ok_or(Error::Truncated("avcC"))?;
        rest = after;
        for _ in 0..count & mask {
            units.push(take_unit(&mut rest)?);
            if units.len() > RECORD_UNITS_MAX {
                return Err(Error::TooLarge { what: "number of parameter sets", max: RECORD_UNITS_MAX });
            }
        }
    }
    Ok(ConfigurationRecord { length_size, units })
}

/// `lengthSizeMinusOne` in the low two bits.
pub(super) fn length_size(byte: u8) -> Result<usize, Error> {
    match byte & 3 {
        2 => Err(Error::Invalid("lengthSizeMinusOne")),
        minus_one => Ok(usize::from(minus_one) + 1),
    }
}

/// One parameter set with a 16-bit length before it.
pub(super) fn take_unit(rest: &mut &[u8]) -> Result<Bytes, Error> {
    let what = "parameter set";
    let (&length, after) = rest.split_first_chunk::<2>().ok_or(Error::Truncated(what))?;
    let length = usize::from(u16::from_be_bytes(length));
    let (unit, after) = after.split_at_checked(length).ok_or(Error::Truncated(what))?;
    *rest = after;
    if length > PARAMETER_SET_MAX {
        return Err(Error::TooLarge { what, max: PARAMETER_SET_MAX });
    }
    Ok(Bytes::copy_from_slice(unit))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn check(sps: &str, expected: (u32, u32, &str, Option<(u32, u32)>)) {
        let sps = Sps::parse(&crate::codec::from_hex(sps)).unwrap();
        let rate = sps.frame_rate.map(|rate| (rate.numerator, rate.denominator));
        assert_eq!((sps.width, sps.height, sps.codec_string().as_str(), rate), expected);
    }

    const NTSC: Option<(u32, u32)> = Some((30_000, 1001));

    #[test]
    fn sps_of_x264() {
        check("6742c028da01e0089f97011000003e90000ea600f1832a", (1920, 1080, "avc1.42C028", NTSC));
        // Interlaced: the height counts field pairs, the cropping field lines.
        check("674d4028f403c0227ef01100000303e90000ea601f162ea0", (1920, 1080, "avc1.4D4028", NTSC));
        check("6742c01fda02c049b01100000303e90000ea600f1832a0", (704, 576, "avc1.42C01F", NTSC));
        check("67f4001f9196805005bb011000003e90000ea600f1832a", (1280, 720, "avc1.F4001F", NTSC));
        check("677a0032b6cb4014005ad808800001f480007530078c1950", (2560, 1440, "avc1.7A0032", NTSC));
    }

    #[test]
    fn sps_cut_in_the_vui_loses_the_frame_rate_only() {
        check("6742c028da01e0089f97011000", (1920, 1080, "avc1.42C028", None));
    }

    #[test]
    fn sps_with_scaling_lists() {
        // High, 4:2:0, a scaling matrix whose first list is explicit (16 deltas of 0) and the rest absent,
        // 40 x 30 macroblocks, cropped by 4 luma lines at the bottom.
        let mut bits = String::from("01100100 00000000 00011110 1 010 1 1 0 1 1");
        bits += &" 1".repeat(16);
        bits += &" 0".repeat(7);
        bits += " 1 1 1 010 0 00000101000 000011110 1 1 1 1 1 1 011 0 1";
        check(&format!("67{}", crate::codec::hex_of_bits(&bits)), (640, 476, "avc1.64001E", None));
    }

    #[test]
    fn damaged_parameter_sets_are_named() {
        let error = |hex: &str| Sps::parse(&crate::codec::from_hex(hex)).unwrap_err();
        assert_eq!(error(""), Error::Truncated("SPS"));
        assert_eq!(error("6842c028"), Error::Invalid("SPS"));
        assert_eq!(error("e742c028"), Error::Invalid("SPS")); // forbidden_zero_bit
        assert_eq!(error("6742c0"), Error::Truncated("level_idc"));
        assert_eq!(error("6742c028da01e0"), Error::Truncated("pic_height_in_map_units_minus1"));
        // Cropped to nothing: 1 x 1 macroblocks, 16 lines off the top.
        let none_left =
            crate::codec::hex_of_bits("01000010 00000000 00011110 1 1 1 1 010 0 1 1 1 1 1 1 1 0001001 1 0 1");
        assert_eq!(error(&format!("67{none_left}")), Error::Invalid("picture size"));
        let long = [&[0x67][..], &[1; PARAMETER_SET_MAX]].concat();
        assert!(matches!(Sps::parse(&long), Err(Error::TooLarge { what: "SPS", .. })));
        // A PPS that refers to SPS 1.
        let (sps, pps) = (crate::codec::from_hex("6742c028da01e0089f97011000"), vec![0x68, 0b1010_1000]);
        assert_eq!(parameters(sps.into(), pps.into()), Err(Error::Invalid("seq_parameter_set_id of the PPS")));
    }

    #[test]
    fn avcc_without_the_bytes_behind_the_pps() {
        let record = parse_avcc(&[1, 100, 0, 31, 0xFF, 0xE1, 0, 1, 0x67, 1, 0, 2, 0x68, 1]).unwrap();
        assert_eq!((record.length_size, record.units.len()), (4, 2));
        assert_eq!(parse_avcc(&[1, 100, 0, 31, 0xFF, 0xE1, 0, 9, 0x67]), Err(Error::Truncated("parameter set")));
        assert_eq!(parse_avcc(&[1, 100, 0, 31, 0xFE, 0xE0, 0]), Err(Error::Invalid("lengthSizeMinusOne")));
        assert_eq!(
            parse_avcc(&[3, 100, 0, 31, 0xFF, 0xE0, 0]),
            Err(Error::Unsupported("configurationVersion of the avcC"))
        );
    }
}
