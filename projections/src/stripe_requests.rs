//! `stripe_requests`: one row per change that was asked of Stripe outside of payments, so that one without an answer is found.

use crate::int8;
use crate::orders::merchant;
use aggregates::stripe_request::{Facts, Status};
use eventstore::{Column, Kind, RowChange, Table};

/// The table's shape, for the append and for a rebuild.
pub const TABLE: Table = Table {
    name: "stripe_requests",
    key: &["merchant", "request_id"],
    columns: &[
        Column::replace("merchant", Kind::Text),
        Column::replace("request_id", Kind::Uuid),
        Column::replace("method", Kind::Text),
        Column::replace("path", Kind::Text),
        Column::replace("status", Kind::Text),
        Column::replace("object", Kind::Text),
        Column::replace("stripe_id", Kind::Text),
        Column::replace("pending_intention", Kind::Uuid),
        Column::replace("version", Kind::Int8),
    ],
};

/// The row of a request.
pub(crate) fn row(facts: &Facts, version: u64, event: usize) -> RowChange {
    let pending = (facts.status == Status::Requested).then(|| facts.request.intention.uuid());
    RowChange {
        table: TABLE.name,
        event,
        values: vec![
            merchant(&facts.request.merchant),
            facts.request.intention.uuid().into(),
            facts.request.method.to_string().into(),
            facts.request.path.clone().into(),
            facts.status.to_string().into(),
            facts.object.clone().into(),
            facts.id.clone().into(),
            pending.into(),
            int8(version).into(),
        ],
    }
}
