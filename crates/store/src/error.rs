//! What can go wrong with anything that is kept.

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The row that should be changed does not exist.
    #[error("no such row")]
    NotFound,
    /// A row of this key exists already, or one that it refers to does not.
    #[error("row conflicts with another")]
    Conflict,
    /// The engine did not answer; trying again may help.
    #[error("database is unavailable")]
    Unavailable(#[source] Source),
    /// There is no room.
    #[error("no space left")]
    Full,
    /// What is kept cannot be what was stored, or was stored by a newer release.
    #[error("database is corrupt: {what}")]
    Corrupt {
        /// Table, column or file, and what is odd about it.
        what: String,
    },
}

impl Error {
    pub(crate) fn corrupt(what: impl Into<String>) -> Error {
        Error::Corrupt { what: what.into() }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Error {
        use sqlx::error::ErrorKind;

        match &error {
            sqlx::Error::RowNotFound => Error::NotFound,
            sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::TypeNotFound { .. } => Error::corrupt(error.to_string()),
            sqlx::Error::Database(database) => match database.kind() {
                ErrorKind::UniqueViolation | ErrorKind::ForeignKeyViolation => Error::Conflict,
                // SQLITE_CORRUPT and SQLITE_NOTADB, https://www.sqlite.org/rescode.html
                _ if matches!(database.code().as_deref(), Some("11" | "26")) => Error::corrupt(database.message()),
                _ => Error::Unavailable(error.into()),
            },
            _ => Error::Unavailable(error.into()),
        }
    }
}

impl From<sqlx::migrate::MigrateError> for Error {
    fn from(error: sqlx::migrate::MigrateError) -> Error {
        use sqlx::migrate::MigrateError;

        match error {
            MigrateError::VersionMissing(version) | MigrateError::VersionTooNew(version, _) => {
                Error::corrupt(format!("schema {version} was made by a newer release"))
            }
            MigrateError::VersionMismatch(version) => Error::corrupt(format!("schema {version} was changed")),
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
            error => Error::Unavailable(error.into()),
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Error {
        use std::io::ErrorKind;

        match error.kind() {
            ErrorKind::NotFound => Error::NotFound,
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::Full,
            _ => Error::Unavailable(error.into()),
        }
    }
}

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Error {
        match error {
            object_store::Error::NotFound { .. } => Error::NotFound,
            object_store::Error::AlreadyExists { .. } => Error::Conflict,
            error => Error::Unavailable(error.into()),
        }
    }
}
