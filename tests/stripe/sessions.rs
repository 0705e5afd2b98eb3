//! Checkout sessions: made, looked at, paid on Stripe's page, expired; what was paid comes into the ledger.

use crate::support::{World, until};
use crate::{Client, Form, path_of, row, text, world};
use reqwest::Method;
use serde_json::{Value, json};

const HOSTED: [(&str, &str); 9] = [
    ("mode", "payment"),
    ("success_url", "https://shop.example/done"),
    ("cancel_url", "https://shop.example/back"),
    ("line_items[0][price_data][currency]", "usd"),
    ("line_items[0][price_data][unit_amount]", "500"),
    ("line_items[0][price_data][product_data][name]", "Tea"),
    ("line_items[0][quantity]", "2"),
    ("metadata[order]", "1"),
    ("payment_intent_data[metadata][order]", "1"),
];

async fn session(door: Client<'_>, form: Form<'_>) -> Value {
    door.post("/v1/checkout/sessions", form).await.ok()
}

/// Pays on the page as a payer would; answers where the payer is sent.
async fn pay(world: &World, session: &Value, method: &str) -> u16 {
    let url = format!(
        "{}_sim/checkout/{}",
        world.simulator.url(),
        text(session, "id")
    );
    let body = format!("action=pay&email=ada%40example.com&method={method}");
    let form = "application/x-www-form-urlencoded";
    let request = world.http.post(url).header("Content-Type", form).body(body);
    request.send().await.unwrap().status().as_u16()
}

/// Planted bug: not marking the session's intent as this merchant's, so that its webhook tells of a stranger's.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_paid_on_its_page_and_its_payment_is_in_the_ledger() {
    let world = world().await;
    let door = Client::new(&world);
    let open = session(door, &HOSTED).await;
    let path = path_of("checkout/sessions", &open);
    assert_eq!(
        (text(&open, "status"), text(&open, "payment_status")),
        ("open", "unpaid")
    );
    assert_eq!(open["metadata"], json!({"order": "1"}));
    assert!(text(&open, "url").starts_with("http"));
    assert_eq!(pay(&world, &open, "pm_card_visa").await, 303);

    let expanded = format!("{path}?expand[]=payment_intent&expand[]=line_items");
    let complete = door.get(&expanded).await.ok();
    assert_eq!(
        (text(&complete, "status"), text(&complete, "payment_status")),
        ("complete", "paid")
    );
    let intent = &complete["payment_intent"];
    assert_eq!(intent["metadata"], json!({"order": "1"}));
    let item = &complete["line_items"]["data"][0];
    assert_eq!(
        (&item["amount_total"], &item["quantity"]),
        (&json!(1000), &json!(2))
    );
    let items = door.get(&format!("{path}/line_items?limit=1")).await.ok();
    assert_eq!(items["data"], json!([item]));
    let listed = door
        .get(&format!(
            "/v1/checkout/sessions?payment_intent={}",
            text(intent, "id")
        ))
        .await
        .ok();
    assert_eq!(listed["data"][0]["id"], open["id"]);

    let id = text(intent, "id");
    until("the webhook has brought the payment", async || {
        row(&world, id).await.is_some_and(|it| it.0 == "succeeded")
    })
    .await;
    assert_eq!(
        row(&world, id).await,
        Some(("succeeded".to_owned(), 1000, 1000, 0))
    );
    let refund = door
        .post("/v1/refunds", &[("payment_intent", id)])
        .await
        .ok();
    assert_eq!(
        (text(&refund, "status"), &refund["amount"]),
        ("succeeded", &json!(1000))
    );
    assert_eq!(row(&world, id).await.unwrap().3, 1000);
    let late = door.post(&format!("{path}/expire"), &[]).await;
    assert_eq!(late.status, 400, "{}", late.text);
    world.stop_audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_session_cannot_be_paid() {
    let world = world().await;
    let door = Client::new(&world);
    let open = session(door, &HOSTED).await;
    let path = path_of("checkout/sessions", &open);
    let expired = door.post(&format!("{path}/expire"), &[]).await.ok();
    assert_eq!(
        (text(&expired, "status"), &expired["url"]),
        ("expired", &Value::Null)
    );
    assert_eq!(pay(&world, &open, "pm_card_visa").await, 410);
    assert_eq!(door.get(&path).await.ok(), expired);
    let again = door.post(&format!("{path}/expire"), &[]).await;
    assert_eq!(again.status, 400, "{}", again.text);
    let intents = Client::at_stripe(&world).get("/v1/charges").await.ok();
    assert_eq!(intents["data"], json!([]));
    world.stop_audited().await;
}

/// Planted bug: a secret in a list, where anybody who may read sees it.
#[tokio::test(flavor = "multi_thread")]
async fn an_embedded_session_shows_its_secret_to_its_maker_alone() {
    let world = world().await;
    let door = Client::new(&world);
    let form = [
        &[
            ("mode", "payment"),
            ("ui_mode", "embedded"),
            ("return_url", "https://shop.example/done"),
        ],
        &HOSTED[3..],
    ]
    .concat();
    let made = session(door, &form).await;
    assert!(text(&made, "client_secret").contains("_secret_"));
    let read = door.get(&path_of("checkout/sessions", &made)).await.ok();
    assert_eq!(read["client_secret"], made["client_secret"]);
    let list = door.get("/v1/checkout/sessions").await;
    assert!(!list.text.contains("_secret_"), "{}", list.text);
    assert_eq!(list.body["data"][0]["id"], made["id"]);
    world.stop_audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_session_may_not_be_is_stripes_to_say() {
    let world = world().await;
    let (door, stripe) = (Client::new(&world), Client::at_stripe(&world));
    let cheap = [
        &HOSTED[..4],
        &[("line_items[0][price_data][unit_amount]", "10")],
        &HOSTED[5..6],
    ]
    .concat();
    let no_items = &HOSTED[..3];
    let cases: [Form<'_>; 3] = [&HOSTED[1..], no_items, &cheap];
    for form in cases {
        let here = door.post("/v1/checkout/sessions", form).await;
        let there = stripe.post("/v1/checkout/sessions", form).await;
        assert_eq!(here.status, 400, "{}", here.text);
        assert_eq!(here.error(), there.error());
    }
    let none = world
        .sim(Method::GET, "state?account=acct_acme", None)
        .await;
    assert_eq!(none["acct_acme"]["checkout_sessions"], json!([]));
    world.stop_audited().await;
}
