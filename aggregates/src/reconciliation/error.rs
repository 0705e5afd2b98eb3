//! Why a reconciliation says no.

/// A refusal of a command; nothing was recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum ReconciliationError {
    #[error("there is no such reconciliation")]
    NoSuchRun,
    #[error("there is no such break")]
    NoSuchBreak,
    #[error("the run is there already")]
    AlreadyOpen,
    #[error("what the run compares is fixed already")]
    AlreadyPinned,
    #[error("what the run compares is not fixed yet")]
    NotPinned,
    #[error("the run has ended")]
    RunEnded,
    #[error("the break is {status}")]
    NotPossible { status: String },
    /// Maker is never checker.
    #[error("who resolved it cannot approve or refuse it: that is for another person")]
    SamePerson,
}
