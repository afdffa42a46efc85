//! HLS: live streams and the footage of devices as renditions that all who want them read, and footage of
//! ours as playlists of what is on disk ([`super::vod`]).
//!
//! A viewer is whoever asks with one address from one host. It is listed as a session, keeps its rendition
//! going, and is gone when it has asked for nothing for some time. Every file is asked for with the
//! signed query of the playlist, so an address that ends or is taken back opens nothing more.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use cloud::PlaybackGrant;
use media::hls::{Ask, Container, File, HlsError, Packager, Rendition};
use media::{Item, Subscription};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{Instrument, debug, debug_span};

use super::playback::Watched;
use super::session::{Leaves, Protocol, Session};
use super::{Gateway, Kind, Refused, says, value, vod};

/// A viewer of a live stream is gone when it has asked for nothing for three target durations, at least
/// this long.
const IDLE_LIVE: Duration = Duration::from_secs(6);
/// A viewer of a device's footage, who could not go on where it was: it may pause for this long.
const IDLE_FOOTAGE: Duration = Duration::from_secs(15);
/// Viewers at a time on this node; more are turned away. Each is a few hundred bytes.
const VIEWERS_MAX: usize = 20_000;
/// Parameters of an address that files need too: those that are signed, and what chooses the rendition.
const PASSED_ON: [&str; 10] =
    ["begin", "end", "rec", "expire", "id", "t", "ev", "mute", "supportH265", "playbackSpeed"];
const PLAYLIST: &str = "application/vnd.apple.mpegurl";

/// One viewer of one rendition.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    /// The address and what it is asked for, but for what differs from one request to the next.
    path: String,
    query: String,
    host: IpAddr,
    container: Container,
}

struct Viewer {
    leaves: Leaves,
    /// What is packaged for it; nothing where it fetches what we keep.
    rendition: Option<Rendition>,
    idle: Duration,
    latest: Mutex<Instant>,
}

impl Viewer {
    fn new(leaves: Leaves, rendition: Option<Rendition>, idle: Duration) -> Arc<Viewer> {
        Arc::new(Viewer { leaves, rendition, idle, latest: Mutex::new(Instant::now()) })
    }

    fn session(&self) -> &Session {
        &self.leaves.0
    }

    fn latest(&self) -> MutexGuard<'_, Instant> {
        self.latest.lock().expect("no panic while a moment is locked")
    }

    fn is_idle(&self) -> bool {
        let target = self.rendition.as_ref().map_or(Duration::ZERO, Rendition::target);
        self.latest().elapsed() > self.idle.max(target * 3)
    }

    fn is_over(&self) -> bool {
        self.session().is_over() || self.rendition.as_ref().is_some_and(Rendition::is_broken)
    }

    /// It was given this.
    fn took(&self, bytes: usize) {
        self.session().add_bytes(bytes as u64);
        *self.latest() = Instant::now();
    }
}

/// Every viewer of HLS on this node.
#[derive(Default)]
pub(super) struct Viewers {
    table: Mutex<BTreeMap<Key, Arc<Viewer>>>,
}

impl Viewers {
    fn table(&self) -> MutexGuard<'_, BTreeMap<Key, Arc<Viewer>>> {
        self.table.lock().expect("no panic while the table is locked")
    }

    /// Who asks, if it asked before and what it watches still runs.
    fn find(&self, key: &Key) -> Option<Arc<Viewer>> {
        let table = self.table();
        let viewer = table.get(key).filter(|viewer| !viewer.is_over())?;
        *viewer.latest() = Instant::now();
        Some(viewer.clone())
    }

    fn enter(&self, key: Key, viewer: Arc<Viewer>) -> Result<Arc<Viewer>, Refused> {
        let mut table = self.table();
        if table.len() >= VIEWERS_MAX && !table.contains_key(&key) {
            return Err(Refused::Crowded);
        }
        table.insert(key, viewer.clone());
        Ok(viewer)
    }

    /// A rendition of this stream that runs already.
    fn rendition(&self, session: &Session, container: Container) -> Option<Rendition> {
        let table = self.table();
        let same = table.values().filter(|viewer| viewer.session().stream == session.stream && !viewer.is_over());
        same.filter_map(|viewer| viewer.rendition.clone()).find(|rendition| rendition.container() == container)
    }
}

impl Gateway {
    /// Ends the viewers who have not asked for anything for too long.
    pub(super) async fn end_idle(self: Arc<Self>) {
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => break,
                _ = ticks.tick() => {}
            }
            // One that is being answered is held outside of the table too.
            let stays = |viewer: &Arc<Viewer>| Arc::strong_count(viewer) > 1 || !viewer.is_idle();
            self.hls.table().retain(|_, viewer| !viewer.session().is_over() && stays(viewer));
        }
        self.hls.table().clear();
    }

    async fn begin_live(&self, key: Key, peer: SocketAddr) -> Result<Arc<Viewer>, Refused> {
        let takes_h265 = key.container == Container::Fmp4 && says(&key.query, "supportH265");
        let admitted = self.admit(&key.path, &key.query, takes_h265, peer, Protocol::Hls).await?;
        let leaves = Leaves(admitted.session);
        let rendition = self.hls.rendition(&leaves.0, key.container).unwrap_or_else(|| {
            let (packager, rendition) = packager(key.container);
            let span = debug_span!("hls", stream = %leaves.0.stream);
            self.tasks.spawn(package_live(packager, admitted.viewing.subscribe()).instrument(span));
            rendition
        });
        self.hls.enter(key, Viewer::new(leaves, Some(rendition), IDLE_LIVE))
    }

    async fn begin_footage(&self, key: Key, peer: SocketAddr) -> Result<Arc<Viewer>, Refused> {
        let takes_h265 = key.container == Container::Fmp4 && says(&key.query, "supportH265");
        let watched = self.watch(&key.path, &key.query, takes_h265, peer, Protocol::Hls).await?;
        let session = watched.leaves.0.clone();
        let (packager, rendition) = packager(key.container);
        let span = debug_span!("hls", stream = %session.stream);
        let viewer = Viewer::new(Leaves(session.clone()), Some(rendition), IDLE_FOOTAGE);
        self.tasks.spawn(package_footage(packager, watched, session).instrument(span));
        self.hls.enter(key, viewer)
    }

    /// Lists who fetches footage that we keep.
    fn attend(&self, key: Key, grant: &PlaybackGrant, peer: SocketAddr) -> Result<Arc<Viewer>, Refused> {
        match self.hls.find(&key) {
            Some(viewer) => Ok(viewer),
            None => {
                let leaves = self.enter(grant, peer, Protocol::Hls)?;
                self.hls.enter(key, Viewer::new(leaves, None, IDLE_FOOTAGE))
            }
        }
    }
}

/// Numbers go on from the clock's seconds, so that they rise also when a rendition begins anew.
fn packager(container: Container) -> (Packager, Rendition) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Packager::new(container, now.as_secs())
}

async fn package_live(mut packager: Packager, mut stream: Subscription) {
    let mut items = Vec::new();
    debug!("packaging begins");
    loop {
        let read = tokio::select! {
            biased;
            () = packager.unwanted() => return debug!("nobody watches"),
            read = stream.read(&mut items) => read,
        };
        items.drain(..).for_each(|item| packager.push(item));
        if let Err(end) = read {
            return debug!(%end, "packaging ends");
        }
    }
}

async fn package_footage(mut packager: Packager, watched: Watched, session: Arc<Session>) {
    let Watched { mut player, mut remake, mut items, leaves: _leaves, .. } = watched;
    let mut made = Vec::new();
    loop {
        let sound = items.drain(..).try_for_each(|item: Item| remake.push(item, &mut made));
        made.drain(..).for_each(|item| packager.push(item));
        if let Err(error) = sound {
            return debug!(%error, "sound cannot be made");
        }
        let read = tokio::select! {
            biased;
            () = packager.unwanted() => return,
            () = session.over() => return,
            read = player.read(&mut items) => read,
        };
        match read {
            Ok(true) => {}
            Ok(false) => {
                // What is packaged stays until the viewer has fetched it.
                drop(player);
                packager.finish();
                return packager.unwanted().await;
            }
            Err(error) => return debug!(%error, "footage breaks off"),
        }
    }
}

fn key(kind: Kind, name: &str, query: &str, peer: SocketAddr, low_latency: bool) -> Key {
    let fmp4 = low_latency || says(query, "containerFormat");
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    let pairs = pairs.filter(|(name, _)| PASSED_ON.contains(&name.as_ref()));
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(pairs);
    if fmp4 {
        // Files are asked for with the query alone.
        query.append_pair("containerFormat", "1");
    }
    Key {
        path: format!("{}{name}", kind.folder()),
        query: query.finish(),
        host: peer.ip(),
        container: if fmp4 { Container::Fmp4 } else { Container::Ts },
    }
}

/// A playlist, low-latency or not.
pub(super) async fn playlist(
    gateway: &Gateway,
    kind: Kind,
    name: &str,
    query: &str,
    peer: SocketAddr,
    low_latency: bool,
) -> Response {
    let number = |name: &str| value(query, name).and_then(|number| number.parse().ok());
    let after = number("_HLS_msn").map(|segment| (segment, number("_HLS_part").map(|part| part as u32)));
    let key = key(kind, name, query, peer, low_latency);
    let ask = Ask {
        low_latency,
        after,
        folder: &if low_latency { format!("../{name}/") } else { format!("{name}/") },
        query: &format!("?{}", key.query),
    };
    match gateway.playlist(kind, key, ask, peer).await {
        Ok(text) => served(PLAYLIST, vec![text.into()]),
        Err(refused) => refused.into_response(),
    }
}

/// A file that a playlist names.
pub(super) async fn file(
    gateway: &Gateway,
    kind: Kind,
    name: &str,
    file: &str,
    query: &str,
    peer: SocketAddr,
) -> Response {
    match gateway.file(kind, key(kind, name, query, peer, false), file, peer).await {
        Ok(data) => served(if file.ends_with(".ts") { "video/mp2t" } else { "video/mp4" }, data),
        Err(refused) => refused.into_response(),
    }
}

impl Gateway {
    async fn playlist(&self, kind: Kind, key: Key, ask: Ask<'_>, peer: SocketAddr) -> Result<String, Refused> {
        let viewer = match kind {
            Kind::Live => {
                self.cloud.verify_play(&key.path, &key.query)?;
                match self.hls.find(&key) {
                    Some(viewer) => viewer,
                    None => self.begin_live(key, peer).await?,
                }
            }
            Kind::Footage => {
                let grant = self.cloud.verify_playback(&key.path, &key.query)?;
                if let Some(text) = vod::playlist(self, &grant, &key.query, key.container, ask.folder).await? {
                    self.attend(key, &grant, peer)?.took(text.len());
                    return Ok(text);
                }
                match self.hls.find(&key) {
                    Some(viewer) => viewer,
                    None => self.begin_footage(key, peer).await?,
                }
            }
        };
        let Some(rendition) = &viewer.rendition else { return Err(HlsError::Gone.into()) };
        let text = tokio::select! {
            biased;
            () = viewer.session().over() => return Err(cloud::Error::GrantInvalid.into()),
            text = rendition.playlist(ask) => text?,
        };
        viewer.took(text.len());
        Ok(text)
    }

    async fn file(&self, kind: Kind, key: Key, name: &str, peer: SocketAddr) -> Result<Vec<Bytes>, Refused> {
        match kind {
            Kind::Live => {
                self.cloud.verify_play(&key.path, &key.query)?;
            }
            Kind::Footage => {
                let grant = self.cloud.verify_playback(&key.path, &key.query)?;
                if let Some(data) = vod::file(self, &grant, &key.query, key.container, name).await? {
                    self.attend(key, &grant, peer)?.took(data.iter().map(Bytes::len).sum());
                    return Ok(data);
                }
            }
        }
        let viewer = self.hls.find(&key).ok_or(HlsError::Gone)?;
        let file = File::parse(name).ok_or(HlsError::Gone)?;
        let Some(rendition) = &viewer.rendition else { return Err(HlsError::Gone.into()) };
        let data = tokio::select! {
            biased;
            () = viewer.session().over() => return Err(cloud::Error::GrantInvalid.into()),
            data = rendition.file(file) => data?,
        };
        viewer.took(data.iter().map(Bytes::len).sum());
        Ok(data)
    }
}

fn served(content_type: &'static str, data: Vec<Bytes>) -> Response {
    let length: usize = data.iter().map(Bytes::len).sum();
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CONTENT_LENGTH, length.into()),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
    ];
    let pieces = data.into_iter().map(Ok::<_, std::convert::Infallible>);
    (headers, Body::from_stream(futures_util::stream::iter(pieces))).into_response()
}
