//! `payment_intent_unexpected_state`: the words of Stripe for a command that comes at the wrong time.

use crate::errors::ApiError;
use crate::objects::{PaymentIntent, PaymentIntentStatus};
use crate::wire::Word;

/// The error for a wrong state, with the intent inside.
pub fn unexpected_state(intent: &PaymentIntent, message: String) -> ApiError {
    ApiError::invalid(message)
        .code("payment_intent_unexpected_state")
        .with("payment_intent", intent.render())
        .executed()
}

/// The error for a parameter that the state no longer allows.
pub fn cannot_update(
    intent: &PaymentIntent,
    param: &str,
    allowed: &[PaymentIntentStatus],
) -> ApiError {
    let status = intent.status.as_str();
    let message = format!(
        "This PaymentIntent's {param} could not be updated because it has a status of {status}. You may only update the {param} of a \
         PaymentIntent with one of the following statuses: {}.",
        list(allowed)
    );
    unexpected_state(intent, message).param(param)
}

pub(super) fn cannot_be(
    intent: &PaymentIntent,
    done: &str,
    allowed: &[PaymentIntentStatus],
) -> ApiError {
    let status = intent.status.as_str();
    let message = format!(
        "This PaymentIntent could not be {done} because it has a status of {status}. Only a PaymentIntent with one of the following statuses \
         may be {done}: {}.",
        list(allowed)
    );
    unexpected_state(intent, message)
}

fn list(allowed: &[PaymentIntentStatus]) -> String {
    let words: Vec<_> = allowed.iter().map(|it| it.as_str()).collect();
    words.join(", ")
}
