-- Where merchants want to be told of events, what is to be told, and what came of each attempt.
-- No secret is here: an endpoint's is derived from the master key, the merchant, the endpoint's id and its generation.

CREATE TABLE webhook_endpoints (
    merchant       text        NOT NULL REFERENCES merchants,
    endpoint_id    text        NOT NULL,
    url            text        NOT NULL,
    -- Stripe's event types, or '*' for all of them.
    enabled_events text[]      NOT NULL CHECK (cardinality(enabled_events) > 0),
    description    text,
    metadata       jsonb       NOT NULL,
    api_version    text,
    enabled        boolean     NOT NULL DEFAULT true,
    -- Rolling the secret counts up; for a day after it the one before signs too.
    generation     int         NOT NULL DEFAULT 1,
    rolled_at      timestamptz,
    created_at     timestamptz NOT NULL,
    -- A deleted endpoint stays, so that its deliveries can be looked up by people; nothing is sent to it.
    deleted_at     timestamptz,
    -- The idempotency key it was made under, for a day, and the hash of that request.
    creation_key   text,
    creation_hash  bytea,
    PRIMARY KEY (merchant, endpoint_id),
    CHECK ((creation_key IS NULL) = (creation_hash IS NULL))
);
CREATE UNIQUE INDEX webhook_endpoints_by_creation_key ON webhook_endpoints (merchant, creation_key)
    WHERE creation_key IS NOT NULL;

-- One event for one endpoint; made in the transaction that marks the event as applied. What is sent is the event in
-- webhook_inbox, rendered anew for each attempt, always the same bytes.
CREATE TABLE webhook_deliveries (
    merchant        text        NOT NULL,
    endpoint_id     text        NOT NULL,
    event_id        text        NOT NULL,
    -- Made of the two ids before it.
    delivery_id     text        NOT NULL,
    event_type      text        NOT NULL,
    -- The merchant's ledger held so many events when this was made, those that this one led to among them.
    ledger_position bigint      NOT NULL,
    state           text        NOT NULL DEFAULT 'pending'
        CHECK (state IN ('pending', 'delivered', 'failed', 'canceled')),
    attempts        int         NOT NULL DEFAULT 0,
    -- Failures since it was made or asked for again: what the pauses grow with.
    failures        int         NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The days of trying count from here: when it was made, or asked for again.
    tried_since     timestamptz NOT NULL DEFAULT clock_timestamp(),
    next_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at        timestamptz,
    -- Who sends it just now, and until when nobody else may.
    lease           uuid,
    leased_until    timestamptz,
    PRIMARY KEY (merchant, endpoint_id, event_id),
    UNIQUE (merchant, delivery_id),
    FOREIGN KEY (merchant, endpoint_id) REFERENCES webhook_endpoints,
    CHECK ((state = 'pending') = (ended_at IS NULL)),
    CHECK ((lease IS NULL) = (leased_until IS NULL))
) WITH (fillfactor = 70);
-- What is due, endpoint by endpoint.
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (merchant, endpoint_id, next_at) WHERE state = 'pending';
-- What is under way to an endpoint.
CREATE INDEX webhook_deliveries_leased ON webhook_deliveries (merchant, endpoint_id) WHERE lease IS NOT NULL;
-- The log of an endpoint, newest first.
CREATE INDEX webhook_deliveries_log ON webhook_deliveries (merchant, endpoint_id, created_at DESC, delivery_id DESC);
-- What is old enough to go.
CREATE INDEX webhook_deliveries_by_age ON webhook_deliveries (created_at) WHERE state <> 'pending';

CREATE TABLE webhook_attempts (
    merchant       text        NOT NULL,
    delivery_id    text        NOT NULL,
    number         int         NOT NULL,
    started_at     timestamptz NOT NULL,
    duration_ms    bigint      NOT NULL CHECK (duration_ms >= 0),
    -- The HTTP status; none where no answer came.
    status         int,
    -- Why it was no success, in a word; none where it was one.
    error          text,
    -- How long the answer's body was, as far as it was read. The body itself is not kept.
    response_bytes bigint      NOT NULL CHECK (response_bytes >= 0),
    PRIMARY KEY (merchant, delivery_id, number),
    FOREIGN KEY (merchant, delivery_id) REFERENCES webhook_deliveries (merchant, delivery_id) ON DELETE CASCADE
);
