//! Messages of all services: every operation there and back, and the shapes cameras really send.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::schema::*;
use super::*;

fn there_and_back<M: Message + PartialEq + std::fmt::Debug>(message: M) {
    let sent = Envelope::of(&message).write();
    assert_eq!(Envelope::parse(sent.as_bytes()).unwrap().response::<M>().unwrap(), message, "{sent}");
}

fn asked(request: Request) {
    let sent = Envelope { headers: vec![], body: request.to_element() }.write();
    let heard = Envelope::parse(sent.as_bytes()).unwrap();
    assert_eq!(Request::parse(&heard).unwrap(), request, "{sent}");
}

fn multicast() -> MulticastConfiguration {
    let address = IpAddress { kind: IpType::V4, v4: Some("0.0.0.0".into()), v6: None };
    MulticastConfiguration { address, port: 0, ttl: 1, auto_start: false }
}

fn range(min: f32, max: f32) -> FloatRange {
    FloatRange { min, max }
}

fn profile() -> Profile {
    let rotate = Rotate { mode: RotateMode::On, degree: Some(180) };
    Profile {
        token: "main".into(),
        fixed: Some(true),
        name: "Main <1>".into(),
        video_source: Some(VideoSourceConfiguration {
            token: "vsc".into(),
            name: "Lens".into(),
            use_count: 2,
            source_token: "vs".into(),
            bounds: IntRectangle { x: 0, y: 0, width: 1280, height: 720 },
            extension: Some(VideoSourceConfigurationExtension { rotate: Some(rotate) }),
        }),
        audio_source: Some(AudioSourceConfiguration {
            token: "asc".into(),
            name: "Microphone".into(),
            use_count: 2,
            source_token: "as".into(),
        }),
        video_encoder: Some(VideoEncoderConfiguration {
            token: "vec".into(),
            name: "Main".into(),
            use_count: 1,
            encoding: VideoEncoding::H264,
            resolution: VideoResolution { width: 1280, height: 720 },
            quality: 4.5,
            rate_control: Some(VideoRateControl { frame_rate_limit: 20, encoding_interval: 1, bitrate_limit: 2048 }),
            h264: Some(H264Configuration { gov_length: 40, profile: H264Profile::Baseline }),
            multicast: Some(multicast()),
            session_timeout: Duration::from_secs(60),
        }),
        audio_encoder: Some(AudioEncoderConfiguration {
            token: "aec".into(),
            name: "Sound".into(),
            use_count: 2,
            encoding: AudioEncoding::Aac,
            bitrate: 32,
            sample_rate: 16,
            multicast: Some(multicast()),
            session_timeout: Duration::from_secs(60),
        }),
        ptz: Some(PtzConfiguration {
            token: "ptz".into(),
            name: "Motor".into(),
            use_count: 2,
            node_token: "node".into(),
            default_absolute_pan_tilt: Some(ptz::spaces::PAN_TILT_POSITION.into()),
            default_absolute_zoom: None,
            default_relative_pan_tilt: None,
            default_relative_zoom: None,
            default_continuous_pan_tilt: Some(ptz::spaces::PAN_TILT_VELOCITY.into()),
            default_continuous_zoom: None,
            default_speed: Some(PtzSpeed {
                pan_tilt: Some(Vector2D { x: 0.5, y: -0.5, space: None }),
                zoom: Some(Vector1D { x: 1.0, space: Some(ptz::spaces::ZOOM_SPEED.into()) }),
            }),
            default_timeout: Some(Duration::from_secs(10)),
            pan_tilt_limits: Some(PanTiltLimits {
                range: Space2DDescription {
                    uri: ptz::spaces::PAN_TILT_POSITION.into(),
                    x_range: range(-1.0, 1.0),
                    y_range: range(-1.0, 1.0),
                },
            }),
            zoom_limits: Some(ZoomLimits {
                range: Space1DDescription { uri: ptz::spaces::ZOOM_POSITION.into(), x_range: range(0.0, 1.0) },
            }),
        }),
        extension: Some(ProfileExtension {
            audio_output: Some(AudioOutputConfiguration {
                token: "aoc".into(),
                name: "Speaker".into(),
                use_count: 2,
                output_token: "ao".into(),
                send_primacy: None,
                output_level: 50,
            }),
            audio_decoder: Some(AudioDecoderConfiguration { token: "adc".into(), name: "G.711".into(), use_count: 2 }),
        }),
    }
}

fn mask(token: Option<String>) -> media2::Mask {
    let corners = [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 0.5)];
    media2::Mask {
        token,
        configuration_token: "vsc".into(),
        polygon: Polygon { points: corners.map(|(x, y)| Vector { x, y }).into() },
        kind: "Color".into(),
        color: Some(Color { x: 16.0, y: 128.0, z: 128.0, colorspace: None }),
        enabled: true,
    }
}

#[test]
fn every_request_survives_the_way() {
    let token = || "t&<>\"'萤".to_owned();
    let vector = || PtzVector {
        pan_tilt: Some(Vector2D { x: -0.25, y: 1.0, space: Some("urn:s".into()) }),
        zoom: Some(Vector1D { x: 0.5, space: None }),
    };
    let speed = || PtzSpeed { pan_tilt: None, zoom: Some(Vector1D { x: -1.0, space: None }) };
    {
        use device::{Request as R, *};
        for request in [
            R::GetSystemDateAndTime(GetSystemDateAndTime {}),
            R::GetDeviceInformation(GetDeviceInformation {}),
            R::GetCapabilities(GetCapabilities { category: vec!["Media".into(), "PTZ".into()] }),
            R::GetServices(GetServices { include_capability: true }),
            R::GetServiceCapabilities(GetServiceCapabilities {}),
            R::GetScopes(GetScopes {}),
            R::GetHostname(GetHostname {}),
            R::GetNetworkInterfaces(GetNetworkInterfaces {}),
            R::GetUsers(GetUsers {}),
        ] {
            asked(super::Request::Device(request));
        }
    }
    {
        use media::{Request as R, *};
        let stream_setup =
            StreamSetup { stream: StreamType::RtpUnicast, transport: Transport { protocol: TransportProtocol::Rtsp } };
        for request in [
            R::GetServiceCapabilities(GetServiceCapabilities {}),
            R::GetProfiles(GetProfiles {}),
            R::GetProfile(GetProfile { profile_token: token() }),
            R::GetStreamUri(GetStreamUri { stream_setup, profile_token: token() }),
            R::GetSnapshotUri(GetSnapshotUri { profile_token: token() }),
            R::GetVideoSources(GetVideoSources {}),
            R::GetVideoSourceConfigurations(GetVideoSourceConfigurations {}),
            R::GetVideoSourceConfiguration(GetVideoSourceConfiguration { configuration_token: token() }),
            R::GetVideoSourceConfigurationOptions(GetVideoSourceConfigurationOptions {
                configuration_token: None,
                profile_token: Some(token()),
            }),
            R::SetVideoSourceConfiguration(SetVideoSourceConfiguration {
                configuration: profile().video_source.unwrap(),
                force_persistence: false,
            }),
            R::GetAudioOutputs(GetAudioOutputs {}),
            R::GetAudioOutputConfigurations(GetAudioOutputConfigurations {}),
            R::GetAudioDecoderConfigurations(GetAudioDecoderConfigurations {}),
            R::GetAudioDecoderConfigurationOptions(GetAudioDecoderConfigurationOptions {
                configuration_token: Some(token()),
                profile_token: None,
            }),
            R::GetVideoEncoderConfigurations(GetVideoEncoderConfigurations {}),
            R::GetVideoEncoderConfiguration(GetVideoEncoderConfiguration { configuration_token: token() }),
            R::GetAudioEncoderConfigurations(GetAudioEncoderConfigurations {}),
            R::SetSynchronizationPoint(SetSynchronizationPoint { profile_token: token() }),
        ] {
            asked(super::Request::Media(request));
        }
    }
    {
        use media2::{Request as R, *};
        for request in [
            R::GetServiceCapabilities(GetServiceCapabilities {}),
            R::GetProfiles(GetProfiles { token: None, kinds: vec!["VideoEncoder".into(), "PTZ".into()] }),
            R::GetStreamUri(GetStreamUri { protocol: "RTSP".into(), profile_token: token() }),
            R::GetSnapshotUri(GetSnapshotUri { profile_token: token() }),
            R::SetSynchronizationPoint(SetSynchronizationPoint { profile_token: token() }),
            R::GetMasks(GetMasks { token: None, configuration_token: Some(token()) }),
            R::GetMaskOptions(GetMaskOptions { configuration_token: token() }),
            R::CreateMask(CreateMask { mask: mask(None) }),
            R::SetMask(SetMask { mask: mask(Some(token())) }),
            R::DeleteMask(DeleteMask { token: token() }),
        ] {
            asked(super::Request::Media2(request));
        }
    }
    {
        use ptz::{Request as R, *};
        let profile_token = token();
        for request in [
            R::GetServiceCapabilities(GetServiceCapabilities {}),
            R::GetNodes(GetNodes {}),
            R::GetNode(GetNode { node_token: token() }),
            R::GetConfigurations(GetConfigurations {}),
            R::GetConfiguration(GetConfiguration { configuration_token: token() }),
            R::GetConfigurationOptions(GetConfigurationOptions { configuration_token: token() }),
            R::GetStatus(GetStatus { profile_token: token() }),
            R::ContinuousMove(ContinuousMove {
                profile_token: token(),
                velocity: speed(),
                timeout: Some(Duration::from_millis(1500)),
            }),
            R::RelativeMove(RelativeMove { profile_token: token(), translation: vector(), speed: None }),
            R::AbsoluteMove(AbsoluteMove { profile_token: token(), position: vector(), speed: Some(speed()) }),
            R::Stop(Stop { profile_token, pan_tilt: Some(true), zoom: Some(false) }),
            R::GetPresets(GetPresets { profile_token: token() }),
            R::SetPreset(SetPreset { profile_token: token(), preset_name: Some(token()), preset_token: None }),
            R::GotoPreset(GotoPreset { profile_token: token(), preset_token: token(), speed: Some(speed()) }),
            R::RemovePreset(RemovePreset { profile_token: token(), preset_token: token() }),
        ] {
            asked(super::Request::Ptz(request));
        }
    }
    {
        use imaging::{Request as R, *};
        let imaging_settings = ImagingSettings {
            brightness: Some(50.0),
            ir_cut_filter: Some(IrCutFilterMode::Auto),
            ..Default::default()
        };
        for request in [
            R::GetServiceCapabilities(GetServiceCapabilities {}),
            R::GetImagingSettings(GetImagingSettings { video_source_token: token() }),
            R::SetImagingSettings(SetImagingSettings {
                video_source_token: token(),
                imaging_settings,
                force_persistence: Some(true),
            }),
            R::GetOptions(GetOptions { video_source_token: token() }),
            R::GetMoveOptions(GetMoveOptions { video_source_token: token() }),
        ] {
            asked(super::Request::Imaging(request));
        }
    }
    {
        use recording::{Request as R, *};
        for request in [
            R::GetServiceCapabilities(GetServiceCapabilities {}),
            R::GetRecordings(GetRecordings {}),
            R::GetRecordingConfiguration(GetRecordingConfiguration { recording_token: token() }),
        ] {
            asked(super::Request::Recording(request));
        }
    }
    {
        use search::{Request as R, *};
        let scope = SearchScope {
            included_sources: vec![SourceReference { kind: Some("urn:t".into()), token: token() }],
            included_recordings: vec![token(), token()],
            recording_information_filter: Some("boolean(//Track[TrackType = \"Video\"])".into()),
        };
        let (search_token, wait_time) = (token(), Some(Duration::from_millis(500)));
        for request in [
            R::GetServiceCapabilities(GetServiceCapabilities {}),
            R::GetRecordingSummary(GetRecordingSummary {}),
            R::GetRecordingInformation(GetRecordingInformation { recording_token: token() }),
            R::GetMediaAttributes(GetMediaAttributes { recording_tokens: vec![token()], time: moment(0) }),
            R::FindRecordings(FindRecordings {
                scope: scope.clone(),
                max_matches: Some(3),
                keep_alive_time: Duration::from_secs(10),
            }),
            R::GetRecordingSearchResults(GetRecordingSearchResults {
                search_token: token(),
                min_results: None,
                max_results: Some(50),
                wait_time,
            }),
            R::FindEvents(FindEvents {
                start_point: moment(0),
                end_point: Some(moment(1_500_000)),
                scope,
                search_filter: EventFilter { topic_expressions: vec![Topic::new(TRACK_STATE)] },
                include_start_state: true,
                max_matches: None,
                keep_alive_time: Duration::from_secs(10),
            }),
            R::GetEventSearchResults(GetEventSearchResults {
                search_token: token(),
                min_results: Some(1),
                max_results: None,
                wait_time,
            }),
            R::GetSearchState(GetSearchState { search_token: token() }),
            R::EndSearch(EndSearch { search_token }),
        ] {
            asked(super::Request::Search(request));
        }
    }
    {
        use replay::{Request as R, *};
        let stream_setup =
            StreamSetup { stream: StreamType::RtpUnicast, transport: Transport { protocol: TransportProtocol::Rtsp } };
        for request in [
            R::GetServiceCapabilities(GetServiceCapabilities {}),
            R::GetReplayUri(GetReplayUri { stream_setup, recording_token: token() }),
            R::GetReplayConfiguration(GetReplayConfiguration {}),
        ] {
            asked(super::Request::Replay(request));
        }
    }
}

fn moment(micros: i64) -> av::UnixMicros {
    av::UnixMicros(1_700_000_000_000_000 + micros)
}

fn event(topic: &str, recording: &str, at: i64, item: SimpleItem) -> FindEventResult {
    FindEventResult {
        recording_token: recording.into(),
        track_token: "video".into(),
        time: moment(at),
        event: Notification {
            topic: Topic::new(topic),
            message: NotificationMessage {
                message: EventMessage {
                    utc_time: Some(moment(at)),
                    property_operation: Some("Changed".into()),
                    source: Some(ItemList::of("RecordingToken", recording)),
                    data: Some(ItemList { items: vec![item] }),
                },
            },
        },
        start_state_event: false,
    }
}

#[test]
fn recordings_survive_the_way() {
    let source = RecordingSourceInformation { source_id: "main".into(), name: "Gate".into(), ..Default::default() };
    let configuration = RecordingConfiguration {
        source: source.clone(),
        content: "all".into(),
        maximum_retention_time: Duration::ZERO,
    };
    let track = RecordingTrack {
        track_token: "video".into(),
        configuration: TrackConfiguration { track_type: TrackType::Video, description: String::new() },
    };
    let tracks = RecordingTracks { tracks: vec![track] };
    let recordings = vec![RecordingItem { recording_token: "r1".into(), configuration, tracks }];
    there_and_back(recording::GetRecordingsResponse { recordings });
    let track_information = TrackInformation {
        track_token: "video".into(),
        track_type: TrackType::Video,
        description: String::new(),
        data_from: Some(moment(0)),
        data_to: None,
    };
    let recording_information = vec![RecordingInformation {
        recording_token: "r1".into(),
        source,
        earliest_recording: Some(moment(0)),
        latest_recording: Some(moment(7_000_000)),
        content: String::new(),
        tracks: vec![track_information.clone()],
        recording_status: RecordingStatus::Recording,
    }];
    let result_list = FindRecordingResultList { search_state: SearchState::Completed, recording_information };
    there_and_back(search::GetRecordingSearchResultsResponse { result_list });
    let video = Some(VideoAttributes {
        bitrate: Some(2048),
        width: 1280,
        height: 720,
        encoding: VideoEncoding::H264,
        framerate: 20.0,
    });
    let track_attributes = vec![TrackAttributes { track_information, video, audio: None }];
    let (recording_token, from, until) = ("r1".into(), moment(0), moment(1));
    let media_attributes = vec![MediaAttributes { recording_token, track_attributes, from, until: moment(1_000_000) }];
    assert!(from < until);
    there_and_back(search::GetMediaAttributesResponse { media_attributes });
    let item = SimpleItem { name: search::IS_DATA_PRESENT.into(), value: "true".into() };
    let results = vec![event(search::TRACK_STATE, "r1", 1_500_000, item)];
    assert_eq!(results[0].event.topic.path(), search::TRACK_STATE);
    let result_list = FindEventResultList { search_state: SearchState::Searching, results };
    there_and_back(search::GetEventSearchResultsResponse { result_list });
    there_and_back(replay::GetReplayUriResponse { uri: "rtsp://192.0.2.1/replay?r=1&t=2".into() });
}

#[test]
fn topics_are_known_with_and_without_their_namespace() {
    for (declared, topic) in [
        (r#"xmlns:tns1="http://www.onvif.org/ver10/topics""#, "tns1:RecordingHistory/Track/State"),
        (r#"xmlns:x="http://www.onvif.org/ver10/topics""#, " x:RecordingHistory/Track/State "),
        ("", "tns1:RecordingHistory/Track/State"),
        ("", "RecordingHistory/Track/State"),
    ] {
        let text = format!(
            r#"<e:Envelope xmlns:e="{}" {declared}><e:Body><GetEventSearchResultsResponse xmlns="{}"><ResultList xmlns:t="{}"><t:SearchState>Completed</t:SearchState><t:Result><t:RecordingToken>1</t:RecordingToken><t:Time>2026-01-01T08:00:00+08:00</t:Time><t:Event><w:Topic xmlns:w="{wsnt}">{topic}</w:Topic><w:Message xmlns:w="{wsnt}"><t:Message/></w:Message></t:Event></t:Result></ResultList></GetEventSearchResultsResponse></e:Body></e:Envelope>"#,
            ns::SOAP,
            ns::TSE,
            ns::TT,
            wsnt = ns::WSNT,
        );
        let answer: search::GetEventSearchResultsResponse =
            Envelope::parse(text.as_bytes()).unwrap().response().unwrap();
        let result = &answer.result_list.results[0];
        assert_eq!(result.event.topic.path(), search::TRACK_STATE, "{declared} {topic}");
        assert_eq!(result.time, av::UnixMicros(1_767_225_600_000_000));
    }
}

#[test]
fn answers_survive_the_way() {
    there_and_back(device::GetSystemDateAndTimeResponse {
        system_date_and_time: SystemDateTime {
            date_time_type: SetDateTimeType::Ntp,
            daylight_savings: false,
            time_zone: Some(TimeZone { tz: "CST-8".into() }),
            utc: Some(DateTime::from_unix(1_700_000_000)),
            local: Some(DateTime::from_unix(1_700_028_800)),
        },
    });
    there_and_back(device::GetServicesResponse {
        services: [ns::TDS, ns::TRT, ns::TR2, ns::TPTZ, ns::TIMG].map(service).to_vec(),
    });
    there_and_back(device::GetCapabilitiesResponse {
        capabilities: Capabilities {
            device: Some(DeviceCapabilities {
                xaddr: "http://192.0.2.1/onvif/device_service".into(),
                network: Some(NetworkCapabilities { ip_filter: Some(false), ..Default::default() }),
                system: Some(SystemCapabilities {
                    discovery_resolve: false,
                    discovery_bye: true,
                    remote_discovery: false,
                    system_backup: false,
                    system_logging: false,
                    firmware_upgrade: false,
                    supported_versions: vec![OnvifVersion { major: 2, minor: 40 }],
                }),
            }),
            media: Some(MediaCapabilities {
                xaddr: "http://192.0.2.1/onvif/media_service".into(),
                streaming: StreamingCapabilities { rtp_rtsp_tcp: Some(true), ..Default::default() },
            }),
            ptz: Some(ServiceAddress { xaddr: "http://192.0.2.1/onvif/ptz_service".into() }),
            ..Default::default()
        },
    });
    there_and_back(media::GetProfilesResponse { profiles: vec![profile(), profile()] });
    there_and_back(media::GetProfilesResponse { profiles: vec![] });
    there_and_back(ptz::GetStatusResponse {
        status: PtzStatus {
            position: Some(PtzVector { pan_tilt: Some(Vector2D { x: 0.1, y: -0.9, space: None }), zoom: None }),
            move_status: Some(PtzMoveStatus {
                pan_tilt: Some(MoveStatus::Moving),
                zoom: Some(MoveStatus::Other("STALLED".into())),
            }),
            error: Some("obstacle".into()),
            utc_time: "2026-01-01T00:00:00Z".into(),
        },
    });
    there_and_back(imaging::GetMoveOptionsResponse { move_options: MoveOptions::default() });
    there_and_back(ptz::GetPresetsResponse {
        presets: vec![
            PtzPreset { token: Some("1".into()), name: Some("Gate".into()), position: Some(PtzVector::default()) },
            PtzPreset { token: None, name: None, position: None },
        ],
    });
    let Profile { video_source, audio_source, ptz, extension, .. } = profile();
    let extension = extension.unwrap();
    there_and_back(media2::GetProfilesResponse {
        profiles: vec![
            media2::MediaProfile {
                token: "main".into(),
                fixed: Some(true),
                name: "Main".into(),
                configurations: Some(media2::ConfigurationSet {
                    video_source,
                    audio_source,
                    video_encoder: Some(VideoEncoder2Configuration {
                        token: "vec".into(),
                        gov_length: Some(50),
                        profile: Some("Main".into()),
                        name: "Main".into(),
                        use_count: 1,
                        encoding: "H265".into(),
                        resolution: VideoResolution { width: 3840, height: 2160 },
                        rate_control: Some(VideoRateControl2 {
                            constant_bitrate: None,
                            frame_rate_limit: 12.5,
                            bitrate_limit: 4096,
                        }),
                        quality: 3.5,
                    }),
                    audio_encoder: Some(AudioEncoder2Configuration {
                        token: "aec".into(),
                        name: "Sound".into(),
                        use_count: 1,
                        encoding: "PCMA".into(),
                        bitrate: 64,
                        sample_rate: 8,
                    }),
                    ptz,
                    audio_output: extension.audio_output,
                    audio_decoder: extension.audio_decoder,
                }),
            },
            media2::MediaProfile { token: "sub".into(), fixed: None, name: String::new(), configurations: None },
        ],
    });
    there_and_back(media2::GetMasksResponse { masks: vec![mask(Some("1".into()))] });
    there_and_back(media2::GetMaskOptionsResponse {
        options: media2::MaskOptions {
            rectangle_only: Some(true),
            single_color_only: None,
            max_masks: 4,
            max_points: 4,
            types: vec!["Color".into(), "Blurred".into()],
            color: Some(ColorOptions { colors: vec![mask(None).color.unwrap()] }),
        },
    });
    there_and_back(media2::GetServiceCapabilitiesResponse {
        capabilities: media2::Media2ServiceCapabilities { mask: Some(true), ..Default::default() },
    });
    let bounds = IntRange { min: 0, max: 1280 };
    let rotate =
        RotateOptions { modes: vec![RotateMode::Off, RotateMode::On], degrees: Some(IntList { items: vec![180] }) };
    there_and_back(media::GetVideoSourceConfigurationOptionsResponse {
        options: VideoSourceConfigurationOptions {
            bounds: Some(IntRectangleRange { x: bounds, y: bounds, width: bounds, height: bounds }),
            source_tokens: vec!["vs".into()],
            extension: Some(VideoSourceConfigurationOptionsExtension { rotate: Some(rotate) }),
        },
    });
    let g711 = DecoderOptions { bitrates: IntList { items: vec![64] }, sample_rates: IntList { items: vec![8] } };
    there_and_back(media::GetAudioDecoderConfigurationOptionsResponse {
        options: AudioDecoderConfigurationOptions { g711: Some(g711), ..Default::default() },
    });
}

fn service(namespace: &str) -> device::Service {
    device::Service {
        namespace: namespace.into(),
        xaddr: "http://192.0.2.1/onvif".into(),
        version: OnvifVersion { major: 2, minor: 40 },
    }
}

/// Element order and namespaces stand in the WSDLs; this is what strict clients look at.
#[test]
fn profiles_are_written_to_the_letter_of_the_schema() {
    let written = Envelope::of(&media::GetProfilesResponse { profiles: vec![profile()] }).write();
    let expected = include_str!("testdata/profiles.xml");
    let expected: String = expected.lines().map(str::trim_start).collect();
    assert_eq!(written, expected);
}

/// Prefixes of the vendor's own, `SOAP-ENV`, an unbound prefix in no name, a missing `UseCount`, an
/// encoder the schema has no word for, numbers past 32 bits, upper-case booleans, extensions of
/// unknown namespaces.
#[test]
fn careless_profiles_are_read() {
    let text = include_str!("testdata/careless_profiles.xml");
    let answer = Envelope::parse(text.as_bytes()).unwrap();
    let profiles = answer.response::<media::GetProfilesResponse>().unwrap().profiles;
    let tokens: Vec<_> = profiles.iter().map(|profile| profile.token.as_str()).collect();
    assert_eq!(tokens, ["Profile_1", "Profile_2", "Profile_3"]);
    let encoder = profiles[0].video_encoder.as_ref().unwrap();
    assert_eq!(encoder.encoding, VideoEncoding::Other("H265".into()));
    assert_eq!(encoder.rate_control.unwrap().bitrate_limit, i32::MAX);
    assert_eq!(profiles[0].fixed, Some(true));
    assert_eq!(encoder.resolution, VideoResolution { width: 3840, height: 2160 });
    assert_eq!(profiles[1].audio_encoder.as_ref().unwrap().encoding, AudioEncoding::G711);
    assert!(profiles[1].ptz.is_some() && profiles[2].video_encoder.is_none());
}

#[test]
fn what_is_wrong_with_a_request_is_told() {
    let fault = |body: &str| {
        let text = format!(
            r#"<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"
                xmlns:p="http://www.onvif.org/ver20/ptz/wsdl" xmlns:t="http://www.onvif.org/ver10/schema"
                ><e:Body>{body}</e:Body></e:Envelope>"#
        );
        Request::parse(&Envelope::parse(text.as_bytes()).unwrap()).unwrap_err().to_fault()
    };
    let missing = fault("<p:ContinuousMove><p:Velocity/></p:ContinuousMove>");
    assert!(missing.is("InvalidArgs") && missing.reason.contains("ProfileToken"), "{missing:?}");
    let value = fault(
        "<p:ContinuousMove><p:ProfileToken>a</p:ProfileToken><p:Velocity><t:PanTilt x='fast' y='0'/>\
         </p:Velocity></p:ContinuousMove>",
    );
    assert!(value.is("InvalidArgVal") && value.reason.contains("fast"), "{value:?}");
    assert!(fault("<p:Explode/>").is("ActionNotSupported"));
    assert!(fault("<t:Stop/>").is("ActionNotSupported"));
    // The right name in the wrong namespace is not the operation.
    let wrong = fault("<p:Stop><t:ProfileToken>a</t:ProfileToken></p:Stop>");
    assert!(wrong.is("InvalidArgs"), "{wrong:?}");
}

#[test]
fn an_answer_to_something_else_is_unexpected() {
    let answer = Envelope::of(&device::GetHostname {}).write();
    let answer = Envelope::parse(answer.as_bytes()).unwrap();
    let error = answer.response::<media::GetProfilesResponse>().unwrap_err();
    assert_eq!(error, Error::Unexpected("GetHostname".into()));
}
