//! Read-model rows, declared once and folded the same way live and in a rebuild.

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// A read-model table the log may fold rows into. Beside its columns it has `position bigint NOT NULL`, filled with
/// the position of the last event that touched the row.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// Its name: lower case letters, digits and `_`.
    pub name: &'static str,
    /// The columns of its primary key, in order; among `columns`, never null.
    pub key: &'static [&'static str],
    /// All columns but `position`, in the order of [`RowChange::values`].
    pub columns: &'static [Column],
}

/// A column of a [`Table`].
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name: lower case letters, digits and `_`.
    pub name: &'static str,
    /// The type of its values.
    pub kind: Kind,
    /// What becomes of the value that is there. Without meaning for a key's columns.
    pub merge: Merge,
}

impl Column {
    /// A column whose later value replaces the earlier.
    pub const fn replace(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            merge: Merge::Replace,
        }
    }

    /// A column whose first value stays.
    pub const fn keep(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            merge: Merge::Keep,
        }
    }

    /// An [`Int8`](Kind::Int8) column that sums what it is given.
    pub const fn add(name: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Int8,
            merge: Merge::Add,
        }
    }
}

/// PostgreSQL types that rows may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `text`
    Text,
    /// `bigint`
    Int8,
    /// `uuid`
    Uuid,
    /// `json`: bytes stay
    Json,
    /// `jsonb`
    Jsonb,
    /// `boolean`
    Bool,
    /// `timestamptz`
    Timestamptz,
    /// `bytea`
    Bytea,
}

/// How a new value meets the one that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merge {
    /// The later value wins.
    Replace,
    /// The first value stays.
    Keep,
    /// The sum; overflow is an error, null is not allowed.
    Add,
}

/// A value of a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// SQL NULL, of any kind.
    Null,
    /// [`Kind::Text`]
    Text(String),
    /// [`Kind::Int8`]
    Int8(i64),
    /// [`Kind::Uuid`]
    Uuid(Uuid),
    /// [`Kind::Json`] and [`Kind::Jsonb`]: JSON text
    Json(String),
    /// [`Kind::Bool`]
    Bool(bool),
    /// [`Kind::Timestamptz`]
    Timestamptz(DateTime<Utc>),
    /// [`Kind::Timestamptz`]: when the event that touches the row was recorded, which only the log knows.
    RecordedAt,
    /// [`Kind::Bytea`]
    Bytea(Vec<u8>),
}

macro_rules! value_from {
    ($($from:ty => $variant:ident),* $(,)?) => {$(
        impl From<$from> for Value {
            fn from(it: $from) -> Self {
                Self::$variant(it.into())
            }
        }
    )*};
}
value_from!(String => Text, &str => Text, i64 => Int8, Uuid => Uuid, bool => Bool,
    DateTime<Utc> => Timestamptz, Vec<u8> => Bytea);

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(it: Option<T>) -> Self {
        it.map_or(Self::Null, Into::into)
    }
}

/// A whole row of a table, as it is after an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowChange {
    /// The table's name.
    pub table: &'static str,
    /// Which event of the append touches it: its index over all streams in order ([`Append::events`]).
    ///
    /// [`Append::events`]: crate::Append::events
    pub event: usize,
    /// One value per column, in the table's order; what a [`Merge::Add`] column is to grow by.
    pub values: Vec<Value>,
}
