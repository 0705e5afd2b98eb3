//! `payouts`: one row per payout of Stripe's, as it stands.

use crate::int8;
use crate::orders::{currency, merchant};
use aggregates::ids::{MerchantId, SettlementId};
use aggregates::money::{Currency, Money};
use aggregates::settlement::{BankLineImported, Candidate, Payout};
use eventstore::{Column, Kind, RowChange, Table};
use sqlx::PgConnection;
use uuid::Uuid;

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
        Column::replace("items_count", Kind::Int8),
        Column::replace("items_net_minor", Kind::Int8),
        Column::replace("arrived_line", Kind::Uuid),
        Column::replace("returned_line", Kind::Uuid),
        Column::replace("version", Kind::Int8),
    ],
};

/// The row of a payout at `version`.
pub(crate) fn row(id: SettlementId, facts: &Payout, version: u64, event: usize) -> RowChange {
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
            facts.items.map(|it| int8(it.count)).into(),
            facts.items.map(|it| it.net.minor()).into(),
            facts.arrived.map(SettlementId::uuid).into(),
            facts.returned.map(SettlementId::uuid).into(),
            int8(version).into(),
        ],
    }
}

/// Payouts whose balance transactions Stripe can tell and that were not counted yet: Stripe's ids, after `after`.
///
/// # Errors
/// When the database cannot be read.
pub async fn to_itemise(
    connection: &mut PgConnection,
    merchant: &MerchantId,
    after: &str,
    limit: i64,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "select payout from payouts
         where merchant = $1 and automatic and reconciled and items_count is null and payout > $2
         order by payout limit $3",
    )
    .bind(merchant.as_str())
    .bind(after)
    .bind(limit)
    .fetch_all(connection)
    .await
}

/// A payout that may be that of a bank's line, as its row has it.
#[derive(sqlx::FromRow)]
struct Awaited {
    payout_id: Uuid,
    payout: String,
    amount_minor: i64,
    status: String,
    arrival_date: i64,
    arrived: bool,
    returned: bool,
}

/// The payouts whose arrival or return the line may be: of its amount, and not found at the bank yet.
///
/// # Errors
/// When the database cannot be read.
pub async fn awaited(
    connection: &mut PgConnection,
    merchant: &MerchantId,
    line: &BankLineImported,
) -> Result<Vec<Candidate>, sqlx::Error> {
    let currency = line.amount.currency();
    let rows: Vec<Awaited> = sqlx::query_as(
        "select payout_id, payout, amount_minor, status, arrival_date,
                arrived_line is not null as arrived, returned_line is not null as returned
         from payouts where merchant = $1 and currency = $2 and amount_minor in ($3, -$3)
           and (arrived_line is null or returned_line is null)
         order by arrival_date, payout",
    )
    .bind(merchant.as_str())
    .bind(currency.code())
    .bind(line.amount.minor())
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|it| it.candidate(currency)).collect()
}

impl Awaited {
    fn candidate(self, currency: Currency) -> Result<Candidate, sqlx::Error> {
        let status = self.status.parse();
        Ok(Candidate {
            id: SettlementId::from_uuid(self.payout_id),
            amount: Money::new(self.amount_minor, currency),
            status: status.map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            payout: self.payout,
            arrival_date: self.arrival_date,
            arrived: self.arrived,
            returned: self.returned,
        })
    }
}
