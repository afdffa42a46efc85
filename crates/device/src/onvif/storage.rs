//! What the camera keeps itself: found by Recording Search, played by Replay.
//!
//! Moments on the wire are the camera's; its clock's offset is taken off and put on here.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use av::UnixMicros;
use media::Item;
use proto::onvif::schema::{
    FindEventResult, RecordingInformation, RecordingStatus, SearchScope, SearchState, StreamSetup, StreamType, Topic,
    TrackType, Transport, TransportProtocol,
};
use proto::onvif::{replay, search};
use proto::rtsp::{Frames, Play, Range};
use reqwest::Url;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::facts::Channel;
use super::{OnvifDriver, Session, optional, xaddr};
use crate::driver::{ChannelNo, DriverError, Recording, RecordingKind, ReplayAsk};
use crate::rtsp::{self, Presentation};

/// A search that we do not ask about for so long is over; the camera frees it by itself.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// A camera may wait this long for results before it answers.
const WAIT: Duration = Duration::from_secs(1);
/// Results of one answer: some 700 bytes each, well within what we read of a document.
const PAGE: i32 = 100;
/// Answers of one search that are read, and results kept of it: a month of short clips. What follows is
/// left out.
const PAGES_MAX: usize = 500;
const RESULTS_MAX: usize = 20_000;
/// Stretches are looked for this far around what is asked for, so that they are told whole.
const AROUND_US: i64 = 3_600_000_000;
/// What recordings there are is asked again after this: they come and go with cards.
const KNOWN_FOR: Duration = Duration::from_secs(60);
/// A recording may have grown by this since then, if the camera does not say that it stopped, µs.
const GROWN_US: i64 = 120_000_000;
/// A camera tells its clock in whole seconds, so this much is no offset, s.
const CLOCK_EXACT: u64 = 2;

/// Where footage is found and played.
pub(super) struct Storage {
    search: Url,
    replay: Url,
    /// What was recorded, and when that was asked.
    known: Mutex<Option<(Instant, Vec<RecordingInformation>)>>,
}

impl Storage {
    pub(super) fn new(search: Url, replay: Url) -> Storage {
        Storage { search, replay, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Option<(Instant, Vec<RecordingInformation>)>> {
        self.known.lock().expect("no panic while it is locked")
    }
}

impl OnvifDriver {
    /// All recordings. One is all that was ever recorded of a source, mostly.
    pub(super) async fn recorded(&self, storage: &Storage) -> Result<Vec<RecordingInformation>, DriverError> {
        if let Some((asked, known)) = &*storage.known()
            && asked.elapsed() < KNOWN_FOR
        {
            return Ok(known.clone());
        }
        let begin =
            search::FindRecordings { scope: SearchScope::default(), max_matches: None, keep_alive_time: KEEP_ALIVE };
        let token = self.call(&storage.search, &begin).await?.search_token;
        let mut found = Vec::new();
        for _ in 0..PAGES_MAX {
            let ask = search::GetRecordingSearchResults {
                search_token: token.clone(),
                min_results: None,
                max_results: Some(PAGE),
                wait_time: Some(WAIT),
            };
            let page = self.call(&storage.search, &ask).await?.result_list;
            found.extend(page.recording_information);
            if page.search_state == SearchState::Completed || found.len() > RESULTS_MAX {
                break;
            }
        }
        self.end_search(storage, token).await;
        let removed = |it: &RecordingInformation| {
            matches!(it.recording_status, RecordingStatus::Removing | RecordingStatus::Removed)
        };
        found.retain(|recording| !removed(recording));
        *storage.known() = Some((Instant::now(), found.clone()));
        Ok(found)
    }

    /// Some cameras have room for few searches. One that is over already need not be ended.
    async fn end_search(&self, storage: &Storage, search_token: String) {
        let _ = self.call(&storage.search, &search::EndSearch { search_token }).await;
    }

    /// The camera's clock less ours, microseconds.
    fn clock(&self) -> i64 {
        let offset = self.client.clock_offset();
        if offset.unsigned_abs() <= CLOCK_EXACT { 0 } else { offset.saturating_mul(1_000_000) }
    }

    /// Stretches of footage of a channel.
    pub(super) async fn stretches(
        &self,
        channel: ChannelNo,
        from: UnixMicros,
        to: UnixMicros,
    ) -> Result<Vec<Recording>, DriverError> {
        let session = self.session().await?;
        let storage = session.storage.as_ref().ok_or(DriverError::Unsupported)?;
        let mine = of_channel(self.recorded(storage).await?, &session, channel)?;
        if mine.is_empty() {
            return Ok(Vec::new());
        }
        let clock = self.clock();
        let now = rtsp::wall().0.saturating_add(clock);
        let around = (
            from.0.saturating_add(clock).saturating_sub(AROUND_US),
            to.0.saturating_add(clock).saturating_add(AROUND_US).min(now),
        );
        // Without a word for events of the past there is at least what is known of the whole.
        let found = match optional(self.changes(storage, &mine, around).await)? {
            Some(changes) => stretches(&mine, changes, around),
            None => mine.iter().filter_map(|recording| whole(recording, now)).collect(),
        };
        let mut recordings: Vec<Recording> = joined(found)
            .into_iter()
            .map(|(from, to)| Recording {
                from: UnixMicros(from.saturating_sub(clock)),
                to: UnixMicros(to.saturating_sub(clock)),
                kind: RecordingKind::Timed,
                bytes: None,
            })
            .collect();
        recordings.retain(|recording| recording.to > from && recording.from < to);
        Ok(recordings)
    }

    /// When footage of these recordings begins and ends, within a range by the camera's clock.
    async fn changes(
        &self,
        storage: &Storage,
        recordings: &[RecordingInformation],
        (from, to): (i64, i64),
    ) -> Result<Vec<FindEventResult>, DriverError> {
        let begin = search::FindEvents {
            start_point: UnixMicros(from),
            end_point: Some(UnixMicros(to)),
            scope: SearchScope {
                included_recordings: recordings.iter().map(|it| it.recording_token.clone()).collect(),
                ..SearchScope::default()
            },
            search_filter: search::EventFilter { topic_expressions: vec![Topic::new(search::TRACK_STATE)] },
            include_start_state: true,
            max_matches: None,
            keep_alive_time: KEEP_ALIVE,
        };
        let token = match self.call(&storage.search, &begin).await {
            // Some refuse every filter and tell all events without one.
            Err(DriverError::Refused { .. }) => {
                let unfiltered = search::FindEvents { search_filter: search::EventFilter::default(), ..begin };
                self.call(&storage.search, &unfiltered).await?.search_token
            }
            answer => answer?.search_token,
        };
        let mut found = Vec::new();
        for _ in 0..PAGES_MAX {
            let ask = search::GetEventSearchResults {
                search_token: token.clone(),
                min_results: None,
                max_results: Some(PAGE),
                wait_time: Some(WAIT),
            };
            let page = self.call(&storage.search, &ask).await?.result_list;
            found.extend(page.results.into_iter().filter(|result| presence(result).is_some()));
            if page.search_state == SearchState::Completed || found.len() > RESULTS_MAX {
                break;
            }
        }
        self.end_search(storage, token).await;
        Ok(found)
    }

    /// Plays a channel's footage, one recording after the other.
    pub(super) async fn play_back(
        &self,
        channel: ChannelNo,
        ask: ReplayAsk,
        out: &mpsc::Sender<Item>,
    ) -> Result<(), DriverError> {
        let session = self.session().await?;
        let storage = session.storage.as_ref().ok_or(DriverError::Unsupported)?;
        let clock = self.clock();
        let [from, to] = [ask.from, ask.to].map(|at| UnixMicros(at.0.saturating_add(clock)));
        let mut recordings = of_channel(self.recorded(storage).await?, &session, channel)?;
        recordings.sort_by_key(|recording| recording.earliest_recording);
        for recording in recordings {
            let over = |latest: UnixMicros| {
                let grown = if recording.recording_status == RecordingStatus::Stopped { 0 } else { GROWN_US };
                latest.0.saturating_add(grown) <= from.0
            };
            if recording.earliest_recording.is_some_and(|earliest| earliest >= to)
                || recording.recording_status != RecordingStatus::Recording
                    && recording.latest_recording.is_some_and(over)
            {
                continue;
            }
            let setup = StreamSetup {
                stream: StreamType::RtpUnicast,
                transport: Transport { protocol: TransportProtocol::Rtsp },
            };
            let address = replay::GetReplayUri { stream_setup: setup, recording_token: recording.recording_token };
            let told = self.call(&storage.replay, &address).await?.uri;
            let url = xaddr::media(&told, &self.device)?;
            let range = Some(Range::Clock { from, to: Some(to) });
            let frames = ask.key_frames_only.then_some(Frames::Intra(None));
            let fast = Play { range, rate_control: Some(false), immediate: true, frames, ..Play::default() };
            let paced = Play { rate_control: None, scale: Some(ask.speed), ..fast };
            let presentation = Presentation {
                url: url.as_str(),
                require: &[replay::FEATURE],
                play: fast,
                from: recording.earliest_recording.map_or(from, |earliest| earliest.max(from)),
                to,
                paced: (ask.speed != 1.0).then_some(paced),
                key_frames_only: ask.key_frames_only,
                clock,
            };
            rtsp::replay(&self.dialer, self.login.as_ref(), &presentation, out).await?;
            if out.is_closed() {
                break;
            }
        }
        Ok(())
    }
}

/// The recordings of a channel: those whose source is one of its tokens; without any such, by the order of
/// sources. Cameras put all kinds of things there, and one with one lens records that.
fn of_channel(
    recordings: Vec<RecordingInformation>,
    session: &Session,
    no: ChannelNo,
) -> Result<Vec<RecordingInformation>, DriverError> {
    let channel = session.channel(no)?;
    let with_video = |it: &RecordingInformation| {
        it.tracks.is_empty() || it.tracks.iter().any(|track| track.track_type == TrackType::Video)
    };
    let recordings: Vec<_> = recordings.into_iter().filter(with_video).collect();
    if session.channels.len() == 1 {
        return Ok(recordings);
    }
    let names = |channel: &Channel, source: &str| {
        let sub = channel.sub.as_ref().map(|sub| sub.profile.as_str());
        let tokens =
            [Some(channel.source.as_str()), channel.configuration.as_deref(), Some(&channel.main.profile), sub];
        tokens.into_iter().flatten().any(|token| !token.is_empty() && token == source)
    };
    let known = |it: &RecordingInformation| session.channels.iter().any(|channel| names(channel, &it.source.source_id));
    if recordings.iter().any(known) {
        return Ok(recordings.into_iter().filter(|it| names(channel, &it.source.source_id)).collect());
    }
    let mut sources: Vec<String> = recordings.iter().map(source).collect();
    sources.dedup();
    let at = session.channels.iter().position(|it| it.no == no).unwrap_or_default();
    let wanted = sources.get(at).cloned();
    Ok(recordings.into_iter().filter(|it| Some(source(it)) == wanted).collect())
}

/// What tells recordings of one source from those of another.
fn source(recording: &RecordingInformation) -> String {
    let source = &recording.source.source_id;
    if source.is_empty() { recording.recording_token.clone() } else { source.clone() }
}

/// Whether there is footage from then on; none of an event about something else.
fn presence(result: &FindEventResult) -> Option<bool> {
    let item = match result.event.topic.path() {
        search::TRACK_STATE => search::IS_DATA_PRESENT,
        search::RECORDING_STATE => search::IS_RECORDING,
        _ => return None,
    };
    match result.event.message.message.data.as_ref()?.get(item)?.trim() {
        word if word.eq_ignore_ascii_case("true") || word == "1" => Some(true),
        word if word.eq_ignore_ascii_case("false") || word == "0" => Some(false),
        _ => None,
    }
}

/// From when to when there is footage, as the events of one search say; not clipped beyond the search.
fn stretches(
    recordings: &[RecordingInformation],
    mut events: Vec<FindEventResult>,
    (from, to): (i64, i64),
) -> Vec<(i64, i64)> {
    // A device that tells both topics means the same by them; tracks are nearer.
    let by_track = events.iter().any(|event| event.event.topic.path() == search::TRACK_STATE);
    let pictures = |event: &FindEventResult| {
        let recording = recordings.iter().find(|it| it.recording_token == event.recording_token);
        let track = recording.and_then(|it| it.tracks.iter().find(|track| track.track_token == event.track_token));
        recording.is_some() && track.is_none_or(|track| track.track_type == TrackType::Video)
    };
    events.retain(|event| pictures(event) && (!by_track || event.event.topic.path() == search::TRACK_STATE));
    // How things stood first; a stretch that ends where the next begins ends first.
    events.sort_by_key(|event| (event.time, !event.start_state_event, presence(event)));
    let mut open: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    let mut found = Vec::new();
    for event in &events {
        let track = (event.recording_token.as_str(), event.track_token.as_str());
        let at = event.time.0.clamp(from, to);
        match presence(event) {
            Some(true) => {
                open.entry(track).or_insert(at);
            }
            _ => found.extend(open.remove(&track).map(|began| (began, at))),
        }
    }
    found.extend(open.into_values().map(|began| (began, to)));
    found
}

/// All of a recording, with its gaps; what grows ends now.
fn whole(recording: &RecordingInformation, now: i64) -> Option<(i64, i64)> {
    let from = recording.earliest_recording?.0;
    let to = match recording.recording_status {
        RecordingStatus::Recording => now,
        _ => recording.latest_recording.map_or(now, |latest| latest.0),
    };
    (from < to).then_some((from, to))
}

/// Ascending; what overlaps is one.
fn joined(mut stretches: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    stretches.sort_unstable();
    let mut joined: Vec<(i64, i64)> = Vec::with_capacity(stretches.len());
    for (from, to) in stretches.into_iter().filter(|(from, to)| from < to) {
        match joined.last_mut() {
            Some(last) if from < last.1 => last.1 = last.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    joined
}
