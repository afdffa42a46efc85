//! An RTSP player around the client session: frames, and pictures decoded by openh264.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use av::codec::nal;
use av::{CodecParameters, Frame, Track, TrackId, UnixMicros};
use bytes::{Bytes, BytesMut};
use camera::marker::{SeenLandmark, read_counter, read_landmarks};
use openh264::decoder::Decoder;
use openh264::formats::YUVSource;
use proto::onvif::replay;
use proto::rtp::rtcp::{self, NtpTime, Rtcp};
use proto::rtp::{Format, Output as Media, Packet, Receiver, ReplayExtension};
use proto::rtsp::client::{ClientSession, ClientSettings, Error, Event, Output};
use proto::rtsp::{Play, Range, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Duration, timeout};

use crate::{PASSWORD, PATIENCE, USER};

/// How media travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    Tcp,
    Udp,
}

/// What a test reads from a picture.
#[derive(Clone, Debug)]
pub struct Seen {
    pub counter: Option<u32>,
    pub landmarks: Vec<SeenLandmark>,
    /// Mean of the luma samples: black is 16.
    pub luma: f32,
    pub frame: Frame,
}

pub struct Player {
    socket: TcpStream,
    session: ClientSession,
    over: Over,
    udp: Vec<[UdpSocket; 2]>,
    formats: Vec<Format>,
    recorded: bool,
    /// What the camera said that it plays.
    pub played: Play,
    /// The camera said that pictures end.
    pub ended: bool,
    /// What packets of pictures told of when they were recorded.
    pub extensions: Vec<ReplayExtension>,
    receiver: Option<Receiver>,
    frames: VecDeque<Frame>,
    pub tracks: Vec<Track>,
    pub lost: usize,
    /// By track: the timestamp that PLAY named.
    pub begin: Vec<u32>,
    /// By track: wall time and timestamp of the first sender report.
    pub reports: BTreeMap<usize, (NtpTime, u32)>,
    decoder: Decoder,
}

impl Player {
    /// Connects, logs in and plays everything.
    pub async fn open(url: &str, over: Over) -> Result<Player, Error> {
        Player::open_as(url, over, PASSWORD).await
    }

    pub async fn open_as(url: &str, over: Over, password: &str) -> Result<Player, Error> {
        Player::start(url, over, password, None).await
    }

    /// Plays what was recorded.
    pub async fn replay(url: &str, play: Play) -> Result<Player, Error> {
        Player::start(url, Over::Tcp, PASSWORD, Some(play)).await
    }

    async fn start(url: &str, over: Over, password: &str, replay: Option<Play>) -> Result<Player, Error> {
        let address = url.strip_prefix("rtsp://").unwrap().split('/').next().unwrap();
        let settings = ClientSettings {
            url: url.into(),
            login: Some((USER.into(), password.into())),
            user_agent: "test".into(),
            require: replay.iter().filter(|_| url.contains("/replay/")).map(|_| replay::FEATURE.to_owned()).collect(),
            play: replay.unwrap_or(Play::live()),
        };
        let mut player = Player {
            socket: TcpStream::connect(address).await.unwrap(),
            session: ClientSession::new(settings, Instant::now()),
            over,
            udp: vec![],
            formats: vec![],
            recorded: replay.is_some(),
            played: Play::default(),
            ended: false,
            extensions: vec![],
            receiver: None,
            frames: VecDeque::new(),
            tracks: vec![],
            lost: 0,
            begin: vec![],
            reports: BTreeMap::new(),
            decoder: Decoder::new().unwrap(),
        };
        timeout(PATIENCE, async {
            while player.receiver.is_none() {
                player.step().await?;
            }
            Ok(player)
        })
        .await
        .expect("the camera answers in time")
    }

    /// Does what is to be done, then waits for input.
    async fn step(&mut self) -> Result<(), Error> {
        loop {
            match self.session.poll_output() {
                Output::Transmit(bytes) => self.socket.write_all(&bytes).await.unwrap(),
                Output::Event(event) => self.handle(event).await,
                Output::Timeout(_) => break,
            }
        }
        let now = Instant::now();
        if let Some(receiver) = &mut self.receiver {
            receiver.handle_timeout(now, UnixMicros(0)).unwrap();
            while let Some(media) = receiver.poll_output() {
                match media {
                    Media::Tracks(tracks) => self.tracks = tracks,
                    Media::Frame(frame) => self.frames.push_back(frame),
                    Media::Lost(_) => self.lost += 1,
                    Media::Bye(track) => self.ended |= track == TrackId::VIDEO,
                    Media::StretchEnd(_) => {}
                }
            }
            if !self.frames.is_empty() || self.ended {
                return Ok(());
            }
        }
        let mut input = BytesMut::with_capacity(64 << 10);
        let mut datagram = [[0; 2048]; 4];
        let [a, b, c, d] = &mut datagram;
        let socket = |i: usize| self.udp.get(i / 2).map(|pair| &pair[i % 2]);
        tokio::select! {
            read = self.socket.read_buf(&mut input) => {
                assert!(read.unwrap() > 0, "the camera closed the connection");
                self.session.handle_input(Instant::now(), &input)?;
            }
            length = datagram_of(socket(0), a) => self.packet(0, false, Bytes::copy_from_slice(&datagram[0][..length])),
            length = datagram_of(socket(1), b) => self.packet(0, true, Bytes::copy_from_slice(&datagram[1][..length])),
            length = datagram_of(socket(2), c) => self.packet(1, false, Bytes::copy_from_slice(&datagram[2][..length])),
            length = datagram_of(socket(3), d) => self.packet(1, true, Bytes::copy_from_slice(&datagram[3][..length])),
            // Where packets may come out of order, waiting for one ends some time.
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
        Ok(())
    }

    async fn handle(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Described(description) => {
                let mut wanted = Vec::new();
                for (index, format) in description.media.iter().enumerate().filter_map(|(i, m)| Some((i, m.format()?)))
                {
                    let track = self.formats.len() as u8;
                    let transport = match self.over {
                        Over::Tcp => Transport::Interleaved { rtp: 2 * track, rtcp: 2 * track + 1 },
                        Over::Udp => {
                            let pair = [
                                UdpSocket::bind("127.0.0.1:0").await.unwrap(),
                                UdpSocket::bind("127.0.0.1:0").await.unwrap(),
                            ];
                            let port = |i: usize| pair[i].local_addr().unwrap().port();
                            let client = (port(0), port(1));
                            self.udp.push(pair);
                            Transport::Udp { client, server: None }
                        }
                    };
                    self.formats.push(format);
                    wanted.push((index, transport));
                }
                self.session.setup(now, &wanted);
            }
            Event::Playing { begin, play } => {
                let mut receiver = match self.recorded {
                    true => Receiver::recorded(now, &self.formats),
                    false => Receiver::new(now, &self.formats, self.over == Over::Tcp),
                };
                self.played = play;
                if let Some(Range::Clock { from, .. }) = play.range {
                    for (track, timestamp) in begin.iter().enumerate() {
                        receiver.recorded_at(track, *timestamp, from);
                    }
                }
                self.begin = begin.into_iter().map(|timestamp| timestamp.expect("our camera tells RTP-Info")).collect();
                self.begin.iter().enumerate().for_each(|(track, timestamp)| receiver.begin(track, *timestamp));
                self.receiver = Some(receiver);
            }
            Event::Packet { track, rtcp, data } => self.packet(track, rtcp, data),
            Event::SetUp { .. } | Event::Paused => {}
        }
    }

    fn packet(&mut self, track: usize, rtcp: bool, data: Bytes) {
        let Some(receiver) = &mut self.receiver else { return };
        let now = Instant::now();
        if let (true, Ok(packets)) = (rtcp, rtcp::parse(&data)) {
            for packet in packets {
                if let Rtcp::SenderReport { ntp, timestamp, .. } = packet {
                    self.reports.entry(track).or_insert((ntp, timestamp));
                }
            }
        }
        if let (0, false, Ok(packet)) = (track, rtcp, Packet::parse(&data)) {
            let told = packet.extension.as_ref().and_then(ReplayExtension::parse);
            // All packets of a frame tell the same.
            self.extensions.extend(told.filter(|told| self.extensions.last() != Some(told)));
        }
        match rtcp {
            true => receiver.handle_rtcp(now, track, &data).unwrap(),
            false => receiver.handle_rtp(now, UnixMicros(0), track, &data).unwrap(),
        }
    }

    /// The next frame of any track.
    pub async fn frame(&mut self) -> Frame {
        timeout(PATIENCE, async {
            loop {
                if let Some(frame) = self.frames.pop_front() {
                    return frame;
                }
                self.step().await.unwrap();
            }
        })
        .await
        .expect("the camera sends frames")
    }

    /// Pictures up to the end, not decoded.
    pub async fn rest(&mut self) -> Vec<Frame> {
        let mut pictures = Vec::new();
        timeout(PATIENCE, async {
            loop {
                pictures.extend(self.frames.drain(..).filter(|frame| frame.track == TrackId::VIDEO));
                if self.ended {
                    return;
                }
                self.step().await.unwrap();
            }
        })
        .await
        .expect("the camera comes to an end");
        pictures
    }

    /// Asks for something else in the same session.
    pub fn play_instead(&mut self, play: Play) {
        self.receiver = None;
        self.ended = false;
        self.frames.clear();
        self.session.play_with(Instant::now(), play);
    }

    /// What a picture shows.
    pub fn decode(&mut self, frame: Frame) -> Seen {
        let mut stream = Vec::new();
        if let (true, Some(CodecParameters::H264(sets))) = (frame.key, self.tracks.first().map(|t| &t.codec)) {
            for set in [&sets.sps, &sets.pps] {
                stream.extend([0, 0, 0, 1]);
                stream.extend(set.iter());
            }
        }
        stream.extend(nal::length_prefixed_to_annex_b(&frame.data).unwrap());
        let picture = self.decoder.decode(&stream).unwrap().expect("every frame is a picture");
        let ((width, height), (luma, chroma, _)) = (picture.dimensions(), picture.strides());
        Seen {
            counter: read_counter(picture.y(), width, height, luma),
            luma: {
                let rows = picture.y().chunks(luma).map(|row| row[..width].iter().map(|s| u64::from(*s)).sum::<u64>());
                rows.take(height).sum::<u64>() as f32 / (width * height) as f32
            },
            landmarks: read_landmarks(picture.u(), picture.v(), width / 2, height / 2, chroma),
            frame,
        }
    }

    /// The next picture, not decoded.
    pub async fn video_frame(&mut self) -> Frame {
        loop {
            let frame = self.frame().await;
            if frame.track == TrackId::VIDEO {
                return frame;
            }
        }
    }

    /// The next picture, decoded.
    pub async fn picture(&mut self) -> Seen {
        let frame = self.video_frame().await;
        self.decode(frame)
    }

    /// Says good-bye as a polite player does.
    pub async fn close(mut self) {
        self.session.teardown(Instant::now());
        while let Output::Transmit(bytes) = self.session.poll_output() {
            self.socket.write_all(&bytes).await.unwrap();
        }
    }
}

async fn datagram_of(socket: Option<&UdpSocket>, buffer: &mut [u8]) -> usize {
    match socket {
        Some(socket) => socket.recv(buffer).await.unwrap(),
        None => std::future::pending().await,
    }
}
