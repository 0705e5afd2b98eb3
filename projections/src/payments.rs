//! `payments`: one row per payment, as it stands; found by Stripe's id, and by what still waits for an answer.

use crate::int8;
use crate::orders::{currency, merchant};
use aggregates::ids::{IntentionId, MerchantId, PaymentId};
use aggregates::payment::Description;
use aggregates::payment::state::{Facts, RefundStatus};
use eventstore::{Column, Kind, RowChange, Table, Value};
use sqlx::PgConnection;
use uuid::Uuid;

/// The table's shape, for the append and for a rebuild.
pub const TABLE: Table = Table {
    name: "payments",
    key: &["merchant", "payment_id"],
    columns: &[
        Column::replace("merchant", Kind::Text),
        Column::replace("payment_id", Kind::Uuid),
        Column::replace("order_id", Kind::Uuid),
        Column::replace("intent", Kind::Text),
        Column::replace("status", Kind::Text),
        Column::replace("currency", Kind::Text),
        Column::replace("amount_minor", Kind::Int8),
        Column::replace("captured_minor", Kind::Int8),
        Column::replace("refunded_minor", Kind::Int8),
        Column::replace("pending_intention", Kind::Uuid),
        Column::keep("short_id", Kind::Text),
        Column::replace("charge", Kind::Text),
        Column::replace("reference", Kind::Text),
        Column::replace("reference_origin", Kind::Text),
        Column::replace("return_url", Kind::Text),
        Column::replace("metadata", Kind::Jsonb),
        Column::replace("listed", Kind::Bool),
        Column::keep("created_at", Kind::Timestamptz),
        Column::replace("updated_at", Kind::Timestamptz),
        Column::replace("version", Kind::Int8),
    ],
};

/// The row of a payment at `version`.
pub(crate) fn row(id: PaymentId, facts: &Facts, version: u64, event: usize) -> RowChange {
    let said = |part: fn(&Description) -> &Option<String>| {
        let text = facts
            .described
            .as_deref()
            .and_then(|it| part(it).as_deref());
        // A row holds no NUL, and facts are never refused.
        text.map(|text| text.replace('\0', "")).into()
    };
    let listed = facts.order.is_some() && facts.intent.is_some() && !facts.discarded;
    RowChange {
        table: TABLE.name,
        event,
        values: vec![
            merchant(&facts.merchant),
            id.uuid().into(),
            facts.order.map(|order| order.uuid()).into(),
            facts.intent.as_ref().map(|intent| intent.id.clone()).into(),
            facts.status.to_string().into(),
            currency(facts.amount),
            facts.amount.minor().into(),
            facts.captured.minor().into(),
            facts.refunded().minor().into(),
            open_intention(facts).map(IntentionId::uuid).into(),
            id.short().into(),
            facts.charge.clone().into(),
            said(|it| &it.reference),
            said(|it| &it.reference_origin),
            said(|it| &it.return_url),
            Value::Json(metadata(facts)),
            listed.into(),
            Value::RecordedAt,
            Value::RecordedAt,
            int8(version).into(),
        ],
    }
}

/// For finding it by. PostgreSQL's jsonb holds no NUL.
fn metadata(facts: &Facts) -> String {
    let text = serde_json::Value::Object(facts.said_metadata()).to_string();
    if text.contains("\\u0000") {
        return "{}".to_owned();
    }
    text
}

/// An intention of the payment that Stripe has not answered: its step, or its oldest refund (which is found among the
/// `refunds` as well).
fn open_intention(facts: &Facts) -> Option<IntentionId> {
    let step = facts.pending.as_ref().map(|pending| pending.intention);
    let refunds = facts
        .refunds
        .iter()
        .filter(|refund| refund.status == RefundStatus::Requested);
    step.or(refunds.map(|refund| refund.id).min())
}

/// The payment that Stripe's intent `intent` belongs to.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_intent(
    connection: &mut PgConnection,
    merchant: &MerchantId,
    intent: &str,
) -> Result<Option<PaymentId>, sqlx::Error> {
    let found: Option<Uuid> =
        sqlx::query_scalar("select payment_id from payments where merchant = $1 and intent = $2")
            .bind(merchant.as_str())
            .bind(intent)
            .fetch_optional(connection)
            .await?;
    Ok(found.map(PaymentId::from_uuid))
}
