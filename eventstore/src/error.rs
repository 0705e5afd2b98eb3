//! Why reading or opening the log failed.

/// An error outside of append. Nothing was written by whoever gets it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or could not be reached.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// What is stored is not what this crate writes.
    #[error("the log is corrupt: {0}")]
    Corrupt(String),
    /// A declaration or an argument is wrong.
    #[error("{0}")]
    Invalid(String),
}

/// Any error of somebody else's code that the store calls.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
