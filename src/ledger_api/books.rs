//! The books: accounts, entries, balances and their trial, an account's statement, months and their closing, as they stand or as
//! they stood, and why any figure of them is what it is.

use aggregates::books::Month;
use aggregates::ledger::Account;
use aggregates::money::Currency;
use axum::extract::{Request, State};
use chrono::{DateTime, Utc};
use http::StatusCode;
use projections::books::{AsOf, Cursor, StatementLine, TrialBalance};
use projections::entries::{EntryCursor, EntryFilter, PostedBy, PostedEntry, PostedLine};
use projections::periods::{Closing, Period, Total};
use serde::Serialize;
use std::collections::BTreeSet;
use strum::IntoEnumIterator;
use uuid::Uuid;

use super::NAME;
use super::call::{Answer, Call, Said, json};
use super::cursor;
use super::error::no_such;
use super::fields;
use super::query::Query;
use super::shapes::List;
use crate::http::problem::Problem;
use crate::store::Scope;
use crate::use_cases::App;

const ENTRIES: &str = "entries";
const STATEMENT: &str = "statement";
/// The longest reason, in characters.
const BECAUSE_LENGTH_MAX: usize = 500;

#[derive(Serialize)]
struct AccountShown {
    object: &'static str,
    id: Account,
    /// `assets`, `liabilities`, `income`, `contra`, `expenses` or `suspense`.
    kind: &'static str,
}

#[derive(Serialize)]
struct BalanceShown {
    account: Account,
    currency: String,
    debit_minor: i64,
    credit_minor: i64,
    /// Debits less credits.
    balance_minor: i64,
}

#[derive(Serialize)]
struct BalancesShown {
    object: &'static str,
    /// The last position of the ledger that is in it.
    position: i64,
    balances: Vec<BalanceShown>,
}

#[derive(Serialize)]
struct TrialShown {
    object: &'static str,
    position: i64,
    /// Whether debits equal credits in every currency.
    balanced: bool,
    currencies: Vec<CurrencyShown>,
}

#[derive(Serialize)]
struct CurrencyShown {
    currency: String,
    /// Whole numbers, which may be larger than others.
    debit_minor: String,
    credit_minor: String,
    balanced: bool,
}

#[derive(Serialize)]
struct EntryShown {
    object: &'static str,
    id: String,
    position: i64,
    recorded_at: DateTime<Utc>,
    effective_at: DateTime<Utc>,
    /// The month that it is posted in.
    period: Month,
    lines: Vec<LineShown>,
    event: EventShown,
}

#[derive(Serialize)]
struct LineShown {
    account: Account,
    currency: String,
    debit_minor: i64,
    credit_minor: i64,
}

/// What posted it, and who.
#[derive(Serialize)]
pub(super) struct EventShown {
    event_id: Uuid,
    r#type: String,
    aggregate: AggregateShown,
    actor: Option<String>,
    key_id: Option<String>,
    door: Option<String>,
    reason: Option<String>,
    stripe_ids: BTreeSet<String>,
}

#[derive(Serialize)]
struct AggregateShown {
    r#type: String,
    id: String,
}

/// A page of a statement or an explanation: a list with what it comes to.
#[derive(Serialize)]
struct Paged<T> {
    object: &'static str,
    data: Vec<T>,
    has_more: bool,
    next: Option<String>,
    position: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    opening_minor: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    balance: Option<BalanceShown>,
}

#[derive(Serialize)]
struct StatementLineShown {
    id: String,
    debit_minor: i64,
    credit_minor: i64,
    balance_minor: i64,
    recorded_at: DateTime<Utc>,
    effective_at: DateTime<Utc>,
}

#[derive(Serialize)]
struct PeriodShown {
    object: &'static str,
    id: Month,
    position: i64,
    closing: Option<ClosingShown>,
    totals: Vec<TotalShown>,
}

#[derive(Serialize)]
struct ClosingShown {
    object: &'static str,
    through: Month,
    position: i64,
    closed_at: DateTime<Utc>,
    by: Option<String>,
    because: Option<String>,
}

#[derive(Serialize)]
struct TotalShown {
    account: Account,
    currency: String,
    opening_minor: i64,
    debit_minor: i64,
    credit_minor: i64,
    closing_minor: i64,
}

/// The chart of accounts: every merchant has the same.
pub async fn accounts(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::LedgerRead).await?;
    call.query()?.end()?;
    let shown = Account::iter().map(|id| AccountShown {
        object: "account",
        id,
        kind: id.as_str().split(':').next().unwrap_or_default(),
    });
    json(StatusCode::OK, &List::whole(shown.collect()))
}

/// What every account stands at.
pub async fn balances(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::LedgerRead).await?;
    let mut query = call.query()?;
    let as_of = as_of(&mut query);
    query.end()?;
    let merchant = &call.caller.merchant.id;
    let found = call.app.books().balances(merchant, as_of).await?;
    let shown = BalancesShown {
        object: "balances",
        position: found.ledger_position,
        balances: found.balances.iter().map(balance).collect(),
    };
    json(StatusCode::OK, &shown)
}

/// The sums of all accounts, by currency.
pub async fn trial_balance(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::LedgerRead).await?;
    let mut query = call.query()?;
    let as_of = as_of(&mut query);
    query.end()?;
    let merchant = &call.caller.merchant.id;
    let found = call.app.books().balances(merchant, as_of).await?;
    let sums = found.trial_balance();
    let of_currency = |it: &TrialBalance| CurrencyShown {
        currency: it.currency.code(),
        debit_minor: it.debit_minor.to_string(),
        credit_minor: it.credit_minor.to_string(),
        balanced: it.is_balanced(),
    };
    let shown = TrialShown {
        object: "trial_balance",
        position: found.ledger_position,
        balanced: sums.iter().all(|it| it.is_balanced()),
        currencies: sums.iter().map(of_currency).collect(),
    };
    json(StatusCode::OK, &shown)
}

/// The journal, in the order in which it was recorded.
pub async fn entries(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::LedgerRead).await?;
    let mut query = call.query()?;
    let filter = EntryFilter {
        account: query.parsed("account", "an account"),
        currency: query.parsed("currency", "a currency"),
        period: query.parsed("period", "a month such as 2026-11"),
    };
    let (limit, after) = (limit(&mut query), query.after::<EntryCursor>(ENTRIES));
    let as_of = as_of(&mut query);
    query.end()?;
    let merchant = &call.caller.merchant.id;
    let books = call.app.books();
    let found = books.entries(merchant, filter, as_of, after, limit).await?;
    let shown = Paged {
        object: "list",
        data: found.entries.into_iter().map(EntryShown::from).collect(),
        has_more: found.next.is_some(),
        next: found.next.map(|it| cursor::after(ENTRIES, &it.to_string())),
        position: found.ledger_position,
        opening_minor: None,
        balance: None,
    };
    json(StatusCode::OK, &shown)
}

/// An account's lines in one currency, with what it stands at after each.
pub async fn statement(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::LedgerRead).await?;
    let account: Account = named(&call, "id", "account")?;
    let mut query = call.query()?;
    let currency = currency(&mut query);
    let (limit, after) = (limit(&mut query), query.after::<Cursor>(STATEMENT));
    let as_of = as_of(&mut query);
    query.end()?;
    let (merchant, of) = (&call.caller.merchant.id, (account, currency));
    let books = call.app.books();
    let found = books.statement(merchant, of, as_of, after, limit).await?;
    let shown = Paged {
        object: "list",
        data: found.lines.iter().map(statement_line).collect(),
        has_more: found.next.is_some(),
        next: found
            .next
            .map(|it| cursor::after(STATEMENT, &it.to_string())),
        position: found.ledger_position,
        opening_minor: Some(found.opening_minor),
        balance: None,
    };
    json(StatusCode::OK, &shown)
}

/// Why an account stands where it does.
pub async fn explain(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::LedgerRead).await?;
    let mut query = call.query()?;
    let account = query.parsed("account", "an account");
    if account.is_none() {
        query.fault("account", "is to be one of the accounts");
    }
    let currency = currency(&mut query);
    let period = query.parsed("period", "a month such as 2026-11");
    let (limit, after) = (limit(&mut query), query.after::<EntryCursor>(ENTRIES));
    let as_of = as_of(&mut query);
    query.end()?;
    let account: Account = account.ok_or_else(Problem::internal)?;
    let (merchant, figure) = (&call.caller.merchant.id, (account, currency, period));
    let books = call.app.books();
    let found = books.explain(merchant, figure, as_of, after, limit).await?;
    let (of, made_of) = (balance(&found.balance), found.made_of);
    let shown = Paged {
        object: "list",
        data: made_of.entries.into_iter().map(EntryShown::from).collect(),
        has_more: made_of.next.is_some(),
        next: made_of
            .next
            .map(|it| cursor::after(ENTRIES, &it.to_string())),
        position: made_of.ledger_position,
        opening_minor: None,
        balance: Some(of),
    };
    json(StatusCode::OK, &shown)
}

/// The closings of the books, oldest first.
pub async fn closings(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::LedgerRead).await?;
    call.query()?.end()?;
    let merchant = &call.caller.merchant.id;
    let found = call.app.books().closings(merchant).await?;
    let shown = found.into_iter().map(ClosingShown::from).collect();
    json(StatusCode::OK, &List::<ClosingShown>::whole(shown))
}

/// What a month came to.
pub async fn period(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::LedgerRead).await?;
    let month: Month = named(&call, "month", "period")?;
    let mut query = call.query()?;
    let as_of = as_of(&mut query);
    query.end()?;
    let merchant = &call.caller.merchant.id;
    let found = call.app.books().period(merchant, month, as_of).await?;
    json(StatusCode::OK, &PeriodShown::from(found))
}

/// Closes a month, and all before it.
pub async fn close(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::Admin).await?;
    let Said { call, body, .. } = call.read()?;
    let month: Month = named(&call, "month", "period")?;
    let because = fields::read(&body, |fields| fields.text("because", BECAUSE_LENGTH_MAX))?;
    let by = call.app.person(&call.caller, NAME, because);
    call.app.close_period(by, month).await?;
    let merchant = &call.caller.merchant.id;
    let found = call.app.books().period(merchant, month, AsOf::Now).await?;
    json(StatusCode::OK, &PeriodShown::from(found))
}

/// `as_of` and `effective`, as they stand in the query.
pub(super) fn as_of(query: &mut Query) -> AsOf {
    let effective = query.parsed("effective", "true or false").unwrap_or(false);
    let Some(text) = query.text("as_of") else {
        if effective {
            query.fault("effective", "is said of `as_of`, which is absent");
        }
        return AsOf::Now;
    };
    AsOf::read(&text, effective).unwrap_or_else(|error| {
        query.fault("as_of", &format!("is {error}"));
        AsOf::Now
    })
}

/// The point of the ledger that is asked for, by its position or by when it was recorded; none where nothing is said.
pub(super) fn point(query: &mut Query) -> Option<AsOf> {
    let text = query.text("as_of")?;
    let read = AsOf::read(&text, false);
    read.map_err(|error| query.fault("as_of", &format!("is {error}")))
        .ok()
}

fn limit(query: &mut Query) -> u16 {
    u16::try_from(query.limit()).expect("a limit is a hundred at the most")
}

/// The currency that must be told.
fn currency(query: &mut Query) -> Currency {
    let told = query.parsed("currency", "a currency");
    if told.is_none() {
        query.fault("currency", "is to be a currency such as eur");
    }
    told.unwrap_or(Currency::EUR)
}

fn named<T: std::str::FromStr>(call: &Call, part: &str, what: &str) -> Result<T, Problem> {
    call.named(part).parse().map_err(|_| no_such(what))
}

fn balance(it: &projections::books::Balance) -> BalanceShown {
    BalanceShown {
        account: it.account,
        currency: it.currency.code(),
        debit_minor: it.debit_minor,
        credit_minor: it.credit_minor,
        balance_minor: it.minor(),
    }
}

fn statement_line(it: &StatementLine) -> StatementLineShown {
    StatementLineShown {
        id: it.at.to_string(),
        debit_minor: it.debit_minor,
        credit_minor: it.credit_minor,
        balance_minor: it.balance_minor,
        recorded_at: it.recorded_at,
        effective_at: it.effective_at,
    }
}

impl From<PostedEntry> for EntryShown {
    fn from(it: PostedEntry) -> Self {
        Self {
            object: "entry",
            id: it.at.to_string(),
            position: it.at.ledger_position,
            recorded_at: it.recorded_at,
            effective_at: it.effective_at,
            period: it.period,
            lines: it.lines.into_iter().map(LineShown::from).collect(),
            event: it.event.into(),
        }
    }
}

impl From<PostedBy> for EventShown {
    fn from(it: PostedBy) -> Self {
        let mut metadata = it.metadata;
        let mut told = |name: &str| metadata.remove(name);
        Self {
            event_id: it.event_id,
            r#type: it.event_type,
            aggregate: AggregateShown {
                r#type: it.aggregate_type,
                id: it.aggregate_id,
            },
            actor: told("actor"),
            key_id: told("key_id"),
            door: told("door"),
            reason: told("reason"),
            stripe_ids: it.stripe_ids,
        }
    }
}

impl From<PostedLine> for LineShown {
    fn from(it: PostedLine) -> Self {
        Self {
            account: it.account,
            currency: it.currency.code(),
            debit_minor: it.debit_minor,
            credit_minor: it.credit_minor,
        }
    }
}

impl From<Period> for PeriodShown {
    fn from(it: Period) -> Self {
        Self {
            object: "period",
            id: it.month,
            position: it.ledger_position,
            closing: it.closed.map(ClosingShown::from),
            totals: it.totals.into_iter().map(TotalShown::from).collect(),
        }
    }
}

impl From<Closing> for ClosingShown {
    fn from(it: Closing) -> Self {
        Self {
            object: "closing",
            through: it.through,
            position: it.ledger_position,
            closed_at: it.recorded_at,
            by: it.by,
            because: it.because,
        }
    }
}

impl From<Total> for TotalShown {
    fn from(it: Total) -> Self {
        Self {
            account: it.account,
            currency: it.currency.code(),
            opening_minor: it.opening_minor,
            debit_minor: it.debit_minor,
            credit_minor: it.credit_minor,
            closing_minor: it.closing_minor(),
        }
    }
}
