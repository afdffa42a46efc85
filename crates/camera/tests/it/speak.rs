//! Speaking through the camera by the ONVIF back channel.

use std::time::Instant;

use av::codec::g711;
use av::{CodecParameters, Frame, G711Law, G711Parameters, Ticks, Track, TrackId, UnixMicros};
use bytes::{Bytes, BytesMut};
use camera::{Camera, Config, Fault, Quality, SoundConfig};
use proto::rtp::Packetizer;
use proto::rtsp::client::{ClientSession, ClientSettings, Error, Event, Output};
use proto::rtsp::{Play, Transport};
use proto::sdp::{Description, Direction};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::player::{Over, Player};
use crate::{PASSWORD, PATIENCE, USER, small, start, until};

/// Samples of a packet: 20 ms.
const PACKET: usize = 160;

/// A client that speaks and does not listen.
pub struct Talker {
    socket: TcpStream,
    session: ClientSession,
    udp: Option<(UdpSocket, UdpSocket)>,
    pub description: Description,
    /// Where the camera waits for datagrams.
    to: Option<u16>,
    playing: bool,
}

/// Why nothing can be said.
#[derive(Debug, PartialEq)]
pub enum Refused {
    Session(Error),
    /// The camera closed the connection.
    Closed,
}

impl Talker {
    pub async fn open(url: &str, over: Over) -> Result<Talker, Refused> {
        let address = url.strip_prefix("rtsp://").unwrap().split('/').next().unwrap();
        let settings = ClientSettings {
            url: url.into(),
            login: Some((USER.into(), PASSWORD.into())),
            user_agent: "test".into(),
            require: vec!["www.onvif.org/ver20/backchannel".into()],
            play: Play::live(),
        };
        let udp = match over {
            Over::Tcp => None,
            Over::Udp => {
                Some((UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap()))
            }
        };
        let mut talker = Talker {
            socket: TcpStream::connect(address).await.unwrap(),
            session: ClientSession::new(settings, Instant::now()),
            udp,
            description: Description::default(),
            to: None,
            playing: false,
        };
        let opening = async {
            while !talker.playing {
                talker.step().await?;
            }
            Ok(talker)
        };
        timeout(PATIENCE, opening).await.expect("the camera answers in time")
    }

    async fn transmit(&mut self) {
        loop {
            match self.session.poll_output() {
                Output::Transmit(bytes) => self.socket.write_all(&bytes).await.unwrap(),
                Output::Event(Event::Described(description)) => {
                    let sends = |media: &proto::sdp::Media| media.direction == Direction::SendOnly;
                    let index = description.media.iter().position(sends).expect("a back channel");
                    let port = |socket: &UdpSocket| socket.local_addr().unwrap().port();
                    let transport = match &self.udp {
                        None => Transport::Interleaved { rtp: 0, rtcp: 1 },
                        Some((rtp, rtcp)) => Transport::Udp { client: (port(rtp), port(rtcp)), server: None },
                    };
                    self.session.setup(Instant::now(), &[(index, transport)]);
                    self.description = description;
                }
                Output::Event(Event::SetUp { transport: Transport::Udp { server, .. }, .. }) => {
                    self.to = Some(server.expect("our camera tells its ports").0);
                }
                Output::Event(Event::Playing { .. }) => self.playing = true,
                Output::Event(_) => {}
                Output::Timeout(_) => return,
            }
        }
    }

    async fn step(&mut self) -> Result<(), Refused> {
        self.transmit().await;
        if self.playing {
            return Ok(());
        }
        let mut input = BytesMut::with_capacity(4096);
        if self.socket.read_buf(&mut input).await.unwrap_or(0) == 0 {
            return Err(Refused::Closed);
        }
        self.session.handle_input(Instant::now(), &input).map_err(Refused::Session)
    }

    pub async fn send(&mut self, packet: &Bytes) {
        match (&self.udp, self.to) {
            (Some((rtp, _)), Some(port)) => {
                rtp.send_to(packet, ("127.0.0.1", port)).await.unwrap();
            }
            _ => {
                self.session.send_rtp(0, packet);
                self.transmit().await;
            }
        }
    }

    /// Says good-bye and waits until the camera has heard it.
    async fn close(mut self) {
        self.session.teardown(Instant::now());
        self.transmit().await;
        let mut answer = BytesMut::with_capacity(4096);
        timeout(PATIENCE, self.socket.read_buf(&mut answer)).await.expect("an answer in time").unwrap();
    }
}

/// A rising tone as G.711, in packets.
fn tone(law: G711Law, packets: usize) -> (Vec<i16>, Vec<Bytes>) {
    let sample = |i: usize| ((i * i) as f32 * 0.0004).sin() * 12_000.0;
    let samples: Vec<i16> = (0..packets * PACKET).map(|i| sample(i) as i16).collect();
    let codes = g711::encode(law, &samples);
    let codec = CodecParameters::G711(G711Parameters { law, sample_rate: 8000, channels: 1 });
    let track = Track { id: TrackId::AUDIO, codec, clock_rate: 8000 };
    let mut packetizer = Packetizer::new(if law == G711Law::A { 8 } else { 0 });
    let mut out = Vec::new();
    for (n, data) in codes.chunks(PACKET).enumerate() {
        let (dts, data) = (Ticks((n * PACKET) as i64), codes.slice_ref(data));
        let frame = Frame { track: TrackId::AUDIO, dts, cts: 0, wall: UnixMicros(0), key: true, data };
        packetizer.push(&track, &frame, &mut out);
    }
    assert_eq!(out.len(), packets);
    (g711::decode(law, &codes), out)
}

fn heard(camera: &Camera) -> Vec<i16> {
    camera.heard(1).samples
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_is_heard_over_tcp_and_udp_in_either_law() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heard.wav");
    let camera = start(Config { speaker: Some(path.clone()), ..small() }).await;
    let mut expected = Vec::new();
    for (over, law) in [(Over::Tcp, G711Law::Mu), (Over::Udp, G711Law::A)] {
        let mut talker = Talker::open(&camera.rtsp_url(Quality::Main), over).await.unwrap();
        let (samples, mut packets) = tone(law, 30);
        // UDP may swap them; the camera puts them in order again.
        if over == Over::Udp {
            packets.swap(10, 12);
        }
        for packet in &packets {
            talker.send(packet).await;
        }
        expected.extend(samples);
        until("all of it is heard", || heard(&camera).len() >= expected.len()).await;
        assert!(heard(&camera) == expected, "{over:?}");
        talker.close().await;
        until("the speaker is free", || !camera.channel(1).unwrap().speaker().is_open()).await;
    }
    let file = std::fs::read(&path).unwrap();
    assert_eq!(file.len(), 44 + 2 * expected.len());
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_is_silence_and_nonsense_is_nothing() {
    let camera = start(small()).await;
    let mut talker = Talker::open(&camera.rtsp_url(Quality::Sub), Over::Tcp).await.unwrap();
    let (mut expected, mut packets) = tone(G711Law::A, 10);
    packets.remove(4);
    packets.insert(2, Bytes::from_static(b"\x80"));
    packets.insert(7, Bytes::from_static(b"\x80\x60\0\x01\0\0\0\0\0\0\0\0of a type that was not offered"));
    expected[4 * PACKET..5 * PACKET].fill(0);
    for packet in &packets {
        talker.send(packet).await;
    }
    until("all of it is heard", || heard(&camera).len() >= expected.len()).await;
    assert!(heard(&camera) == expected);
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_at_a_time_speaks() {
    let camera = start(Config { channels: 2, ..small() }).await;
    let url = camera.rtsp_url(Quality::Main);
    let talker = Talker::open(&url, Over::Tcp).await.unwrap();
    let busy = Talker::open(&camera.rtsp_url(Quality::Sub), Over::Udp).await.err();
    assert!(matches!(busy, Some(Refused::Session(Error::Status { status: 453, .. }))), "{busy:?}");
    // Another channel has another speaker.
    let other = Talker::open(&format!("{url}2"), Over::Tcp).await.unwrap();
    assert!(camera.channel(2).unwrap().speaker().is_open());
    // Hanging up frees it too.
    drop((talker, other));
    until("the speakers are free", || (1..=2).all(|n| !camera.channel(n).unwrap().speaker().is_open())).await;
    Talker::open(&url, Over::Udp).await.unwrap().close().await;
    until("no connection is left", || camera.stats().connections == 0).await;
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_back_is_described_to_those_who_ask_for_it() {
    let camera = start(Config { sound: SoundConfig::Alaw, ..small() }).await;
    let talker = Talker::open(&camera.rtsp_url(Quality::Main), Over::Tcp).await.unwrap();
    let media: Vec<_> = talker.description.media.iter().map(|media| (media.kind.as_str(), media.direction)).collect();
    let expected =
        [("video", Direction::ReceiveOnly), ("audio", Direction::ReceiveOnly), ("audio", Direction::SendOnly)];
    assert_eq!(media, expected);
    let offered: Vec<_> = talker.description.media[2].formats.iter().map(|f| (f.payload_type, &*f.encoding)).collect();
    assert_eq!(offered, [(0, "PCMU"), (8, "PCMA")]);
    let mut player = Player::open(&camera.rtsp_url(Quality::Main), Over::Tcp).await.unwrap();
    player.video_frame().await;
    assert_eq!(player.tracks.len(), 2, "those who do not ask see two");
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_back_fails_as_told() {
    let camera = start(small()).await;
    let url = camera.rtsp_url(Quality::Main);
    camera.faults().set(Fault::Refuse);
    let refused = Talker::open(&url, Over::Tcp).await.err();
    assert!(matches!(refused, Some(Refused::Session(Error::Status { status: 503, .. }))), "{refused:?}");
    camera.faults().set(Fault::Drop);
    assert_eq!(Talker::open(&url, Over::Tcp).await.err(), Some(Refused::Closed));
    camera.faults().set(Fault::WrongPassword);
    assert_eq!(Talker::open(&url, Over::Tcp).await.err(), Some(Refused::Session(Error::LoginRefused)));
    camera.faults().set(Fault::Malformed);
    let malformed = Talker::open(&url, Over::Tcp).await.err();
    assert!(matches!(malformed, Some(Refused::Session(Error::Description(_)))), "{malformed:?}");
    camera.faults().set(Fault::None);
    Talker::open(&url, Over::Tcp).await.unwrap().close().await;
    until("no connection is left", || camera.stats().connections == 0).await;
    camera.stop().await;
}
