//! A running camera.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use av::{CodecParameters, Track, TrackId};
use proto::digest::{Algorithm, Verifier};
use proto::rtsp::server::{Auth, ServerSettings};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info, info_span};

use crate::clock::Clock;
use crate::config::{Config, Quality};
use crate::encoder::{Caption, VideoEncoder};
use crate::feed::{Feed, Stream};
use crate::lens::Lens;
use crate::live::{self, VideoSource};
use crate::onvif::Services;
use crate::ptz::{Ptz, Status};
use crate::replay::Clip;
use crate::scene::Scene;
use crate::sound::SoundEncoder;
use crate::stats::{Counters, Stats};
use crate::{Error, discovery, http, replay, rtsp};

/// Ticks a second of video timestamps (RFC 6184 §8.2.1).
const VIDEO_CLOCK: u32 = 90_000;
/// A viewer over UDP that sends no report for this long is gone.
const SESSION_TIMEOUT: Duration = Duration::from_secs(60);

/// A camera that is on. Dropping it switches it off without waiting.
pub struct Camera {
    config: Arc<Config>,
    http: SocketAddr,
    rtsp: SocketAddr,
    counters: Arc<Counters>,
    clock: Clock,
    ptz: Arc<Mutex<Ptz>>,
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
        let mut camera = Camera {
            http: local(&http_listener),
            rtsp: local(&rtsp_listener),
            counters: Arc::default(),
            clock: Clock::start(),
            ptz: Arc::default(),
            cancel: CancellationToken::new(),
            tasks: JoinSet::new(),
            config: config.clone(),
        };
        let lens = Arc::new(Mutex::new(Lens::default()));
        let streams = match clip {
            Some(clip) => camera.replayed(clip),
            None => camera.live(&lens).await?,
        };
        // MD5 alone: many clients take the first challenge, and most know no other algorithm.
        let verifier = || Verifier::new("camera", std::time::Instant::now()).algorithms([Algorithm::Md5]);
        let (user, password) = (config.user.clone(), config.password.clone());
        let known = move |name: &str| (name == user).then(|| password.clone());
        let settings = ServerSettings {
            name: concat!("fluorite-camera/", env!("CARGO_PKG_VERSION")).into(),
            auth: Some(Auth { verifier: verifier(), password: Box::new(known) }),
            session_timeout: SESSION_TIMEOUT,
            features: Vec::new(),
        };
        let shared = rtsp::Shared {
            listen: config.listen,
            name: config.name.clone(),
            streams: streams.iter().map(|(quality, stream)| (quality.name(), stream.clone())).collect(),
            settings: Arc::new(settings),
            clock: camera.clock,
            counters: camera.counters.clone(),
            connections_max: config.connections_max,
        };
        let services = Services {
            rtsp_port: camera.rtsp.port(),
            verifier: verifier(),
            ptz: camera.ptz.clone(),
            lens,
            streams,
            clock: camera.clock,
            counters: camera.counters.clone(),
            config: config.clone(),
        };
        let (http, cancel) = (camera.http, camera.cancel.clone());
        camera.spawn(rtsp::serve(rtsp_listener, Arc::new(shared), cancel.clone()));
        camera.spawn(http::serve(http_listener, Arc::new(services), cancel.clone()));
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

    /// Streams that are drawn and encoded.
    async fn live(&mut self, lens: &Arc<Mutex<Lens>>) -> Result<Vec<(Quality, Stream)>, Error> {
        let config = self.config.clone();
        let sound = SoundEncoder::new(config.sound)?.map(|encoder| {
            let track = Track { id: TrackId::AUDIO, codec: encoder.parameters(), clock_rate: encoder.sample_rate() };
            Arc::new(Feed::new(track))
        });
        let scene = Arc::new(OnceLock::new());
        let caption = Caption {
            serial: config.serial.clone(),
            name: config.name.clone(),
            utc_offset_minutes: config.utc_offset_minutes,
        };
        let mut streams = Vec::new();
        for quality in Quality::ALL {
            let video = config.video(quality);
            let parameters = live::blocking(move || VideoEncoder::parameters(&video)).await?;
            let codec = CodecParameters::H264(parameters);
            let feed = Arc::new(Feed::new(Track { id: TrackId::VIDEO, codec, clock_rate: VIDEO_CLOCK }));
            let source = VideoSource {
                feed: feed.clone(),
                video,
                clock: self.clock,
                scene: scene.clone(),
                seed: config.scene_seed,
                ptz: self.ptz.clone(),
                lens: lens.clone(),
                caption: caption.clone(),
                counters: self.counters.clone(),
            };
            self.spawn(source.run(self.cancel.clone()));
            streams.push((quality, Stream { video: feed, sound: sound.clone() }));
        }
        if let Some(feed) = sound {
            self.spawn(live::run_sound(feed, config.sound, self.clock, self.cancel.clone()));
        }
        // Drawn ahead of the first viewer, who shall not wait for it.
        let seed = config.scene_seed;
        self.tasks.spawn_blocking(move || {
            scene.get_or_init(|| Scene::new(seed));
        });
        Ok(streams)
    }

    /// Both qualities from one file.
    fn replayed(&mut self, clip: Arc<Clip>) -> Vec<(Quality, Stream)> {
        let mut feeds = clip.tracks.iter().map(|track| Arc::new(Feed::new(track.clone())));
        let video = feeds.next().expect("a clip has pictures");
        let stream = Stream { video, sound: feeds.next() };
        self.spawn(replay::run(clip, stream.clone(), self.clock, self.cancel.clone()));
        Quality::ALL.map(|quality| (quality, stream.clone())).into()
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

    /// RTSP address of a stream, without login.
    pub fn rtsp_url(&self, quality: Quality) -> String {
        format!("rtsp://{}/{}", self.rtsp, quality.name())
    }

    /// Its numbers now.
    pub fn stats(&self) -> Stats {
        self.counters.read()
    }

    /// Where it looks now.
    pub fn ptz_status(&self) -> Status {
        self.ptz.lock().expect("no holder panics").status(self.clock.elapsed())
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

async fn listen(ip: IpAddr, port: u16) -> Result<TcpListener, Error> {
    let address = SocketAddr::new(ip, port);
    TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })
}
