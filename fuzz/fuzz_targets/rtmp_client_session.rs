//! A client past the handshake takes anything from its server.

#![no_main]

use av::MediaKind;
use libfuzzer_sys::fuzz_target;
use proto::rtmp::Output;
use proto::rtmp::client::{ClientSession, Event, Purpose, Target};
use proto::rtmp::handshake::PACKET;

fuzz_target!(|data: &[u8]| {
    let Some((&choices, data)) = data.split_first() else { return };
    let purpose = if choices & 1 == 0 { Purpose::Play } else { Purpose::Publish };
    let target = Target::parse("rtmp://127.0.0.1/live/x").expect("an address");
    let mut session = ClientSession::new(purpose, target);
    let mut hello = vec![3];
    hello.resize(1 + 2 * PACKET, 0);
    session.handle_input(&hello).expect("a handshake");
    for bytes in data.chunks(if choices & 2 == 0 { data.len().max(1) } else { 13 }) {
        let done = session.handle_input(bytes);
        while let Some(output) = session.poll_output() {
            match output {
                Output::Event(Event::Started) => session.write_media(MediaKind::Video, 0, &[b"\x17"]),
                Output::Event(Event::Media(media)) => assert!(!media.body.is_empty()),
                Output::Event(_) | Output::Transmit(_) => {}
            }
        }
        if done.is_err() {
            break;
        }
    }
});
