//! A minute after the faults have ended nothing is pending but what is parked.

use super::Check;
use crate::report::Invariant as I;

pub(super) fn checks(stripe: bool) -> Vec<Check> {
    let mut all = vec![OPEN, INBOX, UNHEARD];
    if stripe {
        all.extend([NOT_HEARD_OF, MONEY_NOT_HEARD_OF, REFUND_NOT_HEARD_OF]);
    }
    all.into_iter().map(|sql| Check::new(I::I12, sql)).collect()
}

const OPEN: &str = "
    select i.merchant, i.stream as at, i.position, 'the ' || i.asks || ' has no outcome, and is not parked' as what
    from audit_intentions i
    where i.ended is null and not exists (
        select from audit_parked p where p.merchant = i.merchant and p.intention = i.intention and p.state = 'waiting')";

const INBOX: &str = "
    select merchant, 'webhook_inbox ' || event_id as at, null as position, 'a ' || type || ' of Stripe''s is not applied' as what
    from webhook_inbox where applied_at is null and set_aside_at is null";

/// Money that was to pay an order has paid it, or is told to the order as money that does not.
const UNHEARD: &str = "
    select p.merchant, 'payment ' || p.merchant || '/' || p.id as at, p.position,
           p.captured || ' ' || p.currency || ' were captured, of which order ' || p.order_id || ' has not heard' as what
    from audit_payments p
    where p.order_id is not null and p.status = 'succeeded' and p.captured > 0 and not exists (
        select from audit_money_heard_of h
        where h.merchant = p.merchant and h.order_id = p.order_id and h.payment = p.id)";

const NOT_HEARD_OF: &str = "
    select s.merchant, 'Stripe ' || s.id as at, p.position, 'the log does not know that its intent was made' as what
    from audit_at_stripe s join audit_payments p on p.merchant = s.merchant and p.id::text = s.payment
    where s.kind = 'payment_intent' and p.intent is null";

const MONEY_NOT_HEARD_OF: &str = "
    select s.merchant, 'Stripe ' || s.id as at, p.position,
           'Stripe took ' || s.received || ' and is ' || s.status || ', the log says ' || p.captured || ' and ' || p.status as what
    from audit_at_stripe s join audit_payments p on p.merchant = s.merchant and p.intent = s.id
    where s.kind = 'payment_intent' and p.captured = 0
      and (s.received > 0 or (s.status = 'canceled' and p.status <> 'canceled'))";

const REFUND_NOT_HEARD_OF: &str = "
    select s.merchant, 'Stripe ' || s.id as at, r.position,
           'Stripe says that the refund is ' || s.status || ', the log that it is ' || r.status as what
    from audit_refunds r left join audit_at_stripe known on known.merchant = r.merchant and known.id = r.stripe_refund
         left join audit_at_stripe marked on marked.merchant = r.merchant and marked.refund = r.id::text and r.stripe_refund is null
         join lateral (select coalesce(known.merchant, marked.merchant) as merchant, coalesce(known.id, marked.id) as id,
                              coalesce(known.status, marked.status) as status, 'refund' as kind) s on s.id is not null
    where s.kind = 'refund' and r.status <> s.status and s.status in ('succeeded', 'failed', 'canceled')";
