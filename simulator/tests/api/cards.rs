use serde_json::Value;

use crate::support::{Answer, Api, start, text};

async fn pay(api: &Api, number: &str) -> Answer {
    api.intent(&[
        ("confirm", "true"),
        ("payment_method_data[type]", "card"),
        ("payment_method_data[card][number]", number),
        ("payment_method_data[card][exp_month]", "12"),
        ("payment_method_data[card][exp_year]", "2050"),
        ("payment_method_data[card][cvc]", "123"),
    ])
    .await
}

#[tokio::test]
async fn good_cards_of_every_brand_pay() {
    let (_running, api) = start().await;
    for (number, brand) in [
        ("4242424242424242", "visa"),
        ("4111 1111 1111 1111", "visa"),
        ("5555555555554444", "mastercard"),
        ("2223003122003222", "mastercard"),
        ("378282246310005", "amex"),
        ("6011111111111117", "discover"),
        ("3056930009020004", "diners"),
        ("3566002020360505", "jcb"),
        ("6200000000000005", "unionpay"),
    ] {
        let intent = pay(&api, number).await.ok();
        assert_eq!(text(&intent, "status"), "succeeded", "{number}");
        let method = api
            .get(&format!(
                "v1/payment_methods/{}",
                text(&intent, "payment_method")
            ))
            .await
            .ok();
        assert_eq!(text(&method["card"], "brand"), brand);
        assert_eq!(text(&method["card"], "last4"), &number[number.len() - 4..]);
        assert_eq!(text(&method["card"]["checks"], "cvc_check"), "pass");
    }
}

#[tokio::test]
async fn a_declined_card_leaves_a_failed_charge_and_an_intent_that_needs_another_method() {
    let (_running, api) = start().await;
    for (number, code, decline_code) in [
        ("4000000000000002", "card_declined", "generic_decline"),
        ("4000000000009995", "card_declined", "insufficient_funds"),
        ("4000000000009987", "card_declined", "lost_card"),
        ("4000000000009979", "card_declined", "stolen_card"),
        ("4000000000000069", "expired_card", "expired_card"),
        ("4000000000000127", "incorrect_cvc", "incorrect_cvc"),
        ("4000000000000119", "processing_error", "processing_error"),
    ] {
        let answer = pay(&api, number).await;
        assert_eq!(answer.error(), (402, code, ""), "{number}");
        let error = &answer.body["error"];
        assert_eq!(text(error, "type"), "card_error");
        assert_eq!(text(error, "decline_code"), decline_code);
        let intent = &error["payment_intent"];
        assert_eq!(text(intent, "status"), "requires_payment_method");
        assert_eq!(
            text(&intent["last_payment_error"], "decline_code"),
            decline_code
        );
        assert_eq!(intent["payment_method"], Value::Null);
        assert!(text(intent, "client_secret").starts_with(text(intent, "id")));
        let charge = api
            .get(&format!("v1/charges/{}", text(error, "charge")))
            .await
            .ok();
        assert_eq!(text(&charge, "status"), "failed");
        assert_eq!(
            (charge["paid"].as_bool(), charge["amount_captured"].as_i64()),
            (Some(false), Some(0))
        );
        assert_eq!(text(&charge, "failure_code"), code);
        let path = format!("v1/payment_intents/{}", text(intent, "id"));
        let retried = api
            .post(
                &format!("{path}/confirm"),
                &[("payment_method", "pm_card_visa")],
            )
            .await
            .ok();
        assert_eq!(text(&retried, "status"), "succeeded");
        assert_eq!(retried["last_payment_error"], Value::Null);
    }
}

#[tokio::test]
async fn invalid_cards_are_refused_when_the_method_is_made() {
    let (_running, api) = start().await;
    let cases = [
        (
            ["4242424242424241", "12", "2050", "123"],
            "incorrect_number",
            "number",
        ),
        (["4242", "12", "2050", "123"], "incorrect_number", "number"),
        (
            ["4242x24242424242", "12", "2050", "123"],
            "invalid_number",
            "number",
        ),
        (
            ["4242424242424242", "13", "2050", "123"],
            "invalid_expiry_month",
            "exp_month",
        ),
        (
            ["4242424242424242", "12", "1999", "123"],
            "invalid_expiry_year",
            "exp_year",
        ),
        (
            ["4242424242424242", "12", "2999", "123"],
            "invalid_expiry_year",
            "exp_year",
        ),
        (
            ["4242424242424242", "12", "2050", "12"],
            "invalid_cvc",
            "cvc",
        ),
        (
            ["378282246310005", "12", "2050", "12345"],
            "invalid_cvc",
            "cvc",
        ),
    ];
    for ([number, month, year, cvc], code, param) in cases {
        let form = [
            ("type", "card"),
            ("card[number]", number),
            ("card[exp_month]", month),
            ("card[exp_year]", year),
            ("card[cvc]", cvc),
        ];
        let answer = api.post("v1/payment_methods", &form).await;
        assert_eq!(
            answer.error(),
            (402, code, param),
            "{number} {month}/{year} {cvc}"
        );
    }
    let missing = api
        .post(
            "v1/payment_methods",
            &[("type", "card"), ("card[number]", "4242424242424242")],
        )
        .await;
    assert_eq!(
        missing.error(),
        (400, "parameter_missing", "card[exp_month]")
    );
    let none = api.post("v1/payment_methods", &[("type", "card")]).await;
    assert_eq!(none.error(), (400, "parameter_missing", "card"));
}

#[tokio::test]
async fn a_token_or_a_ready_made_name_makes_a_method() {
    let (_running, api) = start().await;
    let made = api
        .post(
            "v1/payment_methods",
            &[("type", "card"), ("card[token]", "tok_mastercard")],
        )
        .await
        .ok();
    assert_eq!(text(&made["card"], "brand"), "mastercard");
    let first = api.paid("pm_card_visa").await;
    let second = api.paid("pm_card_visa").await;
    assert_ne!(first["payment_method"], second["payment_method"]);
    let unknown = api.intent(&[("payment_method", "pm_card_nothing")]).await;
    assert_eq!(unknown.error(), (400, "resource_missing", "payment_method"));
    let unknown = api
        .post(
            "v1/payment_methods",
            &[("type", "card"), ("card[token]", "tok_nothing")],
        )
        .await;
    assert_eq!(unknown.error(), (400, "resource_missing", "card[token]"));
}

#[tokio::test]
async fn one_number_has_one_fingerprint_and_a_method_can_be_annotated() {
    let (_running, api) = start().await;
    let form = [
        ("type", "card"),
        ("card[number]", "4242424242424242"),
        ("card[exp_month]", "1"),
        ("card[exp_year]", "50"),
        ("billing_details[name]", "Tom"),
        ("billing_details[address][city]", "city"),
    ];
    let one = api.post("v1/payment_methods", &form).await.ok();
    let two = api.post("v1/payment_methods", &form).await.ok();
    assert_eq!(one["card"]["fingerprint"], two["card"]["fingerprint"]);
    assert_eq!(one["card"]["exp_year"], 2050);
    assert_eq!(one["card"]["checks"]["cvc_check"], Value::Null);
    let path = format!("v1/payment_methods/{}", text(&one, "id"));
    let update = [
        ("billing_details[email]", "tom@example.com"),
        ("metadata[a]", "b"),
        ("card[exp_month]", "2"),
    ];
    assert_eq!(api.post(&path, &update).await.status, 400);
    let customer = api.post("v1/customers", &[]).await.ok();
    let owner = [("customer", text(&customer, "id"))];
    api.post(&format!("{path}/attach"), &owner).await.ok();
    let updated = api.post(&path, &update).await.ok();
    assert_eq!(text(&updated["billing_details"], "name"), "Tom");
    assert_eq!(
        text(&updated["billing_details"], "email"),
        "tom@example.com"
    );
    assert_eq!(text(&updated["billing_details"]["address"], "city"), "city");
    assert_eq!(updated["card"]["exp_month"], 2);
    assert_eq!(api.get(&path).await.ok(), updated);
}
