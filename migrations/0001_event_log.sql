-- The append-only log: one table of facts, one row that says where it ends, and who may do what.
--
-- Only the `eventstore` crate writes here, through one group-commit statement per batch whose first part is a
-- compare-and-set of `log_head`. Positions are therefore gapless and in commit order: whoever has read up to
-- position N has seen every event up to N, whatever transactions are still open.

-- Roles are cluster-wide while migrations run per database, so two databases may be migrated at once: losing that
-- race is the same as finding the role there. No passwords: the service logs in as its own user and does SET ROLE.
DO $$
BEGIN
    BEGIN
        CREATE ROLE counterfoil_writer NOLOGIN;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
    END;
    BEGIN
        CREATE ROLE counterfoil_reader NOLOGIN;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
    END;
    -- A superuser is a member of everything already; an ordinary owner needs the membership to SET ROLE.
    BEGIN
        IF NOT pg_has_role(session_user, 'counterfoil_writer', 'MEMBER') THEN
            EXECUTE format('GRANT counterfoil_writer TO %I', session_user);
        END IF;
        IF NOT pg_has_role(session_user, 'counterfoil_reader', 'MEMBER') THEN
            EXECUTE format('GRANT counterfoil_reader TO %I', session_user);
        END IF;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
    END;
END
$$;

-- The first seven columns and the primary key are those of postgres-es, which can therefore read this table.
-- `json`, not `jsonb`: the bytes that were hashed are the bytes that are read.
CREATE TABLE events (
    aggregate_type  text        NOT NULL,
    aggregate_id    text        NOT NULL,
    sequence        bigint      NOT NULL CHECK (sequence >= 1),
    event_type      text        NOT NULL,
    event_version   text        NOT NULL,
    payload         json        NOT NULL,
    metadata        json        NOT NULL,
    ledger          text        NOT NULL,
    -- One gapless order for the whole database: what projections follow. Never shown outside the service.
    position        bigint      NOT NULL CHECK (position >= 1),
    -- Gapless within its ledger: the only position that anyone outside sees.
    ledger_position bigint      NOT NULL CHECK (ledger_position >= 1),
    event_id        uuid        NOT NULL,
    -- Supplied by the writer, because the hash covers it; never before that of an earlier position.
    recorded_at     timestamptz NOT NULL,
    -- SHA-256 over a fixed encoding of every column but `position` (eventstore, leaf.rs).
    leaf_hash       bytea       NOT NULL CHECK (octet_length(leaf_hash) = 32),
    PRIMARY KEY (aggregate_type, aggregate_id, sequence),
    UNIQUE (position),
    UNIQUE (ledger, ledger_position)
);

-- Where the log ends: one row, taken by compare-and-set on all of position, batch and epoch.
--   batch        counts every committed batch, also those without events (a claim or its answer alone)
--   epoch        counts lost connections whose last statement had to be settled: a stopped backend that wakes up
--                later compares against the old epoch and writes nothing
--   recorded_at  of the last batch; the next may not be before it
-- Almost empty pages keep its many updates on the page (HOT).
CREATE TABLE log_head (
    id          boolean     PRIMARY KEY DEFAULT true CHECK (id),
    position    bigint      NOT NULL,
    batch       bigint      NOT NULL,
    epoch       bigint      NOT NULL,
    recorded_at timestamptz NOT NULL
) WITH (fillfactor = 10, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);
INSERT INTO log_head (position, batch, epoch, recorded_at) VALUES (0, 0, 0, 'epoch');

-- Where each ledger ends.
CREATE TABLE ledger_heads (
    ledger          text   PRIMARY KEY,
    ledger_position bigint NOT NULL
) WITH (fillfactor = 25);

-- Facts are never changed, not even by the owner or in replica mode. A statement trigger costs inserts nothing.
CREATE FUNCTION refuse_to_rewrite_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events are append-only: % refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER events_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history();
ALTER TABLE events ENABLE ALWAYS TRIGGER events_are_append_only;

-- The writer appends and reads; the reader sees one ledger, the one named by the transaction it reads in, and
-- nothing at all where none is named.
GRANT SELECT, INSERT ON events TO counterfoil_writer;
GRANT SELECT, UPDATE ON log_head TO counterfoil_writer;
GRANT SELECT, INSERT, UPDATE ON ledger_heads TO counterfoil_writer;
GRANT SELECT ON events, ledger_heads TO counterfoil_reader;

ALTER TABLE events ENABLE ROW LEVEL SECURITY;
CREATE POLICY writer_reads ON events FOR SELECT TO counterfoil_writer USING (true);
CREATE POLICY writer_appends ON events FOR INSERT TO counterfoil_writer WITH CHECK (true);
CREATE POLICY reader_sees_one_ledger ON events FOR SELECT TO counterfoil_reader
    USING (ledger = current_setting('counterfoil.ledger', true));

ALTER TABLE ledger_heads ENABLE ROW LEVEL SECURITY;
CREATE POLICY writer_keeps ON ledger_heads TO counterfoil_writer USING (true) WITH CHECK (true);
CREATE POLICY reader_sees_one_ledger ON ledger_heads FOR SELECT TO counterfoil_reader
    USING (ledger = current_setting('counterfoil.ledger', true));

-- Tables that later migrations of the same owner make (read models, their shadows, the inbox) are the writer's to
-- fill. The reader gets nothing by default: what it may see is granted table by table.
ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO counterfoil_writer;
ALTER DEFAULT PRIVILEGES GRANT USAGE ON SEQUENCES TO counterfoil_writer;
