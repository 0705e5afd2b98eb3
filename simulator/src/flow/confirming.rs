//! Confirmation, with 3-D Secure where the card or the caller asks for it.

use serde_json::json;

use super::charging::{attempt, refuse};
use super::unexpected::{cannot_be, unexpected_state};
use crate::cards::Decline;
use crate::errors::{ApiError, ErrorType, Outcome};
use crate::objects::{
    ConfirmationMethod, NextAction, PaymentIntent, PaymentIntentStatus as Status, PaymentMethod,
    RequestThreeDSecure,
};
use crate::state::Tx;

/// How an intent is confirmed.
#[derive(Default)]
pub struct Confirmation {
    /// The payer is not there to authenticate.
    pub off_session: bool,
    /// Refuse rather than ask the payer to authenticate.
    pub error_on_requires_action: bool,
    /// Where the payer comes back to.
    pub return_url: Option<String>,
}

/// Confirms an intent that has a payment method.
///
/// # Errors
/// 400 `payment_intent_unexpected_state`; 402 when the card is refused, with the failed charge made and the intent back at
/// `requires_payment_method`.
pub fn confirm(
    tx: &mut Tx<'_>,
    mut intent: PaymentIntent,
    how: Confirmation,
) -> Outcome<PaymentIntent> {
    check_confirmable(&intent)?;
    let method = method_of(tx, &intent)?;
    intent.last_payment_error = None;
    intent.next_action = None;
    if std::mem::take(&mut intent.authenticated) {
        return attempt(tx, intent, &method, true);
    }
    let asked_for = intent.request_three_d_secure != RequestThreeDSecure::Automatic;
    let issuer_asks = method.card.behaviour.authenticate;
    if issuer_asks && (how.off_session || how.error_on_requires_action) {
        return Err(refuse(tx, intent, &method, Decline::AuthenticationRequired));
    }
    if issuer_asks || (asked_for && !how.off_session) {
        return Ok(ask_to_authenticate(tx, intent, how.return_url));
    }
    attempt(tx, intent, &method, false)
}

/// Whether the state allows confirmation, and there is something to confirm with.
fn check_confirmable(intent: &PaymentIntent) -> Outcome<()> {
    let allowed = [
        Status::RequiresPaymentMethod,
        Status::RequiresConfirmation,
        Status::RequiresAction,
    ];
    if intent.status == Status::Succeeded {
        let message = "You cannot confirm this PaymentIntent because it has already succeeded after being previously confirmed.";
        return Err(unexpected_state(intent, message.to_owned()));
    }
    if !allowed.contains(&intent.status) {
        return Err(cannot_be(intent, "confirmed", &allowed));
    }
    if intent.payment_method.is_none() {
        let message = "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the PaymentIntent \
                       with a payment method and then confirm it again, or confirm it again directly with a payment method.";
        return Err(unexpected_state(intent, message.to_owned()));
    }
    Ok(())
}

fn method_of(tx: &Tx<'_>, intent: &PaymentIntent) -> Outcome<PaymentMethod> {
    let id = intent.payment_method.as_deref().unwrap_or_default();
    tx.get(id)
        .ok_or_else(|| ApiError::no_such("PaymentMethod", id, "payment_method"))
}

fn ask_to_authenticate(
    tx: &mut Tx<'_>,
    mut intent: PaymentIntent,
    return_url: Option<String>,
) -> PaymentIntent {
    let url = format!("{}_sim/3ds/{}", tx.cell.base_url, intent.id);
    intent.status = Status::RequiresAction;
    intent.next_action = Some(match return_url {
        Some(return_url) => NextAction::RedirectToUrl { url, return_url },
        None => NextAction::UseStripeSdk { url },
    });
    tx.put(intent.clone());
    tx.emit("payment_intent.requires_action", &intent.render());
    intent
}

/// The payer has passed or failed 3-D Secure. Answers the intent as it then stands.
///
/// # Errors
/// 400 when the intent asks for nothing.
pub fn finish_authentication(
    tx: &mut Tx<'_>,
    mut intent: PaymentIntent,
    passed: bool,
) -> Outcome<PaymentIntent> {
    if intent.status != Status::RequiresAction {
        return Err(cannot_be(
            &intent,
            "authenticated",
            &[Status::RequiresAction],
        ));
    }
    let method = method_of(tx, &intent)?;
    intent.next_action = None;
    if !passed {
        return Ok(fail_authentication(tx, intent, &method));
    }
    if intent.confirmation_method == ConfirmationMethod::Manual {
        // The merchant's server takes the money, by confirming once more.
        intent.status = Status::RequiresConfirmation;
        intent.authenticated = true;
        tx.put(intent.clone());
        return Ok(intent);
    }
    let id = intent.id.clone();
    match attempt(tx, intent, &method, true) {
        Ok(intent) => Ok(intent),
        // A refusal after authentication has nobody to be told to: it stands in the intent.
        Err(_) => Ok(tx.get(&id).expect("a refused attempt puts the intent")),
    }
}

fn fail_authentication(
    tx: &mut Tx<'_>,
    mut intent: PaymentIntent,
    method: &PaymentMethod,
) -> PaymentIntent {
    let error = ApiError::new(
        400,
        ErrorType::InvalidRequest,
        "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new PaymentMethod to attempt to \
         fulfill this PaymentIntent again.",
    )
    .code("payment_intent_authentication_failure")
    .with("payment_method", method.render());
    intent.last_payment_error = Some(error.object());
    intent.payment_method = None;
    intent.status = Status::RequiresPaymentMethod;
    tx.put(intent.clone());
    tx.emit("payment_intent.payment_failed", &intent.render());
    intent
}

/// The 402 for a refused card; `charge` is the failed attempt.
pub(super) fn card_error(decline: Decline, charge: &str, method: &PaymentMethod) -> ApiError {
    use crate::wire::Word;
    ApiError::new(402, ErrorType::Card, decline.message())
        .code(decline.error_code())
        .with("decline_code", json!(decline.as_str()))
        .with("charge", json!(charge))
        .with("payment_method", method.render())
        .executed()
}
