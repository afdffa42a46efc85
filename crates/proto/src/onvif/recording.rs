//! Recording control service (`recording.wsdl`): which recordings there are. Making and deleting them is
//! not here; devices record by schedules of their own.

use super::ns::TRC;
use super::schema::{RecordingConfiguration, RecordingItem};

record! {
    /// `trc:Capabilities`
    #[derive(Default)]
    RecordingServiceCapabilities in TRC {
        /// Whether clients may make and delete recordings.
        dynamic_recordings: Option<bool> = attr "DynamicRecordings",
        /// Whether clients may make and delete tracks.
        dynamic_tracks: Option<bool> = attr "DynamicTracks",
        /// Encodings it can record, separated by blanks.
        encoding: Option<String> = attr "Encoding",
        /// Most recordings.
        max_recordings: Option<f32> = attr "MaxRecordings",
    }
}

service! { TRC;
    /// What the service can do.
    GetServiceCapabilities {}
    -> GetServiceCapabilitiesResponse {
        /// Abilities.
        capabilities: RecordingServiceCapabilities = elem "Capabilities",
    }

    /// All recordings.
    GetRecordings {}
    -> GetRecordingsResponse {
        /// Recordings.
        recordings: Vec<RecordingItem> = elem "RecordingItem",
    }

    /// What a recording is.
    GetRecordingConfiguration {
        /// Which.
        recording_token: String = elem "RecordingToken",
    }
    -> GetRecordingConfigurationResponse {
        /// What it is.
        recording_configuration: RecordingConfiguration = elem "RecordingConfiguration",
    }
}
