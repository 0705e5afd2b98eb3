//! `counterfoil replay --as-of`: what a merchant's read models were, and whether the live side tells the same of that moment.

use aggregates::ids::MerchantId;
use aggregates::money::Money;
use chrono::SecondsFormat;
use eventstore::Reader;
use projections::books::Balance;
use projections::rebuild::{BalanceThen, Past, Projection, TableThen};
use serde_json::{Value, json};
use std::fmt::Write as _;

use super::events::Form;
use super::replay::{Bar, line, line_in_json, verdict};
use super::{as_of, database_of};
use crate::store::{DifferenceRow, Rebuilds};

/// Replays; what it came to, as it is shown, and whether nothing live differs from it.
pub(super) async fn run(
    url: &str,
    (merchant, at): (&MerchantId, &str),
    projections: &[Projection],
    form: Form,
) -> anyhow::Result<(String, bool)> {
    let pool = database_of(url, merchant, 3).await?;
    let moment = (merchant, as_of(Some(at), false)?);
    let rebuilds = Rebuilds::new(url, Reader::new(pool.clone()));
    let mut bar = Bar::new();
    let found = rebuilds.past(moment, projections, &mut bar).await;
    bar.0.finish_and_clear();
    let found = found?;
    let text = match form {
        Form::Json => format!("{}\n", in_json(merchant, &found)),
        Form::Words => in_words(merchant, &found),
    };
    pool.close().await;
    Ok((text, found.differences() == 0))
}

fn in_json(merchant: &MerchantId, found: &Past) -> Value {
    let table = |it: &TableThen| {
        let (then, rows) = (it.then(), &it.rows);
        json!({
            "table": it.projection.name(),
            "merchant": merchant,
            "ledger_position": found.ledger_position,
            "rebuilt_rows": then.rows,
            "rebuilt_checksum": hex::encode(then.checksum.bytes()),
            "changed_since": rows.changed_since,
            "live_rows": rows.live.rows,
            "live_checksum": hex::encode(rows.live.checksum.bytes()),
            "differences": rows.differences,
        })
    };
    let differences = found.differences();
    let state = if differences == 0 {
        "identical"
    } else {
        "different"
    };
    let tables = found.tables.iter();
    let versioned: Vec<String> = tables.clone().map(|it| it.projection.versioned()).collect();
    let listed: Vec<Value> = tables
        .clone()
        .flat_map(DifferenceRow::of)
        .map(|it| line_in_json(&it))
        .collect();
    json!({
        "merchant": merchant,
        "ledger_position": found.ledger_position,
        "recorded_at": found.recorded_at.to_rfc3339_opts(SecondsFormat::Micros, true),
        "projections": versioned,
        "dry_run": true,
        "state": state,
        "differences": differences,
        "tables": tables.map(table).collect::<Vec<_>>(),
        "balances": found.balances.iter().map(balance_in_json).collect::<Vec<_>>(),
        "listed": listed,
    })
}

fn balance_in_json(it: &BalanceThen) -> Value {
    let side = |it: &Balance| json!({"debit_minor": it.debit_minor, "credit_minor": it.credit_minor, "balance_minor": it.minor()});
    json!({
        "account": it.account,
        "currency": it.currency.code(),
        "replayed": it.replayed.as_ref().map(side),
        "live": it.live.as_ref().map(side),
    })
}

fn in_words(merchant: &MerchantId, found: &Past) -> String {
    let mut text = String::new();
    let recorded_at = found.recorded_at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let _ = writeln!(
        text,
        "{merchant} as of ledger position {}, recorded {recorded_at}",
        found.ledger_position
    );
    for it in &found.tables {
        let then = it.then();
        let _ = writeln!(
            text,
            "{:<24} {:<16} {} rows, {} changed since, checksum {}",
            it.projection.versioned(),
            verdict(it.rows.differences),
            then.rows,
            it.rows.changed_since,
            hex::encode(then.checksum.bytes())
        );
    }
    for it in found.tables.iter().flat_map(DifferenceRow::of) {
        let _ = writeln!(text, "{}", line(&it));
    }
    for it in &found.balances {
        let _ = writeln!(text, "{}", balance_in_words(it));
    }
    let _ = match found.differences() {
        0 => writeln!(text, "what is live tells the same of then"),
        differences => writeln!(
            text,
            "{differences} of what is live tell otherwise of then than the events"
        ),
    };
    text
}

fn balance_in_words(it: &BalanceThen) -> String {
    let written = |it: Option<&Balance>| {
        it.map_or_else(String::new, |it| {
            Money::new(it.minor(), it.currency).to_decimal_string()
        })
    };
    let mut line = format!(
        "{:<34} {:>18} {}",
        it.account,
        written(it.replayed.as_ref()),
        it.currency.code()
    );
    if !it.is_identical() {
        let _ = write!(line, "  DIFFERS: live {}", written(it.live.as_ref()));
    }
    line
}
