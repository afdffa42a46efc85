//! Guests: people without an account, let in by an entry's code (one channel) or by a trial (the devices
//! of the trial's account). They watch and control; they change nothing that outlasts them.
//!
//! An entry is what a QR code carries: an opaque id, kept as its hash, that expires and can be taken back.
//! A guest's token is sealed, not stored: whoever asks for thousands fills no table. It says until when it
//! holds and which entry it came by, and dies with that entry.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use device::ChannelNo;
use store::{NewEntry, UnixMillis};
use tokio::time::Instant;

use crate::account::{AccountId, Caller, TOKEN_LENGTH, Token};
use crate::keys::{LOWER, hash, random_text};
use crate::{Channel, Cloud, Error, Operator};

/// How long an entry opens its channel.
const ENTRY_LIVES: Duration = Duration::from_secs(30 * 24 * 3600);
/// One with less left than this is not shown again: a code on a wall should work for a while.
const ENTRY_WORTH: Duration = Duration::from_secs(7 * 24 * 3600);
/// Characters of an entry's id; WeChat's codes carry 32.
const ENTRY_LENGTH: usize = 24;
/// How long a guest's token holds.
const GUEST_STAYS: Duration = Duration::from_secs(2 * 3600);
/// A guest who has turned a camera keeps it for this long from other guests.
pub(crate) const TURN: Duration = Duration::from_secs(30);
/// What a guest's token begins with; the length is that of every token.
const PREFIX: &str = "gt.0";
const GUEST: &str = "guest token";
const ENTRY: &str = "entry";

/// What a guest may look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Guest {
    /// One visit, for turns.
    visit: [u8; 32],
    /// The one channel; every device of the account without one.
    pub(crate) channel: Option<(String, ChannelNo)>,
    /// When the token ends.
    pub(crate) until: UnixMillis,
}

/// A code that opens one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What the code carries: 24 lower-case letters and digits.
    pub id: String,
    /// When it ends.
    pub expires_at: UnixMillis,
}

/// What came of an entry's code.
#[derive(Clone, Debug)]
pub struct Entered {
    /// Opens this channel and nothing else.
    pub token: Token,
    /// Device.
    pub serial: String,
    /// Channel.
    pub channel: ChannelNo,
}

/// Who has turned which camera, and until when nobody else of their kind may.
type Turns = BTreeMap<(String, u16), ([u8; 32], Instant)>;

/// What is known of guests.
#[derive(Default)]
pub(crate) struct Guests {
    turns: Mutex<Turns>,
    /// Whose devices anybody may try.
    trial: OnceLock<AccountId>,
}

impl Guests {
    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().expect("no panic while turns are locked")
    }
}

impl Cloud {
    /// The entry of a channel, made if there is none that lives for another week.
    ///
    /// # Errors
    /// `ChannelNotFound`; `NotOwner` while nobody has bound the device; `DeviceOffline`.
    pub async fn entry(&self, _: &Operator, serial: &str, channel: ChannelNo) -> Result<Entry, Error> {
        let row = self.store.device(serial).await?.ok_or(Error::NotOwner)?;
        if row.account_id.is_none() {
            return Err(Error::NotOwner);
        }
        self.store.channel(serial, channel.0).await?.ok_or(Error::ChannelNotFound)?;
        if !self.is_online(serial) {
            return Err(Error::DeviceOffline);
        }
        let now = self.clock.now();
        if let Some(kept) = self.store.entry_of(serial, channel.0, now + ENTRY_WORTH).await? {
            let id = self.keys.open_text(ENTRY, serial, &kept.id_sealed)?;
            return Ok(Entry { id, expires_at: kept.expires_at });
        }
        let id = random_text(LOWER, ENTRY_LENGTH);
        let expires_at = now + ENTRY_LIVES;
        let made = NewEntry {
            hash: hash(&id),
            id_sealed: self.keys.seal(ENTRY, serial, id.as_bytes()),
            serial: serial.to_owned(),
            channel_no: channel.0,
            created_at: now,
            expires_at,
        };
        self.store.insert_entry(&made).await?;
        Ok(Entry { id, expires_at })
    }

    /// Takes back every entry of a channel, and the tokens of those who came by one.
    ///
    /// # Errors
    /// `Internal`.
    pub async fn revoke_entries(&self, _: &Operator, serial: &str, channel: ChannelNo) -> Result<u64, Error> {
        let gone = self.store.delete_entries(serial, channel.0).await?;
        self.callers.forget();
        Ok(gone)
    }

    /// Lets in whoever has an entry's code. `None` for a code that is unknown, expired or taken back, and
    /// while its device is off line or nobody's.
    ///
    /// # Errors
    /// `Internal`.
    pub async fn enter(&self, id: &str) -> Result<Option<Entered>, Error> {
        let now = self.clock.now();
        let Some(row) = self.store.entry_by_hash(&hash(id)).await?.filter(|row| row.expires_at > now) else {
            return Ok(None);
        };
        let bound = self.store.device(&row.serial).await?.is_some_and(|device| device.account_id.is_some());
        if !bound || !self.is_online(&row.serial) {
            return Ok(None);
        }
        let token = self.guest_token(Some(row.no), (now + GUEST_STAYS).min(row.expires_at));
        Ok(Some(Entered { token, serial: row.serial, channel: ChannelNo(row.channel_no) }))
    }

    /// Lets anybody try the devices of an account from now on.
    pub fn open_trial(&self, _: &Operator, account: &AccountId) {
        // A process has one trial.
        self.guests.trial.set(account.clone()).ok();
    }

    /// A token for whoever wants to try; `None` where the operator allows no trial.
    pub fn try_out(&self) -> Option<Token> {
        self.guests.trial.get()?;
        Some(self.guest_token(None, self.clock.now() + GUEST_STAYS))
    }

    fn guest_token(&self, entry: Option<u64>, until: UnixMillis) -> Token {
        // Numbers of entries begin at 1.
        let said = [until.0.to_be_bytes(), entry.unwrap_or(0).to_be_bytes()].concat();
        let sealed = self.keys.seal(GUEST, "", &[&said[..], &[0]].concat());
        Token { access_token: format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(sealed)), expires_at: until }
    }

    /// Who a guest's token speaks for; `None` if it is no such token, or ended.
    pub(crate) async fn guest(&self, access_token: &str) -> Result<Option<Caller>, Error> {
        let Some(sealed) = access_token.strip_prefix(PREFIX).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()) else {
            return Ok(None);
        };
        // Whoever made it up does not learn which part is wrong.
        let Ok(said) = self.keys.open_sealed(GUEST, "", &sealed) else { return Ok(None) };
        let number =
            |at: usize| said.get(at..at + 8).and_then(|bytes| Some(u64::from_be_bytes(bytes.try_into().ok()?)));
        let (Some(until), Some(entry)) = (number(0), number(8)) else { return Ok(None) };
        let until = UnixMillis(until as i64);
        let (account, channel) = match entry {
            0 => match self.guests.trial.get() {
                Some(account) => (account.clone(), None),
                None => return Ok(None),
            },
            entry => {
                let now = self.clock.now();
                let Some(row) = self.store.entry(entry).await?.filter(|row| row.expires_at > now) else {
                    return Ok(None);
                };
                let device = self.store.device(&row.serial).await?;
                let Some(account) = device.and_then(|device| device.account_id) else { return Ok(None) };
                (AccountId(account), Some((row.serial, ChannelNo(row.channel_no))))
            }
        };
        let guest = Guest { visit: hash(access_token), channel, until };
        Ok(Some(Caller { account, guest: Some(guest) }))
    }

    /// Gives a guest the camera for [`TURN`], unless another guest turned it within that. Whoever has an
    /// account need not wait, and takes nobody's turn.
    ///
    /// # Errors
    /// `TurnTaken`.
    pub(crate) fn take_turn(&self, caller: &Caller, channel: &Channel) -> Result<(), Error> {
        let Some(guest) = &caller.guest else { return Ok(()) };
        let now = Instant::now();
        let mut turns = self.guests.turns();
        turns.retain(|_, (_, until)| *until > now);
        let turn = turns.entry((channel.serial.clone(), channel.no.0)).or_insert((guest.visit, now));
        if turn.0 != guest.visit {
            return Err(Error::TurnTaken);
        }
        turn.1 = now + TURN;
        Ok(())
    }
}

impl Caller {
    /// Whether this is a guest, who may change nothing that outlasts the visit.
    pub fn is_guest(&self) -> bool {
        self.guest.is_some()
    }

    /// When a guest's visit ends, and with it every address made in it.
    pub(crate) fn visit_until(&self) -> Option<UnixMillis> {
        self.guest.as_ref().map(|guest| guest.until)
    }

    /// Whether this caller may know of the device at all.
    pub(crate) fn sees_device(&self, serial: &str) -> bool {
        self.channel_only().is_none_or(|(only, _)| only == serial)
    }

    /// Whether this caller may know of the channel.
    pub(crate) fn sees_channel(&self, serial: &str, no: ChannelNo) -> bool {
        self.channel_only().is_none_or(|(only, channel)| only == serial && *channel == no)
    }

    fn channel_only(&self) -> Option<&(String, ChannelNo)> {
        self.guest.as_ref()?.channel.as_ref()
    }
}

/// Characters of a sealed token: 12 of nonce, 17 of words and 16 of tag, in base64.
const _: () = assert!(PREFIX.len() + (12 + 17 + 16) * 4 / 3 == TOKEN_LENGTH);
