//! The on-screen display: white text with a dark outline, legible on any background.
//!
//! Glyphs are drawn by ourselves on a grid of 5 × 7 dots.
//! They are rendered as strokes between neighbouring dots, so they stay smooth at any size.

use super::paint::{Picture, blend};

/// Columns from one glyph to the next, in dots.
const ADVANCE: f32 = 6.0;

/// Dots of `' '` to `'~'`, seven rows each from the top, bit 4 leftmost.
#[rustfmt::skip]
const GLYPHS: [[u8; 7]; 95] = [
    [0, 0, 0, 0, 0, 0, 0], [4, 4, 4, 4, 4, 0, 4], [10, 10, 10, 0, 0, 0, 0], [10, 10, 31, 10, 31, 10, 10],
    [4, 15, 20, 14, 5, 30, 4], [24, 25, 2, 4, 8, 19, 3], [12, 18, 20, 8, 21, 18, 13], [4, 4, 8, 0, 0, 0, 0],
    [2, 4, 8, 8, 8, 4, 2], [8, 4, 2, 2, 2, 4, 8], [0, 4, 21, 14, 21, 4, 0], [0, 4, 4, 31, 4, 4, 0],
    [0, 0, 0, 0, 4, 4, 8], [0, 0, 0, 14, 0, 0, 0], [0, 0, 0, 0, 0, 0, 4], [0, 1, 2, 4, 8, 16, 0],
    [14, 17, 17, 17, 17, 17, 14], [4, 12, 4, 4, 4, 4, 14], [14, 17, 1, 2, 4, 8, 31], [31, 2, 4, 2, 1, 17, 14],
    [2, 6, 10, 18, 31, 2, 2], [31, 16, 30, 1, 1, 17, 14], [6, 8, 16, 30, 17, 17, 14], [31, 1, 2, 4, 8, 8, 8],
    [14, 17, 17, 14, 17, 17, 14], [14, 17, 17, 15, 1, 2, 12], [0, 0, 4, 0, 0, 4, 0], [0, 0, 4, 0, 4, 4, 8],
    [2, 4, 8, 16, 8, 4, 2], [0, 0, 31, 0, 31, 0, 0], [8, 4, 2, 1, 2, 4, 8], [14, 17, 1, 2, 4, 0, 4],
    [14, 17, 1, 13, 21, 21, 14], [14, 17, 17, 17, 31, 17, 17], [30, 17, 17, 30, 17, 17, 30], [14, 17, 16, 16, 16, 17, 14],
    [28, 18, 17, 17, 17, 18, 28], [31, 16, 16, 30, 16, 16, 31], [31, 16, 16, 30, 16, 16, 16], [14, 17, 16, 23, 17, 17, 15],
    [17, 17, 17, 31, 17, 17, 17], [14, 4, 4, 4, 4, 4, 14], [7, 2, 2, 2, 2, 18, 12], [17, 18, 20, 24, 20, 18, 17],
    [16, 16, 16, 16, 16, 16, 31], [17, 27, 21, 21, 17, 17, 17], [17, 17, 25, 21, 19, 17, 17], [14, 17, 17, 17, 17, 17, 14],
    [30, 17, 17, 30, 16, 16, 16], [14, 17, 17, 17, 21, 18, 13], [30, 17, 17, 30, 20, 18, 17], [15, 16, 16, 14, 1, 1, 30],
    [31, 4, 4, 4, 4, 4, 4], [17, 17, 17, 17, 17, 17, 14], [17, 17, 17, 17, 17, 10, 4], [17, 17, 17, 21, 21, 21, 10],
    [17, 17, 10, 4, 10, 17, 17], [17, 17, 17, 10, 4, 4, 4], [31, 1, 2, 4, 8, 16, 31], [14, 8, 8, 8, 8, 8, 14],
    [0, 16, 8, 4, 2, 1, 0], [14, 2, 2, 2, 2, 2, 14], [4, 10, 17, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 31],
    [8, 4, 2, 0, 0, 0, 0], [0, 0, 14, 1, 15, 17, 15], [16, 16, 30, 17, 17, 17, 30], [0, 0, 14, 17, 16, 17, 14],
    [1, 1, 15, 17, 17, 17, 15], [0, 0, 14, 17, 31, 16, 14], [6, 8, 28, 8, 8, 8, 8], [0, 15, 17, 17, 15, 1, 14],
    [16, 16, 30, 17, 17, 17, 17], [4, 0, 12, 4, 4, 4, 14], [2, 0, 6, 2, 2, 18, 12], [16, 16, 18, 20, 24, 20, 18],
    [12, 4, 4, 4, 4, 4, 14], [0, 0, 26, 21, 21, 21, 21], [0, 0, 30, 17, 17, 17, 17], [0, 0, 14, 17, 17, 17, 14],
    [0, 0, 30, 17, 30, 16, 16], [0, 0, 15, 17, 15, 1, 1], [0, 0, 22, 24, 16, 16, 16], [0, 0, 15, 16, 14, 1, 30],
    [8, 8, 28, 8, 8, 8, 6], [0, 0, 17, 17, 17, 17, 15], [0, 0, 17, 17, 17, 10, 4], [0, 0, 17, 17, 21, 21, 10],
    [0, 0, 17, 10, 4, 10, 17], [0, 0, 17, 17, 15, 1, 14], [0, 0, 31, 2, 4, 8, 31], [2, 4, 4, 8, 4, 4, 2],
    [4, 4, 4, 4, 4, 4, 4], [8, 4, 4, 2, 4, 4, 8], [0, 0, 8, 21, 2, 0, 0],
];

/// One rendered glyph: how much of the outline and of the letter covers each pixel, 0 to 256.
type Mask = Vec<[u16; 2]>;

/// A font rendered for one picture size.
pub struct Font {
    /// Pixels between neighbouring dots.
    pitch: f32,
    margin: f32,
    width: usize,
    height: usize,
    masks: Vec<Option<Mask>>,
}

impl Font {
    /// A font for pictures of `height` rows: a 34th of it tall, and never too small to read.
    pub fn new(height: usize) -> Font {
        let pitch = (height as f32 / 240.0).max(1.75);
        let margin = pitch.ceil() + 1.0;
        let extent = |dots: f32| (dots * pitch + 2.0 * margin).ceil() as usize;
        Font { pitch, margin, width: extent(4.0), height: extent(6.0), masks: vec![None; GLYPHS.len()] }
    }

    /// Pixels that `text` takes, without its margins.
    pub fn width_of(&self, text: &str) -> f32 {
        text.chars().count() as f32 * ADVANCE * self.pitch
    }

    /// Height of a line of text in pixels.
    pub fn line(&self) -> f32 {
        8.0 * self.pitch
    }

    /// Writes `text` with the top left dot of its first glyph at (`x`, `y`); what does not fit is cut
    /// off, and what is not printable ASCII becomes a question mark.
    pub fn write(&mut self, picture: &mut Picture, text: &str, x: f32, y: f32) {
        let top = (y - self.margin).round().max(0.0) as usize;
        for (i, letter) in text.chars().enumerate() {
            let left = (x + i as f32 * ADVANCE * self.pitch - self.margin).round().max(0.0) as usize;
            if left + self.width > picture.width || top + self.height > picture.height {
                break;
            }
            let index = if (' '..='~').contains(&letter) { letter as usize - 32 } else { '?' as usize - 32 };
            let (pitch, margin, width, height) = (self.pitch, self.margin, self.width, self.height);
            let mask = self.masks[index].get_or_insert_with(|| render(&GLYPHS[index], pitch, margin, width, height));
            for (row, cover) in mask.chunks_exact(width).enumerate() {
                let at = (top + row) * picture.width + left;
                for (sample, [outline, fill]) in picture.y[at..at + width].iter_mut().zip(cover) {
                    blend(sample, 24, *outline);
                    blend(sample, 230, *fill);
                }
                if (top + row).is_multiple_of(2) {
                    let at = (top + row) / 2 * (picture.width / 2) + left / 2;
                    for (i, [outline, _]) in cover.iter().step_by(2).enumerate() {
                        blend(&mut picture.u[at + i], 128, *outline);
                        blend(&mut picture.v[at + i], 128, *outline);
                    }
                }
            }
        }
    }
}

fn render(rows: &[u8; 7], pitch: f32, margin: f32, width: usize, height: usize) -> Mask {
    let lit = |x: i32, y: i32| (0..5).contains(&x) && (0..7).contains(&y) && rows[y as usize] >> (4 - x) & 1 == 1;
    let mut strokes = Vec::new();
    for (x, y) in (0..7).flat_map(|y| (0..5).map(move |x| (x, y))).filter(|&(x, y)| lit(x, y)) {
        strokes.push(([x, y], [x, y]));
        for (dx, dy) in [(1, 0), (0, 1), (1, 1), (-1, 1)] {
            // A diagonal that a corner already joins would fill the corner.
            let cornered = dx != 0 && dy != 0 && (lit(x + dx, y) || lit(x, y + dy));
            if lit(x + dx, y + dy) && !cornered {
                strokes.push(([x, y], [x + dx, y + dy]));
            }
        }
    }
    let (inner, outer) = (0.42 * pitch, 0.42 * pitch + (0.4 * pitch).max(1.0));
    let cover = |radius: f32, distance: f32| ((radius + 0.5 - distance).clamp(0.0, 1.0) * 256.0) as u16;
    let pixel = |i: usize| {
        let at = [(i % width) as f32 + 0.5 - margin, (i / width) as f32 + 0.5 - margin];
        let distance = strokes.iter().map(|(a, b)| distance(at, *a, *b, pitch)).fold(f32::MAX, f32::min);
        [cover(outer, distance) * 3 / 4, cover(inner, distance)]
    };
    (0..width * height).map(pixel).collect()
}

/// Distance in pixels from `at` to the stroke between the dots `a` and `b`.
fn distance(at: [f32; 2], a: [i32; 2], b: [i32; 2], pitch: f32) -> f32 {
    let dot = |d: [i32; 2]| [(d[0] as f32 + 0.5) * pitch, (d[1] as f32 + 0.5) * pitch];
    let (a, b) = (dot(a), dot(b));
    let (dx, dy, px, py) = (b[0] - a[0], b[1] - a[1], at[0] - a[0], at[1] - a[1]);
    let along = ((px * dx + py * dy) / (dx * dx + dy * dy).max(1e-6)).clamp(0.0, 1.0);
    (px - along * dx).hypot(py - along * dy)
}
