//! Where the camera looks, as a function of time.
//!
//! Nothing ticks here: an order to move stores where the axis was and how fast it goes, and position
//! at any later time follows. Positions and speeds are in ONVIF's generic spaces: pan and tilt -1 to
//! 1, zoom 0 to 1, speeds -1 to 1.

use std::time::Duration;

use crate::scene::{View, ZOOM_MAX};

/// Units a second at full speed: from end to end in 4 s.
const PAN_SPEED_MAX: f32 = 0.5;
/// Units a second at full speed: from end to end in 3 s.
const TILT_SPEED_MAX: f32 = 2.0 / 3.0;
/// Units a second at full speed: from wide to tele in 2.5 s.
const ZOOM_SPEED_MAX: f32 = 0.4;
/// A continuous move ends by itself after this time, lest a lost Stop leaves the camera at its end.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// Longest timeout a client may ask for.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// How one axis moves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Motion {
    Still,
    /// At constant speed until stopped, at the limit, or after `until`.
    Drift {
        velocity: f32,
        until: Duration,
    },
    /// To `target` and no further.
    Approach {
        target: f32,
        speed: f32,
    },
}

/// One axis: where it was at `since`, and how it moves from there.
#[derive(Clone, Copy, Debug)]
struct Axis {
    min: f32,
    max: f32,
    speed_max: f32,
    position: f32,
    motion: Motion,
    since: Duration,
}

impl Axis {
    const fn new(min: f32, max: f32, speed_max: f32, position: f32) -> Axis {
        Axis { min, max, speed_max, position, motion: Motion::Still, since: Duration::ZERO }
    }

    fn at(&self, now: Duration) -> f32 {
        let seconds = |until: Duration| until.saturating_sub(self.since).as_secs_f32();
        match self.motion {
            Motion::Still => self.position,
            Motion::Drift { velocity, until } => {
                (self.position + velocity * seconds(now.min(until))).clamp(self.min, self.max)
            }
            Motion::Approach { target, speed } => {
                let (way, gone) = (target - self.position, speed * seconds(now));
                // The target itself, which a sum of rounded parts may miss for ever.
                if gone >= way.abs() { target } else { self.position + way.signum() * gone }
            }
        }
    }

    fn is_moving(&self, now: Duration) -> bool {
        let at = self.at(now);
        match self.motion {
            Motion::Still => false,
            Motion::Drift { velocity, until } => {
                velocity != 0.0 && now < until && at != if velocity > 0.0 { self.max } else { self.min }
            }
            Motion::Approach { target, .. } => at != target,
        }
    }

    fn set(&mut self, now: Duration, motion: Motion) {
        self.position = self.at(now);
        self.since = now;
        self.motion = motion;
    }

    fn drift(&mut self, now: Duration, speed: f32, until: Duration) {
        self.set(now, Motion::Drift { velocity: speed.clamp(-1.0, 1.0) * self.speed_max, until });
    }

    fn approach(&mut self, now: Duration, target: f32, speed: Option<f32>) {
        // Slower than a hundredth of full speed would never arrive.
        let speed = speed.unwrap_or(1.0).abs().clamp(0.01, 1.0) * self.speed_max;
        self.set(now, Motion::Approach { target: target.clamp(self.min, self.max), speed });
    }
}

/// A value for some of the three axes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Axes {
    /// Horizontal, positive to the right.
    pub pan: Option<f32>,
    /// Vertical, positive upwards.
    pub tilt: Option<f32>,
    /// Positive magnifies.
    pub zoom: Option<f32>,
}

/// Position and movement at one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Status {
    /// -1 to 1.
    pub pan: f32,
    /// -1 to 1.
    pub tilt: f32,
    /// 0 to 1.
    pub zoom: f32,
    /// Whether pan or tilt changes.
    pub pan_tilt_moving: bool,
    /// Whether zoom changes.
    pub zoom_moving: bool,
}

impl Status {
    /// What the scene shows then.
    pub fn view(&self) -> View {
        // Equal steps of zoom multiply the magnification equally.
        View { pan: self.pan, tilt: self.tilt, zoom: ZOOM_MAX.powf(self.zoom) }
    }
}

/// The camera's head. `now` is time since the camera's start, never falling.
#[derive(Clone, Debug)]
pub struct Ptz {
    pan: Axis,
    tilt: Axis,
    zoom: Axis,
}

impl Ptz {
    /// At home: the street in the middle of the world, seen as by a camera above a door.
    pub const fn new() -> Ptz {
        Ptz {
            pan: Axis::new(-1.0, 1.0, PAN_SPEED_MAX, 0.0),
            tilt: Axis::new(-1.0, 1.0, TILT_SPEED_MAX, -0.5),
            zoom: Axis::new(0.0, 1.0, ZOOM_SPEED_MAX, 0.0),
        }
    }

    fn each(&mut self, values: Axes, mut order: impl FnMut(&mut Axis, f32)) {
        for (axis, value) in [(&mut self.pan, values.pan), (&mut self.tilt, values.tilt), (&mut self.zoom, values.zoom)]
        {
            if let Some(value) = value.filter(|value| value.is_finite()) {
                order(axis, value);
            }
        }
    }

    /// Moves the named axes at these speeds until stopped; others go on as they did.
    pub fn move_continuously(&mut self, now: Duration, speed: Axes, timeout: Option<Duration>) {
        let until = now + timeout.unwrap_or(TIMEOUT_DEFAULT).min(TIMEOUT_MAX);
        self.each(speed, |axis, speed| axis.drift(now, speed, until));
    }

    /// Moves the named axes to these positions, or as far as they go.
    pub fn move_to(&mut self, now: Duration, position: Axes, speed: Axes) {
        self.approach(now, position, speed, |_, to| to);
    }

    /// Moves the named axes by these distances, or as far as they go.
    pub fn move_by(&mut self, now: Duration, distance: Axes, speed: Axes) {
        self.approach(now, distance, speed, |at, by| at + by);
    }

    fn approach(&mut self, now: Duration, value: Axes, speed: Axes, target: impl Fn(f32, f32) -> f32) {
        let finite = |speed: Option<f32>| speed.filter(|s| s.is_finite());
        for (axis, value, speed) in [
            (&mut self.pan, value.pan, speed.pan),
            (&mut self.tilt, value.tilt, speed.tilt),
            (&mut self.zoom, value.zoom, speed.zoom),
        ] {
            if let Some(value) = finite(value) {
                axis.approach(now, target(axis.at(now), value), finite(speed));
            }
        }
    }

    /// Stops pan and tilt, zoom, or both.
    pub fn stop(&mut self, now: Duration, pan_tilt: bool, zoom: bool) {
        for (axis, wanted) in [(&mut self.pan, pan_tilt), (&mut self.tilt, pan_tilt), (&mut self.zoom, zoom)] {
            if wanted {
                axis.set(now, Motion::Still);
            }
        }
    }

    /// Where it looks and whether it moves.
    pub fn status(&self, now: Duration) -> Status {
        Status {
            pan: self.pan.at(now),
            tilt: self.tilt.at(now),
            zoom: self.zoom.at(now),
            pan_tilt_moving: self.pan.is_moving(now) || self.tilt.is_moving(now),
            zoom_moving: self.zoom.is_moving(now),
        }
    }
}

impl Default for Ptz {
    fn default() -> Ptz {
        Ptz::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn pan(value: f32) -> Axes {
        Axes { pan: Some(value), ..Axes::default() }
    }

    #[test]
    fn a_move_runs_at_its_speed_until_stopped() {
        let mut ptz = Ptz::new();
        ptz.move_continuously(ms(1000), pan(0.5), None);
        assert_eq!(ptz.status(ms(1000)).pan, 0.0);
        assert!((ptz.status(ms(2000)).pan - 0.25).abs() < 1e-6);
        assert!(ptz.status(ms(2000)).pan_tilt_moving);
        ptz.stop(ms(2000), true, false);
        let after = ptz.status(ms(9000));
        assert!((after.pan - 0.25).abs() < 1e-6 && !after.pan_tilt_moving);
        assert_eq!(after.tilt, -0.5, "the other axis stays");
    }

    #[test]
    fn the_edge_is_the_end() {
        let mut ptz = Ptz::new();
        ptz.move_continuously(ms(0), pan(-1.0), Some(ms(30_000)));
        assert!(ptz.status(ms(1900)).pan_tilt_moving);
        let at_edge = ptz.status(ms(2500));
        assert_eq!((at_edge.pan, at_edge.pan_tilt_moving), (-1.0, false));
        ptz.move_continuously(ms(3000), pan(1.0), None);
        assert!((ptz.status(ms(4000)).pan + 0.5).abs() < 1e-6, "it turns back from the edge at once");
    }

    #[test]
    fn a_forgotten_move_ends_by_itself() {
        let mut ptz = Ptz::new();
        ptz.move_continuously(ms(0), pan(0.1), Some(ms(500)));
        assert_eq!(ptz.status(ms(500)).pan, ptz.status(ms(60_000)).pan);
        assert!(!ptz.status(ms(500)).pan_tilt_moving);
        ptz.move_continuously(ms(60_000), pan(0.1), Some(Duration::MAX));
        assert!(!ptz.status(ms(120_000)).pan_tilt_moving);
    }

    #[test]
    fn absolute_and_relative_moves_arrive_and_stay_in_range() {
        let mut ptz = Ptz::new();
        ptz.move_to(ms(0), Axes { pan: Some(0.5), tilt: Some(0.3), zoom: Some(1.0) }, pan(0.5));
        assert!((ptz.status(ms(1000)).pan - 0.25).abs() < 1e-6, "at half speed");
        let there = ptz.status(ms(5000));
        assert_eq!((there.pan, there.tilt, there.zoom), (0.5, 0.3, 1.0));
        assert!(!there.pan_tilt_moving && !there.zoom_moving);
        assert_eq!(there.view().zoom, ZOOM_MAX);
        ptz.move_by(ms(5000), pan(-0.25), Axes::default());
        assert_eq!(ptz.status(ms(9000)).pan, 0.25);
        let (mut other, mut at) = (Ptz::new(), 0);
        for target in [0.4, -0.6, 0.1, 0.7, -0.3] {
            other.move_to(ms(at), pan(target), Axes::default());
            at += 5000;
            let arrived = other.status(ms(at));
            assert_eq!((arrived.pan, arrived.pan_tilt_moving), (target, false));
        }
        ptz.move_by(ms(9000), pan(7.0), pan(0.0));
        ptz.move_to(ms(9000), Axes { tilt: Some(f32::NAN), ..Axes::default() }, Axes::default());
        let end = ptz.status(ms(9_000_000));
        assert_eq!((end.pan, end.tilt), (1.0, 0.3), "limits hold, nonsense is ignored");
    }
}
