//! Fragmented MP4: whatever is read lies within what was given, and what was read is written, read again and
//! joined without a change.
#![no_main]

use std::sync::Arc;

use av::container::fmp4::{self, Joined, Joiner, Run};
use av::{CodecParameters, Frame, G711Law, G711Parameters, Ticks, Track, TrackId};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

/// Tracks 1 and 2, for fragments without an init.
fn tracks() -> Vec<Track> {
    let codec = CodecParameters::G711(G711Parameters { law: G711Law::A, sample_rate: 8000, channels: 1 });
    [0, 1].map(|id| Track { id: TrackId(id), codec: codec.clone(), clock_rate: 8000 }).to_vec()
}

/// What of a frame a file keeps whatever is around it.
fn kept(frame: &Frame) -> (Ticks, i32, bool, &Bytes) {
    (frame.dts, frame.cts, frame.key, &frame.data)
}

fuzz_target!(|file: &[u8]| {
    let (tracks, len) = fmp4::read_init(file).unwrap_or_else(|_| (tracks(), 0));
    assert_eq!(fmp4::read_init(&fmp4::init(&tracks)).expect("our init is read").0, tracks);
    let _ = fmp4::read_index(&tracks, file); // must only return

    let mut end = 0;
    for found in fmp4::scan(&tracks, file) {
        assert!(found.offset >= end && found.from <= found.to);
        end = found.offset + found.len;
        let (frames, len) = fmp4::read_fragment(&tracks, &Bytes::copy_from_slice(&file[found.offset..end])).unwrap();
        assert!(!frames.is_empty() && len == found.len);
    }
    assert!(end <= file.len());

    let (mut rest, mut joiner) = (Bytes::copy_from_slice(&file[len..]), Joiner::new(&tracks));
    while !rest.is_empty() {
        let Ok((frames, len)) = fmp4::read_fragment(&tracks, &rest) else { return };
        write_again(&tracks, &frames);
        if let Ok((Some(Joined { moof, mdat }), joined_len)) = joiner.push(&rest) {
            assert_eq!(joined_len, len);
            let joined = Bytes::from([moof, mdat].concat());
            let (again, _) = fmp4::read_fragment(&tracks, &joined).expect("joined fragments are read");
            assert_eq!(again.len(), frames.len());
        }
        rest = rest.slice(len..);
    }
});

fn write_again(tracks: &[Track], frames: &[Frame]) {
    for track in tracks {
        let own: Vec<_> = frames.iter().filter(|frame| frame.track == track.id).cloned().map(Arc::new).collect();
        let Some(last) = own.last() else { continue };
        // Several runs of one track may contradict each other, and steps of more than 32 bits are cut.
        if own.windows(2).any(|pair| !(0..1 << 32).contains(&(pair[1].dts.0 - pair[0].dts.0))) {
            continue;
        }
        let mut out = Vec::new();
        fmp4::fragment(&mut out, 1, &[Run { track, frames: &own, end: last.dts }]);
        let (again, _) = fmp4::read_fragment(tracks, &Bytes::from(out)).expect("our fragment is read");
        assert!(again.iter().map(kept).eq(own.iter().map(|frame| kept(frame))));
    }
}
