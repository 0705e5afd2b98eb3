use serde::{Deserialize, Serialize};

use super::Entity;

/// The answer that is kept under an idempotency key.
#[derive(Clone, Serialize, Deserialize)]
pub struct Remembered {
    /// The key; unique on the account.
    pub key: String,
    pub created: i64,
    /// The path that the key was first used for.
    pub path: String,
    /// Of the parameters; see [`Secrets::request_fingerprint`](crate::ids::Secrets::request_fingerprint).
    pub fingerprint: String,
    pub status: u16,
    /// `req_…` of the request that was answered so; none in an older journal.
    #[serde(default)]
    pub request_id: Option<String>,
    /// JSON text, client secrets left out.
    pub body: String,
}

impl Entity for Remembered {
    fn id(&self) -> &str {
        &self.key
    }
}
