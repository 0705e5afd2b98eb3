//! A run that ended, compared again: from the pages that were kept and from the events up to the pinned position.

use aggregates::ids::{MerchantId, ReconciliationId};
use aggregates::metadata::Actor;
use aggregates::reconciliation::{Item, Totals};
use tokio_util::sync::CancellationToken;

use super::report::{Head, Report};
use super::{Progress, ReconcileError, Seen, Working, unreadable};
use crate::store::RunStep;
use crate::use_cases::{App, AppError};

/// A run compared again.
pub struct Repeated {
    pub report: Report,
    pub came_to: CameTo,
    kept: Kept,
}

/// What a run came to when it was compared again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CameTo {
    /// The hash of the report that was made now.
    pub report_hash: String,
    /// The hash that the run was closed with.
    pub expected: String,
    pub totals: Totals,
}

/// Why a run is not repeated for a caller.
#[derive(Debug, thiserror::Error)]
pub enum NoRepeat {
    /// The merchant, or the process, has enough of them under way.
    #[error("too many repetitions are under way")]
    TooMany,
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
}

/// What a repetition keeps until it is forgotten.
pub struct Kept {
    app: App,
    kept_as: ReconciliationId,
}

impl CameTo {
    /// Whether that is the same, to the byte.
    pub fn is_the_same(&self) -> bool {
        self.report_hash == self.expected
    }
}

impl Repeated {
    /// The report, and what is to be forgotten once it was read.
    pub fn into_parts(self) -> (Report, Kept) {
        (self.report, self.kept)
    }
}

impl Kept {
    /// Removes what the repetition kept.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn forget(self) -> Result<(), AppError> {
        let runs = &self.app.inner.store.reconciliations;
        runs.forget(self.kept_as).await.map_err(AppError::from_sqlx)
    }
}

impl App {
    /// Compares again what a run compared, for a caller who waits: whoever goes away ends it, and so does the end of the service.
    ///
    /// # Errors
    /// [`NoRepeat`].
    pub async fn repeat_for(
        &self,
        merchant: &MerchantId,
        run: ReconciliationId,
    ) -> Result<CameTo, NoRepeat> {
        let (app, merchant) = (self.clone(), merchant.clone());
        let place = self.inner.store.reconciliations.repeats.take(&merchant);
        let place = place.ok_or(NoRepeat::TooMany)?;
        let stop = self.stopping().child_token();
        let _while_waited_for = stop.clone().drop_guard();
        // A task of its own: it forgets what it has kept, whoever has gone.
        let task = self.inner.tasks.spawn(async move {
            let _place = place;
            let repeated = app.repeat_run(&merchant, run, &stop, |_| {}).await?;
            let forgotten = repeated.kept.forget().await;
            forgotten.map_err(ReconcileError::from)?;
            Ok(repeated.came_to)
        });
        task.await.map_err(|panic| {
            tracing::error!(%panic, "a repetition failed");
            ReconcileError::from(AppError::Internal)
        })?
    }

    /// Compares again what a run compared.
    ///
    /// # Errors
    /// [`ReconcileError`]; [`ReconcileError::Altered`] where what was kept of Stripe's answers has been changed.
    pub async fn repeat_run(
        &self,
        merchant: &MerchantId,
        run: ReconciliationId,
        stop: &CancellationToken,
        watch: impl Fn(Seen) + Send + Sync,
    ) -> Result<Repeated, ReconcileError> {
        let store = &self.inner.store;
        let known = store
            .reconciliation(merchant, run)
            .await
            .map_err(AppError::from)?;
        let state = known.state.run().ok_or(ReconcileError::NoSuchRun)?;
        let closed = state.closed.as_ref().ok_or(ReconcileError::NoSuchRun)?;
        let head = Head::of(run, state).ok_or(ReconcileError::NoSuchRun)?;
        let actor = Actor {
            name: "operator:repeat".to_owned(),
            key_id: None,
            door: "cli".to_owned(),
        };
        let working = Working {
            app: self.clone(),
            merchant: self.merchant(merchant).await?,
            context: self.context_of(actor),
            // Beside the run, never in its place.
            run: ReconciliationId::from_uuid(store.ids.uuid()),
            terms: head.terms,
            holder: store.ids.uuid(),
            repeats: true,
        };
        let kept = Kept {
            app: self.clone(),
            kept_as: working.run,
        };
        match working.report_again(&head, stop, &watch).await {
            Ok((report, report_hash)) => Ok(Repeated {
                came_to: CameTo {
                    report_hash,
                    expected: closed.report_hash.clone(),
                    totals: report.tail().totals.clone(),
                },
                report,
                kept,
            }),
            Err(error) => {
                if matches!(error, ReconcileError::Altered) {
                    tracing::error!(%merchant, %run, "what is kept of Stripe's answers to a run has been changed");
                }
                if let Err(error) = kept.forget().await {
                    tracing::warn!(%error, "what a repetition kept could not be removed");
                }
                Err(error)
            }
        }
    }
}

impl Working {
    /// The report that it comes to, and its hash.
    async fn report_again(
        &self,
        head: &Head,
        stop: &CancellationToken,
        watch: &(impl Fn(Seen) + Send + Sync),
    ) -> Result<(Report, String), ReconcileError> {
        let progress = self.again(head, stop, watch).await?;
        let totals = progress.comparison.totals().clone();
        let report = Report::new(self.app.clone(), head.clone(), self.run, totals);
        let hash = report.hash().await?;
        Ok((report, hash))
    }

    async fn again(
        &self,
        head: &Head,
        stop: &CancellationToken,
        watch: &(impl Fn(Seen) + Send + Sync),
    ) -> Result<Progress, ReconcileError> {
        let runs = &self.app.inner.store.reconciliations;
        let kept = runs.snapshot_hash(head.run).await;
        let (kept, _) = kept.map_err(AppError::from_sqlx)?;
        if kept != head.pinned.snapshot_hash {
            return Err(ReconcileError::Altered);
        }
        let mut progress = Progress::new(self.terms, true);
        progress.upto = Some(head.pinned.ledger_position);
        let kept = serde_json::to_string(&progress).map_err(unreadable)?;
        let mut number = 0;
        loop {
            let page = runs
                .page(head.run, number)
                .await
                .map_err(AppError::from_sqlx)?;
            let Some((page, its_own)) = page else { break };
            if !its_own {
                return Err(ReconcileError::Altered);
            }
            if stop.is_cancelled() {
                return Err(ReconcileError::Stopped);
            }
            let items: Vec<Item> = serde_json::from_str(&page).map_err(unreadable)?;
            let step = RunStep {
                items: &items,
                progress: &kept,
                ..RunStep::default()
            };
            let shown = runs.step(&self.merchant.id, self.run, None, &step).await;
            shown.map_err(AppError::from_sqlx)?;
            number += 1;
        }
        self.go_on(stop, watch).await
    }
}
