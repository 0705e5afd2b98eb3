//! WooshPay's rendering of intents and refunds: the order and the types of the keys are part of it.

use aggregates::payment::event::Decline;
use aggregates::payment::state::{Facts, Refund, RefundStatus};
use aggregates::payment::terms::CaptureMethod;
use aggregates::payment::{Metadata, Status};
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::Value;

use super::error::StripeError;
use super::request::attribute;
use crate::personal::{Personal, Shipping};
use crate::use_cases::{PaymentAnswer, RefundAnswer, Verdict};

/// A payment intent.
#[derive(Serialize)]
pub struct IntentBody {
    id: Option<String>,
    object: &'static str,
    /// Milliseconds since 1970.
    created: Option<i64>,
    /// As it was sent.
    currency: String,
    amount: i64,
    status: String,
    description: Option<String>,
    metadata: Metadata,
    livemode: bool,
    shipping: Option<ShippingBody>,
    customer: Option<String>,
    quantity: Option<i64>,
    /// There are no invoices here.
    invoice: Option<()>,
    merchant_user_id: Option<String>,
    merchant_order_id: Option<String>,
    client_secret: Option<String>,
    last_payment_error: Option<LastPaymentError>,
    next_action: Option<Value>,
    /// JSON text.
    payment_method_types: &'static str,
    receipt_email: Option<String>,
    /// Milliseconds since 1970.
    canceled_at: Option<i64>,
    cancellation_reason: Option<String>,
    confirmation_method: &'static str,
    /// JSON text.
    payment_method_options: &'static str,
    #[serde(rename = "3ds_status")]
    three_ds_status: Option<()>,
    /// Null where money is taken at once, as `amount_received` is.
    amount_capturable: Option<i64>,
    return_url: Option<String>,
    payment_method: Option<String>,
    amount_received: Option<i64>,
    capture_method: String,
}

#[derive(Serialize)]
struct ShippingBody {
    address: AddressBody,
    carrier: Option<String>,
    name: String,
    phone: Option<String>,
    tracking_number: Option<String>,
}

#[derive(Serialize)]
struct AddressBody {
    city: Option<String>,
    country: Option<String>,
    line1: Option<String>,
    line2: Option<String>,
    state: Option<String>,
    postal_code: Option<String>,
}

#[derive(Serialize)]
struct LastPaymentError {
    r#type: &'static str,
    code: String,
    decline_code: Option<String>,
    message: String,
    payment_method: Option<String>,
}

#[derive(Serialize)]
struct RefundBody {
    id: Option<String>,
    object: &'static str,
    amount: i64,
    currency: String,
    payment_intent: Option<String>,
    charge: Option<String>,
    status: &'static str,
    reason: Option<String>,
    metadata: Metadata,
    failure_reason: Option<String>,
}

/// The intent, or why what was asked of it failed: the same now and when it is asked again under the same key.
pub fn payment(answer: &PaymentAnswer) -> Result<Response, StripeError> {
    match &answer.verdict {
        Verdict::Done => Ok(replayed(
            Json(with_secret(answer)).into_response(),
            answer.replayed,
        )),
        Verdict::Declined(decline) => Err(StripeError::declined(decline)
            .with_intent(&without_secret(answer))
            .replayed(answer.replayed)),
        Verdict::Refused(refusal) => {
            let error = StripeError::refused(refusal).replayed(answer.replayed);
            Err(if error.is_about_state() {
                error.with_intent(&without_secret(answer))
            } else {
                error
            })
        }
    }
}

/// The refund, or why there is none.
pub fn refund(answer: &RefundAnswer) -> Result<Response, StripeError> {
    let RefundAnswer { payment, refund } = answer;
    match &payment.verdict {
        Verdict::Done => Ok(replayed(
            Json(refund_body(&payment.facts, refund)).into_response(),
            payment.replayed,
        )),
        Verdict::Declined(decline) => {
            Err(StripeError::declined(decline).replayed(payment.replayed))
        }
        Verdict::Refused(refusal) => Err(StripeError::refused(refusal).replayed(payment.replayed)),
    }
}

/// The intent as errors show it.
pub fn without_secret(answer: &PaymentAnswer) -> IntentBody {
    intent(answer, None)
}

fn with_secret(answer: &PaymentAnswer) -> IntentBody {
    let secret = answer
        .intent
        .as_ref()
        .and_then(|intent| intent.client_secret.as_ref());
    intent(
        answer,
        secret.map(|secret| secret.expose_secret().to_owned()),
    )
}

fn intent(answer: &PaymentAnswer, client_secret: Option<String>) -> IntentBody {
    let PaymentAnswer {
        facts, personal, ..
    } = answer;
    let status = facts.public_status();
    let manual = facts.capture_method == CaptureMethod::Manual;
    // Only while it is asked for: Stripe may have moved on since the answer that is given again here.
    let next_action = answer
        .intent
        .as_ref()
        .and_then(|intent| intent.next_action.clone());
    IntentBody {
        id: facts.intent.as_ref().map(|intent| intent.id.clone()),
        object: "payment_intent",
        created: facts
            .intent
            .as_ref()
            .map(|intent| milliseconds(intent.created)),
        currency: currency(facts),
        amount: facts.amount.minor(),
        status: status.to_string(),
        description: facts.description.clone().filter(|text| !text.is_empty()),
        metadata: facts.metadata.clone(),
        livemode: facts.intent.as_ref().is_some_and(|intent| intent.livemode),
        shipping: personal.shipping.as_ref().map(shipping),
        customer: facts.customer.clone(),
        quantity: kept(facts, attribute::QUANTITY).and_then(|text| text.parse().ok()),
        invoice: None,
        merchant_user_id: kept(facts, attribute::MERCHANT_USER_ID),
        merchant_order_id: kept(facts, attribute::MERCHANT_ORDER_ID),
        client_secret,
        last_payment_error: facts.last_decline.as_deref().map(last_payment_error),
        next_action: next_action.filter(|_| status == Status::RequiresAction),
        payment_method_types: r#"["card"]"#,
        receipt_email: receipt_email(personal),
        canceled_at: facts.canceled_at.map(milliseconds),
        cancellation_reason: facts.cancellation_reason.clone(),
        confirmation_method: "automatic",
        payment_method_options: payment_method_options(manual),
        three_ds_status: None,
        amount_capturable: manual.then(|| facts.capturable().minor()),
        return_url: facts.return_url.clone(),
        payment_method: facts.payment_method.clone(),
        amount_received: manual.then(|| facts.amount_received().minor()),
        capture_method: facts.capture_method.to_string(),
    }
}

fn payment_method_options(manual: bool) -> &'static str {
    if manual {
        r#"{"card":{"request_three_d_secure":"auto","capture_method":"manual"}}"#
    } else {
        r#"{"card":{"request_three_d_secure":"auto","capture_method":"automatic"}}"#
    }
}

fn receipt_email(personal: &Personal) -> Option<String> {
    personal.email.clone()
}

fn last_payment_error(it: &Decline) -> LastPaymentError {
    LastPaymentError {
        r#type: "card_error",
        code: it.code.clone(),
        decline_code: it.decline_code.clone(),
        message: it.message.clone(),
        payment_method: it.payment_method.clone(),
    }
}

fn shipping(it: &Shipping) -> ShippingBody {
    ShippingBody {
        address: AddressBody {
            city: it.address.city.clone(),
            country: it.address.country.clone(),
            line1: it.address.line1.clone(),
            line2: it.address.line2.clone(),
            state: it.address.state.clone(),
            postal_code: it.address.postal_code.clone(),
        },
        carrier: it.carrier.clone(),
        name: it.name.clone(),
        phone: it.phone.clone(),
        tracking_number: it.tracking_number.clone(),
    }
}

fn refund_body(facts: &Facts, it: &Refund) -> RefundBody {
    RefundBody {
        id: it.stripe_refund.clone(),
        object: "refund",
        amount: it.amount.minor(),
        currency: currency(facts),
        payment_intent: facts.intent.as_ref().map(|intent| intent.id.clone()),
        charge: facts.charge.clone(),
        status: refund_status(it.status),
        reason: it.reason.map(|reason| reason.to_string()),
        metadata: it.metadata.clone(),
        failure_reason: it.failure_reason.clone(),
    }
}

/// In Stripe's words: what it has not answered is pending, what it refused has failed.
fn refund_status(it: RefundStatus) -> &'static str {
    match it {
        RefundStatus::Requested | RefundStatus::Pending => "pending",
        RefundStatus::Succeeded => "succeeded",
        RefundStatus::Failed | RefundStatus::Refused => "failed",
        RefundStatus::Canceled => "canceled",
    }
}

fn currency(facts: &Facts) -> String {
    kept(facts, attribute::CURRENCY).unwrap_or_else(|| facts.amount.currency().code())
}

fn kept(facts: &Facts, name: &str) -> Option<String> {
    facts
        .attributes
        .get(name)
        .filter(|text| !text.is_empty())
        .cloned()
}

fn milliseconds(seconds: i64) -> i64 {
    seconds.saturating_mul(1000)
}

fn replayed(mut response: Response, replayed: bool) -> Response {
    if replayed {
        response.headers_mut().insert(
            super::error::IDEMPOTENT_REPLAYED.clone(),
            HeaderValue::from_static("true"),
        );
    }
    response
}
