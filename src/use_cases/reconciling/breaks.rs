//! What people do about breaks: take them, give the reason, and have another person agree to it.

use aggregates::ids::{MerchantId, ReconciliationId};
use aggregates::reconciliation::{Break, ReconciliationCommand, ReconciliationError, Run};

use crate::store::{BreakRow, Caller, Commit, Decided, RunRow, Trouble};
use crate::use_cases::{App, AppError};

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
    /// Records what a person does about a break, and answers the break after it.
    ///
    /// # Errors
    /// [`BreakError`]; [`AppError::NotFound`] where the merchant has no such break.
    pub async fn change_break(
        &self,
        caller: &Caller,
        door: &'static str,
        id: ReconciliationId,
        change: BreakChange,
    ) -> Result<Break, BreakError> {
        let (app, merchant) = (self.clone(), caller.merchant.clone());
        let context = self.context(caller, door);
        let by = format!("key:{}", caller.key_id);
        let changed = self.command(async move {
            let store = &app.inner.store;
            loop {
                let before = store.reconciliation(&merchant.id, id).await?;
                let command = change.clone().by(by.clone());
                let events = match before.state.decide(command) {
                    Ok(events) => events,
                    Err(ReconciliationError::NoSuchBreak) => return Err(no_such("break", id)),
                    Err(error) => return Ok(Err(error)),
                };
                let mut after = before.state.clone();
                events.iter().for_each(|it| after.apply(it));
                let commit = Commit {
                    reconciliations: vec![Decided { id, before, events }],
                    ..Commit::default()
                };
                match store.commit(&merchant.id, &context, commit).await {
                    Ok(_) => return Ok(Ok(after.found().cloned().ok_or(AppError::Internal)?)),
                    Err(Trouble::Conflict) => {}
                    Err(trouble) => return Err(trouble.into()),
                }
            }
        });
        changed.await?.map_err(BreakError::Refused)
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

    /// Runs of the merchant, newest first, before one of them.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn reconciliation_runs(
        &self,
        merchant: &MerchantId,
        before: Option<ReconciliationId>,
        limit: i64,
    ) -> Result<Vec<RunRow>, AppError> {
        let runs = &self.inner.store.reconciliations;
        let found = runs
            .runs(merchant, before.map(ReconciliationId::uuid), limit)
            .await;
        found.map_err(AppError::from_sqlx)
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
