//! `payouts`: one row per payout of Stripe's, as it stands.

use crate::int8;
use crate::orders::{currency, merchant};
use aggregates::ids::PayoutId;
use aggregates::settlement::Facts;
use eventstore::{Column, Kind, RowChange, Table};

/// The table's shape, for the append and for a rebuild.
pub const TABLE: Table = Table {
    name: "payouts",
    key: &["merchant", "payout_id"],
    columns: &[
        Column::replace("merchant", Kind::Text),
        Column::replace("payout_id", Kind::Uuid),
        Column::replace("payout", Kind::Text),
        Column::replace("status", Kind::Text),
        Column::replace("currency", Kind::Text),
        Column::replace("amount_minor", Kind::Int8),
        Column::replace("arrival_date", Kind::Int8),
        Column::replace("created", Kind::Int8),
        Column::replace("automatic", Kind::Bool),
        Column::replace("method", Kind::Text),
        Column::replace("balance_transaction", Kind::Text),
        Column::replace("failure_code", Kind::Text),
        Column::replace("failure_balance_transaction", Kind::Text),
        Column::replace("reconciled", Kind::Bool),
        Column::replace("version", Kind::Int8),
    ],
};

/// The row of a payout at `version`.
pub(crate) fn row(id: PayoutId, facts: &Facts, version: u64, event: usize) -> RowChange {
    RowChange {
        table: TABLE.name,
        event,
        values: vec![
            merchant(&facts.merchant),
            id.uuid().into(),
            facts.payout.as_str().into(),
            facts.status.to_string().into(),
            currency(facts.amount),
            facts.amount.minor().into(),
            facts.arrival_date.into(),
            facts.created.into(),
            facts.automatic.into(),
            facts.method.as_str().into(),
            facts.balance_transaction.clone().into(),
            facts.failure_code.clone().into(),
            facts.failure_balance_transaction.clone().into(),
            facts.reconciled.into(),
            int8(version).into(),
        ],
    }
}
