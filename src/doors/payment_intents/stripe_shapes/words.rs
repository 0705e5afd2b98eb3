//! Refusals of our own rules in Stripe's words.

use aggregates::money::Money;
use aggregates::payment::PaymentError;
use aggregates::payment::event::Refusal;
use aggregates::payment::state::{Facts, Status};

use crate::doors::sentence;

const STATE: &str = "payment_intent_unexpected_state";
const CONFIRMABLE: &str = "requires_payment_method, requires_confirmation, requires_action";
const CANCELLABLE: &str =
    "requires_payment_method, requires_capture, requires_confirmation, requires_action";

/// What Stripe says where our rules refuse. `named` are the parameters of the request, in the order of their names;
/// `named_charge` is the charge that it is about, where it names one rather than an intent.
pub fn refusal(
    error: &PaymentError,
    facts: Option<&Facts>,
    named_charge: Option<&str>,
    named: &[&str],
) -> Refusal {
    let charge = facts.and_then(|facts| facts.charge.as_deref());
    let intent = facts.and_then(|facts| facts.intent.as_ref());
    let (code, message, param) = match error {
        PaymentError::UnexpectedState { action, status } => {
            let param = named.iter().copied().find(|name| is_frozen(*status, name));
            let (message, param) = unexpected(action, &status.to_string(), param);
            (Some(STATE), message, param)
        }
        PaymentError::NeedsPaymentMethod => {
            let message = "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a payment method.";
            (Some(STATE), message.to_owned(), None)
        }
        PaymentError::NothingCaptured => {
            let held = charge.filter(|_| facts.is_some_and(|it| it.authorized.is_positive()));
            let held = named_charge.or(held);
            let (message, param) = match held {
                Some(charge) => (not_captured(charge), None),
                None => {
                    let intent = intent.map_or("", |intent| &intent.id);
                    let message = format!(
                        "This PaymentIntent ({intent}) does not have a successful charge to refund."
                    );
                    (message, Some("payment_intent"))
                }
            };
            (Some("charge_not_refundable"), message, param)
        }
        PaymentError::AlreadyRefunded => (
            Some("charge_already_refunded"),
            format!(
                "Charge {} has already been refunded.",
                charge.unwrap_or_default()
            ),
            None,
        ),
        PaymentError::ExceedsRefundable { asked, refundable } => (
            None,
            format!(
                "Refund amount ({}) is greater than unrefunded amount on charge ({})",
                display(*asked),
                display(*refundable)
            ),
            Some("amount"),
        ),
        PaymentError::ExceedsHold { .. } => (
            Some("amount_too_large"),
            "The amount to capture is greater than the amount that can be captured.".to_owned(),
            Some("amount_to_capture"),
        ),
        PaymentError::AmountTooSmall { minimum, .. } => (
            Some("amount_too_small"),
            format!(
                "Amount must be at least {} {}",
                display(*minimum),
                minimum.currency().code()
            ),
            Some("amount"),
        ),
        PaymentError::AmountTooLarge { maximum, .. } => (
            Some("amount_too_large"),
            format!("Amount must be no more than {}", display(*maximum)),
            Some("amount"),
        ),
        PaymentError::AmountInvalid { .. } => {
            let captures = named.contains(&"amount_to_capture");
            let param = if captures {
                "amount_to_capture"
            } else {
                "amount"
            };
            let message = sentence(&error.to_string());
            (Some("parameter_invalid_integer"), message, Some(param))
        }
        PaymentError::CurrencyMismatch { .. } => {
            (None, sentence(&error.to_string()), Some("currency"))
        }
        PaymentError::Metadata(_) => (None, sentence(&error.to_string()), Some("metadata")),
        other => (None, sentence(&other.to_string()), None),
    };
    Refusal {
        status: 400,
        kind: "invalid_request_error".to_owned(),
        code: code.map(str::to_owned),
        message,
        param: param.map(str::to_owned),
    }
}

fn not_captured(charge: &str) -> String {
    format!("Charge {charge} has not been captured, so it cannot be refunded.")
}

/// Whether an intent of this status lets the parameter change no more.
fn is_frozen(status: Status, name: &str) -> bool {
    match (status, name) {
        (_, "expand" | "client_secret" | "metadata") => false,
        (Status::Processing, _) => true,
        (_, "description") => false,
        (Status::RequiresCapture, "receipt_email" | "shipping" | "transfer_group") => false,
        _ => true,
    }
}

fn unexpected<'a>(action: &str, status: &str, param: Option<&'a str>) -> (String, Option<&'a str>) {
    let one_of = |done: &str, allowed: &str| {
        format!(
            "This PaymentIntent could not be {done} because it has a status of {status}. Only a PaymentIntent with one of the following statuses may be {done}: {allowed}."
        )
    };
    match (action, status, param) {
        ("confirm", "succeeded", _) => {
            let message = "You cannot confirm this PaymentIntent because it has already succeeded after being previously confirmed.";
            (message.to_owned(), None)
        }
        ("confirm", ..) => (one_of("confirmed", CONFIRMABLE), None),
        ("capture", ..) => (one_of("captured", "requires_capture"), None),
        ("cancel", ..) => (one_of("canceled", CANCELLABLE), None),
        ("update", "canceled", _) | ("update", _, None) => {
            let message = format!(
                "This PaymentIntent could not be updated because it has a status of {status}."
            );
            (message, None)
        }
        ("update", _, Some(param)) => {
            let allowed = match param {
                "receipt_email" | "shipping" | "transfer_group" => {
                    format!("{CONFIRMABLE}, requires_capture")
                }
                _ => CONFIRMABLE.to_owned(),
            };
            let message = format!(
                "This PaymentIntent's {param} could not be updated because it has a status of {status}. You may only update the {param} of a PaymentIntent with one of the following statuses: {allowed}."
            );
            (message, Some(param))
        }
        _ => (
            format!("You cannot {action} this PaymentIntent because it has a status of {status}."),
            None,
        ),
    }
}

/// An amount as Stripe writes it for people: `$1,234.50`, `¥50`, `SEK 3.00`.
fn display(amount: Money) -> String {
    let text = amount.to_string();
    let digits = text.split(' ').next().unwrap_or_default();
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if !fraction.is_empty() {
        grouped = format!("{grouped}.{fraction}");
    }
    match amount.currency().code().as_str() {
        "usd" => format!("${grouped}"),
        "eur" => format!("€{grouped}"),
        "gbp" => format!("£{grouped}"),
        "jpy" => format!("¥{grouped}"),
        code => format!("{} {grouped}", code.to_uppercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aggregates::money::Currency;

    fn money(minor: i64, code: &str) -> Money {
        Money::new(minor, code.parse::<Currency>().unwrap())
    }

    #[test]
    fn amounts_read_as_stripe_writes_them() {
        for (amount, text) in [
            (money(99_999_999, "usd"), "$999,999.99"),
            (money(50, "jpy"), "¥50"),
            (money(300, "sek"), "SEK 3.00"),
            (money(1_250, "kwd"), "KWD 1.250"),
            (money(123_456, "eur"), "€1,234.56"),
        ] {
            assert_eq!(display(amount), text);
        }
    }

    #[test]
    fn a_frozen_parameter_is_named_with_the_states_that_would_allow_it() {
        let error = PaymentError::UnexpectedState {
            action: "update",
            status: aggregates::payment::Status::Succeeded,
        };
        let refusal = super::refusal(&error, None, None, &["amount", "description"]);
        assert_eq!(refusal.param.as_deref(), Some("amount"));
        assert!(refusal.message.ends_with(
            "statuses: requires_payment_method, requires_confirmation, requires_action."
        ));
    }
}
