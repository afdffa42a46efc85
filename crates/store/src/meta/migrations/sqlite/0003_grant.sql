-- Signatures of play addresses: the keys that make them, and those taken back before they expire.

CREATE TABLE grant_key (
    version    INTEGER PRIMARY KEY,
    key_sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL
);

-- up_to = 1 takes back every grant of the channel with this id or a smaller one, else exactly this one.
-- No reference to device: a grant of a device that was detached and attached again stays taken back.
CREATE TABLE revocation (
    serial     TEXT NOT NULL,
    channel_no INTEGER NOT NULL,
    grant_id   INTEGER NOT NULL,
    up_to      INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (serial, channel_no, grant_id, up_to)
);
CREATE INDEX revocation_by_expiry ON revocation (expires_at);
