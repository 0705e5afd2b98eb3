//! `refunds`: one row per refund, so that one can be found by its own id or by Stripe's.

use crate::orders::{currency, merchant};
use aggregates::ids::{MerchantId, PaymentId, RefundId};
use aggregates::payment::state::{Facts, Refund};
use eventstore::{Column, Kind, RowChange, Table};
use sqlx::PgConnection;
use uuid::Uuid;

/// The table's shape, for the append and for a rebuild.
pub const TABLE: Table = Table {
    name: "refunds",
    key: &["merchant", "refund_id"],
    columns: &[
        Column::replace("merchant", Kind::Text),
        Column::replace("refund_id", Kind::Uuid),
        Column::replace("payment_id", Kind::Uuid),
        Column::replace("stripe_refund", Kind::Text),
        Column::replace("status", Kind::Text),
        Column::replace("currency", Kind::Text),
        Column::replace("amount_minor", Kind::Int8),
    ],
};

/// The row of one refund of a payment.
pub(crate) fn row(payment: PaymentId, facts: &Facts, refund: &Refund, event: usize) -> RowChange {
    RowChange {
        table: TABLE.name,
        event,
        values: vec![
            merchant(&facts.merchant),
            refund.id.uuid().into(),
            payment.uuid().into(),
            refund.stripe_refund.clone().into(),
            refund.status.to_string().into(),
            currency(refund.amount),
            refund.amount.minor().into(),
        ],
    }
}

/// The payment and the id of the refund that Stripe calls `stripe_refund`.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_stripe_refund(
    connection: &mut PgConnection,
    merchant: &MerchantId,
    stripe_refund: &str,
) -> Result<Option<(PaymentId, RefundId)>, sqlx::Error> {
    let found: Option<(Uuid, Uuid)> = sqlx::query_as(
        "select payment_id, refund_id from refunds where merchant = $1 and stripe_refund = $2",
    )
    .bind(merchant.as_str())
    .bind(stripe_refund)
    .fetch_optional(connection)
    .await?;
    Ok(found.map(|(payment, refund)| (PaymentId::from_uuid(payment), RefundId::from_uuid(refund))))
}
