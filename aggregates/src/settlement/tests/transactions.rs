//! A balance transaction is booked once; later news of it is what became of its money, and anything else is refused.

use super::{booked, sample};
use crate::money::Money;
use crate::settlement::*;
use crate::testing::{Given, after, eur, given, merchant, usd};
use proptest::prelude::*;
use proptest::sample::select;
use rust_decimal::dec;

/// The snapshot that [`booked`] is made of.
pub(super) fn seen() -> TransactionSnapshot {
    let it = booked();
    TransactionSnapshot {
        balance_transaction: it.balance_transaction,
        kind: it.kind,
        category: it.category,
        amount: it.amount,
        fee: it.fee,
        fees: it.fees,
        net: it.net,
        source: it.source,
        source_amount: Some(eur(100_00)),
        exchange_rate: Some(dec!(1.08)),
        created: it.created,
        available_on: it.available_on,
        available: false,
        payout: None,
    }
}

pub(super) fn observe(seen: TransactionSnapshot) -> SettlementCommand {
    SettlementCommand::ObserveTransaction {
        merchant: merchant(),
        seen: Box::new(seen),
    }
}

fn available() -> TransactionSnapshot {
    TransactionSnapshot {
        available: true,
        ..seen()
    }
}

fn in_payout(payout: &str) -> TransactionSnapshot {
    TransactionSnapshot {
        payout: Some(payout.to_owned()),
        ..available()
    }
}

fn known() -> Given<Settlement> {
    given([sample(SettlementEventKind::BalanceTransactionObserved)])
}

#[test]
fn a_transaction_is_booked_as_it_is_seen_first_and_once() {
    let first = sample(SettlementEventKind::BalanceTransactionObserved);
    let state = given::<Settlement>([])
        .when(observe(seen()))
        .then([first.clone()]);
    Given(state).when(observe(seen())).then_nothing();
    given::<Settlement>([])
        .when(observe(in_payout("po_1")))
        .then([
            SettlementEvent::BalanceTransactionObserved(Box::new(BalanceTransactionObserved {
                available: true,
                ..booked()
            })),
            sample(SettlementEventKind::BalanceTransactionPaidOut),
        ]);
}

/// Red when the amount of the source keeps its own sign: a refund would be exchanged the wrong way round.
#[test]
fn what_was_moved_at_its_source_has_the_sign_of_what_was_booked() {
    let refund = TransactionSnapshot {
        amount: usd(-54_00),
        fee: usd(0),
        fees: vec![],
        net: usd(-54_00),
        source_amount: Some(eur(50_00)),
        ..seen()
    };
    let events = Settlement::default().decide(observe(refund)).unwrap();
    let state = after(Settlement::default(), events);
    assert_eq!(
        state.transaction().unwrap().booked.origin,
        Some(eur(-50_00))
    );
}

#[test]
fn its_money_becomes_available_and_goes_into_one_payout() {
    let state =
        known()
            .when(observe(available()))
            .then([SettlementEvent::BalanceTransactionAvailable {
                available_on: super::payouts::ARRIVAL,
            }]);
    let state = Given(state)
        .when(observe(in_payout("po_1")))
        .then([sample(SettlementEventKind::BalanceTransactionPaidOut)]);
    Given(state.clone())
        .when(observe(in_payout("po_1")))
        .then_nothing();
    // Seen outside a payout's list, and while it was pending: no news.
    Given(state.clone()).when(observe(seen())).then_nothing();
    let state = Given(state)
        .when(observe(in_payout("po_2")))
        .then_one(|it| matches!(it, SettlementEvent::ObservationRefused { because, .. } if because == "it went into po_1"));
    assert_eq!(state.transaction().unwrap().payout.as_deref(), Some("po_1"));
}

/// Red when what was booked can be booked anew, or when a poll that finds the same contradiction fills the log with it.
#[test]
fn another_booking_under_the_same_id_is_refused_once() {
    let drifted = [
        TransactionSnapshot {
            amount: usd(108_01),
            net: usd(104_58),
            ..seen()
        },
        TransactionSnapshot {
            fee: usd(3_44),
            net: usd(104_56),
            ..seen()
        },
        TransactionSnapshot {
            category: "refund".to_owned(),
            ..seen()
        },
        TransactionSnapshot {
            source: Some("ch_2".to_owned()),
            ..seen()
        },
        TransactionSnapshot {
            amount: eur(108_00),
            fee: eur(3_43),
            net: eur(104_57),
            ..seen()
        },
    ];
    for snapshot in drifted {
        let state = known()
            .when(observe(snapshot.clone()))
            .then_one(|it| matches!(it, SettlementEvent::ObservationRefused { .. }));
        assert_eq!(state.transaction().unwrap().booked, booked());
        Given(state).when(observe(snapshot)).then_nothing();
    }
}

/// Red when the check is made after the first booking only, or when a refusal that begins a stream is forgotten.
#[test]
fn what_contradicts_itself_is_not_booked() {
    let nonsense = [
        TransactionSnapshot {
            net: usd(104_58),
            ..seen()
        },
        TransactionSnapshot {
            fee: eur(3_43),
            ..seen()
        },
        TransactionSnapshot {
            amount: usd(i64::MIN),
            fee: usd(0),
            net: usd(i64::MIN),
            ..seen()
        },
        TransactionSnapshot {
            source_amount: Some(eur(i64::MAX)),
            ..seen()
        },
    ];
    for snapshot in nonsense {
        let state = given::<Settlement>([])
            .when(observe(snapshot.clone()))
            .then_one(|it| matches!(it, SettlementEvent::ObservationRefused { .. }));
        assert_eq!(state.transaction(), None);
        Given(state.clone()).when(observe(snapshot)).then_nothing();
        // And the truth can still be told.
        Given(state)
            .when(observe(seen()))
            .then([sample(SettlementEventKind::BalanceTransactionObserved)]);
    }
}

#[test]
fn a_stream_is_of_one_transaction() {
    let other = TransactionSnapshot {
        balance_transaction: "txn_4".to_owned(),
        ..seen()
    };
    known()
        .when(observe(other))
        .then_err(SettlementError::Another {
            known: "txn_3".to_owned(),
            told: "txn_4".to_owned(),
        });
}

proptest! {
    /// However the snapshots of one life are shuffled and repeated, it ends the same, and nothing of it is refused.
    ///
    /// Red when availability or the payout is taken back by an older snapshot.
    #[test]
    fn news_of_a_transaction_may_come_in_any_order(order in Just(vec![seen(), available(), in_payout("po_1"), available()]).prop_shuffle(), again in select(vec![seen(), available(), in_payout("po_1")])) {
        let mut state = Settlement::default();
        for snapshot in order.into_iter().chain([again]) {
            let events = state.decide(observe(snapshot)).unwrap();
            let refused = events.iter().any(|it| matches!(it, SettlementEvent::ObservationRefused { .. }));
            prop_assert!(!refused);
            state = after(state, events);
        }
        let known = state.transaction().unwrap();
        prop_assert!(known.available);
        prop_assert_eq!(known.payout.as_deref(), Some("po_1"));
    }

    /// Whatever Stripe says, what is booked adds up and is never changed.
    ///
    /// Red when the limits are checked on the amount alone.
    #[test]
    fn what_is_booked_adds_up(told in prop::collection::vec((any::<i64>(), any::<i64>(), any::<i64>(), any::<bool>()), 1..10)) {
        let mut state = Settlement::default();
        let mut first = None;
        for (amount, fee, net, honest) in told {
            let (amount, fee) = if honest { (amount % 1_000_000, fee % 1_000) } else { (amount, fee) };
            let net = if honest { amount - fee } else { net };
            let snapshot = TransactionSnapshot { amount: usd(amount), fee: usd(fee), net: usd(net), ..seen() };
            let events = state.decide(observe(snapshot)).unwrap();
            state = after(state, events);
            let Some(known) = state.transaction() else { continue };
            let booked = &known.booked;
            prop_assert_eq!(booked.amount.minus(booked.fee), Ok(booked.net));
            prop_assert!(booked.amount.minor().abs() <= BOOKED_MAX_MINOR);
            let first: &Money = first.get_or_insert(booked.amount);
            prop_assert_eq!(*first, booked.amount);
        }
    }
}
