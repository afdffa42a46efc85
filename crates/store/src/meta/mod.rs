//! Metadata: who there is, what is attached, what was granted.
//!
//! | File | Tables |
//! |---|---|
//! | `account.rs` | account, app |
//! | `token.rs` | token, operator |
//! | `attempt.rs` | attempt |
//! | `device.rs` | device, removed_device |
//! | `channel.rs` | channel, push_key |
//! | `grant.rs` | grant_key, revocation |
//! | `voice.rs` | voice |
//! | `plan.rs` | plan |
//! | `card.rs` | card |
//! | `entry.rs` | entry |
//! | `recording.rs` | recording, segment, garbage, quarantine, recorder |
//!
//! Invariants: a statement is the same text on every engine (`$1` parameters, `ON CONFLICT`,
//! `RETURNING`); whoever writes goes through `writer`; a method that returns has committed.

mod account;
mod attempt;
mod card;
mod channel;
mod device;
mod entry;
mod grant;
mod plan;
mod recording;
mod token;
mod voice;

use std::fs::OpenOptions;
use std::path::Path;
use std::time::Duration;

use sqlx::any::{AnyPoolOptions, AnyRow};
use sqlx::migrate::Migrator;
use sqlx::{AnyConnection, AnyPool, Connection, Executor, Row};

use crate::{Error, UnixMillis};

pub use account::{AccountRow, AppRow};
pub use attempt::AttemptRow;
pub use card::{CardRow, CardUse, Spending};
pub use channel::{ChannelRow, PushKeyRow};
pub use device::{DeviceRow, NewDevice};
pub use entry::{EntryRow, NewEntry};
pub use grant::{GrantKeyRow, RevocationRow};
pub use plan::PlanRow;
pub use recording::{Condemn, QuarantineRow, RECORDING_JOIN, RecorderRow, RecordingRow, SegmentRow, Shelf};
pub use token::TokenRow;
pub use voice::VoiceRow;

static SQLITE: Migrator = sqlx::migrate!("src/meta/migrations/sqlite");

/// Readers beside the one writer. WAL lets them run while it writes; reads are short.
const READERS_MAX: u32 = 4;

/// How long a statement waits for a connection or for another process's lock before `Unavailable`.
/// Below the 5 s within which an API call must be answered.
const BUSY_TIMEOUT: Duration = Duration::from_secs(4);

/// What each connection is set to.
///
/// `synchronous` is FULL, not NORMAL: a power cut after NORMAL may undo the last commits, and those can
/// be a revoked address or a wrong code counted. Rows are few, so the sync is affordable.
/// `secure_delete` overwrites what is deleted, so that a stolen file tells nothing of the past.
const PRAGMAS: &str = "PRAGMA busy_timeout = 4000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                       PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON;";

/// Everything that must survive a crash, except media. Cheap to clone.
#[derive(Clone, Debug)]
pub struct MetaStore {
    reader: AnyPool,
    /// SQLite has one writer at a time. Giving it one connection makes writers queue here, in order,
    /// instead of colliding there and failing when a read transaction wants to become a write.
    writer: AnyPool,
}

impl MetaStore {
    /// Opens, makes if absent, and migrates a database file. It is made readable by its owner only.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the file cannot be opened; [`Error::Corrupt`] if it is no database or
    /// was written by a newer release.
    pub async fn sqlite(path: &Path) -> Result<MetaStore, Error> {
        let mut file = OpenOptions::new();
        file.create(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
        // SQLite gives the journal files the mode of the database file.
        drop(file.open(path).map_err(|e| Error::Unavailable(e.into()))?);

        let path = path.to_str().ok_or_else(|| Error::corrupt("path of the database is not UTF-8"))?;
        let escaped = path.replace('%', "%25").replace('?', "%3F").replace('#', "%23");
        let url = format!("sqlite://{escaped}?mode=rw");
        sqlx::any::install_default_drivers();
        try_file(&url).await?;
        let writer = connect(&url, 1).await?;
        SQLITE.run(&writer).await?;
        Ok(MetaStore { reader: connect(&url, READERS_MAX).await?, writer })
    }

    /// A database of this process alone, gone when the last clone is dropped.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if there is no memory or thread for it.
    pub async fn memory() -> Result<MetaStore, Error> {
        // One connection for both: a second one would need SQLite's shared cache, whose table locks
        // behave unlike the files that this stands in for.
        sqlx::any::install_default_drivers();
        let only = connect("sqlite::memory:", 1).await?;
        SQLITE.run(&only).await?;
        Ok(MetaStore { reader: only.clone(), writer: only })
    }

    /// Waits for statements under way and closes the files.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

async fn connect(url: &str, connections: u32) -> Result<AnyPool, Error> {
    let pool = AnyPoolOptions::new()
        .min_connections(1)
        .max_connections(connections)
        // Connections to a file cost memory, not sockets; and the memory database dies with its own.
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(BUSY_TIMEOUT)
        .after_connect(|connection, _| Box::pin(async move { connection.execute(PRAGMAS).await.map(drop) }))
        .connect(url)
        .await?;
    Ok(pool)
}

/// Opens the file once by itself: a pool would try a file that is no database again and again, and in
/// the end only say that it got no connection.
async fn try_file(url: &str) -> Result<(), Error> {
    let mut connection = AnyConnection::connect(url).await?;
    connection.execute(PRAGMAS).await?;
    Ok(connection.close().await?)
}

/// Shorthands over a row that turn columns into our types.
trait Columns {
    fn text(&self, column: &'static str) -> Result<String, Error>;
    fn text_opt(&self, column: &'static str) -> Result<Option<String>, Error>;
    fn blob(&self, column: &'static str) -> Result<Vec<u8>, Error>;
    fn blob_opt(&self, column: &'static str) -> Result<Option<Vec<u8>>, Error>;
    fn int(&self, column: &'static str) -> Result<i64, Error>;
    fn int_opt(&self, column: &'static str) -> Result<Option<i64>, Error>;

    fn flag(&self, column: &'static str) -> Result<bool, Error> {
        Ok(self.int(column)? != 0)
    }

    fn time(&self, column: &'static str) -> Result<UnixMillis, Error> {
        Ok(UnixMillis(self.int(column)?))
    }

    fn number<T: TryFrom<i64>>(&self, column: &'static str) -> Result<T, Error> {
        let value = self.int(column)?;
        T::try_from(value).map_err(|_| Error::corrupt(format!("{column} is {value}")))
    }
}

impl Columns for AnyRow {
    fn text(&self, column: &'static str) -> Result<String, Error> {
        Ok(self.try_get(column)?)
    }

    fn text_opt(&self, column: &'static str) -> Result<Option<String>, Error> {
        Ok(self.try_get(column)?)
    }

    fn blob(&self, column: &'static str) -> Result<Vec<u8>, Error> {
        Ok(self.try_get(column)?)
    }

    fn blob_opt(&self, column: &'static str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.try_get(column)?)
    }

    fn int(&self, column: &'static str) -> Result<i64, Error> {
        Ok(self.try_get(column)?)
    }

    fn int_opt(&self, column: &'static str) -> Result<Option<i64>, Error> {
        Ok(self.try_get(column)?)
    }
}

/// A method that changes one row answers `NotFound` when there was none.
fn one_row(changed: u64) -> Result<(), Error> {
    if changed == 0 { Err(Error::NotFound) } else { Ok(()) }
}
