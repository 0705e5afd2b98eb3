//! What callers were told is done is in the log (I1).

use crate::AuditError;
use crate::checks::Check;
use crate::report::Invariant as I;
use crate::spill::{Spill, row};
use serde::Deserialize;
use sqlx::PgConnection;
use std::path::Path;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// One acknowledged command; `docs/audit.md` documents it. At least one thing beside the merchant is named.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Acknowledged {
    merchant: String,
    /// `pi_…`, `re_…`, `po_…`, `cs_…`, or a change's `cus_…`.
    stripe_id: Option<String>,
    /// An order's reference.
    order: Option<String>,
    /// A payment's id.
    payment: Option<String>,
    /// An event's id.
    event: Option<String>,
    /// A caller's idempotency key.
    key: Option<String>,
    /// The name of an event (`Captured`) that the payment, the order or the object's owner has in its history.
    did: Option<String>,
}

/// Reads the list into its temporary table, in constant memory.
pub(crate) async fn load(connection: &mut PgConnection, path: &Path) -> Result<(), AuditError> {
    let unreadable = |error| AuditError::File {
        path: path.to_owned(),
        error,
    };
    let file = File::open(path).await.map_err(unreadable)?;
    let mut lines = BufReader::new(file).lines();
    let mut spill = Spill::new("audit_acknowledged");
    let mut number = 0_i64;
    while let Some(line) = lines.next_line().await.map_err(unreadable)? {
        number += 1;
        if line.trim().is_empty() {
            continue;
        }
        let it = read(&line).map_err(|why| AuditError::Acknowledged {
            path: path.to_owned(),
            line: u64::try_from(number).unwrap_or_default(),
            why,
        })?;
        spill.push(row![
            number,
            it.merchant,
            it.stripe_id,
            it.order,
            it.payment,
            it.event,
            it.key,
            it.did
        ]);
        spill.flush(connection, false).await?;
    }
    spill.flush(connection, true).await?;
    Ok(())
}

fn read(line: &str) -> Result<Acknowledged, String> {
    let it: Acknowledged = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let named = [&it.stripe_id, &it.order, &it.payment, &it.event, &it.key];
    let names_something = named.into_iter().any(Option::is_some);
    names_something
        .then_some(it)
        .ok_or_else(|| "it names nothing but a merchant".to_owned())
}

/// One question for each thing that can be named, and one for what is said to have been done to it.
pub(crate) fn checks() -> Vec<Check> {
    let lost = [
        (
            "stripe_id",
            "from audit_stripe_ids s where s.merchant = a.merchant and s.stripe_id = a.stripe_id)
             and not exists (select from audit_requests r where r.merchant = a.merchant and r.stripe_id = a.stripe_id",
        ),
        (
            "order_reference",
            "from audit_orders o where o.merchant = a.merchant and o.reference = a.order_reference",
        ),
        (
            "payment",
            "from audit_payments p where p.merchant = a.merchant and p.id::text = lower(a.payment)",
        ),
        (
            "event",
            "from events e where e.ledger = a.merchant and e.event_id::text = lower(a.event)",
        ),
        (
            "key",
            "from claims c where c.ledger = a.merchant and split_part(c.key, E'\\n', 1) = a.key",
        ),
    ];
    let lost = lost.map(|(column, found)| {
        format!(
            "select a.merchant, 'acknowledged ' || a.line as at, null as position, '{column} ' || a.{column} || ' is not in the log' as what
             from audit_acknowledged a where a.{column} is not null and not exists (select {found})"
        )
    });
    let mut checks: Vec<Check> = lost.map(|sql| Check::new(I::I1, sql)).into();
    checks.push(Check::new(I::I1, NOT_DONE));
    checks
}

const NOT_DONE: &str = "
    select a.merchant, 'acknowledged ' || a.line as at, null as position,
           coalesce(a.stripe_id, a.payment, a.order_reference) || ' has no ' || a.did || ' in its history' as what
    from audit_acknowledged a
    where a.did is not null and coalesce(a.stripe_id, a.payment, a.order_reference) is not null and not exists (
        select from (
            select 'payment' as kind, lower(a.payment) as id where a.payment is not null
            union all select split_part(s.stream, ' ', 1), s.subject::text from audit_stripe_ids s
                      where s.merchant = a.merchant and s.stripe_id = a.stripe_id
            union all select 'stripe_request', r.id::text from audit_requests r
                      where r.merchant = a.merchant and r.stripe_id = a.stripe_id
            union all select 'order', o.id::text from audit_orders o
                      where o.merchant = a.merchant and o.reference = a.order_reference) it
        join events e on e.aggregate_type = it.kind and e.aggregate_id = a.merchant || '/' || it.id and e.event_type = a.did)";
