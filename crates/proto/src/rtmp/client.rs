//! The client's end of a connection: plays or publishes one stream.

use std::collections::VecDeque;

use av::MediaKind;
use av::container::amf0::Value;

use super::chunk::Message;
use super::link::Link;
use super::message::{Command, Control, disaggregate, kind, metadata};
use super::path::Hidden;
use super::server::Media;
use super::{Error, Fault, Output};

/// Milliseconds of media we say we buffer when playing; servers send that much at once.
const BUFFER_MS: u32 = 3000;
const DEFAULT_PORT: u16 = 1935;

/// A stream's address, cut as RTMP wants it.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// Host name or address, IPv6 without brackets.
    pub host: String,
    /// 1935 unless told.
    pub port: u16,
    /// Whether to speak TLS (`rtmps`).
    pub tls: bool,
    /// Everything of the path but its last part.
    pub app: String,
    /// The last part of the path, with the query.
    pub name: String,
}

impl Target {
    /// Reads `rtmp://host[:port]/app[/…]/name[?query]`; `None` for anything else.
    pub fn parse(address: &str) -> Option<Target> {
        let url = url::Url::parse(address).ok()?;
        let tls = match url.scheme() {
            "rtmp" => false,
            "rtmps" => true,
            _ => return None,
        };
        let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
        let (app, name) = url.path().trim_start_matches('/').rsplit_once('/')?;
        let name = url.query().map_or(name.to_owned(), |query| format!("{name}?{query}"));
        let port = url.port().unwrap_or(if tls { 443 } else { DEFAULT_PORT });
        (!host.is_empty() && !app.is_empty()).then(|| Target { host, port, tls, app: app.to_owned(), name })
    }

    fn tc_url(&self) -> String {
        let scheme = if self.tls { "rtmps" } else { "rtmp" };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("{scheme}://{host}:{}/{}", self.port, self.app)
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{:?}", self.tc_url(), Hidden(&self.name))
    }
}

/// What a client wants with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To receive it.
    Play,
    /// To send it.
    Publish,
}

/// News from the server.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Playing or publishing has begun; a publisher may write.
    Started,
    /// One audio or video message.
    Media(Media),
    /// What the server says about the stream (`onMetaData`).
    Metadata(Value),
    /// The server does not want. The connection is of no further use.
    Refused {
        /// Such as `NetStream.Play.StreamNotFound`.
        code: String,
        /// The server's words.
        description: String,
    },
    /// What we asked of footage by [`ClientSession::seek`] or [`ClientSession::pause`] was done: media of
    /// the new position follows, playing stands still, or goes on.
    Done(Trick),
    /// The server will not seek; playing goes on.
    SeekFailed,
    /// The stream is over.
    Ended,
}

/// What a player of footage does beside watching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trick {
    /// It went elsewhere.
    Seek,
    /// It stands still.
    Pause,
    /// It goes on.
    Resume,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Handshake,
    Connecting,
    Creating,
    Asking,
    Active,
    Over,
}

/// Numbers of our commands, for their answers.
mod transaction {
    pub const CONNECT: f64 = 1.0;
    pub const RELEASE: f64 = 2.0;
    pub const FC_PUBLISH: f64 = 3.0;
    pub const CREATE: f64 = 4.0;
    pub const START: f64 = 5.0;
}

/// One connection, seen from the client.
pub struct ClientSession {
    link: Link,
    target: Target,
    purpose: Purpose,
    state: State,
    stream_id: u32,
    events: VecDeque<Event>,
}

impl ClientSession {
    /// A session for a connection just made to the target's host and port.
    pub fn new(purpose: Purpose, target: Target) -> ClientSession {
        ClientSession {
            link: Link::client(),
            target,
            purpose,
            state: State::Handshake,
            stream_id: 0,
            events: VecDeque::new(),
        }
    }

    /// Takes bytes from the peer.
    ///
    /// # Errors
    /// When the conversation cannot go on.
    pub fn handle_input(&mut self, input: &[u8]) -> Result<(), Error> {
        let mut input = input;
        while self.state != State::Over {
            let message = self.link.read(&mut input)?;
            if self.state == State::Handshake && self.link.is_open() {
                self.connect();
            }
            let Some(message) = message else { break };
            self.on_message(&message).map_err(|fault| self.link.error(fault))?;
        }
        Ok(())
    }

    /// What to do next; `None` until there is more input or another call.
    pub fn poll_output(&mut self) -> Option<Output<Event>> {
        self.link.take_out().map(Output::Transmit).or_else(|| self.events.pop_front().map(Output::Event))
    }

    /// Sends one audio or video message, the body of an FLV tag in `parts`, 16 MiB at most.
    /// `timestamp` is in milliseconds and wraps. Nothing is sent before [`Event::Started`] or when playing.
    pub fn write_media(&mut self, kind: MediaKind, timestamp: u32, parts: &[&[u8]]) {
        if self.may_write() {
            self.link.write_media(self.stream_id, kind, timestamp, parts);
        }
    }

    /// Sends `onMetaData`. Nothing is sent before [`Event::Started`] or when playing.
    pub fn write_metadata(&mut self, metadata: Value) {
        if self.may_write() {
            self.link.write_data(self.stream_id, &["@setDataFrame".into(), "onMetaData".into(), metadata]);
        }
    }

    /// Asks for footage from this many milliseconds after its beginning on, §7.2.2.7.
    pub fn seek(&mut self, at_ms: u32) {
        if self.state == State::Active && self.purpose == Purpose::Play {
            self.link.write_command(self.stream_id, "seek", 0.0, &[Value::Null, f64::from(at_ms).into()]);
        }
    }

    /// Asks for a stand-still at `at_ms`, or to go on there, §7.2.2.8.
    pub fn pause(&mut self, pause: bool, at_ms: u32) {
        if self.state == State::Active && self.purpose == Purpose::Play {
            let arguments = [Value::Null, pause.into(), f64::from(at_ms).into()];
            self.link.write_command(self.stream_id, "pause", 0.0, &arguments);
        }
    }

    /// Says goodbye; the connection can be closed once this is transmitted.
    pub fn close(&mut self) {
        if matches!(self.state, State::Asking | State::Active) {
            let id = f64::from(self.stream_id).into();
            self.link.write_command(0, "deleteStream", 0.0, &[Value::Null, id]);
        }
        self.state = State::Over;
    }

    fn may_write(&self) -> bool {
        self.state == State::Active && self.purpose == Purpose::Publish
    }

    fn connect(&mut self) {
        self.state = State::Connecting;
        self.link.write_settings();
        let mut object = vec![
            ("app".into(), self.target.app.as_str().into()),
            ("flashVer".into(), "FMLE/3.0 (compatible; Fluorite)".into()),
            ("tcUrl".into(), self.target.tc_url().as_str().into()),
            ("fourCcList".into(), Value::StrictArray(["avc1", "hvc1", "mp4a"].map(Value::from).into())),
        ];
        if self.purpose == Purpose::Publish {
            object.insert(1, ("type".into(), "nonprivate".into()));
        }
        self.link.write_command(0, "connect", transaction::CONNECT, &[Value::Object(object)]);
    }

    fn create_stream(&mut self) {
        self.state = State::Creating;
        if self.purpose == Purpose::Publish {
            // Old servers want to be told which stream before it exists.
            let name = Value::from(self.target.name.as_str());
            self.link.write_command(0, "releaseStream", transaction::RELEASE, &[Value::Null, name.clone()]);
            self.link.write_command(0, "FCPublish", transaction::FC_PUBLISH, &[Value::Null, name]);
        }
        self.link.write_command(0, "createStream", transaction::CREATE, &[Value::Null]);
    }

    fn start(&mut self, stream_id: u32) {
        self.state = State::Asking;
        self.stream_id = stream_id;
        let name = Value::from(self.target.name.as_str());
        match self.purpose {
            Purpose::Play => {
                // -2: live, or recorded if there is no such live stream.
                self.link.write_command(stream_id, "play", transaction::START, &[Value::Null, name, (-2.0).into()]);
                Control::SetBufferLength(stream_id, BUFFER_MS).write(&mut self.link.out);
            }
            Purpose::Publish => {
                let arguments = [Value::Null, name, "live".into()];
                self.link.write_command(stream_id, "publish", transaction::START, &arguments);
            }
        }
    }

    fn on_message(&mut self, message: &Message) -> Result<(), Fault> {
        match message.kind {
            kind::COMMAND | kind::COMMAND_AMF3 => self.on_command(&Command::parse(message)?),
            kind::USER_CONTROL => {
                if Control::parse(message)? == Some(Control::StreamEof(self.stream_id)) {
                    self.end();
                }
            }
            kind::AGGREGATE => {
                self.events.extend(disaggregate(message).filter_map(|part| Media::of(&part)).map(Event::Media));
            }
            kind::DATA | kind::DATA_AMF3 => self.events.extend(metadata(message).map(Event::Metadata)),
            _ => self.events.extend(Media::of(message).map(Event::Media)),
        }
        Ok(())
    }

    fn on_command(&mut self, command: &Command) {
        let information = command.argument(1);
        let text = |key| information.get(key).and_then(Value::as_str).unwrap_or_default();
        match command.name.as_str() {
            "_result" if command.transaction == transaction::CONNECT && self.state == State::Connecting => {
                self.create_stream();
            }
            "_result" if command.transaction == transaction::CREATE && self.state == State::Creating => {
                self.start(information.as_number().unwrap_or(1.0) as u32);
            }
            // Of the rest only these are needed; servers without FCPublish say so.
            "_error"
                if [transaction::CONNECT, transaction::CREATE, transaction::START].contains(&command.transaction) =>
            {
                self.refuse(text("code"), text("description"));
            }
            "onStatus" => match (text("level"), text("code")) {
                (_, "NetStream.Seek.Notify") => self.events.push_back(Event::Done(Trick::Seek)),
                (_, "NetStream.Pause.Notify") => self.events.push_back(Event::Done(Trick::Pause)),
                (_, "NetStream.Unpause.Notify") => self.events.push_back(Event::Done(Trick::Resume)),
                (_, "NetStream.Seek.Failed") => self.events.push_back(Event::SeekFailed),
                ("error", code) => self.refuse(code, text("description")),
                (_, "NetStream.Play.Start" | "NetStream.Publish.Start") if self.state == State::Asking => {
                    self.state = State::Active;
                    self.events.push_back(Event::Started);
                }
                (_, "NetStream.Play.Stop" | "NetStream.Play.Complete" | "NetStream.Play.UnpublishNotify") => self.end(),
                _ => {}
            },
            _ => {}
        }
    }

    fn refuse(&mut self, code: &str, description: &str) {
        self.state = State::Over;
        self.events.push_back(Event::Refused { code: code.to_owned(), description: description.to_owned() });
    }

    fn end(&mut self) {
        self.state = State::Over;
        self.events.push_back(Event::Ended);
    }
}
