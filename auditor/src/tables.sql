-- What the auditor folds from the events itself, to be compared with what is kept beside them.
create temp table audit_streams (
    kind text, merchant text, id text, version bigint, position bigint, first_at timestamptz, last_at timestamptz);
create temp table audit_payments (
    merchant text, id uuid, order_id uuid, intent text, status text, currency text, amount bigint, captured bigint,
    refunded bigint, pending uuid, charge text, adopted boolean, version bigint, position bigint, first_at timestamptz,
    last_at timestamptz);
create temp table audit_refunds (
    merchant text, id uuid, payment uuid, stripe_refund text, status text, currency text, amount bigint, position bigint,
    last_at timestamptz);
create temp table audit_orders (
    merchant text, id uuid, source text, reference text, number text, customer text, status text, currency text, total bigint,
    live uuid, paid_by uuid, mispaid bigint, version bigint, position bigint);
create temp table audit_money_heard_of (merchant text, order_id uuid, payment uuid);
create temp table audit_requests (
    merchant text, id uuid, method text, path text, status text, object text, stripe_id text, pending uuid, version bigint,
    position bigint);
create temp table audit_payouts (
    merchant text, id uuid, payout text, status text, currency text, amount bigint, reconciled boolean, items bigint,
    items_net bigint, arrived uuid, returned uuid, version bigint, position bigint);
create temp table audit_transactions (
    merchant text, id uuid, transaction text, category text, source text, currency text, amount bigint, fee bigint,
    available boolean, payout text, version bigint, position bigint);
create temp table audit_bank_lines (
    merchant text, id uuid, account text, booked_on text, currency text, amount bigint, matched text, version bigint,
    position bigint);
-- What was moved through clearing for each object of Stripe's, by whose word, and for what.
create temp table audit_clearing (
    merchant text, object text, why text, told boolean, currency text, minor bigint, position bigint);
create temp table audit_offers (
    merchant text, id uuid, number text, currency text, products bigint, selected bigint, withdrawn boolean, version bigint,
    position bigint);
create temp table audit_articles (
    merchant text, id uuid, company text, number bigint, name text, currency text, price bigint, version bigint,
    position bigint);
create temp table audit_parked (
    merchant text, intention uuid, kind text, subject uuid, what text, reason text, state text, outcome text, stripe_id text,
    proposed_by text, because text, approved_by text, position bigint);
create temp table audit_lines (
    merchant text, ledger_position bigint, account text, currency text, debit bigint, credit bigint, position bigint);
create temp table audit_intentions (
    merchant text, intention uuid, kind text, stream text, subject uuid, asks text, amount bigint, currency text,
    position bigint, recorded_at timestamptz, command text, ended text);
create temp table audit_stripe_ids (stripe_id text, kind text, merchant text, stream text, subject uuid, position bigint);
create temp table audit_links (merchant text, stream text, kind text, target uuid, position bigint);
-- What Stripe shows.
create temp table audit_at_stripe (
    merchant text, kind text, id text, created timestamptz, amount bigint, received bigint, currency text, status text,
    intent text, payment text, refund text, said_merchant text, request text);
create temp table audit_calls (merchant text, key text, type text, object text, created timestamptz);
create temp table audit_acknowledged (
    line bigint, merchant text, stripe_id text, order_reference text, payment text, event text, key text, did text);
-- Whose accounts were read, and when that began.
create temp table audit_accounts (merchant text);
create temp table audit_read_at (at timestamptz);
-- For questions that ask row by row.
create index on audit_streams (id);
create index on audit_stripe_ids (stripe_id);
create index on audit_requests (stripe_id);
create index on audit_orders (reference);
