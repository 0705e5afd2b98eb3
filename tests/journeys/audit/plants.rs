//! How each promise can be broken in the database.

use auditor::Invariant as I;

/// What is done to the database as its owner, what that breaks, and words of the violation.
pub struct Plant {
    pub sql: &'static str,
    pub breaks: &'static [I],
    pub says: &'static str,
}

const fn plant(sql: &'static str, breaks: &'static [I], says: &'static str) -> Plant {
    Plant { sql, breaks, says }
}

/// An event is hashed again where a plant is about something else than its hash (`rehash` below).
pub const PLANTS: &[Plant] = &[
    // I2
    plant(
        "update claims set answer = jsonb_set(answer::jsonb, '{version}', '999')::json where context->>'payment' is not null and answer is not null",
        &[I::I2],
        "answered with version 999",
    ),
    plant(
        "update claims set completed_at = completed_at + interval '1 second',
             context = jsonb_set(context::jsonb, '{intention}', '\"018f0000-0000-7000-8000-000000000001\"')::json where key = 'k-1'",
        &[I::I2],
        "which was never recorded",
    ),
    plant(
        "update claims set command_id = '018f0000-0000-7000-8000-000000000001' where key = 'k-1'",
        &[I::I2],
        "claimed by another command",
    ),
    plant(
        "insert into claims select ledger, scope, key || E'\\n1', fingerprint, command_id, context, answer, created_at, completed_at
             from claims where key = 'k-1'",
        &[I::I2],
        "used again",
    ),
    plant(
        "update claims set answer = jsonb_set(answer::jsonb, '{version}', '999')::json where key = 'k-3'",
        &[I::I2],
        "answered with version 999 of order",
    ),
    plant(
        "update claims set context = jsonb_set(context::jsonb, '{request}', '\"018f0000-0000-7000-8000-000000000001\"')::json where key = 'k-2'",
        &[I::I2],
        "which is not there",
    ),
    // I3
    plant(
        "rehash: update events set recorded_at = recorded_at + interval '1 hour'; update log_head set recorded_at = recorded_at + interval '1 hour';
         update payments set created_at = created_at + interval '1 hour', updated_at = updated_at + interval '1 hour';
         update claims set created_at = created_at + interval '1 hour', completed_at = completed_at + interval '1 hour'",
        &[I::I3],
        "before its intention was recorded",
    ),
    // I5: what is in the journal and no event posts is no rebuild either.
    plant(
        "update journal set debit_minor = debit_minor + 1 where (merchant, ledger_position, entry, line) =
             (select merchant, ledger_position, entry, line from journal where debit_minor > 0 order by position limit 1)",
        &[I::I5, I::I8],
        "entry 0 debits",
    ),
    plant(
        "update balances set debit_minor = debit_minor + 1 where account = 'assets:stripe:clearing'",
        &[I::I5, I::I8],
        "are left in clearing",
    ),
    // I7
    plant(
        "update events set metadata = jsonb_set(metadata::jsonb, '{door}', '\"elsewhere\"')::json where position = 3",
        &[I::I7],
        "somebody changed it",
    ),
    plant(
        "rehash: update events set sequence = 2 where position = (select max(position) from events where aggregate_type = 'article')",
        &[I::I7],
        "version 2 follows version 0",
    ),
    plant(
        "rehash: update events set recorded_at = '2020-01-01' where position = (select max(position) from events where aggregate_type = 'article')",
        &[I::I7],
        "after an event of",
    ),
    plant(
        "rehash: update events set ledger_position = ledger_position + 1 where position = (select max(position) from events where ledger = 'rival');
         update ledger_heads set ledger_position = ledger_position + 1 where ledger = 'rival'",
        &[I::I7],
        "ledger position",
    ),
    plant(
        "alter table events drop constraint events_position_check;
         update events set position = -position where position > 5; update events set position = 1 - position where position < 0;
         update log_head set position = position + 1; update checkpoints set position = position + 1;
         update journal set position = position + 1 where position > 5; update orders set position = position + 1 where position > 5;
         update payments set position = position + 1 where position > 5; update refunds set position = position + 1 where position > 5;
         update payouts set position = position + 1 where position > 5; update parked set position = position + 1 where position > 5;
         update offers set position = position + 1 where position > 5; update articles set position = position + 1 where position > 5;
         update stripe_requests set position = position + 1 where position > 5;
         update balance_transactions set position = position + 1 where position > 5;
         update bank_lines set position = position + 1 where position > 5;
         update reconciliation_runs set position = position + 1 where position > 5;
         update reconciliation_breaks set position = position + 1 where position > 5",
        &[I::I7],
        "position 7 follows 5",
    ),
    plant(
        "update log_head set position = position + 1",
        &[I::I7],
        "its head says",
    ),
    plant(
        "update ledger_heads set ledger_position = ledger_position - 1 where ledger = 'acme'",
        &[I::I7],
        "the ledger ends at",
    ),
    plant(
        "update checkpoints set position = position + 10",
        &[I::I7],
        "past the end of the log",
    ),
    plant(
        "delete from journal where (merchant, ledger_position) = (select merchant, ledger_position from journal order by position limit 1)",
        &[I::I7],
        "skipped what it posts",
    ),
    plant(
        "update checkpoints set position = 1",
        &[I::I7],
        "its follower has not read",
    ),
    plant(
        "update log_head set recorded_at = '2020-01-01'",
        &[I::I7],
        "its last event of",
    ),
    plant(
        "rehash: update events set event_id = (select min(event_id::text)::uuid from events where aggregate_type = 'article'),
             metadata = jsonb_set(metadata::jsonb, '{event_id}', (select to_jsonb(min(event_id::text)) from events where aggregate_type = 'article'))::json
             where position in (select position from events where aggregate_type = 'article' order by event_id limit 2)",
        &[I::I7],
        "is used 2 times",
    ),
    plant(
        "rehash: alter table events drop constraint events_ledger_ledger_position_key;
         update events e set ledger_position = o.ledger_position
             from (select min(position) as one, max(position) as other from events where aggregate_type = 'article' and ledger = 'acme') two
             join events o on o.position in (two.one, two.other)
             where e.position in (two.one, two.other) and o.position <> e.position",
        &[I::I7],
        "at an earlier position",
    ),
    // I8
    plant(
        "update articles set name = 'another' where article_id = (select min(article_id::text)::uuid from articles)",
        &[I::I8],
        "name is another",
    ),
    plant(
        "update offers set withdrawn = true where offer_id = (select min(offer_id::text)::uuid from offers)",
        &[I::I8],
        "withdrawn is true, the events say false",
    ),
    plant(
        "update payouts set status = 'failed'",
        &[I::I8],
        "status is failed",
    ),
    plant(
        "update stripe_requests set status = 'refused'",
        &[I::I8],
        "status is refused, the events say made",
    ),
    plant(
        "update payments set captured_minor = captured_minor + 1 where payment_id = (select min(payment_id::text)::uuid from payments)",
        &[I::I8],
        "captured_minor is",
    ),
    plant(
        "delete from refunds where refund_id = (select min(refund_id::text)::uuid from refunds)",
        &[I::I8],
        "the row is missing",
    ),
    plant(
        "update orders set status = 'paid' where order_id = (select min(order_id::text)::uuid from orders where status = 'open')",
        &[I::I8],
        "status is paid, the events say open",
    ),
    plant(
        "update journal set account = 'suspense' where (merchant, ledger_position, entry, line) =
             (select merchant, ledger_position, entry, line from journal order by position limit 1)",
        &[I::I8],
        "on suspense, which no event posts",
    ),
    plant(
        "insert into balances values ('acme', 'usd', 'suspense', 5, 5, 1)",
        &[I::I8],
        "the events post nothing",
    ),
    plant(
        "update parked set outcome = 'did_not_happen', stripe_id = null",
        &[I::I8],
        "outcome is did_not_happen",
    ),
    // I10
    plant(
        "alter table merchants drop constraint merchants_pkey cascade; update merchants set id = 'seedpay2' where id = 'rival'",
        &[I::I10],
        "there is no such merchant",
    ),
    plant(
        "update payments set merchant = 'rival' where payment_id = (select min(payment_id::text)::uuid from payments where merchant = 'acme')",
        &[I::I10],
        "the row of another merchant",
    ),
    plant(
        "update claims set ledger = 'rival' where key = 'k-1'",
        &[I::I10],
        "a payment of acme",
    ),
    plant(
        "update api_keys set merchant = 'rival' where kind = 'stripe_secret' and merchant = 'acme'",
        &[I::I10],
        "recorded with a key of rival",
    ),
    plant(
        "rehash: update events set payload = replace(payload::text, '\"merchant\":\"acme\"', '\"merchant\":\"rival\"')::json
             where position = (select min(position) from events where aggregate_type = 'payment' and event_type = 'CreateRequested')",
        &[I::I10],
        "it names another merchant, rival",
    ),
    // I11
    plant(
        "update merchants set name = 'card 4242 4242 4242 4242' where id = 'acme'",
        &[I::I11],
        "merchants.name: a card number",
    ),
    plant(
        "update webhook_inbox set body = '{\"client_secret\":\"pi_1_secret_abcdefgh\"}' where event_id = (select min(event_id) from webhook_inbox)",
        &[I::I11],
        "webhook_inbox.body: a client secret",
    ),
    plant(
        "update api_keys set hint = 'sk_live_0123456789abcdef' where kind = 'stripe_secret' and merchant = 'acme'",
        &[I::I11],
        "api_keys.hint: a secret key",
    ),
    plant(
        "update merchants set name = 'the canary xyzzy-417' where id = 'acme'",
        &[I::I11],
        "canary 1",
    ),
    // I12
    plant(
        "update webhook_inbox set applied_at = null, result = null, next_at = clock_timestamp() where event_id = (select min(event_id) from webhook_inbox)",
        &[I::I12],
        "is not applied",
    ),
];
