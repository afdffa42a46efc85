//! Records a channel's main stream as a viewer of it: while it writes, the encoder goes on.

use std::sync::Arc;
use std::time::Duration;

use av::Frame;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::Card;
use super::tape::Tape;
use crate::Error;
use crate::channel::Channel;
use crate::config::Quality;
use crate::live::blocking;

/// Wait after the card could not be written: it will probably fail again.
const RETRY: Duration = Duration::from_secs(5);

/// Records whenever that is switched on, until cancelled.
pub async fn record(card: Arc<Card>, channel: Arc<Channel>, cancel: CancellationToken) {
    let mut switch = card.recording.subscribe();
    loop {
        let on = tokio::select! { biased;
            () = cancel.cancelled() => return,
            on = switch.wait_for(|on| *on) => on.is_ok(),
        };
        if !on {
            return;
        }
        let mut switch = card.recording.subscribe();
        let stop = async {
            tokio::select! { biased;
                () = cancel.cancelled() => {}
                // Only fails with the card, which we hold.
                _ = switch.wait_for(|on| !*on) => {}
            }
        };
        if let Err(error) = run(&card, &channel, stop).await {
            warn!(channel = channel.number(), %error, "not recorded");
            tokio::select! { biased;
                () = cancel.cancelled() => return,
                () = sleep(RETRY) => {}
            }
        }
    }
}

/// One recording, from when it is switched on until it is switched off.
async fn run(card: &Arc<Card>, channel: &Channel, stop: impl Future<Output = ()>) -> Result<(), Error> {
    let stream = channel.stream(Quality::Main);
    let tracks = stream.feeds().map(|feed| feed.track.clone()).collect();
    let mut feeds: Vec<Receiver<Arc<Frame>>> = stream.feeds().map(|feed| feed.watch()).collect();
    stream.video.request_key_frame();
    let mut tape = Tape::new(card.clone(), channel.number(), tracks);
    let mut stop = std::pin::pin!(stop);
    loop {
        let (first, rest) = feeds.split_first_mut().expect("a stream has pictures");
        let frame = tokio::select! { biased;
            () = &mut stop => break,
            frame = first.recv() => frame,
            frame = next(rest.first_mut()) => frame,
        };
        let frame = match frame {
            Ok(frame) => frame,
            // The card was slower than the feed's backlog: what follows is another clip.
            Err(RecvError::Lagged(missed)) => {
                debug!(channel = channel.number(), missed, "card is too slow");
                stream.video.request_key_frame();
                tape = blocking(move || tape.finish().map(|()| tape)).await?;
                continue;
            }
            Err(RecvError::Closed) => break,
        };
        if tape.is_due(&frame) {
            tape = blocking(move || tape.push(frame).map(|()| tape)).await?;
        } else {
            tape.push(frame)?;
        }
    }
    blocking(move || tape.finish()).await
}

async fn next(feed: Option<&mut Receiver<Arc<Frame>>>) -> Result<Arc<Frame>, RecvError> {
    match feed {
        Some(feed) => feed.recv().await,
        None => std::future::pending().await,
    }
}
