//! A run, or a break, as its events leave it.

use crate::ids::{MerchantId, ReconciliationId};
use crate::reconciliation::event::{Closed, Found, Pinned, ReconciliationEvent, Terms};
use serde::{Deserialize, Serialize};

/// Nothing yet, a run, or a break.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconciliation {
    item: Option<Item>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Item {
    Run(Box<Run>),
    Break(Box<Break>),
}

/// What is known of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub merchant: MerchantId,
    pub terms: Terms,
    pub status: RunStatus,
    pub pinned: Option<Pinned>,
    pub closed: Option<Closed>,
    /// Why it could not be finished.
    pub abandoned: Option<String>,
}

#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::EnumIter,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum RunStatus {
    /// Stripe's answers are read.
    Reading,
    /// They are compared.
    Comparing,
    Closed,
    Abandoned,
}

/// What is known of a break.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Break {
    /// As it was found last.
    pub found: Found,
    /// When a run saw it first, seconds since 1970; anew where it had been gone.
    pub first_seen: i64,
    pub status: BreakStatus,
    pub owner: Option<String>,
    /// The reason, and who gave it.
    pub resolution: Option<Resolution>,
    /// The run that found the two sides to agree.
    pub gone: Option<ReconciliationId>,
}

/// Why it is as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    pub reason: String,
    pub by: String,
    pub approved_by: Option<String>,
}

#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::EnumIter,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum BreakStatus {
    Open,
    /// A reason was given, and waits for another person.
    Resolved,
    Approved,
    /// The two sides agree by now.
    Gone,
}

impl Reconciliation {
    /// The run, where it is one.
    pub fn run(&self) -> Option<&Run> {
        match &self.item {
            Some(Item::Run(it)) => Some(it),
            _ => None,
        }
    }

    /// The break, where it is one.
    pub fn found(&self) -> Option<&Break> {
        match &self.item {
            Some(Item::Break(it)) => Some(it),
            _ => None,
        }
    }

    /// Whose it is; none before anything is known.
    pub fn merchant(&self) -> Option<&MerchantId> {
        Some(match self.item.as_ref()? {
            Item::Run(it) => &it.merchant,
            Item::Break(it) => &it.found.merchant,
        })
    }

    /// Takes a fact. Never fails; one about a thing that was never begun leaves no trace.
    pub fn apply(&mut self, event: &ReconciliationEvent) {
        match (&mut self.item, event) {
            (None, event) => self.item = begun(event),
            (Some(Item::Run(it)), event) => it.apply(event),
            (Some(Item::Break(it)), event) => it.apply(event),
        }
    }
}

fn begun(event: &ReconciliationEvent) -> Option<Item> {
    match event {
        ReconciliationEvent::RunOpened { merchant, terms } => Some(Item::Run(Box::new(Run {
            merchant: merchant.clone(),
            terms: *terms,
            status: RunStatus::Reading,
            pinned: None,
            closed: None,
            abandoned: None,
        }))),
        ReconciliationEvent::BreakFound(found) => Some(Item::Break(Box::new(Break {
            found: Found::clone(found),
            first_seen: found.seen,
            status: BreakStatus::Open,
            owner: None,
            resolution: None,
            gone: None,
        }))),
        _ => None,
    }
}

impl Run {
    fn apply(&mut self, event: &ReconciliationEvent) {
        match event {
            ReconciliationEvent::RunPinned(pinned) => {
                self.status = RunStatus::Comparing;
                self.pinned = Some(pinned.clone());
            }
            ReconciliationEvent::RunClosed(closed) => {
                self.status = RunStatus::Closed;
                self.closed = Some(Closed::clone(closed));
            }
            ReconciliationEvent::RunAbandoned { because } => {
                self.status = RunStatus::Abandoned;
                self.abandoned = Some(because.clone());
            }
            _ => {}
        }
    }

    /// Whether nothing follows.
    pub fn has_ended(&self) -> bool {
        matches!(self.status, RunStatus::Closed | RunStatus::Abandoned)
    }
}

impl Break {
    fn apply(&mut self, event: &ReconciliationEvent) {
        use ReconciliationEvent as E;
        match event {
            E::BreakFound(found) => {
                self.first_seen = found.seen;
                self.gone = None;
                self.reopen(found);
            }
            E::BreakChanged(found) => self.reopen(found),
            E::BreakGone { run } => {
                self.gone = Some(*run);
                self.status = BreakStatus::Gone;
            }
            E::BreakAssigned { owner } => self.owner = Some(owner.clone()),
            E::BreakResolved { reason, by } => {
                self.status = BreakStatus::Resolved;
                self.resolution = Some(Resolution {
                    reason: reason.clone(),
                    by: by.clone(),
                    approved_by: None,
                });
            }
            E::ResolutionApproved { by } => {
                self.status = BreakStatus::Approved;
                if let Some(resolution) = &mut self.resolution {
                    resolution.approved_by = Some(by.clone());
                }
            }
            E::ResolutionRefused { .. } => {
                self.status = BreakStatus::Open;
                self.resolution = None;
            }
            E::RunOpened { .. } | E::RunPinned(_) | E::RunClosed(_) | E::RunAbandoned { .. } => {}
        }
    }

    fn reopen(&mut self, found: &Found) {
        self.found = found.clone();
        self.status = BreakStatus::Open;
        self.resolution = None;
    }
}
