//! The media gateway: how streams leave and enter the node.
//!
//! Every way in starts from a verified grant. RTMP play and plain HTTP-FLV hand their sockets to the
//! stream's fan-out ([`fanout`]); TLS, WebSocket and reused HTTP connections read the same blocks.

pub mod block;
pub mod derived;
pub mod fanout;
pub mod flv;
pub mod pace;
pub mod rtmp;
pub mod session;

use std::net::SocketAddr;
use std::sync::Arc;

use av::CodecKind;
use cloud::{Cloud, PlayGrant};
use media::Viewing;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use block::Format;
use derived::Sound;
use fanout::Fanouts;
use pace::Pace;
use session::{Protocol, Session, Sessions, Why};

/// What all gateways share.
pub struct Gateway {
    cloud: Arc<Cloud>,
    fanouts: Fanouts,
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
    /// The camera sends H.265, the player cannot take it, and there is no H.264 sub stream.
    #[error("the stream is H.265, which this player cannot take, and the camera has no H.264 sub stream")]
    NoH265,
}

impl Gateway {
    /// A gateway over `cloud`. Revoked addresses end their viewers from now on.
    pub fn new(cloud: Arc<Cloud>, pace: Arc<Pace>, cancel: CancellationToken) -> Arc<Gateway> {
        let gateway = Arc::new(Gateway {
            cloud,
            fanouts: Fanouts::new(pace),
            sessions: Sessions::default(),
            tasks: TaskTracker::new(),
            cancel,
        });
        gateway.tasks.spawn(gateway.clone().end_revoked());
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
                session.grant.as_ref().is_some_and(|grant| self.cloud.is_revoked(grant))
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
        let viewing = self.open(&grant, takes_h265 || says(query, "supportH265")).await?;
        let viewing = self.with_sound(viewing, says(query, "mute")).await?;
        let revoked = || self.cloud.is_revoked(&grant);
        let session = self.sessions.begin(peer, protocol, viewing.stream().id().clone(), Some(grant.clone()));
        // Revoked while the camera was starting: the sweep may have run before the session was listed.
        if revoked() {
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
    url::form_urlencoded::parse(query.as_bytes()).any(|(key, value)| key == name && value == "1")
}
