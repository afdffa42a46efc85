//! Footage played to one viewer: paced, its sound as players take it, packed for that viewer's socket.
//!
//! Nothing is shared and nothing is lost: what the socket does not take is not read from the footage, and
//! when the viewer leaves, the footage is dropped, which ends a device's session.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use av::{CodecKind, Frame, Ticks, Track, UnixMicros};
use bytes::Bytes;
use cloud::PlaybackGrant;
use media::{FootageError, Item, Player, Speed, Timeline};
use tokio::time::timeout;
use tracing::debug;

use super::block::{Format, Packer};
use super::derived::{Remake, Sound};
use super::session::{Grant, Leaves, Protocol, Session, Why};
use super::{Gateway, Refused, says, value};

/// Viewers of footage at a time by one address: each reads a disk or holds a session of a device.
const VIEWERS_OF_GRANT_MAX: usize = 16;
/// A device that plays nothing for so long will not.
const START_WITHIN: Duration = Duration::from_secs(10);

/// What is watched by a viewer of footage.
pub struct Watched {
    /// What it plays, at its first moment.
    pub player: Player,
    /// Makes its sound what players take.
    pub remake: Remake,
    /// Read while it was tried.
    pub items: Vec<Item>,
    /// Who watches; finished when this is dropped.
    pub leaves: Leaves,
    /// The beginning of what the address opens.
    pub from: UnixMicros,
}

impl Gateway {
    /// Lets a viewer of footage in: its address is verified, the footage is found and begins to play.
    pub(super) async fn watch(
        &self,
        path: &str,
        query: &str,
        takes_h265: bool,
        peer: SocketAddr,
        protocol: Protocol,
    ) -> Result<Watched, Refused> {
        let grant = self.cloud.verify_playback(path, query)?;
        let leaves = self.enter(&grant, peer, protocol)?;
        let session = leaves.0.clone();
        let watched = self.open_footage(&grant, query, takes_h265, leaves);
        tokio::select! {
            biased;
            // Revoked meanwhile, or the server stops.
            () = session.over() => Err(cloud::Error::GrantInvalid.into()),
            watched = timeout(START_WITHIN, watched) => watched.map_err(|_| cloud::Error::DeviceTimeout)?,
        }
    }

    /// Lists a viewer of footage, unless its address has too many.
    pub(super) fn enter(&self, grant: &PlaybackGrant, peer: SocketAddr, protocol: Protocol) -> Result<Leaves, Refused> {
        let watching =
            |session: &Session| matches!(&session.grant, Some(Grant::Footage(other)) if other.id == grant.id);
        if self.sessions.count(watching) >= VIEWERS_OF_GRANT_MAX {
            return Err(Refused::Crowded);
        }
        let grant = Grant::Footage(grant.clone());
        Ok(Leaves(self.sessions.begin(peer, protocol, grant.stream(), Some(grant))))
    }

    async fn open_footage(
        &self,
        grant: &PlaybackGrant,
        query: &str,
        takes_h265: bool,
        leaves: Leaves,
    ) -> Result<Watched, Refused> {
        let footage = self.cloud.open_footage(grant).await?;
        let from = UnixMicros(grant.from.0.saturating_mul(1000));
        let mut player = Player::new(footage, speed(query));
        player.seek(from);
        let mut items = Vec::new();
        while !items.iter().any(|item| matches!(item, Item::Frame(_))) {
            if !player.read(&mut items).await? {
                return Err(FootageError::Empty.into());
            }
        }
        if !takes_h265 && items.iter().any(is_h265) {
            return Err(Refused::NoH265);
        }
        let sound = if says(query, "mute") { Sound::Mute } else { Sound::Aac };
        Ok(Watched { player, remake: Remake::new(sound), items, leaves, from })
    }
}

fn is_h265(item: &Item) -> bool {
    matches!(item, Item::Tracks(tracks) if tracks.iter().any(|track| track.codec.kind() == CodecKind::H265))
}

/// `playbackSpeed`: -1 as fast as it is taken, or how many times faster; 1 where it is neither.
pub(super) fn speed(query: &str) -> Speed {
    match value(query, "playbackSpeed").and_then(|text| text.parse::<f32>().ok()) {
        Some(-1.0) => Speed::Fastest,
        Some(times) if times > 0.0 => Speed::Times(times),
        _ => Speed::Times(1.0),
    }
}

/// Footage as bytes of RTMP or FLV.
pub struct Showing {
    watched: Watched,
    packer: Packer,
    opened: bool,
    tracks: Arc<[Track]>,
    /// Timestamps since the last seek.
    timeline: Timeline,
    /// Where on the viewer's clock they begin.
    base_us: i64,
}

impl Showing {
    /// What is watched, in a format.
    pub fn new(watched: Watched, format: Format) -> Showing {
        Showing {
            watched,
            packer: Packer::new(format),
            opened: false,
            tracks: Arc::from([]),
            timeline: Timeline::default(),
            base_us: 0,
        }
    }

    /// Who watches.
    pub fn session(&self) -> &Arc<Session> {
        &self.watched.leaves.0
    }

    /// Waits for what is due and appends it, whole messages or tags in each piece; false at the end.
    /// Cancel safe.
    ///
    /// # Errors
    /// [`FootageError`].
    pub async fn read(&mut self, out: &mut Vec<Bytes>) -> Result<bool, FootageError> {
        loop {
            let Watched { player, items, .. } = &mut self.watched;
            let more = !items.is_empty() || player.read(items).await?;
            let before = out.len();
            self.pack(out).map_err(|error| FootageError::Failed { step: "sound", cause: error.to_string() })?;
            if !more || out.len() > before {
                return Ok(more);
            }
        }
    }

    /// As [`Showing::read`], for readers who only want to know whether there is more.
    pub async fn read_or_end(&mut self, out: &mut Vec<Bytes>) -> bool {
        match self.read(out).await {
            Ok(more) => more,
            Err(error) => {
                debug!(%error, "footage breaks off");
                false
            }
        }
    }

    fn pack(&mut self, out: &mut Vec<Bytes>) -> Result<(), av::transcode::EncodeError> {
        let mut made = Vec::new();
        let Watched { remake, items, .. } = &mut self.watched;
        items.drain(..).try_for_each(|item| remake.push(item, &mut made))?;
        for item in made {
            match item {
                Item::Tracks(tracks) => {
                    out.extend(self.packer.close().map(|block| block.data));
                    self.packer.set_tracks(tracks.clone());
                    if !std::mem::replace(&mut self.opened, true) {
                        out.push(self.packer.preamble().opening.clone());
                    }
                    self.tracks = tracks;
                }
                Item::Frame(frame) => self.place(&frame),
                Item::Gap { .. } => {}
            }
        }
        out.extend(self.packer.close().map(|block| block.data));
        Ok(())
    }

    fn place(&mut self, frame: &Frame) {
        let Some(track) = self.tracks.iter().find(|track| track.id == frame.track) else { return };
        let dts = self.timeline.map(frame.track, frame.dts, track.clock_rate);
        let base = Ticks(self.base_us).rescale(1_000_000, track.clock_rate);
        self.packer.push(&Frame { dts: Ticks(dts.0.saturating_add(base.0)), ..frame.clone() });
    }

    /// Goes to so many milliseconds after the beginning of what the address opens; timestamps do too.
    pub fn seek(&mut self, at_ms: u32) {
        self.base_us = i64::from(at_ms) * 1000;
        self.timeline = Timeline::default();
        let Watched { player, remake, items, from, .. } = &mut self.watched;
        items.clear();
        player.seek(UnixMicros(from.0.saturating_add(self.base_us)));
        // The coder was made before; making it again fails no more than then.
        remake.restart().ok();
    }

    /// Stands still, or goes on.
    pub fn pause(&mut self, pause: bool) {
        match pause {
            true => self.watched.player.pause(),
            false => self.watched.player.resume(),
        }
    }

    /// Ends the session for this reason.
    pub fn finish(&self, why: Why) {
        self.session().finish(why);
    }
}
