//! Channels of devices, and the keys they are published with.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, query};

use super::{Columns, MetaStore, one_row};
use crate::facts::{from_text, to_text};
use crate::{ChannelFacts, Error, UnixMillis};

/// One video source of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelRow {
    /// Device.
    pub serial: String,
    /// Its number, from 1.
    pub no: u16,
    /// Name for people.
    pub name: String,
    /// What the device says of it.
    pub facts: ChannelFacts,
}

/// The secret a channel is published with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushKeyRow {
    /// Device.
    pub serial: String,
    /// Channel of the device.
    pub channel_no: u16,
    /// The key, encrypted.
    pub key_sealed: Vec<u8>,
    /// When it was made.
    pub created_at: UnixMillis,
}

fn channel(row: AnyRow) -> Result<ChannelRow, Error> {
    Ok(ChannelRow {
        serial: row.text("serial")?,
        no: row.number("no")?,
        name: row.text("name")?,
        facts: from_text(&row.text("facts")?)?,
    })
}

/// Adds channels and renews the facts of known ones.
pub(super) async fn learn(tx: &mut AnyConnection, serial: &str, channels: &[ChannelRow]) -> Result<(), Error> {
    for channel in channels {
        query(
            "INSERT INTO channel (serial, no, name, facts) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (serial, no) DO UPDATE SET facts = excluded.facts",
        )
        .bind(serial)
        .bind(i64::from(channel.no))
        .bind(&channel.name)
        .bind(to_text(&channel.facts))
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

impl MetaStore {
    /// The channels of a device, by number.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn channels(&self, serial: &str) -> Result<Vec<ChannelRow>, Error> {
        query("SELECT * FROM channel WHERE serial = $1 ORDER BY no")
            .bind(serial)
            .fetch_all(&self.reader)
            .await?
            .into_iter()
            .map(channel)
            .collect()
    }

    /// One channel.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn channel(&self, serial: &str, no: u16) -> Result<Option<ChannelRow>, Error> {
        query("SELECT * FROM channel WHERE serial = $1 AND no = $2")
            .bind(serial)
            .bind(i64::from(no))
            .fetch_optional(&self.reader)
            .await?
            .map(channel)
            .transpose()
    }

    /// `limit` channels of all of an account's devices from `offset` on, in the order of
    /// [`MetaStore::devices_of`], and how many there are.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn channels_of(
        &self,
        account_id: &str,
        offset: u32,
        limit: u32,
    ) -> Result<(Vec<ChannelRow>, u64), Error> {
        let rows = query(
            "SELECT c.* FROM channel c JOIN device d ON d.serial = c.serial WHERE d.account_id = $1 \
             ORDER BY d.bound_at, d.serial, c.no LIMIT $2 OFFSET $3",
        )
        .bind(account_id)
        .bind(i64::from(limit))
        .bind(i64::from(offset))
        .fetch_all(&self.reader)
        .await?;
        let total = query(
            "SELECT count(*) AS total FROM channel c JOIN device d ON d.serial = c.serial WHERE d.account_id = $1",
        )
        .bind(account_id)
        .fetch_one(&self.reader)
        .await?;
        Ok((rows.into_iter().map(channel).collect::<Result<_, _>>()?, total.number("total")?))
    }

    /// Names a channel.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn rename_channel(&self, serial: &str, no: u16, name: &str) -> Result<(), Error> {
        let named = query("UPDATE channel SET name = $3 WHERE serial = $1 AND no = $2")
            .bind(serial)
            .bind(i64::from(no))
            .bind(name)
            .execute(&self.writer)
            .await?;
        one_row(named.rows_affected())
    }

    /// The key a channel is published with, if it has one.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn push_key(&self, serial: &str, channel_no: u16) -> Result<Option<PushKeyRow>, Error> {
        query("SELECT * FROM push_key WHERE serial = $1 AND channel_no = $2")
            .bind(serial)
            .bind(i64::from(channel_no))
            .fetch_optional(&self.reader)
            .await?
            .map(|row| {
                Ok(PushKeyRow {
                    serial: row.text("serial")?,
                    channel_no: row.number("channel_no")?,
                    key_sealed: row.blob("key_sealed")?,
                    created_at: row.time("created_at")?,
                })
            })
            .transpose()
    }

    /// Gives a channel its first key; answers whether it had none.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the device is gone.
    pub async fn insert_push_key(&self, key: &PushKeyRow) -> Result<bool, Error> {
        let made = query(
            "INSERT INTO push_key (serial, channel_no, key_sealed, created_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (serial, channel_no) DO NOTHING",
        )
        .bind(&key.serial)
        .bind(i64::from(key.channel_no))
        .bind(&key.key_sealed)
        .bind(key.created_at.0)
        .execute(&self.writer)
        .await?;
        Ok(made.rows_affected() == 1)
    }

    /// Gives a channel another key.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the device is gone.
    pub async fn replace_push_key(&self, key: &PushKeyRow) -> Result<(), Error> {
        query(
            "INSERT INTO push_key (serial, channel_no, key_sealed, created_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (serial, channel_no) DO UPDATE SET key_sealed = excluded.key_sealed, \
             created_at = excluded.created_at",
        )
        .bind(&key.serial)
        .bind(i64::from(key.channel_no))
        .bind(&key.key_sealed)
        .bind(key.created_at.0)
        .execute(&self.writer)
        .await?;
        Ok(())
    }
}
