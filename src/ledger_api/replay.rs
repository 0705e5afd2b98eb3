//! `replay`: what the caller's read models were at a moment, made again from the events up to there alone, and whether what is live
//! tells the same of then.

use aggregates::ledger::Account;
use axum::extract::{Request, State};
use chrono::{DateTime, Utc};
use http::StatusCode;
use projections::books::{AsOf, Balance};
use projections::rebuild::{BalanceThen, Past, Projection, TableThen};
use serde::Serialize;

use super::books::point;
use super::call::{Answer, Call, json};
use super::query::Query;
use super::rebuilds::DifferenceShown;
use crate::store::{DifferenceRow, Scope, projections_named};
use crate::use_cases::App;

#[derive(Serialize)]
struct ReplayShown {
    object: &'static str,
    /// The last position of the ledger that is in it.
    position: i64,
    /// When the event at that position was recorded.
    recorded_at: DateTime<Utc>,
    /// Names and versions of the folds.
    projections: Vec<String>,
    /// `identical` or `different`.
    state: &'static str,
    certificate: Vec<TableShown>,
    /// What every account had come to, where `balances` is among the tables.
    balances: Vec<BalanceShown>,
    /// The first of them, column by column.
    differences: Vec<DifferenceShown>,
}

#[derive(Serialize)]
struct TableShown {
    table: &'static str,
    rebuilt_rows: i64,
    rebuilt_checksum: String,
    /// Rows that a later event has changed: there is nothing live to compare them with.
    changed_since: i64,
    /// Of those that are compared.
    live_rows: i64,
    live_checksum: String,
    differences: i64,
}

#[derive(Serialize)]
struct BalanceShown {
    account: Account,
    currency: String,
    identical: bool,
    rebuilt: Option<SumsShown>,
    /// As the live journal tells it as of then.
    live: Option<SumsShown>,
}

#[derive(Serialize)]
struct SumsShown {
    debit_minor: i64,
    credit_minor: i64,
    /// Debits less credits.
    balance_minor: i64,
}

/// The read models as of a position of the ledger, or of a time of record.
pub async fn as_of(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::LedgerRead).await?;
    let mut query = call.query()?;
    if !query.has("as_of") {
        query.fault("as_of", "is to be a position of the ledger, or a time");
    }
    let as_of = point(&mut query).unwrap_or(AsOf::Now);
    let projections = projections(&mut query);
    query.end()?;
    let app = &call.app;
    let found = app.read_models_as_of(&call.caller, as_of, &projections);
    let found = found.await?;
    json(StatusCode::OK, &ReplayShown::from(found))
}

/// Which read models are asked for, with commas between; all where none is named.
pub(super) fn projections(query: &mut Query) -> Vec<Projection> {
    let text = query.text("projections");
    let names = text.iter().flat_map(|it| it.split(',')).map(str::to_owned);
    let names: Vec<String> = names.collect();
    projections_named(&names).unwrap_or_else(|_| {
        let all = projections::rebuild::projections();
        let all: Vec<&str> = all.iter().map(Projection::name).collect();
        let wrong = format!("names something else than one of: {}", all.join(", "));
        query.fault("projections", &wrong);
        vec![]
    })
}

impl From<Past> for ReplayShown {
    fn from(it: Past) -> Self {
        let tables = it.tables.iter();
        Self {
            object: "replay",
            position: it.ledger_position,
            recorded_at: it.recorded_at,
            projections: tables.clone().map(|it| it.projection.versioned()).collect(),
            state: match it.differences() {
                0 => "identical",
                _ => "different",
            },
            certificate: tables.clone().map(TableShown::from).collect(),
            balances: it.balances.iter().map(BalanceShown::from).collect(),
            differences: tables
                .flat_map(DifferenceRow::of)
                .map(DifferenceShown::from)
                .collect(),
        }
    }
}

impl From<&TableThen> for TableShown {
    fn from(it: &TableThen) -> Self {
        let (then, rows) = (it.then(), &it.rows);
        Self {
            table: it.projection.name(),
            rebuilt_rows: then.rows,
            rebuilt_checksum: hex::encode(then.checksum.bytes()),
            changed_since: rows.changed_since,
            live_rows: rows.live.rows,
            live_checksum: hex::encode(rows.live.checksum.bytes()),
            differences: rows.differences,
        }
    }
}

impl From<&BalanceThen> for BalanceShown {
    fn from(it: &BalanceThen) -> Self {
        Self {
            account: it.account,
            currency: it.currency.code(),
            identical: it.is_identical(),
            rebuilt: it.replayed.as_ref().map(SumsShown::from),
            live: it.live.as_ref().map(SumsShown::from),
        }
    }
}

impl From<&Balance> for SumsShown {
    fn from(it: &Balance) -> Self {
        Self {
            debit_minor: it.debit_minor,
            credit_minor: it.credit_minor,
            balance_minor: it.minor(),
        }
    }
}
