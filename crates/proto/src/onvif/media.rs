//! Media service, version 1 (`media.wsdl`).

use super::ns::TRT;
use super::schema::{
    AudioDecoderConfiguration, AudioDecoderConfigurationOptions, AudioEncoderConfiguration, AudioOutput,
    AudioOutputConfiguration, MediaUri, Profile, StreamSetup, VideoEncoderConfiguration, VideoSource,
    VideoSourceConfiguration, VideoSourceConfigurationOptions,
};

record! {
    /// `trt:ProfileCapabilities`
    #[derive(Default)]
    ProfileCapabilities in TRT {
        /// How many profiles it keeps.
        maximum_number_of_profiles: Option<i32> = attr "MaximumNumberOfProfiles",
    }

    /// `trt:StreamingCapabilities`
    #[derive(Default)]
    StreamingCapabilities in TRT {
        /// Multicast.
        rtp_multicast: Option<bool> = attr "RTPMulticast",
        /// RTP over TCP, deprecated.
        rtp_tcp: Option<bool> = attr "RTP_TCP",
        /// RTP interleaved in RTSP.
        rtp_rtsp_tcp: Option<bool> = attr "RTP_RTSP_TCP",
    }

    /// `trt:Capabilities`
    #[derive(Default)]
    MediaServiceCapabilities in TRT {
        /// Whether there are still pictures.
        snapshot_uri: Option<bool> = attr "SnapshotUri",
        /// Whether the picture can be turned.
        rotation: Option<bool> = attr "Rotation",
        /// Profiles.
        profile: ProfileCapabilities = elem "ProfileCapabilities" or ProfileCapabilities::default(),
        /// Ways of streaming.
        streaming: StreamingCapabilities = elem "StreamingCapabilities"
            or StreamingCapabilities::default(),
    }
}

service! { TRT;
    /// What the service can do.
    GetServiceCapabilities {}
    -> GetServiceCapabilitiesResponse {
        /// Abilities.
        capabilities: MediaServiceCapabilities = elem "Capabilities",
    }

    /// All profiles.
    GetProfiles {}
    -> GetProfilesResponse {
        /// Profiles.
        profiles: Vec<Profile> = elem "Profiles",
    }

    /// One profile.
    GetProfile {
        /// Which.
        profile_token: String = elem "ProfileToken",
    }
    -> GetProfileResponse {
        /// The profile.
        profile: Profile = elem "Profile",
    }

    /// RTSP address of a profile.
    GetStreamUri {
        /// How media shall travel.
        stream_setup: StreamSetup = elem "StreamSetup",
        /// Which profile.
        profile_token: String = elem "ProfileToken",
    }
    -> GetStreamUriResponse {
        /// Address.
        media_uri: MediaUri = elem "MediaUri",
    }

    /// HTTP address of a still picture.
    GetSnapshotUri {
        /// Which profile.
        profile_token: String = elem "ProfileToken",
    }
    -> GetSnapshotUriResponse {
        /// Address.
        media_uri: MediaUri = elem "MediaUri",
    }

    /// Sensors.
    GetVideoSources {}
    -> GetVideoSourcesResponse {
        /// Sensors.
        video_sources: Vec<VideoSource> = elem "VideoSources",
    }

    /// Configurations of sensors.
    GetVideoSourceConfigurations {}
    -> GetVideoSourceConfigurationsResponse {
        /// Configurations.
        configurations: Vec<VideoSourceConfiguration> = elem "Configurations",
    }

    /// One configuration of a sensor.
    GetVideoSourceConfiguration {
        /// Which.
        configuration_token: String = elem "ConfigurationToken",
    }
    -> GetVideoSourceConfigurationResponse {
        /// The configuration.
        configuration: VideoSourceConfiguration = elem "Configuration",
    }

    /// What a configuration of a sensor may hold.
    GetVideoSourceConfigurationOptions {
        /// Which configuration.
        configuration_token: Option<String> = elem "ConfigurationToken",
        /// Or the one of which profile.
        profile_token: Option<String> = elem "ProfileToken",
    }
    -> GetVideoSourceConfigurationOptionsResponse {
        /// Options.
        options: VideoSourceConfigurationOptions = elem "Options",
    }

    /// Changes a configuration of a sensor; parts that are absent become the device's default.
    SetVideoSourceConfiguration {
        /// The configuration.
        configuration: VideoSourceConfiguration = elem "Configuration",
        /// Whether it outlasts a restart.
        force_persistence: bool = elem "ForcePersistence" or true,
    }
    -> SetVideoSourceConfigurationResponse {}

    /// Loudspeakers.
    GetAudioOutputs {}
    -> GetAudioOutputsResponse {
        /// Loudspeakers.
        audio_outputs: Vec<AudioOutput> = elem "AudioOutputs",
    }

    /// Configurations of loudspeakers.
    GetAudioOutputConfigurations {}
    -> GetAudioOutputConfigurationsResponse {
        /// Configurations.
        configurations: Vec<AudioOutputConfiguration> = elem "Configurations",
    }

    /// All audio decoder configurations.
    GetAudioDecoderConfigurations {}
    -> GetAudioDecoderConfigurationsResponse {
        /// Configurations.
        configurations: Vec<AudioDecoderConfiguration> = elem "Configurations",
    }

    /// What an audio decoder takes.
    GetAudioDecoderConfigurationOptions {
        /// Which configuration.
        configuration_token: Option<String> = elem "ConfigurationToken",
        /// Or the one of which profile.
        profile_token: Option<String> = elem "ProfileToken",
    }
    -> GetAudioDecoderConfigurationOptionsResponse {
        /// Options.
        options: AudioDecoderConfigurationOptions = elem "Options",
    }

    /// All video encoder configurations.
    GetVideoEncoderConfigurations {}
    -> GetVideoEncoderConfigurationsResponse {
        /// Configurations.
        configurations: Vec<VideoEncoderConfiguration> = elem "Configurations",
    }

    /// One video encoder configuration.
    GetVideoEncoderConfiguration {
        /// Which.
        configuration_token: String = elem "ConfigurationToken",
    }
    -> GetVideoEncoderConfigurationResponse {
        /// The configuration.
        configuration: VideoEncoderConfiguration = elem "Configuration",
    }

    /// All audio encoder configurations.
    GetAudioEncoderConfigurations {}
    -> GetAudioEncoderConfigurationsResponse {
        /// Configurations.
        configurations: Vec<AudioEncoderConfiguration> = elem "Configurations",
    }

    /// Asks for a key frame now.
    SetSynchronizationPoint {
        /// Which profile.
        profile_token: String = elem "ProfileToken",
    }
    -> SetSynchronizationPointResponse {}
}
