//! Still pictures as JPEG.

use bytes::Bytes;
use jpeg_encoder::{ColorType, Encoder};

use crate::Error;
use crate::scene::Picture;

/// JPEG quality, 1 to 100: what cameras send as snapshot.
const QUALITY: u8 = 85;

/// A picture as JPEG (JFIF: full-range BT.601, where pictures here are limited-range BT.709).
///
/// # Errors
/// If the encoder refuses the size, which a configuration's sizes do not reach.
pub fn jpeg(picture: &Picture) -> Result<Bytes, Error> {
    let (width, height) = (picture.width, picture.height);
    let mut rgb = Vec::with_capacity(3 * width * height);
    for row in 0..height {
        let chroma = row / 2 * (width / 2);
        for column in 0..width {
            let y = (f32::from(picture.y[row * width + column]) - 16.0) * (255.0 / 219.0);
            let u = (f32::from(picture.u[chroma + column / 2]) - 128.0) * (255.0 / 224.0);
            let v = (f32::from(picture.v[chroma + column / 2]) - 128.0) * (255.0 / 224.0);
            // ITU-R BT.709-6 §3, items 3.2 and 3.3, solved for R, G, B.
            let (r, b) = (y + 1.5748 * v, y + 1.8556 * u);
            rgb.extend([r, (y - 0.2126 * r - 0.0722 * b) / 0.7152, b].map(|sample| sample.round() as u8));
        }
    }
    let mut out = Vec::new();
    let (width, height) = (width as u16, height as u16);
    let encoded = Encoder::new(&mut out, QUALITY).encode(&rgb, width, height, ColorType::Rgb);
    encoded.map_err(|error| Error::Encoder(error.to_string()))?;
    Ok(out.into())
}
