//! What may be done to an order, and what it would record. Rules live here; nothing is changed.

use crate::ids::PaymentId;
use crate::money::{Money, MoneyError};
use crate::order::command::OrderCommand;
use crate::order::error::OrderError;
use crate::order::event::{Mispayment, OrderEvent, Placed, Price};
use crate::order::state::{Facts, Order, Status, WayToPay};

type Decision = Result<Vec<OrderEvent>, OrderError>;

impl Order {
    /// The events that `command` leads to; none where it is so already.
    ///
    /// # Errors
    /// The reason why it is refused; nothing is to be recorded then.
    pub fn decide(&self, command: OrderCommand) -> Decision {
        match (self.facts(), command) {
            (None, OrderCommand::PlaceOrder(placed)) => {
                adds_up(&placed.price)?;
                Ok(vec![OrderEvent::OrderPlaced(placed)])
            }
            (None, _) => Err(OrderError::NoSuchOrder),
            (Some(facts), command) => facts.decide(command),
        }
    }
}

impl Facts {
    fn decide(&self, command: OrderCommand) -> Decision {
        match command {
            OrderCommand::PlaceOrder(placed) => self.placed_again(&placed),
            OrderCommand::Reprice { price } => self.reprice(price),
            OrderCommand::RequestPayment { payment } => self.request_payment(payment),
            OrderCommand::AttachPayment { payment, amount } => self.attach(payment, amount),
            OrderCommand::ReleasePayment { payment, because } => self.release(payment, because),
            OrderCommand::RequestCheckout { checkout } => self.request_checkout(checkout),
            OrderCommand::OpenCheckout { checkout, session } => {
                self.end_opening(checkout, |amount| OrderEvent::CheckoutOpened {
                    checkout,
                    session,
                    amount,
                })
            }
            OrderCommand::RefuseCheckout { checkout, because } => {
                self.end_opening(checkout, |_| OrderEvent::CheckoutRefused {
                    checkout,
                    because,
                })
            }
            OrderCommand::MarkPaid { payment, received } => self.mark_paid(payment, received),
            OrderCommand::Cancel { reason } => self.cancel(reason),
            OrderCommand::ErasePersonalData { subject } => Ok(self.erase(subject)),
        }
    }

    /// Sealed data differs with every sealing, so it is no part of the comparison.
    fn placed_again(&self, it: &Placed) -> Decision {
        let same = it.merchant == self.merchant
            && it.source == self.source
            && it.reference == self.reference
            && it.number == self.number
            && it.customer == self.customer
            && it.price == self.price;
        if same {
            Ok(vec![])
        } else {
            Err(OrderError::PlacedDifferently)
        }
    }

    fn reprice(&self, price: Price) -> Decision {
        self.must_be_open()?;
        if price == self.price {
            return Ok(vec![]);
        }
        adds_up(&price)?;
        let (left, right) = (self.total().currency(), price.total.currency());
        if left != right {
            return Err(MoneyError::CurrencyMismatch { left, right }.into());
        }
        Ok(vec![OrderEvent::OrderRepriced { price }])
    }

    fn request_payment(&self, payment: PaymentId) -> Decision {
        self.must_be_open()?;
        let total = self.total();
        match &self.live {
            None => Ok(vec![OrderEvent::PaymentAttached {
                payment,
                amount: total,
            }]),
            Some(WayToPay::Payment { amount, .. }) if *amount == total => Ok(vec![]),
            Some(WayToPay::Payment { payment, .. }) => Ok(vec![OrderEvent::PaymentRetargeted {
                payment: *payment,
                amount: total,
            }]),
            Some(WayToPay::Opening { .. } | WayToPay::Checkout { .. }) => {
                Err(OrderError::PaymentUnderWay)
            }
        }
    }

    /// It may ask for another amount than the order's total: its money does not pay the order then, and is unapplied.
    fn attach(&self, payment: PaymentId, amount: Money) -> Decision {
        if self.paid_by() == Some(payment) {
            return Ok(vec![]);
        }
        self.must_be_open()?;
        let (left, right) = (self.total().currency(), amount.currency());
        if left != right {
            return Err(MoneyError::CurrencyMismatch { left, right }.into());
        }
        match &self.live {
            None => Ok(vec![OrderEvent::PaymentAttached { payment, amount }]),
            Some(way) if way.id() == payment => Ok(vec![]),
            Some(_) => Err(OrderError::PaymentUnderWay),
        }
    }

    fn release(&self, released: PaymentId, because: String) -> Decision {
        match &self.live {
            Some(WayToPay::Payment { payment, .. }) if *payment == released => {
                Ok(vec![OrderEvent::PaymentReleased {
                    payment: released,
                    because,
                }])
            }
            Some(WayToPay::Checkout {
                checkout, session, ..
            }) if *checkout == released => Ok(vec![invalidated(*checkout, session, because)]),
            _ if self.payments.contains_key(&released) => Ok(vec![]),
            _ => Err(OrderError::NotItsPayment),
        }
    }

    /// Never beside another way to pay: whoever wants a new checkout ends the one before.
    fn request_checkout(&self, checkout: PaymentId) -> Decision {
        self.must_be_open()?;
        match &self.live {
            None => Ok(vec![OrderEvent::CheckoutRequested {
                checkout,
                amount: self.total(),
            }]),
            Some(WayToPay::Opening { checkout: live, .. }) if *live == checkout => Ok(vec![]),
            Some(_) => Err(OrderError::PaymentUnderWay),
        }
    }

    /// What Stripe said of the checkout that it was asked for, at the amount it was asked for; nothing where it was heard
    /// already, or where its money came first.
    fn end_opening(&self, ended: PaymentId, event: impl FnOnce(Money) -> OrderEvent) -> Decision {
        match &self.live {
            Some(WayToPay::Opening { checkout, amount }) if *checkout == ended => {
                Ok(vec![event(*amount)])
            }
            _ if self.payments.contains_key(&ended) => Ok(vec![]),
            _ => Err(OrderError::NotItsPayment),
        }
    }

    fn mark_paid(&self, payment: PaymentId, received: Money) -> Decision {
        let asked = *self
            .payments
            .get(&payment)
            .ok_or(OrderError::NotItsPayment)?;
        let paid_by_it = self.status == Status::Paid { payment };
        if paid_by_it || self.mispaid.get(&payment) == Some(&received) {
            return Ok(vec![]);
        }
        let expected = self.total();
        Ok(vec![match self.why_unpaid(payment, asked, received) {
            None => OrderEvent::OrderPaid {
                payment,
                amount: received,
            },
            Some(because) => OrderEvent::OrderMispaid {
                payment,
                received,
                expected,
                because,
            },
        }])
    }

    /// Why this money does not pay the order; none where it does.
    fn why_unpaid(&self, payment: PaymentId, asked: Money, received: Money) -> Option<Mispayment> {
        let total = self.total();
        let live = self.live.as_ref().is_some_and(|way| way.id() == payment);
        match &self.status {
            Status::Cancelled { .. } => Some(Mispayment::OrderCancelled),
            Status::Paid { .. } => Some(Mispayment::AlreadyPaid),
            Status::Open if received.currency() != total.currency() => {
                Some(Mispayment::WrongCurrency)
            }
            Status::Open if received == total && live => None,
            Status::Open if received == total => Some(Mispayment::NoLongerAttached),
            Status::Open if asked != total => Some(Mispayment::StalePrice),
            Status::Open if received.minor() < total.minor() => Some(Mispayment::Underpaid),
            Status::Open => Some(Mispayment::Overpaid),
        }
    }

    fn cancel(&self, reason: String) -> Decision {
        match (&self.status, &self.live) {
            (Status::Paid { .. }, _) => Err(OrderError::AlreadyPaid),
            (Status::Cancelled { .. }, _) => Ok(vec![]),
            (Status::Open, Some(_)) => Err(OrderError::PaymentUnderWay),
            (Status::Open, None) => Ok(vec![OrderEvent::OrderCancelled { reason }]),
        }
    }

    fn erase(&self, subject: String) -> Vec<OrderEvent> {
        match &self.personal {
            Some(sealed) if sealed.subject == subject => {
                vec![OrderEvent::PersonalDataErased { subject }]
            }
            _ => vec![],
        }
    }

    fn must_be_open(&self) -> Result<(), OrderError> {
        match self.status {
            Status::Open => Ok(()),
            Status::Paid { .. } => Err(OrderError::AlreadyPaid),
            Status::Cancelled { .. } => Err(OrderError::OrderIsCancelled),
        }
    }
}

fn invalidated(checkout: PaymentId, session: &str, because: String) -> OrderEvent {
    OrderEvent::CheckoutInvalidated {
        checkout,
        session: session.to_owned(),
        because,
    }
}

/// The lines make the total, the tax is a part of it, and it is an amount that can be paid.
fn adds_up(price: &Price) -> Result<(), OrderError> {
    let mut sum = Money::zero(price.total.currency());
    for line in &price.lines {
        sum = sum.plus(line.unit.times(line.quantity)?)?;
    }
    let untaxed = price.total.minus(price.tax)?;
    if sum != price.total || price.tax.minor() < 0 || untaxed.minor() < 0 {
        return Err(OrderError::LinesDoNotAddUp);
    }
    price.total.chargeable()?;
    Ok(())
}
