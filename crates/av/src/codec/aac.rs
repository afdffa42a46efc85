//! AAC: AudioSpecificConfig, ADTS, and an encoder.
//!
//! Follows ISO/IEC 14496-3 §1.6.2.1 (AudioSpecificConfig), §4.4.1 (GASpecificConfig), §1.A.3.2 (ADTS).
//! Object types 1 to 4 (Main, LC, SSR, LTP), alone or as the core of SBR and PS. Rates and channels
//! are always the core's: a decoder that knows SBR doubles the rate by itself, and a frame of 1024
//! samples counts on the core's clock.

mod encoder;

use bytes::Bytes;

pub use encoder::{AacEncoder, ENCODER_DELAY, EncodeError};

use super::Error;
use super::bits::BitReader;
use crate::AacParameters;

/// AAC Low Complexity, what cameras send.
pub const OBJECT_TYPE_LC: u8 = 2;

/// Samples of a frame in each channel, at the core's rate.
pub const SAMPLES_PER_FRAME: u32 = 1024;

/// Bytes of an ADTS header without CRC.
pub const ADTS_HEADER: usize = 7;

/// Largest AudioSpecificConfig taken; a program config element with comment fits.
const CONFIG_MAX: usize = 512;

/// Table 1.18; the index is `samplingFrequencyIndex`.
const FREQUENCIES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

/// `samplingFrequencyIndex` of an explicit 24-bit frequency.
const EXPLICIT_FREQUENCY: u32 = 15;

const SBR: u32 = 5;
const PS: u32 = 29;

/// Channels of `channelConfiguration`, table 1.19; `None` for reserved values and for 0, where a
/// program config element tells.
fn channels_of(configuration: u8) -> Option<u8> {
    match configuration {
        1..=6 => Some(configuration),
        11 => Some(7),
        7 | 12 | 14 => Some(8),
        _ => None,
    }
}

/// What an AudioSpecificConfig says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioSpecificConfig {
    /// `audioObjectType` of the core: 1 Main, 2 LC, 3 SSR, 4 LTP.
    pub object_type: u8,
    /// Samples a second of the core, above 0.
    pub sample_rate: u32,
    /// `channelConfiguration`; 0 when a program config element lists the channels.
    pub channel_configuration: u8,
    /// Channels of the core, 1 to 8.
    pub channels: u8,
    /// Samples a second after spectral band replication, when it is signalled.
    pub sbr_sample_rate: Option<u32>,
}

impl AudioSpecificConfig {
    /// Parses a configuration with hierarchical, backward-compatible or no signalling of SBR.
    ///
    /// # Errors
    /// When it is cut, a field is reserved, or the codec is not one of object types 1 to 4.
    pub fn parse(config: &[u8]) -> Result<Self, Error> {
        if config.len() > CONFIG_MAX {
            return Err(Error::TooLarge { what: "AudioSpecificConfig", max: CONFIG_MAX });
        }
        let mut r = BitReader::new(config);
        let mut object_type = read_object_type(&mut r)?;
        let sample_rate = frequency(&mut r)?;
        let channel_configuration = r.bits(4, "channelConfiguration")? as u8;
        let mut sbr_sample_rate = None;
        if matches!(object_type, SBR | PS) {
            sbr_sample_rate = Some(frequency(&mut r)?);
            object_type = read_object_type(&mut r)?;
        }
        if !(1..=4).contains(&object_type) {
            return Err(Error::Unsupported("audioObjectType"));
        }
        r.skip(1, "frameLengthFlag")?;
        if r.flag("dependsOnCoreCoder")? {
            r.skip(14, "coreCoderDelay")?;
        }
        // extensionFlag: object types 1 to 4 have nothing behind it.
        r.skip(1, "extensionFlag")?;
        let channels = match channel_configuration {
            0 => program_config_channels(&mut r)?,
            listed => channels_of(listed).ok_or(Error::Invalid("channelConfiguration"))?,
        };
        if sbr_sample_rate.is_none() {
            sbr_sample_rate = sync_extension(&mut r);
        }
        Ok(AudioSpecificConfig {
            object_type: object_type as u8,
            sample_rate,
            channel_configuration,
            channels,
            sbr_sample_rate,
        })
    }

    /// The codec string of RFC 6381 §3.3: `mp4a.40.2` for LC, `.5` with SBR signalled.
    pub fn codec_string(&self) -> String {
        let object_type = if self.sbr_sample_rate.is_some() { SBR as u8 } else { self.object_type };
        format!("mp4a.40.{object_type}")
    }
}

fn read_object_type(r: &mut BitReader<'_>) -> Result<u32, Error> {
    match r.bits(5, "audioObjectType")? {
        31 => Ok(32 + r.bits(6, "audioObjectTypeExt")?),
        object_type => Ok(object_type),
    }
}

fn frequency(r: &mut BitReader<'_>) -> Result<u32, Error> {
    let hz = match r.bits(4, "samplingFrequencyIndex")? {
        EXPLICIT_FREQUENCY => r.bits(24, "samplingFrequency")?,
        index => *FREQUENCIES.get(index as usize).ok_or(Error::Invalid("samplingFrequencyIndex"))?,
    };
    if hz == 0 { Err(Error::Invalid("samplingFrequency")) } else { Ok(hz) }
}

/// Channels of a program_config_element, §4.4.1.1.
fn program_config_channels(r: &mut BitReader<'_>) -> Result<u8, Error> {
    let what = "program_config_element";
    r.skip(10, what)?; // element_instance_tag, object_type, sampling_frequency_index
    let mut groups = [0; 3]; // front, side, back
    for group in &mut groups {
        *group = r.bits(4, what)?;
    }
    let low_frequency = r.bits(2, what)?;
    let (data, coupling) = (r.bits(3, what)?, r.bits(4, what)?);
    for mixdown_bits in [4, 4, 3] {
        if r.flag(what)? {
            r.skip(mixdown_bits, what)?;
        }
    }
    let mut channels = low_frequency;
    for _ in 0..groups.iter().sum::<u32>() {
        channels += 1 + u32::from(r.flag(what)?); // a channel pair or a single channel
        r.skip(4, what)?;
    }
    r.skip((4 * low_frequency + 4 * data + 5 * coupling) as usize, what)?;
    r.skip(r.remaining() % 8, what)?; // byte_alignment counts from the start of the config
    let comment = r.bits(8, what)?;
    r.skip(8 * comment as usize, what)?;
    if (1..=8).contains(&channels) { Ok(channels as u8) } else { Err(Error::Unsupported("number of channels")) }
}

/// Backward-compatible signalling behind the configuration, §1.6.6.1. What does not look like it is
/// padding.
fn sync_extension(r: &mut BitReader<'_>) -> Option<u32> {
    let is_sbr = r.bits(11, "syncExtensionType").ok()? == 0x2B7
        && read_object_type(r).ok()? == SBR
        && r.flag("sbrPresentFlag").ok()?;
    if is_sbr { frequency(r).ok() } else { None }
}

/// Checks a configuration and reads rate and channels from it.
///
/// # Errors
/// As [`AudioSpecificConfig::parse`].
pub fn parameters(config: Bytes) -> Result<AacParameters, Error> {
    let AudioSpecificConfig { sample_rate, channels, .. } = AudioSpecificConfig::parse(&config)?;
    Ok(AacParameters { config, sample_rate, channels })
}

/// Writes a configuration of object type 1 to 4 (see [`OBJECT_TYPE_LC`]), frames of 1024 samples.
///
/// # Errors
/// When the object type, the rate (1 to 2²⁴−1 Hz) or the channels (1 to 8) cannot be written.
pub fn config(object_type: u8, sample_rate: u32, channels: u8) -> Result<Bytes, Error> {
    if !(1..=4).contains(&object_type) {
        return Err(Error::Unsupported("audioObjectType"));
    }
    let channel_configuration = match channels {
        1..=6 => channels,
        7 => 11,
        8 => 7,
        _ => return Err(Error::Unsupported("number of channels")),
    };
    let (object_type, tail) = (u64::from(object_type), u64::from(channel_configuration) << 3);
    match FREQUENCIES.iter().position(|&hz| hz == sample_rate) {
        Some(index) => {
            let bits = object_type << 11 | (index as u64) << 7 | tail;
            Ok(Bytes::copy_from_slice(&bits.to_be_bytes()[6..]))
        }
        None if (1..1 << 24).contains(&sample_rate) => {
            let bits = object_type << 35 | u64::from(EXPLICIT_FREQUENCY) << 31 | u64::from(sample_rate) << 7 | tail;
            Ok(Bytes::copy_from_slice(&bits.to_be_bytes()[3..]))
        }
        None => Err(Error::Invalid("sample rate")),
    }
}

/// An ADTS header, §1.A.3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdtsHeader {
    /// `audioObjectType`, 1 to 4.
    pub object_type: u8,
    /// Samples a second.
    pub sample_rate: u32,
    /// Channels, 1 to 8.
    pub channels: u8,
    /// Bytes of the header, with CRC where there is one: 7 or 9.
    pub header_len: usize,
    /// Bytes of the frame, header included; not less than `header_len`.
    pub frame_len: usize,
}

impl AdtsHeader {
    /// Parses the header at the start of `data`, which need not hold the whole frame.
    ///
    /// # Errors
    /// When it is cut or no ADTS header; several raw data blocks in a frame and channels listed in
    /// the payload are not supported.
    pub fn parse(data: &[u8]) -> Result<Self, Error> {
        let header = data.get(..ADTS_HEADER).ok_or(Error::Truncated("ADTS header"))?;
        let mut r = BitReader::new(header);
        if r.bits(12, "syncword")? != 0xFFF {
            return Err(Error::Invalid("syncword of ADTS"));
        }
        r.skip(1, "ID")?;
        if r.bits(2, "layer")? != 0 {
            return Err(Error::Invalid("layer of ADTS"));
        }
        let header_len = if r.flag("protection_absent")? { ADTS_HEADER } else { ADTS_HEADER + 2 };
        let object_type = r.bits(2, "profile_ObjectType")? as u8 + 1;
        let frequency_index = r.bits(4, "sampling_frequency_index")? as usize;
        let sample_rate = *FREQUENCIES.get(frequency_index).ok_or(Error::Invalid("sampling_frequency_index"))?;
        r.skip(1, "private_bit")?;
        let channels = channels_of(r.bits(3, "channel_configuration")? as u8)
            .ok_or(Error::Unsupported("channels in the payload"))?;
        r.skip(4, "original_copy, home and copyright bits")?;
        let frame_len = r.bits(13, "aac_frame_length")? as usize;
        if frame_len < header_len {
            return Err(Error::Invalid("aac_frame_length"));
        }
        r.skip(11, "adts_buffer_fullness")?;
        if r.bits(2, "number_of_raw_data_blocks_in_frame")? != 0 {
            return Err(Error::Unsupported("several raw data blocks in an ADTS frame"));
        }
        Ok(AdtsHeader { object_type, sample_rate, channels, header_len, frame_len })
    }

    /// The configuration that this header stands for.
    pub fn parameters(&self) -> AacParameters {
        let config = config(self.object_type, self.sample_rate, self.channels).expect("a parsed header is in range");
        AacParameters { config, sample_rate: self.sample_rate, channels: self.channels }
    }
}

/// Whether bytes begin with the syncword and layer of ADTS, as a raw data block of a camera never does.
pub fn looks_like_adts(data: &[u8]) -> bool {
    matches!(data, [0xFF, second, ..] if second & 0xF6 == 0xF0)
}

/// Splits one ADTS frame off the front: its header and raw data block.
///
/// # Errors
/// As [`AdtsHeader::parse`], and [`Error::Truncated`] when the frame goes on behind `data`.
pub fn split_adts(data: &mut Bytes) -> Result<(AdtsHeader, Bytes), Error> {
    let header = AdtsHeader::parse(data)?;
    if data.len() < header.frame_len {
        return Err(Error::Truncated("ADTS frame"));
    }
    let frame = data.split_to(header.frame_len);
    Ok((header, frame.slice(header.header_len..)))
}

/// Writes the ADTS header (without CRC) of a raw data block of `payload_len` bytes.
///
/// # Errors
/// When the configuration cannot be said in ADTS (a rate off the table, more than 7 channels listed
/// by number) or the frame exceeds 8191 bytes.
pub fn adts_header(parameters: &AacParameters, payload_len: usize) -> Result<[u8; ADTS_HEADER], Error> {
    let config = AudioSpecificConfig::parse(&parameters.config)?;
    let index = FREQUENCIES.iter().position(|&hz| hz == config.sample_rate);
    let index = index.ok_or(Error::Unsupported("sample rate in ADTS"))? as u64;
    let channels = match config.channel_configuration {
        channels @ 1..=7 => u64::from(channels),
        _ => return Err(Error::Unsupported("channel configuration in ADTS")),
    };
    let frame_len = payload_len.saturating_add(ADTS_HEADER);
    if frame_len >= 1 << 13 {
        return Err(Error::TooLarge { what: "ADTS frame", max: (1 << 13) - 1 });
    }
    let bits = 0xFFF1 << 40 // syncword, MPEG-4, layer 0, no CRC
        | u64::from(config.object_type - 1) << 38
        | index << 34
        | channels << 30
        | (frame_len as u64) << 13
        | 0x7FF << 2; // adts_buffer_fullness: variable rate
    let bytes = bits.to_be_bytes();
    Ok([bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn usual_configurations() {
        let lc = AudioSpecificConfig::parse(&[0x12, 0x10]).unwrap();
        assert_eq!((lc.object_type, lc.sample_rate, lc.channels), (2, 44_100, 2));
        assert_eq!(lc.codec_string(), "mp4a.40.2");
        let camera = AudioSpecificConfig::parse(&[0x14, 0x08]).unwrap();
        assert_eq!((camera.sample_rate, camera.channels, camera.sbr_sample_rate), (16_000, 1, None));
    }

    #[test]
    fn sbr_hierarchical_and_backward_compatible() {
        // 5 (SBR), 24 kHz, stereo, extension 48 kHz, core LC.
        let explicit = AudioSpecificConfig::parse(&[0x2B, 0x11, 0x88, 0x00]).unwrap();
        assert_eq!((explicit.object_type, explicit.sample_rate), (2, 24_000));
        assert_eq!((explicit.channels, explicit.sbr_sample_rate), (2, Some(48_000)));
        assert_eq!(explicit.codec_string(), "mp4a.40.5");
        // LC 24 kHz stereo, then 0x2B7, object type 5, present, 48 kHz.
        let appended = AudioSpecificConfig::parse(&[0x13, 0x10, 0x56, 0xE5, 0x98]).unwrap();
        assert_eq!((appended.sample_rate, appended.sbr_sample_rate), (24_000, Some(48_000)));
    }

    #[test]
    fn channels_of_a_program_config_element() {
        // LC, 48 kHz, configuration 0; PCE: one front pair, one front single, one back pair, one LFE.
        let mut bits = String::from("00010 0011 0000 000 0000 01 0011 0010 0000 0001 01 000 0000 000");
        bits += " 1 0000 0 0000 1 0001 0000";
        let mut bits: String = bits.split_whitespace().collect();
        while !bits.len().is_multiple_of(8) {
            bits.push('0');
        }
        bits += "00000000";
        let bytes: Vec<u8> = bits
            .as_bytes()
            .chunks(8)
            .map(|b| u8::from_str_radix(std::str::from_utf8(b).unwrap(), 2).unwrap())
            .collect();
        assert_eq!(AudioSpecificConfig::parse(&bytes).unwrap().channels, 6);
    }

    #[test]
    fn what_is_not_carried_is_named() {
        assert_eq!(AudioSpecificConfig::parse(&[]), Err(Error::Truncated("audioObjectType")));
        // 23, ER AAC LD
        assert_eq!(AudioSpecificConfig::parse(&[0xBA, 0x08, 0, 0]), Err(Error::Unsupported("audioObjectType")));
        assert_eq!(AudioSpecificConfig::parse(&[0x17, 0x08]), Err(Error::Invalid("samplingFrequencyIndex")));
        assert_eq!(AdtsHeader::parse(&[0xFF, 0xF1, 0x6C]), Err(Error::Truncated("ADTS header")));
        assert_eq!(AdtsHeader::parse(&[0xFF, 0xFB, 0, 0, 0, 0, 0]), Err(Error::Invalid("layer of ADTS")));
        // A frame length shorter than its header must not loop forever.
        assert_eq!(
            AdtsHeader::parse(&[0xFF, 0xF1, 0x50, 0x80, 0x00, 0x1F, 0xFC]),
            Err(Error::Invalid("aac_frame_length"))
        );
    }

    proptest! {
        #[test]
        fn config_round_trips(object_type in 1u8..=4, rate in prop_oneof![prop::sample::select(&FREQUENCIES[..]), 1u32..1 << 24], channels in 1u8..=8) {
            let parsed = AudioSpecificConfig::parse(&config(object_type, rate, channels).unwrap()).unwrap();
            prop_assert_eq!((parsed.object_type, parsed.sample_rate, parsed.channels), (object_type, rate, channels));
            prop_assert_eq!(parsed.sbr_sample_rate, None);
        }

        #[test]
        fn adts_round_trips(object_type in 1u8..=4, rate in prop::sample::select(&FREQUENCIES[..]), channels in 1u8..=6, payload in prop::collection::vec(any::<u8>(), 0..300), rest in prop::collection::vec(any::<u8>(), 0..9)) {
            let parameters = parameters(config(object_type, rate, channels).unwrap()).unwrap();
            let mut stream = adts_header(&parameters, payload.len()).unwrap().to_vec();
            prop_assert!(looks_like_adts(&stream));
            stream.extend(&payload);
            stream.extend(&rest);
            let mut stream = Bytes::from(stream);
            let (header, raw) = split_adts(&mut stream).unwrap();
            prop_assert_eq!(header.parameters(), parameters);
            prop_assert_eq!(raw, payload);
            prop_assert_eq!(stream, rest);
        }
    }
}
