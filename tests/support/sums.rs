//! What the accounts come to, told from the events alone by the pure rules of double entry: nothing of it is read from a row.

use aggregates::ledger::{self, Account, Entry, Side};
use aggregates::money::Currency;
use aggregates::order::{Order, OrderEvent};
use aggregates::payment::{Payment, PaymentEvent};
use aggregates::settlement::Settlement;
use cqrs_es::Aggregate;
use eventstore::Recorded;
use projections::books::Balances;
use std::collections::{BTreeMap, HashMap};

/// Debits and credits of each account, in minor units.
pub type Figures = BTreeMap<(Account, Currency), (i64, i64)>;

/// The sums after the events that were taken.
#[derive(Default)]
pub struct Sums {
    pub figures: Figures,
    payments: HashMap<String, Payment>,
    orders: HashMap<String, Order>,
}

impl Sums {
    pub fn take(&mut self, event: &Recorded) {
        let entries = match event.aggregate_type.as_str() {
            Payment::TYPE => {
                let fact: PaymentEvent = event.payload_as().unwrap();
                let it = self.payments.entry(event.aggregate_id.clone()).or_default();
                let entries = ledger::payment_entries(&fact, it);
                it.apply(&fact);
                entries
            }
            Order::TYPE => {
                let fact: OrderEvent = event.payload_as().unwrap();
                let it = self.orders.entry(event.aggregate_id.clone()).or_default();
                let entries = ledger::order_entries(&fact, it);
                it.apply(&fact);
                entries
            }
            Settlement::TYPE => ledger::settlement_entries(&event.payload_as().unwrap()),
            _ => vec![],
        };
        for line in entries.iter().flat_map(Entry::lines) {
            let at = (line.account, line.amount.currency());
            let (debit, credit) = self.figures.entry(at).or_default();
            match line.side {
                Side::Debit => *debit += line.amount.minor(),
                Side::Credit => *credit += line.amount.minor(),
            }
        }
    }
}

/// What the rows say.
pub fn told(balances: &Balances) -> Figures {
    let of = balances.balances.iter();
    of.map(|it| ((it.account, it.currency), (it.debit_minor, it.credit_minor)))
        .collect()
}
