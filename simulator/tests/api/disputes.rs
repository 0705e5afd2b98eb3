use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Api, Form, start, text};

/// Long enough for what happens later.
const LATER_S: i64 = 3_601;
const NET: i64 = 1_000 - 59;

/// The dispute of a payment with a card that disputes.
async fn disputed(api: &Api, method: &str) -> Value {
    let intent = api.paid(method).await;
    api.advance(LATER_S).await;
    let path = format!("v1/disputes?payment_intent={}", text(&intent, "id"));
    api.get(&path).await.ok()["data"][0].take()
}

async fn update(api: &Api, dispute: &Value, form: Form<'_>) -> crate::support::Answer {
    let path = format!("v1/disputes/{}", text(dispute, "id"));
    api.post(&path, form).await
}

async fn read(api: &Api, dispute: &Value) -> Value {
    let path = format!("v1/disputes/{}", text(dispute, "id"));
    api.get(&path).await.ok()
}

async fn pending(api: &Api) -> Option<i64> {
    api.get("v1/balance").await.ok()["pending"][0]["amount"].as_i64()
}

async fn last_events(api: &Api, count: usize) -> Vec<String> {
    let events = api.event_types().await;
    events[events.len() - count..].to_vec()
}

#[tokio::test]
async fn a_disputed_charge_loses_its_money_and_a_fee_until_the_dispute_is_won() {
    let (_running, api) = start().await;
    let dispute = disputed(&api, "pm_card_createDispute").await;
    assert_eq!(
        (
            text(&dispute, "status"),
            text(&dispute, "reason"),
            dispute["amount"].as_i64()
        ),
        ("needs_response", "fraudulent", Some(1_000))
    );
    assert_eq!(
        last_events(&api, 2).await,
        ["charge.dispute.created", "charge.dispute.funds_withdrawn"]
    );
    let taken = &dispute["balance_transactions"][0];
    assert_eq!(
        (
            taken["amount"].as_i64(),
            taken["fee"].as_i64(),
            taken["net"].as_i64()
        ),
        (Some(-1_000), Some(1_500), Some(-2_500))
    );
    assert_eq!(
        (text(taken, "type"), text(taken, "reporting_category")),
        ("adjustment", "dispute")
    );
    assert_eq!(pending(&api).await, Some(NET - 2_500));
    let path = format!("v1/charges/{}?expand[]=dispute", text(&dispute, "charge"));
    let charge = api.get(&path).await.ok();
    assert_eq!(
        (&charge["disputed"], &charge["dispute"]),
        (&json!(true), &dispute)
    );

    let won = [("evidence[uncategorized_text]", "winning_evidence")];
    let review = update(&api, &dispute, &won).await.ok();
    assert_eq!(text(&review, "status"), "under_review");
    assert_eq!(review["evidence_details"]["submission_count"], 1);
    assert_eq!(last_events(&api, 1).await, ["charge.dispute.updated"]);
    api.advance(LATER_S).await;
    let closed = read(&api, &dispute).await;
    assert_eq!(text(&closed, "status"), "won");
    assert_eq!(closed["balance_transactions"][1]["net"], 1_000);
    assert_eq!(pending(&api).await, Some(NET - 1_500));
    assert_eq!(
        last_events(&api, 2).await,
        ["charge.dispute.funds_reinstated", "charge.dispute.closed"]
    );
    assert_eq!(
        update(&api, &dispute, &won).await.error(),
        (400, "", "evidence")
    );
}

#[tokio::test]
async fn a_dispute_is_lost_by_bad_evidence_by_giving_in_or_by_silence() {
    let (_running, api) = start().await;
    let bad = disputed(&api, "pm_card_createDispute").await;
    let given_in = disputed(&api, "pm_card_createDisputeProductNotReceived").await;
    assert_eq!(text(&given_in, "reason"), "product_not_received");
    let silent = disputed(&api, "pm_card_createDispute").await;
    let losing = [("evidence[uncategorized_text]", "losing_evidence")];
    update(&api, &bad, &losing).await.ok();
    let close = format!("v1/disputes/{}/close", text(&given_in, "id"));
    assert_eq!(text(&api.post(&close, &[]).await.ok(), "status"), "lost");
    assert_eq!(
        api.post(&close, &[]).await.error(),
        (400, "dispute_already_closed", "")
    );
    assert_eq!(text(&read(&api, &silent).await, "status"), "needs_response");
    api.advance(9 * 24 * 3_600).await;
    for dispute in [&bad, &given_in, &silent] {
        let lost = read(&api, dispute).await;
        assert_eq!(text(&lost, "status"), "lost");
        assert_eq!(
            lost["balance_transactions"].as_array().map(Vec::len),
            Some(1)
        );
    }
    let reinstated = api
        .get("v1/events?type=charge.dispute.funds_reinstated")
        .await;
    assert_eq!(reinstated.ok()["data"], json!([]));
    let closed = api.get("v1/events?type=charge.dispute.closed").await.ok();
    assert_eq!(closed["data"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn evidence_can_be_gathered_before_it_is_submitted() {
    let (_running, api) = start().await;
    let dispute = disputed(&api, "pm_card_createDispute").await;
    let first = [
        ("evidence[customer_name]", "Ada"),
        ("submit", "false"),
        ("metadata[a]", "b"),
    ];
    let staged = update(&api, &dispute, &first).await.ok();
    assert_eq!(
        (
            text(&staged, "status"),
            text(&staged["evidence"], "customer_name")
        ),
        ("needs_response", "Ada")
    );
    assert_eq!(staged["evidence_details"]["submission_count"], 0);
    let marked = update(&api, &dispute, &[("metadata[c]", "d")]).await.ok();
    assert_eq!(text(&marked, "status"), "needs_response");
    let submitted = update(&api, &dispute, &[("submit", "true")]).await.ok();
    assert_eq!(
        (
            text(&submitted, "status"),
            text(&submitted["evidence"], "customer_name")
        ),
        ("under_review", "Ada")
    );
    let unknown = update(&api, &dispute, &[("evidence[mood]", "bad")]).await;
    assert_eq!(unknown.status, 400);
    // Nobody decides, since nothing in it settles the matter.
    api.advance(30 * 24 * 3_600).await;
    assert_eq!(text(&read(&api, &dispute).await, "status"), "under_review");
}

#[tokio::test]
async fn faulty_evidence_is_refused() {
    let (_running, api) = start().await;
    let dispute = disputed(&api, "pm_card_createDispute").await;
    let refused = [
        (
            ("evidence[mood]", "bad"),
            (400, "parameter_unknown", "evidence[mood]"),
        ),
        (
            ("evidence[receipt]", "file_1"),
            (400, "resource_missing", "evidence[receipt]"),
        ),
        (("submit", "perhaps"), (400, "", "submit")),
    ];
    for (param, error) in refused {
        assert_eq!(update(&api, &dispute, &[param]).await.error(), error);
    }
    let nobody = api.get("v1/disputes/dp_nobody").await;
    assert_eq!(nobody.error(), (404, "resource_missing", "dispute"));
}

#[tokio::test]
async fn an_inquiry_takes_nothing_unless_it_is_escalated() {
    let (_running, api) = start().await;
    let inquiry = disputed(&api, "pm_card_createDisputeInquiry").await;
    assert_eq!(text(&inquiry, "status"), "warning_needs_response");
    assert_eq!(inquiry["balance_transactions"], json!([]));
    assert_eq!(last_events(&api, 1).await, ["charge.dispute.created"]);
    assert_eq!(pending(&api).await, Some(NET));
    let answer = [("evidence[uncategorized_text]", "escalate_inquiry_evidence")];
    let review = update(&api, &inquiry, &answer).await.ok();
    assert_eq!(text(&review, "status"), "warning_under_review");
    api.advance(LATER_S).await;
    let escalated = read(&api, &inquiry).await;
    assert_eq!(text(&escalated, "status"), "needs_response");
    assert_eq!(pending(&api).await, Some(NET - 2_500));
    assert_eq!(
        last_events(&api, 2).await,
        ["charge.dispute.updated", "charge.dispute.funds_withdrawn"]
    );
}

#[tokio::test]
async fn a_refund_in_full_answers_an_inquiry_and_a_chargeback_forbids_one() {
    let (_running, api) = start().await;
    let inquiry = disputed(&api, "pm_card_createDisputeInquiry").await;
    let chargeback = disputed(&api, "pm_card_createDispute").await;
    api.post("v1/refunds", &[("charge", text(&inquiry, "charge"))])
        .await
        .ok();
    assert_eq!(
        text(&read(&api, &inquiry).await, "status"),
        "warning_closed"
    );
    let refused = api
        .post("v1/refunds", &[("charge", text(&chargeback, "charge"))])
        .await;
    assert_eq!(refused.error(), (400, "charge_disputed", ""));
}

#[tokio::test]
async fn a_dispute_can_be_made_by_hand_but_once_and_only_of_what_is_left() {
    let (_running, api) = start().await;
    let intent = api.paid("pm_card_visa").await;
    let charge = text(&intent, "latest_charge");
    api.post("v1/refunds", &[("charge", charge), ("amount", "300")])
        .await
        .ok();
    let asked = json!({ "charge": charge });
    let dispute = api.own(Method::POST, "disputes", asked.clone()).await;
    assert_eq!(dispute["amount"], 700);
    assert_eq!(read(&api, &dispute).await, dispute);
    let listed = api.get(&format!("v1/disputes?charge={charge}")).await.ok();
    assert_eq!(listed["data"], json!([dispute]));
    for (charge, status) in [(charge, 400), ("ch_nobody", 404)] {
        let request = api.request(Method::POST, "_sim/disputes");
        let again = request.json(&json!({ "charge": charge })).send().await;
        assert_eq!(again.expect("an answer").status().as_u16(), status);
    }
}

#[tokio::test]
async fn settling_now_opens_and_decides_disputes_but_lets_none_lapse() {
    let (_running, api) = start().await;
    let form = [
        ("confirm", "true"),
        ("payment_method", "pm_card_createDispute"),
        ("capture_method", "automatic_async"),
    ];
    let intent = api.intent(&form).await.ok();
    let done = api.own(Method::POST, "settle", json!({})).await;
    assert_eq!(done["done"], 2, "the charge settles, and is disputed");
    let path = format!("v1/disputes?charge={}", text(&intent, "latest_charge"));
    let dispute = api.get(&path).await.ok()["data"][0].take();
    assert_eq!(text(&dispute, "status"), "needs_response");
    let won = [("evidence[uncategorized_text]", "winning_evidence")];
    update(&api, &dispute, &won).await.ok();
    api.own(Method::POST, "settle", json!({})).await;
    assert_eq!(text(&read(&api, &dispute).await, "status"), "won");
}
