//! Request parameters, collected the way real clients send them.
//!
//! Clients disagree with the documentation and with each other, so parameters are taken from the query
//! string, then the body (urlencoded, multipart on any path, or JSON), then for the newer families from
//! headers; later sources override earlier ones. An empty value is an absent one, the last of several
//! equal names wins (players page by appending a second `startTime`), and what nobody asks for is ignored.
//!
//! Pure and without the rest of the server, so that it can be fuzzed alone. Of uploaded files it says
//! where in the body they lie.
//! Sources: WHATWG URL §5.1 (urlencoded), RFC 7578 and RFC 2046 §5.1 (multipart), RFC 8259 (JSON).

use std::collections::HashMap;
use std::ops::Range;

/// Parameters of one request. Far above what any client sends; more is refused.
const PARAMETERS_MAX: usize = 256;

/// Bytes of a parameter's name; longer ones are refused.
const NAME_BYTES_MAX: usize = 128;

/// Parts of a multipart body, files included; more are refused.
const PARTS_MAX: usize = 256;

/// Bytes of the header block of one part; more are refused.
const PART_HEADER_BYTES_MAX: usize = 4 << 10;

/// RFC 2046 allows 70; runtimes are more generous.
const BOUNDARY_BYTES_MAX: usize = 200;

/// Why a request's parameters cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Too many parameters or parts.
    #[error("too many parameters")]
    TooMany,
    /// A parameter's name is too long.
    #[error("parameter name too long")]
    NameTooLong,
    /// The multipart body has no boundary, or one of forbidden length.
    #[error("multipart boundary missing")]
    NoBoundary,
    /// A part of a multipart body does not end, or its header cannot be read.
    #[error("multipart body broken")]
    BrokenPart,
    /// The body says it is JSON and is not a JSON object.
    #[error("body is not a JSON object")]
    NotJson,
}

/// What the decoder looks at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Source<'a> {
    /// Query string without the question mark.
    pub query: &'a str,
    /// The `Content-Type` header.
    pub content_type: &'a str,
    /// The body.
    pub body: &'a [u8],
    /// Parameters sent as headers, for the families that allow it.
    pub headers: &'a [(&'a str, &'a str)],
}

/// A file in a multipart body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// What its sender calls it; may be empty, and may say anything.
    pub file_name: String,
    /// Where its bytes lie in the body.
    pub range: Range<usize>,
}

/// The parameters of one request; never an empty value, and never an empty file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    values: HashMap<String, String>,
    files: HashMap<String, File>,
}

impl Form {
    /// Collects the parameters of a request.
    ///
    /// # Errors
    /// [`FormError`] when the body is not what it claims or a limit is passed.
    pub fn collect(source: Source<'_>) -> Result<Form, FormError> {
        let mut form = Form::default();
        form.add_urlencoded(source.query.as_bytes())?;
        match Body::of(source.content_type, source.body) {
            Body::Nothing => {}
            Body::Urlencoded => form.add_urlencoded(source.body)?,
            Body::Multipart => form.add_multipart(source.content_type, source.body)?,
            Body::Json => form.add_json(source.body)?,
        }
        for (name, value) in source.headers {
            form.add(name, value)?;
        }
        Ok(form)
    }

    /// The value of a parameter; `None` when it was not sent or was empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The file of this name; `None` when it was not sent or was empty.
    pub fn file(&self, name: &str) -> Option<&File> {
        self.files.get(name)
    }

    /// Names and files, in no order.
    pub fn files(&self) -> impl Iterator<Item = (&str, &File)> {
        self.files.iter().map(|(name, file)| (name.as_str(), file))
    }

    /// Names and values, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn add(&mut self, name: &str, value: &str) -> Result<(), FormError> {
        if name.len() > NAME_BYTES_MAX {
            return Err(FormError::NameTooLong);
        }
        if value.trim().is_empty() {
            return Ok(());
        }
        if self.values.len() >= PARAMETERS_MAX && !self.values.contains_key(name) {
            return Err(FormError::TooMany);
        }
        self.values.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    fn add_file(&mut self, name: String, file: File) -> Result<(), FormError> {
        if name.len() > NAME_BYTES_MAX {
            return Err(FormError::NameTooLong);
        }
        if !file.range.is_empty() {
            self.files.insert(name, file);
        }
        Ok(())
    }

    fn add_urlencoded(&mut self, text: &[u8]) -> Result<(), FormError> {
        // Bounds the work as well as the memory: equal names would not grow the map.
        if text.iter().filter(|b| **b == b'&').count() > 4 * PARAMETERS_MAX {
            return Err(FormError::TooMany);
        }
        url::form_urlencoded::parse(text).try_for_each(|(name, value)| self.add(&name, &value))
    }

    fn add_json(&mut self, body: &[u8]) -> Result<(), FormError> {
        // Nesting deeper than 128 is an error of the parser; nested values are ignored anyway.
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(body).map_err(|_| FormError::NotJson)?;
        for (name, value) in &object {
            match value {
                serde_json::Value::String(text) => self.add(name, text)?,
                serde_json::Value::Number(_) | serde_json::Value::Bool(_) => self.add(name, &value.to_string())?,
                serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => {}
            }
        }
        Ok(())
    }

    fn add_multipart(&mut self, content_type: &str, body: &[u8]) -> Result<(), FormError> {
        let boundary =
            declared_boundary(content_type).or_else(|| first_line_boundary(body)).ok_or(FormError::NoBoundary)?;
        let delimiter = [b"--", boundary].concat();
        // What stands before the first delimiter is a preamble.
        let start = find(body, &delimiter).ok_or(FormError::BrokenPart)?;
        let mut rest = &body[start + delimiter.len()..];
        let inner = [b"\r\n", &delimiter[..]].concat();
        for _ in 0..PARTS_MAX {
            if rest.starts_with(b"--") {
                return Ok(()); // the end; an epilogue is ignored
            }
            let line_end = find(rest, b"\r\n").ok_or(FormError::BrokenPart)?;
            if !rest[..line_end].iter().all(|b| matches!(b, b' ' | b'\t')) {
                return Err(FormError::BrokenPart);
            }
            // Keeps the line end: a part without headers begins with the empty line at once.
            rest = &rest[line_end..];
            let header_end =
                find(&rest[..rest.len().min(PART_HEADER_BYTES_MAX)], b"\r\n\r\n").ok_or(FormError::BrokenPart)?;
            let header = String::from_utf8_lossy(&rest[..header_end]);
            // Keeps the second line end, which is the delimiter's when the value is empty.
            rest = &rest[header_end + 2..];
            let value_end = find(rest, &inner).ok_or(FormError::BrokenPart)?;
            let value = rest.get(2..value_end).unwrap_or_default();
            match Part::read(&header) {
                Some(Part { name, file_name: None }) => self.add(&name, &String::from_utf8_lossy(value))?,
                Some(Part { name, file_name: Some(file_name) }) => {
                    let start = body.len() - rest.len() + 2;
                    self.add_file(name, File { file_name, range: start..start + value.len() })?;
                }
                None => {}
            }
            rest = &rest[value_end + inner.len()..];
        }
        Err(FormError::TooMany)
    }
}

/// What a body is, by its declared type or, when that says nothing, by its first byte.
enum Body {
    Nothing,
    Urlencoded,
    Multipart,
    Json,
}

impl Body {
    fn of(content_type: &str, body: &[u8]) -> Body {
        let declared = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let first = body.trim_ascii_start().first();
        match declared.as_str() {
            _ if first.is_none() => Body::Nothing,
            "application/x-www-form-urlencoded" => Body::Urlencoded,
            // `amultipart/form-data` is what the mini-program's upload sends.
            _ if declared.contains("multipart/") => Body::Multipart,
            _ if declared.ends_with("json") => Body::Json,
            _ if body.starts_with(b"--") => Body::Multipart,
            _ if first == Some(&b'{') => Body::Json,
            _ => Body::Urlencoded,
        }
    }
}

/// The `boundary` parameter of a content type (RFC 2046 §5.1.1).
fn declared_boundary(content_type: &str) -> Option<&[u8]> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches('"').as_bytes();
        let fits = (1..=BOUNDARY_BYTES_MAX).contains(&value.len());
        (name.trim().eq_ignore_ascii_case("boundary") && fits).then_some(value)
    })
}

/// The boundary as the body itself shows it: its first line after the two dashes.
fn first_line_boundary(body: &[u8]) -> Option<&[u8]> {
    let after = body.strip_prefix(b"--")?;
    let end = find(&after[..after.len().min(BOUNDARY_BYTES_MAX + 2)], b"\r\n")?;
    (end > 0).then(|| &after[..end])
}

/// What the header of a part says (RFC 7578 §4.2).
struct Part {
    name: String,
    /// There for files only.
    file_name: Option<String>,
}

impl Part {
    /// `None` for parts that are not form data. A part is a file when it has a file name, or no text
    /// for its type: some clients send sound without a name.
    fn read(header: &str) -> Option<Part> {
        let field = |wanted: &str| {
            header.split("\r\n").find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.trim().eq_ignore_ascii_case(wanted).then_some(value.trim())
            })
        };
        let (mut name, mut file_name) = (None, None);
        // The first piece is the disposition itself. A quoted name with a semicolon in it is nobody's here.
        for parameter in field("content-disposition")?.split(';').skip(1) {
            let Some((key, value)) = parameter.split_once('=') else { continue };
            let value = || value.trim().trim_matches('"').to_owned();
            match key.trim().to_ascii_lowercase().as_str() {
                "name" => name = Some(value()),
                "filename" => file_name = Some(value()),
                // RFC 5987; a plain name that came with it is as good.
                "filename*" if file_name.is_none() => file_name = Some(String::new()),
                _ => {}
            }
        }
        let kind = field("content-type").unwrap_or("text/plain").to_ascii_lowercase();
        let sound = kind.starts_with("audio/") || kind.starts_with("video/") || kind == "application/octet-stream";
        Some(Part { name: name?, file_name: file_name.or_else(|| sound.then(String::new)) })
    }
}

/// Where `needle` first stands in `haystack`.
fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    // Looks for the needle's first byte before comparing: linear on everything but hostile input, and
    // there bounded by the body limit times the boundary's.
    let (first, _) = needle.split_first()?;
    let mut from = 0;
    while let Some(at) = haystack.get(from..)?.iter().position(|b| b == first) {
        if haystack[from + at..].starts_with(needle) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}
