//! Media over RTSP: one task a connection, around the sans-IO session.
//!
//! A connection reads its frames from the feeds by itself, so a slow client holds up nobody: while
//! its socket is full it reads nothing, falls out of the feed's backlog, and goes on at a key frame.
//! What is on the card ([`footage`]) waits for the client instead, who may say meanwhile what he wants.

mod footage;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use av::{Frame, G711Law, MediaKind, Ticks, Track};
use bytes::{BufMut, Bytes, BytesMut};
use proto::rtp::{Packet, Packetizer, Reorder, rtcp};
use proto::rtsp::Play;
use proto::rtsp::Transport;
use proto::rtsp::message::interleaved_header;
use proto::rtsp::server::{self, CloseReason, Event, Output, ServerSession, ServerSettings};
use proto::sdp::{Description, Direction, Media, PayloadFormat};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info, info_span, warn};

pub use self::footage::{Address, RECORDING};
use self::footage::{Dialect, Footage, Piece};
use crate::channel::Channel;
use crate::clock::{self, Clock};
use crate::faults::{Fault, Faults};
use crate::feed::{Feed, Stream};
use crate::sdcard::Card;
use crate::speaker::Talk;
use crate::stats::{Counters, Level};
use crate::{speaker, token};

/// A viewer over UDP that sends no report for this long is gone.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(60);
/// A client that takes nothing for this long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of footage that wait for the socket.
const OUT_MAX: usize = 128 << 10;
/// A connection that neither plays nor speaks is closed after this time, and one that plays footage if it
/// neither speaks nor takes any: a client that has paused says so now and then.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Between two sender reports of a track (RFC 3550 §6.2 recommends 5 s at least).
const REPORT_INTERVAL: Duration = Duration::from_secs(5);
/// Bytes read at once; requests are small, and RTCP smaller.
const READ_SIZE: usize = 4096;
/// The feature by which a client asks for the way back (ONVIF Streaming 5.3.1).
pub const BACK_CHANNEL: &str = "www.onvif.org/ver20/backchannel";
/// Payload types of G.711 (RFC 3551 §6).
const PCMU: u8 = 0;
const PCMA: u8 = 8;
/// Longest gap in timestamps that is heard as silence, samples: after a longer one a new sound begins.
const PAUSE_MAX: usize = speaker::SAMPLE_RATE as usize;
/// After this long no packet is still waited for.
const REORDER_MAX: Duration = Duration::from_secs(1);
/// Tries to find a pair of free neighbouring ports.
const PORT_TRIES: usize = 32;

/// What all connections share.
pub struct Shared {
    /// Where SETUP may ask for UDP from.
    pub listen: IpAddr,
    /// Session name of descriptions.
    pub name: String,
    /// Whose streams there are, by number from 1.
    pub channels: Vec<Arc<Channel>>,
    /// The sessions' settings.
    pub settings: Arc<ServerSettings>,
    /// What there is to play back.
    pub card: Option<Arc<Card>>,
    /// Places for those who play it.
    pub replays: Arc<Semaphore>,
    /// Time of the streams.
    pub clock: Clock,
    /// How the way back fails.
    pub faults: Faults,
    /// Numbers.
    pub counters: Arc<Counters>,
    /// Most connections at a time.
    pub connections_max: usize,
}

impl Shared {
    /// Channel and stream behind a path.
    fn stream(&self, path: &str) -> Option<(&Channel, &Stream)> {
        let (number, quality) = token::path(path)?;
        let channel = self.channels.get(usize::from(number).checked_sub(1)?)?;
        Some((channel, channel.stream(quality)))
    }

    /// What DESCRIBE says of a stream; each medium has one format.
    fn description(&self, stream: &Stream) -> Description {
        let tracks: Vec<Track> = stream.feeds().map(|feed| feed.track.clone()).collect();
        Description::live(&self.name, &tracks, server::control)
    }

    /// What DESCRIBE says to one who wants to speak: after the stream's media one for the way back
    /// (ONVIF Streaming 5.3).
    fn description_with_back_channel(&self, stream: &Stream) -> Description {
        let mut description = self.description(stream);
        description.media.iter_mut().for_each(|media| media.direction = Direction::ReceiveOnly);
        let format = |(payload_type, encoding): (u8, &str)| PayloadFormat {
            payload_type,
            encoding: encoding.to_owned(),
            clock_rate: speaker::SAMPLE_RATE,
            channels: 1,
            parameters: Vec::new(),
        };
        description.media.push(Media {
            kind: "audio".to_owned(),
            control: Some(server::control(description.media.len())),
            direction: Direction::SendOnly,
            size: None,
            formats: [(PCMU, "PCMU"), (PCMA, "PCMA")].map(format).into(),
        });
        description
    }
}

/// Accepts until cancelled, then ends all connections.
pub async fn serve(listener: TcpListener, shared: Arc<Shared>, cancel: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! { biased;
            () = cancel.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: others may close theirs.
                warn!(%error, "cannot accept");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if connections.len() >= shared.connections_max {
            shared.counters.connections_refused.fetch_add(1, Relaxed);
            continue;
        }
        let connection = Connection::new(socket, peer, shared.clone());
        connections.spawn(connection.run(cancel.clone()).instrument(info_span!("rtsp", %peer)));
    }
    while connections.join_next().await.is_some() {}
}

/// Where the packets of a track go, or come from.
enum Link {
    Interleaved { rtp: u8, rtcp: u8 },
    Udp { rtp: UdpSocket, rtcp: UdpSocket, to: [SocketAddr; 2] },
}

/// One track that was set up.
struct Sender {
    track: Track,
    /// Where its frames come from; those of footage come otherwise.
    feed: Option<Arc<Feed>>,
    packetizer: Packetizer,
    link: Link,
}

/// A client's sound on its way to the speaker.
struct Speech {
    track: usize,
    link: Link,
    talk: Talk,
    order: Reorder,
    /// The timestamp after the last sample.
    next: Option<u32>,
}

impl Speech {
    /// Plays a packet that came over UDP, and those that waited for it. What is no RTP is passed over.
    async fn receive(&mut self, now: std::time::Instant, data: &Bytes) {
        if let Ok(packet) = Packet::parse(data) {
            self.order.push(now, packet);
        }
        while let Some(packet) = self.order.pull(now) {
            self.play(&packet).await;
        }
    }

    /// Plays a packet that comes after all that were played.
    async fn play(&mut self, packet: &Packet) {
        let law = match packet.payload_type {
            PCMU => G711Law::Mu,
            PCMA => G711Law::A,
            _ => return,
        };
        // Lost packets and pauses are silence, so that what follows is heard in its time.
        let pause = packet.timestamp.wrapping_sub(self.next.unwrap_or(packet.timestamp)) as usize;
        if (1..=PAUSE_MAX).contains(&pause) {
            self.talk.play(&vec![0; pause]).await;
        }
        self.next = Some(packet.timestamp.wrapping_add(packet.payload.len() as u32));
        self.talk.play_g711(law, &packet.payload).await;
    }

    /// Plays what still waits for packets that will not come.
    async fn finish(mut self) {
        let late = std::time::Instant::now() + REORDER_MAX;
        while let Some(packet) = self.order.pull(late) {
            self.play(&packet).await;
        }
    }
}

/// A session that plays.
struct Player {
    frames: BTreeMap<usize, broadcast::Receiver<Arc<Frame>>>,
    /// The track that must go on with a key frame.
    key_wanted: bool,
    /// Sound waits for the first picture.
    started: bool,
    next_report: Instant,
    _playing: Level,
}

struct Connection {
    socket: TcpStream,
    peer: SocketAddr,
    shared: Arc<Shared>,
    session: ServerSession,
    senders: BTreeMap<usize, Sender>,
    player: Option<Player>,
    footage: Option<Footage>,
    speech: Option<Speech>,
    /// Bytes to write: answers, and packets over TCP.
    out: BytesMut,
    packets: Vec<Bytes>,
    heard: Instant,
    /// When the client last took bytes of footage.
    taken: Instant,
    closing: bool,
    _open: Level,
}

/// The connection cannot go on.
struct Gone(&'static str);

/// What woke the connection.
enum Wake {
    Read(std::io::Result<usize>),
    Frame(usize, Result<Arc<Frame>, RecvError>),
    /// A frame of footage; none at its end.
    Piece(Option<Box<Piece>>),
    Written(std::io::Result<usize>),
    Report,
    /// RTCP over UDP: the viewer is alive.
    Alive,
    /// Sound over UDP.
    Speech(Bytes),
    Timeout,
}

impl Connection {
    fn new(socket: TcpStream, peer: SocketAddr, shared: Arc<Shared>) -> Connection {
        Connection {
            session: ServerSession::new(shared.settings.clone(), std::time::Instant::now()),
            socket,
            peer,
            senders: BTreeMap::new(),
            player: None,
            footage: None,
            speech: None,
            out: BytesMut::new(),
            packets: Vec::new(),
            heard: Instant::now(),
            taken: Instant::now(),
            closing: false,
            _open: shared.counters.level(|counters| &counters.connections),
            shared,
        }
    }

    async fn run(mut self, cancel: CancellationToken) {
        // Frames go out whole: waiting for more would only add delay.
        if let Err(error) = self.socket.set_nodelay(true) {
            debug!(%error, "socket option refused");
        }
        let end = tokio::select! { biased;
            () = cancel.cancelled() => "camera stops",
            Err(Gone(reason)) = self.converse() => reason,
        };
        self.end_speech().await;
        for sender in self.senders.values_mut() {
            if let Link::Udp { rtcp, to, .. } = &sender.link {
                // Best effort: the viewer notices anyway.
                let _ = rtcp.try_send_to(&sender.packetizer.bye(), to[1]);
            }
        }
        debug!(reason = end, "connection closed");
    }

    /// Until the connection cannot go on.
    async fn converse(&mut self) -> Result<(), Gone> {
        let mut input = BytesMut::with_capacity(READ_SIZE);
        loop {
            let deadline = self.work_off().await?;
            if self.footage.is_none() || self.closing {
                self.flush().await?;
            }
            if self.closing {
                // The client reads our last answer before it sees the end.
                let _ = self.socket.shutdown().await;
                return Err(Gone("closed by the session"));
            }
            match self.wait(&mut input, deadline).await {
                Wake::Read(Ok(0)) => return Err(Gone("closed by the client")),
                Wake::Read(Ok(_)) => {
                    self.heard = Instant::now();
                    self.session.handle_input(self.heard.into_std(), &input);
                    input.clear();
                }
                Wake::Read(Err(_)) => return Err(Gone("connection lost")),
                Wake::Frame(track, Ok(frame)) => self.send(track, &frame).await?,
                Wake::Frame(track, Err(RecvError::Lagged(missed))) => self.skip(track, missed),
                Wake::Frame(_, Err(RecvError::Closed)) => return Err(Gone("stream ended")),
                Wake::Piece(Some(piece)) => self.send_piece(&piece).await,
                Wake::Piece(None) => self.say_bye().await,
                Wake::Written(Ok(1..)) => self.taken = Instant::now(),
                Wake::Written(_) => return Err(Gone("connection lost")),
                Wake::Report => self.report().await,
                Wake::Alive => {
                    self.heard = Instant::now();
                    self.session.keep_alive(self.heard.into_std());
                }
                Wake::Speech(data) => {
                    let now = std::time::Instant::now();
                    self.session.keep_alive(now);
                    if let Some(speech) = &mut self.speech {
                        speech.receive(now, &data).await;
                    }
                }
                Wake::Timeout => {
                    let now = Instant::now();
                    self.session.handle_timeout(now.into_std());
                    if self.silence_ends().is_some_and(|end| now >= end) {
                        return Err(Gone("silent for too long"));
                    }
                }
            }
        }
    }

    /// Does what the session wants; answers when it wants to be called again.
    async fn work_off(&mut self) -> Result<Instant, Gone> {
        loop {
            match self.session.poll_output() {
                Output::Transmit(bytes) => self.out.extend_from_slice(&bytes),
                Output::Event(event) => self.handle(event).await,
                Output::Timeout(at) => {
                    let at = Instant::from_std(at);
                    return Ok(self.silence_ends().map_or(at, |end| at.min(end)));
                }
            }
        }
    }

    /// When it has been silent for too long; never while it plays live, where a full socket tells.
    fn silence_ends(&self) -> Option<Instant> {
        match self.footage {
            Some(_) => Some(self.heard.max(self.taken) + SILENCE_MAX),
            None => (!self.session.is_playing()).then_some(self.heard + SILENCE_MAX),
        }
    }

    async fn wait(&mut self, input: &mut BytesMut, deadline: Instant) -> Wake {
        let Connection { socket, player, footage, speech, senders, peer, out, .. } = self;
        let (mut reading, mut writing) = socket.split();
        let (waits, has_room) = (footage.is_some() && !out.is_empty(), out.len() < OUT_MAX);
        let footage = footage.as_mut().filter(|_| has_room);
        let report = player.as_ref().map(|player| player.next_report);
        let mut frames = player.iter_mut().flat_map(|player| player.frames.iter_mut());
        let (first, second) = (frames.next(), frames.next());
        let spoken = speech.as_ref().map(|speech| &speech.link);
        let mut udp = senders.values().map(|sender| &sender.link).chain(spoken).filter_map(|link| match link {
            Link::Udp { rtcp, .. } => Some(rtcp),
            Link::Interleaved { .. } => None,
        });
        let reports = [udp.next(), udp.next(), udp.next()];
        let sound = spoken.and_then(|link| match link {
            Link::Udp { rtp, .. } => Some(rtp),
            Link::Interleaved { .. } => None,
        });
        tokio::select! { biased;
            read = reading.read_buf(input) => Wake::Read(read),
            written = writing.write_buf(out), if waits => Wake::Written(written),
            wake = recorded(footage) => wake,
            wake = receive(first) => wake,
            wake = receive(second) => wake,
            () = at(report) => Wake::Report,
            data = datagram(sound, peer.ip()) => Wake::Speech(data),
            () = hear(reports[0], peer.ip()) => Wake::Alive,
            () = hear(reports[1], peer.ip()) => Wake::Alive,
            () = hear(reports[2], peer.ip()) => Wake::Alive,
            () = sleep_until(deadline) => Wake::Timeout,
        }
    }

    async fn handle(&mut self, event: Event) {
        let now = std::time::Instant::now();
        match event {
            Event::Describe { path, query, .. } if Address::parse(&path, &query).is_some() => {
                match self.look(&path, &query).await {
                    Ok((_, tracks, range)) => {
                        let description = Description::live(&self.shared.name, &tracks, server::control);
                        self.describe(&Description { range: Some(range), ..description });
                    }
                    Err(status) => self.session.refuse(now, status),
                }
            }
            Event::Describe { path, require, .. } => {
                let shared = self.shared.clone();
                let Some((_, stream)) = shared.stream(&path) else { return self.session.refuse(now, 404) };
                if require.iter().any(|feature| feature == BACK_CHANNEL) {
                    self.describe_back_channel(stream).await;
                } else {
                    self.describe(&shared.description(stream));
                }
            }
            Event::Setup { path, query, track, transport } => match self.set_up(&path, &query, track, &transport).await
            {
                Ok(ports) => {
                    // Of the way back nothing comes from us but a number.
                    let ssrc = self.senders.get(&track).map_or(0, |sender| sender.packetizer.ssrc());
                    self.session.accept_setup(now, ssrc, ports);
                }
                Err(Some(status)) => self.session.refuse(now, status),
                Err(None) => self.closing = true,
            },
            Event::Play { play, cseq } => match self.footage.is_some() {
                true => self.play_footage(now, &play, cseq).await,
                false => self.play(now),
            },
            Event::Pause => {
                self.player = None;
                self.footage.iter_mut().for_each(Footage::stop);
            }
            Event::Teardown => {
                self.player = None;
                self.footage = None;
                self.end_speech().await;
                self.senders.clear();
            }
            Event::Packet { track, rtcp: false, data } => {
                if let Some(speech) = self.speech.as_mut().filter(|speech| speech.track == track)
                    && let Ok(packet) = Packet::parse(&data)
                {
                    speech.play(&packet).await;
                }
            }
            // Reports tell nothing we act on.
            Event::Packet { rtcp: true, .. } => {}
            Event::Closed(reason) => {
                self.closing = true;
                self.player = None;
                let counters = &self.shared.counters;
                match &reason {
                    CloseReason::Input(_) | CloseReason::Backlog => counters.malformed.fetch_add(1, Relaxed),
                    CloseReason::WrongLogins => counters.logins_refused.fetch_add(1, Relaxed),
                    CloseReason::Idle => 0,
                };
                info!(reason = &reason as &dyn std::error::Error, "session ends the connection");
            }
        }
    }

    fn describe(&mut self, description: &Description) {
        self.session.describe(std::time::Instant::now(), &description.write(self.shared.clock.wall().0 as u64));
    }

    /// The same for one who wants to speak; this is where the way back is slow, silent or malformed.
    async fn describe_back_channel(&mut self, stream: &Stream) {
        match self.shared.faults.get() {
            // The client's connection is left as it is: with a question open.
            Fault::Silent => return,
            Fault::Malformed => return self.session.describe(std::time::Instant::now(), "<?xml version=\"1.0\"?>"),
            Fault::Slow(by) => sleep(by).await,
            Fault::None | Fault::Refuse | Fault::Drop | Fault::WrongPassword => {}
        }
        self.describe(&self.shared.description_with_back_channel(stream));
    }

    /// Prepares a track; answers our ports if it goes over UDP, else an RTSP status, or nothing to
    /// close the connection.
    async fn set_up(
        &mut self,
        path: &str,
        query: &str,
        track: usize,
        transport: &Transport,
    ) -> Result<Option<(u16, u16)>, Option<u16>> {
        if Address::parse(path, query).is_some() {
            return self.set_up_footage(path, query, track, transport).await;
        }
        let shared = self.shared.clone();
        let (channel, stream) = shared.stream(path).ok_or(404u16)?;
        let feed = stream.feeds().nth(track).cloned();
        // The way back comes after the others.
        if feed.is_none() && track != stream.feeds().count() {
            return Err(Some(404));
        }
        let (link, ports) = self.link(transport).await?;
        let Some(feed) = feed else {
            match self.shared.faults.get() {
                Fault::Refuse => return Err(Some(503)),
                Fault::Drop => return Err(None),
                _ => {}
            }
            // One who sets the way back up again keeps it.
            let talk = match self.speech.take() {
                Some(speech) => speech.talk,
                None => channel.speaker().open().ok_or(453u16)?,
            };
            self.speech = Some(Speech { track, link, talk, order: Reorder::default(), next: None });
            return Ok(ports);
        };
        let media = &self.shared.description(stream).media[track];
        let packetizer = Packetizer::new(media.formats[0].payload_type);
        self.senders.insert(track, Sender { track: feed.track.clone(), feed: Some(feed), packetizer, link });
        Ok(ports)
    }

    /// Opens the way that packets of a track go; answers our ports if that is UDP.
    async fn link(&self, transport: &Transport) -> Result<(Link, Option<(u16, u16)>), u16> {
        match *transport {
            Transport::Interleaved { rtp, rtcp } => Ok((Link::Interleaved { rtp, rtcp }, None)),
            Transport::Udp { client, .. } => {
                let local = self.socket.local_addr().map_or(self.shared.listen, |address| address.ip());
                let (rtp, rtcp, ports) = port_pair(local).await.ok_or(503u16)?;
                // Never to anywhere else than where the request came from (no reflection).
                let to = [client.0, client.1].map(|port| SocketAddr::new(self.peer.ip(), port));
                Ok((Link::Udp { rtp, rtcp, to }, Some(ports)))
            }
        }
    }

    /// What is on the card under an address of footage: its tracks, and from when to when.
    async fn look(&self, path: &str, query: &str) -> Result<(Arc<Card>, Arc<[Track]>, String), u16> {
        let card = self.shared.card.clone().ok_or(404u16)?;
        let address = Address::parse(path, query).ok_or(404u16)?;
        match address.look(&card).await {
            Ok(Some((tracks, range))) => Ok((card, tracks, range.to_string())),
            Ok(None) => Err(404),
            Err(error) => {
                warn!(%error, "card cannot be read");
                Err(500)
            }
        }
    }

    /// As [`Connection::set_up`], of what is on the card; the first track takes a place.
    async fn set_up_footage(
        &mut self,
        path: &str,
        query: &str,
        track: usize,
        transport: &Transport,
    ) -> Result<Option<(u16, u16)>, Option<u16>> {
        match self.shared.faults.get() {
            Fault::Refuse => return Err(Some(500)),
            Fault::Drop => return Err(None),
            _ => {}
        }
        let address = Address::parse(path, query).ok_or(404u16)?;
        if self.footage.is_none() {
            let (card, tracks, _) = self.look(path, query).await?;
            // Recorders of the one dialect say that, those of the other this.
            let full = if address.dialect == Dialect::Onvif { 453u16 } else { 503 };
            let place = self.shared.replays.clone().try_acquire_owned().map_err(|_| full)?;
            let level = self.shared.counters.level(|counters| &counters.replays);
            self.footage = Some(Footage::new(address, tracks, card, place, level));
            self.taken = Instant::now();
        }
        let tracks = self.footage.as_ref().map(|footage| footage.tracks.clone()).unwrap_or_default();
        let found = tracks.get(track).cloned().ok_or(404u16)?;
        let (link, ports) = self.link(transport).await?;
        let media = &Description::live(&self.shared.name, &tracks, server::control).media[track];
        let packetizer = Packetizer::new(media.formats[0].payload_type);
        self.senders.insert(track, Sender { track: found, feed: None, packetizer, link });
        Ok(ports)
    }

    async fn play_footage(&mut self, now: std::time::Instant, play: &Play, cseq: u32) {
        let Some(footage) = &mut self.footage else { return };
        let over_udp = self.senders.values().any(|sender| matches!(sender.link, Link::Udp { .. }));
        match footage.play(play, cseq, over_udp).await {
            Ok(answer) => {
                let begin = |(&track, sender): (&usize, &Sender)| {
                    let ticks = Ticks(answer.begin_us?).rescale(1_000_000, sender.track.clock_rate);
                    Some((track, sender.packetizer.next_sequence(), sender.packetizer.timestamp(ticks.0)))
                };
                let begin: Vec<_> = self.senders.iter().filter_map(begin).collect();
                self.session.accept_replay(now, &answer.play, &begin);
            }
            Err(status) => self.session.refuse(now, status),
        }
    }

    /// Sends a frame of footage.
    async fn send_piece(&mut self, piece: &Piece) {
        let Piece { frame, track, extension } = piece;
        let mut senders = self.senders.values_mut();
        // What was recorded otherwise than described cannot be said in this session.
        let same = |sender: &&mut Sender| {
            let described = &sender.track;
            described.id == track.id
                && described.codec.kind() == track.codec.kind()
                && described.clock_rate == track.clock_rate
        };
        let Some(sender) = senders.find(same) else { return };
        self.packets.clear();
        match extension {
            Some(extension) => sender.packetizer.push_replayed(track, frame, *extension, &mut self.packets),
            None => sender.packetizer.push(track, frame, &mut self.packets),
        }
        transmit(&self.shared.counters, &mut self.out, &self.packets, &sender.link).await;
    }

    /// Says of all tracks that they end.
    async fn say_bye(&mut self) {
        for Sender { packetizer, link, .. } in self.senders.values() {
            match link {
                Link::Interleaved { rtcp, .. } => interleave(&mut self.out, *rtcp, &packetizer.bye()),
                Link::Udp { rtcp, to, .. } => {
                    let _ = rtcp.send_to(&packetizer.bye(), to[1]).await;
                }
            }
        }
    }

    /// Lets go of the speaker.
    async fn end_speech(&mut self) {
        if let Some(speech) = self.speech.take() {
            speech.finish().await;
        }
    }

    fn play(&mut self, now: std::time::Instant) {
        let elapsed = self.shared.clock.elapsed();
        let begin: Vec<_> = self
            .senders
            .iter()
            .map(|(&number, Sender { track, packetizer, .. })| {
                let ticks = clock::ticks(elapsed, track.clock_rate).0;
                (number, packetizer.next_sequence(), packetizer.timestamp(ticks))
            })
            .collect();
        self.session.accept_play(now, &begin);
        if self.player.is_some() {
            // A second PLAY (some players keep a session alive so) changes nothing.
            return;
        }
        let feeds = || self.senders.iter().filter_map(|(&track, sender)| Some((track, sender.feed.as_ref()?)));
        let frames = feeds().map(|(track, feed)| (track, feed.watch())).collect();
        let video = feeds().map(|(_, feed)| feed).find(|feed| feed.track.kind() == MediaKind::Video);
        video.iter().for_each(|feed| feed.request_key_frame());
        self.player = Some(Player {
            frames,
            key_wanted: video.is_some(),
            started: video.is_none(),
            next_report: Instant::now(),
            _playing: self.shared.counters.level(|counters| &counters.sessions_playing),
        });
    }

    /// A viewer too slow for the backlog lost frames.
    fn skip(&mut self, track: usize, missed: u64) {
        self.shared.counters.frames_skipped.fetch_add(missed, Relaxed);
        let (Some(player), Some(sender)) = (&mut self.player, self.senders.get(&track)) else { return };
        player.key_wanted |= sender.track.kind() == MediaKind::Video;
        debug!(track, missed, "viewer is too slow");
    }

    async fn send(&mut self, track: usize, frame: &Frame) -> Result<(), Gone> {
        let (Some(player), Some(sender)) = (&mut self.player, self.senders.get_mut(&track)) else { return Ok(()) };
        match sender.track.kind() {
            MediaKind::Video if player.key_wanted && !frame.key => {
                // Before the first key frame nothing is lost: the viewer has not begun.
                self.shared.counters.frames_skipped.fetch_add(u64::from(player.started), Relaxed);
                return Ok(());
            }
            MediaKind::Video => (player.key_wanted, player.started) = (false, true),
            MediaKind::Audio if !player.started => return Ok(()),
            MediaKind::Audio => {}
        }
        let Sender { track, packetizer, link, .. } = sender;
        self.packets.clear();
        packetizer.push(track, frame, &mut self.packets);
        transmit(&self.shared.counters, &mut self.out, &self.packets, link).await;
        Ok(())
    }

    /// Tells each track's place on the wall clock.
    async fn report(&mut self) {
        let Some(player) = &mut self.player else { return };
        player.next_report = Instant::now() + REPORT_INTERVAL;
        let (elapsed, wall) = (self.shared.clock.elapsed(), self.shared.clock.wall());
        for Sender { track, packetizer, link, .. } in self.senders.values_mut() {
            let ticks = clock::ticks(elapsed, track.clock_rate).0;
            let report = packetizer.report(rtcp::NtpTime::from_unix_micros(wall.0), ticks, "camera");
            match link {
                Link::Interleaved { rtcp, .. } => interleave(&mut self.out, *rtcp, &report),
                Link::Udp { rtcp, to, .. } => {
                    let _ = rtcp.send_to(&report, to[1]).await;
                }
            }
        }
    }

    async fn flush(&mut self) -> Result<(), Gone> {
        if self.out.is_empty() {
            return Ok(());
        }
        match timeout(WRITE_TIMEOUT, self.socket.write_all(&self.out)).await {
            Ok(Ok(())) => self.out.clear(),
            Ok(Err(_)) => return Err(Gone("connection lost")),
            Err(_) => return Err(Gone("the client takes nothing")),
        }
        Ok(())
    }
}

/// Sends a frame's packets, over TCP as soon as the socket takes them.
async fn transmit(counters: &Counters, out: &mut BytesMut, packets: &[Bytes], link: &Link) {
    let bytes: usize = packets.iter().map(Bytes::len).sum();
    counters.packets_sent.fetch_add(packets.len() as u64, Relaxed);
    counters.bytes_sent.fetch_add(bytes as u64, Relaxed);
    match link {
        Link::Interleaved { rtp, .. } => {
            out.reserve(bytes + 4 * packets.len());
            packets.iter().for_each(|packet| interleave(out, *rtp, packet));
        }
        Link::Udp { rtp, to, .. } => {
            for packet in packets {
                // A lost datagram is what UDP is; the viewer's silence ends the session.
                let _ = rtp.send_to(packet, to[0]).await;
            }
        }
    }
}

/// Appends a packet in the framing of RFC 2326 §10.12.
fn interleave(out: &mut BytesMut, channel: u8, packet: &[u8]) {
    out.put_slice(&interleaved_header(channel, packet.len()));
    out.put_slice(packet);
}

async fn receive(frames: Option<(&usize, &mut broadcast::Receiver<Arc<Frame>>)>) -> Wake {
    match frames {
        Some((&track, frames)) => Wake::Frame(track, frames.recv().await),
        None => std::future::pending().await,
    }
}

async fn recorded(footage: Option<&mut Footage>) -> Wake {
    match footage.filter(|footage| footage.is_playing()) {
        Some(footage) => Wake::Piece(footage.next().await.map(Box::new)),
        None => std::future::pending().await,
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// Waits for RTCP from the viewer.
async fn hear(socket: Option<&UdpSocket>, viewer: IpAddr) {
    while rtcp::parse(&datagram(socket, viewer).await).is_err() {}
}

/// Waits for a datagram from the viewer, and from nobody else.
async fn datagram(socket: Option<&UdpSocket>, viewer: IpAddr) -> Bytes {
    let Some(socket) = socket else { return std::future::pending().await };
    let mut datagram = [0; 1500];
    loop {
        if let Ok((length, from)) = socket.recv_from(&mut datagram).await
            && from.ip() == viewer
        {
            return Bytes::copy_from_slice(&datagram[..length]);
        }
    }
}

/// Two free ports, the even one for RTP and its neighbour for RTCP (RFC 3550 §11).
async fn port_pair(ip: IpAddr) -> Option<(UdpSocket, UdpSocket, (u16, u16))> {
    for _ in 0..PORT_TRIES {
        let rtp = UdpSocket::bind((ip, 0)).await.ok()?;
        let port = rtp.local_addr().ok()?.port();
        if port % 2 == 0
            && let Ok(rtcp) = UdpSocket::bind((ip, port + 1)).await
        {
            return Some((rtp, rtcp, (port, port + 1)));
        }
    }
    None
}
