//! Refusals of our own rules, kept under the caller's key where Stripe would keep them.

use aggregates::ids::IntentionId;
use aggregates::payment::event::Refusal;
use aggregates::payment::state::Facts;
use aggregates::sealed::subject_of_payment;

use super::idempotency::{Claimed, Idempotency, Standing};
use super::verdict::{Ended, Verdict};
use super::{App, AppError};
use crate::gateway::StripeAnswer;
use crate::store::{Caller, Commit, Context, Merchant, Trouble};

impl App {
    /// What is known of the payment that Stripe calls `intent`; none where it is nobody's here.
    ///
    /// # Errors
    /// Where the store cannot be used.
    pub async fn facts(&self, caller: &Caller, intent: &str) -> Result<Option<Facts>, AppError> {
        let merchant = &caller.merchant.id;
        match self.find(merchant, intent).await {
            Ok(payment) => {
                let payment = self.inner.store.payment(merchant, payment).await?;
                Ok(payment.state.facts().cloned())
            }
            Err(AppError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
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
        intent: String,
        key: Option<&Idempotency>,
        refused: (Refusal, StripeAnswer),
    ) -> Result<(), AppError> {
        let Some(key) = key.cloned() else {
            return Ok(());
        };
        let (app, merchant, context) = (
            self.clone(),
            caller.merchant.clone(),
            self.context(caller, door),
        );
        self.command(async move {
            app.keep_under(&merchant, &context, &intent, &key, refused)
                .await
        })
        .await
    }

    async fn keep_under(
        &self,
        merchant: &Merchant,
        context: &Context,
        intent: &str,
        key: &Idempotency,
        (refusal, said): (Refusal, StripeAnswer),
    ) -> Result<(), AppError> {
        let Ok(payment) = self.find(&merchant.id, intent).await else {
            return Ok(());
        };
        let standing = self.standing::<Claimed, Ended>(merchant, Some(key)).await?;
        let state = self.inner.store.payment(&merchant.id, payment).await?;
        let (Standing::Free, Some(facts)) = (standing, state.state.facts()) else {
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
        match self.inner.store.commit(&merchant.id, context, commit).await {
            Ok(_) | Err(Trouble::Claimed(_)) => Ok(()),
            Err(trouble) => Err(trouble.into()),
        }
    }
}
