//! What stands still: a street of houses under a wide sky, drawn once.
//!
//! Three views wide and 1.6 high. From far to near: sky, hills, trees and houses, the far pavement,
//! the road, the near pavement. Every pixel remembers how deep it lies, so that what moves later can
//! pass behind it.

use std::f32::consts::PI;

use super::paint::{Colour, Paint, Picture, Point, Raster, ellipse, rect, stroke};
use super::{WORLD_HEIGHT, WORLD_WIDTH};
use crate::marker::{LANDMARK_RADIUS, LANDMARKS};

/// Nothing but sky: clouds pass here.
pub const SKY: u8 = 0;
/// Houses, trees, street: vehicles and people pass in front.
pub const GROUND: u8 = 1;
/// Street lamps, bushes: everything passes behind.
pub const FRONT: u8 = 2;

/// Height of the houses' feet.
pub const FRONTAGE: f32 = 800.0;
/// Upper edge of the road.
pub const ROAD_TOP: f32 = 858.0;
/// Lower edge of the road.
pub const ROAD_BOTTOM: f32 = 1040.0;
/// Centre of the clock face.
pub const CLOCK: Point = [2880.0, 300.0];
/// Radius of the clock face.
pub const CLOCK_RADIUS: f32 = 44.0;
/// Where the hanging lamp is fastened.
pub const LAMP: Point = [1915.0, 668.0];
/// The chimney that smokes.
pub const CHIMNEY: Point = [1408.0, 352.0];
/// Top of the tower's flag pole.
pub const FLAG: Point = [2880.0, 74.0];

/// The panorama, its half-size copy, and the depth of each of its pixels.
pub struct World {
    /// Full size, and half size for small pictures.
    pub levels: [Picture; 2],
    /// [`SKY`], [`GROUND`] or [`FRONT`] for each luma sample of the levels, and for the chroma samples
    /// of the second: plane `i + 1` holds the chroma of level `i`.
    pub depth: [Vec<u8>; 3],
}

impl World {
    /// Draws the street that belongs to `seed`: colours, windows and trees differ, the plan does not.
    pub fn new(seed: u64) -> World {
        let (width, height) = (WORLD_WIDTH as usize, WORLD_HEIGHT as usize);
        let mut painter = Painter {
            picture: Picture::new(width, height),
            depth: vec![SKY; width * height],
            layer: SKY,
            raster: Raster::default(),
            random: Random(seed ^ 0x5DEE_CE66_D123_4567),
        };
        painter.sky();
        painter.layer = GROUND;
        painter.hills();
        painter.street();
        painter.houses();
        painter.lanterns();
        painter.grain();
        painter.layer = FRONT;
        painter.foreground();
        let half = painter.picture.halved();
        let every_second = |depth: &[u8], width: usize| -> Vec<u8> {
            depth.chunks_exact(2 * width).flat_map(|rows| rows[..width].iter().copied().step_by(2)).collect()
        };
        let half_depth = every_second(&painter.depth, width);
        let quarter_depth = every_second(&half_depth, width / 2);
        World { levels: [painter.picture, half], depth: [painter.depth, half_depth, quarter_depth] }
    }
}

/// SplitMix64: small, and the same street on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    /// Uniform in `from..to`.
    fn between(&mut self, from: f32, to: f32) -> f32 {
        from + (self.next() >> 40) as f32 / (1u32 << 24) as f32 * (to - from)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[(self.next() % from.len() as u64) as usize]
    }

    fn chance(&mut self, probability: f32) -> bool {
        self.between(0.0, 1.0) < probability
    }
}

const WALLS: [u32; 7] = [0xe9dcc0, 0xd2a58c, 0xb4c0c6, 0xbcc6a8, 0xd9bf94, 0xd9bbb4, 0xeeebe3];
const ROOFS: [u32; 4] = [0x8e5a4a, 0x77524a, 0x5d6068, 0x9a6a50];
const SHUTTERS: [u32; 4] = [0x4e6a60, 0x6a5248, 0x50607a, 0x7c6a52];
const LEAVES: [u32; 4] = [0x5c7c4a, 0x6a8a52, 0x4f6e46, 0x7c9458];
const GLASS_TOP: Colour = Colour::rgb(0x46586a);
const GLASS_BOTTOM: Colour = Colour::rgb(0x8ea4b0);
const TRIM: Colour = Colour::rgb(0xf2eee6);
const IRON: Colour = Colour::rgb(0x33383c);
const SHADOW: Colour = Colour::rgb(0x1c2028);

struct Painter {
    picture: Picture,
    depth: Vec<u8>,
    layer: u8,
    raster: Raster,
    random: Random,
}

impl Painter {
    fn fill(&mut self, points: &[Point], paint: impl Into<Paint>) {
        self.glaze(points, paint, 1.0);
        let (width, layer, depth) = (self.picture.width, self.layer, &mut self.depth);
        self.raster.fill(points, width, self.picture.height, |y, x, coverage| {
            let row = &mut depth[y * width + x..];
            row.iter_mut().zip(coverage).filter(|(_, cover)| **cover > 127).for_each(|(depth, _)| *depth = layer);
        });
    }

    /// Fills without becoming part of what is solid: shadows, shine.
    fn glaze(&mut self, points: &[Point], paint: impl Into<Paint>, opacity: f32) {
        self.raster.paint(&mut self.picture, points, paint.into(), opacity, None);
    }

    fn sky(&mut self) {
        let paint = Paint::Vertical { y0: 0.0, y1: 640.0, top: Colour::rgb(0x7fa9cf), bottom: Colour::rgb(0xeef0ea) };
        self.glaze(&rect(0.0, 0.0, WORLD_WIDTH, 720.0), paint, 1.0);
        let glow = Colour::rgb(0xfffbe8);
        for ring in 0..40 {
            let radius = 300.0 - 6.2 * ring as f32;
            self.glaze(&ellipse(620.0, 150.0, radius, radius), glow, 0.016);
        }
        self.glaze(&ellipse(620.0, 150.0, 46.0, 46.0), glow, 0.95);
    }

    fn hills(&mut self) {
        for (base, height, colour, phase) in
            [(560.0, 70.0, 0xb4c4ca, 0.3), (610.0, 56.0, 0x9db3a6, 2.1), (668.0, 40.0, 0x86a081, 4.4)]
        {
            let mut ridge = vec![[WORLD_WIDTH, 820.0], [0.0, 820.0]];
            ridge.extend((0..=240).map(|i| {
                let x = i as f32 * WORLD_WIDTH / 240.0;
                let t = x / WORLD_WIDTH * 2.0 * PI + phase;
                [x, base - height * (0.6 * (2.0 * t).sin() + 0.3 * (5.0 * t).sin() + 0.1 * (13.0 * t).sin())]
            }));
            let top = Colour::rgb(colour);
            self.fill(&ridge, Paint::Vertical { y0: base - height, y1: 800.0, top, bottom: top.shade(-0.15) });
        }
    }

    fn street(&mut self) {
        let pavement =
            Paint::Vertical { y0: 780.0, y1: ROAD_TOP, top: Colour::rgb(0xb9b4aa), bottom: Colour::rgb(0xc8c3b8) };
        self.fill(&rect(0.0, FRONTAGE - 24.0, WORLD_WIDTH, 400.0), pavement);
        let asphalt = Paint::Vertical {
            y0: ROAD_TOP,
            y1: ROAD_BOTTOM,
            top: Colour::rgb(0x6a6c70),
            bottom: Colour::rgb(0x7c7e82),
        };
        self.fill(&rect(0.0, ROAD_TOP, WORLD_WIDTH, ROAD_BOTTOM - ROAD_TOP), asphalt);
        self.fill(&rect(0.0, ROAD_TOP - 7.0, WORLD_WIDTH, 7.0), Colour::rgb(0xd8d4ca));
        self.fill(&rect(0.0, ROAD_TOP, WORLD_WIDTH, 4.0), Colour::rgb(0x4c4e52));
        let near = Paint::Vertical {
            y0: ROAD_BOTTOM,
            y1: WORLD_HEIGHT,
            top: Colour::rgb(0xc4beb2),
            bottom: Colour::rgb(0xaea79a),
        };
        self.fill(&rect(0.0, ROAD_BOTTOM, WORLD_WIDTH, WORLD_HEIGHT - ROAD_BOTTOM), near);
        self.fill(&rect(0.0, ROAD_BOTTOM, WORLD_WIDTH, 9.0), Colour::rgb(0xe0dcd2));
        self.fill(&rect(0.0, ROAD_BOTTOM + 9.0, WORLD_WIDTH, 5.0), Colour::rgb(0x8c877c));
        // Joints of the paving run towards a point above the middle.
        let joint = Colour::rgb(0x8e887c);
        for y in [1072.0f32, 1106.0] {
            self.glaze(&rect(0.0, y, WORLD_WIDTH, 2.0), joint, 0.5);
        }
        for i in 0..64 {
            let x = i as f32 * 62.0 - 30.0;
            let lean = (x - WORLD_WIDTH / 2.0) * 0.06;
            self.glaze(&stroke([x, 1054.0], [x + lean, WORLD_HEIGHT], 2.0), joint, 0.45);
            self.glaze(&stroke([x, FRONTAGE], [x + lean * 0.4, ROAD_TOP - 7.0], 1.5), joint, 0.4);
        }
        let line = Colour::rgb(0xe6e4da);
        for i in 0..26 {
            let x = i as f32 * 150.0 + 20.0;
            if !(1560.0..1860.0).contains(&x) {
                self.glaze(&[[x, 945.0], [x + 84.0, 945.0], [x + 88.0, 951.0], [x + 2.0, 951.0]], line, 0.85);
            }
        }
        for i in 0..7 {
            let y = ROAD_TOP + 10.0 + i as f32 * 25.0;
            let (left, right) = (1640.0 - i as f32 * 4.0, 1800.0 + i as f32 * 4.0);
            self.glaze(&[[left, y], [right, y], [right + 2.0, y + 13.0], [left - 2.0, y + 13.0]], line, 0.85);
        }
        for (x, y) in [(700.0, 980.0), (2480.0, 905.0), (3300.0, 1000.0)] {
            self.glaze(&ellipse(x, y, 30.0, 9.0), IRON, 0.55);
            self.glaze(&ellipse(x, y, 25.0, 7.0), Colour::rgb(0x64666a), 0.8);
        }
    }

    fn houses(&mut self) {
        // Left edge, width, height of the wall, storeys.
        const PLAN: [(f32, f32, f32, usize); 9] = [
            (40.0, 330.0, 330.0, 3),
            (392.0, 280.0, 270.0, 2),
            (800.0, 360.0, 390.0, 4),
            (1182.0, 300.0, 300.0, 3),
            (1500.0, 380.0, 350.0, 3),
            (1990.0, 310.0, 270.0, 2),
            (2320.0, 340.0, 370.0, 4),
            (3060.0, 360.0, 310.0, 3),
            (3440.0, 350.0, 360.0, 3),
        ];
        for (x, y, size) in
            [(20.0, 770.0, 0.8), (735.0, 800.0, 1.1), (1940.0, 800.0, 0.95), (2720.0, 790.0, 1.0), (3030.0, 790.0, 0.9)]
        {
            self.tree(x, y, size);
        }
        let first = self.random.next() as usize;
        for (i, (x, width, height, storeys)) in PLAN.into_iter().enumerate() {
            let wall = Colour::rgb(WALLS[(first % 7 + i * 3) % 7]);
            self.house(x, width, height, storeys, wall);
        }
        self.chimney(CHIMNEY[0], CHIMNEY[1]);
        self.tower();
        for (x, size) in [(762.0, 0.62), (1915.0, 0.0), (2690.0, 0.66), (3012.0, 0.6)] {
            if size > 0.0 {
                self.tree(x, FRONTAGE + 26.0, size);
            }
        }
        // The bracket of the hanging lamp.
        self.fill(&stroke([1878.0, LAMP[1]], [LAMP[0] + 4.0, LAMP[1]], 5.0), IRON);
        self.fill(&stroke([1878.0, LAMP[1] + 30.0], [LAMP[0] - 6.0, LAMP[1]], 3.5), IRON);
        for (x, width) in [(1520.0, 150.0), (2350.0, 150.0)] {
            self.bench(x + width, FRONTAGE + 22.0);
        }
    }

    fn house(&mut self, x: f32, width: f32, height: f32, storeys: usize, wall: Colour) {
        let eaves = FRONTAGE - height;
        let roof = Colour::rgb(self.random.pick(&ROOFS));
        let shutter = Colour::rgb(self.random.pick(&SHUTTERS));
        let rise = self.random.between(70.0, 104.0);
        if self.random.chance(0.6) {
            let at = x + width * self.random.between(0.2, 0.3);
            self.chimney(at, eaves - rise * 0.7);
        }
        self.roof(x, width, eaves, rise, roof);
        let paint = Paint::Vertical { y0: eaves, y1: FRONTAGE, top: wall, bottom: wall.shade(-0.08) };
        self.fill(&rect(x, eaves, width, height), paint);
        self.glaze(&rect(x, eaves, width * 0.05, height), SHADOW, 0.10);
        self.glaze(&rect(x + width * 0.965, eaves, width * 0.035, height), Colour::rgb(0xffffff), 0.18);
        self.glaze(&rect(x, eaves, width, 13.0), SHADOW, 0.28);
        self.fill(&rect(x - 10.0, eaves - 6.0, width + 20.0, 9.0), roof.shade(-0.25));
        self.fill(&rect(x, FRONTAGE - 22.0, width, 22.0), wall.shade(-0.32));
        let storey = (height - 16.0) / storeys as f32;
        let columns = (width / 84.0) as usize;
        let pitch = width / columns as f32;
        for level in 1..storeys {
            let top = FRONTAGE - 4.0 - (level + 1) as f32 * storey;
            self.fill(&rect(x, top + storey - 3.0, width, 4.0), wall.shade(0.25));
            for column in 0..columns {
                let centre = x + (column as f32 + 0.5) * pitch;
                self.window(centre - 19.0, top + storey * 0.24, 38.0, storey * 0.54, shutter);
            }
        }
        let ground = FRONTAGE - storey;
        if self.random.chance(0.55) {
            self.shop(x, width, ground, storey);
        } else {
            let door = x + pitch * (columns / 2) as f32 + pitch * 0.5;
            for column in 0..columns {
                let centre = x + (column as f32 + 0.5) * pitch;
                if (centre - door).abs() > 1.0 {
                    self.window(centre - 21.0, ground + storey * 0.22, 42.0, storey * 0.46, shutter);
                    self.flower_box(centre - 27.0, ground + storey * 0.7, 54.0);
                }
            }
            self.door(door, storey * 0.74, shutter);
        }
        let foot =
            [[x, FRONTAGE], [x + width, FRONTAGE], [x + width - 26.0, FRONTAGE + 26.0], [x - 34.0, FRONTAGE + 26.0]];
        self.glaze(&foot, SHADOW, 0.22);
    }

    fn roof(&mut self, x: f32, width: f32, eaves: f32, rise: f32, roof: Colour) {
        let (left, right, inset) = (x - 12.0, x + width + 12.0, width * self.random.pick(&[0.1, 0.16, 0.3]));
        let outline = [[left, eaves], [left + inset, eaves - rise], [right - inset, eaves - rise], [right, eaves]];
        let paint = Paint::Vertical { y0: eaves - rise, y1: eaves, top: roof.shade(0.12), bottom: roof };
        self.fill(&outline, paint);
        for row in 1..(rise / 11.0) as usize {
            let down = row as f32 * 11.0;
            let reach = inset * (1.0 - down / rise);
            self.glaze(&rect(left + reach, eaves - rise + down, right - left - 2.0 * reach, 2.0), SHADOW, 0.22);
        }
        self.glaze(&rect(left + inset, eaves - rise - 2.0, right - left - 2.0 * inset, 5.0), roof.shade(-0.3), 0.9);
        for i in 1..=2 {
            let centre = left + (right - left) * (i as f32 * 0.34 - 0.01);
            let top = eaves - rise * 0.62;
            self.fill(
                &[[centre - 30.0, top + 2.0], [centre, top - 24.0], [centre + 30.0, top + 2.0]],
                roof.shade(-0.2),
            );
            self.fill(&rect(centre - 21.0, top, 42.0, rise * 0.5), Colour::rgb(0xddd5c6));
            self.pane(centre - 14.0, top + 6.0, 28.0, rise * 0.5 - 10.0);
        }
    }

    fn window(&mut self, x: f32, y: f32, width: f32, height: f32, shutter: Colour) {
        let leaf = width * 0.42;
        for left in [x - leaf - 3.0, x + width + 3.0] {
            self.fill(&rect(left, y, leaf, height), shutter);
            for slat in 1..(height / 7.0) as usize {
                self.glaze(&rect(left + 2.0, y + slat as f32 * 7.0, leaf - 4.0, 2.0), SHADOW, 0.3);
            }
        }
        self.fill(&rect(x - 4.0, y - 4.0, width + 8.0, height + 8.0), TRIM);
        self.pane(x, y, width, height);
        self.fill(&rect(x - 8.0, y + height + 3.0, width + 16.0, 6.0), TRIM.shade(-0.12));
        self.glaze(&rect(x - 6.0, y + height + 9.0, width + 12.0, 5.0), SHADOW, 0.2);
    }

    fn pane(&mut self, x: f32, y: f32, width: f32, height: f32) {
        self.fill(
            &rect(x, y, width, height),
            Paint::Vertical { y0: y, y1: y + height, top: GLASS_TOP, bottom: GLASS_BOTTOM },
        );
        if self.random.chance(0.4) {
            let curtain = Colour::rgb(0xd8d2c4);
            self.glaze(&rect(x, y, width * 0.24, height), curtain, 0.6);
            self.glaze(&rect(x + width * 0.76, y, width * 0.24, height), curtain, 0.6);
        }
        let shine = [[x, y + height * 0.5], [x + width * 0.55, y], [x + width * 0.85, y], [x, y + height * 0.78]];
        self.glaze(&shine, Colour::rgb(0xffffff), 0.14);
        self.fill(&rect(x + width / 2.0 - 1.5, y, 3.0, height), TRIM);
        self.fill(&rect(x, y + height * 0.38, width, 3.0), TRIM);
    }

    fn door(&mut self, centre: f32, height: f32, colour: Colour) {
        let (x, y) = (centre - 25.0, FRONTAGE - height);
        self.fill(&ellipse(centre, y, 32.0, 24.0), TRIM);
        self.fill(&rect(x - 7.0, y, 64.0, height), TRIM);
        self.fill(&ellipse(centre, y, 25.0, 17.0), GLASS_BOTTOM);
        self.fill(
            &rect(x, y, 50.0, height),
            Paint::Vertical { y0: y, y1: FRONTAGE, top: colour, bottom: colour.shade(-0.25) },
        );
        for (dx, dy) in [(6.0, 8.0), (28.0, 8.0), (6.0, height * 0.52), (28.0, height * 0.52)] {
            self.glaze(&rect(x + dx, y + dy, 16.0, height * 0.36), SHADOW, 0.25);
        }
        self.fill(&ellipse(x + 42.0, y + height * 0.52, 3.0, 3.0), Colour::rgb(0xd8c890));
        self.fill(&rect(x - 14.0, FRONTAGE - 8.0, 78.0, 8.0), Colour::rgb(0xa8a296));
    }

    fn shop(&mut self, x: f32, width: f32, top: f32, height: f32) {
        let frame = Colour::rgb(self.random.pick(&SHUTTERS));
        self.fill(&rect(x + 12.0, top + 8.0, width - 24.0, height - 8.0), frame.shade(-0.1));
        let door = self.random.pick(&[0.2, 0.5, 0.8]) * width;
        self.pane(x + 24.0, top + height * 0.36, door - 62.0 + 6.0, height * 0.46);
        self.pane(x + door + 34.0, top + height * 0.36, width - door - 58.0, height * 0.46);
        self.pane(x + door - 22.0, top + height * 0.34, 44.0, height * 0.6);
        self.fill(&rect(x + 16.0, top + 10.0, width - 32.0, 22.0), TRIM.shade(-0.08));
        let mut letter = x + width * 0.34;
        while letter < x + width * 0.66 {
            let size = self.random.between(7.0, 13.0);
            self.fill(&rect(letter, top + 15.0, size, 12.0), frame);
            letter += size + 5.0;
        }
        let (upper, lower) = (top + 32.0, top + 62.0);
        let stripe = Colour::rgb(self.random.pick(&[0xa8645a, 0x5e7f78, 0x6b7896]));
        let count = (width / 22.0) as usize;
        for i in 0..count {
            let (a, b) = (i as f32 / count as f32, (i + 1) as f32 / count as f32);
            let slope = [
                [x + 6.0 + a * (width - 12.0), upper],
                [x + 6.0 + b * (width - 12.0), upper],
                [x - 4.0 + b * (width + 8.0), lower],
                [x - 4.0 + a * (width + 8.0), lower],
            ];
            let colour = if i % 2 == 0 { stripe } else { TRIM };
            self.fill(&slope, Paint::Vertical { y0: upper, y1: lower, top: colour, bottom: colour.shade(-0.1) });
            self.fill(
                &ellipse((slope[2][0] + slope[3][0]) / 2.0, lower, (slope[2][0] - slope[3][0]) / 2.0, 7.0),
                colour,
            );
        }
        self.glaze(&rect(x + 12.0, lower + 6.0, width - 24.0, 16.0), SHADOW, 0.3);
    }

    fn flower_box(&mut self, x: f32, y: f32, width: f32) {
        self.fill(&rect(x, y, width, 10.0), Colour::rgb(0x7a5a46));
        for i in 0..(width / 5.0) as usize {
            let at = [x + 3.0 + i as f32 * 5.0, y - self.random.between(0.0, 5.0)];
            let leaf = Colour::rgb(self.random.pick(&LEAVES));
            self.fill(&ellipse(at[0], at[1], 5.0, 5.0), leaf);
            let flower = Colour::rgb(self.random.pick(&[0xc98a94, 0xe6d9a8, 0xd8b8c8]));
            self.fill(&ellipse(at[0] + 1.0, at[1] - 3.0, 2.4, 2.4), flower);
        }
    }

    fn chimney(&mut self, x: f32, y: f32) {
        let brick = Colour::rgb(0x8a6050);
        self.fill(
            &rect(x - 15.0, y, 30.0, 96.0),
            Paint::Vertical { y0: y, y1: y + 96.0, top: brick, bottom: brick.shade(-0.2) },
        );
        self.fill(&rect(x - 19.0, y, 38.0, 9.0), brick.shade(-0.3));
        self.fill(&rect(x - 9.0, y - 10.0, 8.0, 10.0), Colour::rgb(0x9a7060));
        self.fill(&rect(x + 3.0, y - 10.0, 8.0, 10.0), Colour::rgb(0x9a7060));
    }

    fn tower(&mut self) {
        let (x, stone) = (CLOCK[0], Colour::rgb(0xcfc4ae));
        let paint = Paint::Vertical { y0: 220.0, y1: FRONTAGE, top: stone, bottom: stone.shade(-0.14) };
        self.fill(&rect(x - 78.0, 222.0, 156.0, FRONTAGE - 222.0), paint);
        self.glaze(&rect(x - 78.0, 222.0, 22.0, FRONTAGE - 222.0), SHADOW, 0.14);
        for row in 0..28 {
            let y = 236.0 + row as f32 * 20.0;
            self.glaze(&rect(x - 78.0, y, 156.0, 1.5), SHADOW, 0.14);
            for i in 0..4 {
                let brick = x - 78.0 + i as f32 * 44.0 + (row % 2) as f32 * 22.0;
                self.glaze(&rect(brick.min(x + 76.0), y, 1.5, 20.0), SHADOW, 0.12);
            }
        }
        self.fill(&stroke([x, 240.0], FLAG, 4.0), IRON);
        let slate = Colour::rgb(0x5d6672);
        self.fill(&[[x - 94.0, 224.0], [x, 96.0], [x + 94.0, 224.0]], slate);
        self.glaze(&[[x, 96.0], [x + 94.0, 224.0], [x + 20.0, 224.0]], Colour::rgb(0xffffff), 0.12);
        for y in [226.0, 376.0, 560.0] {
            self.fill(&rect(x - 88.0, y, 176.0, 12.0), stone.shade(0.3));
            self.glaze(&rect(x - 78.0, y + 12.0, 156.0, 8.0), SHADOW, 0.25);
        }
        self.fill(&ellipse(CLOCK[0], CLOCK[1], CLOCK_RADIUS + 8.0, CLOCK_RADIUS + 8.0), Colour::rgb(0x6a5f50));
        self.fill(&ellipse(CLOCK[0], CLOCK[1], CLOCK_RADIUS, CLOCK_RADIUS), Colour::rgb(0xf4efe2));
        for hour in 0..12 {
            let (sin, cos) = (hour as f32 * PI / 6.0).sin_cos();
            let at = |r: f32| [CLOCK[0] + r * sin, CLOCK[1] - r * cos];
            self.fill(
                &stroke(at(CLOCK_RADIUS - 10.0), at(CLOCK_RADIUS - 4.0), if hour % 3 == 0 { 5.0 } else { 2.5 }),
                IRON,
            );
        }
        for y in [412.0, 596.0] {
            self.fill(&ellipse(x, y + 22.0, 25.0, 25.0), stone.shade(0.3));
            self.fill(&rect(x - 25.0, y + 22.0, 50.0, 74.0), stone.shade(0.3));
            self.fill(&ellipse(x, y + 22.0, 19.0, 19.0), GLASS_TOP);
            self.pane(x - 19.0, y + 22.0, 38.0, 68.0);
        }
        self.door(x, 84.0, Colour::rgb(0x5c4a40));
        self.glaze(
            &[[x - 78.0, FRONTAGE], [x + 78.0, FRONTAGE], [x + 50.0, FRONTAGE + 28.0], [x - 116.0, FRONTAGE + 28.0]],
            SHADOW,
            0.22,
        );
    }

    fn tree(&mut self, x: f32, foot: f32, size: f32) {
        self.glaze(&ellipse(x - 16.0 * size, foot, 120.0 * size, 14.0 * size), SHADOW, 0.25);
        let trunk = Colour::rgb(0x66523f);
        let (half, crown) = (13.0 * size, foot - 190.0 * size);
        self.fill(&[[x - half * 0.7, crown], [x + half * 0.7, crown], [x + half, foot], [x - half, foot]], trunk);
        for side in [-1.0, 1.0] {
            self.fill(
                &stroke([x, foot - 130.0 * size], [x + side * 62.0 * size, foot - 225.0 * size], 9.0 * size),
                trunk,
            );
        }
        // From shade to light: lower and darker blobs first.
        for step in 0..90 {
            let height = step as f32 / 90.0;
            let angle = self.random.between(0.0, 2.0 * PI);
            let reach = self.random.between(0.0, 1.0).sqrt() * (1.0 - 0.35 * height);
            let at = [
                x + angle.cos() * reach * 112.0 * size,
                foot - (205.0 + 95.0 * height + angle.sin() * reach * 62.0) * size,
            ];
            let radius = self.random.between(18.0, 34.0) * size;
            let leaf = Colour::rgb(self.random.pick(&LEAVES)).shade(-0.28 + 0.42 * height);
            self.fill(&ellipse(at[0], at[1], radius, radius * 0.85), leaf);
        }
        for _ in 0..170 {
            let angle = self.random.between(0.0, 2.0 * PI);
            let reach = self.random.between(0.0, 1.0).sqrt();
            let at = [x + angle.cos() * reach * 122.0 * size, foot - (255.0 + angle.sin() * reach * 92.0) * size];
            let light = -0.15 - angle.sin() * reach * -0.3;
            let leaf = Colour::rgb(self.random.pick(&LEAVES)).shade(light);
            let radius = self.random.between(4.0, 9.0) * size;
            self.glaze(&ellipse(at[0], at[1], radius, radius * 0.7), leaf, 0.8);
        }
    }

    fn bench(&mut self, x: f32, y: f32) {
        let wood = Colour::rgb(0x8a6a4c);
        self.glaze(&ellipse(x + 55.0, y + 26.0, 70.0, 7.0), SHADOW, 0.25);
        for (dy, height) in [(-26.0, 7.0), (-15.0, 7.0), (0.0, 8.0)] {
            self.fill(&rect(x, y + dy, 110.0, height), wood);
        }
        for dx in [8.0, 96.0] {
            self.fill(&rect(x + dx, y - 26.0, 6.0, 52.0), IRON);
        }
    }

    /// The landmarks, on a rope that sags from post to post.
    fn lanterns(&mut self) {
        let rope = Colour::rgb(0x4a4640);
        let knots: Vec<Point> = LANDMARKS.iter().map(|l| [l.x, l.y - LANDMARK_RADIUS - 18.0]).collect();
        let mut ends = vec![[-240.0, knots[1][1]]];
        ends.extend(&knots);
        ends.push([WORLD_WIDTH + 240.0, knots[0][1]]);
        for pair in ends.windows(2) {
            let at = |t: f32| {
                let sag = 44.0 * 4.0 * t * (1.0 - t);
                [pair[0][0] + (pair[1][0] - pair[0][0]) * t, pair[0][1] + (pair[1][1] - pair[0][1]) * t + sag]
            };
            for i in 0..24 {
                self.fill(&stroke(at(i as f32 / 24.0), at((i + 1) as f32 / 24.0), 2.5), rope);
            }
            // Small lamps between the lanterns, too pale to be taken for one.
            for i in 1..8 {
                let [x, y] = at(i as f32 / 8.0);
                self.fill(&rect(x - 2.5, y, 5.0, 7.0), IRON);
                self.fill(&ellipse(x, y + 12.0, 5.5, 7.0), Colour::rgb(0xf6eecb));
            }
        }
        for lantern in &LANDMARKS {
            let (x, y, radius) = (lantern.x, lantern.y, LANDMARK_RADIUS);
            self.fill(&stroke([x, y - radius - 18.0], [x, y - radius], 2.5), rope);
            self.fill(&ellipse(x, y, radius, radius), lantern.colour);
            for ring in [0.35, 0.7] {
                // Ribs in luma only: the colour stays what a test looks for.
                let (rx, colour) = (radius * ring, lantern.colour);
                for (rx, y_shift) in [(rx, -0.12), (rx - 2.0, 0.0)] {
                    let shaded = Colour { y: (f32::from(colour.y) * (1.0 + y_shift)) as u8, ..colour };
                    self.fill(&ellipse(x, y, rx.max(0.5), radius - 1.0), shaded);
                }
            }
            for (top, width) in [(y - radius - 3.0, 22.0), (y + radius - 3.0, 18.0)] {
                self.fill(&rect(x - width / 2.0, top, width, 6.0), IRON);
            }
            self.fill(&stroke([x, y + radius], [x, y + radius + 16.0], 3.0), Colour::rgb(0x9a8060));
        }
    }

    /// Roughness of plaster and stone; without it flat walls look like a drawing.
    fn grain(&mut self) {
        for (sample, depth) in self.picture.y.iter_mut().zip(&self.depth) {
            if *depth != SKY {
                let noise = self.random.next();
                let bump = (noise & 3) as i16 + (noise >> 2 & 3) as i16 - 3;
                *sample = (i16::from(*sample) + bump).clamp(16, 235) as u8;
            }
        }
    }

    fn foreground(&mut self) {
        for x in [470.0, 1370.0, 2250.0, 3390.0] {
            self.street_lamp(x);
        }
        for (x, width) in [(60.0, 300.0), (960.0, 330.0), (2020.0, 150.0), (2620.0, 420.0), (3560.0, 260.0)] {
            self.planter(x, width);
        }
    }

    fn street_lamp(&mut self, x: f32) {
        let foot = 1096.0;
        self.glaze(&ellipse(x - 22.0, foot, 44.0, 8.0), SHADOW, 0.3);
        self.fill(&[[x - 4.0, 690.0], [x + 4.0, 690.0], [x + 7.0, foot], [x - 7.0, foot]], IRON);
        self.fill(&[[x - 9.0, 1030.0], [x + 9.0, 1030.0], [x + 16.0, foot], [x - 16.0, foot]], IRON);
        self.fill(&stroke([x - 34.0, 716.0], [x + 34.0, 716.0], 4.0), IRON);
        for dx in [-34.0, 34.0] {
            let at = x + dx;
            self.fill(
                &[[at - 15.0, 664.0], [at + 15.0, 664.0], [at + 9.0, 706.0], [at - 9.0, 706.0]],
                Colour::rgb(0xf4efd8),
            );
            self.glaze(&rect(at - 1.5, 664.0, 3.0, 42.0), IRON, 1.0);
            self.fill(&[[at - 19.0, 666.0], [at, 648.0], [at + 19.0, 666.0]], IRON);
            self.fill(&rect(at - 10.0, 704.0, 20.0, 8.0), IRON);
        }
    }

    fn planter(&mut self, x: f32, width: f32) {
        let (top, foot) = (1092.0, 1140.0);
        self.glaze(&ellipse(x + width / 2.0 - 14.0, foot, width * 0.56, 12.0), SHADOW, 0.3);
        for i in 0..(width / 7.0) as usize * 3 {
            let light = -0.2 + 0.3 * i as f32 / (width / 7.0 * 3.0);
            let leaf = Colour::rgb(self.random.pick(&LEAVES)).shade(light);
            let at = [self.random.between(x + 8.0, x + width - 8.0), top - self.random.between(-6.0, 34.0)];
            self.fill(&ellipse(at[0], at[1], 15.0, 12.0), leaf);
        }
        for _ in 0..(width / 16.0) as usize {
            let petal = Colour::rgb(self.random.pick(&[0xeadfc0, 0xcfa0a6, 0xd9cbe0]));
            let at = [self.random.between(x + 10.0, x + width - 10.0), top - self.random.between(0.0, 36.0)];
            self.fill(&ellipse(at[0], at[1], 4.5, 4.5), petal);
        }
        let stone = Colour::rgb(0xb8ab98);
        self.fill(
            &rect(x, top, width, foot - top),
            Paint::Vertical { y0: top, y1: foot, top: stone, bottom: stone.shade(-0.3) },
        );
        self.fill(&rect(x - 6.0, top - 6.0, width + 12.0, 12.0), stone.shade(0.2));
    }
}
