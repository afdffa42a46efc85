//! Replay control service (`replay.wsdl`): where recordings are played back from, by RTSP.
//!
//! How that session differs from a live one (ONVIF Streaming §6) is in [`rtsp`](crate::rtsp) and
//! [`rtp::replay`](crate::rtp::replay).

use super::ns::TRP;
use super::schema::{ReplayConfiguration, StreamSetup};

/// The feature that RTSP requests of a replay session `Require` (ONVIF Streaming §6).
pub const FEATURE: &str = "onvif-replay";

record! {
    /// `trp:Capabilities`
    #[derive(Default)]
    ReplayServiceCapabilities in TRP {
        /// Whether it plays backwards.
        reverse_playback: Option<bool> = attr "ReversePlayback",
        /// Least and most of session timeouts, seconds, separated by blanks.
        session_timeout_range: Option<String> = attr "SessionTimeoutRange",
        /// RTP interleaved in RTSP.
        rtp_rtsp_tcp: Option<bool> = attr "RTP_RTSP_TCP",
    }
}

service! { TRP;
    /// What the service can do.
    GetServiceCapabilities {}
    -> GetServiceCapabilitiesResponse {
        /// Abilities.
        capabilities: ReplayServiceCapabilities = elem "Capabilities",
    }

    /// Address of a recording.
    GetReplayUri {
        /// How it shall travel.
        stream_setup: StreamSetup = elem "StreamSetup",
        /// Which recording.
        recording_token: String = elem "RecordingToken",
    }
    -> GetReplayUriResponse {
        /// Address.
        uri: String = elem "Uri",
    }

    /// How the service is set.
    GetReplayConfiguration {}
    -> GetReplayConfigurationResponse {
        /// How.
        configuration: ReplayConfiguration = elem "Configuration",
    }
}
