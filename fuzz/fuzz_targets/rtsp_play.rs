//! What PLAY asks for is written as it was read, and moments of any form are the same when read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::calendar;
use proto::isapi::path;
use proto::rtsp::message::{Message, Parser};
use proto::rtsp::Play;

fuzz_target!(|data: &[u8]| {
    let mut parser = Parser::default();
    parser.push(data);
    while let Ok(Some(message)) = parser.pull() {
        let Message::Request(request) = message else { continue };
        let play = Play::of(&request.headers);
        // The first writing cuts times to milliseconds; from then on nothing changes.
        let second = Play::of(&play.headers());
        assert_eq!(Play::of(&second.headers()), second);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(at) = calendar::parse(text) {
        let again = calendar::parse(&calendar::write(at));
        assert!(again.is_some_and(|again| at.0 - again.0 < 1000), "{text}");
        assert_eq!(calendar::parse(&calendar::write_basic(at)), again);
    }
    if let Some((track, query)) = text.split_once('?')
        && let Some((channel, sub, from, Some(to))) = path::parse_rtsp_track(track, query)
    {
        let written = path::rtsp_track(channel, sub, from, to);
        let (track, query) = written.split_once('?').expect("a query is written");
        assert!(path::parse_rtsp_track(track, query).is_some_and(|(again, ..)| again == channel));
    }
});
