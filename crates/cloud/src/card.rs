//! Cards: keys that open cloud storage, made by the operator in batches, each good once.
//!
//! A key is shown when it is made and never again; what is kept is its hash.

use std::collections::HashSet;
use std::fmt;

use store::{CardRow, CardUse, Spending, UnixMillis};

use crate::attempt::OF_CARDS;
use crate::device::check_serial;
use crate::keys::{LOWER, hash, random_text};
use crate::plan::{Place, PlanAsk, queued, replaced};
use crate::{Caller, Channel, Cloud, Error, Operator};

/// Cards of one batch made at once.
const COUNT_MAX: u32 = 1000;
/// Characters of a key, dashes not counted: 79 bits.
const KEY_LENGTH: usize = 16;
/// Capital letters and digits that nobody takes for each other.
const KEY_ALPHABET: &[u8] = b"23456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Bytes of a batch's name.
const BATCH_MAX: usize = 50;
/// Hexadecimal digits of a card's id, the beginning of its hash.
const ID_LENGTH: usize = 16;

/// Cards to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardAsk {
    /// How many, 1 to 1000.
    pub count: u32,
    /// Days that the plan of each runs, 1 to 3650.
    pub days: u32,
    /// Days that footage is kept, 1 to 3650.
    pub retention_days: u32,
    /// Name to find them by, 1 to 50 characters `[A-Za-z0-9._-]`; one is made if absent.
    pub batch: Option<String>,
    /// From when on they can be used no more.
    pub expires_at: UnixMillis,
    /// The one device they are good for; every device if absent.
    pub bundled_with: Option<String>,
}

/// Cards as they were made. `Debug` hides the keys.
pub struct Cards {
    /// Name to find them by.
    pub batch: String,
    /// Their keys, `XXXX-XXXX-XXXX-XXXX`; kept nowhere.
    pub keys: Vec<String>,
}

impl fmt::Debug for Cards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cards").field("batch", &self.batch).field("keys", &self.keys.len()).finish()
    }
}

/// What a card is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardState {
    /// It can be used.
    Unused,
    /// It was used.
    Used,
    /// Nobody used it in time.
    Expired,
    /// The operator keeps it from being used.
    Disabled,
}

/// A card as the operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// 16 hexadecimal digits, the beginning of the key's hash: tells cards apart and opens nothing.
    pub id: String,
    /// Name of what it was made with.
    pub batch: String,
    /// Days that its plan runs.
    pub days: u32,
    /// Days that footage is kept.
    pub retention_days: u32,
    /// The one device it is good for.
    pub bundled_with: Option<String>,
    /// From when on it can be used no more.
    pub expires_at: UnixMillis,
    /// What it is good for.
    pub state: CardState,
    /// Who used it, when and where.
    pub used: Option<CardUse>,
}

fn state(row: &CardRow, now: UnixMillis) -> CardState {
    match () {
        () if row.used.is_some() => CardState::Used,
        () if !row.enabled => CardState::Disabled,
        () if row.expires_at <= now => CardState::Expired,
        () => CardState::Unused,
    }
}

fn shown(row: CardRow, now: UnixMillis) -> Card {
    let state = state(&row, now);
    let mut id = hex::encode(&row.hash);
    id.truncate(ID_LENGTH);
    let CardRow { batch, days, retention_days, bundled_with, expires_at, used, .. } = row;
    Card { id, batch, days, retention_days, bundled_with, expires_at, state, used }
}

/// The hash a key is kept under, however it was typed: in any case, with its dashes or without.
fn key_hash(key: &str) -> [u8; 32] {
    let plain: String = key.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
    hash(&plain.to_ascii_uppercase())
}

fn new_key() -> String {
    let key = random_text(KEY_ALPHABET, KEY_LENGTH);
    let groups: Vec<&str> = (0..KEY_LENGTH).step_by(4).map(|at| &key[at..at + 4]).collect();
    groups.join("-")
}

/// What the operator does.
impl Cloud {
    /// Makes cards.
    ///
    /// # Errors
    /// `InvalidArgument` naming the field, `SerialMalformed`.
    pub async fn make_cards(&self, _: &Operator, ask: CardAsk) -> Result<Cards, Error> {
        let now = self.clock.now();
        let PlanAsk { retention_days, .. } =
            PlanAsk { retention_days: ask.retention_days, days: Some(ask.days) }.checked()?;
        if !(1..=COUNT_MAX).contains(&ask.count) {
            return Err(Error::InvalidArgument { field: "count" });
        }
        if ask.expires_at <= now {
            return Err(Error::InvalidArgument { field: "expires" });
        }
        let batch = ask.batch.unwrap_or_else(|| format!("batch-{}", random_text(LOWER, 8)));
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if batch.is_empty() || batch.len() > BATCH_MAX || !batch.bytes().all(plain) {
            return Err(Error::InvalidArgument { field: "batch" });
        }
        let bundled_with = ask.bundled_with.as_deref().map(check_serial).transpose()?;
        let mut keys = HashSet::new();
        while keys.len() < ask.count as usize {
            keys.insert(new_key());
        }
        let row = |key: &String| CardRow {
            hash: key_hash(key).to_vec(),
            batch: batch.clone(),
            days: ask.days,
            retention_days,
            bundled_with: bundled_with.clone(),
            enabled: true,
            created_at: now,
            expires_at: ask.expires_at,
            used: None,
        };
        self.store.insert_cards(&keys.iter().map(row).collect::<Vec<_>>()).await?;
        Ok(Cards { batch, keys: keys.into_iter().collect() })
    }

    /// The cards of a batch, or without one all, without their keys.
    ///
    /// # Errors
    /// `Internal`.
    pub async fn cards(&self, _: &Operator, batch: Option<&str>) -> Result<Vec<Card>, Error> {
        let now = self.clock.now();
        Ok(self.store.cards(batch).await?.into_iter().map(|row| shown(row, now)).collect())
    }

    /// Keeps the unused cards of a batch from being used, or lets them.
    ///
    /// # Errors
    /// `CardUnknown` if there is no such batch.
    pub async fn enable_cards(&self, _: &Operator, batch: &str, enabled: bool) -> Result<(), Error> {
        self.store.set_cards_enabled(batch, enabled).await.map_err(|error| match error {
            store::Error::NotFound => Error::CardUnknown,
            other => other.into(),
        })
    }
}

/// What accounts do.
impl Cloud {
    /// Opens cloud storage of a channel by a card: its plan begins when the running one ends, or with
    /// `immediately` now, in the place of that.
    ///
    /// # Errors
    /// `CardLocked` after too many unknown keys, `CardUnknown`, `CardElsewhere` for one that goes with
    /// another device, `CardSpent` for one that was used, has expired or is kept from being used,
    /// `CardFailed` when its plan would never begin, `NotOwner` if the device is the caller's no more.
    pub async fn open_card(
        &self,
        caller: &Caller,
        channel: &Channel,
        key: &str,
        immediately: bool,
    ) -> Result<(), Error> {
        let (hash, now) = (key_hash(key), self.clock.now());
        let row = self.store.card(&hash).await?;
        self.guess_card(caller, channel, row.is_some()).await?;
        let row = row.ok_or(Error::CardUnknown)?;
        if row.bundled_with.as_ref().is_some_and(|serial| *serial != channel.serial) {
            return Err(Error::CardElsewhere);
        }
        if state(&row, now) != CardState::Unused {
            return Err(Error::CardSpent);
        }
        // Nobody pays for a device that went meanwhile.
        self.owned(caller, &channel.serial).await?;
        let account = caller.account.0.as_str();
        let place = Place { serial: &channel.serial, channel: channel.no, account: Some(account) };
        let ask = PlanAsk { retention_days: row.retention_days, days: Some(row.days) };
        let spending = Spending { hash: &hash, account_id: account, at: now };
        let change = |plans| match immediately {
            true => Some(replaced(plans, place, ask, now)),
            false => queued(plans, place, ask, now),
        };
        let opened =
            self.store.change_plans(&channel.serial, channel.no.0, Some(account), Some(&spending), change).await;
        match opened {
            Ok(true) => {
                self.recorder_changed();
                Ok(())
            }
            Ok(false) => Err(Error::CardFailed),
            // Somebody was faster.
            Err(store::Error::Conflict) => Err(Error::CardSpent),
            Err(other) => Err(other.into()),
        }
    }

    async fn guess_card(&self, caller: &Caller, channel: &Channel, right: bool) -> Result<(), Error> {
        let subject = format!("card:{}:{}", caller.account.0, channel.serial);
        self.guess(&subject, &OF_CARDS, right).await.map_err(|error| match error {
            Error::RateLimited => Error::CardLocked,
            other => other,
        })
    }
}
