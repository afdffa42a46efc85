//! H.265: NAL unit types, parameter sets, `hvcC` records.
//!
//! Follows ITU-T H.265 (08/2021) §7.3–7.4 and Annex E, ISO/IEC 14496-15 §8.3.3.1 (`hvcC`) and Annex E
//! (codec string). It reads what describes a stream and never decodes a picture; layers above the
//! base layer (Annexes F to I) are not carried.

use std::borrow::Cow;
use std::fmt::Write as _;

use bytes::{BufMut, Bytes, BytesMut};

use super::bits::{BitReader, unescape};
use super::h264::{ConfigurationRecord, RECORD_UNITS_MAX, cropped, length_size, take_unit};
use super::{Error, FrameRate, PARAMETER_SET_MAX, PICTURE_SIDE_MAX, VideoSignal, nal};
use crate::H265Parameters;

/// Values of `nal_unit_type`, table 7-1.
pub mod nal_type {
    /// First of the intra random access point pictures (BLA_W_LP).
    pub const IRAP_FIRST: u8 = 16;
    /// IDR picture with leading pictures.
    pub const IDR_W_RADL: u8 = 19;
    /// IDR picture without leading pictures.
    pub const IDR_N_LP: u8 = 20;
    /// Clean random access picture.
    pub const CRA: u8 = 21;
    /// Last of the intra random access point types, reserved.
    pub const IRAP_LAST: u8 = 23;
    /// Video parameter set.
    pub const VPS: u8 = 32;
    /// Sequence parameter set.
    pub const SPS: u8 = 33;
    /// Picture parameter set.
    pub const PPS: u8 = 34;
    /// Access unit delimiter.
    pub const AUD: u8 = 35;
    /// End of sequence; the end of the bitstream is 37.
    pub const END_OF_SEQUENCE: u8 = 36;
    /// Filler data.
    pub const FILLER: u8 = 38;
    /// Supplemental enhancement information before the slices.
    pub const PREFIX_SEI: u8 = 39;
    /// Supplemental enhancement information after the slices.
    pub const SUFFIX_SEI: u8 = 40;

    /// Whether slices of this type are of an intra random access point picture.
    pub fn is_irap(kind: u8) -> bool {
        (IRAP_FIRST..=IRAP_LAST).contains(&kind)
    }
}

/// Bytes of a NAL unit header.
const HEADER: usize = 2;

/// `nal_unit_type` of a NAL unit; of an empty one 63, which is unspecified.
pub fn unit_type(unit: &[u8]) -> u8 {
    unit.first().map_or(63, |header| header >> 1 & 0x3F)
}

/// `nuh_layer_id`: 0 in the base layer.
pub fn layer_id(unit: &[u8]) -> u8 {
    unit.get(..HEADER).map_or(0, |header| (header[0] & 1) << 5 | header[1] >> 3)
}

/// Whether the unit is the first slice segment of its picture (`first_slice_segment_in_pic_flag`).
pub fn is_first_slice(unit: &[u8]) -> bool {
    unit_type(unit) < nal_type::VPS && unit.get(HEADER).is_some_and(|byte| byte & 0x80 != 0)
}

/// Whether the unit begins a new access unit when it follows a slice (§7.4.2.4.4).
pub fn starts_access_unit(unit: &[u8]) -> bool {
    layer_id(unit) == 0
        && (matches!(unit_type(unit), nal_type::VPS..=nal_type::AUD | nal_type::PREFIX_SEI | 41..=44 | 48..=55)
            || is_first_slice(unit))
}

/// Whether an access unit of length-prefixed NAL units is an intra random access point.
pub fn is_irap(access_unit: &[u8]) -> bool {
    nal::length_prefixed(access_unit).any(|unit| unit.is_ok_and(|unit| nal_type::is_irap(unit_type(unit))))
}

/// `general_` fields of profile_tier_level, §7.3.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// `general_profile_space` (2 bits), tier (1) and `general_profile_idc` (5): 1 Main, 2 Main 10, …
    pub space_tier_idc: u8,
    /// `general_profile_compatibility_flag[0]` in the highest bit.
    pub compatibility: u32,
    /// The 48 bits of constraint flags.
    pub constraints: [u8; 6],
    /// `general_level_idc`: thirty times the level.
    pub level_idc: u8,
}

/// What a sequence parameter set says of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sps {
    /// `sps_video_parameter_set_id`, 0 to 15.
    pub vps_id: u8,
    /// `sps_seq_parameter_set_id`, 0 to 15.
    pub id: u8,
    /// Temporal sub-layers, 1 to 7.
    pub sub_layers: u8,
    /// `sps_temporal_id_nesting_flag`.
    pub temporal_id_nesting: bool,
    /// Profile, tier and level.
    pub profile: Profile,
    /// `chroma_format_idc`: 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub chroma_format: u8,
    /// Bits of a luma sample, 8 to 16.
    pub bit_depth_luma: u8,
    /// Bits of a chroma sample, 8 to 16.
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
    /// Parses a sequence parameter set NAL unit, header included (§7.3.2.2.1).
    ///
    /// Damage behind the bit depths costs the frame rate, and at worst the signal.
    ///
    /// # Errors
    /// When it is not an SPS, too short, or a field is out of range.
    pub fn parse(unit: &[u8]) -> Result<Sps, Error> {
        let rbsp = payload(unit, nal_type::SPS, "SPS")?;
        let mut r = BitReader::new(&rbsp);
        let vps_id = r.bits(4, "sps_video_parameter_set_id")? as u8;
        let max_sub_layers_minus1 = r.bits(3, "sps_max_sub_layers_minus1")?;
        if max_sub_layers_minus1 > 6 {
            return Err(Error::Invalid("sps_max_sub_layers_minus1"));
        }
        let temporal_id_nesting = r.flag("sps_temporal_id_nesting_flag")?;
        let profile = profile_tier_level(&mut r, max_sub_layers_minus1)?;
        let id = r.ue_max(15, "sps_seq_parameter_set_id")? as u8;
        let chroma_format = r.ue_max(3, "chroma_format_idc")? as u8;
        let separate_planes = chroma_format == 3 && r.flag("separate_colour_plane_flag")?;
        let coded_width = r.ue_max(PICTURE_SIDE_MAX, "pic_width_in_luma_samples")?;
        let coded_height = r.ue_max(PICTURE_SIDE_MAX, "pic_height_in_luma_samples")?;
        let mut window = [0u32; 4];
        if r.flag("conformance_window_flag")? {
            for side in &mut window {
                *side = r.ue_max(PICTURE_SIDE_MAX, "conf_win_offset")?;
            }
        }
        let [left, right, top, bottom] = window;
        let (unit_x, unit_y) = match (chroma_format, separate_planes) {
            (1, _) => (2, 2),
            (2, _) => (2, 1),
            _ => (1, 1),
        };
        let width = cropped(coded_width, (left + right) * unit_x)?;
        let height = cropped(coded_height, (top + bottom) * unit_y)?;
        let bit_depth_luma = 8 + r.ue_max(8, "bit_depth_luma_minus8")? as u8;
        let bit_depth_chroma = 8 + r.ue_max(8, "bit_depth_chroma_minus8")? as u8;
        let mut signal = VideoSignal::UNTOLD;
        let frame_rate = down_to_vui(&mut r, max_sub_layers_minus1, &mut signal).unwrap_or(None);
        Ok(Sps {
            vps_id,
            id,
            sub_layers: max_sub_layers_minus1 as u8 + 1,
            temporal_id_nesting,
            profile,
            chroma_format,
            bit_depth_luma,
            bit_depth_chroma,
            width,
            height,
            frame_rate,
            signal,
        })
    }

    /// The codec string of ISO/IEC 14496-15 §E.3, such as `hvc1.1.6.L93.B0`.
    pub fn codec_string(&self) -> String {
        let Profile { space_tier_idc, compatibility, constraints, level_idc } = &self.profile;
        let space = ["", "A", "B", "C"][usize::from(space_tier_idc >> 6)];
        let tier = if space_tier_idc & 0x20 == 0 { 'L' } else { 'H' };
        let mut out =
            format!("hvc1.{space}{}.{:X}.{tier}{level_idc}", space_tier_idc & 0x1F, compatibility.reverse_bits());
        let used = constraints.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        for byte in &constraints[..used] {
            write!(out, ".{byte:X}").expect("writing to a String does not fail");
        }
        out
    }
}

/// §7.3.3
fn profile_tier_level(r: &mut BitReader<'_>, max_sub_layers_minus1: u32) -> Result<Profile, Error> {
    let what = "profile_tier_level";
    let space_tier_idc = r.bits(8, what)? as u8;
    let compatibility = r.bits(32, what)?;
    let mut constraints = [0; 6];
    for byte in &mut constraints {
        *byte = r.bits(8, what)? as u8;
    }
    let level_idc = r.bits(8, what)? as u8;
    if max_sub_layers_minus1 > 0 {
        // Two presence flags a sub-layer, padded with reserved bits to eight sub-layers.
        let present = r.bits(16, what)?;
        for layer in 0..max_sub_layers_minus1 {
            let flags = present >> (14 - 2 * layer);
            r.skip((flags as usize >> 1 & 1) * 88 + (flags as usize & 1) * 8, what)?;
        }
    }
    Ok(Profile { space_tier_idc, compatibility, constraints, level_idc })
}

/// The rest of the SPS down to the timing in its VUI, §7.3.2.2.1 and §E.2.1.
fn down_to_vui(
    r: &mut BitReader<'_>,
    max_sub_layers_minus1: u32,
    signal: &mut VideoSignal,
) -> Result<Option<FrameRate>, Error> {
    let poc_lsb_bits = r.ue_max(12, "log2_max_pic_order_cnt_lsb_minus4")? + 4;
    let all_layers = r.flag("sps_sub_layer_ordering_info_present_flag")?;
    for _ in 0..if all_layers { max_sub_layers_minus1 + 1 } else { 1 } {
        for field in ["sps_max_dec_pic_buffering_minus1", "sps_max_num_reorder_pics", "sps_max_latency_increase_plus1"]
        {
            r.ue(field)?;
        }
    }
    for field in ["log2_min_luma_coding_block_size_minus3", "log2_diff_max_min_luma_coding_block_size"] {
        r.ue(field)?;
    }
    for field in ["log2_min_luma_transform_block_size_minus2", "log2_diff_max_min_luma_transform_block_size"] {
        r.ue(field)?;
    }
    r.ue("max_transform_hierarchy_depth_inter")?;
    r.ue("max_transform_hierarchy_depth_intra")?;
    if r.flag("scaling_list_enabled_flag")? && r.flag("sps_scaling_list_data_present_flag")? {
        skip_scaling_lists(r)?;
    }
    r.skip(2, "amp_enabled_flag, sample_adaptive_offset_enabled_flag")?;
    if r.flag("pcm_enabled_flag")? {
        r.skip(8, "pcm_sample_bit_depth")?;
        r.ue("log2_min_pcm_luma_coding_block_size_minus3")?;
        r.ue("log2_diff_max_min_pcm_luma_coding_block_size")?;
        r.skip(1, "pcm_loop_filter_disabled_flag")?;
    }
    let sets = r.ue_max(64, "num_short_term_ref_pic_sets")?;
    let mut pictures = 0;
    for index in 0..sets {
        pictures = skip_short_term_set(r, index, pictures)?;
    }
    if r.flag("long_term_ref_pics_present_flag")? {
        let count = r.ue_max(32, "num_long_term_ref_pics_sps")?;
        r.skip(count as usize * (poc_lsb_bits as usize + 1), "lt_ref_pic_poc_lsb_sps")?;
    }
    r.skip(2, "sps_temporal_mvp_enabled_flag, strong_intra_smoothing_enabled_flag")?;
    if !r.flag("vui_parameters_present_flag")? {
        return Ok(None);
    }
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
        r.ue("chroma_sample_loc_type_top_field")?;
        r.ue("chroma_sample_loc_type_bottom_field")?;
    }
    r.skip(3, "neutral_chroma_indication_flag, field_seq_flag, frame_field_info_present_flag")?;
    if r.flag("default_display_window_flag")? {
        for _ in 0..4 {
            r.ue("def_disp_win_offset")?;
        }
    }
    if !r.flag("vui_timing_info_present_flag")? {
        return Ok(None);
    }
    let units_in_tick = r.bits(32, "vui_num_units_in_tick")?;
    let time_scale = r.bits(32, "vui_time_scale")?;
    Ok(FrameRate::new(time_scale.into(), units_in_tick.into()))
}

/// §7.3.4
fn skip_scaling_lists(r: &mut BitReader<'_>) -> Result<(), Error> {
    for size in 0..4u32 {
        for _ in 0..if size == 3 { 2 } else { 6 } {
            if !r.flag("scaling_list_pred_mode_flag")? {
                r.ue("scaling_list_pred_matrix_id_delta")?;
                continue;
            }
            if size > 1 {
                r.se("scaling_list_dc_coef_minus8")?;
            }
            for _ in 0..64.min(1 << (4 + 2 * size)) {
                r.se("scaling_list_delta_coef")?;
            }
        }
    }
    Ok(())
}

/// §7.3.7; takes the number of pictures in the set before, returns that of this one.
fn skip_short_term_set(r: &mut BitReader<'_>, index: u32, before: u32) -> Result<u32, Error> {
    /// `sps_max_dec_pic_buffering_minus1` is at most 15, and a set holds no more than that.
    const PICTURES_MAX: u32 = 16;
    if index > 0 && r.flag("inter_ref_pic_set_prediction_flag")? {
        r.skip(1, "delta_rps_sign")?;
        r.ue("abs_delta_rps_minus1")?;
        let mut count = 0;
        for _ in 0..=before {
            let used = r.flag("used_by_curr_pic_flag")?;
            if used || r.flag("use_delta_flag")? {
                count += 1;
            }
        }
        return if count > PICTURES_MAX { Err(Error::Invalid("short-term reference picture set")) } else { Ok(count) };
    }
    let negative = r.ue_max(PICTURES_MAX, "num_negative_pics")?;
    let positive = r.ue_max(PICTURES_MAX - negative, "num_positive_pics")?;
    for _ in 0..negative + positive {
        r.ue("delta_poc_minus1")?;
        r.skip(1, "used_by_curr_pic_flag")?;
    }
    Ok(negative + positive)
}

/// `vps_video_parameter_set_id`, 0 to 15 (§7.3.2.1).
///
/// # Errors
/// When it is not a VPS or too short.
pub fn vps_id(unit: &[u8]) -> Result<u8, Error> {
    let rbsp = payload(unit, nal_type::VPS, "VPS")?;
    Ok(BitReader::new(&rbsp).bits(4, "vps_video_parameter_set_id")? as u8)
}

/// Identifiers of a picture parameter set: its own (0 to 63) and its SPS's (0 to 15), §7.3.2.3.1.
///
/// # Errors
/// When it is not a PPS, too short, or an identifier is out of range.
pub fn pps_ids(unit: &[u8]) -> Result<(u8, u8), Error> {
    let rbsp = payload(unit, nal_type::PPS, "PPS")?;
    let mut r = BitReader::new(&rbsp);
    Ok((r.ue_max(63, "pps_pic_parameter_set_id")? as u8, r.ue_max(15, "pps_seq_parameter_set_id")? as u8))
}

/// The payload of a parameter set of this type, unescaped.
fn payload<'a>(unit: &'a [u8], kind: u8, what: &'static str) -> Result<Cow<'a, [u8]>, Error> {
    if unit.len() > PARAMETER_SET_MAX {
        return Err(Error::TooLarge { what, max: PARAMETER_SET_MAX });
    }
    let (header, payload) = unit.split_at_checked(HEADER).ok_or(Error::Truncated(what))?;
    if header[0] & 0x80 != 0 || unit_type(header) != kind || layer_id(header) != 0 {
        return Err(Error::Invalid(what));
    }
    Ok(unescape(payload))
}

/// Checks parameter sets, NAL headers included, and reads the picture size from them.
///
/// # Errors
/// When one does not parse or they do not refer to each other.
pub fn parameters(vps: Bytes, sps: Bytes, pps: Bytes) -> Result<H265Parameters, Error> {
    let Sps { vps_id: of_vps, id, width, height, .. } = Sps::parse(&sps)?;
    if vps_id(&vps)? != of_vps {
        return Err(Error::Invalid("sps_video_parameter_set_id"));
    }
    if pps_ids(&pps)?.1 != id {
        return Err(Error::Invalid("pps_seq_parameter_set_id"));
    }
    Ok(H265Parameters { vps, sps, pps, width, height })
}

/// Writes an HEVCDecoderConfigurationRecord (`hvcC`) for 4-byte NAL unit lengths.
///
/// # Panics
/// If the parameters were not made by [`parameters`].
pub fn hvcc(parameters: &H265Parameters) -> Bytes {
    let sps = Sps::parse(&parameters.sps).expect("parameters hold a checked SPS");
    let arrays = [(nal_type::VPS, &parameters.vps), (nal_type::SPS, &parameters.sps), (nal_type::PPS, &parameters.pps)];
    let mut out = BytesMut::with_capacity(23 + arrays.iter().map(|(_, unit)| 5 + unit.len()).sum::<usize>());
    out.put_slice(&[1, sps.profile.space_tier_idc]);
    out.put_u32(sps.profile.compatibility);
    out.put_slice(&sps.profile.constraints);
    out.put_u8(sps.profile.level_idc);
    out.put_u16(0xF000); // min_spatial_segmentation_idc: unknown
    out.put_u8(0xFC); // parallelismType: unknown
    // The record has three bits for the depths; deeper samples than 15 bits are not in any camera.
    let depth = |bits: u8| 0xF8 | (bits - 8).min(7);
    out.put_slice(&[0xFC | sps.chroma_format, depth(sps.bit_depth_luma), depth(sps.bit_depth_chroma)]);
    out.put_u16(0); // avgFrameRate: unspecified
    out.put_u8(sps.sub_layers << 3 | u8::from(sps.temporal_id_nesting) << 2 | (nal::LENGTH_SIZE as u8 - 1));
    out.put_u8(arrays.len() as u8);
    for (kind, unit) in arrays {
        out.put_u8(0x80 | kind); // array_completeness: none of these is in the frames
        out.put_u16(1);
        // Checked parameter sets are below PARAMETER_SET_MAX and fit 16 bits.
        out.put_u16(unit.len() as u16);
        out.put_slice(unit);
    }
    out.freeze()
}

/// Parses an `hvcC` record: its NAL units (parameter sets, sometimes SEI), unchecked, and the size of
/// lengths.
///
/// # Errors
/// When it is cut or lengths have 3 bytes. A version of 0, which old encoders write, is accepted.
pub fn parse_hvcc(record: &[u8]) -> Result<ConfigurationRecord, Error> {
    let (header, mut rest) = record.split_at_checked(23).ok_or(Error::Truncated("hvcC"))?;
    if header[0] > 1 {
        return Err(Error::Unsupported("configurationVersion of the hvcC"));
    }
    let length_size = length_size(header[21])?;
    let mut units = Vec::new();
    for _ in 0..header[22] {
        let (array, after) = rest.split_first_chunk::<3>().ok_or(Error::Truncated("hvcC"))?;
        rest = after;
        for _ in 0..u16::from_be_bytes([array[1], array[2]]) {
            units.push(take_unit(&mut rest)?);
            if units.len() > RECORD_UNITS_MAX {
                return Err(Error::TooLarge { what: "number of parameter sets", max: RECORD_UNITS_MAX });
            }
        }
    }
    Ok(ConfigurationRecord { length_size, units })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::CodecKind;
    use crate::codec::access_unit::AccessUnitBuilder;
    use crate::codec::{from_hex, nal};

    fn check(sps: &str, expected: (u32, u32, &str, Option<(u32, u32)>)) {
        let sps = Sps::parse(&from_hex(sps)).unwrap();
        let rate = sps.frame_rate.map(|rate| (rate.numerator, rate.denominator));
        assert_eq!((sps.width, sps.height, sps.codec_string().as_str(), rate), expected);
    }

    const NTSC: Option<(u32, u32)> = Some((30_000, 1001));

    #[test]
    fn sps_of_x265() {
        check(
            "420101016000000300900000030000030078a003c0801107cb965654a4c2f01680800001f480003a9804",
            (1920, 1080, "hvc1.1.6.L120.90", NTSC),
        );
        check(
            "420101022000000300900000030000030096a001402005a136595952930bc05a02000007d20000ea6010",
            (2560, 1440, "hvc1.2.4.L150.90", NTSC),
        );
        check(
            "4201010408000003009e0800000300003c9001610090b2caca94985e02d01000003e900007530080",
            (352, 288, "hvc1.4.10.L60.9E.8", NTSC),
        );
        check(
            "42010101600000030090000003000003005da00280802d165959529385e02d0100000303e90000753008",
            (1280, 720, "hvc1.1.6.L93.90", NTSC),
        );
        // Two temporal sub-layers.
        check(
            "42010201600000030090000003000003003f0000a005020171f2e59594aca94985e02d0100000303e90000753008",
            (640, 360, "hvc1.1.6.L63.90", NTSC),
        );
    }

    #[test]
    fn damaged_parameter_sets_are_named() {
        let error = |hex: &str| Sps::parse(&from_hex(hex)).unwrap_err();
        assert_eq!(error("42"), Error::Truncated("SPS"));
        assert_eq!(error("4001010160"), Error::Invalid("SPS"));
        assert_eq!(error("4209010160"), Error::Invalid("SPS")); // a layer above the base
        assert_eq!(error("42010f0160"), Error::Invalid("sps_max_sub_layers_minus1"));
        assert_eq!(error("4201010160000003"), Error::Truncated("profile_tier_level"));
    }

    #[test]
    fn hvcc_is_that_of_ffmpeg() {
        let mut builder = AccessUnitBuilder::new(CodecKind::H265);
        for unit in nal::annex_b(include_bytes!("../testdata/x265_main_aud.h265")) {
            if builder.is_complete_before(unit) {
                break;
            }
            builder.push(unit).unwrap();
        }
        let unit = builder.finish().unwrap().unwrap();
        assert!(unit.key && is_irap(&unit.data));
        let Some(crate::CodecParameters::H265(parameters)) = unit.parameters else { panic!("no parameters") };
        assert_eq!((parameters.width, parameters.height), (130, 98));

        let golden: &[u8] = include_bytes!("../testdata/ffmpeg_hvcc.bin");
        let record = parse_hvcc(golden).unwrap();
        assert_eq!(record.length_size, 4);
        assert_eq!(record.units, [&parameters.vps, &parameters.sps, &parameters.pps]);
        // Segmentation and parallelism (bytes 13 to 15) are hints that we leave unknown.
        let mut ours = hvcc(&parameters).to_vec();
        ours[13..16].copy_from_slice(&golden[13..16]);
        assert_eq!(ours, golden);
        assert_eq!(parse_hvcc(&golden[..golden.len() - 1]), Err(Error::Truncated("parameter set")));
    }
}
