//! An RTMP client over our own client session, for what the tools cannot do.

use std::collections::VecDeque;

use av::MediaKind;
use proto::rtmp::Output;
use proto::rtmp::client::{ClientSession, Event, Purpose, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::PATIENCE;

/// One connection. It tells the server that it takes H.265.
pub struct RtmpClient {
    socket: TcpStream,
    session: ClientSession,
    /// News that came while something was sent.
    heard: VecDeque<Event>,
}

impl RtmpClient {
    /// Connects to the address and asks.
    pub async fn open(purpose: Purpose, address: &str) -> RtmpClient {
        let target = Target::parse(address).unwrap();
        let socket = TcpStream::connect((target.host.as_str(), target.port)).await.unwrap();
        RtmpClient { socket, session: ClientSession::new(purpose, target), heard: VecDeque::new() }
    }

    /// The next news; `None` once the server has closed.
    pub async fn event(&mut self) -> Option<Event> {
        timeout(PATIENCE, self.next()).await.expect("news of the server in time")
    }

    async fn next(&mut self) -> Option<Event> {
        if let Some(event) = self.heard.pop_front() {
            return Some(event);
        }
        let mut buffer = vec![0; 1 << 16];
        loop {
            while let Some(output) = self.session.poll_output() {
                match output {
                    Output::Transmit(bytes) => self.socket.write_all(&bytes).await.ok()?,
                    Output::Event(event) => return Some(event),
                }
            }
            match self.socket.read(&mut buffer).await {
                Ok(n @ 1..) => self.session.handle_input(&buffer[..n]).expect("the server speaks RTMP"),
                Ok(0) | Err(_) => return None,
            }
        }
    }

    /// Sends the body of an FLV tag.
    pub async fn write(&mut self, kind: MediaKind, timestamp: u32, body: &[u8]) {
        self.session.write_media(kind, timestamp, &[body]);
        self.send().await;
    }

    /// Asks for footage from this many milliseconds after its beginning on.
    pub async fn seek(&mut self, at_ms: u32) {
        self.session.seek(at_ms);
        self.send().await;
    }

    async fn send(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Transmit(bytes) => self.socket.write_all(&bytes).await.unwrap(),
                Output::Event(event) => self.heard.push_back(event),
            }
        }
    }
}
