//! WS-Security UsernameToken with password digest: the login of most ONVIF requests.
//!
//! Source: OASIS WSS UsernameToken Profile 1.1, §3.1; ONVIF Core 5.9.1.

use std::time::Duration;

use av::UnixMicros;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

use super::{Error, ns};
use crate::calendar;
use crate::xml::Element;

/// How far the two clocks may be apart, unless the caller has a reason for another: the five minutes
/// the profile recommends.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_secs(300);

/// Longest nonce taken, in bytes of base64; the ones seen decode to 16 or 20 bytes. Longer ones are
/// refused.
const NONCE_MAX: usize = 256;

const DIGEST_TYPE: &str = "http://docs.oasis-open.org/wss/2004/01/\
    oasis-200401-wss-username-token-profile-1.0#PasswordDigest";
const BASE64_TYPE: &str = "http://docs.oasis-open.org/wss/2004/01/\
    oasis-200401-wss-soap-message-security-1.0#Base64Binary";

/// Why a token was not accepted. An answer to the peer must not tell which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// `Created` is no date or too far from now.
    #[error("token is not of this time")]
    Time,
    /// The digest is of another password.
    #[error("token has a wrong digest")]
    Digest,
}

/// A user name token as sent; proves knowledge of the password at one moment.
#[derive(Clone, PartialEq, Eq)]
pub struct UsernameToken {
    /// User name, in clear.
    pub username: String,
    /// Base64 of SHA-1 over nonce, created and password.
    digest: String,
    /// Base64 of the nonce. The digest is over the decoded bytes.
    nonce: String,
    /// `xs:dateTime`. The digest is over the text as it stands.
    created: String,
}

impl std::fmt::Debug for UsernameToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UsernameToken")
            .field("username", &self.username)
            .field("created", &self.created)
            .finish_non_exhaustive()
    }
}

/// `now` counts from 1970-01-01 UTC.
fn moment(now: Duration) -> UnixMicros {
    UnixMicros(now.as_micros() as i64)
}

fn digest(nonce: &[u8], created: &str, password: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(nonce);
    hash.update(created);
    hash.update(password);
    BASE64.encode(hash.finalize())
}

impl UsernameToken {
    /// A token for one request. `nonce` must never have been used before; `now` is the time since
    /// 1970-01-01 UTC by the *camera's* clock, which is often wrong.
    pub fn new(username: &str, password: &str, nonce: [u8; 16], now: Duration) -> Self {
        let created = calendar::write(moment(now));
        Self {
            username: username.to_owned(),
            digest: digest(&nonce, &created, password),
            nonce: BASE64.encode(nonce),
            created,
        }
    }

    /// Reads a `wsse:UsernameToken`.
    ///
    /// # Errors
    /// If a part is missing, the password is not sent as digest, or the nonce is too long.
    pub fn parse(token: &Element) -> Result<Self, Error> {
        let part = |namespace, name| {
            let missing = || Error::Missing("UsernameToken".into(), name);
            token.child(namespace, name).ok_or_else(missing)
        };
        let password = part(ns::WSSE, "Password")?;
        let kind = password.attribute("", "Type").unwrap_or_default();
        if kind.rsplit('#').next() != Some("PasswordDigest") {
            return Err(Error::Value("Password".into(), kind.chars().take(128).collect()));
        }
        let nonce = part(ns::WSSE, "Nonce")?.text.clone();
        if nonce.len() > NONCE_MAX {
            return Err(Error::Value("Nonce".into(), "longer than a nonce".into()));
        }
        Ok(Self {
            username: part(ns::WSSE, "Username")?.text.clone(),
            digest: password.text.clone(),
            nonce,
            created: part(ns::WSU, "Created")?.text.clone(),
        })
    }

    /// As a `wsse:Security` header block.
    pub fn to_header(&self) -> Element {
        let text = |name, text: &str| Element::new(ns::WSSE, name).with_text(text);
        let token = Element::new(ns::WSSE, "UsernameToken")
            .with(text("Username", &self.username))
            .with(text("Password", &self.digest).with_attribute("Type", DIGEST_TYPE))
            .with(text("Nonce", &self.nonce).with_attribute("EncodingType", BASE64_TYPE))
            .with(Element::new(ns::WSU, "Created").with_text(&self.created));
        let security = Element::new(ns::WSSE, "Security");
        security.with_attribute_in(ns::SOAP, "mustUnderstand", "1").with(token)
    }

    /// Checks the token against the user's password. `now` counts from 1970-01-01 UTC. A token can
    /// be replayed within `skew_max`; who minds remembers [`nonce`](Self::nonce) that long.
    ///
    /// # Errors
    /// If it is too old, too new, or of another password.
    pub fn verify(&self, password: &str, now: Duration, skew_max: Duration) -> Result<(), TokenError> {
        // The digest first, so that the time taken does not depend on which of the two is wrong.
        let nonce = BASE64.decode(&self.nonce).map_err(|_| TokenError::Digest)?;
        let expected = digest(&nonce, &self.created, password);
        let matches: bool = expected.as_bytes().ct_eq(self.digest.as_bytes()).into();
        let created = calendar::parse(&self.created).ok_or(TokenError::Time)?;
        match Duration::from_micros(created.0.abs_diff(moment(now).0)) <= skew_max {
            _ if !matches => Err(TokenError::Digest),
            true => Ok(()),
            false => Err(TokenError::Time),
        }
    }

    /// Base64 of the nonce.
    pub fn nonce(&self) -> &str {
        &self.nonce
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::onvif::{Envelope, device};

    const NOW: Duration = Duration::from_millis(1_284_669_240_061);

    fn through_the_wire(token: &UsernameToken) -> UsernameToken {
        let sent = Envelope::of(&device::GetHostname {}).with_header(token.to_header()).write();
        Envelope::parse(sent.as_bytes()).unwrap().username_token().unwrap().unwrap()
    }

    /// The worked example of ONVIF's Application Programmer's Guide, §6.1.1.3.
    #[test]
    fn digest_of_the_programmers_guide() {
        let nonce = BASE64.decode("LKqI6G/AikKCQrN0zqZFlg==").unwrap();
        let digest = digest(&nonce, "2010-09-16T07:50:45Z", "userpassword");
        assert_eq!(digest, "tuOSpGlFlIXsozq4HFNeeGeFLEI=");
    }

    #[test]
    fn right_password_in_time_is_accepted() {
        let token = through_the_wire(&UsernameToken::new("admin", "秘密&<", [7; 16], NOW));
        assert_eq!(token.username, "admin");
        assert_eq!(token.verify("秘密&<", NOW, CLOCK_SKEW_MAX), Ok(()));
        let edge = NOW + CLOCK_SKEW_MAX;
        assert_eq!(token.verify("秘密&<", edge, CLOCK_SKEW_MAX), Ok(()));
        let past = edge + Duration::from_secs(1);
        assert_eq!(token.verify("秘密&<", past, CLOCK_SKEW_MAX), Err(TokenError::Time));
        let before = NOW - CLOCK_SKEW_MAX - Duration::from_secs(1);
        assert_eq!(token.verify("秘密&<", before, CLOCK_SKEW_MAX), Err(TokenError::Time));
    }

    #[test]
    fn anything_changed_is_refused() {
        let token = UsernameToken::new("admin", "secret", [7; 16], NOW);
        assert_eq!(token.verify("Secret", NOW, CLOCK_SKEW_MAX), Err(TokenError::Digest));
        let later = calendar::write(moment(NOW + Duration::from_secs(1)));
        let forged = UsernameToken { created: later, ..token.clone() };
        assert_eq!(forged.verify("secret", NOW, CLOCK_SKEW_MAX), Err(TokenError::Digest));
        let forged = UsernameToken { nonce: BASE64.encode([8; 16]), ..token.clone() };
        assert_eq!(forged.verify("secret", NOW, CLOCK_SKEW_MAX), Err(TokenError::Digest));
        let forged = UsernameToken { nonce: "no base64".into(), ..token.clone() };
        assert_eq!(forged.verify("secret", NOW, CLOCK_SKEW_MAX), Err(TokenError::Digest));
        let forged = UsernameToken { digest: String::new(), ..token };
        assert_eq!(forged.verify("secret", NOW, CLOCK_SKEW_MAX), Err(TokenError::Digest));
    }

    #[test]
    fn a_password_in_clear_is_refused() {
        let mut header = UsernameToken::new("admin", "secret", [7; 16], NOW).to_header();
        let password = &mut header.children[0].children[1];
        password.attributes[0].value = DIGEST_TYPE.replace("PasswordDigest", "PasswordText");
        assert!(UsernameToken::parse(&header.children[0]).is_err());
        assert!(!format!("{:?}", UsernameToken::new("a", "b", [7; 16], NOW)).contains("digest"));
    }
}
