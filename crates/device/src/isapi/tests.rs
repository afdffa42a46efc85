//! The driver against a scripted device on loopback, which says what documents of real ones say.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use av::{G711Law, Pcm, codec::g711};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method as HttpMethod, Response, Uri};
use futures_util::{StreamExt, stream};
use proto::calendar;
use proto::digest::{Denied, Verifier};
use proto::isapi::{
    CmSearchDescription, CmSearchResult, Document, MediaSegmentDescriptor, Refusal, ResponseStatus, SearchMatchItem,
    TimeSpan,
};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::dial::AllowedHost;
use crate::driver::{Quality, RecordingKind};

const USER: &str = "admin";
const PASSWORD: &str = "Str0ng:&<";
const ONE: ChannelNo = ChannelNo(1);

/// What a resource answers.
#[derive(Clone)]
enum Reply {
    Text(u16, String),
    Bytes(Vec<u8>),
    /// Nothing, ever.
    Silence,
    /// A head, and then the connection breaks.
    Break,
    /// Takes the body for so long and then refuses it, or until its end and answers.
    Speaker(Option<usize>),
    /// Files, from when to when as it writes that, with their kinds; so many a page.
    Files(Vec<(i64, i64, &'static str)>, usize),
}

impl From<&str> for Reply {
    fn from(text: &str) -> Reply {
        Reply::Text(200, text.to_owned())
    }
}

fn refused(refusal: Refusal) -> Reply {
    Reply::Text(refusal.http_status(), ResponseStatus::refused("/ISAPI", refusal).to_document())
}

/// What the device was told, once it let the request in.
#[derive(Clone, Debug)]
struct Heard {
    /// `PUT /ISAPI/…`
    what: String,
    body: Vec<u8>,
    length: Option<String>,
    kind: Option<String>,
}

struct Scripted {
    replies: Mutex<BTreeMap<String, Reply>>,
    heard: Mutex<Vec<Heard>>,
    verifier: Mutex<Verifier>,
}

struct Device {
    address: SocketAddr,
    scripted: Arc<Scripted>,
    server: JoinHandle<()>,
}

impl Drop for Device {
    fn drop(&mut self) {
        self.server.abort();
    }
}

const INFO: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<DeviceInfo version="2.0" xmlns="http://www.hikvision.com/ver20/XMLSchema">
<deviceName>Front Door</deviceName><deviceID>48343131-3435</deviceID><model>DS-2DE4425IW-DE</model>
<serialNumber>DS-2DE4425IW-DE20210101AAWRF41375543</serialNumber><macAddress>44:47:cc:11:22:33</macAddress>
<firmwareVersion>V5.7.3</firmwareVersion><firmwareReleasedDate>build 210830</firmwareReleasedDate>
<deviceType>IPDome</deviceType></DeviceInfo>"#;
const INPUTS: &str = r#"<VideoInputChannelList version="2.0" xmlns="http://www.hikvision.com/ver20/XMLSchema">
<VideoInputChannel version="2.0"><id>1</id><inputPort>1</inputPort><name>Camera 01</name><videoFormat>PAL</videoFormat></VideoInputChannel>
</VideoInputChannelList>"#;
const STREAMS: &str = r#"<StreamingChannelList version="2.0" xmlns="http://www.hikvision.com/ver20/XMLSchema">
<StreamingChannel version="2.0"><id>101</id><channelName>Camera 01</channelName><enabled>true</enabled>
<Transport><maxPacketSize>1000</maxPacketSize><ControlProtocolList><ControlProtocol><streamingTransport>RTSP</streamingTransport></ControlProtocol></ControlProtocolList></Transport>
<Video><enabled>true</enabled><videoInputChannelID>1</videoInputChannelID><videoCodecType>H.265</videoCodecType><videoResolutionWidth>2560</videoResolutionWidth><videoResolutionHeight>1440</videoResolutionHeight><maxFrameRate>2500</maxFrameRate><snapShotImageType>JPEG</snapShotImageType></Video>
<Audio><enabled>true</enabled><audioInputChannelID>1</audioInputChannelID><audioCompressionType>G.711ulaw</audioCompressionType></Audio></StreamingChannel>
<StreamingChannel version="2.0"><id>102</id><channelName>Camera 01</channelName><enabled>true</enabled>
<Video><enabled>true</enabled><videoCodecType>H.264</videoCodecType><videoResolutionWidth>640</videoResolutionWidth><videoResolutionHeight>360</videoResolutionHeight></Video>
<Audio><enabled>false</enabled></Audio></StreamingChannel>
<StreamingChannel version="2.0"><id>103</id></StreamingChannel></StreamingChannelList>"#;
const PTZ_CAP: &str = r#"<PTZChanelCap version="2.0" xmlns="http://www.hikvision.com/ver20/XMLSchema">
<AbsolutePanTiltPositionSpace><XRange><Min>0</Min><Max>3500</Max></XRange><YRange><Min>0</Min><Max>900</Max></YRange></AbsolutePanTiltPositionSpace>
<AbsoluteZoomPositionSpace><ZRange><Min>10</Min><Max>250</Max></ZRange></AbsoluteZoomPositionSpace>
<ContinuousPanTiltSpace><XRange><Min>-100</Min><Max>100</Max></XRange><YRange><Min>-100</Min><Max>100</Max></YRange></ContinuousPanTiltSpace>
<ContinuousZoomSpace><ZRange><Min>-100</Min><Max>100</Max></ZRange></ContinuousZoomSpace>
<maxPresetNum>36</maxPresetNum><PresetNameCap><specialNo opt="2,33,34,35,36"/></PresetNameCap></PTZChanelCap>"#;
const PRESETS: &str = r#"<PTZPresetList version="2.0" xmlns="http://www.hikvision.com/ver20/XMLSchema">
<PTZPreset version="2.0"><enabled>true</enabled><id>1</id><presetName>Gate</presetName></PTZPreset>
<PTZPreset version="2.0"><enabled>false</enabled><id>3</id><presetName>Preset 3</presetName></PTZPreset>
<PTZPreset version="2.0"><enabled>true</enabled><id>34</id><presetName>Back to origin</presetName></PTZPreset></PTZPresetList>"#;
const FLIP: &str =
    r#"<ImageFlip version="2.0" xmlns="http://www.hikvision.com/ver20/XMLSchema"><enabled>false</enabled></ImageFlip>"#;
const FLIP_CAP: &str = r#"<ImageFlip version="2.0" xmlns="http://www.hikvision.com/ver20/XMLSchema"><enabled opt="true,false">false</enabled><ImageFlipStyle opt="LEFTRIGHT,UPDOWN,CENTER"/></ImageFlip>"#;
const MASK: &str = r#"<PrivacyMask version="2.0" xmlns="http://www.isapi.org/ver20/XMLSchema"><enabled>true</enabled>
<normalizedScreenSize><normalizedScreenWidth>704</normalizedScreenWidth><normalizedScreenHeight>576</normalizedScreenHeight></normalizedScreenSize>
<PrivacyMaskRegionList size="4"><PrivacyMaskRegion><id>1</id><enabled>true</enabled><RegionCoordinatesList>
<RegionCoordinates><positionX>70</positionX><positionY>48</positionY></RegionCoordinates><RegionCoordinates><positionX>352</positionX><positionY>48</positionY></RegionCoordinates>
<RegionCoordinates><positionX>352</positionX><positionY>240</positionY></RegionCoordinates><RegionCoordinates><positionX>70</positionX><positionY>240</positionY></RegionCoordinates>
</RegionCoordinatesList></PrivacyMaskRegion></PrivacyMaskRegionList></PrivacyMask>"#;
const TALK: &str = r#"<TwoWayAudioChannelList version="2.0" xmlns="http://www.hikvision.com/ver20/XMLSchema">
<TwoWayAudioChannel version="2.0"><id>1</id><enabled>false</enabled><audioCompressionType>G.711ulaw</audioCompressionType><audioInputType>MicIn</audioInputType><speakerVolume>50</speakerVolume></TwoWayAudioChannel></TwoWayAudioChannelList>"#;
const SESSION: &str = r#"<TwoWayAudioSession version="2.0" xmlns="http://www.isapi.com/ver20/XMLSchema"><sessionId>2093716360</sessionId></TwoWayAudioSession>"#;
const PROXIES: &str = r#"<InputProxyChannelList version="2.0" xmlns="http://www.hikvision.com/ver20/XMLSchema">
<InputProxyChannel version="2.0"><id>1</id><name>Driveway</name><sourceInputPortDescriptor><proxyProtocol>HIKVISION</proxyProtocol><ipAddress>192.168.254.2</ipAddress><managePortNo>8000</managePortNo></sourceInputPortDescriptor></InputProxyChannel>
<InputProxyChannel version="2.0"><id>2</id><name>Yard</name></InputProxyChannel>
<InputProxyChannel version="2.0"><id>12</id><name>Attic</name></InputProxyChannel></InputProxyChannelList>"#;
const PROXY_STATUS: &str = r#"<InputProxyChannelStatusList version="2.0" xmlns="http://www.hikvision.com/ver20/XMLSchema">
<InputProxyChannelStatus version="2.0"><id>1</id><online>false</online><chanDetectResult>networkAbnormal</chanDetectResult></InputProxyChannelStatus>
<InputProxyChannelStatus version="2.0"><id>2</id><online>true</online><chanDetectResult>connect</chanDetectResult></InputProxyChannelStatus>
</InputProxyChannelStatusList>"#;

/// A JPEG as far as anybody here looks.
const PICTURE: &[u8] = &[0xFF, 0xD8, 0xFF, 0xE0, 1, 2, 3];

impl Device {
    /// A dome. What it is not told to answer it does not have.
    async fn dome() -> Device {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let scripted = Arc::new(Scripted {
            replies: Mutex::default(),
            heard: Mutex::default(),
            verifier: Mutex::new(Verifier::new("DS-2DE4425IW-DE", Instant::now())),
        });
        let app = axum::Router::new().fallback(answer).with_state(scripted.clone());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let device = Device { address, scripted, server };
        for (what, reply) in [
            ("GET System/deviceInfo", INFO),
            ("GET System/Video/inputs/channels", INPUTS),
            ("GET Streaming/channels", STREAMS),
            ("GET PTZCtrl/channels/1/capabilities", PTZ_CAP),
            ("GET PTZCtrl/channels/1/presets", PRESETS),
            ("GET Image/channels/1/imageFlip", FLIP),
            ("GET Image/channels/1/imageFlip/capabilities", FLIP_CAP),
            ("GET System/Video/inputs/channels/1/privacyMask", MASK),
            ("GET System/TwoWayAudio/channels", TALK),
            ("PUT System/TwoWayAudio/channels/1/open", SESSION),
        ] {
            device.on(what, reply);
        }
        for what in [
            "PUT PTZCtrl/channels/1/continuous",
            "PUT PTZCtrl/channels/1/presets/4",
            "PUT PTZCtrl/channels/1/presets/1/goto",
            "DELETE PTZCtrl/channels/1/presets/1",
            "PUT Image/channels/1/imageFlip",
            "PUT System/Video/inputs/channels/1/privacyMask",
            "PUT Streaming/channels/102/requestKeyFrame",
            "PUT System/TwoWayAudio/channels/1/close",
        ] {
            device.on(what, Reply::Text(200, ResponseStatus::ok("/ISAPI").to_document()));
        }
        device.on("PUT System/TwoWayAudio/channels/1/audioData", Reply::Speaker(None));
        device.on("GET Streaming/channels/101/picture", Reply::Bytes(PICTURE.into()));
        device
    }

    /// The first camera is off line, the third tells nothing.
    async fn recorder() -> Device {
        let device = Device::dome().await;
        device.off("GET System/Video/inputs/channels");
        device.off("GET Streaming/channels");
        device.on("GET ContentMgmt/InputProxy/channels", PROXIES);
        device.on("GET ContentMgmt/InputProxy/channels/status", PROXY_STATUS);
        device.on("GET PTZCtrl/channels/2/capabilities", PTZ_CAP);
        device
    }

    fn on(&self, what: &str, reply: impl Into<Reply>) {
        let what = what.replacen(' ', " /ISAPI/", 1);
        self.scripted.replies.lock().unwrap().insert(what, reply.into());
    }

    fn off(&self, what: &str) {
        self.scripted.replies.lock().unwrap().remove(&what.replacen(' ', " /ISAPI/", 1));
    }

    fn stands_at(&self, elevation: i32, azimuth: i32) {
        let status = format!(
            "<PTZStatus xmlns='http://www.hikvision.com/ver20/XMLSchema'><AbsoluteHigh><elevation>{elevation}</elevation><azimuth>{azimuth}</azimuth><absoluteZoom>10</absoluteZoom></AbsoluteHigh></PTZStatus>"
        );
        self.on("GET PTZCtrl/channels/1/status", status.as_str());
    }

    fn driver(&self) -> IsapiDriver {
        self.driver_with(PASSWORD)
    }

    fn driver_with(&self, password: &str) -> IsapiDriver {
        let login = Login { user: USER.into(), password: password.into() };
        let dialer = Dialer::new([AllowedHost { ip: self.address.ip(), port: None }]);
        IsapiDriver::new(dialer, &self.address.to_string(), Some(login)).unwrap()
    }

    /// What it was told since the last time, without the prefix, GETs left out.
    fn told(&self) -> Vec<String> {
        let heard = std::mem::take(&mut *self.scripted.heard.lock().unwrap());
        let changes = heard.iter().filter(|heard| !heard.what.starts_with("GET "));
        changes.map(|heard| heard.what.replacen("/ISAPI/", "", 1)).collect()
    }

    /// The body it was sent last.
    fn sent<D: Document>(&self) -> D {
        let heard = self.scripted.heard.lock().unwrap();
        let last = heard.last().unwrap();
        assert_eq!(last.kind.as_deref(), Some("application/xml"));
        D::parse(&last.body).unwrap()
    }
}

async fn answer(
    State(device): State<Arc<Scripted>>,
    method: HttpMethod,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response<Body> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let target = uri.path_and_query().unwrap().as_str();
    {
        let verifier = device.verifier.lock().unwrap();
        let password = |user: &str| (user == USER).then(|| PASSWORD.to_owned());
        let authorization = header("authorization");
        let judged = verifier.verify(Instant::now(), authorization.as_deref(), method.as_str(), target, password);
        if let Err(denied) = judged {
            let mut response = Response::builder().status(401);
            for challenge in verifier.challenges(Instant::now(), denied) {
                response = response.header("WWW-Authenticate", challenge);
            }
            let text = match denied {
                Denied::Bad => ResponseStatus::refused(target, Refusal::Login).to_document(),
                _ => "<html><body>Access Error: 401</body></html>".into(),
            };
            return response.body(text.into()).unwrap();
        }
    }
    let reply = device.replies.lock().unwrap().get(&format!("{method} {}", uri.path())).cloned();
    let mut heard = Heard {
        what: format!("{method} {target}"),
        body: Vec::new(),
        length: header("content-length"),
        kind: header("content-type"),
    };
    let limit = match reply {
        Some(Reply::Speaker(Some(bytes))) => bytes,
        _ => usize::MAX,
    };
    let mut body = body.into_data_stream();
    while heard.body.len() < limit {
        let Some(Ok(data)) = body.next().await else { break };
        heard.body.extend(data);
    }
    device.heard.lock().unwrap().push(heard);
    let text = |status: u16, text: String| Response::builder().status(status).body(Body::from(text)).unwrap();
    match reply {
        None => text(403, ResponseStatus::refused(target, Refusal::NotSupported).to_document()),
        Some(Reply::Text(status, document)) => text(status, document),
        Some(Reply::Bytes(bytes)) => Response::new(bytes.into()),
        Some(Reply::Silence) => std::future::pending().await,
        Some(Reply::Break) => {
            let broken = stream::iter([Ok("<Device"), Err(std::io::Error::other("gone"))]);
            // The first part gets through before the connection breaks.
            Response::new(Body::from_stream(broken.chain(stream::pending())))
        }
        Some(Reply::Files(files, page)) => {
            let asked = CmSearchDescription::parse(&device.heard.lock().unwrap().last().unwrap().body).unwrap();
            text(200, found(&files, page, &asked).to_document())
        }
        Some(Reply::Speaker(None)) => text(200, ResponseStatus::ok(target).to_document()),
        Some(Reply::Speaker(Some(_))) => text(503, ResponseStatus::refused(target, Refusal::Busy).to_document()),
    }
}

fn found(files: &[(i64, i64, &'static str)], page: usize, asked: &CmSearchDescription) -> CmSearchResult {
    let [span] = asked.spans[..] else { panic!("{asked:?}") };
    let matching: Vec<_> = files.iter().filter(|(from, to, _)| *to > span.start.0 && *from < span.end.0).collect();
    let position = asked.position.unwrap() as usize;
    let page = matching.iter().skip(position).take(page.min(asked.max_results.unwrap() as usize));
    let matches: Vec<_> = page
        .map(|&&(from, to, kind)| SearchMatchItem {
            source_id: None,
            track: Some(101),
            span: TimeSpan { start: UnixMicros(from), end: UnixMicros(to) },
            media: Some(MediaSegmentDescriptor {
                content_type: Some("video".into()),
                codec_type: None,
                playback_uri: Some(format!("rtsp://10.0.0.1/Streaming/tracks/101?starttime=x&size={}", from % 1000)),
            }),
            metadata: vec![format!("recordType.meta.hikvision.com/{kind}")],
        })
        .collect();
    let status = match (position + matches.len() < matching.len(), matching.is_empty()) {
        (true, _) => CmSearchResult::MORE,
        (false, true) => CmSearchResult::NO_MATCHES,
        (false, false) => CmSearchResult::OK,
    };
    CmSearchResult {
        search_id: Some(asked.search_id.clone()),
        response_status: Some(true),
        response_status_string: status.into(),
        matches_number: Some(matches.len() as i32),
        matches,
    }
}

fn velocity(pan: f32, tilt: f32, zoom: f32) -> Velocity {
    Velocity { pan, tilt, zoom }
}

#[tokio::test]
async fn a_dome_tells_what_it_is_and_can() {
    let device = Device::dome().await;
    let facts = device.driver().probe().await.unwrap();
    assert_eq!(facts.model.as_deref(), Some("DS-2DE4425IW-DE"));
    assert_eq!(facts.firmware.as_deref(), Some("V5.7.3 build 210830"));
    assert_eq!(facts.serial.as_deref(), Some("F41375543"));
    let [channel] = &facts.channels[..] else { panic!("{:?}", facts.channels) };
    assert_eq!((channel.no, channel.name.as_str()), (ONE, "Camera 01"));
    assert_eq!((channel.main.video_codec.as_deref(), channel.main.size), (Some("H265"), Some((2560, 1440))));
    assert_eq!(channel.main.audio, Some(true));
    let sub = channel.sub.as_ref().unwrap();
    assert_eq!((sub.video_codec.as_deref(), sub.size, sub.audio), (Some("H264"), Some((640, 360)), Some(false)));
    let all = [
        "ptz_45",
        "ptz_center_mirror",
        "ptz_left_right",
        "ptz_left_right_mirror",
        "ptz_preset",
        "ptz_top_bottom",
        "ptz_top_bottom_mirror",
        "ptz_zoom",
        "support_capture",
        "support_privacy",
        "support_ptz",
        "support_talk",
    ];
    assert_eq!(facts.capabilities.keys().collect::<Vec<_>>(), all);
    assert!(facts.capabilities.values().all(|value| value == "1"));
    // A look changes nothing.
    assert_eq!(device.told(), [""; 0]);
}

#[tokio::test]
async fn a_plain_camera_can_only_be_watched() {
    let device = Device::dome().await;
    device.scripted.replies.lock().unwrap().retain(|what, _| {
        ["deviceInfo", "inputs/channels", "Streaming/channels"].iter().any(|end| what.ends_with(end))
    });
    device.on("GET Streaming/channels", STREAMS.replace("<snapShotImageType>JPEG</snapShotImageType>", "").as_str());
    let driver = device.driver();
    let facts = driver.probe().await.unwrap();
    assert_eq!(facts.capabilities, BTreeMap::new());
    assert_eq!(driver.ptz_start(ONE, velocity(1.0, 0.0, 0.0)).await, Err(DriverError::Unsupported));
    assert_eq!(driver.ptz_stop(ONE).await, Err(DriverError::Unsupported));
    assert_eq!(driver.position(ONE).await, Err(DriverError::Unsupported));
    assert_eq!(driver.preset_add(ONE).await, Err(DriverError::Unsupported));
    assert_eq!(driver.preset_move(ONE, PresetNo(1)).await, Err(DriverError::Unsupported));
    assert_eq!(driver.mirror(ONE, Mirror::Centre).await, Err(DriverError::Unsupported));
    assert_eq!(driver.mask(ONE).await, Err(DriverError::Unsupported));
    assert_eq!(driver.set_mask(ONE, true).await, Err(DriverError::Unsupported));
    assert_eq!(driver.snapshot(ONE).await, Err(DriverError::Unsupported));
    assert_eq!(driver.open_speaker(ONE).await.err(), Some(DriverError::Unsupported));
    assert_eq!(driver.request_key_frame(ONE, Quality::Main).await, Err(DriverError::Unsupported));
    assert_eq!(driver.ptz_stop(ChannelNo(2)).await, Err(DriverError::Unsupported));
}

#[tokio::test]
async fn a_recorder_is_one_device_with_many_channels() {
    let device = Device::recorder().await;
    let driver = device.driver();
    let facts = driver.probe().await.unwrap();
    let channels: Vec<_> = facts.channels.iter().map(|c| (c.no.0, c.name.as_str(), c.sub.is_some())).collect();
    assert_eq!(channels, [(1, "Driveway", true), (2, "Yard", true), (12, "Attic", true)]);
    assert_eq!(facts.capabilities.get("support_ptz").map(String::as_str), Some("1"));
    // The speaker is the recorder's own, and in another room than any of the cameras.
    assert_eq!(facts.capabilities.get("support_talk"), None);
    // The camera that is off line is left alone.
    let heard = device.scripted.heard.lock().unwrap().clone();
    assert!(!heard.iter().any(|heard| heard.what.contains("PTZCtrl/channels/1/")));
    assert!(heard.iter().any(|heard| heard.what.contains("PTZCtrl/channels/12/")));

    device.on("PUT PTZCtrl/channels/2/continuous", Reply::Text(200, ResponseStatus::ok("/ISAPI").to_document()));
    driver.ptz_start(ChannelNo(2), velocity(0.0, -1.0, 0.0)).await.unwrap();
    assert_eq!(device.told(), ["PUT PTZCtrl/channels/2/continuous"]);
    assert_eq!(driver.ptz_start(ChannelNo(12), velocity(0.0, -1.0, 0.0)).await, Err(DriverError::Unsupported));
}

#[tokio::test]
async fn a_recorder_speaks_at_the_channel_that_is_asked() {
    let device = Device::recorder().await;
    let talk = r#"<TwoWayAudioChannelList><TwoWayAudioChannel><id>1</id><audioCompressionType>G.711ulaw</audioCompressionType></TwoWayAudioChannel>
        <TwoWayAudioChannel><id>1002</id><audioCompressionType>G.711alaw</audioCompressionType><associateVideoInputs><enabled>true</enabled><videoInputChannelList><videoInputChannelID>2</videoInputChannelID></videoInputChannelList></associateVideoInputs></TwoWayAudioChannel></TwoWayAudioChannelList>"#;
    device.on("GET System/TwoWayAudio/channels", talk);
    for what in ["close", "open"] {
        let ok = ResponseStatus::ok("/ISAPI").to_document();
        device.on(&format!("PUT System/TwoWayAudio/channels/1002/{what}"), Reply::Text(200, ok));
    }
    device.on("PUT System/TwoWayAudio/channels/1002/audioData", Reply::Speaker(None));
    let driver = device.driver();
    assert_eq!(driver.probe().await.unwrap().capabilities["support_talk"], "1");
    let sound = Pcm { sample_rate: 8000, samples: vec![1000; 320] };
    driver.open_speaker(ChannelNo(2)).await.unwrap().play(sound.clone()).await.unwrap();
    let heard = device.scripted.heard.lock().unwrap().iter().find(|h| h.what.contains("audioData")).cloned().unwrap();
    assert_eq!(heard.what, "PUT /ISAPI/System/TwoWayAudio/channels/1002/audioData");
    assert_eq!(heard.body, g711::encode(G711Law::A, &sound.samples));
    assert_eq!(driver.open_speaker(ONE).await.err(), Some(DriverError::Unsupported));
}

#[tokio::test]
async fn motors_are_told_percents() {
    let device = Device::dome().await;
    let driver = device.driver();
    for (asked, told) in [
        (velocity(-0.5, 0.0, 0.0), (-50, 0, 0)),
        (velocity(1.0, 1.0, 0.0), (100, 100, 0)),
        (velocity(0.0, 0.0, -7.0), (0, 0, -100)),
        (velocity(0.001, 0.0, 0.0), (1, 0, 0)),
    ] {
        driver.ptz_start(ONE, asked).await.unwrap();
        let PtzData { pan, tilt, zoom } = device.sent();
        assert_eq!((pan, tilt, zoom), told);
    }
    driver.ptz_stop(ONE).await.unwrap();
    assert_eq!(device.sent::<PtzData>(), PtzData { pan: 0, tilt: 0, zoom: 0 });
    // A motor that only zooms.
    let zooms = PTZ_CAP.replace("ContinuousPanTiltSpace", "Other");
    device.on("GET PTZCtrl/channels/1/capabilities", zooms.as_str());
    let driver = device.driver();
    let capabilities = driver.probe().await.unwrap().capabilities;
    assert_eq!((capabilities.contains_key("ptz_zoom"), capabilities.contains_key("ptz_45")), (true, false));
    assert_eq!(driver.ptz_start(ONE, velocity(1.0, 0.0, 0.0)).await, Err(DriverError::Unsupported));
}

#[tokio::test]
async fn where_up_is_shows_when_it_tilts() {
    for upwards in [false, true] {
        let device = Device::dome().await;
        let driver = device.driver();
        device.stands_at(450, 1750);
        let at = driver.position(ONE).await.unwrap();
        assert_eq!(at, Position { pan: Some(0.0), tilt: None, zoom: Some(-1.0) });
        // Panning shows nothing, nor does a preset.
        driver.ptz_start(ONE, velocity(1.0, 0.0, 0.0)).await.unwrap();
        device.stands_at(460, 3500);
        let at = driver.position(ONE).await.unwrap();
        assert_eq!((at.pan, at.tilt), (Some(1.0), None));
        driver.ptz_start(ONE, velocity(0.0, 1.0, 0.0)).await.unwrap();
        driver.preset_move(ONE, PresetNo(1)).await.unwrap();
        device.stands_at(450, 0);
        assert_eq!(driver.position(ONE).await.unwrap().tilt, None);

        driver.ptz_start(ONE, velocity(0.0, 1.0, 0.0)).await.unwrap();
        let top = if upwards { 900 } else { 0 };
        device.stands_at(top, 0);
        assert_eq!(driver.position(ONE).await.unwrap().tilt, Some(1.0));
        device.stands_at(900 - top, 0);
        assert_eq!(driver.position(ONE).await.unwrap().tilt, Some(-1.0));
    }
}

#[tokio::test]
async fn a_motor_that_turns_around_has_no_end() {
    let device = Device::dome().await;
    device.on("GET PTZCtrl/channels/1/capabilities", PTZ_CAP.replace("3500", "3600").as_str());
    device.stands_at(0, 3600);
    let driver = device.driver();
    assert_eq!(driver.position(ONE).await.unwrap().pan, None);
    device.on("GET PTZCtrl/channels/1/status", "<PTZStatus/>");
    assert_eq!(driver.position(ONE).await, Err(DriverError::Unsupported));
}

#[tokio::test]
async fn presets_are_places_with_numbers_of_ours() {
    let device = Device::dome().await;
    let driver = device.driver();
    // 1 is set, 2 is a command, 3 is listed and free.
    device.on("PUT PTZCtrl/channels/1/presets/3", Reply::Text(200, ResponseStatus::ok("/ISAPI").to_document()));
    assert_eq!(driver.preset_add(ONE).await, Ok(PresetNo(3)));
    let PtzPreset { enabled, id, name, .. } = device.sent();
    assert_eq!((enabled, id, name.as_deref()), (Some(true), 3, Some("Preset 3")));
    driver.preset_move(ONE, PresetNo(1)).await.unwrap();
    driver.preset_clear(ONE, PresetNo(1)).await.unwrap();
    let expected = [
        "PUT PTZCtrl/channels/1/presets/3",
        "PUT PTZCtrl/channels/1/presets/1/goto",
        "DELETE PTZCtrl/channels/1/presets/1",
    ];
    assert_eq!(device.told(), expected);
    // Not set, a command (some restart the camera), none at all.
    for number in [3, 4, 34, 94, 0, 300] {
        assert_eq!(driver.preset_move(ONE, PresetNo(number)).await, Err(DriverError::PresetUnknown), "{number}");
        assert_eq!(driver.preset_clear(ONE, PresetNo(number)).await, Err(DriverError::PresetUnknown), "{number}");
    }
    assert_eq!(device.told(), [""; 0]);

    let place = "<AbsoluteHigh><elevation>450</elevation><azimuth>1750</azimuth><absoluteZoom>10</absoluteZoom></AbsoluteHigh></PTZPreset>";
    device.on("GET PTZCtrl/channels/1/presets", PRESETS.replace("</PTZPreset>", place).as_str());
    device.stands_at(451, 1749);
    assert_eq!(driver.preset_move(ONE, PresetNo(1)).await, Err(DriverError::PresetReached));
    device.stands_at(451, 1849);
    assert_eq!(driver.preset_move(ONE, PresetNo(1)).await, Ok(()));

    let full: String =
        (1..=36).map(|id| format!("<PTZPreset><enabled>true</enabled><id>{id}</id></PTZPreset>")).collect();
    device.on("GET PTZCtrl/channels/1/presets", format!("<PTZPresetList>{full}</PTZPresetList>").as_str());
    assert_eq!(driver.preset_add(ONE).await, Err(DriverError::PresetsFull));
}

#[tokio::test]
async fn mirrors_add_up() {
    let device = Device::dome().await;
    let driver = device.driver();
    let flip = |style: Option<&str>| ImageFlip { enabled: style.is_some(), style: style.map(str::to_owned) };
    for (now, asked, then) in [
        (None, Mirror::LeftRight, Some("LEFTRIGHT")),
        (Some("LEFTRIGHT"), Mirror::LeftRight, None),
        (Some("LEFTRIGHT"), Mirror::UpDown, Some("CENTER")),
        (Some("center"), Mirror::UpDown, Some("LEFTRIGHT")),
        (Some("UPDOWN"), Mirror::Centre, Some("LEFTRIGHT")),
        (Some("AUTO"), Mirror::Centre, Some("CENTER")),
    ] {
        device.on("GET Image/channels/1/imageFlip", flip(now).to_document().as_str());
        driver.mirror(ONE, asked).await.unwrap();
        assert_eq!(device.sent::<ImageFlip>(), flip(then), "{now:?} {asked:?}");
    }
    device.told();

    // One that can be hung upside down only, at the older path.
    device.off("GET Image/channels/1/imageFlip");
    device.on("GET Image/channels/1/ImageFlip", FLIP);
    device.on("GET Image/channels/1/ImageFlip/capabilities", FLIP_CAP.replace("LEFTRIGHT,UPDOWN,", "").as_str());
    device.on("PUT Image/channels/1/ImageFlip", Reply::Text(200, ResponseStatus::ok("/ISAPI").to_document()));
    let driver = device.driver();
    let capabilities = driver.probe().await.unwrap().capabilities;
    let mirrors: Vec<&String> = capabilities.keys().filter(|name| name.ends_with("mirror")).collect();
    assert_eq!(mirrors, ["ptz_center_mirror"]);
    assert_eq!(driver.mirror(ONE, Mirror::UpDown).await, Err(DriverError::Unsupported));
    driver.mirror(ONE, Mirror::Centre).await.unwrap();
    assert_eq!(device.told(), ["PUT Image/channels/1/ImageFlip"]);
}

#[tokio::test]
async fn the_lens_is_covered_beside_what_its_owner_hides() {
    let device = Device::dome().await;
    let driver = device.driver();
    assert_eq!(driver.mask(ONE).await, Ok(false));
    driver.set_mask(ONE, false).await.unwrap();
    assert_eq!(device.told(), [""; 0]);

    driver.set_mask(ONE, true).await.unwrap();
    let covered: PrivacyMask = device.sent();
    let [window, whole] = &covered.regions[..] else { panic!("{covered:?}") };
    assert!(covered.enabled && whole.enabled && covered.is_whole(whole));
    assert_eq!((whole.id, window.id, window.enabled, window.corners.len()), (2, 1, true, 4));

    device.on("GET System/Video/inputs/channels/1/privacyMask", covered.to_document().as_str());
    assert_eq!(driver.mask(ONE).await, Ok(true));
    driver.set_mask(ONE, false).await.unwrap();
    let bare: PrivacyMask = device.sent();
    assert!(bare.enabled && bare.regions[0].enabled && !bare.regions[1].enabled);

    // Nothing else is hidden: then nothing is.
    let only = PrivacyMask { regions: vec![covered.regions[1].clone()], ..covered };
    device.on("GET System/Video/inputs/channels/1/privacyMask", only.to_document().as_str());
    driver.set_mask(ONE, false).await.unwrap();
    assert!(!device.sent::<PrivacyMask>().enabled);
    // A region kept for it is taken again.
    let kept = PrivacyMask { enabled: false, ..only };
    device.on("GET System/Video/inputs/channels/1/privacyMask", kept.to_document().as_str());
    assert_eq!(driver.mask(ONE).await, Ok(false));
    driver.set_mask(ONE, true).await.unwrap();
    let again: PrivacyMask = device.sent();
    assert_eq!((again.enabled, again.regions.len(), again.regions[0].id), (true, 1, 2));
}

#[tokio::test]
async fn pictures_are_jpegs_or_nothing() {
    let device = Device::dome().await;
    let driver = device.driver();
    assert_eq!(driver.snapshot(ONE).await.unwrap(), PICTURE);
    for (reply, says) in [
        (Reply::Bytes(Vec::new()), "empty"),
        (Reply::from("<html>Please sign in</html>"), "no JPEG"),
        (Reply::Bytes(vec![0xFF; SNAPSHOT_BYTES_MAX + 1]), "longer"),
        (refused(Refusal::ChannelOffline), "ipcOffline"),
        (Reply::Text(500, String::new()), "HTTP 500"),
        (Reply::Break, "picture"),
    ] {
        device.on("GET Streaming/channels/101/picture", reply);
        let error = driver.snapshot(ONE).await.unwrap_err();
        assert!(
            error.to_string().contains(says) || matches!(error, DriverError::Unreachable { .. }),
            "{says}: {error}"
        );
    }
}

#[tokio::test]
async fn key_frames_are_asked_of_the_right_stream() {
    let device = Device::dome().await;
    device.driver().request_key_frame(ONE, Quality::Sub).await.unwrap();
    assert_eq!(device.told(), ["PUT Streaming/channels/102/requestKeyFrame"]);
    let heard = device.scripted.heard.lock().unwrap();
    // Without a body older firmware wants to be told that there is none.
    assert!(heard.iter().all(|heard| heard.length.as_deref() == Some("0")), "{heard:?}");
}

/// A ramp, so that any byte out of its place shows.
fn ramp(samples: usize) -> Pcm {
    Pcm { sample_rate: 8000, samples: (0..samples).map(|i| (i * 37 % 20_000) as i16).collect() }
}

#[tokio::test]
async fn sound_is_sent_as_it_is_heard() {
    let device = Device::dome().await;
    let driver = device.driver();
    let speaker = driver.open_speaker(ONE).await.unwrap();
    assert_eq!(device.told(), ["PUT System/TwoWayAudio/channels/1/close", "PUT System/TwoWayAudio/channels/1/open"]);
    let sound = ramp(4000);
    let began = Instant::now();
    speaker.play(sound.clone()).await.unwrap();
    // Half a second of sound, the last block of which is sent when the others have sounded.
    assert!(began.elapsed() >= Duration::from_millis(480), "{:?}", began.elapsed());
    let heard = device.scripted.heard.lock().unwrap().clone();
    let [data, close] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!(data.what, "PUT /ISAPI/System/TwoWayAudio/channels/1/audioData?sessionId=2093716360");
    assert_eq!(data.kind.as_deref(), Some("application/octet-stream"));
    assert_eq!(data.length.as_deref(), Some("4000"));
    assert_eq!(data.body, g711::encode(G711Law::Mu, &sound.samples));
    assert_eq!(close.what, "PUT /ISAPI/System/TwoWayAudio/channels/1/close");
}

#[tokio::test]
async fn sound_of_another_rate_is_as_long() {
    let device = Device::dome().await;
    let speaker = device.driver().open_speaker(ONE).await.unwrap();
    speaker.play(Pcm { sample_rate: 16_000, samples: vec![0; 3200] }).await.unwrap();
    let heard = device.scripted.heard.lock().unwrap().clone();
    let data = heard.iter().find(|heard| heard.what.contains("audioData")).unwrap();
    assert!(data.body.len().abs_diff(1600) <= 1, "{}", data.body.len());
}

/// Nonces are forgotten at any time; the sound begins anew then.
#[tokio::test]
async fn sound_survives_another_challenge() {
    let device = Device::dome().await;
    let speaker = device.driver().open_speaker(ONE).await.unwrap();
    *device.scripted.verifier.lock().unwrap() = Verifier::new("again", Instant::now());
    let sound = ramp(800);
    speaker.play(sound.clone()).await.unwrap();
    let heard = device.scripted.heard.lock().unwrap().clone();
    let data = heard.iter().find(|heard| heard.what.contains("audioData")).unwrap();
    assert_eq!(data.body, g711::encode(G711Law::Mu, &sound.samples));
}

#[tokio::test]
async fn a_speaker_that_is_taken_says_so() {
    let device = Device::dome().await;
    let driver = device.driver();
    for reply in [refused(Refusal::Busy), Reply::Text(403, String::new()), Reply::Text(401, "<html/>".into())] {
        device.on("PUT System/TwoWayAudio/channels/1/open", reply);
        assert_eq!(driver.open_speaker(ONE).await.err(), Some(DriverError::SpeakerBusy));
    }
    device.on("PUT System/TwoWayAudio/channels/1/open", refused(Refusal::NotSupported));
    assert_eq!(driver.open_speaker(ONE).await.err(), Some(DriverError::Unsupported));
    // Who may not even close it may not speak.
    device.on("PUT System/TwoWayAudio/channels/1/close", refused(Refusal::Privilege));
    device.on("PUT System/TwoWayAudio/channels/1/open", refused(Refusal::Privilege));
    assert_eq!(driver.open_speaker(ONE).await.err(), Some(DriverError::LoginRefused));
    // AAC and the like.
    device.on("GET System/TwoWayAudio/channels", TALK.replace("G.711ulaw", "G.722.1").as_str());
    let driver = device.driver();
    assert_eq!(driver.probe().await.unwrap().capabilities.get("support_talk"), None);
    assert_eq!(driver.open_speaker(ONE).await.err(), Some(DriverError::Unsupported));
}

#[tokio::test]
async fn a_speaker_that_is_taken_away_ends_the_sound_and_is_closed() {
    let device = Device::dome().await;
    let speaker = device.driver().open_speaker(ONE).await.unwrap();
    device.told();
    device.on("PUT System/TwoWayAudio/channels/1/audioData", Reply::Speaker(Some(320)));
    let began = Instant::now();
    // Ten seconds of sound, of which 40 ms are taken.
    let error = speaker.play(ramp(80_000)).await.unwrap_err();
    assert!(matches!(&error, DriverError::Refused { step: "talk", cause } if cause.contains("deviceBusy")), "{error}");
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(device.told().last().unwrap(), "PUT System/TwoWayAudio/channels/1/close");
}

#[tokio::test]
async fn a_speaker_that_is_dropped_is_closed() {
    let device = Device::dome().await;
    let speaker = device.driver().open_speaker(ONE).await.unwrap();
    device.told();
    drop(speaker);
    let closed = async {
        while device.told().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), closed).await.unwrap();
}

#[tokio::test]
async fn a_speaker_that_never_answers_has_heard() {
    let device = Device::dome().await;
    let speaker = device.driver().open_speaker(ONE).await.unwrap();
    device.on("PUT System/TwoWayAudio/channels/1/audioData", Reply::Silence);
    let began = Instant::now();
    speaker.play(ramp(800)).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

/// Some firmware answers to the head of the request and goes on listening.
#[tokio::test]
async fn a_speaker_that_answers_at_once_hears_it_all() {
    let device = Device::dome().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        let (mut line, mut length) = (String::new(), 0);
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line).await.unwrap();
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
        }
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let ok = ResponseStatus::ok("/ISAPI").to_document();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{ok}", ok.len());
        stream.get_mut().write_all(answer.as_bytes()).await.unwrap();
        let mut sound = vec![0; length];
        stream.read_exact(&mut sound).await.unwrap();
        sound
    });
    let elsewhere = device.driver();
    let client = Client::new(elsewhere.dialer.clone(), base(&address.to_string()).unwrap(), None);
    let sound = ramp(4000);
    let expected = g711::encode(G711Law::Mu, &sound.samples);
    OpenSpeaker::opened(Arc::new(client), G711Law::Mu).send(expected.clone()).await.unwrap();
    let heard = tokio::time::timeout(Duration::from_secs(30), heard).await.unwrap().unwrap();
    assert_eq!(heard, expected);
}

#[tokio::test]
async fn media_is_where_the_device_says() {
    let rtsp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = rtsp.local_addr().unwrap().port();
    let device = Device::dome().await;
    let ports = format!(
        "<AdminAccessProtocolList><AdminAccessProtocol><id>1</id><protocol>HTTP</protocol><portNo>80</portNo></AdminAccessProtocol><AdminAccessProtocol><id>2</id><enabled>true</enabled><protocol>RTSP</protocol><portNo>{port}</portNo></AdminAccessProtocol></AdminAccessProtocolList>"
    );
    device.on("GET Security/adminAccesses", ports.as_str());
    let asked = async {
        let (stream, _) = rtsp.accept().await.unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).await.unwrap();
        line
    };
    let hub = media::Hub::new(media::HubSettings::default());
    let driver = device.driver();
    let watch = async {
        let mut writer = hub.publish(media::StreamId::new("x")).unwrap();
        driver.live(ONE, Quality::Sub, &mut writer).await
    };
    let (line, _) = tokio::join!(asked, watch);
    assert!(line.contains(&format!("rtsp://127.0.0.1:{port}/Streaming/Channels/102")), "{line}");
    // Else as the streams tell.
    let told = STREAMS.replacen("<maxPacketSize>", "<rtspPortNo>8554</rtspPortNo><maxPacketSize>", 1);
    device.off("GET Security/adminAccesses");
    device.on("GET Streaming/channels", told.as_str());
    let driver = device.driver();
    assert_eq!(driver.look().await.unwrap().0.rtsp_port, 8554);
    device.on("GET Streaming/channels", STREAMS);
    assert_eq!(driver.look().await.unwrap().0.rtsp_port, 554);
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let device = Device::dome().await;
    let driver = device.driver();
    driver.probe().await.unwrap();
    let go = || driver.ptz_start(ONE, velocity(1.0, 0.0, 0.0));
    let what = "PUT PTZCtrl/channels/1/continuous";
    device.on(what, refused(Refusal::NotSupported));
    assert_eq!(go().await, Err(DriverError::Unsupported));
    device.on(what, refused(Refusal::Privilege));
    assert_eq!(go().await, Err(DriverError::LoginRefused));
    device.on(what, refused(Refusal::Busy));
    assert!(matches!(go().await, Err(DriverError::Refused { step: "ptz", cause }) if cause.contains("deviceBusy")));
    // Refused under 200, as some firmware does; done after a restart.
    device.on(what, ResponseStatus::refused("/ISAPI", Refusal::Parameters).to_document().as_str());
    assert!(matches!(go().await, Err(DriverError::Refused { .. })));
    let reboot = ResponseStatus { status_code: 7, ..ResponseStatus::ok("/ISAPI") };
    device.on(what, reboot.to_document().as_str());
    assert_eq!(go().await, Ok(()));
    // Whether it was done cannot be read, or nothing is said.
    device.on(what, "<?xml version=\"1.0\"?><ResponseStatus><statusCode>1</statusCode>");
    assert!(matches!(go().await, Err(DriverError::Protocol { .. })));
    device.on(what, "");
    assert_eq!(go().await, Ok(()));
    for (status, expected) in [(404, true), (405, true), (501, true), (500, false), (400, false)] {
        device.on(what, Reply::Text(status, "<html>no</html>".into()));
        assert_eq!(go().await == Err(DriverError::Unsupported), expected, "{status}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_not_repeated() {
    let device = Device::dome().await;
    let driver = device.driver_with("wrong");
    assert_eq!(driver.probe().await, Err(DriverError::LoginRefused));
    assert_eq!(driver.ping().await, Err(DriverError::LoginRefused));
    assert!(device.scripted.heard.lock().unwrap().is_empty());
}

#[tokio::test]
async fn bad_documents_are_errors_that_say_so() {
    let device = Device::dome().await;
    let driver = device.driver();
    for (reply, says) in [
        (Reply::from("<DeviceInfo><model>x</mod"), "not well-formed"),
        (Reply::from("<!DOCTYPE a [<!ENTITY b \"bbbb\">]><DeviceInfo>&b;</DeviceInfo>"), "entity"),
        (Reply::from("<html><body>Please sign in</body></html>"), "unexpected document `html`"),
        (Reply::from(""), "not well-formed"),
        (Reply::from(format!("<a>{}</a>", "x".repeat(1 << 20)).as_str()), "longer"),
        (Reply::Text(404, "<html/>".into()), "does not speak ISAPI"),
    ] {
        device.on("GET System/deviceInfo", reply);
        let error = driver.probe().await.unwrap_err();
        assert!(matches!(error, DriverError::Protocol { .. }) && error.to_string().contains(says), "{says}: {error}");
    }
    device.on("GET System/deviceInfo", Reply::Break);
    assert!(matches!(driver.probe().await, Err(DriverError::Unreachable { .. })));
    // What is botched beside that is not there.
    device.on("GET System/deviceInfo", INFO);
    device.on("GET PTZCtrl/channels/1/capabilities", "<PTZChanelCap>");
    device.on("GET Image/channels/1/imageFlip", "<ImageFlip><enabled>maybe</enabled></ImageFlip>");
    let capabilities = driver.probe().await.unwrap().capabilities;
    assert_eq!(capabilities.keys().collect::<Vec<_>>(), ["support_capture", "support_privacy", "support_talk"]);
}

#[tokio::test]
async fn a_device_that_falls_silent_costs_4_5_seconds_and_no_more() {
    let device = Device::dome().await;
    let driver = device.driver();
    driver.probe().await.unwrap();
    for what in [
        "PUT PTZCtrl/channels/1/continuous",
        "GET PTZCtrl/channels/1/presets",
        "GET Image/channels/1/imageFlip",
        "GET System/Video/inputs/channels/1/privacyMask",
        "GET Streaming/channels/101/picture",
        "PUT System/TwoWayAudio/channels/1/close",
    ] {
        device.on(what, Reply::Silence);
    }
    let began = Instant::now();
    let answers = tokio::join!(
        driver.ptz_start(ONE, velocity(1.0, 0.0, 0.0)),
        driver.ptz_stop(ONE),
        driver.preset_move(ONE, PresetNo(1)),
        driver.mirror(ONE, Mirror::Centre),
        driver.set_mask(ONE, true),
        async { driver.snapshot(ONE).await.map(drop) },
        async { driver.open_speaker(ONE).await.map(drop) },
    );
    let timeout = Err(DriverError::Timeout { step: "http" });
    assert_eq!(
        answers,
        (timeout.clone(), timeout.clone(), timeout.clone(), timeout.clone(), timeout.clone(), timeout.clone(), timeout)
    );
    assert!(began.elapsed() >= Duration::from_millis(4400) && began.elapsed() < Duration::from_millis(6000));
}

#[test]
fn addresses_as_people_write_them() {
    for (written, url) in [
        ("192.168.1.64", "http://192.168.1.64/"),
        (" nvr.lan:8080 ", "http://nvr.lan:8080/"),
        ("https://cam.lan/doc/page/login.asp?x#y", "https://cam.lan/"),
        ("[fd00::5]:81", "http://[fd00::5]:81/"),
    ] {
        assert_eq!(base(written).unwrap().as_str(), url);
    }
    for bad in ["", "rtsp://cam.lan/", "http://admin:secret@cam.lan/", "a b"] {
        let error = base(bad).unwrap_err();
        assert!(matches!(error, DriverError::AddressRefused(_)), "{bad}: {error}");
        assert!(!error.to_string().contains("secret"));
    }
}

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3600 * SECOND;

fn now() -> i64 {
    crate::rtsp::wall().0
}

impl Device {
    /// Its clock is so far ahead, and its zone so far east.
    fn clock(&self, ahead: i64, east: i64) {
        let local = calendar::write(UnixMicros((now() + ahead + east) / SECOND * SECOND));
        let (hours, minutes) = (east / HOUR, east % HOUR / (60 * SECOND));
        let told = format!("{}+{hours:02}:{minutes:02}", local.trim_end_matches('Z'));
        let status = format!("<DeviceStatus><currentDeviceTime>{told}</currentDeviceTime></DeviceStatus>");
        self.on("GET System/status", status.as_str());
    }

    /// Searches it was asked for, since the last time.
    fn searches(&self) -> Vec<CmSearchDescription> {
        let heard = std::mem::take(&mut *self.scripted.heard.lock().unwrap());
        let searches = heard.iter().filter(|heard| heard.what.ends_with("/search"));
        searches.map(|heard| CmSearchDescription::parse(&heard.body).unwrap()).collect()
    }
}

#[tokio::test]
async fn files_are_found_over_all_pages_and_by_our_clock() {
    let device = Device::dome().await;
    let base = (now() / SECOND - 36_000) * SECOND;
    // An hour ahead.
    device.clock(HOUR, 0);
    let file = |n: i64| (base + HOUR + n * 600 * SECOND + n, base + HOUR + (n + 1) * 600 * SECOND, "timing");
    let mut files: Vec<_> = (0..100).map(file).collect();
    files[3].2 = "motion";
    device.on("POST ContentMgmt/search", Reply::Files(files, 30));
    let driver = device.driver();
    let found = driver.recordings(ONE, UnixMicros(base), UnixMicros(base + 30 * HOUR)).await.unwrap();
    assert_eq!(found.len(), 100);
    for (n, file) in (0..).zip(&found) {
        let near = |a: i64, b: i64| (a - b).abs() <= 2 * SECOND;
        assert!(near(file.from.0, base + n * 600 * SECOND), "{n}: {file:?}");
        assert!(near(file.to.0, base + (n + 1) * 600 * SECOND), "{n}: {file:?}");
        assert_eq!(file.kind, if n == 3 { RecordingKind::Event } else { RecordingKind::Timed });
    }
    assert!(found[0].bytes.is_some());
    let searches = device.searches();
    assert_eq!(searches.iter().map(|it| it.position.unwrap()).collect::<Vec<_>>(), [0, 30, 60, 90]);
    assert!(searches.iter().all(|it| it.search_id == searches[0].search_id && it.tracks == [101]));
    let nothing = driver.recordings(ONE, UnixMicros(base - 9 * HOUR), UnixMicros(base - 8 * HOUR)).await;
    assert_eq!(nothing, Ok(vec![]));
    assert_eq!(device.searches().len(), 1, "its clock is known");
}

#[tokio::test]
async fn a_device_that_writes_its_local_time_as_utc_is_found_out() {
    let device = Device::dome().await;
    let east = 8 * HOUR;
    let base = (now() / SECOND - 600) * SECOND;
    for local in [true, false] {
        let written = base + if local { east } else { 0 };
        device.clock(0, east);
        // It records now.
        let files = vec![(written, written + 600 * SECOND, "timing")];
        device.on("POST ContentMgmt/search", Reply::Files(files, 40));
        let found = device.driver().recordings(ONE, UnixMicros(base - HOUR), UnixMicros(base + HOUR)).await.unwrap();
        let [file] = &found[..] else { panic!("{local}: {found:?}") };
        assert_eq!((file.from.0, file.to.0), (base, base + 600 * SECOND), "{local}");
    }
}

#[tokio::test]
async fn a_search_that_fails_is_told_as_what_it_is() {
    let device = Device::dome().await;
    let ask = async || device.driver().recordings(ONE, UnixMicros(0), UnixMicros(HOUR)).await;
    assert_eq!(ask().await, Err(DriverError::Unsupported));
    device.on("POST ContentMgmt/search", refused(Refusal::Busy));
    assert!(matches!(ask().await, Err(DriverError::Refused { step: "search", .. })));
    device.on("POST ContentMgmt/search", "<html/>");
    assert!(matches!(ask().await, Err(DriverError::Protocol { .. })));
    device.on("POST ContentMgmt/search", Reply::Break);
    assert!(matches!(ask().await, Err(DriverError::Unreachable { .. })));
    // One that always has more says the same page again and again; it ends.
    let more = "<CMSearchResult><responseStatusStrg>MORE</responseStatusStrg><matchList/></CMSearchResult>";
    device.on("POST ContentMgmt/search", more);
    assert_eq!(ask().await, Ok(vec![]));
}

#[tokio::test]
async fn storage_is_told_by_the_device() {
    let device = Device::dome().await;
    let disk = async || device.driver().probe().await.unwrap().capabilities.contains_key("support_disk");
    assert!(!disk().await);
    device.on("GET ContentMgmt/record/tracks", "<TrackList><Track><id>101</id></Track></TrackList>");
    assert!(disk().await);
    let storage =
        |status: &str| format!("<storage><hddList><hdd><id>1</id><status>{status}</status></hdd></hddList></storage>");
    device.on("GET ContentMgmt/Storage", storage("error").as_str());
    assert!(!disk().await, "it says more than the tracks");
    device.on("GET ContentMgmt/Storage", storage("ok").as_str());
    assert!(disk().await);
}

#[tokio::test]
async fn files_are_played_one_run_after_the_other() {
    use crate::rtsp::recorder::{self, Recorder};
    let device = Device::dome().await;
    device.clock(0, 0);
    let base = (now() / SECOND - 3600) * SECOND;
    let stretches = vec![(base, base + 10 * SECOND), (base + 600 * SECOND, base + 610 * SECOND)];
    // Two files follow each other; the third is apart.
    let files = vec![
        (base, base + 4 * SECOND, "timing"),
        (base + 4 * SECOND, base + 10 * SECOND, "timing"),
        (base + 600 * SECOND, base + 610 * SECOND, "timing"),
    ];
    device.on("POST ContentMgmt/search", Reply::Files(files, 40));
    // It paces itself, as these devices do.
    let recorder = Recorder::start(recorder::Script { stretches: stretches.clone(), ..Default::default() }).await;
    let ports = format!(
        "<AdminAccessProtocolList><AdminAccessProtocol><id>4</id><protocol>RTSP</protocol><portNo>{}</portNo></AdminAccessProtocol></AdminAccessProtocolList>",
        recorder.port
    );
    device.on("GET Security/adminAccesses", ports.as_str());
    let driver = device.driver();
    let (out, mut items) = mpsc::channel(4);
    let ask = ReplayAsk {
        from: UnixMicros(base + 3 * SECOND),
        to: UnixMicros(base + 605 * SECOND),
        speed: 16.0,
        key_frames_only: false,
    };
    let read = async {
        let mut walls = Vec::new();
        while let Some(item) = items.recv().await {
            if let Item::Frame(frame) = item {
                walls.push(frame.wall.0);
            }
        }
        walls
    };
    let (played, walls) = tokio::join!(driver.replay(ONE, ask, out), read);
    played.unwrap();
    let all = recorder::pictures(&stretches);
    let wanted: Vec<i64> = all.into_iter().map(|(at, _)| at).filter(|at| (ask.from.0..ask.to.0).contains(at)).collect();
    assert_eq!(walls.len(), wanted.len());
    assert!(walls.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 2000), "{walls:?}");
    let heard = recorder.heard();
    let time = |at: i64| calendar::write_basic(UnixMicros(at));
    let path = |from: i64, to: i64| format!("Streaming/tracks/101?starttime={}&endtime={}", time(from), time(to));
    let [first, second] = [path(base + 3 * SECOND, base + 10 * SECOND), path(base + 600 * SECOND, base + 605 * SECOND)];
    assert_eq!(heard.paths, [first, second]);
    assert!(heard.plays.iter().all(|play| play.scale == Some(16.0)));
}
