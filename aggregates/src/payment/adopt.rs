//! An intent that was made elsewhere comes into the ledger: once, as it stands, and from then on like any other.

use crate::payment::command::{Adopt, Observation, Said};
use crate::payment::error::PaymentError;
use crate::payment::event::{Adopted, OpenStatus, PaymentEvent};
use crate::payment::state::{Facts, Payment};

impl Adopt {
    /// The adoption, and what the snapshot shows to have happened before it.
    pub(super) fn events(self) -> Vec<PaymentEvent> {
        let adopted = PaymentEvent::Adopted(Box::new(self.adopted()));
        let mut payment = Payment::default();
        payment.apply(&adopted);
        let observation = Observation {
            intention: None,
            current: true,
            said: Said::Intent(Box::new(self.seen)),
        };
        let facts = payment.facts().expect("an adoption begins a payment");
        let since = facts.observe(observation);
        [adopted].into_iter().chain(since).collect()
    }

    fn adopted(&self) -> Adopted {
        Adopted {
            merchant: self.merchant.clone(),
            order: self.order,
            intent: self.seen.intent.clone(),
            amount: self.seen.amount,
            capture_method: self.capture_method,
            status: OpenStatus::at_creation(self.seen.status),
            payment_method: self.seen.payment_method.clone(),
            customer: self.customer.clone(),
            description: self.description.clone(),
            metadata: self.metadata.clone(),
            created: self.seen.created,
            livemode: self.seen.livemode,
            checkout_session: self.checkout_session.clone(),
            reason: self.reason.clone(),
        }
    }
}

impl Facts {
    /// It is in the ledger already, unless this is another intent under the same name.
    pub(super) fn adopt_again(&self, it: &Adopt) -> Result<Vec<PaymentEvent>, PaymentError> {
        match &self.intent {
            Some(known) if known.id == it.seen.intent => Ok(vec![]),
            _ => Err(PaymentError::AlreadyCreated),
        }
    }
}
