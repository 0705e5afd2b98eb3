use reqwest::Method;
use serde_json::json;
use simulator::PlantedIntent;

use crate::support::{config, start_with, text};

#[tokio::test]
async fn an_intent_planted_by_the_configuration_or_a_handle_has_its_own_secret() {
    let mut config = config();
    config.accounts[0].planted_intents = vec![PlantedIntent {
        id: "pi_1234XXX".to_owned(),
        client_secret: Some("pi_1234XXX_secret_5678YYY".to_owned()),
        amount: 5_900,
        currency: "eur".to_owned(),
        description: None,
    }];
    let (_running, api) = start_with(config).await;
    let intent = api.get("v1/payment_intents/pi_1234XXX").await.ok();
    assert_eq!(text(&intent, "client_secret"), "pi_1234XXX_secret_5678YYY");
    assert_eq!(
        (intent["amount"].as_i64(), text(&intent, "currency")),
        (Some(5_900), "eur")
    );
    let object = json!({
        "id": "pi_other",
        "client_secret": "pi_other_secret_mine",
        "amount": 100,
        "currency": "usd",
    });
    api.own(Method::POST, "objects", object.clone()).await;
    let intent = api.get("v1/payment_intents/pi_other").await.ok();
    assert_eq!(text(&intent, "client_secret"), "pi_other_secret_mine");
    let again = api
        .request(Method::POST, "_sim/objects")
        .json(&object)
        .send()
        .await;
    assert_eq!(again.expect("an answer").status(), 409);
    let state = api
        .own(Method::GET, "state?account=acct_one", json!({}))
        .await;
    let intents = state["acct_one"]["payment_intents"]
        .as_array()
        .expect("a list");
    assert_eq!(intents.len(), 2);
    assert!(
        !state.to_string().contains("_secret_"),
        "a dump holds no secrets"
    );
}
