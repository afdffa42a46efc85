//! Voice: phrases that are kept, and sounds that devices speak.
//!
//! A file that comes in is decoded once, so that what cannot be spoken is refused when it comes, and
//! kept as we heard it: RIFF WAVE, 16 kHz, one channel, 16 bits. What was sent never goes out again, so
//! a phrase cannot smuggle anything to who listens to it. Rows are the truth: a file is written before
//! its row and removed after it, and one without a row goes at the next start.
//!
//! An account also has the platform's own phrases ([`PLATFORM`]), which nobody can change.

use std::path::PathBuf;
use std::time::Duration;

use av::Pcm;
use av::container::wav;
use av::voice::{self, Limits};
use bytes::Bytes;
use store::{MetaStore, VoiceRow};
use url::Url;

use crate::file::{make_folder, remove_file, write_file};
use crate::grant::SignedAddress;
use crate::keys::{LOWER, random_text};
use crate::{Caller, Channel, Cloud, Error};

/// Largest voice file, bytes; documented as 5 MB.
pub const VOICE_BYTES_MAX: usize = 5_000_000;
/// Longest sound; documented.
const LONGEST: Duration = Duration::from_secs(60);
/// Characters of a phrase's name; documented.
const NAME_MAX: usize = 50;
/// Phrases of one account: some 2 MB each at the longest.
const VOICES_MAX: usize = 100;
/// How long a phrase's address can be opened and spoken; documented.
const LIVES: Duration = Duration::from_secs(24 * 3600);
/// Samples a second that phrases are kept with: the most that speakers of cameras play.
const RATE: u32 = 16_000;
/// Characters of a phrase's id.
const ID_LENGTH: usize = 32;
/// Paths of phrases.
const PATH: &str = "/v3/voice/";

/// A phrase of the platform's own.
struct PlatformPhrase {
    id: &'static str,
    name: &'static str,
    duration_s: u32,
    mp3: &'static [u8],
}

macro_rules! platform {
    ($($id:literal $name:literal $duration_s:literal,)*) => {
        /// The platform's own phrases. How they were made stands beside the files.
        const PLATFORM: &[PlatformPhrase] = &[$(PlatformPhrase {
            id: $id,
            name: $name,
            duration_s: $duration_s,
            mp3: include_bytes!(concat!("../assets/voice/", $id, ".mp3")),
        }),*];
    };
}

platform! {
    "welcome" "欢迎光临" 2,
    "goodbye" "谢谢惠顾，欢迎下次光临" 5,
    "monitored" "您已进入监控区域" 3,
    "danger" "危险区域，请勿靠近" 3,
    "private" "私人区域，请尽快离开" 4,
    "parcel" "快递请放在门口" 3,
    "door" "请随手关门" 2,
}

fn platform_phrase(id: &str) -> Option<&'static PlatformPhrase> {
    PLATFORM.iter().find(|phrase| phrase.id == id)
}

/// A phrase that can be spoken.
#[derive(Clone, Debug)]
pub struct Phrase {
    /// Its name.
    pub name: String,
    /// How long it sounds, seconds; at least 1.
    pub duration_s: u32,
    /// Where it can be heard, and what [`Cloud::voice_send`] takes. Lives a day.
    pub address: SignedAddress,
}

/// Whose phrases are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phrases {
    /// The platform's.
    Platform,
    /// The caller's.
    Own,
    /// Both, the platform's first.
    All,
}

/// The files of phrases.
pub(crate) struct Voices {
    folder: PathBuf,
    /// Held while phrases are counted and one is added.
    adding: tokio::sync::Mutex<()>,
}

impl Voices {
    /// Opens the folder, made if it is not there; removes what no row names.
    pub(crate) async fn open(folder: PathBuf, store: &MetaStore) -> Result<Voices, Error> {
        make_folder(&folder).await?;
        let mut entries = tokio::fs::read_dir(&folder).await?;
        while let Some(entry) = entries.next_entry().await? {
            let name = entry.file_name();
            let known = match name.to_str().and_then(|name| name.strip_suffix(".wav")) {
                Some(id) => store.voice(id).await?.is_some(),
                None => false,
            };
            if !known {
                remove_file(&entry.path()).await?;
            }
        }
        Ok(Voices { folder, adding: tokio::sync::Mutex::default() })
    }

    fn file(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.wav"))
    }

    /// A phrase's sound as a file; `None` when it is gone.
    pub(crate) async fn read(&self, id: &str) -> Option<Bytes> {
        match platform_phrase(id) {
            Some(phrase) => Some(Bytes::from_static(phrase.mp3)),
            None => tokio::fs::read(self.file(id)).await.ok().map(Bytes::from),
        }
    }
}

/// The phrase that a path of a phrase's address names.
pub(crate) fn phrase_of(path: &str) -> Option<&str> {
    let (id, extension) = path.strip_prefix(PATH)?.split_once('.')?;
    let own = id.len() == ID_LENGTH && id.bytes().all(|b| LOWER.contains(&b)) && extension == "wav";
    let platform = extension == "mp3" && platform_phrase(id).is_some();
    (own || platform).then_some(id)
}

fn check_name(name: &str, field: &'static str) -> Result<String, Error> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > NAME_MAX || name.contains(crate::device::is_special) {
        return Err(Error::InvalidArgument { field });
    }
    Ok(name.to_owned())
}

/// A phrase's name from that of its file: without folder, ending and what a name may not have.
fn name_of_file(file_name: &str) -> String {
    let name = file_name.rsplit(['/', '\\']).next().unwrap_or_default();
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    stem.chars().filter(|c| !crate::device::is_special(*c)).take(NAME_MAX).collect()
}

/// Seconds that a sound is said to last: to the nearest, and at least one.
fn seconds(sound: &Pcm) -> u32 {
    sound.duration().as_secs_f64().round().max(1.0) as u32
}

impl Cloud {
    /// Phrases the caller may let its devices speak, whose names contain `name`; those of exactly that
    /// name first.
    ///
    /// # Errors
    /// `Internal`.
    pub async fn voices(&self, caller: &Caller, whose: Phrases, name: Option<&str>) -> Result<Vec<Phrase>, Error> {
        let mut phrases = Vec::new();
        if whose != Phrases::Own {
            phrases.extend(PLATFORM.iter().map(|p| self.phrase(p.name, p.duration_s, &format!("{}.mp3", p.id))));
        }
        if whose != Phrases::Platform {
            for row in self.store.voices(&caller.account.0).await? {
                phrases.push(self.phrase(&row.name, row.duration_s, &format!("{}.wav", row.id)));
            }
        }
        if let Some(name) = name {
            phrases.retain(|phrase| phrase.name.contains(name));
            phrases.sort_by_key(|phrase| phrase.name != name);
        }
        Ok(phrases)
    }

    fn phrase(&self, name: &str, duration_s: u32, file: &str) -> Phrase {
        let now = self.clock.now();
        let id = self.grants.next_id(now);
        let address = self.signed_address(format!("{PATH}{file}"), id, (now + LIVES).as_secs());
        Phrase { name: name.to_owned(), duration_s, address }
    }

    /// Keeps a phrase. Without a name it takes that of its file; with `force` it takes the place of the
    /// caller's phrase of the same name.
    ///
    /// # Errors
    /// `InvalidArgument` for the name, `VoiceRefused` for the file or a name that is taken, `VoicesFull`.
    pub async fn voice_upload(
        &self,
        caller: &Caller,
        file: Bytes,
        name: Option<&str>,
        file_name: &str,
        force: bool,
    ) -> Result<Phrase, Error> {
        let of_file = name_of_file(file_name);
        let name = check_name(name.unwrap_or(&of_file), "voiceName")?;
        let sound = self.heard(file).await?;
        let sound = if sound.sample_rate == RATE { sound } else { sound.resampled(RATE) };
        let wave = wav::file(&sound);

        let _adding = self.voices.adding.lock().await;
        let have = self.store.voices(&caller.account.0).await?;
        let replaced = have.iter().find(|row| row.name == name);
        match replaced {
            Some(_) if !force => return Err(name_taken()),
            None if have.len() >= VOICES_MAX => return Err(Error::VoicesFull),
            _ => {}
        }
        let row = VoiceRow {
            id: random_text(LOWER, ID_LENGTH),
            account_id: caller.account.0.clone(),
            name: name.clone(),
            duration_s: seconds(&sound),
            bytes: wave.len() as u64,
            created_at: self.clock.now(),
        };
        write_file(&self.voices.file(&row.id), &wave).await?;
        self.store.insert_voice(&row, force).await?;
        if let Some(replaced) = replaced {
            remove_file(&self.voices.file(&replaced.id)).await?;
        }
        Ok(self.phrase(&name, row.duration_s, &format!("{}.wav", row.id)))
    }

    /// Forgets a phrase of the caller; its addresses open nothing any more.
    ///
    /// # Errors
    /// `VoiceRefused` when the caller has none of this name.
    pub async fn voice_delete(&self, caller: &Caller, name: &str) -> Result<(), Error> {
        let row = self.own_voice(caller, name).await?;
        self.store.delete_voice(&caller.account.0, &row.id).await.map_err(unknown)?;
        remove_file(&self.voices.file(&row.id)).await
    }

    /// Names a phrase of the caller otherwise.
    ///
    /// # Errors
    /// `InvalidArgument` for the new name, `VoiceRefused` when the caller has none of the old name or one
    /// of the new.
    pub async fn voice_rename(&self, caller: &Caller, name: &str, new_name: &str) -> Result<(), Error> {
        let new_name = check_name(new_name, "newVoiceName")?;
        let row = self.own_voice(caller, name).await?;
        match self.store.rename_voice(&caller.account.0, &row.id, &new_name).await {
            Err(store::Error::Conflict) => Err(name_taken()),
            other => other.map_err(unknown),
        }
    }

    async fn own_voice(&self, caller: &Caller, name: &str) -> Result<VoiceRow, Error> {
        let rows = self.store.voices(&caller.account.0).await?;
        let found = rows.into_iter().find(|row| row.name == name.trim());
        found.ok_or_else(|| unknown(store::Error::NotFound))
    }

    /// Lets a device speak a phrase, by an address of it. The address must be one that was given out
    /// here, to the caller or of the platform's phrases; its host does not matter, and nothing is fetched.
    ///
    /// # Errors
    /// `InvalidArgument` for the address; `Unsupported` without a speaker, `SpeakerBusy`, `DeviceOffline`,
    /// `DeviceTimeout`, `Device`, `Refused`.
    pub async fn voice_send(&self, caller: &Caller, channel: &Channel, url: &str) -> Result<(), Error> {
        let file = self.phrase_at(caller, url).await?.ok_or(Error::InvalidArgument { field: "fileUrl" })?;
        self.voice_send_once(caller, channel, file).await
    }

    async fn phrase_at(&self, caller: &Caller, url: &str) -> Result<Option<Bytes>, Error> {
        let Ok(url) = Url::parse(url.trim()) else { return Ok(None) };
        let path = url.path();
        let Some(id) = self.signed_id(path, url.query().unwrap_or_default()).and(phrase_of(path)) else {
            return Ok(None);
        };
        let mine = match self.store.voice(id).await? {
            Some(row) => row.account_id == caller.account.0,
            None => platform_phrase(id).is_some(),
        };
        Ok(if mine { self.voices.read(id).await } else { None })
    }

    /// Lets a device speak a file once, without keeping it. Answers when it begins to be heard.
    ///
    /// # Errors
    /// As [`Cloud::voice_send`]; `VoiceRefused` for the file.
    pub async fn voice_send_once(&self, _: &Caller, channel: &Channel, file: Bytes) -> Result<(), Error> {
        let device = self.handle(&channel.serial)?;
        let sound = self.heard(file).await?;
        device.speak(channel.no, sound).await.map_err(Error::of_device)
    }

    /// The sound in a file.
    async fn heard(&self, file: Bytes) -> Result<Pcm, Error> {
        let limits = Limits { bytes: VOICE_BYTES_MAX, duration: LONGEST };
        let decoded = self.compute(move || voice::decode(&file, limits)).await?;
        decoded.map_err(|error| Error::VoiceRefused(error.to_string()))
    }
}

fn unknown(error: store::Error) -> Error {
    match error {
        store::Error::NotFound => Error::VoiceRefused("no phrase of this name".into()),
        other => other.into(),
    }
}

fn name_taken() -> Error {
    Error::VoiceRefused("a phrase of this name exists; force replaces it".into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_is_written_is_heard_again() {
        let samples: Vec<i16> = (0..RATE as i32).map(|n| ((n * 7919) % 65_536 - 32_768) as i16).collect();
        let sound = Pcm { sample_rate: RATE, samples };
        assert_eq!(voice::decode(&wav::file(&sound), Limits::default()).unwrap(), sound);
    }

    #[test]
    fn the_platform_has_seven_phrases_that_can_be_heard() {
        let ids: BTreeSet<&str> = PLATFORM.iter().map(|phrase| phrase.id).collect();
        assert_eq!(ids.len(), 7);
        for PlatformPhrase { id, name, duration_s, mp3 } in PLATFORM {
            let sound = voice::decode(mp3, Limits::default()).unwrap();
            assert_eq!(seconds(&sound), *duration_s, "{id}");
            // Speech, not silence: half of full scale is reached.
            assert!(sound.samples.iter().any(|sample| sample.unsigned_abs() > 1 << 14), "{id}");
            assert_eq!(check_name(name, "name").unwrap(), *name);
            assert_eq!(phrase_of(&format!("{PATH}{id}.mp3")), Some(*id));
        }
    }

    #[test]
    fn a_file_lends_its_name() {
        let check = |file: &str, name: &str| assert_eq!(name_of_file(file), name);
        check("欢迎.mp3", "欢迎");
        check("a.b.wav", "a.b");
        check("tmp_1a2b", "tmp_1a2b");
        check("C:\\Users\\me\\door bell.aac", "door bell");
        check("../../etc/<b>\"x\".mp3", "bx");
        check(&"很".repeat(80), &"很".repeat(50));
        check(".mp3", "");
    }
}
