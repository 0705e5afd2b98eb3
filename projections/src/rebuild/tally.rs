//! Sums over the rows of both sides: where they are the same, so are the rows, and none has to be put beside another.

use super::checksum::Checksum;
use super::compare::{Side, Sides};
use eventstore::Table;
use futures::TryStreamExt;
use sqlx::{PgConnection, Row};
use std::collections::{BTreeMap, BTreeSet};

/// One merchant's rows: what a certificate says of them, and the same sum with a salt, at which nobody can have aimed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    side: Side,
    salted: Checksum,
}

/// The merchants of a table.
pub(super) struct Tallied {
    /// Those whose rows are the same on both sides.
    pub same: Vec<(String, Side)>,
    pub different: Vec<String>,
}

/// Counts the rows of both sides together. Every live row counts, however late.
pub(super) async fn of(
    table: &Table,
    sides: Sides<'_>,
    live: &mut PgConnection,
    rebuilt: &mut PgConnection,
) -> Result<Tallied, sqlx::Error> {
    let salt: Vec<u8> = sqlx::query_scalar("select uuid_send(gen_random_uuid())")
        .fetch_one(&mut *rebuilt)
        .await?;
    let (of_live, of_rebuilt) = sides.conditions(table);
    let of_live = tally_sql(table.name, &of_live);
    let of_rebuilt = tally_sql(sides.rebuilt, &of_rebuilt);
    let (merchant, salt) = (sides.merchant, &*salt);
    let (of_live, of_rebuilt) = tokio::try_join!(
        tallies(&of_live, (sides.live_up_to, merchant, salt), live),
        tallies(&of_rebuilt, (sides.rebuilt_up_to, merchant, salt), rebuilt)
    )?;
    Ok(told_apart(of_live, of_rebuilt))
}

fn told_apart(mut live: BTreeMap<String, Tally>, mut rebuilt: BTreeMap<String, Tally>) -> Tallied {
    let (mut same, mut different) = (Vec::new(), Vec::new());
    let merchants: BTreeSet<String> = live.keys().chain(rebuilt.keys()).cloned().collect();
    for merchant in merchants {
        match (live.remove(&merchant), rebuilt.remove(&merchant)) {
            (Some(live), Some(rebuilt)) if live == rebuilt => same.push((merchant, live.side)),
            _ => different.push(merchant),
        }
    }
    Tallied { same, different }
}

/// Each row's text is made once.
fn tally_sql(name: &str, condition: &str) -> String {
    format!(
        "SELECT merchant, sha256(told), sha256($3 || told) FROM (SELECT t.merchant, convert_to(t::text, 'UTF8') AS told \
         FROM {name} AS t WHERE {condition} AND ($2::text IS NULL OR t.merchant = $2) OFFSET 0) AS of"
    )
}

async fn tallies(
    sql: &str,
    (up_to, merchant, salt): (i64, Option<&str>, &[u8]),
    connection: &mut PgConnection,
) -> Result<BTreeMap<String, Tally>, sqlx::Error> {
    let query = sqlx::query(sql).bind(up_to).bind(merchant).bind(salt);
    let mut rows = query.persistent(false).fetch(connection);
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    while let Some(row) = rows.try_next().await? {
        let merchant: &str = row.try_get(0)?;
        let tally = match tallies.get_mut(merchant) {
            Some(tally) => tally,
            None => tallies.entry(merchant.to_owned()).or_default(),
        };
        tally.side.add(&hash(&row, 1)?);
        tally.salted.add(&hash(&row, 2)?);
    }
    Ok(tallies)
}

fn hash(row: &sqlx::postgres::PgRow, column: usize) -> Result<[u8; 32], sqlx::Error> {
    let bytes: &[u8] = row.try_get(column)?;
    bytes
        .try_into()
        .map_err(|error| sqlx::Error::Decode(Box::new(error)))
}
