//! How a command ended, told from the events it left.

use aggregates::ids::IntentionId;
use aggregates::payment::PaymentEvent;
use aggregates::payment::event::{Decline, Refusal};
use aggregates::sealed::Sealed;
use serde::{Deserialize, Serialize};

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Done,
    Declined(Decline),
    Refused(Refusal),
}

/// How the command ended: what the same answer is made of again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Ended {
    pub version: u64,
    pub verdict: Verdict,
    /// What Stripe said, where the caller's answer is made of its own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<Sealed>,
    /// Stripe refused to begin: the caller's key is free again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_begun: bool,
}

impl Verdict {
    /// Whether Stripe refused the request for what was wrong in it, before it looked at what it is about: it keeps no such
    /// answer under a key.
    pub(super) fn is_not_begun(&self) -> bool {
        let Self::Refused(refusal) = self else {
            return false;
        };
        let faulty = |code: &str| {
            code.starts_with("parameter_")
                || code.ends_with("_invalid")
                || matches!(
                    code,
                    "resource_missing"
                        | "amount_too_small"
                        | "amount_too_large"
                        | "payment_intent_invalid_parameter"
                )
        };
        let names_a_parameter = refusal.param.is_some();
        let code = refusal.code.as_deref();
        matches!(refusal.status, 400 | 404) && code.map_or(names_a_parameter, faulty)
    }

    /// How these events end what was asked; none where they hold no outcome.
    pub(super) fn of(events: &[PaymentEvent]) -> Option<Self> {
        events
            .iter()
            .filter(|event| event.outcome_of().is_some())
            .map(Self::of_outcome)
            .next_back()
    }

    fn of_outcome(event: &PaymentEvent) -> Self {
        match event {
            PaymentEvent::Declined { decline, .. } => Self::Declined(decline.clone()),
            PaymentEvent::CreateRefused { refusal, .. }
            | PaymentEvent::UpdateRefused { refusal, .. }
            | PaymentEvent::ConfirmRefused { refusal, .. }
            | PaymentEvent::CaptureRefused { refusal, .. }
            | PaymentEvent::CancelRefused { refusal, .. }
            | PaymentEvent::RefundRefused { refusal, .. } => Self::Refused(refusal.clone()),
            _ => Self::Done,
        }
    }
}

impl Ended {
    /// How the command ended that began with `intention`, told from the payment's events alone. None while it is open.
    pub(super) fn from_events(events: &[PaymentEvent], intention: IntentionId) -> Option<Self> {
        let asked = events
            .iter()
            .position(|event| event.intention() == Some(intention))?;
        let outcome = |of: IntentionId| {
            events
                .iter()
                .rposition(|event| event.outcome_of() == Some(of))
        };
        let mut last = outcome(intention)?;
        let confirms = matches!(&events[asked], PaymentEvent::CreateRequested(request) if request.then_confirm.is_some());
        if confirms && matches!(events[last], PaymentEvent::Created(_)) {
            let confirmed = events.iter().find_map(|event| match event {
                PaymentEvent::ConfirmRequested { intention, .. } => Some(*intention),
                _ => None,
            })?;
            last = outcome(confirmed)?;
        }
        let verdict = Verdict::of_outcome(&events[last]);
        let version = u64::try_from(last + 1).expect("a stream holds fewer than 2^64 events");
        Some(Self {
            version,
            verdict,
            said: None,
            not_begun: false,
        })
    }
}
