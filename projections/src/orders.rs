//! `orders`: one row per order, as it stands.

use crate::int8;
use aggregates::ids::{MerchantId, OrderId};
use aggregates::money::Money;
use aggregates::order::state::{Facts, Status, WayToPay};
use eventstore::{Column, Kind, RowChange, Table, Value};

/// The table's shape, for the append and for a rebuild.
pub const TABLE: Table = Table {
    name: "orders",
    key: &["merchant", "order_id"],
    columns: &[
        Column::replace("merchant", Kind::Text),
        Column::replace("order_id", Kind::Uuid),
        Column::replace("source", Kind::Text),
        Column::replace("reference", Kind::Text),
        Column::replace("number", Kind::Text),
        Column::replace("customer", Kind::Text),
        Column::replace("status", Kind::Text),
        Column::replace("currency", Kind::Text),
        Column::replace("total_minor", Kind::Int8),
        Column::replace("live_payment", Kind::Uuid),
        Column::replace("paid_by", Kind::Uuid),
        Column::replace("mispaid_minor", Kind::Int8),
        Column::keep("short_id", Kind::Text),
        Column::replace("version", Kind::Int8),
    ],
};

/// The row of an order at `version`.
pub(crate) fn row(id: OrderId, facts: &Facts, version: u64, event: usize) -> RowChange {
    let (status, paid_by) = match &facts.status {
        Status::Open => ("open", None),
        Status::Paid { payment } => ("paid", Some(payment.uuid())),
        Status::Cancelled { .. } => ("cancelled", None),
    };
    let live = facts.live.as_ref().map(|way| match way {
        WayToPay::Payment { payment, .. } => payment.uuid(),
        WayToPay::Opening { checkout, .. } | WayToPay::Checkout { checkout, .. } => checkout.uuid(),
    });
    let mispaid = facts
        .mispaid
        .values()
        .map(|money| money.minor())
        .fold(0, i64::saturating_add);
    RowChange {
        table: TABLE.name,
        event,
        values: vec![
            merchant(&facts.merchant),
            id.uuid().into(),
            facts.source.as_str().into(),
            facts.reference.as_str().into(),
            facts.number.clone().into(),
            facts.customer.clone().into(),
            status.into(),
            currency(facts.price.total),
            facts.price.total.minor().into(),
            live.into(),
            paid_by.into(),
            mispaid.into(),
            facts.short_id(id).into(),
            int8(version).into(),
        ],
    }
}

pub(crate) fn merchant(it: &MerchantId) -> Value {
    it.as_str().into()
}

pub(crate) fn currency(of: Money) -> Value {
    of.currency().code().to_owned().into()
}
