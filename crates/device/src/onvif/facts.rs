//! What a camera's answers amount to: channels, their streams, and what it can do.

use std::collections::BTreeMap;

use proto::onvif::schema::{Profile, VideoEncoding};

use super::motor::{Motor, Mount};
use crate::driver::{ChannelFacts, ChannelNo, StreamFacts};

/// Most channels taken from one device: the largest recorders sold have 256. The rest is left out.
const CHANNELS_MAX: usize = 256;

/// A video source with the profiles that present it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Channel {
    pub(super) no: ChannelNo,
    /// Token of the video source.
    pub(super) source: String,
    /// Token of the source's configuration, if it has one.
    pub(super) configuration: Option<String>,
    /// Name of the source's configuration.
    pub(super) name: String,
    pub(super) main: Presentation,
    pub(super) sub: Option<Presentation>,
    /// What moves it, if anything does.
    pub(super) mount: Option<Mount>,
    /// Whether the source can turn its picture, as far as its configuration shows.
    pub(super) rotates: bool,
}

/// A profile that is a stream of ours.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Presentation {
    /// Token of the profile.
    pub(super) profile: String,
    pub(super) facts: StreamFacts,
}

impl Channel {
    pub(super) fn facts(&self) -> ChannelFacts {
        ChannelFacts {
            no: self.no,
            name: self.name.clone(),
            main: self.main.facts.clone(),
            sub: self.sub.as_ref().map(|sub| sub.facts.clone()),
        }
    }
}

fn presentation(profile: &Profile) -> Presentation {
    let encoder = profile.video_encoder.as_ref();
    let codec = encoder.map(|encoder| match &encoder.encoding {
        VideoEncoding::Jpeg => "JPEG".to_owned(),
        VideoEncoding::Mpeg4 => "MPEG4".to_owned(),
        VideoEncoding::H264 => "H264".to_owned(),
        VideoEncoding::Other(word) => word.clone(),
    });
    let size = encoder.and_then(|encoder| {
        let (width, height) = (encoder.resolution.width, encoder.resolution.height);
        (width > 0 && height > 0).then_some((width as u32, height as u32))
    });
    Presentation {
        profile: profile.token.clone(),
        facts: StreamFacts { video_codec: codec, size, audio: Some(profile.audio_encoder.is_some()) },
    }
}

fn mount(profile: &Profile) -> Option<Mount> {
    Some(Mount { profile: profile.token.clone(), configuration: profile.ptz.clone()? })
}

/// Pixels of a picture; unknown counts as none.
fn area(presentation: &Presentation) -> u64 {
    presentation.facts.size.map_or(0, |(width, height)| u64::from(width) * u64::from(height))
}

/// Orders profiles into channels, one a video source in the order the camera lists them. The main stream
/// is the largest picture; the sub stream the smallest other one. Motion JPEG, which no output of ours
/// carries, is taken only where there is nothing else.
pub(super) fn channels(profiles: &[Profile]) -> Vec<Channel> {
    let mut sources: Vec<(&str, Vec<&Profile>)> = Vec::new();
    for profile in profiles {
        // A careless camera names no source; then it has one.
        let source = profile.video_source.as_ref().map_or("", |source| source.source_token.as_str());
        match sources.iter_mut().find(|(token, _)| *token == source) {
            Some((_, profiles)) => profiles.push(profile),
            None => sources.push((source, vec![profile])),
        }
    }
    // Profiles without a source beside others that have one are made for sound or events.
    if sources.len() > 1 {
        sources.retain(|(token, _)| !token.is_empty());
    }
    let channel = |(index, (source, profiles)): (usize, (&str, Vec<&Profile>))| {
        let mut streams: Vec<Presentation> = profiles.iter().map(|profile| presentation(profile)).collect();
        let playable = |stream: &Presentation| stream.facts.video_codec.as_deref() != Some("JPEG");
        if streams.iter().any(playable) {
            streams.retain(playable);
        }
        // Stable: of equal pictures the one listed first is the larger.
        streams.sort_by_key(|stream| std::cmp::Reverse(area(stream)));
        let sub = if streams.len() > 1 { streams.pop() } else { None };
        let main = streams.into_iter().next()?;
        let configuration = profiles.iter().find_map(|profile| profile.video_source.as_ref());
        Some(Channel {
            no: ChannelNo(index as u16 + 1),
            source: source.to_owned(),
            configuration: configuration.map(|configuration| configuration.token.clone()),
            name: configuration.map(|configuration| configuration.name.clone()).unwrap_or_default(),
            sub,
            // The main stream's, if that moves it: what people look at while they do.
            mount: profiles
                .iter()
                .filter_map(|profile| mount(profile))
                .reduce(|first, next| if next.profile == main.profile { next } else { first }),
            main,
            rotates: configuration.and_then(|c| c.extension.as_ref()).is_some_and(|e| e.rotate.is_some()),
        })
    };
    sources.into_iter().take(CHANNELS_MAX).enumerate().filter_map(channel).collect()
}

/// What the camera as a whole can do, from its answers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Abilities {
    /// The picture can be turned by 180°.
    pub(super) rotation: bool,
    /// The picture has brightness and its kin.
    pub(super) image: bool,
    /// The lens can be covered.
    pub(super) mask: bool,
    /// It makes still pictures.
    pub(super) snapshot: bool,
    /// It takes sound.
    pub(super) speaker: bool,
    /// It keeps footage.
    pub(super) storage: bool,
}

/// Capabilities by their names in the platform's set; what is absent is not supported. `motors` are those
/// that move a channel.
pub(super) fn capabilities<'a>(
    motors: impl Iterator<Item = &'a Motor>,
    abilities: Abilities,
) -> BTreeMap<String, String> {
    let (mut turns, mut zooms, mut presets) = (false, false, false);
    for motor in motors {
        turns |= motor.pan_tilt.is_some();
        zooms |= motor.zoom.is_some();
        presets |= motor.presets > 0;
    }
    let all = [
        ("support_ptz", turns || zooms),
        ("ptz_left_right", turns),
        ("ptz_top_bottom", turns),
        ("ptz_45", turns),
        ("ptz_zoom", zooms),
        ("ptz_preset", presets),
        // By a rotation of 180°; plain ONVIF has no mirror about one axis.
        ("ptz_center_mirror", abilities.rotation),
        ("support_image_param", abilities.image),
        ("support_privacy", abilities.mask),
        ("support_capture", abilities.snapshot),
        // Full duplex: the back channel runs beside the camera's own sound.
        ("support_talk", abilities.speaker),
        ("support_disk", abilities.storage),
        // By moment, and again while it plays.
        ("support_seek_playback", abilities.storage),
    ];
    all.into_iter().filter(|(_, has)| *has).map(|(name, _)| (name.to_owned(), "1".to_owned())).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proto::onvif::Envelope;
    use proto::onvif::media::GetProfilesResponse;

    /// Profiles as `token source encoding widthxheight`, `-` for what is absent.
    fn profiles(lines: &[&str]) -> Vec<Profile> {
        let profile = |line: &&str| {
            let [token, source, encoding, size] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let source = match source {
                "-" => String::new(),
                source => format!(
                    "<t:VideoSourceConfiguration token='c'><t:Name>Lens {source}</t:Name><t:SourceToken>{source}</t:SourceToken></t:VideoSourceConfiguration>"
                ),
            };
            let encoder = match size.split_once('x') {
                None => String::new(),
                Some((width, height)) => format!(
                    "<t:VideoEncoderConfiguration token='e'><t:Encoding>{encoding}</t:Encoding><t:Resolution><t:Width>{width}</t:Width><t:Height>{height}</t:Height></t:Resolution></t:VideoEncoderConfiguration>"
                ),
            };
            format!("<m:Profiles token='{token}'>{source}{encoder}</m:Profiles>")
        };
        let body: String = lines.iter().map(profile).collect();
        let text = format!(
            "<e:Envelope xmlns:e='http://www.w3.org/2003/05/soap-envelope' xmlns:m='http://www.onvif.org/ver10/media/wsdl' xmlns:t='http://www.onvif.org/ver10/schema'><e:Body><m:GetProfilesResponse>{body}</m:GetProfilesResponse></e:Body></e:Envelope>"
        );
        Envelope::parse(text.as_bytes()).unwrap().response::<GetProfilesResponse>().unwrap().profiles
    }

    /// Channels as `number source main sub`.
    fn shown(lines: &[&str]) -> Vec<String> {
        let show = |channel: &Channel| {
            let sub = channel.sub.as_ref().map_or("-", |sub| &sub.profile);
            format!("{} {} {} {sub}", channel.no, channel.source, channel.main.profile)
        };
        channels(&profiles(lines)).iter().map(show).collect()
    }

    #[test]
    fn one_channel_a_source_largest_main_smallest_sub() {
        assert_eq!(shown(&["a s H264 1280x720", "b s H264 640x360"]), ["1 s a b"]);
        assert_eq!(shown(&["b s H264 640x360", "c s H264 1280x720", "a s H265 3840x2160"]), ["1 s a b"]);
        assert_eq!(shown(&["a s H264 640x360", "b s H264 640x360"]), ["1 s a b"]);
        assert_eq!(shown(&["a s H264 640x360"]), ["1 s a -"]);
        let recorder = ["a1 s1 H264 1920x1080", "a2 s2 H264 1280x720", "b1 s1 H264 352x288", "b2 s2 H264 352x288"];
        assert_eq!(shown(&recorder), ["1 s1 a1 b1", "2 s2 a2 b2"]);
    }

    #[test]
    fn motion_jpeg_is_the_last_resort() {
        assert_eq!(shown(&["a s H264 1280x720", "j s JPEG 320x240"]), ["1 s a -"]);
        assert_eq!(shown(&["j s JPEG 320x240"]), ["1 s j -"]);
    }

    #[test]
    fn careless_profiles_still_make_a_channel() {
        assert_eq!(shown(&["a - H264 1280x720", "b - H264 640x360"]), ["1  a b"]);
        assert_eq!(shown(&["x - - -", "a s H264 1280x720"]), ["1 s a -"]);
        assert_eq!(shown(&["a s - -"]), ["1 s a -"]);
        assert_eq!(shown(&["a s H264 -1x720", "b s H264 640x360"]), ["1 s b a"]);
        assert!(channels(&[]).is_empty());
    }

    #[test]
    fn a_crowd_of_sources_is_cut() {
        let lines: Vec<String> = (0..CHANNELS_MAX + 5).map(|i| format!("p{i} s{i} H264 640x360")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(channels(&profiles(&lines)).len(), CHANNELS_MAX);
    }
}
