//! Payments as the payment sources of orders: whichever door one was begun at, the order's system sees it here, describes it, has
//! it brought up to date, or throws it away.

mod changing;
mod history;
mod making;
mod reading;
mod turns;

pub use changing::{ChangeSource, Removal};
pub use history::Change as SourceChange;
pub use making::{CreateSource, GivenIntent};
pub use reading::{AtStripe, Instrument, OrderView, SourcePage, StripeView};

use aggregates::ids::{OrderId, PaymentId};
use aggregates::order::Facts as OrderFacts;
use aggregates::payment::Facts;
use aggregates::payment::terms::{CaptureMethod, Parameters};
use chrono::{DateTime, Utc};

use super::AppError;

/// A payment of an order, as it is shown.
#[derive(Debug, Clone)]
pub struct PaymentSource {
    pub id: PaymentId,
    pub facts: Facts,
    pub order_id: OrderId,
    pub order: OrderFacts,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// Where the receipt goes.
    pub email: Option<String>,
    /// Where Stripe was asked just now.
    pub at_stripe: Option<AtStripe>,
}

impl PaymentSource {
    /// Whether the intent asks for another amount than the order comes to.
    pub fn is_mismatched(&self) -> bool {
        self.order.total() != self.facts.amount
    }
}

/// What is asked of Stripe for a payment source beside its amount.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StripeOptions {
    pub customer: Option<String>,
    pub payment_method: Option<String>,
    pub description: Option<String>,
    /// Only when the intent is made.
    pub capture_method: Option<CaptureMethod>,
    /// What Stripe alone judges.
    pub parameters: Parameters,
}

/// Why a payment source is not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error(transparent)]
    App(#[from] AppError),
    /// What is given of the intent does not fit; `field` is of the caller's request.
    #[error("{because}")]
    Unfit {
        field: &'static str,
        because: &'static str,
    },
}

macro_rules! by_way_of_app_error {
    ($($from:ty),*) => {$(
        impl From<$from> for SourceError {
            fn from(error: $from) -> Self {
                Self::App(error.into())
            }
        }
    )*};
}
by_way_of_app_error!(
    crate::store::Trouble,
    crate::store::VaultError,
    aggregates::order::OrderError,
    aggregates::payment::PaymentError
);
