use reqwest::Method;
use serde_json::Value;

use crate::support::{Api, PUBLISHABLE_KEY, start, text, with_form};

async fn asked(api: &Api, method: &str) -> Value {
    let form = [
        ("confirm", "true"),
        ("payment_method", method),
        ("return_url", "https://shop.example/back?order=9"),
    ];
    let intent = api.intent(&form).await.ok();
    assert_eq!(text(&intent, "status"), "requires_action");
    intent
}

/// Presses a button on the payer's page, and answers where that leads.
async fn press(api: &Api, intent: &Value, outcome: &str) -> String {
    let url = text(&intent["next_action"]["redirect_to_url"], "url").to_owned();
    let client = crate::support::client();
    let page = client
        .get(&url)
        .send()
        .await
        .expect("a page")
        .text()
        .await
        .expect("text");
    assert!(
        page.contains("Complete authentication") && page.contains("$10.00"),
        "{page}"
    );
    assert!(url.starts_with(&api.base));
    let pressed = with_form(client.post(&url), &[("outcome", outcome)])
        .send()
        .await
        .expect("an answer");
    assert_eq!(pressed.status(), 303);
    pressed.headers()["location"]
        .to_str()
        .expect("text")
        .to_owned()
}

#[tokio::test]
async fn with_manual_confirmation_the_merchant_confirms_once_more() {
    // Turned red by taking the money on the payer's page, or by asking the payer again.
    let (_running, api) = start().await;
    let form = [
        ("confirm", "true"),
        ("confirmation_method", "manual"),
        ("payment_method", "pm_card_authenticationRequired"),
        ("return_url", "https://shop.example/back"),
    ];
    let intent = api.intent(&form).await.ok();
    press(&api, &intent, "complete").await;
    let path = format!("v1/payment_intents/{}", text(&intent, "id"));
    let passed = api.get(&path).await.ok();
    assert_eq!(text(&passed, "status"), "requires_confirmation");
    assert_eq!(passed["latest_charge"], Value::Null);
    let browser = api.with_key(PUBLISHABLE_KEY);
    let secret = [("client_secret", text(&intent, "client_secret"))];
    let confirm = format!("{path}/confirm");
    assert_eq!(browser.post(&confirm, &secret).await.status, 400);
    let paid = api.post(&confirm, &[]).await.ok();
    assert_eq!(text(&paid, "status"), "succeeded");
    let failing = api.intent(&form).await.ok();
    press(&api, &failing, "fail").await;
    let path = format!("v1/payment_intents/{}", text(&failing, "id"));
    let failed = api.get(&path).await.ok();
    assert_eq!(text(&failed, "status"), "requires_payment_method");
}

#[tokio::test]
async fn a_payer_who_authenticates_pays_and_comes_back() {
    let (_running, api) = start().await;
    let intent = asked(&api, "pm_card_authenticationRequired").await;
    let back = press(&api, &intent, "complete").await;
    assert!(
        back.starts_with("https://shop.example/back?order=9&payment_intent=pi_"),
        "{back}"
    );
    assert!(back.ends_with("redirect_status=succeeded"), "{back}");
    let path = format!(
        "v1/payment_intents/{}?expand[]=latest_charge",
        text(&intent, "id")
    );
    let paid = api.get(&path).await.ok();
    assert_eq!(text(&paid, "status"), "succeeded");
    let details = &paid["latest_charge"]["payment_method_details"]["card"];
    assert_eq!(text(&details["three_d_secure"], "result"), "authenticated");
}

#[tokio::test]
async fn a_payer_who_fails_does_not_pay() {
    let (_running, api) = start().await;
    let intent = asked(&api, "pm_card_authenticationRequiredOnSetup").await;
    let back = press(&api, &intent, "fail").await;
    assert!(back.ends_with("redirect_status=failed"), "{back}");
    let after = api
        .get(&format!("v1/payment_intents/{}", text(&intent, "id")))
        .await
        .ok();
    assert_eq!(text(&after, "status"), "requires_payment_method");
    let code = text(&after["last_payment_error"], "code");
    assert_eq!(code, "payment_intent_authentication_failure");
    assert_eq!(after["latest_charge"], Value::Null);
}

#[tokio::test]
async fn a_card_may_be_declined_after_authentication() {
    let (_running, api) = start().await;
    let intent = asked(&api, "pm_card_threeDSecureRequiredChargeDeclined").await;
    press(&api, &intent, "complete").await;
    let after = api
        .get(&format!("v1/payment_intents/{}", text(&intent, "id")))
        .await
        .ok();
    assert_eq!(text(&after, "status"), "requires_payment_method");
    assert_eq!(text(&after["last_payment_error"], "code"), "card_declined");
}

#[tokio::test]
async fn without_a_return_url_the_clients_library_takes_over() {
    let (_running, api) = start().await;
    let form = [
        ("confirm", "true"),
        ("payment_method", "pm_card_authenticationRequired"),
    ];
    let intent = api.intent(&form).await.ok();
    assert_eq!(text(&intent["next_action"], "type"), "use_stripe_sdk");
    let url = text(&intent["next_action"]["use_stripe_sdk"], "stripe_js").to_owned();
    let client = crate::support::client();
    let pressed = with_form(client.post(&url), &[("outcome", "complete")])
        .send()
        .await
        .expect("an answer");
    assert_eq!(pressed.status(), 200);
    let again = with_form(client.post(&url), &[("outcome", "complete")])
        .send()
        .await
        .expect("an answer");
    assert_eq!(again.status(), 400);
}

#[tokio::test]
async fn an_absent_payer_cannot_authenticate() {
    let (_running, api) = start().await;
    for absent in ["off_session", "error_on_requires_action"] {
        let form = [
            ("confirm", "true"),
            ("payment_method", "pm_card_authenticationRequired"),
            (absent, "true"),
        ];
        let answer = api.intent(&form).await;
        assert_eq!(
            answer.error(),
            (402, "authentication_required", ""),
            "{absent}"
        );
    }
}

#[tokio::test]
async fn the_caller_may_ask_for_authentication_of_any_card() {
    let (_running, api) = start().await;
    let form = [
        ("confirm", "true"),
        ("payment_method", "pm_card_visa"),
        (
            "payment_method_options[card][request_three_d_secure]",
            "any",
        ),
    ];
    let intent = api.intent(&form).await.ok();
    assert_eq!(text(&intent, "status"), "requires_action");
}

#[tokio::test]
async fn a_browser_sees_and_confirms_only_what_it_has_the_secret_of() {
    let (_running, api) = start().await;
    let browser = api.with_key(PUBLISHABLE_KEY);
    let intent = api.intent(&[("metadata[internal]", "yes")]).await.ok();
    let (id, secret) = (text(&intent, "id"), text(&intent, "client_secret"));
    let path = format!("v1/payment_intents/{id}");
    let seen = browser
        .get(&format!("{path}?client_secret={secret}"))
        .await
        .ok();
    assert_eq!(seen["metadata"], Value::Null);
    assert_eq!(text(&seen, "client_secret"), secret);
    assert_eq!(
        browser.get(&path).await.error(),
        (400, "parameter_missing", "client_secret")
    );
    let guessed = browser
        .get(&format!("{path}?client_secret={id}_secret_guess"))
        .await;
    assert_eq!(guessed.error().2, "client_secret");
    for (method, path) in [
        (Method::GET, "v1/charges".to_owned()),
        (Method::POST, path.clone()),
    ] {
        let refused = crate::support::send(browser.request(method, &path)).await;
        assert_eq!(refused.error(), (401, "secret_key_required", ""));
    }
    let form = [
        ("client_secret", secret),
        ("payment_method", "pm_card_visa"),
    ];
    let confirmed = browser.post(&format!("{path}/confirm"), &form).await.ok();
    assert_eq!(text(&confirmed, "status"), "succeeded");
    assert_eq!(confirmed["metadata"], Value::Null);
}
