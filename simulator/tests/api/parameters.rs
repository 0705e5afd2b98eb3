use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{SECRET_KEY, send, start, text};

const PATH: &str = "v1/payment_intents";

#[tokio::test]
async fn what_an_endpoint_does_not_know_is_refused_by_its_full_name() {
    let (_running, api) = start().await;
    for (name, param) in [
        ("foo", "foo"),
        ("shipping[foo]", "shipping[foo]"),
        ("shipping[address][street]", "shipping[address][street]"),
        (
            "payment_method_data[card][pin]",
            "payment_method_data[card][pin]",
        ),
    ] {
        let answer = api.intent(&[(name, "1")]).await;
        assert_eq!(answer.error(), (400, "parameter_unknown", param));
        let message = text(&answer.body["error"], "message");
        assert_eq!(message, format!("Received unknown parameter: {param}"));
    }
    let long = "{\"payment_method_data\":{\"card\":{\"exp_year\":2050,\"exp_month\":12,\"number\":\"4242424242424242\"}}}";
    let misread = api.post(PATH, &[(long, "")]).await;
    assert_eq!(misread.error().1, "parameter_unknown");
    assert!(
        !misread.text.contains("4242424242424242"),
        "a body that was misread is not repeated"
    );
    let two = api.intent(&[("foo", "1"), ("bar", "2")]).await;
    let message = text(&two.body["error"], "message");
    assert_eq!(message, "Received unknown parameters: bar, foo");
    let read = api.get("v1/charges?colour=red").await;
    assert_eq!(read.error(), (400, "parameter_unknown", "colour"));
    assert_eq!(
        api.get(PATH).await.ok()["data"].as_array().map(Vec::len),
        Some(0)
    );
}

#[tokio::test]
async fn malformed_values_are_refused_in_stripes_words() {
    let (_running, api) = start().await;
    for (name, value, code, param) in [
        ("confirm", "perhaps", "", "confirm"),
        ("capture_method", "later", "", "capture_method"),
        ("shipping", "here", "", "shipping"),
        ("metadata", "x", "", "metadata"),
        ("description[a]", "x", "", "description"),
        ("payment_method_types", "card", "", "payment_method_types"),
        (
            "payment_method_types[]",
            "cash",
            "payment_intent_invalid_parameter",
            "payment_method_types",
        ),
        ("receipt_email", "nobody", "email_invalid", "receipt_email"),
        ("customer", "cus_1", "resource_missing", "customer"),
        (
            "payment_method",
            "pm_1",
            "resource_missing",
            "payment_method",
        ),
        ("statement_descriptor", "longer than twenty-two", "", ""),
        (
            "statement_descriptor",
            "longer than twenty-two.",
            "",
            "statement_descriptor",
        ),
        ("statement_descriptor", "12345", "", "statement_descriptor"),
        (
            "statement_descriptor_suffix",
            "NINE*",
            "",
            "statement_descriptor_suffix",
        ),
        (
            "shipping[address][city]",
            "here",
            "parameter_missing",
            "shipping[name]",
        ),
        (
            "return_url",
            "https://shop.example",
            "payment_intent_invalid_parameter",
            "return_url",
        ),
        (
            "off_session",
            "true",
            "payment_intent_invalid_parameter",
            "off_session",
        ),
        (
            "payment_method_data[type]",
            "cash",
            "",
            "payment_method_data[type]",
        ),
        (
            "payment_method_data[type]",
            "card",
            "parameter_missing",
            "payment_method_data[card]",
        ),
    ] {
        let answer = api.intent(&[(name, value)]).await;
        if param.is_empty() {
            answer.ok();
        } else {
            assert_eq!(answer.error(), (400, code, param), "{name}={value}");
        }
    }
    let form = [
        ("confirm", "true"),
        ("payment_method", "pm_card_visa"),
        ("return_url", "javascript://%0aalert(1)"),
    ];
    assert_eq!(
        api.intent(&form).await.error(),
        (400, "url_invalid", "return_url")
    );
}

#[tokio::test]
async fn what_is_required_must_be_there() {
    let (_running, api) = start().await;
    let neither = api.post(PATH, &[]).await;
    assert_eq!(neither.error(), (400, "parameter_missing", "amount"));
    assert_eq!(
        text(&neither.body["error"], "message"),
        "Missing required param: amount."
    );
    let half = api.post(PATH, &[("amount", "1000")]).await;
    assert_eq!(half.error(), (400, "parameter_missing", "currency"));
}

#[tokio::test]
async fn metadata_obeys_its_limits_and_can_be_unset() {
    let (_running, api) = start().await;
    let (long_key, long_value) = ("k".repeat(41), "v".repeat(501));
    for (name, value) in [
        (format!("metadata[{long_key}]"), "v"),
        ("metadata[k]".to_owned(), long_value.as_str()),
        ("metadata[k][l]".to_owned(), "v"),
    ] {
        assert_eq!(api.intent(&[(&name, value)]).await.status, 400, "{name}");
    }
    let names: Vec<String> = (0..51).map(|it| format!("metadata[k{it}]")).collect();
    let mut form: Vec<(&str, &str)> = names.iter().map(|it| (it.as_str(), "v")).collect();
    assert_eq!(api.intent(&form).await.error(), (400, "", "metadata"));
    form.truncate(50);
    let intent = api.intent(&form).await.ok();
    let path = format!("{PATH}/{}", text(&intent, "id"));
    let fewer = api
        .post(&path, &[("metadata[k0]", ""), ("metadata[k1]", "w")])
        .await
        .ok();
    assert_eq!(
        fewer["metadata"].as_object().map(serde_json::Map::len),
        Some(49)
    );
    assert_eq!(text(&fewer["metadata"], "k1"), "w");
    assert_eq!(
        api.post(&path, &[("metadata", "")]).await.ok()["metadata"],
        json!({})
    );
}

#[tokio::test]
async fn attributes_are_kept_and_empty_values_unset_them() {
    let (_running, api) = start().await;
    let form = [
        ("description", "Payment for Order #9"),
        ("receipt_email", "tom@example.com"),
        ("shipping[name]", "tom"),
        ("shipping[address][city]", "city"),
        ("setup_future_usage", "off_session"),
        ("statement_descriptor_suffix", "NINE"),
        ("customer", ""),
        ("payment_method_types[]", "card"),
    ];
    let intent = api.intent(&form).await.ok();
    assert_eq!(text(&intent, "description"), "Payment for Order #9");
    assert_eq!(text(&intent["shipping"]["address"], "city"), "city");
    assert_eq!(intent["shipping"]["tracking_number"], Value::Null);
    let path = format!("{PATH}/{}", text(&intent, "id"));
    let unset = [
        ("description", ""),
        ("shipping", ""),
        ("receipt_email", ""),
        ("setup_future_usage", ""),
    ];
    let bare = api.post(&path, &unset).await.ok();
    for name in [
        "description",
        "shipping",
        "receipt_email",
        "setup_future_usage",
    ] {
        assert_eq!(bare[name], Value::Null, "{name}");
    }
    let method = api
        .post(&path, &[("payment_method", "pm_card_visa")])
        .await
        .ok();
    assert_eq!(text(&method, "status"), "requires_confirmation");
    let without = api.post(&path, &[("payment_method", "")]).await.ok();
    assert_eq!(text(&without, "status"), "requires_payment_method");
}

#[tokio::test]
async fn json_bodies_and_a_bare_key_are_taken_as_well() {
    let (_running, api) = start().await;
    let intent = api
        .intent(&[("capture_method", "automatic_async")])
        .await
        .ok();
    let url = format!("{}{PATH}/{}", api.base, text(&intent, "id"));
    let request = crate::support::client()
        .post(url)
        .header("authorization", SECRET_KEY)
        .json(&json!({
            "payment_method": "pm_card_visa",
            "receipt_email": "tom@example.com",
            "metadata": { "line_items": "[{\"amount\":5600}]", "order": 9 },
        }));
    let updated = send(request).await.ok();
    assert_eq!(text(&updated, "status"), "requires_confirmation");
    assert_eq!(text(&updated["metadata"], "order"), "9");
    for body in ["{", "[1]", "{\"amount\":{\"a\":1}}"] {
        let request = api
            .request(Method::POST, PATH)
            .header("content-type", "application/json")
            .body(body);
        assert_eq!(send(request).await.status, 400, "{body}");
    }
}

#[tokio::test]
async fn without_a_valid_key_nothing_is_answered() {
    let (_running, api) = start().await;
    let client = crate::support::client();
    let url = format!("{}v1/balance", api.base);
    let basic = send(client.get(&url).basic_auth(SECRET_KEY, Some(""))).await;
    assert_eq!(basic.status, 200);
    let none = send(client.get(&url)).await;
    assert_eq!(
        (none.status, text(&none.body["error"], "type")),
        (401, "invalid_request_error")
    );
    let wrong = send(client.get(&url).bearer_auth("sk_test_of_nobody")).await;
    assert_eq!(wrong.status, 401);
    assert!(!wrong.text.contains("of_nobody"), "a key is not echoed");
}

#[tokio::test]
async fn an_unknown_path_and_a_huge_body_are_refused() {
    let (_running, api) = start().await;
    let nowhere = api.get("v1/unicorns").await;
    assert_eq!(nowhere.status, 404);
    let deleted = send(api.request(Method::DELETE, PATH)).await;
    assert_eq!(deleted.status, 404);
    let huge = api
        .request(Method::POST, PATH)
        .body("a".repeat((1 << 20) + 1))
        .send()
        .await;
    assert_eq!(huge.expect("an answer").status(), 413);
}

#[tokio::test]
async fn versions_are_echoed() {
    let (_running, api) = start().await;
    let plain = api.get("v1/balance").await;
    assert_eq!(plain.header("stripe-version"), Some("2023-08-16"));
    let request = api
        .request(Method::GET, "v1/balance")
        .header("stripe-version", "2026-09-30.endive");
    assert_eq!(
        send(request).await.header("stripe-version"),
        Some("2026-09-30.endive")
    );
}
