//! Blobs: immutable objects under keys such as `cloud/CAMERA001/1/20781/1795435200000.mp4`.
//!
//! A thin layer over the object store crate: what it adds is [`BlobStore::adopt`], which makes a file of
//! ours a blob so that a power cut at any point leaves either no blob or the whole one, and the original
//! beside it until the caller has noted the blob down.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::Error;

/// One line of [`BlobStore::list`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Its key.
    pub key: String,
    /// Its size.
    pub bytes: u64,
}

/// Where blobs are kept. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BlobStore {
    objects: Arc<dyn ObjectStore>,
    folder: PathBuf,
}

impl BlobStore {
    /// Blobs as files in a folder, which is made, for its owner only, if it is not there.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the folder cannot be used.
    pub fn disk(folder: &Path) -> Result<BlobStore, Error> {
        make_folder(folder)?;
        let objects = LocalFileSystem::new_with_prefix(folder)?.with_automatic_cleanup(true);
        Ok(BlobStore { objects: Arc::new(objects), folder: folder.canonicalize()? })
    }

    /// The folder that free space is looked at.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes a finished and synced file a blob. The file stays: remove it when the blob is noted down, and
    /// adopt it again if that is not known; adopting the same again does nothing. On the same disk the two
    /// are one file with two names, so nothing is copied.
    ///
    /// When it returns, a power cut does not undo it.
    ///
    /// # Errors
    /// [`Error::Conflict`] when another blob has this key; [`Error::Full`], [`Error::Unavailable`].
    pub async fn adopt(&self, file: &Path, key: &str) -> Result<(), Error> {
        parse(key)?;
        let (file, blob, root) = (file.to_owned(), self.folder.join(key), self.folder.clone());
        blocking(move || adopt_on_disk(&file, &blob, &root)).await
    }

    /// Bytes of a blob. What lies beyond its end is left out.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unavailable`].
    pub async fn range(&self, key: &str, range: Range<u64>) -> Result<Bytes, Error> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        match self.objects.get_range(&parse(key)?, range.clone()).await.map_err(Error::from) {
            // One that begins behind the end is an error to the object store and nothing to us.
            Err(Error::Unavailable(why)) => match self.size(key).await? {
                size if range.start >= size => Ok(Bytes::new()),
                _ => Err(Error::Unavailable(why)),
            },
            other => other,
        }
    }

    /// Size of a blob.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unavailable`].
    pub async fn size(&self, key: &str) -> Result<u64, Error> {
        Ok(self.objects.head(&parse(key)?).await?.size)
    }

    /// Removes a blob; one that is gone already is no error.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        match self.objects.delete(&parse(key)?).await.map_err(Error::from) {
            Err(Error::NotFound) => Ok(()),
            other => other,
        }
    }

    /// Gives a blob another key.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unavailable`].
    pub async fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        Ok(self.objects.rename(&parse(from)?, &parse(to)?).await?)
    }

    /// Every blob below a folder of keys, in no order.
    pub fn list(&self, below: &str) -> BoxStream<'static, Result<Blob, Error>> {
        self.objects
            .list(Some(&Key::from(below)))
            .map(|found| {
                let found = found?;
                Ok(Blob { key: found.location.to_string(), bytes: found.size })
            })
            .boxed()
    }
}

/// A key as it is written: names between single slashes, none of them `.` or `..`.
fn parse(key: &str) -> Result<Key, Error> {
    // The object store crate would take a slash at either end.
    Key::parse(key).ok().filter(|parsed| parsed.as_ref() == key && !key.is_empty()).ok_or(Error::NotFound)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|panic| Error::Unavailable(panic.into()))?
}

fn adopt_on_disk(file: &Path, blob: &Path, root: &Path) -> Result<(), Error> {
    let folder = blob.parent().unwrap_or(root);
    // The folder may be cleared away as empty between making and using it.
    let mut tries = 3;
    loop {
        make_folders(folder, root)?;
        match std::fs::hard_link(file, blob) {
            Ok(()) => break,
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                if !same_bytes(file, blob)? {
                    return Err(Error::Conflict);
                }
                break;
            }
            Err(e) if e.kind() == ErrorKind::NotFound && file.exists() && tries > 0 => tries -= 1,
            // Another disk, or one without links.
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::CrossesDevices | ErrorKind::Unsupported | ErrorKind::PermissionDenied
                ) =>
            {
                copy(file, blob)?;
                break;
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(File::open(folder)?.sync_all()?)
}

/// Copies so that the key is there whole or not at all.
fn copy(file: &Path, blob: &Path) -> Result<(), Error> {
    if blob.exists() {
        return if same_bytes(file, blob)? { Ok(()) } else { Err(Error::Conflict) };
    }
    // The object store crate does not list names that end in `#` and digits: they are its own unfinished files.
    let unfinished = blob.with_extension("mp4#1");
    let copied = std::fs::copy(file, &unfinished)
        .and_then(|_| File::open(&unfinished)?.sync_all())
        .and_then(|()| std::fs::rename(&unfinished, blob));
    if copied.is_err() {
        // A half file; the next attempt writes over it if it stays.
        let _ = std::fs::remove_file(&unfinished);
    }
    Ok(copied?)
}

fn same_bytes(a: &Path, b: &Path) -> Result<bool, Error> {
    let (mut a, mut b) = (File::open(a)?, File::open(b)?);
    let (of_a, of_b) = (a.metadata()?, b.metadata()?);
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if (of_a.dev(), of_a.ino()) == (of_b.dev(), of_b.ino()) {
            return Ok(true);
        }
    }
    if of_a.len() != of_b.len() {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let read = a.read(&mut left)?;
        if read == 0 {
            return Ok(true);
        }
        b.read_exact(&mut right[..read])?;
        if left[..read] != right[..read] {
            return Ok(false);
        }
    }
}

fn make_folder(path: &Path) -> std::io::Result<()> {
    let mut folder = std::fs::DirBuilder::new();
    folder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
    folder.create(path)
}

/// Makes the folders below `root` that are missing, each so that a power cut does not undo it.
fn make_folders(path: &Path, root: &Path) -> std::io::Result<()> {
    if path == root || path.is_dir() {
        return Ok(());
    }
    let Some(parent) = path.parent() else { return Ok(()) };
    make_folders(parent, root)?;
    make_folder(path)?;
    File::open(parent)?.sync_all()
}
