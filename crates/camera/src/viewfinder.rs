//! What a channel shows at a moment: scene, lens, flip, mask, and the display over it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use av::UnixMicros;

use crate::clock;
use crate::lens::Lens;
use crate::ptz::Status;
use crate::scene::{Moment, Picture, Renderer, Scene};

/// About which axes the picture is mirrored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flip {
    /// Left and right change places.
    pub horizontal: bool,
    /// Top and bottom change places.
    pub vertical: bool,
}

impl Flip {
    /// Both: a turn by 180°.
    pub const CENTRE: Flip = Flip { horizontal: true, vertical: true };

    /// Mirrors a picture in place.
    fn apply(self, picture: &mut Picture) {
        let width = picture.width;
        for (plane, width) in [(&mut picture.y, width), (&mut picture.u, width / 2), (&mut picture.v, width / 2)] {
            match self {
                Flip { horizontal: false, vertical: false } => {}
                // Its samples backwards are a plane turned by 180°.
                Flip { horizontal: true, vertical: true } => plane.reverse(),
                Flip { horizontal: true, vertical: false } => plane.chunks_exact_mut(width).for_each(<[u8]>::reverse),
                Flip { horizontal: false, vertical: true } => {
                    let rows = plane.len() / width;
                    let (upper, lower) = plane.split_at_mut(rows / 2 * width);
                    let opposite = lower.rchunks_exact_mut(width);
                    upper.chunks_exact_mut(width).zip(opposite).for_each(|(a, b)| a.swap_with_slice(b));
                }
            }
        }
    }
}

/// How a channel sees at one time.
#[derive(Clone, Copy, Debug)]
pub struct Sight {
    /// Where the motor stands.
    pub status: Status,
    /// Brightness and its kin.
    pub lens: Lens,
    /// About which axes the picture is mirrored.
    pub flip: Flip,
    /// Whether the lens is covered.
    pub masked: bool,
}

/// What is written into the picture besides the date.
#[derive(Clone, Debug)]
pub struct Caption {
    /// Upper right.
    pub serial: String,
    /// Lower right.
    pub name: String,
    /// Local time minus UTC.
    pub utc_offset_minutes: i16,
}

/// A channel's scene, drawn when it is first looked at.
#[derive(Clone)]
pub struct LazyScene {
    /// Which street.
    pub seed: u64,
    /// The street, once somebody has looked.
    pub drawn: Arc<OnceLock<Scene>>,
}

impl LazyScene {
    /// The scene: some 100 ms of work the first time.
    pub fn get(&self) -> &Scene {
        self.drawn.get_or_init(|| Scene::new(self.seed))
    }
}

/// Draws a channel's pictures of one size.
pub struct Viewfinder {
    scene: LazyScene,
    caption: Caption,
    renderer: Renderer,
}

impl Viewfinder {
    /// For pictures of `width` × `height`, both even.
    pub fn new(scene: LazyScene, caption: Caption, width: u32, height: u32) -> Viewfinder {
        Viewfinder { scene, caption, renderer: Renderer::new(width as usize, height as usize) }
    }

    /// The picture of a moment. The display stays readable whatever the sight is: cameras write it last.
    pub fn draw(&mut self, elapsed: Duration, wall: UnixMicros, sight: &Sight) -> &mut Picture {
        let Caption { serial, name, utc_offset_minutes } = &self.caption;
        if sight.masked {
            self.renderer.cover();
        } else {
            let moment = Moment { elapsed, time_of_day: clock::time_of_day(wall, *utc_offset_minutes) };
            let picture = self.renderer.render(self.scene.get(), sight.status.view(), moment);
            sight.lens.apply(picture);
            sight.flip.apply(picture);
        }
        self.renderer.caption(&clock::date_line(wall, *utc_offset_minutes), serial, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marker::{read_counter, read_landmarks};
    use crate::ptz::Ptz;

    const SIZE: (usize, usize) = (640, 360);

    fn draw(flip: Flip, masked: bool) -> Picture {
        let scene = LazyScene { seed: 2, drawn: Arc::default() };
        let caption = Caption { serial: "C12345678".into(), name: "Gate".into(), utc_offset_minutes: 0 };
        let mut viewfinder = Viewfinder::new(scene, caption, SIZE.0 as u32, SIZE.1 as u32);
        let sight = Sight { status: Ptz::new().status(Duration::ZERO), lens: Lens::default(), flip, masked };
        viewfinder.draw(Duration::ZERO, UnixMicros(0), &sight).clone()
    }

    #[test]
    fn a_flip_moves_the_landmarks_and_not_the_display() {
        let seen = |picture: &Picture| read_landmarks(&picture.u, &picture.v, SIZE.0 / 2, SIZE.1 / 2, SIZE.0 / 2);
        let plain = draw(Flip::default(), false);
        let straight = seen(&plain);
        assert!(straight.len() >= 2, "{straight:?}");
        // The white of letters and digits: nothing else is to be seen through a covered lens.
        let covered = draw(Flip::default(), true);
        let display: Vec<usize> = (0..covered.y.len()).filter(|&i| covered.y[i] > 225).collect();
        assert!(!display.is_empty());
        for flip in
            [Flip { horizontal: true, vertical: false }, Flip { horizontal: false, vertical: true }, Flip::CENTRE]
        {
            let picture = draw(flip, false);
            let flipped = seen(&picture);
            assert_eq!(flipped.len(), straight.len(), "{flip:?}");
            for (a, b) in straight.iter().zip(&flipped) {
                let place = |at: f32, mirrored: bool| if mirrored { 1.0 - at } else { at };
                assert_eq!(a.index, b.index);
                assert!((place(a.x, flip.horizontal) - b.x).abs() < 0.005, "{flip:?}: {a:?} {b:?}");
                assert!((place(a.y, flip.vertical) - b.y).abs() < 0.005, "{flip:?}: {a:?} {b:?}");
            }
            assert!(display.iter().all(|i| picture.y[*i] > 200), "{flip:?}");
        }
    }

    #[test]
    fn a_covered_lens_is_dark_but_for_the_display() {
        let picture = draw(Flip::CENTRE, true);
        let bright = picture.y.iter().filter(|luma| **luma > 40).count();
        assert!(bright > 100 && bright < picture.y.len() / 20, "{bright} of {}", picture.y.len());
        assert!(picture.u.iter().chain(&picture.v).all(|chroma| *chroma == 128));
        assert_eq!(read_counter(&picture.y, SIZE.0, SIZE.1, SIZE.0), None, "the strip is the encoder's");
    }
}
