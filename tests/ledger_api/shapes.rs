//! The shapes of answers, pinned.

use super::*;

/// What differs from run to run, by its place.
fn pinned(name: &str, answer: &Value) {
    insta::with_settings!({ sort_maps => true }, {
        insta::assert_json_snapshot!(name, answer, {
            ".**.id" => "[id]", ".**.event_id" => "[id]", ".**.command_id" => "[id]", ".**.correlation_id" => "[id]",
            ".**.created_at" => "[time]", ".**.updated_at" => "[time]", ".**.recorded_at" => "[time]", ".**.since" => "[time]",
            ".**.revoked_at" => "[time]", ".**.rolled_at" => "[time]", ".**.expires_at" => "[time]",
            ".**.secret" => "[secret]", ".**.hint" => "[hint]", ".**.next" => "[cursor]", ".**.instance" => "[request]",
            ".**.intent" => "[intent]", ".**.charge" => "[charge]", ".**.payment" => "[id]", ".**.paid_by" => "[id]",
            ".**.position" => "[position]", ".**.head" => "[position]", ".**.nonce" => "[sealed]", ".**.ciphertext" => "[sealed]",
            ".**.subject" => "[sealed]", ".**.order" => "[id]", ".**.rolled_to" => "[id]", ".**.metadata" => "[metadata]",
        });
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn every_resource_has_its_shape() {
    let world = World::start().await;
    let mut body = order("shape", 1500);
    body["personal"] = json!({"email": "someone@example.com"});
    let made = post(&world, ADMIN, "/orders", &body).await.expect(201);
    pinned("order", &made);
    let id = made["id"].as_str().unwrap();
    pinned(
        "order_life",
        &get(&world, ADMIN, &format!("/orders/{id}/events"))
            .await
            .expect(200),
    );
    let intent = payment_asked(&world, "shape").await;
    pinned(
        "payment",
        &get(&world, ADMIN, &format!("/payments/{intent}"))
            .await
            .expect(200),
    );
    pinned(
        "order_with_payment",
        &get(&world, ADMIN, &format!("/orders/{id}"))
            .await
            .expect(200),
    );
    pinned(
        "orders",
        &get(&world, ADMIN, "/orders?reference=shape")
            .await
            .expect(200),
    );
    pinned(
        "payments",
        &get(&world, ADMIN, "/payments?limit=1").await.expect(200),
    );
    pinned(
        "offer",
        &get(&world, ADMIN, "/offers/10311080").await.expect(200),
    );
    pinned("offers", &get(&world, ADMIN, "/offers").await.expect(200));
    let article = "/articles/11111111-1111-1111-1111-111111111111/3";
    pinned("article", &get(&world, ADMIN, article).await.expect(200));
    pinned(
        "article_prices",
        &get(&world, ADMIN, &format!("{article}/prices"))
            .await
            .expect(200),
    );
    pinned(
        "merchant",
        &get(&world, ADMIN, "/merchants").await.expect(200),
    );
    pinned(
        "events",
        &get(&world, ADMIN, "/events?limit=1").await.expect(200),
    );
    let key = json!({"kind": "native", "scopes": ["payments:read", "ledger:read"]});
    let key = post(&world, ADMIN, "/keys", &key).await.expect(201);
    pinned("key", &key);
    let path = format!("/keys/{}/roll", key["id"].as_str().unwrap());
    pinned(
        "rolled_key",
        &post(&world, ADMIN, &path, &json!({"expires_in": 60}))
            .await
            .expect(201),
    );
    let ended = delete(
        &world,
        ADMIN,
        &format!("/keys/{}", key["id"].as_str().unwrap()),
    )
    .await;
    let mut ended = ended.expect(200);
    for by in ["created_by", "rolled_by", "revoked_by"] {
        assert_eq!(ended[by].take(), "key:key_acme_8", "{by}");
    }
    pinned("ended_key", &ended);
    let refused = post(&world, ADMIN, "/orders", &json!({"source": "nowhere"})).await;
    refused.problem();
    pinned("problem", &refused.json);
    world.stop().await;
}
