//! Secrets: the key file outside the database, what it seals, and how secrets are made and compared.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use rand::{Rng, RngExt};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::Error;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;

/// The key that what must be read again is sealed with (AES-256-GCM, NIST SP 800-38D). It lies in a
/// file beside the database, readable by its owner only, so that a stolen database tells nothing.
pub(crate) struct MasterKey(Aes256Gcm);

impl MasterKey {
    /// Reads the key file, or makes it.
    pub(crate) fn open(path: &Path) -> io::Result<MasterKey> {
        let mut key = [0; KEY_BYTES];
        match fs::File::open(path) {
            Ok(mut file) => {
                file.read_exact(&mut key)?;
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                rand::rng().fill_bytes(&mut key);
                // Whole or not at all: a crash in between must not leave half a key.
                let fresh = path.with_extension("new");
                let mut options = OpenOptions::new();
                options.write(true).create(true).truncate(true);
                #[cfg(unix)]
                std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
                let mut file = options.open(&fresh)?;
                file.write_all(&key)?;
                file.sync_all()?;
                fs::rename(&fresh, path)?;
                // Without this a power cut could take the key back and leave what it sealed.
                if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                    fs::File::open(folder)?.sync_all()?;
                }
            }
            Err(e) => return Err(e),
        }
        Ok(MasterKey(Aes256Gcm::new(&key.into())))
    }

    /// Seals `secret` for one purpose and owner; it cannot be opened as another's or for another purpose,
    /// so that rows cannot be exchanged.
    pub(crate) fn seal(&self, purpose: &str, owner: &str, secret: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        rand::rng().fill_bytes(&mut nonce);
        let aad = associated(purpose, owner);
        let payload = Payload { msg: secret, aad: &aad };
        let sealed = self.0.encrypt(&Nonce::from(nonce), payload).expect("secrets are far below the cipher's limit");
        [&nonce[..], &sealed].concat()
    }

    /// Opens what was sealed for this purpose and owner.
    ///
    /// # Errors
    /// `Internal` when the key file is not the one it was sealed with, or the bytes were changed.
    pub(crate) fn open_sealed(&self, purpose: &str, owner: &str, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let wrong = || Error::Internal(format!("{purpose} of {owner} cannot be opened with this key file").into());
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or_else(wrong)?;
        let aad = associated(purpose, owner);
        let payload = Payload { msg: rest, aad: &aad };
        self.0.decrypt(&Nonce::from(*nonce), payload).map_err(|_| wrong())
    }

    /// As [`MasterKey::open_sealed`], for text.
    pub(crate) fn open_text(&self, purpose: &str, owner: &str, sealed: &[u8]) -> Result<String, Error> {
        let bytes = self.open_sealed(purpose, owner, sealed)?;
        String::from_utf8(bytes).map_err(|e| Error::Internal(e.into()))
    }
}

fn associated(purpose: &str, owner: &str) -> Vec<u8> {
    // Purposes are ours and have no NUL.
    [purpose.as_bytes(), &[0], owner.as_bytes()].concat()
}

/// `length` random characters of `alphabet`.
pub(crate) fn random_text(alphabet: &[u8], length: usize) -> String {
    let mut rng = rand::rng();
    (0..length).map(|_| char::from(alphabet[rng.random_range(0..alphabet.len())])).collect()
}

/// Lower-case letters and digits.
pub(crate) const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
/// Capital letters.
pub(crate) const CAPITALS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
/// Capital letters and digits.
pub(crate) const SERIAL: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
/// Lower-case hexadecimal digits.
pub(crate) const HEX: &[u8] = b"0123456789abcdef";

/// SHA-256, under which tokens are kept.
pub(crate) fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Compares in a time that tells nothing of where they differ.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}
