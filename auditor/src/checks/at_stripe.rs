//! What was done at Stripe against what was intended here, in both directions.
//!
//! Stripe is read before the snapshot is taken: whatever it shows by then has its intention in the log. What the log heard of since is not
//! held against Stripe's older picture (`audit_read_at`).

use super::Check;
use crate::report::Invariant as I;

pub(super) fn checks() -> Vec<Check> {
    let of_log = [
        UNKNOWN_KEY,
        TOO_EARLY,
        MADE_TOO_EARLY,
        DONE_TWICE,
        UNKNOWN_PAYMENT,
        TWO_INTENTS,
        OTHER_INTENT,
        NOT_MADE,
        UNKNOWN_REFUND,
        TWO_REFUNDS,
        REFUND_NOT_MADE,
        UNKNOWN_REQUEST,
    ];
    let of_stripe = [NO_SUCH_INTENT, OTHER_MONEY, NO_SUCH_REFUND, OTHER_REFUND];
    let all = of_log.into_iter().chain(of_stripe);
    let mut checks: Vec<Check> = all.map(|sql| Check::new(I::I3, sql)).collect();
    checks.push(Check::new(I::I10, OTHER_MERCHANT));
    checks
}

/// Every request under a key of ours has its intention.
const UNKNOWN_KEY: &str = "
    select c.merchant, 'Stripe ' || c.object as at, null as position,
           c.type || ' under the key ' || c.key || ', whose intention the log does not have' as what
    from audit_calls c left join audit_intentions i on i.merchant = c.merchant and 'cf-' || i.intention = c.key
    where i.intention is null";

/// Stripe tells its times in whole seconds.
const TOO_EARLY: &str = "
    select c.merchant, i.stream as at, i.position,
           c.type || ' at ' || c.created || ', before its intention was recorded at ' || i.recorded_at as what
    from audit_calls c join audit_intentions i on i.merchant = c.merchant and 'cf-' || i.intention = c.key
    where i.recorded_at >= c.created + interval '1 second'";

/// The same of what Stripe tells by itself, where it has forgotten which request made it.
const MADE_TOO_EARLY: &str = "
    select s.merchant, 'Stripe ' || s.id as at, i.position,
           'it was made at ' || s.created || ', before its intention was recorded at ' || i.recorded_at as what
    from (select merchant, id, created, payment as mark, 'create' as asks from audit_at_stripe where payment is not null
          union all select merchant, id, created, refund, 'refund' from audit_at_stripe where refund is not null
          union all select merchant, id, created, request, 'change' from audit_at_stripe where request is not null) s
         join audit_intentions i on i.merchant = s.merchant and i.asks = s.asks
         and (case i.asks when 'create' then i.subject else i.intention end)::text = s.mark
    where i.recorded_at >= s.created + interval '1 second'";

/// One intention makes one thing, and takes money once.
const DONE_TWICE: &str = "
    select merchant, 'Stripe ' || string_agg(distinct object, ' and ') as at, null as position,
           type || ' ' || count(*) || ' times under the one key ' || key as what
    from audit_calls where type like '%.created' or type in ('charge.succeeded', 'charge.captured', 'payment_intent.canceled')
    group by merchant, key, type having count(*) > 1";

const UNKNOWN_PAYMENT: &str = "
    select s.merchant, 'Stripe ' || s.id as at, null as position,
           'it is marked as payment ' || s.payment || ', which the log does not have' as what
    from audit_at_stripe s left join audit_payments p on p.merchant = s.merchant and p.id::text = s.payment
    where s.kind = 'payment_intent' and s.payment is not null and p.id is null
      and coalesce(s.said_merchant, s.merchant) = s.merchant";

const TWO_INTENTS: &str = "
    select s.merchant, 'payment ' || s.merchant || '/' || s.payment as at, min(p.position) as position,
           'it was made ' || count(*) || ' times at Stripe: ' || string_agg(s.id, ', ') as what
    from audit_at_stripe s join audit_payments p on p.merchant = s.merchant and p.id::text = s.payment
    where s.kind = 'payment_intent' group by s.merchant, s.payment having count(*) > 1";

const OTHER_INTENT: &str = "
    select s.merchant, 'payment ' || s.merchant || '/' || s.payment as at, p.position,
           'it is ' || s.id || ' at Stripe, and ' || p.intent || ' in the log' as what
    from audit_at_stripe s join audit_payments p on p.merchant = s.merchant and p.id::text = s.payment
    where s.kind = 'payment_intent' and p.intent <> s.id
      and not exists (select from audit_at_stripe o where o.kind = 'payment_intent' and o.payment = s.payment and o.id <> s.id)";

const NOT_MADE: &str = "
    select s.merchant, 'payment ' || s.merchant || '/' || s.payment as at, p.position,
           s.id || ' is at Stripe, where the log says that it was never made' as what
    from audit_at_stripe s join audit_payments p on p.merchant = s.merchant and p.id::text = s.payment
    where s.kind = 'payment_intent' and p.status = 'refused'";

/// Of refunds that are marked as ours; what somebody made elsewhere may carry a copied mark, and was not asked for under a key of ours.
const UNKNOWN_REFUND: &str = "
    select s.merchant, 'Stripe ' || s.id as at, null as position,
           'it is marked as refund ' || s.refund || ', which the log does not have' as what
    from audit_at_stripe s left join audit_intentions i
         on i.merchant = s.merchant and i.intention::text = s.refund and i.asks = 'refund'
    where s.kind = 'refund' and s.refund is not null and i.intention is null";

const TWO_REFUNDS: &str = "
    select s.merchant, min(i.stream) as at, min(i.position) as position,
           'one refund was made ' || count(*) || ' times at Stripe: ' || string_agg(s.id, ', ') as what
    from audit_at_stripe s join audit_intentions i
         on i.merchant = s.merchant and i.intention::text = s.refund and i.asks = 'refund'
    where s.kind = 'refund' group by s.merchant, s.refund having count(*) > 1";

const REFUND_NOT_MADE: &str = "
    select s.merchant, 'refund ' || s.refund as at, r.position,
           s.id || ' is at Stripe, where the log says that it was never made' as what
    from audit_at_stripe s join audit_refunds r on r.merchant = s.merchant and r.id::text = s.refund
    where s.kind = 'refund' and r.status = 'refused'";

const UNKNOWN_REQUEST: &str = "
    select s.merchant, 'Stripe ' || s.id as at, r.position,
           'it is marked as request ' || s.request || ', which the log ' || coalesce('says was ' || r.status, 'does not have') as what
    from audit_at_stripe s left join audit_requests r on r.merchant = s.merchant and r.id::text = s.request
    where s.request is not null and (r.id is null or r.status = 'refused')";

const NO_SUCH_INTENT: &str = "
    select p.merchant, 'payment ' || p.merchant || '/' || p.id as at, p.position,
           'Stripe shows no ' || p.intent as what
    from audit_payments p
    where p.intent is not null and p.last_at < (select at from audit_read_at)
      and exists (select from audit_accounts a where a.merchant = p.merchant)
      and not exists (select from audit_at_stripe s where s.merchant = p.merchant and s.id = p.intent)";

/// What was captured or cancelled here was captured or cancelled there: the same, and once.
const OTHER_MONEY: &str = "
    select p.merchant, 'payment ' || p.merchant || '/' || p.id as at, p.position,
           'the log says ' || p.status || ' with ' || p.captured || ' ' || p.currency || ' taken, Stripe says ' || s.status || ' with '
           || s.received || ' ' || s.currency as what
    from audit_payments p join audit_at_stripe s on s.merchant = p.merchant and s.id = p.intent
    where p.last_at < (select at from audit_read_at)
      and (p.currency <> s.currency or (p.captured > 0 and p.captured <> s.received)
           or (p.status in ('succeeded', 'canceled') and p.status <> s.status))";

const NO_SUCH_REFUND: &str = "
    select r.merchant, 'refund ' || r.id as at, r.position, 'Stripe shows no ' || r.stripe_refund as what
    from audit_refunds r
    where r.stripe_refund is not null and r.last_at < (select at from audit_read_at)
      and exists (select from audit_accounts a where a.merchant = r.merchant)
      and not exists (select from audit_at_stripe s where s.merchant = r.merchant and s.id = r.stripe_refund)";

/// A refund may fail late, when it had succeeded.
const OTHER_REFUND: &str = "
    select r.merchant, 'refund ' || r.id as at, r.position,
           'the log says ' || r.status || ', ' || r.amount || ' ' || r.currency || ' of ' || coalesce(p.intent, 'nothing')
           || '; Stripe says ' || s.status || ', ' || s.amount || ' ' || s.currency || ' of ' || s.intent as what
    from audit_refunds r join audit_at_stripe s on s.merchant = r.merchant and s.id = r.stripe_refund
         join audit_payments p on p.merchant = r.merchant and p.id = r.payment
    where r.last_at < (select at from audit_read_at)
      and (r.amount <> s.amount or r.currency <> s.currency or p.intent is distinct from s.intent
           or (r.status = 'succeeded' and s.status not in ('succeeded', 'failed'))
           or (r.status in ('failed', 'canceled') and s.status <> r.status))";

/// What stands in a merchant's account is marked as that merchant's.
const OTHER_MERCHANT: &str = "
    select s.merchant, 'Stripe ' || s.id as at, null as position, 'it is in the account of ' || s.merchant || ', and marked as ' || s.said_merchant || '''s' as what
    from audit_at_stripe s where s.said_merchant <> s.merchant";
