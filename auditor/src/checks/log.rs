//! The log itself: its order, its heads, what follows it, and whose everything is.

use super::Check;
use crate::report::Invariant as I;

pub(super) fn checks() -> Vec<Check> {
    let mut checks = order();
    checks.extend(heads());
    checks.extend(belonging());
    checks.push(Check::new(I::I3, NEVER_ENDS));
    checks
}

fn order() -> Vec<Check> {
    vec![
        Check::new(
            I::I7,
            "select ledger as merchant, aggregate_type || ' ' || aggregate_id as at, position,
                    'position ' || position || ' follows ' || before as what
             from (select ledger, aggregate_type, aggregate_id, position,
                          coalesce(lag(position) over (order by position), 0) as before from events) e
             where position <> before + 1",
        ),
        Check::new(
            I::I7,
            "select ledger as merchant, aggregate_type || ' ' || aggregate_id as at, position,
                    'recorded at ' || recorded_at || ', after an event of ' || before as what
             from (select ledger, aggregate_type, aggregate_id, position, recorded_at,
                          lag(recorded_at) over (order by position) as before from events) e
             where recorded_at < before",
        ),
        Check::new(
            I::I7,
            "select ledger as merchant, aggregate_type || ' ' || aggregate_id as at, position,
                    'ledger position ' || ledger_position || ' follows ' || before as what
             from (select ledger, aggregate_type, aggregate_id, position, ledger_position,
                          coalesce(lag(ledger_position) over (partition by ledger order by ledger_position), 0) as before
                   from events) e
             where ledger_position <> before + 1",
        ),
        Check::new(
            I::I7,
            "select ledger as merchant, aggregate_type || ' ' || aggregate_id as at, position,
                    'its ledger has ledger position ' || ledger_position || ' at an earlier position' as what
             from (select ledger, aggregate_type, aggregate_id, position, ledger_position,
                          lag(position) over (partition by ledger order by ledger_position) as before from events) e
             where position < before",
        ),
        Check::new(
            I::I7,
            "select min(ledger) as merchant, null as at, min(position) as position,
                    'the event id ' || event_id || ' is used ' || count(*) || ' times' as what
             from events group by event_id having count(*) > 1",
        ),
    ]
}

fn heads() -> Vec<Check> {
    vec![
        Check::new(
            I::I7,
            "select null as merchant, 'log_head' as at, h.position,
                    'the log ends at ' || e.position || ', its head says ' || h.position as what
             from log_head h, (select coalesce(max(position), 0) as position from events) e where h.position <> e.position",
        ),
        Check::new(
            I::I7,
            "select null as merchant, 'log_head' as at, e.position, 'the head is of ' || h.recorded_at || ', its last event of ' || e.recorded_at as what
             from log_head h join events e on e.position = h.position where h.recorded_at < e.recorded_at",
        ),
        Check::new(
            I::I7,
            "select coalesce(h.ledger, e.ledger) as merchant, 'ledger_heads' as at, null as position,
                    'the ledger ends at ' || coalesce(e.at, 0) || ', its head says ' || coalesce(h.ledger_position::text, 'nothing') as what
             from ledger_heads h full join (select ledger, max(ledger_position) as at from events group by ledger) e using (ledger)
             where h.ledger_position is distinct from e.at",
        ),
        Check::new(
            I::I7,
            "select null as merchant, 'checkpoints ' || c.name as at, c.position,
                    'it has read to ' || c.position || ', past the end of the log at ' || h.position as what
             from checkpoints c, log_head h where c.position > h.position",
        ),
        Check::new(
            I::I7,
            "select j.merchant, 'journal' as at, j.position, 'a line is of an event that its follower has not read' as what
             from journal j, (select coalesce(max(position), 0) as position from checkpoints where name = 'journal.v2') c
             where j.position > c.position",
        ),
        Check::new(
            I::I7,
            "select l.merchant, 'journal' as at, l.position, 'the follower has read past this event, and skipped what it posts' as what
             from audit_lines l join (select position from checkpoints where name = 'journal.v2') c on l.position <= c.position
             where not exists (select from journal j where j.merchant = l.merchant and j.ledger_position = l.ledger_position)",
        ),
        Check::new(
            I::I7,
            "select l.merchant, l.stream as at, l.position, 'it names the ' || l.kind || ' ' || l.target || ', which has no history' as what
             from audit_links l where not exists (select from audit_streams s where s.kind = l.kind and s.id = l.target::text)",
        ),
    ]
}

/// An intention that is older than any deadline has ended, or waits for people.
const NEVER_ENDS: &str = "
    select i.merchant, i.stream as at, i.position,
           'the ' || i.asks || ' of ' || i.recorded_at || ' has neither ended nor been parked' as what
    from audit_intentions i
    where i.ended is null and i.recorded_at < now() - interval '28 hours' and not exists (
        select from audit_parked p where p.merchant = i.merchant and p.intention = i.intention and p.state = 'waiting')";

/// Whose things are: nothing of one merchant's names what is another's.
fn belonging() -> Vec<Check> {
    vec![
        Check::new(
            I::I10,
            "select l.merchant, l.stream as at, l.position, 'it names the ' || l.kind || ' ' || l.target || ' of ' || s.merchant as what
             from audit_links l join audit_streams s on s.kind = l.kind and s.id = l.target::text
             where s.merchant <> l.merchant
               and not exists (select from audit_streams o where o.kind = l.kind and o.id = l.target::text and o.merchant = l.merchant)",
        ),
        Check::new(
            I::I10,
            "select s.merchant, s.kind || ' ' || s.id as at, s.position, 'it is of nobody: there is no such merchant' as what
             from audit_streams s where not exists (select from merchants m where m.id = s.merchant)",
        ),
        Check::new(
            I::I10,
            "select e.ledger as merchant, e.aggregate_type || ' ' || e.aggregate_id as at, e.position,
                    'it was recorded with a key of ' || k.merchant as what
             from events e join api_keys k on k.key_id = e.metadata->>'key_id' where k.merchant <> e.ledger",
        ),
        Check::new(
            I::I10,
            "select c.ledger as merchant, 'claims ' || c.scope as at, null as position,
                    'the key stands for a payment of ' || s.merchant as what
             from claims c join audit_streams s on s.kind = 'payment' and s.id = c.context->>'payment'
             where s.merchant <> c.ledger",
        ),
        Check::new(
            I::I10,
            "select l.merchant, l.kind || ' ' || l.id as at, l.position, 'the row of another merchant''s ' || l.kind as what
             from (select merchant, 'payment' as kind, payment_id::text as id, position from payments
                   union all select merchant, 'order', order_id::text, position from orders
                   union all select merchant, 'settlement', payout_id::text, position from payouts
                   union all select merchant, 'settlement', transaction_id::text, position from balance_transactions
                   union all select merchant, 'settlement', line_id::text, position from bank_lines
                   union all select merchant, 'stripe_request', request_id::text, position from stripe_requests
                   union all select merchant, 'offer', offer_id::text, position from offers
                   union all select merchant, 'article', article_id::text, position from articles) l
             where not exists (select from audit_streams s where s.kind = l.kind and s.id = l.id and s.merchant = l.merchant)
               and exists (select from audit_streams s where s.kind = l.kind and s.id = l.id)",
        ),
        Check::new(
            I::I4,
            "select min(merchant) as merchant, min(stream) as at, max(position) as position,
                    kind || ' ' || stripe_id || ' belongs to ' || string_agg(distinct stream, ' and ') as what
             from audit_stripe_ids group by kind, stripe_id having count(distinct stream) > 1",
        ),
    ]
}
