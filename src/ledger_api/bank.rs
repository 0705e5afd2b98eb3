//! `bank-statements` and `bank-lines`: what the bank says, and which payout each line of it is.

use aggregates::ids::SettlementId;
use aggregates::settlement::BankLine;
use axum::extract::{Request, State};
use http::StatusCode;
use projections::bank_lines::Row;
use serde::Serialize;
use uuid::Uuid;

use super::NAME;
use super::call::{Answer, Call, Said, json};
use super::error::{invalid, no_such};
use super::fields;
use super::shapes::List;
use crate::bank::{CsvFormat, NotAStatement, read_camt053, read_csv};
use crate::http::problem::{Fault, Problem};
use crate::store::Scope;
use crate::use_cases::{App, BankAccount};

const LINES: &str = "bank_lines";
/// The longest reason, in characters.
const BECAUSE_LENGTH_MAX: usize = 500;
/// The longest id of a payout, in characters.
const PAYOUT_LENGTH_MAX: usize = 64;

#[derive(Serialize)]
struct ImportedShown {
    object: &'static str,
    /// Lines that were not known.
    new: usize,
    known: usize,
    /// Of all lines of the merchant: what was matched just now.
    matched: usize,
    /// Of all lines of the merchant: those that fit several payouts equally well.
    ambiguous: usize,
}

#[derive(Serialize)]
struct LineShown {
    object: &'static str,
    id: Uuid,
    account: String,
    booked_on: String,
    value_on: Option<String>,
    currency: String,
    /// Positive where money came into the account.
    amount_minor: i64,
    names_payout: Option<String>,
    names_stripe: bool,
    /// The payout that it is the arrival or the return of.
    payout: Option<String>,
    /// A person has taken a match apart: only people match it.
    by_hand: bool,
}

/// Imports a statement: camt.053 where the body is XML, else CSV as the query's `format` (JSON) describes it.
pub async fn import(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::PaymentsWrite).await?;
    let mut query = call.query()?;
    let account: Option<BankAccount> = query.parsed("account", "what an account can be called");
    let format = query.text("format");
    let read = format.as_deref().map(serde_json::from_str::<CsvFormat>);
    if matches!(read, Some(Err(_))) {
        query.fault(
            "format",
            "is no description of how a bank writes its statements",
        );
    }
    query.end()?;
    let account = match account {
        Some(account) => account,
        None => "main".parse().map_err(|_| Problem::internal())?,
    };
    let lines = match read.and_then(Result::ok) {
        Some(format) => read_csv(call.body(), &format),
        None => read_camt053(call.body()),
    };
    let lines = lines.map_err(broken)?;
    let by = call.app.person(&call.caller, NAME, String::new());
    let imported = call
        .app
        .import_statement(&by.merchant, by.actor, account, lines)
        .await?;
    let shown = ImportedShown {
        object: "bank_statement",
        new: imported.new,
        known: imported.known,
        matched: imported.matched,
        ambiguous: imported.ambiguous,
    };
    json(StatusCode::OK, &shown)
}

/// The lines of all statements, by id.
pub async fn list(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::LedgerRead).await?;
    let mut query = call.query()?;
    let (limit, after) = (query.limit(), query.after::<SettlementId>(LINES));
    let matched: Option<bool> = query.parsed("matched", "true or false");
    query.end()?;
    let merchant = &call.caller.merchant.id;
    let books = call.app.books();
    let mut rows = books
        .bank_lines(merchant, matched, after, limit + 1)
        .await?;
    let has_more = rows.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let shown = List::new(
        LINES,
        (rows, has_more),
        |row| row.line_id.to_string(),
        LineShown::from,
    );
    json(StatusCode::OK, &shown)
}

/// One line.
pub async fn get(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::LedgerRead).await?;
    call.query()?.end()?;
    let id = named(&call)?;
    let line = call.app.line_of(&call.caller.merchant.id, id).await?;
    json(StatusCode::OK, &LineShown::of(id, line))
}

/// A person says which payout a line is.
pub async fn bind(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::PaymentsWrite).await?;
    let Said { call, body, .. } = call.read()?;
    let id = named(&call)?;
    let (payout, because) = fields::read(&body, |fields| {
        (
            fields.name("payout", PAYOUT_LENGTH_MAX),
            fields.text("because", BECAUSE_LENGTH_MAX),
        )
    })?;
    let by = call.app.person(&call.caller, NAME, because);
    let line = call.app.match_by_hand(by, id, payout).await?;
    json(StatusCode::OK, &LineShown::of(id, line))
}

/// A person says that a line is not its payout's.
pub async fn part(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::PaymentsWrite).await?;
    let Said { call, body, .. } = call.read()?;
    let id = named(&call)?;
    let because = fields::read(&body, |fields| fields.text("because", BECAUSE_LENGTH_MAX))?;
    let by = call.app.person(&call.caller, NAME, because);
    let line = call.app.unmatch_by_hand(by, id).await?;
    json(StatusCode::OK, &LineShown::of(id, line))
}

fn named(call: &Call) -> Result<SettlementId, Problem> {
    let id = call.named("id").parse();
    id.map_err(|_| no_such("bank line"))
}

/// Every fault of the file, by its line; nothing of what stands there.
fn broken(error: NotAStatement) -> Problem {
    let faults = error.faults.into_iter();
    invalid(faults.map(|it| Fault::of_body(it.to_string())).collect())
}

impl From<Row> for LineShown {
    fn from(it: Row) -> Self {
        Self {
            object: "bank_line",
            id: it.line_id,
            account: it.account,
            booked_on: it.booked_on,
            value_on: it.value_on,
            currency: it.currency,
            amount_minor: it.amount_minor,
            names_payout: it.names_payout,
            names_stripe: it.names_stripe,
            payout: it.matched,
            by_hand: it.by_hand,
        }
    }
}

impl LineShown {
    fn of(id: SettlementId, it: BankLine) -> Self {
        Self {
            object: "bank_line",
            id: id.uuid(),
            account: it.line.account,
            booked_on: it.line.booked_on.to_string(),
            value_on: it.line.value_on.map(|day| day.to_string()),
            currency: it.line.amount.currency().code(),
            amount_minor: it.line.amount.minor(),
            names_payout: it.line.names_payout,
            names_stripe: it.line.names_stripe,
            payout: it.matched,
            by_hand: it.by_hand,
        }
    }
}
