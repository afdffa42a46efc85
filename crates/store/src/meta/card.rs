//! Cards: keys that are sold or given away, each good for one plan.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, query};

use super::{Columns, MetaStore, one_row};
use crate::{Error, UnixMillis};

/// A card. Its key is kept as a hash only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardRow {
    /// SHA-256 of its key.
    pub hash: Vec<u8>,
    /// Name of what it was made with.
    pub batch: String,
    /// Days that its plan runs.
    pub days: u32,
    /// Days that footage is kept.
    pub retention_days: u32,
    /// The one device it is good for; every device without.
    pub bundled_with: Option<String>,
    /// Whether it may be used.
    pub enabled: bool,
    /// When it was made.
    pub created_at: UnixMillis,
    /// From when on it can be used no more.
    pub expires_at: UnixMillis,
    /// Who used it, when and where.
    pub used: Option<CardUse>,
}

/// What a card was used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardUse {
    /// When.
    pub at: UnixMillis,
    /// Account that did.
    pub account_id: String,
    /// Device.
    pub serial: String,
    /// Channel of the device.
    pub channel_no: u16,
}

/// Spending a card.
#[derive(Clone, Debug)]
pub struct Spending<'a> {
    /// SHA-256 of its key.
    pub hash: &'a [u8; 32],
    /// Account that does.
    pub account_id: &'a str,
    /// Now.
    pub at: UnixMillis,
}

fn card(row: AnyRow) -> Result<CardRow, Error> {
    let used = match row.int_opt("used_at")? {
        None => None,
        Some(at) => Some(CardUse {
            at: UnixMillis(at),
            account_id: row.text("used_by")?,
            serial: row.text("used_serial")?,
            channel_no: row.number("used_channel")?,
        }),
    };
    Ok(CardRow {
        hash: row.blob("hash")?,
        batch: row.text("batch")?,
        days: row.number("days")?,
        retention_days: row.number("retention_days")?,
        bundled_with: row.text_opt("bundled_with")?,
        enabled: row.flag("enabled")?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
        used,
    })
}

/// Marks a card as spent as part of what it is spent for.
///
/// # Errors
/// [`Error::Conflict`] if it is already, or is none.
pub(super) async fn spend(
    tx: &mut AnyConnection,
    spending: &Spending<'_>,
    serial: &str,
    channel_no: u16,
) -> Result<(), Error> {
    let spent = query(
        "UPDATE card SET used_at = $2, used_by = $3, used_serial = $4, used_channel = $5 \
         WHERE hash = $1 AND used_at IS NULL AND enabled = 1",
    )
    .bind(&spending.hash[..])
    .bind(spending.at.0)
    .bind(spending.account_id)
    .bind(serial)
    .bind(i64::from(channel_no))
    .execute(tx)
    .await?;
    if spent.rows_affected() == 0 { Err(Error::Conflict) } else { Ok(()) }
}

impl MetaStore {
    /// Adds cards, all or none.
    ///
    /// # Errors
    /// [`Error::Conflict`] if one of them is there already.
    pub async fn insert_cards(&self, cards: &[CardRow]) -> Result<(), Error> {
        let mut tx = self.writer.begin().await?;
        for card in cards {
            query(
                "INSERT INTO card (hash, batch, days, retention_days, bundled_with, enabled, created_at, expires_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            )
            .bind(&card.hash)
            .bind(&card.batch)
            .bind(i64::from(card.days))
            .bind(i64::from(card.retention_days))
            .bind(card.bundled_with.as_deref())
            .bind(i64::from(card.enabled))
            .bind(card.created_at.0)
            .bind(card.expires_at.0)
            .execute(&mut *tx)
            .await?;
        }
        Ok(tx.commit().await?)
    }

    /// The card whose key has this hash.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn card(&self, hash: &[u8; 32]) -> Result<Option<CardRow>, Error> {
        query("SELECT * FROM card WHERE hash = $1")
            .bind(&hash[..])
            .fetch_optional(&self.reader)
            .await?
            .map(card)
            .transpose()
    }

    /// The cards of a batch, or without one all, in no order that tells anything.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn cards(&self, batch: Option<&str>) -> Result<Vec<CardRow>, Error> {
        query("SELECT * FROM card WHERE $1 IS NULL OR batch = $1 ORDER BY batch, hash")
            .bind(batch)
            .fetch_all(&self.reader)
            .await?
            .into_iter()
            .map(card)
            .collect()
    }

    /// Lets the cards of a batch be used, or keeps them from it.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the batch has none.
    pub async fn set_cards_enabled(&self, batch: &str, enabled: bool) -> Result<(), Error> {
        let changed = query("UPDATE card SET enabled = $2 WHERE batch = $1")
            .bind(batch)
            .bind(i64::from(enabled))
            .execute(&self.writer)
            .await?;
        one_row(changed.rows_affected())
    }
}
