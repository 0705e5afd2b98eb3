//! async-stripe's own types read every object, newer required members included.

use miniserde::Deserialize;
use stripe_shared::{
    BalanceTransaction, Charge, CheckoutSession, Customer, Dispute, Event, PaymentIntent,
    PaymentMethod, Payout, Refund,
};
use stripe_types::List;

use crate::support::{Api, start, text};

async fn reads<T: Deserialize>(api: &Api, path: &str) -> T {
    let answer = api.get(path).await;
    assert_eq!(answer.status, 200, "{path}");
    miniserde::json::from_str(&answer.text).unwrap_or_else(|_| panic!("{path}: {}", answer.text))
}

#[tokio::test]
async fn every_object_is_read_by_the_types_of_the_client_library() {
    let (_running, api) = start().await;
    let asked = [
        ("confirm", "true"),
        ("payment_method", "pm_card_authenticationRequired"),
        ("return_url", "https://shop.example/"),
    ];
    api.intent(&asked).await.ok();
    api.intent(&asked[..2]).await.ok();
    assert_eq!(
        api.intent(&[
            ("confirm", "true"),
            ("payment_method", "pm_card_chargeDeclined")
        ])
        .await
        .status,
        402
    );
    let paid = api.paid("pm_card_refundFail").await;
    let refund = api
        .post("v1/refunds", &[("payment_intent", text(&paid, "id"))])
        .await
        .ok();
    let pending = api.paid("pm_card_pendingRefund").await;
    api.post("v1/refunds", &[("payment_intent", text(&pending, "id"))])
        .await
        .ok();
    api.advance(3_601).await;

    let intent: PaymentIntent = reads(
        &api,
        &format!(
            "v1/payment_intents/{}?expand[]=latest_charge",
            text(&paid, "id")
        ),
    )
    .await;
    assert_eq!(intent.amount_received, 1_000);
    let failed: Refund = reads(&api, &format!("v1/refunds/{}", text(&refund, "id"))).await;
    assert_eq!(failed.status.as_deref(), Some("failed"));
    let _: PaymentMethod = reads(
        &api,
        &format!("v1/payment_methods/{}", text(&paid, "payment_method")),
    )
    .await;
    let intents: List<PaymentIntent> = reads(&api, "v1/payment_intents").await;
    assert_eq!(intents.data.len(), 5);
    let charges: List<Charge> = reads(
        &api,
        "v1/charges?expand[]=data.refunds&expand[]=data.balance_transaction",
    )
    .await;
    assert_eq!(charges.data.len(), 3);
    let refunds: List<Refund> = reads(&api, "v1/refunds").await;
    assert_eq!(refunds.data.len(), 2);
    let booked: List<BalanceTransaction> = reads(&api, "v1/balance_transactions").await;
    assert_eq!(
        booked.data.iter().map(|it| it.net).sum::<i64>(),
        1_000 - 59 - 59
    );
    let events: List<Event> = reads(&api, "v1/events?limit=100").await;
    assert!(events.data.len() > 10);
    let balance: stripe_core::Balance = reads(&api, "v1/balance").await;
    assert_eq!(balance.pending.len(), 1);
}

#[tokio::test]
async fn customers_disputes_payouts_and_checkouts_are_read_by_the_types_of_the_client_library() {
    let (_running, api) = start().await;
    let customer = api
        .post("v1/customers", &[("email", "ada@example.com")])
        .await
        .ok();
    let customers: List<Customer> = reads(&api, "v1/customers").await;
    assert_eq!(customers.data[0].id.as_str(), text(&customer, "id"));
    api.paid("pm_card_createDispute").await;
    api.paid("pm_card_visa").await;
    api.paid("pm_card_visa").await;
    api.paid("pm_card_visa").await;
    api.advance(10 * 24 * 3_600).await;
    let disputes: List<Dispute> = reads(&api, "v1/disputes").await;
    assert_eq!(disputes.data[0].balance_transactions.len(), 1);
    let payouts: List<Payout> = reads(&api, "v1/payouts").await;
    let booked: List<BalanceTransaction> = reads(
        &api,
        &format!(
            "v1/balance_transactions?limit=100&payout={}",
            payouts.data[0].id
        ),
    )
    .await;
    let sum: i64 = booked.data.iter().map(|it| it.net).sum();
    assert_eq!(sum, payouts.data[0].amount);
    let form = [
        ("mode", "payment"),
        ("success_url", "https://shop.example/"),
        ("line_items[][price_data][currency]", "usd"),
        ("line_items[][price_data][unit_amount]", "500"),
        ("line_items[][price_data][product_data][name]", "Tea"),
    ];
    let session = api.post("v1/checkout/sessions", &form).await.ok();
    let path = format!(
        "v1/checkout/sessions/{}?expand[]=line_items",
        text(&session, "id")
    );
    let session: CheckoutSession = reads(&api, &path).await;
    assert_eq!(session.line_items.map(|it| it.data.len()), Some(1));
}

#[tokio::test]
async fn every_error_is_read_by_the_types_of_the_client_library() {
    let (_running, api) = start().await;
    let declined = api
        .intent(&[
            ("confirm", "true"),
            ("payment_method", "pm_card_chargeDeclined"),
        ])
        .await;
    let unknown = api.intent(&[("foo", "1")]).await;
    let missing = api.get("v1/charges/ch_nobody").await;
    for answer in [declined, unknown, missing] {
        let error: stripe_shared::Error =
            miniserde::json::from_str(&answer.text).unwrap_or_else(|_| panic!("{}", answer.text));
        let code = error.error.code.expect("a code").as_str().to_owned();
        assert_eq!(code, answer.error().1);
    }
}
