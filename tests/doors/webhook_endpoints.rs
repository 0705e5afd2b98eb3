//! `/v1/webhook_endpoints`, as Stripe's own clients ask for it: form bodies, query strings, Stripe's shapes and errors.

use crate::support::{World, card_payment, send, until};
use crate::{Answer, ask};
use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const PATH: &str = "/v1/webhook_endpoints";
const URL: &str = "https://example.com/hook";

/// A request as Stripe's clients make it.
fn stripe(world: &World, key: &str, method: Method, path: &str) -> RequestBuilder {
    world
        .request(method, path)
        .bearer_auth(key)
        .header("Stripe-Version", "2023-08-16")
}

fn acme(world: &World, method: Method, path: &str) -> RequestBuilder {
    stripe(world, "sk_test_acme", method, path)
}

fn with_form(request: RequestBuilder, form: &[(&str, &str)]) -> RequestBuilder {
    let text = serde_urlencoded::to_string(form).unwrap();
    request
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(text)
}

async fn create(world: &World, form: &[(&str, &str)]) -> Answer {
    ask(with_form(acme(world, Method::POST, PATH), form)).await
}

async fn created(world: &World) -> Value {
    let answer = create(world, &[("url", URL), ("enabled_events[]", "*")]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json
}

fn at(endpoint: &Value, rest: &str) -> String {
    format!("{PATH}/{}{rest}", endpoint["id"].as_str().unwrap())
}

/// Planted bug: showing the secret to whoever retrieves, updates or lists.
#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_lives_in_stripes_shape_and_shows_its_secret_once() {
    let world = World::start().await;
    let form = [
        ("url", URL),
        ("enabled_events[0]", "charge.refunded"),
        ("enabled_events[1]", "payout.paid"),
        ("description", "for the warehouse"),
        ("metadata[team]", "blue"),
        ("connect", "false"),
    ];
    let made = create(&world, &form).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let secret = made.json["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_"));
    let mut expected = json!({
        "id": made.json["id"], "object": "webhook_endpoint", "api_version": null, "application": null,
        "created": made.json["created"], "description": "for the warehouse",
        "enabled_events": ["charge.refunded", "payout.paid"], "livemode": false, "metadata": {"team": "blue"},
        "status": "enabled", "url": URL,
    });
    let mut seen = made.json.clone();
    seen.as_object_mut().unwrap().remove("secret");
    assert_eq!(seen, expected);

    let path = at(&made.json, "");
    assert_eq!(ask(acme(&world, Method::GET, &path)).await.json, expected);
    let changes = [
        ("disabled", "true"),
        ("description", ""),
        ("metadata[team]", ""),
        ("metadata[shift]", "late"),
        ("enabled_events[]", "*"),
    ];
    let updated = ask(with_form(acme(&world, Method::POST, &path), &changes)).await;
    expected["status"] = json!("disabled");
    expected["description"] = Value::Null;
    expected["metadata"] = json!({"shift": "late"});
    expected["enabled_events"] = json!(["*"]);
    assert_eq!(updated.json, expected);

    let listed = ask(acme(&world, Method::GET, PATH)).await;
    let whole = json!({"object": "list", "url": PATH, "has_more": false, "data": [expected]});
    assert_eq!(listed.json, whole);
    let rolled = ask(acme(&world, Method::POST, &at(&made.json, "/roll_secret"))).await;
    assert_eq!(rolled.status, 200, "{}", rolled.text);
    assert!(rolled.json["secret"].is_string() && rolled.json["secret"] != secret.as_str());

    let deleted = ask(acme(&world, Method::DELETE, &path)).await;
    let gone = json!({"id": made.json["id"], "object": "webhook_endpoint", "deleted": true});
    assert_eq!((deleted.status, deleted.json), (200, gone));
    assert_eq!(ask(acme(&world, Method::GET, &path)).await.status, 404);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_paged_newest_first() {
    let world = World::start().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(created(&world).await["id"].as_str().unwrap().to_owned());
    }
    ids.reverse();
    let page = async |query: &str| {
        let answer = ask(acme(&world, Method::GET, &format!("{PATH}?{query}"))).await;
        let data = answer.json["data"].as_array().cloned().unwrap_or_default();
        let ids: Vec<String> = data
            .iter()
            .map(|it| it["id"].as_str().unwrap().to_owned())
            .collect();
        (ids, answer.json["has_more"].as_bool())
    };
    assert_eq!(page("limit=2").await, (ids[..2].to_vec(), Some(true)));
    let after = format!("limit=2&starting_after={}", ids[1]);
    assert_eq!(page(&after).await, (ids[2..].to_vec(), Some(false)));
    let before = format!("limit=1&ending_before={}", ids[2]);
    assert_eq!(page(&before).await, (ids[1..2].to_vec(), Some(true)));
    for (query, param) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("colour=red", "colour"),
    ] {
        let refused = ask(acme(&world, Method::GET, &format!("{PATH}?{query}"))).await;
        assert_eq!(
            (refused.status, &refused.json["error"]["param"]),
            (400, &json!(param))
        );
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_refused_and_named() {
    let world = World::start().await;
    let any = ("enabled_events[]", "*");
    let wrong: [(&[(&str, &str)], Value); 10] = [
        (&[any], json!("url")),
        (&[("url", URL)], json!("enabled_events")),
        (
            &[("url", URL), ("enabled_events", "")],
            json!("enabled_events"),
        ),
        (
            &[("url", URL), any, ("enabled_events[]", "order.eaten")],
            json!("enabled_events[1]"),
        ),
        (&[("url", "ftp://example.com"), any], json!("url")),
        (&[("url", "https://me:word@example.com"), any], json!("url")),
        (&[("url", URL), any, ("connect", "true")], json!("connect")),
        (
            &[("url", URL), any, ("api_version", "2011-01-01")],
            json!("api_version"),
        ),
        (&[("url", URL), any, ("colour", "red")], json!("colour")),
        (
            &[("url", URL), any, ("description", "4242 4242 4242 4242")],
            json!("description"),
        ),
    ];
    for (form, param) in wrong {
        let refused = create(&world, form).await;
        assert_eq!(refused.status, 400, "{form:?} {}", refused.text);
        assert!(refused.is_clean_error(), "{}", refused.text);
        assert_eq!(refused.json["error"]["param"], param, "{}", refused.text);
    }
    let listed = ask(acme(&world, Method::GET, PATH)).await;
    assert_eq!(listed.json["data"], json!([]));
    world.stop().await;
}

/// Planted bug: looking an endpoint up by its id alone shows it to the rival.
#[tokio::test(flavor = "multi_thread")]
async fn another_merchants_endpoint_is_answered_like_one_that_never_was() {
    let world = World::start().await;
    let endpoint = created(&world).await;
    let id = endpoint["id"].as_str().unwrap();
    for (method, rest) in [
        (Method::GET, ""),
        (Method::POST, ""),
        (Method::DELETE, ""),
        (Method::POST, "/roll_secret"),
        (Method::GET, "/deliveries"),
        (Method::POST, "/deliveries/whd_1/redeliver"),
    ] {
        let theirs = stripe(
            &world,
            "sk_test_rival",
            method.clone(),
            &at(&endpoint, rest),
        );
        let nobodys = stripe(
            &world,
            "sk_test_rival",
            method,
            &format!("{PATH}/we_none{rest}"),
        );
        let (theirs, nobodys) = (ask(theirs).await, ask(nobodys).await);
        assert_eq!(theirs.status, 404, "{}", theirs.text);
        assert_eq!(theirs.text, nobodys.text.replace("we_none", id));
        let error = &theirs.json["error"];
        assert_eq!(error["code"], "resource_missing");
        assert_eq!(
            error["message"],
            format!("No such webhook endpoint: '{id}'")
        );
    }
    world.stop().await;
}

/// Planted bug: making another endpoint for a request that is repeated.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_creation_answers_the_same_endpoint_with_its_secret() {
    let world = World::start().await;
    let again = async |url: &str| {
        let form = [("url", url), ("enabled_events[]", "*")];
        let request = acme(&world, Method::POST, PATH).header("Idempotency-Key", "once");
        ask(with_form(request, &form)).await
    };
    let (first, second) = (again(URL).await, again(URL).await);
    assert_eq!((first.status, &first.text), (200, &second.text));
    assert_eq!(first.header("idempotent-replayed"), None);
    assert_eq!(second.header("idempotent-replayed"), Some("true"));
    let other = again("https://example.com/other").await;
    assert_eq!(
        (other.status, &other.json["error"]["type"]),
        (400, &json!("idempotency_error"))
    );
    world.stop().await;
}

/// A receiver that says no to everything.
async fn refusing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let router = Router::new().route(
        "/hook",
        post(|_: Bytes| async { (StatusCode::GONE, "gone") }),
    );
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// Planted bug: a redelivery that keeps the pause of the failure before it is not made while the test waits.
#[tokio::test(flavor = "multi_thread")]
async fn deliveries_can_be_looked_up_with_every_attempt_and_made_again() {
    let world = World::start().await;
    let url = refusing().await;
    let form = [
        ("url", url.as_str()),
        ("enabled_events[]", "payment_intent.succeeded"),
    ];
    let endpoint = create(&world, &form).await.json;
    let body = card_payment(2000, "usd", "4242424242424242");
    assert_eq!(send(world.pay("/v1/payment_intents", body)).await.0, 200);
    let mut log = Value::Null;
    let path = at(&endpoint, "/deliveries");
    let mut tried = async |times: usize| {
        until("it is tried", async || {
            log = ask(acme(&world, Method::GET, &path)).await.json;
            log["data"][0]["attempts"]
                .as_array()
                .is_some_and(|it| it.len() == times)
        })
        .await;
        log.clone()
    };
    let log = tried(1).await;
    assert_eq!(
        (&log["object"], &log["url"]),
        (&json!("list"), &json!(path))
    );
    let delivery = &log["data"][0];
    let named = json!([
        delivery["object"],
        delivery["status"],
        delivery["webhook_endpoint"],
        delivery["event_type"]
    ]);
    assert_eq!(
        named,
        json!([
            "webhook_delivery",
            "pending",
            endpoint["id"],
            "payment_intent.succeeded"
        ])
    );
    assert!(delivery["event"].as_str().unwrap().starts_with("evt_"));
    assert!(delivery["next_attempt"].as_i64() > delivery["created"].as_i64());
    let attempt = &delivery["attempts"][0];
    let came = json!([
        attempt["status_code"],
        attempt["error"],
        attempt["response_bytes"]
    ]);
    assert_eq!(came, json!([410, "status", 4]));
    // The next attempt would be in half a minute.
    let again = at(
        &endpoint,
        &format!("/deliveries/{}/redeliver", delivery["id"].as_str().unwrap()),
    );
    let again = ask(acme(&world, Method::POST, &again)).await;
    assert_eq!((again.status, &again.json["id"]), (200, &delivery["id"]));
    assert_eq!(tried(2).await["data"].as_array().unwrap().len(), 1);
    world.stop().await;
}
