//! Folding row changes into as few upserts as there are rows: the one code path of the live append and of a rebuild.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgArguments;
use sqlx::{Arguments, PgConnection};

use crate::StoreError;
use crate::rows::{Column, Kind, Merge, RowChange, Table, Value};

/// The read-model tables that the log folds rows into.
#[derive(Debug, Clone)]
pub struct Tables(Arc<[Table]>);

impl Tables {
    /// Checks the declarations.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when a name is not a plain identifier or is used twice, a key's column is missing, or a
    /// column that adds is not [`Kind::Int8`].
    pub fn new(tables: Vec<Table>) -> Result<Self, StoreError> {
        if tables.len() > 64 {
            return Err(invalid("more than 64 tables"));
        }
        for (index, table) in tables.iter().enumerate() {
            check_table(table)?;
            if tables[..index].iter().any(|other| other.name == table.name) {
                return Err(invalid(&format!("table {} is declared twice", table.name)));
            }
        }
        Ok(Self(tables.into()))
    }

    /// The tables in the order of their declaration.
    pub fn as_slice(&self) -> &[Table] {
        &self.0
    }

    fn index_of(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|table| table.name == name)
    }

    /// Checks that a change fits its table.
    pub(crate) fn check(&self, change: &RowChange) -> Result<(), String> {
        let name = change.table;
        let index = self
            .index_of(name)
            .ok_or_else(|| format!("no table {name}"))?;
        let table = &self.0[index];
        if change.values.len() != table.columns.len() {
            return Err(format!("{name} has {} columns", table.columns.len()));
        }
        for (column, value) in table.columns.iter().zip(&change.values) {
            check_value(table, column, value)?;
        }
        Ok(())
    }
}

fn check_table(table: &Table) -> Result<(), StoreError> {
    let columns = table.columns.iter().map(|column| column.name);
    for name in columns.chain([table.name]) {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if name.is_empty()
            || name.starts_with(|c: char| c.is_ascii_digit())
            || !name.chars().all(plain)
        {
            return Err(invalid(&format!("{name:?} is no plain name")));
        }
    }
    for (index, column) in table.columns.iter().enumerate() {
        if column.name == "position" || table.columns[..index].iter().any(|c| c.name == column.name)
        {
            return Err(invalid(&format!(
                "{}.{} is declared twice",
                table.name, column.name
            )));
        }
        if column.merge == Merge::Add && column.kind != Kind::Int8 {
            return Err(invalid(&format!(
                "{}.{} cannot add",
                table.name, column.name
            )));
        }
    }
    let missing = table
        .key
        .iter()
        .find(|key| !table.columns.iter().any(|c| c.name == **key));
    if table.key.is_empty() || missing.is_some() {
        return Err(invalid(&format!(
            "the key of {} is not among its columns",
            table.name
        )));
    }
    Ok(())
}

fn check_value(table: &Table, column: &Column, value: &Value) -> Result<(), String> {
    let fits = match value {
        Value::Null => !is_key(table, column) && column.merge != Merge::Add,
        Value::Text(text) => column.kind == Kind::Text && !text.contains('\0'),
        Value::Int8(_) => column.kind == Kind::Int8,
        Value::Uuid(_) => column.kind == Kind::Uuid,
        Value::Json(_) => matches!(column.kind, Kind::Json | Kind::Jsonb),
        Value::Bool(_) => column.kind == Kind::Bool,
        Value::Timestamptz(_) => column.kind == Kind::Timestamptz,
        // A key that no caller can know beforehand would be none.
        Value::RecordedAt => column.kind == Kind::Timestamptz && !is_key(table, column),
        Value::Bytea(_) => column.kind == Kind::Bytea,
    };
    if fits {
        return Ok(());
    }
    Err(format!("{}.{} does not hold that", table.name, column.name))
}

fn is_key(table: &Table, column: &Column) -> bool {
    table.key.contains(&column.name)
}

/// A sum of a [`Merge::Add`] column left the range of `bigint`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sum is out of range")]
pub struct SumOutOfRange;

/// Row changes, coalesced: one row per key, ordered by key, so that every writer locks rows in the same order and no
/// statement meets a row twice.
#[derive(Debug)]
pub struct RowFold<'a> {
    tables: &'a Tables,
    rows: Vec<BTreeMap<Vec<&'a Value>, FoldedRow<'a>>>,
}

#[derive(Debug)]
struct FoldedRow<'a> {
    values: Vec<Folded<'a>>,
    position: i64,
}

#[derive(Debug, Clone, Copy)]
enum Folded<'a> {
    Value(&'a Value),
    Sum(i64),
    Time(DateTime<Utc>),
}

impl<'a> Folded<'a> {
    fn new(value: &'a Value, recorded_at: DateTime<Utc>) -> Self {
        match value {
            Value::RecordedAt => Self::Time(recorded_at),
            value => Self::Value(value),
        }
    }
}

impl<'a> RowFold<'a> {
    /// Nothing folded yet.
    pub fn new(tables: &'a Tables) -> Self {
        let rows = tables.0.iter().map(|_| BTreeMap::new()).collect();
        Self { tables, rows }
    }

    /// Folds one change that the event at `position`, recorded at that time, makes; the changes of a row whose values are
    /// kept or replaced come in the order of their events, sums in any.
    ///
    /// # Errors
    /// [`SumOutOfRange`]; the fold is of no use then.
    ///
    /// # Panics
    /// When the change does not fit its table ([`Log::append`](crate::Log::append) has checked that it does).
    pub fn push(
        &mut self,
        change: &'a RowChange,
        position: i64,
        recorded_at: DateTime<Utc>,
    ) -> Result<(), SumOutOfRange> {
        let index = self
            .tables
            .index_of(change.table)
            .expect("the table is declared");
        let table = &self.tables.0[index];
        let key = table
            .columns
            .iter()
            .zip(&change.values)
            .filter(|(c, _)| is_key(table, c));
        let key = key.map(|(_, value)| value).collect();
        match self.rows[index].entry(key) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                let values = change.values.iter();
                let values = values.map(|it| Folded::new(it, recorded_at)).collect();
                entry.insert(FoldedRow { values, position });
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                let row = entry.get_mut();
                row.position = row.position.max(position);
                for ((column, old), new) in table
                    .columns
                    .iter()
                    .zip(&mut row.values)
                    .zip(&change.values)
                {
                    *old = merge(column.merge, *old, Folded::new(new, recorded_at))?;
                }
            }
        }
        Ok(())
    }

    /// Which tables have rows, as bits in the order of their declaration.
    pub(crate) fn touched(&self) -> u64 {
        let bits = self
            .rows
            .iter()
            .enumerate()
            .filter(|(_, rows)| !rows.is_empty());
        bits.fold(0, |mask, (index, _)| mask | 1 << index)
    }

    /// Adds the arguments that the upserts of the touched tables take, table by table.
    pub(crate) fn bind(&self, arguments: &mut PgArguments) -> Result<(), StoreError> {
        for (index, rows) in self
            .rows
            .iter()
            .enumerate()
            .filter(|(_, rows)| !rows.is_empty())
        {
            bind_rows(arguments, &self.tables.0[index], rows.values())?;
        }
        Ok(())
    }

    /// Upserts what was folded, into the tables whose names `rename` gives for the declared ones: a rebuild's shadow
    /// tables.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn write(
        &self,
        conn: &mut PgConnection,
        rename: impl Fn(&'static str) -> String,
    ) -> Result<(), StoreError> {
        for (index, rows) in self
            .rows
            .iter()
            .enumerate()
            .filter(|(_, rows)| !rows.is_empty())
        {
            let table = &self.tables.0[index];
            let mut arguments = PgArguments::default();
            bind_rows(&mut arguments, table, rows.values())?;
            let sql = table.upsert_sql(Some(&rename(table.name)));
            sqlx::query_with(&sql, arguments)
                .execute(&mut *conn)
                .await?;
        }
        Ok(())
    }
}

/// Rows that no event has touched before and none will touch again: those of a table to which rows are only added, for a rebuild.
/// They are told apart by nobody, so that they cost less than a [`RowFold`]'s.
#[derive(Debug)]
pub struct NewRows<'a> {
    table: &'a Table,
    rows: Vec<FoldedRow<'a>>,
}

impl<'a> NewRows<'a> {
    /// None yet.
    pub fn of(table: &'a Table) -> Self {
        Self {
            table,
            rows: Vec::new(),
        }
    }

    /// Takes the row that the event at `position`, recorded at that time, adds.
    pub fn push(&mut self, change: &'a RowChange, position: i64, recorded_at: DateTime<Utc>) {
        let values = change.values.iter();
        let values = values.map(|it| Folded::new(it, recorded_at)).collect();
        self.rows.push(FoldedRow { values, position });
    }

    /// Inserts them into the table of that name.
    ///
    /// # Errors
    /// When the database refuses; also where one of them was there.
    pub async fn write(&self, conn: &mut PgConnection, name: &str) -> Result<(), StoreError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let mut arguments = PgArguments::default();
        bind_rows(&mut arguments, self.table, self.rows.iter())?;
        let sql = self.table.insert(name, "", 1);
        sqlx::query_with(&sql, arguments)
            .execute(&mut *conn)
            .await?;
        Ok(())
    }
}

/// Binds the columns of all rows, and their positions.
fn bind_rows<'a: 'r, 'r>(
    arguments: &mut PgArguments,
    table: &Table,
    rows: impl Iterator<Item = &'r FoldedRow<'a>> + Clone,
) -> Result<(), StoreError> {
    for (number, column) in table.columns.iter().enumerate() {
        let values = rows.clone().map(|row| row.values[number]);
        bind_column(arguments, column.kind, values)?;
    }
    let positions: Vec<i64> = rows.map(|row| row.position).collect();
    add(arguments, positions)
}

fn merge<'a>(merge: Merge, old: Folded<'a>, new: Folded<'a>) -> Result<Folded<'a>, SumOutOfRange> {
    match merge {
        Merge::Replace => Ok(new),
        Merge::Keep => Ok(old),
        Merge::Add => {
            let sum = int8(old).zip(int8(new));
            let sum = sum.and_then(|(old, new)| old.checked_add(new));
            sum.map(Folded::Sum).ok_or(SumOutOfRange)
        }
    }
}

fn int8(it: Folded<'_>) -> Option<i64> {
    match it {
        Folded::Sum(sum) | Folded::Value(&Value::Int8(sum)) => Some(sum),
        Folded::Value(_) | Folded::Time(_) => None,
    }
}

/// Binds one column of all rows as an array; a value of another kind was refused before.
fn bind_column<'a>(
    arguments: &mut PgArguments,
    kind: Kind,
    values: impl Iterator<Item = Folded<'a>>,
) -> Result<(), StoreError> {
    macro_rules! array {
        ($pattern:pat => $value:expr) => {
            values
                .map(|it| match it {
                    Folded::Value($pattern) => Some($value),
                    _ => None,
                })
                .collect::<Vec<_>>()
        };
    }
    match kind {
        Kind::Text => add(arguments, array!(Value::Text(it) => it.as_str())),
        Kind::Int8 => add(arguments, values.map(int8).collect::<Vec<_>>()),
        Kind::Uuid => add(arguments, array!(Value::Uuid(it) => *it)),
        Kind::Json | Kind::Jsonb => add(arguments, array!(Value::Json(it) => it.as_str())),
        Kind::Bool => add(arguments, array!(Value::Bool(it) => *it)),
        Kind::Timestamptz => {
            let times = values.map(|it| match it {
                Folded::Time(it) | Folded::Value(&Value::Timestamptz(it)) => Some(it),
                _ => None,
            });
            add(arguments, times.collect::<Vec<_>>())
        }
        Kind::Bytea => add(arguments, array!(Value::Bytea(it) => it.as_slice())),
    }
}

/// Adds one argument.
pub(crate) fn add<'q, T>(arguments: &mut PgArguments, it: T) -> Result<(), StoreError>
where
    T: sqlx::Encode<'q, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + 'q,
{
    arguments
        .add(it)
        .map_err(|error| StoreError::Invalid(error.to_string()))
}

impl Table {
    /// The upsert of many rows at once, into the table itself or into one of another name (a rebuild's shadow). Its
    /// arguments are one array per column in the order of `columns`, and one of positions. Rows that already stand
    /// at the position or beyond stay as they are.
    pub fn upsert_sql(&self, table_name_override: Option<&str>) -> String {
        self.upsert(table_name_override.unwrap_or(self.name), "", 1)
    }

    /// The same as a part of a statement: selected from `source` too, with arguments that begin at a number.
    pub(crate) fn upsert(&self, name: &str, source: &str, first_argument: usize) -> String {
        let insert = self.insert(name, source, first_argument);
        let updates = self.columns.iter().filter(|column| !is_key(self, column));
        let updates = updates.filter_map(Column::update).collect::<String>();
        let key = self.key.join(", ");
        format!(
            "{insert} ON CONFLICT ({key}) DO UPDATE SET {updates}position = excluded.position \
             WHERE t.position < excluded.position"
        )
    }

    fn insert(&self, name: &str, source: &str, first_argument: usize) -> String {
        let names: Vec<&str> = self.columns.iter().map(|column| column.name).collect();
        let names = names.join(", ");
        let arrays = self
            .columns
            .iter()
            .map(|column| column.kind.array_type())
            .chain(["bigint[]"]);
        let arrays = arrays
            .enumerate()
            .map(|(i, kind)| format!("${}::{kind}", first_argument + i));
        let arrays = arrays.collect::<Vec<_>>().join(", ");
        let selected = self
            .columns
            .iter()
            .map(|column| column.kind.select(column.name));
        let selected = selected.collect::<Vec<_>>().join(", ");
        format!(
            "INSERT INTO {name} AS t ({names}, position) SELECT {selected}, r.position \
             FROM {source}UNNEST({arrays}) AS r({names}, position)"
        )
    }

    /// How many arguments the upsert takes.
    pub(crate) fn argument_count(&self) -> usize {
        self.columns.len() + 1
    }
}

impl Column {
    fn update(&self) -> Option<String> {
        let name = self.name;
        match self.merge {
            Merge::Keep => None,
            Merge::Replace => Some(format!("{name} = excluded.{name}, ")),
            Merge::Add => Some(format!("{name} = t.{name} + excluded.{name}, ")),
        }
    }
}

impl Kind {
    /// JSON travels as text, since its bytes must stay.
    const fn array_type(self) -> &'static str {
        match self {
            Self::Text | Self::Json | Self::Jsonb => "text[]",
            Self::Int8 => "bigint[]",
            Self::Uuid => "uuid[]",
            Self::Bool => "boolean[]",
            Self::Timestamptz => "timestamptz[]",
            Self::Bytea => "bytea[]",
        }
    }

    fn select(self, name: &str) -> String {
        match self {
            Self::Json => format!("r.{name}::json"),
            Self::Jsonb => format!("r.{name}::jsonb"),
            _ => format!("r.{name}"),
        }
    }
}

fn invalid(what: &str) -> StoreError {
    StoreError::Invalid(what.to_owned())
}
