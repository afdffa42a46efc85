//! What was read, written and read again is the same.

#![no_main]

use av::container::amf0::{Reader, write};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(values) = Reader::new(data).read_all() else { return };
    let mut written = Vec::new();
    values.iter().for_each(|value| write(value, &mut written));
    let again = Reader::new(&written).read_all().expect("what we write can be read");
    let mut twice = Vec::new();
    again.iter().for_each(|value| write(value, &mut twice));
    // Bytes, not values: a number may be NaN.
    assert_eq!(written, twice);
});
