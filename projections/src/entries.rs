//! Entries of the journal with the events that posted them: who did what, and which objects of Stripe's it was about. It is the
//! answer to "why?" for any figure of the books.

use crate::books::{AsOf, Balance, BooksError, known, scope};
use aggregates::books::Month;
use aggregates::ids::MerchantId;
use aggregates::ledger::Account;
use aggregates::money::Currency;
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// Which entries: all, or those that touch an account, a currency, a month.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EntryFilter {
    pub account: Option<Account>,
    pub currency: Option<Currency>,
    /// The month that they are posted in.
    pub period: Option<Month>,
}

/// An entry's place in the journal: where the next page begins after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryCursor {
    pub ledger_position: i64,
    pub entry: i32,
}

/// The text is no place in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a place in the journal")]
pub struct BadEntryCursor;

/// An entry, and the event that posted it.
#[derive(Debug, Clone, PartialEq)]
pub struct PostedEntry {
    pub at: EntryCursor,
    pub recorded_at: DateTime<Utc>,
    pub effective_at: DateTime<Utc>,
    pub period: Month,
    pub lines: Vec<PostedLine>,
    pub event: PostedBy,
}

/// A line of an entry, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostedLine {
    pub account: Account,
    pub currency: Currency,
    pub debit_minor: i64,
    pub credit_minor: i64,
}

/// The event behind an entry.
#[derive(Debug, Clone, PartialEq)]
pub struct PostedBy {
    pub event_id: Uuid,
    pub event_type: String,
    pub aggregate_type: String,
    /// Without the merchant.
    pub aggregate_id: String,
    /// Actor, key, door, reason and the like, as they were recorded.
    pub metadata: BTreeMap<String, String>,
    /// The objects of Stripe's that the event names.
    pub stripe_ids: BTreeSet<String>,
}

/// A page of the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct Entries {
    /// The last position of the ledger that the whole of it goes up to.
    pub ledger_position: i64,
    pub entries: Vec<PostedEntry>,
    /// Where the next page begins after; none at the end.
    pub next: Option<EntryCursor>,
}

/// Why a figure is what it is: what it comes to, and a page of the entries that it is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    pub balance: Balance,
    pub made_of: Entries,
}

#[derive(sqlx::FromRow)]
struct Row {
    ledger_position: i64,
    entry: i32,
    recorded_at: DateTime<Utc>,
    effective_at: DateTime<Utc>,
    period: String,
    event_id: Uuid,
    event_type: String,
    aggregate_type: String,
    aggregate_id: String,
    metadata: String,
    payload: String,
}

#[derive(sqlx::FromRow)]
struct LineRow {
    ledger_position: i64,
    entry: i32,
    account: String,
    currency: String,
    debit_minor: i64,
    credit_minor: i64,
}

/// The entries in the order in which they were recorded, at most `limit` after `after`.
///
/// # Errors
/// [`BooksError`].
pub async fn entries(
    connection: &mut PgConnection,
    merchant: &MerchantId,
    filter: EntryFilter,
    as_of: AsOf,
    after: Option<EntryCursor>,
    limit: u16,
) -> Result<Entries, BooksError> {
    let scope = scope(connection, merchant, as_of).await?;
    scope.has_begun(filter.period)?;
    let from = after.unwrap_or(EntryCursor {
        ledger_position: 0,
        entry: 0,
    });
    let rows: Vec<Row> = sqlx::query_as(
        "select j.*, e.event_id, e.event_type, e.aggregate_type, e.aggregate_id, e.metadata::text as metadata, e.payload::text as payload
         from (select distinct ledger_position, entry, recorded_at, effective_at, period from journal
               where merchant = $1 and (ledger_position, entry) > ($2, $3) and ledger_position <= $4
                 and ($5::timestamptz is null or effective_at <= $5) and ($6::text is null or account = $6)
                 and ($7::text is null or currency = $7) and ($8::text is null or period = $8)
               order by ledger_position, entry limit $9) j
         join events e on e.ledger = $1 and e.ledger_position = j.ledger_position
         order by j.ledger_position, j.entry",
    )
    .bind(merchant.as_str())
    .bind(from.ledger_position)
    .bind(from.entry)
    .bind(scope.ledger_position)
    .bind(scope.effective)
    .bind(filter.account.map(Account::as_str))
    .bind(filter.currency.map(|it| it.code()))
    .bind(filter.period.map(|it| it.to_string()))
    .bind(i64::from(limit) + 1)
    .fetch_all(&mut *connection)
    .await?;
    let more = rows.len() > usize::from(limit);
    let page: Vec<Row> = rows.into_iter().take(usize::from(limit)).collect();
    let mut lines = lines_of(connection, merchant, &page).await?;
    let entries: Result<Vec<PostedEntry>, sqlx::Error> = page
        .into_iter()
        .map(|row| {
            let at = row.at();
            row.posted(lines.remove(&at).unwrap_or_default())
        })
        .collect();
    let entries = entries?;
    let last = entries.last().map(|it| it.at);
    Ok(Entries {
        ledger_position: scope.ledger_position,
        entries,
        next: last.filter(|_| more),
    })
}

/// What an account comes to in one currency, of all months or of one, and a page of the entries that it is made of.
///
/// # Errors
/// [`BooksError`].
pub async fn explain(
    connection: &mut PgConnection,
    merchant: &MerchantId,
    (account, currency, period): (Account, Currency, Option<Month>),
    as_of: AsOf,
    after: Option<EntryCursor>,
    limit: u16,
) -> Result<Explained, BooksError> {
    let filter = EntryFilter {
        account: Some(account),
        currency: Some(currency),
        period,
    };
    let made_of = entries(connection, merchant, filter, as_of, after, limit).await?;
    let effective = match as_of {
        AsOf::Effective(time) => Some(time),
        _ => None,
    };
    let (debit_minor, credit_minor) = sqlx::query_as(
        "select coalesce(sum(debit_minor), 0)::bigint, coalesce(sum(credit_minor), 0)::bigint from journal
         where merchant = $1 and account = $2 and currency = $3 and ledger_position <= $4
           and ($5::timestamptz is null or effective_at <= $5) and ($6::text is null or period = $6)",
    )
    .bind(merchant.as_str())
    .bind(account.as_str())
    .bind(currency.code())
    .bind(made_of.ledger_position)
    .bind(effective)
    .bind(period.map(|it| it.to_string()))
    .fetch_one(connection)
    .await?;
    Ok(Explained {
        balance: Balance {
            account,
            currency,
            debit_minor,
            credit_minor,
        },
        made_of,
    })
}

async fn lines_of(
    connection: &mut PgConnection,
    merchant: &MerchantId,
    page: &[Row],
) -> Result<BTreeMap<EntryCursor, Vec<PostedLine>>, sqlx::Error> {
    let positions: Vec<i64> = page.iter().map(|row| row.ledger_position).collect();
    let numbers: Vec<i32> = page.iter().map(|row| row.entry).collect();
    let rows: Vec<LineRow> = sqlx::query_as(
        "select ledger_position, entry, account, currency, debit_minor, credit_minor from journal
         where merchant = $1 and (ledger_position, entry) in (select * from unnest($2::bigint[], $3::int[]))
         order by ledger_position, entry, line",
    )
    .bind(merchant.as_str())
    .bind(&positions)
    .bind(&numbers)
    .fetch_all(connection)
    .await?;
    let mut lines: BTreeMap<EntryCursor, Vec<PostedLine>> = BTreeMap::new();
    for row in rows {
        let at = EntryCursor {
            ledger_position: row.ledger_position,
            entry: row.entry,
        };
        lines.entry(at).or_default().push(PostedLine {
            account: known(&row.account)?,
            currency: known(&row.currency)?,
            debit_minor: row.debit_minor,
            credit_minor: row.credit_minor,
        });
    }
    Ok(lines)
}

impl Row {
    fn at(&self) -> EntryCursor {
        EntryCursor {
            ledger_position: self.ledger_position,
            entry: self.entry,
        }
    }

    fn posted(self, lines: Vec<PostedLine>) -> Result<PostedEntry, sqlx::Error> {
        Ok(PostedEntry {
            at: self.at(),
            recorded_at: self.recorded_at,
            effective_at: self.effective_at,
            period: known(&self.period)?,
            lines,
            event: PostedBy::read(
                self.event_id,
                self.event_type,
                (self.aggregate_type, &self.aggregate_id),
                (&self.payload, &self.metadata),
            )?,
        })
    }
}

impl PostedBy {
    /// The event, of a stream by its type and id, with its payload and metadata as JSON.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(crate) fn read(
        event_id: Uuid,
        event_type: String,
        (aggregate_type, aggregate_id): (String, &str),
        (payload, metadata): (&str, &str),
    ) -> Result<Self, sqlx::Error> {
        let unreadable = |error: serde_json::Error| sqlx::Error::Decode(Box::new(error));
        let payload: Value = serde_json::from_str(payload).map_err(unreadable)?;
        let mut stripe_ids = BTreeSet::new();
        gather(&payload, &mut stripe_ids);
        let id = aggregate_id.rsplit('/').next().unwrap_or_default();
        Ok(Self {
            event_id,
            event_type,
            aggregate_type,
            aggregate_id: id.to_owned(),
            metadata: serde_json::from_str(metadata).map_err(unreadable)?,
            stripe_ids,
        })
    }

    /// What is known of the one who did it: `actor`, `key_id`, `door`, `reason` and the like.
    pub fn told(&self, name: &str) -> Option<&str> {
        self.metadata.get(name).map(String::as_str)
    }
}

/// The beginnings of the ids of what moves money at Stripe.
const KINDS: [&str; 11] = [
    "pi_", "ch_", "py_", "re_", "pyr_", "dp_", "du_", "po_", "tu_", "txn_", "pm_",
];

/// All that looks like an id of Stripe's, wherever it stands.
fn gather(value: &Value, found: &mut BTreeSet<String>) {
    let is_id = |text: &str| {
        let plain = |it: char| it.is_ascii_alphanumeric() || it == '_';
        KINDS.iter().any(|kind| text.starts_with(kind)) && text.chars().all(plain)
    };
    match value {
        Value::String(text) if is_id(text) => {
            found.insert(text.clone());
        }
        Value::Array(items) => items.iter().for_each(|it| gather(it, found)),
        Value::Object(members) => members.values().for_each(|it| gather(it, found)),
        _ => {}
    }
}

impl fmt::Display for EntryCursor {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}-{}", self.ledger_position, self.entry)
    }
}

impl FromStr for EntryCursor {
    type Err = BadEntryCursor;

    fn from_str(text: &str) -> Result<Self, BadEntryCursor> {
        let (position, entry) = text.split_once('-').ok_or(BadEntryCursor)?;
        let read = Self {
            ledger_position: position.parse().map_err(|_| BadEntryCursor)?,
            entry: entry.parse().map_err(|_| BadEntryCursor)?,
        };
        // One spelling for each place.
        if read.to_string() == text {
            Ok(read)
        } else {
            Err(BadEntryCursor)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_that_an_event_names_are_found_wherever_they_stand() {
        let payload = serde_json::json!({"Captured": {"charge": "ch_1", "of": [{"intent": "pi_2"}], "said": "po_3 is late"}});
        let mut found = BTreeSet::new();
        gather(&payload, &mut found);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["ch_1", "pi_2"]);
    }

    #[test]
    fn a_place_in_the_journal_has_one_spelling() {
        let cursor: EntryCursor = "12-1".parse().unwrap();
        assert_eq!(cursor.to_string(), "12-1");
        for broken in [
            "", "12", "12-0-3", "+12-0", "012-0", "a-0", "12--1x", " 12-0",
        ] {
            assert_eq!(
                broken.parse::<EntryCursor>(),
                Err(BadEntryCursor),
                "{broken}"
            );
        }
    }
}
