use reqwest::Method;
use serde_json::{Value, json};

use crate::support::receiver::Receiver;
use crate::support::{Answer, Api, Form, config, start, start_with, text, with_form};
use simulator::WebhookEndpoint;

pub const ITEM: [(&str, &str); 4] = [
    ("line_items[0][price_data][currency]", "usd"),
    ("line_items[0][price_data][unit_amount]", "500"),
    ("line_items[0][price_data][product_data][name]", "Tea <b>"),
    ("line_items[0][quantity]", "2"),
];
pub const HOSTED: [(&str, &str); 3] = [
    ("mode", "payment"),
    (
        "success_url",
        "https://shop.example/done?id={CHECKOUT_SESSION_ID}",
    ),
    ("cancel_url", "https://shop.example/back"),
];

/// A hosted session of 10.00 usd, with further parameters.
pub async fn create(api: &Api, further: Form<'_>) -> Answer {
    let form = [&HOSTED[..], &ITEM[..], further].concat();
    api.post("v1/checkout/sessions", &form).await
}

pub async fn read(api: &Api, session: &Value) -> Value {
    let path = format!("v1/checkout/sessions/{}", text(session, "id"));
    api.get(&path).await.ok()
}

pub async fn expire(api: &Api, session: &Value) -> Answer {
    let path = format!("v1/checkout/sessions/{}/expire", text(session, "id"));
    api.post(&path, &[]).await
}

/// What a browser gets: status, where it is sent, and the page.
pub struct Page {
    pub status: u16,
    pub location: String,
    pub policy: String,
    pub text: String,
}

impl Page {
    pub fn is_form(&self) -> bool {
        self.text.contains("<form method=\"post\">")
    }

    /// Whether this is what is said beside the field, and the field is marked.
    pub fn says(&self, field: &str, message: &str) -> bool {
        let error = format!("id=\"{field}-error\" role=\"alert\">{message}");
        let mark = format!("aria-describedby=\"{field}-error\"");
        self.text.contains(&error) && self.text.contains(&mark)
    }
}

pub async fn browse(request: reqwest::RequestBuilder) -> Page {
    let answer = request.send().await.expect("an answer");
    let header = |name: &str| {
        let value = answer.headers().get(name);
        value.map_or("", |it| it.to_str().expect("text")).to_owned()
    };
    Page {
        status: answer.status().as_u16(),
        location: header("location"),
        policy: header("content-security-policy"),
        text: answer.text().await.expect("text"),
    }
}

pub async fn visit(api: &Api, session: &Value) -> Page {
    let path = format!("_sim/checkout/{}", text(session, "id"));
    browse(api.request(Method::GET, &path)).await
}

pub async fn submit(api: &Api, session: &Value, form: Form<'_>) -> Page {
    let path = format!("_sim/checkout/{}", text(session, "id"));
    browse(with_form(api.request(Method::POST, &path), form)).await
}

async fn pay(api: &Api, session: &Value, method: &str) -> Page {
    let form = [
        ("action", "pay"),
        ("email", "ada@example.com"),
        ("method", method),
    ];
    submit(api, session, &form).await
}

pub fn done(session: &Value) -> String {
    format!("https://shop.example/done?id={}", text(session, "id"))
}

#[tokio::test]
async fn a_hosted_checkout_is_paid_on_its_page() {
    let (_running, api) = start().await;
    let further = [
        ("client_reference_id", "order-1"),
        ("metadata[a]", "b"),
        ("payment_intent_data[metadata][order]", "1"),
        ("payment_intent_data[description]", "Tea"),
    ];
    let session = create(&api, &further).await.ok();
    assert_eq!(
        (text(&session, "status"), text(&session, "payment_status")),
        ("open", "unpaid")
    );
    assert_eq!(
        (
            &session["payment_intent"],
            &session["client_secret"],
            session["amount_total"].as_i64()
        ),
        (&Value::Null, &Value::Null, Some(1_000))
    );
    let url = text(&session, "url");
    assert_eq!(
        url,
        format!("{}_sim/checkout/{}", api.base, text(&session, "id"))
    );
    let page = visit(&api, &session).await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("Tea &lt;b&gt;"), "{}", page.text);
    assert!(
        page.text
            .contains("<button class=\"pay\" name=\"action\" value=\"pay\">Pay $10.00</button>")
    );

    let paid = pay(&api, &session, "pm_card_visa").await;
    assert_eq!((paid.status, paid.location), (303, done(&session)));
    let path = format!(
        "v1/checkout/sessions/{}?expand[]=payment_intent&expand[]=line_items",
        text(&session, "id")
    );
    let complete = api.get(&path).await.ok();
    assert_eq!(
        (
            text(&complete, "status"),
            text(&complete, "payment_status"),
            &complete["url"]
        ),
        ("complete", "paid", &Value::Null)
    );
    assert_eq!(
        text(&complete["customer_details"], "email"),
        "ada@example.com"
    );
    let intent = &complete["payment_intent"];
    assert_eq!(
        (
            text(intent, "status"),
            text(intent, "description"),
            &intent["metadata"]
        ),
        ("succeeded", "Tea", &json!({ "order": "1" }))
    );
    let item = &complete["line_items"]["data"][0];
    assert_eq!(
        (item["amount_total"].as_i64(), item["quantity"].as_i64()),
        (Some(1_000), Some(2))
    );
    let path = format!(
        "v1/checkout/sessions/{}/line_items?limit=1",
        text(&session, "id")
    );
    assert_eq!(api.get(&path).await.ok()["data"][0], *item);
    assert_eq!(
        api.event_types().await,
        [
            "payment_intent.created",
            "charge.succeeded",
            "payment_intent.succeeded",
            "checkout.session.completed"
        ]
    );
    let over = visit(&api, &session).await;
    assert_eq!((over.status, over.is_form()), (200, false));
    assert!(over.text.contains("$10.00 is paid") && over.text.contains(&done(&session)));
    assert_eq!(
        pay(&api, &session, "pm_card_visa").await.location,
        done(&session)
    );
    assert_eq!(
        api.get("v1/charges").await.ok()["data"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    assert_eq!(expire(&api, &session).await.status, 400);
}

#[tokio::test]
async fn a_refused_card_leaves_the_checkout_open_and_its_intent_in_its_hands() {
    let (_running, api) = start().await;
    let session = create(&api, &[]).await.ok();
    let refused = pay(&api, &session, "pm_card_chargeDeclined").await;
    assert_eq!(refused.status, 402);
    assert!(refused.text.contains("Your card was declined."));
    let open = read(&api, &session).await;
    assert_eq!(text(&open, "status"), "open");
    let path = format!("v1/payment_intents/{}", text(&open, "payment_intent"));
    for (verb, form) in [
        ("/cancel", &[][..]),
        ("/confirm", &[("payment_method", "pm_card_visa")]),
        ("", &[("amount", "1")]),
    ] {
        let moved = api.post(&format!("{path}{verb}"), form).await;
        assert_eq!(
            moved.error(),
            (400, "payment_intent_unexpected_state", ""),
            "{verb}"
        );
    }
    api.post(&path, &[("metadata[a]", "b")]).await.ok();
    let paid = pay(&api, &session, "pm_card_visa").await;
    assert_eq!(paid.location, done(&session));
    let complete = read(&api, &session).await;
    assert_eq!(complete["payment_intent"], open["payment_intent"]);
    let listed = api
        .get(&format!(
            "v1/checkout/sessions?payment_intent={}",
            text(&open, "payment_intent")
        ))
        .await
        .ok();
    assert_eq!(listed["data"], json!([complete]));
}

#[tokio::test]
async fn an_expired_checkout_cannot_be_paid_and_its_intent_is_cancelled() {
    let (_running, api) = start().await;
    let session = create(&api, &[]).await.ok();
    pay(&api, &session, "pm_card_chargeDeclined").await;
    let expired = expire(&api, &session).await.ok();
    assert_eq!(
        (text(&expired, "status"), &expired["url"]),
        ("expired", &Value::Null)
    );
    let path = format!("v1/payment_intents/{}", text(&expired, "payment_intent"));
    assert_eq!(text(&api.get(&path).await.ok(), "status"), "canceled");
    let events = api.event_types().await;
    assert_eq!(
        events[events.len() - 2..],
        ["payment_intent.canceled", "checkout.session.expired"]
    );
    let over = visit(&api, &session).await;
    assert_eq!((over.status, over.is_form()), (410, false));
    assert!(over.text.contains("has expired"), "{}", over.text);
    assert_eq!(pay(&api, &session, "pm_card_visa").await.status, 410);
    let again = expire(&api, &session).await;
    assert!(text(&again.body["error"], "message").contains("a status of expired"));
}

#[tokio::test]
async fn a_checkout_expires_when_its_time_is_over() {
    let (_running, api) = start().await;
    let session = create(&api, &[]).await.ok();
    let clock = api.own(Method::GET, "clock", Value::Null).await;
    let soon = clock["now"].as_i64().expect("a time") + 1_800;
    let short = create(&api, &[("expires_at", &soon.to_string())])
        .await
        .ok();
    api.advance(1_801).await;
    assert_eq!(text(&read(&api, &short).await, "status"), "expired");
    assert_eq!(text(&read(&api, &session).await, "status"), "open");
    api.own(Method::POST, "settle", json!({})).await;
    assert_eq!(text(&read(&api, &session).await, "status"), "open");
    api.advance(24 * 3_600 - 1_801).await;
    assert_eq!(text(&read(&api, &session).await, "status"), "expired");
    let listed = api.get("v1/checkout/sessions?status=open").await.ok();
    assert_eq!(listed["data"], json!([]));
}

#[tokio::test]
async fn of_paying_and_expiring_at_once_exactly_one_wins() {
    // Turned red by looking at the session's status outside of the transaction that changes it.
    let (_running, api) = start().await;
    for _ in 0..10 {
        let session = create(&api, &[]).await.ok();
        let (paid, expired, again) = tokio::join!(
            pay(&api, &session, "pm_card_visa"),
            expire(&api, &session),
            pay(&api, &session, "pm_card_visa"),
        );
        let after = read(&api, &session).await;
        if expired.status == 200 {
            assert_eq!((paid.status, again.status), (410, 410));
            assert_eq!(text(&after, "status"), "expired");
            assert_eq!(after["payment_intent"], Value::Null);
        } else {
            assert_eq!((paid.status, again.status, expired.status), (303, 303, 400));
            assert_eq!(text(&after, "payment_status"), "paid");
        }
        let path = format!("v1/checkout/sessions/{}", text(&session, "id"));
        let events = api.get("v1/events?types[]=checkout.session.completed&types[]=checkout.session.expired&limit=100");
        let events = events.await.ok();
        let of_this = events["data"].as_array().expect("a list").iter();
        let of_this = of_this.filter(|it| it["data"]["object"]["id"] == session["id"]);
        assert_eq!(of_this.count(), 1, "{path}");
    }
}

#[tokio::test]
async fn three_d_secure_leads_back_to_the_checkout_and_on() {
    let (_running, api) = start().await;
    for (outcome, ends) in [("complete", "complete"), ("fail", "open")] {
        let session = create(&api, &[]).await.ok();
        let asked = pay(&api, &session, "pm_card_threeDSecure2Required").await;
        assert_eq!(asked.status, 303);
        let path = asked
            .location
            .strip_prefix(&api.base)
            .expect("at the simulator");
        assert!(path.starts_with("_sim/3ds/pi_"), "{path}");
        let request = with_form(api.request(Method::POST, path), &[("outcome", outcome)]);
        let back = browse(request).await;
        assert_eq!(text(&read(&api, &session).await, "status"), ends);
        if ends == "complete" {
            assert_eq!(back.location, done(&session));
        } else {
            assert_eq!(back.location, text(&session, "url"));
            let page = visit(&api, &session).await;
            let expected = (
                "number",
                "We are unable to authenticate your payment method.",
            );
            assert!(page.says(expected.0, expected.1), "{}", page.text);
        }
    }
}

#[tokio::test]
async fn a_payment_that_takes_a_while_completes_the_checkout_before_it_is_paid() {
    let (_running, api) = start().await;
    let cases = [
        (
            "pm_card_simProcessing",
            "paid",
            "checkout.session.async_payment_succeeded",
        ),
        (
            "pm_card_simProcessingDeclined",
            "unpaid",
            "checkout.session.async_payment_failed",
        ),
    ];
    for (method, status, event) in cases {
        let session = create(&api, &[]).await.ok();
        assert_eq!(pay(&api, &session, method).await.location, done(&session));
        let complete = read(&api, &session).await;
        assert_eq!(
            (text(&complete, "status"), text(&complete, "payment_status")),
            ("complete", "unpaid")
        );
        api.advance(3_601).await;
        assert_eq!(text(&read(&api, &session).await, "payment_status"), status);
        assert_eq!(
            api.event_types().await.last().map(String::as_str),
            Some(event)
        );
    }
}

#[tokio::test]
async fn a_held_payment_completes_the_checkout_and_its_capture_pays_it() {
    let (_running, api) = start().await;
    let session = create(&api, &[("payment_intent_data[capture_method]", "manual")])
        .await
        .ok();
    pay(&api, &session, "pm_card_visa").await;
    let held = read(&api, &session).await;
    assert_eq!(
        (text(&held, "status"), text(&held, "payment_status")),
        ("complete", "unpaid")
    );
    let path = format!(
        "v1/payment_intents/{}/capture",
        text(&held, "payment_intent")
    );
    api.post(&path, &[]).await.ok();
    assert_eq!(text(&read(&api, &session).await, "payment_status"), "paid");
    let last = api.event_types().await.pop();
    assert_eq!(last.as_deref(), Some("payment_intent.succeeded"));
}

#[tokio::test]
async fn an_embedded_checkout_has_a_secret_instead_of_an_address() {
    let mut receiver = Receiver::start().await;
    let mut config = config();
    let endpoint = WebhookEndpoint::new(&receiver.url, "whsec_of_the_test");
    config.accounts[0].webhook_endpoints = vec![endpoint];
    let (_running, api) = start_with(config).await;
    for mode in ["embedded", "embedded_page"] {
        let form = [
            ("mode", "payment"),
            ("ui_mode", mode),
            (
                "return_url",
                "https://shop.example/back?id={CHECKOUT_SESSION_ID}",
            ),
        ];
        let form = [&form[..], &ITEM[..]].concat();
        let session = api.post("v1/checkout/sessions", &form).await.ok();
        assert_eq!(
            (&session["url"], text(&session, "ui_mode")),
            (&Value::Null, mode)
        );
        let secret = text(&session, "client_secret");
        assert!(secret.starts_with(&format!("{}_secret_", text(&session, "id"))));
        assert_eq!(text(&read(&api, &session).await, "client_secret"), secret);
        for named in [text(&session, "id"), &format!("{secret}x")] {
            let path = format!("_sim/checkout/{named}");
            let page = browse(api.request(Method::GET, &path)).await;
            assert_eq!(page.status, 404, "only its secret opens it: {named}");
        }
        let path = format!("_sim/checkout/{secret}");
        let asked = browse(with_form(
            api.request(Method::POST, &path),
            &[
                ("email", "ada@example.com"),
                ("method", "pm_card_threeDSecure2Required"),
            ],
        ));
        let bank = asked.await.location;
        let bank = bank.strip_prefix(&api.base).expect("at the simulator");
        let page = browse(api.request(Method::GET, bank)).await;
        assert!(page.policy.contains("frame-ancestors http: https:"));
        let passed = [("outcome", "complete")];
        let led = browse(with_form(api.request(Method::POST, bank), &passed)).await;
        assert_eq!(led.location, format!("{}{path}", api.base));
        let paid = browse(api.request(Method::GET, &path)).await;
        assert!(paid.policy.contains("frame-ancestors http: https:"));
        let back = format!("https://shop.example/back?id={}", text(&session, "id"));
        let on = format!("<a href=\"{back}\" target=\"_top\">Continue</a>");
        assert!(paid.text.contains(&on), "{}", paid.text);
        while receiver.next().await.event_type() != "checkout.session.completed" {}
        let dump = api.own(Method::GET, "state", Value::Null).await.to_string();
        assert!(!dump.contains("_secret_"), "a dump holds no secrets");
    }
}

#[tokio::test]
async fn faulty_parameters_of_a_checkout_are_refused_and_nothing_is_created() {
    let (_running, api) = start().await;
    let unknown = "line_items[0][colour]";
    let refused: &[(Form<'_>, (u16, &str, &str))] = &[
        (&[("mode", "setup")], (400, "", "mode")),
        (
            &[("success_url", "")],
            (400, "parameter_invalid_empty", "success_url"),
        ),
        (
            &[("success_url", "javascript:x")],
            (400, "url_invalid", "success_url"),
        ),
        (
            &[("return_url", "https://a.example")],
            (400, "", "return_url"),
        ),
        (&[("ui_mode", "popup")], (400, "", "ui_mode")),
        (&[("ui_mode", "embedded")], (400, "", "success_url")),
        (&[("expires_at", "1")], (400, "", "expires_at")),
        (
            &[("customer", "cus_x")],
            (400, "resource_missing", "customer"),
        ),
        (
            &[("customer_email", "x")],
            (400, "email_invalid", "customer_email"),
        ),
        (
            &[("line_items[0][quantity]", "0")],
            (400, "parameter_invalid_integer", "line_items[0][quantity]"),
        ),
        (&[(unknown, "red")], (400, "parameter_unknown", unknown)),
        (
            &[("line_items[0][price]", "price_x")],
            (400, "resource_missing", "line_items[0][price]"),
        ),
        (
            &[("line_items[0][price_data][unit_amount]", "24")],
            (400, "amount_too_small", "amount"),
        ),
        (
            &[("line_items[0][price_data][unit_amount]", "99999999")],
            (400, "amount_too_large", "amount"),
        ),
        (
            &[(
                "line_items[0][price_data][unit_amount]",
                "9223372036854775807",
            )],
            (400, "amount_too_large", "line_items"),
        ),
        (
            &[("line_items[0][price_data][unit_amount]", "-1")],
            (
                400,
                "parameter_invalid_integer",
                "line_items[0][price_data][unit_amount]",
            ),
        ),
        (
            &[
                ("line_items[1][amount]", "100"),
                ("line_items[1][currency]", "eur"),
                ("line_items[1][name]", "Cake"),
            ],
            (400, "", "line_items"),
        ),
    ];
    for (further, error) in refused {
        let mut form = [&HOSTED[..], &ITEM[..]].concat();
        form.retain(|(name, _)| !further.iter().any(|(other, _)| other == name));
        form.extend_from_slice(further);
        let answer = api.post("v1/checkout/sessions", &form).await;
        assert_eq!(answer.error(), *error, "{further:?}");
    }
    let empty = api.post("v1/checkout/sessions", &HOSTED).await;
    assert_eq!(empty.error(), (400, "parameter_missing", "line_items"));
    assert_eq!(
        api.get("v1/checkout/sessions").await.ok()["data"],
        json!([])
    );
    let nobody = api.get("v1/checkout/sessions/cs_nobody").await;
    assert_eq!(nobody.error(), (404, "resource_missing", "session"));
}
