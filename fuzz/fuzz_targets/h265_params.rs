//! H.265 parameter sets in Annex B: what is accepted goes through the record unchanged.
#![no_main]

use av::CodecKind;
use av::codec::access_unit::AccessUnitBuilder;
use av::codec::{h265, nal};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(record) = h265::parse_hvcc(data) {
        assert!(record.units.iter().map(Bytes::len).sum::<usize>() <= data.len());
    }
    let mut builder = AccessUnitBuilder::new(CodecKind::H265);
    for unit in nal::annex_b(data) {
        if let Ok(sps) = h265::Sps::parse(unit) {
            assert!((1..=16_888).contains(&sps.width) && (1..=16_888).contains(&sps.height));
            assert!(sps.codec_string().is_ascii());
        }
        // A refused unit is left out.
        if builder.is_complete_before(unit) || builder.push(unit).is_err() {
            let _ = builder.finish();
        }
    }
    let Ok(Some(av::CodecParameters::H265(parameters))) = builder.take_changed() else { return };
    let record = h265::parse_hvcc(&h265::hvcc(&parameters)).expect("our record parses");
    assert_eq!((record.length_size, record.units), (4, vec![parameters.vps, parameters.sps, parameters.pps]));
});
