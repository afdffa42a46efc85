//! NAL units: both packings hold the same units, and nothing is lost between them.
#![no_main]

use av::CodecKind;
use av::codec::access_unit::AccessUnitBuilder;
use av::codec::{bits, nal};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let units: Vec<&[u8]> = nal::annex_b(data).collect();
    assert!(units.iter().all(|unit| !unit.windows(3).any(|bytes| bytes == [0, 0, 1])));
    let packed = nal::annex_b_to_length_prefixed(data);
    let unpacked: Vec<&[u8]> = nal::length_prefixed(&packed).map(|unit| unit.expect("we packed it")).collect();
    assert_eq!(unpacked, units);
    let stream = nal::length_prefixed_to_annex_b(&packed).expect("we packed it");
    assert_eq!(nal::annex_b(&stream).collect::<Vec<_>>(), units);

    for size in [1, 2, 4] {
        let lengths: usize = nal::with_length_size(data, size).flatten().map(<[u8]>::len).sum();
        assert!(lengths <= data.len());
    }
    let mut payload = data.to_vec();
    payload.push(0x80); // rbsp_trailing_bits
    assert_eq!(*bits::unescape(&bits::escape(&payload)), payload);

    for codec in [CodecKind::H264, CodecKind::H265] {
        let mut builder = AccessUnitBuilder::new(codec);
        for unit in &units {
            if builder.is_complete_before(unit) {
                check(builder.finish());
            }
            let _ = builder.push(unit); // a malformed parameter set is left out
        }
        check(builder.finish());
    }
});

fn check(unit: Result<Option<av::codec::access_unit::AccessUnit>, av::codec::Error>) {
    let Ok(Some(unit)) = unit else { return };
    assert!(!unit.data.is_empty());
    assert!(nal::length_prefixed(&unit.data).all(|unit| unit.is_ok()));
}
