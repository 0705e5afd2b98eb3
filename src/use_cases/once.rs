//! Commands of our own under a caller's idempotency key: what they left is named by the aggregate and its version, and is
//! answered again from the events up to there.
//!
//! What one append carries out claims the key and answers it in that append. What takes several steps claims it first; a
//! repeat meanwhile goes through the same steps, each of which is done once. A refusal leaves the key free.

use chrono::{DateTime, Utc};
use eventstore::{Claim, Completion};
use projections::fold::Versioned;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use super::idempotency::{Idempotency, Standing};
use super::{App, AppError};
use crate::store::{Commit, Committed, Context, Merchant, Trouble};

/// What the claim of a command is about.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct About<I> {
    about: I,
}

/// How what it is about stood when the command had ended.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Ended {
    version: u64,
    /// It was made by this command, not found.
    made: bool,
    /// The command was refused: the key is free again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    not_begun: bool,
}

/// What a command is about to leave.
#[derive(Debug, Clone, Copy)]
pub(super) struct Then<I> {
    pub about: I,
    pub version: u64,
    pub made: bool,
}

impl<I> Then<I> {
    /// The aggregate at `before`, and so many events after it.
    pub fn after(about: I, before: u64, events: usize) -> Result<Self, AppError> {
        let events = u64::try_from(events).map_err(|_| AppError::Internal)?;
        let version = before.checked_add(events).ok_or(AppError::Internal)?;
        Ok(Self {
            about,
            version,
            made: before == 0,
        })
    }
}

/// What a command left.
#[derive(Debug)]
pub(super) struct Done<I, A = ()> {
    pub about: I,
    pub version: u64,
    pub made: bool,
    /// It was done before, under the same key.
    pub replayed: bool,
    /// The state, and when it was recorded, where this very command made it.
    pub fresh: Option<(Arc<Versioned<A>>, DateTime<Utc>)>,
}

/// What a command left, and what was committed where this very command did it.
pub(super) struct Left<I> {
    then: Then<I>,
    committed: Option<Committed>,
}

impl<I> Left<I> {
    /// With the state that `of` takes out of what was committed.
    pub fn with<A>(self, of: impl FnOnce(Committed) -> Option<Arc<Versioned<A>>>) -> Done<I, A> {
        let replayed = self.committed.is_none();
        let fresh = self.committed.and_then(|it| {
            let at = it.recorded_at?;
            Some((of(it)?, at))
        });
        Done {
            about: self.then.about,
            version: self.then.version,
            made: self.then.made,
            replayed,
            fresh,
        }
    }

    /// What a command has just left, without the state it was committed with.
    pub fn now(then: Then<I>) -> Self {
        Self {
            then,
            committed: Some(Committed::default()),
        }
    }

    fn before(about: I, ended: Ended) -> Self {
        Self {
            then: Then {
                about,
                version: ended.version,
                made: ended.made,
            },
            committed: None,
        }
    }
}

/// Where a command of several steps stands as it begins.
pub(super) enum Begun<I> {
    /// Go on, about this: it is new, or was cut off.
    Now(I),
    /// It ended before.
    Before(Left<I>),
}

impl App {
    /// Commits what carries the whole command out, and claims and answers the caller's key with it. None on a conflict:
    /// decide again.
    pub(super) async fn answer_at_once<I: Serialize + DeserializeOwned>(
        &self,
        merchant: &Merchant,
        context: &Context,
        then: Then<I>,
        commit: Commit,
        key: Option<&Idempotency>,
    ) -> Result<Option<Left<I>>, AppError> {
        let (claim, completes) = at_once(&then, key).unzip();
        let commit = Commit {
            claim,
            completes,
            ..commit
        };
        self.left(merchant, context, then, commit, key).await
    }

    /// Commits the last step of a command, and answers the caller's key, claimed before, with it. None on a conflict.
    pub(super) async fn answer_at_last<I: Serialize + DeserializeOwned>(
        &self,
        merchant: &Merchant,
        context: &Context,
        then: Then<I>,
        commit: Commit,
        key: Option<&Idempotency>,
    ) -> Result<Option<Left<I>>, AppError> {
        let ended = Ended::of(&then);
        let commit = Commit {
            completes: key.map(|key| key.completion(&ended)),
            ..commit
        };
        self.left(merchant, context, then, commit, key).await
    }

    async fn left<I: DeserializeOwned>(
        &self,
        merchant: &Merchant,
        context: &Context,
        then: Then<I>,
        commit: Commit,
        key: Option<&Idempotency>,
    ) -> Result<Option<Left<I>>, AppError> {
        let committed = self.inner.store.commit(&merchant.id, context, commit).await;
        match (committed, key) {
            (Ok(committed), _) => Ok(Some(Left {
                then,
                committed: Some(committed),
            })),
            (Err(Trouble::Conflict), _) => Ok(None),
            (Err(Trouble::Claimed(_)), Some(key)) => {
                match self.before(merchant, Some(key)).await? {
                    Some(left) => Ok(Some(left)),
                    // The use before was refused meanwhile, and the key is free again: the next round claims it anew.
                    None => Ok(None),
                }
            }
            (Err(trouble), _) => Err(trouble.into()),
        }
    }

    /// What a command under this key left before; none where the key is free, or its command has not ended.
    pub(super) async fn before<I: DeserializeOwned>(
        &self,
        merchant: &Merchant,
        key: Option<&Idempotency>,
    ) -> Result<Option<Left<I>>, AppError> {
        match self.standing::<About<I>, Ended>(merchant, key).await? {
            Standing::Ended(it, ended) => Ok(Some(Left::before(it.about, ended))),
            Standing::Free | Standing::Open(_) => Ok(None),
        }
    }

    /// Claims the caller's key for a command of several steps about `fresh`, or finds what stands under it.
    pub(super) async fn begin<I: Serialize + DeserializeOwned>(
        &self,
        merchant: &Merchant,
        context: &Context,
        fresh: I,
        key: Option<&Idempotency>,
    ) -> Result<Begun<I>, AppError> {
        let Some(key) = key else {
            return Ok(Begun::Now(fresh));
        };
        loop {
            match self
                .standing::<About<I>, Ended>(merchant, Some(key))
                .await?
            {
                Standing::Ended(it, ended) => {
                    return Ok(Begun::Before(Left::before(it.about, ended)));
                }
                Standing::Open(it) => return Ok(Begun::Now(it.about)),
                Standing::Free => {}
            }
            let commit = Commit {
                claim: Some(key.claim(&About { about: &fresh })),
                ..Commit::default()
            };
            match self.inner.store.commit(&merchant.id, context, commit).await {
                Ok(_) => return Ok(Begun::Now(fresh)),
                // Somebody else was first: look again.
                Err(Trouble::Claimed(_)) => {}
                Err(trouble) => return Err(trouble.into()),
            }
        }
    }

    /// A command of several steps was refused for good: its key is free again.
    pub(super) async fn refused(
        &self,
        merchant: &Merchant,
        context: &Context,
        key: Option<&Idempotency>,
    ) -> Result<(), AppError> {
        let Some(key) = key else {
            return Ok(());
        };
        let ended = Ended {
            version: 0,
            made: false,
            not_begun: true,
        };
        let commit = Commit {
            completes: Some(key.completion(&ended)),
            ..Commit::default()
        };
        match self.inner.store.commit(&merchant.id, context, commit).await {
            Ok(_) | Err(Trouble::Claimed(_)) => Ok(()),
            Err(trouble) => Err(trouble.into()),
        }
    }
}

/// The claim of a caller's key together with its answer, for the one append that carries the whole command out.
pub(super) fn at_once<I: Serialize>(
    then: &Then<I>,
    key: Option<&Idempotency>,
) -> Option<(Claim, Completion)> {
    let key = key?;
    let claim = key.claim(&About { about: &then.about });
    Some((claim, key.completion(&Ended::of(then))))
}

impl Ended {
    fn of<I>(then: &Then<I>) -> Self {
        Self {
            version: then.version,
            made: then.made,
            not_begun: false,
        }
    }
}
