//! Play addresses: signed, expiring, revocable; verified without a database.
//!
//! An address is `/v3/openlive/SERIAL_CHANNEL_QUALITY?expire=S&id=N&t=H&ev=V`: `expire` in epoch
//! seconds, `id` of 18 digits that rise with time, `ev` the version of the key, and `t` the lower-case
//! hexadecimal HMAC-SHA-256 over path, expire, id and ev. What else a player adds means nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, RwLock};
use std::time::Duration;

use device::{ChannelNo, Quality};
use hmac::{Hmac, KeyInit, Mac};
use rand::Rng;
use sha2::Sha256;
use store::{GrantKeyRow, RevocationRow, UnixMillis};
use tokio::sync::watch;
use url::form_urlencoded;

use crate::device::Channel;
use crate::keys::same;
use crate::{Caller, Cloud, Error, Operator};

/// Shortest life of an address that can be asked for.
const EXPIRE_MIN_S: u64 = 30;
/// Longest: 720 days.
const EXPIRE_MAX_S: u64 = 720 * 24 * 3600;
/// Life of an address when none is asked for: the access token's, 7 days.
const EXPIRE_DEFAULT_S: u64 = 7 * 24 * 3600;
/// The first key's version, as the platform's addresses have it.
const FIRST_VERSION: u32 = 100;
/// Ids count in steps of this many a millisecond, which makes them 18 digits long until the year 2286.
const IDS_A_MILLISECOND: u64 = 100_000;
const PATH: &str = "/v3/openlive/";
const KEY: &str = "grant key";

/// What to make an address for.
#[derive(Clone, Copy, Debug)]
pub struct LiveAsk {
    /// Main or sub stream.
    pub quality: Quality,
    /// Seconds it is valid, 30 to 62,208,000; 7 days when absent.
    pub expire_s: Option<u64>,
}

/// A play address without scheme, host and port.
#[derive(Clone, Debug)]
pub struct LiveAddress {
    /// 18 decimal digits.
    pub id: String,
    /// `/v3/openlive/SERIAL_CH_Q`.
    pub path: String,
    /// `expire=…&id=…&t=…&ev=…`.
    pub query: String,
    /// When it ends.
    pub expires_at: UnixMillis,
}

/// A verified permission to watch one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlayGrant {
    /// The address's id.
    pub id: u64,
    /// Device.
    pub serial: String,
    /// Channel.
    pub channel: ChannelNo,
    /// Main or sub stream.
    pub quality: Quality,
}

impl PlayGrant {
    /// The same permission for the channel's sub stream, which is the same picture, smaller.
    pub fn sub_stream(&self) -> PlayGrant {
        PlayGrant { quality: Quality::Sub, ..self.clone() }
    }
}

/// Keys by version and what was taken back.
pub(crate) struct Grants {
    keys: RwLock<BTreeMap<u32, [u8; 32]>>,
    revoked: Mutex<Revoked>,
    latest_id: Mutex<u64>,
    /// Moves with each revocation.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Revoked {
    ids: BTreeSet<(String, u16, u64)>,
    /// By device and channel: every id up to this one.
    up_to: BTreeMap<(String, u16), u64>,
}

impl Revoked {
    fn add(&mut self, row: &RevocationRow) {
        let (serial, channel) = (row.serial.clone(), row.channel_no as u16);
        if row.up_to {
            let last = self.up_to.entry((serial, channel)).or_default();
            *last = row.grant_id.max(*last);
        } else {
            self.ids.insert((serial, channel, row.grant_id));
        }
    }
}

impl Grants {
    /// Keys and revocations as stored; the first key is made if there is none.
    pub(crate) async fn load(cloud: &crate::Parts<'_>) -> Result<Grants, Error> {
        let mut keys = BTreeMap::new();
        for row in cloud.store.grant_keys().await? {
            let key = cloud.keys.open_sealed(KEY, &row.key_sealed)?;
            let key = key.try_into().map_err(|_| Error::Internal("grant key has a wrong length".into()))?;
            keys.insert(row.version, key);
        }
        if keys.is_empty() {
            let key = new_key(cloud, FIRST_VERSION).await?;
            keys.insert(FIRST_VERSION, key);
        }
        let mut revoked = Revoked::default();
        for row in cloud.store.revocations(cloud.clock.now()).await? {
            revoked.add(&row);
        }
        Ok(Grants {
            keys: RwLock::new(keys),
            revoked: Mutex::new(revoked),
            latest_id: Mutex::new(0),
            changes: watch::Sender::new(0),
        })
    }

    fn revoked(&self) -> MutexGuard<'_, Revoked> {
        self.revoked.lock().expect("no panic while revocations are locked")
    }

    fn newest_key(&self) -> (u32, [u8; 32]) {
        let keys = self.keys.read().expect("no panic while keys are locked");
        let (version, key) = keys.last_key_value().expect("there is always a key");
        (*version, *key)
    }

    fn key(&self, version: u32) -> Option<[u8; 32]> {
        self.keys.read().expect("no panic while keys are locked").get(&version).copied()
    }

    /// Larger than every id given out before, also before a restart unless the clock was set back.
    fn next_id(&self, now: UnixMillis) -> u64 {
        let mut latest = self.latest_id.lock().expect("no panic while the counter is locked");
        *latest = (*latest + 1).max(now.0.max(0) as u64 * IDS_A_MILLISECOND);
        *latest
    }
}

async fn new_key(cloud: &crate::Parts<'_>, version: u32) -> Result<[u8; 32], Error> {
    let mut key = [0; 32];
    rand::rng().fill_bytes(&mut key);
    let row = GrantKeyRow { version, key_sealed: cloud.keys.seal(KEY, &key), created_at: cloud.clock.now() };
    cloud.store.insert_grant_key(&row).await?;
    Ok(key)
}

fn sign(key: &[u8; 32], path: &str, expire: &str, id: &str, version: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in [path, expire, id, version] {
        // Lengths keep the parts apart whatever they contain.
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part.as_bytes());
    }
    hex::encode(mac.finalize().into_bytes())
}

impl Cloud {
    /// Makes an address of a live stream.
    ///
    /// # Errors
    /// `InvalidArgument` for the expiry, `DeviceOffline`.
    pub async fn live_address(&self, _: &Caller, channel: &Channel, ask: LiveAsk) -> Result<LiveAddress, Error> {
        let expire_s = ask.expire_s.unwrap_or(EXPIRE_DEFAULT_S);
        if !(EXPIRE_MIN_S..=EXPIRE_MAX_S).contains(&expire_s) {
            return Err(Error::InvalidArgument { field: "expireTime" });
        }
        if !self.is_online(&channel.serial) {
            return Err(Error::DeviceOffline);
        }
        let now = self.clock.now();
        let expire = (now + Duration::from_secs(expire_s)).as_secs();
        let id = self.grants.next_id(now).to_string();
        let path = format!("{PATH}{}_{}_{}", channel.serial, channel.no, ask.quality.number());
        let (version, key) = self.grants.newest_key();
        let t = sign(&key, &path, &expire.to_string(), &id, &version.to_string());
        let query = format!("expire={expire}&id={id}&t={t}&ev={version}");
        Ok(LiveAddress { id, path, query, expires_at: UnixMillis(expire * 1000) })
    }

    /// Verifies an address: its path and its query as the player sent them. Parameters that are not
    /// signed are ignored; one that is may stand there once.
    ///
    /// # Errors
    /// `GrantInvalid`, whatever is wrong with it.
    pub fn verify_play(&self, path: &str, query: &str) -> Result<PlayGrant, Error> {
        self.verified(path, query).filter(|grant| !self.is_revoked(grant)).ok_or(Error::GrantInvalid)
    }

    fn verified(&self, path: &str, query: &str) -> Option<PlayGrant> {
        let mut signed: BTreeMap<&str, String> = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if let Some(name) = ["expire", "id", "t", "ev"].into_iter().find(|known| *known == name)
                && signed.insert(name, value.into_owned()).is_some()
            {
                return None;
            }
        }
        let [expire, id, t, ev] = ["expire", "id", "t", "ev"].map(|name| signed.remove(name).unwrap_or_default());
        let key = self.grants.key(ev.parse().ok()?)?;
        if !same(sign(&key, path, &expire, &id, &ev).as_bytes(), t.as_bytes()) {
            return None;
        }
        // Signed, so ours, so well formed; only the time can be wrong now.
        if expire.parse::<i64>().ok()? <= self.clock.now().as_secs() {
            return None;
        }
        let mut parts = path.strip_prefix(PATH)?.split('_');
        let (serial, channel, quality) = (parts.next()?, parts.next()?, parts.next()?);
        Some(PlayGrant {
            id: id.parse().ok()?,
            serial: serial.to_owned(),
            channel: ChannelNo(channel.parse().ok()?),
            quality: Quality::from_number(quality.parse().ok()?)?,
        })
    }

    /// Takes back one address of a channel, or all given out so far. Doing so again changes nothing.
    ///
    /// # Errors
    /// `Internal`.
    pub async fn revoke(&self, _: &Caller, channel: &Channel, id: Option<u64>) -> Result<(), Error> {
        self.revoke_of(&channel.serial, channel.no, id).await
    }

    pub(crate) async fn revoke_of(&self, serial: &str, channel: ChannelNo, id: Option<u64>) -> Result<(), Error> {
        let now = self.clock.now();
        let row = RevocationRow {
            serial: serial.to_owned(),
            channel_no: channel.0.into(),
            grant_id: match id {
                // Beyond 63 bits nothing was ever given out.
                Some(id) if i64::try_from(id).is_err() => return Ok(()),
                Some(id) => id,
                None => self.grants.next_id(now),
            },
            up_to: id.is_none(),
            expires_at: now + Duration::from_secs(EXPIRE_MAX_S),
        };
        self.store.insert_revocation(&row).await?;
        self.grants.revoked().add(&row);
        self.grants.changes.send_modify(|n| *n += 1);
        Ok(())
    }

    /// Whether the address was taken back.
    pub fn is_revoked(&self, grant: &PlayGrant) -> bool {
        let revoked = self.grants.revoked();
        let (serial, channel) = (&grant.serial, grant.channel.0);
        let up_to = revoked.up_to.get(&(serial.clone(), channel));
        up_to.is_some_and(|last| grant.id <= *last) || revoked.ids.contains(&(serial.clone(), channel, grant.id))
    }

    /// Changes with each revocation, so that running sessions can be looked through.
    pub fn revocations(&self) -> watch::Receiver<u64> {
        self.grants.changes.subscribe()
    }

    /// Signs with a new key from now on; gives its version. Addresses signed before stay valid.
    ///
    /// # Errors
    /// `Internal`.
    pub async fn rotate_key(&self, _: &Operator) -> Result<u32, Error> {
        let version = self.grants.newest_key().0 + 1;
        let key = new_key(&self.parts(), version).await?;
        self.grants.keys.write().expect("no panic while keys are locked").insert(version, key);
        Ok(version)
    }
}
