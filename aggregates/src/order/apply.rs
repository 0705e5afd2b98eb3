//! Facts land here, and never fail: no rule, no refusal, whatever comes in whatever order.

use crate::ids::PaymentId;
use crate::money::Money;
use crate::order::event::{OrderEvent, Placed};
use crate::order::state::{Facts, Order, Status, WayToPay};
use litemap::LiteMap;

impl Order {
    /// Takes a fact. One about an order that was never placed leaves no trace.
    pub fn apply(&mut self, event: &OrderEvent) {
        match (&mut self.facts, event) {
            (Some(facts), event) => facts.apply(event),
            (facts @ None, OrderEvent::OrderPlaced(placed)) => {
                *facts = Some(Box::new(begun(placed)))
            }
            (None, _) => {}
        }
    }
}

fn begun(placed: &Placed) -> Facts {
    Facts {
        merchant: placed.merchant.clone(),
        source: placed.source.clone(),
        reference: placed.reference.clone(),
        number: placed.number.clone(),
        customer: placed.customer.clone(),
        price: placed.price.clone(),
        personal: placed.personal.clone().map(Box::new),
        status: Status::Open,
        live: None,
        payments: LiteMap::new(),
        mispaid: LiteMap::new(),
    }
}

impl Facts {
    /// A new event does not compile until it has its line.
    fn apply(&mut self, event: &OrderEvent) {
        match event {
            OrderEvent::OrderPlaced(_) => {}
            OrderEvent::OrderRepriced { price } => self.price = price.clone(),
            OrderEvent::PaymentAttached { payment, amount }
            | OrderEvent::PaymentRetargeted { payment, amount } => {
                self.asked(
                    *payment,
                    *amount,
                    WayToPay::Payment {
                        payment: *payment,
                        amount: *amount,
                    },
                );
            }
            OrderEvent::CheckoutRequested { checkout, amount } => {
                let way = WayToPay::Opening {
                    checkout: *checkout,
                    amount: *amount,
                };
                self.asked(*checkout, *amount, way);
            }
            OrderEvent::CheckoutOpened {
                checkout,
                session,
                amount,
            } => {
                let way = WayToPay::Checkout {
                    checkout: *checkout,
                    session: session.clone(),
                    amount: *amount,
                };
                self.asked(*checkout, *amount, way);
            }
            OrderEvent::PaymentReleased { payment, .. } => self.no_longer_live(*payment),
            OrderEvent::CheckoutInvalidated { checkout, .. }
            | OrderEvent::CheckoutRefused { checkout, .. } => self.no_longer_live(*checkout),
            OrderEvent::OrderPaid { payment, .. } => {
                self.status = Status::Paid { payment: *payment };
                self.live = None;
            }
            OrderEvent::OrderMispaid {
                payment, received, ..
            } => {
                self.mispaid.insert(*payment, *received);
                // What has taken its money can take no more: the order needs another way to be paid.
                self.no_longer_live(*payment);
            }
            OrderEvent::OrderCancelled { reason } => {
                self.status = Status::Cancelled {
                    reason: reason.clone(),
                }
            }
            OrderEvent::PersonalDataErased { subject } => {
                self.personal.take_if(|it| it.subject == *subject);
            }
        }
    }

    fn asked(&mut self, payment: PaymentId, amount: Money, way: WayToPay) {
        if self.payments.is_empty() {
            // Most have one, and there is no room for others before they come.
            self.payments = LiteMap::with_capacity(1);
        }
        self.payments.insert(payment, amount);
        self.live = Some(way);
    }

    fn no_longer_live(&mut self, payment: PaymentId) {
        self.live.take_if(|way| way.id() == payment);
    }
}
