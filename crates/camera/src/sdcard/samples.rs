//! What a new card holds already: clips of yesterday and today, one of them across midnight, so that whoever
//! looks for footage finds some.
//!
//! They are drawn and encoded as if the camera had been on then: the date in the picture, the tower's clock and
//! the counter, which begins at 0 in each, are true. It is done beside the live picture and gives way to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use av::{CodecParameters, Frame, Ticks, Track, TrackId, UnixMicros};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Card;
use super::tape::Tape;
use crate::channel::Channel;
use crate::config::{Quality, SoundConfig, VideoConfig};
use crate::encoder::{Studio, VideoEncoder};
use crate::sound::SoundEncoder;
use crate::{Error, clock};

/// Extension of samples that are being made.
pub const UNFINISHED: &str = "unfinished";
/// End of the names of their files, before the extension.
pub const SUFFIX: &str = "-sample";
/// Pictures a second: few, as a new card shall cost a few seconds of work, not minutes.
const FRAME_RATE: u32 = 4;
/// Samples begin at this point of their clocks: what a sound coder makes first lies a little before.
const BEGIN: Duration = Duration::from_secs(10);

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 24 * 60 * MINUTE;

/// The file that says that the samples of a card are all there.
pub fn marker(card: &Path) -> PathBuf {
    card.join("samples")
}

/// When the samples of a card that is new `now` begin, and how many seconds they last, the newest first: today
/// if that is old enough, across the last midnight, yesterday evening and yesterday morning, all by local time.
pub fn plan(now: UnixMicros, utc_offset_minutes: i16) -> Vec<(UnixMicros, u32)> {
    let offset = i64::from(utc_offset_minutes) * MINUTE;
    let today = (now.0 + offset).div_euclid(DAY) * DAY - offset;
    // A midnight that has only just been is too near to what is recorded now.
    let midnight = if now.0 - today < 5 * MINUTE { today - DAY } else { today };
    // The last full ten minutes that are some minutes ago.
    let recent = (now.0 - 5 * MINUTE).div_euclid(10 * MINUTE) * (10 * MINUTE);
    let mut plan = Vec::new();
    if recent > today + MINUTE {
        plan.push((UnixMicros(recent), 20));
    }
    plan.push((UnixMicros(midnight - 15 * SECOND), 30));
    plan.push((UnixMicros(today - DAY + (17 * 60 + 40) * MINUTE), 20));
    plan.push((UnixMicros(today - DAY + (8 * 60 + 15) * MINUTE), 20));
    plan.sort_by_key(|(from, _)| std::cmp::Reverse(*from));
    plan
}

/// Makes the samples of all channels; each is listed when it is done. Blocks.
///
/// # Errors
/// If an encoder fails or the card cannot be written.
pub fn make(card: &Arc<Card>, channels: &[Arc<Channel>], cancel: &CancellationToken) -> Result<(), Error> {
    for channel in channels {
        let now = channel.clock().wall();
        for (from, seconds) in plan(now, channel.utc_offset_minutes()) {
            let to = UnixMicros(from.0 + i64::from(seconds) * SECOND);
            // One who was switched off in the middle has some of them.
            if from.0 >= 0 && card.clips(channel.number(), from, to).is_empty() {
                shoot(card, channel, from, seconds, cancel)?;
            }
            if cancel.is_cancelled() {
                return Ok(());
            }
        }
    }
    fs::write(marker(&card.config.folder), "").map_err(|error| card.failed(error))?;
    card.ready.send_replace(true);
    Ok(())
}

/// Takes the pictures of one sample.
fn shoot(
    card: &Arc<Card>,
    channel: &Channel,
    from: UnixMicros,
    seconds: u32,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let main = channel.video(Quality::Main);
    let rate = FRAME_RATE.min(main.frame_rate);
    // Fewer pictures differ more from each other: half as many bits a second are too few for a fifth of them.
    let video = VideoConfig { frame_rate: rate, bitrate_bps: (main.bitrate_bps / 2).max(32_000), ..main };
    let mut studio = Studio::new(channel.viewfinder(Quality::Main), &video)?;
    let mut sound = Sound::new(channel.sound())?;
    let codec = CodecParameters::H264(VideoEncoder::parameters(&video)?);
    let mut tracks = vec![Track { id: TrackId::VIDEO, codec, clock_rate: 90_000 }];
    tracks.extend(sound.as_ref().map(|sound| sound.track.clone()));
    let mut tape = Tape::new(card.clone(), channel.number(), tracks).of_sample();
    let sight = channel.sight(Duration::ZERO);
    let midnight = clock::time_of_day(from, 0);
    for counter in 0..seconds * rate {
        if cancel.is_cancelled() {
            return Ok(());
        }
        let begun = Instant::now();
        let passed = Duration::from_micros(u64::from(counter) * 1_000_000 / u64::from(rate));
        let wall = UnixMicros(from.0 + passed.as_micros() as i64);
        let unit = studio.shoot(midnight + passed, wall, &sight, counter, false)?;
        let dts = clock::ticks(BEGIN + passed, 90_000);
        let frame = Frame { track: TrackId::VIDEO, dts, cts: 0, wall, key: unit.key, data: unit.data };
        tape.push(Arc::new(frame))?;
        if let Some(sound) = &mut sound {
            sound.play(BEGIN + passed + Duration::from_secs(1) / rate, wall, &mut tape)?;
        }
        // Half a processor at most: somebody may watch.
        std::thread::sleep(begun.elapsed());
    }
    debug!(channel = channel.number(), from = from.0, seconds, "sample made");
    tape.finish()
}

/// The melody of a sample.
struct Sound {
    encoder: SoundEncoder,
    track: Track,
    /// The next sample.
    next: u64,
}

impl Sound {
    fn new(config: SoundConfig) -> Result<Option<Sound>, Error> {
        Ok(SoundEncoder::new(config)?.map(|encoder| {
            let clock_rate = encoder.sample_rate();
            let track = Track { id: TrackId::AUDIO, codec: encoder.parameters(), clock_rate };
            let frame = u64::from(encoder.frame_samples());
            Sound { next: BEGIN.as_secs() * u64::from(clock_rate) / frame * frame, encoder, track }
        }))
    }

    /// Records what is heard up to a point of the clock.
    fn play(&mut self, until: Duration, wall: UnixMicros, tape: &mut Tape) -> Result<(), Error> {
        let until = clock::ticks(until, self.track.clock_rate).0 as u64;
        while self.next + u64::from(self.encoder.frame_samples()) <= until {
            if let Some((time, data)) = self.encoder.encode(self.next)? {
                let frame = Frame { track: TrackId::AUDIO, dts: Ticks(time), cts: 0, wall, key: true, data };
                tape.push(Arc::new(frame))?;
            }
            self.next += u64::from(self.encoder.frame_samples());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_of_today_and_yesterday_and_over() {
        let hour = 60 * MINUTE;
        let day = 20_000 * DAY;
        for offset in [0i16, 480, -210] {
            let local_midnight = day - i64::from(offset) * MINUTE;
            for now in [0, 2 * MINUTE, 6 * MINUTE, 7 * MINUTE, hour, 12 * hour, DAY - 1] {
                let now = local_midnight + now;
                let plan = plan(UnixMicros(now), offset);
                let spans: Vec<_> = plan.iter().map(|(at, s)| (at.0, at.0 + i64::from(*s) * SECOND)).collect();
                assert!(spans.iter().all(|(_, to)| *to < now - MINUTE), "over for a while");
                assert!(spans.windows(2).all(|pair| pair[1].1 < pair[0].0), "{spans:?} apart, the newest first");
                let local = |at: i64| (at + i64::from(offset) * MINUTE).div_euclid(DAY);
                assert!(spans.iter().any(|(from, to)| local(*from) + 1 == local(*to)), "one is across midnight");
                assert!(spans.iter().filter(|(from, _)| local(*from) == local(now) - 1).count() >= 2, "yesterday");
                if now - local_midnight > 20 * MINUTE {
                    assert!(spans.iter().any(|(from, _)| local(*from) == local(now)), "today");
                }
            }
        }
    }
}
