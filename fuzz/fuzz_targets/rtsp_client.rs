//! A player's RTSP session and what follows it take anything from a camera.

#![no_main]

use std::time::Instant;

use av::UnixMicros;
use libfuzzer_sys::fuzz_target;
use proto::rtp::Receiver;
use proto::rtsp::{Play, Transport};
use proto::rtsp::client::{ClientSession, ClientSettings, Event, Output};

fuzz_target!(|data: &[u8]| {
    let now = Instant::now();
    let settings = ClientSettings {
        url: "rtsp://10.0.0.5/main".into(),
        login: Some(("admin".into(), "secret".into())),
        user_agent: "fuzz".into(),
        require: vec![],
        play: Play::live(),
    };
    let mut session = ClientSession::new(settings, now);
    let mut receiver = Receiver::new(now, &[], true);
    for bytes in data.chunks(100) {
        if session.handle_input(now, bytes).is_err() {
            return;
        }
        loop {
            match session.poll_output() {
                Output::Event(Event::Described(description)) => {
                    let (mut wanted, mut formats) = (Vec::new(), Vec::new());
                    for (index, media) in description.media.iter().enumerate().take(4) {
                        let Some(format) = media.format() else { continue };
                        let rtp = 2 * wanted.len() as u8;
                        wanted.push((index, Transport::Interleaved { rtp, rtcp: rtp + 1 }));
                        formats.push(format);
                    }
                    receiver = Receiver::new(now, &formats, formats.len() % 2 == 0);
                    session.setup(now, &wanted);
                }
                Output::Event(Event::Playing { begin, .. }) => {
                    begin
                        .iter()
                        .enumerate()
                        .for_each(|(track, at)| at.iter().for_each(|at| receiver.begin(track, *at)));
                }
                Output::Event(Event::Packet { track, rtcp, data }) => {
                    // What is wrong with a packet is said and forgotten.
                    let _ = match rtcp {
                        true => receiver.handle_rtcp(now, track, &data),
                        false => receiver.handle_rtp(now, UnixMicros(0), track, &data),
                    };
                    while receiver.poll_output().is_some() {}
                }
                Output::Transmit(wire) => {
                    let text = String::from_utf8_lossy(&wire);
                    assert!(!text.contains("secret"), "a digest never shows the password: {text}");
                }
                Output::Event(_) => {}
                Output::Timeout(_) => break,
            }
        }
    }
    receiver.reports(now);
});
