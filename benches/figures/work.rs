//! The commands that every side carries out: the life of an order and its payment, one aggregate per command.

use std::collections::HashMap;

use aggregates::ids::{CommandId, IntentionId, MerchantId, OrderId, PaymentId};
use aggregates::metadata::{Actor, EventMetadata};
use aggregates::money::{Currency, Money};
use aggregates::order::OrderCommand;
use aggregates::order::event::{Line, Placed, Price};
use aggregates::payment::PaymentCommand;
use aggregates::payment::command::{IntentSnapshot, Observation, Said, StripeStatus};
use aggregates::payment::event::CreateRequested;
use aggregates::payment::terms::{CaptureMethod, Metadata};
use anyhow::Result;
use counterfoil::ids::Ids;

/// How many commands a life has. Together they emit seven events and touch order, payment and balance rows.
pub const STEPS: usize = 6;
/// How many merchants share the load.
const MERCHANTS: usize = 4;

/// One order and the payment that pays it.
pub struct Life {
    pub merchant: MerchantId,
    pub order: OrderId,
    pub payment: PaymentId,
    reference: String,
    intention: IntentionId,
    price: Price,
}

/// One command, for one of the two aggregates.
pub enum Step {
    Order(OrderCommand),
    Payment(PaymentCommand),
}

impl Life {
    /// A life that no other has; `number` chooses the merchant.
    ///
    /// # Errors
    /// Never, unless the rules for names or amounts have changed.
    pub fn new(ids: &Ids, number: usize) -> Result<Self> {
        let merchant: MerchantId = format!("shop-{}", number % MERCHANTS).parse()?;
        let reference = ids.uuid().simple().to_string();
        Ok(Self {
            order: OrderId::derive(&merchant, "shop", &reference),
            payment: PaymentId::from_uuid(ids.uuid()),
            intention: IntentionId::from_uuid(ids.uuid()),
            price: price()?,
            merchant,
            reference,
        })
    }

    /// The command at `index`, below [`STEPS`].
    pub fn step(&self, index: usize) -> Step {
        match index {
            0 => Step::Order(OrderCommand::PlaceOrder(Box::new(self.placed()))),
            1 => Step::Payment(PaymentCommand::CreateIntent {
                request: Box::new(self.request()),
                enforce_minimum: true,
            }),
            2 => self.observed(StripeStatus::RequiresConfirmation),
            3 => Step::Order(OrderCommand::RequestPayment {
                payment: self.payment,
            }),
            4 => self.observed(StripeStatus::Succeeded),
            _ => Step::Order(OrderCommand::MarkPaid {
                payment: self.payment,
                received: self.price.total,
            }),
        }
    }

    /// The stream of the aggregate that `step` is for.
    pub fn aggregate_id(&self, step: &Step) -> String {
        match step {
            Step::Order(_) => self.order.aggregate_id(&self.merchant),
            Step::Payment(_) => self.payment.aggregate_id(&self.merchant),
        }
    }

    fn placed(&self) -> Placed {
        Placed {
            merchant: self.merchant.clone(),
            source: "shop".to_owned(),
            reference: self.reference.clone(),
            number: Some("ORD-20250331-5XZF".to_owned()),
            customer: Some("cus_9s6XKzkNRiz8i3".to_owned()),
            price: self.price.clone(),
            personal: None,
        }
    }

    fn request(&self) -> CreateRequested {
        CreateRequested {
            intention: self.intention,
            merchant: self.merchant.clone(),
            order: Some(self.order),
            amount: self.price.total,
            capture_method: CaptureMethod::Automatic,
            payment_method: Some("pm_1R8f7mQ9LjHruSyqZP0sUF3N".to_owned()),
            customer: None,
            description: Some("Payment for Order #ORD-20250331-5XZF".to_owned()),
            metadata: Metadata::default(),
            attributes: [("quantity".to_owned(), "2".to_owned())].into(),
            personal: None,
            then_confirm: None,
            parameters: Default::default(),
        }
    }

    /// What Stripe says of the intent: that it was made, in answer to us, or that it is paid, on its own.
    fn observed(&self, status: StripeStatus) -> Step {
        let paid = status == StripeStatus::Succeeded;
        let zero = Money::zero(self.price.total.currency());
        let seen = IntentSnapshot {
            intent: format!("pi_{}", self.payment.uuid().simple()),
            status,
            amount: self.price.total,
            amount_capturable: zero,
            amount_received: if paid { self.price.total } else { zero },
            payment_method: Some("pm_1R8f7mQ9LjHruSyqZP0sUF3N".to_owned()),
            charge: paid.then(|| format!("ch_{}", self.payment.uuid().simple())),
            last_error: None,
            cancellation_reason: None,
            canceled_at: None,
            created: 1_743_415_050,
            livemode: false,
        };
        Step::Payment(PaymentCommand::Observe(Observation {
            intention: (!paid).then_some(self.intention),
            current: !paid,
            said: Said::Intent(Box::new(seen)),
        }))
    }
}

/// Two lines, of which a part is tax.
fn price() -> Result<Price> {
    let eur = |minor| Ok::<_, anyhow::Error>(Money::new(minor, Currency::parse("eur")?));
    let line = |name: &str, minor, quantity| {
        Ok::<_, anyhow::Error>(Line {
            name: name.to_owned(),
            unit: eur(minor)?,
            quantity,
            description: "as seen in the shop".to_owned(),
        })
    };
    Ok(Price {
        total: eur(59_00)?,
        tax: eur(9_42)?,
        lines: vec![line("Annual pass", 49_00, 1)?, line("Postage", 5_00, 2)?],
    })
}

/// Who acts, on every side.
pub fn actor() -> Actor {
    Actor {
        name: "key:figures".to_owned(),
        key_id: Some("key_figures".to_owned()),
        door: "shop".to_owned(),
    }
}

/// The metadata that the store gives every event, for the sides that take it as a map.
pub fn metadata(ids: &Ids) -> HashMap<String, String> {
    let whole = EventMetadata {
        event_id: ids.uuid(),
        claimed_at: None,
        actor: actor(),
        command_id: CommandId::from_uuid(ids.uuid()),
        correlation_id: ids.uuid(),
        causation_id: None,
        reason: None,
    };
    whole.to_map()
}
