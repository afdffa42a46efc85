//! Publishes the clip over RTMP at its own pace, a stamp in each picture.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use av::MediaKind;
use av::container::flv::TagType;
use proto::rtmp::Output;
use proto::rtmp::client::{ClientSession, Event, Purpose, Target};

use crate::clip::{Clip, Stamp, stamped};
use crate::now_us;

const START_WITHIN: Duration = Duration::from_secs(10);

/// A publisher at work. Dropping it ends the stream.
pub struct Publisher {
    stop: Arc<AtomicBool>,
    socket: TcpStream,
    threads: Vec<JoinHandle<()>>,
}

/// The conversation; whoever holds the lock may also write to the socket.
struct Talk {
    session: ClientSession,
    socket: TcpStream,
}

impl Talk {
    /// Sends what is to be sent; gives the events.
    fn drain(&mut self) -> std::io::Result<Vec<Event>> {
        let mut events = Vec::new();
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Transmit(bytes) => self.socket.write_all(&bytes)?,
                Output::Event(event) => events.push(event),
            }
        }
        Ok(events)
    }
}

impl Publisher {
    /// Connects, and returns once the server said that publishing may begin.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub fn start(address: &str, clip: &Arc<Clip>) -> Result<Publisher> {
        let target = Target::parse(address).context("not an RTMP address")?;
        let socket = TcpStream::connect((target.host.as_str(), target.port))?;
        socket.set_nodelay(true)?;
        let session = ClientSession::new(Purpose::Publish, target);
        let talk = Arc::new(Mutex::new(Talk { session, socket: socket.try_clone()? }));
        let (started, start) = mpsc::channel();
        lock(&talk).drain()?;
        let listener = {
            let (talk, mut socket) = (talk.clone(), socket.try_clone()?);
            std::thread::spawn(move || {
                let mut buffer = vec![0; 4096];
                while let Ok(n @ 1..) = socket.read(&mut buffer) {
                    let mut talk = lock(&talk);
                    let events = match talk.session.handle_input(&buffer[..n]) {
                        Ok(()) => talk.drain().unwrap_or_default(),
                        Err(error) => {
                            eprintln!("publisher: {error}: {}", error.fault);
                            break;
                        }
                    };
                    // Nobody waits any more after the first answer.
                    events.into_iter().for_each(|event| drop(started.send(event)));
                }
            })
        };
        match start.recv_timeout(START_WITHIN) {
            Ok(Event::Started) => {}
            Ok(event) => bail!("publishing was not allowed: {event:?}"),
            Err(_) => bail!("no answer to a publisher"),
        }
        let stop = Arc::new(AtomicBool::new(false));
        let writer = {
            let (clip, stop) = (clip.clone(), stop.clone());
            std::thread::spawn(move || {
                if let Err(error) = publish(&clip, &talk, &stop)
                    && !stop.load(Ordering::Relaxed)
                {
                    eprintln!("publisher: {error}");
                }
            })
        };
        Ok(Publisher { stop, socket, threads: vec![listener, writer] })
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the reader; the writer ends with its next message.
        self.socket.shutdown(Shutdown::Both).ok();
        for thread in self.threads.drain(..) {
            thread.join().ok();
        }
    }
}

fn lock(talk: &Mutex<Talk>) -> MutexGuard<'_, Talk> {
    talk.lock().expect("no panic while talking")
}

fn publish(clip: &Clip, talk: &Mutex<Talk>, stop: &AtomicBool) -> std::io::Result<()> {
    for header in &clip.headers {
        let mut talk = lock(talk);
        talk.session.write_media(media_kind(header.kind), 0, &[&header.body]);
        talk.drain()?;
    }
    let start = Instant::now();
    let mut number = 0;
    for round in 0u32.. {
        for tag in &clip.frames {
            let timestamp = round * clip.length_ms + tag.timestamp_ms;
            let due = start + Duration::from_millis(u64::from(timestamp));
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let mut talk = lock(talk);
            if tag.kind == TagType::Video {
                let nal = Stamp { number, at_us: now_us() }.nal();
                talk.session.write_media(MediaKind::Video, timestamp, &stamped(&tag.body, &nal));
                number += 1;
            } else {
                talk.session.write_media(MediaKind::Audio, timestamp, &[&tag.body]);
            }
            talk.drain()?;
        }
    }
    Ok(())
}

fn media_kind(tag: TagType) -> MediaKind {
    if tag == TagType::Video { MediaKind::Video } else { MediaKind::Audio }
}
