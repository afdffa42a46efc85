//! What a channel's speaker hears: kept in memory for tests, and written to a WAV file.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use av::codec::g711;
use av::container::wav;
use av::{G711Law, Pcm};
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use tokio::sync::OwnedMutexGuard;
use tracing::warn;

/// Samples a second that the speaker plays.
pub const SAMPLE_RATE: u32 = 8000;
/// Samples kept in memory, ten minutes: of more, the oldest go.
const HEARD_MAX: usize = 600 * SAMPLE_RATE as usize;

/// A loudspeaker: one at a time speaks through it.
pub struct Speaker {
    /// Held by the one who speaks.
    tape: Arc<tokio::sync::Mutex<Tape>>,
    heard: Arc<Mutex<Vec<i16>>>,
}

impl Speaker {
    /// A speaker that writes into `path`, if there is one.
    pub fn new(path: Option<PathBuf>) -> Speaker {
        Speaker { tape: Arc::new(tokio::sync::Mutex::new(Tape { path, file: None, bytes: 0 })), heard: Arc::default() }
    }

    /// Takes the speaker until the answer is dropped; `None` while somebody else has it.
    pub fn open(&self) -> Option<Talk> {
        let tape = self.tape.clone().try_lock_owned().ok()?;
        Some(Talk { tape, heard: self.heard.clone() })
    }

    /// Whether somebody has it.
    pub fn is_open(&self) -> bool {
        self.tape.try_lock().is_err()
    }

    /// Everything it heard since the camera was started, the last ten minutes of it.
    pub fn heard(&self) -> Pcm {
        Pcm { sample_rate: SAMPLE_RATE, samples: self.heard.lock().expect("no holder panics").clone() }
    }
}

/// The right to speak.
pub struct Talk {
    tape: OwnedMutexGuard<Tape>,
    heard: Arc<Mutex<Vec<i16>>>,
}

impl Talk {
    /// Plays G.711 at 8 kHz.
    pub async fn play_g711(&mut self, law: G711Law, codes: &[u8]) {
        self.play(&g711::decode(law, codes)).await;
    }

    /// Plays samples at [`SAMPLE_RATE`].
    pub async fn play(&mut self, samples: &[i16]) {
        {
            let mut heard = self.heard.lock().expect("no holder panics");
            heard.extend(samples);
            let surplus = heard.len().saturating_sub(HEARD_MAX);
            heard.drain(..surplus);
        }
        if let Err(error) = self.tape.append(samples).await {
            // The sound is heard all the same; a full disk shall not be reported with each packet.
            warn!(path = ?self.tape.path.take(), %error, "the speaker writes no more");
        }
    }
}

/// The WAV file behind a speaker, opened at the first sound.
struct Tape {
    path: Option<PathBuf>,
    file: Option<File>,
    /// Bytes of samples written.
    bytes: u32,
}

impl Tape {
    async fn append(&mut self, samples: &[i16]) -> std::io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(begin(path).await?),
        };
        let data = wav::samples(samples);
        file.write_all(&data).await?;
        self.bytes = self.bytes.saturating_add(data.len() as u32);
        // The header with its sizes last: a file cut off before it is whole but for its newest samples.
        file.seek(SeekFrom::Start(0)).await?;
        file.write_all(&wav::header(SAMPLE_RATE, self.bytes)).await?;
        file.seek(SeekFrom::End(0)).await?;
        file.flush().await
    }
}

/// A WAV file without samples.
async fn begin(path: &Path) -> std::io::Result<File> {
    let mut file = File::create(path).await?;
    file.write_all(&wav::header(SAMPLE_RATE, 0)).await?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn what_is_heard_is_a_wav_file_after_every_packet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("heard.wav");
        let speaker = Speaker::new(Some(path.clone()));
        let mut expected = Vec::new();
        for round in 0..3i16 {
            let mut talk = speaker.open().expect("nobody speaks");
            assert!(speaker.open().is_none() && speaker.is_open());
            let samples: Vec<i16> = (0..160).map(|i| i * 100 + round).collect();
            talk.play(&samples).await;
            expected.extend(samples);
            let bytes = std::fs::read(&path).unwrap();
            let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
            assert_eq!((&bytes[..4], &bytes[8..16], &bytes[36..40]), (&b"RIFF"[..], &b"WAVEfmt "[..], &b"data"[..]));
            assert_eq!((number(4), number(24), number(40)), (bytes.len() - 8, 8000, expected.len() * 2));
            let samples: Vec<i16> = bytes[44..].chunks_exact(2).map(|s| i16::from_le_bytes([s[0], s[1]])).collect();
            assert_eq!(samples, expected);
        }
        assert!(!speaker.is_open());
        assert_eq!(speaker.heard(), Pcm { sample_rate: 8000, samples: expected });
    }

    #[tokio::test]
    async fn a_speaker_that_cannot_write_is_heard_all_the_same() {
        let speaker = Speaker::new(Some("/nonexistent/heard.wav".into()));
        let mut talk = speaker.open().unwrap();
        talk.play_g711(G711Law::A, &[0xD5, 0x2A]).await;
        talk.play(&[7; HEARD_MAX - 1]).await;
        assert_eq!(speaker.heard().samples[..2], [g711::decode(G711Law::A, &[0x2A])[0], 7]);
        assert_eq!(speaker.heard().samples.len(), HEARD_MAX);
    }
}
