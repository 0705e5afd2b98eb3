//! What Stripe says, compared with what is known: the events that bring the one to the other, or none.
//!
//! An answer, a webhook and a poll come through here alike, in any order and any number of times. What is final stays; a
//! snapshot that contradicts it is recorded as refused. Old news is no news. What Stripe reports to have happened is a
//! fact even beyond our own limits.

use crate::ids::IntentionId;
use crate::payment::command::{IntentSnapshot, Observation, Said, StripeStatus};
use crate::payment::event::{Created, Decline, OpenStatus, PaymentEvent, Refusal};
use crate::payment::state::{Facts, Pending, RefundStatus, Status, Step};

impl Facts {
    pub(super) fn observe(&self, it: Observation) -> Vec<PaymentEvent> {
        let mut events = match it.said {
            Said::Intent(seen) => self.see_intent(it.intention, it.current, &seen),
            Said::Refused(refusal) => self.see_refusal(it.intention, refusal),
            Said::Refund(seen) => self.see_refund(&seen),
            Said::Dispute(seen) => self.see_dispute(seen),
            Said::DisputeState(seen) => self.see_dispute_state(&seen),
        };
        events.retain(|event| !self.is_refused_already(event));
        events
    }

    /// What was refused is recorded once for each reason, however often and under whatever id it is said.
    fn is_refused_already(&self, event: &PaymentEvent) -> bool {
        match event {
            PaymentEvent::ObservationRefused { said, because } => self.refused.hold(said, because),
            _ => false,
        }
    }

    fn see_intent(
        &self,
        intention: Option<IntentionId>,
        current: bool,
        seen: &IntentSnapshot,
    ) -> Vec<PaymentEvent> {
        if let Some(because) = self.not_ours(seen) {
            return vec![refused(seen, because)];
        }
        let answers = self.awaits(intention);
        // An answer whose intention ended meanwhile is a replay: as old as a webhook may be.
        let mut current = current && (intention.is_none() || answers);
        let mut now = self.clone();
        let mut events = vec![];
        if let Some(event) = now.creation(seen) {
            now.apply(&event);
            events.push(event);
        }
        if let Some(event) = now.update_shown(seen, answers, current) {
            now.apply(&event);
            events.push(event);
            // Its answer may be older than the end that came in between.
            current = current && !now.status.is_final();
        }
        let stage = now.stage(seen, now.awaits(intention), current);
        if now.agrees_on_amount(seen) {
            events.extend(stage);
            return events;
        }
        let drifted = refused(seen, format!("the amount known here is {}", now.amount));
        if answers || !events.is_empty() || seen.status.is_final() {
            // Money and outcomes are facts whatever the amount: taken on, and the difference noted.
            events.extend(stage);
            events.extend((!events.is_empty()).then_some(drifted));
        } else if !stage.is_empty() {
            events.push(drifted);
        }
        events
    }

    /// Why this snapshot cannot be about this payment.
    fn not_ours(&self, seen: &IntentSnapshot) -> Option<String> {
        match &self.intent {
            Some(known) if known.id != seen.intent => {
                Some(format!("this payment's intent is {}", known.id))
            }
            _ if seen.amount.currency() != self.amount.currency() => {
                Some(format!("this payment is in {}", self.amount.currency()))
            }
            _ => None,
        }
    }

    fn agrees_on_amount(&self, seen: &IntentSnapshot) -> bool {
        let asked = match self.step() {
            Some((_, Step::Update(changes))) => changes.amount,
            _ => None,
        };
        seen.amount == self.amount || asked == Some(seen.amount)
    }

    fn step(&self) -> Option<(IntentionId, &Step)> {
        self.pending
            .as_ref()
            .map(|Pending { intention, step }| (*intention, step))
    }

    fn awaits(&self, intention: Option<IntentionId>) -> bool {
        intention.is_some() && self.pending.as_ref().map(|it| it.intention) == intention
    }

    /// Any snapshot shows that the intent was made. How far it has come since is told by the events that follow.
    fn creation(&self, seen: &IntentSnapshot) -> Option<PaymentEvent> {
        let Some((intention, Step::Create(_))) = self.step() else {
            return None;
        };
        let status = OpenStatus::at_creation(seen.status);
        Some(PaymentEvent::Created(Created {
            intention,
            intent: seen.intent.clone(),
            status,
            payment_method: seen.payment_method.clone(),
            created: seen.created,
            livemode: seen.livemode,
        }))
    }

    /// A pending change is resolved by its own answer, or by a snapshot that can only stand after it.
    fn update_shown(
        &self,
        seen: &IntentSnapshot,
        answers: bool,
        current: bool,
    ) -> Option<PaymentEvent> {
        let Some((intention, Step::Update(changes))) = self.step() else {
            return None;
        };
        let amount = changes
            .amount
            .is_some_and(|it| it != self.amount && it == seen.amount);
        let method = changes.payment_method.is_some()
            && changes.payment_method != self.payment_method
            && changes.payment_method == seen.payment_method
            && changes.amount.is_none_or(|it| it == seen.amount);
        let shown = (amount && (current || seen.status.is_final())) || (method && current);
        if !(answers || shown) {
            return None;
        }
        let open = match seen.status {
            StripeStatus::RequiresPaymentMethod => Some(OpenStatus::RequiresPaymentMethod),
            StripeStatus::RequiresConfirmation => Some(OpenStatus::RequiresConfirmation),
            _ => None,
        };
        let movable = self.stage_rank() <= rank(StripeStatus::RequiresAction);
        let status = open.filter(|_| movable && (current || rank(seen.status) > self.stage_rank()));
        let method = if self.status.is_final() {
            &self.payment_method
        } else {
            &seen.payment_method
        };
        Some(PaymentEvent::Updated {
            intention,
            changes: changes.clone(),
            status,
            payment_method: method.clone(),
        })
    }

    /// From where the payment is known to stand to where the snapshot shows it.
    fn stage(&self, seen: &IntentSnapshot, answers: bool, current: bool) -> Vec<PaymentEvent> {
        if self.status.is_final() {
            return self
                .contradiction(seen, current)
                .into_iter()
                .map(|because| refused(seen, because))
                .collect();
        }
        match seen.status {
            StripeStatus::Succeeded => self.paid(seen),
            StripeStatus::Canceled => self.cancelled(seen),
            _ => {
                let mut events = self.open_stage(seen, answers, current);
                events.extend(self.not_carried_out(seen, answers));
                events
            }
        }
    }

    /// One final state, ever.
    fn contradiction(&self, seen: &IntentSnapshot, current: bool) -> Option<String> {
        if self.status.at_stripe() == Some(seen.status) {
            let other = self.status == Status::Succeeded && seen.amount_received != self.captured;
            return other
                .then(|| format!("it is {}, and {} was captured", self.status, self.captured));
        }
        (current || seen.status.is_final() || self.status == Status::Refused)
            .then(|| format!("it is {}, and that is final", self.status))
    }

    fn paid(&self, seen: &IntentSnapshot) -> Vec<PaymentEvent> {
        let intention = match self.step() {
            Some((intention, Step::Confirm { .. } | Step::Capture { .. })) => Some(intention),
            _ => None,
        };
        let taken = seen
            .amount_received
            .minus(self.captured)
            .ok()
            .filter(|it| it.is_positive());
        let captured = taken.map(|amount| PaymentEvent::Captured {
            intention,
            amount,
            charge: seen.charge.clone(),
            payment_method: seen.payment_method.clone(),
        });
        let too_late = match self.step() {
            Some((intention, Step::Cancel { .. })) => Some(PaymentEvent::CancelRefused {
                intention,
                refusal: not_possible("cancel", seen.status),
            }),
            _ => None,
        };
        captured
            .into_iter()
            .chain([PaymentEvent::Succeeded { intention }])
            .chain(too_late)
            .collect()
    }

    fn cancelled(&self, seen: &IntentSnapshot) -> Vec<PaymentEvent> {
        let (intention, too_late) = match self.step() {
            Some((intention, Step::Confirm { .. } | Step::Cancel { .. })) => {
                (Some(intention), None)
            }
            Some((intention, Step::Capture { .. })) => {
                let refusal = not_possible("capture", seen.status);
                (
                    None,
                    Some(PaymentEvent::CaptureRefused { intention, refusal }),
                )
            }
            _ => (None, None),
        };
        let reason = seen.cancellation_reason.clone();
        let cancelled = PaymentEvent::Cancelled {
            intention,
            reason,
            canceled_at: seen.canceled_at,
        };
        [cancelled].into_iter().chain(too_late).collect()
    }

    fn open_stage(&self, seen: &IntentSnapshot, answers: bool, current: bool) -> Vec<PaymentEvent> {
        let confirm = self.confirm_pending();
        let answers_confirm = answers && confirm.is_some();
        if let Some(decline) = seen
            .last_error
            .as_ref()
            .filter(|it| self.is_new_decline(seen, it, answers_confirm, current))
        {
            return vec![PaymentEvent::Declined {
                intention: confirm,
                decline: decline.clone(),
            }];
        }
        let moved = Status::from(seen.status) != self.status;
        let onward =
            rank(seen.status) > self.stage_rank() && !self.of_an_earlier_attempt(seen, current);
        match seen.status {
            StripeStatus::RequiresPaymentMethod | StripeStatus::RequiresConfirmation => {
                self.reopened(seen, current)
            }
            _ if answers_confirm || onward || (current && (moved || self.renewed(seen))) => {
                vec![self.under_way(seen, answers)]
            }
            _ => vec![],
        }
    }

    /// The event of a stage between the attempt and the money.
    fn under_way(&self, seen: &IntentSnapshot, answers: bool) -> PaymentEvent {
        let answered_capture = matches!(self.step(), Some((_, Step::Capture { .. }))) && answers;
        let intention = self.confirm_pending();
        let payment_method = seen.payment_method.clone();
        match seen.status {
            StripeStatus::RequiresCapture => {
                let (amount, charge) = (seen.amount_capturable, seen.charge.clone());
                PaymentEvent::Authorized {
                    intention,
                    amount,
                    charge,
                    payment_method,
                }
            }
            StripeStatus::Processing => {
                let capture = self
                    .pending
                    .as_ref()
                    .map(|it| it.intention)
                    .filter(|_| answered_capture);
                PaymentEvent::Processing {
                    intention: intention.or(capture),
                    payment_method,
                }
            }
            _ => PaymentEvent::RequiresAction {
                intention,
                payment_method,
            },
        }
    }

    /// The same stage, but with news in it.
    fn renewed(&self, seen: &IntentSnapshot) -> bool {
        match seen.status {
            StripeStatus::RequiresCapture => seen.amount_capturable != self.authorized,
            _ => seen.payment_method.is_some() && seen.payment_method != self.payment_method,
        }
    }

    /// Back before any attempt. A webhook may be older than what is known, so it is believed only where nothing has
    /// been attempted yet.
    fn reopened(&self, seen: &IntentSnapshot, current: bool) -> Vec<PaymentEvent> {
        let status = OpenStatus::at_creation(seen.status);
        let differs =
            Status::from(status) != self.status || seen.payment_method != self.payment_method;
        let first_method = self.status == Status::RequiresPaymentMethod
            && self.last_decline.is_none()
            && self.payment_method.is_none()
            && seen.payment_method.is_some();
        if differs && (current || first_method) {
            return vec![PaymentEvent::Reopened {
                status,
                payment_method: seen.payment_method.clone(),
            }];
        }
        vec![]
    }

    /// Stripe answered the intention itself, and the answer shows that nothing came of it: so it ends.
    fn not_carried_out(&self, seen: &IntentSnapshot, answers: bool) -> Option<PaymentEvent> {
        let (intention, step) = self.step().filter(|_| answers)?;
        let unattempted =
            seen.last_error.is_none() || seen.status != StripeStatus::RequiresPaymentMethod;
        match (step, seen.status) {
            (
                Step::Confirm { .. },
                StripeStatus::RequiresPaymentMethod | StripeStatus::RequiresConfirmation,
            ) if unattempted => Some(PaymentEvent::ConfirmRefused {
                intention,
                refusal: not_possible("confirm", seen.status),
            }),
            (Step::Capture { .. }, status) if status != StripeStatus::Processing => {
                Some(PaymentEvent::CaptureRefused {
                    intention,
                    refusal: not_possible("capture", status),
                })
            }
            (Step::Cancel { .. }, status) => Some(PaymentEvent::CancelRefused {
                intention,
                refusal: not_possible("cancel", status),
            }),
            _ => None,
        }
    }

    /// A decline turns the payment back, so only one that is not known yet counts.
    fn is_new_decline(
        &self,
        seen: &IntentSnapshot,
        it: &Decline,
        answers_confirm: bool,
        current: bool,
    ) -> bool {
        if seen.status != StripeStatus::RequiresPaymentMethod {
            return false;
        }
        if answers_confirm {
            return true;
        }
        let known = self
            .last_decline
            .as_ref()
            .is_some_and(|last| same_decline(last, it));
        let reachable = self.stage_rank() <= rank(StripeStatus::Processing);
        let other_method = match (&it.payment_method, self.method_in_play()) {
            (Some(declined), Some(method)) => declined != method,
            _ => false,
        };
        !known && (current || (reachable && !other_method))
    }

    /// A webhook that speaks of another method than the pending confirm tries is about an attempt before it.
    fn of_an_earlier_attempt(&self, seen: &IntentSnapshot, current: bool) -> bool {
        match (&seen.payment_method, self.method_in_play()) {
            (Some(method), Some(tried)) => {
                !current && self.confirm_pending().is_some() && method != tried
            }
            _ => false,
        }
    }

    fn method_in_play(&self) -> Option<&String> {
        match self.step() {
            Some((
                _,
                Step::Confirm {
                    payment_method: Some(method),
                    ..
                },
            )) => Some(method),
            _ => self.payment_method.as_ref(),
        }
    }

    fn confirm_pending(&self) -> Option<IntentionId> {
        match self.step() {
            Some((intention, Step::Confirm { .. })) => Some(intention),
            _ => None,
        }
    }

    fn stage_rank(&self) -> u8 {
        self.status.at_stripe().map_or(0, rank)
    }

    /// Stripe refused the request itself. It ends the intention that it carried, if that has not ended otherwise.
    fn see_refusal(&self, intention: Option<IntentionId>, refusal: Refusal) -> Vec<PaymentEvent> {
        let Some(intention) = intention else {
            return vec![];
        };
        if let Some(refund) = self.refund(intention) {
            let waits = refund.status == RefundStatus::Requested;
            let event = PaymentEvent::RefundRefused {
                refund: intention,
                refusal,
            };
            return waits.then_some(event).into_iter().collect();
        }
        let step = self
            .step()
            .filter(|(pending, _)| *pending == intention)
            .map(|(_, step)| step);
        let event = step.map(|step| match step {
            Step::Create(_) => PaymentEvent::CreateRefused { intention, refusal },
            Step::Update(_) => PaymentEvent::UpdateRefused { intention, refusal },
            Step::Confirm { .. } => PaymentEvent::ConfirmRefused { intention, refusal },
            Step::Capture { .. } => PaymentEvent::CaptureRefused { intention, refusal },
            Step::Cancel { .. } => PaymentEvent::CancelRefused { intention, refusal },
        });
        event.into_iter().collect()
    }
}

impl OpenStatus {
    /// Where an intent that is seen at `status` stood before anything was attempted.
    pub(super) fn at_creation(status: StripeStatus) -> Self {
        match status {
            StripeStatus::RequiresPaymentMethod => Self::RequiresPaymentMethod,
            _ => Self::RequiresConfirmation,
        }
    }
}

/// How far along an intent is. Later webhooks show higher ranks, declines and reopenings aside.
fn rank(status: StripeStatus) -> u8 {
    match status {
        StripeStatus::RequiresPaymentMethod => 0,
        StripeStatus::RequiresConfirmation => 1,
        StripeStatus::RequiresAction => 2,
        StripeStatus::Processing => 3,
        StripeStatus::RequiresCapture => 4,
        StripeStatus::Succeeded | StripeStatus::Canceled => 5,
    }
}

/// One attempt has one charge; where none was made, code and method tell attempts apart.
pub(super) fn same_decline(one: &Decline, other: &Decline) -> bool {
    match (&one.charge, &other.charge) {
        (Some(one), Some(other)) => one == other,
        _ => {
            (&one.code, &one.decline_code, &one.payment_method)
                == (&other.code, &other.decline_code, &other.payment_method)
        }
    }
}

/// The refusal that Stripe would give, where its intent already shows that a step cannot be done any more.
fn not_possible(action: &str, status: StripeStatus) -> Refusal {
    Refusal {
        status: 400,
        kind: "invalid_request_error".to_owned(),
        code: Some("payment_intent_unexpected_state".to_owned()),
        message: format!("The {action} was not carried out: the intent has a status of {status}."),
        param: None,
    }
}

fn refused(seen: &IntentSnapshot, because: String) -> PaymentEvent {
    let said = format!(
        "intent {} of {} is {}, {} received",
        seen.intent, seen.amount, seen.status, seen.amount_received
    );
    PaymentEvent::ObservationRefused { said, because }
}
