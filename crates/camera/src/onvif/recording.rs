//! Recording, Search and Replay: what is on the card, and where it is played from (Profile G without changing
//! anything).
//!
//! All that was ever recorded of a channel is one recording, `recording`, `recording2` …, with a track of
//! pictures and one of sound; when there is footage, events of the past tell.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use av::UnixMicros;
use proto::onvif::recording::{self as trc, RecordingServiceCapabilities};
use proto::onvif::replay::{self as trp, ReplayServiceCapabilities};
use proto::onvif::schema::*;
use proto::onvif::search::{self as tse, EventFilter, SearchServiceCapabilities};
use proto::onvif::{Fault, search};

use super::{Call, document, xaddr};
use crate::channel::Channel;
use crate::config::{Quality, SoundConfig};
use crate::http::Site;
use crate::rtsp::{Address, RECORDING, SESSION_TIMEOUT};
use crate::sdcard::{Card, Clip};
use crate::token;

/// Tokens of the tracks of each recording.
const PICTURES: &str = "VIDEO001";
const SOUNDS: &str = "AUDIO001";
/// Searches at a time.
const SEARCHES_MAX: usize = 16;
/// Results of one answer, however many are asked for.
const PAGE_MAX: usize = 100;
/// Longest time a search is kept without being asked about.
const KEEP_ALIVE_MAX: Duration = Duration::from_secs(60);

/// Searches under way, by token.
#[derive(Default)]
pub struct Searches(Mutex<BTreeMap<String, Search>>);

/// A search: all is found at once, and told page by page.
struct Search {
    found: Found,
    keep_alive: Duration,
    asked: Instant,
}

enum Found {
    Recordings(VecDeque<RecordingInformation>),
    Events(VecDeque<FindEventResult>),
}

impl Searches {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Search>> {
        self.0.lock().expect("no holder panics")
    }

    fn begin(&self, found: Found, keep_alive: Duration) -> Result<String, Fault> {
        let mut searches = self.lock();
        searches.retain(|_, search| search.asked.elapsed() <= search.keep_alive);
        if searches.len() == SEARCHES_MAX {
            return Err(Fault::receiver(&["Action"], "too many searches"));
        }
        let token = format!("{:016x}", rand::random::<u64>());
        let keep_alive = keep_alive.min(KEEP_ALIVE_MAX);
        searches.insert(token.clone(), Search { found, keep_alive, asked: Instant::now() });
        Ok(token)
    }

    /// The search of a token, whose time begins anew.
    fn with<T>(&self, token: &str, ask: impl FnOnce(&mut Found) -> Option<T>) -> Result<T, Fault> {
        let mut searches = self.lock();
        let search = searches.get_mut(token).filter(|search| search.asked.elapsed() <= search.keep_alive);
        search
            .and_then(|search| {
                search.asked = Instant::now();
                ask(&mut search.found)
            })
            .ok_or_else(no_search)
    }

    fn end(&self, token: &str) -> Result<(), Fault> {
        self.lock().remove(token).map(drop).ok_or_else(no_search)
    }
}

/// A page of what was found, and how far the search is with it.
fn page<T>(found: &mut VecDeque<T>, max: Option<i32>) -> (SearchState, Vec<T>) {
    let max = max.and_then(|max| usize::try_from(max).ok()).filter(|max| *max > 0).unwrap_or(PAGE_MAX).min(PAGE_MAX);
    let told = found.drain(..max.min(found.len())).collect();
    (if found.is_empty() { SearchState::Completed } else { SearchState::Searching }, told)
}

fn no_search() -> Fault {
    Fault::sender(&["InvalidArgVal", "InvalidToken"], "no such search")
}

fn no_recording() -> Fault {
    Fault::sender(&["InvalidArgVal", "NoRecording"], "no such recording")
}

/// What a device without a card says to all this.
fn no_card() -> Fault {
    Fault::receiver(&["ActionNotSupported"], "there is no card")
}

impl Site {
    fn on_card(&self) -> Result<&Arc<Card>, Fault> {
        self.card.as_ref().ok_or_else(no_card)
    }

    fn recording_of(&self, token: &str) -> Result<&Arc<Channel>, Fault> {
        self.channel_of(token, RECORDING).ok_or_else(no_recording)
    }

    /// Channels whose recordings are meant: those with these tokens, or all.
    fn recordings_of(&self, tokens: &[String]) -> Result<Vec<&Arc<Channel>>, Fault> {
        match tokens {
            [] => Ok(self.channels.iter().collect()),
            tokens => tokens.iter().map(|token| self.recording_of(token)).collect(),
        }
    }

    pub(super) fn recording(&self, request: trc::Request, call: &Call<'_>) -> Result<String, Fault> {
        self.on_card()?;
        Ok(match request {
            trc::Request::GetServiceCapabilities(_) => {
                let capabilities = RecordingServiceCapabilities {
                    dynamic_recordings: Some(false),
                    dynamic_tracks: Some(false),
                    encoding: Some(["H264", self.sound_name().unwrap_or_default()].join(" ").trim_end().to_owned()),
                    max_recordings: Some(f32::from(self.config.channels)),
                };
                document(&trc::GetServiceCapabilitiesResponse { capabilities })
            }
            trc::Request::GetRecordings(_) => {
                let track = |(token, track_type): (&str, TrackType)| RecordingTrack {
                    track_token: token.into(),
                    configuration: TrackConfiguration { track_type, description: String::new() },
                };
                let item = |channel: &Arc<Channel>| RecordingItem {
                    recording_token: token::of(RECORDING, channel.number()),
                    configuration: configuration(channel, call),
                    tracks: RecordingTracks { tracks: self.track_kinds().map(track).collect() },
                };
                document(&trc::GetRecordingsResponse { recordings: self.channels.iter().map(item).collect() })
            }
            trc::Request::GetRecordingConfiguration(ask) => {
                let recording_configuration = configuration(self.recording_of(&ask.recording_token)?, call);
                document(&trc::GetRecordingConfigurationResponse { recording_configuration })
            }
        })
    }

    pub(super) fn replay(&self, request: trp::Request, call: &Call<'_>) -> Result<String, Fault> {
        self.on_card()?;
        Ok(match request {
            trp::Request::GetServiceCapabilities(_) => {
                let seconds = SESSION_TIMEOUT.as_secs();
                let capabilities = ReplayServiceCapabilities {
                    reverse_playback: Some(false),
                    session_timeout_range: Some(format!("{seconds} {seconds}")),
                    rtp_rtsp_tcp: Some(true),
                };
                document(&trp::GetServiceCapabilitiesResponse { capabilities })
            }
            trp::Request::GetReplayUri(ask) => {
                let path = Address::of_recording(self.recording_of(&ask.recording_token)?.number());
                let uri = format!("rtsp://{}:{}/{path}", call.hostname, self.rtsp_port);
                document(&trp::GetReplayUriResponse { uri })
            }
            trp::Request::GetReplayConfiguration(_) => {
                let configuration = ReplayConfiguration { session_timeout: SESSION_TIMEOUT };
                document(&trp::GetReplayConfigurationResponse { configuration })
            }
        })
    }

    pub(super) fn search(&self, request: tse::Request, call: &Call<'_>) -> Result<String, Fault> {
        let card = self.on_card()?;
        Ok(match request {
            tse::Request::GetServiceCapabilities(_) => {
                let capabilities =
                    SearchServiceCapabilities { metadata_search: Some(false), general_start_events: Some(false) };
                document(&tse::GetServiceCapabilitiesResponse { capabilities })
            }
            tse::Request::GetRecordingSummary(_) => {
                let spans: Vec<_> = self.channels.iter().filter_map(|channel| span(card, channel)).collect();
                let now = self.clock.wall();
                let summary = RecordingSummary {
                    data_from: spans.iter().map(|(from, _)| *from).min().unwrap_or(now),
                    data_until: spans.iter().map(|(_, to)| *to).max().unwrap_or(now),
                    number_recordings: self.channels.len() as i32,
                };
                document(&tse::GetRecordingSummaryResponse { summary })
            }
            tse::Request::GetRecordingInformation(ask) => {
                let channel = self.recording_of(&ask.recording_token)?;
                let recording_information = self.information(card, channel, call);
                document(&tse::GetRecordingInformationResponse { recording_information })
            }
            tse::Request::GetMediaAttributes(ask) => {
                let channels = self.recordings_of(&ask.recording_tokens)?;
                let after = UnixMicros(ask.time.0.saturating_add(1));
                let attributes = |channel: &Arc<Channel>| {
                    let clip = card.clips(channel.number(), ask.time, after).pop()?;
                    Some(self.attributes(card, channel, &clip))
                };
                let media_attributes = channels.into_iter().filter_map(attributes).collect();
                document(&tse::GetMediaAttributesResponse { media_attributes })
            }
            tse::Request::FindRecordings(ask) => {
                let channels = self.within(&ask.scope)?;
                let found = channels.into_iter().map(|channel| self.information(card, channel, call));
                let found = found.take(matches(ask.max_matches)).collect();
                let search_token = self.searches.begin(Found::Recordings(found), ask.keep_alive_time)?;
                document(&tse::FindRecordingsResponse { search_token })
            }
            tse::Request::GetRecordingSearchResults(ask) => {
                let (search_state, recording_information) =
                    self.searches.with(&ask.search_token, |found| match found {
                        Found::Recordings(found) => Some(page(found, ask.max_results)),
                        Found::Events(_) => None,
                    })?;
                let result_list = FindRecordingResultList { search_state, recording_information };
                document(&tse::GetRecordingSearchResultsResponse { result_list })
            }
            tse::Request::FindEvents(ask) => {
                let end = ask.end_point.unwrap_or(UnixMicros(i64::MAX));
                let (from, to) = (ask.start_point.min(end), ask.start_point.max(end));
                let channels = self.within(&ask.scope)?;
                let mut found: Vec<_> = channels
                    .into_iter()
                    .flat_map(|channel| self.history(card, channel, from, to, ask.include_start_state))
                    .filter(|event| is_wanted(&ask.search_filter, &event.event.topic))
                    .collect();
                match ask.start_point <= end {
                    true => found.sort_by_key(|event| event.time),
                    false => found.sort_by_key(|event| Reverse(event.time)),
                }
                found.truncate(matches(ask.max_matches));
                let search_token = self.searches.begin(Found::Events(found.into()), ask.keep_alive_time)?;
                document(&tse::FindEventsResponse { search_token })
            }
            tse::Request::GetEventSearchResults(ask) => {
                let (search_state, results) = self.searches.with(&ask.search_token, |found| match found {
                    Found::Events(found) => Some(page(found, ask.max_results)),
                    Found::Recordings(_) => None,
                })?;
                let result_list = FindEventResultList { search_state, results };
                document(&tse::GetEventSearchResultsResponse { result_list })
            }
            tse::Request::GetSearchState(ask) => {
                let is_over = |found: &mut Found| match found {
                    Found::Recordings(found) => found.is_empty(),
                    Found::Events(found) => found.is_empty(),
                };
                let over = self.searches.with(&ask.search_token, |found| Some(is_over(found)))?;
                let state = if over { SearchState::Completed } else { SearchState::Searching };
                document(&tse::GetSearchStateResponse { state })
            }
            tse::Request::EndSearch(ask) => {
                self.searches.end(&ask.search_token)?;
                document(&tse::EndSearchResponse { endpoint: Some(self.clock.wall()) })
            }
        })
    }

    /// Channels in a scope. Filters of information are not understood, and nothing is left out by them.
    fn within(&self, scope: &SearchScope) -> Result<Vec<&Arc<Channel>>, Fault> {
        let mut channels = self.recordings_of(&scope.included_recordings)?;
        if !scope.included_sources.is_empty() {
            let is_of = |channel: &Channel| scope.included_sources.iter().any(|it| it.token == source(channel));
            channels.retain(|channel| is_of(channel));
        }
        Ok(channels)
    }

    fn sound_name(&self) -> Option<&'static str> {
        match self.config.sound {
            SoundConfig::Aac => Some("AAC"),
            SoundConfig::Alaw => Some("G711"),
            SoundConfig::None => None,
        }
    }

    /// The tracks of every recording.
    fn track_kinds(&self) -> impl Iterator<Item = (&'static str, TrackType)> {
        let sound = self.sound_name().map(|_| (SOUNDS, TrackType::Audio));
        [Some((PICTURES, TrackType::Video)), sound].into_iter().flatten()
    }

    fn tracks(&self, span: Option<(UnixMicros, UnixMicros)>) -> impl Iterator<Item = TrackInformation> {
        self.track_kinds().map(move |(token, track_type)| TrackInformation {
            track_token: token.into(),
            track_type,
            description: String::new(),
            data_from: span.map(|(from, _)| from),
            data_to: span.map(|(_, to)| to),
        })
    }

    fn information(&self, card: &Card, channel: &Channel, call: &Call<'_>) -> RecordingInformation {
        let span = span(card, channel);
        RecordingInformation {
            recording_token: token::of(RECORDING, channel.number()),
            source: origin(channel, call),
            earliest_recording: span.map(|(from, _)| from),
            latest_recording: span.map(|(_, to)| to),
            content: channel.name().to_owned(),
            // The schema wants one at least, with its times.
            tracks: self.tracks(span.or(Some((self.clock.wall(), self.clock.wall())))).collect(),
            recording_status: match (card.is_recording(), span) {
                (true, _) => RecordingStatus::Recording,
                (false, Some(_)) => RecordingStatus::Stopped,
                (false, None) => RecordingStatus::Initiated,
            },
        }
    }

    fn attributes(&self, card: &Card, channel: &Channel, clip: &Clip) -> MediaAttributes {
        let main = channel.video(Quality::Main);
        let attributes = |track: TrackInformation| {
            let video = (track.track_type == TrackType::Video).then_some(VideoAttributes {
                bitrate: Some((main.bitrate_bps / 1000) as i32),
                width: main.width as i32,
                height: main.height as i32,
                encoding: VideoEncoding::H264,
                framerate: main.frame_rate as f32,
            });
            let audio = (track.track_type == TrackType::Audio).then(|| AudioAttributes {
                bitrate: None,
                encoding: if self.config.sound == SoundConfig::Alaw { AudioEncoding::G711 } else { AudioEncoding::Aac },
                samplerate: if self.config.sound == SoundConfig::Alaw { 8000 } else { 16_000 },
            });
            TrackAttributes { track_information: track, video, audio }
        };
        MediaAttributes {
            recording_token: token::of(RECORDING, channel.number()),
            track_attributes: self.tracks(span(card, channel)).map(attributes).collect(),
            from: clip.from,
            until: clip.to,
        }
    }

    /// What happened to a channel's recording from `from` to `to`: it and its tracks began and ended; before
    /// that, if wanted, how things stood at `from`.
    fn history(
        &self,
        card: &Card,
        channel: &Channel,
        from: UnixMicros,
        to: UnixMicros,
        with_start: bool,
    ) -> Vec<FindEventResult> {
        let stretches = card.stretches(channel.number());
        let mut events = Vec::new();
        let mut change = |at: UnixMicros, on: bool, is_start: bool| {
            events.push(event(channel, None, at, on, is_start));
            events.extend(self.track_kinds().map(|(track, _)| event(channel, Some(track), at, on, is_start)));
        };
        if with_start {
            change(from, stretches.iter().any(|it| it.from < from && from < it.to), true);
        }
        let within = |at: UnixMicros| from <= at && at <= to;
        for stretch in stretches {
            if within(stretch.from) {
                change(stretch.from, true, false);
            }
            if within(stretch.to) && !stretch.growing {
                change(stretch.to, false, false);
            }
        }
        events
    }
}

fn matches(max: Option<i32>) -> usize {
    max.and_then(|max| usize::try_from(max).ok()).unwrap_or(usize::MAX)
}

/// The profile that is recorded names the source.
fn source(channel: &Channel) -> String {
    token::of(Quality::Main.name(), channel.number())
}

fn origin(channel: &Channel, call: &Call<'_>) -> RecordingSourceInformation {
    RecordingSourceInformation {
        source_id: source(channel),
        name: channel.name().to_owned(),
        location: String::new(),
        description: "main stream".into(),
        address: xaddr(call.host, "device"),
    }
}

fn configuration(channel: &Channel, call: &Call<'_>) -> RecordingConfiguration {
    let (source, content) = (origin(channel, call), channel.name().to_owned());
    RecordingConfiguration { source, content, maximum_retention_time: Duration::ZERO }
}

/// From when to when there is footage of a channel at all.
fn span(card: &Card, channel: &Channel) -> Option<(UnixMicros, UnixMicros)> {
    let clips = card.clips(channel.number(), UnixMicros(i64::MIN), UnixMicros(i64::MAX));
    Some((clips.first()?.from, clips.last()?.to))
}

/// Whether a filter lets events of a topic through: one of its alternatives names the topic, or a part of the
/// tree that it is in (`tns1:RecordingHistory//.`).
fn is_wanted(filter: &EventFilter, topic: &Topic) -> bool {
    let names = |expression: &str| {
        let wanted = Topic(expression.trim().to_owned());
        match wanted.path().strip_suffix("//.") {
            Some(tree) => topic.path() == tree || topic.path().starts_with(&format!("{tree}/")),
            None => topic.path() == wanted.path(),
        }
    };
    let expressions = &filter.topic_expressions;
    expressions.is_empty() || expressions.iter().any(|topic| topic.0.split('|').any(names))
}

/// A track, or all of a recording, begins or ends.
fn event(channel: &Channel, track: Option<&str>, at: UnixMicros, on: bool, is_start: bool) -> FindEventResult {
    let recording_token = token::of(RECORDING, channel.number());
    let (topic, name) = match track {
        Some(_) => (search::TRACK_STATE, search::IS_DATA_PRESENT),
        None => (search::RECORDING_STATE, search::IS_RECORDING),
    };
    let mut source = ItemList::of("RecordingToken", recording_token.clone());
    source.items.extend(track.map(|track| SimpleItem { name: "Track".into(), value: track.into() }));
    let message = EventMessage {
        utc_time: Some(at),
        property_operation: Some(if is_start { "Initialized" } else { "Changed" }.into()),
        source: Some(source),
        data: Some(ItemList::of(name, on.to_string())),
    };
    FindEventResult {
        recording_token,
        track_token: track.unwrap_or(PICTURES).into(),
        time: at,
        event: Notification { topic: Topic::new(topic), message: NotificationMessage { message } },
        start_state_event: is_start,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_named_in_whole_or_in_part() {
        let filter = |expressions: &[&str]| EventFilter {
            topic_expressions: expressions.iter().map(|it| Topic((*it).to_owned())).collect(),
        };
        let topic = Topic::new(search::TRACK_STATE);
        for (expressions, expected) in [
            (&[][..], true),
            (&["tns1:RecordingHistory/Track/State"], true),
            (&["tns1:RecordingHistory//."], true),
            (&["tns1:RecordingHistory/Track//."], true),
            (&["tns1:VideoSource//.|tns1:RecordingHistory/Track/State"], true),
            (&["tns1:VideoSource//.", "tns1:RecordingHistory/Track/State"], true),
            (&["tns1:RecordingHistory/Recording/State"], false),
            (&["tns1:RecordingHistory"], false),
            (&["tns1:Recording//."], false),
        ] {
            assert_eq!(is_wanted(&filter(expressions), &topic), expected, "{expressions:?}");
        }
    }
}
