//! Runs that somebody asks for, and the one that had ended by a point of the past.

use aggregates::ids::{MerchantId, ReconciliationId};
use aggregates::metadata::Actor;
use aggregates::reconciliation::{ReconciliationCommand, Run, Terms};
use projections::books::AsOf;

use super::{ReconcileError, not_recorded};
use crate::store::{Caller, Commit, Context, Decided, Merchant};
use crate::use_cases::once::{Left, Then};
use crate::use_cases::{App, AppError, Idempotency, Outcome, PastError};

impl App {
    /// Begins a run for a caller, under the caller's idempotency key where there is one, or finds the one that is open; it goes on
    /// by itself. Answers its id, and how it stood then.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn open_reconciliation(
        &self,
        caller: &Caller,
        door: &'static str,
        tolerance_minor: i64,
        key: Option<Idempotency>,
    ) -> Result<(ReconciliationId, Outcome<Run>), AppError> {
        let (app, merchant) = (self.clone(), caller.merchant.clone());
        let context = self.context(caller, door);
        let actor = context.actor.clone();
        let id = merchant.id.clone();
        let opened = self.command(async move {
            loop {
                if let Some(left) = app.before(&merchant, key.as_ref()).await? {
                    return app.run_left(&merchant, left).await;
                }
                let (then, commit) = app.run_to_open(&merchant, tolerance_minor).await?;
                let left = app.answer_at_once(&merchant, &context, then, commit, key.as_ref());
                if let Some(left) = left.await? {
                    return app.run_left(&merchant, left).await;
                }
            }
        });
        let (run, outcome) = opened.await?;
        // What ended long ago is not begun anew by a repeated key.
        let open = self.inner.store.reconciliations.open_run(&id).await;
        if open.map_err(AppError::from_sqlx)? == Some(run) {
            self.go_on_alone(id, actor, tolerance_minor);
        }
        Ok((run, outcome))
    }

    /// The run that is open, or a new one.
    async fn run_to_open(
        &self,
        merchant: &Merchant,
        tolerance_minor: i64,
    ) -> Result<(Then<ReconciliationId>, Commit), AppError> {
        let store = &self.inner.store;
        let open = store.reconciliations.open_run(&merchant.id).await;
        if let Some(id) = open.map_err(AppError::from_sqlx)? {
            let known = store.reconciliation(&merchant.id, id).await?;
            let then = Then::after(id, known.version, 0)?;
            return Ok((then, Commit::default()));
        }
        let id = ReconciliationId::from_uuid(store.ids.uuid());
        let before = store.reconciliation(&merchant.id, id).await?;
        let command = ReconciliationCommand::Open {
            merchant: merchant.id.clone(),
            terms: self.terms(tolerance_minor).await?,
        };
        let events = before.state.decide(command).map_err(not_recorded)?;
        let then = Then::after(id, before.version, events.len())?;
        let commit = Commit {
            reconciliations: vec![Decided { id, before, events }],
            ..Commit::default()
        };
        Ok((then, commit))
    }

    async fn run_left(
        &self,
        merchant: &Merchant,
        left: Left<ReconciliationId>,
    ) -> Result<(ReconciliationId, Outcome<Run>), AppError> {
        let done = left.with::<()>(|_| None);
        let store = &self.inner.store;
        let past = store
            .reconciliation_at(&merchant.id, done.about, done.version)
            .await?;
        let outcome = Outcome {
            it: past.run().cloned().ok_or(AppError::Internal)?,
            made: done.made,
            replayed: done.replayed,
        };
        Ok((done.about, outcome))
    }

    fn go_on_alone(&self, merchant: MerchantId, actor: Actor, tolerance_minor: i64) {
        let (app, stop) = (self.clone(), self.stopping().clone());
        tokio::spawn(async move {
            let done = app.reconcile(&merchant, actor, tolerance_minor, &stop, |_| {});
            match done.await {
                Ok(_) | Err(ReconcileError::Busy | ReconcileError::Stopped) => {}
                Err(error) => {
                    tracing::error!(%merchant, %error, "an account could not be reconciled");
                }
            }
        });
    }

    pub(super) async fn open_run(
        &self,
        merchant: &Merchant,
        context: &Context,
        tolerance_minor: i64,
    ) -> Result<ReconciliationId, AppError> {
        let run = ReconciliationId::from_uuid(self.inner.store.ids.uuid());
        let command = ReconciliationCommand::Open {
            merchant: merchant.id.clone(),
            terms: self.terms(tolerance_minor).await?,
        };
        let store = &self.inner.store;
        let before = store.reconciliation(&merchant.id, run).await?;
        let events = before.state.decide(command).map_err(not_recorded)?;
        let opened = Decided {
            id: run,
            before,
            events,
        };
        let commit = Commit {
            reconciliations: vec![opened],
            ..Commit::default()
        };
        store.commit(&merchant.id, context, commit).await?;
        Ok(run)
    }

    async fn terms(&self, tolerance_minor: i64) -> Result<Terms, AppError> {
        Ok(Terms {
            tolerance_minor,
            at: self.inner.store.now().await?.timestamp(),
        })
    }

    /// The last run that ended and had compared what was recorded up to that point, or up to an earlier one: what a
    /// reconciliation had to say then.
    ///
    /// # Errors
    /// [`PastError`]; [`AppError::NotFound`] where no run had compared anything by then.
    pub async fn run_as_of(
        &self,
        merchant: &MerchantId,
        as_of: AsOf,
    ) -> Result<ReconciliationId, PastError> {
        let position = self.books().position_as_of(merchant, as_of).await?;
        let runs = &self.inner.store.reconciliations;
        let found = runs.pinned_by(merchant, position).await;
        let found = found.map_err(AppError::from_sqlx)?;
        found.ok_or_else(|| {
            PastError::App(AppError::NotFound {
                what: "reconciliation of then",
                id: position.to_string(),
            })
        })
    }
}
