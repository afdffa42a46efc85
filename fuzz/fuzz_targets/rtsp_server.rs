//! A camera's RTSP session takes anything from its client.

#![no_main]

use std::sync::Arc;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use proto::rtsp::server::{Event, Output, ServerSession, ServerSettings};

fuzz_target!(|data: &[u8]| {
    let settings = ServerSettings {
        name: "fuzz".into(),
        auth: None,
        session_timeout: Duration::from_secs(60),
        features: vec!["www.onvif.org/ver20/backchannel".into()],
    };
    let now = Instant::now();
    let mut session = ServerSession::new(Arc::new(settings), now);
    for bytes in data.chunks(100) {
        session.handle_input(now, bytes);
        loop {
            match session.poll_output() {
                // Features that were required are among those offered.
                Output::Event(Event::Describe { require, .. }) if !require.is_empty() => {
                    assert_eq!(require[0], "www.onvif.org/ver20/backchannel");
                    session.describe(now, "v=0\r\nm=audio 0 RTP/AVP 0\r\na=sendonly\r\n");
                }
                Output::Event(Event::Describe { path, .. }) if path.len() % 2 == 0 => session.describe(now, "v=0\r\n"),
                Output::Event(Event::Setup { .. }) => session.accept_setup(now, 1, Some((2, 3))),
                Output::Event(Event::Play { .. }) => session.accept_play(now, &[(0, 1, 2)]),
                Output::Event(Event::Describe { .. }) => session.refuse(now, 404),
                Output::Event(Event::Closed(_)) => return,
                Output::Event(_) | Output::Transmit(_) => {}
                Output::Timeout(_) => break,
            }
        }
        assert!(session.tracks().count() <= 8);
    }
});
