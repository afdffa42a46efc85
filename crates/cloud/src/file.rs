//! Files that signed addresses open: pictures and phrases.

use std::io::ErrorKind;
use std::path::Path;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;

use crate::{Cloud, Error};

/// A verified permission to fetch one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileGrant(File);

#[derive(Clone, Debug, PartialEq, Eq)]
enum File {
    Picture(u64),
    Voice(String),
}

impl Cloud {
    /// Verifies the address of a file: its path and its query as they came.
    ///
    /// # Errors
    /// `GrantInvalid`, whatever is wrong with it.
    pub fn verify_file(&self, path: &str, query: &str) -> Result<FileGrant, Error> {
        let id = self.signed_id(path, query).ok_or(Error::GrantInvalid)?;
        if self.is_picture(path, id) {
            return Ok(FileGrant(File::Picture(id)));
        }
        let phrase = crate::voice::phrase_of(path).ok_or(Error::GrantInvalid)?;
        Ok(FileGrant(File::Voice(phrase.to_owned())))
    }

    /// The file.
    ///
    /// # Errors
    /// `GrantInvalid` when it is there no more.
    pub async fn open_file(&self, grant: &FileGrant) -> Result<Bytes, Error> {
        let bytes = match &grant.0 {
            File::Picture(id) => self.pictures.read(*id).await.map(Bytes::from),
            File::Voice(phrase) => self.voices.read(phrase).await,
        };
        bytes.ok_or(Error::GrantInvalid)
    }
}

/// Makes a folder, for its owner only, if it is not there.
pub(crate) async fn make_folder(path: &Path) -> Result<(), Error> {
    let mut folder = tokio::fs::DirBuilder::new();
    folder.recursive(true);
    #[cfg(unix)]
    folder.mode(0o700);
    Ok(folder.create(path).await?)
}

/// Writes a file, for its owner only, so that it is there whole or not at all.
pub(crate) async fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let fresh = path.with_extension("new");
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    options.mode(0o600);
    let mut file = options.open(&fresh).await?;
    file.write_all(bytes).await?;
    file.sync_all().await?;
    Ok(tokio::fs::rename(&fresh, path).await?)
}

/// Removes a file; one that is gone already is no error.
pub(crate) async fn remove_file(path: &Path) -> Result<(), Error> {
    match tokio::fs::remove_file(path).await {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
