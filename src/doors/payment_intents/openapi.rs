//! What describes this door: a row for each operation, over the shapes in `openapi.json`.

use serde_json::{Map, Value, json};

use crate::http::openapi;

/// What an operation answers with: one object, a page of them, or what a search found.
#[derive(Clone, Copy)]
enum Answers {
    One(&'static str),
    Page(&'static str),
    Found(&'static str),
}
use Answers::{Found, One, Page};

/// Method, path, the operation's name, what it does, what it answers with, and the parameters of a body that works, as JSON.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    Answers,
    &'static str,
);

/// Where a row has two renderings, and the schema of the document's body.
const DOCUMENTED: &[(&str, &str)] = &[
    ("createPaymentIntent", "PaymentIntentCreate"),
    ("updatePaymentIntent", "PaymentIntentUpdate"),
    ("confirmPaymentIntent", "PaymentIntentConfirm"),
    ("capturePaymentIntent", "PaymentIntentCapture"),
    ("cancelPaymentIntent", "PaymentIntentCancel"),
    ("retrievePaymentIntent", ""),
    ("createRefund", "RefundCreate"),
    ("retrieveRefund", ""),
];

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("get", "/v1/payment_intents", "listPaymentIntents", "List payment intents", Page("StripePaymentIntent"), ""),
    ("post", "/v1/payment_intents", "createPaymentIntent", "Create a PaymentIntent", One("PaymentIntent"), r#"{"amount": 2000, "currency": "usd"}"#),
    ("get", "/v1/payment_intents/search", "searchPaymentIntents", "Search payment intents", Found("StripePaymentIntent"), ""),
    ("get", "/v1/payment_intents/{id}", "retrievePaymentIntent", "Retrieve a PaymentIntent", One("PaymentIntent"), ""),
    ("post", "/v1/payment_intents/{id}", "updatePaymentIntent", "Update a PaymentIntent", One("PaymentIntent"), r#"{"description": "another"}"#),
    ("post", "/v1/payment_intents/{id}/confirm", "confirmPaymentIntent", "Confirm a PaymentIntent", One("PaymentIntent"), r#"{"payment_method": "pm_card_visa"}"#),
    ("post", "/v1/payment_intents/{id}/capture", "capturePaymentIntent", "Capture a PaymentIntent", One("PaymentIntent"), r#"{"amount_to_capture": 100}"#),
    ("post", "/v1/payment_intents/{id}/cancel", "cancelPaymentIntent", "Cancel a PaymentIntent", One("PaymentIntent"), r#"{"cancellation_reason": "abandoned"}"#),
    ("get", "/v1/refunds", "listRefunds", "List refunds", Page("StripeRefund"), ""),
    ("post", "/v1/refunds", "createRefund", "Create a refund", One("Refund"), r#"{"payment_intent": "pi_1234XXX"}"#),
    ("get", "/v1/refunds/{id}", "retrieveRefund", "Retrieve a refund", One("Refund"), ""),
    ("post", "/v1/refunds/{id}", "updateRefund", "Update a refund's metadata", One("StripeRefund"), r#"{"metadata": {"order": "1"}}"#),
    ("post", "/v1/refunds/{id}/cancel", "cancelRefund", "Cancel a refund", One("StripeRefund"), "{}"),
    ("get", "/v1/payment_methods", "listPaymentMethods", "List payment methods", Page("StripePaymentMethod"), ""),
    ("post", "/v1/payment_methods", "createPaymentMethod", "Create a payment method", One("StripePaymentMethod"), r#"{"type": "card", "card": {"token": "tok_visa"}}"#),
    ("get", "/v1/payment_methods/{id}", "retrievePaymentMethod", "Retrieve a payment method", One("StripePaymentMethod"), ""),
    ("post", "/v1/payment_methods/{id}", "updatePaymentMethod", "Update a payment method", One("StripePaymentMethod"), r#"{"metadata": {"order": "1"}}"#),
    ("post", "/v1/payment_methods/{id}/attach", "attachPaymentMethod", "Attach a payment method to a customer", One("StripePaymentMethod"), r#"{"customer": "cus_1"}"#),
    ("post", "/v1/payment_methods/{id}/detach", "detachPaymentMethod", "Detach a payment method from its customer", One("StripePaymentMethod"), "{}"),
    ("get", "/v1/customers", "listCustomers", "List customers", Page("StripeCustomer"), ""),
    ("post", "/v1/customers", "createCustomer", "Create a customer", One("StripeCustomer"), r#"{"name": "Tom"}"#),
    ("get", "/v1/customers/search", "searchCustomers", "Search customers", Found("StripeCustomer"), ""),
    ("get", "/v1/customers/{id}", "retrieveCustomer", "Retrieve a customer", One("StripeCustomer"), ""),
    ("post", "/v1/customers/{id}", "updateCustomer", "Update a customer", One("StripeCustomer"), r#"{"name": "Tim"}"#),
    ("delete", "/v1/customers/{id}", "deleteCustomer", "Delete a customer", One("StripeCustomer"), ""),
    ("get", "/v1/customers/{id}/payment_methods", "listCustomerPaymentMethods", "List a customer's payment methods", Page("StripePaymentMethod"), ""),
    ("get", "/v1/customers/{id}/payment_methods/{method}", "retrieveCustomerPaymentMethod", "Retrieve a customer's payment method", One("StripePaymentMethod"), ""),
    ("get", "/v1/charges", "listCharges", "List charges", Page("StripeCharge"), ""),
    ("get", "/v1/charges/search", "searchCharges", "Search charges", Found("StripeCharge"), ""),
    ("get", "/v1/charges/{id}", "retrieveCharge", "Retrieve a charge", One("StripeCharge"), ""),
    ("post", "/v1/charges/{id}", "updateCharge", "Update a charge", One("StripeCharge"), r#"{"metadata": {"order": "1"}}"#),
    ("post", "/v1/charges/{id}/capture", "captureCharge", "Capture a charge", One("StripeCharge"), "{}"),
    ("get", "/v1/disputes", "listDisputes", "List disputes", Page("StripeDispute"), ""),
    ("get", "/v1/disputes/{id}", "retrieveDispute", "Retrieve a dispute", One("StripeDispute"), ""),
    ("post", "/v1/disputes/{id}", "updateDispute", "Update a dispute", One("StripeDispute"), r#"{"metadata": {"order": "1"}}"#),
    ("post", "/v1/disputes/{id}/close", "closeDispute", "Close a dispute: it is lost", One("StripeDispute"), "{}"),
    ("get", "/v1/checkout/sessions", "listCheckoutSessions", "List checkout sessions", Page("StripeCheckoutSession"), ""),
    ("post", "/v1/checkout/sessions", "createCheckoutSession", "Create a checkout session", One("StripeCheckoutSession"), r#"{"mode": "payment", "success_url": "https://your.website", "line_items": [{"quantity": 1, "price_data": {"currency": "usd", "unit_amount": 2000, "product_data": {"name": "Product"}}}]}"#),
    ("get", "/v1/checkout/sessions/{id}", "retrieveCheckoutSession", "Retrieve a checkout session", One("StripeCheckoutSession"), ""),
    ("get", "/v1/checkout/sessions/{id}/line_items", "listCheckoutSessionLineItems", "List a checkout session's line items", Page("StripeLineItem"), ""),
    ("post", "/v1/checkout/sessions/{id}/expire", "expireCheckoutSession", "Expire a checkout session", One("StripeCheckoutSession"), "{}"),
    ("get", "/v1/balance", "retrieveBalance", "Retrieve the balance", One("StripeBalance"), ""),
    ("get", "/v1/balance_transactions", "listBalanceTransactions", "List balance transactions", Page("StripeBalanceTransaction"), ""),
    ("get", "/v1/balance_transactions/{id}", "retrieveBalanceTransaction", "Retrieve a balance transaction", One("StripeBalanceTransaction"), ""),
    ("get", "/v1/payouts", "listPayouts", "List payouts", Page("StripePayout"), ""),
    ("get", "/v1/payouts/{id}", "retrievePayout", "Retrieve a payout", One("StripePayout"), ""),
    ("get", "/v1/events", "listEvents", "List events", Page("StripeEvent"), ""),
    ("get", "/v1/events/{id}", "retrieveEvent", "Retrieve an event", One("StripeEvent"), ""),
    ("get", "/v1/webhook_endpoints", "listWebhookEndpoints", "List webhook endpoints", Page("StripeWebhookEndpoint"), ""),
    ("post", "/v1/webhook_endpoints", "createWebhookEndpoint", "Create a webhook endpoint", One("StripeWebhookEndpoint"), r#"{"url": "https://your.website/webhooks", "enabled_events": ["*"]}"#),
    ("get", "/v1/webhook_endpoints/{id}", "retrieveWebhookEndpoint", "Retrieve a webhook endpoint", One("StripeWebhookEndpoint"), ""),
    ("post", "/v1/webhook_endpoints/{id}", "updateWebhookEndpoint", "Update a webhook endpoint", One("StripeWebhookEndpoint"), r#"{"description": "another"}"#),
    ("delete", "/v1/webhook_endpoints/{id}", "deleteWebhookEndpoint", "Delete a webhook endpoint", One("StripeWebhookEndpoint"), ""),
    ("post", "/v1/webhook_endpoints/{id}/roll_secret", "rollWebhookEndpointSecret", "Roll a webhook endpoint's secret (not of Stripe's API)", One("StripeWebhookEndpoint"), "{}"),
    ("get", "/v1/webhook_endpoints/{id}/deliveries", "listWebhookDeliveries", "List what was delivered to a webhook endpoint (not of Stripe's API)", Page("StripeWebhookDelivery"), ""),
    ("post", "/v1/webhook_endpoints/{id}/deliveries/{delivery}/redeliver", "redeliverWebhook", "Deliver once more (not of Stripe's API)", One("StripeWebhookDelivery"), "{}"),
];

/// Stripe's objects: the schema's name, and the object's.
const OBJECTS: &[(&str, &str)] = &[
    ("StripePaymentIntent", "payment_intent"),
    ("StripeRefund", "refund"),
    ("StripePaymentMethod", "payment_method"),
    ("StripeCustomer", "customer"),
    ("StripeCharge", "charge"),
    ("StripeDispute", "dispute"),
    ("StripeCheckoutSession", "checkout.session"),
    ("StripeLineItem", "item"),
    ("StripeBalance", "balance"),
    ("StripeBalanceTransaction", "balance_transaction"),
    ("StripePayout", "payout"),
    ("StripeEvent", "event"),
    ("StripeWebhookEndpoint", "webhook_endpoint"),
    ("StripeWebhookDelivery", "webhook_delivery"),
];

/// The answers that any operation may give beside its own.
const REFUSALS: [&str; 6] = ["400", "401", "403", "429", "500", "503"];

/// The fragment of this door.
pub fn fragment() -> Value {
    let mut fragment = openapi::fragment(include_str!("openapi.json"));
    fragment["paths"] = json!({});
    for row in ROWS {
        fragment["paths"][row.1][row.0] = operation(row);
    }
    for (name, object) in OBJECTS {
        fragment["components"]["schemas"][name] = object_schema(object);
    }
    fragment
}

fn operation(&(method, path, name, summary, answers, example): &Row) -> Value {
    let documented = DOCUMENTED.iter().find(|it| it.0 == name).map(|it| it.1);
    let scope = if method == "get" {
        "payments:read"
    } else {
        "payments:write"
    };
    let mut operation = json!({
        "tags": [if documented.is_some() { "Payment intents" } else { "Stripe" }],
        "operationId": name,
        "summary": summary,
        "security": [{"stripeKey": [scope]}, {"stripeKeyAsUser": [scope]}],
        "parameters": parameters(method, path, name, answers),
        "responses": responses(method, path, name, answers),
    });
    if method == "post" {
        operation["requestBody"] = body(documented, name, example);
    }
    operation
}

fn parameters(method: &str, path: &str, name: &str, answers: Answers) -> Vec<Value> {
    let in_path = |name: &str| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "minLength": 1}});
    let placed = path.split('/').filter_map(|part| part.strip_prefix('{'));
    let placed = placed.map(|part| in_path(part.trim_end_matches('}')));
    let mut shared = vec!["StripeVersion"];
    match (method, answers) {
        ("get", Page(_)) => shared.extend(["StripeLimit", "StripeAfter", "StripeBefore"]),
        ("get", Found(_)) => shared.extend(["StripeSearch", "StripeLimit"]),
        ("get", One(_)) if name == "retrievePaymentIntent" => shared.push("StripeClientSecret"),
        ("get", One(_)) => {}
        _ => shared.push("IdempotencyKey"),
    }
    let shared = shared.into_iter().map(|it| refer("parameters", it));
    placed.chain(shared).collect()
}

fn responses(method: &str, path: &str, name: &str, answers: Answers) -> Map<String, Value> {
    let schema = match answers {
        One(schema) => refer("schemas", schema),
        Page(schema) => several("list", schema, &["object", "data", "has_more", "url"]),
        Found(schema) => several("search_result", schema, &["object", "data", "has_more"]),
    };
    let mut done = json!({
        "description": "Done.",
        "headers": {"Idempotent-Replayed": refer("headers", "Idempotent-Replayed")},
        "content": {"application/json": {"schema": schema}},
    });
    if name == "createPaymentIntent" {
        let example = refer("examples", "PaymentIntent");
        done["content"]["application/json"]["examples"]["document"] = example;
    }
    let mut statuses = REFUSALS.to_vec();
    // A page may begin at what is not there.
    if matches!(answers, Page(_)) || path.contains('{') || method != "get" {
        statuses.push("404");
    }
    if method != "get" {
        statuses.extend(["402", "408", "409", "413"]);
    }
    let refusals = statuses
        .into_iter()
        .map(|it| (it.to_owned(), refer("responses", &format!("Stripe{it}"))));
    std::iter::once(("200".to_owned(), done))
        .chain(refusals)
        .collect()
}

/// In the document's rendering JSON of its own schema; in Stripe's whatever Stripe takes, as a form or as JSON.
fn body(documented: Option<&str>, name: &str, example: &'static str) -> Value {
    let example = openapi::fragment(example);
    let any = json!({"type": "object"});
    let as_json = match documented {
        Some(schema) => refer("schemas", schema),
        None => any.clone(),
    };
    let mut body = json!({"required": false, "content": {
        "application/json": {"schema": as_json, "examples": {"short": {"value": example}}},
        "application/x-www-form-urlencoded": {
            "schema": any, "example": example,
            "encoding": {"metadata": {"style": "deepObject"}},
        },
    }});
    if name == "createPaymentIntent" {
        let document = refer("examples", "PaymentIntentCreate");
        body["content"]["application/json"]["examples"]["document"] = document;
    }
    body
}

fn several(object: &str, schema: &str, required: &[&str]) -> Value {
    json!({
        "type": "object",
        "required": required,
        "properties": {
            "object": {"const": object},
            "data": {"type": "array", "items": refer("schemas", schema)},
            "has_more": {"type": "boolean"},
            "url": {"type": "string"},
        },
    })
}

/// What every object of Stripe's has. The rest is Stripe's to describe.
fn object_schema(object: &str) -> Value {
    let mut schema = json!({
        "type": "object",
        "required": ["object"],
        "properties": {"object": {"const": object}},
    });
    if object != "balance" {
        schema["required"] = json!(["id", "object"]);
        schema["properties"]["id"] = json!({"type": "string", "minLength": 1});
    }
    schema
}

fn refer(section: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{section}/{name}")})
}
