//! Why a settlement says no.

/// A refusal of a command; nothing was recorded. What Stripe says of the payout itself is never refused so: what contradicts
/// it is recorded as refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettlementError {
    #[error("this is payout {known}, not {told}")]
    AnotherPayout { known: String, told: String },
}
