//! A run that ended, compared again: from the pages that were kept and from the events up to the pinned position.

use aggregates::ids::{MerchantId, ReconciliationId};
use aggregates::metadata::Actor;
use aggregates::reconciliation::Item;
use tokio_util::sync::CancellationToken;

use super::report::{Head, Report};
use super::{Progress, ReconcileError, Seen, Working, unreadable};
use crate::store::RunStep;
use crate::use_cases::{App, AppError};

/// A run compared again.
pub struct Repeated {
    pub report: Report,
    /// The hash of the report that was made now.
    pub report_hash: String,
    /// The hash that the run was closed with.
    pub expected: String,
    kept: Kept,
}

/// What a repetition keeps until it is forgotten.
pub struct Kept {
    app: App,
    kept_as: ReconciliationId,
}

impl Repeated {
    /// Whether it came to the same, to the byte.
    pub fn is_the_same(&self) -> bool {
        self.report_hash == self.expected
    }

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
    /// Compares again what a run compared.
    ///
    /// # Errors
    /// [`ReconcileError`]; [`AppError::Unavailable`] where a page is not what was kept.
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
        let done = working.again(&head, stop, &watch).await;
        let kept_as = working.run;
        match done {
            Ok(progress) => {
                let totals = progress.comparison.totals().clone();
                let report = |totals| Report::new(self.clone(), head.clone(), kept_as, totals);
                Ok(Repeated {
                    report_hash: report(totals.clone()).hash().await?,
                    report: report(totals),
                    expected: closed.report_hash.clone(),
                    kept: Kept {
                        app: self.clone(),
                        kept_as,
                    },
                })
            }
            Err(error) => {
                if let Err(error) = store.reconciliations.forget(kept_as).await {
                    tracing::warn!(%error, "what a repetition kept could not be removed");
                }
                Err(error)
            }
        }
    }
}

impl Working {
    async fn again(
        &self,
        head: &Head,
        stop: &CancellationToken,
        watch: &(impl Fn(Seen) + Send + Sync),
    ) -> Result<Progress, ReconcileError> {
        let runs = &self.app.inner.store.reconciliations;
        let mut progress = Progress::new(self.terms, true);
        progress.upto = Some(head.pinned.ledger_position);
        let kept = serde_json::to_string(&progress).map_err(unreadable)?;
        let mut number = 0;
        loop {
            let page = runs
                .page(head.run, number)
                .await
                .map_err(AppError::from_sqlx)?;
            let Some(page) = page else { break };
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
