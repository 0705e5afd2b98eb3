//! Each format says the same as the others, lets nothing in that grows, and writes nothing that computes.

use super::*;
use proptest::prelude::*;
use serde_json::json;

const XML: &str = "<StripeV1CreateCheckout xmlns=\"http://schemas.datacontract.org/2004/07/BokaMera.API.ServiceModel.Dtos\" \
    xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\">\n  <Articles>\n    <ArticleToCreate><ArticleId>1</ArticleId>\
    <Quantity>2</Quantity></ArticleToCreate>\n  </Articles><CancelUrl i:nil=\"true\"/>\
    <InternalReferenceId>a &amp; b&#33;</InternalReferenceId></StripeV1CreateCheckout>";

fn of(format: Format, text: &str) -> Result<Value, BodyError> {
    read(format, text.as_bytes()).map(Value::Object)
}

#[test]
fn every_format_says_the_same() {
    let articles = json!([{"ArticleId": "1", "Quantity": "2"}]);
    let said = json!({"Articles": articles, "CancelUrl": null, "InternalReferenceId": "a & b!"});
    assert_eq!(of(Format::Xml, XML), Ok(said));
    let said = json!({"Articles": articles, "InternalReferenceId": "a, \"b\"", "CancelUrl": null});
    for jsv in [
        r#"{Articles:[{ArticleId:1,Quantity:2}],InternalReferenceId:"a, ""b""",CancelUrl:}"#,
        "{\n\tArticles: \n\t[\n\t\t{\n\t\t\tArticleId: 1,\n\t\t\tQuantity: 2\n\t\t}\n\t],\n\tInternalReferenceId: \"a, \"\"b\"\"\",\n\tCancelUrl: \n}",
    ] {
        assert_eq!(of(Format::Jsv, jsv), Ok(said.clone()), "{jsv}");
    }
    let csv = "Articles,InternalReferenceId,CancelUrl\r\n\"[{ArticleId:1,Quantity:2}]\",\"a, \"\"b\"\"\",\r\n";
    let cells = json!({"Articles": "[{ArticleId:1,Quantity:2}]", "InternalReferenceId": "a, \"b\"", "CancelUrl": ""});
    assert_eq!(of(Format::Csv, csv), Ok(cells));
    assert_eq!(nested("[{ArticleId:1,Quantity:2}]"), Some(articles));
    for format in Format::ALL {
        let json = format!("\u{feff} {said}");
        assert_eq!(of(format, &json), Ok(said.clone()), "{format:?}");
    }
}

#[test]
fn an_address_needs_no_quotes_in_jsv() {
    let said = of(Format::Jsv, "{Url:https://a.example:8080/b?c=d,Next:x}");
    assert_eq!(
        said,
        Ok(json!({"Url": "https://a.example:8080/b?c=d", "Next": "x"}))
    );
}

/// Planted bug: letting the document's type, or an entity of its own, through to the reader.
#[test]
fn no_format_lets_a_bomb_in() {
    let bomb = "<!DOCTYPE a [<!ENTITY b \"bbbb\">]><a><b>&b;</b></a>";
    let deep = |open: &str, close: &str| open.repeat(100) + &close.repeat(100);
    for (format, text) in [
        (Format::Xml, bomb.to_owned()),
        (
            Format::Xml,
            "<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a><b>1</b></a>".to_owned(),
        ),
        (
            Format::Xml,
            "<?xml-stylesheet href=\"x\"?><a><b>1</b></a>".to_owned(),
        ),
        (Format::Xml, "<a><b>&b;</b></a>".to_owned()),
        (Format::Xml, deep("<a>", "</a>")),
        (Format::Xml, "<a><b></a>".to_owned()),
        (Format::Xml, "<a><b>".to_owned()),
        (Format::Xml, "<a><b>1</b></a><a><b>1</b></a>".to_owned()),
        (Format::Xml, "<a><b>1</b></a>x".to_owned()),
        (Format::Xml, String::new()),
        (Format::Json, deep("[", "]")),
        (Format::Jsv, deep("[", "]")),
        (Format::Jsv, deep("{a:", "}")),
        (Format::Jsv, "{a:{b:1}".to_owned()),
        (Format::Jsv, "{a:1}x".to_owned()),
        (Format::Jsv, "{a:\"1}".to_owned()),
        (Format::Csv, "a,b\r\n1\r\n".to_owned()),
        (Format::Csv, "a\r\n".to_owned()),
        (Format::Csv, "a\r\n1\r\n2\r\n".to_owned()),
    ] {
        assert!(of(format, &text).is_err(), "{format:?} {text:.40}");
    }
    assert_eq!(nested(&deep("[", "]")), None);
}

/// Planted bug: quoting a cell that is a formula, and leaving it one.
#[test]
fn a_cell_is_never_a_formula_and_what_is_special_is_quoted() {
    let members = [
        ("A", json!("=HYPERLINK(1)")),
        ("B", json!("+1, \"2\"")),
        ("C", Value::Null),
        ("D", json!([{"X": "a,b"}])),
    ];
    let expected = "A,B,C,D\r\n'=HYPERLINK(1),\"'+1, \"\"2\"\"\",,\"[{X:\"\"a,b\"\"}]\"\r\n";
    assert_eq!(write(Format::Csv, "R", &members), expected);
}

#[test]
fn xml_has_its_members_in_the_order_of_the_alphabet_and_escapes_them() {
    let members = [
        ("Url", json!("a<b&c\r\u{1}")),
        ("ClientSecret", Value::Null),
    ];
    let text = write(Format::Xml, "R", &members);
    assert!(
        text.ends_with("<ClientSecret i:nil=\"true\" /><Url>a&lt;b&amp;c&#13;</Url></R>"),
        "{text}"
    );
}

/// What XML can write.
fn text() -> impl Strategy<Value = String> {
    let letter = prop_oneof![
        4 => prop::char::range(' ', '~'),
        1 => prop::sample::select(vec!['"', ',', '{', '}', '[', ']', ':', '\n', '\r', '\t', '<', '&', '\'', 'å', '€', '😀']),
        1 => prop::char::range('\u{a0}', '\u{d7ff}'),
    ];
    prop::collection::vec(letter, 0..12).prop_map(String::from_iter)
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(Value::Null), text().prop_map(Value::from)];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            // A list of one thing that has no value is written as a list of none.
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| items.into_iter().filter(|it| !it.is_null()).collect()),
            prop::collection::btree_map(text(), inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Red when a text is not quoted for a sign, for white space at an end, or for being empty.
    #[test]
    fn jsv_gives_back_what_was_written(value in value()) {
        prop_assert_eq!(jsv::read(&jsv::write(&value)).ok(), Some(value));
    }

    /// Red when a cell is left as it is though a spreadsheet would compute it, or changed though it would not.
    #[test]
    fn csv_gives_back_what_was_written_and_no_cell_computes(texts in prop::collection::vec(text(), 1..5)) {
        let names = ["A", "B", "C", "D", "E"];
        let members: Vec<(&str, Value)> =
            names.into_iter().zip(texts.iter().map(|it| it.as_str().into())).collect();
        let written = write(Format::Csv, "R", &members);
        let mut reader = ::csv::Reader::from_reader(written.as_bytes());
        let row = reader.records().next().unwrap().unwrap();
        for (cell, text) in row.iter().zip(&texts) {
            let computes = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
            prop_assert_eq!(cell.strip_prefix('\'').filter(|_| computes).unwrap_or(cell), text);
            prop_assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']));
        }
        if !written.trim_start().starts_with('{') {
            prop_assert!(of(Format::Csv, &written).is_ok());
        }
    }

    /// Red when a letter is not escaped, or is lost that XML can write.
    #[test]
    fn xml_gives_back_what_was_written(texts in prop::collection::vec(text(), 1..4), nested in text()) {
        let mut members: Vec<(&str, Value)> =
            ["A", "B", "C"].into_iter().zip(texts.into_iter().map(Value::from)).collect();
        members.push(("Articles", json!([{"Name": nested}])));
        let said: Map<String, Value> =
            members.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        prop_assert_eq!(read(Format::Xml, write(Format::Xml, "R", &members).as_bytes()), Ok(said));
    }

    /// Red when a parser takes anything for granted.
    #[test]
    fn no_bytes_make_a_reader_fail(bytes in prop::collection::vec(any::<u8>(), 0..200), signs in "[{}\\[\\]\",:<>/&;a!?= \r\n]{0,80}") {
        for format in Format::ALL {
            let _ = read(format, &bytes);
            let _ = read(format, signs.as_bytes());
        }
        let _ = nested(&signs);
    }
}
