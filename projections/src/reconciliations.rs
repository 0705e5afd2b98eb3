//! `reconciliation_runs` and `reconciliation_breaks`: one row per run and per break, as they stand.

use crate::int8;
use crate::orders::merchant;
use aggregates::ids::ReconciliationId;
use aggregates::money::Money;
use aggregates::reconciliation::{Break, Run};
use eventstore::{Column, Kind, RowChange, Table};

/// The table of runs, for the append and for a rebuild.
pub const RUNS: Table = Table {
    name: "reconciliation_runs",
    key: &["merchant", "run_id"],
    columns: &[
        Column::replace("merchant", Kind::Text),
        Column::replace("run_id", Kind::Uuid),
        Column::replace("status", Kind::Text),
        Column::replace("at", Kind::Int8),
        Column::replace("tolerance_minor", Kind::Int8),
        Column::replace("ledger_position", Kind::Int8),
        Column::replace("snapshot_hash", Kind::Text),
        Column::replace("healed", Kind::Int8),
        Column::replace("payments", Kind::Int8),
        Column::replace("breaks", Kind::Int8),
        Column::replace("report_hash", Kind::Text),
        Column::replace("version", Kind::Int8),
    ],
};

/// The table of breaks.
pub const BREAKS: Table = Table {
    name: "reconciliation_breaks",
    key: &["merchant", "break_id"],
    columns: &[
        Column::replace("merchant", Kind::Text),
        Column::replace("break_id", Kind::Uuid),
        Column::replace("run_id", Kind::Uuid),
        Column::replace("class", Kind::Text),
        Column::replace("subject", Kind::Text),
        Column::replace("part", Kind::Text),
        Column::replace("ours_currency", Kind::Text),
        Column::replace("ours_minor", Kind::Int8),
        Column::replace("theirs_currency", Kind::Text),
        Column::replace("theirs_minor", Kind::Int8),
        Column::replace("says", Kind::Text),
        Column::replace("since", Kind::Int8),
        Column::replace("due", Kind::Int8),
        Column::replace("first_seen", Kind::Int8),
        Column::replace("status", Kind::Text),
        Column::replace("owner", Kind::Text),
        Column::replace("reason", Kind::Text),
        Column::replace("resolved_by", Kind::Text),
        Column::replace("approved_by", Kind::Text),
        Column::replace("version", Kind::Int8),
    ],
};

/// The row of a run at `version`.
pub(crate) fn run(id: ReconciliationId, it: &Run, version: u64, event: usize) -> RowChange {
    let (pinned, closed) = (it.pinned.as_ref(), it.closed.as_ref());
    RowChange {
        table: RUNS.name,
        event,
        values: vec![
            merchant(&it.merchant),
            id.uuid().into(),
            it.status.to_string().into(),
            it.terms.at.into(),
            it.terms.tolerance_minor.into(),
            pinned.map(|it| it.ledger_position).into(),
            pinned.map(|it| it.snapshot_hash.clone()).into(),
            pinned.map(|it| int8(it.healed)).into(),
            closed.map(|it| int8(it.totals.payments)).into(),
            closed.map(|it| int8(it.totals.break_count())).into(),
            closed.map(|it| it.report_hash.clone()).into(),
            int8(version).into(),
        ],
    }
}

/// The row of a break at `version`.
pub(crate) fn found(id: ReconciliationId, it: &Break, version: u64, event: usize) -> RowChange {
    let resolution = it.resolution.as_ref();
    let code = |it: Option<Money>| it.map(|it| it.currency().code());
    RowChange {
        table: BREAKS.name,
        event,
        values: vec![
            merchant(&it.found.merchant),
            id.uuid().into(),
            it.found.run.uuid().into(),
            it.found.class.to_string().into(),
            it.found.subject.to_string().into(),
            it.found.part.as_str().into(),
            code(it.found.ours).into(),
            it.found.ours.map(Money::minor).into(),
            code(it.found.theirs).into(),
            it.found.theirs.map(Money::minor).into(),
            it.found.says.as_str().into(),
            it.found.since.into(),
            it.found.due.into(),
            it.first_seen.into(),
            it.status.to_string().into(),
            it.owner.clone().into(),
            resolution.map(|it| it.reason.clone()).into(),
            resolution.map(|it| it.by.clone()).into(),
            resolution.and_then(|it| it.approved_by.clone()).into(),
            int8(version).into(),
        ],
    }
}
