//! `parked`: one row per intention that no machine could resolve, so that people find it, also once it is settled.

use crate::orders::merchant;
use aggregates::ids::MerchantId;
use aggregates::parking::{ByHand, Parked};
use eventstore::{Column, Kind, RowChange, Table};
use uuid::Uuid;

/// The table's shape, for the append and for a rebuild.
pub const TABLE: Table = Table {
    name: "parked",
    key: &["merchant", "intention"],
    columns: &[
        Column::replace("merchant", Kind::Text),
        Column::replace("intention", Kind::Uuid),
        Column::replace("kind", Kind::Text),
        Column::replace("subject", Kind::Uuid),
        Column::replace("what", Kind::Text),
        Column::replace("reason", Kind::Text),
        Column::replace("state", Kind::Text),
        Column::replace("outcome", Kind::Text),
        Column::replace("stripe_id", Kind::Text),
        Column::replace("proposed_by", Kind::Text),
        Column::replace("because", Kind::Text),
        Column::replace("approved_by", Kind::Text),
    ],
};

/// What the intention is a step of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    Payment(Uuid),
    StripeRequest(Uuid),
}

/// The row of one parked intention.
pub(crate) fn row(whose: &MerchantId, of: Of, it: &Parked, event: usize) -> RowChange {
    let (kind, subject) = match of {
        Of::Payment(id) => ("payment", id),
        Of::StripeRequest(id) => ("stripe_request", id),
    };
    let proposal = it.proposal.as_ref();
    let outcome = proposal.map(|it| &it.outcome);
    let stripe_id = outcome.and_then(ByHand::stripe_id).map(str::to_owned);
    RowChange {
        table: TABLE.name,
        event,
        values: vec![
            merchant(whose),
            it.intention.uuid().into(),
            kind.to_owned().into(),
            subject.into(),
            it.what.clone().into(),
            it.reason.clone().into(),
            it.state.to_string().into(),
            outcome.map(ToString::to_string).into(),
            stripe_id.into(),
            proposal.map(|it| it.by.clone()).into(),
            proposal.map(|it| it.because.clone()).into(),
            it.approved_by.clone().into(),
        ],
    }
}
