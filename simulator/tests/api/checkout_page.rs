//! The page of a checkout, as a payer uses it.

use reqwest::Method;
use serde_json::Value;

use crate::checkout::{HOSTED, ITEM, browse, create, done, expire, read, submit, visit};
use crate::support::{start, text};

#[tokio::test]
async fn a_payer_may_cancel_come_back_and_pay_with_any_number() {
    let (_running, api) = start().await;
    let further = [
        ("customer_email", "bob@example.com"),
        ("customer_creation", "always"),
    ];
    let session = create(&api, &further).await.ok();
    let cancelled = submit(&api, &session, &[("action", "cancel")]).await;
    assert_eq!(cancelled.location, "https://shop.example/back");
    assert_eq!(text(&read(&api, &session).await, "status"), "open");
    let card = [
        ("number", "5555 5555 5555 4444"),
        ("expiry", "12 / 50"),
        ("cvc", "123"),
    ];
    assert_eq!(submit(&api, &session, &card).await.location, done(&session));
    let complete = read(&api, &session).await;
    let customer = text(&complete, "customer");
    let customer = api.get(&format!("v1/customers/{customer}")).await.ok();
    assert_eq!(text(&customer, "email"), "bob@example.com");
    let nobody = create(&api, &[]).await.ok();
    assert_eq!(
        submit(&api, &nobody, &card).await.status,
        400,
        "there is no e-mail address"
    );
    let no_such = browse(api.request(Method::GET, "_sim/checkout/cs_nobody")).await;
    assert_eq!(no_such.status, 404);
}

#[tokio::test]
async fn what_is_wrong_is_said_beside_its_field_and_no_card_is_shown_again() {
    let (_running, api) = start().await;
    let session = create(&api, &[]).await.ok();
    let good = [
        ("email", "ada@example.com"),
        ("number", "4242 4242 4242 4242"),
        ("expiry", "12 / 50"),
        ("cvc", "123"),
    ];
    for (field, typed, message) in [
        ("email", "ada", "Your e-mail address is incomplete."),
        ("number", "", "Your card number is incomplete."),
        (
            "number",
            "4242 4242 4242 4241",
            "Your card number is incorrect.",
        ),
        ("number", "4000 0000 0000 0002", "Your card was declined."),
        (
            "number",
            "4000000000009995",
            "Your card has insufficient funds.",
        ),
        (
            "expiry",
            "12",
            "Your card&#39;s expiration date is incomplete.",
        ),
        (
            "expiry",
            "13/50",
            "Your card&#39;s expiration month is invalid.",
        ),
        (
            "expiry",
            "01/20",
            "Your card&#39;s expiration year is invalid.",
        ),
        ("cvc", "", "Your card&#39;s security code is incomplete."),
        ("cvc", "12", "Your card&#39;s security code is invalid."),
    ] {
        let mut form = good;
        form.iter_mut()
            .filter(|it| it.0 == field)
            .for_each(|it| it.1 = typed);
        let page = submit(&api, &session, &form).await;
        assert!((400..=402).contains(&page.status), "{field} {typed}");
        assert!(page.says(field, message), "{field} {typed}: {}", page.text);
        assert_eq!(page.text.matches("class=\"error\"").count(), 1);
        assert!(!page.text.contains("value=\"4"), "{field} {typed}");
    }
    for (number, field) in [
        ("4000 0000 0000 0069", "expiry"),
        ("4000 0000 0000 0127", "cvc"),
    ] {
        let mut form = good;
        form[1].1 = number;
        let page = submit(&api, &session, &form).await;
        assert!(page.says(field, "Your card"), "{number}: {}", page.text);
    }
    let nothing = submit(&api, &session, &[]).await;
    // The e-mail address is known from the attempts before.
    assert_eq!(nothing.text.matches("aria-invalid=").count(), 3);
    let paid = submit(&api, &session, &good).await;
    assert_eq!(paid.location, done(&session));
    let dump = api.own(Method::GET, "state", Value::Null).await.to_string();
    assert!(!dump.contains("4242424242424242") && !dump.contains("4000000000009995"));
}

#[tokio::test]
async fn no_text_of_anybodys_becomes_a_part_of_the_page() {
    // Turned red by not escaping the name of an item, or the e-mail address.
    let (_running, api) = start().await;
    let script = "\"><script>alert(1)</script>'<img src=x onerror=alert(1)>";
    let further = [
        ("line_items[0][price_data][product_data][name]", script),
        (
            "cancel_url",
            "https://shop.example/\"><script>alert(1)</script>",
        ),
    ];
    let form: Vec<_> = [&HOSTED[..], &ITEM[..]].concat();
    let named = |name: &str| further.iter().find(|it| it.0 == name).map(|it| it.1);
    let form: Vec<_> = form
        .iter()
        .map(|(name, value)| (*name, named(name).unwrap_or(value)))
        .collect();
    let session = api.post("v1/checkout/sessions", &form).await.ok();
    let typed = [
        ("email", script),
        ("number", script),
        ("expiry", script),
        ("cvc", script),
    ];
    for page in [
        visit(&api, &session).await,
        submit(&api, &session, &typed).await,
    ] {
        for part in ["<script", "<img", "\">'", "onerror=alert(1)>"] {
            assert!(!page.text.contains(part), "{part}: {}", page.text);
        }
        assert!(page.text.contains("&lt;script&gt;alert(1)"));
        assert!(
            page.policy
                .starts_with("default-src 'none'; style-src 'sha256-")
        );
        assert!(
            page.policy.ends_with("frame-ancestors 'none'"),
            "{}",
            page.policy
        );
    }
    expire(&api, &session).await.ok();
    assert!(!visit(&api, &session).await.text.contains("<script"));
}
