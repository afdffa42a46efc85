//! AAC payloads: whatever comes in, no frame is longer than its header can say.

#![no_main]

#[path = "../src/rtp.rs"]
mod rtp;

use av::CodecKind;
use libfuzzer_sys::fuzz_target;
use proto::rtp::{Depacketizer, Format, Unit};

fuzz_target!(|data: &[u8]| {
    let format = Format { payload_type: 96, codec: CodecKind::Aac, clock_rate: 16_000, parameters: None };
    for unit in rtp::units(&mut Depacketizer::new(&format), data) {
        if let Unit::Frame { data, .. } = unit {
            assert!(data.len() < 1 << 13);
        }
    }
});
