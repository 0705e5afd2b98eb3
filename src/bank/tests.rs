//! Statements as banks write them, broken ones, and anything at all.
#![allow(
    clippy::inconsistent_digit_grouping,
    reason = "1_048_57 reads as 1048.57"
)]

use super::*;
use proptest::prelude::*;

const PLAIN: &[u8] = include_bytes!("../../tests/bank/plain.csv");
const GERMAN: &[u8] = include_bytes!("../../tests/bank/german.csv");
const FAULTY: &[u8] = include_bytes!("../../tests/bank/faulty.csv");
const CAMT_02: &str = include_str!("../../tests/bank/statement.001.02.xml");
const CAMT_08: &str = include_str!("../../tests/bank/statement.001.08.xml");

fn plain() -> CsvFormat {
    CsvFormat {
        delimiter: ',',
        booked_on: "Date".to_owned(),
        value_on: Some("Value date".to_owned()),
        date: "%Y-%m-%d".to_owned(),
        amount: AmountColumns::Signed("Amount".to_owned()),
        decimal: '.',
        thousands: None,
        currency: CurrencyOf::Column("Currency".to_owned()),
        reference: Some("Reference".to_owned()),
        text: vec!["Description".to_owned()],
    }
}

fn day(day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2025, 4, day).unwrap()
}

fn money(minor: i64, currency: &str) -> Money {
    Money::new(minor, currency.parse().unwrap())
}

fn line(booked_on: u32, amount: Money, text: &str) -> StatementLine {
    StatementLine {
        account: None,
        booked_on: day(booked_on),
        value_on: None,
        amount,
        reference: None,
        text: text.to_owned(),
    }
}

#[test]
fn a_csv_statement_is_read_by_the_names_of_its_columns() {
    let lines = read_csv(PLAIN, &plain()).unwrap();
    let expected = [
        StatementLine {
            value_on: Some(day(2)),
            reference: Some("2025040100017".to_owned()),
            ..line(1, money(1_048_57, "usd"), "STRIPE PAYOUT po_1NabcDEF23")
        },
        StatementLine {
            reference: Some("2025040300001".to_owned()),
            ..line(3, money(-900_00, "usd"), "Rent, April")
        },
        StatementLine {
            value_on: Some(day(8)),
            reference: Some("2025040800003".to_owned()),
            ..line(8, money(95_00, "usd"), "STRIPE PAYMENTS EUROPE, LTD")
        },
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_bank_may_write_dates_amounts_and_directions_in_its_own_way() {
    let format: CsvFormat = serde_json::from_str(
        r#"{"delimiter": ";", "booked_on": "Buchungstag", "value_on": "Wertstellung", "date": "%d.%m.%Y",
            "amount": {"split": {"came": "Haben", "left": "Soll"}}, "decimal": ",", "thousands": ".",
            "currency": {"always": "eur"}, "text": ["Auftraggeber", "Verwendungszweck"]}"#,
    )
    .unwrap();
    let lines = read_csv(GERMAN, &format).unwrap();
    let text = "Stripe Technology Europe Ltd STRIPE po_1Nxyz";
    let expected = [
        StatementLine {
            value_on: Some(day(2)),
            ..line(1, money(12_345_67, "eur"), text)
        },
        StatementLine {
            value_on: Some(day(3)),
            ..line(3, money(-900_00, "eur"), "Vermieter Miete")
        },
    ];
    assert_eq!(lines, expected);
}

/// Red when reading stops at the first fault, or when what is good in a faulty file is taken.
#[test]
fn every_faulty_line_of_a_csv_statement_is_named_and_none_is_taken() {
    let refused = read_csv(FAULTY, &plain()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "line 3: Date: no date as %Y-%m-%d\n\
         line 4: it has 3 cells, and the header 6\n\
         line 5: Amount: USD is written with 2 decimals\n\
         line 6: Amount: this is not an amount\n\
         line 7: Currency: not a currency that payments can be made in"
    );
}

#[test]
fn a_header_without_the_formats_columns_is_refused() {
    let refused = |text: &str| read_csv(text.as_bytes(), &plain()).unwrap_err().to_string();
    assert_eq!(
        refused("Date,Value date,Description,Reference,Amount\n"),
        "line 1: the header has no column \"Currency\""
    );
    assert_eq!(
        refused("Date,Date,Value date,Description,Reference,Amount,Currency\n"),
        "line 1: the header has more than one column \"Date\""
    );
    assert_eq!(refused(""), "line 1: the header has no column \"Date\"");
    let latin = read_csv(b"Date\n\xe4", &plain()).unwrap_err();
    assert_eq!(latin.to_string(), "line 2: this is not UTF-8");
}

#[test]
fn a_thousand_faults_are_counted_and_a_hundred_named() {
    let head = "Date,Value date,Description,Reference,Amount,Currency\n";
    let text = head.to_owned() + &"x,,,,1,usd\n".repeat(1_000);
    let refused = read_csv(text.as_bytes(), &plain()).unwrap_err();
    assert_eq!((refused.faults.len(), refused.left_out), (100, 900));
    assert!(refused.to_string().ends_with("\nand 900 more"));
}

#[test]
fn an_amount_is_of_its_currencys_own_places() {
    let read = |text: &str, currency: &str| {
        let csv = format!(
            "Date,Value date,Description,Reference,Amount,Currency\n2025-04-01,,,,\"{text}\",{currency}\n"
        );
        let lines = read_csv(
            csv.as_bytes(),
            &CsvFormat {
                thousands: Some(','),
                ..plain()
            },
        );
        lines.map(|it| it[0].amount).map_err(|it| it.to_string())
    };
    assert_eq!(read("11200", "jpy"), Ok(money(11_200, "jpy")));
    assert_eq!(read("11200.00", "jpy"), Ok(money(11_200, "jpy")));
    assert_eq!(read("1.5", "kwd"), Ok(money(1_500, "kwd")));
    assert_eq!(read("+1,234,567.80", "usd"), Ok(money(1_234_567_80, "usd")));
    for broken in [
        "1,23.00",
        "12,34,567",
        "1..0",
        "1.",
        ".5",
        "--1",
        "1 000",
        "1e3",
        "",
        "9".repeat(30).as_str(),
    ] {
        assert!(read(broken, "usd").is_err(), "{broken}");
    }
    assert!(
        read("10000000000000.01", "usd")
            .unwrap_err()
            .contains("more than can be booked")
    );
}

#[test]
fn both_versions_of_camt_053_are_read() {
    let text = "NOTPROVIDED Stripe Technology Europe Ltd STRIPE po_1NabcDEF23 & more";
    let iban = Some("DE89370400440532013000".to_owned());
    let expected = [
        StatementLine {
            account: iban.clone(),
            value_on: Some(day(2)),
            reference: Some("2025040100017".to_owned()),
            ..line(1, money(1_048_57, "eur"), text)
        },
        StatementLine {
            account: iban,
            ..line(1, money(-900_00, "eur"), "Rent")
        },
    ];
    assert_eq!(read_camt053(CAMT_02.as_bytes()).unwrap(), expected);
    let expected = [
        StatementLine {
            account: Some("0012345678".to_owned()),
            ..line(1, money(11_200, "jpy"), "STRIPE po_1Nyen")
        },
        StatementLine {
            account: Some("GB33BUKB20201555555555".to_owned()),
            ..line(3, money(-7_50, "gbp"), "")
        },
    ];
    assert_eq!(read_camt053(CAMT_08.as_bytes()).unwrap(), expected);
}

#[track_caller]
fn camt_refused(from: &str, to: &str, expected: &str) {
    assert!(CAMT_02.contains(from), "{from}");
    let refused = read_camt053(CAMT_02.replacen(from, to, 1).as_bytes()).unwrap_err();
    assert_eq!(refused.to_string(), expected, "{to}");
}

/// Red when a fault of an element is passed over, or an entry is taken in spite of it.
#[test]
fn every_faulty_entry_of_a_camt_statement_is_named_by_its_path() {
    let first = "Stmt[1]/Ntry[1]";
    camt_refused(
        "<Dt>2025-04-01</Dt>",
        "<Dt>2025-04-31</Dt>",
        &format!("line 9: {first}/BookgDt: it has no date"),
    );
    camt_refused(
        "<Amt Ccy=\"EUR\">1048.57</Amt>",
        "<Amt>1048.57</Amt>",
        &format!("line 9: {first}/Amt/@Ccy: not a currency that payments can be made in"),
    );
    camt_refused(
        "1048.57",
        "-1048.57",
        &format!("line 9: {first}/Amt: this is not an amount without a sign"),
    );
    camt_refused(
        "CRDT</CdtDbtInd>\n        <Sts>BOOK",
        "CRDT</CdtDbtInd>\n        <Sts>DONE",
        &format!("line 9: {first}/Sts: it is not BOOK, PDNG, INFO or FUTR"),
    );
    camt_refused(
        "DBIT",
        "BOTH",
        "line 22: Stmt[1]/Ntry[2]/CdtDbtInd: it is not CRDT or DBIT",
    );
    let both = CAMT_02.replace("DBIT", "BOTH").replace("1048.57", "x");
    let refused = read_camt053(both.as_bytes()).unwrap_err();
    assert_eq!(refused.faults.len(), 2);
}

/// Red when document types are passed over: what they define would be read, or fetched.
#[test]
fn what_is_no_camt_document_or_could_be_an_attack_is_refused_as_a_whole() {
    let declared = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
    let bomb = format!("{declared}<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]>");
    camt_refused(declared, &bomb, "line 1: document types are not read");
    camt_refused("&amp; more", "&xxe;", "line 19: entities are not read");
    camt_refused(
        "encoding=\"UTF-8\"",
        "encoding=\"ISO-8859-1\"",
        "line 1: only UTF-8 is read, and the document declares something else",
    );
    let no_camt = "this is no camt.053.001.02 or camt.053.001.08 document";
    camt_refused(
        "camt.053.001.02",
        "camt.054.001.02",
        &format!("line 2: {no_camt}"),
    );
    camt_refused("</Document>", "", "line 38: the document ends too early");
    camt_refused("</Stmt>", "</Smt>", "line 35: this is not well-formed XML");
    let refused = |text: &str| read_camt053(text.as_bytes()).unwrap_err().to_string();
    assert_eq!(refused(""), "line 1: the document ends too early");
    assert_eq!(
        refused("Date,Amount\n"),
        "line 2: the document ends too early"
    );
    assert_eq!(refused("<html></html>"), format!("line 1: {no_camt}"));
    let root = "<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:camt.053.001.02\">";
    assert_eq!(
        refused(&format!("{root}</Document>")),
        "line 1: the document ends too early"
    );
    assert_eq!(
        refused(&(root.to_owned() + &"<a>".repeat(40))),
        "line 1: it is too deep"
    );
}

fn written(lines: &[(u32, i64, String)]) -> String {
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    let head = [
        "Date",
        "Value date",
        "Description",
        "Reference",
        "Amount",
        "Currency",
    ];
    writer.write_record(head).unwrap();
    for (on, minor, text) in lines {
        let amount = money(*minor, "usd").to_decimal_string();
        writer
            .write_record([&day(*on).to_string(), "", text, "", &amount, "USD"])
            .unwrap();
    }
    String::from_utf8(writer.into_inner().unwrap()).unwrap()
}

proptest! {
    /// Red when a quoted text is cut at its delimiter, or an amount passes through a float.
    #[test]
    fn a_csv_statement_is_read_back(lines in prop::collection::vec((1..30_u32, 1..1_000_000_000_000_000_i64, any::<bool>(), "[ -~é\n]{0,20}"), 0..20)) {
        let lines: Vec<_> = lines.into_iter().map(|(on, minor, left, text)| (on, if left { -minor } else { minor }, text)).collect();
        let read = read_csv(written(&lines).as_bytes(), &plain()).unwrap();
        let expected: Vec<_> = lines.iter().map(|(on, minor, text)| line(*on, money(*minor, "usd"), text.trim())).collect();
        prop_assert_eq!(read, expected);
    }

    /// Red when a slice is taken at a place that is no letter's beginning.
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read_csv(&bytes, &plain());
        let _ = read_camt053(&bytes);
    }

    /// A statement with anything in it changed is read or refused, and what is read is booked in whole days and counted amounts.
    #[test]
    fn no_change_to_a_statement_makes_a_reader_panic(at in any::<prop::sample::Index>(), cut in 0..30_usize, put in "[ -~é]{0,12}", camt: bool, new: bool) {
        let source = match (camt, new) {
            (false, _) => std::str::from_utf8(PLAIN).unwrap(),
            (true, false) => CAMT_02,
            (true, true) => CAMT_08,
        };
        let at = at.index(source.len());
        let mut bytes = source.as_bytes().to_vec();
        bytes.splice(at..(at + cut).min(source.len()), put.bytes());
        let read = if camt { read_camt053(&bytes) } else { read_csv(&bytes, &plain()) };
        match read {
            Ok(lines) => prop_assert!(lines.iter().all(|it| !it.amount.is_zero())),
            Err(refused) => prop_assert!(!refused.faults.is_empty()),
        }
    }
}

#[test]
fn what_is_read_is_never_shown_in_a_fault() {
    let secret = "4242424242424242";
    let text = format!(
        "Date,Value date,Description,Reference,Amount,Currency\n{secret},,,,1,usd\n2025-04-01,,,,{secret}x,usd\n2025-04-01,,,,1,{secret}\n"
    );
    let refused = read_csv(text.as_bytes(), &plain()).unwrap_err().to_string();
    assert_eq!(refused.lines().count(), 3);
    assert!(!refused.contains(secret));
}
