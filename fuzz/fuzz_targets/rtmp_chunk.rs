//! Messages do not depend on how their bytes arrive, and survive being written and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::rtmp::Fault;
use proto::rtmp::chunk::{CHUNK_SIZE_DEFAULT, Message, Reader, write_message};
use proto::rtmp::message::kind;

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Message>, Option<Fault>) {
    let mut reader = Reader::new();
    let mut messages = Vec::new();
    for mut piece in pieces {
        loop {
            match reader.read(&mut piece) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(fault) => return (messages, Some(fault)),
            }
        }
    }
    (messages, None)
}

fuzz_target!(|data: &[u8]| {
    let (messages, fault) = read(std::iter::once(data));
    assert_eq!(read(data.chunks(1)), (messages.clone(), fault));
    // Chunk sizes and aborts inside would be obeyed a second time.
    let plain = messages.iter().filter(|message| message.kind > kind::ABORT);
    let mut bytes = Vec::new();
    for message in plain.clone() {
        let (a, b) = message.body.split_at(message.body.len() / 3);
        write_message(&mut bytes, 70, message.kind, message.timestamp, message.stream_id, &[a, b], CHUNK_SIZE_DEFAULT);
    }
    let (again, fault) = read(bytes.chunks(7));
    assert_eq!(fault, None);
    assert!(again.iter().eq(plain));
});
