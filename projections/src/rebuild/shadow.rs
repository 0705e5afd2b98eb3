//! The shadow of a live table: made, filled, and put in its place.

use super::RebuildError;
use crate::journal;
use eventstore::{NewRows, RowFold, StoreError, Tables};
use sqlx::{Executor, PgConnection};

use super::refold::Change;

/// What a shadow is called.
pub(super) fn shadow(table: &str) -> String {
    format!("rebuild.{table}")
}

/// Removes what a rebuild that was killed has left.
pub(super) async fn clear(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let left: Vec<String> = sqlx::query_scalar(
        "select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname = 'rebuild' and c.relkind = 'r' order by 1",
    )
    .fetch_all(&mut *connection)
    .await?;
    if left.is_empty() {
        return Ok(());
    }
    let drop = format!("begin; drop table {}; commit", left.join(", "));
    connection.execute(&*drop).await?;
    Ok(())
}

/// Empty shadows of the tables.
pub(super) async fn make(
    connection: &mut PgConnection,
    tables: &Tables,
) -> Result<(), sqlx::Error> {
    connection.execute("begin").await?;
    for table in tables.as_slice() {
        sqlx::query("select rebuild.make_shadow(to_regclass($1))")
            .bind(table.name)
            .execute(&mut *connection)
            .await?;
    }
    connection.execute("commit").await?;
    Ok(())
}

/// The indexes of shadows that are full, and statistics for the planner.
pub(super) async fn index(
    connection: &mut PgConnection,
    tables: &Tables,
) -> Result<(), sqlx::Error> {
    for table in tables.as_slice() {
        connection.execute("begin").await?;
        sqlx::query("select rebuild.index_shadow(to_regclass($1))")
            .bind(table.name)
            .execute(&mut *connection)
            .await?;
        let analyze = format!("analyze {}; commit", shadow(table.name));
        connection.execute(&*analyze).await?;
    }
    Ok(())
}

/// Writes the changes of these tables, coalesced, in the transaction that is open, into the tables that `name` gives for them. The
/// journal's lines are not coalesced: no two events touch one.
pub(super) async fn write(
    connection: &mut PgConnection,
    tables: &Tables,
    changes: &[Change],
    name: fn(&str) -> String,
) -> Result<(), RebuildError> {
    let mut fold = RowFold::new(tables);
    let mut lines = NewRows::of(&journal::TABLE);
    let wanted = |it: &&Change| {
        tables
            .as_slice()
            .iter()
            .any(|table| table.name == it.row.table)
    };
    for it in changes.iter().filter(wanted) {
        if it.row.table == journal::TABLE.name {
            lines.push(&it.row, it.position, it.recorded_at);
            continue;
        }
        fold.push(&it.row, it.position, it.recorded_at)
            .map_err(|error| RebuildError::Store(StoreError::Invalid(error.to_string())))?;
    }
    fold.write(connection, name).await?;
    Ok(lines.write(connection, &name(journal::TABLE.name)).await?)
}

/// Puts the shadows in the places of the live tables, in the transaction that is open and holds them.
pub(super) async fn take_places(
    connection: &mut PgConnection,
    tables: &Tables,
) -> Result<(), sqlx::Error> {
    for table in tables.as_slice() {
        let name = table.name;
        let schema: String = sqlx::query_scalar(
            "select relnamespace::regnamespace::text from pg_class where oid = to_regclass($1)",
        )
        .bind(name)
        .fetch_one(&mut *connection)
        .await?;
        let exchange = format!(
            "drop table {schema}.{name}; alter table {} set schema {schema}",
            shadow(name)
        );
        connection.execute(&*exchange).await?;
    }
    Ok(())
}
