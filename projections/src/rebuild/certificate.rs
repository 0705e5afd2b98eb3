//! What is kept of a rebuild: who asked for what, how far it is, what it found, how it ended.

use super::compare::{Compared, Difference};
use super::{Projection, RebuildError};
use eventstore::Table;
use serde_json::Value;
use sqlx::{Executor, PgConnection};
use std::collections::HashMap;
use uuid::Uuid;

/// A rebuild that somebody asks for.
#[derive(Debug, Clone)]
pub struct Order {
    pub id: Uuid,
    pub dry_run: bool,
    /// Who asks, in the words of an event's actor.
    pub started_by: String,
    /// Whose key they ask with; none on the command line.
    pub merchant: Option<String>,
    /// The version of the program.
    pub program: String,
    pub projections: Vec<Projection>,
}

/// How a rebuild ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The live rows are what they would be rebuilt as: nothing was put in their place.
    Identical,
    /// So many rows are not; it was a dry run.
    Different { differences: i64 },
    /// So many rows were not, and the rebuilt ones have taken their place, at this position.
    Swapped { differences: i64, position: i64 },
}

/// Ends the records of rebuilds that were killed. Whoever calls holds the lock: none of them runs any more.
pub(super) async fn abandon(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let end = "begin; update rebuilds set state = 'abandoned', error = 'it was killed', ended_at = clock_timestamp()
               where state = 'running'; commit";
    connection.execute(end).await?;
    Ok(())
}

/// False where it is recorded already.
pub(super) async fn begin(
    connection: &mut PgConnection,
    order: &Order,
    head: i64,
) -> Result<bool, sqlx::Error> {
    let versioned: Vec<String> = order
        .projections
        .iter()
        .map(Projection::versioned)
        .collect();
    connection.execute("begin").await?;
    let recorded = sqlx::query(
        "insert into rebuilds (id, projections, dry_run, program, started_by, merchant, state, step, head)
         values ($1, $2, $3, $4, $5, $6, 'running', 'filling', $7) on conflict (id) do nothing",
    )
    .bind(order.id)
    .bind(versioned)
    .bind(order.dry_run)
    .bind(&order.program)
    .bind(&order.started_by)
    .bind(&order.merchant)
    .bind(head)
    .execute(&mut *connection)
    .await?;
    connection.execute("commit").await?;
    Ok(recorded.rows_affected() > 0)
}

pub(super) async fn step(
    connection: &mut PgConnection,
    order: &Order,
    step: &str,
) -> Result<(), sqlx::Error> {
    connection.execute("begin").await?;
    sqlx::query("update rebuilds set step = $2 where id = $1")
        .bind(order.id)
        .bind(step)
        .execute(&mut *connection)
        .await?;
    connection.execute("commit").await?;
    Ok(())
}

/// In the transaction that filled it.
pub(super) async fn filled(
    connection: &mut PgConnection,
    order: &Order,
    position: i64,
    head: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query("update rebuilds set filled_to = $2, head = $3 where id = $1")
        .bind(order.id)
        .bind(position)
        .bind(head)
        .execute(connection)
        .await?;
    Ok(())
}

/// Keeps what the comparison at `position` found; `ledgers` is where each merchant's ledger stood there.
pub(super) async fn keep(
    connection: &mut PgConnection,
    order: &Order,
    (position, ledgers): (i64, &HashMap<String, i64>),
    found: &[(Table, Compared)],
) -> Result<(), sqlx::Error> {
    connection.execute("begin").await?;
    for (table, compared) in found {
        keep_table(connection, order, ledgers, table, compared).await?;
    }
    keep_differences(connection, order, found).await?;
    sqlx::query("update rebuilds set compared_at = $2 where id = $1")
        .bind(order.id)
        .bind(position)
        .execute(&mut *connection)
        .await?;
    connection.execute("commit").await?;
    Ok(())
}

async fn keep_table(
    connection: &mut PgConnection,
    order: &Order,
    ledgers: &HashMap<String, i64>,
    table: &Table,
    compared: &Compared,
) -> Result<(), sqlx::Error> {
    let slices = || compared.merchants.iter();
    let merchants: Vec<&str> = slices().map(|(merchant, _)| merchant.as_str()).collect();
    let stood = |merchant: &str| ledgers.get(merchant).copied().unwrap_or(0);
    let positions: Vec<i64> = merchants.iter().map(|it| stood(it)).collect();
    let live: Vec<i64> = slices().map(|(_, it)| it.live.rows).collect();
    let rebuilt: Vec<i64> = slices().map(|(_, it)| it.rebuilt.rows).collect();
    let of_live: Vec<&[u8]> = slices()
        .map(|(_, it)| &it.live.checksum.bytes()[..])
        .collect();
    let of_rebuilt = slices().map(|(_, it)| &it.rebuilt.checksum.bytes()[..]);
    let of_rebuilt: Vec<&[u8]> = of_rebuilt.collect();
    let differences: Vec<i64> = slices().map(|(_, it)| it.differences).collect();
    sqlx::query(
        "insert into rebuild_tables (rebuild, table_name, merchant, ledger_position, live_rows, rebuilt_rows,
                                     live_checksum, rebuilt_checksum, differences)
         select $1, $2, it.* from unnest($3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bytea[], $8::bytea[],
                                         $9::bigint[]) as it",
    )
    .bind(order.id)
    .bind(table.name)
    .bind(merchants)
    .bind(positions)
    .bind(live)
    .bind(rebuilt)
    .bind(of_live)
    .bind(of_rebuilt)
    .bind(differences)
    .execute(connection)
    .await?;
    Ok(())
}

/// The rows of differences, column by column.
#[derive(Default)]
struct Listed<'a> {
    number: Vec<i32>,
    table: Vec<&'a str>,
    merchant: Vec<&'a str>,
    key: Vec<Value>,
    what: Vec<&'a str>,
    column: Vec<Option<&'a str>>,
    live: Vec<Option<&'a Value>>,
    rebuilt: Vec<Option<&'a Value>>,
}

impl<'a> Listed<'a> {
    fn push(&mut self, table: &'a Table, it: &'a Difference) {
        let key = it.row_key(table);
        for line in it.told() {
            let number = i32::try_from(self.number.len()).unwrap_or(i32::MAX);
            self.number.push(number.saturating_add(1));
            self.table.push(table.name);
            self.merchant.push(&it.merchant);
            self.key.push(Value::Object(key.clone()));
            self.what.push(line.what);
            self.column.push(line.column);
            self.live.push(line.live);
            self.rebuilt.push(line.rebuilt);
        }
    }
}

async fn keep_differences(
    connection: &mut PgConnection,
    order: &Order,
    found: &[(Table, Compared)],
) -> Result<(), sqlx::Error> {
    let mut listed = Listed::default();
    for (table, compared) in found {
        for it in &compared.listed {
            listed.push(table, it);
        }
    }
    if listed.number.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into rebuild_differences (rebuild, number, table_name, merchant, row_key, what, column_name, live, rebuilt)
         select $1, it.* from unnest($2::int[], $3::text[], $4::text[], $5::jsonb[], $6::text[], $7::text[], $8::jsonb[],
                                     $9::jsonb[]) as it",
    )
    .bind(order.id)
    .bind(listed.number)
    .bind(listed.table)
    .bind(listed.merchant)
    .bind(listed.key)
    .bind(listed.what)
    .bind(listed.column)
    .bind(listed.live)
    .bind(listed.rebuilt)
    .execute(connection)
    .await?;
    Ok(())
}

/// In the transaction that swaps.
pub(super) async fn swapped(
    connection: &mut PgConnection,
    order: &Order,
    position: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update rebuilds set state = 'swapped', step = 'done', swapped_at = $2, filled_to = $2, head = $2,
                ended_at = clock_timestamp() where id = $1",
    )
    .bind(order.id)
    .bind(position)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn end(
    connection: &mut PgConnection,
    order: &Order,
    outcome: Outcome,
) -> Result<(), sqlx::Error> {
    let state = match outcome {
        Outcome::Identical => "identical",
        Outcome::Different { .. } => "different",
        // Recorded with the swap itself.
        Outcome::Swapped { .. } => return Ok(()),
    };
    finish(connection, order, state, None).await
}

pub(super) async fn fail(
    connection: &mut PgConnection,
    order: &Order,
    error: &RebuildError,
) -> Result<(), sqlx::Error> {
    // Whatever was under way is of no use. Where nothing was, this is a warning that nobody sees.
    connection.execute("rollback").await?;
    let state = match error {
        RebuildError::CalledOff => "abandoned",
        _ => "failed",
    };
    finish(connection, order, state, Some(&error.to_string())).await
}

async fn finish(
    connection: &mut PgConnection,
    order: &Order,
    state: &str,
    error: Option<&str>,
) -> Result<(), sqlx::Error> {
    connection.execute("begin").await?;
    sqlx::query(
        "update rebuilds set state = $2, step = 'done', error = $3, ended_at = clock_timestamp()
         where id = $1 and state = 'running'",
    )
    .bind(order.id)
    .bind(state)
    .bind(error)
    .execute(&mut *connection)
    .await?;
    connection.execute("commit").await?;
    Ok(())
}
