//! Entries: codes that let whoever has one watch one channel.

use sqlx::any::AnyRow;
use sqlx::query;

use super::{Columns, MetaStore};
use crate::{Error, UnixMillis};

/// An entry to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEntry {
    /// SHA-256 of its id.
    pub hash: [u8; 32],
    /// The id, encrypted.
    pub id_sealed: Vec<u8>,
    /// Device.
    pub serial: String,
    /// Channel of the device.
    pub channel_no: u16,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it ends.
    pub expires_at: UnixMillis,
}

/// An entry that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRow {
    /// Its number, never given twice.
    pub no: u64,
    /// The id, encrypted.
    pub id_sealed: Vec<u8>,
    /// Device.
    pub serial: String,
    /// Channel of the device.
    pub channel_no: u16,
    /// When it ends.
    pub expires_at: UnixMillis,
}

fn entry(row: AnyRow) -> Result<EntryRow, Error> {
    Ok(EntryRow {
        no: row.number("no")?,
        id_sealed: row.blob("id_sealed")?,
        serial: row.text("serial")?,
        channel_no: row.number("channel_no")?,
        expires_at: row.time("expires_at")?,
    })
}

impl MetaStore {
    /// Keeps an entry.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the channel is gone.
    pub async fn insert_entry(&self, entry: &NewEntry) -> Result<(), Error> {
        query(
            "INSERT INTO entry (hash, id_sealed, serial, channel_no, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(&entry.hash[..])
        .bind(&entry.id_sealed[..])
        .bind(&entry.serial)
        .bind(i64::from(entry.channel_no))
        .bind(entry.created_at.0)
        .bind(entry.expires_at.0)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// The entry whose id has this hash, expired or not.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn entry_by_hash(&self, hash: &[u8; 32]) -> Result<Option<EntryRow>, Error> {
        let row = query("SELECT * FROM entry WHERE hash = $1").bind(&hash[..]).fetch_optional(&self.reader).await?;
        row.map(entry).transpose()
    }

    /// The entry of a number, expired or not.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn entry(&self, no: u64) -> Result<Option<EntryRow>, Error> {
        let Ok(no) = i64::try_from(no) else { return Ok(None) };
        let row = query("SELECT * FROM entry WHERE no = $1").bind(no).fetch_optional(&self.reader).await?;
        row.map(entry).transpose()
    }

    /// The entry of a channel that lives longest after `now`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn entry_of(&self, serial: &str, channel_no: u16, now: UnixMillis) -> Result<Option<EntryRow>, Error> {
        let row = query(
            "SELECT * FROM entry WHERE serial = $1 AND channel_no = $2 AND expires_at > $3 \
             ORDER BY expires_at DESC LIMIT 1",
        )
        .bind(serial)
        .bind(i64::from(channel_no))
        .bind(now.0)
        .fetch_optional(&self.reader)
        .await?;
        row.map(entry).transpose()
    }

    /// Ends every entry of a channel; answers how many.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn delete_entries(&self, serial: &str, channel_no: u16) -> Result<u64, Error> {
        let gone = query("DELETE FROM entry WHERE serial = $1 AND channel_no = $2")
            .bind(serial)
            .bind(i64::from(channel_no))
            .execute(&self.writer)
            .await?;
        Ok(gone.rows_affected())
    }
}
