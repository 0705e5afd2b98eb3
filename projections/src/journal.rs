//! `journal`: every line of every entry, caught up behind the log.

mod closings;

pub(crate) use closings::Closings;

use aggregates::books::{Month, posting_month};
use aggregates::ledger::{self, Entry, Line, Side};
use aggregates::order::{Order, OrderEvent};
use aggregates::payment::{Payment, PaymentEvent};
use aggregates::settlement::{Settlement, SettlementEvent};
use chrono::{DateTime, NaiveTime, Utc};
use cqrs_es::Aggregate;
use eventstore::{BoxError, Column, Handler, Kind, Recorded, RowChange, Table, Value};
use sqlx::PgConnection;
use std::collections::HashMap;

/// The name of its checkpoint: the fold's name and version. A changed fold is a new version, filled from the start.
pub const NAME: &str = "journal.v2";

/// The table's shape, for a rebuild. It is append-only: no two events touch a row.
pub const TABLE: Table = Table {
    name: "journal",
    key: &["merchant", "ledger_position", "entry", "line"],
    columns: &[
        Column::replace("merchant", Kind::Text),
        Column::replace("ledger_position", Kind::Int8),
        Column::replace("entry", Kind::Int8),
        Column::replace("line", Kind::Int8),
        Column::replace("account", Kind::Text),
        Column::replace("currency", Kind::Text),
        Column::replace("debit_minor", Kind::Int8),
        Column::replace("credit_minor", Kind::Int8),
        Column::replace("recorded_at", Kind::Timestamptz),
        Column::replace("effective_at", Kind::Timestamptz),
        Column::replace("period", Kind::Text),
    ],
};

/// How many aggregates are kept between pages, so that their history need not be read again.
const KEPT: usize = 10_000;

/// The fold. What it keeps in memory is only a shortcut: anything missing is read again from the log.
#[derive(Default)]
pub struct Journal {
    payments: Kept<Payment>,
    orders: Kept<Order>,
    closings: Closings,
}

struct Kept<A> {
    known: HashMap<String, (u64, A)>,
}

impl<A> Default for Kept<A> {
    fn default() -> Self {
        Self {
            known: HashMap::new(),
        }
    }
}

/// The rows of a page, column by column.
#[derive(Default)]
struct Rows {
    merchant: Vec<String>,
    ledger_position: Vec<i64>,
    entry: Vec<i32>,
    line: Vec<i32>,
    account: Vec<String>,
    currency: Vec<String>,
    debit_minor: Vec<i64>,
    credit_minor: Vec<i64>,
    recorded_at: Vec<DateTime<Utc>>,
    effective_at: Vec<DateTime<Utc>>,
    period: Vec<String>,
    position: Vec<i64>,
}

impl Handler for Journal {
    async fn handle(
        &mut self,
        transaction: &mut PgConnection,
        events: &[Recorded],
    ) -> Result<(), BoxError> {
        let mut rows = Rows::default();
        for event in events {
            self.closings.know(transaction, event).await?;
            self.closings.note(event)?;
            let posted = self.posted(transaction, event).await?;
            rows.push(event, &posted, self.closings.before(event))?;
        }
        rows.insert(transaction).await
    }
}

/// What an event posts.
#[derive(Default)]
struct Posted {
    entries: Vec<Entry>,
    /// When it happened, where Stripe or the bank says so.
    happened_at: Option<DateTime<Utc>>,
}

impl Journal {
    /// What the event posts, told from the aggregate as it stood before it.
    async fn posted(
        &mut self,
        connection: &mut PgConnection,
        event: &Recorded,
    ) -> Result<Posted, BoxError> {
        let entries = match event.aggregate_type.as_str() {
            Payment::TYPE => {
                let fact: PaymentEvent = event.payload_as()?;
                let before = self.payments.before(connection, event).await?;
                let entries = ledger::payment_entries(&fact, &before.1);
                before.1.apply(&fact);
                entries
            }
            Order::TYPE => {
                let fact: OrderEvent = event.payload_as()?;
                let before = self.orders.before(connection, event).await?;
                let entries = ledger::order_entries(&fact, &before.1);
                before.1.apply(&fact);
                entries
            }
            Settlement::TYPE => return Ok(of_settlement(&event.payload_as()?)),
            // Other aggregates post nothing.
            _ => Vec::new(),
        };
        let happened_at = match entries.as_slice() {
            [] => None,
            _ => claimed_at(event)?,
        };
        Ok(Posted {
            entries,
            happened_at,
        })
    }
}

/// What of an event's metadata says when it happened.
#[derive(serde::Deserialize)]
struct Claimed {
    #[serde(default)]
    claimed_at: Option<DateTime<Utc>>,
}

/// When it happened, by the word of whoever told of it.
pub(crate) fn claimed_at(event: &Recorded) -> Result<Option<DateTime<Utc>>, BoxError> {
    Ok(event.metadata_as::<Claimed>()?.claimed_at)
}

/// When it happened, by Stripe's or the bank's word.
pub(crate) fn settled_at(fact: &SettlementEvent) -> Option<DateTime<Utc>> {
    match fact {
        SettlementEvent::BalanceTransactionObserved(it) => DateTime::from_timestamp(it.created, 0),
        SettlementEvent::BankLineMatched { booked_on, .. }
        | SettlementEvent::BankLineUnmatched { booked_on, .. } => {
            Some(booked_on.and_time(NaiveTime::MIN).and_utc())
        }
        _ => None,
    }
}

fn of_settlement(fact: &SettlementEvent) -> Posted {
    Posted {
        entries: ledger::settlement_entries(fact),
        happened_at: settled_at(fact),
    }
}

/// The rows of an event's entries, for a rebuild. `closed`: through which month the books were closed before the event.
pub(crate) fn lines(
    event: &Recorded,
    entries: &[Entry],
    happened_at: Option<DateTime<Utc>>,
    closed: Option<Month>,
) -> Result<Vec<RowChange>, BoxError> {
    let effective_at = happened_at.unwrap_or(event.recorded_at);
    let period = posting_month(effective_at, closed).to_string();
    let row = |it: Numbered<'_>| RowChange {
        table: TABLE.name,
        event: 0,
        values: vec![
            event.ledger.as_str().into(),
            event.ledger_position.into(),
            i64::from(it.entry).into(),
            i64::from(it.line).into(),
            it.of.account.as_str().into(),
            it.of.amount.currency().code().into(),
            it.debit().into(),
            it.credit().into(),
            Value::RecordedAt,
            effective_at.into(),
            period.as_str().into(),
        ],
    };
    numbered(entries).map(|it| Ok(row(it?))).collect()
}

/// A line of an entry, and their places.
struct Numbered<'a> {
    entry: i32,
    line: i32,
    of: &'a Line,
}

impl Numbered<'_> {
    fn debit(&self) -> i64 {
        match self.of.side {
            Side::Debit => self.of.amount.minor(),
            Side::Credit => 0,
        }
    }

    fn credit(&self) -> i64 {
        match self.of.side {
            Side::Debit => 0,
            Side::Credit => self.of.amount.minor(),
        }
    }
}

fn numbered(entries: &[Entry]) -> impl Iterator<Item = Result<Numbered<'_>, BoxError>> {
    entries.iter().enumerate().flat_map(|(entry, it)| {
        it.lines().iter().enumerate().map(move |(line, of)| {
            Ok(Numbered {
                entry: i32::try_from(entry)?,
                line: i32::try_from(line)?,
                of,
            })
        })
    })
}

impl<A: Aggregate> Kept<A> {
    /// The aggregate as it stood before the event; its version already counts the event, which the caller applies.
    async fn before(
        &mut self,
        connection: &mut PgConnection,
        event: &Recorded,
    ) -> Result<&mut (u64, A), BoxError> {
        if self.known.len() > KEPT {
            self.known.clear();
        }
        let fits = self
            .known
            .get(&event.aggregate_id)
            .is_some_and(|(version, _)| version + 1 == event.sequence);
        if !fits {
            let read = read_before::<A>(connection, event).await?;
            self.known
                .insert(event.aggregate_id.clone(), (event.sequence - 1, read));
        }
        let found = self
            .known
            .get_mut(&event.aggregate_id)
            .ok_or("it was inserted just now")?;
        found.0 = event.sequence;
        Ok(found)
    }
}

async fn read_before<A: Aggregate>(
    connection: &mut PgConnection,
    event: &Recorded,
) -> Result<A, BoxError> {
    let payloads: Vec<String> = sqlx::query_scalar(
        "select payload::text from events where aggregate_type = $1 and aggregate_id = $2 and sequence < $3 order by sequence",
    )
    .bind(A::TYPE)
    .bind(&event.aggregate_id)
    .bind(i64::try_from(event.sequence)?)
    .fetch_all(connection)
    .await?;
    let mut aggregate = A::default();
    for payload in payloads {
        aggregate.apply(serde_json::from_str(&payload)?);
    }
    Ok(aggregate)
}

impl Rows {
    fn push(
        &mut self,
        event: &Recorded,
        posted: &Posted,
        closed: Option<Month>,
    ) -> Result<(), BoxError> {
        let effective_at = posted.happened_at.unwrap_or(event.recorded_at);
        let period = posting_month(effective_at, closed).to_string();
        for it in numbered(&posted.entries) {
            let it = it?;
            self.merchant.push(event.ledger.clone());
            self.ledger_position.push(event.ledger_position);
            self.entry.push(it.entry);
            self.line.push(it.line);
            self.account.push(it.of.account.as_str().to_owned());
            self.currency.push(it.of.amount.currency().code());
            self.debit_minor.push(it.debit());
            self.credit_minor.push(it.credit());
            self.recorded_at.push(event.recorded_at);
            self.effective_at.push(effective_at);
            self.period.push(period.clone());
            self.position.push(event.position);
        }
        Ok(())
    }

    /// A row that is there already stays: replaying is harmless.
    async fn insert(&self, transaction: &mut PgConnection) -> Result<(), BoxError> {
        if self.merchant.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "insert into journal (merchant, ledger_position, entry, line, account, currency, debit_minor, credit_minor, recorded_at, effective_at, period, position)
             select * from unnest($1::text[], $2::bigint[], $3::int[], $4::int[], $5::text[], $6::text[], $7::bigint[],
                                  $8::bigint[], $9::timestamptz[], $10::timestamptz[], $11::text[], $12::bigint[])
             on conflict do nothing",
        )
        .bind(&self.merchant)
        .bind(&self.ledger_position)
        .bind(&self.entry)
        .bind(&self.line)
        .bind(&self.account)
        .bind(&self.currency)
        .bind(&self.debit_minor)
        .bind(&self.credit_minor)
        .bind(&self.recorded_at)
        .bind(&self.effective_at)
        .bind(&self.period)
        .bind(&self.position)
        .execute(transaction)
        .await?;
        Ok(())
    }
}
