//! Motors: velocities as they take them, positions as they tell them, presets by number.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::onvif::ptz::{self, spaces};
use proto::onvif::schema::{
    DurationRange, FloatRange, MoveStatus, PtzConfiguration, PtzNode, PtzPreset, PtzSpeed, PtzStatus, PtzVector,
    Space1DDescription, Space2DDescription, Vector1D, Vector2D,
};

use super::OnvifDriver;
use crate::driver::{ChannelNo, DriverError, Position, PresetNo, Velocity};

/// How long a move shall last if nobody stops it: longer than the actor's watchdog, which stops it
/// properly. Without this many cameras stop after some seconds, whoever still holds the key.
const MOVE_TIMEOUT: Duration = Duration::from_secs(60);
/// Positions nearer than this are the same: 0.25 % of the travel. Motors stop beside where they were.
const SAME: f32 = 0.005;

/// A kind of motor: a PTZ node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Motor {
    /// How it takes velocities.
    pub(super) pan_tilt: Option<Space2DDescription>,
    pub(super) zoom: Option<Space1DDescription>,
    /// In which spaces it may tell where it stands.
    pan_tilt_positions: Vec<Space2DDescription>,
    zoom_positions: Vec<Space1DDescription>,
    /// How many presets it keeps.
    pub(super) presets: i32,
    /// How long a move may last, where it tells.
    pub(super) timeouts: Option<DurationRange>,
}

/// What moves a channel.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mount {
    /// Token of a profile that moves it.
    pub(super) profile: String,
    pub(super) configuration: PtzConfiguration,
}

impl Motor {
    /// Velocities in the generic spaces where it has them, else in its first.
    pub(super) fn of(node: &PtzNode) -> Motor {
        let supported = &node.supported_spaces;
        let (flat, deep) = (&supported.continuous_pan_tilt, &supported.continuous_zoom);
        let generic = flat.iter().find(|space| space.uri == spaces::PAN_TILT_VELOCITY);
        let generic_zoom = deep.iter().find(|space| space.uri == spaces::ZOOM_VELOCITY);
        Motor {
            pan_tilt: generic.or(flat.first()).cloned(),
            zoom: generic_zoom.or(deep.first()).cloned(),
            pan_tilt_positions: supported.absolute_pan_tilt.clone(),
            zoom_positions: supported.absolute_zoom.clone(),
            presets: node.maximum_number_of_presets,
            timeouts: None,
        }
    }

    /// The velocity as it takes it, without the axes it lacks; `None` if nothing is left.
    fn speed(&self, velocity: Velocity) -> Option<PtzSpeed> {
        let pan_tilt = self.pan_tilt.as_ref().filter(|_| velocity.pan != 0.0 || velocity.tilt != 0.0);
        let pan_tilt = pan_tilt.map(|space| Vector2D {
            x: scale(velocity.pan, space.x_range),
            y: scale(velocity.tilt, space.y_range),
            space: Some(space.uri.clone()),
        });
        let zoom = self.zoom.as_ref().filter(|_| velocity.zoom != 0.0);
        let zoom =
            zoom.map(|space| Vector1D { x: scale(velocity.zoom, space.x_range), space: Some(space.uri.clone()) });
        (pan_tilt.is_some() || zoom.is_some()).then_some(PtzSpeed { pan_tilt, zoom })
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeouts.filter(|range| range.min <= range.max).map(|range| MOVE_TIMEOUT.clamp(range.min, range.max))
    }

    /// Where `told` lies in its travel, which the configuration may have made shorter.
    fn position(&self, configuration: &PtzConfiguration, told: &PtzVector) -> Position {
        let limits = configuration.pan_tilt_limits.as_ref().map(|limits| &limits.range);
        let flat: Vec<_> = limits
            .into_iter()
            .chain(&self.pan_tilt_positions)
            .map(|space| (space.uri.as_str(), (space.x_range, space.y_range)))
            .collect();
        let limits = configuration.zoom_limits.as_ref().map(|limits| &limits.range);
        let deep: Vec<_> =
            limits.into_iter().chain(&self.zoom_positions).map(|space| (space.uri.as_str(), space.x_range)).collect();
        let whole = FloatRange { min: -1.0, max: 1.0 };
        let half = FloatRange { min: 0.0, max: 1.0 };

        let mut position = Position::default();
        if let Some(Vector2D { x, y, space }) = &told.pan_tilt {
            let space = space.as_deref().or(configuration.default_absolute_pan_tilt.as_deref());
            if let Some((pan, tilt)) = extent(space, &flat, (spaces::PAN_TILT_POSITION, (whole, whole))) {
                position.pan = share(*x, pan);
                position.tilt = share(*y, tilt);
            }
        }
        if let Some(Vector1D { x, space }) = &told.zoom {
            let space = space.as_deref().or(configuration.default_absolute_zoom.as_deref());
            position.zoom = extent(space, &deep, (spaces::ZOOM_POSITION, half)).and_then(|zoom| share(*x, zoom));
        }
        position
    }
}

/// The extent of the space of that name, or of the first where a position names none.
fn extent<R: Copy>(space: Option<&str>, known: &[(&str, R)], generic: (&str, R)) -> Option<R> {
    match space.filter(|space| !space.is_empty()) {
        Some(space) => known.iter().chain([&generic]).find(|(uri, _)| *uri == space).map(|(_, extent)| *extent),
        None => Some(known.first().unwrap_or(&generic).1),
    }
}

/// A share of −1 to 1 in the device's own range, whose zero stands still.
fn scale(share: f32, range: FloatRange) -> f32 {
    let share = share.clamp(-1.0, 1.0);
    share * if share < 0.0 { range.min.abs() } else { range.max.abs() }
}

/// The inverse for positions, whose middle is 0. A range without end has none.
fn share(value: f32, range: FloatRange) -> Option<f32> {
    let length = range.max - range.min;
    (length > 0.0 && length.is_finite()).then(|| ((value - range.min) / length * 2.0 - 1.0).clamp(-1.0, 1.0))
}

/// Presets by number. A token that is a number is that number; any other keeps the number it had
/// `before`, else has the one we gave it as its name, else the lowest that is free, in the order listed.
fn numbered(presets: &[PtzPreset], before: &BTreeMap<u16, String>) -> BTreeMap<u16, String> {
    let number = |text: &str| text.parse::<u16>().ok().filter(|number| *number > 0);
    let tokens = || presets.iter().filter_map(|preset| Some((preset.token.as_ref()?, preset.name.as_deref())));
    let mut numbers: BTreeMap<u16, String> =
        tokens().filter_map(|(token, _)| Some((number(token)?, token.clone()))).collect();
    let mut rest: Vec<_> = tokens().filter(|(token, _)| number(token).is_none()).collect();
    let kept = |token: &str| before.iter().find(|(_, known)| *known == token).map(|(number, _)| *number);
    for wanted in [&kept as &dyn Fn(&str) -> Option<u16>, &|_| None] {
        rest.retain(|(token, name)| {
            let number = wanted(token).or_else(|| name.and_then(number));
            match number.filter(|number| !numbers.contains_key(number)) {
                Some(number) => numbers.insert(number, (*token).clone()).is_some(),
                None => true,
            }
        });
    }
    for (token, _) in rest {
        if let Some(free) = (1..=u16::MAX).find(|number| !numbers.contains_key(number)) {
            numbers.insert(free, token.clone());
        }
    }
    numbers
}

impl OnvifDriver {
    pub(super) async fn start_motor(&self, channel: ChannelNo, velocity: Velocity) -> Result<(), DriverError> {
        let session = self.session().await?;
        let (url, motor, mount) = session.motor(channel)?;
        let ask = ptz::ContinuousMove {
            profile_token: mount.profile.clone(),
            velocity: motor.speed(velocity).ok_or(DriverError::Unsupported)?,
            timeout: motor.timeout(),
        };
        self.call(url, &ask).await.map(drop)
    }

    pub(super) async fn stop_motor(&self, channel: ChannelNo) -> Result<(), DriverError> {
        let session = self.session().await?;
        let (url, motor, mount) = session.motor(channel)?;
        let (pan_tilt, zoom) = (Some(motor.pan_tilt.is_some()), Some(motor.zoom.is_some()));
        self.call(url, &ptz::Stop { profile_token: mount.profile.clone(), pan_tilt, zoom }).await.map(drop)
    }

    async fn status(&self, channel: ChannelNo) -> Result<(PtzStatus, Position), DriverError> {
        let session = self.session().await?;
        let (url, motor, mount) = session.motor(channel)?;
        let status = self.call(url, &ptz::GetStatus { profile_token: mount.profile.clone() }).await?.status;
        let told = status.position.as_ref().map(|told| motor.position(&mount.configuration, told));
        Ok((status, told.unwrap_or_default()))
    }

    pub(super) async fn motor_position(&self, channel: ChannelNo) -> Result<Position, DriverError> {
        let (_, position) = self.status(channel).await?;
        if position == Position::default() { Err(DriverError::Unsupported) } else { Ok(position) }
    }

    /// The presets of a channel, and their numbers.
    async fn presets(&self, channel: ChannelNo) -> Result<(Vec<PtzPreset>, BTreeMap<u16, String>), DriverError> {
        let session = self.session().await?;
        let (url, _, mount) = session.motor(channel)?;
        let presets = self.call(url, &ptz::GetPresets { profile_token: mount.profile.clone() }).await?.presets;
        let mut known = self.presets.lock().expect("no panic while the numbers are locked");
        let known = known.entry(channel).or_default();
        *known = numbered(&presets, known);
        Ok((presets, known.clone()))
    }

    pub(super) async fn add_preset(&self, channel: ChannelNo) -> Result<PresetNo, DriverError> {
        let session = self.session().await?;
        let (url, _, mount) = session.motor(channel)?;
        let (mut presets, numbers) = self.presets(channel).await?;
        let named = |name: &str| presets.iter().any(|preset| preset.name.as_deref() == Some(name));
        let free = (1..=u16::MAX).find(|number| !numbers.contains_key(number) && !named(&number.to_string()));
        let number = free.ok_or(DriverError::PresetsFull)?;
        // The camera chooses the token; by its name we shall know it again.
        let (profile_token, preset_name) = (mount.profile.clone(), Some(number.to_string()));
        let set = self.call(url, &ptz::SetPreset { profile_token, preset_name, preset_token: None }).await?;
        let (token, name) = (Some(set.preset_token.clone()), Some(number.to_string()));
        presets.push(PtzPreset { token, name, position: None });
        let mut known = self.presets.lock().expect("no panic while the numbers are locked");
        let known = known.entry(channel).or_default();
        *known = numbered(&presets, known);
        let number = known.iter().find(|(_, token)| **token == set.preset_token).map(|(number, _)| PresetNo(*number));
        number.ok_or(DriverError::PresetsFull)
    }

    pub(super) async fn go_to_preset(&self, channel: ChannelNo, preset: PresetNo) -> Result<(), DriverError> {
        let session = self.session().await?;
        let (url, motor, mount) = session.motor(channel)?;
        let (presets, numbers) = self.presets(channel).await?;
        let token = numbers.get(&preset.0).ok_or(DriverError::PresetUnknown)?;
        let place = presets.iter().find(|preset| preset.token.as_ref() == Some(token));
        if let Some(place) = place.and_then(|preset| preset.position.as_ref())
            && let Ok((status, position)) = self.status(channel).await
            && is_still(&status)
            && is_at(motor.position(&mount.configuration, place), position)
        {
            return Err(DriverError::PresetReached);
        }
        let ask = ptz::GotoPreset { profile_token: mount.profile.clone(), preset_token: token.clone(), speed: None };
        self.call(url, &ask).await.map(drop)
    }

    pub(super) async fn remove_preset(&self, channel: ChannelNo, preset: PresetNo) -> Result<(), DriverError> {
        let session = self.session().await?;
        let (url, _, mount) = session.motor(channel)?;
        let (_, numbers) = self.presets(channel).await?;
        let preset_token = numbers.get(&preset.0).ok_or(DriverError::PresetUnknown)?.clone();
        self.call(url, &ptz::RemovePreset { profile_token: mount.profile.clone(), preset_token }).await.map(drop)
    }
}

fn is_still(status: &PtzStatus) -> bool {
    let moves = |axis: &Option<MoveStatus>| *axis == Some(MoveStatus::Moving);
    !status.move_status.as_ref().is_some_and(|status| moves(&status.pan_tilt) || moves(&status.zoom))
}

/// Whether a motor at `position` is at `place`, as far as both are told.
fn is_at(place: Position, position: Position) -> bool {
    let axes = [(place.pan, position.pan), (place.tilt, position.tilt), (place.zoom, position.zoom)];
    let mut told = axes.into_iter().filter_map(|(place, position)| Some((place?, position))).peekable();
    told.peek().is_some() && told.all(|(place, position)| position.is_some_and(|at| (at - place).abs() <= SAME))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Presets as `token` or `token=name`; numbers as `number:token`.
    fn check(presets: &[&str], before: &[(u16, &str)], expected: &[&str]) {
        let preset = |text: &&str| {
            let (token, name) = text.split_once('=').map_or((*text, None), |(token, name)| (token, Some(name)));
            let token = Some(token.to_owned()).filter(|token| !token.is_empty());
            PtzPreset { token, name: name.map(str::to_owned), position: None }
        };
        let presets: Vec<_> = presets.iter().map(preset).collect();
        let before = before.iter().map(|(number, token)| (*number, (*token).to_owned())).collect();
        let numbers = numbered(&presets, &before);
        let shown: Vec<_> = numbers.iter().map(|(number, token)| format!("{number}:{token}")).collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn presets_keep_their_numbers() {
        check(&["1", "7", "65535"], &[], &["1:1", "7:7", "65535:65535"]);
        check(&["a", "b"], &[], &["1:a", "2:b"]);
        check(&["0", "65536", "-1", ""], &[], &["1:0", "2:65536", "3:-1"]);
        // Numbers first, wherever they are listed.
        check(&["a", "1", "b"], &[], &["1:1", "2:a", "3:b"]);
        // A name we gave tells the number, after a restart of ours too.
        check(&["x=Door", "y=1", "z=3"], &[], &["1:y", "2:x", "3:z"]);
        check(&["1", "y=1"], &[], &["1:1", "2:y"]);
        // One that is gone leaves its number free, and the others theirs.
        check(&["b", "c"], &[(1, "a"), (2, "b"), (3, "c")], &["2:b", "3:c"]);
        check(&["d", "b"], &[(1, "a"), (2, "b")], &["1:d", "2:b"]);
        // Twice the same is one.
        check(&["1", "1", "a", "a"], &[], &["1:1", "2:a", "3:a"]);
    }

    fn space(uri: &str, x: (f32, f32), y: (f32, f32)) -> Space2DDescription {
        let range = |(min, max)| FloatRange { min, max };
        Space2DDescription { uri: uri.into(), x_range: range(x), y_range: range(y) }
    }

    #[test]
    fn positions_lie_in_the_space_they_name() {
        let degrees = space("urn:degrees", (0.0, 360.0), (-90.0, 0.0));
        let motor = Motor { pan_tilt_positions: vec![degrees], ..Motor::default() };
        let mut configuration = super::super::tests::motor_configuration();
        let at = |configuration: &PtzConfiguration, x, y, space: Option<&str>| {
            let told = PtzVector { pan_tilt: Some(Vector2D { x, y, space: space.map(str::to_owned) }), zoom: None };
            let Position { pan, tilt, .. } = motor.position(configuration, &told);
            pan.zip(tilt)
        };
        assert_eq!(at(&configuration, 270.0, -90.0, Some("urn:degrees")), Some((0.5, -1.0)));
        assert_eq!(at(&configuration, 270.0, -90.0, None), Some((0.5, -1.0)));
        assert_eq!(at(&configuration, 0.5, -1.0, Some(spaces::PAN_TILT_POSITION)), Some((0.5, -1.0)));
        assert_eq!(at(&configuration, 0.5, -1.0, Some("urn:radians")), None);
        assert_eq!(at(&configuration, 400.0, 5.0, None), Some((1.0, 1.0)), "past its own ends");
        configuration.default_absolute_pan_tilt = Some(spaces::PAN_TILT_POSITION.into());
        assert_eq!(at(&configuration, 0.5, -1.0, None), Some((0.5, -1.0)));
        // The installer let it turn only so far.
        let range = space(spaces::PAN_TILT_POSITION, (-0.5, 0.5), (-1.0, 1.0));
        configuration.pan_tilt_limits = Some(proto::onvif::schema::PanTiltLimits { range });
        assert_eq!(at(&configuration, 0.5, 0.0, None), Some((1.0, 0.0)));
        // One that turns for ever has no ends.
        let range = space(spaces::PAN_TILT_POSITION, (f32::MIN, f32::MAX), (-1.0, 1.0));
        configuration.pan_tilt_limits = Some(proto::onvif::schema::PanTiltLimits { range });
        assert_eq!(at(&configuration, 0.5, 0.0, None), None);
        assert_eq!(share(1.0, FloatRange { min: 1.0, max: 1.0 }), None);
        assert_eq!(share(1.0, FloatRange { min: 1.0, max: -1.0 }), None);
    }

    #[test]
    fn a_preset_is_reached_on_every_axis_it_has() {
        let at = |pan, tilt, zoom| Position { pan, tilt, zoom };
        let here = at(Some(0.5), Some(0.1), None);
        assert!(is_at(here, here));
        assert!(is_at(at(Some(0.504), None, None), here));
        assert!(!is_at(at(Some(0.51), Some(0.1), None), here));
        assert!(!is_at(at(Some(0.5), Some(0.1), Some(0.0)), here), "its zoom is not known");
        assert!(!is_at(Position::default(), here));
    }
}
