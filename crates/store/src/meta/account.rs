//! Accounts and the applications that act for them.

use sqlx::any::AnyRow;
use sqlx::query;

use super::{Columns, MetaStore, one_row};
use crate::{Error, UnixMillis};

/// Whoever devices are bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    /// 32 lower-case hex digits.
    pub id: String,
    /// Unique name for people.
    pub name: String,
    /// When it was made.
    pub created_at: UnixMillis,
}

/// A key and secret that obtain tokens for an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppRow {
    /// 32 lower-case hex digits.
    pub app_key: String,
    /// The account it acts for.
    pub account_id: String,
    /// Name for people.
    pub name: String,
    /// The secret, encrypted.
    pub secret_sealed: Vec<u8>,
    /// Whether it may be used.
    pub enabled: bool,
    /// When it was made.
    pub created_at: UnixMillis,
}

fn account(row: AnyRow) -> Result<AccountRow, Error> {
    Ok(AccountRow { id: row.text("id")?, name: row.text("name")?, created_at: row.time("created_at")? })
}

fn app(row: AnyRow) -> Result<AppRow, Error> {
    Ok(AppRow {
        app_key: row.text("app_key")?,
        account_id: row.text("account_id")?,
        name: row.text("name")?,
        secret_sealed: row.blob("secret_sealed")?,
        enabled: row.flag("enabled")?,
        created_at: row.time("created_at")?,
    })
}

impl MetaStore {
    /// Adds an account.
    ///
    /// # Errors
    /// [`Error::Conflict`] if its id or name is taken.
    pub async fn insert_account(&self, account: &AccountRow) -> Result<(), Error> {
        query("INSERT INTO account (id, name, created_at) VALUES ($1, $2, $3)")
            .bind(&account.id)
            .bind(&account.name)
            .bind(account.created_at.0)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Every account, by name.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`], as every reading method.
    pub async fn accounts(&self) -> Result<Vec<AccountRow>, Error> {
        query("SELECT * FROM account ORDER BY name").fetch_all(&self.reader).await?.into_iter().map(account).collect()
    }

    /// Adds an application.
    ///
    /// # Errors
    /// [`Error::Conflict`] if its key is taken or its account does not exist.
    pub async fn insert_app(&self, app: &AppRow) -> Result<(), Error> {
        query(
            "INSERT INTO app (app_key, account_id, name, secret_sealed, enabled, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(&app.app_key)
        .bind(&app.account_id)
        .bind(&app.name)
        .bind(&app.secret_sealed)
        .bind(i64::from(app.enabled))
        .bind(app.created_at.0)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// One application.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn app(&self, app_key: &str) -> Result<Option<AppRow>, Error> {
        query("SELECT * FROM app WHERE app_key = $1")
            .bind(app_key)
            .fetch_optional(&self.reader)
            .await?
            .map(app)
            .transpose()
    }

    /// Every application, oldest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn apps(&self) -> Result<Vec<AppRow>, Error> {
        query("SELECT * FROM app ORDER BY created_at, app_key")
            .fetch_all(&self.reader)
            .await?
            .into_iter()
            .map(app)
            .collect()
    }

    /// Replaces an application's secret and ends all of its tokens, both or neither.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn replace_app_secret(&self, app_key: &str, secret_sealed: &[u8]) -> Result<(), Error> {
        let mut tx = self.writer.begin().await?;
        let changed = query("UPDATE app SET secret_sealed = $2 WHERE app_key = $1")
            .bind(app_key)
            .bind(secret_sealed)
            .execute(&mut *tx)
            .await?;
        one_row(changed.rows_affected())?;
        query("DELETE FROM token WHERE app_key = $1").bind(app_key).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// Lets an application in or keeps it out.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn set_app_enabled(&self, app_key: &str, enabled: bool) -> Result<(), Error> {
        let changed = query("UPDATE app SET enabled = $2 WHERE app_key = $1")
            .bind(app_key)
            .bind(i64::from(enabled))
            .execute(&self.writer)
            .await?;
        one_row(changed.rows_affected())
    }
}
