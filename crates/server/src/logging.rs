//! Log lines on standard error, with secrets cut out.
//!
//! Types that hold secrets print `***` already; this is the second fence, for addresses and requests
//! that somebody logs whole: the value behind `t=`, `key=`, `accessToken=`, `appSecret=` and the like
//! never leaves the process.

use std::io::{self, Write};

use anyhow::Context;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{Log, LogFormat};

/// Names whose value is a secret wherever they stand before an equals sign or, quoted, before a colon.
const SECRET_NAMES: &[&str] = &[
    "t",
    "key",
    "accesstoken",
    "access_token",
    "appsecret",
    "app_secret",
    "token",
    "password",
    "oldpassword",
    "newpassword",
    "validatecode",
    "validate_code",
];

/// Starts logging as configured.
///
/// # Errors
/// When `log.level` is not a filter, or logging was started before.
pub fn start(config: &Log) -> anyhow::Result<()> {
    let filter =
        EnvFilter::try_new(&config.level).with_context(|| format!("log.level {:?} is not a filter", config.level))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Redacting);
    let started = match config.format {
        LogFormat::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&io::stderr())).try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    started.map_err(|e| anyhow::anyhow!(e))
}

/// Makes writers to standard error that cut secrets out.
struct Redacting;

impl<'a> MakeWriter<'a> for Redacting {
    type Writer = Line;
    fn make_writer(&'a self) -> Line {
        Line
    }
}

/// One log line; the formatter writes it whole.
struct Line;

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        io::stderr().lock().write_all(&redact(line))?;
        Ok(line.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// The line with `***` for every value that follows a secret's name and `=`.
pub fn redact(line: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some(equals) = rest.iter().position(|b| *b == b'=') {
        let (before, after) = (&rest[..equals], &rest[equals + 1..]);
        out.extend_from_slice(&rest[..=equals]);
        let start = before.iter().rposition(|b| !is_name(*b)).map_or(0, |at| at + 1);
        let name = String::from_utf8_lossy(&before[start..]).to_ascii_lowercase();
        rest = after;
        if SECRET_NAMES.contains(&name.as_str()) {
            let value = match after.strip_prefix(b"\"") {
                // With its quotes; a line that was cut has no second one.
                Some(quoted) => quoted.iter().position(|b| *b == b'"').map_or(after.len(), |end| end + 2),
                None => after.iter().position(|b| ends_value(*b)).unwrap_or(after.len()),
            };
            out.extend_from_slice(b"***");
            rest = &after[value..];
        }
    }
    out.extend_from_slice(rest);
    out
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn ends_value(byte: u8) -> bool {
    matches!(byte, b'&' | b'"' | b'\'' | b' ' | b'\n' | b'\r' | b',' | b';' | b')' | b'}' | b'\\' | b'\x1b')
}
