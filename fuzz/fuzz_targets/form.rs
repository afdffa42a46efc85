//! Request parameters: bounded, never empty, and the same again when written as a query; files that lie
//! within the body.

#![no_main]

use libfuzzer_sys::fuzz_target;

// The decoder stands alone, so the server around it need not be built for this.
#[path = "../../crates/server/src/api/form.rs"]
mod form;

use form::{Form, Source};

const TYPES: [&str; 6] = [
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=XyZ",
    "amultipart/form-data",
    "application/json",
    "text/plain",
    "",
];

fuzz_target!(|data: &[u8]| {
    let Some((selector, body)) = data.split_first() else { return };
    let content_type = TYPES[usize::from(*selector) % TYPES.len()];
    let Ok(read) = Form::collect(Source { content_type, body, ..Source::default() }) else { return };
    assert!(read.iter().count() <= 256);
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in read.iter() {
        assert!(!value.trim().is_empty() && name.len() <= 128);
        assert_eq!(read.get(name), Some(value));
        query.append_pair(name, value);
    }
    for (name, file) in read.files() {
        assert!(name.len() <= 128 && !file.range.is_empty() && file.range.end < body.len());
        assert!(body[file.range.end..].starts_with(b"\r\n--"), "a delimiter ends it");
    }
    let query = query.finish();
    let again = Form::collect(Source { query: &query, ..Source::default() }).expect("a query of parameters");
    assert!(again.files().next().is_none());
    for (name, value) in read.iter() {
        assert_eq!(again.get(name), Some(value));
    }
    assert_eq!(again.iter().count(), read.iter().count());
});
