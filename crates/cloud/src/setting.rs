//! What accounts set on their devices: encryption and its password, defence.
//!
//! These are the platform's own, kept here whether the device is on line or not. An encrypted device's
//! play addresses are given only to who says the stream password, and what was given before ends when
//! encryption begins or the password changes. The password is the verification code until it is changed.

use store::DeviceRow;

use crate::attempt::{OF_ACCOUNT, OF_DEVICE};
use crate::device::CODE;
use crate::keys::same;
use crate::{Caller, Cloud, Error};

/// Bytes of a stream password; documented.
const PASSWORD_MAX: usize = 12;
const PASSWORD: &str = "stream password";

/// Off, on; for devices that tell more apart, at home and away.
const DEFENCE_STATES: [u8; 4] = [0, 1, 8, 16];

impl Cloud {
    /// Lets media of a device be given only to who says the stream password. Addresses given before end.
    ///
    /// # Errors
    /// `AlreadyEncrypted`, `NotOwner` and its kin.
    pub async fn encrypt(&self, caller: &Caller, serial: &str) -> Result<(), Error> {
        let row = self.owned(caller, serial).await?;
        let revocations = self.revocations_of(&row.serial).await?;
        if !self.store.set_device_encrypted(&row.serial, &caller.account.0, true, &revocations).await? {
            return Err(Error::AlreadyEncrypted);
        }
        self.note_revoked(&revocations);
        Ok(())
    }

    /// Lets media of a device be given without password again. A code that is given must be the
    /// verification code or the stream password.
    ///
    /// # Errors
    /// `NotEncrypted`, `VerifyCodeWrong`, `RateLimited` after too many wrong codes, `NotOwner` and its kin.
    pub async fn decrypt(&self, caller: &Caller, serial: &str, code: Option<&str>) -> Result<(), Error> {
        let row = self.owned(caller, serial).await?;
        if !row.encrypted {
            return Err(Error::NotEncrypted);
        }
        if let Some(code) = code {
            let label = self.keys.open_sealed(CODE, &row.serial, &row.code_sealed)?;
            let right = same(&label, code.as_bytes()) | same(&self.stream_password(&row)?, code.as_bytes());
            self.guess_password(caller, &row, right).await?;
            if !right {
                return Err(Error::VerifyCodeWrong);
            }
        }
        let changed = self.store.set_device_encrypted(&row.serial, &caller.account.0, false, &[]).await?;
        if changed { Ok(()) } else { Err(Error::NotEncrypted) }
    }

    /// Changes the stream password: 1 to 12 bytes without control characters. Addresses given before end.
    ///
    /// # Errors
    /// `InvalidArgument` for the new one, `VerifyCodeWrong` for the old one, `RateLimited` after too many
    /// wrong ones, `NotOwner` and its kin.
    pub async fn change_password(&self, caller: &Caller, serial: &str, old: &str, new: &str) -> Result<(), Error> {
        if new.is_empty() || new.len() > PASSWORD_MAX || new.contains(char::is_control) {
            return Err(Error::InvalidArgument { field: "newPassword" });
        }
        let row = self.owned(caller, serial).await?;
        let right = same(&self.stream_password(&row)?, old.as_bytes());
        self.guess_password(caller, &row, right).await?;
        if !right {
            return Err(Error::VerifyCodeWrong);
        }
        let revocations = self.revocations_of(&row.serial).await?;
        let sealed = self.keys.seal(PASSWORD, &row.serial, new.as_bytes());
        match self.store.set_device_password(&row.serial, &caller.account.0, &sealed, &revocations).await {
            Err(store::Error::NotFound) => return Err(Error::NotOwner),
            other => other?,
        }
        self.note_revoked(&revocations);
        Ok(())
    }

    /// Sets the defence state: 0 off, 1 on, 8 at home, 16 away.
    ///
    /// # Errors
    /// `InvalidArgument` for another, `DefenceUnchanged`, `NotOwner` and its kin.
    pub async fn set_defence(&self, caller: &Caller, serial: &str, defence: u8) -> Result<(), Error> {
        if !DEFENCE_STATES.contains(&defence) {
            return Err(Error::InvalidArgument { field: "isDefence" });
        }
        let row = self.owned(caller, serial).await?;
        let changed = self.store.set_device_defence(&row.serial, &caller.account.0, defence).await?;
        if changed { Ok(()) } else { Err(Error::DefenceUnchanged) }
    }

    /// Whether the caller may have media of the device with this code.
    ///
    /// # Errors
    /// `Encrypted` when it needs one and this is not it; `RateLimited` after too many wrong ones.
    pub(crate) async fn unlock(&self, caller: &Caller, row: &DeviceRow, code: Option<&str>) -> Result<(), Error> {
        if !row.encrypted {
            return Ok(());
        }
        // None is no guess: players ask without first.
        let code = code.ok_or(Error::Encrypted)?;
        let right = same(&self.stream_password(row)?, code.as_bytes());
        self.guess_password(caller, row, right).await?;
        if right { Ok(()) } else { Err(Error::Encrypted) }
    }

    fn stream_password(&self, row: &DeviceRow) -> Result<Vec<u8>, Error> {
        match &row.password_sealed {
            Some(sealed) => self.keys.open_sealed(PASSWORD, &row.serial, sealed),
            None => self.keys.open_sealed(CODE, &row.serial, &row.code_sealed),
        }
    }

    /// Counted apart from guesses of who binds a device: those are a stranger's, these its owner's.
    async fn guess_password(&self, caller: &Caller, row: &DeviceRow, right: bool) -> Result<(), Error> {
        self.guess(&format!("account:{}", caller.account.0), &OF_ACCOUNT, right).await?;
        self.guess(&format!("stream:{}", row.serial), &OF_DEVICE, right).await
    }
}
