//! Why a payment says no. The domain knows nothing of HTTP: a variant's name is the caller's error code.

use crate::money::Money;
use crate::payment::state::Status;

/// A refusal of a command; nothing was recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum PaymentError {
    #[error("no such payment")]
    NoSuchPayment,
    #[error("this payment exists already")]
    AlreadyCreated,
    #[error("the amount {amount} is under the minimum of {minimum}")]
    AmountTooSmall { amount: Money, minimum: Money },
    #[error("the amount {amount} is over the maximum of {maximum}")]
    AmountTooLarge { amount: Money, maximum: Money },
    #[error("{amount} is not an amount that can be charged in its currency")]
    AmountInvalid { amount: Money },
    #[error("the payment is in {given}, but this asks for {asked}")]
    CurrencyMismatch { given: String, asked: String },
    /// WIRE's table of transitions: `action` is impossible while the payment is `status`.
    #[error("you cannot {action} this payment because it has a status of {status}")]
    UnexpectedState {
        action: &'static str,
        status: Status,
    },
    #[error("a payment method is needed before this payment can be confirmed")]
    NeedsPaymentMethod,
    #[error("asked to capture {asked}, but only {capturable} is held")]
    ExceedsHold { asked: Money, capturable: Money },
    #[error("asked to refund {asked}, but only {refundable} is left")]
    ExceedsRefundable { asked: Money, refundable: Money },
    #[error("all of this payment is refunded already")]
    AlreadyRefunded,
    #[error("this payment has taken no money that could be given back")]
    NothingCaptured,
    /// Another step of this payment is still under way: its outcome must be known first.
    #[error("another request for this payment is still under way")]
    InProgress,
    #[error("metadata: {0}")]
    Metadata(#[from] crate::payment::terms::MetadataError),
}

/// The classes that a door turns into its own answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    NotFound,
    /// The request can never be right as it stands.
    Invalid,
    /// The state forbids it now.
    Conflict,
    /// Another step is under way; the same request may succeed in a moment.
    InProgress,
}

impl PaymentError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSuchPayment => ErrorKind::NotFound,
            Self::AmountTooSmall { .. }
            | Self::AmountTooLarge { .. }
            | Self::AmountInvalid { .. }
            | Self::CurrencyMismatch { .. }
            | Self::Metadata(_) => ErrorKind::Invalid,
            Self::AlreadyCreated
            | Self::UnexpectedState { .. }
            | Self::NeedsPaymentMethod
            | Self::ExceedsHold { .. }
            | Self::ExceedsRefundable { .. }
            | Self::AlreadyRefunded
            | Self::NothingCaptured => ErrorKind::Conflict,
            Self::InProgress => ErrorKind::InProgress,
        }
    }

    /// The variant's name in snake case.
    pub fn code(&self) -> &'static str {
        self.into()
    }
}
