//! Payouts, balance transactions and bank lines, each event's golden file, and that no stream takes another's news.

mod bank_lines;
mod payouts;
mod transactions;

use super::*;
use crate::ids::SettlementId;
use crate::testing::{after, check_golden, eur, merchant, usd};
use chrono::NaiveDate;
use cqrs_es::DomainEvent;
use proptest::prelude::*;
use proptest::sample::Index;
use rust_decimal::dec;
use strum::IntoEnumIterator;

fn day(day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2025, 4, day).unwrap()
}

fn line_id() -> SettlementId {
    SettlementId::of_bank_line(&merchant(), "main", &["1"])
}

/// Each event with everything in it that it can hold.
fn sample(kind: SettlementEventKind) -> SettlementEvent {
    use SettlementEvent as E;
    use SettlementEventKind as K;
    let turn = || Turn {
        arrival_date: payouts::ARRIVAL,
        balance_transaction: Some("txn_1".to_owned()),
    };
    match kind {
        K::PayoutObserved => E::PayoutObserved(Box::new(PayoutObserved {
            merchant: merchant(),
            payout: "po_1".to_owned(),
            amount: usd(95_00),
            arrival_date: payouts::ARRIVAL,
            created: 1_743_415_050,
            automatic: true,
            method: "standard".to_owned(),
            balance_transaction: Some("txn_1".to_owned()),
        })),
        K::PayoutInTransit => E::PayoutInTransit(turn()),
        K::PayoutPaid => E::PayoutPaid(turn()),
        K::PayoutFailed => E::PayoutFailed {
            turn: turn(),
            code: Some("account_closed".to_owned()),
            failure_balance_transaction: Some("txn_2".to_owned()),
        },
        K::PayoutCanceled => E::PayoutCanceled(turn()),
        K::PayoutReconciled => E::PayoutReconciled,
        K::PayoutItemised => E::PayoutItemised(Items {
            count: 3,
            net: usd(95_00),
        }),
        K::PayoutArrived => E::PayoutArrived { line: line_id() },
        K::PayoutReturned => E::PayoutReturned { line: line_id() },
        K::PayoutUnmatched => E::PayoutUnmatched { line: line_id() },
        K::BalanceTransactionObserved => E::BalanceTransactionObserved(Box::new(booked())),
        K::BalanceTransactionAvailable => E::BalanceTransactionAvailable {
            available_on: payouts::ARRIVAL,
        },
        K::BalanceTransactionPaidOut => E::BalanceTransactionPaidOut {
            payout: "po_1".to_owned(),
        },
        K::BankLineImported => E::BankLineImported(Box::new(bank_line())),
        K::BankLineMatched => E::BankLineMatched {
            payout: "po_1".to_owned(),
            amount: usd(95_00),
            booked_on: day(1),
        },
        K::BankLineUnmatched => E::BankLineUnmatched {
            payout: "po_1".to_owned(),
            amount: usd(95_00),
            booked_on: day(1),
        },
        K::ObservationRefused => E::ObservationRefused {
            said: "said".to_owned(),
            because: "because".to_owned(),
        },
    }
}

fn booked() -> BalanceTransactionObserved {
    BalanceTransactionObserved {
        merchant: merchant(),
        balance_transaction: "txn_3".to_owned(),
        kind: "charge".to_owned(),
        category: "charge".to_owned(),
        amount: usd(108_00),
        fee: usd(3_43),
        fees: vec![Fee {
            kind: "stripe_fee".to_owned(),
            amount: usd(3_43),
        }],
        net: usd(104_57),
        source: Some("ch_1".to_owned()),
        origin: Some(eur(100_00)),
        exchange_rate: Some(dec!(1.08)),
        created: 1_743_415_050,
        available_on: payouts::ARRIVAL,
        available: false,
    }
}

fn bank_line() -> BankLineImported {
    BankLineImported {
        merchant: merchant(),
        account: "main".to_owned(),
        booked_on: day(1),
        value_on: Some(day(2)),
        amount: usd(95_00),
        names_payout: Some("po_1".to_owned()),
        names_stripe: true,
    }
}

/// Red when a field is renamed, a variant is added without its file, or a default changes what is written.
#[test]
fn every_event_is_written_as_its_golden_file_says_and_read_back() {
    for kind in SettlementEventKind::iter() {
        let event = sample(kind);
        let name: &'static str = kind.into();
        assert_eq!(
            (event.event_type(), event.event_version()),
            (name.to_owned(), "1.0".to_owned())
        );
        check_golden("settlement", name, &event);
    }
}

/// The three kinds, each with a command that begins it and the ones that go on with it.
fn kinds() -> [(SettlementEvent, Vec<SettlementCommand>); 3] {
    use SettlementEventKind as K;
    [
        (
            sample(K::PayoutObserved),
            vec![
                payouts::observe(payouts::seen(PayoutStatus::Paid)),
                SettlementCommand::Itemise(Items {
                    count: 3,
                    net: usd(95_00),
                }),
                SettlementCommand::MeetBankLine {
                    line: line_id(),
                    amount: usd(95_00),
                },
            ],
        ),
        (
            sample(K::BalanceTransactionObserved),
            vec![transactions::observe(transactions::seen())],
        ),
        (
            sample(K::BankLineImported),
            vec![
                SettlementCommand::ImportBankLine(Box::new(bank_line())),
                SettlementCommand::MatchPayout {
                    payout: "po_1".to_owned(),
                },
            ],
        ),
    ]
}

/// Red when a rule looks for the kind it is about only after it has answered.
#[test]
fn a_stream_of_one_kind_takes_nothing_of_another() {
    let kinds = kinds();
    for (index, (begun, own)) in kinds.iter().enumerate() {
        let state = after(Settlement::default(), [begun.clone()]);
        for (other, (_, commands)) in kinds.iter().enumerate() {
            for command in commands {
                let decided = state.decide(command.clone());
                let refused = matches!(decided, Err(SettlementError::Another { .. }));
                assert_eq!(refused, index != other, "{command:?} of {}", state.name());
            }
        }
        assert!(!own.is_empty());
    }
}

proptest! {
    /// Any events in any order are taken without a panic, and so is every question after them.
    ///
    /// Red when `apply` unwraps the kind that an event is about.
    #[test]
    fn facts_never_fail(events in prop::collection::vec((any::<Index>(), any::<i64>()), 0..30)) {
        let kinds: Vec<SettlementEventKind> = SettlementEventKind::iter().collect();
        let mut state = Settlement::default();
        for (kind, minor) in events {
            let mut event = sample(kinds[kind.index(kinds.len())]);
            if let SettlementEvent::BalanceTransactionObserved(it) = &mut event {
                (it.amount, it.fee) = (usd(minor), usd(minor.wrapping_mul(3)));
            }
            if let SettlementEvent::BankLineMatched { amount, .. }
            | SettlementEvent::BankLineUnmatched { amount, .. } = &mut event
            {
                *amount = usd(minor);
            }
            for entry in crate::ledger::settlement_entries(&event) {
                prop_assert!(!entry.lines().is_empty());
            }
            state.apply(&event);
            let _ = state.decide(transactions::observe(transactions::seen()));
            let _ = state.decide(payouts::observe(payouts::seen(PayoutStatus::Failed)));
            let _ = state.decide(SettlementCommand::MeetBankLine { line: line_id(), amount: usd(minor) });
        }
    }
}
