//! Carries a payment's open steps to their end: asks Stripe what the intention says, records what Stripe said.
//!
//! Whoever comes first drives; others wait and find it done. A step that was cut off (a crash, a silent network) is driven
//! on by the next caller or by recovery: the same request, the same key.

use aggregates::ids::{IntentionId, MerchantId, OrderId, PaymentId, RefundId};
use aggregates::order::{Order, OrderCommand, OrderEvent};
use aggregates::payment::command::{Observation, Said};
use aggregates::payment::event::PaymentEvent;
use aggregates::payment::state::{Facts, Pending, Refund, RefundStatus, Status, Step};
use aggregates::payment::{Payment, PaymentCommand};
use aggregates::sealed::{Sealed, subject_of_payment};
use eventstore::{Claim, Completion};
use projections::fold::Versioned;
use std::sync::Arc;

use super::idempotency::Idempotency;
use super::recovery::Way;
use super::verdict::{Ended, Verdict};
use super::{App, AppError};
use crate::gateway::{Effect, IntentView, Outcome, RefundEffect, StripeAnswer};
use crate::personal::Personal;
use crate::store::{Commit, Context, Decided, Merchant, Trouble, WorkKind};

/// A payment without open steps, and the intent as Stripe showed it last, if it was asked.
pub(super) struct Driven {
    pub payment: Arc<Versioned<Payment>>,
    pub intent: Option<IntentView>,
    /// What Stripe answered to the last step that was driven here, in its own words.
    pub said: Option<Arc<StripeAnswer>>,
    /// How the steps ended that were driven here; none where there was nothing to drive.
    pub verdict: Option<Verdict>,
    /// Whether the claim was answered along with the outcome.
    pub answered: bool,
}

impl Driven {
    /// There was nothing to drive, or somebody else did.
    fn before(payment: Arc<Versioned<Payment>>) -> Self {
        Self {
            payment,
            intent: None,
            said: None,
            verdict: None,
            answered: false,
        }
    }
}

/// Which claim an outcome answers, where the driver holds one.
pub(super) type Answering<'a> = Option<&'a Idempotency>;

/// What Stripe's words are worth to the one who asked: which claim they answer, and what is kept of them.
#[derive(Default)]
struct Answer<'a> {
    claim: Answering<'a>,
    kept: Option<Sealed>,
    /// A key that is claimed and answered by the same append.
    at_once: Option<(Claim, Completion)>,
}

/// Everything that may be recorded of one observation.
struct Recording {
    payment: Arc<Versioned<Payment>>,
    events: Vec<PaymentEvent>,
    answered: bool,
}

impl App {
    /// Drives the payment until no step is open. Waits for whoever drives it already.
    pub(super) async fn drive(
        &self,
        merchant: &Merchant,
        id: PaymentId,
        context: &Context,
        answering: Answering<'_>,
    ) -> Result<Driven, AppError> {
        let lock = self.inner.locks.of(id.uuid());
        let _driving = lock.lock().await;
        let (mut intent, mut said_last) = (None, None);
        let mut verdict = None;
        let mut answered = false;
        let mut payment = self.inner.store.payment(&merchant.id, id).await?;
        loop {
            let Some(facts) = payment.state.facts() else {
                return Err(AppError::NotFound {
                    what: "payment_intent",
                    id: id.to_string(),
                });
            };
            match &facts.pending {
                Some(pending) => {
                    let asked = self.ask(merchant, context, id, facts, pending).await?;
                    let Some((said, view)) = asked else {
                        payment = self.inner.store.payment(&merchant.id, id).await?;
                        continue;
                    };
                    said_last = view.as_ref().and_then(|view| view.answer.clone());
                    intent = view;
                    let answer = self
                        .answer_of(merchant, id, facts, said_last.as_deref(), answering)
                        .await?;
                    let observed = Observation {
                        intention: Some(pending.intention),
                        current: true,
                        said,
                    };
                    let known = (id, Some(Arc::clone(&payment)));
                    let recorded = self
                        .record(merchant, known, observed, context, answer)
                        .await?;
                    verdict = Verdict::of(&recorded.events).or(verdict);
                    answered |= recorded.answered;
                    // An answer that is not about this payment ends nothing: asking again at once would not either.
                    let now = recorded.payment.state.facts();
                    if now.and_then(|facts| facts.pending.as_ref()) == Some(pending) {
                        tracing::error!(payment = %id, intention = %pending.intention, "Stripe's answer does not fit");
                        return Err(AppError::OutcomeUnknown);
                    }
                    payment = recorded.payment;
                }
                None => {
                    return Ok(Driven {
                        payment,
                        intent,
                        said: said_last,
                        verdict,
                        answered,
                    });
                }
            }
        }
    }

    /// Asks Stripe for the pending step, or looks up what became of it. What is not known stays pending. None where another
    /// instance has asked for it too, and has recorded what Stripe said.
    async fn ask(
        &self,
        merchant: &Merchant,
        context: &Context,
        id: PaymentId,
        facts: &Facts,
        pending: &Pending,
    ) -> Result<Option<(Said, Option<IntentView>)>, AppError> {
        let intention = pending.intention;
        let is_parked = facts.is_parked(intention);
        let way = self.way(merchant, WorkKind::Step, id.uuid(), intention, is_parked);
        let way = way.await?;
        // An update says only what it changes: Stripe would refuse the rest, unchanged as it is, once money was taken.
        let sealed = match &pending.step {
            Step::Update(changes) => changes.personal.as_ref(),
            _ => facts.personal.as_deref(),
        };
        let personal = self.opened(&merchant.id, sealed).await?;
        if let Way::LookUp(since) = way {
            let step = (id, facts, pending);
            return self
                .look_up_step(merchant, context, step, personal.as_ref(), since)
                .await
                .map(Some);
        }
        let effect = Effect {
            merchant: &merchant.id,
            payment: id,
            intention,
            step: &pending.step,
            intent: facts.intent.as_ref().map(|intent| intent.id.as_str()),
            personal: personal.as_ref(),
        };
        let gateway = &self.inner.gateway;
        let mut patience = self.patience();
        let outcome = loop {
            match gateway.perform(&merchant.stripe_account, effect).await {
                Outcome::Unknown(silence) if patience.waits_out(&silence).await => {
                    let now = self.inner.store.payment(&merchant.id, id).await?;
                    let open = now.state.facts().and_then(|facts| facts.pending.as_ref());
                    if open != Some(pending) {
                        return Ok(None);
                    }
                }
                outcome => break outcome,
            }
        };
        match outcome {
            Outcome::Said(view) => {
                self.heard(merchant, context);
                let said = Said::Intent(Box::new(view.snapshot.clone()));
                Ok(Some((said, Some(view))))
            }
            Outcome::Refused(refusal) => {
                self.heard(merchant, context);
                Ok(Some((Said::Refused(refusal), None)))
            }
            Outcome::Unknown(silence) => {
                if !self.not_heard(merchant, context, intention, &silence).await {
                    return Err(AppError::OutcomeUnknown);
                }
                let work = &self.inner.store.work;
                let standing = work.standing(&merchant.id, WorkKind::Step, id.uuid(), intention);
                let since = standing.await?.ok_or(AppError::Internal)?.intended_at;
                let step = (id, facts, pending);
                self.look_up_step(merchant, context, step, personal.as_ref(), since)
                    .await
                    .map(Some)
            }
        }
    }

    /// Drives one refund. Refunds of one payment run beside one another.
    pub(super) async fn drive_refund(
        &self,
        merchant: &Merchant,
        id: PaymentId,
        refund: RefundId,
        context: &Context,
        answering: Answering<'_>,
    ) -> Result<Driven, AppError> {
        let lock = self.inner.locks.of(refund.uuid());
        let _driving = lock.lock().await;
        let payment = self.inner.store.payment(&merchant.id, id).await?;
        let facts = payment.state.facts().ok_or(AppError::Internal)?;
        let found = facts.refund(refund).ok_or(AppError::Internal)?;
        if found.status != RefundStatus::Requested {
            return Ok(Driven::before(payment));
        }
        let intent = facts
            .intent
            .as_ref()
            .map(|intent| intent.id.as_str())
            .ok_or(AppError::Internal)?;
        let asked = self
            .ask_refund(merchant, context, (id, facts, intent), found)
            .await?;
        let Some((said, words)) = asked else {
            let payment = self.inner.store.payment(&merchant.id, id).await?;
            return Ok(Driven::before(payment));
        };
        let observed = Observation {
            intention: Some(refund),
            current: true,
            said,
        };
        let answer = self
            .answer_of(merchant, id, facts, words.as_deref(), answering)
            .await?;
        let known = (id, Some(Arc::clone(&payment)));
        let recorded = self
            .record(merchant, known, observed, context, answer)
            .await?;
        let verdict = Verdict::of(&recorded.events);
        Ok(Driven {
            verdict,
            payment: recorded.payment,
            intent: None,
            said: words,
            answered: recorded.answered,
        })
    }

    /// Asks Stripe for a refund, or looks up what became of it. None where another instance has recorded it meanwhile.
    async fn ask_refund(
        &self,
        merchant: &Merchant,
        context: &Context,
        (id, facts, intent): (PaymentId, &Facts, &str),
        refund: &Refund,
    ) -> Result<Option<(Said, Option<Arc<StripeAnswer>>)>, AppError> {
        let is_parked = facts.is_parked(refund.id);
        let way = self
            .way(merchant, WorkKind::Refund, id.uuid(), refund.id, is_parked)
            .await?;
        if way == Way::Send {
            let effect = RefundEffect {
                merchant: &merchant.id,
                payment: id,
                intent,
                refund,
            };
            let gateway = &self.inner.gateway;
            let mut patience = self.patience();
            let outcome = loop {
                match gateway.refund(&merchant.stripe_account, effect).await {
                    Outcome::Unknown(silence) if patience.waits_out(&silence).await => {
                        let now = self.inner.store.payment(&merchant.id, id).await?;
                        let found = now.state.facts().and_then(|facts| facts.refund(refund.id));
                        if found.is_none_or(|it| it.status != RefundStatus::Requested) {
                            return Ok(None);
                        }
                    }
                    outcome => break outcome,
                }
            };
            match outcome {
                Outcome::Said(view) => {
                    self.heard(merchant, context);
                    return Ok(Some((Said::Refund(view.snapshot), view.answer)));
                }
                Outcome::Refused(refusal) => {
                    self.heard(merchant, context);
                    return Ok(Some((Said::Refused(refusal), None)));
                }
                Outcome::Unknown(silence) => {
                    if !self.not_heard(merchant, context, refund.id, &silence).await {
                        return Err(AppError::OutcomeUnknown);
                    }
                }
            }
        }
        let said = self
            .look_up_refund(merchant, context, intent, refund)
            .await?;
        Ok(Some((said, None)))
    }

    /// Records what Stripe said of a payment, together with what follows for its order, and with the answer to the claim
    /// where it is the last step. Somebody else may be recording too: then look again.
    pub(super) async fn observe(
        &self,
        merchant: &Merchant,
        id: PaymentId,
        observed: Observation,
        context: &Context,
    ) -> Result<Arc<Versioned<Payment>>, AppError> {
        Ok(self
            .record(merchant, (id, None), observed, context, Answer::default())
            .await?
            .payment)
    }

    /// What is to be kept of Stripe's words, where they answer a claim that wants them.
    async fn answer_of<'a>(
        &self,
        merchant: &Merchant,
        id: PaymentId,
        facts: &Facts,
        said: Option<&StripeAnswer>,
        claim: Answering<'a>,
    ) -> Result<Answer<'a>, AppError> {
        let kept = self.worth_keeping(merchant, id, facts, said, claim).await?;
        Ok(Answer {
            claim,
            kept,
            at_once: None,
        })
    }

    /// Stripe's words, sealed, where the claim's answer is made of them.
    pub(super) async fn worth_keeping(
        &self,
        merchant: &Merchant,
        id: PaymentId,
        facts: &Facts,
        said: Option<&StripeAnswer>,
        claim: Answering<'_>,
    ) -> Result<Option<Sealed>, AppError> {
        match (said, claim) {
            (Some(said), Some(key)) if key.keeps_answer => {
                let subject = subject_of_payment(id, facts.order);
                Ok(Some(self.keep(&merchant.id, &subject, said).await?))
            }
            _ => Ok(None),
        }
    }

    /// Records what is observed of the payment, on the state that is `known` where one is. That may be old by now: an append on
    /// it would be refused, and that there is nothing to append is only believed of the present one.
    async fn record(
        &self,
        merchant: &Merchant,
        (id, mut known): (PaymentId, Option<Arc<Versioned<Payment>>>),
        observed: Observation,
        context: &Context,
        mut answer: Answer<'_>,
    ) -> Result<Recording, AppError> {
        loop {
            let is_present = known.is_none();
            let before = match known.take() {
                Some(known) => known,
                None => self.inner.store.payment(&merchant.id, id).await?,
            };
            let decided = before
                .state
                .decide(PaymentCommand::Observe(observed.clone()));
            if !is_present && decided.as_ref().map_or(true, Vec::is_empty) {
                continue;
            }
            let events = decided?;
            let decided = Decided { id, before, events };
            if let Some(recorded) = self
                .record_outcome(merchant, context, decided, &mut answer)
                .await?
            {
                return Ok(recorded);
            }
        }
    }

    /// Records these events together with what follows for the order, and with the answer to the claim where they are the last
    /// step. None where somebody else was first: then it is to be decided again.
    async fn record_outcome(
        &self,
        merchant: &Merchant,
        context: &Context,
        decided: Decided<PaymentId, Payment, PaymentEvent>,
        answer: &mut Answer<'_>,
    ) -> Result<Option<Recording>, AppError> {
        let Decided {
            id,
            before,
            mut events,
        } = decided;
        let mut after = Versioned::clone(&before);
        apply(&mut after, &events);
        self.intend_confirmation(&mut after, &mut events)?;
        let order = self
            .follow_up(&merchant.id, id, &mut after, &mut events)
            .await?;
        if events.is_empty() && order.is_none() {
            return Ok(Some(Recording {
                payment: before,
                events,
                answered: false,
            }));
        }
        let completes = answer.claim.and_then(|key| {
            let mut ended = last_step(&after, &events)?;
            ended.said.clone_from(&answer.kept);
            ended.not_begun = key.keeps_answer && ended.verdict.is_not_begun();
            Some(key.completion(&ended))
        });
        let answered = completes.is_some();
        let (claim, at_once) = answer.at_once.clone().unzip();
        let commit = Commit {
            payment: Some(Decided {
                id,
                before: Arc::clone(&before),
                events: events.clone(),
            }),
            order,
            claim,
            completes: completes.or(at_once),
            ..Commit::default()
        };
        match self.inner.store.commit(&merchant.id, context, commit).await {
            Ok(committed) => Ok(Some(Recording {
                payment: committed.payment.unwrap_or(before),
                events,
                answered,
            })),
            Err(Trouble::Conflict) => {
                tracing::debug!(payment = %id, "somebody else recorded first");
                Ok(None)
            }
            // The claim has its answer already: record the outcome without it.
            Err(Trouble::Claimed(_)) => {
                answer.claim = None;
                Ok(None)
            }
            Err(trouble) => Err(trouble.into()),
        }
    }

    /// Records an outcome that people have settled, with what follows for the order, and answers their key with it. False where
    /// somebody else was first, be it under the same key.
    pub(super) async fn record_settled(
        &self,
        merchant: &Merchant,
        context: &Context,
        decided: Decided<PaymentId, Payment, PaymentEvent>,
        at_once: Option<(Claim, Completion)>,
    ) -> Result<bool, AppError> {
        let mut answer = Answer {
            at_once,
            ..Answer::default()
        };
        let recorded = self
            .record_outcome(merchant, context, decided, &mut answer)
            .await?;
        Ok(recorded.is_some())
    }

    /// The second half of "create and confirm": its intention is recorded together with the outcome of the first, whoever
    /// brings that, so that nothing can come between them.
    fn intend_confirmation(
        &self,
        after: &mut Versioned<Payment>,
        events: &mut Vec<PaymentEvent>,
    ) -> Result<(), AppError> {
        let terms = match after.state.facts() {
            Some(facts)
                if facts.pending.is_none() && facts.status == Status::RequiresConfirmation =>
            {
                facts.then_confirm.as_deref().cloned()
            }
            _ => None,
        };
        let Some(terms) = terms else {
            return Ok(());
        };
        let intended = after.state.decide(PaymentCommand::Confirm {
            intention: IntentionId::from_uuid(self.inner.store.ids.uuid()),
            payment_method: None,
            terms,
        })?;
        apply(after, &intended);
        events.extend(intended);
        Ok(())
    }

    /// What an outcome means for the payment's order: paid, mispaid, or free for another way to pay.
    async fn follow_up(
        &self,
        merchant: &MerchantId,
        id: PaymentId,
        after: &mut Versioned<Payment>,
        events: &mut Vec<PaymentEvent>,
    ) -> Result<Option<Decided<OrderId, Order, OrderEvent>>, AppError> {
        let Some(facts) = after.state.facts() else {
            return Ok(None);
        };
        let Some(order_id) = facts.order else {
            return Ok(None);
        };
        let command = match facts.status {
            Status::Succeeded if facts.applied.is_zero() => OrderCommand::MarkPaid {
                payment: id,
                received: facts.captured,
            },
            Status::Canceled | Status::Refused => OrderCommand::ReleasePayment {
                payment: id,
                because: facts.status.to_string(),
            },
            _ => return Ok(None),
        };
        let order = self.inner.store.order(merchant, order_id).await?;
        let decided = order.state.decide(command)?;
        if let Some(OrderEvent::OrderPaid { amount, .. }) = decided
            .iter()
            .find(|event| matches!(event, OrderEvent::OrderPaid { .. }))
        {
            let applied = after.state.decide(PaymentCommand::Apply {
                order: order_id,
                amount: *amount,
            })?;
            apply(after, &applied);
            events.extend(applied);
        }
        Ok((!decided.is_empty()).then_some(Decided {
            id: order_id,
            before: order,
            events: decided,
        }))
    }

    /// The person's data of a payment, in the clear; none where there is none, or it was erased.
    pub(super) async fn personal(
        &self,
        merchant: &MerchantId,
        facts: &Facts,
    ) -> Result<Option<Personal>, AppError> {
        self.opened(merchant, facts.personal.as_deref()).await
    }

    async fn opened(
        &self,
        merchant: &MerchantId,
        sealed: Option<&Sealed>,
    ) -> Result<Option<Personal>, AppError> {
        match sealed {
            None => Ok(None),
            Some(sealed) => Ok(self.inner.store.vault.open(merchant, sealed).await?),
        }
    }
}

fn apply(payment: &mut Versioned<Payment>, events: &[PaymentEvent]) {
    for event in events {
        payment.state.apply(event);
        payment.version += 1;
    }
}

/// How the command ended, if these events end it: an outcome, and nothing more to ask.
fn last_step(after: &Versioned<Payment>, events: &[PaymentEvent]) -> Option<Ended> {
    let verdict = Verdict::of(events)?;
    let open = after
        .state
        .facts()
        .is_some_and(|facts| facts.pending.is_some());
    (!open).then_some(Ended {
        version: after.version,
        verdict,
        said: None,
        not_begun: false,
    })
}
