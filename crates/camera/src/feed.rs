//! One elementary stream between who makes it and who watches it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use av::{Frame, Track};
use tokio::sync::{Notify, broadcast};

/// Frames kept for viewers that are behind: 3 s of video at 20 a second, or 2.5 s of A-law.
/// A viewer further behind loses its place and goes on at the newest key frame.
const BACKLOG: usize = 64;

/// A track made only while somebody watches: the maker waits in [`Feed::watched`].
pub struct Feed {
    /// What is made.
    pub track: Track,
    frames: broadcast::Sender<Arc<Frame>>,
    came: Notify,
    key_wanted: AtomicBool,
}

impl Feed {
    /// A feed nobody watches yet.
    pub fn new(track: Track) -> Feed {
        let (frames, _) = broadcast::channel(BACKLOG);
        Feed { track, frames, came: Notify::new(), key_wanted: AtomicBool::new(false) }
    }

    /// Watches from now on; dropping the receiver ends it.
    pub fn watch(&self) -> broadcast::Receiver<Arc<Frame>> {
        let receiver = self.frames.subscribe();
        self.came.notify_one();
        receiver
    }

    /// Asks for a key frame as soon as one can be made.
    pub fn request_key_frame(&self) {
        self.key_wanted.store(true, Ordering::Relaxed);
    }

    /// Whether a key frame was asked for since the last call.
    pub fn take_key_request(&self) -> bool {
        self.key_wanted.swap(false, Ordering::Relaxed)
    }

    /// Whether anybody watches.
    pub fn is_watched(&self) -> bool {
        self.frames.receiver_count() > 0
    }

    /// Waits until somebody watches. Only the one maker of the feed may wait.
    pub async fn watched(&self) {
        while !self.is_watched() {
            self.came.notified().await;
        }
    }

    /// Hands a frame to all who watch; with nobody watching it is dropped.
    pub fn publish(&self, frame: Frame) {
        // The only error is that the last viewer has just gone.
        let _ = self.frames.send(Arc::new(frame));
    }
}

/// What a viewer gets under one RTSP path: a picture, and perhaps sound.
#[derive(Clone)]
pub struct Stream {
    /// Pictures.
    pub video: Arc<Feed>,
    /// Sound, shared by the qualities of a live camera.
    pub sound: Option<Arc<Feed>>,
}

impl Stream {
    /// Its feeds; track numbers of RTSP are positions here.
    pub fn feeds(&self) -> impl Iterator<Item = &Arc<Feed>> {
        [Some(&self.video), self.sound.as_ref()].into_iter().flatten()
    }
}
