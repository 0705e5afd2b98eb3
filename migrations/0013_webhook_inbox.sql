-- What Stripe sent, once per event id, before anything was done about it. Client secrets are cut out of the body and
-- personal data is sealed; both are gone before the row is written.
CREATE TABLE webhook_inbox (
    merchant    text        NOT NULL,
    event_id    text        NOT NULL,
    type        text        NOT NULL,
    body        json        NOT NULL,
    sealed      json,
    stripe_created timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Further deliveries of the same event.
    repeats     int         NOT NULL DEFAULT 0,
    applied_at  timestamptz,
    -- What came of it: 'applied', 'unmatched', 'skipped'.
    result      text,
    attempts    int         NOT NULL DEFAULT 0,
    last_error  text,
    PRIMARY KEY (merchant, event_id),
    CHECK ((applied_at IS NULL) = (result IS NULL))
);
CREATE INDEX webhook_inbox_waiting ON webhook_inbox (received_at) WHERE applied_at IS NULL;
