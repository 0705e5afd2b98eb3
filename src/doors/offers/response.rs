//! An intent as Stripe rendered it before its API version 2019-02-11: the order and the types of the keys are part of it.

use aggregates::payment::Status;
use aggregates::payment::event::Decline;
use axum::Json;
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::http::RequestId;
use crate::use_cases::OfferAnswer;

/// One call, as its answer names it: `apirequest_oid`, digits. They write the number that `Request-Id` writes in hex, so
/// that what a caller quotes is found in the log.
pub struct ApiRequest(String);

impl ApiRequest {
    pub fn new(id: &RequestId) -> Self {
        let hex = id.as_str().rsplit('_').next().unwrap_or_default();
        let number = u128::from_str_radix(hex, 16).expect("a request's id is a UUID in hex");
        Self(number.to_string())
    }

    pub fn oid(&self) -> &str {
        &self.0
    }
}

#[derive(Serialize)]
struct Body<'a> {
    status: &'static str,
    response: Paid<'a>,
    apirequest_oid: &'a str,
}

#[derive(Serialize)]
struct Paid<'a> {
    payment_intent: Intent<'a>,
}

#[derive(Serialize)]
struct Intent<'a> {
    id: &'a str,
    object: &'static str,
    allowed_source_types: [&'static str; 1],
    amount: i64,
    amount_capturable: i64,
    amount_received: i64,
    application: Option<()>,
    application_fee_amount: Option<()>,
    /// Seconds since 1970, as `created` is.
    canceled_at: Option<i64>,
    cancellation_reason: Option<&'a str>,
    capture_method: &'static str,
    charges: Charges<'a>,
    client_secret: Option<&'a str>,
    confirmation_method: &'static str,
    created: i64,
    currency: String,
    customer: Option<&'a str>,
    description: Option<&'a str>,
    invoice: Option<()>,
    last_payment_error: Option<LastPaymentError<'a>>,
    livemode: bool,
    /// An object; where it is empty, an empty list.
    metadata: Value,
    next_action: Option<&'a Value>,
    next_source_action: Option<Value>,
    on_behalf_of: Option<()>,
    payment_method: Option<&'a str>,
    payment_method_options: Value,
    payment_method_types: [&'static str; 1],
    receipt_email: Option<&'a str>,
    review: Option<()>,
    setup_future_usage: Option<()>,
    shipping: Option<()>,
    source: Option<()>,
    statement_descriptor: Option<()>,
    statement_descriptor_suffix: Option<()>,
    status: String,
    transfer_data: Option<()>,
    transfer_group: Option<()>,
}

#[derive(Serialize)]
struct Charges<'a> {
    object: &'static str,
    data: &'a [Value],
    has_more: bool,
    total_count: usize,
    url: String,
}

#[derive(Serialize)]
struct LastPaymentError<'a> {
    charge: Option<&'a str>,
    code: &'a str,
    decline_code: Option<&'a str>,
    message: &'a str,
    r#type: &'static str,
}

/// The offer's payment.
pub fn payment(answer: &OfferAnswer, call: &ApiRequest) -> Response {
    Json(Body {
        status: "1",
        response: Paid {
            payment_intent: intent(answer),
        },
        apirequest_oid: call.oid(),
    })
    .into_response()
}

fn intent(answer: &OfferAnswer) -> Intent<'_> {
    let (payment, facts) = (&answer.payment, &answer.payment.facts);
    let at_stripe = facts.intent.as_ref();
    let id = at_stripe.map_or("", |intent| intent.id.as_str());
    let view = payment.intent.as_ref();
    let status = facts.public_status();
    let next_action = view
        .and_then(|view| view.next_action.as_ref())
        .filter(|_| status == Status::RequiresAction);
    let secret = view.and_then(|view| view.client_secret.as_ref());
    Intent {
        id,
        object: "payment_intent",
        allowed_source_types: ["card"],
        amount: facts.amount.minor(),
        amount_capturable: facts.capturable().minor(),
        amount_received: facts.amount_received().minor(),
        application: None,
        application_fee_amount: None,
        canceled_at: facts.canceled_at,
        cancellation_reason: facts.cancellation_reason.as_deref(),
        capture_method: "automatic",
        charges: charges(id, answer.charges.as_ref()),
        client_secret: secret.map(|secret| secret.expose_secret()),
        confirmation_method: "automatic",
        created: at_stripe.map_or(0, |intent| intent.created),
        currency: facts.amount.currency().code(),
        customer: facts.customer.as_deref(),
        description: facts.description.as_deref(),
        invoice: None,
        last_payment_error: facts.last_decline.as_deref().map(last_payment_error),
        livemode: at_stripe.is_some_and(|intent| intent.livemode),
        metadata: metadata(answer),
        next_action,
        next_source_action: next_action.map(next_source_action),
        on_behalf_of: None,
        payment_method: facts.payment_method.as_deref(),
        payment_method_options: json!({
            "card": {"installments": null, "network": null, "request_three_d_secure": "automatic"},
        }),
        payment_method_types: ["card"],
        receipt_email: payment.personal.email.as_deref(),
        review: None,
        setup_future_usage: None,
        shipping: None,
        source: None,
        statement_descriptor: None,
        statement_descriptor_suffix: None,
        status: status_of_old(status),
        transfer_data: None,
        transfer_group: None,
    }
}

/// Two of the states had other names before 2019-02-11.
fn status_of_old(it: Status) -> String {
    match it {
        Status::RequiresPaymentMethod => "requires_source".to_owned(),
        Status::RequiresAction => "requires_source_action".to_owned(),
        other => other.to_string(),
    }
}

/// A redirect was called otherwise before 2019-02-11; the rest is as it is.
fn next_source_action(now: &Value) -> Value {
    let Some(fields) = now.as_object() else {
        return now.clone();
    };
    let old = |name: &str| match name {
        "redirect_to_url" => "authorize_with_url".to_owned(),
        name => name.to_owned(),
    };
    let renamed: Map<String, Value> = fields
        .iter()
        .map(|(name, value)| match (name.as_str(), value.as_str()) {
            ("type", Some(kind)) => (name.clone(), old(kind).into()),
            _ => (old(name), value.clone()),
        })
        .collect();
    Value::Object(renamed)
}

/// The attempts to pay, as Stripe lists them.
fn charges<'a>(intent: &str, list: Option<&'a Value>) -> Charges<'a> {
    let data = list.and_then(|list| list["data"].as_array());
    let data = data.map_or(&[][..], Vec::as_slice);
    Charges {
        object: "list",
        data,
        has_more: list.is_some_and(|list| list["has_more"] == true),
        total_count: data.len(),
        url: format!("/v1/charges?payment_intent={intent}"),
    }
}

fn metadata(answer: &OfferAnswer) -> Value {
    let pairs = answer.payment.facts.metadata.as_map();
    if pairs.is_empty() {
        json!([])
    } else {
        json!(pairs)
    }
}

fn last_payment_error(it: &Decline) -> LastPaymentError<'_> {
    LastPaymentError {
        charge: it.charge.as_deref(),
        code: &it.code,
        decline_code: it.decline_code.as_deref(),
        message: &it.message,
        r#type: "card_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_is_called_as_it_was_called_then() {
        let now = json!({
            "type": "redirect_to_url",
            "redirect_to_url": {"url": "https://bank.example/3ds", "return_url": null},
        });
        let then = json!({
            "type": "authorize_with_url",
            "authorize_with_url": {"url": "https://bank.example/3ds", "return_url": null},
        });
        assert_eq!(next_source_action(&now), then);
        let other = json!({"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "x"}});
        assert_eq!(next_source_action(&other), other);
    }

    #[test]
    fn states_have_their_old_names() {
        assert_eq!(
            status_of_old(Status::RequiresPaymentMethod),
            "requires_source"
        );
        assert_eq!(
            status_of_old(Status::RequiresAction),
            "requires_source_action"
        );
        for same in [
            Status::RequiresConfirmation,
            Status::Processing,
            Status::Canceled,
        ] {
            assert_eq!(status_of_old(same), same.to_string());
        }
    }
}
