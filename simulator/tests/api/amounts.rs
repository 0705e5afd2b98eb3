use crate::support::{config, start, start_with, text};

#[tokio::test]
async fn amounts_are_taken_up_to_their_limits_and_no_further() {
    let (_running, api) = start().await;
    for (amount, currency, code) in [
        ("50", "usd", ""),
        ("49", "usd", "amount_too_small"),
        ("30", "gbp", ""),
        ("29", "gbp", "amount_too_small"),
        ("50", "jpy", ""),
        ("49", "jpy", "amount_too_small"),
        ("300", "sek", ""),
        ("299", "sek", "amount_too_small"),
        ("17500", "huf", ""),
        ("17499", "huf", "amount_too_small"),
        ("200", "MYR", ""),
        ("199", "MYR", "amount_too_small"),
        ("1000", "kwd", ""),
        ("1001", "kwd", "parameter_invalid_integer"),
        ("10000", "isk", ""),
        ("10050", "isk", "parameter_invalid_integer"),
        ("99999999", "usd", ""),
        ("100000000", "usd", "amount_too_large"),
        ("0", "usd", "parameter_invalid_integer"),
        ("-100", "usd", "parameter_invalid_integer"),
        ("10.50", "usd", "parameter_invalid_integer"),
        ("1e3", "usd", "parameter_invalid_integer"),
        ("99999999999999999999", "usd", "parameter_invalid_integer"),
        ("", "usd", "parameter_invalid_empty"),
    ] {
        let answer = api
            .post(
                "v1/payment_intents",
                &[("amount", amount), ("currency", currency)],
            )
            .await;
        if code.is_empty() {
            let intent = answer.ok();
            assert_eq!(intent["amount"].to_string(), amount);
            assert_eq!(text(&intent, "currency"), currency.to_lowercase());
        } else {
            assert_eq!(answer.error(), (400, code, "amount"), "{amount} {currency}");
        }
    }
}

#[tokio::test]
async fn an_unknown_currency_is_refused_by_name() {
    let (_running, api) = start().await;
    let answer = api
        .post(
            "v1/payment_intents",
            &[("amount", "1000"), ("currency", "xyz")],
        )
        .await;
    assert_eq!(answer.error(), (400, "", "currency"));
    assert!(text(&answer.body["error"], "message").starts_with("Invalid currency: xyz."));
}

#[tokio::test]
async fn an_account_may_be_free_of_the_minimum_but_not_of_the_maximum() {
    let mut config = config();
    config.accounts[0].minimum_charge = false;
    let (_running, api) = start_with(config).await;
    let form = [
        ("amount", "10"),
        ("currency", "USD"),
        ("confirm", "true"),
        ("payment_method", "pm_card_visa"),
    ];
    let intent = api.post("v1/payment_intents", &form).await.ok();
    assert_eq!(intent["amount_received"], 10);
    let large = api
        .post(
            "v1/payment_intents",
            &[("amount", "100000000"), ("currency", "usd")],
        )
        .await;
    assert_eq!(large.error(), (400, "amount_too_large", "amount"));
}

#[tokio::test]
async fn an_update_obeys_the_same_limits() {
    let (_running, api) = start().await;
    let intent = api.intent(&[]).await.ok();
    let path = format!("v1/payment_intents/{}", text(&intent, "id"));
    let small = api.post(&path, &[("amount", "49")]).await;
    assert_eq!(small.error(), (400, "amount_too_small", "amount"));
    let cheap = api
        .post(&path, &[("amount", "299"), ("currency", "sek")])
        .await;
    assert_eq!(cheap.error(), (400, "amount_too_small", "amount"));
    assert_eq!(api.get(&path).await.ok()["amount"], 1_000);
    assert_eq!(
        api.post(&path, &[("amount", "51")]).await.ok()["amount"],
        51
    );
}
