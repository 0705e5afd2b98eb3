//! A month of the calendar, in UTC: the period that books are closed by.

use chrono::{DateTime, Datelike, Months, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The last year of which there are periods.
const YEAR_MAX: i32 = 9999;

/// A month, written `2026-11`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Month {
    first: NaiveDate,
}

/// The text is no month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a month such as 2026-11")]
pub struct NotAMonth;

impl Month {
    /// The month that a moment is in.
    pub fn of(moment: DateTime<Utc>) -> Self {
        let day = moment.date_naive();
        Self {
            first: day.with_day(1).expect("every month has a first day"),
        }
    }

    /// The month after it; itself at the end of time.
    pub fn next(self) -> Self {
        let first = self.first.checked_add_months(Months::new(1));
        Self {
            first: first.unwrap_or(self.first),
        }
    }

    /// Whether all of it has passed by then.
    pub fn has_ended_by(self, moment: DateTime<Utc>) -> bool {
        self < Self::of(moment)
    }
}

impl fmt::Display for Month {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{:04}-{:02}", self.first.year(), self.first.month())
    }
}

impl FromStr for Month {
    type Err = NotAMonth;

    fn from_str(text: &str) -> Result<Self, NotAMonth> {
        let (year, month) = text.split_once('-').ok_or(NotAMonth)?;
        let year: i32 = year.parse().map_err(|_| NotAMonth)?;
        let month: u32 = month.parse().map_err(|_| NotAMonth)?;
        let first = NaiveDate::from_ymd_opt(year, month, 1).ok_or(NotAMonth)?;
        let it = Self { first };
        // One spelling for each.
        if (1..=YEAR_MAX).contains(&year) && it.to_string() == text {
            Ok(it)
        } else {
            Err(NotAMonth)
        }
    }
}

impl TryFrom<String> for Month {
    type Error = NotAMonth;

    fn try_from(text: String) -> Result<Self, NotAMonth> {
        text.parse()
    }
}

impl From<Month> for String {
    fn from(it: Month) -> Self {
        it.to_string()
    }
}
