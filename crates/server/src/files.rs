//! Pictures and phrases by their signed addresses, which open without a token: pages and players load
//! them as they load any file. What is wrong with an address is not told: 404.
//!
//! Parts of a file are served when one range is asked for (RFC 9110 §14), without which some browsers
//! play no sound.

use std::ops::RangeInclusive;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RANGE, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};

use crate::api::{App, cross_origin};

/// The routes of files.
pub fn routes(app: Arc<App>) -> Router {
    let methods = MethodFilter::GET.or(MethodFilter::OPTIONS);
    Router::new()
        .route("/v3/picture/{name}", on(methods, file))
        .route("/v3/voice/{name}", on(methods, file))
        .with_state(app)
}

async fn file(State(app): State<Arc<App>>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let mut response = match method {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        _ => answer(&app, &uri, &headers).await,
    };
    cross_origin(&method, &headers, response.headers_mut());
    response
}

async fn answer(app: &App, uri: &Uri, headers: &HeaderMap) -> Response {
    // As it was signed: the path is not decoded before.
    let found = match app.cloud.verify_file(uri.path(), uri.query().unwrap_or_default()) {
        Ok(grant) => app.cloud.open_file(&grant).await,
        Err(error) => Err(error),
    };
    let Ok(file) = found else { return (StatusCode::NOT_FOUND, "not found\n").into_response() };
    let mut response = part(file, headers.get(RANGE).and_then(|range| range.to_str().ok()));
    // Its address changes whenever it does, and is nobody else's business.
    for (name, value) in [
        (CONTENT_TYPE, media_type(uri.path())),
        (CACHE_CONTROL, "private, max-age=7200, immutable"),
        (ACCEPT_RANGES, "bytes"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit_once('.') {
        Some((_, "jpg")) => "image/jpeg",
        Some((_, "mp3")) => "audio/mpeg",
        Some((_, "wav")) => "audio/wav",
        _ => "application/octet-stream",
    }
}

/// The file, or the part of it that is asked for.
fn part(file: Bytes, range: Option<&str>) -> Response {
    let length = file.len();
    let told = |text: String| -> [(HeaderName, String); 1] { [(CONTENT_RANGE, text)] };
    match range.map_or(Wanted::All, |range| wanted(range, length)) {
        Wanted::All => file.into_response(),
        Wanted::Part(range) => {
            let told = told(format!("bytes {}-{}/{length}", range.start(), range.end()));
            (StatusCode::PARTIAL_CONTENT, told, file.slice(range)).into_response()
        }
        Wanted::Nothing => (StatusCode::RANGE_NOT_SATISFIABLE, told(format!("bytes */{length}"))).into_response(),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    All,
    Part(RangeInclusive<usize>),
    Nothing,
}

/// Reads a `Range` header. One that we do not understand, or of several parts, means all of it.
fn wanted(range: &str, length: usize) -> Wanted {
    let read = || {
        let (first, last) = range.trim().strip_prefix("bytes=")?.split_once('-')?;
        let last = if last.is_empty() { None } else { Some(last.parse::<usize>().ok()?) };
        Some(match (first, last) {
            ("", last) => (length.saturating_sub(last?), length.checked_sub(1).filter(|_| last != Some(0))),
            (first, last) => {
                let first = first.parse().ok()?;
                if last.is_some_and(|last| last < first) {
                    return None;
                }
                let end = length.checked_sub(1).filter(|end| first <= *end);
                (first, end.map(|end| last.map_or(end, |last| last.min(end))))
            }
        })
    };
    match read() {
        None => Wanted::All,
        Some((first, Some(last))) => Wanted::Part(first..=last),
        Some((_, None)) => Wanted::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        let check = |range: &str, expected: Wanted| assert_eq!(wanted(range, 10), expected, "{range}");
        check("bytes=0-", Wanted::Part(0..=9));
        check("bytes=0-1", Wanted::Part(0..=1));
        check("bytes=9-9", Wanted::Part(9..=9));
        check("bytes=5-99", Wanted::Part(5..=9));
        check("bytes=-3", Wanted::Part(7..=9));
        check("bytes=-99", Wanted::Part(0..=9));
        check("bytes=-0", Wanted::Nothing);
        check("bytes=10-", Wanted::Nothing);
        check("bytes=18446744073709551615-", Wanted::Nothing);
        for all in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=2-1",
            "bytes=a-b",
            "bytes=0-1,3-4",
            "lines=0-1",
            "bytes=99999999999999999999-",
        ] {
            check(all, Wanted::All);
        }
        assert_eq!(wanted("bytes=0-", 0), Wanted::Nothing);
        assert_eq!(wanted("bytes=-1", 0), Wanted::Nothing);
    }
}
