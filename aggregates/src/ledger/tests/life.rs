//! Whole generated lives, from the capture to the bank: what must be left in each account when all is settled.

use super::settlement::transaction;
use super::{
    applied, captured_of, closed_of, failed, payment, refunded, reinstated_of, withdrawn_of,
};
use crate::ledger::{Account, Entry, Side, payment_entries, settlement_entries};
use crate::money::{Currency, Money};
use crate::settlement::{BalanceTransactionObserved, SettlementEvent};
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeMap;

/// What becomes of a refund.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Succeeds,
    /// It had succeeded, and its money came back.
    FailsLater,
    /// It never was more than pending.
    FailsPending,
}

#[derive(Debug, Clone)]
struct Life {
    minor: i64,
    /// What Stripe pays for 100 of it, in the currency of the balance; none where they are the same.
    rate: Option<i64>,
    fee: i64,
    applied: bool,
    refunds: Vec<(i64, Fate)>,
    /// Whether a dispute of the whole is won.
    dispute: Option<bool>,
}

fn life() -> impl Strategy<Value = Life> {
    let fate = select(vec![Fate::Succeeds, Fate::FailsLater, Fate::FailsPending]);
    let refunds = prop::collection::vec((1..50_00_i64, fate), 0..4);
    let rate = proptest::option::of(50..200_i64);
    (
        100..999_999_i64,
        rate,
        0..100_i64,
        any::<bool>(),
        refunds,
        any::<Option<bool>>(),
    )
        .prop_map(|(minor, rate, fee, applied, refunds, dispute)| Life {
            minor,
            rate,
            fee,
            applied,
            refunds,
            dispute,
        })
}

/// The books: debits less credits by account and currency.
#[derive(Default)]
struct Books {
    sums: BTreeMap<(Account, Currency), i64>,
    net: BTreeMap<Currency, i64>,
}

impl Books {
    fn post(&mut self, entries: &[Entry]) {
        for line in entries.iter().flat_map(Entry::lines) {
            let sum = self
                .sums
                .entry((line.account, line.amount.currency()))
                .or_default();
            match line.side {
                Side::Debit => *sum += line.amount.minor(),
                Side::Credit => *sum -= line.amount.minor(),
            }
        }
    }

    fn of(&self, account: Account) -> BTreeMap<Currency, i64> {
        let of_account = self
            .sums
            .iter()
            .filter(|((it, _), sum)| *it == account && **sum != 0);
        of_account
            .map(|((_, currency), sum)| (*currency, *sum))
            .collect()
    }

    /// Stripe books a movement of `moved` (with its sign).
    fn book(&mut self, life: &Life, category: &str, moved: i64, fee: i64) {
        let presented = life.currency();
        let origin = Money::new(moved, presented);
        let amount = match life.rate {
            Some(rate) => Money::new(moved * rate / 100, Currency::USD),
            None => origin,
        };
        let fee = Money::new(fee, amount.currency());
        let it = BalanceTransactionObserved {
            origin: Some(origin),
            ..transaction(category, amount, fee)
        };
        *self.net.entry(it.net.currency()).or_default() += it.net.minor();
        self.post(&settlement_entries(
            &SettlementEvent::BalanceTransactionObserved(Box::new(it)),
        ));
    }

    /// Pays everything out that Stripe holds; it arrives, or is sent back and arrives in the end.
    fn pay_out(&mut self, sent_back: bool) {
        for (currency, minor) in self.net.clone() {
            let amount = Money::new(minor, currency);
            let none = Money::zero(currency);
            let book = |books: &mut Self, category: &str, amount: Money| {
                let it = transaction(category, amount, none);
                *books.net.entry(currency).or_default() += amount.minor();
                books.post(&settlement_entries(
                    &SettlementEvent::BalanceTransactionObserved(Box::new(it)),
                ));
            };
            let back = Money::new(-minor, currency);
            let mut lines = vec![amount];
            if sent_back {
                book(self, "payout", back);
                book(self, "payout_reversal", amount);
                lines.extend([back, amount]);
            }
            book(self, "payout", back);
            for amount in lines {
                let matched = SettlementEvent::BankLineMatched {
                    payout: "po_1".to_owned(),
                    amount,
                    booked_on: super::settlement::DAY,
                };
                self.post(&settlement_entries(&matched));
            }
        }
    }
}

impl Life {
    fn currency(&self) -> Currency {
        if self.rate.is_some() {
            Currency::EUR
        } else {
            Currency::USD
        }
    }

    fn live(&self, books: &mut Books) {
        let whole = Money::new(self.minor, self.currency());
        let mut events = vec![captured_of(whole)];
        books.book(self, "charge", self.minor, self.fee);
        events.extend(self.applied.then(|| applied(whole)));
        for (number, (minor, fate)) in (10..).zip(&self.refunds) {
            let amount = Money::new(*minor, self.currency());
            books.book(self, "refund", -minor, 0);
            match fate {
                Fate::Succeeds => events.push(refunded(number, amount)),
                Fate::FailsLater => {
                    events.extend([refunded(number, amount), failed(number, amount, true)])
                }
                Fate::FailsPending => events.push(failed(number, amount, false)),
            }
            if !matches!(fate, Fate::Succeeds) {
                books.book(self, "refund_failure", *minor, 0);
            }
        }
        if let Some(won) = self.dispute {
            books.book(self, "dispute", -self.minor, 15_00);
            events.push(withdrawn_of(whole));
            if won {
                books.book(self, "dispute_reversal", self.minor, 0);
                events.push(reinstated_of(whole));
            }
            events.push(closed_of(whole, won));
        }
        let mut before = payment([]);
        for event in events {
            books.post(&payment_entries(&event, &before));
            before.apply(&event);
        }
    }

    /// What the customer paid and did not get back, less what a lost dispute took.
    fn kept(&self) -> i64 {
        let back = self
            .refunds
            .iter()
            .filter(|(_, fate)| matches!(fate, Fate::Succeeds));
        self.minor - back.map(|(minor, _)| minor).sum::<i64>()
    }
}

proptest! {
    /// Whatever becomes of payments, once Stripe has booked it all and paid it out, nothing is left under way: clearing, what
    /// is disputed and what is in transit are zero in every currency, Stripe holds what its transactions come to, and what was
    /// taken and not given back is owed to customers.
    ///
    /// Red when a failed refund or a dispute is posted against the balance by the payment as well as by its transaction, when
    /// the fee of a dispute is posted twice, or when an exchanged refund clears the currency of the balance.
    #[test]
    fn nothing_is_left_under_way_when_all_is_settled(lives in prop::collection::vec(life(), 1..8), sent_back: bool) {
        let mut books = Books::default();
        lives.iter().for_each(|it| it.live(&mut books));
        let nothing = BTreeMap::new();
        prop_assert_eq!(books.of(Account::StripeClearing), nothing.clone());
        prop_assert_eq!(books.of(Account::StripeDisputed), nothing.clone());
        prop_assert_eq!(books.of(Account::Suspense), nothing.clone());
        let held: BTreeMap<_, _> = books.net.clone().into_iter().filter(|(_, minor)| *minor != 0).collect();
        prop_assert_eq!(books.of(Account::StripeBalance), held.clone());

        books.pay_out(sent_back);
        prop_assert_eq!(books.of(Account::StripeBalance), nothing.clone());
        prop_assert_eq!(books.of(Account::BankInTransit), nothing);
        prop_assert_eq!(books.of(Account::Bank), held);
        for currency in [Currency::USD, Currency::EUR] {
            let all: i64 = books.sums.iter().filter(|((_, of), _)| *of == currency).map(|(_, sum)| sum).sum();
            prop_assert_eq!(all, 0);
            let owed = |account| books.of(account).get(&currency).copied().unwrap_or(0);
            let kept: i64 = lives.iter().filter(|it| it.currency() == currency).map(Life::kept).sum();
            prop_assert_eq!(owed(Account::CustomersUnapplied) + owed(Account::Refunds), -kept);
        }
    }
}
