//! The one user of the camera, whoever asks for him.

use std::time::{Duration, Instant};

use proto::digest::{Algorithm, Denied, Verifier};
use proto::onvif::security::{CLOCK_SKEW_MAX, UsernameToken};

use crate::clock::Clock;
use crate::config::Config;
use crate::faults::{Fault, Faults};

/// Judges logins.
pub struct Login {
    user: String,
    password: String,
    verifier: Verifier,
    clock: Clock,
    faults: Faults,
}

impl Login {
    /// The login of a configuration.
    pub fn new(config: &Config, clock: Clock, faults: Faults) -> Login {
        Login { user: config.user.clone(), password: config.password.clone(), verifier: verifier(), clock, faults }
    }

    /// The password of that user, if there is such a user.
    pub fn password(&self, user: &str) -> Option<String> {
        let lets_in = user == self.user && self.faults.get() != Fault::WrongPassword;
        lets_in.then(|| self.password.clone())
    }

    /// Judges an `Authorization` header of HTTP digest; answers the user.
    ///
    /// # Errors
    /// Why the login is refused.
    pub fn digest(&self, authorization: Option<&str>, method: &str, target: &str) -> Result<String, Denied> {
        self.verifier.verify(Instant::now(), authorization, method, target, |user| self.password(user))
    }

    /// Judges a WS-Security token.
    ///
    /// # Errors
    /// [`Denied::Bad`].
    pub fn token(&self, token: &UsernameToken) -> Result<(), Denied> {
        let now = Duration::from_micros(self.clock.wall().0 as u64);
        let password = self.password(&token.username).ok_or(Denied::Bad)?;
        token.verify(&password, now, CLOCK_SKEW_MAX).map_err(|_| Denied::Bad)
    }

    /// Values of the `WWW-Authenticate` headers that go with a refusal.
    pub fn challenges(&self, denied: Denied) -> Vec<String> {
        self.verifier.challenges(Instant::now(), denied)
    }
}

/// MD5 alone: many clients take the first challenge, and most know no other algorithm.
pub fn verifier() -> Verifier {
    Verifier::new("camera", Instant::now()).algorithms([Algorithm::Md5])
}
