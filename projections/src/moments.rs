//! Where a moment lies in a merchant's ledger.

use aggregates::ids::MerchantId;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// The last position, up to `upto`, that was recorded by that moment; zero where none was.
///
/// Nothing is ever recorded with an earlier time than what is before it, so that the ledger is halved until it is found: some
/// twenty looks into the index of a million events, wherever the moment lies.
pub(crate) async fn last_by(
    connection: &mut PgConnection,
    merchant: &MerchantId,
    upto: i64,
    moment: DateTime<Utc>,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "with recursive halved (low, high) as (
             select 0::bigint, $2::bigint
             union all
             select case when by_then then middle else low end, case when by_then then high else middle - 1 end
             from halved, lateral (
                 select ledger_position as middle, recorded_at <= $3 as by_then from events
                 where ledger = $1 and ledger_position = (low + high + 1) / 2) it
             where low < high)
         select low from halved where low >= high",
    )
    .bind(merchant.as_str())
    .bind(upto)
    .bind(moment)
    .fetch_one(connection)
    .await
}
