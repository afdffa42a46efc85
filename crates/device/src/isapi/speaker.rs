//! Two-way audio, our half of it: open, one long PUT at the speed of sound, close.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use av::codec::g711;
use av::{G711Law, Pcm};
use bytes::Bytes;
use futures_util::stream;
use proto::isapi::{Refusal, TwoWayAudioChannel, TwoWayAudioSession, path};
use reqwest::{Body, Method};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::debug;

use super::client::{Client, Failure};
use crate::driver::{DriverError, Speaker};

const SAMPLE_RATE: u32 = 8000;
/// Bytes sent at once, and how long they sound.
const BLOCK: usize = 160;
const BLOCK_TIME: Duration = Duration::from_millis(20);
/// Some firmware never answers to sound; what was sent by then was heard.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// Closing is a courtesy to the next who speaks.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// The law of a speaker that takes G.711.
pub(super) fn law(speaker: &TwoWayAudioChannel) -> Option<G711Law> {
    match speaker.codec.as_deref()?.to_ascii_lowercase().as_str() {
        "g.711ulaw" | "g.711mu" => Some(G711Law::Mu),
        "g.711alaw" | "g.711a" => Some(G711Law::A),
        _ => None,
    }
}

/// A speaker that is open.
pub(super) struct OpenSpeaker {
    client: Arc<Client>,
    /// `…/TwoWayAudio/channels/N`
    channel: String,
    session: Option<String>,
    law: G711Law,
    closed: bool,
}

impl OpenSpeaker {
    /// One whose device needs no opening.
    #[cfg(test)]
    pub(super) fn opened(client: Arc<Client>, law: G711Law) -> OpenSpeaker {
        OpenSpeaker { client, channel: format!("{}/1", path::TWO_WAY_AUDIO), session: None, law, closed: true }
    }

    /// Opens. Whoever had left it open is closed first: a session that its client forgot would keep
    /// everybody out until the device restarts.
    pub(super) async fn open(client: Arc<Client>, id: i32, law: G711Law) -> Result<OpenSpeaker, DriverError> {
        let channel = format!("{}/{id}", path::TWO_WAY_AUDIO);
        let closed = client.command(Method::PUT, &format!("{channel}/close")).await;
        let let_in = match closed {
            Ok(()) => true,
            Err(Failure::Broken(error)) => return Err(error),
            Err(Failure::Refused(refusal, _)) => !matches!(refusal, Refusal::Login | Refusal::Privilege),
        };
        match client.open::<TwoWayAudioSession>(&format!("{channel}/open")).await {
            Ok(session) => {
                let session = session.and_then(|session| session.session_id);
                Ok(OpenSpeaker { client, channel, session, law, closed: false })
            }
            Err(Failure::Refused(Refusal::Busy, _)) => Err(DriverError::SpeakerBusy),
            // With a login that could close it a moment ago: taken, in the words of much firmware.
            Err(Failure::Refused(Refusal::Login | Refusal::Privilege, _)) if let_in => Err(DriverError::SpeakerBusy),
            Err(failure) => Err(failure.at("talk")),
        }
    }

    pub(super) async fn send(&self, sound: Bytes) -> Result<(), DriverError> {
        let mut path = format!("{}/audioData", self.channel);
        if let Some(session) = &self.session {
            let query: String =
                url::form_urlencoded::Serializer::new(String::new()).append_pair("sessionId", session).finish();
            path = format!("{path}?{query}");
        }
        let (progress, sent) = watch::channel(0);
        let progress = Arc::new(progress);
        let length = sound.len();
        let open = {
            let sound = sound.clone();
            move || Body::wrap_stream(paced(sound.clone(), progress.clone()))
        };
        // By whose clock the last block is out, and then some.
        let all_sent = || {
            let mut sent = sent.clone();
            async move { sent.wait_for(|sent| *sent == length).await.is_ok() }
        };
        tokio::select! {
            biased;
            answer = self.client.put_stream(&path, length as u64, &open) => {
                answer.map_err(|failure| failure.at("talk"))?;
                // It may have answered at once and still listens.
                let rest = BLOCK_TIME * length.saturating_sub(*sent.borrow()).div_ceil(BLOCK) as u32 + ANSWER_WAIT;
                match timeout(rest, all_sent()).await {
                    Ok(true) => Ok(()),
                    _ => Err(DriverError::Protocol { step: "talk", cause: "it took only a part of the sound".into() }),
                }
            }
            () = async {
                all_sent().await;
                sleep(ANSWER_WAIT).await;
            } => Ok(()),
        }
    }
}

/// The sound in blocks, each when the one before has sounded.
fn paced(
    sound: Bytes,
    progress: Arc<watch::Sender<usize>>,
) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> + Send {
    stream::unfold((0, None), move |(from, began): (usize, Option<Instant>)| {
        let (sound, progress) = (sound.clone(), progress.clone());
        async move {
            let began = began.unwrap_or_else(Instant::now);
            let block = sound.slice(from..sound.len().min(from + BLOCK));
            if block.is_empty() {
                return None;
            }
            sleep_until(began + BLOCK_TIME * (from / BLOCK) as u32).await;
            // Counted when it is taken: nobody asks again once the length is reached.
            let next = from + block.len();
            progress.send_replace(next);
            Some((Ok(block), (next, Some(began))))
        }
    })
}

#[async_trait]
impl Speaker for OpenSpeaker {
    async fn play(mut self: Box<Self>, sound: Pcm) -> Result<(), DriverError> {
        let sound = g711::encode(self.law, &sound.resampled(SAMPLE_RATE).samples);
        let played = if sound.is_empty() { Ok(()) } else { self.send(sound).await };
        self.closed = true;
        close(&self.client, &self.channel).await;
        played
    }
}

async fn close(client: &Client, channel: &str) {
    let path = format!("{channel}/close");
    let closed = timeout(CLOSE_WAIT, client.command(Method::PUT, &path)).await;
    // If not, it was played all the same, and whoever speaks next closes first.
    match closed.map(|closed| closed.map_err(|failure| failure.at("talk"))) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "speaker could not be closed"),
        Err(_) => debug!("speaker could not be closed in time"),
    }
}

impl Drop for OpenSpeaker {
    /// Cut short: the device is told by a task that lives for [`CLOSE_WAIT`] at most, as nothing can be
    /// awaited here and the device would refuse everybody else until then.
    fn drop(&mut self) {
        if let (false, Ok(runtime)) = (self.closed, tokio::runtime::Handle::try_current()) {
            let (client, channel) = (self.client.clone(), std::mem::take(&mut self.channel));
            runtime.spawn(async move { close(&client, &channel).await });
        }
    }
}
