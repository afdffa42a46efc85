//! Brightness, contrast and saturation, as a lens in front of the picture.

use std::ops::RangeInclusive;

use crate::scene::Picture;

/// Settings of the picture; each in [`Lens::RANGE`], 50 leaves it as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lens {
    /// Adds light.
    pub brightness: f32,
    /// Steepness about middle grey.
    pub contrast: f32,
    /// Strength of colours.
    pub saturation: f32,
}

impl Default for Lens {
    fn default() -> Lens {
        Lens { brightness: Self::NEUTRAL, contrast: Self::NEUTRAL, saturation: Self::NEUTRAL }
    }
}

impl Lens {
    /// Range of every setting.
    pub const RANGE: RangeInclusive<f32> = 0.0..=100.0;
    const NEUTRAL: f32 = 50.0;

    /// Changes a picture as the settings say.
    pub fn apply(&self, picture: &mut Picture) {
        if *self == Lens::default() {
            return;
        }
        let (gain, offset) = (self.contrast / Self::NEUTRAL, (self.brightness - Self::NEUTRAL) * 2.0);
        let luma = table(|y| 125.0 + (y - 125.0) * gain + offset, 16.0, 235.0);
        let chroma = table(|c| 128.0 + (c - 128.0) * self.saturation / Self::NEUTRAL, 16.0, 240.0);
        let map = |plane: &mut [u8], table: &[u8; 256]| plane.iter_mut().for_each(|s| *s = table[usize::from(*s)]);
        map(&mut picture.y, &luma);
        map(&mut picture.u, &chroma);
        map(&mut picture.v, &chroma);
    }
}

fn table(curve: impl Fn(f32) -> f32, min: f32, max: f32) -> [u8; 256] {
    std::array::from_fn(|i| curve(i as f32).clamp(min, max).round() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_do_what_they_are_called() {
        let mut picture = Picture::new(16, 16);
        picture.y.fill(100);
        picture.u.fill(160);
        let with = |lens: Lens| {
            let mut picture = picture.clone();
            lens.apply(&mut picture);
            (picture.y[0], picture.u[0], picture.v[0])
        };
        assert_eq!(with(Lens::default()), (100, 160, 128));
        assert_eq!(with(Lens { brightness: 100.0, ..Lens::default() }), (200, 160, 128));
        assert_eq!(with(Lens { brightness: 0.0, ..Lens::default() }), (16, 160, 128));
        assert_eq!(with(Lens { contrast: 100.0, ..Lens::default() }), (75, 160, 128));
        assert_eq!(with(Lens { saturation: 0.0, ..Lens::default() }), (100, 128, 128));
    }
}
