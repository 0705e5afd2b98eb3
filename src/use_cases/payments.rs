//! Payments: create and read; how a command ends and how its answer is made, now and again.

use aggregates::ids::{IntentionId, MerchantId, PaymentId};
use aggregates::money::Money;
use aggregates::payment::command::{Observation, Said};
use aggregates::payment::event::{CreateRequested, PaymentEvent};
use aggregates::payment::state::Facts;
use aggregates::payment::terms::{CaptureMethod, ConfirmTerms, Metadata, Parameters};
use aggregates::payment::{Payment, PaymentCommand, PaymentError};
use aggregates::sealed::subject_of_payment;
use projections::fold::Versioned;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::time::timeout;

use super::drive::Driven;
use super::idempotency::{Claimed, Idempotency, Intended, Standing};
use super::kept::refill;
use super::verdict::{Ended, Verdict};
use super::{App, AppError};
use crate::gateway::{Card, IntentView, Outcome, StripeAnswer};
use crate::personal::Personal;
use crate::store::{Caller, Commit, Context, Merchant, Trouble};

/// A payment intent to be made.
pub struct CreatePayment {
    pub amount: Money,
    pub capture_method: CaptureMethod,
    /// A method that exists at Stripe, or a raw card; neither leaves the intent without one.
    pub payment_method: Option<String>,
    pub card: Option<Card>,
    pub customer: Option<String>,
    pub description: Option<String>,
    pub metadata: Metadata,
    /// What the door echoes; see [`CreateRequested::attributes`].
    pub attributes: BTreeMap<String, String>,
    pub personal: Personal,
    /// What Stripe alone judges.
    pub parameters: Parameters,
    /// Confirm at once, on these terms.
    pub confirm: Option<ConfirmTerms>,
}

/// A payment, as an answer is made of it.
#[derive(Debug, Clone)]
pub struct PaymentAnswer {
    pub id: PaymentId,
    pub facts: Facts,
    /// The intent as Stripe shows it now, with what is never kept (client secret, next action). None where Stripe was not asked or did not answer.
    pub intent: Option<IntentView>,
    /// Stripe's own words, for a door that answers in them: of this payment's intent, or of the refund that was asked for.
    /// None where Stripe refused.
    pub said: Option<Arc<StripeAnswer>>,
    /// The person's data, for the caller it belongs to.
    pub personal: Personal,
    pub verdict: Verdict,
    /// The same answer was given before, under the same idempotency key.
    pub replayed: bool,
}

impl App {
    /// Makes a payment intent, and confirms it where that is asked.
    ///
    /// # Errors
    /// [`AppError`]; [`OutcomeUnknown`](AppError::OutcomeUnknown) where repeating the call goes on with the same payment.
    pub async fn create_payment(
        &self,
        caller: &Caller,
        door: &'static str,
        request: CreatePayment,
        key: Option<Idempotency>,
    ) -> Result<PaymentAnswer, AppError> {
        let (app, merchant, context) = (
            self.clone(),
            caller.merchant.clone(),
            self.context(caller, door),
        );
        self.command(async move { app.create(&merchant, &context, request, key.as_ref()).await })
            .await
    }

    async fn create(
        &self,
        merchant: &Merchant,
        context: &Context,
        it: CreatePayment,
        key: Option<&Idempotency>,
    ) -> Result<PaymentAnswer, AppError> {
        let standing = self.standing(merchant, key).await?;
        if !matches!(standing, Standing::Free) {
            return self.join(merchant, context, standing, key).await;
        }
        let id = PaymentId::from_uuid(self.inner.store.ids.uuid());
        let claimed = Claimed {
            payment: id,
            intention: IntentionId::from_uuid(self.inner.store.ids.uuid()),
        };
        let mut request = create_requested(merchant, claimed.intention, &it);
        // Nothing is made at Stripe for a request that we refuse: ask the rules before the card travels.
        if it.card.is_some() {
            request.payment_method = Some("pm_to_be_made".to_owned());
            Payment::default().decide(create_command(merchant, &request))?;
        }
        if let Some(card) = &it.card {
            request.payment_method = Some(self.payment_method(merchant, card).await?);
        }
        let events = Payment::default().decide(create_command(merchant, &request))?;
        let events = self
            .with_personal(
                merchant,
                &subject_of_payment(id, None),
                events,
                &it.personal,
            )
            .await?;
        let decided = (Arc::default(), events);
        match self
            .intend(merchant, context, claimed, decided, key)
            .await?
        {
            Intended::Recorded => self.finish(merchant, context, claimed, key).await,
            // Nobody else knows the id of a payment that is new.
            Intended::Outrun => Err(AppError::Internal),
            Intended::Taken(standing) => self.join(merchant, context, *standing, key).await,
        }
    }

    /// A payment method at Stripe, of a raw card.
    pub(super) async fn payment_method(
        &self,
        merchant: &Merchant,
        card: &Card,
    ) -> Result<String, AppError> {
        match self
            .inner
            .gateway
            .payment_method(&merchant.stripe_account, card)
            .await
        {
            Outcome::Said(id) => {
                crate::crash_point!("card-became-method");
                Ok(id)
            }
            Outcome::Refused(refusal) => Err(AppError::Refused(refusal)),
            Outcome::Unknown(silence) => {
                tracing::warn!(why = %silence.why, "no payment method could be made");
                Err(AppError::OutcomeUnknown)
            }
        }
    }

    /// The same events, the person's data sealed into the intention.
    pub(super) async fn with_personal(
        &self,
        merchant: &Merchant,
        subject: &str,
        mut events: Vec<PaymentEvent>,
        personal: &Personal,
    ) -> Result<Vec<PaymentEvent>, AppError> {
        if personal.is_empty() {
            return Ok(events);
        }
        let sealed = self
            .inner
            .store
            .vault
            .seal(&merchant.id, subject, personal)
            .await?;
        for event in &mut events {
            match event {
                PaymentEvent::CreateRequested(request) => request.personal = Some(sealed.clone()),
                PaymentEvent::UpdateRequested { changes, .. } => {
                    changes.personal = Some(sealed.clone())
                }
                _ => {}
            }
        }
        Ok(events)
    }

    /// The payment with Stripe's intent `intent`, as it stands at Stripe just now; as it is known here where Stripe does not answer.
    ///
    /// # Errors
    /// [`AppError::NotFound`], also for another merchant's.
    pub async fn payment(
        &self,
        caller: &Caller,
        door: &'static str,
        intent: String,
    ) -> Result<PaymentAnswer, AppError> {
        let (app, merchant, context) = (
            self.clone(),
            caller.merchant.clone(),
            self.context(caller, door),
        );
        self.command(async move {
            let id = app.find(&merchant.id, &intent).await?;
            app.refreshed(&merchant, id, &context).await
        })
        .await
    }

    /// The payment that Stripe calls `intent`.
    pub(super) async fn find(
        &self,
        merchant: &MerchantId,
        intent: &str,
    ) -> Result<PaymentId, AppError> {
        let found = self.inner.store.payment_by_intent(merchant, intent).await?;
        found.ok_or_else(|| AppError::NotFound {
            what: "payment_intent",
            id: intent.to_owned(),
        })
    }

    /// Asks Stripe how the payment stands, records what is new, and answers.
    pub(super) async fn refreshed(
        &self,
        merchant: &Merchant,
        id: PaymentId,
        context: &Context,
    ) -> Result<PaymentAnswer, AppError> {
        let mut payment = self.inner.store.payment(&merchant.id, id).await?;
        let intent = self.intent_now(merchant, &payment).await;
        if let Some(view) = &intent {
            let said = Said::Intent(Box::new(view.snapshot.clone()));
            let observed = Observation {
                intention: None,
                current: true,
                said,
            };
            payment = self.observe(merchant, id, observed, context).await?;
        }
        self.answer(merchant, id, &payment, intent, Verdict::Done)
            .await
    }

    /// The intent as Stripe shows it now; none where there is none or Stripe does not answer.
    pub(super) async fn intent_now(
        &self,
        merchant: &Merchant,
        payment: &Versioned<Payment>,
    ) -> Option<IntentView> {
        let intent = payment.state.facts()?.intent.as_ref()?;
        match self
            .inner
            .gateway
            .intent(&merchant.stripe_account, &intent.id)
            .await
        {
            Outcome::Said(view) => Some(view),
            Outcome::Refused(refusal) => {
                tracing::error!(intent = %intent.id, message = %refusal.message, "Stripe does not show an intent of ours");
                None
            }
            Outcome::Unknown(silence) => {
                tracing::warn!(intent = %intent.id, why = %silence.why, "Stripe did not show an intent");
                None
            }
        }
    }

    /// Drives the command that began with `claimed` to its end, answers its claim, and makes the caller's answer.
    pub(super) async fn finish(
        &self,
        merchant: &Merchant,
        context: &Context,
        claimed: Claimed,
        key: Option<&Idempotency>,
    ) -> Result<PaymentAnswer, AppError> {
        let mut driven = self.drive(merchant, claimed.payment, context, key).await?;
        // A webhook was faster, or somebody else drove: how it stands now is the nearest to what was said then.
        if driven.intent.is_none() && key.is_some_and(|key| key.keeps_answer) {
            driven.intent = self.intent_now(merchant, &driven.payment).await;
            driven.said = driven.intent.as_ref().and_then(|view| view.answer.clone());
        }
        let (ended, driven) = self.ended(merchant, context, claimed, driven, key).await?;
        let said = driven.said;
        let intent = match (driven.intent, &ended.verdict) {
            (None, Verdict::Done | Verdict::Declined(_)) => Some(
                self.intent_now(merchant, &driven.payment)
                    .await
                    .ok_or(AppError::OutcomeUnknown)?,
            ),
            (intent, _) => intent,
        };
        let mut answer = self
            .answer(
                merchant,
                claimed.payment,
                &driven.payment,
                intent,
                ended.verdict,
            )
            .await?;
        answer.said = said.or(answer.said);
        Ok(answer)
    }

    /// How the command ended; its claim is answered now if the outcome did not bring the answer with it.
    pub(super) async fn ended(
        &self,
        merchant: &Merchant,
        context: &Context,
        claimed: Claimed,
        driven: Driven,
        key: Option<&Idempotency>,
    ) -> Result<(Ended, Driven), AppError> {
        if let (Some(verdict), true) = (driven.verdict.clone(), driven.answered || key.is_none()) {
            return Ok((
                Ended {
                    version: driven.payment.version,
                    verdict,
                    said: None,
                    not_begun: false,
                },
                driven,
            ));
        }
        let history = self
            .inner
            .store
            .payment_history(&merchant.id, claimed.payment)
            .await?;
        let events: Vec<PaymentEvent> = history.into_iter().map(|(_, event)| event).collect();
        let mut ended =
            Ended::from_events(&events, claimed.intention).ok_or(AppError::OutcomeUnknown)?;
        if let Some(facts) = driven.payment.state.facts() {
            let said = driven.said.as_deref();
            ended.said = self
                .worth_keeping(merchant, claimed.payment, facts, said, key)
                .await?;
        }
        if let (Some(key), false) = (key, driven.answered) {
            let commit = Commit {
                completes: Some(key.completion(&ended)),
                ..Commit::default()
            };
            match self.inner.store.commit(&merchant.id, context, commit).await {
                Ok(_) | Err(Trouble::Claimed(_)) => {}
                Err(trouble) => return Err(trouble.into()),
            }
        }
        Ok((ended, driven))
    }

    /// A request under a key that is taken: the same answer again, or the running command's.
    pub(super) async fn join(
        &self,
        merchant: &Merchant,
        context: &Context,
        standing: Standing,
        key: Option<&Idempotency>,
    ) -> Result<PaymentAnswer, AppError> {
        match standing {
            Standing::Free => Err(AppError::Internal),
            Standing::Ended(claimed, ended) => self.replay(merchant, claimed.payment, ended).await,
            Standing::Open(claimed) => {
                let finishing = self.finish(merchant, context, claimed, key);
                let finished = timeout(self.inner.options.join_within, finishing)
                    .await
                    .map_err(|_| AppError::KeyInUse)??;
                // Whoever drove it has answered the key, and what was kept then is the answer.
                match self.standing::<Claimed, Ended>(merchant, key).await? {
                    Standing::Ended(claimed, ended) => {
                        self.replay(merchant, claimed.payment, ended).await
                    }
                    Standing::Free | Standing::Open(_) => Ok(PaymentAnswer {
                        replayed: true,
                        ..finished
                    }),
                }
            }
        }
    }

    /// The answer as it was: the payment at that version, with what is never kept asked for anew.
    async fn replay(
        &self,
        merchant: &Merchant,
        id: PaymentId,
        ended: Ended,
    ) -> Result<PaymentAnswer, AppError> {
        let now = self.inner.store.payment(&merchant.id, id).await?;
        let then = if now.version == ended.version {
            now
        } else {
            self.payment_at(merchant, id, ended.version).await?
        };
        let intent = match ended.verdict {
            // What Stripe refused shows no intent; what our own rules refused does.
            Verdict::Refused(_) if ended.said.is_none() => None,
            _ => Some(
                self.intent_now(merchant, &then)
                    .await
                    .ok_or(AppError::OutcomeUnknown)?,
            ),
        };
        let said = self.said_then(merchant, &ended, intent.as_ref()).await?;
        let mut answer = self
            .answer(merchant, id, &then, intent, ended.verdict)
            .await?;
        answer.said = said.or(answer.said);
        answer.replayed = true;
        Ok(answer)
    }

    /// Stripe's words as they were kept with the claim's answer, what is secret in them put back.
    pub(super) async fn said_then(
        &self,
        merchant: &Merchant,
        ended: &Ended,
        intent: Option<&IntentView>,
    ) -> Result<Option<Arc<StripeAnswer>>, AppError> {
        let Some(sealed) = &ended.said else {
            return Ok(None);
        };
        let mut kept = self.kept(&merchant.id, sealed).await?;
        if let (Some(kept), Some(intent)) = (&mut kept, intent) {
            refill(&mut kept.body, intent);
        }
        Ok(kept.map(Arc::new))
    }

    /// The payment as it stood after its first `version` events.
    pub(super) async fn payment_at(
        &self,
        merchant: &Merchant,
        id: PaymentId,
        version: u64,
    ) -> Result<Arc<Versioned<Payment>>, AppError> {
        let history = self.inner.store.payment_history(&merchant.id, id).await?;
        let mut payment = Versioned::<Payment>::default();
        for (_, event) in history {
            if payment.version == version {
                break;
            }
            payment.state.apply(&event);
            payment.version += 1;
        }
        Ok(Arc::new(payment))
    }

    /// What a door makes its answer of.
    pub(super) async fn answer(
        &self,
        merchant: &Merchant,
        id: PaymentId,
        payment: &Versioned<Payment>,
        intent: Option<IntentView>,
        verdict: Verdict,
    ) -> Result<PaymentAnswer, AppError> {
        let facts = payment
            .state
            .facts()
            .ok_or(PaymentError::NoSuchPayment)?
            .clone();
        let personal = self
            .personal(&merchant.id, &facts)
            .await?
            .unwrap_or_default();
        Ok(PaymentAnswer {
            id,
            facts,
            said: intent.as_ref().and_then(|view| view.answer.clone()),
            intent,
            personal,
            verdict,
            replayed: false,
        })
    }
}

fn create_requested(
    merchant: &Merchant,
    intention: IntentionId,
    it: &CreatePayment,
) -> CreateRequested {
    CreateRequested {
        intention,
        merchant: merchant.id.clone(),
        order: None,
        amount: it.amount,
        capture_method: it.capture_method,
        payment_method: it.payment_method.clone(),
        customer: it.customer.clone(),
        description: it.description.clone(),
        metadata: it.metadata.clone(),
        attributes: it.attributes.clone(),
        personal: None,
        then_confirm: it.confirm.clone(),
        parameters: it.parameters.clone(),
    }
}

fn create_command(merchant: &Merchant, request: &CreateRequested) -> PaymentCommand {
    PaymentCommand::CreateIntent {
        request: Box::new(request.clone()),
        enforce_minimum: merchant.enforce_minimum,
    }
}
