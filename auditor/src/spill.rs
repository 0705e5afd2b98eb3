//! What is found while reading goes to temporary tables, so that memory does not grow with the log.

use chrono::{DateTime, SecondsFormat, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// When a table's rows are sent.
const BYTES_MAX: usize = 256 * 1024;

/// The temporary tables, made before the snapshot is taken: inside it nothing can be made, only filled.
pub(crate) const TABLES: &str = include_str!("tables.sql");

/// Tells the planner what is in them.
pub(crate) const ANALYZE: &str = "analyze audit_streams, audit_payments, audit_refunds, audit_orders, audit_money_heard_of, \
    audit_requests, audit_payouts, audit_transactions, audit_bank_lines, audit_clearing, audit_offers, audit_articles, audit_parked, audit_lines, audit_intentions, audit_stripe_ids, \
    audit_links, audit_at_stripe, audit_calls, audit_acknowledged";

/// Rows on their way to one temporary table.
pub(crate) struct Spill {
    table: &'static str,
    rows: String,
}

/// A value that PostgreSQL's `COPY` reads.
pub(crate) trait Cell {
    fn write(&self, to: &mut String);
}

/// One row, as text: `row![a, b]`.
macro_rules! row {
    ($($cell:expr),* $(,)?) => {
        &[$(&$cell as &dyn $crate::spill::Cell),*]
    };
}
pub(crate) use row;

impl Spill {
    pub fn new(table: &'static str) -> Self {
        Self {
            table,
            rows: String::new(),
        }
    }

    pub fn push(&mut self, cells: &[&dyn Cell]) {
        for (index, cell) in cells.iter().enumerate() {
            if index > 0 {
                self.rows.push('\t');
            }
            cell.write(&mut self.rows);
        }
        self.rows.push('\n');
    }

    /// Sends what has gathered, if it is enough, or `all` of it.
    pub async fn flush(
        &mut self,
        connection: &mut PgConnection,
        all: bool,
    ) -> Result<(), sqlx::Error> {
        if self.rows.is_empty() || (!all && self.rows.len() < BYTES_MAX) {
            return Ok(());
        }
        let into = format!("copy {} from stdin", self.table);
        let mut copy = connection.copy_in_raw(&into).await?;
        copy.send(self.rows.as_bytes()).await?;
        copy.finish().await?;
        self.rows.clear();
        Ok(())
    }
}

impl Cell for &str {
    fn write(&self, to: &mut String) {
        for letter in self.chars() {
            match letter {
                '\\' => to.push_str("\\\\"),
                '\t' => to.push_str("\\t"),
                '\n' => to.push_str("\\n"),
                '\r' => to.push_str("\\r"),
                // PostgreSQL holds none; what an event says may.
                '\0' => {}
                plain => to.push(plain),
            }
        }
    }
}

impl Cell for String {
    fn write(&self, to: &mut String) {
        self.as_str().write(to);
    }
}

impl Cell for i64 {
    fn write(&self, to: &mut String) {
        to.push_str(&self.to_string());
    }
}

impl Cell for bool {
    fn write(&self, to: &mut String) {
        to.push(if *self { 't' } else { 'f' });
    }
}

impl Cell for Uuid {
    fn write(&self, to: &mut String) {
        to.push_str(&self.to_string());
    }
}

impl Cell for DateTime<Utc> {
    fn write(&self, to: &mut String) {
        to.push_str(&self.to_rfc3339_opts(SecondsFormat::Micros, true));
    }
}

impl<T: Cell> Cell for Option<T> {
    fn write(&self, to: &mut String) {
        match self {
            Some(it) => it.write(to),
            None => to.push_str("\\N"),
        }
    }
}
