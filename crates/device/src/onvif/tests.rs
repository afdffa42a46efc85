//! The driver against a scripted camera on loopback.
#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use av::Pcm;
use axum::body::{Body, Bytes};
use axum::extract;
use axum::http::{HeaderMap, Method, Response, Uri};
use proto::digest::{Denied, Verifier};
use proto::onvif::schema::*;
use proto::onvif::security::CLOCK_SKEW_MAX;
use proto::onvif::{Envelope, Fault, Message, Request, device, imaging, media as m, media2, ns, ptz, replay, search};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::dial::AllowedHost;
use crate::rtsp::tests as rtsp_camera;

const USER: &str = "admin";
const PASSWORD: &str = "Str0ng:&<";
const ONE: ChannelNo = ChannelNo(1);
const RIGHT: Velocity = Velocity { pan: 1.0, tilt: 0.0, zoom: 0.0 };

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
    /// Takes requests and answers none.
    hangs: bool,
    /// Answers these operations with faults of these subcodes.
    faults: Vec<(&'static str, &'static [&'static str])>,
    /// How long a move may last, in seconds.
    timeouts: Option<(u64, u64)>,
    /// Gives presets names for tokens, not numbers.
    named_presets: bool,
    /// What its picture's address leads to: status and body; a JPEG if nothing else.
    picture: Option<(u16, Vec<u8>)>,
    /// Port of RTSP; with one it has a loudspeaker.
    rtsp: Option<u16>,
    /// What it keeps footage on.
    card: Option<Card>,
}

/// A card with one recording. Moments are the camera's.
#[derive(Clone, Default)]
struct Card {
    /// From when to when it has recorded, microseconds; what ends at the end of time grows.
    stretches: Vec<(i64, i64)>,
    /// Results of one answer.
    page: usize,
}

/// What the camera was made to be.
struct State {
    /// Where it stands, and whether it moves; it does not tell if it does not know.
    place: Option<(f32, f32)>,
    moving: bool,
    presets: Vec<PtzPreset>,
    rotate: Option<Rotate>,
    masks: Vec<media2::Mask>,
    /// Results that are still to be told, by token.
    searches: BTreeMap<String, Vec<FindEventResult>>,
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
    state: Mutex<State>,
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
            state: Mutex::new(State {
                place: Some((180.0, -45.0)),
                moving: false,
                presets: vec![],
                rotate: None,
                masks: vec![],
                searches: BTreeMap::new(),
            }),
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
        let ports = [Some(self.scripted.address.port()), self.scripted.script.lock().unwrap().rtsp];
        let allow = |port| AllowedHost { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), port: Some(port) };
        Dialer::new(ports.into_iter().flatten().map(allow).collect::<Vec<_>>())
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.scripted.state.lock().unwrap()
    }

    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.scripted.script.lock().unwrap()
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

async fn answer(
    extract::State(camera): extract::State<Arc<Scripted>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let script = camera.script.lock().unwrap().clone();
    if script.hangs {
        std::future::pending::<()>().await;
    }
    if method == Method::GET {
        return picture(&camera, &script, &uri, &headers);
    }
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
        if script.digest
            && let Some(refusal) = digest_refused(&camera, "POST", &uri, &headers)
        {
            return refusal;
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
    if let Some((_, subcodes)) = script.faults.iter().find(|(name, _)| *name == &*envelope.body.name) {
        return fault(&Fault::sender(subcodes, "as scripted"));
    }
    match reply(&script, &mut camera.state.lock().unwrap(), camera.address, clock, request) {
        Ok(envelope) => document(200, envelope.write()),
        Err(refusal) => fault(&refusal),
    }
}

fn digest_refused(camera: &Scripted, method: &str, uri: &Uri, headers: &HeaderMap) -> Option<Response<Body>> {
    let header = headers.get("authorization").and_then(|value| value.to_str().ok());
    let password = |user: &str| (user == USER).then(|| PASSWORD.to_owned());
    let target = uri.path_and_query().unwrap().as_str();
    let verifier = camera.verifier.lock().unwrap();
    let denied = verifier.verify(Instant::now(), header, method, target, password).err()?;
    if denied != Denied::Missing {
        *camera.refused.lock().unwrap() += 1;
    }
    let challenges = verifier.challenges(Instant::now(), denied);
    let response = Response::builder().status(401);
    let response = challenges.into_iter().fold(response, |response, c| response.header("WWW-Authenticate", c));
    Some(response.body(Body::empty()).unwrap())
}

/// Pictures always want a digest, whatever the services want.
fn picture(camera: &Scripted, script: &Script, uri: &Uri, headers: &HeaderMap) -> Response<Body> {
    if uri.path() != "/picture" {
        return document(404, String::new());
    }
    let (status, body) = script.picture.clone().unwrap_or((200, [&JPEG[..], b"main"].concat()));
    digest_refused(camera, "GET", uri, headers)
        .unwrap_or_else(|| Response::builder().status(status).body(body.into()).unwrap())
}

const JPEG: [u8; 4] = [0xff, 0xd8, 0xff, 0xe0];

fn reply(
    script: &Script,
    state: &mut State,
    address: SocketAddr,
    clock: Duration,
    request: Request,
) -> Result<Envelope, Fault> {
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
                    services.extend([(ns::TPTZ, "ptz"), (ns::TIMG, "imaging"), (ns::TR2, "media2")]);
                }
                if script.card.is_some() {
                    services.extend([(ns::TSE, "search"), (ns::TRP, "replay")]);
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
                media_uri: media_uri(format!(
                    "rtsp://{}:{}/{}",
                    at.split(':').next().unwrap(),
                    script.rtsp.unwrap_or(8554),
                    ask.profile_token
                )),
            }),
            m::Request::SetSynchronizationPoint(_) => of(m::SetSynchronizationPointResponse {}),
            m::Request::GetAudioOutputs(_) => of(m::GetAudioOutputsResponse {
                audio_outputs: script.rtsp.map(|_| AudioOutput { token: "horn".into() }).into_iter().collect(),
            }),
            m::Request::GetSnapshotUri(ask) if !script.plain => of(m::GetSnapshotUriResponse {
                media_uri: media_uri(format!("http://{at}/picture?of={}", ask.profile_token)),
            }),
            m::Request::GetVideoSourceConfigurationOptions(_) if !script.plain => {
                let degrees = Some(IntList { items: vec![90, 180] });
                let rotate = RotateOptions { modes: vec![RotateMode::Off, RotateMode::On], degrees };
                let extension = Some(VideoSourceConfigurationOptionsExtension { rotate: Some(rotate) });
                let options = VideoSourceConfigurationOptions { bounds: None, source_tokens: vec![], extension };
                of(m::GetVideoSourceConfigurationOptionsResponse { options })
            }
            m::Request::GetVideoSourceConfigurations(_) => {
                let other = VideoSourceConfiguration { token: "other".into(), ..lens(640, 480) };
                let extension = Some(VideoSourceConfigurationExtension { rotate: state.rotate.clone() });
                let configurations = vec![other, VideoSourceConfiguration { extension, ..lens(1280, 720) }];
                of(m::GetVideoSourceConfigurationsResponse { configurations })
            }
            m::Request::SetVideoSourceConfiguration(m::SetVideoSourceConfiguration { configuration, .. }) => {
                let rotate = configuration.extension.clone().and_then(|extension| extension.rotate);
                // What is not to change comes as it was told.
                assert_eq!(VideoSourceConfiguration { extension: None, ..configuration }, lens(1280, 720));
                state.rotate = rotate;
                of(m::SetVideoSourceConfigurationResponse {})
            }
            _ => unsupported(),
        },
        Request::Ptz(request) => match request {
            ptz::Request::GetNodes(_) => of(ptz::GetNodesResponse { nodes: vec![node()] }),
            ptz::Request::GetConfigurationOptions(_) if script.timeouts.is_some() => {
                let (min, max) = script.timeouts.unwrap_or_default();
                let timeout = DurationRange { min: Duration::from_secs(min), max: Duration::from_secs(max) };
                let options = PtzConfigurationOptions { spaces: PtzSpaces::default(), timeout };
                of(ptz::GetConfigurationOptionsResponse { options })
            }
            ptz::Request::GetStatus(_) => {
                let moving = if state.moving { MoveStatus::Moving } else { MoveStatus::Idle };
                let status = PtzStatus {
                    position: state.place.map(place),
                    move_status: Some(PtzMoveStatus { pan_tilt: Some(moving), zoom: None }),
                    error: None,
                    utc_time: String::new(),
                };
                of(ptz::GetStatusResponse { status })
            }
            ptz::Request::ContinuousMove(_) => of(ptz::ContinuousMoveResponse {}),
            ptz::Request::Stop(_) => of(ptz::StopResponse {}),
            ptz::Request::GetPresets(_) => of(ptz::GetPresetsResponse { presets: state.presets.clone() }),
            ptz::Request::SetPreset(ask) => {
                assert_eq!(ask.preset_token, None, "it is the camera's to choose");
                let taken = |token: &String| state.presets.iter().any(|preset| preset.token.as_ref() == Some(token));
                // Numbers from 10 on, as cameras that keep the first ones for themselves.
                let mut tokens =
                    (10..).map(|n: u16| if script.named_presets { format!("p{n}") } else { n.to_string() });
                let token = tokens.find(|token| !taken(token)).unwrap();
                let position = state.place.map(place);
                state.presets.push(PtzPreset { token: Some(token.clone()), name: ask.preset_name, position });
                of(ptz::SetPresetResponse { preset_token: token })
            }
            ptz::Request::GotoPreset(ask) => {
                let preset = state.presets.iter().find(|preset| preset.token.as_ref() == Some(&ask.preset_token));
                let at = preset.unwrap().position.clone().and_then(|position| position.pan_tilt);
                state.place = at.map(|at| (at.x, at.y));
                of(ptz::GotoPresetResponse {})
            }
            ptz::Request::RemovePreset(ask) => {
                state.presets.retain(|preset| preset.token.as_ref() != Some(&ask.preset_token));
                of(ptz::RemovePresetResponse {})
            }
            _ => unsupported(),
        },
        Request::Media2(request) => match request {
            media2::Request::GetServiceCapabilities(_) => {
                let capabilities = media2::Media2ServiceCapabilities { mask: Some(true), ..Default::default() };
                of(media2::GetServiceCapabilitiesResponse { capabilities })
            }
            // Whatever configuration it was asked for.
            media2::Request::GetMasks(_) => of(media2::GetMasksResponse { masks: state.masks.clone() }),
            media2::Request::GetMaskOptions(_) => {
                let black = Color { x: 16.0, y: 128.0, z: 128.0, colorspace: None };
                let options = media2::MaskOptions {
                    rectangle_only: Some(true),
                    single_color_only: None,
                    max_masks: 4,
                    max_points: 4,
                    types: vec!["Blurred".into(), "Color".into()],
                    color: Some(ColorOptions { colors: vec![black] }),
                };
                of(media2::GetMaskOptionsResponse { options })
            }
            media2::Request::CreateMask(media2::CreateMask { mut mask }) => {
                let token = format!("m{}", state.masks.len());
                assert_eq!(mask.token.replace(token.clone()), None);
                state.masks.push(mask);
                of(media2::CreateMaskResponse { token })
            }
            media2::Request::SetMask(media2::SetMask { mask }) => {
                let known = state.masks.iter_mut().find(|known| known.token == mask.token);
                *known.unwrap() = mask;
                of(media2::SetMaskResponse {})
            }
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
        Request::Recording(_) => unsupported(),
        Request::Search(request) => match (&script.card, request) {
            (Some(card), request) => card_reply(card, &mut state.searches, request),
            (None, _) => unsupported(),
        },
        Request::Replay(replay::Request::GetReplayUri(ask)) => {
            // An address of its own network, as cameras behind a mapped port tell.
            let port = script.rtsp.unwrap_or(554);
            of(replay::GetReplayUriResponse {
                uri: format!("rtsp://192.168.9.9:{port}/replay/{}", ask.recording_token),
            })
        }
        Request::Replay(_) => unsupported(),
    }
}

fn card_reply(
    card: &Card,
    searches: &mut BTreeMap<String, Vec<FindEventResult>>,
    request: search::Request,
) -> Result<Envelope, Fault> {
    let unknown = || Fault::sender(&["InvalidArgVal", "InvalidToken"], "no such search");
    let state = |more: bool| if more { SearchState::Searching } else { SearchState::Completed };
    Ok(match request {
        search::Request::FindRecordings(_) => {
            searches.insert("recordings".into(), Vec::new());
            Envelope::of(&search::FindRecordingsResponse { search_token: "recordings".into() })
        }
        search::Request::GetRecordingSearchResults(ask) => {
            searches.get(&ask.search_token).ok_or_else(unknown)?;
            let track = |token: &str, track_type| TrackInformation {
                track_token: token.into(),
                track_type,
                description: String::new(),
                data_from: None,
                data_to: None,
            };
            let (first, last) = (card.stretches.first(), card.stretches.last());
            let recording = RecordingInformation {
                recording_token: "rec".into(),
                source: RecordingSourceInformation::default(),
                earliest_recording: first.map(|(from, _)| UnixMicros(*from)),
                latest_recording: last.map(|(_, to)| UnixMicros(*to)),
                content: String::new(),
                tracks: vec![track("v", TrackType::Video), track("a", TrackType::Audio)],
                recording_status: RecordingStatus::Stopped,
            };
            let recording_information = if card.stretches.is_empty() { vec![] } else { vec![recording] };
            let result_list = FindRecordingResultList { search_state: state(false), recording_information };
            Envelope::of(&search::GetRecordingSearchResultsResponse { result_list })
        }
        search::Request::FindEvents(ask) => {
            assert_eq!(ask.scope.included_recordings, ["rec"]);
            let (from, to) = (ask.start_point.0, ask.end_point.unwrap().0);
            let event = |track: &str, at: i64, present: bool, start: bool| FindEventResult {
                recording_token: "rec".into(),
                track_token: track.into(),
                time: UnixMicros(at),
                event: Notification {
                    topic: Topic::new(search::TRACK_STATE),
                    message: NotificationMessage {
                        message: EventMessage {
                            utc_time: None,
                            property_operation: None,
                            source: None,
                            data: Some(ItemList::of(search::IS_DATA_PRESENT, present.to_string())),
                        },
                    },
                },
                start_state_event: start,
            };
            let present = |at: i64| card.stretches.iter().any(|(from, to)| (*from..*to).contains(&at));
            // Sound has gaps that pictures have not.
            let mut found = vec![event("v", from, present(from), true), event("a", from, false, true)];
            for &(began, ended) in &card.stretches {
                let happened = [event("v", began, true, false), event("a", began + 1, true, false)];
                let happened =
                    happened.into_iter().chain([event("a", ended - 1, false, false), event("v", ended, false, false)]);
                found.extend(happened.filter(|event| (from..=to).contains(&event.time.0)));
            }
            searches.insert("events".into(), found);
            Envelope::of(&search::FindEventsResponse { search_token: "events".into() })
        }
        search::Request::GetEventSearchResults(ask) => {
            let left = searches.get_mut(&ask.search_token).ok_or_else(unknown)?;
            let results: Vec<_> = left.drain(..card.page.min(left.len())).collect();
            let result_list = FindEventResultList { search_state: state(!left.is_empty()), results };
            Envelope::of(&search::GetEventSearchResultsResponse { result_list })
        }
        search::Request::EndSearch(ask) => {
            searches.remove(&ask.search_token).ok_or_else(unknown)?;
            Envelope::of(&search::EndSearchResponse { endpoint: None })
        }
        _ => return Err(Fault::receiver(&["ActionNotSupported"], "not here")),
    })
}

fn media_uri(uri: String) -> MediaUri {
    MediaUri { uri, invalid_after_connect: false, invalid_after_reboot: false, timeout: Duration::ZERO }
}

fn place((x, y): (f32, f32)) -> PtzVector {
    PtzVector { pan_tilt: Some(Vector2D { x, y, space: Some("urn:maker:place".into()) }), zoom: None }
}

fn lens(width: i32, height: i32) -> VideoSourceConfiguration {
    VideoSourceConfiguration {
        token: "c".into(),
        name: "c".into(),
        use_count: 2,
        source_token: "lens".into(),
        bounds: IntRectangle { x: 0, y: 0, width, height },
        extension: None,
    }
}

pub(super) fn motor_configuration() -> PtzConfiguration {
    PtzConfiguration {
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
    }
}

fn profile(token: &str, width: i32, height: i32, plain: bool) -> Profile {
    Profile {
        token: token.into(),
        fixed: Some(true),
        name: token.into(),
        video_source: Some(lens(width, height)),
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
        ptz: (!plain).then(motor_configuration),
        extension: None,
    }
}

/// A motor that pans by degrees a second, to the left faster than to the right, and stands at degrees.
fn node() -> PtzNode {
    let range = |min, max| FloatRange { min, max };
    let degrees = Space2DDescription {
        uri: "urn:maker:degrees".into(),
        x_range: range(-90.0, 45.0),
        y_range: range(-30.0, 30.0),
    };
    let places =
        Space2DDescription { uri: "urn:maker:place".into(), x_range: range(0.0, 360.0), y_range: range(-90.0, 0.0) };
    PtzNode {
        token: "node".into(),
        fixed_home_position: None,
        name: None,
        supported_spaces: PtzSpaces {
            continuous_pan_tilt: vec![degrees],
            absolute_pan_tilt: vec![places],
            ..Default::default()
        },
        maximum_number_of_presets: 8,
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
    let expected = [
        "ptz_45",
        "ptz_center_mirror",
        "ptz_left_right",
        "ptz_preset",
        "ptz_top_bottom",
        "support_capture",
        "support_image_param",
        "support_privacy",
        "support_ptz",
    ];
    assert_eq!(capabilities, expected);
}

#[tokio::test]
async fn a_plain_camera_claims_nothing() {
    let camera = Camera::start(Script { plain: true, ..Default::default() }).await;
    let driver = camera.driver();
    let facts = driver.probe().await.unwrap();
    assert!(facts.capabilities.is_empty(), "{facts:?}");
    let unsupported = Err(DriverError::Unsupported);
    // Without a request: it said what it has.
    let asked = camera.heard().len();
    for channel in [ONE, ChannelNo(2)] {
        assert_eq!(driver.ptz_start(channel, RIGHT).await, unsupported);
        assert_eq!(driver.ptz_stop(channel).await, unsupported);
        assert_eq!(driver.position(channel).await, Err(DriverError::Unsupported));
        assert_eq!(driver.preset_add(channel).await, Err(DriverError::Unsupported));
        assert_eq!(driver.preset_move(channel, PresetNo(1)).await, unsupported);
        assert_eq!(driver.preset_clear(channel, PresetNo(1)).await, unsupported);
        assert_eq!(driver.mirror(channel, Mirror::Centre).await, unsupported);
        assert_eq!(driver.mask(channel).await, Err(DriverError::Unsupported));
        assert_eq!(driver.set_mask(channel, true).await, unsupported);
    }
    assert_eq!(camera.heard().len(), asked);
    assert_eq!(driver.snapshot(ONE).await, Err(DriverError::Unsupported));
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
        driver.ptz_start(ONE, Velocity { pan, tilt, zoom: 0.0 }).await.unwrap();
        let Some(Request::Ptz(ptz::Request::ContinuousMove(asked))) = camera.heard().pop() else { panic!("no move") };
        let space = Some("urn:maker:degrees".to_owned());
        assert_eq!(asked.velocity, PtzSpeed { pan_tilt: Some(Vector2D { x, y, space }), zoom: None });
        assert_eq!(asked.profile_token, "main");
    }
    // It has no zoom.
    let zoom = Velocity { zoom: 1.0, ..Default::default() };
    assert_eq!(driver.ptz_start(ONE, zoom).await, Err(DriverError::Unsupported));
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

#[tokio::test]
async fn a_move_lasts_as_long_as_the_camera_lets_it() {
    for (timeouts, expected) in [
        (None, None),
        (Some((1, 10)), Some(10)),
        (Some((0, 600)), Some(60)),
        (Some((90, 99)), Some(90)),
        (Some((9, 3)), None),
    ] {
        let camera = Camera::start(Script { timeouts, ..Default::default() }).await;
        camera.driver().ptz_start(ONE, RIGHT).await.unwrap();
        let Some(Request::Ptz(ptz::Request::ContinuousMove(asked))) = camera.heard().pop() else { panic!("no move") };
        assert_eq!(asked.timeout, expected.map(Duration::from_secs));
    }
}

#[tokio::test]
async fn positions_are_shares_of_the_travel() {
    let camera = Camera::start(Script::default()).await;
    let driver = camera.driver();
    for (place, pan, tilt) in [((180.0, -45.0), 0.0, 0.0), ((360.0, -90.0), 1.0, -1.0), ((0.0, 0.0), -1.0, 1.0)] {
        camera.state().place = Some(place);
        let expected = Position { pan: Some(pan), tilt: Some(tilt), zoom: None };
        assert_eq!(driver.position(ONE).await, Ok(expected));
    }
    camera.state().place = None;
    assert_eq!(driver.position(ONE).await, Err(DriverError::Unsupported));
}

#[tokio::test]
async fn presets_are_kept_by_the_camera_under_our_numbers() {
    for (named_presets, first) in [(false, 10), (true, 1)] {
        let camera = Camera::start(Script { named_presets, ..Default::default() }).await;
        let driver = camera.driver();
        let [first, second, third] = [first, first + 1, first + 2].map(PresetNo);
        assert_eq!(driver.preset_add(ONE).await, Ok(first));
        camera.state().place = Some((90.0, 0.0));
        assert_eq!(driver.preset_add(ONE).await, Ok(second));
        assert_eq!(driver.preset_add(ONE).await, Ok(third));
        driver.preset_move(ONE, first).await.unwrap();
        assert_eq!(camera.state().place, Some((180.0, -45.0)));
        assert_eq!(driver.preset_move(ONE, first).await, Err(DriverError::PresetReached));
        // On its way through it is not there.
        camera.state().moving = true;
        driver.preset_move(ONE, first).await.unwrap();
        camera.state().moving = false;
        driver.preset_move(ONE, second).await.unwrap();
        // One that does not know where it stands is sent there again.
        camera.state().place = None;
        driver.preset_move(ONE, second).await.unwrap();

        driver.preset_clear(ONE, first).await.unwrap();
        assert_eq!(driver.preset_clear(ONE, first).await, Err(DriverError::PresetUnknown));
        assert_eq!(driver.preset_move(ONE, first).await, Err(DriverError::PresetUnknown));
        // The others are what they were, for one who has just come too.
        for driver in [driver, camera.driver()] {
            camera.state().place = None;
            driver.preset_move(ONE, third).await.unwrap();
            assert_eq!(driver.preset_add(ONE).await, Ok(first));
            driver.preset_clear(ONE, first).await.unwrap();
        }
        assert_eq!(camera.state().presets.len(), 2);
    }
}

#[tokio::test]
async fn faults_say_what_they_mean() {
    let camera = Camera::start(Script::default()).await;
    let driver = camera.driver();
    let preset = driver.preset_add(ONE).await.unwrap();
    camera.state().place = None;
    let refused = |step| DriverError::Refused { step, cause: String::new() };
    let same = |answer: Result<(), DriverError>, expected: &DriverError| match (&answer, expected) {
        (Err(DriverError::Refused { step, .. }), DriverError::Refused { step: expected, .. }) => step == expected,
        (Err(error), expected) => error == expected,
        (Ok(()), _) => false,
    };
    type Subcodes = &'static [&'static str];
    let cases: [(&'static str, Subcodes, DriverError); 12] = [
        ("ContinuousMove", &["ActionNotSupported", "PTZNotSupported"], DriverError::Unsupported),
        ("ContinuousMove", &["InvalidArgVal", "InvalidVelocity"], refused("ContinuousMove")),
        ("ContinuousMove", &["NotAuthorized"], DriverError::LoginRefused),
        ("Stop", &["InvalidArgVal", "NoProfile"], refused("Stop")),
        ("SetPreset", &["Action", "TooManyPresets"], DriverError::PresetsFull),
        ("SetPreset", &["Action", "MovingPTZ"], refused("SetPreset")),
        ("GotoPreset", &["InvalidArgVal", "NoToken"], DriverError::PresetUnknown),
        ("RemovePreset", &["InvalidArgVal", "NoToken"], DriverError::PresetUnknown),
        ("SetVideoSourceConfiguration", &["InvalidArgVal", "ConfigModify"], refused("SetVideoSourceConfiguration")),
        ("CreateMask", &["Action", "MaxMasks"], refused("CreateMask")),
        ("GetMasks", &["ActionNotSupported"], DriverError::Unsupported),
        ("GetSnapshotUri", &["Action", "IncompleteConfiguration"], refused("GetSnapshotUri")),
    ];
    for (operation, subcodes, expected) in cases {
        camera.script().faults = vec![(operation, subcodes)];
        let answer = match operation {
            "ContinuousMove" => driver.ptz_start(ONE, RIGHT).await,
            "Stop" => driver.ptz_stop(ONE).await,
            "SetPreset" => driver.preset_add(ONE).await.map(drop),
            "GotoPreset" => driver.preset_move(ONE, preset).await,
            "RemovePreset" => driver.preset_clear(ONE, preset).await,
            "SetVideoSourceConfiguration" => driver.mirror(ONE, Mirror::Centre).await,
            "CreateMask" => driver.set_mask(ONE, true).await,
            "GetMasks" => driver.mask(ONE).await.map(drop),
            _ => driver.snapshot(ONE).await.map(drop),
        };
        assert!(same(answer.clone(), &expected), "{operation} {subcodes:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_picture_is_turned_and_turned_back() {
    let camera = Camera::start(Script::default()).await;
    let driver = camera.driver();
    let rotation = || camera.state().rotate.clone().map(|rotate| (rotate.mode, rotate.degree));
    driver.mirror(ONE, Mirror::Centre).await.unwrap();
    assert_eq!(rotation(), Some((RotateMode::On, Some(180))));
    driver.mirror(ONE, Mirror::Centre).await.unwrap();
    assert_eq!(rotation(), Some((RotateMode::Off, None)));
    // Mounted on its side it stays on its side.
    camera.state().rotate = Some(Rotate { mode: RotateMode::On, degree: Some(90) });
    driver.mirror(ONE, Mirror::Centre).await.unwrap();
    assert_eq!(rotation(), Some((RotateMode::On, Some(270))));
    for mirror in [Mirror::LeftRight, Mirror::UpDown] {
        assert_eq!(driver.mirror(ONE, mirror).await, Err(DriverError::Unsupported));
    }
}

#[tokio::test]
async fn the_lens_is_covered_by_one_mask_and_other_masks_are_left_alone() {
    let camera = Camera::start(Script::default()).await;
    let driver = camera.driver();
    let corner =
        Polygon { points: vec![Vector { x: 0.0, y: 0.0 }, Vector { x: 0.5, y: 0.0 }, Vector { x: 0.0, y: 0.5 }] };
    let window = media2::Mask {
        token: Some("window".into()),
        configuration_token: "c".into(),
        polygon: corner,
        kind: "Blurred".into(),
        color: None,
        enabled: true,
    };
    camera.state().masks.push(window.clone());
    assert_eq!(driver.mask(ONE).await, Ok(false));
    driver.set_mask(ONE, false).await.unwrap();
    assert_eq!(camera.state().masks, std::slice::from_ref(&window));
    for covered in [true, true, false, false, true] {
        driver.set_mask(ONE, covered).await.unwrap();
        assert_eq!(driver.mask(ONE).await, Ok(covered));
        let masks = camera.state().masks.clone();
        let [first, cover] = &masks[..] else { panic!("{masks:?}") };
        assert_eq!((first, cover.enabled, cover.kind.as_str()), (&window, covered, "Color"));
        assert_eq!(cover.color.as_ref().map(|color| color.x), Some(16.0));
    }
    // Another lens's is none of ours; and of two of ours both are taken away.
    let cover = camera.state().masks[1].clone();
    camera.state().masks.push(media2::Mask { token: Some("again".into()), ..cover.clone() });
    let other = media2::Mask { token: Some("other".into()), configuration_token: "other".into(), ..cover };
    camera.state().masks.push(other);
    driver.set_mask(ONE, false).await.unwrap();
    let enabled: Vec<_> = camera.state().masks.iter().map(|mask| mask.enabled).collect();
    assert_eq!(enabled, [true, false, false, true]);
    assert_eq!(driver.mask(ONE).await, Ok(false));
}

#[tokio::test]
async fn a_still_picture_is_a_jpeg_or_an_error() {
    // Wherever the camera says it is, it is on the camera.
    let camera = Camera::start(Script { told_host: Some("169.254.169.254"), ..Default::default() }).await;
    let driver = camera.driver();
    for _ in 0..2 {
        assert_eq!(driver.snapshot(ONE).await.unwrap(), [&JPEG[..], b"main"].concat());
    }
    assert_eq!(*camera.scripted.refused.lock().unwrap(), 0);
    let protocol = |error: &DriverError| matches!(error, DriverError::Protocol { .. });
    let refused = |error: &DriverError| matches!(error, DriverError::Refused { step: "snapshot", .. });
    let login = |error: &DriverError| *error == DriverError::LoginRefused;
    let whole = [&JPEG[..], &vec![0; crate::SNAPSHOT_BYTES_MAX - 4]].concat();
    type Check = fn(&DriverError) -> bool;
    let cases: [(u16, Vec<u8>, Check); 6] = [
        (200, b"<html>".to_vec(), protocol),
        (200, vec![], protocol),
        (200, [&whole[..], &[0]].concat(), protocol),
        (403, vec![], login),
        (404, vec![], refused),
        (503, JPEG.to_vec(), refused),
    ];
    for (status, body, expected) in cases {
        let length = body.len();
        camera.script().picture = Some((status, body));
        let error = driver.snapshot(ONE).await.unwrap_err();
        assert!(expected(&error), "{status}, {length} bytes: {error}");
    }
    camera.script().picture = Some((200, whole));
    assert_eq!(driver.snapshot(ONE).await.unwrap().len(), crate::SNAPSHOT_BYTES_MAX);
    assert_eq!(camera.driver_with("wrong").snapshot(ONE).await, Err(DriverError::LoginRefused));
}

#[tokio::test]
async fn the_speaker_is_found_by_rtsp() {
    let script =
        rtsp_camera::Script { sdp: rtsp_camera::speaker_sdp("8", &[]), back_channel: true, ..Default::default() };
    for (back_channel, talk) in [(true, Some("1")), (false, None)] {
        let (url, _events) = rtsp_camera::camera(rtsp_camera::Script { back_channel, ..script }).await;
        let rtsp = Url::parse(&url).unwrap().port();
        let camera = Camera::start(Script { rtsp, ..Default::default() }).await;
        let driver = camera.driver();
        let facts = driver.probe().await.unwrap();
        assert_eq!(facts.capabilities.get("support_talk").map(String::as_str), talk);
        assert_eq!(driver.open_speaker(ONE).await.is_ok(), back_channel);
    }
}

/// How a camera fails that was well when it was looked at.
#[derive(Clone, Copy, Debug)]
enum Failing {
    /// Takes the request and says nothing.
    Hangs,
    /// Takes the request and closes.
    Drops,
    /// Closes in the middle of the answer.
    Breaks,
    /// Does not speak HTTP.
    Babbles,
    /// Answers with half a document.
    Truncates,
    /// Answers with another document.
    Confuses,
}

async fn failing(how: Failing) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let document = |text: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
    let stop = Envelope::of(&imaging::GetOptions { video_source_token: "lens".into() }).write();
    let answer = match how {
        Failing::Hangs | Failing::Drops => String::new(),
        Failing::Breaks => "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n<s:Env".into(),
        Failing::Babbles => "SSH-2.0-OpenSSH_9.2\r\n".into(),
        Failing::Truncates => document(&stop[..stop.len() / 2]),
        Failing::Confuses => document(&stop),
    };
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"</s:Envelope>") {
                    stream.read_buf(&mut request).await.unwrap();
                }
                stream.write_all(answer.as_bytes()).await.unwrap();
                if matches!(how, Failing::Hangs) {
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn whatever_it_was_asked_a_camera_that_fails_is_an_error_in_time() {
    let camera = Camera::start(Script::default()).await;
    let well = camera.driver();
    well.probe().await.unwrap();
    let known = well.session.lock().unwrap().clone().unwrap();
    for how in
        [Failing::Hangs, Failing::Drops, Failing::Breaks, Failing::Babbles, Failing::Truncates, Failing::Confuses]
    {
        let address = failing(how).await;
        let url = Url::parse(&format!("http://{address}/")).unwrap();
        let session = Session {
            media: url.clone(),
            masks: Some(url.clone()),
            ptz: Some(url.clone()),
            motors: known.motors.clone(),
            channels: known.channels.clone(),
            rotates: true,
            storage: Some(Storage::new(url.clone(), url.clone())),
        };
        let dialer = Dialer::new([AllowedHost { ip: address.ip(), port: None }]);
        let driver = OnvifDriver::new(dialer, url.as_str(), None).unwrap();
        *driver.session.lock().unwrap() = Some(Arc::new(session));
        let driver = Arc::new(driver);
        let began = Instant::now();
        let mut asked = tokio::task::JoinSet::new();
        for ability in 0..14 {
            let driver = driver.clone();
            asked.spawn(async move {
                let answer = match ability {
                    0 => driver.ptz_start(ONE, RIGHT).await,
                    1 => driver.ptz_stop(ONE).await,
                    2 => driver.position(ONE).await.map(drop),
                    3 => driver.preset_add(ONE).await.map(drop),
                    4 => driver.preset_move(ONE, PresetNo(1)).await,
                    5 => driver.preset_clear(ONE, PresetNo(1)).await,
                    6 => driver.mirror(ONE, Mirror::Centre).await,
                    7 => driver.mask(ONE).await.map(drop),
                    8 => driver.set_mask(ONE, true).await,
                    9 => driver.snapshot(ONE).await.map(drop),
                    10 => driver.open_speaker(ONE).await.map(drop),
                    11 => driver.recordings(ONE, UnixMicros(0), UnixMicros(SECOND)).await.map(drop),
                    12 => {
                        let [from, to] = [0, SECOND].map(UnixMicros);
                        let ask = ReplayAsk { from, to, speed: 1.0, key_frames_only: false };
                        driver.replay(ONE, ask, mpsc::channel(1).0).await
                    }
                    _ => driver.ping().await,
                };
                (ability, answer)
            });
        }
        while let Some(answered) = asked.join_next().await {
            let (ability, answer) = answered.unwrap();
            let expected = match how {
                Failing::Hangs => matches!(answer, Err(DriverError::Timeout { step: "http" })),
                Failing::Drops | Failing::Breaks | Failing::Babbles => {
                    matches!(answer, Err(DriverError::Unreachable { step: "http", .. }))
                }
                Failing::Truncates | Failing::Confuses => matches!(answer, Err(DriverError::Protocol { .. })),
            };
            assert!(expected, "{how:?}, ability {ability}: {answer:?}");
        }
        assert!(began.elapsed() < Duration::from_millis(4900), "{how:?}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn nothing_is_left_of_what_was_given_up() {
    let sdp = rtsp_camera::speaker_sdp("8", &[]);
    let script = rtsp_camera::Script { sdp, media: i64::MAX, back_channel: true, ..Default::default() };
    let (url, _heard) = rtsp_camera::camera(script).await;
    let rtsp = Url::parse(&url).unwrap().port();
    let camera = Camera::start(Script { rtsp, ..Default::default() }).await;
    // Connections of both cameras are tasks too, which end with their sockets.
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();

    let hub = ::media::Hub::new(::media::HubSettings::default());
    let dialer = camera.dialer();
    let settings = crate::SupervisorSettings { hub, dialer, ptz_watchdog: crate::PTZ_WATCHDOG };
    let (supervisor, mut events) = crate::Supervisor::new(settings);
    let spec = crate::DeviceSpec {
        serial: "A".into(),
        kind: crate::DriverKind::Onvif,
        address: camera.url(),
        login: Some(Login { user: USER.into(), password: PASSWORD.into() }),
        channels: vec![ONE],
        keep_live: true,
    };
    supervisor.start(spec).unwrap();
    let online = tokio::time::timeout(Duration::from_secs(30), events.recv()).await.unwrap().unwrap();
    assert!(matches!(online, crate::DeviceEvent::Online { .. }), "{online:?}");
    let device = supervisor.device("A").unwrap();
    device.speak(ONE, Pcm { sample_rate: 8000, samples: vec![0; 8000 * 60] }).await.unwrap();
    camera.script().hangs = true;
    for ability in 0..9 {
        let asked = async {
            match ability {
                0 => device.ptz_start(ONE, RIGHT).await,
                1 => device.preset_add(ONE).await.map(drop),
                2 => device.preset_move(ONE, PresetNo(1)).await,
                3 => device.preset_clear(ONE, PresetNo(1)).await,
                4 => device.mirror(ONE, Mirror::Centre).await,
                5 => device.mask(ONE).await.map(drop),
                6 => device.set_mask(ONE, true).await,
                7 => device.snapshot(ONE).await.map(drop),
                _ => device.request_key_frame(ONE, Quality::Main).await,
            }
        };
        // The motor only when it has told neither whether it is covered nor where it stands.
        let patience = if ability == 0 { 3300 } else { 300 };
        let given_up = tokio::time::timeout(Duration::from_millis(patience), asked).await;
        assert!(given_up.is_err(), "ability {ability}: {given_up:?}");
    }
    camera.script().hangs = false;
    supervisor.stop("A");
    supervisor.shutdown().await;
    let stopped = camera.heard().into_iter().rfind(|request| matches!(request, Request::Ptz(_)));
    assert!(matches!(stopped, Some(Request::Ptz(ptz::Request::Stop(_)))), "{stopped:?}");
    drop((supervisor, device));
    let deadline = Instant::now() + Duration::from_secs(30);
    while tasks() > before {
        assert!(Instant::now() < deadline, "{} tasks, {before} before", tasks());
        tokio::task::yield_now().await;
    }
}

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3600 * SECOND;

/// A camera whose clock is an hour ahead, and a moment by ours, some hours ago.
async fn with_card(stretches: &[(i64, i64)], script: Script) -> (Camera, i64) {
    let ago = now().as_secs() as i64 * SECOND - 10 * HOUR;
    let there = |at: i64| if at == i64::MAX { at } else { ago + at + HOUR };
    let stretches = stretches.iter().map(|&(from, to)| (there(from), there(to))).collect();
    let card = Card { stretches, page: 3 };
    (Camera::start(Script { card: Some(card), clock: 3600, token: true, ..script }).await, ago)
}

#[tokio::test]
async fn footage_is_found_whole_and_by_our_clock() {
    let stretches: Vec<(i64, i64)> = (0..8).map(|n| (n * 600 * SECOND, (n * 600 + 300) * SECOND)).collect();
    let (camera, ago) = with_card(&stretches, Script::default()).await;
    let driver = camera.driver();
    let facts = driver.probe().await.unwrap();
    for name in ["support_disk", "support_seek_playback"] {
        assert_eq!(facts.capabilities.get(name).map(String::as_str), Some("1"), "{name}");
    }
    let ask = async |from: i64, to: i64| {
        let found = driver.recordings(ONE, UnixMicros(ago + from), UnixMicros(ago + to)).await.unwrap();
        found.iter().map(|it| (it.from.0 - ago, it.to.0 - ago)).collect::<Vec<_>>()
    };
    // A camera tells its clock by the second.
    let same = |found: Vec<(i64, i64)>, wanted: &[(i64, i64)]| {
        let near = |a: i64, b: i64| (a - b).abs() <= SECOND;
        let all = found.iter().zip(wanted).all(|(a, b)| near(a.0, b.0) && near(a.1, b.1));
        assert!(found.len() == wanted.len() && all, "{found:?} {wanted:?}");
    };
    same(ask(0, HOUR + HOUR / 2).await, &stretches);
    // What only touches the range is told from its beginning to its end.
    same(ask(700 * SECOND, 1300 * SECOND).await, &stretches[1..3]);
    same(ask(920 * SECOND, 1190 * SECOND).await, &[]);
    assert_eq!(driver.recordings(ChannelNo(2), UnixMicros(0), UnixMicros(1)).await, Err(DriverError::Unsupported));
    let heard = camera.heard();
    let ended = heard.iter().filter(|request| matches!(request, Request::Search(search::Request::EndSearch(_))));
    assert_eq!(ended.count(), 4, "one for the recordings, one for each question");
    assert!(camera.state().searches.is_empty());
}

#[tokio::test]
async fn what_grows_ends_now_and_what_has_no_events_is_told_whole() {
    let (camera, ago) = with_card(&[(-5 * HOUR, i64::MAX)], Script::default()).await;
    let found = camera.driver().recordings(ONE, UnixMicros(ago), UnixMicros(ago + 20 * HOUR)).await.unwrap();
    let [only] = &found[..] else { panic!("{found:?}") };
    let until_now = crate::rtsp::wall().0 - only.to.0;
    assert!((-2 * SECOND..10 * SECOND).contains(&until_now), "{until_now}");
    assert!(only.from.0 <= ago, "it began before");

    let faults = vec![("FindEvents", &["ActionNotSupported"][..])];
    let (camera, ago) = with_card(&[(0, HOUR), (2 * HOUR, 3 * HOUR)], Script { faults, ..Script::default() }).await;
    let found = camera.driver().recordings(ONE, UnixMicros(ago), UnixMicros(ago + HOUR)).await.unwrap();
    assert_eq!(found.len(), 1);
    assert!((found[0].to.0 - found[0].from.0 - 3 * HOUR).abs() < SECOND);

    // A slot without a card.
    let (camera, _) = with_card(&[], Script::default()).await;
    let driver = camera.driver();
    assert!(!driver.probe().await.unwrap().capabilities.contains_key("support_disk"));
    assert_eq!(driver.recordings(ONE, UnixMicros(0), UnixMicros(HOUR)).await, Ok(vec![]));
    // No slot at all.
    let camera = Camera::start(Script::default()).await;
    let none = camera.driver().recordings(ONE, UnixMicros(0), UnixMicros(HOUR)).await;
    assert_eq!(none, Err(DriverError::Unsupported));
}

/// Plays the twenty seconds on the card of a camera whose clock is an hour ahead, from an RTSP server at this
/// port: the frames, as seconds on the card by our clock, and whether they are key frames.
async fn played(port: u16, ago: i64, from: f64, to: f64, key_frames_only: bool) -> Vec<(f64, bool)> {
    let card = Card { stretches: vec![(ago + HOUR, ago + HOUR + 20 * SECOND)], page: 3 };
    let script = Script { card: Some(card), clock: 3600, token: true, rtsp: Some(port), ..Script::default() };
    let camera = Camera::start(script).await;
    let driver = camera.driver();
    // A clock that is told by the second may be found a second off.
    driver.probe().await.unwrap();
    let off = driver.clock_offset() - 3600;
    assert!(off.abs() <= 1, "{off}");
    let (out, mut items) = mpsc::channel(4);
    let at = |seconds: f64| UnixMicros(ago + (seconds * 1e6) as i64 - off * SECOND);
    let ask = ReplayAsk { from: at(from), to: at(to), speed: 1.0, key_frames_only };
    let read = async {
        let mut frames = Vec::new();
        while let Some(item) = items.recv().await {
            if let Item::Frame(frame) = item {
                frames.push(((frame.wall.0 + off * SECOND - ago) as f64 / 1e6, frame.key));
            }
        }
        frames
    };
    let (played, frames) = tokio::join!(driver.replay(ONE, ask, out), read);
    played.unwrap();
    frames
}

fn check(frames: &[(f64, bool)], from: f64, step: f64, count: usize) {
    assert!(frames[0].1, "a key frame is first");
    assert_eq!(frames.len(), count, "{frames:?}");
    for (n, (at, _)) in frames.iter().enumerate() {
        let wanted = from + n as f64 * step;
        assert!((at - wanted).abs() < 0.002, "{n}: {at} {wanted}");
    }
}

/// A moment by our clock, ten hours ago.
fn ten_hours_ago() -> i64 {
    now().as_secs() as i64 * SECOND - 10 * HOUR
}

#[tokio::test]
async fn footage_is_played_by_our_clock() {
    use crate::rtsp::recorder::{self, Recorder};
    let ago = ten_hours_ago();
    let stretches = vec![(ago + HOUR, ago + HOUR + 20 * SECOND)];
    let script = recorder::Script { stretches, extension: true, rate_control: true, ..recorder::Script::default() };
    let recorder = Recorder::start(script).await;
    check(&played(recorder.port, ago, 5.5, 12.0, false).await, 5.0, 0.2, 35);
    let heard = recorder.heard();
    assert!(heard.paths.contains(&"replay/rec?".to_owned()), "{:?}", heard.paths);
    assert_eq!(heard.plays.len(), 1);
    assert!(heard.plays[0].rate_control == Some(false) && heard.plays[0].immediate);
}

#[tokio::test]
async fn gstreamer_replays_what_it_recorded() {
    let ago = ten_hours_ago();
    let begin = ((ago + HOUR) / SECOND).to_string();
    let recorder = rtsp_camera::GStreamer::run("gst_onvif_replay.py", &["--begin", &begin, "--seconds", "20"]);
    let began = Instant::now();
    check(&played(recorder.port, ago, 5.3, 12.0, false).await, 5.0, 0.1, 70);
    // To the end of what it has, which it says itself.
    check(&played(recorder.port, ago, 15.0, 600.0, false).await, 15.0, 0.1, 50);
    assert!(began.elapsed() < Duration::from_secs(10), "it sends as fast as it is read: {:?}", began.elapsed());
    check(&played(recorder.port, ago, 3.0, 17.0, true).await, 3.0, 1.0, 14);
}
