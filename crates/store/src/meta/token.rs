//! Access tokens and operator tokens: hashes only.

use sqlx::query;

use super::{Columns, MetaStore};
use crate::{Error, UnixMillis};

/// What a token hash stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// The application it was given to.
    pub app_key: String,
    /// The account of that application.
    pub account_id: String,
    /// Whether the application may be used.
    pub app_enabled: bool,
    /// When it ends.
    pub expires_at: UnixMillis,
}

impl MetaStore {
    /// Remembers a token by its SHA-256 hash.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the application does not exist or the hash does.
    pub async fn insert_token(
        &self,
        hash: &[u8; 32],
        app_key: &str,
        created_at: UnixMillis,
        expires_at: UnixMillis,
    ) -> Result<(), Error> {
        query("INSERT INTO token (hash, app_key, created_at, expires_at) VALUES ($1, $2, $3, $4)")
            .bind(&hash[..])
            .bind(app_key)
            .bind(created_at.0)
            .bind(expires_at.0)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Finds a token by its hash, expired or not.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn token(&self, hash: &[u8; 32]) -> Result<Option<TokenRow>, Error> {
        query(
            "SELECT t.app_key, t.expires_at, a.account_id, a.enabled FROM token t \
             JOIN app a ON a.app_key = t.app_key WHERE t.hash = $1",
        )
        .bind(&hash[..])
        .fetch_optional(&self.reader)
        .await?
        .map(|row| {
            Ok(TokenRow {
                app_key: row.text("app_key")?,
                account_id: row.text("account_id")?,
                app_enabled: row.flag("enabled")?,
                expires_at: row.time("expires_at")?,
            })
        })
        .transpose()
    }

    /// Forgets tokens, entries and revocations that ended before `now`, and guesses none of which was made nor
    /// locked after `quiet_since`; answers how many rows went.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn purge_expired(&self, now: UnixMillis, quiet_since: UnixMillis) -> Result<u64, Error> {
        let mut gone = 0;
        for (statement, before) in [
            ("DELETE FROM token WHERE expires_at < $1", now),
            ("DELETE FROM entry WHERE expires_at < $1", now),
            ("DELETE FROM revocation WHERE expires_at < $1", now),
            ("DELETE FROM attempt WHERE locked_until < $1 AND window_start < $1", quiet_since),
        ] {
            gone += query(statement).bind(before.0).execute(&self.writer).await?.rows_affected();
        }
        Ok(gone)
    }

    /// Makes this hash the only operator token if there is none yet; answers whether it was made.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn insert_first_operator(&self, hash: &[u8; 32], created_at: UnixMillis) -> Result<bool, Error> {
        let made =
            query("INSERT INTO operator (hash, created_at) SELECT $1, $2 WHERE NOT EXISTS (SELECT hash FROM operator)")
                .bind(&hash[..])
                .bind(created_at.0)
                .execute(&self.writer)
                .await?;
        Ok(made.rows_affected() == 1)
    }

    /// Makes this hash the only operator token.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn replace_operator(&self, hash: &[u8; 32], created_at: UnixMillis) -> Result<(), Error> {
        let mut tx = self.writer.begin().await?;
        query("DELETE FROM operator").execute(&mut *tx).await?;
        query("INSERT INTO operator (hash, created_at) VALUES ($1, $2)")
            .bind(&hash[..])
            .bind(created_at.0)
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Whether a token of this hash was given to an operator.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn is_operator(&self, hash: &[u8; 32]) -> Result<bool, Error> {
        let row = query("SELECT created_at FROM operator WHERE hash = $1")
            .bind(&hash[..])
            .fetch_optional(&self.reader)
            .await?;
        Ok(row.is_some())
    }
}
