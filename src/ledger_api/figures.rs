//! Why an order or a payment comes to what it comes to: each of its figures with the events that it moved at.

use aggregates::ids::OrderId;
use axum::extract::{Request, State};
use chrono::{DateTime, Utc};
use http::StatusCode;
use projections::books::AsOf;
use projections::figures::{Change, FigureExplained};
use projections::lives::Subject;
use serde::Serialize;

use super::books::{EventShown, point};
use super::call::{Answer, Call, json};
use super::error::no_such;
use crate::store::Scope;
use crate::use_cases::App;

#[derive(Serialize)]
struct ExplanationShown {
    object: &'static str,
    /// Of the order, or of the payment.
    id: String,
    /// The last position of the ledger that is in it.
    position: i64,
    figures: Vec<FigureShown>,
}

#[derive(Serialize)]
struct FigureShown {
    figure: String,
    currency: String,
    amount_minor: i64,
    /// Oldest first; what they moved it by adds up to it.
    made_of: Vec<ChangeShown>,
}

#[derive(Serialize)]
struct ChangeShown {
    position: i64,
    recorded_at: DateTime<Utc>,
    change_minor: i64,
    comes_to_minor: i64,
    event: EventShown,
}

/// An order's figures, as they stand or as they stood.
pub async fn of_order(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::LedgerRead).await?;
    let as_of = asked(&call)?;
    let id: OrderId = call.named("id").parse().map_err(|_| no_such("order"))?;
    explained(&call, Subject::Order(id), as_of).await
}

/// A payment's figures, by our id or by Stripe's, as they stand or as they stood.
pub async fn of_payment(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::LedgerRead).await?;
    let as_of = asked(&call)?;
    let known = call.app.known_payment(&call.caller, call.named("id"));
    let id = known.await?.id;
    explained(&call, Subject::Payment(id), as_of).await
}

fn asked(call: &Call) -> Result<AsOf, crate::http::problem::Problem> {
    let mut query = call.query()?;
    let as_of = point(&mut query).unwrap_or(AsOf::Now);
    query.end()?;
    Ok(as_of)
}

async fn explained(call: &Call, subject: Subject, as_of: AsOf) -> Answer {
    let merchant = &call.caller.merchant.id;
    let (what, id) = match subject {
        Subject::Order(id) => ("order", id.to_string()),
        Subject::Payment(id) => ("payment", id.to_string()),
    };
    let found = call.app.exports().figures(merchant, subject, as_of).await?;
    let found = found.ok_or_else(|| no_such(what))?;
    let shown = ExplanationShown {
        object: "explanation",
        id,
        position: found.ledger_position,
        figures: found.figures.into_iter().map(FigureShown::from).collect(),
    };
    json(StatusCode::OK, &shown)
}

impl From<FigureExplained> for FigureShown {
    fn from(it: FigureExplained) -> Self {
        Self {
            figure: it.figure.to_string(),
            currency: it.amount.currency().code(),
            amount_minor: it.amount.minor(),
            made_of: it.made_of.into_iter().map(ChangeShown::from).collect(),
        }
    }
}

impl From<Change> for ChangeShown {
    fn from(it: Change) -> Self {
        Self {
            position: it.ledger_position,
            recorded_at: it.recorded_at,
            change_minor: it.by.minor(),
            comes_to_minor: it.comes_to.minor(),
            event: it.event.into(),
        }
    }
}
