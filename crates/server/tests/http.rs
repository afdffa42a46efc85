//! A client that sends exactly the bytes it is given.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// No exchange of these tests takes longer.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    headers: Vec<(String, String)>,
    /// Body, as text where it is.
    pub body: String,
    /// Body, as it came.
    pub bytes: Vec<u8>,
}

impl Answer {
    /// A header by its name in lower case, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(have, _)| have == name).map_or("", |(_, value)| value)
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// Sends a request on a connection of its own: head lines without their end, and a body.
pub async fn send(to: SocketAddr, head: &str, body: &[u8]) -> Answer {
    tokio::time::timeout(DEADLINE, exchange(to, head, body)).await.expect("an answer in time")
}

async fn exchange(to: SocketAddr, head: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let mut request: String = head.lines().map(|line| format!("{line}\r\n")).collect();
    if !head.to_lowercase().contains("\nhost:") {
        request += &format!("Host: {to}\r\n");
    }
    request += &format!("Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    // The server may answer and close before it has read all of a body it refuses.
    let _refused_early = stream.write_all(&[request.as_bytes(), body].concat()).await;
    let mut answer = Vec::new();
    let _reset_after_answer = stream.read_to_end(&mut answer).await;
    parse(&answer)
}

#[track_caller]
fn parse(answer: &[u8]) -> Answer {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = response.parse(answer).unwrap() else {
        panic!("cut answer: {:?}", String::from_utf8_lossy(answer))
    };
    let status = response.code.unwrap();
    let headers = response
        .headers
        .iter()
        .map(|h| (h.name.to_lowercase(), String::from_utf8_lossy(h.value).into_owned()))
        .collect();
    let bytes = answer[length..].to_vec();
    Answer { status, headers, body: String::from_utf8_lossy(&bytes).into_owned(), bytes }
}
