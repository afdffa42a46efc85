//! Media, version 2: the privacy mask. A channel has one, a rectangle.

use proto::onvif::Fault;
use proto::onvif::media2::*;
use proto::onvif::schema::{Color, ColorOptions, Polygon, Vector};

use super::{SOURCE, document, no_configuration};
use crate::channel::{self, Channel};
use crate::http::Site;
use crate::token;
use crate::viewfinder::Area;

/// Stem of the tokens of masks.
const MASK: &str = "mask";
/// The one type of mask.
const KIND: &str = "Color";

impl Site {
    pub(super) fn media2(&self, request: Request) -> Result<String, Fault> {
        let source = |token: &str| self.channel_of(token, SOURCE).ok_or_else(no_configuration);
        let masked = |token: &str| {
            let channel = self.channel_of(token, MASK).ok_or_else(no_mask)?;
            Ok::<_, Fault>((channel, channel.privacy_mask().ok_or_else(no_mask)?))
        };
        Ok(match request {
            Request::GetServiceCapabilities(_) => {
                let capabilities = Media2ServiceCapabilities {
                    snapshot_uri: Some(false),
                    rotation: Some(false),
                    mask: Some(true),
                    profile: ProfileCapabilities {
                        maximum_number_of_profiles: Some(0),
                        configurations_supported: Some(String::new()),
                    },
                    streaming: StreamingCapabilities {
                        rtsp_streaming: Some(false),
                        rtp_multicast: Some(false),
                        rtp_rtsp_tcp: Some(false),
                    },
                };
                document(&GetServiceCapabilitiesResponse { capabilities })
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
                let mask = |channel: &std::sync::Arc<Channel>| Some(described(channel, channel.privacy_mask()?));
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
