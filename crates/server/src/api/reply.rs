//! Answers and their envelopes.
//!
//! A handler gives an [`Answer`] or a [`Failure`]; which envelope goes around it is the route's affair
//! (`code` is a string in one family and a number in the other, and clients break on the wrong one).
//! HTTP status is 200 whatever happened: to every client of these families another one means that the
//! request did not arrive.

use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::{ACCEPT_LANGUAGE, CONTENT_TYPE, HOST};
use serde::Serialize;

use super::code::{self, Family};
use super::form::FormError;
use crate::config::Language;

/// A successful answer.
#[derive(Debug, Default)]
pub struct Answer {
    data: Option<String>,
    page: Option<Page>,
}

/// Which rows a list shows.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Page {
    /// Rows in all.
    pub total: u64,
    /// Number of this page, from 0, as asked.
    pub page: u32,
    /// Rows a page, as asked.
    pub size: u32,
}

impl Answer {
    /// Done, and nothing to say: setters.
    pub fn done() -> Answer {
        Answer::default()
    }

    /// Done, and this is the data.
    pub fn data(data: &impl Serialize) -> Answer {
        let json = serde_json::to_string(data).expect("answers are structs of plain values");
        Answer { data: Some(json), page: None }
    }

    /// One page of rows.
    pub fn rows(rows: &impl Serialize, page: Page) -> Answer {
        Answer { page: Some(page), ..Answer::data(rows) }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A parameter is missing or malformed.
    #[error("parameter {0}")]
    Parameter(&'static str),
    /// The parameters cannot be read at all.
    #[error(transparent)]
    Form(#[from] FormError),
    /// What was asked for is not built or not offered.
    #[error("command not supported")]
    Unsupported,
    /// The product says no.
    #[error(transparent)]
    Product(#[from] cloud::Error),
}

impl Failure {
    /// Its public code.
    pub fn code(&self, family: Family) -> u32 {
        match self {
            Failure::Parameter(_) | Failure::Form(_) => code::PARAMETER,
            Failure::Unsupported => code::COMMAND_UNSUPPORTED,
            Failure::Product(error) => code::in_family(error, family),
        }
    }

    /// Its public text: that of the code, and what more helps the caller.
    pub fn text(&self, family: Family, language: Language) -> String {
        let text = code::text(self.code(family), language);
        let detail = match self {
            Failure::Parameter(name) => Some((*name).to_owned()),
            Failure::Form(error) => Some(error.to_string()),
            Failure::Product(error) => code::detail(error).map(str::to_owned),
            Failure::Unsupported => None,
        };
        detail.map_or_else(|| text.to_owned(), |detail| format!("{text}: {detail}"))
    }
}

/// What every handler of the Open API gives.
pub type Reply = Result<Answer, Failure>;

/// What goes around an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// `{"code":"200","msg":…,"data":…,"page":…}`: everything under `/api/lapp`.
    Lapp,
    /// `{"meta":{"code":200,"message":…,"moreInfo":null},"data":…}`: `/api/v3`, `/api/service`.
    Meta,
    /// `{"result":{"code":"200","msg":…,"data":…}}`: two of `/api/v3`.
    Result,
}

/// Families below `/api` that answer like `/api/lapp`.
const LIKE_LAPP: &[&str] = &["/api/lapp/", "/api/open/"];

/// Endpoints of `/api/v3` that answer like `/api/lapp`.
#[rustfmt::skip]
const V3_LIKE_LAPP: &[&str] = &[
    "device/osd", "device/timing/plan/get", "device/timing/plan/set", "device/alarm/detect/switch/get",
    "device/alarm/detect/switch/set", "device/pir/set", "device/motion/detect/get", "device/motion/detect/set",
    "device/detect/config/get", "device/detect/config/set", "device/detect/switch/set", "device/display/mode/get",
    "device/display/mode/set", "device/battery/work/mode/get", "device/battery/work/mode/set",
    "device/power/status/get", "device/switchStatus/get", "device/switchStatus/set",
    "das/device/detect/switch/get", "device/diskCapacity", "device/fillLight/mode", "device/fillLight/switch/set",
    "device/talkSpeakerVolume", "device/audition", "das/device/3d/zoom",
];

/// Endpoints of `/api/v3` with [`Envelope::Result`].
const V3_RESULT: &[&str] = &["device/searchDeviceInfo", "open/device/metadata/channel/status"];

impl Envelope {
    /// What goes around the answers of a path, built or not.
    pub fn of(path: &str) -> Envelope {
        match path.strip_prefix("/api/v3/") {
            Some(path) if V3_RESULT.contains(&path) => Envelope::Result,
            Some(path) if V3_LIKE_LAPP.contains(&path) => Envelope::Lapp,
            Some(_) => Envelope::Meta,
            None if path.starts_with("/api/") && !LIKE_LAPP.iter().any(|prefix| path.starts_with(prefix)) => {
                Envelope::Meta
            }
            None => Envelope::Lapp,
        }
    }
}

impl Envelope {
    /// Writes the answer.
    pub fn wrap(self, reply: &Reply, family: Family, language: Language) -> Response {
        let (number, text) = match reply {
            Ok(_) => (code::OK, code::text(code::OK, language).to_owned()),
            Err(failure) => (failure.code(family), failure.text(family, language)),
        };
        let text = serde_json::Value::from(text);
        // By hand: data is JSON already, and the order of members is the documented one.
        let mut body = match self {
            Envelope::Lapp => format!(r#"{{"code":"{number}","msg":{text}"#),
            Envelope::Result => format!(r#"{{"result":{{"code":"{number}","msg":{text}"#),
            Envelope::Meta => format!(r#"{{"meta":{{"code":{number},"message":{text},"moreInfo":null}}"#),
        };
        match reply {
            Ok(Answer { data, page }) => {
                if let Some(data) = data {
                    body += r#","data":"#;
                    body += data;
                }
                if let Some(page) = page {
                    body += r#","page":"#;
                    body += &serde_json::to_string(page).expect("three numbers");
                }
            }
            // One client looks for the string code on this family too, to fetch a new token.
            Err(_) if self == Envelope::Meta => body += &format!(r#","code":"{number}","msg":{text}"#),
            Err(_) => {}
        }
        body += if self == Envelope::Result { "}}" } else { "}" };
        ([(CONTENT_TYPE, "application/json;charset=UTF-8")], body).into_response()
    }
}

/// The language of public texts: by the host's name where that tells, then `Accept-Language`
/// (RFC 9110 §12.5.4), then `default`.
pub fn language(headers: &HeaderMap, default: Language) -> Language {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let host = header(HOST).split(':').next().unwrap_or_default();
    if host.ends_with(".ys7.com") {
        return Language::Zh;
    }
    if host.ends_with(".ezvizlife.com") {
        return Language::En;
    }
    let preferred = header(ACCEPT_LANGUAGE).split(',').filter_map(|entry| {
        let mut pieces = entry.split(';').map(str::trim);
        let tag = pieces.next()?.to_ascii_lowercase();
        let language = match tag.split('-').next()? {
            "zh" => Language::Zh,
            "en" => Language::En,
            _ => return None,
        };
        let weight: f32 = pieces.find_map(|p| p.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse().ok())?;
        (weight > 0.0).then_some((language, weight))
    });
    // The first of the heaviest.
    preferred.reduce(|best, next| if next.1 > best.1 { next } else { best }).map_or(default, |(language, _)| language)
}
