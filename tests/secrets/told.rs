//! What Stripe tells by webhook, with something in it that must not be kept: every type that Stripe may send.

use crate::canaries::{CVC, Canaries};
use crate::support::{World, seal_key};
use counterfoil::ops::sandbox::webhook_secret;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sha2::Sha256;

/// Every type that is listened to, and two that are not, with the kind of object that it speaks of.
pub const TYPES: [(&str, &str); 34] = [
    ("payment_intent.created", "payment_intent"),
    ("payment_intent.amount_capturable_updated", "payment_intent"),
    ("payment_intent.requires_action", "payment_intent"),
    ("payment_intent.processing", "payment_intent"),
    ("payment_intent.succeeded", "payment_intent"),
    ("payment_intent.payment_failed", "payment_intent"),
    ("payment_intent.canceled", "payment_intent"),
    ("charge.succeeded", "charge"),
    ("charge.captured", "charge"),
    ("charge.updated", "charge"),
    ("charge.refunded", "charge"),
    ("charge.failed", "charge"),
    ("charge.expired", "charge"),
    ("charge.refund.updated", "refund"),
    ("refund.created", "refund"),
    ("refund.updated", "refund"),
    ("refund.failed", "refund"),
    ("charge.dispute.created", "dispute"),
    ("charge.dispute.updated", "dispute"),
    ("charge.dispute.closed", "dispute"),
    ("charge.dispute.funds_withdrawn", "dispute"),
    ("charge.dispute.funds_reinstated", "dispute"),
    ("checkout.session.completed", "checkout.session"),
    ("checkout.session.expired", "checkout.session"),
    (
        "checkout.session.async_payment_succeeded",
        "checkout.session",
    ),
    ("checkout.session.async_payment_failed", "checkout.session"),
    ("payout.created", "payout"),
    ("payout.updated", "payout"),
    ("payout.paid", "payout"),
    ("payout.failed", "payout"),
    ("payout.canceled", "payout"),
    ("payout.reconciliation_completed", "payout"),
    ("setup_intent.succeeded", "setup_intent"),
    ("ephemeral_key.created", "ephemeral_key"),
];

/// A client secret that only webhooks speak of.
pub const CLIENT_SECRET: &str = "pi_canaryTold_secret_Zk81QvX0pTold";

/// An event of that type of an intent of ours, with card numbers wherever text may stand, and client secrets.
fn event(
    index: usize,
    (event_type, object): (&str, &str),
    intent: &Value,
    canaries: &mut Canaries,
) -> Value {
    let mut number = |at: &str| {
        canaries
            .next(&format!("webhook {event_type}: {at}"))
            .written
    };
    let prefix = match object {
        "payment_intent" => intent["id"].as_str().unwrap().to_owned(),
        "checkout.session" => format!("cs_canary{index}"),
        other => format!("{}_canary{index}", &other[..2]),
    };
    let (name, value) = (number("a name of metadata"), number("metadata"));
    let mut metadata = intent["metadata"].clone();
    metadata["canary"] = value.into();
    metadata[name] = "x".into();
    json!({
        "id": format!("evt_canary{index}"),
        "object": "event",
        "api_version": "2023-08-16",
        "type": event_type,
        "created": now(),
        "request": {"id": "req_1", "idempotency_key": number("request.idempotency_key")},
        "data": {
            "object": {
                "id": prefix,
                "object": object,
                "amount": intent["amount"],
                "amount_received": intent["amount"],
                "currency": "usd",
                "status": if object == "payment_intent" { "succeeded" } else { "pending" },
                "payment_intent": intent["id"],
                "charge": intent["latest_charge"],
                "payment_status": "unpaid",
                "arrival_date": now(),
                "created": now(),
                "evidence_details": {"submission_count": 0},
                "client_secret": CLIENT_SECRET,
                "secret": format!("ek_test_{CLIENT_SECRET}"),
                "next_action": {"redirect_to_url": {"url": format!("https://hooks.example/?s={CLIENT_SECRET}")}},
                "url": format!("https://pay.example/{CLIENT_SECRET}"),
                "description": number("description"),
                "statement_descriptor": number("statement_descriptor"),
                "failure_message": number("failure_message"),
                "failure_reason": number("failure_reason"),
                "cancellation_reason": null,
                "last_payment_error": {
                    "code": "card_declined",
                    "message": number("last_payment_error.message"),
                    "payment_intent": {"client_secret": CLIENT_SECRET},
                },
                "outcome": {"seller_message": number("outcome")},
                "billing_details": {"name": number("billing_details")},
                "receipt_email": format!("{}@example.com", number("receipt_email")),
                "shipping": {"name": number("shipping"), "tracking_number": "1Z"},
                "client_reference_id": number("client_reference_id"),
                "evidence": {"uncategorized_text": number("evidence")},
                "payment_method_details": {"card": {"cvc": CVC, "number": number("a card")}},
                "metadata": metadata,
            },
            "previous_attributes": {"description": number("previous_attributes"), "client_secret": CLIENT_SECRET},
        },
    })
}

pub fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

/// `Stripe-Signature` over the body, now, with the secret of the merchant's endpoint.
pub fn signature(merchant: &str, body: &[u8]) -> String {
    let secret = webhook_secret(&seal_key(), merchant);
    let time = now();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).unwrap();
    mac.update(format!("{time}.").as_bytes());
    mac.update(body);
    format!("t={time},v1={}", hex::encode(mac.finalize().into_bytes()))
}

/// Delivers one event of every type, and waits until all were applied or given up for now; the answers.
pub async fn deliver_all(world: &World, intent: &Value, canaries: &mut Canaries) -> Vec<String> {
    let mut answers = Vec::new();
    for (index, of) in TYPES.into_iter().enumerate() {
        let body = event(index, of, intent, canaries).to_string();
        let request = world
            .post("/webhooks/stripe/acme")
            .header("stripe-signature", signature("acme", body.as_bytes()));
        let answer = request.body(body).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{}: {status} {text}", of.0);
        answers.push(text);
    }
    // One that is not Stripe's is not kept, and what it says is not told.
    let forged = event(0, TYPES[0], intent, canaries).to_string();
    let request = world
        .post("/webhooks/stripe/acme")
        .header("stripe-signature", "t=1,v1=00");
    let refused = request.body(forged).send().await.unwrap();
    assert_eq!(refused.status(), 400);
    answers.push(refused.text().await.unwrap());
    answers
}
