//! The caller's own idempotency keys: claimed with the intention, answered with the outcome, joined while running.
//!
//! No answer is kept as bytes. What is kept is which version of the payment the answer was made of and how it ended; the
//! events up to that version give the same answer again, and what must not be kept (a client secret) is asked for anew.

use aggregates::ids::{IntentionId, PaymentId};
use aggregates::payment::{Payment, PaymentEvent};
use eventstore::{Claim, Completion, ExistingClaim};
use projections::fold::Versioned;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::payments::PaymentAnswer;
use super::verdict::{Ended, Verdict};
use super::{App, AppError};
use crate::store::{Commit, Context, Decided, Merchant, OpenClaim, Trouble};

/// A caller's idempotency key with what it was used for.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// The door: a key is unique for merchant and door.
    pub scope: Cow<'static, str>,
    pub key: String,
    /// A keyed hash of the request, without any CVC.
    pub fingerprint: [u8; 32],
    /// Whether the answer is made of Stripe's own words, so that they are kept (sealed, without secrets) for a repeat.
    pub keeps_answer: bool,
    /// How often the key was used for what was not even begun: such a use is free again, and the next one counts on.
    pub(super) uses: Arc<AtomicU32>,
}

/// What a claim stands for: the payment, and the intention it began with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claimed {
    pub payment: PaymentId,
    pub intention: IntentionId,
}

/// What is kept in a claim: what it stands for, and what of the key is needed to answer it in the caller's place.
#[derive(Serialize, Deserialize)]
struct AboutKey<C = serde::de::IgnoredAny> {
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    keeps_answer: bool,
    #[serde(flatten)]
    claimed: C,
}

/// Where a key stands: what it was claimed for, and how that ended.
pub(super) enum Standing<C = Claimed, E = Ended> {
    Free,
    /// The command that claimed it has no answer yet: it runs, or was cut off.
    Open(C),
    Ended(C, E),
}

/// What became of an intention that was to be recorded.
pub(super) enum Intended {
    Recorded,
    /// The payment has moved on meanwhile: decide again.
    Outrun,
    /// Another request has claimed the key.
    Taken(Box<Standing>),
}

impl Idempotency {
    /// A caller's key, in the scope of a door.
    pub fn new(
        scope: &'static str,
        key: String,
        fingerprint: [u8; 32],
        keeps_answer: bool,
    ) -> Self {
        Self {
            scope: scope.into(),
            key,
            fingerprint,
            keeps_answer,
            uses: Arc::default(),
        }
    }

    /// The key of an open claim, for whoever ends what it was made for in the caller's place. None where the claim cannot be read.
    pub(super) fn found(claim: &OpenClaim) -> Option<Self> {
        let about: AboutKey = serde_json::from_str(&claim.context).ok()?;
        let (key, uses) = match claim.key.split_once('\n') {
            Some((key, uses)) => (key, uses.parse().ok()?),
            None => (claim.key.as_str(), 0),
        };
        Some(Self {
            scope: claim.scope.clone().into(),
            key: key.to_owned(),
            fingerprint: claim.fingerprint.as_slice().try_into().ok()?,
            keeps_answer: about.keeps_answer,
            uses: Arc::new(AtomicU32::new(uses)),
        })
    }

    /// The key as the claim of this use is made under. A caller's key holds no line break.
    fn name(&self) -> String {
        match self.uses.load(Ordering::Relaxed) {
            0 => self.key.clone(),
            uses => format!("{}\n{uses}", self.key),
        }
    }

    /// The claim, for the append of the intention.
    pub(super) fn claim(&self, claimed: &impl Serialize) -> Claim {
        Claim {
            scope: self.scope.clone().into_owned(),
            key: self.name(),
            fingerprint: self.fingerprint,
            context: raw(&AboutKey {
                keeps_answer: self.keeps_answer,
                claimed,
            }),
        }
    }

    /// The claim's answer, for the append of the outcome.
    pub(super) fn completion(&self, ended: &impl Serialize) -> Completion {
        Completion {
            scope: self.scope.clone().into_owned(),
            key: self.name(),
            answer: raw(ended),
        }
    }

    /// What the claim that was found says of the key.
    pub(super) fn standing<C: DeserializeOwned, E: DeserializeOwned>(
        &self,
        found: &ExistingClaim,
    ) -> Result<Standing<C, E>, AppError> {
        if found.fingerprint != self.fingerprint {
            return Err(AppError::KeyReused);
        }
        let claimed: C = read(&found.context)?;
        match &found.answer {
            None => Ok(Standing::Open(claimed)),
            Some(answer) => Ok(Standing::Ended(claimed, read(answer)?)),
        }
    }
}

impl App {
    /// Where the caller's key stands; free where there is none.
    pub(super) async fn standing<C: DeserializeOwned, E: DeserializeOwned>(
        &self,
        merchant: &Merchant,
        key: Option<&Idempotency>,
    ) -> Result<Standing<C, E>, AppError> {
        let Some(key) = key else {
            return Ok(Standing::Free);
        };
        let store = &self.inner.store;
        loop {
            match store.claim(&merchant.id, &key.scope, &key.name()).await? {
                None => return Ok(Standing::Free),
                Some(found) if is_free_again(&found) => {
                    key.uses.fetch_add(1, Ordering::Relaxed);
                }
                Some(found) => return key.standing(&found),
            }
        }
    }

    /// What stands under the caller's key by now, where our own rules have refused what was asked: another request under the same
    /// key may have been carried out between the look at the key and the look at the state, and then that one's answer is due.
    pub(super) async fn or_taken<C: DeserializeOwned, E: DeserializeOwned>(
        &self,
        merchant: &Merchant,
        key: Option<&Idempotency>,
        refused: AppError,
    ) -> Result<Standing<C, E>, AppError> {
        let by_a_rule = matches!(
            refused,
            AppError::Payment(_) | AppError::Order(_) | AppError::Offer(_)
        );
        if !by_a_rule {
            return Err(refused);
        }
        match self.standing(merchant, key).await? {
            Standing::Free => Err(refused),
            taken => Ok(taken),
        }
    }

    /// The caller's key is answered by a payment as it stands, for which nothing was asked of Stripe under the key: claimed and
    /// answered at once, for repeats.
    pub(super) async fn answer_key(
        &self,
        merchant: &Merchant,
        context: &Context,
        payment: PaymentId,
        key: &Idempotency,
    ) -> Result<PaymentAnswer, AppError> {
        let store = &self.inner.store;
        let history = store.payment_history(&merchant.id, payment).await?;
        // One that was begun elsewhere has no intention of ours.
        let begun = history.iter().find_map(|(_, event)| event.intention());
        let fresh = || IntentionId::from_uuid(store.ids.uuid());
        let claimed = Claimed {
            payment,
            intention: begun.unwrap_or_else(fresh),
        };
        let ended = Ended {
            version: u64::try_from(history.len()).map_err(|_| AppError::Internal)?,
            verdict: Verdict::Done,
            said: None,
            not_begun: false,
        };
        let commit = Commit {
            claim: Some(key.claim(&claimed)),
            completes: Some(key.completion(&ended)),
            ..Commit::default()
        };
        let (standing, first) = match store.commit(&merchant.id, context, commit).await {
            Ok(_) => (Standing::Ended(claimed, ended), true),
            Err(Trouble::Claimed(found)) => (key.standing(&found)?, false),
            Err(trouble) => return Err(trouble.into()),
        };
        let mut answer = self.join(merchant, context, standing, Some(key)).await?;
        answer.replayed &= !first;
        Ok(answer)
    }

    /// Records the intention that a command begins with, on the state it was decided on, and claims the caller's key with it.
    pub(super) async fn intend(
        &self,
        merchant: &Merchant,
        context: &Context,
        claimed: Claimed,
        (before, events): (Arc<Versioned<Payment>>, Vec<PaymentEvent>),
        key: Option<&Idempotency>,
    ) -> Result<Intended, AppError> {
        let payment = Some(Decided {
            id: claimed.payment,
            before,
            events,
        });
        let claim = key.map(|key| key.claim(&claimed));
        let commit = Commit {
            payment,
            claim,
            ..Commit::default()
        };
        match (
            self.inner.store.commit(&merchant.id, context, commit).await,
            key,
        ) {
            (Ok(_), _) => Ok(Intended::Recorded),
            (Err(Trouble::Conflict), _) => Ok(Intended::Outrun),
            (Err(Trouble::Claimed(found)), Some(key)) => {
                Ok(Intended::Taken(Box::new(key.standing(&found)?)))
            }
            (Err(trouble), _) => Err(trouble.into()),
        }
    }
}

/// Whether the use of the key ended before anything was begun. Answers say so in a member of this name.
fn is_free_again(claim: &ExistingClaim) -> bool {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        not_begun: bool,
    }
    let answer = claim.answer.as_deref();
    let answer = answer.and_then(|answer| serde_json::from_str::<Answer>(answer.get()).ok());
    answer.is_some_and(|answer| answer.not_begun)
}

fn raw(it: &impl Serialize) -> Box<RawValue> {
    to_raw_value(it).expect("ids, numbers and strings always serialise")
}

fn read<T: for<'de> Deserialize<'de>>(text: &RawValue) -> Result<T, AppError> {
    serde_json::from_str(text.get()).map_err(|error| {
        tracing::error!(%error, "a stored claim cannot be read");
        AppError::Internal
    })
}
