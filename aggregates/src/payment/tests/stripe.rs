//! A model of Stripe's side of one payment: small, truthful, and slow to tell.
//!
//! What it says is put on the wire and delivered later, in any order, once or several times.

use super::*;
use crate::ids::RefundId;
use crate::payment::command::{RefundSnapshot, StripeRefundStatus};
use crate::payment::state::Step;

/// What becomes of an attempt, a refund, or a request.
#[derive(Debug, Clone, Copy)]
pub enum Luck {
    Good,
    Action,
    Slow,
    Bad,
}

#[derive(Debug, Default)]
pub struct Stripe {
    pub intent: Option<IntentSnapshot>,
    pub refunds: Vec<RefundSnapshot>,
    charges: u32,
}

impl Stripe {
    /// Carries out an intention, and answers it.
    pub fn carry_out(
        &mut self,
        payment: &Payment,
        event: &PaymentEvent,
        luck: Luck,
    ) -> Option<Said> {
        if let PaymentEvent::RefundRequested { refund, amount, .. } = event {
            return Some(self.refund(Some(*refund), *amount, luck));
        }
        let pending = payment.facts()?.pending.as_ref()?;
        Some(
            self.step(payment, &pending.step, luck)
                .map_or_else(Said::Refused, |it| Said::Intent(Box::new(it))),
        )
    }

    fn step(
        &mut self,
        payment: &Payment,
        step: &Step,
        luck: Luck,
    ) -> Result<IntentSnapshot, Refusal> {
        let manual = payment
            .facts()
            .is_some_and(|it| it.capture_method == CaptureMethod::Manual);
        match (step, self.intent.as_mut()) {
            (Step::Create(_), None) if matches!(luck, Luck::Bad) => return Err(refusal()),
            (Step::Create(request), None) => {
                let status = match request.payment_method {
                    Some(_) => StripeStatus::RequiresConfirmation,
                    None => StripeStatus::RequiresPaymentMethod,
                };
                let created = IntentSnapshot {
                    amount: request.amount,
                    ..seen(status)
                };
                self.intent = Some(IntentSnapshot {
                    payment_method: request.payment_method.clone(),
                    ..created
                });
            }
            (Step::Update(changes), Some(it)) => {
                let movable = it.status as u8 <= StripeStatus::RequiresAction as u8;
                let harmless = changes.amount.is_none() && changes.payment_method.is_none();
                if !(movable || (harmless && it.status != StripeStatus::Canceled)) {
                    return Err(refusal());
                }
                it.amount = changes.amount.unwrap_or(it.amount);
                if let Some(method) = &changes.payment_method {
                    it.payment_method = Some(method.clone());
                    it.status = StripeStatus::RequiresConfirmation;
                }
            }
            (Step::Confirm { payment_method, .. }, Some(it)) => {
                it.payment_method = payment_method.clone().or(it.payment_method.take());
                let open = it.status as u8 <= StripeStatus::RequiresAction as u8;
                if !open || it.payment_method.is_none() {
                    return Err(refusal());
                }
                self.attempt(luck, manual);
            }
            (Step::Capture { amount, .. }, Some(it))
                if it.status == StripeStatus::RequiresCapture =>
            {
                it.amount_received = *amount;
                it.amount_capturable = usd(0);
                it.status = StripeStatus::Succeeded;
            }
            (Step::Cancel { .. }, Some(it))
                if !it.status.is_final() && it.status != StripeStatus::Processing =>
            {
                it.status = StripeStatus::Canceled;
                it.amount_capturable = usd(0);
            }
            _ => return Err(refusal()),
        }
        self.intent.clone().ok_or_else(refusal)
    }

    fn attempt(&mut self, luck: Luck, manual: bool) {
        let Some(it) = self.intent.as_mut() else {
            return;
        };
        it.last_error = None;
        match luck {
            Luck::Action => it.status = StripeStatus::RequiresAction,
            Luck::Slow => it.status = StripeStatus::Processing,
            Luck::Good => {
                it.charge = Some("ch_1".to_owned());
                it.status = if manual {
                    StripeStatus::RequiresCapture
                } else {
                    StripeStatus::Succeeded
                };
                *(if manual {
                    &mut it.amount_capturable
                } else {
                    &mut it.amount_received
                }) = it.amount;
            }
            Luck::Bad => {
                self.charges += 1;
                let declined = format!("ch_declined_{}", self.charges);
                it.last_error = Some(Decline {
                    payment_method: it.payment_method.take(),
                    ..decline(&declined)
                });
                it.status = StripeStatus::RequiresPaymentMethod;
            }
        }
    }

    /// The customer's side: an attempt of their own, or its end.
    pub fn customer(&mut self, luck: Luck, manual: bool) {
        let Some(it) = self.intent.as_mut() else {
            return;
        };
        match it.status {
            StripeStatus::RequiresPaymentMethod | StripeStatus::RequiresConfirmation => {
                it.payment_method = Some("pm_customers".to_owned());
                self.attempt(luck, manual);
            }
            StripeStatus::RequiresAction | StripeStatus::Processing => self.attempt(luck, manual),
            _ => {}
        }
    }

    /// Makes a refund, of ours or (`refund` is none) in Stripe's own dashboard.
    pub fn refund(&mut self, refund: Option<RefundId>, amount: Money, luck: Luck) -> Said {
        let gone = |it: &&RefundSnapshot| {
            !matches!(
                it.status,
                StripeRefundStatus::Failed | StripeRefundStatus::Canceled
            )
        };
        let given: i64 = self
            .refunds
            .iter()
            .filter(gone)
            .map(|it| it.amount.minor())
            .sum();
        let received = self
            .intent
            .as_ref()
            .map_or(0, |it| it.amount_received.minor());
        if given + amount.minor() > received {
            return Said::Refused(refusal());
        }
        let status = match luck {
            Luck::Good => StripeRefundStatus::Succeeded,
            Luck::Action | Luck::Slow => StripeRefundStatus::Pending,
            Luck::Bad => StripeRefundStatus::Failed,
        };
        let stripe_refund = format!("re_{}", self.refunds.len());
        let it = RefundSnapshot {
            refund,
            stripe_refund,
            created: None,
            status,
            amount,
            failure_reason: None,
        };
        self.refunds.push(it.clone());
        Said::Refund(it)
    }

    /// A refund goes on: a pending one ends, one that succeeded fails.
    pub fn refund_turns(&mut self, which: usize, luck: Luck) -> Option<Said> {
        let count = self.refunds.len().max(1);
        let it = self.refunds.get_mut(which % count)?;
        it.status = match (it.status, luck) {
            (StripeRefundStatus::Pending, Luck::Good) => StripeRefundStatus::Succeeded,
            (StripeRefundStatus::Pending, Luck::Action) => StripeRefundStatus::Canceled,
            (StripeRefundStatus::Pending | StripeRefundStatus::Succeeded, Luck::Bad) => {
                StripeRefundStatus::Failed
            }
            (status, _) => status,
        };
        Some(Said::Refund(it.clone()))
    }
}
