//! Devices: attached by the operator, bound by accounts, on and off line as observed.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Mutex;

use device::{ChannelNo, DeviceEvent, DeviceFacts, DeviceSpec, DriverKind, Login, probe};
use store::{ChannelRow, DeviceRow, NewDevice, UnixMillis};
use tracing::warn;

use crate::attempt::{OF_ACCOUNT, OF_DEVICE};
use crate::keys::{CAPITALS, MasterKey, SERIAL, random_text, same};
use crate::{Caller, Cloud, Error, Operator};

const SERIAL_LENGTH: usize = 9;
const CODE_LENGTH: usize = 6;
/// Bytes of a device's or channel's name.
const NAME_MAX: usize = 50;
pub(crate) const CODE: &str = "verification code";
const LOGIN: &str = "camera login";
/// What the platform does for every device, whatever the device itself can.
const OURS: [&str; 5] =
    ["support_encrypt", "support_modify_pwd", "support_defence", "support_capture", "support_cloud"];
/// No serial has this form.
const NOBODY: &str = "";

/// What the operator attaches. `Debug` hides the code.
#[derive(Clone)]
pub struct Attach {
    /// The way it is attached.
    pub kind: DriverKind,
    /// Where it is; empty for one that publishes to us.
    pub address: String,
    /// Login at the device.
    pub login: Option<Login>,
    /// Serial to give it; else its own if that has the form, else a new one.
    pub serial: Option<String>,
    /// Verification code to give it; else a new one.
    pub validate_code: Option<String>,
    /// Name; else its model.
    pub name: Option<String>,
    /// Pull its main streams all the time.
    pub keep_live: bool,
}

impl fmt::Debug for Attach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attach")
            .field("kind", &self.kind)
            .field("address", &self.address)
            .field("login", &self.login)
            .field("serial", &self.serial)
            .field("validate_code", &self.validate_code.as_ref().map(|_| "***"))
            .field("name", &self.name)
            .field("keep_live", &self.keep_live)
            .finish()
    }
}

/// A device as the operator sees it.
#[derive(Clone)]
pub struct Attached {
    /// The device.
    pub device: Device,
    /// The code that binds it.
    pub validate_code: String,
}

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attached").field("device", &self.device).field("validate_code", &"***").finish()
    }
}

/// A device.
#[derive(Clone, Debug)]
pub struct Device {
    /// Stable id in lists: its serial.
    pub id: String,
    /// 9 characters `[A-Z0-9]`.
    pub serial: String,
    /// Name for people.
    pub name: String,
    /// Model as it says.
    pub model: String,
    /// Firmware as it says.
    pub firmware: String,
    /// Whether it is on line now.
    pub online: bool,
    /// When it was bound, or attached if it is not bound.
    pub added_at: UnixMillis,
    /// When it last went on or off line.
    pub changed_at: UnixMillis,
    /// Where it is.
    pub address: String,
    /// The way it is attached.
    pub driver: DriverKind,
    /// Whether an account has it.
    pub bound: bool,
    /// Whether its main streams are pulled all the time.
    pub keep_live: bool,
    /// Whether its media needs the stream password.
    pub encrypted: bool,
    /// Defence: 0 off, 1 on, 8 at home, 16 away.
    pub defence: u8,
    /// Capabilities as probed, and what the platform does for it; absent is not supported.
    pub capabilities: BTreeMap<String, String>,
    /// Its channels, by number.
    pub channels: Vec<Channel>,
}

/// A channel that the caller may use.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Its device.
    pub serial: String,
    /// Its number.
    pub no: ChannelNo,
    /// Name for people.
    pub name: String,
}

/// One page of a list.
#[derive(Clone, Debug)]
pub struct Listing<T> {
    /// The rows of this page.
    pub rows: Vec<T>,
    /// Rows in all.
    pub total: u64,
}

/// Which devices are on line, as observed since the start.
#[derive(Default)]
pub(crate) struct Online(Mutex<HashMap<String, bool>>);

impl Online {
    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<String, bool>> {
        self.0.lock().expect("no panic while the table is locked")
    }
}

/// The serial as it is kept: trimmed, in capitals.
///
/// # Errors
/// `SerialMalformed`.
pub(crate) fn check_serial(text: &str) -> Result<String, Error> {
    let serial = text.trim().to_ascii_uppercase();
    let formed = serial.len() == SERIAL_LENGTH && serial.bytes().all(|b| SERIAL.contains(&b));
    if formed { Ok(serial) } else { Err(Error::SerialMalformed) }
}

fn check_name<'a>(name: &'a str, field: &'static str) -> Result<&'a str, Error> {
    let name = name.trim();
    if name.is_empty() || name.len() > NAME_MAX || name.contains(is_special) {
        return Err(Error::InvalidArgument { field });
    }
    Ok(name)
}

fn driver_name(kind: DriverKind) -> &'static str {
    match kind {
        DriverKind::Onvif => "onvif",
        DriverKind::Isapi => "isapi",
        DriverKind::Rtsp => "rtsp",
        DriverKind::RtmpPush => "rtmp-push",
    }
}

fn driver_kind(name: &str) -> Result<DriverKind, Error> {
    [DriverKind::Onvif, DriverKind::Isapi, DriverKind::Rtsp, DriverKind::RtmpPush]
        .into_iter()
        .find(|kind| driver_name(*kind) == name)
        .ok_or_else(|| Error::Internal(format!("driver {name} is not known").into()))
}

/// User and password in one sealed text; a user name has no line break.
fn login_text(login: &Login) -> String {
    format!("{}\n{}", login.user, login.password)
}

fn facts_row(facts: &DeviceFacts) -> store::DeviceFacts {
    store::DeviceFacts {
        manufacturer: facts.manufacturer.clone(),
        model: facts.model.clone(),
        firmware: facts.firmware.clone(),
        serial: facts.serial.clone(),
        capabilities: facts.capabilities.clone(),
    }
}

fn channel_rows(serial: &str, facts: &DeviceFacts) -> Vec<ChannelRow> {
    let stream = |facts: &device::StreamFacts| store::StreamFacts {
        video_codec: facts.video_codec.clone(),
        size: facts.size,
        audio: facts.audio,
    };
    let row = |channel: &device::ChannelFacts| ChannelRow {
        serial: serial.to_owned(),
        no: channel.no.0,
        name: plain_name(&channel.name).unwrap_or_else(|| channel.no.to_string()),
        facts: store::ChannelFacts { main: stream(&channel.main), sub: channel.sub.as_ref().map(stream) },
    };
    facts.channels.iter().map(row).collect()
}

impl From<ChannelRow> for Channel {
    fn from(row: ChannelRow) -> Channel {
        Channel { serial: row.serial, no: ChannelNo(row.no), name: row.name }
    }
}

/// What the operator does.
impl Cloud {
    /// Tries a device and attaches it, bound to nobody. A device that publishes to us cannot be tried.
    ///
    /// # Errors
    /// `Device` when it does not answer or refuses; `SerialMalformed`, `SerialTaken`, `InvalidArgument`.
    pub async fn attach(&self, _: &Operator, attach: Attach) -> Result<Attached, Error> {
        let asked = attach.serial.as_deref().map(check_serial).transpose()?;
        let code = match &attach.validate_code {
            None => random_text(CAPITALS, CODE_LENGTH),
            Some(code) if code.len() == CODE_LENGTH && code.bytes().all(|b| b.is_ascii_uppercase()) => code.clone(),
            Some(_) => return Err(Error::InvalidArgument { field: "validate_code" }),
        };
        let name = attach.name.as_deref().map(|name| check_name(name, "name")).transpose()?;
        if attach.login.as_ref().is_some_and(|login| login.user.contains(['\n', '\r'])) {
            return Err(Error::InvalidArgument { field: "login" });
        }
        let mut spec = DeviceSpec {
            serial: asked.clone().unwrap_or_default(),
            kind: attach.kind,
            address: attach.address.trim().to_owned(),
            login: attach.login,
            channels: vec![ChannelNo(1)],
            keep_live: attach.keep_live,
        };
        let facts = if attach.kind == DriverKind::RtmpPush {
            let main = device::StreamFacts::default();
            let channel = device::ChannelFacts { no: ChannelNo(1), name: "1".into(), main, sub: None };
            DeviceFacts { channels: vec![channel], ..DeviceFacts::default() }
        } else {
            probe(&spec, &self.devices).await.map_err(Error::Device)?
        };
        let own = facts.serial.as_deref().and_then(|serial| check_serial(serial).ok());
        let serial = asked.or(own).unwrap_or_else(|| random_text(SERIAL, SERIAL_LENGTH));
        spec.serial = serial.clone();
        spec.channels = facts.channels.iter().map(|channel| channel.no).collect();
        let model = facts.model.as_deref().and_then(plain_name);
        let name = name.map(str::to_owned).or(model).unwrap_or_else(|| serial.clone());
        let row = NewDevice {
            serial: serial.clone(),
            code_sealed: self.keys.seal(CODE, &serial, code.as_bytes()),
            driver: driver_name(spec.kind).into(),
            address: spec.address.clone(),
            login_sealed: spec.login.as_ref().map(|login| self.keys.seal(LOGIN, &serial, login_text(login).as_bytes())),
            name,
            facts: facts_row(&facts),
            keep_live: spec.keep_live,
            attached_at: self.clock.now(),
            channels: channel_rows(&serial, &facts),
        };
        match self.store.insert_device(&row).await {
            Err(store::Error::Conflict) => return Err(Error::SerialTaken),
            other => other?,
        }
        if spec.kind == DriverKind::RtmpPush {
            self.make_push_key(&serial, ChannelNo(1)).await?;
        } else {
            // It answered just now; the actor will look again at once.
            self.note_online(&serial, true).await?;
        }
        self.supervisor.start(spec).map_err(Error::Device)?;
        let row = self.store.device(&serial).await?.ok_or(Error::DeviceRemoved)?;
        Ok(Attached { device: self.device_of(row).await?, validate_code: code })
    }

    /// Detaches a device: its account loses it, its addresses end, and it is left alone.
    ///
    /// # Errors
    /// `NotOwner` when nothing of this serial is attached.
    pub async fn detach(&self, _: &Operator, serial: &str) -> Result<(), Error> {
        let serial = check_serial(serial)?;
        let revocations = self.revocations_of(&serial).await?;
        self.store.delete_device(&serial, &revocations, self.clock.now()).await.map_err(not_owner)?;
        self.supervisor.stop(&serial);
        self.online.map().remove(&serial);
        self.forget_push_keys(&serial);
        self.note_revoked(&revocations);
        Ok(())
    }

    /// Every attached device, with its code.
    ///
    /// # Errors
    /// `Internal`.
    pub async fn attached(&self, _: &Operator) -> Result<Vec<Attached>, Error> {
        let mut attached = Vec::new();
        for row in self.store.devices().await? {
            let validate_code = self.keys.open_text(CODE, &row.serial, &row.code_sealed)?;
            attached.push(Attached { device: self.device_of(row).await?, validate_code });
        }
        Ok(attached)
    }

    /// Starts every attached device.
    pub(crate) async fn start_devices(&self) -> Result<(), Error> {
        for row in self.store.devices().await? {
            let serial = row.serial.clone();
            if let Err(why) = self.supervisor.start(self.spec_of(row).await?) {
                warn!(%serial, %why, "device cannot be started");
            }
        }
        Ok(())
    }

    /// A device as its supervisor wants it described.
    pub(crate) async fn spec_of(&self, row: DeviceRow) -> Result<DeviceSpec, Error> {
        let login = match &row.login_sealed {
            None => None,
            Some(sealed) => {
                let text = self.keys.open_text(LOGIN, &row.serial, sealed)?;
                text.split_once('\n').map(|(user, password)| Login { user: user.into(), password: password.into() })
            }
        };
        let channels = self.store.channels(&row.serial).await?;
        Ok(DeviceSpec {
            kind: driver_kind(&row.driver)?,
            serial: row.serial,
            address: row.address,
            login,
            channels: channels.iter().map(|channel| ChannelNo(channel.no)).collect(),
            keep_live: row.keep_live,
        })
    }

    /// Notes what a device did.
    pub(crate) async fn on_event(&self, event: DeviceEvent) -> Result<(), Error> {
        match event {
            DeviceEvent::Online { serial, facts } => {
                match self.store.set_device_facts(&serial, &facts_row(&facts), &channel_rows(&serial, &facts)).await {
                    // Detached meanwhile.
                    Err(store::Error::NotFound) => return Ok(()),
                    other => other?,
                }
                self.note_online(&serial, true).await
            }
            DeviceEvent::Offline { serial, .. } => self.note_online(&serial, false).await,
        }
    }

    async fn note_online(&self, serial: &str, online: bool) -> Result<(), Error> {
        self.online.map().insert(serial.to_owned(), online);
        Ok(self.store.set_device_online(serial, online, self.clock.now()).await?)
    }

    /// Whether the device is on line, as observed.
    pub fn is_online(&self, serial: &str) -> bool {
        self.online.map().get(serial).copied().unwrap_or(false)
    }
}

/// What accounts do.
impl Cloud {
    /// Binds a device to the caller. An unknown serial and a wrong code look alike; whose it is, is told
    /// only to who knows the code.
    ///
    /// # Errors
    /// `SerialMalformed`, `VerifyCodeWrong`, `RateLimited` while the serial or the account is locked,
    /// `AlreadyYours`, `OwnedByOther`, `DeviceOffline` (not for a device that publishes to us, which may begin later).
    pub async fn device_add(&self, caller: &Caller, serial: &str, code: &str) -> Result<(), Error> {
        let serial = check_serial(serial)?;
        let row = self.store.device(&serial).await?;
        let expected = match &row {
            Some(row) => self.keys.open_sealed(CODE, &serial, &row.code_sealed)?,
            None => self.keys.open_sealed(CODE, NOBODY, &self.decoy_code)?,
        };
        let right = same(&expected, code.as_bytes()) && row.is_some();
        // Counted alike whether the serial exists or not: same answer, same rows, same time.
        self.guess(&format!("account:{}", caller.account.0), &OF_ACCOUNT, right).await?;
        self.guess(&format!("device:{serial}"), &OF_DEVICE, right).await?;
        let Some(row) = row.filter(|_| right) else { return Err(Error::VerifyCodeWrong) };
        match &row.account_id {
            Some(account) if *account == caller.account.0 => return Err(Error::AlreadyYours),
            Some(_) => return Err(Error::OwnedByOther),
            None => {}
        }
        if !self.is_online(&serial) && driver_kind(&row.driver)? != DriverKind::RtmpPush {
            return Err(Error::DeviceOffline);
        }
        let bound = self.store.bind_device(&serial, &caller.account.0, self.clock.now()).await?;
        if bound { Ok(()) } else { Err(Error::OwnedByOther) }
    }

    /// Frees a device of the caller; its addresses end.
    ///
    /// # Errors
    /// `NotOwner` and its kin.
    pub async fn device_delete(&self, caller: &Caller, serial: &str) -> Result<(), Error> {
        let row = self.owned(caller, serial).await?;
        let revocations = self.revocations_of(&row.serial).await?;
        self.store.unbind_device(&row.serial, &caller.account.0, &revocations).await.map_err(not_owner)?;
        self.note_revoked(&revocations);
        Ok(())
    }

    /// Names a device of the caller: 1 to 50 bytes, no control or markup characters.
    ///
    /// # Errors
    /// `InvalidArgument`, `NotOwner` and its kin.
    pub async fn device_rename(&self, caller: &Caller, serial: &str, name: &str) -> Result<(), Error> {
        let name = check_name(name, "deviceName")?;
        let row = self.owned(caller, serial).await?;
        self.store.rename_device(&row.serial, &caller.account.0, name).await.map_err(not_owner)
    }

    /// Names a channel; as [`Cloud::device_rename`].
    ///
    /// # Errors
    /// `InvalidArgument`, `ChannelNotFound`, `NotOwner` and its kin.
    pub async fn channel_rename(&self, caller: &Caller, serial: &str, no: u16, name: &str) -> Result<(), Error> {
        let name = check_name(name, "name")?;
        let channel = self.channel(caller, serial, no).await?;
        self.store.rename_channel(&channel.serial, no, name).await.map_err(not_owner)
    }

    /// A page of the caller's devices, first bound first. `page` counts from 0.
    ///
    /// # Errors
    /// `Internal`.
    pub async fn device_list(&self, caller: &Caller, page: u32, size: u32) -> Result<Listing<Device>, Error> {
        let (found, total) = self.store.devices_of(&caller.account.0, page.saturating_mul(size), size).await?;
        self.listing(found, total).await
    }

    /// The caller's devices whose id comes after `id`, by id; `"0"` comes before all.
    ///
    /// # Errors
    /// `Internal`.
    pub async fn device_list_after(&self, caller: &Caller, id: &str, size: u32) -> Result<Listing<Device>, Error> {
        let (found, total) = self.store.devices_after(&caller.account.0, id, size).await?;
        self.listing(found, total).await
    }

    async fn listing(&self, found: Vec<DeviceRow>, total: u64) -> Result<Listing<Device>, Error> {
        let mut rows = Vec::with_capacity(found.len());
        for row in found {
            rows.push(self.device_of(row).await?);
        }
        Ok(Listing { rows, total })
    }

    /// A page of the channels of all the caller's devices.
    ///
    /// # Errors
    /// `Internal`.
    pub async fn camera_list(
        &self,
        caller: &Caller,
        page: u32,
        size: u32,
    ) -> Result<Listing<(Device, Channel)>, Error> {
        let (found, total) = self.store.channels_of(&caller.account.0, page.saturating_mul(size), size).await?;
        let mut rows = Vec::with_capacity(found.len());
        let mut last: Option<Device> = None;
        for channel in found {
            // Rows of one device follow each other.
            if last.as_ref().is_none_or(|device| device.serial != channel.serial) {
                last = match self.store.device(&channel.serial).await? {
                    Some(row) => Some(self.device_of(row).await?),
                    None => None,
                };
            }
            if let Some(device) = &last {
                rows.push((device.clone(), channel.into()));
            }
        }
        Ok(Listing { rows, total })
    }

    /// A device of the caller.
    ///
    /// # Errors
    /// `SerialMalformed`; `DeviceRemoved` for one that was the caller's and is attached no more;
    /// `NotOwner` for every other, known or not.
    pub async fn device(&self, caller: &Caller, serial: &str) -> Result<Device, Error> {
        let row = self.owned(caller, serial).await?;
        let mut device = self.device_of(row).await?;
        device.channels.retain(|channel| caller.sees_channel(&channel.serial, channel.no));
        Ok(device)
    }

    /// A channel of a device of the caller.
    ///
    /// # Errors
    /// As [`Cloud::device`], and `ChannelNotFound`.
    pub async fn channel(&self, caller: &Caller, serial: &str, no: u16) -> Result<Channel, Error> {
        let row = self.owned(caller, serial).await?;
        let channel = self.store.channel(&row.serial, no).await?.map(Channel::from);
        channel.filter(|channel| caller.sees_channel(&channel.serial, channel.no)).ok_or(Error::ChannelNotFound)
    }

    pub(crate) async fn owned(&self, caller: &Caller, serial: &str) -> Result<DeviceRow, Error> {
        let serial = check_serial(serial)?;
        let row = self.store.device(&serial).await?;
        // Asked in any case, so that a serial that exists takes no longer than one that does not (T23).
        let removed = self.store.was_removed(&caller.account.0, &serial).await?;
        match row {
            Some(row) if row.account_id.as_deref() == Some(&caller.account.0) && caller.sees_device(&serial) => Ok(row),
            None if removed => Err(Error::DeviceRemoved),
            _ => Err(Error::NotOwner),
        }
    }

    async fn device_of(&self, row: DeviceRow) -> Result<Device, Error> {
        let mut capabilities = row.facts.capabilities;
        capabilities.extend(OURS.map(|name| (name.to_owned(), "1".to_owned())));
        let channels = self.store.channels(&row.serial).await?.into_iter().map(Channel::from).collect();
        Ok(Device {
            id: row.serial.clone(),
            online: self.is_online(&row.serial),
            name: row.name,
            model: row.facts.model.unwrap_or_default(),
            firmware: row.facts.firmware.unwrap_or_default(),
            added_at: row.bound_at.unwrap_or(row.attached_at),
            changed_at: row.changed_at,
            address: row.address,
            driver: driver_kind(&row.driver)?,
            bound: row.account_id.is_some(),
            keep_live: row.keep_live,
            encrypted: row.encrypted,
            defence: row.defence,
            capabilities,
            serial: row.serial,
            channels,
        })
    }
}

/// What a device calls itself, made fit for a name: without control and markup characters, cut at
/// [`NAME_MAX`]; `None` if nothing remains.
fn plain_name(said: &str) -> Option<String> {
    let mut name: String = said.chars().filter(|c| !is_special(*c)).collect();
    name.truncate(name.floor_char_boundary(NAME_MAX));
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

pub(crate) fn is_special(c: char) -> bool {
    c.is_control() || "<>\"'\\/&`".contains(c)
}

/// A sealed code that belongs to no device.
pub(crate) fn decoy_code(keys: &MasterKey) -> Vec<u8> {
    keys.seal(CODE, NOBODY, random_text(CAPITALS, CODE_LENGTH).as_bytes())
}

/// The row went since it was looked up.
fn not_owner(error: store::Error) -> Error {
    match error {
        store::Error::NotFound => Error::NotOwner,
        other => other.into(),
    }
}
