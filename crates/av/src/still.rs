//! One key frame as a JPEG.
//!
//! H.264 by `openh264`, H.265 by `rust_h265`. JPEG means full-range BT.601 (JFIF 1.02); what is coded
//! otherwise is converted.

use bytes::Bytes;
use jpeg_encoder::{Encoder, ImageBuffer, JpegColorType, SamplingFactor};
use openh264::formats::YUVSource;
use rust_h265::{DecodeLimits, PixelData};

use crate::codec::{VideoSignal, h264, h265, nal};
use crate::{CodecParameters, H264Parameters, H265Parameters};

/// Largest picture decoded, in pixels: 16 megapixels, twice what most cameras have. A picture takes
/// some 10 bytes a pixel while it is decoded.
pub const PIXELS_MAX: u64 = 16 << 20;
/// Largest key frame decoded, bytes.
pub const KEY_FRAME_MAX: usize = 8 << 20;
/// JPEG quality, of 100: hardly told from the original, a tenth of a byte or two a pixel.
const QUALITY: u8 = 85;

/// Why there is no still.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The track has no pictures.
    #[error("not a track of pictures")]
    NoVideo,
    /// The picture or its data is beyond our limits.
    #[error("the picture is too large")]
    TooLarge,
    /// The frame cannot be decoded: damaged, not a key frame, or a profile that the decoder lacks.
    #[error("cannot be decoded: {0}")]
    Undecodable(String),
}

/// Decodes one key frame ([`Frame::data`](crate::Frame)) of a track and writes it as a JPEG. Takes tens
/// of milliseconds, for large pictures hundreds: not for a thread that others wait for.
///
/// # Errors
/// [`Error`].
pub fn jpeg(parameters: &CodecParameters, key_frame: &[u8]) -> Result<Bytes, Error> {
    if key_frame.len() > KEY_FRAME_MAX {
        return Err(Error::TooLarge);
    }
    match parameters {
        CodecParameters::H264(parameters) => of_h264(parameters, key_frame),
        CodecParameters::H265(parameters) => of_h265(parameters, key_frame),
        CodecParameters::Aac(_) | CodecParameters::G711(_) => Err(Error::NoVideo),
    }
}

/// Writes a picture that was never coded as a JPEG: 4:2:0, limited-range BT.709, rows without gaps.
///
/// # Errors
/// [`Error::TooLarge`], or [`Error::Undecodable`] if a plane is shorter than its size says.
pub fn jpeg_of_i420(width: usize, height: usize, [y, cb, cr]: [&[u8]; 3]) -> Result<Bytes, Error> {
    let chroma = width.div_ceil(2);
    let planes = [(y, width), (cb, chroma), (cr, chroma)];
    let signal = VideoSignal { full_range: false, matrix: 1 };
    write(&Picture { width, height, halved: true, planes, convert: Convert::to_jpeg(signal) })
}

fn undecodable(why: impl std::fmt::Display) -> Error {
    Error::Undecodable(why.to_string())
}

fn fits(width: u32, height: u32) -> Result<(), Error> {
    // JPEG has 16 bits for a side.
    let too_large = u64::from(width) * u64::from(height) > PIXELS_MAX || width.max(height) > u16::MAX.into();
    if too_large { Err(Error::TooLarge) } else { Ok(()) }
}

fn of_h264(parameters: &H264Parameters, key_frame: &[u8]) -> Result<Bytes, Error> {
    fits(parameters.width, parameters.height)?;
    let sps = h264::Sps::parse(&parameters.sps).map_err(undecodable)?;
    let mut stream = Vec::with_capacity(key_frame.len() + 256);
    for set in [&parameters.sps, &parameters.pps] {
        stream.extend_from_slice(&[0, 0, 0, 1]);
        stream.extend_from_slice(set);
    }
    // The decoder would follow an SPS inside the frame to any size.
    for unit in nal::length_prefixed(key_frame) {
        let unit = unit.map_err(undecodable)?;
        if h264::unit_type(unit) != h264::nal_type::SPS {
            stream.extend_from_slice(&[0, 0, 0, 1]);
            stream.extend_from_slice(unit);
        }
    }
    let mut decoder = openh264::decoder::Decoder::new().map_err(undecodable)?;
    let picture = decoder.decode(&stream).map_err(undecodable)?.ok_or_else(|| undecodable("no picture came out"))?;
    let (width, height) = picture.dimensions();
    let (y_stride, u_stride, v_stride) = picture.strides();
    write(&Picture {
        width,
        height,
        halved: true,
        planes: [(picture.y(), y_stride), (picture.u(), u_stride), (picture.v(), v_stride)],
        convert: Convert::to_jpeg(sps.signal),
    })
}

fn of_h265(parameters: &H265Parameters, key_frame: &[u8]) -> Result<Bytes, Error> {
    fits(parameters.width, parameters.height)?;
    let sps = h265::Sps::parse(&parameters.sps).map_err(undecodable)?;
    let limits = DecodeLimits { max_picture_pixels: PIXELS_MAX, ..DecodeLimits::default() };
    let mut decoder = rust_h265::Decoder::with_limits(limits);
    let mut sets = Vec::new();
    for set in [&parameters.vps, &parameters.sps, &parameters.pps] {
        nal::put_length_prefixed(&mut sets, set);
    }
    let mut picture = None;
    for unit in rust_h265::parse_hvcc(&sets, 4).iter().chain(&rust_h265::parse_hvcc(key_frame, 4)) {
        let done = decoder.decode_nal(unit).map_err(|error| undecodable(format!("{error:?}")))?;
        picture = picture.or(done);
    }
    let picture = picture.or_else(|| decoder.flush()).ok_or_else(|| undecodable("no picture came out"))?;
    let planes = [&picture.y, &picture.u, &picture.v].map(|plane| eight_bits(plane, picture.bit_depth));
    let halved = picture.chroma_format_idc == 1;
    let (width, height) = (picture.width as usize, picture.height as usize);
    let chroma_width = if halved { width.div_ceil(2) } else { width };
    write(&Picture {
        width,
        height,
        halved,
        planes: [(&planes[0], width), (&planes[1], chroma_width), (&planes[2], chroma_width)],
        convert: Convert::to_jpeg(sps.signal),
    })
}

/// The samples of a plane, the low bits of a deeper one left out.
fn eight_bits(plane: &PixelData, depth: u8) -> Vec<u8> {
    match plane {
        PixelData::U8(samples) => samples.clone(),
        PixelData::U16(samples) => samples.iter().map(|sample| (sample >> depth.saturating_sub(8)) as u8).collect(),
    }
}

/// A decoded picture: Y, Cb and Cr, each with its stride.
struct Picture<'a> {
    width: usize,
    height: usize,
    /// 4:2:0; else 4:4:4.
    halved: bool,
    planes: [(&'a [u8], usize); 3],
    convert: Convert,
}

fn write(picture: &Picture<'_>) -> Result<Bytes, Error> {
    fits(picture.width as u32, picture.height as u32)?;
    let shift = usize::from(picture.halved);
    for (plane, &(samples, stride)) in picture.planes.iter().enumerate() {
        let shift = if plane == 0 { 0 } else { shift };
        let (columns, rows) = (picture.width.div_ceil(1 << shift), picture.height.div_ceil(1 << shift));
        if samples.len() + stride < rows * stride + columns {
            return Err(undecodable("the decoder gave less than a picture"));
        }
    }
    let mut out = Vec::with_capacity(picture.width * picture.height / 4);
    let mut encoder = Encoder::new(&mut out, QUALITY);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.encode_image(picture).map_err(undecodable)?;
    Ok(out.into())
}

impl ImageBuffer for &Picture<'_> {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        JpegColorType::Ycbcr
    }

    fn width(&self) -> u16 {
        self.width as u16
    }

    fn height(&self) -> u16 {
        self.height as u16
    }

    fn fill_buffers(&self, row: u16, buffers: &mut [Vec<u8>; 4]) {
        let shift = usize::from(self.halved);
        let line = |plane: usize, shift: usize| {
            let (samples, stride) = self.planes[plane];
            &samples[(usize::from(row) >> shift) * stride..]
        };
        let (y, cb, cr) = (line(0, 0), line(1, shift), line(2, shift));
        for column in 0..self.width {
            let color = self.convert.color([y[column], cb[column >> shift], cr[column >> shift]]);
            for (buffer, sample) in buffers.iter_mut().zip(color) {
                buffer.push(sample);
            }
        }
    }
}

/// What makes a video's YCbCr into that of JPEG; in 1/65,536.
struct Convert {
    black: i32,
    luma: i32,
    /// Y, Cb and Cr, each of the Cb and Cr of the other matrix, beside itself.
    mix: [[i32; 2]; 3],
}

impl Convert {
    const ONE: f64 = 65_536.0;

    fn to_jpeg(signal: VideoSignal) -> Convert {
        let fixed = |factor: f64| (factor * Self::ONE).round() as i32;
        let (black, luma, chroma) = if signal.full_range { (0, 1.0, 1.0) } else { (16, 255.0 / 219.0, 255.0 / 224.0) };
        // BT.709 to R'G'B' and back by BT.601 (the matrices of H.273 table 4, values 1 and 6).
        let mix = match signal.matrix {
            1 => [[0.101_579, 0.196_076], [0.989_854, -0.110_653], [-0.072_453, 0.983_398]],
            _ => [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]],
        };
        let mix = mix.map(|row: [f64; 2]| row.map(|factor| fixed(factor * chroma)));
        Convert { black, luma: fixed(luma), mix }
    }

    fn color(&self, [y, cb, cr]: [u8; 3]) -> [u8; 3] {
        let (cb, cr) = (i32::from(cb) - 128, i32::from(cr) - 128);
        let [to_y, to_cb, to_cr] = self.mix.map(|[of_cb, of_cr]| of_cb * cb + of_cr * cr);
        let whole = |fixed: i32| ((fixed + (1 << 15)) >> 16).clamp(0, 255) as u8;
        [whole((i32::from(y) - self.black) * self.luma + to_y), whole(to_cb + (128 << 16)), whole(to_cr + (128 << 16))]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::codec::access_unit::AccessUnitBuilder;
    use crate::{CodecKind, G711Law, G711Parameters};

    /// The first access unit of an Annex B stream.
    fn first(codec: CodecKind, stream: &[u8]) -> (CodecParameters, Bytes) {
        let mut builder = AccessUnitBuilder::new(codec);
        for unit in nal::annex_b(stream) {
            if builder.is_complete_before(unit) {
                break;
            }
            builder.push(unit).unwrap();
        }
        let unit = builder.finish().unwrap().unwrap();
        assert!(unit.key);
        (unit.parameters.unwrap(), unit.data)
    }

    /// Red and green above blue and light grey, 76 × 44, coded by ffmpeg with each matrix and range.
    const QUADRANTS: [(CodecKind, &[u8]); 3] = [
        (CodecKind::H264, include_bytes!("testdata/quadrants_bt709.h264")),
        (CodecKind::H264, include_bytes!("testdata/quadrants_bt601_full.h264")),
        (CodecKind::H265, include_bytes!("testdata/quadrants_bt709_10bit.h265")),
    ];

    #[test]
    fn colours_are_those_that_were_coded_and_where_they_were() {
        for (at, (codec, stream)) in QUADRANTS.into_iter().enumerate() {
            let (parameters, data) = first(codec, stream);
            let still = jpeg(&parameters, &data).unwrap();
            let mut decoder = jpeg_decoder::Decoder::new(&still[..]);
            let pixels = decoder.decode().unwrap();
            let info = decoder.info().unwrap();
            assert_eq!((info.width, info.height), (76, 44), "stream {at}");
            let colours = [[0xC0, 0x20, 0x20], [0x20, 0xA0, 0x40], [0x20, 0x40, 0xD0], [0xE0, 0xE0, 0xE0]];
            // Near the outer corners, where a wrong stride or height shows most.
            for ((x, y), expected) in [(4, 4), (71, 4), (4, 39), (71, 39)].into_iter().zip(colours) {
                let pixel = &pixels[(y * 76 + x) * 3..][..3];
                let off = pixel.iter().zip(expected).map(|(is, should)| is.abs_diff(should)).max();
                assert!(off <= Some(6), "stream {at} at {x}, {y}: {pixel:?} is not {expected:?}");
            }
        }
    }

    #[test]
    fn streams_with_slices_and_delimiters_have_stills() {
        let streams: [(CodecKind, &[u8]); 2] = [
            (CodecKind::H264, include_bytes!("testdata/x264_slices_aud.h264")),
            (CodecKind::H265, include_bytes!("testdata/x265_main_aud.h265")),
        ];
        for (codec, stream) in streams {
            let (parameters, data) = first(codec, stream);
            let still = jpeg(&parameters, &data).unwrap();
            assert!(still.starts_with(&[0xFF, 0xD8]) && still.ends_with(&[0xFF, 0xD9]));
        }
    }

    #[test]
    fn what_gives_no_still_is_told_apart() {
        let (CodecKind::H264, stream) = QUADRANTS[0] else { unreachable!() };
        let (parameters, data) = first(CodecKind::H264, stream);
        let sound = CodecParameters::G711(G711Parameters { law: G711Law::A, sample_rate: 8_000, channels: 1 });
        assert_eq!(jpeg(&sound, &data), Err(Error::NoVideo));
        assert_eq!(jpeg(&parameters, &vec![0; KEY_FRAME_MAX + 1]), Err(Error::TooLarge));
        assert!(matches!(jpeg(&parameters, &[]), Err(Error::Undecodable(_))));
        assert!(matches!(jpeg(&parameters, &[0, 0, 0, 9, 1]), Err(Error::Undecodable(_))));
        let CodecParameters::H264(mut large) = parameters else { unreachable!() };
        (large.width, large.height) = (8_192, 8_192);
        assert_eq!(jpeg(&CodecParameters::H264(large), &data), Err(Error::TooLarge));
    }
}
