//! SOAP over HTTP by hand: what the camera's own code does not touch.

use bytes::Bytes;
use camera::Camera;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use proto::digest::{Authorizer, Challenge};
use proto::onvif::security::UsernameToken;
use proto::onvif::{Envelope, Error, Operation};
use tokio::net::TcpStream;

use crate::{PASSWORD, USER};

/// An answer of HTTP.
pub struct Answer {
    pub status: u16,
    pub challenges: Vec<String>,
    pub body: Bytes,
}

/// Sends a request and waits for all of the answer.
pub async fn send(
    camera: &Camera,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Answer, hyper::Error> {
    let socket = TcpStream::connect(camera.http_address()).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
    let mut request = Request::builder().method(method).uri(path).header("Host", camera.http_address().to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::<Bytes>::from(body.to_vec())).unwrap();
    let exchange = async {
        let response: Response<_> = sender.send_request(request).await?;
        let challenges = response.headers().get_all("WWW-Authenticate").iter();
        let challenges = challenges.map(|c| c.to_str().unwrap().to_owned()).collect();
        let status = response.status().as_u16();
        Ok(Answer { status, challenges, body: response.into_body().collect().await?.to_bytes() })
    };
    // The connection is driven beside the exchange, which tells what went wrong with it.
    let driven = async {
        let _ = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        answer = exchange => answer,
        () = driven => unreachable!("it is pending"),
    }
}

/// Posts a body and answers status, challenges and body.
pub async fn post(camera: &Camera, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, Vec<String>, String) {
    let Answer { status, challenges, body } = send(camera, "POST", path, headers, body).await.unwrap();
    (status, challenges, String::from_utf8(body.to_vec()).unwrap())
}

/// Gets what is at a URL of the camera, with HTTP digest.
pub async fn get(camera: &Camera, url: &str, password: &str) -> Result<Answer, hyper::Error> {
    let path = url.strip_prefix(&format!("http://{}", camera.http_address())).expect("an address of the camera");
    let asked = send(camera, "GET", path, &[], b"").await?;
    assert_eq!(asked.status, 401);
    let challenge = Challenge::parse(asked.challenges.iter().map(String::as_str)).unwrap();
    let login = Authorizer::new(USER, password).authorize(&challenge, "GET", path);
    send(camera, "GET", path, &[("Authorization", &login)], b"").await
}

pub fn now() -> std::time::Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap()
}

/// Asks with WS-Security.
pub async fn ask<O: Operation>(camera: &Camera, request: &O) -> Result<O::Response, Error> {
    ask_as(camera, request, PASSWORD).await
}

pub async fn ask_as<O: Operation>(camera: &Camera, request: &O, password: &str) -> Result<O::Response, Error> {
    Envelope::parse(&try_ask(camera, request, password).await.unwrap())?.response()
}

/// As [`ask_as`], where the connection may break; the document as it came.
pub async fn try_ask<O: Operation>(camera: &Camera, request: &O, password: &str) -> Result<Bytes, hyper::Error> {
    let token = UsernameToken::new(USER, password, rand::random(), now());
    let body = Envelope::of(request).with_header(token.to_header()).write();
    Ok(send(camera, "POST", "/onvif/device_service", &[], body.as_bytes()).await?.body)
}

/// Asks with HTTP digest: once without, to be challenged, and again. Answers the second status.
pub async fn ask_with_digest<O: Operation>(camera: &Camera, request: &O, password: &str) -> (u16, String) {
    let (path, body) = ("/onvif/ptz_service", Envelope::of(request).write());
    let (status, challenges, _) = post(camera, path, &[], body.as_bytes()).await;
    assert_eq!(status, 401);
    let challenge = Challenge::parse(challenges.iter().map(String::as_str)).unwrap();
    let login = Authorizer::new(USER, password).authorize(&challenge, "POST", path);
    let (status, _, answer) = post(camera, path, &[("Authorization", &login)], body.as_bytes()).await;
    (status, answer)
}
