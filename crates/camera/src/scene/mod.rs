//! What the camera looks at: a street wider and higher than its view.
//!
//! What stands still is drawn once (`world`); a frame copies the part in view and adds what moves.
//! A frame depends only on the view and the moment, so the same moment looks the same in main and
//! sub stream.

mod movers;
mod paint;
mod text;
mod world;

use std::time::Duration;

pub use paint::{Colour, Picture};
use paint::{Depth, Paint, Point, Raster};
use text::Font;
use world::World;

/// Width of the world in world units; one unit is a pixel of a 1280 × 720 picture at zoom 1.
pub const WORLD_WIDTH: f32 = 3840.0;
/// Height of the world in world units.
pub const WORLD_HEIGHT: f32 = 1152.0;
/// Width of the view at zoom 1, in world units.
pub const VIEW_WIDTH: f32 = 1280.0;
/// Height of the view at zoom 1, in world units.
pub const VIEW_HEIGHT: f32 = 720.0;
/// Largest magnification.
pub const ZOOM_MAX: f32 = 4.0;

/// Where the camera looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// -1 at the left end, 1 at the right.
    pub pan: f32,
    /// -1 at the lower end, 1 at the upper.
    pub tilt: f32,
    /// Magnification, 1 to [`ZOOM_MAX`].
    pub zoom: f32,
}

impl View {
    /// The view whose centre is at a world position, at zoom 1.
    pub fn at_centre(x: f32, y: f32) -> View {
        let (pan_half, tilt_half) = ((WORLD_WIDTH - VIEW_WIDTH) / 2.0, (WORLD_HEIGHT - VIEW_HEIGHT) / 2.0);
        View { pan: (x - WORLD_WIDTH / 2.0) / pan_half, tilt: (WORLD_HEIGHT / 2.0 - y) / tilt_half, zoom: 1.0 }
    }

    /// World position of its centre.
    fn centre(self) -> Point {
        let (pan, tilt) = (self.pan.clamp(-1.0, 1.0), self.tilt.clamp(-1.0, 1.0));
        [
            WORLD_WIDTH / 2.0 + pan * (WORLD_WIDTH - VIEW_WIDTH) / 2.0,
            WORLD_HEIGHT / 2.0 - tilt * (WORLD_HEIGHT - VIEW_HEIGHT) / 2.0,
        ]
    }
}

/// When a picture is taken.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Since the camera was started; moves what moves.
    pub elapsed: Duration,
    /// Local time of day, shown by the tower's clock.
    pub time_of_day: Duration,
}

/// A scene, ready to be looked at. Drawing it takes some 100 ms and 11 MiB.
pub struct Scene {
    world: World,
    clouds: Vec<movers::Cloud>,
}

impl Scene {
    /// Draws the world of `seed`.
    pub fn new(seed: u64) -> Scene {
        Scene { world: World::new(seed), clouds: movers::clouds(seed) }
    }
}

/// Draws pictures of one size: scratch memory and font beside the shared scene.
pub struct Renderer {
    picture: Picture,
    raster: Raster,
    font: Font,
    /// Depths in view when the world is seen magnified: luma, chroma.
    depth: [Vec<u8>; 2],
}

impl Renderer {
    /// For pictures of `width` × `height`, both even.
    pub fn new(width: usize, height: usize) -> Renderer {
        Renderer {
            picture: Picture::new(width, height),
            raster: Raster::default(),
            font: Font::new(height),
            depth: [Vec::new(), Vec::new()],
        }
    }

    /// Draws what `view` shows of `scene` at `moment`.
    pub fn render(&mut self, scene: &Scene, view: View, moment: Moment) -> &mut Picture {
        let (width, height) = (self.picture.width, self.picture.height);
        let zoom = view.zoom.clamp(1.0, ZOOM_MAX);
        let scale = [VIEW_WIDTH / zoom / width as f32, VIEW_HEIGHT / zoom / height as f32];
        // The half-size copy serves small pictures: averaging is done already.
        let level = usize::from(scale[0] >= 2.0 && scale[1] >= 2.0);
        let unit = (1 << level) as f32;
        let source = &scene.world.levels[level];
        let step = [scale[0] / unit, scale[1] / unit];
        let centre = view.centre();
        // Whole chroma samples: moving by half of one would blur the picture.
        let snap = |at: f32, limit: usize| (((at / 2.0).round() * 2.0).max(0.0) as usize).min(limit & !1);
        let left =
            snap(centre[0] / unit - step[0] * width as f32 / 2.0, source.width.saturating_sub(extent(width, step[0])));
        let top = snap(
            centre[1] / unit - step[1] * height as f32 / 2.0,
            source.height.saturating_sub(extent(height, step[1])),
        );
        let origin = [left as f32 * unit, top as f32 * unit];
        let Picture { y, u, v, .. } = &mut self.picture;
        for (from, into, shift) in [(&source.y, y, 0), (&source.u, u, 1), (&source.v, v, 1)] {
            let (from_width, from_height) = (source.width >> shift, source.height >> shift);
            let (into_width, left, top) = (width >> shift, left >> shift, top >> shift);
            if step == [1.0, 1.0] {
                for (row, out) in into.chunks_exact_mut(into_width).enumerate() {
                    out.copy_from_slice(&from[(top + row) * from_width + left..][..into_width]);
                }
            } else {
                scale_plane(from, (from_width, from_height), (left, top), step, into, into_width);
            }
        }
        let plane = |shift: usize| {
            (&scene.world.depth[level + shift][..], source.width >> shift, (left >> shift, top >> shift))
        };
        let depth = if step == [1.0, 1.0] {
            let [luma, chroma] = [plane(0), plane(1)].map(|(plane, stride, (left, top))| &plane[top * stride + left..]);
            Depth { luma, luma_stride: source.width, chroma, chroma_stride: source.width / 2 }
        } else {
            let [luma, chroma] = &mut self.depth;
            sample_plane(plane(0), step, luma, (width, height));
            sample_plane(plane(1), step, chroma, (width / 2, height / 2));
            Depth { luma, luma_stride: width, chroma, chroma_stride: width / 2 }
        };
        let (picture, raster) = (&mut self.picture, &mut self.raster);
        let mut canvas = Canvas { picture, raster, depth, origin, scale, scratch: Vec::new() };
        movers::draw(&mut canvas, &scene.clouds, moment);
        &mut self.picture
    }

    /// Writes the date line at the upper left, the serial at the upper right and the name at the
    /// lower right, as cameras do.
    pub fn caption(&mut self, date: &str, serial: &str, name: &str) -> &mut Picture {
        let (width, height) = (self.picture.width as f32, self.picture.height as f32);
        let margin = height / 30.0;
        let font = &mut self.font;
        font.write(&mut self.picture, date, margin, margin);
        font.write(&mut self.picture, serial, width - margin - font.width_of(serial), margin);
        font.write(&mut self.picture, name, width - margin - font.width_of(name), height - margin - font.line());
        &mut self.picture
    }
}

/// Source samples that `size` samples at `step` reach over.
fn extent(size: usize, step: f32) -> usize {
    (size as f32 * step).ceil() as usize
}

/// Nearest samples of a part of a plane, for what cannot be averaged.
fn sample_plane(
    (from, from_width, (left, top)): (&[u8], usize, (usize, usize)),
    step: [f32; 2],
    into: &mut Vec<u8>,
    (width, height): (usize, usize),
) {
    let at =
        |i: usize, start: usize, step: f32, limit: usize| (start + ((i as f32 + 0.5) * step) as usize).min(limit - 1);
    let columns: Vec<usize> = (0..width).map(|i| at(i, left, step[0], from_width)).collect();
    into.clear();
    for row in 0..height {
        let row = &from[at(row, top, step[1], from.len() / from_width) * from_width..][..from_width];
        into.extend(columns.iter().map(|&x| row[x]));
    }
}

/// Bilinear magnification of a part of a plane, in 8-bit fixed point.
fn scale_plane(
    from: &[u8],
    (from_width, from_height): (usize, usize),
    (left, top): (usize, usize),
    step: [f32; 2],
    into: &mut [u8],
    into_width: usize,
) {
    // Position and weight of the right (or lower) neighbour, clamped at the border.
    let tap = |i: usize, start: usize, step: f32, limit: usize| {
        let at = (start as f32 + (i as f32 + 0.5) * step - 0.5).clamp(0.0, (limit - 1) as f32);
        ((at as usize).min(limit - 2), ((at - (at as usize).min(limit - 2) as f32) * 256.0) as u32)
    };
    let columns: Vec<(usize, u32)> = (0..into_width).map(|i| tap(i, left, step[0], from_width)).collect();
    let (Some(&(first, _)), Some(&(last, _))) = (columns.first(), columns.last()) else { return };
    // Down before across: the part that is one multiplication a sample and has no table runs on
    // fewer samples the higher the magnification.
    let mut line = vec![0u16; last + 2 - first];
    for (row, out) in into.chunks_exact_mut(into_width).enumerate() {
        let (y, weight) = tap(row, top, step[1], from_height);
        let weight = weight as u16;
        let upper = &from[y * from_width..][first..last + 2];
        let lower = &from[(y + 1) * from_width..][first..last + 2];
        for ((mixed, &a), &b) in line.iter_mut().zip(upper).zip(lower) {
            *mixed = u16::from(a) * (256 - weight) + u16::from(b) * weight;
        }
        for (sample, &(x, across)) in out.iter_mut().zip(&columns) {
            let (a, b) = (u32::from(line[x - first]), u32::from(line[x - first + 1]));
            *sample = ((a * (256 - across) + b * across + 0x8000) >> 16) as u8;
        }
    }
}

/// A picture seen as the part of the world it shows: what moves is drawn in world units.
struct Canvas<'a> {
    picture: &'a mut Picture,
    raster: &'a mut Raster,
    depth: Depth<'a>,
    origin: Point,
    scale: [f32; 2],
    scratch: Vec<Point>,
}

impl Canvas<'_> {
    /// Whether any of a world rectangle around `centre` can be seen.
    fn shows(&self, centre: Point, half: [f32; 2]) -> bool {
        let sides = [self.picture.width, self.picture.height];
        (0..2).all(|i| {
            centre[i] + half[i] > self.origin[i]
                && centre[i] - half[i] < self.origin[i] + sides[i] as f32 * self.scale[i]
        })
    }

    /// Fills a polygon given in world units, behind everything deeper than `layer`.
    fn fill(&mut self, layer: u8, points: &[Point], colour: Colour, opacity: f32) {
        self.scratch.clear();
        self.scratch.extend(points.iter().map(|p| std::array::from_fn(|i| (p[i] - self.origin[i]) / self.scale[i])));
        self.raster.paint(self.picture, &self.scratch, Paint::Solid(colour), opacity, Some((self.depth, layer)));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::marker::{LANDMARKS, estimate_view, read_landmarks};

    fn moment(seconds: u64) -> Moment {
        Moment { elapsed: Duration::from_secs(seconds), time_of_day: Duration::from_secs(seconds) }
    }

    #[test]
    fn landmarks_tell_where_the_camera_looks_whatever_moves() {
        let scene = Scene::new(3);
        for (width, height) in [(1280, 720), (640, 360)] {
            let mut renderer = Renderer::new(width, height);
            for step in 0..60 {
                let view = View { pan: step as f32 / 29.5 - 1.0, tilt: 1.0 - (step % 7) as f32 / 3.0, zoom: 1.0 };
                let picture = renderer.render(&scene, view, moment(step * 7));
                let seen = read_landmarks(&picture.u, &picture.v, width / 2, height / 2, width / 2);
                assert!(seen.len() >= 2, "{view:?}: {seen:?}");
                let found = estimate_view(&seen).unwrap();
                assert!(
                    (found.pan - view.pan).abs() < 0.01 && (found.tilt - view.tilt).abs() < 0.03,
                    "{view:?}: {found:?}"
                );
            }
        }
    }

    #[test]
    fn every_seed_keeps_clear_of_the_landmarks_colours() {
        for seed in 0..4 {
            let scene = Scene::new(seed);
            let world = &scene.world.levels[0];
            let seen = read_landmarks(&world.u, &world.v, world.width / 2, world.height / 2, world.width / 2);
            assert_eq!(seen.len(), LANDMARKS.len());
            for s in seen {
                let landmark = LANDMARKS[s.index];
                assert!((s.x * WORLD_WIDTH - landmark.x).abs() < 3.0, "seed {seed}: {s:?}");
                assert!((s.y * WORLD_HEIGHT - landmark.y).abs() < 3.0, "seed {seed}: {s:?}");
            }
        }
    }

    #[test]
    fn zoom_magnifies_about_the_centre() {
        let scene = Scene::new(0);
        let mut renderer = Renderer::new(1280, 720);
        let at = |x: f32, y: f32, zoom: f32| View { zoom, ..View::at_centre(x, y) };
        let landmark = LANDMARKS[3];
        for zoom in [1.0, 1.5, 2.0, 4.0] {
            let picture = renderer.render(&scene, at(landmark.x - 100.0, landmark.y, zoom), moment(0));
            let seen = read_landmarks(&picture.u, &picture.v, 640, 360, 640);
            let found = seen.iter().find(|s| s.index == 3).unwrap();
            assert!((found.x - (0.5 + 100.0 * zoom / VIEW_WIDTH)).abs() < 0.01, "{zoom}: {found:?}");
        }
    }

    #[test]
    fn the_ends_of_the_range_show_the_ends_of_the_world() {
        let scene = Scene::new(0);
        let mut renderer = Renderer::new(640, 360);
        for (pan, index) in [(-1.0, 0), (1.0, 7)] {
            let picture = renderer.render(&scene, View { pan, tilt: 0.0, zoom: 1.0 }, moment(1)).clone();
            let beyond = renderer.render(&scene, View { pan: pan * 9.0, tilt: 0.0, zoom: 1.0 }, moment(1));
            assert_eq!(&picture, beyond, "there is nothing beyond the end");
            let seen = read_landmarks(&picture.u, &picture.v, 320, 180, 320);
            assert!(seen.iter().any(|s| s.index == index), "{pan}: {seen:?}");
        }
    }
}
