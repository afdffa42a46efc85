//! Media service, version 2 (`media2.wsdl`): what version 1 lacks, H.265 and privacy masks, and what
//! clients that prefer it ask first.

use super::ns::TR2;
use super::schema::{
    AudioDecoderConfiguration, AudioEncoder2Configuration, AudioOutputConfiguration, AudioSourceConfiguration, Color,
    ColorOptions, Polygon, PtzConfiguration, VideoEncoder2Configuration, VideoSourceConfiguration,
};

record! {
    /// `tr2:ProfileCapabilities`
    #[derive(Default)]
    ProfileCapabilities in TR2 {
        /// How many profiles it keeps.
        maximum_number_of_profiles: Option<i32> = attr "MaximumNumberOfProfiles",
        /// Kinds of configurations that profiles of this service can hold, separated by blanks.
        configurations_supported: Option<String> = attr "ConfigurationsSupported",
    }

    /// `tr2:StreamingCapabilities`
    #[derive(Default)]
    StreamingCapabilities in TR2 {
        /// RTSP.
        rtsp_streaming: Option<bool> = attr "RTSPStreaming",
        /// Multicast.
        rtp_multicast: Option<bool> = attr "RTPMulticast",
        /// RTP interleaved in RTSP.
        rtp_rtsp_tcp: Option<bool> = attr "RTP_RTSP_TCP",
    }

    /// `tr2:Capabilities2`
    #[derive(Default)]
    Media2ServiceCapabilities in TR2 {
        /// Whether there are still pictures.
        snapshot_uri: Option<bool> = attr "SnapshotUri",
        /// Whether the picture can be turned.
        rotation: Option<bool> = attr "Rotation",
        /// Whether there are privacy masks.
        mask: Option<bool> = attr "Mask",
        /// Profiles.
        profile: ProfileCapabilities = elem "ProfileCapabilities" or ProfileCapabilities::default(),
        /// Ways of streaming.
        streaming: StreamingCapabilities = elem "StreamingCapabilities"
            or StreamingCapabilities::default(),
    }

    /// `tr2:ConfigurationSet`
    #[derive(Default)]
    ConfigurationSet in TR2 {
        /// Where the picture comes from.
        video_source: Option<VideoSourceConfiguration> = elem "VideoSource",
        /// Where the sound comes from.
        audio_source: Option<AudioSourceConfiguration> = elem "AudioSource",
        /// How the picture is encoded.
        video_encoder: Option<VideoEncoder2Configuration> = elem "VideoEncoder",
        /// How the sound is encoded.
        audio_encoder: Option<AudioEncoder2Configuration> = elem "AudioEncoder",
        /// What moves the camera.
        ptz: Option<PtzConfiguration> = elem "PTZ",
        /// Where sound goes to.
        audio_output: Option<AudioOutputConfiguration> = elem "AudioOutput",
        /// How that sound is decoded.
        audio_decoder: Option<AudioDecoderConfiguration> = elem "AudioDecoder",
    }

    /// `tr2:MediaProfile`
    MediaProfile in TR2 {
        /// Identifies it.
        token: String = attr "token",
        /// Whether it can be deleted.
        fixed: Option<bool> = attr "fixed",
        /// For people.
        name: String = elem "Name" or String::new(),
        /// Those of its configurations that were asked for.
        configurations: Option<ConfigurationSet> = elem "Configurations",
    }

    /// `tr2:Mask`: a part of the picture that nobody shall see.
    Mask in TR2 {
        /// Identifies it; absent in a request to create one.
        token: Option<String> = attr "token",
        /// The video source configuration that it covers.
        configuration_token: String = elem "ConfigurationToken",
        /// Its corners, -1 to 1 in both directions, the lower left being -1, -1.
        polygon: Polygon = elem "Polygon" or Polygon::default(),
        /// `Color`, `Pixelated` or `Blurred`.
        kind: String = elem "Type" or "Color".to_owned(),
        /// Of the type `Color`.
        color: Option<Color> = elem "Color",
        /// Whether it covers now.
        enabled: bool = elem "Enabled" or false,
    }

    /// `tr2:MaskOptions`
    MaskOptions in TR2 {
        /// Whether masks must be rectangles.
        rectangle_only: Option<bool> = attr "RectangleOnly",
        /// Whether all masks have one colour.
        single_color_only: Option<bool> = attr "SingleColorOnly",
        /// How many masks a configuration has.
        max_masks: i32 = elem "MaxMasks" or 0,
        /// How many corners a mask has.
        max_points: i32 = elem "MaxPoints" or 4,
        /// Types it has.
        types: Vec<String> = elem "Types",
        /// Colours it has.
        color: Option<ColorOptions> = elem "Color",
    }
}

service! { TR2;
    /// What the service can do.
    GetServiceCapabilities {}
    -> GetServiceCapabilitiesResponse {
        /// Abilities.
        capabilities: Media2ServiceCapabilities = elem "Capabilities",
    }

    /// Profiles: all, or one.
    GetProfiles {
        /// Which.
        token: Option<String> = elem "Token",
        /// Which configurations shall be told: `VideoSource`, `VideoEncoder`, … or `All`; none, if none.
        kinds: Vec<String> = elem "Type",
    }
    -> GetProfilesResponse {
        /// Profiles.
        profiles: Vec<MediaProfile> = elem "Profiles",
    }

    /// Address of a profile.
    GetStreamUri {
        /// `RtspUnicast`, `RtspMulticast`, `RTSP` or `RtspOverHttp`.
        protocol: String = elem "Protocol",
        /// Which profile.
        profile_token: String = elem "ProfileToken",
    }
    -> GetStreamUriResponse {
        /// Address.
        uri: String = elem "Uri",
    }

    /// HTTP address of a still picture.
    GetSnapshotUri {
        /// Which profile.
        profile_token: String = elem "ProfileToken",
    }
    -> GetSnapshotUriResponse {
        /// Address.
        uri: String = elem "Uri",
    }

    /// Asks for a key frame now.
    SetSynchronizationPoint {
        /// Which profile.
        profile_token: String = elem "ProfileToken",
    }
    -> SetSynchronizationPointResponse {}

    /// Privacy masks: all, or those of a configuration, or one.
    GetMasks {
        /// Which mask.
        token: Option<String> = elem "Token",
        /// Which video source configuration.
        configuration_token: Option<String> = elem "ConfigurationToken",
    }
    -> GetMasksResponse {
        /// Masks.
        masks: Vec<Mask> = elem "Masks",
    }

    /// What masks a configuration takes.
    GetMaskOptions {
        /// Which video source configuration.
        configuration_token: String = elem "ConfigurationToken",
    }
    -> GetMaskOptionsResponse {
        /// Options.
        options: MaskOptions = elem "Options",
    }

    /// Makes a mask.
    CreateMask {
        /// The mask, without token.
        mask: Mask = elem "Mask",
    }
    -> CreateMaskResponse {
        /// The token it got.
        token: String = elem "Token",
    }

    /// Changes a mask.
    SetMask {
        /// The mask, with its token.
        mask: Mask = elem "Mask",
    }
    -> SetMaskResponse {}

    /// Takes a mask away.
    DeleteMask {
        /// Which.
        token: String = elem "Token",
    }
    -> DeleteMaskResponse {}
}
