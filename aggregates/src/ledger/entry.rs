//! Accounts, and entries that cannot be built unbalanced.

use crate::money::{Currency, Money};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The accounts of a merchant's ledger; each is kept per currency.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    strum::EnumIter,
    strum::EnumString,
    strum::IntoStaticStr,
)]
pub enum Account {
    /// What Stripe owes and has not booked yet; zero when all is settled.
    #[serde(rename = "assets:stripe:clearing")]
    #[strum(serialize = "assets:stripe:clearing")]
    StripeClearing,
    /// What Stripe holds for the merchant.
    #[serde(rename = "assets:stripe:balance")]
    #[strum(serialize = "assets:stripe:balance")]
    StripeBalance,
    /// What Stripe withholds while a dispute is open.
    #[serde(rename = "assets:stripe:disputed")]
    #[strum(serialize = "assets:stripe:disputed")]
    StripeDisputed,
    /// Money of customers that pays no order.
    #[serde(rename = "liabilities:customers:unapplied")]
    #[strum(serialize = "liabilities:customers:unapplied")]
    CustomersUnapplied,
    #[serde(rename = "liabilities:tax")]
    #[strum(serialize = "liabilities:tax")]
    Tax,
    #[serde(rename = "income:sales")]
    #[strum(serialize = "income:sales")]
    Sales,
    /// What was sold and given back.
    #[serde(rename = "contra:refunds")]
    #[strum(serialize = "contra:refunds")]
    Refunds,
    #[serde(rename = "expenses:stripe:fees")]
    #[strum(serialize = "expenses:stripe:fees")]
    StripeFees,
    /// Disputes that were lost.
    #[serde(rename = "expenses:disputes")]
    #[strum(serialize = "expenses:disputes")]
    Disputes,
}

impl Account {
    /// Its name, from the general to the particular.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl fmt::Display for Account {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.pad(self.as_str())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Debit,
    Credit,
}

/// One side of an entry. The amount is positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub account: Account,
    pub side: Side,
    pub amount: Money,
}

/// Lines whose debits equal their credits, in each currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Line>", into = "Vec<Line>")]
pub struct Entry {
    lines: Vec<Line>,
}

/// The lines make no entry: debits and credits differ, a line is not positive, or there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the lines do not balance")]
pub struct Unbalanced;

impl Line {
    pub const fn debit(account: Account, amount: Money) -> Self {
        Self {
            account,
            side: Side::Debit,
            amount,
        }
    }

    pub const fn credit(account: Account, amount: Money) -> Self {
        Self {
            account,
            side: Side::Credit,
            amount,
        }
    }
}

impl Entry {
    /// # Errors
    /// [`Unbalanced`].
    pub fn new(lines: Vec<Line>) -> Result<Self, Unbalanced> {
        let mut sums = BTreeMap::<Currency, i128>::new();
        for line in &lines {
            let signed = match line.side {
                Side::Debit => i128::from(line.amount.minor()),
                Side::Credit => -i128::from(line.amount.minor()),
            };
            *sums.entry(line.amount.currency()).or_default() += signed;
        }
        let positive = lines.iter().all(|line| line.amount.is_positive());
        let balanced = !lines.is_empty() && sums.values().all(|sum| *sum == 0);
        if positive && balanced {
            Ok(Self { lines })
        } else {
            Err(Unbalanced)
        }
    }

    pub fn lines(&self) -> &[Line] {
        &self.lines
    }
}

impl TryFrom<Vec<Line>> for Entry {
    type Error = Unbalanced;

    fn try_from(lines: Vec<Line>) -> Result<Self, Unbalanced> {
        Self::new(lines)
    }
}

impl From<Entry> for Vec<Line> {
    fn from(it: Entry) -> Self {
        it.lines
    }
}
