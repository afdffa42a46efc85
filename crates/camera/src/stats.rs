//! What can be counted about a running camera.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Numbers of a camera at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Video encoders at work: 0 to 2, and 0 when nobody watches.
    pub encoders_running: u64,
    /// Pictures encoded since the start.
    pub pictures_encoded: u64,
    /// RTSP connections open.
    pub connections: u64,
    /// RTSP sessions playing.
    pub sessions_playing: u64,
    /// Sessions set up to play what is on the card.
    pub replays: u64,
    /// RTP packets sent.
    pub packets_sent: u64,
    /// RTP payload bytes sent.
    pub bytes_sent: u64,
    /// Frames that slow viewers lost.
    pub frames_skipped: u64,
    /// Connections and requests ended because of malformed input.
    pub malformed: u64,
    /// Wrong logins, at RTSP and at ONVIF.
    pub logins_refused: u64,
    /// Connections closed at once because there were too many.
    pub connections_refused: u64,
    /// ONVIF requests answered.
    pub onvif_requests: u64,
}

macro_rules! counters {
    ($($name:ident),*) => {
        /// The living numbers behind [`Stats`].
        #[derive(Debug, Default)]
        pub struct Counters { $(pub(crate) $name: AtomicU64),* }

        impl Counters {
            /// The numbers now.
            pub fn read(&self) -> Stats {
                Stats { $($name: self.$name.load(Relaxed)),* }
            }
        }
    };
}

counters!(
    encoders_running,
    pictures_encoded,
    connections,
    sessions_playing,
    replays,
    packets_sent,
    bytes_sent,
    frames_skipped,
    malformed,
    logins_refused,
    connections_refused,
    onvif_requests
);

impl Counters {
    pub(crate) fn encoder_starts(self: &Arc<Self>) -> Level {
        self.level(|counters| &counters.encoders_running)
    }

    pub(crate) fn picture_encoded(&self) {
        self.pictures_encoded.fetch_add(1, Relaxed);
    }

    /// Raises a number until the returned value is dropped.
    pub(crate) fn level(self: &Arc<Self>, which: fn(&Counters) -> &AtomicU64) -> Level {
        which(self).fetch_add(1, Relaxed);
        Level { counters: self.clone(), which }
    }
}

/// One of something that is counted while it lives.
pub(crate) struct Level {
    counters: Arc<Counters>,
    which: fn(&Counters) -> &AtomicU64,
}

impl Drop for Level {
    fn drop(&mut self) {
        (self.which)(&self.counters).fetch_sub(1, Relaxed);
    }
}
