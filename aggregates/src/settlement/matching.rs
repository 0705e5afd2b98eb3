//! Which payout a line of a bank statement is: by its id where the line names one, else by amount and date.

use crate::ids::SettlementId;
use crate::money::Money;
use crate::settlement::{BankLineImported, PayoutStatus};
use chrono::{DateTime, NaiveDate};

/// How far the day a bank booked a payout may be from the day it was expected, either way.
const DAYS_APART_MAX: i64 = 5;

/// A payout whose arrival or return may still be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub id: SettlementId,
    /// Stripe's id (`po_…`).
    pub payout: String,
    pub amount: Money,
    pub status: PayoutStatus,
    /// Seconds since 1970.
    pub arrival_date: i64,
    pub arrived: bool,
    pub returned: bool,
}

/// What came of looking for a line's payout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    One(Candidate),
    /// Nothing fits.
    None,
    /// Several fit equally well: for people to decide.
    Several(Vec<String>),
}

/// The payout among `candidates` that the line is the arrival or the return of. One that the line names goes before all
/// others, and where it names one, no other is taken. Of those that fit by amount, the nearest in time alone is taken.
pub fn match_of(line: &BankLineImported, candidates: &[Candidate]) -> Match {
    let fitting = candidates.iter().filter(|it| it.fits(line));
    if let Some(named) = &line.names_payout {
        let found = fitting.clone().find(|it| it.payout == *named);
        return found.cloned().map_or(Match::None, Match::One);
    }
    let mut near: Vec<(i64, &Candidate)> = fitting
        .filter_map(|it| Some((it.days_from(line.booked_on)?, it)))
        .filter(|(days, _)| *days <= DAYS_APART_MAX)
        .collect();
    near.sort_by_key(|(days, _)| *days);
    match near.as_slice() {
        [] => Match::None,
        [(_, one)] => Match::One(Candidate::clone(one)),
        [(first, one), (second, _), ..] if first < second => Match::One(Candidate::clone(one)),
        [(first, _), ..] => {
            let equal = near.iter().take_while(|(days, _)| days == first);
            Match::Several(equal.map(|(_, it)| it.payout.clone()).collect())
        }
    }
}

impl Candidate {
    /// Whether the line's amount is what is still awaited of this payout.
    fn fits(&self, line: &BankLineImported) -> bool {
        let same = line.amount.currency() == self.amount.currency();
        let back = self.amount.minor().checked_neg() == Some(line.amount.minor());
        let arrives = line.amount == self.amount && !self.arrived;
        let returns = same && back && !self.returned && self.status == PayoutStatus::Failed;
        let left = self.status != PayoutStatus::Canceled;
        left && (arrives || returns)
    }

    fn days_from(&self, day: NaiveDate) -> Option<i64> {
        let expected = DateTime::from_timestamp(self.arrival_date, 0)?.date_naive();
        Some((day - expected).num_days().abs())
    }
}
