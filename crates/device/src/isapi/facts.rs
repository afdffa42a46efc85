//! What a device's documents mean: channels and their streams, motors, the platform's capabilities.

use std::collections::BTreeMap;

use proto::isapi::{
    AbsoluteHigh, Flip, ImageFlipCap, InputProxyChannelList, PtzChannelCap, PtzPreset, Range, StreamingChannel,
    StreamingChannelList, TwoWayAudioChannel, VideoInputChannelList, path,
};

use crate::driver::{ChannelFacts, ChannelNo, StreamFacts, Velocity};

/// Most channels taken; recorders have up to 64, and what tells of more is not one.
const CHANNELS_MAX: usize = 64;
/// Numbers that are commands on every motor of this maker which does not tell its own: 94 restarts it.
const SPECIAL_PRESETS: std::ops::RangeInclusive<u16> = 33..=105;
/// Presets of a motor that does not tell how many it has.
const PRESETS_MAX: u16 = 255;
/// Tenths of a degree of a motor that turns around and around: it has no end.
const FULL_TURN: i32 = 3600;
/// A motor this near to a preset is there: half a degree, or half a magnification.
const NEAR: i32 = 5;

/// A video source.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Channel {
    pub(super) no: ChannelNo,
    pub(super) name: String,
    pub(super) main: StreamFacts,
    pub(super) sub: Option<StreamFacts>,
    /// Whether pictures can be had, if it tells.
    pub(super) snapshot: bool,
}

impl Channel {
    pub(super) fn facts(&self) -> ChannelFacts {
        ChannelFacts { no: self.no, name: self.name.clone(), main: self.main.clone(), sub: self.sub.clone() }
    }
}

fn stream_facts(stream: &StreamingChannel) -> StreamFacts {
    let video = stream.video.as_ref();
    let size = video.and_then(|video| Some((video.width?, video.height?)));
    // `H.264` here, `H264` on the platform.
    let codec = video.and_then(|video| video.codec.as_deref()).map(|codec| match codec.replace('.', "") {
        codec if codec.eq_ignore_ascii_case("MJPEG") => "JPEG".to_owned(),
        codec => codec,
    });
    StreamFacts {
        video_codec: codec,
        size: size
            .filter(|(width, height)| *width > 0 && *height > 0)
            .map(|(width, height)| (width as u32, height as u32)),
        audio: Some(stream.audio.as_ref().is_some_and(|audio| audio.enabled != Some(false))),
    }
}

/// Orders what the lists tell into channels. A recorder's own name for a channel goes before the
/// input's and the stream's. Streams that no list tells of are taken to be there: the list of a large
/// recorder is too long to be read.
pub(super) fn channels(
    inputs: Option<VideoInputChannelList>,
    proxies: Option<InputProxyChannelList>,
    streams: Option<StreamingChannelList>,
) -> Vec<Channel> {
    let streams = streams.map(|list| list.streams).unwrap_or_default();
    let mut names: BTreeMap<u16, Option<String>> = BTreeMap::new();
    let inputs = inputs.into_iter().flat_map(|list| list.channels).map(|input| (input.id, input.name));
    let proxies = proxies.into_iter().flat_map(|list| list.channels).map(|proxy| (proxy.id, proxy.name));
    for (id, name) in inputs.chain(proxies) {
        if let Some(no) = u16::try_from(id).ok().filter(|no| *no > 0) {
            let known = names.entry(no).or_default();
            *known = name.or(known.take());
        }
    }
    let placed: BTreeMap<(u16, bool), &StreamingChannel> = streams
        .iter()
        .filter_map(|stream| Some((u32::try_from(stream.id).ok().and_then(path::stream_of)?, stream)))
        .collect();
    if names.is_empty() {
        names.extend(placed.keys().map(|(no, _)| (*no, None)));
    }
    let channel = |(no, name): (u16, Option<String>)| {
        let (main, sub) = (placed.get(&(no, false)), placed.get(&(no, true)));
        let video = main.and_then(|main| main.video.as_ref());
        Channel {
            no: ChannelNo(no),
            name: name.or_else(|| main.and_then(|main| main.channel_name.clone())).unwrap_or_default(),
            main: main.map(|main| stream_facts(main)).unwrap_or_default(),
            sub: match (main, sub) {
                (_, Some(sub)) => (sub.enabled != Some(false)).then(|| stream_facts(sub)),
                (Some(_), None) => None,
                (None, None) => Some(StreamFacts::default()),
            },
            snapshot: video
                .and_then(|video| video.snapshot_type.as_deref())
                .is_some_and(|kind| kind.eq_ignore_ascii_case("JPEG")),
        }
    };
    names.into_iter().take(CHANNELS_MAX).map(channel).collect()
}

/// Port of RTSP as the streams tell it.
pub(super) fn rtsp_port(streams: &StreamingChannelList) -> Option<u16> {
    let told = streams.streams.iter().find_map(|stream| stream.transport.as_ref()?.rtsp_port);
    told.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0)
}

/// What one channel can do beyond being watched.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Abilities {
    pub(super) motor: Option<Motor>,
    /// How the picture can be mirrored, and at which path; none if it cannot.
    pub(super) flips: Vec<Flip>,
    pub(super) flip_path: String,
    pub(super) mask: bool,
}

/// A motor.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Motor {
    pan: Option<Range>,
    tilt: Option<Range>,
    zoom: Option<Range>,
    azimuth: Option<Range>,
    elevation: Option<Range>,
    magnification: Option<Range>,
    /// Whether it keeps presets, and which numbers they have.
    pub(super) presets: bool,
    presets_max: u16,
    special: Vec<u16>,
}

impl Motor {
    /// None if it moves no axis at a velocity.
    pub(super) fn of(cap: PtzChannelCap, presets: bool) -> Option<Motor> {
        let moves = |range: Option<Range>| range.filter(|range| range.min < 0 && range.max > 0);
        let (pan, tilt) = cap.continuous_pan_tilt.map_or((None, None), |space| (moves(space.x), moves(space.y)));
        let zoom = cap.continuous_zoom.and_then(|space| moves(space.z));
        let (azimuth, elevation) = cap.absolute_pan_tilt.map_or((None, None), |space| (space.x, space.y));
        let special = cap.preset_names.and_then(|names| names.special).map(|choices| choices.0);
        Some(Motor {
            presets,
            presets_max: cap.presets_max.map_or(PRESETS_MAX, |most| most.clamp(0, i32::from(u16::MAX)) as u16),
            special: special
                .map(|numbers| numbers.iter().filter_map(|number| number.parse().ok()).collect())
                .unwrap_or_else(|| SPECIAL_PRESETS.collect()),
            azimuth,
            elevation,
            magnification: cap.absolute_zoom.and_then(|space| space.z),
            pan,
            tilt,
            zoom,
        })
        .filter(|motor| motor.turns() || motor.zooms())
    }

    pub(super) fn turns(&self) -> bool {
        self.pan.is_some() || self.tilt.is_some()
    }

    pub(super) fn zooms(&self) -> bool {
        self.zoom.is_some()
    }

    /// Each axis in its own range; an axis it lacks stands still.
    pub(super) fn velocity(&self, velocity: Velocity) -> [i32; 3] {
        [
            scale(velocity.pan, self.pan.as_ref()),
            scale(velocity.tilt, self.tilt.as_ref()),
            scale(velocity.zoom, self.zoom.as_ref()),
        ]
    }

    /// Pan, elevation and zoom as shares of −1 to 1 of their ranges. None of an axis that has no end.
    pub(super) fn place(&self, at: &AbsoluteHigh) -> [Option<f32>; 3] {
        let azimuth = self.azimuth.as_ref().filter(|range| range.max.saturating_sub(range.min) < FULL_TURN);
        [
            share(at.azimuth, azimuth),
            share(at.elevation, self.elevation.as_ref()),
            share(at.zoom, self.magnification.as_ref()),
        ]
    }

    /// Whether presets of that number are places.
    pub(super) fn keeps(&self, number: u16) -> bool {
        (1..=self.presets_max).contains(&number) && !self.special.contains(&number)
    }

    /// The lowest number that is free.
    pub(super) fn free_preset(&self, presets: &[PtzPreset]) -> Option<u16> {
        (1..=self.presets_max).filter(|number| self.keeps(*number)).find(|number| set(presets, *number).is_none())
    }
}

/// The preset of that number, if it is set.
pub(super) fn set(presets: &[PtzPreset], number: u16) -> Option<&PtzPreset> {
    presets.iter().find(|preset| preset.id == i32::from(number) && preset.enabled != Some(false))
}

/// Whether both tell the same place, as far as both tell.
pub(super) fn near(a: &AbsoluteHigh, b: &AbsoluteHigh) -> bool {
    let axes = [(a.elevation, b.elevation), (a.azimuth, b.azimuth), (a.zoom, b.zoom)];
    let told: Vec<(i32, i32)> = axes.into_iter().filter_map(|(a, b)| Some((a?, b?))).collect();
    !told.is_empty() && told.iter().all(|(a, b)| a.abs_diff(*b) <= NEAR as u32)
}

fn scale(share: f32, range: Option<&Range>) -> i32 {
    let Some(range) = range.filter(|_| share != 0.0) else { return 0 };
    let end = if share < 0.0 { range.min } else { range.max };
    // However slow, it moves.
    let least = end.signum();
    let speed = (share.abs().min(1.0) * end as f32).round() as i32;
    if speed == 0 { least } else { speed }
}

fn share(at: Option<i32>, range: Option<&Range>) -> Option<f32> {
    let (at, range) = (at? as f32, range.filter(|range| range.min < range.max)?);
    let (min, max) = (range.min as f32, range.max as f32);
    Some(((at - min) / (max - min) * 2.0 - 1.0).clamp(-1.0, 1.0))
}

/// How a picture can be mirrored: the styles told, else all that the resource defines.
pub(super) fn flips(cap: Option<&ImageFlipCap>) -> Vec<Flip> {
    let told = cap.and_then(|cap| cap.style.as_ref()).filter(|styles| !styles.0.is_empty());
    let styles = Flip::STYLES.into_iter().filter(|(style, _)| told.is_none_or(|told| told.has(style)));
    styles.map(|(_, flip)| flip).collect()
}

/// The speaker at a channel. A recorder has one of its own as well, which is at none of its cameras.
pub(super) fn speaker(
    speakers: &[TwoWayAudioChannel],
    channel: ChannelNo,
    recorder: bool,
) -> Option<&TwoWayAudioChannel> {
    let at = |speaker: &&TwoWayAudioChannel| {
        speaker.inputs.as_ref().is_some_and(|inputs| inputs.channels.contains(&i32::from(channel.0)))
    };
    speakers.iter().find(at).or_else(|| speakers.first().filter(|_| !recorder))
}

/// Capabilities by their names in the platform's set; what is absent is not supported. A device has
/// what any of its channels has.
pub(super) fn capabilities(abilities: &[Abilities], capture: bool, talk: bool, disk: bool) -> BTreeMap<String, String> {
    let motor = |has: fn(&Motor) -> bool| abilities.iter().any(|a| a.motor.as_ref().is_some_and(has));
    let flips = |style: usize| abilities.iter().any(|a| a.flips.contains(&Flip::STYLES[style].1));
    let all = [
        ("support_ptz", motor(|_| true)),
        ("ptz_left_right", motor(|motor| motor.pan.is_some())),
        ("ptz_top_bottom", motor(|motor| motor.tilt.is_some())),
        ("ptz_45", motor(|motor| motor.pan.is_some() && motor.tilt.is_some())),
        ("ptz_zoom", motor(Motor::zooms)),
        ("ptz_preset", motor(|motor| motor.presets)),
        ("ptz_left_right_mirror", flips(0)),
        ("ptz_top_bottom_mirror", flips(1)),
        ("ptz_center_mirror", flips(2)),
        ("support_privacy", abilities.iter().any(|a| a.mask)),
        ("support_capture", capture),
        // Sound goes both ways at once.
        ("support_talk", talk),
        ("support_disk", disk),
        // By moment, and again while it plays.
        ("support_seek_playback", disk),
    ];
    all.into_iter().filter(|(_, has)| *has).map(|(name, _)| (name.to_owned(), "1".to_owned())).collect()
}
