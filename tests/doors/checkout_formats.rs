//! The checkout's door in each of its formats: what goes in, what comes out, word for word; read back by parsers of others.

use crate::support::World;
use crate::support::checkout::{COMPANY, PATH, at_stripe, keyed, wanted};
use crate::{Answer, ask};
use quick_xml::events::Event;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const CREATE: &str = "StripeV1CreateCheckout";
const STATUS: &str = "GetStripeCheckoutV1CheckoutStatus";
/// The document's example, its placeholders replaced.
const EXAMPLE: &str = r#"{"CompanyId":"11111111-1111-1111-1111-111111111111","CountryCode":"SE","Articles":[{"ArticleId":1,"ArticleTypeId":0,"Quantity":1}],"InternalReferenceId":"String","ConfirmationUrl":"https://shop.example/done","CancelUrl":"https://shop.example/back","UiMode":"hosted"}"#;
/// The same, as ServiceStack's pages write it in the other formats.
const XML: &str = r#"<StripeV1CreateCheckout xmlns:i="http://www.w3.org/2001/XMLSchema-instance" xmlns="http://schemas.datacontract.org/2004/07/BokaMera.API.ServiceModel.Dtos">
  <Articles>
    <ArticleToCreate>
      <ArticleId>1</ArticleId>
      <ArticleTypeId>0</ArticleTypeId>
      <Quantity>1</Quantity>
    </ArticleToCreate>
  </Articles>
  <CancelUrl>https://shop.example/back</CancelUrl>
  <CompanyId>11111111-1111-1111-1111-111111111111</CompanyId>
  <ConfirmationUrl>https://shop.example/done</ConfirmationUrl>
  <CountryCode>SE</CountryCode>
  <InternalReferenceId>String</InternalReferenceId>
  <UiMode>hosted</UiMode>
</StripeV1CreateCheckout>"#;
const JSV: &str = "{\n\tCompanyId: 11111111111111111111111111111111,\n\tCountryCode: SE,\n\tArticles: \n\t[\n\t\t{\n\t\t\tArticleId: 1,\n\t\t\tArticleTypeId: 0,\n\t\t\tQuantity: 1\n\t\t}\n\t],\n\tInternalReferenceId: String,\n\tConfirmationUrl: https://shop.example/done,\n\tCancelUrl: https://shop.example/back,\n\tUiMode: hosted\n}";
const CSV: &str = "CompanyId,CountryCode,Articles,InternalReferenceId,ConfirmationUrl,CancelUrl,UiMode\r\n{11111111-1111-1111-1111-111111111111},SE,\"[{ArticleId:1,ArticleTypeId:0,Quantity:1}]\",String,https://shop.example/done,https://shop.example/back,hosted\r\n";
const FORM: &str = "companyid=11111111-1111-1111-1111-111111111111&COUNTRYCODE=SE&Articles=%5B%7BArticleId%3A1%7D%5D&InternalReferenceId=String&UiMode=hosted";

const JSON_ANSWER: &str = r#"{"SessionId":"[session]","Url":"[url]","Status":"open","ClientSecret":null,"CustomerId":null,"PaymentIntentClientSecret":null,"PaymentIntentId":null,"StripeAccount":null}"#;
const XML_ANSWER: &str = r#"<?xml version="1.0" encoding="utf-8"?><StripeCheckoutQueryResponse xmlns:i="http://www.w3.org/2001/XMLSchema-instance" xmlns="http://schemas.datacontract.org/2004/07/BokaMera.API.ServiceModel.Dtos"><ClientSecret i:nil="true" /><CustomerId i:nil="true" /><PaymentIntentClientSecret i:nil="true" /><PaymentIntentId i:nil="true" /><SessionId>[session]</SessionId><Status>open</Status><StripeAccount i:nil="true" /><Url>[url]</Url></StripeCheckoutQueryResponse>"#;
const CSV_ANSWER: &str = "SessionId,Url,Status,ClientSecret,CustomerId,PaymentIntentClientSecret,PaymentIntentId,StripeAccount\r\n[session],[url],open,,,,,\r\n";
const JSV_ANSWER: &str = "{SessionId:[session],Url:\"[url]\",Status:open,ClientSecret:,CustomerId:,PaymentIntentClientSecret:,PaymentIntentId:,StripeAccount:}";

/// The media type of a format by its word, and what is answered in it.
const FORMATS: [(&str, &str, &str); 4] = [
    ("json", "application/json", JSON_ANSWER),
    ("xml", "application/xml", XML_ANSWER),
    ("csv", "text/csv", CSV_ANSWER),
    ("jsv", "text/jsv", JSV_ANSWER),
];

fn labelled(request: RequestBuilder, media_type: &str, body: &str) -> RequestBuilder {
    keyed(request)
        .header("Content-Type", media_type.to_owned())
        .body(body.to_owned())
}

/// The answer with what differs from run to run named: the one session that is open.
async fn redacted(world: &World, answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let open = at_stripe(world, "open").await;
    assert_eq!(open.len(), 1, "{open:?}");
    let url = format!("{}_sim/checkout/{}", world.simulator.url(), open[0]);
    let text = answer.text.replace(&url, "[url]");
    text.replace(&open[0], "[session]")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documents_example_is_answered_in_every_format_and_on_every_path() {
    let world = World::start().await;
    for (word, media_type, expected) in FORMATS {
        let bodies = [
            (media_type, EXAMPLE),
            ("application/json", EXAMPLE),
            ("application/xml; charset=utf-8", XML),
            ("text/csv", CSV),
            ("text/jsv", JSV),
            ("application/x-www-form-urlencoded", FORM),
        ];
        let paths = [
            (PATH.to_owned(), media_type),
            (format!("{PATH}.{word}"), "application/json"),
            (format!("{PATH}?format={word}"), "text/html"),
            (format!("/api/{CREATE}"), media_type),
            (format!("/api/{CREATE}.{word}"), "*/*"),
            (format!("/{word}/reply/{CREATE}"), "text/csv"),
        ];
        for ((sent_as, body), (path, accept)) in bodies.into_iter().zip(paths) {
            let request = labelled(world.post(&path), sent_as, body).header("Accept", accept);
            let answer = ask(request).await;
            assert_eq!(
                redacted(&world, &answer).await,
                expected,
                "{path} {sent_as}"
            );
            assert_eq!(answer.header("content-type"), Some(media_type));
            let file = format!("attachment; filename={CREATE}.csv");
            let file = (word == "csv").then_some(file.as_str());
            assert_eq!(answer.header("content-disposition"), file);
        }
    }
    // Without a type of its own a body is read as what is wanted.
    let request = keyed(world.post(&format!("{PATH}.xml"))).body(XML);
    assert_eq!(redacted(&world, &ask(request).await).await, XML_ANSWER);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_querys_values_count_where_the_body_says_nothing() {
    let world = World::start().await;
    let path = format!(
        "{PATH}?companyid={COMPANY}&countrycode=NO&InternalReferenceId=of-the-query&uimode=hosted"
    );
    let body = json!({"COUNTRYCODE": "SE", "articles": [{"articleid": 2}]});
    let answer = ask(keyed(world.post(&path)).json(&body)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let session = format!(
        "/v1/checkout/sessions/{}",
        at_stripe(&world, "open").await[0]
    );
    let (_, shown) = crate::support::send(world.stripe(Method::GET, &session)).await;
    assert_eq!(shown["metadata"]["country"], "SE");
    assert_eq!(shown["metadata"]["reference"], "of-the-query");
    let all = format!("{path}&Articles=[%7BArticleId:2%7D]");
    assert_eq!(ask(keyed(world.post(&all))).await.status, 200);
    world.stop().await;
}

/// The leaves of an XML document: an element's name, and its text.
fn leaves(text: &str) -> BTreeMap<String, String> {
    let mut reader = quick_xml::Reader::from_str(text);
    let (mut leaves, mut name, mut said) = (BTreeMap::new(), String::new(), String::new());
    loop {
        match reader.read_event().unwrap() {
            Event::Start(start) => {
                name = start.local_name().as_ref().to_owned();
                said.clear();
            }
            Event::Text(text) => said.push_str(&text),
            Event::End(end) if end.local_name().as_ref() == name => {
                leaves.insert(name.clone(), said.clone());
            }
            Event::Eof => return leaves,
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn how_a_checkout_stands_is_told_in_every_format_on_every_path() {
    let world = World::start().await;
    let opened = ask(keyed(world.post(PATH)).json(&wanted("b"))).await;
    let id = opened.json["SessionId"].as_str().unwrap();
    let asked = json!({"CompanyId": COMPANY, "SessionId": id}).to_string();
    for (word, media_type, _) in FORMATS {
        for path in [
            format!("{PATH}/status.{word}"),
            format!("{PATH}/status?format={word}"),
            format!("/api/{STATUS}.{word}"),
            format!("/{word}/reply/{STATUS}"),
        ] {
            let request = labelled(world.post(&path), "application/json", &asked);
            let answer = ask(request).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text);
            assert_eq!(answer.header("content-type"), Some(media_type));
            match word {
                "json" => {
                    let told = json!({"CustomerEmail": null, "Status": "open"});
                    assert_eq!(answer.json, told);
                }
                "xml" => {
                    assert!(answer.text.contains("<StripeCheckoutStatusQueryResponse "));
                    assert_eq!(leaves(&answer.text)["Status"], "open");
                }
                "csv" => {
                    let mut reader = csv::Reader::from_reader(answer.text.as_bytes());
                    let row: BTreeMap<String, String> =
                        reader.deserialize().next().unwrap().unwrap();
                    assert_eq!(
                        (row["Status"].as_str(), row["CustomerEmail"].as_str()),
                        ("open", "")
                    );
                }
                _ => assert_eq!(answer.text, "{CustomerEmail:,Status:open}"),
            }
        }
    }
    world.stop().await;
}

/// Planted bug: answering errors in JSON whatever was asked for.
#[tokio::test(flavor = "multi_thread")]
async fn errors_come_in_the_format_that_was_asked_for() {
    let world = World::start().await;
    let body = json!({"CompanyId": COMPANY, "CountryCode": "S,E", "Articles": [{"ArticleId": 1}], "InternalReferenceId": "b"});
    let expected = [
        (
            "json",
            r#"{"ResponseStatus":{"ErrorCode":"Length","Errors":[{"ErrorCode":"Length","FieldName":"CountryCode","Message":"A country is two letters."}],"Message":"A country is two letters."}}"#,
        ),
        (
            "xml",
            r#"<?xml version="1.0" encoding="utf-8"?><ErrorResponse xmlns:i="http://www.w3.org/2001/XMLSchema-instance" xmlns="http://schemas.servicestack.net/types"><ResponseStatus><ErrorCode>Length</ErrorCode><Errors><ResponseError><ErrorCode>Length</ErrorCode><FieldName>CountryCode</FieldName><Message>A country is two letters.</Message></ResponseError></Errors><Message>A country is two letters.</Message></ResponseStatus></ErrorResponse>"#,
        ),
        (
            "csv",
            "ResponseStatus\r\n\"{ErrorCode:Length,Errors:[{ErrorCode:Length,FieldName:CountryCode,Message:A country is two letters.}],Message:A country is two letters.}\"\r\n",
        ),
        (
            "jsv",
            "{ResponseStatus:{ErrorCode:Length,Errors:[{ErrorCode:Length,FieldName:CountryCode,Message:A country is two letters.}],Message:A country is two letters.}}",
        ),
    ];
    for ((word, expected), (_, media_type, _)) in expected.into_iter().zip(FORMATS) {
        let path = format!("{PATH}.{word}");
        let answer = ask(keyed(world.post(&path)).json(&body)).await;
        assert_eq!((answer.status, answer.text.as_str()), (400, expected));
        assert_eq!(answer.header("content-type"), Some(media_type));
        let large = keyed(world.post(&path)).body("x".repeat(1024 * 1024 + 1));
        let large = ask(large).await;
        assert_eq!(
            (large.status, large.header("content-type")),
            (413, Some(media_type))
        );
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            for path in [path.clone(), format!("/{word}/reply/{CREATE}")] {
                let wrong = ask(keyed(world.request(method.clone(), &path))).await;
                assert_eq!((wrong.status, wrong.header("allow")), (405, Some("POST")));
                assert_eq!(wrong.header("content-type"), Some(media_type), "{path}");
                assert!(wrong.text.contains("MethodNotAllowed"), "{}", wrong.text);
            }
        }
        for nowhere in [
            format!("/{word}/reply/Nothing"),
            format!("/payment/stripe/v1/nothing.{word}"),
        ] {
            let nothing = ask(keyed(world.post(&nowhere))).await;
            assert_eq!(
                (nothing.status, nothing.header("content-type")),
                (404, Some(media_type))
            );
        }
        let unknown = ask(world.post(&path).json(&body)).await;
        assert_eq!(
            (unknown.status, unknown.header("content-type")),
            (401, Some(media_type))
        );
    }
    world.stop().await;
}

/// Planted bug: letting the document's type, or an entity of its own, through to the reader.
#[tokio::test(flavor = "multi_thread")]
async fn what_would_grow_or_cannot_be_read_is_refused_whatever_it_is_called() {
    let world = World::start().await;
    let deep = |open: &str, close: &str| open.repeat(10_000) + &close.repeat(10_000);
    let bomb = "<!DOCTYPE a [<!ENTITY b \"bb\">]><a><CompanyId>&b;</CompanyId></a>";
    let outside = "<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a><CompanyId>1</CompanyId></a>";
    let unreadable = "SerializationException";
    for (media_type, body) in [
        ("application/xml", bomb.to_owned()),
        ("text/xml", outside.to_owned()),
        ("application/xml", deep("<a>", "</a>")),
        ("application/json", deep("{\"a\":", "}")),
        ("application/json", deep("[", "]")),
        ("text/jsv", deep("{a:", "}")),
        ("text/jsv", "{CompanyId:\"".to_owned()),
        ("text/csv", "a,b\r\n1\r\n".to_owned()),
        ("text/csv", format!("Articles\r\n{}\r\n", deep("[", "]"))),
        (
            "application/x-www-form-urlencoded",
            format!("Articles={}", deep("[", "]")),
        ),
        ("application/octet-stream", "\u{0}\u{1}".to_owned()),
    ] {
        let answer = ask(labelled(world.post(PATH), media_type, &body)).await;
        assert_eq!(
            answer.status, 400,
            "{media_type} {body:.20}: {}",
            answer.text
        );
        // What is nested in a text is looked at only once the text is known to be the articles.
        let is_a_list = body.starts_with("Articles");
        let code = if is_a_list { "NotEmpty" } else { unreadable };
        assert_eq!(
            answer.json["ResponseStatus"]["ErrorCode"], code,
            "{}",
            answer.text
        );
        assert!(!answer.text.contains("root:"));
    }
    assert_eq!(at_stripe(&world, "open").await.len(), 0);
    world.stop().await;
}

/// What a client names itself comes back in an error, and computes nothing there.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_client_sends_becomes_a_formula() {
    let world = World::start().await;
    let mut body: Value = wanted("=HYPERLINK(\"https://evil.example\")");
    body["UiMode"] = "embedded".into();
    let answer = ask(keyed(world.post(&format!("{PATH}.csv"))).json(&body)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let mut reader = csv::Reader::from_reader(answer.text.as_bytes());
    let row: BTreeMap<String, String> = reader.deserialize().next().unwrap().unwrap();
    assert!(
        row.values()
            .all(|cell| !cell.starts_with(['=', '+', '-', '@'])),
        "{row:?}"
    );
    assert_eq!(row["SessionId"], at_stripe(&world, "open").await[0]);
    assert!(!row["ClientSecret"].is_empty() && row["Url"].is_empty());
    world.stop().await;
}
