//! The media gateway: how streams leave and enter the node.
//!
//! Every way in starts from a verified grant. RTMP play and plain HTTP-FLV hand their sockets to the
//! stream's fan-out ([`fanout`]); TLS, WebSocket and reused HTTP connections read the same blocks.

pub mod block;
pub mod derived;
mod download;
pub mod fanout;
pub mod flv;
mod hls;
pub mod pace;
mod playback;
pub mod rtmp;
pub mod session;
mod vod;

use std::net::SocketAddr;
use std::sync::Arc;

use av::CodecKind;
use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{ConnectInfo, Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use cloud::{Cloud, PlayGrant};
use media::hls::HlsError;
use media::{FootageError, Viewing};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use block::Format;
use derived::Sound;
use fanout::Fanouts;
use pace::Pace;
use session::{Grant, Protocol, Session, Sessions, Why};

/// What all gateways share.
pub struct Gateway {
    cloud: Arc<Cloud>,
    fanouts: Fanouts,
    hls: hls::Viewers,
    /// Who is watching and publishing.
    pub sessions: Sessions,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

/// A viewer that was let in.
struct Admitted {
    viewing: Viewing,
    session: Arc<Session>,
}

/// Why a viewer was turned away.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The product said no.
    #[error(transparent)]
    Cloud(#[from] cloud::Error),
    /// There is no such footage, or it cannot be read.
    #[error(transparent)]
    Footage(#[from] FootageError),
    /// There is no such playlist, or no such file of one.
    #[error(transparent)]
    Hls(#[from] HlsError),
    /// The address has as many viewers as one may have.
    #[error("too many viewers of this address")]
    Crowded,
    /// The camera sends H.265, the player cannot take it, and there is no H.264 sub stream.
    #[error("the stream is H.265, which this player cannot take, and the camera has no H.264 sub stream")]
    NoH265,
}

impl Refused {
    /// The platform's number for a stream that cannot be played.
    fn code(&self) -> u32 {
        use cloud::Error;
        match self {
            Refused::Footage(FootageError::Empty) => 5402,
            Refused::Cloud(Error::DeviceOffline) => 5404,
            Refused::Cloud(Error::DeviceTimeout) => 5405,
            // Expired, revoked and forged addresses look alike.
            Refused::Cloud(Error::GrantInvalid) => 5406,
            Refused::Hls(HlsError::TooEarly | HlsError::Gone) => 5407,
            Refused::Crowded => 5410,
            Refused::Cloud(Error::Unsupported) => 5451,
            Refused::Cloud(Error::NoPicture { .. }) | Refused::Footage(FootageError::Failed { .. }) => 5544,
            Refused::Hls(HlsError::Timeout) => 5544,
            Refused::Cloud(Error::ReplayBusy) | Refused::Footage(FootageError::Busy) => 9048,
            Refused::NoH265 => 9053,
            Refused::Cloud(_) => 5500,
        }
    }

    /// The HTTP status.
    fn status(&self) -> StatusCode {
        match self.code() {
            _ if matches!(self, Refused::Hls(HlsError::TooEarly)) => StatusCode::BAD_REQUEST,
            5402 | 5406 | 5407 => StatusCode::NOT_FOUND,
            5405 => StatusCode::GATEWAY_TIMEOUT,
            5410 | 9048 => StatusCode::CONFLICT,
            5451 => StatusCode::NOT_IMPLEMENTED,
            9053 => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The number and a sentence, for players and for whoever debugs them.
    fn text(&self) -> String {
        format!("{} {self}\n", self.code())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let headers = [(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"), (header::CACHE_CONTROL, "no-store")];
        (self.status(), headers, self.text()).into_response()
    }
}

/// What an address opens, by the folder its path is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Live,
    Footage,
}

impl Kind {
    /// Where the signed paths begin.
    fn folder(self) -> &'static str {
        match self {
            Kind::Live => "/v3/openlive/",
            Kind::Footage => "/v3/openpb/",
        }
    }
}

/// Everything that is served over HTTP.
pub fn routes(gateway: Arc<Gateway>) -> Router {
    let mut router = Router::new();
    for kind in [Kind::Live, Kind::Footage] {
        let folder = kind.folder();
        let stream = move |State(gateway): State<Arc<Gateway>>,
                           ConnectInfo(peer): ConnectInfo<SocketAddr>,
                           Path(name): Path<String>,
                           RawQuery(query): RawQuery,
                           upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>| async move {
            let query = query.unwrap_or_default();
            match name.rsplit_once('.') {
                // Whatever is no upgrade is an ordinary request.
                Some((name, "flv")) => flv::play(&gateway, kind, name, &query, peer, upgrade.ok()).await,
                Some((name, "m3u8")) => hls::playlist(&gateway, kind, name, &query, peer, false).await,
                _ => StatusCode::NOT_FOUND.into_response(),
            }
        };
        let low_latency = move |State(gateway): State<Arc<Gateway>>,
                                ConnectInfo(peer): ConnectInfo<SocketAddr>,
                                Path(name): Path<String>,
                                RawQuery(query): RawQuery| async move {
            match name.strip_suffix(".m3u8") {
                Some(name) => hls::playlist(&gateway, kind, name, &query.unwrap_or_default(), peer, true).await,
                None => StatusCode::NOT_FOUND.into_response(),
            }
        };
        let file = move |State(gateway): State<Arc<Gateway>>,
                         ConnectInfo(peer): ConnectInfo<SocketAddr>,
                         Path((name, file)): Path<(String, String)>,
                         RawQuery(query): RawQuery| async move {
            hls::file(&gateway, kind, &name, &file, &query.unwrap_or_default(), peer).await
        };
        router = router
            .route(&format!("{folder}{{name}}"), get(stream))
            .route(&format!("{folder}llhls/{{name}}"), get(low_latency))
            .route(&format!("{folder}{{name}}/{{file}}"), get(file));
    }
    router.route("/v3/download/{name}", get(download::download)).with_state(gateway)
}

impl Gateway {
    /// A gateway over `cloud`. Revoked addresses end their viewers from now on.
    pub fn new(cloud: Arc<Cloud>, pace: Arc<Pace>, cancel: CancellationToken) -> Arc<Gateway> {
        let gateway = Arc::new(Gateway {
            cloud,
            fanouts: Fanouts::new(pace),
            hls: hls::Viewers::default(),
            sessions: Sessions::default(),
            tasks: TaskTracker::new(),
            cancel,
        });
        gateway.tasks.spawn(gateway.clone().end_revoked());
        gateway.tasks.spawn(gateway.clone().end_idle());
        gateway
    }

    /// Waits until every connection has ended; cancel the token given to [`Gateway::new`] first.
    pub async fn shutdown(&self) {
        self.sessions.finish_where(Why::Shutdown, |_| true);
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Ends the viewers of revoked addresses as soon as they are revoked.
    async fn end_revoked(self: Arc<Self>) {
        let mut revocations = self.cloud.revocations();
        loop {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return,
                changed = revocations.changed() => if changed.is_err() { return },
            }
            self.sessions.finish_where(Why::Revoked, |session| {
                session.grant.as_ref().is_some_and(|grant| grant.is_revoked(&self.cloud))
            });
        }
    }

    /// Lets a viewer in: its address is verified, the stream is running and can be played by it.
    async fn admit(
        &self,
        path: &str,
        query: &str,
        takes_h265: bool,
        peer: SocketAddr,
        protocol: Protocol,
    ) -> Result<Admitted, Refused> {
        let grant = self.cloud.verify_play(path, query)?;
        let viewing = self.open(&grant, takes_h265).await?;
        let viewing = self.with_sound(viewing, says(query, "mute")).await?;
        let grant = Grant::Live(grant);
        let session = self.sessions.begin(peer, protocol, viewing.stream().id().clone(), Some(grant.clone()));
        // Revoked while the camera was starting: the sweep may have run before the session was listed.
        if grant.is_revoked(&self.cloud) {
            session.finish(Why::Revoked);
        }
        Ok(Admitted { viewing, session })
    }

    /// The stream of the grant, or its H.264 sub stream for a player that cannot take H.265.
    async fn open(&self, grant: &PlayGrant, takes_h265: bool) -> Result<Viewing, Refused> {
        let viewing = self.cloud.open_live(grant).await?;
        if takes_h265 || !is_h265(&viewing) {
            return Ok(viewing);
        }
        let sub = self.cloud.open_live(&grant.sub_stream()).await.map_err(|_| Refused::NoH265)?;
        if is_h265(&sub) { Err(Refused::NoH265) } else { Ok(sub) }
    }

    /// The stream with sound that RTMP and FLV players take, or none.
    async fn with_sound(&self, base: Viewing, mute: bool) -> Result<Viewing, Refused> {
        let tracks = base.stream().tracks().unwrap_or_default();
        let Some(sound) = Sound::needed(&tracks, mute) else { return Ok(base) };
        let opened = derived::open(self.cloud.hub(), &self.tasks, &self.cancel, &base, sound).await;
        opened.map_err(|error| cloud::Error::NoPicture { step: "sound", cause: error.to_string() }.into())
    }

    /// Hands the viewer's socket to the fan-out.
    async fn feed(&self, admitted: &Admitted, format: Format, viewer: fanout::Viewer) {
        self.fanouts.join(admitted.viewing.clone(), format, viewer).await;
    }
}

fn is_h265(viewing: &Viewing) -> bool {
    viewing.stream().tracks().is_some_and(|tracks| tracks.iter().any(|t| t.codec.kind() == CodecKind::H265))
}

/// Whether the address has `name=1`: the taker's word about its player, beside what is signed.
fn says(query: &str, name: &str) -> bool {
    value(query, name).is_some_and(|value| value == "1")
}

/// A parameter of the address that is not signed.
fn value(query: &str, name: &str) -> Option<String> {
    url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}
