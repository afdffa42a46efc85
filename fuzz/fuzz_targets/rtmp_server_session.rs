//! A server past the handshake takes anything. Its owner says yes or no as the first byte has it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::rtmp::Output;
use proto::rtmp::handshake::PACKET;
use proto::rtmp::server::{Event, ServerSession};

fuzz_target!(|data: &[u8]| {
    let Some((&choices, data)) = data.split_first() else { return };
    let mut session = ServerSession::new();
    let mut hello = vec![3];
    hello.resize(1 + 2 * PACKET, 0);
    session.handle_input(&hello).expect("a handshake");
    let (mut publishing, mut transmitted) = (false, 0);
    let piece = if choices & 4 == 0 { data.len().max(1) } else { 11 };
    for bytes in data.chunks(piece) {
        let mut done = session.handle_input(bytes);
        while let Some(output) = session.poll_output() {
            match output {
                Output::Event(Event::Play(_)) if choices & 1 != 0 => done = done.and(session.accept_play()),
                Output::Event(Event::Publish(_)) if choices & 2 != 0 => {
                    publishing = true;
                    done = done.and(session.accept_publish());
                }
                Output::Event(Event::Play(_) | Event::Publish(_)) => session.reject("NetStream.Failed", "no"),
                Output::Event(Event::Media(media)) => assert!(publishing && !media.body.is_empty()),
                Output::Event(_) => {}
                Output::Transmit(bytes) => transmitted += bytes.len(),
            }
        }
        if done.is_err() {
            break;
        }
    }
    // No command of a few bytes makes us say much: the longest answer is the one to `connect`.
    assert!(transmitted < 8192 + 512 * data.len());
});
