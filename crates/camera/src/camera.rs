//! A running camera.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use av::{CodecParameters, Pcm, Track, TrackId};
use proto::onvif::replay as replay_service;
use proto::rtsp::server::{Auth, ServerSettings};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info, info_span, warn};

use crate::channel::Channel;
use crate::clock::Clock;
use crate::config::{Config, Quality};
use crate::encoder::VideoEncoder;
use crate::faults::Faults;
use crate::feed::{Feed, Stream};
use crate::http::Site;
use crate::live::VideoSource;
use crate::login::{self, Login};
use crate::ptz::Status;
use crate::replay::Clip;
use crate::sdcard::{self, Card};
use crate::sound::SoundEncoder;
use crate::stats::{Counters, Stats};
use crate::{Error, discovery, http, isapi, live, onvif, replay, rtsp, speaker};

/// Ticks a second of video timestamps (RFC 6184 §8.2.1).
const VIDEO_CLOCK: u32 = 90_000;

/// A camera that is on. Dropping it switches it off without waiting.
pub struct Camera {
    config: Arc<Config>,
    http: SocketAddr,
    rtsp: SocketAddr,
    counters: Arc<Counters>,
    channels: Vec<Arc<Channel>>,
    card: Option<Arc<Card>>,
    faults: Faults,
    cancel: CancellationToken,
    tasks: JoinSet<()>,
}

impl Camera {
    /// Switches a camera on: when this returns, it listens on all its sockets.
    ///
    /// # Errors
    /// If the configuration is impossible, a port is taken, or the file to replay is unusable.
    pub async fn start(config: Config) -> Result<Camera, Error> {
        let clip = {
            let config = config.clone();
            live::blocking(move || replay::load(&config)).await?
        };
        Camera::start_with(config, clip).await
    }

    /// Switches on several cameras that replay one file: the file is held once.
    ///
    /// # Errors
    /// As [`Camera::start`]; those already on are switched off again.
    pub async fn start_all(configs: Vec<Config>) -> Result<Vec<Camera>, Error> {
        let mut clips: BTreeMap<_, Arc<Clip>> = BTreeMap::new();
        let mut cameras = Vec::with_capacity(configs.len());
        for config in configs {
            let clip = match &config.replay {
                None => None,
                Some(path) => match clips.get(path) {
                    Some(clip) => Some(clip.clone()),
                    None => {
                        let loading = config.clone();
                        let clip = live::blocking(move || replay::load(&loading)).await?;
                        clips.extend(clip.clone().map(|clip| (path.clone(), clip)));
                        clip
                    }
                },
            };
            cameras.push(Camera::start_with(config, clip).await?);
        }
        Ok(cameras)
    }

    async fn start_with(config: Config, clip: Option<Arc<Clip>>) -> Result<Camera, Error> {
        config.check()?;
        let config = Arc::new(config);
        let http_listener = listen(config.listen, config.http_port).await?;
        let rtsp_listener = listen(config.listen, config.rtsp_port).await?;
        let discovery = config.discovery.then(|| discovery::listen(config.listen)).transpose()?;
        let local = |listener: &TcpListener| listener.local_addr().expect("a bound socket has an address");
        let card = match config.card.clone() {
            None => None,
            Some(mut card) => {
                // The street in a sample would not be what the file shows.
                card.samples &= clip.is_none();
                let channels = config.channels;
                Some(Arc::new(live::blocking(move || Card::insert(card, channels)).await?))
            }
        };
        let clock = Clock::start(config.clock_ahead_s);
        let counters: Arc<Counters> = Arc::default();
        let faults = Faults::default();
        let streams = match &clip {
            Some(clip) => replayed(clip, config.channels),
            None => live(&config).await?,
        };
        let channels: Vec<_> = (1..)
            .zip(streams)
            .map(|(number, streams)| {
                Arc::new(Channel::new(number, config.clone(), clock, counters.clone(), clip.clone(), streams))
            })
            .collect();
        let mut camera = Camera {
            http: local(&http_listener),
            rtsp: local(&rtsp_listener),
            counters: counters.clone(),
            channels: channels.clone(),
            card: card.clone(),
            faults: faults.clone(),
            cancel: CancellationToken::new(),
            tasks: JoinSet::new(),
            config: config.clone(),
        };
        let login = Login::new(&config, clock, faults.clone());
        let password = Box::new(move |user: &str| login.password(user));
        let settings = ServerSettings {
            name: concat!("fluorite-camera/", env!("CARGO_PKG_VERSION")).into(),
            auth: Some(Auth { verifier: login::verifier(), password }),
            session_timeout: rtsp::SESSION_TIMEOUT,
            features: [rtsp::BACK_CHANNEL, replay_service::FEATURE].map(str::to_owned).into(),
        };
        let shared = rtsp::Shared {
            listen: config.listen,
            name: config.name.clone(),
            channels: channels.clone(),
            settings: Arc::new(settings),
            card: card.clone(),
            replays: Arc::new(Semaphore::new(config.replays_max)),
            clock,
            faults: faults.clone(),
            counters: counters.clone(),
            connections_max: config.connections_max,
        };
        let site = Site {
            config: config.clone(),
            channels,
            login: Login::new(&config, clock, faults.clone()),
            clock,
            faults,
            http_port: camera.http.port(),
            rtsp_port: camera.rtsp.port(),
            card: card.clone(),
            searches: onvif::Searches::default(),
            talks: isapi::Sessions::default(),
            counters,
        };
        match clip {
            Some(clip) => camera.replay(clip, clock),
            None => camera.draw(clock),
        }
        camera.record();
        let (http, cancel) = (camera.http, camera.cancel.clone());
        camera.spawn(rtsp::serve(rtsp_listener, Arc::new(shared), cancel.clone()));
        camera.spawn(http::serve(http_listener, Arc::new(site), cancel.clone()));
        if let Some(socket) = discovery {
            camera.spawn(async move { discovery::serve(socket, &config, http, cancel).await });
        }
        info!(serial = camera.config.serial, onvif = camera.onvif_url(), "camera is on");
        Ok(camera)
    }

    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        let span = info_span!("camera", serial = self.config.serial);
        self.tasks.spawn(task.instrument(span));
    }

    /// Draws and encodes for whoever watches.
    fn draw(&mut self, clock: Clock) {
        for channel in self.channels.clone() {
            for quality in Quality::ALL {
                let source = VideoSource { channel: channel.clone(), quality };
                self.spawn(source.run(self.cancel.clone()));
            }
        }
        let first = &self.channels[0];
        // Drawn ahead of the first viewer, who shall not wait for it.
        self.tasks.spawn_blocking(first.prepare());
        if let Some(feed) = first.stream(Quality::Main).sound.clone() {
            self.spawn(live::run_sound(feed, self.config.sound, clock, self.cancel.clone()));
        }
    }

    /// Records on the card, if there is one, and puts on it what a new one holds.
    fn record(&mut self) {
        let Some(card) = self.card.clone() else { return };
        for channel in self.channels.clone() {
            self.spawn(sdcard::record(card.clone(), channel, self.cancel.clone()));
        }
        if !card.is_ready() {
            let (channels, cancel) = (self.channels.clone(), self.cancel.clone());
            self.tasks.spawn_blocking(move || {
                if let Err(error) = sdcard::make_samples(&card, &channels, &cancel) {
                    warn!(%error, "a new card has no samples");
                }
            });
        }
    }

    /// Sends a file to whoever watches.
    fn replay(&mut self, clip: Arc<Clip>, clock: Clock) {
        for channel in self.channels.clone() {
            let stream = channel.stream(Quality::Main).clone();
            self.spawn(replay::run(clip.clone(), stream, clock, self.cancel.clone()));
        }
    }

    /// What it was started with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where HTTP listens.
    pub fn http_address(&self) -> SocketAddr {
        self.http
    }

    /// Where RTSP listens.
    pub fn rtsp_address(&self) -> SocketAddr {
        self.rtsp
    }

    /// Address of the ONVIF device service.
    pub fn onvif_url(&self) -> String {
        format!("http://{}/onvif/device_service", self.http)
    }

    /// RTSP address of a stream of the first channel, without login.
    pub fn rtsp_url(&self, quality: Quality) -> String {
        format!("rtsp://{}/{}", self.rtsp, quality.name())
    }

    /// A video source, by its number from 1.
    pub fn channel(&self, number: u16) -> Option<&Channel> {
        Some(self.channels.get(usize::from(number).checked_sub(1)?)?)
    }

    /// What the speaker of a channel has heard since the start; of an absent channel nothing.
    pub fn heard(&self, channel: u16) -> Pcm {
        let none = || Pcm { sample_rate: speaker::SAMPLE_RATE, samples: Vec::new() };
        self.channel(channel).map_or_else(none, |channel| channel.speaker().heard())
    }

    /// The SD card in its slot.
    pub fn card(&self) -> Option<&Card> {
        self.card.as_deref()
    }

    /// The switch for its faults.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Its numbers now.
    pub fn stats(&self) -> Stats {
        self.counters.read()
    }

    /// Where its first channel looks now.
    pub fn ptz_status(&self) -> Status {
        self.channels[0].ptz_status()
    }

    /// Switches it off and waits until all its tasks have ended and its ports are free.
    pub async fn stop(mut self) {
        self.cancel.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Streams to be drawn, both of each channel; all channels have one microphone.
async fn live(config: &Config) -> Result<Vec<[Stream; 2]>, Error> {
    let sound = SoundEncoder::new(config.sound)?.map(|encoder| {
        let track = Track { id: TrackId::AUDIO, codec: encoder.parameters(), clock_rate: encoder.sample_rate() };
        Arc::new(Feed::new(track))
    });
    let track = async |quality| {
        let video = config.video(quality);
        let parameters = live::blocking(move || VideoEncoder::parameters(&video)).await?;
        Ok::<_, Error>(Track { id: TrackId::VIDEO, codec: CodecParameters::H264(parameters), clock_rate: VIDEO_CLOCK })
    };
    let tracks: [Track; 2] = [track(Quality::Main).await?, track(Quality::Sub).await?];
    let streams = || {
        let stream = |track: &Track| Stream { video: Arc::new(Feed::new(track.clone())), sound: sound.clone() };
        tracks.each_ref().map(stream)
    };
    Ok((0..config.channels).map(|_| streams()).collect())
}

/// Streams to be replayed: both qualities of a channel are one.
fn replayed(clip: &Clip, channels: u16) -> Vec<[Stream; 2]> {
    let streams = |_| {
        let mut feeds = clip.tracks.iter().map(|track| Arc::new(Feed::new(track.clone())));
        let video = feeds.next().expect("a clip has pictures");
        let stream = Stream { video, sound: feeds.next() };
        [stream.clone(), stream]
    };
    (0..channels).map(streams).collect()
}

async fn listen(ip: IpAddr, port: u16) -> Result<TcpListener, Error> {
    let address = SocketAddr::new(ip, port);
    TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })
}
