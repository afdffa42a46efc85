//! An FLV stream: cut in pieces it gives the tags it gives whole, and each frame read, written again and
//! read once more is the same frame.
#![no_main]

use av::codec::aac;
use av::container::flv::{self, Demuxer, FrameReader, TagType};
use av::{CodecKind, MediaKind, UnixMicros};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

const WALL: UnixMicros = UnixMicros(0);

fn tags(pieces: impl Iterator<Item = impl AsRef<[u8]>>) -> (Vec<flv::Tag>, Option<flv::Error>) {
    let (mut demuxer, mut tags) = (Demuxer::new(), Vec::new());
    for piece in pieces {
        demuxer.push(piece.as_ref());
        loop {
            match demuxer.pull() {
                Ok(Some(tag)) => tags.push(tag),
                Ok(None) => break,
                Err(error) => return (tags, Some(error)),
            }
        }
    }
    (tags, None)
}

fuzz_target!(|stream: &[u8]| {
    let whole = tags(std::iter::once(stream));
    assert_eq!(whole, tags(stream.chunks(7)));

    let mut reader = FrameReader::new();
    for tag in whole.0 {
        let Ok(output) = reader.push(tag.kind, tag.timestamp_ms, tag.body, WALL) else { continue };
        let tracks = reader.tracks();
        flv::metadata(&tracks);
        let Some(frame) = output.frame else { continue };
        let track = tracks.iter().find(|track| track.id == frame.track).expect("frames follow their track");
        if track.codec.kind() == CodecKind::Aac && aac::looks_like_adts(&frame.data) {
            continue; // a header within a header: one is stripped a reading
        }
        let mut again = FrameReader::new();
        if let Some((kind, body)) = flv::sequence_header(track) {
            let tracks = again.push(kind, 0, body, WALL).expect("our sequence header parses").tracks;
            assert_eq!(tracks.as_deref(), Some(std::slice::from_ref(track)));
        }
        let mut body = Vec::new();
        flv::frame_prefix(track, &frame, &mut body);
        body.extend_from_slice(&frame.data);
        let kind = if track.kind() == MediaKind::Video { TagType::Video } else { TagType::Audio };
        let read =
            again.push(kind, 0, Bytes::from(body), WALL).expect("our body parses").frame.expect("with its frame");
        assert_eq!((read.cts, read.key, read.data), (frame.cts, frame.key, frame.data));
    }
});
