//! Changes of payment sources under a caller's key: claimed before the first step, answered with the last.
//!
//! Such a change is several steps, each of which sets something to what is wanted: gone through twice, it leaves the same. So a
//! repeat of one that was cut off goes through them again, under the same claim.

use aggregates::ids::{IntentionId, PaymentId};
use eventstore::Completion;
use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;

use crate::store::{Commit, Context, Merchant, Trouble};
use crate::use_cases::idempotency::{Claimed, Idempotency, Standing};
use crate::use_cases::order_changes::is_final;
use crate::use_cases::payments::PaymentAnswer;
use crate::use_cases::verdict::{Ended, Verdict};
use crate::use_cases::{App, AppError};

/// Whose turn it is to go through the steps.
pub(super) enum Turn {
    /// The caller's. In this process nobody else goes through them under the same key meanwhile.
    Ours(Option<OwnedMutexGuard<()>>),
    /// It ended before, under the same key.
    Before(Box<Standing>),
}

impl App {
    /// The payment that the caller's key was claimed for; none where it is free.
    pub(super) async fn claimed_payment(
        &self,
        merchant: &Merchant,
        key: Option<&Idempotency>,
    ) -> Result<Option<PaymentId>, AppError> {
        Ok(
            match self.standing::<Claimed, Ended>(merchant, key).await? {
                Standing::Free => None,
                Standing::Open(claimed) | Standing::Ended(claimed, _) => Some(claimed.payment),
            },
        )
    }

    /// Claims the key for a change of the payment, or finds what stands under it. A change that runs here is waited for.
    pub(super) async fn turn(
        &self,
        merchant: &Merchant,
        context: &Context,
        payment: PaymentId,
        key: Option<&Idempotency>,
    ) -> Result<Turn, AppError> {
        let Some(given) = key else {
            return Ok(Turn::Ours(None));
        };
        let mut alone = None;
        loop {
            let claimed = match self.standing(merchant, key).await? {
                Standing::Free => {
                    self.claim_change(merchant, context, payment, given).await?;
                    continue;
                }
                Standing::Open(claimed) => claimed,
                ended @ Standing::Ended(..) => return Ok(Turn::Before(Box::new(ended))),
            };
            if alone.is_some() {
                return Ok(Turn::Ours(alone));
            }
            let lock = self.inner.locks.of(claimed.intention.uuid());
            let waited = timeout(self.inner.options.join_within, lock.lock_owned());
            // Whoever went through the steps meanwhile has answered the key: look again.
            alone = Some(waited.await.map_err(|_| AppError::KeyInUse)?);
        }
    }

    async fn claim_change(
        &self,
        merchant: &Merchant,
        context: &Context,
        payment: PaymentId,
        key: &Idempotency,
    ) -> Result<(), AppError> {
        let claimed = Claimed {
            payment,
            intention: IntentionId::from_uuid(self.inner.store.ids.uuid()),
        };
        let commit = Commit {
            claim: Some(key.claim(&claimed)),
            ..Commit::default()
        };
        match self.inner.store.commit(&merchant.id, context, commit).await {
            Ok(_) | Err(Trouble::Claimed(_)) => Ok(()),
            Err(trouble) => Err(trouble.into()),
        }
    }

    /// The steps have come to this: answers the key with it. A refusal leaves the key free, and what is not known yet leaves it
    /// open, for a repeat to go on.
    pub(super) async fn end_turn(
        &self,
        merchant: &Merchant,
        context: &Context,
        key: Option<&Idempotency>,
        came: Result<PaymentAnswer, AppError>,
    ) -> Result<PaymentAnswer, AppError> {
        let Some(given) = key else {
            return came;
        };
        let answer = match came {
            Ok(answer) => answer,
            Err(error) => {
                self.free_turn(merchant, context, key, &error).await?;
                return Err(error);
            }
        };
        let now = self.inner.store.payment(&merchant.id, answer.id).await?;
        let commit = Commit {
            completes: Some(changed(given, now.version)),
            ..Commit::default()
        };
        let first = match self.inner.store.commit(&merchant.id, context, commit).await {
            Ok(_) => true,
            Err(Trouble::Claimed(_)) => false,
            Err(trouble) => return Err(trouble.into()),
        };
        let standing = self.standing(merchant, key).await?;
        let mut answer = self.join(merchant, context, standing, key).await?;
        answer.replayed &= !first;
        Ok(answer)
    }

    /// A refusal for good frees the key: nothing was done under it that a repeat could be answered with.
    pub(super) async fn free_turn(
        &self,
        merchant: &Merchant,
        context: &Context,
        key: Option<&Idempotency>,
        error: &AppError,
    ) -> Result<(), AppError> {
        if is_final(error) {
            self.refused(merchant, context, key).await?;
        }
        Ok(())
    }
}

/// The answer to a key: the payment as it stands at that version.
pub(super) fn changed(key: &Idempotency, version: u64) -> Completion {
    key.completion(&Ended {
        version,
        verdict: Verdict::Done,
        said: None,
        not_begun: false,
    })
}
