//! Imaging: brightness and its kin.

use proto::onvif::Fault;
use proto::onvif::imaging::*;
use proto::onvif::schema::*;

use super::{SOURCE, document};
use crate::http::Site;
use crate::lens::Lens;

impl Site {
    pub(super) fn imaging(&self, request: Request) -> Result<String, Fault> {
        let source = |token: &str| {
            let no_source = || Fault::sender(&["InvalidArgVal", "NoSource"], "no such video source");
            self.channel_of(token, SOURCE).ok_or_else(no_source)
        };
        Ok(match request {
            Request::GetServiceCapabilities(_) => {
                let capabilities = ImagingServiceCapabilities { image_stabilization: Some(false) };
                document(&GetServiceCapabilitiesResponse { capabilities })
            }
            Request::GetImagingSettings(ask) => {
                let Lens { brightness, contrast, saturation } = source(&ask.video_source_token)?.lens();
                document(&GetImagingSettingsResponse {
                    imaging_settings: ImagingSettings {
                        brightness: Some(brightness),
                        color_saturation: Some(saturation),
                        contrast: Some(contrast),
                        ..ImagingSettings::default()
                    },
                })
            }
            Request::SetImagingSettings(ask) => {
                let channel = source(&ask.video_source_token)?;
                let ImagingSettings { brightness, color_saturation, contrast, .. } = ask.imaging_settings;
                let wanted = [brightness, color_saturation, contrast];
                if wanted.into_iter().flatten().any(|value| !Lens::RANGE.contains(&value)) {
                    let codes = ["InvalidArgVal", "SettingsInvalid"];
                    return Err(Fault::sender(&codes, "a setting is out of its range"));
                }
                channel.adjust_lens(|lens| {
                    lens.brightness = brightness.unwrap_or(lens.brightness);
                    lens.saturation = color_saturation.unwrap_or(lens.saturation);
                    lens.contrast = contrast.unwrap_or(lens.contrast);
                });
                document(&SetImagingSettingsResponse {})
            }
            Request::GetOptions(ask) => {
                source(&ask.video_source_token)?;
                let range = Some(FloatRange { min: *Lens::RANGE.start(), max: *Lens::RANGE.end() });
                let imaging_options = ImagingOptions {
                    brightness: range,
                    color_saturation: range,
                    contrast: range,
                    ..Default::default()
                };
                document(&GetOptionsResponse { imaging_options })
            }
            Request::GetMoveOptions(ask) => {
                source(&ask.video_source_token)?;
                document(&GetMoveOptionsResponse { move_options: MoveOptions::default() })
            }
        })
    }
}
