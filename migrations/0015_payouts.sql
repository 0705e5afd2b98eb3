-- What Stripe sends to the merchants' banks: a read model, folded in the append's own statement.

CREATE TABLE payouts (
    merchant                    text    NOT NULL,
    payout_id                   uuid    NOT NULL,
    -- Stripe's id of it.
    payout                      text    NOT NULL,
    status                      text    NOT NULL,
    currency                    text    NOT NULL,
    -- Negative where Stripe takes the money from the bank.
    amount_minor                bigint  NOT NULL,
    -- Stripe's times, seconds since 1970.
    arrival_date                bigint  NOT NULL,
    created                     bigint  NOT NULL,
    automatic                   boolean NOT NULL,
    method                      text    NOT NULL,
    balance_transaction         text,
    failure_code                text,
    failure_balance_transaction text,
    reconciled                  boolean NOT NULL,
    version                     bigint  NOT NULL,
    position                    bigint  NOT NULL,
    PRIMARY KEY (merchant, payout_id)
) WITH (fillfactor = 70);
-- Each object of Stripe's belongs to exactly one aggregate.
CREATE UNIQUE INDEX payouts_by_payout ON payouts (merchant, payout);
