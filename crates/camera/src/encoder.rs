//! Pictures to H.264: openh264, one thread, constrained baseline.

use std::time::Duration;

use av::codec::access_unit::{AccessUnit, AccessUnitBuilder};
use av::codec::nal;
use av::{CodecKind, CodecParameters, H264Parameters, UnixMicros};
use openh264::OpenH264API;
use openh264::encoder::{
    BitRate, Complexity, EncoderConfig, FrameRate, IntraFramePeriod, Profile, QpRange, RateControlMode, UsageType,
    VuiConfig,
};
use openh264::formats::YUVSlices;

use crate::config::VideoConfig;
use crate::scene::Picture;
use crate::viewfinder::{Sight, Viewfinder};
use crate::{Error, marker};

/// An H.264 encoder for pictures of one size.
pub struct VideoEncoder {
    encoder: openh264::encoder::Encoder,
    units: AccessUnitBuilder,
}

impl VideoEncoder {
    /// An encoder that begins with a key frame.
    ///
    /// # Errors
    /// If the encoder refuses its configuration.
    pub fn new(config: &VideoConfig) -> Result<VideoEncoder, Error> {
        let settings = EncoderConfig::new()
            .usage_type(UsageType::CameraVideoRealTime)
            .profile(Profile::Baseline)
            .complexity(Complexity::Low)
            .num_threads(1)
            .rate_control_mode(RateControlMode::Bitrate)
            .bitrate(BitRate::from_bps(config.bitrate_bps))
            .max_frame_rate(FrameRate::from_hz(config.frame_rate as f32))
            .intra_frame_period(IntraFramePeriod::from_num_frames(config.gop_frames()))
            // Every picture carries a counter: none may be left out.
            .skip_frames(false)
            // A cut of the scene does not happen, and would put key frames where the GOP has none.
            .scene_change_detect(false)
            // Below 8 nobody sees a difference, above 40 the counter is in danger.
            .qp(QpRange::new(8, 40))
            .vui(VuiConfig::bt709());
        let mut encoder = openh264::encoder::Encoder::with_api_config(OpenH264API::from_source(), settings)?;
        silence(&mut encoder);
        Ok(VideoEncoder { encoder, units: AccessUnitBuilder::new(CodecKind::H264) })
    }

    /// Encodes the next picture, as a key frame if `key`.
    ///
    /// # Errors
    /// If the encoder fails or leaves the picture out.
    pub fn encode(&mut self, picture: &Picture, key: bool) -> Result<AccessUnit, Error> {
        if key {
            self.encoder.force_intra_frame();
        }
        let sizes = (picture.width, picture.height);
        let strides = (picture.width, picture.width / 2, picture.width / 2);
        let source = YUVSlices::new((&picture.y, &picture.u, &picture.v), sizes, strides);
        let stream = self.encoder.encode(&source)?;
        for layer in (0..stream.num_layers()).filter_map(|i| stream.layer(i)) {
            for unit in (0..layer.nal_count()).filter_map(|i| layer.nal_unit(i)).flat_map(nal::annex_b) {
                self.units.push(unit)?;
            }
        }
        self.units.finish()?.ok_or_else(|| Error::Encoder("a picture was left out".into()))
    }

    /// The parameter sets an encoder of this configuration makes, found by encoding a black picture.
    ///
    /// # Errors
    /// As [`VideoEncoder::encode`].
    pub fn parameters(config: &VideoConfig) -> Result<H264Parameters, Error> {
        let picture = Picture::new(config.width as usize, config.height as usize);
        match VideoEncoder::new(config)?.encode(&picture, true)?.parameters {
            Some(CodecParameters::H264(parameters)) => Ok(parameters),
            _ => Err(Error::Encoder("the first picture has no parameter sets".into())),
        }
    }
}

/// Keeps openh264 from writing to standard error: without frame skipping it warns, at every start,
/// that the bit rate is no promise, which we know.
#[allow(unsafe_code)]
fn silence(encoder: &mut openh264::encoder::Encoder) {
    /// `ENCODER_OPTION_TRACE_LEVEL` and `WELS_LOG_QUIET` of openh264's `codec_app_def.h`.
    const TRACE_LEVEL: std::ffi::c_int = 25;
    const QUIET: std::ffi::c_int = 0;
    let mut level = QUIET;
    // SAFETY: the encoder exists, this option is one of those allowed before initialisation, and its
    // value is an `int` that is copied during the call.
    let set = unsafe { encoder.raw_api().set_option(TRACE_LEVEL, (&raw mut level).cast()) };
    debug_assert_eq!(set, 0, "the option is known");
}

/// Viewfinder and encoder of one running stream.
pub struct Studio {
    viewfinder: Viewfinder,
    encoder: VideoEncoder,
}

impl Studio {
    /// Sets up for one stream.
    ///
    /// # Errors
    /// As [`VideoEncoder::new`].
    pub fn new(viewfinder: Viewfinder, video: &VideoConfig) -> Result<Studio, Error> {
        Ok(Studio { viewfinder, encoder: VideoEncoder::new(video)? })
    }

    /// Takes the picture with number `counter`: some 8 ms of work at 1280 × 720.
    ///
    /// # Errors
    /// As [`VideoEncoder::encode`].
    pub fn shoot(
        &mut self,
        elapsed: Duration,
        wall: UnixMicros,
        sight: &Sight,
        counter: u32,
        key: bool,
    ) -> Result<AccessUnit, Error> {
        let picture = self.viewfinder.draw(elapsed, wall, sight);
        marker::draw_counter(picture, counter);
        self.encoder.encode(picture, key)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use openh264::decoder::Decoder;
    use openh264::formats::YUVSource;

    use super::*;
    use crate::lens::Lens;
    use crate::marker::{read_counter, read_landmarks};
    use crate::ptz::Ptz;
    use crate::viewfinder::{Caption, Flip, LazyScene};

    fn studio(video: &VideoConfig) -> Studio {
        let caption = Caption { serial: "C12345678".into(), name: "Front gate".into(), utc_offset_minutes: 0 };
        let scene = LazyScene { seed: 7, drawn: Default::default() };
        Studio::new(Viewfinder::new(scene, caption, video.width, video.height), video).unwrap()
    }

    #[test]
    fn counter_and_landmarks_survive_encoding_while_the_camera_turns() {
        for video in [VideoConfig::MAIN, VideoConfig::SUB] {
            let mut studio = studio(&video);
            let parameters = VideoEncoder::parameters(&video).unwrap();
            assert_eq!((parameters.width, parameters.height), (video.width, video.height));
            let mut decoder = Decoder::new().unwrap();
            let mut ptz = Ptz::new();
            ptz.move_continuously(Duration::ZERO, crate::ptz::Axes { pan: Some(1.0), ..Default::default() }, None);
            let (mut bytes, mut last) = (0, 0.0);
            for n in 0..60u32 {
                let at = Duration::from_millis(u64::from(n) * 50);
                let (status, lens, flip) = (ptz.status(at), Lens::default(), Flip::default());
                let sight = Sight { status, lens, flip, mask: None };
                let wall = UnixMicros(1_795_466_467_000_000);
                let unit = studio.shoot(at, wall, &sight, n + 4_000_000_000, n == 17).unwrap();
                assert_eq!(unit.key, [0, 17, 57].contains(&n), "picture {n}");
                bytes += unit.data.len();
                let mut stream = Vec::new();
                if unit.key {
                    for set in [&parameters.sps, &parameters.pps] {
                        stream.extend([0, 0, 0, 1]);
                        stream.extend(set.iter());
                    }
                }
                stream.extend(nal::length_prefixed_to_annex_b(&unit.data).unwrap());
                let decoded = decoder.decode(&stream).unwrap().unwrap();
                let (width, height) = decoded.dimensions();
                let (luma_stride, chroma_stride, _) = decoded.strides();
                assert_eq!(read_counter(decoded.y(), width, height, luma_stride), Some(n + 4_000_000_000));
                let seen = read_landmarks(decoded.u(), decoded.v(), width / 2, height / 2, chroma_stride);
                let pan = crate::marker::estimate_view(&seen).unwrap().pan;
                assert!((pan - ptz.status(at).pan).abs() < 0.02, "picture {n}: {pan}, {:?}", ptz.status(at));
                assert!(pan >= last - 0.01);
                last = pan;
            }
            // Turning at full speed is the most expensive thing there is to see.
            let rate = bytes as f64 * 8.0 / 3.0;
            assert!(rate < f64::from(video.bitrate_bps) * 2.0, "{rate} bit/s");
        }
    }
}
