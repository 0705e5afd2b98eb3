//! What an order does, one behaviour each.

mod attached;
mod golden;
mod properties;

use super::command::OrderCommand;
use super::error::OrderError;
use super::event::{Line, Mispayment, OrderEvent, Placed, Price};
use super::state::{Order, Status};
use crate::ids::PaymentId;
use crate::money::{Currency, Money, MoneyError};
use crate::sealed::Sealed;
use crate::testing::{eur, given, merchant, payment_id, usd};

fn price(unit: Money, quantity: u32) -> Price {
    Price {
        total: unit.times(quantity).unwrap(),
        tax: Money::zero(unit.currency()),
        lines: vec![Line {
            name: "Main product 2".to_owned(),
            unit,
            quantity,
            description: String::new(),
        }],
    }
}

fn placed() -> Placed {
    Placed {
        merchant: merchant(),
        source: "shop".to_owned(),
        reference: "9".to_owned(),
        number: Some("ORD-20250331-5XZF".to_owned()),
        customer: Some("customer-9".to_owned()),
        price: price(usd(56_00), 2),
        personal: None,
    }
}

const SUBJECT: &str = "order/9";

fn sealed(nonce: &str) -> Sealed {
    Sealed {
        subject: SUBJECT.to_owned(),
        nonce: nonce.to_owned(),
        ciphertext: "Y2lwaGVy".to_owned(),
    }
}

fn placed_event() -> OrderEvent {
    OrderEvent::OrderPlaced(Box::new(placed()))
}

fn first() -> PaymentId {
    payment_id(1)
}

fn second() -> PaymentId {
    payment_id(2)
}

fn attached(payment: PaymentId, amount: Money) -> OrderEvent {
    OrderEvent::PaymentAttached { payment, amount }
}

fn repriced(minor: i64) -> OrderEvent {
    OrderEvent::OrderRepriced {
        price: price(usd(minor), 1),
    }
}

fn released(payment: PaymentId) -> OrderEvent {
    OrderEvent::PaymentReleased {
        payment,
        because: "cancelled".to_owned(),
    }
}

fn opened(checkout: PaymentId) -> OrderEvent {
    OrderEvent::CheckoutOpened {
        checkout,
        session: format!("cs_{checkout}"),
        amount: usd(112_00),
    }
}

fn paid(payment: PaymentId) -> OrderEvent {
    OrderEvent::OrderPaid {
        payment,
        amount: usd(112_00),
    }
}

fn cancelled() -> OrderEvent {
    OrderEvent::OrderCancelled {
        reason: "changed my mind".to_owned(),
    }
}

/// An order of 112.00 USD, after these events.
fn order(events: impl IntoIterator<Item = OrderEvent>) -> crate::testing::Given<Order> {
    given([placed_event()].into_iter().chain(events))
}

fn request(payment: PaymentId) -> OrderCommand {
    OrderCommand::RequestPayment { payment }
}

fn open(checkout: PaymentId) -> OrderCommand {
    OrderCommand::OpenCheckout {
        checkout,
        session: format!("cs_{checkout}"),
    }
}

fn request_checkout(checkout: PaymentId) -> OrderCommand {
    OrderCommand::RequestCheckout { checkout }
}

fn refuse_checkout(checkout: PaymentId) -> OrderCommand {
    OrderCommand::RefuseCheckout {
        checkout,
        because: "Stripe said no".to_owned(),
    }
}

fn checkout_requested(checkout: PaymentId) -> OrderEvent {
    OrderEvent::CheckoutRequested {
        checkout,
        amount: usd(112_00),
    }
}

fn checkout_refused(checkout: PaymentId) -> OrderEvent {
    OrderEvent::CheckoutRefused {
        checkout,
        because: "Stripe said no".to_owned(),
    }
}

fn mark_paid(payment: PaymentId, received: Money) -> OrderCommand {
    OrderCommand::MarkPaid { payment, received }
}

fn mispaid(received: Money, expected: Money, because: Mispayment) -> OrderEvent {
    OrderEvent::OrderMispaid {
        payment: first(),
        received,
        expected,
        because,
    }
}

#[test]
fn an_order_is_placed_once_and_again_with_the_same_content() {
    let place = |it: Placed| OrderCommand::PlaceOrder(Box::new(it));
    given::<Order>([])
        .when(place(placed()))
        .then([placed_event()]);
    order([]).when(place(placed())).then_nothing();
    order([])
        .when(place(Placed {
            personal: Some(sealed("another")),
            ..placed()
        }))
        .then_nothing();
    let other = Placed {
        number: None,
        ..placed()
    };
    order([])
        .when(place(other))
        .then_err(OrderError::PlacedDifferently);
    let dearer = Placed {
        price: price(usd(57_00), 2),
        ..placed()
    };
    order([])
        .when(place(dearer))
        .then_err(OrderError::PlacedDifferently);
}

#[test]
fn the_lines_of_an_order_make_its_total() {
    let refused = |price: Price, error: OrderError| {
        let it = Placed { price, ..placed() };
        given::<Order>([])
            .when(OrderCommand::PlaceOrder(Box::new(it)))
            .then_err(error);
    };
    let sum = price(usd(56_00), 2);
    refused(
        Price {
            total: usd(111_99),
            ..sum.clone()
        },
        OrderError::LinesDoNotAddUp,
    );
    refused(
        Price {
            lines: vec![],
            ..sum.clone()
        },
        OrderError::LinesDoNotAddUp,
    );
    refused(
        Price {
            tax: usd(112_01),
            ..sum.clone()
        },
        OrderError::LinesDoNotAddUp,
    );
    refused(
        Price {
            tax: usd(-1),
            ..sum.clone()
        },
        OrderError::LinesDoNotAddUp,
    );
    refused(
        price(usd(0), 1),
        MoneyError::NotPositive { amount: usd(0) }.into(),
    );
    refused(
        price(usd(i64::MAX), 1),
        MoneyError::TooLarge {
            amount: usd(i64::MAX),
            maximum: usd(99_999_999),
        }
        .into(),
    );
    let mixed = MoneyError::CurrencyMismatch {
        left: Currency::USD,
        right: Currency::EUR,
    };
    refused(
        Price {
            tax: eur(0),
            ..sum.clone()
        },
        mixed.into(),
    );
    let beyond = Price {
        lines: vec![
            sum.lines[0].clone(),
            price(usd(i64::MAX), 1).lines[0].clone(),
        ],
        ..sum
    };
    refused(beyond, MoneyError::Overflow.into());
}

#[test]
fn a_rebate_lowers_the_total() {
    let rebate = Line {
        name: "Rebate".to_owned(),
        unit: usd(-12_00),
        quantity: 1,
        description: String::new(),
    };
    let mut price = price(usd(56_00), 2);
    price.lines.push(rebate);
    price.total = usd(100_00);
    let it = Placed { price, ..placed() };
    let state = given::<Order>([])
        .when(OrderCommand::PlaceOrder(Box::new(it.clone())))
        .then([OrderEvent::OrderPlaced(Box::new(it))]);
    assert_eq!(state.facts().unwrap().total(), usd(100_00));
}

#[test]
fn nothing_can_be_asked_of_an_order_that_was_never_placed() {
    given::<Order>([])
        .when(request(first()))
        .then_err(OrderError::NoSuchOrder);
}

/// Red when a second request attaches a second payment beside the live one.
#[test]
fn asking_again_gives_the_same_live_payment() {
    let state = order([])
        .when(request(first()))
        .then([attached(first(), usd(112_00))]);
    assert_eq!(state.facts().unwrap().live_payment(), Some(first()));
    order([attached(first(), usd(112_00))])
        .when(request(second()))
        .then_nothing();
}

#[test]
fn at_a_new_price_the_live_payment_takes_the_new_amount() {
    let before = [attached(first(), usd(112_00)), repriced(120_00)];
    let retargeted = OrderEvent::PaymentRetargeted {
        payment: first(),
        amount: usd(120_00),
    };
    order(before.clone())
        .when(request(second()))
        .then([retargeted.clone()]);
    order(before.into_iter().chain([retargeted]))
        .when(request(second()))
        .then_nothing();
}

#[test]
fn a_released_payment_makes_room_for_another() {
    let release = |payment| OrderCommand::ReleasePayment {
        payment,
        because: "cancelled".to_owned(),
    };
    order([attached(first(), usd(112_00))])
        .when(release(first()))
        .then([released(first())]);
    let after = || order([attached(first(), usd(112_00)), released(first())]);
    after().when(release(first())).then_nothing();
    after()
        .when(release(second()))
        .then_err(OrderError::NotItsPayment);
    after()
        .when(request(second()))
        .then([attached(second(), usd(112_00))]);
    order([opened(first())]).when(release(first())).then_one(
        |it| matches!(it, OrderEvent::CheckoutInvalidated { checkout, .. } if *checkout == first()),
    );
}

#[test]
fn a_checkout_is_intended_before_it_is_opened_and_ends_once() {
    order([])
        .when(request_checkout(first()))
        .then([checkout_requested(first())]);
    let asked = || order([checkout_requested(first())]);
    asked().when(request_checkout(first())).then_nothing();
    asked().when(open(first())).then([opened(first())]);
    asked()
        .when(refuse_checkout(first()))
        .then([checkout_refused(first())]);
    for end in [opened(first()), checkout_refused(first()), paid(first())] {
        for command in [open(first()), refuse_checkout(first())] {
            order([checkout_requested(first()), end.clone()])
                .when(command)
                .then_nothing();
        }
    }
    order([])
        .when(open(first()))
        .then_err(OrderError::NotItsPayment);
    order([checkout_requested(first()), checkout_refused(first())])
        .when(request_checkout(second()))
        .then([checkout_requested(second())]);
}

/// Red when a checkout may be asked for while another one can be paid.
#[test]
fn a_new_checkout_waits_until_the_one_before_was_ended() {
    for before in [checkout_requested(first()), opened(first())] {
        order([before])
            .when(request_checkout(second()))
            .then_err(OrderError::PaymentUnderWay);
    }
    order([checkout_requested(first())])
        .when(request(second()))
        .then_err(OrderError::PaymentUnderWay);
    order([checkout_requested(first())])
        .when(mark_paid(first(), usd(112_00)))
        .then([paid(first())]);
}

#[test]
fn a_payment_and_a_checkout_are_never_live_together() {
    order([attached(first(), usd(112_00))])
        .when(request_checkout(second()))
        .then_err(OrderError::PaymentUnderWay);
    order([opened(first())])
        .when(request(second()))
        .then_err(OrderError::PaymentUnderWay);
}

#[test]
fn the_order_is_paid_once_by_its_live_payment() {
    let before = || attached(first(), usd(112_00));
    let state = order([before()])
        .when(mark_paid(first(), usd(112_00)))
        .then([paid(first())]);
    let facts = state.facts().unwrap();
    assert!(facts.is_paid());
    assert_eq!(facts.live, None);
    order([before(), paid(first())])
        .when(mark_paid(first(), usd(112_00)))
        .then_nothing();
    order([opened(first())])
        .when(mark_paid(first(), usd(112_00)))
        .then([paid(first())]);
}

/// Red when whatever money comes marks the order as paid.
#[test]
fn money_that_does_not_fit_leaves_the_order_unpaid_and_is_recorded_once() {
    let live = attached(first(), usd(112_00));
    let price = usd(112_00);
    let cases = [
        (
            vec![live.clone()],
            usd(111_99),
            price,
            Mispayment::Underpaid,
        ),
        (vec![live.clone()], usd(112_01), price, Mispayment::Overpaid),
        (
            vec![live.clone()],
            eur(112_00),
            price,
            Mispayment::WrongCurrency,
        ),
        (
            vec![live.clone(), repriced(120_00)],
            usd(112_00),
            usd(120_00),
            Mispayment::StalePrice,
        ),
        (
            vec![live.clone(), released(first())],
            usd(112_00),
            price,
            Mispayment::NoLongerAttached,
        ),
        (
            vec![live.clone(), released(first()), cancelled()],
            usd(112_00),
            price,
            Mispayment::OrderCancelled,
        ),
        (
            vec![
                live.clone(),
                released(first()),
                attached(second(), price),
                paid(second()),
            ],
            usd(112_00),
            price,
            Mispayment::AlreadyPaid,
        ),
    ];
    for (before, received, expected, because) in cases {
        let was_paid = before.contains(&paid(second()));
        let event = mispaid(received, expected, because);
        let state = order(before.clone())
            .when(mark_paid(first(), received))
            .then([event.clone()]);
        let facts = state.facts().unwrap();
        assert_eq!(
            (facts.is_paid(), facts.mispaid[&first()]),
            (was_paid, received),
            "{because}"
        );
        order(before.into_iter().chain([event]))
            .when(mark_paid(first(), received))
            .then_nothing();
    }
}

#[test]
fn a_payment_at_the_old_price_of_a_retargeted_order_is_underpaid() {
    let retargeted = OrderEvent::PaymentRetargeted {
        payment: first(),
        amount: usd(120_00),
    };
    order([attached(first(), usd(112_00)), repriced(120_00), retargeted])
        .when(mark_paid(first(), usd(112_00)))
        .then([mispaid(usd(112_00), usd(120_00), Mispayment::Underpaid)]);
}

#[test]
fn a_mispaid_order_can_be_paid_by_another_payment() {
    let before = [
        attached(first(), usd(112_00)),
        mispaid(usd(1_00), usd(112_00), Mispayment::Underpaid),
    ];
    order(before)
        .when(request(second()))
        .then([attached(second(), usd(112_00))]);
}

#[test]
fn another_orders_payment_never_pays_this_one() {
    order([attached(first(), usd(112_00))])
        .when(mark_paid(second(), usd(112_00)))
        .then_err(OrderError::NotItsPayment);
}

#[test]
fn a_finished_order_keeps_its_price_and_takes_no_payment() {
    let reprice = || OrderCommand::Reprice {
        price: price(usd(1_00), 1),
    };
    for (end, error) in [
        (paid(first()), OrderError::AlreadyPaid),
        (cancelled(), OrderError::OrderIsCancelled),
    ] {
        for command in [reprice(), request(second()), request_checkout(second())] {
            order([end.clone()]).when(command).then_err(error.clone());
        }
    }
}

#[test]
fn a_new_price_is_taken_in_the_same_currency_only() {
    let to = |price| OrderCommand::Reprice { price };
    order([])
        .when(to(price(usd(120_00), 1)))
        .then([repriced(120_00)]);
    order([]).when(to(placed().price)).then_nothing();
    let mixed = MoneyError::CurrencyMismatch {
        left: Currency::USD,
        right: Currency::EUR,
    };
    order([])
        .when(to(price(eur(1_00), 1)))
        .then_err(mixed.into());
}

#[test]
fn an_order_is_cancelled_only_while_nothing_pays_it() {
    let cancel = || OrderCommand::Cancel {
        reason: "changed my mind".to_owned(),
    };
    order([]).when(cancel()).then([cancelled()]);
    order([cancelled()]).when(cancel()).then_nothing();
    order([attached(first(), usd(112_00))])
        .when(cancel())
        .then_err(OrderError::PaymentUnderWay);
    order([opened(first())])
        .when(cancel())
        .then_err(OrderError::PaymentUnderWay);
    order([paid(first())])
        .when(cancel())
        .then_err(OrderError::AlreadyPaid);
}

#[test]
fn personal_data_is_erased_once() {
    let it = || {
        OrderEvent::OrderPlaced(Box::new(Placed {
            personal: Some(sealed("nonce")),
            ..placed()
        }))
    };
    let erase = || OrderCommand::ErasePersonalData {
        subject: SUBJECT.to_owned(),
    };
    let erased = OrderEvent::PersonalDataErased {
        subject: SUBJECT.to_owned(),
    };
    let state = given::<Order>([it()]).when(erase()).then([erased.clone()]);
    assert_eq!(state.facts().unwrap().personal, None);
    given::<Order>([it(), erased]).when(erase()).then_nothing();
    order([]).when(erase()).then_nothing();
}
