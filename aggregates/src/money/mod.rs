//! Money: whole minor units and a currency. Never a float, never a silent overflow.

mod currency;
#[cfg(test)]
mod tests;

pub use currency::Currency;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::fmt;

/// An amount in minor units of its currency, of either sign.
///
/// # Example
/// ```
/// use aggregates::money::{Currency, Money};
///
/// let price = Money::new(56_00, Currency::USD).times(2)?;
/// assert_eq!(price.to_string(), "112.00 USD");
/// # Ok::<(), aggregates::money::MoneyError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    minor: i64,
    currency: Currency,
}

/// Why an amount is none, or cannot be charged. What was read is left out: it may be anything, a card number included.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    #[error("not a currency that payments can be made in")]
    UnknownCurrency,
    #[error("amounts in {left} and {right} do not mix")]
    CurrencyMismatch { left: Currency, right: Currency },
    #[error("the amount is beyond what can be counted")]
    Overflow,
    #[error("not an amount of {currency}, which is written with {places} decimals")]
    NotAnAmount { currency: Currency, places: u32 },
    #[error("the amount {amount} is not positive")]
    NotPositive { amount: Money },
    #[error("the amount {amount} is over the maximum of {maximum}")]
    TooLarge { amount: Money, maximum: Money },
    #[error("amounts in this currency are multiples of {step} minor units, and {amount} is none")]
    TooFine { amount: Money, step: i64 },
}

impl Money {
    /// The largest amount of one charge, in minor units of any currency.
    pub const MAXIMUM_MINOR: i64 = 99_999_999;

    pub const fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    pub const fn zero(currency: Currency) -> Self {
        Self::new(0, currency)
    }

    /// In minor units.
    pub const fn minor(self) -> i64 {
        self.minor
    }

    pub const fn currency(self) -> Currency {
        self.currency
    }

    pub const fn is_zero(self) -> bool {
        self.minor == 0
    }

    pub const fn is_positive(self) -> bool {
        self.minor > 0
    }

    /// # Errors
    /// [`CurrencyMismatch`](MoneyError::CurrencyMismatch), [`Overflow`](MoneyError::Overflow).
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        self.counted(self.minor.checked_add(other.minor))
    }

    /// # Errors
    /// [`CurrencyMismatch`](MoneyError::CurrencyMismatch), [`Overflow`](MoneyError::Overflow).
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        self.counted(self.minor.checked_sub(other.minor))
    }

    /// # Errors
    /// [`Overflow`](MoneyError::Overflow).
    pub fn times(self, count: u32) -> Result<Self, MoneyError> {
        self.counted(self.minor.checked_mul(i64::from(count)))
    }

    /// The amount itself, where Stripe could charge it: 1 to 99,999,999 minor units, in whole steps of its currency.
    /// Its minimum charge is a matter of the merchant's settings and is not looked at.
    ///
    /// # Errors
    /// [`NotPositive`](MoneyError::NotPositive), [`TooLarge`](MoneyError::TooLarge), [`TooFine`](MoneyError::TooFine).
    pub fn chargeable(self) -> Result<Self, MoneyError> {
        let step = self.currency.step();
        if !self.is_positive() {
            Err(MoneyError::NotPositive { amount: self })
        } else if self.minor > Self::MAXIMUM_MINOR {
            Err(MoneyError::TooLarge {
                amount: self,
                maximum: Self::new(Self::MAXIMUM_MINOR, self.currency),
            })
        } else if self.minor % step != 0 {
            Err(MoneyError::TooFine { amount: self, step })
        } else {
            Ok(self)
        }
    }

    /// In major units.
    pub fn to_decimal(self) -> Decimal {
        Decimal::new(self.minor, self.currency.exponent())
    }

    /// In major units, with exactly the currency's own places: `112.00`, JPY `11200`, KWD `1.500`.
    pub fn to_decimal_string(self) -> String {
        self.to_decimal().to_string()
    }

    /// Reads major units: digits, a minus before them, and at most the currency's own places after a point.
    ///
    /// # Errors
    /// [`NotAnAmount`](MoneyError::NotAnAmount), [`Overflow`](MoneyError::Overflow).
    pub fn parse_decimal(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let places = currency.exponent();
        let refused = || MoneyError::NotAnAmount { currency, places };
        let (negative, digits) = text
            .strip_prefix('-')
            .map_or((false, text), |rest| (true, rest));
        let (whole, fraction) = digits
            .split_once('.')
            .map_or((digits, None), |(whole, part)| (whole, Some(part)));
        let given = fraction.map_or(0, str::len);
        let width = usize::try_from(places).expect("no currency has more than three decimals");
        if whole.is_empty()
            || fraction == Some("")
            || given > width
            || !(only_digits(whole) && only_digits(fraction.unwrap_or("")))
        {
            return Err(refused());
        }
        let sign = if negative { "-" } else { "" };
        let padded = format!("{sign}{whole}{:0<width$}", fraction.unwrap_or(""));
        Ok(Self::new(
            padded.parse().map_err(|_| MoneyError::Overflow)?,
            currency,
        ))
    }

    fn same_currency(self, other: Self) -> Result<(), MoneyError> {
        if self.currency == other.currency {
            Ok(())
        } else {
            Err(MoneyError::CurrencyMismatch {
                left: self.currency,
                right: other.currency,
            })
        }
    }

    fn counted(self, minor: Option<i64>) -> Result<Self, MoneyError> {
        Ok(Self::new(minor.ok_or(MoneyError::Overflow)?, self.currency))
    }
}

fn only_digits(text: &str) -> bool {
    text.bytes().all(|it| it.is_ascii_digit())
}

impl fmt::Display for Money {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} {}", self.to_decimal(), self.currency)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{self}")
    }
}
