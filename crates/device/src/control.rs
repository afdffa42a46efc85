//! What a device is asked to do, one thing after the other, and what must end although nobody asks for
//! it: motors in motion and sounds being played.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use av::Pcm;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, info, info_span, warn};

use crate::driver::{ChannelNo, DeviceFacts, Driver, DriverError, Limit, Position, PresetNo, Velocity};
use crate::replay::Source;

/// A device that has not answered by then will not: the API promises its own answer within 5 s.
/// Waiting for one's turn is part of it.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_millis(4500);
/// What is asked only to answer better (where the motor stands, whether the lens is covered) may take
/// this much of it, so that a device that is slow there alone can still be moved.
const ASIDE_TIMEOUT: Duration = Duration::from_millis(1500);
/// A motor that was not stopped runs until its camera's own limit, if it has one; a person looking
/// through it holds a key for seconds.
pub const PTZ_WATCHDOG: Duration = Duration::from_secs(30);
/// A motor that could not be stopped is tried again after this, so often.
const STOP_AGAIN: Duration = Duration::from_secs(5);
const STOP_ATTEMPTS: u32 = 6;
/// An axis this near to ±1 is at its end: 1.7° of a travel of 340°. Cameras round, and stop short.
const END: f32 = 0.99;
/// A sound may take this much longer than it is: buffers and a busy machine.
const SPEAK_MARGIN: Duration = Duration::from_secs(5);

/// Everything that is asked of one device. Its actor runs [`Control::watch_motors`] and, at the end,
/// [`Control::close`].
pub(crate) struct Control {
    driver: Arc<dyn Driver>,
    /// Held while the device is asked something; who waits is served in order.
    turn: tokio::sync::Mutex<()>,
    known: Mutex<Known>,
    /// Motors set in motion. One stays until a stop was answered, or cannot be.
    motions: watch::Sender<BTreeMap<ChannelNo, Motion>>,
    watchdog: Duration,
    /// The device is no longer ours: nothing more is asked of it.
    cancel: CancellationToken,
    /// Sounds and footage being played.
    tasks: TaskTracker,
}

/// What a device said before; forgotten when it comes back.
#[derive(Default)]
struct Known {
    /// It can cover its lenses.
    covers: bool,
    /// Which lenses are covered.
    masks: BTreeMap<ChannelNo, bool>,
    /// Motors that do not tell where they stand.
    silent: BTreeSet<ChannelNo>,
    /// Speakers in use by us. Not the device's word, and not forgotten.
    speaking: BTreeSet<ChannelNo>,
}

/// A motor in motion, as far as we know.
#[derive(Clone, Copy)]
struct Motion {
    /// When it is stopped unasked.
    stop_at: Instant,
    /// How often that failed.
    failures: u32,
}

/// A speaker in use, until this is dropped.
struct Speaking {
    control: Arc<Control>,
    channel: ChannelNo,
}

impl Drop for Speaking {
    fn drop(&mut self) {
        self.control.known().speaking.remove(&self.channel);
    }
}

pub(crate) async fn bounded<T>(ask: impl Future<Output = Result<T, DriverError>>) -> Result<T, DriverError> {
    timeout(ANSWER_TIMEOUT, ask).await.map_err(|_| DriverError::Timeout { step: "answer" })?
}

async fn aside<T>(ask: impl Future<Output = Result<T, DriverError>>) -> Result<T, DriverError> {
    timeout(ASIDE_TIMEOUT, ask).await.map_err(|_| DriverError::Timeout { step: "answer" })?
}

impl Control {
    pub(crate) fn new(driver: Arc<dyn Driver>, watchdog: Duration, cancel: CancellationToken) -> Control {
        Control {
            driver,
            turn: tokio::sync::Mutex::default(),
            known: Mutex::default(),
            motions: watch::Sender::default(),
            watchdog,
            cancel,
            tasks: TaskTracker::new(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("no panic while it is locked")
    }

    /// The device came on line: what it said before may no longer be so.
    pub(crate) fn connected(&self, facts: &DeviceFacts) {
        let mut known = self.known();
        let covers = facts.capabilities.get("support_privacy").is_some_and(|value| value != "0");
        *known = Known { covers, speaking: std::mem::take(&mut known.speaking), ..Known::default() };
    }

    /// Asks the device something when it is its turn.
    pub(crate) async fn ask<T>(&self, ask: impl Future<Output = Result<T, DriverError>>) -> Result<T, DriverError> {
        let ask = async {
            let _turn = self.turn.lock().await;
            ask.await
        };
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => {
                Err(DriverError::Unreachable { step: "device", cause: "it was detached".into() })
            }
            answer = bounded(ask) => answer,
        }
    }

    pub(crate) async fn ptz_start(&self, channel: ChannelNo, velocity: Velocity) -> Result<(), DriverError> {
        let start = async {
            if self.is_masked(channel).await {
                return Err(DriverError::Masked);
            }
            if let Some(limit) = self.limit(channel, velocity).await {
                return Err(DriverError::AtLimit(limit));
            }
            // Before it is asked: whoever asks may leave, or the answer may be lost, while it moves.
            let motion = Motion { stop_at: Instant::now() + self.watchdog, failures: 0 };
            let mut before = None;
            self.motions.send_modify(|motions| before = motions.insert(channel, motion));
            let started = self.driver.ptz_start(channel, velocity).await;
            if started.as_ref().is_err_and(never_began) {
                self.motions.send_modify(|motions| {
                    match before {
                        Some(before) => motions.insert(channel, before),
                        None => motions.remove(&channel),
                    };
                });
            }
            started
        };
        self.ask(start).await
    }

    pub(crate) async fn ptz_stop(&self, channel: ChannelNo) -> Result<(), DriverError> {
        self.ask(self.stop(channel)).await
    }

    /// Stops a motor; a motion that may go on is remembered.
    async fn stop(&self, channel: ChannelNo) -> Result<(), DriverError> {
        let stopped = self.driver.ptz_stop(channel).await;
        if matches!(stopped, Ok(()) | Err(DriverError::Unsupported)) {
            self.forget_motion(channel);
        }
        stopped
    }

    fn forget_motion(&self, channel: ChannelNo) {
        self.motions.send_if_modified(|motions| motions.remove(&channel).is_some());
    }

    pub(crate) async fn preset_move(&self, channel: ChannelNo, preset: PresetNo) -> Result<(), DriverError> {
        self.ask(self.driver.preset_move(channel, preset)).await?;
        // It goes there and stops by itself; a stop of ours would come in between.
        self.forget_motion(channel);
        Ok(())
    }

    pub(crate) async fn mask(&self, channel: ChannelNo) -> Result<bool, DriverError> {
        let covered = self.ask(self.driver.mask(channel)).await?;
        self.known().masks.insert(channel, covered);
        Ok(covered)
    }

    pub(crate) fn known_mask(&self, channel: ChannelNo) -> Option<bool> {
        self.known().masks.get(&channel).copied()
    }

    pub(crate) async fn set_mask(&self, channel: ChannelNo, covered: bool) -> Result<(), DriverError> {
        // Until it is answered, and if it is not, nobody knows.
        self.known().masks.remove(&channel);
        self.ask(self.driver.set_mask(channel, covered)).await?;
        self.known().masks.insert(channel, covered);
        Ok(())
    }

    /// Whether the lens is covered, where the device can cover it: asked once after each connection, and
    /// again before it is said to be, since others may have uncovered it.
    async fn is_masked(&self, channel: ChannelNo) -> bool {
        let before = {
            let known = self.known();
            match known.masks.get(&channel) {
                Some(false) => return false,
                None if !known.covers => return false,
                before => before.copied(),
            }
        };
        // A device that does not tell is moved, unless it told that it is covered.
        let covered = aside(self.driver.mask(channel)).await.unwrap_or(before == Some(true));
        self.known().masks.insert(channel, covered);
        covered
    }

    /// The end of travel that keeps the motor from moving so. A device that does not tell has none.
    async fn limit(&self, channel: ChannelNo, velocity: Velocity) -> Option<Limit> {
        if velocity.zoom != 0.0 || self.known().silent.contains(&channel) {
            return None;
        }
        match aside(self.driver.position(channel)).await {
            Ok(position) => limit(velocity, position),
            Err(error) => {
                if error == DriverError::Unsupported {
                    self.known().silent.insert(channel);
                }
                None
            }
        }
    }

    /// Opens the speaker and plays on in a task of the device.
    pub(crate) async fn speak(self: &Arc<Self>, channel: ChannelNo, sound: Pcm) -> Result<(), DriverError> {
        if !self.known().speaking.insert(channel) {
            return Err(DriverError::SpeakerBusy);
        }
        let speaking = Speaking { control: self.clone(), channel };
        let speaker = self.ask(self.driver.open_speaker(channel)).await?;
        let patience = sound.duration() + SPEAK_MARGIN;
        let play = async move {
            let Speaking { control, .. } = &speaking;
            tokio::select! {
                biased;
                () = control.cancel.cancelled() => {}
                played = timeout(patience, speaker.play(sound)) => match played {
                    Ok(Ok(())) => debug!("sound was played"),
                    Ok(Err(error)) => warn!(step = error.step(), %error, "sound was cut"),
                    Err(_) => warn!(?patience, "sound was cut: the device takes it too slowly"),
                },
            }
        };
        let span = info_span!("speaker", %channel);
        self.tasks.spawn(play.instrument(span));
        Ok(())
    }

    /// What playing the device's own footage needs of it.
    pub(crate) fn replay_source(&self) -> Source {
        Source { driver: self.driver.clone(), cancel: self.cancel.clone(), tasks: self.tasks.clone() }
    }

    /// Stops motors that nobody has stopped in time.
    pub(crate) async fn watch_motors(&self) -> Infallible {
        let mut motions = self.motions.subscribe();
        loop {
            let next = motions.borrow_and_update().iter().map(|(channel, motion)| (motion.stop_at, *channel)).min();
            let overdue = async {
                match next {
                    Some((stop_at, channel)) => {
                        sleep_until(stop_at).await;
                        channel
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                changed = motions.changed() => changed.expect("the sender is ours"),
                channel = overdue => self.stop_unasked(channel).await,
            }
        }
    }

    async fn stop_unasked(&self, channel: ChannelNo) {
        let overdue = || self.motions.borrow().get(&channel).is_some_and(|motion| motion.stop_at <= Instant::now());
        // While this waits for its turn somebody may stop it, or start it anew.
        let stopped = self.ask(async { if overdue() { self.stop(channel).await } else { Ok(()) } }).await;
        match stopped {
            Ok(()) => info!(%channel, "motor stopped by its watchdog"),
            Err(error) => self.motions.send_modify(|motions| {
                let Some(motion) = motions.get_mut(&channel) else { return };
                motion.failures += 1;
                motion.stop_at = Instant::now() + STOP_AGAIN;
                if motion.failures == STOP_ATTEMPTS {
                    warn!(%channel, %error, "motor could not be stopped");
                    motions.remove(&channel);
                }
            }),
        }
    }

    /// Leaves the device as it should be: motors still, speakers free. To be called once `cancel` is
    /// cancelled, after which nothing more is begun.
    pub(crate) async fn close(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        let stop_all = async {
            let _turn = self.turn.lock().await;
            let moving: Vec<ChannelNo> = self.motions.borrow().keys().copied().collect();
            for channel in moving {
                if let Err(error) = self.stop(channel).await {
                    warn!(%channel, %error, "motor could not be stopped");
                }
            }
            Ok(())
        };
        if let Err(error) = bounded(stop_all).await {
            warn!(%error, "motors could not be stopped");
        }
    }
}

/// Whether a start that failed so did surely not move the motor.
fn never_began(error: &DriverError) -> bool {
    match error {
        DriverError::Timeout { step } | DriverError::Unreachable { step, .. } => matches!(*step, "resolve" | "dial"),
        DriverError::Protocol { .. } => false,
        _ => true,
    }
}

/// The end that every axis asked for is at; of two the horizontal one. Zoom has none.
fn limit(velocity: Velocity, position: Position) -> Option<Limit> {
    let axes = [
        (velocity.pan, position.pan, Limit::Left, Limit::Right),
        (velocity.tilt, position.tilt, Limit::Down, Limit::Up),
    ];
    let asked = axes.into_iter().filter(|(speed, ..)| *speed != 0.0);
    let ends: Option<Vec<Limit>> = asked
        .map(|(speed, at, low, high)| match speed > 0.0 {
            true => (at? >= END).then_some(high),
            false => (at? <= -END).then_some(low),
        })
        .collect();
    ends?.first().copied()
}
