//! Filling polygons on I420 pictures.
//!
//! Everything the camera sees is made of polygons with exact horizontal and 4-fold vertical
//! anti-aliasing, painted straight into luma and half-size chroma planes: there is no RGB picture.

/// A point in pixels or world units, x to the right, y down.
pub type Point = [f32; 2];

/// Sub-scanlines a row: edges show 5 × 256 levels, which 8-bit video cannot tell from more.
const SUBSCANS: usize = 4;

/// A colour in BT.709 limited range (ITU-R BT.709-6 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour {
    /// Luma, 16 to 235.
    pub y: u8,
    /// Blue difference, 16 to 240.
    pub u: u8,
    /// Red difference, 16 to 240.
    pub v: u8,
}

impl Colour {
    /// From 8-bit full-range R'G'B' written as `0xRRGGBB`.
    pub const fn rgb(hex: u32) -> Colour {
        let (r, g, b) = ((hex >> 16 & 255) as f32, (hex >> 8 & 255) as f32, (hex & 255) as f32);
        let luma = 0.2126 * r + 0.7152 * g + 0.0722 * b;
        Colour {
            y: (16.5 + luma * 219.0 / 255.0) as u8,
            u: (128.5 + (b - luma) / 1.8556 * 224.0 / 255.0) as u8,
            v: (128.5 + (r - luma) / 1.5748 * 224.0 / 255.0) as u8,
        }
    }

    /// The colour `amount` (0 to 1) of the way towards `other`.
    pub fn mix(self, other: Colour, amount: f32) -> Colour {
        let lerp = |a: u8, b: u8| (f32::from(a) + (f32::from(b) - f32::from(a)) * amount + 0.5) as u8;
        Colour { y: lerp(self.y, other.y), u: lerp(self.u, other.u), v: lerp(self.v, other.v) }
    }

    /// Lighter (positive) or darker by `amount` of the way to white or black.
    pub fn shade(self, amount: f32) -> Colour {
        let end = if amount > 0.0 { Colour { y: 235, u: 128, v: 128 } } else { Colour { y: 16, u: 128, v: 128 } };
        self.mix(end, amount.abs())
    }
}

/// What a polygon is filled with.
#[derive(Clone, Copy, Debug)]
pub enum Paint {
    /// One colour.
    Solid(Colour),
    /// From `top` at height `y0` to `bottom` at `y1`.
    Vertical {
        /// Height of the first colour.
        y0: f32,
        /// Height of the second colour.
        y1: f32,
        /// Colour at and above `y0`.
        top: Colour,
        /// Colour at and below `y1`.
        bottom: Colour,
    },
}

impl Paint {
    /// The colour at height `y`.
    pub fn at(self, y: f32) -> Colour {
        match self {
            Paint::Solid(colour) => colour,
            Paint::Vertical { y0, y1, top, bottom } => top.mix(bottom, ((y - y0) / (y1 - y0)).clamp(0.0, 1.0)),
        }
    }
}

impl From<Colour> for Paint {
    fn from(colour: Colour) -> Paint {
        Paint::Solid(colour)
    }
}

/// An I420 picture with tight rows. Width and height are even.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Luma samples a row.
    pub width: usize,
    /// Luma rows.
    pub height: usize,
    /// Luma, `width * height`.
    pub y: Vec<u8>,
    /// Blue difference, `width/2 * height/2`.
    pub u: Vec<u8>,
    /// Red difference, `width/2 * height/2`.
    pub v: Vec<u8>,
}

impl Picture {
    /// A black picture.
    ///
    /// # Panics
    /// If a side is odd or zero.
    pub fn new(width: usize, height: usize) -> Picture {
        assert!(
            width > 0 && height > 0 && width.is_multiple_of(2) && height.is_multiple_of(2),
            "I420 needs even sides"
        );
        let chroma = width * height / 4;
        Picture { width, height, y: vec![16; width * height], u: vec![128; chroma], v: vec![128; chroma] }
    }

    /// Half the size in both directions, by averaging 2 × 2 samples; sides must be multiples of 4.
    pub fn halved(&self) -> Picture {
        let mut half = Picture::new(self.width / 2, self.height / 2);
        let average = |from: &[u8], width: usize, into: &mut [u8]| {
            let rows = from.chunks_exact(width * 2);
            for (pair, out) in rows.zip(into.chunks_exact_mut(width / 2)) {
                let (upper, lower) = pair.split_at(width);
                for (x, sample) in out.iter_mut().enumerate() {
                    let sum = [upper[2 * x], upper[2 * x + 1], lower[2 * x], lower[2 * x + 1]].map(u16::from);
                    *sample = ((sum.iter().sum::<u16>() + 2) / 4) as u8;
                }
            }
        };
        average(&self.y, self.width, &mut half.y);
        average(&self.u, self.width / 2, &mut half.u);
        average(&self.v, self.width / 2, &mut half.v);
        half
    }
}

/// Moves `sample` towards `value` by `alpha` / 256. Products of 8 bits and 0 to 256 fit 16 bits,
/// which is what makes the compiler do eight at a time.
#[inline]
pub fn blend(sample: &mut u8, value: u8, alpha: u16) {
    *sample = ((u16::from(*sample) * (256 - alpha) + u16::from(value) * alpha + 128) >> 8) as u8;
}

/// Blends a row of samples towards `value` by `coverage` × `opacity` (each 0 to 256).
fn blend_row(samples: &mut [u8], coverage: &[u16], value: u8, opacity: u32) {
    for (sample, &cover) in samples.iter_mut().zip(coverage) {
        blend(sample, value, ((u32::from(cover) * opacity) >> 8) as u16);
    }
}

/// As [`blend_row`], only where the depth is at most `layer`.
fn blend_row_behind(samples: &mut [u8], coverage: &[u16], value: u8, opacity: u32, depth: &[u8], layer: u8) {
    for ((sample, &cover), &depth) in samples.iter_mut().zip(coverage).zip(depth) {
        let alpha = ((u32::from(cover) * opacity) >> 8) as u16;
        blend(sample, value, if depth <= layer { alpha } else { 0 });
    }
}

/// Depths of a picture's luma and chroma samples, as windows into larger planes.
#[derive(Clone, Copy)]
pub struct Depth<'a> {
    /// From the picture's first luma sample on.
    pub luma: &'a [u8],
    /// From one row of luma depths to the next.
    pub luma_stride: usize,
    /// From the picture's first chroma sample on.
    pub chroma: &'a [u8],
    /// From one row of chroma depths to the next.
    pub chroma_stride: usize,
}

/// Full coverage of one sub-scanline in the fixed point of [`Raster`].
const FULL: f32 = (1 << 14) as f32;

/// Scan converter with its scratch memory.
#[derive(Default)]
pub struct Raster {
    halves: Vec<Point>,
    /// First differences of the coverage of one row; [`FULL`] is one whole sub-scanline.
    deltas: Vec<i32>,
    coverage: Vec<u16>,
    crossings: Vec<(f32, i32)>,
}

impl Raster {
    /// Fills a closed polygon (non-zero winding) on a plane of `width` × `height`, calling
    /// `emit(y, x, coverage)` for each touched row; coverage runs from 0 to 256.
    pub fn fill(&mut self, points: &[Point], width: usize, height: usize, mut emit: impl FnMut(usize, usize, &[u16])) {
        let bounds = points.iter().fold([f32::MAX, f32::MAX, f32::MIN, f32::MIN], |b, p| {
            [b[0].min(p[0]), b[1].min(p[1]), b[2].max(p[0]), b[3].max(p[1])]
        });
        let left = bounds[0].floor().max(0.0) as usize;
        let right = (bounds[2].ceil().max(0.0) as usize).min(width);
        let top = bounds[1].floor().max(0.0) as usize;
        let bottom = (bounds[3].ceil().max(0.0) as usize).min(height);
        if left >= right || top >= bottom {
            return;
        }
        let (first, last) = (left as f32, right as f32);
        self.deltas.clear();
        self.deltas.resize(right - left + 2, 0);
        for row in top..bottom {
            for subscan in 0..SUBSCANS {
                let y = row as f32 + (subscan as f32 + 0.5) / SUBSCANS as f32;
                self.crossings.clear();
                let mut a = points[points.len() - 1];
                for &b in points {
                    if (a[1] <= y) != (b[1] <= y) {
                        let x = a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]);
                        self.crossings.push((x.clamp(first, last) - first, if a[1] <= y { 1 } else { -1 }));
                    }
                    a = b;
                }
                self.crossings.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
                let mut winding = 0;
                for pair in self.crossings.windows(2) {
                    winding += pair[0].1;
                    if winding != 0 {
                        add_span(&mut self.deltas, pair[0].0, pair[1].0);
                    }
                }
            }
            let mut sum = 0;
            self.coverage.clear();
            self.coverage.extend(self.deltas[..right - left].iter_mut().map(|delta| {
                sum += std::mem::take(delta);
                // Rounding of spans may leave the sum a hair outside.
                ((sum + 128).clamp(0, 1 << 16) >> 8) as u16
            }));
            self.deltas[right - left..].fill(0);
            emit(row, left, &self.coverage);
        }
    }

    /// Paints a polygon given in pixels of `picture`; with `behind`, only where the depth is at most
    /// the layer.
    pub fn paint(
        &mut self,
        picture: &mut Picture,
        points: &[Point],
        paint: Paint,
        opacity: f32,
        behind: Option<(Depth<'_>, u8)>,
    ) {
        let opacity = (opacity * 256.0) as u32;
        let (width, height) = (picture.width, picture.height);
        self.fill(points, width, height, |y, x, coverage| {
            let value = paint.at(y as f32).y;
            let row = &mut picture.y[y * width + x..][..coverage.len()];
            match behind {
                None => blend_row(row, coverage, value, opacity),
                Some((depth, layer)) => {
                    blend_row_behind(row, coverage, value, opacity, &depth.luma[y * depth.luma_stride + x..], layer);
                }
            }
        });
        let mut halves = std::mem::take(&mut self.halves);
        halves.clear();
        halves.extend(points.iter().map(|p| [p[0] / 2.0, p[1] / 2.0]));
        self.fill(&halves, width / 2, height / 2, |y, x, coverage| {
            let colour = paint.at(2.0 * y as f32);
            let at = y * (width / 2) + x;
            for (plane, value) in [(&mut picture.u, colour.u), (&mut picture.v, colour.v)] {
                let row = &mut plane[at..][..coverage.len()];
                match behind {
                    None => blend_row(row, coverage, value, opacity),
                    Some((depth, layer)) => {
                        let depth = &depth.chroma[y * depth.chroma_stride + x..];
                        blend_row_behind(row, coverage, value, opacity, depth, layer);
                    }
                }
            }
        });
        self.halves = halves;
    }
}

/// Adds one sub-scanline's span to the differences of a row's coverage.
fn add_span(deltas: &mut [i32], from: f32, to: f32) {
    let (i, j) = (from as usize, to as usize);
    if i == j {
        let part = ((to - from) * FULL) as i32;
        deltas[i] += part;
        deltas[i + 1] -= part;
    } else {
        let (head, tail) = ((((i + 1) as f32 - from) * FULL) as i32, ((to - j as f32) * FULL) as i32);
        deltas[i] += head;
        deltas[i + 1] += FULL as i32 - head;
        deltas[j] += tail - FULL as i32;
        deltas[j + 1] -= tail;
    }
}

/// An axis-parallel rectangle.
pub fn rect(x: f32, y: f32, width: f32, height: f32) -> [Point; 4] {
    [[x, y], [x + width, y], [x + width, y + height], [x, y + height]]
}

/// An ellipse as a polygon of 32 corners: at most 0.5% of its radius off.
pub fn ellipse(x: f32, y: f32, rx: f32, ry: f32) -> [Point; 32] {
    std::array::from_fn(|i| {
        let (sin, cos) = (i as f32 * std::f32::consts::TAU / 32.0).sin_cos();
        [x + rx * cos, y + ry * sin]
    })
}

/// A straight stroke with flat ends.
pub fn stroke(a: Point, b: Point, width: f32) -> [Point; 4] {
    let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
    let scale = width / 2.0 / dx.hypot(dy).max(1e-3);
    let (nx, ny) = (-dy * scale, dx * scale);
    [[a[0] + nx, a[1] + ny], [b[0] + nx, b[1] + ny], [b[0] - nx, b[1] - ny], [a[0] - nx, a[1] - ny]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covers_exactly_the_area_of_the_polygon() {
        let mut raster = Raster::default();
        for (points, area) in [
            (rect(1.25, 2.5, 3.5, 4.0).to_vec(), 14.0),
            (vec![[0.0, 0.0], [8.0, 0.0], [0.0, 8.0]], 32.0),
            (rect(-5.0, -5.0, 8.0, 8.0).to_vec(), 9.0),
            (rect(30.0, 1.0, 8.0, 2.0).to_vec(), 4.0),
            (rect(40.0, 1.0, 8.0, 2.0).to_vec(), 0.0),
        ] {
            let mut sum = 0.0;
            raster.fill(&points, 32, 16, |_, _, row| sum += row.iter().map(|&c| f32::from(c)).sum::<f32>() / 256.0);
            assert!((sum - area).abs() < 0.15, "{points:?}: {sum} instead of {area}");
        }
    }

    #[test]
    fn primary_colours_convert_as_bt709_says() {
        assert_eq!(Colour::rgb(0xffffff), Colour { y: 235, u: 128, v: 128 });
        assert_eq!(Colour::rgb(0x000000), Colour { y: 16, u: 128, v: 128 });
        assert_eq!(Colour::rgb(0xff0000), Colour { y: 63, u: 102, v: 240 });
        assert_eq!(Colour::rgb(0x0000ff), Colour { y: 32, u: 240, v: 118 });
    }
}
