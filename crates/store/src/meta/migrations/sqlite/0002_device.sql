-- What is watched: attached devices, their channels, and who bound them.

CREATE TABLE device (
    serial       TEXT PRIMARY KEY,
    code_sealed  BLOB NOT NULL,
    driver       TEXT NOT NULL,
    address      TEXT NOT NULL,
    login_sealed BLOB,
    name         TEXT NOT NULL,
    facts        TEXT NOT NULL,
    keep_live    INTEGER NOT NULL,
    online       INTEGER NOT NULL,
    changed_at   INTEGER NOT NULL,
    attached_at  INTEGER NOT NULL,
    account_id   TEXT REFERENCES account (id) ON DELETE SET NULL,
    bound_at     INTEGER
);
CREATE INDEX device_by_account ON device (account_id, bound_at, serial);

CREATE TABLE channel (
    serial TEXT NOT NULL REFERENCES device (serial) ON DELETE CASCADE,
    no     INTEGER NOT NULL,
    name   TEXT NOT NULL,
    facts  TEXT NOT NULL,
    PRIMARY KEY (serial, no)
);

-- A device that was detached while an account had it: that account is told so instead of "not yours".
CREATE TABLE removed_device (
    account_id TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    serial     TEXT NOT NULL,
    removed_at INTEGER NOT NULL,
    PRIMARY KEY (account_id, serial)
);

-- The key a device or encoder publishes with.
CREATE TABLE push_key (
    serial     TEXT NOT NULL REFERENCES device (serial) ON DELETE CASCADE,
    channel_no INTEGER NOT NULL,
    key_sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (serial, channel_no)
);
