-- Entries: codes that let whoever has one watch one channel, without an account of their own.

-- hash is SHA-256 of the id in the code; the sealed id is there so that the same code can be shown again.
CREATE TABLE entry (
    no         INTEGER PRIMARY KEY AUTOINCREMENT,
    hash       BLOB NOT NULL UNIQUE,
    id_sealed  BLOB NOT NULL,
    serial     TEXT NOT NULL,
    channel_no INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    FOREIGN KEY (serial, channel_no) REFERENCES channel (serial, no) ON DELETE CASCADE
);
CREATE INDEX entry_by_channel ON entry (serial, channel_no, expires_at);
CREATE INDEX entry_by_expiry ON entry (expires_at);
