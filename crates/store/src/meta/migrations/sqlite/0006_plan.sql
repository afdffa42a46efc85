-- Who may keep footage with us: plans of channels, and the cards that make them.

-- Since when every account that has had the device is the one that has it now: who gets a device sees
-- nothing of ours from before, who frees it and takes it back loses nothing.
ALTER TABLE device ADD COLUMN last_account_id TEXT;
ALTER TABLE device ADD COLUMN owner_since INTEGER NOT NULL DEFAULT 0;
UPDATE device SET last_account_id = account_id, owner_since = coalesce(bound_at, 0);

-- From starts_at to before expires_at. Of one account's plans of a channel one runs at a time, and others
-- wait. account_id is null for a plan that the operator gave to a device that nobody had.
CREATE TABLE plan (
    id             INTEGER PRIMARY KEY,
    account_id     TEXT REFERENCES account (id) ON DELETE CASCADE,
    serial         TEXT NOT NULL REFERENCES device (serial) ON DELETE CASCADE,
    channel_no     INTEGER NOT NULL,
    retention_days INTEGER NOT NULL,
    enabled        INTEGER NOT NULL,
    starts_at      INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL
);
CREATE INDEX plan_by_channel ON plan (serial, channel_no, starts_at);
CREATE INDEX plan_by_expiry ON plan (expires_at);

-- hash is SHA-256 of the key; the key itself is kept nowhere. used_at is null until somebody uses it.
CREATE TABLE card (
    hash           BLOB PRIMARY KEY,
    batch          TEXT NOT NULL,
    days           INTEGER NOT NULL,
    retention_days INTEGER NOT NULL,
    bundled_with   TEXT,
    enabled        INTEGER NOT NULL,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    used_at        INTEGER,
    used_by        TEXT,
    used_serial    TEXT,
    used_channel   INTEGER
);
CREATE INDEX card_by_batch ON card (batch);
