//! `balances`: what each account was debited and credited in all.

use aggregates::ids::MerchantId;
use aggregates::ledger::{Entry, Side};
use eventstore::{Column, Kind, RowChange, Table};

/// The table's shape, for the append and for a rebuild.
pub const TABLE: Table = Table {
    name: "balances",
    key: &["merchant", "currency", "account"],
    columns: &[
        Column::replace("merchant", Kind::Text),
        Column::replace("currency", Kind::Text),
        Column::replace("account", Kind::Text),
        Column::add("debit_minor"),
        Column::add("credit_minor"),
    ],
};

/// What the entries of one event add to the accounts.
pub(crate) fn rows(merchant: &MerchantId, entries: &[Entry], event: usize) -> Vec<RowChange> {
    let lines = entries.iter().flat_map(|entry| entry.lines());
    lines
        .map(|line| {
            let (debit, credit) = match line.side {
                Side::Debit => (line.amount.minor(), 0),
                Side::Credit => (0, line.amount.minor()),
            };
            RowChange {
                table: TABLE.name,
                event,
                values: vec![
                    merchant.as_str().into(),
                    line.amount.currency().code().to_owned().into(),
                    line.account.as_str().into(),
                    debit.into(),
                    credit.into(),
                ],
            }
        })
        .collect()
}
