//! Configuration: one TOML file, every key optional, unknown keys refused.
//!
//! The `settings!` table below is the only place that names a key. From it come the structs, their
//! defaults, the reader, the `FLUORITE_SECTION__KEY` overrides, `--print-config` and the commented
//! sample in `docs/fluorite.sample.toml`. What people change while the server runs (devices, accounts)
//! is data and not here, so there is nothing to reload; and no key names a command to run.

use std::collections::HashMap;
use std::fmt;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use device::AllowedHost;
use toml::de::{DeTable, DeValue};

/// A value that can be left to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auto<T> {
    /// The server decides; written `"auto"`.
    Auto,
    /// The operator decided.
    Fixed(T),
}

impl<T> Auto<T> {
    /// The operator's value, if there is one.
    pub fn fixed(&self) -> Option<&T> {
        match self {
            Auto::Auto => None,
            Auto::Fixed(value) => Some(value),
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// Which language public messages are in when the request does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Chinese, as the platform imitated.
    Zh,
    /// English.
    En,
}

/// Minutes east of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UtcOffset(pub i32);

/// Where blobs are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobPlace(pub PathBuf);

macro_rules! settings {
    ($(
        $(#[doc = $section_doc:literal])*
        $section:ident: $Section:ident {
            $( $(#[doc = $doc:literal])* $key:ident: $ty:ty = $default:expr; )*
        }
    )*) => {
        /// Everything that can be configured.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct Config {
            $( $(#[doc = $section_doc])* pub $section: $Section, )*
        }

        $(
            $(#[doc = $section_doc])*
            #[derive(Clone, Debug, PartialEq)]
            pub struct $Section {
                $( $(#[doc = $doc])* pub $key: $ty, )*
            }

            impl Default for $Section {
                fn default() -> $Section {
                    $Section { $( $key: $default, )* }
                }
            }
        )*

        /// Every section with its documentation, and every key with its.
        const SECTIONS: &[Section] = &[$(
            Section {
                name: stringify!($section),
                doc: &[$($section_doc),*],
                keys: &[$( Key { name: stringify!($key), doc: &[$($doc),*] } ),*],
            }
        ),*];

        impl Config {
            fn set(&mut self, section: &str, key: &str, text: &str) -> Result<(), String> {
                match (section, key) {
                    $($( (stringify!($section), stringify!($key)) => self.$section.$key = Setting::read(text)?, )*)*
                    _ => return Err("no such key".into()),
                }
                Ok(())
            }

            fn get(&self, section: &str, key: &str) -> String {
                match (section, key) {
                    $($( (stringify!($section), stringify!($key)) => self.$section.$key.show(), )*)*
                    _ => String::new(),
                }
            }
        }
    };
}

settings! {
    /// The Open API, the web pages and HTTP-FLV.
    http: Http {
        /// Address and port for plain HTTP; port 0 takes any free one, "" serves none.
        listen: Option<SocketAddr> = Some(SocketAddr::from(([0, 0, 0, 0], 8080)));
        /// Address and port for HTTPS; used once tls_cert and tls_key are set.
        tls_listen: SocketAddr = SocketAddr::from(([0, 0, 0, 0], 8443));
        /// Certificate chain, a PEM file; serves HTTPS and RTMPS. Read again when it changes.
        tls_cert: Option<PathBuf> = None;
        /// Private key of the certificate, a PEM file.
        tls_key: Option<PathBuf> = None;
        /// Language of messages when a request does not say: "zh" or "en".
        language: Language = Language::Zh;
        /// Largest request body in bytes.
        body_bytes_max: usize = 1 << 20;
        /// Connections open at the same time, viewers included; more wait in the system's queue.
        connections_max: usize = 20_000;
        /// Also answer GET on those /api/lapp paths that only read. The platform imitated documents POST only.
        lapp_get: bool = false;
        /// Treat a pageSize above 50 as 50 instead of refusing it.
        page_size_clamp: bool = false;
    }
    /// RTMP, for players and for devices that publish.
    rtmp: Rtmp {
        /// Address and port for RTMP; port 0 takes any free one, "" serves none.
        listen: Option<SocketAddr> = Some(SocketAddr::from(([0, 0, 0, 0], 1935)));
        /// Address and port for RTMPS; used once http.tls_cert and http.tls_key are set.
        tls_listen: SocketAddr = SocketAddr::from(([0, 0, 0, 0], 1936));
        /// Connections open at the same time; more wait in the system's queue.
        connections_max: usize = 20_000;
    }
    /// What addresses we hand out call this machine.
    node: Node {
        /// Host name or IP in play addresses. "auto": the host by which the client reached us.
        public_host: Auto<String> = Auto::Auto;
        /// Told to clients as areaDomain; those of other regions then call this. With scheme, e.g. "https://cam.example.org".
        public_base_url: Option<String> = None;
        /// Zone of times in the API, as hours east of UTC; the platform imitated runs in China.
        utc_offset: UtcOffset = UtcOffset(480);
    }
    /// What is kept.
    store: Store {
        /// Folder of the database and the key file. FLUORITE_DATA is its short name.
        data: PathBuf = PathBuf::from("data");
        /// Where footage is kept: "file:" and a folder, below the data folder unless it is absolute.
        blob: BlobPlace = BlobPlace(PathBuf::from("blobs"));
    }
    /// Recording.
    record: Record {
        /// Milliseconds of media in a part: about what a killed server loses.
        part_ms: u32 = 1_000;
        /// Seconds of media in a segment, which is a file.
        segment_s: u32 = 60;
        /// Nothing is recorded while less than this is free, in MB of a million bytes.
        free_min_mb: u32 = 1_000;
        /// When room runs out, footage older than so many hours gives way, the oldest first, what is locked
        /// never; then recording waits for room.
        keep_min_h: u32 = 24;
        /// Days that footage is kept of channels that never had a plan.
        keep_days: u32 = 30;
    }
    /// Streams in memory.
    media: Media {
        /// How many milliseconds bytes may wait so that writes to viewers merge; 0 writes every frame at
        /// once. "auto": at once while the node has time to spare, up to 220 as it fills.
        merge_ms: Auto<u32> = Auto::Auto;
        /// Seconds a camera is still pulled after its last viewer left.
        linger_s: u32 = 15;
        /// Milliseconds a viewer waits for the first key frame.
        start_timeout_ms: u32 = 10_000;
        /// Bytes of recent media kept for each stream.
        ring_bytes_max: usize = 16 << 20;
        /// Milliseconds of recent media kept for each stream.
        ring_ms: u32 = 2_000;
    }
    /// Cameras.
    device: Device {
        /// Addresses the server may dial although it otherwise would not (its own machine, link-local
        /// ones): IP or IP:port.
        allow: Vec<Host> = Vec::new();
        /// Interface address to search for cameras from; "auto": the system's choice.
        discovery_interface: Auto<Ipv4Addr> = Auto::Auto;
        /// Seconds after which a turning camera is stopped when no ptz/stop comes.
        ptz_watchdog_s: u32 = 30;
        /// Turn a device's encryption off only with its verification code. Without, its owner may leave it out.
        decrypt_needs_code: bool = false;
    }
    /// What is written to standard error.
    log: Log {
        /// error, warn, info, debug or trace; or more finely, "info,fluorite=debug".
        level: String = "info".into();
        /// "text" or "json".
        format: LogFormat = LogFormat::Text;
    }
}

/// An exception from the outbound policy, as configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host(pub AllowedHost);

struct Section {
    name: &'static str,
    doc: &'static [&'static str],
    keys: &'static [Key],
}

struct Key {
    name: &'static str,
    doc: &'static [&'static str],
}

/// A type that a key can have.
trait Setting: Sized {
    /// Reads a value: a TOML string's content, or a number, boolean or list as written, the items of a
    /// list separated by commas. The error completes "… must be".
    fn read(text: &str) -> Result<Self, String>;
    /// The value as TOML.
    fn show(&self) -> String;
}

fn quoted(text: &str) -> String {
    // JSON string escapes are TOML basic string escapes.
    serde_json::Value::from(text).to_string()
}

macro_rules! setting {
    ($ty:ty, $what:literal, bare) => {
        impl Setting for $ty {
            fn read(text: &str) -> Result<Self, String> {
                text.replace('_', "").parse().map_err(|_| $what.into())
            }
            fn show(&self) -> String {
                self.to_string()
            }
        }
    };
    ($ty:ty, $what:literal, quoted) => {
        impl Setting for $ty {
            fn read(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| $what.into())
            }
            fn show(&self) -> String {
                quoted(&self.to_string())
            }
        }
    };
}

setting!(u32, "a whole number", bare);
setting!(usize, "a whole number", bare);
setting!(bool, "true or false", bare);
setting!(SocketAddr, "an IP address with a port, like \"0.0.0.0:8080\"", quoted);
setting!(Ipv4Addr, "an IPv4 address", quoted);
setting!(String, "text", quoted);

impl Setting for PathBuf {
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("a path".into()) } else { Ok(PathBuf::from(text)) }
    }
    fn show(&self) -> String {
        quoted(&self.to_string_lossy())
    }
}

impl<T: Setting> Setting for Option<T> {
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() { Ok(None) } else { T::read(text).map(Some) }
    }
    fn show(&self) -> String {
        self.as_ref().map_or_else(|| quoted(""), T::show)
    }
}

impl<T: Setting> Setting for Auto<T> {
    fn read(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Auto::Auto);
        }
        T::read(text).map(Auto::Fixed).map_err(|what| format!("\"auto\" or {what}"))
    }
    fn show(&self) -> String {
        self.fixed().map_or_else(|| quoted("auto"), T::show)
    }
}

impl<T: Setting> Setting for Vec<T> {
    fn read(text: &str) -> Result<Self, String> {
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(T::read).collect()
    }
    fn show(&self) -> String {
        format!("[{}]", self.iter().map(T::show).collect::<Vec<_>>().join(", "))
    }
}

impl Setting for Host {
    fn read(text: &str) -> Result<Self, String> {
        let exact = text.parse::<SocketAddr>().map(|a| AllowedHost { ip: a.ip(), port: Some(a.port()) });
        let any_port = || text.parse().map(|ip| AllowedHost { ip, port: None });
        exact.or_else(|_| any_port()).map(Host).map_err(|_| "a list of IP or IP:port".into())
    }
    fn show(&self) -> String {
        quoted(&match self.0.port {
            Some(port) => SocketAddr::new(self.0.ip, port).to_string(),
            None => self.0.ip.to_string(),
        })
    }
}

impl Setting for BlobPlace {
    fn read(text: &str) -> Result<Self, String> {
        let folder = text.strip_prefix("file:").filter(|folder| !folder.is_empty());
        folder.map(|folder| BlobPlace(PathBuf::from(folder))).ok_or_else(|| "\"file:FOLDER\"".into())
    }
    fn show(&self) -> String {
        quoted(&format!("file:{}", self.0.display()))
    }
}

impl Setting for Language {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "zh" => Ok(Language::Zh),
            "en" => Ok(Language::En),
            _ => Err("\"zh\" or \"en\"".into()),
        }
    }
    fn show(&self) -> String {
        quoted(if *self == Language::Zh { "zh" } else { "en" })
    }
}

impl Setting for LogFormat {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err("\"text\" or \"json\"".into()),
        }
    }
    fn show(&self) -> String {
        quoted(if *self == LogFormat::Text { "text" } else { "json" })
    }
}

impl Setting for UtcOffset {
    fn read(text: &str) -> Result<Self, String> {
        let read = || {
            let sign = match text.get(..1)? {
                "+" => 1,
                "-" => -1,
                _ => return None,
            };
            let (hours, minutes) = text[1..].split_once(':')?;
            let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
            ((0..=14).contains(&hours) && (0..60).contains(&minutes))
                .then_some(UtcOffset(sign * (hours * 60 + minutes)))
        };
        read().ok_or_else(|| "an offset like \"+08:00\"".into())
    }
    fn show(&self) -> String {
        let sign = if self.0 < 0 { '-' } else { '+' };
        quoted(&format!("{sign}{:02}:{:02}", self.0.abs() / 60, self.0.abs() % 60))
    }
}

/// Why a configuration is refused. `Display` names the place and what to write instead.
#[derive(Debug)]
pub struct ConfigError {
    origin: Origin,
    message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.message)
    }
}

impl std::error::Error for ConfigError {}

/// Where a value came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Origin {
    #[default]
    Default,
    File {
        path: PathBuf,
        line: usize,
    },
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line: 0 } => write!(f, "{}", path.display()),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}

/// A configuration and where each value in it came from.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    origins: HashMap<(&'static str, &'static str), Origin>,
}

impl Loaded {
    /// Reads the file, if there is one, and then the environment, which overrides it.
    ///
    /// # Errors
    /// The first thing wrong, with its line or variable: TOML syntax, an unknown key and the nearest
    /// known one, a value of the wrong form or range.
    pub fn read(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Loaded, ConfigError> {
        let mut loaded = Loaded::default();
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(|e| ConfigError {
                origin: Origin::File { path: path.into(), line: 0 },
                message: format!("cannot be read: {e}"),
            })?;
            loaded.read_toml(path, &text)?;
        }
        // In the order of their names, so that the same environment gives the same first error.
        let mut variables: Vec<_> = environment.filter(|(name, _)| name.starts_with("FLUORITE_")).collect();
        variables.sort();
        for (name, value) in variables {
            loaded.read_variable(&name, &value)?;
        }
        loaded.check()?;
        Ok(loaded)
    }

    fn read_toml(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let at = |offset: usize| {
            let line = 1 + text.as_bytes()[..offset.min(text.len())].iter().filter(|b| **b == b'\n').count();
            Origin::File { path: path.into(), line }
        };
        let document = DeTable::parse(text).map_err(|e| ConfigError {
            origin: at(e.span().map_or(0, |span| span.start)),
            message: e.message().to_owned(),
        })?;
        for (section, keys) in document.get_ref() {
            let origin = at(section.span().start);
            let known =
                find_section(section.get_ref()).map_err(|message| ConfigError { origin: origin.clone(), message })?;
            let DeValue::Table(keys) = keys.get_ref() else {
                return Err(ConfigError { origin, message: format!("\"{}\" is a section: [{0}]", known.name) });
            };
            for (key, value) in keys {
                let origin = at(key.span().start);
                let fail = |message| ConfigError { origin: origin.clone(), message };
                let known_key = find_key(known, key.get_ref()).map_err(fail)?;
                let text = plain(value.get_ref()).ok_or_else(|| {
                    fail(format!("{}.{} must be a single value or a list", known.name, known_key.name))
                })?;
                self.set(known.name, known_key.name, &text, origin.clone())?;
            }
        }
        Ok(())
    }

    fn read_variable(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        let origin = Origin::Variable(name.to_owned());
        if name == "FLUORITE_DATA" {
            return self.set("store", "data", value, origin);
        }
        // Others, such as FLUORITE_TOKEN, belong to the command line.
        let Some((section, key)) = name["FLUORITE_".len()..].split_once("__") else { return Ok(()) };
        let fail = |message| ConfigError { origin: origin.clone(), message };
        let section = find_section(&section.to_lowercase()).map_err(fail)?;
        let key = find_key(section, &key.to_lowercase()).map_err(fail)?;
        self.set(section.name, key.name, value, origin.clone())
    }

    fn set(&mut self, section: &'static str, key: &'static str, text: &str, origin: Origin) -> Result<(), ConfigError> {
        self.config.set(section, key, text).map_err(|what| ConfigError {
            origin: origin.clone(),
            message: format!("{section}.{key} must be {what}, not {}", quoted(text)),
        })?;
        self.origins.insert((section, key), origin);
        Ok(())
    }

    /// What a single key's type cannot say.
    fn check(&self) -> Result<(), ConfigError> {
        let c = &self.config;
        let rules: &[(bool, &'static str, &'static str, &str)] = &[
            (c.http.tls_key.is_some() || c.http.tls_cert.is_none(), "http", "tls_cert", "needs http.tls_key beside it"),
            (c.http.tls_cert.is_some() || c.http.tls_key.is_none(), "http", "tls_key", "needs http.tls_cert beside it"),
            (
                (1 << 10..=64 << 20).contains(&c.http.body_bytes_max),
                "http",
                "body_bytes_max",
                "must be 1024 to 67108864",
            ),
            ((16..=1_000_000).contains(&c.http.connections_max), "http", "connections_max", "must be 16 to 1000000"),
            ((16..=1_000_000).contains(&c.rtmp.connections_max), "rtmp", "connections_max", "must be 16 to 1000000"),
            (c.media.merge_ms.fixed().is_none_or(|ms| *ms <= 1_000), "media", "merge_ms", "must be 0 to 1000"),
            ((1..=3_600).contains(&c.device.ptz_watchdog_s), "device", "ptz_watchdog_s", "must be 1 to 3600"),
            (c.media.linger_s <= 86_400, "media", "linger_s", "must be 0 to 86400"),
            (
                (1_000..=60_000).contains(&c.media.start_timeout_ms),
                "media",
                "start_timeout_ms",
                "must be 1000 to 60000",
            ),
            (
                (1 << 20..=1 << 30).contains(&c.media.ring_bytes_max),
                "media",
                "ring_bytes_max",
                "must be 1048576 to 1073741824",
            ),
            ((500..=60_000).contains(&c.media.ring_ms), "media", "ring_ms", "must be 500 to 60000"),
            ((200..=10_000).contains(&c.record.part_ms), "record", "part_ms", "must be 200 to 10000"),
            ((1..=600).contains(&c.record.segment_s), "record", "segment_s", "must be 1 to 600"),
            (c.record.keep_min_h <= 876_000, "record", "keep_min_h", "must be 0 to 876000"),
            ((1..=36_500).contains(&c.record.keep_days), "record", "keep_days", "must be 1 to 36500"),
            (
                c.node.public_base_url.as_ref().is_none_or(|u| is_base_url(u)),
                "node",
                "public_base_url",
                "must be http:// or https:// with a host and nothing after it",
            ),
            (
                c.node.public_host.fixed().is_none_or(|h| url::Host::parse(h).is_ok()),
                "node",
                "public_host",
                "must be a host name or an IP address (IPv6 in brackets), without port",
            ),
        ];
        match rules.iter().find(|(kept, ..)| !kept) {
            None => Ok(()),
            Some((_, section, key, rule)) => Err(ConfigError {
                origin: self.origins.get(&(*section, *key)).cloned().unwrap_or_default(),
                message: format!("{section}.{key} {rule}"),
            }),
        }
    }

    /// The values in force as TOML, each with where it came from.
    pub fn print(&self) -> String {
        let mut out = String::new();
        for section in SECTIONS {
            let _ = writeln!(out, "[{}]", section.name); // writing to a String cannot fail
            for key in section.keys {
                let _ = write!(out, "{} = {}", key.name, self.config.get(section.name, key.name));
                match self.origins.get(&(section.name, key.name)) {
                    None => out.push('\n'),
                    Some(origin) => {
                        let _ = writeln!(out, "  # {origin}");
                    }
                }
            }
            out.push('\n');
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
        out
    }
}

/// The commented sample: every key at its default, switched off by a `#`.
pub fn sample() -> String {
    let config = Config::default();
    let mut out = String::from(
        "# Fluorite's configuration. Every key is optional; what stands here are the defaults.\n\
         # Each can also be given as an environment variable: [http] listen is FLUORITE_HTTP__LISTEN.\n",
    );
    for section in SECTIONS {
        out.push('\n');
        for line in section.doc {
            let _ = writeln!(out, "#{line}"); // writing to a String cannot fail
        }
        let _ = writeln!(out, "[{}]", section.name);
        for key in section.keys {
            for line in key.doc {
                let _ = writeln!(out, "#{line}");
            }
            let _ = writeln!(out, "#{} = {}", key.name, config.get(section.name, key.name));
        }
    }
    out
}

/// Whether this can be followed by a path: scheme and host, nothing else.
fn is_base_url(text: &str) -> bool {
    let Ok(url) = url::Url::parse(text) else { return false };
    matches!(url.scheme(), "http" | "https") && url.path() == "/" && url.query().is_none() && !text.ends_with('/')
}

fn plain(value: &DeValue<'_>) -> Option<String> {
    Some(match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Array(items) => items.iter().map(|item| plain(item.get_ref())).collect::<Option<Vec<_>>>()?.join(","),
        _ => return None,
    })
}

fn find_section(name: &str) -> Result<&'static Section, String> {
    SECTIONS.iter().find(|s| s.name == name).ok_or_else(|| {
        let nearest = nearest(name, SECTIONS.iter().map(|s| s.name));
        format!("unknown section [{name}]; the nearest is [{nearest}]")
    })
}

fn find_key(section: &'static Section, name: &str) -> Result<&'static Key, String> {
    section.keys.iter().find(|k| k.name == name).ok_or_else(|| {
        let elsewhere = SECTIONS.iter().find(|s| s.keys.iter().any(|k| k.name == name));
        let hint = match elsewhere {
            Some(other) => format!("[{}] has it", other.name),
            None => format!("the nearest is \"{}\"", nearest(name, section.keys.iter().map(|k| k.name))),
        };
        format!("unknown key \"{name}\" in [{}]; {hint}", section.name)
    })
}

fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> &'static str {
    known.min_by_key(|candidate| edit_distance(name, candidate)).unwrap_or_default()
}

/// Levenshtein distance: insertions, deletions and replacements that turn one into the other.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
