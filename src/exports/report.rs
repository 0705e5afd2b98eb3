//! A reconciliation's report for people and for machines: as a table, as JSON, as CSV, as a page of HTML. Line by line, so that a
//! report of any length is written in constant memory.

use chrono::DateTime;
use serde::Serialize;
use serde_json::json;
use std::io::Write;

use super::{csv, is_read};
use crate::use_cases::{
    AppError, Report, ReportAmount, ReportHead, ReportLine, ReportTail, json_head, json_line,
    json_tail,
};

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    Words,
    Json,
    Csv,
    Html,
    /// One JSON object a line: the head, the lines, the end.
    #[value(name = "ndjson")]
    Lines,
}

/// A report that is being written, piece by piece.
pub struct Printed {
    report: Report,
    form: Form,
    next: Piece,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Piece {
    Head,
    Lines { first: bool },
    Nothing,
}

impl Printed {
    pub fn new(report: Report, form: Form) -> Self {
        Self {
            report,
            form,
            next: Piece::Head,
        }
    }

    /// Its next piece; none at the end.
    ///
    /// # Errors
    /// When the report cannot be read on: what came is not all of it.
    pub async fn next(&mut self) -> Result<Option<String>, AppError> {
        let mut first = match self.next {
            Piece::Head => {
                self.next = Piece::Lines { first: true };
                return Ok(Some(head(self.form, self.report.head())));
            }
            Piece::Lines { first } => first,
            Piece::Nothing => return Ok(None),
        };
        let lines = self.report.lines().await?;
        if lines.is_empty() {
            self.next = Piece::Nothing;
            return Ok(Some(tail(self.form, self.report.tail())));
        }
        let mut text = String::new();
        for it in lines {
            text.push_str(&line(self.form, &it, first));
            first = false;
        }
        self.next = Piece::Lines { first };
        Ok(Some(text))
    }

    /// How many breaks wait for people, once all of it was written.
    pub fn open(&self) -> u64 {
        self.report.tail().open
    }
}

/// Writes the report as long as anybody reads it, and answers how many breaks wait for people.
///
/// # Errors
/// When it cannot be read or written.
pub async fn write(report: Report, form: Form, to: &mut impl Write) -> anyhow::Result<u64> {
    let mut printed = Printed::new(report, form);
    let mut read = true;
    // How many there are is known at its end, read or not.
    while let Some(piece) = printed.next().await? {
        read = read && is_read(to.write_all(piece.as_bytes()).and_then(|()| to.flush()))?;
    }
    Ok(printed.open())
}

fn head(form: Form, it: &ReportHead) -> String {
    match form {
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
        Form::Csv => csv::row(COLUMNS),
        Form::Lines => object("report", it),
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
    }
}

/// One line of JSON that says what it is.
fn object(what: &str, it: &impl Serialize) -> String {
    let mut line = json!({"object": what});
    if let (Some(to), Ok(serde_json::Value::Object(members))) =
        (line.as_object_mut(), serde_json::to_value(it))
    {
        to.extend(members);
    }
    format!("{line}\n")
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
/// Those of them that are numbers: the amounts and the age.
const NUMBERS: [usize; 3] = [4, 5, 11];
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

fn line(form: Form, it: &ReportLine, first: bool) -> String {
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
    match form {
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
        Form::Lines => object("report_line", it),
        // Amounts and ages are numbers, and stay so below zero.
        Form::Csv => csv::row(cells.iter().enumerate().map(|(at, text)| {
            if NUMBERS.contains(&at) {
                text.clone()
            } else {
                csv::inert(text).into_owned()
            }
        })),
        Form::Html => {
            let of = |(at, text): (usize, &String)| {
                let number = if NUMBERS.contains(&at) {
                    " class=\"n\""
                } else {
                    ""
                };
                format!("<td{number}>{}</td>", escaped(text))
            };
            let row: String = cells.iter().enumerate().map(of).collect();
            format!("<tr class=\"{}\">{row}</tr>\n", escaped(verdict))
        }
    }
}

fn tail(form: Form, it: &ReportTail) -> String {
    match form {
        Form::Json => json_tail(it),
        Form::Lines => object("report_end", it),
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
    }
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
            let row = line(Form::Csv, &a_line(formula), true);
            assert!(row.contains(&format!(",'{formula},")), "{row}");
            assert!(row.contains(",-1.12,"), "{row}");
        }
        let quoted = line(Form::Csv, &a_line("a \"b\", c"), true);
        assert!(quoted.contains("\"a \"\"b\"\", c\""), "{quoted}");
    }

    /// Red when a text is written into a page as it came.
    #[test]
    fn markup_is_text_in_html() {
        let row = line(Form::Html, &a_line("<script>'x'&\"y\""), true);
        assert!(
            row.contains("&lt;script&gt;&#39;x&#39;&amp;&quot;y&quot;"),
            "{row}"
        );
        assert!(!row.contains("<script>"));
    }

    #[test]
    fn a_line_reads_as_a_sentence_in_words() {
        let words = line(Form::Words, &a_line("what was captured"), true);
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
