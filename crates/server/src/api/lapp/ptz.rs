//! Motors: turning, presets; and the picture turned over.

use device::{Mirror, PresetNo, Velocity};
use serde_json::json;

use super::Target;
use crate::api::reply::{Answer, Failure, Reply};
use crate::api::{App, Ask};

/// Parts of full speed for slow, medium and fast.
const SPEEDS: [f32; 3] = [0.25, 0.5, 1.0];

/// `POST device/ptz/start`
pub async fn start(app: &App, ask: &Ask) -> Reply {
    let target = Target::read(ask)?;
    let direction = Direction::read(ask)?.ok_or(Failure::Parameter("direction"))?;
    let speed: usize = ask.required_number("speed")?;
    let speed = *SPEEDS.get(speed).ok_or(Failure::Parameter("speed"))?;
    let (caller, channel) = target.find(app, ask).await?;
    app.cloud.ptz_start(&caller, &channel, direction.velocity(speed)?).await?;
    Ok(Answer::done())
}

/// `POST device/ptz/stop`: everything, whatever direction it names.
pub async fn stop(app: &App, ask: &Ask) -> Reply {
    let target = Target::read(ask)?;
    Direction::read(ask)?;
    let (caller, channel) = target.find(app, ask).await?;
    app.cloud.ptz_stop(&caller, &channel).await?;
    Ok(Answer::done())
}

/// `POST device/ptz/mirror`
pub async fn mirror(app: &App, ask: &Ask) -> Reply {
    let target = Target::read(ask)?;
    let mirror = match ask.required_number("command")? {
        0 => Mirror::UpDown,
        1 => Mirror::LeftRight,
        2 => Mirror::Centre,
        _ => return Err(Failure::Parameter("command")),
    };
    let (caller, channel) = target.find(app, ask).await?;
    app.cloud.mirror(&caller, &channel, mirror).await?;
    Ok(Answer::done())
}

/// `POST device/preset/add`
pub async fn preset_add(app: &App, ask: &Ask) -> Reply {
    let (caller, channel) = Target::read(ask)?.find(app, ask).await?;
    let preset = app.cloud.preset_add(&caller, &channel).await?;
    Ok(Answer::data(&json!({ "index": preset.0 })))
}

/// `POST device/preset/move`
pub async fn preset_move(app: &App, ask: &Ask) -> Reply {
    let (target, preset) = (Target::read(ask)?, preset(ask)?);
    let (caller, channel) = target.find(app, ask).await?;
    app.cloud.preset_move(&caller, &channel, preset).await?;
    Ok(Answer::done())
}

/// `POST device/preset/clear`
pub async fn preset_clear(app: &App, ask: &Ask) -> Reply {
    let (target, preset) = (Target::read(ask)?, preset(ask)?);
    let (caller, channel) = target.find(app, ask).await?;
    app.cloud.preset_clear(&caller, &channel, preset).await?;
    Ok(Answer::done())
}

/// `index`, or `presetIndex` as one client calls it.
fn preset(ask: &Ask) -> Result<PresetNo, Failure> {
    match ask.number("index")?.or(ask.number("presetIndex")?) {
        Some(index) if index > 0 => Ok(PresetNo(index)),
        _ => Err(Failure::Parameter("index")),
    }
}

/// Where to.
enum Direction {
    /// Signs of pan, tilt and zoom.
    Axes(f32, f32, f32),
    /// Documented (focus, automatic), and nothing that a driver does.
    Other,
}

impl Direction {
    /// By the number in the request; `None` when there is none.
    fn read(ask: &Ask) -> Result<Option<Direction>, Failure> {
        let Some(number) = ask.number("direction")? else { return Ok(None) };
        Ok(Some(match number {
            0 => Direction::Axes(0.0, 1.0, 0.0),
            1 => Direction::Axes(0.0, -1.0, 0.0),
            2 => Direction::Axes(-1.0, 0.0, 0.0),
            3 => Direction::Axes(1.0, 0.0, 0.0),
            4 => Direction::Axes(-1.0, 1.0, 0.0),
            5 => Direction::Axes(-1.0, -1.0, 0.0),
            6 => Direction::Axes(1.0, 1.0, 0.0),
            7 => Direction::Axes(1.0, -1.0, 0.0),
            8 => Direction::Axes(0.0, 0.0, 1.0),
            9 => Direction::Axes(0.0, 0.0, -1.0),
            10 | 11 | 16 => Direction::Other,
            _ => return Err(Failure::Parameter("direction")),
        }))
    }

    fn velocity(&self, speed: f32) -> Result<Velocity, Failure> {
        match self {
            Direction::Axes(pan, tilt, zoom) => {
                Ok(Velocity { pan: pan * speed, tilt: tilt * speed, zoom: zoom * speed })
            }
            Direction::Other => Err(Failure::Unsupported),
        }
    }
}
