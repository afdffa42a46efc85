//! ONVIF for control, RTSP for media: what most network cameras speak.

mod client;
mod facts;
mod xaddr;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use media::StreamWriter;
use proto::onvif::schema::{
    FloatRange, PtzSpeed, StreamSetup, StreamType, Transport, TransportProtocol, Vector1D, Vector2D,
};
use proto::onvif::{Operation, device, imaging, media as onvif_media, ns, ptz};
use reqwest::Url;

use self::client::Client;
use self::facts::{Channel, Motor};
use crate::dial::Dialer;
use crate::driver::{ChannelNo, DeviceFacts, Driver, DriverError, Login, Quality, Velocity};

/// A camera that speaks ONVIF.
pub struct OnvifDriver {
    client: Client,
    dialer: Dialer,
    login: Option<Login>,
    /// Address of the device service, as it is dialled.
    device: Url,
    /// What the last look at it found; none before the first.
    session: Mutex<Option<Arc<Session>>>,
}

/// What a look at the camera found.
struct Session {
    media: Url,
    ptz: Option<(Url, Motor)>,
    channels: Vec<Channel>,
}

/// Addresses of the services, as the camera tells them.
#[derive(Default)]
struct Services {
    media: Option<String>,
    ptz: Option<String>,
    imaging: Option<String>,
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
            dialer,
            login,
            device: xaddr::device_service(address)?,
            session: Mutex::new(None),
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
                    ns::TPTZ => found.ptz = Some(service.xaddr),
                    ns::TIMG => found.imaging = Some(service.xaddr),
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
        let ability = optional(self.call(&media, &onvif_media::GetServiceCapabilities {}).await)?;
        let rotation = ability.is_some_and(|answer| answer.capabilities.rotation == Some(true));

        let mut motor = None;
        if let Some(url) = services.ptz.as_ref().map(here).transpose()? {
            let nodes =
                optional(self.call(&url, &ptz::GetNodes {}).await)?.map(|answer| answer.nodes).unwrap_or_default();
            let wanted = channels.iter().find_map(|channel| channel.ptz_node.as_ref());
            let node = nodes.iter().find(|node| Some(&node.token) == wanted).or(nodes.first());
            motor = node.map(|node| (url, Motor::of(node)));
        }
        let mut image = false;
        if let Some(url) = services.imaging.as_ref().map(here).transpose()? {
            let ask = imaging::GetOptions { video_source_token: channels[0].source.clone() };
            let options = optional(self.call(&url, &ask).await)?.map(|answer| answer.imaging_options);
            image = options.is_some_and(|options| options.brightness.is_some());
        }
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
            capabilities: facts::capabilities(&channels, motor.as_ref().map(|(_, motor)| motor), rotation, image),
        };
        let session = Arc::new(Session { media, ptz: motor, channels });
        *self.session.lock().expect("no panic while the session is locked") = Some(session.clone());
        Ok((session, facts))
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
        let ask = onvif_media::GetStreamUri {
            stream_setup: StreamSetup {
                stream: StreamType::RtpUnicast,
                transport: Transport { protocol: TransportProtocol::Rtsp },
            },
            profile_token: session.profile(channel, quality)?.to_owned(),
        };
        let answer = self.call(&session.media, &ask).await;
        if matches!(answer, Err(DriverError::Protocol { .. })) {
            // The profile may be gone with the next configuration; look again next time.
            *self.session.lock().expect("no panic while the session is locked") = None;
        }
        xaddr::media(&answer?.media_uri.uri, &self.device)
    }

    /// Starts moving the motor of a channel, until [`ptz_stop`](Self::ptz_stop) or the camera's own time
    /// limit. An axis the motor lacks is left out.
    ///
    /// # Errors
    /// `Unsupported` if the channel has no motor, or none for what is asked.
    pub async fn ptz_move(&self, channel: ChannelNo, velocity: Velocity) -> Result<(), DriverError> {
        let session = self.session().await?;
        let (url, motor, profile_token) = session.motor(channel)?;
        let pan_tilt = motor.pan_tilt.as_ref().filter(|_| velocity.pan != 0.0 || velocity.tilt != 0.0);
        let pan_tilt = pan_tilt.map(|space| Vector2D {
            x: scale(velocity.pan, space.x_range),
            y: scale(velocity.tilt, space.y_range),
            space: Some(space.uri.clone()),
        });
        let zoom = motor.zoom.as_ref().filter(|_| velocity.zoom != 0.0);
        let zoom =
            zoom.map(|space| Vector1D { x: scale(velocity.zoom, space.x_range), space: Some(space.uri.clone()) });
        if pan_tilt.is_none() && zoom.is_none() {
            return Err(DriverError::Unsupported);
        }
        let velocity = PtzSpeed { pan_tilt, zoom };
        self.call(url, &ptz::ContinuousMove { profile_token, velocity, timeout: None }).await.map(drop)
    }

    /// Stops the motor of a channel.
    ///
    /// # Errors
    /// `Unsupported` if the channel has none.
    pub async fn ptz_stop(&self, channel: ChannelNo) -> Result<(), DriverError> {
        let session = self.session().await?;
        let (url, motor, profile_token) = session.motor(channel)?;
        let stop =
            ptz::Stop { profile_token, pan_tilt: Some(motor.pan_tilt.is_some()), zoom: Some(motor.zoom.is_some()) };
        self.call(url, &stop).await.map(drop)
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

    fn motor(&self, no: ChannelNo) -> Result<(&Url, &Motor, String), DriverError> {
        let channel = self.channel(no)?;
        let (url, motor) = self.ptz.as_ref().filter(|_| channel.ptz_node.is_some()).ok_or(DriverError::Unsupported)?;
        Ok((url, motor, channel.main.profile.clone()))
    }
}

/// A share of −1 to 1 in the device's own range, whose zero stands still.
fn scale(share: f32, range: FloatRange) -> f32 {
    let share = share.clamp(-1.0, 1.0);
    share * if share < 0.0 { range.min.abs() } else { range.max.abs() }
}

/// An answer that may be missing: the camera does not have the operation, keeps it for administrators,
/// or botches it. That it cannot be reached stays an error.
fn optional<T>(answer: Result<T, DriverError>) -> Result<Option<T>, DriverError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(DriverError::Unsupported | DriverError::LoginRefused | DriverError::Protocol { .. }) => Ok(None),
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
        crate::rtsp::pull(&self.dialer, url.as_str(), self.login.as_ref(), writer).await
    }

    async fn request_key_frame(&self, channel: ChannelNo, quality: Quality) -> Result<(), DriverError> {
        let session = self.session().await?;
        let profile_token = session.profile(channel, quality)?.to_owned();
        self.call(&session.media, &onvif_media::SetSynchronizationPoint { profile_token }).await.map(drop)
    }
}
