//! The tasks that make frames while somebody watches.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use av::{Frame, TrackId};
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use crate::Error;
use crate::clock::{self, Clock};
use crate::config::{SoundConfig, VideoConfig};
use crate::encoder::{Caption, Studio};
use crate::feed::Feed;
use crate::lens::Lens;
use crate::ptz::Ptz;
use crate::scene::Scene;
use crate::sound::SoundEncoder;
use crate::stats::Counters;

/// Wait after an encoder failed: it will probably fail again.
const RETRY: Duration = Duration::from_secs(1);

/// Everything that one stream's pictures depend on.
pub struct VideoSource {
    /// Where they go.
    pub feed: Arc<Feed>,
    /// How they are made.
    pub video: VideoConfig,
    /// Time.
    pub clock: Clock,
    /// The world, shared by both streams.
    pub scene: Arc<OnceLock<Scene>>,
    /// Which world.
    pub seed: u64,
    /// Where the camera looks.
    pub ptz: Arc<Mutex<Ptz>>,
    /// How the picture is adjusted.
    pub lens: Arc<Mutex<Lens>>,
    /// What is written into the picture.
    pub caption: Caption,
    /// What others see of us.
    pub counters: Arc<Counters>,
}

impl VideoSource {
    /// Encodes whenever somebody watches, until cancelled.
    pub async fn run(self, cancel: CancellationToken) {
        let next = AtomicU32::new(0);
        loop {
            let made = tokio::select! { biased;
                () = cancel.cancelled() => return,
                made = self.run_once(&next) => made,
            };
            if let Err(error) = made {
                error!(%error, "encoder failed");
                sleep(RETRY).await;
            }
        }
    }

    /// From the first viewer to the last.
    async fn run_once(&self, next: &AtomicU32) -> Result<(), Error> {
        self.feed.watched().await;
        let _running = self.counters.encoder_starts();
        debug!(width = self.video.width, "encoder starts");
        let (scene, seed, caption, video) = (self.scene.clone(), self.seed, self.caption.clone(), self.video);
        let mut studio = blocking(move || Studio::new(scene, seed, caption, &video)).await?;
        let rate = u64::from(self.video.frame_rate);
        // Pictures are taken on a grid that begins at the camera's start, so that timestamps are even.
        let time_of = |tick: u64| Duration::from_nanos(tick * 1_000_000_000 / rate);
        let tick_after = |elapsed: Duration| (elapsed.as_nanos() * u128::from(rate) / 1_000_000_000) as u64 + 1;
        let mut tick = tick_after(self.clock.elapsed());
        while self.feed.is_watched() {
            let at = time_of(tick);
            sleep_until(self.clock.instant(at)).await;
            let wall = clock::wall();
            let status = self.ptz.lock().expect("no holder panics").status(at);
            let lens = *self.lens.lock().expect("no holder panics");
            let key = self.feed.take_key_request();
            let counter = next.fetch_add(1, Ordering::Relaxed);
            let (back, unit) = blocking(move || {
                let unit = studio.shoot(at, wall, &status, &lens, counter, key)?;
                Ok((studio, unit))
            })
            .await?;
            studio = back;
            let dts = clock::ticks(at, self.feed.track.clock_rate);
            self.feed.publish(Frame { track: TrackId::VIDEO, dts, cts: 0, wall, key: unit.key, data: unit.data });
            self.counters.picture_encoded();
            // A machine that is too slow takes fewer pictures, each at its right time.
            tick = (tick + 1).max(tick_after(self.clock.elapsed()));
        }
        debug!(width = self.video.width, "encoder stops");
        Ok(())
    }
}

/// Runs work that would hold up other tasks; a panic in it becomes an error.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|panic| Err(Error::Encoder(panic.to_string())))
}

/// Plays the melody into a feed whenever somebody listens, until cancelled.
pub async fn run_sound(feed: Arc<Feed>, config: SoundConfig, clock: Clock, cancel: CancellationToken) {
    loop {
        let made = tokio::select! { biased;
            () = cancel.cancelled() => return,
            made = run_sound_once(&feed, config, clock) => made,
        };
        if let Err(error) = made {
            error!(%error, "sound encoder failed");
            sleep(RETRY).await;
        }
    }
}

async fn run_sound_once(feed: &Feed, config: SoundConfig, clock: Clock) -> Result<(), Error> {
    feed.watched().await;
    debug!(?config, "sound starts");
    let Some(mut encoder) = SoundEncoder::new(config)? else { return std::future::pending().await };
    let (rate, length) = (u64::from(encoder.sample_rate()), u64::from(encoder.frame_samples()));
    let time_of = |sample: u64| Duration::from_nanos((u128::from(sample) * 1_000_000_000 / u128::from(rate)) as u64);
    let sample_at = |elapsed: Duration| (elapsed.as_nanos() * u128::from(rate) / 1_000_000_000) as u64;
    let mut start = sample_at(clock.elapsed()) / length * length;
    while feed.is_watched() {
        // A frame is ready when its last sample is heard.
        sleep_until(clock.instant(time_of(start + length))).await;
        if let Some((time, data)) = encoder.encode(start)? {
            let (dts, wall) = (av::Ticks(time), clock::wall());
            feed.publish(Frame { track: TrackId::AUDIO, dts, cts: 0, wall, key: true, data });
        }
        start += length;
        // A second behind: the sound in between is lost, as in any recorder that overflows.
        if sample_at(clock.elapsed()) > start + rate {
            start = sample_at(clock.elapsed()) / length * length;
        }
    }
    debug!("sound stops");
    Ok(())
}
