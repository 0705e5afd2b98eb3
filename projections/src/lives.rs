//! All that was told of an order or a payment, wherever it was told: in its own stream, in those of an order's payments, and in
//! those of what Stripe booked for them.

use aggregates::ids::{MerchantId, OrderId, PaymentId, SettlementId};
use aggregates::order::Order;
use aggregates::payment::Payment;
use aggregates::settlement::Settlement;
use cqrs_es::Aggregate;
use eventstore::{BoxError, Recorded, read_streams};
use sqlx::PgConnection;

/// What is asked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    Order(OrderId),
    Payment(PaymentId),
}

/// The events, in the order of the ledger, as far as a position of it; none where it had not begun by then.
///
/// # Errors
/// When they cannot be read.
pub async fn life(
    connection: &mut PgConnection,
    merchant: &MerchantId,
    subject: Subject,
    upto: i64,
) -> Result<Vec<Recorded>, BoxError> {
    let (mut life, payments) = match subject {
        Subject::Order(id) => {
            let own = stream(
                connection,
                Order::TYPE,
                vec![id.aggregate_id(merchant)],
                upto,
            )
            .await?;
            let order: Order = folded(&own)?;
            let payments = order
                .facts()
                .map(|it| it.payments.keys().copied().collect());
            (own, payments.unwrap_or_default())
        }
        Subject::Payment(id) => (Vec::new(), vec![id]),
    };
    let mut named = Vec::new();
    for id in payments {
        let own = stream(
            connection,
            Payment::TYPE,
            vec![id.aggregate_id(merchant)],
            upto,
        )
        .await?;
        named.extend(at_stripe(&folded(&own)?));
        life.extend(own);
    }
    let bookings = bookings_of(connection, merchant, &named).await?;
    life.extend(stream(connection, Settlement::TYPE, bookings, upto).await?);
    life.sort_by_key(|it| it.ledger_position);
    Ok(life)
}

async fn stream(
    connection: &mut PgConnection,
    kind: &str,
    ids: Vec<String>,
    upto: i64,
) -> Result<Vec<Recorded>, BoxError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    Ok(read_streams(connection, kind, &ids, upto).await?)
}

fn folded<A: Aggregate>(life: &[Recorded]) -> Result<A, BoxError> {
    let mut aggregate = A::default();
    for it in life {
        aggregate.apply(it.payload_as()?);
    }
    Ok(aggregate)
}

/// The objects of Stripe's that move a payment's money.
fn at_stripe(payment: &Payment) -> Vec<String> {
    let Some(facts) = payment.facts() else {
        return Vec::new();
    };
    let refunds = facts.refunds.iter();
    let refunds = refunds.filter_map(|it| it.stripe_refund.clone());
    let disputes = facts.disputes.keys().cloned();
    let charge = facts.charge.clone().into_iter();
    charge.chain(refunds).chain(disputes).collect()
}

/// The streams of what Stripe booked for these objects of its own.
async fn bookings_of(
    connection: &mut PgConnection,
    merchant: &MerchantId,
    sources: &[String],
) -> Result<Vec<String>, sqlx::Error> {
    let ids: Vec<uuid::Uuid> = sqlx::query_scalar(
        "select transaction_id from balance_transactions where merchant = $1 and source = any($2)",
    )
    .bind(merchant.as_str())
    .bind(sources)
    .fetch_all(connection)
    .await?;
    let stream = |id| SettlementId::from_uuid(id).aggregate_id(merchant);
    Ok(ids.into_iter().map(stream).collect())
}
