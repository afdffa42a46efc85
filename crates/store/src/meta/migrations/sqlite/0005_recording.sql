-- What was recorded. Storage: 1 local (a recorder on our disk in the place of a device's card), 2 cloud.
-- No reference to device: footage of a device that was detached is still there until its time is over.

-- A run of consecutive segments, cut at the hour: what an index shows as a file. kind: 1 timed, 2 event.
CREATE TABLE recording (
    id         INTEGER PRIMARY KEY,
    serial     TEXT NOT NULL,
    channel_no INTEGER NOT NULL,
    storage    INTEGER NOT NULL,
    kind       INTEGER NOT NULL,
    starts_at  INTEGER NOT NULL,
    ends_at    INTEGER NOT NULL,
    bytes      INTEGER NOT NULL,
    locked     INTEGER NOT NULL
);
-- With the end in it, a day of a channel is found without looking at the rows of other days.
CREATE INDEX recording_by_channel ON recording (serial, channel_no, storage, starts_at, ends_at);
CREATE INDEX recording_by_age ON recording (starts_at);

-- One row a minute and channel, so nothing is in it that the recording says or the times tell: its blob's
-- key is made of the recording's channel and of starts_at. A row here is a promise: the blob is there,
-- with this size and hash.
CREATE TABLE segment (
    id           INTEGER PRIMARY KEY,
    recording_id INTEGER NOT NULL REFERENCES recording (id),
    starts_at    INTEGER NOT NULL,
    ends_at      INTEGER NOT NULL,
    bytes        INTEGER NOT NULL,
    sha256       BLOB NOT NULL
);
CREATE INDEX segment_by_recording ON segment (recording_id, starts_at);

-- Blobs to be removed: a segment that was listed and shall go is here until its blob is gone.
CREATE TABLE garbage (
    serial     TEXT NOT NULL,
    channel_no INTEGER NOT NULL,
    storage    INTEGER NOT NULL,
    starts_at  INTEGER NOT NULL,
    PRIMARY KEY (serial, channel_no, storage, starts_at)
);

-- Segments whose blob was found missing or changed; listed no more.
CREATE TABLE quarantine (
    serial     TEXT NOT NULL,
    channel_no INTEGER NOT NULL,
    storage    INTEGER NOT NULL,
    starts_at  INTEGER NOT NULL,
    ends_at    INTEGER NOT NULL,
    bytes      INTEGER NOT NULL,
    sha256     BLOB NOT NULL,
    cause      TEXT NOT NULL,
    found_at   INTEGER NOT NULL,
    PRIMARY KEY (serial, channel_no, storage, starts_at)
);

-- A recorder on our disk for a device that has no card. Caps of 0 are none.
CREATE TABLE recorder (
    serial    TEXT PRIMARY KEY REFERENCES device (serial) ON DELETE CASCADE,
    enabled   INTEGER NOT NULL,
    bytes_max INTEGER NOT NULL,
    days_max  INTEGER NOT NULL
);
