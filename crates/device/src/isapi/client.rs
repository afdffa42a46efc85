//! One ISAPI request: a resource, a document, what the device says to it.

use proto::isapi::{self, Document, Refusal, ResponseStatus};
use reqwest::{Body, Method, StatusCode, Url};

use crate::dial::Dialer;
use crate::driver::{DriverError, Login};
use crate::http::{Answer, CameraHttp, DOCUMENT_BYTES_MAX};

/// Requests to one device under one login.
pub(super) struct Client {
    http: CameraHttp,
    /// Scheme, host and port, as dialled.
    base: Url,
}

/// Why a request did not do.
#[derive(Debug)]
pub(super) enum Failure {
    /// The device would not, and what it said.
    Refused(Refusal, String),
    /// It could not be asked, or did not answer in ISAPI.
    Broken(DriverError),
}

impl Failure {
    /// What that means to who asked for `step`.
    pub(super) fn at(self, step: &'static str) -> DriverError {
        match self {
            Failure::Broken(error) => error,
            Failure::Refused(Refusal::NotSupported | Refusal::Method, _) => DriverError::Unsupported,
            Failure::Refused(Refusal::Login | Refusal::Privilege, _) => DriverError::LoginRefused,
            Failure::Refused(_, cause) => DriverError::Refused { step, cause },
        }
    }

    /// An answer that may be missing: the device does not have the resource, keeps it for
    /// administrators, or botches it. That it cannot be reached stays an error.
    pub(super) fn optional<T>(answer: Result<T, Failure>) -> Result<Option<T>, DriverError> {
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(Failure::Refused(..) | Failure::Broken(DriverError::Protocol { .. })) => Ok(None),
            Err(Failure::Broken(error)) => Err(error),
        }
    }
}

impl Client {
    pub(super) fn new(dialer: Dialer, base: Url, login: Option<Login>) -> Client {
        Client { http: CameraHttp::new(dialer, login), base }
    }

    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    fn url(&self, path: &str) -> Url {
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let mut url = self.base.clone();
        url.set_path(path);
        url.set_query(query);
        url
    }

    async fn send(&self, method: Method, path: &str, document: Option<String>) -> Result<Answer, Failure> {
        let body = document.map(|document| (isapi::CONTENT_TYPE.to_owned(), document));
        self.http.request(method, &self.url(path), body, DOCUMENT_BYTES_MAX).await.map_err(Failure::Broken)
    }

    /// Reads a document.
    pub(super) async fn get<D: Document>(&self, path: &str) -> Result<D, Failure> {
        read(&self.send(Method::GET, path, None).await?)
    }

    /// Writes a document.
    pub(super) async fn put(&self, path: &str, document: &impl Document) -> Result<(), Failure> {
        told(&self.send(Method::PUT, path, Some(document.to_document())).await?)
    }

    /// Asks by a document and is answered by another.
    pub(super) async fn post<D: Document>(&self, path: &str, document: &impl Document) -> Result<D, Failure> {
        read(&self.send(Method::POST, path, Some(document.to_document())).await?)
    }

    /// Has something done that takes no document.
    pub(super) async fn command(&self, method: Method, path: &str) -> Result<(), Failure> {
        told(&self.send(method, path, None).await?)
    }

    /// Has something done that takes no document and may answer with one.
    pub(super) async fn open<D: Document>(&self, path: &str) -> Result<Option<D>, Failure> {
        let answer = self.send(Method::PUT, path, None).await?;
        told(&answer)?;
        // Firmware that has no such document says how it went, or nothing.
        Ok(D::parse(&answer.body).ok())
    }

    /// Reads bytes that are no document; at most `limit`.
    pub(super) async fn bytes(&self, path: &str, limit: usize) -> Result<Vec<u8>, Failure> {
        let answer = self.http.request(Method::GET, &self.url(path), None, limit).await.map_err(Failure::Broken)?;
        done(&answer)?;
        Ok(answer.body)
    }

    /// Sends bytes as they come; see [`CameraHttp::put_stream`].
    pub(super) async fn put_stream(
        &self,
        path: &str,
        length: u64,
        open: &(dyn Fn() -> Body + Send + Sync),
    ) -> Result<(), Failure> {
        let sent = self.http.put_stream(&self.url(path), "application/octet-stream", length, open).await;
        told(&sent.map_err(Failure::Broken)?)
    }
}

/// Whether an answer says that it was done. The document decides, as some firmware refuses under 200;
/// without one it is the status.
fn done(answer: &Answer) -> Result<(), Failure> {
    let said = ResponseStatus::parse(&answer.body).ok();
    let refusal = said.as_ref().map(|said| said.refusal());
    let cause = || said.as_ref().map_or_else(|| format!("HTTP {}", answer.status), ResponseStatus::to_string);
    match refusal {
        // Under 401 everything else is an explanation.
        _ if answer.status == StatusCode::UNAUTHORIZED => Err(Failure::Refused(Refusal::Login, cause())),
        Some(Some(refusal)) => Err(Failure::Refused(refusal, cause())),
        _ if answer.status.is_success() => Ok(()),
        _ => Err(Failure::Refused(by_status(answer.status), cause())),
    }
}

/// As [`done`], of an answer that says how it went or nothing at all.
fn told(answer: &Answer) -> Result<(), Failure> {
    done(answer)?;
    match ResponseStatus::parse(&answer.body) {
        Err(isapi::Error::Xml(error)) if !answer.body.is_empty() => {
            Err(Failure::Broken(DriverError::Protocol { step: ResponseStatus::NAME, cause: error.to_string() }))
        }
        _ => Ok(()),
    }
}

fn by_status(status: StatusCode) -> Refusal {
    match status {
        StatusCode::NOT_FOUND | StatusCode::NOT_IMPLEMENTED => Refusal::NotSupported,
        StatusCode::METHOD_NOT_ALLOWED => Refusal::Method,
        StatusCode::SERVICE_UNAVAILABLE => Refusal::Busy,
        StatusCode::BAD_REQUEST => Refusal::Parameters,
        StatusCode::FORBIDDEN => Refusal::Privilege,
        _ => Refusal::Failed,
    }
}

fn read<D: Document>(answer: &Answer) -> Result<D, Failure> {
    done(answer)?;
    D::parse(&answer.body)
        .map_err(|error| Failure::Broken(DriverError::Protocol { step: D::NAME, cause: error.to_string() }))
}
