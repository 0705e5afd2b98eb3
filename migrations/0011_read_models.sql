-- Read models. The first four are folded in the append's own statement, since answers need them at once; the journal
-- is caught up behind it. All of them are made of events alone and can be thrown away and made again.
-- `position` is that of the last event a row has seen.

CREATE TABLE orders (
    merchant      text   NOT NULL,
    order_id      uuid   NOT NULL,
    source        text   NOT NULL,
    reference     text   NOT NULL,
    number        text,
    customer      text,
    status        text   NOT NULL,
    currency      text   NOT NULL,
    total_minor   bigint NOT NULL,
    -- The payment that can pay it now, and the one that did.
    live_payment  uuid,
    paid_by       uuid,
    mispaid_minor bigint NOT NULL,
    version       bigint NOT NULL,
    position      bigint NOT NULL,
    PRIMARY KEY (merchant, order_id)
) WITH (fillfactor = 70);

CREATE TABLE payments (
    merchant          text   NOT NULL,
    payment_id        uuid   NOT NULL,
    order_id          uuid,
    -- Stripe's id of the intent.
    intent            text,
    status            text   NOT NULL,
    currency          text   NOT NULL,
    amount_minor      bigint NOT NULL,
    captured_minor    bigint NOT NULL,
    refunded_minor    bigint NOT NULL,
    -- The oldest intention that Stripe has not answered (a UUIDv7: its age is in it).
    pending_intention uuid,
    version           bigint NOT NULL,
    position          bigint NOT NULL,
    PRIMARY KEY (merchant, payment_id)
) WITH (fillfactor = 70);
-- Each object of Stripe's belongs to exactly one payment.
CREATE UNIQUE INDEX payments_by_intent ON payments (merchant, intent) WHERE intent IS NOT NULL;
-- What recovery looks for.
CREATE INDEX payments_pending ON payments (pending_intention) WHERE pending_intention IS NOT NULL;

CREATE TABLE refunds (
    merchant      text   NOT NULL,
    refund_id     uuid   NOT NULL,
    payment_id    uuid   NOT NULL,
    stripe_refund text,
    status        text   NOT NULL,
    currency      text   NOT NULL,
    amount_minor  bigint NOT NULL,
    position      bigint NOT NULL,
    PRIMARY KEY (merchant, refund_id)
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX refunds_by_stripe_refund ON refunds (merchant, stripe_refund) WHERE stripe_refund IS NOT NULL;

-- What each account of a merchant's ledger has been debited and credited in all, in minor units.
CREATE TABLE balances (
    merchant     text   NOT NULL,
    currency     text   NOT NULL,
    account      text   NOT NULL,
    debit_minor  bigint NOT NULL,
    credit_minor bigint NOT NULL,
    position     bigint NOT NULL,
    PRIMARY KEY (merchant, currency, account)
) WITH (fillfactor = 50);

-- Every line of every entry. Caught up by the subscription 'journal.v1'.
CREATE TABLE journal (
    merchant        text        NOT NULL,
    ledger_position bigint      NOT NULL,
    -- An event may post several entries, an entry has several lines.
    entry           int         NOT NULL,
    line            int         NOT NULL,
    account         text        NOT NULL,
    currency        text        NOT NULL,
    debit_minor     bigint      NOT NULL CHECK (debit_minor >= 0),
    credit_minor    bigint      NOT NULL CHECK (credit_minor >= 0),
    recorded_at     timestamptz NOT NULL,
    position        bigint      NOT NULL,
    PRIMARY KEY (merchant, ledger_position, entry, line),
    CHECK ((debit_minor = 0) <> (credit_minor = 0))
);
CREATE INDEX journal_by_account ON journal (merchant, account, currency, ledger_position);
