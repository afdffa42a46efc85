//! Footage as one file: `GET /v3/download/SERIAL_CH_1.mp4`.
//!
//! The parts of the segments are sent as they lie there, one behind the other, with their times patched
//! ([`fmp4::Joiner`]), so any range is one fragmented MP4 and nothing is assembled. What the joiner leaves
//! out is filled up, which makes the length known before the first byte. The file begins with the key
//! frame at or before the beginning of the range and ends before the first key frame after its end, or
//! where the tracks change.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use av::Track;
use av::container::fmp4;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::{Buf, Bytes};
use cloud::{PlaybackGrant, Segment};
use media::FootageError;
use tracing::warn;

use super::session::{Leaves, Protocol, Why};
use super::{Gateway, Refused, value};

/// Read from a segment at once: some seconds of media. A viewer who does not take it holds this much.
const PIECE: u64 = 1 << 20;
/// Longest fragment, bytes.
const FRAGMENT_MAX: u64 = 64 << 20;
/// Header of a box, bytes.
const BOX_HEADER: usize = 8;

pub(super) async fn download(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    match open(&gateway, &name, &query.unwrap_or_default(), peer).await {
        Err(refused) => refused.into_response(),
        Ok((file, headers)) => (headers, Body::from_stream(body(file))).into_response(),
    }
}

/// What is left to send.
struct File {
    gateway: Arc<Gateway>,
    leaves: Leaves,
    joiner: fmp4::Joiner,
    /// Segments and which bytes of them, the next one last.
    rest: Vec<(Segment, Range<u64>)>,
    ready: Vec<Bytes>,
}

async fn open(gateway: &Arc<Gateway>, name: &str, query: &str, peer: SocketAddr) -> Result<(File, HeaderMap), Refused> {
    let grant = gateway.cloud.verify_download(&format!("/v3/download/{name}"), query)?;
    let leaves = gateway.enter(&grant, peer, Protocol::Download)?;
    let (tracks, mut rest) = contents(gateway, &grant).await?;
    let init = Bytes::from(fmp4::init(&tracks));
    let length = init.len() as u64 + rest.iter().map(|(_, bytes)| bytes.end - bytes.start).sum::<u64>();
    rest.reverse();
    let joiner = fmp4::Joiner::new(&tracks);
    let file = File { gateway: gateway.clone(), leaves, joiner, rest, ready: vec![init] };
    // Signed, so digits.
    let [from, to] = ["begin", "end"].map(|name| value(query, name).unwrap_or_default());
    let disposition = format!("attachment; filename=\"{}_{}_{from}_{to}.mp4\"", grant.serial, grant.channel);
    let text = |value: &'static str| HeaderValue::from_static(value);
    let headers = [
        (header::CONTENT_TYPE, text("video/mp4")),
        (header::CONTENT_LENGTH, length.into()),
        (header::CONTENT_DISPOSITION, HeaderValue::try_from(disposition).unwrap_or_else(|_| text("attachment"))),
        (header::ACCEPT_RANGES, text("none")),
        (header::CACHE_CONTROL, text("no-store")),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, text("*")),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, text("Content-Disposition")),
    ];
    Ok((file, headers.into_iter().collect()))
}

/// The segments of a grant that have the same tracks, and which bytes of each are in its range.
async fn contents(
    gateway: &Gateway,
    grant: &PlaybackGrant,
) -> Result<(Arc<[Track]>, Vec<(Segment, Range<u64>)>), Refused> {
    let PlaybackGrant { serial, channel, storage, from, to, .. } = grant;
    let (from_us, to_us) = (from.0.saturating_mul(1000), to.0.saturating_mul(1000));
    let mut known: Option<Arc<[Track]>> = None;
    let mut found = Vec::new();
    for segment in gateway.cloud.segments(serial, *channel, *storage, *from, *to).await? {
        let index = gateway.cloud.segment_index(&segment).await?;
        if known.as_ref().is_some_and(|known| *known != index.tracks) {
            break;
        }
        let since = |at_us: i64| at_us - segment.from.0.saturating_mul(1000);
        let begins = index.entries.iter().take_while(|entry| entry.time <= since(from_us)).last();
        let Some(begins) = begins.or(index.entries.first()) else { continue };
        let ends = index.entries.iter().find(|entry| entry.time >= since(to_us));
        let bytes = begins.at..ends.map_or(index.media_end, |entry| entry.at);
        if !bytes.is_empty() {
            found.push((segment, bytes));
            known = Some(index.tracks);
        }
    }
    Ok((known.ok_or(FootageError::Empty)?, found))
}

fn body(file: File) -> impl futures_util::Stream<Item = Result<Bytes, String>> {
    futures_util::stream::unfold(Some(file), |file| async move {
        let mut file = file?;
        loop {
            if !file.ready.is_empty() {
                let bytes = file.ready.remove(0);
                file.leaves.0.add_bytes(bytes.len() as u64);
                return Some((Ok(bytes), Some(file)));
            }
            let session = file.leaves.0.clone();
            let read = tokio::select! {
                biased;
                () = session.over() => Err("revoked".to_owned()),
                read = file.read_on() => read,
            };
            match read {
                Ok(true) => {}
                Ok(false) => {
                    session.finish(Why::StreamEnded);
                    return None;
                }
                // The connection is cut, which tells that the file is not whole.
                Err(error) => {
                    warn!(%error, stream = %session.stream, "download breaks off");
                    return Some((Err(error), None));
                }
            }
        }
    })
}

impl File {
    /// Makes more ready; false when that was all.
    async fn read_on(&mut self) -> Result<bool, String> {
        let Some((segment, bytes)) = self.rest.last_mut() else { return Ok(false) };
        // A fragment that was not all there is read again, with more behind it.
        let mut piece = PIECE;
        loop {
            let upto = bytes.end.min(bytes.start + piece);
            let mut read =
                self.gateway.cloud.read_segment(segment, bytes.start..upto).await.map_err(|e| e.to_string())?;
            if read.len() as u64 != upto - bytes.start {
                return Err("a segment is shorter than it was".to_owned());
            }
            while !read.is_empty() {
                match self.joiner.push(&read) {
                    Ok((joined, length)) => {
                        let joined = joined.map_or(Vec::new(), |joined| vec![joined.moof, joined.mdat]);
                        let kept: usize = joined.iter().map(Bytes::len).sum();
                        self.ready.extend(filling(length - kept.min(length)));
                        self.ready.extend(joined);
                        read.advance(length);
                        bytes.start += length as u64;
                    }
                    Err(fmp4::Error::Incomplete { .. }) if upto < bytes.end => break,
                    Err(error) => return Err(error.to_string()),
                }
            }
            if bytes.is_empty() {
                self.rest.pop();
                return Ok(true);
            }
            if !self.ready.is_empty() {
                return Ok(true);
            }
            piece *= 4;
            if piece > FRAGMENT_MAX {
                return Err("a fragment is too long".to_owned());
            }
        }
    }
}

/// Bytes that stand for nothing, as a `free` box (ISO/IEC 14496-12 §8.1.2).
fn filling(length: usize) -> Option<Bytes> {
    // Less than a box cannot be filled; nothing we write leaves so little.
    let size = u32::try_from(length).ok().filter(|_| length >= BOX_HEADER)?;
    let mut filling = vec![0; length];
    filling[..4].copy_from_slice(&size.to_be_bytes());
    filling[4..8].copy_from_slice(b"free");
    Some(filling.into())
}
