//! What several instances work on: a lease gives a row to one of them at a time, until it is given back or runs out. A renewed
//! lease lasts as long as its holder lives; what a dead one held is anybody's soon. All times are the database's.
//!
//! Every table of such rows has `lease`, `leased_until` and `next_at` (when it is due) beside columns of its own.

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{PgPool, Postgres};
use std::time::Duration;

macro_rules! free {
    () => {
        "(lease is null or leased_until <= statement_timestamp())"
    };
}

/// SQL: nobody holds the row.
pub(super) const FREE: &str = free!();
/// SQL: the row is due, and nobody holds it.
pub(super) const DUE: &str = concat!("next_at <= statement_timestamp() and ", free!());
/// SQL, after `set`: nobody holds the row any more.
pub(super) const LET_GO: &str = "lease = null, leased_until = null";

/// SQL, after `set`: the row's lease lasts for so many seconds from now on, which this parameter holds.
pub(super) fn lasting(seconds: &str) -> String {
    format!("leased_until = statement_timestamp() + make_interval(secs => {seconds})")
}

/// SQL, after `set`: the row is nobody's, and due when the seconds that this parameter holds are over; never, if they are null.
pub(super) fn given_back(seconds: &str) -> String {
    format!("{LET_GO}, next_at = clock_timestamp() + make_interval(secs => {seconds})")
}

/// A table of rows that are leased, and the columns that name one of them.
pub(super) struct Leases {
    pub table: &'static str,
    pub key: &'static [&'static str],
}

impl Leases {
    /// A statement that leases the rows that `due` selects and locks, under the lease `$1`, for `$2` seconds. `besides`: what else
    /// it sets. What it returns may come of the row, `it`, and of what was selected, `due`.
    pub fn take(&self, due: &str, besides: &str, returning: &str) -> String {
        let (table, lasting) = (self.table, lasting("$2"));
        let same: Vec<String> = self
            .key
            .iter()
            .map(|column| format!("it.{column} = due.{column}"))
            .collect();
        let same = same.join(" and ");
        format!(
            "with due as materialized ({due})
             update {table} it set lease = $1, {lasting}{besides} from due where {same} returning {returning}"
        )
    }

    /// SQL: the row that `$2` and what follows it name, as long as it is held under the lease `$1`.
    pub fn held(&self) -> String {
        let named = self.key.iter().zip(2..);
        let named: String = named
            .map(|(column, number)| format!(" and {column} = ${number}"))
            .collect();
        format!("lease = $1{named}")
    }
}

/// A row that is this instance's, for as long as its lease lasts.
pub(super) trait Leased {
    const LEASES: Leases;

    /// The statement, with the lease and the row's key as its first parameters.
    fn bound<'q>(&'q self, sql: &'q str) -> Query<'q, Postgres, PgArguments>;
}

/// Makes the leases last for `lease_for` from now on. One that ran out and is another's stays that.
///
/// # Errors
/// When the database cannot be written: then another instance may do the same work as well, once they run out.
pub(super) async fn renew<T: Leased>(
    pool: &PgPool,
    held: &[T],
    lease_for: Duration,
) -> Result<(), sqlx::Error> {
    let Leases { table, key } = T::LEASES;
    let lasting = lasting(&format!("${}", key.len() + 2));
    let renewed = format!("update {table} set {lasting} where {}", T::LEASES.held());
    let mut transaction = pool.begin().await?;
    for it in held {
        let renewed = it.bound(&renewed).bind(lease_for.as_secs_f64());
        renewed.execute(&mut *transaction).await?;
    }
    transaction.commit().await
}
