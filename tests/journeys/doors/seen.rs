//! A payment as each dialect shows it.

use super::begun::{Begun, as_json_api, as_stripes_clients};
use crate::support::{World, send};
use reqwest::Method;
use serde_json::{Value, json};

/// Every dialect tells the same of a payment of which `back` has gone back.
pub async fn everywhere(world: &World, it: &Begun, back: i64) {
    in_stripes_rendering(world, it, back).await;
    in_the_documents_rendering(world, it).await;
    at_stripe(world, it, back).await;
    in_json_api(world, it, back).await;
    in_the_native_api(world, it, back).await;
}

/// Every dialect that shows refunds tells the same of one.
pub async fn refund(world: &World, it: &Begun, refund: &str, amount: i64) {
    let path = format!("/v1/refunds/{refund}");
    let of_stripes = get(as_stripes_clients(world, Method::GET, &path, "")).await;
    let of_document = get(world.get(&path).bearer_auth("sk_test_acme")).await;
    for shown in [of_stripes, of_document] {
        assert_eq!(
            (&shown["amount"], &shown["currency"], &shown["status"]),
            (&json!(amount), &json!(it.currency), &json!("succeeded")),
        );
        assert_eq!(shown["payment_intent"], json!(it.intent));
    }
}

async fn get(request: reqwest::RequestBuilder) -> Value {
    let (status, shown) = send(request).await;
    assert_eq!(status, 200, "{shown}");
    shown
}

fn is_paid(it: &Begun, shown: &Value) {
    assert_eq!(
        (
            &shown["id"],
            &shown["status"],
            &shown["amount"],
            &shown["currency"]
        ),
        (
            &json!(it.intent),
            &json!("succeeded"),
            &json!(it.amount),
            &json!(it.currency)
        ),
        "{shown}"
    );
}

async fn in_stripes_rendering(world: &World, it: &Begun, back: i64) {
    let path = format!("/v1/payment_intents/{}?expand[]=latest_charge", it.intent);
    let shown = get(as_stripes_clients(world, Method::GET, &path, "")).await;
    is_paid(it, &shown);
    assert_eq!(shown["amount_received"], it.amount);
    let charge = &shown["latest_charge"];
    assert_eq!(
        (&charge["amount_captured"], &charge["amount_refunded"]),
        (&json!(it.amount), &json!(back))
    );
    let path = format!("/v1/charges?payment_intent={}", it.intent);
    let charges = get(as_stripes_clients(world, Method::GET, &path, "")).await;
    assert_eq!(charges["data"][0]["amount_refunded"], back);
}

async fn in_the_documents_rendering(world: &World, it: &Begun) {
    let path = format!("/v1/payment_intents/{}", it.intent);
    let shown = get(world.get(&path).bearer_auth("sk_test_acme")).await;
    is_paid(it, &shown);
}

/// The account itself, which is what everything is reconciled with.
async fn at_stripe(world: &World, it: &Begun, back: i64) {
    let path = format!("/v1/payment_intents/{}?expand[]=latest_charge", it.intent);
    let shown = get(world.stripe(Method::GET, &path)).await;
    is_paid(it, &shown);
    assert_eq!(shown["latest_charge"]["amount_refunded"], back);
}

/// JSON:API shows the payments of orders, and what became of the order.
async fn in_json_api(world: &World, it: &Begun, back: i64) {
    let path = format!(
        "/api/stripe_payments?filter[q][stripe_id_eq]={}&include=order",
        it.intent
    );
    let shown = get(as_json_api(world, Method::GET, &path)).await;
    let orders = usize::from(it.pays_an_order);
    assert_eq!(shown["data"].as_array().unwrap().len(), orders, "{shown}");
    let Some(payment) = shown["data"].get(0) else {
        return;
    };
    let payment = &payment["attributes"];
    assert_eq!(
        (&payment["stripe_id"], &payment["mismatched_amounts"]),
        (&json!(it.intent), &json!(false))
    );
    assert!(payment["charge_id"].is_string(), "{payment}");
    let order = &shown["included"][0]["attributes"];
    let status = if back == 0 {
        "paid"
    } else {
        "partially_refunded"
    };
    assert_eq!(
        (
            &order["total_amount_cents"],
            &order["currency_code"],
            &order["payment_status"]
        ),
        (
            &json!(it.amount),
            &json!(it.currency.to_uppercase()),
            &json!(status)
        ),
        "{order}"
    );
}

/// The native API shows all that the ledger knows: the payment, its order and its events.
async fn in_the_native_api(world: &World, it: &Begun, back: i64) {
    let of_finance = async |path: &str| {
        let path = format!("/ledger/v1{path}");
        get(world.get(&path).bearer_auth("finance-acme")).await
    };
    let shown = of_finance(&format!("/payments/{}", it.intent)).await;
    assert_eq!(
        (&shown["intent"], &shown["status"], &shown["currency"]),
        (&json!(it.intent), &json!("succeeded"), &json!(it.currency)),
        "{shown}"
    );
    let applied = if it.pays_an_order { it.amount } else { 0 };
    let money = [
        "amount_minor",
        "captured_minor",
        "refunded_minor",
        "applied_minor",
    ];
    assert_eq!(
        money.map(|name| shown[name].as_i64().unwrap()),
        [it.amount, it.amount, back, applied],
        "{shown}"
    );
    let refunds = shown["refunds"].as_array().unwrap().iter();
    let refunded: i64 = refunds.map(|it| it["amount_minor"].as_i64().unwrap()).sum();
    assert_eq!(refunded, back);

    let feed = of_finance("/events?limit=100").await;
    let of_payment = feed["data"].as_array().unwrap().iter();
    let of_payment = of_payment.filter(|event| event["aggregate"]["id"] == shown["id"]);
    let told: Vec<&Value> = of_payment.map(|event| &event["type"]).collect();
    for (name, times) in [("Captured", 1), ("Refunded", usize::from(back > 0))] {
        let found = told.iter().filter(|it| **it == name).count();
        assert_eq!(found, times, "{name} in {told:?}");
    }
    if let Some(order) = shown["order"].as_str() {
        let order = of_finance(&format!("/orders/{order}")).await;
        assert_eq!(
            (&order["status"], &order["total_minor"], &order["paid_by"]),
            (&json!("paid"), &json!(it.amount), &shown["id"]),
            "{order}"
        );
    }
    assert_eq!(shown["order"].is_string(), it.pays_an_order);
}
