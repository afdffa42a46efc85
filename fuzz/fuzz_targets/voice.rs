#![no_main]
//! Voice files: whatever is uploaded is decoded within the limits or refused.

use std::time::Duration;

use av::voice::{Limits, decode};
use libfuzzer_sys::fuzz_target;

/// Decoders of others may panic: `decode` takes that for a damaged file. What panics in our own code is
/// a fault.
fn watch_our_own() {
    std::panic::set_hook(Box::new(|panic| {
        if panic.location().is_some_and(|at| !at.file().contains("/registry/")) {
            eprintln!("{panic}");
            std::process::abort();
        }
    }));
}

fuzz_target!(init: watch_our_own(), |file: &[u8]| {
    let limits = Limits { bytes: 1 << 20, duration: Duration::from_secs(5) };
    if let Ok(pcm) = decode(file, limits) {
        assert!(!pcm.samples.is_empty());
        assert!((8_000..=48_000).contains(&pcm.sample_rate));
        assert!(pcm.duration() < limits.duration + Duration::from_millis(1));
    }
});
