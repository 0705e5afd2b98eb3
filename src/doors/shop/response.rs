//! What the shop is answered.

use axum::Json;
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;
use serde::Serialize;

use super::request::LineItem;
use crate::use_cases::OrderAnswer;

/// Both endpoints answer with it, as documented.
const MESSAGE: &str = "Payment intent created successfully";

#[derive(Serialize)]
struct Body<'a> {
    message: &'static str,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    id: Option<&'a str>,
    /// For the customer's browser: never kept, so null where Stripe could not be asked for it.
    client_secret: Option<&'a str>,
    /// Major units, with the currency's own number of places.
    amount: String,
    currency: String,
    status: String,
    line_items: Vec<LineItem<'a>>,
}

/// The order's payment.
pub fn payment(answer: &OrderAnswer) -> Response {
    let facts = &answer.payment.facts;
    let secret = answer
        .payment
        .intent
        .as_ref()
        .and_then(|intent| intent.client_secret.as_ref());
    let data = Data {
        id: facts.intent.as_ref().map(|intent| intent.id.as_str()),
        client_secret: secret.map(|secret| secret.expose_secret()),
        amount: facts.amount.to_decimal_string(),
        currency: facts.amount.currency().code(),
        status: facts.public_status().to_string(),
        line_items: answer
            .order
            .price
            .lines
            .iter()
            .map(LineItem::from)
            .collect(),
    };
    Json(Body {
        message: MESSAGE,
        data,
    })
    .into_response()
}
