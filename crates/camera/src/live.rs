//! The tasks that make frames while somebody watches.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use av::{Frame, TrackId};
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use crate::Error;
use crate::channel::Channel;
use crate::clock::{self, Clock};
use crate::config::{Quality, SoundConfig};
use crate::encoder::Studio;
use crate::feed::Feed;
use crate::sound::SoundEncoder;

/// Wait after an encoder failed: it will probably fail again.
const RETRY: Duration = Duration::from_secs(1);

/// One stream of pictures, as long as somebody watches.
pub struct VideoSource {
    /// What is seen.
    pub channel: Arc<Channel>,
    /// How large.
    pub quality: Quality,
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
        let VideoSource { channel, quality } = self;
        let (feed, clock, video) = (&channel.stream(*quality).video, channel.clock(), channel.video(*quality));
        feed.watched().await;
        let _running = channel.counters().encoder_starts();
        debug!(channel = channel.number(), width = video.width, "encoder starts");
        let viewfinder = channel.viewfinder(*quality);
        let mut studio = blocking(move || Studio::new(viewfinder, &video)).await?;
        let rate = u64::from(video.frame_rate);
        // Pictures are taken on a grid that begins at the camera's start, so that timestamps are even.
        let time_of = |tick: u64| Duration::from_nanos(tick * 1_000_000_000 / rate);
        let tick_after = |elapsed: Duration| (elapsed.as_nanos() * u128::from(rate) / 1_000_000_000) as u64 + 1;
        let mut tick = tick_after(clock.elapsed());
        while feed.is_watched() {
            let at = time_of(tick);
            sleep_until(clock.instant(at)).await;
            let (wall, sight) = (clock.wall_at(at), channel.sight(at));
            let key = feed.take_key_request();
            let counter = next.fetch_add(1, Ordering::Relaxed);
            let (back, unit) = blocking(move || {
                let unit = studio.shoot(at, wall, &sight, counter, key)?;
                Ok((studio, unit))
            })
            .await?;
            studio = back;
            let dts = clock::ticks(at, feed.track.clock_rate);
            feed.publish(Frame { track: TrackId::VIDEO, dts, cts: 0, wall, key: unit.key, data: unit.data });
            channel.counters().picture_encoded();
            // A machine that is too slow takes fewer pictures, each at its right time.
            tick = (tick + 1).max(tick_after(clock.elapsed()));
        }
        debug!(channel = channel.number(), width = video.width, "encoder stops");
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
            let wall = clock.wall_at(time_of(start));
            feed.publish(Frame { track: TrackId::AUDIO, dts: av::Ticks(time), cts: 0, wall, key: true, data });
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
