//! The checkout's door: what is asked for, by whom, and what becomes of it.

use crate::support::checkout::{COMPANY, PATH, TOTAL, at_stripe, keyed, pay, wanted};
use crate::support::{Setup, World, send, until};
use crate::{Answer, ask, put_key};
use counterfoil::store::{KeyKind, NewKey, Scope};
use counterfoil::use_cases::{Options, RateLimit};
use futures::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::num::NonZeroU32;
use std::time::Duration;

const STATUS: &str = "/payment/stripe/v1/checkout/status";

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
    assert!(
        status["Message"].is_string() && status["Errors"].is_array(),
        "{}",
        answer.text
    );
    (answer.status, status["ErrorCode"].as_str().unwrap())
}

/// The session as Stripe shows it.
async fn shown_by_stripe(world: &World, session: &str) -> Value {
    let path = format!("/v1/checkout/sessions/{session}");
    send(world.stripe(Method::GET, &path)).await.1
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
    assert_eq!(at_stripe(&world, "open").await, std::slice::from_ref(&id));
    let shown = shown_by_stripe(&world, &id).await;
    assert_eq!(shown["amount_total"], TOTAL);
    assert_eq!(shown["currency"], "sek");
    world.stop().await;
}

/// Planted bug: showing how a checkout stands to whoever names its company.
#[tokio::test(flavor = "multi_thread")]
async fn how_a_checkout_stands_is_told_to_its_own_customer_alone() {
    let world = World::start().await;
    let id = session(&ask(post(&world, &wanted("b"))).await);
    let asked = json!({"companyid": format!("{{{COMPANY}}}"), "sessionid": id});
    let status = async |token: &str, body: &Value| {
        let request = world.post(STATUS).header("x-api-key", "bokamera-acme");
        ask(request.bearer_auth(token).json(body)).await
    };
    let open = status("customer-9", &asked).await;
    assert_eq!(open.json, json!({"CustomerEmail": null, "Status": "open"}));
    assert_eq!(pay(&world, &id, "pm_card_visa").await.status(), 303);
    let paid = json!({"CustomerEmail": "ada@example.com", "Status": "complete"});
    assert_eq!(status("customer-9", &asked).await.json, paid);

    let key = NewKey {
        key_id: "key_customer_10",
        secret: &"customer-10".to_owned().into(),
        merchant: &"acme".parse().unwrap(),
        kind: KeyKind::Customer,
        scopes: &[],
        customer: Some("customer-10"),
    };
    world.app().store().keys.put_key(&key).await.unwrap();
    let other_company =
        json!({"CompanyId": "22222222-2222-2222-2222-222222222222", "SessionId": id});
    let no_session = json!({"CompanyId": COMPANY, "SessionId": "cs_test_none"});
    let odd_session = json!({"CompanyId": COMPANY, "SessionId": "../customers"});
    let refused = status("customer-10", &asked).await;
    assert_eq!(code(&refused), (404, "NotFound"));
    for body in [&other_company, &no_session, &odd_session] {
        assert_eq!(status("customer-9", body).await.text, refused.text);
    }
    let nothing = status("customer-9", &json!({})).await;
    let errors = nothing.json["ResponseStatus"]["Errors"].as_array().unwrap();
    assert_eq!((nothing.status, errors.len()), (400, 2));
    let opening = world.post(PATH).header("x-api-key", "bokamera-acme");
    let theirs = opening.bearer_auth("customer-10").json(&wanted("b"));
    assert_eq!(ask(theirs).await.text, refused.text);
    world.stop().await;
}

/// Planted bug: opening the new one without expiring the one before at Stripe.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_checkouts_at_once_leave_exactly_one_open() {
    let world = World::start().await;
    let body = wanted("booking-20");
    let answers = join_all((0..20).map(|_| ask(post(&world, &body)))).await;
    let ids: Vec<String> = answers.iter().map(session).collect();
    let open = at_stripe(&world, "open").await;
    assert_eq!(open.len(), 1, "{open:?}");
    assert!(ids.contains(&open[0]));
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
    assert_eq!(pay(&world, &first, "pm_card_visa").await.status(), 303);
    let refused = ask(post(&world, &wanted("booking-2"))).await;
    assert_eq!(code(&refused), (409, "Conflict"));
    assert_eq!(at_stripe(&world, "open").await.len(), 0);
    until("the session's money has paid the order", async || {
        order_status(&world).await == [("paid".to_owned(), 60_000)]
    })
    .await;
    let history = world.history("acme").await;
    assert!(!history.iter().any(|it| it == "CheckoutInvalidated"));
    assert_eq!(history.iter().filter(|it| *it == "OrderPaid").count(), 1);
    world.stop().await;
}

/// Planted bug: forgetting a checkout that Stripe was asked for and has not told of.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_that_nobody_heard_of_makes_way_for_the_next() {
    let world = World::start().await;
    crate::stripe_falls_silent_after(&world, "/v1/checkout/sessions").await;
    let silent = ask(post(&world, &wanted("booking-3"))).await;
    assert_eq!(code(&silent), (503, "OutcomeUnknown"));
    assert!(silent.header("retry-after").is_some());
    let id = session(&ask(post(&world, &wanted("booking-3"))).await);
    assert_eq!(at_stripe(&world, "open").await, [id]);
    assert_eq!(at_stripe(&world, "expired").await.len(), 1);
    world.stop().await;
}

/// Planted bug: ending the page before, and then finding that the next one cannot be had.
#[tokio::test(flavor = "multi_thread")]
async fn a_rebate_lowers_the_total_and_what_is_left_is_still_an_amount() {
    let world = World::start().await;
    let articles = |of: Value| {
        let mut body = wanted("booking-4");
        body["Articles"] = of;
        body
    };
    let rebated = articles(json!([{"ArticleId": 2}, {"ArticleId": 3}]));
    let page = session(&ask(post(&world, &rebated)).await);
    assert_eq!(shown_by_stripe(&world, &page).await["amount_total"], 5_000);
    let nothing = articles(json!([{"ArticleId": 2}, {"ArticleId": 3, "Quantity": 2}]));
    let refused = ask(post(&world, &nothing)).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    let small = articles(json!([{"ArticleId": 2}, {"ArticleId": 3, "Quantity": 3}]));
    assert_eq!(ask(post(&world, &small)).await.status, 400);
    let unknown = ask(post(&world, &articles(json!([{"ArticleId": 9}])))).await;
    assert_eq!(code(&unknown), (404, "NotFound"));
    let mut rivals = wanted("booking-4");
    rivals["CompanyId"] = "22222222-2222-2222-2222-222222222222".into();
    let rivals = ask(post(&world, &rivals)).await;
    assert_eq!(rivals.text, unknown.text);
    // What cannot be asked for ends nothing.
    assert_eq!(at_stripe(&world, "open").await, [page]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_faulty_field_is_named_and_nothing_is_opened() {
    let world = World::start().await;
    let body = json!({
        "CompanyId": "no", "CountryCode": "Sweden", "Articles": [{"Quantity": 0, "ArticleTypeId": "x"}],
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
            "Articles[0].ArticleTypeId",
            "Articles[0].Quantity",
            "ConfirmationUrl",
            "CancelUrl",
        ]
    );
    assert!(!answer.text.contains("4242"));
    let mut other = wanted("x");
    other["UiMode"] = "custom".into();
    assert_eq!(code(&ask(post(&world, &other)).await), (400, "Enum"));
    for (member, odd) in [
        ("InternalReferenceId", json!("a\u{0}b")),
        ("InternalReferenceId", json!("x".repeat(201))),
        ("ConfirmationUrl", json!("https://")),
        ("ConfirmationUrl", json!("//shop.example")),
        ("CancelUrl", json!("data:text/html,x")),
        ("Articles", json!([])),
        ("Articles", json!("nothing")),
        (
            "Articles",
            json!([{"ArticleId": 1, "Quantity": 4_294_967_296_u64}]),
        ),
        (
            "Articles",
            json!([{"ArticleId": 1, "Quantity": 10_000}, {"ArticleId": 1, "Quantity": 10_000}]),
        ),
        ("CompanyId", json!(true)),
        // Red when what is no text counts as absent.
        ("UiMode", json!({})),
        ("CancelUrl", json!([])),
        ("InternalReferenceId", json!({"a": 1})),
        ("Articles", json!([{"ArticleId": 1, "Quantity": {}}])),
    ] {
        let mut body = wanted("x");
        body[member] = odd;
        let answer = ask(post(&world, &body)).await;
        assert_eq!(answer.status, 400, "{member}: {}", answer.text);
    }
    assert_eq!(at_stripe(&world, "open").await.len(), 0);
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
    let revoked = "bokamera-revoked";
    let write = [Scope::PaymentsWrite];
    put_key(&world, "acme", KeyKind::Bokamera, revoked, &write).await;
    let keys = &world.app().store().keys;
    assert!(keys.revoke("key_bokamera-revoked").await.unwrap());
    let body = wanted("x");
    for path in [PATH, STATUS, "/api/StripeV1CreateCheckout"] {
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
            (Some("bokamera-revoked"), Some("customer-9")),
            (Some("sk_test_acme"), Some("customer-9")),
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
        // Who may read may see how a checkout stands, and has named none here.
        let expected = if path == STATUS {
            (400, "NotEmpty")
        } else {
            (403, "Forbidden")
        };
        assert_eq!(code(&small), expected);
    }
    let wrong_method = ask(keyed(world.get(PATH))).await;
    assert_eq!(code(&wrong_method), (405, "MethodNotAllowed"));
    assert_eq!(wrong_method.header("allow"), Some("POST"));
    assert_eq!(at_stripe(&world, "open").await.len(), 0);
    world.stop().await;
}

/// Planted bug: a page of thanks where the caller's `Host` says.
#[tokio::test(flavor = "multi_thread")]
async fn a_payer_comes_back_to_a_page_of_ours_that_no_header_names() {
    let world = World::start().await;
    let mut body = wanted("b");
    body.as_object_mut().unwrap().remove("ConfirmationUrl");
    let request = post(&world, &body)
        .header("Host", "evil.example")
        .header("X-Forwarded-Proto", "https");
    let page = session(&ask(request).await);
    let paid = pay(&world, &page, "pm_card_visa").await;
    let confirmed = format!("http://{}{PATH}/confirmed", world.address);
    assert_eq!(paid.headers()["location"], confirmed.as_str());
    let answer = ask(world.http.get(confirmed)).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text.contains("Thank you"));
    world.stop().await;
}

/// Planted bug: looking at the caller's key once the page before was ended already.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_gets_the_same_page_in_whatever_format_and_however_often_at_once() {
    let world = World::start().await;
    let mut body = wanted("b");
    body["UiMode"] = "embedded".into();
    let with_key = |path: &str, key: &str| {
        let request = keyed(world.post(path)).header("Idempotency-Key", key);
        request.json(&body)
    };
    let first = ask(with_key(PATH, "k-1")).await;
    let id = session(&first);
    assert!(first.json["ClientSecret"].is_string(), "{}", first.text);
    assert_eq!(ask(with_key(PATH, "k-1")).await.text, first.text);
    let csv = ask(with_key("/csv/reply/StripeV1CreateCheckout", "k-1")).await;
    assert!(csv.text.contains(&id), "{}", csv.text);
    assert_eq!(at_stripe(&world, "open").await, std::slice::from_ref(&id));

    let other = with_key(PATH, "k-1").json(&wanted("another"));
    assert_eq!(code(&ask(other).await), (409, "Conflict"));
    let long = ask(with_key(PATH, &"k".repeat(256))).await;
    assert_eq!(
        long.json["ResponseStatus"]["Errors"][0]["FieldName"],
        "Idempotency-Key"
    );

    let second = join_all((0..10).map(|_| ask(with_key(PATH, "k-2")))).await;
    let second: Vec<String> = second.iter().map(session).collect();
    assert_ne!(second[0], id);
    assert_eq!(at_stripe(&world, "open").await, [second[0].clone()]);
    assert!(second.iter().all(|it| *it == second[0]), "{second:?}");
    // The page of the first key makes way once; its answer stays what it was.
    assert_eq!(session(&ask(with_key(PATH, "k-1")).await), id);
    assert_eq!(at_stripe(&world, "open").await, [second[0].clone()]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_asks_too_often_is_told_so_in_this_doors_form() {
    let rate_limit = Some(RateLimit {
        burst: NonZeroU32::MIN,
        every: Duration::from_secs(3600),
    });
    let setup = Setup::default();
    let options = Options {
        rate_limit,
        ..setup.options
    };
    let world = World::start_with(Setup { options, ..setup }).await;
    session(&ask(post(&world, &wanted("b"))).await);
    let refused = ask(post(&world, &wanted("b"))).await;
    assert_eq!(code(&refused), (429, "TooManyRequests"));
    assert!(refused.header("retry-after").is_some());
    assert_eq!(at_stripe(&world, "expired").await.len(), 0);
    world.stop().await;
}
