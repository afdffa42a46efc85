//! The camera as ISAPI shows it.

use std::time::Duration;

use av::G711Law;
use av::codec::g711;
use camera::{Camera, Config, Fault, Flip};
use proto::digest::{Authorizer, Challenge};
use proto::isapi::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::soap::{Answer, send};
use crate::{PASSWORD, PATIENCE, USER, small, start, until};

/// The `Authorization` header for a request, by the camera's challenge.
async fn login(camera: &Camera, method: &str, target: &str, password: &str) -> String {
    let asked = send(camera, method, target, &[], b"").await.unwrap();
    assert_eq!(asked.status, 401, "{target}");
    let challenge = Challenge::parse(asked.challenges.iter().map(String::as_str)).unwrap();
    Authorizer::new(USER, password).authorize(&challenge, method, target)
}

pub async fn request(camera: &Camera, method: &str, path: &str, body: &str) -> Answer {
    let target = format!("/ISAPI/{path}");
    let login = login(camera, method, &target, PASSWORD).await;
    let headers = [("Authorization", login.as_str()), ("Content-Type", CONTENT_TYPE)];
    send(camera, method, &target, &headers, body.as_bytes()).await.unwrap()
}

async fn get<D: Document>(camera: &Camera, path: &str) -> D {
    let answer = request(camera, "GET", path, "").await;
    assert_eq!(answer.status, 200, "{path}");
    D::parse(&answer.body).unwrap()
}

/// What it refuses; none if it did it.
async fn put(camera: &Camera, path: &str, document: &impl Document) -> Option<Refusal> {
    refusal(request(camera, "PUT", path, &document.to_document()).await)
}

async fn command(camera: &Camera, method: &str, path: &str) -> Option<Refusal> {
    refusal(request(camera, method, path, "").await)
}

fn refusal(answer: Answer) -> Option<Refusal> {
    let refusal = ResponseStatus::parse(&answer.body).unwrap().refusal();
    assert_eq!(answer.status, refusal.map_or(200, Refusal::http_status));
    refusal
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dome_describes_itself() {
    let camera = start(small()).await;
    let about: DeviceInfo = get(&camera, "System/deviceInfo").await;
    assert_eq!((about.serial_number.as_deref(), about.device_type.as_deref()), (Some("CAM000001"), Some("IPDome")));
    let ports: AdminAccessProtocolList = get(&camera, "Security/adminAccesses").await;
    let rtsp = ports.protocols.iter().find(|protocol| protocol.protocol == "RTSP").unwrap();
    assert_eq!(rtsp.port, Some(i32::from(camera.rtsp_address().port())));
    let inputs: VideoInputChannelList = get(&camera, "System/Video/inputs/channels").await;
    assert_eq!(inputs.channels.iter().map(|input| input.id).collect::<Vec<_>>(), [1]);
    let streams: StreamingChannelList = get(&camera, "Streaming/channels").await;
    assert_eq!(streams.streams.iter().map(|stream| stream.id).collect::<Vec<_>>(), [101, 102]);
    assert_eq!(get::<UserCheck>(&camera, "Security/userCheck").await.status_value, 200);
    for (path, refused) in [
        ("ContentMgmt/InputProxy/channels", Refusal::NotSupported),
        ("System/Network/wifi", Refusal::NotSupported),
        ("Streaming/channels/103", Refusal::Parameters),
        ("PTZCtrl/channels/2/status", Refusal::Parameters),
    ] {
        assert_eq!(command(&camera, "GET", path).await, Some(refused), "{path}");
    }
    assert_eq!(command(&camera, "DELETE", "System/deviceInfo").await, Some(Refusal::Method));
    let malformed = request(&camera, "PUT", "PTZCtrl/channels/1/continuous", "<PTZData><pan>").await;
    assert_eq!(refusal(malformed), Some(Refusal::Malformed));
    let target = "/ISAPI/System/deviceInfo";
    let wrong = login(&camera, "GET", target, "wrong").await;
    assert_eq!(send(&camera, "GET", target, &[("Authorization", &wrong)], b"").await.unwrap().status, 401);
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_lists_its_cameras() {
    let camera = start(Config { channels: 4, name: "Yard".into(), ..small() }).await;
    let about: DeviceInfo = get(&camera, "System/deviceInfo").await;
    assert_eq!(about.device_type.as_deref(), Some("NVR"));
    let inputs: VideoInputChannelList = get(&camera, "System/Video/inputs/channels").await;
    assert!(inputs.channels.is_empty());
    let proxies: InputProxyChannelList = get(&camera, "ContentMgmt/InputProxy/channels").await;
    let names: Vec<_> = proxies.channels.iter().map(|proxy| (proxy.id, proxy.name.as_deref().unwrap())).collect();
    assert_eq!(names, [(1, "Yard 1"), (2, "Yard 2"), (3, "Yard 3"), (4, "Yard 4")]);
    let status: InputProxyChannelStatusList = get(&camera, "ContentMgmt/InputProxy/channels/status").await;
    assert!(status.channels.len() == 4 && status.channels.iter().all(|channel| channel.online == Some(true)));
    assert_eq!(get::<StreamingChannelList>(&camera, "Streaming/channels").await.streams.len(), 8);
    let speakers: TwoWayAudioChannelList = get(&camera, "System/TwoWayAudio/channels").await;
    let at: Vec<_> = speakers.channels.iter().map(|s| (s.id, s.inputs.clone().unwrap().channels)).collect();
    assert_eq!(at[2], (1003, vec![3]));

    let turn = PtzData { pan: 100, tilt: 0, zoom: 0 };
    assert_eq!(put(&camera, "PTZCtrl/channels/3/continuous", &turn).await, None);
    until("the third turns", || camera.channel(3).unwrap().ptz_status().pan > 0.1).await;
    assert_eq!(camera.channel(1).unwrap().ptz_status().pan, 0.0);
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_motor_turns_tells_and_remembers() {
    let camera = start(small()).await;
    let channel = camera.channel(1).unwrap();
    let cap: PtzChannelCap = get(&camera, "PTZCtrl/channels/1/capabilities").await;
    let places = cap.absolute_pan_tilt.unwrap();
    let speed = |pan, tilt, zoom| PtzData { pan, tilt, zoom };
    let continuous = "PTZCtrl/channels/1/continuous";
    assert_eq!(put(&camera, continuous, &speed(100, 100, 0)).await, None);
    until("it is up and right", || {
        let status = channel.ptz_status();
        status.pan == 1.0 && status.tilt == 1.0
    })
    .await;
    let at = get::<PtzStatus>(&camera, "PTZCtrl/channels/1/status").await.position.unwrap();
    // Elevation is counted down from the horizon.
    assert_eq!((at.azimuth, at.elevation), (Some(places.x.unwrap().max), Some(places.y.unwrap().min)));
    assert_eq!(put(&camera, "PTZCtrl/channels/1/presets/5", &preset(5)).await, None);
    assert_eq!(put(&camera, continuous, &speed(-100, 0, 0)).await, None);
    until("it turns left", || channel.ptz_status().pan < 0.9).await;
    assert_eq!(put(&camera, continuous, &speed(0, 0, 0)).await, None);
    assert!(!channel.ptz_status().pan_tilt_moving);

    let presets: PtzPresetList = get(&camera, "PTZCtrl/channels/1/presets").await;
    let [gate] = &presets.presets[..] else { panic!("{presets:?}") };
    assert_eq!((gate.id, gate.name.as_deref(), gate.position.as_ref()), (5, Some("Gate"), Some(&at)));
    assert_eq!(command(&camera, "PUT", "PTZCtrl/channels/1/presets/5/goto").await, None);
    until("it is back", || channel.ptz_status().pan == 1.0).await;
    assert_eq!(command(&camera, "DELETE", "PTZCtrl/channels/1/presets/5").await, None);
    assert!(channel.presets().is_empty());
    for (method, path) in [("PUT", "presets/5/goto"), ("DELETE", "presets/5"), ("GET", "presets/5")] {
        let path = format!("PTZCtrl/channels/1/{path}");
        assert_eq!(command(&camera, method, &path).await, Some(Refusal::Parameters), "{method} {path}");
    }
    assert_eq!(put(&camera, "PTZCtrl/channels/1/presets/17", &preset(17)).await, Some(Refusal::Parameters));
    assert_eq!(put(&camera, continuous, &speed(101, 0, 0)).await, Some(Refusal::Parameters));
    camera.stop().await;
}

fn preset(id: i32) -> PtzPreset {
    PtzPreset { enabled: Some(true), id, name: Some("Gate".into()), position: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_picture_is_mirrored_and_masked() {
    let camera = start(small()).await;
    let channel = camera.channel(1).unwrap();
    let path = "Image/channels/1/imageFlip";
    let styles = get::<ImageFlipCap>(&camera, &format!("{path}/capabilities")).await.style.unwrap();
    assert_eq!(styles.0, ["LEFTRIGHT", "UPDOWN", "CENTER"]);
    for (style, horizontal, vertical) in [
        (Some("LEFTRIGHT"), true, false),
        (Some("UPDOWN"), false, true),
        (Some("CENTER"), true, true),
        (None, false, false),
    ] {
        let flip = ImageFlip { enabled: style.is_some(), style: style.map(str::to_owned) };
        assert_eq!(put(&camera, path, &flip).await, None);
        assert_eq!(channel.flip(), Flip { horizontal, vertical });
        assert_eq!(get::<ImageFlip>(&camera, path).await, flip);
    }
    let auto = ImageFlip { enabled: true, style: Some("AUTO".into()) };
    assert_eq!(put(&camera, path, &auto).await, Some(Refusal::Parameters));

    let path = "System/Video/inputs/channels/1/privacyMask";
    let mut mask: PrivacyMask = get(&camera, path).await;
    assert!(!mask.enabled && mask.regions.is_empty());
    let lower = [(0, 0), (704, 0), (704, 288), (0, 288)].map(|(x, y)| RegionCoordinates { x, y });
    mask.enabled = true;
    mask.regions = vec![PrivacyMaskRegion { id: 1, enabled: true, corners: lower.into() }];
    assert_eq!(put(&camera, path, &mask).await, None);
    // Rows are counted from below.
    let area = channel.privacy_mask().unwrap().area;
    assert_eq!((area.left, area.top, area.right, area.bottom), (0.0, 0.5, 1.0, 1.0));
    assert_eq!(get::<PrivacyMask>(&camera, path).await, mask);
    mask.regions[0].corners = mask.whole();
    assert_eq!(put(&camera, path, &mask).await, None);
    assert!(channel.mask());
    let picture = request(&camera, "GET", "Streaming/channels/101/picture", "").await;
    assert_eq!((picture.status, &picture.body[..3]), (200, &[0xFF, 0xD8, 0xFF][..]));
    (mask.enabled, mask.regions[0].enabled) = (false, false);
    assert_eq!(put(&camera, path, &mask).await, None);
    assert!(!channel.mask());
    mask.regions[0].corners[0].x = 705;
    assert_eq!(put(&camera, path, &mask).await, Some(Refusal::Parameters));
    camera.stop().await;
}

/// Begins to send sound of a length and answers the connection.
async fn speak(camera: &Camera, target: &str, length: usize) -> TcpStream {
    let login = login(camera, "PUT", target, PASSWORD).await;
    let mut socket = TcpStream::connect(camera.http_address()).await.unwrap();
    let head = format!(
        "PUT {target} HTTP/1.1\r\nHost: camera\r\nAuthorization: {login}\r\nContent-Type: application/octet-stream\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket
}

async fn answer(mut socket: TcpStream) -> String {
    let mut text = String::new();
    timeout(PATIENCE, socket.read_to_string(&mut text)).await.unwrap().unwrap();
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn one_at_a_time_speaks_and_is_heard() {
    let camera = start(small()).await;
    let channel = camera.channel(1).unwrap();
    let base = "System/TwoWayAudio/channels/1";
    let open = || async { request(&camera, "PUT", &format!("{base}/open"), "").await };
    let session = TwoWayAudioSession::parse(&open().await.body).unwrap().session_id.unwrap();
    assert!(get::<TwoWayAudioChannel>(&camera, base).await.enabled.unwrap());
    assert_eq!(refusal(open().await), Some(Refusal::Busy));

    let sound: Vec<i16> = (0..1600).map(|i| i * 20 - 16_000).collect();
    let codes = g711::encode(G711Law::Mu, &sound);
    let target = format!("/ISAPI/{base}/audioData?sessionId={session}");
    let mut socket = speak(&camera, &target, codes.len()).await;
    socket.write_all(&codes[..800]).await.unwrap();
    until("the first half is heard", || channel.speaker().heard().samples.len() == 800).await;
    // While it comes, nobody else may.
    let other = speak(&camera, &target, 0).await;
    assert!(answer(other).await.contains("deviceBusy"));
    socket.write_all(&codes[800..]).await.unwrap();
    assert!(answer(socket).await.starts_with("HTTP/1.1 200 OK"));
    assert_eq!(channel.speaker().heard().samples, g711::decode(G711Law::Mu, &codes));

    // Closed by another while sound comes in.
    let mut socket = speak(&camera, &target, 8000).await;
    socket.write_all(&codes).await.unwrap();
    until("more is heard", || channel.speaker().heard().samples.len() == 3200).await;
    assert_eq!(command(&camera, "PUT", &format!("{base}/close")).await, None);
    assert!(answer(socket).await.contains("deviceBusy"));
    until("the speaker is free", || !channel.speaker().is_open()).await;
    assert_eq!(command(&camera, "PUT", &format!("{base}/close")).await, None);

    // Somebody who leaves in the middle leaves the speaker to the next.
    let opened = open().await;
    assert!(TwoWayAudioSession::parse(&opened.body).is_ok());
    let mut socket = speak(&camera, &format!("/ISAPI/{base}/audioData"), 8000).await;
    socket.write_all(&codes).await.unwrap();
    until("more is heard", || channel.speaker().heard().samples.len() == 4800).await;
    drop(socket);
    until("the speaker is free", || !channel.speaker().is_open()).await;
    assert!(TwoWayAudioSession::parse(&open().await.body).is_ok());
    let nobody = speak(&camera, &format!("/ISAPI/{base}/audioData?sessionId=1"), 0).await;
    assert!(answer(nobody).await.contains("badParameters"));
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_those_of_the_camera() {
    let camera = start(small()).await;
    let turn = PtzData { pan: 100, tilt: 0, zoom: 0 };
    let path = "PTZCtrl/channels/1/continuous";
    camera.faults().set(Fault::Refuse);
    assert_eq!(put(&camera, path, &turn).await, Some(Refusal::Failed));
    get::<DeviceInfo>(&camera, "System/deviceInfo").await;
    camera.faults().set(Fault::Malformed);
    let answer = request(&camera, "GET", "System/deviceInfo", "").await;
    assert!(matches!(DeviceInfo::parse(&answer.body), Err(Error::Xml(_))));
    camera.faults().set(Fault::Drop);
    let target = format!("/ISAPI/{path}");
    let login = login(&camera, "PUT", &target, PASSWORD).await;
    let dropped = send(&camera, "PUT", &target, &[("Authorization", &login)], turn.to_document().as_bytes()).await;
    assert!(dropped.is_err());
    camera.faults().set(Fault::Slow(Duration::from_millis(1)));
    assert_eq!(camera.channel(1).unwrap().ptz_status().pan, 0.0);
    assert_eq!(put(&camera, path, &turn).await, None);
    camera.stop().await;
}
