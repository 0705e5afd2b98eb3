//! What Stripe says of refunds and disputes. Both may begin outside, come in any order, and turn late.

use crate::ids::RefundId;
use crate::payment::command::{
    DisputeSnapshot, DisputeState, DisputeTurn, RefundSnapshot, StripeRefundStatus,
};
use crate::payment::event::PaymentEvent;
use crate::payment::state::{Facts, Refund, RefundStatus};

impl Facts {
    pub(super) fn see_refund(&self, seen: &RefundSnapshot) -> Vec<PaymentEvent> {
        if seen.amount.currency() != self.amount.currency() {
            return vec![refused(
                seen,
                format!("this payment is in {}", self.amount.currency()),
            )];
        }
        let known = self.refund_seen(seen);
        if let Some(because) = known.and_then(|it| contradiction(it, seen)) {
            return vec![refused(seen, because)];
        }
        let observed = RefundId::of_observed_refund(&seen.stripe_refund);
        let refund = known.map_or(observed, |it| it.id);
        let (amount, stripe_refund) = (seen.amount, seen.stripe_refund.clone());
        let created = seen.created;
        let told = match (
            known.map_or(RefundStatus::Requested, |it| it.status),
            seen.status,
        ) {
            // Refused, Stripe said, and yet there it is: the money counts.
            (
                RefundStatus::Requested | RefundStatus::Refused,
                StripeRefundStatus::Pending | StripeRefundStatus::RequiresAction,
            ) => PaymentEvent::RefundPending {
                refund,
                amount,
                stripe_refund,
                created,
            },
            (
                RefundStatus::Requested | RefundStatus::Refused | RefundStatus::Pending,
                StripeRefundStatus::Succeeded,
            ) => PaymentEvent::Refunded {
                refund,
                amount,
                stripe_refund,
                created,
                observed: refund == observed,
            },
            // It had succeeded before it failed, and that is heard of only now: its money went out and came back.
            (RefundStatus::Failed, StripeRefundStatus::Succeeded)
                if known.is_some_and(|it| !it.had_succeeded) =>
            {
                let (reason, of) = (
                    known.and_then(|it| it.failure_reason.clone()),
                    stripe_refund.clone(),
                );
                return vec![
                    PaymentEvent::Refunded {
                        refund,
                        amount,
                        stripe_refund,
                        created,
                        observed: refund == observed,
                    },
                    PaymentEvent::RefundFailed {
                        refund,
                        amount,
                        stripe_refund: of,
                        created,
                        reason,
                        had_succeeded: true,
                    },
                ];
            }
            (RefundStatus::Failed | RefundStatus::Canceled, _) => return vec![],
            (status, StripeRefundStatus::Failed) => {
                let had_succeeded = status == RefundStatus::Succeeded;
                let reason = seen.failure_reason.clone();
                PaymentEvent::RefundFailed {
                    refund,
                    amount,
                    stripe_refund,
                    created,
                    reason,
                    had_succeeded,
                }
            }
            (_, StripeRefundStatus::Canceled) => PaymentEvent::RefundCancelled {
                refund,
                amount,
                stripe_refund,
                created,
            },
            _ => return vec![],
        };
        vec![told]
    }

    /// By Stripe's id; else by ours, unless that one is another of Stripe's (its metadata may have been copied).
    fn refund_seen(&self, seen: &RefundSnapshot) -> Option<&Refund> {
        let by_stripe = self
            .refunds
            .iter()
            .find(|it| it.stripe_refund.as_deref() == Some(&seen.stripe_refund));
        let ours = || {
            seen.refund
                .and_then(|id| self.refund(id))
                .filter(|it| it.stripe_refund.is_none())
        };
        by_stripe.or_else(ours)
    }

    /// Each turn of a dispute is recorded once, in whatever order they come.
    pub(super) fn see_dispute(&self, seen: DisputeSnapshot) -> Vec<PaymentEvent> {
        let DisputeSnapshot {
            dispute,
            amount,
            reason,
            turn,
        } = seen;
        let known = self.disputes.get(&dispute);
        if let (DisputeTurn::Closed { won }, Some(known_won)) = (&turn, known.and_then(|it| it.won))
            && *won != known_won
        {
            let how = |won: bool| if won { "won" } else { "lost" };
            return vec![PaymentEvent::ObservationRefused {
                said: format!("dispute {dispute} of {amount} is {}", how(*won)),
                because: format!("it was {}, and that is final", how(known_won)),
            }];
        }
        let (recorded, event) = match turn {
            DisputeTurn::Opened { inquiry } => (
                known.is_some_and(|it| it.opened),
                PaymentEvent::DisputeOpened {
                    dispute,
                    amount,
                    reason,
                    inquiry,
                },
            ),
            DisputeTurn::FundsWithdrawn { fee_minor } => (
                known.is_some_and(|it| it.funds_withdrawn),
                PaymentEvent::DisputeFundsWithdrawn {
                    dispute,
                    amount,
                    fee_minor,
                },
            ),
            DisputeTurn::FundsReinstated => (
                known.is_some_and(|it| it.funds_reinstated),
                PaymentEvent::DisputeFundsReinstated { dispute, amount },
            ),
            DisputeTurn::Closed { won } => (
                known.is_some_and(|it| it.won.is_some()),
                PaymentEvent::DisputeClosed {
                    dispute,
                    amount,
                    won,
                },
            ),
        };
        (!recorded).then_some(event).into_iter().collect()
    }

    /// Every turn that the dispute has taken and that is not recorded yet, in the order in which they are taken.
    pub(super) fn see_dispute_state(&self, seen: &DisputeState) -> Vec<PaymentEvent> {
        let inquiry = seen.status.is_inquiry();
        let withdrawn = seen.withdrawn_fee_minor;
        let turns = [
            Some(DisputeTurn::Opened { inquiry }),
            withdrawn.map(|fee_minor| DisputeTurn::FundsWithdrawn { fee_minor }),
            seen.reinstated.then_some(DisputeTurn::FundsReinstated),
            seen.status.won().map(|won| DisputeTurn::Closed { won }),
        ];
        let told = |turn| {
            self.see_dispute(DisputeSnapshot {
                dispute: seen.dispute.clone(),
                amount: seen.amount,
                reason: seen.reason.clone(),
                turn,
            })
        };
        turns.into_iter().flatten().flat_map(told).collect()
    }
}

/// Why this cannot be how the refund stands, or ever stood, though Stripe has shown it before.
fn contradiction(known: &Refund, seen: &RefundSnapshot) -> Option<String> {
    use StripeRefundStatus as S;
    if known.stripe_refund.is_some() && known.amount != seen.amount {
        return Some(format!("the refund known here is of {}", known.amount));
    }
    match (known.status, seen.status) {
        (RefundStatus::Succeeded | RefundStatus::Failed, S::Canceled)
        | (RefundStatus::Canceled, S::Succeeded | S::Failed) => {
            Some(format!("the refund is {}, and that is final", known.status))
        }
        _ => None,
    }
}

fn refused(seen: &RefundSnapshot, because: String) -> PaymentEvent {
    let said = format!(
        "refund {} of {} is {}",
        seen.stripe_refund, seen.amount, seen.status
    );
    PaymentEvent::ObservationRefused { said, because }
}
