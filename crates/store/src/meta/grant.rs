//! Signing keys of play addresses, and addresses taken back.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, query};

use super::{Columns, MetaStore};
use crate::{Error, UnixMillis};

/// One version of the signing key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantKeyRow {
    /// Number in the address (`ev`), rising.
    pub version: u32,
    /// The key, encrypted.
    pub key_sealed: Vec<u8>,
    /// When it was made.
    pub created_at: UnixMillis,
}

/// One or many addresses of a channel taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationRow {
    /// Device.
    pub serial: String,
    /// Channel of the device.
    pub channel_no: u16,
    /// The address's id.
    pub grant_id: u64,
    /// Whether smaller ids are meant too.
    pub up_to: bool,
    /// When the last of the addresses meant has expired by itself.
    pub expires_at: UnixMillis,
}

fn revocation(row: AnyRow) -> Result<RevocationRow, Error> {
    Ok(RevocationRow {
        serial: row.text("serial")?,
        channel_no: row.number("channel_no")?,
        grant_id: row.number("grant_id")?,
        up_to: row.flag("up_to")?,
        expires_at: row.time("expires_at")?,
    })
}

/// Takes addresses back as part of what else is being done. What a row covers goes when it comes, so
/// that taking all back again and again leaves one row.
pub(super) async fn revoke(tx: &mut AnyConnection, revocations: &[RevocationRow]) -> Result<(), Error> {
    for revocation in revocations {
        let grant_id = i64::try_from(revocation.grant_id).map_err(|_| Error::Conflict)?;
        if revocation.up_to {
            query(
                "DELETE FROM revocation \
                 WHERE serial = $1 AND channel_no = $2 AND grant_id <= $3 AND expires_at <= $4",
            )
            .bind(&revocation.serial)
            .bind(i64::from(revocation.channel_no))
            .bind(grant_id)
            .bind(revocation.expires_at.0)
            .execute(&mut *tx)
            .await?;
        }
        query(
            "INSERT INTO revocation (serial, channel_no, grant_id, up_to, expires_at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (serial, channel_no, grant_id, up_to) DO UPDATE SET expires_at = excluded.expires_at",
        )
        .bind(&revocation.serial)
        .bind(i64::from(revocation.channel_no))
        .bind(grant_id)
        .bind(i64::from(revocation.up_to))
        .bind(revocation.expires_at.0)
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

impl MetaStore {
    /// Adds a version of the signing key.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the version exists.
    pub async fn insert_grant_key(&self, key: &GrantKeyRow) -> Result<(), Error> {
        query("INSERT INTO grant_key (version, key_sealed, created_at) VALUES ($1, $2, $3)")
            .bind(i64::from(key.version))
            .bind(&key.key_sealed)
            .bind(key.created_at.0)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Every version of the signing key, oldest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn grant_keys(&self) -> Result<Vec<GrantKeyRow>, Error> {
        let rows = query("SELECT * FROM grant_key ORDER BY version").fetch_all(&self.reader).await?;
        rows.into_iter()
            .map(|row| {
                Ok(GrantKeyRow {
                    version: row.number("version")?,
                    key_sealed: row.blob("key_sealed")?,
                    created_at: row.time("created_at")?,
                })
            })
            .collect()
    }

    /// Forgets a version of the signing key; a version that is not there is no error.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn delete_grant_key(&self, version: u32) -> Result<(), Error> {
        query("DELETE FROM grant_key WHERE version = $1").bind(i64::from(version)).execute(&self.writer).await?;
        Ok(())
    }

    /// Takes addresses back; doing so again only moves the expiry.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the id exceeds 63 bits; [`Error::Unavailable`].
    pub async fn insert_revocation(&self, revocation: &RevocationRow) -> Result<(), Error> {
        let mut tx = self.writer.begin().await?;
        revoke(&mut tx, std::slice::from_ref(revocation)).await?;
        Ok(tx.commit().await?)
    }

    /// Every revocation that still means something at `now`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn revocations(&self, now: UnixMillis) -> Result<Vec<RevocationRow>, Error> {
        query("SELECT * FROM revocation WHERE expires_at >= $1 ORDER BY serial, channel_no, grant_id")
            .bind(now.0)
            .fetch_all(&self.reader)
            .await?
            .into_iter()
            .map(revocation)
            .collect()
    }
}
