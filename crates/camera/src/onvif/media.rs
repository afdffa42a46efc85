//! Media: what can be watched and heard, and where.

use std::sync::Arc;
use std::time::Duration;

use proto::onvif::Fault;
use proto::onvif::media::*;
use proto::onvif::schema::{
    AudioDecoderConfiguration, AudioDecoderConfigurationOptions, AudioEncoderConfiguration, AudioEncoding, AudioOutput,
    AudioOutputConfiguration, AudioSourceConfiguration, DecoderOptions, H264Configuration, H264Profile, IntList,
    IntRange, IntRectangle, IntRectangleRange, IpAddress, IpType, MediaUri, MulticastConfiguration, Profile,
    ProfileExtension, Rotate, RotateMode, RotateOptions, StreamType, VideoEncoderConfiguration, VideoEncoding,
    VideoRateControl, VideoResolution, VideoSource, VideoSourceConfiguration, VideoSourceConfigurationExtension,
    VideoSourceConfigurationOptions, VideoSourceConfigurationOptionsExtension,
};

use super::ptz::motor_configuration;
use super::{Call, SOURCE, document, no_configuration};
use crate::channel::Channel;
use crate::config::{Quality, SoundConfig};
use crate::http::{Site, still_url};
use crate::token;
use crate::viewfinder::Flip;

/// Stem of the tokens of loudspeakers and their configurations.
const SPEAKER: &str = "speaker";
/// Token of the decoder that all loudspeakers have.
const DECODER: &str = "decoder";
/// The one rotation there is, degrees.
const TURNED: i32 = 180;

impl Site {
    pub(super) fn media(&self, request: Request, call: &Call<'_>) -> Result<String, Fault> {
        Ok(match request {
            Request::GetServiceCapabilities(_) => {
                let capabilities = MediaServiceCapabilities {
                    snapshot_uri: Some(true),
                    rotation: Some(true),
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
                let media_uri = media_uri(self.stream_url(call, channel, quality));
                document(&GetStreamUriResponse { media_uri })
            }
            Request::GetSnapshotUri(ask) => {
                let (channel, quality) = self.profile_of(&ask.profile_token)?;
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
            Request::GetVideoSourceConfiguration(ask) => {
                let channel = self.channel_of(&ask.configuration_token, SOURCE).ok_or_else(no_configuration)?;
                document(&GetVideoSourceConfigurationResponse { configuration: self.video_source(channel) })
            }
            Request::GetVideoSourceConfigurationOptions(ask) => {
                let named = ask.configuration_token.map(|token| self.channel_of(&token, SOURCE));
                let named = named.map(|channel| channel.ok_or_else(no_configuration)).transpose()?;
                let of_profile = ask.profile_token.map(|token| self.profile_of(&token)).transpose()?;
                let channels = match named.or(of_profile.map(|(channel, _)| channel)) {
                    Some(channel) => std::slice::from_ref(channel),
                    None => &self.channels[..],
                };
                let VideoResolution { width, height } = self.resolution(Quality::Main);
                let only = |value| IntRange { min: value, max: value };
                let rotate = RotateOptions {
                    modes: vec![RotateMode::Off, RotateMode::On],
                    degrees: Some(IntList { items: vec![TURNED] }),
                };
                document(&GetVideoSourceConfigurationOptionsResponse {
                    options: VideoSourceConfigurationOptions {
                        bounds: Some(IntRectangleRange {
                            x: only(0),
                            y: only(0),
                            width: only(width),
                            height: only(height),
                        }),
                        source_tokens: channels.iter().map(|channel| token::of(SOURCE, channel.number())).collect(),
                        extension: Some(VideoSourceConfigurationOptionsExtension { rotate: Some(rotate) }),
                    },
                })
            }
            Request::SetVideoSourceConfiguration(SetVideoSourceConfiguration { configuration, .. }) => {
                let channel = self.channel_of(&configuration.token, SOURCE).ok_or_else(no_configuration)?;
                let present = self.video_source(channel);
                let cannot = |reason| Err(Fault::sender(&["InvalidArgVal", "ConfigModify"], reason));
                if configuration.source_token != present.source_token || configuration.bounds != present.bounds {
                    return cannot("the source and its bounds are fixed");
                }
                let rotate = configuration.extension.and_then(|extension| extension.rotate);
                let flip = match rotate.map(|rotate| (rotate.mode, rotate.degree.unwrap_or(TURNED))) {
                    None | Some((RotateMode::Off, _) | (RotateMode::On, 0)) => Flip::default(),
                    Some((RotateMode::On, TURNED)) => Flip::CENTRE,
                    Some(_) => return cannot("the picture turns by 180 degrees or not at all"),
                };
                channel.set_flip(flip);
                document(&SetVideoSourceConfigurationResponse {})
            }
            Request::GetAudioOutputs(_) => {
                let output = |channel: &Arc<Channel>| AudioOutput { token: token::of(SPEAKER, channel.number()) };
                document(&GetAudioOutputsResponse { audio_outputs: self.channels.iter().map(output).collect() })
            }
            Request::GetAudioOutputConfigurations(_) => {
                let configurations = self.channels.iter().map(|channel| audio_output(channel)).collect();
                document(&GetAudioOutputConfigurationsResponse { configurations })
            }
            Request::GetAudioDecoderConfigurations(_) => {
                let configurations = vec![self.audio_decoder()];
                document(&GetAudioDecoderConfigurationsResponse { configurations })
            }
            Request::GetAudioDecoderConfigurationOptions(ask) => {
                if ask.configuration_token.is_some_and(|token| token != DECODER) {
                    return Err(no_configuration());
                }
                ask.profile_token.map(|token| self.profile_of(&token)).transpose()?;
                let list = |value| IntList { items: vec![value] };
                let g711 = DecoderOptions { bitrates: list(64), sample_rates: list(8) };
                document(&GetAudioDecoderConfigurationOptionsResponse {
                    options: AudioDecoderConfigurationOptions { g711: Some(g711), ..Default::default() },
                })
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

    /// RTSP address of a stream.
    pub(super) fn stream_url(&self, call: &Call<'_>, channel: &Channel, quality: Quality) -> String {
        let path = token::of(quality.name(), channel.number());
        format!("rtsp://{}:{}/{path}", call.hostname, self.rtsp_port)
    }

    /// Both streams of each channel.
    pub(super) fn profiles(&self) -> impl Iterator<Item = (&Arc<Channel>, Quality)> {
        self.channels.iter().flat_map(|channel| Quality::ALL.map(|quality| (channel, quality)))
    }

    pub(super) fn profile(&self, channel: &Channel, quality: Quality) -> Profile {
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
            extension: Some(ProfileExtension {
                audio_output: Some(audio_output(channel)),
                audio_decoder: Some(self.audio_decoder()),
            }),
        }
    }

    fn resolution(&self, quality: Quality) -> VideoResolution {
        let video = self.config.video(quality);
        VideoResolution { width: video.width as i32, height: video.height as i32 }
    }

    fn video_source(&self, channel: &Channel) -> VideoSourceConfiguration {
        let VideoResolution { width, height } = self.resolution(Quality::Main);
        // Media has no word for a picture mirrored about one axis.
        let rotate = match channel.flip() {
            Flip::CENTRE => Rotate { mode: RotateMode::On, degree: Some(TURNED) },
            _ => Rotate { mode: RotateMode::Off, degree: None },
        };
        VideoSourceConfiguration {
            token: token::of(SOURCE, channel.number()),
            name: channel.name().to_owned(),
            use_count: 2,
            source_token: token::of(SOURCE, channel.number()),
            bounds: IntRectangle { x: 0, y: 0, width, height },
            extension: Some(VideoSourceConfigurationExtension { rotate: Some(rotate) }),
        }
    }

    fn audio_decoder(&self) -> AudioDecoderConfiguration {
        let use_count = self.profiles().count() as i32;
        AudioDecoderConfiguration { token: DECODER.into(), name: "G.711".into(), use_count }
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

fn audio_output(channel: &Channel) -> AudioOutputConfiguration {
    let token = token::of(SPEAKER, channel.number());
    AudioOutputConfiguration {
        token: token.clone(),
        name: "Speaker".into(),
        use_count: 2,
        output_token: token,
        send_primacy: None,
        output_level: 100,
    }
}

fn media_uri(uri: String) -> MediaUri {
    MediaUri { uri, invalid_after_connect: false, invalid_after_reboot: false, timeout: Duration::ZERO }
}

fn no_multicast() -> MulticastConfiguration {
    let address = IpAddress { kind: IpType::V4, v4: Some("0.0.0.0".into()), v6: None };
    MulticastConfiguration { address, port: 0, ttl: 0, auto_start: false }
}
