//! `parked`: intentions whose outcome no machine could find out; one person says what became of each, another approves.

use aggregates::ids::IntentionId;
use aggregates::parking::ParkedState;
use axum::extract::{Request, State};
use http::StatusCode;
use serde::Serialize;
use uuid::Uuid;

use super::NAME;
use super::call::{Answer, Call, Said, json, outcome};
use super::error::no_such;
use super::fields;
use super::shapes::List;
use crate::http::problem::Problem;
use crate::store::{ParkedRow, Scope};
use crate::use_cases::{App, ByHand};

const LIST: &str = "parked";
/// The longest reason, in characters.
const BECAUSE_LENGTH_MAX: usize = 500;
/// The longest id of Stripe's, in characters.
const STRIPE_ID_LENGTH_MAX: usize = 255;

#[derive(Serialize)]
struct ParkedShown {
    object: &'static str,
    /// The intention.
    id: Uuid,
    /// `payment` or `stripe_request`: what it is a part of.
    kind: String,
    subject: Uuid,
    /// What was asked of Stripe, in a word.
    what: String,
    /// Why it could not be found out.
    reason: String,
    state: String,
    proposal: Option<ProposalShown>,
    approved_by: Option<String>,
}

#[derive(Serialize)]
struct ProposalShown {
    outcome: String,
    stripe_id: Option<String>,
    by: String,
    because: Option<String>,
}

/// What is parked of the caller's merchant's, by intention.
pub async fn list(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::PaymentsRead).await?;
    let mut query = call.query()?;
    let (limit, after) = (query.limit(), query.after::<IntentionId>(LIST));
    let state: Option<ParkedState> = query.parsed("state", "a state of what is parked");
    query.end()?;
    let found = call
        .app
        .parked_page(&call.caller, state, after, limit)
        .await?;
    let shown = List::new(
        LIST,
        (found.items, found.has_more),
        |row| row.intention.to_string(),
        ParkedShown::from,
    );
    json(StatusCode::OK, &shown)
}

/// One parked intention.
pub async fn get(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::PaymentsRead).await?;
    call.query()?.end()?;
    let id = named(&call)?;
    let merchant = Some(&call.caller.merchant.id);
    let found = call.app.parked_one(merchant, id).await?;
    json(StatusCode::OK, &ParkedShown::from(found))
}

/// One person says what became of it.
pub async fn settle(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::PaymentsWrite).await?;
    let Said { call, body, key } = call.read()?;
    let id = named(&call)?;
    let (became, because) = fields::read(&body, |fields| {
        let outcome = fields.name("outcome", STRIPE_ID_LENGTH_MAX);
        let stripe_id = fields.optional_name("stripe_id", STRIPE_ID_LENGTH_MAX);
        match (outcome.as_str(), &stripe_id) {
            ("happened", Some(_)) | ("did_not_happen", None) | ("", _) => {}
            ("happened", None) => fields.fault("stripe_id", "is missing: what it happened to"),
            ("did_not_happen", Some(_)) => {
                fields.fault("stripe_id", "is said only of what happened");
            }
            _ => fields.fault("outcome", "is neither \"happened\" nor \"did_not_happen\""),
        }
        let became = stripe_id.map_or(ByHand::DidNotHappen, |stripe_id| ByHand::Happened {
            stripe_id,
        });
        (became, fields.text("because", BECAUSE_LENGTH_MAX))
    })?;
    let by = call.app.settler(&call.caller, NAME, key);
    let done = call.app.propose_settlement(by, id, became, because).await?;
    answer(done.replayed, done.it)
}

/// Another person approves it.
pub async fn approve(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::Approve).await?;
    let Said { call, body, key } = call.read()?;
    let id = named(&call)?;
    fields::read(&body, |_| ())?;
    let by = call.app.settler(&call.caller, NAME, key);
    let done = call.app.approve_settlement(by, id).await?;
    answer(done.replayed, done.it)
}

/// The intention, as it stands in the path.
fn named(call: &Call) -> Result<IntentionId, Problem> {
    let id = call.named("id").parse();
    id.map_err(|_| no_such("parked intention"))
}

fn answer(replayed: bool, it: ParkedRow) -> Answer {
    let location = format!("/ledger/v1/parked/{}", it.intention);
    outcome((false, replayed), &location, &ParkedShown::from(it))
}

impl From<ParkedRow> for ParkedShown {
    fn from(it: ParkedRow) -> Self {
        let (stripe_id, because) = (it.stripe_id, it.because);
        let proposal = it.outcome.zip(it.proposed_by);
        Self {
            object: "parked_intention",
            id: it.intention,
            kind: it.kind,
            subject: it.subject,
            what: it.what,
            reason: it.reason,
            state: it.state,
            proposal: proposal.map(|(outcome, by)| ProposalShown {
                outcome,
                stripe_id,
                by,
                because,
            }),
            approved_by: it.approved_by,
        }
    }
}
