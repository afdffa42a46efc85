//! What a viewer understands of the bytes it gets, and how long the first picture takes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use av::MediaKind;
use av::container::flv::{Demuxer, TagType};
use proto::rtmp::Output;
use proto::rtmp::client::{ClientSession, Event, Purpose, Target, Trick};

use crate::clip::{Stamp, is_key};

/// Longest answer head of an HTTP server.
const HEAD_MAX: usize = 16 << 10;
/// A first picture later than this is none.
const JOIN_WITHIN: Duration = Duration::from_secs(10);

/// Where and how to watch.
#[derive(Clone, Debug)]
pub enum Address {
    /// RTMP.
    Rtmp(Target),
    /// HTTP-FLV.
    Flv {
        /// `host:port`.
        authority: String,
        /// Path and query.
        path: String,
    },
    /// The floor: bytes without asking.
    Raw(u16),
}

impl Address {
    /// Reads `rtmp://…` or `http://….flv…`.
    ///
    /// # Errors
    /// For anything else.
    pub fn parse(address: &str) -> Result<Address> {
        if let Some(target) = Target::parse(address) {
            return Ok(Address::Rtmp(target));
        }
        let rest = address.strip_prefix("http://").context("neither rtmp nor http")?;
        let (authority, path) = rest.split_once('/').context("no path")?;
        Ok(Address::Flv { authority: authority.to_owned(), path: format!("/{path}") })
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// Those of the system.
    pub fn connect(&self) -> Result<TcpStream> {
        let socket = match self {
            Address::Rtmp(target) => TcpStream::connect((target.host.as_str(), target.port))?,
            Address::Flv { authority, .. } => TcpStream::connect(authority)?,
            Address::Raw(port) => TcpStream::connect(("127.0.0.1", *port))?,
        };
        socket.set_nodelay(true)?;
        Ok(socket)
    }
}

/// One picture as received.
#[derive(Clone, Copy, Debug)]
pub struct Picture {
    /// Whether decoding can begin with it.
    pub key: bool,
    /// What the publisher wrote into it.
    pub stamp: Option<Stamp>,
}

/// Reads one viewer's bytes.
pub enum Decoder {
    /// RTMP, and whether what comes is what was asked for.
    Rtmp(Box<ClientSession>, bool),
    /// FLV behind an HTTP answer whose head is gathered first.
    Flv(Vec<u8>, Option<Demuxer>),
    /// Nothing to understand.
    Raw,
}

impl Decoder {
    /// A decoder for a new connection; appends what the viewer says first.
    pub fn new(address: &Address, out: &mut Vec<u8>) -> Decoder {
        match address {
            Address::Rtmp(target) => {
                let mut session = ClientSession::new(Purpose::Play, target.clone());
                while let Some(Output::Transmit(bytes)) = session.poll_output() {
                    out.extend_from_slice(&bytes);
                }
                Decoder::Rtmp(Box::new(session), false)
            }
            Address::Flv { authority, path } => {
                // HTTP/1.0 is answered without chunks around the media.
                let request = format!("GET {path} HTTP/1.0\r\nHost: {authority}\r\nUser-Agent: bench\r\n\r\n");
                out.extend_from_slice(request.as_bytes());
                Decoder::Flv(Vec::new(), None)
            }
            Address::Raw(_) => Decoder::Raw,
        }
    }

    /// Whether media follows, so that bytes can be counted without being understood.
    pub fn is_playing(&self) -> bool {
        match self {
            Decoder::Rtmp(_, playing) => *playing,
            Decoder::Flv(_, demuxer) => demuxer.is_some(),
            Decoder::Raw => true,
        }
    }

    /// Takes bytes; appends answers to `out` and pictures to `pictures`.
    ///
    /// # Errors
    /// When the server refuses, ends the stream or speaks nonsense.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>, pictures: &mut Vec<Picture>) -> Result<()> {
        match self {
            Decoder::Rtmp(session, playing) => {
                session.handle_input(bytes)?;
                while let Some(output) = session.poll_output() {
                    match output {
                        Output::Transmit(bytes) => out.extend_from_slice(&bytes),
                        Output::Event(Event::Started | Event::Done(Trick::Seek)) => *playing = true,
                        Output::Event(Event::Media(media)) if *playing && media.kind == MediaKind::Video => {
                            pictures.extend(picture(&media.body));
                        }
                        Output::Event(Event::Media(_) | Event::Metadata(_)) => {}
                        Output::Event(event) => bail!("{event:?}"),
                    }
                }
            }
            Decoder::Flv(head, demuxer) => {
                let demuxer = match demuxer {
                    Some(demuxer) => {
                        demuxer.push(bytes);
                        demuxer
                    }
                    None => {
                        head.extend_from_slice(bytes);
                        let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") else {
                            anyhow::ensure!(head.len() < HEAD_MAX, "endless HTTP answer");
                            return Ok(());
                        };
                        let line = String::from_utf8_lossy(&head[..head.len().min(64)]).into_owned();
                        anyhow::ensure!(line.starts_with("HTTP/1.") && line[8..].starts_with(" 200"), "{line}");
                        let demuxer = demuxer.insert(Demuxer::new());
                        demuxer.push(&std::mem::take(head)[end + 4..]);
                        demuxer
                    }
                };
                while let Some(tag) = demuxer.pull()? {
                    if tag.kind == TagType::Video {
                        pictures.extend(picture(&tag.body));
                    }
                }
            }
            Decoder::Raw => {}
        }
        Ok(())
    }
}

fn picture(body: &[u8]) -> Option<Picture> {
    let coded = body.len() > 5 && body[0] & 0x0F == 7 && body[1] == 1;
    coded.then(|| Picture { key: is_key(body), stamp: Stamp::find(body) })
}

/// Time from opening a connection to having the whole first key frame.
///
/// # Errors
/// When there is none within 10 s.
pub fn first_key_frame(address: &Address) -> Result<Duration> {
    let start = Instant::now();
    Ok(Player::open(address)?.key_frame()? - start)
}

/// A viewer who waits for a picture.
pub struct Player {
    socket: TcpStream,
    decoder: Decoder,
    /// What is to be said next.
    out: Vec<u8>,
    buffer: Vec<u8>,
}

impl Player {
    /// Opens a connection.
    ///
    /// # Errors
    /// Those of the system.
    pub fn open(address: &Address) -> Result<Player> {
        let socket = address.connect()?;
        socket.set_read_timeout(Some(JOIN_WITHIN))?;
        let mut out = Vec::new();
        let decoder = Decoder::new(address, &mut out);
        Ok(Player { socket, decoder, out, buffer: vec![0; 256 << 10] })
    }

    /// When the next key frame was there.
    ///
    /// # Errors
    /// When there is none within 10 s.
    pub fn key_frame(&mut self) -> Result<Instant> {
        let mut pictures = Vec::new();
        loop {
            self.socket.write_all(&self.out)?;
            self.out.clear();
            let n = self.socket.read(&mut self.buffer)?;
            let at = Instant::now();
            anyhow::ensure!(n > 0, "closed before a picture");
            self.decoder.push(&self.buffer[..n], &mut self.out, &mut pictures)?;
            if pictures.iter().any(|picture| picture.key) {
                return Ok(at);
            }
        }
    }

    /// Goes elsewhere in footage; what comes before the server does so is not seen.
    ///
    /// # Errors
    /// When it is not RTMP, or those of the system.
    pub fn seek(&mut self, at_ms: u32) -> Result<()> {
        let Decoder::Rtmp(session, playing) = &mut self.decoder else { bail!("only RTMP has a seek") };
        *playing = false;
        session.seek(at_ms);
        self.decoder.push(&[], &mut self.out, &mut Vec::new())?;
        Ok(self.socket.write_all(&std::mem::take(&mut self.out))?)
    }
}
