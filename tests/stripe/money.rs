//! Charges, refunds, disputes, balance, payouts and events: read from Stripe, annotated through us.

use crate::support::until;
use crate::{Client, path_of, pause_webhooks, row, text, world};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_is_listed_read_expanded_and_annotated() {
    let world = world().await;
    let door = Client::new(&world);
    let paid = door.paid("pm_card_visa").await;
    door.paid("pm_card_visa").await;
    let path = format!("/v1/charges/{}", text(&paid, "latest_charge"));
    let charge = door.get(&path).await.ok();
    assert_eq!(
        (&charge["amount"], text(&charge, "status")),
        (&json!(1000), "succeeded")
    );
    let of_intent = format!("/v1/charges?payment_intent={}", text(&paid, "id"));
    assert_eq!(door.get(&of_intent).await.ok()["data"], json!([charge]));
    let expanded = format!("{path}?expand[]=payment_intent&expand[]=balance_transaction");
    let expanded = door.get(&expanded).await.ok();
    assert_eq!(expanded["payment_intent"]["id"], paid["id"]);
    assert_eq!(
        text(&expanded["balance_transaction"], "object"),
        "balance_transaction"
    );
    let form = [("description", "tea"), ("metadata[a]", "b")];
    let changed = door.post(&path, &form).await.ok();
    assert_eq!(
        (text(&changed, "description"), &changed["metadata"]["a"]),
        ("tea", &json!("b"))
    );
    assert_eq!(door.get(&path).await.ok(), changed);
    world.stop_audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_is_made_of_intent_or_charge_read_marked_and_stays_as_it_is() {
    let world = world().await;
    let door = Client::new(&world);
    let paid = door.paid("pm_card_visa").await;
    let intent = text(&paid, "id");
    let form = [
        ("charge", text(&paid, "latest_charge")),
        ("amount", "300"),
        ("reason", "requested_by_customer"),
        ("metadata[a]", "b"),
    ];
    let one = door.post("/v1/refunds", &form).await.ok();
    assert_eq!(
        (text(&one, "payment_intent"), text(&one, "status")),
        (intent, "succeeded")
    );
    assert_eq!(one["metadata"], json!({"a": "b"}));
    let rest = door
        .post("/v1/refunds", &[("payment_intent", intent)])
        .await
        .ok();
    assert_eq!(rest["amount"], 700);
    let path = path_of("refunds", &one);
    assert_eq!(door.get(&path).await.ok(), one);
    let list = format!("/v1/refunds?payment_intent={intent}");
    assert_eq!(door.get(&list).await.ok()["data"], json!([rest, one]));
    let marked = door
        .post(&path, &[("metadata[a]", ""), ("metadata[c]", "d")])
        .await
        .ok();
    assert_eq!(marked["metadata"], json!({"c": "d"}));
    let refused = door.post(&format!("{path}/cancel"), &[]).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    assert_eq!(door.get(&path).await.ok(), marked);
    let more = door
        .post("/v1/refunds", &[("payment_intent", intent)])
        .await;
    assert_eq!(more.error(), (400, "charge_already_refunded", ""));
    assert_eq!(
        row(&world, intent).await.unwrap(),
        ("succeeded".to_owned(), 1000, 1000, 1000)
    );
    world.stop_audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_fails_later_can_be_made_again() {
    let world = world().await;
    let door = Client::new(&world);
    let paid = door.paid("pm_card_refundFail").await;
    let intent = text(&paid, "id");
    let form = [("payment_intent", intent)];
    let refund = door.post("/v1/refunds", &form).await.ok();
    world.sim(Method::POST, "settle", None).await;
    let failed = door.get(&path_of("refunds", &refund)).await.ok();
    assert_eq!(text(&failed, "status"), "failed");
    assert_eq!(row(&world, intent).await.unwrap().3, 0);
    let again = door.post("/v1/refunds", &form).await;
    assert_eq!(again.status, 200, "{}", again.text);
    world.stop_audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_is_answered_with_evidence_or_given_up() {
    let world = world().await;
    let door = Client::new(&world);
    let paid = door.paid("pm_card_createDispute").await;
    let other = door.paid("pm_card_createDisputeProductNotReceived").await;
    world.sim(Method::POST, "settle", None).await;
    let of = |it: &Value| format!("/v1/disputes?payment_intent={}", text(it, "id"));
    let dispute = door.get(&of(&paid)).await.ok()["data"][0].take();
    assert_eq!(
        (text(&dispute, "status"), text(&dispute, "reason")),
        ("needs_response", "fraudulent")
    );
    let path = path_of("disputes", &dispute);
    assert_eq!(door.get(&path).await.ok(), dispute);
    let staged = [
        ("evidence[customer_name]", "Ada"),
        ("submit", "false"),
        ("metadata[a]", "b"),
    ];
    let staged = door.post(&path, &staged).await.ok();
    assert_eq!(
        (
            text(&staged, "status"),
            text(&staged["evidence"], "customer_name")
        ),
        ("needs_response", "Ada")
    );
    let sent = [
        ("evidence[uncategorized_text]", "winning_evidence"),
        ("submit", "true"),
    ];
    let sent = door.post(&path, &sent).await.ok();
    assert_eq!(text(&sent, "status"), "under_review");
    assert_eq!(sent["evidence_details"]["submission_count"], 1);

    let given_up = door.get(&of(&other)).await.ok()["data"][0].take();
    let close = format!("{}/close", path_of("disputes", &given_up));
    assert_eq!(text(&door.post(&close, &[]).await.ok(), "status"), "lost");
    let again = door.post(&close, &[]).await;
    assert_eq!(again.status, 400, "{}", again.text);
    until("the webhooks have brought both disputes", async || {
        let history = world.history("acme").await;
        history.iter().filter(|it| *it == "DisputeOpened").count() == 2
    })
    .await;
    world.stop_audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn balance_transactions_and_payouts_are_read_as_stripe_has_them() {
    let world = world().await;
    pause_webhooks(&world).await;
    let door = Client::new(&world);
    let paid = door.paid("pm_card_visa").await;
    let refund = [("payment_intent", text(&paid, "id")), ("amount", "100")];
    door.post("/v1/refunds", &refund).await.ok();
    let days = json!({"advance_s": 8 * 24 * 3600});
    world.sim(Method::POST, "clock", Some(days)).await;
    let all = json!({"account": "acct_acme", "automatic": true});
    world.sim(Method::POST, "payouts", Some(all)).await;

    let stripe = Client::at_stripe(&world);
    let balance = door.get("/v1/balance").await.ok();
    assert_eq!(balance, stripe.get("/v1/balance").await.ok());
    let transactions = door.get("/v1/balance_transactions").await.ok();
    assert_eq!(
        transactions,
        stripe.get("/v1/balance_transactions").await.ok()
    );
    let charges = door.get("/v1/balance_transactions?type=charge").await.ok();
    assert_eq!(charges["data"][0]["amount"], 1000);
    let one = path_of("balance_transactions", &charges["data"][0]);
    assert_eq!(door.get(&one).await.ok(), charges["data"][0]);

    let payouts = door.get("/v1/payouts").await.ok();
    let payout = &payouts["data"][0];
    assert_eq!(door.get(&path_of("payouts", payout)).await.ok(), *payout);
    let itemised = format!("/v1/balance_transactions?payout={}", text(payout, "id"));
    let itemised = door.get(&itemised).await.ok();
    let items = itemised["data"].as_array().unwrap();
    let net: i64 = items
        .iter()
        .filter(|it| it["type"] != "payout")
        .map(|it| it["net"].as_i64().unwrap())
        .sum();
    assert_eq!(payout["amount"], net);
    world.stop_audited().await;
}

/// Planted bug: passing an event on as it came, with the secret of the intent inside it.
#[tokio::test(flavor = "multi_thread")]
async fn events_are_listed_and_read_without_secrets() {
    let world = world().await;
    // An event tells how many deliveries of it are still to come.
    pause_webhooks(&world).await;
    let door = Client::new(&world);
    let paid = door.paid("pm_card_visa").await;
    let list = door.get("/v1/events?type=payment_intent.*").await;
    assert!(!list.text.contains("_secret_"), "{}", list.text);
    let events = list.ok();
    let types: Vec<&str> = events["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| text(it, "type"))
        .collect();
    assert_eq!(
        types,
        ["payment_intent.succeeded", "payment_intent.created"]
    );
    for event in events["data"].as_array().unwrap() {
        assert_eq!(event["data"]["object"]["id"], paid["id"]);
        assert_eq!(event["data"]["object"]["client_secret"], Value::Null);
        let one = door.get(&path_of("events", event)).await;
        assert!(!one.text.contains("_secret_"), "{}", one.text);
        assert_eq!(one.body, *event);
    }
    world.stop_audited().await;
}

/// Red when the charge is captured past the payment's own rules: the second capture would take money again at a Stripe that
/// lets it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_charge_holds_is_taken_through_its_payment_and_once() {
    let world = world().await;
    let door = Client::new(&world);
    let form = [
        ("amount", "5000"),
        ("currency", "usd"),
        ("capture_method", "manual"),
        ("payment_method", "pm_card_visa"),
        ("confirm", "true"),
    ];
    let held = door.post("/v1/payment_intents", &form).await.ok();
    let charge = text(&held, "latest_charge").to_owned();
    let capture = format!("/v1/charges/{charge}/capture");
    let taken = door
        .post_as("once", &capture, &[("amount", "3000")])
        .await
        .ok();
    assert_eq!(
        (&taken["id"], &taken["captured"], &taken["amount_captured"]),
        (&json!(charge), &json!(true), &json!(3000))
    );
    let again = door.post_as("once", &capture, &[("amount", "3000")]).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let second = door.post(&capture, &[]).await;
    assert_eq!(
        (second.status, &second.body["error"]["code"]),
        (400, &json!("charge_already_captured"))
    );
    let history = world.history("acme").await;
    let captures = history.iter().filter(|it| *it == "Captured").count();
    assert_eq!(captures, 1, "{history:?}");
    let nobodys = door.post("/v1/charges/ch_nobodys/capture", &[]).await;
    assert_eq!(nobodys.status, 404, "{}", nobodys.text);
    world.stop_audited().await;
}
