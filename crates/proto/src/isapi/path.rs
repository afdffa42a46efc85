//! Paths of resources. Channels count from 1; streams are numbered `channel × 100 + 1` (main) or `+ 2`.

use av::UnixMicros;

use crate::calendar;

/// `DeviceInfo`.
pub const DEVICE_INFO: &str = "/ISAPI/System/deviceInfo";
/// `DeviceStatus`.
pub const STATUS: &str = "/ISAPI/System/status";
/// `userCheck`: whether a login is right.
pub const USER_CHECK: &str = "/ISAPI/Security/userCheck";
/// `AdminAccessProtocolList`: ports.
pub const ADMIN_ACCESSES: &str = "/ISAPI/Security/adminAccesses";
/// `VideoInputChannelList`: sensors and analogue inputs.
pub const VIDEO_INPUTS: &str = "/ISAPI/System/Video/inputs/channels";
/// `InputProxyChannelList`: cameras behind a recorder.
pub const INPUT_PROXIES: &str = "/ISAPI/ContentMgmt/InputProxy/channels";
/// `InputProxyChannelStatusList`: which of them are there.
pub const INPUT_PROXY_STATUS: &str = "/ISAPI/ContentMgmt/InputProxy/channels/status";
/// `StreamingChannelList`.
pub const STREAMS: &str = "/ISAPI/Streaming/channels";
/// `PTZChanelCap` and what is below it hang under a channel here.
pub const PTZ: &str = "/ISAPI/PTZCtrl/channels";
/// `ImageFlip` hangs under a channel here.
pub const IMAGE: &str = "/ISAPI/Image/channels";
/// `TwoWayAudioChannelList`.
pub const TWO_WAY_AUDIO: &str = "/ISAPI/System/TwoWayAudio/channels";
/// `storage`: disks and cards.
pub const STORAGE: &str = "/ISAPI/ContentMgmt/Storage";
/// `TrackList`: streams that are recorded.
pub const TRACKS: &str = "/ISAPI/ContentMgmt/record/tracks";
/// A `CMSearchDescription` is posted here and answered by a `CMSearchResult`.
pub const SEARCH: &str = "/ISAPI/ContentMgmt/search";

/// Number of a stream.
pub fn stream_id(channel: u16, sub: bool) -> u32 {
    u32::from(channel) * 100 + if sub { 2 } else { 1 }
}

/// Channel and quality (true: sub stream) of a stream; third streams and nonsense are none.
pub fn stream_of(id: u32) -> Option<(u16, bool)> {
    let channel = u16::try_from(id / 100).ok().filter(|channel| *channel > 0)?;
    match id % 100 {
        1 => Some((channel, false)),
        2 => Some((channel, true)),
        _ => None,
    }
}

/// Path and query of recorded footage over RTSP; whole seconds.
pub fn rtsp_track(channel: u16, sub: bool, from: UnixMicros, to: UnixMicros) -> String {
    let [from, to] = [from, to].map(|at| calendar::write_basic(UnixMicros(at.0.div_euclid(1_000_000) * 1_000_000)));
    format!("/Streaming/tracks/{}?starttime={from}&endtime={to}", stream_id(channel, sub))
}

/// What [`rtsp_track`] wrote: channel and quality, from, to. Of a path that is another, or a time that is
/// none, nothing; parameters that follow are for the maker. Without an end it is all that follows.
pub fn parse_rtsp_track(path: &str, query: &str) -> Option<(u16, bool, UnixMicros, Option<UnixMicros>)> {
    let (folder, id) = path.trim_matches('/').rsplit_once('/')?;
    if !folder.eq_ignore_ascii_case("Streaming/tracks") {
        return None;
    }
    let (channel, sub) = stream_of(id.parse().ok()?)?;
    let time = |name: &str| {
        let mut parts = query.split('&').filter_map(|part| part.split_once('='));
        parts.find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| calendar::parse(value))
    };
    let to = match time("endtime") {
        Some(to) => Some(to?),
        None => None,
    };
    Some((channel, sub, time("starttime")??, to))
}

/// Path of a stream over RTSP.
pub fn rtsp(channel: u16, sub: bool) -> String {
    format!("/Streaming/Channels/{}", stream_id(channel, sub))
}
