#![no_main]
//! Voice files: whatever is uploaded is decoded within the limits or refused.

use std::time::Duration;

use av::voice::{Limits, decode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let limits = Limits { bytes: 1 << 20, duration: Duration::from_secs(5) };
    if let Ok(pcm) = decode(file, limits) {
        assert!(!pcm.samples.is_empty());
        assert!((8_000..=48_000).contains(&pcm.sample_rate));
        assert!(pcm.duration() < limits.duration + Duration::from_millis(1));
    }
});
