//! `counterfoil replay`: read models made again from the events beside the live ones, and what came of it.

use aggregates::ids::MerchantId;
use anyhow::anyhow;
use eventstore::{Reader, Role};
use indicatif::{ProgressBar, ProgressStyle};
use projections::rebuild::{Order, Outcome, Projection, Watch};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::time::Duration;

use super::events::Form;
use super::{print, replay_past};
use crate::ids::Ids;
use crate::store::{Certificate, ComparedRow, DifferenceRow, Rebuilds, projections_named};

/// Who a rebuild on the command line is started by: the machine's own access control stands behind it.
const OPERATOR: &str = "operator";

/// What is to be made again, and as of when.
#[derive(Debug, Clone, clap::Args)]
pub struct Wanted {
    /// Which: orders, payments, …, journal
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    projections: Vec<String>,
    /// Every one of them
    #[arg(long)]
    all: bool,
    /// Compare, and put nothing in place
    #[arg(long)]
    dry_run: bool,
    /// Whose, with --as-of
    #[arg(long, requires = "as_of")]
    merchant: Option<MerchantId>,
    /// As they were: a position of the merchant's ledger, or a time of record such as 2026-11-21T08:00:00Z. Nothing is put in place
    #[arg(long, value_name = "POSITION|TIME", requires = "merchant")]
    as_of: Option<String>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

impl Wanted {
    fn form(&self) -> Form {
        if self.json { Form::Json } else { Form::Words }
    }
}

/// Does what is asked, and prints what came of it. Whether the live rows are as they should be: they were, or are now.
///
/// # Errors
/// When it could not be finished; the live rows are as they were.
pub async fn run(url: &str, wanted: Wanted) -> anyhow::Result<bool> {
    let form = wanted.form();
    let projections = projections_named(&wanted.projections)
        .map_err(|unknown| anyhow!("there is no projection '{unknown}'"))?;
    let (text, right) = match (&wanted.merchant, &wanted.as_of) {
        (Some(merchant), Some(as_of)) => {
            replay_past::run(url, (merchant, as_of), &projections, form).await?
        }
        _ => rebuild(url, projections, wanted.dry_run, form).await?,
    };
    print(&text)?;
    Ok(right)
}

/// Rebuilds; the certificate, as it is shown.
async fn rebuild(
    url: &str,
    projections: Vec<Projection>,
    dry_run: bool,
    form: Form,
) -> anyhow::Result<(String, bool)> {
    let pool = eventstore::pool(url, Role::Owner, 4).await?;
    let rebuilds = Rebuilds::new(url, Reader::new(pool.clone()));
    let order = Order {
        id: Ids::system().uuid(),
        dry_run,
        started_by: OPERATOR.to_owned(),
        merchant: None,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        projections,
    };
    let mut bar = Bar::new();
    let begun = rebuilds.begin(&order).await?;
    let rebuild = begun.expect("its id was made for it");
    let ended = rebuild.run(&order, &mut bar).await;
    bar.0.finish_and_clear();
    let outcome = ended?;
    let certificate = rebuilds.certificate(None, order.id).await?;
    let text = match form {
        Form::Json => format!("{}\n", in_json(&order, outcome, &certificate)),
        Form::Words => in_words(&order, outcome, &certificate),
    };
    pool.close().await;
    Ok((text, !matches!(outcome, Outcome::Different { .. })))
}

fn in_json(order: &Order, outcome: Outcome, certificate: &Certificate) -> Value {
    let (state, differences, swapped_at) = match outcome {
        Outcome::Identical => ("identical", 0, None),
        Outcome::Different { differences } => ("different", differences, None),
        Outcome::Swapped {
            differences,
            position,
        } => ("swapped", differences, Some(position)),
    };
    let table = |it: &ComparedRow| {
        json!({
            "table": it.table_name,
            "merchant": it.merchant,
            "ledger_position": it.ledger_position,
            "live_rows": it.live_rows,
            "rebuilt_rows": it.rebuilt_rows,
            "live_checksum": hex::encode(&it.live_checksum),
            "rebuilt_checksum": hex::encode(&it.rebuilt_checksum),
            "differences": it.differences,
        })
    };
    let versioned: Vec<String> = order
        .projections
        .iter()
        .map(Projection::versioned)
        .collect();
    json!({
        "id": order.id,
        "projections": versioned,
        "dry_run": order.dry_run,
        "state": state,
        "differences": differences,
        "swapped_at": swapped_at,
        "tables": certificate.tables.iter().map(table).collect::<Vec<_>>(),
        "listed": certificate.differences.iter().map(line_in_json).collect::<Vec<_>>(),
    })
}

fn in_words(order: &Order, outcome: Outcome, certificate: &Certificate) -> String {
    let mut text = String::new();
    for it in &order.projections {
        let tables = certificate.tables.iter();
        let of_it = tables.filter(|table| table.table_name == it.name());
        let (mut rows, mut rebuilt, mut differences) = (0_i64, 0_i64, 0_i64);
        for table in of_it {
            rows = rows.saturating_add(table.live_rows);
            rebuilt = rebuilt.saturating_add(table.rebuilt_rows);
            differences = differences.saturating_add(table.differences);
        }
        let verdict = verdict(differences);
        let _ = writeln!(
            text,
            "{:<24} {verdict:<16} {rows} rows live, {rebuilt} rebuilt",
            it.versioned()
        );
    }
    for it in &certificate.differences {
        let _ = writeln!(text, "{}", line(it));
    }
    let _ = match outcome {
        Outcome::Identical => writeln!(text, "nothing to put in place (rebuild {})", order.id),
        Outcome::Different { differences } => writeln!(
            text,
            "a swap would change {differences} rows (dry run {})",
            order.id
        ),
        Outcome::Swapped { differences, .. } => writeln!(
            text,
            "the rebuilt rows are live: {differences} were not as they should be (rebuild {})",
            order.id
        ),
    };
    text
}

pub(super) fn line_in_json(it: &DifferenceRow) -> Value {
    json!({
        "table": it.table_name, "merchant": it.merchant, "key": it.row_key, "what": it.what,
        "column": it.column_name, "live": it.live, "rebuilt": it.rebuilt,
    })
}

/// A difference, in words.
pub(super) fn line(it: &DifferenceRow) -> String {
    let (table, key) = (&it.table_name, &it.row_key);
    match &it.column_name {
        Some(column) => format!(
            "  {table} {key}: {column} is {}, rebuilt {}",
            shown(it.live.as_ref()),
            shown(it.rebuilt.as_ref())
        ),
        None => format!("  {table} {key}: {}", it.what),
    }
}

pub(super) fn verdict(differences: i64) -> String {
    match differences {
        0 => "identical".to_owned(),
        1 => "1 DIFFERENCE".to_owned(),
        many => format!("{many} DIFFERENCES"),
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "null".to_owned(), Value::to_string)
}

/// A bar on a terminal, and nothing elsewhere.
pub(super) struct Bar(pub(super) ProgressBar);

impl Bar {
    pub(super) fn new() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template(
            "{msg} {bar:40} {human_pos} of {human_len} events, {per_sec}, {eta} to go",
        );
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }
}

impl Watch for Bar {
    fn step(&mut self, what: &'static str) {
        self.0.set_message(what);
    }

    fn filled(&mut self, position: i64, head: i64) {
        self.0.set_length(u64::try_from(head).unwrap_or(0));
        self.0.set_position(u64::try_from(position).unwrap_or(0));
    }
}
