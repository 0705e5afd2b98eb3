//! `balance_transactions`: one row per movement of what Stripe holds, as it stands.

use crate::int8;
use crate::orders::{currency, merchant};
use aggregates::ids::{MerchantId, SettlementId};
use aggregates::settlement::Transaction;
use eventstore::{Column, Kind, RowChange, Table};
use sqlx::PgConnection;

/// The table's shape, for the append and for a rebuild.
pub const TABLE: Table = Table {
    name: "balance_transactions",
    key: &["merchant", "transaction_id"],
    columns: &[
        Column::replace("merchant", Kind::Text),
        Column::replace("transaction_id", Kind::Uuid),
        Column::replace("balance_transaction", Kind::Text),
        Column::replace("kind", Kind::Text),
        Column::replace("category", Kind::Text),
        Column::replace("source", Kind::Text),
        Column::replace("currency", Kind::Text),
        Column::replace("amount_minor", Kind::Int8),
        Column::replace("fee_minor", Kind::Int8),
        Column::replace("net_minor", Kind::Int8),
        Column::replace("origin_currency", Kind::Text),
        Column::replace("origin_minor", Kind::Int8),
        Column::replace("exchange_rate", Kind::Text),
        Column::replace("created", Kind::Int8),
        Column::replace("available_on", Kind::Int8),
        Column::replace("available", Kind::Bool),
        Column::replace("payout", Kind::Text),
        Column::replace("version", Kind::Int8),
    ],
};

/// The row of a balance transaction at `version`.
pub(crate) fn row(id: SettlementId, it: &Transaction, version: u64, event: usize) -> RowChange {
    let booked = &it.booked;
    RowChange {
        table: TABLE.name,
        event,
        values: vec![
            merchant(&booked.merchant),
            id.uuid().into(),
            booked.balance_transaction.as_str().into(),
            booked.kind.as_str().into(),
            booked.category.as_str().into(),
            booked.source.clone().into(),
            currency(booked.amount),
            booked.amount.minor().into(),
            booked.fee.minor().into(),
            booked.net.minor().into(),
            booked.origin.map(|it| it.currency().code()).into(),
            booked.origin.map(|it| it.minor()).into(),
            booked.exchange_rate.map(|it| it.to_string()).into(),
            booked.created.into(),
            it.available_on.into(),
            it.available.into(),
            it.payout.clone().into(),
            int8(version).into(),
        ],
    }
}

/// What is known of a balance transaction, as far as Stripe may tell it anew.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Known {
    pub balance_transaction: String,
    pub category: String,
    pub source: Option<String>,
    pub currency: String,
    pub amount_minor: i64,
    pub fee_minor: i64,
    pub available: bool,
    pub payout: Option<String>,
}

/// Those of the named balance transactions that are known.
///
/// # Errors
/// When the database cannot be read.
pub async fn known(
    connection: &mut PgConnection,
    merchant: &MerchantId,
    transactions: &[String],
) -> Result<Vec<Known>, sqlx::Error> {
    sqlx::query_as(
        "select balance_transaction, category, source, currency, amount_minor, fee_minor, available, payout
         from balance_transactions where merchant = $1 and balance_transaction = any($2)",
    )
    .bind(merchant.as_str())
    .bind(transactions)
    .fetch_all(connection)
    .await
}
