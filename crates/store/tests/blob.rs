//! One suite, every place blobs can be kept in; another joins by one line at the end.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use futures_util::TryStreamExt;
use store::{Blob, BlobStore, Error};
use tempfile::TempDir;

const KEY: &str = "cloud/CAMERA001/1/20781/1795435200000.mp4";

/// A store and a folder beside it.
struct World {
    folder: TempDir,
    blobs: BlobStore,
}

impl World {
    fn on_disk() -> World {
        let folder = TempDir::new().unwrap();
        let blobs = BlobStore::disk(&folder.path().join("blobs")).unwrap();
        World { folder, blobs }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    async fn adopt(&self, key: &str, bytes: &[u8]) -> Result<(), Error> {
        self.blobs.adopt(&self.file("spool", bytes), key).await
    }

    async fn listed(&self, below: &str) -> Vec<Blob> {
        let mut blobs: Vec<Blob> = self.blobs.list(below).try_collect().await.unwrap();
        blobs.sort_by(|a, b| a.key.cmp(&b.key));
        blobs
    }
}

async fn an_adopted_file_is_a_blob_until_it_is_deleted(world: World) {
    let file = world.file("spool", b"0123456789");
    world.blobs.adopt(&file, KEY).await.unwrap();
    assert!(file.exists(), "the caller removes it");
    world.blobs.adopt(&file, KEY).await.unwrap();
    fs::remove_file(&file).unwrap();
    assert_eq!(world.blobs.size(KEY).await.unwrap(), 10);
    for (range, expected) in
        [(0..10, "0123456789"), (3..5, "34"), (8..20, "89"), (10..20, ""), (99..100, ""), (4..4, "")]
    {
        assert_eq!(world.blobs.range(KEY, range.clone()).await.unwrap(), expected, "{range:?}");
    }
    world.blobs.delete(KEY).await.unwrap();
    world.blobs.delete(KEY).await.unwrap();
    assert!(matches!(world.blobs.size(KEY).await, Err(Error::NotFound)));
    assert!(matches!(world.blobs.range(KEY, 0..1).await, Err(Error::NotFound)));
    world.adopt(KEY, b"next").await.unwrap();
    assert_eq!(world.blobs.range(KEY, 0..9).await.unwrap(), "next");
}

async fn a_blob_is_never_replaced(world: World) {
    world.adopt(KEY, b"first").await.unwrap();
    for other in [&b"other"[..], b"longer than the first", b""] {
        fs::remove_file(world.folder.path().join("spool")).unwrap();
        assert!(matches!(world.adopt(KEY, other).await, Err(Error::Conflict)));
    }
    fs::remove_file(world.folder.path().join("spool")).unwrap();
    world.adopt(KEY, b"first").await.unwrap();
    assert_eq!(world.blobs.range(KEY, 0..9).await.unwrap(), "first");
    let missing = world.blobs.adopt(&world.folder.path().join("nothing"), "cloud/x").await;
    assert!(matches!(missing, Err(Error::NotFound)), "{missing:?}");
}

async fn blobs_are_listed_below_a_folder_and_renamed(world: World) {
    for (key, bytes) in [("cloud/A/1/0/5.mp4", &b"12"[..]), ("cloud/A/2/0/5.mp4", b"123"), ("local/A/1/0/5.mp4", b"")] {
        let _ = fs::remove_file(world.folder.path().join("spool"));
        world.adopt(key, bytes).await.unwrap();
    }
    let blob = |key: &str, bytes| Blob { key: key.into(), bytes };
    assert_eq!(world.listed("cloud").await, [blob("cloud/A/1/0/5.mp4", 2), blob("cloud/A/2/0/5.mp4", 3)]);
    assert_eq!(world.listed("clo").await, []);
    world.blobs.rename("cloud/A/1/0/5.mp4", "quarantine/cloud/A/1/0/5.mp4").await.unwrap();
    assert_eq!(world.listed("cloud").await, [blob("cloud/A/2/0/5.mp4", 3)]);
    assert_eq!(world.listed("quarantine").await.len(), 1);
    assert!(matches!(world.blobs.rename("cloud/A/1/0/5.mp4", "x").await, Err(Error::NotFound)));
}

async fn keys_do_not_leave_the_store(world: World) {
    world.file("secret", b"secret");
    for key in ["../secret", "cloud/../../secret", "/etc/passwd", "", "a//b", "%2e%2e/secret", "..%2fsecret"] {
        let read = world.blobs.range(key, 0..10).await;
        assert!(matches!(read, Err(Error::NotFound | Error::Unavailable(_))), "{key}: {read:?}");
    }
    let file = world.file("spool", b"mine");
    for key in ["../outside", "cloud/../../outside", "/outside", ""] {
        let adopted = world.blobs.adopt(&file, key).await;
        assert!(matches!(adopted, Err(Error::NotFound)), "{key}: {adopted:?}");
    }
    assert!(!world.folder.path().join("outside").exists());
}

macro_rules! conformance {
    ($($case:ident),+ $(,)?) => {
        mod disk {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(super::World::on_disk()).await;
            })+
        }
    };
}

conformance!(
    an_adopted_file_is_a_blob_until_it_is_deleted,
    a_blob_is_never_replaced,
    blobs_are_listed_below_a_folder_and_renamed,
    keys_do_not_leave_the_store,
);

/// A file of another disk is copied.
#[tokio::test]
async fn a_file_of_another_disk_is_adopted_too() {
    use std::os::unix::fs::MetadataExt;

    let world = World::on_disk();
    let elsewhere = Path::new("/dev/shm");
    let device = |path: &Path| fs::metadata(path).map(|m| m.dev());
    if !elsewhere.is_dir() || device(elsewhere).unwrap() == device(world.folder.path()).unwrap() {
        return; // There is no other disk here.
    }
    let other = TempDir::new_in(elsewhere).unwrap();
    let file = other.path().join("spool");
    fs::write(&file, vec![7; 100_000]).unwrap();
    world.blobs.adopt(&file, KEY).await.unwrap();
    world.blobs.adopt(&file, KEY).await.unwrap();
    fs::remove_file(&file).unwrap();
    assert_eq!(world.blobs.range(KEY, 0..200_000).await.unwrap(), vec![7; 100_000]);
    fs::write(&file, b"other").unwrap();
    assert!(matches!(world.blobs.adopt(&file, KEY).await, Err(Error::Conflict)));
    assert_eq!(world.blobs.range(KEY, 0..200_000).await.unwrap(), vec![7; 100_000]);
    assert_eq!(world.listed("").await.len(), 1);
}
