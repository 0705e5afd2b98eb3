use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Api, Form, send, start, text};

async fn customer(api: &Api, form: Form<'_>) -> Value {
    api.post("v1/customers", form).await.ok()
}

async fn card(api: &Api) -> Value {
    let form = [
        ("type", "card"),
        ("card[number]", "4242424242424242"),
        ("card[exp_month]", "12"),
        ("card[exp_year]", "2050"),
    ];
    api.post("v1/payment_methods", &form).await.ok()
}

async fn attach(api: &Api, method: &Value, customer: &Value) -> crate::support::Answer {
    let path = format!("v1/payment_methods/{}/attach", text(method, "id"));
    api.post(&path, &[("customer", text(customer, "id"))]).await
}

#[tokio::test]
async fn a_customer_is_created_read_changed_and_deleted() {
    let (_running, api) = start().await;
    let form = [
        ("name", "Ada"),
        ("email", "ada@example.com"),
        ("address[city]", "London"),
        ("metadata[tier]", "one"),
        ("tax_exempt", "reverse"),
    ];
    let ada = customer(&api, &form).await;
    assert_eq!(text(&ada, "tax_exempt"), "reverse");
    assert_eq!(text(&ada["address"], "city"), "London");
    let path = format!("v1/customers/{}", text(&ada, "id"));
    assert_eq!(api.get(&path).await.ok(), ada);
    let form = [("name", ""), ("address", ""), ("metadata[tier]", "")];
    let changed = api.post(&path, &form).await.ok();
    assert_eq!(
        (&changed["name"], &changed["address"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(changed["metadata"], json!({}));
    assert_eq!(text(&changed, "email"), "ada@example.com");
    let gone = send(api.request(Method::DELETE, &path)).await.ok();
    assert_eq!(gone["deleted"], true);
    assert_eq!(api.get(&path).await.ok(), gone);
    let missing = (404, "resource_missing", "id");
    assert_eq!(api.post(&path, &[]).await.error(), missing);
    assert_eq!(
        send(api.request(Method::DELETE, &path)).await.error(),
        missing
    );
    let events = api.event_types().await;
    assert_eq!(
        events,
        ["customer.created", "customer.updated", "customer.deleted"]
    );
    let state = api.own(Method::GET, "state", Value::Null).await;
    assert!(!state["acct_one"]["customers"].to_string().contains("ada@"));
}

#[tokio::test]
async fn customers_are_listed_by_email_and_without_the_deleted() {
    let (_running, api) = start().await;
    let first = customer(&api, &[("email", "a@example.com")]).await;
    let second = customer(&api, &[("email", "b@example.com")]).await;
    let third = customer(&api, &[]).await;
    let path = format!("v1/customers/{}", text(&third, "id"));
    send(api.request(Method::DELETE, &path)).await.ok();
    let all = api.get("v1/customers").await.ok();
    assert_eq!(all["data"], json!([second, first]));
    let one = api.get("v1/customers?email=a@example.com").await.ok();
    assert_eq!(one["data"], json!([first]));
}

#[tokio::test]
async fn faulty_parameters_of_a_customer_are_refused() {
    let (_running, api) = start().await;
    let refused = [
        (("email", "nobody"), (400, "email_invalid", "email")),
        (("tax_exempt", "always"), (400, "", "tax_exempt")),
        (("colour", "red"), (400, "parameter_unknown", "colour")),
        (
            ("address[street]", "x"),
            (400, "parameter_unknown", "address[street]"),
        ),
        (
            ("payment_method", "pm_x"),
            (400, "resource_missing", "payment_method"),
        ),
        (
            ("invoice_settings[default_payment_method]", "pm_x"),
            (
                400,
                "resource_missing",
                "invoice_settings[default_payment_method]",
            ),
        ),
    ];
    for (param, error) in refused {
        assert_eq!(api.post("v1/customers", &[param]).await.error(), error);
    }
    assert_eq!(api.get("v1/customers").await.ok()["data"], json!([]));
}

#[tokio::test]
async fn a_method_belongs_to_one_customer_until_it_is_detached_for_good() {
    let (_running, api) = start().await;
    let (ada, bob) = (customer(&api, &[]).await, customer(&api, &[]).await);
    let method = card(&api).await;
    let attached = attach(&api, &method, &ada).await.ok();
    assert_eq!(attached["customer"], ada["id"]);
    attach(&api, &method, &ada).await.ok();
    assert_eq!(
        attach(&api, &method, &bob).await.error(),
        (400, "payment_method_unexpected_state", "")
    );
    for path in [
        format!("v1/payment_methods?customer={}&type=card", text(&ada, "id")),
        format!("v1/customers/{}/payment_methods", text(&ada, "id")),
    ] {
        assert_eq!(api.get(&path).await.ok()["data"], json!([attached]));
    }
    let path = format!("v1/payment_methods?customer={}", text(&bob, "id"));
    assert_eq!(api.get(&path).await.ok()["data"], json!([]));
    let detach = format!("v1/payment_methods/{}/detach", text(&method, "id"));
    assert_eq!(api.post(&detach, &[]).await.ok()["customer"], Value::Null);
    assert_eq!(
        api.post(&detach, &[]).await.error(),
        (400, "payment_method_unexpected_state", "")
    );
    assert_eq!(
        attach(&api, &method, &ada).await.error(),
        (400, "payment_method_unexpected_state", "payment_method")
    );
    let unusable = api.intent(&[("payment_method", text(&method, "id"))]).await;
    assert_eq!(unusable.status, 400);
}

#[tokio::test]
async fn a_customers_method_pays_for_that_customer_alone() {
    let (_running, api) = start().await;
    let (ada, bob) = (customer(&api, &[]).await, customer(&api, &[]).await);
    let method = card(&api).await;
    attach(&api, &method, &ada).await.ok();
    let pay = [("confirm", "true"), ("payment_method", text(&method, "id"))];
    assert_eq!(api.intent(&pay).await.error(), (400, "", "payment_method"));
    let bobs = [pay[0], pay[1], ("customer", text(&bob, "id"))];
    assert_eq!(api.intent(&bobs).await.error(), (400, "", "payment_method"));
    let adas = [pay[0], pay[1], ("customer", text(&ada, "id"))];
    let paid = api.intent(&adas).await.ok();
    assert_eq!(
        (text(&paid, "status"), &paid["customer"]),
        ("succeeded", &ada["id"])
    );
    let nobodys = api.intent(&[("customer", "cus_nobody")]).await;
    assert_eq!(nobodys.error(), (400, "resource_missing", "customer"));
    for resource in ["payment_intents", "charges"] {
        let path = format!("v1/{resource}?customer={}", text(&ada, "id"));
        let listed = api.get(&path).await.ok();
        assert_eq!(listed["data"].as_array().map(Vec::len), Some(1));
        assert_eq!(listed["data"][0]["customer"], ada["id"]);
        let path = format!("v1/{resource}?customer={}", text(&bob, "id"));
        assert_eq!(api.get(&path).await.ok()["data"], json!([]));
        let nobody = api.get(&format!("v1/{resource}?customer=cus_x")).await;
        assert_eq!(nobody.error(), (400, "resource_missing", "customer"));
    }
    let path = format!("v1/payment_intents/{}?expand[]=customer", text(&paid, "id"));
    assert_eq!(api.get(&path).await.ok()["customer"], ada);
    let query = format!(
        "v1/payment_intents/search?query=customer:'{}'",
        text(&ada, "id")
    );
    assert_eq!(api.get(&query).await.ok()["data"][0]["id"], paid["id"]);
}

#[tokio::test]
async fn a_method_meant_for_later_becomes_the_customers_with_the_first_payment() {
    let (_running, api) = start().await;
    let ada = customer(&api, &[]).await;
    let form = [
        ("confirm", "true"),
        ("payment_method", "pm_card_visa"),
        ("customer", text(&ada, "id")),
        ("setup_future_usage", "off_session"),
    ];
    let paid = api.intent(&form).await.ok();
    let path = format!("v1/payment_methods/{}", text(&paid, "payment_method"));
    assert_eq!(api.get(&path).await.ok()["customer"], ada["id"]);
    assert!(
        api.event_types()
            .await
            .contains(&"payment_method.attached".to_owned())
    );
    let path = format!("v1/customers/{}", text(&ada, "id"));
    send(api.request(Method::DELETE, &path)).await.ok();
    let events = api.event_types().await;
    assert_eq!(
        events[events.len() - 2..],
        ["payment_method.detached", "customer.deleted"]
    );
}

#[tokio::test]
async fn a_method_is_read_through_its_customer_and_through_no_other() {
    let (_running, api) = start().await;
    let ada = customer(&api, &[("name", "Ada")]).await;
    let bob = customer(&api, &[("name", "Bob")]).await;
    let method = card(&api).await;
    let attached = attach(&api, &method, &ada).await.ok();
    let path = |owner: &Value| {
        let (owner, id) = (text(owner, "id"), text(&method, "id"));
        format!("v1/customers/{owner}/payment_methods/{id}")
    };
    assert_eq!(api.get(&path(&ada)).await.ok(), attached);
    let foreign = api.get(&path(&bob)).await;
    assert_eq!(foreign.error(), (404, "resource_missing", "payment_method"));
    let nobody = api.get(&path(&method)).await;
    assert_eq!(nobody.error(), (404, "resource_missing", "customer"));
}

#[tokio::test]
async fn a_charge_is_annotated_with_its_customer_and_with_fraud() {
    let (_running, api) = start().await;
    let ada = customer(&api, &[("name", "Ada")]).await;
    let bob = customer(&api, &[("name", "Bob")]).await;
    let paid = api.paid("pm_card_visa").await;
    let path = format!("v1/charges/{}", text(&paid, "latest_charge"));
    let form = [
        ("customer", text(&ada, "id")),
        ("fraud_details[user_report]", "safe"),
    ];
    let charge = api.post(&path, &form).await.ok();
    assert_eq!(charge["customer"], ada["id"]);
    assert_eq!(text(&charge["fraud_details"], "user_report"), "safe");
    let other = api.post(&path, &[("customer", text(&bob, "id"))]).await;
    assert_eq!(other.error(), (400, "", "customer"));
    let odd = [("fraud_details[user_report]", "perhaps")];
    let param = "fraud_details[user_report]";
    assert_eq!(api.post(&path, &odd).await.error(), (400, "", param));
}
