#![no_main]
//! Stills: a key frame is a JPEG or refused, whatever a camera sends. The first byte chooses the codec.

use av::CodecKind;
use av::codec::access_unit::AccessUnitBuilder;
use av::codec::nal;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((first, stream)) = input.split_first() else { return };
    let mut builder = AccessUnitBuilder::new(if first & 1 == 0 { CodecKind::H264 } else { CodecKind::H265 });
    for unit in nal::annex_b(stream) {
        if builder.is_complete_before(unit) {
            break;
        }
        if builder.push(unit).is_err() {
            return;
        }
    }
    let Ok(Some(unit)) = builder.finish() else { return };
    let Some(parameters) = unit.parameters else { return };
    if let Ok(jpeg) = av::still::jpeg(&parameters, &unit.data) {
        assert!(jpeg.starts_with(&[0xFF, 0xD8]) && jpeg.ends_with(&[0xFF, 0xD9]));
    }
});
