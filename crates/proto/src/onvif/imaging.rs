//! Imaging service (`imaging.wsdl`).

use super::ns::TIMG;
use super::schema::{ImagingOptions, ImagingSettings, MoveOptions};

record! {
    /// `timg:Capabilities`
    #[derive(Default)]
    ImagingServiceCapabilities in TIMG {
        /// Whether it can steady the picture.
        image_stabilization: Option<bool> = attr "ImageStabilization",
    }
}

service! { TIMG;
    /// What the service can do.
    GetServiceCapabilities {}
    -> GetServiceCapabilitiesResponse {
        /// Abilities.
        capabilities: ImagingServiceCapabilities = elem "Capabilities",
    }

    /// Brightness and its kin.
    GetImagingSettings {
        /// Which sensor.
        video_source_token: String = elem "VideoSourceToken",
    }
    -> GetImagingSettingsResponse {
        /// Settings.
        imaging_settings: ImagingSettings = elem "ImagingSettings",
    }

    /// Changes brightness and its kin; what is absent stays.
    SetImagingSettings {
        /// Which sensor.
        video_source_token: String = elem "VideoSourceToken",
        /// Settings.
        imaging_settings: ImagingSettings = elem "ImagingSettings",
        /// Whether they outlast a restart.
        force_persistence: Option<bool> = elem "ForcePersistence",
    }
    -> SetImagingSettingsResponse {}

    /// What settings it takes.
    GetOptions {
        /// Which sensor.
        video_source_token: String = elem "VideoSourceToken",
    }
    -> GetOptionsResponse {
        /// Ranges.
        imaging_options: ImagingOptions = elem "ImagingOptions",
    }

    /// What focus moves it takes.
    GetMoveOptions {
        /// Which sensor.
        video_source_token: String = elem "VideoSourceToken",
    }
    -> GetMoveOptionsResponse {
        /// Ranges.
        move_options: MoveOptions = elem "MoveOptions",
    }
}
