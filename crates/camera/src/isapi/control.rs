//! What changes what the camera sees: its motor, its mirror, its mask.

use hyper::Method;
use proto::isapi::{
    AbsoluteHigh, Choices, Flip, ImageFlip, ImageFlipCap, PanTiltSpace, PresetNameCap, PrivacyMask, PrivacyMaskRegion,
    PtzChannelCap, PtzData, PtzPreset, PtzPresetList, PtzStatus, Range, Refusal, RegionCoordinates, ZoomSpace,
};

use super::{Said, document, parse};
use crate::channel::{Channel, Mask, PRESETS_MAX, Preset};
use crate::http::Site;
use crate::ptz::{Axes, TIMEOUT_MAX};
use crate::viewfinder::{self, Area};

/// Tenths of a degree, clockwise: it does not turn around.
const AZIMUTH: Range = Range { min: 0, max: 3400 };
/// Tenths of a degree, as of a dome under a ceiling: from the horizon down.
const ELEVATION: Range = Range { min: 0, max: 900 };
/// Tenths of a magnification.
const ZOOM: Range = Range { min: 10, max: 40 };
/// Percents of the full speed.
const SPEED: Range = Range { min: -100, max: 100 };

/// A share of 0 to 1 of a range.
fn within(range: &Range, share: f32) -> i32 {
    range.min + ((range.max - range.min) as f32 * share).round() as i32
}

/// Pan and tilt −1 to 1, zoom 0 to 1, as a device tells them.
fn place([pan, tilt, zoom]: [f32; 3]) -> AbsoluteHigh {
    AbsoluteHigh {
        elevation: Some(within(&ELEVATION, (1.0 - tilt) / 2.0)),
        azimuth: Some(within(&AZIMUTH, (pan + 1.0) / 2.0)),
        zoom: Some(within(&ZOOM, zoom)),
    }
}

fn preset(preset: Preset) -> PtzPreset {
    PtzPreset {
        enabled: Some(true),
        id: i32::from(preset.number),
        name: Some(preset.name),
        position: Some(place(preset.position)),
    }
}

pub(super) fn motor(
    site: &Site,
    channel: &Channel,
    method: &Method,
    segments: &[&str],
    body: &[u8],
) -> Result<Said, Refusal> {
    let number = |text: &str| text.parse::<u16>().map_err(|_| Refusal::Parameters);
    match (method.as_str(), segments) {
        ("GET", ["capabilities"]) => document(&PtzChannelCap {
            absolute_pan_tilt: Some(PanTiltSpace { x: Some(AZIMUTH), y: Some(ELEVATION) }),
            absolute_zoom: Some(ZoomSpace { z: Some(ZOOM) }),
            continuous_pan_tilt: Some(PanTiltSpace { x: Some(SPEED), y: Some(SPEED) }),
            continuous_zoom: Some(ZoomSpace { z: Some(SPEED) }),
            presets_max: Some(i32::from(PRESETS_MAX)),
            preset_names: Some(PresetNameCap { special: Some(Choices::default()) }),
        }),
        ("GET", ["status"]) => {
            let status = channel.ptz_status();
            document(&PtzStatus { position: Some(place([status.pan, status.tilt, status.zoom])) })
        }
        ("PUT", ["continuous"]) => {
            let PtzData { pan, tilt, zoom } = parse(site, body)?;
            if [pan, tilt, zoom].iter().any(|speed| !(SPEED.min..=SPEED.max).contains(speed)) {
                return Err(Refusal::Parameters);
            }
            let [pan, tilt, zoom] = [pan, tilt, zoom].map(|percent| Some(percent as f32 / 100.0));
            // Until zeros come, or nobody remembers.
            channel.ptz(|ptz, now| ptz.move_continuously(now, Axes { pan, tilt, zoom }, Some(TIMEOUT_MAX)));
            Ok(Said::Done)
        }
        ("GET", ["presets"]) => {
            document(&PtzPresetList { presets: channel.presets().into_iter().map(preset).collect() })
        }
        ("GET", ["presets", id]) => {
            let id = number(id)?;
            let found = channel.presets().into_iter().find(|preset| preset.number == id);
            document(&preset(found.ok_or(Refusal::Parameters)?))
        }
        ("PUT", ["presets", id]) => {
            let given: PtzPreset = parse(site, body)?;
            channel.preset_set(number(id)?, given.name).map_err(|_| Refusal::Parameters)?;
            Ok(Said::Done)
        }
        ("DELETE", ["presets", id]) => {
            channel.preset_remove(number(id)?).map_err(|_| Refusal::Parameters)?;
            Ok(Said::Done)
        }
        ("PUT", ["presets", id, "goto"]) => {
            channel.preset_goto(number(id)?, Axes::default()).map_err(|_| Refusal::Parameters)?;
            Ok(Said::Done)
        }
        (_, ["capabilities" | "status" | "continuous" | "presets"] | ["presets", _] | ["presets", _, "goto"]) => {
            Err(Refusal::Method)
        }
        _ => Err(Refusal::NotSupported),
    }
}

pub(super) fn mirror(
    site: &Site,
    channel: &Channel,
    method: &Method,
    segments: &[&str],
    body: &[u8],
) -> Result<Said, Refusal> {
    match (method.as_str(), segments) {
        ("GET", []) => {
            let viewfinder::Flip { horizontal, vertical } = channel.flip();
            document(&ImageFlip::from(Flip { horizontal, vertical }))
        }
        ("PUT", []) => {
            let flip = parse::<ImageFlip>(site, body)?.flip().ok_or(Refusal::Parameters)?;
            channel.set_flip(viewfinder::Flip { horizontal: flip.horizontal, vertical: flip.vertical });
            Ok(Said::Done)
        }
        ("GET", ["capabilities"]) => {
            let words = |words: &[&str]| Some(Choices(words.iter().map(|word| (*word).to_owned()).collect()));
            let styles = Flip::STYLES.map(|(style, _)| style);
            document(&ImageFlipCap { enabled: words(&["true", "false"]), style: words(&styles) })
        }
        (_, [] | ["capabilities"]) => Err(Refusal::Method),
        _ => Err(Refusal::NotSupported),
    }
}

/// The mask is one rectangle: there is room for one region.
pub(super) fn mask(site: &Site, channel: &Channel, method: &Method, body: &[u8]) -> Result<Said, Refusal> {
    match method.as_str() {
        "GET" => document(&told(channel.privacy_mask())),
        "PUT" => {
            let asked: PrivacyMask = parse(site, body)?;
            match &asked.regions[..] {
                [] if channel.privacy_mask().is_none() && !asked.enabled => {}
                [] => channel.set_mask(asked.enabled),
                [region] => {
                    let area = area(&asked, region).ok_or(Refusal::Parameters)?;
                    channel.set_privacy_mask(Some(Mask { area, enabled: asked.enabled && region.enabled }));
                }
                _ => return Err(Refusal::Parameters),
            }
            Ok(Said::Done)
        }
        _ => Err(Refusal::Method),
    }
}

fn told(mask: Option<Mask>) -> PrivacyMask {
    let screen = PrivacyMask::SCREEN;
    let region = |Mask { area, enabled }: Mask| {
        let column = |share: f32| (share * screen.width as f32).round() as i32;
        let row = |share: f32| ((1.0 - share) * screen.height as f32).round() as i32;
        let (left, right, bottom, top) = (column(area.left), column(area.right), row(area.bottom), row(area.top));
        let corners = [(left, bottom), (right, bottom), (right, top), (left, top)];
        PrivacyMaskRegion { id: 1, enabled, corners: corners.map(|(x, y)| RegionCoordinates { x, y }).into() }
    };
    PrivacyMask {
        enabled: mask.is_some_and(|mask| mask.enabled),
        regions: mask.map(region).into_iter().collect(),
        screen: Some(screen),
    }
}

/// The rectangle around a region; none if it has no corners, or such as are not in the picture.
fn area(mask: &PrivacyMask, region: &PrivacyMaskRegion) -> Option<Area> {
    let screen = mask.screen.as_ref().unwrap_or(&PrivacyMask::SCREEN);
    let span = |places: &mut dyn Iterator<Item = i32>, length: i32| {
        let (least, most) = places.fold((i32::MAX, i32::MIN), |(least, most), at| (least.min(at), most.max(at)));
        let fits = length > 0 && 0 <= least && least < most && most <= length;
        fits.then(|| (least as f32 / length as f32, most as f32 / length as f32))
    };
    let (left, right) = span(&mut region.corners.iter().map(|corner| corner.x), screen.width)?;
    let (bottom, top) = span(&mut region.corners.iter().map(|corner| corner.y), screen.height)?;
    Some(Area { left, top: 1.0 - top, right, bottom: 1.0 - bottom })
}
