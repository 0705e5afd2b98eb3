//! `/v1/payment_methods`: cards, raw or ready-made.

use chrono::{DateTime, Datelike};
use serde_json::Value;

use super::call::{ADDRESS, Call, read_billing_details, read_metadata};
use super::customers;
use super::lists::{Page, envelope};
use crate::cards::{Card, GivenCard};
use crate::errors::{ApiError, Outcome};
use crate::objects::{Customer, Metadata, PaymentMethod};
use crate::params::{Known, Params, Shape};
use crate::state::Tx;

const BILLING_DETAILS: Shape = Shape::Hash(&[
    ("address", ADDRESS),
    ("email", Shape::Any),
    ("name", Shape::Any),
    ("phone", Shape::Any),
    ("tax_id", Shape::Any),
]);

const CARD: Shape = Shape::Hash(&[
    ("cvc", Shape::Any),
    ("exp_month", Shape::Any),
    ("exp_year", Shape::Any),
    ("networks", Shape::Open),
    ("number", Shape::Any),
    ("token", Shape::Any),
]);

/// What describes a new method in `payment_method_data`.
pub const DATA: Known = &[
    ("allow_redisplay", Shape::Any),
    ("billing_details", BILLING_DETAILS),
    ("card", CARD),
    ("metadata", Shape::Open),
    ("radar_options", Shape::Open),
    ("type", Shape::Any),
];

const CREATE: Known = &[
    ("allow_redisplay", Shape::Any),
    ("billing_details", BILLING_DETAILS),
    ("card", CARD),
    ("expand", Shape::Any),
    ("metadata", Shape::Open),
    ("radar_options", Shape::Open),
    ("type", Shape::Any),
];

const UPDATE: Known = &[
    ("allow_redisplay", Shape::Any),
    ("billing_details", BILLING_DETAILS),
    (
        "card",
        Shape::Hash(&[
            ("exp_month", Shape::Any),
            ("exp_year", Shape::Any),
            ("networks", Shape::Open),
        ]),
    ),
    ("expand", Shape::Any),
    ("metadata", Shape::Open),
];

const LIST: Known = &[
    ("customer", Shape::Any),
    ("ending_before", Shape::Any),
    ("expand", Shape::Any),
    ("limit", Shape::Any),
    ("starting_after", Shape::Any),
    ("type", Shape::Any),
];

const LIST_OF_CUSTOMER: Known = &[
    ("ending_before", Shape::Any),
    ("expand", Shape::Any),
    ("limit", Shape::Any),
    ("starting_after", Shape::Any),
    ("type", Shape::Any),
];

/// `POST /v1/payment_methods`
pub fn create(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(CREATE)?;
    let method = read_new(call.tx, &call.params)?;
    Ok(method.render())
}

/// Makes the method that the parameters describe.
///
/// # Errors
/// 402 for an invalid card; 400 for anything else that is wrong.
pub fn read_new(tx: &mut Tx<'_>, params: &Params<'_>) -> Outcome<PaymentMethod> {
    let method_type = params.required_text("type", 100)?;
    if method_type != "card" {
        return Err(ApiError::invalid(format!(
            "Invalid {}: must be card; the simulator has no other payment methods.",
            params.name("type")
        ))
        .param(params.name("type")));
    }
    read_card(tx, params)
}

/// Makes the method that `card` describes, with `billing_details` and `metadata`.
///
/// # Errors
/// As [`read_new`].
fn read_card(tx: &mut Tx<'_>, params: &Params<'_>) -> Outcome<PaymentMethod> {
    let card = params
        .hash("card")?
        .given()
        .ok_or_else(|| ApiError::missing(&params.name("card")))?;
    let today = today(tx);
    let card = tx
        .cell
        .with_secrets(|secrets| Card::read(&card, secrets, today))?;
    let mut billing_details = PaymentMethod::empty_billing_details();
    read_billing_details(params, &mut billing_details)?;
    let mut metadata = Metadata::new();
    read_metadata(params, &mut metadata)?;
    Ok(put_new(tx, card, billing_details, metadata))
}

/// Makes a method of a card that a payer gave.
///
/// # Errors
/// 402 for an invalid card.
pub fn of_card(tx: &mut Tx<'_>, given: &GivenCard<'_>) -> Outcome<PaymentMethod> {
    let today = today(tx);
    let card = tx
        .cell
        .with_secrets(|secrets| Card::checked(given, secrets, today))?;
    let nothing = PaymentMethod::empty_billing_details();
    Ok(put_new(tx, card, nothing, Metadata::new()))
}

fn put_new(
    tx: &mut Tx<'_>,
    card: Card,
    billing_details: Value,
    metadata: Metadata,
) -> PaymentMethod {
    let method = PaymentMethod {
        id: tx.new_id("pm"),
        created: tx.now,
        card,
        billing_details,
        metadata,
        customer: None,
        detached: false,
    };
    tx.put(method.clone());
    method
}

/// The method with this id; `pm_card_visa` and its like make a new one each time.
pub fn find(tx: &mut Tx<'_>, id: &str) -> Option<PaymentMethod> {
    let Some(name) = id.strip_prefix("pm_card_") else {
        return tx.get(id);
    };
    let today = today(tx);
    let card = tx
        .cell
        .with_secrets(|secrets| Card::ready_made(name, secrets, today))?;
    Some(put_new(
        tx,
        card,
        PaymentMethod::empty_billing_details(),
        Metadata::new(),
    ))
}

/// The year and month by which the account judges the dates of cards.
fn today(tx: &Tx<'_>) -> (i64, i64) {
    tx.cell.settings.cards_judged_in.unwrap_or_else(|| {
        let now = DateTime::from_timestamp(tx.now, 0).expect("the clock is within the calendar");
        (i64::from(now.year()), i64::from(now.month()))
    })
}

/// `GET /v1/payment_methods/:id`
pub fn retrieve(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(&[("expand", Shape::Any)])?;
    Ok(the(call)?.render())
}

fn the(call: &mut Call<'_, '_>) -> Outcome<PaymentMethod> {
    find(call.tx, call.id)
        .ok_or_else(|| ApiError::not_found("PaymentMethod", call.id, "payment_method"))
}

/// `POST /v1/payment_methods/:id`
pub fn update(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(UPDATE)?;
    let mut method = the(call)?;
    if method.customer.is_none() {
        return Err(ApiError::invalid(
            "You must save this PaymentMethod to a customer before you can update it.",
        ));
    }
    read_billing_details(&call.params, &mut method.billing_details)?;
    read_metadata(&call.params, &mut method.metadata)?;
    if let Some(card) = call.params.hash("card")?.given() {
        let month = card.int("exp_month")?.unwrap_or(method.card.exp_month);
        let year = card.int("exp_year")?.unwrap_or(method.card.exp_year);
        method.card.set_expiry(month, year, today(call.tx))?;
    }
    call.tx.put(method.clone());
    call.tx.emit("payment_method.updated", &method.render());
    Ok(method.render())
}

/// `POST /v1/payment_methods/:id/attach`
pub fn attach_to(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params
        .only(&[("customer", Shape::Any), ("expand", Shape::Any)])?;
    let id = call.params.required_text("customer", 500)?;
    the(call)?;
    let customer = customers::named(call.tx, &id, "customer")?;
    let method = attach(call.tx, call.id, "payment_method", &customer)?;
    call.tx.emit("payment_method.attached", &method.render());
    Ok(method.render())
}

/// Makes the method the customer's; the caller tells of it. It is there at once if it already is.
///
/// # Errors
/// 400 when there is no such method, it is another customer's, or was detached.
pub fn attach(
    tx: &mut Tx<'_>,
    id: &str,
    param: &str,
    customer: &Customer,
) -> Outcome<PaymentMethod> {
    let mut method = find(tx, id).ok_or_else(|| ApiError::no_such("PaymentMethod", id, param))?;
    check_usable(&method)?;
    if method
        .customer
        .as_ref()
        .is_some_and(|owner| *owner != customer.id)
    {
        return Err(ApiError::invalid(
            "The payment method you provided has already been attached to a customer.",
        )
        .code("payment_method_unexpected_state"));
    }
    method.customer = Some(customer.id.clone());
    tx.put(method.clone());
    Ok(method)
}

/// Whether the method was not taken from its customer.
///
/// # Errors
/// 400, since it may not be used again.
pub fn check_usable(method: &PaymentMethod) -> Outcome<()> {
    match method.detached {
        false => Ok(()),
        true => Err(ApiError::invalid(
            "This PaymentMethod was previously used without being attached to a Customer or was detached from a Customer, and may not be used \
             again.",
        )
        .code("payment_method_unexpected_state")
        .param("payment_method")),
    }
}

/// `POST /v1/payment_methods/:id/detach`
pub fn detach_from(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(&[("expand", Shape::Any)])?;
    let method = the(call)?;
    if method.customer.is_none() {
        return Err(ApiError::invalid(
            "The payment method you provided is not attached to a customer so detachment is impossible.",
        )
        .code("payment_method_unexpected_state"));
    }
    Ok(detach(call.tx, method).render())
}

/// Takes the method from its customer.
pub fn detach(tx: &mut Tx<'_>, mut method: PaymentMethod) -> PaymentMethod {
    method.customer = None;
    method.detached = true;
    tx.put(method.clone());
    tx.emit("payment_method.detached", &method.render());
    method
}

/// `GET /v1/payment_methods`: a customer's, or all of them.
pub fn list(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(LIST)?;
    let customer = customers::filter(call)?;
    listed(call, customer.as_deref(), "/v1/payment_methods")
}

/// `GET /v1/customers/:id/payment_methods`
pub fn list_of_customer(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(LIST_OF_CUSTOMER)?;
    let customer: Option<Customer> = call.tx.get(call.id);
    if customer.is_none_or(|it| it.deleted) {
        return Err(ApiError::not_found("customer", call.id, "customer"));
    }
    let url = format!("/v1/customers/{}/payment_methods", call.id);
    listed(call, Some(call.id), &url)
}

/// `GET /v1/customers/:customer/payment_methods/:id`; the id of the call is all that follows `customers/`.
pub fn retrieve_of_customer(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(&[("expand", Shape::Any)])?;
    let (owner, id) = call.id.split_once("/payment_methods/").unwrap_or_default();
    let customer: Option<Customer> = call.tx.get(owner);
    if customer.is_none_or(|it| it.deleted) {
        return Err(ApiError::not_found("customer", owner, "customer"));
    }
    let method: Option<PaymentMethod> = call.tx.get(id);
    let method = method.filter(|it| it.customer.as_deref() == Some(owner));
    method
        .map(|it| it.render())
        .ok_or_else(|| ApiError::not_found("PaymentMethod", id, "payment_method"))
}

fn listed(call: &Call<'_, '_>, customer: Option<&str>, url: &str) -> Outcome<Value> {
    let kind = call.params.text("type", 100)?.given();
    let (methods, has_more) =
        Page::read(&call.params)?.of::<PaymentMethod>(call, "payment_method", |it| {
            kind.as_ref().is_none_or(|kind| kind == "card")
                && customer.is_none_or(|id| it.customer.as_deref() == Some(id))
        })?;
    let data = methods.into_iter().map(PaymentMethod::render).collect();
    Ok(envelope(url, data, has_more))
}
