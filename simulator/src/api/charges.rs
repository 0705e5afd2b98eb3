//! `/v1/charges`: read, and annotated. They are made by confirming an intent.

use serde_json::Value;

use super::call::{Call, SHIPPING, read_email, read_metadata, read_shipping};
use super::customers;
use super::lists::{Created, Page, envelope};
use crate::errors::{ApiError, Outcome};
use crate::objects::Charge;
use crate::params::{Known, Shape};

const UPDATE: Known = &[
    ("description", Shape::Any),
    ("expand", Shape::Any),
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
    call.tx.put(charge.clone());
    call.tx.emit("charge.updated", &charge.render());
    Ok(charge.render())
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
