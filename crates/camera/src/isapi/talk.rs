//! Two-way audio: who may speak, and what is said.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use av::G711Law;
use http_body_util::BodyExt;
use hyper::Method;
use hyper::body::Incoming;
use proto::isapi::{AssociatedInputs, Refusal, TwoWayAudioChannel, TwoWayAudioChannelList, TwoWayAudioSession};
use tokio_util::sync::CancellationToken;

use super::{Said, document, is_recorder};
use crate::channel::Channel;
use crate::http::Site;
use crate::speaker::Talk;

/// What the speakers understand.
const CODEC: (&str, G711Law) = ("G.711ulaw", G711Law::Mu);
/// Speakers of cameras behind a recorder are numbered from here.
const BEHIND: u16 = 1000;

/// Speakers that were opened, by channel.
#[derive(Default)]
pub struct Sessions(Mutex<BTreeMap<u16, Session>>);

struct Session {
    id: String,
    /// Not there while sound comes in.
    talk: Option<Talk>,
    /// Ends the sound that comes in.
    closed: CancellationToken,
}

impl Sessions {
    fn table(&self) -> MutexGuard<'_, BTreeMap<u16, Session>> {
        self.0.lock().expect("no holder panics")
    }
}

fn speaker(site: &Site, channel: &Channel) -> TwoWayAudioChannel {
    let number = channel.number();
    TwoWayAudioChannel {
        id: i32::from(if is_recorder(site) { BEHIND + number } else { number }),
        enabled: Some(channel.speaker().is_open()),
        codec: Some(CODEC.0.into()),
        input_type: Some("MicIn".into()),
        inputs: is_recorder(site).then(|| AssociatedInputs { enabled: Some(true), channels: vec![i32::from(number)] }),
    }
}

/// The channel with the speaker of that number.
fn channel<'a>(site: &'a Site, id: &str) -> Result<&'a Channel, Refusal> {
    let id: u16 = id.parse().map_err(|_| Refusal::Parameters)?;
    let number = if is_recorder(site) { id.checked_sub(BEHIND) } else { Some(id) };
    number.and_then(|number| site.channel(number)).map(|channel| &**channel).ok_or(Refusal::Parameters)
}

/// Everything but the sound itself.
pub(super) fn session(site: &Site, method: &Method, segments: &[&str]) -> Result<Said, Refusal> {
    match (method.as_str(), segments) {
        ("GET", []) => document(&TwoWayAudioChannelList {
            channels: site.channels.iter().map(|channel| speaker(site, channel)).collect(),
        }),
        ("GET", [id]) => document(&speaker(site, channel(site, id)?)),
        ("PUT", [id, "open"]) => {
            let channel = channel(site, id)?;
            // A session that was forgotten keeps the speaker until somebody closes it.
            let talk = channel.speaker().open().ok_or(Refusal::Busy)?;
            let id = rand::random::<u32>().to_string();
            let session = Session { id: id.clone(), talk: Some(talk), closed: CancellationToken::new() };
            site.talks.table().insert(channel.number(), session);
            document(&TwoWayAudioSession { session_id: Some(id) })
        }
        // By whomever; that there is nothing to close is no failure.
        ("PUT", [id, "close"]) => {
            if let Some(session) = site.talks.table().remove(&channel(site, id)?.number()) {
                session.closed.cancel();
            }
            Ok(Said::Done)
        }
        (_, [] | [_] | [_, "open" | "close"]) => Err(Refusal::Method),
        _ => Err(Refusal::NotSupported),
    }
}

/// Takes sound for as long as it comes.
pub(super) async fn listen(
    site: &Site,
    id: &str,
    method: &Method,
    query: &str,
    mut body: Incoming,
) -> Result<Said, Refusal> {
    if method != Method::PUT {
        return Err(Refusal::Method);
    }
    let channel = channel(site, id)?;
    let named = query.split('&').find_map(|pair| pair.strip_prefix("sessionId="));
    let (id, mut talk, closed) = {
        let mut table = site.talks.table();
        let session = table.get_mut(&channel.number()).filter(|session| named.is_none_or(|id| id == session.id));
        let session = session.ok_or(Refusal::Parameters)?;
        (session.id.clone(), session.talk.take().ok_or(Refusal::Busy)?, session.closed.clone())
    };
    loop {
        let frame = tokio::select! { biased;
            () = closed.cancelled() => return Err(Refusal::Busy),
            frame = body.frame() => frame,
        };
        match frame {
            None => break,
            Some(Ok(frame)) => {
                if let Ok(sound) = frame.into_data() {
                    talk.play_g711(CODEC.1, &sound).await;
                }
            }
            // Gone, and with it the answer.
            Some(Err(_)) => return Err(Refusal::Failed),
        }
    }
    let mut table = site.talks.table();
    if let Some(session) = table.get_mut(&channel.number()).filter(|session| session.id == id) {
        session.talk = Some(talk);
    }
    Ok(Said::Done)
}
