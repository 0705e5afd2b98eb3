//! What may be asked of a run, or of a break.

use crate::ids::{MerchantId, ReconciliationId};
use crate::reconciliation::event::{Closed, Found, Pinned, Terms};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReconciliationCommand {
    /// Begin a run.
    Open {
        merchant: MerchantId,
        terms: Terms,
    },
    /// Fix what the run compares.
    Pin(Pinned),
    Close(Box<Closed>),
    /// End a run that cannot be finished.
    Abandon {
        because: String,
    },

    /// A run found the break.
    Find(Box<Found>),
    /// A run looked, and the two sides agree by now.
    NotFound {
        run: ReconciliationId,
    },
    Assign {
        owner: String,
    },
    /// `by` names the person by the key that was used.
    Resolve {
        reason: String,
        by: String,
    },
    Approve {
        by: String,
    },
    Refuse {
        by: String,
        because: String,
    },
}
