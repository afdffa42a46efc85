//! The driver against a scripted camera on loopback.
#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, Uri};
use proto::digest::{Denied, Verifier};
use proto::onvif::schema::*;
use proto::onvif::security::CLOCK_SKEW_MAX;
use proto::onvif::{Envelope, Fault, Message, Request, device, imaging, media as m, ns, ptz};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::dial::AllowedHost;

const USER: &str = "admin";
const PASSWORD: &str = "Str0ng:&<";

/// How the camera behaves.
#[derive(Clone, Default)]
struct Script {
    /// Demands a WS-Security token.
    token: bool,
    /// Demands HTTP digest.
    digest: bool,
    /// Its clock less ours, in seconds.
    clock: i64,
    /// Has only the old way of telling its services.
    old: bool,
    /// What it tells instead of its own host and port.
    told_host: Option<&'static str>,
    /// Has neither motor nor imaging.
    plain: bool,
    /// Answers everything so, whatever was asked.
    always: Option<Always>,
}

#[derive(Clone, Copy)]
enum Always {
    Redirect,
    Huge,
    Broken,
    Html,
    Empty,
    Basic,
    Entities,
}

struct Scripted {
    address: SocketAddr,
    script: Mutex<Script>,
    verifier: Mutex<Verifier>,
    /// What it was asked, once it let the request in.
    heard: Mutex<Vec<(String, Request)>>,
    refused: Mutex<u32>,
}

struct Camera {
    scripted: Arc<Scripted>,
    server: JoinHandle<()>,
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Camera {
    async fn start(script: Script) -> Camera {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scripted = Arc::new(Scripted {
            address: listener.local_addr().unwrap(),
            script: Mutex::new(script),
            verifier: Mutex::new(Verifier::new("camera", Instant::now())),
            heard: Mutex::default(),
            refused: Mutex::default(),
        });
        let app = axum::Router::new().fallback(answer).with_state(scripted.clone());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Camera { scripted, server }
    }

    fn url(&self) -> String {
        format!("http://{}/onvif/device_service", self.scripted.address)
    }

    fn driver(&self) -> OnvifDriver {
        self.driver_with(PASSWORD)
    }

    fn driver_with(&self, password: &str) -> OnvifDriver {
        let login = Login { user: USER.into(), password: password.into() };
        OnvifDriver::new(self.dialer(), &self.url(), Some(login)).unwrap()
    }

    fn dialer(&self) -> Dialer {
        let port = Some(self.scripted.address.port());
        Dialer::new([AllowedHost { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), port }])
    }

    fn heard(&self) -> Vec<Request> {
        self.scripted.heard.lock().unwrap().iter().map(|(_, request)| request.clone()).collect()
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap()
}

fn document(status: u16, text: String) -> Response<Body> {
    Response::builder().status(status).body(text.into()).unwrap()
}

fn fault(fault: &Fault) -> Response<Body> {
    document(fault.http_status(), fault.write())
}

async fn answer(State(camera): State<Arc<Scripted>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let script = camera.script.lock().unwrap().clone();
    match script.always {
        Some(Always::Redirect) => {
            let to = "http://127.0.0.1:1/onvif/device_service";
            return Response::builder().status(307).header("Location", to).body(Body::empty()).unwrap();
        }
        Some(Always::Huge) => return document(200, format!("<a>{}</a>", "x".repeat(16 << 20))),
        Some(Always::Broken) => {
            return document(200, "<s:Envelope xmlns:s='http://www.w3.org/2003/05/soap-envelope'><s:Bo".into());
        }
        Some(Always::Html) => return document(200, "<html><body>Please sign in</body></html>".into()),
        Some(Always::Empty) => return document(200, String::new()),
        Some(Always::Basic) => {
            let response = Response::builder().status(401).header("WWW-Authenticate", "Basic realm=\"camera\"");
            return response.body(Body::empty()).unwrap();
        }
        Some(Always::Entities) => {
            return document(200, "<!DOCTYPE a [<!ENTITY b \"bbbb\"><!ENTITY c \"&b;&b;&b;\">]><a>&c;</a>".into());
        }
        None => {}
    }
    let envelope = match Envelope::parse(&body) {
        Ok(envelope) => envelope,
        Err(error) => return fault(&error.to_fault()),
    };
    let request = match Request::parse(&envelope) {
        Ok(request) => request,
        Err(error) => return fault(&error.to_fault()),
    };
    // Some cameras go by the action alone.
    let content_type = headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let action = format!("action=\"{}/{}\"", envelope.body.namespace, envelope.body.name);
    if !content_type.contains(&action) {
        return fault(&Fault::receiver(&["ActionNotSupported"], content_type));
    }
    let clock = Duration::from_secs((now().as_secs() as i64 + script.clock) as u64);
    if !matches!(request, Request::Device(device::Request::GetSystemDateAndTime(_))) {
        if script.digest {
            let header = headers.get("authorization").and_then(|value| value.to_str().ok());
            let password = |user: &str| (user == USER).then(|| PASSWORD.to_owned());
            let verifier = camera.verifier.lock().unwrap();
            if let Err(denied) = verifier.verify(Instant::now(), header, "POST", uri.path(), password) {
                if denied != Denied::Missing {
                    *camera.refused.lock().unwrap() += 1;
                }
                let mut response = Response::builder().status(401);
                for challenge in verifier.challenges(Instant::now(), denied) {
                    response = response.header("WWW-Authenticate", challenge);
                }
                return response.body(Body::empty()).unwrap();
            }
        }
        if script.token {
            let token = envelope.username_token().ok().flatten();
            let right = token.filter(|token| token.username == USER);
            if right.is_none_or(|token| token.verify(PASSWORD, clock, Duration::from_secs(10)).is_err()) {
                *camera.refused.lock().unwrap() += 1;
                // As many cameras do, under 400.
                return document(400, Fault::not_authorized().write());
            }
        }
    }
    camera.heard.lock().unwrap().push((uri.path().to_owned(), request.clone()));
    match reply(&script, camera.address, clock, request) {
        Ok(envelope) => document(200, envelope.write()),
        Err(refusal) => fault(&refusal),
    }
}

fn reply(script: &Script, address: SocketAddr, clock: Duration, request: Request) -> Result<Envelope, Fault> {
    fn of(message: impl Message) -> Result<Envelope, Fault> {
        Ok(Envelope::of(&message))
    }
    let unsupported = || Err(Fault::receiver(&["ActionNotSupported"], "not here"));
    let at = script.told_host.map_or_else(|| address.to_string(), str::to_owned);
    let xaddr = |path: &str| format!("http://{at}/onvif/{path}");
    match request {
        Request::Device(request) => match request {
            device::Request::GetSystemDateAndTime(_) => of(device::GetSystemDateAndTimeResponse {
                system_date_and_time: SystemDateTime {
                    date_time_type: SetDateTimeType::Manual,
                    daylight_savings: false,
                    time_zone: None,
                    utc: Some(DateTime::from_unix(clock.as_secs() as i64)),
                    local: None,
                },
            }),
            device::Request::GetDeviceInformation(_) => of(device::GetDeviceInformationResponse {
                manufacturer: "Maker".into(),
                model: "Model".into(),
                firmware_version: "1.0".into(),
                serial_number: "SN1".into(),
                hardware_id: String::new(),
            }),
            device::Request::GetServices(_) if !script.old => {
                let service = |(namespace, path): (&str, &str)| device::Service {
                    namespace: namespace.into(),
                    xaddr: xaddr(path),
                    version: OnvifVersion { major: 2, minor: 40 },
                };
                let mut services = vec![(ns::TDS, "device_service"), (ns::TRT, "media")];
                if !script.plain {
                    services.extend([(ns::TPTZ, "ptz"), (ns::TIMG, "imaging")]);
                }
                of(device::GetServicesResponse { services: services.into_iter().map(service).collect() })
            }
            device::Request::GetCapabilities(_) => of(device::GetCapabilitiesResponse {
                capabilities: Capabilities {
                    media: Some(MediaCapabilities {
                        xaddr: xaddr("media"),
                        streaming: StreamingCapabilities::default(),
                    }),
                    ptz: Some(ServiceAddress { xaddr: xaddr("ptz") }),
                    ..Default::default()
                },
            }),
            device::Request::GetScopes(_) => of(device::GetScopesResponse {
                scopes: vec![Scope { definition: "Fixed".into(), item: "onvif://www.onvif.org/name/Gate%201".into() }],
            }),
            _ => unsupported(),
        },
        Request::Media(request) => match request {
            m::Request::GetProfiles(_) => of(m::GetProfilesResponse {
                profiles: vec![profile("sub", 640, 360, script.plain), profile("main", 1280, 720, script.plain)],
            }),
            m::Request::GetStreamUri(ask) => of(m::GetStreamUriResponse {
                media_uri: MediaUri {
                    uri: format!("rtsp://{}:8554/{}", at.split(':').next().unwrap(), ask.profile_token),
                    invalid_after_connect: false,
                    invalid_after_reboot: false,
                    timeout: Duration::ZERO,
                },
            }),
            m::Request::SetSynchronizationPoint(_) => of(m::SetSynchronizationPointResponse {}),
            _ => unsupported(),
        },
        Request::Ptz(request) => match request {
            ptz::Request::GetNodes(_) => of(ptz::GetNodesResponse { nodes: vec![node()] }),
            ptz::Request::ContinuousMove(_) => of(ptz::ContinuousMoveResponse {}),
            ptz::Request::Stop(_) => of(ptz::StopResponse {}),
            _ => unsupported(),
        },
        Request::Imaging(request) => match request {
            imaging::Request::GetOptions(_) => of(imaging::GetOptionsResponse {
                imaging_options: ImagingOptions {
                    brightness: Some(FloatRange { min: 0.0, max: 100.0 }),
                    ..Default::default()
                },
            }),
            _ => unsupported(),
        },
    }
}

fn profile(token: &str, width: i32, height: i32, plain: bool) -> Profile {
    let motor = PtzConfiguration {
        token: "p".into(),
        name: "p".into(),
        use_count: 1,
        node_token: "node".into(),
        default_absolute_pan_tilt: None,
        default_absolute_zoom: None,
        default_relative_pan_tilt: None,
        default_relative_zoom: None,
        default_continuous_pan_tilt: None,
        default_continuous_zoom: None,
        default_speed: None,
        default_timeout: None,
        pan_tilt_limits: None,
        zoom_limits: None,
    };
    Profile {
        token: token.into(),
        fixed: Some(true),
        name: token.into(),
        video_source: Some(VideoSourceConfiguration {
            token: "c".into(),
            name: "c".into(),
            use_count: 2,
            source_token: "lens".into(),
            bounds: IntRectangle { x: 0, y: 0, width, height },
            extension: None,
        }),
        audio_source: None,
        video_encoder: Some(VideoEncoderConfiguration {
            token: token.into(),
            name: token.into(),
            use_count: 1,
            encoding: VideoEncoding::H264,
            resolution: VideoResolution { width, height },
            quality: 1.0,
            rate_control: None,
            h264: None,
            multicast: None,
            session_timeout: Duration::from_secs(60),
        }),
        audio_encoder: None,
        ptz: (!plain).then_some(motor),
        extension: None,
    }
}

/// A motor that pans by degrees a second, to the left faster than to the right.
fn node() -> PtzNode {
    let range = |min, max| FloatRange { min, max };
    let degrees = Space2DDescription {
        uri: "urn:maker:degrees".into(),
        x_range: range(-90.0, 45.0),
        y_range: range(-30.0, 30.0),
    };
    PtzNode {
        token: "node".into(),
        fixed_home_position: None,
        name: None,
        supported_spaces: PtzSpaces { continuous_pan_tilt: vec![degrees], ..Default::default() },
        maximum_number_of_presets: 0,
        home_supported: false,
        auxiliary_commands: vec![],
    }
}

#[tokio::test]
async fn a_camera_is_described_by_its_own_answers() {
    let camera = Camera::start(Script { token: true, ..Default::default() }).await;
    let facts = camera.driver().probe().await.unwrap();
    assert_eq!((facts.manufacturer.as_deref(), facts.serial.as_deref()), (Some("Maker"), Some("SN1")));
    let [channel] = &facts.channels[..] else { panic!("{facts:?}") };
    assert_eq!((channel.no, channel.name.as_str()), (ChannelNo(1), "Gate 1"));
    assert_eq!(channel.main.size, Some((1280, 720)));
    assert_eq!(channel.sub.as_ref().unwrap().size, Some((640, 360)));
    assert_eq!(channel.main.audio, Some(false));
    let capabilities: Vec<_> = facts.capabilities.keys().map(String::as_str).collect();
    assert_eq!(capabilities, ["ptz_45", "ptz_left_right", "ptz_top_bottom", "support_image_param", "support_ptz"]);
}

#[tokio::test]
async fn a_plain_camera_claims_nothing() {
    let camera = Camera::start(Script { plain: true, ..Default::default() }).await;
    let driver = camera.driver();
    let facts = driver.probe().await.unwrap();
    assert!(facts.capabilities.is_empty(), "{facts:?}");
    assert_eq!(
        driver.ptz_move(ChannelNo(1), Velocity { pan: 1.0, ..Default::default() }).await,
        Err(DriverError::Unsupported)
    );
    assert_eq!(driver.ptz_stop(ChannelNo(2)).await, Err(DriverError::Unsupported));
}

#[tokio::test]
async fn every_way_of_logging_in_works_and_costs_no_refused_attempt() {
    for (token, digest) in [(false, false), (true, false), (false, true), (true, true)] {
        for clock in [0, -86_400 * 3650, 3 * 3600] {
            let camera = Camera::start(Script { token, digest, clock, ..Default::default() }).await;
            let driver = camera.driver();
            driver.probe().await.unwrap();
            driver.ping().await.unwrap();
            assert!(driver.clock_offset().abs_diff(clock) <= 1);
            assert_eq!(*camera.scripted.refused.lock().unwrap(), 0, "token {token} digest {digest} clock {clock}");
        }
    }
}

#[tokio::test]
async fn a_wrong_password_is_a_refused_login() {
    for (token, digest) in [(true, false), (false, true), (true, true)] {
        let camera = Camera::start(Script { token, digest, ..Default::default() }).await;
        let error = camera.driver_with("wrong").probe().await.unwrap_err();
        assert_eq!(error, DriverError::LoginRefused, "token {token} digest {digest}");
        // Cameras lock after a few wrong attempts: one look is one attempt.
        assert_eq!(*camera.scripted.refused.lock().unwrap(), 1, "token {token} digest {digest}");
        let without = OnvifDriver::new(camera.dialer(), &camera.url(), None).unwrap();
        assert_eq!(without.probe().await, Err(DriverError::LoginRefused));
    }
}

#[tokio::test]
async fn a_clock_that_jumps_is_followed() {
    let camera = Camera::start(Script { token: true, ..Default::default() }).await;
    let driver = camera.driver();
    driver.probe().await.unwrap();
    camera.scripted.script.lock().unwrap().clock = -1_000_000;
    driver.ping().await.unwrap();
    assert!(driver.clock_offset().abs_diff(-1_000_000) <= 1);
    assert!(CLOCK_SKEW_MAX < Duration::from_secs(1_000_000));
}

#[tokio::test]
async fn a_camera_of_the_old_way_is_understood() {
    let camera = Camera::start(Script { old: true, ..Default::default() }).await;
    let facts = camera.driver().probe().await.unwrap();
    assert_eq!(facts.capabilities.get("support_ptz").map(String::as_str), Some("1"));
    assert!(camera.heard().iter().any(|r| matches!(r, Request::Device(device::Request::GetCapabilities(_)))));
}

#[tokio::test]
async fn t26_services_and_streams_elsewhere_are_sought_on_the_camera() {
    for told_host in ["169.254.169.254", "10.255.255.1:81", "localhost:1"] {
        let camera = Camera::start(Script { told_host: Some(told_host), ..Default::default() }).await;
        let driver = camera.driver();
        driver.probe().await.unwrap();
        let url = driver.stream_url(ChannelNo(1), Quality::Sub).await.unwrap();
        assert_eq!(url.as_str(), "rtsp://127.0.0.1:8554/sub");
        let paths: Vec<_> = camera.scripted.heard.lock().unwrap().iter().map(|(path, _)| path.clone()).collect();
        assert!(paths.contains(&"/onvif/media".to_owned()) && paths.contains(&"/onvif/ptz".to_owned()), "{paths:?}");
    }
}

#[tokio::test]
async fn t26_an_address_outside_the_policy_is_not_dialled() {
    let camera = Camera::start(Script::default()).await;
    let driver = OnvifDriver::new(Dialer::default(), &camera.url(), None).unwrap();
    assert!(matches!(driver.probe().await, Err(DriverError::AddressRefused(_))));
    assert_eq!(camera.heard(), []);
}

#[tokio::test]
async fn streams_and_key_frames_are_asked_of_the_right_profile() {
    let camera = Camera::start(Script::default()).await;
    let driver = camera.driver();
    // Without a look before: the first request looks by itself.
    driver.request_key_frame(ChannelNo(1), Quality::Main).await.unwrap();
    let asked = m::SetSynchronizationPoint { profile_token: "main".into() };
    assert_eq!(camera.heard().last(), Some(&Request::Media(m::Request::SetSynchronizationPoint(asked))));
    let url = driver.stream_url(ChannelNo(1), Quality::Main).await.unwrap();
    assert_eq!(url.as_str(), "rtsp://127.0.0.1:8554/main");
    let Some(Request::Media(m::Request::GetStreamUri(asked))) = camera.heard().pop() else { panic!("not asked") };
    assert_eq!(asked.stream_setup.transport.protocol, TransportProtocol::Rtsp);
    assert_eq!(driver.stream_url(ChannelNo(2), Quality::Main).await, Err(DriverError::Unsupported));
}

#[tokio::test]
async fn velocities_fill_the_range_of_the_motor() {
    let camera = Camera::start(Script::default()).await;
    let driver = camera.driver();
    for (pan, tilt, x, y) in [(1.0, 0.0, 45.0, 0.0), (-1.0, 0.5, -90.0, 15.0), (-7.0, -1.0, -90.0, -30.0)] {
        driver.ptz_move(ChannelNo(1), Velocity { pan, tilt, zoom: 0.0 }).await.unwrap();
        let Some(Request::Ptz(ptz::Request::ContinuousMove(asked))) = camera.heard().pop() else { panic!("no move") };
        let space = Some("urn:maker:degrees".to_owned());
        assert_eq!(asked.velocity, PtzSpeed { pan_tilt: Some(Vector2D { x, y, space }), zoom: None });
        assert_eq!(asked.profile_token, "main");
    }
    // It has no zoom.
    let zoom = Velocity { zoom: 1.0, ..Default::default() };
    assert_eq!(driver.ptz_move(ChannelNo(1), zoom).await, Err(DriverError::Unsupported));
    driver.ptz_stop(ChannelNo(1)).await.unwrap();
    let Some(Request::Ptz(ptz::Request::Stop(asked))) = camera.heard().pop() else { panic!("no stop") };
    assert_eq!((asked.pan_tilt, asked.zoom), (Some(true), Some(false)));
}

#[tokio::test]
async fn bad_answers_are_errors_that_say_so() {
    for (always, says) in [
        (Always::Redirect, "redirect"),
        (Always::Huge, "longer"),
        (Always::Broken, "not well-formed"),
        (Always::Html, "no envelope"),
        (Always::Empty, "not well-formed"),
        (Always::Basic, "Basic"),
        (Always::Entities, "entity"),
    ] {
        let camera = Camera::start(Script { always: Some(always), ..Default::default() }).await;
        let error = camera.driver().probe().await.unwrap_err();
        assert!(matches!(error, DriverError::Protocol { .. }) && error.to_string().contains(says), "{says}: {error}");
    }
}

/// A restarted camera does not know its old nonces, and many do not say so.
#[tokio::test]
async fn a_camera_that_forgot_its_challenge_is_answered_again() {
    let camera = Camera::start(Script { digest: true, ..Default::default() }).await;
    let driver = camera.driver();
    driver.probe().await.unwrap();
    *camera.scripted.verifier.lock().unwrap() = Verifier::new("camera", Instant::now());
    driver.ping().await.unwrap();
    // But one whose password was changed is not asked for ever.
    *camera.scripted.refused.lock().unwrap() = 0;
    let changed = camera.driver_with("changed");
    assert_eq!(changed.ping().await, Err(DriverError::LoginRefused));
    assert_eq!(*camera.scripted.refused.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_camera_that_does_not_answer_costs_4_5_seconds_and_no_more() {
    let stalls = |head: &'static [u8]| async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let camera = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"</s:Envelope>") {
                stream.read_buf(&mut request).await.unwrap();
            }
            stream.write_all(head).await.unwrap();
            std::future::pending::<()>().await;
        });
        let dialer = Dialer::new([AllowedHost { ip: address.ip(), port: None }]);
        let driver = OnvifDriver::new(dialer, &address.to_string(), None).unwrap();
        let began = Instant::now();
        assert_eq!(driver.ping().await, Err(DriverError::Timeout { step: "http" }));
        assert!(began.elapsed() >= Duration::from_millis(4400));
        camera.abort();
    };
    tokio::join!(stalls(b""), stalls(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n<a>"));
}

#[tokio::test]
async fn a_camera_that_is_gone_is_unreachable() {
    let camera = Camera::start(Script::default()).await;
    let driver = camera.driver();
    driver.probe().await.unwrap();
    drop(camera);
    // The listener closes with the task, not with the handle.
    let gone = async {
        while driver.ping().await.is_ok() {
            tokio::task::yield_now().await;
        }
        driver.ping().await
    };
    let error = tokio::time::timeout(Duration::from_secs(30), gone).await.unwrap().unwrap_err();
    assert!(matches!(error, DriverError::Unreachable { step: "dial", .. }), "{error}");
}
