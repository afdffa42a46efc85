//! The server's end of a connection: one stream, played or published.
//!
//! `connect` and `createStream` are answered at once; `play` and `publish` become events, and what
//! the client sends meanwhile is held back until the owner answers with [`ServerSession::accept_play`],
//! [`ServerSession::accept_publish`] or [`ServerSession::reject`].
//!
//! To a player the owner sends media itself, on message stream [`STREAM_ID`] and in chunks of
//! [`CHUNK_SIZE`](super::CHUNK_SIZE) by [`chunk::write_message`](super::chunk::write_message), the same
//! bytes to everybody. The session then still reads commands. What it transmits from then on
//! (acknowledgements, answers to pings) may go between two messages, never into one.

use std::collections::VecDeque;
use std::fmt;

use av::MediaKind;
use av::container::amf0::Value;
use bytes::Bytes;

use super::chunk::{self, Message};
use super::link::{Link, status};
use super::message::{Command, Control, disaggregate, kind, metadata};
use super::path::Hidden;
use super::{Error, Fault, Output, StreamPath, WINDOW};

/// The one message stream of a connection.
pub const STREAM_ID: u32 = 1;
/// Longest message before a publisher was accepted, in bytes: commands, whose longest part is the
/// address.
const COMMAND_MAX: usize = 64 << 10;
/// Most bytes held back while a request waits for its answer: what a publisher that does not wait
/// sends within one read or two. Beyond that the connection ends.
const HELD_MAX: usize = 1 << 20;
/// Codecs by FourCC that a client may name.
const FOUR_CCS_MAX: usize = 64;

/// What a client told when it connected.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Connect {
    /// Application: the part of the address that the client takes for it.
    pub app: String,
    /// Address as the client was given it, more or less.
    pub tc_url: String,
    /// What it calls itself.
    pub flash_ver: String,
    /// FourCCs of codecs beyond the old ones that it understands, from `fourCcList` and
    /// `videoFourCcInfoMap`; `*` is any.
    pub four_ccs: Vec<String>,
    /// Further abilities of Enhanced RTMP v2 (`capsEx`): bit 0 reconnect request, 1 multitrack, 2 mod ex.
    pub caps_ex: u32,
}

impl Connect {
    /// Whether the client takes video of this FourCC (`hvc1`, `av01`, …) in enhanced messages.
    pub fn can_take(&self, four_cc: &str) -> bool {
        self.four_ccs.iter().any(|offered| offered == "*" || offered.eq_ignore_ascii_case(four_cc))
    }

    fn parse(object: &Value) -> Connect {
        let text = |key| object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut four_ccs: Vec<String> = Vec::new();
        if let Some(Value::StrictArray(list)) = object.get("fourCcList") {
            four_ccs.extend(list.iter().filter_map(Value::as_str).take(FOUR_CCS_MAX).map(str::to_owned));
        }
        if let Some(map) = object.get("videoFourCcInfoMap") {
            // Flags: 1 can decode, 2 can encode, 4 can forward.
            let takes = |flags: &Value| flags.as_number().is_some_and(|flags| flags as u32 & 0b101 != 0);
            let taken = map.pairs().iter().filter(|(_, flags)| takes(flags)).take(FOUR_CCS_MAX);
            four_ccs.extend(taken.map(|(four_cc, _)| four_cc.clone()));
        }
        let caps_ex = object.get("capsEx").and_then(Value::as_number).unwrap_or(0.0) as u32;
        Connect { app: text("app"), tc_url: text("tcUrl"), flash_ver: text("flashVer"), four_ccs, caps_ex }
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("app", &Hidden(&self.app))
            .field("tc_url", &Hidden(&self.tc_url))
            .field("flash_ver", &self.flash_ver)
            .field("four_ccs", &self.four_ccs)
            .field("caps_ex", &self.caps_ex)
            .finish()
    }
}

/// What a client wants or sends.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// It is there; already answered.
    Connect(Connect),
    /// It wants to play: answer with `accept_play` or `reject`.
    Play(StreamPath),
    /// It wants to publish: answer with `accept_publish` or `reject`.
    Publish(StreamPath),
    /// A player pauses (`true`) or goes on; already answered.
    Pause(bool),
    /// A player of footage wants to go on at this many milliseconds from its beginning: answer with
    /// `accept_seek` or `reject_seek`. Only the last one that came needs an answer.
    Seek(u32),
    /// One audio or video message of a publisher.
    Media(Media),
    /// What a publisher says about its stream (`onMetaData`).
    Metadata(Value),
    /// It is done with the stream; the connection has no further use.
    Closed,
}

/// One audio or video message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// Picture or sound.
    pub kind: MediaKind,
    /// Milliseconds, wrapping at 32 bits.
    pub timestamp: u32,
    /// Body of the FLV tag; never empty.
    pub body: Bytes,
}

impl Media {
    /// The media in a message, if it is such.
    pub(super) fn of(message: &Message) -> Option<Media> {
        let kind = match message.kind {
            kind::AUDIO => MediaKind::Audio,
            kind::VIDEO => MediaKind::Video,
            _ => return None,
        };
        // ffmpeg and OBS send empty audio messages; they say nothing.
        (!message.body.is_empty()).then(|| Media { kind, timestamp: message.timestamp, body: message.body.clone() })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Play,
    Publish,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing but `connect` is understood.
    New,
    Connected,
    /// The owner is asked; input is held.
    Asked(Role),
    /// What was recorded can be sought in, what happens now cannot.
    Playing {
        seekable: bool,
    },
    Publishing,
    /// Rejected, closed, ended or at fault: input is ignored.
    Over,
}

/// One connection, seen from the server.
pub struct ServerSession {
    link: Link,
    state: State,
    connect: Connect,
    events: VecDeque<Event>,
    held: Vec<u8>,
}

impl Default for ServerSession {
    fn default() -> ServerSession {
        ServerSession::new()
    }
}

impl ServerSession {
    /// A session for a connection that was just accepted.
    pub fn new() -> ServerSession {
        let mut link = Link::server();
        link.set_message_max(COMMAND_MAX);
        ServerSession {
            link,
            state: State::New,
            connect: Connect::default(),
            events: VecDeque::new(),
            held: Vec::new(),
        }
    }

    /// What the client told when it connected; empty before, and again once it plays.
    pub fn connect(&self) -> &Connect {
        &self.connect
    }

    /// Takes bytes from the peer.
    ///
    /// # Errors
    /// When the conversation cannot go on. A last word for the peer may still be polled, unless it plays.
    pub fn handle_input(&mut self, input: &[u8]) -> Result<(), Error> {
        let mut input = input;
        let done = self.read(&mut input);
        if let Err(error) = &done {
            if self.link.is_open() && !matches!(self.state, State::Playing { .. } | State::Over) {
                let information = status("error", "NetConnection.Call.Failed", &error.fault.to_string());
                self.link.write_command(0, "onStatus", 0.0, &[Value::Null, information]);
            }
            self.state = State::Over;
        }
        done
    }

    /// What to do next; `None` until there is more input or another call.
    pub fn poll_output(&mut self) -> Option<Output<Event>> {
        self.link.take_out().map(Output::Transmit).or_else(|| self.events.pop_front().map(Output::Event))
    }

    /// Lets the client play what happens now. The owner sends media after what this transmits.
    ///
    /// # Errors
    /// As [`ServerSession::handle_input`], from input held back.
    pub fn accept_play(&mut self) -> Result<(), Error> {
        self.play(false)
    }

    /// Lets the client play what was recorded, in which it may seek.
    ///
    /// # Errors
    /// As [`ServerSession::handle_input`], from input held back.
    pub fn accept_footage(&mut self) -> Result<(), Error> {
        self.play(true)
    }

    fn play(&mut self, seekable: bool) -> Result<(), Error> {
        if self.state != State::Asked(Role::Play) {
            return Ok(());
        }
        Control::StreamBegin(STREAM_ID).write(&mut self.link.out);
        self.write_status("status", "NetStream.Play.Reset", "playing and resetting");
        self.write_status("status", "NetStream.Play.Start", "started playing");
        // Flash keeps pictures from its owner without this; others want to see it.
        self.link.write_data(STREAM_ID, &["|RtmpSampleAccess".into(), true.into(), true.into()]);
        // A player says little from here on, and there are many of them: each keeps no more than it needs.
        self.connect = Connect::default();
        self.events.shrink_to_fit();
        self.link.shrink_to_fit();
        self.resume(State::Playing { seekable })
    }

    /// Tells a player that media from where it wanted follows, §7.2.2.7.
    pub fn accept_seek(&mut self) {
        if let State::Playing { .. } = self.state {
            self.write_status("status", "NetStream.Seek.Notify", "seeking as asked");
        }
    }

    /// Tells a player that it stays where it is.
    pub fn reject_seek(&mut self, description: &str) {
        if let State::Playing { .. } = self.state {
            self.write_status("error", "NetStream.Seek.Failed", description);
        }
    }

    /// Lets the client publish.
    ///
    /// # Errors
    /// As [`ServerSession::handle_input`], from input held back.
    pub fn accept_publish(&mut self) -> Result<(), Error> {
        if self.state != State::Asked(Role::Publish) {
            return Ok(());
        }
        Control::StreamBegin(STREAM_ID).write(&mut self.link.out);
        self.write_status("status", "NetStream.Publish.Start", "started publishing");
        self.link.set_message_max(chunk::MESSAGE_MAX);
        self.resume(State::Publishing)
    }

    /// Refuses what the client asked for, with a code such as `NetStream.Play.StreamNotFound` or
    /// `NetStream.Publish.BadName` and a text for its user. The connection is to be closed once this is
    /// transmitted.
    pub fn reject(&mut self, code: &str, description: &str) {
        if self.state != State::Over {
            self.write_status("error", code, description);
            self.state = State::Over;
            self.held = Vec::new();
        }
    }

    /// Tells a player that the stream is over, or that it has seen all that was recorded.
    pub fn end(&mut self) {
        let State::Playing { seekable } = self.state else { return };
        Control::StreamEof(STREAM_ID).write(&mut self.link.out);
        if seekable {
            let complete = status("status", "NetStream.Play.Complete", "all of it was played");
            self.link.write_data(STREAM_ID, &["onPlayStatus".into(), complete]);
            self.write_status("status", "NetStream.Play.Stop", "stopped playing");
        } else {
            self.write_status("status", "NetStream.Play.UnpublishNotify", "stream is over");
        }
        self.state = State::Over;
    }

    fn resume(&mut self, state: State) -> Result<(), Error> {
        self.state = state;
        let held = std::mem::take(&mut self.held);
        self.handle_input(&held)
    }

    fn read(&mut self, input: &mut &[u8]) -> Result<(), Error> {
        loop {
            match self.state {
                State::Over => return Ok(()),
                State::Asked(_) => {
                    if self.held.len() + input.len() > HELD_MAX {
                        return Err(self.link.error(Fault::OutOfPlace("media before publishing was allowed")));
                    }
                    self.held.extend_from_slice(input);
                    return Ok(());
                }
                _ => {}
            }
            let Some(message) = self.link.read(input)? else { return Ok(()) };
            self.on_message(&message).map_err(|fault| self.link.error(fault))?;
        }
    }

    fn on_message(&mut self, message: &Message) -> Result<(), Fault> {
        match message.kind {
            kind::COMMAND | kind::COMMAND_AMF3 => self.on_command(message.stream_id, &Command::parse(message)?)?,
            kind::AUDIO | kind::VIDEO if self.state == State::Publishing => {
                self.events.extend(Media::of(message).map(Event::Media));
            }
            kind::AGGREGATE if self.state == State::Publishing => {
                self.events.extend(disaggregate(message).filter_map(|part| Media::of(&part)).map(Event::Media));
            }
            kind::DATA | kind::DATA_AMF3 if self.state == State::Publishing => {
                self.events.extend(metadata(message).map(Event::Metadata));
            }
            // Media from who may not publish, shared objects and whatever else there is.
            _ => {}
        }
        Ok(())
    }

    fn on_command(&mut self, stream_id: u32, command: &Command) -> Result<(), Fault> {
        if self.state == State::New && command.name != "connect" {
            return Err(Fault::OutOfPlace("anything before connect"));
        }
        match command.name.as_str() {
            "connect" => {
                if self.state != State::New {
                    return Err(Fault::OutOfPlace("a second connect"));
                }
                self.state = State::Connected;
                self.on_connect(command);
            }
            // One stream a connection: it always has the same number.
            "createStream" => self.answer(command, &[Value::Null, f64::from(STREAM_ID).into()]),
            "play" => self.ask(command, Role::Play)?,
            "publish" => self.ask(command, Role::Publish)?,
            "pause" if matches!(self.state, State::Playing { .. }) => {
                let pause = command.argument(1).as_bool().unwrap_or(true);
                let code = if pause { "NetStream.Pause.Notify" } else { "NetStream.Unpause.Notify" };
                self.write_status("status", code, "as asked");
                self.events.push_back(Event::Pause(pause));
            }
            "seek" => match self.state {
                // A number that is none of milliseconds is one end or the other.
                State::Playing { seekable: true } => {
                    self.events.push_back(Event::Seek(command.argument(1).as_number().unwrap_or(0.0) as u32));
                }
                State::Playing { seekable: false } => self.reject_seek("live"),
                _ => {}
            },
            "closeStream" | "deleteStream" => {
                if matches!(self.state, State::Playing { .. } | State::Publishing) {
                    if self.state == State::Publishing {
                        self.write_status("status", "NetStream.Unpublish.Success", "stopped publishing");
                    }
                    self.state = State::Over;
                    self.events.push_back(Event::Closed);
                }
            }
            "FCPublish" => {
                self.link.write_command(
                    0,
                    "onFCPublish",
                    0.0,
                    &[Value::Null, status("status", "NetStream.Publish.Start", "go on")],
                );
                self.answer(command, &[Value::Null, Value::Undefined]);
            }
            "FCSubscribe" => {
                let go_on = status("status", "NetStream.Play.Start", "go on");
                self.link.write_command(0, "onFCSubscribe", 0.0, &[Value::Null, go_on]);
                self.answer(command, &[Value::Null, Value::Undefined]);
            }
            // A live stream has none.
            "getStreamLength" => self.answer(command, &[Value::Null, 0.0.into()]),
            // Answers to what we never ask, and what changes nothing: receiveAudio, setBufferTime, …
            "_result" | "_error" | "onStatus" => {}
            _ if stream_id == 0 => self.answer(command, &[Value::Null, Value::Undefined]),
            _ => {}
        }
        Ok(())
    }

    fn on_connect(&mut self, command: &Command) {
        let object = command.argument(0);
        self.connect = Connect::parse(object);
        self.link.write_settings();
        Control::PeerBandwidth(WINDOW).write(&mut self.link.out);
        let properties = Value::Object(vec![
            ("fmsVer".into(), "FMS/3,5,3,888".into()),
            ("capabilities".into(), 31.0.into()),
            ("mode".into(), 1.0.into()),
        ]);
        let mut information = status("status", "NetConnection.Connect.Success", "connected");
        if let Value::Object(pairs) = &mut information {
            // We answer in AMF0 also to those who would like AMF3.
            pairs.push(("objectEncoding".into(), 0.0.into()));
            if !self.connect.four_ccs.is_empty() {
                let ours = ["avc1", "hvc1", "mp4a"].map(Value::from);
                pairs.push(("fourCcList".into(), Value::StrictArray(ours.into())));
                pairs.push(("capsEx".into(), 0.0.into()));
            }
        }
        self.answer(command, &[properties, information]);
        self.events.push_back(Event::Connect(self.connect.clone()));
    }

    fn ask(&mut self, command: &Command, role: Role) -> Result<(), Fault> {
        if self.state != State::Connected {
            return Err(Fault::OutOfPlace("a second play or publish"));
        }
        let Some(name) = command.argument(1).as_str() else {
            return Err(Fault::OutOfPlace("play or publish without a name"));
        };
        let path = StreamPath::join(&self.connect.app, &self.connect.tc_url, name);
        self.state = State::Asked(role);
        self.events.push_back(match role {
            Role::Play => Event::Play(path),
            Role::Publish => Event::Publish(path),
        });
        Ok(())
    }

    fn answer(&mut self, command: &Command, arguments: &[Value]) {
        if command.transaction != 0.0 {
            self.link.write_command(0, "_result", command.transaction, arguments);
        }
    }

    fn write_status(&mut self, level: &str, code: &str, description: &str) {
        let information = status(level, code, description);
        self.link.write_command(STREAM_ID, "onStatus", 0.0, &[Value::Null, information]);
    }
}
