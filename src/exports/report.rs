//! A reconciliation's report for people and for machines: as a table, as JSON, as CSV, as a page of HTML. Line by line, so that a
//! report of any length is written in constant memory.

use anyhow::Context as _;
use chrono::DateTime;
use std::io::Write;

use crate::use_cases::{
    Report, ReportAmount, ReportHead, ReportLine, ReportTail, json_head, json_line, json_tail,
};

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Words,
    Json,
    Csv,
    Html,
}

/// Writes the report, and answers how many breaks wait for people.
///
/// # Errors
/// When it cannot be read or written.
pub async fn write(mut report: Report, form: Form, to: &mut impl Write) -> anyhow::Result<u64> {
    to.write_all(head(form, report.head())?.as_bytes())?;
    let mut first = true;
    loop {
        let lines = report.lines().await?;
        if lines.is_empty() {
            to.write_all(tail(form, report.tail())?.as_bytes())?;
            to.flush()?;
            return Ok(report.tail().open);
        }
        for it in lines {
            to.write_all(line(form, &it, first)?.as_bytes())?;
            first = false;
        }
    }
}

fn head(form: Form, it: &ReportHead) -> anyhow::Result<String> {
    Ok(match form {
        Form::Words => format!(
            "Reconciliation {} of {}, {}\nledger position {}, {} pages of Stripe's answers ({}), healed {}\n\n",
            it.run,
            it.merchant,
            time(it.terms.at),
            it.pinned.ledger_position,
            it.pinned.pages,
            short(&it.pinned.snapshot_hash),
            it.pinned.healed,
        ),
        Form::Json => json_head(it),
        Form::Csv => row(&COLUMNS)?,
        Form::Html => {
            let title = format!("Reconciliation of {}", it.merchant);
            let columns: String = COLUMNS.iter().map(|it| format!("<th>{it}</th>")).collect();
            format!(
                "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style></head>\n\
                 <body><h1>{title}</h1>\n<p>Run {}, {}. Ledger position {}; {} pages of Stripe's answers, SHA-256 {}; healed {}.</p>\n\
                 <table><thead><tr>{columns}</tr></thead><tbody>\n",
                it.run,
                time(it.terms.at),
                it.pinned.ledger_position,
                it.pinned.pages,
                escaped(&it.pinned.snapshot_hash),
                it.pinned.healed,
                title = escaped(&title),
            )
        }
    })
}

const COLUMNS: [&str; 13] = [
    "verdict",
    "class",
    "subject",
    "part",
    "ours",
    "theirs",
    "currency",
    "says",
    "since",
    "due",
    "first_seen",
    "age_days",
    "break_id",
];
const STYLE: &str = "body{font:14px sans-serif;margin:2em}table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.3em .6em;\
                     text-align:left}td.n{text-align:right;font-variant-numeric:tabular-nums}tr.break{background:#fff0ee}";

/// The columns of a line; times as people write them.
fn cells(it: &ReportLine) -> [String; 13] {
    let amount = |it: &Option<ReportAmount>| it.as_ref().map(|it| it.shown.clone());
    let currency = |it: &Option<ReportAmount>| it.as_ref().map(|it| it.currency.clone());
    let currencies = match (currency(&it.ours), currency(&it.theirs)) {
        (Some(ours), Some(theirs)) if ours != theirs => format!("{ours}/{theirs}"),
        (ours, theirs) => ours.or(theirs).unwrap_or_default(),
    };
    [
        it.verdict.to_owned(),
        it.class.map(|it| it.to_string()).unwrap_or_default(),
        it.subject.clone(),
        it.part.clone(),
        amount(&it.ours).unwrap_or_default(),
        amount(&it.theirs).unwrap_or_default(),
        currencies,
        it.says.clone(),
        time(it.since),
        it.due.map(time).unwrap_or_default(),
        time(it.first_seen),
        it.age_days.to_string(),
        it.id.map(|it| it.to_string()).unwrap_or_default(),
    ]
}

fn line(form: Form, it: &ReportLine, first: bool) -> anyhow::Result<String> {
    let cells = cells(it);
    let [
        verdict,
        class,
        subject,
        part,
        ours,
        theirs,
        currency,
        says,
        ..,
    ] = &cells;
    Ok(match form {
        Form::Words => {
            let or_none = |text: &String| {
                if text.is_empty() {
                    "—".to_owned()
                } else {
                    text.clone()
                }
            };
            format!(
                "{verdict:<10} {class:<21} {subject} {part}\n           ours {} theirs {} {currency}  {says}  (age {} days, since {})\n",
                or_none(ours),
                or_none(theirs),
                it.age_days,
                cells[8],
            )
        }
        Form::Json => json_line(it, first),
        Form::Csv => row(&cells)?,
        Form::Html => {
            let of = |(at, text): (usize, &String)| {
                let number = if [4, 5, 11].contains(&at) {
                    " class=\"n\""
                } else {
                    ""
                };
                format!("<td{number}>{}</td>", escaped(text))
            };
            let row: String = cells.iter().enumerate().map(of).collect();
            format!("<tr class=\"{}\">{row}</tr>\n", escaped(verdict))
        }
    })
}

fn tail(form: Form, it: &ReportTail) -> anyhow::Result<String> {
    Ok(match form {
        Form::Json => json_tail(it),
        // Rows and nothing else, so that a program reads them.
        Form::Csv => String::new(),
        Form::Words => format!("\n{}", summary(it).join("\n") + "\n"),
        Form::Html => {
            let lines: String = summary(it)
                .iter()
                .map(|it| format!("<li>{}</li>", escaped(it)))
                .collect();
            format!("</tbody></table>\n<ul>{lines}</ul>\n</body></html>\n")
        }
    })
}

fn summary(it: &ReportTail) -> Vec<String> {
    let totals = &it.totals;
    let mut lines = vec![
        format!(
            "compared {} payments, {} payouts, {} bookings, {} bank lines",
            totals.payments, totals.payouts, totals.bookings, totals.bank_lines
        ),
        format!(
            "{} breaks open, {} approved; {} in transit, {} moving, {} explained, {} tolerated",
            it.open,
            it.approved,
            totals.in_transit,
            totals.moving,
            totals.explained,
            totals.tolerated
        ),
    ];
    for (class, ages) in &it.ageing {
        let ages: Vec<String> = ages
            .iter()
            .map(|(age, count)| format!("{count} of {age} days"))
            .collect();
        lines.push(format!("{class}: {}", ages.join(", ")));
    }
    for (currency, whole) in &totals.whole {
        lines.push(format!(
            "{currency}: the journal says {}, Stripe {}, and the lines above explain {} (minor units)",
            whole.journal_minor, whole.balance_minor, whole.explained_minor
        ));
    }
    lines
}

/// A row of CSV. A cell that a spreadsheet would take for a formula is taken for text, but for plain numbers.
fn row<T: AsRef<str>>(cells: &[T]) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(cells.iter().map(|it| neutral(it.as_ref())))?;
    let bytes = writer.into_inner().context("a row of CSV")?;
    Ok(String::from_utf8(bytes)?)
}

fn neutral(cell: &str) -> String {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let number = rust_decimal::Decimal::from_str_exact(cell).is_ok();
    if formula && !number {
        format!("'{cell}")
    } else {
        cell.to_owned()
    }
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for it in text.chars() {
        match it {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            it => safe.push(it),
        }
    }
    safe
}

fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

fn time(seconds: i64) -> String {
    let time = DateTime::from_timestamp(seconds, 0);
    time.map(|it| it.format("%Y-%m-%dT%H:%M:%SZ").to_string())
        .unwrap_or_else(|| seconds.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use aggregates::reconciliation::{Age, BreakClass};

    fn a_line(says: &str) -> ReportLine {
        ReportLine {
            id: None,
            verdict: "break",
            class: Some(BreakClass::Amount),
            subject: "payment/pi_1".to_owned(),
            part: "captured".to_owned(),
            ours: Some(ReportAmount {
                minor: -112,
                currency: "usd".to_owned(),
                shown: "-1.12".to_owned(),
            }),
            theirs: None,
            says: says.to_owned(),
            since: 0,
            due: None,
            first_seen: 0,
            age_days: 3,
            age: Age::UpToAWeek,
        }
    }

    /// Red when a cell that a spreadsheet runs is written as it came, or an amount below zero is no number any more.
    #[test]
    fn a_formula_is_text_in_csv_and_an_amount_stays_a_number() {
        for formula in ["=1+1", "+1+1", "-1+1", "@sum"] {
            let row = line(Form::Csv, &a_line(formula), true).unwrap();
            assert!(row.contains(&format!(",'{formula},")), "{row}");
            assert!(row.contains(",-1.12,"), "{row}");
        }
        let quoted = line(Form::Csv, &a_line("a \"b\", c"), true).unwrap();
        assert!(quoted.contains("\"a \"\"b\"\", c\""), "{quoted}");
    }

    /// Red when a text is written into a page as it came.
    #[test]
    fn markup_is_text_in_html() {
        let row = line(Form::Html, &a_line("<script>'x'&\"y\""), true).unwrap();
        assert!(
            row.contains("&lt;script&gt;&#39;x&#39;&amp;&quot;y&quot;"),
            "{row}"
        );
        assert!(!row.contains("<script>"));
    }

    #[test]
    fn a_line_reads_as_a_sentence_in_words() {
        let words = line(Form::Words, &a_line("what was captured"), true).unwrap();
        assert!(
            words.starts_with("break      amount                payment/pi_1 captured\n"),
            "{words}"
        );
        assert!(
            words.contains("ours -1.12 theirs — usd  what was captured  (age 3 days"),
            "{words}"
        );
    }
}
