//! What a test reads from decoded pictures: a frame counter and coloured landmarks.
//!
//! **The counter** is a strip of black and white blocks near the lower left corner, at the same place
//! of every picture whatever its size. The picture is thought of as 80 × 45 cells (a cell is 16 × 16
//! pixels at 1280 × 720, 8 × 8 at 640 × 360). The strip is 24 cells wide and 2 high, its upper left
//! cell is (2, 41). Read row by row, left to right, white being 1:
//!
//! | cells | meaning |
//! |---|---|
//! | 4 | sync `1 0 1 0` |
//! | 32 | the counter, most significant bit first |
//! | 8 | CRC-8 (polynomial x⁸+x²+x+1, initial value 0xFF) of the counter's four bytes, big endian |
//! | 4 | sync `0 1 0 1` |
//!
//! The counter counts the pictures a stream has encoded since the camera was started, so any gap or
//! repeat seen by a viewer was made after the encoder. Main and sub stream count for themselves.
//!
//! **Landmarks** are eight lanterns, each of a colour that nothing else in the scene comes near,
//! hung in a row across the world ([`LANDMARKS`]). At zoom 1 at least two are visible from any
//! position, so pan and tilt follow from their places in the picture ([`estimate_view`]).

use crate::scene::{Colour, Picture, VIEW_HEIGHT, VIEW_WIDTH, View};

/// Cells across a picture.
pub const GRID_WIDTH: usize = 80;
/// Cells down a picture.
pub const GRID_HEIGHT: usize = 45;
/// Cell of the strip's upper left corner: column, row.
pub const STRIP_ORIGIN: (usize, usize) = (2, 41);
/// Cells in a row of the strip.
pub const STRIP_WIDTH: usize = 24;

/// Sync, 32 bits of counter, CRC, sync.
const STRIP_BITS: usize = 48;
/// Least difference between white and black for a strip to be believed.
const CONTRAST_MIN: i32 = 60;
const BLACK: u8 = 20;
const WHITE: u8 = 230;

/// Largest distance in the UV plane between a pixel and the landmark it belongs to; neighbouring
/// landmarks are 53 apart and the scene keeps 25 away from all.
const LANDMARK_TOLERANCE: i32 = 20;
/// A landmark has at least this many chroma pixels; at 640 × 360 and zoom 1 a whole one has some 110.
const LANDMARK_PIXELS_MIN: usize = 40;

/// Radius of a landmark in world units.
pub const LANDMARK_RADIUS: f32 = 24.0;

/// A lantern: its colour and the world position of its centre.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Landmark {
    /// Its colour.
    pub colour: Colour,
    /// Centre, in world units from the left.
    pub x: f32,
    /// Centre, in world units from the top.
    pub y: f32,
}

const fn landmark(x: f32, y: f32, luma: u8, u: u8, v: u8) -> Landmark {
    Landmark { colour: Colour { y: luma, u, v }, x, y }
}

/// The eight landmarks from left to right: hues 45° apart at the same saturation.
pub const LANDMARKS: [Landmark; 8] = [
    landmark(240.0, 560.0, 110, 128, 198),
    landmark(720.0, 580.0, 110, 178, 78),
    landmark(1200.0, 560.0, 140, 78, 178),
    landmark(1680.0, 580.0, 120, 78, 78),
    landmark(2160.0, 560.0, 130, 178, 178),
    landmark(2640.0, 580.0, 160, 58, 128),
    landmark(3120.0, 560.0, 90, 198, 128),
    landmark(3600.0, 580.0, 140, 128, 58),
];

/// Draws the strip that shows `counter`.
pub fn draw_counter(picture: &mut Picture, counter: u32) {
    for (bit, white) in strip(counter).into_iter().enumerate() {
        let (column, row) = cell(bit);
        let (left, right) = (column * picture.width / GRID_WIDTH, (column + 1) * picture.width / GRID_WIDTH);
        let (top, bottom) = (row * picture.height / GRID_HEIGHT, (row + 1) * picture.height / GRID_HEIGHT);
        for y in top..bottom {
            picture.y[y * picture.width..][left..right].fill(if white { WHITE } else { BLACK });
        }
        for y in top / 2..bottom / 2 {
            let row = y * (picture.width / 2);
            picture.u[row + left / 2..row + right / 2].fill(128);
            picture.v[row + left / 2..row + right / 2].fill(128);
        }
    }
}

/// Reads the frame counter from a luma plane of `width` × `height` with `stride` bytes a row.
///
/// Works on scaled copies too, as long as a cell keeps a few pixels.
/// `None` if there is no intact strip, or if the plane is shorter than its size says.
pub fn read_counter(luma: &[u8], width: usize, height: usize, stride: usize) -> Option<u32> {
    if width < GRID_WIDTH || height < GRID_HEIGHT || stride < width || luma.len() < stride * (height - 1) + width {
        return None;
    }
    let mut means = [0i32; STRIP_BITS];
    for (bit, mean) in means.iter_mut().enumerate() {
        let (column, row) = cell(bit);
        // The middle half of the cell: compression blurs the borders.
        let span = |at: usize, size: usize, cells: usize| {
            let from = (4 * at + 1) * size / (4 * cells);
            from..((4 * at + 3) * size / (4 * cells)).max(from + 1)
        };
        let (columns, rows) = (span(column, width, GRID_WIDTH), span(row, height, GRID_HEIGHT));
        let pixels = (columns.len() * rows.len()) as i32;
        *mean = rows.flat_map(|y| &luma[y * stride..][columns.clone()]).map(|&s| i32::from(s)).sum::<i32>() / pixels;
    }
    let sync = strip(0);
    let syncs = || (0..4).chain(44..48);
    let white = syncs().filter(|&i| sync[i]).map(|i| means[i]).min()?;
    let black = syncs().filter(|&i| !sync[i]).map(|i| means[i]).max()?;
    if white - black < CONTRAST_MIN {
        return None;
    }
    let counter = means[4..36].iter().fold(0u32, |value, &mean| value << 1 | u32::from(2 * mean > white + black));
    let matches = |(&mean, bit): (&i32, bool)| (2 * mean > white + black) == bit;
    means.iter().zip(strip(counter)).all(matches).then_some(counter)
}

/// The strip's cells for a counter.
fn strip(counter: u32) -> [bool; STRIP_BITS] {
    let crc = counter.to_be_bytes().iter().fold(0xFFu8, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc, _| if crc & 0x80 != 0 { crc << 1 ^ 0x07 } else { crc << 1 })
    });
    let bits = 0b1010u64 << 44 | u64::from(counter) << 12 | u64::from(crc) << 4 | 0b0101;
    std::array::from_fn(|i| bits >> (STRIP_BITS - 1 - i) & 1 == 1)
}

/// Column and row of the strip's cell number `bit`.
fn cell(bit: usize) -> (usize, usize) {
    (STRIP_ORIGIN.0 + bit % STRIP_WIDTH, STRIP_ORIGIN.1 + bit / STRIP_WIDTH)
}

/// A landmark found in a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeenLandmark {
    /// Its index in [`LANDMARKS`].
    pub index: usize,
    /// Its centre as a fraction of the picture's width, 0 at the left.
    pub x: f32,
    /// Its centre as a fraction of the picture's height, 0 at the top.
    pub y: f32,
}

/// Finds the landmarks that are wholly visible in a picture, ordered by index.
///
/// Takes the chroma planes; `width`, `height` and `stride` are theirs (half of the picture's).
/// Planes shorter than their size says show nothing.
pub fn read_landmarks(u: &[u8], v: &[u8], width: usize, height: usize, stride: usize) -> Vec<SeenLandmark> {
    if width == 0 || height == 0 || stride < width || u.len().min(v.len()) < stride * (height - 1) + width {
        return Vec::new();
    }
    #[derive(Clone, Copy, Default)]
    struct Blob {
        pixels: usize,
        x: usize,
        y: usize,
        at_edge: bool,
    }
    let mut blobs = [Blob::default(); LANDMARKS.len()];
    for y in 0..height {
        let row = y * stride..y * stride + width;
        for (x, (&u, &v)) in u[row.clone()].iter().zip(&v[row]).enumerate() {
            let (u, v) = (i32::from(u), i32::from(v));
            // Most of the world is far less colourful than any landmark.
            if (u - 128).pow(2) + (v - 128).pow(2) < 50 * 50 {
                continue;
            }
            let near = |l: &Landmark| {
                (u - i32::from(l.colour.u)).pow(2) + (v - i32::from(l.colour.v)).pow(2) <= LANDMARK_TOLERANCE.pow(2)
            };
            if let Some(index) = LANDMARKS.iter().position(near) {
                let blob = &mut blobs[index];
                blob.pixels += 1;
                blob.x += x;
                blob.y += y;
                blob.at_edge |= x == 0 || y == 0 || x + 1 == width || y + 1 == height;
            }
        }
    }
    let whole = |(_, blob): &(usize, &Blob)| blob.pixels >= LANDMARK_PIXELS_MIN && !blob.at_edge;
    let seen = |(index, blob): (usize, &Blob)| {
        let centre = |sum: usize, size: usize| (sum as f32 / blob.pixels as f32 + 0.5) / size as f32;
        SeenLandmark { index, x: centre(blob.x, width), y: centre(blob.y, height) }
    };
    blobs.iter().enumerate().filter(whole).map(seen).collect()
}

/// Where the camera looks, from the landmarks seen at zoom 1. `None` if none is seen.
pub fn estimate_view(seen: &[SeenLandmark]) -> Option<View> {
    let count = seen.len() as f32;
    let centre = |f: &dyn Fn(&SeenLandmark) -> f32| (!seen.is_empty()).then(|| seen.iter().map(f).sum::<f32>() / count);
    let x = centre(&|s| LANDMARKS[s.index].x + (0.5 - s.x) * VIEW_WIDTH)?;
    let y = centre(&|s| LANDMARKS[s.index].y + (0.5 - s.y) * VIEW_HEIGHT)?;
    Some(View::at_centre(x, y))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_reads_back_at_every_size_and_survives_blur() {
        for (width, height) in [(1280, 720), (640, 360), (1920, 1080), (854, 480)] {
            for counter in [0, 1, 0xFFFF_FFFF, 0x8000_0001, 123_456_789] {
                let mut picture = Picture::new(width, height);
                draw_counter(&mut picture, counter);
                assert_eq!(read_counter(&picture.y, width, height, width), Some(counter), "{width}x{height}");
                if width % 4 == 0 {
                    let half = picture.halved();
                    assert_eq!(read_counter(&half.y, width / 2, height / 2, width / 2), Some(counter));
                }
            }
        }
    }

    #[test]
    fn a_damaged_or_absent_strip_is_not_read() {
        let mut picture = Picture::new(640, 360);
        assert_eq!(read_counter(&picture.y, 640, 360, 640), None);
        draw_counter(&mut picture, 77);
        let (column, row) = cell(20);
        for y in row * 8..row * 8 + 8 {
            for sample in &mut picture.y[y * 640 + column * 8..][..8] {
                *sample = 250 - *sample;
            }
        }
        assert_eq!(read_counter(&picture.y, 640, 360, 640), None, "one flipped block breaks the CRC");
        assert_eq!(read_counter(&picture.y[..640 * 300], 640, 360, 640), None, "a short plane");
        assert_eq!(read_counter(&[], 0, 0, 0), None);
    }
}
