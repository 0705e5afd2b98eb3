-- The inbox under several instances, and what never came by webhook.

ALTER TABLE webhook_inbox
    -- Stripe's intent that it speaks of, where it names one.
    ADD COLUMN about          text,
    -- A poll of Stripe's event list brought it: no webhook had.
    ADD COLUMN polled         boolean NOT NULL DEFAULT false,
    -- SHA-256 of what it tells (type, time, data; without secrets and personal data). None in rows of before.
    ADD COLUMN fingerprint    bytea,
    -- Deliveries under the same id that told something else. What came first stands.
    ADD COLUMN contradictions int NOT NULL DEFAULT 0,
    -- When it is applied (again); none where nothing more is done by itself.
    ADD COLUMN next_at        timestamptz DEFAULT clock_timestamp(),
    -- Who applies it just now, and until when nobody else may.
    ADD COLUMN lease          uuid,
    ADD COLUMN leased_until   timestamptz,
    -- It could not be applied, and waits for people.
    ADD COLUMN set_aside_at   timestamptz,
    ADD CHECK ((lease IS NULL) = (leased_until IS NULL)),
    ADD CHECK (set_aside_at IS NULL OR next_at IS NULL);
-- `attempts` counts those begun since it was last applied without an error: one that takes the whole process with it counts.
UPDATE webhook_inbox SET next_at = CASE WHEN applied_at IS NULL THEN received_at END, attempts = 0;
-- Nothing is forgotten: what is not applied is due some time, or shown to people.
ALTER TABLE webhook_inbox ADD CHECK (applied_at IS NOT NULL OR set_aside_at IS NOT NULL OR next_at IS NOT NULL);
DROP INDEX webhook_inbox_waiting;
CREATE INDEX webhook_inbox_due ON webhook_inbox (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX webhook_inbox_set_aside ON webhook_inbox (set_aside_at) WHERE set_aside_at IS NOT NULL;
CREATE INDEX webhook_inbox_unmatched ON webhook_inbox (merchant, about) WHERE result = 'unmatched';

-- How far Stripe's event list has been read, for each merchant. Times are the database's, but for `read_until`, which is
-- compared with Stripe's.
CREATE TABLE event_polls (
    merchant     text        PRIMARY KEY REFERENCES merchants,
    -- Reading began with what Stripe made then.
    begun_at     timestamptz NOT NULL,
    -- All that Stripe made before this has been read.
    read_until   timestamptz NOT NULL,
    next_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease        uuid,
    leased_until timestamptz,
    -- Polls in a row that did not come to their end, and why the last one did not.
    failures     int         NOT NULL DEFAULT 0,
    last_error   text,
    -- Events that it brought and no webhook had.
    missed       bigint      NOT NULL DEFAULT 0,
    CHECK ((lease IS NULL) = (leased_until IS NULL))
) WITH (fillfactor = 70);

-- Times that were not read before Stripe forgot them.
CREATE TABLE event_gaps (
    merchant  text        NOT NULL REFERENCES merchants,
    gap_from  timestamptz NOT NULL,
    gap_until timestamptz NOT NULL,
    found_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (merchant, gap_from),
    CHECK (gap_from < gap_until)
);
