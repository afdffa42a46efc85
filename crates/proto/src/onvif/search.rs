//! Recording search service (`search.wsdl`): what is in the recordings, and when.
//!
//! A search is begun, asked for its results until it is [`Completed`](super::schema::SearchState), and ended.
//! When there is footage is told by events of the past: [`TRACK_STATE`] begins and ends each stretch.

use std::time::Duration;

use av::UnixMicros;

use super::ns::{TSE, WSNT};
use super::schema::{
    FindEventResultList, FindRecordingResultList, MediaAttributes, RecordingInformation, RecordingSummary, SearchScope,
    SearchState, Topic,
};

/// Path of the topic that begins and ends a stretch of a track, by [`IS_DATA_PRESENT`].
pub const TRACK_STATE: &str = "RecordingHistory/Track/State";
/// Path of the topic that begins and ends a stretch of a recording, by [`IS_RECORDING`].
pub const RECORDING_STATE: &str = "RecordingHistory/Recording/State";
/// Item of [`TRACK_STATE`]: from then on there is data, or is none.
pub const IS_DATA_PRESENT: &str = "IsDataPresent";
/// Item of [`RECORDING_STATE`]: from then on it is recorded, or is not.
pub const IS_RECORDING: &str = "IsRecording";

record! {
    /// `tse:Capabilities`
    #[derive(Default)]
    SearchServiceCapabilities in TSE {
        /// Whether metadata can be searched.
        metadata_search: Option<bool> = attr "MetadataSearch",
        /// Whether events of any topic are told as they stood at the start.
        general_start_events: Option<bool> = attr "GeneralStartEvents",
    }

    /// `tt:EventFilter`: which events; all, if nothing is said.
    #[derive(Default)]
    EventFilter in WSNT {
        /// Topics.
        topic_expressions: Vec<Topic> = elem "TopicExpression",
    }
}

service! { TSE;
    /// What the service can do.
    GetServiceCapabilities {}
    -> GetServiceCapabilitiesResponse {
        /// Abilities.
        capabilities: SearchServiceCapabilities = elem "Capabilities",
    }

    /// From when to when there is footage at all.
    GetRecordingSummary {}
    -> GetRecordingSummaryResponse {
        /// From when to when.
        summary: RecordingSummary = elem "Summary",
    }

    /// What is known of a recording.
    GetRecordingInformation {
        /// Which.
        recording_token: String = elem "RecordingToken",
    }
    -> GetRecordingInformationResponse {
        /// What is known.
        recording_information: RecordingInformation = elem "RecordingInformation",
    }

    /// How recordings were encoded at a moment.
    GetMediaAttributes {
        /// Which; none means all.
        recording_tokens: Vec<String> = elem "RecordingTokens",
        /// When.
        time: UnixMicros = elem "Time",
    }
    -> GetMediaAttributesResponse {
        /// Those that hold footage of then.
        media_attributes: Vec<MediaAttributes> = elem "MediaAttributes",
    }

    /// Begins to search recordings.
    FindRecordings {
        /// Where.
        scope: SearchScope = elem "Scope",
        /// It is over with so many.
        max_matches: Option<i32> = elem "MaxMatches",
        /// It is over when not asked for so long.
        keep_alive_time: Duration = elem "KeepAliveTime",
    }
    -> FindRecordingsResponse {
        /// Identifies the search.
        search_token: String = elem "SearchToken",
    }

    /// More of what a search for recordings found.
    GetRecordingSearchResults {
        /// Which search.
        search_token: String = elem "SearchToken",
        /// Wait for so many.
        min_results: Option<i32> = elem "MinResults",
        /// No more than so many.
        max_results: Option<i32> = elem "MaxResults",
        /// Wait no longer than this.
        wait_time: Option<Duration> = elem "WaitTime",
    }
    -> GetRecordingSearchResultsResponse {
        /// What was found.
        result_list: FindRecordingResultList = elem "ResultList",
    }

    /// Begins to search events; backwards, if the end is before the start.
    FindEvents {
        /// From here …
        start_point: UnixMicros = elem "StartPoint",
        /// … to here; else to the end of all recordings.
        end_point: Option<UnixMicros> = elem "EndPoint",
        /// Where.
        scope: SearchScope = elem "Scope",
        /// What.
        search_filter: EventFilter = elem "SearchFilter" or EventFilter::default(),
        /// Whether it shall be told first how things stood at the start.
        include_start_state: bool = elem "IncludeStartState" or false,
        /// It is over with so many.
        max_matches: Option<i32> = elem "MaxMatches",
        /// It is over when not asked for so long.
        keep_alive_time: Duration = elem "KeepAliveTime",
    }
    -> FindEventsResponse {
        /// Identifies the search.
        search_token: String = elem "SearchToken",
    }

    /// More of what a search for events found.
    GetEventSearchResults {
        /// Which search.
        search_token: String = elem "SearchToken",
        /// Wait for so many.
        min_results: Option<i32> = elem "MinResults",
        /// No more than so many.
        max_results: Option<i32> = elem "MaxResults",
        /// Wait no longer than this.
        wait_time: Option<Duration> = elem "WaitTime",
    }
    -> GetEventSearchResultsResponse {
        /// What was found.
        result_list: FindEventResultList = elem "ResultList",
    }

    /// How far a search is.
    GetSearchState {
        /// Which.
        search_token: String = elem "SearchToken",
    }
    -> GetSearchStateResponse {
        /// How far.
        state: SearchState = elem "State",
    }

    /// Ends a search.
    EndSearch {
        /// Which.
        search_token: String = elem "SearchToken",
    }
    -> EndSearchResponse {
        /// How far it had come.
        endpoint: Option<UnixMicros> = elem "Endpoint",
    }
}
