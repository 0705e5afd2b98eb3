use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{start, text};

const DAY_S: i64 = 24 * 3_600;

#[tokio::test]
async fn an_authorisation_lapses_after_seven_days() {
    let (_running, api) = start().await;
    let form = [
        ("confirm", "true"),
        ("payment_method", "pm_card_visa"),
        ("capture_method", "manual"),
    ];
    let intent = api.intent(&form).await.ok();
    let path = format!("v1/payment_intents/{}", text(&intent, "id"));
    api.advance(7 * DAY_S - 60).await;
    assert_eq!(
        text(&api.get(&path).await.ok(), "status"),
        "requires_capture"
    );
    api.advance(61).await;
    let lapsed = api.get(&path).await.ok();
    assert_eq!(
        (
            text(&lapsed, "status"),
            text(&lapsed, "cancellation_reason")
        ),
        ("canceled", "automatic")
    );
    assert_eq!(
        lapsed["canceled_at"].as_i64(),
        intent["created"].as_i64().map(|it| it + 7 * DAY_S)
    );
    let events = api.event_types().await;
    assert_eq!(
        events[events.len() - 2..],
        ["charge.expired", "payment_intent.canceled"]
    );
}

#[tokio::test]
async fn what_was_captured_in_time_does_not_lapse() {
    let (_running, api) = start().await;
    let form = [
        ("confirm", "true"),
        ("payment_method", "pm_card_visa"),
        ("capture_method", "manual"),
    ];
    let path = format!(
        "v1/payment_intents/{}",
        text(&api.intent(&form).await.ok(), "id")
    );
    api.post(&format!("{path}/capture"), &[]).await.ok();
    api.advance(8 * DAY_S).await;
    assert_eq!(text(&api.get(&path).await.ok(), "status"), "succeeded");
}

#[tokio::test]
async fn an_asynchronous_charge_gets_its_balance_transaction_later() {
    let (_running, api) = start().await;
    let form = [
        ("confirm", "true"),
        ("payment_method", "pm_card_visa"),
        ("capture_method", "automatic_async"),
    ];
    for by_clock in [true, false] {
        let intent = api.intent(&form).await.ok();
        let path = format!("v1/charges/{}", text(&intent, "latest_charge"));
        assert_eq!(
            api.get(&path).await.ok()["balance_transaction"],
            Value::Null
        );
        if by_clock {
            api.advance(3_601).await;
        } else {
            let done = api.own(Method::POST, "settle", json!({})).await;
            assert_eq!(done["done"], 1);
        }
        let settled = api
            .get(&format!("{path}?expand[]=balance_transaction"))
            .await
            .ok();
        assert_eq!(settled["balance_transaction"]["net"], 941);
        let event = api.get("v1/events?limit=1").await.ok();
        assert_eq!(text(&event["data"][0], "type"), "charge.updated");
        assert_eq!(
            text(&event["data"][0]["data"]["object"], "id"),
            text(&settled, "id")
        );
        assert_eq!(event["data"][0]["request"]["id"], Value::Null);
    }
}

#[tokio::test]
async fn money_becomes_available_after_two_days() {
    let (_running, api) = start().await;
    let intent = api.paid("pm_card_visa").await;
    let path = format!(
        "v1/balance_transactions?source={}",
        text(&intent, "latest_charge")
    );
    let booked = api.get(&path).await.ok()["data"][0].take();
    assert_eq!(text(&booked, "status"), "pending");
    assert_eq!(
        booked["available_on"].as_i64(),
        booked["created"].as_i64().map(|it| it + 2 * DAY_S)
    );
    assert_eq!(text(&booked["fee_details"][0], "type"), "stripe_fee");
    assert_eq!(text(&booked, "balance_type"), "payments");
    api.advance(2 * DAY_S).await;
    assert_eq!(
        text(&api.get(&path).await.ok()["data"][0], "status"),
        "available"
    );
    let balance = api.get("v1/balance").await.ok();
    assert_eq!(
        (
            balance["available"][0]["amount"].as_i64(),
            balance["pending"][0]["amount"].as_i64()
        ),
        (Some(941), Some(0))
    );
}

#[tokio::test]
async fn events_are_readable_for_thirty_days() {
    let (_running, api) = start().await;
    api.intent(&[]).await.ok();
    let event = api.get("v1/events").await.ok()["data"][0].take();
    let path = format!("v1/events/{}", text(&event, "id"));
    assert_eq!(api.get(&path).await.ok(), event);
    api.advance(30 * DAY_S + 1).await;
    assert_eq!(
        api.get(&path).await.error(),
        (404, "resource_missing", "id")
    );
    assert_eq!(
        api.get("v1/events").await.ok()["data"]
            .as_array()
            .map(Vec::len),
        Some(0)
    );
}
