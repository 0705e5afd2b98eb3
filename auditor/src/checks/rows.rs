//! The rows beside the log, against what the auditor's own fold of the events comes to; and the double entry in itself.

use super::Check;
use crate::report::Invariant as I;

/// A table, what was folded for it, and the columns of both that are to be equal (live, folded).
struct Pair {
    live: &'static str,
    folded: &'static str,
    what: &'static str,
    /// The column of the id, live and folded.
    id: (&'static str, &'static str),
    columns: &'static [(&'static str, &'static str)],
}

const PAIRS: &[Pair] = &[
    Pair {
        live: "payments",
        folded: "audit_payments",
        what: "payment",
        id: ("payment_id", "id"),
        columns: &[
            ("order_id", "order_id"),
            ("intent", "intent"),
            ("status", "status"),
            ("currency", "currency"),
            ("amount_minor", "amount"),
            ("captured_minor", "captured"),
            ("refunded_minor", "refunded"),
            ("pending_intention", "pending"),
            ("charge", "charge"),
            ("created_at", "first_at"),
            ("updated_at", "last_at"),
            ("version", "version"),
            ("position", "position"),
        ],
    },
    Pair {
        live: "refunds",
        folded: "audit_refunds",
        what: "refund",
        id: ("refund_id", "id"),
        columns: &[
            ("payment_id", "payment"),
            ("stripe_refund", "stripe_refund"),
            ("status", "status"),
            ("currency", "currency"),
            ("amount_minor", "amount"),
            ("position", "position"),
        ],
    },
    Pair {
        live: "orders",
        folded: "audit_orders",
        what: "order",
        id: ("order_id", "id"),
        columns: &[
            ("source", "source"),
            ("reference", "reference"),
            ("number", "number"),
            ("customer", "customer"),
            ("status", "status"),
            ("currency", "currency"),
            ("total_minor", "total"),
            ("live_payment", "live"),
            ("paid_by", "paid_by"),
            ("mispaid_minor", "mispaid"),
            ("version", "version"),
            ("position", "position"),
        ],
    },
    Pair {
        live: "stripe_requests",
        folded: "audit_requests",
        what: "stripe_request",
        id: ("request_id", "id"),
        columns: &[
            ("method", "method"),
            ("path", "path"),
            ("status", "status"),
            ("object", "object"),
            ("stripe_id", "stripe_id"),
            ("pending_intention", "pending"),
            ("version", "version"),
            ("position", "position"),
        ],
    },
    Pair {
        live: "payouts",
        folded: "audit_payouts",
        what: "settlement",
        id: ("payout_id", "id"),
        columns: &[
            ("payout", "payout"),
            ("status", "status"),
            ("currency", "currency"),
            ("amount_minor", "amount"),
            ("reconciled", "reconciled"),
            ("items_count", "items"),
            ("items_net_minor", "items_net"),
            ("arrived_line", "arrived"),
            ("returned_line", "returned"),
            ("version", "version"),
            ("position", "position"),
        ],
    },
    Pair {
        live: "balance_transactions",
        folded: "audit_transactions",
        what: "settlement",
        id: ("transaction_id", "id"),
        columns: &[
            ("balance_transaction", "transaction"),
            ("category", "category"),
            ("source", "source"),
            ("currency", "currency"),
            ("amount_minor", "amount"),
            ("fee_minor", "fee"),
            ("available", "available"),
            ("payout", "payout"),
            ("version", "version"),
            ("position", "position"),
        ],
    },
    Pair {
        live: "bank_lines",
        folded: "audit_bank_lines",
        what: "settlement",
        id: ("line_id", "id"),
        columns: &[
            ("account", "account"),
            ("booked_on", "booked_on"),
            ("currency", "currency"),
            ("amount_minor", "amount"),
            ("matched", "matched"),
            ("version", "version"),
            ("position", "position"),
        ],
    },
    Pair {
        live: "offers",
        folded: "audit_offers",
        what: "offer",
        id: ("offer_id", "id"),
        columns: &[
            ("number", "number"),
            ("currency", "currency"),
            ("products", "products"),
            ("selected", "selected"),
            ("withdrawn", "withdrawn"),
            ("version", "version"),
            ("position", "position"),
        ],
    },
    Pair {
        live: "articles",
        folded: "audit_articles",
        what: "article",
        id: ("article_id", "id"),
        columns: &[
            ("company", "company"),
            ("number", "number"),
            ("name", "name"),
            ("currency", "currency"),
            ("price_minor", "price"),
            ("version", "version"),
            ("position", "position"),
        ],
    },
    Pair {
        live: "parked",
        folded: "audit_parked",
        what: "parked",
        id: ("intention", "intention"),
        columns: &[
            ("kind", "kind"),
            ("subject", "subject"),
            ("what", "what"),
            ("reason", "reason"),
            ("state", "state"),
            ("outcome", "outcome"),
            ("stripe_id", "stripe_id"),
            ("proposed_by", "proposed_by"),
            ("because", "because"),
            ("approved_by", "approved_by"),
            ("position", "position"),
        ],
    },
];

pub(super) fn checks() -> Vec<Check> {
    let mut checks: Vec<Check> = PAIRS
        .iter()
        .map(|pair| Check::new(I::I8, differences(pair)))
        .collect();
    checks.extend([BALANCES, MISSING_LINES, EXTRA_LINES].map(|it| Check::new(I::I8, it)));
    let books = [
        UNBALANCED_ENTRIES,
        UNBALANCED,
        CLEARING,
        UNCLEARED,
        UNMATCHED,
    ];
    checks.extend(books.map(|it| Check::new(I::I5, it)));
    checks
}

/// A row that differs, is missing, or is of nothing. One that is another merchant's is told of as such, not here.
fn differences(pair: &Pair) -> String {
    let Pair {
        live,
        folded,
        what,
        id: (live_id, folded_id),
        columns,
    } = pair;
    let list = |of: &str, part: fn(&(&'static str, &'static str)) -> &'static str| {
        let names = columns.iter().map(|it| format!("{of}.{}", part(it)));
        names.collect::<Vec<_>>().join(", ")
    };
    let told = |(live, folded): &(&str, &str)| {
        format!(
            "case when l.{live} is distinct from f.{folded} then '{live} is ' || coalesce(l.{live}::text, 'null') \
             || ', the events say ' || coalesce(f.{folded}::text, 'null') end"
        )
    };
    let told: Vec<_> = columns.iter().map(told).collect();
    format!(
        "select coalesce(l.merchant, f.merchant) as merchant, '{what} ' || coalesce(l.{live_id}, f.{folded_id}) as at,
                coalesce(f.position, l.position) as position,
                case when l.{live_id} is null then 'the row is missing'
                     when f.{folded_id} is null then 'the row is of no events'
                     else concat_ws('; ', {told}) end as what
         from {live} l full join {folded} f on f.merchant = l.merchant and f.{folded_id} = l.{live_id}
         where (l.{live_id} is null or f.{folded_id} is null or ({live_list}) is distinct from ({folded_list}))
           and not (f.{folded_id} is null and exists (select from {folded} o where o.{folded_id} = l.{live_id}))
           and not (l.{live_id} is null and exists (select from {live} o where o.{live_id} = f.{folded_id}))",
        told = told.join(", "),
        live_list = list("l", |it| it.0),
        folded_list = list("f", |it| it.1),
    )
}

const BALANCES: &str = "
    select coalesce(l.merchant, f.merchant) as merchant, 'balances ' || coalesce(l.account, f.account) as at, null as position,
           'it stands at ' || coalesce(l.debit_minor || ' / ' || l.credit_minor, 'nothing') || ' ' || coalesce(l.currency, f.currency)
           || ', the events post ' || coalesce(f.debit || ' / ' || f.credit, 'nothing') as what
    from balances l full join (select merchant, currency, account, sum(debit) as debit, sum(credit) as credit
                               from audit_lines group by merchant, currency, account) f
         on f.merchant = l.merchant and f.currency = l.currency and f.account = l.account
    where coalesce(l.debit_minor, 0) <> coalesce(f.debit, 0) or coalesce(l.credit_minor, 0) <> coalesce(f.credit, 0)";

/// Only as far as the journal's follower has read. An event without any of its lines was skipped: that is told of elsewhere.
const MISSING_LINES: &str = "
    select l.merchant, 'journal' as at, l.position,
           'no line of ' || l.debit || ' / ' || l.credit || ' ' || l.currency || ' on ' || l.account || ', which the event posts' as what
    from (select merchant, ledger_position, account, currency, debit, credit, position from audit_lines
          except all
          select merchant, ledger_position, account, currency, debit_minor, credit_minor, position from journal) l
         join checkpoints c on c.name = 'journal.v2' and l.position <= c.position
    where exists (select from journal j where j.merchant = l.merchant and j.ledger_position = l.ledger_position)";

const EXTRA_LINES: &str = "
    select l.merchant, 'journal' as at, l.position,
           'a line of ' || l.debit_minor || ' / ' || l.credit_minor || ' ' || l.currency || ' on ' || l.account || ', which no event posts' as what
    from (select merchant, ledger_position, account, currency, debit_minor, credit_minor, position from journal
          except all
          select merchant, ledger_position, account, currency, debit, credit, position from audit_lines) l";

const UNBALANCED_ENTRIES: &str = "
    select merchant, 'journal' as at, min(position) as position,
           'entry ' || entry || ' debits ' || sum(debit_minor) || ' and credits ' || sum(credit_minor) || ' ' || currency as what
    from journal group by merchant, ledger_position, entry, currency having sum(debit_minor) <> sum(credit_minor)";

const UNBALANCED: &str = "
    select merchant, 'balances' as at, null as position,
           'all accounts together: ' || sum(debit_minor) || ' debited and ' || sum(credit_minor) || ' credited ' || currency as what
    from balances group by merchant, currency having sum(debit_minor) <> sum(credit_minor)";

/// What is told of payments goes into clearing, what Stripe booked for it comes off again: what is left there is what the two do
/// not agree on yet.
const CLEARING: &str = "
    select coalesce(c.merchant, b.merchant) as merchant, 'assets:stripe:clearing' as at, null as position,
           coalesce(b.minor, 0) || ' ' || coalesce(c.currency, b.currency) || ' are left in clearing, where what was told and what '
           || 'Stripe booked for it differ by ' || coalesce(c.minor, 0) as what
    from (select merchant, currency, sum(minor) as minor from audit_clearing group by merchant, currency) c
         full join (select merchant, currency, debit_minor - credit_minor as minor from balances
                    where account = 'assets:stripe:clearing') b
         on b.merchant = c.merchant and b.currency = c.currency
    where coalesce(b.minor, 0) <> coalesce(c.minor, 0)";

/// What is told and what is booked of the same thing cancel each other, where both are known.
const UNCLEARED: &str = "
    select merchant, why || ' of ' || object as at, max(position) as position,
           sum(minor) filter (where told) || ' ' || currency || ' were told of, and ' || -sum(minor) filter (where not told)
           || ' were booked' as what
    from audit_clearing group by merchant, object, why, currency
    having bool_or(told) and bool_or(not told) and sum(minor) <> 0";

/// A payout and the line of its arrival, or its return, name each other.
const UNMATCHED: &str = "
    select coalesce(l.merchant, p.merchant) as merchant, 'settlement ' || coalesce(l.id, p.line) as at,
           coalesce(l.position, p.position) as position,
           case when l.id is null then 'the payout ' || p.payout || ' has a line that is not matched with it'
                else 'the line is matched with ' || l.matched || ', which does not know it' end as what
    from (select * from audit_bank_lines where matched is not null) l
         full join (select merchant, payout, position, arrived as line from audit_payouts where arrived is not null
                    union all
                    select merchant, payout, position, returned from audit_payouts where returned is not null) p
         on p.merchant = l.merchant and p.line = l.id and p.payout = l.matched
    where l.id is null or p.line is null";
