//! ONVIF: what the camera says of itself and how it is turned, as SOAP over HTTP.
//!
//! Services: Device, Media, PTZ and Imaging, each under `/onvif/…_service`; a request is recognised
//! by its body. Both logins are accepted: WS-Security UsernameToken and HTTP digest.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use av::UnixMicros;
use proto::digest::{Denied, Verifier};
use proto::onvif::schema::*;
use proto::onvif::security::CLOCK_SKEW_MAX;
use proto::onvif::{Envelope, Error, Fault, Message, Request, device, imaging, media, ns, ptz};

use crate::clock::{self, Clock};
use crate::config::{Config, Quality, SoundConfig};
use crate::feed::Stream;
use crate::lens::Lens;
use crate::ptz::{Axes, Ptz, TIMEOUT_DEFAULT, TIMEOUT_MAX};
use crate::stats::Counters;

/// Token of the one sensor.
const SOURCE: &str = "sensor";
/// Token of the one motor and its configuration.
const MOTOR: &str = "motor";
/// Firmware the camera claims: the program's version.
const FIRMWARE: &str = env!("CARGO_PKG_VERSION");

/// A request as HTTP brought it.
pub struct Call<'a> {
    /// Request target, as sent.
    pub target: &'a str,
    /// `Authorization` header.
    pub authorization: Option<&'a str>,
    /// Host and port by which the client reached us, for the addresses in answers.
    pub host: &'a str,
    /// Host without port.
    pub hostname: &'a str,
    /// The SOAP document.
    pub body: &'a [u8],
}

/// An answer for HTTP to bring back.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Values of `WWW-Authenticate` headers.
    pub challenges: Vec<String>,
    /// The SOAP document.
    pub body: String,
}

/// The services of one camera.
pub struct Services {
    /// What it is.
    pub config: Arc<Config>,
    /// Port of RTSP.
    pub rtsp_port: u16,
    /// Judge of HTTP digests.
    pub verifier: Verifier,
    /// The motor.
    pub ptz: Arc<Mutex<Ptz>>,
    /// The picture's settings.
    pub lens: Arc<Mutex<Lens>>,
    /// Streams, to ask for key frames.
    pub streams: Vec<(Quality, Stream)>,
    /// Time of the motor.
    pub clock: Clock,
    /// Numbers.
    pub counters: Arc<Counters>,
}

impl Services {
    /// Answers one request.
    pub fn answer(&self, call: &Call<'_>) -> Answer {
        let envelope = match Envelope::parse(call.body) {
            Ok(envelope) => envelope,
            Err(error) => {
                self.counters.malformed.fetch_add(1, Relaxed);
                return fault(&error.to_fault(), Vec::new());
            }
        };
        // The body first: what may be asked without login is known by it. An unknown body needs one.
        let request = Request::parse(&envelope);
        if !request.as_ref().is_ok_and(is_public)
            && let Err(denied) = self.authorize(&envelope, call)
        {
            if denied == Denied::Bad {
                self.counters.logins_refused.fetch_add(1, Relaxed);
            }
            let challenges = self.verifier.challenges(std::time::Instant::now(), denied);
            return fault(&Fault::not_authorized(), challenges);
        }
        let answered = request.map_err(|error| error.to_fault()).and_then(|request| self.dispatch(request, call));
        match answered {
            Ok(body) => {
                self.counters.onvif_requests.fetch_add(1, Relaxed);
                Answer { status: 200, challenges: Vec::new(), body }
            }
            Err(refusal) => fault(&refusal, Vec::new()),
        }
    }

    fn authorize(&self, envelope: &Envelope, call: &Call<'_>) -> Result<(), Denied> {
        let Config { user, password, .. } = &*self.config;
        let known = |name: &str| (name == user).then(|| password.clone());
        match envelope.username_token() {
            Ok(Some(token)) => {
                let now = Duration::from_micros(clock::wall().0 as u64);
                let right = token.verify(password, now, CLOCK_SKEW_MAX).is_ok() && token.username == *user;
                right.then_some(()).ok_or(Denied::Bad)
            }
            Ok(None) => {
                let now = std::time::Instant::now();
                self.verifier.verify(now, call.authorization, "POST", call.target, known).map(drop)
            }
            Err(_) => Err(Denied::Bad),
        }
    }

    fn dispatch(&self, request: Request, call: &Call<'_>) -> Result<String, Fault> {
        match request {
            Request::Device(request) => self.device(request, call),
            Request::Media(request) => self.media(request, call),
            Request::Ptz(request) => self.motor(request),
            Request::Imaging(request) => self.imaging(request),
        }
    }

    fn device(&self, request: device::Request, call: &Call<'_>) -> Result<String, Fault> {
        use device::*;
        let Config { serial, name, user, utc_offset_minutes, .. } = &*self.config;
        Ok(match request {
            Request::GetSystemDateAndTime(_) => {
                let now = clock::wall().0.div_euclid(1_000_000);
                let local = now + i64::from(*utc_offset_minutes) * 60;
                document(&GetSystemDateAndTimeResponse {
                    system_date_and_time: SystemDateTime {
                        date_time_type: SetDateTimeType::Ntp,
                        daylight_savings: false,
                        time_zone: Some(TimeZone { tz: posix_zone(*utc_offset_minutes) }),
                        utc: Some(DateTime::from_unix(now)),
                        local: Some(DateTime::from_unix(local)),
                    },
                })
            }
            Request::GetDeviceInformation(_) => document(&GetDeviceInformationResponse {
                manufacturer: "Fluorite".into(),
                model: "Virtual Camera".into(),
                firmware_version: FIRMWARE.into(),
                serial_number: serial.clone(),
                hardware_id: "software".into(),
            }),
            Request::GetCapabilities(ask) => {
                let wanted = |name: &str| {
                    ask.category.is_empty() || ask.category.iter().any(|category| category == "All" || category == name)
                };
                let address = |service| ServiceAddress { xaddr: xaddr(call.host, service) };
                let capabilities = Capabilities {
                    device: wanted("Device").then(|| device_capabilities(call.host, self.config.discovery)),
                    imaging: wanted("Imaging").then(|| address("imaging")),
                    media: wanted("Media").then(|| MediaCapabilities {
                        xaddr: xaddr(call.host, "media"),
                        streaming: StreamingCapabilities {
                            rtp_multicast: Some(false),
                            rtp_tcp: Some(false),
                            rtp_rtsp_tcp: Some(true),
                        },
                    }),
                    ptz: wanted("PTZ").then(|| address("ptz")),
                };
                document(&GetCapabilitiesResponse { capabilities })
            }
            Request::GetServices(_) => {
                let service = |(namespace, name): (&str, &str)| Service {
                    namespace: namespace.into(),
                    xaddr: xaddr(call.host, name),
                    version: OnvifVersion { major: 2, minor: 40 },
                };
                let all = [(ns::TDS, "device"), (ns::TRT, "media"), (ns::TPTZ, "ptz"), (ns::TIMG, "imaging")];
                document(&GetServicesResponse { services: all.map(service).into() })
            }
            Request::GetServiceCapabilities(_) => {
                let capabilities = DeviceServiceCapabilities {
                    security: SecurityCapabilities {
                        username_token: Some(true),
                        http_digest: Some(true),
                        max_users: Some(1),
                        ..SecurityCapabilities::default()
                    },
                    ..DeviceServiceCapabilities::default()
                };
                document(&GetServiceCapabilitiesResponse { capabilities })
            }
            Request::GetScopes(_) => {
                let scope = |item| Scope { definition: "Fixed".into(), item };
                document(&GetScopesResponse { scopes: scopes(&self.config).into_iter().map(scope).collect() })
            }
            Request::GetHostname(_) => {
                let name = Some(format!("camera-{}", serial.to_lowercase()));
                document(&GetHostnameResponse { hostname_information: HostnameInformation { from_dhcp: false, name } })
            }
            Request::GetNetworkInterfaces(_) => {
                let address = match self.config.listen.is_unspecified() {
                    true => call.hostname.to_owned(),
                    false => self.config.listen.to_string(),
                };
                let manual = vec![PrefixedIpv4Address { address, prefix_length: 32 }];
                let config = Ipv4Configuration { manual, link_local: None, from_dhcp: None, dhcp: false };
                let interface = NetworkInterface {
                    token: "eth0".into(),
                    enabled: true,
                    info: Some(NetworkInterfaceInfo {
                        name: Some(name.clone()),
                        hw_address: hardware_address(serial),
                        mtu: Some(1500),
                    }),
                    ipv4: Some(Ipv4NetworkInterface { enabled: true, config }),
                };
                document(&GetNetworkInterfacesResponse { network_interfaces: vec![interface] })
            }
            Request::GetUsers(_) => {
                let user = User { username: user.clone(), user_level: "Administrator".into() };
                document(&GetUsersResponse { users: vec![user] })
            }
        })
    }

    fn media(&self, request: media::Request, call: &Call<'_>) -> Result<String, Fault> {
        use media::*;
        Ok(match request {
            Request::GetServiceCapabilities(_) => {
                let capabilities = MediaServiceCapabilities {
                    snapshot_uri: Some(false),
                    rotation: Some(false),
                    profile: ProfileCapabilities { maximum_number_of_profiles: Some(2) },
                    streaming: media::StreamingCapabilities {
                        rtp_multicast: Some(false),
                        rtp_tcp: Some(false),
                        rtp_rtsp_tcp: Some(true),
                    },
                };
                document(&GetServiceCapabilitiesResponse { capabilities })
            }
            Request::GetProfiles(_) => {
                document(&GetProfilesResponse { profiles: Quality::ALL.map(|q| self.profile(q)).into() })
            }
            Request::GetProfile(ask) => {
                document(&GetProfileResponse { profile: self.profile(profile_of(&ask.profile_token)?) })
            }
            Request::GetStreamUri(ask) => {
                let quality = profile_of(&ask.profile_token)?;
                if ask.stream_setup.stream == StreamType::RtpMulticast {
                    let codes = ["InvalidArgVal", "InvalidStreamSetup"];
                    return Err(Fault::sender(&codes, "there is no multicast"));
                }
                let media_uri = MediaUri {
                    uri: format!("rtsp://{}:{}/{}", call.hostname, self.rtsp_port, quality.name()),
                    invalid_after_connect: false,
                    invalid_after_reboot: false,
                    timeout: Duration::ZERO,
                };
                document(&GetStreamUriResponse { media_uri })
            }
            Request::GetSnapshotUri(ask) => {
                profile_of(&ask.profile_token)?;
                return Err(Fault::receiver(&["ActionNotSupported"], "there are no still pictures"));
            }
            Request::GetVideoSources(_) => {
                let source = VideoSource {
                    token: SOURCE.into(),
                    framerate: self.config.main.frame_rate as f32,
                    resolution: self.resolution(Quality::Main),
                };
                document(&GetVideoSourcesResponse { video_sources: vec![source] })
            }
            Request::GetVideoSourceConfigurations(_) => {
                document(&GetVideoSourceConfigurationsResponse { configurations: vec![self.video_source()] })
            }
            Request::GetVideoEncoderConfigurations(_) => {
                let configurations = Quality::ALL.map(|q| self.video_encoder(q)).into();
                document(&GetVideoEncoderConfigurationsResponse { configurations })
            }
            Request::GetVideoEncoderConfiguration(ask) => {
                let quality = Quality::ALL.into_iter().find(|q| video_encoder_token(*q) == ask.configuration_token);
                let configuration = self.video_encoder(quality.ok_or_else(no_configuration)?);
                document(&GetVideoEncoderConfigurationResponse { configuration })
            }
            Request::GetAudioEncoderConfigurations(_) => {
                let configurations = self.audio_encoder().into_iter().collect();
                document(&GetAudioEncoderConfigurationsResponse { configurations })
            }
            Request::SetSynchronizationPoint(ask) => {
                let quality = profile_of(&ask.profile_token)?;
                let streams = self.streams.iter().filter(|(q, _)| *q == quality);
                streams.for_each(|(_, stream)| stream.video.request_key_frame());
                document(&SetSynchronizationPointResponse {})
            }
        })
    }

    fn motor(&self, request: ptz::Request) -> Result<String, Fault> {
        use ptz::*;
        let now = self.clock.elapsed();
        let head = || self.ptz.lock().expect("no holder panics");
        Ok(match request {
            Request::GetServiceCapabilities(_) => {
                let capabilities =
                    PtzServiceCapabilities { e_flip: Some(false), reverse: Some(false), ..Default::default() };
                document(&GetServiceCapabilitiesResponse { capabilities })
            }
            Request::GetNodes(_) => document(&GetNodesResponse { nodes: vec![motor_node()] }),
            Request::GetNode(ask) if ask.node_token == MOTOR => document(&GetNodeResponse { node: motor_node() }),
            Request::GetNode(_) => return Err(Fault::sender(&["InvalidArgVal", "NoEntity"], "no such node")),
            Request::GetConfigurations(_) => {
                document(&GetConfigurationsResponse { configurations: vec![motor_configuration()] })
            }
            Request::GetConfiguration(ask) if ask.configuration_token == MOTOR => {
                document(&GetConfigurationResponse { configuration: motor_configuration() })
            }
            Request::GetConfigurationOptions(ask) if ask.configuration_token == MOTOR => {
                let timeout = DurationRange { min: Duration::from_millis(100), max: TIMEOUT_MAX };
                let options = PtzConfigurationOptions { spaces: motor_spaces(), timeout };
                document(&GetConfigurationOptionsResponse { options })
            }
            Request::GetConfiguration(_) | Request::GetConfigurationOptions(_) => return Err(no_configuration()),
            Request::GetStatus(ask) => {
                profile_of(&ask.profile_token)?;
                let status = head().status(now);
                let moving = |moving: bool| if moving { MoveStatus::Moving } else { MoveStatus::Idle };
                let space = |uri: &str| Some(uri.to_owned());
                document(&GetStatusResponse {
                    status: PtzStatus {
                        position: Some(PtzVector {
                            pan_tilt: Some(Vector2D {
                                x: status.pan,
                                y: status.tilt,
                                space: space(spaces::PAN_TILT_POSITION),
                            }),
                            zoom: Some(Vector1D { x: status.zoom, space: space(spaces::ZOOM_POSITION) }),
                        }),
                        move_status: Some(PtzMoveStatus {
                            pan_tilt: Some(moving(status.pan_tilt_moving)),
                            zoom: Some(moving(status.zoom_moving)),
                        }),
                        error: None,
                        utc_time: utc(clock::wall()),
                    },
                })
            }
            Request::ContinuousMove(ask) => {
                profile_of(&ask.profile_token)?;
                let speed =
                    axes(&ask.velocity.pan_tilt, &ask.velocity.zoom, spaces::PAN_TILT_VELOCITY, spaces::ZOOM_VELOCITY)?;
                head().move_continuously(now, speed, ask.timeout);
                document(&ContinuousMoveResponse {})
            }
            Request::RelativeMove(ask) => {
                profile_of(&ask.profile_token)?;
                let PtzVector { pan_tilt, zoom } = &ask.translation;
                let by = axes(pan_tilt, zoom, spaces::PAN_TILT_TRANSLATION, spaces::ZOOM_TRANSLATION)?;
                head().move_by(now, by, speed_of(ask.speed.as_ref())?);
                document(&RelativeMoveResponse {})
            }
            Request::AbsoluteMove(ask) => {
                profile_of(&ask.profile_token)?;
                let PtzVector { pan_tilt, zoom } = &ask.position;
                let to = axes(pan_tilt, zoom, spaces::PAN_TILT_POSITION, spaces::ZOOM_POSITION)?;
                let within = |value: Option<f32>, min: f32| value.is_none_or(|value| (min..=1.0).contains(&value));
                if !(within(to.pan, -1.0) && within(to.tilt, -1.0) && within(to.zoom, 0.0)) {
                    return Err(Fault::sender(&["InvalidArgVal", "InvalidPosition"], "position out of bounds"));
                }
                head().move_to(now, to, speed_of(ask.speed.as_ref())?);
                document(&AbsoluteMoveResponse {})
            }
            Request::Stop(ask) => {
                profile_of(&ask.profile_token)?;
                head().stop(now, ask.pan_tilt.unwrap_or(true), ask.zoom.unwrap_or(true));
                document(&StopResponse {})
            }
        })
    }

    fn imaging(&self, request: imaging::Request) -> Result<String, Fault> {
        use imaging::*;
        let source = |token: &str| {
            let no_source = || Fault::sender(&["InvalidArgVal", "NoSource"], "no such video source");
            (token == SOURCE).then_some(()).ok_or_else(no_source)
        };
        let lens = || self.lens.lock().expect("no holder panics");
        Ok(match request {
            Request::GetServiceCapabilities(_) => {
                let capabilities = ImagingServiceCapabilities { image_stabilization: Some(false) };
                document(&GetServiceCapabilitiesResponse { capabilities })
            }
            Request::GetImagingSettings(ask) => {
                source(&ask.video_source_token)?;
                let Lens { brightness, contrast, saturation } = *lens();
                document(&GetImagingSettingsResponse {
                    imaging_settings: ImagingSettings {
                        brightness: Some(brightness),
                        color_saturation: Some(saturation),
                        contrast: Some(contrast),
                        ..ImagingSettings::default()
                    },
                })
            }
            Request::SetImagingSettings(ask) => {
                source(&ask.video_source_token)?;
                let ImagingSettings { brightness, color_saturation, contrast, .. } = ask.imaging_settings;
                let wanted = [brightness, color_saturation, contrast];
                if wanted.into_iter().flatten().any(|value| !Lens::RANGE.contains(&value)) {
                    let codes = ["InvalidArgVal", "SettingsInvalid"];
                    return Err(Fault::sender(&codes, "a setting is out of its range"));
                }
                let mut lens = lens();
                lens.brightness = brightness.unwrap_or(lens.brightness);
                lens.saturation = color_saturation.unwrap_or(lens.saturation);
                lens.contrast = contrast.unwrap_or(lens.contrast);
                document(&SetImagingSettingsResponse {})
            }
            Request::GetOptions(ask) => {
                source(&ask.video_source_token)?;
                let range = Some(FloatRange { min: *Lens::RANGE.start(), max: *Lens::RANGE.end() });
                let imaging_options = ImagingOptions {
                    brightness: range,
                    color_saturation: range,
                    contrast: range,
                    ..Default::default()
                };
                document(&GetOptionsResponse { imaging_options })
            }
            Request::GetMoveOptions(ask) => {
                source(&ask.video_source_token)?;
                document(&GetMoveOptionsResponse { move_options: MoveOptions::default() })
            }
        })
    }

    fn profile(&self, quality: Quality) -> Profile {
        let audio_source = || AudioSourceConfiguration {
            token: "microphone".into(),
            name: "Microphone".into(),
            use_count: 2,
            source_token: "microphone".into(),
        };
        let audio_encoder = self.audio_encoder();
        Profile {
            token: quality.name().into(),
            fixed: Some(true),
            name: quality.name().into(),
            video_source: Some(self.video_source()),
            audio_source: audio_encoder.is_some().then(audio_source),
            video_encoder: Some(self.video_encoder(quality)),
            audio_encoder,
            ptz: Some(motor_configuration()),
        }
    }

    fn resolution(&self, quality: Quality) -> VideoResolution {
        let video = self.config.video(quality);
        VideoResolution { width: video.width as i32, height: video.height as i32 }
    }

    fn video_source(&self) -> VideoSourceConfiguration {
        let VideoResolution { width, height } = self.resolution(Quality::Main);
        VideoSourceConfiguration {
            token: SOURCE.into(),
            name: self.config.name.clone(),
            use_count: 2,
            source_token: SOURCE.into(),
            bounds: IntRectangle { x: 0, y: 0, width, height },
            extension: None,
        }
    }

    fn video_encoder(&self, quality: Quality) -> VideoEncoderConfiguration {
        let video = self.config.video(quality);
        VideoEncoderConfiguration {
            token: video_encoder_token(quality),
            name: quality.name().into(),
            use_count: 1,
            encoding: VideoEncoding::H264,
            resolution: self.resolution(quality),
            quality: 5.0,
            rate_control: Some(VideoRateControl {
                frame_rate_limit: video.frame_rate as i32,
                encoding_interval: 1,
                bitrate_limit: video.bitrate_bps as i32 / 1000,
            }),
            h264: Some(H264Configuration { gov_length: video.gop_frames() as i32, profile: H264Profile::Baseline }),
            multicast: Some(no_multicast()),
            session_timeout: Duration::from_secs(60),
        }
    }

    fn audio_encoder(&self) -> Option<AudioEncoderConfiguration> {
        let (encoding, bitrate, sample_rate) = match self.config.sound {
            SoundConfig::Aac => (AudioEncoding::Aac, 32, 16),
            SoundConfig::Alaw => (AudioEncoding::G711, 64, 8),
            SoundConfig::None => return None,
        };
        Some(AudioEncoderConfiguration {
            token: "audio".into(),
            name: "Sound".into(),
            use_count: 2,
            encoding,
            bitrate,
            sample_rate,
            multicast: Some(no_multicast()),
            session_timeout: Duration::from_secs(60),
        })
    }
}

/// What may be asked without login (ONVIF Core 5.9.4.3, access class PRE_AUTH).
fn is_public(request: &Request) -> bool {
    use device::Request::*;
    matches!(
        request,
        Request::Device(
            GetSystemDateAndTime(_) | GetCapabilities(_) | GetServices(_) | GetServiceCapabilities(_) | GetHostname(_)
        )
    )
}

fn document(message: &impl Message) -> String {
    Envelope::of(message).write()
}

fn fault(fault: &Fault, challenges: Vec<String>) -> Answer {
    Answer { status: fault.http_status(), challenges, body: fault.write() }
}

/// Address of a service as a client at `host` reaches it.
pub fn xaddr(host: &str, service: &str) -> String {
    format!("http://{host}/onvif/{service}_service")
}

/// URIs that describe the camera in discovery (ONVIF Core 7.3.2.2).
pub fn scopes(config: &Config) -> Vec<String> {
    let name: String = config
        .name
        .bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => (byte as char).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect();
    let scope = |path: &str| format!("onvif://www.onvif.org/{path}");
    vec![
        scope("type/video_encoder"),
        scope("type/ptz"),
        scope("Profile/Streaming"),
        scope("hardware/Virtual_Camera"),
        scope(&format!("name/{name}")),
    ]
}

fn device_capabilities(host: &str, discovery: bool) -> DeviceCapabilities {
    DeviceCapabilities {
        xaddr: xaddr(host, "device"),
        network: Some(NetworkCapabilities::default()),
        system: Some(SystemCapabilities {
            discovery_resolve: false,
            discovery_bye: discovery,
            remote_discovery: false,
            system_backup: false,
            system_logging: false,
            firmware_upgrade: false,
            supported_versions: vec![OnvifVersion { major: 2, minor: 40 }],
        }),
    }
}

fn profile_of(token: &str) -> Result<Quality, Fault> {
    Quality::named(token).ok_or_else(|| Fault::sender(&["InvalidArgVal", "NoProfile"], "no such profile"))
}

fn no_configuration() -> Fault {
    Fault::sender(&["InvalidArgVal", "NoConfig"], "no such configuration")
}

fn video_encoder_token(quality: Quality) -> String {
    format!("{}_video", quality.name())
}

fn no_multicast() -> MulticastConfiguration {
    let address = IpAddress { kind: IpType::V4, v4: Some("0.0.0.0".into()), v6: None };
    MulticastConfiguration { address, port: 0, ttl: 0, auto_start: false }
}

/// Values for the axes from a request's vectors, which must be in the generic spaces.
fn axes(
    pan_tilt: &Option<Vector2D>,
    zoom: &Option<Vector1D>,
    pan_tilt_space: &str,
    zoom_space: &str,
) -> Result<Axes, Fault> {
    let fits = |given: Option<&String>, ours: &str| given.is_none_or(|given| given.is_empty() || given == ours);
    let pan_tilt_fits = pan_tilt.as_ref().is_none_or(|v| fits(v.space.as_ref(), pan_tilt_space));
    let zoom_fits = zoom.as_ref().is_none_or(|v| fits(v.space.as_ref(), zoom_space));
    if !(pan_tilt_fits && zoom_fits) {
        return Err(Fault::sender(&["InvalidArgVal", "SpaceNotSupported"], "no such coordinate space"));
    }
    Ok(Axes {
        pan: pan_tilt.as_ref().map(|v| v.x),
        tilt: pan_tilt.as_ref().map(|v| v.y),
        zoom: zoom.as_ref().map(|v| v.x),
    })
}

fn speed_of(speed: Option<&PtzSpeed>) -> Result<Axes, Fault> {
    use ptz::spaces::{PAN_TILT_SPEED, ZOOM_SPEED};
    speed.map_or(Ok(Axes::default()), |speed| axes(&speed.pan_tilt, &speed.zoom, PAN_TILT_SPEED, ZOOM_SPEED))
}

fn motor_spaces() -> PtzSpaces {
    use ptz::spaces::*;
    let range = |min: f32| FloatRange { min, max: 1.0 };
    let plane = |uri: &str| vec![Space2DDescription { uri: uri.into(), x_range: range(-1.0), y_range: range(-1.0) }];
    let line = |uri: &str, min: f32| vec![Space1DDescription { uri: uri.into(), x_range: range(min) }];
    PtzSpaces {
        absolute_pan_tilt: plane(PAN_TILT_POSITION),
        absolute_zoom: line(ZOOM_POSITION, 0.0),
        relative_pan_tilt: plane(PAN_TILT_TRANSLATION),
        relative_zoom: line(ZOOM_TRANSLATION, -1.0),
        continuous_pan_tilt: plane(PAN_TILT_VELOCITY),
        continuous_zoom: line(ZOOM_VELOCITY, -1.0),
        pan_tilt_speed: line(PAN_TILT_SPEED, 0.0),
        zoom_speed: line(ZOOM_SPEED, 0.0),
    }
}

fn motor_node() -> PtzNode {
    PtzNode {
        token: MOTOR.into(),
        fixed_home_position: None,
        name: Some("Motor".into()),
        supported_spaces: motor_spaces(),
        maximum_number_of_presets: 0,
        home_supported: false,
        auxiliary_commands: Vec::new(),
    }
}

fn motor_configuration() -> PtzConfiguration {
    use ptz::spaces::*;
    let full = |min: f32| FloatRange { min, max: 1.0 };
    let uri = |uri: &str| Some(uri.to_owned());
    PtzConfiguration {
        token: MOTOR.into(),
        name: "Motor".into(),
        use_count: 2,
        node_token: MOTOR.into(),
        default_absolute_pan_tilt: uri(PAN_TILT_POSITION),
        default_absolute_zoom: uri(ZOOM_POSITION),
        default_relative_pan_tilt: uri(PAN_TILT_TRANSLATION),
        default_relative_zoom: uri(ZOOM_TRANSLATION),
        default_continuous_pan_tilt: uri(PAN_TILT_VELOCITY),
        default_continuous_zoom: uri(ZOOM_VELOCITY),
        default_speed: Some(PtzSpeed {
            pan_tilt: Some(Vector2D { x: 1.0, y: 1.0, space: uri(PAN_TILT_SPEED) }),
            zoom: Some(Vector1D { x: 1.0, space: uri(ZOOM_SPEED) }),
        }),
        default_timeout: Some(TIMEOUT_DEFAULT),
        pan_tilt_limits: Some(PanTiltLimits {
            range: Space2DDescription { uri: PAN_TILT_POSITION.into(), x_range: full(-1.0), y_range: full(-1.0) },
        }),
        zoom_limits: Some(ZoomLimits { range: Space1DDescription { uri: ZOOM_POSITION.into(), x_range: full(0.0) } }),
    }
}

/// A zone without daylight saving as POSIX writes it, where east is negative: `UTC-8:00`.
fn posix_zone(utc_offset_minutes: i16) -> String {
    let sign = if utc_offset_minutes > 0 { '-' } else { '+' };
    let minutes = utc_offset_minutes.abs();
    match minutes {
        0 => "UTC0".into(),
        _ => format!("UTC{sign}{}:{:02}", minutes / 60, minutes % 60),
    }
}

/// A locally administered address that belongs to the serial.
fn hardware_address(serial: &str) -> String {
    let hash = serial
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
    let [a, b, c, d, e, ..] = hash.to_be_bytes();
    format!("02:{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}")
}

/// `xs:dateTime` in UTC.
fn utc(wall: UnixMicros) -> String {
    let DateTime { date, time } = DateTime::from_unix(wall.0.div_euclid(1_000_000));
    let Date { year, month, day } = date;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", time.hour, time.minute, time.second)
}

/// The error a body that is too large gets.
pub fn too_large() -> Answer {
    fault(&Error::Envelope("too large").to_fault(), Vec::new())
}
