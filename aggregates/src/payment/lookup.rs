//! What Stripe's intent shows of the step that waits for an answer, where nobody may ask for the step again.

use crate::payment::command::{IntentSnapshot, StripeStatus};
use crate::payment::event::Refusal;
use crate::payment::observe::same_decline;
use crate::payment::state::{Facts, Status, Step};

/// Whether something was done, as far as an object shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    Done,
    NotDone,
    /// The object does not tell.
    Unclear,
}

impl Facts {
    /// Whether the intent as it stands now shows that the pending step was carried out. A change of its terms
    /// ([`Step::Update`]) shows in what the snapshot does not hold, and is unclear here.
    pub fn shown_by(&self, seen: &IntentSnapshot) -> Shown {
        let Some(pending) = &self.pending else {
            return Shown::Unclear;
        };
        let done = match &pending.step {
            Step::Create(_) => true,
            Step::Update(_) => return Shown::Unclear,
            Step::Confirm { .. } => self.shows_attempt(seen),
            Step::Capture { .. } => {
                let taken = seen.amount_received.minor() > self.captured.minor();
                taken
                    || matches!(
                        seen.status,
                        StripeStatus::Succeeded | StripeStatus::Processing
                    )
            }
            Step::Cancel { .. } => seen.status == StripeStatus::Canceled,
        };
        if done { Shown::Done } else { Shown::NotDone }
    }

    /// An attempt leads onward, or leaves a decline that was not there before it.
    fn shows_attempt(&self, seen: &IntentSnapshot) -> bool {
        match seen.status {
            StripeStatus::RequiresPaymentMethod => seen.last_error.as_ref().is_some_and(|error| {
                let known = self.last_decline.as_ref();
                !known.is_some_and(|last| same_decline(last, error))
            }),
            StripeStatus::RequiresConfirmation => false,
            // It stood there before: the customer acts on the attempt that is there, whichever it is.
            StripeStatus::RequiresAction if self.status == Status::RequiresAction => true,
            _ => true,
        }
    }
}

impl Refusal {
    /// The code of a step that was proved not to have happened, and cannot happen any more.
    pub const NOT_CARRIED_OUT: &str = "not_carried_out";

    /// Stripe does not show what was asked of it, and was asked under a key that it has forgotten or answers with an error.
    pub fn not_carried_out() -> Self {
        Self::of_silence(
            "Stripe did not carry this out, and will not any more: nothing came of it. It may be asked for anew, under \
             another idempotency key.",
        )
    }

    /// Two people have found that it did not happen.
    pub fn settled_by_hand() -> Self {
        Self::of_silence(
            "It was found out by hand that Stripe did not carry this out: nothing came of it. It may be asked for anew, \
             under another idempotency key.",
        )
    }

    fn of_silence(message: &str) -> Self {
        Self {
            status: 409,
            kind: "api_error".to_owned(),
            code: Some(Self::NOT_CARRIED_OUT.to_owned()),
            message: message.to_owned(),
            param: None,
        }
    }
}
