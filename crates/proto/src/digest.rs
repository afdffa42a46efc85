//! HTTP authentication as cameras speak it over HTTP and RTSP, both ends.
//!
//! | Part | Follows |
//! |---|---|
//! | Digest, MD5 and SHA-256, `qop` auth or none | RFC 7616; RFC 2617 §3 for servers without `qop` |
//! | Basic | RFC 7617 |
//!
//! Left out because no camera asks for it: the `-sess` algorithms, `auth-int`, `userhash`,
//! `Authentication-Info`. Nothing here prints a password.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Longest header value looked at, bytes; real ones stay below 1 KiB. A longer one is refused.
pub const HEADER_MAX: usize = 4096;
/// Parameters read from one header; RFC 7616 defines a dozen. More are refused.
const PARAMETERS_MAX: usize = 64;

/// Parameters of one scheme, names in lower case.
type Parameters = BTreeMap<String, String>;

/// Hash of a digest exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// MD5: weak, and all that most cameras know.
    Md5,
    /// SHA-256.
    Sha256,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Sha256 => "SHA-256",
        }
    }

    fn parse(name: &str) -> Option<Algorithm> {
        [Algorithm::Md5, Algorithm::Sha256].into_iter().find(|a| a.name().eq_ignore_ascii_case(name))
    }

    fn hex(self, parts: &[&str]) -> String {
        let text = parts.join(":");
        match self {
            Algorithm::Md5 => hex::encode(Md5::digest(text)),
            Algorithm::Sha256 => hex::encode(Sha256::digest(text)),
        }
    }
}

/// What is wrong with a challenge.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No header, or nothing in it that could be read as a challenge.
    #[error("no challenge in the answer")]
    Missing,
    /// Longer than [`HEADER_MAX`] or with too many parameters.
    #[error("authentication header over its limit")]
    TooLong,
    /// None of the offered schemes is ours.
    #[error("no supported authentication scheme: {0}")]
    Unsupported(String),
}

/// What a server asks of us: the strongest offer we can answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    realm: String,
    scheme: Scheme,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Scheme {
    Basic,
    Digest { nonce: String, opaque: Option<String>, algorithm: Algorithm, qop_auth: bool, stale: bool },
}

impl Challenge {
    /// Reads the `WWW-Authenticate` values of one answer (one header may hold several challenges) and
    /// keeps the strongest: SHA-256, then MD5, then Basic.
    ///
    /// # Errors
    /// [`Error`] if nothing usable is offered.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<Challenge, Error> {
        let mut best: Option<Challenge> = None;
        let mut refused = None;
        for value in values {
            for (scheme, parameters) in challenges(value)? {
                match Challenge::from_parameters(&scheme, parameters) {
                    Ok(offer) if best.as_ref().is_none_or(|b| offer.strength() > b.strength()) => best = Some(offer),
                    Ok(_) => {}
                    Err(what) => refused = Some(what),
                }
            }
        }
        best.ok_or(refused.map_or(Error::Missing, Error::Unsupported))
    }

    fn from_parameters(scheme: &str, mut parameters: Parameters) -> Result<Challenge, String> {
        let realm = parameters.remove("realm").unwrap_or_default();
        if scheme.eq_ignore_ascii_case("basic") {
            return Ok(Challenge { realm, scheme: Scheme::Basic });
        }
        if !scheme.eq_ignore_ascii_case("digest") {
            return Err(scheme.chars().take(32).collect());
        }
        let algorithm = match parameters.get("algorithm") {
            None => Algorithm::Md5,
            Some(name) => Algorithm::parse(name).ok_or_else(|| format!("Digest algorithm={name}"))?,
        };
        let qop_auth = match parameters.get("qop") {
            None => false,
            // An empty list is sent by some firmware and means RFC 2069.
            Some(list) if list.trim().is_empty() => false,
            Some(list) if list.split(',').any(|q| q.trim().eq_ignore_ascii_case("auth")) => true,
            Some(list) => return Err(format!("Digest qop={list}")),
        };
        Ok(Challenge {
            realm,
            scheme: Scheme::Digest {
                nonce: parameters.remove("nonce").ok_or("Digest without nonce")?,
                opaque: parameters.remove("opaque"),
                algorithm,
                qop_auth,
                stale: parameters.get("stale").is_some_and(|s| s.eq_ignore_ascii_case("true")),
            },
        })
    }

    fn strength(&self) -> u8 {
        match &self.scheme {
            Scheme::Basic => 0,
            Scheme::Digest { algorithm: Algorithm::Md5, .. } => 1,
            Scheme::Digest { algorithm: Algorithm::Sha256, .. } => 2,
        }
    }

    /// The realm, as sent.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// Whether the login was right and only the nonce too old: answer again, once.
    pub fn stale(&self) -> bool {
        matches!(self.scheme, Scheme::Digest { stale: true, .. })
    }

    /// Whether the answer shows the password to whoever listens.
    pub fn is_basic(&self) -> bool {
        self.scheme == Scheme::Basic
    }
}

/// The client's side: a login, and the count of requests made under the current nonce.
#[derive(Clone)]
pub struct Authorizer {
    user: String,
    password: String,
    cnonce: String,
    nonce: String,
    count: u32,
}

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorizer({}, ***)", self.user)
    }
}

impl Authorizer {
    /// A login.
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Authorizer {
        let cnonce = hex::encode(rand::random::<[u8; 16]>());
        Authorizer { user: user.into(), password: password.into(), cnonce, nonce: String::new(), count: 0 }
    }

    /// The value of the `Authorization` header for one request. `uri` is the request target exactly
    /// as the request line has it.
    pub fn authorize(&mut self, challenge: &Challenge, method: &str, uri: &str) -> String {
        let Scheme::Digest { nonce, opaque, algorithm, qop_auth, .. } = &challenge.scheme else {
            return format!("Basic {}", BASE64.encode(format!("{}:{}", self.user, self.password)));
        };
        if self.nonce != *nonce {
            self.nonce.clone_from(nonce);
            self.count = 0;
        }
        self.count += 1;
        let ha1 = algorithm.hex(&[&self.user, &challenge.realm, &self.password]);
        let nc = format!("{:08x}", self.count);
        let qop = qop_auth.then_some((nc.as_str(), self.cnonce.as_str()));
        let response = response(*algorithm, &ha1, nonce, qop, method, uri);
        let mut header = format!(
            "Digest username={}, realm={}, nonce={}, uri={}, response=\"{response}\"",
            quoted(&self.user),
            quoted(&challenge.realm),
            quoted(nonce),
            quoted(uri),
        );
        // `algorithm` was optional in RFC 2617 and some firmware chokes on an unasked MD5; SHA-256 must be named.
        if *algorithm != Algorithm::Md5 || *qop_auth {
            header += &format!(", algorithm={}", algorithm.name());
        }
        if let Some((nc, cnonce)) = qop {
            header += &format!(", qop=auth, nc={nc}, cnonce=\"{cnonce}\"");
        }
        if let Some(opaque) = opaque {
            header += &format!(", opaque={}", quoted(opaque));
        }
        header
    }
}

/// RFC 7616 §3.4.1; without `qop`, RFC 2617 §3.2.2.1.
fn response(
    algorithm: Algorithm,
    ha1: &str,
    nonce: &str,
    qop: Option<(&str, &str)>,
    method: &str,
    uri: &str,
) -> String {
    let ha2 = algorithm.hex(&[method, uri]);
    match qop {
        Some((nc, cnonce)) => algorithm.hex(&[ha1, nonce, nc, cnonce, "auth", &ha2]),
        None => algorithm.hex(&[ha1, nonce, &ha2]),
    }
}

/// Why a request is not let in; the server answers 401 with new [`Verifier::challenges`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No `Authorization` header: a client's first request.
    #[error("no login given")]
    Missing,
    /// Right login, nonce too old: the client repeats the request without asking its user.
    #[error("nonce too old")]
    Stale,
    /// Wrong or unreadable login.
    #[error("wrong login")]
    Bad,
}

/// The server's side: makes challenges and judges answers.
///
/// Nonces are their time of making, authenticated by a key of this process, so nothing is stored per
/// client. A captured answer can therefore be replayed for the same method and target while its
/// nonce lives; what must resist that needs TLS.
pub struct Verifier {
    realm: String,
    key: [u8; 32],
    started: Instant,
    lifetime: Duration,
    algorithms: Vec<Algorithm>,
    basic: bool,
}

impl Verifier {
    /// How long a nonce is good.
    pub const NONCE_LIFETIME: Duration = Duration::from_secs(300);

    /// A verifier with a random key; it offers SHA-256 and MD5, in this order (RFC 7616 §3.7).
    /// Nonces count from `now`.
    pub fn new(realm: impl Into<String>, now: Instant) -> Verifier {
        Verifier {
            realm: realm.into(),
            key: rand::random(),
            started: now,
            lifetime: Self::NONCE_LIFETIME,
            algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
            basic: false,
        }
    }

    /// Offers exactly these, in this order. Clients that know only MD5 should find it last, or alone.
    pub fn algorithms(mut self, offered: impl Into<Vec<Algorithm>>) -> Verifier {
        self.algorithms = offered.into();
        self
    }

    /// Offers and accepts Basic too: for use behind TLS.
    pub fn allow_basic(mut self) -> Verifier {
        self.basic = true;
        self
    }

    /// Sets how long a nonce is good.
    pub fn lifetime(mut self, lifetime: Duration) -> Verifier {
        self.lifetime = lifetime;
        self
    }

    /// Values for the `WWW-Authenticate` headers of a 401, one header each.
    pub fn challenges(&self, now: Instant, why: Denied) -> Vec<String> {
        let nonce = self.nonce(now.saturating_duration_since(self.started).as_millis() as u64);
        let stale = if why == Denied::Stale { ", stale=true" } else { "" };
        let digest = self.algorithms.iter().map(|algorithm| {
            let (realm, name) = (quoted(&self.realm), algorithm.name());
            format!("Digest realm={realm}, nonce=\"{nonce}\", algorithm={name}, qop=\"auth\"{stale}")
        });
        digest.chain(self.basic.then(|| format!("Basic realm={}", quoted(&self.realm)))).collect()
    }

    /// Judges the `Authorization` header of a request; `password` tells a user's password. Answers
    /// the user's name. Comparison takes the same time wherever the difference lies, and an unknown
    /// user as long as a wrong password.
    ///
    /// # Errors
    /// [`Denied`] says which challenge to send.
    pub fn verify(
        &self,
        now: Instant,
        authorization: Option<&str>,
        method: &str,
        uri: &str,
        password: impl FnOnce(&str) -> Option<String>,
    ) -> Result<String, Denied> {
        let header = authorization.ok_or(Denied::Missing)?;
        let (scheme, rest) = header.trim().split_once(' ').ok_or(Denied::Bad)?;
        if self.basic && scheme.eq_ignore_ascii_case("basic") && header.len() <= HEADER_MAX {
            let decoded = BASE64.decode(rest.trim()).map_err(|_| Denied::Bad)?;
            let login = String::from_utf8(decoded).map_err(|_| Denied::Bad)?;
            let (user, given) = login.split_once(':').ok_or(Denied::Bad)?;
            let known = password(user);
            let expected = Sha256::digest(known.as_deref().unwrap_or_default());
            let equal: bool = expected.as_slice().ct_eq(Sha256::digest(given).as_slice()).into();
            return if equal && known.is_some() { Ok(user.to_owned()) } else { Err(Denied::Bad) };
        }
        let parsed = challenges(header).map_err(|_| Denied::Bad)?;
        let Some((scheme, given)) = parsed.into_iter().next() else { return Err(Denied::Bad) };
        if !scheme.eq_ignore_ascii_case("digest") {
            return Err(Denied::Bad);
        }
        self.verify_digest(now, &given, method, uri, password)
    }

    fn verify_digest(
        &self,
        now: Instant,
        given: &Parameters,
        method: &str,
        uri: &str,
        password: impl FnOnce(&str) -> Option<String>,
    ) -> Result<String, Denied> {
        let get = |name: &str| given.get(name).map(String::as_str).ok_or(Denied::Bad);
        let algorithm = given.get("algorithm").map_or(Some(Algorithm::Md5), |name| Algorithm::parse(name));
        let algorithm = algorithm.filter(|a| self.algorithms.contains(a)).ok_or(Denied::Bad)?;
        let (user, nonce, named_uri) = (get("username")?, get("nonce")?, get("uri")?);
        if get("realm")? != self.realm || !same_target(named_uri, uri) {
            return Err(Denied::Bad);
        }
        let qop = match given.get("qop").map(String::as_str) {
            Some(qop) if qop.eq_ignore_ascii_case("auth") => Some((get("nc")?, get("cnonce")?)),
            Some(_) => return Err(Denied::Bad),
            // Clients of RFC 2069 ignore the offered qop, and cameras must live with them.
            None => None,
        };
        let known = password(user);
        let ha1 = algorithm.hex(&[user, &self.realm, known.as_deref().unwrap_or_default()]);
        let expected = response(algorithm, &ha1, nonce, qop, method, named_uri);
        let equal: bool = expected.as_bytes().ct_eq(get("response")?.to_ascii_lowercase().as_bytes()).into();
        if !equal || known.is_none() {
            return Err(Denied::Bad);
        }
        // Only who knows the password learns that a nonce is old, or not ours (a restarted server's).
        match self.nonce_age(now, nonce) {
            Some(age) if age <= self.lifetime => Ok(user.to_owned()),
            _ => Err(Denied::Stale),
        }
    }

    /// 16 hex digits of milliseconds since `started`, then their HMAC.
    fn nonce(&self, millis: u64) -> String {
        let mut mac = <Hmac<Sha256>>::new_from_slice(&self.key).expect("HMAC takes a key of any length");
        mac.update(&millis.to_be_bytes());
        format!("{millis:016x}{}", hex::encode(&mac.finalize().into_bytes()[..16]))
    }

    fn nonce_age(&self, now: Instant, nonce: &str) -> Option<Duration> {
        let millis = u64::from_str_radix(nonce.get(..16)?, 16).ok()?;
        let ours: bool = self.nonce(millis).as_bytes().ct_eq(nonce.as_bytes()).into();
        let made = Duration::from_millis(millis);
        ours.then(|| now.saturating_duration_since(self.started).saturating_sub(made))
    }
}

/// Clients name the target of a request as absolute URI or as path alone.
fn same_target(a: &str, b: &str) -> bool {
    fn path(uri: &str) -> &str {
        match uri.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
            None => uri,
        }
    }
    a == b || path(a) == path(b)
}

fn quoted(text: &str) -> String {
    // A line break would end the header: such a login or realm cannot be sent at all.
    let safe = text.chars().filter(|c| !c.is_control());
    let escaped = safe.flat_map(|c| matches!(c, '"' | '\\').then_some('\\').into_iter().chain([c]));
    format!("\"{}\"", escaped.collect::<String>())
}

/// Splits a header into schemes and their parameters (names in lower case, the last of a name wins).
/// Lenient as firmware demands: stray commas, a missing closing quote, spaces around `=`.
fn challenges(value: &str) -> Result<Vec<(String, Parameters)>, Error> {
    if value.len() > HEADER_MAX {
        return Err(Error::TooLong);
    }
    let mut found: Vec<(String, Parameters)> = Vec::new();
    let mut rest = value;
    let mut count = 0;
    loop {
        rest = rest.trim_start_matches(|c: char| c == ',' || c == '=' || c.is_whitespace());
        if rest.is_empty() {
            return Ok(found);
        }
        count += 1;
        if count > PARAMETERS_MAX {
            return Err(Error::TooLong);
        }
        let end = rest.find(|c: char| c == ',' || c == '=' || c.is_whitespace()).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let after = after.trim_start();
        match (after.strip_prefix('='), found.last_mut()) {
            (Some(after), Some((_, parameters))) => {
                let (text, after) = parameter_value(after.trim_start());
                parameters.insert(word.to_ascii_lowercase(), text);
                rest = after;
            }
            // A parameter before any scheme belongs to nothing.
            (Some(after), None) => rest = parameter_value(after.trim_start()).1,
            (None, _) => {
                found.push((word.to_owned(), Parameters::new()));
                rest = after;
            }
        }
    }
}

/// A token or a quoted string at the start of `text`, and what follows it.
fn parameter_value(text: &str) -> (String, &str) {
    let Some(inner) = text.strip_prefix('"') else {
        let end = text.find(|c: char| c == ',' || c.is_whitespace()).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = inner.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &inner[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const URI: &str = "rtsp://10.0.0.5:554/main";

    fn fixed(user: &str, password: &str, cnonce: &str) -> Authorizer {
        Authorizer { cnonce: cnonce.into(), ..Authorizer::new(user, password) }
    }

    /// RFC 7616 §3.9.1, both algorithms.
    #[test]
    fn rfc7616_examples() {
        let offer = |algorithm: &str| {
            format!(
                r#"Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#
            )
        };
        for (algorithm, expected) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let challenge = Challenge::parse([offer(algorithm).as_str()]).unwrap();
            let mut client = fixed("Mufasa", "Circle of Life", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ");
            let header = client.authorize(&challenge, "GET", "/dir/index.html");
            assert!(header.contains(&format!("response=\"{expected}\"")), "{header}");
            assert!(header.contains("nc=00000001") && header.contains("opaque=\"FQhe/"), "{header}");
        }
    }

    /// RFC 2069 form (no qop), value computed with Python's hashlib.
    #[test]
    fn without_qop() {
        let challenge = Challenge::parse([r#"Digest realm="IP Camera(12345)", nonce="abc", stale="FALSE""#]).unwrap();
        let header = fixed("admin", "secret", "x").authorize(&challenge, "DESCRIBE", URI);
        assert!(header.contains("response=\"6dc79f71ca5ba353df8efda45ac5e655\""), "{header}");
        assert!(!header.contains("qop") && !header.contains("cnonce") && !challenge.stale());
    }

    #[test]
    fn strongest_offer_wins_wherever_it_stands() {
        let many = [r#"Basic realm="a", Digest realm="b", nonce="1", Digest realm="c", nonce="2", algorithm=sha-256"#];
        assert_eq!(Challenge::parse(many).unwrap().realm(), "c");
        let apart = [r#"Digest realm="b",nonce="1",algorithm="MD5",qop="auth""#, r#"Basic realm="a""#];
        assert_eq!(Challenge::parse(apart).unwrap().realm(), "b");
        assert!(Challenge::parse([r#"Basic realm="a""#]).unwrap().is_basic());
    }

    #[test]
    fn useless_offers_are_named() {
        assert_eq!(Challenge::parse([]), Err(Error::Missing));
        assert_eq!(Challenge::parse(["Negotiate"]), Err(Error::Unsupported("Negotiate".into())));
        let int = Challenge::parse([r#"Digest realm="a", nonce="1", qop="auth-int""#]);
        assert_eq!(int, Err(Error::Unsupported("Digest qop=auth-int".into())));
        assert_eq!(Challenge::parse(["x".repeat(HEADER_MAX + 1).as_str()]), Err(Error::TooLong));
        assert_eq!(Challenge::parse(["Digest ".repeat(65).as_str()]), Err(Error::TooLong));
    }

    #[test]
    fn quotes_in_names_survive() {
        let now = Instant::now();
        let server = Verifier::new("a \"quoted\\ realm", now);
        let offer = server.challenges(now, Denied::Missing);
        let challenge = Challenge::parse(offer.iter().map(String::as_str)).unwrap();
        assert_eq!(challenge.realm(), "a \"quoted\\ realm");
        let header = Authorizer::new("us\"er", "p\"w").authorize(&challenge, "PLAY", URI);
        let user = server.verify(now, Some(&header), "PLAY", URI, |user| (user == "us\"er").then(|| "p\"w".into()));
        assert_eq!(user, Ok("us\"er".into()));
    }

    fn password(user: &str) -> Option<String> {
        (user == "admin").then(|| "secret".to_owned())
    }

    #[test]
    fn client_and_server_agree_and_differences_are_bad() {
        let now = Instant::now();
        for server in [
            Verifier::new("cam", now),
            Verifier::new("cam", now).algorithms([Algorithm::Md5]),
            Verifier::new("cam", now).algorithms([]).allow_basic(),
        ] {
            let offer = server.challenges(now, Denied::Missing);
            let challenge = Challenge::parse(offer.iter().map(String::as_str)).unwrap();
            let mut client = Authorizer::new("admin", "secret");
            for _ in 0..3 {
                let header = client.authorize(&challenge, "SETUP", URI);
                assert_eq!(server.verify(now, Some(&header), "SETUP", URI, password), Ok("admin".into()));
            }
            let header = client.authorize(&challenge, "SETUP", URI);
            assert_eq!(server.verify(now, None, "SETUP", URI, password), Err(Denied::Missing));
            assert_eq!(server.verify(now, Some(&header), "SETUP", URI, |_| None), Err(Denied::Bad));
            for (user, wrong) in [("admin", "secre"), ("admin", ""), ("root", "secret"), ("", "")] {
                let header = Authorizer::new(user, wrong).authorize(&challenge, "SETUP", URI);
                assert_eq!(server.verify(now, Some(&header), "SETUP", URI, password), Err(Denied::Bad), "{header}");
            }
            if !challenge.is_basic() {
                assert_eq!(server.verify(now, Some(&header), "PLAY", URI, password), Err(Denied::Bad));
                assert_eq!(server.verify(now, Some(&header), "SETUP", "rtsp://x/sub", password), Err(Denied::Bad));
            }
        }
    }

    #[test]
    fn any_changed_byte_is_refused() {
        let now = Instant::now();
        let server = Verifier::new("cam", now).algorithms([Algorithm::Md5]);
        let offer = server.challenges(now, Denied::Missing);
        let challenge = Challenge::parse([offer[0].as_str()]).unwrap();
        let header = Authorizer::new("admin", "secret").authorize(&challenge, "PLAY", URI);
        // The host of the target, names of parameters and white space are not protected; the rest is.
        let from = header.find("nonce=\"").unwrap() + 7;
        for at in
            (from..from + 48).chain(header.find("response=\"").unwrap() + 10..header.find(", algorithm").unwrap() - 1)
        {
            let mut changed = header.clone().into_bytes();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(server.verify(now, Some(&changed), "PLAY", URI, password), Err(Denied::Bad), "{changed}");
        }
    }

    #[test]
    fn nonces_age_and_belong_to_one_server() {
        let start = Instant::now();
        let server = Verifier::new("cam", start);
        let old = server.challenges(start, Denied::Missing);
        let challenge = Challenge::parse(old.iter().map(String::as_str)).unwrap();
        let mut client = Authorizer::new("admin", "secret");
        let header = client.authorize(&challenge, "PLAY", URI);
        let last = start + Verifier::NONCE_LIFETIME;
        assert!(server.verify(last, Some(&header), "PLAY", URI, password).is_ok());
        let late = last + Duration::from_millis(1);
        assert_eq!(server.verify(late, Some(&header), "PLAY", URI, password), Err(Denied::Stale));
        let again = server.challenges(late, Denied::Stale);
        let challenge = Challenge::parse(again.iter().map(String::as_str)).unwrap();
        assert!(challenge.stale());
        let header = client.authorize(&challenge, "PLAY", URI);
        assert!(header.contains("nc=00000001"), "a new nonce counts from one: {header}");
        assert!(server.verify(late, Some(&header), "PLAY", URI, password).is_ok());
        let restarted = Verifier::new("cam", start);
        assert_eq!(restarted.verify(late, Some(&header), "PLAY", URI, password), Err(Denied::Stale));
    }

    #[test]
    fn headers_of_players() {
        // The path alone, upper-case hex, algorithm unnamed, no qop: each seen in the field.
        let now = Instant::now();
        let server = Verifier::new("cam", now).algorithms([Algorithm::Md5]);
        let nonce = server.nonce(0);
        let ha1 = Algorithm::Md5.hex(&["admin", "cam", "secret"]);
        let answer = response(Algorithm::Md5, &ha1, &nonce, None, "GET", "/main").to_uppercase();
        let header =
            format!("digest username=admin,realm=\"cam\",nonce=\"{nonce}\" , uri = \"/main\",response=\"{answer}");
        assert_eq!(server.verify(now, Some(&header), "GET", URI, password), Ok("admin".into()));
    }

    #[test]
    fn secrets_do_not_print() {
        assert!(!format!("{:?}", Authorizer::new("admin", "secret")).contains("secret"));
    }
}
