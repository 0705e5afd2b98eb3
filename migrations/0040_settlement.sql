-- What Stripe booked and what the bank says: read models, folded in the append's own statement.

CREATE TABLE balance_transactions (
    merchant            text    NOT NULL,
    transaction_id      uuid    NOT NULL,
    -- Stripe's id of it.
    balance_transaction text    NOT NULL,
    kind                text    NOT NULL,
    category            text    NOT NULL,
    -- Stripe's id of what moved it.
    source              text,
    -- Signed, minor units: money that leaves the balance is negative. The net is the amount less the fee.
    currency            text    NOT NULL,
    amount_minor        bigint  NOT NULL,
    fee_minor           bigint  NOT NULL,
    net_minor           bigint  NOT NULL,
    -- What was moved in the currency of its source.
    origin_currency     text,
    origin_minor        bigint,
    exchange_rate       text,
    -- Stripe's times, seconds since 1970.
    created             bigint  NOT NULL,
    available_on        bigint  NOT NULL,
    available           boolean NOT NULL,
    -- The automatic payout that it went into.
    payout              text,
    version             bigint  NOT NULL,
    position            bigint  NOT NULL,
    PRIMARY KEY (merchant, transaction_id),
    CHECK (net_minor = amount_minor - fee_minor)
) WITH (fillfactor = 70);
-- Each object of Stripe's belongs to exactly one aggregate.
CREATE UNIQUE INDEX balance_transactions_by_id ON balance_transactions (merchant, balance_transaction);
CREATE INDEX balance_transactions_by_source ON balance_transactions (merchant, source) WHERE source IS NOT NULL;
CREATE INDEX balance_transactions_by_payout ON balance_transactions (merchant, payout) WHERE payout IS NOT NULL;

CREATE TABLE bank_lines (
    merchant     text    NOT NULL,
    line_id      uuid    NOT NULL,
    -- What the merchant calls its account with the bank.
    account      text    NOT NULL,
    -- Days, as `2025-04-01`.
    booked_on    text    NOT NULL,
    value_on     text,
    currency     text    NOT NULL,
    -- Positive where money came into the account.
    amount_minor bigint  NOT NULL,
    names_payout text,
    names_stripe boolean NOT NULL,
    -- The payout that it is the arrival or the return of.
    matched      text,
    -- A person has taken a match apart: only people match it from then on.
    by_hand      boolean NOT NULL,
    version      bigint  NOT NULL,
    position     bigint  NOT NULL,
    PRIMARY KEY (merchant, line_id)
) WITH (fillfactor = 70);
CREATE INDEX bank_lines_unmatched ON bank_lines (merchant, booked_on) WHERE matched IS NULL;

ALTER TABLE payouts
    -- What the balance transactions that it is made of come to, once they were counted.
    ADD COLUMN items_count     bigint,
    ADD COLUMN items_net_minor bigint,
    -- The lines of bank statements with which it arrived and was sent back.
    ADD COLUMN arrived_line    uuid,
    ADD COLUMN returned_line   uuid;
-- What is still awaited at the bank.
CREATE INDEX payouts_awaited ON payouts (merchant, currency, amount_minor) WHERE arrived_line IS NULL OR returned_line IS NULL;
-- What is to be counted.
CREATE INDEX payouts_to_itemise ON payouts (merchant, payout) WHERE automatic AND reconciled AND items_count IS NULL;

-- How far each merchant's account was read at Stripe. What is read is kept as events: this only saves reading it again.
CREATE TABLE settlement_cursors (
    merchant     text PRIMARY KEY,
    -- Everything booked up to here was read; seconds since 1970, Stripe's clock.
    read_until   bigint NOT NULL DEFAULT 0,
    -- A reading that is under way, newest first: from here down, and the last transaction that was read. Its end sets `read_until`.
    under_way    bigint,
    after        text,
    CHECK ((under_way IS NULL) = (after IS NULL))
);

-- The journal's second version: entries of settlements, and when what they tell of happened. Filled again from the log's start.
DROP TABLE journal;
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
    -- When it happened, by Stripe's or the bank's word; when it was recorded, where neither says.
    effective_at    timestamptz NOT NULL,
    -- The month that it is posted in, as `2026-11`: that of its effect, or the first that was open when it was recorded.
    period          text        NOT NULL,
    position        bigint      NOT NULL,
    PRIMARY KEY (merchant, ledger_position, entry, line),
    CHECK ((debit_minor = 0) <> (credit_minor = 0))
);
CREATE INDEX journal_by_account ON journal (merchant, account, currency, ledger_position, entry, line);
CREATE INDEX journal_by_effect ON journal (merchant, effective_at);
CREATE INDEX journal_by_period ON journal (merchant, period, account, currency);
