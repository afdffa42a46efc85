//! Guesses at a secret, counted across restarts.

use sqlx::query;

use super::{Columns, MetaStore};
use crate::{Error, UnixMillis};

/// What is known of the guesses at one subject. The rule is the caller's; all zero means none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttemptRow {
    /// Guesses since `window_start`.
    pub wrong: u32,
    /// When the first of them was made.
    pub window_start: UnixMillis,
    /// How often it was locked before.
    pub level: u32,
    /// Locked until then; in the past if it is not.
    pub locked_until: UnixMillis,
}

impl MetaStore {
    /// Replaces a subject's row by what `change` makes of it, one caller after the other: two guesses
    /// at the same time are counted as two. `change` answers `None` to refuse, and nothing is written.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn update_attempts(
        &self,
        subject: &str,
        change: impl FnOnce(AttemptRow) -> Option<AttemptRow>,
    ) -> Result<bool, Error> {
        let mut tx = self.writer.begin().await?;
        // The needless update takes the row's lock, so that this also holds on an engine with many writers.
        let row = query(
            "INSERT INTO attempt (subject, wrong, window_start, level, locked_until) VALUES ($1, 0, 0, 0, 0) \
             ON CONFLICT (subject) DO UPDATE SET wrong = attempt.wrong \
             RETURNING wrong, window_start, level, locked_until",
        )
        .bind(subject)
        .fetch_one(&mut *tx)
        .await?;
        let before = AttemptRow {
            wrong: row.number("wrong")?,
            window_start: row.time("window_start")?,
            level: row.number("level")?,
            locked_until: row.time("locked_until")?,
        };
        let Some(after) = change(before) else {
            tx.rollback().await?;
            return Ok(false);
        };
        if after == before {
            // Right guesses come with every request of some callers; nothing to remember of them.
            tx.rollback().await?;
            return Ok(true);
        }
        query("UPDATE attempt SET wrong = $2, window_start = $3, level = $4, locked_until = $5 WHERE subject = $1")
            .bind(subject)
            .bind(i64::from(after.wrong))
            .bind(after.window_start.0)
            .bind(i64::from(after.level))
            .bind(after.locked_until.0)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(true)
    }
}
