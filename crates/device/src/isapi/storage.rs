//! What the device keeps itself: found by `ContentMgmt/search`, played from `Streaming/tracks`.
//!
//! Moments on the wire are the device's; its clock's offset is taken off and put on here.

use std::time::Duration;

use av::UnixMicros;
use media::Item;
use proto::calendar;
use proto::isapi::{CmSearchDescription, CmSearchResult, DeviceStatus, SearchMatchItem, TimeSpan, path};
use proto::rtsp::{Frames, Play};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::IsapiDriver;
use super::client::Failure;
use crate::driver::{ChannelNo, DriverError, Quality, Recording, RecordingKind, ReplayAsk};
use crate::rtsp::{self, Presentation};

/// Matches of one answer; devices give fewer if they like.
const PAGE: i32 = 40;
/// Answers of one search that are read: 20,000 files. What follows is left out.
const PAGES_MAX: usize = 500;
/// All kinds of recordings.
const ANY_KIND: &str = "//recordType.meta.std-cgi.com";
/// Files that lie no further apart than this are played in one go, µs.
const SEAM_US: i64 = 2_000_000;
/// The clock is looked at again after this: people set it.
const CLOCK_FOR: Duration = Duration::from_secs(60);
/// A device tells its clock in whole seconds, so this much is no offset, µs.
const CLOCK_EXACT: i64 = 2_000_000;

/// How the device tells time.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    asked: Instant,
    /// What it writes less what we would, µs.
    offset: i64,
    /// It writes local time and marks it as UTC.
    local: bool,
}

impl IsapiDriver {
    /// Whether it has something to record on. One that does not tell is asked for what it has recorded.
    pub(super) async fn has_storage(&self) -> Result<bool, DriverError> {
        match Failure::optional(self.client.get::<proto::isapi::Storage>(path::STORAGE).await)? {
            Some(storage) => Ok(storage.is_there()),
            None => {
                let tracks = self.client.get::<proto::isapi::TrackList>(path::TRACKS).await;
                Ok(Failure::optional(tracks)?.is_some_and(|list| !list.tracks.is_empty()))
            }
        }
    }

    /// What the device writes for a moment less that moment, µs. What is on a channel shows it.
    async fn clock(&self, channel: ChannelNo) -> Result<i64, DriverError> {
        let known = self.clocks.lock().expect("no panic while it is locked").get(&channel).copied();
        if let Some(clock) = known.filter(|clock| clock.asked.elapsed() < CLOCK_FOR) {
            return Ok(clock.offset);
        }
        let status = Failure::optional(self.client.get::<DeviceStatus>(path::STATUS).await)?;
        let told = status.and_then(|status| status.current_device_time);
        let now = rtsp::wall().0;
        let mut offset = told.as_deref().and_then(calendar::parse).map_or(0, |at| at.0 - now);
        if offset.abs() <= CLOCK_EXACT {
            offset = 0;
        }
        let east = told.as_deref().map_or(0, zone);
        // Once found out it stays so, though nothing is recorded for a while.
        let local = known.is_some_and(|clock| clock.local) || self.writes_local(channel, now + offset, east).await?;
        if local {
            offset += east;
        }
        let clock = Clock { asked: Instant::now(), offset, local };
        self.clocks.lock().expect("no panic while it is locked").insert(channel, clock);
        Ok(offset)
    }

    /// Some firmware writes its local time and marks it as UTC. East of Greenwich that shows: there are
    /// recordings of the future then, as far ahead as the zone is east.
    async fn writes_local(&self, channel: ChannelNo, now: i64, east: i64) -> Result<bool, DriverError> {
        if east <= CLOCK_EXACT {
            return Ok(false);
        }
        let future = TimeSpan { start: UnixMicros(now + 120_000_000), end: UnixMicros(now + east + 60_000_000) };
        let page = Failure::optional(self.page(channel, future, &search_id(), 0).await)?;
        Ok(page.is_some_and(|page| page.matches.iter().any(|found| found.span.end > future.start)))
    }

    /// A page of the files of a channel. The span is the device's.
    async fn page(
        &self,
        channel: ChannelNo,
        span: TimeSpan,
        search_id: &str,
        position: usize,
    ) -> Result<CmSearchResult, Failure> {
        let description = CmSearchDescription {
            search_id: search_id.to_owned(),
            tracks: vec![path::stream_id(channel.0, false) as i32],
            // Whole seconds, from the one that is asked for to after it.
            spans: vec![TimeSpan {
                start: floor(span.start),
                end: floor(UnixMicros(span.end.0.saturating_add(999_999))),
            }],
            content_types: vec!["video".into()],
            max_results: Some(PAGE),
            position: Some(position as i32),
            metadata: vec![ANY_KIND.into()],
        };
        self.client.post(path::SEARCH, &description).await
    }

    /// Files of a channel that overlap a range.
    pub(super) async fn files(
        &self,
        channel: ChannelNo,
        from: UnixMicros,
        to: UnixMicros,
    ) -> Result<Vec<Recording>, DriverError> {
        self.session().await?.channel(channel)?;
        let clock = self.clock(channel).await?;
        let span = TimeSpan { start: UnixMicros(from.0 + clock), end: UnixMicros(to.0 + clock) };
        let id = search_id();
        let mut found: Vec<Recording> = Vec::new();
        let mut position = 0;
        for _ in 0..PAGES_MAX {
            let page = self.page(channel, span, &id, position).await.map_err(|failure| failure.at("search"))?;
            let more = page.is_more() && !page.matches.is_empty();
            position += page.matches.len();
            found.extend(page.matches.iter().map(|file| recording(file, clock)));
            if !more {
                break;
            }
        }
        found.retain(|file| file.from < file.to && file.to > from && file.from < to);
        found.sort_by_key(|file| (file.from, file.to));
        // A device to which somebody records meanwhile repeats files at the seams of pages.
        found.dedup();
        Ok(found)
    }

    /// Plays a channel's files, those that follow each other in one session.
    pub(super) async fn play_back(
        &self,
        channel: ChannelNo,
        ask: ReplayAsk,
        out: &mpsc::Sender<Item>,
    ) -> Result<(), DriverError> {
        let session = self.session().await?;
        let (no, sub) = session.stream(channel, Quality::Main)?;
        let clock = self.clock(channel).await?;
        let host = self.client.base().host_str().unwrap_or_default();
        let [mut at, to] = [ask.from, ask.to].map(|at| UnixMicros(at.0 + clock));
        while at < to && !out.is_closed() {
            let page = self.page(channel, TimeSpan { start: at, end: to }, &search_id(), 0).await;
            let page = page.map_err(|failure| failure.at("search"))?;
            let Some(TimeSpan { start, end }) = first_run(&page.matches, at, to) else { break };
            let url = format!("rtsp://{host}:{}{}", session.rtsp_port, path::rtsp_track(no, sub, start, end));
            let scale = (ask.speed != 1.0).then_some(ask.speed);
            let frames = ask.key_frames_only.then_some(Frames::Intra(None));
            let presentation = Presentation {
                url: &url,
                require: &[],
                play: Play { scale, frames, ..Play::live() },
                from: floor(start),
                to: end,
                paced: None,
                key_frames_only: ask.key_frames_only,
                clock,
            };
            rtsp::replay(&self.dialer, self.login.as_ref(), &presentation, out).await?;
            // Never back, whatever the device says.
            at = UnixMicros(end.0.max(at.0 + 1_000_000));
        }
        Ok(())
    }
}

/// Pages of a search have it in common.
fn search_id() -> String {
    let id: u128 = rand::random();
    let hex = format!("{id:032X}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn floor(at: UnixMicros) -> UnixMicros {
    UnixMicros(at.0.div_euclid(1_000_000) * 1_000_000)
}

/// How far east of UTC a device's time says that it is, µs.
fn zone(told: &str) -> i64 {
    let (Some(here), Some(utc)) = (calendar::parse(told.get(..19).unwrap_or_default()), calendar::parse(told)) else {
        return 0;
    };
    (here.0 - utc.0) / 1_000_000 * 1_000_000
}

fn recording(file: &SearchMatchItem, clock: i64) -> Recording {
    // `…/timing`, `…/CMR`, or nothing at all: by the clock.
    let timed = file.metadata.iter().all(|kind| {
        let kind = kind.rsplit('/').next().unwrap_or_default();
        ["timing", "cmr", "allevent", "recordtype.meta.std-cgi.com", ""].iter().any(|it| kind.eq_ignore_ascii_case(it))
    });
    Recording {
        from: UnixMicros(file.span.start.0.saturating_sub(clock)),
        to: UnixMicros(file.span.end.0.saturating_sub(clock)),
        kind: if timed { RecordingKind::Timed } else { RecordingKind::Event },
        bytes: file.media.as_ref().and_then(|media| media.bytes()),
    }
}

/// The first files that follow each other, from `at` on.
fn first_run(files: &[SearchMatchItem], at: UnixMicros, to: UnixMicros) -> Option<TimeSpan> {
    let mut spans: Vec<TimeSpan> = files.iter().map(|file| file.span).collect();
    spans.retain(|span| span.start < span.end && span.end > at && span.start < to);
    spans.sort_by_key(|span| (span.start, span.end));
    let mut spans = spans.into_iter();
    let mut run = spans.next()?;
    for span in spans {
        if span.start.0 > run.end.0.saturating_add(SEAM_US) {
            break;
        }
        run.end = run.end.max(span.end);
    }
    Some(TimeSpan { start: run.start.max(at), end: run.end.min(to) })
}
