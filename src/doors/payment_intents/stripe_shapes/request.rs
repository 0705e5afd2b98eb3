//! Requests of Stripe's clients into commands. What a rule here looks at is read; the rest goes to Stripe as it came, and
//! Stripe judges it.

use aggregates::money::Money;
use aggregates::payment::event::{CancellationReason, RefundReason};
use aggregates::payment::terms::{ConfirmTerms, Metadata, Parameters};

use super::super::card::Method;
use super::super::error::StripeError;
use super::super::params::{MetadataChange, Params};
use super::super::request as common;
use crate::use_cases::{CreatePayment, PaymentStep, RefundOf, RefundPayment, Update};

/// Read here, on create.
const CREATE: &[&str] = &[
    "amount",
    "capture_method",
    "confirm",
    "currency",
    "customer",
    "description",
    "metadata",
    "off_session",
    "payment_method",
    "payment_method_data",
    "receipt_email",
    "return_url",
    "shipping",
];
/// Passed on with the intent.
const CREATE_PASSED: &[&str] = &[
    "application_fee_amount",
    "automatic_payment_methods",
    "confirmation_method",
    "on_behalf_of",
    "payment_method_options",
    "payment_method_types",
    "setup_future_usage",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_data",
    "transfer_group",
];
/// Passed on with the confirmation, where create confirms.
const CONFIRMING: &[&str] = &["error_on_requires_action", "expand", "use_stripe_sdk"];

const UPDATE: &[&str] = &[
    "amount",
    "currency",
    "customer",
    "description",
    "metadata",
    "payment_method",
    "payment_method_data",
    "receipt_email",
    "shipping",
];
const UPDATE_PASSED: &[&str] = &[
    "application_fee_amount",
    "capture_method",
    "expand",
    "payment_method_options",
    "payment_method_types",
    "setup_future_usage",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_data",
    "transfer_group",
];

const CONFIRM: &[&str] = &[
    "off_session",
    "payment_method",
    "payment_method_data",
    "return_url",
];
const CONFIRM_PASSED: &[&str] = &[
    "capture_method",
    "error_on_requires_action",
    "expand",
    "payment_method_options",
    "payment_method_types",
    "setup_future_usage",
    "use_stripe_sdk",
];

const CAPTURE_PASSED: &[&str] = &[
    "application_fee_amount",
    "expand",
    "metadata",
    "statement_descriptor",
    "statement_descriptor_suffix",
];
const REFUND_PASSED: &[&str] = &["expand", "refund_application_fee", "reverse_transfer"];

/// `POST /v1/payment_intents`.
pub fn create(params: &Params<'_>) -> Result<CreatePayment, StripeError> {
    only(params, &[CREATE, CREATE_PASSED, CONFIRMING])?;
    let minor = params
        .positive("amount")?
        .ok_or_else(|| params.missing("amount"))?;
    let currency = common::currency(params)?.ok_or_else(|| params.missing("currency"))?;
    let method = Method::read(params)?;
    let mut passed = params.as_pairs(CREATE_PASSED)?;
    // What Stripe assumes in this version where nothing is said; said, so that it is not this service's own default.
    if !params.has("automatic_payment_methods") && !params.has("payment_method_types") {
        passed.push((
            "automatic_payment_methods[enabled]".to_owned(),
            "true".to_owned(),
        ));
    }
    let confirming = params.as_pairs(CONFIRMING)?;
    let confirm = match common::confirmation(params)? {
        Some(terms) => Some(ConfirmTerms {
            parameters: parameters(confirming)?,
            ..terms
        }),
        None => {
            passed.extend(confirming);
            None
        }
    };
    Ok(CreatePayment {
        amount: Money::new(minor, currency),
        capture_method: common::capture_method(params)?,
        confirm,
        payment_method: method.payment_method,
        card: method.card,
        customer: common::customer(params)?,
        description: common::description(params)?.filter(|text| !text.is_empty()),
        metadata: metadata(params)?,
        attributes: std::collections::BTreeMap::new(),
        personal: common::personal(params)?,
        parameters: parameters(passed)?,
    })
}

/// `POST /v1/payment_intents/{id}`: only what is named changes.
pub fn update(params: &Params<'_>) -> Result<PaymentStep, StripeError> {
    only(params, &[UPDATE, UPDATE_PASSED])?;
    let metadata = metadata_change(params)?;
    let method = Method::read(params)?;
    Ok(PaymentStep::Update(Box::new(Update {
        amount_minor: params.positive("amount")?,
        currency: common::currency(params)?,
        payment_method: method.payment_method,
        card: method.card.map(Box::new),
        customer: common::customer(params)?,
        description: common::description(params)?,
        metadata: metadata.pairs,
        clear_metadata: metadata.clear,
        attributes: std::collections::BTreeMap::new(),
        personal: common::personal(params)?,
        parameters: parameters(params.as_pairs(UPDATE_PASSED)?)?,
    })))
}

/// `POST /v1/payment_intents/{id}/confirm`.
pub fn confirm(params: &Params<'_>) -> Result<PaymentStep, StripeError> {
    only(params, &[CONFIRM, CONFIRM_PASSED])?;
    let method = Method::read(params)?;
    Ok(PaymentStep::Confirm {
        payment_method: method.payment_method,
        card: method.card.map(Box::new),
        terms: ConfirmTerms {
            parameters: parameters(params.as_pairs(CONFIRM_PASSED)?)?,
            ..common::terms(params)?
        },
    })
}

/// `POST /v1/payment_intents/{id}/capture`.
pub fn capture(params: &Params<'_>) -> Result<PaymentStep, StripeError> {
    only(params, &[&["amount_to_capture"], CAPTURE_PASSED])?;
    Ok(PaymentStep::Capture {
        amount_minor: params.positive("amount_to_capture")?,
        metadata: metadata_change(params)?.pairs,
        parameters: parameters(params.as_pairs(CAPTURE_PASSED)?)?,
    })
}

/// `POST /v1/charges/{id}/capture`.
pub fn capture_charge(params: &Params<'_>) -> Result<PaymentStep, StripeError> {
    let passed: &[&str] = &["statement_descriptor", "statement_descriptor_suffix"];
    only(params, &[&["amount", "expand"], passed])?;
    Ok(PaymentStep::Capture {
        amount_minor: params.positive("amount")?,
        metadata: std::collections::BTreeMap::new(),
        parameters: parameters(params.as_pairs(passed)?)?,
    })
}

/// `POST /v1/payment_intents/{id}/cancel`.
pub fn cancel(params: &Params<'_>) -> Result<PaymentStep, StripeError> {
    only(params, &[&["cancellation_reason", "expand"]])?;
    let words = "duplicate, fraudulent, requested_by_customer, or abandoned";
    Ok(PaymentStep::Cancel {
        reason: params.word::<CancellationReason>("cancellation_reason", words)?,
        parameters: parameters(params.as_pairs(&["expand"])?)?,
    })
}

/// `POST /v1/refunds`: of an intent, or of the charge that it made.
pub fn refund(params: &Params<'_>) -> Result<RefundPayment, StripeError> {
    let read: &[&str] = &["amount", "charge", "metadata", "payment_intent", "reason"];
    only(params, &[read, REFUND_PASSED])?;
    let intent = params.id("payment_intent", common::ID_LENGTH_MAX)?;
    let charge = params.id("charge", common::ID_LENGTH_MAX)?;
    let of = match (intent, charge) {
        (Some(_), Some(_)) => {
            let message = "You may only specify one of these parameters: payment_intent, charge.";
            let error = StripeError::invalid(message).code("parameters_exclusive");
            return Err(error.param("charge"));
        }
        (Some(intent), None) => RefundOf::Intent(plain("payment_intent", intent)?),
        (None, Some(charge)) => RefundOf::Charge(plain("charge", charge)?),
        (None, None) => {
            let message = "One of the following params should be provided for this request: payment_intent or charge.";
            let error = StripeError::invalid(message).code("parameter_missing");
            return Err(error.param("payment_intent"));
        }
    };
    let words = "duplicate, fraudulent, or requested_by_customer";
    Ok(RefundPayment {
        of,
        amount_minor: params.positive("amount")?,
        reason: params.word::<RefundReason>("reason", words)?,
        metadata: metadata(params)?,
        parameters: parameters(params.as_pairs(REFUND_PASSED)?)?,
    })
}

/// The pairs of something new.
fn metadata(params: &Params<'_>) -> Result<Metadata, StripeError> {
    metadata_change(params)?;
    common::whole_metadata(params)
}

/// A key that is too long, or a value, is named as Stripe names it.
fn metadata_change(params: &Params<'_>) -> Result<MetadataChange, StripeError> {
    let change = params.metadata()?;
    for (key, value) in &change.pairs {
        let (what, given, most) = if key.chars().count() > Metadata::KEY_LENGTH_MAX {
            ("key", key.chars().count(), Metadata::KEY_LENGTH_MAX)
        } else if value.chars().count() > Metadata::VALUE_LENGTH_MAX {
            ("value", value.chars().count(), Metadata::VALUE_LENGTH_MAX)
        } else {
            continue;
        };
        let message = format!(
            "Metadata {what}s can have up to {most} characters, but you passed in a {what} that is {given} characters."
        );
        let name: String = key.chars().take(100).collect();
        return Err(StripeError::invalid(message).param(&format!("metadata[{name}]")));
    }
    Ok(change)
}

fn plain(what: &'static str, id: &str) -> Result<String, StripeError> {
    if common::is_plain_id(id) {
        return Ok(id.to_owned());
    }
    let id = id.to_owned();
    Err(crate::use_cases::AppError::NotFound { what, id }.into())
}

fn only(params: &Params<'_>, known: &[&[&str]]) -> Result<(), StripeError> {
    params.only(&known.concat())
}

fn parameters(pairs: Vec<(String, String)>) -> Result<Parameters, StripeError> {
    Parameters::parse(pairs)
        .map_err(|error| StripeError::invalid(format!("Invalid parameters: {error}.")))
}
