//! A payout is known by what is seen of it: every pair of states, and whole lives in any order.

use super::sample;
use crate::ids::SettlementId;
use crate::money::Money;
use crate::settlement::*;
use crate::testing::{Given, after, eur, given, merchant, usd};
use cqrs_es::test::TestFramework;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use strum::IntoEnumIterator;

pub(super) const ARRIVAL: i64 = 1_743_500_000;

pub(super) fn seen(status: PayoutStatus) -> PayoutSnapshot {
    let failed = |text: &str| (status == PayoutStatus::Failed).then(|| text.to_owned());
    PayoutSnapshot {
        payout: "po_1".to_owned(),
        amount: usd(95_00),
        status,
        arrival_date: ARRIVAL,
        created: 1_743_415_050,
        automatic: true,
        method: "standard".to_owned(),
        balance_transaction: Some("txn_1".to_owned()),
        failure_code: failed("account_closed"),
        failure_balance_transaction: failed("txn_2"),
        reconciliation_status: ReconciliationStatus::InProgress,
    }
}

pub(super) fn observe(seen: PayoutSnapshot) -> SettlementCommand {
    SettlementCommand::ObservePayout {
        merchant: merchant(),
        seen: Box::new(seen),
    }
}

pub(super) fn turn() -> Turn {
    Turn {
        arrival_date: ARRIVAL,
        balance_transaction: Some("txn_1".to_owned()),
    }
}

fn told_by(status: PayoutStatus) -> Option<SettlementEvent> {
    use SettlementEventKind as K;
    match status {
        PayoutStatus::Pending => None,
        PayoutStatus::InTransit => Some(sample(K::PayoutInTransit)),
        PayoutStatus::Paid => Some(sample(K::PayoutPaid)),
        PayoutStatus::Failed => Some(sample(K::PayoutFailed)),
        PayoutStatus::Canceled => Some(sample(K::PayoutCanceled)),
    }
}

pub(super) fn standing(status: PayoutStatus) -> Vec<SettlementEvent> {
    let first = sample(SettlementEventKind::PayoutObserved);
    [first].into_iter().chain(told_by(status)).collect()
}

/// `on`: it moves there. `-`: no news. `no`: refused as a contradiction.
const TABLE: &str = "
known \\ seen | pending | in_transit | paid | failed | canceled
pending      | -       | on         | on   | on     | on
in_transit   | -       | -          | on   | on     | on
paid         | -       | -          | -    | on     | no
failed       | -       | -          | -    | -      | no
canceled     | -       | -          | no   | no     | -
";

/// Red when an older snapshot takes a payout back, or when a bank's late return after `paid` is held for old news.
#[test]
fn a_payout_moves_exactly_as_the_table_says() {
    let mut rows = TABLE
        .trim()
        .lines()
        .map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    let head = rows.next().unwrap();
    assert_eq!(rows.clone().count(), PayoutStatus::iter().count());
    for row in rows {
        let known: PayoutStatus = row[0].parse().unwrap();
        let before = after(Settlement::default(), standing(known));
        assert_eq!(before.payout().unwrap().status, known);
        for (column, expected) in head.iter().zip(&row).skip(1) {
            let status: PayoutStatus = column.parse().unwrap();
            let events = before.decide(observe(seen(status))).unwrap();
            let cell = match events.as_slice() {
                [] => "-",
                [SettlementEvent::ObservationRefused { .. }] => "no",
                [event] if Some(event) == told_by(status).as_ref() => "on",
                other => panic!("{other:?}"),
            };
            assert_eq!(cell, *expected, "{status} seen while {known}");
        }
    }
}

#[test]
fn whatever_is_seen_first_begins_the_payout() {
    for status in PayoutStatus::iter() {
        let state = given::<Settlement>([])
            .when(observe(seen(status)))
            .then(standing(status));
        assert_eq!(state.payout().unwrap().status, status);
        Given(state).when(observe(seen(status))).then_nothing();
    }
}

#[test]
fn money_that_is_taken_from_the_bank_is_a_payout_of_less_than_nothing() {
    let taken = PayoutSnapshot {
        amount: usd(-95_00),
        ..seen(PayoutStatus::Paid)
    };
    let events = Settlement::default().decide(observe(taken)).unwrap();
    let state = after(Settlement::default(), events);
    assert_eq!(state.payout().unwrap().amount, usd(-95_00));
}

#[test]
fn that_its_items_are_known_is_told_once_whenever_it_is() {
    let completed = |status| PayoutSnapshot {
        reconciliation_status: ReconciliationStatus::Completed,
        ..seen(status)
    };
    let state = given::<Settlement>(standing(PayoutStatus::InTransit))
        .when(observe(completed(PayoutStatus::Paid)))
        .then([
            SettlementEvent::PayoutPaid(turn()),
            SettlementEvent::PayoutReconciled,
        ]);
    Given(state)
        .when(observe(completed(PayoutStatus::Paid)))
        .then_nothing();
    given::<Settlement>(standing(PayoutStatus::Paid))
        .when(observe(completed(PayoutStatus::InTransit)))
        .then([SettlementEvent::PayoutReconciled]);
}

/// Red when a poll that finds the same contradiction again and again fills the log with it.
#[test]
fn another_amount_is_refused_once_and_changes_nothing() {
    for amount in [usd(94_99), eur(95_00)] {
        let drifted = || {
            observe(PayoutSnapshot {
                amount,
                ..seen(PayoutStatus::Paid)
            })
        };
        let state = given::<Settlement>(standing(PayoutStatus::InTransit))
            .when(drifted())
            .then_one(|it| matches!(it, SettlementEvent::ObservationRefused { .. }));
        assert_eq!(state.payout().unwrap().status, PayoutStatus::InTransit);
        Given(state).when(drifted()).then_nothing();
    }
}

#[test]
fn a_stream_is_of_one_payout() {
    let other = PayoutSnapshot {
        payout: "po_2".to_owned(),
        ..seen(PayoutStatus::Paid)
    };
    given::<Settlement>(standing(PayoutStatus::Pending))
        .when(observe(other))
        .then_err(SettlementError::Another {
            known: "po_1".to_owned(),
            told: "po_2".to_owned(),
        });
    let rival = "rival".parse().unwrap();
    let id = SettlementId::of_payout(&merchant(), "po_1");
    assert_eq!(id, SettlementId::of_payout(&merchant(), "po_1"));
    assert_ne!(id, SettlementId::of_payout(&merchant(), "po_2"));
    assert_ne!(id, SettlementId::of_payout(&rival, "po_1"));
}

#[test]
fn the_framework_hands_commands_on_to_the_rules() {
    TestFramework::<Settlement>::with(())
        .given(standing(PayoutStatus::InTransit))
        .when(observe(seen(PayoutStatus::Paid)))
        .then_expect_events(vec![SettlementEvent::PayoutPaid(turn())]);
}

/// The snapshots of one life; the day of arrival is put off with every turn.
fn life(statuses: &[PayoutStatus], itemised_at: usize) -> Vec<PayoutSnapshot> {
    let snapshot = |(index, status): (usize, &PayoutStatus)| PayoutSnapshot {
        arrival_date: ARRIVAL + 86_400 * i64::from(u8::try_from(index).unwrap()),
        balance_transaction: (index > 0).then(|| "txn_1".to_owned()),
        reconciliation_status: if index < itemised_at {
            ReconciliationStatus::InProgress
        } else {
            ReconciliationStatus::Completed
        },
        ..seen(*status)
    };
    statuses.iter().enumerate().map(snapshot).collect()
}

fn lives() -> impl Strategy<Value = Vec<PayoutSnapshot>> {
    use PayoutStatus as S;
    let ways: Vec<Vec<S>> = vec![
        vec![S::Pending, S::InTransit, S::Paid],
        vec![S::Pending, S::InTransit, S::Paid, S::Failed],
        vec![S::Pending, S::InTransit, S::Failed],
        vec![S::Pending, S::Canceled],
    ];
    (select(ways), 0..5_usize).prop_map(|(way, itemised_at)| life(&way, itemised_at))
}

fn lived(snapshots: impl IntoIterator<Item = PayoutSnapshot>) -> Settlement {
    snapshots
        .into_iter()
        .fold(Settlement::default(), |state, it| {
            let events = state.decide(observe(it)).unwrap();
            after(state, events)
        })
}

proptest! {
    /// However the snapshots of one life are shuffled and repeated, the payout ends as if they had come in order.
    ///
    /// Red when a stage is entered from a lower rank, or when a turn's day of arrival is taken from an older snapshot.
    #[test]
    fn news_of_a_payout_may_come_in_any_order(life in lives(), order in prop::collection::vec(any::<Index>(), 0..12)) {
        let mut rest = life.clone();
        let mut told: Vec<PayoutSnapshot> = Vec::new();
        for index in order {
            told.push(index.get(&life).clone());
            if !rest.is_empty() {
                told.push(rest.swap_remove(index.index(rest.len())));
            }
        }
        told.extend(rest);
        prop_assert_eq!(lived(told), lived(life));
    }

    /// Whatever is said of a payout, its amount stays, it ends once, and the same said again is not recorded again.
    ///
    /// Red when a canceled payout can be paid.
    #[test]
    fn no_lie_undoes_what_is_known(lies in prop::collection::vec((select(PayoutStatus::iter().collect::<Vec<_>>()), 0..3_i64), 1..20)) {
        let mut state = after(Settlement::default(), standing(PayoutStatus::Pending));
        let mut ended = None;
        for (status, more) in lies {
            let told = PayoutSnapshot { amount: Money::new(95_00 + more / 2, usd(0).currency()), ..seen(status) };
            let events = state.decide(observe(told.clone())).unwrap();
            state = after(state, events);
            prop_assert_eq!(state.decide(observe(told)), Ok(vec![]));
            let facts = state.payout().unwrap();
            prop_assert_eq!(facts.amount, usd(95_00));
            prop_assert!(ended.is_none() || ended == Some(facts.status), "{:?} left", ended);
            ended = Some(facts.status).filter(|it| matches!(it, PayoutStatus::Failed | PayoutStatus::Canceled));
        }
    }
}
