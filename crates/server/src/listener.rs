//! A TCP listener whose connections are counted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::warn;

/// How long to wait after accept failed, which it does when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections while there are permits.
pub struct Listener {
    /// The socket.
    pub socket: TcpListener,
    /// One permit a connection; listeners of one kind share them.
    pub permits: Arc<Semaphore>,
}

impl Listener {
    /// The next connection, and the permit it holds until it ends. Cancel safe.
    pub async fn accept(&self) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
        // The permit comes first: when all are out, peers wait in the backlog instead of in our memory.
        let permit = self.permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        loop {
            match self.socket.accept().await {
                Ok((stream, address)) => return (stream, address, permit),
                Err(error) => {
                    warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}
