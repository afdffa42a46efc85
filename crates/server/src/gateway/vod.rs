//! HLS of footage that we keep: playlists made from the indexes of its segments, and files made of their
//! parts when they are asked for. Nothing runs between two requests.
//!
//! A file is some seconds from one key frame to another ([`chunks`]), the same however often it is asked
//! for. G.711 becomes AAC on the way, so that no seam between two files is heard: what is coded for one
//! begins a little before it, on the grid of AAC frames that all files share.

use std::sync::Arc;
use std::time::Duration;

use av::codec::aac::{ENCODER_DELAY, SAMPLES_PER_FRAME};
use av::container::{fmp4, ts};
use av::transcode::{EncodeError, ToAac};
use av::{CodecKind, CodecParameters, Frame, G711Law, Ticks, Track, UnixMicros};
use bytes::{Buf, Bytes};
use cloud::{PlaybackGrant, Segment, SegmentIndex, UnixMillis};
use media::hls::{Container, HlsError, Playlist, fragment};
use media::{FootageError, Item};
use tokio::time::{Instant, sleep};

use super::derived::{Remake, Sound};
use super::{Gateway, Refused, says};

/// A file ends at the first key frame after this, µs.
const CHUNK_US: i64 = 4_000_000;
/// The target duration of a playlist is at least this: it must not change while the playlist grows, µs.
const TARGET_MIN_US: i64 = 6_000_000;
/// The first file of footage that has only just begun is waited for, so long and in such steps.
const FIRST_FILE_WITHIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(250);
/// Segments of one playlist: a day and an hour. What lies beyond is another address's.
const SEGMENTS_MAX: usize = 1_500;
/// What was recorded is in the index within this, ms.
const INDEXED_WITHIN_MS: i64 = 15_000;
/// Segments further apart are not of one piece, ms.
const GAP_MS: i64 = 2;

/// A file of a playlist: parts of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Chunk {
    /// Its bytes in the segment.
    at: u64,
    end: u64,
    /// Its time in the segment, µs.
    from_us: i64,
    to_us: i64,
    /// It will not grow.
    complete: bool,
}

/// The files of a segment, by number. While the segment grows, so do they: those that are complete stay.
fn chunks(segment: &Segment, index: &SegmentIndex) -> Vec<Chunk> {
    let mut chunks: Vec<Chunk> = Vec::new();
    for entry in &index.entries {
        if let Some(open) = chunks.last_mut() {
            if entry.time - open.from_us < CHUNK_US {
                continue;
            }
            (open.end, open.to_us, open.complete) = (entry.at, entry.time, true);
        }
        let to_us = (segment.to.0 - segment.from.0).saturating_mul(1000).max(entry.time + 1);
        let (at, end) = (entry.at, index.media_end);
        chunks.push(Chunk { at, end, from_us: entry.time, to_us, complete: !segment.growing });
    }
    chunks
}

/// Which file of which segment: `SEGMENT-FROM-CHUNK.ts`, or `SEGMENT-FROM.mp4` for what is read before.
/// `FROM` is when the segment begins, in milliseconds, and finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name {
    segment: u64,
    from: UnixMillis,
    chunk: Option<usize>,
}

impl Name {
    fn parse(text: &str) -> Option<Name> {
        let (stem, extension) = text.rsplit_once('.')?;
        let mut numbers = stem.split('-');
        let (segment, from) = (numbers.next()?.parse().ok()?, UnixMillis(numbers.next()?.parse().ok()?));
        let chunk = numbers.next().map(str::parse).transpose().ok()?;
        let fits = numbers.next().is_none() && chunk.is_some() != (extension == "mp4");
        (fits && ["ts", "m4s", "mp4"].contains(&extension)).then_some(Name { segment, from, chunk })
    }
}

/// The footage of a grant that we keep; `None` where it is the device's.
async fn kept(gateway: &Gateway, grant: &PlaybackGrant) -> Result<Option<Vec<Segment>>, Refused> {
    let PlaybackGrant { serial, channel, storage, from, to, .. } = grant;
    if !gateway.cloud.is_kept(grant).await? {
        return Ok(None);
    }
    let mut segments = gateway.cloud.segments(serial, *channel, *storage, *from, *to).await?;
    segments.truncate(SEGMENTS_MAX);
    if segments.is_empty() { Err(FootageError::Empty.into()) } else { Ok(Some(segments)) }
}

fn check_codec(tracks: &[Track], container: Container, query: &str) -> Result<(), Refused> {
    let takes_h265 = container == Container::Fmp4 && says(query, "supportH265");
    let is_h265 = tracks.iter().any(|track| track.codec.kind() == CodecKind::H265);
    if is_h265 && !takes_h265 { Err(Refused::NoH265) } else { Ok(()) }
}

/// The playlist of the footage that a grant opens; `None` where the device has it.
pub(super) async fn playlist(
    gateway: &Gateway,
    grant: &PlaybackGrant,
    query: &str,
    container: Container,
    folder: &str,
) -> Result<Option<String>, Refused> {
    let deadline = Instant::now() + FIRST_FILE_WITHIN;
    while let Some(segments) = kept(gateway, grant).await? {
        if let Some(text) = written(gateway, grant, &segments, query, container, folder).await? {
            return Ok(Some(text));
        }
        if Instant::now() > deadline {
            return Err(HlsError::Timeout.into());
        }
        sleep(LOOK_AGAIN_AFTER).await;
    }
    Ok(None)
}

/// The playlist of these segments; `None` where no file of it is complete yet: players give up on a playlist
/// that names none.
async fn written(
    gateway: &Gateway,
    grant: &PlaybackGrant,
    segments: &[Segment],
    query: &str,
    container: Container,
    folder: &str,
) -> Result<Option<String>, Refused> {
    let (from_us, to_us) = (grant.from.0.saturating_mul(1000), grant.to.0.saturating_mul(1000));
    let mut listed = Vec::new();
    for segment in segments {
        // Removed since it was found, or damaged: what is left is shown.
        let Ok(index) = gateway.cloud.segment_index(segment).await else { continue };
        check_codec(&index.tracks, container, query)?;
        let start_us = segment.from.0.saturating_mul(1000);
        let inside = |chunk: &Chunk| start_us + chunk.to_us > from_us && start_us + chunk.from_us < to_us;
        let chunks: Vec<(usize, Chunk)> = chunks(segment, &index).into_iter().enumerate().collect();
        listed.push((segment, index.tracks, chunks.into_iter().filter(|(_, chunk)| inside(chunk)).collect::<Vec<_>>()));
    }
    let reached = segments.last().is_some_and(|last| last.to >= grant.to);
    let ended = reached || grant.to.0.saturating_add(INDEXED_WITHIN_MS) < super::rtmp::wall_clock().0 / 1000;
    let all = || listed.iter().flat_map(|(_, _, chunks)| chunks).map(|(_, chunk)| chunk);
    if !ended && !all().any(|chunk| chunk.complete) {
        return Ok(None);
    }
    let longest = all().map(|chunk| chunk.to_us - chunk.from_us).max().ok_or(FootageError::Empty)?;
    let first = listed.iter().find_map(|(segment, _, chunks)| {
        chunks.first().map(|(_, chunk)| segment.from.0.saturating_mul(1000) + chunk.from_us)
    });
    let mut text = Playlist::recorded(longest.max(TARGET_MIN_US), from_us - first.unwrap_or(from_us));
    let mut before: Option<(&Segment, &[Track])> = None;
    for (segment, tracks, chunks) in &listed {
        let whole = |chunk: &Chunk| ended || chunk.complete;
        if !chunks.iter().any(|(_, chunk)| whole(chunk)) {
            continue;
        }
        let name = |suffix: &str| format!("{folder}{}-{}{suffix}?{query}", segment.id, segment.from.0);
        let same_tracks = before.is_some_and(|(_, known)| known == &tracks[..]);
        let follows = before.is_some_and(|(last, _)| segment.from.0 - last.to.0 <= GAP_MS);
        if before.is_some() && !(same_tracks && follows) {
            text.discontinuity();
        }
        if container == Container::Fmp4 && !same_tracks {
            text.map(&name(".mp4"));
        }
        before = Some((segment, tracks));
        for (at, (number, chunk)) in chunks.iter().filter(|(_, chunk)| whole(chunk)).enumerate() {
            if at == 0 {
                text.date_time(UnixMicros(segment.from.0.saturating_mul(1000) + chunk.from_us));
            }
            let extension = if container == Container::Ts { "ts" } else { "m4s" };
            text.segment(chunk.to_us - chunk.from_us, &name(&format!("-{number}.{extension}")));
        }
    }
    if ended {
        text.end();
    }
    Ok(Some(text.into_text()))
}

/// A file that such a playlist names; `None` when the name is none of those.
pub(super) async fn file(
    gateway: &Gateway,
    grant: &PlaybackGrant,
    query: &str,
    container: Container,
    name: &str,
) -> Result<Option<Vec<Bytes>>, Refused> {
    let Some(name) = Name::parse(name) else { return Ok(None) };
    let gone = || Refused::from(HlsError::Gone);
    let PlaybackGrant { serial, channel, storage, .. } = grant;
    if name.from >= grant.to {
        return Err(gone());
    }
    // The one before it is what its first sound is coded after, and the one behind it goes on with the last.
    let around =
        |from: i64, to: i64| gateway.cloud.segments(serial, *channel, *storage, UnixMillis(from), UnixMillis(to));
    let found = around(name.from.0.saturating_sub(1), name.from.0.saturating_add(1)).await?;
    let at = found.iter().position(|segment| segment.id == name.segment && segment.to > grant.from).ok_or_else(gone)?;
    let segment = &found[at];
    let follows = |before: &Segment, behind: &Segment| (0..=GAP_MS).contains(&(behind.from.0 - before.to.0));
    let before = found[..at].last().filter(|before| follows(before, segment));
    let index = gateway.cloud.segment_index(segment).await?;
    check_codec(&index.tracks, container, query)?;
    let mute = says(query, "mute");
    let sound = Sound::needed(&index.tracks, mute);
    let Some(number) = name.chunk else {
        return Ok(Some(vec![fmp4::init(&remade(&index.tracks, sound)?).into()]));
    };
    let chunk = *chunks(segment, &index).get(number).ok_or_else(gone)?;
    let bytes = gateway.cloud.read_segment(segment, chunk.at..chunk.end).await?;
    if container == Container::Fmp4 && sound.is_none() {
        return Ok(Some(vec![bytes]));
    }
    let mut earlier = Vec::new();
    if sound == Some(Sound::Aac) {
        let key = index.entries.iter().rev().find(|entry| entry.at < chunk.at);
        earlier = match (key, before) {
            (Some(key), _) => frames(&index.tracks, &gateway.cloud.read_segment(segment, key.at..chunk.at).await?),
            (None, Some(before)) => last_gop(gateway, before, &index).await?,
            (None, None) => Vec::new(),
        };
    }
    let is_last = !segment.growing && chunk.end == index.media_end;
    let ends = is_last && {
        let behind = around(segment.to.0, segment.to.0.saturating_add(GAP_MS + 1)).await?;
        !behind.iter().any(|behind| follows(segment, behind))
    };
    let tracks = remade(&index.tracks, sound)?;
    let frames = remake(&index.tracks, &tracks, &earlier, frames(&index.tracks, &bytes), ends)?;
    Ok(Some(vec![match container {
        Container::Fmp4 => fragment(&tracks, &frames, None, number as u32 + 1).into(),
        Container::Ts => {
            let (mut muxer, mut packets) = (ts::Muxer::new(&tracks), Vec::with_capacity(bytes.len() * 11 / 10));
            frames.iter().for_each(|frame| muxer.push(frame, &mut packets));
            packets.into()
        }
    }]))
}

/// What is recorded in the end of a segment, if it is of the same tracks as another.
async fn last_gop(gateway: &Gateway, segment: &Segment, other: &SegmentIndex) -> Result<Vec<Frame>, Refused> {
    let index = gateway.cloud.segment_index(segment).await?;
    let Some(key) = index.entries.last().filter(|_| index.tracks == other.tracks) else { return Ok(Vec::new()) };
    Ok(frames(&index.tracks, &gateway.cloud.read_segment(segment, key.at..index.media_end).await?))
}

/// The frames of whole fragments, up to the first that is cut or damaged.
fn frames(tracks: &[Track], bytes: &Bytes) -> Vec<Frame> {
    let (mut rest, mut frames) = (bytes.clone(), Vec::new());
    while let Ok((more, length)) = fmp4::read_fragment(tracks, &rest) {
        frames.extend(more);
        rest.advance(length.min(rest.len()));
        if length == 0 || rest.is_empty() {
            break;
        }
    }
    frames
}

/// The tracks as players take them.
fn remade(tracks: &[Track], sound: Option<Sound>) -> Result<Arc<[Track]>, Refused> {
    let mut items = Vec::new();
    if let Some(sound) = sound {
        Remake::new(sound).push(Item::Tracks(tracks.into()), &mut items).map_err(sound_fails)?;
    }
    Ok(match items.pop() {
        Some(Item::Tracks(tracks)) => tracks,
        _ => tracks.into(),
    })
}

fn sound_fails(error: EncodeError) -> Refused {
    FootageError::Failed { step: "sound", cause: error.to_string() }.into()
}

/// The frames as the tracks they become have them, in decoding order over all tracks.
fn remake(
    tracks: &[Track],
    remade: &[Track],
    earlier: &[Frame],
    frames: Vec<Frame>,
    ends: bool,
) -> Result<Vec<Arc<Frame>>, Refused> {
    let mut made: Vec<(i64, Arc<Frame>)> = Vec::with_capacity(frames.len());
    for (track, into) in
        tracks.iter().filter_map(|track| Some((track, remade.iter().find(|into| into.id == track.id)?)))
    {
        let of_track =
            |frames: &[Frame]| frames.iter().filter(|frame| frame.track == track.id).cloned().collect::<Vec<_>>();
        let mut of_this = of_track(&frames);
        if into != track {
            of_this = to_aac(track, &of_track(earlier), &of_this, ends).map_err(sound_fails)?;
        }
        let placed = |frame: Frame| (frame.dts.rescale(into.clock_rate, 1_000_000).0, Arc::new(frame));
        made.extend(of_this.into_iter().map(placed));
    }
    made.sort_by_key(|(at, _)| *at);
    Ok(made.into_iter().map(|(_, frame)| frame).collect())
}

/// Codes G.711 as AAC frames that lie on a grid all callers share. Gives those that are completed by
/// `frames`: what is completed by `earlier`, the sound just before them, was given with that, and what is
/// begun by `frames` comes with those behind them, unless the sound `ends`.
fn to_aac(track: &Track, earlier: &[Frame], frames: &[Frame], ends: bool) -> Result<Vec<Frame>, EncodeError> {
    let (Some(mut coder), CodecParameters::G711(g711)) = (ToAac::new(track)?, &track.codec) else {
        return Ok(Vec::new());
    };
    let Some(first) = frames.first() else { return Ok(Vec::new()) };
    let rate = coder.track().clock_rate;
    // Ticks of G.711 in an AAC frame: one a sample, as RTP has it.
    let grid = i64::from(SAMPLES_PER_FRAME) * i64::from(track.clock_rate) / i64::from(rate);
    let channels = usize::from(g711.channels.max(1));
    // Begins on the grid: with what was before, or with silence.
    let start = earlier.first().unwrap_or(first).dts.0;
    let aligned = if earlier.is_empty() { start.div_euclid(grid) * grid } else { (start.div_euclid(grid) + 1) * grid };
    let mut made = Vec::new();
    let silence = |from: i64, ticks: i64| {
        let code = match g711.law {
            G711Law::A => 0xD5,
            G711Law::Mu => 0xFF,
        };
        let data = vec![code; usize::try_from(ticks).unwrap_or(0) * channels].into();
        Frame { dts: Ticks(from), data, ..first.clone() }
    };
    if aligned < start {
        coder.push(&silence(aligned, start - aligned), &mut made)?;
    }
    for frame in earlier.iter().chain(frames) {
        let late = usize::try_from(aligned - frame.dts.0).unwrap_or(0).saturating_mul(channels);
        if late < frame.data.len() {
            let dts = Ticks(frame.dts.0.max(aligned));
            coder.push(&Frame { dts, data: frame.data.slice(late..), ..frame.clone() }, &mut made)?;
        }
    }
    if let Some(last) = frames.last().filter(|_| ends) {
        let end = last.dts.0 + (last.data.len() / channels) as i64;
        coder.push(&silence(end, 3 * grid), &mut made)?;
    }
    // The number of the grid's frame, by the sample that completed it.
    let number = |frame: &Frame| {
        let completed = frame.dts.0 + i64::from(ENCODER_DELAY) + i64::from(SAMPLES_PER_FRAME);
        (completed + i64::from(SAMPLES_PER_FRAME) / 2).div_euclid(i64::from(SAMPLES_PER_FRAME))
    };
    let since = first.dts.0;
    // Nothing sounds before a clock begins.
    made.retain(|frame| frame.dts.0 >= 0 && (earlier.is_empty() || number(frame) * grid > since));
    Ok(made)
}
