//! Media, version 2: the same profiles in its words, and the privacy mask, of which a channel has one,
//! a rectangle.

use std::sync::Arc;

use proto::onvif::Fault;
use proto::onvif::media2::*;
use proto::onvif::schema::{
    AudioEncoder2Configuration, AudioEncoding, Color, ColorOptions, Polygon, Profile, Vector,
    VideoEncoder2Configuration, VideoRateControl2,
};

use super::{Call, SOURCE, document, no_configuration};
use crate::channel::{self, Channel};
use crate::config::Quality;
use crate::http::{Site, still_url};
use crate::token;
use crate::viewfinder::Area;

/// Stem of the tokens of masks.
const MASK: &str = "mask";
/// Configurations that profiles have.
const KINDS: [&str; 7] =
    ["VideoSource", "AudioSource", "VideoEncoder", "AudioEncoder", "PTZ", "AudioOutput", "AudioDecoder"];
/// The one type of mask.
const KIND: &str = "Color";

impl Site {
    pub(super) fn media2(&self, request: Request, call: &Call<'_>) -> Result<String, Fault> {
        let source = |token: &str| self.channel_of(token, SOURCE).ok_or_else(no_configuration);
        let masked = |token: &str| {
            let channel = self.channel_of(token, MASK).ok_or_else(no_mask)?;
            Ok::<_, Fault>((channel, channel.privacy_mask().ok_or_else(no_mask)?))
        };
        Ok(match request {
            Request::GetServiceCapabilities(_) => {
                let capabilities = Media2ServiceCapabilities {
                    snapshot_uri: Some(true),
                    rotation: Some(true),
                    mask: Some(true),
                    profile: ProfileCapabilities {
                        maximum_number_of_profiles: Some(self.profiles().count() as i32),
                        configurations_supported: Some(KINDS.join(" ")),
                    },
                    streaming: StreamingCapabilities {
                        rtsp_streaming: Some(true),
                        rtp_multicast: Some(false),
                        rtp_rtsp_tcp: Some(true),
                    },
                };
                document(&GetServiceCapabilitiesResponse { capabilities })
            }
            Request::GetProfiles(GetProfiles { token, kinds }) => {
                let profiles = match &token {
                    Some(token) => vec![self.profile_of(token)?],
                    None => self.profiles().collect(),
                };
                let profile = |(channel, quality): (&Arc<Channel>, Quality)| {
                    in_these_words(self.profile(channel, quality), &kinds)
                };
                document(&GetProfilesResponse { profiles: profiles.into_iter().map(profile).collect() })
            }
            Request::GetStreamUri(ask) => {
                let (channel, quality) = self.profile_of(&ask.profile_token)?;
                if !["RtspUnicast", "RTSP"].contains(&&*ask.protocol) {
                    let codes = ["InvalidArgVal", "InvalidStreamSetup"];
                    return Err(Fault::sender(&codes, "there is RTSP, to one receiver"));
                }
                document(&GetStreamUriResponse { uri: self.stream_url(call, channel, quality) })
            }
            Request::GetSnapshotUri(ask) => {
                let (channel, quality) = self.profile_of(&ask.profile_token)?;
                document(&GetSnapshotUriResponse { uri: still_url(call.host, channel, quality) })
            }
            Request::SetSynchronizationPoint(ask) => {
                let (channel, quality) = self.profile_of(&ask.profile_token)?;
                channel.request_key_frame(quality);
                document(&SetSynchronizationPointResponse {})
            }
            Request::GetMasks(GetMasks { token: Some(token), .. }) => {
                let (channel, mask) = masked(&token)?;
                document(&GetMasksResponse { masks: vec![described(channel, mask)] })
            }
            Request::GetMasks(GetMasks { configuration_token, token: None }) => {
                let channels = match &configuration_token {
                    Some(token) => std::slice::from_ref(source(token)?),
                    None => &self.channels[..],
                };
                let mask = |channel: &Arc<Channel>| Some(described(channel, channel.privacy_mask()?));
                document(&GetMasksResponse { masks: channels.iter().filter_map(mask).collect() })
            }
            Request::GetMaskOptions(ask) => {
                source(&ask.configuration_token)?;
                let options = MaskOptions {
                    rectangle_only: Some(true),
                    single_color_only: Some(true),
                    max_masks: 1,
                    max_points: 4,
                    types: vec![KIND.into()],
                    color: Some(ColorOptions { colors: vec![black()] }),
                };
                document(&GetMaskOptionsResponse { options })
            }
            Request::CreateMask(CreateMask { mask }) => {
                let channel = source(&mask.configuration_token)?;
                let wanted = understood(&mask)?;
                if channel.privacy_mask().is_some() {
                    return Err(Fault::receiver(&["Action", "MaxMasks"], "there is a mask already"));
                }
                channel.set_privacy_mask(Some(wanted));
                document(&CreateMaskResponse { token: token::of(MASK, channel.number()) })
            }
            Request::SetMask(SetMask { mask }) => {
                let (channel, _) = masked(mask.token.as_deref().unwrap_or_default())?;
                if source(&mask.configuration_token)?.number() != channel.number() {
                    return Err(no_configuration());
                }
                channel.set_privacy_mask(Some(understood(&mask)?));
                document(&SetMaskResponse {})
            }
            Request::DeleteMask(ask) => {
                masked(&ask.token)?.0.set_privacy_mask(None);
                document(&DeleteMaskResponse {})
            }
        })
    }
}

/// A profile of version 1 with those configurations that were asked for.
fn in_these_words(profile: Profile, kinds: &[String]) -> MediaProfile {
    let wanted = |name: &str| kinds.iter().any(|kind| kind == name || kind == "All");
    let Profile { token, fixed, name, video_source, audio_source, video_encoder, audio_encoder, ptz, extension } =
        profile;
    let video_encoder = video_encoder.map(|encoder| VideoEncoder2Configuration {
        token: encoder.token,
        gov_length: encoder.h264.map(|h264| h264.gov_length),
        profile: Some("Baseline".into()),
        name: encoder.name,
        use_count: encoder.use_count,
        encoding: "H264".into(),
        resolution: encoder.resolution,
        rate_control: encoder.rate_control.map(|rate| VideoRateControl2 {
            constant_bitrate: None,
            frame_rate_limit: rate.frame_rate_limit as f32,
            bitrate_limit: rate.bitrate_limit,
        }),
        quality: encoder.quality,
    });
    let audio_encoder = audio_encoder.map(|encoder| AudioEncoder2Configuration {
        token: encoder.token,
        name: encoder.name,
        use_count: encoder.use_count,
        encoding: if encoder.encoding == AudioEncoding::G711 { "PCMA" } else { "MPEG4-GENERIC" }.into(),
        bitrate: encoder.bitrate,
        sample_rate: encoder.sample_rate,
    });
    let (audio_output, audio_decoder) =
        extension.map_or((None, None), |extension| (extension.audio_output, extension.audio_decoder));
    let configurations = ConfigurationSet {
        video_source: video_source.filter(|_| wanted("VideoSource")),
        audio_source: audio_source.filter(|_| wanted("AudioSource")),
        video_encoder: video_encoder.filter(|_| wanted("VideoEncoder")),
        audio_encoder: audio_encoder.filter(|_| wanted("AudioEncoder")),
        ptz: ptz.filter(|_| wanted("PTZ")),
        audio_output: audio_output.filter(|_| wanted("AudioOutput")),
        audio_decoder: audio_decoder.filter(|_| wanted("AudioDecoder")),
    };
    MediaProfile { token, fixed, name, configurations: (!kinds.is_empty()).then_some(configurations) }
}

fn no_mask() -> Fault {
    Fault::sender(&["InvalidArgVal", "NoConfig"], "no such mask")
}

/// Black, in YCbCr.
fn black() -> Color {
    Color { x: 16.0, y: 128.0, z: 128.0, colorspace: Some("http://www.onvif.org/ver10/colorspace/YCbCr".into()) }
}

fn described(channel: &Channel, mask: channel::Mask) -> Mask {
    let Area { left, top, right, bottom } = mask.area;
    let corners = [(left, bottom), (left, top), (right, top), (right, bottom)];
    Mask {
        token: Some(token::of(MASK, channel.number())),
        configuration_token: token::of(SOURCE, channel.number()),
        // Media 5.11: normalised coordinates, -1 to 1 from the lower left corner.
        polygon: Polygon { points: corners.map(|(x, y)| Vector { x: x * 2.0 - 1.0, y: 1.0 - y * 2.0 }).into() },
        kind: KIND.into(),
        color: Some(black()),
        enabled: mask.enabled,
    }
}

/// A mask as it was asked for: a rectangle along the edges of the picture, in any order of corners.
fn understood(mask: &Mask) -> Result<channel::Mask, Fault> {
    let bad = |subcode, reason| Err(Fault::sender(&["InvalidArgVal", subcode], reason));
    if mask.kind != KIND {
        return bad("ConfigModify", "masks are of type Color");
    }
    let points = &mask.polygon.points;
    let edge = |at: fn(&Vector) -> f32, pick: fn(f32, f32) -> f32| points.iter().map(at).reduce(pick);
    let (Some(left), Some(right)) = (edge(|p| p.x, f32::min), edge(|p| p.x, f32::max)) else {
        return bad("InvalidPolygon", "a mask has four corners");
    };
    let (Some(bottom), Some(top)) = (edge(|p| p.y, f32::min), edge(|p| p.y, f32::max)) else {
        return bad("InvalidPolygon", "a mask has four corners");
    };
    let corners = [(left, bottom), (left, top), (right, top), (right, bottom)];
    let all = corners.iter().all(|corner| points.iter().any(|point| (point.x, point.y) == *corner));
    if points.len() != 4 || !all || left < -1.0 || bottom < -1.0 || right > 1.0 || top > 1.0 {
        return bad("InvalidPolygon", "a mask is a rectangle within the picture");
    }
    let place = |at: f32| (at + 1.0) / 2.0;
    let area = Area { left: place(left), top: place(-top), right: place(right), bottom: place(-bottom) };
    Ok(channel::Mask { area, enabled: mask.enabled })
}
