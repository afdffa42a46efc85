//! Paths of resources. Channels count from 1; streams are numbered `channel × 100 + 1` (main) or `+ 2`.

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

/// Path of a stream over RTSP.
pub fn rtsp(channel: u16, sub: bool) -> String {
    format!("/Streaming/Channels/{}", stream_id(channel, sub))
}
