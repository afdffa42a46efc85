//! The documents.

use av::UnixMicros;

use super::{Content, Error};
use crate::xml::Element;

/// Why a device does not do what it was asked, as its [`ResponseStatus`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The device, the channel or this firmware cannot do that.
    NotSupported,
    /// Somebody else has it, or the device has no room for now.
    Busy,
    /// Wrong name or password, or the account is locked, or the device was never given a password.
    Login,
    /// The user may not do that.
    Privilege,
    /// The method does not fit the resource.
    Method,
    /// The body is no document of that kind.
    Malformed,
    /// The body, or the path, holds a value that cannot be.
    Parameters,
    /// The camera behind this channel of a recorder is not there.
    ChannelOffline,
    /// Anything else.
    Failed,
}

/// Each refusal with its HTTP status, `statusCode`, `statusString` and `subStatusCode`s, the first of
/// which is written. Source: Developer Guide, response codes of text protocol.
const REFUSALS: [(Refusal, u16, i32, &str, &[&str]); 9] = [
    (Refusal::NotSupported, 403, 4, "Invalid Operation", &["notSupport", "notSupported", "notImplemented"]),
    (Refusal::Busy, 503, 2, "Device Busy", &["deviceBusy", "noMemory", "serviceUnavailable", "upgrading"]),
    (
        Refusal::Login,
        401,
        4,
        "Invalid Operation",
        &[
            "badAuthorization",
            "incorrectUserNameOrPassword",
            "incorrentUserNameOrPassword",
            "userLocked",
            "theAccountisLocked",
            "notActivated",
            "Unauthorized",
        ],
    ),
    (Refusal::Privilege, 403, 4, "Invalid Operation", &["lowPrivilege", "insufficientPermission", "noPermission"]),
    (Refusal::Method, 405, 4, "Invalid Operation", &["methodNotAllowed"]),
    (Refusal::Malformed, 400, 5, "Invalid XML Format", &["badXmlFormat", "invalidXMLFormat"]),
    (Refusal::Parameters, 400, 6, "Invalid XML Content", &["badParameters", "badXmlContent", "invalidXMLContent"]),
    (Refusal::ChannelOffline, 403, 4, "Invalid Operation", &["ipcOffline", "channelOffline", "noVideo"]),
    (Refusal::Failed, 500, 3, "Device Error", &["deviceError"]),
];

impl Refusal {
    /// The HTTP status it comes under.
    pub fn http_status(self) -> u16 {
        REFUSALS.iter().find(|row| row.0 == self).map_or(500, |row| row.1)
    }
}

record! {
    /// How it went: the answer to every PUT, and to anything refused.
    ResponseStatus {
        /// Path that was asked.
        request_url: Option<String> = "requestURL",
        /// 1 done, 2 busy, 3 failed, 4 not allowed or not possible, 5 and 6 bad document, 7 done after
        /// a restart.
        status_code: i32 = "statusCode",
        /// The same in words.
        status_string: Option<String> = "statusString",
        /// What exactly, in a word.
        sub_status_code: Option<String> = "subStatusCode",
    }
}

impl ResponseStatus {
    /// Done.
    pub fn ok(path: &str) -> ResponseStatus {
        ResponseStatus {
            request_url: Some(path.to_owned()),
            status_code: 1,
            status_string: Some("OK".into()),
            sub_status_code: Some("ok".into()),
        }
    }

    /// Refused.
    pub fn refused(path: &str, refusal: Refusal) -> ResponseStatus {
        let (_, _, code, word, subcodes) = REFUSALS.iter().find(|row| row.0 == refusal).unwrap_or(&REFUSALS[8]);
        ResponseStatus {
            request_url: Some(path.to_owned()),
            status_code: *code,
            status_string: Some((*word).into()),
            sub_status_code: subcodes.first().map(|word| (*word).into()),
        }
    }

    /// What it refuses; none if it was done. The word decides, and without a known one the number.
    pub fn refusal(&self) -> Option<Refusal> {
        if matches!(self.status_code, 1 | 7) {
            return None;
        }
        let word = self.sub_status_code.as_deref().unwrap_or_default();
        let by_word = REFUSALS.iter().find(|row| row.4.iter().any(|known| known.eq_ignore_ascii_case(word)));
        Some(by_word.map_or_else(
            || match self.status_code {
                2 => Refusal::Busy,
                5 => Refusal::Malformed,
                6 => Refusal::Parameters,
                _ => Refusal::Failed,
            },
            |row| row.0,
        ))
    }
}

impl std::fmt::Display for ResponseStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = [&self.status_string, &self.sub_status_code].map(|word| word.as_deref().unwrap_or("-"));
        // An outsider's text: enough to tell what, not enough to fill a log.
        let words: String = words.join(", ").chars().take(128).collect();
        write!(f, "status {} ({words})", self.status_code)
    }
}

impl std::error::Error for ResponseStatus {}

/// What a value may be, in a document of capabilities: `<x opt="a,b"/>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choices(pub Vec<String>);

impl Choices {
    /// Whether that is one of them.
    pub fn has(&self, word: &str) -> bool {
        self.0.iter().any(|choice| choice.eq_ignore_ascii_case(word))
    }
}

impl Content for Choices {
    fn read(element: &Element) -> Result<Self, Error> {
        let words = element.attribute("", "opt").unwrap_or_default().split(',').map(str::trim);
        Ok(Choices(words.filter(|word| !word.is_empty()).map(str::to_owned).collect()))
    }

    fn write(&self, element: &mut Element) {
        let value = self.0.join(",");
        element.attributes.push(crate::xml::Attribute { namespace: "".into(), name: "opt".into(), value });
    }
}

record! {
    /// What the device is.
    DeviceInfo {
        /// Name its owner gave it.
        device_name: Option<String> = "deviceName",
        /// A UUID or nothing useful.
        device_id: Option<String> = "deviceID",
        /// Model.
        model: Option<String> = "model",
        /// Model, date, four letters and nine characters in one; see [`DeviceInfo::short_serial`].
        serial_number: Option<String> = "serialNumber",
        /// `00:11:…`
        mac_address: Option<String> = "macAddress",
        /// `V5.6.3`
        firmware_version: Option<String> = "firmwareVersion",
        /// `build 190923`
        firmware_released_date: Option<String> = "firmwareReleasedDate",
        /// `IPCamera`, `IPDome`, `NVR`, `DVR`, …
        device_type: Option<String> = "deviceType",
        /// Maker; firmware of other brands tells it.
        manufacturer: Option<String> = "manufacturer",
    }
}

impl DeviceInfo {
    /// The nine characters on the label, with which EZVIZ knows the device: what follows the date of
    /// making and four letters. None when the serial number has another form.
    pub fn short_serial(&self) -> Option<&str> {
        let serial = self.serial_number.as_deref()?;
        let fits = |window: &[u8]| {
            let ((date, letters), label) = (window[..12].split_at(8), &window[12..]);
            date.iter().all(u8::is_ascii_digit)
                && letters.iter().all(u8::is_ascii_uppercase)
                && label.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        };
        let at = serial.as_bytes().windows(21).rposition(fits)?;
        serial.get(at + 12..at + 21)
    }
}

record! {
    /// How the device feels.
    DeviceStatus {
        /// Its clock, ISO 8601 with offset.
        current_device_time: Option<String> = "currentDeviceTime",
        /// Seconds since it was switched on.
        device_up_time: Option<i32> = "deviceUpTime",
    }

    /// Whether a login is right.
    UserCheck {
        /// As an HTTP status: 200 or 401.
        status_value: i32 = "statusValue",
        /// In words.
        status_string: Option<String> = "statusString",
    }

    /// Ports.
    AdminAccessProtocolList {
        /// One a protocol.
        protocols: Vec<AdminAccessProtocol> = "AdminAccessProtocol",
    }

    /// A port.
    AdminAccessProtocol {
        /// Its number in the list.
        id: i32 = "id",
        /// Whether it is open; devices leave it out where it cannot be closed.
        enabled: Option<bool> = "enabled",
        /// `HTTP`, `HTTPS`, `RTSP`, `DEV_MANAGE`, …
        protocol: String = "protocol",
        /// The port.
        port: Option<i32> = "portNo",
    }

    /// Sensors and analogue inputs.
    VideoInputChannelList {
        /// The inputs.
        channels: Vec<VideoInputChannel> = "VideoInputChannel",
    }

    /// A sensor or an analogue input.
    VideoInputChannel {
        /// Channel number, from 1.
        id: i32 = "id",
        /// Socket it comes from.
        input_port: Option<i32> = "inputPort",
        /// Name.
        name: Option<String> = "name",
        /// `PAL` or `NTSC`.
        video_format: Option<String> = "videoFormat",
    }

    /// Cameras behind a recorder.
    InputProxyChannelList {
        /// The cameras.
        channels: Vec<InputProxyChannel> = "InputProxyChannel",
    }

    /// A camera behind a recorder.
    InputProxyChannel {
        /// Channel number, from 1.
        id: i32 = "id",
        /// Name.
        name: Option<String> = "name",
        /// Where the recorder gets it from.
        source: Option<SourceInputPort> = "sourceInputPortDescriptor",
    }

    /// Where a recorder gets a channel from.
    SourceInputPort {
        /// `HIKVISION`, `ONVIF`, …
        proxy_protocol: Option<String> = "proxyProtocol",
        /// `ipaddress`
        addressing_format_type: Option<String> = "addressingFormatType",
        /// Its address.
        ip_address: Option<String> = "ipAddress",
        /// Its port.
        manage_port: Option<i32> = "managePortNo",
        /// Its channel.
        source_input_port: Option<i32> = "srcInputPort",
    }

    /// Which cameras behind a recorder are there.
    InputProxyChannelStatusList {
        /// One a channel.
        channels: Vec<InputProxyChannelStatus> = "InputProxyChannelStatus",
    }

    /// Whether a camera behind a recorder is there.
    InputProxyChannelStatus {
        /// Channel number, from 1.
        id: i32 = "id",
        /// Whether it is.
        online: Option<bool> = "online",
        /// Why not.
        detect_result: Option<String> = "chanDetectResult",
    }

    /// Encoded streams of all channels.
    StreamingChannelList {
        /// The streams.
        streams: Vec<StreamingChannel> = "StreamingChannel",
    }

    /// An encoded stream.
    StreamingChannel {
        /// See [`path::stream_id`](super::path::stream_id).
        id: i32 = "id",
        /// Name of the channel.
        channel_name: Option<String> = "channelName",
        /// Whether it runs.
        enabled: Option<bool> = "enabled",
        /// How to get it.
        transport: Option<StreamTransport> = "Transport",
        /// Pictures.
        video: Option<StreamVideo> = "Video",
        /// Sound.
        audio: Option<StreamAudio> = "Audio",
    }

    /// How to get a stream.
    StreamTransport {
        /// Port of RTSP.
        rtsp_port: Option<i32> = "rtspPortNo",
        /// Protocols.
        protocols: Vec<ControlProtocol> = "ControlProtocolList/ControlProtocol",
    }

    /// A protocol a stream can be got by.
    ControlProtocol {
        /// `RTSP`, `HTTP`, `SHTTP`, …
        streaming_transport: String = "streamingTransport",
    }

    /// Pictures of a stream.
    StreamVideo {
        /// Whether there are any.
        enabled: Option<bool> = "enabled",
        /// Channel number.
        input: Option<i32> = "videoInputChannelID",
        /// `H.264`, `H.265`, `MJPEG`, …
        codec: Option<String> = "videoCodecType",
        /// Pixels.
        width: Option<i32> = "videoResolutionWidth",
        /// Pixels.
        height: Option<i32> = "videoResolutionHeight",
        /// Hundredths of pictures a second.
        max_frame_rate: Option<i32> = "maxFrameRate",
        /// Pictures from key frame to key frame.
        gov_length: Option<i32> = "GovLength",
        /// `JPEG`, where pictures can be had.
        snapshot_type: Option<String> = "snapShotImageType",
    }

    /// Sound of a stream.
    StreamAudio {
        /// Whether there is any.
        enabled: Option<bool> = "enabled",
        /// Its input.
        input: Option<i32> = "audioInputChannelID",
        /// `G.711ulaw`, `G.711alaw`, `AAC`, …
        codec: Option<String> = "audioCompressionType",
    }

    /// Velocity of a motor, each −100 to 100 percent; right, up and in are positive. Zeros stop it.
    PtzData {
        /// Pan.
        pan: i32 = "pan" or 0,
        /// Tilt.
        tilt: i32 = "tilt" or 0,
        /// Zoom.
        zoom: i32 = "zoom" or 0,
    }

    /// Where a motor stands.
    PtzStatus {
        /// Its position; not every motor knows.
        position: Option<AbsoluteHigh> = "AbsoluteHigh",
    }

    /// A position of a motor.
    AbsoluteHigh {
        /// Tilt in tenths of a degree. On domes it grows downwards from the horizon; not on all.
        elevation: Option<i32> = "elevation",
        /// Pan in tenths of a degree, clockwise.
        azimuth: Option<i32> = "azimuth",
        /// Zoom in tenths of a magnification.
        zoom: Option<i32> = "absoluteZoom",
    }

    /// What a motor can do.
    PtzChannelCap {
        /// Positions of pan (X) and tilt (Y).
        absolute_pan_tilt: Option<PanTiltSpace> = "AbsolutePanTiltPositionSpace",
        /// Positions of zoom.
        absolute_zoom: Option<ZoomSpace> = "AbsoluteZoomPositionSpace",
        /// Velocities of pan (X) and tilt (Y).
        continuous_pan_tilt: Option<PanTiltSpace> = "ContinuousPanTiltSpace",
        /// Velocities of zoom.
        continuous_zoom: Option<ZoomSpace> = "ContinuousZoomSpace",
        /// Most presets, special ones included.
        presets_max: Option<i32> = "maxPresetNum",
        /// What presets can be called.
        preset_names: Option<PresetNameCap> = "PresetNameCap",
    }

    /// Ranges of two axes.
    PanTiltSpace {
        /// Pan.
        x: Option<Range> = "XRange",
        /// Tilt.
        y: Option<Range> = "YRange",
    }

    /// Range of zoom.
    ZoomSpace {
        /// Zoom.
        z: Option<Range> = "ZRange",
    }

    /// From and to, inclusive.
    Range {
        /// From.
        min: i32 = "Min",
        /// To.
        max: i32 = "Max",
    }

    /// What presets can be called.
    PresetNameCap {
        /// Numbers that are commands, not places.
        special: Option<Choices> = "specialNo",
    }

    /// Presets.
    PtzPresetList {
        /// The presets; some devices list every number they have room for.
        presets: Vec<PtzPreset> = "PTZPreset",
    }

    /// A preset.
    PtzPreset {
        /// Whether it is set.
        enabled: Option<bool> = "enabled",
        /// Its number, from 1.
        id: i32 = "id",
        /// Its name.
        name: Option<String> = "presetName",
        /// Where it is; few devices tell.
        position: Option<AbsoluteHigh> = "AbsoluteHigh",
    }

    /// How the picture is mirrored.
    ImageFlip {
        /// Whether it is.
        enabled: bool = "enabled",
        /// `LEFTRIGHT`, `UPDOWN`, `CENTER`; absent unless enabled.
        style: Option<String> = "ImageFlipStyle",
    }

    /// How the picture can be mirrored.
    ImageFlipCap {
        /// Whether it can be.
        enabled: Option<Choices> = "enabled",
        /// The styles.
        style: Option<Choices> = "ImageFlipStyle",
    }

    /// Parts of the picture that are covered.
    PrivacyMask {
        /// Whether any is.
        enabled: bool = "enabled",
        /// Size of the grid that coordinates are on.
        screen: Option<NormalizedScreenSize> = "normalizedScreenSize",
        /// The parts.
        regions: Vec<PrivacyMaskRegion> = "PrivacyMaskRegionList/PrivacyMaskRegion",
    }

    /// Size of a grid over the picture.
    NormalizedScreenSize {
        /// Columns.
        width: i32 = "normalizedScreenWidth",
        /// Rows.
        height: i32 = "normalizedScreenHeight",
    }

    /// A part of the picture.
    PrivacyMaskRegion {
        /// Its number, from 1.
        id: i32 = "id",
        /// Whether it is covered.
        enabled: bool = "enabled",
        /// Its corners.
        corners: Vec<RegionCoordinates> = "RegionCoordinatesList/RegionCoordinates",
    }

    /// A corner, from the lower left of the picture.
    RegionCoordinates {
        /// Columns.
        x: i32 = "positionX",
        /// Rows.
        y: i32 = "positionY",
    }

    /// Speakers with their microphones.
    TwoWayAudioChannelList {
        /// The channels.
        channels: Vec<TwoWayAudioChannel> = "TwoWayAudioChannel",
    }

    /// A speaker with its microphone.
    TwoWayAudioChannel {
        /// Its number, from 1.
        id: i32 = "id",
        /// Whether somebody speaks; some devices mean whether anybody may.
        enabled: Option<bool> = "enabled",
        /// `G.711ulaw`, `G.711alaw`, `AAC`, …
        codec: Option<String> = "audioCompressionType",
        /// `MicIn` or `LineIn`.
        input_type: Option<String> = "audioInputType",
        /// The cameras it is at; a recorder has it.
        inputs: Option<AssociatedInputs> = "associateVideoInputs",
    }

    /// Channels that something is at.
    AssociatedInputs {
        /// Whether it is at any.
        enabled: Option<bool> = "enabled",
        /// The channels.
        channels: Vec<i32> = "videoInputChannelList/videoInputChannelID",
    }

    /// A speaker that was opened.
    TwoWayAudioSession {
        /// To be named when sending.
        session_id: Option<String> = "sessionId",
    }

    /// Streams that are recorded.
    TrackList {
        /// One a stream.
        tracks: Vec<Track> = "Track",
    }

    /// A stream that is recorded.
    Track {
        /// As of a stream; see [`path::stream_id`](super::path::stream_id).
        id: i32 = "id",
        /// The stream; devices say the same number again.
        channel: Option<i32> = "Channel",
        /// Whether it is recorded.
        enabled: Option<bool> = "Enable",
        /// For people, or machines of the maker.
        description: Option<String> = "Description",
        /// Where it comes from.
        source: Option<TrackSource> = "SrcDescriptor",
    }

    /// Where a recorded stream comes from.
    TrackSource {
        /// Channel.
        channel: Option<i32> = "SrcChannel",
        /// What it holds.
        stream_hint: Option<String> = "StreamHint",
        /// `RTSP`
        driver: Option<String> = "SrcDriver",
        /// Its address.
        url: Option<String> = "SrcUrl",
    }

    /// A question for footage.
    CmSearchDescription {
        /// A UUID of the asker's making; pages of one search have the same.
        search_id: String = "searchID",
        /// Tracks; none means all.
        tracks: Vec<i32> = "trackList/trackID",
        /// When.
        spans: Vec<TimeSpan> = "timeSpanList/timeSpan",
        /// `video`, …
        content_types: Vec<String> = "contentTypeList/contentType",
        /// Most matches of one answer; devices have their own limit, 40 or 64 on many.
        max_results: Option<i32> = "maxResults",
        /// Matches to skip, in the maker's spelling.
        position: Option<i32> = "searchResultPostion",
        /// Kinds: `//recordType.meta.std-cgi.com`, with a kind behind it or none for all.
        metadata: Vec<String> = "metadataList/metadataDescriptor",
    }

    /// From when to when. Marked as UTC; some firmware means its own local time all the same.
    #[derive(Copy)]
    TimeSpan {
        /// From here …
        start: UnixMicros = "startTime",
        /// … to here.
        end: UnixMicros = "endTime",
    }

    /// A page of footage found.
    CmSearchResult {
        /// As asked.
        search_id: Option<String> = "searchID",
        /// Whether the search went well.
        response_status: Option<bool> = "responseStatus",
        /// Whether there is more; see [`CmSearchResult::MORE`].
        response_status_string: String = "responseStatusStrg" or String::new(),
        /// Matches in this page.
        matches_number: Option<i32> = "numOfMatches",
        /// The matches.
        matches: Vec<SearchMatchItem> = "matchList/searchMatchItem",
    }

    /// A piece of footage: one file on the device, mostly.
    SearchMatchItem {
        /// The device, in zeros.
        source_id: Option<String> = "sourceID",
        /// Which track it is of.
        track: Option<i32> = "trackID",
        /// When.
        span: TimeSpan = "timeSpan",
        /// The footage.
        media: Option<MediaSegmentDescriptor> = "mediaSegmentDescriptor",
        /// `recordType.meta.hikvision.com/timing`, `…/motion`, `…/AllEvent`, …
        metadata: Vec<String> = "metadataMatches/metadataDescriptor",
    }

    /// Footage found.
    MediaSegmentDescriptor {
        /// `video`
        content_type: Option<String> = "contentType",
        /// `H.264-BP`, `H.265`, …
        codec_type: Option<String> = "codecType",
        /// `rtsp://…/Streaming/tracks/101?starttime=…&endtime=…&name=…&size=…`; the size is in bytes.
        playback_uri: Option<String> = "playbackURI",
    }

    /// What the device keeps things on.
    Storage {
        /// Disks and cards.
        hdds: Vec<Hdd> = "hddList/hdd",
        /// Disks of others.
        nas: Vec<Nas> = "nasList/nas",
    }

    /// A disk or card.
    Hdd {
        /// Its number, from 1.
        id: i32 = "id",
        /// `SATA`, `SD`, …
        kind: Option<String> = "hddType",
        /// `ok`, `unformatted`, `error`, `idle`, `notexist`, …
        status: Option<String> = "status",
        /// MiB.
        capacity: Option<i32> = "capacity",
        /// MiB.
        free: Option<i32> = "freeSpace",
    }

    /// A disk of somebody else.
    Nas {
        /// Its number, from 1.
        id: i32 = "id",
        /// As of a disk.
        status: Option<String> = "status",
    }
}

impl CmSearchResult {
    /// [`response_status_string`](Self::response_status_string) of a page after which there is another.
    pub const MORE: &str = "MORE";
    /// … of the last page.
    pub const OK: &str = "OK";
    /// … of a search that found nothing.
    pub const NO_MATCHES: &str = "NO MATCHES";

    /// Whether there is another page.
    pub fn is_more(&self) -> bool {
        self.response_status_string.trim().eq_ignore_ascii_case(Self::MORE)
    }
}

impl MediaSegmentDescriptor {
    /// Bytes of the footage, as its address tells.
    pub fn bytes(&self) -> Option<u64> {
        let (_, query) = self.playback_uri.as_deref()?.split_once('?')?;
        query.split('&').find_map(|part| part.strip_prefix("size="))?.parse().ok()
    }
}

impl Storage {
    /// Whether something can be kept.
    pub fn is_there(&self) -> bool {
        // A disk that sleeps wakes up.
        let good = |status: &Option<String>| {
            status
                .as_deref()
                .is_some_and(|word| ["ok", "idle", "normal"].iter().any(|it| word.eq_ignore_ascii_case(it)))
        };
        self.hdds.iter().any(|hdd| good(&hdd.status)) || self.nas.iter().any(|nas| good(&nas.status))
    }
}

documents! {
    ResponseStatus = "ResponseStatus",
    DeviceInfo = "DeviceInfo",
    DeviceStatus = "DeviceStatus",
    UserCheck = "userCheck",
    AdminAccessProtocolList = "AdminAccessProtocolList",
    VideoInputChannelList = "VideoInputChannelList",
    VideoInputChannel = "VideoInputChannel",
    InputProxyChannelList = "InputProxyChannelList",
    InputProxyChannel = "InputProxyChannel",
    InputProxyChannelStatusList = "InputProxyChannelStatusList",
    InputProxyChannelStatus = "InputProxyChannelStatus",
    StreamingChannelList = "StreamingChannelList",
    StreamingChannel = "StreamingChannel",
    PtzData = "PTZData",
    PtzStatus = "PTZStatus",
    // Misspelt by most firmware.
    PtzChannelCap = "PTZChanelCap" also "PTZChannelCap",
    PtzPresetList = "PTZPresetList",
    PtzPreset = "PTZPreset",
    ImageFlip = "ImageFlip",
    ImageFlipCap = "ImageFlip" also "ImageFlipCap",
    PrivacyMask = "PrivacyMask",
    TwoWayAudioChannelList = "TwoWayAudioChannelList",
    TwoWayAudioChannel = "TwoWayAudioChannel",
    TwoWayAudioSession = "TwoWayAudioSession",
    TrackList = "TrackList",
    CmSearchDescription = "CMSearchDescription",
    CmSearchResult = "CMSearchResult",
    Storage = "storage",
}

/// How a picture can be mirrored, as [`ImageFlip`] says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flip {
    /// Left and right have changed places.
    pub horizontal: bool,
    /// Top and bottom have.
    pub vertical: bool,
}

impl Flip {
    /// Every style with what it does.
    pub const STYLES: [(&'static str, Flip); 3] = [
        ("LEFTRIGHT", Flip { horizontal: true, vertical: false }),
        ("UPDOWN", Flip { horizontal: false, vertical: true }),
        ("CENTER", Flip { horizontal: true, vertical: true }),
    ];

    /// The style's name; none if nothing is mirrored.
    pub fn style(self) -> Option<&'static str> {
        Flip::STYLES.iter().find(|(_, flip)| *flip == self).map(|(style, _)| *style)
    }

    /// This and then that.
    #[must_use]
    pub fn and_then(self, other: Flip) -> Flip {
        Flip { horizontal: self.horizontal != other.horizontal, vertical: self.vertical != other.vertical }
    }
}

impl From<Flip> for ImageFlip {
    fn from(flip: Flip) -> ImageFlip {
        // A style beside `false` is refused by some firmware.
        ImageFlip { enabled: flip.style().is_some(), style: flip.style().map(str::to_owned) }
    }
}

impl ImageFlip {
    /// What it does; none for a style that nobody here knows (`AUTO`).
    pub fn flip(&self) -> Option<Flip> {
        if !self.enabled {
            return Some(Flip::default());
        }
        let style = self.style.as_deref().unwrap_or("CENTER");
        Flip::STYLES.iter().find(|(name, _)| name.eq_ignore_ascii_case(style)).map(|(_, flip)| *flip)
    }
}

impl PrivacyMask {
    /// The grid that most devices have.
    pub const SCREEN: NormalizedScreenSize = NormalizedScreenSize { width: 704, height: 576 };

    /// Whether a region covers the whole picture. Devices move corners to their own grid, so the last
    /// fortieth at each edge does not count.
    pub fn is_whole(&self, region: &PrivacyMaskRegion) -> bool {
        let screen = self.screen.as_ref().unwrap_or(&Self::SCREEN);
        let spans = |places: &mut dyn Iterator<Item = i32>, length: i32| {
            let (least, most) = places.fold((i32::MAX, i32::MIN), |(least, most), at| (least.min(at), most.max(at)));
            least <= length / 40 && most >= length - length / 40
        };
        // Of four corners, or more: a triangle reaches every edge and covers half.
        region.corners.len() >= 4
            && spans(&mut region.corners.iter().map(|corner| corner.x), screen.width)
            && spans(&mut region.corners.iter().map(|corner| corner.y), screen.height)
    }

    /// Corners of the whole picture.
    pub fn whole(&self) -> Vec<RegionCoordinates> {
        let NormalizedScreenSize { width, height } = *self.screen.as_ref().unwrap_or(&Self::SCREEN);
        [(0, 0), (width, 0), (width, height), (0, height)].map(|(x, y)| RegionCoordinates { x, y }).into()
    }
}
