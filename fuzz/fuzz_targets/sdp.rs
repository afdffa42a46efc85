//! Session descriptions: what was read is written and read again the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::rtp::Depacketizer;
use proto::sdp::Description;

fuzz_target!(|data: &[u8]| {
    let Ok(description) = Description::parse(data) else { return };
    for format in description.media.iter().filter_map(|media| media.format()) {
        assert!(format.clock_rate > 0 && format.payload_type < 128);
        Depacketizer::new(&format);
    }
    // The first writing leaves out what we do not know; from then on nothing changes.
    let Ok(once) = Description::parse(description.write(1).as_bytes()) else { return };
    if let Ok(twice) = Description::parse(once.write(1).as_bytes()) {
        assert_eq!(once, twice);
    }
});
