//! What the merchant's own books call our accounts: a chart of theirs beside ours, for what is exported to them.

use crate::ledger::Account;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// In characters.
const CODE_LENGTH_MAX: usize = 40;
const NAME_LENGTH_MAX: usize = 200;

/// An account of the merchant's own chart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChartAccount {
    code: String,
    name: String,
}

/// What an account of the merchant's chart cannot be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAChartAccount {
    #[error("a code is 1 to {CODE_LENGTH_MAX} characters, none of them a control character")]
    Code,
    #[error("a name is 1 to {NAME_LENGTH_MAX} characters, none of them a control character")]
    Name,
}

/// Our accounts that have one of theirs.
pub type Chart = BTreeMap<Account, ChartAccount>;

impl ChartAccount {
    /// `code`: at most 40 characters; `name`: at most 200. Space around them is no part of them.
    ///
    /// # Errors
    /// [`NotAChartAccount`].
    pub fn new(code: &str, name: &str) -> Result<Self, NotAChartAccount> {
        let read = |text: &str, max| {
            let text = text.trim();
            let fits = (1..=max).contains(&text.chars().count());
            (fits && !text.chars().any(char::is_control)).then(|| text.to_owned())
        };
        Ok(Self {
            code: read(code, CODE_LENGTH_MAX).ok_or(NotAChartAccount::Code)?,
            name: read(name, NAME_LENGTH_MAX).ok_or(NotAChartAccount::Name)?,
        })
    }

    /// What it is numbered, such as `1360`.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }
}
