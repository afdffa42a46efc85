//! ONVIF for control, RTSP for media: what most network cameras speak.

mod client;
mod facts;
mod motor;
mod picture;
mod storage;
mod xaddr;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use av::UnixMicros;
use bytes::Bytes;
use media::{Item, StreamWriter};
use proto::onvif::schema::{StreamSetup, StreamType, Transport, TransportProtocol};
use proto::onvif::{Operation, device, imaging, media as onvif_media, media2, ns, ptz};
use reqwest::Url;
use tokio::sync::mpsc;

use self::client::Client;
use self::facts::{Abilities, Channel};
use self::motor::{Motor, Mount};
use self::storage::Storage;
use crate::dial::Dialer;
use crate::driver::{
    ChannelNo, DeviceFacts, Driver, DriverError, Login, Mirror, Position, PresetNo, Quality, Recording, ReplayAsk,
    Speaker, Velocity,
};
use crate::http::CameraHttp;
use crate::rtsp::{self, speaker};

/// A camera that speaks ONVIF.
pub struct OnvifDriver {
    client: Client,
    /// For pictures: their addresses may have another realm, whose challenge would be taken for ours.
    pictures: CameraHttp,
    dialer: Dialer,
    login: Option<Login>,
    /// Address of the device service, as it is dialled.
    device: Url,
    /// What the last look at it found; none before the first.
    session: Mutex<Option<Arc<Session>>>,
    /// Tokens of presets by the numbers they have here.
    presets: Mutex<BTreeMap<ChannelNo, BTreeMap<u16, String>>>,
}

/// What a look at the camera found.
struct Session {
    media: Url,
    /// Media service of version 2, if it keeps masks.
    masks: Option<Url>,
    ptz: Option<Url>,
    /// Motors by the token of their node.
    motors: BTreeMap<String, Motor>,
    channels: Vec<Channel>,
    /// The picture can be turned by 180°.
    rotates: bool,
    /// What keeps footage, if anything does.
    storage: Option<Storage>,
}

/// Addresses of the services, as the camera tells them.
#[derive(Default)]
struct Services {
    media: Option<String>,
    media2: Option<String>,
    ptz: Option<String>,
    imaging: Option<String>,
    search: Option<String>,
    replay: Option<String>,
}

impl OnvifDriver {
    /// A driver for the camera whose device service is at `address`: a URL, or a host with or without
    /// port.
    ///
    /// # Errors
    /// `AddressRefused` if that is no such address.
    pub fn new(dialer: Dialer, address: &str, login: Option<Login>) -> Result<OnvifDriver, DriverError> {
        Ok(OnvifDriver {
            client: Client::new(dialer.clone(), login.clone()),
            pictures: CameraHttp::new(dialer.clone(), login.clone()),
            dialer,
            login,
            device: xaddr::device_service(address)?,
            session: Mutex::new(None),
            presets: Mutex::default(),
        })
    }

    async fn call<O: Operation>(&self, service: &Url, operation: &O) -> Result<O::Response, DriverError> {
        self.client.call(&self.device, service, operation).await
    }

    /// The services, by the new way of asking or else by the old.
    async fn services(&self) -> Result<Services, DriverError> {
        let mut found = Services::default();
        if let Some(answer) =
            optional(self.call(&self.device, &device::GetServices { include_capability: false }).await)?
        {
            for service in answer.services {
                match service.namespace.as_str() {
                    ns::TRT => found.media = Some(service.xaddr),
                    ns::TR2 => found.media2 = Some(service.xaddr),
                    ns::TPTZ => found.ptz = Some(service.xaddr),
                    ns::TIMG => found.imaging = Some(service.xaddr),
                    ns::TSE => found.search = Some(service.xaddr),
                    ns::TRP => found.replay = Some(service.xaddr),
                    _ => {}
                }
            }
        }
        if found.media.is_none() {
            let ask = device::GetCapabilities { category: vec!["All".into()] };
            let told = self.call(&self.device, &ask).await?.capabilities;
            found.media = told.media.map(|media| media.xaddr);
            found.ptz = told.ptz.map(|ptz| ptz.xaddr);
            found.imaging = told.imaging.map(|imaging| imaging.xaddr);
            let later = told.extension.unwrap_or_default();
            found.search = later.search.map(|search| search.xaddr);
            found.replay = later.replay.map(|replay| replay.xaddr);
        }
        Ok(found)
    }

    /// Looks at the whole camera. One request after the other: small web servers take few at a time.
    async fn look(&self) -> Result<(Arc<Session>, DeviceFacts), DriverError> {
        self.client.synchronise(&self.device).await?;
        let about = self.call(&self.device, &device::GetDeviceInformation {}).await?;
        let services = self.services().await?;
        let here = |told: &String| xaddr::same_camera(told, &self.device);
        let media = services.media.as_ref().ok_or(DriverError::Unsupported).and_then(here)?;

        let mut channels = facts::channels(&self.call(&media, &onvif_media::GetProfiles {}).await?.profiles);
        if channels.is_empty() {
            return Err(DriverError::Protocol { step: "GetProfiles", cause: "it has no media profile".into() });
        }
        let mut abilities = self.picture_abilities(&media, &channels).await?;
        let ptz = services.ptz.as_ref().map(here).transpose()?;
        let motors = match &ptz {
            Some(url) => self.motors(url, &mut channels).await?,
            None => BTreeMap::new(),
        };
        if let Some(url) = services.imaging.as_ref().map(here).transpose()? {
            let ask = imaging::GetOptions { video_source_token: channels[0].source.clone() };
            let options = optional(self.call(&url, &ask).await)?.map(|answer| answer.imaging_options);
            abilities.image = options.is_some_and(|options| options.brightness.is_some());
        }
        let mut masks = services.media2.as_ref().map(here).transpose()?;
        if let Some(url) = &masks {
            let told = optional(self.call(url, &media2::GetServiceCapabilities {}).await)?;
            abilities.mask = told.is_some_and(|answer| answer.capabilities.mask == Some(true));
        }
        masks = masks.filter(|_| abilities.mask);
        let storage = match services.search.as_ref().zip(services.replay.as_ref()) {
            Some((search, replay)) => Some(Storage::new(here(search)?, here(replay)?)),
            None => None,
        };
        if let Some(storage) = &storage {
            // A camera whose card was taken out has the services all the same.
            abilities.storage = optional(self.recorded(storage).await)?.is_some_and(|found| !found.is_empty());
        }
        abilities.speaker = self.has_speaker(&media, &channels[0]).await?;
        if let [only] = &mut channels[..]
            && let Some(name) = self.name().await?
        {
            only.name = name;
        }

        let known = |text: String| Some(text).filter(|text| !text.is_empty());
        let facts = DeviceFacts {
            manufacturer: known(about.manufacturer),
            model: known(about.model),
            firmware: known(about.firmware_version),
            serial: known(about.serial_number),
            channels: channels.iter().map(Channel::facts).collect(),
            capabilities: facts::capabilities(
                channels.iter().filter_map(|channel| motors.get(&channel.mount.as_ref()?.configuration.node_token)),
                abilities,
            ),
        };
        let session = Arc::new(Session { media, masks, ptz, motors, channels, rotates: abilities.rotation, storage });
        *self.session.lock().expect("no panic while the session is locked") = Some(session.clone());
        Ok((session, facts))
    }

    /// Whether pictures can be turned and taken.
    async fn picture_abilities(&self, media: &Url, channels: &[Channel]) -> Result<Abilities, DriverError> {
        let told = optional(self.call(media, &onvif_media::GetServiceCapabilities {}).await)?;
        let told = told.map(|answer| answer.capabilities).unwrap_or_default();
        let mut rotation = told.rotation == Some(true) || channels.iter().any(|channel| channel.rotates);
        if rotation || told.rotation.is_none() {
            let configuration_token = channels[0].configuration.clone();
            let ask = onvif_media::GetVideoSourceConfigurationOptions { configuration_token, profile_token: None };
            // What it says of this very configuration is nearer than what it says of the service.
            if let Some(answer) = optional(self.call(media, &ask).await)? {
                let rotate = answer.options.extension.and_then(|extension| extension.rotate);
                rotation = rotate.is_some_and(|rotate| picture::turns(&rotate));
            }
        }
        let mut snapshot = told.snapshot_uri;
        if snapshot.is_none() {
            let ask = onvif_media::GetSnapshotUri { profile_token: channels[0].main.profile.clone() };
            snapshot = optional(self.call(media, &ask).await)?.map(|answer| !answer.media_uri.uri.is_empty());
        }
        Ok(Abilities { rotation, snapshot: snapshot == Some(true), ..Abilities::default() })
    }

    /// The motors by node. What has no node the camera tells of moves nothing.
    async fn motors(&self, url: &Url, channels: &mut [Channel]) -> Result<BTreeMap<String, Motor>, DriverError> {
        let nodes = optional(self.call(url, &ptz::GetNodes {}).await)?.map(|answer| answer.nodes).unwrap_or_default();
        let mut motors: BTreeMap<_, _> = nodes.iter().map(|node| (node.token.clone(), Motor::of(node))).collect();
        for channel in channels.iter_mut() {
            let Some(mount) = &mut channel.mount else { continue };
            // Some name a node that they do not list; then there is one.
            if !motors.contains_key(&mount.configuration.node_token) {
                match nodes.first() {
                    Some(node) => mount.configuration.node_token = node.token.clone(),
                    None => channel.mount = None,
                }
            }
        }
        if let Some(mount) = channels.iter().find_map(|channel| channel.mount.as_ref()) {
            // Of one, as of all of a kind: a large recorder has one for each channel.
            let ask = ptz::GetConfigurationOptions { configuration_token: mount.configuration.token.clone() };
            let timeouts = optional(self.call(url, &ask).await)?.map(|answer| answer.options.timeout);
            motors.get_mut(&mount.configuration.node_token).into_iter().for_each(|motor| motor.timeouts = timeouts);
        }
        Ok(motors)
    }

    /// Whether it has a loudspeaker and a way to it.
    async fn has_speaker(&self, media: &Url, channel: &Channel) -> Result<bool, DriverError> {
        let outputs = optional(self.call(media, &onvif_media::GetAudioOutputs {}).await)?;
        // One that does not tell may still have one.
        if outputs.is_some_and(|answer| answer.audio_outputs.is_empty()) {
            return Ok(false);
        }
        let Some(url) = optional(self.rtsp_address(media, &channel.main.profile).await)? else { return Ok(false) };
        Ok(speaker::is_there(&self.dialer, url.as_str(), self.login.as_ref()).await)
    }

    async fn rtsp_address(&self, media: &Url, profile: &str) -> Result<Url, DriverError> {
        let ask = onvif_media::GetStreamUri {
            stream_setup: StreamSetup {
                stream: StreamType::RtpUnicast,
                transport: Transport { protocol: TransportProtocol::Rtsp },
            },
            profile_token: profile.to_owned(),
        };
        xaddr::media(&self.call(media, &ask).await?.media_uri.uri, &self.device)
    }

    /// The name its owner gave it, from the scopes it is discovered by.
    async fn name(&self) -> Result<Option<String>, DriverError> {
        let answer = optional(self.call(&self.device, &device::GetScopes {}).await)?;
        let scopes = answer.map(|answer| answer.scopes).unwrap_or_default();
        let scopes = scopes.into_iter().map(|scope| scope.item).collect();
        let target = proto::onvif::discovery::Target { scopes, ..Default::default() };
        Ok(target.scope("name").filter(|name| !name.is_empty()))
    }

    async fn session(&self) -> Result<Arc<Session>, DriverError> {
        let known = self.session.lock().expect("no panic while the session is locked").clone();
        match known {
            Some(session) => Ok(session),
            None => Ok(self.look().await?.0),
        }
    }

    /// Address of a stream.
    async fn stream_url(&self, channel: ChannelNo, quality: Quality) -> Result<Url, DriverError> {
        let session = self.session().await?;
        let answer = self.rtsp_address(&session.media, session.profile(channel, quality)?).await;
        if matches!(answer, Err(DriverError::Refused { .. } | DriverError::Protocol { .. })) {
            // The profile may be gone with the next configuration; look again next time.
            *self.session.lock().expect("no panic while the session is locked") = None;
        }
        answer
    }

    /// The camera's clock less ours, in seconds, as of the last look at it.
    pub fn clock_offset(&self) -> i64 {
        self.client.clock_offset()
    }
}

impl Session {
    fn channel(&self, no: ChannelNo) -> Result<&Channel, DriverError> {
        self.channels.iter().find(|channel| channel.no == no).ok_or(DriverError::Unsupported)
    }

    /// Token of the profile of a stream. A channel with one stream has it in both qualities.
    fn profile(&self, no: ChannelNo, quality: Quality) -> Result<&str, DriverError> {
        let channel = self.channel(no)?;
        let stream = match quality {
            Quality::Main => &channel.main,
            Quality::Sub => channel.sub.as_ref().unwrap_or(&channel.main),
        };
        Ok(&stream.profile)
    }

    fn motor(&self, no: ChannelNo) -> Result<(&Url, &Motor, &Mount), DriverError> {
        let found = self
            .channel(no)?
            .mount
            .as_ref()
            .and_then(|mount| Some((self.ptz.as_ref()?, self.motors.get(&mount.configuration.node_token)?, mount)));
        found.ok_or(DriverError::Unsupported)
    }

    /// Where masks are kept, and the token of the configuration that they cover.
    fn masks(&self, no: ChannelNo) -> Result<(&Url, &str), DriverError> {
        let token = self.channel(no)?.configuration.as_deref();
        self.masks.as_ref().zip(token).ok_or(DriverError::Unsupported)
    }
}

/// An answer that may be missing: the camera does not have the operation, keeps it for administrators,
/// refuses or botches it. That it cannot be reached stays an error.
fn optional<T>(answer: Result<T, DriverError>) -> Result<Option<T>, DriverError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(
            DriverError::Unsupported
            | DriverError::LoginRefused
            | DriverError::Refused { .. }
            | DriverError::Protocol { .. },
        ) => Ok(None),
        Err(error) => Err(error),
    }
}

#[async_trait]
impl Driver for OnvifDriver {
    async fn probe(&self) -> Result<DeviceFacts, DriverError> {
        self.look().await.map(|(_, facts)| facts)
    }

    async fn ping(&self) -> Result<(), DriverError> {
        // The cheapest request that wants a login.
        self.call(&self.device, &device::GetDeviceInformation {}).await.map(drop)
    }

    async fn live(&self, channel: ChannelNo, quality: Quality, writer: &mut StreamWriter) -> Result<(), DriverError> {
        let url = self.stream_url(channel, quality).await?;
        rtsp::pull(&self.dialer, url.as_str(), self.login.as_ref(), writer).await
    }

    async fn request_key_frame(&self, channel: ChannelNo, quality: Quality) -> Result<(), DriverError> {
        let session = self.session().await?;
        let profile_token = session.profile(channel, quality)?.to_owned();
        self.call(&session.media, &onvif_media::SetSynchronizationPoint { profile_token }).await.map(drop)
    }

    async fn ptz_start(&self, channel: ChannelNo, velocity: Velocity) -> Result<(), DriverError> {
        self.start_motor(channel, velocity).await
    }

    async fn ptz_stop(&self, channel: ChannelNo) -> Result<(), DriverError> {
        self.stop_motor(channel).await
    }

    async fn position(&self, channel: ChannelNo) -> Result<Position, DriverError> {
        self.motor_position(channel).await
    }

    async fn preset_add(&self, channel: ChannelNo) -> Result<PresetNo, DriverError> {
        self.add_preset(channel).await
    }

    async fn preset_move(&self, channel: ChannelNo, preset: PresetNo) -> Result<(), DriverError> {
        self.go_to_preset(channel, preset).await
    }

    async fn preset_clear(&self, channel: ChannelNo, preset: PresetNo) -> Result<(), DriverError> {
        self.remove_preset(channel, preset).await
    }

    async fn mirror(&self, channel: ChannelNo, mirror: Mirror) -> Result<(), DriverError> {
        self.turn(channel, mirror).await
    }

    async fn mask(&self, channel: ChannelNo) -> Result<bool, DriverError> {
        self.is_covered(channel).await
    }

    async fn set_mask(&self, channel: ChannelNo, covered: bool) -> Result<(), DriverError> {
        self.cover(channel, covered).await
    }

    async fn snapshot(&self, channel: ChannelNo) -> Result<Bytes, DriverError> {
        self.still(channel).await
    }

    async fn open_speaker(&self, channel: ChannelNo) -> Result<Box<dyn Speaker>, DriverError> {
        let url = self.stream_url(channel, Quality::Main).await?;
        speaker::open(&self.dialer, url.as_str(), self.login.as_ref()).await
    }

    async fn recordings(
        &self,
        channel: ChannelNo,
        from: UnixMicros,
        to: UnixMicros,
    ) -> Result<Vec<Recording>, DriverError> {
        self.stretches(channel, from, to).await
    }

    async fn replay(&self, channel: ChannelNo, ask: ReplayAsk, out: mpsc::Sender<Item>) -> Result<(), DriverError> {
        self.play_back(channel, ask, &out).await
    }
}
