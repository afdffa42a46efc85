//! H265 payloads: whatever comes in, what comes out are whole access units.

#![no_main]

#[path = "../src/rtp.rs"]
mod rtp;

use av::CodecKind;
use av::codec::{h265, nal};
use libfuzzer_sys::fuzz_target;
use proto::rtp::{Depacketizer, Format, Unit};

fuzz_target!(|data: &[u8]| {
    let format = Format { payload_type: 96, codec: CodecKind::H265, clock_rate: 90_000, parameters: None };
    for unit in rtp::units(&mut Depacketizer::new(&format), data) {
        if let Unit::Frame { key, data, .. } = unit {
            assert!(nal::length_prefixed(&data).all(|unit| unit.is_ok()));
            assert_eq!(h265::is_irap(&data), key);
        }
    }
});
