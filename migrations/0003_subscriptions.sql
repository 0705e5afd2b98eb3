-- How far each follower of the log has come. The row is locked while its follower works and moves in the follower's
-- own transaction, so what it did and how far it came commit together: every event has its effect once, however
-- often the follower is restarted and however many instances run.
CREATE TABLE checkpoints (
    name       text        PRIMARY KEY,
    position   bigint      NOT NULL CHECK (position >= 0),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 25);

REVOKE ALL ON checkpoints FROM counterfoil_writer;
GRANT SELECT, INSERT, UPDATE ON checkpoints TO counterfoil_writer;
