//! The promises as questions to the database: each question answers with what breaks it.

mod at_stripe;
mod claims;
mod log;
mod pending;
mod rows;

use crate::report::{Invariant, Report, TOLD_MAX, Violation};
use sqlx::PgConnection;

/// A question: rows of merchant, place, position and what is wrong.
pub(crate) struct Check {
    pub invariant: Invariant,
    pub sql: String,
}

impl Check {
    pub fn new(invariant: Invariant, sql: impl Into<String>) -> Self {
        Self {
            invariant,
            sql: sql.into(),
        }
    }
}

#[derive(sqlx::FromRow)]
struct Found {
    merchant: Option<String>,
    at: Option<String>,
    position: Option<i64>,
    what: String,
}

/// What is known to the run that asks.
pub(crate) struct Asked {
    /// Stripe's side was read.
    pub stripe: bool,
    /// Nothing may be pending any more.
    pub settled: bool,
    /// There is a list of what was acknowledged.
    pub acknowledged: bool,
}

/// Asks every question that can be asked.
pub(crate) async fn ask(
    connection: &mut PgConnection,
    asked: &Asked,
    report: &mut Report,
) -> Result<(), sqlx::Error> {
    let mut checks = [log::checks(), claims::checks(), rows::checks()].concat_all();
    if asked.acknowledged {
        checks.extend(crate::acknowledged::checks());
    }
    if asked.stripe {
        checks.extend(at_stripe::checks());
    }
    if asked.settled {
        checks.extend(pending::checks(asked.stripe));
    }
    for check in checks {
        answers(connection, &check, report).await?;
    }
    count(connection, asked, report).await
}

trait ConcatAll {
    fn concat_all(self) -> Vec<Check>;
}

impl<const N: usize> ConcatAll for [Vec<Check>; N] {
    fn concat_all(self) -> Vec<Check> {
        self.into_iter().flatten().collect()
    }
}

async fn answers(
    connection: &mut PgConnection,
    check: &Check,
    report: &mut Report,
) -> Result<(), sqlx::Error> {
    // One more than are told, so that the count says that there are more. The planner must not know of the limit: it takes most of
    // what it joins for violations, and would look for the first of them row by row, in vain.
    let sql = format!(
        "with it as materialized ({})
         select it.merchant::text, it.at::text, it.position::bigint, it.what::text from it limit {}",
        check.sql,
        TOLD_MAX + 1
    );
    let found: Vec<Found> = sqlx::query_as(&sql).fetch_all(connection).await?;
    for it in found {
        report.add(Violation {
            invariant: check.invariant,
            merchant: it.merchant,
            at: it.at,
            position: it.position,
            what: it.what,
        });
    }
    Ok(())
}

/// How much was looked at.
async fn count(
    connection: &mut PgConnection,
    asked: &Asked,
    report: &mut Report,
) -> Result<(), sqlx::Error> {
    use Invariant as I;
    let mut counts = vec![
        (I::I2, "claims", "claims"),
        (I::I3, "intentions", "audit_intentions"),
        (I::I4, "objects", "audit_stripe_ids"),
        (I::I5, "lines", "journal"),
        (I::I6, "payments", "audit_payments"),
        (I::I6, "orders", "audit_orders"),
        (I::I7, "streams", "audit_streams"),
        (I::I8, "payments", "payments"),
        (I::I8, "orders", "orders"),
        (I::I8, "refunds", "refunds"),
        (I::I8, "requests", "stripe_requests"),
        (I::I8, "payouts", "payouts"),
        (I::I8, "balance transactions", "balance_transactions"),
        (I::I8, "bank lines", "bank_lines"),
        (I::I8, "journal lines", "journal"),
        (I::I8, "balances", "balances"),
        (I::I10, "references", "audit_links"),
    ];
    if asked.acknowledged {
        counts.push((I::I1, "acknowledged", "audit_acknowledged"));
    }
    if asked.stripe {
        counts.push((I::I3, "objects at Stripe", "audit_at_stripe"));
        counts.push((I::I3, "calls seen at Stripe", "audit_calls"));
    }
    if asked.settled {
        counts.push((I::I12, "intentions", "audit_intentions"));
    }
    for (invariant, what, table) in counts {
        let sql = format!("select count(*) from {table}");
        let many: i64 = sqlx::query_scalar(&sql).fetch_one(&mut *connection).await?;
        report.count(invariant, what, u64::try_from(many).unwrap_or_default());
    }
    Ok(())
}
