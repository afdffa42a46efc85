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

/// A rectangle of the picture as it is sent, each side from 0 to 1 of its width or height.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Area {
    /// From the left edge of the picture.
    pub left: f32,
    /// From the upper edge of the picture.
    pub top: f32,
    /// From the left edge of the picture.
    pub right: f32,
    /// From the upper edge of the picture.
    pub bottom: f32,
}

impl Area {
    /// The whole picture: the lens is covered.
    pub const ALL: Area = Area { left: 0.0, top: 0.0, right: 1.0, bottom: 1.0 };

    /// Blackens it.
    fn cover(self, picture: &mut Picture) {
        let Area { left, top, right, bottom } = self;
        let (width, height) = (picture.width, picture.height);
        let planes = [(&mut picture.y, 1, 16), (&mut picture.u, 2, 128), (&mut picture.v, 2, 128)];
        for (plane, scale, black) in planes {
            let (width, height) = (width / scale, height / scale);
            // Outwards to whole samples: nothing that shall be hidden is left at an edge.
            let span = |from: f32, to: f32, size: usize| {
                let at = |place: f32| place.clamp(0.0, 1.0) * size as f32;
                at(from).floor() as usize..at(to).ceil() as usize
            };
            let (columns, rows) = (span(left, right, width), span(top, bottom, height));
            for row in plane.chunks_exact_mut(width).skip(rows.start).take(rows.len()) {
                row[columns.clone()].fill(black);
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
    /// What is hidden.
    pub mask: Option<Area>,
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
        let moment = Moment { elapsed, time_of_day: clock::time_of_day(wall, *utc_offset_minutes) };
        let picture = self.renderer.render(self.scene.get(), sight.status.view(), moment);
        sight.lens.apply(picture);
        sight.flip.apply(picture);
        sight.mask.iter().for_each(|area| area.cover(picture));
        self.renderer.caption(&clock::date_line(wall, *utc_offset_minutes), serial, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marker::{read_counter, read_landmarks};
    use crate::ptz::Ptz;

    const SIZE: (usize, usize) = (640, 360);

    fn draw(flip: Flip, mask: Option<Area>) -> Picture {
        let scene = LazyScene { seed: 2, drawn: Arc::default() };
        let caption = Caption { serial: "C12345678".into(), name: "Gate".into(), utc_offset_minutes: 0 };
        let mut viewfinder = Viewfinder::new(scene, caption, SIZE.0 as u32, SIZE.1 as u32);
        let sight = Sight { status: Ptz::new().status(Duration::ZERO), lens: Lens::default(), flip, mask };
        viewfinder.draw(Duration::ZERO, UnixMicros(0), &sight).clone()
    }

    #[test]
    fn a_flip_moves_the_landmarks_and_not_the_display() {
        let seen = |picture: &Picture| read_landmarks(&picture.u, &picture.v, SIZE.0 / 2, SIZE.1 / 2, SIZE.0 / 2);
        let plain = draw(Flip::default(), None);
        let straight = seen(&plain);
        assert!(straight.len() >= 2, "{straight:?}");
        // The white of letters and digits: nothing else is to be seen through a covered lens.
        let covered = draw(Flip::default(), Some(Area::ALL));
        let display: Vec<usize> = (0..covered.y.len()).filter(|&i| covered.y[i] > 225).collect();
        assert!(!display.is_empty());
        for flip in
            [Flip { horizontal: true, vertical: false }, Flip { horizontal: false, vertical: true }, Flip::CENTRE]
        {
            let picture = draw(flip, None);
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
        let picture = draw(Flip::CENTRE, Some(Area::ALL));
        let bright = picture.y.iter().filter(|luma| **luma > 40).count();
        assert!(bright > 100 && bright < picture.y.len() / 20, "{bright} of {}", picture.y.len());
        assert!(picture.u.iter().chain(&picture.v).all(|chroma| *chroma == 128));
        let area = Area { left: 0.25, top: 0.5, right: 0.5, bottom: 1.0 };
        let (part, plain) = (draw(Flip::default(), Some(area)), draw(Flip::default(), None));
        for (at, (a, b)) in part.y.iter().zip(&plain.y).enumerate() {
            let (x, y) = (at % SIZE.0, at / SIZE.0);
            let hidden = (160..320).contains(&x) && y >= 180;
            assert_eq!(*a, if hidden { 16 } else { *b }, "{x}, {y}");
        }
        assert_eq!(read_counter(&picture.y, SIZE.0, SIZE.1, SIZE.0), None, "the strip is the encoder's");
    }
}
