//! The report of a run: a head, a line for each thing that does not agree, a tail; always in the same order and words, so that a
//! repeated run writes the same bytes. Whoever shows it otherwise than as JSON is in `ops`.

use aggregates::ids::{MerchantId, ReconciliationId};
use aggregates::money::Money;
use aggregates::reconciliation::{
    Age, BreakClass, BreakStatus, Finding, Found, Pinned, Reconciliation, Run, Terms, Totals,
    Verdict, days_between,
};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};

use super::{AT_ONCE, ReconcileError};
use crate::use_cases::{App, AppError};

/// What a run compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Head {
    pub run: ReconciliationId,
    pub merchant: MerchantId,
    pub terms: Terms,
    pub pinned: Pinned,
}

/// Something that does not agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The break's id; none for what is no break.
    pub id: Option<ReconciliationId>,
    /// `break`, `approved` (a break that a maker and a checker have agreed on), `in_transit`, `moving`, `explained`, `tolerated`.
    pub verdict: &'static str,
    pub class: Option<BreakClass>,
    pub subject: String,
    pub part: String,
    pub ours: Option<Amount>,
    pub theirs: Option<Amount>,
    pub says: String,
    /// Seconds since 1970, as all times here.
    pub since: i64,
    pub due: Option<i64>,
    /// When a run saw it first.
    pub first_seen: i64,
    pub age_days: i64,
    pub age: Age,
}

/// An amount in minor units, with its currency in small letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Amount {
    pub minor: i64,
    pub currency: String,
    /// In major units, for people.
    pub shown: String,
}

/// What it came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tail {
    pub totals: Totals,
    /// Breaks that wait for people.
    pub open: u64,
    /// Breaks whose resolution was approved before the run.
    pub approved: u64,
    /// Open breaks by class and age.
    pub ageing: BTreeMap<BreakClass, BTreeMap<Age, u64>>,
}

/// A report, to be read line by line.
pub struct Report {
    app: App,
    head: Head,
    /// Under which its findings are kept.
    kept_as: ReconciliationId,
    totals: Totals,
    after: i64,
    tail: Tail,
}

impl From<Money> for Amount {
    fn from(it: Money) -> Self {
        Self {
            minor: it.minor(),
            currency: it.currency().code(),
            shown: it.to_decimal_string(),
        }
    }
}

impl App {
    /// The report of a run that was closed.
    ///
    /// # Errors
    /// [`ReconcileError`].
    pub async fn report(
        &self,
        merchant: &MerchantId,
        run: ReconciliationId,
    ) -> Result<Report, ReconcileError> {
        let known = self.inner.store.reconciliation(merchant, run).await;
        let known = known.map_err(AppError::from)?;
        let closed = known.state.run().filter(|it| it.merchant == *merchant);
        let closed = closed.and_then(|it| Some((it, it.closed.as_ref()?)));
        let (state, closed) = closed.ok_or(ReconcileError::NoSuchRun)?;
        let head = Head::of(run, state).ok_or(ReconcileError::NoSuchRun)?;
        Ok(Report::new(self.clone(), head, run, closed.totals.clone()))
    }
}

impl Head {
    pub(super) fn of(run: ReconciliationId, it: &Run) -> Option<Self> {
        Some(Self {
            run,
            merchant: it.merchant.clone(),
            terms: it.terms,
            pinned: it.pinned.clone()?,
        })
    }
}

impl Report {
    pub(super) fn new(app: App, head: Head, kept_as: ReconciliationId, totals: Totals) -> Self {
        let tail = Tail {
            totals: totals.clone(),
            ..Tail::default()
        };
        Self {
            app,
            head,
            kept_as,
            totals,
            after: 0,
            tail,
        }
    }

    /// The same report from its beginning.
    pub fn again(&self) -> Self {
        let (app, head) = (self.app.clone(), self.head.clone());
        Self::new(app, head, self.kept_as, self.totals.clone())
    }

    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The next lines; empty at the end.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn lines(&mut self) -> Result<Vec<Line>, AppError> {
        let store = &self.app.inner.store;
        let found = store
            .reconciliations
            .findings(self.kept_as, self.after, AT_ONCE)
            .await;
        let found = found.map_err(AppError::from_sqlx)?;
        if let Some((last, _)) = found.last() {
            self.after = *last;
        }
        let breaks: Vec<(Finding, Option<Found>)> = found
            .into_iter()
            .map(|(_, it)| {
                let found = found_of(&self.head, &it);
                (it, found)
            })
            .collect();
        let ids: Vec<ReconciliationId> = breaks
            .iter()
            .filter_map(|(_, it)| it.as_ref().map(Found::id))
            .collect();
        let upto = self.head.pinned.ledger_position;
        let known = store
            .past_reconciliations(&self.head.merchant, &ids, upto)
            .await?;
        let at = self.head.terms.at;
        let lines: Vec<Line> = breaks
            .into_iter()
            .map(|(finding, found)| line(finding, found, &known, at))
            .collect();
        lines.iter().for_each(|it| self.tail.count(it));
        Ok(lines)
    }

    /// What it came to, once all lines were read.
    pub fn tail(&self) -> &Tail {
        &self.tail
    }

    /// SHA-256 over the whole report as JSON, in hex.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn hash(&self) -> Result<String, AppError> {
        let mut report = self.again();
        let mut hash = Sha256::new_with_prefix(json_head(&report.head));
        let mut first = true;
        loop {
            let lines = report.lines().await?;
            if lines.is_empty() {
                hash.update(json_tail(&report.tail));
                return Ok(hex::encode(hash.finalize()));
            }
            for line in lines {
                hash.update(json_line(&line, first));
                first = false;
            }
        }
    }
}

impl Tail {
    fn count(&mut self, it: &Line) {
        match (it.verdict, it.class) {
            ("break", Some(class)) => {
                self.open += 1;
                *self
                    .ageing
                    .entry(class)
                    .or_default()
                    .entry(it.age)
                    .or_default() += 1;
            }
            ("approved", _) => self.approved += 1,
            _ => {}
        }
    }
}

/// The break that a finding is, if it is one.
pub(super) fn found_of(head: &Head, it: &Finding) -> Option<Found> {
    let Verdict::Break { class, due } = it.verdict else {
        return None;
    };
    Some(Found {
        merchant: head.merchant.clone(),
        run: head.run,
        class,
        subject: it.subject.clone(),
        part: it.part.clone(),
        ours: it.ours,
        theirs: it.theirs,
        says: it.says.clone(),
        since: it.since,
        due,
        seen: head.terms.at,
    })
}

/// `known` is how the breaks stood before the run was pinned.
fn line(
    it: Finding,
    found: Option<Found>,
    known: &HashMap<ReconciliationId, Reconciliation>,
    at: i64,
) -> Line {
    let id = found.as_ref().map(Found::id);
    let before = id.and_then(|id| known.get(&id)?.found());
    let before = before.filter(|it| it.status != BreakStatus::Gone);
    let approved = before.is_some_and(|it| {
        let same = found.as_ref().is_some_and(|now| now.is_like(&it.found));
        it.status == BreakStatus::Approved && same
    });
    let first_seen = before.map_or(at, |it| it.first_seen);
    let (verdict, class, due) = match it.verdict {
        Verdict::Break { class, due } if approved => ("approved", Some(class), due),
        Verdict::Break { class, due } => ("break", Some(class), due),
        Verdict::InTransit { due } => ("in_transit", None, Some(due)),
        Verdict::Moving => ("moving", None, None),
        Verdict::Explained => ("explained", None, None),
        Verdict::Tolerated => ("tolerated", None, None),
    };
    Line {
        id,
        verdict,
        class,
        subject: it.subject.to_string(),
        part: it.part,
        ours: it.ours.map(Amount::from),
        theirs: it.theirs.map(Amount::from),
        says: it.says,
        since: it.since,
        due,
        first_seen,
        age_days: days_between(first_seen, at),
        age: Age::between(first_seen, at),
    }
}

/// How the report begins as JSON.
pub fn json_head(head: &Head) -> String {
    format!("{{\"head\":{},\"lines\":[", json(head))
}

/// A line of it.
pub fn json_line(line: &Line, first: bool) -> String {
    let before = if first { "\n" } else { ",\n" };
    format!("{before}{}", json(line))
}

/// How it ends.
pub fn json_tail(tail: &Tail) -> String {
    format!("],\n\"tail\":{}}}\n", json(tail))
}

fn json(it: &impl Serialize) -> String {
    serde_json::to_string(it).expect("its keys are texts and its values are plain")
}
