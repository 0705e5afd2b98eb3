-- Idempotency claims. A claim commits in the same statement as the intention it stands for, so there is never one
-- without the other; its answer commits with the outcome. While `answer` is null the command is still running, or
-- its outcome is unknown.
CREATE TABLE claims (
    ledger       text        NOT NULL,
    -- What the key is unique within: a door, or a caller of it.
    scope        text        NOT NULL,
    key          text        NOT NULL,
    -- Keyed hash of the request: tells a retry from another request under the same key.
    fingerprint  bytea       NOT NULL CHECK (octet_length(fingerprint) = 32),
    -- The command that claimed it.
    command_id   uuid        NOT NULL,
    -- What a retry needs to join the running command. Opaque here.
    context      json        NOT NULL,
    -- What to answer a retry. Opaque here; never holds a client secret.
    answer       json,
    created_at   timestamptz NOT NULL,
    completed_at timestamptz,
    PRIMARY KEY (ledger, scope, key),
    CHECK ((answer IS NULL) = (completed_at IS NULL))
) WITH (fillfactor = 70);

-- The recovery worker looks for what is still open, oldest first; few rows are.
CREATE INDEX claims_open ON claims (created_at) WHERE answer IS NULL;
-- Claims expire by age.
CREATE INDEX claims_by_age ON claims USING brin (created_at);

-- No row-level security: only the service reads claims, never the reader role. DELETE is for expired claims alone.
REVOKE ALL ON claims FROM counterfoil_writer;
GRANT SELECT, INSERT, UPDATE, DELETE ON claims TO counterfoil_writer;
