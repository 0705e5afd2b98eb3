//! `/v1/payment_intents`

mod reading;

pub use reading::{read_descriptive, read_descriptors, read_types};

use serde_json::Value;

use self::reading::{
    CONFIRM, CREATE, UPDATE, check_unconfirmed, read_attributes, read_automatic, read_confirmation,
    shown,
};
use super::call::{Call, Caller, read_metadata};
use super::customers;
use super::lists::{Created, Page, envelope};
use crate::errors::{ApiError, Outcome};
use crate::flow;
use crate::money;
use crate::objects::{
    CancellationReason, ConfirmationMethod, PaymentIntent, PaymentIntentStatus as Status,
};
use crate::params::{Field, Known, Shape};
use crate::wire::Word;

const CAPTURE: Known = &[
    ("amount_to_capture", Shape::Any),
    ("expand", Shape::Any),
    ("metadata", Shape::Open),
    ("statement_descriptor", Shape::Any),
    ("statement_descriptor_suffix", Shape::Any),
];
const CANCEL: Known = &[("cancellation_reason", Shape::Any), ("expand", Shape::Any)];
const RETRIEVE: Known = &[("client_secret", Shape::Any), ("expand", Shape::Any)];
const LIST: Known = &[
    ("created", Shape::Any),
    ("customer", Shape::Any),
    ("ending_before", Shape::Any),
    ("expand", Shape::Any),
    ("limit", Shape::Any),
    ("starting_after", Shape::Any),
];

/// `POST /v1/payment_intents`
pub fn create(call: &mut Call<'_, '_>) -> Outcome<Value> {
    let params = call.params.clone();
    params.only(CREATE)?;
    let amount =
        money::read_positive(&params, "amount")?.ok_or_else(|| ApiError::missing("amount"))?;
    let currency =
        money::read_currency(&params, "currency")?.ok_or_else(|| ApiError::missing("currency"))?;
    money::check_charge(amount, &currency, call.tx.cell.settings.minimum_charge)?;
    let confirm = params.flag("confirm")?.unwrap_or(false);
    if !confirm {
        check_unconfirmed(&params)?;
    }
    let how = read_confirmation(&params)?;
    let id = call.tx.new_id("pi");
    let mut intent = PaymentIntent::new(id, call.tx.now, amount, currency);
    if let Some(method) = params.plain_word("confirmation_method")? {
        intent.confirmation_method = method;
    }
    read_automatic(&params, &mut intent)?;
    read_attributes(call, &mut intent)?;
    call.tx.put(intent.clone());
    call.tx.emit("payment_intent.created", &intent.render());
    if confirm {
        intent = flow::confirm(call.tx, intent, how)?;
    }
    Ok(intent.render())
}

fn the(call: &Call<'_, '_>) -> Outcome<PaymentIntent> {
    let intent: PaymentIntent = call
        .tx
        .get(call.id)
        .ok_or_else(|| ApiError::not_found("payment_intent", call.id, "intent"))?;
    if call.caller == Caller::Publishable || call.params.has("client_secret") {
        let offered = call.params.required_text("client_secret", 500)?;
        if !call
            .tx
            .cell
            .with_secrets(|it| it.opens(&intent.id, &offered))
        {
            return Err(ApiError::invalid(
                "The client_secret provided does not match the client_secret associated with the PaymentIntent.",
            )
            .code("payment_intent_invalid_parameter")
            .param("client_secret"));
        }
    }
    Ok(intent)
}

/// An intent of a checkout that can still be paid is moved by its session alone.
fn check_free(call: &Call<'_, '_>, intent: &PaymentIntent, verb: &str) -> Outcome<()> {
    if !flow::is_held_by_session(call.tx, intent) {
        return Ok(());
    }
    let message = format!(
        "You cannot {verb} this PaymentIntent because it belongs to a Checkout Session that is open. Expire the Checkout Session instead."
    );
    Err(flow::unexpected_state(intent, message))
}

/// `GET /v1/payment_intents/:id`
pub fn retrieve(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(RETRIEVE)?;
    Ok(shown(call, &the(call)?))
}

/// `POST /v1/payment_intents/:id`
pub fn update(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(UPDATE)?;
    let mut intent = the(call)?;
    check_updatable(call, &intent)?;
    let describes = |name: &str| matches!(name, "description" | "expand" | "metadata");
    if !call.params.entries().all(|(name, _)| describes(name)) {
        check_free(call, &intent, "update")?;
    }
    let before = (intent.amount, intent.currency.clone());
    if let Some(amount) = money::read_positive(&call.params, "amount")? {
        intent.amount = amount;
    }
    if let Some(currency) = money::read_currency(&call.params, "currency")? {
        intent.currency = currency;
    }
    if before != (intent.amount, intent.currency.clone()) {
        let with_minimum = call.tx.cell.settings.minimum_charge;
        money::check_charge(intent.amount, &intent.currency, with_minimum)?;
        // What the payer was asked to approve is no longer the price.
        intent.authenticated = false;
        if intent.status == Status::RequiresAction {
            intent.status = Status::RequiresConfirmation;
            intent.next_action = None;
        }
    }
    read_attributes(call, &mut intent)?;
    call.tx.put(intent.clone());
    Ok(intent.render())
}

/// Which parameters the state still allows.
fn check_updatable(call: &Call<'_, '_>, intent: &PaymentIntent) -> Outcome<()> {
    const OPEN: &[Status] = &[
        Status::RequiresPaymentMethod,
        Status::RequiresConfirmation,
        Status::RequiresAction,
    ];
    const HELD_TOO: &[Status] = &[
        Status::RequiresPaymentMethod,
        Status::RequiresConfirmation,
        Status::RequiresAction,
        Status::RequiresCapture,
    ];
    let frozen: &dyn Fn(&str) -> bool = match intent.status {
        _ if OPEN.contains(&intent.status) => &|_| false,
        Status::Processing => &|param| param != "metadata",
        Status::RequiresCapture => &|param| {
            !matches!(
                param,
                "metadata" | "description" | "receipt_email" | "shipping" | "transfer_group"
            )
        },
        Status::Succeeded => &|param| !matches!(param, "metadata" | "description"),
        _ => {
            let message = format!(
                "This PaymentIntent could not be updated because it has a status of {}.",
                intent.status.as_str()
            );
            return Err(flow::unexpected_state(intent, message));
        }
    };
    let mut params = call.params.entries().map(|(name, _)| name);
    match params.find(|it| !matches!(*it, "expand" | "client_secret") && frozen(it)) {
        None => Ok(()),
        Some(param @ ("receipt_email" | "shipping" | "transfer_group")) => {
            Err(flow::cannot_update(intent, param, HELD_TOO))
        }
        Some(param) => Err(flow::cannot_update(intent, param, OPEN)),
    }
}

/// `POST /v1/payment_intents/:id/confirm`
pub fn confirm(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(CONFIRM)?;
    let mut intent = the(call)?;
    check_free(call, &intent, "confirm")?;
    if call.caller == Caller::Publishable
        && intent.confirmation_method == ConfirmationMethod::Manual
    {
        return Err(ApiError::invalid(
            "This PaymentIntent cannot be confirmed using your publishable key because its `confirmation_method` is set to `manual`. Please use \
             your secret key instead, or create a PaymentIntent with `confirmation_method` set to `automatic`.",
        ));
    }
    let how = read_confirmation(&call.params)?;
    // In a state that cannot be confirmed nothing of the request is read into the intent.
    if matches!(
        intent.status,
        Status::RequiresPaymentMethod | Status::RequiresConfirmation | Status::RequiresAction
    ) {
        read_attributes(call, &mut intent)?;
    }
    let intent = flow::confirm(call.tx, intent, how)?;
    Ok(shown(call, &intent))
}

/// `POST /v1/payment_intents/:id/capture`
pub fn capture(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(CAPTURE)?;
    let mut intent = the(call)?;
    let amount = money::read_positive(&call.params, "amount_to_capture")?;
    // In a state that cannot be captured nothing of the request is read into the intent.
    if intent.status == Status::RequiresCapture {
        read_metadata(&call.params, &mut intent.metadata)?;
        read_descriptors(&call.params, &mut intent)?;
    }
    Ok(flow::capture(call.tx, intent, amount)?.render())
}

/// `POST /v1/payment_intents/:id/cancel`
pub fn cancel(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(CANCEL)?;
    let intent = the(call)?;
    check_free(call, &intent, "cancel")?;
    let reason: Field<CancellationReason> = call.params.word("cancellation_reason")?;
    let reason = reason.given().map(Word::as_str);
    Ok(flow::cancel(call.tx, intent, reason)?.render())
}

/// `GET /v1/payment_intents`
pub fn list(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(LIST)?;
    let customer = customers::filter(call)?;
    let created = Created::read(&call.params)?;
    let (intents, has_more) =
        Page::read(&call.params)?.of::<PaymentIntent>(call, "payment_intent", |it| {
            created.covers(it.created) && (customer.is_none() || customer == it.customer)
        })?;
    let data = intents.into_iter().map(PaymentIntent::render).collect();
    Ok(envelope("/v1/payment_intents", data, has_more))
}
