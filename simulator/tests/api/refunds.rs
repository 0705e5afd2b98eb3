use serde_json::Value;

use crate::support::{Api, start, text};

async fn charge(api: &Api, id: &str) -> Value {
    api.get(&format!("v1/charges/{id}")).await.ok()
}

async fn transaction(api: &Api, id: &Value) -> Value {
    let id = id.as_str().expect("an id");
    api.get(&format!("v1/balance_transactions/{id}")).await.ok()
}

#[tokio::test]
async fn refunds_never_exceed_what_was_captured() {
    let (_running, api) = start().await;
    let intent = api.paid("pm_card_visa").await;
    let by_intent = ("payment_intent", text(&intent, "id"));
    let by_charge = ("charge", text(&intent, "latest_charge"));
    let first = api
        .post(
            "v1/refunds",
            &[by_intent, ("amount", "600"), ("reason", "duplicate")],
        )
        .await
        .ok();
    assert_eq!(
        (text(&first, "status"), text(&first, "reason")),
        ("succeeded", "duplicate")
    );
    let more = api
        .post("v1/refunds", &[by_charge, ("amount", "401")])
        .await;
    assert_eq!(more.error(), (400, "", "amount"));
    let message = text(&more.body["error"], "message");
    assert_eq!(
        message,
        "Refund amount ($4.01) is greater than unrefunded amount on charge ($4.00)"
    );
    let rest = api.post("v1/refunds", &[by_charge]).await.ok();
    assert_eq!(rest["amount"], 400);
    let after = charge(&api, by_charge.1).await;
    assert_eq!(
        (
            after["amount_refunded"].as_i64(),
            after["refunded"].as_bool()
        ),
        (Some(1_000), Some(true))
    );
    let again = api.post("v1/refunds", &[by_intent]).await;
    assert_eq!(again.error(), (400, "charge_already_refunded", ""));
}

#[tokio::test]
async fn of_two_refunds_at_once_that_together_are_too_much_one_wins() {
    let (_running, api) = start().await;
    let intent = api.paid("pm_card_visa").await;
    let form = [("payment_intent", text(&intent, "id")), ("amount", "600")];
    let (one, other) = tokio::join!(api.post("v1/refunds", &form), api.post("v1/refunds", &form));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
    assert_eq!(
        charge(&api, text(&intent, "latest_charge")).await["amount_refunded"],
        600
    );
}

#[tokio::test]
async fn a_refund_takes_its_amount_from_the_balance_and_no_fee() {
    let (_running, api) = start().await;
    let intent = api.paid("pm_card_visa").await;
    let form = [
        ("payment_intent", text(&intent, "id")),
        ("amount", "250"),
        ("metadata[why]", "gift"),
    ];
    let refund = api.post("v1/refunds", &form).await.ok();
    assert_eq!(text(&refund["metadata"], "why"), "gift");
    let booked = transaction(&api, &refund["balance_transaction"]).await;
    assert_eq!(
        (
            booked["amount"].as_i64(),
            booked["fee"].as_i64(),
            booked["net"].as_i64()
        ),
        (Some(-250), Some(0), Some(-250))
    );
    assert_eq!(
        (text(&booked, "type"), text(&booked, "reporting_category")),
        ("refund", "refund")
    );
    assert_eq!(text(&booked, "source"), text(&refund, "id"));
    let balance = api.get("v1/balance").await.ok();
    assert_eq!(balance["pending"][0]["amount"], 1_000 - 59 - 250);
    let events = api.event_types().await;
    assert_eq!(
        events[events.len() - 2..],
        ["refund.created", "charge.refunded"]
    );
}

#[tokio::test]
async fn a_refund_may_fail_after_it_succeeded_and_the_money_comes_back() {
    let (_running, api) = start().await;
    let intent = api.paid("pm_card_refundFail").await;
    let refund = api
        .post("v1/refunds", &[("payment_intent", text(&intent, "id"))])
        .await
        .ok();
    assert_eq!(text(&refund, "status"), "succeeded");
    api.advance(3_601).await;
    let path = format!("v1/refunds/{}", text(&refund, "id"));
    let failed = api.get(&path).await.ok();
    assert_eq!(
        (text(&failed, "status"), text(&failed, "failure_reason")),
        ("failed", "expired_or_canceled_card")
    );
    let back = transaction(&api, &failed["failure_balance_transaction"]).await;
    assert_eq!(
        (back["amount"].as_i64(), text(&back, "type")),
        (Some(1_000), "refund_failure")
    );
    assert_eq!(
        charge(&api, text(&intent, "latest_charge")).await["amount_refunded"],
        0
    );
    let events = api.event_types().await;
    assert_eq!(
        events[events.len() - 3..],
        ["charge.updated", "refund.updated", "refund.failed"]
    );
    let balance = api.get("v1/balance").await.ok();
    assert_eq!(balance["pending"][0]["amount"], 1_000 - 59);
}

#[tokio::test]
async fn a_refund_is_cancelled_while_the_payer_has_to_act_and_in_no_other_state() {
    // Turned red by cancelling a pending refund, or by leaving the money refunded.
    let (_running, api) = start().await;
    let intent = api.paid("pm_card_simRefundRequiresAction").await;
    let half = [("payment_intent", text(&intent, "id")), ("amount", "500")];
    let kept = api.post("v1/refunds", &half).await.ok();
    let dropped = api.post("v1/refunds", &half).await.ok();
    assert_eq!(text(&dropped, "status"), "requires_action");
    let cancel = format!("v1/refunds/{}/cancel", text(&dropped, "id"));
    assert_eq!(
        text(&api.post(&cancel, &[]).await.ok(), "status"),
        "canceled"
    );
    assert_eq!(
        charge(&api, text(&intent, "latest_charge")).await["amount_refunded"],
        500
    );
    assert_eq!(api.post(&cancel, &[]).await.status, 400);
    api.advance(3_601).await;
    let path = format!("v1/refunds/{}", text(&kept, "id"));
    assert_eq!(text(&api.get(&path).await.ok(), "status"), "succeeded");
    let pending = api.paid("pm_card_pendingRefund").await;
    let form = [("payment_intent", text(&pending, "id"))];
    let refund = api.post("v1/refunds", &form).await.ok();
    let path = format!("v1/refunds/{}", text(&refund, "id"));
    assert_eq!(api.post(&format!("{path}/cancel"), &[]).await.status, 400);
    assert_eq!(text(&api.get(&path).await.ok(), "status"), "pending");
}

#[tokio::test]
async fn a_pending_refund_succeeds_later() {
    let (_running, api) = start().await;
    let intent = api.paid("pm_card_pendingRefund").await;
    let half = [("payment_intent", text(&intent, "id")), ("amount", "500")];
    let kept = api.post("v1/refunds", &half).await.ok();
    api.post("v1/refunds", &half).await.ok();
    assert_eq!(text(&kept, "status"), "pending");
    let over = api.post("v1/refunds", &half).await;
    assert_eq!(over.error(), (400, "charge_already_refunded", ""));
    api.advance(3_601).await;
    let path = format!("v1/refunds/{}", text(&kept, "id"));
    assert_eq!(text(&api.get(&path).await.ok(), "status"), "succeeded");
    assert_eq!(api.post(&format!("{path}/cancel"), &[]).await.status, 400);
    assert_eq!(
        api.event_types().await.last().map(String::as_str),
        Some("refund.updated")
    );
}

#[tokio::test]
async fn what_was_not_captured_cannot_be_refunded() {
    let (_running, api) = start().await;
    let unpaid = api.intent(&[]).await.ok();
    let answer = api
        .post("v1/refunds", &[("payment_intent", text(&unpaid, "id"))])
        .await;
    assert_eq!(
        answer.error(),
        (400, "charge_not_refundable", "payment_intent")
    );
    let form = [
        ("confirm", "true"),
        ("payment_method", "pm_card_visa"),
        ("capture_method", "manual"),
    ];
    let held = api.intent(&form).await.ok();
    let answer = api
        .post("v1/refunds", &[("payment_intent", text(&held, "id"))])
        .await;
    assert_eq!(answer.error(), (400, "charge_not_refundable", ""));
    assert_eq!(
        api.post("v1/refunds", &[]).await.error(),
        (400, "parameter_missing", "payment_intent")
    );
    let nobody = api.post("v1/refunds", &[("charge", "ch_nobody")]).await;
    assert_eq!(nobody.error(), (400, "resource_missing", "charge"));
    let nobody = api.get("v1/refunds/re_nobody").await;
    assert_eq!(nobody.error(), (404, "resource_missing", "refund"));
}

#[tokio::test]
async fn refunds_are_listed_by_charge_and_expanded_in_it() {
    let (_running, api) = start().await;
    let intent = api.paid("pm_card_visa").await;
    let other = api.paid("pm_card_visa").await;
    let id = text(&intent, "latest_charge");
    let refund = api
        .post("v1/refunds", &[("charge", id), ("amount", "1")])
        .await
        .ok();
    api.post("v1/refunds", &[("payment_intent", text(&other, "id"))])
        .await
        .ok();
    let listed = api
        .get(&format!("v1/refunds?charge={id}&expand[]=data.charge"))
        .await
        .ok();
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(text(&listed["data"][0]["charge"], "id"), id);
    let listed = api
        .get(&format!(
            "v1/refunds?payment_intent={}",
            text(&intent, "id")
        ))
        .await
        .ok();
    assert_eq!(listed["data"][0], refund);
    let whole = api
        .get(&format!("v1/charges/{id}?expand[]=refunds"))
        .await
        .ok();
    assert_eq!(whole["refunds"]["data"][0], refund);
    let path = format!("v1/refunds/{}", text(&refund, "id"));
    let updated = api.post(&path, &[("metadata[a]", "b")]).await.ok();
    assert_eq!(text(&updated["metadata"], "a"), "b");
}
