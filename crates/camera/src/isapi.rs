//! ISAPI: the second dialect, at the same HTTP port.

use hyper::{Response, StatusCode};
use tracing::debug;

use crate::http::{Ask, Content, Site, empty, read};

/// Answers one request under `/ISAPI/`, login passed.
pub async fn answer(site: &Site, ask: Ask) -> Response<Content> {
    debug!(user = ask.user, path = ask.head.path(), query = ask.head.query(), "no such resource");
    match read(site, ask.body).await {
        Ok(_) => empty(StatusCode::NOT_FOUND),
        Err(status) => empty(status),
    }
}
