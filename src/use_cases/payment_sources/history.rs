//! What happened to a payment source, straight from the log: each event with the payment before and after it.

use aggregates::payment::{Facts, Payment};

use crate::store::{Caller, Told};
use crate::use_cases::{App, AppError};

/// One event of a payment source.
#[derive(Debug, Clone)]
pub struct Change {
    /// The event and its circumstances.
    pub told: Told,
    /// None before the first.
    pub before: Option<Facts>,
    pub after: Facts,
}

impl App {
    /// Everything that happened to the payment source, oldest first.
    ///
    /// # Errors
    /// [`AppError::NotFound`], also for another merchant's.
    pub async fn payment_source_history(
        &self,
        caller: &Caller,
        short_id: &str,
    ) -> Result<Vec<Change>, AppError> {
        let found = self.listed(&caller.merchant, short_id).await?;
        let store = &self.inner.store;
        let story = store
            .payment_story(&caller.merchant.id, found.payment)
            .await?;
        let mut payment = Payment::default();
        let mut changes = Vec::with_capacity(story.len());
        for told in story {
            let before = payment.facts().cloned();
            payment.apply(&told.event);
            if let Some(after) = payment.facts().cloned() {
                changes.push(Change {
                    told,
                    before,
                    after,
                });
            }
        }
        Ok(changes)
    }
}
