//! What stands in each column. Both forms are written of the same cells, so they tell the same.

use aggregates::books::Chart;
use aggregates::ledger::Account;
use aggregates::money::{Currency, Money};
use chrono::{DateTime, SecondsFormat, Utc};
use eventstore::Recorded;
use projections::exports::JournalLine;
use projections::periods::Total;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;

use super::csv::inert;
use crate::store::ExportHead;

const JOURNAL: [&str; 19] = [
    "position",
    "entry",
    "line",
    "recorded_at",
    "effective_at",
    "period",
    "currency",
    "debit",
    "credit",
    "debit_minor",
    "credit_minor",
    "event_id",
    "event_type",
    "aggregate_type",
    "aggregate_id",
    "actor",
    "door",
    "reason",
    "stripe_ids",
];
const BALANCES: [&str; 9] = [
    "currency",
    "opening",
    "debit",
    "credit",
    "balance",
    "opening_minor",
    "debit_minor",
    "credit_minor",
    "balance_minor",
];
const EVENTS: [&str; 17] = [
    "position",
    "event_id",
    "type",
    "version",
    "aggregate_type",
    "aggregate_id",
    "sequence",
    "recorded_at",
    "claimed_at",
    "actor",
    "key_id",
    "door",
    "reason",
    "command_id",
    "correlation_id",
    "causation_id",
    "payload",
];
/// What is told of an account: ours, and theirs where that is asked for.
const ACCOUNT: [&str; 4] = ["account", "chart_code", "chart_name", "mapped"];

/// A value in a column.
#[derive(Debug, Clone)]
pub enum Cell {
    Nothing,
    Text(String),
    Whole(i64),
    /// An amount in major units. JSON has it as a text, since its numbers may lose digits.
    Amount(String),
    Flag(bool),
    Json(Box<RawValue>),
}

/// The names of the columns.
pub fn columns(it: &ExportHead) -> Vec<&'static str> {
    let account = match it.chart {
        Some(_) => &ACCOUNT[..],
        None => &ACCOUNT[..1],
    };
    match it.what {
        "journal" => [&JOURNAL[..6], account, &JOURNAL[6..]].concat(),
        "balances" => [account, &BALANCES].concat(),
        _ => EVENTS.to_vec(),
    }
}

pub fn of_line(it: &JournalLine, chart: Option<&Chart>) -> Vec<Cell> {
    let mut cells = vec![
        Cell::Whole(it.ledger_position),
        Cell::Whole(it.entry.into()),
        Cell::Whole(it.line.into()),
        time(it.recorded_at),
        time(it.effective_at),
        text(&it.period),
    ];
    cells.extend(account(it.account, chart));
    cells.push(text(&it.currency.code()));
    cells.extend(amounts(it.currency, &[it.debit_minor, it.credit_minor]));
    let told = |name: &str| it.event.told(name).map_or(Cell::Nothing, text);
    let ids: Vec<&str> = it.event.stripe_ids.iter().map(String::as_str).collect();
    cells.extend([
        text(&it.event.event_id.to_string()),
        text(&it.event.event_type),
        text(&it.event.aggregate_type),
        text(&it.event.aggregate_id),
        told("actor"),
        told("door"),
        told("reason"),
        text(&ids.join(" ")),
    ]);
    cells
}

pub fn of_total(it: &Total, chart: Option<&Chart>) -> Vec<Cell> {
    let mut cells = account(it.account, chart);
    cells.push(text(&it.currency.code()));
    let minor = [
        it.opening_minor,
        it.debit_minor,
        it.credit_minor,
        it.closing_minor(),
    ];
    cells.extend(amounts(it.currency, &minor));
    cells
}

pub fn of_event(it: &Recorded) -> Result<Vec<Cell>, serde_json::Error> {
    let metadata: HashMap<String, String> = it.metadata_as()?;
    let told = |name: &str| metadata.get(name).map_or(Cell::Nothing, |it| text(it));
    // Within JSON a line break is white space; one in a text is escaped.
    let payload = it.payload.replace(['\n', '\r'], " ");
    Ok(vec![
        Cell::Whole(it.ledger_position),
        text(&it.event_id.to_string()),
        text(&it.event_type),
        text(&it.event_version),
        text(&it.aggregate_type),
        text(it.aggregate_id.rsplit('/').next().unwrap_or_default()),
        Cell::Whole(i64::try_from(it.sequence).unwrap_or(i64::MAX)),
        time(it.recorded_at),
        told("claimed_at"),
        told("actor"),
        told("key_id"),
        told("door"),
        told("reason"),
        told("command_id"),
        told("correlation_id"),
        told("causation_id"),
        Cell::Json(RawValue::from_string(payload)?),
    ])
}

fn account(it: Account, chart: Option<&Chart>) -> Vec<Cell> {
    let ours = text(it.as_str());
    let Some(chart) = chart else {
        return vec![ours];
    };
    match chart.get(&it) {
        Some(theirs) => vec![
            ours,
            text(theirs.code()),
            text(theirs.name()),
            Cell::Flag(true),
        ],
        None => vec![ours.clone(), ours, Cell::Nothing, Cell::Flag(false)],
    }
}

/// The amounts in major units, then in minor ones.
fn amounts(currency: Currency, minor: &[i64]) -> Vec<Cell> {
    let major = |it: &i64| Cell::Amount(Money::new(*it, currency).to_decimal_string());
    let minors = minor.iter().map(|it| Cell::Whole(*it));
    minor.iter().map(major).chain(minors).collect()
}

fn text(it: &str) -> Cell {
    Cell::Text(it.to_owned())
}

/// To the microsecond, as the log has it.
fn time(it: DateTime<Utc>) -> Cell {
    Cell::Text(it.to_rfc3339_opts(SecondsFormat::Micros, true))
}

/// A row as one line of JSON.
pub fn line(object: &str, columns: &[&str], cells: &[Cell]) -> String {
    let mut line = format!("{{\"object\":\"{object}\"");
    for (name, cell) in columns.iter().zip(cells) {
        line.push_str(&format!(",\"{name}\":{}", cell.in_json()));
    }
    line.push_str("}\n");
    line
}

impl Cell {
    pub fn in_csv(&self) -> Cow<'_, str> {
        match self {
            Self::Nothing => Cow::Borrowed(""),
            Self::Text(text) => inert(text),
            Self::Whole(it) => Cow::Owned(it.to_string()),
            Self::Amount(it) => Cow::Borrowed(it),
            Self::Flag(it) => Cow::Borrowed(if *it { "true" } else { "false" }),
            Self::Json(it) => inert(it.get()),
        }
    }

    fn in_json(&self) -> String {
        match self {
            Self::Nothing => "null".to_owned(),
            Self::Text(it) | Self::Amount(it) => Value::from(it.as_str()).to_string(),
            Self::Whole(it) => it.to_string(),
            Self::Flag(it) => it.to_string(),
            Self::Json(it) => it.get().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exports::{Form, NotWhole, Sheet};
    use crate::store::ExportRows;
    use aggregates::books::ChartAccount;
    use projections::entries::PostedBy;
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;
    use uuid::Uuid;

    fn head(what: &'static str, rows: i64, chart: Option<Chart>) -> ExportHead {
        ExportHead {
            what,
            merchant: "acme".parse().unwrap(),
            ledger_position: 7,
            rows,
            chart,
        }
    }

    fn a_line(reason: &str) -> JournalLine {
        let told = [("actor", "-key"), ("reason", reason)];
        let told = told.map(|(name, it)| (name.to_owned(), it.to_owned()));
        JournalLine {
            ledger_position: 7,
            entry: 0,
            line: 1,
            recorded_at: DateTime::from_timestamp(1_700_000_000, 120_000).unwrap(),
            effective_at: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
            period: "2023-11".to_owned(),
            account: Account::Bank,
            currency: "jpy".parse().unwrap(),
            debit_minor: 1200,
            credit_minor: 0,
            event: Arc::new(PostedBy {
                event_id: Uuid::from_u128(1),
                event_type: "Captured".to_owned(),
                aggregate_type: "payment".to_owned(),
                aggregate_id: "x".to_owned(),
                metadata: BTreeMap::from(told),
                stripe_ids: BTreeSet::from(["ch_1".to_owned(), "pi_1".to_owned()]),
            }),
        }
    }

    fn a_total() -> Total {
        Total {
            account: Account::Bank,
            currency: "kwd".parse().unwrap(),
            opening_minor: -1500,
            debit_minor: 500,
            credit_minor: 0,
        }
    }

    fn an_event() -> Recorded {
        Recorded {
            position: 9,
            ledger: "acme".to_owned(),
            ledger_position: 7,
            aggregate_type: "payment".to_owned(),
            aggregate_id: "acme/x".to_owned(),
            sequence: 1,
            event_type: "Captured".to_owned(),
            event_version: "1.0".to_owned(),
            event_id: Uuid::from_u128(1),
            recorded_at: DateTime::UNIX_EPOCH,
            payload: "{\"a\":\n\"\\n, \\\"b\\\"\"}".to_owned(),
            metadata: "{\"actor\":\"=evil()\"}".to_owned(),
            leaf_hash: [0; 32],
        }
    }

    fn written(form: Form, head: ExportHead, rows: &ExportRows) -> String {
        let mut sheet = Sheet::new(form, head);
        let mut text = sheet.head();
        text.push_str(&sheet.rows(rows).unwrap());
        text.push_str(&sheet.end().unwrap());
        text
    }

    /// Red when a form leaves something out, or writes it otherwise than the other.
    #[test]
    fn a_reader_of_csv_reads_what_a_reader_of_json_reads() {
        let chart = Chart::from([(
            Account::Bank,
            ChartAccount::new("=1200", "Bank, \"main\"").unwrap(),
        )]);
        for (what, chart, rows) in [
            (
                "journal",
                None,
                ExportRows::Journal(vec![a_line("=1+1"), a_line("two\nlines")]),
            ),
            (
                "journal",
                Some(chart.clone()),
                ExportRows::Journal(vec![a_line("")]),
            ),
            ("balances", None, ExportRows::Balances(vec![a_total()])),
            (
                "balances",
                Some(Chart::new()),
                ExportRows::Balances(vec![a_total()]),
            ),
            ("events", None, ExportRows::Events(vec![an_event()])),
        ] {
            let count = match &rows {
                ExportRows::Journal(it) => it.len(),
                _ => 1,
            };
            let head = head(what, i64::try_from(count).unwrap(), chart);
            let csv = written(Form::Csv, head.clone(), &rows);
            let lines = written(Form::Lines, head, &rows);
            let mut lines = lines
                .lines()
                .map(|it| serde_json::from_str::<Value>(it).unwrap());
            let columns = lines.next().unwrap()["columns"].clone();
            let mut reader = csv::Reader::from_reader(csv.as_bytes());
            let names: Vec<String> = reader
                .headers()
                .unwrap()
                .iter()
                .map(str::to_owned)
                .collect();
            assert_eq!(serde_json::to_value(&names).unwrap(), columns);
            for row in reader.records() {
                let (row, line) = (row.unwrap(), lines.next().unwrap());
                for (name, cell) in names.iter().zip(row.iter()) {
                    let amount = ["opening", "debit", "credit", "balance"];
                    let told = match &line[name] {
                        Value::Null => String::new(),
                        Value::String(it) if amount.contains(&name.as_str()) => it.clone(),
                        Value::String(it) => inert(it).into_owned(),
                        Value::Object(_) => {
                            let parsed: Value = serde_json::from_str(cell).unwrap();
                            assert_eq!(parsed, line[name]);
                            continue;
                        }
                        it => it.to_string(),
                    };
                    assert_eq!(cell, told, "{name} of {what}");
                }
            }
            assert_eq!(lines.next().unwrap()["object"], "export_end");
            assert!(lines.next().is_none());
        }
    }

    #[test]
    fn amounts_have_the_decimals_of_their_currency_and_stay_numbers() {
        let totals = ExportRows::Balances(vec![a_total()]);
        let csv = written(Form::Csv, head("balances", 1, None), &totals);
        let row = csv.lines().nth(1).unwrap();
        assert_eq!(
            row,
            "assets:bank,kwd,-1.500,0.500,0.000,-1.000,-1500,500,0,-1000"
        );
        let lines = ExportRows::Journal(vec![a_line("=1+1")]);
        let csv = written(Form::Csv, head("journal", 1, None), &lines);
        assert!(csv.contains(",jpy,1200,0,1200,0,"), "{csv}");
        assert!(csv.contains(",'-key,,'=1+1,ch_1 pi_1"), "{csv}");
    }

    #[test]
    fn an_account_that_the_merchants_chart_has_no_name_for_stands_under_ours_and_is_told() {
        let mut sheet = Sheet::new(Form::Lines, head("balances", 1, Some(Chart::new())));
        let rows = sheet.rows(&ExportRows::Balances(vec![a_total()])).unwrap();
        let row: Value = serde_json::from_str(&rows).unwrap();
        assert_eq!(row["chart_code"], "assets:bank");
        assert_eq!(row["mapped"], false);
        let end: Value = serde_json::from_str(&sheet.end().unwrap()).unwrap();
        assert_eq!(end["unmapped"], serde_json::json!(["assets:bank"]));
    }

    /// Red when an export of which rows are missing ends as if it were whole.
    #[test]
    fn an_export_without_all_of_its_rows_has_no_end() {
        let mut sheet = Sheet::new(Form::Csv, head("balances", 2, None));
        sheet.rows(&ExportRows::Balances(vec![a_total()])).unwrap();
        assert!(matches!(
            sheet.end(),
            Err(NotWhole::Rows {
                expected: 2,
                written: 1
            })
        ));
    }
}
