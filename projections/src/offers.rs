//! `offers`: one row per offer of the catalogue, as it stands.

use crate::int8;
use crate::orders::merchant;
use aggregates::catalogue::offer::Facts;
use aggregates::ids::OfferId;
use eventstore::{Column, Kind, RowChange, Table};

/// The table's shape, for the append and for a rebuild.
pub const TABLE: Table = Table {
    name: "offers",
    key: &["merchant", "offer_id"],
    columns: &[
        Column::replace("merchant", Kind::Text),
        Column::replace("offer_id", Kind::Uuid),
        Column::replace("number", Kind::Text),
        Column::replace("currency", Kind::Text),
        Column::replace("products", Kind::Int8),
        Column::replace("selected", Kind::Int8),
        Column::replace("expires_at", Kind::Timestamptz),
        Column::replace("withdrawn", Kind::Bool),
        Column::replace("version", Kind::Int8),
    ],
};

/// The row of an offer at `version`.
pub(crate) fn row(id: OfferId, facts: &Facts, version: u64, event: usize) -> RowChange {
    let products = facts.groups.iter().map(|group| group.items.len()).sum();
    RowChange {
        table: TABLE.name,
        event,
        values: vec![
            merchant(&facts.published.merchant),
            id.uuid().into(),
            facts.published.number.as_str().into(),
            facts.published.currency.code().into(),
            count(products).into(),
            count(facts.selection.len()).into(),
            facts.published.expires_at.into(),
            facts.withdrawn.is_some().into(),
            int8(version).into(),
        ],
    }
}

fn count(of: usize) -> i64 {
    i64::try_from(of).expect("an offer holds fewer than 2^63 products")
}
