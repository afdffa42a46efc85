//! Who calls: accounts, applications, access tokens, the operator.

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use store::{AccountRow, AppRow, UnixMillis};
use tokio::time::Instant;

use crate::guest::Guest;
use crate::keys::{HEX, LOWER, hash, random_text, same};
use crate::{Cloud, Error};

/// How long an access token is valid.
const TOKEN_VALID: Duration = Duration::from_secs(7 * 24 * 3600);
/// Characters of an access token, which clients check.
pub(crate) const TOKEN_LENGTH: usize = 64;
/// A token is looked up again after this long, so that an application switched off is off soon.
const CALLER_CACHED: Duration = Duration::from_secs(5);
/// Callers cached; beyond that the cache begins anew.
const CALLERS_MAX: usize = 10_000;
const SECRET: &str = "app secret";

/// An account, by its id: 32 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AccountId(pub(crate) String);

/// Somebody whose access token was verified. Nothing of an account can be reached without one.
#[derive(Clone, Debug)]
pub struct Caller {
    pub(crate) account: AccountId,
    /// Somebody without an account, who is let in for a while.
    pub(crate) guest: Option<Guest>,
}

/// Somebody whose operator token was verified.
#[derive(Debug)]
pub struct Operator(());

/// An access token as it is given out.
#[derive(Clone)]
pub struct Token {
    /// 64 characters.
    pub access_token: String,
    /// When it ends.
    pub expires_at: UnixMillis,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("access_token", &"***").field("expires_at", &self.expires_at).finish()
    }
}

/// An application's credentials.
#[derive(Clone)]
pub struct App {
    /// 32 lower-case hexadecimal digits.
    pub app_key: String,
    /// 32 lower-case hexadecimal digits.
    pub app_secret: String,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("app_key", &self.app_key).field("app_secret", &"***").finish()
    }
}

/// Callers looked up lately.
#[derive(Default)]
pub(crate) struct Callers(Mutex<HashMap<[u8; 32], Known>>);

#[derive(Clone)]
struct Known {
    caller: Caller,
    expires_at: UnixMillis,
    seen: Instant,
}

impl Cloud {
    /// Makes an account of this name.
    ///
    /// # Errors
    /// `InvalidArgument` when the name is taken.
    pub async fn create_account_named(&self, _: &Operator, name: &str) -> Result<AccountId, Error> {
        let id = random_text(HEX, 32);
        let account = AccountRow { id: id.clone(), name: name.to_owned(), created_at: self.clock.now() };
        match self.store.insert_account(&account).await {
            Err(store::Error::Conflict) => Err(Error::InvalidArgument { field: "name" }),
            other => Ok(other.map(|()| AccountId(id))?),
        }
    }

    /// Makes an account with a name of its own.
    ///
    /// # Errors
    /// `Internal`.
    pub async fn create_account(&self, operator: &Operator) -> Result<AccountId, Error> {
        self.create_account_named(operator, &format!("account-{}", random_text(LOWER, 8))).await
    }

    /// The account of this name.
    ///
    /// # Errors
    /// `Internal`.
    pub async fn account_named(&self, _: &Operator, name: &str) -> Result<Option<AccountId>, Error> {
        let accounts = self.store.accounts().await?;
        Ok(accounts.into_iter().find(|account| account.name == name).map(|account| AccountId(account.id)))
    }

    /// The account that has a device.
    ///
    /// # Errors
    /// `NotOwner` while nobody has.
    pub async fn account_of(&self, _: &Operator, serial: &str) -> Result<AccountId, Error> {
        let device = self.store.device(serial).await?;
        device.and_then(|device| device.account_id).map(AccountId).ok_or(Error::NotOwner)
    }

    /// Makes an application of an account. Its secret is kept sealed.
    ///
    /// # Errors
    /// `Internal`.
    pub async fn create_app(&self, _: &Operator, account: &AccountId) -> Result<App, Error> {
        let app = App { app_key: random_text(HEX, 32), app_secret: random_text(HEX, 32) };
        let row = AppRow {
            app_key: app.app_key.clone(),
            account_id: account.0.clone(),
            name: "app".into(),
            secret_sealed: self.keys.seal(SECRET, &app.app_key, app.app_secret.as_bytes()),
            enabled: true,
            created_at: self.clock.now(),
        };
        self.store.insert_app(&row).await?;
        Ok(app)
    }

    /// The applications of an account, secrets included.
    ///
    /// # Errors
    /// `Internal`.
    pub async fn apps(&self, _: &Operator, account: &AccountId) -> Result<Vec<App>, Error> {
        let rows = self.store.apps().await?;
        rows.into_iter()
            .filter(|row| row.account_id == account.0)
            .map(|row| {
                let app_secret = self.keys.open_text(SECRET, &row.app_key, &row.secret_sealed)?;
                Ok(App { app_key: row.app_key, app_secret })
            })
            .collect()
    }

    /// Gives an application another secret; its access tokens end with the old one.
    ///
    /// # Errors
    /// `AppKeyUnknown`.
    pub async fn replace_app_secret(&self, _: &Operator, app_key: &str) -> Result<App, Error> {
        let app = App { app_key: app_key.to_owned(), app_secret: random_text(HEX, 32) };
        let sealed = self.keys.seal(SECRET, app_key, app.app_secret.as_bytes());
        self.store.replace_app_secret(app_key, &sealed).await.map_err(app_unknown)?;
        self.callers.forget();
        Ok(app)
    }

    /// Keeps an application and its access tokens out, or lets them in again.
    ///
    /// # Errors
    /// `AppKeyUnknown`.
    pub async fn enable_app(&self, _: &Operator, app_key: &str, enabled: bool) -> Result<(), Error> {
        self.store.set_app_enabled(app_key, enabled).await.map_err(app_unknown)?;
        self.callers.forget();
        Ok(())
    }

    /// Gives an application a new access token; earlier ones stay valid.
    ///
    /// # Errors
    /// `AppKeyUnknown`, `AppKeyDisabled`, `SecretMismatch`.
    pub async fn token_get(&self, app_key: &str, app_secret: &str) -> Result<Token, Error> {
        let app = self.store.app(app_key).await?.ok_or(Error::AppKeyUnknown)?;
        let secret = self.keys.open_sealed(SECRET, app_key, &app.secret_sealed)?;
        if !same(&secret, app_secret.as_bytes()) {
            return Err(Error::SecretMismatch);
        }
        if !app.enabled {
            return Err(Error::AppKeyDisabled);
        }
        let part = |length| random_text(LOWER, length);
        let access_token = format!("at.{}-{}-{}-{}", part(32), part(10), part(7), part(9));
        let now = self.clock.now();
        let expires_at = now + TOKEN_VALID;
        self.store.insert_token(&hash(&access_token), app_key, now, expires_at).await?;
        Ok(Token { access_token, expires_at })
    }

    /// Who an access token speaks for.
    ///
    /// # Errors
    /// `TokenInvalid`, `AppKeyDisabled`.
    pub async fn caller(&self, access_token: &str) -> Result<Caller, Error> {
        // Nothing else can have been given out; this spares the look-up and says nothing of which exist.
        if access_token.len() != TOKEN_LENGTH {
            return Err(Error::TokenInvalid);
        }
        let hash = hash(access_token);
        let now = self.clock.now();
        let known = self.callers.map().get(&hash).filter(|known| known.seen.elapsed() < CALLER_CACHED).cloned();
        let known = match known {
            Some(known) => known,
            None => {
                let (caller, expires_at) = self.look_up(access_token, &hash).await?;
                let known = Known { caller, expires_at, seen: Instant::now() };
                let mut callers = self.callers.map();
                if callers.len() >= CALLERS_MAX {
                    callers.clear();
                }
                callers.insert(hash, known.clone());
                known
            }
        };
        if known.expires_at <= now { Err(Error::TokenInvalid) } else { Ok(known.caller) }
    }

    async fn look_up(&self, access_token: &str, hash: &[u8; 32]) -> Result<(Caller, UnixMillis), Error> {
        if let Some(caller) = self.guest(access_token).await? {
            let until = caller.visit_until().unwrap_or(UnixMillis(0));
            return Ok((caller, until));
        }
        let row = self.store.token(hash).await?.ok_or(Error::TokenInvalid)?;
        if !row.app_enabled {
            return Err(Error::AppKeyDisabled);
        }
        Ok((Caller { account: AccountId(row.account_id), guest: None }, row.expires_at))
    }

    /// Verifies the operator's token.
    ///
    /// # Errors
    /// `TokenInvalid`.
    pub async fn operator(&self, token: &str) -> Result<Operator, Error> {
        if self.store.is_operator(&hash(token)).await? { Ok(Operator(())) } else { Err(Error::TokenInvalid) }
    }

    /// Makes another operator's token, for one that was lost or seen; the old one ends.
    ///
    /// # Errors
    /// `Internal`.
    pub async fn replace_operator_token(&self, _: &Operator) -> Result<String, Error> {
        let token = operator_token();
        self.store.replace_operator(&hash(&token), self.clock.now()).await?;
        Ok(token)
    }

    /// The operator at the console that started the process, who needs no token.
    pub fn console(&self) -> Operator {
        Operator(())
    }

    /// The operator's token, made if there is none yet.
    pub(crate) async fn first_operator_token(&self) -> Result<Option<String>, Error> {
        let token = operator_token();
        let made = self.store.insert_first_operator(&hash(&token), self.clock.now()).await?;
        Ok(made.then_some(token))
    }
}

fn operator_token() -> String {
    format!("op.{}", random_text(LOWER, 48))
}

fn app_unknown(error: store::Error) -> Error {
    match error {
        store::Error::NotFound => Error::AppKeyUnknown,
        other => other.into(),
    }
}

impl Callers {
    /// Looks every token up again when it comes next.
    pub(crate) fn forget(&self) {
        self.map().clear();
    }

    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Known>> {
        self.0.lock().expect("no panic while the cache is locked")
    }
}
