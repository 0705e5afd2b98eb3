//! What is answered, in whichever format was asked for.

use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use serde_json::Value;

use super::Operation;
use super::formats::{self, Format};
use crate::use_cases::CheckoutStatus;

/// A member of an answer, and its text; none where there is none.
pub type Member = (&'static str, Option<String>);

const ROOT: &str = "StripeCheckoutQueryResponse";

/// The checkout that was opened: every member of the document, in its order.
pub fn opened(session: &Value) -> Vec<Member> {
    let text = |name: &str| session.get(name).and_then(Value::as_str).map(str::to_owned);
    vec![
        ("SessionId", text("id")),
        ("Url", text("url")),
        ("Status", text("status")),
        ("ClientSecret", text("client_secret")),
        ("CustomerId", text("customer")),
        // Stripe makes the intent when somebody begins to pay.
        ("PaymentIntentClientSecret", None),
        ("PaymentIntentId", text("payment_intent")),
        ("StripeAccount", None),
    ]
}

/// How a checkout stands.
pub fn status(it: CheckoutStatus) -> Vec<Member> {
    vec![
        ("CustomerEmail", it.customer_email),
        ("Status", Some(it.status)),
    ]
}

/// The answer in `format`. A CSV is a file that is named for the operation.
pub fn write(format: Format, operation: Operation, members: &[Member]) -> Response {
    let members: Vec<(&str, Value)> = members
        .iter()
        .map(|(name, text)| (*name, text.clone().into()))
        .collect();
    let root = match operation {
        Operation::Create => ROOT,
        Operation::Status => "StripeCheckoutStatusResponse",
    };
    let text = formats::write(format, root, &members);
    let mut response = text.into_response();
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static(format.content_type()),
    );
    if format == Format::Csv {
        let file = format!("attachment; filename={}.csv", operation.name());
        let file = HeaderValue::from_str(&file).expect("an operation's name is a word");
        headers.insert(CONTENT_DISPOSITION, file);
    }
    response
}
