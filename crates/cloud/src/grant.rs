//! Signed addresses: expiring, revocable, verified without a database.
//!
//! An address is a path and `expire=S&id=N&t=H&ev=V`: `expire` in epoch seconds, `id` of 18 digits that
//! rise with time, `ev` the version of the key, and `t` the lower-case hexadecimal HMAC-SHA-256 over
//! path, expire, id and ev. One of footage has `begin=T&end=T&rec=local|cloud` too, local times as
//! `yyyyMMddHHmmss`, and they are signed likewise. What else a player adds means nothing. The path says
//! what the address opens, and is signed, so it opens nothing else:
//!
//! | Path | Opens |
//! |---|---|
//! | `/v3/openlive/SERIAL_CHANNEL_QUALITY` | a live stream |
//! | `/v3/openpb/SERIAL_CHANNEL_1` | footage from `begin` to `end`, played (`playback.rs`) |
//! | `/v3/download/SERIAL_CHANNEL_1.mp4` | the same as a file |
//! | `/v3/picture/SERIAL_CHANNEL.jpg` | the picture of this id (`picture.rs`) |
//! | `/v3/voice/PHRASE.wav`, `.mp3` | a phrase's sound (`voice.rs`) |

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
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
const LONGEST: Duration = Duration::from_secs(EXPIRE_MAX_S);
/// Life of an address when none is asked for: the access token's, 7 days.
const EXPIRE_DEFAULT_S: u64 = 7 * 24 * 3600;
/// The first key's version, as the platform's addresses have it.
const FIRST_VERSION: u32 = 100;
/// Ids count in steps of this many a millisecond, which makes them 18 digits long until the year 2286.
const IDS_A_MILLISECOND: u64 = 100_000;
/// An id may lie this far ahead: the clock may have been set back since.
const CLOCK_SLACK: Duration = Duration::from_secs(24 * 3600);
/// Addresses of one channel taken back one by one and not yet expired. A caller who takes back more
/// has to wait, or takes back all.
const REVOKED_MAX: usize = 100_000;
/// Bytes of path and of query, each: ours have below 200, and players add a few.
const ADDRESS_MAX: usize = 4096;
const PATH: &str = "/v3/openlive/";
const KEY: &str = "grant key";

/// What to make a play address for. `Debug` hides the code.
#[derive(Clone, Copy)]
pub struct LiveAsk<'a> {
    /// Main or sub stream.
    pub quality: Quality,
    /// Seconds it is valid, 30 to 62,208,000; 7 days when absent.
    pub expire_s: Option<u64>,
    /// Stream password, for a device that is encrypted.
    pub code: Option<&'a str>,
}

impl fmt::Debug for LiveAsk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveAsk")
            .field("quality", &self.quality)
            .field("expire_s", &self.expire_s)
            .field("code", &self.code.map(|_| "***"))
            .finish()
    }
}

/// An address without scheme, host and port. Who has it may open what it names: `Debug` hides the
/// signature.
#[derive(Clone)]
pub struct SignedAddress {
    /// 18 decimal digits.
    pub id: String,
    /// `/v3/openlive/SERIAL_CH_Q`, or another that this module's page lists.
    pub path: String,
    /// `expire=…&id=…&t=…&ev=…`.
    pub query: String,
    /// When it ends.
    pub expires_at: UnixMillis,
}

impl fmt::Debug for SignedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedAddress")
            .field("id", &self.id)
            .field("path", &self.path)
            .field("query", &"***")
            .field("expires_at", &self.expires_at)
            .finish()
    }
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

/// What revocation goes by: an address of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressId<'a> {
    /// Device.
    pub serial: &'a str,
    /// Channel.
    pub channel: ChannelNo,
    /// The address's id.
    pub id: u64,
}

impl<'a> From<&'a PlayGrant> for AddressId<'a> {
    fn from(grant: &'a PlayGrant) -> AddressId<'a> {
        AddressId { serial: &grant.serial, channel: grant.channel, id: grant.id }
    }
}

impl PlayGrant {
    /// The same permission for the channel's sub stream, which is the same picture, smaller.
    pub fn sub_stream(&self) -> PlayGrant {
        PlayGrant { quality: Quality::Sub, ..self.clone() }
    }
}

/// Keys by version and what was taken back.
pub(crate) struct Grants {
    /// Never empty; the newest signs.
    keys: RwLock<BTreeMap<u32, Key>>,
    revoked: Mutex<BTreeMap<(String, u16), Revoked>>,
    latest_id: Mutex<u64>,
    /// Moves with each revocation.
    changes: watch::Sender<u64>,
}

#[derive(Clone)]
struct Key {
    secret: [u8; 32],
    created_at: UnixMillis,
}

/// What was taken back of one channel.
#[derive(Default)]
struct Revoked {
    ids: BTreeSet<u64>,
    /// Every id up to this one.
    up_to: u64,
}

impl Revoked {
    fn contains(&self, id: u64) -> bool {
        id <= self.up_to || self.ids.contains(&id)
    }
}

/// When an id was given out.
pub(crate) fn id_time(id: u64) -> UnixMillis {
    UnixMillis((id / IDS_A_MILLISECOND) as i64)
}

impl Grants {
    /// Keys and revocations as stored; the first key is made if there is none.
    pub(crate) async fn load(cloud: &crate::Parts<'_>) -> Result<Grants, Error> {
        let mut keys = BTreeMap::new();
        for row in cloud.store.grant_keys().await? {
            let secret = cloud.keys.open_sealed(KEY, &row.version.to_string(), &row.key_sealed)?;
            let secret = secret.try_into().map_err(|_| Error::Internal("grant key has a wrong length".into()))?;
            keys.insert(row.version, Key { secret, created_at: row.created_at });
        }
        if keys.is_empty() {
            keys.insert(FIRST_VERSION, new_key(cloud, FIRST_VERSION).await?);
        }
        let grants = Grants {
            keys: RwLock::new(keys),
            revoked: Mutex::default(),
            latest_id: Mutex::new(0),
            changes: watch::Sender::new(0),
        };
        grants.add(&cloud.store.revocations(cloud.clock.now()).await?);
        Ok(grants)
    }

    fn add(&self, rows: &[RevocationRow]) {
        let mut revoked = self.revoked();
        for row in rows {
            let of_channel = revoked.entry((row.serial.clone(), row.channel_no)).or_default();
            if row.up_to {
                of_channel.up_to = row.grant_id.max(of_channel.up_to);
                of_channel.ids.retain(|id| *id > of_channel.up_to);
                // What is given out from now on must not fall under it, even if the clock was set back.
                let mut latest = self.latest_id();
                *latest = row.grant_id.max(*latest);
            } else {
                of_channel.ids.insert(row.grant_id);
            }
        }
        drop(revoked);
        self.changes.send_modify(|n| *n += 1);
    }

    fn revoked(&self) -> MutexGuard<'_, BTreeMap<(String, u16), Revoked>> {
        self.revoked.lock().expect("no panic while revocations are locked")
    }

    fn latest_id(&self) -> MutexGuard<'_, u64> {
        self.latest_id.lock().expect("no panic while the counter is locked")
    }

    fn newest_key(&self) -> (u32, [u8; 32]) {
        let keys = self.keys.read().expect("no panic while keys are locked");
        let (version, key) = keys.last_key_value().expect("there is always a key");
        (*version, key.secret)
    }

    fn key(&self, version: u32) -> Option<[u8; 32]> {
        self.keys.read().expect("no panic while keys are locked").get(&version).map(|key| key.secret)
    }

    /// Larger than every id given out before, also before a restart unless the clock was set back.
    pub(crate) fn next_id(&self, now: UnixMillis) -> u64 {
        let mut latest = self.latest_id();
        *latest = (*latest + 1).max(now.0.max(0) as u64 * IDS_A_MILLISECOND);
        *latest
    }
}

async fn new_key(cloud: &crate::Parts<'_>, version: u32) -> Result<Key, Error> {
    let mut secret = [0; 32];
    rand::rng().fill_bytes(&mut secret);
    let created_at = cloud.clock.now();
    let key_sealed = cloud.keys.seal(KEY, &version.to_string(), &secret);
    cloud.store.insert_grant_key(&GrantKeyRow { version, key_sealed, created_at }).await?;
    Ok(Key { secret, created_at })
}

/// What of an address is signed, beside its path: a path of footage has a span, others have none.
#[derive(Default)]
struct Claims<'a> {
    span: Option<Span<'a>>,
    expire: &'a str,
    id: &'a str,
    version: &'a str,
}

/// Which footage, as the address has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Span<'a> {
    /// `yyyyMMddHHmmss`, local.
    pub(crate) begin: &'a str,
    /// `yyyyMMddHHmmss`, local.
    pub(crate) end: &'a str,
    /// `local` or `cloud`.
    pub(crate) rec: &'a str,
}

fn sign(key: &[u8; 32], path: &str, claims: &Claims<'_>) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    let Claims { span, expire, id, version } = claims;
    let span = span.map(|span| [span.begin, span.end, span.rec]);
    for part in [path, expire, id, version].into_iter().chain(span.into_iter().flatten()) {
        // Lengths keep the parts apart whatever they contain.
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part.as_bytes());
    }
    hex::encode(mac.finalize().into_bytes())
}

/// The parameters of an address that are signed; one that is not there is empty.
#[derive(Default)]
struct SignedQuery {
    begin: String,
    end: String,
    rec: String,
    expire: String,
    id: String,
    t: String,
    ev: String,
}

impl SignedQuery {
    /// Reads a query; `None` if it or the path is too long, or if such a parameter stands there twice.
    fn read(path: &str, query: &str) -> Option<SignedQuery> {
        if path.len().max(query.len()) > ADDRESS_MAX {
            return None;
        }
        let mut signed = SignedQuery::default();
        let mut seen = BTreeSet::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let (name, place) = match &*name {
                "begin" => ("begin", &mut signed.begin),
                "end" => ("end", &mut signed.end),
                "rec" => ("rec", &mut signed.rec),
                "expire" => ("expire", &mut signed.expire),
                "id" => ("id", &mut signed.id),
                "t" => ("t", &mut signed.t),
                "ev" => ("ev", &mut signed.ev),
                _ => continue,
            };
            if !seen.insert(name) {
                return None;
            }
            *place = value.into_owned();
        }
        Some(signed)
    }
}

impl Cloud {
    /// Makes an address of a live stream.
    ///
    /// # Errors
    /// As [`Cloud::standing_address`], and `DeviceOffline`.
    pub async fn live_address(
        &self,
        caller: &Caller,
        channel: &Channel,
        ask: LiveAsk<'_>,
    ) -> Result<SignedAddress, Error> {
        let address = self.standing_address(caller, channel, ask).await?;
        if self.is_online(&channel.serial) { Ok(address) } else { Err(Error::DeviceOffline) }
    }

    /// Makes an address of a live stream that may be played later, when the device is on line.
    ///
    /// # Errors
    /// `InvalidArgument` for the expiry, `NotOwner` if it is the caller's no more; `Encrypted` without the
    /// right code where one is needed, `RateLimited` after too many wrong ones.
    pub async fn standing_address(
        &self,
        caller: &Caller,
        channel: &Channel,
        ask: LiveAsk<'_>,
    ) -> Result<SignedAddress, Error> {
        let (id, expire) = self.permit(caller, channel, ask.expire_s, ask.code).await?;
        let path = format!("{PATH}{}_{}_{}", channel.serial, channel.no, ask.quality.number());
        Ok(self.signed_address(path, id, expire))
    }

    /// A new address's id and when it ends, in epoch seconds, if the caller may have it.
    ///
    /// # Errors
    /// As [`Cloud::standing_address`].
    pub(crate) async fn permit(
        &self,
        caller: &Caller,
        channel: &Channel,
        expire_s: Option<u64>,
        code: Option<&str>,
    ) -> Result<(u64, i64), Error> {
        let expire_s = expire_s.unwrap_or(EXPIRE_DEFAULT_S);
        if !(EXPIRE_MIN_S..=EXPIRE_MAX_S).contains(&expire_s) {
            return Err(Error::InvalidArgument { field: "expireTime" });
        }
        let now = self.clock.now();
        let id = self.grants.next_id(now);
        // Asked after the id is taken: if the device is unbound or encrypted meanwhile, either this sees
        // it, or the id is among those that it takes back.
        let row = self.owned(caller, &channel.serial).await?;
        self.unlock(caller, &row, code).await?;
        let expire = now + Duration::from_secs(expire_s);
        Ok((id, caller.visit_until().map_or(expire, |until| expire.min(until)).as_secs()))
    }

    /// Signs a path until `expire`, in epoch seconds.
    pub(crate) fn signed_address(&self, path: String, id: u64, expire: i64) -> SignedAddress {
        self.signed(path, None, id, expire)
    }

    /// As [`Cloud::signed_address`], for footage.
    pub(crate) fn signed_span(&self, path: String, span: Span<'_>, id: u64, expire: i64) -> SignedAddress {
        self.signed(path, Some(span), id, expire)
    }

    fn signed(&self, path: String, span: Option<Span<'_>>, id: u64, expire: i64) -> SignedAddress {
        let (version, key) = self.grants.newest_key();
        let (id, expire_text, version) = (id.to_string(), expire.to_string(), version.to_string());
        let t = sign(&key, &path, &Claims { span, expire: &expire_text, id: &id, version: &version });
        let query = match span {
            None => format!("expire={expire}&id={id}&t={t}&ev={version}"),
            Some(Span { begin, end, rec }) => {
                format!("begin={begin}&end={end}&expire={expire}&id={id}&rec={rec}&t={t}&ev={version}")
            }
        };
        SignedAddress { id, path, query, expires_at: UnixMillis(expire * 1000) }
    }

    /// Verifies an address: its path and its query as the player sent them. Parameters that are not
    /// signed are ignored; one that is may stand there once.
    ///
    /// # Errors
    /// `GrantInvalid`, whatever is wrong with it.
    pub fn verify_play(&self, path: &str, query: &str) -> Result<PlayGrant, Error> {
        self.play_grant(path, query).filter(|grant| !self.is_revoked(grant)).ok_or(Error::GrantInvalid)
    }

    fn play_grant(&self, path: &str, query: &str) -> Option<PlayGrant> {
        let id = self.signed_id(path, query)?;
        let mut parts = path.strip_prefix(PATH)?.split('_');
        let (serial, channel, quality) = (parts.next()?, parts.next()?, parts.next()?);
        Some(PlayGrant {
            id,
            serial: serial.to_owned(),
            channel: ChannelNo(channel.parse().ok()?),
            quality: Quality::from_number(quality.parse().ok()?)?,
        })
    }

    /// The id of an address that was signed here and has not expired, whether revoked or not.
    pub(crate) fn signed_id(&self, path: &str, query: &str) -> Option<u64> {
        let signed = SignedQuery::read(path, query)?;
        self.check(path, &signed, None)
    }

    /// The id of an address of footage, as [`Cloud::signed_id`], and what `read` makes of its span.
    pub(crate) fn signed_span_id<T>(
        &self,
        path: &str,
        query: &str,
        read: impl FnOnce(Span<'_>) -> Option<T>,
    ) -> Option<(u64, T)> {
        let signed = SignedQuery::read(path, query)?;
        let span = Span { begin: &signed.begin, end: &signed.end, rec: &signed.rec };
        Some((self.check(path, &signed, Some(span))?, read(span)?))
    }

    fn check(&self, path: &str, signed: &SignedQuery, span: Option<Span<'_>>) -> Option<u64> {
        let SignedQuery { expire, id, t, ev, .. } = signed;
        let key = self.grants.key(ev.parse().ok()?)?;
        if !same(sign(&key, path, &Claims { span, expire, id, version: ev }).as_bytes(), t.as_bytes()) {
            return None;
        }
        // Signed, so ours, so well formed; only the time can be wrong now.
        if expire.parse::<i64>().ok()? <= self.clock.now().as_secs() { None } else { id.parse().ok() }
    }

    /// Takes back one address of a channel, or all given out so far. Doing so again changes nothing, nor
    /// does an id that cannot be alive.
    ///
    /// # Errors
    /// `RateLimited` when 100,000 addresses of the channel were taken back one by one and live on.
    pub async fn revoke(&self, _: &Caller, channel: &Channel, id: Option<u64>) -> Result<(), Error> {
        let now = self.clock.now();
        if let Some(id) = id {
            // Given out later than any clock allows, or so long ago that it has expired: there is nothing to take back.
            let given = id_time(id);
            if given > now + CLOCK_SLACK || given + LONGEST < now || i64::try_from(id).is_err() {
                return Ok(());
            }
            match self.grants.revoked().get(&(channel.serial.clone(), channel.no.0)) {
                Some(revoked) if revoked.contains(id) => return Ok(()),
                Some(revoked) if revoked.ids.len() >= REVOKED_MAX => return Err(Error::RateLimited),
                _ => {}
            }
        }
        let row = self.revocation(&channel.serial, channel.no, id);
        self.store.insert_revocation(&row).await?;
        self.note_revoked(&[row]);
        Ok(())
    }

    /// What takes back every address of a device.
    pub(crate) async fn revocations_of(&self, serial: &str) -> Result<Vec<RevocationRow>, Error> {
        let channels = self.store.channels(serial).await?;
        Ok(channels.iter().map(|channel| self.revocation(serial, ChannelNo(channel.no), None)).collect())
    }

    /// Takes back one address of a channel, or all given out so far.
    fn revocation(&self, serial: &str, channel: ChannelNo, id: Option<u64>) -> RevocationRow {
        let now = self.clock.now();
        RevocationRow {
            serial: serial.to_owned(),
            channel_no: channel.0,
            grant_id: id.unwrap_or_else(|| self.grants.next_id(now)),
            up_to: id.is_none(),
            expires_at: now + LONGEST,
        }
    }

    /// Makes stored revocations count from now on.
    pub(crate) fn note_revoked(&self, rows: &[RevocationRow]) {
        self.grants.add(rows);
    }

    /// Whether the address was taken back: that of a [`PlayGrant`] or a [`crate::PlaybackGrant`].
    pub fn is_revoked<'a>(&self, address: impl Into<AddressId<'a>>) -> bool {
        let AddressId { serial, channel, id } = address.into();
        self.grants.revoked().get(&(serial.to_owned(), channel.0)).is_some_and(|revoked| revoked.contains(id))
    }

    /// Forgets revocations of addresses that have expired, and keys that only such were signed with.
    pub(crate) async fn forget_dead_grants(&self, now: UnixMillis) -> Result<(), Error> {
        let alive = |id: &u64| id_time(*id) + LONGEST >= now;
        self.grants.revoked().retain(|_, revoked| {
            revoked.ids.retain(alive);
            !revoked.ids.is_empty() || alive(&revoked.up_to)
        });
        let keys = self.grants.keys.read().expect("no panic while keys are locked").clone();
        let dead = keys.keys().zip(keys.values().skip(1)).filter(|(_, successor)| successor.created_at + LONGEST < now);
        for (version, _) in dead {
            self.drop_key(*version).await?;
        }
        Ok(())
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

    /// Ends a key that somebody else may know: every address signed with it stops working for new
    /// viewers. The newest cannot be ended; rotate first.
    ///
    /// # Errors
    /// `InvalidArgument` for the newest version.
    pub async fn retire_key(&self, _: &Operator, version: u32) -> Result<(), Error> {
        if version == self.grants.newest_key().0 {
            return Err(Error::InvalidArgument { field: "version" });
        }
        self.drop_key(version).await
    }

    async fn drop_key(&self, version: u32) -> Result<(), Error> {
        self.store.delete_grant_key(version).await?;
        self.grants.keys.write().expect("no panic while keys are locked").remove(&version);
        Ok(())
    }
}
