//! PTZ: turning the camera.

use std::time::Duration;

use av::UnixMicros;
use proto::onvif::Fault;
use proto::onvif::ptz::*;
use proto::onvif::schema::*;

use super::{MOTOR, document, no_configuration};
use crate::channel::{Channel, PRESETS_MAX, Preset, PresetError};
use crate::http::Site;
use crate::ptz::{Axes, TIMEOUT_DEFAULT, TIMEOUT_MAX};
use crate::token;

impl Site {
    pub(super) fn motor(&self, request: Request) -> Result<String, Fault> {
        let no_node = || Fault::sender(&["InvalidArgVal", "NoEntity"], "no such node");
        Ok(match request {
            Request::GetServiceCapabilities(_) => {
                let capabilities =
                    PtzServiceCapabilities { e_flip: Some(false), reverse: Some(false), ..Default::default() };
                document(&GetServiceCapabilitiesResponse { capabilities })
            }
            Request::GetNodes(_) => {
                document(&GetNodesResponse { nodes: self.channels.iter().map(|c| motor_node(c)).collect() })
            }
            Request::GetNode(ask) => {
                let channel = self.channel_of(&ask.node_token, MOTOR).ok_or_else(no_node)?;
                document(&GetNodeResponse { node: motor_node(channel) })
            }
            Request::GetConfigurations(_) => {
                let configurations = self.channels.iter().map(|channel| motor_configuration(channel)).collect();
                document(&GetConfigurationsResponse { configurations })
            }
            Request::GetConfiguration(ask) => {
                let channel = self.channel_of(&ask.configuration_token, MOTOR).ok_or_else(no_configuration)?;
                document(&GetConfigurationResponse { configuration: motor_configuration(channel) })
            }
            Request::GetConfigurationOptions(ask) => {
                self.channel_of(&ask.configuration_token, MOTOR).ok_or_else(no_configuration)?;
                let timeout = DurationRange { min: Duration::from_millis(100), max: TIMEOUT_MAX };
                let options = PtzConfigurationOptions { spaces: motor_spaces(), timeout };
                document(&GetConfigurationOptionsResponse { options })
            }
            Request::GetStatus(ask) => {
                let (channel, _) = self.profile_of(&ask.profile_token)?;
                let status = channel.ptz_status();
                let moving = |moving: bool| if moving { MoveStatus::Moving } else { MoveStatus::Idle };
                document(&GetStatusResponse {
                    status: PtzStatus {
                        position: Some(position(status.pan, status.tilt, status.zoom)),
                        move_status: Some(PtzMoveStatus {
                            pan_tilt: Some(moving(status.pan_tilt_moving)),
                            zoom: Some(moving(status.zoom_moving)),
                        }),
                        error: None,
                        utc_time: utc(self.clock.wall()),
                    },
                })
            }
            Request::ContinuousMove(ask) => {
                let (channel, _) = self.profile_of(&ask.profile_token)?;
                let speed =
                    axes(&ask.velocity.pan_tilt, &ask.velocity.zoom, spaces::PAN_TILT_VELOCITY, spaces::ZOOM_VELOCITY)?;
                channel.ptz(|ptz, now| ptz.move_continuously(now, speed, ask.timeout));
                document(&ContinuousMoveResponse {})
            }
            Request::RelativeMove(ask) => {
                let (channel, _) = self.profile_of(&ask.profile_token)?;
                let PtzVector { pan_tilt, zoom } = &ask.translation;
                let by = axes(pan_tilt, zoom, spaces::PAN_TILT_TRANSLATION, spaces::ZOOM_TRANSLATION)?;
                let speed = speed_of(ask.speed.as_ref())?;
                channel.ptz(|ptz, now| ptz.move_by(now, by, speed));
                document(&RelativeMoveResponse {})
            }
            Request::AbsoluteMove(ask) => {
                let (channel, _) = self.profile_of(&ask.profile_token)?;
                let PtzVector { pan_tilt, zoom } = &ask.position;
                let to = axes(pan_tilt, zoom, spaces::PAN_TILT_POSITION, spaces::ZOOM_POSITION)?;
                let within = |value: Option<f32>, min: f32| value.is_none_or(|value| (min..=1.0).contains(&value));
                if !(within(to.pan, -1.0) && within(to.tilt, -1.0) && within(to.zoom, 0.0)) {
                    return Err(Fault::sender(&["InvalidArgVal", "InvalidPosition"], "position out of bounds"));
                }
                let speed = speed_of(ask.speed.as_ref())?;
                channel.ptz(|ptz, now| ptz.move_to(now, to, speed));
                document(&AbsoluteMoveResponse {})
            }
            Request::GetPresets(ask) => {
                let (channel, _) = self.profile_of(&ask.profile_token)?;
                let preset = |Preset { number, name, position: [pan, tilt, zoom] }: Preset| PtzPreset {
                    token: Some(number.to_string()),
                    name: Some(name),
                    position: Some(position(pan, tilt, zoom)),
                };
                document(&GetPresetsResponse { presets: channel.presets().into_iter().map(preset).collect() })
            }
            Request::SetPreset(ask) => {
                let (channel, _) = self.profile_of(&ask.profile_token)?;
                let number = match ask.preset_token.filter(|token| !token.is_empty()) {
                    None => channel.preset_add(ask.preset_name).map_err(preset_fault)?,
                    Some(token) => {
                        let number = preset_number(&token)?;
                        // A token is the camera's to give: what was never given is overwritten by nobody.
                        if !channel.presets().iter().any(|preset| preset.number == number) {
                            return Err(preset_fault(PresetError::Unknown));
                        }
                        channel.preset_set(number, ask.preset_name).map_err(preset_fault)?;
                        number
                    }
                };
                document(&SetPresetResponse { preset_token: number.to_string() })
            }
            Request::GotoPreset(ask) => {
                let (channel, _) = self.profile_of(&ask.profile_token)?;
                let speed = speed_of(ask.speed.as_ref())?;
                channel.preset_goto(preset_number(&ask.preset_token)?, speed).map_err(preset_fault)?;
                document(&GotoPresetResponse {})
            }
            Request::RemovePreset(ask) => {
                let (channel, _) = self.profile_of(&ask.profile_token)?;
                channel.preset_remove(preset_number(&ask.preset_token)?).map_err(preset_fault)?;
                document(&RemovePresetResponse {})
            }
            Request::Stop(ask) => {
                let (channel, _) = self.profile_of(&ask.profile_token)?;
                let (pan_tilt, zoom) = (ask.pan_tilt.unwrap_or(true), ask.zoom.unwrap_or(true));
                channel.ptz(|ptz, now| ptz.stop(now, pan_tilt, zoom));
                document(&StopResponse {})
            }
        })
    }
}

/// A position in the generic spaces.
fn position(pan: f32, tilt: f32, zoom: f32) -> PtzVector {
    let space = |uri: &str| Some(uri.to_owned());
    PtzVector {
        pan_tilt: Some(Vector2D { x: pan, y: tilt, space: space(spaces::PAN_TILT_POSITION) }),
        zoom: Some(Vector1D { x: zoom, space: space(spaces::ZOOM_POSITION) }),
    }
}

/// The number that a preset's token is.
fn preset_number(token: &str) -> Result<u16, Fault> {
    token.parse().map_err(|_| preset_fault(PresetError::Unknown))
}

fn preset_fault(error: PresetError) -> Fault {
    match error {
        PresetError::Full => Fault::receiver(&["Action", "TooManyPresets"], error.to_string()),
        PresetError::Unknown => Fault::sender(&["InvalidArgVal", "NoToken"], error.to_string()),
    }
}

/// Values for the axes from a request's vectors, which must be in the generic spaces.
fn axes(
    pan_tilt: &Option<Vector2D>,
    zoom: &Option<Vector1D>,
    pan_tilt_space: &str,
    zoom_space: &str,
) -> Result<Axes, Fault> {
    let fits = |given: Option<&String>, ours: &str| given.is_none_or(|given| given.is_empty() || given == ours);
    let pan_tilt_fits = pan_tilt.as_ref().is_none_or(|v| fits(v.space.as_ref(), pan_tilt_space));
    let zoom_fits = zoom.as_ref().is_none_or(|v| fits(v.space.as_ref(), zoom_space));
    if !(pan_tilt_fits && zoom_fits) {
        return Err(Fault::sender(&["InvalidArgVal", "SpaceNotSupported"], "no such coordinate space"));
    }
    Ok(Axes {
        pan: pan_tilt.as_ref().map(|v| v.x),
        tilt: pan_tilt.as_ref().map(|v| v.y),
        zoom: zoom.as_ref().map(|v| v.x),
    })
}

fn speed_of(speed: Option<&PtzSpeed>) -> Result<Axes, Fault> {
    use spaces::{PAN_TILT_SPEED, ZOOM_SPEED};
    speed.map_or(Ok(Axes::default()), |speed| axes(&speed.pan_tilt, &speed.zoom, PAN_TILT_SPEED, ZOOM_SPEED))
}

fn motor_spaces() -> PtzSpaces {
    use spaces::*;
    let range = |min: f32| FloatRange { min, max: 1.0 };
    let plane = |uri: &str| vec![Space2DDescription { uri: uri.into(), x_range: range(-1.0), y_range: range(-1.0) }];
    let line = |uri: &str, min: f32| vec![Space1DDescription { uri: uri.into(), x_range: range(min) }];
    PtzSpaces {
        absolute_pan_tilt: plane(PAN_TILT_POSITION),
        absolute_zoom: line(ZOOM_POSITION, 0.0),
        relative_pan_tilt: plane(PAN_TILT_TRANSLATION),
        relative_zoom: line(ZOOM_TRANSLATION, -1.0),
        continuous_pan_tilt: plane(PAN_TILT_VELOCITY),
        continuous_zoom: line(ZOOM_VELOCITY, -1.0),
        pan_tilt_speed: line(PAN_TILT_SPEED, 0.0),
        zoom_speed: line(ZOOM_SPEED, 0.0),
    }
}

fn motor_node(channel: &Channel) -> PtzNode {
    PtzNode {
        token: token::of(MOTOR, channel.number()),
        fixed_home_position: None,
        name: Some("Motor".into()),
        supported_spaces: motor_spaces(),
        maximum_number_of_presets: PRESETS_MAX.into(),
        home_supported: false,
        auxiliary_commands: Vec::new(),
    }
}

pub fn motor_configuration(channel: &Channel) -> PtzConfiguration {
    use spaces::*;
    let full = |min: f32| FloatRange { min, max: 1.0 };
    let uri = |uri: &str| Some(uri.to_owned());
    let token = token::of(MOTOR, channel.number());
    PtzConfiguration {
        token: token.clone(),
        name: "Motor".into(),
        use_count: 2,
        node_token: token,
        default_absolute_pan_tilt: uri(PAN_TILT_POSITION),
        default_absolute_zoom: uri(ZOOM_POSITION),
        default_relative_pan_tilt: uri(PAN_TILT_TRANSLATION),
        default_relative_zoom: uri(ZOOM_TRANSLATION),
        default_continuous_pan_tilt: uri(PAN_TILT_VELOCITY),
        default_continuous_zoom: uri(ZOOM_VELOCITY),
        default_speed: Some(PtzSpeed {
            pan_tilt: Some(Vector2D { x: 1.0, y: 1.0, space: uri(PAN_TILT_SPEED) }),
            zoom: Some(Vector1D { x: 1.0, space: uri(ZOOM_SPEED) }),
        }),
        default_timeout: Some(TIMEOUT_DEFAULT),
        pan_tilt_limits: Some(PanTiltLimits {
            range: Space2DDescription { uri: PAN_TILT_POSITION.into(), x_range: full(-1.0), y_range: full(-1.0) },
        }),
        zoom_limits: Some(ZoomLimits { range: Space1DDescription { uri: ZOOM_POSITION.into(), x_range: full(0.0) } }),
    }
}

/// `xs:dateTime` in UTC.
fn utc(wall: UnixMicros) -> String {
    let DateTime { date, time } = DateTime::from_unix(wall.0.div_euclid(1_000_000));
    let Date { year, month, day } = date;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", time.hour, time.minute, time.second)
}
