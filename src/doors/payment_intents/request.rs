//! Requests into commands. What a parameter is called, and which are taken where, follows Stripe; `quantity`,
//! `merchant_user_id` and `merchant_order_id` are WooshPay's own.

use aggregates::money::{Currency, Money};
use aggregates::payment::event::{CancellationReason, RefundReason};
use aggregates::payment::terms::{CaptureMethod, ConfirmTerms, Metadata, Parameters};
use aggregates::payment::{MetadataError, PaymentError};
use std::collections::BTreeMap;

use super::card::{self, Method};
use super::error::StripeError;
use super::params::{Params, card_number_in};
use crate::doors::firewall::holds_card_number;
use crate::http::addresses::may_return_to;
use crate::personal::{Personal, Shipping};
use crate::use_cases::{AppError, CreatePayment, PaymentStep, RefundOf, RefundPayment, Update};

const CREATE: &[&str] = &[
    "amount",
    "capture_method",
    "confirm",
    "confirmation_method",
    "currency",
    "customer",
    "description",
    "merchant_order_id",
    "merchant_user_id",
    "metadata",
    "off_session",
    "payment_method",
    "payment_method_data",
    "payment_method_options",
    "payment_method_types",
    "quantity",
    "receipt_email",
    "return_url",
    "shipping",
];
const UPDATE: &[&str] = &[
    "amount",
    "currency",
    "customer",
    "description",
    "merchant_order_id",
    "merchant_user_id",
    "metadata",
    "payment_method",
    "payment_method_data",
    "payment_method_options",
    "payment_method_types",
    "quantity",
    "receipt_email",
    "shipping",
];
const CONFIRM: &[&str] = &[
    "off_session",
    "payment_method",
    "payment_method_data",
    "payment_method_options",
    "payment_method_types",
    "return_url",
];

/// In characters, as all of these.
pub(super) const ID_LENGTH_MAX: usize = 255;
const DESCRIPTION_LENGTH_MAX: usize = 1000;
const URL_LENGTH_MAX: usize = 2048;

/// The names of attributes: what is kept of a request to be echoed, and never sent to Stripe.
pub mod attribute {
    /// As it was sent, in whatever case.
    pub const CURRENCY: &str = "currency";
    pub const QUANTITY: &str = "quantity";
    pub const MERCHANT_USER_ID: &str = "merchant_user_id";
    pub const MERCHANT_ORDER_ID: &str = "merchant_order_id";
}

/// `POST /v1/payment_intents`.
pub fn create(params: &Params<'_>) -> Result<CreatePayment, StripeError> {
    params.only(CREATE)?;
    let minor = params
        .positive("amount")?
        .ok_or_else(|| params.missing("amount"))?;
    let currency = currency(params)?.ok_or_else(|| params.missing("currency"))?;
    let capture_method = capture_method(params)?;
    only_automatic_confirmation(params)?;
    only_cards(params, Some(capture_method))?;
    let method = Method::read(params)?;
    Ok(CreatePayment {
        amount: Money::new(minor, currency),
        capture_method,
        confirm: confirmation(params)?,
        parameters: Parameters::default(),
        payment_method: method.payment_method,
        card: method.card,
        customer: customer(params)?,
        description: description(params)?.filter(|text| !text.is_empty()),
        metadata: whole_metadata(params)?,
        attributes: attributes(params)?,
        personal: personal(params)?,
    })
}

/// `POST /v1/payment_intents/{id}`: only what is named changes.
pub fn update(params: &Params<'_>) -> Result<PaymentStep, StripeError> {
    params.only(UPDATE)?;
    only_cards(params, None)?;
    let metadata = params.metadata()?;
    let method = Method::read(params)?;
    Ok(PaymentStep::Update(Box::new(Update {
        amount_minor: params.positive("amount")?,
        currency: currency(params)?,
        payment_method: method.payment_method,
        card: method.card.map(Box::new),
        customer: customer(params)?,
        description: description(params)?,
        metadata: metadata.pairs,
        clear_metadata: metadata.clear,
        attributes: attributes(params)?,
        personal: personal(params)?,
        parameters: Parameters::default(),
    })))
}

/// `POST /v1/payment_intents/{id}/confirm`.
pub fn confirm(params: &Params<'_>) -> Result<PaymentStep, StripeError> {
    params.only(CONFIRM)?;
    only_cards(params, None)?;
    let Method {
        payment_method,
        card,
    } = Method::read(params)?;
    Ok(PaymentStep::Confirm {
        payment_method,
        card: card.map(Box::new),
        terms: terms(params)?,
    })
}

/// `POST /v1/payment_intents/{id}/capture`.
pub fn capture(params: &Params<'_>) -> Result<PaymentStep, StripeError> {
    params.only(&["amount_to_capture"])?;
    Ok(PaymentStep::Capture {
        amount_minor: params.positive("amount_to_capture")?,
        metadata: BTreeMap::new(),
        parameters: Parameters::default(),
    })
}

/// `POST /v1/payment_intents/{id}/cancel`.
pub fn cancel(params: &Params<'_>) -> Result<PaymentStep, StripeError> {
    params.only(&["cancellation_reason"])?;
    let words = "duplicate, fraudulent, requested_by_customer, or abandoned";
    Ok(PaymentStep::Cancel {
        reason: params.word::<CancellationReason>("cancellation_reason", words)?,
        parameters: Parameters::default(),
    })
}

/// `POST /v1/refunds`: the refund, and the intent that it is of.
pub fn refund(params: &Params<'_>) -> Result<(String, RefundPayment), StripeError> {
    params.only(&["amount", "metadata", "payment_intent", "reason"])?;
    let intent = params.required_id("payment_intent", ID_LENGTH_MAX)?;
    if !is_plain_id(intent) {
        return Err(AppError::NotFound {
            what: "payment_intent",
            id: intent.to_owned(),
        }
        .into());
    }
    let words = "duplicate, fraudulent, or requested_by_customer";
    let refund = RefundPayment {
        of: RefundOf::Intent(intent.to_owned()),
        amount_minor: params.positive("amount")?,
        reason: params.word::<RefundReason>("reason", words)?,
        metadata: whole_metadata(params)?,
        parameters: Parameters::default(),
    };
    Ok((intent.to_owned(), refund))
}

/// Whether this can be an id of Stripe's. One that is all digits is none, and might be a card's.
pub fn is_plain_id(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= ID_LENGTH_MAX
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !holds_card_number(id)
}

/// How to confirm, where `confirm` asks for it. What only a confirmation reads must not stand without it.
pub(super) fn confirmation(params: &Params<'_>) -> Result<Option<ConfirmTerms>, StripeError> {
    if params.flag("confirm")?.unwrap_or(false) {
        return Ok(Some(terms(params)?));
    }
    match ["return_url", "off_session"]
        .into_iter()
        .find(|field| params.has(field))
    {
        None => Ok(None),
        Some(field) => {
            let message =
                format!("The parameter {field} cannot be passed unless confirm is set to true.");
            Err(StripeError::invalid(message)
                .code("payment_intent_invalid_parameter")
                .param(field))
        }
    }
}

pub(super) fn terms(params: &Params<'_>) -> Result<ConfirmTerms, StripeError> {
    let return_url = params.id("return_url", URL_LENGTH_MAX)?;
    if return_url.is_some_and(|url| !may_return_to(url)) {
        return Err(StripeError::invalid("Not a valid URL")
            .code("url_invalid")
            .param("return_url"));
    }
    if return_url.is_some_and(holds_card_number) {
        return Err(card_number_in("return_url"));
    }
    Ok(ConfirmTerms {
        return_url: return_url.map(str::to_owned),
        off_session: params.flag("off_session")?.unwrap_or(false),
        parameters: Parameters::default(),
    })
}

pub(super) fn currency(params: &Params<'_>) -> Result<Option<Currency>, StripeError> {
    let Some(code) = params.id("currency", ID_LENGTH_MAX)? else {
        return Ok(None);
    };
    let parsed = code.parse().map(Some);
    parsed.map_err(|_| {
        StripeError::invalid(
            "Invalid currency: a three-letter ISO code of a currency that is supported",
        )
        .param("currency")
    })
}

pub(super) fn capture_method(params: &Params<'_>) -> Result<CaptureMethod, StripeError> {
    let method = params.word("capture_method", "automatic, automatic_async, or manual")?;
    Ok(method.unwrap_or_default())
}

fn only_automatic_confirmation(params: &Params<'_>) -> Result<(), StripeError> {
    match params.id("confirmation_method", ID_LENGTH_MAX)? {
        None | Some("automatic") => Ok(()),
        Some(_) => Err(
            StripeError::invalid("Invalid confirmation_method: must be automatic")
                .param("confirmation_method"),
        ),
    }
}

/// Cards are the one type of payment method here. `capture` is the method that the whole request asks for, on create.
fn only_cards(params: &Params<'_>, capture: Option<CaptureMethod>) -> Result<(), StripeError> {
    let refused = |name: &str| {
        let message = format!(
            "Invalid {name}: only card payments, without settings of their own, are made here"
        );
        Err(StripeError::invalid(message)
            .code("payment_intent_invalid_parameter")
            .param(name))
    };
    if params
        .words("payment_method_types")?
        .is_some_and(|types| types != ["card"])
    {
        return refused("payment_method_types");
    }
    let Some(options) = params.hash("payment_method_options")? else {
        return Ok(());
    };
    options.only(&["card"])?;
    let Some(card) = options.hash("card")? else {
        return Ok(());
    };
    card.only(&["request_three_d_secure", "capture_method"])?;
    if !matches!(
        card.id("request_three_d_secure", 100)?,
        None | Some("auto" | "automatic")
    ) {
        return refused(&card.name("request_three_d_secure"));
    }
    let asked: Option<CaptureMethod> =
        card.word("capture_method", "automatic, automatic_async, or manual")?;
    if asked.is_some() && asked != capture {
        return refused(&card.name("capture_method"));
    }
    Ok(())
}

pub(super) fn customer(params: &Params<'_>) -> Result<Option<String>, StripeError> {
    match params.id("customer", ID_LENGTH_MAX)? {
        Some(id) if !(id.starts_with("cus_") && is_plain_id(id)) => {
            Err(StripeError::invalid("No such customer")
                .code("resource_missing")
                .param("customer"))
        }
        id => Ok(id.map(str::to_owned)),
    }
}

pub(super) fn description(params: &Params<'_>) -> Result<Option<String>, StripeError> {
    params.prose("description", DESCRIPTION_LENGTH_MAX)
}

/// The pairs of something new: an empty value sets nothing.
pub(super) fn whole_metadata(params: &Params<'_>) -> Result<Metadata, StripeError> {
    let metadata = Metadata::parse(params.metadata()?.pairs);
    metadata.map_err(|error: MetadataError| AppError::from(PaymentError::from(error)).into())
}

fn attributes(params: &Params<'_>) -> Result<BTreeMap<String, String>, StripeError> {
    let quantity = params
        .positive("quantity")?
        .map(|quantity| quantity.to_string());
    let text = |field| {
        params
            .text(field, ID_LENGTH_MAX)
            .map(|text| text.map(str::to_owned))
    };
    let all = [
        (attribute::CURRENCY, text("currency")?),
        (attribute::QUANTITY, quantity),
        (attribute::MERCHANT_USER_ID, text("merchant_user_id")?),
        (attribute::MERCHANT_ORDER_ID, text("merchant_order_id")?),
    ];
    Ok(all
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect())
}

pub(super) fn personal(params: &Params<'_>) -> Result<Personal, StripeError> {
    let shipping = params
        .hash("shipping")?
        .map(|it| shipping(&it))
        .transpose()?;
    Ok(Personal {
        email: card::email(params, "receipt_email")?,
        shipping,
    })
}

/// Stripe wants to know where and to whom, or nothing.
fn shipping(params: &Params<'_>) -> Result<Shipping, StripeError> {
    params.only(&["address", "carrier", "name", "phone", "tracking_number"])?;
    let address = params
        .hash("address")?
        .ok_or_else(|| params.missing("address"))?;
    let optional_id = |field| {
        params
            .text(field, ID_LENGTH_MAX)
            .map(|text| text.filter(|text| !text.is_empty()))
    };
    Ok(Shipping {
        name: card::personal(params, "name")?.ok_or_else(|| params.missing("name"))?,
        phone: card::personal(params, "phone")?,
        carrier: card::personal(params, "carrier")?,
        tracking_number: optional_id("tracking_number")?.map(str::to_owned),
        address: card::address(&address)?,
    })
}

#[cfg(test)]
mod tests {
    use super::may_return_to;

    #[test]
    fn one_returns_to_the_web_or_to_an_app() {
        for url in [
            "https://your.website",
            "http://localhost:3000/done?x=1#y",
            "myapp://return",
            "com.example.app:/done",
        ] {
            assert!(may_return_to(url), "{url}");
        }
    }

    #[test]
    fn one_never_returns_to_what_a_browser_would_run_or_read() {
        for url in [
            "",
            "your.website",
            "/done",
            "https://",
            "https:///x",
            "https:your.website",
            "javascript:alert(1)",
            "JavaScript://your.website/%0aalert(1)",
            "java\nscript:alert(1)",
            " javascript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "vbscript:x",
            "blob:https://your.website/x",
            "myapp:",
            "1app://x",
            "https://your.website/with space",
        ] {
            assert!(!may_return_to(url), "{url:?}");
        }
    }
}
