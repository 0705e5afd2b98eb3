//! A reconciliation's run: Stripe's answers are read and kept, drift is healed by observing Stripe, what the ledger shows is pinned,
//! the two are compared, and what does not agree becomes breaks for people.
//!
//! A run goes in steps. What a step read, showed or found is kept in one transaction with how far the run has come, so that
//! another process goes on where one was stopped, and no step holds more than a page. What is compared is fixed by a ledger
//! position and by the pages that were kept: [`App::repeat_run`] compares the same again and comes to the same report, to the byte.

mod breaks;
mod gathering;
mod healing;
mod opening;
mod reading;
mod recording;
mod repeating;
mod report;

pub use breaks::{BreakChange, BreakError};
pub use repeating::{CameTo, NoRepeat, Repeated};
pub use report::{Amount, Head, Line, Report, Tail, json_head, json_line, json_tail};

use aggregates::ids::{MerchantId, ReconciliationId};
use aggregates::metadata::Actor;
use aggregates::money::Currency;
use aggregates::reconciliation::{
    Comparison, Finding, Item, Reconciliation, ReconciliationEvent, Terms,
};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use strum::IntoEnumIterator;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{App, AppError};
use crate::gateway::ShownList;
use crate::store::{Context, Decided, Merchant, Numbered, Place, RunStep};
use gathering::Shows;

/// How long a run is a process's own after each of its steps.
const LEASE: Duration = Duration::from_secs(120);
/// How often it is looked whether a run is due.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How much of one thing a step takes up.
const AT_ONCE: i64 = 500;

/// Why a run has no report.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// Another process works on this merchant's run.
    #[error("a reconciliation of this merchant is running already")]
    Busy,
    /// It was told to stop; the run goes on when it is asked for again.
    #[error("stopped; the run goes on when it is started again")]
    Stopped,
    #[error("there is no Stripe account of the merchant's to compare with")]
    NoAccount,
    #[error("there is no such run, or it has not ended")]
    NoSuchRun,
    /// What is kept of Stripe's answers is not what the run was pinned to: nothing can be said of it any more.
    #[error(
        "what is kept of Stripe's answers is not what the run compared: somebody has changed it"
    )]
    Altered,
    #[error(transparent)]
    App(#[from] AppError),
}

/// How far a run has come, for people who watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub run: ReconciliationId,
    /// What is done just now.
    pub doing: &'static str,
    /// Of that, so far.
    pub done: u64,
}

/// Where a run stands between two steps.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Progress {
    stage: Stage,
    /// Pages of the snapshot so far.
    pages: i32,
    /// The pinned position; none before anything of ours was gathered.
    upto: Option<i64>,
    /// Payments and payouts that were healed; none before healing was tried.
    healed: Option<u64>,
    comparison: Comparison,
    /// Findings so far.
    found: i64,
    /// The last day of which the bank tells, by currency.
    bank_told: BTreeMap<Currency, NaiveDate>,
    done: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    /// What Stripe booked is recorded here first, in the usual way.
    Settling,
    List {
        list: ShownList,
        after: Option<String>,
    },
    /// What each payout is made of: the next payout is after this one.
    PayoutItems {
        after: String,
        within: Option<(String, Option<String>)>,
    },
    Balance,
    Gathering {
        shows: Shows,
        after: i64,
    },
    Comparing {
        at: Place,
    },
    Healing {
        after: i64,
    },
    Recording {
        after: i64,
    },
    Clearing {
        after: Uuid,
    },
    Closing,
}

impl Stage {
    fn doing(&self) -> &'static str {
        match self {
            Self::Settling => "recording what Stripe booked",
            Self::List { list, .. } => match list {
                ShownList::PaymentIntents => "reading payment intents",
                ShownList::Charges => "reading charges",
                ShownList::Refunds => "reading refunds",
                ShownList::Disputes => "reading disputes",
                ShownList::Payouts => "reading payouts",
                ShownList::BalanceTransactions => "reading balance transactions",
            },
            Self::PayoutItems { .. } => "reading what payouts are made of",
            Self::Balance => "reading the balance",
            Self::Gathering { .. } => "reading the ledger",
            Self::Comparing { .. } => "comparing",
            Self::Healing { .. } => "healing drift",
            Self::Recording { .. } | Self::Clearing { .. } => "recording breaks",
            Self::Closing => "closing",
        }
    }
}

/// What a step came to.
#[derive(Default)]
struct Stepped {
    page: Option<Vec<Item>>,
    /// Shown without being part of the snapshot: ours.
    items: Vec<Item>,
    findings: Vec<Finding>,
    clears_ours: bool,
    clears_findings: bool,
    /// The run has its report.
    ends: bool,
}

/// One process's work on one run.
pub(super) struct Working {
    app: App,
    merchant: Merchant,
    context: Context,
    run: ReconciliationId,
    terms: Terms,
    holder: Uuid,
    /// The run is only repeated: nothing is asked of Stripe, and nothing recorded.
    repeats: bool,
}

impl App {
    /// Runs every merchant's reconciliation each so often, until it is stopped. However many processes do the same, one works
    /// on a merchant at a time.
    pub async fn run_reconciling(&self, every: Duration, stop: CancellationToken) {
        let mut looks = tokio::time::interval(LOOK_EVERY.min(every));
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                () = stop.cancelled() => return,
            }
            let merchants = self.inner.store.merchants_to_settle().await;
            let merchants = merchants.unwrap_or_else(|error| {
                tracing::error!(%error, "the merchants cannot be read");
                Vec::new()
            });
            for merchant in merchants {
                if stop.is_cancelled() {
                    return;
                }
                self.reconcile_if_due(&merchant, every, &stop).await;
            }
        }
    }

    async fn reconcile_if_due(
        &self,
        merchant: &MerchantId,
        every: Duration,
        stop: &CancellationToken,
    ) {
        match self
            .inner
            .store
            .reconciliations
            .is_due(merchant, every)
            .await
        {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return tracing::error!(%error, "a run cannot be looked for"),
        }
        let actor = Actor {
            name: "schedule".to_owned(),
            key_id: None,
            door: "reconciling".to_owned(),
        };
        match self.reconcile(merchant, actor, 0, stop, |_| {}).await {
            Ok(run) => tracing::info!(%merchant, %run, "an account was reconciled"),
            Err(ReconcileError::Busy | ReconcileError::Stopped | ReconcileError::NoAccount) => {}
            Err(error) => tracing::error!(%merchant, %error, "an account could not be reconciled"),
        }
    }

    /// Compares the merchant's account with Stripe's; goes on with a run that was stopped. `tolerance_minor` is of a new run.
    ///
    /// # Errors
    /// [`ReconcileError`]; what was done stays, and the next call goes on from there.
    pub async fn reconcile(
        &self,
        merchant: &MerchantId,
        actor: Actor,
        tolerance_minor: i64,
        stop: &CancellationToken,
        watch: impl Fn(Seen) + Send + Sync + 'static,
    ) -> Result<ReconciliationId, ReconcileError> {
        let (app, merchant, stop) = (self.clone(), merchant.clone(), stop.clone());
        // A task of its own, as long as it takes: who asked may have gone.
        let task = self.inner.tasks.spawn(async move {
            let merchant = app.merchant(&merchant).await?;
            if !app.inner.gateway.knows(&merchant.stripe_account) {
                return Err(ReconcileError::NoAccount);
            }
            let holder = app.inner.store.ids.uuid();
            let runs = &app.inner.store.reconciliations;
            let taken = runs.take(&merchant.id, holder, LEASE).await;
            if !taken.map_err(AppError::from_sqlx)? {
                return Err(ReconcileError::Busy);
            }
            let done = app
                .work_on(&merchant, actor, tolerance_minor, holder, &stop, &watch)
                .await;
            if let Err(error) = runs.give_back(&merchant.id, holder).await {
                tracing::warn!(%error, "a run cannot be given back: it is free in a while");
            }
            done
        });
        task.await.map_err(|panic| {
            tracing::error!(%panic, "a reconciliation failed");
            AppError::Internal
        })?
    }

    async fn work_on(
        &self,
        merchant: &Merchant,
        actor: Actor,
        tolerance_minor: i64,
        holder: Uuid,
        stop: &CancellationToken,
        watch: &(impl Fn(Seen) + Send + Sync),
    ) -> Result<ReconciliationId, ReconcileError> {
        let context = self.context_of(actor);
        let store = &self.inner.store;
        let left = store.reconciliations.forget_left(&merchant.id).await;
        left.map_err(AppError::from_sqlx)?;
        let open = store.reconciliations.open_run(&merchant.id).await;
        let run = match open.map_err(AppError::from_sqlx)? {
            Some(run) => run,
            None => self.open_run(merchant, &context, tolerance_minor).await?,
        };
        let state = store
            .reconciliation(&merchant.id, run)
            .await
            .map_err(AppError::from)?;
        let terms = state
            .state
            .run()
            .map(|it| it.terms)
            .ok_or(AppError::Internal)?;
        let working = Working {
            app: self.clone(),
            merchant: merchant.clone(),
            context,
            run,
            terms,
            holder,
            repeats: false,
        };
        working.go_on(stop, watch).await?;
        crate::crash_point!("run-closed");
        let forgotten = store.reconciliations.forget_items(run).await;
        forgotten.map_err(AppError::from_sqlx)?;
        Ok(run)
    }
}

/// A run or a break, and what is to be recorded of it.
type DecidedReconciliation = Decided<ReconciliationId, Reconciliation, ReconciliationEvent>;

impl Working {
    /// Goes on step by step until the run has its report.
    async fn go_on(
        &self,
        stop: &CancellationToken,
        watch: &(impl Fn(Seen) + Send + Sync),
    ) -> Result<Progress, ReconcileError> {
        let runs = &self.app.inner.store.reconciliations;
        let kept = runs.progress(self.run).await.map_err(AppError::from_sqlx)?;
        let mut progress = match kept {
            Some(kept) => serde_json::from_str(&kept).map_err(unreadable)?,
            None => Progress::new(self.terms, self.repeats),
        };
        loop {
            watch(Seen {
                run: self.run,
                doing: progress.stage.doing(),
                done: progress.done,
            });
            if stop.is_cancelled() {
                return Err(ReconcileError::Stopped);
            }
            self.still_holds().await?;
            let stepped = self.step(&mut progress).await?;
            let ends = stepped.ends;
            self.keep(&mut progress, stepped).await?;
            crate::crash_point!("run-stepped");
            if ends {
                return Ok(progress);
            }
        }
    }

    /// Keeps the run for longer.
    ///
    /// # Errors
    /// [`ReconcileError::Busy`] where another has taken it over: this process stood still for longer than its lease.
    async fn still_holds(&self) -> Result<(), ReconcileError> {
        let runs = &self.app.inner.store.reconciliations;
        let held = self.repeats
            || runs
                .still_takes(&self.merchant.id, self.holder, LEASE)
                .await
                .map_err(AppError::from_sqlx)?;
        if held {
            Ok(())
        } else {
            Err(ReconcileError::Busy)
        }
    }

    async fn step(&self, progress: &mut Progress) -> Result<Stepped, ReconcileError> {
        progress.done += 1;
        let stepped = match progress.stage.clone() {
            Stage::Settling => {
                self.app.settle(&self.merchant.id).await?;
                let list = ShownList::PaymentIntents;
                progress.to(Stage::List { list, after: None });
                Stepped::default()
            }
            Stage::List { list, after } => self.read_list(progress, list, after).await?,
            Stage::PayoutItems { after, within } => {
                self.read_items(progress, after, within).await?
            }
            Stage::Balance => self.read_balance(progress).await?,
            Stage::Gathering { shows, after } => self.gather(progress, shows, after).await?,
            Stage::Comparing { at } => self.compare(progress, at).await?,
            Stage::Healing { after } => self.heal(progress, after).await?,
            Stage::Recording { after } => self.record(progress, after).await?,
            Stage::Clearing { after } => self.clear(progress, after).await?,
            Stage::Closing => self.close(progress).await?,
        };
        Ok(stepped)
    }

    /// Keeps what a step came to, and how far the run is by it.
    async fn keep(&self, progress: &mut Progress, it: Stepped) -> Result<(), ReconcileError> {
        let page = it.page.as_ref().map(serde_json::to_string).transpose();
        let page = page.map_err(unreadable)?.map(|body| (progress.pages, body));
        if page.is_some() {
            progress.pages += 1;
        }
        let mut findings: Vec<Numbered> = Vec::with_capacity(it.findings.len());
        for finding in it.findings {
            progress.found += 1;
            findings.push((progress.found, finding));
        }
        let items: Vec<Item> = it.page.into_iter().flatten().chain(it.items).collect();
        let kept = serde_json::to_string(progress).map_err(unreadable)?;
        let step = RunStep {
            clears_ours: it.clears_ours,
            clears_findings: it.clears_findings,
            page,
            items: &items,
            findings: &findings,
            progress: &kept,
        };
        let runs = &self.app.inner.store.reconciliations;
        let holder = (!self.repeats).then_some(self.holder);
        let kept = runs.step(&self.merchant.id, self.run, holder, &step).await;
        match kept.map_err(AppError::from_sqlx)? {
            true => Ok(()),
            // It stood still for longer than its lease.
            false => Err(ReconcileError::Busy),
        }
    }

    /// Compares whole subjects, as many as are read at once.
    async fn compare(&self, progress: &mut Progress, at: Place) -> Result<Stepped, AppError> {
        let runs = &self.app.inner.store.reconciliations;
        let (mut at, mut findings) = (at, Vec::new());
        let mut subject: Option<String> = None;
        let mut taken = 0;
        loop {
            let items = runs
                .items(self.run, &at, AT_ONCE)
                .await
                .map_err(AppError::from_sqlx)?;
            let Some((last, _)) = items.last().cloned() else {
                findings.extend(progress.comparison.end_subject());
                progress.to(self.after_comparing(progress, &findings).await?);
                return Ok(Stepped {
                    findings,
                    ..Stepped::default()
                });
            };
            for (place, item) in items {
                let begins = subject.as_ref() != Some(&place.0);
                // Between two subjects the comparison can be kept.
                if begins && taken >= AT_ONCE {
                    findings.extend(progress.comparison.end_subject());
                    progress.stage = Stage::Comparing { at };
                    return Ok(Stepped {
                        findings,
                        ..Stepped::default()
                    });
                }
                subject = Some(place.0.clone());
                taken += 1;
                at = place;
                findings.extend(progress.comparison.take(item));
            }
            at = last;
        }
    }
}

impl Progress {
    fn new(terms: Terms, repeats: bool) -> Self {
        let first = ShownList::iter().next();
        let stage = match first.filter(|_| repeats) {
            Some(_) => Stage::Gathering {
                shows: Shows::Payments,
                after: 0,
            },
            None => Stage::Settling,
        };
        Self {
            stage,
            pages: 0,
            upto: None,
            healed: None,
            comparison: Comparison::new(terms),
            found: 0,
            bank_told: BTreeMap::new(),
            done: 0,
        }
    }

    fn to(&mut self, stage: Stage) {
        self.done = 0;
        self.stage = stage;
    }
}

impl AppError {
    fn from_sqlx(error: sqlx::Error) -> Self {
        Self::from(std::sync::Arc::new(error))
    }
}

fn not_recorded(error: aggregates::reconciliation::ReconciliationError) -> AppError {
    tracing::error!(%error, "a run cannot be recorded");
    AppError::Internal
}

fn unreadable(error: serde_json::Error) -> AppError {
    tracing::error!(%error, "what a run kept cannot be read or written");
    AppError::Internal
}
