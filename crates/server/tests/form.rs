//! Parameter decoding: what real clients send, and what hostile ones do.

use server::api::form::{Form, FormError, Source};

#[track_caller]
fn check(source: Source<'_>, expected: &[(&str, &str)]) {
    let form = Form::collect(source).unwrap();
    let mut pairs: Vec<_> = form.iter().collect();
    pairs.sort_unstable();
    assert_eq!(pairs, expected);
}

const URLENCODED: &str = "application/x-www-form-urlencoded";

#[test]
fn query_of_a_post_with_empty_body() {
    check(
        Source { query: "accessToken=at.1&deviceSerial=D12345678", ..Source::default() },
        &[("accessToken", "at.1"), ("deviceSerial", "D12345678")],
    );
}

#[test]
fn urlencoded_body_overrides_the_query() {
    check(
        Source { query: "a=1&b=2", content_type: URLENCODED, body: b"b=3&c=%E8%90%A4+x", ..Source::default() },
        &[("a", "1"), ("b", "3"), ("c", "萤 x")],
    );
}

#[test]
fn empty_is_absent_and_does_not_override() {
    check(
        Source {
            query: "a=1&b=",
            content_type: URLENCODED,
            body: b"a=&c=%20&startTime=&endTime=",
            ..Source::default()
        },
        &[("a", "1")],
    );
}

/// The browser player pages by appending a second startTime; with the first it would never end.
#[test]
fn last_of_equal_names_wins() {
    check(
        Source { content_type: URLENCODED, body: b"startTime=1&pageSize=5&startTime=2", ..Source::default() },
        &[("pageSize", "5"), ("startTime", "2")],
    );
}

#[test]
fn body_without_type_is_urlencoded() {
    check(Source { body: b"a=1", ..Source::default() }, &[("a", "1")]);
    check(Source { content_type: "text/plain;charset=utf-8", body: b"a=1", ..Source::default() }, &[("a", "1")]);
}

#[test]
fn json_scalars_count_and_nested_values_do_not() {
    let body = br#"{"a":1,"b":"x","c":true,"d":null,"e":[1],"f":{"g":1},"h":""}"#;
    for content_type in ["application/json;charset=UTF-8", "application/problem+json", ""] {
        check(
            Source { query: "h=q", content_type, body, ..Source::default() },
            &[("a", "1"), ("b", "x"), ("c", "true"), ("h", "q")],
        );
    }
}

#[test]
fn query_with_empty_json_object() {
    check(Source { query: "a=1", content_type: "application/json", body: b"{}", ..Source::default() }, &[("a", "1")]);
}

#[test]
fn headers_override_all() {
    let headers = &[("accessToken", "h"), ("localIndex", "")];
    check(
        Source { query: "accessToken=q&localIndex=2", headers, ..Source::default() },
        &[("accessToken", "h"), ("localIndex", "2")],
    );
}

const PARTS: &[u8] = b"--XyZ\r\nContent-Disposition: form-data; name=\"accessToken\"\r\n\r\nat.1\r\n\
    --XyZ\r\ncontent-disposition: form-data; name=startTime\r\nContent-Type: text/plain\r\n\r\n1\r\n\
    --XyZ\r\nContent-Disposition: form-data; name=\"voice\"; filename=\"a.mp3\"\r\n\r\n--not\r\n--XyY\r\n\
    --XyZ\r\nContent-Disposition: form-data; name=\"empty\"\r\n\r\n\r\n\
    --XyZ\r\nContent-Disposition: form-data; name=\"startTime\"\r\n\r\n2\r\n--XyZ--\r\n";

const OF_PARTS: &[(&str, &str)] = &[("accessToken", "at.1"), ("startTime", "2")];

/// A file is no parameter; the form says where in the body it lies.
#[test]
fn multipart_with_files() {
    let form = Form::collect(Source {
        content_type: "multipart/form-data; boundary=XyZ",
        body: PARTS,
        headers: &[],
        query: "",
    });
    let form = form.unwrap();
    assert_eq!(form.files().count(), 1);
    let file = form.file("voice").unwrap();
    assert_eq!((file.file_name.as_str(), &PARTS[file.range.clone()]), ("a.mp3", &b"--not\r\n--XyY"[..]));
    check(Source { content_type: "multipart/form-data; boundary=XyZ", body: PARTS, ..Source::default() }, OF_PARTS);
    check(
        Source {
            content_type: "multipart/form-data; charset=utf-8; Boundary=\"XyZ\"",
            body: PARTS,
            ..Source::default()
        },
        OF_PARTS,
    );
}

/// Bytes that are no text, with the delimiter's beginning in them, come out as they went in.
#[test]
fn files_of_any_bytes_and_headers() {
    let bytes: Vec<u8> = (0..=255).chain(*b"\r\n--Xy\r\n--X").collect();
    for (header, name) in [
        ("Content-Disposition: form-data; name=\"f\"; filename=\"门口.wav\"", Some("门口.wav")),
        ("Content-Disposition: form-data; name=\"f\"; filename=\"\"", Some("")),
        ("Content-Disposition: form-data; filename*=UTF-8''%E9%97%A8.wav; name=f", Some("")),
        ("Content-Disposition: form-data; filename=a.wav; filename*=UTF-8''b.wav; name=f", Some("a.wav")),
        ("content-type: Audio/MPEG\r\nContent-Disposition: form-data; name=f", Some("")),
        ("Content-Disposition: form-data; name=f\r\nContent-Type: application/octet-stream", Some("")),
        ("Content-Disposition: form-data; name=f\r\nContent-Type: text/plain; charset=utf-8", None),
        ("Content-Disposition: form-data; name=f", None),
        ("Content-Disposition: form-data; filename=a.wav", None),
        ("X-Other: form-data; name=f; filename=a.wav", None),
    ] {
        let body = [format!("--XyZ\r\n{header}\r\n\r\n").as_bytes(), &bytes, b"\r\n--XyZ--"].concat();
        let form = Form::collect(Source {
            content_type: "multipart/form-data; boundary=XyZ",
            body: &body,
            ..Source::default()
        })
        .unwrap();
        let file = form.file("f").map(|file| (file.file_name.as_str(), &body[file.range.clone()]));
        assert_eq!(file, name.map(|name| (name, &bytes[..])), "{header}");
    }
    let empty = b"--XyZ\r\nContent-Disposition: form-data; name=f; filename=a\r\n\r\n\r\n--XyZ--";
    let form =
        Form::collect(Source { content_type: "multipart/form-data; boundary=XyZ", body: empty, ..Source::default() });
    assert_eq!(form.unwrap().file("f"), None, "an empty file is none");
}

/// The mini-program's upload says `amultipart/form-data`; its boundary may be lost on the way.
#[test]
fn multipart_is_sniffed() {
    for content_type in [
        "amultipart/form-data",
        "amultipart/form-data; boundary=XyZ",
        "multipart/form-data",
        "application/octet-stream",
        "",
    ] {
        check(Source { content_type, body: PARTS, ..Source::default() }, OF_PARTS);
    }
}

#[test]
fn multipart_with_preamble_and_epilogue() {
    let body = [b"preamble\r\n", PARTS, b"epilogue"].concat();
    check(Source { content_type: "multipart/form-data; boundary=XyZ", body: &body, ..Source::default() }, OF_PARTS);
}

#[track_caller]
fn refused(content_type: &str, body: &[u8], expected: FormError) {
    assert_eq!(Form::collect(Source { content_type, body, ..Source::default() }), Err(expected));
}

#[test]
fn every_cut_of_a_multipart_body_is_refused_or_read() {
    for end in 0..PARTS.len() - "--\r\n".len() {
        let cut = Form::collect(Source {
            content_type: "multipart/form-data; boundary=XyZ",
            body: &PARTS[..end],
            ..Source::default()
        });
        assert!(end == 0 || cut == Err(FormError::BrokenPart), "{end}: {cut:?}");
    }
}

#[test]
fn multipart_without_end_or_boundary_is_refused() {
    refused("multipart/form-data; boundary=other", PARTS, FormError::BrokenPart);
    refused("multipart/form-data", b"no dashes", FormError::NoBoundary);
    refused("multipart/form-data; boundary=", b"----", FormError::NoBoundary);
    let long = format!("multipart/form-data; boundary={}", "x".repeat(4096));
    refused(&long, b"a", FormError::NoBoundary);
    let header = [b"--XyZ\r\nX: ".as_slice(), &[b'a'; 8 << 10], b"\r\n\r\n1\r\n--XyZ--"].concat();
    refused("multipart/form-data; boundary=XyZ", &header, FormError::BrokenPart);
}

#[test]
fn ten_thousand_parts_are_refused() {
    let part = b"--XyZ\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n";
    let body = [part.repeat(10_000).as_slice(), b"--XyZ--\r\n"].concat();
    refused("multipart/form-data; boundary=XyZ", &body, FormError::TooMany);
}

#[test]
fn too_many_parameters_are_refused() {
    let different: String = (0..1000).map(|n| format!("p{n}=1&")).collect();
    refused(URLENCODED, different.as_bytes(), FormError::TooMany);
    refused(URLENCODED, "p=1&".repeat(10_000).as_bytes(), FormError::TooMany);
    refused(URLENCODED, format!("{}=1", "n".repeat(4096)).as_bytes(), FormError::NameTooLong);
}

#[test]
fn broken_json_is_refused() {
    refused("application/json", b"{\"a\":", FormError::NotJson);
    refused("application/json", b"[1]", FormError::NotJson);
    refused("application/json", "[".repeat(100_000).as_bytes(), FormError::NotJson);
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(1000), "]".repeat(1000));
    refused("application/json", deep.as_bytes(), FormError::NotJson);
}
