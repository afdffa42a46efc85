//! What was recorded: recordings, the segments they are made of, and what shall be or was taken out.
//!
//! A row of `segment` is a promise that its blob is there. So it is inserted after the blob, and leaves
//! for `garbage` or `quarantine` before the blob does.

use std::time::Duration;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, query};

use super::{Columns, MetaStore, one_row};
use crate::{Error, UnixMillis};

/// Segments further apart than this are of different recordings: something is missing between them.
pub const RECORDING_JOIN: Duration = Duration::from_secs(2);
/// Recordings are cut at the hour.
const CUT_MS: i64 = 3_600_000;
/// Longer than any recording: an hour, and the segment that was begun in it.
const RECORDING_MAX_MS: i64 = 24 * CUT_MS;

/// Whose footage, and where it is kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shelf {
    /// Device.
    pub serial: String,
    /// Channel of the device.
    pub channel_no: u16,
    /// Where it is kept, in the caller's numbers.
    pub storage: u8,
}

/// A segment: one blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentRow {
    /// Its number; 0 before it is inserted.
    pub id: u64,
    /// Whose it is, and where.
    pub shelf: Shelf,
    /// When its first frame was recorded. One of a kind on its shelf.
    pub starts_at: UnixMillis,
    /// When its last frame ends.
    pub ends_at: UnixMillis,
    /// Size of its blob.
    pub bytes: u64,
    /// SHA-256 of its blob.
    pub sha256: [u8; 32],
}

/// A run of consecutive segments, cut at the hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingRow {
    /// Its number.
    pub id: u64,
    /// Whose it is, and where.
    pub shelf: Shelf,
    /// Why it was recorded, in the caller's numbers.
    pub kind: u8,
    /// When it begins.
    pub starts_at: UnixMillis,
    /// When its last segment ends.
    pub ends_at: UnixMillis,
    /// Bytes of its segments.
    pub bytes: u64,
    /// Nothing but a person deletes it.
    pub locked: bool,
}

/// A segment whose blob was found missing or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantineRow {
    /// As it was listed.
    pub segment: SegmentRow,
    /// What was wrong with it, in the caller's words.
    pub cause: String,
    /// When that was found.
    pub found_at: UnixMillis,
}

/// A recorder on our disk for a device that has no card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecorderRow {
    /// Device.
    pub serial: String,
    /// Whether it records.
    pub enabled: bool,
    /// Bytes it keeps of the device, 0 for any number.
    pub bytes_max: u64,
    /// Days it keeps, 0 for any number.
    pub days_max: u32,
}

/// What to take out, oldest first. Locked recordings are left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condemn<'a> {
    /// Device, its channel (0 for all of them) and storage; `None` for everybody's.
    pub of: Option<(&'a str, u16, u8)>,
    /// Only segments that ended by then.
    pub ended_by: UnixMillis,
    /// No more once this much was taken.
    pub bytes: u64,
}

/// Segments condemned in one transaction; the caller comes again for more.
const CONDEMN_MAX: i64 = 256;

/// Whether a recording goes on with a segment that begins at `next`.
fn goes_on(starts_at: UnixMillis, ends_at: UnixMillis, next: UnixMillis) -> bool {
    let same_hour = starts_at.0.div_euclid(CUT_MS) == next.0.div_euclid(CUT_MS);
    same_hour && ends_at - RECORDING_JOIN <= next && next <= ends_at + RECORDING_JOIN
}

impl RecordingRow {
    /// Whether it goes on with a segment that begins at `next`, rather than that beginning another.
    pub fn goes_on_with(&self, next: UnixMillis) -> bool {
        goes_on(self.starts_at, self.ends_at, next)
    }
}

fn shelf(row: &AnyRow) -> Result<Shelf, Error> {
    Ok(Shelf { serial: row.text("serial")?, channel_no: row.number("channel_no")?, storage: row.number("storage")? })
}

fn segment(row: &AnyRow) -> Result<SegmentRow, Error> {
    Ok(SegmentRow {
        id: row.number("id")?,
        shelf: shelf(row)?,
        starts_at: row.time("starts_at")?,
        ends_at: row.time("ends_at")?,
        bytes: row.number("bytes")?,
        sha256: row.blob("sha256")?.try_into().map_err(|_| Error::corrupt("sha256 has a wrong length"))?,
    })
}

fn recording(row: AnyRow) -> Result<RecordingRow, Error> {
    Ok(RecordingRow {
        id: row.number("id")?,
        shelf: shelf(&row)?,
        kind: row.number("kind")?,
        starts_at: row.time("starts_at")?,
        ends_at: row.time("ends_at")?,
        bytes: row.number("bytes")?,
        locked: row.flag("locked")?,
    })
}

fn size(bytes: u64) -> Result<i64, Error> {
    i64::try_from(bytes).map_err(|_| Error::Conflict)
}

fn number(id: u64) -> Result<i64, Error> {
    i64::try_from(id).map_err(|_| Error::NotFound)
}

/// The recording that this segment goes on with, if there is one.
async fn recording_before(tx: &mut AnyConnection, new: &SegmentRow, kind: u8) -> Result<Option<i64>, Error> {
    let row = query(
        "SELECT id, starts_at, ends_at FROM recording \
         WHERE serial = $1 AND channel_no = $2 AND storage = $3 AND starts_at <= $4 AND kind = $5 \
         ORDER BY starts_at DESC LIMIT 1",
    )
    .bind(&new.shelf.serial)
    .bind(i64::from(new.shelf.channel_no))
    .bind(i64::from(new.shelf.storage))
    .bind(new.starts_at.0)
    .bind(i64::from(kind))
    .fetch_optional(tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let goes_on = goes_on(row.time("starts_at")?, row.time("ends_at")?, new.starts_at);
    Ok(if goes_on { Some(row.int("id")?) } else { None })
}

async fn is_listed(tx: &mut AnyConnection, new: &SegmentRow) -> Result<bool, Error> {
    let row = query(
        "SELECT s.id FROM recording r JOIN segment s ON s.recording_id = r.id AND s.starts_at = $4 \
         WHERE r.serial = $1 AND r.channel_no = $2 AND r.storage = $3 AND r.starts_at <= $4 AND r.ends_at >= $4",
    )
    .bind(&new.shelf.serial)
    .bind(i64::from(new.shelf.channel_no))
    .bind(i64::from(new.shelf.storage))
    .bind(new.starts_at.0)
    .fetch_optional(tx)
    .await?;
    Ok(row.is_some())
}

async fn insert(tx: &mut AnyConnection, new: &SegmentRow, kind: u8) -> Result<(), Error> {
    let bytes = size(new.bytes)?;
    let recording_id = match recording_before(tx, new, kind).await? {
        Some(id) => {
            query(
                "UPDATE recording SET ends_at = CASE WHEN ends_at > $2 THEN ends_at ELSE $2 END, bytes = bytes + $3 \
                 WHERE id = $1",
            )
            .bind(id)
            .bind(new.ends_at.0)
            .bind(bytes)
            .execute(&mut *tx)
            .await?;
            id
        }
        None => query(
            "INSERT INTO recording (serial, channel_no, storage, kind, starts_at, ends_at, bytes, locked) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, 0) RETURNING id",
        )
        .bind(&new.shelf.serial)
        .bind(i64::from(new.shelf.channel_no))
        .bind(i64::from(new.shelf.storage))
        .bind(i64::from(kind))
        .bind(new.starts_at.0)
        .bind(new.ends_at.0)
        .bind(bytes)
        .fetch_one(&mut *tx)
        .await?
        .int("id")?,
    };
    query("INSERT INTO segment (recording_id, starts_at, ends_at, bytes, sha256) VALUES ($1, $2, $3, $4, $5)")
        .bind(recording_id)
        .bind(new.starts_at.0)
        .bind(new.ends_at.0)
        .bind(bytes)
        .bind(&new.sha256[..])
        .execute(tx)
        .await?;
    Ok(())
}

/// Takes a segment out of the list. What came after it in its recording becomes a recording of its own, so that
/// none spans a hole. False if it was not there.
async fn unlist(tx: &mut AnyConnection, id: i64) -> Result<bool, Error> {
    let row = query("DELETE FROM segment WHERE id = $1 RETURNING recording_id, starts_at")
        .bind(id)
        .fetch_optional(&mut *tx)
        .await?;
    let Some(row) = row else { return Ok(false) };
    let (recording_id, starts_at) = (row.int("recording_id")?, row.int("starts_at")?);
    let between = query(
        "SELECT count(*) AS listed FROM recording r WHERE r.id = $1 \
         AND EXISTS (SELECT 1 FROM segment WHERE recording_id = r.id AND starts_at < $2) \
         AND EXISTS (SELECT 1 FROM segment WHERE recording_id = r.id AND starts_at > $2)",
    )
    .bind(recording_id)
    .bind(starts_at)
    .fetch_one(&mut *tx)
    .await?;
    if between.int("listed")? > 0 {
        let rest = query(
            "INSERT INTO recording (serial, channel_no, storage, kind, starts_at, ends_at, bytes, locked) \
             SELECT serial, channel_no, storage, kind, starts_at, ends_at, bytes, locked FROM recording WHERE id = $1 \
             RETURNING id",
        )
        .bind(recording_id)
        .fetch_one(&mut *tx)
        .await?
        .int("id")?;
        query("UPDATE segment SET recording_id = $3 WHERE recording_id = $1 AND starts_at > $2")
            .bind(recording_id)
            .bind(starts_at)
            .bind(rest)
            .execute(&mut *tx)
            .await?;
        fit(tx, rest).await?;
    }
    fit(tx, recording_id).await?;
    Ok(true)
}

/// Makes a recording what its segments are, or nothing where there are none.
async fn fit(tx: &mut AnyConnection, recording_id: i64) -> Result<(), Error> {
    let left = query(
        "SELECT min(starts_at) AS starts_at, max(ends_at) AS ends_at, coalesce(sum(bytes), 0) AS bytes \
         FROM segment WHERE recording_id = $1",
    )
    .bind(recording_id)
    .fetch_one(&mut *tx)
    .await?;
    match (left.int_opt("starts_at")?, left.int_opt("ends_at")?) {
        (Some(starts_at), Some(ends_at)) => {
            query("UPDATE recording SET starts_at = $2, ends_at = $3, bytes = $4 WHERE id = $1")
                .bind(recording_id)
                .bind(starts_at)
                .bind(ends_at)
                .bind(left.int("bytes")?)
                .execute(tx)
                .await?;
        }
        _ => {
            query("DELETE FROM recording WHERE id = $1").bind(recording_id).execute(tx).await?;
        }
    }
    Ok(())
}

impl MetaStore {
    /// Lists segments whose blobs are there, all or none, each as part of the recording it goes on with
    /// or of a new one. Answers for each whether it was new: one of the same shelf and start is listed
    /// once, so what may have been listed before can be listed again.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn insert_segments(&self, segments: &[SegmentRow], kind: u8) -> Result<Vec<bool>, Error> {
        let mut tx = self.writer.begin().await?;
        let mut new = Vec::with_capacity(segments.len());
        for segment in segments {
            let listed = is_listed(&mut tx, segment).await?;
            if !listed {
                insert(&mut tx, segment, kind).await?;
            }
            new.push(!listed);
        }
        tx.commit().await?;
        Ok(new)
    }

    /// The segments of a shelf that touch `from` to `to`, ascending, `limit` at most.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn segments(
        &self,
        shelf: &Shelf,
        from: UnixMillis,
        to: UnixMillis,
        limit: u32,
    ) -> Result<Vec<SegmentRow>, Error> {
        query(
            "SELECT s.id, r.serial, r.channel_no, r.storage, s.starts_at, s.ends_at, s.bytes, s.sha256 \
             FROM recording r JOIN segment s ON s.recording_id = r.id AND s.starts_at < $5 AND s.ends_at > $4 \
             WHERE r.serial = $1 AND r.channel_no = $2 AND r.storage = $3 AND r.starts_at < $5 AND r.ends_at > $4 \
             ORDER BY s.starts_at LIMIT $6",
        )
        .bind(&shelf.serial)
        .bind(i64::from(shelf.channel_no))
        .bind(i64::from(shelf.storage))
        .bind(from.0)
        .bind(to.0)
        .bind(i64::from(limit))
        .fetch_all(&self.reader)
        .await?
        .iter()
        .map(segment)
        .collect()
    }

    /// Listed segments of everybody with ids after `id`, by id, `limit` at most.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn segments_after(&self, id: u64, limit: u32) -> Result<Vec<SegmentRow>, Error> {
        query(
            "SELECT s.id, r.serial, r.channel_no, r.storage, s.starts_at, s.ends_at, s.bytes, s.sha256 \
             FROM segment s JOIN recording r ON r.id = s.recording_id WHERE s.id > $1 ORDER BY s.id LIMIT $2",
        )
        .bind(number(id)?)
        .bind(i64::from(limit))
        .fetch_all(&self.reader)
        .await?
        .iter()
        .map(segment)
        .collect()
    }

    /// Whether a segment of this start is known, listed or not.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn knows_segment(&self, shelf: &Shelf, starts_at: UnixMillis) -> Result<bool, Error> {
        let row = query(
            "SELECT 1 AS known FROM recording r JOIN segment s ON s.recording_id = r.id AND s.starts_at = $4 \
             WHERE r.serial = $1 AND r.channel_no = $2 AND r.storage = $3 AND r.starts_at <= $4 AND r.ends_at >= $4 \
             UNION ALL SELECT 1 FROM garbage \
             WHERE serial = $1 AND channel_no = $2 AND storage = $3 AND starts_at = $4 \
             UNION ALL SELECT 1 FROM quarantine \
             WHERE serial = $1 AND channel_no = $2 AND storage = $3 AND starts_at = $4",
        )
        .bind(&shelf.serial)
        .bind(i64::from(shelf.channel_no))
        .bind(i64::from(shelf.storage))
        .bind(starts_at.0)
        .fetch_optional(&self.reader)
        .await?;
        Ok(row.is_some())
    }

    /// The recordings of a shelf that touch `from` to `to`, ascending.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn recordings(
        &self,
        shelf: &Shelf,
        from: UnixMillis,
        to: UnixMillis,
    ) -> Result<Vec<RecordingRow>, Error> {
        query(
            "SELECT * FROM recording WHERE serial = $1 AND channel_no = $2 AND storage = $3 \
             AND starts_at < $5 AND starts_at > $6 AND ends_at > $4 ORDER BY starts_at",
        )
        .bind(&shelf.serial)
        .bind(i64::from(shelf.channel_no))
        .bind(i64::from(shelf.storage))
        .bind(from.0)
        .bind(to.0)
        // None is longer, so older ones need not be looked at.
        .bind(from.0.saturating_sub(RECORDING_MAX_MS))
        .fetch_all(&self.reader)
        .await?
        .into_iter()
        .map(recording)
        .collect()
    }

    /// A recording.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn recording(&self, id: u64) -> Result<Option<RecordingRow>, Error> {
        let Ok(id) = number(id) else { return Ok(None) };
        let row = query("SELECT * FROM recording WHERE id = $1").bind(id).fetch_optional(&self.reader).await?;
        row.map(recording).transpose()
    }

    /// When the newest recording begins.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn newest_recording(&self) -> Result<Option<UnixMillis>, Error> {
        let row = query("SELECT max(starts_at) AS starts_at FROM recording").fetch_one(&self.reader).await?;
        Ok(row.int_opt("starts_at")?.map(UnixMillis))
    }

    /// Bytes listed of a device in a storage.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn recorded_bytes(&self, serial: &str, storage: u8) -> Result<u64, Error> {
        query("SELECT coalesce(sum(bytes), 0) AS bytes FROM recording WHERE serial = $1 AND storage = $2")
            .bind(serial)
            .bind(i64::from(storage))
            .fetch_one(&self.reader)
            .await?
            .number("bytes")
    }

    /// Every shelf that holds something.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn shelves(&self) -> Result<Vec<Shelf>, Error> {
        query("SELECT DISTINCT serial, channel_no, storage FROM recording ORDER BY serial, channel_no, storage")
            .fetch_all(&self.reader)
            .await?
            .iter()
            .map(shelf)
            .collect()
    }

    /// Locks a recording, or lets it go.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn set_recording_locked(&self, id: u64, locked: bool) -> Result<(), Error> {
        let set = query("UPDATE recording SET locked = $2 WHERE id = $1")
            .bind(number(id)?)
            .bind(i64::from(locked))
            .execute(&self.writer)
            .await?;
        one_row(set.rows_affected())
    }

    /// Moves segments from the list to the garbage, oldest first, never of a locked recording; some at a
    /// time. Gives those it took: none when there are no more.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn condemn(&self, what: Condemn<'_>) -> Result<Vec<SegmentRow>, Error> {
        let mut tx = self.writer.begin().await?;
        let rows = match what.of {
            Some((serial, channel_no, storage)) => {
                query(
                    "SELECT s.id, r.serial, r.channel_no, r.storage, s.starts_at, s.ends_at, s.bytes, s.sha256 \
                     FROM recording r JOIN segment s ON s.recording_id = r.id \
                     WHERE r.serial = $1 AND (r.channel_no = $2 OR $2 = 0) AND r.storage = $3 AND r.locked = 0 \
                     AND s.ends_at <= $4 ORDER BY r.starts_at, s.starts_at LIMIT $5",
                )
                .bind(serial)
                .bind(i64::from(channel_no))
                .bind(i64::from(storage))
                .bind(what.ended_by.0)
                .bind(CONDEMN_MAX)
                .fetch_all(&mut *tx)
                .await?
            }
            None => {
                query(
                    "SELECT s.id, r.serial, r.channel_no, r.storage, s.starts_at, s.ends_at, s.bytes, s.sha256 \
                     FROM (SELECT * FROM recording WHERE locked = 0 AND starts_at <= $1 ORDER BY starts_at LIMIT $2) r \
                     JOIN segment s ON s.recording_id = r.id \
                     WHERE s.ends_at <= $1 ORDER BY r.starts_at, s.starts_at LIMIT $2",
                )
                .bind(what.ended_by.0)
                .bind(CONDEMN_MAX)
                .fetch_all(&mut *tx)
                .await?
            }
        };
        let (mut taken, mut bytes) = (Vec::new(), 0u64);
        for row in &rows {
            if bytes >= what.bytes {
                break;
            }
            let gone = segment(row)?;
            query(
                "INSERT INTO garbage (serial, channel_no, storage, starts_at) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (serial, channel_no, storage, starts_at) DO NOTHING",
            )
            .bind(&gone.shelf.serial)
            .bind(i64::from(gone.shelf.channel_no))
            .bind(i64::from(gone.shelf.storage))
            .bind(gone.starts_at.0)
            .execute(&mut *tx)
            .await?;
            unlist(&mut tx, number(gone.id)?).await?;
            bytes = bytes.saturating_add(gone.bytes);
            taken.push(gone);
        }
        tx.commit().await?;
        Ok(taken)
    }

    /// Some of the segments whose blobs shall be removed.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn garbage(&self, limit: u32) -> Result<Vec<(Shelf, UnixMillis)>, Error> {
        query("SELECT * FROM garbage LIMIT $1")
            .bind(i64::from(limit))
            .fetch_all(&self.reader)
            .await?
            .iter()
            .map(|row| Ok((shelf(row)?, row.time("starts_at")?)))
            .collect()
    }

    /// Forgets garbage whose blobs are gone.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn delete_garbage(&self, gone: &[(Shelf, UnixMillis)]) -> Result<(), Error> {
        let mut tx = self.writer.begin().await?;
        for (shelf, starts_at) in gone {
            query("DELETE FROM garbage WHERE serial = $1 AND channel_no = $2 AND storage = $3 AND starts_at = $4")
                .bind(&shelf.serial)
                .bind(i64::from(shelf.channel_no))
                .bind(i64::from(shelf.storage))
                .bind(starts_at.0)
                .execute(&mut *tx)
                .await?;
        }
        Ok(tx.commit().await?)
    }

    /// Takes a segment out of the list because its blob is not what was promised. False if it is listed
    /// no more.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn quarantine(&self, row: &QuarantineRow) -> Result<bool, Error> {
        let QuarantineRow { segment, cause, found_at } = row;
        let mut tx = self.writer.begin().await?;
        if !unlist(&mut tx, number(segment.id)?).await? {
            return Ok(false);
        }
        query(
            "INSERT INTO quarantine (serial, channel_no, storage, starts_at, ends_at, bytes, sha256, cause, found_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
             ON CONFLICT (serial, channel_no, storage, starts_at) DO UPDATE SET cause = excluded.cause",
        )
        .bind(&segment.shelf.serial)
        .bind(i64::from(segment.shelf.channel_no))
        .bind(i64::from(segment.shelf.storage))
        .bind(segment.starts_at.0)
        .bind(segment.ends_at.0)
        .bind(size(segment.bytes)?)
        .bind(&segment.sha256[..])
        .bind(cause)
        .bind(found_at.0)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// What is in quarantine, by device and time.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn quarantined(&self) -> Result<Vec<QuarantineRow>, Error> {
        query("SELECT 0 AS id, quarantine.* FROM quarantine ORDER BY serial, channel_no, storage, starts_at")
            .fetch_all(&self.reader)
            .await?
            .iter()
            .map(|row| {
                let (cause, found_at) = (row.text("cause")?, row.time("found_at")?);
                Ok(QuarantineRow { segment: segment(row)?, cause, found_at })
            })
            .collect()
    }

    /// Sets the recorder of a device.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the device does not exist.
    pub async fn set_recorder(&self, row: &RecorderRow) -> Result<(), Error> {
        query(
            "INSERT INTO recorder (serial, enabled, bytes_max, days_max) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (serial) DO UPDATE SET enabled = excluded.enabled, bytes_max = excluded.bytes_max, \
             days_max = excluded.days_max",
        )
        .bind(&row.serial)
        .bind(i64::from(row.enabled))
        .bind(size(row.bytes_max)?)
        .bind(i64::from(row.days_max))
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// Every recorder that was ever set, by device.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn recorders(&self) -> Result<Vec<RecorderRow>, Error> {
        let rows = query("SELECT * FROM recorder ORDER BY serial").fetch_all(&self.reader).await?;
        rows.iter()
            .map(|row| {
                Ok(RecorderRow {
                    serial: row.text("serial")?,
                    enabled: row.flag("enabled")?,
                    bytes_max: row.number("bytes_max")?,
                    days_max: row.number("days_max")?,
                })
            })
            .collect()
    }
}
