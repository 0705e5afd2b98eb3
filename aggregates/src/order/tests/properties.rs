//! What holds whatever is asked of an order, in any order.

use super::golden::sample;
use super::*;
use crate::ledger::{Account, Side, order_entries};
use crate::order::OrderEventKind;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::collections::BTreeSet;
use strum::IntoEnumIterator;

fn command() -> impl Strategy<Value = OrderCommand> {
    let payment = (1..5_u128).prop_map(payment_id);
    let minor = select(vec![112_00_i64, 112_00, 120_00, 1]);
    let asked = (payment.clone(), minor.clone());
    prop_oneof![
        asked.prop_map(|(payment, it)| OrderCommand::AttachPayment {
            payment,
            amount: usd(it)
        }),
        Just(OrderCommand::PlaceOrder(Box::new(placed()))),
        minor.clone().prop_map(|it| OrderCommand::Reprice {
            price: price(usd(it), 1)
        }),
        payment.clone().prop_map(request),
        payment
            .clone()
            .prop_map(|payment| OrderCommand::ReleasePayment {
                payment,
                because: "cancelled".to_owned()
            }),
        payment.clone().prop_map(request_checkout),
        payment.clone().prop_map(open),
        payment.clone().prop_map(refuse_checkout),
        (payment, minor).prop_map(|(payment, received)| mark_paid(payment, usd(received))),
        Just(OrderCommand::Cancel {
            reason: "changed my mind".to_owned()
        }),
    ]
}

/// The ways to pay that are live, and whether it is paid, from the events alone.
#[derive(Default)]
struct Tally {
    live: BTreeSet<PaymentId>,
    paid: bool,
    cancelled: bool,
}

impl Tally {
    fn take(&mut self, event: &OrderEvent) {
        match event {
            OrderEvent::PaymentAttached { payment: it, .. }
            | OrderEvent::CheckoutRequested { checkout: it, .. } => {
                assert!(
                    !self.paid && !self.cancelled,
                    "a way to pay a finished order"
                );
                assert!(self.live.insert(*it), "live twice");
            }
            OrderEvent::PaymentRetargeted { payment: it, .. }
            | OrderEvent::CheckoutOpened { checkout: it, .. } => {
                assert!(self.live.contains(it));
            }
            OrderEvent::PaymentReleased { payment: it, .. }
            | OrderEvent::CheckoutInvalidated { checkout: it, .. }
            | OrderEvent::CheckoutRefused { checkout: it, .. }
            | OrderEvent::OrderMispaid { payment: it, .. } => {
                self.live.remove(it);
            }
            OrderEvent::OrderPaid { payment, .. } => {
                assert!(
                    !self.paid && !self.cancelled,
                    "paid twice, or after it was cancelled"
                );
                assert!(self.live.remove(payment), "paid by what was not live");
                self.paid = true;
            }
            OrderEvent::OrderCancelled { .. } => {
                assert!(!self.paid && self.live.is_empty());
                self.cancelled = true;
            }
            OrderEvent::OrderRepriced { .. } => assert!(!self.paid && !self.cancelled),
            OrderEvent::OrderPlaced(_) | OrderEvent::PersonalDataErased { .. } => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Never two live ways to pay, paid at most once and at its price, and every command may be repeated at once.
    ///
    /// Red when `request_checkout` does not look whether another one is live, when `request_payment` attaches beside a live checkout, or
    /// when `mark_paid` looks only at the amount.
    #[test]
    fn an_order_has_one_way_to_pay_and_is_paid_once(commands in prop::collection::vec(command(), 1..60)) {
        let mut order = Order::default();
        let mut tally = Tally::default();
        for command in commands {
            let Ok(events) = order.decide(command.clone()) else { continue };
            for event in &events {
                if let OrderEvent::OrderPaid { amount, .. } = event {
                    prop_assert_eq!(*amount, order.facts().unwrap().total());
                }
                tally.take(event);
                order.apply(event);
                prop_assert!(tally.live.len() <= 1, "two live ways to pay: {:?}", tally.live);
            }
            let facts = order.facts().unwrap();
            prop_assert_eq!(facts.live.as_ref().map(|it| it.id()), tally.live.first().copied());
            prop_assert_eq!(facts.is_paid(), tally.paid);
            prop_assert_eq!(matches!(facts.status, Status::Cancelled { .. }), tally.cancelled);
            if let Ok(again) = order.decide(command) {
                prop_assert_eq!(again, vec![]);
            }
        }
    }

    /// Any events in any order are taken without a panic; what a paid order posts balances, tax apart from sales.
    ///
    /// Red when `order_entries` credits the whole amount to the sales and the tax beside it.
    #[test]
    fn facts_never_fail_and_entries_balance(kinds in prop::collection::vec(any::<Index>(), 0..40), minor: i64) {
        let all: Vec<OrderEventKind> = OrderEventKind::iter().collect();
        let mut order = Order::default();
        for kind in kinds {
            let event = match sample(all[kind.index(all.len())]) {
                OrderEvent::OrderPaid { payment, .. } if minor % 2 == 0 => {
                    OrderEvent::OrderPaid { payment, amount: usd(minor) }
                }
                event => event,
            };
            for entry in order_entries(&event, &order) {
                let of = |side| entry.lines().iter().filter(move |it| it.side == side);
                let sum = |side| of(side).map(|it| i128::from(it.amount.minor())).sum::<i128>();
                prop_assert_eq!(sum(Side::Debit), sum(Side::Credit));
                prop_assert!(of(Side::Debit).all(|it| it.account == Account::CustomersUnapplied));
            }
            order.apply(&event);
        }
    }
}
