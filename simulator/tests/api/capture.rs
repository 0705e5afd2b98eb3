use serde_json::Value;

use crate::support::{Api, start, text};

async fn held(api: &Api) -> String {
    let form = [
        ("confirm", "true"),
        ("payment_method", "pm_card_visa"),
        ("capture_method", "manual"),
    ];
    let intent = api.intent(&form).await.ok();
    assert_eq!(text(&intent, "status"), "requires_capture");
    assert_eq!(
        (
            intent["amount_capturable"].as_i64(),
            intent["amount_received"].as_i64()
        ),
        (Some(1_000), Some(0))
    );
    format!("v1/payment_intents/{}", text(&intent, "id"))
}

async fn charge_of(api: &Api, path: &str) -> Value {
    let expand = "expand[]=latest_charge.balance_transaction";
    api.get(&format!("{path}?{expand}")).await.ok()["latest_charge"].take()
}

#[tokio::test]
async fn a_part_is_captured_once_and_the_rest_released() {
    let (_running, api) = start().await;
    let path = held(&api).await;
    let before = charge_of(&api, &path).await;
    assert_eq!(before["captured"], false);
    assert_eq!(before["balance_transaction"], Value::Null);
    let form = [("amount_to_capture", "600")];
    let captured = api.post(&format!("{path}/capture"), &form).await.ok();
    assert_eq!(text(&captured, "status"), "succeeded");
    assert_eq!(
        (
            captured["amount_received"].as_i64(),
            captured["amount_capturable"].as_i64()
        ),
        (Some(600), Some(0))
    );
    let charge = charge_of(&api, &path).await;
    assert_eq!(
        (
            charge["amount_captured"].as_i64(),
            charge["captured"].as_bool()
        ),
        (Some(600), Some(true))
    );
    let transaction = &charge["balance_transaction"];
    assert_eq!(
        (
            transaction["amount"].as_i64(),
            transaction["fee"].as_i64(),
            transaction["net"].as_i64()
        ),
        (Some(600), Some(47), Some(553))
    );
    let again = api
        .post(&format!("{path}/capture"), &[("amount_to_capture", "400")])
        .await;
    assert_eq!(again.error(), (400, "payment_intent_unexpected_state", ""));
    let events = api.event_types().await;
    let expected = [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.amount_capturable_updated",
        "charge.captured",
        "payment_intent.succeeded",
    ];
    assert_eq!(events, expected);
}

#[tokio::test]
async fn a_held_charge_is_captured_by_its_own_id_and_its_intent_with_it() {
    // Turned red by leaving the intent behind, or by capturing what is not held.
    let (_running, api) = start().await;
    let path = held(&api).await;
    let held_charge = charge_of(&api, &path).await;
    let capture = format!("v1/charges/{}/capture", text(&held_charge, "id"));
    let form = [("amount", "600"), ("statement_descriptor_suffix", "NINE")];
    let captured = api.post(&capture, &form).await.ok();
    assert_eq!(captured["amount_captured"], 600);
    let descriptor = text(&captured, "calculated_statement_descriptor");
    assert_eq!(descriptor, "SIMULATOR* NINE");
    let intent = api.get(&path).await.ok();
    assert_eq!(text(&intent, "status"), "succeeded");
    assert_eq!(intent["amount_received"], 600);
    let twice = api.post(&capture, &[]).await;
    assert_eq!(twice.error(), (400, "charge_already_captured", ""));
    let late = charge_of(&api, &held(&api).await).await;
    api.advance(7 * 24 * 3_600 + 1).await;
    let capture = format!("v1/charges/{}/capture", text(&late, "id"));
    let expired = api.post(&capture, &[]).await;
    assert_eq!(expired.error(), (400, "charge_expired_for_capture", ""));
}

#[tokio::test]
async fn a_card_alone_may_be_captured_by_hand() {
    // Turned red by reading `payment_method_options` without acting on it.
    let (_running, api) = start().await;
    let form = [
        ("confirm", "true"),
        ("payment_method", "pm_card_visa"),
        ("payment_method_options[card][capture_method]", "manual"),
        ("payment_method_options[card][network]", "visa"),
        ("payment_method_options[card][setup_future_usage]", "none"),
    ];
    let intent = api.intent(&form).await.ok();
    assert_eq!(text(&intent, "status"), "requires_capture");
    assert_eq!(text(&intent, "capture_method"), "automatic");
    let card = &intent["payment_method_options"]["card"];
    assert_eq!(text(card, "capture_method"), "manual");
    assert_eq!(text(card, "network"), "visa");
    assert_eq!(text(card, "setup_future_usage"), "none");
    for (name, value, code) in [
        ("payment_method_options[card][capture_method]", "later", ""),
        (
            "payment_method_options[card][colour]",
            "red",
            "parameter_unknown",
        ),
        ("payment_method_options[cash]", "1", "parameter_unknown"),
    ] {
        assert_eq!(
            api.intent(&[(name, value)]).await.error(),
            (400, code, name)
        );
    }
}

#[tokio::test]
async fn no_more_than_what_is_held_is_captured() {
    let (_running, api) = start().await;
    let path = held(&api).await;
    let more = api
        .post(&format!("{path}/capture"), &[("amount_to_capture", "1001")])
        .await;
    assert_eq!(more.error(), (400, "amount_too_large", "amount_to_capture"));
    let nothing = api
        .post(&format!("{path}/capture"), &[("amount_to_capture", "0")])
        .await;
    assert_eq!(
        nothing.error(),
        (400, "parameter_invalid_integer", "amount_to_capture")
    );
    assert_eq!(
        text(&api.get(&path).await.ok(), "status"),
        "requires_capture"
    );
}

#[tokio::test]
async fn of_two_captures_at_once_one_wins() {
    let (_running, api) = start().await;
    let path = format!("{}/capture", held(&api).await);
    let (one, other) = tokio::join!(api.post(&path, &[]), api.post(&path, &[]));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
    let transactions = api.get("v1/balance_transactions").await.ok();
    assert_eq!(transactions["data"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_held_payment_that_is_cancelled_is_released_without_a_refund() {
    let (_running, api) = start().await;
    let path = held(&api).await;
    let form = [("cancellation_reason", "abandoned")];
    let cancelled = api.post(&format!("{path}/cancel"), &form).await.ok();
    assert_eq!(text(&cancelled, "status"), "canceled");
    assert_eq!(text(&cancelled, "cancellation_reason"), "abandoned");
    assert!(cancelled["canceled_at"].is_i64());
    assert_eq!(cancelled["amount_capturable"], 0);
    assert_eq!(
        api.get("v1/refunds").await.ok()["data"]
            .as_array()
            .map(Vec::len),
        Some(0)
    );
    let odd = api
        .post(
            &format!("{path}/cancel"),
            &[("cancellation_reason", "bored")],
        )
        .await;
    assert_eq!(odd.error(), (400, "", "cancellation_reason"));
}
