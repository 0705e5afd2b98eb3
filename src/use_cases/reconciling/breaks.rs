//! What people do about breaks: take them, give the reason, and have another person agree to it.

use aggregates::ids::{MerchantId, ReconciliationId};
use aggregates::reconciliation::{Break, ReconciliationCommand, ReconciliationError, Run};
use projections::books::AsOf;

use crate::store::{BreakRow, Caller, Commit, Decided, Merchant, RunRow};
use crate::use_cases::once::{Left, Then};
use crate::use_cases::{App, AppError, Idempotency, Outcome, PastError};

/// What a person does about a break. Who does it is the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BreakChange {
    Assign { owner: String },
    Resolve { reason: String },
    Approve,
    Refuse { because: String },
}

/// Why a break was not changed.
#[derive(Debug, thiserror::Error)]
pub enum BreakError {
    #[error(transparent)]
    App(#[from] AppError),
    #[error(transparent)]
    Refused(ReconciliationError),
}

impl App {
    /// Records what a person does about a break, under the caller's idempotency key where there is one, and answers the break
    /// after it.
    ///
    /// # Errors
    /// [`BreakError`]; [`AppError::NotFound`] where the merchant has no such break.
    pub async fn change_break(
        &self,
        caller: &Caller,
        door: &'static str,
        id: ReconciliationId,
        change: BreakChange,
        key: Option<Idempotency>,
    ) -> Result<Outcome<Break>, BreakError> {
        let (app, merchant) = (self.clone(), caller.merchant.clone());
        let context = self.context(caller, door);
        let by = format!("key:{}", caller.key_id);
        let changed = self.command(async move {
            let key = key.as_ref();
            loop {
                if let Some(left) = app.before(&merchant, key).await? {
                    return Ok(Ok(app.break_left(&merchant, left).await?));
                }
                let before = app.inner.store.reconciliation(&merchant.id, id).await?;
                let command = change.clone().by(by.clone());
                let events = match before.state.decide(command) {
                    Ok(events) => events,
                    Err(ReconciliationError::NoSuchBreak) => return Err(no_such("break", id)),
                    Err(error) => return Ok(Err(error)),
                };
                let then = Then::after(id, before.version, events.len())?;
                let commit = Commit {
                    reconciliations: vec![Decided { id, before, events }],
                    ..Commit::default()
                };
                let left = app.answer_at_once(&merchant, &context, then, commit, key);
                if let Some(left) = left.await? {
                    return Ok(Ok(app.break_left(&merchant, left).await?));
                }
            }
        });
        changed.await?.map_err(BreakError::Refused)
    }

    /// The break as it stood when the command had ended.
    async fn break_left(
        &self,
        merchant: &Merchant,
        left: Left<ReconciliationId>,
    ) -> Result<Outcome<Break>, AppError> {
        let done = left.with::<()>(|_| None);
        let store = &self.inner.store;
        let past = store
            .reconciliation_at(&merchant.id, done.about, done.version)
            .await?;
        Ok(Outcome {
            it: past.found().cloned().ok_or(AppError::Internal)?,
            made: false,
            replayed: done.replayed,
        })
    }

    /// A run of the merchant's.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn reconciliation_run(
        &self,
        merchant: &MerchantId,
        id: ReconciliationId,
    ) -> Result<Run, AppError> {
        let known = self.inner.store.reconciliation(merchant, id).await?;
        known
            .state
            .run()
            .cloned()
            .ok_or_else(|| no_such("reconciliation", id))
    }

    /// A break of the merchant's.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn reconciliation_break(
        &self,
        merchant: &MerchantId,
        id: ReconciliationId,
    ) -> Result<Break, AppError> {
        let known = self.inner.store.reconciliation(merchant, id).await?;
        known
            .state
            .found()
            .cloned()
            .ok_or_else(|| no_such("break", id))
    }

    /// Runs of the merchant, newest first, before one of them; as of a point those that had compared what was recorded up to there,
    /// or up to an earlier one (see [`App::run_as_of`]).
    ///
    /// # Errors
    /// [`PastError`].
    pub async fn reconciliation_runs(
        &self,
        merchant: &MerchantId,
        as_of: Option<AsOf>,
        before: Option<ReconciliationId>,
        limit: i64,
    ) -> Result<Vec<RunRow>, PastError> {
        let pinned_by = match as_of {
            Some(as_of) => Some(self.books().position_as_of(merchant, as_of).await?),
            None => None,
        };
        let (runs, before) = (
            &self.inner.store.reconciliations,
            before.map(ReconciliationId::uuid),
        );
        let found = runs.runs(merchant, pinned_by, before, limit).await;
        Ok(found.map_err(AppError::from_sqlx)?)
    }

    /// Breaks of the merchant after one of them; those that are gone only where that status is asked for.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn reconciliation_breaks(
        &self,
        merchant: &MerchantId,
        status: Option<&str>,
        after: Option<ReconciliationId>,
        limit: i64,
    ) -> Result<Vec<BreakRow>, AppError> {
        let runs = &self.inner.store.reconciliations;
        let after = after.map(ReconciliationId::uuid);
        let found = runs.breaks(merchant, status, after, limit).await;
        found.map_err(AppError::from_sqlx)
    }
}

impl BreakChange {
    fn by(self, by: String) -> ReconciliationCommand {
        match self {
            Self::Assign { owner } => ReconciliationCommand::Assign { owner },
            Self::Resolve { reason } => ReconciliationCommand::Resolve { reason, by },
            Self::Approve => ReconciliationCommand::Approve { by },
            Self::Refuse { because } => ReconciliationCommand::Refuse { by, because },
        }
    }
}

fn no_such(what: &'static str, id: ReconciliationId) -> AppError {
    AppError::NotFound {
        what,
        id: id.to_string(),
    }
}
