//! The checkout's door: what is asked for, by whom, in which format, and what becomes of it.

use crate::support::{World, send, until};
use crate::{Answer, ask, put_key};
use counterfoil::store::{KeyKind, Scope};
use futures::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

const PATH: &str = "/payment/stripe/v1/checkout";
const COMPANY: &str = "11111111-1111-1111-1111-111111111111";

fn wanted(reference: &str) -> Value {
    json!({
        "CompanyId": COMPANY,
        "CountryCode": "SE",
        "Articles": [{"ArticleId": 1, "ArticleTypeId": 0, "Quantity": 2}, {"ArticleId": 2}],
        "InternalReferenceId": reference,
        "ConfirmationUrl": "https://shop.example/done",
        "UiMode": "hosted",
    })
}

fn keyed(request: RequestBuilder) -> RequestBuilder {
    request
        .header("x-api-key", "bokamera-acme")
        .bearer_auth("customer-9")
}

fn post(world: &World, body: &Value) -> RequestBuilder {
    keyed(world.post(PATH)).json(body)
}

#[track_caller]
fn session(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json["SessionId"].as_str().unwrap().to_owned()
}

/// The error's code, of an answer in this door's form.
#[track_caller]
fn code(answer: &Answer) -> (u16, &str) {
    let status = &answer.json["ResponseStatus"];
    assert!(status["Message"].is_string() && status["Errors"].is_array());
    (answer.status, status["ErrorCode"].as_str().unwrap())
}

/// Pays on the page as a payer would; answers where the payer is sent.
async fn pay(world: &World, session: &str) -> u16 {
    let url = format!("{}_sim/checkout/{session}", world.simulator.url());
    let form = "application/x-www-form-urlencoded";
    let body = "action=pay&email=ada%40example.com&method=pm_card_visa";
    let payer = reqwest::Client::builder();
    let payer = payer.redirect(reqwest::redirect::Policy::none());
    let request = payer.build().unwrap().post(url);
    let request = request.header("Content-Type", form).body(body);
    request.send().await.unwrap().status().as_u16()
}

async fn sessions_at_stripe(world: &World, status: &str) -> Vec<Value> {
    let path = format!("/v1/checkout/sessions?limit=100&status={status}");
    let (_, list) = send(world.stripe(Method::GET, &path)).await;
    list["data"].as_array().unwrap().clone()
}

async fn order_status(world: &World) -> Vec<(String, i64)> {
    let rows = sqlx::query_as(
        "select status, total_minor from orders where merchant = 'acme' and source = 'checkout'",
    );
    let pool = world.app().store().pool();
    rows.fetch_all(pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_is_opened_at_the_catalogues_price_with_every_documented_key() {
    let world = World::start().await;
    let answer = ask(post(&world, &wanted("booking-1"))).await;
    let id = session(&answer);
    let keys: Vec<&String> = answer.json.as_object().unwrap().keys().collect();
    let mut documented = [
        "SessionId",
        "Url",
        "Status",
        "ClientSecret",
        "CustomerId",
        "PaymentIntentClientSecret",
        "PaymentIntentId",
        "StripeAccount",
    ];
    documented.sort_unstable();
    let mut keys: Vec<&str> = keys.into_iter().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, documented);
    assert!(answer.json["Url"].as_str().unwrap().starts_with("http"));
    assert_eq!(
        (&answer.json["Status"], &answer.json["ClientSecret"]),
        (&json!("open"), &Value::Null)
    );
    let open = sessions_at_stripe(&world, "open").await;
    assert_eq!((open.len(), &open[0]["id"]), (1, &json!(id)));
    assert_eq!(open[0]["amount_total"], 60_000);
    assert_eq!(open[0]["currency"], "sek");

    let asked = json!({"companyid": format!("{{{COMPANY}}}"), "sessionid": id});
    let status = ask(keyed(world.post(&format!("{PATH}/status"))).json(&asked)).await;
    assert_eq!(
        (status.status, &status.json["Status"]),
        (200, &json!("open"))
    );
    let other = json!({"CompanyId": "22222222-2222-2222-2222-222222222222", "SessionId": id});
    let other = ask(keyed(world.post(&format!("{PATH}/status"))).json(&other)).await;
    assert_eq!(code(&other), (404, "NotFound"));
    world.stop().await;
}

/// Planted bug: opening the new one without expiring the one before at Stripe.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_checkouts_at_once_leave_exactly_one_open() {
    let world = World::start().await;
    let body = wanted("booking-20");
    let answers = join_all((0..20).map(|_| ask(post(&world, &body)))).await;
    let ids: Vec<String> = answers.iter().map(session).collect();
    let open = sessions_at_stripe(&world, "open").await;
    assert_eq!(open.len(), 1, "{open:?}");
    assert!(ids.contains(&open[0]["id"].as_str().unwrap().to_owned()));
    let history = world.history("acme").await;
    let count = |name: &str| history.iter().filter(|it| *it == name).count();
    assert_eq!(
        (count("CheckoutOpened"), count("CheckoutInvalidated")),
        (20, 19)
    );
    world.stop().await;
}

/// Planted bug: invalidating a session whatever Stripe says of it, or not naming the order in its intent.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_paid_stays_and_the_next_checkout_is_refused() {
    let world = World::start().await;
    let first = session(&ask(post(&world, &wanted("booking-2"))).await);
    assert_eq!(pay(&world, &first).await, 303);
    let refused = ask(post(&world, &wanted("booking-2"))).await;
    assert_eq!(code(&refused), (409, "Conflict"));
    assert_eq!(sessions_at_stripe(&world, "open").await.len(), 0);
    until("the session's money has paid the order", async || {
        order_status(&world).await == [("paid".to_owned(), 60_000)]
    })
    .await;
    let history = world.history("acme").await;
    assert!(!history.iter().any(|it| it == "CheckoutInvalidated"));
    assert_eq!(history.iter().filter(|it| *it == "OrderPaid").count(), 1);
    world.stop().await;
}

/// Planted bug: naming the opening request at random, so that the one that was cut off stays open.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_that_nobody_heard_of_makes_way_for_the_next() {
    let world = World::start().await;
    crate::stripe_falls_silent_after(&world, "/v1/checkout/sessions").await;
    let silent = ask(post(&world, &wanted("booking-3"))).await;
    assert_eq!(code(&silent), (503, "OutcomeUnknown"));
    assert!(silent.header("retry-after").is_some());
    let id = session(&ask(post(&world, &wanted("booking-3"))).await);
    let open = sessions_at_stripe(&world, "open").await;
    assert_eq!((open.len(), &open[0]["id"]), (1, &json!(id)));
    assert_eq!(sessions_at_stripe(&world, "expired").await.len(), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebate_lowers_the_total_and_what_is_left_is_still_an_amount() {
    let world = World::start().await;
    let articles = |of: Value| {
        let mut body = wanted("booking-4");
        body["Articles"] = of;
        body
    };
    let rebated = articles(json!([{"ArticleId": 2}, {"ArticleId": 3}]));
    session(&ask(post(&world, &rebated)).await);
    let open = sessions_at_stripe(&world, "open").await;
    assert_eq!(open[0]["amount_total"], 5_000);
    let nothing = articles(json!([{"ArticleId": 2}, {"ArticleId": 3, "Quantity": 2}]));
    let refused = ask(post(&world, &nothing)).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    let unknown = ask(post(&world, &articles(json!([{"ArticleId": 9}])))).await;
    assert_eq!(code(&unknown), (404, "NotFound"));
    let mut rivals = wanted("booking-4");
    rivals["CompanyId"] = "22222222-2222-2222-2222-222222222222".into();
    let rivals = ask(post(&world, &rivals)).await;
    assert_eq!(rivals.text, unknown.text);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_goes_in_and_comes_out_on_every_path() {
    let world = World::start().await;
    let xml = format!(
        "<StripeV1CreateCheckout><Articles><ArticleToCreate><ArticleId>1</ArticleId></ArticleToCreate></Articles>\
         <CompanyId>{COMPANY}</CompanyId><CountryCode>SE</CountryCode><InternalReferenceId>x</InternalReferenceId>\
         <UiMode>embedded</UiMode></StripeV1CreateCheckout>"
    );
    let jsv = format!(
        "{{CompanyId:{COMPANY},CountryCode:SE,Articles:[{{ArticleId:1}}],InternalReferenceId:x,UiMode:embedded}}"
    );
    let csv = format!(
        "CompanyId,CountryCode,Articles,InternalReferenceId,UiMode\r\n{COMPANY},SE,[{{ArticleId:1}}],x,embedded\r\n"
    );
    let form = format!(
        "CompanyId={COMPANY}&CountryCode=SE&Articles=%5B%7BArticleId%3A1%7D%5D&InternalReferenceId=x&UiMode=embedded"
    );
    let json = wanted("x").to_string();
    for (path, accept, sent_as, body, answered_as, begins) in [
        (
            "/payment/stripe/v1/checkout",
            "text/csv",
            "text/csv",
            &json,
            "text/csv",
            "SessionId,Url,",
        ),
        (
            "/payment/stripe/v1/checkout",
            "text/csv",
            "text/csv",
            &csv,
            "text/csv",
            "SessionId,Url,",
        ),
        (
            "/payment/stripe/v1/checkout.xml",
            "*/*",
            "application/xml",
            &xml,
            "application/xml",
            "<?xml",
        ),
        (
            "/payment/stripe/v1/checkout?format=jsv",
            "text/csv",
            "text/jsv",
            &jsv,
            "text/jsv",
            "{SessionId:",
        ),
        (
            "/api/StripeV1CreateCheckout",
            "*/*",
            "application/x-www-form-urlencoded",
            &form,
            "application/json",
            "{\"",
        ),
        (
            "/json/reply/StripeV1CreateCheckout",
            "text/csv",
            "application/json",
            &json,
            "application/json",
            "{\"",
        ),
        (
            "/xml/reply/StripeV1CreateCheckout",
            "*/*",
            "application/json",
            &json,
            "application/xml",
            "<?xml",
        ),
    ] {
        let request = keyed(world.post(path)).header("Accept", accept);
        let answer = ask(request.header("Content-Type", sent_as).body(body.clone())).await;
        assert_eq!(answer.status, 200, "{path} {sent_as}: {}", answer.text);
        assert_eq!(answer.header("content-type"), Some(answered_as), "{path}");
        assert!(answer.text.starts_with(begins), "{path}: {}", answer.text);
        let file = (answered_as == "text/csv")
            .then_some("attachment; filename=StripeV1CreateCheckout.csv");
        assert_eq!(answer.header("content-disposition"), file);
    }
    let bomb = "<!DOCTYPE a [<!ENTITY b \"bb\">]><a><CompanyId>&b;</CompanyId></a>";
    let bomb = keyed(world.post(PATH))
        .header("Content-Type", "application/xml")
        .body(bomb);
    assert_eq!(code(&ask(bomb).await), (400, "SerializationException"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_faulty_field_is_named_and_nothing_is_opened() {
    let world = World::start().await;
    let body = json!({
        "CompanyId": "no", "CountryCode": "Sweden", "Articles": [{"Quantity": 0}],
        "InternalReferenceId": "4242 4242 4242 4242", "ConfirmationUrl": "javascript:alert(1)",
        "CancelUrl": "https://shop.example", "UiMode": "embedded",
    });
    let answer = ask(post(&world, &body)).await;
    assert_eq!(answer.status, 400);
    let errors = answer.json["ResponseStatus"]["Errors"].as_array().unwrap();
    let fields: Vec<&str> = errors
        .iter()
        .map(|it| it["FieldName"].as_str().unwrap())
        .collect();
    assert_eq!(
        fields,
        [
            "CompanyId",
            "CountryCode",
            "InternalReferenceId",
            "Articles[0].ArticleId",
            "Articles[0].Quantity",
            "ConfirmationUrl",
            "CancelUrl",
        ]
    );
    assert!(!answer.text.contains("4242"));
    let mut other = wanted("x");
    other["UiMode"] = "custom".into();
    assert_eq!(code(&ask(post(&world, &other)).await), (400, "Enum"));
    assert_eq!(sessions_at_stripe(&world, "open").await.len(), 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_missing_wrong_anothers_or_too_small_opens_nothing() {
    let world = World::start().await;
    let secret = "bokamera-reads";
    put_key(
        &world,
        "acme",
        KeyKind::Bokamera,
        secret,
        &[Scope::PaymentsRead],
    )
    .await;
    let body = wanted("x");
    for path in [
        PATH,
        "/payment/stripe/v1/checkout/status",
        "/api/StripeV1CreateCheckout",
    ] {
        let with = |key: Option<&str>, token: Option<&str>| {
            let request = world.post(path).json(&body);
            let request = key
                .into_iter()
                .fold(request, |it, key| it.header("x-api-key", key));
            token
                .into_iter()
                .fold(request, |it, token| it.bearer_auth(token))
        };
        for (key, token) in [
            (None, None),
            (Some("bokamera-acme"), None),
            (None, Some("customer-9")),
            (Some("123456789"), Some("customer-9")),
            (Some("bokamera-rival"), Some("customer-9")),
            (Some("bokamera-acme"), Some("customer-8")),
        ] {
            let answer = ask(with(key, token)).await;
            assert_eq!(
                code(&answer),
                (401, "Unauthorized"),
                "{path} {key:?} {token:?}"
            );
        }
        let small = ask(with(Some(secret), Some("customer-9"))).await;
        assert_eq!(code(&small), (403, "Forbidden"));
    }
    let wrong_method = ask(keyed(world.get(PATH))).await;
    assert_eq!(code(&wrong_method), (405, "MethodNotAllowed"));
    assert_eq!(wrong_method.header("allow"), Some("POST"));
    assert_eq!(sessions_at_stripe(&world, "open").await.len(), 0);
    world.stop().await;
}
