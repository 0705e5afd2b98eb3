//! Live rows beside rebuilt ones, at one position of the log, in constant memory: told by sums where they are the same, and read in the
//! order of their keys where they are not.

use super::checksum::Checksum;
use super::tally;
use eventstore::{Kind, Table};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use serde_json::{Map, Value};
use sqlx::{PgConnection, Row};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// How many differences of a merchant's rows in a table are listed; all are counted.
const LISTED_MAX: usize = 50;
/// Of so many merchants the rows are looked at one merchant at a time; where more have differences, all rows are.
const FEW: usize = 8;

/// A table's rows, live and rebuilt, merchant by merchant.
#[derive(Debug, Default)]
pub struct Compared {
    pub merchants: BTreeMap<String, Slice>,
    pub listed: Vec<Difference>,
}

/// One merchant's rows of a table.
#[derive(Debug, Default)]
pub struct Slice {
    pub live: Side,
    pub rebuilt: Side,
    /// Rows that are missing, surplus, or differ.
    pub differences: i64,
    /// Rebuilt rows whose live ones were changed by later events: there is nothing to compare them with.
    pub changed_since: i64,
    listed: usize,
}

/// How many rows there are, and the sum over them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Side {
    pub rows: i64,
    pub checksum: Checksum,
}

/// A row that is not as it would be rebuilt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub merchant: String,
    /// The key's columns, as texts.
    pub key: Vec<String>,
    pub what: What,
}

/// What is the matter with a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Only the events know it: the row as rebuilt.
    Missing(Value),
    /// The events do not know it: the row as it is live.
    Surplus(Value),
    /// Columns that differ: name, live, rebuilt.
    Differs(Vec<(String, Value, Value)>),
}

/// What there is to say of a difference: a line for the row, or for each column of it that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told<'a> {
    /// `missing`, `surplus` or `differs`.
    pub what: &'static str,
    pub column: Option<&'a str>,
    pub live: Option<&'a Value>,
    pub rebuilt: Option<&'a Value>,
}

impl Difference {
    /// The key, by the names of its columns.
    pub fn row_key(&self, table: &Table) -> Map<String, Value> {
        let key = table.key.iter().zip(&self.key);
        key.map(|(column, value)| ((*column).to_owned(), value.as_str().into()))
            .collect()
    }

    pub fn told(&self) -> Vec<Told<'_>> {
        let told = |what, column, live, rebuilt| Told {
            what,
            column,
            live,
            rebuilt,
        };
        match &self.what {
            What::Missing(rebuilt) => vec![told("missing", None, None, Some(rebuilt))],
            What::Surplus(live) => vec![told("surplus", None, Some(live), None)],
            What::Differs(columns) => columns
                .iter()
                .map(|(column, live, rebuilt)| {
                    told("differs", Some(column), Some(live), Some(rebuilt))
                })
                .collect(),
        }
    }
}

/// What is compared with what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sides<'a> {
    /// The name of the table of rebuilt rows.
    pub rebuilt: &'a str,
    /// Whose rows; everybody's where nobody is named.
    pub merchant: Option<&'a str>,
    /// The column that says which event left a row as it is.
    pub column: &'static str,
    /// What a later one left is live and is not compared.
    pub live_up_to: i64,
    /// What a later one left is rebuilt and does not count.
    pub rebuilt_up_to: i64,
}

impl Sides<'_> {
    /// Which live rows are read, and which rebuilt ones; `$1` is up to where.
    pub(super) fn conditions(&self, table: &Table) -> (String, String) {
        let upto = format!("t.{} <= $1", self.column);
        // Where it is a part of the key, a later row is another row, and not a row that has changed since.
        let all = if table.key.contains(&self.column) {
            upto.clone()
        } else {
            "true".to_owned()
        };
        (all, upto)
    }
}

/// Reads and compares. `live` is a transaction whose snapshot shows the log's head at or beyond the position that the rebuilt
/// rows stand at.
pub(super) async fn compare(
    table: &Table,
    sides: Sides<'_>,
    live: &mut PgConnection,
    rebuilt: &mut PgConnection,
) -> Result<Compared, sqlx::Error> {
    // A live row that has changed since counts on neither side: each has to be seen beside its like.
    if sides.live_up_to < i64::MAX {
        return in_order(table, sides, live, rebuilt).await;
    }
    let tallied = tally::of(table, sides, live, rebuilt).await?;
    if tallied.different.len() > FEW {
        return in_order(table, sides, live, rebuilt).await;
    }
    let mut compared = Compared::same(tallied.same);
    for merchant in &tallied.different {
        let of_merchant = Sides {
            merchant: Some(merchant),
            ..sides
        };
        let found = in_order(table, of_merchant, live, rebuilt).await?;
        compared.merchants.extend(found.merchants);
        compared.listed.extend(found.listed);
    }
    Ok(compared)
}

/// Puts each row beside its like.
async fn in_order(
    table: &Table,
    sides: Sides<'_>,
    live: &mut PgConnection,
    rebuilt: &mut PgConnection,
) -> Result<Compared, sqlx::Error> {
    let mut compared = Compared::default();
    let mut wrong = Vec::new();
    {
        let (of_live, of_rebuilt) = sides.conditions(table);
        let of_live = lines_sql(table, table.name, sides.column, &of_live);
        let of_rebuilt = lines_sql(table, sides.rebuilt, sides.column, &of_rebuilt);
        let whose = sides.merchant;
        let mut left = Lines::read(&of_live, (sides.live_up_to, whose), live).await?;
        let mut right = Lines::read(&of_rebuilt, (sides.rebuilt_up_to, whose), rebuilt).await?;
        loop {
            let order = match (&left.next, &right.next) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(live), Some(rebuilt)) => live.key.cmp(&rebuilt.key),
            };
            let live = match order {
                Ordering::Less | Ordering::Equal => left.advance().await?,
                Ordering::Greater => None,
            };
            let rebuilt = match order {
                Ordering::Greater | Ordering::Equal => right.advance().await?,
                Ordering::Less => None,
            };
            wrong.extend(compared.count(live, rebuilt));
        }
    }
    for (merchant, key) in wrong {
        let what = what(table, sides.rebuilt, &key, live, rebuilt).await?;
        compared.listed.push(Difference {
            merchant,
            key,
            what,
        });
    }
    Ok(compared)
}

impl Compared {
    /// Merchants whose rows are the same on both sides.
    fn same(merchants: impl IntoIterator<Item = (String, Side)>) -> Self {
        let slices = merchants.into_iter().map(|(merchant, side)| {
            let slice = Slice {
                live: side,
                rebuilt: side,
                ..Slice::default()
            };
            (merchant, slice)
        });
        Self {
            merchants: slices.collect(),
            listed: Vec::new(),
        }
    }

    /// Counts a row of one side or of both; answers its merchant and key where it is to be listed.
    fn count(
        &mut self,
        live: Option<Line>,
        rebuilt: Option<Line>,
    ) -> Option<(String, Vec<String>)> {
        let same = live.as_ref().map(|it| it.hash) == rebuilt.as_ref().map(|it| it.hash);
        let either = rebuilt.as_ref().or(live.as_ref())?;
        let slice = self.merchants.entry(either.merchant.clone()).or_default();
        slice.live.count(live.as_ref());
        slice.rebuilt.count(rebuilt.as_ref());
        if live.as_ref().is_some_and(|it| it.hash.is_none()) {
            slice.changed_since += i64::from(rebuilt.is_some());
            return None;
        }
        if same {
            return None;
        }
        slice.differences += 1;
        slice.listed += 1;
        let found = rebuilt.or(live).filter(|_| slice.listed <= LISTED_MAX)?;
        Some((found.merchant, found.key))
    }

    /// Over all merchants.
    pub fn differences(&self) -> i64 {
        self.merchants.values().map(|it| it.differences).sum()
    }
}

impl Side {
    fn count(&mut self, line: Option<&Line>) {
        if let Some(hash) = line.and_then(|it| it.hash) {
            self.add(&hash);
        }
    }

    /// Counts a row in, by the hash of its text.
    pub(super) fn add(&mut self, hash: &[u8; 32]) {
        self.rows += 1;
        self.checksum.add(hash);
    }
}

/// A row: whose it is, its key, and the hash of its text; none where it has changed since.
struct Line {
    merchant: String,
    key: Vec<String>,
    hash: Option<[u8; 32]>,
}

struct Lines<'a> {
    rest: BoxStream<'a, Result<Line, sqlx::Error>>,
    next: Option<Line>,
}

impl<'a> Lines<'a> {
    async fn read(
        sql: &'a str,
        (up_to, merchant): (i64, Option<&'a str>),
        connection: &'a mut PgConnection,
    ) -> Result<Self, sqlx::Error> {
        let query = sqlx::query(sql).bind(up_to).bind(merchant);
        let rows = query.persistent(false).fetch(connection);
        let mut rest = rows.map(|row| line(&row?)).boxed();
        let next = rest.try_next().await?;
        Ok(Self { rest, next })
    }

    async fn advance(&mut self) -> Result<Option<Line>, sqlx::Error> {
        let next = self.rest.try_next().await?;
        Ok(std::mem::replace(&mut self.next, next))
    }
}

fn line(row: &sqlx::postgres::PgRow) -> Result<Line, sqlx::Error> {
    let hash: Option<&[u8]> = row.try_get(2)?;
    let hash = hash.map(<[u8; 32]>::try_from).transpose();
    Ok(Line {
        merchant: row.try_get(0)?,
        key: row.try_get(1)?,
        hash: hash.map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
    })
}

/// The rows of a table, in the order of their keys' bytes.
fn lines_sql(table: &Table, name: &str, column: &str, condition: &str) -> String {
    let texts: Vec<String> = table.key.iter().map(|it| format!("t.{it}::text")).collect();
    let order: Vec<String> = texts
        .iter()
        .map(|it| format!("{it} COLLATE \"C\""))
        .collect();
    format!(
        "SELECT t.merchant, ARRAY[{}], CASE WHEN t.{column} <= $1 THEN sha256(convert_to(t::text, 'UTF8')) END \
         FROM {name} AS t WHERE {condition} AND ($2::text IS NULL OR t.merchant = $2) ORDER BY {}",
        texts.join(", "),
        order.join(", ")
    )
}

async fn what(
    table: &Table,
    name: &str,
    key: &[String],
    live: &mut PgConnection,
    rebuilt: &mut PgConnection,
) -> Result<What, sqlx::Error> {
    let live = whole_row(table, table.name, key, live).await?;
    let rebuilt = whole_row(table, name, key, rebuilt).await?;
    Ok(match (live, rebuilt) {
        (Some(live), None) => What::Surplus(Value::Object(live)),
        (None, rebuilt) => What::Missing(Value::Object(rebuilt.unwrap_or_default())),
        (Some(live), Some(rebuilt)) => What::Differs(columns(live, rebuilt)),
    })
}

fn columns(
    live: Map<String, Value>,
    mut rebuilt: Map<String, Value>,
) -> Vec<(String, Value, Value)> {
    let both = live.into_iter().map(|(name, live)| {
        let rebuilt = rebuilt.remove(&name).unwrap_or_default();
        (name, live, rebuilt)
    });
    let mut differing: Vec<_> = both.filter(|(_, live, rebuilt)| live != rebuilt).collect();
    differing.sort_by(|(one, ..), (other, ..)| one.cmp(other));
    differing
}

async fn whole_row(
    table: &Table,
    name: &str,
    key: &[String],
    connection: &mut PgConnection,
) -> Result<Option<Map<String, Value>>, sqlx::Error> {
    let kind_of = |column: &str| {
        let mut columns = table.columns.iter();
        columns.find(|it| it.name == column).map(|it| it.kind)
    };
    let is = |(at, column): (usize, &&str)| {
        let cast = match kind_of(column) {
            Some(Kind::Uuid) => "uuid",
            Some(Kind::Int8) => "bigint",
            _ => "text",
        };
        format!("t.{column} = ${}::text::{cast}", at + 1)
    };
    let conditions: Vec<String> = table.key.iter().enumerate().map(is).collect();
    let sql = format!(
        "SELECT to_jsonb(t) FROM {name} AS t WHERE {}",
        conditions.join(" AND ")
    );
    let query = key
        .iter()
        .fold(sqlx::query_scalar(&sql), |query, it| query.bind(it));
    let found: Option<sqlx::types::Json<Map<String, Value>>> =
        query.fetch_optional(connection).await?;
    Ok(found.map(|it| it.0))
}
