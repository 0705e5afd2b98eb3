-- What recovery works on, and what it has given up on.

-- One row per intention that recovery has found open: when it is tried next, and who tries it just now. Nothing here is a
-- fact: a row that is lost is made again from the read models, where every open intention stands.
CREATE TABLE recovery_work (
    merchant      text        NOT NULL,
    intention     uuid        NOT NULL,
    -- 'step' and 'refund' of a payment, or 'change' (a request of its own).
    kind          text        NOT NULL CHECK (kind IN ('step', 'refund', 'change')),
    -- The payment, or the request.
    subject       uuid        NOT NULL,
    -- When the intention was recorded: by the log's clock, whatever is in its id.
    intended_at   timestamptz NOT NULL,
    first_seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempts      int         NOT NULL DEFAULT 0,
    next_at       timestamptz NOT NULL,
    -- Who drives it just now, and until when nobody else may.
    lease         uuid,
    leased_until  timestamptz,
    last_error    text,
    -- Stripe answers our key with an error that it keeps: asking under it is of no use, so it is only looked up.
    key_spent     boolean     NOT NULL DEFAULT false,
    -- Since when looking it up has shown that it was not done.
    absent_since  timestamptz,
    PRIMARY KEY (merchant, intention),
    CHECK ((lease IS NULL) = (leased_until IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX recovery_work_due ON recovery_work (next_at);

-- What recovery looks for, beside the payments and requests that wait.
CREATE INDEX refunds_requested ON refunds (merchant, refund_id) WHERE status = 'requested';

-- Intentions that nobody could find out about: a read model, folded in the append's own statement. They wait for people.
CREATE TABLE parked (
    merchant    text   NOT NULL,
    intention   uuid   NOT NULL,
    -- 'payment' or 'stripe_request'.
    kind        text   NOT NULL,
    subject     uuid   NOT NULL,
    what        text   NOT NULL,
    reason      text   NOT NULL,
    state       text   NOT NULL CHECK (state IN ('waiting', 'settled', 'answered')),
    outcome     text   CHECK (outcome IN ('happened', 'did_not_happen')),
    stripe_id   text,
    proposed_by text,
    because     text,
    approved_by text,
    position    bigint NOT NULL,
    PRIMARY KEY (merchant, intention),
    CHECK ((outcome = 'happened') = (stripe_id IS NOT NULL)),
    CHECK (state <> 'settled' OR approved_by IS NOT NULL),
    -- Maker is never checker: the aggregate refuses it first, and this holds even if it did not.
    CONSTRAINT parked_maker_is_not_checker
        CHECK (approved_by IS NULL OR lower(btrim(approved_by)) <> lower(btrim(proposed_by)))
) WITH (fillfactor = 70);
CREATE INDEX parked_waiting ON parked (merchant) WHERE state = 'waiting';
