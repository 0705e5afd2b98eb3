//! `articles`: one row per article of the catalogue, as it stands.

use crate::int8;
use crate::orders::merchant;
use aggregates::catalogue::article::Facts;
use aggregates::ids::ArticleId;
use eventstore::{Column, Kind, RowChange, Table};

/// The table's shape, for the append and for a rebuild.
pub const TABLE: Table = Table {
    name: "articles",
    key: &["merchant", "article_id"],
    columns: &[
        Column::replace("merchant", Kind::Text),
        Column::replace("article_id", Kind::Uuid),
        Column::replace("company", Kind::Text),
        Column::replace("number", Kind::Int8),
        Column::replace("name", Kind::Text),
        Column::replace("currency", Kind::Text),
        Column::replace("price_minor", Kind::Int8),
        Column::replace("version", Kind::Int8),
    ],
};

/// The row of an article at `version`.
pub(crate) fn row(id: ArticleId, facts: &Facts, version: u64, event: usize) -> RowChange {
    let (listed, price) = (&facts.listed, facts.item.price);
    RowChange {
        table: TABLE.name,
        event,
        values: vec![
            merchant(&listed.merchant),
            id.uuid().into(),
            listed.company.as_str().into(),
            i64::from(listed.number).into(),
            listed.name.as_str().into(),
            price.currency().code().into(),
            price.minor().into(),
            int8(version).into(),
        ],
    }
}
