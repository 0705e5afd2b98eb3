//! `payments`: as the ledger knows them. Stripe is not asked.

use aggregates::ids::{OrderId, PaymentId};
use aggregates::money::Money;
use aggregates::payment::state::{Dispute, Refund, Status};
use axum::extract::{Request, State};
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::Serialize;
use std::collections::BTreeMap;
use uuid::Uuid;

use super::books::point;
use super::call::{Answer, Call, json};
use super::shapes::{self, List};
use crate::http::problem::Problem;
use crate::store::{PaymentFilter, PaymentRow, Scope, Span};
use crate::use_cases::{App, PaymentView};

const LIST: &str = "payments";

#[derive(Serialize)]
struct PaymentShown {
    object: &'static str,
    id: String,
    /// Stripe's id of the intent.
    intent: Option<String>,
    order: Option<String>,
    status: String,
    /// Whether Stripe has still to answer something about it.
    outcome_unknown: bool,
    /// By when that is found out, or parked for people.
    outcome_due_at: Option<DateTime<Utc>>,
    capture_method: String,
    currency: String,
    amount_minor: i64,
    /// Held and not taken.
    authorized_minor: i64,
    captured_minor: i64,
    refunded_minor: i64,
    /// Asked to be given back, and not ended.
    refunds_open_minor: i64,
    /// Withdrawn by disputes, and not reinstated.
    disputed_minor: i64,
    /// The part of what was captured that paid its order.
    applied_minor: i64,
    charge: Option<String>,
    checkout_session: Option<String>,
    description: Option<String>,
    metadata: BTreeMap<String, String>,
    last_decline: Option<DeclineShown>,
    cancellation_reason: Option<String>,
    refunds: Vec<RefundShown>,
    disputes: Vec<DisputeShown>,
    version: u64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

#[derive(Serialize)]
struct DeclineShown {
    code: String,
    decline_code: Option<String>,
    message: String,
}

#[derive(Serialize)]
struct RefundShown {
    id: String,
    /// Stripe's id.
    refund: Option<String>,
    amount_minor: i64,
    status: String,
    reason: Option<String>,
    failure_reason: Option<String>,
}

#[derive(Serialize)]
struct DisputeShown {
    /// Stripe's id.
    dispute: String,
    amount_minor: i64,
    /// Withdrawn, and not reinstated.
    withdrawn_minor: i64,
    reason: String,
    inquiry: bool,
    /// None while it is open.
    won: Option<bool>,
}

/// A payment in a list.
#[derive(Serialize)]
struct PaymentListed {
    object: &'static str,
    id: Uuid,
    intent: Option<String>,
    order: Option<Uuid>,
    status: String,
    outcome_unknown: bool,
    currency: String,
    amount_minor: i64,
    captured_minor: i64,
    refunded_minor: i64,
    version: i64,
    created_at: DateTime<Utc>,
}

/// The payments of the caller's merchant, newest first.
pub async fn list(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::PaymentsRead).await?;
    let mut query = call.query()?;
    let (limit, after) = (query.limit(), query.after::<PaymentId>(LIST));
    let status: Option<Status> = query.parsed("status", "a status of a payment");
    let order: Option<OrderId> = query.parsed("order", "an order's id");
    let created = Span {
        from: query.moment("created_from"),
        before: query.moment("created_before"),
    };
    query.end()?;
    let filter = PaymentFilter {
        status: status.map(|it| it.to_string()),
        order,
        created: created.checked()?,
    };
    let found = call
        .app
        .payments(&call.caller, &filter, after, limit)
        .await?;
    let shown = List::new(
        LIST,
        (found.items, found.has_more),
        |row| row.payment_id.to_string(),
        PaymentListed::from,
    );
    json(StatusCode::OK, &shown)
}

/// One payment, by our id or by Stripe's, as it stands or as it stood.
pub async fn get(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::PaymentsRead).await?;
    let mut query = call.query()?;
    let as_of = point(&mut query);
    query.end()?;
    let name = call.named("id");
    let it = match as_of {
        None => call.app.known_payment(&call.caller, name).await?,
        Some(as_of) => call.app.payment_as_of(&call.caller, name, as_of).await?,
    };
    json(StatusCode::OK, &PaymentShown::of(&it)?)
}

/// All that happened to a payment.
pub async fn life(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::PaymentsRead).await?;
    call.query()?.end()?;
    let events = call.app.payment_life(&call.caller, call.named("id"));
    json(StatusCode::OK, &shapes::life(&events.await?)?)
}

impl PaymentShown {
    fn of(it: &PaymentView) -> Result<Self, Problem> {
        let facts = it.payment.state.facts().ok_or_else(Problem::internal)?;
        let open =
            |refund: &Refund| refund.status == aggregates::payment::state::RefundStatus::Requested;
        let withdrawn = facts.disputes.values().map(|it| it.withdrawn.minor());
        let last_decline = facts.last_decline.as_ref().map(|it| DeclineShown {
            code: it.code.clone(),
            decline_code: it.decline_code.clone(),
            message: it.message.clone(),
        });
        let minor = Money::minor;
        Ok(Self {
            object: "payment",
            id: it.id.to_string(),
            intent: facts.intent.as_ref().map(|it| it.id.clone()),
            order: facts.order.map(|it| it.to_string()),
            status: facts.public_status().to_string(),
            outcome_unknown: facts.pending.is_some() || facts.refunds.iter().any(open),
            outcome_due_at: it.outcome_due_at,
            capture_method: facts.capture_method.to_string(),
            currency: shapes::currency(facts.amount),
            amount_minor: minor(facts.amount),
            authorized_minor: minor(facts.authorized),
            captured_minor: minor(facts.captured),
            refunded_minor: minor(facts.refunded()),
            refunds_open_minor: minor(facts.refunds_open()),
            disputed_minor: withdrawn.fold(0, i64::saturating_add),
            applied_minor: minor(facts.applied),
            charge: facts.charge.clone(),
            checkout_session: facts.checkout_session.clone(),
            description: facts.description.clone(),
            metadata: facts.metadata.as_map().clone(),
            last_decline,
            cancellation_reason: facts.cancellation_reason.clone(),
            refunds: facts.refunds.iter().map(RefundShown::from).collect(),
            disputes: facts.disputes.iter().map(DisputeShown::from).collect(),
            version: it.payment.version,
            created_at: it.payment.created_at,
            updated_at: it.payment.updated_at,
        })
    }
}

impl From<&Refund> for RefundShown {
    fn from(it: &Refund) -> Self {
        Self {
            id: it.id.to_string(),
            refund: it.stripe_refund.clone(),
            amount_minor: it.amount.minor(),
            status: it.status.to_string(),
            reason: it.reason.map(|it| it.to_string()),
            failure_reason: it.failure_reason.clone(),
        }
    }
}

impl From<(&String, &Dispute)> for DisputeShown {
    fn from((id, it): (&String, &Dispute)) -> Self {
        Self {
            dispute: id.clone(),
            amount_minor: it.amount.minor(),
            withdrawn_minor: it.withdrawn.minor(),
            reason: it.reason.clone(),
            inquiry: it.inquiry,
            won: it.won,
        }
    }
}

impl From<PaymentRow> for PaymentListed {
    fn from(it: PaymentRow) -> Self {
        Self {
            object: "payment",
            id: it.payment_id,
            intent: it.intent,
            order: it.order_id,
            status: it.status,
            outcome_unknown: it.outcome_unknown,
            currency: it.currency,
            amount_minor: it.amount_minor,
            captured_minor: it.captured_minor,
            refunded_minor: it.refunded_minor,
            version: it.version,
            created_at: it.created_at,
        }
    }
}
