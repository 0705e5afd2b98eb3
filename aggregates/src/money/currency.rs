//! Currencies as Stripe writes them.
//!
//! ISO 4217 says which there are; Stripe says how many decimals an amount of each is written with, and from what amount
//! on it charges. Where the two differ (`isk`, `ugx`, `mga`), Stripe's way is meant, since the minor units are Stripe's.

use crate::money::{Money, MoneyError};
use iso_currency::Currency as Iso;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A currency that a payment can be made in. As text and on the wire: three lowercase letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency(Iso);

/// Written without decimals.
const WITHOUT_DECIMALS: &[Iso] = &[
    Iso::BIF,
    Iso::CLP,
    Iso::DJF,
    Iso::GNF,
    Iso::JPY,
    Iso::KMF,
    Iso::KRW,
    Iso::MGA,
    Iso::PYG,
    Iso::RWF,
    Iso::VND,
    Iso::VUV,
    Iso::XAF,
    Iso::XOF,
    Iso::XPF,
];

/// Written with three decimals, the last of which is always 0.
const WITH_THREE: &[Iso] = &[Iso::BHD, Iso::JOD, Iso::KWD, Iso::OMR, Iso::TND];

/// Written with two decimals that are always 00, though the currency has none.
const WITH_TWO_ZEROS: &[Iso] = &[Iso::ISK, Iso::UGX];

/// The smallest charges, in minor units.
const MINIMA: &[(Iso, i64)] = &[
    (Iso::USD, 50),
    (Iso::AUD, 50),
    (Iso::BRL, 50),
    (Iso::CAD, 50),
    (Iso::CHF, 50),
    (Iso::EUR, 50),
    (Iso::INR, 50),
    (Iso::NZD, 50),
    (Iso::SGD, 50),
    (Iso::GBP, 30),
    (Iso::BGN, 1_00),
    (Iso::AED, 2_00),
    (Iso::MYR, 2_00),
    (Iso::PLN, 2_00),
    (Iso::RON, 2_00),
    (Iso::DKK, 2_50),
    (Iso::NOK, 3_00),
    (Iso::SEK, 3_00),
    (Iso::HKD, 4_00),
    (Iso::MXN, 10_00),
    (Iso::THB, 10_00),
    (Iso::CZK, 15_00),
    (Iso::JPY, 50),
    (Iso::HUF, 17_500),
];

impl Currency {
    pub const USD: Self = Self(Iso::USD);
    pub const EUR: Self = Self(Iso::EUR);
    pub const GBP: Self = Self(Iso::GBP);
    pub const SEK: Self = Self(Iso::SEK);
    pub const JPY: Self = Self(Iso::JPY);
    pub const KWD: Self = Self(Iso::KWD);
    pub const ISK: Self = Self(Iso::ISK);

    /// Reads a code in any case.
    ///
    /// # Errors
    /// [`MoneyError::UnknownCurrency`] for what ISO 4217 does not list, for funds, metals and test codes, and for the few
    /// currencies whose decimals Stripe does not define.
    pub fn parse(code: &str) -> Result<Self, MoneyError> {
        let iso = Iso::from_code(&code.to_ascii_uppercase()).ok_or(MoneyError::UnknownCurrency)?;
        let listed = [WITHOUT_DECIMALS, WITH_THREE, WITH_TWO_ZEROS]
            .iter()
            .any(|list| list.contains(&iso));
        let plain = iso.exponent() == Some(2) && !iso.is_fund() && !iso.is_special();
        if listed || plain {
            Ok(Self(iso))
        } else {
            Err(MoneyError::UnknownCurrency)
        }
    }

    /// Three lowercase letters.
    pub fn code(self) -> String {
        self.0.code().to_ascii_lowercase()
    }

    /// How many decimals Stripe writes: the power of ten between minor and major units.
    pub fn exponent(self) -> u32 {
        if WITHOUT_DECIMALS.contains(&self.0) {
            0
        } else if WITH_THREE.contains(&self.0) {
            3
        } else {
            2
        }
    }

    /// Every amount that is charged is a multiple of this many minor units.
    pub fn step(self) -> i64 {
        if WITH_THREE.contains(&self.0) {
            10
        } else if WITH_TWO_ZEROS.contains(&self.0) {
            100
        } else {
            1
        }
    }

    /// The smallest amount that Stripe charges; none where it names no minimum.
    pub fn minimum_charge(self) -> Option<Money> {
        let (_, minor) = MINIMA.iter().find(|(iso, _)| *iso == self.0)?;
        Some(Money::new(*minor, self))
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    fn from_str(code: &str) -> Result<Self, MoneyError> {
        Self::parse(code)
    }
}

impl TryFrom<String> for Currency {
    type Error = MoneyError;

    fn try_from(code: String) -> Result<Self, MoneyError> {
        Self::parse(&code)
    }
}

impl From<Currency> for String {
    fn from(it: Currency) -> Self {
        it.code()
    }
}

/// Upper case, as people write it.
impl fmt::Display for Currency {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.pad(self.0.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.0.code())
    }
}
