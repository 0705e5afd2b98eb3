//! What an audit found.

use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// How many violations of one invariant are told in full; the rest is counted.
pub(crate) const TOLD_MAX: usize = 200;

/// A promise of the design.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[allow(missing_docs, reason = "`says` has each in words")]
pub enum Invariant {
    I1,
    I2,
    I3,
    I4,
    I5,
    I6,
    I7,
    I8,
    I10,
    I11,
    I12,
}

impl Invariant {
    /// All that are checked, in their order. (I9, the Merkle tree, has no tree to check yet.)
    pub const ALL: [Self; 11] = [
        Self::I1,
        Self::I2,
        Self::I3,
        Self::I4,
        Self::I5,
        Self::I6,
        Self::I7,
        Self::I8,
        Self::I10,
        Self::I11,
        Self::I12,
    ];

    /// The promise, in words.
    pub fn says(self) -> &'static str {
        match self {
            Self::I1 => "acknowledged means durable",
            Self::I2 => "same key, same answer",
            Self::I3 => "no effect at Stripe without an earlier intention; every intention ends",
            Self::I4 => "each Stripe object belongs to exactly one aggregate",
            Self::I5 => "debits equal credits",
            Self::I6 => "never more refunded than captured, nor captured than authorised",
            Self::I7 => "versions and positions gapless, no event changed, no projection skips",
            Self::I8 => "rebuilt equals live",
            Self::I10 => "no merchant touches another's",
            Self::I11 => "no card number and no secret anywhere",
            Self::I12 => "nothing is pending but what is parked",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{self:?}")
    }
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The promise that is broken.
    pub invariant: Invariant,
    /// Whose it is, where it is a merchant's.
    pub merchant: Option<String>,
    /// The stream (`payment acme/…`), the table or the file.
    pub at: Option<String>,
    /// The position in the log, where it is an event.
    pub position: Option<i64>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}", self.invariant)?;
        if let Some(merchant) = &self.merchant {
            write!(to, " {merchant}")?;
        }
        if let Some(at) = &self.at {
            write!(to, " {at}")?;
        }
        if let Some(position) = self.position {
            write!(to, " @{position}")?;
        }
        write!(to, ": {}", self.what)
    }
}

/// What was looked at for one promise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// How much of what: `events`, `claims`.
    pub counted: BTreeMap<&'static str, u64>,
    /// How many violations there are, those that are not told among them.
    pub violations: u64,
    /// What was not looked at, and why.
    pub left_out: Vec<String>,
}

/// The whole of what an audit found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Events in the log, up to the head of the snapshot.
    pub events: u64,
    /// By promise.
    pub checked: BTreeMap<Invariant, Checked>,
    /// Told in full, at most some hundreds of each promise.
    pub violations: Vec<Violation>,
}

impl Report {
    pub(crate) fn new() -> Self {
        let checked = Invariant::ALL.map(|it| (it, Checked::default()));
        Self {
            checked: checked.into(),
            ..Self::default()
        }
    }

    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.checked.values().all(|it| it.violations == 0)
    }

    /// The promises that are broken.
    pub fn broken(&self) -> Vec<Invariant> {
        let broken = self.checked.iter().filter(|(_, it)| it.violations > 0);
        broken.map(|(invariant, _)| *invariant).collect()
    }

    pub(crate) fn add(&mut self, violation: Violation) {
        let checked = self.checked.entry(violation.invariant).or_default();
        checked.violations += 1;
        let told = usize::try_from(checked.violations).is_ok_and(|it| it <= TOLD_MAX);
        if told {
            self.violations.push(violation);
        }
    }

    pub(crate) fn count(&mut self, invariant: Invariant, what: &'static str, many: u64) {
        let counted = &mut self.checked.entry(invariant).or_default().counted;
        *counted.entry(what).or_default() += many;
    }

    pub(crate) fn leave_out(&mut self, invariant: Invariant, why: &str) {
        let checked = self.checked.entry(invariant).or_default();
        checked.left_out.push(why.to_owned());
    }
}
