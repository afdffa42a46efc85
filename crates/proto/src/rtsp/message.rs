//! RTSP 1.0 messages and interleaved data on one byte stream.
//!
//! Follows RFC 2326 §4 (messages), §10.12 (interleaved binary data). Accepts, because cameras and
//! players send it: lines that end in LF alone, empty lines and zero bytes between messages, header
//! lines without a colon (skipped), folded headers, text that is not UTF-8, `HTTP/1.x` as protocol of
//! an answer, a missing reason phrase.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

/// Longest request or status line plus headers, bytes. A longer one ends the connection.
pub const HEAD_MAX: usize = 16 << 10;
/// Longest body, bytes: a session description is a few hundred, a DESCRIBE of an NVR a few thousand.
pub const BODY_MAX: usize = 64 << 10;
/// Header lines of one message. More end the connection.
const HEADERS_MAX: usize = 128;

/// What is wrong on the wire; the connection cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Head longer than [`HEAD_MAX`] or with too many headers.
    #[error("message head over its limit at byte {at}")]
    HeadTooLong {
        /// Bytes of the connection before this message.
        at: u64,
    },
    /// Body longer than [`BODY_MAX`].
    #[error("message body of {length} bytes over its limit at byte {at}")]
    BodyTooLong {
        /// Bytes of the connection before this message.
        at: u64,
        /// Length announced.
        length: u64,
    },
    /// Neither request, answer nor interleaved data.
    #[error("not RTSP at byte {at}: {what}")]
    Syntax {
        /// Bytes of the connection before this message.
        at: u64,
        /// What was found.
        what: &'static str,
    },
}

/// A method of RFC 2326 §10.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// What the other end can do; also a keep-alive.
    Options,
    /// Asks for the session description.
    Describe,
    /// Offers a session description; nobody sends it to us.
    Announce,
    /// Chooses one medium and its transport.
    Setup,
    /// Starts or resumes.
    Play,
    /// Stops for now.
    Pause,
    /// Ends the session.
    Teardown,
    /// Reads a parameter; empty, a keep-alive.
    GetParameter,
    /// Sets a parameter; empty, a keep-alive.
    SetParameter,
    /// Sends the client elsewhere; never followed.
    Redirect,
    /// Records; not ours.
    Record,
    /// Anything else.
    Other,
}

impl Method {
    const NAMED: [(Method, &'static str); 11] = [
        (Method::Options, "OPTIONS"),
        (Method::Describe, "DESCRIBE"),
        (Method::Announce, "ANNOUNCE"),
        (Method::Setup, "SETUP"),
        (Method::Play, "PLAY"),
        (Method::Pause, "PAUSE"),
        (Method::Teardown, "TEARDOWN"),
        (Method::GetParameter, "GET_PARAMETER"),
        (Method::SetParameter, "SET_PARAMETER"),
        (Method::Redirect, "REDIRECT"),
        (Method::Record, "RECORD"),
    ];

    /// The name on the wire; `?` for [`Method::Other`].
    pub fn as_str(self) -> &'static str {
        Method::NAMED.iter().find(|(m, _)| *m == self).map_or("?", |(_, name)| name)
    }

    /// The method of that name. Names are case-sensitive (§4.1).
    pub fn parse(name: &str) -> Method {
        Method::NAMED.iter().find(|(_, n)| *n == name).map_or(Method::Other, |(m, _)| *m)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Header fields in order of arrival.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// The first value of `name`, whatever its case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.get_all(name).next()
    }

    /// All values of `name`.
    pub fn get_all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// Appends a field. Control characters, which would end the line, are left out of the value.
    pub fn push(&mut self, name: impl Into<String>, value: impl AsRef<str>) {
        self.0.push((name.into(), value.as_ref().chars().filter(|c| !c.is_control()).collect()));
    }

    /// Appends a field, by value.
    pub fn with(mut self, name: impl Into<String>, value: impl AsRef<str>) -> Headers {
        self.push(name, value);
        self
    }

    /// Appends all fields of another set.
    pub fn extend(&mut self, other: Headers) {
        self.0.extend(other.0);
    }

    /// The number in `CSeq`.
    pub fn cseq(&self) -> Option<u32> {
        self.get("CSeq")?.trim().parse().ok()
    }

    /// The identifier in `Session`, without its parameters.
    pub fn session(&self) -> Option<&str> {
        self.get("Session").map(|s| s.split(';').next().unwrap_or(s).trim()).filter(|s| !s.is_empty())
    }
}

/// A request, of either side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is asked.
    pub method: Method,
    /// Of what: an absolute URI or `*`.
    pub uri: String,
    /// Header fields, without `Content-Length`, which [`Request::write`] adds.
    pub headers: Headers,
    /// Body, mostly empty.
    pub body: Bytes,
}

impl Request {
    /// Appends the bytes of the request.
    pub fn write(&self, out: &mut Vec<u8>) {
        // The URI may come from a session description: nothing in it may end the request line.
        let uri = self.uri.chars().filter(|c| !c.is_control() && *c != ' ');
        out.extend_from_slice(format!("{} {} RTSP/1.0\r\n", self.method, uri.collect::<String>()).as_bytes());
        write_rest(out, &self.headers, &self.body);
    }
}

/// An answer, of either side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status code, three digits.
    pub status: u16,
    /// Reason phrase, for people.
    pub reason: String,
    /// Header fields, without `Content-Length`, which [`Response::write`] adds.
    pub headers: Headers,
    /// Body, mostly empty.
    pub body: Bytes,
}

impl Response {
    /// An answer with the standard phrase and nothing else.
    pub fn new(status: u16) -> Response {
        Response { status, reason: reason(status).to_owned(), headers: Headers::default(), body: Bytes::new() }
    }

    /// Appends the bytes of the answer.
    pub fn write(&self, out: &mut Vec<u8>) {
        let reason = self.reason.chars().filter(|c| !c.is_control());
        out.extend_from_slice(format!("RTSP/1.0 {} {}\r\n", self.status, reason.collect::<String>()).as_bytes());
        write_rest(out, &self.headers, &self.body);
    }
}

fn write_rest(out: &mut Vec<u8>, headers: &Headers, body: &[u8]) {
    for (name, value) in headers.0.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("Content-Length")) {
        out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    if !body.is_empty() {
        out.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
}

/// RFC 2326 §7.1.1, of the codes used here.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        453 => "Not Enough Bandwidth",
        454 => "Session Not Found",
        455 => "Method Not Valid in This State",
        457 => "Invalid Range",
        459 => "Aggregate Operation Not Allowed",
        461 => "Unsupported Transport",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "RTSP Version Not Supported",
        551 => "Option Not Supported",
        _ => "Error",
    }
}

/// What travels on an RTSP connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A request.
    Request(Request),
    /// An answer.
    Response(Response),
    /// An RTP or RTCP packet (§10.12).
    Interleaved {
        /// Channel agreed in SETUP.
        channel: u8,
        /// The packet.
        data: Bytes,
    },
}

/// The four bytes before interleaved data: `$`, channel, length.
///
/// # Panics
/// If `length` does not fit 16 bits; packets are made far smaller.
pub fn interleaved_header(channel: u8, length: usize) -> [u8; 4] {
    let [hi, lo] = u16::try_from(length).expect("RTP packets are below 64 KiB").to_be_bytes();
    [b'$', channel, hi, lo]
}

/// Cuts a byte stream into messages. Holds at most one message and what was pushed after it.
#[derive(Debug, Default)]
pub struct Parser {
    buffer: BytesMut,
    /// Bytes of `buffer` already searched for the end of a head.
    searched: usize,
    /// A head whose body is not complete.
    head: Option<(Message, usize)>,
    /// Bytes of the connection before `buffer`.
    consumed: u64,
}

impl Parser {
    /// Takes bytes from the connection.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes pushed and not yet given out.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// The next whole message, or `None` until more bytes come.
    ///
    /// # Errors
    /// [`Error`]: the stream cannot be read any further.
    pub fn pull(&mut self) -> Result<Option<Message>, Error> {
        loop {
            if let Some((_, length)) = self.head {
                if self.buffer.len() < length {
                    return Ok(None);
                }
                let taken = self.take(length);
                return Ok(self.head.take().map(|(message, _)| with_body(message, taken)));
            }
            match self.buffer.first() {
                None => return Ok(None),
                // Line ends between messages, and zeros that one firmware pads its packets with.
                Some(b'\r' | b'\n' | 0) if self.searched == 0 => {
                    self.take(1);
                }
                Some(b'$') => {
                    let Some(&[_, channel, hi, lo]) = self.buffer.first_chunk() else { return Ok(None) };
                    let length = usize::from(u16::from_be_bytes([hi, lo]));
                    if self.buffer.len() < 4 + length {
                        return Ok(None);
                    }
                    self.take(4);
                    return Ok(Some(Message::Interleaved { channel, data: self.take(length) }));
                }
                Some(first) if !first.is_ascii_alphabetic() => {
                    return Err(Error::Syntax { at: self.consumed, what: "neither text nor interleaved data" });
                }
                Some(_) => {
                    let at = self.consumed;
                    let Some(length) = self.head_length()? else { return Ok(None) };
                    let head = self.take(length);
                    self.head = Some(parse_head(&head, at)?);
                }
            }
        }
    }

    fn take(&mut self, length: usize) -> Bytes {
        self.consumed += length as u64;
        self.searched = 0;
        self.buffer.split_to(length).freeze()
    }

    /// Length of the head with its empty line, once that has come.
    fn head_length(&mut self) -> Result<Option<usize>, Error> {
        let too_long = Error::HeadTooLong { at: self.consumed };
        let end = (self.searched..self.buffer.len()).find_map(|at| match self.buffer[at..] {
            [b'\n', b'\n', ..] => Some(at + 2),
            [b'\n', b'\r', b'\n', ..] => Some(at + 3),
            _ => None,
        });
        match end {
            Some(length) if length > HEAD_MAX => Err(too_long),
            None if self.buffer.len() > HEAD_MAX => Err(too_long),
            Some(length) => Ok(Some(length)),
            None => {
                // The last two bytes may be the first of the empty line.
                self.searched = self.buffer.len().saturating_sub(2).max(1);
                Ok(None)
            }
        }
    }
}

fn with_body(message: Message, taken: Bytes) -> Message {
    match message {
        Message::Request(request) => Message::Request(Request { body: taken, ..request }),
        Message::Response(response) => Message::Response(Response { body: taken, ..response }),
        interleaved => interleaved,
    }
}

/// The message without body, and the length of its body.
fn parse_head(head: &Bytes, at: u64) -> Result<(Message, usize), Error> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    let first = lines.next().unwrap_or_default();
    let mut headers = Headers::default();
    for line in lines.filter(|line| !line.is_empty()) {
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = headers.0.last_mut() {
                value.push(' ');
                value.extend(line.trim().chars().filter(|c| !c.is_control()));
            }
        } else if let Some((name, value)) = line.split_once(':') {
            if headers.0.len() == HEADERS_MAX {
                return Err(Error::HeadTooLong { at });
            }
            headers.push(name.trim(), value.trim());
        }
    }
    let length = body_length(&headers, at)?;
    headers.0.retain(|(name, _)| !name.eq_ignore_ascii_case("Content-Length"));
    let body = Bytes::new();
    let mut words = first.splitn(3, ' ');
    let (a, b, c) = (words.next().unwrap_or_default(), words.next().unwrap_or_default(), words.next());
    if a.starts_with("RTSP/") || a.starts_with("HTTP/") {
        let status = b.trim().parse().ok().filter(|s| (100..1000).contains(s));
        let status = status.ok_or(Error::Syntax { at, what: "no status code" })?;
        let reason = c.unwrap_or_default().to_owned();
        return Ok((Message::Response(Response { status, reason, headers, body }), length));
    }
    match c {
        Some(version) if version.trim().starts_with("RTSP/") && !b.is_empty() => {
            let request = Request { method: Method::parse(a), uri: b.to_owned(), headers, body };
            Ok((Message::Request(request), length))
        }
        _ => Err(Error::Syntax { at, what: "neither request nor status line" }),
    }
}

fn body_length(headers: &Headers, at: u64) -> Result<usize, Error> {
    let mut lengths = headers.get_all("Content-Length").map(|v| v.parse::<u64>());
    let Some(first) = lengths.next() else { return Ok(0) };
    let unclear = Error::Syntax { at, what: "unclear Content-Length" };
    let length = first.map_err(|_| unclear.clone())?;
    // Two different lengths are how one message is smuggled inside another.
    if lengths.any(|other| other != Ok(length)) {
        return Err(unclear);
    }
    if length > BODY_MAX as u64 {
        return Err(Error::BodyTooLong { at, length });
    }
    Ok(length as usize)
}

/// Splits interleaved data off the front of `bytes`, for code that reads a socket itself.
pub fn split_interleaved(bytes: &mut BytesMut) -> Option<(u8, Bytes)> {
    let &[b'$', channel, hi, lo] = bytes.first_chunk()? else { return None };
    let length = usize::from(u16::from_be_bytes([hi, lo]));
    if bytes.len() < 4 + length {
        return None;
    }
    bytes.advance(4);
    Some((channel, bytes.split_to(length).freeze()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// All messages of `input`, fed at once and byte by byte: both must agree.
    fn parse(input: &[u8]) -> Result<Vec<Message>, Error> {
        let run = |step: usize| {
            let (mut parser, mut found) = (Parser::default(), Vec::new());
            for bytes in input.chunks(step) {
                parser.push(bytes);
                while let Some(message) = parser.pull()? {
                    found.push(message);
                }
            }
            Ok(found)
        };
        let whole = run(input.len().max(1));
        assert_eq!(whole, run(1));
        whole
    }

    #[test]
    fn requests_answers_and_packets_in_one_stream() {
        let mut wire = Vec::new();
        let request = Request {
            method: Method::Describe,
            uri: "rtsp://10.0.0.5/main".into(),
            headers: Headers::default().with("CSeq", "2").with("Accept", "application/sdp"),
            body: Bytes::new(),
        };
        let answer = Response { body: Bytes::from_static(b"v=0\r\n"), ..Response::new(200) };
        request.write(&mut wire);
        wire.extend(interleaved_header(1, 3));
        wire.extend(b"$$$");
        answer.write(&mut wire);
        let packet = Message::Interleaved { channel: 1, data: Bytes::from_static(b"$$$") };
        assert_eq!(parse(&wire), Ok(vec![Message::Request(request), packet, Message::Response(answer)]));
    }

    #[test]
    fn quirks_are_read() {
        let wire = b"\r\n\0\0RTSP/1.0 200\nCSeq : 7\nno colon here\nPublic: OPTIONS,\n  PLAY\nx: \xff\n\nOPTIONS * RTSP/1.0\r\ncseq:1\r\n\r\n";
        let found = parse(wire).unwrap();
        let [Message::Response(answer), Message::Request(request)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((answer.status, answer.headers.cseq()), (200, Some(7)));
        assert_eq!(answer.headers.get("public"), Some("OPTIONS, PLAY"));
        assert_eq!((request.method, request.headers.cseq()), (Method::Options, Some(1)));
    }

    #[test]
    fn session_without_its_timeout() {
        let headers = Headers::default().with("Session", " 12ab ; timeout=60");
        assert_eq!(headers.session(), Some("12ab"));
        assert_eq!(Headers::default().with("Session", ";timeout=1").session(), None);
    }

    #[test]
    fn limits_hold() {
        let long = [b"OPTIONS * RTSP/1.0\r\nx: ".as_slice(), &vec![b'y'; HEAD_MAX]].concat();
        assert_eq!(parse(&long), Err(Error::HeadTooLong { at: 0 }));
        let many = format!("OPTIONS * RTSP/1.0\r\n{}\r\n", "a: b\r\n".repeat(HEADERS_MAX + 1));
        assert_eq!(parse(many.as_bytes()), Err(Error::HeadTooLong { at: 0 }));
        let body = b"\r\nOPTIONS * RTSP/1.0\r\nContent-Length: 65537\r\n\r\n";
        assert_eq!(parse(body), Err(Error::BodyTooLong { at: 2, length: 65537 }));
    }

    #[test]
    fn nonsense_is_refused() {
        for wire in [
            "GET / HTTP/1.1\r\n\r\n",
            "OPTIONS\r\n\r\n",
            "RTSP/1.0 OK\r\n\r\n",
            "\u{1}",
            "OPTIONS * RTSP/1.0\r\nContent-Length: -1\r\n\r\n",
            "OPTIONS * RTSP/1.0\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n",
        ] {
            assert!(matches!(parse(wire.as_bytes()), Err(Error::Syntax { at: 0, .. })), "{wire:?}");
        }
    }

    #[test]
    fn nothing_can_be_smuggled_into_a_line() {
        let mut wire = Vec::new();
        let headers = Headers::default().with("X", "a\r\nTEARDOWN * RTSP/1.0\r\n\r\n");
        Request { method: Method::Setup, uri: "rtsp://a/ x\r\n\r\n".into(), headers, body: Bytes::new() }
            .write(&mut wire);
        assert_eq!(parse(&wire).unwrap().len(), 1);
    }
}
