//! A device's own footage, read by one viewer.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use av::{TrackId, UnixMicros};
use media::{Footage, FootageError, Item};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::{Instrument, debug, info_span};

use crate::driver::{ChannelNo, Driver, DriverError, ReplayAsk};

/// Frames between the device and the viewer: a second of picture and sound. What does not fit stays there.
const ITEMS: usize = 32;

/// Where a footage gets its sessions from.
pub(crate) struct Source {
    pub(crate) driver: Arc<dyn Driver>,
    /// The device is no longer ours.
    pub(crate) cancel: CancellationToken,
    /// Who waits for the sessions to end when it is not.
    pub(crate) tasks: TaskTracker,
}

/// Footage on a device: one session there at a time, begun by the first read and anew by each seek and each
/// other speed, ended when this is dropped.
pub(crate) struct DeviceFootage {
    source: Source,
    channel: ChannelNo,
    from: UnixMicros,
    to: UnixMicros,
    /// Where the next session begins.
    at: UnixMicros,
    speed: f32,
    key_frames_only: bool,
    session: Option<Session>,
    /// Of each track, when that was recorded which was read last.
    read: BTreeMap<TrackId, UnixMicros>,
    /// What was waited for and not read yet.
    first: Option<Item>,
    /// A frame came since the last seek.
    began: bool,
    /// All was read.
    over: bool,
}

/// A replay on the device; dropping it ends it.
struct Session {
    speed: f32,
    key_frames_only: bool,
    items: mpsc::Receiver<Item>,
    task: AbortOnDropHandle<Result<(), DriverError>>,
    /// Of each track, up to when it repeats what was read: a session that only goes on, at another speed or
    /// after one that broke off, begins at a key frame before that.
    again: BTreeMap<TrackId, UnixMicros>,
    /// Something came that was not read before.
    went_on: bool,
}

impl DeviceFootage {
    pub(crate) fn new(source: Source, channel: ChannelNo, from: UnixMicros, to: UnixMicros) -> DeviceFootage {
        DeviceFootage {
            source,
            channel,
            from,
            to,
            at: from,
            speed: 1.0,
            key_frames_only: false,
            session: None,
            read: BTreeMap::new(),
            first: None,
            began: false,
            over: false,
        }
    }

    fn begin(&mut self) -> &mut Session {
        let (driver, cancel, channel) = (self.source.driver.clone(), self.source.cancel.clone(), self.channel);
        let (speed, key_frames_only) = (self.speed, self.key_frames_only);
        let ask = ReplayAsk { from: self.at, to: self.to, speed, key_frames_only };
        let (out, items) = mpsc::channel(ITEMS);
        let replay = async move {
            tokio::select! {
                biased;
                () = cancel.cancelled() => {
                    Err(DriverError::Unreachable { step: "device", cause: "it was detached".into() })
                }
                played = driver.replay(channel, ask, out) => played,
            }
        };
        let task = self.source.tasks.spawn(replay.instrument(info_span!("replay", %channel)));
        let task = AbortOnDropHandle::new(task);
        let again = self.read.clone();
        self.session.insert(Session { speed, key_frames_only, items, task, again, went_on: false })
    }

    /// Ends the session and waits until the device was told: many serve one at a time. Cancel safe.
    async fn end(&mut self) {
        if let Some(session) = &mut self.session {
            session.items.close();
            session.task.abort();
            // How it went is of no interest any more.
            let _ = (&mut session.task).await;
            self.session = None;
        }
    }

    /// The next item that was not read before; none at the end. Cancel safe.
    async fn next(&mut self) -> Result<Option<Item>, FootageError> {
        if let Some(item) = self.first.take() {
            return Ok(Some(item));
        }
        if self.over {
            return Ok(None);
        }
        loop {
            let session = match &mut self.session {
                Some(session) => session,
                None => self.begin(),
            };
            let Some(item) = session.items.recv().await else {
                let ended = (&mut session.task).await;
                let went_on = session.went_on;
                self.session = None;
                return match ended
                    .unwrap_or_else(|error| Err(DriverError::Protocol { step: "replay", cause: error.to_string() }))
                {
                    Ok(()) if self.began => {
                        self.over = true;
                        Ok(None)
                    }
                    Ok(()) => Err(FootageError::Empty),
                    // Many give up on a viewer who pauses, and some on any after a while.
                    Err(error @ (DriverError::Unreachable { .. } | DriverError::Timeout { .. }))
                        if went_on && !self.source.cancel.is_cancelled() =>
                    {
                        debug!(%error, "replay broke off, and is taken up again");
                        continue;
                    }
                    Err(error) => {
                        debug!(%error, "replay failed");
                        Err(failed(&error))
                    }
                };
            };
            if self.is_new(&item) {
                return Ok(Some(item));
            }
        }
    }

    /// Whether it was not read before; from now on it was.
    fn is_new(&mut self, item: &Item) -> bool {
        let (Item::Frame(frame), Some(session)) = (item, &mut self.session) else { return true };
        self.began = true;
        if session.again.get(&frame.track).is_some_and(|read| frame.wall <= *read) {
            return false;
        }
        // From the first new one on all are, also those that are shown before it.
        session.again.remove(&frame.track);
        session.went_on = true;
        let read = self.read.entry(frame.track).or_insert(frame.wall);
        *read = frame.wall.max(*read);
        self.at = self.at.max(frame.wall);
        true
    }
}

fn failed(error: &DriverError) -> FootageError {
    match error {
        DriverError::ReplayBusy => FootageError::Busy,
        error => FootageError::Failed { step: error.step(), cause: error.to_string() },
    }
}

#[async_trait]
impl Footage for DeviceFootage {
    async fn seek(&mut self, at: UnixMicros) -> Result<(), FootageError> {
        self.end().await;
        self.first = None;
        self.read.clear();
        (self.began, self.over) = (false, false);
        self.at = at.max(self.from);
        if self.at >= self.to {
            return Err(FootageError::Empty);
        }
        // Whether there is anything is known with its first frame.
        self.first = self.next().await?;
        Ok(())
    }

    async fn expect(&mut self, speed: f32, key_frames_only: bool) -> Result<(), FootageError> {
        (self.speed, self.key_frames_only) = (speed, key_frames_only);
        Ok(())
    }

    async fn read(&mut self, out: &mut Vec<Item>) -> Result<bool, FootageError> {
        let other = |session: &Session| (session.speed, session.key_frames_only) != (self.speed, self.key_frames_only);
        if self.session.as_ref().is_some_and(other) {
            self.end().await;
        }
        let Some(item) = self.next().await? else { return Ok(false) };
        out.push(item);
        while let Some(session) = &mut self.session
            && let Ok(item) = session.items.try_recv()
        {
            if self.is_new(&item) {
                out.push(item);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Mutex;
    use std::time::Duration;

    use av::{CodecParameters, Frame, G711Law, G711Parameters, Ticks, Track};
    use media::StreamWriter;
    use tokio::time::{Instant, sleep, timeout};

    use super::*;
    use crate::driver::{DeviceFacts, Quality};

    const SECOND: i64 = 1_000_000;

    /// A device with an hour of footage, a frame a second, a key frame each ten, and room for one viewer.
    #[derive(Default)]
    struct Card {
        asks: Mutex<Vec<ReplayAsk>>,
        playing: Arc<Mutex<usize>>,
        /// Breaks each session off after so many frames.
        breaks_after: Option<usize>,
    }

    struct Playing(Arc<Mutex<usize>>);

    impl Drop for Playing {
        fn drop(&mut self) {
            *self.0.lock().unwrap() -= 1;
        }
    }

    #[async_trait]
    impl Driver for Card {
        async fn probe(&self) -> Result<DeviceFacts, DriverError> {
            Err(DriverError::Unsupported)
        }

        async fn ping(&self) -> Result<(), DriverError> {
            Ok(())
        }

        async fn live(&self, _: ChannelNo, _: Quality, _: &mut StreamWriter) -> Result<(), DriverError> {
            Err(DriverError::Unsupported)
        }

        async fn replay(&self, _: ChannelNo, ask: ReplayAsk, out: mpsc::Sender<Item>) -> Result<(), DriverError> {
            self.asks.lock().unwrap().push(ask);
            if *self.playing.lock().unwrap() > 0 {
                return Err(DriverError::ReplayBusy);
            }
            *self.playing.lock().unwrap() += 1;
            let _playing = Playing(self.playing.clone());
            let codec = CodecParameters::G711(G711Parameters { law: G711Law::A, sample_rate: 8000, channels: 1 });
            let track = Track { id: TrackId::AUDIO, codec, clock_rate: 8000 };
            let _ = out.send(Item::Tracks(vec![track].into())).await;
            let seconds = (ask.from.0 / SECOND / 10 * 10..3600).take_while(|at| at * SECOND < ask.to.0);
            for (sent, second) in seconds.enumerate() {
                if self.breaks_after == Some(sent) {
                    return Err(DriverError::Unreachable { step: "rtsp", cause: "gone".into() });
                }
                let wall = UnixMicros(second * SECOND);
                let (track, dts, data) = (TrackId::AUDIO, Ticks(second * 8000), vec![0; 160].into());
                let frame = Frame { track, dts, cts: 0, wall, key: second % 10 == 0, data };
                if out.send(Item::Frame(Arc::new(frame))).await.is_err() {
                    return Ok(());
                }
            }
            Ok(())
        }
    }

    fn footage(card: &Arc<Card>, cancel: &CancellationToken, from: i64, to: i64) -> DeviceFootage {
        let source = Source { driver: card.clone(), cancel: cancel.clone(), tasks: TaskTracker::new() };
        DeviceFootage::new(source, ChannelNo(1), UnixMicros(from * SECOND), UnixMicros(to * SECOND))
    }

    /// Reads at least so many frames, or to the end: the seconds they were recorded at.
    async fn read(footage: &mut DeviceFootage, frames: usize) -> Vec<i64> {
        let (mut seconds, mut items) = (Vec::new(), Vec::new());
        while seconds.len() < frames && footage.read(&mut items).await.unwrap() {
            seconds.extend(items.drain(..).filter_map(|item| match item {
                Item::Frame(frame) => Some(frame.wall.0 / SECOND),
                _ => None,
            }));
        }
        seconds
    }

    /// How it ends.
    async fn end(footage: &mut DeviceFootage) -> Result<bool, FootageError> {
        loop {
            match footage.read(&mut Vec::new()).await {
                Ok(true) => {}
                end => break end,
            }
        }
    }

    async fn quiet(card: &Card) {
        let ended = async {
            while *card.playing.lock().unwrap() > 0 {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(2), ended).await.expect("the device's session ends within 2 s");
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_read_from_beginning_to_end() {
        let (card, cancel) = (Arc::default(), CancellationToken::new());
        let mut all = footage(&card, &cancel, 15, 200);
        assert_eq!(read(&mut all, usize::MAX).await, (10..200).collect::<Vec<_>>());
        assert!(!all.read(&mut Vec::new()).await.unwrap(), "the end stays the end");
        assert_eq!(card.asks.lock().unwrap().len(), 1);
        let mut nothing = footage(&card, &cancel, 4000, 5000);
        assert_eq!(nothing.read(&mut Vec::new()).await, Ok(true), "tracks come first");
        assert_eq!(nothing.read(&mut Vec::new()).await, Err(FootageError::Empty));
        let mut beyond = footage(&card, &cancel, 0, 100);
        assert_eq!(beyond.seek(UnixMicros(100 * SECOND)).await, Err(FootageError::Empty));
    }

    #[tokio::test(start_paused = true)]
    async fn a_seek_ends_one_session_and_begins_the_next() {
        let (card, cancel) = (Arc::<Card>::default(), CancellationToken::new());
        let mut footage = footage(&card, &cancel, 0, 3600);
        assert!(read(&mut footage, 5).await.starts_with(&[0, 1, 2, 3, 4]));
        for to in [1805, 3000, 12] {
            footage.seek(UnixMicros(to * SECOND)).await.unwrap();
            let first = to / 10 * 10;
            assert!(read(&mut footage, 3).await.starts_with(&[first, first + 1, first + 2]), "{to}");
        }
        let from: Vec<_> = card.asks.lock().unwrap().iter().map(|ask| ask.from.0 / SECOND).collect();
        assert_eq!(from, [0, 1805, 3000, 12], "the device has room for one, and was never found busy");
        drop(footage);
        quiet(&card).await;
    }

    #[tokio::test(start_paused = true)]
    async fn another_speed_goes_on_where_it_was() {
        let (card, cancel) = (Arc::<Card>::default(), CancellationToken::new());
        let mut footage = footage(&card, &cancel, 0, 300);
        footage.expect(1.0, false).await.unwrap();
        let mut seconds = read(&mut footage, 5).await;
        for speed in [2.0, 2.0, 8.0] {
            footage.expect(speed, false).await.unwrap();
            seconds.extend(read(&mut footage, 40).await);
        }
        seconds.extend(read(&mut footage, usize::MAX).await);
        assert_eq!(seconds, (0..300).collect::<Vec<_>>(), "nothing twice, nothing left out");
        let speeds: Vec<_> = card.asks.lock().unwrap().iter().map(|ask| ask.speed).collect();
        assert_eq!(speeds, [1.0, 2.0, 8.0]);
    }

    #[tokio::test(start_paused = true)]
    async fn viewers_do_not_end_each_other() {
        let (card, cancel) = (Arc::<Card>::default(), CancellationToken::new());
        let mut first = footage(&card, &cancel, 0, 3600);
        let began = read(&mut first, 5).await.len();
        let mut second = footage(&card, &cancel, 0, 3600);
        assert_eq!(second.seek(UnixMicros(0)).await, Err(FootageError::Busy));
        assert_eq!(second.read(&mut Vec::new()).await, Err(FootageError::Busy));
        drop(second);
        assert_eq!(began + read(&mut first, usize::MAX).await.len(), 3600);
        let mut third = footage(&card, &cancel, 0, 3600);
        assert!(!read(&mut third, 1).await.is_empty());
        // A read that is given up loses nothing.
        let mut seconds = Vec::new();
        while seconds.len() < 100 {
            if let Ok(more) = timeout(Duration::ZERO, read(&mut third, 1)).await {
                seconds.extend(more);
            }
        }
        assert!(seconds.windows(2).all(|w| w[1] == w[0] + 1), "{seconds:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_breaks_off_is_taken_up_again_as_long_as_it_gets_on() {
        let (card, cancel) = (Arc::new(Card { breaks_after: Some(15), ..Card::default() }), CancellationToken::new());
        let mut all = footage(&card, &cancel, 0, 60);
        assert_eq!(read(&mut all, usize::MAX).await, (0..60).collect::<Vec<_>>(), "nothing twice, nothing left out");
        // From a key frame on it gets no further than it was.
        let card = Arc::new(Card { breaks_after: Some(5), ..Card::default() });
        let mut some = footage(&card, &cancel, 0, 60);
        assert_eq!(read(&mut some, 5).await, [0, 1, 2, 3, 4]);
        let failed = end(&mut some).await;
        assert!(matches!(failed, Err(FootageError::Failed { step: "rtsp", .. })), "{failed:?}");
        assert_eq!(card.asks.lock().unwrap().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_with_the_device() {
        let (card, cancel) = (Arc::<Card>::default(), CancellationToken::new());
        let mut footage = footage(&card, &cancel, 0, 3600);
        read(&mut footage, 5).await;
        let began = Instant::now();
        cancel.cancel();
        quiet(&card).await;
        assert!(began.elapsed() < Duration::from_secs(2));
        let end = end(&mut footage).await;
        assert!(matches!(end, Err(FootageError::Failed { step: "device", .. })), "{end:?}");
    }
}
