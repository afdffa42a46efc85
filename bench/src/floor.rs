//! The floor: writes the clip's bytes to every connection and does nothing else.
//!
//! It runs as a process of its own, so that its CPU time is counted like a server's.

use std::io::{ErrorKind, IoSlice, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Result;
use av::container::flv::TagType;
use bytes::Bytes;

use crate::clip::{Clip, flv_tag};

/// When the floor writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Floor {
    /// Once a video frame, with the audio before it.
    Frame,
    /// When 64 KiB have gathered.
    Block,
}

impl Floor {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Floor::Frame => "frame",
            Floor::Block => "block",
        }
    }

    /// The floor of that name.
    pub fn parse(name: &str) -> Option<Floor> {
        [Floor::Frame, Floor::Block].into_iter().find(|floor| floor.name() == name)
    }
}

const BLOCK: usize = 64 << 10;

/// Prints its port, then serves until it is killed.
///
/// # Errors
/// When no port can be opened.
pub fn run(floor: Floor, clip: &Clip) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    listener.set_nonblocking(true)?;
    let mut sockets: Vec<TcpStream> = Vec::new();
    let mut waiting: Vec<Bytes> = Vec::new();
    let start = Instant::now();
    for round in 0u32.. {
        for tag in &clip.frames {
            let timestamp = round * clip.length_ms + tag.timestamp_ms;
            let due = start + Duration::from_millis(u64::from(timestamp));
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            waiting.push(flv_tag(tag, timestamp, None));
            let flush = match floor {
                Floor::Frame => tag.kind == TagType::Video,
                Floor::Block => waiting.iter().map(Bytes::len).sum::<usize>() >= BLOCK,
            };
            if flush {
                accept(&listener, &mut sockets)?;
                sockets.retain_mut(|socket| write(socket, &waiting).is_ok());
                waiting.clear();
            }
        }
    }
    Ok(())
}

fn accept(listener: &TcpListener, sockets: &mut Vec<TcpStream>) -> Result<()> {
    loop {
        match listener.accept() {
            Ok((socket, _)) => {
                socket.set_nonblocking(false)?;
                socket.set_nodelay(true)?;
                sockets.push(socket);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn write(socket: &mut TcpStream, pieces: &[Bytes]) -> std::io::Result<()> {
    let slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    let mut written = socket.write_vectored(&slices)?;
    // The client reads faster than this; what is left of a full socket goes piece by piece.
    for piece in pieces {
        let done = written.min(piece.len());
        written -= done;
        socket.write_all(&piece[done..])?;
    }
    Ok(())
}
