//! `/v1/refunds`

use serde_json::Value;

use super::call::{Call, read_metadata};
use super::lists::{Created, Page, envelope};
use crate::errors::{ApiError, Outcome};
use crate::flow::{self, NewRefund};
use crate::money;
use crate::objects::{Charge, ChargeStatus, Metadata, PaymentIntent, Refund};
use crate::params::{Known, Shape};

const CREATE: Known = &[
    ("amount", Shape::Any),
    ("charge", Shape::Any),
    ("currency", Shape::Any),
    ("expand", Shape::Any),
    ("instructions_email", Shape::Any),
    ("metadata", Shape::Open),
    ("payment_intent", Shape::Any),
    ("reason", Shape::Any),
    ("refund_application_fee", Shape::Any),
    ("reverse_transfer", Shape::Any),
];
const UPDATE: Known = &[("expand", Shape::Any), ("metadata", Shape::Open)];
const LIST: Known = &[
    ("charge", Shape::Any),
    ("created", Shape::Any),
    ("ending_before", Shape::Any),
    ("expand", Shape::Any),
    ("limit", Shape::Any),
    ("payment_intent", Shape::Any),
    ("starting_after", Shape::Any),
];

/// `POST /v1/refunds`
pub fn create(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(CREATE)?;
    let amount = money::read_positive(&call.params, "amount")?;
    let reason = call.params.word("reason")?.given();
    let mut metadata = Metadata::new();
    read_metadata(&call.params, &mut metadata)?;
    let charge = charge_of(call)?;
    let asked = NewRefund {
        amount,
        reason,
        metadata,
    };
    Ok(flow::refund(call.tx, charge, asked)?.render())
}

/// The charge that is named, or that took the money of the intent that is named.
fn charge_of(call: &Call<'_, '_>) -> Outcome<Charge> {
    let charge = call.params.text("charge", 500)?.given();
    let intent = call.params.text("payment_intent", 500)?.given();
    match (charge, intent) {
        (Some(id), None) => call
            .tx
            .get(&id)
            .ok_or_else(|| ApiError::no_such("charge", &id, "charge")),
        (None, Some(id)) => {
            let intent: PaymentIntent = call
                .tx
                .get(&id)
                .ok_or_else(|| ApiError::no_such("payment_intent", &id, "payment_intent"))?;
            let charge: Option<Charge> = intent.latest_charge.and_then(|id| call.tx.get(&id));
            charge
                .filter(|it| it.status == ChargeStatus::Succeeded)
                .ok_or_else(|| {
                    ApiError::invalid(format!(
                        "This PaymentIntent ({id}) does not have a successful charge to refund."
                    ))
                    .code("charge_not_refundable")
                    .param("payment_intent")
                    .executed()
                })
        }
        (None, None) => Err(ApiError::invalid(
            "One of the following params should be provided for this request: payment_intent or charge.",
        )
        .code("parameter_missing")
        .param("payment_intent")),
        (Some(_), Some(_)) => Err(ApiError::invalid(
            "You may only specify one of these parameters: charge, payment_intent.",
        )
        .param("charge")),
    }
}

fn the(call: &Call<'_, '_>) -> Outcome<Refund> {
    call.tx
        .get(call.id)
        .ok_or_else(|| ApiError::not_found("refund", call.id, "refund"))
}

/// `GET /v1/refunds/:id`
pub fn retrieve(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(&[("expand", Shape::Any)])?;
    Ok(the(call)?.render())
}

/// `POST /v1/refunds/:id`
pub fn update(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(UPDATE)?;
    let mut refund = the(call)?;
    read_metadata(&call.params, &mut refund.metadata)?;
    call.tx.put(refund.clone());
    call.tx.emit("refund.updated", &refund.render());
    Ok(refund.render())
}

/// `POST /v1/refunds/:id/cancel`
pub fn cancel(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(&[("expand", Shape::Any)])?;
    let refund = the(call)?;
    Ok(flow::cancel_refund(call.tx, refund)?.render())
}

/// `GET /v1/refunds`
pub fn list(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(LIST)?;
    let created = Created::read(&call.params)?;
    let charge = call.params.text("charge", 500)?.given();
    let intent = call.params.text("payment_intent", 500)?.given();
    let (refunds, has_more) = Page::read(&call.params)?.of::<Refund>(call, "refund", |it| {
        created.covers(it.created)
            && charge.as_ref().is_none_or(|charge| *charge == it.charge)
            && intent
                .as_ref()
                .is_none_or(|intent| *intent == it.payment_intent)
    })?;
    let data = refunds.into_iter().map(Refund::render).collect();
    Ok(envelope("/v1/refunds", data, has_more))
}
