//! Many viewers in one thread: bytes are read into one buffer and counted; a few viewers look closer.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::now_us;
use crate::viewer::{Address, Decoder};

/// Every so many viewers one is a sample.
const SAMPLE_EACH: usize = 50;
/// Connections opened before the others are served again.
const BATCH: usize = 25;
/// Silence of a viewer that counts as a stall. Bytes may wait some 300 ms by policy.
const STALL: Duration = Duration::from_secs(1);

struct Viewer {
    socket: TcpStream,
    /// Kept while the conversation begins, and for samples.
    decoder: Option<Decoder>,
    sample: bool,
    alive: bool,
    bytes: u64,
    heard: Instant,
    longest_silence: Duration,
    /// Number of the last picture, in a sample.
    last_number: Option<u32>,
}

/// A crowd of viewers of one stream.
pub struct Load {
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    address: Address,
    viewers: Vec<Viewer>,
    seen: Seen,
}

/// What was observed since counting began.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Bytes all viewers received.
    pub bytes: u64,
    /// Viewers that lost their connection.
    pub lost: usize,
    /// Viewers that heard nothing for a second.
    pub stalled: usize,
    /// Pictures that samples should have had and had not.
    pub missing: u64,
    /// Pictures that samples had.
    pub pictures: u64,
    lag_us: u64,
}

impl Seen {
    /// Mean time from the publisher's write to a sample's read, in milliseconds.
    pub fn mean_lag_ms(&self) -> f64 {
        self.lag_us as f64 / 1000.0 / (self.pictures.max(1) as f64)
    }
}

impl Load {
    /// Nobody yet.
    ///
    /// # Errors
    /// Those of the system.
    pub fn new(address: &Address) -> Result<Load> {
        Ok(Load {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            buffer: vec![0; 256 << 10],
            address: address.clone(),
            viewers: Vec::new(),
            seen: Seen::default(),
        })
    }

    /// Connects until there are `count`, and returns when all are playing.
    ///
    /// # Errors
    /// When somebody cannot connect or does not get to play within 20 s.
    pub fn grow_to(&mut self, count: usize) -> Result<()> {
        while self.viewers.len() < count {
            for _ in 0..BATCH.min(count - self.viewers.len()) {
                self.join().context("a viewer cannot connect")?;
            }
            self.run_for(Duration::from_millis(20))?;
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.viewers.iter().any(|v| v.alive && v.decoder.as_ref().is_some_and(|d| !d.is_playing())) {
            anyhow::ensure!(Instant::now() < deadline, "viewers wait in vain");
            self.run_for(Duration::from_millis(20))?;
        }
        Ok(())
    }

    fn join(&mut self) -> Result<()> {
        let mut socket = self.address.connect()?;
        let mut out = Vec::new();
        let decoder = Decoder::new(&self.address, &mut out);
        socket.write_all(&out)?;
        socket.set_nonblocking(true)?;
        let mut socket = TcpStream::from_std(socket);
        self.poll.registry().register(&mut socket, Token(self.viewers.len()), Interest::READABLE)?;
        self.viewers.push(Viewer {
            socket,
            decoder: Some(decoder),
            sample: self.viewers.len().is_multiple_of(SAMPLE_EACH),
            alive: true,
            bytes: 0,
            heard: Instant::now(),
            longest_silence: Duration::ZERO,
            last_number: None,
        });
        Ok(())
    }

    /// Reads for a while, counting from the beginning of it.
    ///
    /// # Errors
    /// Those of the system; a viewer's own trouble is counted instead.
    pub fn watch(&mut self, period: Duration) -> Result<Seen> {
        let now = Instant::now();
        for viewer in &mut self.viewers {
            (viewer.bytes, viewer.heard, viewer.longest_silence) = (0, now, Duration::ZERO);
        }
        self.seen = Seen { lost: self.seen.lost, ..Seen::default() };
        self.run_for(period)?;
        let end = Instant::now();
        let mut seen = std::mem::take(&mut self.seen);
        seen.bytes = self.viewers.iter().map(|viewer| viewer.bytes).sum();
        seen.lost = self.viewers.iter().filter(|viewer| !viewer.alive).count();
        seen.stalled = self.viewers.iter().filter(|v| v.alive && v.longest_silence.max(end - v.heard) >= STALL).count();
        Ok(seen)
    }

    /// Reads for a while.
    ///
    /// # Errors
    /// Those of the system.
    pub fn run_for(&mut self, period: Duration) -> Result<()> {
        let end = Instant::now() + period;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            match self.poll.poll(&mut self.events, Some(left)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                done => done?,
            }
            let now = Instant::now();
            for event in &self.events {
                let viewer = &mut self.viewers[event.token().0];
                if viewer.alive && !read(viewer, &mut self.buffer, now, &mut self.seen) {
                    viewer.alive = false;
                    self.poll.registry().deregister(&mut viewer.socket)?;
                }
            }
        }
    }
}

/// Reads once what is there; false when the viewer is lost. A read that does not fill the buffer has
/// emptied the socket, so the next bytes will be told.
fn read(viewer: &mut Viewer, buffer: &mut [u8], now: Instant, seen: &mut Seen) -> bool {
    loop {
        let n = match viewer.socket.read(buffer) {
            Ok(0) => return false,
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
            Err(_) => return false,
        };
        viewer.bytes += n as u64;
        viewer.longest_silence = viewer.longest_silence.max(now.saturating_duration_since(viewer.heard));
        viewer.heard = now;
        if viewer.decoder.is_some() && !understand(viewer, &buffer[..n], seen) {
            return false;
        }
        if n < buffer.len() {
            return true;
        }
    }
}

fn understand(viewer: &mut Viewer, bytes: &[u8], seen: &mut Seen) -> bool {
    let now = now_us();
    let Some(decoder) = &mut viewer.decoder else { return true };
    let (mut out, mut pictures) = (Vec::new(), Vec::new());
    if let Err(error) = decoder.push(bytes, &mut out, &mut pictures) {
        eprintln!("viewer: {error:#}");
        return false;
    }
    // The few hundred bytes of a beginning conversation always fit into the socket.
    if !out.is_empty() && viewer.socket.write_all(&out).is_err() {
        return false;
    }
    if decoder.is_playing() && !viewer.sample {
        viewer.decoder = None;
    }
    for stamp in pictures.iter().filter_map(|picture| picture.stamp) {
        if let Some(last) = viewer.last_number {
            seen.missing += u64::from(stamp.number.saturating_sub(last + 1));
            seen.pictures += 1;
            seen.lag_us += now.saturating_sub(stamp.at_us);
        }
        viewer.last_number = Some(stamp.number);
    }
    true
}
