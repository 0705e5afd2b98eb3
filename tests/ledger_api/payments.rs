//! Payments as the ledger knows them.

use super::*;
use crate::support::card_payment;

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_found_by_our_id_and_by_stripes_with_its_money_and_its_life() {
    let world = World::start().await;
    let paid = ask(world.pay(
        "/v1/payment_intents",
        card_payment(5000, "usd", "4242424242424242"),
    ))
    .await;
    let intent = paid.json["data"]["id"]
        .as_str()
        .or(paid.json["id"].as_str())
        .unwrap()
        .to_owned();
    let refund = json!({"payment_intent": intent, "amount": 1200});
    let refunded = ask(world.pay("/v1/refunds", refund)).await;
    assert!(refunded.status < 300, "{}", refunded.text);
    let by_intent = get(&world, FINANCE, &format!("/payments/{intent}"))
        .await
        .expect(200);
    let id = by_intent["id"].as_str().unwrap();
    assert_eq!(
        get(&world, FINANCE, &format!("/payments/{id}"))
            .await
            .expect(200),
        by_intent
    );
    let money = [
        "amount_minor",
        "captured_minor",
        "refunded_minor",
        "disputed_minor",
    ]
    .map(|it| by_intent[it].as_i64().unwrap());
    assert_eq!(money, [5000, 5000, 1200, 0]);
    assert_eq!(by_intent["refunds"][0]["amount_minor"], 1200);
    let life = get(&world, FINANCE, &format!("/payments/{intent}/events"))
        .await
        .expect(200);
    let life = life["data"].as_array().unwrap();
    assert_eq!(
        u64::try_from(life.len()).unwrap(),
        by_intent["version"].as_u64().unwrap()
    );
    assert!(
        !life
            .iter()
            .any(|it| it.to_string().contains("4242424242424242"))
    );
    world.stop_audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_are_listed_newest_first_by_status_order_and_time() {
    let world = World::start().await;
    for amount in [1000, 2000] {
        let body = card_payment(amount, "usd", "4242424242424242");
        assert!(ask(world.pay("/v1/payment_intents", body)).await.status < 300);
    }
    let open = json!({"amount": 3000, "currency": "usd"});
    assert!(ask(world.pay("/v1/payment_intents", open)).await.status < 300);
    let amounts = async |query: &str| -> Vec<i64> {
        let list = get(&world, FINANCE, &format!("/payments?{query}"))
            .await
            .expect(200);
        let data = list["data"].as_array().unwrap();
        data.iter()
            .map(|it| it["amount_minor"].as_i64().unwrap())
            .collect()
    };
    assert_eq!(amounts("").await, [3000, 2000, 1000]);
    assert_eq!(amounts("status=succeeded").await, [2000, 1000]);
    assert_eq!(amounts("status=canceled").await, [0; 0]);
    let first = get(&world, FINANCE, "/payments?limit=1").await.expect(200);
    let next = first["next"].as_str().unwrap();
    assert_eq!(amounts(&format!("limit=1&after={next}")).await, [2000]);
    let newest = first["data"][0]["created_at"].as_str().unwrap();
    assert_eq!(amounts(&format!("created_from={newest}")).await, [3000]);
    assert_eq!(
        amounts(&format!("created_before={newest}")).await,
        [2000, 1000]
    );
    assert_eq!(
        amounts("order=00000000-0000-7000-8000-000000000000").await,
        [0; 0]
    );
    world.stop_audited().await;
}
