//! Wiring: from a configuration to a running server, and back to nothing.
//!
//! Start: cryptography, data folder, product, listeners, gateway, trial cameras; then the ready file.
//! End: the first signal stops accepting and lets requests and viewers end, the second exits at once.
//! Crash recovery is the same code as start-up.

use std::io::IsTerminal;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::routing::get;
use cloud::{Clock, Cloud, RecordSettings, Settings};
use device::AllowedHost;
use media::{HubSettings, RingLimits};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::address::{Addresses, Reached, local_network_ip};
use crate::api::App;
use crate::cli::Serve;
use crate::config::{Auto, Config, Language, Loaded};
use crate::gateway::pace::Pace;
use crate::gateway::{self, Gateway, rtmp};
use crate::http::Http;
use crate::listener::Listener;
use crate::ready::Ready;
use crate::tls::{Certificate, Pair, install_provider, self_signed};
use crate::{api, files, logging, pages, trial};

/// All of shutdown takes at most this long.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// The runtime of every command.
///
/// # Errors
/// When the system gives no threads.
pub fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")
}

/// `fluorite serve`: runs until a signal.
///
/// # Errors
/// Why it cannot start.
pub fn serve(serve: Serve) -> anyhow::Result<()> {
    let usual = Path::new("fluorite.toml");
    let file = serve.config.as_deref().or_else(|| usual.exists().then_some(usual));
    let loaded = Loaded::read(file, std::env::vars())?;
    if serve.print_config {
        print!("{}", loaded.print());
    }
    if serve.check_config {
        eprintln!("the configuration is good");
    }
    if serve.print_config || serve.check_config {
        return Ok(());
    }
    logging::start(&loaded.config.log)?;
    let language = greeting_language(&loaded.config);
    runtime()?.block_on(async {
        // Before anything that takes time, so that an early signal is not lost.
        let mut signals = [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
        let [interrupt, terminate] = &mut signals;
        let options = Options { trial: serve.trial, cards: !serve.no_cards, tls: serve.tls };
        let starting = Server::start(loaded.config, options);
        let server = tokio::select! { biased;
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            server = starting => server?,
        };
        if let Some(path) = &serve.ready_file {
            server.ready.write(path).with_context(|| format!("cannot write {}", path.display()))?;
        }
        println!("{}", server.ready.greeting(language, std::io::stdout().is_terminal()));
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        info!("stopping; a second signal exits at once");
        tokio::select! { biased;
            () = server.stop() => Ok(()),
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
        }
    })
}

/// English for a terminal that is not Chinese; the configured one otherwise.
fn greeting_language(config: &Config) -> Language {
    let locale =
        ["LC_ALL", "LC_MESSAGES", "LANG"].iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    match locale {
        Some(locale) if locale.starts_with("zh") => Language::Zh,
        Some(_) => Language::En,
        None => config.http.language,
    }
}

/// What `serve` can do beyond the configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Start virtual cameras.
    pub trial: bool,
    /// They have SD cards, and record on them all the time.
    pub cards: bool,
    /// Serve TLS with a certificate of our own making.
    pub tls: bool,
}

/// A running server.
pub struct Server {
    /// Where it is reached and with what.
    pub ready: Ready,
    /// What its handlers work with.
    pub app: Arc<App>,
    shutdown: CancellationToken,
    /// Listeners and helpers; they end at once.
    tasks: TaskTracker,
    /// HTTP connections; they end after their current request.
    connections: TaskTracker,
    cameras: Vec<camera::Camera>,
}

impl Server {
    /// Starts everything; returns once it answers.
    ///
    /// # Errors
    /// The first thing that does not start: data folder, database, certificate, a listener.
    pub async fn start(config: Config, options: Options) -> anyhow::Result<Server> {
        install_provider();
        allow_many_files();
        let data = config.store.data.clone();
        make_private_folder(&data).with_context(|| format!("cannot use data folder {}", data.display()))?;

        let pair = match (&config.http.tls_cert, &config.http.tls_key) {
            (Some(certificate), Some(key)) => Some(Pair { certificate: certificate.clone(), key: key.clone() }),
            _ if options.tls => Some(self_signed(&data, &page_addresses(&config))?),
            _ => None,
        };
        let certificate = pair.map(Certificate::load).transpose()?;

        let cameras = if options.trial {
            trial::start_cameras(&data, config.node.utc_offset, options.cards).await?
        } else {
            Vec::new()
        };
        let mut allow: Vec<AllowedHost> = config.device.allow.iter().map(|host| host.0).collect();
        allow.extend(cameras.iter().flat_map(trial::sockets));

        let (cloud, operator_token) = Cloud::open(Settings {
            data,
            hub: HubSettings {
                linger: Duration::from_secs(config.media.linger_s.into()),
                start_timeout: Duration::from_millis(config.media.start_timeout_ms.into()),
                ring: RingLimits { bytes_max: config.media.ring_bytes_max, duration_ms: config.media.ring_ms.into() },
            },
            allow,
            ptz_watchdog: Duration::from_secs(config.device.ptz_watchdog_s.into()),
            clock: Clock::system(),
            utc_offset_minutes: config.node.utc_offset.0,
            record: record_settings(&config),
        })
        .await
        .context("cannot open the data folder")?;

        let shutdown = CancellationToken::new();
        let tasks = TaskTracker::new();
        let pace = Arc::new(Pace::new(match config.media.merge_ms {
            Auto::Auto => Duration::ZERO,
            Auto::Fixed(ms) => Duration::from_millis(ms.into()),
        }));
        if config.media.merge_ms == Auto::Auto {
            let (pace, shutdown) = (pace.clone(), shutdown.clone());
            tasks.spawn(async move { pace.follow_load(shutdown).await });
        }
        let gateway = Gateway::new(cloud.clone(), pace, shutdown.clone());

        let https = certificate.as_ref().map(|c| c.server_config(&[b"h2", b"http/1.1"])).transpose()?;
        let rtmps = certificate.as_ref().map(|c| c.server_config(&[])).transpose()?;
        if let Some(certificate) = certificate {
            tasks.spawn(certificate.watch(shutdown.clone()));
        }
        let (http_plain, http_tls) =
            (listen(config.http.listen).await?, listen(https.as_ref().map(|_| config.http.tls_listen)).await?);
        let (rtmp_plain, rtmp_tls) =
            (listen(config.rtmp.listen).await?, listen(rtmps.as_ref().map(|_| config.rtmp.tls_listen)).await?);
        let addresses = Addresses {
            http: port(&http_plain)?,
            https: port(&http_tls)?,
            rtmp: port(&rtmp_plain)?,
            rtmps: port(&rtmp_tls)?,
            ..Addresses::named(&config.node)
        };

        let config = Arc::new(config);
        let app = Arc::new(App::new(cloud, gateway.clone(), config.clone(), addresses));
        let http = Arc::new(Http { router: router(app.clone()), gateway: gateway.clone(), shutdown: shutdown.clone() });
        let connections = TaskTracker::new();
        let acceptor = |tls: Option<Arc<ServerConfig>>| tls.map(TlsAcceptor::from);
        let permits = Arc::new(Semaphore::new(config.http.connections_max));
        for (socket, tls) in [(http_plain, None), (http_tls, acceptor(https))] {
            if let Some(socket) = socket {
                let listener = Listener { socket, permits: permits.clone() };
                tasks.spawn(http.clone().accept(listener, tls, connections.clone()));
            }
        }
        let permits = Arc::new(Semaphore::new(config.rtmp.connections_max));
        for (socket, tls) in [(rtmp_plain, None), (rtmp_tls, acceptor(rtmps))] {
            if let Some(socket) = socket {
                let listener = Listener { socket, permits: permits.clone() };
                tasks.spawn(rtmp::accept(gateway.clone(), listener, tls));
            }
        }

        let reached = own_view(&app);
        let http = app.addresses.http(&reached);
        let mut ready = Ready {
            page: format!("{http}/m/"),
            http,
            rtmp: app.addresses.rtmp(&reached),
            admin_token: operator_token,
            trial: None,
        };
        if options.trial {
            trial::set_up(&app, &cameras, &reached, &mut ready).await.context("cannot set up the trial")?;
        }
        Ok(Server { ready, app, shutdown, tasks, connections, cameras })
    }

    /// Ends everything within 10 s: listeners at once, requests when they are answered, viewers, devices.
    pub async fn stop(self) {
        let ended = tokio::time::timeout(SHUTDOWN_TIMEOUT, async {
            self.shutdown.cancel();
            self.app.gateway.shutdown().await;
            self.connections.close();
            self.connections.wait().await;
            self.tasks.close();
            self.tasks.wait().await;
            self.app.cloud.shutdown().await;
            for camera in self.cameras {
                camera.stop().await;
            }
        });
        if ended.await.is_err() {
            warn!("not everything ended in time");
        }
    }
}

/// How footage is kept.
pub(crate) fn record_settings(config: &Config) -> RecordSettings {
    RecordSettings {
        blobs: config.store.blob.0.clone(),
        part: Duration::from_millis(config.record.part_ms.into()),
        segment: Duration::from_secs(config.record.segment_s.into()),
        free_min: u64::from(config.record.free_min_mb) * 1_000_000,
        keep_min: Duration::from_secs(u64::from(config.record.keep_min_h) * 3600),
        days: config.record.keep_days,
        ..RecordSettings::default()
    }
}

/// Every path the server answers.
fn router(app: Arc<App>) -> Router {
    api::routes(app.clone())
        .merge(gateway::routes(app.gateway.clone()))
        .merge(files::routes(app))
        .route("/", get(pages::home))
        .route("/m", get(pages::mobile_root))
        .route("/m/", get(pages::mobile_index))
        .route("/m/{*path}", get(pages::mobile_file))
}

async fn listen(address: Option<SocketAddr>) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = address else { return Ok(None) };
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    Ok(Some(listener))
}

fn port(listener: &Option<TcpListener>) -> anyhow::Result<Option<u16>> {
    Ok(listener.as_ref().map(TcpListener::local_addr).transpose()?.map(|address| address.port()))
}

/// The addresses under which the page can be opened, best first: the one listened on, or when that is
/// all of them, this machine's in its network and loopback.
fn page_addresses(config: &Config) -> Vec<IpAddr> {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    match config.http.listen.map_or(config.http.tls_listen, |listen| listen).ip() {
        ip if ip.is_unspecified() => local_network_ip().map(IpAddr::V4).into_iter().chain([loopback]).collect(),
        ip => vec![ip],
    }
}

/// How somebody in the same network reaches us: by the first page address, with TLS if we have it.
fn own_view(app: &App) -> Reached {
    let host = page_addresses(&app.config).first().map(|ip| match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    });
    Reached { host, secure: app.addresses.https.is_some() }
}

/// Every viewer is a file descriptor; the usual limit of 1024 is for interactive programs.
fn allow_many_files() {
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        warn!(%error, "the limit of open files stays as it is");
    }
}

fn make_private_folder(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}
