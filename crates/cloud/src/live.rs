//! Watching and publishing: from a verified grant to the media core.

use std::collections::HashMap;
use std::sync::Mutex;

use device::{ChannelNo, Quality, stream_id};
use media::{Hub, OpenError, StreamId, Viewing};
use store::PushKeyRow;
use url::form_urlencoded;

use crate::keys::{LOWER, random_text, same};
use crate::{Cloud, Error, Operator, PlayGrant};

/// Characters of a publishing key.
const PUSH_KEY_LENGTH: usize = 32;
const PUSH_PATH: &str = "/push/";
const PUSH_KEY: &str = "push key";

/// A verified permission to publish one stream.
#[derive(Clone, Debug)]
pub struct PublishGrant {
    /// The stream.
    pub stream: StreamId,
}

/// Publishing keys, by device and channel. Few and read at each publish, so they are kept in memory.
#[derive(Default)]
pub(crate) struct PushKeys(Mutex<HashMap<(String, u16), String>>);

impl PushKeys {
    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<(String, u16), String>> {
        self.0.lock().expect("no panic while the table is locked")
    }
}

impl Cloud {
    /// The stream a grant allows, running and with a key frame to start from.
    ///
    /// # Errors
    /// `DeviceOffline`, `DeviceTimeout` when no key frame came, `NoPicture` with the hop that failed.
    pub async fn open_live(&self, grant: &PlayGrant) -> Result<Viewing, Error> {
        let id = stream_id(&grant.serial, grant.channel, grant.quality);
        self.hub().open(&id).await.map_err(no_picture)
    }

    /// Where streams live.
    pub fn hub(&self) -> &Hub {
        &self.devices.hub
    }

    /// Path and query to publish a channel at: `/push/SERIAL_CH?key=…`; `None` if it is not such a device.
    pub fn push_address(&self, _: &Operator, serial: &str, channel: ChannelNo) -> Option<String> {
        let key = self.push_keys.map().get(&(serial.to_owned(), channel.0)).cloned()?;
        Some(format!("{PUSH_PATH}{serial}_{channel}?key={key}"))
    }

    /// Verifies where a device wants to publish.
    ///
    /// # Errors
    /// `GrantInvalid`, whatever is wrong with it.
    pub fn verify_publish(&self, path: &str, query: &str) -> Result<PublishGrant, Error> {
        let name = path.strip_prefix(PUSH_PATH).and_then(|name| name.split_once('_'));
        let (serial, channel) = name.ok_or(Error::GrantInvalid)?;
        let channel: u16 = channel.parse().map_err(|_| Error::GrantInvalid)?;
        let mut keys = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "key");
        let (Some((_, given)), None) = (keys.next(), keys.next()) else { return Err(Error::GrantInvalid) };
        let expected = self.push_keys.map().get(&(serial.to_owned(), channel)).cloned().unwrap_or_default();
        if expected.is_empty() || !same(expected.as_bytes(), given.as_bytes()) {
            return Err(Error::GrantInvalid);
        }
        Ok(PublishGrant { stream: stream_id(serial, ChannelNo(channel), Quality::Main) })
    }

    pub(crate) async fn make_push_key(&self, serial: &str, channel: ChannelNo) -> Result<(), Error> {
        let key = random_text(LOWER, PUSH_KEY_LENGTH);
        let row = PushKeyRow {
            serial: serial.to_owned(),
            channel_no: channel.0,
            key_sealed: self.keys.seal(PUSH_KEY, serial, key.as_bytes()),
            created_at: self.clock.now(),
        };
        self.store.replace_push_key(&row).await?;
        self.push_keys.map().insert((serial.to_owned(), channel.0), key);
        Ok(())
    }

    pub(crate) async fn load_push_keys(&self) -> Result<(), Error> {
        for device in self.store.devices().await? {
            for channel in self.store.channels(&device.serial).await? {
                if let Some(row) = self.store.push_key(&device.serial, channel.no).await? {
                    let key = self.keys.open_text(PUSH_KEY, &device.serial, &row.key_sealed)?;
                    self.push_keys.map().insert((device.serial.clone(), channel.no), key);
                }
            }
        }
        Ok(())
    }

    pub(crate) fn forget_push_keys(&self, serial: &str) {
        self.push_keys.map().retain(|(owner, _), _| owner != serial);
    }
}

/// Why a stream did not begin.
pub(crate) fn no_picture(error: OpenError) -> Error {
    match error {
        OpenError::NotFound => Error::DeviceOffline,
        OpenError::Timeout => Error::DeviceTimeout,
        OpenError::Busy => Error::NoPicture { step: "start", cause: error.to_string() },
        OpenError::Failed(end) => Error::NoPicture { step: end.step, cause: end.cause },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use device::DriverKind;
    use media::HubSettings;
    use proptest::prelude::*;
    use tempfile::TempDir;

    use crate::{Attach, Clock, Cloud, Settings};

    /// All readers of addresses take whatever a stranger sends: they refuse it and come to no harm.
    #[tokio::test]
    async fn arbitrary_addresses_are_refused() {
        let folder = TempDir::new().unwrap();
        let (data, clock) = (folder.path().to_owned(), Clock::system());
        let settings = Settings {
            data,
            hub: HubSettings::default(),
            allow: Vec::new(),
            ptz_watchdog: device::PTZ_WATCHDOG,
            clock,
            utc_offset_minutes: 480,
            record: crate::RecordSettings::default(),
        };
        let (cloud, _) = Cloud::open(settings).await.unwrap();
        let attach = Attach {
            kind: DriverKind::RtmpPush,
            address: String::new(),
            login: None,
            serial: Some("CAMERA001".into()),
            validate_code: None,
            name: None,
            keep_live: false,
        };
        cloud.attach(&cloud.console(), attach).await.unwrap();

        // Mostly wrong in one place only: a path of the right form, parameters of the right names.
        let path = prop_oneof![
            any::<String>(),
            "/(v3/(openlive|openpb|download|picture|voice)|push)/CAMERA001_[0-9+]{1,20}(_[0-9+]{1,20})?(\\.(jpg|wav|mp4))?",
            "/(v3/(openlive|openpb|download|picture|voice)|push)/[A-Za-z0-9_.%+-]{0,40}",
        ];
        let query = prop_oneof![
            any::<String>(),
            "expire=[0-9]{1,25}&id=[0-9]{1,25}&t=[0-9a-f]{64}&ev=(100|[0-9+]{1,25})",
            "begin=[0-9]{14}&end=[0-9]{14}&rec=(local|cloud)&expire=[0-9]{1,25}&id=[0-9]{1,25}&t=[0-9a-f]{64}&ev=100",
            "((expire|id|t|ev|key|begin|end|rec)=[0-9a-f%+-]{0,70}&?){0,8}",
        ];
        let cases = ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() };
        proptest!(cases, |(path in path, query in query)| {
            prop_assert!(cloud.verify_play(&path, &query).is_err());
            prop_assert!(cloud.verify_playback(&path, &query).is_err());
            prop_assert!(cloud.verify_download(&path, &query).is_err());
            prop_assert!(cloud.verify_publish(&path, &query).is_err());
            prop_assert!(cloud.verify_file(&path, &query).is_err());
        });
        cloud.shutdown().await;
    }
}
