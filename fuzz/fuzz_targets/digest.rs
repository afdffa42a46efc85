//! Digest: any challenge is answered or refused, any answer judged, and our two ends agree.

#![no_main]

use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use proto::digest::{Authorizer, Challenge, Denied, Verifier};

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let now = Instant::now();
    let server = Verifier::new("fuzz", now).allow_basic();
    if let Ok(challenge) = Challenge::parse(text.lines()) {
        let header = Authorizer::new("admin", "secret").authorize(&challenge, "GET", "/");
        assert!(!header.contains(['\r', '\n']));
        assert!(challenge.is_basic() || !header.contains("secret"));
    }
    let judged = server.verify(now, Some(&text), "GET", "/", |_| Some("a password that is not in the corpus".into()));
    assert_eq!(judged, Err(Denied::Bad));

    let Some((user, password)) = text.split_once('\n') else { return };
    if text.len() < 500 && !user.contains(char::is_control) {
        let offers = server.challenges(now, Denied::Missing);
        let challenge = Challenge::parse(offers.iter().map(String::as_str)).expect("our own challenge");
        let header = Authorizer::new(user, password).authorize(&challenge, "GET", "/");
        let judged = server.verify(now, Some(&header), "GET", "/", |_| Some(password.to_owned()));
        assert_eq!(judged.as_deref(), Ok(user));
    }
});
