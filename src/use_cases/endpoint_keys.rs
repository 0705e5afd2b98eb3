//! Changes of webhook endpoints under a caller's key. Endpoints are rows and not events, so the answer itself is kept with the
//! claim: it holds no secret, since an endpoint's secret is derived from its generation.

use aggregates::ids::CommandId;
use futures::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::endpoints::EndpointError;
use super::idempotency::{Idempotency, Standing};
use super::order_changes::is_final;
use super::{App, AppError};
use crate::store::{Caller, Commit, Context, Trouble};

/// What the claim of a change stands for.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct ClaimedKeeping {
    keeping: CommandId,
    /// The generation that a secret is to be rolled to, so that a roll which was cut off is not made twice.
    generation: i32,
}

/// The answer as it was.
#[derive(Serialize, Deserialize)]
struct Kept<T> {
    kept: T,
}

impl App {
    /// Does the work once under the key, and says whether it was done before. The work is told the generation, as it was when the
    /// key was claimed.
    pub(super) async fn keeping_once<T>(
        &self,
        caller: &Caller,
        key: Option<Idempotency>,
        generation: i32,
        work: impl FnOnce(i32) -> BoxFuture<'static, Result<T, EndpointError>> + Send + 'static,
    ) -> Result<(T, bool), EndpointError>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
    {
        let Some(key) = key else {
            return Ok((work(generation).await?, false));
        };
        let (app, caller) = (self.clone(), caller.clone());
        let context = self.context(&caller, "webhook_endpoints");
        let done = self.command(async move {
            let by = (&caller, &context);
            Ok(app.kept_or_done(by, &key, generation, work).await)
        });
        done.await?
    }

    async fn kept_or_done<T: Serialize + DeserializeOwned>(
        &self,
        (caller, context): (&Caller, &Context),
        key: &Idempotency,
        generation: i32,
        work: impl FnOnce(i32) -> BoxFuture<'static, Result<T, EndpointError>>,
    ) -> Result<(T, bool), EndpointError> {
        let merchant = &caller.merchant;
        let mut alone = None;
        let claimed = loop {
            let standing = self.standing::<ClaimedKeeping, Kept<T>>(merchant, Some(key));
            match standing.await? {
                Standing::Ended(_, Kept { kept }) => return Ok((kept, true)),
                Standing::Open(claimed) if alone.is_some() => break claimed,
                Standing::Open(claimed) => {
                    // It runs here, or was cut off: whoever comes first goes on.
                    let lock = self.inner.locks.of(claimed.keeping.uuid()).lock_owned();
                    let waited = timeout(self.inner.options.join_within, lock).await;
                    alone = Some(waited.map_err(|_| AppError::KeyInUse)?);
                }
                Standing::Free => {
                    let claimed = ClaimedKeeping {
                        keeping: context.command_id,
                        generation,
                    };
                    let commit = Commit {
                        claim: Some(key.claim(&claimed)),
                        ..Commit::default()
                    };
                    match self.inner.store.commit(&merchant.id, context, commit).await {
                        Ok(_) | Err(Trouble::Claimed(_)) => {}
                        Err(trouble) => return Err(AppError::from(trouble).into()),
                    }
                }
            }
        };
        let kept = match work(claimed.generation).await {
            Ok(kept) => kept,
            Err(error) => {
                if !matches!(&error, EndpointError::App(error) if !is_final(error)) {
                    self.refused(merchant, context, Some(key)).await?;
                }
                return Err(error);
            }
        };
        let kept = Kept { kept };
        let commit = Commit {
            completes: Some(key.completion(&kept)),
            ..Commit::default()
        };
        match self.inner.store.commit(&merchant.id, context, commit).await {
            // Another instance went through it under the same key: it is one change all the same.
            Ok(_) | Err(Trouble::Claimed(_)) => Ok((kept.kept, false)),
            Err(trouble) => Err(AppError::from(trouble).into()),
        }
    }
}
