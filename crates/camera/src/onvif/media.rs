//! Media: what can be watched and heard, and where.

use std::sync::Arc;
use std::time::Duration;

use proto::onvif::Fault;
use proto::onvif::media::*;
use proto::onvif::schema::{
    AudioEncoderConfiguration, AudioEncoding, AudioSourceConfiguration, H264Configuration, H264Profile, IntRectangle,
    IpAddress, IpType, MediaUri, MulticastConfiguration, Profile, StreamType, VideoEncoderConfiguration, VideoEncoding,
    VideoRateControl, VideoResolution, VideoSource, VideoSourceConfiguration,
};

use super::ptz::motor_configuration;
use super::{Call, SOURCE, document, no_configuration};
use crate::channel::Channel;
use crate::config::{Quality, SoundConfig};
use crate::http::{Site, still_url};
use crate::token;

impl Site {
    pub(super) fn media(&self, request: Request, call: &Call<'_>) -> Result<String, Fault> {
        Ok(match request {
            Request::GetServiceCapabilities(_) => {
                let capabilities = MediaServiceCapabilities {
                    snapshot_uri: Some(self.config.replay.is_none()),
                    rotation: Some(false),
                    profile: ProfileCapabilities { maximum_number_of_profiles: Some(self.profiles().count() as i32) },
                    streaming: StreamingCapabilities {
                        rtp_multicast: Some(false),
                        rtp_tcp: Some(false),
                        rtp_rtsp_tcp: Some(true),
                    },
                };
                document(&GetServiceCapabilitiesResponse { capabilities })
            }
            Request::GetProfiles(_) => {
                let profiles = self.profiles().map(|(channel, quality)| self.profile(channel, quality)).collect();
                document(&GetProfilesResponse { profiles })
            }
            Request::GetProfile(ask) => {
                let (channel, quality) = self.profile_of(&ask.profile_token)?;
                document(&GetProfileResponse { profile: self.profile(channel, quality) })
            }
            Request::GetStreamUri(ask) => {
                let (channel, quality) = self.profile_of(&ask.profile_token)?;
                if ask.stream_setup.stream == StreamType::RtpMulticast {
                    let codes = ["InvalidArgVal", "InvalidStreamSetup"];
                    return Err(Fault::sender(&codes, "there is no multicast"));
                }
                let path = token::of(quality.name(), channel.number());
                let uri = format!("rtsp://{}:{}/{path}", call.hostname, self.rtsp_port);
                document(&GetStreamUriResponse { media_uri: media_uri(uri) })
            }
            Request::GetSnapshotUri(ask) => {
                let (channel, quality) = self.profile_of(&ask.profile_token)?;
                if self.config.replay.is_some() {
                    return Err(Fault::receiver(&["ActionNotSupported"], "there are no still pictures of a file"));
                }
                let media_uri = media_uri(still_url(call.host, channel, quality));
                document(&GetSnapshotUriResponse { media_uri })
            }
            Request::GetVideoSources(_) => {
                let source = |channel: &Arc<Channel>| VideoSource {
                    token: token::of(SOURCE, channel.number()),
                    framerate: self.config.main.frame_rate as f32,
                    resolution: self.resolution(Quality::Main),
                };
                document(&GetVideoSourcesResponse { video_sources: self.channels.iter().map(source).collect() })
            }
            Request::GetVideoSourceConfigurations(_) => {
                let configurations = self.channels.iter().map(|channel| self.video_source(channel)).collect();
                document(&GetVideoSourceConfigurationsResponse { configurations })
            }
            Request::GetVideoEncoderConfigurations(_) => {
                let configurations = self.profiles().map(|(channel, quality)| self.video_encoder(channel, quality));
                document(&GetVideoEncoderConfigurationsResponse { configurations: configurations.collect() })
            }
            Request::GetVideoEncoderConfiguration(ask) => {
                let named = |(channel, quality): &(&Arc<Channel>, Quality)| {
                    video_encoder_token(channel, *quality) == ask.configuration_token
                };
                let (channel, quality) = self.profiles().find(named).ok_or_else(no_configuration)?;
                let configuration = self.video_encoder(channel, quality);
                document(&GetVideoEncoderConfigurationResponse { configuration })
            }
            Request::GetAudioEncoderConfigurations(_) => {
                let configurations = self.audio_encoder().into_iter().collect();
                document(&GetAudioEncoderConfigurationsResponse { configurations })
            }
            Request::SetSynchronizationPoint(ask) => {
                let (channel, quality) = self.profile_of(&ask.profile_token)?;
                channel.request_key_frame(quality);
                document(&SetSynchronizationPointResponse {})
            }
        })
    }

    /// Both streams of each channel.
    fn profiles(&self) -> impl Iterator<Item = (&Arc<Channel>, Quality)> {
        self.channels.iter().flat_map(|channel| Quality::ALL.map(|quality| (channel, quality)))
    }

    fn profile(&self, channel: &Channel, quality: Quality) -> Profile {
        let audio_source = || AudioSourceConfiguration {
            token: "microphone".into(),
            name: "Microphone".into(),
            use_count: self.profiles().count() as i32,
            source_token: "microphone".into(),
        };
        let audio_encoder = self.audio_encoder();
        let token = token::of(quality.name(), channel.number());
        Profile {
            token: token.clone(),
            fixed: Some(true),
            name: token,
            video_source: Some(self.video_source(channel)),
            audio_source: audio_encoder.is_some().then(audio_source),
            video_encoder: Some(self.video_encoder(channel, quality)),
            audio_encoder,
            ptz: Some(motor_configuration(channel)),
        }
    }

    fn resolution(&self, quality: Quality) -> VideoResolution {
        let video = self.config.video(quality);
        VideoResolution { width: video.width as i32, height: video.height as i32 }
    }

    fn video_source(&self, channel: &Channel) -> VideoSourceConfiguration {
        let VideoResolution { width, height } = self.resolution(Quality::Main);
        VideoSourceConfiguration {
            token: token::of(SOURCE, channel.number()),
            name: channel.name().to_owned(),
            use_count: 2,
            source_token: token::of(SOURCE, channel.number()),
            bounds: IntRectangle { x: 0, y: 0, width, height },
            extension: None,
        }
    }

    fn video_encoder(&self, channel: &Channel, quality: Quality) -> VideoEncoderConfiguration {
        let video = self.config.video(quality);
        VideoEncoderConfiguration {
            token: video_encoder_token(channel, quality),
            name: token::of(quality.name(), channel.number()),
            use_count: 1,
            encoding: VideoEncoding::H264,
            resolution: self.resolution(quality),
            quality: 5.0,
            rate_control: Some(VideoRateControl {
                frame_rate_limit: video.frame_rate as i32,
                encoding_interval: 1,
                bitrate_limit: video.bitrate_bps as i32 / 1000,
            }),
            h264: Some(H264Configuration { gov_length: video.gop_frames() as i32, profile: H264Profile::Baseline }),
            multicast: Some(no_multicast()),
            session_timeout: Duration::from_secs(60),
        }
    }

    fn audio_encoder(&self) -> Option<AudioEncoderConfiguration> {
        let (encoding, bitrate, sample_rate) = match self.config.sound {
            SoundConfig::Aac => (AudioEncoding::Aac, 32, 16),
            SoundConfig::Alaw => (AudioEncoding::G711, 64, 8),
            SoundConfig::None => return None,
        };
        Some(AudioEncoderConfiguration {
            token: "audio".into(),
            name: "Sound".into(),
            use_count: self.profiles().count() as i32,
            encoding,
            bitrate,
            sample_rate,
            multicast: Some(no_multicast()),
            session_timeout: Duration::from_secs(60),
        })
    }
}

fn video_encoder_token(channel: &Channel, quality: Quality) -> String {
    format!("{}_video", token::of(quality.name(), channel.number()))
}

fn media_uri(uri: String) -> MediaUri {
    MediaUri { uri, invalid_after_connect: false, invalid_after_reboot: false, timeout: Duration::ZERO }
}

fn no_multicast() -> MulticastConfiguration {
    let address = IpAddress { kind: IpType::V4, v4: Some("0.0.0.0".into()), v6: None };
    MulticastConfiguration { address, port: 0, ttl: 0, auto_start: false }
}
