//! Golden exchanges: readable request and exact answer, one file for each endpoint.
//!
//! `UPDATE_GOLDEN=1` rewrites the answers; what differs from run to run is replaced by a placeholder of
//! the same JSON type, and only where it has the documented form. `{name}` in a request is filled in;
//! `{wav}` is a voice file of one second.

use std::path::Path;

use serde_json::Value;

use crate::expect_file;
use crate::http::send;
use crate::world::{World, wav};

const ANSWER: &str = "-----\n";
const NEXT: &str = "=====\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exchanges() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 10, "the golden files are gone");
    for file in files {
        // A world for each: an exchange may change it for those after it in the file, not for other files.
        let world = World::start().await;
        let text = std::fs::read_to_string(&file).unwrap();
        let mut actual = String::new();
        for exchange in text.split(NEXT) {
            let request = exchange.split(ANSWER).next().unwrap();
            actual += if actual.is_empty() { "" } else { NEXT };
            actual += request;
            actual += ANSWER;
            actual += &answer(&world, request).await;
        }
        world.stop().await;
        expect_file(file.to_str().unwrap(), &actual);
    }
}

async fn answer(world: &World, request: &str) -> String {
    let text: String = request.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    let filled = world.fill(&text);
    let (head, body) = filled.split_once("\n\n").unwrap_or((filled.trim_end(), ""));
    // Multipart bodies want their line ends as the standard says.
    let body = body.strip_suffix('\n').unwrap_or(body);
    let body = if head.contains("multipart") { body.replace('\n', "\r\n") } else { body.to_owned() };
    let (first, rest) = head.split_once('\n').unwrap_or((head, ""));
    let body = match body.split_once("{wav}") {
        Some((before, after)) => [before.as_bytes(), &wav(1), after.as_bytes()].concat(),
        None => body.into_bytes(),
    };
    let answer = send(world.http, &format!("{first} HTTP/1.1\n{rest}"), &body).await;
    let mut shown = format!("{}\n", answer.status);
    let shown_headers = ["content-type", "allow", "access-control-allow-origin", "access-control-allow-methods"];
    for name in shown_headers.into_iter().chain(["access-control-allow-headers", "access-control-max-age"]) {
        if !answer.header(name).is_empty() {
            shown += &format!("{name}: {}\n", answer.header(name));
        }
    }
    if !answer.body.is_empty() {
        shown += &format!("\n{}\n", world.unfill(&mask(&answer.body)).trim_end());
    }
    shown
}

/// Replaces what no two runs have in common.
fn mask(body: &str) -> String {
    let Ok(json) = serde_json::from_str::<Value>(body) else { return body.to_owned() };
    let mut found = Vec::new();
    collect("", &json, &mut found);
    // Longer ones first: an id stands inside an address too.
    found.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
    found.iter().fold(body.to_owned(), |body, (value, placeholder)| body.replace(value, placeholder))
}

fn collect(name: &str, value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| collect(name, value, found)),
        Value::Array(items) => items.iter().for_each(|value| collect(name, value, found)),
        Value::Number(number) => {
            let millis = matches!(name, "expireTime" | "addTime" | "updateTime" | "beginTime" | "endTime");
            if millis && number.to_string().len() == 13 {
                found.push((number.to_string(), "1111111111111".into()));
            }
        }
        Value::String(text) => match name {
            "accessToken" if text.len() == 64 && text.starts_with("at.") => {
                found.push((text.clone(), "at.64characters".into()));
            }
            "expireTime" if is_local_time(text) => found.push((text.clone(), "yyyy-MM-dd HH:mm:ss".into())),
            "id" if text.len() == 18 && text.bytes().all(|b| b.is_ascii_digit()) => {
                found.push((text.clone(), "18digits".into()));
            }
            _ => {
                let phrase = text.split_once("/v3/voice/").and_then(|(_, rest)| rest.split_once(".wav"));
                if let Some((id, _)) = phrase.filter(|(id, _)| id.len() == 32) {
                    found.push((id.into(), "32characters".into()));
                }
                let query = text.split_once('?').map_or("", |(_, query)| query);
                for pair in query.split('&') {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    match (name, value.len()) {
                        ("expire", 10) => found.push((value.into(), "1111111111".into())),
                        ("id", 18) => found.push((value.into(), "18digits".into())),
                        ("t", 64) if value.bytes().all(|b| b.is_ascii_hexdigit()) => {
                            found.push((value.into(), "64hex".into()))
                        }
                        _ => {}
                    }
                }
            }
        },
        Value::Null | Value::Bool(_) => {}
    }
}

fn is_local_time(text: &str) -> bool {
    let form = b"dddd-dd-dd dd:dd:dd";
    let fits = |(byte, form): (u8, &u8)| if *form == b'd' { byte.is_ascii_digit() } else { byte == *form };
    text.len() == form.len() && text.bytes().zip(form).all(fits)
}
