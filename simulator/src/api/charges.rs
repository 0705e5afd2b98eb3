//! `/v1/charges`: read, and annotated. They are made by confirming an intent.

use serde_json::Value;

use super::call::{Call, SHIPPING, read_email, read_metadata, read_shipping};
use super::customers;
use super::lists::{Created, Page, envelope};
use super::payment_intents::read_descriptors;
use crate::errors::{ApiError, Outcome};
use crate::flow;
use crate::money;
use crate::objects::{Charge, PaymentIntent, PaymentIntentStatus};
use crate::params::{Known, Shape};

const CAPTURE: Known = &[
    ("amount", Shape::Any),
    ("expand", Shape::Any),
    ("receipt_email", Shape::Any),
    ("statement_descriptor", Shape::Any),
    ("statement_descriptor_suffix", Shape::Any),
    ("transfer_group", Shape::Any),
];
const UPDATE: Known = &[
    ("customer", Shape::Any),
    ("description", Shape::Any),
    ("expand", Shape::Any),
    ("fraud_details", Shape::Hash(&[("user_report", Shape::Any)])),
    ("metadata", Shape::Open),
    ("receipt_email", Shape::Any),
    ("shipping", SHIPPING),
    ("transfer_group", Shape::Any),
];
const LIST: Known = &[
    ("created", Shape::Any),
    ("customer", Shape::Any),
    ("ending_before", Shape::Any),
    ("expand", Shape::Any),
    ("limit", Shape::Any),
    ("payment_intent", Shape::Any),
    ("starting_after", Shape::Any),
    ("transfer_group", Shape::Any),
];

fn the(call: &Call<'_, '_>) -> Outcome<Charge> {
    call.tx
        .get(call.id)
        .ok_or_else(|| ApiError::not_found("charge", call.id, "charge"))
}

/// `GET /v1/charges/:id`
pub fn retrieve(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(&[("expand", Shape::Any)])?;
    Ok(the(call)?.render())
}

/// `POST /v1/charges/:id`
pub fn update(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(UPDATE)?;
    let mut charge = the(call)?;
    call.params
        .text("description", 1_000)?
        .apply(&mut charge.description);
    read_metadata(&call.params, &mut charge.metadata)?;
    read_email(&call.params, "receipt_email")?.apply(&mut charge.receipt_email);
    read_shipping(&call.params)?.apply(&mut charge.shipping);
    call.params
        .text("transfer_group", 500)?
        .apply(&mut charge.transfer_group);
    if let Some(id) = call.params.text("customer", 500)?.given() {
        if charge.customer.as_ref().is_some_and(|it| *it != id) {
            let message = "You cannot change the customer of a charge that already has one.";
            return Err(ApiError::invalid(message).param("customer"));
        }
        charge.customer = Some(customers::named(call.tx, &id, "customer")?.id);
    }
    if let Some(fraud) = call.params.hash("fraud_details")?.given() {
        fraud.word("user_report")?.apply(&mut charge.user_report);
    }
    call.tx.put(charge.clone());
    call.tx.emit("charge.updated", &charge.render());
    Ok(charge.render())
}

/// `POST /v1/charges/:id/capture`. Every charge here is an intent's, of which Stripe's documentation is silent: the intent is captured with it.
pub fn capture(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(CAPTURE)?;
    let charge = the(call)?;
    let amount = money::read_positive(&call.params, "amount")?;
    let intent: Option<PaymentIntent> = call.tx.get(&charge.payment_intent);
    let mut intent = intent.expect("a charge has its intent");
    check_capturable(&charge, &intent)?;
    read_email(&call.params, "receipt_email")?.apply(&mut intent.receipt_email);
    read_descriptors(&call.params, &mut intent)?;
    let group = call.params.text("transfer_group", 500)?;
    group.apply(&mut intent.transfer_group);
    flow::capture(call.tx, intent, amount)?;
    Ok(the(call)?.render())
}

fn check_capturable(charge: &Charge, intent: &PaymentIntent) -> Outcome<()> {
    let id = &charge.id;
    if charge.captured {
        let message = format!("Charge {id} has already been captured.");
        return Err(ApiError::invalid(message)
            .code("charge_already_captured")
            .executed());
    }
    if intent.cancellation_reason.as_deref() == Some("automatic") {
        let message = format!("Charge {id} has expired, and can no longer be captured.");
        return Err(ApiError::invalid(message)
            .code("charge_expired_for_capture")
            .executed());
    }
    if intent.latest_charge.as_ref() == Some(id)
        && intent.status == PaymentIntentStatus::RequiresCapture
    {
        return Ok(());
    }
    let message = format!("Charge {id} is not held, and cannot be captured.");
    Err(ApiError::invalid(message).executed())
}

/// `GET /v1/charges`
pub fn list(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(LIST)?;
    let created = Created::read(&call.params)?;
    let intent = call.params.text("payment_intent", 500)?.given();
    let customer = customers::filter(call)?;
    let group = call.params.text("transfer_group", 500)?.given();
    let (charges, has_more) = Page::read(&call.params)?.of::<Charge>(call, "charge", |it| {
        created.covers(it.created)
            && intent
                .as_ref()
                .is_none_or(|intent| *intent == it.payment_intent)
            && (customer.is_none() || customer == it.customer)
            && (group.is_none() || group == it.transfer_group)
    })?;
    let data = charges.into_iter().map(Charge::render).collect();
    Ok(envelope("/v1/charges", data, has_more))
}
