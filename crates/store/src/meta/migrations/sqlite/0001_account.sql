-- Who may call: accounts, their applications, tokens, operators, and guessing of secrets.
-- Times are milliseconds since 1970-01-01 UTC. Columns named *_sealed are encrypted before they come here.

CREATE TABLE account (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
);

CREATE TABLE app (
    app_key       TEXT PRIMARY KEY,
    account_id    TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name          TEXT NOT NULL,
    secret_sealed BLOB NOT NULL,
    enabled       INTEGER NOT NULL,
    created_at    INTEGER NOT NULL
);
CREATE INDEX app_by_account ON app (account_id);

-- hash is SHA-256 of the token; the token itself is kept nowhere.
CREATE TABLE token (
    hash       BLOB PRIMARY KEY,
    app_key    TEXT NOT NULL REFERENCES app (app_key) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
);
CREATE INDEX token_by_app ON token (app_key);
CREATE INDEX token_by_expiry ON token (expires_at);

CREATE TABLE operator (
    hash       BLOB PRIMARY KEY,
    created_at INTEGER NOT NULL
);

-- Failed guesses, one row a subject (a device, an account).
CREATE TABLE attempt (
    subject      TEXT PRIMARY KEY,
    wrong        INTEGER NOT NULL,
    window_start INTEGER NOT NULL,
    level        INTEGER NOT NULL,
    locked_until INTEGER NOT NULL
);
