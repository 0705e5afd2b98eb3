//! Stripe's words as an answer of ours.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

use super::super::error::IDEMPOTENT_REPLAYED;
use crate::use_cases::StripeAnswer;

static STRIPE_VERSION: HeaderName = HeaderName::from_static("stripe-version");

/// The version whose shapes are answered, whatever the caller's library was written for.
const VERSION: HeaderValue = HeaderValue::from_static("2023-08-16");

/// What this service writes into metadata at Stripe begins so.
const OURS: &str = "counterfoil_";

/// The answer: Stripe's status and body, without what this service adds to them for itself.
pub fn answer(said: &StripeAnswer, replayed: bool) -> Response {
    let status = StatusCode::from_u16(said.status).unwrap_or(StatusCode::OK);
    let mut response = (status, Json(shown(said.body.clone()))).into_response();
    let headers = response.headers_mut();
    headers.insert(STRIPE_VERSION.clone(), VERSION);
    if replayed || said.replayed {
        headers.insert(
            IDEMPOTENT_REPLAYED.clone(),
            HeaderValue::from_static("true"),
        );
    }
    response
}

/// The object without what this service adds to metadata.
pub fn shown(mut body: Value) -> Value {
    hide(&mut body);
    body
}

fn hide(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
                metadata.retain(|name, _| !name.starts_with(OURS));
            }
            fields.values_mut().for_each(hide);
        }
        Value::Array(items) => items.iter_mut().for_each(hide),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::shown;
    use serde_json::json;

    /// Planted bug: looking at the top alone shows ours in lists and in errors.
    #[test]
    fn what_we_write_for_ourselves_is_shown_nowhere() {
        let said = json!({"data": [{"metadata": {"order": "1", "counterfoil_payment": "x"}}]});
        assert_eq!(shown(said), json!({"data": [{"metadata": {"order": "1"}}]}));
    }
}
