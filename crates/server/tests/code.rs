//! The table of codes and texts.

use server::api::code::{TEXTS, text};
use server::config::Language;
use server::logging::redact;

#[test]
fn every_code_has_both_texts_once() {
    assert!(TEXTS.is_sorted_by(|a, b| a.0 < b.0), "ascending, each once");
    for row in TEXTS {
        assert!(!row.1.is_empty() && row.1.is_ascii(), "{}: {}", row.0, row.1);
        assert!(!row.2.is_empty() && !row.2.is_ascii(), "{}: {}", row.0, row.2);
    }
    assert_eq!(text(20007, Language::Zh), "设备不在线");
    assert_eq!(text(20007, Language::En), "device is offline");
    assert_eq!(text(1, Language::En), "unknown error");
}

/// Secrets never reach a log, whoever logs an address or a request whole (T28).
#[test]
fn log_lines_lose_their_secrets() {
    let check = |line: &str, expected: &str| assert_eq!(String::from_utf8(redact(line.as_bytes())).unwrap(), expected);
    check(
        "GET /v3/openlive/D1_1_1?expire=1&id=2&t=abc&ev=100 x",
        "GET /v3/openlive/D1_1_1?expire=1&id=2&t=***&ev=100 x",
    );
    check(
        "body accessToken=at.1&appSecret=\"s\" path=/push/D1_1?key=k\n",
        "body accessToken=***&appSecret=*** path=/push/D1_1?key=***\n",
    );
    check("code=20007 limit=5 =x", "code=20007 limit=5 =x");
    check("t=", "t=***");
    check("serial=\"D1\" password=\"a b\" x=1", "serial=\"D1\" password=*** x=1");
}
