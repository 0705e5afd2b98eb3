//! Why an offer says no. A variant's name is the caller's error code.

use crate::money::MoneyError;
use crate::payment::error::ErrorKind;

/// A refusal; nothing was recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum OfferError {
    #[error("no such offer")]
    NoSuchOffer,
    #[error("another offer was published under this number")]
    PublishedDifferently,
    #[error("this offer has expired")]
    OfferExpired,
    #[error("this offer was withdrawn")]
    OfferIsWithdrawn,
    #[error("this offer has no group '{group}'")]
    UnknownGroup { group: String },
    #[error("this offer has no product '{code}'")]
    UnknownCode { code: String },
    #[error("the group '{group}' has no product '{code}'")]
    UnknownCodeInGroup { group: String, code: String },
    #[error("the product '{code}' is in several groups: name the group too")]
    AmbiguousCode { code: String },
    #[error("no product is selected")]
    NothingSelected,
    #[error("an offer has at least one product in every group")]
    NothingOffered,
    #[error(
        "names and codes have 1 to {} characters",
        super::Published::NAME_LENGTH_MAX
    )]
    UnusableName,
    #[error("'{name}' is there twice")]
    Repeated { name: String },
    #[error("a product's price is not negative")]
    NegativePrice,
    #[error("a price cannot be used: {0}")]
    Unpriceable(#[from] MoneyError),
}

impl OfferError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSuchOffer => ErrorKind::NotFound,
            Self::PublishedDifferently | Self::OfferExpired | Self::OfferIsWithdrawn => {
                ErrorKind::Conflict
            }
            Self::UnknownGroup { .. }
            | Self::UnknownCode { .. }
            | Self::UnknownCodeInGroup { .. }
            | Self::AmbiguousCode { .. }
            | Self::NothingSelected
            | Self::NothingOffered
            | Self::UnusableName
            | Self::Repeated { .. }
            | Self::NegativePrice
            | Self::Unpriceable(_) => ErrorKind::Invalid,
        }
    }

    /// The variant's name in snake case.
    pub fn code(&self) -> &'static str {
        self.into()
    }
}
