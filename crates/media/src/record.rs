//! A stream written into an archive.

use std::sync::Arc;
use std::time::Duration;

use av::UnixMicros;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{Archive, ArchiveError, Closed, Cut, End, Item, OpenSegment, SegmentSettings, Segmenter, Subscription};

/// After a failure, recording is tried again at the first key frame after this long.
const RETRY: Duration = Duration::from_secs(2);

/// The stream is read no more often than this, or four times a part: to wake for every frame would cost as
/// much as to receive it. Far below what a ring keeps.
const READ_EVERY_MAX: Duration = Duration::from_millis(250);

/// What a recording does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RecorderState {
    /// There is no key frame to begin with: none has come yet, or the stream is over.
    #[default]
    Waiting,
    /// It is written.
    Recording,
    /// It cannot be written and is tried again and again.
    Paused {
        /// The archive's words.
        why: String,
    },
}

/// How a recording goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecorderStatus {
    /// What it does.
    pub state: RecorderState,
    /// Since when: the wall time of the frame at which it began to; 0 before the first frame.
    pub since: UnixMicros,
    /// Milliseconds of media that came and are in no part: failures to write, and frames that left the
    /// stream's ring while a write took too long.
    pub lost_ms: u64,
    /// Parts written.
    pub parts: u64,
    /// Bytes of these parts.
    pub bytes: u64,
}

/// Writes a stream into an archive.
///
/// It reads like any viewer: while the archive is slow the stream goes on, its ring holds what comes, and
/// what leaves the ring unread is lost and counted. While the archive fails, what comes is left out and
/// counted, and every two seconds a new segment is tried at the next key frame. At most one segment is
/// being committed while the next is written.
pub struct Recorder {
    archive: Arc<dyn Archive>,
    segmenter: Segmenter,
    segment: Option<Box<dyn OpenSegment>>,
    /// At most one: the archive gets segments in their order.
    commits: JoinSet<Result<(), ArchiveError>>,
    /// The archive failed and has not begun a segment since: nothing is tried before.
    retry_at: Option<Instant>,
    /// Wall time of the newest frame.
    now: UnixMicros,
    /// Counted by those who used `status` before, and of parts that were cut and not written.
    lost_otherwise: Duration,
    status: watch::Sender<RecorderStatus>,
}

impl Recorder {
    /// Records until the stream ends or `stop` is cancelled, then commits what there is. Gives why the
    /// stream ended. `status` counts on from what it has.
    pub async fn run(
        mut subscription: Subscription,
        archive: Arc<dyn Archive>,
        settings: SegmentSettings,
        status: watch::Sender<RecorderStatus>,
        stop: CancellationToken,
    ) -> Option<End> {
        let RecorderStatus { since, lost_ms, .. } = status.borrow().clone();
        let mut recorder = Recorder {
            archive,
            segmenter: Segmenter::new(settings),
            segment: None,
            commits: JoinSet::new(),
            retry_at: None,
            now: since,
            lost_otherwise: Duration::from_millis(lost_ms),
            status,
        };
        recorder.enter(RecorderState::Waiting);
        let mut items = Vec::new();
        let end = loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break None,
                read = subscription.read(&mut items) => if let Err(Closed(end)) = read { break Some(end) },
            }
            for item in items.drain(..) {
                recorder.take(item).await;
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => break None,
                () = sleep(READ_EVERY_MAX.min(settings.part / 4)) => {}
            }
        };
        subscription.read_now(&mut items);
        for item in items {
            recorder.take(item).await;
        }
        let cuts: Vec<Cut> = recorder.segmenter.finish().collect();
        recorder.write(cuts).await;
        recorder.commit().await;
        recorder.settle().await;
        recorder.enter(RecorderState::Waiting);
        end
    }

    async fn take(&mut self, item: Item) {
        if let Item::Frame(frame) = &item {
            self.now = frame.wall;
        }
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            self.segmenter.skip(&item);
            self.count();
            return;
        }
        let cuts: Vec<Cut> = self.segmenter.push(item).collect();
        self.write(cuts).await;
    }

    async fn write(&mut self, cuts: Vec<Cut>) {
        for cut in cuts {
            if let Err(error) = self.write_one(cut).await {
                // What was appended is kept; the cuts that would follow begin with a segment's end.
                self.segmenter.abandon();
                self.commit().await;
                self.retry_at = Some(Instant::now() + RETRY);
                self.enter(RecorderState::Paused { why: error.to_string() });
                return;
            }
        }
    }

    async fn write_one(&mut self, cut: Cut) -> Result<(), ArchiveError> {
        match cut {
            Cut::Begin(start) => {
                self.segment = Some(self.archive.begin(start).await?);
                self.retry_at = None;
                self.enter(RecorderState::Recording);
            }
            Cut::Part(part) => {
                let segment = self.segment.as_mut().expect("parts follow a segment's begin");
                if let Err(error) = segment.append(&part).await {
                    self.lost_otherwise += Duration::from_micros((part.to.0 - part.from.0).max(0) as u64);
                    return Err(error);
                }
                self.status.send_modify(|status| {
                    status.parts += 1;
                    status.bytes += part.data.len() as u64;
                });
            }
            Cut::End => self.commit().await,
        }
        Ok(())
    }

    async fn commit(&mut self) {
        if let Some(segment) = self.segment.take() {
            self.settle().await;
            self.commits.spawn(segment.commit());
        }
    }

    /// Waits for the commit under way.
    async fn settle(&mut self) {
        while let Some(commit) = self.commits.join_next().await {
            match commit {
                Ok(Ok(())) => {}
                Ok(Err(error)) => warn!(error = &error as &dyn std::error::Error, "segment is not committed yet"),
                Err(error) => warn!(%error, "commit of a segment failed"),
            }
        }
    }

    fn enter(&self, state: RecorderState) {
        self.status.send_if_modified(|status| {
            let changed = status.state != state;
            if changed {
                if let RecorderState::Paused { why } = &state {
                    warn!(why, "recording pauses");
                }
                (status.state, status.since) = (state, self.now);
            }
            changed
        });
        self.count();
    }

    fn count(&self) {
        let lost = self.lost_otherwise + self.segmenter.lost();
        self.status.send_if_modified(|status| {
            let before = std::mem::replace(&mut status.lost_ms, lost.as_millis() as u64);
            status.lost_ms != before
        });
    }
}
