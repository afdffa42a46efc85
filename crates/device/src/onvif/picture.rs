//! The picture itself: turned, covered, taken.

use bytes::Bytes;
use proto::onvif::media as onvif_media;
use proto::onvif::media2::{self, Mask};
use proto::onvif::schema::{
    Polygon, Rotate, RotateMode, RotateOptions, Vector, VideoSourceConfiguration, VideoSourceConfigurationExtension,
};
use reqwest::{Method, StatusCode};

use super::{OnvifDriver, xaddr};
use crate::driver::{ChannelNo, DriverError, Mirror, SNAPSHOT_BYTES_MAX, is_jpeg};

/// Corners of the whole picture (Media2 §5.15: −1 to 1, the lower left being −1, −1).
const WHOLE: [Vector; 4] =
    [Vector { x: -1.0, y: -1.0 }, Vector { x: -1.0, y: 1.0 }, Vector { x: 1.0, y: 1.0 }, Vector { x: 1.0, y: -1.0 }];
/// A mask of this share of the picture covers the lens: cameras round its corners to their blocks.
const COVERS: f32 = 0.95;

/// Whether a picture can be turned by 180°.
pub(super) fn turns(options: &RotateOptions) -> bool {
    let degrees = options.degrees.as_ref().map(|degrees| &degrees.items[..]).unwrap_or_default();
    options.modes.contains(&RotateMode::On) && (degrees.is_empty() || degrees.contains(&180))
}

/// Half a turn more than now.
fn turned(now: Option<&Rotate>) -> Rotate {
    let degrees = match now {
        Some(Rotate { mode: RotateMode::On, degree }) => degree.unwrap_or(180).rem_euclid(360),
        _ => 0,
    };
    match (degrees + 180) % 360 {
        0 => Rotate { mode: RotateMode::Off, degree: None },
        degrees => Rotate { mode: RotateMode::On, degree: Some(degrees) },
    }
}

/// Whether a mask of this form leaves nothing to see, by its area.
fn is_whole(polygon: &Polygon) -> bool {
    let corner = |point: &Vector| (point.x.clamp(-1.0, 1.0), point.y.clamp(-1.0, 1.0));
    let corners: Vec<_> = polygon.points.iter().map(corner).collect();
    let next = corners.iter().cycle().skip(1);
    let twice: f32 = corners.iter().zip(next).map(|((x, y), (next_x, next_y))| x * next_y - next_x * y).sum();
    twice.abs() / 2.0 >= COVERS * 4.0
}

impl OnvifDriver {
    /// The camera's configuration of a channel's sensor, as it is now.
    async fn source_configuration(&self, channel: ChannelNo) -> Result<VideoSourceConfiguration, DriverError> {
        let session = self.session().await?;
        let token = session.channel(channel)?.configuration.as_ref().ok_or(DriverError::Unsupported)?;
        let all = self.call(&session.media, &onvif_media::GetVideoSourceConfigurations {}).await?.configurations;
        // Tokens change when a camera is configured anew; the next look will find them.
        all.into_iter().find(|configuration| configuration.token == *token).ok_or(DriverError::Unsupported)
    }

    /// By rotation: plain ONVIF has no mirror about one axis.
    pub(super) async fn turn(&self, channel: ChannelNo, mirror: Mirror) -> Result<(), DriverError> {
        let session = self.session().await?;
        if mirror != Mirror::Centre || !session.rotates {
            return Err(DriverError::Unsupported);
        }
        let mut configuration = self.source_configuration(channel).await?;
        let now = configuration.extension.as_ref().and_then(|extension| extension.rotate.as_ref());
        configuration.extension = Some(VideoSourceConfigurationExtension { rotate: Some(turned(now)) });
        let ask = onvif_media::SetVideoSourceConfiguration { configuration, force_persistence: true };
        self.call(&session.media, &ask).await.map(drop)
    }

    /// The masks that cover a whole channel.
    async fn covers(&self, channel: ChannelNo) -> Result<Vec<Mask>, DriverError> {
        let session = self.session().await?;
        let (url, token) = session.masks(channel)?;
        let ask = media2::GetMasks { token: None, configuration_token: Some(token.to_owned()) };
        let masks = self.call(url, &ask).await?.masks;
        Ok(masks.into_iter().filter(|mask| mask.configuration_token == token && is_whole(&mask.polygon)).collect())
    }

    pub(super) async fn is_covered(&self, channel: ChannelNo) -> Result<bool, DriverError> {
        Ok(self.covers(channel).await?.iter().any(|mask| mask.enabled))
    }

    pub(super) async fn cover(&self, channel: ChannelNo, covered: bool) -> Result<(), DriverError> {
        let session = self.session().await?;
        let (url, token) = session.masks(channel)?;
        let covers = self.covers(channel).await?;
        if covers.iter().any(|mask| mask.enabled) == covered {
            return Ok(());
        }
        // To cover one is enough; to uncover none may be left.
        let changed = covers.into_iter().filter(|mask| mask.enabled != covered);
        let changed: Vec<Mask> = if covered { changed.take(1).collect() } else { changed.collect() };
        if !changed.is_empty() {
            for mask in changed {
                self.call(url, &media2::SetMask { mask: Mask { enabled: covered, ..mask } }).await?;
            }
            return Ok(());
        }
        let ask = media2::GetMaskOptions { configuration_token: token.to_owned() };
        let options = self.call(url, &ask).await?.options;
        let kind = options.types.iter().find(|kind| *kind == "Color").or(options.types.first());
        let kind = kind.map_or("Color", String::as_str).to_owned();
        // Black where it is left to the camera; else what it offers first.
        let color = options.color.and_then(|offered| offered.colors.into_iter().next()).filter(|_| kind == "Color");
        let (configuration_token, polygon) = (token.to_owned(), Polygon { points: WHOLE.into() });
        let mask = Mask { token: None, configuration_token, polygon, kind, color, enabled: true };
        self.call(url, &media2::CreateMask { mask }).await.map(drop)
    }

    pub(super) async fn still(&self, channel: ChannelNo) -> Result<Bytes, DriverError> {
        let step = "snapshot";
        let session = self.session().await?;
        let profile_token = session.channel(channel)?.main.profile.clone();
        let told = self.call(&session.media, &onvif_media::GetSnapshotUri { profile_token }).await?.media_uri.uri;
        let url = xaddr::same_camera(&told, &self.device)?;
        let answer = self.pictures.request(Method::GET, &url, None, SNAPSHOT_BYTES_MAX).await?;
        match answer.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(DriverError::LoginRefused),
            status if !status.is_success() => Err(DriverError::Refused { step, cause: format!("HTTP {status}") }),
            _ if !is_jpeg(&answer.body) => {
                Err(DriverError::Protocol { step, cause: format!("{} bytes that are no JPEG", answer.body.len()) })
            }
            _ => Ok(answer.body.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_turn_and_back() {
        let on = |degree| Some(Rotate { mode: RotateMode::On, degree });
        let off = Rotate { mode: RotateMode::Off, degree: None };
        assert_eq!(Some(turned(None)), on(Some(180)));
        assert_eq!(Some(turned(Some(&off))), on(Some(180)));
        assert_eq!(turned(on(None).as_ref()), off);
        assert_eq!(turned(on(Some(180)).as_ref()), off);
        assert_eq!(Some(turned(on(Some(90)).as_ref())), on(Some(270)));
        assert_eq!(Some(turned(on(Some(270)).as_ref())), on(Some(90)));
        assert_eq!(turned(on(Some(i32::MIN)).as_ref()).mode, RotateMode::On);
    }

    #[test]
    fn only_what_leaves_nothing_to_see_covers() {
        let whole = |points: &[(f32, f32)]| {
            is_whole(&Polygon { points: points.iter().map(|(x, y)| Vector { x: *x, y: *y }).collect() })
        };
        assert!(is_whole(&Polygon { points: WHOLE.into() }));
        assert!(whole(&[(1.0, 1.0), (1.0, -0.98), (-1.0, -0.98), (-1.0, 1.0)]));
        assert!(whole(&[(9.0, 9.0), (9.0, -9.0), (-9.0, -9.0), (-9.0, 9.0)]));
        assert!(!whole(&[(-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0)]), "half of it");
        assert!(!whole(&[(-0.5, -1.0), (-0.5, 1.0), (1.0, 1.0), (1.0, -1.0)]));
        assert!(!whole(&[]));
    }
}
