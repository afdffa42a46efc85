//! Plans: which channels are recorded for whom, from when to when, and how long footage is kept.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, query};

use super::{Columns, MetaStore, card};
use crate::{Error, UnixMillis};

/// A plan of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanRow {
    /// Its number; 0 before it is stored.
    pub id: i64,
    /// Whose it is; nobody's when the operator gave it to a device that nobody had.
    pub account_id: Option<String>,
    /// Device.
    pub serial: String,
    /// Channel of the device.
    pub channel_no: u16,
    /// Days that footage is kept.
    pub retention_days: u32,
    /// Whether it records; an account may pause it.
    pub enabled: bool,
    /// When it begins.
    pub starts_at: UnixMillis,
    /// When it ends; at this moment it is over.
    pub expires_at: UnixMillis,
}

fn plan(row: AnyRow) -> Result<PlanRow, Error> {
    Ok(PlanRow {
        id: row.int("id")?,
        account_id: row.text_opt("account_id")?,
        serial: row.text("serial")?,
        channel_no: row.number("channel_no")?,
        retention_days: row.number("retention_days")?,
        enabled: row.flag("enabled")?,
        starts_at: row.time("starts_at")?,
        expires_at: row.time("expires_at")?,
    })
}

/// Plans of a channel that count for an account: its own and nobody's.
const OF_CHANNEL: &str = "SELECT * FROM plan WHERE serial = $1 AND channel_no = $2 \
                          AND (account_id = $3 OR account_id IS NULL) ORDER BY starts_at, id";

/// Makes the stored plans those of `after`.
async fn store(tx: &mut AnyConnection, before: &[PlanRow], after: &[PlanRow]) -> Result<(), Error> {
    for gone in before.iter().filter(|plan| after.iter().all(|other| other.id != plan.id)) {
        query("DELETE FROM plan WHERE id = $1").bind(gone.id).execute(&mut *tx).await?;
    }
    for plan in after.iter().filter(|plan| !before.contains(plan)) {
        let statement = match plan.id {
            0 => {
                "INSERT INTO plan (account_id, serial, channel_no, retention_days, enabled, starts_at, expires_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7)"
            }
            _ => {
                "UPDATE plan SET account_id = $1, serial = $2, channel_no = $3, retention_days = $4, enabled = $5, \
                 starts_at = $6, expires_at = $7 WHERE id = $8"
            }
        };
        let statement = query(statement)
            .bind(plan.account_id.as_deref())
            .bind(&plan.serial)
            .bind(i64::from(plan.channel_no))
            .bind(i64::from(plan.retention_days))
            .bind(i64::from(plan.enabled))
            .bind(plan.starts_at.0)
            .bind(plan.expires_at.0);
        let statement = if plan.id == 0 { statement } else { statement.bind(plan.id) };
        statement.execute(&mut *tx).await?;
    }
    Ok(())
}

impl MetaStore {
    /// The plans that record at `now`, by serial and channel, one a channel at most: where nobody's runs
    /// beside the account's, the one that keeps longer. A plan of an account that has the device no more rests.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn active_plans(&self, now: UnixMillis) -> Result<Vec<PlanRow>, Error> {
        let rows = query(
            "SELECT p.* FROM plan p JOIN device d ON d.serial = p.serial \
             WHERE p.expires_at > $1 AND p.starts_at <= $1 AND p.enabled = 1 \
             AND (p.account_id IS NULL OR p.account_id = d.account_id) \
             ORDER BY p.serial, p.channel_no, p.retention_days DESC, p.id",
        )
        .bind(now.0)
        .fetch_all(&self.reader)
        .await?;
        let mut plans = rows.into_iter().map(plan).collect::<Result<Vec<_>, _>>()?;
        plans.dedup_by(|next, kept| next.serial == kept.serial && next.channel_no == kept.channel_no);
        Ok(plans)
    }

    /// Days that footage of a channel is kept at `now`, whoever's plans it was recorded by: the most that
    /// one of them promises whose last footage may still be there, else what the last one promised;
    /// `None` if there was none.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn retention_days(&self, serial: &str, channel_no: u16, now: UnixMillis) -> Result<Option<u32>, Error> {
        let row = query(
            "SELECT max(retention_days) AS days FROM plan WHERE serial = $1 AND channel_no = $2 AND starts_at <= $3 \
             AND (expires_at + retention_days * 86400000 > $3 OR expires_at = \
             (SELECT max(expires_at) FROM plan WHERE serial = $1 AND channel_no = $2 AND starts_at <= $3))",
        )
        .bind(serial)
        .bind(i64::from(channel_no))
        .bind(now.0)
        .fetch_one(&self.reader)
        .await?;
        row.int_opt("days")?.map(|_| row.number("days")).transpose()
    }

    /// The plans of a channel that count for an account, past ones included, by their beginning.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn plans(&self, serial: &str, channel_no: u16, account_id: Option<&str>) -> Result<Vec<PlanRow>, Error> {
        query(OF_CHANNEL)
            .bind(serial)
            .bind(i64::from(channel_no))
            .bind(account_id)
            .fetch_all(&self.reader)
            .await?
            .into_iter()
            .map(plan)
            .collect()
    }

    /// Replaces the plans of a channel that count for an account by what `change` makes of them, one
    /// caller after the other; a plan that is new has the id 0. With `card`, the card is spent in the
    /// same moment, both or neither; `change` answers `None` to refuse, and nothing is written.
    /// Answers whether it was.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the card is spent already or the device is gone.
    pub async fn change_plans(
        &self,
        serial: &str,
        channel_no: u16,
        account_id: Option<&str>,
        card: Option<&card::Spending<'_>>,
        change: impl FnOnce(Vec<PlanRow>) -> Option<Vec<PlanRow>>,
    ) -> Result<bool, Error> {
        let mut tx = self.writer.begin().await?;
        if let Some(card) = card {
            card::spend(&mut tx, card, serial, channel_no).await?;
        }
        let rows =
            query(OF_CHANNEL).bind(serial).bind(i64::from(channel_no)).bind(account_id).fetch_all(&mut *tx).await?;
        let before = rows.into_iter().map(plan).collect::<Result<Vec<_>, _>>()?;
        let Some(after) = change(before.clone()) else {
            tx.rollback().await?;
            return Ok(false);
        };
        store(&mut tx, &before, &after).await?;
        tx.commit().await?;
        Ok(true)
    }
}
