//! Hikvision ISAPI for control, RTSP for media: cameras and recorders of Hikvision and, in the local
//! network, of EZVIZ.
//!
//! Everything a device can do is asked of the device, once after each connection: the first channels of
//! a recorder then, the others when they are first used.

mod client;
mod facts;
mod speaker;
mod storage;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use av::UnixMicros;
use bytes::Bytes;
use media::{Item, StreamWriter};
use proto::isapi::{
    AdminAccessProtocolList, DeviceInfo, Flip, ImageFlip, ImageFlipCap, InputProxyChannelList,
    InputProxyChannelStatusList, PrivacyMask, PrivacyMaskRegion, PtzChannelCap, PtzData, PtzPreset, PtzPresetList,
    PtzStatus, StreamingChannelList, TwoWayAudioChannel, TwoWayAudioChannelList, VideoInputChannelList, path,
};
use reqwest::{Method, Url};
use tokio::sync::mpsc;

use self::client::{Client, Failure};
use self::facts::{Abilities, Channel, Motor};
use self::speaker::OpenSpeaker;
use self::storage::Clock;
use crate::dial::Dialer;
use crate::driver::{
    ChannelNo, DeviceFacts, Driver, DriverError, Login, Mirror, Position, PresetNo, Quality, Recording, ReplayAsk,
    SNAPSHOT_BYTES_MAX, Speaker, Velocity, is_jpeg,
};

/// RTSP's port where the device does not tell (RFC 2326 §9.2).
const RTSP_PORT: u16 = 554;
/// Channels of a recorder whose abilities are asked at once: four requests each, within the time of one
/// probe. Recorders mostly have cameras of a kind.
const LOOKED_AT: usize = 4;
/// Tenths of a degree by which a motor has surely moved.
const MOVED: i32 = 5;

/// A camera or recorder that speaks ISAPI.
pub struct IsapiDriver {
    client: Arc<Client>,
    dialer: Dialer,
    login: Option<Login>,
    /// What the last look at it found; none before the first.
    session: Mutex<Option<Arc<Session>>>,
    tilts: Mutex<BTreeMap<ChannelNo, Tilt>>,
    /// How it tells time, as the footage of each channel shows.
    clocks: Mutex<BTreeMap<ChannelNo, Clock>>,
}

/// What a look at the device found.
struct Session {
    rtsp_port: u16,
    channels: Vec<Channel>,
    /// Cameras are elsewhere, and it passes on what it is told.
    recorder: bool,
    speakers: Vec<TwoWayAudioChannel>,
    /// What was asked so far.
    abilities: Mutex<BTreeMap<ChannelNo, Arc<Abilities>>>,
}

/// Which way up is. Elevation grows downwards on ceiling mounts and upwards on others, and no document
/// tells; a motor that was told to look up shows it.
#[derive(Default)]
struct Tilt {
    /// Where it stood last.
    elevation: Option<i32>,
    /// Where it stood when it was told to tilt, and whether up.
    told: Option<(i32, bool)>,
    grows_upwards: Option<bool>,
}

impl Tilt {
    /// It is told to tilt, or (zero) to do something else.
    fn start(&mut self, tilt: f32) {
        self.told = self.elevation.filter(|_| tilt != 0.0).map(|elevation| (elevation, tilt > 0.0));
    }

    /// It stands there.
    fn observe(&mut self, elevation: i32) {
        self.elevation = Some(elevation);
        if let Some((before, up)) = self.told
            && elevation.abs_diff(before) > MOVED as u32
        {
            self.grows_upwards = Some((elevation > before) == up);
            self.told = None;
        }
    }
}

/// The address as people write it: `http://host[:port]`, or a host with or without port.
///
/// # Errors
/// `AddressRefused` if it is no HTTP address, or holds a login, which has its own place.
fn base(address: &str) -> Result<Url, DriverError> {
    let mut url = crate::http::address(address, "")?;
    // Paths are ISAPI's own.
    url.set_path("/");
    url.set_query(None);
    Ok(url)
}

impl IsapiDriver {
    /// A driver for the device at `address`: `http://host[:port]`.
    ///
    /// # Errors
    /// `AddressRefused` if that is no such address.
    pub fn new(dialer: Dialer, address: &str, login: Option<Login>) -> Result<IsapiDriver, DriverError> {
        Ok(IsapiDriver {
            client: Arc::new(Client::new(dialer.clone(), base(address)?, login.clone())),
            dialer,
            login,
            session: Mutex::new(None),
            tilts: Mutex::default(),
            clocks: Mutex::default(),
        })
    }

    /// Looks at the whole device. One request after the other: small web servers take few at a time.
    async fn look(&self) -> Result<(Arc<Session>, DeviceFacts), DriverError> {
        let about: DeviceInfo = self.client.get(path::DEVICE_INFO).await.map_err(|failure| match failure {
            Failure::Refused(proto::isapi::Refusal::NotSupported, _) => DriverError::Protocol {
                step: "deviceInfo",
                cause: "it does not speak ISAPI, or it is switched off there".into(),
            },
            failure => failure.at("deviceInfo"),
        })?;
        let inputs = Failure::optional(self.client.get::<VideoInputChannelList>(path::VIDEO_INPUTS).await)?;
        let proxies = Failure::optional(self.client.get::<InputProxyChannelList>(path::INPUT_PROXIES).await)?;
        let recorder = proxies.as_ref().is_some_and(|list| !list.channels.is_empty());
        let streams = Failure::optional(self.client.get::<StreamingChannelList>(path::STREAMS).await)?;
        let rtsp_port = match self.told_port().await? {
            Some(port) => port,
            None => streams.as_ref().and_then(facts::rtsp_port).unwrap_or(RTSP_PORT),
        };
        let channels = facts::channels(inputs, proxies, streams);
        if channels.is_empty() {
            return Err(DriverError::Protocol { step: "channels", cause: "it has no channel".into() });
        }
        let speakers = Failure::optional(self.client.get::<TwoWayAudioChannelList>(path::TWO_WAY_AUDIO).await)?;
        let speakers = speakers.map(|list| list.channels).unwrap_or_default();
        let session = Session { rtsp_port, channels, recorder, speakers, abilities: Mutex::default() };

        let absent = if recorder { self.absent().await? } else { Vec::new() };
        let present = |channel: &&Channel| !absent.contains(&i32::from(channel.no.0));
        let mut abilities = Vec::new();
        for channel in session.channels.iter().filter(present).take(LOOKED_AT) {
            abilities.push((*self.abilities(&session, channel.no).await?).clone());
        }
        let capture = match session.channels.iter().find(present) {
            None => false,
            Some(channel) if channel.snapshot => true,
            Some(channel) => Failure::optional(self.picture(channel.no).await)?.is_some(),
        };
        let talks = |channel: &Channel| {
            facts::speaker(&session.speakers, channel.no, recorder).and_then(speaker::law).is_some()
        };
        let talk = session.channels.iter().any(talks);

        let known = |text: Option<String>| text.filter(|text| !text.is_empty());
        let firmware = [about.firmware_version.clone(), about.firmware_released_date.clone()];
        let firmware: Vec<String> = firmware.into_iter().filter_map(known).collect();
        let serial = about.short_serial().map(str::to_owned).or_else(|| about.serial_number.clone());
        let facts = DeviceFacts {
            manufacturer: known(about.manufacturer),
            model: known(about.model),
            firmware: known(Some(firmware.join(" "))),
            serial: known(serial),
            channels: session.channels.iter().map(Channel::facts).collect(),
            capabilities: facts::capabilities(&abilities, capture, talk, self.has_storage().await?),
        };
        let session = Arc::new(session);
        *self.known() = Some(session.clone());
        Ok((session, facts))
    }

    /// Port of RTSP as the list of ports tells it.
    async fn told_port(&self) -> Result<Option<u16>, DriverError> {
        let list = Failure::optional(self.client.get::<AdminAccessProtocolList>(path::ADMIN_ACCESSES).await)?;
        let mut protocols = list.into_iter().flat_map(|list| list.protocols);
        let rtsp = protocols.find(|it| it.protocol.eq_ignore_ascii_case("RTSP") && it.enabled != Some(false));
        Ok(rtsp.and_then(|rtsp| u16::try_from(rtsp.port?).ok()).filter(|port| *port != 0))
    }

    /// Channels of a recorder whose cameras are not there. Asking them would take the recorder's patience.
    async fn absent(&self) -> Result<Vec<i32>, DriverError> {
        let list = Failure::optional(self.client.get::<InputProxyChannelStatusList>(path::INPUT_PROXY_STATUS).await)?;
        let channels = list.into_iter().flat_map(|list| list.channels);
        Ok(channels.filter(|channel| channel.online == Some(false)).map(|channel| channel.id).collect())
    }

    /// What a channel can do, asked once.
    async fn abilities(&self, session: &Session, channel: ChannelNo) -> Result<Arc<Abilities>, DriverError> {
        session.channel(channel)?;
        let asked = session.abilities.lock().expect("no panic while it is locked").get(&channel).cloned();
        if let Some(asked) = asked {
            return Ok(asked);
        }
        let ptz = format!("{}/{channel}", path::PTZ);
        let motor = match Failure::optional(self.client.get::<PtzChannelCap>(&format!("{ptz}/capabilities")).await)? {
            None => None,
            Some(cap) => {
                let presets = self.client.get::<PtzPresetList>(&presets_path(channel)).await;
                Motor::of(cap, Failure::optional(presets)?.is_some())
            }
        };
        let (flips, flip_path) = self.flips(channel).await?;
        let mask = Failure::optional(self.client.get::<PrivacyMask>(&mask_path(channel)).await)?.is_some();
        let abilities = Arc::new(Abilities { motor, flips, flip_path, mask });
        session.abilities.lock().expect("no panic while it is locked").insert(channel, abilities.clone());
        Ok(abilities)
    }

    /// How the picture can be mirrored, and where. The resource has a capital on older firmware.
    async fn flips(&self, channel: ChannelNo) -> Result<(Vec<Flip>, String), DriverError> {
        for name in ["imageFlip", "ImageFlip"] {
            let path = format!("{}/{channel}/{name}", path::IMAGE);
            if Failure::optional(self.client.get::<ImageFlip>(&path).await)?.is_some() {
                let cap = self.client.get::<ImageFlipCap>(&format!("{path}/capabilities")).await;
                return Ok((facts::flips(Failure::optional(cap)?.as_ref()), path));
            }
        }
        Ok((Vec::new(), String::new()))
    }

    async fn picture(&self, channel: ChannelNo) -> Result<Vec<u8>, Failure> {
        let path = format!("{}/{}/picture", path::STREAMS, path::stream_id(channel.0, false));
        let picture = self.client.bytes(&path, SNAPSHOT_BYTES_MAX).await?;
        if !is_jpeg(&picture) {
            let cause = if picture.is_empty() { "it sends an empty picture" } else { "what it sends is no JPEG" };
            return Err(Failure::Broken(DriverError::Protocol { step: "picture", cause: cause.into() }));
        }
        Ok(picture)
    }

    fn known(&self) -> MutexGuard<'_, Option<Arc<Session>>> {
        self.session.lock().expect("no panic while the session is locked")
    }

    async fn session(&self) -> Result<Arc<Session>, DriverError> {
        let known = self.known().clone();
        match known {
            Some(session) => Ok(session),
            None => Ok(self.look().await?.0),
        }
    }

    async fn able(&self, channel: ChannelNo) -> Result<Arc<Abilities>, DriverError> {
        let session = self.session().await?;
        self.abilities(&session, channel).await
    }

    fn tilt<T>(&self, channel: ChannelNo, act: impl FnOnce(&mut Tilt) -> T) -> T {
        act(self.tilts.lock().expect("no panic while it is locked").entry(channel).or_default())
    }

    /// Sets the motor moving; zeros stop it.
    async fn drive(&self, channel: ChannelNo, [pan, tilt, zoom]: [i32; 3]) -> Result<(), DriverError> {
        let path = format!("{}/{channel}/continuous", path::PTZ);
        self.client.put(&path, &PtzData { pan, tilt, zoom }).await.map_err(|failure| failure.at("ptz"))
    }

    async fn status(&self, channel: ChannelNo) -> Result<PtzStatus, DriverError> {
        self.client.get(&format!("{}/{channel}/status", path::PTZ)).await.map_err(|failure| failure.at("ptz"))
    }

    /// The presets that are set.
    async fn presets(&self, channel: ChannelNo) -> Result<Vec<PtzPreset>, DriverError> {
        let list = self.client.get::<PtzPresetList>(&presets_path(channel)).await;
        Ok(list.map_err(|failure| failure.at("preset"))?.presets)
    }

    /// The motor, and the preset of that number: a place, which is set.
    async fn preset(&self, channel: ChannelNo, preset: PresetNo) -> Result<PtzPreset, DriverError> {
        let abilities = self.able(channel).await?;
        let motor = abilities.motor.as_ref().filter(|motor| motor.presets).ok_or(DriverError::Unsupported)?;
        if !motor.keeps(preset.0) {
            return Err(DriverError::PresetUnknown);
        }
        let presets = self.presets(channel).await?;
        facts::set(&presets, preset.0).cloned().ok_or(DriverError::PresetUnknown)
    }

    async fn read_mask(&self, channel: ChannelNo) -> Result<PrivacyMask, DriverError> {
        let session = self.session().await?;
        session.channel(channel)?;
        self.client.get(&mask_path(channel)).await.map_err(|failure| failure.at("mask"))
    }
}

fn presets_path(channel: ChannelNo) -> String {
    format!("{}/{channel}/presets", path::PTZ)
}

fn mask_path(channel: ChannelNo) -> String {
    format!("{}/{channel}/privacyMask", path::VIDEO_INPUTS)
}

/// Covers or uncovers the whole picture by one region; the others, which hide a neighbour's window, are
/// left as they are. None if it is so already.
fn covered(mut mask: PrivacyMask, cover: bool) -> Option<PrivacyMask> {
    let whole = mask.regions.iter().position(|region| mask.is_whole(region));
    let covers = mask.enabled && whole.is_some_and(|at| mask.regions[at].enabled);
    if covers == cover {
        return None;
    }
    if !cover {
        for at in 0..mask.regions.len() {
            if mask.is_whole(&mask.regions[at]) {
                mask.regions[at].enabled = false;
            }
        }
        mask.enabled = mask.regions.iter().any(|region| region.enabled);
        return Some(mask);
    }
    let corners = mask.whole();
    let free = whole.or_else(|| mask.regions.iter().position(|region| !region.enabled));
    match free {
        Some(at) => {
            let region = &mut mask.regions[at];
            (region.enabled, region.corners) = (true, corners);
        }
        None => {
            let id = mask.regions.iter().map(|region| region.id).max().unwrap_or(0).saturating_add(1);
            mask.regions.push(PrivacyMaskRegion { id, enabled: true, corners });
        }
    }
    mask.enabled = true;
    Some(mask)
}

impl Session {
    fn channel(&self, no: ChannelNo) -> Result<&Channel, DriverError> {
        self.channels.iter().find(|channel| channel.no == no).ok_or(DriverError::Unsupported)
    }

    /// Number of a stream. A channel with one stream has it in both qualities.
    fn stream(&self, no: ChannelNo, quality: Quality) -> Result<(u16, bool), DriverError> {
        let channel = self.channel(no)?;
        Ok((no.0, quality == Quality::Sub && channel.sub.is_some()))
    }
}

#[async_trait]
impl Driver for IsapiDriver {
    async fn probe(&self) -> Result<DeviceFacts, DriverError> {
        self.look().await.map(|(_, facts)| facts)
    }

    async fn ping(&self) -> Result<(), DriverError> {
        let about = self.client.get::<DeviceInfo>(path::DEVICE_INFO).await;
        about.map(drop).map_err(|failure| failure.at("deviceInfo"))
    }

    async fn live(&self, channel: ChannelNo, quality: Quality, writer: &mut StreamWriter) -> Result<(), DriverError> {
        let session = self.session().await?;
        let (no, sub) = session.stream(channel, quality)?;
        let host = self.client.base().host_str().unwrap_or_default();
        let url = format!("rtsp://{host}:{}{}", session.rtsp_port, path::rtsp(no, sub));
        crate::rtsp::pull(&self.dialer, &url, self.login.as_ref(), writer).await
    }

    async fn request_key_frame(&self, channel: ChannelNo, quality: Quality) -> Result<(), DriverError> {
        let (no, sub) = self.session().await?.stream(channel, quality)?;
        let path = format!("{}/{}/requestKeyFrame", path::STREAMS, path::stream_id(no, sub));
        self.client.command(Method::PUT, &path).await.map_err(|failure| failure.at("key frame"))
    }

    async fn ptz_start(&self, channel: ChannelNo, velocity: Velocity) -> Result<(), DriverError> {
        let abilities = self.able(channel).await?;
        let motor = abilities.motor.as_ref().ok_or(DriverError::Unsupported)?;
        let speeds = motor.velocity(velocity);
        if speeds == [0; 3] {
            return Err(DriverError::Unsupported);
        }
        self.tilt(channel, |tilt| tilt.start(velocity.tilt));
        self.drive(channel, speeds).await
    }

    async fn ptz_stop(&self, channel: ChannelNo) -> Result<(), DriverError> {
        // Without asking first what it can: a motor that moves has to be stopped.
        self.session().await?.channel(channel)?;
        self.drive(channel, [0; 3]).await
    }

    async fn position(&self, channel: ChannelNo) -> Result<Position, DriverError> {
        let abilities = self.able(channel).await?;
        let motor = abilities.motor.as_ref().ok_or(DriverError::Unsupported)?;
        let at = self.status(channel).await?.position.ok_or(DriverError::Unsupported)?;
        let grows_upwards = self.tilt(channel, |tilt| {
            if let Some(elevation) = at.elevation {
                tilt.observe(elevation);
            }
            tilt.grows_upwards
        });
        let [pan, elevation, zoom] = motor.place(&at);
        let tilt = elevation.zip(grows_upwards).map(|(share, upwards)| if upwards { share } else { -share });
        Ok(Position { pan, tilt, zoom })
    }

    async fn preset_add(&self, channel: ChannelNo) -> Result<PresetNo, DriverError> {
        let abilities = self.able(channel).await?;
        let motor = abilities.motor.as_ref().filter(|motor| motor.presets).ok_or(DriverError::Unsupported)?;
        let number = motor.free_preset(&self.presets(channel).await?).ok_or(DriverError::PresetsFull)?;
        let preset = PtzPreset {
            enabled: Some(true),
            id: i32::from(number),
            name: Some(format!("Preset {number}")),
            position: None,
        };
        let path = format!("{}/{number}", presets_path(channel));
        self.client.put(&path, &preset).await.map_err(|failure| failure.at("preset"))?;
        Ok(PresetNo(number))
    }

    async fn preset_move(&self, channel: ChannelNo, preset: PresetNo) -> Result<(), DriverError> {
        let found = self.preset(channel, preset).await?;
        if let Some(place) = &found.position
            && let Ok(PtzStatus { position: Some(at) }) = self.status(channel).await
            && facts::near(place, &at)
        {
            return Err(DriverError::PresetReached);
        }
        self.tilt(channel, |tilt| tilt.start(0.0));
        let path = format!("{}/{}/goto", presets_path(channel), preset.0);
        self.client.command(Method::PUT, &path).await.map_err(|failure| failure.at("preset"))
    }

    async fn preset_clear(&self, channel: ChannelNo, preset: PresetNo) -> Result<(), DriverError> {
        self.preset(channel, preset).await?;
        let path = format!("{}/{}", presets_path(channel), preset.0);
        self.client.command(Method::DELETE, &path).await.map_err(|failure| failure.at("preset"))
    }

    async fn mirror(&self, channel: ChannelNo, mirror: Mirror) -> Result<(), DriverError> {
        let abilities = self.able(channel).await?;
        let about = match mirror {
            Mirror::LeftRight => Flip { horizontal: true, vertical: false },
            Mirror::UpDown => Flip { horizontal: false, vertical: true },
            Mirror::Centre => Flip { horizontal: true, vertical: true },
        };
        if !abilities.flips.contains(&about) {
            return Err(DriverError::Unsupported);
        }
        let refused = |failure: Failure| failure.at("mirror");
        let now = self.client.get::<ImageFlip>(&abilities.flip_path).await.map_err(refused)?;
        // A style that follows the mounting by itself begins anew.
        let then = now.flip().unwrap_or_default().and_then(about);
        if then != Flip::default() && !abilities.flips.contains(&then) {
            let cause = "it cannot be mirrored about both axes".into();
            return Err(DriverError::Refused { step: "mirror", cause });
        }
        self.client.put(&abilities.flip_path, &ImageFlip::from(then)).await.map_err(refused)
    }

    async fn mask(&self, channel: ChannelNo) -> Result<bool, DriverError> {
        let mask = self.read_mask(channel).await?;
        Ok(mask.enabled && mask.regions.iter().any(|region| region.enabled && mask.is_whole(region)))
    }

    async fn set_mask(&self, channel: ChannelNo, cover: bool) -> Result<(), DriverError> {
        match covered(self.read_mask(channel).await?, cover) {
            None => Ok(()),
            Some(mask) => self.client.put(&mask_path(channel), &mask).await.map_err(|failure| failure.at("mask")),
        }
    }

    async fn snapshot(&self, channel: ChannelNo) -> Result<Bytes, DriverError> {
        self.session().await?.channel(channel)?;
        self.picture(channel).await.map(Bytes::from).map_err(|failure| failure.at("picture"))
    }

    async fn open_speaker(&self, channel: ChannelNo) -> Result<Box<dyn Speaker>, DriverError> {
        let session = self.session().await?;
        session.channel(channel)?;
        let found = facts::speaker(&session.speakers, channel, session.recorder).ok_or(DriverError::Unsupported)?;
        let law = speaker::law(found).ok_or(DriverError::Unsupported)?;
        Ok(Box::new(OpenSpeaker::open(self.client.clone(), found.id, law).await?))
    }

    async fn recordings(
        &self,
        channel: ChannelNo,
        from: UnixMicros,
        to: UnixMicros,
    ) -> Result<Vec<Recording>, DriverError> {
        self.files(channel, from, to).await
    }

    async fn replay(&self, channel: ChannelNo, ask: ReplayAsk, out: mpsc::Sender<Item>) -> Result<(), DriverError> {
        self.play_back(channel, ask, &out).await
    }
}
