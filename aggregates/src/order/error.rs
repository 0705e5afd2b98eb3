//! Why an order says no. A variant's name is the caller's error code.

use crate::money::MoneyError;
use crate::payment::error::ErrorKind;

/// A refusal of a command; nothing was recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum OrderError {
    #[error("no such order")]
    NoSuchOrder,
    #[error("another order was placed under this reference")]
    PlacedDifferently,
    #[error("the order is paid already")]
    AlreadyPaid,
    #[error("the order is cancelled")]
    OrderIsCancelled,
    #[error("a payment of this order is under way")]
    PaymentUnderWay,
    #[error("this payment was never one of this order")]
    NotItsPayment,
    #[error("the order's lines do not add up to its total")]
    LinesDoNotAddUp,
    #[error("the order's total is not an amount that can be paid: {0}")]
    Unpayable(#[from] MoneyError),
}

impl OrderError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSuchOrder => ErrorKind::NotFound,
            Self::LinesDoNotAddUp | Self::Unpayable(_) => ErrorKind::Invalid,
            Self::PlacedDifferently
            | Self::AlreadyPaid
            | Self::OrderIsCancelled
            | Self::PaymentUnderWay
            | Self::NotItsPayment => ErrorKind::Conflict,
        }
    }

    /// The variant's name in snake case.
    pub fn code(&self) -> &'static str {
        self.into()
    }
}
