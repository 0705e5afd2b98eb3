use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Api, config, start, start_with, text};

const DAY_S: i64 = 24 * 3_600;
const NET: i64 = 1_000 - 59;

/// A simulator on whose account so many payments of 10.00 usd are available, and Mondays do nothing.
async fn with_available(payments: usize) -> (simulator::Running, Api) {
    let mut config = config();
    config.accounts[0].weekly_payouts = false;
    let (running, api) = start_with(config).await;
    for _ in 0..payments {
        api.paid("pm_card_visa").await;
    }
    api.advance(2 * DAY_S).await;
    (running, api)
}

async fn available(api: &Api) -> Option<i64> {
    api.get("v1/balance").await.ok()["available"][0]["amount"].as_i64()
}

async fn by_hand(api: &Api, amount: &str) -> crate::support::Answer {
    let form = [
        ("amount", amount),
        ("currency", "usd"),
        ("metadata[a]", "b"),
    ];
    api.post("v1/payouts", &form).await
}

async fn automatic(api: &Api) -> Value {
    let asked = json!({ "account": "acct_one", "automatic": true });
    api.own(Method::POST, "payouts", asked).await["payouts"].take()
}

/// The nets of the transactions in a payout.
async fn items(api: &Api, payout: &Value) -> Vec<i64> {
    let path = format!("v1/balance_transactions?payout={}", text(payout, "id"));
    let listed = api.get(&path).await.ok();
    let listed = listed["data"].as_array().expect("a list");
    let nets = listed
        .iter()
        .map(|it| it["net"].as_i64().expect("an integer"));
    nets.collect()
}

#[tokio::test]
async fn a_payout_by_hand_takes_from_the_available_balance_and_arrives_later() {
    let (_running, api) = with_available(1).await;
    let payout = by_hand(&api, "500").await.ok();
    assert_eq!(
        (
            text(&payout, "status"),
            &payout["automatic"],
            text(&payout, "reconciliation_status")
        ),
        ("pending", &json!(false), "not_applicable")
    );
    assert_eq!(available(&api).await, Some(NET - 500));
    let too_much = by_hand(&api, "442").await;
    assert_eq!(too_much.error(), (400, "balance_insufficient", "amount"));
    let path = format!(
        "v1/payouts/{}?expand[]=balance_transaction",
        text(&payout, "id")
    );
    let booked = api.get(&path).await.ok()["balance_transaction"].take();
    assert_eq!(
        (
            booked["net"].as_i64(),
            text(&booked, "type"),
            &booked["source"]
        ),
        (Some(-500), "payout", &payout["id"])
    );
    api.advance(3_601).await;
    assert_eq!(text(&api.get(&path).await.ok(), "status"), "paid");
    let marked = api.post(&path, &[("metadata[c]", "d")]).await.ok();
    assert_eq!(marked["metadata"], json!({ "a": "b", "c": "d" }));
    let events = api.event_types().await;
    assert_eq!(
        events[events.len() - 3..],
        ["payout.created", "payout.paid", "payout.updated"]
    );
    let path = format!("v1/balance_transactions?payout={}", text(&payout, "id"));
    assert_eq!(api.get(&path).await.error(), (400, "", "payout"));
    let listed = api.get("v1/payouts?status=paid").await.ok();
    assert_eq!(listed["data"][0]["id"], payout["id"]);
    assert_eq!(
        api.get("v1/payouts?status=failed").await.ok()["data"],
        json!([])
    );
}

#[tokio::test]
async fn money_that_is_pending_or_in_another_currency_cannot_be_paid_out() {
    let (_running, api) = start().await;
    api.paid("pm_card_visa").await;
    assert_eq!(
        by_hand(&api, "1").await.error(),
        (400, "balance_insufficient", "amount")
    );
    let euros = [("amount", "1"), ("currency", "eur")];
    assert_eq!(
        api.post("v1/payouts", &euros).await.error(),
        (400, "balance_insufficient", "amount")
    );
    assert_eq!(
        api.post("v1/payouts", &[]).await.error(),
        (400, "parameter_missing", "amount")
    );
    let nobody = api.get("v1/payouts/po_nobody").await;
    assert_eq!(nobody.error(), (404, "resource_missing", "payout"));
}

#[tokio::test]
async fn a_pending_payout_by_hand_can_be_cancelled_once() {
    let (_running, api) = with_available(1).await;
    let payout = by_hand(&api, "500").await.ok();
    let cancel = format!("v1/payouts/{}/cancel", text(&payout, "id"));
    let canceled = api.post(&cancel, &[]).await.ok();
    assert_eq!(text(&canceled, "status"), "canceled");
    assert_eq!(available(&api).await, Some(NET));
    assert_eq!(api.post(&cancel, &[]).await.status, 400);
    api.advance(3_601).await;
    let events = api.event_types().await;
    assert_eq!(
        events[events.len() - 2..],
        ["payout.created", "payout.canceled"]
    );
    let paid_out = automatic(&api).await;
    let cancel = format!("v1/payouts/{}/cancel", text(&paid_out[0], "id"));
    assert_eq!(api.post(&cancel, &[]).await.status, 400);
}

#[tokio::test]
async fn the_items_of_an_automatic_payout_sum_to_it_whatever_happened_before() {
    // Turned red by leaving any available transaction out of a payout, or by counting one twice.
    let (_running, api) = with_available(3).await;
    by_hand(&api, "500").await.ok();
    let first = automatic(&api).await[0].take();
    assert_eq!(first["amount"], 3 * NET - 500);
    assert_eq!(items(&api, &first).await, [-500, NET, NET, NET]);
    assert_eq!(available(&api).await, Some(0));
    assert_eq!(automatic(&api).await, json!([]));
    api.advance(3_601).await;
    let events = api.event_types().await;
    let last = &events[events.len() - 3..];
    assert!(last.contains(&"payout.reconciliation_completed".to_owned()));

    let failed = json!({ "payout": first["id"], "failure_code": "account_closed" });
    let failed = api.own(Method::POST, "payouts/fail", failed).await;
    assert_eq!(
        (text(&failed, "status"), text(&failed, "failure_code")),
        ("failed", "account_closed")
    );
    assert_eq!(available(&api).await, first["amount"].as_i64());
    let back = text(&failed, "failure_balance_transaction");
    let back = api
        .get(&format!("v1/balance_transactions/{back}"))
        .await
        .ok();
    assert_eq!(
        (text(&back, "type"), text(&back, "reporting_category")),
        ("payout_failure", "payout_reversal")
    );
    let intent = api.paid("pm_card_visa").await;
    api.post(
        "v1/refunds",
        &[("payment_intent", text(&intent, "id")), ("amount", "100")],
    )
    .await
    .ok();
    api.advance(2 * DAY_S).await;
    let second = automatic(&api).await[0].take();
    let nets = items(&api, &second).await;
    assert_eq!(
        nets.iter().sum::<i64>(),
        second["amount"].as_i64().expect("an amount")
    );
    assert_eq!(nets.len(), 3, "what came back, the charge, and its refund");
    let events = api.event_types().await;
    assert_eq!(events.iter().filter(|it| *it == "payout.failed").count(), 1);
}

#[tokio::test]
async fn the_available_balance_is_paid_out_on_mondays() {
    let (_running, api) = start().await;
    api.paid("pm_card_visa").await;
    api.advance(10 * DAY_S).await;
    let payout = api.get("v1/payouts").await.ok()["data"][0].take();
    assert_eq!(
        (
            payout["amount"].as_i64(),
            &payout["automatic"],
            text(&payout, "status")
        ),
        (Some(NET), &json!(true), "paid")
    );
    // 1970 began on a Thursday.
    let day = payout["created"].as_i64().expect("a time") / DAY_S;
    assert_eq!((day + 3) % 7, 0, "a Monday");
    assert_eq!(items(&api, &payout).await, [NET]);
    assert_eq!(available(&api).await, Some(0));
}

/// Turned red by a clock that begins at real time, and by telling a checker when things happened by this clock.
#[tokio::test]
async fn what_is_over_can_be_lived_through_week_by_week() {
    let mut config = config();
    config.behind_s = 14 * 24 * 3_600;
    let (_running, api) = start_with(config).await;
    let paid = api.paid("pm_card_visa").await;
    let created = paid["created"].as_i64().expect("a time");
    let effects = "effects?account=acct_one&kind=payment_intents";
    let really = async || {
        let effects = api.own(Method::GET, effects, json!(null)).await;
        effects["items"][0]["created"].as_i64()
    };
    let first = really().await.expect("a time");
    assert!(
        (first - created - 14 * DAY_S).abs() < 60,
        "{first} {created}"
    );
    api.advance(7 * DAY_S).await;
    assert_eq!(really().await, Some(first), "it happened when it did");
    api.advance(7 * DAY_S).await;
    let clock = api.own(Method::GET, "clock", json!(null)).await;
    assert_eq!(clock["ahead_s"], 0, "{clock}");
    // On one of the Mondays in between it was paid out.
    let payouts = api.get("v1/payouts").await.ok();
    assert_eq!(payouts["data"][0]["amount"], NET, "{payouts}");
}

#[tokio::test]
async fn stripe_takes_a_fee_of_its_own_off_the_balance() {
    let (_running, api) = with_available(1).await;
    let fee = json!({ "amount": 250, "currency": "usd", "account": "acct_one" });
    let booked = api.own(Method::POST, "fees", fee).await;
    assert_eq!(
        (
            booked["net"].as_i64(),
            text(&booked, "type"),
            text(&booked, "reporting_category"),
            &booked["source"]
        ),
        (Some(-250), "stripe_fee", "fee", &Value::Null)
    );
    assert_eq!(available(&api).await, Some(NET - 250));
}
