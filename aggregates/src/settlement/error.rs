//! Why a settlement says no.

use crate::money::Money;

/// A refusal of a command; nothing was recorded. What Stripe says is never refused so: what contradicts it is recorded as
/// refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettlementError {
    /// The command is about another thing than this is.
    #[error("this is {known}, not {told}")]
    Another { known: String, told: String },
    #[error(
        "the bank's line of {line} is neither the arrival nor the return of a payout of {payout}"
    )]
    AmountDiffers { line: Money, payout: Money },
    #[error("it is matched with {with} already")]
    MatchedAlready { with: String },
    #[error("the line is matched with no payout")]
    NotMatched,
    #[error("the bank sends back only what has failed, and the payout is {status}")]
    NotReturned { status: String },
}
