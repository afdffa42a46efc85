//! What moves: clouds, birds, vehicles, people, a lamp in the wind, smoke, a flag, the clock's hands.
//!
//! Each is a function of the moment alone.

use std::f32::consts::{PI, TAU};

use super::paint::{Colour, Point, blend, ellipse, rect, stroke};
use super::world::{CHIMNEY, CLOCK, CLOCK_RADIUS, FLAG, GROUND, LAMP, SKY};
use super::{Canvas, Moment, WORLD_WIDTH};

/// World that movers cross: they come and go outside of it.
const TRAVEL: f32 = WORLD_WIDTH + 600.0;

const GLASS: Colour = Colour::rgb(0x55697a);
const TYRE: Colour = Colour::rgb(0x2a2c30);
const CHROME: Colour = Colour::rgb(0xc8ccd0);
const SHADOW: Colour = Colour::rgb(0x16181c);

/// Draws everything that moves, from far to near.
pub fn draw(canvas: &mut Canvas, clouds: &[Cloud], moment: Moment) {
    let t = moment.elapsed.as_secs_f64();
    for cloud in clouds {
        cloud.draw(canvas, t);
    }
    flag(canvas, t);
    hands(canvas, moment.time_of_day.as_secs_f64());
    smoke(canvas, t);
    for (speed, phase, height) in [(96.0, 0.1, 210.0), (96.0, 0.116, 236.0), (118.0, 0.55, 130.0), (82.0, 0.8, 300.0)] {
        bird(canvas, t, speed, phase, height);
    }
    lamp(canvas, t);
    walker(canvas, t, 0.0, 62.0, 838.0, 0.62, Colour::rgb(0x7c5a54), Colour::rgb(0x46505e));
    walker(canvas, t, 0.42, -54.0, 846.0, 0.66, Colour::rgb(0xb9a57e), Colour::rgb(0x3c4048));
    car(canvas, t, 0.30, 250.0, 930.0, 0.82, Colour::rgb(0x8c4f4a));
    car(canvas, t, 0.78, 250.0, 930.0, 0.82, Colour::rgb(0xd9d6cd));
    bus(canvas, t);
    cyclist(canvas, t);
    car(canvas, t, 0.12, -330.0, 1022.0, 1.0, Colour::rgb(0x56708a));
    car(canvas, t, 0.62, -330.0, 1022.0, 1.0, Colour::rgb(0x5d7a68));
    walker(canvas, t, 0.25, 78.0, 1128.0, 1.0, Colour::rgb(0x6b7a92), Colour::rgb(0x50463c));
    walker(canvas, t, 0.90, -70.0, 1112.0, 0.95, Colour::rgb(0xa8807c), Colour::rgb(0x3a4250));
}

/// Position along the street of something that crosses it again and again at `speed` units a second.
fn along(t: f64, phase: f32, speed: f32) -> f32 {
    let way = (t * f64::from(speed) + f64::from(phase * TRAVEL)).rem_euclid(f64::from(TRAVEL)) as f32;
    way - 300.0
}

/// An angle that grows by `rate` turns a second.
fn turn(t: f64, rate: f64) -> f32 {
    ((t * rate).fract() * f64::from(TAU)) as f32
}

/// A cloud: opacity and brightness of each pixel, drawn once.
pub struct Cloud {
    width: usize,
    height: usize,
    /// Opacity 0 to 255, luma.
    texels: Vec<[u8; 2]>,
    phase: f32,
    top: f32,
    speed: f32,
}

/// The clouds of a sky.
pub fn clouds(seed: u64) -> Vec<Cloud> {
    let mut state = seed | 1;
    let mut random = move || {
        // Xorshift: shapes of clouds need no better.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u32 << 24) as f32
    };
    for _ in 0..8 {
        random();
    }
    (0..6)
        .map(|i| {
            let (width, height) = ((260.0 + 180.0 * random()) as usize, (80.0 + 40.0 * random()) as usize);
            let puffs: Vec<[f32; 3]> = (0..14)
                .map(|n| {
                    let across = (n as f32 + 0.5) / 14.0;
                    let bulge = (across * PI).sin();
                    [
                        (0.12 + 0.76 * across) * width as f32,
                        (0.72 - 0.34 * bulge * random()) * height as f32,
                        (0.16 + 0.22 * bulge * (0.6 + 0.4 * random())) * height as f32,
                    ]
                })
                .collect();
            let texel = |at: usize| {
                let (x, y) = ((at % width) as f32, (at / width) as f32);
                let density: f32 = puffs
                    .iter()
                    .map(|[px, py, r]| (1.0 - ((x - px) / (1.7 * r)).powi(2) - ((y - py) / r).powi(2)).max(0.0))
                    .sum();
                let light = 236.0 - 30.0 * (y / height as f32).powi(2);
                [((density * 1.6).min(1.0).powf(0.7) * 225.0) as u8, light as u8]
            };
            Cloud {
                width,
                height,
                texels: (0..width * height).map(texel).collect(),
                phase: (i as f32 + 0.5 * random()) / 6.0,
                top: 30.0 + 330.0 * random(),
                speed: 5.0 + 5.0 * random(),
            }
        })
        .collect()
}

impl Cloud {
    fn draw(&self, canvas: &mut Canvas, t: f64) {
        // Even world units: the cloud keeps its shape while it drifts.
        let left = ((along(t, self.phase, self.speed) - 160.0) / 2.0).round() * 2.0;
        let half = [self.width as f32 / 2.0, self.height as f32 / 2.0];
        if !canvas.shows([left + half[0], self.top + half[1]], half) {
            return;
        }
        let width = canvas.picture.width;
        let span = |start: f32, size: usize, axis: usize, limit: usize| {
            let pixel =
                |world: f32| ((world - canvas.origin[axis]) / canvas.scale[axis]).clamp(0.0, limit as f32) as usize;
            pixel(start)..pixel(start + size as f32)
        };
        let columns = span(left, self.width, 0, width);
        let rows = span(self.top, self.height, 1, canvas.picture.height);
        // The texel under a pixel; the pixel's centre decides, so it is never outside by more than a rounding.
        let texel = |pixel: usize, axis: usize, start: f32, size: usize| {
            let world = canvas.origin[axis] + (pixel as f32 + 0.5) * canvas.scale[axis];
            ((world - start).max(0.0) as usize).min(size - 1)
        };
        let across: Vec<usize> = columns.clone().map(|x| texel(x, 0, left, self.width)).collect();
        for y in rows {
            let texels = &self.texels[texel(y, 1, self.top, self.height) * self.width..][..self.width];
            let depth = &canvas.depth.luma[y * canvas.depth.luma_stride..];
            for (x, &at) in columns.clone().zip(&across) {
                let [opacity, light] = texels[at];
                if opacity == 0 || depth[x] > SKY {
                    continue;
                }
                let picture = &mut *canvas.picture;
                blend(&mut picture.y[y * width + x], light, opacity.into());
                if x % 2 == 0 && y % 2 == 0 {
                    let at = y / 2 * (width / 2) + x / 2;
                    blend(&mut picture.u[at], 128, opacity.into());
                    blend(&mut picture.v[at], 128, opacity.into());
                }
            }
        }
    }
}

fn bird(canvas: &mut Canvas, t: f64, speed: f32, phase: f32, height: f32) {
    let x = along(t, phase, speed);
    let y = height + 26.0 * (turn(t, 0.07) + phase * 9.0).sin();
    if !canvas.shows([x, y], [26.0, 26.0]) {
        return;
    }
    let flap = (turn(t, 2.6) + phase * 20.0).sin() * 11.0;
    let colour = Colour::rgb(0x3c4450);
    for side in [-1.0, 1.0] {
        let wing = [
            [x, y - 2.0],
            [x + side * 11.0, y - 5.0 - flap * 0.5],
            [x + side * 23.0, y - flap],
            [x + side * 10.0, y + 1.0 - flap * 0.3],
            [x, y + 3.0],
        ];
        canvas.fill(GROUND, &wing, colour, 1.0);
    }
    canvas.fill(GROUND, &ellipse(x, y, 8.0, 3.0), colour, 1.0);
}

fn flag(canvas: &mut Canvas, t: f64) {
    let [x, y] = FLAG;
    if !canvas.shows([x + 40.0, y + 20.0], [60.0, 50.0]) {
        return;
    }
    let wave = |along: f32| (turn(t, 0.9) - along * 0.09).sin() * along * 0.1;
    for (top, height, colour) in [(0.0, 20.0, 0x8f5a56), (20.0, 20.0, 0xece7dc)] {
        let mut edge: Vec<Point> = (0..=7).map(|i| i as f32 * 10.0).map(|dx| [x + dx, y + top + wave(dx)]).collect();
        edge.extend((0..=7).rev().map(|i| i as f32 * 10.0).map(|dx| [x + dx, y + top + height + wave(dx)]));
        canvas.fill(GROUND, &edge, Colour::rgb(colour), 1.0);
    }
}

fn hands(canvas: &mut Canvas, seconds: f64) {
    if !canvas.shows(CLOCK, [CLOCK_RADIUS, CLOCK_RADIUS]) {
        return;
    }
    let dark = Colour::rgb(0x2c2f34);
    for (period, length, width) in [(43_200.0, 0.5, 5.0), (3_600.0, 0.76, 3.5), (60.0, 0.8, 1.5)] {
        let (sin, cos) = ((seconds / period).fract() as f32 * TAU).sin_cos();
        let tip = [CLOCK[0] + CLOCK_RADIUS * length * sin, CLOCK[1] - CLOCK_RADIUS * length * cos];
        canvas.fill(GROUND, &stroke(CLOCK, tip, width), dark, 1.0);
    }
    canvas.fill(GROUND, &ellipse(CLOCK[0], CLOCK[1], 4.0, 4.0), dark, 1.0);
}

fn smoke(canvas: &mut Canvas, t: f64) {
    for i in 0..6 {
        let age = (t * 0.11 + f64::from(i) / 6.0).fract() as f32;
        let at = [CHIMNEY[0] - 5.0 + age * 74.0 + 8.0 * (age * 9.0).sin(), CHIMNEY[1] - 16.0 - age * 150.0];
        let radius = 9.0 + 30.0 * age;
        if canvas.shows(at, [radius, radius]) {
            canvas.fill(
                GROUND,
                &ellipse(at[0], at[1], radius, radius * 0.8),
                Colour::rgb(0xd4d6d6),
                0.42 * (1.0 - age),
            );
        }
    }
}

fn lamp(canvas: &mut Canvas, t: f64) {
    if !canvas.shows([LAMP[0], LAMP[1] + 40.0], [60.0, 60.0]) {
        return;
    }
    let (sin, cos) = (0.32 * turn(t, 0.42).sin() + 0.05 * turn(t, 0.11).sin()).sin_cos();
    let at = |across: f32, down: f32| [LAMP[0] + down * sin + across * cos, LAMP[1] + down * cos - across * sin];
    let iron = Colour::rgb(0x30343a);
    canvas.fill(GROUND, &stroke(LAMP, at(0.0, 40.0), 2.5), iron, 1.0);
    canvas.fill(
        GROUND,
        &[at(-12.0, 46.0), at(12.0, 46.0), at(16.0, 80.0), at(-16.0, 80.0)],
        Colour::rgb(0xfaf2d2),
        1.0,
    );
    canvas.fill(GROUND, &[at(-20.0, 48.0), at(0.0, 34.0), at(20.0, 48.0)], iron, 1.0);
    canvas.fill(GROUND, &[at(-17.0, 79.0), at(17.0, 79.0), at(13.0, 86.0), at(-13.0, 86.0)], iron, 1.0);
}

/// A shape drawn to the right of its wheel base, mirrored when it drives to the left.
struct Body<'a, 'b> {
    canvas: &'a mut Canvas<'b>,
    at: Point,
    scale: f32,
    facing: f32,
}

impl Body<'_, '_> {
    fn fill(&mut self, points: &[Point], colour: Colour) {
        self.glaze(points, colour, 1.0);
    }

    fn glaze(&mut self, points: &[Point], colour: Colour, opacity: f32) {
        let place = |p: &Point| [self.at[0] + self.facing * self.scale * p[0], self.at[1] + self.scale * p[1]];
        let placed: Vec<Point> = points.iter().map(place).collect();
        self.canvas.fill(GROUND, &placed, colour, opacity);
    }

    fn wheel(&mut self, x: f32, radius: f32, travelled: f32) {
        self.fill(&ellipse(x, -radius, radius, radius), TYRE);
        self.fill(&ellipse(x, -radius, radius * 0.56, radius * 0.56), CHROME);
        let (sin, cos) = (travelled / radius / self.scale).sin_cos();
        let spoke = |s: f32, c: f32| {
            stroke(
                [x - c * radius * 0.5, -radius - s * radius * 0.5],
                [x + c * radius * 0.5, -radius + s * radius * 0.5],
                3.0,
            )
        };
        self.fill(&spoke(sin, cos), TYRE);
        self.fill(&spoke(cos, -sin), TYRE);
    }
}

/// What drives: place on the street and the body to draw on, if it is in view.
fn vehicle<'a, 'b>(
    canvas: &'a mut Canvas<'b>,
    t: f64,
    phase: f32,
    speed: f32,
    foot: f32,
    scale: f32,
    half: f32,
) -> Option<Body<'a, 'b>> {
    let x = along(t, phase, speed);
    canvas.shows([x, foot - 80.0 * scale], [half * scale, 90.0 * scale]).then(|| Body {
        canvas,
        at: [x, foot],
        scale,
        facing: speed.signum(),
    })
}

#[allow(clippy::too_many_arguments)]
fn car(canvas: &mut Canvas, t: f64, phase: f32, speed: f32, foot: f32, scale: f32, colour: Colour) {
    let Some(mut body) = vehicle(canvas, t, phase, speed, foot, scale, 130.0) else { return };
    let travelled = body.at[0] * body.facing;
    body.glaze(&ellipse(0.0, 2.0, 124.0, 10.0), SHADOW, 0.35);
    let cabin = [[-74.0, -58.0], [-46.0, -92.0], [28.0, -92.0], [64.0, -58.0]];
    body.fill(&cabin, colour.shade(-0.12));
    body.fill(&[[-62.0, -58.0], [-40.0, -85.0], [-12.0, -85.0], [-12.0, -58.0]], GLASS);
    body.fill(&[[-5.0, -58.0], [-5.0, -85.0], [24.0, -85.0], [52.0, -58.0]], GLASS);
    body.glaze(&[[-52.0, -62.0], [-36.0, -84.0], [-26.0, -84.0], [-40.0, -62.0]], Colour::rgb(0xffffff), 0.25);
    body.fill(&ellipse(18.0, -66.0, 9.0, 11.0), Colour::rgb(0x3e4248));
    let hull = [
        [-116.0, -20.0],
        [-114.0, -50.0],
        [-78.0, -60.0],
        [66.0, -60.0],
        [106.0, -48.0],
        [116.0, -36.0],
        [116.0, -20.0],
    ];
    body.fill(&hull, colour);
    body.glaze(&rect(-112.0, -34.0, 226.0, 3.0), Colour::rgb(0xffffff), 0.25);
    body.fill(&rect(-118.0, -24.0, 236.0, 8.0), Colour::rgb(0x3a3d42));
    body.fill(&[[100.0, -46.0], [114.0, -38.0], [114.0, -32.0], [98.0, -34.0]], Colour::rgb(0xf6f0d8));
    body.fill(&rect(-116.0, -46.0, 8.0, 12.0), Colour::rgb(0x8a4a46));
    body.glaze(&rect(-10.0, -56.0, 2.0, 34.0), SHADOW, 0.4);
    for x in [-70.0, 72.0] {
        body.wheel(x, 23.0, travelled);
    }
}

fn bus(canvas: &mut Canvas, t: f64) {
    let Some(mut body) = vehicle(canvas, t, 0.5, -170.0, 1012.0, 1.0, 250.0) else { return };
    let travelled = body.at[0] * body.facing;
    body.glaze(&ellipse(0.0, 2.0, 236.0, 12.0), SHADOW, 0.35);
    let paint = Colour::rgb(0xd7c9a4);
    body.fill(
        &[
            [-222.0, -18.0],
            [-222.0, -168.0],
            [-212.0, -178.0],
            [210.0, -178.0],
            [222.0, -166.0],
            [226.0, -60.0],
            [226.0, -18.0],
        ],
        paint,
    );
    body.fill(&rect(-222.0, -62.0, 446.0, 16.0), Colour::rgb(0x6c7f86));
    body.fill(&rect(-222.0, -26.0, 448.0, 9.0), Colour::rgb(0x3a3d42));
    for i in 0..6 {
        let x = -204.0 + i as f32 * 62.0;
        body.fill(&rect(x, -152.0, 54.0, 62.0), GLASS);
        body.glaze(&[[x, -110.0], [x + 24.0, -152.0], [x + 38.0, -152.0], [x, -90.0]], Colour::rgb(0xffffff), 0.16);
        if i % 2 == 0 {
            body.fill(&ellipse(x + 27.0, -106.0, 9.0, 11.0), Colour::rgb(0x3e4248));
        }
    }
    body.fill(&rect(172.0, -152.0, 50.0, 76.0), GLASS);
    body.fill(&rect(216.0, -52.0, 9.0, 13.0), Colour::rgb(0xf6f0d8));
    for x in [-140.0, 140.0] {
        body.wheel(x, 27.0, travelled);
    }
}

fn cyclist(canvas: &mut Canvas, t: f64) {
    let Some(mut body) = vehicle(canvas, t, 0.05, 128.0, 958.0, 0.95, 90.0) else { return };
    let travelled = body.at[0];
    let frame = Colour::rgb(0x4c6470);
    body.glaze(&ellipse(0.0, 2.0, 62.0, 6.0), SHADOW, 0.3);
    for x in [-40.0, 42.0] {
        body.fill(&ellipse(x, -27.0, 27.0, 27.0), TYRE);
        body.fill(&ellipse(x, -27.0, 23.0, 23.0), Colour::rgb(0x85878a));
        let (sin, cos) = (travelled / 27.0).sin_cos();
        body.fill(&stroke([x - 23.0 * cos, -27.0 - 23.0 * sin], [x + 23.0 * cos, -27.0 + 23.0 * sin], 2.0), TYRE);
    }
    for (a, b) in [
        ([-40.0, -27.0], [-14.0, -62.0]),
        ([-40.0, -27.0], [0.0, -28.0]),
        ([0.0, -28.0], [-16.0, -66.0]),
        ([0.0, -28.0], [32.0, -64.0]),
        ([-14.0, -60.0], [32.0, -64.0]),
        ([42.0, -27.0], [30.0, -76.0]),
    ] {
        body.fill(&stroke(a, b, 4.0), frame);
    }
    let skin = Colour::rgb(0xc9a487);
    let pedal = travelled / 40.0;
    for leg in [0.0, PI] {
        let (sin, cos) = (pedal + leg).sin_cos();
        let (foot, hip) = ([12.0 * cos, -28.0 + 12.0 * sin], [-14.0, -74.0]);
        let knee = [(foot[0] + hip[0]) / 2.0 + 15.0, (foot[1] + hip[1]) / 2.0 - 2.0];
        body.fill(&stroke(hip, knee, 10.0), Colour::rgb(0x3c4452));
        body.fill(&stroke(knee, foot, 8.0), Colour::rgb(0x3c4452));
    }
    body.fill(&[[-24.0, -76.0], [-6.0, -74.0], [16.0, -112.0], [-2.0, -118.0]], Colour::rgb(0x8a9a74));
    body.fill(&stroke([8.0, -108.0], [30.0, -78.0], 7.0), skin);
    body.fill(&ellipse(14.0, -128.0, 11.0, 13.0), skin);
    body.fill(&[[1.0, -131.0], [5.0, -142.0], [22.0, -142.0], [27.0, -132.0]], Colour::rgb(0x6e5650));
}

#[allow(clippy::too_many_arguments)]
fn walker(canvas: &mut Canvas, t: f64, phase: f32, speed: f32, foot: f32, scale: f32, coat: Colour, trousers: Colour) {
    let Some(mut body) = vehicle(canvas, t, phase, speed, foot, scale, 50.0) else { return };
    let swing = (body.at[0] / (26.0 * scale)).sin();
    body.glaze(&ellipse(-8.0, 0.0, 30.0, 5.0), SHADOW, 0.3);
    let skin = Colour::rgb(0xc9a487);
    for side in [-1.0, 1.0] {
        let step = swing * side;
        let (hip, knee, heel) =
            ([0.0, -72.0], [step * 13.0 + 3.0, -38.0], [step * 24.0, -3.0 - (step * -side).max(0.0) * 3.0]);
        body.fill(&stroke(hip, knee, 14.0), trousers);
        body.fill(&stroke(knee, heel, 11.0), trousers.shade(-0.1));
        body.fill(
            &[
                [heel[0] - 6.0, heel[1] - 4.0],
                [heel[0] + 12.0, heel[1]],
                [heel[0] + 12.0, heel[1] + 4.0],
                [heel[0] - 6.0, heel[1] + 4.0],
            ],
            TYRE,
        );
    }
    body.fill(&stroke([0.0, -124.0], [-swing * 22.0, -84.0], 10.0), coat.shade(-0.2));
    body.fill(&[[-13.0, -134.0], [12.0, -134.0], [17.0, -66.0], [-16.0, -66.0]], coat);
    body.fill(&stroke([0.0, -124.0], [swing * 22.0, -84.0], 10.0), coat.shade(-0.1));
    body.fill(&ellipse(swing * 22.0, -82.0, 5.0, 5.0), skin);
    body.fill(&ellipse(2.0, -150.0, 12.0, 15.0), skin);
    body.fill(
        &[
            [-11.0, -150.0],
            [-10.0, -162.0],
            [0.0, -168.0],
            [12.0, -163.0],
            [12.0, -157.0],
            [-4.0, -154.0],
            [-6.0, -144.0],
        ],
        Colour::rgb(0x4a3c34),
    );
}
