-- Reconciliation: runs and breaks as read models, folded in the append's own statement; what Stripe answered to each run, kept
-- for ever, so that a run can be repeated; and what a run works with, which goes when it ends.

CREATE TABLE reconciliation_runs (
    merchant        text   NOT NULL,
    run_id          uuid   NOT NULL,
    status          text   NOT NULL,
    -- When the reading of Stripe's answers began, seconds since 1970.
    at              bigint NOT NULL,
    tolerance_minor bigint NOT NULL,
    ledger_position bigint,
    snapshot_hash   text,
    healed          bigint,
    payments        bigint,
    breaks          bigint,
    report_hash     text,
    version         bigint NOT NULL,
    position        bigint NOT NULL,
    PRIMARY KEY (merchant, run_id)
) WITH (fillfactor = 70);
CREATE INDEX reconciliation_runs_open ON reconciliation_runs (merchant) WHERE status IN ('reading', 'comparing');

CREATE TABLE reconciliation_breaks (
    merchant        text   NOT NULL,
    break_id        uuid   NOT NULL,
    -- The run that found it first, or found its figures changed.
    run_id          uuid   NOT NULL,
    class           text   NOT NULL,
    subject         text   NOT NULL,
    part            text   NOT NULL,
    ours_currency   text,
    ours_minor      bigint,
    theirs_currency text,
    theirs_minor    bigint,
    says            text   NOT NULL,
    since           bigint NOT NULL,
    due             bigint,
    first_seen      bigint NOT NULL,
    status          text   NOT NULL,
    owner           text,
    reason          text,
    resolved_by     text,
    approved_by     text,
    version         bigint NOT NULL,
    position        bigint NOT NULL,
    PRIMARY KEY (merchant, break_id),
    -- Maker is never checker.
    CHECK (approved_by IS NULL OR approved_by <> resolved_by)
) WITH (fillfactor = 70);
CREATE INDEX reconciliation_breaks_live ON reconciliation_breaks (merchant, break_id) WHERE status <> 'gone';

-- Stripe's answers to a run, page by page, in our words: no personal data and no secret is in them. The database compresses
-- what is long.
CREATE TABLE reconciliation_pages (
    run_id uuid  NOT NULL,
    number int   NOT NULL,
    sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
    body   text  NOT NULL,
    PRIMARY KEY (run_id, number)
);

-- How far a run has come: where another process goes on.
CREATE TABLE reconciliation_work (
    run_id   uuid PRIMARY KEY,
    merchant text NOT NULL,
    progress text NOT NULL
);

-- What the two sides show, to be read in the order of subjects. Side 0 is ours. Compared by their bytes, as the comparison does.
CREATE TABLE reconciliation_items (
    run_id  uuid     NOT NULL,
    subject text     COLLATE "C" NOT NULL,
    side    smallint NOT NULL,
    -- The kind and the id of what is shown.
    name    text     COLLATE "C" NOT NULL,
    body    text     NOT NULL,
    PRIMARY KEY (run_id, subject, side, name)
);
CREATE INDEX reconciliation_items_by_name ON reconciliation_items (run_id, name);

-- What a run found, in the order of its report.
CREATE TABLE reconciliation_findings (
    run_id  uuid   NOT NULL,
    number  bigint NOT NULL,
    subject text   COLLATE "C" NOT NULL,
    part    text   COLLATE "C" NOT NULL,
    -- Of a break; none for what is still open (in transit, moving); empty for what agrees well enough.
    class   text,
    body    text   NOT NULL,
    PRIMARY KEY (run_id, number)
);
CREATE INDEX reconciliation_findings_by_part ON reconciliation_findings (run_id, subject, part);

-- Who works on a merchant's run: one at a time, whatever the number of instances.
CREATE TABLE reconciliation_leases (
    merchant     text        PRIMARY KEY,
    holder       uuid        NOT NULL,
    leased_until timestamptz NOT NULL
);
