//! A recorder by our own server session, which does as scripted; and what playing from it is like.

#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use av::{Frame, Ticks, Track, TrackId, UnixMicros};
use bytes::Bytes;
use media::Item;
use proto::isapi::path::parse_rtsp_track;
use proto::rtp::rtcp::NtpTime;
use proto::rtp::{Packetizer, ReplayExtension};
use proto::rtsp::message::interleaved_header;
use proto::rtsp::server::{Event, Output, ServerSession, ServerSettings};
use proto::rtsp::{Play, Range};
use proto::sdp::Description;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::replay::{Presentation, replay};
use crate::dial::{AllowedHost, Dialer};
use crate::driver::DriverError;

const PATIENCE: Duration = Duration::from_secs(20);
/// Pictures are this far apart; every fifth is a key frame.
pub(crate) const PICTURE_US: i64 = 200_000;
pub(crate) const GOP: i64 = 5;
const SDP: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=rec\r\nt=0 0\r\na=control:*\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1; sprop-parameter-sets=Z00AH5WoFAFuQA==,aO48gA==\r\na=control:trackID=0\r\n";

/// How the recorder behaves. Moments are its own.
#[derive(Clone, Default)]
pub(crate) struct Script {
    /// From when to when it has recorded, microseconds.
    pub(crate) stretches: Vec<(i64, i64)>,
    /// Tells in each frame when it was recorded.
    pub(crate) extension: bool,
    /// Knows `Rate-Control`.
    pub(crate) rate_control: bool,
    /// Status that this request is refused with.
    pub(crate) refuses: Option<(&'static str, u16)>,
    /// Says in the last frame that it is the last.
    pub(crate) terminal: bool,
    /// Bytes of a picture.
    pub(crate) size: usize,
}

/// What it was asked, and has done.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) paths: Vec<String>,
    pub(crate) plays: Vec<Play>,
    pub(crate) required: Vec<String>,
    pub(crate) teardowns: usize,
    /// Sessions that play now.
    pub(crate) playing: usize,
    /// Frames handed to the connection.
    pub(crate) sent: usize,
}

pub(crate) struct Recorder {
    pub(crate) port: u16,
    pub(crate) heard: Arc<Mutex<Heard>>,
}

impl Recorder {
    pub(crate) async fn start(script: Script) -> Recorder {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Heard::default()));
        let told = heard.clone();
        tokio::spawn(async move {
            // Each ends with the client's connection; the test's end ends the last.
            while let Ok((stream, _)) = listener.accept().await {
                let (script, told) = (script.clone(), told.clone());
                tokio::spawn(async move {
                    let mut connection = Connection::new(script, told);
                    connection.serve(stream).await;
                    connection.stop();
                });
            }
        });
        Recorder { port, heard }
    }

    pub(crate) fn url(&self) -> String {
        format!("rtsp://127.0.0.1:{}/replay/1", self.port)
    }

    pub(crate) fn heard(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.heard.lock().unwrap()
    }

    /// Waits until what it heard is so.
    pub(crate) async fn until(&self, what: &str, so: impl Fn(&Heard) -> bool) {
        let wait = async {
            while !so(&self.heard()) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what}"));
    }
}

/// Pictures of the stretches: when, and whether it is a key frame.
pub(crate) fn pictures(stretches: &[(i64, i64)]) -> Vec<(i64, bool)> {
    let of = |&(from, to): &(i64, i64)| {
        (0..(to - from) / PICTURE_US).map(move |n| (from + n * PICTURE_US, n % GOP == 0)).collect::<Vec<_>>()
    };
    stretches.iter().flat_map(of).collect()
}

struct Connection {
    script: Script,
    heard: Arc<Mutex<Heard>>,
    session: ServerSession,
    track: Track,
    packetizer: Packetizer,
    /// What is still to be sent of this PLAY: when it was recorded, its timestamp, and what is said of it.
    queue: VecDeque<(i64, bool, i64, ReplayExtension)>,
    /// Between two pictures; as fast as they are taken without.
    pace: Option<Duration>,
    path: String,
    query: String,
    playing: bool,
}

impl Connection {
    fn new(script: Script, heard: Arc<Mutex<Heard>>) -> Connection {
        let settings = ServerSettings {
            name: "recorder".into(),
            auth: None,
            session_timeout: Duration::from_secs(60),
            features: vec!["onvif-replay".into()],
        };
        let format = Description::parse(SDP.as_bytes()).unwrap().media[0].format().unwrap();
        Connection {
            script,
            heard,
            session: ServerSession::new(Arc::new(settings), Instant::now().into_std()),
            track: Track { id: TrackId::VIDEO, codec: format.parameters.unwrap(), clock_rate: 90_000 },
            packetizer: Packetizer::new(96),
            queue: VecDeque::new(),
            pace: None,
            path: String::new(),
            query: String::new(),
            playing: false,
        }
    }

    fn stop(&mut self) {
        if std::mem::take(&mut self.playing) {
            self.heard.lock().unwrap().playing -= 1;
        }
    }

    async fn serve(&mut self, mut stream: TcpStream) -> Option<()> {
        let mut input = [0; 2048];
        let mut due = Instant::now();
        loop {
            match self.session.poll_output() {
                Output::Transmit(bytes) => stream.write_all(&bytes).await.ok()?,
                Output::Event(event) => {
                    self.answer(event);
                    due = Instant::now();
                }
                Output::Timeout(_) => {
                    let patience = match (self.queue.is_empty(), self.pace) {
                        (true, _) => PATIENCE,
                        (false, None) => Duration::ZERO,
                        (false, Some(_)) => due.saturating_duration_since(Instant::now()),
                    };
                    match timeout(patience, stream.read(&mut input)).await {
                        Ok(Ok(read)) if read > 0 => {
                            self.session.handle_input(Instant::now().into_std(), &input[..read]);
                            continue;
                        }
                        Ok(_) => return None,
                        Err(_) => {}
                    }
                    due += self.pace.unwrap_or_default();
                    let Some((_, key, micros, extension)) = self.queue.pop_front() else { continue };
                    let mut wire = Vec::new();
                    let data = picture(key, self.script.size);
                    let dts = Ticks(micros).rescale(1_000_000, 90_000);
                    let frame = Frame { track: TrackId::VIDEO, dts, cts: 0, wall: UnixMicros(0), key, data };
                    match self.script.extension {
                        true => self.packetizer.push_replayed(&self.track, &frame, extension, &mut wire),
                        false => self.packetizer.push(&self.track, &frame, &mut wire),
                    }
                    for packet in wire {
                        stream.write_all(&interleaved_header(0, packet.len())).await.ok()?;
                        stream.write_all(&packet).await.ok()?;
                    }
                    self.heard.lock().unwrap().sent += 1;
                }
            }
        }
    }

    fn answer(&mut self, event: Event) {
        let now = Instant::now().into_std();
        let refused = |method: &str| self.script.refuses.filter(|(it, _)| *it == method).map(|(_, status)| status);
        match event {
            Event::Describe { path, query, require } => {
                let mut heard = self.heard.lock().unwrap();
                heard.paths.push(format!("{path}?{query}"));
                heard.required.extend(require);
                drop(heard);
                let refused = refused("DESCRIBE");
                (self.path, self.query) = (path, query);
                match refused {
                    Some(status) => self.session.refuse(now, status),
                    None => self.session.describe(now, SDP),
                }
            }
            Event::Setup { .. } => match refused("SETUP") {
                Some(status) => self.session.refuse(now, status),
                None => self.session.accept_setup(now, self.packetizer.ssrc(), None),
            },
            Event::Play { play, .. } => {
                self.heard.lock().unwrap().plays.push(play);
                match refused("PLAY") {
                    Some(status) => self.session.refuse(now, status),
                    None => self.play(now, play),
                }
            }
            Event::Teardown => {
                self.heard.lock().unwrap().teardowns += 1;
                self.queue.clear();
                self.stop();
            }
            _ => {}
        }
    }

    fn play(&mut self, now: std::time::Instant, play: Play) {
        let (from, to) = match play.range {
            Some(Range::Clock { from, to }) => (from.0, to.map_or(i64::MAX, |to| to.0)),
            _ => {
                let (_, _, from, to) = parse_rtsp_track(&self.path, &self.query).unwrap();
                (from.0, to.unwrap().0)
            }
        };
        let all = pictures(&self.script.stretches);
        let start = all.iter().rposition(|(at, key)| *key && *at <= from);
        let start = start.or_else(|| all.iter().position(|(at, _)| *at >= from));
        let wanted: Vec<_> = all[start.unwrap_or(all.len())..].iter().filter(|(at, _)| *at < to).copied().collect();
        let Some(&(begin, _)) = wanted.first() else { return self.session.refuse(now, 457) };
        let free = self.script.rate_control && play.rate_control == Some(false);
        let scale = if free { 1.0 } else { play.scale.unwrap_or(1.0) };
        self.pace = (!free).then(|| Duration::from_micros((PICTURE_US as f32 / scale) as u64));
        self.queue = wanted
            .iter()
            .enumerate()
            .map(|(n, &(at, key))| {
                let next = wanted.get(n + 1);
                let gap = |a: i64, b: i64| b - a > 2 * PICTURE_US;
                let extension = ReplayExtension {
                    recorded: NtpTime::from_unix_micros(at),
                    clean_point: key,
                    end: next.is_none_or(|next| gap(at, next.0)),
                    discontinuity: n > 0 && gap(wanted[n - 1].0, at),
                    terminal: self.script.terminal && next.is_none(),
                    cseq: 0,
                };
                (at, key, ((at - begin) as f32 / scale) as i64, extension)
            })
            .collect();
        let answer = Play {
            range: Some(Range::Clock { from: UnixMicros(begin), to: None }),
            rate_control: free.then_some(false),
            scale: (!free).then_some(scale),
            ..Play::default()
        };
        let rtp = (0, self.packetizer.next_sequence(), self.packetizer.timestamp(0));
        self.session.accept_replay(now, &answer, &[rtp]);
        if !std::mem::replace(&mut self.playing, true) {
            self.heard.lock().unwrap().playing += 1;
        }
    }
}

/// A picture as far as anybody here looks.
fn picture(key: bool, size: usize) -> Bytes {
    let unit = [&[if key { 0x65 } else { 0x41 }, 0x88, 0x84][..], &vec![7; size.max(16)]].concat();
    [&(unit.len() as u32).to_be_bytes()[..], &unit].concat().into()
}

pub(crate) fn dialer() -> Dialer {
    Dialer::new([AllowedHost { ip: [127, 0, 0, 1].into(), port: None }])
}

const T0: i64 = 1_790_000_000_000_000;
const SECOND: i64 = 1_000_000;

fn presentation(url: &str, from: i64, to: i64, speed: f32) -> Presentation<'_> {
    let range = Some(Range::Clock { from: UnixMicros(from), to: Some(UnixMicros(to)) });
    let play = Play { range, rate_control: Some(false), immediate: true, ..Play::default() };
    let paced = Play { rate_control: None, scale: Some(speed), ..play };
    Presentation {
        url,
        require: &["onvif-replay"],
        play,
        from: UnixMicros(from),
        to: UnixMicros(to),
        paced: (speed != 1.0).then_some(paced),
        key_frames_only: false,
        clock: 0,
    }
}

/// Plays to the end: when the frames were recorded, by what they say, and their decoding times in
/// microseconds.
async fn played(presentation: &Presentation<'_>) -> Result<(bool, Vec<(i64, bool, i64)>), DriverError> {
    let (out, mut items) = mpsc::channel(4);
    let (dialer, mut frames) = (dialer(), Vec::new());
    let read = async {
        while let Some(item) = items.recv().await {
            match item {
                Item::Tracks(tracks) => assert!(frames.is_empty() && tracks.len() == 1),
                Item::Frame(frame) => {
                    let dts = frame.dts.rescale(90_000, 1_000_000).0;
                    frames.push((frame.wall.0, frame.key, dts));
                }
                Item::Gap { .. } => panic!("footage has no loss"),
            }
        }
    };
    let play = async {
        let played = replay(&dialer, None, presentation, &out).await;
        drop(out);
        played
    };
    let (played, ()) = timeout(PATIENCE, async { tokio::join!(play, read) }).await.expect("an end in time");
    Ok((played?, frames))
}

fn near(a: i64, b: i64) -> bool {
    (a - b).abs() < 2000
}

#[tokio::test]
async fn a_recording_is_played_from_the_key_frame_before_over_its_gaps() {
    let stretches = vec![(T0, T0 + 10 * SECOND), (T0 + 100 * SECOND, T0 + 110 * SECOND)];
    for (extension, terminal) in [(true, true), (true, false)] {
        let script =
            Script { stretches: stretches.clone(), extension, terminal, rate_control: true, ..Script::default() };
        let recorder = Recorder::start(script).await;
        let url = recorder.url();
        let (any, frames) = played(&presentation(&url, T0 + 3_700_000, T0 + 105 * SECOND, 1.0)).await.unwrap();
        let all = pictures(&stretches);
        let wanted: Vec<_> = all.iter().filter(|(at, _)| (T0 + 3 * SECOND..T0 + 105 * SECOND).contains(at)).collect();
        assert!(any);
        assert_eq!(frames.len(), wanted.len());
        for ((wall, key, dts), (at, is_key)) in frames.iter().zip(wanted) {
            assert!(near(*wall, *at) && key == is_key, "{wall} {at}");
            assert!(near(*dts, at - T0 - 3 * SECOND), "decoding times are those of recording: {dts}");
        }
        let heard = recorder.heard();
        assert_eq!((heard.plays.len(), heard.required.as_slice()), (1, &["onvif-replay".to_owned()][..]));
    }
}

#[tokio::test]
async fn without_a_word_in_its_packets_the_answer_tells_when() {
    let stretches = vec![(T0, T0 + 5 * SECOND)];
    let script = Script { stretches, rate_control: true, ..Script::default() };
    let recorder = Recorder::start(script).await;
    let url = recorder.url();
    let hour = 3600 * SECOND;
    let there = Presentation { clock: hour, ..presentation(&url, T0 + 1_500_000, T0 + 60 * SECOND, 1.0) };
    let (_, frames) = played(&there).await.unwrap();
    assert_eq!(frames.len(), 20);
    for (n, (wall, ..)) in (0..).zip(&frames) {
        assert!(near(*wall, T0 + SECOND + n * PICTURE_US - hour), "{n}: {wall}");
    }
}

#[tokio::test]
async fn a_recorder_that_paces_itself_is_asked_for_the_speed() {
    let stretches = vec![(T0, T0 + 40 * SECOND)];
    for extension in [true, false] {
        let script = Script { stretches: stretches.clone(), extension, terminal: true, ..Script::default() };
        let recorder = Recorder::start(script).await;
        let url = recorder.url();
        let began = Instant::now();
        let (_, frames) = played(&presentation(&url, T0 + 10 * SECOND, T0 + 40 * SECOND, 16.0)).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(8), "30 s at 16 times: {:?}", began.elapsed());
        assert_eq!(recorder.heard().plays.iter().map(|play| play.scale).collect::<Vec<_>>(), [None, Some(16.0)]);
        assert_eq!(frames.len(), 150, "none twice, whatever came of the first PLAY");
        for (n, (wall, _, dts)) in (0..).zip(&frames) {
            assert!(near(*wall, T0 + 10 * SECOND + n * PICTURE_US), "{extension} {n}: {}", wall - T0);
            assert!(near(*dts, n * PICTURE_US), "{extension} {n}: {dts}");
        }
    }
}

#[tokio::test]
async fn what_is_not_taken_is_not_sent() {
    let stretches = vec![(T0, T0 + 600 * SECOND)];
    let script = Script { stretches, extension: true, rate_control: true, size: 100_000, ..Script::default() };
    let recorder = Recorder::start(script).await;
    let url = recorder.url();
    let presentation = presentation(&url, T0, T0 + 600 * SECOND, 1.0);
    let (out, mut items) = mpsc::channel(4);
    let dialer = dialer();
    let play = replay(&dialer, None, &presentation, &out);
    tokio::pin!(play);
    let sent = || recorder.heard().sent;
    let settle = async {
        // It has settled when it sends nothing for a while.
        let (mut last, mut since) = (0, Instant::now());
        while last == 0 || since.elapsed() < Duration::from_millis(500) {
            if sent() != last {
                (last, since) = (sent(), Instant::now());
            }
            sleep(Duration::from_millis(20)).await;
        }
        last
    };
    let stuck = tokio::select! {
        ended = &mut play => panic!("{ended:?}"),
        stuck = timeout(PATIENCE, settle) => stuck.expect("the recorder is held up"),
    };
    // Buffers of both systems, 300 MB in all would have come.
    assert!(stuck < 500, "{stuck} frames");
    let read = async {
        let mut frames = 0;
        while frames < stuck + 100 {
            frames += usize::from(matches!(items.recv().await, Some(Item::Frame(_))));
        }
    };
    tokio::select! {
        ended = &mut play => panic!("{ended:?}"),
        read = timeout(PATIENCE, read) => read.expect("it goes on where it was"),
    }
}

#[tokio::test]
async fn who_leaves_says_good_bye() {
    for rate_control in [false, true] {
        let stretches = vec![(T0, T0 + 600 * SECOND)];
        let script = Script { stretches, extension: true, rate_control, size: 10_000, ..Script::default() };
        let recorder = Recorder::start(script).await;
        let url = recorder.url();
        {
            let (presentation, dialer) = (presentation(&url, T0, T0 + 600 * SECOND, 1.0), dialer());
            let (out, mut items) = mpsc::channel(4);
            tokio::select! {
                ended = replay(&dialer, None, &presentation, &out) => panic!("{ended:?}"),
                item = timeout(PATIENCE, items.recv()) => assert!(item.unwrap().is_some()),
            }
        }
        let left = Instant::now();
        recorder.until("the session is over", |heard| heard.playing == 0).await;
        assert!(left.elapsed() < Duration::from_secs(2));
        if !rate_control {
            // One that is in the middle of sending may notice the closed connection first.
            recorder.until("it is torn down", |heard| heard.teardowns == 1).await;
        }
    }
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let stretches = vec![(T0, T0 + 10 * SECOND)];
    for (method, status) in [("DESCRIBE", 503), ("DESCRIBE", 453), ("SETUP", 453), ("PLAY", 503)] {
        let refuses = Some((method, status));
        let recorder = Recorder::start(Script { stretches: stretches.clone(), refuses, ..Script::default() }).await;
        let url = recorder.url();
        let refused = played(&presentation(&url, T0, T0 + SECOND, 1.0)).await;
        assert_eq!(refused, Err(DriverError::ReplayBusy), "{method} {status}");
    }
    for (method, status) in [("DESCRIBE", 404), ("PLAY", 457)] {
        let refuses = Some((method, status));
        let recorder = Recorder::start(Script { stretches: stretches.clone(), refuses, ..Script::default() }).await;
        let url = recorder.url();
        let nothing = played(&presentation(&url, T0, T0 + SECOND, 1.0)).await.unwrap();
        assert_eq!(nothing, (false, vec![]), "{method} {status}");
    }
    let recorder = Recorder::start(Script { stretches, refuses: Some(("SETUP", 500)), ..Script::default() }).await;
    let url = recorder.url();
    let failed = played(&presentation(&url, T0, T0 + SECOND, 1.0)).await.unwrap_err();
    assert!(matches!(failed, DriverError::Protocol { step: "setup", .. }), "{failed}");
}

#[tokio::test]
async fn key_frames_alone_are_asked_for_and_given() {
    let script =
        Script { stretches: vec![(T0, T0 + 10 * SECOND)], extension: true, rate_control: true, ..Script::default() };
    let recorder = Recorder::start(script).await;
    let url = recorder.url();
    let keys = Presentation { key_frames_only: true, ..presentation(&url, T0, T0 + 8 * SECOND, 1.0) };
    let (_, frames) = played(&keys).await.unwrap();
    // It ignored that, and sent all.
    assert_eq!(frames.len(), 8);
    assert!(frames.iter().all(|(_, key, _)| *key));
}
