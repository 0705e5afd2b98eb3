//! A merchant's read models as they were: its events up to a position of its ledger, folded into tables of the session alone,
//! and held against what the live rows tell of that moment.
//!
//! Nothing is kept and nothing is exchanged, so it takes no lock: it goes on beside rebuilds and beside other replays.

use super::compare::{self, Difference, Side, Sides, Slice};
use super::{Projection, RebuildError, Refold, Refolds, Watch, connect, shadow};
use crate::books::{AsOf, Balance, BooksError, balances, known, scope};
use crate::{balances as sums, journal};
use aggregates::ids::MerchantId;
use aggregates::ledger::Account;
use aggregates::money::Currency;
use chrono::{DateTime, Utc};
use eventstore::{Reader, Recorded, StoreError, Table, Tables};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection};
use std::collections::BTreeMap;
use std::str::FromStr;

/// How many events are read, folded and written at once.
const PAGE: i64 = 5_000;

/// What a merchant's read models were.
#[derive(Debug)]
pub struct Past {
    pub ledger_position: i64,
    /// When the event at that position was recorded.
    pub recorded_at: DateTime<Utc>,
    pub tables: Vec<TableThen>,
    /// What every account came to, where `balances` is among the tables.
    pub balances: Vec<BalanceThen>,
}

/// The merchant's rows of a table: those that were replayed, beside the live ones that no later event has changed.
#[derive(Debug)]
pub struct TableThen {
    pub projection: Projection,
    pub rows: Slice,
    pub listed: Vec<Difference>,
}

/// What an account had come to in one currency: as the live journal tells it as of then, and as it was replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BalanceThen {
    pub account: Account,
    pub currency: Currency,
    pub live: Option<Balance>,
    pub replayed: Option<Balance>,
}

impl Past {
    /// How many rows and balances the live side tells otherwise.
    pub fn differences(&self) -> i64 {
        let tables = self.tables.iter().map(|it| it.rows.differences);
        let balances = self.balances.iter();
        let balances = balances.map(|it| i64::from(!it.is_identical()));
        tables.chain(balances).fold(0, i64::saturating_add)
    }
}

impl TableThen {
    /// How many rows there were, and the sum over them.
    pub fn then(&self) -> &Side {
        &self.rows.rebuilt
    }
}

impl BalanceThen {
    pub fn is_identical(&self) -> bool {
        self.live == self.replayed
    }
}

/// Replays a merchant's events up to a moment, and compares. In memory are a page of 5,000 events with the rows that they make,
/// the aggregates that [`Refold`] keeps, and the balances; the rows are in the database's temporary tables, however many they are.
///
/// `url` is the database as its owner; `reader` reads the log.
///
/// # Errors
/// [`RebuildError::NoHistory`] where the ledger has none of then, or the journal has not come so far; when an event cannot be
/// folded or the database cannot be read.
pub async fn past(
    url: &str,
    reader: &Reader,
    (merchant, as_of): (&MerchantId, AsOf),
    projections: &[Projection],
    watch: &mut dyn Watch,
) -> Result<Past, RebuildError> {
    if let AsOf::Effective(_) = as_of {
        return Err(BooksError::NoEffectiveTime.into());
    }
    let options = PgConnectOptions::from_str(url)?
        .application_name("counterfoil-replay")
        .disable_statement_logging();
    let mut session = watched(&options).await?;
    let upto = scope(&mut session, merchant, as_of).await?.ledger_position;
    if upto == 0 {
        return Err(BooksError::BeforeTheBeginning.into());
    }
    let tables = Tables::new(projections.iter().map(|it| it.table).collect())?;
    make(&mut session, &tables).await?;
    watch.step("replaying");
    let last = fill(&mut session, &tables, reader, (merchant, upto), watch).await?;
    watch.step("comparing");
    let mut live = snapshot(&options, &tables).await?;
    let mut found = Past {
        ledger_position: upto,
        recorded_at: last.recorded_at,
        tables: Vec::with_capacity(projections.len()),
        balances: Vec::new(),
    };
    for it in projections {
        let compared = held_against(&it.table, (&last, merchant), &mut live, &mut session);
        found.tables.push(compared.await?.of(*it, merchant));
        if it.table.name == sums::TABLE.name {
            let at = AsOf::Position(upto);
            let live = balances(&mut live, merchant, at).await?.balances;
            found.balances = beside(live, replayed(&mut session).await?);
        }
    }
    live.execute("rollback").await?;
    live.close().await?;
    session.close().await?;
    Ok(found)
}

/// What the session's own table is called. It hides the live one of that name from this session, which another one reads.
fn own(table: &str) -> String {
    format!("pg_temp.{table}")
}

async fn make(session: &mut PgConnection, tables: &Tables) -> Result<(), sqlx::Error> {
    session.execute("begin").await?;
    for it in tables.as_slice() {
        let make = format!(
            "create table {} (like {} including all excluding indexes, primary key ({}))",
            own(it.name),
            it.name,
            it.key.join(", ")
        );
        session.execute(&*make).await?;
    }
    session.execute("commit").await?;
    Ok(())
}

/// Folds the merchant's events up to that position of its ledger; the last of them.
async fn fill(
    session: &mut PgConnection,
    tables: &Tables,
    reader: &Reader,
    (merchant, upto): (&MerchantId, i64),
    watch: &mut dyn Watch,
) -> Result<Recorded, RebuildError> {
    let mut fold = Refold::default();
    let mut last: Option<Recorded> = None;
    while last.as_ref().is_none_or(|it| it.ledger_position < upto) {
        if watch.called_off() {
            return Err(RebuildError::CalledOff);
        }
        let reached = last.map_or(0, |it| it.ledger_position);
        let mut page = page(reader, merchant, (reached, upto)).await?;
        let changes = fold.changes(reader, &page).await;
        let changes = changes.map_err(RebuildError::Fold)?;
        session.execute("begin").await?;
        shadow::write(session, tables, &changes, own).await?;
        session.execute("commit").await?;
        last = page.pop();
        watch.filled(last.as_ref().map_or(upto, |it| it.ledger_position), upto);
    }
    last.ok_or_else(|| BooksError::BeforeTheBeginning.into())
}

/// The next events of a ledger after one position and up to another, none left out.
async fn page(
    reader: &Reader,
    merchant: &MerchantId,
    (reached, upto): (i64, i64),
) -> Result<Vec<Recorded>, RebuildError> {
    let wanted = upto.saturating_sub(reached).min(PAGE);
    let page = reader.read_ledger(merchant.as_str(), reached, wanted);
    let page = page.await?;
    let in_place = |(it, at): (&Recorded, i64)| it.ledger_position == at;
    if page.is_empty() || !page.iter().zip(reached + 1..).all(in_place) {
        let missing = "an event of the ledger is missing between two others";
        return Err(StoreError::Corrupt(missing.to_owned()).into());
    }
    Ok(page)
}

/// A session whose server looks whether anybody is still there: who goes away ends what is being read for them. One that cannot look
/// reads to the end.
async fn watched(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let mut session = connect(options).await?;
    let _ = session
        .execute("set client_connection_check_interval = '1s'")
        .await;
    Ok(session)
}

/// The live tables at one moment. They are locked first: one that was exchanged after the snapshot was taken would be empty in it.
async fn snapshot(
    options: &PgConnectOptions,
    tables: &Tables,
) -> Result<PgConnection, sqlx::Error> {
    let mut live = watched(options).await?;
    let names: Vec<&str> = tables.as_slice().iter().map(|it| it.name).collect();
    let begin = format!(
        "begin isolation level repeatable read read only; lock table {}, {} in access share mode",
        journal::TABLE.name,
        names.join(", ")
    );
    live.execute(&*begin).await?;
    Ok(live)
}

/// The merchant's rows of a table, as they were left by the last event or before. No event changes a line of the journal, so there
/// the place in the ledger says it, as it does to whoever reads the journal as of then.
async fn held_against(
    table: &Table,
    (last, merchant): (&Recorded, &MerchantId),
    live: &mut PgConnection,
    session: &mut PgConnection,
) -> Result<compare::Compared, sqlx::Error> {
    let (column, live_up_to) = if table.name == journal::TABLE.name {
        ("ledger_position", last.ledger_position)
    } else {
        ("position", last.position)
    };
    let sides = Sides {
        rebuilt: &own(table.name),
        merchant: Some(merchant.as_str()),
        column,
        live_up_to,
        rebuilt_up_to: i64::MAX,
    };
    compare::compare(table, sides, live, session).await
}

impl compare::Compared {
    fn of(mut self, projection: Projection, merchant: &MerchantId) -> TableThen {
        TableThen {
            projection,
            rows: self.merchants.remove(merchant.as_str()).unwrap_or_default(),
            listed: self.listed,
        }
    }
}

async fn replayed(session: &mut PgConnection) -> Result<Vec<Balance>, sqlx::Error> {
    let sql = format!(
        "select account, currency, debit_minor, credit_minor from {}",
        own(sums::TABLE.name)
    );
    let rows: Vec<(String, String, i64, i64)> = sqlx::query_as(&sql).fetch_all(session).await?;
    let balance = |(account, currency, debit_minor, credit_minor): (String, String, i64, i64)| {
        Ok(Balance {
            account: known(&account)?,
            currency: known(&currency)?,
            debit_minor,
            credit_minor,
        })
    };
    rows.into_iter().map(balance).collect()
}

/// Both, account by account.
fn beside(live: Vec<Balance>, replayed: Vec<Balance>) -> Vec<BalanceThen> {
    let of = |it: Balance| ((it.account, it.currency), it);
    let mut replayed: BTreeMap<(Account, Currency), Balance> =
        replayed.into_iter().map(of).collect();
    let mut both: Vec<BalanceThen> = live
        .into_iter()
        .map(|it| BalanceThen {
            account: it.account,
            currency: it.currency,
            replayed: replayed.remove(&(it.account, it.currency)),
            live: Some(it),
        })
        .collect();
    both.extend(replayed.into_values().map(|it| BalanceThen {
        account: it.account,
        currency: it.currency,
        live: None,
        replayed: Some(it),
    }));
    both
}
