//! camt.053, the bank-to-customer statement of ISO 20022, in its versions 001.02 and 001.08. No document types, no entities
//! but XML's own five.

use aggregates::money::Currency;
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use quick_xml::NsReader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesDecl, BytesRef, BytesStart, Event};
use quick_xml::name::ResolveResult;

use super::amount::{self, Marks};
use super::{Fault, Faults, NotAStatement, StatementLine, line_at, text_of};

const NAMESPACES: [&str; 2] = [
    "urn:iso:std:iso:20022:tech:xsd:camt.053.001.02",
    "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08",
];

/// No statement is deeper.
const DEPTH_MAX: usize = 32;

const STATEMENT: &str = "Document/BkToCstmrStmt/Stmt";
const ENTRY: &str = "Document/BkToCstmrStmt/Stmt/Ntry";

/// The booked entries of all statements in the file. Entries that are pending or for information, and those of nothing, are
/// left out.
///
/// # Errors
/// [`NotAStatement`], with every faulty entry.
pub fn read_camt053(bytes: &[u8]) -> Result<Vec<StatementLine>, NotAStatement> {
    let text = text_of(bytes)?;
    let mut reader = NsReader::from_str(text);
    let mut reading = Reading::default();
    loop {
        let at = line_before(text, reader.buffer_position());
        let broken = |what: &str| NotAStatement::whole(Some(at), what);
        let (namespace, event) = reader
            .read_resolved_event()
            .map_err(|_| broken("this is not well-formed XML"))?;
        match event {
            Event::Start(start) => reading.opens(&namespace, &start, at)?,
            Event::Empty(start) => {
                reading.opens(&namespace, &start, at)?;
                reading.closes();
            }
            Event::End(_) => reading.closes(),
            Event::Text(text) => reading.says(&text.xml10_content()),
            Event::CData(text) => reading.says(&text.xml10_content()),
            Event::GeneralRef(named) => {
                let text = resolved(&named);
                reading.says(&text.ok_or_else(|| broken("entities are not read"))?);
            }
            Event::Decl(declared) => check_encoding(&declared, at)?,
            Event::DocType(_) => return Err(broken("document types are not read")),
            Event::PI(_) => return Err(broken("processing instructions are not read")),
            Event::Comment(_) => {}
            Event::Eof if reading.is_whole => return reading.faults.or(reading.lines),
            Event::Eof => return Err(broken("the document ends too early")),
        }
    }
}

/// The line that a position is in.
fn line_before(text: &str, position: u64) -> u64 {
    let position = usize::try_from(position).unwrap_or(usize::MAX);
    line_at(text.as_bytes().get(..position).unwrap_or_default())
}

fn check_encoding(declared: &BytesDecl<'_>, at: u64) -> Result<(), NotAStatement> {
    match declared.encoding() {
        None => Ok(()),
        Some(Ok(name)) if name.eq_ignore_ascii_case("utf-8") => Ok(()),
        Some(_) => Err(NotAStatement::whole(
            Some(at),
            "only UTF-8 is read, and the document declares something else",
        )),
    }
}

fn resolved(named: &BytesRef<'_>) -> Option<String> {
    if let Some(letter) = named.resolve_char_ref().ok()? {
        return Some(letter.to_string());
    }
    resolve_predefined_entity(named).map(str::to_owned)
}

/// How far the document was read.
#[derive(Default)]
struct Reading {
    /// The names of the elements that are open.
    path: Vec<String>,
    /// What the innermost element says.
    text: String,
    account: Option<String>,
    entry: Option<Entry>,
    /// Of this statement, and of the whole document.
    entries: usize,
    statements: usize,
    lines: Vec<StatementLine>,
    faults: Faults,
    is_whole: bool,
}

/// What an entry says, as it is written.
#[derive(Default)]
struct Entry {
    line: u64,
    amount: String,
    currency: String,
    direction: String,
    status: String,
    booked_on: String,
    value_on: String,
    reference: String,
    text: Vec<String>,
}

impl Reading {
    fn opens(
        &mut self,
        namespace: &ResolveResult<'_>,
        start: &BytesStart<'_>,
        at: u64,
    ) -> Result<(), NotAStatement> {
        let refused = |what: &str| Err(NotAStatement::whole(Some(at), what));
        let local = start.local_name().as_ref().to_owned();
        if self.path.len() >= DEPTH_MAX {
            return refused("it is too deep");
        }
        let known =
            matches!(namespace, ResolveResult::Bound(it) if NAMESPACES.contains(&it.as_ref()));
        if self.path.is_empty() && (!known || local != "Document" || self.is_whole) {
            return refused("this is no camt.053.001.02 or camt.053.001.08 document");
        }
        // What is of another namespace means nothing here.
        self.path.push(if known { local } else { "?".to_owned() });
        self.text.clear();
        match self.path.join("/").as_str() {
            STATEMENT => {
                self.statements += 1;
                (self.entries, self.account) = (0, None);
            }
            ENTRY => {
                self.entries += 1;
                self.entry = Some(Entry {
                    line: at,
                    ..Entry::default()
                });
            }
            path if path.strip_prefix(ENTRY) == Some("/Amt") => {
                let currency = start.try_get_attribute("Ccy").ok().flatten();
                let currency = currency.map(|it| it.value.into_owned());
                if let Some(entry) = &mut self.entry {
                    entry.currency = currency.unwrap_or_default();
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn says(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn closes(&mut self) {
        let path = self.path.join("/");
        let said = std::mem::take(&mut self.text).trim().to_owned();
        self.path.pop();
        if path == ENTRY {
            if let Some(entry) = self.entry.take() {
                self.take(entry);
            }
        } else if let (Some(within), Some(entry)) = (path.strip_prefix(ENTRY), &mut self.entry) {
            entry.takes(within, said);
        } else if let Some("/Acct/Id/IBAN" | "/Acct/Id/Othr/Id") = path.strip_prefix(STATEMENT) {
            self.account = Some(said);
        }
        self.is_whole |= self.path.is_empty() && self.statements > 0;
    }

    fn take(&mut self, entry: Entry) {
        match entry.line(self.account.clone()) {
            Ok(None) => {}
            Ok(Some(line)) => self.lines.push(line),
            Err((element, what)) => self.faults.add(Fault {
                line: Some(entry.line),
                place: Some(format!(
                    "Stmt[{}]/Ntry[{}]/{element}",
                    self.statements, self.entries
                )),
                what,
            }),
        }
    }
}

impl Entry {
    /// What an element within the entry says; the first of several of a name.
    fn takes(&mut self, within: &str, said: String) {
        let field = match within {
            "/Amt" => &mut self.amount,
            "/CdtDbtInd" => &mut self.direction,
            "/Sts" | "/Sts/Cd" => &mut self.status,
            "/BookgDt/Dt" | "/BookgDt/DtTm" => &mut self.booked_on,
            "/ValDt/Dt" | "/ValDt/DtTm" => &mut self.value_on,
            "/AcctSvcrRef" => &mut self.reference,
            "/AddtlNtryInf"
            | "/NtryDtls/TxDtls/AddtlTxInf"
            | "/NtryDtls/TxDtls/RmtInf/Ustrd"
            | "/NtryDtls/TxDtls/Refs/EndToEndId"
            | "/NtryDtls/TxDtls/RltdPties/Dbtr/Nm"
            | "/NtryDtls/TxDtls/RltdPties/Dbtr/Pty/Nm" => {
                self.text.push(said);
                return;
            }
            _ => return,
        };
        if field.is_empty() {
            *field = said;
        }
    }

    /// The line; none where nothing is booked. Else the faulty element, and what is wrong with it.
    fn line(
        &self,
        account: Option<String>,
    ) -> Result<Option<StatementLine>, (&'static str, String)> {
        match self.status.as_str() {
            "BOOK" => {}
            "PDNG" | "INFO" | "FUTR" => return Ok(None),
            _ => return Err(("Sts", "it is not BOOK, PDNG, INFO or FUTR".to_owned())),
        }
        let sign = match self.direction.as_str() {
            "CRDT" => "",
            "DBIT" => "-",
            _ => return Err(("CdtDbtInd", "it is not CRDT or DBIT".to_owned())),
        };
        let currency = Currency::parse(&self.currency);
        let currency = currency.map_err(|error| ("Amt/@Ccy", error.to_string()))?;
        if !self.amount.starts_with(|it: char| it.is_ascii_digit()) {
            return Err(("Amt", "this is not an amount without a sign".to_owned()));
        }
        let marks = Marks {
            decimal: '.',
            thousands: None,
        };
        let amount = amount::read(&format!("{sign}{}", self.amount), currency, marks);
        let amount = amount.map_err(|what| ("Amt", what))?;
        let booked_on = day(&self.booked_on).ok_or(("BookgDt", "it has no date".to_owned()))?;
        let value_on = match self.value_on.as_str() {
            "" => None,
            text => Some(day(text).ok_or(("ValDt", "this is no date".to_owned()))?),
        };
        let reference = Some(self.reference.clone()).filter(|it| !it.is_empty());
        Ok((!amount.is_zero()).then(|| StatementLine {
            account,
            booked_on,
            value_on,
            amount,
            reference,
            text: self.text.join(" "),
        }))
    }
}

/// A date, with or without a zone, or a time, of which the day is the bank's own.
fn day(text: &str) -> Option<NaiveDate> {
    let plain = text.get(..10)?.parse().ok()?;
    let rest = &text[10..];
    let zone = |it: &str| {
        let digits = it.strip_prefix(['+', '-']);
        it == "Z" || digits.is_some_and(|it| it.len() == 5 && it.as_bytes()[2] == b':')
    };
    let timed =
        || DateTime::parse_from_rfc3339(text).is_ok() || text.parse::<NaiveDateTime>().is_ok();
    (rest.is_empty() || zone(rest) || timed()).then_some(plain)
}
