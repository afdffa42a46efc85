//! Phrases that accounts keep to be spoken. Their sound lies elsewhere, under their id.

use sqlx::any::AnyRow;
use sqlx::query;

use super::{Columns, MetaStore, one_row};
use crate::{Error, UnixMillis};

/// A phrase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoiceRow {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub account_id: String,
    /// Its name, one of a kind within the account.
    pub name: String,
    /// How long it sounds, seconds.
    pub duration_s: u32,
    /// Size of its file.
    pub bytes: u64,
    /// When it was kept.
    pub created_at: UnixMillis,
}

fn voice(row: AnyRow) -> Result<VoiceRow, Error> {
    Ok(VoiceRow {
        id: row.text("id")?,
        account_id: row.text("account_id")?,
        name: row.text("name")?,
        duration_s: row.number("duration_s")?,
        bytes: row.number("bytes")?,
        created_at: row.time("created_at")?,
    })
}

impl MetaStore {
    /// Keeps a phrase; with `replace`, in place of one of the same name.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the account does not exist, the id does, or the name is taken.
    pub async fn insert_voice(&self, voice: &VoiceRow, replace: bool) -> Result<(), Error> {
        let bytes = i64::try_from(voice.bytes).map_err(|_| Error::Conflict)?;
        let mut tx = self.writer.begin().await?;
        if replace {
            query("DELETE FROM voice WHERE account_id = $1 AND name = $2")
                .bind(&voice.account_id)
                .bind(&voice.name)
                .execute(&mut *tx)
                .await?;
        }
        query(
            "INSERT INTO voice (id, account_id, name, duration_s, bytes, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(&voice.id)
        .bind(&voice.account_id)
        .bind(&voice.name)
        .bind(i64::from(voice.duration_s))
        .bind(bytes)
        .bind(voice.created_at.0)
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// The phrases of an account, oldest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn voices(&self, account_id: &str) -> Result<Vec<VoiceRow>, Error> {
        query("SELECT * FROM voice WHERE account_id = $1 ORDER BY created_at, id")
            .bind(account_id)
            .fetch_all(&self.reader)
            .await?
            .into_iter()
            .map(voice)
            .collect()
    }

    /// A phrase, whosever it is.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn voice(&self, id: &str) -> Result<Option<VoiceRow>, Error> {
        query("SELECT * FROM voice WHERE id = $1").bind(id).fetch_optional(&self.reader).await?.map(voice).transpose()
    }

    /// Names a phrase otherwise.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the account has none of that id; [`Error::Conflict`] if the name is taken.
    pub async fn rename_voice(&self, account_id: &str, id: &str, name: &str) -> Result<(), Error> {
        let named = query("UPDATE voice SET name = $3 WHERE account_id = $1 AND id = $2")
            .bind(account_id)
            .bind(id)
            .bind(name)
            .execute(&self.writer)
            .await?;
        one_row(named.rows_affected())
    }

    /// Forgets a phrase.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the account has none of that id.
    pub async fn delete_voice(&self, account_id: &str, id: &str) -> Result<(), Error> {
        let gone = query("DELETE FROM voice WHERE account_id = $1 AND id = $2")
            .bind(account_id)
            .bind(id)
            .execute(&self.writer)
            .await?;
        one_row(gone.rows_affected())
    }
}
