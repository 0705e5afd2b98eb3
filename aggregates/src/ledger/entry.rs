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
    /// What Stripe holds back in case of later losses.
    #[serde(rename = "assets:stripe:reserve")]
    #[strum(serialize = "assets:stripe:reserve")]
    StripeReserve,
    /// Paid out by Stripe, not seen at the bank yet.
    #[serde(rename = "assets:bank:in_transit")]
    #[strum(serialize = "assets:bank:in_transit")]
    BankInTransit,
    #[serde(rename = "assets:bank")]
    #[strum(serialize = "assets:bank")]
    Bank,
    /// What was given in one currency for what was got in another: each side is kept in its own.
    #[serde(rename = "assets:exchange")]
    #[strum(serialize = "assets:exchange")]
    Exchange,
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
    /// What Stripe moved and nothing here can explain: for people to look at.
    #[serde(rename = "suspense")]
    #[strum(serialize = "suspense")]
    Suspense,
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

impl Line {
    /// What `minor` of `currency` adds to the account: a debit where it is positive, a credit of as much where it is
    /// negative. None for zero, and for what cannot be counted.
    pub fn signed(account: Account, minor: i64, currency: Currency) -> Option<Self> {
        let amount = Money::new(minor.checked_abs()?, currency);
        match minor.signum() {
            1 => Some(Self::debit(account, amount)),
            -1 => Some(Self::credit(account, amount)),
            _ => None,
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
