//! How a run ends: its breaks are recorded, those that are no more are gone, and the report is sealed by its hash.

use aggregates::ids::ReconciliationId;
use aggregates::reconciliation::{Closed, Finding, Pinned, ReconciliationCommand};
use uuid::Uuid;

use super::report::{Head, Report, found_of};
use super::{
    DecidedReconciliation, Progress, ReconcileError, Stage, Stepped, Working, not_recorded,
};
use crate::store::{Commit, Decided, Trouble};
use crate::use_cases::AppError;

/// How many breaks are recorded by one append.
const RECORDED_AT_ONCE: i64 = 100;

impl Working {
    /// Pins the run, at the first step, and records its breaks.
    pub(super) async fn record(
        &self,
        progress: &mut Progress,
        after: i64,
    ) -> Result<Stepped, ReconcileError> {
        if self.repeats {
            return Ok(Stepped {
                ends: true,
                ..Stepped::default()
            });
        }
        if after == 0 {
            self.pin(progress).await?;
        }
        let runs = &self.app.inner.store.reconciliations;
        let found = runs.findings(self.run, after, RECORDED_AT_ONCE).await;
        let found = found.map_err(AppError::from_sqlx)?;
        let Some((last, _)) = found.last() else {
            progress.to(Stage::Clearing { after: Uuid::nil() });
            return Ok(Stepped::default());
        };
        progress.stage = Stage::Recording { after: *last };
        let head = self.head().await?;
        let found: Vec<Finding> = found.into_iter().map(|(_, it)| it).collect();
        let commands = found.iter().filter_map(|it| found_of(&head, it)).map(|it| {
            let id = it.id();
            (id, ReconciliationCommand::Find(Box::new(it)))
        });
        self.commit(commands.collect()).await?;
        Ok(Stepped::default())
    }

    /// Breaks of earlier runs of which this one says nothing are gone.
    pub(super) async fn clear(
        &self,
        progress: &mut Progress,
        after: Uuid,
    ) -> Result<Stepped, ReconcileError> {
        let runs = &self.app.inner.store.reconciliations;
        let gone = runs.not_found_again(&self.merchant.id, self.run, after, RECORDED_AT_ONCE);
        let gone = gone.await.map_err(AppError::from_sqlx)?;
        let run = self.run;
        let Some(last) = gone.last() else {
            progress.to(Stage::Closing);
            return Ok(Stepped::default());
        };
        progress.stage = Stage::Clearing { after: last.uuid() };
        let commands = gone
            .iter()
            .map(|id| (*id, ReconciliationCommand::NotFound { run }));
        self.commit(commands.collect()).await?;
        Ok(Stepped::default())
    }

    pub(super) async fn close(&self, progress: &mut Progress) -> Result<Stepped, ReconcileError> {
        let totals = progress.comparison.totals().clone();
        let report = Report::new(
            self.app.clone(),
            self.head().await?,
            self.run,
            totals.clone(),
        );
        let closed = Closed {
            totals,
            report_hash: report.hash().await?,
        };
        let known = self.state().await?;
        if known.closed.is_none() {
            let command = ReconciliationCommand::Close(Box::new(closed));
            self.commit(vec![(self.run, command)]).await?;
        }
        Ok(Stepped {
            ends: true,
            ..Stepped::default()
        })
    }

    async fn pin(&self, progress: &Progress) -> Result<(), ReconcileError> {
        if self.state().await?.pinned.is_some() {
            return Ok(());
        }
        let runs = &self.app.inner.store.reconciliations;
        let hash = runs.snapshot_hash(self.run).await;
        let (snapshot_hash, pages) = hash.map_err(AppError::from_sqlx)?;
        let command = ReconciliationCommand::Pin(Pinned {
            ledger_position: progress.upto.unwrap_or(0),
            snapshot_hash,
            pages,
            healed: progress.healed.unwrap_or(0),
        });
        self.commit(vec![(self.run, command)]).await
    }

    pub(super) async fn head(&self) -> Result<Head, AppError> {
        Head::of(self.run, &self.state().await?).ok_or(AppError::Internal)
    }

    async fn state(&self) -> Result<aggregates::reconciliation::Run, AppError> {
        let store = &self.app.inner.store;
        let it = store.reconciliation(&self.merchant.id, self.run).await?;
        it.state.run().cloned().ok_or(AppError::Internal)
    }

    /// Records what the commands lead to, in one append. Whatever was recorded by an earlier attempt is no news.
    ///
    /// Whether the run is still this process's is asked after what is decided on was read: whoever takes it over records the same in
    /// the same streams, so that this append, however late it comes, meets a conflict, and the question is asked again.
    async fn commit(
        &self,
        commands: Vec<(ReconciliationId, ReconciliationCommand)>,
    ) -> Result<(), ReconcileError> {
        let store = &self.app.inner.store;
        loop {
            let reconciliations = self.decided(&commands).await?;
            if reconciliations.is_empty() {
                return Ok(());
            }
            let commit = Commit {
                reconciliations,
                ..Commit::default()
            };
            self.still_holds().await?;
            crate::crash_point!("run-decided");
            match store.commit(&self.merchant.id, &self.context, commit).await {
                Ok(_) => return Ok(()),
                Err(Trouble::Conflict) => {}
                Err(trouble) => return Err(AppError::from(trouble).into()),
            }
        }
    }

    async fn decided(
        &self,
        commands: &[(ReconciliationId, ReconciliationCommand)],
    ) -> Result<Vec<DecidedReconciliation>, AppError> {
        let mut decided = Vec::new();
        for (id, command) in commands {
            let store = &self.app.inner.store;
            let before = store.reconciliation(&self.merchant.id, *id).await?;
            let events = before.state.decide(command.clone());
            let events = events.map_err(not_recorded)?;
            if !events.is_empty() {
                let id = *id;
                decided.push(Decided { id, before, events });
            }
        }
        Ok(decided)
    }
}
