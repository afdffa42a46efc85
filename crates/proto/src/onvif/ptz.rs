//! PTZ service (`ptz.wsdl`).

use std::time::Duration;

use super::ns::TPTZ;
use super::schema::{PtzConfiguration, PtzConfigurationOptions, PtzNode, PtzPreset, PtzSpeed, PtzStatus, PtzVector};

/// URIs of the generic coordinate spaces that every node with that kind of move has (PTZ 5.7).
pub mod spaces {
    /// Position, both axes -1 to 1.
    pub const PAN_TILT_POSITION: &str = "http://www.onvif.org/ver10/tptz/PanTiltSpaces/PositionGenericSpace";
    /// Translation, both axes -1 to 1.
    pub const PAN_TILT_TRANSLATION: &str = "http://www.onvif.org/ver10/tptz/PanTiltSpaces/TranslationGenericSpace";
    /// Velocity, both axes -1 to 1.
    pub const PAN_TILT_VELOCITY: &str = "http://www.onvif.org/ver10/tptz/PanTiltSpaces/VelocityGenericSpace";
    /// Speed of a move to a place, 0 to 1.
    pub const PAN_TILT_SPEED: &str = "http://www.onvif.org/ver10/tptz/PanTiltSpaces/GenericSpeedSpace";
    /// Position, 0 to 1.
    pub const ZOOM_POSITION: &str = "http://www.onvif.org/ver10/tptz/ZoomSpaces/PositionGenericSpace";
    /// Translation, -1 to 1.
    pub const ZOOM_TRANSLATION: &str = "http://www.onvif.org/ver10/tptz/ZoomSpaces/TranslationGenericSpace";
    /// Velocity, -1 to 1.
    pub const ZOOM_VELOCITY: &str = "http://www.onvif.org/ver10/tptz/ZoomSpaces/VelocityGenericSpace";
    /// Speed of a move to a place, 0 to 1.
    pub const ZOOM_SPEED: &str = "http://www.onvif.org/ver10/tptz/ZoomSpaces/ZoomGenericSpeedSpace";
}

record! {
    /// `tptz:Capabilities`
    #[derive(Default)]
    PtzServiceCapabilities in TPTZ {
        /// Whether the picture turns over when the camera passes straight down.
        e_flip: Option<bool> = attr "EFlip",
        /// Whether directions can be reversed.
        reverse: Option<bool> = attr "Reverse",
        /// Whether it tells which configurations fit a profile.
        get_compatible_configurations: Option<bool> = attr "GetCompatibleConfigurations",
    }
}

service! { TPTZ;
    /// What the service can do.
    GetServiceCapabilities {}
    -> GetServiceCapabilitiesResponse {
        /// Abilities.
        capabilities: PtzServiceCapabilities = elem "Capabilities",
    }

    /// Motors.
    GetNodes {}
    -> GetNodesResponse {
        /// Motors.
        nodes: Vec<PtzNode> = elem "PTZNode",
    }

    /// One motor.
    GetNode {
        /// Which.
        node_token: String = elem "NodeToken",
    }
    -> GetNodeResponse {
        /// The motor.
        node: PtzNode = elem "PTZNode",
    }

    /// All configurations.
    GetConfigurations {}
    -> GetConfigurationsResponse {
        /// Configurations.
        configurations: Vec<PtzConfiguration> = elem "PTZConfiguration",
    }

    /// One configuration.
    GetConfiguration {
        /// Which.
        configuration_token: String = elem "PTZConfigurationToken",
    }
    -> GetConfigurationResponse {
        /// The configuration.
        configuration: PtzConfiguration = elem "PTZConfiguration",
    }

    /// What a configuration may hold.
    GetConfigurationOptions {
        /// Which.
        configuration_token: String = elem "ConfigurationToken",
    }
    -> GetConfigurationOptionsResponse {
        /// Options.
        options: PtzConfigurationOptions = elem "PTZConfigurationOptions",
    }

    /// Where it looks and whether it moves.
    GetStatus {
        /// Which profile.
        profile_token: String = elem "ProfileToken",
    }
    -> GetStatusResponse {
        /// Status.
        status: PtzStatus = elem "PTZStatus",
    }

    /// Moves until stopped.
    ContinuousMove {
        /// Which profile.
        profile_token: String = elem "ProfileToken",
        /// Direction and velocity.
        velocity: PtzSpeed = elem "Velocity",
        /// Stops by itself after this; the configuration's default if absent.
        timeout: Option<Duration> = elem "Timeout",
    }
    -> ContinuousMoveResponse {}

    /// Moves by so much.
    RelativeMove {
        /// Which profile.
        profile_token: String = elem "ProfileToken",
        /// How far.
        translation: PtzVector = elem "Translation",
        /// How fast.
        speed: Option<PtzSpeed> = elem "Speed",
    }
    -> RelativeMoveResponse {}

    /// Moves to a place.
    AbsoluteMove {
        /// Which profile.
        profile_token: String = elem "ProfileToken",
        /// Where to.
        position: PtzVector = elem "Position",
        /// How fast.
        speed: Option<PtzSpeed> = elem "Speed",
    }
    -> AbsoluteMoveResponse {}

    /// Stops.
    Stop {
        /// Which profile.
        profile_token: String = elem "ProfileToken",
        /// Whether pan and tilt stop; they do if absent.
        pan_tilt: Option<bool> = elem "PanTilt",
        /// Whether zoom stops; it does if absent.
        zoom: Option<bool> = elem "Zoom",
    }
    -> StopResponse {}
    /// All presets.
    GetPresets {
        /// Which profile.
        profile_token: String = elem "ProfileToken",
    }
    -> GetPresetsResponse {
        /// Presets.
        presets: Vec<PtzPreset> = elem "Preset",
    }

    /// Stores where it stands.
    SetPreset {
        /// Which profile.
        profile_token: String = elem "ProfileToken",
        /// For people.
        preset_name: Option<String> = elem "PresetName",
        /// The preset to overwrite; a new one if absent.
        preset_token: Option<String> = elem "PresetToken",
    }
    -> SetPresetResponse {
        /// The preset.
        preset_token: String = elem "PresetToken",
    }

    /// Moves to a preset.
    GotoPreset {
        /// Which profile.
        profile_token: String = elem "ProfileToken",
        /// Which preset.
        preset_token: String = elem "PresetToken",
        /// How fast.
        speed: Option<PtzSpeed> = elem "Speed",
    }
    -> GotoPresetResponse {}

    /// Forgets a preset.
    RemovePreset {
        /// Which profile.
        profile_token: String = elem "ProfileToken",
        /// Which preset.
        preset_token: String = elem "PresetToken",
    }
    -> RemovePresetResponse {}
}
