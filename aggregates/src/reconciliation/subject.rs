//! What is compared, and the classes of what does not agree.

use crate::money::Currency;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What the two sides are asked about: all that is known of one subject is compared at once, and subjects in their order.
///
/// As text it is the kind and the name, `payment/pi_1`; texts sort by their bytes as subjects do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subject {
    kind: Kind,
    name: String,
}

/// The kinds of subjects. The account's whole comes last: what it does not agree on is explained by what came before.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    strum::Display,
    strum::EnumString,
    strum::EnumIter,
)]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    /// A line of a bank statement that names Stripe and that no payout is known of, by its id.
    BankLine,
    /// A balance transaction that is no payment's and no payout's: by Stripe's id.
    Booking,
    /// A payment: by Stripe's intent, or by its own id where there is none.
    Payment,
    /// By Stripe's id.
    Payout,
    /// All that Stripe holds in one currency, by the currency.
    Whole,
}

/// The text is no subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a subject of a reconciliation")]
pub struct NotASubject;

impl Subject {
    pub fn new(kind: Kind, name: impl Into<String>) -> Self {
        Self {
            kind,
            name: name.into(),
        }
    }

    pub fn payment(intent: impl Into<String>) -> Self {
        Self::new(Kind::Payment, intent)
    }

    pub fn payout(payout: impl Into<String>) -> Self {
        Self::new(Kind::Payout, payout)
    }

    pub fn booking(transaction: impl Into<String>) -> Self {
        Self::new(Kind::Booking, transaction)
    }

    pub fn whole(currency: Currency) -> Self {
        Self::new(Kind::Whole, currency.code())
    }

    /// What the bank tells in all: the first of all subjects.
    pub fn bank() -> Self {
        Self::new(Kind::BankLine, "")
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Stripe's id, or what else it is called among its kind.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}/{}", self.kind, self.name)
    }
}

impl FromStr for Subject {
    type Err = NotASubject;

    fn from_str(text: &str) -> Result<Self, NotASubject> {
        let (kind, name) = text.split_once('/').ok_or(NotASubject)?;
        let kind = kind.parse().map_err(|_| NotASubject)?;
        Ok(Self::new(kind, name))
    }
}

impl TryFrom<String> for Subject {
    type Error = NotASubject;

    fn try_from(text: String) -> Result<Self, NotASubject> {
        text.parse()
    }
}

impl From<Subject> for String {
    fn from(it: Subject) -> Self {
        it.to_string()
    }
}

/// How the two sides disagree.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::EnumIter,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum BreakClass {
    /// Stripe (or the bank) has it, and it is not known here, or nobody here asked for it.
    MissingHere,
    /// It is recorded here, and Stripe does not have it.
    MissingAtStripe,
    Amount,
    Currency,
    Status,
    Fee,
    /// Stripe has it twice.
    Duplicate,
    /// Money came for an order that is named, and the order knows nothing of it.
    PaidWithoutOrder,
    /// An order counts as paid, and no money came.
    OrderWithoutPayment,
    /// It should have come by now.
    Timing,
}

/// How long ago a break was found first, in days, as a bucket.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumIter,
)]
pub enum Age {
    #[serde(rename = "0-1")]
    #[strum(serialize = "0-1")]
    UpToADay,
    #[serde(rename = "2-7")]
    #[strum(serialize = "2-7")]
    UpToAWeek,
    #[serde(rename = "8-30")]
    #[strum(serialize = "8-30")]
    UpToAMonth,
    #[serde(rename = "31-90")]
    #[strum(serialize = "31-90")]
    UpToAQuarter,
    #[serde(rename = "over-90")]
    #[strum(serialize = "over-90")]
    Older,
}

impl Age {
    /// Of what was found first at `first`, seen at `at`; both are seconds since 1970.
    pub fn between(first: i64, at: i64) -> Self {
        match days_between(first, at) {
            ..=1 => Self::UpToADay,
            2..=7 => Self::UpToAWeek,
            8..=30 => Self::UpToAMonth,
            31..=90 => Self::UpToAQuarter,
            _ => Self::Older,
        }
    }
}

/// Whole days from `first` to `at`, in seconds since 1970; none is negative.
pub fn days_between(first: i64, at: i64) -> i64 {
    at.saturating_sub(first).max(0) / 86_400
}
