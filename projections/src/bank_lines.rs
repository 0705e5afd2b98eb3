//! `bank_lines`: one row per line of a bank statement, as it stands.

use crate::int8;
use crate::orders::{currency, merchant};
use aggregates::ids::{MerchantId, SettlementId};
use aggregates::settlement::BankLine;
use eventstore::{Column, Kind, RowChange, Table};
use sqlx::PgConnection;
use uuid::Uuid;

/// The table's shape, for the append and for a rebuild.
pub const TABLE: Table = Table {
    name: "bank_lines",
    key: &["merchant", "line_id"],
    columns: &[
        Column::replace("merchant", Kind::Text),
        Column::replace("line_id", Kind::Uuid),
        Column::replace("account", Kind::Text),
        Column::replace("booked_on", Kind::Text),
        Column::replace("value_on", Kind::Text),
        Column::replace("currency", Kind::Text),
        Column::replace("amount_minor", Kind::Int8),
        Column::replace("names_payout", Kind::Text),
        Column::replace("names_stripe", Kind::Bool),
        Column::replace("matched", Kind::Text),
        Column::replace("by_hand", Kind::Bool),
        Column::replace("version", Kind::Int8),
    ],
};

/// The row of a bank's line at `version`.
pub(crate) fn row(id: SettlementId, it: &BankLine, version: u64, event: usize) -> RowChange {
    let line = &it.line;
    RowChange {
        table: TABLE.name,
        event,
        values: vec![
            merchant(&line.merchant),
            id.uuid().into(),
            line.account.as_str().into(),
            line.booked_on.to_string().into(),
            line.value_on.map(|day| day.to_string()).into(),
            currency(line.amount),
            line.amount.minor().into(),
            line.names_payout.clone().into(),
            line.names_stripe.into(),
            it.matched.clone().into(),
            it.by_hand.into(),
            int8(version).into(),
        ],
    }
}

/// Lines that no payout was found for and that some awaited payout has the amount of, oldest first, after `after` (a day and
/// an id).
///
/// # Errors
/// When the database cannot be read.
pub async fn matchable(
    connection: &mut PgConnection,
    merchant: &MerchantId,
    after: Option<(&str, SettlementId)>,
    limit: i64,
) -> Result<Vec<(String, SettlementId)>, sqlx::Error> {
    let (day, id) = after.map_or(("", Uuid::nil()), |(day, id)| (day, id.uuid()));
    let rows: Vec<(String, Uuid)> = sqlx::query_as(
        "select booked_on, line_id from bank_lines line
         where merchant = $1 and matched is null and not by_hand and (booked_on, line_id) > ($2, $3) and exists (
             select 1 from payouts awaited
             where awaited.merchant = $1 and awaited.currency = line.currency
               and awaited.amount_minor in (line.amount_minor, -line.amount_minor)
               and (awaited.arrived_line is null or awaited.returned_line is null))
         order by booked_on, line_id limit $4",
    )
    .bind(merchant.as_str())
    .bind(day)
    .bind(id)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    let named = rows.into_iter();
    Ok(named
        .map(|(day, id)| (day, SettlementId::from_uuid(id)))
        .collect())
}

/// A line as its row has it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Row {
    pub line_id: Uuid,
    pub account: String,
    /// Days, as `2025-04-01`.
    pub booked_on: String,
    pub value_on: Option<String>,
    pub currency: String,
    pub amount_minor: i64,
    pub names_payout: Option<String>,
    pub names_stripe: bool,
    pub matched: Option<String>,
    pub by_hand: bool,
}

/// Lines by id, at most `limit` after `after`: all, or those that are matched, or are not.
///
/// # Errors
/// When the database cannot be read.
pub async fn page(
    connection: &mut PgConnection,
    merchant: &MerchantId,
    matched: Option<bool>,
    after: Option<SettlementId>,
    limit: i64,
) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as(
        "select line_id, account, booked_on, value_on, currency, amount_minor, names_payout, names_stripe, matched, by_hand
         from bank_lines
         where merchant = $1 and ($2::boolean is null or (matched is not null) = $2) and ($3::uuid is null or line_id > $3)
         order by line_id limit $4",
    )
    .bind(merchant.as_str())
    .bind(matched)
    .bind(after.map(SettlementId::uuid))
    .bind(limit)
    .fetch_all(connection)
    .await
}
