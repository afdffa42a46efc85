//! Control: what a caller asks a device to do. Each answer comes within 4.5 s; commands to one device
//! are served one after the other, and none waits for another device.

use std::sync::Arc;

use device::{DeviceHandle, Driver, DriverError, Mirror, PresetNo, Velocity};

use crate::{Caller, Channel, Cloud, Error, Operator};

/// The capability that says whether a device has a motor.
const MOTOR: &str = "support_ptz";
/// The capability that says whether a device can cover its lens.
const PRIVACY: &str = "support_privacy";

impl Cloud {
    /// The device that speaks for this serial.
    ///
    /// # Errors
    /// `DeviceOffline`.
    pub(crate) fn handle(&self, serial: &str) -> Result<DeviceHandle, Error> {
        if !self.is_online(serial) {
            return Err(Error::DeviceOffline);
        }
        self.supervisor.device(serial).ok_or(Error::DeviceOffline)
    }

    /// Sets a motor in motion until [`Cloud::ptz_stop`]; a forgotten one is stopped by the watchdog.
    ///
    /// # Errors
    /// `PtzUnsupported` without a motor, `Unsupported` for an axis it does not have, `AtLimit`, `Masked`,
    /// `SpeakerBusy`; `DeviceOffline`, `DeviceTimeout`, `Device`, `Refused`.
    pub async fn ptz_start(&self, caller: &Caller, channel: &Channel, velocity: Velocity) -> Result<(), Error> {
        self.take_turn(caller, channel)?;
        let started = self.handle(&channel.serial)?.ptz_start(channel.no, velocity).await;
        self.of_motor(channel, started).await
    }

    /// Stops all axes of a motor.
    ///
    /// # Errors
    /// As [`Cloud::ptz_start`], without limits.
    pub async fn ptz_stop(&self, caller: &Caller, channel: &Channel) -> Result<(), Error> {
        self.take_turn(caller, channel)?;
        let stopped = self.handle(&channel.serial)?.ptz_stop(channel.no).await;
        self.of_motor(channel, stopped).await
    }

    /// Stores where a motor stands; gives the number it is stored under.
    ///
    /// # Errors
    /// As [`Cloud::ptz_start`], and `PresetsFull`.
    pub async fn preset_add(&self, _: &Caller, channel: &Channel) -> Result<PresetNo, Error> {
        let added = self.handle(&channel.serial)?.preset_add(channel.no).await;
        self.of_motor(channel, added).await
    }

    /// Turns a motor to where it was stored.
    ///
    /// # Errors
    /// As [`Cloud::ptz_start`], and `PresetUnknown`, `PresetReached`.
    pub async fn preset_move(&self, caller: &Caller, channel: &Channel, preset: PresetNo) -> Result<(), Error> {
        self.take_turn(caller, channel)?;
        let moved = self.handle(&channel.serial)?.preset_move(channel.no, preset).await;
        self.of_motor(channel, moved).await
    }

    /// Forgets a stored position.
    ///
    /// # Errors
    /// As [`Cloud::ptz_start`], and `PresetUnknown`.
    pub async fn preset_clear(&self, _: &Caller, channel: &Channel, preset: PresetNo) -> Result<(), Error> {
        let cleared = self.handle(&channel.serial)?.preset_clear(channel.no, preset).await;
        self.of_motor(channel, cleared).await
    }

    /// Mirrors the picture, relative to how it is now.
    ///
    /// # Errors
    /// `Unsupported`, also for this way alone; `DeviceOffline`, `DeviceTimeout`, `Device`, `Refused`.
    pub async fn mirror(&self, caller: &Caller, channel: &Channel, mirror: Mirror) -> Result<(), Error> {
        self.take_turn(caller, channel)?;
        self.handle(&channel.serial)?.mirror(channel.no, mirror).await.map_err(Error::of_device)
    }

    /// Whether the lens is covered, as the device says now.
    ///
    /// # Errors
    /// `Unsupported`, `DeviceOffline`, `DeviceTimeout`, `Device`, `Refused`.
    pub async fn mask(&self, _: &Caller, channel: &Channel) -> Result<bool, Error> {
        self.handle(&channel.serial)?.mask(channel.no).await.map_err(Error::of_device)
    }

    /// Covers the lens or uncovers it.
    ///
    /// # Errors
    /// As [`Cloud::mask`], and `SwitchUnchanged`.
    pub async fn set_mask(&self, caller: &Caller, channel: &Channel, covered: bool) -> Result<(), Error> {
        if self.mask(caller, channel).await? == covered {
            return Err(Error::SwitchUnchanged);
        }
        self.take_turn(caller, channel)?;
        self.handle(&channel.serial)?.set_mask(channel.no, covered).await.map_err(Error::of_device)
    }

    /// Whether the lens is covered, as far as is known without asking the device; `None` when it is not.
    ///
    /// # Errors
    /// `Unsupported` for a device that cannot cover its lens; `Internal`.
    pub async fn known_mask(&self, _: &Caller, channel: &Channel) -> Result<Option<bool>, Error> {
        if !self.is_said(channel, PRIVACY).await? {
            return Err(Error::Unsupported);
        }
        Ok(self.handle(&channel.serial).ok().and_then(|device| device.known_mask(channel.no)))
    }

    /// Drives an attached device by a driver of the operator's own making until the process ends.
    ///
    /// # Errors
    /// `NotOwner` when nothing of this serial is attached.
    pub async fn drive(&self, _: &Operator, serial: &str, driver: Arc<dyn Driver>) -> Result<(), Error> {
        let row = self.store.device(serial).await?.ok_or(Error::NotOwner)?;
        self.supervisor.start_with(self.spec_of(row).await?, driver);
        Ok(())
    }

    /// What a motor's answer means: one that cannot do this is not one that is not there.
    async fn of_motor<T>(&self, channel: &Channel, answer: Result<T, DriverError>) -> Result<T, Error> {
        match answer {
            Err(DriverError::Unsupported) if !self.is_said(channel, MOTOR).await? => Err(Error::PtzUnsupported),
            other => other.map_err(Error::of_device),
        }
    }

    /// Whether the device said that it can do this when it was last probed.
    async fn is_said(&self, channel: &Channel, capability: &str) -> Result<bool, Error> {
        let row = self.store.device(&channel.serial).await?.ok_or(Error::NotOwner)?;
        Ok(row.facts.capabilities.get(capability).is_some_and(|value| value != "0"))
    }
}
