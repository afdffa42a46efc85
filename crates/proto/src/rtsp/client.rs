//! The client's half of one RTSP connection: plays what one URL describes.
//!
//! It asks OPTIONS and DESCRIBE by itself and tells the description; the owner chooses media and
//! transports with [`ClientSession::setup`]; SETUP and PLAY follow, then packets, and the session is
//! kept alive. One request is under way at a time, as cameras want it.
//!
//! Deliberately not: following redirects (a camera must not send us elsewhere, T26), opening sockets.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::message::{self, Headers, Message, Method, Parser, Request, Response};
use super::play::Play;
use super::transport::{RtpInfo, Transport};
use crate::digest::{self, Authorizer, Challenge};
use crate::sdp::{self, Description};

/// How long a camera may take to answer: slow ones wake their encoder at SETUP.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Session timeout where the server names none (RFC 2326 §12.37).
const SESSION_TIMEOUT: Duration = Duration::from_secs(60);
/// Keep-alives are sent at half the timeout, but not more often than this whatever the server says.
const KEEP_ALIVE_MIN: Duration = Duration::from_secs(5);

/// What to play, and as whom.
#[derive(Clone)]
pub struct ClientSettings {
    /// `rtsp://host:port/path?query`; a login in it is left out of what is sent, and not used.
    pub url: String,
    /// User and password.
    pub login: Option<(String, String)>,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// Features that DESCRIBE, SETUP and PLAY require, such as `www.onvif.org/ver20/backchannel`.
    pub require: Vec<String>,
    /// What [`ClientSession::setup`] plays, and how.
    pub play: Play,
}

impl fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let login = self.login.as_ref().map(|(user, _)| (user, "***"));
        f.debug_struct("ClientSettings").field("url", &self.url).field("login", &login).finish_non_exhaustive()
    }
}

/// Why a session failed; it is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Bytes that are not RTSP.
    #[error("unreadable answer")]
    Message(#[from] message::Error),
    /// No answer in time.
    #[error("no answer to {0} within {ANSWER_TIMEOUT:?}")]
    Timeout(Method),
    /// Wrong login, or none for a server that wants one.
    #[error("login refused")]
    LoginRefused,
    /// A challenge we cannot answer.
    #[error("login impossible")]
    Challenge(#[from] digest::Error),
    /// A status of failure.
    #[error("{method} answered {status} {reason}")]
    Status {
        /// What was asked.
        method: Method,
        /// Status code.
        status: u16,
        /// Reason phrase, as sent.
        reason: String,
    },
    /// A redirect, which is not followed.
    #[error("{method} redirected to {location:?}")]
    Redirected {
        /// What was asked.
        method: Method,
        /// Where to, as sent.
        location: String,
    },
    /// The description cannot be read.
    #[error("description")]
    Description(#[from] sdp::Error),
    /// An answer without what it must have.
    #[error("answer to {method} without usable {header}")]
    Header {
        /// What was asked.
        method: Method,
        /// What is missing.
        header: &'static str,
    },
}

impl Error {
    /// The step that failed, in a word: `auth`, `describe`, `setup`, `play`.
    pub fn step(&self) -> &'static str {
        match self {
            Error::LoginRefused | Error::Challenge(_) => "auth",
            Error::Description(_) => "describe",
            Error::Message(_) => "rtsp",
            Error::Timeout(method)
            | Error::Status { method, .. }
            | Error::Redirected { method, .. }
            | Error::Header { method, .. } => match method {
                Method::Options | Method::Describe => "describe",
                Method::Setup => "setup",
                Method::Play => "play",
                _ => "keep alive",
            },
        }
    }
}

/// What the owner is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// What the URL offers: call [`ClientSession::setup`].
    Described(Description),
    /// A track was set up; over UDP the server's ports are in `transport`, if it told them.
    SetUp {
        /// Number of the track, in the order of [`ClientSession::setup`].
        track: usize,
        /// What was agreed.
        transport: Transport,
    },
    /// Media flows.
    Playing {
        /// For each track the timestamp at the start, where the server told it.
        begin: Vec<Option<u32>>,
        /// What is played and how, as far as the server told.
        play: Play,
    },
    /// A packet on the RTSP connection.
    Packet {
        /// Which track.
        track: usize,
        /// RTCP rather than RTP.
        rtcp: bool,
        /// The packet.
        data: Bytes,
    },
    /// PAUSE was answered.
    Paused,
}

/// What to do next; poll until `Timeout`.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send these bytes.
    Transmit(Bytes),
    /// Tell the owner.
    Event(Event),
    /// Nothing now; call [`ClientSession::handle_timeout`] then, or earlier with input.
    Timeout(Instant),
}

/// A request to be sent, or under way.
struct Exchange {
    method: Method,
    uri: String,
    headers: Headers,
    /// Which track a SETUP is for.
    track: usize,
    keep_alive: bool,
}

struct Underway {
    exchange: Exchange,
    cseq: u32,
    deadline: Instant,
    /// Attempts with a login.
    logins: u32,
}

struct Track {
    url: String,
    asked: Transport,
    agreed: Option<Transport>,
}

/// One connection.
pub struct ClientSession {
    settings: ClientSettings,
    parser: Parser,
    output: VecDeque<Output>,
    queue: VecDeque<Exchange>,
    underway: Option<Underway>,
    cseq: u32,
    authorizer: Option<Authorizer>,
    challenge: Option<Challenge>,
    /// The login was accepted before, so a further 401 is about the nonce.
    proven: bool,
    /// What relative control URLs are appended to.
    base: String,
    /// What PLAY and keep-alives are sent to.
    aggregate: String,
    description: Description,
    tracks: Vec<Track>,
    id: Option<String>,
    timeout: Duration,
    keep_alive_at: Option<Instant>,
    keep_alive_method: Method,
    /// The owner reads nothing for now, so no answer can come.
    stalled: bool,
    /// Last moment we were told of.
    now: Instant,
}

impl ClientSession {
    /// A session on a fresh connection; its first requests are ready to be polled.
    pub fn new(settings: ClientSettings, now: Instant) -> ClientSession {
        let url = sendable(&settings.url);
        let authorizer = settings.login.as_ref().map(|(user, password)| Authorizer::new(user, password));
        let mut session = ClientSession {
            settings,
            parser: Parser::default(),
            output: VecDeque::new(),
            queue: VecDeque::new(),
            underway: None,
            cseq: 0,
            authorizer,
            challenge: None,
            proven: false,
            base: url.clone(),
            aggregate: url.clone(),
            description: Description::default(),
            tracks: Vec::new(),
            id: None,
            timeout: SESSION_TIMEOUT,
            keep_alive_at: None,
            keep_alive_method: Method::GetParameter,
            stalled: false,
            now,
        };
        session.ask(Method::Options, url, Headers::default());
        session.describe(now);
        session
    }

    /// Asks for the description again: the cheapest proof that the server is there and lets us in.
    pub fn describe(&mut self, now: Instant) {
        self.now = now;
        let headers = self.requiring().with("Accept", "application/sdp");
        self.ask(Method::Describe, sendable(&self.settings.url), headers);
        self.advance();
    }

    /// Sets up media of the description (by their index there), numbers them as tracks from 0, and
    /// plays. [`Transport::Interleaved`] channels are a proposal; UDP ports must be bound already.
    pub fn setup(&mut self, now: Instant, wanted: &[(usize, Transport)]) {
        self.now = now;
        for (media, transport) in wanted {
            let control = self.description.media.get(*media).and_then(|media| media.control.as_deref());
            let url = control_url(&self.base, control);
            let headers = self.requiring().with("Transport", transport.to_string());
            self.ask(Method::Setup, url.clone(), headers);
            if let Some(exchange) = self.queue.back_mut() {
                exchange.track = self.tracks.len();
            }
            self.tracks.push(Track { url, asked: transport.clone(), agreed: None });
        }
        self.play(now);
    }

    /// Plays as the settings say, or goes on after a pause.
    pub fn play(&mut self, now: Instant) {
        self.now = now;
        let mut headers = self.requiring();
        headers.extend(self.settings.play.headers());
        self.ask(Method::Play, self.aggregate.clone(), headers);
        self.advance();
    }

    /// Plays something else, or otherwise; [`Event::Playing`] follows.
    pub fn play_with(&mut self, now: Instant, play: Play) {
        self.settings.play = play;
        self.play(now);
    }

    /// What was asked to be played last.
    pub fn playing(&self) -> &Play {
        &self.settings.play
    }

    /// Tells whether the owner reads from the connection. One that does not, because it cannot take more
    /// media, still sends: the session is kept alive, and answers that lie behind that media are waited for
    /// until it reads again.
    pub fn stall(&mut self, now: Instant, stalled: bool) {
        self.now = now;
        if self.stalled
            && !stalled
            && let Some(underway) = &mut self.underway
        {
            underway.deadline = now + ANSWER_TIMEOUT;
        }
        self.stalled = stalled;
    }

    /// Pauses; [`Event::Paused`] follows.
    pub fn pause(&mut self, now: Instant) {
        self.now = now;
        self.ask(Method::Pause, self.aggregate.clone(), Headers::default());
        self.advance();
    }

    /// Says good-bye: what comes out of [`ClientSession::poll_output`] next should be sent before
    /// the connection is closed; no answer need be awaited.
    pub fn teardown(&mut self, now: Instant) {
        self.now = now;
        self.queue.clear();
        self.underway = None;
        self.keep_alive_at = None;
        if self.id.is_some() {
            self.ask(Method::Teardown, self.aggregate.clone(), Headers::default());
            self.advance();
        }
    }

    /// Sends an RTCP packet of ours, if the track is interleaved.
    pub fn send_rtcp(&mut self, track: usize, data: &[u8]) {
        self.send_packet(track, true, data);
    }

    /// Sends an RTP packet to a back channel of the server, if the track is interleaved (ONVIF Streaming
    /// §5.3).
    pub fn send_rtp(&mut self, track: usize, data: &[u8]) {
        self.send_packet(track, false, data);
    }

    fn send_packet(&mut self, track: usize, is_rtcp: bool, data: &[u8]) {
        let agreed = self.tracks.get(track).and_then(|track| track.agreed.as_ref());
        if let Some(Transport::Interleaved { rtp, rtcp }) = agreed {
            let header = message::interleaved_header(if is_rtcp { *rtcp } else { *rtp }, data.len());
            self.output.push_back(Output::Transmit([&header, data].concat().into()));
        }
    }

    /// Takes bytes from the connection.
    ///
    /// # Errors
    /// [`Error`]: the session is over.
    pub fn handle_input(&mut self, now: Instant, bytes: &[u8]) -> Result<(), Error> {
        self.now = now;
        self.parser.push(bytes);
        while let Some(message) = self.parser.pull()? {
            match message {
                Message::Interleaved { channel, data } => self.handle_packet(channel, data),
                Message::Response(response) => self.handle_response(response)?,
                Message::Request(request) => self.handle_request(&request),
            }
        }
        Ok(())
    }

    /// To be called at the time [`Output::Timeout`] named.
    ///
    /// # Errors
    /// [`Error::Timeout`]: the server did not answer.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.now = now;
        if let Some(underway) = self.underway.as_ref().filter(|underway| underway.deadline <= now && !self.stalled) {
            return Err(Error::Timeout(underway.exchange.method));
        }
        if self.keep_alive_at.is_some_and(|at| at <= now) {
            self.schedule_keep_alive();
            self.ask(self.keep_alive_method, self.aggregate.clone(), Headers::default());
            if let Some(exchange) = self.queue.back_mut() {
                exchange.keep_alive = true;
            }
            // The answer to the last one is not read yet.
            self.underway.take_if(|underway| self.stalled && underway.exchange.keep_alive);
            self.advance();
        }
        Ok(())
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Output {
        let answer = self.underway.as_ref().filter(|_| !self.stalled).map(|underway| underway.deadline);
        let deadlines = answer.into_iter().chain(self.keep_alive_at);
        let next = deadlines.min().unwrap_or(self.now + SESSION_TIMEOUT);
        self.output.pop_front().unwrap_or(Output::Timeout(next))
    }

    fn requiring(&self) -> Headers {
        let require = (!self.settings.require.is_empty()).then(|| self.settings.require.join(", "));
        require.into_iter().fold(Headers::default(), |headers, require| headers.with("Require", require))
    }

    fn ask(&mut self, method: Method, uri: String, headers: Headers) {
        self.queue.push_back(Exchange { method, uri, headers, track: 0, keep_alive: false });
    }

    fn schedule_keep_alive(&mut self) {
        self.keep_alive_at = Some(self.now + (self.timeout / 2).max(KEEP_ALIVE_MIN));
    }

    /// Sends the next request, if none is under way.
    fn advance(&mut self) {
        if self.underway.is_none()
            && let Some(exchange) = self.queue.pop_front()
        {
            self.send(exchange, 0);
        }
    }

    fn send(&mut self, exchange: Exchange, logins: u32) {
        self.cseq += 1;
        let mut headers =
            Headers::default().with("CSeq", self.cseq.to_string()).with("User-Agent", &self.settings.user_agent);
        headers.extend(exchange.headers.clone());
        if let Some(id) = &self.id {
            headers.push("Session", id);
        }
        let mut logins = logins;
        if let (Some(challenge), Some(authorizer)) = (&self.challenge, &mut self.authorizer) {
            headers.push("Authorization", authorizer.authorize(challenge, exchange.method.as_str(), &exchange.uri));
            logins += 1;
        }
        let request = Request { method: exchange.method, uri: exchange.uri.clone(), headers, body: Bytes::new() };
        let mut wire = Vec::with_capacity(512);
        request.write(&mut wire);
        self.output.push_back(Output::Transmit(wire.into()));
        self.underway = Some(Underway { exchange, cseq: self.cseq, deadline: self.now + ANSWER_TIMEOUT, logins });
    }

    fn handle_packet(&mut self, channel: u8, data: Bytes) {
        let found = self.tracks.iter().enumerate().find_map(|(track, state)| match state.agreed {
            Some(Transport::Interleaved { rtp, rtcp }) if channel == rtp || channel == rtcp => {
                Some((track, channel == rtcp))
            }
            _ => None,
        });
        if let Some((track, rtcp)) = found {
            self.output.push_back(Output::Event(Event::Packet { track, rtcp, data }));
        }
    }

    /// Some servers ask whether we are there.
    fn handle_request(&mut self, request: &Request) {
        let status = match request.method {
            Method::Options | Method::GetParameter | Method::SetParameter => 200,
            _ => 501,
        };
        let cseq = request.headers.cseq().unwrap_or(0).to_string();
        let response = Response { headers: Headers::default().with("CSeq", cseq), ..Response::new(status) };
        let mut wire = Vec::new();
        response.write(&mut wire);
        self.output.push_back(Output::Transmit(wire.into()));
    }

    fn handle_response(&mut self, response: Response) -> Result<(), Error> {
        let Some(underway) = self.underway.take() else { return Ok(()) };
        // Some cameras leave CSeq out or write nonsense; only an older number is surely another's answer.
        if response.headers.cseq().is_some_and(|cseq| cseq < underway.cseq) {
            self.underway = Some(underway);
            return Ok(());
        }
        let method = underway.exchange.method;
        match response.status {
            100..=199 => {
                self.underway = Some(underway);
                return Ok(());
            }
            200..=299 => {
                self.proven |= underway.logins > 0;
                self.handle_success(&underway.exchange, &response)?;
            }
            401 => return self.handle_unauthorized(underway, &response),
            300..=399 => {
                let location = response.headers.get("Location").unwrap_or_default().to_owned();
                return Err(Error::Redirected { method, location });
            }
            // What is only asked out of politeness may fail. A lost session is told by 454.
            status if method == Method::Options || underway.exchange.keep_alive && status != 454 => {
                self.keep_alive_method = Method::Options;
            }
            status => return Err(Error::Status { method, status, reason: response.reason }),
        }
        self.advance();
        Ok(())
    }

    fn handle_unauthorized(&mut self, underway: Underway, response: &Response) -> Result<(), Error> {
        if self.authorizer.is_none() {
            return Err(Error::LoginRefused);
        }
        let challenge = Challenge::parse(response.headers.get_all("WWW-Authenticate"))?;
        // A second attempt only when the nonce was at fault; some cameras do not say `stale`.
        let nonce_at_fault = challenge.stale() || self.proven;
        if underway.logins > 1 || underway.logins == 1 && !nonce_at_fault {
            return Err(Error::LoginRefused);
        }
        self.challenge = Some(challenge);
        self.send(underway.exchange, underway.logins);
        Ok(())
    }

    fn handle_success(&mut self, exchange: &Exchange, response: &Response) -> Result<(), Error> {
        let headers = &response.headers;
        match exchange.method {
            Method::Options if !exchange.keep_alive => {
                let mut public = headers.get_all("Public").flat_map(|list| list.split(','));
                if !public.any(|method| method.trim() == Method::GetParameter.as_str()) {
                    self.keep_alive_method = Method::Options;
                }
            }
            Method::Describe => {
                self.description = Description::parse(&response.body)?;
                let given = headers.get("Content-Base").or_else(|| headers.get("Content-Location"));
                if let Some(base) = given.map(sendable).filter(|base| is_rtsp(base)) {
                    self.base = base;
                }
                self.aggregate = control_url(&self.base, self.description.control.as_deref());
                self.output.push_back(Output::Event(Event::Described(self.description.clone())));
            }
            Method::Setup => {
                let missing = |header| Error::Header { method: Method::Setup, header };
                let track = self.tracks.get_mut(exchange.track).ok_or(missing("track"))?;
                let answer = headers.get("Transport").and_then(|header| track.asked.answered(header));
                let transport = answer.ok_or(missing("Transport"))?.transport;
                track.agreed = Some(transport.clone());
                let id = headers.session().ok_or(missing("Session"))?;
                self.id.get_or_insert_with(|| id.to_owned());
                if let Some(timeout) = headers.get("Session").and_then(session_timeout) {
                    self.timeout = timeout;
                }
                self.output.push_back(Output::Event(Event::SetUp { track: exchange.track, transport }));
            }
            Method::Play => {
                self.schedule_keep_alive();
                let infos = headers.get("RTP-Info").map(RtpInfo::parse).unwrap_or_default();
                let begin = self
                    .tracks
                    .iter()
                    .enumerate()
                    .map(|(index, track)| begin_of(track, index, &infos, self.tracks.len()));
                let (begin, play) = (begin.collect(), Play::of(headers));
                self.output.push_back(Output::Event(Event::Playing { begin, play }));
            }
            Method::Pause => self.output.push_back(Output::Event(Event::Paused)),
            _ => {}
        }
        Ok(())
    }
}

/// The timestamp `RTP-Info` has for a track: by URL, else by position where all tracks are listed.
fn begin_of(track: &Track, index: usize, infos: &[RtpInfo], tracks: usize) -> Option<u32> {
    let last = |url: &str| url.trim_end_matches('/').rsplit('/').next().map(str::to_owned);
    let by_url = infos.iter().find(|info| info.url == track.url || last(&info.url) == last(&track.url));
    by_url.or_else(|| infos.get(index).filter(|_| infos.len() == tracks))?.timestamp
}

fn session_timeout(header: &str) -> Option<Duration> {
    let mut parameters = header.split(';').skip(1).filter_map(|part| part.trim().split_once('='));
    let (_, seconds) = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("timeout"))?;
    let seconds: u64 = seconds.trim().parse().ok().filter(|s| *s > 0)?;
    // Beyond a day it makes no difference.
    Some(Duration::from_secs(seconds.min(86_400)))
}

fn is_rtsp(url: &str) -> bool {
    url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("rtsp://"))
}

/// A URL as it may stand in a request line: without login, fragment, blanks and control characters.
fn sendable(url: &str) -> String {
    let clean: String = url.trim().chars().filter(|c| !c.is_control() && *c != ' ').collect();
    let Some((scheme, rest)) = clean.split_once("://") else { return clean };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let path = path.split('#').next().unwrap_or(path);
    format!("{scheme}://{host}{path}")
}

/// Where a control attribute leads. Relative ones are appended to the base, query and all, as
/// cameras expect, rather than resolved by RFC 3986.
fn control_url(base: &str, control: Option<&str>) -> String {
    match control.map(sendable) {
        None => base.to_owned(),
        Some(control) if control.is_empty() || control == "*" => base.to_owned(),
        Some(control) if is_rtsp(&control) => control,
        Some(control) => format!("{}/{}", base.trim_end_matches('/'), control.trim_start_matches('/')),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn control_urls_of_cameras() {
        for (base, control, expected) in [
            ("rtsp://h/main", None, "rtsp://h/main"),
            ("rtsp://h/main/", Some("*"), "rtsp://h/main/"),
            ("rtsp://h/main/", Some("trackID=1"), "rtsp://h/main/trackID=1"),
            ("rtsp://h/main", Some("/trackID=1"), "rtsp://h/main/trackID=1"),
            // Hikvision play-back: the track goes behind the query.
            ("rtsp://h/t/101?starttime=1Z/", Some("trackID=video"), "rtsp://h/t/101?starttime=1Z/trackID=video"),
            // A camera behind NAT names itself by its own address.
            ("rtsp://h/main", Some("rtsp://192.168.1.9:554/main/t1"), "rtsp://192.168.1.9:554/main/t1"),
            ("rtsp://h/main", Some("rtsp://u:p@h/x y\r\nz#f"), "rtsp://h/xyz"),
        ] {
            assert_eq!(control_url(base, control), expected);
        }
    }

    #[test]
    fn logins_stay_out_of_urls_and_logs() {
        assert_eq!(sendable("rtsp://admin:p@ss@h:554/a@b"), "rtsp://h:554/a@b");
        let settings = ClientSettings {
            url: "rtsp://h/".into(),
            login: Some(("admin".into(), "secret".into())),
            user_agent: String::new(),
            require: vec![],
            play: Play::default(),
        };
        assert!(!format!("{settings:?}").contains("secret"));
    }

    #[test]
    fn timeouts_of_sessions() {
        for (header, expected) in [
            ("12;timeout=30", Some(30)),
            ("12 ; Timeout = 30", Some(30)),
            ("12", None),
            ("12;timeout=0", None),
            ("12;timeout=x", None),
        ] {
            assert_eq!(session_timeout(header), expected.map(Duration::from_secs), "{header}");
        }
    }
}
