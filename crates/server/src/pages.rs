//! The web pages inside the binary: the H5 build of `apps/mobile` under `/m/`, and a small page at `/`.
//!
//! A build without the front end compiles, and says so where its pages would be.

use axum::body::Body;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, StatusCode};
use rust_embed::RustEmbed;

use crate::api::reply::language;
use crate::config::Language;

#[derive(RustEmbed)]
#[folder = "../../apps/mobile/dist/build/h5"]
#[allow_missing = true]
struct Mobile;

/// Whether the front end is in this build.
pub fn built() -> bool {
    Mobile::get("index.html").is_some()
}

/// What the front end may load: itself, media that its player puts together, and streams from wherever
/// an address says. No script but its own files.
const FRONT_END_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; \
    media-src 'self' blob:; worker-src 'self' blob:; connect-src 'self' http: https: ws: wss:; \
    object-src 'none'; base-uri 'none'; frame-ancestors 'self'";

/// `GET /m`
pub async fn mobile_root() -> Redirect {
    Redirect::permanent("/m/")
}

/// `GET /m/`
pub async fn mobile_index(headers: HeaderMap) -> Response {
    file("index.html", &headers)
}

/// `GET /m/{*path}`
pub async fn mobile_file(Path(path): Path<String>, headers: HeaderMap) -> Response {
    file(&path, &headers)
}

fn file(path: &str, headers: &HeaderMap) -> Response {
    if !built() {
        return page(StatusCode::NOT_FOUND, NO_FRONT_END);
    }
    // Looked up among the embedded names, never on a disk path of the request's making.
    let Some(file) = Mobile::get(path) else {
        return (StatusCode::NOT_FOUND, "not found\n").into_response();
    };
    let tag = format!("\"{}\"", hex_prefix(&file.metadata.sha256_hash()));
    // Assets carry a hash of their content in their name; the page that names them does not.
    let cache = if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    let mut response = if headers.get(IF_NONE_MATCH).is_some_and(|have| have.as_bytes() == tag.as_bytes()) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let kind = match file.metadata.mimetype() {
            text if text.starts_with("text/") || text.ends_with("javascript") => format!("{text}; charset=utf-8"),
            other => other.to_owned(),
        };
        ([(CONTENT_TYPE, kind)], Body::from(file.data.into_owned())).into_response()
    };
    for (name, value) in [(ETAG, tag.as_str()), (CACHE_CONTROL, cache), (CONTENT_SECURITY_POLICY, FRONT_END_POLICY)] {
        response.headers_mut().insert(name, value.parse().expect("hexadecimal and plain words are header text"));
    }
    guard(&mut response);
    response
}

/// `GET /`: what this is, in the reader's language.
pub async fn home(headers: HeaderMap) -> Response {
    let body = match (language(&headers, Language::Zh), built()) {
        (_, false) => NO_FRONT_END,
        (Language::Zh, true) => HOME_ZH,
        (Language::En, true) => HOME_EN,
    };
    page(StatusCode::OK, body)
}

fn page(status: StatusCode, body: &str) -> Response {
    let html = format!("{HEAD}{body}</main>");
    let mut response = (status, [(CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response();
    guard(&mut response);
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy.parse().expect("plain words are header text"));
    response
}

/// What every page says to the browser: believe the type, and tell nobody the address, which may hold a token.
fn guard(response: &mut Response) {
    for (name, value) in [(X_CONTENT_TYPE_OPTIONS, "nosniff"), (REFERRER_POLICY, "no-referrer")] {
        response.headers_mut().insert(name, http::HeaderValue::from_static(value));
    }
}

fn hex_prefix(hash: &[u8; 32]) -> String {
    hash[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

const HEAD: &str = r#"<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Fluorite</title>
<style>body{font:16px/1.6 system-ui,sans-serif;margin:0;background:#15131c;color:#e9e6f2}
main{max-width:36em;margin:12vh auto;padding:0 1.2em}h1{font-weight:600;color:#b9a3ff}a{color:#7fd8b4}
code{background:#262233;padding:.1em .4em;border-radius:.3em}</style><main>
"#;

const HOME_ZH: &str = r#"<h1>Fluorite 萤石</h1>
<p>这是一台自建的摄像机云服务器：摄像机在这里接入，应用通过萤石开放平台的 HTTP 接口使用它，只需更换域名。</p>
<p><a href="/m/">打开直播页面</a> · <a href="https://github.com/fluorite-cam/fluorite">文档</a></p>
<p>接口示例：<code>POST /api/lapp/token/get</code></p>
"#;

const HOME_EN: &str = r#"<h1>Fluorite</h1>
<p>A camera cloud of your own: cameras attach here, and applications use it through the EZVIZ Open Platform
HTTP API, with nothing changed but the host name.</p>
<p><a href="/m/">Open the live page</a> · <a href="https://github.com/fluorite-cam/fluorite">Documentation</a></p>
<p>For a start: <code>POST /api/lapp/token/get</code></p>
"#;

const NO_FRONT_END: &str = r#"<h1>Fluorite 萤石</h1>
<p>服务器正在运行，但此程序构建时未包含网页。先运行 <code>make build</code>，网页会被打包进程序。</p>
<p>The server is running; this build has no web pages in it. <code>make build</code> makes them and builds them in.</p>
"#;
