//! What is on the card: which card, which streams, and when there is footage.

use av::UnixMicros;
use hyper::Method;
use proto::isapi::{
    CmSearchDescription, CmSearchResult, Hdd, MediaSegmentDescriptor, Refusal, SearchMatchItem, Storage, TimeSpan,
    Track, TrackList, TrackSource, path,
};

use super::{Said, document, parse};
use crate::channel::Channel;
use crate::http::Site;
use crate::sdcard::{Card, Clip};

/// Matches of one answer, however many are asked for.
const PAGE_MAX: usize = 40;
/// Longest identifier of a search that is said back.
const SEARCH_ID_MAX: usize = 64;
/// All is recorded by the clock.
const TIMING: &str = "recordType.meta.hikvision.com/timing";
const SECOND: i64 = 1_000_000;

/// Answers what hangs under `ContentMgmt` beside a recorder's cameras. `host` is how the client reached us.
pub(super) fn resource(
    site: &Site,
    host: &str,
    method: &Method,
    segments: &[&str],
    body: &[u8],
) -> Result<Said, Refusal> {
    let card = site.card.as_ref().ok_or(Refusal::NotSupported)?;
    match (method.as_str(), segments) {
        ("GET", ["Storage"]) => document(&Storage { hdds: vec![hdd(card)], nas: vec![] }),
        ("GET", ["record", "tracks"]) => {
            document(&TrackList { tracks: site.channels.iter().map(|channel| track(site, host, channel)).collect() })
        }
        ("POST", ["search"]) => document(&search(site, card, host, &parse(site, body)?)?),
        (_, ["Storage"] | ["record", "tracks"] | ["search"]) => Err(Refusal::Method),
        _ => Err(Refusal::NotSupported),
    }
}

fn hdd(card: &Card) -> Hdd {
    let mib = |bytes: u64| i32::try_from(bytes >> 20).unwrap_or(i32::MAX);
    let free = card.config().bytes_max.saturating_sub(card.bytes_used());
    Hdd {
        id: 1,
        kind: Some("SD".into()),
        status: Some("ok".into()),
        capacity: Some(mib(card.config().bytes_max)),
        free: Some(mib(free)),
    }
}

fn track(site: &Site, host: &str, channel: &Channel) -> Track {
    let id = path::stream_id(channel.number(), false) as i32;
    let url = format!("rtsp://{host}:{}{}", site.rtsp_port, path::rtsp(channel.number(), false));
    let source = TrackSource {
        channel: Some(id),
        stream_hint: Some("video".into()),
        driver: Some("RTSP".into()),
        url: Some(url),
    };
    let (enabled, description) = (Some(true), Some(channel.name().to_owned()));
    Track { id, channel: Some(id), enabled, description, source: Some(source) }
}

fn search(site: &Site, card: &Card, host: &str, asked: &CmSearchDescription) -> Result<CmSearchResult, Refusal> {
    if asked.spans.iter().any(|span| span.end < span.start) {
        return Err(Refusal::Parameters);
    }
    let wanted = |channel: &Channel| {
        let id = path::stream_id(channel.number(), false) as i32;
        asked.tracks.is_empty() || asked.tracks.contains(&id)
    };
    let mut found = Vec::new();
    for channel in site.channels.iter().filter(|channel| wanted(channel)) {
        let clips = card.clips(channel.number(), UnixMicros(i64::MIN), UnixMicros(i64::MAX));
        let followed = clips.iter().skip(1).map(Some).chain([None]);
        for (clip, next) in clips.iter().zip(followed) {
            let span = whole_seconds(clip, next);
            // Both ends of what is asked for belong to it.
            let is_in = |asked: &TimeSpan| clip.from <= asked.end && clip.to >= asked.start;
            if asked.spans.is_empty() || asked.spans.iter().any(is_in) {
                found.push(item(site, host, channel, clip, span));
            }
        }
    }
    let max = asked.max_results.and_then(|max| usize::try_from(max).ok()).filter(|max| *max > 0);
    let max = max.unwrap_or(PAGE_MAX).min(PAGE_MAX);
    let skipped = usize::try_from(asked.position.unwrap_or_default()).map_err(|_| Refusal::Parameters)?;
    let is_more = found.len() > skipped.saturating_add(max);
    let matches: Vec<_> = found.into_iter().skip(skipped).take(max).collect();
    let status = match (matches.is_empty(), is_more) {
        (true, _) => CmSearchResult::NO_MATCHES,
        (false, true) => CmSearchResult::MORE,
        (false, false) => CmSearchResult::OK,
    };
    Ok(CmSearchResult {
        search_id: Some(asked.search_id.chars().take(SEARCH_ID_MAX).collect()),
        response_status: Some(true),
        response_status_string: status.into(),
        matches_number: Some(matches.len() as i32),
        matches,
    })
}

/// A clip's times as the dialect tells them: in whole seconds, of which no picture is left out, and none told
/// twice where the next clip goes on.
fn whole_seconds(clip: &Clip, next: Option<&Clip>) -> TimeSpan {
    let floor = |at: i64| UnixMicros(at.div_euclid(SECOND) * SECOND);
    let goes_on = next.is_some_and(|next| clip.is_followed_by(next));
    let end = if goes_on { floor(clip.to.0) } else { floor(clip.to.0 + SECOND - 1) };
    TimeSpan { start: floor(clip.from.0), end }
}

fn item(site: &Site, host: &str, channel: &Channel, clip: &Clip, span: TimeSpan) -> SearchMatchItem {
    let number = channel.number();
    let path = path::rtsp_track(number, false, span.start, span.end);
    let name = format!("ch{number:02}_{:017}", clip.from.0 / 1000);
    let uri = format!("rtsp://{host}:{}{path}&name={name}&size={}", site.rtsp_port, clip.bytes);
    SearchMatchItem {
        source_id: Some("{0000000000-0000-0000-0000-000000000000}".into()),
        track: Some(path::stream_id(number, false) as i32),
        span,
        media: Some(MediaSegmentDescriptor {
            content_type: Some("video".into()),
            codec_type: Some("H.264-BP".into()),
            playback_uri: Some(uri),
        }),
        metadata: vec![TIMING.into()],
    }
}
