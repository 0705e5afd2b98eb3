//! Refusals of our own rules, for callers who expect Stripe's: in its words, and kept under the caller's key where Stripe
//! would keep them.

use aggregates::ids::IntentionId;
use aggregates::money::Money;
use aggregates::payment::PaymentError;
use aggregates::payment::event::Refusal;
use aggregates::payment::state::{Facts, Status};

use super::idempotency::{Claimed, Idempotency, Standing};
use super::verdict::{Ended, Verdict};
use super::{App, AppError};
use crate::gateway::StripeAnswer;
use crate::store::{Caller, Commit, Trouble};
use aggregates::sealed::subject_of_payment;

const STATE: &str = "payment_intent_unexpected_state";
const CONFIRMABLE: &str = "requires_payment_method, requires_confirmation, requires_action";
const CANCELLABLE: &str =
    "requires_payment_method, requires_capture, requires_confirmation, requires_action";

/// What Stripe says where our rules refuse; `named` are the parameters of the request, in the order of their names.
fn in_stripes_words(error: &PaymentError, facts: Option<&Facts>, named: &[&str]) -> Refusal {
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

/// The refusal of a refund of a charge that took no money.
pub(super) fn charge_not_refundable(charge: &str) -> Refusal {
    Refusal {
        status: 400,
        kind: "invalid_request_error".to_owned(),
        code: Some("charge_not_refundable".to_owned()),
        message: not_captured(charge),
        param: None,
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

/// The domain's errors are phrases; Stripe writes sentences.
fn sentence(phrase: &str) -> String {
    let mut letters = phrase.chars();
    letters.next().map_or_else(String::new, |first| {
        format!("{}{}.", first.to_uppercase(), letters.as_str())
    })
}

impl App {
    /// What Stripe says where our rules refuse a step of the intent (none for one that is not made yet); `named` are the
    /// parameters of the request, in the order of their names.
    ///
    /// # Errors
    /// Where the store cannot be used.
    pub async fn refusal(
        &self,
        caller: &Caller,
        intent: Option<&str>,
        error: &PaymentError,
        named: &[&str],
    ) -> Result<Refusal, AppError> {
        let merchant = &caller.merchant.id;
        let known = match intent {
            Some(intent) => self.find(merchant, intent).await.ok(),
            None => None,
        };
        let Some(known) = known else {
            return Ok(in_stripes_words(error, None, named));
        };
        let payment = self.inner.store.payment(merchant, known).await?;
        Ok(in_stripes_words(error, payment.state.facts(), named))
    }

    /// Whether the caller's key was used for another request already. Stripe looks at it before it looks at parameters.
    ///
    /// # Errors
    /// [`AppError::KeyReused`] where it was.
    pub async fn check_key(
        &self,
        caller: &Caller,
        key: Option<&Idempotency>,
    ) -> Result<(), AppError> {
        self.standing::<serde_json::Value, serde_json::Value>(&caller.merchant, key)
            .await
            .map(drop)
    }

    /// Keeps a refusal by our own rules under the caller's key: the same request is refused in the same words, even once the
    /// payment has moved on. What cannot be kept (the intent is nobody's, or the key was taken meanwhile) is not.
    ///
    /// # Errors
    /// Where the store cannot be used.
    pub async fn keep_refusal(
        &self,
        caller: &Caller,
        door: &'static str,
        intent: &str,
        key: Option<&Idempotency>,
        (refusal, said): (Refusal, StripeAnswer),
    ) -> Result<(), AppError> {
        let merchant = &caller.merchant;
        let (Some(key), Ok(payment)) = (key, self.find(&merchant.id, intent).await) else {
            return Ok(());
        };
        // The first use, or the next free one, is looked up again: this is another request's task.
        if !matches!(
            self.standing::<Claimed, Ended>(merchant, Some(key)).await?,
            Standing::Free
        ) {
            return Ok(());
        }
        let state = self.inner.store.payment(&merchant.id, payment).await?;
        let Some(facts) = state.state.facts() else {
            return Ok(());
        };
        let subject = subject_of_payment(payment, facts.order);
        let ended = Ended {
            version: state.version,
            verdict: Verdict::Refused(refusal),
            said: Some(self.keep(&merchant.id, &subject, &said).await?),
            not_begun: false,
        };
        let claimed = Claimed {
            payment,
            intention: IntentionId::from_uuid(self.inner.store.ids.uuid()),
        };
        let commit = Commit {
            claim: Some(key.claim(&claimed)),
            completes: Some(key.completion(&ended)),
            ..Commit::default()
        };
        let (app, merchant, context) = (self.clone(), merchant.clone(), self.context(caller, door));
        self.command(async move {
            match app.inner.store.commit(&merchant.id, &context, commit).await {
                Ok(_) | Err(Trouble::Claimed(_)) => Ok(()),
                Err(trouble) => Err(trouble.into()),
            }
        })
        .await
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
        let refusal = in_stripes_words(&error, None, &["amount", "description"]);
        assert_eq!(refusal.param.as_deref(), Some("amount"));
        assert!(refusal.message.ends_with(
            "statuses: requires_payment_method, requires_confirmation, requires_action."
        ));
    }
}
