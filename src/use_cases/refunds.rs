//! Refunds: asked for, never more than was captured, found again.

use aggregates::ids::{IntentionId, PaymentId};
use aggregates::money::Money;
use aggregates::payment::command::{Observation, Said};
use aggregates::payment::event::RefundReason;
use aggregates::payment::state::Refund;
use aggregates::payment::terms::{Metadata, Parameters};
use aggregates::payment::{Payment, PaymentCommand, PaymentError};
use projections::fold::Versioned;
use serde_json::Value;
use std::sync::Arc;
use tokio::time::timeout;

use super::idempotency::{Claimed, Idempotency, Intended, Standing};
use super::payments::PaymentAnswer;
use super::verdict::{Ended, Verdict};
use super::{App, AppError};
use crate::gateway::{Outcome, StripeAnswer};
use crate::store::{Caller, Context, Merchant};

/// Which payment a refund is of, in Stripe's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundOf {
    Intent(String),
    /// The charge that an intent made.
    Charge(String),
}

/// A refund to be made.
pub struct RefundPayment {
    pub of: RefundOf,
    /// In minor units of the payment's currency; none: all that is left.
    pub amount_minor: Option<i64>,
    pub reason: Option<RefundReason>,
    pub metadata: Metadata,
    /// What Stripe alone judges.
    pub parameters: Parameters,
}

/// A refund, with the payment it is of.
#[derive(Debug, Clone)]
pub struct RefundAnswer {
    pub payment: PaymentAnswer,
    pub refund: Refund,
}

impl App {
    /// Gives money back.
    ///
    /// # Errors
    /// [`AppError`]; the rules hold however many refunds run at once.
    pub async fn refund(
        &self,
        caller: &Caller,
        door: &'static str,
        request: RefundPayment,
        key: Option<Idempotency>,
    ) -> Result<RefundAnswer, AppError> {
        let (app, merchant, context) = (
            self.clone(),
            caller.merchant.clone(),
            self.context(caller, door),
        );
        self.command(async move {
            app.give_back(&merchant, &context, &request, key.as_ref())
                .await
        })
        .await
    }

    async fn give_back(
        &self,
        merchant: &Merchant,
        context: &Context,
        it: &RefundPayment,
        key: Option<&Idempotency>,
    ) -> Result<RefundAnswer, AppError> {
        let mut standing = self.standing(merchant, key).await?;
        if matches!(standing, Standing::Free) {
            let claimed = Claimed {
                payment: self.refundable(merchant, context, &it.of).await?,
                intention: IntentionId::from_uuid(self.inner.store.ids.uuid()),
            };
            let intended = self.intend_refund(merchant, context, it, claimed, key);
            standing = match intended.await {
                Ok(standing) => standing,
                Err(refused) => self.or_taken(merchant, key, refused).await?,
            };
            if matches!(&standing, Standing::Open(open) if open.intention == claimed.intention) {
                return self.finish_refund(merchant, context, claimed, key).await;
            }
        }
        if let Standing::Open(claimed) = standing {
            let finishing = self.finish_refund(merchant, context, claimed, key);
            let mut finished = timeout(self.inner.options.join_within, finishing)
                .await
                .map_err(|_| AppError::KeyInUse)??;
            // Whoever drove it has answered the key, and what was kept then is the answer.
            standing = self.standing(merchant, key).await?;
            if matches!(standing, Standing::Open(_)) {
                finished.payment.replayed = true;
                return Ok(finished);
            }
        }
        match standing {
            Standing::Free | Standing::Open(_) => Err(AppError::Internal),
            Standing::Ended(claimed, ended) => {
                self.replay_refund(merchant, it, claimed, ended).await
            }
        }
    }

    /// The answer as it was, with what is never kept asked for anew where the intent is shown inside it.
    async fn replay_refund(
        &self,
        merchant: &Merchant,
        it: &RefundPayment,
        claimed: Claimed,
        ended: Ended,
    ) -> Result<RefundAnswer, AppError> {
        let payment = self
            .payment_at(merchant, claimed.payment, ended.version)
            .await?;
        // Our own rules refused it: there never was a refund.
        if payment
            .state
            .facts()
            .is_none_or(|facts| facts.refund(claimed.intention).is_none())
        {
            let words = self.said_then(merchant, &ended, None).await?;
            return Err(match (words, ended.verdict) {
                (Some(words), _) => AppError::RefusedBefore(Box::new(StripeAnswer::clone(&words))),
                // The words were erased with the person's data; why is not personal.
                (None, Verdict::Refused(refusal)) => AppError::Refused(refusal),
                (None, Verdict::Done | Verdict::Declined(_)) => AppError::Internal,
            });
        }
        let mut answer = self
            .refund_answer(merchant, claimed, &payment, ended.verdict.clone())
            .await?;
        let shows_intent = it
            .parameters
            .iter()
            .any(|(name, value)| name.starts_with("expand") && value.contains("payment_intent"));
        let intent = match shows_intent {
            true => self.intent_now(merchant, &payment).await,
            false => None,
        };
        let said = self.said_then(merchant, &ended, intent.as_ref()).await?;
        answer.payment.said = match said {
            Some(said) => Some(said),
            None => self.refund_now(merchant, claimed, &payment).await?,
        };
        answer.payment.replayed = true;
        Ok(answer)
    }

    /// The payment that a refund is asked of.
    async fn refundable(
        &self,
        merchant: &Merchant,
        context: &Context,
        of: &RefundOf,
    ) -> Result<PaymentId, AppError> {
        let charge = match of {
            RefundOf::Intent(intent) => return self.find_or_adopt(merchant, context, intent).await,
            RefundOf::Charge(charge) => charge,
        };
        let said = self
            .read(merchant, &format!("/charges/{charge}"), "")
            .await?;
        let intent = said.body.get("payment_intent").and_then(Value::as_str);
        let taken = said.body.get("captured") == Some(&Value::Bool(true))
            && said.body.get("status").and_then(Value::as_str) == Some("succeeded");
        match intent {
            // An intent may have failed with one charge and succeeded with another.
            Some(_) if said.status < 300 && !taken => Err(PaymentError::NothingCaptured.into()),
            Some(intent) if said.status < 300 => {
                self.find_or_adopt(merchant, context, intent).await
            }
            _ => Err(AppError::NotFound {
                what: "charge",
                id: charge.clone(),
            }),
        }
    }

    /// Records the intention, on whatever state the payment is in when it is recorded.
    async fn intend_refund(
        &self,
        merchant: &Merchant,
        context: &Context,
        it: &RefundPayment,
        claimed: Claimed,
        key: Option<&Idempotency>,
    ) -> Result<Standing, AppError> {
        let id = claimed.payment;
        loop {
            let payment = self.inner.store.payment(&merchant.id, id).await?;
            let currency = payment
                .state
                .facts()
                .ok_or(AppError::Internal)?
                .amount
                .currency();
            let command = PaymentCommand::Refund {
                refund: claimed.intention,
                amount: it.amount_minor.map(|minor| Money::new(minor, currency)),
                reason: it.reason,
                metadata: it.metadata.clone(),
                parameters: it.parameters.clone(),
            };
            let events = payment.state.decide(command)?;
            let decided = (Arc::clone(&payment), events);
            match self
                .intend(merchant, context, claimed, decided, key)
                .await?
            {
                Intended::Recorded => return Ok(Standing::Open(claimed)),
                Intended::Outrun => {}
                Intended::Taken(standing) => return Ok(*standing),
            }
        }
    }

    async fn finish_refund(
        &self,
        merchant: &Merchant,
        context: &Context,
        claimed: Claimed,
        key: Option<&Idempotency>,
    ) -> Result<RefundAnswer, AppError> {
        let mut driven = self
            .drive_refund(merchant, claimed.payment, claimed.intention, context, key)
            .await?;
        if driven.said.is_none() && key.is_none_or(|key| key.keeps_answer) {
            driven.said = self.refund_now(merchant, claimed, &driven.payment).await?;
        }
        let (ended, driven) = self.ended(merchant, context, claimed, driven, key).await?;
        let mut answer = self
            .refund_answer(merchant, claimed, &driven.payment, ended.verdict)
            .await?;
        answer.payment.said = driven.said;
        Ok(answer)
    }

    /// Stripe's words on the refund as it stands now; none where Stripe made none.
    async fn refund_now(
        &self,
        merchant: &Merchant,
        claimed: Claimed,
        payment: &Versioned<Payment>,
    ) -> Result<Option<Arc<StripeAnswer>>, AppError> {
        let facts = payment.state.facts();
        let refund = facts.and_then(|facts| facts.refund(claimed.intention));
        match refund.and_then(|it| it.stripe_refund.as_ref()) {
            Some(id) => {
                let said = self.read(merchant, &format!("/refunds/{id}"), "").await?;
                Ok(Some(Arc::new(said)))
            }
            None => Ok(None),
        }
    }

    async fn refund_answer(
        &self,
        merchant: &Merchant,
        claimed: Claimed,
        payment: &Versioned<Payment>,
        verdict: Verdict,
    ) -> Result<RefundAnswer, AppError> {
        let answer = self
            .answer(merchant, claimed.payment, payment, None, verdict)
            .await?;
        let refund = answer
            .facts
            .refunds
            .iter()
            .find(|it| it.id == claimed.intention)
            .cloned();
        Ok(RefundAnswer {
            refund: refund.ok_or(AppError::Internal)?,
            payment: answer,
        })
    }

    /// The refund that Stripe calls `stripe_refund`, as it stands there now; as it is known here where Stripe does not answer.
    ///
    /// # Errors
    /// [`AppError::NotFound`], also for another merchant's.
    pub async fn refund_by_id(
        &self,
        caller: &Caller,
        door: &'static str,
        stripe_refund: String,
    ) -> Result<RefundAnswer, AppError> {
        let (app, merchant, context) = (
            self.clone(),
            caller.merchant.clone(),
            self.context(caller, door),
        );
        self.command(async move {
            let found = app
                .inner
                .store
                .refund_by_stripe_id(&merchant.id, &stripe_refund)
                .await?;
            let (payment, refund) = found.ok_or(AppError::NotFound {
                what: "refund",
                id: stripe_refund.clone(),
            })?;
            app.observe_refund(&merchant, &context, payment, &stripe_refund)
                .await?;
            let state = app.inner.store.payment(&merchant.id, payment).await?;
            app.refund_answer(
                &merchant,
                Claimed {
                    payment,
                    intention: refund,
                },
                &state,
                Verdict::Done,
            )
            .await
        })
        .await
    }

    async fn observe_refund(
        &self,
        merchant: &Merchant,
        context: &Context,
        payment: PaymentId,
        stripe_refund: &str,
    ) -> Result<(), AppError> {
        match self
            .inner
            .gateway
            .refund_by_id(&merchant.stripe_account, stripe_refund)
            .await
        {
            Outcome::Said(view) => {
                let observed = Observation {
                    intention: None,
                    current: true,
                    said: Said::Refund(view.snapshot),
                };
                self.observe(merchant, payment, observed, context).await?;
            }
            Outcome::Refused(_) | Outcome::Unknown(_) => {
                tracing::warn!(refund = %stripe_refund, "Stripe did not show a refund");
            }
        }
        Ok(())
    }
}
