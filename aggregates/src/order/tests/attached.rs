//! Payments that were begun elsewhere and are to pay an order.

use super::*;

fn attach(payment: PaymentId, amount: Money) -> OrderCommand {
    OrderCommand::AttachPayment { payment, amount }
}

/// Planted bug: attaching beside the one that is live.
#[test]
fn a_payment_from_elsewhere_is_attached_where_none_is_live_for_what_it_asks() {
    order([])
        .when(attach(first(), usd(100_00)))
        .then([attached(first(), usd(100_00))]);
    order([attached(first(), usd(100_00))])
        .when(attach(first(), usd(100_00)))
        .then([]);
    order([attached(first(), usd(112_00))])
        .when(attach(second(), usd(112_00)))
        .then_err(OrderError::PaymentUnderWay);
    order([attached(first(), usd(112_00)), paid(first())])
        .when(attach(first(), usd(112_00)))
        .then([]);
    order([attached(first(), usd(112_00)), paid(first())])
        .when(attach(second(), usd(112_00)))
        .then_err(OrderError::AlreadyPaid);
    order([]).when(attach(first(), eur(112_00))).then_err(
        MoneyError::CurrencyMismatch {
            left: Currency::USD,
            right: Currency::EUR,
        }
        .into(),
    );
}

#[test]
fn money_of_an_attached_payment_pays_the_order_only_where_it_is_the_orders_total() {
    order([attached(first(), usd(112_00))])
        .when(OrderCommand::MarkPaid {
            payment: first(),
            received: usd(112_00),
        })
        .then([paid(first())]);
    order([attached(first(), usd(100_00))])
        .when(OrderCommand::MarkPaid {
            payment: first(),
            received: usd(100_00),
        })
        .then([OrderEvent::OrderMispaid {
            payment: first(),
            received: usd(100_00),
            expected: usd(112_00),
            because: Mispayment::StalePrice,
        }]);
}
