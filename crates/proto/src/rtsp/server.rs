//! The server's half of one RTSP connection, as a camera has it.
//!
//! The session asks its owner by [`Event`] and goes on when it is answered; requests are answered in
//! order, one at a time. Its identifier is good on the connection that made it and on no other.
//! The owner sends media itself: it knows the transport of each track from [`Event::Setup`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::message::{self, Headers, Message, Method, Parser, Request, Response};
use super::play::{Play, Range};
use super::transport::{RtpInfo, Transport};
use crate::digest::{Denied, Verifier};

/// Streams of one description: video, audio and some metadata.
const TRACKS_MAX: usize = 8;
/// Bytes a client may send ahead of our answers; more than a head and a body is no honest pipeline.
const BACKLOG_MAX: usize = message::HEAD_MAX + message::BODY_MAX;
/// A connection that has set up nothing is closed after this time.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Wrong logins on one connection before it is closed.
const WRONG_LOGINS_MAX: u32 = 5;

/// What all connections of a server share.
pub struct ServerSettings {
    /// The `Server` header.
    pub name: String,
    /// Who judges logins; `None` lets everybody in.
    pub auth: Option<Auth>,
    /// After this long without a sign of life a session over UDP ends. (Over TCP the connection is the sign.)
    pub session_timeout: Duration,
    /// Features a client may `Require`, such as `www.onvif.org/ver20/backchannel`.
    pub features: Vec<String>,
}

/// Tells the password of a user, if there is such a user.
pub type Passwords = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// A verifier and where it finds passwords.
pub struct Auth {
    /// Makes and judges digests.
    pub verifier: Verifier,
    /// Where it finds passwords.
    pub password: Passwords,
}

/// What the owner is asked or told.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Answer with [`ServerSession::describe`] or [`ServerSession::refuse`].
    Describe {
        /// Path of the URI without leading slash, as sent.
        path: String,
        /// Query of the URI, empty if none.
        query: String,
        /// Features the client requires, each of those we offer.
        require: Vec<String>,
    },
    /// Answer with [`ServerSession::accept_setup`] or [`ServerSession::refuse`].
    Setup {
        /// As in `Describe`.
        path: String,
        /// As in `Describe`.
        query: String,
        /// Which stream of the description; its `a=control` was [`control`] of this number.
        track: usize,
        /// What the client wants.
        transport: Transport,
    },
    /// Answer with [`ServerSession::accept_play`], [`ServerSession::accept_replay`] or [`ServerSession::refuse`].
    Play {
        /// What to play, and how.
        play: Play,
        /// Its number, by which packets tell which PLAY they answer (ONVIF Streaming §6).
        cseq: u32,
    },
    /// Stop sending until the next `Play`; already answered.
    Pause,
    /// A packet from the client: RTCP, or sound for a back channel.
    Packet {
        /// Which track.
        track: usize,
        /// RTCP rather than RTP.
        rtcp: bool,
        /// The packet.
        data: Bytes,
    },
    /// The session is over, the connection may go on.
    Teardown,
    /// Nothing more will come; close the connection after what is to be transmitted.
    Closed(CloseReason),
}

/// Why the server ends a connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// No sign of life.
    #[error("idle")]
    Idle,
    /// Too many wrong logins.
    #[error("too many wrong logins")]
    WrongLogins,
    /// Bytes that cannot be read.
    #[error("unreadable input")]
    Input(#[source] message::Error),
    /// More requests than answers.
    #[error("more than {BACKLOG_MAX} bytes sent ahead")]
    Backlog,
}

/// What to do next; poll until `Timeout`.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send these bytes.
    Transmit(Bytes),
    /// Ask or tell the owner.
    Event(Event),
    /// Nothing now; call [`ServerSession::handle_timeout`] then, or earlier with input.
    Timeout(Instant),
}

/// The `a=control` value of a track; what SETUP is sent to is the description's base and this.
pub fn control(track: usize) -> String {
    format!("trackID={track}")
}

/// Life of a session. Only `Playing` gets media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No session: nothing set up yet, or torn down.
    Init,
    Ready,
    Playing,
    Closed,
}

/// A request the owner is thinking about.
enum Asked {
    Describe,
    Setup { track: usize, transport: Transport },
    Play,
}

struct Waiting {
    asked: Asked,
    cseq: u32,
    uri: String,
}

/// One connection.
pub struct ServerSession {
    settings: Arc<ServerSettings>,
    parser: Parser,
    output: VecDeque<Output>,
    waiting: Option<Waiting>,
    phase: Phase,
    id: String,
    /// Path of the session's streams: all tracks are of one description.
    path: String,
    tracks: BTreeMap<usize, Transport>,
    wrong_logins: u32,
    /// Last sign of life.
    seen: Instant,
}

impl ServerSession {
    /// A fresh connection.
    pub fn new(settings: Arc<ServerSettings>, now: Instant) -> ServerSession {
        ServerSession {
            settings,
            parser: Parser::default(),
            output: VecDeque::new(),
            waiting: None,
            phase: Phase::Init,
            id: String::new(),
            path: String::new(),
            tracks: BTreeMap::new(),
            wrong_logins: 0,
            seen: now,
        }
    }

    /// Takes bytes from the connection. What is wrong with them comes out as answer or `Closed`.
    pub fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        if self.phase == Phase::Closed {
            return;
        }
        self.parser.push(bytes);
        self.advance(now);
        if self.waiting.is_some() && self.parser.buffered() > BACKLOG_MAX {
            self.close(CloseReason::Backlog);
        }
    }

    /// To be called at the time [`Output::Timeout`] named.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            self.close(CloseReason::Idle);
        }
    }

    /// Tells of life outside the connection: an RTCP report came over UDP.
    pub fn keep_alive(&mut self, now: Instant) {
        self.seen = now;
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Output {
        /// "Never", for a runtime's timer.
        const FAR: Duration = Duration::from_secs(86_400);
        self.output.pop_front().unwrap_or_else(|| Output::Timeout(self.deadline().unwrap_or(self.seen + FAR)))
    }

    /// Transport of a track that was set up.
    pub fn transport(&self, track: usize) -> Option<&Transport> {
        self.tracks.get(&track)
    }

    /// Tracks set up, in order.
    pub fn tracks(&self) -> impl Iterator<Item = (usize, &Transport)> {
        self.tracks.iter().map(|(track, transport)| (*track, transport))
    }

    /// Whether media is to flow.
    pub fn is_playing(&self) -> bool {
        self.phase == Phase::Playing
    }

    /// Answers `Describe` with a session description.
    ///
    /// # Panics
    /// If nothing, or something else, was asked.
    pub fn describe(&mut self, now: Instant, sdp: &str) {
        let Some(waiting) = self.answering() else { return };
        assert!(matches!(waiting.asked, Asked::Describe), "DESCRIBE was asked");
        let base = format!("{}/", waiting.uri.trim_end_matches('/'));
        let headers = Headers::default().with("Content-Base", base).with("Content-Type", "application/sdp");
        let body = Bytes::copy_from_slice(sdp.as_bytes());
        self.respond(waiting.cseq, Response { headers, body, ..Response::new(200) });
        self.advance(now);
    }

    /// Answers `Setup`. `server` is our pair of ports for UDP, ignored for TCP.
    ///
    /// # Panics
    /// If nothing, or something else, was asked, or UDP was and no ports are given.
    pub fn accept_setup(&mut self, now: Instant, ssrc: u32, server: Option<(u16, u16)>) {
        let Some(waiting) = self.answering() else { return };
        let Asked::Setup { track, mut transport } = waiting.asked else { panic!("SETUP was asked") };
        if let Transport::Udp { server: ports, .. } = &mut transport {
            *ports = Some(server.expect("UDP needs ports"));
        }
        if self.phase == Phase::Init {
            self.phase = Phase::Ready;
            self.id = hex::encode(rand::random::<[u8; 16]>());
            self.path = split_control(&waiting.uri).0.to_owned();
        }
        let headers = Headers::default()
            .with("Transport", format!("{transport};ssrc={ssrc:08X}"))
            .with("Session", format!("{};timeout={}", self.id, self.settings.session_timeout.as_secs()));
        self.tracks.insert(track, transport);
        self.respond(waiting.cseq, Response { headers, ..Response::new(200) });
        self.advance(now);
    }

    /// Answers `Play` of what happens now: for each track its next sequence number and the timestamp that
    /// all tracks have in common. Media may follow at once.
    ///
    /// # Panics
    /// If nothing, or something else, was asked.
    pub fn accept_play(&mut self, now: Instant, begin: &[(usize, u16, u32)]) {
        let live = Play { range: Some(Range::Now), ..Play::default() };
        self.accept_replay(now, &live, begin);
    }

    /// Answers `Play` of what was recorded: `play` is what is done, which may differ from what was asked;
    /// the timestamps are those of the start of its range.
    ///
    /// # Panics
    /// As [`ServerSession::accept_play`].
    pub fn accept_replay(&mut self, now: Instant, play: &Play, begin: &[(usize, u16, u32)]) {
        let Some(waiting) = self.answering() else { return };
        assert!(matches!(waiting.asked, Asked::Play), "PLAY was asked");
        let base = waiting.uri.trim_end_matches('/');
        let infos = begin.iter().map(|&(track, sequence, timestamp)| {
            let url = format!("{base}/{}", control(track));
            RtpInfo { url, sequence: Some(sequence), timestamp: Some(timestamp) }.to_string()
        });
        let mut headers = Headers::default().with("Session", &self.id);
        headers.extend(play.headers());
        headers.push("RTP-Info", infos.collect::<Vec<_>>().join(","));
        self.phase = Phase::Playing;
        self.respond(waiting.cseq, Response { headers, ..Response::new(200) });
        self.advance(now);
    }

    /// Answers whatever was asked with an error status, 400 to 599.
    ///
    /// # Panics
    /// If nothing was asked.
    pub fn refuse(&mut self, now: Instant, status: u16) {
        let Some(waiting) = self.answering() else { return };
        self.respond(waiting.cseq, Response::new(status));
        self.advance(now);
    }

    /// What was asked; `None` once the session is closed, when an answer comes too late to matter.
    fn answering(&mut self) -> Option<Waiting> {
        (self.phase != Phase::Closed).then(|| self.waiting.take().expect("an answer follows a question"))
    }

    /// The end of the current wait for life, if there is one.
    fn deadline(&self) -> Option<Instant> {
        let over_udp = || self.tracks.values().any(|t| matches!(t, Transport::Udp { .. }));
        match self.phase {
            Phase::Closed => None,
            Phase::Init => Some(self.seen + IDLE_TIMEOUT),
            // Players over TCP may be silent for as long as they take the media; a dead one blocks the socket.
            Phase::Ready | Phase::Playing => over_udp().then(|| self.seen + self.settings.session_timeout),
        }
    }

    fn close(&mut self, reason: CloseReason) {
        self.phase = Phase::Closed;
        self.waiting = None;
        self.output.push_back(Output::Event(Event::Closed(reason)));
    }

    fn respond(&mut self, cseq: u32, mut response: Response) {
        let mut headers = Headers::default().with("CSeq", cseq.to_string()).with("Server", &self.settings.name);
        headers.extend(std::mem::take(&mut response.headers));
        response.headers = headers;
        let mut wire = Vec::with_capacity(256 + response.body.len());
        response.write(&mut wire);
        self.output.push_back(Output::Transmit(wire.into()));
    }

    /// Works off what is buffered until the owner must be asked.
    fn advance(&mut self, now: Instant) {
        while self.waiting.is_none() && self.phase != Phase::Closed {
            match self.parser.pull() {
                Ok(Some(Message::Request(request))) => self.handle_request(now, request),
                Ok(Some(Message::Interleaved { channel, data })) => self.handle_packet(now, channel, data),
                // We ask nothing, so an answer is a player's mistake.
                Ok(Some(Message::Response(_))) => {}
                Ok(None) => return,
                Err(error) => {
                    self.respond(0, Response::new(400));
                    self.close(CloseReason::Input(error));
                }
            }
        }
    }

    fn handle_packet(&mut self, now: Instant, channel: u8, data: Bytes) {
        let found = self.tracks.iter().find_map(|(track, transport)| match *transport {
            Transport::Interleaved { rtp, rtcp } if channel == rtp || channel == rtcp => {
                Some((*track, channel == rtcp))
            }
            _ => None,
        });
        if let Some((track, rtcp)) = found {
            self.seen = now;
            self.output.push_back(Output::Event(Event::Packet { track, rtcp, data }));
        }
    }

    fn handle_request(&mut self, now: Instant, request: Request) {
        let Some(cseq) = request.headers.cseq() else {
            return self.respond(0, Response::new(400));
        };
        // OPTIONS shows nothing and is how players look whether anybody is there.
        if request.method != Method::Options
            && let Err(denied) = self.authorize(now, &request)
        {
            return self.deny(now, cseq, denied);
        }
        self.seen = now;
        let require = match self.required(&request.headers) {
            Ok(require) => require,
            Err(unknown) => {
                let headers = Headers::default().with("Unsupported", unknown);
                return self.respond(cseq, Response { headers, ..Response::new(551) });
            }
        };
        match self.ask(&request, require) {
            Ok(Some((asked, event))) => {
                self.waiting = Some(Waiting { asked, cseq, uri: request.uri });
                self.output.push_back(Output::Event(event));
            }
            Ok(None) => self.respond(cseq, self.simple_answer(request.method)),
            Err(status) => self.respond(cseq, Response::new(status)),
        }
        if request.method == Method::Teardown && self.phase == Phase::Init && !self.id.is_empty() {
            self.id.clear();
            self.output.push_back(Output::Event(Event::Teardown));
        }
    }

    /// What the owner must decide for this request; `None` where nothing is left to decide.
    fn ask(&mut self, request: &Request, require: Vec<String>) -> Result<Option<(Asked, Event)>, u16> {
        match request.method {
            Method::Options => Ok(None),
            Method::Describe => {
                let (path, query) = path_and_query(&request.uri);
                Ok(Some((Asked::Describe, Event::Describe { path, query, require })))
            }
            Method::Setup => self.ask_setup(request).map(Some),
            Method::Play => {
                self.in_session(&request.headers)?;
                let cseq = request.headers.cseq().unwrap_or_default();
                Ok(Some((Asked::Play, Event::Play { play: Play::of(&request.headers), cseq })))
            }
            Method::Pause => {
                self.in_session(&request.headers)?;
                self.phase = Phase::Ready;
                self.output.push_back(Output::Event(Event::Pause));
                Ok(None)
            }
            Method::Teardown => {
                self.in_session(&request.headers)?;
                self.phase = Phase::Init;
                self.tracks.clear();
                Ok(None)
            }
            // Keep-alives; some players send them before the session, without an identifier.
            Method::GetParameter | Method::SetParameter if request.headers.session().is_none() => Ok(None),
            Method::GetParameter | Method::SetParameter => self.in_session(&request.headers).map(|()| None),
            Method::Announce | Method::Record | Method::Redirect | Method::Other => Err(501),
        }
    }

    fn ask_setup(&mut self, request: &Request) -> Result<(Asked, Event), u16> {
        let (base, Some(track)) = split_control(&request.uri) else { return Err(459) };
        if self.phase == Phase::Playing {
            return Err(455);
        }
        if self.phase == Phase::Ready {
            // The second SETUP must name the session of the first: an identifier from elsewhere is none here.
            if request.headers.session().is_some_and(|id| id != self.id) {
                return Err(454);
            }
            if path_and_query(base) != path_and_query(&self.path) {
                return Err(455);
            }
        } else if request.headers.session().is_some() {
            return Err(454);
        }
        if track >= TRACKS_MAX {
            return Err(404);
        }
        let transport = request.headers.get("Transport").ok_or(400u16)?;
        let free = (2 * track as u8, 2 * track as u8 + 1);
        let transport = Transport::choose(transport, free).ok_or(461u16)?;
        if self.clashes(track, &transport) {
            return Err(461);
        }
        let (path, query) = path_and_query(base);
        let event = Event::Setup { path, query, track, transport: transport.clone() };
        Ok((Asked::Setup { track, transport }, event))
    }

    /// Whether another track has one of these channels.
    fn clashes(&self, track: usize, wanted: &Transport) -> bool {
        let Transport::Interleaved { rtp, rtcp } = wanted else { return false };
        self.tracks.iter().any(|(other, transport)| match transport {
            Transport::Interleaved { rtp: a, rtcp: b } => {
                *other != track && [a, b].iter().any(|c| *c == rtp || *c == rtcp)
            }
            Transport::Udp { .. } => false,
        })
    }

    fn in_session(&self, headers: &Headers) -> Result<(), u16> {
        match self.phase {
            Phase::Ready | Phase::Playing if headers.session() == Some(&self.id) => Ok(()),
            _ => Err(454),
        }
    }

    fn simple_answer(&self, method: Method) -> Response {
        let headers = match method {
            Method::Options => Headers::default()
                .with("Public", "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN, GET_PARAMETER, SET_PARAMETER"),
            _ if !self.id.is_empty() => Headers::default().with("Session", &self.id),
            _ => Headers::default(),
        };
        Response { headers, ..Response::new(200) }
    }

    fn authorize(&self, now: Instant, request: &Request) -> Result<(), Denied> {
        let Some(auth) = &self.settings.auth else { return Ok(()) };
        let header = request.headers.get("Authorization");
        let method = request.method.as_str();
        auth.verifier.verify(now, header, method, &request.uri, &auth.password).map(|_user| ())
    }

    fn deny(&mut self, now: Instant, cseq: u32, denied: Denied) {
        let Some(auth) = &self.settings.auth else { return };
        let offers = auth.verifier.challenges(now, denied);
        let headers = offers.iter().fold(Headers::default(), |headers, offer| headers.with("WWW-Authenticate", offer));
        self.respond(cseq, Response { headers, ..Response::new(401) });
        self.wrong_logins += u32::from(denied == Denied::Bad);
        if self.wrong_logins >= WRONG_LOGINS_MAX {
            self.close(CloseReason::WrongLogins);
        }
    }

    fn required(&self, headers: &Headers) -> Result<Vec<String>, String> {
        let all = headers.get_all("Require").chain(headers.get_all("Proxy-Require"));
        let names = all.flat_map(|value| value.split(',')).map(str::trim).filter(|name| !name.is_empty());
        names
            .map(|name| {
                if self.settings.features.iter().any(|f| f == name) {
                    Ok(name.to_owned())
                } else {
                    Err(name.to_owned())
                }
            })
            .collect()
    }
}

/// The URI without its last component, and the track that component names.
fn split_control(uri: &str) -> (&str, Option<usize>) {
    let (base, last) = uri.rsplit_once('/').unwrap_or(("", uri));
    let track = last.split_once('=').filter(|(name, _)| name.eq_ignore_ascii_case("trackID"));
    (base, track.and_then(|(_, number)| number.parse().ok()))
}

fn path_and_query(uri: &str) -> (String, String) {
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest.split_once('/').map_or("", |(_, path)| path));
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    (path.trim_matches('/').to_owned(), query.trim_end_matches('/').to_owned())
}
