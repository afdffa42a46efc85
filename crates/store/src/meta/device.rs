//! Attached devices and who bound them.

use sqlx::any::AnyRow;
use sqlx::query;

use super::{ChannelRow, Columns, MetaStore, RevocationRow, channel, grant, one_row};
use crate::facts::{from_text, to_text};
use crate::{DeviceFacts, Error, UnixMillis};

/// A device to attach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDevice {
    /// Its serial on this platform.
    pub serial: String,
    /// Verification code, encrypted.
    pub code_sealed: Vec<u8>,
    /// The way it is attached, as the caller names it.
    pub driver: String,
    /// Where it is.
    pub address: String,
    /// Login at the device, encrypted.
    pub login_sealed: Option<Vec<u8>>,
    /// Name for people.
    pub name: String,
    /// What it says of itself.
    pub facts: DeviceFacts,
    /// Pull its main streams all the time.
    pub keep_live: bool,
    /// Now.
    pub attached_at: UnixMillis,
    /// Its channels; `serial` in them is not looked at.
    pub channels: Vec<ChannelRow>,
}

/// An attached device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRow {
    /// Its serial on this platform.
    pub serial: String,
    /// Verification code, encrypted.
    pub code_sealed: Vec<u8>,
    /// The way it is attached.
    pub driver: String,
    /// Where it is.
    pub address: String,
    /// Login at the device, encrypted.
    pub login_sealed: Option<Vec<u8>>,
    /// Name for people.
    pub name: String,
    /// What it says of itself.
    pub facts: DeviceFacts,
    /// Pull its main streams all the time.
    pub keep_live: bool,
    /// Whether it was on line when last heard of; a hint after a restart.
    pub online: bool,
    /// When `online` last changed.
    pub changed_at: UnixMillis,
    /// When it was attached.
    pub attached_at: UnixMillis,
    /// Whose it is.
    pub account_id: Option<String>,
    /// Since when.
    pub bound_at: Option<UnixMillis>,
    /// Since when nobody else had it, freed in between or not.
    pub owner_since: UnixMillis,
    /// Whether its media needs the stream password.
    pub encrypted: bool,
    /// Stream password, encrypted; without one it is the verification code.
    pub password_sealed: Option<Vec<u8>>,
    /// Defence state, in the caller's numbers; 0 at first.
    pub defence: u8,
}

fn device(row: AnyRow) -> Result<DeviceRow, Error> {
    Ok(DeviceRow {
        serial: row.text("serial")?,
        code_sealed: row.blob("code_sealed")?,
        driver: row.text("driver")?,
        address: row.text("address")?,
        login_sealed: row.blob_opt("login_sealed")?,
        name: row.text("name")?,
        facts: from_text(&row.text("facts")?)?,
        keep_live: row.flag("keep_live")?,
        online: row.flag("online")?,
        changed_at: row.time("changed_at")?,
        attached_at: row.time("attached_at")?,
        account_id: row.text_opt("account_id")?,
        bound_at: row.int_opt("bound_at")?.map(UnixMillis),
        owner_since: row.time("owner_since")?,
        encrypted: row.flag("encrypted")?,
        password_sealed: row.blob_opt("password_sealed")?,
        defence: row.number("defence")?,
    })
}

impl MetaStore {
    /// Attaches a device with its channels, bound to nobody and off line.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the serial is attached.
    pub async fn insert_device(&self, device: &NewDevice) -> Result<(), Error> {
        let mut tx = self.writer.begin().await?;
        query(
            "INSERT INTO device (serial, code_sealed, driver, address, login_sealed, name, facts, keep_live, \
             online, changed_at, attached_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $9)",
        )
        .bind(&device.serial)
        .bind(&device.code_sealed)
        .bind(&device.driver)
        .bind(&device.address)
        .bind(device.login_sealed.as_ref())
        .bind(&device.name)
        .bind(to_text(&device.facts))
        .bind(i64::from(device.keep_live))
        .bind(device.attached_at.0)
        .execute(&mut *tx)
        .await?;
        query("DELETE FROM removed_device WHERE serial = $1").bind(&device.serial).execute(&mut *tx).await?;
        channel::learn(&mut tx, &device.serial, &device.channels).await?;
        Ok(tx.commit().await?)
    }

    /// Detaches a device and takes its addresses back, both or neither; the account that had it will
    /// find it among the removed.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn delete_device(
        &self,
        serial: &str,
        revocations: &[RevocationRow],
        now: UnixMillis,
    ) -> Result<(), Error> {
        let mut tx = self.writer.begin().await?;
        query(
            "INSERT INTO removed_device (account_id, serial, removed_at) \
             SELECT account_id, serial, $2 FROM device WHERE serial = $1 AND account_id IS NOT NULL \
             ON CONFLICT (account_id, serial) DO UPDATE SET removed_at = excluded.removed_at",
        )
        .bind(serial)
        .bind(now.0)
        .execute(&mut *tx)
        .await?;
        let gone = query("DELETE FROM device WHERE serial = $1").bind(serial).execute(&mut *tx).await?;
        one_row(gone.rows_affected())?;
        grant::revoke(&mut tx, revocations).await?;
        Ok(tx.commit().await?)
    }

    /// Whether the account had this device when it was detached.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn was_removed(&self, account_id: &str, serial: &str) -> Result<bool, Error> {
        let row = query("SELECT removed_at FROM removed_device WHERE account_id = $1 AND serial = $2")
            .bind(account_id)
            .bind(serial)
            .fetch_optional(&self.reader)
            .await?;
        Ok(row.is_some())
    }

    /// One device.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn device(&self, serial: &str) -> Result<Option<DeviceRow>, Error> {
        query("SELECT * FROM device WHERE serial = $1")
            .bind(serial)
            .fetch_optional(&self.reader)
            .await?
            .map(device)
            .transpose()
    }

    /// Every device, by serial.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn devices(&self) -> Result<Vec<DeviceRow>, Error> {
        query("SELECT * FROM device ORDER BY serial").fetch_all(&self.reader).await?.into_iter().map(device).collect()
    }

    /// `limit` devices of an account from `offset` on, first bound first, and how many it has.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn devices_of(&self, account_id: &str, offset: u32, limit: u32) -> Result<(Vec<DeviceRow>, u64), Error> {
        let rows = query("SELECT * FROM device WHERE account_id = $1 ORDER BY bound_at, serial LIMIT $2 OFFSET $3")
            .bind(account_id)
            .bind(i64::from(limit))
            .bind(i64::from(offset))
            .fetch_all(&self.reader)
            .await?;
        let total = query("SELECT count(*) AS total FROM device WHERE account_id = $1")
            .bind(account_id)
            .fetch_one(&self.reader)
            .await?;
        Ok((rows.into_iter().map(device).collect::<Result<_, _>>()?, total.number("total")?))
    }

    /// An account's devices with serials after `serial`, by serial, and how many it has in all.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn devices_after(
        &self,
        account_id: &str,
        serial: &str,
        limit: u32,
    ) -> Result<(Vec<DeviceRow>, u64), Error> {
        let rows = query("SELECT * FROM device WHERE account_id = $1 AND serial > $2 ORDER BY serial LIMIT $3")
            .bind(account_id)
            .bind(serial)
            .bind(i64::from(limit))
            .fetch_all(&self.reader)
            .await?;
        let (_, total) = self.devices_of(account_id, 0, 0).await?;
        Ok((rows.into_iter().map(device).collect::<Result<_, _>>()?, total))
    }

    /// Binds a device that nobody has; answers whether it was free.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the account does not exist.
    pub async fn bind_device(&self, serial: &str, account_id: &str, now: UnixMillis) -> Result<bool, Error> {
        let bound = query(
            "UPDATE device SET account_id = $2, bound_at = $3, last_account_id = $2, \
             owner_since = CASE WHEN last_account_id = $2 THEN owner_since ELSE $3 END \
             WHERE serial = $1 AND account_id IS NULL",
        )
        .bind(serial)
        .bind(account_id)
        .bind(now.0)
        .execute(&self.writer)
        .await?;
        Ok(bound.rows_affected() == 1)
    }

    /// Frees a device that this account has, as it was before it was bound, and takes its addresses
    /// back, all or nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it has not.
    pub async fn unbind_device(
        &self,
        serial: &str,
        account_id: &str,
        revocations: &[RevocationRow],
    ) -> Result<(), Error> {
        let mut tx = self.writer.begin().await?;
        let freed = query(
            "UPDATE device SET account_id = NULL, bound_at = NULL, encrypted = 0, password_sealed = NULL, defence = 0 \
             WHERE serial = $1 AND account_id = $2",
        )
        .bind(serial)
        .bind(account_id)
        .execute(&mut *tx)
        .await?;
        one_row(freed.rows_affected())?;
        grant::revoke(&mut tx, revocations).await?;
        Ok(tx.commit().await?)
    }

    /// Names a device that this account has.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it has not.
    pub async fn rename_device(&self, serial: &str, account_id: &str, name: &str) -> Result<(), Error> {
        let named = query("UPDATE device SET name = $3 WHERE serial = $1 AND account_id = $2")
            .bind(serial)
            .bind(account_id)
            .bind(name)
            .execute(&self.writer)
            .await?;
        one_row(named.rows_affected())
    }

    /// Sets whether media of a device that this account has needs the stream password, and takes addresses
    /// back if that is a change; answers whether it was.
    ///
    /// # Errors
    /// [`Error::Unavailable`]. A device that the account has no more is not changed.
    pub async fn set_device_encrypted(
        &self,
        serial: &str,
        account_id: &str,
        encrypted: bool,
        revocations: &[RevocationRow],
    ) -> Result<bool, Error> {
        let mut tx = self.writer.begin().await?;
        let set = query("UPDATE device SET encrypted = $3 WHERE serial = $1 AND account_id = $2 AND encrypted <> $3")
            .bind(serial)
            .bind(account_id)
            .bind(i64::from(encrypted))
            .execute(&mut *tx)
            .await?;
        let changed = set.rows_affected() == 1;
        if changed {
            grant::revoke(&mut tx, revocations).await?;
        }
        tx.commit().await?;
        Ok(changed)
    }

    /// Gives a device that this account has another stream password and takes addresses back, both or
    /// neither.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it has not.
    pub async fn set_device_password(
        &self,
        serial: &str,
        account_id: &str,
        password_sealed: &[u8],
        revocations: &[RevocationRow],
    ) -> Result<(), Error> {
        let mut tx = self.writer.begin().await?;
        let set = query("UPDATE device SET password_sealed = $3 WHERE serial = $1 AND account_id = $2")
            .bind(serial)
            .bind(account_id)
            .bind(password_sealed)
            .execute(&mut *tx)
            .await?;
        one_row(set.rows_affected())?;
        grant::revoke(&mut tx, revocations).await?;
        Ok(tx.commit().await?)
    }

    /// Sets the defence state of a device that this account has; answers whether that is a change.
    ///
    /// # Errors
    /// [`Error::Unavailable`]. A device that the account has no more is not changed.
    pub async fn set_device_defence(&self, serial: &str, account_id: &str, defence: u8) -> Result<bool, Error> {
        let set = query("UPDATE device SET defence = $3 WHERE serial = $1 AND account_id = $2 AND defence <> $3")
            .bind(serial)
            .bind(account_id)
            .bind(i64::from(defence))
            .execute(&self.writer)
            .await?;
        Ok(set.rows_affected() == 1)
    }

    /// Notes that a device went on or off line; the time is kept when it was so already.
    ///
    /// # Errors
    /// [`Error::Unavailable`]. A device that is gone is no error: news may be late.
    pub async fn set_device_online(&self, serial: &str, online: bool, now: UnixMillis) -> Result<(), Error> {
        query("UPDATE device SET online = $2, changed_at = $3 WHERE serial = $1 AND online <> $2")
            .bind(serial)
            .bind(i64::from(online))
            .bind(now.0)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Notes what a device says of itself and of its channels. Channels keep the name they have, and
    /// one the device no longer tells of is kept: a recorder forgets its cameras when they are unplugged.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the device is gone.
    pub async fn set_device_facts(
        &self,
        serial: &str,
        facts: &DeviceFacts,
        channels: &[ChannelRow],
    ) -> Result<(), Error> {
        let mut tx = self.writer.begin().await?;
        let changed = query("UPDATE device SET facts = $2 WHERE serial = $1")
            .bind(serial)
            .bind(to_text(facts))
            .execute(&mut *tx)
            .await?;
        one_row(changed.rows_affected())?;
        channel::learn(&mut tx, serial, channels).await?;
        Ok(tx.commit().await?)
    }
}
