//! Client and server against each other in memory, and each against the other's oddities.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use av::{CodecParameters, G711Law, G711Parameters, Track, TrackId};
use bytes::Bytes;

use super::client::{self, ClientSession, ClientSettings};
use super::server::{self, Auth, CloseReason, Event, ServerSession, ServerSettings, control};
use super::*;
use crate::digest::Verifier;
use crate::sdp::Description;

const URL: &str = "rtsp://10.0.0.5:554/main?profile=1";

fn description() -> String {
    let parameters = CodecParameters::G711(G711Parameters { law: G711Law::A, sample_rate: 8000, channels: 1 });
    let track = |id| Track { id, codec: parameters.clone(), clock_rate: 8000 };
    Description::live("camera", &[track(TrackId(0)), track(TrackId(1))], control).write(1)
}

fn settings(now: Instant, login: bool) -> Arc<ServerSettings> {
    let auth = login.then(|| Auth {
        verifier: Verifier::new("cam", now).lifetime(Duration::from_secs(40)),
        password: Box::new(|user| (user == "admin").then(|| "secret".to_owned())),
    });
    let features = vec!["www.onvif.org/ver20/backchannel".to_owned()];
    Arc::new(ServerSettings { name: "test".into(), auth, session_timeout: Duration::from_secs(60), features })
}

fn client_settings(password: &str) -> ClientSettings {
    let login = Some(("admin".to_owned(), password.to_owned()));
    ClientSettings { url: URL.into(), login, user_agent: "test".into(), require: vec![], play: Play::live() }
}

/// Both ends, and what they told their owners.
struct Pair {
    now: Instant,
    client: ClientSession,
    server: ServerSession,
    /// Bytes handed over at a time.
    step: usize,
    told: Vec<client::Event>,
    asked: Vec<Event>,
    requests: Vec<String>,
}

impl Pair {
    fn new(password: &str, login: bool, step: usize) -> Pair {
        let now = Instant::now();
        let client = ClientSession::new(client_settings(password), now);
        let server = ServerSession::new(settings(now, login), now);
        Pair { now, client, server, step, told: vec![], asked: vec![], requests: vec![] }
    }

    /// Carries bytes both ways until nobody has any; the server's owner says yes to everything.
    fn run(&mut self) -> Result<(), client::Error> {
        loop {
            let mut quiet = true;
            loop {
                match self.client.poll_output() {
                    client::Output::Transmit(bytes) => {
                        quiet = false;
                        let text = String::from_utf8_lossy(&bytes);
                        self.requests.push(text.split(' ').next().unwrap_or_default().to_owned());
                        bytes.chunks(self.step).for_each(|chunk| self.server.handle_input(self.now, chunk));
                    }
                    client::Output::Event(event) => self.told.push(event),
                    client::Output::Timeout(_) => break,
                }
            }
            loop {
                match self.server.poll_output() {
                    server::Output::Transmit(bytes) => {
                        quiet = false;
                        for chunk in bytes.chunks(self.step) {
                            self.client.handle_input(self.now, chunk)?;
                        }
                    }
                    server::Output::Event(event) => {
                        quiet = false;
                        self.answer(&event);
                        self.asked.push(event);
                    }
                    server::Output::Timeout(_) => break,
                }
            }
            if quiet {
                return Ok(());
            }
        }
    }

    fn answer(&mut self, event: &Event) {
        match event {
            Event::Describe { .. } => self.server.describe(self.now, &description()),
            Event::Setup { track, .. } => self.server.accept_setup(self.now, *track as u32, Some((7000, 7001))),
            Event::Play { .. } => self.server.accept_play(self.now, &[(0, 1, 1000), (1, 2, 2000)]),
            _ => {}
        }
    }

    fn play(&mut self, transports: &[Transport]) -> Result<(), client::Error> {
        self.run()?;
        let wanted: Vec<_> = transports.iter().cloned().enumerate().collect();
        self.client.setup(self.now, &wanted);
        self.run()
    }

    fn pass(&mut self, seconds: u64) -> Result<(), client::Error> {
        self.now += Duration::from_secs(seconds);
        self.client.handle_timeout(self.now)?;
        self.server.handle_timeout(self.now);
        self.run()
    }
}

fn tcp(n: u8) -> Transport {
    Transport::Interleaved { rtp: 2 * n, rtcp: 2 * n + 1 }
}

#[test]
fn a_session_over_tcp_with_login_in_any_chunks() {
    for step in [1, 7, usize::MAX] {
        let mut pair = Pair::new("secret", true, step);
        pair.play(&[tcp(0), tcp(1)]).unwrap();
        assert!(pair.server.is_playing());
        assert_eq!(pair.requests, ["OPTIONS", "DESCRIBE", "DESCRIBE", "SETUP", "SETUP", "PLAY"]);
        let begin = vec![Some(1000), Some(2000)];
        assert_eq!(
            pair.told.last(),
            Some(&client::Event::Playing { begin, play: Play { range: Some(Range::Now), ..Play::default() } })
        );
        let ("main", "profile=1") = (match &pair.asked[0] {
            Event::Describe { path, query, .. } => (path.as_str(), query.as_str()),
            other => panic!("{other:?}"),
        }) else {
            panic!("{:?}", pair.asked[0])
        };
        assert!(
            matches!(&pair.asked[2], Event::Setup { track: 1, path, query, .. } if path == "main" && query == "profile=1")
        );

        // Media down, a report up, then pause and good-bye.
        let packet = [&message::interleaved_header(2, 3)[..], b"abc"].concat();
        pair.client.handle_input(pair.now, &packet).unwrap();
        pair.client.send_rtcp(1, b"report");
        pair.client.pause(pair.now);
        pair.run().unwrap();
        assert!(!pair.server.is_playing());
        let heard = client::Event::Packet { track: 1, rtcp: false, data: Bytes::from_static(b"abc") };
        assert!(pair.told.contains(&heard) && pair.told.contains(&client::Event::Paused));
        let report = Event::Packet { track: 1, rtcp: true, data: Bytes::from_static(b"report") };
        assert!(pair.asked.contains(&report));
        pair.client.play(pair.now);
        pair.run().unwrap();
        assert!(pair.server.is_playing());
        pair.client.teardown(pair.now);
        pair.run().unwrap();
        assert_eq!(pair.asked.last(), Some(&Event::Teardown));
        assert_eq!(pair.server.tracks().count(), 0);
    }
}

#[test]
fn a_session_over_udp_is_told_all_ports() {
    let mut pair = Pair::new("", false, usize::MAX);
    pair.play(&[Transport::Udp { client: (5000, 5001), server: None }]).unwrap();
    let agreed = Transport::Udp { client: (5000, 5001), server: Some((7000, 7001)) };
    assert!(pair.told.contains(&client::Event::SetUp { track: 0, transport: agreed.clone() }));
    assert_eq!(pair.server.transport(0), Some(&agreed));
    // Silence ends it after the timeout, a report in between does not.
    pair.server.keep_alive(pair.now + Duration::from_secs(50));
    pair.server.handle_timeout(pair.now + Duration::from_secs(100));
    assert!(pair.server.is_playing());
    pair.server.handle_timeout(pair.now + Duration::from_secs(110));
    assert!(!pair.server.is_playing());
    pair.run().unwrap();
    assert_eq!(pair.asked.last(), Some(&Event::Closed(CloseReason::Idle)));
}

#[test]
fn sessions_are_kept_alive_across_expiring_nonces() {
    let mut pair = Pair::new("secret", true, usize::MAX);
    pair.play(&[Transport::Udp { client: (5000, 5001), server: None }]).unwrap();
    for _ in 0..20 {
        pair.pass(30).unwrap();
        assert!(pair.server.is_playing());
    }
    let kept = pair.requests.iter().filter(|r| *r == "GET_PARAMETER").count();
    // Each second nonce of 40 s is too old at its second use: one request more.
    assert_eq!(kept, 30);
}

#[test]
fn a_client_that_does_not_read_keeps_its_session() {
    for answered in [true, false] {
        let mut pair = Pair::new("secret", true, usize::MAX);
        pair.play(&[tcp(0)]).unwrap();
        pair.client.stall(pair.now, true);
        let mut asked = Vec::new();
        for _ in 0..10 {
            pair.now += Duration::from_secs(30);
            pair.client.handle_timeout(pair.now).unwrap();
            while let client::Output::Transmit(bytes) = pair.client.poll_output() {
                asked.push(bytes);
            }
        }
        assert_eq!(asked.len(), 10, "one each half of the session's timeout");
        assert!(asked.iter().all(|bytes| bytes.starts_with(b"GET_PARAMETER ")));
        // It reads again: what was answered comes at once, or the server is gone.
        pair.client.stall(pair.now, false);
        if answered {
            asked.iter().for_each(|bytes| pair.server.handle_input(pair.now, bytes));
            pair.run().unwrap();
        }
        let waited = pair.pass(6);
        assert_eq!(waited.is_ok(), answered, "{waited:?}");
    }
}

#[test]
fn wrong_logins_are_refused_once_and_for_all() {
    let mut pair = Pair::new("wrong", true, usize::MAX);
    let error = pair.run().unwrap_err();
    assert_eq!((&error, error.step()), (&client::Error::LoginRefused, "auth"));
    assert_eq!(pair.requests, ["OPTIONS", "DESCRIBE", "DESCRIBE"]);
    assert_eq!(pair.asked, [], "nothing is shown without login");
    // Guessing on one connection ends it.
    let request = "DESCRIBE rtsp://h/main RTSP/1.0\r\nCSeq: 1\r\nAuthorization: Digest username=\"admin\"\r\n\r\n";
    for _ in 0..5 {
        pair.server.handle_input(pair.now, request.as_bytes());
    }
    let outputs: Vec<_> = std::iter::from_fn(|| match pair.server.poll_output() {
        server::Output::Timeout(_) => None,
        output => Some(output),
    })
    .collect();
    assert_eq!(outputs.last(), Some(&server::Output::Event(Event::Closed(CloseReason::WrongLogins))));
    pair.server.describe(pair.now, "too late and harmless");
}

#[test]
fn servers_that_do_not_answer_time_out() {
    let now = Instant::now();
    let mut client = ClientSession::new(client_settings(""), now);
    let client::Output::Transmit(_) = client.poll_output() else { panic!("OPTIONS") };
    let client::Output::Timeout(at) = client.poll_output() else { panic!("a deadline") };
    client.handle_timeout(at - Duration::from_millis(1)).unwrap();
    assert_eq!(client.handle_timeout(at), Err(client::Error::Timeout(Method::Options)));
}

/// The status of what a server says to one request on a fresh connection without login.
fn status_of(server: &mut ServerSession, now: Instant, request: &str) -> (u16, Option<Event>) {
    server.handle_input(now, request.as_bytes());
    let (mut status, mut event) = (0, None);
    loop {
        match server.poll_output() {
            server::Output::Transmit(bytes) => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                status = text.split(' ').nth(1).unwrap().parse().unwrap();
            }
            server::Output::Event(asked) => event = Some(asked),
            server::Output::Timeout(_) => return (status, event),
        }
    }
}

#[test]
fn t19_a_session_belongs_to_its_connection() {
    let mut pair = Pair::new("", false, usize::MAX);
    pair.play(&[tcp(0)]).unwrap();
    let wire = {
        pair.client.play(pair.now);
        let client::Output::Transmit(bytes) = pair.client.poll_output() else { panic!("PLAY") };
        String::from_utf8(bytes.to_vec()).unwrap()
    };
    let mut thief = ServerSession::new(settings(pair.now, false), pair.now);
    for method in ["PLAY", "PAUSE", "TEARDOWN", "GET_PARAMETER"] {
        let stolen = wire.replace("PLAY", method);
        assert_eq!(status_of(&mut thief, pair.now, &stolen), (454, None), "{method}");
    }
    let id = wire.lines().find(|line| line.starts_with("Session")).unwrap();
    let setup = format!("SETUP rtsp://h/main/trackID=0 RTSP/1.0\r\nCSeq: 9\r\n{id}\r\nTransport: RTP/AVP/TCP\r\n\r\n");
    assert_eq!(status_of(&mut thief, pair.now, &setup), (454, None));
    assert!(pair.server.is_playing(), "the victim is unharmed");
}

#[test]
fn requests_out_of_place() {
    let now = Instant::now();
    let get = |lines: &str| {
        let mut server = ServerSession::new(settings(now, false), now);
        status_of(&mut server, now, &format!("{lines}\r\n\r\n"))
    };
    let setup = "SETUP rtsp://h/main/trackID=0 RTSP/1.0\r\nCSeq: 1\r\nTransport: ";
    assert_eq!(get("OPTIONS * RTSP/1.0\r\nCSeq: 1").0, 200);
    assert_eq!(get("OPTIONS * RTSP/1.0").0, 400);
    assert_eq!(get("RECORD rtsp://h/main RTSP/1.0\r\nCSeq: 1").0, 501);
    assert_eq!(get("PLAY rtsp://h/main RTSP/1.0\r\nCSeq: 1").0, 454);
    assert_eq!(get("GET_PARAMETER rtsp://h/main RTSP/1.0\r\nCSeq: 1").0, 200);
    assert_eq!(get("SETUP rtsp://h/main RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/AVP/TCP").0, 459);
    assert_eq!(get("SETUP rtsp://h/main/trackID=99 RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/AVP/TCP").0, 404);
    assert_eq!(get(&format!("{setup}RTP/AVP;multicast")).0, 461);
    assert_eq!(get(setup.trim_end_matches("Transport: ").trim_end()).0, 400);
    assert_eq!(get("DESCRIBE rtsp://h/ RTSP/1.0\r\nCSeq: 1\r\nRequire: x.y").0, 551);
    let (_, event) = get("DESCRIBE rtsp://h/ RTSP/1.0\r\nCSeq: 1\r\nRequire: www.onvif.org/ver20/backchannel");
    assert!(matches!(event, Some(Event::Describe { path, require, .. }) if path.is_empty() && require.len() == 1));
    assert_eq!(
        get("nonsense"),
        (
            400,
            Some(Event::Closed(CloseReason::Input(message::Error::Syntax {
                at: 0,
                what: "neither request nor status line"
            })))
        )
    );
}

#[test]
fn channels_must_not_clash() {
    let now = Instant::now();
    let mut server = ServerSession::new(settings(now, false), now);
    let setup = |track: usize, channels: &str| {
        format!(
            "SETUP rtsp://h/m/trackID={track} RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/AVP/TCP;interleaved={channels}\r\n\r\n"
        )
    };
    status_of(&mut server, now, &setup(0, "0-1"));
    server.accept_setup(now, 1, None);
    assert_eq!(status_of(&mut server, now, &setup(1, "1-2")).0, 461);
}

#[test]
fn who_asks_without_listening_is_cut_off() {
    let now = Instant::now();
    let mut server = ServerSession::new(settings(now, false), now);
    server.handle_input(now, b"DESCRIBE rtsp://h/ RTSP/1.0\r\nCSeq: 1\r\n\r\n");
    for _ in 0..100 {
        server.handle_input(now, &b"OPTIONS * RTSP/1.0\r\nCSeq: 2\r\n\r\n".repeat(100));
    }
    let (_, event) = status_of(&mut server, now, "");
    assert_eq!(event, Some(Event::Closed(CloseReason::Backlog)));
}

#[test]
fn a_connection_that_does_nothing_is_closed() {
    let now = Instant::now();
    let mut server = ServerSession::new(settings(now, false), now);
    let server::Output::Timeout(at) = server.poll_output() else { panic!("a deadline") };
    server.handle_timeout(at);
    assert_eq!(server.poll_output(), server::Output::Event(Event::Closed(CloseReason::Idle)));
}

/// Runs a client against answers written by hand, one for each request.
fn scripted(answers: &[&str]) -> (Vec<String>, Vec<client::Event>, Result<(), client::Error>) {
    let now = Instant::now();
    let mut client = ClientSession::new(client_settings("secret"), now);
    let (mut requests, mut events) = (Vec::new(), Vec::new());
    let mut answers = answers.iter();
    loop {
        match client.poll_output() {
            client::Output::Transmit(bytes) => {
                requests.push(String::from_utf8(bytes.to_vec()).unwrap());
                let Some(answer) = answers.next() else { return (requests, events, Ok(())) };
                if let Err(error) = client.handle_input(now, answer.as_bytes()) {
                    return (requests, events, Err(error));
                }
            }
            client::Output::Event(event) => {
                if matches!(event, client::Event::Described(_)) {
                    client.setup(now, &[(0, tcp(0))]);
                }
                events.push(event);
            }
            client::Output::Timeout(_) => return (requests, events, Ok(())),
        }
    }
}

const SDP: &str = "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track1\r\n";

fn described(headers: &str) -> String {
    format!("RTSP/1.0 200 OK\r\nCSeq: 2\r\n{headers}Content-Length: {}\r\n\r\n{SDP}", SDP.len())
}

#[test]
fn quirks_of_servers() {
    let setup = "RTSP/1.0 200 OK\r\nTransport: RTP/AVP/TCP;interleaved=4-5\r\nSession:  77 ;timeout=20\r\n\r\n";
    let play = "RTSP/1.0 200 OK\r\nCSeq: 4\r\nRTP-Info: url=track1;rtptime=5\r\n\r\n$\u{4}\0\u{3}abc";
    // No OPTIONS, no base, no CSeq at SETUP, other channels than asked, packets behind the answer.
    let (requests, events, result) =
        scripted(&["RTSP/1.0 501 Not Implemented\r\nCSeq: 1\r\n\r\n", &described(""), setup, play]);
    assert_eq!(result, Ok(()));
    assert!(requests[2].starts_with("SETUP rtsp://10.0.0.5:554/main?profile=1/track1 RTSP/1.0\r\n"), "{}", requests[2]);
    assert!(
        requests[3].contains("\r\nSession: 77\r\n")
            && requests[3].starts_with("PLAY rtsp://10.0.0.5:554/main?profile=1 ")
    );
    let packet = client::Event::Packet { track: 0, rtcp: false, data: Bytes::from_static(b"abc") };
    assert_eq!(events[2..], [client::Event::Playing { begin: vec![Some(5)], play: Play::default() }, packet]);

    // A base that is none is not used, one that is is.
    let ok = "RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n";
    let (requests, ..) = scripted(&[ok, &described("Content-Base: /main/\r\n"), setup]);
    assert!(requests[2].starts_with("SETUP rtsp://10.0.0.5:554/main?profile=1/track1 "));
    let (requests, ..) = scripted(&[ok, &described("Content-Base: RTSP://10.0.0.5/x/\r\n"), setup]);
    assert!(requests[2].starts_with("SETUP RTSP://10.0.0.5/x/track1 "));
}

#[test]
fn failures_name_their_step() {
    let ok = "RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n";
    for (answers, step) in [
        (vec!["HTTP/1.1 400\r\n\r\nx"], None),
        (vec![ok, "RTSP/1.0 404 Not Found\r\nCSeq: 2\r\n\r\n"], Some("describe")),
        (vec![ok, "RTSP/1.0 200 OK\r\nCSeq: 2\r\n\r\n"], Some("describe")),
        (vec![ok, "RTSP/1.0 302 Moved\r\nCSeq: 2\r\nLocation: rtsp://169.254.169.254/\r\n\r\n"], Some("describe")),
        (vec![ok, "RTSP/1.0 401 No\r\nCSeq: 2\r\n\r\n"], Some("auth")),
        (vec![ok, "RTSP/1.0 401 No\r\nCSeq: 2\r\nWWW-Authenticate: Negotiate\r\n\r\n"], Some("auth")),
        (vec![ok, &described(""), "RTSP/1.0 461 No\r\nCSeq: 3\r\n\r\n"], Some("setup")),
        (vec![ok, &described(""), "RTSP/1.0 200 OK\r\nCSeq: 3\r\nSession: 1\r\n\r\n"], Some("setup")),
        (vec![ok, &described(""), "RTSP/1.0 200 OK\r\nTransport: RTP/AVP/TCP\r\n\r\n"], Some("setup")),
        (vec![ok, "\u{1}"], Some("rtsp")),
    ] {
        let (_, _, result) = scripted(&answers);
        assert_eq!(result.as_ref().err().map(client::Error::step), step, "{answers:?} {result:?}");
    }
}

#[test]
fn redirects_are_not_followed() {
    let moved = "RTSP/1.0 301 Moved\r\nCSeq: 2\r\nLocation: rtsp://169.254.169.254/\r\n\r\n";
    let (requests, _, result) = scripted(&["RTSP/1.0 200 OK\r\n\r\n", moved]);
    assert_eq!(requests.len(), 2);
    let location = "rtsp://169.254.169.254/".to_owned();
    assert_eq!(result, Err(client::Error::Redirected { method: Method::Describe, location }));
}
