//! `chart`: what the merchant's own books call our accounts. Exports tell it beside ours where they are asked to.

use aggregates::books::{Chart, ChartAccount, NotAChartAccount};
use aggregates::ledger::Account;
use axum::extract::{Request, State};
use http::StatusCode;
use projections::books::AsOf;
use serde::Serialize;
use strum::IntoEnumIterator;

use super::NAME;
use super::books::point;
use super::call::{Answer, Call, Said, json};
use super::error::no_such;
use super::fields;
use crate::http::problem::Problem;
use crate::store::Scope;
use crate::use_cases::App;

/// In characters.
const CODE_LENGTH_MAX: usize = 40;
const NAME_LENGTH_MAX: usize = 200;
const BECAUSE_LENGTH_MAX: usize = 500;
const ONE_LINE: &str = "is to be one line of text";

#[derive(Serialize)]
struct ChartShown {
    object: &'static str,
    /// The position of the ledger that this is as of.
    position: i64,
    /// All of ours.
    accounts: Vec<MappedShown>,
}

#[derive(Serialize)]
struct MappedShown {
    account: Account,
    /// None where the merchant's chart has none for it.
    code: Option<String>,
    name: Option<String>,
}

/// The whole chart, as it stands or as it stood.
pub async fn get(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::LedgerRead).await?;
    let mut query = call.query()?;
    let as_of = point(&mut query).unwrap_or(AsOf::Now);
    query.end()?;
    shown(&call, as_of).await
}

/// Says what an account of ours is called.
pub async fn map(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::Admin).await?;
    let Said { call, body, .. } = call.read()?;
    let account = account(&call)?;
    let (to, because) = fields::read(&body, |fields| {
        let code = fields.text("code", CODE_LENGTH_MAX);
        let name = fields.text("name", NAME_LENGTH_MAX);
        let to = ChartAccount::new(&code, &name).map_err(|error| match error {
            // What is empty was found at fault already.
            NotAChartAccount::Code if !code.is_empty() => fields.fault("code", ONE_LINE),
            NotAChartAccount::Name if !name.is_empty() => fields.fault("name", ONE_LINE),
            _ => {}
        });
        (to, fields.optional_text("because", BECAUSE_LENGTH_MAX))
    })?;
    let to = to.map_err(|()| Problem::internal())?;
    let by = call
        .app
        .person(&call.caller, NAME, because.unwrap_or_default());
    call.app.map_account(by, account, Some(to)).await?;
    shown(&call, AsOf::Now).await
}

/// Takes back what an account of ours is called.
pub async fn unmap(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::Admin).await?;
    let Said { call, body, .. } = call.read()?;
    fields::read(&body, |_| ())?;
    let account = account(&call)?;
    let by = call.app.person(&call.caller, NAME, String::new());
    call.app.map_account(by, account, None).await?;
    shown(&call, AsOf::Now).await
}

fn account(call: &Call) -> Result<Account, Problem> {
    call.named("id").parse().map_err(|_| no_such("account"))
}

async fn shown(call: &Call, as_of: AsOf) -> Answer {
    let merchant = &call.caller.merchant.id;
    let (position, chart) = call.app.exports().chart(merchant, as_of).await?;
    let shown = ChartShown {
        object: "chart",
        position,
        accounts: Account::iter().map(|it| mapped(it, &chart)).collect(),
    };
    json(StatusCode::OK, &shown)
}

fn mapped(account: Account, chart: &Chart) -> MappedShown {
    let theirs = chart.get(&account);
    MappedShown {
        account,
        code: theirs.map(|it| it.code().to_owned()),
        name: theirs.map(|it| it.name().to_owned()),
    }
}
