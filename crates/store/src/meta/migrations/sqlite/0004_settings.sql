-- What an account sets on a device it has, and the phrases it keeps to be spoken.

ALTER TABLE device ADD COLUMN encrypted INTEGER NOT NULL DEFAULT 0;
-- Stream password; where there is none it is the verification code.
ALTER TABLE device ADD COLUMN password_sealed BLOB;
ALTER TABLE device ADD COLUMN defence INTEGER NOT NULL DEFAULT 0;

-- The sound of a phrase is a file named by its id.
CREATE TABLE voice (
    id         TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    duration_s INTEGER NOT NULL,
    bytes      INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (account_id, name)
);
