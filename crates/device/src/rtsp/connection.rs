//! One RTSP connection: the socket around [`ClientSession`].

use std::collections::VecDeque;
use std::error::Error as _;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use proto::rtsp::Play;
use proto::rtsp::client::{self, ClientSession, ClientSettings, Event, Output};
use proto::sdp::Description;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until};
use url::Url;

use crate::dial::Dialer;
use crate::driver::{DriverError, Login};

/// RTSP's port (RFC 2326 §9.2).
const PORT: u16 = 554;
/// Bytes taken from the socket at once: some ten packets.
const INPUT: usize = 16 << 10;
/// How often a busy camera is asked, and how long it is left alone in between.
const BUSY_ATTEMPTS: u32 = 4;
const BUSY_WAIT: Duration = Duration::from_millis(250);

/// Where a stream is, and how it is to travel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    url: String,
    host: String,
    port: u16,
    /// RTP over UDP instead of on the RTSP connection.
    pub(super) udp: bool,
}

impl Source {
    /// `rtsp://host[:port]/path`, or `rtspu://…` for RTP over UDP.
    pub(super) fn parse(address: &str) -> Result<Source, DriverError> {
        let refused = |why: &str| DriverError::AddressRefused(why.to_owned());
        let (udp, address) = match address.strip_prefix("rtspu://") {
            Some(rest) => (true, format!("rtsp://{rest}")),
            None => (false, address.to_owned()),
        };
        let url = Url::parse(&address).map_err(|_| refused("not a URL; expected rtsp://host:port/path"))?;
        if url.scheme() != "rtsp" {
            return Err(refused("not an RTSP address; expected rtsp://host:port/path"));
        }
        // Addresses are shown and logged, logins are encrypted.
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("the login belongs beside the address, not into it"));
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(refused("no host in the address"))?;
        Ok(Source { host: host.to_owned(), port: url.port().unwrap_or(PORT), url: url.to_string(), udp })
    }
}

/// A connection. Dropping it says good-bye to the camera, as far as that goes without waiting.
pub(super) struct Connection {
    stream: TcpStream,
    pub(super) session: ClientSession,
    /// Written by the session and not yet taken by the socket: some requests at most.
    pending: BytesMut,
    input: Box<[u8]>,
    refused: Option<Refusal>,
    /// What happened while nothing was read.
    waiting: VecDeque<Event>,
}

/// A failure that says something beyond itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No room for one more now; may pass.
    Busy,
    /// There is nothing where it was asked for.
    Missing,
}

impl Refusal {
    fn of(status: u16) -> Option<Refusal> {
        match status {
            // Not enough bandwidth, service unavailable.
            453 | 503 => Some(Refusal::Busy),
            // Not found, invalid range.
            404 | 457 => Some(Refusal::Missing),
            _ => None,
        }
    }
}

impl Connection {
    /// Connects and learns what the source offers, to be played live; `require` are features the camera must have. One that is
    /// busy, as some are for a moment after the last player of a stream has left, is asked again.
    pub(super) async fn described(
        dialer: &Dialer,
        source: &Source,
        login: Option<&Login>,
        require: &[&str],
    ) -> Result<(Connection, Description), DriverError> {
        let described = Connection::described_as(dialer, source, login, require, Play::live()).await;
        described.map_err(|(error, _)| error)
    }

    /// As [`Connection::described`], of what is to be played so. With a failure comes how it was refused.
    pub(super) async fn described_as(
        dialer: &Dialer,
        source: &Source,
        login: Option<&Login>,
        require: &[&str],
        play: Play,
    ) -> Result<(Connection, Description), (DriverError, Option<Refusal>)> {
        let mut attempts = BUSY_ATTEMPTS;
        loop {
            let opened = Connection::open(dialer, source, login, require, play).await;
            let mut connection = opened.map_err(|error| (error, None))?;
            attempts -= 1;
            match connection.description().await {
                Ok(description) => return Ok((connection, description)),
                Err(_) if connection.refused == Some(Refusal::Busy) && attempts > 0 => sleep(BUSY_WAIT).await,
                Err(error) => return Err((error, connection.refused)),
            }
        }
    }

    async fn open(
        dialer: &Dialer,
        source: &Source,
        login: Option<&Login>,
        require: &[&str],
        play: Play,
    ) -> Result<Connection, DriverError> {
        let stream = dialer.connect(&source.host, source.port).await?;
        let settings = ClientSettings {
            url: source.url.clone(),
            login: login.map(|login| (login.user.clone(), login.password.clone())),
            user_agent: concat!("fluorite/", env!("CARGO_PKG_VERSION")).to_owned(),
            require: require.iter().map(|feature| (*feature).to_owned()).collect(),
            play,
        };
        let session = ClientSession::new(settings, Instant::now().into_std());
        Ok(Connection {
            stream,
            session,
            pending: BytesMut::new(),
            input: vec![0; INPUT].into(),
            refused: None,
            waiting: VecDeque::new(),
        })
    }

    /// How the camera refused what failed last, if it did.
    pub(super) fn refused(&self) -> Option<Refusal> {
        self.refused
    }

    /// Bytes that the camera has not taken yet.
    pub(super) fn backlog(&self) -> usize {
        self.pending.len()
    }

    /// Our and the camera's address.
    pub(super) fn addresses(&self) -> Result<(SocketAddr, SocketAddr), DriverError> {
        let both = self.stream.local_addr().and_then(|local| Ok((local, self.stream.peer_addr()?)));
        both.map_err(|error| gone(&error))
    }

    /// Reads nothing, and keeps the session alive meanwhile; only a failure ends that. Cancel safe.
    pub(super) async fn stall(&mut self) -> DriverError {
        self.session.stall(Instant::now().into_std(), true);
        loop {
            match self.step(false).await {
                Ok(Some(event)) => self.waiting.push_back(event),
                Ok(None) => {}
                Err(error) => return error,
            }
        }
    }

    /// What happens next on the connection. Cancel safe.
    pub(super) async fn event(&mut self) -> Result<Event, DriverError> {
        self.session.stall(Instant::now().into_std(), false);
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Ok(event);
            }
            if let Some(event) = self.step(true).await? {
                return Ok(event);
            }
        }
    }

    /// Carries bytes both ways, or out alone, until there is an event or something moved.
    async fn step(&mut self, reads: bool) -> Result<Option<Event>, DriverError> {
        let deadline = loop {
            match self.session.poll_output() {
                Output::Transmit(bytes) => self.pending.extend_from_slice(&bytes),
                Output::Event(event) => return Ok(Some(event)),
                Output::Timeout(at) => break at,
            }
        };
        let interest = match (reads, self.pending.is_empty()) {
            (true, true) => Interest::READABLE,
            (true, false) => Interest::READABLE | Interest::WRITABLE,
            (false, _) => Interest::WRITABLE,
        };
        tokio::select! {
            biased;
            // First: a camera that floods us must not keep us from keeping alive.
            () = sleep_until(deadline.into()) => self.session.handle_timeout(Instant::now().into_std()).map_err(failed)?,
            ready = self.stream.ready(interest), if reads || !self.pending.is_empty() => {
                let ready = ready.map_err(|error| gone(&error))?;
                if ready.is_writable() && !self.pending.is_empty() {
                    match self.stream.try_write(&self.pending) {
                        Ok(written) => self.pending.advance(written),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        Err(error) => return Err(gone(&error)),
                    }
                }
                if reads && (ready.is_readable() || ready.is_read_closed()) {
                    match self.stream.try_read(&mut self.input) {
                        Ok(0) => return Err(gone(&ErrorKind::UnexpectedEof.into())),
                        Ok(read) => {
                            let result = self.session.handle_input(Instant::now().into_std(), &self.input[..read]);
                            if let Err(client::Error::Status { status, .. }) = &result {
                                self.refused = Refusal::of(*status);
                            }
                            result.map_err(failed)?;
                        }
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        Err(error) => return Err(gone(&error)),
                    }
                }
            }
        }
        Ok(None)
    }

    /// Waits for the description that a fresh session, or [`Connection::describe_again`], asks for.
    async fn description(&mut self) -> Result<Description, DriverError> {
        loop {
            if let Event::Described(description) = self.event().await? {
                return Ok(description);
            }
        }
    }

    /// Asks for the description once more.
    pub(super) async fn describe_again(&mut self) -> Result<Description, DriverError> {
        self.session.describe(Instant::now().into_std());
        self.description().await
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.session.teardown(Instant::now().into_std());
        while let Output::Transmit(bytes) = self.session.poll_output() {
            self.pending.extend_from_slice(&bytes);
        }
        // The camera notices a closed connection too; TEARDOWN only frees its resources earlier.
        let _ = self.stream.try_write(&self.pending);
    }
}

fn gone(error: &io::Error) -> DriverError {
    let cause = match error.kind() {
        ErrorKind::UnexpectedEof => "the camera closed the connection".to_owned(),
        _ => error.to_string(),
    };
    DriverError::Unreachable { step: "rtsp", cause }
}

fn failed(error: client::Error) -> DriverError {
    let step = error.step();
    match error {
        client::Error::LoginRefused => DriverError::LoginRefused,
        client::Error::Timeout(_) => DriverError::Timeout { step },
        // Option not supported (RFC 2326 §12.32): it lacks what we require.
        client::Error::Status { status: 551, .. } => DriverError::Unsupported,
        error => {
            let causes = std::iter::successors(error.source(), |&error| error.source());
            let cause = causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
            DriverError::Protocol { step, cause }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses() {
        let source = Source::parse("rtsp://10.0.0.5/Streaming/Channels/101?a=b").unwrap();
        assert_eq!((source.host.as_str(), source.port, source.udp), ("10.0.0.5", 554, false));
        assert_eq!(source.url, "rtsp://10.0.0.5/Streaming/Channels/101?a=b");
        let source = Source::parse("rtspu://[fd00::5]:8554/main").unwrap();
        assert_eq!((source.host.as_str(), source.port, source.udp), ("[fd00::5]", 8554, true));
        for refused in
            ["", "10.0.0.5", "http://10.0.0.5/", "rtsp:///x", "rtsp://admin:secret@10.0.0.5/", "file:///etc/passwd"]
        {
            assert!(matches!(Source::parse(refused), Err(DriverError::AddressRefused(_))), "{refused}");
        }
    }
}
