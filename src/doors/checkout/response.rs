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
    let text = |path: &str| {
        session
            .pointer(path)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    // Stripe makes the intent when somebody begins to pay, or at once, and then tells its secret.
    let intent = text("/payment_intent/id").or_else(|| text("/payment_intent"));
    vec![
        ("SessionId", text("/id")),
        ("Url", text("/url")),
        ("Status", text("/status")),
        ("ClientSecret", text("/client_secret")),
        (
            "CustomerId",
            text("/customer/id").or_else(|| text("/customer")),
        ),
        (
            "PaymentIntentClientSecret",
            text("/payment_intent/client_secret"),
        ),
        ("PaymentIntentId", intent),
        // The account that another one acts for. We ask Stripe with the merchant's own key, so there is none to name.
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
        Operation::Status => "StripeCheckoutStatusQueryResponse",
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_intent_is_named_and_its_secret_told_where_stripe_has_made_it() {
        let of = |intent: Value| {
            let members = opened(&json!({"id": "cs_1", "payment_intent": intent}));
            let told = |name| {
                let mut found = members.iter().filter(|(member, _)| *member == name);
                found.next().unwrap().1.clone()
            };
            (told("PaymentIntentId"), told("PaymentIntentClientSecret"))
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(of(Value::Null), (None, None));
        assert_eq!(of("pi_1".into()), (text("pi_1"), None));
        assert_eq!(
            of(json!({"id": "pi_1", "client_secret": "pi_1_secret_2"})),
            (text("pi_1"), text("pi_1_secret_2"))
        );
    }
}
