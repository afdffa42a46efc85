//! Sessions against each other, and against what others send.

#![allow(clippy::unwrap_used)]

use av::MediaKind;
use av::container::amf0::Value;

use super::chunk::{CHUNK_SIZE_DEFAULT, Message, Reader, write_message};
use super::client::{ClientSession, Event as ClientEvent, Purpose, Target, Trick};
use super::handshake::PACKET;
use super::message::{Command, Control, kind, write_amf};
use super::server::{Event, Media, STREAM_ID, ServerSession};
use super::{CHUNK_SIZE, Error, Fault, Output};

const ADDRESS: &str = "rtmp://127.0.0.1:19350/v3/openlive/C12345678_1_1?expire=1&t=ab";

/// A client and a server with nothing but memory between them.
struct Pair {
    client: ClientSession,
    server: ServerSession,
    /// Longest piece that arrives at once.
    piece: usize,
}

impl Pair {
    fn new(purpose: Purpose, address: &str, piece: usize) -> Pair {
        let client = ClientSession::new(purpose, Target::parse(address).unwrap());
        Pair { client, server: ServerSession::new(), piece }
    }

    /// Carries bytes both ways until neither end has any; gives the events.
    fn run(&mut self) -> (Vec<ClientEvent>, Vec<Event>) {
        let (mut client_events, mut server_events) = (Vec::new(), Vec::new());
        loop {
            let mut quiet = true;
            while let Some(output) = self.client.poll_output() {
                quiet = false;
                match output {
                    Output::Transmit(bytes) => {
                        bytes.chunks(self.piece).for_each(|piece| self.server.handle_input(piece).unwrap());
                    }
                    Output::Event(event) => client_events.push(event),
                }
            }
            while let Some(output) = self.server.poll_output() {
                quiet = false;
                match output {
                    Output::Transmit(bytes) => {
                        bytes.chunks(self.piece).for_each(|piece| self.client.handle_input(piece).unwrap());
                    }
                    Output::Event(event) => server_events.push(event),
                }
            }
            if quiet {
                return (client_events, server_events);
            }
        }
    }
}

fn media(kind: MediaKind, timestamp: u32, body: &[u8]) -> Media {
    Media { kind, timestamp, body: body.to_vec().into() }
}

#[test]
fn play_from_handshake_to_end() {
    for piece in [1, 7, 1536, usize::MAX] {
        let mut pair = Pair::new(Purpose::Play, ADDRESS, piece);
        let (_, events) = pair.run();
        let [Event::Connect(connect), Event::Play(path)] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!(
            (connect.app.as_str(), connect.tc_url.as_str()),
            ("v3/openlive", "rtmp://127.0.0.1:19350/v3/openlive")
        );
        assert!(connect.can_take("hvc1") && !connect.can_take("av01"));
        assert_eq!((path.path.as_str(), path.query.as_str()), ("/v3/openlive/C12345678_1_1", "expire=1&t=ab"));

        pair.server.accept_play().unwrap();
        assert_eq!(pair.run(), (vec![ClientEvent::Started], vec![]));

        // The owner sends media past the session, in chunks of the size that was announced.
        let picture = vec![0x17; CHUNK_SIZE + 5];
        let mut block = Vec::new();
        write_message(&mut block, 6, kind::VIDEO, 0x0100_0000, STREAM_ID, &[&picture], CHUNK_SIZE);
        write_message(&mut block, 4, kind::AUDIO, 0x0100_0007, STREAM_ID, &[&[0xAF, 1, 2]], CHUNK_SIZE);
        block.chunks(piece.min(4096)).for_each(|piece| pair.client.handle_input(piece).unwrap());
        let expected =
            [media(MediaKind::Video, 0x0100_0000, &picture), media(MediaKind::Audio, 0x0100_0007, &[0xAF, 1, 2])];
        assert_eq!(pair.run(), (expected.map(ClientEvent::Media).into(), vec![]));

        pair.server.end();
        assert_eq!(pair.run(), (vec![ClientEvent::Ended], vec![]));
    }
}

#[test]
fn footage_is_sought_in_paused_and_played_to_its_end() {
    for piece in [1, usize::MAX] {
        let mut pair = Pair::new(Purpose::Play, "rtmp://h/v3/openpb/C12345678_1_1?begin=1", piece);
        pair.run();
        pair.server.accept_footage().unwrap();
        assert_eq!(pair.run(), (vec![ClientEvent::Started], vec![]));

        pair.client.seek(7);
        pair.client.seek(90_000);
        assert_eq!(pair.run(), (vec![], vec![Event::Seek(7), Event::Seek(90_000)]));
        pair.server.accept_seek();
        assert_eq!(pair.run(), (vec![ClientEvent::Done(Trick::Seek)], vec![]));
        pair.server.reject_seek("nothing was recorded then");
        assert_eq!(pair.run(), (vec![ClientEvent::SeekFailed], vec![]));

        pair.client.pause(true, 100);
        assert_eq!(pair.run(), (vec![ClientEvent::Done(Trick::Pause)], vec![Event::Pause(true)]));
        pair.client.pause(false, 100);
        assert_eq!(pair.run(), (vec![ClientEvent::Done(Trick::Resume)], vec![Event::Pause(false)]));

        pair.server.end();
        assert_eq!(pair.run(), (vec![ClientEvent::Ended], vec![]));
    }
}

#[test]
fn what_happens_now_cannot_be_sought_in() {
    let mut pair = Pair::new(Purpose::Play, ADDRESS, usize::MAX);
    pair.run();
    pair.server.accept_play().unwrap();
    pair.run();
    pair.client.seek(1000);
    assert_eq!(pair.run(), (vec![ClientEvent::SeekFailed], vec![]));
}

#[test]
fn publish_from_handshake_to_goodbye() {
    for piece in [1, 1000, usize::MAX] {
        let mut pair = Pair::new(Purpose::Publish, "rtmp://h/push/C12345678_1?key=k", piece);
        let (_, events) = pair.run();
        let Some(Event::Publish(path)) = events.last() else { panic!("{events:?}") };
        assert_eq!((path.path.as_str(), path.query.as_str()), ("/push/C12345678_1", "key=k"));

        // Too early: nobody may write yet.
        pair.client.write_media(MediaKind::Video, 0, &[b"early"]);
        pair.server.accept_publish().unwrap();
        assert_eq!(pair.run(), (vec![ClientEvent::Started], vec![]));

        let metadata = Value::EcmaArray(vec![("width".into(), 1920.0.into())]);
        let picture = vec![0x27; 200_000];
        pair.client.write_metadata(metadata.clone());
        pair.client.write_media(MediaKind::Video, u32::MAX, &[&picture[..9], &picture[9..]]);
        pair.client.write_media(MediaKind::Audio, 3, &[]);
        pair.client.close();
        let (_, events) = pair.run();
        let expected =
            [Event::Metadata(metadata), Event::Media(media(MediaKind::Video, u32::MAX, &picture)), Event::Closed];
        assert_eq!(events, expected);
    }
}

#[test]
fn refusal_reaches_the_client_by_name() {
    let mut pair = Pair::new(Purpose::Play, ADDRESS, usize::MAX);
    pair.run();
    pair.server.reject("NetStream.Play.StreamNotFound", "no such stream");
    let (events, _) = pair.run();
    let [ClientEvent::Refused { code, description }] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((code.as_str(), description.as_str()), ("NetStream.Play.StreamNotFound", "no such stream"));
    // What comes afterwards is nobody's business.
    assert_eq!(pair.server.handle_input(&[0xFF; 100]), Ok(()));
    assert_eq!(pair.server.poll_output(), None);
}

/// A server past the handshake, and its answers so far taken away.
fn shaken() -> ServerSession {
    let mut server = ServerSession::new();
    let mut hello = vec![3];
    hello.resize(1 + 2 * PACKET, 0);
    server.handle_input(&hello).unwrap();
    let Some(Output::Transmit(answer)) = server.poll_output() else { panic!() };
    assert_eq!(answer.len(), 1 + 2 * PACKET, "S0, S1 and S2 in one write");
    server
}

fn command(stream_id: u32, values: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_amf(&mut bytes, kind::COMMAND, stream_id, values, CHUNK_SIZE_DEFAULT);
    bytes
}

fn connect() -> Vec<u8> {
    command(0, &["connect".into(), 1.0.into(), Value::Object(vec![("app".into(), "push".into())])])
}

fn publish() -> Vec<u8> {
    command(1, &["publish".into(), 0.0.into(), Value::Null, "C12345678_1?key=k".into(), "live".into()])
}

fn events(server: &mut ServerSession) -> Vec<Event> {
    std::iter::from_fn(|| server.poll_output())
        .filter_map(|output| match output {
            Output::Event(event) => Some(event),
            Output::Transmit(_) => None,
        })
        .collect()
}

/// Everything transmitted, as messages.
fn transmitted(server: &mut ServerSession) -> Vec<Message> {
    let mut reader = Reader::new();
    let mut messages = Vec::new();
    while let Some(output) = server.poll_output() {
        if let Output::Transmit(bytes) = output {
            let mut bytes = &bytes[..];
            while let Some(message) = reader.read(&mut bytes).unwrap() {
                messages.push(message);
            }
        }
    }
    messages
}

#[test]
fn publisher_that_does_not_wait_loses_nothing() {
    let mut server = shaken();
    let mut bytes = [connect(), publish()].concat();
    write_message(&mut bytes, 6, kind::VIDEO, 0, 1, &[b"\x17\x00header"], CHUNK_SIZE_DEFAULT);
    // Longer than a command may be, and in several reads.
    write_message(&mut bytes, 6, kind::VIDEO, 40, 1, &[&[0x17; 100_000]], CHUNK_SIZE_DEFAULT);
    bytes.chunks(1000).for_each(|piece| server.handle_input(piece).unwrap());
    assert_eq!(events(&mut server).len(), 2, "connect and publish");
    server.accept_publish().unwrap();
    let expected = [media(MediaKind::Video, 0, b"\x17\x00header"), media(MediaKind::Video, 40, &[0x17; 100_000])];
    assert_eq!(events(&mut server), expected.map(Event::Media));
}

#[test]
fn what_is_held_back_is_bounded() {
    let mut server = shaken();
    server.handle_input(&[connect(), publish()].concat()).unwrap();
    let fault = (0..40).find_map(|_| server.handle_input(&[0; 65_536]).err()).map(|error| error.fault);
    assert!(matches!(fault, Some(Fault::OutOfPlace(_))), "{fault:?}");
}

#[test]
fn who_may_not_publish_cannot_send_long_messages() {
    let mut server = shaken();
    server.handle_input(&connect()).unwrap();
    let mut long = Vec::new();
    write_message(&mut long, 6, kind::VIDEO, 0, 1, &[&[0; 70_000]], CHUNK_SIZE_DEFAULT);
    let error = server.handle_input(&long).unwrap_err();
    assert_eq!(error.fault, Fault::MessageSize { length: 70_000, max: 65_536 });
    assert!(error.at > 1 + 2 * PACKET as u64);
}

#[test]
fn fault_is_told_to_the_peer() {
    let mut server = shaken();
    let error = server.handle_input(&command(0, &["createStream".into(), 1.0.into()])).unwrap_err();
    assert_eq!(error.fault, Fault::OutOfPlace("anything before connect"));
    let answer = Command::parse(&transmitted(&mut server)[0]).unwrap();
    assert_eq!(answer.name, "onStatus");
    assert_eq!(answer.argument(1).get("level"), Some(&"error".into()));
}

#[test]
fn other_protocols_end_at_the_first_byte() {
    let error = ServerSession::new().handle_input(b"GET / HTTP/1.1\r\n").unwrap_err();
    assert_eq!(error, Error { at: 0, fault: Fault::Version(b'G') });
}

#[test]
fn pings_and_windows_are_answered() {
    let mut server = shaken();
    let mut bytes = connect();
    Control::WindowSize(100).write(&mut bytes);
    Control::PingRequest(1234).write(&mut bytes);
    server.handle_input(&bytes).unwrap();
    let controls: Vec<_> =
        transmitted(&mut server).iter().filter_map(|message| Control::parse(message).unwrap()).collect();
    assert!(controls.contains(&Control::PingResponse(1234)), "{controls:?}");
    let received = (1 + 2 * PACKET + bytes.len()) as u32;
    assert!(controls.contains(&Control::Acknowledgement(received)), "{controls:?} without {received}");
}

#[test]
fn connect_tells_what_the_client_can_take() {
    // Enhanced RTMP v2: a list that wins by `*`, and a map whose flags say decode (1) or forward (4).
    let object = Value::Object(vec![
        ("app".into(), "live".into()),
        ("capsEx".into(), 3.0.into()),
        ("fourCcList".into(), Value::StrictArray(vec!["av01".into()])),
        (
            "videoFourCcInfoMap".into(),
            Value::Object(vec![("hvc1".into(), 1.0.into()), ("vp09".into(), 2.0.into()), ("avc1".into(), 4.0.into())]),
        ),
    ]);
    let mut server = shaken();
    server.handle_input(&command(0, &["connect".into(), 1.0.into(), object])).unwrap();
    let connect = server.connect().clone();
    let can = ["av01", "hvc1", "avc1", "vp09"].map(|four_cc| connect.can_take(four_cc));
    assert_eq!((can, connect.caps_ex), ([true, true, true, false], 3));
    let result = transmitted(&mut server).iter().find_map(|message| Command::parse(message).ok()).unwrap();
    assert!(matches!(result.argument(1).get("fourCcList"), Some(Value::StrictArray(_))));
}

#[test]
fn what_players_ask_beside_is_answered() {
    let mut server = shaken();
    let asked = [
        command(0, &["_checkbw".into(), 2.0.into(), Value::Null]),
        command(0, &["FCSubscribe".into(), 3.0.into(), Value::Null, "x".into()]),
        command(0, &["getStreamLength".into(), 4.0.into(), Value::Null, "x".into()]),
        command(0, &["createStream".into(), 5.0.into(), Value::Null]),
    ];
    server.handle_input(&[connect(), asked.concat()].concat()).unwrap();
    let results: Vec<_> = transmitted(&mut server)
        .iter()
        .filter_map(|message| Command::parse(message).ok())
        .filter(|command| command.name == "_result")
        .map(|command| (command.transaction, command.argument(1).as_number()))
        .collect();
    assert_eq!(results[1..], [(2.0, None), (3.0, None), (4.0, Some(0.0)), (5.0, Some(1.0))]);
}

#[test]
fn odd_script_data_is_passed_over() {
    let mut server = shaken();
    server.handle_input(&[connect(), publish()].concat()).unwrap();
    server.accept_publish().unwrap();
    events(&mut server);
    let mut bytes = Vec::new();
    write_message(&mut bytes, 5, kind::DATA, 0, 1, &[b"\x02\x00\x0aonMetaData\x11"], CHUNK_SIZE_DEFAULT);
    write_message(&mut bytes, 5, kind::DATA, 0, 1, &[b"\x02\x00\x0aonTextData\x05"], CHUNK_SIZE_DEFAULT);
    write_message(&mut bytes, 6, kind::VIDEO, 1, 1, &[b"\x27"], CHUNK_SIZE_DEFAULT);
    server.handle_input(&bytes).unwrap();
    assert_eq!(events(&mut server), [Event::Media(media(MediaKind::Video, 1, b"\x27"))]);
}

#[test]
fn no_debug_output_shows_a_key() {
    let mut server = shaken();
    server.handle_input(&[connect(), publish()].concat()).unwrap();
    let shown = format!("{:?}", events(&mut server));
    assert!(shown.contains("/push/C12345678_1?***") && !shown.contains("key=k"), "{shown}");
    assert!(!format!("{:?}", Target::parse(ADDRESS)).contains("t=ab"));
}

#[test]
fn targets_are_cut_at_the_last_slash() {
    let target = Target::parse(ADDRESS).unwrap();
    assert_eq!((target.host.as_str(), target.port), ("127.0.0.1", 19350));
    assert_eq!((target.app.as_str(), target.name.as_str()), ("v3/openlive", "C12345678_1_1?expire=1&t=ab"));
    let target = Target::parse("rtmps://[::1]/live/x").unwrap();
    assert_eq!((target.host.as_str(), target.port, target.tls), ("::1", 443, true));
    for bad in ["http://h/a/b", "rtmp://h", "rtmp://h/only", "rtmp:///a/b", ""] {
        assert_eq!(Target::parse(bad), None, "{bad}");
    }
}

/// What real clients sent to this server after the handshake, up to about the first media; owners'
/// answers are given where they came. Each must end in the same few events.
fn check_capture(capture: &[u8], expected: &[&str]) {
    for piece in [1, usize::MAX] {
        let mut server = shaken();
        let mut seen = Vec::new();
        for bytes in capture.chunks(piece) {
            server.handle_input(bytes).unwrap();
            while let Some(output) = server.poll_output() {
                match output {
                    Output::Event(Event::Connect(connect)) => {
                        seen.push(format!("{} {}", connect.app, connect.flash_ver))
                    }
                    Output::Event(Event::Play(path)) => {
                        seen.push(format!("play {} {}", path.path, path.query));
                        server.accept_play().unwrap();
                    }
                    Output::Event(Event::Publish(path)) => {
                        seen.push(format!("publish {} {}", path.path, path.query));
                        server.accept_publish().unwrap();
                    }
                    Output::Event(Event::Metadata(metadata)) => {
                        seen.push(format!("metadata {:?}", metadata.get("encoder").and_then(Value::as_str)));
                    }
                    Output::Event(Event::Media(media)) => {
                        seen.push(format!("{:?} {} {:02x?}", media.kind, media.timestamp, &media.body[..2]));
                    }
                    Output::Event(event) => seen.push(format!("{event:?}")),
                    Output::Transmit(_) => {}
                }
            }
        }
        assert_eq!(seen, expected);
    }
}

const PLAY: &str = "play /v3/openlive/C12345678_1_1 expire=1&id=2&t=ab&ev=100";

#[test]
fn ffmpeg5_plays() {
    check_capture(include_bytes!("testdata/ffmpeg5_play.bin"), &["v3/openlive LNX 9,0,124,2", PLAY, "Closed"]);
}

#[test]
fn rtmpdump_plays() {
    check_capture(include_bytes!("testdata/rtmpdump_play.bin"), &["v3/openlive LNX 10,0,32,18", PLAY, "Closed"]);
}

#[test]
fn gstreamer122_plays() {
    check_capture(include_bytes!("testdata/gstreamer122_play.bin"), &["v3/openlive LNX 10,0,32,18", PLAY]);
}

#[test]
fn ffmpeg5_publishes() {
    check_capture(
        include_bytes!("testdata/ffmpeg5_publish.bin"),
        &[
            "push FMLE/3.0 (compatible; Lavf59.27.100)",
            "publish /push/C12345678_1 key=abc",
            "metadata Some(\"Lavf59.27.100\")",
            "Video 0 [17, 00]",
            "Audio 0 [af, 00]",
            "Audio 0 [af, 01]",
        ],
    );
}

#[test]
fn gstreamer122_publishes() {
    check_capture(
        include_bytes!("testdata/gstreamer122_publish.bin"),
        &[
            "push LNX 10,0,32,18",
            "publish /push/G12345678_1 key=abc",
            "metadata Some(\"GStreamer 1.22.0 FLV muxer\")",
            "Video 0 [17, 00]",
        ],
    );
}
