//! A sequence parameter set: its size is in range, and the record made of it holds it unchanged.
#![no_main]

use av::codec::h264::{self, Sps};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

/// A PPS with identifier 0 that refers to this SPS.
fn pps(sps_id: u8) -> Bytes {
    let code = u32::from(sps_id) + 1; // ue(v): as many zeros before it as bits behind its first
    let width = 2 * (u32::BITS - code.leading_zeros()) - 1;
    let bits = (1 << width | code) << 1 | 1; // ue(0) before, a stop bit behind
    let [.., high, low] = (bits << (14 - width)).to_be_bytes();
    Bytes::copy_from_slice(&[0x68, high, low])
}

fuzz_target!(|data: &[u8]| {
    let _ = h264::pps_ids(data); // only must not panic
    if let Ok(record) = h264::parse_avcc(data) {
        assert!(record.units.iter().map(Bytes::len).sum::<usize>() <= data.len());
    }
    let Ok(sps) = Sps::parse(data) else { return };
    assert!((1..=16_888).contains(&sps.width) && (1..=16_888).contains(&sps.height));
    assert!(sps.codec_string().is_ascii());
    let parameters = h264::parameters(Bytes::copy_from_slice(data), pps(sps.id)).expect("both are sound");
    let record = h264::parse_avcc(&h264::avcc(&parameters)).expect("our record parses");
    assert_eq!((record.length_size, record.units), (4, vec![parameters.sps, parameters.pps]));
});
