//! RTSP messages: chunks do not matter, and what was read is written and read again the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::rtsp::message::{Error, Parser};
use proto::rtsp::{Message, Method};

fn parse(data: &[u8], step: usize) -> Result<Vec<Message>, Error> {
    let (mut parser, mut found) = (Parser::default(), Vec::new());
    for bytes in data.chunks(step) {
        parser.push(bytes);
        while let Some(message) = parser.pull()? {
            found.push(message);
        }
    }
    Ok(found)
}

fn write(message: &Message) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match message {
        Message::Request(request) if request.method != Method::Other => request.write(&mut out),
        Message::Response(response) => response.write(&mut out),
        _ => return None,
    }
    Some(out)
}

fuzz_target!(|data: &[u8]| {
    let whole = parse(data, data.len().max(1));
    assert_eq!(whole.is_err(), parse(data, 7).is_err());
    let Ok(whole) = whole else { return };
    assert_eq!(Ok(&whole), parse(data, 7).as_ref());
    for message in &whole {
        // The first writing leaves out control characters; from then on nothing changes.
        let Some(Ok(once)) = write(message).map(|wire| parse(&wire, 1 << 20)) else { continue };
        let [once] = &once[..] else { panic!("one message stays one: {once:?}") };
        let wire = write(once).expect("the same kind");
        assert_eq!(parse(&wire, 1 << 20).as_deref(), Ok(std::slice::from_ref(once)));
    }
});
